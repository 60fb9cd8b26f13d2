#include "cache/key_rules.h"

#include "cache/key.h"
#include "tests/cache/decisions.h"

static const struct {
    const char *pattern, *name;
    bool matches;
} names[] = {
    { "a", "a", true },
    { "a", "A", false },
    { "a", "ab", false },
    { "", "", true },
    { "*", "", true },
    { "*", "anything", true },
    { "utm_*", "utm_", true },
    { "utm_*", "utm_source", true },
    { "utm_*", "outm_a", false },
    { "*id", "fbclid", true },
    { "*id", "idx", false },
    { "a*b*c", "aXbYc", true },
    { "a*b*c", "acb", false },
    { "a*b*c", "abbbcc", true },
    { "**", "x", true },
    { "*a*", "bab", true },
    { "a*a", "a", false },
    { "a*a", "aa", true },
    { "*ab", "aab", true },
    { "*aab", "aaaab", true },
};

START_TEST(a_star_is_any_run_of_characters)
{
    ck_assert_msg(key_name_matches(view_of_str(names[_i].pattern), view_of_str(names[_i].name)) == names[_i].matches,
                  "%s %s", names[_i].pattern, names[_i].name);
}
END_TEST

static const struct view drop_some[] = { { "utm_*", 5 }, { "fbclid", 6 } };
static const struct view keep_some[] = { { "page", 4 }, { "q*", 2 } };

static const struct {
    struct key_rules rules;
    const char *query, *wanted;
} queries[] = {
    { { .sort_query = true }, "b=1&a=2", "a=2&b=1" },
    { { .sort_query = true }, "a=2&b=1&a=1", "a=2&a=1&b=1" }, /* equal names mean something by their order */
    { { .sort_query = true }, "ab=1&a=2&b&", "a=2&ab=1&b" },
    { { .sort_query = true }, "", "" },
    { { .drop = { drop_some, 2 } }, "a=1&utm_source=x&b=2", "a=1&b=2" },
    { { .drop = { drop_some, 2 } }, "utm_source=x&fbclid=2&utm_", "" },
    { { .drop = { drop_some, 2 } }, "fbclid2=1&b=2&a=1", "fbclid2=1&b=2&a=1" },
    { { .keep_only = true, .keep = { keep_some, 2 } }, "q=jam&x=1&page=2&query", "q=jam&page=2&query" },
    { { .keep_only = true }, "q=jam&x=1", "" },
    { { .keep_only = true, .keep = { keep_some, 2 }, .sort_query = true }, "q=jam&x=1&page=2", "page=2&q=jam" },
    { { .keep_only = true, .keep = { keep_some, 2 }, .drop = { keep_some, 1 } }, "q=jam&page=2", "q=jam" },
};

START_TEST(query_is_what_the_rules_leave)
{
    char to[256];
    int len = key_query(view_of_str(queries[_i].query), &queries[_i].rules, to, sizeof to);
    ck_assert_int_ge(len, 0);
    ck_assert_msg(view_is(view_of(to, (size_t)len), queries[_i].wanted), "%s: %.*s", queries[_i].query, len, to);
}
END_TEST

START_TEST(query_of_too_many_parameters_is_left_alone)
{
    char query[2 * KEY_PARAMETERS_MAX + 2], to[sizeof query + 2];
    struct key_rules sorted = { .sort_query = true };
    for (size_t i = 0; i < sizeof query; i += 2) memcpy(query + i, i == 0 ? "z&" : "a&", 2);
    int len = key_query(view_of(query, sizeof query), &sorted, to, sizeof to);
    ck_assert_int_eq(len, (int)sizeof query);
    ck_assert_mem_eq(to, query, sizeof query);
    ck_assert_int_eq(key_query(VIEW("abc"), &sorted, to, 3), -1);
}
END_TEST

static const struct {
    const char *fields, *name, *value;
} cookies[] = {
    { "Cookie: a=1; b=2", "b", "2" },    { "Cookie: a=1\nCookie: b=3", "b", "3" },
    { "Cookie: a=1;b=2;b=3", "b", "2" }, { "Cookie: ab=1", "a", NULL },
    { "Cookie: a", "a", NULL },          { "Cookie: a=", "a", "" },
    { "Cookie: A=1", "a", NULL },        { "Accept: a=1", "a", NULL },
    { "Cookie: a = 1 ;b=2", "a", "1" },  { "Cookie: a=b=c", "a", "b=c" },
};

