#include "cache/store_internal.h"

#include <stdlib.h>
#include <time.h>

/* The writer thread. It takes queued writes in order and does them in turns, one write transaction each:
 *
 *   urgent (purges) -> make room (evict) -> a batch of what waits -> a slice of what is in the background -> wait
 *
 * A turn that meets a full map is undone, something is evicted, and it is tried again; a turn that the disk or LMDB refuses
 * makes the store rest: what waits is refused, and once a second a small write tries whether things are better.          */

enum {
    ATTEMPTS_MAX = 8,
    SQUEEZE_DELETES = 8, /* measured: 20 deletions fit into a full map, 60 do not; a move is one too */
    EVICT_PER_TURN = 64,
    SQUEEZE_PAUSE_MS = 2,
    SQUEEZE_PAUSES_MAX = 500,
    TRIES_MAX = 10,
    ROOM_TURNS = 8,
    MOVES_PER_EVICTION = 2, /* and for each as many more records may be moved that stay */
};

/* ---- lists */

void store_list_init(struct op_list *l)
{
    *l = (struct op_list){ .end = NULL };
    l->end = &l->first;
}

void store_list_move(struct op_list *to, struct op_list *from)
{
    *to = *from;
    if (to->first == NULL) to->end = &to->first;
    store_list_init(from);
}

void store_list_push(struct op_list *l, struct store_op *op)
{
    op->next = NULL;
    *l->end = op;
    l->end = &op->next;
    l->count++;
    l->bytes += op->cost;
}

struct store_op *store_list_pop(struct op_list *l)
{
    struct store_op *op = l->first;
    if (op == NULL) return NULL;
    l->first = op->next;
    if (l->first == NULL) l->end = &l->first;
    l->count--;
    l->bytes -= op->cost;
    return op;
}

static void finish(struct store_op *op, int result)
{
    if (op->done != NULL) op->done(op->arg, result);
    if (op->kind == OP_LOG_PURGES) free(op->purges.lines);
    free(op);
}

/* ---- queueing: any thread */

static bool batch_is_ready(const struct store *s)
{
    const struct op_list *w = &s->queue.waiting;
    return w->count >= s->turn_records || w->bytes >= s->turn_bytes || s->queue.appends >= STORE_APPENDS_READY;
}

/* @return whether the writer is to be woken; it is by the caller, without the lock that it would wait for */
static bool writer_is_wanted(struct store *s, bool urgent)
{
    struct store_queue *q = &s->queue;
    bool wake = q->writer == WRITER_IDLE || (q->writer == WRITER_COLLECTS && (urgent || batch_is_ready(s)));
    if (wake) q->writer = WRITER_BUSY; /* one signal is enough */
    return wake;
}

/* @param room  bytes that may wait, this one included. Consumes op. */
static int enqueue(struct store *s, struct store_op *op, bool urgent, size_t room)
{
    struct store_queue *q = &s->queue;
    struct op_list *list = urgent ? &q->urgent : &q->waiting;
    pthread_mutex_lock(&q->lock);
    bool wake = false, full = q->stop || (urgent ? list->count >= STORE_URGENT_MAX : list->bytes + op->cost > room);
    if (!full) {
        if (!urgent && list->first == NULL) q->since_ms = store_clock_ms();
        store_list_push(list, op);
        if (op->kind == OP_APPEND) q->appends += op->append.len;
        wake = writer_is_wanted(s, urgent);
    }
    pthread_mutex_unlock(&q->lock);
    if (wake) pthread_cond_signal(&q->wake);
    if (!full) return 0;
    atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
    if (op->kind == OP_LOG_PURGES) free(op->purges.lines);
    free(op);
    return -EAGAIN;
}

/* @param bytes  what else it keeps in memory */
static struct store_op *op_new(enum op_kind kind, size_t bytes, store_done done, void *arg)
{
    struct store_op *op = calloc(1, sizeof(*op) + (kind == OP_FORGET_PURGE ? bytes : 0));
    if (op == NULL) return NULL;
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    op->cost = sizeof(*op) + bytes;
    return op;
}

uint64_t store_next_number(struct store *s)
{
    return atomic_fetch_add_explicit(&s->next_number, 1, memory_order_relaxed);
}

/* Half of what eviction leaves in use: a larger response would drive out nearly everything else. */
static uint64_t largest_content(const struct store *s)
{
    return s->limit_pages * STORE_PAGE / 2;
}

