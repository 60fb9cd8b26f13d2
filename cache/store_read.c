#include "cache/store_internal.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xxhash.h>

enum {
    READ_CHUNKS_PER_TURN = 64, /* 1 MiB copied within one read transaction */
    WALK_PER_TURN = 256,
    WALK_LOOKS = 4096, /* records passed over in one call, shown or not */
    RUN_PAGES_MAX = 1024,
};

/* ---- slots */

static bool slot_try(struct reader_slot *slot)
{
    return !atomic_load_explicit(&slot->busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&slot->busy, true, memory_order_acquire);
}

/* @return NULL: all are busy */
static struct reader_slot *slot_free(struct store *s)
{
    unsigned first = (unsigned)sched_getcpu() * 8u;
    for (unsigned i = 0; i < STORE_SLOTS; i++) {
        struct reader_slot *slot = &s->slots[(first + i) % STORE_SLOTS];
        if (slot_try(slot)) return slot;
    }
    return NULL;
}

/* Each is busy for one short call, or all of them while the environment is opened anew. */
static struct reader_slot *slot_take(struct store *s)
{
    struct reader_slot *slot;
    while ((slot = slot_free(s)) == NULL) sched_yield();
    return slot;
}

static int slot_begin(struct store *s, struct reader_slot *slot)
{
    if (slot->txn != NULL) return mdb_txn_renew(slot->txn);
    if (s->env == NULL) return EIO;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &slot->txn);
    if (rc != 0) slot->txn = NULL;
    return rc;
}

/* A read inside its transaction. */
struct reading {
    struct store *s;
    struct reader_slot *slot;
    int (*read)(struct store *s, struct reader_slot *slot, void *arg);
    void *arg;
};

static int read_unguarded(void *arg)
{
    struct reading *r = arg;
    int rc = slot_begin(r->s, r->slot);
    return rc != 0 ? rc : r->read(r->s, r->slot, r->arg);
}

static int read_in(struct store *s, struct reader_slot *slot,
                   int (*read)(struct store *s, struct reader_slot *slot, void *arg), void *arg)
{
    bool fault;
    struct reading r = { .s = s, .slot = slot, .read = read, .arg = arg };
    int rc = store_guarded(read_unguarded, &r, &fault);
    if (r.slot->txn != NULL) mdb_txn_reset(r.slot->txn);
    atomic_store_explicit(&r.slot->busy, false, memory_order_release);
    if (rc == 0 || rc == MDB_NOTFOUND) return rc;
    if (rc != ENOMEM && rc != EBADMSG) atomic_fetch_add(&s->errors, 1);
    if (rc < 0) store_report_damage(s);
    return rc;
}

int store_read_in_slot(struct store *s, int (*read)(struct store *s, struct reader_slot *slot, void *arg), void *arg)
{
    return read_in(s, slot_take(s), read, arg);
}

int store_read_in_free_slot(struct store *s, int (*read)(struct store *s, struct reader_slot *slot, void *arg),
                            void *arg)
{
    struct reader_slot *slot = slot_free(s);
    return slot != NULL ? read_in(s, slot, read, arg) : EAGAIN;
}

void store_slots_close(struct store *s)
{
    for (int i = 0; i < STORE_SLOTS; i++) {
        struct reader_slot *slot = &s->slots[i];
        while (!slot_try(slot)) sched_yield();
        if (slot->chunks != NULL) mdb_cursor_close(slot->chunks);
        if (slot->txn != NULL) mdb_txn_abort(slot->txn);
        slot->chunks = NULL;
        slot->txn = NULL;
    }
}

void store_slots_reopen(struct store *s)
{
    for (int i = 0; i < STORE_SLOTS; i++) atomic_store_explicit(&s->slots[i].busy, false, memory_order_release);
}

