/* What the client already holds, or wants only a part of (RFC 9110 §13 and §14). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"

/* One stored response, and what a condition on it makes of the next request. */
static const struct condition_row {
    const char *condition; /* {N}: the date N seconds from now; the response was last modified at {-1000} */
    const char *status;
    const char *why;
} conditions[] = {
    { "If-None-Match: \"plum\"", "304", "§13.1.2" },
    { "If-None-Match: W/\"plum\"", "304", "weak comparison" },
    { "If-None-Match: \"pear\"", "200", "§13.1.2" },
    { "If-None-Match: \"pear\", \"plum\"", "304", "a list" },
    { "If-None-Match: \"pear\",\t\"fig\" , W/\"plum\"", "304", "a list with blanks" },
    { "If-None-Match: \"pear\"\nIf-None-Match: \"plum\"", "304", "two lines are one list" },
    { "If-None-Match: *", "304", "there is a representation" },
    { "If-None-Match: \"PLUM\"", "200", "compared byte for byte" },
    { "If-None-Match: \"plu\"", "200", "compared whole" },
    { "If-None-Match: plum", "200", "no entity tag" },
    { "If-None-Match: \"a,\"plum\"", "200", "no list of entity tags" },
    { "If-None-Match: \"x, \\\"plum\\\"\"", "200", "a backslash escapes nothing" },
    { "If-Modified-Since: {-1000}", "304", "§13.1.3" },
    { "If-Modified-Since: {-500}", "304", "§13.1.3" },
    { "If-Modified-Since: {-1500}", "200", "§13.1.3" },
    { "If-Modified-Since: yesterday", "200", "no date" },
    { "If-Modified-Since: {-1000}\nIf-Modified-Since: {-900}", "200", "no single date" },
    { "If-None-Match: \"pear\"\nIf-Modified-Since: {-500}", "200", "§13.2.2: the tag comes first" },
    { "If-None-Match: \"plum\"\nIf-Modified-Since: {-1500}", "304", "§13.2.2: the tag comes first" },
    { "If-None-Match: \"plum\"\nRange: bytes=0-1", "304", "§13.2.2: the range comes last" },
};

START_TEST(a_condition_is_answered_from_the_cache)
{
    const struct condition_row *row = &conditions[_i];
    struct scene *s = scene_begin(NULL);
    const char *stored = dated(s, "ETag: \"plum\"\nLast-Modified: {-1000}\nCache-Control: max-age=60\nVary: X-V\n"
                                  "Expires: {60}\nContent-Location: /jar\nContent-Type: text/plain");
    origin_answers(s, "200", stored, "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf", dated(s, row->condition));
    bool not_modified = strcmp(row->status, "304") == 0;
    client_hears(s, row->status,
                 "Cache-Status: weir; hit\nETag: \"plum\"\nCache-Control: max-age=60\nVary: X-V\nExpires: *\n"
                 "Content-Location: /jar\n!Transfer-Encoding\n!Connection",
                 not_modified ? "" : "jam");
    client_asks(s, "HEAD /shelf", dated(s, row->condition));
    client_hears(s, row->status, "Cache-Status: weir; hit", "");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nContent-Length: 3", "jam");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_condition_on_a_miss_is_answered_here)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "ETag: \"plum\"\nCache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "If-None-Match: \"plum\"");
    client_hears(s, "304", "Cache-Status: weir; fwd=uri-miss; fwd-status=200; stored", "");
    origin_heard(s, "GET /shelf", "!If-None-Match");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    scene_end(s);
}
END_TEST

START_TEST(a_validation_may_end_in_304_for_the_client_too)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "ETag: \"plum\"\nCache-Control: max-age=10", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "ETag: \"plum\"\nCache-Control: max-age=10", NULL);
    client_asks(s, "GET /shelf", "If-None-Match: \"plum\"");
    client_hears(s, "304", "Cache-Status: weir; fwd=stale; fwd-status=304\nETag: \"plum\"", "");
    scene_end(s);
}
END_TEST

START_TEST(conditions_do_not_apply_to_errors)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "404", "ETag: \"plum\"\nCache-Control: max-age=60", "none");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "404", "", "none");
    client_asks(s, "GET /shelf", "If-None-Match: \"plum\"");
    client_hears(s, "404", "Cache-Status: weir; hit", "none");
    scene_end(s);
}
END_TEST

