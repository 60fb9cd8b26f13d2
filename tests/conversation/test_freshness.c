/* How long a stored response may be reused, and what happens when it no longer may (RFC 9111 §4.2 to §4.3, RFC 5861). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* A response with these fields, and the same request again so many seconds later. {N}: the date N seconds from now. */
static const struct lifetime_row {
    const char *fields;
    int64_t seconds;
    bool reused;
    const char *why;
} lifetimes[] = {
    { "Cache-Control: max-age=60", 50, true, "§5.2.2.1" },
    { "Cache-Control: max-age=60", 60, false, "§4.2: equal is not greater" },
    { "Cache-Control: s-maxage=60", 50, true, "§5.2.2.10" },
    { "Cache-Control: s-maxage=60", 60, false, "§5.2.2.10" },
    { "Cache-Control: s-maxage=10, max-age=100", 10, false, "s-maxage wins in a shared cache" },
    { "Cache-Control: s-maxage=100, max-age=10", 50, true, "s-maxage wins in a shared cache" },
    { "Cache-Control: max-age=100\nCache-Control: s-maxage=10", 10, false, "two lines are one list" },
    { "Expires: {60}\nDate: {0}", 50, true, "§5.3" },
    { "Expires: {60}\nDate: {0}", 60, false, "§5.3" },
    { "Expires: {60}", 50, true, "§5.3: without Date, the time of receipt" },
    { "Expires: {-40}\nDate: {-100}", 0, false, "a lifetime of 60, an age of 100" },
    { "Expires: {40}\nDate: {-20}", 30, true, "a lifetime of 60, an age of 20" },
    { "Expires: {40}\nDate: {-20}", 40, false, "a lifetime of 60, an age of 20" },
    { "Expires: 0", 0, false, "§5.3: invalid is in the past" },
    { "Expires: soon", 0, false, "§5.3: invalid is in the past" },
    { "Expires: {60}\nExpires: {90}", 0, false, "§4.2.1: two that disagree" },
    { "Expires: {-10}\nCache-Control: max-age=60", 50, true, "max-age wins over Expires" },
    { "Expires: {60}\nCache-Control: max-age=0", 0, false, "max-age wins over Expires" },
    { "Cache-Control: max-age=60\nDate: {-50}", 5, true, "apparent age, §4.2.3" },
    { "Cache-Control: max-age=60\nDate: {-50}", 12, false, "apparent age, §4.2.3" },
    { "Cache-Control: max-age=60\nAge: 50", 4, true, "§5.1" },
    { "Cache-Control: max-age=60\nAge: 50", 10, false, "§5.1" },
    { "Cache-Control: max-age=60\nAge: many", 50, true, "an Age that is no number is ignored" },
    { "Cache-Control: no-store", 0, false, "§5.2.2.5" },
    { "Cache-Control: no-store, max-age=60", 0, false, "§5.2.2.5" },
    { "Cache-Control: private, max-age=60", 0, false, "§5.2.2.7" },
    { "Cache-Control: no-cache, max-age=60", 0, false, "§5.2.2.4" },
    { "Cache-Control: public", 0, false, "says nothing about how long" },
    { "", 0, false, "no freshness information and no validator" },
    { "Last-Modified: {-1000}", 50, true, "§4.2.2: a tenth" },
    { "Last-Modified: {-1000}", 100, false, "§4.2.2: a tenth" },
    { "Last-Modified: {-10000000}", 3500, true, "§4.2.2: an hour at most" },
    { "Last-Modified: {-10000000}", 3600, false, "§4.2.2: an hour at most" },
    { "Last-Modified: {-1000}\nPragma: no-cache", 0, false, "Pragma forbids the heuristic" },
    { "Cache-Control: max-age=\"60\"", 50, true, "quoted counts" },
    { "Cache-Control: MAX-AGE=60", 50, true, "§5.2: case does not matter" },
    { "Cache-Control: max-age=99999999999999999999", 100000, true, "§1.2.2: saturates" },
    { "Cache-Control: max-age =60", 0, false, "invalid is stale, not absent" },
    { "Cache-Control: max-age=60.0", 0, false, "invalid is stale, not absent" },
    { "Cache-Control: max-age=a60", 0, false, "invalid is stale, not absent" },
    { "Cache-Control: max-age=-1", 0, false, "invalid is stale, not absent" },
    { "Cache-Control: max-age=10, max-age=100", 20, false, "§4.2.1: the smaller" },
    { "Cache-Control: max-age=100, max-age=10", 20, false, "§4.2.1: the smaller" },
    { "Cache-Control: max-age=60, x-no-store, y=\"no-store\"", 50, true, "§5.2.3: names are not substrings" },
    { "Cache-Control: max-age=60, y=\"a, no-store\"", 50, true, "a comma within quotes" },
    { "Cache-Control: max-age=60\nPragma: no-cache", 50, true, "Pragma in a response means nothing" },
    { "Cache-Control: no-store, must-understand, max-age=60", 50, true, "§5.2.2.3: 200 is understood" },
    { "CDN-Cache-Control: max-age=60\nCache-Control: no-store", 50, true, "RFC 9213 §2.2" },
    { "CDN-Cache-Control: no-store\nCache-Control: max-age=60", 0, false, "RFC 9213 §2.2" },
    { "CDN-Cache-Control: max-age=10\nCache-Control: max-age=60", 20, false, "RFC 9213 §2.2" },
    { "CDN-Cache-Control: max-age=60\nExpires: {-10}", 50, true, "RFC 9213 §2.2" },
    { "CDN-Cache-Control: max-age=\"\nCache-Control: max-age=60", 50, true, "malformed is ignored" },
    { "CDN-Cache-Control:\nCache-Control: max-age=60", 50, true, "empty is ignored" },
    { "Cache-Control: private=\"X-Mine\", max-age=60", 50, true, "without that field" },
    { "Cache-Control: no-cache=\"X-Mine\", max-age=60", 50, true, "without that field" },
};

