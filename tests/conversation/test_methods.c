/* Every other method passes through with its content; unsafe ones invalidate (RFC 9110 §9, RFC 9111 §4.4). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const passed[] = { "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FROB", "post", "M-SEARCH" };

START_TEST(a_method_passes_with_its_content)
{
    const char *method = passed[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "201", .fields = "Location: /new\nX-Made: yes", .body = "made", .times = 2);
    for (int i = 0; i < 2; i++) {
        client_sends(s, say(s, "%s /shelf?a=b", method), "Content-Type: text/plain", "some words");
        client_hears(s, "201", "Cache-Status: weir; fwd=method; fwd-status=201; !stored\nLocation: /new\nX-Made: yes",
                     "made");
        origin_heard(s, say(s, "%s /shelf?a=b", method),
                     "Content-Type: text/plain\nContent-Length: 10\n!Transfer-Encoding");
        origin_heard_content(s, "some words");
    }
    scene_end(s);
}
END_TEST

START_TEST(a_method_passes_without_content)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "204", .times = 2);
    client_asks(s, "DELETE /shelf", "");
    client_hears(s, "204", "Cache-Status: weir; fwd=method", "");
    origin_heard(s, "DELETE /shelf", "!Transfer-Encoding\n!Expect");
    client_sends(s, "POST /shelf", "", "");
    client_hears(s, "204", "", "");
    origin_heard(s, "POST /shelf", "Content-Length: 0\n!Transfer-Encoding"); /* RFC 9110 §8.6 */
    scene_end(s);
}
END_TEST

START_TEST(chunked_content_passes)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "thanks");
    static const char ask[] = "PUT /shelf HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5\r\nsome \r\n5\r\nwords\r\n0\r\n\r\n";
    says(s, scene_client(s), "PUT", ask, sizeof ask - 1);
    client_hears(s, "200", "", "thanks");
    origin_heard(s, "PUT /shelf", "");
    origin_heard_content(s, "some words");
    scene_end(s);
}
END_TEST

enum { LARGE = 9 << 20, PIECE = 1 << 16 };

static void say_pattern(struct scene *s, struct client *c, bool chunked)
{
    char *piece = malloc(PIECE);
    for (uint64_t at = 0; at < LARGE; at += PIECE) {
        pattern_fill(8, at, piece, PIECE);
        if (chunked) says(s, c, "POST", "10000\r\n", 7);
        says(s, c, "POST", piece, PIECE);
        if (chunked) says(s, c, "POST", "\r\n", 2);
    }
    if (chunked) says(s, c, "POST", "0\r\n\r\n", 5);
    free(piece);
}

START_TEST(large_content_streams_to_the_origin)
{
    bool chunked = _i == 1;
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "thanks");
    const char *ask = say(s, "POST /upload HTTP/1.1\r\nHost: " HOST "\r\n%s\r\n\r\n",
                          chunked ? "Transfer-Encoding: chunked" : say(s, "Content-Length: %d", LARGE));
    says(s, scene_client(s), "POST", ask, strlen(ask));
    say_pattern(s, scene_client(s), chunked);
    client_hears(s, "200", "", "thanks");
    origin_heard_pattern(s, 8, LARGE);
    scene_end(s);
}
END_TEST

START_TEST(content_and_answer_may_both_be_large)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .pattern_len = LARGE, .seed = 2, .framing = CHUNKED);
    const char *ask = say(s, "POST /upload HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: %d\r\n\r\n", LARGE);
    says(s, scene_client(s), "POST", ask, strlen(ask));
    say_pattern(s, scene_client(s), false);
    hears_head(s, scene_client(s), "200", "");
    hears_pattern(s, scene_client(s), 2, 0, LARGE);
    origin_heard_pattern(s, 8, LARGE);
    scene_end(s);
}
END_TEST

