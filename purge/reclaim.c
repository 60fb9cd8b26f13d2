#include "purge/reclaim.h"

#include "purge/record_subject.h"
#include "purge/state.h"
#include "purge/tag.h"

#include <errno.h>
#include <stdlib.h>

enum { CLOSING_LOOK_MS = 50 };

/* A line on its way out. */
struct leaving {
    struct batch *batch;
    struct line line;             /* the numbers that are to be forgotten; 0: not this one */
    const struct leaving *within; /* whose removal contains this one's, or NULL */
    bool failed;
};

/* The lines of one round. The store may call back after purge has closed, so each call under way has a reference. */
struct batch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned refs, under_way;
    size_t count;
    struct leaving barrier;  /* a removal of nothing, to wait for what is queued before it */
    struct leaving overflow; /* the responses with too many tags */
    struct leaving at[RECLAIM_ROUND_MAX];
};

struct reclaim {
    struct purges *p;
    size_t soft_at; /* where to look for soft lines next */
    bool again;     /* something is left to do at once */
    bool failed;    /* something is left to do later */
};

/* ---- a batch */

static struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof(*b));
    if (b == NULL) return NULL;
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    b->refs = 1;
    b->barrier.batch = b;
    return b;
}

static void batch_unref(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    bool last = --b->refs == 0;
    pthread_mutex_unlock(&b->lock);
    if (!last) return;
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    free(b);
}

static void batch_add(struct batch *b, const struct line *line)
{
    b->at[b->count++] = (struct leaving){ .batch = b, .line = *line };
}

/* ---- sleeping */

static struct timespec after_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Until there is work, or after a failure for a while. False when closing. */
static bool wait_for_work(struct reclaim *r)
{
    struct purges *p = r->p;
    int rc = 0;
    struct timespec until = after_ms(RECLAIM_RETRY_MS);
    pthread_mutex_lock(&p->work);
    while (!p->closing && rc == 0 && !(p->woken && !r->failed) && !r->again) {
        rc = r->failed ? pthread_cond_timedwait(&p->changed, &p->work, &until)
                       : pthread_cond_wait(&p->changed, &p->work);
    }
    bool go_on = !p->closing;
    p->woken = r->again = r->failed = false;
    pthread_mutex_unlock(&p->work);
    return go_on;
}

/* So that memory is swept about once in a pause_ms, however fast purges come. False when closing. */
static bool pause_between(struct purges *p)
{
    int rc = 0;
    pthread_mutex_lock(&p->work);
    struct timespec until = after_ms(p->pause_ms);
    while (!p->closing && rc == 0) rc = pthread_cond_timedwait(&p->changed, &p->work, &until);
    bool go_on = !p->closing;
    pthread_mutex_unlock(&p->work);
    return go_on;
}

static bool is_crowded(struct purges *p)
{
    pthread_rwlock_rdlock(&p->lock);
    bool crowded = p->lines.count > PURGE_LINES_MAX / 2;
    pthread_rwlock_unlock(&p->lock);
    return crowded;
}

static uint64_t divide(struct purges *p)
{
    pthread_mutex_lock(&p->order);
    uint64_t seq = holds_divide(&p->holds, &p->seq);
    pthread_mutex_unlock(&p->order);
    return seq;
}

/* Wait for what began before seq. A fetch that never ends must not make us purge everything in a fold: when lines pile up
 * behind it, it is given up on. False when closing. */
static bool wait_drained(struct purges *p, uint64_t seq)
{
    bool go_on = true;
    pthread_mutex_lock(&p->work);
    while (!p->closing && !holds_drained(&p->holds, seq)) {
        pthread_mutex_unlock(&p->work);
        bool crowded = is_crowded(p);
        if (crowded) atomic_fetch_add(&p->given_up, holds_give_up(&p->holds, seq));
        pthread_mutex_lock(&p->work);
        if (crowded || p->closing || holds_drained(&p->holds, seq)) continue;
        pthread_cond_wait(&p->changed, &p->work);
    }
    go_on = !p->closing;
    pthread_mutex_unlock(&p->work);
    return go_on;
}

/* ---- choosing */

/* What a hard purge makes superfluous: the soft purges of the same name before it. */
static struct line hard_part(const struct line *line)
{
    struct line part = *line;
    if (part.soft_seq > part.hard_seq) part.soft_seq = 0;
    return part;
}

static void choose_hard(struct reclaim *r, struct batch *b, uint64_t below)
{
    struct purges *p = r->p;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->lines.count && !r->again; i++) {
        const struct line *line = &p->lines.at[i];
        if (line->hard_seq == 0 || line->hard_seq >= below) continue;
        struct line part = hard_part(line);
        if (b->count < RECLAIM_ROUND_MAX) {
            batch_add(b, &part);
        } else {
            r->again = true;
        }
    }
    pthread_rwlock_unlock(&p->lock);
}

struct older {
    const struct line *line;
    bool found;
};

