/* Broken origin servers and broken clients: nothing broken looks whole, is stored, or reaches the other side. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- origins that give no answer ---- */

#define PROBLEM "Content-Type: application/problem+json\nCache-Status: weir; fwd=*; detail=*; !hit; !stored"

static const struct no_answer_row {
    bool silent;
    enum ending ending;
    const char *raw;
} no_answers[] = {
    { true, CLOSE, NULL },
    { true, RESET, NULL },
    { false, CLOSE, "HTTP/1.1 200 OK\r\nContent-Le" },
    { false, CLOSE, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" },
    { false, RESET, "HTTP/1.1 200 OK\r\n" },
    { false, CLOSE, "H" },
};

START_TEST(no_answer_is_502)
{
    const struct no_answer_row *row = &no_answers[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .silent = row->silent, .raw = row->raw, .ending = row->ending);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", PROBLEM, NULL);
    client_heard_member(s, "status", "502"); /* RFC 9457 §3.1.2 */
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "jam");
    scene_end(s);
}
END_TEST

START_TEST(nobody_listening_is_502)
{
    struct scene *s = scene_begin(NULL);
    origin_goes(s);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", PROBLEM, NULL);
    client_sends(s, "POST /shelf", "", "words");
    client_hears(s, "502", "Content-Type: application/problem+json\nCache-Status: weir; fwd=method; detail=*", NULL);
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "502", "", "");
    origin_returns(s);
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    scene_end(s);
}
END_TEST

/* ---- heads that are no heads ---- */

#define OK "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

static const char *const bad_answers[] = {
    OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    OK "Content-Length: 3, 3\r\n\r\nabc",
    OK "Content-Length: 3, 4\r\n\r\nabc",
    OK "Content-Length: +3\r\n\r\nabc",
    OK "Content-Length: 3x\r\n\r\nabc",
    OK "Content-Length: -3\r\n\r\nabc",
    OK "Content-Length:\r\n\r\nabc",
    OK "Content-Length: 99999999999999999999\r\n\r\nabc",
    OK "Content-Length : 2\r\n\r\nabc",
    OK "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    OK "Transfer-Encoding: gzip\r\n\r\nabc",
    OK "Transfer-Encoding: identity\r\n\r\nabc",
    OK "Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    OK "No colon here\r\nContent-Length: 3\r\n\r\nabc",
    OK "Two words: x\r\nContent-Length: 3\r\n\r\nabc",
    OK ": no name\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 000 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "just some words",
    "\r\n\r\n\r\n",
};

START_TEST(a_bad_head_is_502)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .raw = bad_answers[_i], .ending = CLOSE);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", PROBLEM, NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "jam");
    scene_end(s);
}
END_TEST

/* Odd bytes may be refused or mended, but what a client hears is well formed (its reader takes nothing else). */
static const struct odd_row {
    const char *raw;
    size_t len;
} odd_answers[] = {
#define ODD(text)                                                                                                      \
    {                                                                                                                  \
        text, sizeof text - 1                                                                                          \
    }
    ODD(OK "X-Odd: a\rb\r\nContent-Length: 3\r\n\r\nabc"),
    ODD(OK "X-Odd: a\0b\r\nContent-Length: 3\r\n\r\nabc"),
    ODD(OK "X-Odd: a\r\n folded\r\nContent-Length: 3\r\n\r\nabc"),
    ODD(OK "X-Odd: a\x01\x02\r\nContent-Length: 3\r\n\r\nabc"),
    ODD(OK "X-Odd : blank\r\nContent-Length: 3\r\n\r\nabc"),
    ODD("HTTP/1.1 200 OK\nX-Odd: bare\nContent-Length: 3\n\nabc"),
    ODD(OK "X-Odd\xe9: name\r\nContent-Length: 3\r\n\r\nabc"),
    ODD("HTTP/1.1 200 O\x01K\r\nContent-Length: 3\r\n\r\nabc"),
    ODD("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ODD("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc"),
};

START_TEST(an_odd_head_is_refused_or_mended)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .raw = odd_answers[_i].raw, .raw_len = odd_answers[_i].len, .ending = CLOSE);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "***", "", NULL);
    int status = scene_client(s)->response.status;
    holds(s, status == 502 || (status == 200 && strcmp(scene_client(s)->response.body, "abc") == 0));
    for (size_t i = 0; i < scene_client(s)->response.head.count; i++)
        for (const char *at = scene_client(s)->response.head.lines[i].value; *at != '\0'; at++)
            holds(s, (unsigned char)*at >= ' ' || *at == '\t');
    scene_end(s);
}
END_TEST