START_TEST(an_upload_that_breaks_off_never_looks_complete)
{
    struct scene *s = scene_begin(NULL);
    struct client *c = client_arrives(s);
    origin_answers_as(s, .status = "200", .body = "thanks", .times = ALWAYS);
    static const char half[] = "POST /shelf HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 10\r\n\r\nhalf";
    says(s, c, "POST", half, sizeof half - 1);
    hears_nothing(s, c, 100); /* time to pass on what is there */
    client_leaves(s, c);
    client_asks(s, "GET /next", "");
    client_hears(s, "200", "", "thanks");
    for (size_t n = 0; n < origin_count(scene_origin(s)); n++) {
        const struct heard *h = origin_heard_at(scene_origin(s), n);
        holds(s, strcmp(h->method, "POST") != 0 || !h->body_complete);
    }
    scene_end(s);
}
END_TEST

START_TEST(weir_says_continue)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "thanks");
    static const char ask[] =
        "POST /shelf HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    says(s, scene_client(s), "POST", ask, sizeof ask - 1);
    hears_interim(s, scene_client(s), "100", "");
    says(s, scene_client(s), "POST", "some words", 10);
    client_hears(s, "200", "", "thanks");
    origin_heard_content(s, "some words");
    scene_end(s);
}
END_TEST

/* ---- invalidation (RFC 9111 §4.4) ---- */

/* /shelf is stored; what does this exchange do to it? */
static const struct invalidation_row {
    const char *request, *status, *fields;
    bool invalidated;
    const char *why;
} invalidations[] = {
    { "POST /shelf", "200", "", true, "§4.4" },
    { "PUT /shelf", "204", "", true, "§4.4" },
    { "DELETE /shelf", "200", "", true, "§4.4" },
    { "PATCH /shelf", "200", "", true, "§4.4" },
    { "FROB /shelf", "200", "", true, "a method whose safety is not known" },
    { "POST /shelf", "303", "Location: /other", true, "3xx is no error" },
    { "POST /shelf", "404", "", false, "an error" },
    { "POST /shelf", "500", "", false, "an error" },
    { "OPTIONS /shelf", "200", "", false, "safe" },
    { "POST /other", "200", "", false, "another target" },
    { "POST /shelf?x", "200", "", false, "another target" },
    { "POST /other", "201", "Location: /shelf", true, "named by Location" },
    { "POST /other", "200", "Content-Location: /shelf", true, "named by Content-Location" },
    { "POST /other", "201", "Location: http://" HOST "/shelf", true, "the same origin" },
    { "POST /other", "201", "Location: //" HOST "/shelf", true, "the same origin" },
    { "POST /deep/other", "201", "Location: ../shelf", true, "relative" },
    { "POST /other", "201", "Location: http://evil.example/shelf", false, "another origin" },
    { "POST /other", "500", "Location: /shelf", false, "an error" },
    { "OPTIONS /other", "200", "Location: /shelf", false, "safe" },
};

START_TEST(unsafe_requests_invalidate)
{
    const struct invalidation_row *row = &invalidations[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600", "before");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "before");
    origin_answers(s, row->status, row->fields, strcmp(row->status, "204") == 0 ? NULL : "x");
    client_sends(s, row->request, "", "y");
    client_hears(s, row->status, "", NULL);
    if (row->invalidated) origin_answers(s, "200", "Cache-Control: max-age=600", "after");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->invalidated ? "Cache-Status: weir; fwd=*" : "Cache-Status: weir; hit",
                 row->invalidated ? "after" : "before");
    scene_end(s);
}
END_TEST

START_TEST(every_variant_is_invalidated)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .method = "GET", .status = "200", .fields = "Cache-Control: max-age=60\nVary: Foo",
                      .body = "x", .times = 4);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) {
            client_asks(s, "GET /shelf", say(s, "Foo: %d", i));
            client_hears(s, "200", "Cache-Status: weir; fwd=*", "x");
        }
        if (round == 1) break;
        origin_answers_as(s, .method = "DELETE", .status = "204");
        client_asks(s, "DELETE /shelf", "");
        client_hears(s, "204", "", "");
    }
    scene_end(s);
}
END_TEST

