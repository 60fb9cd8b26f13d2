/* fake_store: a store in memory that does what it is told, when it is told: writes wait until fake_commit (or the threads of
 * fake_run), and any of them can be refused or made to fail. One definition of store_*, for one test program.           */
#ifndef WEIR_TESTS_CACHE_FAKE_STORE_H
#define WEIR_TESTS_CACHE_FAKE_STORE_H

#include "cache/store.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { FAKE_CONTENTS = 128, FAKE_RECORDS = 512, FAKE_THREADS = 3 };

struct fake_content {
    uint64_t number;
    char *bytes;
    size_t len;
};

struct fake_record {
    bool there;
    struct store_id id;
    char *bytes;
    size_t len, content_len;
    uint64_t number, fetch_seq;
};

struct fake_write {
    enum { FAKE_APPEND, FAKE_PUT, FAKE_REMOVE, FAKE_ABANDON } kind;
    struct store_id id;
    uint64_t number;
    int64_t offset;
    const void *data;
    size_t len;
    struct store_put put;
    store_done done;
    void *arg;
    struct fake_write *next;
};

struct store {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct fake_content contents[FAKE_CONTENTS];
    struct fake_record records[FAKE_RECORDS];
    struct fake_write *first, **end;
    struct store_job *jobs;
    uint64_t last_number;
    /* what it is told */
    bool cold;                     /* any look-up would wait */
    int refuse_append, refuse_put; /* returned at once */
    int fail;                      /* what done reports */
    ssize_t read_answer;           /* when not 0: what store_read gives */
    /* what it has seen */
    unsigned touches, removes;
    /* threads */
    bool stop;
    unsigned thread_count;
    pthread_t threads[FAKE_THREADS];
};

static inline struct store *fake_store_new(void)
{
    struct store *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->end = &s->first;
    return s;
}

/* ---- its writes */

static inline struct fake_content *fake_content(struct store *s, uint64_t number)
{
    for (size_t i = 0; i < FAKE_CONTENTS; i++)
        if (s->contents[i].number == number) return &s->contents[i];
    return NULL;
}

static inline struct fake_record *fake_record(struct store *s, const struct store_id *id)
{
    for (size_t i = 0; i < FAKE_RECORDS; i++)
        if (s->records[i].there && memcmp(&s->records[i].id, id, sizeof *id) == 0) return &s->records[i];
    return NULL;
}

/** Nothing of this content is left. */
static inline bool fake_is_gone(struct store *s, uint64_t number)
{
    return fake_content(s, number) == NULL;
}

static inline void fake_add_content(struct store *s, uint64_t number, int64_t offset, const void *data, size_t len)
{
    struct fake_content *c = fake_content(s, number);
    if (c == NULL) c = fake_content(s, 0);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(offset % STORE_CHUNK_BYTES, 0);
    ck_assert_uint_eq(c->len, (size_t)offset); /* in order, without a gap */
    c->number = number;
    c->bytes = realloc(c->bytes, c->len + len);
    memcpy(c->bytes + c->len, data, len);
    c->len += len;
}

static inline void fake_forget_content(struct store *s, uint64_t number)
{
    struct fake_content *c = number != 0 ? fake_content(s, number) : NULL;
    if (c == NULL) return;
    free(c->bytes);
    *c = (struct fake_content){ .number = 0 };
}

static inline void fake_forget(struct store *s, struct fake_record *r, uint64_t but_content)
{
    if (r->number != but_content) fake_forget_content(s, r->number);
    free(r->bytes);
    *r = (struct fake_record){ .there = false };
}

static inline void fake_apply_put(struct store *s, const struct store_put *put)
{
    struct fake_record *r = fake_record(s, &put->id);
    if (r != NULL) fake_forget(s, r, put->keeps_content ? put->content_number : 0);
    for (r = s->records; r->there; r++) ck_assert(r < s->records + FAKE_RECORDS);
    *r = (struct fake_record){ .there = true,
                               .id = put->id,
                               .bytes = malloc(put->record_len),
                               .len = put->record_len,
                               .number = put->content_number,
                               .content_len = put->content_len,
                               .fetch_seq = put->fetch_seq };
    memcpy(r->bytes, put->record, put->record_len);
    if (put->content != NULL) fake_add_content(s, put->content_number, 0, put->content, put->content_len);
}