static void count(atomic_ulong *n)
{
    /* Only the slot's owner writes it. */
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- records */

int store_tag_next(MDB_cursor *tags, uint64_t tag, uint64_t after, uint64_t *order)
{
    struct order_key from = order_key_of(after + 1);
    MDB_val key = val_of(&tag, sizeof(tag)), value = val_of(&from, sizeof(from));
    int rc = mdb_cursor_get(tags, &key, &value, MDB_GET_BOTH_RANGE);
    if (rc != 0) return rc;
    if (value.mv_size != sizeof(struct order_key)) return MDB_CORRUPTED;
    *order = order_of(value.mv_data);
    return 0;
}

static void describe(const struct found_record *found, struct store_found *out)
{
    const struct envelope *e = &found->envelope;
    *out = (struct store_found){ .record_len = e->record_len,
                                 .content_number = e->content_number,
                                 .content_len = e->content_len,
                                 .fetch_seq = e->fetch_seq,
                                 .pinned = e->flags & ENVELOPE_PINNED };
}

struct getting {
    const struct store_id *id;
    size_t spare;
    struct store_found *out;
};

static int get_in_slot(struct store *s, struct reader_slot *slot, void *arg)
{
    const struct getting *g = arg;
    struct found_record found;
    count(&slot->gets);
    int rc = store_record_find(s, slot->txn, g->id, &found);
    if (rc != 0) return rc;
    void *memory = malloc(g->spare + found.record.len + 1); /* never empty */
    if (memory == NULL) return ENOMEM;
    memcpy((char *)memory + g->spare, found.record.at, found.record.len);
    describe(&found, g->out);
    g->out->memory = memory;
    count(&slot->hits);
    return 0;
}

int store_get(struct store *s, const struct store_id *id, size_t spare, struct store_found *out)
{
    struct getting g = { .id = id, .spare = spare, .out = out };
    int rc = store_read_in_slot(s, get_in_slot, &g);
    if (rc != EBADMSG) return store_errno(rc);
    atomic_fetch_add(&s->bad_checksums, 1);
    store_remove(s, id, 0);
    return -EIO;
}

struct counting {
    const uint64_t *key;
    uint64_t below_seq, n;
};

static int count_variants(struct store *s, struct reader_slot *slot, void *arg)
{
    struct counting *c = arg;
    struct store_id id = store_id_of(c->key, 0);
    MDB_cursor *cursor = NULL;
    MDB_val at = val_of(&id, sizeof(id)), value;
    int rc = mdb_cursor_open(slot->txn, s->dbi[DB_INDEX], &cursor);
    if (rc != 0) return rc;
    rc = mdb_cursor_get(cursor, &at, &value, MDB_SET_RANGE);
    while (rc == 0 && at.mv_size == sizeof(id) && memcmp(at.mv_data, c->key, sizeof(id.key)) == 0) {
        struct found_record found;
        memcpy(&id, at.mv_data, sizeof(id));
        if (store_record_find(s, slot->txn, &id, &found) == 0 && found.envelope.fetch_seq < c->below_seq) c->n++;
        rc = mdb_cursor_get(cursor, &at, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc;
}

uint64_t store_count_key(struct store *s, const uint64_t key[2], uint64_t below_seq)
{
    struct counting c = { .key = key, .below_seq = below_seq };
    (void)store_read_in_slot(s, count_variants, &c); /* what could be counted */
    return c.n;
}

/* ---- content */

uint64_t store_chunk_checksum(uint64_t number, uint64_t chunk, const void *data, size_t len)
{
    /* Bound to its place: the right bytes of another content are wrong here. */
    return XXH3_64bits_withSeed(data, len, number ^ (chunk << 48 | chunk >> 16));
}

static int chunks_cursor(struct store *s, struct reader_slot *slot)
{
    if (slot->chunks != NULL) return mdb_cursor_renew(slot->txn, slot->chunks);
    return mdb_cursor_open(slot->txn, s->dbi[DB_CONTENT], &slot->chunks);
}

struct chunk {
    uint64_t checksum;
    const char *data;
    size_t len;
};

static int chunk_find(MDB_cursor *cursor, uint64_t number, uint64_t chunk, bool next, struct chunk *out)
{
    struct chunk_key wanted = chunk_key_of(number, chunk);
    MDB_val key = val_of(&wanted, sizeof(wanted)), value;
    int rc = mdb_cursor_get(cursor, &key, &value, next ? MDB_NEXT : MDB_SET_KEY);
    if (rc != 0) return rc;
    if (key.mv_size != sizeof(wanted) || memcmp(key.mv_data, &wanted, sizeof(wanted)) != 0) return MDB_NOTFOUND;
    if (value.mv_size <= sizeof(out->checksum) || value.mv_size > sizeof(out->checksum) + STORE_CHUNK_BYTES)
        return EBADMSG;
    memcpy(&out->checksum, value.mv_data, sizeof(out->checksum));
    out->data = (const char *)value.mv_data + sizeof(out->checksum);
    out->len = value.mv_size - sizeof(out->checksum);
    return 0;
}

/* Whether the pages of a run of the map are in memory. */
static bool run_is_warm(const char *from, const char *to)
{
    unsigned char there[RUN_PAGES_MAX];
    char *first = (char *)((uintptr_t)from / STORE_PAGE * STORE_PAGE);
    for (char *at = first; at < to;) {
        size_t len = (size_t)(to - at) < (size_t)RUN_PAGES_MAX * STORE_PAGE ? (size_t)(to - at)
                                                                            : (size_t)RUN_PAGES_MAX * STORE_PAGE;
        if (mincore(at, len, there) != 0) return true;
        for (size_t i = 0; i < (len + STORE_PAGE - 1) / STORE_PAGE; i++)
            if (!(there[i] & 1)) return false;
        at += len;
    }
    return true;
}

/* Walk the chunks of a range as runs that lie together in the map; `ask` returns false to stop. */
static bool each_run(MDB_cursor *cursor, uint64_t number, uint64_t first, uint64_t last,
                     bool (*ask)(const char *from, const char *to))
{
    const char *from = NULL, *to = NULL;
    for (uint64_t i = first; i <= last; i++) {
        struct chunk c;
        if (chunk_find(cursor, number, i, i != first, &c) != 0) break;
        const char *begin = c.data - sizeof(c.checksum);
        if (from != NULL && begin >= to && begin - to < STORE_PAGE) {
            to = c.data + c.len;
            continue;
        }
        if (from != NULL && !ask(from, to)) return false;
        from = begin;
        to = c.data + c.len;
    }
    return from == NULL || ask(from, to);
}

/* Ask for all of a run at once: page by page, a cold disk would be asked sixteen times as often. */
static bool run_will_be_needed(const char *from, const char *to)
{
    char *first = (char *)((uintptr_t)from / STORE_PAGE * STORE_PAGE);
    if (!run_is_warm(from, to)) (void)madvise(first, (size_t)(to - first), MADV_WILLNEED); /* advice only */
    return true;
}

struct read_range {
    uint64_t number, offset;
    char *to;
    size_t len, got;
    bool ended;
};

static int read_chunk(struct reader_slot *slot, struct read_range *r, bool next)
{
    struct chunk c;
    uint64_t at = r->offset + r->got, i = at / STORE_CHUNK_BYTES;
    size_t skip = at % STORE_CHUNK_BYTES;
    int rc = chunk_find(slot->chunks, r->number, i, next, &c);
    if (rc != 0) return rc;
    if (store_chunk_checksum(r->number, i, c.data, c.len) != c.checksum) return EBADMSG;
    r->ended = c.len < STORE_CHUNK_BYTES;
    if (skip >= c.len) return 0;
    size_t n = c.len - skip < r->len - r->got ? c.len - skip : r->len - r->got;
    memcpy(r->to + r->got, c.data + skip, n);
    r->got += n;
    return 0;
}

/* What follows is missing: the end, if what comes before is there. Content is forgotten from its beginning on. */
static int missing(struct reader_slot *slot, struct read_range *r)
{
    struct chunk c;
    uint64_t i = (r->offset + r->got) / STORE_CHUNK_BYTES;
    int rc = i == 0 ? MDB_NOTFOUND : chunk_find(slot->chunks, r->number, i - 1, false, &c);
    r->ended = rc == 0;
    return rc;
}

/* The chunks that the next turn of reading wants. */
static void wanted_chunks(const struct read_range *r, uint64_t *first, uint64_t *last)
{
    *first = (r->offset + r->got) / STORE_CHUNK_BYTES;
    *last = r->len == 0 ? *first : (r->offset + r->len - 1) / STORE_CHUNK_BYTES;
    if (*last - *first >= READ_CHUNKS_PER_TURN) *last = *first + READ_CHUNKS_PER_TURN - 1;
}

static int read_turn(struct store *s, struct reader_slot *slot, void *arg)
{
    struct read_range *r = arg;
    uint64_t first, last;
    int rc = chunks_cursor(s, slot);
    if (rc != 0) return rc;
    wanted_chunks(r, &first, &last);
    if (last > first) (void)each_run(slot->chunks, r->number, first, last, run_will_be_needed);
    for (uint64_t i = first; i <= last && !r->ended && rc == 0; i++) rc = read_chunk(slot, r, i != first);
    return rc == MDB_NOTFOUND ? missing(slot, r) : rc;
}

ssize_t store_read(struct store *s, uint64_t number, int64_t offset, void *to, size_t len)
{
    struct read_range r = { .number = number, .offset = (uint64_t)offset, .to = to, .len = len };
    int rc = offset < 0 ? EINVAL : 0;
    while (rc == 0 && !r.ended && r.got < r.len) rc = store_read_in_slot(s, read_turn, &r);
    if (rc == EBADMSG) {
        atomic_fetch_add(&s->bad_checksums, 1);
        return -EIO;
    }
    return rc == 0 ? (ssize_t)r.got : store_errno(rc);
}

/* ---- what is there to remove */

static int find_subject(struct store *s, struct reader_slot *slot, void *arg)
{
    const struct store_op *op = arg;
    struct order_key number = order_key_of(op->append.number);
    bool remove = op->kind == OP_REMOVE;
    MDB_val key = remove ? val_of(&op->remove.id, sizeof(op->remove.id)) : val_of(&number, sizeof(number)), value;
    return mdb_get(slot->txn, s->dbi[remove ? DB_INDEX : DB_PENDING], &key, &value);
}

bool store_is_moot(struct store *s, const struct store_op *op)
{
    if ((op->kind != OP_REMOVE && op->kind != OP_ABANDON) || s->env == NULL) return false;
    return store_read_in_slot(s, find_subject, (void *)(uintptr_t)op) == MDB_NOTFOUND;
}

/* ---- tags and walks */

struct tag_counting {
    uint64_t tag;
    size_t n;
};

static int count_tag(struct store *s, struct reader_slot *slot, void *arg)
{
    struct tag_counting *c = arg;
    MDB_cursor *cursor = NULL;
    MDB_val key = val_of(&c->tag, sizeof(c->tag)), value;
    int rc = mdb_cursor_open(slot->txn, s->dbi[DB_TAGS], &cursor);
    if (rc != 0) return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);
    if (rc == 0) rc = mdb_cursor_count(cursor, &c->n);
    mdb_cursor_close(cursor);
    return rc;
}

uint64_t store_tag_count(struct store *s, uint64_t tag)
{
    struct tag_counting c = { .tag = tag };
    return store_read_in_slot(s, count_tag, &c) == 0 ? c.n : 0;
}

struct walk {
    const uint64_t *tag;
    uint64_t *cursor;
    size_t limit, shown, looked;
    bool (*each)(void *arg, const struct store_id *id, const struct store_found *found, struct view record);
    void *arg;
    bool stopped;
};

static int walk_next(struct store *s, MDB_txn *txn, MDB_cursor *tags, struct walk *w, struct found_record *found)
{
    if (w->tag == NULL) return store_record_next(s, txn, *w->cursor, found);
    int rc = store_tag_next(tags, *w->tag, *w->cursor, &found->order);
    return rc != 0 ? rc : store_record_at(s, txn, found->order, found);
}

static int walk_turn(struct store *s, struct reader_slot *slot, void *arg)
{
    struct walk *w = arg;
    MDB_cursor *tags = NULL;
    int rc = mdb_cursor_open(slot->txn, s->dbi[DB_TAGS], &tags);
    if (rc != 0) return rc;
    for (size_t i = 0; i < WALK_PER_TURN && w->shown < w->limit && !w->stopped; i++) {
        struct found_record found;
        struct store_found told;
        rc = walk_next(s, slot->txn, tags, w, &found);
        if (rc != 0 && rc != EBADMSG) break;
        w->looked++;
        *w->cursor = found.order;
        if (rc == EBADMSG || (found.envelope.flags & ENVELOPE_NOTE)) continue;
        describe(&found, &told);
        w->shown++;
        w->stopped = !w->each(w->arg, &found.envelope.id, &told, found.record);
    }
    mdb_cursor_close(tags);
    return rc == EBADMSG ? 0 : rc;
}

int store_walk(struct store *s, const uint64_t *tag, uint64_t *cursor, size_t limit,
               bool (*each)(void *arg, const struct store_id *id, const struct store_found *found, struct view record),
               void *arg)
{
    struct walk w = { .tag = tag, .cursor = cursor, .limit = limit, .each = each, .arg = arg };
    int rc = 0;
    while (rc == 0 && w.shown < limit && w.looked < WALK_LOOKS && !w.stopped) rc = store_read_in_slot(s, walk_turn, &w);
    if (rc == MDB_NOTFOUND) {
        *cursor = 0;
        rc = 0;
    }
    return rc == 0 ? (int)w.shown : store_errno(rc);
}

/* ---- purges */

uint64_t store_purge_checksum(MDB_val key, uint64_t seq, int64_t time_s)
{
    return XXH3_64bits_withSeed(key.mv_data, key.mv_size, seq ^ (uint64_t)time_s << 1);
}

static bool purge_line_of(MDB_val key, MDB_val value, struct store_purge_line *out)
{
    uint64_t part[3]; /* seq, time, checksum: store_apply.c writes them */
    const char *k = key.mv_data;
    if (key.mv_size < 2 || value.mv_size != sizeof(part)) return false;
    memcpy(part, value.mv_data, sizeof(part));
    *out = (struct store_purge_line){ .kind = k[0],
                                      .soft = k[1] == 's',
                                      .seq = part[0],
                                      .time_s = (int64_t)part[1],
                                      .name = view_of(k + 2, key.mv_size - 2) };
    return store_purge_checksum(key, out->seq, out->time_s) == part[2];
}

struct loading {
    bool (*each)(void *arg, const struct store_purge_line *line);
    void *arg;
    bool damaged, stopped;
};

static int load_lines(struct store *s, struct reader_slot *slot, void *arg)
{
    struct loading *l = arg;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(slot->txn, s->dbi[DB_PURGES], &cursor);
    if (rc != 0) return rc;
    while (!l->stopped && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct store_purge_line line;
        if (purge_line_of(key, value, &line))
            l->stopped = !l->each(l->arg, &line);
        else
            l->damaged = true;
    }
    mdb_cursor_close(cursor);
    return rc;
}

uint64_t store_load_purges(struct store *s, bool (*each)(void *arg, const struct store_purge_line *line), void *arg)
{
    struct loading l = { .each = each, .arg = arg };
    uint64_t seq = atomic_load(&s->purge_seq);
    int rc = store_read_in_slot(s, load_lines, &l);
    if (!l.stopped && (l.damaged || rc != MDB_NOTFOUND)) {
        /* A purge that cannot be read might have been any: everything fetched before now is purged. */
        seq++;
        struct store_purge_line all = { .kind = 'a', .seq = seq, .name = VIEW("") };
        (void)each(arg, &all);
    }
    return seq;
}

/* ---- jobs */

static void *job_main(void *arg)
{
    struct store_jobs *j = arg;
    pthread_mutex_lock(&j->lock);
    while (!j->stop || j->first != NULL) {
        struct store_job *job = j->first;
        if (job == NULL) {
            pthread_cond_wait(&j->wake, &j->lock);
            continue;
        }
        j->first = job->next;
        if (j->first == NULL) j->end = &j->first;
        j->waiting--;
        pthread_mutex_unlock(&j->lock);
        job->run(job);
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

bool store_submit(struct store *s, struct store_job *job)
{
    struct store_jobs *j = &s->jobs;
    pthread_mutex_lock(&j->lock);
    bool taken = j->waiting < STORE_JOBS_MAX && !j->stop;
    if (taken) {
        job->next = NULL;
        *j->end = job;
        j->end = &job->next;
        j->waiting++;
        pthread_cond_signal(&j->wake);
    }
    pthread_mutex_unlock(&j->lock);
    return taken;
}

bool store_jobs_start(struct store *s, int threads)
{
    struct store_jobs *j = &s->jobs;
    int most = (int)(sizeof(j->thread) / sizeof(j->thread[0]));
    j->end = &j->first;
    if (threads < 1) threads = 1;
    for (j->threads = 0; j->threads < threads && j->threads < most; j->threads++)
        if (pthread_create(&j->thread[j->threads], NULL, job_main, j) != 0) break;
    return j->threads > 0;
}

void store_jobs_stop(struct store *s)
{
    struct store_jobs *j = &s->jobs;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->threads; i++) pthread_join(j->thread[i], NULL);
}
