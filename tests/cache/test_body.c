/* Content that is read while it fills: every reader gets every byte once and in order, or hears that it is broken. */
#include "cache/body.h"
#include "tests/cache/fake_store.h"
#include "tests/headers/table.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

enum {
    WHOLE_LIMIT = 32 * 1024,
    SEGMENT = BODY_SEGMENT_BYTES,
    WINDOW = BODY_WINDOW_SEGMENTS * BODY_SEGMENT_BYTES,
    PIECE_MAX = 20000,
};

/* ---- content whose every byte is known */

static unsigned char byte_at(int64_t offset)
{
    return (unsigned char)((uint64_t)offset * 0x9e3779b97f4a7c15u >> 56);
}

static void fill(char *to, int64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++) to[i] = (char)byte_at(offset + (int64_t)i);
}

static bool is_content(const char *at, int64_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] != byte_at(offset + (int64_t)i)) return false;
    return true;
}

/* ---- one feeder */

struct feed {
    struct body *body;
    struct store *store;
    int64_t fed;
    bool paused;
    int resumed;
};

static void resumed(void *arg)
{
    struct feed *f = arg;
    f->resumed++;
    f->paused = false;
}

static struct feed *feed_begin(int64_t length, bool stored)
{
    struct feed *f = calloc(1, sizeof *f);
    if (stored) f->store = fake_store_new();
    struct body_settings settings = {
        .length = length, .whole_limit_bytes = WHOLE_LIMIT, .store = f->store, .resume = resumed, .resume_arg = f
    };
    f->body = body_new(&settings);
    ck_assert_ptr_nonnull(f->body);
    return f;
}

static void feed_end(struct feed *f)
{
    body_unref(&f->body);
    if (f->store != NULL) fake_store_free(f->store);
    free(f);
}

static void feed(struct feed *f, size_t len)
{
    static char piece[PIECE_MAX];
    while (len > 0) {
        size_t n = len < PIECE_MAX ? len : PIECE_MAX;
        fill(piece, f->fed, n);
        enum body_appended a = body_append(f->body, piece, n);
        ck_assert_int_ne(a, BODY_NO_MEMORY);
        if (a == BODY_PAUSE) f->paused = true;
        f->fed += (int64_t)n;
        len -= n;
    }
}

/* Until it is full; at most `len`. */
static void feed_until_full(struct feed *f, int64_t len)
{
    while (f->fed < len && !f->paused) {
        int64_t left = len - f->fed;
        feed(f, left < PIECE_MAX ? (size_t)left : PIECE_MAX);
    }
}

/* ---- one reader */

struct reading {
    struct body_reader reader;
    int64_t got, from;
    int wakes;
};

static void woken(struct body_reader *r)
{
    ((struct reading *)(void *)r)->wakes++;
}

static bool read_begin(struct reading *r, struct feed *f, int64_t first, int64_t last)
{
    *r = (struct reading){ .from = first };
    return body_reader_begin(&r->reader, f->body, first, last, woken);
}

/* One read, checked. */
static ssize_t read_some(struct reading *r, size_t cap)
{
    static char to[PIECE_MAX];
    ssize_t n = body_read(&r->reader, to, cap < PIECE_MAX ? cap : PIECE_MAX);
    if (n <= 0) return n;
    ck_assert_uint_le((size_t)n, cap);
    ck_assert(is_content(to, r->from + r->got, (size_t)n));
    r->got += n;
    return n;
}

/* All there is for now. @return what the last read said */
static ssize_t read_all(struct reading *r, size_t cap)
{
    ssize_t n;
    while ((n = read_some(r, cap)) > 0) continue;
    return n;
}

/* ---- every size, every way */

static const int64_t lengths[] = {
    0,
    1,
    100,
    BODY_FIRST_BYTES,
    BODY_FIRST_BYTES + 1,
    WHOLE_LIMIT - 1,
    WHOLE_LIMIT,
    WHOLE_LIMIT + 1,
    SEGMENT - 1,
    SEGMENT,
    SEGMENT + 1,
    2 * SEGMENT,
    WINDOW,
    WINDOW + 1,
    3 * WINDOW + 777,
};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static const struct {
    bool stored, known;
    size_t cap;
} ways[] = {
    { true, true, PIECE_MAX },
    { true, false, 1500 },
    { false, true, PIECE_MAX },
    { false, false, 4096 },
};