/* ---- ranges ---- */

static const struct range_row {
    const char *fields;
    const char *status;
    const char *content_range; /* NULL: none */
    const char *body;
} ranges[] = {
    { "Range: bytes=0-3", "206", "bytes 0-3/10", "0123" },
    { "Range: bytes=9-9", "206", "bytes 9-9/10", "9" },
    { "Range: bytes=4-", "206", "bytes 4-9/10", "456789" },
    { "Range: bytes=8-99", "206", "bytes 8-9/10", "89" },
    { "Range: bytes=-3", "206", "bytes 7-9/10", "789" },
    { "Range: bytes=-99", "206", "bytes 0-9/10", DIGITS },
    { "Range: bytes=0-0,20-30", "206", "bytes 0-0/10", "0" },
    { "Range: bytes=10-", "416", "bytes */10", NULL },
    { "Range: bytes=10-20,30-", "416", "bytes */10", NULL },
    { "Range: bytes=-0", "416", "bytes */10", NULL },
    { "Range: bytes=3-1", "200", NULL, DIGITS },
    { "Range: bytes=a-b", "200", NULL, DIGITS },
    { "Range: bytes=", "200", NULL, DIGITS },
    { "Range: bytes=1-2-3", "200", NULL, DIGITS },
    { "Range: lines=0-3", "200", NULL, DIGITS },
    { "Range: bytes=0-1\nRange: bytes=3-4", "200", NULL, DIGITS },
    { "Range: BYTES=0-3", "206", "bytes 0-3/10", "0123" },
    { "Range: bytes=18446744073709551616-", "416", "bytes */10", NULL },
    { "Range: bytes=0-3\nIf-Range: \"plum\"", "206", "bytes 0-3/10", "0123" },
    { "Range: bytes=0-3\nIf-Range: \"pear\"", "200", NULL, DIGITS },
    { "Range: bytes=0-3\nIf-Range: W/\"plum\"", "200", NULL, DIGITS },
    { "Range: bytes=0-3\nIf-Range: {-1000}", "206", "bytes 0-3/10", "0123" },
    { "Range: bytes=0-3\nIf-Range: {-900}", "200", NULL, DIGITS },
    { "Range: bytes=0-3\nIf-Range: {-1100}", "200", NULL, DIGITS },
    { "Range: bytes=20-\nIf-Range: \"pear\"", "200", NULL, DIGITS },
};

static void store_digits(struct scene *s)
{
    origin_answers(s, "200",
                   dated(s, "ETag: \"plum\"\nDate: {0}\nLast-Modified: {-1000}\nCache-Control: max-age=60\n"
                            "Content-Type: text/plain"),
                   DIGITS);
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "", DIGITS);
}

START_TEST(a_range_is_cut_from_the_stored_response)
{
    const struct range_row *row = &ranges[_i];
    struct scene *s = scene_begin(NULL);
    store_digits(s);
    client_asks(s, "GET /digits", dated(s, row->fields));
    const char *range = row->content_range == NULL ? "!Content-Range" : say(s, "Content-Range: %s", row->content_range);
    client_hears(s, row->status, say(s, "Cache-Status: weir; hit\n%s", range), row->body);
    client_asks(s, "HEAD /digits", dated(s, row->fields)); /* §14.2: Range is for GET only */
    client_hears(s, "200", "Cache-Status: weir; hit\nContent-Length: 10\n!Content-Range", "");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit", DIGITS);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

/* A part of these bytes with this content, up to the boundary behind it; its fields may come in any order. */
static bool has_part(struct scene *s, const char *body, const char *boundary, const char *range, const char *content)
{
    const char *part = strstr(body, say(s, "Content-Range: bytes %s\r\n", range));
    const char *blank = part == NULL ? NULL : strstr(part, "\r\n\r\n");
    const char *end = say(s, "%s\r\n--%s", content, boundary);
    return blank != NULL && strncmp(blank + 4, end, strlen(end)) == 0;
}

START_TEST(several_ranges_come_as_multipart)
{
    struct scene *s = scene_begin(NULL);
    store_digits(s);
    client_asks(s, "GET /digits", "Range: bytes=0-1, 4-5, -1");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Type: ~multipart/byteranges; boundary=\n!Content-Range",
                 NULL);
    const char *boundary = strstr(heard_field(scene_client(s), "Content-Type"), "boundary=") + strlen("boundary=");
    const char *body = scene_client(s)->response.body;
    holds(s, has_part(s, body, boundary, "0-1/10", "01"));
    holds(s, has_part(s, body, boundary, "4-5/10", "45"));
    holds(s, has_part(s, body, boundary, "9-9/10", "9"));
    holds(s, strstr(body, "Content-Type: text/plain\r\n") != NULL);
    holds(s, strstr(body, say(s, "\r\n--%s--", boundary)) != NULL);
    scene_end(s);
}
END_TEST

