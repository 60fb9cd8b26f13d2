/* What becomes of an origin's servers as requests and checks tell of them. */
#include "proxy/origin_state.h"

#include <check.h>
#include <stdlib.h>

enum { A, B, C, SERVERS };

static struct origin_server_settings servers[SERVERS] = { { .url = "http://a", .weight = 1 },
                                                          { .url = "http://b", .weight = 1 },
                                                          { .url = "http://c", .weight = 1, .backup = true } };
static const struct origin_settings settings = {
    .name = "fruit",
    .servers = servers,
    .server_count = SERVERS,
    .breaker = { .failures = 2, .open_ms = 1000, .probes = 1 },
    .health = { .path = "/", .interval_ms = 5000 },
    .retries = { .budget_percent = 10 },
    .slow_start_ms = 1000,
};

static const struct servers_tried nobody;

static int ask(struct origin_state *o, const struct servers_tried *tried, enum breaker_result result, int64_t now_ms)
{
    struct server_pick pick = origin_state_pick(o, tried, 0, now_ms);
    if (pick.server != BALANCE_NONE) origin_state_report(o, pick, result, now_ms);
    return pick.server;
}

/* Fails whenever `bad` is asked. */
static void ask_often(struct origin_state *o, int bad, int64_t now_ms, int *counts)
{
    for (int i = 0; i < 100; i++) {
        struct server_pick pick = origin_state_pick(o, &nobody, 0, now_ms);
        ck_assert_int_ne(pick.server, BALANCE_NONE);
        counts[pick.server]++;
        origin_state_report(o, pick, pick.server == bad ? BREAKER_FAILURE : BREAKER_SUCCESS, now_ms);
    }
}

START_TEST(a_server_that_fails_is_left_alone_then_tried)
{
    struct origin_state *o = origin_state_new(&settings);
    int counts[SERVERS] = { 0 }, later[SERVERS] = { 0 };
    ask_often(o, A, 100, counts);
    ck_assert_int_eq(counts[A], 2);
    ck_assert_int_eq(counts[B], 98);
    ck_assert_str_eq(server_state_name(&o->servers[A], 100), "open");
    ck_assert_str_eq(server_state_name(&o->servers[A], 1100), "probing");
    ask_often(o, SERVERS, 1200, later);
    ck_assert_int_ge(later[A], 1);
    ck_assert_str_eq(server_state_name(&o->servers[A], 1200), "well");
    origin_state_free(o);
}
END_TEST

START_TEST(a_server_that_is_back_starts_slowly)
{
    struct origin_state *o = origin_state_new(&settings);
    int early[SERVERS] = { 0 }, late[SERVERS] = { 0 };
    server_state_check(o, A, false, "refused", 0);
    server_state_check(o, A, true, NULL, 10000);
    ask_often(o, SERVERS, 10010, early);
    ck_assert_int_le(early[A], 5);
    ask_often(o, SERVERS, 11000, late);
    ck_assert_int_eq(late[A], 50);
    origin_state_free(o);
}
END_TEST

START_TEST(backups_and_the_tried_wait_for_their_turn)
{
    struct origin_state *o = origin_state_new(&settings);
    struct servers_tried tried = { { 0 } };
    servers_tried_add(&tried, A);
    ck_assert_int_eq(ask(o, &tried, BREAKER_SUCCESS, 0), B);
    servers_tried_add(&tried, B);
    ck_assert(origin_state_has_other(o, &tried, 0));
    ck_assert_int_eq(ask(o, &tried, BREAKER_SUCCESS, 0), C);
    servers_tried_add(&tried, C);
    ck_assert(!origin_state_has_other(o, &tried, 0));
    ck_assert_int_eq(ask(o, &tried, BREAKER_SUCCESS, 0), BALANCE_NONE);
    origin_state_free(o);
}
END_TEST

START_TEST(all_down_says_when_to_come_again)
{
    struct origin_state *o = origin_state_new(&settings);
    for (size_t i = 0; i < SERVERS; i++) server_state_check(o, i, false, "refused", 0);
    ck_assert_int_eq(ask(o, &nobody, BREAKER_SUCCESS, 0), BALANCE_NONE);
    ck_assert_int_eq(origin_state_retry_after_s(o, 0), 5);
    ck_assert_str_eq(server_state_name(&o->servers[B], 0), "ill");
    server_state_check(o, B, true, NULL, 10);
    ck_assert_int_eq(ask(o, &nobody, BREAKER_SUCCESS, 20), B);
    origin_state_free(o);
}
END_TEST

START_TEST(a_reload_keeps_what_is_known_by_url)
{
    static struct origin_server_settings others[] = { { .url = "http://d", .weight = 1 },
                                                      { .url = "http://a", .weight = 1 } };
    struct origin_settings next = settings;
    next.servers = others;
    next.server_count = 2;
    struct origin_state *before = origin_state_new(&settings), *after = origin_state_new(&next);
    server_state_check(before, A, false, "refused", 0);
    origin_state_inherit(after, before);
    ck_assert_str_eq(server_state_name(&after->servers[0], 0), "well");
    ck_assert_str_eq(server_state_name(&after->servers[1], 0), "ill");
    next.health.path = NULL; /* nobody would ever find it well again */
    origin_state_inherit(after, before);
    ck_assert_str_eq(server_state_name(&after->servers[1], 0), "well");
    origin_state_free(before);
    origin_state_free(after);
}
END_TEST

static const struct {
    size_t servers;
    int failures;
    const char *state;
} automatic[] = { { 1, -1, "well" }, { 2, -1, "open" }, { 1, 5, "open" }, { 2, 0, "well" } };

START_TEST(a_single_server_is_left_alone_only_when_asked_for)
{
    struct origin_settings s = settings;
    s.server_count = automatic[_i].servers;
    s.breaker.failures = automatic[_i].failures;
    struct origin_state *o = origin_state_new(&s);
    for (int i = 0; i < 20; i++) (void)ask(o, &nobody, BREAKER_FAILURE, 0);
    ck_assert_str_eq(server_state_name(&o->servers[A], 0), automatic[_i].state);
    origin_state_free(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("origin_state");
    TCase *t = tcase_create("origin_state");
    tcase_add_test(t, a_server_that_fails_is_left_alone_then_tried);
    tcase_add_test(t, a_server_that_is_back_starts_slowly);
    tcase_add_test(t, backups_and_the_tried_wait_for_their_turn);
    tcase_add_test(t, all_down_says_when_to_come_again);
    tcase_add_test(t, a_reload_keeps_what_is_known_by_url);
    tcase_add_loop_test(t, a_single_server_is_left_alone_only_when_asked_for, 0,
                        sizeof(automatic) / sizeof(automatic[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
