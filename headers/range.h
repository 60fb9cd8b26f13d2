/* range: Range and Content-Range in bytes (RFC 9110 §14). Pure functions. */
#ifndef WEIR_HEADERS_RANGE_H
#define WEIR_HEADERS_RANGE_H

#include "headers/view.h"

enum { RANGE_MAX_PARTS = 16 };

struct byte_range {
    int64_t first, last; /* inclusive */
};

enum range_verdict {
    RANGE_NONE,          /* not "bytes", malformed, or abusive (§14.2: may be ignored): answer the whole */
    RANGE_SATISFIABLE,   /* parts[0..count) */
    RANGE_UNSATISFIABLE, /* 416 */
};

struct range_set {
    enum range_verdict verdict;
    size_t count;
    struct byte_range parts[RANGE_MAX_PARTS];
};

/** Range against a content of `length` bytes: first-last, first-, -suffix, several of them. Parts that cannot be
 *  satisfied are left out; parts that overlap or touch are coalesced when that keeps their order (§15.3.7.2); more
 *  than RANGE_MAX_PARTS, or more than two overlapping ones, is abusive (§17.15): RANGE_NONE. */
struct range_set range_parse(struct view value, int64_t length);

struct content_range {
    bool satisfied; /* false: "bytes * /length" of a 416 */
    int64_t first, last;
    int64_t length; /* -1: "*" */
};
/** Strict: only the unit "bytes", first <= last < length. */
MUST_USE bool content_range_parse(struct view value, struct content_range *out);

/** What a Range value asks for before the length is known: one part, or false.
 *  @param first  -1 for a suffix; @param last  -1 for "to the end" (or the suffix length when first is -1) */
MUST_USE bool range_parse_single(struct view value, int64_t *first, int64_t *last);

#endif
