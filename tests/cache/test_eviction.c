/* Who leaves: S3-FIFO keeps what is asked for again, and a scan passes through without driving it out. */
#include "cache/eviction.h"
#include "tests/headers/table.h"

enum { GHOSTS = 1024, ENTRIES = 4096 };

/* A tier of equal entries: as many as fit, those that leave are forgotten. */
struct tier {
    struct eviction eviction;
    struct eviction_node nodes[ENTRIES];
    size_t held, room;
};

static uint32_t hash_of(void *arg, const struct eviction_node *n)
{
    const struct tier *t = arg;
    return (uint32_t)((size_t)(n - t->nodes) * 0x9e3779b1u);
}

static struct tier *tier_new(size_t room)
{
    struct tier *t = calloc(1, sizeof *t);
    ck_assert_ptr_nonnull(t);
    ck_assert(eviction_init(&t->eviction, GHOSTS, hash_of, t));
    t->room = room;
    return t;
}

static void tier_free(struct tier *t)
{
    eviction_free(&t->eviction);
    free(t);
}

static bool is_held(const struct tier *t, size_t name)
{
    return t->nodes[name].queue != 0;
}

static size_t leave(struct tier *t, bool (*may_leave)(const struct eviction_node *))
{
    struct eviction_node *n = eviction_next(&t->eviction, may_leave);
    if (n == NULL) return ENTRIES;
    ck_assert_int_eq(n->queue, 0);
    t->held--;
    return (size_t)(n - t->nodes);
}

/* @return whether it was there */
static bool ask(struct tier *t, size_t name)
{
    if (is_held(t, name)) {
        eviction_touch(&t->nodes[name]);
        return true;
    }
    while (t->held >= t->room) ck_assert_uint_lt(leave(t, NULL), ENTRIES);
    eviction_add(&t->eviction, &t->nodes[name], 1);
    t->held++;
    return false;
}

static uint64_t bytes_held(const struct tier *t)
{
    return t->eviction.small.bytes + t->eviction.main.bytes;
}

START_TEST(a_scan_does_not_evict_what_is_asked_for_often)
{
    enum { HOT = 80, ROOM = 100, SCAN = 3000 };
    struct tier *t = tier_new(ROOM);
    for (int round = 0; round < 3; round++)
        for (size_t hot = 0; hot < HOT; hot++) (void)ask(t, hot);
    size_t missed = 0, next = HOT;
    for (size_t i = 0; i < SCAN; i++) {
        (void)ask(t, next++);
        if (i % 2 == 0) missed += ask(t, i / 2 % HOT) ? 0 : 1;
    }
    ck_assert_uint_eq(missed, 0);
    tier_free(t);
}
END_TEST

START_TEST(new_entries_leave_in_their_order)
{
    struct tier *t = tier_new(10);
    for (size_t i = 0; i < 10; i++) (void)ask(t, i);
    for (size_t i = 0; i < 10; i++) ck_assert_uint_eq(leave(t, NULL), i);
    ck_assert_uint_eq(leave(t, NULL), ENTRIES);
    ck_assert_uint_eq(bytes_held(t), 0);
    tier_free(t);
}
END_TEST

START_TEST(one_that_was_asked_for_again_stays_longer)
{
    struct tier *t = tier_new(10);
    for (size_t i = 0; i < 10; i++) (void)ask(t, i);
    (void)ask(t, 0);
    for (size_t i = 1; i < 10; i++) ck_assert_uint_eq(leave(t, NULL), i);
    ck_assert_uint_eq(leave(t, NULL), 0);
    tier_free(t);
}
END_TEST

START_TEST(one_that_comes_back_goes_to_the_main_queue)
{
    struct tier *t = tier_new(10);
    for (size_t i = 0; i < 10; i++) (void)ask(t, i);
    ck_assert_uint_eq(leave(t, NULL), 0);
    ck_assert_uint_eq(t->eviction.main.bytes, 0);
    (void)ask(t, 0);
    ck_assert_uint_eq(t->eviction.main.bytes, 1);
    (void)ask(t, 10); /* a stranger does not */
    ck_assert_uint_eq(t->eviction.main.bytes, 1);
    tier_free(t);
}
END_TEST

START_TEST(one_that_comes_back_late_is_a_stranger)
{
    enum { ROOM = 10 };
    for (size_t others = ROOM - 2; others <= ROOM; others++) {
        struct tier *t = tier_new(ROOM);
        for (size_t i = 0; i <= ROOM; i++) (void)ask(t, i); /* 0 leaves */
        for (size_t i = 1; i < others; i++) (void)ask(t, ROOM + i);
        (void)ask(t, 0); /* the last of the others leaves to make room for it, and ROOM - 1 are held */
        ck_assert_uint_eq(t->eviction.main.bytes, others <= ROOM - 1 ? 1 : 0);
        tier_free(t);
    }
}
END_TEST

START_TEST(uses_count_up_to_a_maximum)
{
    struct eviction_node n = { .queue = 1 };
    for (int i = 0; i < 1000; i++) eviction_touch(&n);
    ck_assert_int_eq(n.frequency, EVICTION_FREQUENCY_MAX);
}
END_TEST

/* ---- refusals */

static bool refuse(const struct eviction_node *n)
{
    (void)n;
    return false;
}