static bool look_for_older(void *arg, const struct store_id *id, const struct store_found *found, struct view record)
{
    struct older *o = arg;
    (void)id;
    bool concerned = o->line->kind != LINE_PREFIX || line_prefix_matches(o->line, record_subject_uri(record));
    o->found = concerned && found->fetch_seq < o->line->soft_seq;
    return !o->found;
}

/* True when a bounded look at all that has this tag finds nothing older than the line. */
static bool nothing_older(struct store *store, const struct line *line, const uint64_t *tag)
{
    struct older o = { .line = line };
    uint64_t cursor = 0;
    int shown = store_walk(store, tag, &cursor, RECLAIM_SOFT_RECORDS, look_for_older, &o);
    return shown >= 0 && cursor == 0 && !o.found;
}

static bool soft_line_is_over(struct store *store, const struct line *line)
{
    const uint64_t *host = &line->name[1];
    switch (line->kind) {
    case LINE_ALL: return nothing_older(store, line, NULL);
    case LINE_PREFIX: return nothing_older(store, line, *host != 0 ? host : NULL);
    case LINE_TAG: return nothing_older(store, line, &line->name[0]) && nothing_older(store, line, &TAG_OVERFLOW);
    case LINE_URL:
        return store_count_key(store, &line->name[1], line->soft_seq) == 0 &&
               nothing_older(store, line, &line->name[0]);
    case LINE_HOST:
    case LINE_KIND_COUNT: break;
    }
    return nothing_older(store, line, &line->name[0]);
}

/* Soft lines to look at, RECLAIM_SOFT_LOOKS of them, going round. Without a store nobody knows what is left: they stay. */
static size_t soft_candidates(struct reclaim *r, uint64_t below, struct line *out)
{
    struct purges *p = r->p;
    size_t n = 0;
    if (p->store == NULL) return 0;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t looked = 0; looked < p->lines.count && n < RECLAIM_SOFT_LOOKS; looked++) {
        if (r->soft_at >= p->lines.count) r->soft_at = 0;
        const struct line *line = &p->lines.at[r->soft_at++];
        if (line->hard_seq < line->soft_seq && line->soft_seq < below) out[n++] = *line;
    }
    pthread_rwlock_unlock(&p->lock);
    return n;
}

static void choose_soft(struct reclaim *r, struct batch *b, uint64_t below)
{
    struct line *lines = malloc(RECLAIM_SOFT_LOOKS * sizeof(*lines));
    size_t n = lines != NULL ? soft_candidates(r, below, lines) : 0;
    for (size_t i = 0; i < n && b->count < RECLAIM_ROUND_MAX; i++) {
        lines[i].hard_seq = 0;
        if (soft_line_is_over(r->p->store, &lines[i])) batch_add(b, &lines[i]);
    }
    free(lines);
}

/* ---- removing from the store */

static void removed(void *arg, int result)
{
    struct leaving *l = arg;
    struct batch *b = l->batch;
    pthread_mutex_lock(&b->lock);
    if (result != 0) l->failed = true;
    b->under_way--;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    batch_unref(b);
}

static bool in_prefix(void *arg, struct view record)
{
    const struct leaving *l = arg;
    return line_prefix_matches(&l->line, record_subject_uri(record));
}

static bool is_closing(struct purges *p)
{
    pthread_mutex_lock(&p->work);
    bool closing = p->closing;
    pthread_mutex_unlock(&p->work);
    return closing;
}

