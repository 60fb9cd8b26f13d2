#include "cache/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    SHARDS = 64,
    BUCKETS_FIRST = 256, /* per shard; doubled when there are more entries than buckets */
    GHOSTS_MIN = 1024,
    GHOSTS_MAX = 65536,
    GHOST_PER_BYTES = 4096, /* one ghost for so many bytes of the shard's budget */
    UNWRITTEN_SHARE = 4,    /* of the tier, for what waits for the store, once others have to leave for it */
    OBJECT_SHARE = 8,       /* an object may take 1/8 of the tier at most */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct object **buckets;
    size_t mask, entries;
    struct eviction eviction;
    uint64_t evictions, pinned;
};

struct memory {
    struct shard shards[SHARDS];
    uint64_t limit_bytes;
    _Alignas(64) _Atomic uint64_t bytes; /* of all objects, and of the buckets beyond the first */
    _Atomic uint64_t unwritten_bytes;    /* of bytes: what cannot leave until the store has it */
    _Atomic int64_t held, held_inside;   /* content in one piece; what of it is in the tier */
    _Atomic uint64_t rejected, pins_refused;
    _Atomic uint64_t pinned_bytes; /* of bytes */
    _Atomic int64_t now_s;
    _Atomic unsigned next_shard; /* whose turn it is to give when a shard has nothing left to give */
};

static struct object *object_of_node(const struct eviction_node *n)
{
    return HOLDER_OF(n, struct object, node);
}

static uint32_t hash_of(void *arg, const struct eviction_node *n)
{
    (void)arg;
    const struct store_id *id = &object_of_node(n)->id;
    return (uint32_t)(id->key[1] ^ id->variant);
}

static bool shard_init(struct shard *s, uint64_t budget)
{
    size_t ghosts = GHOSTS_MIN;
    while (ghosts < GHOSTS_MAX && ghosts * GHOST_PER_BYTES < budget) ghosts *= 2;
    pthread_mutex_init(&s->lock, NULL);
    s->buckets = calloc(BUCKETS_FIRST, sizeof(struct object *));
    s->mask = BUCKETS_FIRST - 1;
    return s->buckets != NULL && eviction_init(&s->eviction, ghosts, hash_of, NULL);
}

struct memory *memory_new(uint64_t limit_bytes)
{
    struct memory *m = aligned_alloc(64, sizeof *m);
    if (m == NULL) return NULL;
    memset(m, 0, sizeof *m);
    m->limit_bytes = limit_bytes;
    for (size_t i = 0; i < SHARDS; i++) {
        if (shard_init(&m->shards[i], limit_bytes / SHARDS)) continue;
        memory_free(m);
        return NULL;
    }
    return m;
}

static void shard_free(struct shard *s)
{
    for (size_t b = 0; s->buckets != NULL && b <= s->mask; b++) {
        for (struct object *o = s->buckets[b], *next; o != NULL; o = next) {
            next = o->next;
            object_unref(&o);
        }
    }
    free(s->buckets);
    eviction_free(&s->eviction);
}

void memory_free(struct memory *m)
{
    for (size_t i = 0; i < SHARDS; i++) shard_free(&m->shards[i]);
    free(m);
}

/* ---- one shard, under its lock */

static uint64_t place(const struct store_id *id)
{
    return id->key[0] ^ (id->variant * 0x9e3779b97f4a7c15u);
}

static struct shard *shard_of(struct memory *m, const struct store_id *id)
{
    return &m->shards[place(id) >> 58];
}

_Static_assert(SHARDS == 64, "shard_of takes the upper six bits");

static bool same_id(const struct store_id *a, const struct store_id *b)
{
    return a->key[0] == b->key[0] && a->key[1] == b->key[1] && a->variant == b->variant;
}

static struct object **find(struct shard *s, const struct store_id *id)
{
    struct object **at = &s->buckets[place(id) & s->mask];
    while (*at != NULL && !same_id(&(*at)->id, id)) at = &(*at)->next;
    return at;
}

static bool is_crowded(const struct shard *s)
{
    return s->entries > s->mask;
}

