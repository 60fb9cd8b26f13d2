/* The hot tier: what is kept is found whole, and its budget holds whatever happens at the same time. */
#include "cache/memory.h"
#include "tests/cache/objects.h"

#include <pthread.h>

enum { MIB = 1 << 20, ENTRY = 1000 };

static struct object *get(struct memory *m, unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    struct store_id id = id_of_number(n);
    return memory_get(m, &id, k.text, VIEW(""));
}

static bool has(struct memory *m, unsigned n)
{
    struct object *o = get(m, n);
    bool found = o != NULL;
    if (found) ck_assert(is_number(o, n));
    object_unref(&o);
    return found;
}

/* The same, without being a use. */
static bool is_there(struct memory *m, unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct store_id id = id_of_number(n);
    struct object *o = memory_peek(m, &id, key_of_number(n, text).text);
    bool found = o != NULL;
    object_unref(&o);
    return found;
}

static bool put(struct memory *m, unsigned n, size_t len, uint64_t seq, enum memory_put how)
{
    struct object *o = object_of_number(n, len, seq);
    bool kept = memory_put(m, o, how);
    object_unref(&o);
    return kept;
}

static struct memory_stats stats_of(struct memory *m)
{
    struct memory_stats s;
    memory_stats(m, &s);
    ck_assert_uint_le(s.bytes, s.limit_bytes);
    return s;
}

/* ---- one thread */

START_TEST(what_is_put_is_found_until_it_is_removed)
{
    enum { COUNT = 20000 }; /* more than the buckets at first */
    struct memory *m = memory_new(64 * MIB);
    for (unsigned n = 0; n < COUNT; n++) ck_assert(put(m, n, 10, 0, MEMORY_REPLACE));
    ck_assert_uint_eq(stats_of(m).entries, COUNT);
    for (unsigned n = 0; n < COUNT; n++) ck_assert(has(m, n));
    ck_assert(!has(m, COUNT));
    for (unsigned n = 0; n < COUNT; n++) {
        struct store_id id = id_of_number(n);
        memory_remove(m, &id, NULL);
        ck_assert(!has(m, n));
    }
    ck_assert_uint_eq(stats_of(m).entries, 0);
    ck_assert_uint_lt(stats_of(m).bytes, MIB); /* of buckets */
    memory_free(m);
}
END_TEST

/* A hash that is equal is not enough. */
START_TEST(another_key_with_the_same_hash_is_not_found)
{
    struct memory *m = memory_new(MIB);
    char text[OBJECT_KEY_MAX];
    struct key other = key_of_number(2, text);
    struct store_id id = id_of_number(1);
    ck_assert(put(m, 1, 10, 0, MEMORY_REPLACE));
    ck_assert_ptr_null(memory_get(m, &id, other.text, VIEW("")));
    ck_assert_ptr_null(memory_get(m, &id, key_of_number(1, text).text, VIEW("accept:a\n")));
    ck_assert(has(m, 1));
    memory_free(m);
}
END_TEST

START_TEST(who_replaces_whom)
{
    static const struct {
        enum memory_put how;
        uint64_t seq_there, seq_new;
        bool replaced;
    } cases[] = {
        { MEMORY_REPLACE, 5, 5, true },    { MEMORY_REPLACE, 5, 6, true },
        { MEMORY_REPLACE, 5, 4, false }, /* fetched before a purge that the other was fetched after */
        { MEMORY_IF_ABSENT, 5, 6, false }, { MEMORY_IF_ABSENT, 5, 4, false },
    };
    struct memory *m = memory_new(MIB);
    ck_assert(put(m, 1, 10, cases[_i].seq_there, MEMORY_REPLACE));
    ck_assert(put(m, 1, 20, cases[_i].seq_new, cases[_i].how));
    struct object *o = get(m, 1);
    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(object_content_length(o), cases[_i].replaced ? 20 : 10);
    ck_assert_uint_eq(stats_of(m).entries, 1);
    ck_assert_uint_eq(stats_of(m).bytes, object_memory_bytes(o));
    object_unref(&o);
    memory_free(m);
}
END_TEST

static struct object *list_of_variants(unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct store_id id = id_of_number(n);
    struct record_inputs in = { .kind = RECORD_VARY, .key = key_of_number(n, text).text, .variant = VIEW("") };
    return object_new(&in, &id, NULL, 0);
}