START_TEST(a_response_is_reused_while_it_is_fresh)
{
    const struct lifetime_row *row = &lifetimes[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, row->fields), "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, row->seconds);
    if (!row->reused) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->reused ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->reused ? "first" : "second");
    scene_end(s);
}
END_TEST

/* ---- validation ---- */

START_TEST(a_stale_response_is_validated_then_reused)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"plum\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "jam");
    origin_heard(s, "GET /shelf", "!If-None-Match\n!If-Modified-Since");
    seconds_pass(s, 10); /* age equals lifetime: stale, §4.2 */
    origin_answers(s, "304", "Cache-Control: max-age=10\nETag: \"plum\"", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304\nETag: \"plum\"\nContent-Length: 3", "jam");
    origin_heard(s, "GET /shelf", "If-None-Match: \"plum\"");
    seconds_pass(s, 5); /* fresh again */
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(last_modified_validates_too)
{
    struct scene *s = scene_begin(NULL);
    const char *modified = date(s, -1000);
    origin_answers(s, "200", say(s, "Cache-Control: max-age=10\nLast-Modified: %s", modified), "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=10", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "jam");
    origin_heard(s, "GET /shelf", say(s, "If-Modified-Since: %s\n!If-None-Match", modified));
    scene_end(s);
}
END_TEST

START_TEST(a_new_response_replaces_the_stale_one)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"plum\"\nX-Old: yes", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"pear\"", "compote");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=200; stored\n!X-Old", "compote");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nETag: \"pear\"\n!X-Old", "compote");
    scene_end(s);
}
END_TEST

START_TEST(a_304_freshens_the_stored_fields)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200",
                   "Cache-Control: max-age=10\nETag: \"plum\"\nX-New: old\nX-Kept: kept\nContent-Type: text/plain\n"
                   "Content-Encoding: x-jar",
                   "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304",
                   "Cache-Control: max-age=100\nETag: \"plum\"\nX-New: new\nX-Added: yes\nContent-Length: 99\n"
                   "Content-Encoding: x-other\nSet-Cookie: a=b",
                   NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "X-New: new\nContent-Length: 3\nContent-Encoding: x-jar", "jam");
    seconds_pass(s, 50);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200",
                 "Cache-Status: weir; hit\nX-New: new\nX-Added: yes\nX-Kept: kept\nContent-Type: text/plain\n"
                 "Content-Length: 3\nContent-Encoding: x-jar\nCache-Control: max-age=100\n!Set-Cookie",
                 "jam");
    holds(s, head_count(&scene_client(s)->response.head, "X-New") == 1);
    scene_end(s);
}
END_TEST

