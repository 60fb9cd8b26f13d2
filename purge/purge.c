#include "purge/purge.h"

#include "purge/count.h"
#include "purge/reclaim.h"
#include "purge/state.h"
#include "purge/tag.h"

#include <errno.h>
#include <stdlib.h>

/* Numbers that were taken but not logged when weir was killed may stand in the store as a fetch_seq. The next start begins
 * above them, so that its purges reach those responses too. */
enum { SEQ_GAP = 1 << 20 };

enum { PAUSE_MS = 1000 };

/* The log's letters, in the order of enum line_kind. */
static const char kind_letters[] = "ahptu";

/* ---- the log */

struct view line_log_name(const struct line *line)
{
    return view_of((const char *)line->name, line->kind == LINE_ALL ? 0 : sizeof(line->name));
}

char line_log_kind(const struct line *line)
{
    return kind_letters[line->kind];
}

struct loading {
    struct purges *p;
    bool failed;
};

/* A line we cannot read must not be lost on us: it counts as everything. */
static struct line line_of_log(const struct store_purge_line *logged)
{
    struct line line = line_all();
    const char *letter = logged->kind != '\0' ? strchr(kind_letters, logged->kind) : NULL;
    if (letter != NULL && logged->name.len == sizeof(line.name)) {
        line.kind = (enum line_kind)(letter - kind_letters);
        memcpy(line.name, logged->name.at, sizeof(line.name));
    }
    if (line.kind == LINE_PREFIX && line.name[2] > LINE_PREFIX_MAX) line = line_all();
    if (logged->soft) {
        line.soft_seq = logged->seq;
        line.soft_since_s = logged->time_s;
    } else {
        line.hard_seq = logged->seq;
    }
    return line;
}

static bool load_line(void *arg, const struct store_purge_line *logged)
{
    struct loading *loading = arg;
    struct lines *lines = &loading->p->lines;
    struct line line = line_of_log(logged);
    if (lines_reserve(lines, 2)) {
        lines_put(lines, &line);
    } else {
        loading->failed = true;
    }
    return !loading->failed;
}

/* What a fold in the log covers; without memory to note it, it is reclaimed like any other line. */
static void drop_covered(struct purges *p)
{
    p->covered = calloc(p->lines.count + 1, sizeof(*p->covered));
    if (p->covered != NULL) p->covered_count = lines_take_covered(&p->lines, p->covered, p->lines.count);
}

static bool load(struct purges *p)
{
    struct loading loading = { p, false };
    struct store_stats stats = { 0 };
    if (p->store == NULL) return true;
    uint64_t seq = store_load_purges(p->store, load_line, &loading);
    store_stats(p->store, &stats);
    drop_covered(p);
    atomic_init(&p->seq, seq + (stats.entries > 0 ? SEQ_GAP : 0));
    return !loading.failed;
}

/* ---- open and close */

static void on_drained(void *arg)
{
    struct purges *p = arg;
    pthread_mutex_lock(&p->work);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->work);
}

static void init_locks(struct purges *p)
{
    pthread_rwlockattr_t rw;
    pthread_rwlockattr_init(&rw);
    /* Hits never cease: without this a purge could wait for them for ever. */
    pthread_rwlockattr_setkind_np(&rw, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&p->lock, &rw);
    pthread_rwlockattr_destroy(&rw);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&p->order, NULL);
    pthread_mutex_init(&p->work, NULL);
    holds_init(&p->holds, on_drained, p);
}

static void destroy(struct purges *p)
{
    holds_destroy(&p->holds);
    pthread_mutex_destroy(&p->work);
    pthread_mutex_destroy(&p->order);
    pthread_cond_destroy(&p->changed);
    pthread_rwlock_destroy(&p->lock);
    lines_free(&p->lines);
    free(p->covered);
    free(p);
}

static void nobody_waits(void *arg, const struct purge_result *result)
{
    (void)arg;
    (void)result;
}

struct purges *purge_open(struct store *store, int64_t now_s)
{
    struct purges *p = aligned_alloc(_Alignof(struct purges), sizeof(*p));
    if (p == NULL) return NULL;
    memset(p, 0, sizeof(*p));
    p->store = store;
    p->pause_ms = PAUSE_MS;
    init_locks(p);
    bool loaded = load(p);
    p->woken = p->lines.count > 0;
    if (!loaded || pthread_create(&p->thread, NULL, reclaim_main, p) != 0) {
        destroy(p);
        return NULL;
    }
    /* Logs the number we begin at, so that the next start begins above it, whatever happens to the log meanwhile. */
    if (purge_current_seq(p) > 0) purge_begin(p, &(struct purge_request){ 0 }, now_s, nobody_waits, NULL);
    return p;
}

