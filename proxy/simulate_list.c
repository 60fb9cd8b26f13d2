/* The policies that are one list, from the newest to the oldest: LRU, FIFO, and SIEVE (Zhang et al., NSDI 2024),
 * whose hand walks from the oldest to the newest, takes the mark off those that were used, and stops at the first
 * without. */
#include "proxy/simulate.h"

#include <assert.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct entry {
    uint32_t newer, older;
    bool held, used;
};

struct list {
    uint32_t newest, oldest, hand;
    struct entry entries[]; /* by number of key */
};

static void *list_open(const struct simulate_tier *t)
{
    struct list *l = calloc(1, sizeof *l + t->keys->count * sizeof *l->entries);
    if (l != NULL) l->newest = l->oldest = l->hand = NONE;
    return l;
}

static void list_add(void *cache, uint32_t key, uint64_t bytes)
{
    struct list *l = cache;
    (void)bytes;
    l->entries[key] = (struct entry){ .newer = NONE, .older = l->newest, .held = true };
    if (l->newest != NONE)
        l->entries[l->newest].newer = key;
    else
        l->oldest = key;
    l->newest = key;
}

static void take_out(struct list *l, uint32_t key)
{
    struct entry *e = &l->entries[key];
    if (e->newer != NONE)
        l->entries[e->newer].older = e->older;
    else
        l->newest = e->older;
    if (e->older != NONE)
        l->entries[e->older].newer = e->newer;
    else
        l->oldest = e->newer;
    e->held = false;
}

static uint32_t evict_oldest(void *cache)
{
    struct list *l = cache;
    uint32_t key = l->oldest;
    assert(key != NONE);
    take_out(l, key);
    return key;
}

/* ---- FIFO */

static bool fifo_use(void *cache, uint32_t key)
{
    const struct list *l = cache;
    return l->entries[key].held;
}

const struct simulate_policy simulate_fifo = { "fifo", list_open, fifo_use, list_add, evict_oldest, free };

/* ---- LRU */

static bool lru_use(void *cache, uint32_t key)
{
    struct list *l = cache;
    if (!l->entries[key].held) return false;
    take_out(l, key);
    list_add(l, key, 0);
    return true;
}

const struct simulate_policy simulate_lru = { "lru", list_open, lru_use, list_add, evict_oldest, free };

/* ---- SIEVE */

static bool sieve_use(void *cache, uint32_t key)
{
    struct list *l = cache;
    if (!l->entries[key].held) return false;
    l->entries[key].used = true;
    return true;
}

static uint32_t sieve_evict(void *cache)
{
    struct list *l = cache;
    assert(l->oldest != NONE);
    uint32_t at = l->hand != NONE ? l->hand : l->oldest;
    while (l->entries[at].used) {
        l->entries[at].used = false;
        at = l->entries[at].newer != NONE ? l->entries[at].newer : l->oldest;
    }
    l->hand = l->entries[at].newer;
    take_out(l, at);
    return at;
}

const struct simulate_policy simulate_sieve = { "sieve", list_open, sieve_use, list_add, sieve_evict, free };
