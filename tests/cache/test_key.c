#include "cache/key.h"

#include "tests/cache/decisions.h"

static const struct {
    const char *request;
    bool https;
    const char *text;
} keys[] = {
    { "GET /", false, "1\nGET\nhttp://example.com/" },
    { "GET /shelf?jam=1&b", false, "1\nGET\nhttp://example.com/shelf?jam=1&b" },
    { "GET /shelf", true, "1\nGET\nhttps://example.com/shelf" },
    /* RFC 9111 §4: HEAD is answered from GET; RFC 9110 §9.3.3: POST is stored for GET */
    { "HEAD /shelf", false, "1\nGET\nhttp://example.com/shelf" },
    { "POST /shelf", false, "1\nGET\nhttp://example.com/shelf" },
    { "QUERY /shelf", false, "1\nQUERY\nhttp://example.com/shelf" },
    { "OPTIONS /shelf", false, "1\nOPTIONS\nhttp://example.com/shelf" },
    { "get /shelf", false, "1\nget\nhttp://example.com/shelf" },
    /* RFC 3986 §6.2.2, and nothing that an origin may tell apart */
    { "GET /%7ejam%2fa", false, "1\nGET\nhttp://example.com/~jam%2Fa" },
    { "GET /a?q=%7e", false, "1\nGET\nhttp://example.com/a?q=~" },
    { "GET /%zz", false, "1\nGET\nhttp://example.com/%zz" },
    { "GET /a/../b", false, "1\nGET\nhttp://example.com/a/../b" },
    { "GET /A", false, "1\nGET\nhttp://example.com/A" },
    { "GET /a?", false, "1\nGET\nhttp://example.com/a?" },
    { "GET /a?b=1&a=2", false, "1\nGET\nhttp://example.com/a?b=1&a=2" },
};

START_TEST(key_is_method_and_target_uri)
{
    char text[256];
    struct asked a;
    struct key k;
    struct policy p = default_policy();
    ask(&a, keys[_i].request, "");
    a.head.https = keys[_i].https;
    ck_assert(key_from_request(&a.head, &p, text, sizeof text, &k));
    ck_assert_msg(view_is(k.text, keys[_i].text), "%s: %.*s", keys[_i].request, (int)k.text.len, k.text.at);
    struct view uri = key_uri(&k);
    ck_assert(view_starts_with(uri, keys[_i].https ? VIEW("https://") : VIEW("http://")));
    ck_assert_ptr_eq(uri.at + uri.len, k.text.at + k.text.len);
}
END_TEST

START_TEST(version_is_part_of_the_key)
{
    char one[256], other[256];
    struct asked a;
    struct key k, l;
    struct policy p = default_policy();
    ck_assert(key_from_request(ask(&a, "GET /", ""), &p, one, sizeof one, &k));
    p.version = VIEW("spring");
    ck_assert(key_from_request(&a.head, &p, other, sizeof other, &l));
    ck_assert(view_is(l.text, "1spring\nGET\nhttp://example.com/"));
    ck_assert(k.hash[0] != l.hash[0] && k.hash[1] != l.hash[1]);
    ck_assert(view_equal(key_uri(&k), key_uri(&l)));
}
END_TEST

START_TEST(hash_is_that_of_the_text)
{
    char text[256];
    uint64_t hash[2];
    struct asked a;
    struct key k;
    struct policy p = default_policy();
    ck_assert(key_from_request(ask(&a, "GET /shelf", ""), &p, text, sizeof text, &k));
    key_hash(k.text, hash);
    ck_assert(hash[0] == k.hash[0] && hash[1] == k.hash[1]);
    key_hash(VIEW("another"), hash);
    ck_assert(hash[0] != k.hash[0]);
}
END_TEST

