/* field: field lines and field sections (RFC 9110 §5).
 * A section is an array of lines in the order received; it borrows the bytes of every name and value from whoever
 * parsed the message. Lines that weir knows carry an id, so that looking one up compares numbers, not names.
 * Ownership: a section owns nothing. Threads: pure functions.                                                     */
#ifndef WEIR_HEADERS_FIELD_H
#define WEIR_HEADERS_FIELD_H

#include "headers/view.h"

/* The rows of field_table.c, in its order; FIELD_OTHER is any name weir gives no meaning to. */
#include "headers/field_names.h"

struct field {
    enum field_id id;
    struct view name;  /* as received, case kept */
    struct view value; /* without surrounding OWS */
};

struct field_section {
    const struct field *lines;
    size_t count;
};

/* What is true of a known field, whatever message it is in: the columns of field_table.c. */
struct field_traits {
    const char *name; /* lower case */
    uint8_t name_len;
    bool hop_by_hop;   /* never forwarded, never stored: RFC 9110 §7.6.1, Proxy-* of §11.7 */
    bool store;        /* part of a stored response: RFC 9111 §3.1 */
    bool freshen;      /* a 304 (or HEAD) updates it: RFC 9111 §3.2 */
    bool list;         /* a comma separated list (RFC 9110 §5.6.1), several lines join */
    bool nocase_value; /* the value's case carries no meaning (for Vary) */
};

/** The id of a name, FIELD_OTHER when it has no row. Any case. */
enum field_id field_id_of(struct view name);
/** Never NULL; FIELD_OTHER has traits too: forwarded, stored, freshened. */
const struct field_traits *field_traits_of(enum field_id id);

/** name must be a token (RFC 9110 §5.6.2). */
bool field_name_is_valid(struct view name);
/** VCHAR, obs-text, SP, HTAB; no CR, LF, NUL or other control (RFC 9110 §5.5). Empty is valid. */
bool field_value_is_valid(struct view value);

/** Number of lines with this id. */
size_t field_count(struct field_section s, enum field_id id);
/** The first line with this id, or NULL. */
const struct field *field_first(struct field_section s, enum field_id id);
/** The next line with this id after `line` (which must be in s), or NULL. */
const struct field *field_next(struct field_section s, const struct field *line);
/** By name, for names without a row (and with): the first at or after index from; s.count when there is none. */
size_t field_find(struct field_section s, size_t from, struct view name);
/** True when the Connection field of s names this field (RFC 9110 §7.6.1). */
bool field_named_by_connection(struct field_section s, struct view name);

/** Bytes that a copy with all of its names and values needs. */
size_t field_section_bytes(struct field_section s);
/** A copy that borrows from nobody, at *at, which is moved behind it; each text is ended by a NUL.
 *  @param spare_lines  lines left free behind the copied ones, sizeof(struct field) each beyond field_section_bytes */
struct field_section field_section_copy(struct field_section s, size_t spare_lines, char **at);

#endif
