/* Parts of a representation: what is stored of them, what they answer, how they are made whole, and how they are cut
 * (RFC 9111 §3.3, §3.4; RFC 9110 §13.1.5, §14, §15.3.7, §15.5.17). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"

/* The origin answers with a part, as one does that a range got through to, and these fields. */
static void store_part(struct scene *s, const char *range, const char *fields, const char *content)
{
    origin_answers(s, "206", say(s, "Cache-Control: max-age=60\nContent-Range: bytes %s\n%s", range, fields), content);
    client_asks(s, "GET /digits", "Range: bytes=0-");
    client_hears(s, "206", say(s, "Content-Range: bytes %s", range), content);
}

/* ---- what a stored part answers (§3.3): what lies inside it, and nothing else */

static const struct inside_row {
    const char *part, *content; /* stored */
    const char *range;
    const char *content_range, *body; /* NULL: it goes to the origin */
} insides[] = {
    { "2-6/10", "23456", "bytes=2-6", "bytes 2-6/10", "23456" },
    { "2-6/10", "23456", "bytes=3-4", "bytes 3-4/10", "34" },
    { "2-6/10", "23456", "bytes=6-6", "bytes 6-6/10", "6" },
    { "2-6/10", "23456", "bytes=1-3", NULL, NULL },
    { "2-6/10", "23456", "bytes=6-7", NULL, NULL },
    { "2-6/10", "23456", "bytes=3-", NULL, NULL },
    { "2-6/10", "23456", "bytes=-4", NULL, NULL },
    { "5-9/10", "56789", "bytes=5-", "bytes 5-9/10", "56789" },
    { "5-9/10", "56789", "bytes=7-", "bytes 7-9/10", "789" },
    { "5-9/10", "56789", "bytes=7-99", "bytes 7-9/10", "789" },
    { "5-9/10", "56789", "bytes=-3", "bytes 7-9/10", "789" },
    { "5-9/10", "56789", "bytes=-5", "bytes 5-9/10", "56789" },
    { "5-9/10", "56789", "bytes=-6", NULL, NULL },
    { "0-4/10", "01234", "bytes=0-0", "bytes 0-0/10", "0" },
    { "0-4/10", "01234", "lines=0-0", NULL, NULL },
    { "0-4/10", "01234", "", NULL, NULL },
};

START_TEST(a_stored_part_answers_for_what_lies_in_it)
{
    const struct inside_row *row = &insides[_i];
    struct scene *s = scene_begin(NULL);
    store_part(s, row->part, "", row->content); /* no strong validator: never to be combined */
    if (row->content_range == NULL) origin_answers(s, "200", "Cache-Control: max-age=60", DIGITS);
    client_asks(s, "GET /digits", row->range[0] == '\0' ? "" : say(s, "Range: %s", row->range));
    if (row->content_range != NULL)
        client_hears(s, "206", say(s, "Cache-Status: weir; hit\nContent-Range: %s\nAge: 0..3", row->content_range),
                     row->body);
    else
        client_hears(s, "20*", "Cache-Status: weir; fwd=partial; fwd-status=200; stored", NULL);
    if (row->content_range != NULL) /* HEAD speaks of the whole, which is not here */
        origin_answers_as(s, .method = "HEAD", .status = "200", .fields = "Cache-Control: max-age=60", .body = DIGITS);
    client_asks(s, "HEAD /digits", "");
    client_hears(s, "200",
                 say(s, "Cache-Status: weir; %s\nContent-Length: 10\n!Content-Range",
                     row->content_range != NULL ? "fwd=partial" : "hit"),
                 "");
    scene_end(s);
}
END_TEST

START_TEST(several_ranges_are_cut_from_a_stored_part)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, "2-6/10", "Content-Type: text/plain", "23456");
    client_asks(s, "GET /digits", "Range: bytes=2-3,5-6");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Type: ~multipart/byteranges; boundary=\n!Content-Range",
                 NULL);
    const char *body = scene_client(s)->response.body;
    holds(s, strstr(body, "Content-Range: bytes 2-3/10\r\n\r\n23\r\n") != NULL);
    holds(s, strstr(body, "Content-Range: bytes 5-6/10\r\n\r\n56\r\n") != NULL);
    scene_end(s);
}
END_TEST