static inline int fake_apply(struct store *s, const struct fake_write *w)
{
    struct fake_record *r = fake_record(s, &w->id);
    if (w->kind == FAKE_REMOVE && r != NULL && (w->number == 0 || w->number == r->number)) {
        fake_forget(s, r, 0);
        s->removes++;
    }
    if (w->kind == FAKE_ABANDON) fake_forget_content(s, w->number);
    if (w->kind == FAKE_REMOVE || w->kind == FAKE_ABANDON) return 0;
    if (s->fail != 0) return s->fail;
    if (w->kind == FAKE_APPEND) fake_add_content(s, w->number, w->offset, w->data, w->len);
    if (w->kind == FAKE_PUT) fake_apply_put(s, &w->put);
    return 0;
}

/** Do the oldest write. @return false: there is none */
static inline bool fake_commit_one(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct fake_write *w = s->first;
    if (w != NULL && (s->first = w->next) == NULL) s->end = &s->first;
    int result = w != NULL ? fake_apply(s, w) : 0;
    pthread_mutex_unlock(&s->lock);
    if (w == NULL) return false;
    if (w->done != NULL) w->done(w->arg, result);
    free(w);
    return true;
}

static inline void fake_commit(struct store *s)
{
    while (fake_commit_one(s)) continue;
}

/** Do what is waiting for the reader threads. @return how many */
static inline unsigned fake_run_jobs(struct store *s)
{
    unsigned n = 0;
    for (;; n++) {
        pthread_mutex_lock(&s->lock);
        struct store_job *job = s->jobs;
        if (job != NULL) s->jobs = job->next;
        pthread_mutex_unlock(&s->lock);
        if (job == NULL) return n;
        job->run(job);
    }
}

static inline void *fake_thread_main(void *arg)
{
    struct store *s = arg;
    bool writes = pthread_equal(pthread_self(), s->threads[0]);
    for (;;) {
        pthread_mutex_lock(&s->lock);
        while (!s->stop && (writes ? s->first == NULL : s->jobs == NULL)) pthread_cond_wait(&s->work, &s->lock);
        bool over = s->stop && (writes ? s->first == NULL : s->jobs == NULL);
        pthread_mutex_unlock(&s->lock);
        if (over) return NULL;
        if (writes)
            (void)fake_commit_one(s);
        else
            (void)fake_run_jobs(s);
    }
}

/** From here on threads of its own do what waits: one writes, the others read. */
static inline void fake_run(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    for (; s->thread_count < FAKE_THREADS; s->thread_count++)
        ck_assert_int_eq(pthread_create(&s->threads[s->thread_count], NULL, fake_thread_main, s), 0);
    pthread_mutex_unlock(&s->lock);
}

