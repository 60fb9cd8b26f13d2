#include "proxy/retry_budget.h"

static void count(_Atomic uint64_t *slots, int64_t now_s)
{
    uint64_t second = (uint64_t)now_s & UINT32_MAX;
    _Atomic uint64_t *slot = &slots[second % BUDGET_SECONDS];
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), next;
    do next = old >> 32 == second ? old + 1 : (second << 32) + 1;
    while (!atomic_compare_exchange_weak_explicit(slot, &old, next, memory_order_relaxed, memory_order_relaxed));
}

static uint64_t sum(const _Atomic uint64_t *slots, int64_t now_s)
{
    uint64_t total = 0;
    for (size_t i = 0; i < BUDGET_SECONDS; i++) {
        uint64_t slot = atomic_load_explicit(&slots[i], memory_order_relaxed);
        uint32_t age_s = (uint32_t)now_s - (uint32_t)(slot >> 32);
        if (age_s < BUDGET_SECONDS) total += slot & UINT32_MAX;
    }
    return total;
}

void retry_budget_note_request(struct retry_budget *b, int64_t now_s)
{
    count(b->requests, now_s);
}

/* Two workers that ask in the same instant may both be let through: one too many is no storm. */
bool retry_budget_take(struct retry_budget *b, int percent, int64_t now_s)
{
    if (percent <= 0) return false;
    uint64_t allowed = sum(b->requests, now_s) * (uint64_t)percent / 100;
    if (allowed < BUDGET_FLOOR) allowed = BUDGET_FLOOR;
    if (sum(b->retries, now_s) >= allowed) return false;
    count(b->retries, now_s);
    return true;
}
