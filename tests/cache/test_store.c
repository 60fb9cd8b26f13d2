/* The store on a real directory: what is put comes back, over restarts and kill -9, and damage is met with a cold start. */
#include "cache/store.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, SMALL = 8 * MIB };

/* ---- a directory and a store in it */

struct place {
    char dir[64];
    char why[512];
    char said[1024];
    struct store *store;
    uint64_t size;
};

static void hear(void *arg, const char *line)
{
    struct place *p = arg;
    snprintf(p->said, sizeof(p->said), "%s", line);
}

static struct place place_new(uint64_t size)
{
    struct place p = { .size = size };
    const char *tmp = getenv("TMPDIR");
    snprintf(p.dir, sizeof(p.dir), "%s/weir-store-XXXXXX", tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(p.dir));
    return p;
}

static enum store_open_result place_open(struct place *p)
{
    struct store_settings settings = {
        .path = p->dir, .size_bytes = p->size, .reader_threads = 2, .say = hear, .say_arg = p
    };
    return store_open(&settings, &p->store, p->why, sizeof(p->why));
}

static void place_close(struct place *p)
{
    store_close(p->store);
    p->store = NULL;
}

static void each_file(const char *dir, void (*each)(const char *path, void *arg), void *arg)
{
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        each(path, arg);
    }
    closedir(d);
}

static void add_size(const char *path, void *arg)
{
    struct stat st;
    uint64_t *sum = arg, blocks;
    ck_assert_int_eq(stat(path, &st), 0);
    blocks = (uint64_t)st.st_blocks * 512;
    *sum += blocks > (uint64_t)st.st_size ? blocks : (uint64_t)st.st_size;
}

static uint64_t place_bytes(const struct place *p)
{
    uint64_t sum = 4096; /* the directory itself */
    each_file(p->dir, add_size, &sum);
    return sum;
}

static void remove_file(const char *path, void *arg)
{
    (void)arg;
    ck_assert_int_eq(unlink(path), 0);
}

static void place_end(struct place *p)
{
    if (p->store != NULL) place_close(p);
    each_file(p->dir, remove_file, NULL);
    ck_assert_int_eq(rmdir(p->dir), 0);
}

static char *data_path(const struct place *p)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/data.mdb", p->dir);
    return path;
}

static bool has_file_ending(const struct place *p, const char *end)
{
    bool found = false;
    DIR *d = opendir(p->dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name), n = strlen(end);
        found = found || (len >= n && strcmp(e->d_name + len - n, end) == 0);
    }
    closedir(d);
    return found;
}

/* ---- waiting for a write */

struct wait {
    sem_t sem;
    int result;
};

static void wake(void *arg, int result)
{
    struct wait *w = arg;
    w->result = result;
    sem_post(&w->sem);
}

static int wait_for(struct wait *w, int queued)
{
    if (queued == 0)
        while (sem_wait(&w->sem) != 0) continue;
    sem_destroy(&w->sem);
    return queued == 0 ? w->result : queued;
}

static int put_and_wait(struct store *s, const struct store_put *put)
{
    struct wait w;
    sem_init(&w.sem, 0, 0);
    return wait_for(&w, store_put(s, put, wake, &w));
}

static int append_and_wait(struct store *s, uint64_t number, int64_t offset, const void *data, size_t len)
{
    struct wait w;
    sem_init(&w.sem, 0, 0);
    return wait_for(&w, store_append(s, number, offset, data, len, wake, &w));
}

static int log_and_wait(struct store *s, const struct store_purge_line *lines, size_t n, uint64_t seq)
{
    struct wait w;
    sem_init(&w.sem, 0, 0);
    return wait_for(&w, store_log_purges(s, lines, n, seq, wake, &w));
}

static int reclaim_and_wait(struct store *s, const uint64_t *tag, uint64_t below_seq)
{
    struct wait w;
    sem_init(&w.sem, 0, 0);
    return wait_for(&w, store_reclaim(s, tag, below_seq, NULL, &w, wake));
}

/* Everything queued so far is committed: the queue is in order. */
static void flush(struct store *s)
{
    static const uint64_t nobody[2] = { ~0ull, ~0ull };
    struct wait w;
    sem_init(&w.sem, 0, 0);
    ck_assert_int_eq(wait_for(&w, store_remove_key(s, nobody, 0, wake, &w)), 0);
}

static struct store_id id_of(uint64_t n)
{
    return (struct store_id){ .key = { n * 0x9E3779B97F4A7C15ull, n ^ 0xC2B2AE3D27D4EB4Full }, .variant = 0 };
}

/* Bytes that tell from which seed and offset they are. */
static void fill(char *to, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) to[i] = (char)((i * 31 + i / 251 + seed * 131) >> 1);
}

static int put_text(struct store *s, uint64_t n, const char *text)
{
    struct store_put put = { .id = id_of(n), .record = text, .record_len = strlen(text) };
    return put_and_wait(s, &put);
}

static int put_content(struct store *s, uint64_t n, size_t len, uint64_t *number)
{
    char *content = malloc(len + 1);
    fill(content, len, n);
    *number = store_next_number(s);
    struct store_put put = { .id = id_of(n),
                             .record = "head",
                             .record_len = 4,
                             .content = content,
                             .content_len = len,
                             .content_number = *number };
    int rc = put_and_wait(s, &put);
    free(content);
    return rc;
}

/* The record's text, or NULL. */
static const char *text_of(struct store *s, uint64_t n)
{
    static char text[2000];
    struct store_found found;
    struct store_id id = id_of(n);
    if (store_get(s, &id, 16, &found) != 0) return NULL;
    ck_assert_uint_lt(found.record_len, sizeof(text));
    memcpy(text, (char *)found.memory + 16, found.record_len);
    text[found.record_len] = '\0';
    free(found.memory);
    return text;
}

static bool content_is_right(struct store *s, uint64_t n, uint64_t number, size_t len)
{
    char *got = malloc(len + 1), *expected = malloc(len + 1);
    fill(expected, len, n);
    ssize_t r = store_read(s, number, 0, got, len + 1);
    bool right = r == (ssize_t)len && memcmp(got, expected, len) == 0;
    free(got);
    free(expected);
    return right;
}

static struct store_stats stats_of(struct store *s)
{
    struct store_stats st;
    store_stats(s, &st);
    return st;
}

/* ---- put and get */

START_TEST(a_record_comes_back_is_replaced_and_removed)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_ptr_null(text_of(p.store, 1));
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    ck_assert_str_eq(text_of(p.store, 1), "plum");
    ck_assert_int_eq(put_text(p.store, 1, "a longer quince"), 0);
    ck_assert_str_eq(text_of(p.store, 1), "a longer quince");
    ck_assert_uint_eq(stats_of(p.store).entries, 1);
    struct store_id id = id_of(1);
    store_remove(p.store, &id, 77); /* another content number: stays */
    flush(p.store);
    ck_assert_str_eq(text_of(p.store, 1), "a longer quince");
    store_remove(p.store, &id, 0);
    flush(p.store);
    ck_assert_ptr_null(text_of(p.store, 1));
    ck_assert_uint_eq(stats_of(p.store).entries, 0);
    place_end(&p);
}
END_TEST

START_TEST(records_of_any_length_replace_one_another)
{
    struct place p = place_new(SMALL);
    static char record[200 * 1000];
    static const size_t lengths[] = { 10, 9000, 3000, 100 * 1000, 50, 2100, 1900, 13000, 0, 1 };
    struct store_put put = { .id = id_of(1), .record = record };
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    fill(record, sizeof(record), 1);
    for (int i = 0; i < 300; i++) {
        put.id = id_of((uint64_t)i % 3);
        put.record_len = lengths[i % 10];
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0); /* several in one transaction */
    }
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(p.why, "");
    for (int i = 297; i < 300; i++) {
        struct store_found found;
        struct store_id id = id_of((uint64_t)i % 3);
        ck_assert_int_eq(store_get(p.store, &id, 0, &found), 0);
        ck_assert_uint_eq(found.record_len, lengths[i % 10]);
        ck_assert_mem_eq(found.memory, record, found.record_len);
        free(found.memory);
    }
    place_end(&p);
}
END_TEST