START_TEST(cookie_by_its_name)
{
    struct asked a;
    struct view value;
    ask(&a, "GET /", cookies[_i].fields);
    bool found = key_cookie(a.head.fields, view_of_str(cookies[_i].name), &value);
    ck_assert_int_eq(found, cookies[_i].value != NULL);
    if (found) ck_assert_msg(view_is(value, cookies[_i].value), "%.*s", (int)value.len, value.at);
}
END_TEST

static const struct view x_field[] = { { "x-tenant", 8 } };
static const struct view session[] = { { "lang", 4 } };

static const struct {
    struct key_rules rules;
    const char *request, *fields, *text;
} keys[] = {
    { { .host = { "all.example", 11 } }, "GET /a?b", "", "1\nGET\nhttp://all.example/a?b" },
    { { .sort_query = true }, "GET /a?c=1&b=%7e", "", "1\nGET\nhttp://example.com/a?b=~&c=1" },
    { { .sort_query = true }, "GET /a?", "", "1\nGET\nhttp://example.com/a" },
    { { .drop = { drop_some, 2 } }, "GET /a?%75tm_source=1", "", "1\nGET\nhttp://example.com/a" },
    { { .fields = { x_field, 1 } }, "GET /a", "X-Tenant: 7", "1\nGET\nhttp://example.com/a\nx-tenant:7" },
    { { .fields = { x_field, 1 } }, "GET /a", "", "1\nGET\nhttp://example.com/a\nx-tenant" },
    { { .fields = { x_field, 1 } },
      "GET /a",
      "X-Tenant: 7\nConnection: X-Tenant",
      "1\nGET\nhttp://example.com/a\nx-tenant" },
    { { .fields = { x_field, 1 } }, "GET /a", "X-Tenant:", "1\nGET\nhttp://example.com/a\nx-tenant:" },
    { { .cookies = { session, 1 } }, "GET /a", "Cookie: lang=de", "1\nGET\nhttp://example.com/a\ncookie lang=de" },
    { { .cookies = { session, 1 } }, "GET /a", "", "1\nGET\nhttp://example.com/a\ncookie lang" },
    { { .cookies = { session, 1 } },
      "GET /a",
      "Cookie: lang=de\nConnection: cookie",
      "1\nGET\nhttp://example.com/a\ncookie lang" },
};

START_TEST(key_by_the_rules)
{
    char text[256];
    struct asked a;
    struct key k;
    struct policy p = default_policy();
    p.key = keys[_i].rules;
    p.key.in_use = true;
    ck_assert(key_from_request(ask(&a, keys[_i].request, keys[_i].fields), &p, text, sizeof text, &k));
    ck_assert_msg(view_is(k.text, keys[_i].text), "%s: %.*s", keys[_i].request, (int)k.text.len, k.text.at);
    struct view uri = key_uri(&k);
    ck_assert_uint_eq(view_find(uri, 0, '\n'), uri.len);
}
END_TEST

START_TEST(key_by_rules_that_does_not_fit_is_refused)
{
    char text[64];
    struct asked a;
    struct key k;
    struct policy p = default_policy();
    p.key = (struct key_rules){ .in_use = true, .sort_query = true };
    ask(&a, "GET /a?bcdefghijklmno=1&c", "");
    struct view whole = VIEW("1\nGET\nhttp://example.com/a?bcdefghijklmno=1&c");
    for (size_t cap = 0; cap <= whole.len + 1; cap++) {
        bool fits = key_from_request(&a.head, &p, text, cap, &k);
        if (cap < whole.len) ck_assert_msg(!fits, "%zu", cap);
        if (fits) ck_assert(view_equal(k.text, whole));
    }
    ck_assert(key_from_request(&a.head, &p, text, sizeof text, &k));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("key_rules");
    tcase_add_loop_test(t, a_star_is_any_run_of_characters, 0, ROWS(names));
    tcase_add_loop_test(t, query_is_what_the_rules_leave, 0, ROWS(queries));
    tcase_add_test(t, query_of_too_many_parameters_is_left_alone);
    tcase_add_loop_test(t, cookie_by_its_name, 0, ROWS(cookies));
    tcase_add_loop_test(t, key_by_the_rules, 0, ROWS(keys));
    tcase_add_test(t, key_by_rules_that_does_not_fit_is_refused);
    return run_case("cache/key_rules", t);
}
