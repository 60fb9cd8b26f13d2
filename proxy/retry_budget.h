/* retry_budget: how many requests to an origin may be tried again: a share of those of the last ten seconds, and a few
 * more so that a quiet site may retry at all. Hedged requests spend from it too. When a whole origin fails, retries add
 * that share to its load and no more.
 * Threads: any.                                                                                                       */
#ifndef WEIR_PROXY_RETRY_BUDGET_H
#define WEIR_PROXY_RETRY_BUDGET_H

#include "headers/view.h"

#include <stdatomic.h>

enum { BUDGET_SECONDS = 10, BUDGET_FLOOR = 10 /* retries in that time, however few the requests */ };

/* One second in each slot: its number in the upper half, the count in the lower. */
struct retry_budget {
    _Atomic uint64_t requests[BUDGET_SECONDS], retries[BUDGET_SECONDS];
};

void retry_budget_note_request(struct retry_budget *b, int64_t now_s);
/** @param percent  of the requests; 0: no retries
 *  @return         one more is allowed, and counted */
MUST_USE bool retry_budget_take(struct retry_budget *b, int percent, int64_t now_s);

#endif