START_TEST(an_invalidation_wins_over_a_fetch_under_way)
{
    struct scene *s = scene_begin(NULL);
    struct gate old = { 0 };
    struct client *reader = client_arrives(s);
    origin_answers_as(s, .method = "GET", .status = "200", .fields = "Cache-Control: max-age=60", .body = "old",
                      .hold = &old);
    asks(s, reader, "GET /shelf", "");
    origin_waits_at(s, &old, 1);
    origin_answers_as(s, .method = "PUT", .status = "204");
    client_sends(s, "PUT /shelf", "", "new");
    client_hears(s, "204", "", "");
    gate_opens(s, &old);
    hears(s, reader, "200", "", "old"); /* it asked before */
    origin_answers(s, "200", "Cache-Control: max-age=60", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "new");
    scene_end(s);
}
END_TEST

START_TEST(a_head_that_differs_invalidates)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "before");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "before");
    seconds_pass(s, 15);
    origin_answers_as(s, .method = "HEAD", .status = "200", .fields = "Cache-Control: max-age=10\nETag: \"2\"",
                      .body = "after!");
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "200", "ETag: \"2\"", "");
    origin_answers_as(s, .method = "GET", .status = "200", .fields = "Cache-Control: max-age=10\nETag: \"2\"",
                      .body = "after!");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "after!");
    scene_end(s);
}
END_TEST

/* ---- never sent twice ---- */

START_TEST(an_unsafe_request_is_never_sent_twice)
{
    struct scene *s = scene_begin("--workers 1");
    origin_answers(s, "200", "Cache-Control: no-store", "x");
    client_asks(s, "GET /", ""); /* leaves a connection to the origin behind */
    client_hears(s, "200", "", "x");
    origin_answers_as(s, .method = "POST", .silent = true, .ending = CLOSE, .times = ALWAYS);
    client_sends(s, "POST /pay", "", "100");
    client_hears(s, "502", "Cache-Status: weir; fwd=method", NULL);
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(a_connection_that_died_idle_is_not_the_clients_problem)
{
    struct scene *s = scene_begin("--workers 1");
    for (int i = 0; i < 5; i++) {
        origin_answers_as(s, .status = "200", .fields = "Cache-Control: no-store", .body = "x", .ending = CLOSE);
        client_asks(s, "GET /", "");
        client_hears(s, "200", "", "x");
    }
    scene_end(s);
}
END_TEST

/* ---- interim responses ---- */

#define HINT "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: yes\r\n\r\n"

START_TEST(early_hints_are_forwarded)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .interim = HINT HINT, .status = "200", .fields = "Cache-Control: max-age=60", .body = "page");
    client_asks(s, "GET /page", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; fwd-status=200\n!Link\n!X-Hint", "page");
    heard_interims(s, scene_client(s), 2);
    heard_interim(s, scene_client(s), 1, "103", "Link: </a.css>; rel=preload");
    client_asks(s, "GET /page", "");
    client_hears(s, "200", "Cache-Status: weir; hit\n!Link\n!X-Hint", "page");
    heard_interims(s, scene_client(s), 0);
    scene_end(s);
}
END_TEST

START_TEST(early_hints_do_not_wait_for_the_answer)
{
    struct scene *s = scene_begin(NULL);
    struct gate page = { 0 };
    origin_answers_as(s, .interim = HINT, .status = "200", .fields = "Cache-Control: max-age=60", .body = "page",
                      .hold_head = &page);
    client_asks(s, "GET /page", "");
    hears_interim(s, scene_client(s), "103", "Link: </a.css>; rel=preload");
    gate_opens(s, &page);
    client_hears(s, "200", "", "page");
    heard_interims(s, scene_client(s), 0);
    scene_end(s);
}
END_TEST

START_TEST(http_1_0_gets_no_interim_response)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .interim = HINT, .status = "200", .body = "page");
    static const char ask[] = "GET / HTTP/1.0\r\nHost: " HOST "\r\n\r\n";
    says(s, scene_client(s), "GET", ask, sizeof ask - 1);
    client_hears(s, "200", "!Link", "page");
    heard_interims(s, scene_client(s), 0); /* RFC 9110 §15.2 */
    scene_end(s);
}
END_TEST

START_TEST(a_continue_of_the_origin_stays_between_us)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .interim = "HTTP/1.1 100 Continue\r\n\r\n", .status = "200", .body = "thanks");
    client_sends(s, "POST /shelf", "", "words");
    client_hears(s, "200", "", "thanks");
    heard_interims(s, scene_client(s), 0);
    scene_end(s);
}
END_TEST