START_TEST(a_304_for_another_strong_tag_freshens_nothing)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"plum\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=100\nETag: \"pear\"", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=100\nETag: \"pear\"", "compote");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "ETag: \"pear\"", "compote");
    origin_heard(s, "GET /shelf", "!If-None-Match");
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

START_TEST(no_cache_is_validated_each_time)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-cache\nETag: \"plum\"", "jam");
    origin_answers_as(s, .status = "304", .fields = "Cache-Control: no-cache\nETag: \"plum\"", .times = 2);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", "Cache-Status: weir; fwd=*; fwd-status=304", "jam");
        origin_heard(s, "GET /shelf", "If-None-Match: \"plum\"");
    }
    scene_end(s);
}
END_TEST

START_TEST(a_clients_own_tag_does_not_hide_ours)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"plum\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=10\nETag: \"plum\"", NULL);
    client_asks(s, "GET /shelf", "If-None-Match: \"pear\"");
    client_hears(s, "200", "", "jam");
    origin_heard(s, "GET /shelf", "If-None-Match: ~\"plum\"");
    scene_end(s);
}
END_TEST

/* ---- stale-while-revalidate (RFC 5861 §3) ---- */

START_TEST(stale_at_once_and_one_refresh_behind)
{
    struct scene *s = scene_begin(NULL);
    struct gate refresh = { 0 };
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30\nETag: \"1\"", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, 15);
    origin_answers_as(s, .status = "200", .body = "second", .hold = &refresh,
                      .fields = "Cache-Control: max-age=10, stale-while-revalidate=30\nETag: \"2\"");
    for (int i = 0; i < 5; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", "Cache-Status: weir; hit; ttl=-8..-5\nAge: 15..18", "first");
    }
    origin_waits_at(s, &refresh, 1);
    origin_heard(s, "GET /shelf", "If-None-Match: \"1\"");
    origin_count_is(s, 2);
    gate_opens(s, &refresh);
    client_soon_hears(s, "GET /shelf", "", "second");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(a_refresh_outlives_its_client)
{
    struct scene *s = scene_begin(NULL);
    struct gate refresh = { 0 };
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, 15);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=10", .body = "second", .hold = &refresh);
    struct client *c = client_arrives(s);
    asks(s, c, "GET /shelf", "");
    hears(s, c, "200", "Cache-Status: weir; hit", "first");
    origin_waits_at(s, &refresh, 1);
    client_leaves(s, c);
    gate_opens(s, &refresh);
    client_soon_hears(s, "GET /shelf", "", "second");
    scene_end(s);
}
END_TEST

START_TEST(a_304_behind_the_back_makes_it_fresh)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30\nETag: \"1\"", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, 15);
    struct gate refresh = { 0 };
    origin_answers_as(s, .status = "304", .hold = &refresh,
                      .fields = "Cache-Control: max-age=1000, stale-while-revalidate=30\nETag: \"1\"");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "first");
    origin_waits_at(s, &refresh, 1);
    gate_opens(s, &refresh);
    client_soon_hears(s, "GET /shelf", "Cache-Status: weir; hit; ttl=900..1000", "first");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(after_the_window_the_client_waits)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-while-revalidate=30", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, 41);
    origin_answers(s, "200", "Cache-Control: max-age=10", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=200", "second");
    scene_end(s);
}
END_TEST

START_TEST(s_maxage_beside_it_is_honoured_with_it)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: s-maxage=10, stale-while-revalidate=30", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, 15);
    origin_answers(s, "200", "Cache-Control: s-maxage=10", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "first");
    client_soon_hears(s, "GET /shelf", "", "second");
    scene_end(s);
}
END_TEST

/* ---- stale-if-error (RFC 5861 §4), and an origin that cannot be reached ---- */