/* ---- parts that are not stored: they are not what they say, or say not what they are */

static const struct bad_part_row {
    const char *content_range, *content;
    const char *why;
} bad_parts[] = {
    { "Content-Range: bytes 0-4/10", "0123", "shorter than it says" },
    { "Content-Range: bytes 0-2/10", "0123", "longer than it says" },
    { "Content-Range: bytes 0-3/*", "0123", "of what, it does not say" },
    { "Content-Range: bytes 7-10/10", "789x", "beyond its end" },
    { "Content-Range: bytes 3-0/10", "0123", "backwards" },
    { "Content-Range: bytes */10", "0123", "no range" },
    { "Content-Range: lines 0-3/10", "0123", "another unit" },
    { "Content-Range: bytes 0-3", "0123", "no length" },
    { "Content-Range: bytes 0-3/10\nContent-Range: bytes 0-3/10", "0123", "two lines" },
    { "", "0123", "none" },
    { "Content-Type: multipart/byteranges; boundary=x", "--x--\r\n", "several parts" },
};

START_TEST(a_part_that_disagrees_with_itself_is_not_stored)
{
    const struct bad_part_row *row = &bad_parts[_i];
    for (int chunked = 0; chunked < 2; chunked++) {
        struct scene *s = scene_begin(NULL);
        origin_answers_as(s, .status = "206", .body = row->content, .framing = chunked ? CHUNKED : BY_LENGTH,
                          .fields = say(s, "Cache-Control: max-age=60\nETag: \"1\"\n%s", row->content_range));
        client_asks(s, "GET /digits", "Range: bytes=0-3");
        client_hears(s, "206", "", row->content);
        origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"", DIGITS);
        client_asks(s, "GET /digits", "Range: bytes=0-0");
        client_hears(s, "206", "Cache-Status: weir; fwd=*\nContent-Range: bytes 0-0/10", "0");
        origin_heard(s, "GET /digits", "!Range");
        scene_end(s);
    }
}
END_TEST

/* A part in chunks says by its Content-Range alone how long it is. */
START_TEST(a_part_in_chunks_is_stored_when_it_agrees)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "206", .body = "0123", .framing = CHUNKED,
                      .fields = "Cache-Control: max-age=60\nContent-Range: bytes 0-3/10");
    client_asks(s, "GET /digits", "Range: bytes=0-3");
    client_hears(s, "206", "", "0123");
    client_asks(s, "GET /digits", "Range: bytes=1-2");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Range: bytes 1-2/10", "12");
    scene_end(s);
}
END_TEST

/* ---- a part is made whole (§3.4): only the missing bytes are asked for, under a strong tag */

static const struct completion_row {
    const char *part, *content;         /* stored */
    const char *asked, *missing, *rest; /* what the origin hears, and answers; asked NULL: for the whole */
    const char *etag;
} completions[] = {
    { "0-4/10", "01234", "bytes=5-", "5-9/10", "56789", "\"1\"" },
    { "0-8/10", "012345678", "bytes=9-", "9-9/10", "9", "\"1\"" },
    { "5-9/10", "56789", "bytes=0-4", "0-4/10", "01234", "\"1\"" },
    { "2-6/10", "23456", NULL, NULL, NULL, "\"1\"" },
    { "0-4/10", "01234", NULL, NULL, NULL, "W/\"1\"" },
    { "0-4/10", "01234", NULL, NULL, NULL, "" },
};