void purge_stop(struct purges *p)
{
    pthread_mutex_lock(&p->work);
    while (p->ops > 0) pthread_cond_wait(&p->changed, &p->work);
    p->closing = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->work);
    pthread_join(p->thread, NULL);
    p->stopped = true;
}

void purge_close(struct purges *p)
{
    if (!p->stopped) purge_stop(p);
    destroy(p);
}

/* ---- lookups */

uint64_t purge_current_seq(const struct purges *p)
{
    return atomic_load_explicit(&p->seq, memory_order_acquire);
}

uint64_t purge_fetch_begin(struct purges *p)
{
    return holds_begin(&p->holds, &p->seq);
}

bool purge_fetch_end(struct purges *p, uint64_t seq)
{
    return holds_end(&p->holds, seq);
}

void purge_fetch_drop(struct purges *p, uint64_t seq)
{
    (void)!purge_fetch_end(p, seq);
}

struct view purge_authority_of(struct view uri)
{
    return uri_authority(uri);
}

struct purge_verdict purge_check(struct purges *p, const struct purge_subject *s)
{
    struct purge_verdict verdict = { .checked_seq = s->fetch_seq };
    verdict.hard = s->under_way && s->fetch_seq < atomic_load_explicit(&p->holds.given_up, memory_order_acquire);
    if (verdict.hard || s->fetch_seq >= purge_current_seq(p)) return verdict;
    pthread_rwlock_rdlock(&p->lock);
    verdict.checked_seq = purge_current_seq(p); /* every line up to it is there: it is published under this lock */
    struct marks marks = lines_check(&p->lines, s, UINT64_MAX);
    pthread_rwlock_unlock(&p->lock);
    verdict.hard = marks.hard_seq > s->fetch_seq;
    verdict.soft = !verdict.hard && marks.soft_seq > 0;
    verdict.soft_since_s = marks.soft_since_s;
    return verdict;
}

/* ---- a purge: its names */

/* Every line of an op matches whatever was fetched before. */
static void op_add(struct purge_op *op, struct line line)
{
    line.soft_seq = UINT64_MAX - 1;
    lines_put(&op->lines, &line);
}

static bool op_has(const struct purge_op *op, struct view uri)
{
    struct purge_subject s = { .uri = uri, .authority = uri_authority(uri), .tags_known = true };
    return lines_check(&op->lines, &s, UINT64_MAX).soft_seq > 0;
}

/* A name inside a host or prefix of the same purge needs no line of its own. */
static void op_add_names(struct purge_op *op, const struct purge_request *r)
{
    for (size_t i = 0; i < r->host_count; i++) op_add(op, line_host(r->hosts[i]));
    for (size_t i = 0; i < r->prefix_count; i++) op_add(op, line_prefix(r->prefixes[i]));
    for (size_t i = 0; i < r->uri_count; i++) {
        const uint64_t none[2] = { 0 };
        const uint64_t *key = r->uri_ids != NULL ? r->uri_ids[i].key : none;
        bool inside = (r->host_count > 0 || r->prefix_count > 0) && op_has(op, r->uris[i]);
        if (!inside) op_add(op, line_url(r->uris[i], key));
    }
    for (size_t i = 0; i < r->tag_count; i++) op_add(op, line_tag(tag_hash(r->tags[i])));
    for (size_t i = 0; i < r->group_count; i++) {
        op_add(op, line_tag(tag_hash_group(r->groups[i], r->group_authority)));
    }
}

static int op_set_names(struct purge_op *op, const struct purge_request *r)
{
    size_t n = r->uri_count + r->tag_count + r->group_count + r->prefix_count + r->host_count;
    if (n > PURGE_ITEMS_MAX) return -E2BIG;
    if (!lines_reserve(&op->lines, n + 1)) return -ENOMEM;
    if (r->all) {
        op_add(op, line_all());
    } else {
        op_add_names(op, r);
    }
    return 0;
}

