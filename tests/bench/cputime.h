/* cputime: user and system time of a server, all its processes and threads, exited threads included.
 * Ownership: the caller holds the struct. Threads: one. Source: clock_getcpuclockid(3), which counts to the
 * nanosecond what utime and stime of /proc/PID/stat count in ticks of 10 ms.                              */
#ifndef WEIR_TESTS_BENCH_CPUTIME_H
#define WEIR_TESTS_BENCH_CPUTIME_H

#include <sys/types.h>
#include <time.h>

#include "headers/view.h"

enum { CPUTIME_PROCESSES_MAX = 64 };

struct cputime {
    size_t count;
    pid_t pids[CPUTIME_PROCESSES_MAX];
};

/** Find a process and its descendants, as they are now. @return 0, or -errno when root is not there. */
MUST_USE int cputime_find(struct cputime *c, pid_t root);

/** Nanoseconds used so far by the processes found; one that has ended counts no more. */
uint64_t cputime_ns(const struct cputime *c);

#endif