START_TEST(a_reader_gets_every_byte)
{
    int64_t length = lengths[_i % LENGTHS];
    bool stored = ways[_i / LENGTHS].stored;
    size_t cap = ways[_i / LENGTHS].cap;
    struct feed *f = feed_begin(ways[_i / LENGTHS].known ? length : -1, stored);
    struct reading r;
    ck_assert(read_begin(&r, f, 0, -1));
    ck_assert_int_eq(read_some(&r, cap), -EAGAIN);
    while (f->fed < length) {
        feed_until_full(f, length);
        ck_assert_uint_lt(body_memory_bytes(f->body), WINDOW + 2 * SEGMENT + 4096);
        ck_assert_int_eq(read_all(&r, cap), -EAGAIN);
        if (stored) fake_commit(f->store);
        ck_assert(!f->paused);
    }
    body_complete(f->body);
    ck_assert_int_eq(read_all(&r, cap), 0);
    ck_assert_int_eq(r.got, length);
    ck_assert_int_eq(body_length(f->body), length);
    struct view whole = body_whole(f->body);
    ck_assert_int_eq(whole.at != NULL, length <= WHOLE_LIMIT);
    if (whole.at != NULL) ck_assert(is_content(whole.at, 0, (size_t)length) && whole.len == (size_t)length);
    body_reader_end(&r.reader);
    feed_end(f);
}
END_TEST

/* Behind the window, what was written to the store is read back from there. */
START_TEST(a_slow_reader_reads_from_the_store)
{
    struct feed *f = feed_begin(-1, true);
    struct reading r;
    int64_t length = 2 * WINDOW + 333;
    ck_assert(read_begin(&r, f, 0, -1));
    while (f->fed < length) {
        feed_until_full(f, length);
        fake_commit(f->store);
    }
    body_complete(f->body);
    fake_commit(f->store);
    ssize_t n;
    while ((n = read_some(&r, 9999)) != 0) {
        ck_assert(n > 0 || n == -EAGAIN);
        int wakes = r.wakes;
        if (n == -EAGAIN) {
            ck_assert_uint_eq(fake_run_jobs(f->store), 1);
            ck_assert_int_eq(r.wakes, wakes + 1);
        }
    }
    ck_assert_int_eq(r.got, length);
    body_reader_end(&r.reader);
    feed_end(f);
}
END_TEST

START_TEST(a_reader_gets_the_range_it_asked_for)
{
    static const struct {
        int64_t length, first, last, got;
    } ranges[] = {
        { 1000, 0, 0, 1 },
        { 1000, 999, 999, 1 },
        { 1000, 10, 19, 10 },
        { 1000, 990, -1, 10 },
        { 1000, 1000, -1, 0 },
        { 3 * SEGMENT, SEGMENT - 1, SEGMENT, 2 },
        { 3 * SEGMENT, SEGMENT, 2 * SEGMENT - 1, SEGMENT },
        { 3 * SEGMENT, 2 * SEGMENT + 5, -1, SEGMENT - 5 },
    };
    for (int stored = 0; stored < 2; stored++) {
        struct feed *f = feed_begin(-1, stored == 1);
        struct reading r;
        ck_assert(read_begin(&r, f, ranges[_i].first, ranges[_i].last));
        feed(f, (size_t)ranges[_i].length);
        body_complete(f->body);
        ck_assert_int_eq(read_all(&r, 777), 0);
        ck_assert_int_eq(r.got, ranges[_i].got);
        body_reader_end(&r.reader);
        feed_end(f);
    }
}
END_TEST