START_TEST(key_that_does_not_fit_is_refused)
{
    static char text[KEY_TEXT_MAX * 2], path[KEY_TEXT_MAX + 16] = "GET /";
    struct asked a;
    struct key k;
    struct policy p = default_policy();
    size_t whole = strlen("1\nGET\nhttp://example.com/%20a");
    ask(&a, "GET /%20a", "");
    ck_assert(key_from_request(&a.head, &p, text, whole, &k));
    for (size_t cap = 0; cap < whole; cap++) ck_assert(!key_from_request(&a.head, &p, text, cap, &k));
    memset(path + 5, 'a', KEY_TEXT_MAX);
    ck_assert(!key_from_request(ask(&a, path, ""), &p, text, sizeof text, &k));
}
END_TEST

START_TEST(query_key_holds_the_content)
{
    static char text[KEY_TEXT_MAX], other[KEY_TEXT_MAX];
    static char large[KEY_TEXT_MAX];
    struct asked a;
    struct key k, l;
    struct policy p = default_policy();
    ask(&a, "QUERY /shelf", "Content-Type: text/plain\nContent-Encoding: gzip");
    ck_assert(key_from_request(&a.head, &p, text, sizeof text, &k));
    uint64_t before = k.hash[0];
    ck_assert(key_add_content(&k, text, sizeof text, a.head.fields, VIEW("plum\n")));
    ck_assert(view_is(k.text, "1\nQUERY\nhttp://example.com/shelf\ntext/plain\ngzip\n\n\nplum\n"));
    ck_assert(k.hash[0] != before);
    ck_assert(view_is(key_uri(&k), "http://example.com/shelf"));

    ck_assert(key_from_request(&a.head, &p, text, sizeof text, &l));
    ck_assert(key_add_content(&l, other, sizeof other, a.head.fields, VIEW("pear")));
    ck_assert(view_is(l.text, "1\nQUERY\nhttp://example.com/shelf\ntext/plain\ngzip\n\n\npear"));

    ck_assert(
        key_from_request(ask(&a, "QUERY /shelf", "Content-Language: de\ncontent-language: en\nContent-Location: /q"),
                         &p, text, sizeof text, &l));
    ck_assert(key_add_content(&l, text, sizeof text, a.head.fields, VIEW("pear")));
    ck_assert(view_is(l.text, "1\nQUERY\nhttp://example.com/shelf\n\n\nde, en\n/q\npear"));

    /* What Connection takes off on the way to the origin is not what it answers. */
    ck_assert(key_from_request(ask(&a, "QUERY /shelf", "Content-Type: text/plain\nConnection: content-type"), &p, text,
                               sizeof text, &l));
    ck_assert(key_add_content(&l, text, sizeof text, a.head.fields, VIEW("pear")));
    ck_assert(view_is(l.text, "1\nQUERY\nhttp://example.com/shelf\n\n\n\n\npear"));

    ck_assert(key_from_request(ask(&a, "QUERY /shelf", ""), &p, text, sizeof text, &l));
    ck_assert(!key_add_content(&l, text, sizeof text, a.head.fields, view_of(large, sizeof large)));
    ck_assert(key_from_request(&a.head, &p, text, sizeof text, &l));
    ck_assert(key_add_content(&l, text, sizeof text, a.head.fields, VIEW("")));
    ck_assert(view_is(l.text, "1\nQUERY\nhttp://example.com/shelf\n\n\n\n\n"));
}
END_TEST

START_TEST(uri_of_a_text_that_is_no_key_is_empty)
{
    static const char *const texts[] = { "", "1", "1\n", "1\nGET", "1\nGET\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct key k = { .text = view_of_str(texts[i]) };
        ck_assert_uint_eq(key_uri(&k).len, 0);
    }
}
END_TEST

/* ---- Vary, RFC 9110 §12.5.5 */

