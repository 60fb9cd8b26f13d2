#include "cache/flight.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHARDS = 64, BUCKETS = 256 };

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct flight *buckets[BUCKETS];
    size_t listed;
};

struct flight_table {
    struct shard shards[SHARDS];
};

struct flight_table *flight_table_new(void)
{
    struct flight_table *t = aligned_alloc(64, sizeof *t);
    if (t == NULL) return NULL;
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < SHARDS; i++) pthread_mutex_init(&t->shards[i].lock, NULL);
    return t;
}

void flight_table_free(struct flight_table *t)
{
    for (size_t i = 0; i < SHARDS; i++) {
        assert(t->shards[i].listed == 0);
        pthread_mutex_destroy(&t->shards[i].lock);
    }
    free(t);
}

/* By the key alone, so that a flight that is renamed to one of its variants stays where it is. */
static struct shard *shard_of(struct flight_table *t, const struct store_id *id)
{
    return &t->shards[id->key[0] % SHARDS];
}

static struct flight **bucket_of(struct shard *s, const struct store_id *id)
{
    return &s->buckets[id->key[1] % BUCKETS];
}

/* A request that does not know whether the key varies joins any flight that did not know either. */
static bool is_for(const struct flight *f, const struct store_id *id, struct view key, struct view variant)
{
    if (f->id.key[0] != id->key[0] || f->id.key[1] != id->key[1] || !view_equal(f->key, key)) return false;
    if (id->variant == 0) return f->began_without_variant;
    return f->id.variant == id->variant && (f->variant.len == 0 || view_equal(f->variant, variant));
}

static void list(struct shard *s, struct flight *f)
{
    struct flight **at = bucket_of(s, &f->id);
    f->next = *at;
    *at = f;
    f->listed = true;
    s->listed++;
}

static void unlist(struct shard *s, struct flight *f)
{
    if (!f->listed) return;
    struct flight **at = bucket_of(s, &f->id);
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    f->listed = false;
    s->listed--;
}

static struct flight *flight_new(const struct store_id *id, struct view key, struct view variant, uint64_t fetch_seq)
{
    struct flight *f = malloc(sizeof *f + key.len + variant.len);
    if (f == NULL) return NULL;
    memset(f, 0, sizeof *f);
    char *text = (char *)(f + 1);
    if (key.len > 0) memcpy(text, key.at, key.len);
    if (variant.len > 0) memcpy(text + key.len, variant.at, variant.len);
    f->key = view_of(text, key.len);
    f->variant = view_of(text + key.len, variant.len);
    f->id = *id;
    f->began_without_variant = id->variant == 0;
    f->fetch_seq = fetch_seq;
    atomic_init(&f->refs, 1);
    atomic_init(&f->state, FLIGHT_OPEN);
    return f;
}

struct flight *flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void flight_unref(struct flight **f)
{
    struct flight *gone = *f;
    *f = NULL;
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    object_unref(&gone->object);
    free(gone);
}

static bool is_open(const struct flight *f)
{
    return atomic_load_explicit(&f->state, memory_order_acquire) == FLIGHT_OPEN;
}

static void add_waiter(struct flight *f, struct flight_waiter *w)
{
    w->waiting = is_open(f);
    if (w->waiting) {
        w->next = f->waiters;
        f->waiters = w;
    }
    atomic_fetch_add_explicit(&f->waiters_count, 1, memory_order_relaxed);
}

struct flight *flight_join(struct flight_table *t, const struct store_id *id, struct view key, struct view variant,
                           uint64_t fetch_seq, flight_may_join may_join, void *arg, struct flight_waiter *w,
                           bool *leading)
{
    struct shard *s = shard_of(t, id);
    pthread_mutex_lock(&s->lock);
    struct flight *f = *bucket_of(s, id);
    while (f != NULL && !is_for(f, id, key, variant)) f = f->next;
    if (f != NULL && !may_join(arg, f)) {
        unlist(s, f); /* it flies on for those who are aboard; a new one takes its place */
        f = NULL;
    }
    *leading = f == NULL;
    if (f == NULL) {
        f = flight_new(id, key, variant, fetch_seq);
        if (f != NULL) list(s, f);
    } else {
        flight_ref(f);
    }
    if (f != NULL) add_waiter(f, w);
    pthread_mutex_unlock(&s->lock);
    return f;
}

struct flight *flight_private(const struct store_id *id, uint64_t fetch_seq)
{
    return flight_new(id, (struct view){ NULL, 0 }, (struct view){ NULL, 0 }, fetch_seq);
}

void flight_wait(struct flight_table *t, struct flight *f, struct flight_waiter *w)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    add_waiter(f, w);
    pthread_mutex_unlock(&s->lock);
}

unsigned flight_leave(struct flight_table *t, struct flight **f, struct flight_waiter *w)
{
    struct shard *s = shard_of(t, &(*f)->id);
    pthread_mutex_lock(&s->lock);
    if (w->waiting) {
        struct flight_waiter **at = &(*f)->waiters;
        while (*at != w) at = &(*at)->next;
        *at = w->next;
        w->waiting = false;
    }
    unsigned left = atomic_fetch_sub_explicit(&(*f)->waiters_count, 1, memory_order_acq_rel) - 1;
    pthread_mutex_unlock(&s->lock);
    flight_unref(f);
    return left;
}

void flight_rename(struct flight_table *t, struct flight *f, const struct store_id *id)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    assert(f->id.key[0] == id->key[0] && f->id.key[1] == id->key[1]);
    f->id.variant = id->variant; /* the key is read without the lock, to find it */
    pthread_mutex_unlock(&s->lock);
}

static void leave_open(struct flight *f, enum flight_state state)
{
    assert(is_open(f));
    atomic_store_explicit(&f->state, state, memory_order_release);
    struct flight_waiter *next;
    for (struct flight_waiter *w = f->waiters; w != NULL; w = next) {
        next = w->next;
        w->waiting = false;
        w->wake(w);
    }
    f->waiters = NULL;
}

void flight_respond(struct flight_table *t, struct flight *f, struct object *o)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    f->object = object_ref(o);
    leave_open(f, FLIGHT_RESPONSE);
    pthread_mutex_unlock(&s->lock);
}

void flight_part(struct flight_table *t, struct flight *f)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    unlist(s, f);
    leave_open(f, FLIGHT_ALONE);
    pthread_mutex_unlock(&s->lock);
}

void flight_fail(struct flight_table *t, struct flight *f, struct flight_failure failure)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    unlist(s, f);
    f->failure = failure;
    leave_open(f, FLIGHT_FAILED);
    pthread_mutex_unlock(&s->lock);
}

void flight_unlist(struct flight_table *t, struct flight *f)
{
    struct shard *s = shard_of(t, &f->id);
    pthread_mutex_lock(&s->lock);
    unlist(s, f);
    pthread_mutex_unlock(&s->lock);
}

unsigned flight_waiters(const struct flight *f)
{
    return atomic_load_explicit(&f->waiters_count, memory_order_acquire);
}

size_t flight_count(struct flight_table *t)
{
    size_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&t->shards[i].lock);
        sum += t->shards[i].listed;
        pthread_mutex_unlock(&t->shards[i].lock);
    }
    return sum;
}
