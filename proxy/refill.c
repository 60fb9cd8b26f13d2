#include "proxy/refill.h"

#include "cache/freshness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 8,        /* responses between two chances for what clients wait for */
    NO_ROOM_MAX = 16, /* in a row: memory is full */
    LINE_BYTES = 200,
};

struct refill {
    struct store_job job;
    struct weir *weir;
    void (*say)(void *arg, const char *line);
    void *say_arg;
    struct site *site; /* while it runs */
    struct hot_list list;
    size_t next; /* of the list; the job's own while it runs */
    unsigned no_room;
    int64_t begun_us;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool running; /* under lock */
    atomic_ulong listed, refilled, dropped, saved;
};

struct refill *refill_new(struct weir *w, void (*say)(void *arg, const char *line), void *say_arg)
{
    struct refill *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->weir = w;
    r->say = say;
    r->say_arg = say_arg;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->ended, NULL);
    return r;
}

/* ---- one response */

static bool is_stale(const struct refill *r, const struct object *o)
{
    const struct record_head *head = object_head(o);
    if (head->kind == RECORD_VARY) return false;
    struct view uri = record_uri(view_of((const char *)head, o->record_len));
    const struct route *route = site_route_of_uri(r->site, uri);
    struct lifetime l = freshness_lifetime(&head->stored, &route->policy, o->id.key[0]);
    return current_age_s(&head->stored, clock_now_s(&r->weir->clock)) >= l.lifetime_s;
}

/* What is purged softly is not worth memory before somebody asks for it. */
static bool is_worth_it(void *arg, struct object *o)
{
    struct refill *r = arg;
    if (is_stale(r, o)) return false;
    struct purge_subject s = object_purge_subject(o);
    struct purge_verdict v = purge_check(r->weir->purges, &s);
    if (object_head(o)->kind != RECORD_VARY)
        atomic_store_explicit(&o->checked_seq, v.checked_seq, memory_order_relaxed);
    return !v.hard && !v.soft;
}

static void bring(struct refill *r, const struct store_id *id)
{
    struct purges *purges = r->weir->purges;
    uint64_t seq = purge_fetch_begin(purges);
    enum cache_brought got = cache_bring(r->weir->cache, id, is_worth_it, r);
    if (!purge_fetch_end(purges, seq) && got == CACHE_BROUGHT) {
        memory_remove(cache_memory(r->weir->cache), id, NULL);
        got = CACHE_NOT_KEPT;
    }
    r->no_room = got == CACHE_NO_ROOM ? r->no_room + 1 : 0;
    if (got == CACHE_BROUGHT || got == CACHE_WAS_THERE) atomic_fetch_add(&r->refilled, 1);
    if (got == CACHE_NOT_STORED || got == CACHE_NOT_KEPT) atomic_fetch_add(&r->dropped, 1);
}

/* ---- the job */

static void tell_end(const struct refill *r)
{
    char line[LINE_BYTES];
    unsigned long listed = atomic_load(&r->listed), refilled = atomic_load(&r->refilled);
    unsigned long dropped = atomic_load(&r->dropped);
    double seconds = (double)(clock_monotonic_us() - r->begun_us) / 1e6;
    const char *why = r->no_room >= NO_ROOM_MAX ? "; memory is full" : "";
    snprintf(line, sizeof line,
             "%lu of the %lu hottest responses are in memory again after %.1f s; %lu were purged, stale or gone%s",
             refilled, listed, seconds, dropped, why);
    r->say(r->say_arg, line);
}

static void end(struct refill *r, bool complete)
{
    if (complete) tell_end(r);
    site_unref(&r->site);
    pthread_mutex_lock(&r->lock);
    r->running = false;
    if (complete) hot_list_free(&r->list);
    pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
}

static bool is_over(const struct refill *r)
{
    return r->next == r->list.count || r->no_room >= NO_ROOM_MAX;
}

/* The list is read here, so that the start does not wait for the disk. @return false: there is nothing to do */
static bool begin(struct refill *r)
{
    int rc = hot_load(r->weir->store, &r->list);
    if (rc != 0 && rc != -ENOENT)
        r->say(r->say_arg, "the list of the hottest responses cannot be read: memory begins empty");
    if (rc != 0 || r->list.count == 0) return false;
    atomic_store(&r->listed, r->list.count);
    r->site = weir_site(r->weir);
    r->begun_us = clock_monotonic_us();
    return true;
}

/* On a reader thread: a batch, and then behind everything that waits. Where the queue is full it goes on at once: it has
 * the thread already. */
static void run(struct store_job *job)
{
    struct refill *r = HOLDER_OF(job, struct refill, job);
    if (r->site == NULL && !begin(r)) {
        end(r, false);
        return;
    }
    do {
        for (int i = 0; i < BATCH && !is_over(r) && !atomic_load(&r->stopping); i++) bring(r, &r->list.ids[r->next++]);
        if (is_over(r) || atomic_load(&r->stopping)) {
            end(r, is_over(r));
            return;
        }
    } while (!store_submit(r->weir->store, job));
}

void refill_start(struct refill *r)
{
    if (r->weir->store == NULL) return;
    r->job.run = run;
    pthread_mutex_lock(&r->lock);
    r->running = store_submit(r->weir->store, &r->job);
    pthread_mutex_unlock(&r->lock);
}

void refill_stop(struct refill *r)
{
    atomic_store(&r->stopping, true);
    pthread_mutex_lock(&r->lock);
    while (r->running) pthread_cond_wait(&r->ended, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

void refill_free(struct refill *r)
{
    if (r == NULL) return;
    refill_stop(r);
    hot_list_free(&r->list);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- saving */

static void saved(void *arg, int64_t result)
{
    struct refill *r = arg;
    if (result >= 0) atomic_store(&r->saved, (unsigned long)result);
}

void refill_save(struct refill *r, bool at_end)
{
    if (r->weir->store == NULL) return;
    if (at_end) refill_stop(r);
    pthread_mutex_lock(&r->lock);
    bool under_way = r->running;
    pthread_mutex_unlock(&r->lock);
    if (under_way) return; /* the list that there is says more than memory does */
    struct hot_list rest = { 0 };
    if (r->list.ids != NULL) rest = (struct hot_list){ r->list.ids + r->next, r->list.count - r->next };
    int rc = hot_save(r->weir->cache, &rest, saved, r);
    if (rc != 0 && at_end)
        r->say(r->say_arg, "the list of the hottest responses was not saved: the store takes nothing");
}

void refill_stats(const struct refill *r, struct refill_stats *out)
{
    struct refill *held = (struct refill *)(uintptr_t)r;
    *out = (struct refill_stats){ .listed = atomic_load(&r->listed),
                                  .refilled = atomic_load(&r->refilled),
                                  .dropped = atomic_load(&r->dropped),
                                  .saved = atomic_load(&r->saved) };
    pthread_mutex_lock(&held->lock);
    out->running = held->running;
    pthread_mutex_unlock(&held->lock);
}
