/* What a 304 and a HEAD do to what is stored, and what conditions of a client do (RFC 9111 §3.2, §4.3; RFC 9110 §13). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* ---- which fields a 304 updates (§3.2) */

static const struct update_row {
    const char *stored, *not_modified; /* one line each */
    const char *then;                  /* what the response has from then on */
} updates[] = {
    { "X-Frob: a", "X-Frob: b", "X-Frob: b" },
    { "X-Frob: a\nX-Frob: b", "X-Frob: c", "X-Frob: c" },
    { "X-Frob: a", "X-Frob: b\nX-Frob: c", "X-Frob: b\nX-Frob: c" },
    { "X-Frob: a", "X-Other: b", "X-Frob: a\nX-Other: b" },
    { "X-Frob: a", "x-FROB: b", "X-Frob: b" },
    { "X-Frob: a", "X-Frob:", "X-Frob:" },
    { "Content-Type: text/plain", "Content-Type: text/html", "Content-Type: text/html" },
    { "Content-Language: de", "Content-Language: en", "Content-Language: en" },
    { "Content-Location: /a", "Content-Location: /b", "Content-Location: /b" },
    { "Content-Security-Policy: a", "Content-Security-Policy: b", "Content-Security-Policy: b" },
    { "Content-Foo: a", "Content-Foo: b", "Content-Foo: b" },
    { "Clear-Site-Data: \"cache\"", "Clear-Site-Data: \"cookies\"", "Clear-Site-Data: \"cookies\"" },
    { "Public-Key-Pins: a", "Public-Key-Pins: b", "Public-Key-Pins: b" },
    { "X-Frame-Options: deny", "X-Frame-Options: sameorigin", "X-Frame-Options: sameorigin" },
    { "X-XSS-Protection: 0", "X-XSS-Protection: 1", "X-XSS-Protection: 1" },
    { "Last-Modified: {-1000}", "Last-Modified: {-1000}", "Last-Modified: {-1000}" },
    { "Expires: {5}", "Expires: {500}", "Expires: {500}" },
    { "Link: </a>", "Link: </b>", "Link: </b>" },
    { "Accept-Ranges: none", "Accept-Ranges: bytes", "Accept-Ranges: bytes" },
    { "Content-Encoding: x-a", "Content-Encoding: x-b", "Content-Encoding: x-a" },
    { "X-Frob: a", "Content-Length: 999", "Content-Length: 3" },
    { "X-Frob: a", "Content-Range: bytes 0-1/3", "!Content-Range" },
    { "X-Frob: a", "X-Hop: b\nConnection: X-Hop", "!X-Hop" },
    { "X-Frob: a", "X-Frob: b\nConnection: X-Frob", "X-Frob: a" },
    { "X-Frob: a", "Keep-Alive: timeout=5", "!Keep-Alive" },
    { "X-Frob: a", "Proxy-Authenticate: Basic", "!Proxy-Authenticate" },
    { "X-Frob: a", "Upgrade: h2c", "!Upgrade" },
    { "X-Frob: a", "Surrogate-Key: new", "!Surrogate-Key" },
    { "X-Frob: a", "Via: 1.1 far", "Via: ~1.1 far" },
};

START_TEST(each_kind_of_field_is_updated_or_kept)
{
    const struct update_row *row = &updates[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, say(s, "Cache-Control: max-age=10\nETag: \"1\"\n%s", row->stored)), "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    const char *then = dated(s, row->then), *update = dated(s, row->not_modified);
    seconds_pass(s, 15);
    origin_answers(s, "304", say(s, "Cache-Control: max-age=100\nETag: \"1\"\n%s", update), NULL);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200",
                     say(s, "%s\nCache-Control: max-age=100\nContent-Length: 3\n%s",
                         i == 0 ? "Cache-Status: weir; fwd=stale; fwd-status=304; stored" : "Cache-Status: weir; hit",
                         then),
                     "jam");
        const struct head *h = &scene_client(s)->response.head;
        holds(s, head_count(h, "X-Frob") <= 2 && head_count(h, "Cache-Control") == 1 && head_count(h, "ETag") == 1);
    }
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* ---- what a 304 selects (§4.3.4) */

