#include "cache/eviction.h"

#include <assert.h>
#include <stdlib.h>

enum { QUEUE_NONE, QUEUE_SMALL, QUEUE_MAIN, QUEUE_PINNED };

bool eviction_init(struct eviction *e, size_t ghost_slots,
                   uint32_t (*hash_of)(void *arg, const struct eviction_node *n), void *arg)
{
    assert(ghost_slots > 0 && (ghost_slots & (ghost_slots - 1)) == 0);
    *e = (struct eviction){ .ghost_mask = ghost_slots - 1, .hash_of = hash_of, .hash_arg = arg };
    e->ghosts = calloc(ghost_slots, sizeof *e->ghosts);
    return e->ghosts != NULL;
}

void eviction_free(struct eviction *e)
{
    free(e->ghosts);
}

static struct eviction_queue *queue_of(struct eviction *e, const struct eviction_node *n)
{
    if (n->queue == QUEUE_PINNED) return &e->pinned;
    return n->queue == QUEUE_SMALL ? &e->small : &e->main;
}

static void push(struct eviction *e, struct eviction_node *n, uint8_t queue)
{
    n->queue = queue;
    struct eviction_queue *q = queue_of(e, n);
    n->newer = NULL;
    n->older = q->newest;
    if (q->newest != NULL)
        q->newest->newer = n;
    else
        q->oldest = n;
    q->newest = n;
    q->bytes += eviction_node_bytes(n);
    e->held++;
}

static void push_oldest(struct eviction *e, struct eviction_node *n, uint8_t queue)
{
    n->queue = queue;
    struct eviction_queue *q = queue_of(e, n);
    n->older = NULL;
    n->newer = q->oldest;
    if (q->oldest != NULL)
        q->oldest->older = n;
    else
        q->newest = n;
    q->oldest = n;
    q->bytes += eviction_node_bytes(n);
    e->held++;
}

void eviction_remove(struct eviction *e, struct eviction_node *n)
{
    struct eviction_queue *q = queue_of(e, n);
    assert(n->queue != QUEUE_NONE);
    if (n->newer != NULL)
        n->newer->older = n->older;
    else
        q->newest = n->older;
    if (n->older != NULL)
        n->older->newer = n->newer;
    else
        q->oldest = n->newer;
    q->bytes -= eviction_node_bytes(n);
    e->held--;
    n->queue = QUEUE_NONE;
}

/* Fingerprint 0 means an empty slot. */
static uint32_t fingerprint(uint32_t hash)
{
    return hash | 1;
}

static struct eviction_ghost *ghost_of(struct eviction *e, uint32_t hash)
{
    return &e->ghosts[(hash >> 1) & e->ghost_mask];
}

/* The paper's ghosts are as many as the entries. A table that remembers longer sends to the main queue what is rarely asked
 * for, and the small queue no longer chooses: docs/eviction.md. */
static bool take_ghost(struct eviction *e, uint32_t hash)
{
    struct eviction_ghost *ghost = ghost_of(e, hash);
    if (ghost->fingerprint != fingerprint(hash)) return false;
    ghost->fingerprint = 0;
    return e->left - ghost->left <= e->held;
}

static void leave_ghost(struct eviction *e, const struct eviction_node *n)
{
    uint32_t hash = e->hash_of(e->hash_arg, n);
    *ghost_of(e, hash) = (struct eviction_ghost){ fingerprint(hash), ++e->left };
}

static void begin(struct eviction_node *n, uint64_t bytes)
{
    assert(bytes >> 48 == 0);
    n->bytes_low = (uint32_t)bytes;
    n->bytes_high = (uint16_t)(bytes >> 32);
    atomic_store_explicit(&n->frequency, 0, memory_order_relaxed);
}

void eviction_add(struct eviction *e, struct eviction_node *n, uint64_t bytes)
{
    begin(n, bytes);
    push(e, n, take_ghost(e, e->hash_of(e->hash_arg, n)) ? QUEUE_MAIN : QUEUE_SMALL);
}

void eviction_add_oldest(struct eviction *e, struct eviction_node *n, uint64_t bytes)
{
    begin(n, bytes);
    (void)take_ghost(e, e->hash_of(e->hash_arg, n));
    push_oldest(e, n, QUEUE_MAIN);
}

void eviction_add_pinned(struct eviction *e, struct eviction_node *n, uint64_t bytes)
{
    begin(n, bytes);
    push(e, n, QUEUE_PINNED);
}

bool eviction_is_pinned(const struct eviction_node *n)
{
    return n->queue == QUEUE_PINNED;
}

struct eviction_node *eviction_next_pin(struct eviction *e)
{
    struct eviction_node *n = e->pinned.oldest;
    if (n == NULL) return NULL;
    eviction_remove(e, n);
    push(e, n, QUEUE_PINNED);
    return n;
}

void eviction_unpin(struct eviction *e, struct eviction_node *n)
{
    eviction_remove(e, n);
    push_oldest(e, n, QUEUE_SMALL);
}

unsigned eviction_rank(const struct eviction_node *n)
{
    unsigned uses = atomic_load_explicit(&n->frequency, memory_order_relaxed);
    return 2 * uses + (n->queue != QUEUE_SMALL);
}

static bool small_is_due(const struct eviction *e)
{
    uint64_t total = eviction_bytes(e);
    return e->small.oldest != NULL &&
           (e->main.oldest == NULL || e->small.bytes * 100 >= total * EVICTION_SMALL_PERCENT);
}

static uint8_t used(struct eviction_node *n)
{
    return atomic_load_explicit(&n->frequency, memory_order_relaxed);
}

static bool is_empty(const struct eviction *e)
{
    return e->small.oldest == NULL && e->main.oldest == NULL;
}

/* Whose turn it is. After every other refusal it is the other queue's: one that is full of refusals must not hide it. */
static bool is_smalls_turn(const struct eviction *e)
{
    bool small = small_is_due(e);
    const struct eviction_queue *other = small ? &e->main : &e->small;
    return e->refused % 2 == 1 && other->oldest != NULL ? !small : small;
}

struct eviction_node *eviction_step(struct eviction *e, bool (*may_leave)(const struct eviction_node *n))
{
    if (is_empty(e)) return NULL;
    bool from_small = is_smalls_turn(e);
    struct eviction_node *n = from_small ? e->small.oldest : e->main.oldest;
    eviction_remove(e, n);
    if (used(n) > 0) {
        uint8_t left = from_small ? 0 : (uint8_t)(used(n) - 1);
        atomic_store_explicit(&n->frequency, left, memory_order_relaxed);
        push(e, n, QUEUE_MAIN);
        return NULL;
    }
    if (may_leave != NULL && !may_leave(n)) {
        e->refused++;
        push(e, n, from_small ? QUEUE_SMALL : QUEUE_MAIN);
        return NULL;
    }
    if (from_small) leave_ghost(e, n);
    e->refused = 0;
    return n;
}

struct eviction_node *eviction_next(struct eviction *e, bool (*may_leave)(const struct eviction_node *n))
{
    unsigned refused = e->refused;
    while (!is_empty(e) && e->refused - refused < EVICTION_REFUSALS_MAX) {
        struct eviction_node *n = eviction_step(e, may_leave);
        if (n != NULL) return n;
    }
    return NULL;
}
