/* purge: one durable sequence of purges; a response fetched before a purge that matches it is not used (design, "A purge
 * is a point in time").
 *
 * Every stored response and every fetch carries the number of the sequence at which its fetch began. A purge takes the next
 * number, becomes visible to every lookup, is committed to the store, and only then is acknowledged. Lookups compare one
 * atomic number unless a purge has happened since the response was last checked.
 *
 * Ownership: purge_open gives the table, purge_close ends it. Threads: purge_current_seq and purge_check may be called from
 * any thread at any time and wait only for a short lock, and only after a purge; purge_begin from any thread.
 * Limits: PURGE_LINES_MAX lines that are not yet reclaimed. At the limit the older half is folded into one line "everything
 * fetched before N is purged", hard if any of them was: more is fetched again, never less.                             */
#ifndef WEIR_PURGE_PURGE_H
#define WEIR_PURGE_PURGE_H

#include "cache/key.h"
#include "cache/store.h"

enum { PURGE_LINES_MAX = 200 * 1000, PURGE_ITEMS_MAX = 10 * 1000 };

struct purges;

/** @param store  NULL: nothing is durable (no store); the sequence lives in memory. Loads the log. */
struct purges *purge_open(struct store *store, int64_t now_s);
void purge_close(struct purges *p);

/** The number that a fetch which begins now carries. */
uint64_t purge_current_seq(const struct purges *p);

/* What may be purged: a stored response, or a fetch under way. */
struct purge_subject {
    struct view uri;       /* the target URI as in the cache key: normalised, "http://host/path?query" */
    struct view authority; /* its host, inside uri */
    const uint64_t *tags;  /* hashes, from tags_of_response */
    size_t tag_count;
    bool tags_known; /* false for a fetch whose head has not come: any tag purge since then may match */
    uint64_t fetch_seq;
};

struct purge_verdict {
    bool hard; /* not usable at all */
    bool soft; /* usable as stale */
    int64_t soft_since_s;
    uint64_t checked_seq; /* nothing up to here needs to be checked again (when neither hard nor soft) */
};
struct purge_verdict purge_check(struct purges *p, const struct purge_subject *s);

/* One atomic purge of any mix. Everything borrows until purge_begin returns. */
struct purge_request {
    const struct view *uris;        /* as in the cache key (normalised; key_uri) */
    const struct store_id *uri_ids; /* the id (variant 0) of each uri's key, to reclaim and count without a scan */
    size_t uri_count;
    const struct view *tags;
    size_t tag_count;
    const struct view *groups; /* of `group_authority` */
    size_t group_count;
    struct view group_authority;
    const struct view *prefixes; /* of normalised URIs: "http://host/path..." */
    size_t prefix_count;
    const struct view *hosts; /* normalised authorities */
    size_t host_count;
    bool all, soft, dry_run;
    bool count; /* whether the caller wants `matched` */
};

struct purge_result {
    int error;        /* 0; otherwise nothing is promised: -EIO (not durable), -ENOMEM, -E2BIG */
    uint64_t seq;     /* the purge's number: its id */
    uint64_t matched; /* stored responses that matched and were usable before */
};
/* Called once, from the store's writer thread or (without a store, or for a dry run) from any other thread or from inside
 * purge_begin; must not block: post to your own loop. */
typedef void (*purge_done)(void *arg, const struct purge_result *result);
void purge_begin(struct purges *p, const struct purge_request *r, int64_t now_s, purge_done done, void *arg);

struct purge_stats {
    uint64_t seq, lines, purges, matched, folded, reclaims_waiting;
};
void purge_stats(struct purges *p, struct purge_stats *out);

#endif