START_TEST(a_huge_head_is_502)
{
    struct scene *s = scene_begin(NULL);
    char *raw = malloc(65536);
    size_t len = (size_t)sprintf(raw, OK);
    for (int i = 0; i < 400; i++) len += (size_t)sprintf(raw + len, "X-Field-%d: %080d\r\n", i, i);
    sprintf(raw + len, "Content-Length: 0\r\n\r\n");
    origin_answers_as(s, .raw = raw, .ending = CLOSE);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", PROBLEM, NULL);
    scene_end(s);
    free(raw);
}
END_TEST

START_TEST(chunked_wins_over_a_length)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .raw = OK "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                      .ending = CLOSE);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "***", "", NULL);
    int status = scene_client(s)->response.status; /* RFC 9112 §6.3: an error, or without the length */
    holds(s, status == 502 || (status == 200 && strcmp(scene_client(s)->response.body, "abc") == 0));
    scene_end(s);
}
END_TEST

START_TEST(what_follows_an_answer_belongs_to_nobody)
{
    struct scene *s = scene_begin("--workers 1");
    origin_answers_as(s, .raw = OK "Content-Length: 3\r\n\r\nabc" OK "Content-Length: 4\r\n\r\nevil");
    client_asks(s, "GET /first", "");
    client_hears(s, "200", "", "abc");
    origin_answers(s, "200", "", "good");
    client_asks(s, "GET /second", "");
    client_hears(s, "200", "", "good");
    scene_end(s);
}
END_TEST

START_TEST(a_dribbling_origin_is_heard_to_the_end)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60\nETag: \"1\"", .body = "drop by drop",
                      .framing = CHUNKED, .dribble = true);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "drop by drop");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nETag: \"1\"", "drop by drop");
    scene_end(s);
}
END_TEST

/* ---- truncation ---- */

#define CHUNKS OK "Transfer-Encoding: chunked\r\n\r\n"

static const struct truncated_row {
    const char *raw; /* NULL: a pattern of 3000000 bytes, cut at cut_after */
    uint64_t cut_after;
    enum framing framing;
    enum ending ending;
} truncations[] = {
    { OK "Content-Length: 10\r\n\r\nabc", 0, 0, CLOSE },
    { OK "Content-Length: 10\r\n\r\n", 0, 0, CLOSE },
    { OK "Content-Length: 10\r\n\r\nabcdefghi", 0, 0, RESET },
    { CHUNKS, 0, 0, CLOSE },
    { CHUNKS "3", 0, 0, CLOSE },
    { CHUNKS "3\r\nab", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\n", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\n0\r\n", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\n", 0, 0, RESET },
    { CHUNKS "3\r\nabcd\r\n0\r\n\r\n", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\nzz\r\n", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\n-1\r\n", 0, 0, CLOSE },
    { CHUNKS "3\r\nabc\r\nfffffffffffffffff\r\n", 0, 0, CLOSE },
    { NULL, 1, BY_LENGTH, CUT },
    { NULL, 2999999, BY_LENGTH, CUT },
    { NULL, 2999999, CHUNKED, CUT },
    { NULL, 3000000, CHUNKED, CUT },
    { NULL, 1000000, BY_LENGTH, RESET },
    { NULL, 1000000, CHUNKED, RESET },
};

/* The origin broke off early enough for weir to say so. */
static void hears_end_of_problem(struct scene *s, struct client *c)
{
    const char *lacks = head_lacks(&c->response.head, PROBLEM);
    if (lacks != NULL || client_read_rest(c) != NULL) scene_fail(s, "the 502 lacks \"%s\" or is cut", lacks);
}

START_TEST(what_is_truncated_never_looks_whole)
{
    const struct truncated_row *row = &truncations[_i];
    struct scene *s = scene_begin(NULL);
    if (row->raw != NULL)
        origin_answers_as(s, .raw = row->raw, .ending = row->ending);
    else
        origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = 3000000, .seed = 1,
                          .framing = row->framing, .ending = row->ending, .cut_after = row->cut_after);
    client_asks(s, "GET /shelf", "");
    hears_head(s, scene_client(s), "***", "");
    if (scene_client(s)->response.status == 502)
        hears_end_of_problem(s, scene_client(s));
    else
        hears_break(s, scene_client(s));
    origin_answers(s, "200", "Cache-Control: max-age=60", "whole");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "whole");
    scene_end(s);
}
END_TEST