START_TEST(only_the_missing_bytes_are_asked_for)
{
    const struct completion_row *row = &completions[_i];
    struct scene *s = scene_begin(NULL);
    const char *etag = row->etag[0] == '\0' ? "X-None: x" : say(s, "ETag: %s", row->etag);
    store_part(s, row->part, say(s, "%s\nX-Frob: old\nContent-Type: text/plain", etag), row->content);
    if (row->asked != NULL)
        origin_answers(
            s, "206",
            say(s, "Cache-Control: max-age=100\n%s\nX-Frob: new\nContent-Range: bytes %s", etag, row->missing),
            row->rest);
    else
        origin_answers(s, "200", say(s, "Cache-Control: max-age=100\n%s\nX-Frob: new\nContent-Type: text/plain", etag),
                       DIGITS);
    client_asks(s, "GET /digits", "");
    client_hears(s, "200",
                 say(s,
                     "Cache-Status: weir; fwd=partial; fwd-status=%s; stored\nX-Frob: new\nContent-Type: text/plain\n"
                     "!Content-Range\nContent-Length: 10",
                     row->asked != NULL ? "206" : "200"),
                 DIGITS);
    if (row->asked != NULL)
        origin_heard(s, "GET /digits", say(s, "Range: %s\nIf-Range: %s\n!If-None-Match", row->asked, row->etag));
    else
        origin_heard(s, "GET /digits", "!Range\n!If-Range\n!If-None-Match");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=97..100\n!Content-Range\nContent-Length: 10", DIGITS);
    client_asks(s, "GET /digits", "Range: bytes=3-6");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Range: bytes 3-6/10", "3456");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* What comes is not the rest of what is stored: all of it is fetched. */
static const struct misfit_row {
    const char *status, *fields, *content;
} misfits[] = {
    { "206", "Content-Range: bytes 5-9/10\nETag: \"2\"", "fghij" },
    { "206", "Content-Range: bytes 5-9/10\nETag: W/\"1\"", "56789" },
    { "206", "Content-Range: bytes 5-9/10", "56789" },
    { "206", "Content-Range: bytes 5-9/11\nETag: \"1\"", "56789" },
    { "206", "Content-Range: bytes 6-9/10\nETag: \"1\"", "6789" },
    { "206", "ETag: \"1\"", "56789" },
    { "206", "Content-Range: bytes 5-9/10\nETag: \"1\"", "567" },
    { "206", "Content-Range: bytes 5-9/10\nETag: \"1\"", "56789xx" },
    { "416", "Content-Range: bytes */3", "" },
};

START_TEST(a_rest_that_does_not_fit_is_not_used)
{
    const struct misfit_row *row = &misfits[_i];
    struct scene *s = scene_begin(NULL);
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    origin_answers(s, row->status, say(s, "Cache-Control: max-age=60\n%s", row->fields), row->content);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"2\"", "abcdefghij");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "ETag: \"2\"\nCache-Status: weir; fwd=partial; fwd-status=200", "abcdefghij");
    origin_heard(s, "GET /digits", "!Range\n!If-Range");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nETag: \"2\"", "abcdefghij");
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

/* If-Range: a representation that has changed comes whole, without a third request. */
START_TEST(a_changed_representation_comes_whole_at_once)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"2\"", "abcdefghij");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=partial; fwd-status=200; stored\nETag: \"2\"", "abcdefghij");
    origin_heard(s, "GET /digits", "Range: bytes=5-\nIf-Range: \"1\"");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* The rest broke off: nothing is complete, and the client sees it. */
START_TEST(a_rest_that_breaks_off_makes_nothing_whole)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    origin_answers_as(s, .status = "206", .body = "56789", .ending = CUT, .cut_after = 2,
                      .fields = "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes 5-9/10");
    client_asks(s, "GET /digits", "");
    hears_head(s, scene_client(s), "***", "");
    bool whole = client_read_rest(scene_client(s)) == NULL && scene_client(s)->response.status == 200;
    holds(s, !whole);
    origin_answers(s, "206", "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes 5-9/10", "56789");
    struct client *c = client_arrives(s);
    asks(s, c, "GET /digits", "");
    hears(s, c, "200", "Cache-Status: weir; fwd=partial", DIGITS);
    scene_end(s);
}
END_TEST

