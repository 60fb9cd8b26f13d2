/* What a log says, what each policy keeps, and that a scan leaves the hot set in place. Run with the name of a
 * workload, it prints that workload as lines of KEY SIZE instead: docs/eviction.md. */
#include "cache/memory.h"
#include "proxy/simulate.h"
#include "tests/cache/objects.h"
#include "tests/headers/table.h"
#include "tests/proxy/workload.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- lines */

#define TIME "192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "

static const struct {
    enum log_format format;
    const char *line;
    enum log_verdict verdict;
    const char *key;
    uint32_t bytes;
} lines[] = {
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 200 2326", LOG_REQUEST, "/a", 2326 },
    { LOG_ANY, TIME "\"GET /a?b=1 HTTP/1.1\" 200 7 \"http://r.example/\" \"Agent/1 [x]\"", LOG_REQUEST, "/a?b=1", 7 },
    { LOG_ANY, "host:80 " TIME "\"HEAD /a HTTP/1.1\" 200 0", LOG_REQUEST, "/a", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 304 -", LOG_REQUEST, "/a", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 206 10", LOG_REQUEST, "/a", 10 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 404 9", LOG_REQUEST, "/a", 9 },
    { LOG_ANY, TIME "\"GET /a\" 200 9", LOG_REQUEST, "/a", 9 },
    { LOG_ANY, TIME "\"GET /a\\\"b HTTP/1.1\" 200 9", LOG_REQUEST, "/a\\\"b", 9 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 200 99999999999999", LOG_REQUEST, "/a", UINT32_MAX },
    { LOG_ANY, TIME "\"POST /a HTTP/1.1\" 200 9", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 500 9", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 99999 9", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"-\" 408 0", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"\" 400 0", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"\\x16\\x03\\x01\" 400 157", LOG_PASSED, "", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 200", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" 200 x", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, TIME "\"GET /a HTTP/1.1\" OK 7", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, TIME "\"GET /a", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, TIME "\"GET /a\\", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, TIME, LOG_UNREADABLE, "", 0 },
    { LOG_ANY, "[", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, "/a 2326", LOG_REQUEST, "/a", 2326 },
    { LOG_ANY, " key\t17  ", LOG_REQUEST, "key", 17 },
    { LOG_ANY, "key 4294967296", LOG_REQUEST, "key", UINT32_MAX },
    { LOG_ANY, "key", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, "key -1", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, "key 1 2", LOG_UNREADABLE, "", 0 },
    { LOG_ANY, "key 1k", LOG_UNREADABLE, "", 0 },
    { LOG_COMMON, "/a 2326", LOG_UNREADABLE, "", 0 },
    { LOG_COMMON, TIME "\"GET /a HTTP/1.1\" 200 2326", LOG_REQUEST, "/a", 2326 },
    { LOG_KEY_SIZE, "/a 2326", LOG_REQUEST, "/a", 2326 },
    { LOG_KEY_SIZE, TIME "\"GET /a HTTP/1.1\" 200 2326", LOG_UNREADABLE, "", 0 },
};

START_TEST(lines_are_read)
{
    struct log_line got = { 0 };
    /* a copy of exactly its length, so that a sanitizer sees what is read beyond it */
    struct view line = view_of_str(lines[_i].line);
    char *copy = malloc(line.len);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, line.at, line.len);
    enum log_verdict verdict = log_line_read(lines[_i].format, view_of(copy, line.len), &got);
    ck_assert_msg(verdict == lines[_i].verdict, "%s: %d", lines[_i].line, verdict);
    if (verdict == LOG_REQUEST) {
        ck_assert_msg(view_is(got.key, lines[_i].key), "%s: %.*s", lines[_i].line, (int)got.key.len, got.key.at);
        ck_assert_uint_eq(got.bytes, lines[_i].bytes);
    }
    if (verdict == LOG_UNREADABLE) ck_assert_ptr_nonnull(got.why);
    free(copy);
}
END_TEST

/* ---- files */

static const struct progress quiet;

static int read_text(struct trace *t, const char *text, size_t len, size_t limit)
{
    FILE *f = tmpfile();
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    rewind(f);
    int rc = trace_read(t, fileno(f), LOG_ANY, limit, &quiet);
    fclose(f);
    return rc;
}

START_TEST(a_file_becomes_a_trace)
{
    static const char text[] = "# a comment\n"
                               "/a 10\n"
                               "\n"
                               "/b 7\r\n"
                               "nonsense\n" TIME "\"GET /a HTTP/1.1\" 304 0\n" TIME "\"PUT /a HTTP/1.1\" 200 0\n"
                               "/a 30\n"
                               "more nonsense here\n"
                               "/a 20";
    struct trace t = { 0 };
    ck_assert_int_eq(read_text(&t, text, sizeof text - 1, 100), 0);
    ck_assert_uint_eq(t.request_count, 5);
    ck_assert_uint_eq(t.keys.count, 2);
    static const uint32_t order[] = { 0, 1, 0, 0, 0 };
    ck_assert_int_eq(memcmp(t.requests, order, sizeof order), 0);
    ck_assert_uint_eq(t.keys.bytes[0], 30); /* the largest there was */
    ck_assert_uint_eq(t.keys.bytes[1], 7);
    ck_assert_uint_eq(t.passed, 1);
    ck_assert_uint_eq(t.unreadable, 2);
    ck_assert_uint_eq(t.first_unreadable, 5);
    ck_assert(!t.cut);
    trace_free(&t);
}
END_TEST

START_TEST(a_limit_cuts)
{
    struct trace t = { 0 };
    ck_assert_int_eq(read_text(&t, "a 1\nb 1\nc 1\n", 12, 2), 0);
    ck_assert_uint_eq(t.request_count, 2);
    ck_assert(t.cut);
    trace_free(&t);
    ck_assert_int_eq(read_text(&t, "a 1\nb 1\n", 8, 2), 0);
    ck_assert_uint_eq(t.request_count, 2);
    ck_assert(!t.cut);
    trace_free(&t);
}
END_TEST

START_TEST(long_lines_are_unreadable_and_no_more)
{
    static const size_t lengths[] = { TRACE_LINE_MAX - 1, TRACE_LINE_MAX, TRACE_LINE_MAX + 1, 3 * TRACE_LINE_MAX };
    struct trace t = { 0 };
    size_t len = lengths[_i];
    char *text = malloc(4 + len + 5);
    ck_assert_ptr_nonnull(text);
    memcpy(text, "a 1\n", 4);
    memset(text + 4, 'x', len);
    memcpy(text + 4 + len, "\nb 1\n", 5);
    ck_assert_int_eq(read_text(&t, text, 4 + len + 5, 100), 0);
    ck_assert_uint_eq(t.request_count, 2);
    ck_assert_uint_eq(t.unreadable, 1);
    ck_assert_uint_eq(t.first_unreadable, 2);
    ck_assert_uint_eq(t.lines, 3);
    trace_free(&t);
    free(text);
}
END_TEST

START_TEST(odd_inputs)
{
    static const struct {
        const char *text;
        size_t len, requests, unreadable;
        int rc;
    } odd[] = {
        { "", 0, 0, 0, 0 },       { "\n\n", 2, 0, 0, 0 },     { "\x1f\x8b\x08\x00\x00\n", 6, 0, 0, -EILSEQ },
        { "\0\0\n", 3, 0, 1, 0 }, { "a\0b 5\n", 6, 1, 0, 0 }, { "\r\n\r", 3, 0, 0, 0 },
    };
    struct trace t = { 0 };
    ck_assert_int_eq(read_text(&t, odd[_i].text, odd[_i].len, 100), odd[_i].rc);
    ck_assert_uint_eq(t.request_count, odd[_i].requests);
    ck_assert_uint_eq(t.unreadable, odd[_i].unreadable);
    trace_free(&t);
}
END_TEST

START_TEST(a_directory_cannot_be_read)
{
    struct trace t = { 0 };
    FILE *f = fopen(".", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(trace_read(&t, fileno(f), LOG_ANY, 1, &quiet), -EISDIR);
    fclose(f);
    trace_free(&t);
}
END_TEST

/* ---- policies, by hand: keys are letters of size 1, except upper case ones, of size 2 */

static void add_letters(struct trace *t, const char *letters)
{
    for (const char *c = letters; *c != '\0'; c++)
        ck_assert_int_eq(trace_add(t, view_of(c, 1), *c >= 'A' && *c <= 'Z' ? 2 : 1), 0);
}

static struct simulate_result result_of(const struct trace *t, const struct simulate_policy *p, uint64_t size)
{
    struct simulate_result r;
    struct simulation s = { p, size, 0 };
    ck_assert_int_eq(simulate(t, &s, &quiet, &r), 0);
    return r;
}

/* Eight letters fit (the least tier that takes a letter at all); abcdefgh are always asked for first. */
static const struct {
    const struct simulate_policy *policy;
    const char *letters;
    uint64_t misses, evictions;
} stories[] = {
    { &simulate_fifo, "aia", 2, 2 }, /* i drives out a, though it was just used */
    { &simulate_lru, "aia", 1, 1 },  /* i drives out b */
    { &simulate_lru, "aib", 2, 2 },
    { &simulate_sieve, "aia", 1, 1 },
    { &simulate_sieve, "aib", 2, 2 },
    { &simulate_sieve, "aija", 2, 2 },         /* the mark is gone, but the hand has passed */
    { &simulate_sieve, "ijklmnopqi", 10, 10 }, /* nothing is used: in the order they came */
    { &simulate_sieve, "abcdefghia", 2, 2 },   /* all are marked: once round, and a leaves */
    { &simulate_sieve, "bcdefgaij", 2, 2 },
    { &simulate_sieve, "abcdefgijkc", 3, 3 },         /* h leaves, the hand begins anew, a and b leave */
    { &simulate_sieve, "abcdefgijkabcdefg", 10, 10 }, /* ... and then each just before it is asked for */
    { &simulate_s3_fifo, "abcdefgijkabcdefg", 3, 3 },
    { &simulate_s3_fifo, "aia", 1, 1 },
    { &simulate_lru, "abcdefgijk", 3, 3 },
    { &simulate_lru, "abcdefgijkabcdefg", 10, 10 },
};

START_TEST(policies_evict_as_their_papers_say)
{
    struct trace t = { 0 };
    add_letters(&t, "abcdefgh");
    add_letters(&t, stories[_i].letters);
    struct simulate_result r = result_of(&t, stories[_i].policy, 8);
    ck_assert_msg(r.misses == 8 + stories[_i].misses && r.evictions == stories[_i].evictions,
                  "%s %s: %llu misses, %llu evictions", stories[_i].policy->name, stories[_i].letters,
                  (unsigned long long)r.misses - 8, (unsigned long long)r.evictions);
    trace_free(&t);
}
END_TEST

START_TEST(sizes_count)
{
    const struct simulate_policy *p = simulate_policies[_i];
    struct trace t = { 0 };
    add_letters(&t, "AbcdefghijklmnoA"); /* 16 fit: A takes two, so all are there */
    struct simulate_result r = result_of(&t, p, 16);
    ck_assert_uint_eq(r.requests, 16);
    ck_assert_uint_eq(r.misses, 15);
    ck_assert_uint_eq(r.bytes, 18);
    ck_assert_uint_eq(r.missed_bytes, 16);
    ck_assert_uint_eq(r.evictions, 0);
    add_letters(&t, "B"); /* two must leave */
    r = result_of(&t, p, 16);
    ck_assert_uint_eq(r.evictions, _i == 1 ? 1 : 2); /* with FIFO, A leaves: it is old and as large */
    r = result_of(&t, p, 15);                        /* more than 1/8: never kept */
    ck_assert_uint_eq(r.too_large, 3);
    ck_assert_uint_eq(r.misses, 17);
    struct simulation s = { p, 17 * 100 - 1, 99 }; /* each takes 100 or 101 */
    ck_assert_int_eq(simulate(&t, &s, &quiet, &r), 0);
    ck_assert_uint_eq(r.evictions, 0);
    ck_assert_uint_eq(simulate_unique_bytes(&t, 99), 16 * 99 + 14 + 2 * 2);
    trace_free(&t);
}
END_TEST

/* ---- the same, the slow way: an array in order of age, one object per byte */

enum { SLOW_ROOM = 64 };

struct slow {
    uint32_t keys[SLOW_ROOM]; /* the oldest first */
    bool used[SLOW_ROOM];
    int count, hand;
};

static void slow_drop(struct slow *s, int at)
{
    for (int i = at; i + 1 < s->count; i++) {
        s->keys[i] = s->keys[i + 1];
        s->used[i] = s->used[i + 1];
    }
    s->count--;
}

static int slow_victim(struct slow *s, const struct simulate_policy *p)
{
    if (p != &simulate_sieve) return 0;
    for (s->hand %= s->count; s->used[s->hand]; s->hand = (s->hand + 1) % s->count) s->used[s->hand] = false;
    return s->hand; /* what follows moves there when it is dropped */
}

static void slow_add(struct slow *s, uint32_t key)
{
    s->keys[s->count] = key;
    s->used[s->count++] = false;
}

/* @return it was there */
static bool slow_ask(struct slow *s, const struct simulate_policy *p, uint32_t key)
{
    for (int i = 0; i < s->count; i++) {
        if (s->keys[i] != key) continue;
        s->used[i] = true;
        if (p != &simulate_lru) return true;
        slow_drop(s, i);
        slow_add(s, key);
        return true;
    }
    if (s->count == SLOW_ROOM) {
        int victim = slow_victim(s, p);
        bool last = victim + 1 == s->count;
        slow_drop(s, victim);
        if (p == &simulate_sieve && last) s->hand = 0; /* it was the newest: begin again with the oldest */
    }
    slow_add(s, key);
    return false;
}

START_TEST(lists_agree_with_a_slow_array)
{
    static const struct simulate_policy *const lists[] = { &simulate_lru, &simulate_fifo, &simulate_sieve };
    enum { REQUESTS = 20000, KEYS = 200 };
    struct trace t = { 0 };
    struct slow s = { .count = 0 };
    uint64_t misses = 0;
    for (uint64_t i = 0; i < REQUESTS; i++) {
        uint64_t random = workload_mix(i + 1);
        uint32_t key = (uint32_t)(random % KEYS * (random >> 32) % KEYS % (random >> 48 & 127 ? KEYS : 20));
        ck_assert_int_eq(trace_add(&t, view_of((const char *)&key, sizeof key), 1), 0);
        misses += slow_ask(&s, lists[_i], key) ? 0 : 1;
    }
    ck_assert_uint_eq(result_of(&t, lists[_i], SLOW_ROOM).misses, misses);
    ck_assert_uint_gt(misses, t.keys.count);
    trace_free(&t);
}
END_TEST

/* ---- workloads */

enum { HOT = 500, ENTRY = 1024, TIER = 1000 * ENTRY, SCAN = 10 * TIER / ENTRY };

static void ask_for_numbers(struct trace *t, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++)
        ck_assert_int_eq(trace_add(t, view_of((const char *)&i, sizeof i), ENTRY), 0);
}

/* Hits of one round through the hot set, warm, and then again after a scan of ten times the tier that nothing
 * interrupts. */
static void hot_hits(const struct simulate_policy *p, uint64_t *before, uint64_t *after)
{
    struct trace t = { 0 };
    for (int round = 0; round < 3; round++) ask_for_numbers(&t, 0, HOT);
    uint64_t warm = result_of(&t, p, TIER).misses;
    ask_for_numbers(&t, 0, HOT);
    *before = HOT - (result_of(&t, p, TIER).misses - warm);
    ask_for_numbers(&t, HOT, SCAN);
    uint64_t scanned = result_of(&t, p, TIER).misses;
    ask_for_numbers(&t, 0, HOT);
    *after = HOT - (result_of(&t, p, TIER).misses - scanned);
    trace_free(&t);
}

START_TEST(a_scan_of_ten_times_the_tier_leaves_the_hot_set)
{
    uint64_t before, after;
    hot_hits(&simulate_s3_fifo, &before, &after);
    ck_assert_uint_eq(before, HOT);
    ck_assert_uint_eq(after, HOT);
    hot_hits(&simulate_weir, &before, &after);
    ck_assert_uint_eq(before, HOT);
    ck_assert_uint_ge(after * 100, HOT * 99); /* a shard may hold more of it than it has room for */
    hot_hits(&simulate_lru, &before, &after);
    ck_assert_uint_eq(before, HOT);
    ck_assert_uint_eq(after, 0);
}
END_TEST

static void fill(struct trace *t, const struct workload *w, uint32_t requests)
{
    struct workload_run r;
    ck_assert(workload_start(&r, w));
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t key = workload_next(&r);
        ck_assert_int_eq(trace_add(t, view_of((const char *)&key, sizeof key), workload_bytes(w, key)), 0);
    }
    workload_end(&r);
}

