/* weir: the parts that main builds once and hands to workers and admin. Nothing here is a global.
 * Threads: set up before the threads start; afterwards the parts say themselves who may call them.  */
#ifndef WEIR_PROXY_WEIR_H
#define WEIR_PROXY_WEIR_H

#include "cache/cache.h"
#include "proxy/clock.h"
#include "proxy/site.h"
#include "purge/purge.h"

#include <pthread.h>
#include <sys/socket.h>

enum { WEIR_WORKERS_MAX = 256, WEIR_LISTENERS_MAX = 64 };

struct worker;
struct reloader;
struct resolver;
struct dns;
struct passwords;
struct health;
struct refill;
struct access_log;

struct weir {
    struct clock clock;
    struct cache *cache;
    struct store *store; /* NULL: memory only */
    struct purges *purges;
    pthread_mutex_t site_lock;
    struct site *site; /* what new requests begin under; under site_lock: see weir_site */
    struct reloader *reloader;
    struct resolver *resolver; /* of origin servers' names; NULL: none */
    struct dns *dns;           /* whom it asks */
    struct passwords *passwords;
    struct health *health;         /* NULL: nobody checks */
    struct refill *refill;         /* of memory, after a start */
    struct access_log *access_log; /* NULL: none is written */
    char instance[17];             /* CDN-Loop's id: random, in hexadecimal */
    unsigned connections_max;      /* of clients, for each worker */
    struct worker *workers[WEIR_WORKERS_MAX];
    size_t worker_count;
    int64_t started_s;
    _Atomic int64_t drain_ms;
    atomic_bool draining;
    atomic_size_t landings; /* responses on their way into the cache */
};

/** A stored response as purges see it. Borrows from it. */
struct purge_subject object_purge_subject(const struct object *o);
/** A reference to what new requests begin under. Any thread. */
struct site *weir_site(struct weir *w);
/** Whether a peer may purge: one of purge.allow that speaks for itself, or a bearer token that matches. */
bool weir_may_purge(const struct settings *s, const struct sockaddr *peer, struct field_section request);
/** `Authorization: Bearer` against the configured tokens, in constant time; false when none is configured. */
bool weir_token_matches(const struct settings *s, struct field_section request);

#endif
