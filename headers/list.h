/* list: comma separated lists (RFC 9110 §5.6.1) with quoted strings (§5.6.4) and parameters (§5.6.6).
 * Ownership: what comes out borrows from what went in. Threads: pure functions.                      */
#ifndef WEIR_HEADERS_LIST_H
#define WEIR_HEADERS_LIST_H

#include "headers/field.h"

/** Cut the next member off *rest: no surrounding OWS, empty members skipped, commas inside quoted strings kept.
 *  @return false when none is left. An unterminated quoted string runs to the end of the value. */
bool list_next(struct view *rest, struct view *member);

/* Walks the members of every line with one id, as if the lines were joined (RFC 9110 §5.3). */
struct list_walk {
    struct field_section section;
    const struct field *line;
    struct view rest;
};
struct list_walk list_of(struct field_section s, enum field_id id);
bool list_walk_next(struct list_walk *w, struct view *member);

/** Split `member` at its first '=' outside quotes: "name=argument". No blanks are taken off around '='.
 *  @param argument  empty and *has_argument false when there is no '=' */
void list_split_argument(struct view member, struct view *name, struct view *argument, bool *has_argument);

/** A quoted-string's content with quoted-pairs undone into `to` (cap bytes).
 *  @return length, or -1 when v is not exactly one well-formed quoted-string or does not fit */
MUST_USE int list_unquote(struct view v, char *to, size_t cap);

/** True when some member equals `token`, ASCII case ignored. */
bool list_has_token(struct field_section s, enum field_id id, struct view token);

#endif