static const struct workload *workload_named(const char *name)
{
    for (size_t i = 0; i < WORKLOADS; i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}

/* What docs/eviction.md concludes from, at a tenth of the requests. */
static const struct {
    const char *workload;
    int percent; /* of what everything takes */
} comparisons[] = {
    { "zipf-0.7", 2 }, { "zipf-0.7", 10 }, { "zipf-1.0", 2 },        { "zipf-1.0", 10 },
    { "scan", 2 },     { "scan", 10 },     { "zipf-1.0-equal", 10 },
};

START_TEST(weir_misses_less_than_lru)
{
    struct trace t = { 0 };
    fill(&t, workload_named(comparisons[_i].workload), 100 * 1000);
    uint64_t size = simulate_unique_bytes(&t, 0) / 100 * (uint64_t)comparisons[_i].percent;
    uint64_t lru = result_of(&t, &simulate_lru, size).misses, weir = result_of(&t, &simulate_weir, size).misses;
    ck_assert_msg(weir < lru, "%s: %llu, with LRU %llu", comparisons[_i].workload, (unsigned long long)weir,
                  (unsigned long long)lru);
    trace_free(&t);
}
END_TEST

enum { SHRINK = 16, TIER_BYTES = 8 << 20 };

/* A request of the tier itself. @return what it takes in memory when it was missed, else 0 */
static size_t ask_tier(struct memory *m, unsigned number, size_t len)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(number, text);
    struct store_id id = id_of_number(number);
    struct object *o = memory_get(m, &id, k.text, VIEW(""));
    bool hit = o != NULL;
    if (!hit) {
        o = object_of_number(number, len, 0);
        memory_written(m, o);
        (void)memory_put(m, o, MEMORY_REPLACE); /* what is too large is not kept */
    }
    size_t bytes = hit ? 0 : object_memory_bytes(o);
    object_unref(&o);
    return bytes;
}