static const struct selection_row {
    const char *stored, *not_modified;
    bool freshens;
    const char *why;
} selections[] = {
    { "ETag: \"1\"", "ETag: \"1\"", true, "the same strong tag" },
    { "ETag: W/\"1\"", "ETag: W/\"1\"", true, "the same weak tag" },
    { "ETag: \"1\"", "ETag: W/\"1\"", true, "a weak tag compares weakly" },
    { "ETag: \"1\"", "", true, "no validator: what was asked for" },
    { "ETag: \"1\"\nLast-Modified: {-900}", "Last-Modified: {-900}", true, "the same date" },
    { "Last-Modified: {-900}", "", true, "no validator: what was asked for" },
    { "Last-Modified: {-900}", "Last-Modified: {-900}", true, "the same date" },
    { "ETag: \"1\"", "ETag: \"2\"", false, "another strong tag" },
    { "ETag: W/\"1\"", "ETag: \"1\"", false, "a strong tag selects nothing weak" },
    { "ETag: W/\"1\"", "ETag: W/\"2\"", false, "another weak tag" },
    { "ETag: \"1\"", "ETag: \"1 \"", false, "byte for byte" },
    { "Last-Modified: {-900}", "ETag: \"1\"", false, "a strong tag that nothing has" },
    { "Last-Modified: {-900}", "Last-Modified: {-800}", false, "another date" },
};

START_TEST(a_304_freshens_what_it_selects)
{
    const struct selection_row *row = &selections[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, say(s, "Cache-Control: max-age=10\n%s", row->stored)), "old");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "old");
    const char *not_modified = dated(s, say(s, "Cache-Control: max-age=100\n%s", row->not_modified));
    seconds_pass(s, 15);
    origin_answers(s, "304", not_modified, NULL);
    if (!row->freshens) origin_answers(s, "200", "Cache-Control: max-age=100", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", row->freshens ? "old" : "new");
    if (!row->freshens) origin_heard(s, "GET /shelf", "!If-None-Match\n!If-Modified-Since");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", row->freshens ? "old" : "new");
    scene_end(s);
}
END_TEST

/* The variant that was asked about is freshened, and no other. */
START_TEST(a_304_freshens_its_own_variant)
{
    static const char *const tags[] = { "ETag: \"1\"", "ETag: W/\"1\"" };
    struct scene *s = scene_begin(NULL);
    for (int i = 0; i < 2; i++) {
        origin_answers(s, "200", say(s, "Cache-Control: max-age=10\nVary: Foo\n%s\nX-Frob: old", tags[i]),
                       i == 0 ? "strong" : "weak");
        client_asks(s, "GET /shelf", say(s, "Foo: %d", i));
        client_hears(s, "200", "", i == 0 ? "strong" : "weak");
    }
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=100\nVary: Foo\nETag: W/\"1\"\nX-Frob: new", NULL);
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304\nX-Frob: new", "weak");
    origin_heard(s, "GET /shelf", "If-None-Match: W/\"1\"\nFoo: 1");
    origin_answers(s, "304", "Cache-Control: max-age=100\nVary: Foo\nETag: \"1\"", NULL);
    client_asks(s, "GET /shelf", "Foo: 0");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304\nX-Frob: old", "strong");
    origin_heard(s, "GET /shelf", "If-None-Match: \"1\"\nFoo: 0");
    scene_end(s);
}
END_TEST

/* ---- what else follows from new fields */