/* A response that did not vary and now does: the list has no sequence number, and must be seen all the same. */
START_TEST(a_list_of_variants_takes_the_place_of_a_response)
{
    struct memory *m = memory_new(MIB);
    struct object *list = list_of_variants(1);
    ck_assert(put(m, 1, 10, 9, MEMORY_REPLACE));
    ck_assert(memory_put(m, list, MEMORY_REPLACE));
    object_unref(&list);
    struct object *o = get(m, 1);
    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(object_head(o)->kind, RECORD_VARY);
    object_unref(&o);
    memory_free(m);
}
END_TEST

START_TEST(only_the_expected_one_is_removed)
{
    struct memory *m = memory_new(MIB);
    struct store_id id = id_of_number(1);
    struct object *stranger = object_of_number(1, 10, 0);
    ck_assert(put(m, 1, 10, 0, MEMORY_REPLACE));
    memory_remove(m, &id, stranger);
    ck_assert(has(m, 1));
    struct object *there = get(m, 1);
    memory_remove(m, &id, there);
    ck_assert(!has(m, 1));
    ck_assert(is_number(there, 1)); /* a reference outlives the tier's */
    object_unref(&there);
    object_unref(&stranger);
    memory_free(m);
}
END_TEST

START_TEST(what_is_too_large_is_not_kept_and_takes_the_old_one_along)
{
    struct memory *m = memory_new(MIB);
    uint64_t before = stats_of(m).rejected;
    ck_assert(put(m, 1, 10, 0, MEMORY_REPLACE));
    ck_assert(!put(m, 1, memory_object_limit(m), 0, MEMORY_IF_ABSENT));
    ck_assert(has(m, 1));
    ck_assert(!put(m, 1, memory_object_limit(m), 0, MEMORY_REPLACE));
    ck_assert(!has(m, 1));
    ck_assert_uint_eq(stats_of(m).rejected, before + 2);
    ck_assert_uint_eq(stats_of(m).bytes, 0);
    memory_free(m);
}
END_TEST

START_TEST(a_scan_leaves_the_hot_ones_where_they_are)
{
    enum { HOT = 1000, SCAN = 20000 };
    struct memory *m = memory_new(4 * MIB); /* about 3 000 entries */
    for (unsigned n = 0; n < HOT; n++) ck_assert(put(m, n, ENTRY, 0, MEMORY_REPLACE));
    for (int round = 0; round < 3; round++)
        for (unsigned n = 0; n < HOT; n++) ck_assert(has(m, n));
    unsigned missed = 0;
    for (unsigned n = 0; n < SCAN; n++) {
        ck_assert(put(m, HOT + n, ENTRY, 0, MEMORY_REPLACE));
        missed += has(m, n % HOT) ? 0 : 1;
    }
    ck_assert_uint_eq(missed, 0);
    ck_assert_uint_gt(stats_of(m).evictions, SCAN / 2);
    memory_free(m);
}
END_TEST

/* ---- what a response costs beyond its fields and content */

START_TEST(a_response_costs_at_most_300_bytes)
{
    enum { MANY = 20000, LEN = 1024, FIELDS = 4, COST_MAX = 300 };
    static const char *const texts[FIELDS][2] = { { "Date", "Mon, 23 Nov 2026 21:16:47 GMT" },
                                                  { "Content-Type", "application/json" },
                                                  { "Cache-Control", "public, max-age=86400" },
                                                  { "ETag", "\"0123456789abcdef\"" } };
    static char content[LEN];
    struct memory *m = memory_new(64 * MIB);
    struct field lines[FIELDS];
    size_t given = LEN;
    uint64_t host_tag = 1;
    for (size_t i = 0; i < FIELDS; i++) {
        lines[i] = (struct field){ .name = view_of_str(texts[i][0]), .value = view_of_str(texts[i][1]) };
        given += lines[i].name.len + lines[i].value.len;
    }
    for (unsigned n = 0; n < MANY; n++) {
        char text[OBJECT_KEY_MAX];
        int len = snprintf(text, sizeof text, "1\nGET\nhttps://api.example.com/v1/items/%u", n);
        struct key k = { .text = view_of(text, (size_t)len) };
        key_hash(k.text, k.hash);
        struct store_id id = { .key = { k.hash[0], k.hash[1] } };
        struct record_inputs in = { .kind = RECORD_RESPONSE,
                                    .key = k.text,
                                    .variant = VIEW(""),
                                    .fields = { lines, FIELDS },
                                    .tags = &host_tag,
                                    .tag_count = 1,
                                    .content_length = LEN,
                                    .content = view_of(content, LEN) };
        struct object *o = object_new(&in, &id, NULL, 0);
        ck_assert(memory_put(m, o, MEMORY_REPLACE));
        object_unref(&o);
    }
    ck_assert_uint_eq(stats_of(m).entries, MANY);
    ck_assert_uint_le(stats_of(m).bytes / MANY - given, COST_MAX);
    memory_free(m);
}
END_TEST