int store_append(struct store *s, uint64_t number, int64_t offset, const void *data, size_t len, store_done done,
                 void *arg)
{
    if (number == 0 || offset < 0 || offset % STORE_CHUNK_BYTES != 0) return -EINVAL;
    if ((uint64_t)offset + len > largest_content(s)) return -ENOSPC;
    if (!store_reserve(s, number, (uint64_t)offset + len)) return -ENOSPC;
    if (atomic_load_explicit(&s->failing, memory_order_relaxed)) return -EROFS;
    struct store_op *op = op_new(OP_APPEND, len, done, arg);
    if (op == NULL) return -ENOMEM;
    op->append.number = number;
    op->append.offset = offset;
    op->append.data = data;
    op->append.len = len;
    return enqueue(s, op, false, STORE_QUEUE_MAX_BYTES);
}

int store_put(struct store *s, const struct store_put *put, store_done done, void *arg)
{
    if (put->tag_count > STORE_TAGS_MAX || (put->content != NULL && put->content_number == 0) ||
        (put->keeps_content && (put->content != NULL || put->content_number == 0)))
        return -EINVAL;
    if (put->record_len > STORE_RECORD_MAX || put->record_len > largest_content(s) ||
        put->content_len > largest_content(s))
        return -ENOSPC;
    if (atomic_load_explicit(&s->failing, memory_order_relaxed)) return -EROFS;
    size_t bytes = put->record_len + (put->content != NULL ? put->content_len : 0);
    struct store_op *op = op_new(OP_PUT, bytes, done, arg);
    if (op == NULL) return -ENOMEM;
    op->put = *put;
    return enqueue(s, op, false, STORE_QUEUE_MAX_BYTES);
}

/* Small operations that nobody hears of may overtake the limit: a removal must not get lost because puts are waiting. */
static void enqueue_small(struct store *s, struct store_op *op)
{
    if (op != NULL) (void)enqueue(s, op, false, 2 * (size_t)STORE_QUEUE_MAX_BYTES); /* refusals are counted */
}

void store_abandon(struct store *s, uint64_t number)
{
    struct store_op *op = number == 0 ? NULL : op_new(OP_ABANDON, 0, NULL, NULL);
    if (op != NULL) op->append.number = number;
    enqueue_small(s, op);
}

void store_remove(struct store *s, const struct store_id *id, uint64_t content_number)
{
    struct store_op *op = op_new(OP_REMOVE, 0, NULL, NULL);
    if (op != NULL) {
        op->remove.id = *id;
        op->remove.number = content_number;
    }
    enqueue_small(s, op);
}

int store_remove_key(struct store *s, const uint64_t key[2], uint64_t below_seq, store_done done, void *arg)
{
    struct store_op *op = op_new(OP_REMOVE_KEY, 0, done, arg);
    if (op == NULL) return -ENOMEM;
    op->remove.id = store_id_of(key, 0);
    op->remove.below_seq = below_seq;
    return enqueue(s, op, false, 2 * (size_t)STORE_QUEUE_MAX_BYTES);
}

int store_log_purges(struct store *s, const struct store_purge_line *lines, size_t n, uint64_t seq, store_done done,
                     void *arg)
{
    size_t bytes = n * sizeof(*lines);
    for (size_t i = 0; i < n; i++) {
        if (lines[i].name.len > STORE_PURGE_NAME_MAX) return -EINVAL;
        bytes += lines[i].name.len;
    }
    struct store_op *op = op_new(OP_LOG_PURGES, bytes, done, arg);
    struct store_purge_line *copy = malloc(bytes + 1);
    if (op == NULL || copy == NULL) {
        free(op);
        free(copy);
        return -ENOMEM;
    }
    char *name = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = lines[i];
        if (lines[i].name.len > 0) memcpy(name, lines[i].name.at, lines[i].name.len);
        copy[i].name.at = name;
        name += lines[i].name.len;
    }
    op->purges.lines = copy;
    op->purges.n = n;
    op->purges.seq = seq;
    return enqueue(s, op, true, 0);
}

void store_forget_purge(struct store *s, char kind, bool soft, struct view name, uint64_t seq)
{
    bool fits = name.len <= STORE_PURGE_NAME_MAX;
    struct store_op *op = fits ? op_new(OP_FORGET_PURGE, 2 + name.len, NULL, NULL) : NULL;
    if (op != NULL) {
        op->forget.key = (char *)(op + 1);
        op->forget.key_len = store_purge_key(kind, soft, name, op->forget.key);
        op->forget.seq = seq;
    }
    enqueue_small(s, op);
}