static const struct follow_row {
    const char *stored, *not_modified;
    const char *gone; /* NULL: the response itself is not reused */
    const char *why;
} follows[] = {
    { "Cache-Control: max-age=10", "Cache-Control: no-store", NULL, "§5.2.2.5" },
    { "Cache-Control: max-age=10", "Cache-Control: private, max-age=100", NULL, "§5.2.2.7" },
    { "Cache-Control: max-age=10", "Cache-Control: max-age=100\nVary: *", NULL, "§4.1" },
    { "Cache-Control: max-age=10", "Cache-Control: max-age=100\nVary: Foo", NULL,
      "a Vary that did not select it says nothing of who may have it" },
    { "Cache-Control: max-age=10\nVary: Foo", "Cache-Control: max-age=100\nVary: Foo, Bar", NULL,
      "nor does a wider one" },
    { "Cache-Control: max-age=10\nVary: Foo", "Cache-Control: max-age=100\nVary: foo", "!X-None", "the same" },
    { "Cache-Control: max-age=10\nVary: Foo", "Cache-Control: max-age=100", "!X-None", "the stored one stays" },
    { "Cache-Control: max-age=10\nX-Mine: old", "Cache-Control: max-age=100, private=\"X-Mine\"", "!X-Mine",
      "what is stored leaves when it is listed" },
    { "Cache-Control: max-age=10\nX-Mine: old", "Cache-Control: max-age=100, no-cache=\"X-Mine\"\nX-Mine: new",
      "!X-Mine", "what is new does not come" },
    { "CDN-Cache-Control: max-age=10, private=\"X-Mine\"",
      "CDN-Cache-Control: max-age=100, private=\"X-Mine\"\nX-Mine: b", "!X-Mine", "nor by a targeted field" },
    { "Cache-Control: max-age=10, private=\"X-Mine\"\nExpires: {5}", "Date: {15}\nX-Mine: new", "!X-Mine",
      "nor when only the stored directive lists it" },
};

START_TEST(a_304_is_followed_in_all_it_says)
{
    const struct follow_row *row = &follows[_i];
    struct scene *s = scene_begin(NULL);
    const char *update = dated(s, row->not_modified);
    origin_answers(s, "200", dated(s, say(s, "%s\nETag: \"1\"", row->stored)), "old");
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "", "old");
    seconds_pass(s, 15);
    origin_answers(s, "304", say(s, "%s\nETag: \"1\"", update), NULL);
    client_asks(s, "GET /shelf", "Foo: 1");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "old");
    if (row->gone == NULL) origin_answers(s, "200", "Cache-Control: no-store", "new");
    client_asks(s, "GET /shelf", "Foo: 1\nBar: 2");
    if (row->gone == NULL)
        client_hears(s, "200", "Cache-Status: weir; fwd=*; fwd-status=200", "new");
    else
        client_hears(s, "200", say(s, "Cache-Status: weir; hit\n%s", row->gone), "old");
    scene_end(s);
}
END_TEST

/* The tags of the freshened response are those it has now. */
START_TEST(a_304_brings_its_own_tags)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"\nSurrogate-Key: old", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers(s, "304", "Cache-Control: max-age=100\nETag: \"1\"\nSurrogate-Key: new", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "jam");
    client_asks(s, "PURGE /", "Surrogate-Key: old");
    client_hears(s, "200", "", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    client_asks(s, "PURGE /", "Surrogate-Key: new");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10", "anew");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "anew");
    scene_end(s);
}
END_TEST

/* ---- HEAD (§4.3.5): it asks the origin only about what is stale */

static const struct head_row {
    const char *fields; /* of the 200 to HEAD, which has the length 3 unless the row says otherwise */
    const char *body;
    bool confirmed;
    const char *why;
} heads[] = {
    { "Cache-Control: max-age=100\nETag: \"1\"\nX-Frob: new", "jam", true, "all agree" },
    { "Cache-Control: max-age=100\nX-Frob: new", "jam", true, "no validator, the same length" },
    { "Cache-Control: max-age=100\nETag: \"2\"", "jam", false, "another tag" },
    { "Cache-Control: max-age=100\nETag: W/\"1\"", "jam", false, "another tag" },
    { "Cache-Control: max-age=100\nETag: \"1\"", "jelly", false, "another length" },
    { "Cache-Control: max-age=100\nETag: \"1\"\nLast-Modified: {-500}", "jam", false, "another date" },
    { "Cache-Control: no-store\nETag: \"1\"", "jam", false, "not to be stored any more" },
    { "Cache-Control: max-age=100\nETag: \"1\"\nVary: Foo", "jam", false, "another Vary" },
};