/* ---- pins */

enum { PIN_NOW = 1000, PIN_UNTIL = 2000 };

static bool put_at(struct memory *m, unsigned n, int64_t now_s, uint32_t until_s)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    struct store_id id = id_of_number(n);
    static char content[ENTRY];
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = k.text,
                                .variant = VIEW(""),
                                .stored = { .status = 200, .response_time_s = now_s, .pinned_until_s = until_s },
                                .content_length = ENTRY,
                                .content = view_of(content, ENTRY) };
    struct object *o = object_new(&in, &id, NULL, 0);
    bool kept = memory_put(m, o, MEMORY_REPLACE);
    object_unref(&o);
    return kept;
}

START_TEST(what_is_pinned_stays_until_its_time_is_over)
{
    enum { PINNED = 500, SCAN = 20000 };
    struct memory *m = memory_new(4 * MIB);
    for (unsigned n = 0; n < PINNED; n++) ck_assert(put_at(m, n, PIN_NOW, PIN_UNTIL));
    ck_assert_uint_eq(stats_of(m).pinned, PINNED);
    for (unsigned n = 0; n < SCAN; n++) ck_assert(put_at(m, PINNED + n, PIN_NOW, 0));
    for (unsigned n = 0; n < PINNED; n++) ck_assert(is_there(m, n));
    struct store_id first = id_of_number(0), last = id_of_number(PINNED + SCAN - 1);
    ck_assert(memory_is_pinned(m, &first) && !memory_is_pinned(m, &last));
    memory_remove(m, &first, NULL); /* a purge */
    ck_assert(!is_there(m, 0));
    ck_assert_uint_eq(stats_of(m).pinned, PINNED - 1);
    ck_assert(put_at(m, 1, PIN_NOW, 0)); /* no longer wanted */
    ck_assert_uint_eq(stats_of(m).pinned, PINNED - 2);
    for (unsigned n = 0; n < SCAN; n++) ck_assert(put_at(m, PINNED + n, PIN_UNTIL, 0));
    for (unsigned n = 2; n < PINNED; n++) ck_assert(!is_there(m, n));
    ck_assert_uint_eq(stats_of(m).pinned, 0);
    ck_assert_uint_eq(stats_of(m).pinned_bytes, 0);
    memory_free(m);
}
END_TEST

START_TEST(pins_have_half_of_memory)
{
    enum { MANY = 10000 };
    struct memory *m = memory_new(4 * MIB);
    for (unsigned n = 0; n < MANY; n++) ck_assert(put_at(m, n, PIN_NOW, PIN_UNTIL));
    struct memory_stats s = stats_of(m);
    ck_assert_uint_le(s.pinned_bytes, 2 * MIB);
    ck_assert_uint_gt(s.pinned_bytes, 2 * MIB - 2 * ENTRY);
    ck_assert_uint_eq(s.pins_refused, MANY - s.pinned);
    ck_assert_uint_eq(s.rejected, 0);
    for (unsigned n = 0; n < s.pinned; n++) ck_assert(is_there(m, n));
    ck_assert(is_there(m, MANY - 1)); /* like any other */
    memory_free(m);
}
END_TEST

