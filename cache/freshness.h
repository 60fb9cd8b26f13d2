/* freshness: how long a response is fresh and how old it is (RFC 9111 §4.2). Decisions: pure, the clock is passed in. */
#ifndef WEIR_CACHE_FRESHNESS_H
#define WEIR_CACHE_FRESHNESS_H

#include "cache/policy.h"
#include "headers/cache_control.h"
#include "headers/message.h"

enum lifetime_source {
    LIFETIME_NONE,
    LIFETIME_TARGETED,
    LIFETIME_S_MAXAGE,
    LIFETIME_MAX_AGE,
    LIFETIME_EXPIRES,
    LIFETIME_HEURISTIC,
    LIFETIME_STATUS_RULE,
    LIFETIME_DEFAULT
};

enum stored_flag {
    STORED_NO_CACHE = 1 << 0,        /* validate before every use */
    STORED_MUST_REVALIDATE = 1 << 1, /* must-revalidate or proxy-revalidate */
    STORED_S_MAXAGE = 1 << 2,        /* proxy-revalidate semantics of §5.2.2.10 */
    STORED_HAS_VALIDATOR = 1 << 3,   /* ETag or Last-Modified */
    STORED_STRONG_ETAG = 1 << 4,
    STORED_HEURISTIC_STATUS = 1 << 5, /* RFC 9110 §15.1 */
    STORED_PRAGMA_NO_CACHE = 1 << 6,  /* no heuristic */
    STORED_PUBLIC = 1 << 7,
    STORED_PARTIAL = 1 << 8,    /* a 206: content is the part in content_first..content_last */
    STORED_AUTHORIZED = 1 << 9, /* the request had Authorization, and §3.5 allowed storing */
    STORED_IMMUTABLE = 1 << 10,
    STORED_FIELD_LISTED_NO_CACHE = 1 << 11, /* no-cache="..." : the listed fields were not stored */
    STORED_HTTP_1_0 = 1 << 12,              /* the version it was received with, for Via (RFC 9110 §7.6.3) */
};

/* What reuse needs of a stored response, in numbers; small because there is one per stored response. Goes into the
 * record byte for byte (fixed-width members, no pointers). */
struct stored_head {
    int64_t last_modified_s;               /* -1: none */
    int64_t content_first, content_length; /* of a part: where it begins, and the length of the whole (-1: unknown) */
    uint32_t response_time_s;              /* when the head had arrived; the clock is UTC seconds */
    int32_t initial_age_s;                 /* corrected_initial_age, §4.2.3 */
    int32_t lifetime_s;                    /* explicit lifetime; -1: the response says none */
    int32_t since_modified_s;              /* Date minus Last-Modified, for the heuristic; -1: no Last-Modified */
    int32_t swr_s, sie_s;                  /* RFC 5861; -1: the response says nothing */
    int32_t fetch_ms;                      /* how long the fetch took until the last byte */
    uint32_t pinned_until_s;               /* UTC seconds: eviction leaves it alone until then; 0: it is not pinned */
    uint16_t status;
    uint16_t flags; /* enum stored_flag */
    uint8_t source; /* enum lifetime_source of lifetime_s */
    uint8_t reserved[3];
};

struct response_times {
    int64_t request_time_s, response_time_s; /* §4.2.3 */
};

/** The directives that bind weir: those of the first targeted field that applies (RFC 9213 §2.2), which replaces
 *  Cache-Control and Expires alike; else those of Cache-Control. Borrows from the section. */
struct response_directives directives_in_force(struct field_section response, const struct policy *p);

/** Read a response (with its Date, added when it was missing) into numbers.
 *  @param request  for Authorization */
void stored_head_of(const struct request_head *request, const struct response_head *response, const struct policy *p,
                    const struct response_times *times, struct stored_head *out);
/** The same where directives_in_force are known. */
void stored_head_by(const struct request_head *request, const struct response_head *response,
                    const struct response_directives *d, const struct response_times *times, struct stored_head *out);

/** The same once a 304 has freshened it (§4.3.4): its age starts anew from the Age and Date of the 304; status and part
 *  stay those of `before`.
 *  @param freshened     the stored fields after freshening
 *  @param not_modified  the fields of the 304 as received */
void stored_head_freshened(const struct stored_head *before, const struct request_head *request,
                           struct field_section freshened, struct field_section not_modified, const struct policy *p,
                           const struct response_times *times, struct stored_head *out);

/** current_age, §4.2.3; never negative. */
int64_t current_age_s(const struct stored_head *s, int64_t now_s);

struct lifetime {
    int64_t lifetime_s; /* effective: after the operator's limits and jitter */
    enum lifetime_source source;
    bool limited; /* the operator's limits changed it */
};
/** Freshness lifetime §4.2.1, the heuristic of §4.2.2, and the operator's limits.
 *  @param key_hash  seed of the jitter, so that equal keys agree */
struct lifetime freshness_lifetime(const struct stored_head *s, const struct policy *p, uint64_t key_hash);

/** For stored_head.pinned_until_s, when the policy pins: as long as it is fresh, or may be used stale. */
uint32_t pinned_until_s(const struct stored_head *s, const struct policy *p, uint64_t key_hash);

const char *lifetime_source_name(enum lifetime_source source); /* "s-maxage", "Expires", "heuristic", ... */

#endif