static inline void fake_store_free(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->thread_count; i++) pthread_join(s->threads[i], NULL);
    fake_commit(s);
    (void)fake_run_jobs(s);
    for (size_t i = 0; i < FAKE_CONTENTS; i++) free(s->contents[i].bytes);
    for (size_t i = 0; i < FAKE_RECORDS; i++) free(s->records[i].bytes);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static inline size_t fake_waiting(struct store *s)
{
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (const struct fake_write *w = s->first; w != NULL; w = w->next) n++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static inline void fake_queue(struct store *s, struct fake_write what)
{
    struct fake_write *w = malloc(sizeof *w);
    *w = what;
    pthread_mutex_lock(&s->lock);
    *s->end = w;
    s->end = &w->next;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
}

/* ---- what the cache calls */

uint64_t store_next_number(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t number = ++s->last_number;
    pthread_mutex_unlock(&s->lock);
    return number;
}

int store_append(struct store *s, uint64_t number, int64_t offset, const void *data, size_t len, store_done done,
                 void *arg)
{
    if (s->refuse_append != 0) return s->refuse_append;
    fake_queue(s, (struct fake_write){ .kind = FAKE_APPEND,
                                       .number = number,
                                       .offset = offset,
                                       .data = data,
                                       .len = len,
                                       .done = done,
                                       .arg = arg });
    return 0;
}

void store_set_in_use(struct store *s, bool (*in_use)(void *arg, const struct store_id *id), void *arg)
{
    (void)s;
    (void)in_use;
    (void)arg;
}

void store_set_pin_over(struct store *s, bool (*is_over)(void *arg, struct view record), void *arg)
{
    (void)s;
    (void)is_over;
    (void)arg;
}

enum store_warmth store_warmth(struct store *s, const struct store_id *id, size_t content_max)
{
    (void)content_max;
    if (s->cold) return STORE_COLD;
    pthread_mutex_lock(&s->lock);
    bool there = fake_record(s, id) != NULL;
    pthread_mutex_unlock(&s->lock);
    return there ? STORE_WARM : STORE_MISSING;
}

/* Content leaves the fake only when a test says so. */
bool store_pin(struct store *s, uint64_t number)
{
    (void)s;
    return number != 0;
}

bool store_reserve(struct store *s, uint64_t number, uint64_t bytes)
{
    (void)s;
    (void)bytes;
    return number != 0;
}

void store_unpin(struct store *s, uint64_t number)
{
    (void)s;
    (void)number;
}

void store_abandon(struct store *s, uint64_t number)
{
    fake_queue(s, (struct fake_write){ .kind = FAKE_ABANDON, .number = number });
}

int store_put(struct store *s, const struct store_put *put, store_done done, void *arg)
{
    if (s->refuse_put != 0) return s->refuse_put;
    fake_queue(s, (struct fake_write){ .kind = FAKE_PUT, .put = *put, .done = done, .arg = arg });
    return 0;
}

void store_remove(struct store *s, const struct store_id *id, uint64_t content_number)
{
    fake_queue(s, (struct fake_write){ .kind = FAKE_REMOVE, .id = *id, .number = content_number });
}

int store_get(struct store *s, const struct store_id *id, size_t spare, struct store_found *out)
{
    pthread_mutex_lock(&s->lock);
    const struct fake_record *r = fake_record(s, id);
    if (r != NULL) {
        *out = (struct store_found){ .memory = malloc(spare + r->len + 1),
                                     .record_len = r->len,
                                     .content_number = r->number,
                                     .content_len = r->content_len,
                                     .fetch_seq = r->fetch_seq };
        memcpy((char *)out->memory + spare, r->bytes, r->len);
    }
    pthread_mutex_unlock(&s->lock);
    return r != NULL ? 0 : -ENOENT;
}

ssize_t store_read(struct store *s, uint64_t number, int64_t offset, void *to, size_t len)
{
    pthread_mutex_lock(&s->lock);
    const struct fake_content *c = fake_content(s, number);
    ssize_t n = c == NULL ? -ENOENT : 0;
    if (n == 0 && offset < (int64_t)c->len) {
        size_t left = c->len - (size_t)offset;
        n = (ssize_t)(left < len ? left : len);
        memcpy(to, c->bytes + offset, (size_t)n);
    }
    if (s->read_answer != 0) n = s->read_answer;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool store_submit(struct store *s, struct store_job *job)
{
    pthread_mutex_lock(&s->lock);
    job->next = s->jobs;
    s->jobs = job;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    return true;
}

void store_touch(struct store *s, const struct store_id *id)
{
    (void)id;
    pthread_mutex_lock(&s->lock);
    s->touches++;
    pthread_mutex_unlock(&s->lock);
}

void store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){ .size_bytes = 1 << 30, .removes = s->removes };
}

#endif