START_TEST(what_is_not_written_yet_stays)
{
    enum { COUNT = 500, MORE = 20000 };
    struct memory *m = memory_new(4 * MIB);
    struct object *waiting[COUNT];
    for (unsigned n = 0; n < COUNT; n++) {
        waiting[n] = object_of_number(n, ENTRY, 0);
        atomic_store(&waiting[n]->unwritten, true);
        ck_assert(memory_put(m, waiting[n], MEMORY_REPLACE));
    }
    for (unsigned n = COUNT; n < MORE; n++) ck_assert(put(m, n, ENTRY, 0, MEMORY_REPLACE));
    for (unsigned n = 0; n < COUNT; n++) ck_assert(is_there(m, n));
    for (unsigned n = 0; n < COUNT; n++) memory_written(m, waiting[n]);
    for (unsigned n = MORE; n < 3 * MORE; n++) ck_assert(put(m, n, ENTRY, 0, MEMORY_REPLACE));
    unsigned left = 0;
    for (unsigned n = 0; n < COUNT; n++) {
        left += is_there(m, n) ? 1 : 0;
        object_unref(&waiting[n]);
    }
    ck_assert_uint_eq(left, 0);
    memory_free(m);
}
END_TEST

START_TEST(who_leaves_unused)
{
    struct memory *m = memory_new(MIB);
    struct object *o[4];
    for (unsigned n = 0; n < 4; n++) {
        o[n] = object_of_number(n == 3 ? 2 : n, ENTRY, 0);
        ck_assert(memory_put(m, o[n], MEMORY_REPLACE));
    }
    ck_assert(has(m, 1));
    ck_assert(is_there(m, 0));
    ck_assert(memory_leave_unused(m, o[0]));
    ck_assert(!memory_leave_unused(m, o[0])); /* no longer there */
    ck_assert(!memory_leave_unused(m, o[1])); /* used */
    ck_assert(!memory_leave_unused(m, o[2])); /* replaced */
    ck_assert(!memory_leave_unused(m, o[3])); /* fetched a second time, so asked for a second time */
    ck_assert(!is_there(m, 0));
    ck_assert(is_there(m, 1) && is_there(m, 2));
    ck_assert_uint_eq(stats_of(m).entries, 2);
    for (unsigned n = 0; n < 4; n++) object_unref(&o[n]);
    memory_free(m);
}
END_TEST

START_TEST(when_nothing_may_leave_nothing_more_is_taken)
{
    struct memory *m = memory_new(MIB);
    unsigned n = 0;
    for (;; n++) {
        struct object *o = object_of_number(n, 100 * ENTRY, 0);
        atomic_store(&o->unwritten, true);
        bool kept = memory_put(m, o, MEMORY_REPLACE);
        object_unref(&o);
        if (!kept) break;
    }
    ck_assert_uint_eq(n, MIB / (100 * ENTRY));
    ck_assert_uint_eq(stats_of(m).evictions, 0);
    memory_free(m);
}
END_TEST

/* Any shard may be the only one with something to give. */
START_TEST(the_last_one_that_may_leave_is_found)
{
    struct memory *m = memory_new(MIB);
    unsigned n = 0;
    ck_assert(put(m, 1000000, 100 * ENTRY, 0, MEMORY_REPLACE));
    for (; n + 2 < MIB / (100 * ENTRY); n++) {
        struct object *o = object_of_number(n, 100 * ENTRY, 0);
        atomic_store(&o->unwritten, true);
        ck_assert(memory_put(m, o, MEMORY_REPLACE));
        object_unref(&o);
    }
    for (n++; has(m, 1000000); n++) ck_assert(put(m, n, 100 * ENTRY, 0, MEMORY_REPLACE));
    ck_assert_uint_ge(stats_of(m).evictions, 1);
    memory_free(m);
}
END_TEST

static bool keep_even(void *arg, struct object *o)
{
    (*(unsigned *)arg)++;
    return object_content_length(o) % 2 == 0;
}

START_TEST(a_sweep_sees_each_and_removes_those_denied)
{
    struct memory *m = memory_new(16 * MIB);
    unsigned seen = 0;
    for (unsigned n = 0; n < 3000; n++) ck_assert(put(m, n, n, 0, MEMORY_REPLACE));
    memory_sweep(m, keep_even, &seen);
    ck_assert_uint_eq(seen, 3000);
    ck_assert_uint_eq(stats_of(m).entries, 1500);
    for (unsigned n = 0; n < 3000; n++) ck_assert(has(m, n) == (n % 2 == 0));
    memory_free(m);
}
END_TEST

