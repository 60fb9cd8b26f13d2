/* precondition: the client's own conditions and ranges against the response chosen for it (RFC 9110 §13, §14).
 * Decisions: pure.                                                                                           */
#ifndef WEIR_CACHE_PRECONDITION_H
#define WEIR_CACHE_PRECONDITION_H

#include "cache/freshness.h"
#include "headers/range.h"

enum precondition_verdict {
    PRECONDITION_WHOLE,
    PRECONDITION_NOT_MODIFIED,
    PRECONDITION_FAILED,
    PRECONDITION_PARTS,
    PRECONDITION_UNSATISFIABLE
};

struct precondition_decision {
    enum precondition_verdict verdict;
    struct range_set ranges; /* PRECONDITION_PARTS */
};

/** In the order of RFC 9110 §13.2.2. If-Match and If-Unmodified-Since are left to the origin (they never reach here for
 *  safe requests that weir answers itself unless stored validators decide them: then 412).
 *  If-None-Match: weak comparison, wins over If-Modified-Since. Only a 200 (or a stored part) is made conditional.
 *  If-Range needs a strong match, or an exact Last-Modified that is strong (§13.1.5, §8.8.2.2).
 *  @param length  of the complete representation; -1 while it is not known: Range is then ignored */
struct precondition_decision precondition_decide(const struct request_head *request, int status,
                                                 struct field_section stored, int64_t length, int64_t now_s);

/** Fields of a stored 200 that a 304 carries (RFC 9110 §15.4.5): Cache-Control, Content-Location, Date, ETag, Expires,
 *  Vary, Last-Modified, CDN-Cache-Control, Set-Cookie never; everything that is not representation metadata. */
bool not_modified_field(enum field_id id);

#endif
