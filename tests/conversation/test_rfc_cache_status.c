/* Cache-Status in every path (RFC 9211): hit or forwarded and never both, why, what came back, for how long, whether it was
 * kept, whether it was shared. One row of history for each way through weir.                                              */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* The member is all there is, in exactly these words; ttl may have lost a few seconds: {N} stands for N-3 to N. */
static void status_is(struct scene *s, struct client *c, const char *expected)
{
    const char *got = heard_field(c, "Cache-Status");
    const char *at = expected, *rest = got;
    holds(s, head_count(&c->response.head, "Cache-Status") == 1 && got != NULL);
    for (; *at != '\0'; at++) {
        if (*at != '{') {
            if (*rest++ != *at) scene_fail(s, "Cache-Status is \"%s\", not \"%s\"", got, expected);
            continue;
        }
        char *end;
        long most = strtol(at + 1, &end, 10);
        at = end;
        long n = strtol(rest, &end, 10);
        if (end == rest || n > most || n < most - 3) scene_fail(s, "Cache-Status is \"%s\", not \"%s\"", got, expected);
        rest = end;
    }
    if (*rest != '\0') scene_fail(s, "Cache-Status is \"%s\", not \"%s\"", got, expected);
}
#define status_is(s, ...) status_is(AT(s), __VA_ARGS__)

static void asked_and_told(struct scene *s, const char *request, const char *fields, const char *status,
                           const char *expected)
{
    client_asks(s, request, fields);
    client_hears(s, status, "", NULL);
    status_is(s, scene_client(s), expected);
}
#define asked_and_told(s, ...) asked_and_told(AT(s), __VA_ARGS__)

/* ---- one exchange, nothing stored */

static const struct miss_row {
    const char *request, *asks;  /* the client's */
    const char *status, *fields; /* the origin's */
    const char *heard;           /* status, NULL: the origin's */
    const char *expected;
} misses[] = {
    { "GET /", "", "200", "Cache-Control: max-age=60", NULL, "weir; fwd=uri-miss; fwd-status=200; ttl={60}; stored" },
    { "GET /", "", "404", "Cache-Control: max-age=60", NULL, "weir; fwd=uri-miss; fwd-status=404; ttl={60}; stored" },
    { "GET /", "", "200", "Cache-Control: max-age=60\nAge: 20", NULL,
      "weir; fwd=uri-miss; fwd-status=200; ttl={40}; stored" },
    { "GET /", "", "200", "Cache-Control: no-cache\nETag: \"1\"", NULL,
      "weir; fwd=uri-miss; fwd-status=200; ttl={0}; stored" },
    { "GET /", "", "200", "Cache-Control: no-store", NULL, "weir; fwd=uri-miss; fwd-status=200; detail=no-store" },
    { "GET /", "", "200", "Cache-Control: private", NULL, "weir; fwd=uri-miss; fwd-status=200; detail=private" },
    { "GET /", "", "200", "Vary: *\nCache-Control: max-age=60", NULL,
      "weir; fwd=uri-miss; fwd-status=200; detail=vary-any" },
    { "GET /", "", "200", "Set-Cookie: a=b\nCache-Control: max-age=60", NULL,
      "weir; fwd=uri-miss; fwd-status=200; detail=set-cookie" },
    { "GET /", "", "200", "X: y", NULL, "weir; fwd=uri-miss; fwd-status=200; detail=no-freshness" },
    { "GET /", "", "299", "X: y", NULL, "weir; fwd=uri-miss; fwd-status=299; detail=status" },
    { "GET /", "", "500", "X: y", NULL, "weir; fwd=uri-miss; fwd-status=500; detail=status" },
    { "GET /", "Authorization: x", "200", "Cache-Control: max-age=60", NULL,
      "weir; fwd=uri-miss; fwd-status=200; detail=authorization" },
    { "GET /", "Cache-Control: no-store", "200", "Cache-Control: max-age=60", NULL,
      "weir; fwd=uri-miss; fwd-status=200; detail=request-no-store" },
    { "GET /", "If-None-Match: \"1\"", "200", "Cache-Control: max-age=60\nETag: \"1\"", "304",
      "weir; fwd=uri-miss; fwd-status=200; ttl={60}; stored" },
    { "GET /", "Range: bytes=0-0", "200", "Cache-Control: max-age=60", "206",
      "weir; fwd=uri-miss; fwd-status=200; ttl={60}; stored" },
    { "HEAD /", "", "200", "Cache-Control: max-age=60", NULL, "weir; fwd=uri-miss; fwd-status=200" },
    { "HEAD /", "", "404", "Cache-Control: max-age=60", NULL, "weir; fwd=uri-miss; fwd-status=404" },
    { "POST /", "", "200", "Cache-Control: max-age=60", NULL, "weir; fwd=method; fwd-status=200" },
    { "POST /", "", "200", "Cache-Control: max-age=60\nContent-Location: /", NULL,
      "weir; fwd=method; fwd-status=200; ttl={60}; stored" },
    { "PUT /", "", "201", "X: y", NULL, "weir; fwd=method; fwd-status=201" },
    { "FROB /", "", "200", "Cache-Control: max-age=60", NULL, "weir; fwd=method; fwd-status=200" },
    { "OPTIONS /", "", "200", "Cache-Control: max-age=60", NULL, "weir; fwd=method; fwd-status=200" },
};