START_TEST(a_reader_can_move_within_the_content)
{
    struct feed *f = feed_begin(-1, true);
    struct reading r;
    feed(f, 3 * SEGMENT);
    body_complete(f->body);
    fake_commit(f->store);
    ck_assert(read_begin(&r, f, 2 * SEGMENT, 2 * SEGMENT + 9));
    ck_assert_int_eq(read_all(&r, 100), 0);
    ck_assert_int_eq(r.got, 10);
    r.from = 5, r.got = 0;
    body_reader_move(&r.reader, 5, 24);
    ck_assert_int_eq(read_all(&r, 100), 0);
    ck_assert_int_eq(r.got, 20);
    body_reader_end(&r.reader);
    feed_end(f);
}
END_TEST

/* ---- the end that is none */

START_TEST(a_broken_body_gives_its_bytes_and_then_an_error)
{
    int64_t length = lengths[_i % LENGTHS];
    bool stored = _i >= LENGTHS;
    struct feed *f = feed_begin(-1, stored);
    struct reading r;
    ck_assert(read_begin(&r, f, 0, -1));
    while (f->fed < length) {
        feed_until_full(f, length);
        ck_assert_int_eq(read_all(&r, PIECE_MAX), -EAGAIN);
        if (stored) fake_commit(f->store);
    }
    (void)read_all(&r, PIECE_MAX);
    int wakes = r.wakes;
    body_break(f->body);
    ck_assert_int_eq(r.wakes, wakes + 1);
    ck_assert_int_eq(read_some(&r, 1), -EIO);
    ck_assert_int_eq(r.got, length);
    ck_assert_ptr_null(body_whole(f->body).at);
    ck_assert(body_is_broken(f->body) && !body_is_complete(f->body));
    uint64_t number = body_number(f->body);
    body_reader_end(&r.reader);
    body_unref(&f->body);
    if (stored) fake_commit(f->store);
    if (number != 0) ck_assert(fake_is_gone(f->store, number));
    if (f->store != NULL) fake_store_free(f->store);
    free(f);
}
END_TEST

/* ---- wakes */

START_TEST(a_waiting_reader_is_woken_once)
{
    struct feed *f = feed_begin(-1, false);
    struct reading r, idle, gone;
    ck_assert(read_begin(&r, f, 0, -1) && read_begin(&idle, f, 0, -1) && read_begin(&gone, f, 0, -1));
    ck_assert_int_eq(read_some(&r, 10), -EAGAIN);
    ck_assert_int_eq(read_some(&gone, 10), -EAGAIN);
    body_reader_end(&gone.reader);
    feed(f, 5);
    feed(f, 5);
    ck_assert_int_eq(r.wakes, 1);
    ck_assert_int_eq(read_all(&r, 10), -EAGAIN);
    body_complete(f->body);
    ck_assert_int_eq(r.wakes, 2);
    ck_assert_int_eq(idle.wakes, 0);
    ck_assert_int_eq(gone.wakes, 0);
    body_reader_end(&r.reader);
    body_reader_end(&idle.reader);
    feed_end(f);
}
END_TEST

START_TEST(one_that_reads_without_waiting_is_not_woken)
{
    struct feed *f = feed_begin(-1, false);
    struct reading r;
    ck_assert(read_begin(&r, f, 0, -1));
    ck_assert_int_eq(read_some(&r, 10), -EAGAIN);
    feed(f, 100);
    ck_assert_int_eq(read_some(&r, 10), 10);
    feed(f, 100);
    ck_assert_int_eq(r.wakes, 1);
    body_break(f->body);
    body_reader_end(&r.reader);
    feed_end(f);
}
END_TEST

/* ---- the window */

START_TEST(the_feeder_pauses_until_the_store_has_written)
{
    struct feed *f = feed_begin(-1, true);
    feed_until_full(f, 10 * WINDOW);
    ck_assert_int_ge(f->fed, WINDOW - SEGMENT);
    ck_assert_int_le(f->fed, WINDOW + PIECE_MAX);
    while (f->resumed == 0) ck_assert(fake_commit_one(f->store));
    fake_commit(f->store);
    ck_assert_int_eq(f->resumed, 1);
    body_break(f->body);
    feed_end(f);
}
END_TEST

