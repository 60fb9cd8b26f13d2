/* refill: after a start the responses that were hottest before come back from the store to memory, hottest first, and from
 * time to time, and at the end, weir notes which those are (cache/hot.h).
 * What is purged or stale is left where it is; what clients ask for meanwhile is never displaced: it ends when memory is full.
 * Ownership: refill_free ends it. Threads: the work is done on the store's reader threads, a few responses at a time between
 * what clients wait for; refill_save in main's.                                                                          */
#ifndef WEIR_PROXY_REFILL_H
#define WEIR_PROXY_REFILL_H

#include "cache/hot.h"
#include "proxy/weir.h"

struct refill;

/** @return NULL: no memory. Nothing runs yet. */
MUST_USE struct refill *refill_new(struct weir *w, void (*say)(void *arg, const char *line), void *say_arg);
/** Read the list and begin, in the background. */
void refill_start(struct refill *r);
/** Returns when no reader thread has anything to do with it any more. */
void refill_stop(struct refill *r);
/** Stop, if that was not done, and free. */
void refill_free(struct refill *r);

/** Note what is hot now. While a refill is under way only `at_end`: then with what it did not get to. Waits for nothing. */
void refill_save(struct refill *r, bool at_end);

struct refill_stats {
    uint64_t listed;   /* responses that the list of the last run named */
    uint64_t refilled; /* of those: brought back to memory */
    uint64_t dropped;  /* of those: purged, stale, or no longer stored */
    uint64_t saved;    /* keys noted by this run, the last time */
    bool running;
};
void refill_stats(const struct refill *r, struct refill_stats *out);

#endif
