/* A breaker's story, one letter per event; and what the budget of retries allows. */
#include "proxy/breaker.h"
#include "proxy/retry_budget.h"

#include <check.h>

/* Settings of every row: three failures open it for a second, two probes close it. */
static const struct origin_breaker settings = { .failures = 3, .open_ms = 1000, .probes = 2 };
static const struct origin_breaker off = { .failures = 0, .open_ms = 1000, .probes = 2 };

/* s, f, n: a request is admitted and succeeds, fails, is cancelled. S, F, N: the same, and it is a probe.
 * x: none is admitted. +: half a second passes. p: a probe goes out and stays. ^: news that it opened; v: that it closed. */
static const struct {
    const struct origin_breaker *settings;
    const char *story;
    const char *why;
} stories[] = {
    { &settings, "ssff", "closed" },
    { &settings, "fff^x", "three in a row open it" },
    { &settings, "ffsffsff", "a success between starts the count anew" },
    { &settings, "ffnf^x", "a cancelled request says nothing" },
    { &settings, "fff^+x+SSvs", "after a second it is tried, and two successes close it" },
    { &settings, "fff^++SF+x+SSv", "a failed probe opens it for another second" },
    { &settings, "fff^++NSNSvfff^x", "a cancelled probe lets the next one go; closed, it counts from nothing" },
    { &settings, "fff^++pxx++x", "one probe at a time" },
    { &off, "ffffffffff", "without a number of failures it stays closed" },
};

static enum breaker_result result_of(char event)
{
    if (event == 's' || event == 'S') return BREAKER_SUCCESS;
    return event == 'f' || event == 'F' ? BREAKER_FAILURE : BREAKER_NEITHER;
}

START_TEST(a_breaker_opens_and_closes)
{
    struct breaker b;
    enum breaker_news news = BREAKER_NO_NEWS;
    int64_t now_ms = 5;
    breaker_init(&b);
    for (const char *at = stories[_i].story; *at != '\0'; at++) {
        bool probe = false, expected_probe = *at == 'p' || (*at >= 'A' && *at <= 'Z');
        size_t place = (size_t)(at - stories[_i].story);
        if (*at != '^' && *at != 'v')
            ck_assert_msg(news == BREAKER_NO_NEWS, "%s at %zu: unexpected news", stories[_i].why, place);
        if (*at == '+') {
            now_ms += 500;
        } else if (*at == '^' || *at == 'v') {
            ck_assert_msg(news == (*at == '^' ? BREAKER_OPENED : BREAKER_CLOSED_AGAIN), "%s", stories[_i].why);
            news = BREAKER_NO_NEWS;
        } else if (*at == 'x') {
            ck_assert_msg(!breaker_may_admit(&b, now_ms), "%s at %zu", stories[_i].why, place);
            ck_assert_msg(!breaker_admit(&b, now_ms, &probe), "%s at %zu", stories[_i].why, place);
        } else {
            ck_assert_msg(breaker_may_admit(&b, now_ms), "%s at %zu", stories[_i].why, place);
            ck_assert_msg(breaker_admit(&b, now_ms, &probe), "%s at %zu", stories[_i].why, place);
            ck_assert_msg(probe == expected_probe, "%s at %zu", stories[_i].why, place);
            if (*at != 'p') news = breaker_report(&b, stories[_i].settings, probe, result_of(*at), now_ms);
        }
    }
    ck_assert_msg(news == BREAKER_NO_NEWS, "%s: unexpected news", stories[_i].why);
}
END_TEST

START_TEST(who_was_under_way_when_it_opened_says_nothing_new)
{
    struct breaker b;
    bool probe;
    breaker_init(&b);
    for (int i = 0; i < 5; i++) ck_assert(breaker_admit(&b, 0, &probe) && !probe);
    for (int i = 0; i < 3; i++) (void)breaker_report(&b, &settings, false, BREAKER_FAILURE, 0);
    ck_assert(breaker_report(&b, &settings, false, BREAKER_FAILURE, 900) == BREAKER_NO_NEWS);
    ck_assert(breaker_report(&b, &settings, false, BREAKER_SUCCESS, 900) == BREAKER_NO_NEWS);
    ck_assert(!breaker_may_admit(&b, 999));
    ck_assert(breaker_may_admit(&b, 1000));
}
END_TEST

static const struct {
    int requests, percent, allowed;
    int64_t later_s;
    const char *why;
} budgets[] = {
    { 0, 10, BUDGET_FLOOR, 0, "a few, however quiet" },
    { 1000, 10, 100, 0, "a tenth" },
    { 1000, 10, 100, BUDGET_SECONDS - 1, "of the last ten seconds" },
    { 1000, 10, BUDGET_FLOOR, BUDGET_SECONDS, "and no more" },
    { 1000, 0, 0, 0, "none is none" },
    { 50, 100, 50, 0, "as many as requests" },
};

START_TEST(a_budget_allows_a_share)
{
    struct retry_budget b = { 0 };
    int64_t now_s = 1700000000;
    for (int i = 0; i < budgets[_i].requests; i++) retry_budget_note_request(&b, now_s);
    int allowed = 0;
    while (retry_budget_take(&b, budgets[_i].percent, now_s + budgets[_i].later_s)) allowed++;
    ck_assert_msg(allowed == budgets[_i].allowed, "%s: %d", budgets[_i].why, allowed);
}
END_TEST

START_TEST(a_budget_comes_back_with_time)
{
    struct retry_budget b = { 0 };
    while (retry_budget_take(&b, 10, 100)) continue;
    ck_assert(!retry_budget_take(&b, 10, 100 + BUDGET_SECONDS - 1));
    ck_assert(retry_budget_take(&b, 10, 100 + BUDGET_SECONDS));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("breaker");
    TCase *t = tcase_create("breaker");
    tcase_add_loop_test(t, a_breaker_opens_and_closes, 0, sizeof(stories) / sizeof(stories[0]));
    tcase_add_test(t, who_was_under_way_when_it_opened_says_nothing_new);
    tcase_add_loop_test(t, a_budget_allows_a_share, 0, sizeof(budgets) / sizeof(budgets[0]));
    tcase_add_test(t, a_budget_comes_back_with_time);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