/* Waits until no more than `most` are under way. The purges may close meanwhile: then nobody waits for the store. */
static bool wait_removed(struct purges *p, struct batch *b, unsigned most)
{
    bool closing = is_closing(p);
    pthread_mutex_lock(&b->lock);
    while (b->under_way > most && !closing) {
        struct timespec until = after_ms(CLOSING_LOOK_MS);
        (void)pthread_cond_timedwait(&b->changed, &b->lock, &until);
        pthread_mutex_unlock(&b->lock);
        closing = is_closing(p);
        pthread_mutex_lock(&b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    return !closing;
}

static void begin_call(struct leaving *l)
{
    pthread_mutex_lock(&l->batch->lock);
    l->batch->refs++;
    l->batch->under_way++;
    pthread_mutex_unlock(&l->batch->lock);
}

/* A refused call is one that failed. */
static void settle_call(struct leaving *l, int rc)
{
    if (rc != 0) removed(l, rc);
}

static void remove_tagged(struct store *store, struct leaving *l, const uint64_t *tag)
{
    begin_call(l);
    settle_call(
        l, store_reclaim(store, tag, l->line.hard_seq, l->line.kind == LINE_PREFIX ? in_prefix : NULL, l, removed));
}

/* Most URLs have no response whose key says more than the URL: then there is nothing to look for by tag. */
static void remove_url(struct store *store, struct leaving *l)
{
    begin_call(l);
    settle_call(l, store_remove_key(store, &l->line.name[1], l->line.hard_seq, removed, l));
    if (store_tag_count(store, l->line.name[0]) > 0) remove_tagged(store, l, &l->line.name[0]);
}

static void remove_line(struct store *store, struct leaving *l)
{
    const uint64_t *name = l->line.name;
    if (l->line.hard_seq == 0 || l->within != NULL) return;
    switch (l->line.kind) {
    case LINE_ALL: remove_tagged(store, l, NULL); break;
    case LINE_PREFIX: remove_tagged(store, l, name[1] != 0 ? &name[1] : NULL); break;
    case LINE_URL: remove_url(store, l); break;
    case LINE_HOST:
    case LINE_TAG: remove_tagged(store, l, &name[0]); break;
    case LINE_KIND_COUNT: break;
    }
}

/* Any tag may stand behind TAG_OVERFLOW: what has too many tags goes up to the newest purge of a tag. */
static void set_overflow(struct batch *b)
{
    b->overflow = (struct leaving){ .batch = b, .line = line_tag(TAG_OVERFLOW) };
    for (size_t i = 0; i < b->count; i++) {
        const struct line *l = &b->at[i].line;
        if (l->kind == LINE_TAG && l->hard_seq > b->overflow.line.hard_seq) b->overflow.line.hard_seq = l->hard_seq;
    }
}

/* After a purge of everything the lines before it need no removal of their own. */
static void set_within(struct batch *b)
{
    const struct leaving *all = NULL;
    for (size_t i = 0; i < b->count; i++) {
        if (b->at[i].line.kind == LINE_ALL) all = &b->at[i];
    }
    for (size_t i = 0; i < b->count && all != NULL; i++) {
        if (&b->at[i] != all && b->at[i].line.hard_seq <= all->line.hard_seq) b->at[i].within = all;
    }
}

/* Removals by tag run in the background of the store, so first wait until what was queued before us is written. */
static bool wait_written(struct purges *p, struct batch *b)
{
    const uint64_t no_key[2] = { 0 };
    begin_call(&b->barrier);
    settle_call(&b->barrier, store_remove_key(p->store, no_key, 0, removed, &b->barrier));
    return wait_removed(p, b, 0);
}

/* False when closing. */
static bool remove_batch(struct purges *p, struct batch *b)
{
    if (p->store == NULL) return true;
    if (!wait_written(p, b)) return false;
    set_within(b);
    set_overflow(b);
    remove_line(p->store, &b->overflow);
    for (size_t i = 0; i < b->count; i++) {
        if (!wait_removed(p, b, RECLAIM_AT_ONCE)) return false;
        remove_line(p->store, &b->at[i]);
    }
    return wait_removed(p, b, 0);
}

static bool removal_failed(const struct batch *b, const struct leaving *l)
{
    if (b->barrier.failed || l->failed || (l->within != NULL && l->within->failed)) return true;
    return l->line.kind == LINE_TAG && l->line.hard_seq > 0 && b->overflow.failed;
}

/* ---- forgetting */

static void forget_in_log(struct purges *p, const struct line *line)
{
    struct view name = line_log_name(line);
    if (p->store == NULL) return;
    if (line->hard_seq > 0) store_forget_purge(p->store, line_log_kind(line), false, name, line->hard_seq);
    if (line->soft_seq > 0) store_forget_purge(p->store, line_log_kind(line), true, name, line->soft_seq);
}

static void forget_batch(struct reclaim *r, struct batch *b)
{
    struct purges *p = r->p;
    for (size_t i = 0; i < b->count; i++) {
        if (removal_failed(b, &b->at[i])) {
            r->failed = true;
            continue;
        }
        pthread_rwlock_wrlock(&p->lock); /* one at a time: a hit never waits for the whole batch */
        lines_forget(&p->lines, &b->at[i].line);
        pthread_rwlock_unlock(&p->lock);
        forget_in_log(p, &b->at[i].line);
    }
}

/* The lines that a fold has replaced are in the log only. */
static void forget_covered(struct purges *p)
{
    pthread_mutex_lock(&p->work);
    struct line *covered = p->covered;
    size_t count = p->covered_count;
    p->covered = NULL;
    pthread_mutex_unlock(&p->work);
    for (size_t i = 0; i < count && covered != NULL; i++) forget_in_log(p, &covered[i]);
    free(covered);
}

/* ---- the round */

static void sweep(struct purges *p, uint64_t below)
{
    pthread_mutex_lock(&p->work);
    void (*call)(void *arg, uint64_t below_seq) = p->sweep;
    void *arg = p->sweep_arg;
    pthread_mutex_unlock(&p->work);
    if (call != NULL) call(arg, below);
}

static void round_of(struct reclaim *r, struct batch *b)
{
    struct purges *p = r->p;
    uint64_t begun = divide(p);
    if (!wait_drained(p, begun)) return;
    choose_hard(r, b, begun);
    choose_soft(r, b, begun);
    if (b->count == 0 || !remove_batch(p, b)) return;
    sweep(p, begun);
    if (!pause_between(p) || !wait_drained(p, divide(p))) return;
    forget_batch(r, b);
}

void *reclaim_main(void *arg)
{
    struct reclaim r = { .p = arg };
    while (wait_for_work(&r)) {
        struct batch *b = batch_new();
        forget_covered(r.p);
        if (b != NULL) {
            round_of(&r, b);
            batch_unref(b);
        } else {
            r.failed = true;
        }
    }
    return NULL;
}