START_TEST(the_feeder_pauses_until_every_reader_has_passed)
{
    struct feed *f = feed_begin(-1, false);
    struct reading fast, slow;
    ck_assert(read_begin(&fast, f, 0, -1) && read_begin(&slow, f, 0, -1));
    feed_until_full(f, 10 * WINDOW);
    ck_assert_int_eq(read_all(&fast, PIECE_MAX), -EAGAIN);
    ck_assert_int_eq(f->resumed, 0);
    while (slow.got < SEGMENT) ck_assert_int_gt(read_some(&slow, 5000), 0);
    ck_assert_int_eq(f->resumed, 1);
    feed_until_full(f, 10 * WINDOW);
    ck_assert(f->paused);
    body_reader_end(&slow.reader); /* a client that leaves holds nobody up */
    ck_assert_int_eq(f->resumed, 2);
    body_break(f->body);
    body_reader_end(&fast.reader);
    feed_end(f);
}
END_TEST

/* A range whose first byte has not come yet: the bytes before it are nobody's. */
START_TEST(who_reads_slowly_is_left_behind)
{
    struct feed *f = feed_begin(-1, false);
    struct reading fast, slow;
    ck_assert(read_begin(&fast, f, 0, -1) && read_begin(&slow, f, 0, -1));
    feed_until_full(f, 10 * WINDOW);
    ck_assert(f->paused);
    body_leave_slow(f->body); /* both are slow: nobody waits for the other */
    ck_assert(f->paused);
    ck_assert_int_eq(read_all(&fast, PIECE_MAX), -EAGAIN);
    body_leave_slow(f->body);
    ck_assert(!f->paused);
    ck_assert_int_eq(read_all(&slow, PIECE_MAX), -EIO);
    feed_until_full(f, 10 * WINDOW);
    ck_assert_int_eq(read_all(&fast, PIECE_MAX), -EAGAIN);
    ck_assert_int_eq(fast.got, f->fed);
    body_break(f->body);
    body_reader_end(&slow.reader);
    body_reader_end(&fast.reader);
    feed_end(f);
}
END_TEST

START_TEST(a_reader_ahead_of_a_full_window_makes_room)
{
    struct feed *f = feed_begin(-1, false);
    struct reading r;
    feed_until_full(f, 10 * WINDOW);
    if (_i == 0) {
        ck_assert(read_begin(&r, f, 2 * WINDOW, 2 * WINDOW + 9));
    } else {
        ck_assert(read_begin(&r, f, 0, 9));
        ck_assert_int_eq(read_all(&r, 10), 0);
        r.from = 2 * WINDOW, r.got = 0;
        body_reader_move(&r.reader, 2 * WINDOW, 2 * WINDOW + 9);
    }
    while (!f->paused && f->fed < 3 * WINDOW) {
        ck_assert_int_ge(read_all(&r, 10), -EAGAIN);
        feed_until_full(f, 3 * WINDOW);
        if (f->paused) (void)read_all(&r, 10);
    }
    ck_assert_int_eq(r.got, 10);
    body_break(f->body);
    body_reader_end(&r.reader);
    feed_end(f);
}
END_TEST

START_TEST(after_the_end_nobody_is_resumed)
{
    struct feed *f = feed_begin(-1, true);
    feed_until_full(f, 10 * WINDOW);
    if (_i == 0)
        body_break(f->body);
    else
        body_complete(f->body);
    fake_commit(f->store);
    ck_assert_int_eq(f->resumed, 0);
    feed_end(f);
}
END_TEST

/* The window has passed the beginning and nothing was stored: who comes now cannot have it, and is told at once. */
START_TEST(one_that_comes_too_late_is_told)
{
    struct feed *f = feed_begin(-1, false);
    struct reading first, late;
    ck_assert(read_begin(&first, f, 0, -1));
    feed_until_full(f, 10 * WINDOW);
    ck_assert_int_eq(read_all(&first, PIECE_MAX), -EAGAIN);
    ck_assert(!read_begin(&late, f, 0, -1));
    ck_assert_int_eq(read_some(&late, 1), -EIO);
    body_reader_end(&late.reader);
    ck_assert(read_begin(&late, f, f->fed, -1));
    body_break(f->body);
    body_reader_end(&late.reader);
    body_reader_end(&first.reader);
    feed_end(f);
}
END_TEST

