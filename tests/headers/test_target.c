#include "headers/target.h"

#include "table.h"

static const struct {
    const char *raw;
    bool is_connect;
    enum target_form form;
    const char *scheme, *authority, *path, *query; /* query NULL: none */
} targets[] = {
    { "/", false, TARGET_ORIGIN, "", "", "/", NULL }, /* RFC 9112 §3.2.1 */
    { "/a/b?c=d", false, TARGET_ORIGIN, "", "", "/a/b", "c=d" },
    { "/a?", false, TARGET_ORIGIN, "", "", "/a", "" },
    { "/a?b?c", false, TARGET_ORIGIN, "", "", "/a", "b?c" },
    { "//a/b", false, TARGET_ORIGIN, "", "", "//a/b", NULL },
    { "/a/../b", false, TARGET_ORIGIN, "", "", "/a/../b", NULL },
    { "/a|b{}^\"<>\\`\xc3\xa4", false, TARGET_ORIGIN, "", "", "/a|b{}^\"<>\\`\xc3\xa4", NULL },
    { "http://a.test/b?c", false, TARGET_ABSOLUTE, "http", "a.test", "/b", "c" }, /* §3.2.2 */
    { "HTTPS://A.test:8443", false, TARGET_ABSOLUTE, "HTTPS", "A.test:8443", "/", NULL },
    { "http://a.test?c", false, TARGET_ABSOLUTE, "http", "a.test", "/", "c" },
    { "http://[::1]:80/b", false, TARGET_ABSOLUTE, "http", "[::1]:80", "/b", NULL },
    { "ftp://a.test/b", false, TARGET_ABSOLUTE, "ftp", "a.test", "/b", NULL },
    { "*", false, TARGET_ASTERISK, "", "", "", NULL },                    /* §3.2.4 */
    { "a.test:443", true, TARGET_AUTHORITY, "", "a.test:443", "", NULL }, /* §3.2.3 */
    { "[::1]:443", true, TARGET_AUTHORITY, "", "[::1]:443", "", NULL },
    { "a.test", true, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "a.test:", true, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/", true, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "a.test:443", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "a", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "**", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "?a", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/a b", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/a\tb", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/a\x7f", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/a\x01", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "/a#b", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "http:///b", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "http:/b", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "http://u:p@a.test/", false, TARGET_INVALID, NULL, NULL, NULL, NULL }, /* RFC 9110 §4.2.4 */
    { "http://a.test:x/", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
    { "1http://a.test/", false, TARGET_INVALID, NULL, NULL, NULL, NULL },
};

START_TEST(request_targets)
{
    struct target t = target_parse(view_of_str(targets[_i].raw), targets[_i].is_connect);
    ck_assert_int_eq(t.form, targets[_i].form);
    if (t.form == TARGET_INVALID) return;
    ck_assert(view_is(t.scheme, targets[_i].scheme));
    ck_assert(view_is(t.authority, targets[_i].authority));
    ck_assert(view_is(t.path, targets[_i].path));
    ck_assert_int_eq(t.has_query, targets[_i].query != NULL);
    ck_assert(view_is(t.query, targets[_i].query != NULL ? targets[_i].query : ""));
}
END_TEST

START_TEST(a_nul_is_a_control)
{
    ck_assert_int_eq(target_parse(VIEW("/a\0b"), false).form, TARGET_INVALID);
    ck_assert(!authority_is_valid(VIEW("a\0b")));
    ck_assert(!authority_is_valid(VIEW("[::1\0]")));
    ck_assert_int_eq(target_parse(VIEW("ht\0tp://a/"), false).form, TARGET_INVALID);
}
END_TEST

static const struct {
    const char *authority;
    const char *http, *https; /* normalised; NULL: not valid */
} authorities[] = {
    { "a.test", "a.test", "a.test" }, /* RFC 9110 §4.2.3 */
    { "A.TEST", "a.test", "a.test" },
    { "a.test.", "a.test.", "a.test." }, /* another name to DNS: kept */
    { "a.test:80", "a.test", "a.test:80" },
    { "a.test:443", "a.test:443", "a.test" },
    { "a.test:", "a.test", "a.test" },
    { "a.test:0080", "a.test", "a.test:80" },
    { "a.test:8080", "a.test:8080", "a.test:8080" },
    { "a.test:0", "a.test:0", "a.test:0" },
    { "a.test:65535", "a.test:65535", "a.test:65535" },
    { "127.0.0.1:80", "127.0.0.1", "127.0.0.1:80" },
    { "[::1]", "[::1]", "[::1]" },
    { "[2001:DB8::A]:80", "[2001:db8::a]", "[2001:db8::a]:80" },
    { "[::ffff:127.0.0.1]:443", "[::ffff:127.0.0.1]:443", "[::ffff:127.0.0.1]" },
    { "a_b~c", "a_b~c", "a_b~c" },
    { "a%2Db", "a%2db", "a%2db" },
    { "!$&'()*+,;=", "!$&'()*+,;=", "!$&'()*+,;=" },
    { "", NULL, NULL },
    { ":80", NULL, NULL },
    { "a.test:65536", NULL, NULL },
    { "a.test:99999999999999999999", NULL, NULL },
    { "a.test:8x", NULL, NULL },
    { "a.test:-1", NULL, NULL },
    { "a.test:80:80", NULL, NULL },
    { "u@a.test", NULL, NULL },
    { "a b", NULL, NULL },
    { "a/b", NULL, NULL },
    { "a%2", NULL, NULL },
    { "a%zz", NULL, NULL },
    { "\xc3\xa4.test", NULL, NULL },
    { "::1", NULL, NULL },
    { "[]", NULL, NULL },
    { "[", NULL, NULL },
    { "[::1", NULL, NULL },
    { "[::1]x", NULL, NULL },
    { "[::1]x:80", NULL, NULL },
    { "[::g]", NULL, NULL },
    { "[1.2.3.4]", NULL, NULL },
    { "[fe80::1%25eth0]", NULL, NULL },
    { "[00000:00000:00000:00000:00000:00000:00000:00000:00000]", NULL, NULL },
};

START_TEST(authorities_made_equal)
{
    struct view authority = view_of_str(authorities[_i].authority);
    char to[64];
    ck_assert_int_eq(authority_is_valid(authority), authorities[_i].http != NULL);
    if (authorities[_i].http == NULL) return;
    int n = authority_normalise(authority, false, to, sizeof(to));
    ck_assert(n >= 0 && view_is(view_of(to, (size_t)n), authorities[_i].http));
    ck_assert_int_eq(authority_normalise(authority, false, to, (size_t)n), n);
    ck_assert_int_eq(authority_normalise(authority, false, to, (size_t)n - 1), -1);
    n = authority_normalise(authority, true, to, sizeof(to));
    ck_assert(n >= 0 && view_is(view_of(to, (size_t)n), authorities[_i].https));
}
END_TEST

static const struct {
    const char *path, *normal;
} paths[] = {
    { "/a", "/a" },
    { "", "" },
    { "/%41%7A%30%2d%2E%5f%7e", "/Az0-._~" },   /* RFC 3986 §6.2.2.2: unreserved */
    { "/a%2fb%3f?%3d%26", "/a%2Fb%3F?%3D%26" }, /* §6.2.2.1: upper case */
    { "/%c3%a4", "/%C3%A4" },
    { "/a%", "/a%" },
    { "/a%4", "/a%4" },
    { "/a%4g", "/a%4g" },
    { "/%2541", "/%2541" }, /* decoded once */
    { "/%00%0a", "/%00%0A" },
    { "/a/../b/./c", "/a/../b/./c" },
    { "/A?B=C", "/A?B=C" },
};

START_TEST(paths_made_equal)
{
    char to[64];
    struct view path = view_of_str(paths[_i].path);
    int n = path_normalise(path, to, path.len);
    ck_assert(n >= 0 && view_is(view_of(to, (size_t)n), paths[_i].normal));
    if (n > 0) ck_assert_int_eq(path_normalise(path, to, (size_t)n - 1), -1);
}
END_TEST

/* Against "http://a/b/c/d;p?q", as in RFC 3986 §5.4. NULL: malformed, or not http. */
static const struct {
    const char *reference, *authority, *path, *query;
} references[] = {
    { "http://g/x", "g", "/x", NULL }, /* §5.4.1: normal examples */
    { "g", "a", "/b/c/g", NULL },
    { "./g", "a", "/b/c/g", NULL },
    { "g/", "a", "/b/c/g/", NULL },
    { "/g", "a", "/g", NULL },
    { "//g", "g", "/", NULL },
    { "?y", "a", "/b/c/d;p", "y" },
    { "g?y", "a", "/b/c/g", "y" },
    { "#s", "a", "/b/c/d;p", "q" },
    { "g#s", "a", "/b/c/g", NULL },
    { "g?y#s", "a", "/b/c/g", "y" },
    { ";x", "a", "/b/c/;x", NULL },
    { "g;x?y#s", "a", "/b/c/g;x", "y" },
    { "", "a", "/b/c/d;p", "q" },
    { ".", "a", "/b/c/", NULL },
    { "./", "a", "/b/c/", NULL },
    { "..", "a", "/b/", NULL },
    { "../", "a", "/b/", NULL },
    { "../g", "a", "/b/g", NULL },
    { "../..", "a", "/", NULL },
    { "../../", "a", "/", NULL },
    { "../../g", "a", "/g", NULL },
    { "../../../g", "a", "/g", NULL }, /* §5.4.2: abnormal examples */
    { "../../../../g", "a", "/g", NULL },
    { "/./g", "a", "/g", NULL },
    { "/../g", "a", "/g", NULL },
    { "g.", "a", "/b/c/g.", NULL },
    { ".g", "a", "/b/c/.g", NULL },
    { "g..", "a", "/b/c/g..", NULL },
    { "..g", "a", "/b/c/..g", NULL },
    { "./../g", "a", "/b/g", NULL },
    { "./g/.", "a", "/b/c/g/", NULL },
    { "g/./h", "a", "/b/c/g/h", NULL },
    { "g/../h", "a", "/b/c/h", NULL },
    { "g;x=1/./y", "a", "/b/c/g;x=1/y", NULL },
    { "g;x=1/../y", "a", "/b/c/y", NULL },
    { "g?y/./x", "a", "/b/c/g", "y/./x" },
    { "g?y/../x", "a", "/b/c/g", "y/../x" },
    { "g#s/../x", "a", "/b/c/g", NULL },
    { "https://h:8443/x/../y?z", "h:8443", "/y", "z" },
    { "http://h", "h", "/", NULL },
    { "//h:1?z", "h:1", "/", "z" },
    { "//h/..", "h", "/", NULL },
    { "http:g", NULL, NULL, NULL },
    { "g:h", NULL, NULL, NULL },
    { "1:2", NULL, NULL, NULL },
    { "mailto:a@b.test", NULL, NULL, NULL },
    { "//", NULL, NULL, NULL },
    { "///g", NULL, NULL, NULL },
    { "//u@h/", NULL, NULL, NULL },
    { "http://", NULL, NULL, NULL },
    { "/a b", NULL, NULL, NULL },
    { "/a\n", NULL, NULL, NULL },
};

START_TEST(references_against_a_base)
{
    struct uri base, u;
    char to[32];
    ck_assert(uri_parse(VIEW("http://a/b/c/d;p?q"), &base));
    bool valid = uri_resolve(&base, view_of_str(references[_i].reference), to, sizeof(to), &u);
    ck_assert_int_eq(valid, references[_i].path != NULL);
    if (!valid) return;
    ck_assert(view_is(u.authority, references[_i].authority));
    ck_assert(view_is(u.path, references[_i].path));
    ck_assert_int_eq(u.has_query, references[_i].query != NULL);
    ck_assert(view_is(u.query, references[_i].query != NULL ? references[_i].query : ""));
}
END_TEST

START_TEST(a_path_that_does_not_fit_is_refused)
{
    struct uri base, u;
    char to[8];
    ck_assert(uri_parse(VIEW("http://a/b/c"), &base));
    ck_assert(uri_resolve(&base, VIEW("12345"), to, sizeof(to), &u));
    ck_assert(view_is(u.path, "/b/12345"));
    ck_assert(!uri_resolve(&base, VIEW("123456"), to, sizeof(to), &u));
}
END_TEST

static const struct {
    const char *text;
    const char *authority, *path, *query;
} uris[] = {
    { "http://a.test", "a.test", "/", NULL },
    { "HTTPS://a.test/b?c", "a.test", "/b", "c" },
    { "http://[::1]:8080/?", "[::1]:8080", "/", "" },
    { "ftp://a.test/", NULL, NULL, NULL },
    { "http:/a", NULL, NULL, NULL },
    { "/a", NULL, NULL, NULL },
    { "http://a/#b", NULL, NULL, NULL },
    { "http://a/ b", NULL, NULL, NULL },
    { "httpx://a/", NULL, NULL, NULL },
    { "", NULL, NULL, NULL },
};

START_TEST(absolute_uris)
{
    struct uri u;
    bool valid = uri_parse(view_of_str(uris[_i].text), &u);
    ck_assert_int_eq(valid, uris[_i].path != NULL);
    if (!valid) return;
    ck_assert(view_is(u.authority, uris[_i].authority));
    ck_assert(view_is(u.path, uris[_i].path));
    ck_assert_int_eq(u.has_query, uris[_i].query != NULL);
    ck_assert(view_is(u.query, uris[_i].query != NULL ? uris[_i].query : ""));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("target");
    tcase_add_loop_test(t, request_targets, 0, ROWS(targets));
    tcase_add_test(t, a_nul_is_a_control);
    tcase_add_loop_test(t, authorities_made_equal, 0, ROWS(authorities));
    tcase_add_loop_test(t, paths_made_equal, 0, ROWS(paths));
    tcase_add_loop_test(t, references_against_a_base, 0, ROWS(references));
    tcase_add_test(t, a_path_that_does_not_fit_is_refused);
    tcase_add_loop_test(t, absolute_uris, 0, ROWS(uris));
    return run_case("headers/target", t);
}