START_TEST(a_head_freshens_or_invalidates)
{
    const struct head_row *row = &heads[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, "Cache-Control: max-age=10\nETag: \"1\"\nLast-Modified: {-1000}\nX-Frob: old"),
                   "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers_as(s, .method = "HEAD", .status = "200", .fields = dated(s, row->fields), .body = row->body);
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=200; !stored; !detail", "");
    if (!row->confirmed) origin_answers(s, "200", "Cache-Control: no-store", "new");
    client_asks(s, "GET /shelf", "");
    if (row->confirmed)
        client_hears(s, "200", "Cache-Status: weir; hit; ttl=97..100\nX-Frob: new\nETag: \"1\"", "jam");
    else
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "new"); /* gone, or on its way out of the store */
    scene_end(s);
}
END_TEST

START_TEST(a_head_that_fails_changes_nothing)
{
    static const char *const failures[] = { "404", "410", "500", "304" };
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers_as(s, .method = "HEAD", .status = failures[_i], .fields = "ETag: \"2\"\nCache-Control: max-age=60");
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, failures[_i], "", "");
    origin_answers(s, "304", "Cache-Control: max-age=10\nETag: \"1\"", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "jam");
    scene_end(s);
}
END_TEST

START_TEST(a_condition_of_a_head_is_answered_on_a_miss_too)
{
    struct scene *s = scene_begin(NULL);
    const char *fields = dated(s, "Cache-Control: max-age=60\nETag: \"1\"\nLast-Modified: {-1000}");
    origin_answers_as(s, .method = "HEAD", .status = "200", .fields = fields, .body = "jam", .times = 4);
    client_asks(s, "HEAD /shelf", "If-None-Match: W/\"1\"");
    client_hears(s, "304", "Cache-Status: weir; fwd=uri-miss; fwd-status=200; !detail\nETag: \"1\"", "");
    origin_heard(s, "HEAD /shelf", "!If-None-Match");
    client_asks(s, "HEAD /shelf", dated(s, "If-Modified-Since: {-500}"));
    client_hears(s, "304", "", "");
    client_asks(s, "HEAD /shelf", "If-Match: \"2\"");
    client_hears(s, "412", "", "");
    client_asks(s, "HEAD /shelf", "If-None-Match: \"2\"");
    client_hears(s, "200", "Content-Length: 3", "");
    scene_end(s);
}
END_TEST

/* ---- If-None-Match on what is stored, more of it (RFC 9110 §13.1.2) */

static const struct tag_row {
    const char *stored, *given;
    bool match;
    const char *why;
} tags[] = {
    { "\"plum\"", "\"plum\"", true, "the same" },
    { "W/\"plum\"", "\"plum\"", true, "weakly" },
    { "W/\"plum\"", "W/\"plum\"", true, "weakly" },
    { "\"plum\"", "w/\"plum\"", false, "W/ has its case" },
    { "\"a,b\"", "\"a,b\"", true, "a comma within" },
    { "\"a,b\"", "\"a\", \"b\"", false, "a comma within" },
    { "\"a\\\"", "\"a\\\"", true, "a backslash is a byte" },
    { "\"\"", "\"\"", true, "nothing between the quotes" },
    { "\"\xe4\xf6\"", "\"\xe4\xf6\"", true, "bytes above 0x7f" },
    { "\"\xe4\xf6\"", "\"\xe4\xfc\"", false, "bytes above 0x7f" },
    { "\"a b\"", "\"a b\"", true, "not quite a tag, but the same" },
    { "plum", "plum", true, "not quite a tag, but the same" },
    { "plum", "\"plum\"", false, "never quoted for anybody" },
    { "\"plum\"", "plum", false, "never quoted for anybody" },
    { "\"plum\"", "\"pear\",\"plum\"", true, "a list without blanks" },
    { "\"plum\"", ", ,\"pear\" ,, \"plum\",", true, "a list with empty members" },
    { "\"plum\"", "\"pear\"\nIf-None-Match: W/\"fig\", \"plum\"", true, "several lines" },
    { "\"plum\"", "*", true, "anything" },
    { "", "*", true, "anything, even without a tag" },
    { "", "\"plum\"", false, "there is none" },
    { "\"*\"", "*", true, "anything" },
    { "\"plum\"", "\"*\"", false, "a tag like others" },
    { "\"plum\"", "\"pear\", *", false, "the asterisk stands alone" },
};

