/* S3-FIFO as the memory tier runs it: the same code, and as many ghosts as its shards have together. */
#include "cache/eviction.h"
#include "proxy/simulate.h"

#include <assert.h>
#include <stdlib.h>

/* As in cache/memory.c, whose shards take turns as if they were one. */
enum { SHARDS = 64, GHOSTS_MIN = 1024, GHOSTS_MAX = 65536, GHOST_PER_BYTES = 4096 };

struct s3_fifo {
    struct eviction eviction;
    const uint64_t *hashes;
    struct eviction_node nodes[]; /* by number of key */
};

_Static_assert(sizeof(struct eviction_node) <= SIMULATE_KEY_BYTES, "simulate.h promises");

static size_t ghost_slots(uint64_t size_bytes)
{
    size_t ghosts = GHOSTS_MIN;
    while (ghosts < GHOSTS_MAX && ghosts * GHOST_PER_BYTES < size_bytes / SHARDS) ghosts *= 2;
    return ghosts * SHARDS;
}

static void *s3_fifo_open(const struct simulate_tier *t)
{
    struct s3_fifo *c = calloc(1, sizeof *c + t->keys->count * sizeof *c->nodes);
    if (c == NULL) return NULL;
    c->hashes = t->keys->hashes;
    if (eviction_init(&c->eviction, ghost_slots(t->size_bytes))) return c;
    free(c);
    return NULL;
}

static bool s3_fifo_use(void *cache, uint32_t key)
{
    struct s3_fifo *c = cache;
    if (c->nodes[key].queue == 0) return false;
    eviction_touch(&c->nodes[key]);
    return true;
}

static void s3_fifo_add(void *cache, uint32_t key, uint64_t bytes)
{
    struct s3_fifo *c = cache;
    eviction_add(&c->eviction, &c->nodes[key], (uint32_t)c->hashes[key], bytes);
}

static uint32_t s3_fifo_evict(void *cache)
{
    struct s3_fifo *c = cache;
    const struct eviction_node *n = eviction_next(&c->eviction, NULL);
    assert(n != NULL);
    return (uint32_t)(n - c->nodes);
}

static void s3_fifo_close(void *cache)
{
    struct s3_fifo *c = cache;
    eviction_free(&c->eviction);
    free(c);
}

const struct simulate_policy simulate_s3_fifo = {
    "s3-fifo", s3_fifo_open, s3_fifo_use, s3_fifo_add, s3_fifo_evict, s3_fifo_close,
};
