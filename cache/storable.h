/* storable: may this response be stored, may it answer others who wait for it, and which fields stay out (RFC 9111 §3).
 * Decisions: pure.                                                                                                 */
#ifndef WEIR_CACHE_STORABLE_H
#define WEIR_CACHE_STORABLE_H

#include "cache/freshness.h"

enum storable_verdict { STORABLE_YES, STORABLE_NO };

enum storable_reason {
    STORABLE_BECAUSE_EXPLICIT_FRESHNESS,
    STORABLE_BECAUSE_HEURISTIC,
    STORABLE_BECAUSE_VALIDATOR,
    STORABLE_BECAUSE_PUBLIC,
    STORABLE_BECAUSE_STATUS_RULE,
    STORABLE_BECAUSE_DEFAULT,
    NOT_STORED_METHOD,
    NOT_STORED_STATUS,
    NOT_STORED_NO_STORE,
    NOT_STORED_PRIVATE,
    NOT_STORED_AUTHORIZATION,
    NOT_STORED_REQUEST_NO_STORE,
    NOT_STORED_SET_COOKIE,
    NOT_STORED_VARY_ANY,
    NOT_STORED_NOT_UNDERSTOOD,
    NOT_STORED_NO_FRESHNESS,
    NOT_STORED_TOO_LARGE,
    NOT_STORED_PASS,
    NOT_STORED_PARTIAL,
    NOT_STORED_KEY_TOO_LONG,
    NOT_STORED_POST_WITHOUT_LOCATION,
    /* What only the fetch knows: */
    NOT_STORED_TRUNCATED,
    NOT_STORED_NO_RESPONSE,
};

struct storable_decision {
    enum storable_verdict verdict;
    enum storable_reason reason;
    bool strip_set_cookie; /* stored, and shown to waiters, without it; the requester who caused it gets it */
};

/** @param content_length  -1 when not known yet: the caller enforces policy.content_limit_bytes as it comes */
struct storable_decision storable_decide(const struct request_head *request, const struct response_head *response,
                                         const struct policy *p, const struct stored_head *s, int64_t content_length);
/** The same where directives_in_force are known. */
struct storable_decision storable_decide_by(const struct request_head *request, const struct response_head *response,
                                            const struct policy *p, const struct response_directives *d,
                                            const struct stored_head *s, int64_t content_length);

/** Whether one field line of the response becomes part of the stored response (§3.1, §5.2.2.4, §5.2.2.7): not hop-by-hop,
 *  not named by Connection, not listed by no-cache="..." or private="...", not a Set-Cookie that is stripped, not Age
 *  (kept as a number) and not Content-Length (kept as the content's length). */
bool storable_field(struct field_section response, const struct field *line, const struct response_directives *d,
                    const struct storable_decision *decision);

/** It was not stored for what its request said, which says nothing of what is stored already. */
bool storable_reason_is_of_request(enum storable_reason r);
const char *storable_reason_name(enum storable_reason r);    /* for Cache-Status detail and the log: "set-cookie" */
const char *storable_reason_section(enum storable_reason r); /* "RFC 9111 §3.5" */
const char *storable_reason_text(enum storable_reason r);    /* a sentence for explain */

#endif
