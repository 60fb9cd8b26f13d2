/* What weir counts: durations fall into buckets that are at most an eighth wide, and a quantile is the bucket's end. */
#include "proxy/stats.h"
#include "tests/headers/table.h"

START_TEST(a_duration_is_at_most_an_eighth_off)
{
    static const int64_t durations[] = {
        0, 1, 7, 8, 9, 15, 16, 17, 100, 1000, 4095, 4096, 4097, 1000000, 60000000, 17179869183,
    };
    static struct histogram h;
    const struct histogram *all[] = { &h };
    histogram_add(&h, durations[_i]);
    ck_assert_uint_eq(histogram_count(&h), 1);
    for (double q = 0; q <= 1; q += 0.25) {
        int64_t found = histogram_quantile(all, 1, q);
        ck_assert_int_ge(found, durations[_i]);
        ck_assert_int_le(found, durations[_i] + durations[_i] / 8);
    }
}
END_TEST

START_TEST(what_no_bucket_is_made_for_is_counted_all_the_same)
{
    static const struct {
        int64_t us, quantile;
    } cases[] = { { -1, 0 }, { INT64_MIN, 0 }, { 17179869184, 17179869183 }, { INT64_MAX, 17179869183 } };
    static struct histogram h;
    const struct histogram *all[] = { &h };
    histogram_add(&h, cases[_i].us);
    ck_assert_uint_eq(histogram_count(&h), 1);
    ck_assert_int_eq(histogram_quantile(all, 1, 0.5), cases[_i].quantile);
}
END_TEST

START_TEST(every_bucket_ends_where_the_next_begins)
{
    for (size_t b = 0; b + 1 < HISTOGRAM_BUCKETS; b++) {
        struct histogram *h = calloc(1, sizeof *h);
        ck_assert_int_lt(histogram_bucket_end_us(b), histogram_bucket_end_us(b + 1));
        histogram_add(h, histogram_bucket_end_us(b));
        ck_assert_uint_eq(h->buckets[b], 1);
        histogram_add(h, histogram_bucket_end_us(b) + 1);
        ck_assert_uint_eq(h->buckets[b + 1], 1);
        free(h);
    }
}
END_TEST

START_TEST(a_quantile_is_of_all_together)
{
    static const struct {
        double q;
        int64_t least, most;
    } cases[] = {
        { 0, 1, 1 },          { 0.25, 26, 29 },      { 0.5, 51, 58 },
        { 0.9, 9000, 10200 }, { 0.99, 9900, 11200 }, { 1, 10000, 11300 },
    };
    static struct histogram quick, slow, none;
    const struct histogram *all[] = { &quick, &none, &slow };
    for (int64_t us = 1; us <= 80; us++) histogram_add(&quick, us);
    for (int64_t us = 1; us <= 20; us++) histogram_add(&slow, 8000 + us * 100);
    ck_assert_int_ge(histogram_quantile(all, 3, cases[_i].q), cases[_i].least);
    ck_assert_int_le(histogram_quantile(all, 3, cases[_i].q), cases[_i].most);
    ck_assert_uint_eq(slow.sum_us, 20 * 8000 + 100 * 210);
}
END_TEST

START_TEST(of_nothing_every_quantile_is_nothing)
{
    static struct histogram h;
    const struct histogram *all[] = { &h };
    ck_assert_int_eq(histogram_quantile(all, 1, 0.99), 0);
    ck_assert_int_eq(histogram_quantile(all, 0, 0.99), 0);
}
END_TEST

START_TEST(each_counter_has_a_name_of_its_own)
{
#define STATS_NAME(name, metric, help) metric,
#define STATS_HELP(name, metric, help) help,
    static const char *const names[] = { STATS_COUNTERS(STATS_NAME) };
    static const char *const helps[] = { STATS_COUNTERS(STATS_HELP) };
    for (int i = 0; i < ROWS(names); i++) {
        size_t len = strlen(names[i]);
        ck_assert_str_eq(names[i] + len - strlen("_total"), "_total");
        ck_assert(strspn(names[i], "abcdefghijklmnopqrstuvwxyz_") == len);
        ck_assert_uint_gt(strlen(helps[i]), 0);
        for (int j = 0; j < i; j++) ck_assert_str_ne(names[i], names[j]);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("stats");
    tcase_add_loop_test(t, a_duration_is_at_most_an_eighth_off, 0, 16);
    tcase_add_loop_test(t, what_no_bucket_is_made_for_is_counted_all_the_same, 0, 4);
    tcase_add_test(t, every_bucket_ends_where_the_next_begins);
    tcase_add_loop_test(t, a_quantile_is_of_all_together, 0, 6);
    tcase_add_test(t, of_nothing_every_quantile_is_nothing);
    tcase_add_test(t, each_counter_has_a_name_of_its_own);
    return run_case("stats", t);
}