/* Twice as many buckets, whose bytes are reserved. @return false: no memory; longer chains, nothing worse */
static bool grow(struct shard *s)
{
    size_t buckets = (s->mask + 1) * 2;
    struct object **grown = calloc(buckets, sizeof *grown);
    if (grown == NULL) return false;
    for (size_t b = 0; b <= s->mask; b++) {
        for (struct object *o = s->buckets[b], *next; o != NULL; o = next) {
            next = o->next;
            struct object **at = &grown[place(&o->id) & (buckets - 1)];
            o->next = *at;
            *at = o;
        }
    }
    free(s->buckets);
    s->buckets = grown;
    s->mask = buckets - 1;
    return true;
}

static void give_back(struct memory *m, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&m->bytes, bytes, memory_order_relaxed);
}

static void count_unpinned(struct memory *m, struct shard *s, const struct eviction_node *n)
{
    s->pinned--;
    atomic_fetch_sub_explicit(&m->pinned_bytes, eviction_node_bytes(n), memory_order_relaxed);
}

static int64_t held_by(const struct object *o)
{
    return o->body != NULL && o->content != NULL ? object_content_length(o) : 0;
}

static void count_inside(struct memory *m, int64_t bytes)
{
    if (bytes != 0) atomic_fetch_add_explicit(&m->held_inside, bytes, memory_order_relaxed);
}

/* Under the lock of o's shard. */
static void count_unwritten(struct memory *m, struct object *o, bool unwritten)
{
    if (o->counted_unwritten == unwritten) return;
    o->counted_unwritten = unwritten;
    if (unwritten)
        atomic_fetch_add_explicit(&m->unwritten_bytes, eviction_node_bytes(&o->node), memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&m->unwritten_bytes, eviction_node_bytes(&o->node), memory_order_relaxed);
}

/* Take *at out of its shard; the caller then holds the tier's reference. */
static struct object *detach(struct memory *m, struct shard *s, struct object **at)
{
    struct object *o = *at;
    *at = o->next;
    o->next = NULL;
    s->entries--;
    give_back(m, eviction_node_bytes(&o->node));
    count_inside(m, -held_by(o));
    count_unwritten(m, o, false);
    if (eviction_is_pinned(&o->node)) count_unpinned(m, s, &o->node);
    if (o->node.queue != 0) eviction_remove(&s->eviction, &o->node);
    return o;
}

static bool may_leave(const struct eviction_node *n)
{
    return !atomic_load_explicit(&object_of_node(n)->unwritten, memory_order_acquire);
}

static struct object *leave(struct memory *m, struct shard *s, struct eviction_node *n)
{
    if (n == NULL) return NULL;
    s->evictions++;
    return detach(m, s, find(s, &object_of_node(n)->id));
}

/* A look at one pin. */
static void end_pin(struct memory *m, struct shard *s)
{
    struct eviction_node *n = eviction_next_pin(&s->eviction);
    if (n == NULL || object_head(object_of_node(n))->stored.pinned_until_s > memory_now_s(m)) return;
    count_unpinned(m, s, n);
    eviction_unpin(&s->eviction, n);
}

/* One step of the hand in a shard that holds its share or more. @return what left, NULL when nothing did */
static struct object *evict_fairly(struct memory *m, struct shard *s)
{
    uint64_t all = atomic_load_explicit(&m->bytes, memory_order_relaxed);
    uint64_t pinned = atomic_load_explicit(&m->pinned_bytes, memory_order_relaxed);
    end_pin(m, s);
    if (eviction_bytes(&s->eviction) < (all - (pinned < all ? pinned : all)) / SHARDS) return NULL;
    return leave(m, s, eviction_step(&s->eviction, may_leave));
}

/* @return what left, NULL when nothing can */
static struct object *evict_one(struct memory *m, struct shard *s)
{
    end_pin(m, s);
    return leave(m, s, eviction_next(&s->eviction, may_leave));
}

/* ---- the budget */

_Atomic int64_t *memory_held(struct memory *m)
{
    return &m->held;
}

uint64_t memory_outside_bytes(const struct memory *m)
{
    int64_t held = atomic_load_explicit(&m->held, memory_order_relaxed);
    int64_t inside = atomic_load_explicit(&m->held_inside, memory_order_relaxed);
    return held > inside ? (uint64_t)(held - inside) : 0;
}

uint64_t memory_limit_bytes(const struct memory *m)
{
    return m->limit_bytes;
}

