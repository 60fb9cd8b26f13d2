/* Methods: what they invalidate, whose answers are kept for others, and which go no further (RFC 9110 §7.6.2, §9, §10.1.1,
 * §15.2; RFC 9111 §4, §4.4; RFC 9875; RFC 10008). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* ---- invalidation (RFC 9111 §4.4): /shelf is stored; what does this exchange do to it? */

static const struct unsafe_row {
    const char *request, *status, *fields;
    bool invalidated;
    const char *why;
} unsafes[] = {
    { "MKCOL /shelf", "201", "", true, "a method of others" },
    { "LOCK /shelf", "200", "", true, "a method of others" },
    { "M-SEARCH /shelf", "200", "", true, "a method of others" },
    { "get /shelf", "200", "", true, "methods have their case" },
    { "POST /shelf", "204", "", true, "2xx" },
    { "POST /shelf", "299", "", true, "2xx" },
    { "POST /shelf", "302", "Location: /elsewhere", true, "3xx" },
    { "POST /shelf", "399", "", true, "3xx" },
    { "PUT /shelf", "400", "", false, "an error" },
    { "DELETE /shelf", "404", "", false, "an error" },
    { "PATCH /shelf", "499", "", false, "an error" },
    { "FROB /shelf", "500", "", false, "an error" },
    { "FROB /shelf", "503", "", false, "an error" },
    { "TRACE /shelf", "200", "", false, "safe" },
    { "QUERY /shelf", "200", "", false, "safe" },
    { "PUT /other", "200", "Location: /shelf", true, "Location" },
    { "DELETE /other", "200", "Content-Location: /shelf", true, "Content-Location" },
    { "FROB /other", "200", "Location: /shelf", true, "of an unknown method too" },
    { "POST /other", "201", "Location: /x\nContent-Location: /shelf", true, "both" },
    { "POST /other", "201", "Location: /shelf#part", true, "without the fragment" },
    { "POST /other", "201", "Location: /%73helf", true, "spelled otherwise" },
    { "POST /other", "201", "Location: HTTP://SHOP.example:80/shelf", true, "the same origin, spelled otherwise" },
    { "POST /other", "201", "Location: https://" HOST "/shelf", false, "another scheme" },
    { "POST /other", "201", "Location: http://" HOST ":8080/shelf", false, "another port" },
    { "POST /other", "201", "Location: //evil.example/shelf", false, "another host" },
    { "POST /other", "201", "Content-Location: http://evil.example/shelf", false, "another host" },
    { "POST /other", "201", "Location: http://" HOST "@evil.example/shelf", false, "another host, dressed up" },
    { "POST /other", "201", "Location: http://user@" HOST "/shelf", false, "userinfo is nothing for us" },
    { "POST /other", "404", "Content-Location: /shelf", false, "an error" },
    { "POST /other", "200", "Location: /shelfs", false, "another" },
    { "POST /other", "200", "Cache-Group-Invalidation: \"fruit\"", true, "RFC 9875" },
    { "POST /other", "200", "Cache-Group-Invalidation: \"Fruit\"", false, "RFC 9875: groups have their case" },
    { "POST /other", "404", "Cache-Group-Invalidation: \"fruit\"", false, "an error" },
    { "OPTIONS /other", "200", "Cache-Group-Invalidation: \"fruit\"", false, "RFC 9875 §3: safe" },
    { "POST /other", "200", "Cache-Group-Invalidation: fruit", false, "RFC 9875: a String, not a Token" },
};

START_TEST(what_an_exchange_invalidates)
{
    const struct unsafe_row *row = &unsafes[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600\nCache-Groups: \"fruit\"", "before");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "before");
    origin_answers(s, row->status, row->fields, strcmp(row->status, "204") == 0 ? NULL : "x");
    if (strncmp(row->request, "TRACE", 5) == 0)
        client_asks(s, row->request, "");
    else
        client_sends(s, row->request, "", "y");
    client_hears(s, row->status, "Cache-Status: weir; fwd=*", NULL);
    if (row->invalidated) origin_answers(s, "200", "Cache-Control: max-age=600", "after");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->invalidated ? "Cache-Status: weir; fwd=*" : "Cache-Status: weir; hit",
                 row->invalidated ? "after" : "before");
    scene_end(s);
}
END_TEST

