/* origin_gate: how many fetches are under way at an origin, all workers together, and who waits for a place. What clients
 * wait for goes first: background refreshes get a place only when nobody else wants it.
 * Ownership: waiters are embedded in their owners, who cancel before they go. Threads: any.                              */
#ifndef WEIR_PROXY_ORIGIN_GATE_H
#define WEIR_PROXY_ORIGIN_GATE_H

#include "proxy/loop.h"

#include <pthread.h>
#include <sys/queue.h>

struct gate_waiter {
    struct loop *loop; /* where `admitted` is to run */
    struct loop_task admitted;
    bool background;
    bool waits; /* the gate's */
    TAILQ_ENTRY(gate_waiter) in_queue;
};

TAILQ_HEAD(gate_queue, gate_waiter);

struct origin_gate {
    size_t places, queue_max; /* places 0: no limit, nothing is counted */
    pthread_mutex_t lock;
    size_t taken, waiting[2]; /* of background false, true */
    size_t giving_way;        /* of those taken */
    struct gate_queue queues[2];
    uint64_t refused;
};

void origin_gate_init(struct origin_gate *g, size_t places, size_t queue_max);
void origin_gate_end(struct origin_gate *g);

enum gate_verdict { GATE_OPEN, GATE_WAIT, GATE_FULL };
/** GATE_OPEN: a place is taken, to be left. GATE_WAIT: w->admitted is posted once it has a place. */
MUST_USE enum gate_verdict origin_gate_enter(struct origin_gate *g, struct gate_waiter *w);
/** A place only if one is free at once. */
MUST_USE bool origin_gate_try(struct origin_gate *g);
void origin_gate_leave(struct origin_gate *g);
/** Who has a place and makes no use of it gives it up soon, if more clients wait than that makes room for.
 *  @return whether it is to be given up; then origin_gate_gave_way is called with origin_gate_leave */
MUST_USE bool origin_gate_give_way(struct origin_gate *g);
void origin_gate_gave_way(struct origin_gate *g);
/** Wait no longer. @return false: it has a place already, and is being told */
MUST_USE bool origin_gate_cancel(struct origin_gate *g, struct gate_waiter *w);

struct gate_counts {
    size_t taken, waiting;
    uint64_t refused;
};
struct gate_counts origin_gate_counts(struct origin_gate *g);

#endif
