/* fake_store: the calls of cache/store.h that purge makes, in memory, for one test program.
 * Writes are queued as in the real one; fake_commit does them, in order, and calls back. With fake.commits_at_once each
 * write is done as it comes. fake_crash loses what was queued. Threads: any; one lock, never held in a callback. */
#ifndef WEIR_TESTS_PURGE_FAKE_STORE_H
#define WEIR_TESTS_PURGE_FAKE_STORE_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "cache/record.h"
#include "cache/store.h"
#include "purge/tag.h"

enum { FAKE_RECORDS = 4096, FAKE_LINES = 32 * 1024, FAKE_OPS = 64 * 1024, FAKE_NAME = 24, FAKE_TAGS = 8 };

struct fake_record {
    struct store_id id;
    uint64_t fetch_seq, tags[FAKE_TAGS + 2];
    size_t tag_count, len;
    _Alignas(8) char bytes[1024];
};

struct fake_line {
    char kind, name[FAKE_NAME];
    size_t name_len;
    bool soft;
    uint64_t seq;
    int64_t time_s;
};

enum fake_kind { FAKE_PUT, FAKE_LOG, FAKE_FORGET, FAKE_REMOVE_KEY, FAKE_RECLAIM, FAKE_FLUSH };

struct fake_op {
    enum fake_kind kind;
    store_done done;
    void *arg;
    struct fake_record *put;
    struct fake_line *lines; /* log: n of them; forget: one */
    size_t n;
    uint64_t seq, key[2], tag;
    bool by_tag;
    bool (*matches)(void *arg, struct view record);
};

struct store {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool commits_at_once, fails, jobs_wait;
    struct fake_record records[FAKE_RECORDS];
    size_t record_count;
    struct fake_line lines[FAKE_LINES];
    size_t line_count;
    uint64_t seq;
    struct fake_op ops[FAKE_OPS];
    size_t op_count;
    struct store_job *jobs;
    size_t walked, reclaims;
};

static struct store fake = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER,
                             .commits_at_once = true };

/* ---- what a write does; under the lock */

static bool fake_has_tag(const struct fake_record *r, uint64_t tag)
{
    for (size_t i = 0; i < r->tag_count; i++) {
        if (r->tags[i] == tag) return true;
    }
    return false;
}

static void fake_remove_at(size_t i)
{
    fake.records[i] = fake.records[--fake.record_count];
}

static void fake_put_line(const struct fake_line *line, bool remove)
{
    size_t i = 0;
    for (; i < fake.line_count; i++) {
        const struct fake_line *l = &fake.lines[i];
        if (l->kind == line->kind && l->soft == line->soft && l->name_len == line->name_len &&
            memcmp(l->name, line->name, l->name_len) == 0)
            break;
    }
    if (remove) {
        if (i < fake.line_count && fake.lines[i].seq == line->seq) fake.lines[i] = fake.lines[--fake.line_count];
        return;
    }
    ck_assert_uint_lt(i, FAKE_LINES);
    fake.lines[i] = *line;
    if (i == fake.line_count) fake.line_count++;
}

static void fake_put_record(const struct fake_record *r)
{
    size_t i = 0;
    while (i < fake.record_count && memcmp(&fake.records[i].id, &r->id, sizeof(r->id)) != 0) i++;
    ck_assert_uint_lt(i, FAKE_RECORDS);
    fake.records[i] = *r;
    if (i == fake.record_count) fake.record_count++;
}

static void fake_reclaim(const struct fake_op *op)
{
    fake.reclaims++;
    for (size_t i = fake.record_count; i > 0; i--) {
        const struct fake_record *r = &fake.records[i - 1];
        if (r->fetch_seq >= op->seq || (op->by_tag && !fake_has_tag(r, op->tag))) continue;
        if (op->matches == NULL || op->matches(op->arg, view_of(r->bytes, r->len))) fake_remove_at(i - 1);
    }
}

static void fake_remove_key(const struct fake_op *op)
{
    for (size_t i = fake.record_count; i > 0; i--) {
        const struct fake_record *r = &fake.records[i - 1];
        if (r->fetch_seq < op->seq && memcmp(r->id.key, op->key, sizeof(op->key)) == 0) fake_remove_at(i - 1);
    }
}

static void fake_apply(struct fake_op *op)
{
    switch (op->kind) {
    case FAKE_PUT: fake_put_record(op->put); break;
    case FAKE_LOG:
        for (size_t i = 0; i < op->n; i++) fake_put_line(&op->lines[i], false);
        ck_assert_uint_gt(op->seq, fake.seq); /* numbers are logged in their order */
        fake.seq = op->seq;
        break;
    case FAKE_FORGET: fake_put_line(&op->lines[0], true); break;
    case FAKE_REMOVE_KEY: fake_remove_key(op); break;
    case FAKE_RECLAIM: fake_reclaim(op); break;
    case FAKE_FLUSH: break;
    }
}

