#include "headers/range.h"

#include <inttypes.h>
#include <stdio.h>

#include "table.h"

#define NONE          "none"
#define UNSATISFIABLE "416"

/* The parts joined by ','. */
static const struct {
    const char *value;
    int64_t length;
    const char *parts;
} sets[] = {
    { "bytes=0-4", 10, "0-4" }, /* RFC 9110 §14.1.2 */
    { "bytes=0-0", 10, "0-0" },
    { "bytes=5-", 10, "5-9" },
    { "bytes=5-99", 10, "5-9" },
    { "bytes=9-9", 10, "9-9" },
    { "bytes=-3", 10, "7-9" },
    { "bytes=-10", 10, "0-9" },
    { "bytes=-99", 10, "0-9" },
    { "Bytes=0-4", 10, "0-4" }, /* §14.1: range units are case-insensitive */
    { "bytes=0-99999999999999999999999999", 10, "0-9" },
    { "bytes=-99999999999999999999999999", 10, "0-9" },
    { "bytes=00-04", 10, "0-4" },
    { "bytes=10-", 10, UNSATISFIABLE }, /* first at the length */
    { "bytes=10-12", 10, UNSATISFIABLE },
    { "bytes=99999999999999999999999999-", 10, UNSATISFIABLE },
    { "bytes=-0", 10, UNSATISFIABLE },
    { "bytes=0-", 0, UNSATISFIABLE },
    { "bytes=-1", 0, UNSATISFIABLE },
    { "bytes=10-,-0", 10, UNSATISFIABLE },
    { "bytes=4-2", 10, NONE }, /* §14.1.1: last before first is invalid */
    { "bytes=0-1,4-2", 10, NONE },
    { "bytes=", 10, NONE },
    { "bytes=,", 10, NONE },
    { "bytes=-", 10, NONE },
    { "bytes=5", 10, NONE },
    { "bytes=a-b", 10, NONE },
    { "bytes=0-4x", 10, NONE },
    { "bytes=0-4-5", 10, NONE },
    { "bytes=--4", 10, NONE },
    { "bytes=+0-4", 10, NONE },
    { "bytes=0 - 4", 10, NONE },
    { "bytes =0-4", 10, NONE },
    { "bytes", 10, NONE },
    { "", 10, NONE },
    { "0-4", 10, NONE },
    { "lines=0-4", 10, NONE },
    { "bytes=\"0-4\"", 10, NONE },
    { "bytes=0-0,9-9", 10, "0-0,9-9" }, /* several */
    { "bytes=0-0, 9-9", 10, "0-0,9-9" },
    { "bytes= 0-0 ,\t,9-9 ,", 10, "0-0,9-9" },
    { "bytes=9-9,0-0", 10, "9-9,0-0" }, /* §15.3.7.2: in the order asked for */
    { "bytes=0-0,20-30,-1", 10, "0-0,9-9" },
    { "bytes=0-3,4-6", 10, "0-6" }, /* touching */
    { "bytes=0-3,2-6", 10, "0-6" },
    { "bytes=0-6,2-3", 10, "0-6" },
    { "bytes=0-3,0-6", 10, "0-6" },
    { "bytes=0-1,2-3,4-5,8-8", 10, "0-5,8-8" },
    { "bytes=2-6,0-3", 10, "2-6,0-3" }, /* joining would lose the order */
    { "bytes=0-5,1-6,2-7", 10, NONE },  /* §17.15 */
    { "bytes=0-,0-,0-", 10, NONE },
    { "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 40,
      "0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30" },
    { "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32", 40, NONE },
    { "bytes=9223372036854775806-", INT64_MAX, "9223372036854775806-9223372036854775806" },
};

START_TEST(ranges_against_a_length)
{
    struct range_set r = range_parse(view_of_str(sets[_i].value), sets[_i].length);
    char text[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < r.count; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRId64 "-%" PRId64, i > 0 ? "," : "", r.parts[i].first,
                              r.parts[i].last);
    }
    if (r.verdict == RANGE_NONE) strcpy(text, NONE);
    if (r.verdict == RANGE_UNSATISFIABLE) strcpy(text, UNSATISFIABLE);
    ck_assert_str_eq(text, sets[_i].parts);
}
END_TEST

static const struct {
    const char *value;
    bool single;
    int64_t first, last;
} singles[] = {
    { "bytes=0-4", true, 0, 4 },    { "bytes=7-", true, 7, -1 },      { "bytes=-3", true, -1, 3 },
    { "bytes= 0-4 ,", true, 0, 4 }, { "bytes=0-4,6-7", false, 0, 0 }, { "bytes=4-0", false, 0, 0 },
    { "bytes=", false, 0, 0 },      { "items=0-4", false, 0, 0 },     { "", false, 0, 0 },
};

START_TEST(one_range_before_the_length_is_known)
{
    int64_t first = 0, last = 0;
    bool single = range_parse_single(view_of_str(singles[_i].value), &first, &last);
    ck_assert_int_eq(single, singles[_i].single);
    if (!single) return;
    ck_assert_int_eq(first, singles[_i].first);
    ck_assert_int_eq(last, singles[_i].last);
}
END_TEST

static const struct {
    const char *value;
    bool valid;
    struct content_range range;
} content_ranges[] = {
    { "bytes 0-4/10", true, { true, 0, 4, 10 } }, /* §14.4 */
    { "bytes 9-9/10", true, { true, 9, 9, 10 } },
    { "bytes 0-4/*", true, { true, 0, 4, -1 } },
    { "bytes */10", true, { false, 0, 0, 10 } },
    { "bytes */0", true, { false, 0, 0, 0 } },
    { "BYTES 0-4/10", true, { true, 0, 4, 10 } },
    { "bytes */*", false, { 0 } },
    { "bytes 0-10/10", false, { 0 } },
    { "bytes 5-4/10", false, { 0 } },
    { "bytes 0-4", false, { 0 } },
    { "bytes 0-/10", false, { 0 } },
    { "bytes -4/10", false, { 0 } },
    { "bytes 4/10", false, { 0 } },
    { "bytes 0-4/", false, { 0 } },
    { "bytes 0-4/-1", false, { 0 } },
    { "bytes 0-4/10 ", false, { 0 } },
    { "bytes  0-4/10", false, { 0 } },
    { "bytes=0-4/10", false, { 0 } },
    { "bytes 0-4/10/10", false, { 0 } },
    { "bytes 0-99999999999999999999/*", false, { 0 } },
    { "bytes 0-4/99999999999999999999", false, { 0 } },
    { "lines 0-4/10", false, { 0 } },
    { "", false, { 0 } },
};

START_TEST(content_range)
{
    struct content_range r = { 0 };
    const struct content_range *want = &content_ranges[_i].range;
    ck_assert_int_eq(content_range_parse(view_of_str(content_ranges[_i].value), &r), content_ranges[_i].valid);
    ck_assert_int_eq(r.satisfied, want->satisfied);
    ck_assert_int_eq(r.first, want->first);
    ck_assert_int_eq(r.last, want->last);
    ck_assert_int_eq(r.length, want->length);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("range");
    tcase_add_loop_test(t, ranges_against_a_length, 0, ROWS(sets));
    tcase_add_loop_test(t, one_range_before_the_length_is_known, 0, ROWS(singles));
    tcase_add_loop_test(t, content_range, 0, ROWS(content_ranges));
    return run_case("headers/range", t);
}