/* ---- methods with a meaning for intermediaries ---- */

START_TEST(connect_is_refused)
{
    struct scene *s = scene_begin(NULL);
    static const char ask[] = "CONNECT " HOST ":443 HTTP/1.1\r\nHost: " HOST ":443\r\n\r\n";
    says(s, scene_client(s), "CONNECT", ask, sizeof ask - 1);
    is_refused(s, scene_client(s));
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

START_TEST(max_forwards_is_counted)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "x");
    client_asks(s, "OPTIONS /shelf", "Max-Forwards: 5");
    client_hears(s, "200", "", "x");
    origin_heard(s, "OPTIONS /shelf", "Max-Forwards: 4"); /* RFC 9110 §7.6.2 */
    client_asks(s, "OPTIONS /shelf", "Max-Forwards: 0");
    client_hears(s, "20*", "", NULL);
    client_asks(s, "TRACE /shelf", "Max-Forwards: 0");
    client_hears(s, "***", "", NULL); /* answered or refused, but here */
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(options_of_the_whole_server_passes)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Allow: GET", "");
    client_asks(s, "OPTIONS *", "");
    client_hears(s, "200", "Allow: GET", "");
    origin_heard(s, "OPTIONS *", "");
    scene_end(s);
}
END_TEST

START_TEST(a_get_with_content_is_not_mixed_up)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "x", .times = ALWAYS);
    client_sends(s, "GET /shelf", "", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    client_hears(s, "***", "", NULL);
    client_asks(s, "GET /other", "");
    client_hears(s, "200", "", "x");
    for (size_t n = 0; n < origin_count(scene_origin(s)); n++)
        holds(s, strcmp(origin_heard_at(scene_origin(s), n)->target, "/smuggled") != 0);
    scene_end(s);
}
END_TEST

/* Content that is not stored lives in a window, and leaves it as its reader goes on. */
static const struct passing_row {
    const char *method, *content;
    uint64_t len;
} passing[] = {
    { "GET", NULL, 65535 },      { "GET", NULL, 65537 },      { "GET", NULL, 100000 },  { "GET", NULL, 131072 },
    { "GET", NULL, 1048576 },    { "GET", NULL, 3000000 },    { "POST", NULL, 100000 }, { "POST", "plum", 100000 },
    { "DELETE", NULL, 1000000 }, { "QUERY", "plum", 100000 },
};

START_TEST(what_is_not_stored_is_asked_for_once_and_comes_whole)
{
    const struct passing_row *row = &passing[_i];
    struct scene *s = scene_begin("--workers 1");
    for (size_t i = 1; i <= 5; i++) {
        origin_answers_as(s, .status = "200", .fields = "Cache-Control: private", .pattern_len = row->len, .seed = i);
        asks_with(s, scene_client(s), say(s, "%s /shelf", row->method), "", row->content);
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), i, 0, row->len);
        origin_count_is(s, i);
    }
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_method_passes_with_its_content, passed),
        TEST(a_method_passes_without_content),
        TEST(chunked_content_passes),
        { large_content_streams_to_the_origin, 2 },
        TEST(content_and_answer_may_both_be_large),
        TABLE(what_is_not_stored_is_asked_for_once_and_comes_whole, passing),
        TEST(an_upload_that_breaks_off_never_looks_complete),
        TEST(weir_says_continue),
        TABLE(unsafe_requests_invalidate, invalidations),
        TEST(every_variant_is_invalidated),
        TEST(an_invalidation_wins_over_a_fetch_under_way),
        TEST(a_head_that_differs_invalidates),
        TEST(an_unsafe_request_is_never_sent_twice),
        TEST(a_connection_that_died_idle_is_not_the_clients_problem),
        TEST(early_hints_are_forwarded),
        TEST(early_hints_do_not_wait_for_the_answer),
        TEST(http_1_0_gets_no_interim_response),
        TEST(a_continue_of_the_origin_stays_between_us),
        TEST(connect_is_refused),
        TEST(max_forwards_is_counted),
        TEST(options_of_the_whole_server_passes),
        TEST(a_get_with_content_is_not_mixed_up),
    };
    return converse("methods", tests, COUNT(tests));
}
