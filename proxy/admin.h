/* admin: the admin API (design, "The admin API"): purge, explain, stats, metrics, health. One event loop in one thread of its
 * own, so that it may wait for the disk for a moment and never disturbs a worker.
 * Ownership: admin_new gives one, admin_join ends it. Threads: admin_start and after that only admin_stop, from any.
 * It reads the workers' counters and talks to purges, cache and store: all of them must outlive admin_join.              */
#ifndef WEIR_PROXY_ADMIN_H
#define WEIR_PROXY_ADMIN_H

#include "proxy/weir.h"

struct admin;

/** @param fds  listening sockets, taken over when it succeeds
 *  @return     NULL with `why` */
MUST_USE struct admin *admin_new(struct weir *w, const int *fds, size_t n, char *why, size_t cap);
/** @return 0, or a negative errno: no thread could be made */
MUST_USE int admin_start(struct admin *a);
/** Ask it to end: stop accepting, answer what is under way, at most ADMIN_DRAIN_MS. */
void admin_stop(struct admin *a);
void admin_join(struct admin *a);

enum { ADMIN_DRAIN_MS = 2000 };

#endif