/* weir tells the origin another name than its clients use, and the origin builds its references with that. */
START_TEST(a_location_by_the_name_that_the_origin_was_told)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f, "origins: {main: {servers: [\"http://127.0.0.1:%d\"], host: inner.example}}\nroutes: [{origin: main}]\n",
            origin_port(scene_origin(s)));
    fclose(f);
    weir_starts(s, say(s, "--config %s", path));
    static const struct {
        const char *location;
        bool invalidated;
    } rows[] = { { "http://inner.example:81/shelf", false },
                 { "http://outer.example/shelf", false },
                 { "https://inner.example/shelf", true },
                 { "http://" HOST "/shelf", true } };
    bool stored = false;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!stored) origin_answers(s, "200", "Cache-Control: max-age=600", "x");
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", stored ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*", "x");
        origin_answers(s, "201", say(s, "Location: %s", rows[i].location), "made");
        client_sends(s, "POST /other", "", "y");
        client_hears(s, "201", say(s, "Location: %s", rows[i].location), "made");
        origin_heard(s, "POST /other", "Host: inner.example");
        stored = !rows[i].invalidated;
    }
    origin_answers(s, "200", "Cache-Control: max-age=600", "after");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "after");
    scene_end(s);
}
END_TEST

START_TEST(a_post_that_gets_no_answer_invalidates_nothing)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600", "before");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "before");
    origin_answers_as(s, .silent = true, .ending = CLOSE, .method = "POST");
    client_sends(s, "POST /shelf", "", "y");
    client_hears(s, "502", "Cache-Status: weir; fwd=method", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "before");
    scene_end(s);
}
END_TEST

/* ---- POST for a later GET (RFC 9110 §9.3.3) */

static const struct post_row {
    const char *status, *fields;
    bool kept;
    const char *why;
} posts[] = {
    { "200", "Cache-Control: max-age=60\nContent-Location: /shelf", true, "fresh, and what GET would get" },
    { "200", "Cache-Control: max-age=60\nContent-Location: http://" HOST "/shelf", true, "absolute" },
    { "200", "Expires: {60}\nContent-Location: /shelf", true, "fresh by Expires" },
    { "200", "Cache-Control: max-age=60", false, "no Content-Location" },
    { "200", "Cache-Control: max-age=60\nContent-Location: /other", false, "another" },
    { "200", "Cache-Control: max-age=60\nContent-Location: http://evil.example/shelf", false, "another" },
    { "200", "Content-Location: /shelf\nLast-Modified: {-10000}", false, "no explicit freshness" },
    { "200", "Cache-Control: no-store\nContent-Location: /shelf", false, "no-store" },
    { "201", "Cache-Control: max-age=60\nContent-Location: /shelf", false, "not what GET would get" },
};

START_TEST(a_post_is_kept_for_a_get)
{
    const struct post_row *row = &posts[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600", "before");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "before");
    origin_answers(s, row->status, dated(s, row->fields), "posted");
    client_sends(s, "POST /shelf", "", "y");
    client_hears(s, row->status,
                 row->kept ? "Cache-Status: weir; fwd=method; stored" : "Cache-Status: weir; fwd=method; !stored",
                 "posted");
    origin_answers(s, "200", "Cache-Control: no-store", "anew");
    client_sends(s, "POST /shelf", "", "y"); /* itself never answered from the cache */
    client_hears(s, "200", "Cache-Status: weir; fwd=method", "anew");
    origin_answers(s, row->status, dated(s, row->fields), "posted");
    client_sends(s, "POST /shelf", "", "y");
    client_hears(s, row->status, "", "posted");
    if (!row->kept) origin_answers(s, "200", "Cache-Control: max-age=600", "after");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->kept ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->kept ? "posted" : "after");
    scene_end(s);
}
END_TEST

/* Purges while the POST is under way: one of others changes nothing, one of what it will leave does. */
START_TEST(a_post_under_way_and_purges_of_others)
{
    static const struct {
        const char *purge, *fields;
        bool kept;
    } rows[] = { { "PURGE /other", "", true },
                 { "PURGE /", "Surrogate-Key: plum", true },
                 { "PURGE /shelf", "", false },
                 { "PURGE /", "Surrogate-Key: jam", false } };
    struct scene *s = scene_begin(NULL);
    struct gate post = { 0 };
    struct client *c = client_arrives(s);
    origin_answers_as(s, .status = "200", .body = "posted", .hold = &post,
                      .fields = "Cache-Control: max-age=60\nContent-Location: /shelf\nSurrogate-Key: jam");
    asks_with(s, c, "POST /shelf", "", "y");
    origin_waits_at(s, &post, 1);
    client_asks(s, rows[_i].purge, rows[_i].fields);
    client_hears(s, "200", "", NULL);
    gate_opens(s, &post);
    hears(s, c, "200", "", "posted");
    if (!rows[_i].kept) origin_answers(s, "200", "Cache-Control: no-store", "anew");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", rows[_i].kept ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 rows[_i].kept ? "posted" : "anew");
    scene_end(s);
}
END_TEST

