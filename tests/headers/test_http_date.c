#include "headers/http_date.h"

#include "table.h"

enum { NOW_S = 1735689600 }; /* 2025-01-01T00:00:00Z */

static const struct {
    const char *text;
    int64_t t_s;
} good[] = {
    { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 }, /* RFC 9110 §5.6.7: the three forms of one moment */
    { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
    { "Sun Nov  6 08:49:37 1994", 784111777 },
    { "Sun Nov 06 08:49:37 1994", 784111777 },
    { "sun, 06 nov 1994 08:49:37 gmt", 784111777 }, /* RFC 9111 §4.2: case is ignored */
    { "SUNDAY, 06-NOV-94 08:49:37 GMT", 784111777 },
    { "Mon, 06 Nov 1994 08:49:37 GMT", 784111777 }, /* the name of the day is not checked */
    { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
    { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
    { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
    { "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 },
    { "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
    { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
    { "Mon, 01 Jan 0001 00:00:00 GMT", -62135596800 },
    { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228799 },   /* the leap second the grammar allows */
    { "Tuesday, 01-Jan-75 00:00:00 GMT", 3313526400 }, /* exactly 50 years ahead */
    { "Tuesday, 01-Jan-75 00:00:01 GMT", 157766401 },  /* more than 50 years ahead: in the past */
    { "Wednesday, 31-Dec-75 00:00:00 GMT", 189216000 },
    { "Saturday, 01-Jan-00 00:00:00 GMT", 946684800 },
};

START_TEST(dates_that_are_read)
{
    int64_t t_s = -7;
    ck_assert_msg(http_date_parse(view_of_str(good[_i].text), NOW_S, &t_s), "%s", good[_i].text);
    ck_assert_int_eq(t_s, good[_i].t_s);
}
END_TEST

static const char *const bad[] = {
    "",
    "0",
    "-1",
    "Sun",
    "1994-11-06T08:49:37Z",
    "784111777",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 EST",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 08:49:37 GMT+1",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49 GMT",
    "Sun, 06 Nov 1994",
    "Sun, 06 Nov 08:49:37 GMT",
    "06 Nov 1994 08:49:37 GMT",
    "Sun 06 Nov 1994 08:49:37 GMT",
    "Sun,06 Nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun,  6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT",
    "Sun, 06 Nov 1994  08:49:37 GMT",
    "Sun, 06  Nov 1994 08:49:37 GMT",
    "Sun,  06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37  GMT",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
    "Sunday, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-9408:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37",
    "Sunday, 06Nov-94 08:49:37 GMT",
    "Sunday 06-Nov-94 08:49:37 GMT",
    "Sunday Nov  6 08:49:37 1994",
    "Sun, 06 November 1994 08:49:37 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Foo, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:00 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 1994 08.49.37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 30 Feb 2000 08:49:37 GMT",
    "Sun, 29 Feb 2023 08:49:37 GMT",
    "Sun, 29 Feb 1900 08:49:37 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Sun, 06 Nov -994 08:49:37 GMT",
    "Sun, 06 Nov 19945 08:49:37 GMT",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov   6 08:49:37 1994",
    "Sun Nov  6 08:49:37 94",
    "Sun Nov  6 08:49:37 1994 GMT",
    " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    "\"Sun, 06 Nov 1994 08:49:37 GMT\"",
    "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
};

START_TEST(dates_that_are_not)
{
    int64_t t_s = 0;
    ck_assert_msg(!http_date_parse(view_of_str(bad[_i]), NOW_S, &t_s), "%s", bad[_i]);
}
END_TEST

static const struct {
    int64_t t_s;
    const char *text;
} formats[] = {
    { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },          { -1, "Wed, 31 Dec 1969 23:59:59 GMT" },
    { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },  { 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },
    { 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },  { 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
    { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" }, { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
    { INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" },  { INT64_MIN, "Mon, 01 Jan 0001 00:00:00 GMT" },
};

START_TEST(dates_that_are_written)
{
    char text[HTTP_DATE_LEN + 1];
    http_date_format(formats[_i].t_s, text);
    ck_assert_str_eq(text, formats[_i].text);
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    char text[HTTP_DATE_LEN + 1];
    int64_t back = 0;
    for (int64_t t_s = -62135596800; t_s < 253402300799; t_s += 86400 * 13 + 12345) {
        http_date_format(t_s, text);
        ck_assert_msg(http_date_parse(view_of_str(text), 0, &back), "%s", text);
        ck_assert_int_eq(back, t_s);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("http_date");
    tcase_add_loop_test(t, dates_that_are_read, 0, ROWS(good));
    tcase_add_loop_test(t, dates_that_are_not, 0, ROWS(bad));
    tcase_add_loop_test(t, dates_that_are_written, 0, ROWS(formats));
    tcase_add_test(t, what_is_written_is_read_back);
    return run_case("headers/http_date", t);
}
