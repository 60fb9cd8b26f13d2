/* reuse: what to do with a request, given what is stored for it (RFC 9111 §4). Decisions: pure. */
#ifndef WEIR_CACHE_REUSE_H
#define WEIR_CACHE_REUSE_H

#include "cache/freshness.h"

enum reuse_verdict {
    REUSE_FRESH,           /* serve it */
    REUSE_STALE,           /* serve it; refresh_behind says whether a refresh goes out */
    REUSE_VALIDATE,        /* ask the origin, with the stored validators when there are any */
    REUSE_FORWARD,         /* forward as if nothing were stored */
    REUSE_GATEWAY_TIMEOUT, /* only-if-cached that nothing satisfies: 504 */
    REUSE_PASS,            /* forward, never collapse, store only if may_store_answer: the method or the route */
};

enum reuse_reason {
    REUSE_BECAUSE_FRESH,
    REUSE_BECAUSE_SWR,
    REUSE_BECAUSE_MAX_STALE,
    REUSE_BECAUSE_STALE,
    REUSE_BECAUSE_NO_CACHE,
    REUSE_BECAUSE_PURGED_SOFT,
    REUSE_BECAUSE_REQUEST,
    REUSE_BECAUSE_EARLY, /* probabilistic early refresh: fresh, and refreshed behind */
    REUSE_BECAUSE_URI_MISS,
    REUSE_BECAUSE_VARY_MISS,
    REUSE_BECAUSE_PURGED,
    REUSE_BECAUSE_METHOD,
    REUSE_BECAUSE_BYPASS,
    REUSE_BECAUSE_PARTIAL,
    REUSE_BECAUSE_ONLY_IF_CACHED,
};

/* What lookup found. */
enum found { FOUND_NOTHING, FOUND_OTHER_VARIANT, FOUND_PURGED, FOUND_RESPONSE };

struct reuse_inputs {
    enum found found;
    const struct stored_head *stored; /* FOUND_RESPONSE only */
    uint64_t key_hash;
    bool purged_soft;     /* a soft purge after its fetch began: stale since then */
    int64_t soft_age_s;   /* seconds since that purge, from where the stale windows count; 0 when not known */
    bool range_satisfied; /* stored part covers what the request asks for (or the whole is stored) */
};

struct reuse_decision {
    enum reuse_verdict verdict;
    enum reuse_reason reason;
    int64_t age_s, lifetime_s; /* of the stored response, when there is one */
    enum lifetime_source source;
    bool refresh_behind; /* answer now, validate in the background: RFC 5861 §3 */
    bool
        may_store_answer; /* false for a request with no-store: its answer is passed on only. True for the refresh behind
                              an answer, and for POST (REUSE_PASS), which storable_decide may let in for GET */
};

/** Looks at the method, the route's policy, what was found, and the request's Cache-Control: only no-store and
 *  only-if-cached unless policy.trust_request_directives. Equality of age and lifetime is stale (§4.2). */
struct reuse_decision reuse_decide(const struct request_head *request, const struct reuse_inputs *in,
                                   const struct policy *p, int64_t now_s);

/** Whether a stale response may stand in for what the origin failed to give (RFC 5861 §4, design section 4).
 *  @param status  the 5xx the origin sent; 0: no answer at all (unreachable, closed, timed out, cut short)
 *  @param soft_age_s  since a soft purge ended its freshness; -1: none did */
bool reuse_stale_if_error(const struct request_head *request, const struct stored_head *s, const struct policy *p,
                          uint64_t key_hash, int status, int64_t soft_age_s, int64_t now_s);

/** Probabilistic early refresh, XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015): a fresh response is refreshed before it
 *  goes stale, the likelier the nearer that is and the longer its fetch took, so that no client waits for it and not all
 *  refresh at once.
 *  @param d       a decision of REUSE_FRESH
 *  @param random  uniform in (0, 1] */
bool reuse_is_early(const struct stored_head *s, const struct reuse_decision *d, const struct policy *p, double random);

const char *reuse_reason_name(enum reuse_reason r);
const char *reuse_reason_section(enum reuse_reason r);
const char *reuse_reason_text(enum reuse_reason r);

#endif