START_TEST(what_was_put_is_told_with_the_record)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id_of(4), .record = "x", .record_len = 1, .fetch_seq = 9, .pinned = true };
    put.content_number = store_next_number(p.store);
    put.content = "content";
    put.content_len = 7;
    ck_assert_int_eq(put_and_wait(p.store, &put), 0);
    struct store_found found;
    ck_assert_int_eq(store_get(p.store, &put.id, 0, &found), 0);
    free(found.memory);
    ck_assert_uint_eq(found.record_len, 1);
    ck_assert_uint_eq(found.content_number, put.content_number);
    ck_assert_uint_eq(found.content_len, 7);
    ck_assert_uint_eq(found.fetch_seq, 9);
    ck_assert(found.pinned);
    place_end(&p);
}
END_TEST

START_TEST(records_survive_a_restart)
{
    struct place p = place_new(SMALL);
    uint64_t number, later;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    ck_assert_int_eq(put_content(p.store, 2, 100 * 1000, &number), 0);
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(p.why, "");
    ck_assert_str_eq(text_of(p.store, 1), "plum");
    ck_assert(content_is_right(p.store, 2, number, 100 * 1000));
    later = store_next_number(p.store);
    ck_assert_uint_gt(later, number);
    place_end(&p);
}
END_TEST

/* ---- content */

static const size_t content_lengths[] = {
    0, 1, 1900, STORE_CHUNK_BYTES - 1, STORE_CHUNK_BYTES, STORE_CHUNK_BYTES + 1, 5 * STORE_CHUNK_BYTES, 1500 * 1000
};

START_TEST(content_comes_back_whole_and_in_part)
{
    size_t len = content_lengths[_i];
    struct place p = place_new(2 * SMALL);
    uint64_t number;
    char part[100], expected[2 * STORE_CHUNK_BYTES];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_content(p.store, 3, len, &number), 0);
    if (len == 0) ck_assert_int_eq(store_read(p.store, number, 0, part, 1), -ENOENT);
    if (len > 0) ck_assert(content_is_right(p.store, 3, number, len));
    if (len > STORE_CHUNK_BYTES + 50) {
        fill(expected, sizeof(expected), 3);
        ck_assert_int_eq(store_read(p.store, number, STORE_CHUNK_BYTES - 50, part, 100), 100);
        ck_assert_mem_eq(part, expected + STORE_CHUNK_BYTES - 50, 100);
    }
    if (len > 0) ck_assert_int_eq(store_read(p.store, number, (int64_t)len, part, 10), 0);
    struct store_id id = id_of(3);
    store_remove(p.store, &id, number);
    flush(p.store);
    /* Large content leaves in the background. */
    for (int i = 0; i < 100 && store_read(p.store, number, 0, part, 1) != -ENOENT; i++) flush(p.store);
    ck_assert_int_eq(store_read(p.store, number, 0, part, 1), -ENOENT);
    place_end(&p);
}
END_TEST

START_TEST(appended_content_gets_its_record_later)
{
    enum { LEN = 3 * STORE_CHUNK_BYTES + 500 };
    struct place p = place_new(SMALL);
    char *content = malloc(LEN);
    fill(content, LEN, 5);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    uint64_t number = store_next_number(p.store), other = store_next_number(p.store);
    ck_assert_int_eq(append_and_wait(p.store, number, 1, content, 10), -EINVAL);
    ck_assert_int_eq(append_and_wait(p.store, number, 0, content, STORE_CHUNK_BYTES), 0);
    ck_assert_int_eq(append_and_wait(p.store, other, 0, content, STORE_CHUNK_BYTES), 0);
    ck_assert_int_eq(
        append_and_wait(p.store, number, STORE_CHUNK_BYTES, content + STORE_CHUNK_BYTES, LEN - STORE_CHUNK_BYTES), 0);
    ck_assert(content_is_right(p.store, 5, number, LEN)); /* readable before it has a record */
    struct store_put put = {
        .id = id_of(5), .record = "h", .record_len = 1, .content_number = number, .content_len = LEN
    };
    ck_assert_int_eq(put_and_wait(p.store, &put), 0);
    store_abandon(p.store, other);
    flush(p.store);
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert(content_is_right(p.store, 5, number, LEN));
    ck_assert_int_eq(store_read(p.store, other, 0, content, 10), -ENOENT);
    /* Abandoned content cannot get a record any more. */
    put.content_number = other;
    ck_assert_int_eq(put_and_wait(p.store, &put), -ENOENT);
    free(content);
    place_end(&p);
}
END_TEST

START_TEST(a_freshened_head_keeps_the_content)
{
    struct place p = place_new(SMALL);
    uint64_t number, old_tag = 11, new_tag = 12;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_content(p.store, 6, 50 * 1000, &number), 0);
    struct store_put put = { .id = id_of(6),
                             .record = "fresh",
                             .record_len = 5,
                             .content_number = number,
                             .tags = &old_tag,
                             .tag_count = 1,
                             .keeps_content = true };
    ck_assert_int_eq(put_and_wait(p.store, &put), 0);
    put.tags = &new_tag;
    ck_assert_int_eq(put_and_wait(p.store, &put), 0);
    ck_assert_str_eq(text_of(p.store, 6), "fresh");
    ck_assert(content_is_right(p.store, 6, number, 50 * 1000));
    ck_assert_uint_eq(store_tag_count(p.store, old_tag), 0);
    ck_assert_uint_eq(store_tag_count(p.store, new_tag), 1);
    put.content_number = number + 1;
    ck_assert_int_eq(put_and_wait(p.store, &put), -ENOENT);
    ck_assert_str_eq(text_of(p.store, 6), "fresh");
    place_end(&p);
}
END_TEST

/* ---- tags */

struct walked {
    size_t n;
    uint64_t seqs;
};

static bool note_walked(void *arg, const struct store_id *id, const struct store_found *found, struct view record)
{
    struct walked *w = arg;
    w->n++;
    w->seqs += found->fetch_seq;
    return id->key[0] != 0 && record.len == 4;
}

static void put_tagged(struct store *s, uint64_t n, uint64_t seq, const uint64_t *tags, size_t tag_count)
{
    struct store_put put = {
        .id = id_of(n), .record = "jam.", .record_len = 4, .fetch_seq = seq, .tags = tags, .tag_count = tag_count
    };
    ck_assert_int_eq(store_put(s, &put, NULL, NULL), 0);
}

START_TEST(tags_are_counted_walked_and_reclaimed)
{
    static const uint64_t tags[] = { 100, 200, 300 };
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    for (uint64_t n = 1; n <= 1000; n++) put_tagged(p.store, n, n, tags, n % 2 == 0 ? 3 : 1);
    flush(p.store);
    ck_assert_uint_eq(store_tag_count(p.store, 100), 1000);
    ck_assert_uint_eq(store_tag_count(p.store, 300), 500);
    ck_assert_uint_eq(store_tag_count(p.store, 999), 0);
    struct walked w = { 0 };
    uint64_t cursor = 0;
    do ck_assert_int_ge(store_walk(p.store, &tags[2], &cursor, 7, note_walked, &w), 0);
    while (cursor != 0);
    ck_assert_uint_eq(w.n, 500);
    w = (struct walked){ 0 };
    do ck_assert_int_ge(store_walk(p.store, NULL, &cursor, 300, note_walked, &w), 0);
    while (cursor != 0);
    ck_assert_uint_eq(w.n, 1000);
    ck_assert_uint_eq(w.seqs, 1000 * 1001 / 2);
    ck_assert_int_eq(reclaim_and_wait(p.store, &tags[1], 501), 0); /* the even ones up to 500 */
    ck_assert_uint_eq(store_tag_count(p.store, 100), 750);
    ck_assert_uint_eq(store_tag_count(p.store, 200), 250);
    ck_assert_uint_eq(stats_of(p.store).reclaimed, 250);
    ck_assert_ptr_null(text_of(p.store, 500));
    ck_assert_ptr_nonnull(text_of(p.store, 499));
    ck_assert_int_eq(reclaim_and_wait(p.store, NULL, ~0ull), 0);
    ck_assert_uint_eq(stats_of(p.store).entries, 0);
    ck_assert_uint_eq(store_tag_count(p.store, 100), 0);
    place_end(&p);
}
END_TEST

