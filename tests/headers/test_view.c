#include "headers/view.h"

#include "table.h"

static const struct {
    const char *text;
    int64_t max;
    bool valid;
    int64_t value;
} decimals[] = {
    { "0", 100, true, 0 },
    { "007", 100, true, 7 },
    { "100", 100, true, 100 },
    { "101", 100, true, 100 },
    { "2147483648", 2147483647, true, 2147483647 },
    { "9223372036854775807", INT64_MAX, true, INT64_MAX },
    { "9223372036854775808", INT64_MAX, true, INT64_MAX },
    { "99999999999999999999999999999999999999", INT64_MAX, true, INT64_MAX },
    { "", 100, false, 0 },
    { "-1", 100, false, 0 },
    { "+1", 100, false, 0 },
    { "1.0", 100, false, 0 },
    { " 1", 100, false, 0 },
    { "1 ", 100, false, 0 },
    { "0x1", 100, false, 0 },
    { "99999999999999999999a", 100, false, 0 },
};

START_TEST(decimal_digits_only_and_saturating)
{
    int64_t value = 0;
    ck_assert_int_eq(view_parse_decimal(view_of_str(decimals[_i].text), decimals[_i].max, &value), decimals[_i].valid);
    ck_assert_int_eq(value, decimals[_i].value);
}
END_TEST

static const struct {
    const char *a, *b;
    bool equal;
} pairs[] = {
    { "Cache-Control", "cache-control", true },
    { "AZ", "az", true },
    { "", "", true },
    { "a", "", false },
    { "a", "b", false },
    { "[", "{", false }, /* 0x5b and 0x7b differ by 0x20, and are no letters */
    { "@", "`", false },
    { "\xc4", "\xe4", false },
};

START_TEST(case_is_ascii_case)
{
    struct view a = view_of_str(pairs[_i].a), b = view_of_str(pairs[_i].b);
    ck_assert_int_eq(view_equal_nocase(a, b), pairs[_i].equal);
    ck_assert_int_eq(view_starts_with_nocase(a, b), pairs[_i].equal || b.len == 0);
}
END_TEST

START_TEST(every_tchar_and_no_other)
{
    const char *specials = "!#$%&'*+-.^_`|~"; /* RFC 9110 §5.6.2 */
    char c = (char)_i;
    bool alnum = (_i >= '0' && _i <= '9') || (_i >= 'A' && _i <= 'Z') || (_i >= 'a' && _i <= 'z');
    ck_assert_int_eq(is_tchar(c), alnum || (_i != 0 && strchr(specials, _i) != NULL));
    ck_assert_int_eq(is_digit(c), _i >= '0' && _i <= '9');
    ck_assert_int_eq(view_is_token(view_of(&c, 1)), is_tchar(c));
}
END_TEST

START_TEST(parts_of_a_view)
{
    struct view v = VIEW("abc");
    ck_assert(view_is(view_after(v, 1), "bc"));
    ck_assert(view_is(view_after(v, 9), ""));
    ck_assert(view_is(view_first(v, 2), "ab"));
    ck_assert(view_is(view_first(v, 9), "abc"));
    ck_assert_uint_eq(view_find(v, 0, 'c'), 2);
    ck_assert_uint_eq(view_find(v, 0, 'x'), 3);
    ck_assert_uint_eq(view_find(v, 9, 'a'), 3);
    ck_assert(view_starts_with(v, VIEW("ab")));
    ck_assert(!view_starts_with(v, VIEW("abcd")));
    ck_assert(!view_starts_with(v, VIEW("AB")));
    ck_assert(view_is(view_trim_ows(VIEW(" \t a b\t ")), "a b"));
    ck_assert(view_is(view_trim_ows(VIEW(" \t ")), ""));
}
END_TEST

START_TEST(a_view_of_nothing_is_empty)
{
    struct view v = view_of_str(NULL);
    ck_assert_uint_eq(v.len, 0);
    ck_assert(view_equal(v, VIEW("")));
    ck_assert(view_equal_nocase(v, VIEW("")));
    ck_assert_uint_eq(view_find(v, 0, 'a'), 0);
    ck_assert_uint_eq(view_after(v, 3).len, 0);
    ck_assert_uint_eq(view_trim_ows(v).len, 0);
    ck_assert(!view_is_token(v));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("view");
    tcase_add_loop_test(t, decimal_digits_only_and_saturating, 0, ROWS(decimals));
    tcase_add_loop_test(t, case_is_ascii_case, 0, ROWS(pairs));
    tcase_add_loop_test(t, every_tchar_and_no_other, 0, 256);
    tcase_add_test(t, parts_of_a_view);
    tcase_add_test(t, a_view_of_nothing_is_empty);
    return run_case("headers/view", t);
}
