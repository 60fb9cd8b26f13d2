/* S3-FIFO as the memory tier runs it (cache/eviction.h): as one cache, and in shards that take turns, like the tier. */
#include "cache/eviction.h"
#include "proxy/simulate.h"

#include <assert.h>
#include <stdlib.h>

/* As in cache/memory.c. */
enum { SHARDS = 64, GHOSTS_MIN = 1024, GHOSTS_MAX = 65536, GHOST_PER_BYTES = 4096 };

struct s3_fifo {
    struct eviction shards[SHARDS];
    const uint64_t *hashes;
    uint64_t bytes;
    unsigned shard_count;         /* in use: 1 or SHARDS */
    unsigned turn, next_turn;     /* whose it is to give */
    struct eviction_node nodes[]; /* by number of key */
};

_Static_assert(sizeof(struct eviction_node) <= SIMULATE_KEY_BYTES, "simulate.h promises");

static size_t ghost_slots(uint64_t shard_bytes)
{
    size_t ghosts = GHOSTS_MIN;
    while (ghosts < GHOSTS_MAX && ghosts * GHOST_PER_BYTES < shard_bytes) ghosts *= 2;
    return ghosts;
}

static uint32_t hash_of(void *arg, const struct eviction_node *n)
{
    const struct s3_fifo *c = arg;
    return (uint32_t)c->hashes[n - c->nodes];
}

static void s3_fifo_close(void *cache)
{
    struct s3_fifo *c = cache;
    for (unsigned i = 0; i < c->shard_count; i++) eviction_free(&c->shards[i]);
    free(c);
}

/* Both kinds have as many ghosts. */
static void *open_shards(const struct simulate_tier *t, unsigned shard_count)
{
    struct s3_fifo *c = calloc(1, sizeof *c + t->keys->count * sizeof *c->nodes);
    if (c == NULL) return NULL;
    c->hashes = t->keys->hashes;
    c->shard_count = shard_count;
    for (unsigned i = 0; i < shard_count; i++) {
        if (eviction_init(&c->shards[i], ghost_slots(t->size_bytes / SHARDS) * (SHARDS / shard_count), hash_of, c))
            continue;
        s3_fifo_close(c);
        return NULL;
    }
    return c;
}

static struct eviction *shard_of(struct s3_fifo *c, uint32_t key)
{
    return &c->shards[c->shard_count == 1 ? 0 : c->hashes[key] >> 58];
}

_Static_assert(SHARDS == 64, "shard_of takes the upper six bits");

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
    eviction_add(shard_of(c, key), &c->nodes[key], bytes);
    c->bytes += bytes;
    c->turn = ++c->next_turn;
}

/* One step of the hand in a shard that holds its share or more; there is always one. */
static const struct eviction_node *step_fairly(struct s3_fifo *c)
{
    struct eviction *e = &c->shards[c->turn++ % c->shard_count];
    return eviction_bytes(e) < c->bytes / c->shard_count ? NULL : eviction_step(e, NULL);
}

static uint32_t s3_fifo_evict(void *cache)
{
    struct s3_fifo *c = cache;
    const struct eviction_node *n = NULL;
    assert(c->bytes > 0);
    while (n == NULL) n = step_fairly(c);
    c->bytes -= eviction_node_bytes(n);
    return (uint32_t)(n - c->nodes);
}

static void *s3_fifo_open(const struct simulate_tier *t)
{
    return open_shards(t, 1);
}

static void *weir_open(const struct simulate_tier *t)
{
    return open_shards(t, SHARDS);
}

const struct simulate_policy simulate_s3_fifo = {
    "s3-fifo", s3_fifo_open, s3_fifo_use, s3_fifo_add, s3_fifo_evict, s3_fifo_close,
};
const struct simulate_policy simulate_weir = {
    "weir", weir_open, s3_fifo_use, s3_fifo_add, s3_fifo_evict, s3_fifo_close,
};