/* ---- QUERY (RFC 10008): the content and what it is are part of the key */

START_TEST(a_query_is_answered_by_what_the_same_query_got)
{
    struct scene *s = scene_begin(NULL);
    static const struct {
        const char *fields, *content, *answer;
    } queries[] = {
        { "Content-Type: text/plain", "pears", "three" },
        { "Content-Type: text/plain", "plums", "seven" },
        { "Content-Type: application/json", "pears", "an error" },
        { "Content-Type: text/plain\nContent-Encoding: x-tar", "pears", "another error" },
        { "Content-Type: text/plain\nContent-Language: fr", "pears", "trois" },
    };
    for (int times = 0; times < 2; times++)
        for (size_t i = 0; i < COUNT(queries); i++) {
            if (times == 0) origin_answers(s, "200", "Cache-Control: max-age=60", queries[i].answer);
            client_sends(s, "QUERY /shelf", queries[i].fields, queries[i].content);
            client_hears(s, "200",
                         times == 0 ? "Cache-Status: weir; fwd=uri-miss; fwd-status=200; stored"
                                    : "Cache-Status: weir; hit\nAge: 0..3",
                         queries[i].answer);
            if (times > 0) continue;
            origin_heard(s, "QUERY /shelf", queries[i].fields);
            origin_heard_content(s, queries[i].content);
        }
    origin_answers(s, "200", "Cache-Control: max-age=60", "a GET");
    client_asks(s, "GET /shelf", ""); /* and it is none of them */
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "a GET");
    origin_answers(s, "200", "Cache-Control: max-age=60", "of others");
    client_sends(s, "QUERY /other", "Content-Type: text/plain", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "of others");
    origin_count_is(s, 7);
    scene_end(s);
}
END_TEST

/* Nobody stores under another's query what was answered to less of it. */
START_TEST(what_connection_takes_off_a_query_is_not_in_its_key)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "of no type");
    client_sends(s, "QUERY /shelf", "Content-Type: text/plain\nConnection: Content-Type", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "of no type");
    origin_heard(s, "QUERY /shelf", "!Content-Type");
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_sends(s, "QUERY /shelf", "Content-Type: text/plain", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "jam");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; hit", "of no type");
    scene_end(s);
}
END_TEST

static const char *const query_removals[] = { "PURGE /shelf", "POST /shelf" };

START_TEST(queries_leave_with_their_url)
{
    struct scene *s = scene_begin(NULL);
    static const char *const contents[] = { "pears", "plums" };
    origin_answers_as(s, .method = "QUERY", .status = "200", .fields = "Cache-Control: max-age=600", .body = "x",
                      .times = 4);
    if (_i == 1) origin_answers_as(s, .method = "POST", .status = "204");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(contents); i++) {
            client_sends(s, "QUERY /shelf", "Content-Type: text/plain", contents[i]);
            client_hears(s, "200", "Cache-Status: weir; fwd=*", "x");
            client_sends(s, "QUERY /shelf", "Content-Type: text/plain", contents[i]);
            client_hears(s, "200", "Cache-Status: weir; hit", "x");
        }
        if (round == 1) break;
        client_asks(s, query_removals[_i], "");
        client_hears(s, "20*", "", NULL);
    }
    scene_end(s);
}
END_TEST

START_TEST(a_query_goes_through_what_a_get_does)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Accept\nETag: \"1\"", "jam");
    client_sends(s, "QUERY /shelf", "Accept: text/plain", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "jam");
    client_sends(s, "QUERY /shelf", "Accept: text/plain\nIf-None-Match: \"1\"", "pears");
    client_hears(s, "304", "Cache-Status: weir; hit", "");
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Accept", "{}");
    client_sends(s, "QUERY /shelf", "Accept: application/json", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=vary-miss", "{}");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: no-store", "anew");
    client_sends(s, "QUERY /shelf", "Accept: text/plain", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale", "anew");
    origin_heard(s, "QUERY /shelf", "If-None-Match: \"1\"");
    origin_heard_content(s, "pears");
    scene_end(s);
}
END_TEST