START_TEST(variants_of_a_key_are_counted_and_removed_together)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id_of(8), .record = "v", .record_len = 1 };
    for (uint64_t v = 0; v < 300; v++) {
        put.id.variant = v * 0x0101010101010101ull;
        put.fetch_seq = v;
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    ck_assert_int_eq(put_text(p.store, 9, "another key"), 0);
    ck_assert_uint_eq(store_count_key(p.store, put.id.key, 200), 200);
    struct wait w;
    sem_init(&w.sem, 0, 0);
    ck_assert_int_eq(wait_for(&w, store_remove_key(p.store, put.id.key, 200, wake, &w)), 0);
    ck_assert_uint_eq(store_count_key(p.store, put.id.key, ~0ull), 100);
    ck_assert_uint_eq(stats_of(p.store).entries, 101);
    place_end(&p);
}
END_TEST

/* ---- purges */

struct lines {
    size_t n;
    uint64_t seqs;
    char last[STORE_PURGE_NAME_MAX + 1];
};

static bool note_line(void *arg, const struct store_purge_line *line)
{
    struct lines *l = arg;
    l->n++;
    l->seqs += line->seq;
    memcpy(l->last, line->name.at, line->name.len);
    l->last[line->name.len] = '\0';
    return true;
}

START_TEST(the_purge_log_survives_a_restart)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_purge_line lines[] = { { 't', false, 7, 1000, VIEW("jam") }, { 't', true, 7, 1000, VIEW("jam") } };
    struct store_purge_line later = { 't', false, 8, 1001, VIEW("jam") };
    ck_assert_int_eq(log_and_wait(p.store, lines, 2, 7), 0);
    ck_assert_int_eq(log_and_wait(p.store, &later, 1, 8), 0); /* replaces the hard one */
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct lines got = { 0 };
    ck_assert_uint_eq(store_load_purges(p.store, note_line, &got), 8);
    ck_assert_uint_eq(got.n, 2);
    ck_assert_uint_eq(got.seqs, 15);
    ck_assert_str_eq(got.last, "jam");
    store_forget_purge(p.store, 't', false, VIEW("jam"), 7); /* not its number any more */
    store_forget_purge(p.store, 't', true, VIEW("jam"), 7);
    flush(p.store);
    got = (struct lines){ 0 };
    ck_assert_uint_eq(store_load_purges(p.store, note_line, &got), 8);
    ck_assert_uint_eq(got.n, 1);
    ck_assert_uint_eq(got.seqs, 8);
    static char name[STORE_PURGE_NAME_MAX + 1];
    later.name = view_of(name, sizeof(name));
    ck_assert_int_eq(log_and_wait(p.store, &later, 1, 9), -EINVAL);
    place_end(&p);
}
END_TEST

/* ---- limits */

START_TEST(what_is_too_large_is_refused)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id_of(1), .record = "x", .record_len = 2 * MIB };
    ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), -ENOSPC);
    put = (struct store_put){ .id = id_of(1), .content = "x", .content_len = SMALL, .content_number = 1 };
    ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), -ENOSPC);
    ck_assert_int_eq(store_append(p.store, 1, STORE_CHUNK_BYTES * 1000, "x", 1, NULL, NULL), -ENOSPC);
    put = (struct store_put){ .id = id_of(1), .tag_count = STORE_TAGS_MAX + 1 };
    ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), -EINVAL);
    place_end(&p);
}
END_TEST

static void hold(void *arg, int result)
{
    (void)result;
    while (sem_wait(arg) != 0) continue;
}

START_TEST(a_full_queue_refuses_puts)
{
    enum { LEN = 4 * MIB };
    struct place p = place_new(64 * MIB);
    static char content[LEN];
    sem_t gate;
    sem_init(&gate, 0, 0);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id_of(1), .record = "x", .record_len = 1 };
    ck_assert_int_eq(store_put(p.store, &put, hold, &gate), 0); /* the writer waits in its callback */
    put.content = content;
    put.content_len = LEN;
    int taken = 0, rc = 0;
    for (; rc == 0 && taken < 100; taken++) {
        put.content_number = store_next_number(p.store);
        rc = store_put(p.store, &put, NULL, NULL);
    }
    ck_assert_int_eq(rc, -EAGAIN);
    ck_assert_int_ge(taken, 15);
    ck_assert_int_le(taken, 20);
    ck_assert_uint_le(stats_of(p.store).queue_bytes, STORE_QUEUE_MAX_BYTES);
    ck_assert_uint_ge(stats_of(p.store).refused, 1);
    sem_post(&gate);
    flush(p.store);
    ck_assert_int_eq(put_text(p.store, 2, "plum"), 0);
    place_end(&p);
    sem_destroy(&gate);
}
END_TEST

/* ---- size and eviction */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Between 200 bytes and `most`, about as many of each order of magnitude. */
static size_t random_length(uint64_t *state, size_t most)
{
    size_t len = 200;
    while (len < most / 2 && next_random(state) % 100 < 70) len *= 2;
    len += next_random(state) % len;
    return len < most ? len : most;
}

static void note_failure(void *arg, int result)
{
    if (result != 0) atomic_fetch_add((atomic_int *)arg, 1);
}

static uint64_t tag_row[2003]; /* any three neighbours are a response's tags */

static int put_random(struct store *s, uint64_t *state, char *bytes, size_t most, atomic_int *failures)
{
    size_t len = random_length(state, most);
    uint64_t n = next_random(state) % 2000;
    struct store_put put = { .id = id_of(n), .record = bytes, .record_len = 300, .tags = tag_row + n, .tag_count = 3 };
    if (len <= STORE_INLINE_MAX) {
        put.record_len = len;
    } else {
        put.content_number = store_next_number(s);
        put.content = bytes;
        put.content_len = len;
    }
    return store_put(s, &put, note_failure, failures);
}

static const uint64_t churn_sizes[] = { 4 * MIB, 8 * MIB, 32 * MIB };

START_TEST(the_size_is_never_exceeded)
{
    uint64_t random = 88172645463325252ull + (uint64_t)_i;
    atomic_int failures = 0;
    struct place p = place_new(churn_sizes[_i]);
    char *bytes = malloc(MIB);
    fill(bytes, MIB, 1);
    for (uint64_t i = 0; i < 2003; i++) tag_row[i] = i;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    for (int n = 0; n < 3000; n++) {
        ck_assert_int_eq(put_random(p.store, &random, bytes, p.size / 32, &failures), 0);
        if (n % 20 != 0) continue;
        flush(p.store);
        ck_assert_uint_le(place_bytes(&p), p.size);
    }
    flush(p.store);
    ck_assert_int_eq(atomic_load(&failures), 0);
    struct store_stats st = stats_of(p.store);
    ck_assert_uint_gt(st.evictions, 100);
    ck_assert_uint_le(st.evictions_young, st.evictions);
    ck_assert_uint_le(st.live_bytes, p.size * 92 / 100);
    ck_assert_uint_ge(st.live_bytes, p.size * 70 / 100);
    ck_assert(!st.failing);
    ck_assert_uint_eq(st.errors, 0);
    place_close(&p);
    ck_assert_uint_le(place_bytes(&p), p.size);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    free(bytes);
    place_end(&p);
}
END_TEST

START_TEST(used_records_outlive_a_scan)
{
    enum { HOT = 200, SCAN = 30000 };
    struct place p = place_new(SMALL);
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .record = record, .record_len = sizeof(record) };
    for (uint64_t n = 1; n <= HOT + SCAN; n++) {
        put.id = id_of(n);
        int rc;
        while ((rc = store_put(p.store, &put, NULL, NULL)) == -EAGAIN) flush(p.store);
        ck_assert_int_eq(rc, 0);
        if (n % 500 != 0) continue;
        flush(p.store);
        for (uint64_t h = 1; h <= HOT; h++) {
            struct store_id id = id_of(h);
            store_touch(p.store, &id);
        }
    }
    int hot = 0, cold = 0;
    for (uint64_t n = 1; n <= HOT; n++) hot += text_of(p.store, n) != NULL ? 1 : 0;
    for (uint64_t n = HOT + 1; n <= 2 * HOT; n++) cold += text_of(p.store, n) != NULL ? 1 : 0;
    ck_assert_int_eq(hot, HOT);
    ck_assert_int_eq(cold, 0);
    place_end(&p);
}
END_TEST

/* The hottest are answered from memory and never ask the store. */
static bool is_hot(void *arg, const struct store_id *id)
{
    uint64_t hot = *(uint64_t *)arg;
    for (uint64_t n = 1; n <= hot; n++) {
        struct store_id other = id_of(n);
        if (memcmp(&other, id, sizeof(other)) == 0) return true;
    }
    return false;
}

