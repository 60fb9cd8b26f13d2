#include "purge/holds.h"

#include <assert.h>

void holds_init(struct holds *h, void (*drained)(void *arg), void *arg)
{
    *h = (struct holds){ .count = 1, .drained = drained, .arg = arg };
    pthread_mutex_init(&h->lock, NULL);
}

void holds_destroy(struct holds *h)
{
    pthread_mutex_destroy(&h->lock);
}

uint64_t holds_begin(struct holds *h, const _Atomic uint64_t *seq)
{
    pthread_mutex_lock(&h->lock);
    uint64_t now = atomic_load_explicit(seq, memory_order_acquire);
    h->generation[h->count - 1].left++;
    pthread_mutex_unlock(&h->lock);
    return now;
}

static unsigned generation_of(const struct holds *h, uint64_t seq)
{
    unsigned i = h->count - 1;
    while (i > 0 && h->generation[i].first_seq > seq) i--;
    return i;
}

bool holds_end(struct holds *h, uint64_t seq)
{
    pthread_mutex_lock(&h->lock);
    unsigned i = generation_of(h, seq);
    assert(h->generation[i].left > 0); /* ours: every end had its begin */
    /* Of the youngest generation nobody waits for the end: who waits has begun another one. */
    bool last = --h->generation[i].left == 0 && i + 1 < h->count;
    bool kept = seq >= atomic_load_explicit(&h->given_up, memory_order_relaxed);
    pthread_mutex_unlock(&h->lock);
    if (last) h->drained(h->arg);
    return kept;
}

/* Generations that nobody can ask for any more are joined: empty ones, and those given up on. */
static void make_room(struct holds *h)
{
    uint64_t given_up = atomic_load_explicit(&h->given_up, memory_order_relaxed);
    unsigned to = 0;
    for (unsigned i = 1; i < h->count; i++) {
        if (h->generation[to].left == 0) {
            h->generation[to] = h->generation[i];
        } else if (h->generation[i].first_seq < given_up) {
            h->generation[to].left += h->generation[i].left;
        } else {
            h->generation[++to] = h->generation[i];
        }
    }
    h->count = to + 1;
    assert(h->count < HOLD_GENERATIONS_MAX); /* ours: who divides waits until what is older has drained */
}

uint64_t holds_divide(struct holds *h, _Atomic uint64_t *seq)
{
    pthread_mutex_lock(&h->lock);
    make_room(h);
    uint64_t first = atomic_fetch_add_explicit(seq, 1, memory_order_acq_rel) + 1;
    h->generation[h->count].first_seq = first;
    h->generation[h->count].left = 0;
    h->count++;
    pthread_mutex_unlock(&h->lock);
    return first;
}

bool holds_drained(struct holds *h, uint64_t seq)
{
    pthread_mutex_lock(&h->lock);
    uint64_t given_up = atomic_load_explicit(&h->given_up, memory_order_relaxed);
    bool drained = true;
    for (unsigned i = 0; i < h->count && h->generation[i].first_seq < seq; i++) {
        if (h->generation[i].left > 0 && h->generation[i].first_seq >= given_up) drained = false;
    }
    pthread_mutex_unlock(&h->lock);
    return drained;
}

uint64_t holds_give_up(struct holds *h, uint64_t seq)
{
    uint64_t n = 0;
    pthread_mutex_lock(&h->lock);
    uint64_t before = atomic_load_explicit(&h->given_up, memory_order_relaxed);
    for (unsigned i = 0; i < h->count && h->generation[i].first_seq < seq; i++) {
        if (h->generation[i].first_seq >= before) n += h->generation[i].left;
    }
    if (seq > before) atomic_store_explicit(&h->given_up, seq, memory_order_release);
    pthread_mutex_unlock(&h->lock);
    return n;
}