/* ---- the queue */

static bool fake_take(struct fake_op *out)
{
    if (fake.op_count == 0) return false;
    *out = fake.ops[0];
    fake.op_count--;
    memmove(fake.ops, fake.ops + 1, fake.op_count * sizeof(fake.ops[0]));
    return true;
}

/** Do what is queued; purges first, as the real one does. Calls back without the lock. */
static inline void fake_commit(void)
{
    struct fake_op op;
    pthread_mutex_lock(&fake.lock);
    while (fake_take(&op)) {
        if (!fake.fails) fake_apply(&op);
        int result = fake.fails ? -EIO : 0;
        pthread_cond_broadcast(&fake.changed);
        pthread_mutex_unlock(&fake.lock);
        if (op.done != NULL) op.done(op.arg, result);
        free(op.lines);
        free(op.put);
        pthread_mutex_lock(&fake.lock);
    }
    pthread_mutex_unlock(&fake.lock);
}

/** Lose what is queued, as kill -9 does. */
static inline void fake_crash(void)
{
    fake.fails = true;
    fake_commit();
    fake.fails = false;
}

/* A purge goes before all that is not one. */
static int fake_queue(struct fake_op op)
{
    pthread_mutex_lock(&fake.lock);
    size_t at = fake.op_count;
    if (op.kind == FAKE_LOG) {
        for (at = 0; at < fake.op_count && fake.ops[at].kind == FAKE_LOG; at++) {
        }
    }
    ck_assert_uint_lt(fake.op_count, FAKE_OPS);
    memmove(fake.ops + at + 1, fake.ops + at, (fake.op_count - at) * sizeof(op));
    fake.ops[at] = op;
    fake.op_count++;
    bool at_once = fake.commits_at_once;
    pthread_mutex_unlock(&fake.lock);
    if (at_once) fake_commit();
    return 0;
}

static struct fake_line fake_line_of(const struct store_purge_line *line)
{
    struct fake_line l = {
        .kind = line->kind, .soft = line->soft, .seq = line->seq, .time_s = line->time_s, .name_len = line->name.len
    };
    ck_assert_uint_le(line->name.len, FAKE_NAME);
    if (l.name_len > 0) memcpy(l.name, line->name.at, l.name_len);
    return l;
}

int store_log_purges(struct store *s, const struct store_purge_line *lines, size_t n, uint64_t seq, store_done done,
                     void *arg)
{
    struct fake_op op = { .kind = FAKE_LOG, .done = done, .arg = arg, .n = n, .seq = seq };
    (void)s;
    op.lines = calloc(n + 1, sizeof(*op.lines));
    for (size_t i = 0; i < n; i++) op.lines[i] = fake_line_of(&lines[i]);
    return fake_queue(op);
}

void store_forget_purge(struct store *s, char kind, bool soft, struct view name, uint64_t seq)
{
    struct store_purge_line line = { kind, soft, seq, 0, name };
    struct fake_op op = { .kind = FAKE_FORGET, .lines = calloc(1, sizeof(*op.lines)) };
    (void)s;
    op.lines[0] = fake_line_of(&line);
    fake_queue(op);
}

int store_remove_key(struct store *s, const uint64_t key[2], uint64_t below_seq, store_done done, void *arg)
{
    (void)s;
    return fake_queue((struct fake_op){
        .kind = FAKE_REMOVE_KEY, .done = done, .arg = arg, .seq = below_seq, .key = { key[0], key[1] } });
}

int store_flush(struct store *s, store_done done, void *arg)
{
    (void)s;
    return fake_queue((struct fake_op){ .kind = FAKE_FLUSH, .done = done, .arg = arg });
}

int store_reclaim(struct store *s, const uint64_t *tag, uint64_t below_seq,
                  bool (*matches)(void *arg, struct view record), void *arg, store_done done)
{
    (void)s;
    return fake_queue((struct fake_op){ .kind = FAKE_RECLAIM,
                                        .done = done,
                                        .arg = arg,
                                        .seq = below_seq,
                                        .by_tag = tag != NULL,
                                        .tag = tag != NULL ? *tag : 0,
                                        .matches = matches });
}

/* ---- reading */

uint64_t store_load_purges(struct store *s, bool (*each)(void *arg, const struct store_purge_line *line), void *arg)
{
    (void)s;
    for (size_t i = 0; i < fake.line_count; i++) {
        const struct fake_line *l = &fake.lines[i];
        struct store_purge_line line = { l->kind, l->soft, l->seq, l->time_s, view_of(l->name, l->name_len) };
        if (!each(arg, &line)) break;
    }
    return fake.seq;
}

