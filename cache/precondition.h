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

/** In the order of RFC 9110 §13.2.2, against what is stored. Conditions count for GET, HEAD and QUERY, and only where the
 *  answer would be a 2xx (§13.2.1); ranges for GET of a 200 or of a stored part.
 *  If-Match, If-Unmodified-Since: PRECONDITION_FAILED (412) when the stored validators say so.
 *  If-None-Match: weak comparison, wins over If-Modified-Since.
 *  If-Range needs a strong match, or an exact Last-Modified that is strong (§13.1.5, §8.8.2.2).
 *  @param stored  the stored fields
 *  @param length  of the complete representation; -1 while it is not known: Range is then ignored
 *  @return        ranges.parts are set only for PRECONDITION_PARTS */
struct precondition_decision precondition_decide(const struct request_head *request, int status,
                                                 struct field_section stored, int64_t length, int64_t now_s);

/** Whether a stored part (a 206, RFC 9111 §3.3) has every byte that the request asks for: a GET with a Range wholly inside
 *  it, and an If-Range, if there is one, that holds. What is stored whole always has.
 *  @param stored       the stored fields
 *  @param part_length  bytes that are stored, from s->content_first on */
bool precondition_part_covers(const struct request_head *request, const struct stored_head *s,
                              struct field_section stored, int64_t part_length, int64_t now_s);

/** Fields of a stored 200 that a 304 carries (RFC 9110 §15.4.5): Cache-Control, Content-Location, Date, ETag, Expires,
 *  Vary, Last-Modified, CDN-Cache-Control, Set-Cookie never; everything that is not representation metadata. */
bool not_modified_field(enum field_id id);

#endif
