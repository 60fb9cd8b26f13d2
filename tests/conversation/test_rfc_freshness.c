/* What makes a response fresh, and who may share it: dates, directives, statuses (RFC 9111 §3, §4.2, §5.2, §5.3). */
#include "tests/conversation/harness.h"

#include <stdlib.h>
#include <string.h>

/* The first response; does it answer the second request so many seconds later, and without the origin? */
static void reuse(struct scene *s, const char *status, const char *fields, int64_t seconds, bool reused)
{
    bool content = strcmp(status, "204") != 0;
    origin_answers(s, status, fields, content ? "first" : NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, status, "", content ? "first" : "");
    seconds_pass(s, seconds);
    if (!reused) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /shelf", "");
    if (reused)
        client_hears(s, status, "Cache-Status: weir; hit", content ? "first" : "");
    else
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "second");
}

/* ---- Expires (§5.3): what is no HTTP-date is in the past */

static const struct expires_row {
    const char *value; /* all far ahead, if they are dates at all */
    bool date;
    const char *why;
} expires[] = {
    { "Fri, 01 Jan 2100 00:00:00 GMT", true, "IMF-fixdate" },
    { "Friday, 01-Jan-60 00:00:00 GMT", true, "rfc850-date: 34 years ahead" },
    { "Friday, 01-Jan-94 00:00:00 GMT", false, "rfc850-date: more than 50 years ahead is the past" },
    { "Fri Jan  1 00:00:00 2100", true, "asctime-date" },
    { "Fri Jan 01 00:00:00 2100", true, "asctime-date with two digits" },
    { "fri, 01 jan 2100 00:00:00 gmt", true, "case is forgiven" },
    { "Sun, 01 Jan 2100 00:00:00 GMT", true, "nobody checks the day of the week" },
    { "Fri, 01 Jan 2100 00:00:00 UTC", false, "another zone" },
    { "Fri, 01 Jan 2100 00:00:00 +0000", false, "another zone" },
    { "Fri, 01 Jan 2100 00:00:00 AEST", false, "another zone" },
    { "Fri, 01 Jan 2100 00:00:00", false, "no zone" },
    { "Fri, 01 Jan 00 00:00:00 GMT", false, "two digits where four should be" },
    { "Fri 01 Jan 2100 00:00:00 GMT", false, "no comma" },
    { "Fri, 1 Jan 2100 00:00:00 GMT", false, "one digit" },
    { "Fri, 01 Jan 2100 0:00:00 GMT", false, "one digit" },
    { "Fri,  01 Jan 2100 00:00:00 GMT", false, "two blanks" },
    { "Fri, 01-Jan-2100 00:00:00 GMT", false, "dashes" },
    { "Fri, 01 Jan 2100 00.00.00 GMT", false, "periods" },
    { "Fri, 01 Jan 2100 24:00:00 GMT", false, "no such hour" },
    { "Fri, 30 Feb 2100 00:00:00 GMT", false, "no such day" },
    { "Fri, 29 Feb 2100 00:00:00 GMT", false, "2100 has no 29 February" },
    { "Fri, 00 Jan 2100 00:00:00 GMT", false, "no such day" },
    { "Fri, 01 Foo 2100 00:00:00 GMT", false, "no such month" },
    { "01 Jan 2100 00:00:00 GMT", false, "no day of the week" },
    { "Fri, 01 Jan 2100 GMT", false, "no time" },
    { "Fri, 01 Jan 2100 00:00 GMT", false, "no seconds" },
    { "Fri, 01 Jan 2100 00:00:00 GMT, x", false, "something behind it" },
    { "\"Fri, 01 Jan 2100 00:00:00 GMT\"", false, "in quotes" },
    { "2100-01-01T00:00:00Z", false, "another format" },
    { "4102444800", false, "seconds" },
    { "0", false, "zero" },
    { "-1", false, "minus one" },
    { "", false, "nothing" },
};

START_TEST(expires_is_an_http_date_or_past)
{
    const struct expires_row *row = &expires[_i];
    struct scene *s = scene_begin(NULL);
    reuse(s, "200", say(s, "Expires: %s", row->value), 5, row->date);
    scene_end(s);
}
END_TEST