enum failure { ANSWERS, REFUSES, CLOSES, RESETS, CUTS_THE_HEAD };

static const struct error_row {
    const char *cache_control;
    enum failure failure;
    const char *status; /* what the origin answers, if it does */
    int64_t seconds;
    const char *heard; /* NULL: the stale response */
    const char *why;
} errors[] = {
    { "max-age=10, stale-if-error=60", ANSWERS, "500", 15, NULL, "RFC 5861 §4" },
    { "max-age=10, stale-if-error=60", ANSWERS, "502", 15, NULL, "RFC 5861 §4" },
    { "max-age=10, stale-if-error=60", ANSWERS, "503", 15, NULL, "RFC 5861 §4" },
    { "max-age=10, stale-if-error=60", ANSWERS, "504", 15, NULL, "RFC 5861 §4" },
    { "max-age=10, stale-if-error=60", ANSWERS, "501", 15, "501", "not one of the four" },
    { "max-age=10, stale-if-error=60", ANSWERS, "404", 15, "404", "no error of the origin" },
    { "max-age=10, stale-if-error=60", ANSWERS, "503", 100, "503", "past the window" },
    { "max-age=10, stale-if-error=600", REFUSES, NULL, 500, NULL, "no answer is an error" },
    { "max-age=10, stale-if-error=600", CLOSES, NULL, 500, NULL, "no answer is an error" },
    { "max-age=10, stale-if-error=600", RESETS, NULL, 500, NULL, "no answer is an error" },
    { "max-age=10, stale-if-error=600", CUTS_THE_HEAD, NULL, 500, NULL, "no answer is an error" },
    { "max-age=10, stale-if-error=5", REFUSES, NULL, 200, "50*", "past the window" },
    { "s-maxage=10, stale-if-error=60", ANSWERS, "503", 15, NULL, "the origin said both" },
    { "max-age=10, stale-if-error=60, must-revalidate", ANSWERS, "503", 15, "503", "§5.2.2.2" },
    { "max-age=10, stale-if-error=60, must-revalidate", REFUSES, NULL, 15, "50*", "§5.2.2.2" },
    { "max-age=10, stale-if-error=60, proxy-revalidate", REFUSES, NULL, 15, "50*", "§5.2.2.8" },
    { "max-age=10", ANSWERS, "503", 15, "503", "what the origin says is passed on" },
    { "max-age=10", REFUSES, NULL, 15, NULL, "unreachable, nothing said about stale: 60 s" },
    { "max-age=10", RESETS, NULL, 15, NULL, "unreachable, nothing said about stale: 60 s" },
    { "max-age=10", REFUSES, NULL, 80, "50*", "unreachable, nothing said about stale: 60 s" },
    { "max-age=10, must-revalidate", REFUSES, NULL, 15, "50*", "§5.2.2.2" },
    { "max-age=10, proxy-revalidate", RESETS, NULL, 15, "50*", "§5.2.2.8" },
    { "s-maxage=10", REFUSES, NULL, 15, "50*", "§5.2.2.10" },
    { "no-cache", REFUSES, NULL, 1, "50*", "§5.2.2.4" },
};

static void origin_fails(struct scene *s, const struct error_row *row)
{
    switch (row->failure) {
    case ANSWERS: origin_answers(s, row->status, "X-Error: yes", "sorry"); break;
    case REFUSES: origin_goes(s); break;
    case CLOSES: origin_answers_as(s, .silent = true, .ending = CLOSE, .times = ALWAYS); break;
    case RESETS: origin_answers_as(s, .silent = true, .ending = RESET, .times = ALWAYS); break;
    case CUTS_THE_HEAD: origin_answers_as(s, .raw = "HTTP/1.1 200 OK\r\nCont", .ending = CLOSE, .times = ALWAYS); break;
    }
}