static bool odd_ones_may_leave(const struct eviction_node *n)
{
    return (uintptr_t)n / sizeof *n % 2 == 1;
}

START_TEST(nothing_leaves_while_all_are_refused)
{
    static const size_t counts[] = { 1, 7, 1000, 1024, 1025, 3000 };
    struct tier *t = tier_new(ENTRIES);
    for (size_t i = 0; i < counts[_i]; i++) (void)ask(t, i);
    ck_assert_uint_eq(leave(t, refuse), ENTRIES);
    ck_assert_uint_eq(bytes_held(t), counts[_i]);
    for (size_t i = 0; i < counts[_i]; i++) ck_assert_uint_lt(leave(t, NULL), ENTRIES);
    ck_assert_uint_eq(leave(t, NULL), ENTRIES);
    tier_free(t);
}
END_TEST

START_TEST(those_that_may_leave_do)
{
    struct tier *t = tier_new(100);
    for (size_t i = 0; i < 100; i++) (void)ask(t, i);
    size_t may = 0;
    for (size_t i = 0; i < 100; i++) may += odd_ones_may_leave(&t->nodes[i]);
    ck_assert(may > 0 && may < 100);
    for (size_t i = 0; i < may; i++) {
        size_t name = leave(t, odd_ones_may_leave);
        ck_assert_uint_lt(name, ENTRIES);
        ck_assert(odd_ones_may_leave(&t->nodes[name]));
    }
    ck_assert_uint_eq(leave(t, odd_ones_may_leave), ENTRIES);
    ck_assert_uint_eq(bytes_held(t), 100 - may);
    tier_free(t);
}
END_TEST

/* ---- the queues under anything that may happen */

static size_t walk(const struct eviction_queue *q, uint64_t *bytes)
{
    size_t count = 0;
    const struct eviction_node *older = NULL;
    for (const struct eviction_node *n = q->oldest; n != NULL; older = n, n = n->newer, count++) {
        ck_assert_ptr_eq(n->older, older);
        *bytes += eviction_node_bytes(n);
    }
    ck_assert_ptr_eq(q->newest, older);
    return count;
}

START_TEST(the_queues_hold_each_entry_once)
{
    enum { STEPS = 20000, NAMES = 500 };
    struct tier *t = tier_new(NAMES);
    uint32_t state = 88172645u + (uint32_t)_i;
    for (int step = 0; step < STEPS; step++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        struct eviction_node *n = &t->nodes[state % NAMES];
        unsigned what = state >> 16 & 7;
        if (n->queue == 0)
            eviction_add(&t->eviction, n, 1 + (state >> 8) % 1000), t->held++;
        else if (what == 0)
            eviction_remove(&t->eviction, n), t->held--;
        else if (what == 1)
            (void)leave(t, NULL);
        else
            eviction_touch(n);
        if (step % 100 != 0) continue;
        uint64_t small = 0, main_bytes = 0;
        size_t count = walk(&t->eviction.small, &small) + walk(&t->eviction.main, &main_bytes);
        ck_assert_uint_eq(count, t->held);
        ck_assert_uint_eq(small, t->eviction.small.bytes);
        ck_assert_uint_eq(main_bytes, t->eviction.main.bytes);
    }
    tier_free(t);
}
END_TEST

/* Requests as they come: few names often, many once. @return hits */
static size_t hits_of(size_t room, bool lru)
{
    enum { REQUESTS = 60000, NAMES = ENTRIES };
    struct tier *t = tier_new(room);
    static uint32_t last[NAMES]; /* for LRU: when it was asked for */
    memset(last, 0, sizeof last);
    uint32_t state = 2463534242u;
    size_t hits = 0, held = 0;
    for (uint32_t i = 1; i <= REQUESTS; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        double u = (double)(state >> 8) / (1 << 24);
        size_t name = (size_t)(u * u * u * u * NAMES);
        if (i % 3 == 0) name = NAMES / 2 + i / 3 % (NAMES / 2); /* and a scan beside it */
        if (!lru) {
            hits += ask(t, name);
            continue;
        }
        hits += last[name] != 0;
        held += last[name] == 0;
        last[name] = i;
        while (held > room) {
            size_t oldest = 0;
            for (size_t n = 0; n < NAMES; n++)
                if (last[n] != 0 && (last[oldest] == 0 || last[n] < last[oldest])) oldest = n;
            last[oldest] = 0;
            held--;
        }
    }
    tier_free(t);
    return hits;
}

START_TEST(more_is_hit_than_with_lru)
{
    ck_assert_uint_gt(hits_of(200, false), hits_of(200, true));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("eviction");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_scan_does_not_evict_what_is_asked_for_often);
    tcase_add_test(t, new_entries_leave_in_their_order);
    tcase_add_test(t, one_that_was_asked_for_again_stays_longer);
    tcase_add_test(t, one_that_comes_back_goes_to_the_main_queue);
    tcase_add_test(t, one_that_comes_back_late_is_a_stranger);
    tcase_add_test(t, uses_count_up_to_a_maximum);
    tcase_add_loop_test(t, nothing_leaves_while_all_are_refused, 0, 6);
    tcase_add_test(t, those_that_may_leave_do);
    tcase_add_loop_test(t, the_queues_hold_each_entry_once, 0, 4);
    tcase_add_test(t, more_is_hit_than_with_lru);
    return run_case("eviction", t);
}