/* ---- the store and what goes wrong with it */

static void note_result(void *arg, int result)
{
    int *to = arg;
    ck_assert_int_eq(*to, 1); /* once */
    *to = result;
}

START_TEST(stored_means_that_the_last_byte_is_committed)
{
    struct feed *f = feed_begin(-1, true);
    int result = 1;
    while (f->fed < WINDOW + 10) {
        feed_until_full(f, WINDOW + 10);
        while (f->paused) ck_assert(fake_commit_one(f->store));
    }
    body_complete(f->body);
    body_when_stored(f->body, note_result, &result);
    while (fake_waiting(f->store) > 1) ck_assert(fake_commit_one(f->store));
    ck_assert_int_eq(result, 1);
    ck_assert(fake_commit_one(f->store));
    ck_assert_int_eq(result, 0);
    const struct fake_content *c = fake_content(f->store, body_number(f->body));
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->len, WINDOW + 10);
    ck_assert(is_content(c->bytes, 0, c->len));
    uint64_t number = body_number(f->body);
    body_keep_number(f->body);
    body_unref(&f->body);
    fake_commit(f->store);
    ck_assert(!fake_is_gone(f->store, number));
    fake_store_free(f->store);
    free(f);
}
END_TEST

START_TEST(a_small_content_is_not_put_by_the_body)
{
    struct feed *f = feed_begin(-1, true);
    int result = 1;
    feed(f, 100);
    body_complete(f->body);
    body_when_stored(f->body, note_result, &result);
    ck_assert_int_eq(result, -ENOENT);
    ck_assert_uint_eq(body_number(f->body), 0);
    ck_assert_uint_eq(fake_waiting(f->store), 0);
    feed_end(f);
}
END_TEST

/* Refused at once, failed later, or not to be stored after all: the readers get it all, the store nothing that counts. */
START_TEST(readers_do_not_suffer_from_the_store)
{
    enum { REFUSED, FAILED, STOPPED };
    struct feed *f = feed_begin(-1, true);
    struct reading r;
    int64_t length = 3 * WINDOW + 99;
    int result = 1;
    ck_assert(read_begin(&r, f, 0, -1));
    while (f->fed < length) {
        if (f->fed > WINDOW && _i == REFUSED) f->store->refuse_append = -EAGAIN;
        if (f->fed > WINDOW && _i == FAILED) f->store->fail = -ENOSPC;
        if (f->fed > WINDOW && _i == STOPPED) body_stop_storing(f->body);
        feed_until_full(f, length);
        for (ssize_t n; (n = read_some(&r, PIECE_MAX)) != 0;) {
            ck_assert(n > 0 || n == -EAGAIN);
            if (n == -EAGAIN && fake_run_jobs(f->store) == 0) break;
        }
        fake_commit(f->store);
    }
    body_complete(f->body);
    body_when_stored(f->body, note_result, &result);
    fake_commit(f->store);
    ck_assert_int_lt(result, 0);
    ck_assert(!body_is_storing(f->body));
    ck_assert_int_eq(read_all(&r, PIECE_MAX), 0);
    ck_assert_int_eq(r.got, length);
    uint64_t number = body_number(f->body);
    body_reader_end(&r.reader);
    body_unref(&f->body);
    fake_commit(f->store);
    ck_assert(fake_is_gone(f->store, number));
    fake_store_free(f->store);
    free(f);
}
END_TEST

/* Nobody reads and the store fails: without a word the feeder would wait for ever. */
START_TEST(the_feeder_hears_that_the_store_gave_up)
{
    struct feed *f = feed_begin(-1, true);
    feed_until_full(f, 10 * WINDOW);
    ck_assert(body_is_storing(f->body));
    f->store->fail = -ENOSPC;
    ck_assert(fake_commit_one(f->store));
    ck_assert_int_eq(f->resumed, 1);
    ck_assert(!body_is_storing(f->body));
    body_break(f->body);
    feed_end(f);
}
END_TEST