/* ---- threads */

enum { THREADS = 4, STEPS = 20000, NAMES = 6000 };

struct crowd {
    struct memory *m;
    unsigned seed;
    _Atomic bool *over;
    _Atomic unsigned *wrong, *found;
};

static void *crowd_main(void *arg)
{
    struct crowd *c = arg;
    for (int step = 0; step < STEPS; step++) {
        unsigned n = (unsigned)rand_r(&c->seed) % NAMES, what = (unsigned)rand_r(&c->seed) % 16;
        struct store_id id = id_of_number(n);
        if (what < 8) {
            struct object *o = get(c->m, n);
            if (o != NULL && !is_number(o, n)) (*c->wrong)++;
            if (o != NULL) (*c->found)++;
            object_unref(&o);
        } else if (what < 15) {
            struct object *o = object_of_number(n, (unsigned)rand_r(&c->seed) % 3000, what);
            atomic_store(&o->unwritten, what == 14);
            (void)memory_put(c->m, o, what % 2 == 0 ? MEMORY_REPLACE : MEMORY_IF_ABSENT);
            memory_written(c->m, o);
            object_unref(&o);
        } else {
            memory_remove(c->m, &id, NULL);
        }
    }
    return NULL;
}

static void *watch_main(void *arg)
{
    struct crowd *c = arg;
    unsigned seen = 0;
    while (!*c->over) {
        struct memory_stats s;
        memory_stats(c->m, &s);
        if (s.bytes > s.limit_bytes) (*c->wrong)++;
        memory_sweep(c->m, keep_even, &seen);
    }
    return NULL;
}

