/* Which requests are the same to a Vary, and which are not (RFC 9111 §4.1, RFC 9110 §12.5): what test_vary does not ask. */
#include "tests/conversation/harness.h"

#include <stdio.h>

static const struct vary_row {
    const char *vary, *first, *second;
    bool matches;
    const char *why;
} rows[] = {
    { "Vary: Foo, Bar, Baz", "Foo: 1\nBar: 2\nBaz: 3", "Foo: 1\nBar: 2\nBaz: 3", true, "three fields" },
    { "Vary: Baz, Foo, Bar", "Foo: 1\nBar: 2\nBaz: 3", "Baz: 3\nBar: 2\nFoo: 1", true,
      "three fields in another order" },
    { "Vary: Foo, Bar, Baz", "Foo: 1\nBar: 2", "Foo: 1\nBar: 2\nBaz: 3", false, "the third came" },
    { "Vary: Foo, Bar, Baz", "Foo: 1\nBaz: 3", "Foo: 1\nBaz: 3", true, "the second is never there" },
    { "Vary: Foo, Bar, Baz", "Foo: 1\nBaz: 3", "Bar: 1\nBaz: 3", false, "one value is not another's" },
    { "Vary: Foo, foo, FOO", "Foo: 1", "Foo: 1", true, "the same field named often" },
    { "Vary: Foo", "Foo:", "", false, "an empty value is a value" },
    { "Vary: Foo", "Foo:", "Foo:", true, "an empty value is a value" },
    { "Vary:", "Foo: 1", "Foo: 2", true, "nothing is nominated" },
    { "Vary: ,", "Foo: 1", "Foo: 2", true, "nothing is nominated" },
    { "Vary: , ,Foo", "Foo: 1", "Foo: 2", false, "empty members, and one that is not" },
    { "Vary: Foo,*,Bar", "Foo: 1", "Foo: 1", false, "* in the middle" },
    { "Vary: *\nVary: Foo", "Foo: 1", "Foo: 1", false, "* in the first line" },
    { "Vary: ,*", "Foo: 1", "Foo: 1", false, "* behind an empty member" },
    { "Vary: **", "Foo: 1", "Foo: 1", true, "two asterisks are a field's name like others" },
    { "Vary: \"Foo\"", "Foo: 1", "Foo: 1", false, "no field's name: nobody can know" },
    { "Vary: Foo", "Foo: a b", "Foo: a  b", false, "blanks within a value" },
    { "Vary: Foo", "Foo:  a", "Foo: a", true, "blanks before a value" },
    { "Vary: Foo", "Foo: a,b, c", "Foo: a, b,c", true, "blanks between members" },
    { "Vary: Foo", "Foo: \"a,b\"", "Foo: \"a, b\"", false, "blanks within quotes" },
    { "Vary: Foo", "Foo: a\nFoo: b", "Foo: b\nFoo: a", false, "order of lines with one name" },
    { "Vary: Foo", "Foo: 1\nConnection: Foo", "", true, "what Connection names never reached the origin" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br, gzip", true,
      "codings have no order" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip, br;q=0.5", "Accept-Encoding: br;q=0.5, gzip", true,
      "by weight" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip, br;q=0.5", "Accept-Encoding: gzip, br;q=0.50", true,
      "zeros behind" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip;q=1", "Accept-Encoding: gzip", true, "q=1 is what none means" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip;q=1.000", "Accept-Encoding: gzip", true,
      "q=1 is what none means" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip;q=0", "Accept-Encoding: gzip", false, "q=0 is never" },
    { "Vary: Accept-Encoding", "Accept-Encoding: gzip, br;q=0.5", "Accept-Encoding: gzip;q=0.5, br", false,
      "other weights" },
    { "Vary: Accept-Encoding", "", "Accept-Encoding:", false, "absent is anything, empty is nothing" },
    { "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: de, en", false,
      "RFC 9110 §12.5.4: order may be preference" },
    { "Vary: Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: de, en;q=0.5", true,
      "where weights say it, order says nothing" },
    { "Vary: Accept-Language", "Accept-Language: en-GB", "Accept-Language: EN-gb", true, "tags have no case" },
    { "Vary: Accept-Language", "Accept-Language: en-GB", "Accept-Language: en", false, "another range" },
    { "Vary: Accept", "Accept: text/html, text/plain;q=0.5", "Accept: text/plain; q=0.5 ,TEXT/HTML", true,
      "by weight, without case" },
    { "Vary: Accept", "Accept: text/html;level=1", "Accept: text/html;level=2", false, "parameters count" },
    { "Vary: User-Agent", "User-Agent: A/1 (b, c)", "User-Agent: A/1 (b,c)", false, "no list" },
    { "Vary: Origin", "Origin: http://a.example", "Origin: http://b.example", false, "another" },
    { "Vary: Cookie", "", "Cookie: a=1", false, "absent is no value" },
    { "Vary: X-Forwarded-For", "", "", false, "the origin chose by an address that weir told it" },
    { "Vary: Accept, Forwarded", "", "", false, "the same by another name" },
    { "Vary: X-Forwarded-Proto", "", "", true, "part of the target URI" },
    { "Vary: Authorization\nCache-Control: public", "Authorization: a", "Authorization: b", false, "another" },
};

START_TEST(what_is_the_same_to_a_vary)
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

/* The newest Vary replaces the others, narrower, wider, or none at all. */
static const struct change_row {
    const char *before, *after;
    const char *same, *other; /* fields that the newest response answers, and that it does not; NULL: there are none */
} changes[] = {
    { "Vary: Foo", "Vary: Foo, Bar", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2" },
    { "Vary: Foo, Bar", "Vary: Foo", "Foo: 1\nBar: 2", "Foo: 2\nBar: 1" },
    { "Vary: Foo", "Vary: Bar", "Foo: 2\nBar: 1", "Foo: 1\nBar: 2" },
    { "Vary: Foo", "X-None: x", "Foo: 2\nBar: 2", NULL },
    { "X-None: x", "Vary: Foo", "Foo: 1\nBar: 2", "Foo: 2\nBar: 1" },
    { "Vary: Foo", "Vary: *", NULL, "Foo: 1\nBar: 1" },
};

START_TEST(the_newest_vary_decides)
{
    const struct change_row *row = &changes[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "Cache-Control: max-age=10\n%s", row->before), "before");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 1");
    client_hears(s, "200", "", "before");
    seconds_pass(s, 15);
    origin_answers(s, "200", say(s, "Cache-Control: max-age=60\n%s", row->after), "after");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 1");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale", "after");
    if (row->same != NULL) {
        client_asks(s, "GET /shelf", row->same);
        client_hears(s, "200", "Cache-Status: weir; hit", "after");
    }
    if (row->other != NULL) {
        origin_answers(s, "200", "Cache-Control: no-store", "another");
        client_asks(s, "GET /shelf", row->other);
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "another");
    }
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = { TABLE(what_is_the_same_to_a_vary, rows), TABLE(the_newest_vary_decides, changes) };
    return converse("rfc vary", tests, COUNT(tests));
}
