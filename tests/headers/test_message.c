#include "headers/message.h"

#include "table.h"

static const struct {
    const char *name;
    enum method method;
    bool safe;
} methods[] = {
    { "GET", METHOD_GET, true }, /* RFC 9110 §9.2.1 */
    { "HEAD", METHOD_HEAD, true },    { "OPTIONS", METHOD_OPTIONS, true }, { "TRACE", METHOD_TRACE, true },
    { "QUERY", METHOD_QUERY, true },  { "PUT", METHOD_PUT, false },        { "DELETE", METHOD_DELETE, false },
    { "POST", METHOD_POST, false },   { "PATCH", METHOD_PATCH, false },    { "CONNECT", METHOD_CONNECT, false },
    { "PURGE", METHOD_PURGE, false }, { "get", METHOD_OTHER, false }, /* §9.1: case-sensitive */
    { "GETX", METHOD_OTHER, false },  { "", METHOD_OTHER, false },         { "M-SEARCH", METHOD_OTHER, false },
};

START_TEST(methods_and_what_is_promised_of_them)
{
    enum method m = method_of(view_of_str(methods[_i].name));
    ck_assert_int_eq(m, methods[_i].method);
    ck_assert_int_eq(method_is_safe(m), methods[_i].safe);
}
END_TEST

static const int heuristic[] = { 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501 }; /* RFC 9110 §15.1 */

START_TEST(heuristically_cacheable_are_these_and_no_other)
{
    bool listed = false;
    for (int i = 0; i < ROWS(heuristic); i++) listed = listed || heuristic[i] == _i;
    ck_assert_int_eq(status_is_heuristically_cacheable(_i), listed);
    if (listed) ck_assert(status_is_understood(_i));
}
END_TEST

static const int understood[] = {
    200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, /* RFC 9110 §15 */
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,
    416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505, 428, 429, 431, 451, /* and RFC 6585, RFC 7725 */
};

START_TEST(understood_are_these_and_no_other)
{
    bool listed = false;
    for (int i = 0; i < ROWS(understood); i++) listed = listed || understood[i] == _i;
    ck_assert_int_eq(status_is_understood(_i), listed);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("message");
    tcase_add_loop_test(t, methods_and_what_is_promised_of_them, 0, ROWS(methods));
    tcase_add_loop_test(t, heuristically_cacheable_are_these_and_no_other, 100, 600);
    tcase_add_loop_test(t, understood_are_these_and_no_other, -1, 1000);
    return run_case("headers/message", t);
}
