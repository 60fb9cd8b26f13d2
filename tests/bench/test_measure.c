/* The parts of the benchmark that decide whether an answer is right and how long it took. */
#include <check.h>
#include <stdlib.h>

#include "tests/bench/latency.h"
#include "tests/bench/response.h"

static const struct {
    const char *bytes;
    size_t head_len;
    int status;
    bool has_length;
    uint64_t length;
    bool is_last;
} heads[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nmore", 39, 200, true, 17, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n", 0, 0, false, 0, false },
    { "", 0, 0, false, 0, false },
    { "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 40, 304, false, 0, false },
    { "HTTP/1.1 200 OK\r\ncONTENT-lENGTH:\t 5\r\nconnection: Close\r\n\r\n", 58, 200, true, 5, true },
    { "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", 39, 200, false, 0, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n", 56, 200, false, 0, false },
    { "HTTP/1.1 200 OK\r\nContent-Lengthy: 5\r\nX-Content-Length: 6\r\n\r\n", 60, 200, false, 0, false },
    { "HTTP/1.0 200 OK\r\n\r\n", 19, 0, false, 0, false },
    { "HTTP/1.1 2x0 OK\r\n\r\n", 19, 0, false, 0, false },
};

START_TEST(a_head_is_read_once_its_blank_line_is_there)
{
    struct response_facts f = response_read(view_of_str(heads[_i].bytes));
    ck_assert_uint_eq(f.head_len, heads[_i].head_len);
    ck_assert_int_eq(f.status, heads[_i].status);
    ck_assert(f.has_length == heads[_i].has_length);
    ck_assert_uint_eq(f.length, heads[_i].length);
    ck_assert(f.is_last == heads[_i].is_last);
}
END_TEST

START_TEST(quantiles_are_at_most_a_part_in_32_too_high)
{
    static struct latency l;
    for (uint64_t ns = 1; ns <= 100000; ns++) latency_add(&l, ns * 10);
    const double shares[] = { 0.001, 0.5, 0.99, 0.999, 1 };
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double right = shares[i] * 1000000, told = (double)latency_quantile_ns(&l, shares[i]);
        ck_assert_double_ge(told, right);
        ck_assert_double_le(told, right * (1 + 1.0 / 32) + 1);
    }
}
END_TEST

START_TEST(the_smallest_and_the_largest_duration_have_a_place)
{
    static struct latency l;
    ck_assert_uint_eq(latency_quantile_ns(&l, 0.5), 0);
    latency_add(&l, 0);
    ck_assert_uint_eq(latency_quantile_ns(&l, 0.5), 0);
    latency_add(&l, UINT64_MAX);
    ck_assert_uint_eq(latency_quantile_ns(&l, 1), UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench");
    TCase *t = tcase_create("measure");
    tcase_add_loop_test(t, a_head_is_read_once_its_blank_line_is_there, 0, sizeof heads / sizeof heads[0]);
    tcase_add_test(t, quantiles_are_at_most_a_part_in_32_too_high);
    tcase_add_test(t, the_smallest_and_the_largest_duration_have_a_place);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