START_TEST(what_memory_uses_outlives_a_scan)
{
    enum { SCAN = 30000 };
    uint64_t hot = 50, kept = 0;
    struct place p = place_new(SMALL);
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    store_set_in_use(p.store, is_hot, &hot);
    struct store_put put = { .record = record, .record_len = sizeof(record) };
    for (uint64_t n = 1; n <= hot + SCAN; n++) {
        put.id = id_of(n);
        int rc;
        while ((rc = store_put(p.store, &put, NULL, NULL)) == -EAGAIN) flush(p.store);
        ck_assert_int_eq(rc, 0);
    }
    flush(p.store);
    for (uint64_t n = 1; n <= hot; n++) kept += text_of(p.store, n) != NULL ? 1 : 0;
    ck_assert_uint_eq(kept, hot);
    ck_assert_ptr_null(text_of(p.store, hot + 1));
    place_end(&p);
}
END_TEST

START_TEST(pinned_records_stay)
{
    struct place p = place_new(4 * MIB);
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id_of(1), .record = "pinned", .record_len = 6, .pinned = true };
    ck_assert_int_eq(put_and_wait(p.store, &put), 0);
    put = (struct store_put){ .record = record, .record_len = sizeof(record) };
    for (uint64_t n = 2; n < 10000; n++) {
        put.id = id_of(n);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    flush(p.store);
    ck_assert_str_eq(text_of(p.store, 1), "pinned");
    ck_assert_ptr_null(text_of(p.store, 2));
    place_end(&p);
}
END_TEST

/* Pins have half of the store. What is beyond is one like the others, and a scan pushes it out; the pinned are all there. */
START_TEST(pins_have_a_share)
{
    struct place p = place_new(4 * MIB);
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .record = record, .record_len = sizeof(record), .pinned = true };
    for (uint64_t n = 0; n < 10000; n++) {
        put.id = id_of(n);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    flush(p.store);
    uint64_t pinned = stats_of(p.store).pinned;
    ck_assert_uint_gt(pinned, 500);
    ck_assert_uint_le(stats_of(p.store).pinned_bytes, 2 * MIB);
    ck_assert_uint_ge(stats_of(p.store).pins_refused, 10000 - pinned);
    put.pinned = false;
    for (uint64_t n = 10000; n < 20000; n++) {
        put.id = id_of(n);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    flush(p.store);
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    for (uint64_t n = 0; n < pinned; n++) ck_assert_ptr_nonnull(text_of(p.store, n));
    ck_assert_ptr_null(text_of(p.store, pinned));
    ck_assert_ptr_nonnull(text_of(p.store, 19999));
    flush(p.store);
    ck_assert_uint_eq(stats_of(p.store).pinned, pinned);
    for (uint64_t n = 0; n < pinned; n++) {
        struct store_id id = id_of(n);
        store_remove(p.store, &id, 0);
    }
    flush(p.store);
    ck_assert_uint_eq(stats_of(p.store).pinned, 0);
    ck_assert_uint_eq(stats_of(p.store).pinned_bytes, 0);
    place_end(&p);
}
END_TEST

/* Whatever comes beside as many pins as there may be is taken or refused, and what is pinned, and the store, stay well. */
START_TEST(pins_leave_room_for_what_comes)
{
    struct place p = place_new(SMALL);
    static char record[1000];
    uint64_t number;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .record = record, .record_len = sizeof(record), .pinned = true };
    for (uint64_t n = 0; n < 10000; n++) {
        put.id = id_of(n);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    flush(p.store);
    uint64_t pinned = stats_of(p.store).pinned;
    for (uint64_t n = 0; n < 40; n++) {
        size_t len = 100000 + n * 85000;
        int rc = put_content(p.store, 20000 + n, len, &number);
        ck_assert_msg(rc == 0 || rc == -ENOSPC, "%d", rc);
        if (rc == 0) ck_assert(content_is_right(p.store, 20000 + n, number, len));
        ck_assert_int_eq(put_text(p.store, 30000 + n, "small"), 0);
        ck_assert_str_eq(text_of(p.store, 30000 + n), "small");
    }
    for (uint64_t n = 0; n < pinned; n++) ck_assert_ptr_nonnull(text_of(p.store, n));
    ck_assert(!stats_of(p.store).failing);
    place_end(&p);
}
END_TEST

/* A record that is pinned now, or no longer, moves; its content, its tags and its index entry stay. */
START_TEST(a_pin_comes_and_goes_with_its_record)
{
    struct place p = place_new(4 * MIB);
    uint64_t number, tag = 77;
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_content(p.store, 1, 40000, &number), 0);
    struct store_put other = { .record = record, .record_len = sizeof(record) };
    for (int times = 0; times < 6; times++) {
        struct store_put put = { .id = id_of(1),
                                 .record = "freshened",
                                 .record_len = 9,
                                 .content_number = number,
                                 .keeps_content = true,
                                 .tags = &tag,
                                 .tag_count = 1,
                                 .pinned = times % 2 == 0 };
        ck_assert_int_eq(put_and_wait(p.store, &put), 0);
        ck_assert_str_eq(text_of(p.store, 1), "freshened");
        ck_assert(content_is_right(p.store, 1, number, 40000));
        ck_assert_uint_eq(store_tag_count(p.store, tag), 1);
        ck_assert_uint_eq(stats_of(p.store).pinned, put.pinned);
        ck_assert(put.pinned == (stats_of(p.store).pinned_bytes > 40000));
        if (!put.pinned) store_touch(p.store, &put.id);
        for (uint64_t n = 0; n < 400; n++) { /* the hands move on meanwhile */
            other.id = id_of(1000 + n + 400 * (uint64_t)times);
            ck_assert_int_eq(store_put(p.store, &other, NULL, NULL), 0);
        }
        flush(p.store);
        ck_assert_str_eq(text_of(p.store, 1), "freshened");
    }
    struct store_id id = id_of(1);
    store_remove(p.store, &id, number);
    flush(p.store);
    ck_assert_ptr_null(text_of(p.store, 1));
    ck_assert(!content_is_right(p.store, 1, number, 40000));
    ck_assert_uint_eq(store_tag_count(p.store, tag), 0);
    place_end(&p);
}
END_TEST

static bool begins_with_old(void *arg, struct view record)
{
    (void)arg;
    return record.len > 3 && memcmp(record.at, "old", 3) == 0;
}

