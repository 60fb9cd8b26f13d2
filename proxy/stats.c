#include "proxy/stats.h"

enum { STEPS = 8, STEP_BITS = 3 };

/* Values below 8 have buckets of their own; above, the leading bit and the three after it choose. */
static size_t bucket_of(uint64_t us)
{
    if (us < STEPS) return (size_t)us;
    unsigned top = 63 - (unsigned)__builtin_clzll(us);
    size_t bucket = (size_t)(top - STEP_BITS + 1) * STEPS + ((us >> (top - STEP_BITS)) & (STEPS - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

int64_t histogram_bucket_end_us(size_t bucket)
{
    if (bucket < STEPS) return (int64_t)bucket;
    unsigned shift = (unsigned)(bucket / STEPS) - 1;
    return (int64_t)((STEPS + bucket % STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t us)
{
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    stats_add(&h->buckets[bucket_of(value)], 1);
    stats_add(&h->sum_us, value);
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t count = 0;
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) count += atomic_load_explicit(&h->buckets[b], memory_order_relaxed);
    return count;
}

int64_t histogram_quantile(const struct histogram *const *h, size_t n, double q)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < n; i++) total += histogram_count(h[i]);
    if (total == 0) return 0;
    uint64_t rank = (uint64_t)(q * (double)total);
    if (rank >= total) rank = total - 1; /* the largest */
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        for (size_t i = 0; i < n; i++) seen += atomic_load_explicit(&h[i]->buckets[b], memory_order_relaxed);
        if (seen > rank) return histogram_bucket_end_us(b);
    }
    return histogram_bucket_end_us(HISTOGRAM_BUCKETS - 1);
}