int store_flush(struct store *s, store_done done, void *arg)
{
    if (atomic_load_explicit(&s->failing, memory_order_relaxed)) return -EROFS;
    struct store_op *op = op_new(OP_FLUSH, 0, done, arg);
    return op == NULL ? -ENOMEM : enqueue(s, op, false, 2 * (size_t)STORE_QUEUE_MAX_BYTES);
}

int store_reclaim(struct store *s, const uint64_t *tag, uint64_t below_seq,
                  bool (*matches)(void *arg, struct view record), void *arg, store_done done)
{
    struct store_op *op = op_new(OP_RECLAIM, 0, done, arg);
    if (op == NULL) return -ENOMEM;
    op->reclaim.by_tag = tag != NULL;
    op->reclaim.tag = tag != NULL ? *tag : 0;
    op->reclaim.below_seq = below_seq;
    op->reclaim.matches = matches;
    return enqueue(s, op, false, 2 * (size_t)STORE_QUEUE_MAX_BYTES);
}

void store_touch(struct store *s, const struct store_id *id)
{
    store_uses_note(s->uses, id);
}

void store_set_in_use(struct store *s, bool (*in_use)(void *arg, const struct store_id *id), void *arg)
{
    s->in_use = in_use;
    s->in_use_arg = arg;
}

void store_set_pin_over(struct store *s, bool (*is_over)(void *arg, struct view record), void *arg)
{
    s->pin_is_over = is_over;
    s->pin_arg = arg;
}

/* ---- failures */

static bool is_full(int rc)
{
    return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL;
}

static bool fails_while_resting(const struct store_op *op)
{
    return op->kind == OP_APPEND || op->kind == OP_PUT || op->kind == OP_LOG_PURGES || op->kind == OP_FLUSH;
}

/* A put that failed leaves content behind; so that it is forgotten, it becomes an abandonment. */
static struct store_op *abandonment_of(struct store_op *op)
{
    uint64_t number = op->kind == OP_PUT && !op->put.keeps_content ? op->put.content_number : 0;
    struct store_op *left = number == 0 ? NULL : op_new(OP_ABANDON, 0, NULL, NULL);
    if (left != NULL) left->append.number = number;
    return left;
}

/* Refuse what waits and cannot wait; removals stay, since they must not get lost. */
static void refuse_list(struct store *s, struct op_list *list, int result)
{
    struct op_list keep;
    store_list_init(&keep);
    for (struct store_op *op; (op = store_list_pop(list)) != NULL;) {
        op->written = op->committed;
        if (!fails_while_resting(op)) {
            store_list_push(&keep, op);
            continue;
        }
        struct store_op *left = abandonment_of(op);
        atomic_fetch_add(&s->refused, 1);
        finish(op, result);
        if (left != NULL) store_list_push(&keep, left);
    }
    store_list_move(list, &keep);
}

/* What is to be removed later is remembered up to a limit; beyond it, nothing of the store may come back. */
static void give_up_removals(struct store *s)
{
    store_say(s, "%s: there is more to remove than can be remembered; it will be emptied", s->path);
    s->broken = true;
    for (struct store_op *op; (op = store_list_pop(&s->taken)) != NULL;) finish(op, -EIO);
}

static void refuse_waiting(struct store *s, int result)
{
    struct op_list urgent, waiting;
    pthread_mutex_lock(&s->queue.lock);
    store_list_move(&urgent, &s->queue.urgent);
    store_list_move(&waiting, &s->queue.waiting);
    s->queue.appends = 0;
    pthread_mutex_unlock(&s->queue.lock);
    refuse_list(s, &urgent, result);
    refuse_list(s, &waiting, result);
    for (struct store_op *op; (op = store_list_pop(&waiting)) != NULL;) {
        if (store_is_moot(s, op))
            finish(op, 0);
        else
            store_list_push(&s->taken, op);
    }
    if (s->taken.bytes > STORE_QUEUE_MAX_BYTES) give_up_removals(s);
}

/* LMDB calls a write that was cut short EIO; mostly the disk is full. */
static bool is_out_of_room(const struct store *s, int rc)
{
    return rc == ENOSPC || rc == EDQUOT || (rc == EIO && store_files_room(s) < s->turn_bytes);
}