START_TEST(what_is_simulated_is_what_the_tier_does)
{
    enum { REQUESTS = 100 * 1000 };
    struct trace t = { 0 };
    struct workload_run r;
    struct memory *m = memory_new(TIER_BYTES);
    uint64_t misses = 0, overhead_bytes = 0;
    ck_assert(m != NULL && workload_start(&r, workload_named("zipf-1.0")));
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint32_t key = workload_next(&r), len = workload_bytes(r.w, key) / SHRINK;
        size_t bytes = ask_tier(m, key, len);
        if (bytes > 0) {
            misses++;
            overhead_bytes += bytes - len;
        }
        ck_assert_int_eq(trace_add(&t, view_of((const char *)&key, sizeof key), len), 0);
    }
    struct simulation s = { &simulate_weir, TIER_BYTES, (uint32_t)(overhead_bytes / misses) };
    struct simulate_result simulated;
    ck_assert_int_eq(simulate(&t, &s, &quiet, &simulated), 0);
    uint64_t more = simulated.misses > misses ? simulated.misses : misses;
    uint64_t less = simulated.misses > misses ? misses : simulated.misses;
    ck_assert_msg((more - less) * 100 <= more, "simulated %llu, the tier missed %llu", /* their shards differ */
                  (unsigned long long)simulated.misses, (unsigned long long)misses);
    memory_free(m);
    workload_end(&r);
    trace_free(&t);
}
END_TEST

