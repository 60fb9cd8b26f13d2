/* eviction: who leaves when a tier is full: S3-FIFO (Yang et al., SOSP 2023). New entries pass through a small queue; those
 * asked for again move on to the main queue, the others leave early and are remembered as ghosts: one that comes back before
 * as many others have left as are held goes to the main queue at once. A scan therefore never pushes out what is asked for
 * often.
 * Ownership: nodes are embedded in their owners. Threads: the caller's lock, save eviction_touch, which is one relaxed
 * write at most.                                                                                                        */
#ifndef WEIR_CACHE_EVICTION_H
#define WEIR_CACHE_EVICTION_H

#include "headers/view.h"

#include <stdatomic.h>

enum { EVICTION_SMALL_PERCENT = 10, EVICTION_FREQUENCY_MAX = 3, EVICTION_REFUSALS_MAX = 128 };

/* One of these in every response in memory: 24 bytes. */
struct eviction_node {
    struct eviction_node *newer, *older;
    uint32_t bytes_low; /* eviction_node_bytes */
    uint16_t bytes_high;
    _Atomic uint8_t frequency; /* uses since it was last looked at, at most EVICTION_FREQUENCY_MAX */
    uint8_t queue;             /* 0: in none */
};

struct eviction_queue {
    struct eviction_node *newest, *oldest;
    uint64_t bytes;
};

/* One that left the small queue unused. */
struct eviction_ghost {
    uint32_t fingerprint; /* 0: an empty slot */
    uint32_t left;        /* how many had left by then, itself included, modulo 2^32 */
};

struct eviction {
    struct eviction_queue small, main, pinned; /* the hand does not visit the pinned */
    struct eviction_ghost *ghosts;             /* hash table, newest replaces oldest in its place */
    size_t ghost_mask;
    uint32_t (*hash_of)(void *arg, const struct eviction_node *n);
    void *hash_arg;
    uint32_t held;    /* entries in all queues */
    uint32_t left;    /* the small queue unused, so far */
    unsigned refused; /* in a row */
};

/** @param ghost_slots  a power of two; at least the number of entries the tier is likely to hold
 *  @param hash_of      of an entry's key, for the ghosts */
MUST_USE bool eviction_init(struct eviction *e, size_t ghost_slots,
                            uint32_t (*hash_of)(void *arg, const struct eviction_node *n), void *arg);
void eviction_free(struct eviction *e);
void eviction_add(struct eviction *e, struct eviction_node *n, uint64_t bytes);
/** Add one that is known to be in use, but less so than all that are there: it is the first of the main queue to be looked at. */
void eviction_add_oldest(struct eviction *e, struct eviction_node *n, uint64_t bytes);
/** Add one that does not leave until it is unpinned. */
void eviction_add_pinned(struct eviction *e, struct eviction_node *n, uint64_t bytes);
bool eviction_is_pinned(const struct eviction_node *n);
/** One of the pinned after the other, for a look whether its pin is over; NULL: there are none. */
struct eviction_node *eviction_next_pin(struct eviction *e);
/** It is the first of the small queue to be looked at now: used lately, it stays. */
void eviction_unpin(struct eviction *e, struct eviction_node *n);
/** How hot an entry is, from 0; within a rank and a queue the newer is the hotter. */
enum { EVICTION_RANKS = 2 * EVICTION_FREQUENCY_MAX + 2 };
unsigned eviction_rank(const struct eviction_node *n);
void eviction_remove(struct eviction *e, struct eviction_node *n);
/** One step of the hand: the entry that leaves, already taken out, or NULL: none is there, or one has moved to a young end
 *  instead, because it was used or `may_leave` (may be NULL) refused it. */
struct eviction_node *eviction_step(struct eviction *e, bool (*may_leave)(const struct eviction_node *n));
/** Steps until an entry leaves; NULL when there is none, or after EVICTION_REFUSALS_MAX refusals. */
struct eviction_node *eviction_next(struct eviction *e, bool (*may_leave)(const struct eviction_node *n));
/** Of what is not pinned. */
static inline uint64_t eviction_bytes(const struct eviction *e)
{
    return e->small.bytes + e->main.bytes;
}

static inline uint64_t eviction_node_bytes(const struct eviction_node *n)
{
    return (uint64_t)n->bytes_high << 32 | n->bytes_low;
}

static inline void eviction_touch(struct eviction_node *n)
{
    uint8_t f = atomic_load_explicit(&n->frequency, memory_order_relaxed);
    if (f < EVICTION_FREQUENCY_MAX) atomic_store_explicit(&n->frequency, (uint8_t)(f + 1), memory_order_relaxed);
}

#endif
