/* validation: the conditional request to the origin, and what its answer freshens (RFC 9111 §4.3). Decisions: pure. */
#ifndef WEIR_CACHE_VALIDATION_H
#define WEIR_CACHE_VALIDATION_H

#include "cache/freshness.h"

/* The validators to send; empty views are not sent. Borrow from the stored fields. */
struct validators {
    struct view if_none_match, if_modified_since;
};
struct validators validators_of(struct field_section stored);

enum freshen_verdict { FRESHEN_THIS, FRESHEN_NOTHING };
/** Does a 304 select the stored response it was asked for (§4.3.4)? A strong ETag that differs, a weak one that does not
 *  match weakly, or a Last-Modified that differs where no ETag is given, selects nothing. */
enum freshen_verdict freshen_decide(struct field_section stored, struct field_section not_modified);

/** Whether this line of the 304 replaces the stored lines of the same name (§3.2, design: not Content-Length,
 *  Content-Encoding, Content-Range, Transfer-Encoding, Set-Cookie, Age or hop-by-hop ones). What the directives of the
 *  freshened response list is still to be left out: which directives are in force is known only then. */
bool freshen_field(struct field_section not_modified, const struct field *line);

/** A 200 to HEAD against the stored GET (§4.3.5): false when Content-Length, ETag or Last-Modified differ, and the stored
 *  response is then to be invalidated. @param content_length  of the stored content */
bool head_confirms(struct field_section stored, int64_t content_length, struct field_section head);

#endif