START_TEST(what_is_told_of_a_miss)
{
    const struct miss_row *row = &misses[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, row->status, row->fields, "x");
    asked_and_told(s, row->request, row->asks, row->heard != NULL ? row->heard : row->status, row->expected);
    scene_end(s);
}
END_TEST

/* ---- what weir answers itself is neither a hit nor forwarded */

START_TEST(what_is_told_of_answers_of_weirs_own)
{
    struct scene *s = scene_begin(NULL);
    asked_and_told(s, "GET /", "Cache-Control: only-if-cached", "504", "weir; detail=only-if-cached");
    asked_and_told(s, "OPTIONS /", "Max-Forwards: 0", "200", "weir");
    asked_and_told(s, "TRACE /", "Max-Forwards: 0", "200", "weir");
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

/* ---- after something was stored for 10 seconds */

static const struct hit_row {
    const char *stored;
    int64_t seconds;
    const char *asks;
    const char *status, *fields; /* the origin's; status NULL: it is not asked */
    const char *heard, *expected;
} hits[] = {
    { "Cache-Control: max-age=10", 4, "", NULL, NULL, "200", "weir; hit; ttl={6}" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 4, "If-None-Match: \"1\"", NULL, NULL, "304", "weir; hit; ttl={6}" },
    { "Cache-Control: max-age=10", 4, "Range: bytes=0-0", NULL, NULL, "206", "weir; hit; ttl={6}" },
    { "Cache-Control: max-age=10", 4, "Range: bytes=9-", NULL, NULL, "416", "weir; hit; ttl={6}" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 4, "If-Match: \"2\"", NULL, NULL, "412", "weir; hit; ttl={6}" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 12, "", "304", "X: y", "200",
      "weir; fwd=stale; fwd-status=304; ttl={10}; stored" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 12, "If-None-Match: \"1\"", "304", "X: y", "304",
      "weir; fwd=stale; fwd-status=304; ttl={10}; stored" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 12, "", "304", "Cache-Control: no-store", "200",
      "weir; fwd=stale; fwd-status=304; ttl={0}" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 12, "", "200", "Cache-Control: max-age=60", "200",
      "weir; fwd=stale; fwd-status=200; ttl={60}; stored" },
    { "Cache-Control: max-age=10\nETag: \"1\"", 12, "", "200", "Cache-Control: no-store", "200",
      "weir; fwd=stale; fwd-status=200; detail=no-store" },
    { "Cache-Control: max-age=10", 12, "", "404", "X: y", "404",
      "weir; fwd=stale; fwd-status=404; detail=no-freshness" },
    { "Cache-Control: max-age=10", 12, "", "503", "X: y", "503", "weir; fwd=stale; fwd-status=503; detail=status" },
    { "Cache-Control: max-age=10, stale-if-error=60", 12, "", "503", "X: y", "200",
      "weir; fwd=stale; fwd-status=503; ttl={-2}; detail=stale-if-error" },
    { "Cache-Control: max-age=10, stale-while-revalidate=60", 15, "", "200", "Cache-Control: max-age=60", "200",
      "weir; hit; ttl={-5}" },
    { "Cache-Control: no-cache, max-age=10\nETag: \"1\"", 2, "", "304", "X: y", "200",
      "weir; fwd=stale; fwd-status=304; ttl={10}; stored" },
    { "Cache-Control: max-age=10\nVary: Foo", 2, "Foo: 2", "200", "Cache-Control: max-age=60\nVary: Foo", "200",
      "weir; fwd=vary-miss; fwd-status=200; ttl={60}; stored" },
    { "Cache-Control: max-age=10", 2, "Cache-Control: only-if-cached", NULL, NULL, "200", "weir; hit; ttl={8}" },
    { "Cache-Control: max-age=10", 12, "Cache-Control: only-if-cached", NULL, NULL, "504",
      "weir; detail=only-if-cached" },
};

START_TEST(what_is_told_once_something_is_stored)
{
    const struct hit_row *row = &hits[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", row->stored, "first");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, row->seconds);
    if (row->status != NULL)
        origin_answers(s, row->status, row->fields, strcmp(row->status, "304") == 0 ? NULL : "second");
    asked_and_told(s, "GET /", row->asks, row->heard, row->expected);
    if (row->status != NULL) origin_count_is(s, 2); /* behind our back, perhaps */
    scene_end(s);
}
END_TEST

/* ---- failures */

static const struct failure_row {
    const char *stored; /* and stale for two seconds; NULL: nothing */
    const char *raw;    /* the origin's words before it closes; NULL: nobody listens */
    const char *heard, *expected;
} failures[] = {
    { NULL, NULL, "502", "weir; fwd=uri-miss; detail=origin-unreachable" },
    { NULL, "", "502", "weir; fwd=uri-miss; detail=origin-closed" },
    { NULL, "hello\r\n\r\n", "502", "weir; fwd=uri-miss; detail=origin-bad-response" },
    { "Cache-Control: max-age=10", NULL, "200", "weir; fwd=stale; ttl={-2}; detail=origin-unreachable" },
    { "Cache-Control: max-age=10", "", "200", "weir; fwd=stale; ttl={-2}; detail=origin-closed" },
    { "Cache-Control: max-age=10, must-revalidate", NULL, "502", "weir; fwd=stale; detail=origin-unreachable" },
};

START_TEST(what_is_told_of_failures)
{
    const struct failure_row *row = &failures[_i];
    struct scene *s = scene_begin(NULL);
    if (row->stored != NULL) {
        origin_answers(s, "200", row->stored, "first");
        client_asks(s, "GET /", "");
        client_hears(s, "200", "", "first");
        seconds_pass(s, 12);
    }
    if (row->raw == NULL)
        origin_goes(s);
    else if (row->raw[0] == '\0')
        origin_answers_as(s, .silent = true, .ending = CLOSE, .times = ALWAYS);
    else
        origin_answers_as(s, .raw = row->raw, .ending = CLOSE, .times = ALWAYS);
    asked_and_told(s, "GET /", "", row->heard, row->expected);
    scene_end(s);
}
END_TEST

/* ---- collapsed only when it was */

START_TEST(only_who_waited_for_another_was_collapsed)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 }, content = { 0 };
    struct client *first = client_arrives(s), *second = client_arrives(s), *third = client_arrives(s);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "shared", .hold = &head,
                      .hold_content = &content, .hold_after = 3);
    asks(s, first, "GET /", "");
    origin_waits_at(s, &head, 1);
    asks(s, second, "GET /", "");
    hears_nothing(s, second, 100); /* it has joined by then */
    gate_opens(s, &head);
    hears_head(s, first, "200", "");
    status_is(s, first, "weir; fwd=uri-miss; fwd-status=200; ttl={60}; stored");
    hears_head(s, second, "200", "");
    status_is(s, second, "weir; fwd=uri-miss; fwd-status=200; ttl={60}; collapsed");
    asks(s, third, "GET /", ""); /* the response is there, and its content still comes */
    hears_head(s, third, "200", "");
    status_is(s, third, "weir; hit; ttl={60}");
    gate_opens(s, &content);
    hears_content(s, first, "shared");
    hears_content(s, second, "shared");
    hears_content(s, third, "shared");
    hears_end(s, first);
    hears_end(s, second);
    hears_end(s, third);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(who_waited_for_a_validation_was_collapsed)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 };
    struct client *first = client_arrives(s), *second = client_arrives(s);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "shared");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "shared");
    seconds_pass(s, 12);
    origin_answers_as(s, .status = "304", .fields = "ETag: \"1\"", .hold = &head);
    asks(s, first, "GET /", "");
    origin_waits_at(s, &head, 1);
    asks(s, second, "GET /", "");
    hears_nothing(s, second, 100);
    gate_opens(s, &head);
    hears(s, first, "200", "", "shared");
    status_is(s, first, "weir; fwd=stale; fwd-status=304; ttl={10}; stored");
    hears(s, second, "200", "", "shared");
    status_is(s, second, "weir; fwd=stale; fwd-status=304; ttl={10}; collapsed");
    scene_end(s);
}
END_TEST