static const struct {
    const char *fields;
    enum vary_kind kind;
    const char *names;
} varies[] = {
    { "", VARY_NONE, "" },
    { "Vary:", VARY_NONE, "" },
    { "Vary: Accept, x-forwarded-for", VARY_ANY, "" },
    { "Vary: Forwarded", VARY_ANY, "" },
    { "Vary: X-Forwarded-Proto", VARY_FIELDS, "x-forwarded-proto" },
    { "Vary: ,, ,", VARY_NONE, "" },
    { "Vary: Foo", VARY_FIELDS, "foo" },
    { "Vary: foo, bar, Baz", VARY_FIELDS, "bar,baz,foo" },
    { "Vary: foo\nVary: bar\nVary: baz", VARY_FIELDS, "bar,baz,foo" },
    { "Vary: bar, baz, foo", VARY_FIELDS, "bar,baz,foo" },
    { "Vary: baz,, foo ,bar,", VARY_FIELDS, "bar,baz,foo" },
    { "Vary: foo, FOO, foo\nVary: Foo", VARY_FIELDS, "foo" },
    { "Vary: ab, a, abc, b", VARY_FIELDS, "a,ab,abc,b" },
    { "Vary: *", VARY_ANY, "" },
    { "Vary: *, foo", VARY_ANY, "" },
    { "Vary: foo, *", VARY_ANY, "" },
    { "Vary: foo, *, bar", VARY_ANY, "" },
    { "Vary: foo\nVary: *", VARY_ANY, "" },
    { "Vary: , *", VARY_ANY, "" },
    { "Vary: foo bar", VARY_ANY, "" },
    { "Vary: \"foo\"", VARY_ANY, "" },
    { "Vary: Ignored", VARY_NONE, "" },
    { "Vary: ignored, foo", VARY_FIELDS, "foo" },
    { "Vary: foo, Bypassed", VARY_ANY, "" },
    { "Vary: ignored, *", VARY_ANY, "" },
};

static const struct view devices[] = { { "phone", 5 }, { "Desk", 4 } };
static const struct view codings[] = { { "br", 2 }, { "gzip", 4 } };
static const struct vary_rule rules[] = {
    { { "ignored", 7 }, VARY_IGNORE, NULL, 0 },       { { "bypassed", 8 }, VARY_BYPASS, NULL, 0 },
    { { "device", 6 }, VARY_ALLOW, devices, 2 },      { { "accept-encoding", 15 }, VARY_ALLOW, codings, 2 },
    { { "accept-language", 15 }, VARY_RAW, NULL, 0 },
};

START_TEST(vary_names_are_sorted_and_unique)
{
    char text[VARY_NAMES_MAX];
    struct lines l;
    struct view names;
    struct policy p = default_policy();
    p.vary_rules = rules;
    p.vary_rule_count = 2;
    ck_assert_int_eq(vary_names(section_of(&l, varies[_i].fields), &p, text, sizeof text, &names), varies[_i].kind);
    ck_assert_msg(view_is(names, varies[_i].names), "%s: %.*s", varies[_i].fields, (int)names.len, names.at);
}
END_TEST

START_TEST(vary_names_that_do_not_fit_match_nothing)
{
    char text[8];
    struct lines l;
    struct view names;
    struct policy p = default_policy();
    ck_assert_int_eq(vary_names(section_of(&l, "Vary: b, aa, aaaa"), &p, text, sizeof text, &names), VARY_ANY);
    ck_assert_int_eq(vary_names(section_of(&l, "Vary: b, aaa"), &p, text, sizeof text, &names), VARY_FIELDS);
    ck_assert(view_is(names, "aaa,b"));
    ck_assert_int_eq(vary_names(section_of(&l, "Vary: b"), &p, text, 0, &names), VARY_ANY);
}
END_TEST

/* ---- variants, RFC 9111 §4.1 */