START_TEST(a_pin_that_is_over_keeps_nothing)
{
    struct place p = place_new(4 * MIB);
    static char record[1000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    store_set_pin_over(p.store, begins_with_old, NULL);
    struct store_put put = { .record_len = 6, .pinned = true };
    for (uint64_t n = 0; n < 200; n++) {
        put.id = id_of(n);
        put.record = n % 2 == 0 ? "old 00" : "new 00";
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    put = (struct store_put){ .record = record, .record_len = sizeof(record) };
    for (uint64_t n = 1000; n < 10000; n++) {
        put.id = id_of(n);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    flush(p.store);
    for (uint64_t n = 0; n < 200; n++) ck_assert((text_of(p.store, n) == NULL) == (n % 2 == 0));
    ck_assert_uint_eq(stats_of(p.store).pinned, 100);
    place_end(&p);
}
END_TEST

/* ---- opening */

/* Slow clients read what has left the store otherwise: the store is not theirs alone. */
START_TEST(what_is_read_keeps_a_share_of_the_store_only)
{
    enum { MANY = 9, LEN = 700000 };
    struct place p = place_new(SMALL);
    uint64_t numbers[MANY];
    size_t there = 0;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    for (uint64_t n = 0; n < MANY; n++) {
        struct store_id id = id_of(n);
        ck_assert_int_eq(put_content(p.store, n, LEN, &numbers[n]), 0);
        ck_assert(store_pin(p.store, numbers[n]));
        store_remove(p.store, &id, 0);
        flush(p.store);
    }
    for (int i = 0; i < 100; i++) flush(p.store); /* the background goes on between them */
    for (uint64_t n = 0; n < MANY; n++) there += content_is_right(p.store, n, numbers[n], LEN);
    ck_assert_uint_ge(there, 1);
    ck_assert_uint_le(there * LEN, SMALL / 2);
    ck_assert(content_is_right(p.store, MANY - 1, numbers[MANY - 1], LEN)); /* the others had the longest time */
    for (uint64_t n = 0; n < MANY; n++) store_unpin(p.store, numbers[n]);
    for (int i = 0; i < 200 && stats_of(p.store).live_bytes > 40 * 4096; i++) flush(p.store);
    ck_assert_uint_le(stats_of(p.store).live_bytes, 40 * 4096);
    place_end(&p);
}
END_TEST

START_TEST(what_is_under_way_takes_half_of_the_store)
{
    struct place p = place_new(SMALL);
    static char bytes[4 * STORE_CHUNK_BYTES];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    uint64_t first = store_next_number(p.store), second = store_next_number(p.store);
    ck_assert(store_pin(p.store, first) && store_pin(p.store, second));
    ck_assert(store_reserve(p.store, first, 3 * MIB));
    ck_assert(!store_reserve(p.store, second, MIB));
    ck_assert_int_eq(append_and_wait(p.store, first, 0, bytes, sizeof(bytes)), 0);
    ck_assert(store_reserve(p.store, second, MIB / 4));
    ck_assert_int_eq(
        store_append(p.store, second, MIB / STORE_CHUNK_BYTES * STORE_CHUNK_BYTES, bytes, sizeof(bytes), NULL, NULL),
        -ENOSPC);
    struct store_put put = {
        .id = id_of(1), .record = "h", .record_len = 1, .content_number = first, .content_len = sizeof(bytes)
    };
    ck_assert_int_eq(put_and_wait(p.store, &put), 0); /* it has arrived */
    ck_assert(store_reserve(p.store, second, 3 * MIB));
    store_unpin(p.store, first);
    store_unpin(p.store, second);
    place_end(&p);
}
END_TEST

static void drop_pages(struct place *p)
{
    int fd = open(data_path(p), O_RDONLY);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

static bool drops_pages(struct place *p)
{
    unsigned char there = 1;
    int fd = open(data_path(p), O_RDONLY);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4 * MIB);
    drop_pages(p);
    ck_assert_int_eq(mincore(map, 4096, &there), 0);
    munmap(map, 4096);
    close(fd);
    return !(there & 1);
}

/* Whatever the size of record and content, once read it is warm; whoever is not there is found missing without a wait. */
START_TEST(what_lies_in_memory_is_known)
{
    enum { MANY = 3000 };
    struct place p = place_new(64 * MIB);
    static char record[4000];
    uint64_t number;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    for (uint64_t n = 1; n <= MANY; n++) {
        struct store_put put = { .id = id_of(n), .record = record, .record_len = n * 97 % sizeof(record) };
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    }
    for (uint64_t n = MANY + 1; n <= MANY + 100; n++)
        ck_assert_int_eq(put_content(p.store, n, (n - MANY) * 1201, &number), 0);
    flush(p.store);
    for (uint64_t n = 1; n <= MANY + 100; n++) {
        struct store_id id = id_of(n);
        bool small = n <= MANY || (n - MANY) * 1201 <= 4 * STORE_CHUNK_BYTES;
        ck_assert_msg((store_warmth(p.store, &id, SIZE_MAX) == STORE_WARM) == small, "%d", (int)n);
        ck_assert_int_eq(store_warmth(p.store, &id, 1000), STORE_WARM); /* content beyond that is not read */
    }
    struct store_id nobody = id_of(10 * MANY);
    ck_assert_int_eq(store_warmth(p.store, &nobody, SIZE_MAX), STORE_MISSING);
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    drop_pages(&p);
    size_t cold = 0;
    for (uint64_t n = 1; n <= MANY; n++) {
        struct store_id id = id_of(n);
        struct store_found found;
        enum store_warmth warmth = store_warmth(p.store, &id, SIZE_MAX);
        ck_assert_int_ne(warmth, STORE_MISSING);
        cold += warmth == STORE_COLD;
        ck_assert_int_eq(store_get(p.store, &id, 0, &found), 0);
        free(found.memory);
        ck_assert_int_eq(store_warmth(p.store, &id, SIZE_MAX), STORE_WARM);
    }
    if (!drops_pages(&p)) cold = 1; /* a file system in memory has nowhere to drop them to */
    ck_assert_uint_gt(cold, 0);
    place_end(&p);
}
END_TEST

/* ---- every reader's place is taken */

enum { READERS_MOST = 128 };

struct readers_inside {
    struct store *store;
    sem_t inside, go_on;
};

static bool stay_inside(void *arg, const struct store_id *id, const struct store_found *found, struct view record)
{
    struct readers_inside *c = arg;
    (void)id, (void)found, (void)record;
    sem_post(&c->inside);
    while (sem_wait(&c->go_on) != 0) continue;
    return false;
}

static void *walk_slowly(void *arg)
{
    struct readers_inside *c = arg;
    uint64_t cursor = 0;
    ck_assert_int_eq(store_walk(c->store, NULL, &cursor, 1, stay_inside, c), 1);
    return NULL;
}

/* As while the environment is opened anew: who may not wait is told that it would have to. */
START_TEST(whether_it_waits_is_told_without_waiting)
{
    struct place p = place_new(SMALL);
    pthread_t readers[READERS_MOST];
    struct store_id id = id_of(1);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct store_put put = { .id = id, .record = "plum", .record_len = 4 };
    ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
    flush(p.store);
    struct readers_inside c = { .store = p.store };
    sem_init(&c.inside, 0, 0);
    sem_init(&c.go_on, 0, 0);
    for (int i = 0; i < READERS_MOST; i++) ck_assert_int_eq(pthread_create(&readers[i], NULL, walk_slowly, &c), 0);
    for (int i = 0; i < READERS_MOST; i++)
        while (sem_wait(&c.inside) != 0) continue;
    ck_assert_int_eq(store_warmth(p.store, &id, SIZE_MAX), STORE_COLD);
    for (int i = 0; i < READERS_MOST; i++) sem_post(&c.go_on);
    for (int i = 0; i < READERS_MOST; i++) pthread_join(readers[i], NULL);
    ck_assert_int_eq(store_warmth(p.store, &id, SIZE_MAX), STORE_WARM);
    sem_destroy(&c.inside);
    sem_destroy(&c.go_on);
    place_end(&p);
}
END_TEST

/* A worker that writes to a page of a file waits for its disk when that page was just written back. */
START_TEST(readers_touch_no_page_of_a_file)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert(!has_file_ending(&p, "lock.mdb"));
    FILE *maps = fopen("/proc/self/maps", "r");
    for (char line[512]; fgets(line, sizeof(line), maps) != NULL;)
        ck_assert_msg(strstr(line, p.dir) == NULL || strstr(line, " r--s ") != NULL, "%s", line);
    fclose(maps);
    place_end(&p);
}
END_TEST

START_TEST(only_one_process_may_open_it)
{
    struct place p = place_new(SMALL), q = p;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(place_open(&q), STORE_IN_USE);
    ck_assert_ptr_nonnull(strstr(q.why, "in use"));
    place_end(&p);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
    struct place p = place_new(SMALL), q = p;
    q.size = MIB;
    ck_assert_int_eq(place_open(&q), STORE_TOO_SMALL);
    snprintf(q.dir, sizeof(q.dir), "/proc/weir-store");
    q.size = SMALL;
    ck_assert_int_eq(place_open(&q), STORE_NOT_WRITABLE);
    ck_assert_ptr_nonnull(strstr(q.why, "/proc/weir-store"));
    place_end(&p);
}
END_TEST

static void write_state(const struct place *p, const char *line)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/weir-store", p->dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(line, f);
    fclose(f);
}

static const struct {
    const char *state;
    const char *because;
} cold_states[] = {
    { "weir-store 1 00000000-0000-0000-0000-000000000000 clean\n", "format 1" },
    { "weir-store 2 00000000-0000-0000-0000-000000000000 open\n", "went down" },
    { "weir-store 2\n", "went down" },
    { "scribble\n", "format 0" },
    { "", "not known who" },
};

START_TEST(another_format_or_a_power_cut_starts_cold)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    place_close(&p);
    write_state(&p, cold_states[_i].state);
    ck_assert_int_eq(place_open(&p), STORE_STARTED_COLD);
    ck_assert_msg(strstr(p.why, cold_states[_i].because) != NULL, "%s", p.why);
    ck_assert_ptr_null(text_of(p.store, 1));
    ck_assert_int_eq(put_text(p.store, 1, "quince"), 0);
    ck_assert_uint_le(place_bytes(&p), p.size);
    place_close(&p);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(text_of(p.store, 1), "quince");
    place_end(&p);
}
END_TEST