/* RFC 10008 §2.6, RFC 9111 §4.3: with its content, as often as it takes. */
START_TEST(a_stale_query_is_validated)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "jam");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=20\nETag: \"1\"", NULL);
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304; stored", "jam");
    origin_heard_nth(s, 2, "QUERY /shelf", "If-None-Match: \"1\"");
    origin_heard_content(s, "pears");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");

    seconds_pass(s, 25); /* a 304 that selects something else: all is fetched anew, by the same query */
    origin_answers(s, "304", "ETag: \"2\"", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"2\"", "jelly");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=200; stored", "jelly");
    origin_heard_nth(s, 4, "QUERY /shelf", "!If-None-Match");
    origin_heard_content(s, "pears");
    client_asks(s, "PURGE /shelf", "");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "200", "", "new");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd", "new");
    scene_end(s);
}
END_TEST

/* A refresh behind sends the content too: without it another query would be asked, and its answer kept for this one. */
START_TEST(a_query_is_refreshed_with_its_content)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=60\nETag: \"1\"", "jam");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: max-age=100\nETag: \"2\"", "jelly");
    client_sends(s, "QUERY /shelf", "", "pears");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=-5", "jam");
    origin_heard_nth(s, 2, "QUERY /shelf", "If-None-Match: \"1\"");
    origin_heard_content(s, "pears");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* ---- OPTIONS, TRACE, CONNECT */

static const struct forwards_row {
    const char *said, *heard; /* Max-Forwards; NULL: weir answers itself */
} forwards[] = {
    { "0", NULL }, { "00", NULL }, { "1", "0" }, { "7", "6" }, { "010", "9" },
};

START_TEST(max_forwards_counts_down_to_weir)
{
    static const char *const methods[] = { "OPTIONS", "TRACE" };
    const struct forwards_row *row = &forwards[_i];
    for (size_t i = 0; i < COUNT(methods); i++) {
        struct scene *s = scene_begin(NULL);
        const char *request = say(s, "%s /shelf", methods[i]);
        if (row->heard != NULL) origin_answers(s, "200", "Content-Type: message/http", "there");
        client_asks(s, request, say(s, "Max-Forwards: %s", row->said));
        if (row->heard != NULL) {
            client_hears(s, "200", "Cache-Status: weir; fwd=method; fwd-status=200", "there");
            origin_heard(s, request, say(s, "Max-Forwards: %s", row->heard));
        } else {
            client_hears(s, "200", "Cache-Status: weir; !hit; !fwd", NULL);
            origin_count_is(s, 0);
        }
        scene_end(s);
    }
}
END_TEST

/* It counts for no other method, and nothing is made up. */
START_TEST(max_forwards_of_others_is_not_ours)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store", "x");
    client_asks(s, "GET /shelf", "Max-Forwards: 0");
    client_hears(s, "200", "", "x");
    origin_heard(s, "GET /shelf", "Max-Forwards: 0");
    origin_answers(s, "200", "", "x");
    client_asks(s, "OPTIONS /shelf", "");
    client_hears(s, "200", "", "x");
    origin_heard(s, "OPTIONS /shelf", "!Max-Forwards");
    scene_end(s);
}
END_TEST

START_TEST(a_trace_shows_what_weir_heard_but_no_secrets)
{
    struct scene *s = scene_begin(NULL);
    client_asks(s, "TRACE /shelf?x",
                "Max-Forwards: 0\nX-Frob: seen\nAuthorization: Basic c2VjcmV0\nCookie: id=secret\n"
                "Proxy-Authorization: Basic c2VjcmV0");
    client_hears(s, "200", "Content-Type: message/http\n!Set-Cookie", NULL);
    const char *body = scene_client(s)->response.body;
    holds(s, strncmp(body, "TRACE /shelf?x HTTP/1.1\r\n", 25) == 0);
    holds(s, strstr(body, "X-Frob: seen\r\n") != NULL);
    holds(s, strstr(body, "c2VjcmV0") == NULL && strstr(body, "secret") == NULL);
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

START_TEST(options_and_trace_are_never_cached)
{
    static const char *const methods[] = { "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "FROB" };
    struct scene *s = scene_begin(NULL);
    const char *request = say(s, "%s /shelf", methods[_i]);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: public, s-maxage=600\nContent-Location: /shelf",
                      .body = "x", .times = 3);
    for (int i = 0; i < 2; i++) {
        client_asks(s, request, "");
        client_hears(s, "200", "Cache-Status: weir; fwd=method; fwd-status=200; !stored", "x");
    }
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "x");
    scene_end(s);
}
END_TEST