START_TEST(if_none_match_compares_tags)
{
    const struct tag_row *row = &tags[_i];
    struct scene *s = scene_begin(NULL);
    const char *etag = row->stored[0] == '\0' ? "" : say(s, "\nETag: %s", row->stored);
    origin_answers(s, "200", say(s, "Cache-Control: max-age=60%s", etag), "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf",
                say(s, "If-None-Match: %s\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", row->given));
    client_hears(s, row->match ? "304" : "200", "Cache-Status: weir; hit", row->match ? "" : "jam");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

/* ---- If-Modified-Since where there is no Last-Modified (§4.3.2): Date stands in for it */

static const struct since_row {
    const char *stored, *given;
    bool not_modified;
} sinces[] = {
    { "Last-Modified: {-1000}", "If-Modified-Since: {-1000}", true },
    { "Last-Modified: {-1000}", "If-Modified-Since: {-1001}", false },
    { "Last-Modified: {-1000}", "If-Modified-Since: {5000}", true },
    { "Date: {-10}", "If-Modified-Since: {-10}", true },
    { "Date: {-10}", "If-Modified-Since: {-11}", false },
    { "Last-Modified: {-1000}", "If-Modified-Since: 0", false },
    { "Last-Modified: {-1000}", "If-Modified-Since: Tuesday, 01-Jan-80 00:00:00 GMT", false },
    { "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT", "If-Modified-Since: Thu Jan  1 00:00:00 1970", true },
};

START_TEST(if_modified_since_compares_dates)
{
    const struct since_row *row = &sinces[_i];
    struct scene *s = scene_begin(NULL);
    const char *given = dated(s, row->given);
    origin_answers(s, "200", dated(s, say(s, "Cache-Control: max-age=60\n%s", row->stored)), "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf", given);
    client_hears(s, row->not_modified ? "304" : "200", "Cache-Status: weir; hit", row->not_modified ? "" : "jam");
    scene_end(s);
}
END_TEST

/* ---- what is not shared is asked for with the client's own conditions */

/* A 304 says no length, or the one that its 200 would have (RFC 9110 §8.6): never that of its own emptiness. */
START_TEST(a_304_that_passes_says_no_length_of_its_own)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store\nETag: \"1\"", "mine");
    client_asks(s, "GET /mine", "");
    client_hears(s, "200", "", "mine");
    for (int i = 0; i < 2; i++) {
        origin_answers_as(s, .raw = say(s, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n%s\r\n",
                                        i == 0 ? "" : "Content-Length: 4\r\n"));
        client_asks(s, "GET /mine", "If-None-Match: \"1\"");
        client_hears(s, "304", "!Content-Length\n!Transfer-Encoding", "");
    }
    scene_end(s);
}
END_TEST

START_TEST(conditions_pass_where_nothing_is_shared)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store\nETag: \"1\"", "mine");
    client_asks(s, "GET /mine", "");
    client_hears(s, "200", "", "mine");
    origin_answers(s, "304", "Cache-Control: no-store\nETag: \"1\"\nX-Frob: new", NULL);
    client_asks(s, "GET /mine", "If-None-Match: \"1\"");
    client_hears(s, "304", "Cache-Status: weir; fwd=uri-miss; fwd-status=304; !stored\nETag: \"1\"\nX-Frob: new", "");
    origin_heard(s, "GET /mine", "If-None-Match: \"1\"");
    origin_answers(s, "412", "", "no");
    client_sends(s, "PUT /mine", "If-Match: \"2\"", "new");
    client_hears(s, "412", "Cache-Status: weir; fwd=method; fwd-status=412", "no");
    origin_heard(s, "PUT /mine", "If-Match: \"2\"");
    scene_end(s);
}
END_TEST

