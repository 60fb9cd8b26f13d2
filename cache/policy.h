/* policy: the operator's choices about caching (design, "Choices where HTTP leaves one"), one struct per route.
 * Ownership: whoever builds it keeps what it points to alive while any exchange may use it; it never changes once
 * exchanges see it. Threads: read by all.                                                                     */
#ifndef WEIR_CACHE_POLICY_H
#define WEIR_CACHE_POLICY_H

#include "headers/field.h"

enum { POLICY_TARGETED_MAX = 8, POLICY_STATUS_MAX = 32, POLICY_VARY_MAX = 16, POLICY_UNSET_S = -1 };

struct views {
    const struct view *at;
    size_t count;
};

/* What Vary on one field means to the key. */
enum vary_handling { VARY_NORMALISE, VARY_RAW, VARY_IGNORE, VARY_BYPASS, VARY_ALLOW };

struct vary_rule {
    struct view name; /* lower case */
    enum vary_handling handling;
    const struct view *allowed; /* VARY_ALLOW: values kept; any other counts as absent */
    size_t allowed_count;
};

struct status_lifetime {
    int status; /* 1 to 5: every status of that class which has no rule of its own */
    int64_t lifetime_s;
};

enum set_cookie_handling { SET_COOKIE_STRIP, SET_COOKIE_KEEP };

/* What goes into the key besides method, scheme and path. Names of query parameters may hold "*": any run of characters. */
struct key_rules {
    bool in_use;      /* any of the following says something */
    struct view host; /* stands for every host of the route; empty: each host has responses of its own */
    bool sort_query;  /* by the parameters' names; equal names keep their order */
    bool keep_only;   /* no parameter but those of `keep` */
    struct views keep, drop;
    struct views fields;  /* lower case: their values are part of the key */
    struct views cookies; /* the same for cookies, case kept */
};

struct policy {
    struct view version;       /* cache.version: part of every key */
    bool store;                /* false: pass, nothing is stored (a route that never caches) */
    bool pin;                  /* eviction leaves its responses alone, within a share of each tier */
    unsigned uncached_methods; /* a bit, 1u << enum method, for each that is passed although it could be cached */
    struct key_rules key;
    /* freshness (seconds; POLICY_UNSET_S: the response alone decides) */
    int64_t default_lifetime_s; /* when the response says nothing and no heuristic applies */
    int64_t minimum_lifetime_s, maximum_lifetime_s;
    struct status_lifetime status_lifetimes[POLICY_STATUS_MAX]; /* overrides what the response says */
    size_t status_lifetime_count;
    bool heuristics;
    int heuristic_percent;       /* of the time since Last-Modified: 10 */
    int64_t heuristic_maximum_s; /* 3600 */
    int jitter_percent;          /* lifetimes are shortened by up to this, the same for equal keys; 0: off */
    /* stale */
    int64_t stale_if_unreachable_s;       /* 60 */
    int early_refresh_percent;            /* beta of XFetch, in percent: 100; 0: off */
    int64_t default_swr_s, default_sie_s; /* when the response does not say; unset: none */
    bool stale_with_s_maxage; /* honour swr and sie beside s-maxage; false: the letter of RFC 9111 §4.2.4 */
    /* requests */
    bool trust_request_directives; /* a client's Cache-Control and Pragma may steer */
    bool authorization_is_ours;    /* weir checked it itself: it is no concern of the origin's, nor of RFC 9111 §3.5 */
    /* responses */
    enum set_cookie_handling set_cookie;
    enum field_id targeted[POLICY_TARGETED_MAX];     /* RFC 9213, first wins; default CDN-Cache-Control */
    struct view targeted_names[POLICY_TARGETED_MAX]; /* of those that are FIELD_OTHER, in any case */
    size_t targeted_count;
    bool strip_targeted;
    bool status_key; /* Cache-Status names the key (RFC 9211 §2.7) */
    bool
        pass_tags; /* Surrogate-Key, Cache-Tag and xkey are passed on: a shield's clients are caches that purge by them */
    const char
        *client_cache_control;   /* what clients hear in place of a stored response's own freshness; NULL: its own */
    int64_t content_limit_bytes; /* a larger content is not stored */
    /* variants */
    const struct vary_rule *vary_rules;
    size_t vary_rule_count;
    int vary_maximum_variants;             /* 64 */
    int64_t range_fetch_whole_limit_bytes; /* 64 MiB */
    int64_t hit_for_miss_s;                /* how long "cannot be shared" is remembered: 120 */
};

/** The defaults of the design. */
void policy_defaults(struct policy *out);

#endif