START_TEST(the_budget_holds_under_a_crowd)
{
    struct memory *m = memory_new(2 * MIB);
    _Atomic bool over = false;
    _Atomic unsigned wrong = 0, found = 0;
    struct crowd crowds[THREADS + 1];
    pthread_t threads[THREADS + 1];
    for (unsigned i = 0; i <= THREADS; i++) {
        crowds[i] = (struct crowd){ m, i + 1, &over, &wrong, &found };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i < THREADS ? crowd_main : watch_main, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    over = true;
    pthread_join(threads[THREADS], NULL);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(found, 0);
    uint64_t bytes = 0, entries = 0;
    for (unsigned n = 0; n < NAMES; n++) {
        struct object *o = get(m, n);
        if (o != NULL) bytes += object_memory_bytes(o), entries++;
        object_unref(&o);
    }
    struct memory_stats s = stats_of(m);
    ck_assert_uint_eq(s.entries, entries);
    ck_assert_uint_eq(s.bytes, bytes); /* the buckets have not grown: what is left is counted to the byte */
    memory_free(m);
}
END_TEST

/* ---- what waits for the store */

/* More comes than the store can write: what was worth keeping stays. */
START_TEST(what_waits_for_the_store_drives_out_a_share_only)
{
    enum { HOT = 500, COME = 3000 };
    static struct object *waiting[COME];
    struct memory *m = memory_new(MIB);
    unsigned kept = 0, there = 0;
    for (unsigned n = 0; n < 2 * MIB / ENTRY; n++) ck_assert(put(m, 10000 + n, ENTRY, 0, MEMORY_REPLACE)); /* full */
    for (unsigned n = 0; n < HOT; n++) {
        ck_assert(put(m, n, ENTRY, 0, MEMORY_REPLACE));
        for (int uses = 0; uses < 3; uses++) ck_assert(has(m, n));
    }
    for (unsigned n = 0; n < COME; n++) {
        waiting[n] = object_of_number(20000 + n, ENTRY, 0);
        atomic_store(&waiting[n]->unwritten, true);
        kept += memory_put(m, waiting[n], MEMORY_REPLACE);
    }
    for (unsigned n = 0; n < HOT; n++) there += is_there(m, n);
    ck_assert_uint_gt(there, HOT * 8 / 10);
    ck_assert_uint_gt(kept, COME / 20);
    ck_assert_uint_lt(kept * ENTRY, MIB / 3);
    for (unsigned n = 0; n < COME; n++) memory_written(m, waiting[n]);
    for (unsigned n = 0; n < COME; n++) ck_assert(memory_put(m, waiting[n], MEMORY_REPLACE)); /* the store keeps up */
    for (unsigned n = 0; n < COME; n++) object_unref(&waiting[n]);
    memory_free(m);
}
END_TEST

/* ---- what is outside */

/* What slow clients still receive, and what is being fetched, is memory too. */
START_TEST(what_is_held_outside_leaves_less_for_the_tier)
{
    static const int64_t held[] = { 0, MIB / 4, MIB / 2, 5 * MIB, 0 };
    static const uint64_t limits[] = { MIB, MIB * 3 / 4, MIB / 2, MIB / 2, MIB };
    struct memory *m = memory_new(MIB);
    for (unsigned i = 0; i < sizeof held / sizeof *held; i++) {
        atomic_store(memory_held(m), held[i]);
        ck_assert_uint_eq(memory_outside_bytes(m), (uint64_t)held[i]);
        for (unsigned n = 0; n < 2000; n++) ck_assert(put(m, i * 10000 + n, ENTRY, 0, MEMORY_REPLACE));
        ck_assert_uint_le(stats_of(m).bytes, limits[i]);
        ck_assert_uint_gt(stats_of(m).bytes, limits[i] - 100000);
    }
    memory_free(m);
}
END_TEST

START_TEST(content_in_the_tier_is_not_outside)
{
    struct memory *m = memory_new(64 * MIB);
    struct body_settings settings = { .length = MIB, .whole_limit_bytes = MIB, .held = memory_held(m) };
    struct body *b = body_new(&settings);
    size_t room;
    char *at = body_room(b, &room);
    memset(at, 0, MIB);
    ck_assert_uint_eq(memory_outside_bytes(m), MIB);
    ck_assert_int_eq(body_append(b, at, MIB), BODY_GO_ON);
    body_complete(b);
    struct store_id id = { .key = { 1, 2 } };
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = VIEW("1\nGET\nhttp://example.com/"),
                                .variant = VIEW(""),
                                .content_length = MIB,
                                .content = VIEW("") };
    struct object *o = object_new(&in, &id, b, 0);
    body_unref(&b);
    ck_assert(memory_put(m, o, MEMORY_REPLACE));
    ck_assert_uint_eq(memory_outside_bytes(m), 0);
    ck_assert(memory_put(m, o, MEMORY_IF_ABSENT)); /* it is there */
    ck_assert_uint_eq(memory_outside_bytes(m), 0);
    memory_remove(m, &id, NULL);
    ck_assert_uint_eq(memory_outside_bytes(m), MIB); /* somebody has it still */
    object_unref(&o);
    ck_assert_uint_eq(memory_outside_bytes(m), 0);
    memory_free(m);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, what_is_put_is_found_until_it_is_removed);
    tcase_add_test(t, another_key_with_the_same_hash_is_not_found);
    tcase_add_loop_test(t, who_replaces_whom, 0, 5);
    tcase_add_test(t, a_list_of_variants_takes_the_place_of_a_response);
    tcase_add_test(t, only_the_expected_one_is_removed);
    tcase_add_test(t, what_is_too_large_is_not_kept_and_takes_the_old_one_along);
    tcase_add_test(t, a_scan_leaves_the_hot_ones_where_they_are);
    tcase_add_test(t, a_response_costs_at_most_300_bytes);
    tcase_add_test(t, what_is_pinned_stays_until_its_time_is_over);
    tcase_add_test(t, pins_have_half_of_memory);
    tcase_add_test(t, what_is_not_written_yet_stays);
    tcase_add_test(t, who_leaves_unused);
    tcase_add_test(t, when_nothing_may_leave_nothing_more_is_taken);
    tcase_add_test(t, the_last_one_that_may_leave_is_found);
    tcase_add_test(t, a_sweep_sees_each_and_removes_those_denied);
    tcase_add_test(t, what_waits_for_the_store_drives_out_a_share_only);
    tcase_add_test(t, what_is_held_outside_leaves_less_for_the_tier);
    tcase_add_test(t, content_in_the_tier_is_not_outside);
    tcase_add_test(t, the_budget_holds_under_a_crowd);
    return run_case("memory", t);
}