START_TEST(content_gone_from_the_store_is_an_error_and_its_record_goes)
{
    static const struct {
        ssize_t answer; /* of store_read; 0: as it is */
        size_t there;
    } cases[] = { { -EIO, 5000 }, { -ENOENT, 5000 }, { 0, 0 }, { 0, STORE_CHUNK_BYTES + 100 }, { 0, 100 } };
    struct store *s = fake_store_new();
    struct store_id id = { .key = { 1, 2 }, .variant = 3 };
    char *bytes = calloc(1, cases[_i].there + 1);
    fill(bytes, 0, cases[_i].there);
    fake_add_content(s, 9, 0, bytes, cases[_i].there);
    s->read_answer = cases[_i].answer;
    struct store_put put = { .id = id, .record = "record", .record_len = 6, .content_number = 9 };
    fake_apply_put(s, &put);
    struct body *b = body_stored(s, 9, 10 * STORE_CHUNK_BYTES);
    body_set_record(b, &id);
    struct reading r = { .from = 0 };
    ck_assert(body_reader_begin(&r.reader, b, 0, -1, woken));
    ssize_t n = 0;
    for (int turns = 0; turns < 100; turns++) {
        n = read_some(&r, PIECE_MAX);
        if (n < 0 && n != -EAGAIN) break;
        (void)fake_run_jobs(s);
    }
    ck_assert_int_eq(n, -EIO);
    ck_assert_int_eq(r.got, 0);
    fake_commit(s);
    ck_assert_ptr_null(fake_record(s, &id));
    body_reader_end(&r.reader);
    body_unref(&b);
    fake_store_free(s);
    free(bytes);
}
END_TEST

START_TEST(a_reader_may_leave_while_the_store_reads_for_it)
{
    struct feed *f = feed_begin(-1, true);
    struct reading r;
    feed(f, SEGMENT);
    while (f->fed < 2 * WINDOW) {
        feed_until_full(f, 2 * WINDOW);
        fake_commit(f->store);
    }
    ck_assert(read_begin(&r, f, 0, -1));
    ck_assert_int_eq(read_some(&r, 100), -EAGAIN);
    body_reader_end(&r.reader);
    ck_assert_uint_eq(fake_run_jobs(f->store), 1);
    ck_assert_int_eq(r.wakes, 0);
    body_break(f->body);
    feed_end(f);
}
END_TEST

/* ---- threads: one feeder, many readers at their own pace */

enum { READERS = 12 };

struct race {
    struct body *body;
    int64_t length;
    bool breaks;
    sem_t room;
    _Atomic int failures, finished, left;
};

struct racer {
    struct body_reader reader;
    struct race *race;
    sem_t news;
    unsigned seed;
};

static void room_again(void *arg)
{
    struct race *race = arg;
    sem_post(&race->room);
}

static void news(struct body_reader *r)
{
    sem_post(&((struct racer *)(void *)r)->news);
}

static void wait_on(sem_t *s)
{
    while (sem_wait(s) != 0) continue;
}

static void *feeder_main(void *arg)
{
    struct race *race = arg;
    char piece[PIECE_MAX];
    unsigned seed = 7;
    for (int64_t fed = 0; fed < race->length;) {
        size_t n = 1 + (size_t)rand_r(&seed) % (PIECE_MAX - 1);
        if (race->length - fed < (int64_t)n) n = (size_t)(race->length - fed);
        fill(piece, fed, n);
        enum body_appended a = body_append(race->body, piece, n);
        if (a == BODY_PAUSE) wait_on(&race->room);
        fed += (int64_t)n;
    }
    if (race->breaks)
        body_break(race->body);
    else
        body_complete(race->body);
    return NULL;
}

