/* How many of the files that may be open are for clients. */
#include "proxy/descriptors.h"

#include "tests/headers/table.h"

#include <sys/resource.h>

static const struct share {
    size_t may_be_open, workers;
    unsigned wanted, want;
    const char *why;
} shares[] = {
    { 1048576, 2, 20000, 20000, "as many as wanted" },
    { 1032, 1, 20000, 640, "two thirds of what is left" },
    { 1040, 2, 20000, 320, "for each worker" },
    { 1024, 2, 100, 100, "never more than wanted" },
    { 140, 2, 20000, 20, "a few" },
    { 64, 2, 20000, 16, "some, in any case" },
    { 10, 64, 20000, 16, "some, in any case" },
    { 10, 1, 1, 1, "never more than wanted" },
};

START_TEST(clients_leave_some_for_their_answers)
{
    const struct share *s = &shares[_i];
    ck_assert_msg(descriptors_for_clients(s->may_be_open, s->workers, s->wanted) == s->want, "%s", s->why);
}
END_TEST

START_TEST(the_limit_is_what_the_system_allows)
{
    struct rlimit limit, raised;
    ck_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 200 ? limit.rlim_max : 200;
    ck_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    ck_assert_uint_eq(descriptors_raise(), limit.rlim_max);
    ck_assert(getrlimit(RLIMIT_NOFILE, &raised) == 0 && raised.rlim_cur == limit.rlim_max);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("descriptors");
    TCase *t = tcase_create("descriptors");
    tcase_add_loop_test(t, clients_leave_some_for_their_answers, 0, sizeof shares / sizeof *shares);
    tcase_add_test(t, the_limit_is_what_the_system_allows);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