START_TEST(truncated_once_is_not_there_after_a_restart)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600", .pattern_len = 3000000, .ending = CUT,
                      .cut_after = 2000000);
    client_asks(s, "GET /shelf", "");
    hears_head(s, scene_client(s), "200", "");
    hears_break(s, scene_client(s));
    weir_stops(s);
    weir_starts(s, NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "whole");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "whole");
    scene_end(s);
}
END_TEST

/* ---- clients: what may not pass ---- */

#define HOST_LINE "Host: " HOST "\r\n"
#define GET       "GET / HTTP/1.1\r\n" HOST_LINE
#define POST      "POST / HTTP/1.1\r\n" HOST_LINE
#define SMUGGLED  "GET /smuggled HTTP/1.1\r\n" HOST_LINE "\r\n"
#define BYTES(text)                                                                                                    \
    {                                                                                                                  \
        text, sizeof text - 1                                                                                          \
    }

static const struct bytes_row {
    const char *raw;
    size_t len;
} refused[] = {
    /* framing: RFC 9112 §6.1, §6.3 */
    BYTES(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    BYTES(POST "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc"),
    BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Content-Length: +3\r\n\r\nabc"),
    BYTES(POST "Content-Length: -3\r\n\r\nabc"),
    BYTES(POST "Content-Length: 0x3\r\n\r\nabc"),
    BYTES(POST "Content-Length: 3, 3\r\n\r\nabc"),
    BYTES(POST "Content-Length: 3;x\r\n\r\nabc"),
    BYTES(POST "Content-Length: 3 3\r\n\r\nabc"),
    BYTES(POST "Content-Length:\r\n\r\nabc"),
    BYTES(POST "Content-Length: 18446744073709551617\r\n\r\nabc"),
    BYTES(POST "Content-Length: 99999999999999999999999\r\n\r\nabc"),
    BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: identity\r\n\r\nabc"),
    BYTES(POST "Transfer-Encoding: \r\n\r\nabc"),
    BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: \x0b"
               "chunked\r\n\r\n0\r\n\r\n"),
    BYTES("POST / HTTP/1.0\r\n" HOST_LINE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encod: x\r\n ing: chunked\r\n\r\n0\r\n\r\n"),
    /* field lines: RFC 9112 §5.1, §5.2 */
    BYTES(GET "X-Blank : before the colon\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost : " HOST "\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\n Host: " HOST "\r\n\r\n"),
    BYTES(POST "Content-Length : 3\r\n\r\nabc"),
    BYTES(GET "X-Folded: a\r\n b\r\n\r\n"),
    BYTES(GET "X-Folded: a\r\n\tb\r\n\r\n"),
    BYTES(GET "Foo: bar\r\n baz\r\n\r\n"),
    BYTES(GET "No colon\r\n\r\n"),
    BYTES(GET ": no name\r\n\r\n"),
    BYTES(GET "\0: nul\r\n\r\n"),
    BYTES(GET "X-Nul: a\0b\r\n\r\n"),
    BYTES(GET "X-Nul\0: ab\r\n\r\n"),
    BYTES(GET "X-Cr: a\rb\r\n\r\n"),
    BYTES(GET "X-Ctl: a\x01"
              "b\r\n\r\n"),
    BYTES(GET "X-Del: a\x7f"
              "b\r\n\r\n"),
    BYTES(GET "X-\xc3\xa9: name\r\n\r\n"),
    BYTES(GET "X Blank: name\r\n\r\n"),
    BYTES(GET "X(Paren): name\r\n\r\n"),
    BYTES("GET / HTTP/1.1\nHost: " HOST "\n\n"),
    BYTES("GET / HTTP/1.1\r\nHost: " HOST "\nX-Lf: a\r\n\r\n"),
    /* Host: RFC 9112 §3.2, RFC 9110 §7.2 */
    BYTES("GET / HTTP/1.1\r\n\r\n"),
    BYTES(GET HOST_LINE "\r\n"),
    BYTES(GET "Host: other.example\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: " HOST ":port\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    /* the request line: RFC 9112 §3 */
    BYTES("GET / HTTP/1.2\r\n" HOST_LINE "\r\n"),
    BYTES("GET / HTTP/1.9\r\n" HOST_LINE "\r\n"),
    BYTES("GET / HTTP/2.0\r\n" HOST_LINE "\r\n"),
    BYTES("GET / HTTP/1.10\r\n" HOST_LINE "\r\n"),
    BYTES("GET / http/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET / HTTP/11\r\n" HOST_LINE "\r\n"),
    BYTES("GET /\r\n" HOST_LINE "\r\n"),
    BYTES("GET /a b HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET  / HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET\t/ HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES(" GET / HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("G(T / HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("G\x01T / HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET /a\x01 HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET /a\x7f HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET /\xc3\xa9 HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET /a\0b HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET /a#b HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET a HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET * HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET ftp://" HOST "/ HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET http:///a HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET http://u:p@" HOST "/ HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET " HOST ":80 HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"),
};

/* The refusal, then the end of the connection; never an answer to what was smuggled behind. */
static void is_refused_and_closed(struct scene *s, struct client *c)
{
    is_refused(s, c);
    while (client_read_head(c) == NULL) {
        holds(s, c->response.status >= 400);
        (void)client_read_rest(c);
    }
}

START_TEST(an_ambiguous_request_is_refused)
{
    struct scene *s = scene_begin(NULL);
    struct client *c = client_arrives(s);
    char raw[1024];
    size_t len = refused[_i].len;
    memcpy(raw, refused[_i].raw, len);
    memcpy(raw + len, SMUGGLED, sizeof SMUGGLED - 1);
    says(s, c, "GET", raw, len + sizeof SMUGGLED - 1);
    is_refused_and_closed(s, c);
    origin_count_is(s, 0);
    origin_answers(s, "200", "Cache-Control: max-age=60", "well"); /* and weir is */
    client_asks(s, "GET /well", "");
    client_hears(s, "200", "", "well");
    scene_end(s);
}
END_TEST

/* Chunks that are none: the origin may have heard the head by then, but never the end of the content. */
static const char *const bad_chunks[] = {
    "0x3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n",  "-1\r\nabc\r\n0\r\n\r\n",
    "\r\nabc\r\n0\r\n\r\n",    "3 3\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",  "zz\r\nabc\r\n0\r\n\r\n",  "10000000000000003\r\nabc\r\n0\r\n\r\n",
};

START_TEST(bad_chunks_are_refused)
{
    struct scene *s = scene_begin(NULL);
    struct client *c = client_arrives(s);
    origin_answers_as(s, .status = "200", .body = "thanks", .times = ALWAYS);
    const char *raw = say(s, "%sTransfer-Encoding: chunked\r\n\r\n%s%s", POST, bad_chunks[_i], SMUGGLED);
    says(s, c, "POST", raw, strlen(raw));
    is_refused_and_closed(s, c);
    client_asks(s, "GET /next", "");
    client_hears(s, "200", "", "thanks");
    for (size_t n = 0; n < origin_count(scene_origin(s)); n++) {
        const struct heard *h = origin_heard_at(scene_origin(s), n);
        holds(s, strcmp(h->target, "/smuggled") != 0);
        holds(s, strcmp(h->method, "POST") != 0 || !h->body_complete);
    }
    scene_end(s);
}
END_TEST

/* Odd, and right all the same. */
static const struct bytes_row accepted[] = {
    BYTES("\r\nGET / HTTP/1.1\r\n" HOST_LINE "\r\n"), /* RFC 9112 §2.2 */
    BYTES("GET / HTTP/1.1\r\nhOsT:" HOST "\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: \t" HOST " \t\r\n\r\n"),
    BYTES(GET "X-Text: caf\xe9 \xc3\xa9\r\n\r\n"), /* obs-text */
    BYTES(GET "X-Tab: a\tb\r\n\r\n"),
    BYTES(GET "X-Empty:\r\n\r\n"),
    BYTES(GET "!#$%&'*+-.^_`|~: every tchar\r\n\r\n"),
    BYTES("GET http://" HOST "/ HTTP/1.1\r\nHost: other.example\r\n\r\n"), /* §3.2.2: the target wins */
    BYTES("GET /?a&a=%00;b HTTP/1.1\r\n" HOST_LINE "\r\n"),
    BYTES("GET / HTTP/1.0\r\n" HOST_LINE "\r\n"),
    BYTES(POST "Content-Length: 3\r\n\r\nabc"),
    BYTES(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: Chunked\r\n\r\n3;ext=\"val\"\r\nabc\r\n0\r\n\r\n"),
    BYTES(POST "Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\nX-Trailer: yes\r\n\r\n"),
};

START_TEST(an_odd_request_is_served)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "served");
    says(s, scene_client(s), "GET", accepted[_i].raw, accepted[_i].len);
    client_hears(s, "200", "", "served");
    origin_count_is(s, 1);
    if (accepted[_i].raw[0] == 'P') origin_heard_content(s, "abc");
    scene_end(s);
}
END_TEST

static const struct {
    const char *before; /* so many times an a, and after */
    size_t len;
    const char *after;
} too_much[] = {
    { "GET /", 100000, " HTTP/1.1\r\nHost: x\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 100000, "\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 20000, "\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: x\r\n", 100000, ": long\r\n\r\n" },
};

START_TEST(too_much_is_refused)
{
    struct scene *s = scene_begin(NULL);
    struct client *c = client_arrives(s);
    char *as = malloc(too_much[_i].len + 1);
    memset(as, 'a', too_much[_i].len);
    as[too_much[_i].len] = '\0';
    const char *raw = say(s, "%s%s%s", too_much[_i].before, as, too_much[_i].after);
    (void)client_send(c, raw, strlen(raw)); /* weir need not read it all */
    const char *wrong = client_read_head(c);
    holds(s, wrong != NULL || c->response.status == 414 || c->response.status == 431);
    origin_count_is(s, 0);
    scene_end(s);
    free(as);
}
END_TEST

START_TEST(many_arguments_do_not_hang)
{
    struct scene *s = scene_begin(NULL);
    char target[10000] = "GET /?a";
    for (int i = 0; i < 4000; i++) strcat(target, "&a");
    origin_answers(s, "200", "Cache-Control: max-age=60", "x");
    client_asks(s, target, "");
    client_hears(s, "200", "", "x");
    origin_heard(s, target, "");
    scene_end(s);
}
END_TEST

START_TEST(a_request_that_dribbles_is_served)
{
    struct scene *s = scene_begin(NULL);
    static const char ask[] = "GET /shelf HTTP/1.1\r\n" HOST_LINE "X-A: b\r\n\r\n";
    origin_answers(s, "200", "", "x");
    for (size_t i = 0; i < sizeof ask - 1; i++) says(s, scene_client(s), "GET", ask + i, 1);
    client_hears(s, "200", "", "x");
    origin_heard(s, "GET /shelf", "X-A: b");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(no_answer_is_502, no_answers),
        TEST(nobody_listening_is_502),
        TABLE(a_bad_head_is_502, bad_answers),
        TABLE(an_odd_head_is_refused_or_mended, odd_answers),
        TEST(a_huge_head_is_502),
        TEST(chunked_wins_over_a_length),
        TEST(what_follows_an_answer_belongs_to_nobody),
        TEST(a_dribbling_origin_is_heard_to_the_end),
        TABLE(what_is_truncated_never_looks_whole, truncations),
        TEST(truncated_once_is_not_there_after_a_restart),
        TABLE(an_ambiguous_request_is_refused, refused),
        TABLE(bad_chunks_are_refused, bad_chunks),
        TABLE(an_odd_request_is_served, accepted),
        TABLE(too_much_is_refused, too_much),
        TEST(many_arguments_do_not_hang),
        TEST(a_request_that_dribbles_is_served),
    };
    return converse("errors", tests, COUNT(tests));
}
