/* count: how many stored responses a purge matches that were usable before it.
 * Exact as long as few are concerned: every one of them is looked at once, and left out when an earlier purge had it. A
 * tag or host with more than COUNT_LOOK_MAX responses is counted by its index in constant time; then what another tag of
 * the same purge or an unreclaimed purge of another name also matches is counted too. For a prefix the responses of its
 * host are walked, about 0.5 s for a million. A prefix on a host with more than COUNT_PREFIX_MAX, and a large tag purged
 * again before it was reclaimed, are estimated from so many of the oldest.
 * When many purges come at once they share these limits, so that counting never keeps the store's readers busy.
 * Threads: on a reader thread of the store; when none will take it, nothing in the store is counted.      */
#ifndef WEIR_PURGE_COUNT_H
#define WEIR_PURGE_COUNT_H

#include "purge/state.h"

enum { COUNT_LOOK_MAX = 4096, COUNT_PREFIX_MAX = 2 * 1000 * 1000 };

/** Add the count of the store to op->result.matched; takes one of the op's waits until it is done. */
void count_begin(struct purge_op *op);

#endif
