/* Who gets a place when there are two, and two may wait in each queue. */
#include "proxy/origin_gate.h"

#include <check.h>
#include <stdlib.h>

enum { PLACES = 2, QUEUE = 2, FETCHES = 8 };

struct fetch_double {
    struct gate_waiter waiter;
    bool has_place;
};

static void admitted(struct loop_task *t)
{
    struct fetch_double *f = HOLDER_OF(t, struct fetch_double, waiter.admitted);
    f->has_place = true;
}

/* A digit: that fetch comes; 5 to 7 are background. +N: it comes, but would not wait. -N: it leaves its place, or waits no
 * longer. The places then. */
static const struct {
    const char *story, *places;
    size_t waiting, refused;
    const char *why;
} rows[] = {
    { "0 1", "01", 0, 0, "both find a place" },
    { "0 1 2", "01", 1, 0, "the third waits" },
    { "0 1 2 -0", "12", 0, 0, "and gets the first one that is left" },
    { "0 1 2 3 4", "01", 2, 1, "two may wait" },
    { "0 1 2 3 -0 -1", "23", 0, 0, "in their order" },
    { "0 1 5 2 -0", "12", 1, 0, "a client's fetch before one in the background" },
    { "0 1 5 2 -0 -1", "25", 0, 0, "which has its turn when nobody else waits" },
    { "0 1 2 3 5 6 7", "01", 4, 1, "the background has a queue of its own" },
    { "0 1 2 -2 3 -0", "13", 0, 0, "who waits no longer gets none" },
    { "0 1 -0 -1 2", "2", 0, 0, "places come back" },
    { "0 +1", "01", 0, 0, "who would not wait need not" },
    { "0 1 +2 -0", "1", 0, 0, "or is not there when a place is left" },
    { "0 +1 2 -1", "02", 0, 0, "its place is one like the others" },
};

START_TEST(places_are_given_in_order)
{
    struct loop *loop = loop_new();
    struct origin_gate gate;
    struct fetch_double all[FETCHES];
    char places[FETCHES + 1] = "";
    memset(all, 0, sizeof all);
    origin_gate_init(&gate, PLACES, QUEUE);
    for (const char *at = rows[_i].story; *at != '\0'; at += strspn(at, " ")) {
        bool leaves = *at == '-', tries = *at == '+';
        at += leaves || tries;
        struct fetch_double *f = &all[*at++ - '0'];
        f->waiter.loop = loop;
        f->waiter.admitted.run = admitted;
        f->waiter.background = f - all >= 5;
        if (tries)
            f->has_place = origin_gate_try(&gate);
        else if (!leaves)
            f->has_place = origin_gate_enter(&gate, &f->waiter) == GATE_OPEN;
        else if (f->has_place)
            origin_gate_leave(&gate);
        else
            ck_assert(origin_gate_cancel(&gate, &f->waiter));
        if (leaves) f->has_place = false;
        bool posted = false;
        for (size_t i = 0; i < FETCHES; i++) posted = posted || atomic_load(&all[i].waiter.admitted.posted);
        if (posted) loop_turn(loop);
    }
    for (size_t i = 0, n = 0; i < FETCHES; i++)
        if (all[i].has_place) places[n++] = (char)('0' + i);
    struct gate_counts counts = origin_gate_counts(&gate);
    ck_assert_msg(strcmp(places, rows[_i].places) == 0, "%s: %s", rows[_i].why, places);
    ck_assert_msg(counts.waiting == rows[_i].waiting, "%s", rows[_i].why);
    ck_assert_msg(counts.refused == rows[_i].refused, "%s", rows[_i].why);
    ck_assert_uint_eq(counts.taken, strlen(places));
    loop_free(loop);
}
END_TEST

START_TEST(as_many_give_way_as_others_wait)
{
    struct loop *loop = loop_new();
    struct origin_gate gate;
    struct fetch_double all[5];
    memset(all, 0, sizeof all);
    origin_gate_init(&gate, PLACES, QUEUE);
    for (size_t i = 0; i < 5; i++) {
        all[i].waiter.loop = loop;
        all[i].waiter.admitted.run = admitted;
        all[i].waiter.background = i == 4;
        ck_assert_int_eq(origin_gate_enter(&gate, &all[i].waiter), i < PLACES ? GATE_OPEN : GATE_WAIT);
        if (i < PLACES) ck_assert(!origin_gate_give_way(&gate));
    }
    for (size_t i = PLACES; i < 4; i++) ck_assert(origin_gate_give_way(&gate));
    ck_assert(!origin_gate_give_way(&gate)); /* the last one who waits is a refresh */
    for (size_t i = PLACES; i < 4; i++) {
        origin_gate_gave_way(&gate);
        origin_gate_leave(&gate);
    }
    loop_turn(loop);
    ck_assert(all[2].has_place && all[3].has_place && !origin_gate_give_way(&gate));
    loop_free(loop);
}
END_TEST

START_TEST(without_a_limit_nothing_is_counted)
{
    struct origin_gate gate;
    struct gate_waiter w = { 0 };
    origin_gate_init(&gate, 0, QUEUE);
    for (int i = 0; i < 100; i++) ck_assert(origin_gate_enter(&gate, &w) == GATE_OPEN);
    ck_assert(!origin_gate_give_way(&gate));
    origin_gate_leave(&gate);
    origin_gate_end(&gate);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("origin_gate");
    TCase *t = tcase_create("origin_gate");
    tcase_add_loop_test(t, places_are_given_in_order, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(t, as_many_give_way_as_others_wait);
    tcase_add_test(t, without_a_limit_nothing_is_counted);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