/* Who waited in vain, for what may not be shared, was not. */
START_TEST(who_got_an_answer_of_his_own_was_not_collapsed)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 };
    struct client *first = client_arrives(s), *second = client_arrives(s);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: private", .body = "mine", .hold = &head);
    asks(s, first, "GET /", "");
    origin_waits_at(s, &head, 1);
    asks(s, second, "GET /", "");
    hears_nothing(s, second, 100);
    origin_answers(s, "200", "Cache-Control: private", "yours");
    gate_opens(s, &head);
    hears(s, first, "200", "", "mine");
    status_is(s, first, "weir; fwd=uri-miss; fwd-status=200; detail=private");
    hears(s, second, "200", "", "yours");
    status_is(s, second, "weir; fwd=uri-miss; fwd-status=200; detail=private");
    scene_end(s);
}
END_TEST

/* ---- purges, and caches behind weir */

START_TEST(what_is_told_after_purges)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"\nSurrogate-Key: a", "first");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "first");
    client_asks(s, "PURGE /", "Soft-Purge: 1");
    client_hears(s, "200", "Cache-Status: weir; !hit; !fwd", NULL);
    origin_answers(s, "304", "ETag: \"1\"", NULL);
    asked_and_told(s, "GET /", "", "200", "weir; fwd=stale; fwd-status=304; ttl={60}; stored");
    scene_end(s);
}
END_TEST