/* An Expires that cannot be read is explicit all the same: no heuristic takes its place (§4.2.2). */
START_TEST(a_bad_expires_leaves_no_room_for_a_guess)
{
    struct scene *s = scene_begin(NULL);
    reuse(s, "200", dated(s, "Expires: 0\nLast-Modified: {-100000}"), 0, false);
    scene_end(s);
}
END_TEST

/* ---- directives (§5.2) */

static const struct directive_row {
    const char *fields;
    int64_t seconds;
    bool reused;
    const char *why;
} directives[] = {
    { "Cache-Control: No-STORE, max-age=60", 0, false, "names have no case" },
    { "Cache-Control: PRIVATE, max-age=60", 0, false, "names have no case" },
    { "Cache-Control: No-Cache, max-age=60", 0, false, "names have no case" },
    { "Cache-Control: S-MaxAge=60, max-age=1", 50, true, "names have no case" },
    { "Cache-Control: max-age=60, max-age=60", 50, true, "twice the same" },
    { "Cache-Control: max-age=60\nCache-Control: max-age=60", 50, true, "twice the same" },
    { "Cache-Control: max-age=60\nCache-Control: no-store", 0, false, "the second line counts too" },
    { "Cache-Control: no-store\nCache-Control: max-age=60", 0, false, "the first line counts too" },
    { "Cache-Control: max-age=60,, ,", 50, true, "empty members" },
    { "Cache-Control: ,max-age=60", 50, true, "empty members" },
    { "Cache-Control:max-age=60,no-storefoo", 50, true, "not by its beginning" },
    { "Cache-Control: foo-no-store, max-age=60", 50, true, "not by its end" },
    { "Cache-Control: foo=no-store, max-age=60", 50, true, "not as an argument" },
    { "Cache-Control: foo=\"a, private, b\", max-age=60", 50, true, "not within quotes" },
    { "Cache-Control: foo=\"\\\", no-store, \\\"\", max-age=60", 50, true, "not within quotes, escaped or not" },
    { "Cache-Control: max-agefoo=0, max-age=60", 50, true, "not by its beginning" },
    { "Cache-Control: x-max-age=0, max-age=60", 50, true, "not by its end" },
    { "Cache-Control: community=\"UCI\", max-age=60", 50, true, "§5.2.3: an unknown extension" },
    { "Cache-Control: max-age=\"60\"", 60, false, "quoted is the same number" },
    { "Cache-Control: s-maxage=\"60\", max-age=0", 50, true, "quoted is the same number" },
    { "Cache-Control: max-age='60'", 0, false, "single quotes are none" },
    { "Cache-Control: max-age=60;foo", 0, false, "no parameters" },
    { "Cache-Control: max-age", 0, false, "no number" },
    { "Cache-Control: max-age=", 0, false, "no number" },
    { "Cache-Control: max-age=1e3", 0, false, "no number" },
    { "Cache-Control: max-age=+60", 0, false, "no number" },
    { "Cache-Control: max-age=060", 50, true, "zeros in front" },
    { "Cache-Control: max-age= 60", 0, false, "a blank within" },
    { "Cache-Control: max-age=60 s-maxage=1", 0, false, "no comma: no number" },
    { "Cache-Control: s-maxage=x, max-age=60", 0, false, "one that cannot be read is stale, and not absent" },
    { "Cache-Control: no-store=0, max-age=60", 0, false, "an argument changes nothing" },
    { "Cache-Control: max-age=2147483648", 1000000, true, "§1.2.2" },
    { "Cache-Control: max-age=0\nExpires: {600}", 0, false, "max-age wins" },
    { "Expires: {60}\nExpires: {60}", 50, true, "two that agree" },
    { "Expires: {600}\nExpires: 0", 0, false, "two that disagree" },
    { "Expires: 0\nExpires: {600}", 0, false, "two that disagree" },
    { "Cache-Control: immutable, max-age=10", 10, false, "RFC 8246 §2: of meaning only while fresh" },
    { "Cache-Control: no-transform, max-age=60", 50, true, "§5.2.2.6" },
    { "Cache-Control: public, max-age=60", 60, false, "public adds no time" },
    { "Cache-Control: must-revalidate, max-age=60", 50, true, "§5.2.2.2: fresh is fresh" },
    { "Cache-Control: stale-while-revalidate=0, max-age=10", 10, false, "RFC 5861 §3: a window of nothing" },
    { "Cache-Control: stale-while-revalidate=x, max-age=10", 10, false, "a window that cannot be read" },
    { "Cache-Control: stale-while-revalidate=30, max-age=10, must-revalidate", 15, false, "never stale" },
    { "Cache-Control: stale-while-revalidate=30, max-age=10, proxy-revalidate", 15, false, "never stale" },
    { "Cache-Control: stale-while-revalidate=30, max-age=10, no-cache", 0, false, "never without asking" },
    { "Warning: 110 - \"stale\"\nCache-Control: max-age=60", 50, true, "obsolete" },
};

