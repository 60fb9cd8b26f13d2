/* cache_control: directives of requests and responses (RFC 9111 §5.2, RFC 5861, RFC 8246, RFC 9213).
 * Ownership: the field lists borrow from the message. Threads: pure functions.                      */
#ifndef WEIR_HEADERS_CACHE_CONTROL_H
#define WEIR_HEADERS_CACHE_CONTROL_H

#include "headers/field.h"

enum { DELTA_SECONDS_MAX = 2147483647 }; /* RFC 9111 §1.2.2: 2^31, or the largest number that fits; saturates */

/* A directive with a delta-seconds argument. */
struct seconds {
    bool present;
    bool valid;    /* an argument that is not delta-seconds: present, and to be treated as 0 (stale) */
    int64_t value; /* the smaller of several; 0 when not valid */
};

struct response_directives {
    bool no_store, must_revalidate, proxy_revalidate, is_public, must_understand, no_transform, immutable;
    bool no_cache, is_private; /* without an argument */
    bool no_cache_fields_present, private_fields_present;
    struct view no_cache_fields,
        private_fields; /* the first list's content; no_cache_lists and private_lists see all */
    struct seconds max_age, s_maxage, stale_while_revalidate, stale_if_error;
    bool targeted;        /* they come from a targeted field (RFC 9213) */
    enum field_id source; /* FIELD_CACHE_CONTROL, FIELD_CDN_CACHE_CONTROL, ... */
};

struct request_directives {
    bool no_store, no_cache, only_if_cached;
    bool max_stale_any; /* max-stale without an argument */
    struct seconds max_age, max_stale, min_fresh, stale_if_error;
};

/** From all Cache-Control lines. Names in any case; an argument may be a token or a quoted-string; unknown directives
 *  are skipped; `max-age =1`, `max-age=1.0`, `max-age=-1`, `max-age=a` are present and not valid. */
struct response_directives response_directives_parse(struct field_section s);
struct request_directives request_directives_parse(struct field_section s);

/** From the first field of `targets` that is there, not empty and parses as an RFC 8941 Dictionary; the field names of
 *  no-cache and private are a String, a member of the wrong type is ignored (RFC 9213 §2.1). False when none applies: use Cache-Control and Expires. */
MUST_USE bool targeted_directives_parse(struct field_section s, const enum field_id *targets, size_t n,
                                        struct response_directives *out);

/** True when some no-cache="..." (or private="...") of s lists `name`; several such directives add up. */
bool no_cache_lists(struct field_section s, const struct response_directives *d, struct view name);
bool private_lists(struct field_section s, const struct response_directives *d, struct view name);

/** Age (RFC 9111 §5.1): the first line's value; a list's first member; not a number: false. Saturates. */
MUST_USE bool age_parse(struct field_section s, int64_t *age_s);

#endif
