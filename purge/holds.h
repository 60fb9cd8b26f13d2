/* holds: the fetches under way, told apart by the number at which they began, so that one can wait for all that began
 * before a number.
 * Numbers fall into generations: holds_divide begins a new one, and only how many are left of each is kept.
 * Threads: its own lock; the callers of holds_divide take turns (purge.c's `order`).                                */
#ifndef WEIR_PURGE_HOLDS_H
#define WEIR_PURGE_HOLDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { HOLD_GENERATIONS_MAX = 8 };

struct holds {
    pthread_mutex_t lock;
    struct {
        uint64_t first_seq, left;
    } generation[HOLD_GENERATIONS_MAX];
    unsigned count;             /* of generations; the last one is open */
    _Atomic uint64_t given_up;  /* what began before this number is not waited for */
    void (*drained)(void *arg); /* a generation has become empty; called without the lock */
    void *arg;
};

void holds_init(struct holds *h, void (*drained)(void *arg), void *arg);
void holds_destroy(struct holds *h);

/** Begin with the present value of *seq, read under the lock. */
uint64_t holds_begin(struct holds *h, const _Atomic uint64_t *seq);
/** @return false when it was given up on */
bool holds_end(struct holds *h, uint64_t seq);

/** Take the next number of *seq as the first of a new generation. */
uint64_t holds_divide(struct holds *h, _Atomic uint64_t *seq);
/** Whether everything that began before `seq` (from holds_divide) has ended or was given up on. */
bool holds_drained(struct holds *h, uint64_t seq);
/** Wait no more for what began before `seq`. @return how many that were */
uint64_t holds_give_up(struct holds *h, uint64_t seq);

#endif