START_TEST(directives_by_their_whole_names)
{
    const struct directive_row *row = &directives[_i];
    struct scene *s = scene_begin(NULL);
    reuse(s, "200", dated(s, row->fields), row->seconds, row->reused);
    scene_end(s);
}
END_TEST

/* ---- statuses */

static const struct status_row {
    const char *status;
    bool heuristic; /* RFC 9110 §15.1 */
} statuses[] = {
    { "200", true },  { "201", false }, { "202", false }, { "203", true },  { "204", true },  { "205", false },
    { "226", false }, { "299", false }, { "300", true },  { "301", true },  { "302", false }, { "303", false },
    { "305", false }, { "307", false }, { "308", true },  { "399", false }, { "400", false }, { "401", false },
    { "403", false }, { "404", true },  { "405", true },  { "406", false }, { "408", false }, { "409", false },
    { "410", true },  { "414", true },  { "418", false }, { "422", false }, { "451", false }, { "499", false },
    { "500", false }, { "501", true },  { "502", false }, { "503", false }, { "504", false }, { "599", false },
};

START_TEST(heuristics_for_the_statuses_that_have_them)
{
    const struct status_row *row = &statuses[_i];
    struct scene *s = scene_begin(NULL);
    reuse(s, row->status, dated(s, "Last-Modified: {-100000}"), 1000, row->heuristic);
    scene_end(s);
}
END_TEST

/* §4.2.2: public marks any response as one that may be guessed about. */
START_TEST(public_lets_any_status_be_guessed_about)
{
    struct scene *s = scene_begin(NULL);
    reuse(s, "299", dated(s, "Cache-Control: public\nLast-Modified: {-100000}"), 1000, true);
    scene_end(s);
}
END_TEST

START_TEST(any_status_may_say_that_it_is_fresh)
{
    static const char *const freshness[] = { "Cache-Control: max-age=60", "Cache-Control: s-maxage=60", "Expires: {60}",
                                             "CDN-Cache-Control: max-age=60" };
    for (size_t i = 0; i < COUNT(freshness); i++) {
        struct scene *s = scene_begin(NULL);
        reuse(s, statuses[_i].status, dated(s, freshness[i]), 50, true);
        scene_end(s);
    }
}
END_TEST

/* Never, whatever they say: RFC 6585, and answers to fields that no key holds. */
START_TEST(some_statuses_are_never_stored)
{
    static const char *const never[] = { "412", "416", "417", "428", "429", "431", "511" };
    struct scene *s = scene_begin(NULL);
    reuse(s, never[_i], "Cache-Control: public, s-maxage=600", 0, false);
    scene_end(s);
}
END_TEST

/* §5.2.2.3: must-understand takes no-store's place for a status that is understood, and forbids the others. */
static const struct understood_row {
    const char *status, *cache_control;
    bool stored;
} understood[] = {
    { "200", "no-store, must-understand, max-age=60", true },
    { "404", "must-understand, no-store, max-age=60", true },
    { "299", "no-store, must-understand, max-age=60", false },
    { "299", "must-understand, max-age=60", false },
    { "599", "must-understand, max-age=60", false },
    { "200", "must-understand, max-age=60", true },
    { "200", "no-store, must-understandable, max-age=60", false },
    { "200", "no-store, must-understand", false },
    { "200", "no-store, must-understand, private, max-age=60", false },
};

