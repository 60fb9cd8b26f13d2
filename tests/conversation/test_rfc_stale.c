/* Stale responses: who may have them, for how long, and what ends that (RFC 9111 §4.2.4, §4.3.3; RFC 5861). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* An origin that is not waited for long. */
static struct scene *scene_begin_impatient(void)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f,
            "origins: {main: {servers: [\"http://127.0.0.1:%d\"], first_byte_timeout: 1s, between_bytes_timeout: "
            "1s}}\nroutes: [{origin: main}]\n",
            origin_port(scene_origin(s)));
    fclose(f);
    weir_starts(s, say(s, "--config %s", path));
    return s;
}

static void store_for_ten_seconds(struct scene *s, const char *cache_control)
{
    origin_answers(s, "200", say(s, "Cache-Control: max-age=10%s\nETag: \"1\"", cache_control), "stale");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "stale");
    seconds_pass(s, 15);
}

/* ---- every way to fail, before the first byte of an answer is out */

static const struct failing_row {
    struct answer how;
    const char *status, *detail; /* without anything stale */
} failings[] = {
    { { .silent = true, .ending = HANG }, "504", "origin-timed-out" },
    { { .raw = "HTTP/1.1 200 OK\r\nX-Slow", .ending = HANG }, "504", "origin-timed-out" },
    { { .silent = true, .ending = CLOSE }, "502", "origin-closed" },
    { { .silent = true, .ending = RESET }, "502", "origin-closed" },
    { { .raw = "HTTP/1.1 200 OK\r\nCont", .ending = CLOSE }, "502", "origin-closed" },
    { { .raw = "SSH-2.0-x\r\n", .ending = CLOSE }, "502", "origin-bad-response" },
    { { .raw = "HTTP/1.1 999 Odd\r\n\r\n", .ending = CLOSE }, "502", "origin-bad-response" },
    { { .raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: x-odd\r\n\r\nx", .ending = CLOSE },
      "502",
      "origin-bad-response" },
    { { .raw = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", .ending = CLOSE },
      "502",
      "origin-bad-response" },
    { { .status = "200", .body = "cut", .ending = CUT, .cut_after = 0 }, NULL, "origin-truncated" },
};

static const char *const windows[] = { ", stale-if-error=60", "" /* 60 s by default */ };
static const char *const forbidden[] = { ", stale-if-error=60, must-revalidate",
                                         ", stale-if-error=60, proxy-revalidate", ", must-revalidate", ", no-cache",
                                         ", s-maxage=10" };

START_TEST(any_failure_leaves_the_stale_response)
{
    struct answer how = failings[_i].how;
    how.times = ALWAYS;
    for (size_t i = 0; i < COUNT(windows); i++) {
        struct scene *s = scene_begin_impatient();
        store_for_ten_seconds(s, windows[i]);
        origin_does(s, &how);
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200",
                     say(s, "Cache-Status: weir; fwd=stale; ttl=-8..-5; detail=%s\nAge: 15..18", failings[_i].detail),
                     "stale");
        scene_end(s);
    }
}
END_TEST

START_TEST(a_failure_without_anything_stale_is_told)
{
    const char *status = failings[_i].status;
    struct answer how = failings[_i].how;
    how.times = ALWAYS;
    struct scene *s = scene_begin_impatient();
    origin_does(s, &how);
    client_asks(s, "GET /shelf", "");
    if (status == NULL) { /* its head was there */
        hears_head(s, scene_client(s), "***", "");
        bool whole = client_read_rest(scene_client(s)) == NULL && scene_client(s)->response.status == 200;
        holds(s, !whole);
    } else {
        client_hears(s, status,
                     say(s,
                         "Cache-Status: weir; fwd=uri-miss; detail=%s; !fwd-status; !stored\n"
                         "Content-Type: application/problem+json",
                         failings[_i].detail),
                     NULL);
        client_heard_member(s, "status", status);
    }
    scene_end(s);
}
END_TEST

START_TEST(directives_that_forbid_stale_hold_for_any_failure)
{
    for (size_t i = 0; i < COUNT(forbidden); i++) {
        struct answer how = failings[_i].how;
        how.times = ALWAYS;
        struct scene *s = scene_begin_impatient();
        store_for_ten_seconds(s, forbidden[i]);
        origin_does(s, &how);
        client_asks(s, "GET /shelf", "");
        hears_head(s, scene_client(s), "***", "Cache-Status: weir; fwd=stale");
        holds(s, client_read_rest(scene_client(s)) != NULL || scene_client(s)->response.status >= 500);
        scene_end(s);
    }
}
END_TEST

/* ---- what is no failure ends the stale response (§4.3.3) */

static const struct successor_row {
    const char *status, *fields;
    bool ends;
    const char *why;
} successors[] = {
    { "200", "Cache-Control: no-store", true, "new, though not for others" },
    { "200", "Cache-Control: private", true, "new, though not for others" },
    { "404", "Cache-Control: no-store", true, "gone" },
    { "410", "X: y", true, "gone" },
    { "302", "Location: /elsewhere", true, "moved" },
    { "401", "X: y", false, "says nothing of the representation" },
    { "429", "X: y", false, "says nothing of the representation" },
    { "500", "X: y", false, "stale-if-error stands in" },
};

START_TEST(what_the_origin_replaced_does_not_come_back)
{
    const struct successor_row *row = &successors[_i];
    struct scene *s = scene_begin(NULL);
    store_for_ten_seconds(s, ", stale-if-error=600");
    origin_answers(s, row->status, row->fields, "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, strcmp(row->status, "500") == 0 ? "200" : row->status, "Cache-Status: weir; fwd=stale", NULL);
    origin_goes(s);
    bool ended = false; /* the old one may still be on its way out of the store */
    for (int i = 0; i < (row->ends ? 100 : 1) && !ended; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "***", "", NULL);
        ended = scene_client(s)->response.status == 502;
    }
    holds(s, ended == row->ends);
    scene_end(s);
}
END_TEST

/* It shows only while it comes that it is too large to be stored. */
START_TEST(what_is_too_large_replaces_too)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f, "origin: http://127.0.0.1:%d\ncache: {content_limit: 6}\n", origin_port(scene_origin(s)));
    fclose(f);
    weir_starts(s, say(s, "--config %s", path));
    store_for_ten_seconds(s, ", stale-if-error=600");
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "something new",
                      .framing = CHUNKED);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; !stored; detail=too-large", "something new");
    origin_goes(s);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", "", NULL);
    scene_end(s);
}
END_TEST