/* Chunks may bring another length than Content-Range promises: what comes of it is not the whole. */
static const struct {
    const char *part, *content, *missing, *rest;
} false_rests[] = {
    { "0-4/10", "01234", "5-9/10", "567" },
    { "0-4/10", "01234", "5-9/10", "56789xx" },
    { "5-9/10", "56789", "0-4/10", "012" },
    { "5-9/10", "56789", "0-4/10", "01234xx" },
};

START_TEST(a_rest_of_another_length_makes_nothing_whole)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, false_rests[_i].part, "ETag: \"1\"", false_rests[_i].content);
    origin_answers_as(
        s, .status = "206", .body = false_rests[_i].rest, .framing = CHUNKED,
        .fields = say(s, "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes %s", false_rests[_i].missing));
    client_asks(s, "GET /digits", "");
    hears_head(s, scene_client(s), "***", "");
    bool whole = client_read_rest(scene_client(s)) == NULL && scene_client(s)->response.status == 200;
    holds(s, !whole);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"", DIGITS);
    struct client *c = client_arrives(s);
    asks(s, c, "GET /digits", "");
    hears(s, c, "200", "Cache-Status: weir; fwd=uri-miss", DIGITS); /* nor will it be tried again */
    scene_end(s);
}
END_TEST

/* ---- a stale part is not used without the origin's word */

START_TEST(a_stale_part_is_not_used_unasked)
{
    static const char *const tags[] = { "ETag: \"1\"", "ETag: W/\"1\"", "X-None: x" };
    struct scene *s = scene_begin(NULL);
    store_part(s, "2-6/10", tags[_i], "23456");
    seconds_pass(s, 100);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"2\"", "abcdefghij");
    client_asks(s, "GET /digits", "Range: bytes=3-4");
    client_hears(s, "206", "Cache-Status: weir; fwd=stale; fwd-status=200\nContent-Range: bytes 3-4/10\nETag: \"2\"",
                 "de");
    client_asks(s, "GET /digits", "Range: bytes=0-1");
    client_hears(s, "206", "Cache-Status: weir; hit", "ab");
    scene_end(s);
}
END_TEST

START_TEST(a_stale_part_is_freshened_by_a_304)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, "2-6/10", "ETag: \"1\"\nX-Frob: old", "23456");
    seconds_pass(s, 100);
    origin_answers(s, "304", "Cache-Control: max-age=60\nETag: \"1\"\nX-Frob: new", NULL);
    client_asks(s, "GET /digits", "Range: bytes=3-4");
    client_hears(s, "206", "Cache-Status: weir; fwd=stale; fwd-status=304\nContent-Range: bytes 3-4/10\nX-Frob: new",
                 "34");
    origin_heard(s, "GET /digits", "If-None-Match: \"1\"\n!Range");
    client_asks(s, "GET /digits", "Range: bytes=2-2");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Range: bytes 2-2/10\nX-Frob: new", "2");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* ---- If-Range against what is stored (RFC 9110 §13.1.5) */

static const struct if_range_row {
    const char *stored, *given;
    bool part;
    const char *why;
} if_ranges[] = {
    { "ETag: \"1\"", "\"1\"", true, "a strong tag" },
    { "ETag: W/\"1\"", "W/\"1\"", false, "weak tags never match strongly" },
    { "ETag: W/\"1\"", "\"1\"", false, "weak tags never match strongly" },
    { "ETag: \"1\"", "*", false, "no asterisk here" },
    { "ETag: \"1\"", "\"1\", \"2\"", false, "no list here" },
    { "", "\"1\"", false, "nothing to match" },
    { "Date: {0}\nLast-Modified: {-100}", "{-100}", true, "a date that is strong" },
    { "Date: {0}\nLast-Modified: {0}", "{0}", false, "§8.8.2.2: modified in the second it was sent" },
    { "Date: {0}\nLast-Modified: {-100}", "{-50}", false, "exactly, and not: since then" },
    { "ETag: \"1\"\nDate: {0}\nLast-Modified: {-100}", "{-100}", true, "a date, though there is a tag" },
    { "Date: {0}", "{0}", false, "Date is no validator" },
};

