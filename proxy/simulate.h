/* simulate: what a tier of a given size would have missed of a trace under an eviction policy. weir is the memory tier:
 * s3-fifo, which is its own code (cache/eviction.h), in its shards. The others are here to compare. The tier's rule
 * about sizes holds for all of them: what is larger than 1/SIMULATE_OBJECT_SHARE of the tier is not kept
 * (cache/memory.h), and as many leave as it takes to fit.
 * Threads: one. Memory: the trace, and at most SIMULATE_KEY_BYTES per key while a simulation runs. */
#ifndef WEIR_PROXY_SIMULATE_H
#define WEIR_PROXY_SIMULATE_H

#include "proxy/simulate_trace.h"

enum { SIMULATE_OBJECT_SHARE = 8, SIMULATE_KEY_BYTES = 48, SIMULATE_OVERHEAD_MAX = 1 << 20 };

struct simulate_tier {
    const struct trace_keys *keys;
    uint64_t size_bytes;
};

/* Keys by their numbers in the trace. Who keeps the budget is the caller, who evicts before he adds. */
struct simulate_policy {
    const char *name;
    void *(*open)(const struct simulate_tier *t); /* NULL: no memory */
    bool (*use)(void *cache, uint32_t key);       /* a request for it. @return it is there */
    void (*add)(void *cache, uint32_t key, uint64_t bytes);
    uint32_t (*evict)(void *cache); /* who left; at least one must be there */
    void (*close)(void *cache);
};

enum { SIMULATE_POLICIES = 5 };
extern const struct simulate_policy simulate_lru, simulate_fifo, simulate_sieve, simulate_s3_fifo, simulate_weir;
extern const struct simulate_policy *const simulate_policies[SIMULATE_POLICIES];

/** NULL: there is none of that name. */
const struct simulate_policy *simulate_policy_named(const char *name);

struct simulation {
    const struct simulate_policy *policy;
    uint64_t size_bytes;
    uint32_t overhead_bytes; /* of each response, beside its content; at most SIMULATE_OVERHEAD_MAX */
};

struct simulate_result {
    uint64_t requests, misses;
    uint64_t bytes, missed_bytes; /* of content */
    uint64_t evictions, too_large;
};

/** @param p is told the requests done. @return 0 or -ENOMEM */
MUST_USE int simulate(const struct trace *t, const struct simulation *s, const struct progress *p,
                      struct simulate_result *out);

/** Room for everything in the trace. */
uint64_t simulate_unique_bytes(const struct trace *t, uint32_t overhead_bytes);

#endif