START_TEST(must_understand)
{
    const struct understood_row *row = &understood[_i];
    struct scene *s = scene_begin(NULL);
    reuse(s, row->status, say(s, "Cache-Control: %s", row->cache_control), 50, row->stored);
    scene_end(s);
}
END_TEST

/* ---- no-cache and private with field names (§5.2.2.4, §5.2.2.7) */

static const struct list_row {
    const char *cache_control;
    const char *gone, *kept; /* of X-A, X-B, Set-Cookie: what the cache does not say, and what it does */
} lists[] = {
    { "private=\"X-A\"", "!X-A", "X-B: b" },
    { "private=\"x-a, x-b\"", "!X-A\n!X-B", "X-C: c" },
    { "private=\" X-A ,, X-B \"", "!X-A\n!X-B", "X-C: c" },
    { "no-cache=\"X-A\", private=\"X-B\"", "!X-A\n!X-B", "X-C: c" },
    { "private=\"X-A\", private=\"X-B\"", "!X-A\n!X-B", "X-C: c" },
    { "no-cache=\"X-A\"\nCache-Control: no-cache=\"X-B\"", "!X-A\n!X-B", "X-C: c" },
    { "no-cache=X-A", "!X-A", "X-B: b" },
    { "NO-CACHE=\"X-A\"", "!X-A", "X-B: b" },
    { "no-cache=\"Set-Cookie\"", "!Set-Cookie", "X-A: a" },
    { "no-cache=\"X-AB\"", "!X-AB", "X-A: a" },
};

START_TEST(listed_fields_stay_with_the_first_client)
{
    const struct list_row *row = &lists[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200",
                   say(s, "Cache-Control: max-age=60\nCache-Control: %s\nX-A: a\nX-B: b\nX-C: c%s", row->cache_control,
                       strstr(row->cache_control, "Set-Cookie") != NULL ? "\nSet-Cookie: a=b" : ""),
                   "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "X-A: a\nX-B: b\nX-C: c", "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", say(s, "Cache-Status: weir; hit\n%s\n%s", row->gone, row->kept), "x");
    scene_end(s);
}
END_TEST

/* No list at all is the directive without an argument: the stricter reading. */
START_TEST(an_empty_list_is_no_list)
{
    static const char *const strict[] = { "private=\"\"", "private=", "no-cache=\"\"", "private=\"X-A",
                                          "no-cache=\"a b\"" };
    struct scene *s = scene_begin(NULL);
    reuse(s, "200", say(s, "Cache-Control: max-age=60, %s", strict[_i]), 0, false);
    scene_end(s);
}
END_TEST

/* ---- Authorization (§3.5): every combination of what lets a response be shared, and what does not */

enum { PUBLIC = 1, MUST_REVALIDATE = 2, S_MAXAGE = 4, MAX_AGE = 8, PROXY_REVALIDATE = 16, COMBINATIONS = 32 };

START_TEST(authorization_in_every_combination)
{
    struct scene *s = scene_begin(NULL);
    for (int with_name = 0; with_name < 2; with_name++) {
        const char *target = with_name ? "GET /named" : "GET /nameless";
        bool shares = !with_name || (_i & (PUBLIC | MUST_REVALIDATE | S_MAXAGE)) != 0;
        bool fresh = (_i & (S_MAXAGE | MAX_AGE)) != 0;
        origin_answers(s, "200",
                       say(s, "Cache-Control: x%s%s%s%s%s", _i & PUBLIC ? ", public" : "",
                           _i & MUST_REVALIDATE ? ", must-revalidate" : "", _i & S_MAXAGE ? ", s-maxage=60" : "",
                           _i & MAX_AGE ? ", max-age=60" : "", _i & PROXY_REVALIDATE ? ", proxy-revalidate" : ""),
                       "first");
        client_asks(s, target, with_name ? "Authorization: Basic YTpi" : "");
        client_hears(s, "200", "", "first");
        if (!shares || !fresh) origin_answers(s, "200", "Cache-Control: no-store", "second");
        client_asks(s, target, "");
        client_hears(s, "200", shares && fresh ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                     shares && fresh ? "first" : "second");
    }
    scene_end(s);
}
END_TEST

/* What anybody may have, one with a name may have too; and what a targeted field says it says for Authorization. */
START_TEST(what_is_shared_is_for_those_with_names_too)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    client_asks(s, "GET /shelf", "Authorization: Basic YTpi");
    client_hears(s, "200", "Cache-Status: weir; hit", "first");
    origin_answers(s, "200", "CDN-Cache-Control: max-age=60\nCache-Control: public", "mine");
    origin_answers(s, "200", "CDN-Cache-Control: max-age=60, public", "ours");
    client_asks(s, "GET /named", "Authorization: Basic YTpi");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; !stored; detail=authorization", "mine");
    client_asks(s, "GET /named", "Authorization: Basic YTpi");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", "ours");
    client_asks(s, "GET /named", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "ours");
    scene_end(s);
}
END_TEST