START_TEST(if_range_compares_strongly)
{
    const struct if_range_row *row = &if_ranges[_i];
    struct scene *s = scene_begin(NULL);
    const char *given = dated(s, row->given);
    origin_answers(s, "200",
                   dated(s, say(s, "Cache-Control: max-age=60\n%s", row->stored[0] ? row->stored : "X-None: x")),
                   DIGITS);
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "", DIGITS);
    client_asks(s, "GET /digits", say(s, "Range: bytes=1-2\nIf-Range: %s", given));
    if (row->part)
        client_hears(s, "206", "Cache-Status: weir; hit\nContent-Range: bytes 1-2/10", "12");
    else
        client_hears(s, "200", "Cache-Status: weir; hit\n!Content-Range", DIGITS);
    client_asks(s, "GET /digits", say(s, "If-Range: %s", given)); /* without a Range it means nothing */
    client_hears(s, "200", "Cache-Status: weir; hit\n!Content-Range", DIGITS);
    scene_end(s);
}
END_TEST

/* ---- 416 */

START_TEST(a_416_says_how_long_it_is_and_is_not_stored)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"\nContent-Type: text/plain", DIGITS);
    client_asks(s, "GET /digits", "Range: bytes=10-"); /* on a miss too */
    client_hears(s, "416", "Content-Range: bytes */10\nCache-Status: weir; fwd=uri-miss; fwd-status=200; stored", "");
    client_asks(s, "GET /digits", "Range: bytes=99-");
    client_hears(s, "416", "Content-Range: bytes */10\nCache-Status: weir; hit\n!Content-Type", "");
    client_asks(s, "GET /digits", "Range: bytes=99-\nIf-None-Match: \"1\"");
    client_hears(s, "304", "!Content-Range", "");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit", DIGITS);
    scene_end(s);
}
END_TEST

START_TEST(nothing_has_no_ranges)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Content-Length: 0", "");
    client_asks(s, "GET /digits", "Range: bytes=0-");
    client_hears(s, "416", "Content-Range: bytes */0\nCache-Status: weir; hit", "");
    scene_end(s);
}
END_TEST

/* Ranges are for what a 200 would hold. */
START_TEST(ranges_do_not_cut_errors)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "404", "Cache-Control: max-age=60", DIGITS);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /digits", "Range: bytes=0-1");
        client_hears(s, "404", "!Content-Range", DIGITS);
    }
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

/* Where conditions pass, since the last response was not shared, those of the client are for what comes of the completion. */
START_TEST(a_completed_part_answers_the_clients_range)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store", "x");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "", "x");
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    origin_answers(s, "206", "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes 5-9/10", "56789");
    client_asks(s, "GET /digits", "Range: bytes=5-6\nIf-None-Match: \"2\"");
    client_hears(s, "206", "Cache-Status: weir; fwd=partial; fwd-status=206; stored\nContent-Range: bytes 5-6/10",
                 "56");
    origin_heard(s, "GET /digits", "Range: bytes=5-\nIf-Range: \"1\"\n!If-None-Match");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit", DIGITS);
    scene_end(s);
}
END_TEST

START_TEST(of_a_large_content_only_the_part_is_asked_for)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f, "origin: http://127.0.0.1:%d\ncache: {range: {fetch_whole_limit: 5}}\n", origin_port(scene_origin(s)));
    fclose(f);
    weir_starts(s, say(s, "--config %s", path));
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"", DIGITS);
    origin_answers(s, "206", "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes 7-8/10", "78");
    client_asks(s, "GET /digits", "Range: bytes=7-8");
    client_hears(s, "206", "Cache-Status: weir; fwd=partial; fwd-status=206; stored\nContent-Range: bytes 7-8/10",
                 "78");
    origin_heard(s, "GET /digits", "Range: bytes=7-8\n!If-Range");
    origin_answers(s, "206", "Cache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes 1-2/10", "12");
    client_asks(s, "GET /digits", "Range: bytes=1-2");
    client_hears(s, "206", "Cache-Status: weir; fwd=partial; stored", "12");
    origin_heard(s, "GET /digits", "Range: bytes=1-2\n!If-Range");
    scene_end(s);
}
END_TEST