START_TEST(too_many_ranges_are_not_served_one_by_one)
{
    struct scene *s = scene_begin(NULL);
    store_digits(s);
    char many[4096] = "Range: bytes=0-0";
    for (int i = 0; i < 600; i++) strcat(many, ",0-0"); /* RFC 9110 §17.15 */
    client_asks(s, "GET /digits", many);
    client_hears(s, "***", "Cache-Status: weir; hit", NULL);
    holds(s, scene_client(s)->response.body_len < 2000);
    scene_end(s);
}
END_TEST

static const struct large_range_row {
    uint64_t from, len;
} large_ranges[] = { { 0, 1 }, { 16367, 3 }, { 65535, 2 }, { 1000000, 5000000 }, { 8999999, 1 }, { 0, 9000000 } };

START_TEST(a_range_crosses_chunks_unharmed)
{
    const struct large_range_row *row = &large_ranges[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = 9000000, .seed = 3);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "");
    hears_pattern(s, scene_client(s), 3, 0, 9000000);
    unsigned long long last = row->from + row->len - 1;
    client_asks(s, "GET /large", say(s, "Range: bytes=%llu-%llu", (unsigned long long)row->from, last));
    hears_head(s, scene_client(s), "206",
               say(s, "Content-Range: bytes %llu-%llu/9000000", (unsigned long long)row->from, last));
    hears_pattern(s, scene_client(s), 3, row->from, row->len);
    scene_end(s);
}
END_TEST

START_TEST(a_range_on_a_miss_fetches_the_whole)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "ETag: \"plum\"\nCache-Control: max-age=60", DIGITS);
    client_asks(s, "GET /digits", "Range: bytes=2-4");
    client_hears(s, "206", "Cache-Status: weir; fwd=uri-miss; fwd-status=200; stored\nContent-Range: bytes 2-4/10",
                 "234");
    origin_heard(s, "GET /digits", "!Range");
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "Cache-Status: weir; hit", DIGITS);
    scene_end(s);
}
END_TEST

START_TEST(ranges_of_what_may_not_be_stored_are_right_too)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: no-store", .body = DIGITS, .times = 2);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /digits", "Range: bytes=2-4");
        hears_head(s, scene_client(s), "20*", "Cache-Status: weir; fwd=*");
        bool part = scene_client(s)->response.status == 206;
        hears_content(s, scene_client(s), part ? "234" : DIGITS);
        hears_end(s, scene_client(s));
    }
    scene_end(s);
}
END_TEST

START_TEST(a_part_is_never_taken_for_the_whole)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "206", "Cache-Control: max-age=60\nContent-Range: bytes 0-3/10\nETag: \"plum\"", "0123");
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"plum\"", DIGITS);
    client_asks(s, "GET /digits", "");
    client_hears(s, "***", "",
                 NULL); /* a 206 that nobody asked for: what to make of it is open, storing it as all is not */
    client_asks(s, "GET /digits", "");
    client_hears(s, "200", "", DIGITS);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_condition_is_answered_from_the_cache, conditions),
        TEST(a_condition_on_a_miss_is_answered_here),
        TEST(a_validation_may_end_in_304_for_the_client_too),
        TEST(conditions_do_not_apply_to_errors),
        TABLE(a_range_is_cut_from_the_stored_response, ranges),
        TEST(several_ranges_come_as_multipart),
        TEST(too_many_ranges_are_not_served_one_by_one),
        TABLE(a_range_crosses_chunks_unharmed, large_ranges),
        TEST(a_range_on_a_miss_fetches_the_whole),
        TEST(ranges_of_what_may_not_be_stored_are_right_too),
        TEST(a_part_is_never_taken_for_the_whole),
    };
    return converse("conditional", tests, COUNT(tests));
}