/* The count leaves out what was purged before: the numbers of the same names, and for a URL of whatever contains it. */
static void op_note_earlier(struct purge_op *op, const struct purge_request *r)
{
    struct purges *p = op->p;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < op->lines.count; i++) {
        const struct line *same = lines_find(&p->lines, &op->lines.at[i]);
        if (same != NULL) op->lines.at[i].hard_seq = same->hard_seq;
    }
    for (size_t i = 0; i < r->uri_count && r->uri_ids != NULL; i++) {
        struct purge_subject s = { .uri = r->uris[i], .authority = uri_authority(r->uris[i]), .tags_known = true };
        struct line url = line_url(r->uris[i], r->uri_ids[i].key);
        url.hard_seq = lines_check(&p->lines, &s, UINT64_MAX).hard_seq;
        if (lines_find(&op->lines, &url) != NULL) lines_put(&op->lines, &url);
    }
    pthread_rwlock_unlock(&p->lock);
}

/* ---- a purge: its life */

static void op_free(struct purge_op *op)
{
    lines_free(&op->lines);
    free(op->folded);
    free(op);
}

/* A fold is durable: the thread may take the lines it covers out of the log. Those of another fold that it has not yet
 * come to stay in the log instead, where the next start drops them. */
static void hand_over_folded(struct purge_op *op)
{
    struct purges *p = op->p;
    if (op->folded == NULL || op->result.error != 0) return;
    pthread_mutex_lock(&p->work);
    if (p->covered == NULL) {
        p->covered = op->folded;
        p->covered_count = op->folded_count;
        op->folded = NULL;
    }
    pthread_mutex_unlock(&p->work);
}

void purge_op_release(struct purge_op *op)
{
    struct purges *p = op->p;
    if (atomic_fetch_sub_explicit(&op->waits, 1, memory_order_acq_rel) > 1) return;
    if (atomic_load(&op->log_error) != 0) op->result.error = -EIO;
    atomic_fetch_add_explicit(&p->matched, op->dry_run ? 0 : op->result.matched, memory_order_relaxed);
    op->done(op->arg, &op->result);
    hand_over_folded(op);
    /* Until here its hold kept the thread from removing what the count has to see; it lasts less than a fetch. */
    if (op->held) (void)holds_end(&p->holds, op->hold);
    bool to_reclaim = !op->dry_run && op->lines.count > 0;
    op_free(op);
    pthread_mutex_lock(&p->work);
    p->ops--;
    p->woken = p->woken || to_reclaim;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->work);
}

static void on_logged(void *arg, int result)
{
    struct purge_op *op = arg;
    if (result != 0) atomic_store(&op->log_error, result);
    purge_op_release(op);
}

/* ---- a purge: its number */

static struct store_purge_line logged_line(const struct line *line, bool soft, uint64_t seq, int64_t time_s)
{
    return (struct store_purge_line){
        .kind = line_log_kind(line), .soft = soft, .seq = seq, .time_s = time_s, .name = line_log_name(line)
    };
}

/* The lines of op, and those of the fold; on the heap, given to the store, which copies them. */
static int op_log(struct purge_op *op, const struct line *fold)
{
    struct purges *p = op->p;
    size_t n = 0;
    if (p->store == NULL) return 0;
    struct store_purge_line *logged = calloc(op->lines.count + 2, sizeof(*logged));
    if (logged == NULL) return -ENOMEM;
    if (fold->hard_seq > 0) logged[n++] = logged_line(fold, false, fold->hard_seq, op->now_s);
    if (fold->soft_seq > 0) logged[n++] = logged_line(fold, true, fold->soft_seq, fold->soft_since_s);
    for (size_t i = 0; i < op->lines.count; i++) {
        logged[n++] = logged_line(&op->lines.at[i], op->soft, op->result.seq, op->now_s);
    }
    atomic_fetch_add(&op->waits, 1);
    int rc = store_log_purges(p->store, logged, n, op->result.seq, on_logged, op);
    free(logged);
    if (rc != 0) on_logged(op, rc);
    return 0;
}

/* At the limit. What the fold covers leaves the table at once; the log keeps it until the fold is durable. */
static struct line fold(struct purge_op *op)
{
    struct purges *p = op->p;
    struct line all = lines_fold(&p->lines);
    lines_put(&p->lines, &all);
    all = *lines_find(&p->lines, &all); /* one that is newer may be there */
    op->folded = calloc(p->lines.count, sizeof(*op->folded));
    if (op->folded != NULL) {
        op->folded_count = lines_take_covered(&p->lines, op->folded, p->lines.count);
    } else {
        struct line one;
        while (lines_take_covered(&p->lines, &one, 1) > 0) {
        }
    }
    atomic_fetch_add_explicit(&p->folded, 1, memory_order_relaxed);
    return all;
}