START_TEST(a_clean_store_outlives_a_boot)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    place_close(&p);
    write_state(&p, "weir-store 2 00000000-0000-0000-0000-000000000000 clean\n");
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(text_of(p.store, 1), "plum");
    place_end(&p);
}
END_TEST

START_TEST(an_older_format_is_set_aside_where_there_is_room)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    place_close(&p);
    write_state(&p, "weir-store 9 x clean\n");
    ck_assert_int_eq(place_open(&p), STORE_STARTED_COLD);
    ck_assert(has_file_ending(&p, "data.mdb.v9-aside")); /* it was nearly empty */
    ck_assert_uint_le(place_bytes(&p), p.size);
    place_end(&p);
}
END_TEST

START_TEST(the_size_may_change)
{
    struct place p = place_new(SMALL);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    place_close(&p);
    p.size = 2 * SMALL;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(text_of(p.store, 1), "plum");
    place_close(&p);
    p.size = 4 * MIB;
    ck_assert_int_eq(place_open(&p), STORE_OPENED); /* little of it is used */
    ck_assert_str_eq(text_of(p.store, 1), "plum");
    ck_assert_uint_le(place_bytes(&p), p.size);
    place_end(&p);
}
END_TEST

/* ---- kill -9 and damage */

/* Write without end; tell through the pipe what has been committed. */
static void write_until_killed(struct place *p, int pipe_fd)
{
    char *content = malloc(MIB);
    if (place_open(p) != STORE_OPENED) _exit(3);
    for (uint64_t n = 1;; n++) {
        uint64_t number = store_next_number(p->store), line[3] = { n, number, 100 + n * 7919 % 300000 };
        struct store_purge_line purge = { 'u', false, n, 0, VIEW("http://shelf/") };
        fill(content, line[2], n);
        struct store_put put = { .id = id_of(n),
                                 .record = "h",
                                 .record_len = 1,
                                 .content = content,
                                 .content_len = line[2],
                                 .content_number = number };
        uint64_t open_number = store_next_number(p->store);
        if (append_and_wait(p->store, open_number, 0, content, 2 * STORE_CHUNK_BYTES) != 0) _exit(4);
        if (put_and_wait(p->store, &put) != 0 || log_and_wait(p->store, &purge, 1, n) != 0) _exit(5);
        if (write(pipe_fd, line, sizeof(line)) != sizeof(line)) _exit(6);
    }
}

START_TEST(kill_minus_nine_loses_nothing_acknowledged)
{
    struct place p = place_new(64 * MIB);
    int fds[2];
    uint64_t line[3], last[3] = { 0 };
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) write_until_killed(&p, fds[1]);
    close(fds[1]);
    for (int i = 0; i < 20 + 7 * _i; i++) ck_assert_int_eq(read(fds[0], line, sizeof(line)), sizeof(line));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    do memcpy(last, line, sizeof(line));
    while (read(fds[0], line, sizeof(line)) == sizeof(line));
    close(fds[0]);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_str_eq(p.why, "");
    for (uint64_t n = 1; n <= last[0]; n++) {
        struct store_found found;
        struct store_id id = id_of(n);
        ck_assert_int_eq(store_get(p.store, &id, 0, &found), 0);
        free(found.memory);
        ck_assert(content_is_right(p.store, n, found.content_number, found.content_len));
    }
    struct lines got = { 0 };
    ck_assert_uint_ge(store_load_purges(p.store, note_line, &got), last[0]);
    /* What was under way is reclaimed in the background: then only records hold content. */
    ck_assert_int_eq(reclaim_and_wait(p.store, NULL, ~0ull), 0);
    for (int i = 0; i < 200 && stats_of(p.store).live_bytes > 40 * 4096; i++) flush(p.store);
    ck_assert_uint_le(stats_of(p.store).live_bytes, 40 * 4096);
    ck_assert_uint_gt(store_next_number(p.store), last[1]);
    place_end(&p);
}
END_TEST

static void fill_store(struct place *p, uint64_t records)
{
    uint64_t number;
    static uint64_t tags[150];
    static char record[1500];
    ck_assert_int_eq(place_open(p), STORE_OPENED);
    for (uint64_t i = 0; i < 150; i++) tags[i] = i;
    for (uint64_t n = 1; n <= records; n++) {
        struct store_put put = { .id = id_of(n),
                                 .record = record,
                                 .record_len = 100 + n * 37 % 1400,
                                 .tags = tags,
                                 .tag_count = n > 50 ? 3 : 1 };
        ck_assert_int_eq(store_put(p->store, &put, NULL, NULL), 0);
    }
    for (uint64_t n = 1; n <= 20; n++) ck_assert_int_eq(put_content(p->store, 100000 + n, n * 4000, &number), 0);
    struct store_purge_line line = { 't', false, 5, 0, VIEW("jam") };
    ck_assert_int_eq(log_and_wait(p->store, &line, 1, 5), 0);
    place_close(p);
}

static void scribble(const struct place *p, uint64_t *random, int kind)
{
    int fd = open(data_path(p), O_RDWR);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    uint64_t used = 2 * MIB; /* where the pages in use are */
    uint64_t at = next_random(random) % used;
    char bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = (char)next_random(random);
    switch (kind) {
    case 0: ck_assert_int_eq(ftruncate(fd, (off_t)at), 0); break;
    case 1: ck_assert_int_eq(pwrite(fd, bytes, 1, (off_t)at), 1); break;
    case 2: ck_assert_int_eq(pwrite(fd, bytes, 64, (off_t)at), 64); break;
    case 3: ck_assert_int_eq(pwrite(fd, bytes, 4096, (off_t)(at & ~4095ull)), 4096); break;
    case 4: ck_assert_int_eq(pwrite(fd, bytes, 16, (off_t)(at & ~4095ull)), 16); break;           /* a page header */
    case 5: ck_assert_int_eq(pwrite(fd, bytes, 8, (off_t)(next_random(random) % 300)), 8); break; /* meta pages */
    default: memset(bytes, 0, sizeof(bytes)); ck_assert_int_eq(pwrite(fd, bytes, 4096, (off_t)(at & ~4095ull)), 4096);
    }
    close(fd);
}

/* In a child, so that a crash is seen: open, read everything, write a good deal, remove everything. */
static void use_damaged(struct place *p)
{
    alarm(60);
    uint64_t random = 42;
    static atomic_int failures;
    enum store_open_result r = place_open(p);
    if (r != STORE_OPENED && r != STORE_STARTED_COLD) _exit(10);
    if (r == STORE_STARTED_COLD && p->why[0] == '\0') _exit(11);
    static char buffer[100 * 1000];
    for (uint64_t n = 1; n <= 100020; n += n == 2000 ? 98001 : 1) {
        struct store_found found;
        struct store_id id = id_of(n);
        if (store_get(p->store, &id, 0, &found) != 0) continue;
        if (found.content_number != 0) (void)!store_read(p->store, found.content_number, 0, buffer, sizeof(buffer));
        free(found.memory);
    }
    struct lines lines = { 0 };
    (void)store_load_purges(p->store, note_line, &lines);
    fill(buffer, sizeof(buffer), 1);
    for (int i = 0; i < 1000; i++) (void)!put_random(p->store, &random, buffer, sizeof(buffer) / 2, &failures);
    (void)!reclaim_and_wait(p->store, NULL, ~0ull);
    place_close(p);
    r = place_open(p);
    if (r != STORE_OPENED && r != STORE_STARTED_COLD) _exit(12);
    if (put_text(p->store, 1, "plum") != 0 || text_of(p->store, 1) == NULL) _exit(13);
    place_close(p);
    _exit(0);
}

static void copy_file(const char *from, const char *to)
{
    static char buffer[MIB];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; (n = read(in, buffer, sizeof(buffer))) > 0;) ck_assert_int_eq(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
}