/* A client that wants nothing kept takes nothing away. */
START_TEST(a_no_store_request_takes_nothing_away)
{
    struct scene *s = scene_begin(NULL);
    store_for_ten_seconds(s, ", stale-if-error=600");
    origin_answers(s, "200", "Cache-Control: max-age=60", "new");
    client_asks(s, "GET /shelf", "Cache-Control: no-store");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; !stored", "new");
    origin_goes(s);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "stale");
    scene_end(s);
}
END_TEST

/* ---- stale-while-revalidate */

static const struct window_row {
    int64_t seconds;
    bool stale;
} window_rows[] = { { 10, true }, { 15, true }, { 36, true }, { 40, false }, { 400, false } };

START_TEST(the_window_opens_at_equality_and_ends_at_its_own)
{
    const struct window_row *row = &window_rows[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30", "old");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "old");
    seconds_pass(s, row->seconds);
    origin_answers(s, "200", "Cache-Control: max-age=600", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->stale ? "Cache-Status: weir; hit; !fwd" : "Cache-Status: weir; fwd=stale; !hit",
                 row->stale ? "old" : "new");
    client_soon_hears(s, "GET /shelf", "Cache-Status: weir; hit", "new");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(a_refresh_that_fails_leaves_the_window_open)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30", "old");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "old");
    seconds_pass(s, 15);
    origin_answers_as(s, .status = "503", .fields = "X: y", .body = "sorry", .times = ALWAYS);
    for (size_t n = 2; n < 5; n++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", "Cache-Status: weir; hit; ttl=-9..-5", "old");
        origin_heard_nth(s, 2, "GET /shelf", "!If-None-Match");
    }
    seconds_pass(s, 30);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "503", "Cache-Status: weir; fwd=stale; fwd-status=503", "sorry");
    scene_end(s);
}
END_TEST

START_TEST(a_refresh_asks_as_the_client_did)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30\nVary: Accept\nETag: \"1\"", "old");
    client_asks(s, "GET /shelf", "Accept: a/b");
    client_hears(s, "200", "", "old");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: max-age=600\nVary: Accept\nETag: \"2\"", "new");
    client_asks(s, "GET /shelf", "Accept: a/b\nIf-None-Match: \"7\"\nRange: bytes=0-1\nCache-Control: no-store");
    client_hears(s, "206", "Cache-Status: weir; hit", "ol");
    origin_heard_nth(s, 2, "GET /shelf", "Accept: a/b\nIf-None-Match: \"1\"\n!Range");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* A refresh behind is weir's own request (RFC 5861 §3): whole, and without what the client asked of caches. */
START_TEST(a_refresh_behind_is_a_request_of_ours)
{
    static const char *const requests[] = { "HEAD /shelf", "GET /shelf" };
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=60\nETag: \"1\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"2\"", "jelly");
    client_asks(s, requests[_i],
                "Cache-Control: only-if-cached\nPragma: x\nX-Mine: y\nRange: bytes=5-\nIf-Match: \"1\"");
    client_hears(s, _i == 0 ? "200" : "416", "Cache-Status: weir; hit; ttl=-5", "");
    origin_heard_nth(s, 2, "GET /shelf", "If-None-Match: \"1\"\nX-Mine: y\n!Cache-Control\n!Pragma\n!Range\n!If-Match");
    client_soon_hears(s, "GET /shelf", "Cache-Status: weir; hit", "jelly");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { a_refresh_behind_is_a_request_of_ours, 2 },
        TABLE(any_failure_leaves_the_stale_response, failings),
        TABLE(a_failure_without_anything_stale_is_told, failings),
        TABLE(directives_that_forbid_stale_hold_for_any_failure, failings),
        TABLE(what_the_origin_replaced_does_not_come_back, successors),
        TEST(what_is_too_large_replaces_too),
        TEST(a_no_store_request_takes_nothing_away),
        TABLE(the_window_opens_at_equality_and_ends_at_its_own, window_rows),
        TEST(a_refresh_that_fails_leaves_the_window_open),
        TEST(a_refresh_asks_as_the_client_did),
    };
    return converse("rfc stale", tests, COUNT(tests));
}
