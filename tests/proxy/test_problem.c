#include "proxy/problem.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

struct problem_case {
    int status;
    const char *title, *detail;
    size_t cap;
    const char *want; /* "": does not fit */
};

static const struct problem_case problems[] = {
    { 502, NULL, NULL, 200, "{\"type\":\"about:blank\",\"title\":\"Bad Gateway\",\"status\":502}" },
    { 504, "Late", "first byte", 200,
      "{\"type\":\"about:blank\",\"title\":\"Late\",\"status\":504,\"detail\":\"first byte\"}" },
    { 400, "q", "say \"\\\" \t\n\x7f", 200,
      "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":\"say \\\"\\\\\\\" \\u0009\\u000a\\u007f\"}" },
    { 400, "q", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8d\x87", 200,
      "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":"
      "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8d\x87\"}" },
    /* not UTF-8: a lone continuation, an overlong '/', a surrogate, one cut short */
    { 400, "q", "\x80|\xc0\xaf|\xed\xa0\x80|\xe2\x82", 200,
      "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":"
      "\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\"}" },
    /* the detail is cut where it fits: 47 bytes without it, 12 for its name, quotes and comma, 1 for the NUL */
    { 400, "q", "abcdef", 64, "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":\"abcd\"}" },
    { 400, "q", "abc\xc3\xbc", 64, "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":\"abc\"}" },
    { 400, "q", "abc\"", 64, "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400,\"detail\":\"abc\"}" },
    { 400, "q", "abc", 60, "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400}" },
    { 400, "q", "abc", 48, "{\"type\":\"about:blank\",\"title\":\"q\",\"status\":400}" },
    { 400, "q", "abc", 47, "" },
    { 400, "q", NULL, 0, "" },
};

START_TEST(a_problem_is_json)
{
    const struct problem_case *c = &problems[_i];
    char *to = malloc(c->cap + 1); /* so that the address sanitizer sees a byte too many */
    size_t len = problem_format(c->status, c->title, c->detail, to, c->cap);
    ck_assert_uint_eq(len, strlen(c->want));
    if (len > 0) {
        ck_assert_str_eq(to, c->want);
        json_t *parsed = json_loads(to, 0, NULL);
        ck_assert_ptr_nonnull(parsed);
        ck_assert_int_eq(json_integer_value(json_object_get(parsed, "status")), c->status);
        json_decref(parsed);
    }
    free(to);
}
END_TEST

/* Whatever the room, what comes out is one JSON object or nothing. */
START_TEST(a_problem_is_json_in_any_room)
{
    char to[400];
    const char *detail = "\"quoted\" \\ \x01 gr\xc3\xbc\xc3\x9f \xff";
    for (size_t cap = 0; cap < sizeof(to); cap++) {
        memset(to, '#', sizeof(to));
        size_t len = problem_format(502, NULL, detail, to, cap);
        ck_assert_int_eq(to[cap], '#');
        if (len == 0) {
            ck_assert_uint_lt(cap, PROBLEM_MIN);
            continue;
        }
        json_t *parsed = json_loadb(to, len, 0, NULL);
        ck_assert_msg(parsed != NULL, "not JSON: %s", to);
        json_decref(parsed);
    }
}
END_TEST

START_TEST(a_status_has_a_title)
{
    ck_assert_str_eq(status_title(431), "Request Header Fields Too Large");
    ck_assert_str_eq(status_title(299), "Success");
    ck_assert_str_eq(status_title(599), "Server Error");
    ck_assert_str_eq(status_title(600), "Unknown");
    ck_assert_str_eq(status_title(-100), "Unknown");
    char to[PROBLEM_MIN];
    for (int status = 100; status < 600; status++) {
        ck_assert_uint_gt(problem_format(status, NULL, NULL, to, sizeof(to)), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("problem");
    TCase *t = tcase_create("problem");
    tcase_add_loop_test(t, a_problem_is_json, 0, sizeof(problems) / sizeof(problems[0]));
    tcase_add_test(t, a_problem_is_json_in_any_room);
    tcase_add_test(t, a_status_has_a_title);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