START_TEST(room_for_everything_misses_each_key_once)
{
    struct trace t = { 0 };
    fill(&t, &workloads[_i], 20 * 1000);
    for (size_t p = 0; p < SIMULATE_POLICIES; p++) {
        uint64_t room = SIMULATE_OBJECT_SHARE * (simulate_unique_bytes(&t, 0) + 1);
        struct simulate_result r = result_of(&t, simulate_policies[p], room);
        ck_assert_uint_eq(r.misses, t.keys.count);
        ck_assert_uint_eq(r.evictions + r.too_large, 0);
    }
    trace_free(&t);
}
END_TEST

/* ---- */

static int print_workload(const char *name)
{
    enum { REQUESTS = 1000 * 1000 };
    struct workload_run r;
    const struct workload *w = workload_named(name);
    if (w == NULL || !workload_start(&r, w)) {
        fprintf(stderr, "test_simulate: no workload '%s'; see tests/proxy/workload.h\n", name);
        return 2;
    }
    for (int i = 0; i < REQUESTS; i++) {
        uint32_t key = workload_next(&r);
        printf("/%u %u\n", key, workload_bytes(w, key));
    }
    workload_end(&r);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc > 1) return print_workload(argv[1]);
    TCase *t = tcase_create("simulate");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, lines_are_read, 0, ROWS(lines));
    tcase_add_test(t, a_file_becomes_a_trace);
    tcase_add_test(t, a_limit_cuts);
    tcase_add_loop_test(t, long_lines_are_unreadable_and_no_more, 0, 4);
    tcase_add_loop_test(t, odd_inputs, 0, 6);
    tcase_add_test(t, a_directory_cannot_be_read);
    tcase_add_loop_test(t, policies_evict_as_their_papers_say, 0, ROWS(stories));
    tcase_add_loop_test(t, sizes_count, 0, SIMULATE_POLICIES);
    tcase_add_loop_test(t, lists_agree_with_a_slow_array, 0, 3);
    tcase_add_test(t, a_scan_of_ten_times_the_tier_leaves_the_hot_set);
    tcase_add_loop_test(t, weir_misses_less_than_lru, 0, ROWS(comparisons));
    tcase_add_test(t, what_is_simulated_is_what_the_tier_does);
    tcase_add_loop_test(t, room_for_everything_misses_each_key_once, 0, WORKLOADS);
    return run_case("simulate", t);
}
