/* first_byte: how long a route's origin takes from a request to the head of its answer: a window of the last times, and what
 * 95 of 100 of them stay below.
 * Threads: any. Two that write at once may lose one time; none is ever torn.                                             */
#ifndef WEIR_PROXY_FIRST_BYTE_H
#define WEIR_PROXY_FIRST_BYTE_H

#include "headers/view.h"

#include <stdatomic.h>

enum {
    FIRST_BYTE_WINDOW = 256,
    FIRST_BYTE_LEAST = 32, /* before so many are known nothing is said */
    FIRST_BYTE_EVERY = 16, /* so often the quantile is found anew */
};

/* All zero: nothing is known. */
struct first_byte_times {
    _Atomic uint64_t count; /* ever */
    _Atomic uint32_t us[FIRST_BYTE_WINDOW];
    _Atomic uint32_t p95_us; /* 0: not known */
};

void first_byte_note(struct first_byte_times *t, int64_t us);
/** @return microseconds, at least 1; -1: not known yet */
int64_t first_byte_p95_us(const struct first_byte_times *t);

#endif