START_TEST(others_members_come_first)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nCache-Status: far; hit; ttl=7\nCache-Status: near; fwd=stale",
                   "x");
    asked_and_told(s, "GET /", "", "200",
                   "far; hit; ttl=7, near; fwd=stale, weir; fwd=uri-miss; fwd-status=200; ttl={60}; stored");
    asked_and_told(s, "GET /", "", "200", "far; hit; ttl=7, near; fwd=stale, weir; hit; ttl={60}");
    scene_end(s);
}
END_TEST

/* What the front end refuses never became a request of ours: neither hit nor fwd. */
START_TEST(what_is_told_of_what_is_refused)
{
    static const char *const refused[] = { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                                           "GET https://" HOST "/ HTTP/1.1\r\nHost: " HOST "\r\n\r\n" };
    static const char *const statuses[] = { "400", "421" };
    struct scene *s = scene_begin(NULL);
    struct client *c = client_arrives(s);
    says(s, c, "GET", refused[_i], strlen(refused[_i]));
    hears(s, c, statuses[_i], "Cache-Status: weir; !hit; !fwd; detail=refused", NULL);
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

/* ---- why it is not cached, in a user's words: weir explain */

#define CHUNKS "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
static const struct unstored_row {
    const char *raw; /* the origin's answer; it closes then */
    const char *status, *says;
} unstored[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\njam", "200", "said nothing of how long it is fresh" },
    { "HTTP/1.1 200 OK\r\nAge: 90\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\njam", "200",
      "came at an age of 90 s, and was to be fresh for 60 s (max-age)" },
    { "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, no-cache\r\nContent-Length: 3\r\n\r\njam", "200",
      "says no-cache: each use is to be validated first" },
    { "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\njam", "200", "says no-store" },
    { CHUNKS "3\r\nja", "502", "its content broke off (RFC 9111 §3.3)" },
    { "HTTP/1.1 200 OK\r\nContent-Le", "502", "with status 502,\n  because it is weir's own" },
    { "no HTTP at all", "502", "the origin gave none, or none that is HTTP" },
};

START_TEST(explain_says_why_it_is_not_cached)
{
    const struct unstored_row *row = &unstored[_i];
    struct scene *s = scene_begin(NULL);
    struct command_result r;
    origin_answers_as(s, .raw = row->raw, .ending = CLOSE);
    client_asks(s, "GET /shelf", "");
    client_hears(s, row->status, "", NULL);
    process_run(scene_weir(s), say(s, "explain --admin 127.0.0.1:%d http://" HOST "/shelf", scene_weir(s)->admin_port),
                &r);
    if (r.status != 0 || strstr(r.out, row->says) == NULL) scene_fail(AT(s), "explain says: %s", r.out);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(explain_says_why_it_is_not_cached, unstored),
        { what_is_told_of_what_is_refused, 2 },
        TABLE(what_is_told_of_a_miss, misses),
        TEST(what_is_told_of_answers_of_weirs_own),
        TABLE(what_is_told_once_something_is_stored, hits),
        TABLE(what_is_told_of_failures, failures),
        TEST(only_who_waited_for_another_was_collapsed),
        TEST(who_waited_for_a_validation_was_collapsed),
        TEST(who_got_an_answer_of_his_own_was_not_collapsed),
        TEST(what_is_told_after_purges),
        TEST(others_members_come_first),
    };
    return converse("rfc cache-status", tests, COUNT(tests));
}
