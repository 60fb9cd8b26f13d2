#include "headers/message.h"

#include "table.h"

static const struct {
    const char *name;
    enum method method;
    bool safe, idempotent;
} methods[] = {
    { "GET", METHOD_GET, true, true }, /* RFC 9110 §9.2.1, §9.2.2 */
    { "HEAD", METHOD_HEAD, true, true },         { "OPTIONS", METHOD_OPTIONS, true, true },
    { "TRACE", METHOD_TRACE, true, true },       { "QUERY", METHOD_QUERY, true, true },
    { "PUT", METHOD_PUT, false, true },          { "DELETE", METHOD_DELETE, false, true },
    { "POST", METHOD_POST, false, false },       { "PATCH", METHOD_PATCH, false, false },
    { "CONNECT", METHOD_CONNECT, false, false }, { "PURGE", METHOD_PURGE, false, true },
    { "get", METHOD_OTHER, false, false }, /* §9.1: case-sensitive */
    { "GETX", METHOD_OTHER, false, false },      { "", METHOD_OTHER, false, false },
    { "M-SEARCH", METHOD_OTHER, false, false },
};

START_TEST(methods_and_what_is_promised_of_them)
{
    enum method m = method_of(view_of_str(methods[_i].name));
    ck_assert_int_eq(m, methods[_i].method);
    ck_assert_int_eq(method_is_safe(m), methods[_i].safe);
    ck_assert_int_eq(method_is_idempotent(m), methods[_i].idempotent);
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

static const struct {
    int status;
    bool understood;
} statuses[] = {
    { 200, true },  { 302, true },  { 307, true },  { 403, true },  { 404, true },  { 429, true },  { 503, true },
    { 100, false }, { 103, false }, { 199, false }, { 299, false }, { 304, false }, { 306, false }, { 399, false },
    { 418, false }, { 499, false }, { 599, false }, { 600, false }, { 0, false },   { -1, false },
};

START_TEST(understood_statuses)
{
    ck_assert_int_eq(status_is_understood(statuses[_i].status), statuses[_i].understood);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("message");
    tcase_add_loop_test(t, methods_and_what_is_promised_of_them, 0, ROWS(methods));
    tcase_add_loop_test(t, heuristically_cacheable_are_these_and_no_other, 100, 600);
    tcase_add_loop_test(t, understood_statuses, 0, ROWS(statuses));
    return run_case("headers/message", t);
}
