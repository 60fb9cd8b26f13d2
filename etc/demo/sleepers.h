/* sleepers: requests that are answered later, without keeping the thread that serves everybody else.
 * Ownership: the connections belong to libmicrohttpd; a sleeper is only remembered until it wakes.
 * Threads: sleepers_add runs in libmicrohttpd's thread, the waking in a thread of its own.           */
#ifndef WEIR_DEMO_SLEEPERS_H
#define WEIR_DEMO_SLEEPERS_H

#include <microhttpd.h>
#include <stdbool.h>

struct sleepers;

/** NULL when there is no memory or no thread to be had. */
struct sleepers *sleepers_start(void);
/** Suspend the connection for a while; its request handler is then called once more.
 *  False, and nothing is suspended, when sleeping has ended or memory is short. */
bool sleepers_add(struct sleepers *s, struct MHD_Connection *connection, long ms);
/** Wake everybody now, and let nobody sleep any more. Call it before MHD_stop_daemon. */
void sleepers_stop(struct sleepers *s);
void sleepers_free(struct sleepers *s);

#endif
