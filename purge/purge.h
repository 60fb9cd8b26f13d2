/* purge: one durable sequence of purges; a response fetched before a purge that matches it is not used (design, "A purge
 * is a point in time").
 *
 * Every stored response and every fetch carries the number of the sequence at which its fetch began. A purge takes the next
 * number, becomes visible to every lookup, is committed to the store, and only then is acknowledged. Lookups compare one
 * atomic number unless a purge has happened since the response was last checked.
 *
 * A line (a purge of one name) is forgotten once nothing is left that it could match. A thread of purge's own does this in
 * rounds: it waits until every fetch that began before the purge has ended, removes what the store has (hard lines), lets
 * the owner of the memory tier sweep it, waits once more for what was being looked up meanwhile, and forgets.
 * A soft line removes nothing: it goes when the store holds nothing older any more.
 *
 * Ownership: purge_open gives the table, purge_close ends it. Threads: purge_current_seq and purge_check may be called from
 * any thread at any time and wait only for a short lock, and only after a purge; purge_begin from any thread, it never
 * waits for the disk.
 * Limits: PURGE_LINES_MAX names that are not yet reclaimed. At the limit the older half is folded into "everything fetched
 * before N is purged", one line for the hard ones and one for the soft: more is fetched again, never less. A prefix is
 * compared up to its first 400 bytes.                                                                                 */
#ifndef WEIR_PURGE_PURGE_H
#define WEIR_PURGE_PURGE_H

#include "cache/key.h"
#include "cache/store.h"

enum { PURGE_LINES_MAX = 200 * 1000, PURGE_ITEMS_MAX = 10 * 1000 };

struct purges;

/** @param store  NULL: nothing is durable (no store); the sequence lives in memory. Loads the log.
 *  @return       NULL: no memory */
struct purges *purge_open(struct store *store, int64_t now_s);
/** Before store_close: waits for purges not yet acknowledged and for a sweep under way, and ends the thread. No purge may
 *  begin any more; what the store has queued may still end its fetches. */
void purge_stop(struct purges *p);
/** When nobody can call any more; stops first if that was not done. With fetches that end in the store's thread: after
 *  store_close. */
void purge_close(struct purges *p);

/** The number that a fetch which begins now carries. */
uint64_t purge_current_seq(const struct purges *p);

/* What came before a purge must not turn up after its line has been forgotten. So whoever fetches from the origin, or takes
 * a response from the store into memory, says when it begins and when it has ended:
 *   begin; fetch or store_get; purge_check; insert into memory, store_put queued (or given up); end.
 * A response in memory is guarded by the sweep: its line outlives the sweep by purge_set_pause_ms, which is for lookups that
 * found it just before, and have not yet asked. */

/** @return the number that what begins now carries, as purge_current_seq */
uint64_t purge_fetch_begin(struct purges *p);
/** @param seq  what purge_fetch_begin gave
 *  @return     false: it took so long that it was given up on, since purges kept coming; it must not stay in memory or in
 *              the store, and purge_check may not have known every purge since */
MUST_USE bool purge_fetch_end(struct purges *p, uint64_t seq);
/** The same where nothing was kept: it does not matter whether it was given up on. */
void purge_fetch_drop(struct purges *p, uint64_t seq);

/* What may be purged: a stored response, or a fetch under way. */
struct purge_subject {
    struct view uri;       /* the target URI as in the cache key: normalised, "http://host/path?query" */
    struct view authority; /* its host, inside uri */
    const uint64_t *tags;  /* hashes, from tags_of_response */
    size_t tag_count;
    bool tags_known; /* false for a fetch whose head has not come: any tag purge since then may match */
    bool under_way;  /* a fetch between purge_fetch_begin and purge_fetch_end: hard when it was given up on */
    uint64_t fetch_seq;
};

/** The part of an absolute URI that is its authority. */
struct view purge_authority_of(struct view uri);

struct purge_verdict {
    bool hard; /* not usable at all */
    bool soft; /* usable as stale */
    int64_t soft_since_s;
    uint64_t checked_seq; /* nothing up to here needs to be checked again, as long as the verdict is kept with it */
};
struct purge_verdict purge_check(struct purges *p, const struct purge_subject *s);

/* One atomic purge of any mix. Everything borrows until purge_begin returns. */
struct purge_request {
    const struct view *uris;        /* as in the cache key (normalised; key_uri) */
    const struct store_id *uri_ids; /* the id (variant 0) of each uri's GET key, to reclaim and count without a scan */
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
    int error; /* 0; otherwise nothing is promised: -EIO (in force, but not durable), -ENOMEM, -E2BIG (nothing done) */
    uint64_t seq;     /* the purge's number: its id */
    uint64_t matched; /* stored responses that matched and were usable before; see count.h for how exact this is */
};
/* Called once, from a thread of the store or from inside purge_begin; must not block: post to your own loop. */
typedef void (*purge_done)(void *arg, const struct purge_result *result);
void purge_begin(struct purges *p, const struct purge_request *r, int64_t now_s, purge_done done, void *arg);

/* ---- what the owner of the memory tier provides; set before the first fetch */

/** `sweep` looks at everything in memory, flights included, whose checked_seq (or else fetch_seq) is below below_seq: it runs
 *  purge_check, drops what is hard, and keeps the verdict with the rest: checked_seq, and the soft mark. Called from
 *  purge's own thread, at most one at a time. */
void purge_set_sweeper(struct purges *p, void (*sweep)(void *arg, uint64_t below_seq), void *arg);

/** How long a line is kept at least after its responses are gone; 1000 ms. It also bounds the sweeps per second. */
void purge_set_pause_ms(struct purges *p, unsigned pause_ms);

struct purge_stats {
    uint64_t seq, lines, purges, matched;
    uint64_t folded;           /* times that PURGE_LINES_MAX was reached */
    uint64_t reclaims_waiting; /* lines with a hard purge that are not yet forgotten */
    uint64_t given_up;         /* fetches that were given up on */
};
void purge_stats(struct purges *p, struct purge_stats *out);

#endif