START_TEST(damage_is_met_with_a_cold_start_not_a_crash)
{
    struct place p = place_new(4 * MIB);
    char keep[128];
    fill_store(&p, 1000);
    snprintf(keep, sizeof(keep), "%s/keep", p.dir);
    copy_file(data_path(&p), keep);
    uint64_t random = 0x2545F4914F6CDD1Dull + (uint64_t)_i * 977;
    for (int round = 0; round < 12; round++) {
        copy_file(keep, data_path(&p));
        scribble(&p, &random, _i);
        pid_t child = fork();
        int status;
        if (child == 0) use_damaged(&p);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "round %d: status %x", round, (unsigned)status);
    }
    place_end(&p);
}
END_TEST

static const off_t shortened[] = { 0, 8192, 300000, 600000 };

/* The file is cut off under a running store: LMDB's memory is gone, as when a disk cannot be read. */
static void lose_file_while_open(struct place *p, off_t left)
{
    alarm(60);
    uint64_t random = 0x9E3779B97F4A7C15ull;
    static char buffer[50 * 1000];
    static atomic_int failures;
    struct store_found found;
    if (place_open(p) != STORE_OPENED || truncate(data_path(p), left) != 0) _exit(10);
    for (uint64_t n = 1; n < 1000; n++) {
        struct store_id id = id_of(n);
        if (store_get(p->store, &id, 0, &found) == 0) free(found.memory);
        (void)!put_random(p->store, &random, buffer, sizeof(buffer), &failures);
    }
    for (int i = 0; i < 5; i++) flush(p->store); /* waits until the store has recovered */
    struct store_put put = { .id = id_of(1), .record = "plum", .record_len = 4, .fetch_seq = 4 };
    if (put_and_wait(p->store, &put) != -ESTALE)
        _exit(11); /* the log of purges up to 5 is lost: too old to be let in */
    put.fetch_seq = 5;
    if (put_and_wait(p->store, &put) != 0 || text_of(p->store, 1) == NULL) _exit(12);
    place_close(p);
    struct lines got = { 0 };
    if (place_open(p) != STORE_OPENED || text_of(p->store, 1) == NULL) _exit(13);
    if (store_load_purges(p->store, note_line, &got) != 5) _exit(14);
    _exit(0);
}

START_TEST(a_file_lost_while_running_empties_the_store_only)
{
    struct place p = place_new(4 * MIB);
    fill_store(&p, 1000);
    pid_t child = fork();
    int status;
    if (child == 0) lose_file_while_open(&p, shortened[_i]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    place_end(&p);
}
END_TEST

/* Change bytes in the data file where `what` lies; a checksum has to find it. */
static bool corrupt(const struct place *p, const char *what, size_t len)
{
    int fd = open(data_path(p), O_RDWR);
    static char all[SMALL];
    ssize_t n = pread(fd, all, sizeof(all), 0);
    bool found = false;
    for (char *at = all; n > 0 && (at = memmem(at, (size_t)(all + n - at), what, len)) != NULL; at++) {
        found = true;
        ck_assert_int_eq(pwrite(fd, "?", 1, at - all + (off_t)len / 2), 1);
    }
    close(fd);
    return found;
}

START_TEST(a_wrong_checksum_is_an_error_and_counted)
{
    struct place p = place_new(SMALL);
    uint64_t number;
    char expected[2000], got[60000];
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_content(p.store, 3, 50000, &number), 0);
    ck_assert_int_eq(put_text(p.store, 4, "a record about plums"), 0);
    place_close(&p);
    fill(expected, sizeof(expected), 3);
    ck_assert(corrupt(&p, expected, sizeof(expected)));
    ck_assert(corrupt(&p, "about plums", 11));
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(store_read(p.store, number, 0, got, sizeof(got)), -EIO);
    ck_assert_int_eq(store_read(p.store, number, 2 * STORE_CHUNK_BYTES, got, 1000), 1000); /* another chunk */
    ck_assert_uint_eq(stats_of(p.store).bad_checksums, 1);
    struct store_found found;
    struct store_id id = id_of(4);
    ck_assert_int_eq(store_get(p.store, &id, 0, &found), -EIO);
    ck_assert_uint_eq(stats_of(p.store).bad_checksums, 2);
    flush(p.store);
    ck_assert_int_eq(store_get(p.store, &id, 0, &found), -ENOENT); /* it was removed */
    ck_assert_int_eq(put_text(p.store, 4, "again"), 0);
    place_end(&p);
}
END_TEST

START_TEST(a_damaged_purge_line_purges_everything)
{
    struct place p = place_new(SMALL);
    struct store_purge_line line = { 't', false, 5, 0, VIEW("a tag with a long name") };
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(log_and_wait(p.store, &line, 1, 5), 0);
    place_close(&p);
    ck_assert(corrupt(&p, "with a long name", 16));
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    struct lines got = { 0 };
    ck_assert_uint_eq(store_load_purges(p.store, note_line, &got), 6);
    ck_assert_uint_eq(got.n, 1);
    ck_assert_uint_eq(got.seqs, 6);
    place_end(&p);
}
END_TEST

/* ---- a failing disk */

START_TEST(a_failing_disk_rests_and_recovers)
{
    struct place p = place_new(SMALL);
    struct rlimit small = { 64 << 10, RLIM_INFINITY }, old;
    uint64_t number;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    setrlimit(RLIMIT_FSIZE, &small); /* writes behind 64 KiB of any file fail from now on */
    int rc = 0;
    for (uint64_t n = 2; rc == 0 && n < 100; n++) rc = put_content(p.store, n, 30000, &number);
    ck_assert_int_lt(rc, 0);
    ck_assert_ptr_nonnull(strstr(p.said, "cannot be written"));
    ck_assert(stats_of(p.store).failing);
    ck_assert_int_eq(put_text(p.store, 3, "refused"), -EROFS);
    struct store_purge_line line = { 't', false, 5, 0, VIEW("jam") };
    ck_assert_int_lt(log_and_wait(p.store, &line, 1, 5), 0);
    ck_assert_str_eq(text_of(p.store, 1), "plum"); /* reads go on */
    struct store_id id = id_of(1);
    store_remove(p.store, &id, 0); /* is not forgotten */
    setrlimit(RLIMIT_FSIZE, &old);
    struct wait w;
    sem_init(&w.sem, 0, 0);
    static const uint64_t nobody[2] = { 1, 1 };
    ck_assert_int_eq(wait_for(&w, store_remove_key(p.store, nobody, 0, wake, &w)), 0); /* waits for the recovery */
    ck_assert(!stats_of(p.store).failing);
    ck_assert_ptr_nonnull(strstr(p.said, "can be written again"));
    ck_assert_ptr_null(text_of(p.store, 1));
    ck_assert_int_eq(put_text(p.store, 3, "taken"), 0);
    ck_assert_int_eq(log_and_wait(p.store, &line, 1, 5), 0);
    place_end(&p);
}
END_TEST

/* Writes behind 64 KiB of any file fail from now on; `old` ends that. */
static void fail_writes(struct rlimit *old)
{
    struct rlimit small = { 64 << 10, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, old);
    setrlimit(RLIMIT_FSIZE, &small);
}

static void let_it_fail(struct place *p)
{
    uint64_t number;
    int rc = 0;
    for (uint64_t n = 1000; rc == 0 && n < 1100; n++) rc = put_content(p->store, n, 30000, &number);
    ck_assert_int_lt(rc, 0);
    ck_assert(stats_of(p->store).failing);
}

/* Whoever waits for the queue, to count what a purge matches say, must not wait for a disk that may never be mended. */
START_TEST(a_flush_does_not_wait_for_a_failing_disk)
{
    struct place p = place_new(SMALL);
    struct rlimit old;
    uint64_t number;
    struct wait w;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    sem_init(&w.sem, 0, 0);
    ck_assert_int_eq(wait_for(&w, store_flush(p.store, wake, &w)), 0);
    fail_writes(&old);
    int rc = 0;
    for (uint64_t n = 1; rc == 0 && n < 100; n++) {
        struct wait first;
        struct store_put put = { .id = id_of(n), .record = "h", .record_len = 1 };
        static char content[30000];
        number = store_next_number(p.store);
        put.content = content;
        put.content_len = sizeof(content);
        put.content_number = number;
        sem_init(&first.sem, 0, 0);
        ck_assert_int_eq(store_put(p.store, &put, wake, &first), 0);
        rc = wait_for(&w, store_flush(p.store, wake, &w)); /* behind the put that fails */
        (void)wait_for(&first, 0);
    }
    ck_assert_int_lt(rc, 0);
    ck_assert_int_eq(store_flush(p.store, wake, &w), -EROFS);
    setrlimit(RLIMIT_FSIZE, &old);
    place_end(&p);
}
END_TEST

