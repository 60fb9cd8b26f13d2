/* holding: what the tiers hold for one cache key, for whoever only looks (explain): nothing moves, no use is counted.
 * Ownership: a holding and its record live during the call that shows them. Threads: any; reads the disk.              */
#ifndef WEIR_CACHE_HOLDING_H
#define WEIR_CACHE_HOLDING_H

#include "cache/cache.h"

/* A stored response, or the key's list of variants (RECORD_VARY). */
struct holding {
    struct store_id id;
    const void *record;  /* whole and aligned; its content may be elsewhere */
    size_t record_bytes; /* without content */
    bool in_memory, in_store;
    bool pinned_in_memory, pinned_in_store; /* eviction leaves it alone there */
    size_t memory_bytes;                    /* what it costs the memory tier; 0: not there */
    bool stale_marked;                      /* a soft purge was seen in memory */
    uint64_t content_number;                /* in the store; 0: inside the record */
};

/** Show what is stored for the key: the one response of a key that does not vary; or its list of variants and then those
 *  responses, oldest first. */
void cache_each_holding(struct cache *c, const struct key *key, void (*each)(void *arg, const struct holding *h),
                        void *arg);

#endif