uint64_t store_tag_count(struct store *s, uint64_t tag)
{
    uint64_t n = 0;
    (void)s;
    pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < fake.record_count; i++) n += fake_has_tag(&fake.records[i], tag);
    pthread_mutex_unlock(&fake.lock);
    return n;
}

uint64_t store_count_key(struct store *s, const uint64_t key[2], uint64_t below_seq)
{
    uint64_t n = 0;
    (void)s;
    pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < fake.record_count; i++) {
        const struct fake_record *r = &fake.records[i];
        n += r->fetch_seq < below_seq && memcmp(r->id.key, key, sizeof(r->id.key)) == 0;
    }
    pthread_mutex_unlock(&fake.lock);
    return n;
}

int store_get(struct store *s, const struct store_id *id, size_t spare, struct store_found *out)
{
    int rc = -ENOENT;
    (void)s;
    pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < fake.record_count; i++) {
        const struct fake_record *r = &fake.records[i];
        if (memcmp(&r->id, id, sizeof(*id)) != 0) continue;
        *out =
            (struct store_found){ .memory = malloc(spare + r->len), .record_len = r->len, .fetch_seq = r->fetch_seq };
        memcpy((char *)out->memory + spare, r->bytes, r->len);
        rc = 0;
    }
    pthread_mutex_unlock(&fake.lock);
    return rc;
}

int store_walk(struct store *s, const uint64_t *tag, uint64_t *cursor, size_t limit,
               bool (*each)(void *arg, const struct store_id *id, const struct store_found *found, struct view record),
               void *arg)
{
    size_t shown = 0, i = *cursor;
    bool go_on = true;
    (void)s;
    pthread_mutex_lock(&fake.lock);
    for (; i < fake.record_count && shown < limit && go_on; i++) {
        const struct fake_record *r = &fake.records[i];
        struct store_found found = { .record_len = r->len, .fetch_seq = r->fetch_seq };
        if (tag != NULL && !fake_has_tag(r, *tag)) continue;
        shown++;
        fake.walked++;
        go_on = each(arg, &r->id, &found, view_of(r->bytes, r->len));
    }
    *cursor = i < fake.record_count ? i : 0;
    pthread_mutex_unlock(&fake.lock);
    return (int)shown;
}

void store_stats(struct store *s, struct store_stats *out)
{
    (void)s;
    pthread_mutex_lock(&fake.lock);
    *out = (struct store_stats){ .entries = fake.record_count };
    pthread_mutex_unlock(&fake.lock);
}

bool store_submit(struct store *s, struct store_job *job)
{
    (void)s;
    if (fake.jobs_wait) {
        job->next = fake.jobs;
        fake.jobs = job;
    } else {
        job->run(job);
    }
    return true;
}

/* ---- for the tests */

/** Store what a fetch that began at fetch_seq brought, with `tags` (NULL-terminated, may be NULL) and its host's tag. */
static inline void fake_store_kind(enum record_kind kind, const char *uri, uint64_t variant, uint64_t fetch_seq,
                                   const char *const *tags)
{
    char key[512] = "1\nGET\n";
    struct fake_op op = { .kind = FAKE_PUT, .put = calloc(1, sizeof(*op.put)) };
    struct fake_record *r = op.put;
    strcat(key, uri);
    struct view text = view_of_str(key), host = view_of_str(strstr(uri, "://") + 3);
    r->tags[r->tag_count++] = tag_hash_host(view_first(host, view_find(host, 0, '/')));
    for (size_t i = 0; tags != NULL && tags[i] != NULL && i < FAKE_TAGS; i++) {
        r->tags[r->tag_count++] = strcmp(tags[i], "*") == 0 ? TAG_OVERFLOW : tag_hash(view_of_str(tags[i]));
    }
    struct record_inputs in = {
        .kind = kind, .key = text, .tags = r->tags, .tag_count = r->tag_count, .fetch_seq = fetch_seq
    };
    key_hash(text, r->id.key);
    r->id.variant = variant;
    r->fetch_seq = fetch_seq;
    r->len = record_size(&in);
    ck_assert_uint_le(r->len, sizeof(r->bytes));
    record_write(&in, r->bytes);
    fake_queue(op);
}

static inline void fake_store(const char *uri, uint64_t variant, uint64_t fetch_seq, const char *const *tags)
{
    fake_store_kind(RECORD_RESPONSE, uri, variant, fetch_seq, tags);
}

/** Run what has waited for a reader thread. */
static inline void fake_run_jobs(void)
{
    struct store_job *job;
    while ((job = fake.jobs) != NULL) {
        fake.jobs = job->next;
        job->run(job);
    }
}

/** Wait until the log has this many lines. */
static inline void fake_wait_lines(size_t count)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.line_count != count) pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

#endif
