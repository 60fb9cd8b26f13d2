/* latency: a histogram of durations with a bounded error of one part in 32, as HDR histograms do it.
 * Ownership: the caller holds the struct; all zero bytes is an empty one. Threads: one.               */
#ifndef WEIR_TESTS_BENCH_LATENCY_H
#define WEIR_TESTS_BENCH_LATENCY_H

#include <stdint.h>

enum { LATENCY_SUB_BITS = 5, LATENCY_SLOTS = (64 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS };

struct latency {
    uint64_t count;
    uint64_t slots[LATENCY_SLOTS];
};

void latency_add(struct latency *l, uint64_t ns);

/** The duration in nanoseconds that a share of all (0 to 1) does not exceed, rounded up by at most 1/32;
 *  0 when there are none. */
uint64_t latency_quantile_ns(const struct latency *l, double share);

#endif