START_TEST(connect_opens_no_tunnel)
{
    struct scene *s = scene_begin(NULL);
    static const char ask[] = "CONNECT " HOST ":80 HTTP/1.1\r\nHost: " HOST ":80\r\n\r\n";
    struct client *c = client_arrives(s);
    says(s, c, "GET", ask, sizeof ask - 1); /* read as the answer to a GET, since there is no tunnel */
    hears(s, c, "4**", "Cache-Status: weir; !hit; !fwd", NULL);
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

/* ---- 1xx */

#define HINT(n) "HTTP/1.1 103 Early Hints\r\nLink: </" n ".css>; rel=preload\r\nX-Hint: " n "\r\n\r\n"

START_TEST(interim_responses_pass_one_by_one_and_leave_no_trace)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(
        s, .status = "200", .fields = "Cache-Control: max-age=60\nX-Final: yes", .body = "page",
        .interim = HINT("a") "HTTP/1.1 102 Processing\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\n\r\n" HINT(
            "b") "HTTP/1.1 199 Other\r\nX-Odd: 1\r\n\r\n");
    client_asks(s, "GET /page", "");
    client_hears(s, "200", "!Link\n!X-Hint\n!X-Odd\nX-Final: yes", "page");
    heard_interims(s, scene_client(s), 4);
    heard_interim(s, scene_client(s), 0, "103", "X-Hint: a\nLink: </a.css>; rel=preload\n!X-Final");
    heard_interim(s, scene_client(s), 1, "102", "!X-Hint\n!X-Hop\n!Keep-Alive\n!Content-Length");
    heard_interim(s, scene_client(s), 2, "103", "X-Hint: b");
    heard_interim(s, scene_client(s), 3, "199", "X-Odd: 1");
    client_asks(s, "GET /page", "");
    client_hears(s, "200", "Cache-Status: weir; hit\n!Link\n!X-Hint\n!X-Odd\nX-Final: yes", "page");
    heard_interims(s, scene_client(s), 0);
    scene_end(s);
}
END_TEST

START_TEST(hints_of_a_post_pass_too)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .interim = "HTTP/1.1 100 Continue\r\n\r\n" HINT("a"), .status = "201", .body = "made");
    client_sends(s, "POST /page", "", "words");
    client_hears(s, "201", "!X-Hint", "made");
    heard_interims(s, scene_client(s), 1);
    heard_interim(s, scene_client(s), 0, "103", "X-Hint: a");
    scene_end(s);
}
END_TEST

START_TEST(nobody_switches_protocols_unasked)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .raw = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello",
                      .ending = CLOSE);
    client_asks(s, "GET /page", "Connection: Upgrade\nUpgrade: x");
    client_hears(s, "502", "Cache-Status: weir; fwd=uri-miss; !stored", NULL);
    scene_end(s);
}
END_TEST

/* ---- Expect (RFC 9110 §10.1.1) */

START_TEST(only_100_continue_is_expected)
{
    struct scene *s = scene_begin(NULL);
    static const char ask[] =
        "POST /shelf HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
    origin_answers(s, "200", "", "thanks");
    says(s, scene_client(s), "POST", ask, sizeof ask - 1);
    hears_interim(s, scene_client(s), "100", "");
    says(s, scene_client(s), "POST", "words", 5);
    client_hears(s, "200", "", "thanks");
    origin_heard(s, "POST /shelf", "!Expect");
    static const char old[] =
        "POST /shelf HTTP/1.0\r\nHost: " HOST "\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nwords";
    struct client *c = client_arrives(s);
    origin_answers(s, "200", "", "thanks");
    says(s, c, "POST", old, sizeof old - 1); /* HTTP/1.0 knows no 100 */
    hears(s, c, "200", "", "thanks");
    heard_interims(s, c, 0);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(what_an_exchange_invalidates, unsafes),
        TEST(a_location_by_the_name_that_the_origin_was_told),
        TEST(a_post_that_gets_no_answer_invalidates_nothing),
        TABLE(a_post_is_kept_for_a_get, posts),
        { a_post_under_way_and_purges_of_others, 4 },
        TEST(a_query_is_answered_by_what_the_same_query_got),
        TEST(what_connection_takes_off_a_query_is_not_in_its_key),
        TABLE(queries_leave_with_their_url, query_removals),
        TEST(a_query_goes_through_what_a_get_does),
        TEST(a_stale_query_is_validated),
        TEST(a_query_is_refreshed_with_its_content),
        TABLE(max_forwards_counts_down_to_weir, forwards),
        TEST(max_forwards_of_others_is_not_ours),
        TEST(a_trace_shows_what_weir_heard_but_no_secrets),
        { options_and_trace_are_never_cached, 6 },
        TEST(connect_opens_no_tunnel),
        TEST(interim_responses_pass_one_by_one_and_leave_no_trace),
        TEST(hints_of_a_post_pass_too),
        TEST(nobody_switches_protocols_unasked),
        TEST(only_100_continue_is_expected),
    };
    return converse("rfc methods", tests, COUNT(tests));
}
