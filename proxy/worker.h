/* worker: one event loop in one thread: listeners, front end, origin client, and the exchanges and fetches between them.
 * An exchange stays with its worker; so does a fetch with the worker that began it.
 * Ownership: worker_new gives one, worker_free ends it. Threads: worker_start and after that only worker_stop, from any.   */
#ifndef WEIR_PROXY_WORKER_H
#define WEIR_PROXY_WORKER_H

#include "proxy/front.h"
#include "proxy/heap.h"
#include "proxy/origin.h"
#include "proxy/stats.h"
#include "proxy/tunnel.h"
#include "proxy/weir.h"

#include <pthread.h>

struct exchange;
struct fetch;

struct worker {
    struct weir *weir;
    struct loop *loop;
    struct front *front;
    struct origin_client *origin;
    struct tunnels *tunnels;
    struct counters counters;
    /* Scratch for the request at hand: what outlives the call is copied out of it. */
    char key_text[KEY_TEXT_MAX];
    char variant_text[VARIANT_TEXT_MAX];
    struct exchange *free_exchanges; /* kept for reuse, at most WORKER_FREE_EXCHANGES_MAX */
    size_t free_exchange_count;
    struct kept_replies *kept;   /* exchange_kept.c */
    struct access_lines *access; /* NULL: no access log */
    struct fetch *free_fetches;  /* as the exchanges, at most WORKER_FREE_FETCHES_MAX */
    size_t free_fetch_count;
    size_t exchanges, fetches; /* alive */
    struct heap_ahead heap;
    struct site_lease *lease;         /* what new requests begin under */
    _Atomic(struct site *) next_site; /* on its way here; NULL: none */
    struct loop_task site_task;
    struct loop_task drain_task;
    struct loop_timer drain_timer;
    bool draining, drain_over, started;
    bool breaking_off;     /* nobody is asked any more */
    int64_t unbelieved_ms; /* when a peer that may send no PROXY header was last told of; 0: never */
    uint64_t random;       /* state of worker_random */
    pthread_t thread;
};

enum { WORKER_FREE_EXCHANGES_MAX = 1024, WORKER_FREE_FETCHES_MAX = 256 };

/** @param fds  listening sockets, taken over */
MUST_USE struct worker *worker_new(struct weir *w, const int *fds, size_t n, char *why, size_t cap);
MUST_USE int worker_start(struct worker *k);
/** Ask it to drain and end: stop accepting, finish what is under way, at most weir->drain_ms. */
void worker_stop(struct worker *k);
/** Begin new requests under `next`, whose reference it takes over. Any thread. */
void worker_take_site(struct worker *k, struct site *next);
/** Wait for its thread. The counters can still be read. */
void worker_join(struct worker *k);
/** When nobody reads its counters any more; also one that was never started. */
void worker_free(struct worker *k);

/** Uniform in (0, 1]; good enough to spread refreshes, for nothing else. */
double worker_random(struct worker *k);

#endif