static uint64_t limit_now(const struct memory *m)
{
    uint64_t outside = memory_outside_bytes(m), half = m->limit_bytes / 2;
    return m->limit_bytes - (outside < half ? outside : half);
}

static bool reserve_once(struct memory *m, uint64_t bytes)
{
    uint64_t now = atomic_load_explicit(&m->bytes, memory_order_relaxed), limit = limit_now(m);
    do {
        if (now + bytes > limit) return false;
    } while (!atomic_compare_exchange_weak_explicit(&m->bytes, &now, now + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* Make room. The hand goes from shard to shard, as if they were one; those below their share are left alone, or chance would
 * empty some of them. Where that finds nothing, each shard is asked in earnest before the answer is no. */
static bool reserve(struct memory *m, uint64_t bytes)
{
    enum { FAIR_VISITS = 8 * SHARDS };
    unsigned fruitless = 0, turn = atomic_fetch_add_explicit(&m->next_shard, 1, memory_order_relaxed);
    for (; !reserve_once(m, bytes); turn++) {
        if (fruitless == FAIR_VISITS + SHARDS) return false;
        struct shard *s = &m->shards[turn % SHARDS];
        pthread_mutex_lock(&s->lock);
        struct object *gone = fruitless < FAIR_VISITS ? evict_fairly(m, s) : evict_one(m, s);
        pthread_mutex_unlock(&s->lock);
        fruitless = gone != NULL ? 0 : fruitless + 1;
        object_unref(&gone);
    }
    return true;
}

static bool reserve_as(struct memory *m, uint64_t bytes, enum memory_put how)
{
    return how == MEMORY_IF_ROOM ? reserve_once(m, bytes) : reserve(m, bytes);
}

/* When responses come faster than the store writes, those that wait for it would drive out all that could leave, which is
 * all that was worth keeping. Beyond a share they have to do with what is free. */
static bool too_many_wait(const struct memory *m, const struct object *o, uint64_t bytes)
{
    uint64_t waiting = atomic_load_explicit(&m->unwritten_bytes, memory_order_relaxed);
    return atomic_load_explicit(&o->unwritten, memory_order_relaxed) &&
           waiting + bytes > m->limit_bytes / UNWRITTEN_SHARE;
}

/* The buckets count too, so there must be room before they grow, and that may cost a lock of another shard. */
static void grow_when_crowded(struct memory *m, struct shard *s, enum memory_put how)
{
    pthread_mutex_lock(&s->lock);
    uint64_t bytes = is_crowded(s) ? (s->mask + 1) * sizeof *s->buckets : 0;
    pthread_mutex_unlock(&s->lock);
    if (bytes == 0 || !reserve_as(m, bytes, how)) return;
    pthread_mutex_lock(&s->lock);
    bool still = bytes == (s->mask + 1) * sizeof *s->buckets;
    if (!still || !grow(s)) give_back(m, bytes);
    pthread_mutex_unlock(&s->lock);
}

/* ---- pins */

int64_t memory_now_s(const struct memory *m)
{
    return atomic_load_explicit(&m->now_s, memory_order_relaxed);
}

static void note_time(struct memory *m, const struct record_head *head)
{
    if (head->kind == RECORD_RESPONSE && head->stored.response_time_s > memory_now_s(m))
        atomic_store_explicit(&m->now_s, head->stored.response_time_s, memory_order_relaxed);
}

/* Whether it is to be pinned, and there is room for its pin, which is then taken. */
static bool takes_pin(struct memory *m, const struct object *o, uint64_t bytes)
{
    uint64_t limit = m->limit_bytes / 100 * MEMORY_PINNED_PERCENT;
    if (object_head(o)->stored.pinned_until_s <= memory_now_s(m)) return false;
    if (atomic_fetch_add_explicit(&m->pinned_bytes, bytes, memory_order_relaxed) + bytes <= limit) return true;
    atomic_fetch_sub_explicit(&m->pinned_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->pins_refused, 1, memory_order_relaxed);
    return false;
}

bool memory_is_pinned(struct memory *m, const struct store_id *id)
{
    struct shard *s = shard_of(m, id);
    pthread_mutex_lock(&s->lock);
    const struct object *o = *find(s, id);
    bool pinned = o != NULL && eviction_is_pinned(&o->node);
    pthread_mutex_unlock(&s->lock);
    return pinned;
}

static void enqueue(struct memory *m, struct shard *s, struct object *o, uint64_t bytes, enum memory_put how)
{
    if (takes_pin(m, o, bytes)) {
        eviction_add_pinned(&s->eviction, &o->node, bytes);
        s->pinned++;
    } else if (how == MEMORY_IF_ROOM) {
        eviction_add_oldest(&s->eviction, &o->node, bytes);
    } else {
        eviction_add(&s->eviction, &o->node, bytes);
    }
}

/* ---- the tier */

struct object *memory_get(struct memory *m, const struct store_id *id, struct view key, struct view variant)
{
    struct shard *s = shard_of(m, id);
    pthread_mutex_lock(&s->lock);
    struct object *o = *find(s, id);
    if (o != NULL) {
        object_ref(o);
        eviction_touch(&o->node);
    }
    pthread_mutex_unlock(&s->lock);
    if (o != NULL && !object_is_for(o, key, variant)) object_unref(&o);
    return o;
}

struct object *memory_peek(struct memory *m, const struct store_id *id, struct view key)
{
    struct shard *s = shard_of(m, id);
    pthread_mutex_lock(&s->lock);
    struct object *o = *find(s, id);
    if (o != NULL) object_ref(o);
    pthread_mutex_unlock(&s->lock);
    if (o != NULL && !view_equal(record_key(object_record(o)), key)) object_unref(&o);
    return o;
}

int memory_uses(struct memory *m, const struct store_id *id)
{
    struct shard *s = shard_of(m, id);
    pthread_mutex_lock(&s->lock);
    const struct object *o = *find(s, id);
    int uses = o != NULL ? atomic_load_explicit(&o->node.frequency, memory_order_relaxed) : -1;
    pthread_mutex_unlock(&s->lock);
    return uses;
}

/* Fetched after `o` was, as far as purges tell. A list of variants has no age: it gives way to a response and takes its place. */
static bool is_younger(const struct object *there, const struct object *o)
{
    const struct record_head *a = object_head(there), *b = object_head(o);
    return a->kind == b->kind && a->fetch_seq > b->fetch_seq;
}

bool memory_put(struct memory *m, struct object *o, enum memory_put how)
{
    struct shard *s = shard_of(m, &o->id);
    uint64_t bytes = object_memory_bytes(o);
    note_time(m, object_head(o));
    count_inside(m, held_by(o)); /* no longer outside, where it would count twice */
    bool fits = too_many_wait(m, o, bytes) ? reserve_once(m, bytes) : reserve_as(m, bytes, how);
    if (bytes > memory_object_limit(m) || !fits) {
        if (fits) give_back(m, bytes);
        count_inside(m, -held_by(o));
        if (how != MEMORY_IF_ROOM) atomic_fetch_add_explicit(&m->rejected, 1, memory_order_relaxed);
        if (how == MEMORY_REPLACE) memory_remove(m, &o->id, NULL);
        return false;
    }
    struct object *old = NULL;
    pthread_mutex_lock(&s->lock);
    struct object **at = find(s, &o->id);
    if (*at != NULL && (how != MEMORY_REPLACE || is_younger(*at, o))) {
        give_back(m, bytes);
        count_inside(m, -held_by(o));
        pthread_mutex_unlock(&s->lock);
        return true;
    }
    if (*at != NULL) old = detach(m, s, at);
    at = &s->buckets[place(&o->id) & s->mask];
    o->next = *at;
    *at = object_ref(o);
    s->entries++;
    enqueue(m, s, o, bytes, how);
    count_unwritten(m, o, atomic_load_explicit(&o->unwritten, memory_order_relaxed));
    if (old != NULL) eviction_touch(&o->node); /* who takes the place of another has been asked for again */
    bool crowded = is_crowded(s);
    pthread_mutex_unlock(&s->lock);
    object_unref(&old);
    if (crowded) grow_when_crowded(m, s, how);
    return true;
}

void memory_remove(struct memory *m, const struct store_id *id, const struct object *expected)
{
    struct shard *s = shard_of(m, id);
    struct object *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct object **at = find(s, id);
    if (*at != NULL && (expected == NULL || *at == expected)) gone = detach(m, s, at);
    pthread_mutex_unlock(&s->lock);
    object_unref(&gone);
}

void memory_written(struct memory *m, struct object *o)
{
    struct shard *s = shard_of(m, &o->id);
    atomic_store_explicit(&o->unwritten, false, memory_order_release);
    pthread_mutex_lock(&s->lock);
    count_unwritten(m, o, false);
    pthread_mutex_unlock(&s->lock);
}

bool memory_leave_unused(struct memory *m, struct object *o)
{
    struct shard *s = shard_of(m, &o->id);
    struct object *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct object **at = find(s, &o->id);
    bool unused = atomic_load_explicit(&o->node.frequency, memory_order_relaxed) == 0;
    if (*at == o && unused) gone = detach(m, s, at);
    pthread_mutex_unlock(&s->lock);
    bool left = gone != NULL;
    object_unref(&gone);
    return left;
}

/* ---- the hottest */

/* A queue from its newest on. */
static size_t note_queue(const struct eviction_queue *q, struct memory_hot *out, size_t max)
{
    size_t n = 0;
    uint64_t position = 0;
    for (struct eviction_node *at = q->newest; at != NULL && n < max; at = at->older, position++) {
        const struct object *o = object_of_node(at);
        if (atomic_load_explicit(&o->stale_marked, memory_order_relaxed)) continue;
        uint64_t coldness = (uint64_t)(EVICTION_RANKS - eviction_rank(at)) << 32 | position;
        out[n++] = (struct memory_hot){ o->id, coldness };
    }
    return n;
}

static int by_coldness(const void *a, const void *b)
{
    uint64_t x = ((const struct memory_hot *)a)->coldness, y = ((const struct memory_hot *)b)->coldness;
    return x < y ? -1 : x > y;
}

/* Each shard gives its share at most, the main queue first: shards are alike, and none is locked for longer than that. */
size_t memory_hottest(struct memory *m, struct memory_hot *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &m->shards[i];
        size_t share = (max - n) / (SHARDS - i);
        pthread_mutex_lock(&s->lock);
        size_t end = n + share;
        n += note_queue(&s->eviction.pinned, out + n, end - n);
        n += note_queue(&s->eviction.main, out + n, end - n);
        n += note_queue(&s->eviction.small, out + n, end - n);
        pthread_mutex_unlock(&s->lock);
    }
    qsort(out, n, sizeof *out, by_coldness);
    return n;
}

static struct object *sweep_shard(struct memory *m, struct shard *s, bool (*keep)(void *, struct object *), void *arg)
{
    struct object *gone = NULL;
    for (size_t b = 0; b <= s->mask; b++) {
        struct object **at = &s->buckets[b];
        while (*at != NULL) {
            if (keep(arg, *at)) {
                at = &(*at)->next;
                continue;
            }
            struct object *o = detach(m, s, at);
            o->next = gone;
            gone = o;
        }
    }
    return gone;
}

void memory_sweep(struct memory *m, bool (*keep)(void *arg, struct object *o), void *arg)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &m->shards[i];
        pthread_mutex_lock(&s->lock);
        struct object *gone = sweep_shard(m, s, keep, arg);
        pthread_mutex_unlock(&s->lock);
        for (struct object *next; gone != NULL; gone = next) {
            next = gone->next;
            gone->next = NULL;
            object_unref(&gone);
        }
    }
}

uint64_t memory_object_limit(const struct memory *m)
{
    return m->limit_bytes / OBJECT_SHARE;
}

void memory_stats(struct memory *m, struct memory_stats *out)
{
    *out = (struct memory_stats){ .limit_bytes = m->limit_bytes };
    out->bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
    out->pinned_bytes = atomic_load_explicit(&m->pinned_bytes, memory_order_relaxed);
    out->pins_refused = atomic_load_explicit(&m->pins_refused, memory_order_relaxed);
    out->rejected = atomic_load_explicit(&m->rejected, memory_order_relaxed);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &m->shards[i];
        pthread_mutex_lock(&s->lock);
        out->entries += s->entries;
        out->evictions += s->evictions;
        out->pinned += s->pinned;
        pthread_mutex_unlock(&s->lock);
    }
}