/* ---- HTTP/1.0 */

START_TEST(via_names_the_version_of_the_message)
{
    struct scene *s = scene_begin(NULL); /* RFC 9110 §7.6.3 */
    origin_answers_as(s, .raw = "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nold", .ending = CLOSE);
    client_asks(s, "GET /old", "");
    client_hears(s, "200", "Via: 1.0 weir\nCache-Status: weir; fwd=uri-miss; stored", "old");
    client_asks(s, "GET /old", "");
    client_hears(s, "200", "Via: 1.0 weir\nCache-Status: weir; hit", "old");
    weir_stops(s);
    weir_starts(s, NULL);
    client_asks(s, "GET /old", "");
    client_hears(s, "200", "Via: 1.0 weir\nCache-Status: weir; hit", "old");

    origin_answers_as(s, .raw = "HTTP/1.0 404 No\r\nVia: 1.1 a\r\nContent-Length: 0\r\n\r\n", .ending = CLOSE);
    client_asks(s, "POST /none", "");
    client_hears(s, "404", "Via: 1.1 a, 1.0 weir", "");

    static const char ask[] = "GET /new HTTP/1.0\r\nHost: " HOST "\r\n\r\n";
    struct client *c = client_arrives(s);
    origin_answers(s, "200", "", "new");
    says(s, c, "GET", ask, sizeof ask - 1);
    hears(s, c, "200", "Via: 1.1 weir", "new");
    origin_heard(s, "GET /new", "Via: 1.0 weir");
    scene_end(s);
}
END_TEST

START_TEST(an_origin_of_http_1_0_is_cached_like_any)
{
    struct scene *s = scene_begin(NULL);
    const char *raw = say(s, "HTTP/1.0 200 OK\r\nExpires: %s\r\nPragma: x\r\n\r\nold times", date(s, 60));
    origin_answers_as(s, .raw = raw, .ending = CLOSE);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", i == 0 ? "Cache-Status: weir; fwd=uri-miss; stored" : "Cache-Status: weir; hit",
                     "old times");
    }
    static const char ask[] = "GET /shelf HTTP/1.0\r\nHost: " HOST "\r\nPragma: no-cache\r\n\r\n";
    struct client *c = client_arrives(s);
    says(s, c, "GET", ask, sizeof ask - 1);
    hears(s, c, "200", "Cache-Status: weir; hit\nContent-Length: 9\n!Transfer-Encoding", "old times");
    is_closed(s, c);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(expires_is_an_http_date_or_past, expires),
        TEST(a_bad_expires_leaves_no_room_for_a_guess),
        TABLE(directives_by_their_whole_names, directives),
        TABLE(heuristics_for_the_statuses_that_have_them, statuses),
        TEST(public_lets_any_status_be_guessed_about),
        TABLE(any_status_may_say_that_it_is_fresh, statuses),
        { some_statuses_are_never_stored, 7 },
        TABLE(must_understand, understood),
        TABLE(listed_fields_stay_with_the_first_client, lists),
        { an_empty_list_is_no_list, 5 },
        { authorization_in_every_combination, COMBINATIONS },
        TEST(what_is_shared_is_for_those_with_names_too),
        TEST(an_origin_of_http_1_0_is_cached_like_any),
        TEST(via_names_the_version_of_the_message),
    };
    return converse("rfc freshness", tests, COUNT(tests));
}