static bool make_room(struct purge_op *op, struct line *folded)
{
    struct purges *p = op->p;
    pthread_rwlock_wrlock(&p->lock);
    bool room = lines_reserve(&p->lines, op->lines.count + 1);
    if (room && p->lines.count + op->lines.count > PURGE_LINES_MAX) *folded = fold(op);
    pthread_rwlock_unlock(&p->lock);
    return room;
}

static void publish(struct purge_op *op)
{
    struct purges *p = op->p;
    pthread_rwlock_wrlock(&p->lock);
    for (size_t i = 0; i < op->lines.count; i++) {
        struct line line = op->lines.at[i];
        line.hard_seq = op->soft ? 0 : op->result.seq;
        line.soft_seq = op->soft ? op->result.seq : 0;
        line.soft_since_s = op->soft ? op->now_s : 0;
        lines_put(&p->lines, &line);
    }
    atomic_store_explicit(&p->seq, op->result.seq, memory_order_release);
    pthread_rwlock_unlock(&p->lock);
}

/* Queued for the log before it is published: whatever is stored with this number is committed after the number is. */
static int op_take_number(struct purge_op *op)
{
    struct purges *p = op->p;
    struct line folded = { 0 };
    pthread_mutex_lock(&p->order);
    op->result.seq = purge_current_seq(p) + 1;
    int rc = make_room(op, &folded) ? op_log(op, &folded) : -ENOMEM;
    if (rc == 0) {
        op->hold = purge_fetch_begin(p);
        op->held = true;
        publish(op);
    }
    pthread_mutex_unlock(&p->order);
    return rc;
}

static struct purge_op *op_new(struct purges *p, const struct purge_request *r, int64_t now_s, purge_done done,
                               void *arg)
{
    struct purge_op *op = calloc(1, sizeof(*op));
    if (op == NULL) return NULL;
    op->p = p;
    op->done = done;
    op->arg = arg;
    op->now_s = now_s;
    op->soft = r->soft;
    op->dry_run = r->dry_run;
    atomic_init(&op->waits, 1);
    op->result.seq = purge_current_seq(p);
    op->result.error = op_set_names(op, r);
    pthread_mutex_lock(&p->work);
    p->ops++;
    pthread_mutex_unlock(&p->work);
    return op;
}

void purge_begin(struct purges *p, const struct purge_request *r, int64_t now_s, purge_done done, void *arg)
{
    struct purge_op *op = op_new(p, r, now_s, done, arg);
    if (op == NULL) {
        done(arg, &(struct purge_result){ .error = -ENOMEM });
        return;
    }
    bool counts = r->count || r->dry_run;
    if (op->result.error == 0 && counts) op_note_earlier(op, r);
    if (op->result.error == 0 && !r->dry_run) {
        op->result.error = op_take_number(op);
        atomic_fetch_add_explicit(&p->purge_count, op->lines.count > 0, memory_order_relaxed);
    }
    if (op->result.error == 0 && counts) count_begin(op);
    purge_op_release(op);
}

/* ---- settings and telling */

void purge_set_sweeper(struct purges *p, void (*sweep)(void *arg, uint64_t below_seq), void *arg)
{
    pthread_mutex_lock(&p->work);
    p->sweep = sweep;
    p->sweep_arg = arg;
    pthread_mutex_unlock(&p->work);
}

void purge_set_pause_ms(struct purges *p, unsigned pause_ms)
{
    pthread_mutex_lock(&p->work);
    p->pause_ms = pause_ms;
    pthread_mutex_unlock(&p->work);
}

void purge_stats(struct purges *p, struct purge_stats *out)
{
    *out = (struct purge_stats){ .seq = purge_current_seq(p) };
    pthread_rwlock_rdlock(&p->lock);
    out->lines = p->lines.count;
    out->reclaims_waiting = p->lines.hard_count;
    pthread_rwlock_unlock(&p->lock);
    out->purges = atomic_load_explicit(&p->purge_count, memory_order_relaxed);
    out->matched = atomic_load_explicit(&p->matched, memory_order_relaxed);
    out->folded = atomic_load_explicit(&p->folded, memory_order_relaxed);
    out->given_up = atomic_load_explicit(&p->given_up, memory_order_relaxed);
}
