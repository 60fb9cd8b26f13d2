/* What 95 of 100 requests of a route stay below, as their times come in. */
#include "proxy/first_byte.h"
#include "tests/headers/table.h"

static void note_range(struct first_byte_times *t, int64_t first, int64_t last)
{
    for (int64_t us = first; us <= last; us++) first_byte_note(t, us);
}

START_TEST(few_times_say_nothing)
{
    struct first_byte_times t = { 0 };
    ck_assert_int_eq(first_byte_p95_us(&t), -1);
    note_range(&t, 1, FIRST_BYTE_LEAST - 1);
    ck_assert_int_eq(first_byte_p95_us(&t), -1);
    first_byte_note(&t, FIRST_BYTE_LEAST);
    ck_assert_int_eq(first_byte_p95_us(&t), 31); /* of 1 to 32: 1 in 20 is one */
}
END_TEST

/* The window holds FIRST_BYTE_WINDOW times, from and to all among them. */
static const struct window_row {
    int64_t from, to, then_from, then_to, p95;
    const char *why;
} windows[] = {
    { 1, 160, 0, -1, 152, "160 less its 8 largest" },
    { 1, 256, 0, -1, 244, "256 less 12" },
    { 1, 1024, 0, -1, 1012, "the last 256 of them" },
    { 10001, 10256, 1, 256, 244, "what was slow is forgotten" },
    { 1, 244, 10001, 10012, 244, "1 in 20 may be as slow as it likes" },
    { 1, 240, 10001, 10016, 10004, "more may not" },
};

START_TEST(of_the_last_times_the_slowest_are_left_out)
{
    const struct window_row *row = &windows[_i];
    struct first_byte_times t = { 0 };
    note_range(&t, row->from, row->to);
    note_range(&t, row->then_from, row->then_to);
    ck_assert_msg(first_byte_p95_us(&t) == row->p95, "%lld: %s", (long long)first_byte_p95_us(&t), row->why);
}
END_TEST

START_TEST(any_time_is_taken)
{
    struct first_byte_times t = { 0 };
    for (int i = 0; i < FIRST_BYTE_WINDOW; i++) first_byte_note(&t, 0);
    ck_assert_int_eq(first_byte_p95_us(&t), 1);
    for (int i = 0; i < FIRST_BYTE_WINDOW; i++) first_byte_note(&t, INT64_MAX);
    ck_assert_int_eq(first_byte_p95_us(&t), UINT32_MAX);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("first_byte");
    tcase_add_test(t, few_times_say_nothing);
    tcase_add_loop_test(t, of_the_last_times_the_slowest_are_left_out, 0, ROWS(windows));
    tcase_add_test(t, any_time_is_taken);
    return run_case("first_byte", t);
}