static const struct {
    const char *names, *request, *text;
} variants[] = {
    { "", "Foo: 1", "" },
    { "foo", "Foo: 1", "foo:1\n" },
    { "foo", "", "foo\n" },
    { "foo", "Foo:", "foo:\n" },
    { "foo", "Foobar: 1", "foo\n" },
    { "bar,baz,foo", "Foo: 1\nBar: 2", "bar:2\nbaz\nfoo:1\n" },
    { "foo", "Foo: 1\nfoo: 2", "foo:1, 2\n" },
    { "foo", "Foo: 1, 2", "foo:1, 2\n" },
    { "foo", "Foo: 1\nConnection: foo", "foo\n" }, /* RFC 9110 §7.6.1: it goes no further */
    { "foo", "Foo: 1,2", "foo:1, 2\n" },           /* it may come in two lines, so its commas separate */
    { "foo", "Foo: a", "foo:a\n" },
    { "foo", "Foo: A", "foo:A\n" },
    { "cookie", "Cookie: A=1", "cookie:A=1\n" },
    { "host", "Host: Example.COM", "host:example.com\n" },
    { "x-forwarded-proto", "X-Forwarded-Proto:  HTTPS ,http", "x-forwarded-proto:https, http\n" },
    { "x-forwarded-for", "X-Forwarded-For: A,b\nX-Forwarded-For: c", "x-forwarded-for:A, b, c\n" },
    /* Accept-Encoding: order says nothing, weights do */
    { "accept-encoding", "Accept-Encoding: gzip, br", "accept-encoding:br, gzip\n" },
    { "accept-encoding", "Accept-Encoding: br,gzip;q=1.0", "accept-encoding:br, gzip\n" },
    { "accept-encoding", "Accept-Encoding: BR\nAccept-Encoding: GZip ; Q=1", "accept-encoding:br, gzip\n" },
    { "accept-encoding", "Accept-Encoding: br;q=0.5, gzip", "accept-encoding:gzip, br;q=0.5\n" },
    { "accept-encoding", "Accept-Encoding: br;q=0.500, gzip", "accept-encoding:gzip, br;q=0.5\n" },
    { "accept-encoding", "Accept-Encoding: br;q=0.05, gzip;q=0.125", "accept-encoding:gzip;q=0.125, br;q=0.05\n" },
    { "accept-encoding", "Accept-Encoding: br;q=0, gzip", "accept-encoding:gzip, br;q=0\n" },
    { "accept-encoding", "Accept-Encoding: br;q=0.000, gzip", "accept-encoding:gzip, br;q=0\n" },
    { "accept-encoding", "Accept-Encoding: *;q=0", "accept-encoding:*;q=0\n" },
    { "accept-encoding", "Accept-Encoding:", "accept-encoding:\n" },
    { "accept-encoding", "", "accept-encoding\n" },
    /* what is not a weight is compared as it stands */
    { "accept-encoding", "Accept-Encoding: gzip;q=2, br", "accept-encoding:gzip;q=2, br\n" },
    { "accept-encoding", "Accept-Encoding: gzip;q=0.1234, br", "accept-encoding:gzip;q=0.1234, br\n" },
    { "accept-encoding", "Accept-Encoding: gzip;q=1.001, br", "accept-encoding:gzip;q=1.001, br\n" },
    { "accept-encoding", "Accept-Encoding: gzip;q=, br", "accept-encoding:gzip;q=, br\n" },
    { "accept-encoding", "Accept-Encoding: gzip;q=0.5;x=1, br", "accept-encoding:gzip;q=0.5;x=1, br\n" },
    /* Accept-Language: the first of equals is preferred, so order stays */
    { "accept-language", "Accept-Language: en, de", "accept-language:en, de\n" },
    { "accept-language", "Accept-Language: de, en", "accept-language:de, en\n" },
    { "accept-language", "Accept-Language: en-GB,DE", "accept-language:en-gb, de\n" },
    { "accept-language", "Accept-Language: en;q=0.5, de", "accept-language:de, en;q=0.5\n" },
    { "accept-language", "Accept-Language: de;q=1.0,   en;q=0.50", "accept-language:de, en;q=0.5\n" },
    /* Accept: the same; types in any case, parameter values as they are */
    { "accept", "Accept: text/html;q=0.5 , Application/JSON", "accept:application/json, text/html;q=0.5\n" },
    { "accept", "Accept: b/b, a/a", "accept:b/b, a/a\n" },
    { "accept", "Accept: a/b; Profile=\"X; y,z\"; q=0.5", "accept:a/b;profile=\"X; y,z\";q=0.5\n" },
    { "accept", "Accept: a/b;v=B3", "accept:a/b;v=B3\n" },
    { "accept-charset", "Accept-Charset: UTF-8, ascii", "accept-charset:ascii, utf-8\n" },
};