START_TEST(what_a_304_says_to_one_is_for_the_one_who_caused_it)
{
    struct scene *s = scene_begin(NULL); /* §5.2.2.7, §5.2.2.4, §7.3 */
    origin_answers(s, "200", "Cache-Control: max-age=10, private=\"X-Name\"\nETag: \"a\"\nX-Name: ann\nX-All: 1",
                   "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "X-Name: ann\nX-All: 1", "jam");
    seconds_pass(s, 10);
    origin_answers(s, "304", "ETag: \"a\"\nX-Name: bob\nX-All: 2\nSet-Cookie: c=1\nSet-Cookie: d=2", "");
    client_asks(s, "GET /shelf", "");
    client_hears(
        s, "200",
        "X-Name: bob\nX-All: 2\nSet-Cookie: c=1\nSet-Cookie: d=2\nCache-Status: weir; fwd=stale; fwd-status=304",
        "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "!X-Name\n!Set-Cookie\nX-All: 2\nCache-Status: weir; hit", "jam");
    seconds_pass(s, 10);
    origin_answers(s, "304", "Cache-Control: max-age=10, no-cache=\"X-All\"\nX-All: 3\nSet-Cookie: c=2", "");
    client_asks(s, "GET /shelf", "If-None-Match: \"a\"");
    client_hears(s, "304", "X-All: 3\nSet-Cookie: c=2", "");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "!X-All\n!Set-Cookie\nCache-Status: weir; hit", "jam");
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

/* §3.5, §5.2.1.5: what such a request gets is not stored; what is stored is none the worse for it. */
START_TEST(whose_answer_is_not_stored_does_not_evict)
{
    static const char *const fields[] = { "Cache-Control: no-store", "Authorization: Basic YTpi" };
    static const char *const methods[] = { "GET", "HEAD" };
    struct scene *s = scene_begin(NULL);
    const char *request = say(s, "%s /shelf", methods[_i / 2]), *status = _i / 2 == 0 ? "304" : "200";
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"a\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 10);
    origin_answers(s, status, "Cache-Control: max-age=100\nETag: \"a\"\nX-New: 1", _i / 2 == 0 ? NULL : "jam");
    client_asks(s, request, fields[_i % 2]);
    client_hears(s, "200", say(s, "Cache-Status: weir; fwd=stale; fwd-status=%s; !stored\nX-New: 1", status), NULL);
    origin_answers(s, "304", "Cache-Control: max-age=20\nETag: \"a\"", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304; stored\n!X-New", "jam");
    origin_heard(s, "GET /shelf", "If-None-Match: \"a\"");
    scene_end(s);
}
END_TEST

/* What a HEAD confirms may have been purged meanwhile: it does not take the place of what was fetched since. */
START_TEST(a_head_does_not_bring_back_what_was_purged)
{
    struct scene *s = scene_begin(NULL);
    struct client *head = client_arrives(s);
    struct gate g = { 0 };
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers_as(s, .method = "HEAD", .status = "200", .fields = "Cache-Control: max-age=60\nETag: \"1\"",
                      .body = "jam", .hold_head = &g);
    asks(s, head, "HEAD /shelf", "");
    origin_waits_at(s, &g, 1);
    client_asks(s, "PURGE /shelf", "");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"2\"", "jelly");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", "jelly");
    gate_opens(s, &g);
    hears(s, head, "200", "ETag: \"1\"", "");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jelly");
    client_leaves(s, head);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(a_head_does_not_bring_back_what_was_purged),
        { whose_answer_is_not_stored_does_not_evict, 4 },
        TEST(what_a_304_says_to_one_is_for_the_one_who_caused_it),
        TABLE(each_kind_of_field_is_updated_or_kept, updates),
        TABLE(a_304_freshens_what_it_selects, selections),
        TEST(a_304_freshens_its_own_variant),
        TABLE(a_304_is_followed_in_all_it_says, follows),
        TEST(a_304_brings_its_own_tags),
        TABLE(a_head_freshens_or_invalidates, heads),
        { a_head_that_fails_changes_nothing, 4 },
        TEST(a_condition_of_a_head_is_answered_on_a_miss_too),
        TABLE(if_none_match_compares_tags, tags),
        TABLE(if_modified_since_compares_dates, sinces),
        TEST(conditions_pass_where_nothing_is_shared),
        TEST(a_304_that_passes_says_no_length_of_its_own),
    };
    return converse("rfc validation", tests, COUNT(tests));
}
