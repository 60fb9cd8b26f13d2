/* weir: the parts that main builds once and hands to workers and admin. Nothing here is a global.
 * Threads: set up before the threads start; afterwards the parts say themselves who may call them.  */
#ifndef WEIR_PROXY_WEIR_H
#define WEIR_PROXY_WEIR_H

#include "cache/cache.h"
#include "proxy/clock.h"
#include "proxy/site.h"
#include "purge/purge.h"

#include <sys/socket.h>

enum { WEIR_WORKERS_MAX = 256, WEIR_LISTENERS_MAX = 64 };

struct worker;

struct weir {
    struct clock clock;
    struct cache *cache;
    struct store *store; /* NULL: memory only */
    struct purges *purges;
    struct site *site; /* what new requests begin under */
    char *admin_token; /* NULL: none is configured */
    char instance[17]; /* CDN-Loop's id: random, in hexadecimal */
    struct worker *workers[WEIR_WORKERS_MAX];
    size_t worker_count;
    int64_t started_s;
    int64_t drain_ms;
    atomic_bool draining;
    atomic_size_t landings; /* responses on their way into the cache */
};

/** A stored response as purges see it. Borrows from it. */
struct purge_subject object_purge_subject(const struct object *o);
/** Whether a peer may purge: loopback, or a bearer token that matches. */
bool weir_may_purge(const struct weir *w, const struct sockaddr *peer, struct field_section request);
/** `Authorization: Bearer` against the configured token, in constant time; false when none is configured. */
bool weir_token_matches(const struct weir *w, struct field_section request);

#endif