static void rest(struct store *s, int rc)
{
    atomic_fetch_add(&s->errors, 1);
    s->wants_room = is_out_of_room(s, rc);
    if (s->wants_room && rc == EIO) rc = ENOSPC;
    if (rc == MDB_PANIC || rc == MDB_BAD_TXN)
        s->panicked = true; /* LMDB gives up after a failed write of a meta page, until it is opened anew */
    else if (rc < 0)
        s->broken = true; /* whatever LMDB finds wrong with a file that only we write */
    s->rest_until_ms = store_clock_ms() + STORE_REST_MS;
    if (!atomic_exchange(&s->failing, true))
        store_say(s, "%s: %s: %s; going on without it, trying again every second", s->path,
                  s->broken ? "is damaged and will be emptied" : "cannot be written", mdb_strerror(rc));
    refuse_list(s, &s->taken, rc > 0 ? -rc : -EIO);
    refuse_waiting(s, rc > 0 ? -rc : -EIO);
}

/* A full disk often has room for one small write: the next large one would fail again. */
static bool has_room_again(const struct store *s)
{
    return !s->wants_room || store_files_room(s) >= ROOM_TURNS * s->turn_bytes;
}

static void try_again(struct store *s)
{
    bool was_broken = s->broken;
    int rc = s->broken || s->panicked || s->env == NULL ? store_env_reopen(s) : 0;
    if (rc == 0) rc = has_room_again(s) ? store_turn_run(s, NULL, NULL) : ENOSPC;
    if (rc != 0) {
        if (rc == MDB_PANIC) s->panicked = true;
        if (is_full(rc) && ++s->tries > TRIES_MAX)
            s->broken = true; /* full for good: nothing can be deleted any more */
        s->rest_until_ms = store_clock_ms() + STORE_REST_MS;
        return;
    }
    s->tries = 0;
    atomic_store(&s->failing, false);
    store_say(s, "%s: can be written again%s", s->path, was_broken ? "; it starts empty" : "");
}

void store_report_damage(struct store *s)
{
    struct store_queue *q = &s->queue;
    pthread_mutex_lock(&q->lock);
    q->damage = true;
    if (q->writer != WRITER_BUSY) pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}

/* ---- turns */

struct eviction {
    uint64_t pages; /* to be freed */
    int most;       /* records */
};

static int evict_some(struct turn *t, void *arg)
{
    const struct eviction *e = arg;
    int rc = 0, n = 0;
    t->moves_left = e->most * MOVES_PER_EVICTION;
    for (; n < e->most && t->moves_left > 0 && t->bytes + t->moved_bytes < t->s->turn_bytes &&
           t->bytes / STORE_PAGE < e->pages;
         n++) {
        rc = store_evict_one(t);
        if (rc != 0) break;
    }
    return n > 0 && rc == MDB_NOTFOUND ? 0 : rc;
}

/* One transaction that removes at most `most` records. 0, MDB_NOTFOUND (nothing may leave), or an LMDB code. */
static int evict_turn(struct store *s, uint64_t down_to, int most)
{
    struct eviction e = { .pages = s->live_pages > down_to ? s->live_pages - down_to : 1, .most = most };
    return store_turn_run(s, evict_some, &e);
}

static uint64_t pages_of(const struct store_op *op)
{
    switch (op->kind) {
    case OP_APPEND: return 2 + op->append.len / STORE_CHUNK_BYTES * 4 + 5;
    case OP_PUT: return 4 + op->put.tag_count / 4 + op->cost / (STORE_CHUNK_BYTES / 4) + 4;
    case OP_LOG_PURGES: return 4 + op->purges.n / 4;
    default: return 2;
    }
}

/* What the next turn may add, at most. */
static uint64_t pages_wanted(const struct store *s)
{
    uint64_t pages = 0, most = 2 * s->turn_bytes / STORE_PAGE;
    for (const struct store_op *op = s->taken.first; op != NULL && pages < most; op = op->next) pages += pages_of(op);
    return pages < most ? pages : most;
}

static void wait_for_readers(void)
{
    struct timespec pause = { .tv_nsec = SQUEEZE_PAUSE_MS * 1000000 };
    (void)nanosleep(&pause, NULL);
}

/* After a full map: make a hundredth of it free, in transactions that a full map can bear. If it cannot bear even one
 * deletion, a reader that waits for the disk keeps what was freed from being used again: it is waited for. */
static int squeeze(struct store *s)
{
    uint64_t pages = s->map_bytes / STORE_PAGE / 100, goal = s->live_pages > pages ? s->live_pages - pages : 0;
    int most = SQUEEZE_DELETES, pauses = 0, rc = 0;
    while (s->live_pages > goal) {
        rc = evict_turn(s, goal, most);
        if (rc == MDB_NOTFOUND) return 0; /* nothing may leave: the turn will show whether it fits */
        if (rc != 0 && !is_full(rc)) return rc;
        if (rc == 0) continue;
        most /= 2;
        if (most > 0) continue;
        if (++pauses > SQUEEZE_PAUSES_MAX) return ENOSPC;
        most = SQUEEZE_DELETES;
        wait_for_readers();
    }
    return 0;
}