static void *racer_main(void *arg)
{
    struct racer *r = arg;
    struct race *race = r->race;
    char to[PIECE_MAX];
    int64_t got = 0;
    bool leaves = r->seed % 3 == 0;
    int64_t leaves_at = race->length > 0 ? (int64_t)rand_r(&r->seed) % race->length : 0;
    size_t pace = 1000 + (size_t)rand_r(&r->seed) % (PIECE_MAX - 1000);
    for (;;) {
        ssize_t n = body_read(&r->reader, to, pace);
        if (n > 0) {
            if (!is_content(to, got, (size_t)n)) race->failures++;
            got += n;
        }
        if (leaves && got >= leaves_at) {
            race->left++;
            break;
        }
        if (n == -EAGAIN) wait_on(&r->news);
        if (n == 0 || n == -EIO) {
            if ((n == -EIO) != race->breaks || got != race->length) race->failures++;
            race->finished++;
            break;
        }
        if (rand_r(&r->seed) % 8 == 0) sched_yield();
    }
    body_reader_end(&r->reader);
    return NULL;
}

START_TEST(many_readers_at_their_own_pace)
{
    static const int64_t race_lengths[] = { 0, 1, WHOLE_LIMIT, WHOLE_LIMIT + 1, SEGMENT, 2 * WINDOW, 4 * WINDOW + 321 };
    bool stored = _i % 2 == 0;
    struct race race = { .length = race_lengths[_i / 4], .breaks = _i / 2 % 2 == 1 };
    struct store *store = stored ? fake_store_new() : NULL;
    if (stored) fake_run(store);
    sem_init(&race.room, 0, 0);
    struct body_settings settings = {
        .length = -1, .whole_limit_bytes = WHOLE_LIMIT, .store = store, .resume = room_again, .resume_arg = &race
    };
    race.body = body_new(&settings);
    struct racer racers[READERS];
    pthread_t threads[READERS], feeder;
    for (unsigned i = 0; i < READERS; i++) {
        racers[i] = (struct racer){ .race = &race, .seed = i + 1 };
        sem_init(&racers[i].news, 0, 0);
        ck_assert(body_reader_begin(&racers[i].reader, race.body, 0, -1, news));
        ck_assert_int_eq(pthread_create(&threads[i], NULL, racer_main, &racers[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&feeder, NULL, feeder_main, &race), 0);
    pthread_join(feeder, NULL);
    for (unsigned i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    ck_assert_int_eq(race.failures, 0);
    ck_assert_int_eq(race.finished + race.left, READERS);
    ck_assert_int_gt(race.finished, 0);
    body_unref(&race.body);
    if (stored) fake_store_free(store);
    for (unsigned i = 0; i < READERS; i++) sem_destroy(&racers[i].news);
    sem_destroy(&race.room);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("body");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_reader_gets_every_byte, 0, LENGTHS * ROWS(ways));
    tcase_add_test(t, a_slow_reader_reads_from_the_store);
    tcase_add_loop_test(t, a_reader_gets_the_range_it_asked_for, 0, 8);
    tcase_add_test(t, a_reader_can_move_within_the_content);
    tcase_add_loop_test(t, a_broken_body_gives_its_bytes_and_then_an_error, 0, 2 * LENGTHS);
    tcase_add_test(t, a_waiting_reader_is_woken_once);
    tcase_add_test(t, one_that_reads_without_waiting_is_not_woken);
    tcase_add_test(t, the_feeder_pauses_until_the_store_has_written);
    tcase_add_test(t, the_feeder_pauses_until_every_reader_has_passed);
    tcase_add_test(t, who_reads_slowly_is_left_behind);
    tcase_add_loop_test(t, a_reader_ahead_of_a_full_window_makes_room, 0, 2);
    tcase_add_loop_test(t, after_the_end_nobody_is_resumed, 0, 2);
    tcase_add_test(t, one_that_comes_too_late_is_told);
    tcase_add_test(t, stored_means_that_the_last_byte_is_committed);
    tcase_add_test(t, a_small_content_is_not_put_by_the_body);
    tcase_add_loop_test(t, readers_do_not_suffer_from_the_store, 0, 3);
    tcase_add_test(t, the_feeder_hears_that_the_store_gave_up);
    tcase_add_loop_test(t, content_gone_from_the_store_is_an_error_and_its_record_goes, 0, 5);
    tcase_add_test(t, a_reader_may_leave_while_the_store_reads_for_it);
    tcase_add_loop_test(t, many_readers_at_their_own_pace, 0, 28);
    return run_case("body", t);
}
