#include "proxy/breaker.h"

void breaker_init(struct breaker *b)
{
    *b = (struct breaker){ .state = BREAKER_CLOSED };
    pthread_mutex_init(&b->lock, NULL); /* cannot fail with default attributes */
}

void breaker_end(struct breaker *b)
{
    pthread_mutex_destroy(&b->lock);
}

void breaker_inherit(struct breaker *b, const struct breaker *before)
{
    bool closed = atomic_load(&before->state) == BREAKER_CLOSED;
    atomic_store(&b->state, closed ? BREAKER_CLOSED : BREAKER_OPEN);
    atomic_store(&b->open_until_ms, atomic_load(&before->open_until_ms));
    atomic_store(&b->failures, atomic_load(&before->failures));
}

bool breaker_may_admit(const struct breaker *b, int64_t now_ms)
{
    switch ((enum breaker_state)atomic_load_explicit(&b->state, memory_order_relaxed)) {
    case BREAKER_CLOSED: return true;
    case BREAKER_OPEN: return now_ms >= atomic_load_explicit(&b->open_until_ms, memory_order_relaxed);
    case BREAKER_HALF_OPEN: return !atomic_load_explicit(&b->probing, memory_order_relaxed);
    }
    return false;
}

bool breaker_admit(struct breaker *b, int64_t now_ms, bool *probe)
{
    *probe = false;
    if (atomic_load_explicit(&b->state, memory_order_relaxed) == BREAKER_CLOSED) return true;
    pthread_mutex_lock(&b->lock);
    bool closed = atomic_load(&b->state) == BREAKER_CLOSED;
    *probe = !closed && breaker_may_admit(b, now_ms);
    if (*probe && atomic_load(&b->state) == BREAKER_OPEN) {
        b->succeeded = 0;
        atomic_store(&b->state, BREAKER_HALF_OPEN);
    }
    if (*probe) atomic_store(&b->probing, true);
    pthread_mutex_unlock(&b->lock);
    return closed || *probe;
}

static void open_until(struct breaker *b, int64_t until_ms)
{
    atomic_store(&b->open_until_ms, until_ms);
    atomic_store(&b->failures, 0);
    atomic_store(&b->state, BREAKER_OPEN);
}

static enum breaker_news after_probe(struct breaker *b, const struct origin_breaker *settings,
                                     enum breaker_result result, int64_t now_ms)
{
    atomic_store(&b->probing, false);
    switch (result) {
    case BREAKER_NEITHER: break;
    case BREAKER_FAILURE: open_until(b, now_ms + settings->open_ms); break; /* it was ill all the while: no news */
    case BREAKER_SUCCESS:
        if (++b->succeeded < settings->probes) break;
        atomic_store(&b->failures, 0);
        atomic_store(&b->state, BREAKER_CLOSED);
        return BREAKER_CLOSED_AGAIN;
    }
    return BREAKER_NO_NEWS;
}

/* Requests that were under way when it opened say nothing new. */
static enum breaker_news after_failure(struct breaker *b, const struct origin_breaker *settings, int64_t now_ms)
{
    if (settings->failures <= 0 || atomic_load(&b->state) != BREAKER_CLOSED) return BREAKER_NO_NEWS;
    if (atomic_fetch_add(&b->failures, 1) + 1 < (uint32_t)settings->failures) return BREAKER_NO_NEWS;
    open_until(b, now_ms + settings->open_ms);
    return BREAKER_OPENED;
}

enum breaker_news breaker_report(struct breaker *b, const struct origin_breaker *settings, bool probe,
                                 enum breaker_result result, int64_t now_ms)
{
    enum breaker_news news = BREAKER_NO_NEWS;
    if (!probe && result == BREAKER_SUCCESS) {
        if (atomic_load_explicit(&b->failures, memory_order_relaxed) > 0) atomic_store(&b->failures, 0);
        return news;
    }
    if (!probe && result == BREAKER_NEITHER) return news;
    pthread_mutex_lock(&b->lock);
    news = probe ? after_probe(b, settings, result, now_ms) : after_failure(b, settings, now_ms);
    pthread_mutex_unlock(&b->lock);
    return news;
}