static void settle(struct op_list *done)
{
    for (struct store_op *op; (op = store_list_pop(done)) != NULL;) finish(op, op->result);
}

/* The first operation of a list cannot be done, whatever leaves. */
static void give_up_first(struct store *s, struct op_list *list)
{
    struct store_op *op = store_list_pop(list);
    if (op == NULL) return;
    struct store_op *left = abandonment_of(op);
    atomic_fetch_add(&s->refused, 1);
    finish(op, -ENOSPC);
    if (left != NULL) store_list_push(list, left); /* behind the others: only its space is at stake */
}

static void undo_progress(struct op_list *list)
{
    for (struct store_op *op = list->first; op != NULL; op = op->next) {
        op->written = op->committed;
        op->finished = false;
        op->result = 0;
    }
}

/* A turn of `list` has failed and was undone. */
static void turn_failed(struct store *s, struct op_list *list, int rc)
{
    undo_progress(list);
    if (is_full(rc)) {
        if (++s->attempts > ATTEMPTS_MAX) {
            s->attempts = 0;
            give_up_first(s, list);
            return;
        }
        rc = squeeze(s);
        if (rc == 0) return;
    }
    rest(s, rc);
}

static int apply_taken(struct turn *t, void *arg)
{
    (void)arg;
    int rc = 0;
    for (struct store_op *op = t->s->taken.first; rc == 0 && op != NULL && !store_turn_full(t); op = op->next) {
        rc = store_apply(t, op);
        if (!op->finished) break;
        if (t->s->attempts > 0) break; /* after a full map, one by one */
    }
    return rc;
}

/* Do operations from the front of s->taken until the turn is full. */
static void batch_turn(struct store *s)
{
    struct op_list done;
    store_list_init(&done);
    int rc = store_turn_run(s, apply_taken, NULL);
    if (rc != 0) {
        turn_failed(s, &s->taken, rc);
        return;
    }
    s->attempts = 0;
    while (s->taken.first != NULL && s->taken.first->finished) store_list_push(&done, store_list_pop(&s->taken));
    if (s->taken.first != NULL) s->taken.first->committed = s->taken.first->written;
    settle(&done);
}

static int apply_all(struct turn *t, void *arg)
{
    const struct op_list *list = arg;
    int rc = 0;
    for (struct store_op *op = list->first; rc == 0 && op != NULL; op = op->next) rc = store_apply(t, op);
    return rc;
}

/* Purges: one transaction for all that wait, so that ten thousand a second cost a few hundred commits. */
static void urgent_turn(struct store *s, struct op_list *urgent)
{
    int rc;
    for (int attempts = 0;; attempts++) {
        rc = store_turn_run(s, apply_all, urgent);
        if (!is_full(rc) || attempts == ATTEMPTS_MAX || squeeze(s) != 0) break;
        undo_progress(urgent);
    }
    if (rc == 0) {
        settle(urgent);
        return;
    }
    undo_progress(urgent);
    if (!is_full(rc)) rest(s, rc);
    refuse_list(s, urgent, store_errno(rc));
}

static int background_slice(struct turn *t, void *arg)
{
    struct store_op *op = arg;
    int rc = t->s->garbage ? store_collect_garbage(t) : 0;
    return rc == 0 && op != NULL ? store_reclaim_some(t, op) : rc;
}

static void background_turn(struct store *s)
{
    struct store_op *op = s->background.first;
    int rc = store_turn_run(s, background_slice, op);
    if (rc != 0) {
        turn_failed(s, &s->background, rc);
        return;
    }
    if (op == NULL) return;
    op->committed = op->written;
    if (op->finished && store_list_pop(&s->background) == op) finish(op, 0);
}

/* ---- the thread */

/* Evict until the next turn fits, with a little more, so that this is not needed before every turn.
 * @return true when a turn of eviction was made */
