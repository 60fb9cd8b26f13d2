/* Which requests a stored response answers (RFC 9111 §4.1). */
#include "tests/conversation/harness.h"

#include <stdio.h>

/* A response with this Vary to the first request: does it answer the second? */
static const struct vary_row {
    const char *vary, *first, *second;
    bool matches;
    const char *why;
} rows[] = {
    { "Vary: Foo", "Foo: 1", "Foo: 1", true, "the same" },
    { "Vary: Foo", "Foo: 1", "Foo: 2", false, "another value" },
    { "Vary: Foo", "Foo: 1", "", false, "absent is no value" },
    { "Vary: Foo", "", "", true, "absent both times" },
    { "Vary: Foo", "", "Foo: 1", false, "absent is no value" },
    { "Vary: Foo", "Foo: 1", "FOO: 1", true, "names have no case" },
    { "vary: FOO", "Foo: 1", "Foo: 2", false, "names have no case" },
    { "Vary: Foo", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", true, "Bar does not count" },
    { "Vary: Foo, Bar", "Foo: 1\nBar: 1", "Foo: 1\nBar: 1", true, "two fields" },
    { "Vary: Foo, Bar", "Foo: 1\nBar: 1", "Bar: 1\nFoo: 1", true, "order of lines" },
    { "Vary: Foo, Bar", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", false, "two fields" },
    { "Vary: Foo, Bar, Baz", "Foo: 1\nBar: 1\nBaz: 1", "Foo: 1\nBar: 1\nBaz: 2", false, "three fields" },
    { "Vary: Foo\nVary: Bar", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", false, "two lines are one list" },
    { "Vary: , Foo,, ", "Foo: 1", "Foo: 2", false, "empty members" },
    { "Vary: Foo", "Foo: 1, 2", "Foo: 1,2", true, "blanks in a list" },
    { "Vary: Foo", "Foo: 1\nFoo: 2", "Foo: 1, 2", true, "two lines are one list" },
    { "Vary: Foo", "Foo: 1, 2", "Foo: 2, 1", false, "order may matter" },
    { "Vary: Foo", "Foo: a", "Foo: A", false, "case may matter" },
    { "Vary: *", "Foo: 1", "Foo: 1", false, "never" },
    { "Vary: Foo, *", "Foo: 1", "Foo: 1", false, "never" },
    { "Vary: *, Foo", "Foo: 1", "Foo: 1", false, "never" },
    { "Vary: Foo\nVary: *", "Foo: 1", "Foo: 1", false, "never" },
    { "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: en,  de", true, "blanks in a list" },
    { "Vary: Accept-Language", "Accept-Language: en;q=0.5", "Accept-Language: EN; q=0.5", true,
      "languages have no case" },
    { "Vary: Accept-Language", "Accept-Language: en", "Accept-Language: de", false, "another language" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: br", false, "another coding" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: GZIP", true, "codings have no case" },
    { "Vary: Cookie", "Cookie: a=1", "Cookie: a=2", false, "another cookie" },
};

START_TEST(a_request_matches_or_not)
{
    const struct vary_row *row = &rows[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "Cache-Control: max-age=60\n%s", row->vary), "first");
    if (!row->matches) origin_answers(s, "200", say(s, "Cache-Control: max-age=60\n%s", row->vary), "second");
    client_asks(s, "GET /shelf", row->first);
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "first");
    client_asks(s, "GET /shelf", row->second);
    client_hears(s, "200", row->matches ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->matches ? "first" : "second");
    scene_end(s);
}
END_TEST

START_TEST(variants_live_side_by_side)
{
    static const char *const languages[] = { "en", "de", "fr" };
    struct scene *s = scene_begin(NULL);
    for (size_t i = 0; i < COUNT(languages); i++)
        origin_answers(s, "200",
                       say(s, "Cache-Control: max-age=60\nVary: Accept-Language\nContent-Language: %s", languages[i]),
                       languages[i]);
    for (int times = 0; times < 3; times++)
        for (size_t i = 0; i < COUNT(languages); i++) {
            client_asks(s, "GET /greeting", say(s, "Accept-Language: %s", languages[i]));
            const char *expected = times > 0 ? "weir; hit" : i == 0 ? "weir; fwd=uri-miss" : "weir; fwd=vary-miss";
            client_hears(s, "200", say(s, "Cache-Status: %s\nContent-Language: %s", expected, languages[i]),
                         languages[i]);
        }
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

START_TEST(each_variant_has_its_own_freshness)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Foo", "short");
    origin_answers(s, "200", "Cache-Control: max-age=100\nVary: Foo", "long");
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "", "short");
    client_asks(s, "GET /shelf", "Foo: 2");
    client_hears(s, "200", "", "long");
    seconds_pass(s, 50);
    client_asks(s, "GET /shelf", "Foo: 2");
    client_hears(s, "200", "Cache-Status: weir; hit", "long");
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Foo", "short again");
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "short again");
    client_asks(s, "GET /shelf", "Foo: 2");
    client_hears(s, "200", "Cache-Status: weir; hit", "long");
    scene_end(s);
}
END_TEST

START_TEST(a_new_vary_counts_from_then_on)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Foo", "by foo");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 1");
    client_hears(s, "200", "", "by foo");
    seconds_pass(s, 20);
    origin_answers(s, "200", "Cache-Control: max-age=60\nVary: Bar", "by bar");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 1");
    client_hears(s, "200", "", "by bar");
    client_asks(s, "GET /shelf", "Foo: 2\nBar: 1");
    client_hears(s, "200", "Cache-Status: weir; hit", "by bar");
    origin_answers(s, "200", "Cache-Control: max-age=60\nVary: Bar", "other bar");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 2");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "other bar");
    scene_end(s);
}
END_TEST

START_TEST(many_variants_refuse_nobody)
{
    enum { MANY = 100 }; /* more than are kept for one URL */
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60\nVary: Foo", .body = "x", .times = MANY);
    for (int i = 0; i < MANY; i++) {
        client_asks(s, "GET /shelf", say(s, "Foo: %d", i));
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "x");
    }
    client_asks(s, "GET /shelf", say(s, "Foo: %d", MANY - 1));
    client_hears(s, "200", "Cache-Status: weir; hit", "x");
    scene_end(s);
}
END_TEST

START_TEST(variants_survive_a_restart)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600\nVary: Foo", "one");
    origin_answers(s, "200", "Cache-Control: max-age=600\nVary: Foo", "two");
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "", "one");
    client_asks(s, "GET /shelf", "Foo: 2");
    client_hears(s, "200", "", "two");
    weir_stops(s);
    weir_starts(s, NULL);
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "Cache-Status: weir; hit", "one");
    client_asks(s, "GET /shelf", "Foo: 2");
    client_hears(s, "200", "Cache-Status: weir; hit", "two");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_request_matches_or_not, rows),    TEST(variants_live_side_by_side),
        TEST(each_variant_has_its_own_freshness), TEST(a_new_vary_counts_from_then_on),
        TEST(many_variants_refuse_nobody),        TEST(variants_survive_a_restart),
    };
    return converse("vary", tests, COUNT(tests));
}
