/* XFetch: P(refresh) with r seconds left and a fetch of d seconds is exp(-r / (beta d)) (Vattani et al., VLDB 2015). */
#include "cache/reuse.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static const struct {
    int32_t fetch_ms;
    int beta_percent;
    int64_t remaining_s;
} cases[] = {
    { 1000, 100, 1 }, { 1000, 100, 2 }, { 1000, 100, 5 }, { 2000, 100, 2 }, { 1000, 200, 2 }, { 500, 50, 1 },
};

START_TEST(refreshes_are_as_likely_as_the_paper_says)
{
    enum { DRAWS = 100 * 1000 };
    struct stored_head s = { .fetch_ms = cases[_i].fetch_ms };
    struct reuse_decision d = { .verdict = REUSE_FRESH, .age_s = 10, .lifetime_s = 10 + cases[_i].remaining_s };
    struct policy p;
    int early = 0;
    policy_defaults(&p);
    p.early_refresh_percent = cases[_i].beta_percent;
    for (int i = 1; i <= DRAWS; i++) early += reuse_is_early(&s, &d, &p, (double)i / DRAWS);
    double scale_s = cases[_i].fetch_ms / 1000.0 * cases[_i].beta_percent / 100.0;
    double expected = exp(-(double)cases[_i].remaining_s / scale_s);
    ck_assert_double_le(fabs((double)early / DRAWS - expected), 2.0 / DRAWS);
}
END_TEST

START_TEST(never_early)
{
    struct stored_head quick = { .fetch_ms = 1 }, slow = { .fetch_ms = 60 * 1000 };
    struct reuse_decision d = { .verdict = REUSE_FRESH, .age_s = 0, .lifetime_s = 60 };
    struct policy p;
    policy_defaults(&p);
    ck_assert(!reuse_is_early(&quick, &d, &p, 1e-9)); /* a fetch of a millisecond, a minute left */
    ck_assert(reuse_is_early(&slow, &d, &p, 1e-9));
    p.early_refresh_percent = 0;
    ck_assert(!reuse_is_early(&slow, &d, &p, 1e-9)); /* switched off */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("early refresh");
    TCase *tests = tcase_create("XFetch");
    tcase_add_loop_test(tests, refreshes_are_as_likely_as_the_paper_says, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, never_early);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
