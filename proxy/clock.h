/* clock: the only place that reads the time. Everything else is handed `now_s`.
 * Threads: any.                                                                  */
#ifndef WEIR_PROXY_CLOCK_H
#define WEIR_PROXY_CLOCK_H

#include "headers/view.h"

struct clock {
    const int64_t *offset_s; /* NULL, or seconds that a test has put the clock forward by */
};

/** With WEIR_CLOCK_OFFSET_FILE in the environment, the eight bytes at the beginning of that file (a native int64_t) are added
 *  to the time of day, and may change at any moment: tests move the clock by hand. */
void clock_init(struct clock *c);
/** UTC seconds. */
int64_t clock_now_s(const struct clock *c);
/** Monotonic microseconds, for durations. */
int64_t clock_monotonic_us(void);

#endif