START_TEST(stale_on_error_where_it_is_allowed)
{
    const struct error_row *row = &errors[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "Cache-Control: %s\nETag: \"1\"", row->cache_control), "stale");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "stale");
    seconds_pass(s, row->seconds);
    origin_fails(s, row);
    client_asks(s, "GET /shelf", "");
    const char *status = row->status == NULL ? "" : say(s, "; fwd-status=%s", row->status);
    if (row->heard == NULL)
        client_hears(s, "200",
                     say(s, "Cache-Status: weir; fwd=stale%s; !hit\n!X-Error\nAge: %d..%d", status, (int)row->seconds,
                         (int)row->seconds + 3),
                     "stale");
    else
        client_hears(s, row->heard, "Cache-Status: weir; fwd=*", NULL);
    scene_end(s);
}
END_TEST

START_TEST(a_truncated_answer_does_not_replace_a_stale_one)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10, stale-if-error=600", "stale");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "stale");
    seconds_pass(s, 15);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=10", .body = "truncated", .ending = CUT,
                      .cut_after = 4);
    client_asks(s, "GET /shelf", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=stale");
    const char *broken = client_read_rest(scene_client(s)); /* unless nothing of it had gone out: then the stale one */
    holds(s, broken != NULL || strcmp(scene_client(s)->response.body, "stale") == 0);
    origin_goes(s);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale", "stale");
    scene_end(s);
}
END_TEST

/* ---- requests that ask for less ---- */

START_TEST(only_if_cached_never_forwards)
{
    struct scene *s = scene_begin(NULL);
    client_asks(s, "GET /shelf", "Cache-Control: only-if-cached");
    client_hears(s, "504", "Cache-Status: weir; !hit", NULL);
    origin_count_is(s, 0);
    origin_answers(s, "200", "Cache-Control: max-age=10", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf", "Cache-Control: only-if-cached");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    scene_end(s);
}
END_TEST

START_TEST(the_answer_to_a_no_store_request_is_not_stored)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "first");
    origin_answers(s, "200", "Cache-Control: max-age=60", "second");
    client_asks(s, "GET /shelf", "Cache-Control: no-store");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; !stored", "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", "second");
    client_asks(s, "GET /shelf", "Cache-Control: no-store");
    client_hears(s, "200", "Cache-Status: weir; hit", "second");
    scene_end(s);
}
END_TEST

/* RFC 9111 §3.5: who may share what was given to somebody with a name. */
static const struct authorization_row {
    const char *cache_control;
    bool shared;
} authorizations[] = {
    { "max-age=60", false },
    { "max-age=60, public", true },
    { "s-maxage=60", true },
    { "max-age=60, must-revalidate", true },
    { "max-age=60, proxy-revalidate", false },
    { "max-age=60, private", false },
};

START_TEST(an_answer_to_a_name_is_shared_only_when_it_says_so)
{
    const struct authorization_row *row = &authorizations[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "Cache-Control: %s", row->cache_control), "first");
    client_asks(s, "GET /shelf", "Authorization: Basic YTpi");
    client_hears(s, "200", "", "first");
    origin_heard(s, "GET /shelf", "Authorization: Basic YTpi");
    if (!row->shared) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->shared ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->shared ? "first" : "second");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_response_is_reused_while_it_is_fresh, lifetimes),
        TEST(a_stale_response_is_validated_then_reused),
        TEST(last_modified_validates_too),
        TEST(a_new_response_replaces_the_stale_one),
        TEST(a_304_freshens_the_stored_fields),
        TEST(a_304_for_another_strong_tag_freshens_nothing),
        TEST(no_cache_is_validated_each_time),
        TEST(a_clients_own_tag_does_not_hide_ours),
        TEST(stale_at_once_and_one_refresh_behind),
        TEST(a_refresh_outlives_its_client),
        TEST(a_304_behind_the_back_makes_it_fresh),
        TEST(after_the_window_the_client_waits),
        TEST(s_maxage_beside_it_is_honoured_with_it),
        TABLE(stale_on_error_where_it_is_allowed, errors),
        TEST(a_truncated_answer_does_not_replace_a_stale_one),
        TEST(only_if_cached_never_forwards),
        TEST(the_answer_to_a_no_store_request_is_not_stored),
        TABLE(an_answer_to_a_name_is_shared_only_when_it_says_so, authorizations),
    };
    return converse("freshness", tests, COUNT(tests));
}