static void check_variant(const char *names, const char *request, const struct policy *p, const char *text)
{
    char to[256];
    struct lines l;
    struct variant v;
    ck_assert(variant_from_request(view_of_str(names), section_of(&l, request), p, to, sizeof to, &v));
    ck_assert_msg(view_is(v.text, text), "%s with %s: %.*s", names, request, (int)v.text.len, v.text.at);
    ck_assert_int_eq(v.hash == 0, *text == '\0');
}

START_TEST(variant_spells_each_meaning_once)
{
    struct policy p = default_policy();
    check_variant(variants[_i].names, variants[_i].request, &p, variants[_i].text);
}
END_TEST

static const struct {
    const char *names, *request, *text;
} ruled_variants[] = {
    { "device", "Device: phone", "device:phone\n" },
    { "device", "Device: desk", "device:Desk\n" },
    { "device", "Device: fridge", "device\n" },
    { "device", "", "device\n" },
    { "accept-encoding", "Accept-Encoding: zstd, gzip;q=0.9, br", "accept-encoding:br, gzip;q=0.9\n" },
    { "accept-encoding", "Accept-Encoding: zstd", "accept-encoding\n" },
    { "accept-language", "Accept-Language: EN ;q=1,de", "accept-language:EN ;q=1,de\n" },
};

START_TEST(operators_rules_for_vary)
{
    struct policy p = default_policy();
    p.vary_rules = rules;
    p.vary_rule_count = sizeof rules / sizeof *rules;
    check_variant(ruled_variants[_i].names, ruled_variants[_i].request, &p, ruled_variants[_i].text);
}
END_TEST

START_TEST(variant_that_does_not_fit_matches_nothing)
{
    char text[64];
    struct lines l;
    struct variant v;
    struct policy p = default_policy();
    struct field_section request = section_of(&l, "Foo: jam\nAccept: a/b;q=0.5");
    size_t whole = strlen("accept:a/b;q=0.5\nfoo:jam\n");
    ck_assert(variant_from_request(VIEW("accept,foo"), request, &p, text, whole, &v));
    for (size_t cap = 0; cap < whole; cap++) {
        ck_assert(!variant_from_request(VIEW("accept,foo"), request, &p, text, cap, &v));
    }
}
END_TEST

START_TEST(more_members_than_are_sorted_are_compared_as_they_stand)
{
    char value[512] = "Accept-Encoding: b", text[512];
    struct lines l;
    struct variant v;
    struct policy p = default_policy();
    for (int i = 0; i < 70; i++) strcat(value, ",a");
    struct field_section request = section_of(&l, value);
    ck_assert(variant_from_request(VIEW("accept-encoding"), request, &p, text, sizeof text, &v));
    ck_assert(view_starts_with(v.text, VIEW("accept-encoding:b,a,a,")));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("key");
    tcase_add_loop_test(t, key_is_method_and_target_uri, 0, ROWS(keys));
    tcase_add_test(t, version_is_part_of_the_key);
    tcase_add_test(t, hash_is_that_of_the_text);
    tcase_add_test(t, key_that_does_not_fit_is_refused);
    tcase_add_test(t, query_key_holds_the_content);
    tcase_add_test(t, uri_of_a_text_that_is_no_key_is_empty);
    tcase_add_loop_test(t, vary_names_are_sorted_and_unique, 0, ROWS(varies));
    tcase_add_test(t, vary_names_that_do_not_fit_match_nothing);
    tcase_add_loop_test(t, variant_spells_each_meaning_once, 0, ROWS(variants));
    tcase_add_loop_test(t, operators_rules_for_vary, 0, ROWS(ruled_variants));
    tcase_add_test(t, variant_that_does_not_fit_matches_nothing);
    tcase_add_test(t, more_members_than_are_sorted_are_compared_as_they_stand);
    return run_case("cache/key", t);
}