static bool make_room(struct store *s)
{
    uint64_t wanted = pages_wanted(s), limit = s->limit_pages;
    if (wanted == 0 || s->live_pages + wanted <= limit) return false;
    uint64_t spare = limit / 256 + wanted;
    int rc = evict_turn(s, limit > spare ? limit - spare : 0, EVICT_PER_TURN);
    if (rc == 0) return true;
    if (rc == MDB_NOTFOUND) return false; /* nothing may leave: the turn will show whether it fits */
    if (is_full(rc)) rc = squeeze(s);
    if (rc != 0) rest(s, rc);
    return rc == 0;
}

static bool has_background(struct store *s)
{
    if (atomic_exchange_explicit(&s->unpinned, false, memory_order_acquire)) s->garbage = true;
    return s->garbage || s->background.first != NULL;
}

static void wait_until(struct store *s, int64_t ms)
{
    struct timespec until = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    (void)pthread_cond_timedwait(&s->queue.wake, &s->queue.lock, &until);
}

/* With the queue's lock: sleep until there is something to do. */
static void wait_for_work(struct store *s)
{
    struct store_queue *q = &s->queue;
    while (!q->stop && !q->damage && q->urgent.first == NULL && s->taken.first == NULL) {
        int64_t now = store_clock_ms(), due = q->since_ms + STORE_BATCH_WAIT_MS;
        if (q->waiting.first != NULL) {
            if (batch_is_ready(s) || now >= due) break;
            q->writer = WRITER_COLLECTS;
            wait_until(s, due);
        } else if (has_background(s)) {
            break;
        } else {
            q->writer = WRITER_IDLE;
            pthread_cond_wait(&q->wake, &q->lock);
        }
        q->writer = WRITER_BUSY;
    }
}

/* Move what waits to s->taken, at most a turn's worth. Reclaims go to the background. */
static void take_batch(struct store *s)
{
    struct store_queue *q = &s->queue;
    while (q->waiting.first != NULL && s->taken.count < s->turn_records && s->taken.bytes < s->turn_bytes) {
        struct store_op *op = store_list_pop(&q->waiting);
        if (op->kind == OP_APPEND) q->appends -= op->append.len;
        store_list_push(op->kind == OP_RECLAIM ? &s->background : &s->taken, op);
    }
    q->since_ms = store_clock_ms();
}

/* @return false when the thread is to end */
static bool writer_step(struct store *s)
{
    struct store_queue *q = &s->queue;
    struct op_list urgent;
    pthread_mutex_lock(&q->lock);
    wait_for_work(s);
    store_list_move(&urgent, &q->urgent);
    take_batch(s);
    bool stop = q->stop && urgent.first == NULL && s->taken.first == NULL && q->waiting.first == NULL;
    bool damage = q->damage;
    q->damage = false;
    pthread_mutex_unlock(&q->lock);
    if (stop) return false;
    if (urgent.first != NULL) {
        urgent_turn(s, &urgent);
        return true;
    }
    if (damage) {
        rest(s, MDB_CORRUPTED);
        return true;
    }
    if (make_room(s) || atomic_load(&s->failing)) return true;
    if (s->taken.first != NULL) batch_turn(s);
    if (has_background(s) && !atomic_load(&s->failing)) background_turn(s);
    return true;
}

/* @return false when the thread is to end */
static bool resting_step(struct store *s)
{
    struct store_queue *q = &s->queue;
    pthread_mutex_lock(&q->lock);
    while (!q->stop && q->urgent.first == NULL && store_clock_ms() < s->rest_until_ms) {
        q->writer = WRITER_COLLECTS;
        wait_until(s, s->rest_until_ms);
        q->writer = WRITER_BUSY;
    }
    bool stop = q->stop;
    q->damage = false; /* known */
    pthread_mutex_unlock(&q->lock);
    refuse_waiting(s, -EROFS);
    if (!stop && store_clock_ms() >= s->rest_until_ms) try_again(s);
    return !stop;
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    while (atomic_load(&s->failing) ? resting_step(s) : writer_step(s)) continue;
    for (struct store_op *op; (op = store_list_pop(&s->background)) != NULL;) finish(op, -ECANCELED);
    for (struct store_op *op; (op = store_list_pop(&s->taken)) != NULL;) finish(op, -ECANCELED);
    return NULL;
}

bool store_writer_start(struct store *s)
{
    return pthread_create(&s->writer_thread, NULL, writer_main, s) == 0;
}

void store_writer_stop(struct store *s)
{
    pthread_mutex_lock(&s->queue.lock);
    s->queue.stop = true;
    s->queue.writer = WRITER_BUSY;
    pthread_cond_signal(&s->queue.wake);
    pthread_mutex_unlock(&s->queue.lock);
    pthread_join(s->writer_thread, NULL);
}