/* What is stored whole is stale, and the origin has something large instead: the part is asked for once, plainly. */
START_TEST(of_what_has_grown_large_only_the_part_is_asked_for)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f, "origin: http://127.0.0.1:%d\ncache: {range: {fetch_whole_limit: 5}}\n", origin_port(scene_origin(s)));
    fclose(f);
    weir_starts(s, say(s, "--config %s", path));
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"", "0123");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "", "0123");
    seconds_pass(s, 70);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"2\"", DIGITS);
    origin_answers(s, "206", "Cache-Control: max-age=60\nETag: \"2\"\nContent-Range: bytes 7-8/10", "78");
    client_asks(s, "GET /digits", "Range: bytes=7-8");
    client_hears(s, "206", "Content-Range: bytes 7-8/10\nETag: \"2\"", "78");
    origin_heard(s, "GET /digits", "Range: bytes=7-8\n!If-None-Match");
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

/* What is stored stands in for an origin that fails, but a part only for what lies in it. */
START_TEST(a_part_does_not_stand_in_for_what_it_lacks)
{
    static const char *const ranges[] = { "X: y",
                                          "Range: bytes=7-8",
                                          "Range: bytes=-2",
                                          "Range: bytes=3-6",
                                          "Range: bytes=0-1, 8-9",
                                          "Range: bytes=0-1\nIf-Range: \"2\"" };
    struct scene *s = scene_begin(NULL);
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    seconds_pass(s, 70); /* stale, as what is unreachable may be */
    origin_goes(s);
    for (size_t i = 0; i < COUNT(ranges); i++) {
        client_asks(s, "GET /digits", ranges[i]);
        client_hears(s, "502", "Cache-Status: weir; fwd=partial; detail=origin-unreachable", NULL);
    }
    client_asks(s, "GET /digits", "Range: bytes=1-2");
    client_hears(s, "206", "Cache-Status: weir; fwd=stale\nContent-Range: bytes 1-2/10", "12");
    scene_end(s);
}
END_TEST

/* A 304 brings another weak tag; If-Range, which held before, no longer does: the client gets the whole. */
START_TEST(a_freshened_part_is_looked_at_again)
{
    struct scene *s = scene_begin(NULL);
    store_part(s, "0-4/10", "ETag: \"1\"", "01234");
    seconds_pass(s, 70);
    origin_answers(s, "304", "Cache-Control: max-age=60\nETag: W/\"1\"", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: W/\"1\"", DIGITS);
    client_asks(s, "GET /digits", "Range: bytes=1-2\nIf-Range: \"1\"");
    client_hears(s, "200", "!Content-Range", DIGITS);
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_stored_part_answers_for_what_lies_in_it, insides),
        TEST(several_ranges_are_cut_from_a_stored_part),
        TABLE(a_part_that_disagrees_with_itself_is_not_stored, bad_parts),
        TEST(a_part_in_chunks_is_stored_when_it_agrees),
        TABLE(only_the_missing_bytes_are_asked_for, completions),
        TABLE(a_rest_that_does_not_fit_is_not_used, misfits),
        TEST(a_part_does_not_stand_in_for_what_it_lacks),
        TEST(a_freshened_part_is_looked_at_again),
        TEST(a_completed_part_answers_the_clients_range),
        TEST(of_a_large_content_only_the_part_is_asked_for),
        TEST(of_what_has_grown_large_only_the_part_is_asked_for),
        TEST(a_changed_representation_comes_whole_at_once),
        TEST(a_rest_that_breaks_off_makes_nothing_whole),
        TABLE(a_rest_of_another_length_makes_nothing_whole, false_rests),
        { a_stale_part_is_not_used_unasked, 3 },
        TEST(a_stale_part_is_freshened_by_a_304),
        TABLE(if_range_compares_strongly, if_ranges),
        TEST(a_416_says_how_long_it_is_and_is_not_stored),
        TEST(nothing_has_no_ranges),
        TEST(ranges_do_not_cut_errors),
    };
    return converse("rfc parts", tests, COUNT(tests));
}