static const struct {
    uint64_t first, n; /* removes ids from first on, in turn */
    bool emptied;
} removals[] = {
    { 5000, 1000000, false }, /* nothing there to remove: nothing to remember */
    { 1, 1, true },           /* too much to remember: nothing may come back */
};

START_TEST(removals_while_the_disk_fails_are_bounded)
{
    enum { MANY = 500000 };
    struct place p = place_new(SMALL);
    struct rlimit old;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    ck_assert_int_eq(put_text(p.store, 1, "plum"), 0);
    ck_assert_int_eq(put_text(p.store, 2, "pear"), 0);
    fail_writes(&old);
    let_it_fail(&p);
    for (uint64_t i = 0; i < MANY; i++) {
        struct store_id id = id_of(removals[_i].first + i % removals[_i].n);
        store_remove(p.store, &id, 0);
    }
    usleep(100000); /* a try or two, without success: what was removed is to be remembered meanwhile */
    setrlimit(RLIMIT_FSIZE, &old);
    for (int i = 0; i < 1000 && stats_of(p.store).failing; i++) usleep(10000);
    flush(p.store);
    ck_assert_ptr_null(removals[_i].emptied ? text_of(p.store, 1) : NULL);
    ck_assert(removals[_i].emptied == (text_of(p.store, 2) == NULL));
    ck_assert(removals[_i].emptied == (strstr(p.said, "it starts empty") != NULL));
    ck_assert_int_eq(put_text(p.store, 3, "taken"), 0);
    place_end(&p);
}
END_TEST

/* ---- threads */

enum { READERS = 4, KEYS = 200, PUTS = 4000 };

struct crowd {
    struct store *store;
    atomic_bool over;
    atomic_ulong hits, wrong;
};

static void *read_on(void *arg)
{
    struct crowd *c = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    while (!atomic_load(&c->over)) {
        uint64_t n = next_random(&random) % KEYS;
        struct store_found found;
        struct store_id id = id_of(n);
        int rc = store_get(c->store, &id, 0, &found);
        if (rc == 0) {
            if (found.content_number != 0 && found.content_len > 0) {
                char got[20000], expected[20000];
                ssize_t r = store_read(c->store, found.content_number, 0, got, sizeof(got));
                fill(expected, sizeof(expected), n);
                if (r >= 0 && ((size_t)r != found.content_len || memcmp(got, expected, (size_t)r) != 0))
                    atomic_fetch_add(&c->wrong, 1);
            }
            free(found.memory);
            atomic_fetch_add(&c->hits, 1);
            store_touch(c->store, &id);
        } else if (rc != -ENOENT) {
            atomic_fetch_add(&c->wrong, 1);
        }
        (void)store_tag_count(c->store, n % 5);
    }
    return NULL;
}

struct counted_job {
    struct store_job job;
    atomic_int *ran;
};

static void run_job(struct store_job *job)
{
    struct counted_job *c = (struct counted_job *)job;
    atomic_fetch_add(c->ran, 1);
}

START_TEST(many_read_while_one_writes)
{
    struct place p = place_new(4 * MIB);
    struct crowd c = { 0 };
    pthread_t threads[READERS];
    static char contents[KEYS][20000];
    static struct counted_job jobs[100];
    atomic_int ran = 0;
    ck_assert_int_eq(place_open(&p), STORE_OPENED);
    c.store = p.store;
    for (uint64_t n = 0; n < KEYS; n++) fill(contents[n], sizeof(contents[n]), n);
    for (int i = 0; i < READERS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &c), 0);
    for (uint64_t i = 0; i < PUTS; i++) {
        uint64_t n = i * 7 % KEYS;
        static const uint64_t tags[] = { 0, 1, 2, 3, 4 };
        struct store_put put = {
            .id = id_of(n), .record = contents[n], .record_len = 500, .tags = &tags[n % 5], .tag_count = 1
        };
        put.content_number = store_next_number(p.store);
        put.content = contents[n];
        put.content_len = i * 977 % sizeof(contents[n]);
        ck_assert_int_eq(store_put(p.store, &put, NULL, NULL), 0);
        if (i % 100 == 0) flush(p.store);
        if (i % 50 == 0) store_remove(p.store, &put.id, 0);
    }
    for (int i = 0; i < 100; i++) {
        jobs[i] = (struct counted_job){ .job.run = run_job, .ran = &ran };
        ck_assert(store_submit(p.store, &jobs[i].job));
    }
    atomic_store(&c.over, true);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&c.wrong), 0);
    ck_assert_uint_gt(atomic_load(&c.hits), 0);
    ck_assert_uint_eq(stats_of(p.store).bad_checksums, 0);
    place_end(&p);
    ck_assert_int_eq(atomic_load(&ran), 100); /* closing finishes the jobs */
}
END_TEST

#ifdef __SANITIZE_THREAD__
enum { CATCHES_FAULTS = 0 }; /* ThreadSanitizer does not let a handler jump out of its own functions */
#else
enum { CATCHES_FAULTS = 1 };
#endif

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static Suite *store_suite(void)
{
    Suite *suite = suite_create("store");
    TCase *c = tcase_create("store");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, a_record_comes_back_is_replaced_and_removed);
    tcase_add_test(c, records_of_any_length_replace_one_another);
    tcase_add_test(c, what_was_put_is_told_with_the_record);
    tcase_add_test(c, records_survive_a_restart);
    tcase_add_loop_test(c, content_comes_back_whole_and_in_part, 0, COUNT(content_lengths));
    tcase_add_test(c, appended_content_gets_its_record_later);
    tcase_add_test(c, a_freshened_head_keeps_the_content);
    tcase_add_test(c, tags_are_counted_walked_and_reclaimed);
    tcase_add_test(c, variants_of_a_key_are_counted_and_removed_together);
    tcase_add_test(c, the_purge_log_survives_a_restart);
    tcase_add_test(c, what_is_too_large_is_refused);
    tcase_add_test(c, a_full_queue_refuses_puts);
    tcase_add_loop_test(c, the_size_is_never_exceeded, 0, COUNT(churn_sizes));
    tcase_add_test(c, used_records_outlive_a_scan);
    tcase_add_test(c, what_memory_uses_outlives_a_scan);
    tcase_add_test(c, pinned_records_stay);
    tcase_add_test(c, what_is_read_keeps_a_share_of_the_store_only);
    tcase_add_test(c, what_is_under_way_takes_half_of_the_store);
    tcase_add_test(c, pins_have_a_share);
    tcase_add_test(c, pins_leave_room_for_what_comes);
    tcase_add_test(c, a_pin_comes_and_goes_with_its_record);
    tcase_add_test(c, a_pin_that_is_over_keeps_nothing);
    tcase_add_test(c, what_lies_in_memory_is_known);
    tcase_add_test(c, whether_it_waits_is_told_without_waiting);
    tcase_add_test(c, readers_touch_no_page_of_a_file);
    tcase_add_test(c, only_one_process_may_open_it);
    tcase_add_test(c, what_cannot_be_opened_is_said);
    tcase_add_loop_test(c, another_format_or_a_power_cut_starts_cold, 0, COUNT(cold_states));
    tcase_add_test(c, a_clean_store_outlives_a_boot);
    tcase_add_test(c, an_older_format_is_set_aside_where_there_is_room);
    tcase_add_test(c, the_size_may_change);
    tcase_add_loop_test(c, kill_minus_nine_loses_nothing_acknowledged, 0, 4);
    tcase_add_loop_test(c, damage_is_met_with_a_cold_start_not_a_crash, 0, 7);
    if (CATCHES_FAULTS) tcase_add_loop_test(c, a_file_lost_while_running_empties_the_store_only, 0, COUNT(shortened));
    tcase_add_test(c, a_wrong_checksum_is_an_error_and_counted);
    tcase_add_test(c, a_damaged_purge_line_purges_everything);
    tcase_add_test(c, a_failing_disk_rests_and_recovers);
    tcase_add_test(c, a_flush_does_not_wait_for_a_failing_disk);
    tcase_add_loop_test(c, removals_while_the_disk_fails_are_bounded, 0, COUNT(removals));
    tcase_add_test(c, many_read_while_one_writes);
    suite_add_tcase(suite, c);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(store_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
