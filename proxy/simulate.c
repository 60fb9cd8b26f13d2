#include "proxy/simulate.h"

#include <assert.h>
#include <errno.h>

const struct simulate_policy *const simulate_policies[SIMULATE_POLICIES] = { &simulate_lru, &simulate_fifo,
                                                                             &simulate_sieve, &simulate_s3_fifo,
                                                                             &simulate_weir };

const struct simulate_policy *simulate_policy_named(const char *name)
{
    for (size_t i = 0; i < SIMULATE_POLICIES; i++)
        if (strcmp(name, simulate_policies[i]->name) == 0) return simulate_policies[i];
    return NULL;
}

uint64_t simulate_unique_bytes(const struct trace *t, uint32_t overhead_bytes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->keys.count; i++) sum += (uint64_t)t->keys.bytes[i] + overhead_bytes;
    return sum;
}

/* A run under way. */
struct run {
    const struct simulation *s;
    const uint32_t *key_bytes;
    void *cache;
    uint64_t held_bytes;
    struct simulate_result result;
};

static uint64_t bytes_held_for(const struct run *r, uint32_t key)
{
    return (uint64_t)r->key_bytes[key] + r->s->overhead_bytes;
}

static void keep(struct run *r, uint32_t key)
{
    uint64_t bytes = bytes_held_for(r, key);
    if (bytes > r->s->size_bytes / SIMULATE_OBJECT_SHARE) {
        r->result.too_large++;
        return;
    }
    while (r->held_bytes + bytes > r->s->size_bytes) {
        r->held_bytes -= bytes_held_for(r, r->s->policy->evict(r->cache));
        r->result.evictions++;
    }
    r->s->policy->add(r->cache, key, bytes);
    r->held_bytes += bytes;
}

static void ask(struct run *r, uint32_t key)
{
    r->result.requests++;
    r->result.bytes += r->key_bytes[key];
    if (r->s->policy->use(r->cache, key)) return;
    r->result.misses++;
    r->result.missed_bytes += r->key_bytes[key];
    keep(r, key);
}

int simulate(const struct trace *t, const struct simulation *s, const struct progress *p, struct simulate_result *out)
{
    enum { NEWS_EVERY = 1 << 14 };
    assert(s->overhead_bytes <= SIMULATE_OVERHEAD_MAX && t->request_count <= TRACE_REQUESTS_MAX);
    struct simulate_tier tier = { &t->keys, s->size_bytes };
    struct run r = { .s = s, .key_bytes = t->keys.bytes, .cache = s->policy->open(&tier) };
    if (r.cache == NULL) return -ENOMEM;
    for (size_t i = 0; i < t->request_count; i++) {
        if (p->tell != NULL && i % NEWS_EVERY == 0) p->tell(p->arg, i);
        ask(&r, t->requests[i]);
    }
    s->policy->close(r.cache);
    *out = r.result;
    return 0;
}
