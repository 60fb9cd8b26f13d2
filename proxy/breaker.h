/* breaker: leaves a server alone that fails, and tries it with single requests before it is trusted again.
 *
 *   CLOSED --failures in a row--> OPEN --open_ms--> HALF_OPEN --probes that succeed in a row--> CLOSED
 *                                  ^--------a probe that fails---------'
 *
 * Threads: any. A closed breaker costs two loads; its lock is taken when something goes wrong.                        */
#ifndef WEIR_PROXY_BREAKER_H
#define WEIR_PROXY_BREAKER_H

#include "proxy/origin_settings.h"

#include <pthread.h>
#include <stdatomic.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    _Atomic int state;         /* enum breaker_state */
    _Atomic uint32_t failures; /* in a row, while closed */
    _Atomic int64_t open_until_ms;
    atomic_bool probing; /* HALF_OPEN: a probe is under way */
    int succeeded;       /* probes in a row; under the lock */
    pthread_mutex_t lock;
};

enum breaker_news { BREAKER_NO_NEWS, BREAKER_OPENED, BREAKER_CLOSED_AGAIN };
enum breaker_result { BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_NEITHER /* cancelled: says nothing of the server */ };

void breaker_init(struct breaker *b);
void breaker_end(struct breaker *b);
/** Go on where another stands; a probe that is under way is not this one's. */
void breaker_inherit(struct breaker *b, const struct breaker *before);
/** Would breaker_admit admit a request now? */
bool breaker_may_admit(const struct breaker *b, int64_t now_ms);
/** @param probe  set when this request is to tell whether the server is well: what came of it must be reported
 *  @return       false: another request was faster, or it is too early */
MUST_USE bool breaker_admit(struct breaker *b, int64_t now_ms, bool *probe);
/** What came of an admitted request. */
enum breaker_news breaker_report(struct breaker *b, const struct origin_breaker *settings, bool probe,
                                 enum breaker_result result, int64_t now_ms);

#endif
