/* exchange: the life of one request, from its head to the last byte of the answer. Knows neither the front end's library
 * nor the origin client's.
 *
 *   LOOKUP -> [STORE] -> DECIDE -> answered from the cache
 *                           |----> FLIGHT -> answered from what the fetch brings, or back to LOOKUP, or stale, or 502..504
 *                           |----> PURGE  -> answered with the purge's number
 *
 * Ownership: the front end begins and ends it. Threads: its worker's; what other threads have to say they post.          */
#ifndef WEIR_PROXY_EXCHANGE_H
#define WEIR_PROXY_EXCHANGE_H

#include "proxy/worker.h"

/** What the front end of a worker calls; the owner is the worker. */
extern const struct front_handler exchange_handler;

/** Free the worker's spare exchanges, at its end. */
void exchanges_free(struct worker *k);

/** Forget the replies that are kept for others who ask: the site has changed. */
void kept_clear(struct worker *k);
void kept_free(struct worker *k);

#endif
