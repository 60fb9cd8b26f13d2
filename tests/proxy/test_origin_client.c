#include "proxy/origin.h"
#include "tests/proxy/raw_origin.h"

#include <check.h>
#include <errno.h>
#include <signal.h>

enum { CONTENT_KEPT = 4096 };

/* What a handler has been told about one fetch. */
struct heard {
    struct origin_fetch *fetch;
    char interims[256]; /* "103 Link=x;" */
    int status;
    char fields[2048]; /* "Name=value;" */
    int64_t length;
    char content[CONTENT_KEPT];
    size_t content_len; /* all of it, kept or not */
    int heads, ends;
    enum origin_result result;
    char why[300];
    /* what the handler does */
    bool pause_at_once;
    const char *upload; /* the request's content; NULL: none */
    size_t upload_len, upload_at, upload_piece;
    bool upload_parks; /* -EAGAIN before every piece */
    bool upload_parked;
    bool upload_breaks;
    bool http_1_0;
};

static void print_fields(char *to, size_t cap, struct field_section s)
{
    size_t used = strlen(to);
    for (size_t i = 0; i < s.count && used < cap; i++) {
        const struct field *f = &s.lines[i];
        used += (size_t)snprintf(to + used, cap - used, "%.*s=%.*s;", (int)f->name.len, f->name.at, (int)f->value.len,
                                 f->value.at);
    }
}

static void on_interim(void *arg, int status, struct field_section fields)
{
    struct heard *h = arg;
    size_t used = strlen(h->interims);
    snprintf(h->interims + used, sizeof(h->interims) - used, "%d ", status);
    print_fields(h->interims, sizeof(h->interims), fields);
}

static void on_head(void *arg, const struct response_head *head, int64_t length)
{
    struct heard *h = arg;
    ck_assert_int_eq(h->heads++, 0);
    ck_assert_int_eq(h->ends, 0);
    h->status = head->status;
    h->http_1_0 = head->http_1_0;
    h->length = length;
    print_fields(h->fields, sizeof(h->fields), head->fields);
    if (h->pause_at_once) origin_pause(h->fetch);
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    struct heard *h = arg;
    ck_assert_int_eq(h->heads, 1);
    ck_assert_int_eq(h->ends, 0);
    size_t room = h->content_len < CONTENT_KEPT - 1 ? CONTENT_KEPT - 1 - h->content_len : 0;
    memcpy(h->content + h->content_len, at, len < room ? len : room);
    h->content_len += len;
}

static ssize_t on_read(void *arg, uint8_t *to, size_t cap)
{
    struct heard *h = arg;
    if (h->upload_breaks && h->upload_at > 0) return -EPIPE;
    if (h->upload_parks && !h->upload_parked) {
        h->upload_parked = true;
        return -EAGAIN;
    }
    h->upload_parked = false;
    size_t len = h->upload_len - h->upload_at;
    if (len > cap) len = cap;
    if (h->upload_piece > 0 && len > h->upload_piece) len = h->upload_piece;
    memcpy(to, h->upload + h->upload_at, len);
    h->upload_at += len;
    return (ssize_t)len;
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct heard *h = arg;
    ck_assert_int_eq(h->ends++, 0);
    h->result = result;
    snprintf(h->why, sizeof(h->why), "%s", why);
}

static const struct origin_handler handler = { on_interim, on_head, on_content, on_read, on_end, NULL, NULL };

/* ---- a client, its loop and its origin */

struct stage {
    struct loop *loop;
    struct origin_client *client;
    struct raw_origin *origin;
    struct origin_server server;
    char url[64];
};

static bool by_libcurl; /* every test runs twice */

static void choose_ours(void)
{
    by_libcurl = false;
}

static void choose_libcurl(void)
{
    by_libcurl = true;
}

static void stage_loop(struct stage *s)
{
    char why[200];
    s->loop = loop_new();
    ck_assert_ptr_nonnull(s->loop);
    s->client = origin_client_new(s->loop, why, sizeof(why));
    ck_assert_msg(s->client != NULL, "%s", why);
}

static void stage_server(struct stage *s)
{
    s->server = (struct origin_server){
        .base_url = s->url,
        .authority = "origin.example",
        .path_prefix = "",
        .connect_ms = 2000,
        .first_byte_ms = 2000,
        .between_bytes_ms = 2000,
        .queue_ms = 2000,
        .connections_max = 8,
        .by_libcurl = by_libcurl,
    };
}

static void stage_open(struct stage *s, const struct raw_step *script)
{
    memset(s, 0, sizeof(*s));
    stage_loop(s);
    s->origin = raw_origin_start(script, NULL);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", raw_origin_port(s->origin));
    stage_server(s);
}

/* Everything has been said: what the origin heard can be looked at. */
static const char *stage_heard(struct stage *s)
{
    origin_client_free(s->client);
    s->client = NULL;
    raw_origin_stop(s->origin);
    return raw_origin_heard(s->origin);
}

static size_t stage_connections(struct stage *s)
{
    (void)stage_heard(s);
    return raw_origin_connections(s->origin);
}

static void stage_close(struct stage *s)
{
    origin_client_free(s->client);
    if (s->origin != NULL) raw_origin_free(s->origin);
    loop_free(s->loop);
}

static const char *const host_line[] = { "Host: origin.example" };

static struct origin_request request_for(struct stage *s, const char *method, const char *target)
{
    return (struct origin_request){
        .server = &s->server,
        .method = view_of_str(method),
        .target = view_of_str(target),
        .lines = host_line,
        .line_count = 1,
        .content_length = -1,
        .may_resend = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0,
        .expects_no_content = strcmp(method, "HEAD") == 0,
    };
}

static void begin(struct stage *s, struct heard *h, const struct origin_request *r)
{
    h->fetch = origin_fetch(s->client, r, &handler, h);
    ck_assert_ptr_nonnull(h->fetch);
    ck_assert_int_eq(h->ends, 0);
}

static void run_until(struct stage *s, const int *done)
{
    while (*done == 0) loop_turn(s->loop);
}

static void fetch(struct stage *s, struct heard *h, const struct origin_request *r)
{
    begin(s, h, r);
    run_until(s, &h->ends);
}

static void get(struct stage *s, struct heard *h, const char *method)
{
    struct origin_request r = request_for(s, method, "/");
    fetch(s, h, &r);
}

/* ---- what the origin server says, to the byte */

struct answer_case {
    const char *method;
    const char *answer; /* then the connection closes */
    enum origin_result result;
    int status;     /* 0: no head was handed over */
    int64_t length; /* content_length */
    const char *content;
    size_t len; /* of answer, 0: strlen */
};

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
static const struct answer_case answers[] = {
    /* complete */
    { "GET", OK "Content-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", OK "Content-Length: 0\r\n\r\n", ORIGIN_COMPLETE, 200, 0, "", 0 },
    { "GET", OK "\r\nuntil close", ORIGIN_COMPLETE, 200, -1, "until close", 0 },
    { "GET", OK "\r\n", ORIGIN_COMPLETE, 200, -1, "", 0 },
    { "GET", "HTTP/1.0 200 OK\r\n\r\nold", ORIGIN_COMPLETE, 200, -1, "old", 0 },
    { "GET", "HTTP/1.1 200 OK\nContent-Length: 3\n\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", CHUNKED "3\r\njam\r\n0\r\n\r\n", ORIGIN_COMPLETE, 200, -1, "jam", 0 },
    { "GET", CHUNKED "1\r\nj\r\n2;x=y\r\nam\r\n000\r\nTrailer: x\r\nSet-Cookie: a\r\n\r\n", ORIGIN_COMPLETE, 200, -1,
      "jam", 0 },
    { "GET", OK "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\njam\r\n0\r\n\r\n", ORIGIN_COMPLETE, 200,
      -1, "jam", 0 },
    { "GET", OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", OK "Content-Length: 3\r\n\r\njam and more", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", OK "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ORIGIN_COMPLETE, 302,
      0, "", 0 },
    { "GET", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", ORIGIN_COMPLETE, 401, 0,
      "", 0 },
    { "GET", "HTTP/1.1 503 Later\r\nContent-Length: 2\r\n\r\nno", ORIGIN_COMPLETE, 503, 2, "no", 0 },
    { "HEAD", OK "Content-Length: 3\r\n\r\n", ORIGIN_COMPLETE, 200, 3, "", 0 },
    { "HEAD", OK "Content-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "", 0 },
    { "HEAD", OK "Transfer-Encoding: chunked\r\n\r\n", ORIGIN_COMPLETE, 200, -1, "", 0 },
    { "GET", "HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n", ORIGIN_COMPLETE, 304, 3, "", 0 },
    { "GET", "HTTP/1.1 204 None\r\n\r\n", ORIGIN_COMPLETE, 204, 0, "", 0 },
    { "DELETE", OK "Content-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", "HTTP/1.1 103 E\r\nLink: x\r\n\r\n" OK "Content-Length: 3\r\n\r\njam", ORIGIN_COMPLETE, 200, 3, "jam", 0 },
    { "GET", CHUNKED "3\r\njam\r\n0\r\n\r", ORIGIN_COMPLETE, 200, -1, "jam", 0 }, /* the last LF says nothing new */
    /* the head is cut */
    { "GET", "", ORIGIN_CLOSED, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Le", ORIGIN_CLOSED, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", ORIGIN_CLOSED, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r", ORIGIN_CLOSED, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 103 E\r\nLink: x\r\n\r\n", ORIGIN_CLOSED, 0, 0, "", 0 },
    /* the content is cut */
    { "GET", OK "Content-Length: 4\r\n\r\njam", ORIGIN_CUT, 200, 4, "jam", 0 },
    { "GET", OK "Content-Length: 4\r\n\r\n", ORIGIN_CUT, 200, 4, "", 0 },
    { "GET", CHUNKED "3\r\njam\r\n", ORIGIN_CUT, 200, -1, "jam", 0 },
    { "GET", CHUNKED "3\r\nja", ORIGIN_CUT, 200, -1, "ja", 0 },
    { "GET", CHUNKED "3\r\njam\r\n0\r\n", ORIGIN_CUT, 200, -1, "jam", 0 },
    { "GET", CHUNKED "3\r\njam\r\n0\r\nTrailer: x\r\n", ORIGIN_CUT, 200, -1, "jam", 0 },
    { "GET", CHUNKED "x\r\njam\r\n0\r\n\r\n", ORIGIN_CUT, 200, -1, "", 0 },
    { "GET", CHUNKED "3\r\njamX\r\n0\r\n\r\n", ORIGIN_CUT, 200, -1, "jam", 0 },
    { "GET", CHUNKED "ffffffffffffffffff\r\njam", ORIGIN_CUT, 200, -1, "", 0 },
    { "GET", CHUNKED "-3\r\njam\r\n0\r\n\r\n", ORIGIN_CUT, 200, -1, "", 0 },
    /* not HTTP, or HTTP of a kind that weir refuses */
    { "GET", "jam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "SSH-2.0-OpenSSH_9.2\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/1.2 200 OK\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/2 200 \r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 600 OK\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: 3, 3\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: +3\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: 3x\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: -3\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: \r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length : 3\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: 99999999999999999999\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Content-Length: 1\r\n 2\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Transfer-Encoding: identity\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Transfer-Encoding: odd\r\n\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "A: x\ry\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "A: x\0y\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 27 },
    { "GET", OK "A b: x\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK "no colon\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", OK ": x\r\n\r\n", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
    { "GET", "HTTP/1.1 103 E\r\nContent-Length: 3\r\n\r\n" OK "\r\njam", ORIGIN_BAD_RESPONSE, 0, 0, "", 0 },
};

static void check_answer(const struct answer_case *c, enum raw_verb say)
{
    struct raw_step script[] = { { HEAR, NULL, 0 }, { say, c->answer, c->len }, { CLOSE, NULL, 0 }, { END, NULL, 0 } };
    if (c->answer[0] == '\0') script[1] = script[2];
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    get(&s, &h, c->method);
    ck_assert_msg(h.result == c->result, "%s\ngot %s (%s), wanted %s", c->answer, origin_result_name(h.result), h.why,
                  origin_result_name(c->result));
    ck_assert_msg(h.status == c->status, "%s\nstatus %d", c->answer, h.status);
    ck_assert_int_eq(h.heads, c->status != 0);
    ck_assert_int_eq(h.length, c->length);
    ck_assert_int_eq(h.http_1_0, c->status != 0 && strncmp(c->answer, "HTTP/1.0", 8) == 0);
    ck_assert_str_eq(h.content, c->content);
    ck_assert_ptr_null(strstr(h.fields, "Trailer"));
    ck_assert_int_eq(h.why[0] == '\0', false);
    stage_close(&s);
}

START_TEST(an_answer_is_judged)
{
    check_answer(&answers[_i], SAY);
}
END_TEST

START_TEST(an_answer_in_single_bytes_is_judged_the_same)
{
    check_answer(&answers[_i], SAY_SLOWLY);
}
END_TEST

START_TEST(a_head_that_is_too_large_is_refused)
{
    static char answer[200 * 1024];
    static const int sizes[] = { ORIGIN_REPLY_HEAD_MAX - 200, ORIGIN_REPLY_HEAD_MAX + 1, 90 * 1024, 150 * 1024 };
    int value = sizes[_i];
    memset(answer, 'v', sizeof(answer));
    memcpy(answer, OK "A: ", sizeof(OK "A: ") - 1);
    strcpy(answer + value, "\r\nContent-Length: 0\r\n\r\n");
    struct answer_case c = { "GET", answer, ORIGIN_COMPLETE, 200, 0, "", 0 };
    if (value > ORIGIN_REPLY_HEAD_MAX) c = (struct answer_case){ "GET", answer, ORIGIN_BAD_RESPONSE, 0, 0, "", 0 };
    check_answer(&c, SAY);
}
END_TEST

START_TEST(interim_responses_are_handed_over)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n", 0 },
                                       { SAY, "HTTP/1.1 102 P\r\n\r\n" OK "A: b\r\nContent-Length: 3\r\n\r\njam", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    get(&s, &h, "GET");
    ck_assert_int_eq(h.result, ORIGIN_COMPLETE);
    ck_assert_str_eq(h.interims, "103 Link=a;102 ");
    ck_assert_str_eq(h.fields, "A=b;Content-Length=3;");
    stage_close(&s);
}
END_TEST

START_TEST(interim_responses_without_end_are_refused)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY_MUCH, "HTTP/1.1 100 Go on\r\n\r\n", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    get(&s, &h, "GET");
    ck_assert_int_eq(h.result, ORIGIN_BAD_RESPONSE);
    stage_close(&s);
}
END_TEST

/* ---- what the origin server hears */

struct request_case {
    const char *method, *target;
    const char *lines[4];
    const char *content; /* NULL: none */
    int64_t content_length;
    const char *want;
};

#define HOST "Host: origin.example"
static const struct request_case requests[] = {
    { "GET", "/a/../b//c?d=%41|{}\"", { HOST }, NULL, -1, "GET /a/../b//c?d=%41|{}\" HTTP/1.1\r\n" HOST "\r\n\r\n" },
    { "GET",
      "/",
      { HOST, "Accept: text/html", "X-Empty;", "accept-encoding: br" },
      NULL,
      -1,
      "GET / HTTP/1.1\r\n" HOST "\r\nAccept: text/html\r\nX-Empty:\r\naccept-encoding: br\r\n\r\n" },
    { "GET", "/", { HOST, "Accept;" }, NULL, -1, "GET / HTTP/1.1\r\n" HOST "\r\nAccept:\r\n\r\n" },
    { "GET",
      "/",
      { HOST, "User-Agent: x y", "Range: bytes=0-1", "Cookie: a=b; c" },
      NULL,
      -1,
      "GET / HTTP/1.1\r\n" HOST "\r\nUser-Agent: x y\r\nRange: bytes=0-1\r\nCookie: a=b; c\r\n\r\n" },
    { "HEAD", "/", { HOST }, NULL, -1, "HEAD / HTTP/1.1\r\n" HOST "\r\n\r\n" },
    { "OPTIONS", "*", { HOST }, NULL, -1, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n\r\n" },
    { "DELETE", "/x", { HOST }, NULL, -1, "DELETE /x HTTP/1.1\r\n" HOST "\r\n\r\n" },
    { "M-SEARCH", "/x", { HOST }, NULL, -1, "M-SEARCH /x HTTP/1.1\r\n" HOST "\r\n\r\n" },
    { "POST", "/", { HOST }, NULL, -1, "POST / HTTP/1.1\r\n" HOST "\r\nContent-Length: 0\r\n\r\n" },
    { "PUT",
      "/",
      { HOST, "Content-Type: a/b" },
      "jam",
      3,
      "PUT / HTTP/1.1\r\n" HOST "\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\njam" },
    { "POST", "/", { HOST }, "", 0, "POST / HTTP/1.1\r\n" HOST "\r\nContent-Length: 0\r\n\r\n" },
    { "POST",
      "/",
      { HOST },
      "jam",
      -1,
      "POST / HTTP/1.1\r\n" HOST "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\njam\r\n0\r\n\r\n" },
    { "GET", "/", { HOST }, "jam", 3, "GET / HTTP/1.1\r\n" HOST "\r\nContent-Length: 3\r\n\r\njam" },
    { "QUERY", "/", { HOST }, "jam", 3, "QUERY / HTTP/1.1\r\n" HOST "\r\nContent-Length: 3\r\n\r\njam" },
};

static const char *after_head(const char *text)
{
    return strstr(text, "\r\n\r\n") + 4;
}

static void check_request(struct stage *s, struct heard *h, const struct request_case *c)
{
    struct origin_request r = request_for(s, c->method, c->target);
    r.lines = c->lines;
    for (r.line_count = 0; r.line_count < 4 && c->lines[r.line_count] != NULL;) r.line_count++;
    r.has_content = c->content != NULL;
    r.content_length = c->content_length;
    h->upload = c->content;
    h->upload_len = c->content != NULL ? strlen(c->content) : 0;
    fetch(s, h, &r);
    ck_assert_msg(h->result == ORIGIN_COMPLETE, "%s: %s", c->want, h->why);
}

/* What is behind the head is heard to its length, so that the order of what is sent does not matter. */
static void script_request(struct raw_step *at, const struct request_case *c)
{
    const char *content = after_head(c->want);
    at[0] = (struct raw_step){ HEAR, NULL, 0 };
    at[1] = (struct raw_step){ content[0] != '\0' ? HEAR_CONTENT : SAY, content, 0 };
    at[2] = (struct raw_step){ SAY, OK "Content-Length: 0\r\n\r\n", 0 };
}

START_TEST(a_request_goes_out_as_given)
{
    struct raw_step script[4] = { { END, NULL, 0 } };
    script_request(script, &requests[_i]);
    script[3] = (struct raw_step){ END, NULL, 0 };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    check_request(&s, &h, &requests[_i]);
    ck_assert_str_eq(stage_heard(&s), requests[_i].want);
    stage_close(&s);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* All of them, one after the other, on one connection and with one handle: no request may leave a trace in the next. */
START_TEST(a_connection_serves_every_kind_of_request)
{
    enum { ROUNDS = 2, N = ROUNDS * (int)(sizeof(requests) / sizeof(requests[0])) };
    struct raw_step script[N * 3 + 1];
    static char want[HEARD_MAX];
    struct stage s;
    size_t used = 0;
    for (int i = 0; i < N; i++) {
        const struct request_case *c = &requests[i * 5 % COUNT(requests)]; /* in another order than the table's */
        script_request(&script[i * 3], c);
        used += (size_t)sprintf(want + used, "%s", c->want);
    }
    script[N * 3] = (struct raw_step){ END, NULL, 0 };
    stage_open(&s, script);
    for (int i = 0; i < N; i++) {
        struct heard h = { .status = 0 };
        check_request(&s, &h, &requests[i * 5 % COUNT(requests)]);
    }
    struct origin_stats stats;
    origin_stats(s.client, &stats);
    ck_assert_str_eq(stage_heard(&s), want);
    ck_assert_uint_eq(stats.fetches, N);
    ck_assert_uint_eq(stats.connections_new, 1);
    ck_assert_uint_eq(stats.reused, N - 1);
    ck_assert_uint_eq(stats.active + stats.queued, 0);
    stage_close(&s);
}
END_TEST

START_TEST(the_environment_does_not_choose_a_proxy)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 0\r\n\r\n", 0 },
                                       { END, NULL, 0 } };
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    get(&s, &h, "GET");
    ck_assert_int_eq(h.result, ORIGIN_COMPLETE);
    stage_close(&s);
}
END_TEST

START_TEST(what_follows_an_answer_never_answers_the_next_request)
{
    static const struct answer_case excess[] = {
        { "GET", OK "Content-Length: 3\r\n\r\njamHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ORIGIN_COMPLETE,
          200, 3, "jam", 0 },
        { "HEAD", OK "Content-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ORIGIN_COMPLETE, 200,
          50, "", 0 },
        { "GET", "HTTP/1.1 204 N\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ORIGIN_COMPLETE, 204, 0, "",
          0 },
        { "GET", "HTTP/1.1 304 S\r\nContent-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
          ORIGIN_COMPLETE, 304, 4, "", 0 },
        { "GET", CHUNKED "3\r\njam\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ORIGIN_COMPLETE, 200,
          -1, "jam", 0 },
    };
    const struct answer_case *c = &excess[_i];
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, c->answer, 0 },
                                       { HEAR, NULL, 0 }, /* that this is an end of file is what we hope for */
                                       { CLOSE, NULL, 0 },
                                       { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 4\r\n\r\ngood", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard first = { .status = 0 }, second = { .status = 0 };
    stage_open(&s, script);
    get(&s, &first, c->method);
    ck_assert_int_eq(first.status, c->status);
    ck_assert_str_eq(first.content, c->content);
    get(&s, &second, "GET");
    ck_assert_str_eq(second.content, "good");
    stage_close(&s);
}
END_TEST

START_TEST(a_204_that_announces_content_ends_its_connection)
{
    static const char *const announcing[] = { "HTTP/1.1 204 N\r\nContent-Length: 4\r\n\r\n",
                                              "HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n" };
    const struct raw_step script[] = {
        { HEAR, NULL, 0 },  { SAY, announcing[_i], 0 }, { HEAR, NULL, 0 }, /* the end of the connection */
        { CLOSE, NULL, 0 }, { HEAR, NULL, 0 },          { SAY, OK "Content-Length: 4\r\n\r\ngood", 0 },
        { END, NULL, 0 }
    };
    struct stage s;
    struct heard first = { .status = 0 }, second = { .status = 0 };
    struct origin_stats stats;
    stage_open(&s, script);
    get(&s, &first, "GET");
    ck_assert_int_eq(first.result, ORIGIN_COMPLETE);
    ck_assert_int_eq(first.status, 204);
    get(&s, &second, "GET");
    ck_assert_str_eq(second.content, "good");
    origin_stats(s.client, &stats);
    ck_assert_uint_eq(stats.reused, 0);
    stage_close(&s);
}
END_TEST

/* ---- connections that die */

static const struct raw_step dies_when_reused[] = {
    { HEAR, NULL, 0 }, { SAY, OK "Content-Length: 0\r\n\r\n", 0 },    { HEAR, NULL, 0 }, { CLOSE, NULL, 0 },
    { HEAR, NULL, 0 }, { SAY, OK "Content-Length: 3\r\n\r\njam", 0 }, { END, NULL, 0 },
};

START_TEST(a_safe_request_is_repeated_on_a_fresh_connection)
{
    struct stage s;
    struct heard first = { .status = 0 }, second = { .status = 0 };
    stage_open(&s, dies_when_reused);
    get(&s, &first, "GET");
    get(&s, &second, "GET");
    ck_assert_int_eq(second.result, ORIGIN_COMPLETE);
    ck_assert_str_eq(second.content, "jam");
    ck_assert_uint_eq(stage_connections(&s), 2);
    stage_close(&s);
}
END_TEST

/* DELETE, POST, and PUT with content: the origin server heard each of them once. */
START_TEST(an_unsafe_request_is_sent_once)
{
    static const char *const methods[] = { "DELETE", "POST", "PUT" };
    struct raw_step script[COUNT(dies_when_reused)];
    memcpy(script, dies_when_reused, sizeof(script));
    struct stage s;
    struct heard first = { .status = 0 }, second = { .upload = "jam", .upload_len = 3 };
    stage_open(&s, script);
    get(&s, &first, "GET");
    struct origin_request r = request_for(&s, methods[_i], "/only-once");
    r.has_content = strcmp(methods[_i], "PUT") == 0;
    r.content_length = 3;
    fetch(&s, &second, &r);
    ck_assert_int_eq(second.result, ORIGIN_CLOSED);
    ck_assert_int_eq(second.heads, 0);
    char once[64];
    snprintf(once, sizeof(once), "%s /only-once ", methods[_i]);
    const char *sent = strstr(stage_heard(&s), once);
    ck_assert_ptr_nonnull(sent);
    ck_assert_ptr_null(strstr(sent + 1, once));
    stage_close(&s);
}
END_TEST

struct break_case {
    struct raw_step script[5];
    enum origin_result result;
};

static const struct break_case breaks[] = {
    { { { HEAR, NULL, 0 }, { CLOSE, NULL, 0 }, { END, NULL, 0 } }, ORIGIN_CLOSED },
    { { { HEAR, NULL, 0 }, { RESET, NULL, 0 }, { END, NULL, 0 } }, ORIGIN_CLOSED },
    { { { HEAR, NULL, 0 }, { SAY, "HTTP/1.1 2", 0 }, { RESET, NULL, 0 }, { END, NULL, 0 } }, ORIGIN_CLOSED },
    { { { HEAR, NULL, 0 }, { SAY, OK "\r\njam", 0 }, { AWAIT_GO, NULL, 0 }, { RESET, NULL, 0 }, { END, NULL, 0 } },
      ORIGIN_CUT }, /* until close, but not a clean one */
    { { { HEAR, NULL, 0 },
        { SAY, OK "Content-Length: 9\r\n\r\njam", 0 },
        { AWAIT_GO, NULL, 0 },
        { RESET, NULL, 0 },
        { END, NULL, 0 } },
      ORIGIN_CUT },
};

START_TEST(a_broken_connection_is_noticed)
{
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, breaks[_i].script);
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    if (breaks[_i].result == ORIGIN_CUT) {
        while (h.content_len < 3) loop_turn(s.loop);
        raw_origin_go(s.origin);
    }
    run_until(&s, &h.ends);
    ck_assert_msg(h.result == breaks[_i].result, "%s", h.why);
    stage_close(&s);
}
END_TEST

/* The second fetch must not wait for the connection that the first one ended. */
START_TEST(a_connection_closed_by_the_origin_is_not_used_again)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Connection: close\r\nContent-Length: 1\r\n\r\n1", 0 },
                                       { CLOSE, NULL, 0 },
                                       { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 1\r\n\r\n2", 0 },
                                       { AWAIT_GO, NULL, 0 },
                                       { CLOSE, NULL, 0 },
                                       { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 1\r\n\r\n3", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h[3] = { { .status = 0 } };
    stage_open(&s, script);
    for (int i = 0; i < 3; i++) {
        if (i == 2) raw_origin_go(s.origin);
        struct origin_request r = request_for(&s, "POST", "/");
        if (i == 2) r.may_resend = true; /* the end of the kept connection may or may not have been seen */
        fetch(&s, &h[i], &r);
        ck_assert_msg(h[i].result == ORIGIN_COMPLETE, "%d: %s", i, h[i].why);
        ck_assert_int_eq(h[i].content[0], '1' + i);
    }
    ck_assert_uint_eq(stage_connections(&s), 3);
    stage_close(&s);
}
END_TEST

/* After a reload other settings may stand where the old ones stood. */
START_TEST(a_server_is_known_by_what_it_says)
{
    const struct raw_step says_1[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 1\r\n\r\n1", 0 },
                                       { END, NULL, 0 } };
    const struct raw_step says_2[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 1\r\n\r\n2", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard first = { .status = 0 }, second = { .status = 0 };
    stage_open(&s, says_1);
    struct raw_origin *other = raw_origin_start(says_2, NULL);
    get(&s, &first, "GET");
    snprintf(s.url, sizeof(s.url), "http://127.0.0.1:%d", raw_origin_port(other));
    get(&s, &second, "GET");
    ck_assert_str_eq(first.content, "1");
    ck_assert_str_eq(second.content, "2");
    stage_close(&s);
    raw_origin_free(other);
}
END_TEST

START_TEST(nobody_listens)
{
    static const struct raw_step nothing[] = { { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, nothing);
    raw_origin_free(s.origin);
    s.origin = NULL;
    get(&s, &h, "GET");
    ck_assert_msg(h.result == ORIGIN_UNREACHABLE, "%s", h.why);
    stage_close(&s);
}
END_TEST

START_TEST(a_unix_socket_is_an_origin)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 3\r\n\r\njam", 0 },
                                       { END, NULL, 0 } };
    char dir[] = "/tmp/weir-test-XXXXXX", path[64], url[80], why[200];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(url, sizeof(url), "unix:%s", path);
    struct stage s = { .loop = NULL };
    struct heard h = { .status = 0 }, after = { .status = 0 };
    stage_loop(&s);
    s.origin = raw_origin_start(script, path);
    ck_assert_msg(origin_server_parse(url, &s.server, why, sizeof(why)), "%s", why);
    s.server.by_libcurl = by_libcurl;
    get(&s, &h, "GET");
    ck_assert_msg(h.result == ORIGIN_COMPLETE, "%s", h.why);
    ck_assert_str_eq(h.content, "jam");
    origin_client_free(s.client);
    raw_origin_free(s.origin);
    unlink(path);
    rmdir(dir);
    s.origin = NULL;
    s.client = origin_client_new(s.loop, why, sizeof(why));
    get(&s, &after, "GET");
    ck_assert_int_eq(after.result, ORIGIN_UNREACHABLE);
    stage_close(&s);
    origin_server_release(&s.server);
}
END_TEST

START_TEST(a_plain_origin_is_no_https_origin)
{
    const struct raw_step script[] = { { SAY, OK "Content-Length: 0\r\n\r\n", 0 },
                                       { HEAR, NULL, 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, script);
    snprintf(s.url, sizeof(s.url), "https://127.0.0.1:%d", raw_origin_port(s.origin));
    get(&s, &h, "GET");
    ck_assert_msg(h.result == ORIGIN_TLS, "%s", h.why);
    stage_close(&s);
}
END_TEST

START_TEST(a_name_that_does_not_resolve_stalls_nothing)
{
    static const struct raw_step nothing[] = { { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, nothing);
    snprintf(s.url, sizeof(s.url), "http://weir-test.invalid");
    s.server.connect_ms = 300;
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    int64_t started = loop_now_ms(s.loop);
    run_until(&s, &h.ends);
    ck_assert_int_lt(loop_now_ms(s.loop) - started, 1000);
    ck_assert(h.result == ORIGIN_UNREACHABLE || h.result == ORIGIN_TIMED_OUT);
    stage_close(&s);
}
END_TEST

/* ---- time */

struct late_case {
    struct raw_step script[4];
    int64_t connect_ms, first_byte_ms, between_bytes_ms, total_ms;
    int heads;
    const char *why;
};

#define BYTES_64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BYTES_512 BYTES_64 BYTES_64 BYTES_64 BYTES_64 BYTES_64 BYTES_64 BYTES_64 BYTES_64
#define LONG_TEXT BYTES_512 BYTES_512 BYTES_512 BYTES_512

static const struct late_case lates[] = {
    { { { HEAR, NULL, 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } }, 2000, 40, 2000, 0, 0, "no response in time" },
    { { { HEAR, NULL, 0 }, { SAY, "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200", 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } },
      2000,
      40,
      2000,
      0,
      0,
      "no response in time" },
    { { { HEAR, NULL, 0 }, { SAY, OK "\r\njam", 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } },
      2000,
      2000,
      40,
      0,
      1,
      "the content stopped coming" },
    { { { HEAR, NULL, 0 }, { SAY, CHUNKED "3\r\njam\r\n", 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } },
      40,
      2000,
      60,
      0,
      1,
      "the content stopped coming" },
    { { { HEAR, NULL, 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } },
      2000,
      2000,
      2000,
      40,
      0,
      "took longer than a fetch may" },
    { { { HEAR, NULL, 0 }, { SAY, OK "\r\n", 0 }, { SAY_SLOWLY, LONG_TEXT, 0 }, { END, NULL, 0 } },
      2000,
      2000,
      2000,
      40,
      1,
      "took longer than a fetch may" },
};

START_TEST(an_origin_may_be_too_late)
{
    const struct late_case *c = &lates[_i];
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, c->script);
    s.server.connect_ms = c->connect_ms;
    s.server.first_byte_ms = c->first_byte_ms;
    s.server.between_bytes_ms = c->between_bytes_ms;
    s.server.total_ms = c->total_ms;
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    int64_t started = loop_now_ms(s.loop);
    run_until(&s, &h.ends);
    ck_assert_int_eq(h.result, ORIGIN_TIMED_OUT);
    ck_assert_str_eq(h.why, c->why);
    ck_assert_int_eq(h.heads, c->heads);
    ck_assert_int_ge(loop_now_ms(s.loop) - started, 40);
    ck_assert_int_lt(loop_now_ms(s.loop) - started, 1500);
    stage_close(&s);
}
END_TEST

/* A listener whose backlog is full does not even answer the SYN. */
START_TEST(an_origin_that_does_not_connect_is_too_late)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), fillers[4];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&a, &len);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&a, sizeof(a)); /* some of them hang: that is the point */
    }
    struct stage s = { .loop = NULL };
    struct heard h = { .status = 0 };
    stage_loop(&s);
    snprintf(s.url, sizeof(s.url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    stage_server(&s);
    s.server.connect_ms = 60;
    get(&s, &h, "GET");
    ck_assert_int_eq(h.result, ORIGIN_TIMED_OUT);
    stage_close(&s);
    for (int i = 0; i < 4; i++) close(fillers[i]);
    close(listener);
}
END_TEST

/* ---- the queue */

START_TEST(fetches_wait_for_a_connection_in_order)
{
    const struct raw_step script[] = {
        { HEAR, NULL, 0 }, { SAY, OK "Content-Length: 1\r\n\r\n1", 0 },
        { HEAR, NULL, 0 }, { SAY, OK "Content-Length: 1\r\n\r\n2", 0 },
        { HEAR, NULL, 0 }, { SAY, OK "Content-Length: 1\r\n\r\n3", 0 },
        { END, NULL, 0 },
    };
    struct stage s;
    struct heard h[3] = { { .status = 0 } };
    struct origin_stats stats;
    stage_open(&s, script);
    s.server.connections_max = 1;
    struct origin_request r = request_for(&s, "GET", "/");
    for (int i = 0; i < 3; i++) begin(&s, &h[i], &r);
    loop_turn(s.loop);
    origin_stats(s.client, &stats);
    ck_assert_uint_eq(stats.active, 1);
    ck_assert_uint_eq(stats.queued, 2);
    for (int i = 0; i < 3; i++) {
        run_until(&s, &h[i].ends);
        ck_assert_int_eq(h[i].content[0], '1' + i);
    }
    ck_assert_uint_eq(stage_connections(&s), 1);
    stage_close(&s);
}
END_TEST

START_TEST(as_many_connections_give_way_as_others_wait)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 } };
    struct stage s;
    struct heard h[3] = { { .status = 0 } };
    stage_open(&s, script);
    s.server.connections_max = 2;
    struct origin_request r = request_for(&s, "GET", "/");
    for (int i = 0; i < 2; i++) begin(&s, &h[i], &r);
    loop_turn(s.loop);
    ck_assert(!origin_gives_way(h[0].fetch));
    begin(&s, &h[2], &r);
    loop_turn(s.loop);
    ck_assert(!origin_gives_way(h[2].fetch)); /* it has nothing to give */
    ck_assert(origin_gives_way(h[1].fetch) && origin_gives_way(h[1].fetch));
    ck_assert(!origin_gives_way(h[0].fetch)); /* one is enough */
    origin_cancel(h[1].fetch);
    run_until(&s, &h[1].ends);
    loop_turn(s.loop);
    ck_assert(!origin_gives_way(h[0].fetch)); /* nobody waits any more */
    raw_origin_go(s.origin);
    stage_close(&s);
}
END_TEST

START_TEST(waiting_for_a_connection_has_an_end)
{
    const struct raw_step script[] = {
        { HEAR, NULL, 0 }, { AWAIT_GO, NULL, 0 }, { SAY, OK "Content-Length: 1\r\n\r\n1", 0 }, { END, NULL, 0 }
    };
    struct stage s;
    struct heard first = { .status = 0 }, second = { .status = 0 };
    stage_open(&s, script);
    s.server.connections_max = 1;
    s.server.queue_ms = 40;
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &first, &r);
    begin(&s, &second, &r);
    run_until(&s, &second.ends);
    ck_assert_int_eq(second.result, ORIGIN_QUEUE_FULL);
    ck_assert_int_eq(first.ends, 0);
    raw_origin_go(s.origin);
    run_until(&s, &first.ends);
    ck_assert_int_eq(first.result, ORIGIN_COMPLETE);
    stage_close(&s);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    static const struct raw_step nothing[] = { { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .status = 0 };
    stage_open(&s, nothing);
    struct origin_request r = request_for(&s, "GET", "/");
    struct heard *all = calloc(ORIGIN_QUEUE_MAX, sizeof(*all));
    for (int i = 0; i < ORIGIN_QUEUE_MAX; i++) begin(&s, &all[i], &r);
    ck_assert_ptr_null(origin_fetch(s.client, &r, &handler, &h));
    ck_assert_int_eq(h.ends, 0);
    stage_close(&s); /* ends them all */
    for (int i = 0; i < ORIGIN_QUEUE_MAX; i++) {
        ck_assert_int_eq(all[i].ends, 1);
        ck_assert_int_eq(all[i].result, ORIGIN_CANCELLED);
    }
    free(all);
}
END_TEST

/* ---- cancelling, pausing */

START_TEST(a_fetch_is_cancelled_wherever_it_is)
{
    const struct raw_step script[] = {
        { HEAR, NULL, 0 }, { SAY, OK "\r\njam", 0 }, { AWAIT_GO, NULL, 0 }, { END, NULL, 0 }
    };
    struct stage s;
    struct heard h = { .status = 0 }, queued = { .status = 0 };
    stage_open(&s, script);
    s.server.connections_max = 1;
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    begin(&s, &queued, &r);
    for (int i = 0; i < _i && _i < 4; i++) loop_turn(s.loop); /* at once, after a turn, ... */
    while (_i == 4 && h.content_len == 0) loop_turn(s.loop);
    origin_cancel(queued.fetch);
    origin_cancel(h.fetch);
    origin_cancel(h.fetch); /* twice is once */
    ck_assert_int_eq(h.ends + queued.ends, 0);
    size_t before = h.content_len;
    loop_turn(s.loop);
    ck_assert_int_eq(h.ends, 1);
    ck_assert_int_eq(queued.ends, 1);
    ck_assert_int_eq(h.result, ORIGIN_CANCELLED);
    ck_assert_int_eq(queued.result, ORIGIN_CANCELLED);
    ck_assert_uint_eq(h.content_len, before);
    struct origin_stats stats;
    origin_stats(s.client, &stats);
    ck_assert_uint_eq(stats.active + stats.queued, 0);
    stage_close(&s);
}
END_TEST

enum { MUCH_BYTES = MUCH * 64 };

START_TEST(a_paused_fetch_holds_the_origin_back)
{
    const struct raw_step script[] = {
        { HEAR, NULL, 0 }, { SAY, OK "\r\n", 0 }, { SAY_MUCH, BYTES_64, 0 }, { END, NULL, 0 }
    };
    struct stage s;
    struct heard h = { .pause_at_once = true };
    stage_open(&s, script);
    s.server.between_bytes_ms = 20; /* does not count while we are the ones who wait */
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    run_until(&s, &h.heads);
    int64_t started = loop_now_ms(s.loop);
    while (loop_now_ms(s.loop) < started + 100) loop_turn(s.loop);
    ck_assert_uint_eq(h.content_len, 0);
    ck_assert_int_eq(h.ends, 0);
    s.server.between_bytes_ms = 2000;
    for (size_t seen = 0; h.ends == 0; seen = h.content_len) { /* on and off, all the way */
        origin_resume(h.fetch);
        ck_assert_uint_eq(h.content_len, seen); /* nothing is handed over from inside */
        loop_turn(s.loop);
        if (h.ends > 0) break;
        origin_pause(h.fetch);
        loop_turn(s.loop);
    }
    ck_assert_msg(h.result == ORIGIN_COMPLETE, "%s", h.why);
    ck_assert_uint_eq(h.content_len, MUCH_BYTES);
    stage_close(&s);
}
END_TEST

START_TEST(a_paused_fetch_can_be_cancelled)
{
    const struct raw_step script[] = {
        { HEAR, NULL, 0 }, { SAY, OK "\r\n", 0 }, { SAY_MUCH, BYTES_64, 0 }, { END, NULL, 0 }
    };
    struct stage s;
    struct heard h = { .pause_at_once = true };
    stage_open(&s, script);
    struct origin_request r = request_for(&s, "GET", "/");
    begin(&s, &h, &r);
    run_until(&s, &h.heads);
    origin_resume(h.fetch);
    origin_cancel(h.fetch);
    run_until(&s, &h.ends);
    ck_assert_int_eq(h.result, ORIGIN_CANCELLED);
    stage_close(&s);
}
END_TEST

/* ---- request content that comes in pieces */

START_TEST(content_is_sent_as_it_comes)
{
    static const char *const wanted[] = {
        "\r\n\r\nHello, origin", "\r\n\r\n3\r\nHel\r\n3\r\nlo,\r\n3\r\n or\r\n3\r\nigi\r\n1\r\nn\r\n0\r\n\r\n"
    };
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { HEAR_CONTENT, wanted[_i] + 4, 0 },
                                       { SAY, OK "Content-Length: 0\r\n\r\n", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .upload = "Hello, origin", .upload_len = 13, .upload_piece = 3, .upload_parks = true };
    stage_open(&s, script);
    struct origin_request r = request_for(&s, "POST", "/");
    r.has_content = true;
    r.content_length = _i == 0 ? 13 : -1;
    begin(&s, &h, &r);
    while (h.ends == 0) {
        loop_turn(s.loop);
        size_t before = h.upload_at;
        if (h.ends == 0) origin_resume_content(h.fetch);
        ck_assert_uint_eq(h.upload_at, before); /* nothing is asked for from inside */
    }
    ck_assert_msg(h.result == ORIGIN_COMPLETE, "%s", h.why);
    ck_assert_ptr_nonnull(strstr(stage_heard(&s), wanted[_i]));
    stage_close(&s);
}
END_TEST

START_TEST(content_that_breaks_off_ends_the_fetch)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { HEAR_CONTENT, "more than will ever come", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .upload = "Hello", .upload_len = 5, .upload_breaks = _i == 0 };
    stage_open(&s, script);
    struct origin_request r = request_for(&s, "POST", "/");
    r.has_content = true;
    r.content_length = 100; /* the second time the content just ends early */
    fetch(&s, &h, &r);
    ck_assert_msg(h.result == ORIGIN_CANCELLED, "%s", h.why);
    ck_assert_int_eq(h.heads, 0);
    stage_close(&s);
}
END_TEST

START_TEST(an_early_answer_is_not_lost)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, "HTTP/1.1 413 Too much\r\nContent-Length: 3\r\n\r\nno!", 0 },
                                       { AWAIT_GO, NULL, 0 },
                                       { END, NULL, 0 } };
    static char content[1024 * 1024];
    struct stage s;
    struct heard h = { .upload = content, .upload_len = sizeof(content), .upload_piece = 1000, .upload_parks = true };
    stage_open(&s, script);
    struct origin_request r = request_for(&s, "POST", "/");
    r.has_content = true;
    begin(&s, &h, &r);
    run_until(&s, &h.ends); /* the content is never resumed */
    ck_assert_msg(h.result == ORIGIN_COMPLETE, "%s", h.why);
    ck_assert_int_eq(h.status, 413);
    ck_assert_str_eq(h.content, "no!");
    stage_close(&s);
}
END_TEST

/* HEAD with content: curl knows no such thing, and must not wait for an answer's content. */
START_TEST(head_with_content_ends_with_its_head)
{
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { HEAR_CONTENT, "jam", 0 },
                                       { SAY, OK "Content-Length: 100\r\n\r\n", 0 },
                                       { AWAIT_GO, NULL, 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    struct heard h = { .upload = "jam", .upload_len = 3 };
    stage_open(&s, script);
    struct origin_request r = request_for(&s, "HEAD", "/");
    r.has_content = true;
    r.content_length = 3;
    fetch(&s, &h, &r);
    ck_assert_msg(h.result == ORIGIN_COMPLETE, "%s", h.why);
    ck_assert_int_eq(h.length, 100);
    stage_close(&s);
}
END_TEST

/* ---- a handler that begins another fetch from inside */

struct chain {
    struct stage *s;
    struct heard first, second;
};

static void chain_head(void *arg, const struct response_head *head, int64_t length)
{
    struct chain *c = arg;
    (void)head, (void)length;
    struct origin_request r = request_for(c->s, "GET", "/second");
    begin(c->s, &c->second, &r);
    origin_cancel(c->first.fetch);
}

static void chain_end(void *arg, enum origin_result result, const char *why)
{
    on_end(&((struct chain *)arg)->first, result, why);
}

START_TEST(a_fetch_may_be_begun_and_cancelled_from_inside)
{
    static const struct origin_handler chained = { on_interim, chain_head, on_content, on_read, chain_end, NULL, NULL };
    const struct raw_step script[] = { { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 5\r\n\r\n", 0 },
                                       { HEAR, NULL, 0 }, /* nothing: the connection is closed */
                                       { CLOSE, NULL, 0 },
                                       { HEAR, NULL, 0 },
                                       { SAY, OK "Content-Length: 1\r\n\r\n2", 0 },
                                       { END, NULL, 0 } };
    struct stage s;
    stage_open(&s, script);
    struct chain c = { .s = &s };
    struct origin_request r = request_for(&s, "GET", "/first");
    c.first.fetch = origin_fetch(s.client, &r, &chained, &c);
    run_until(&s, &c.first.ends);
    run_until(&s, &c.second.ends);
    ck_assert_int_eq(c.first.result, ORIGIN_CANCELLED);
    ck_assert_msg(c.second.result == ORIGIN_COMPLETE, "%s", c.second.why);
    ck_assert_str_eq(c.second.content, "2");
    stage_close(&s);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_loop_test(t, an_answer_is_judged, 0, COUNT(answers));
    tcase_add_loop_test(t, an_answer_in_single_bytes_is_judged_the_same, 0, COUNT(answers));
    tcase_add_loop_test(t, a_head_that_is_too_large_is_refused, 0, 4);
    tcase_add_test(t, interim_responses_are_handed_over);
    tcase_add_test(t, interim_responses_without_end_are_refused);
    tcase_add_loop_test(t, a_request_goes_out_as_given, 0, COUNT(requests));
    tcase_add_test(t, a_connection_serves_every_kind_of_request);
    tcase_add_test(t, the_environment_does_not_choose_a_proxy);
    tcase_add_loop_test(t, what_follows_an_answer_never_answers_the_next_request, 0, 5);
    tcase_add_loop_test(t, a_204_that_announces_content_ends_its_connection, 0, 2);
    tcase_add_test(t, a_safe_request_is_repeated_on_a_fresh_connection);
    tcase_add_loop_test(t, an_unsafe_request_is_sent_once, 0, 3);
    tcase_add_loop_test(t, a_broken_connection_is_noticed, 0, COUNT(breaks));
    tcase_add_test(t, a_connection_closed_by_the_origin_is_not_used_again);
    tcase_add_test(t, a_server_is_known_by_what_it_says);
    tcase_add_test(t, nobody_listens);
    tcase_add_test(t, a_unix_socket_is_an_origin);
    tcase_add_test(t, a_plain_origin_is_no_https_origin);
    tcase_add_test(t, a_name_that_does_not_resolve_stalls_nothing);
    tcase_add_loop_test(t, an_origin_may_be_too_late, 0, COUNT(lates));
    tcase_add_test(t, an_origin_that_does_not_connect_is_too_late);
    tcase_add_test(t, fetches_wait_for_a_connection_in_order);
    tcase_add_test(t, as_many_connections_give_way_as_others_wait);
    tcase_add_test(t, waiting_for_a_connection_has_an_end);
    tcase_add_test(t, the_queue_is_bounded);
    tcase_add_loop_test(t, a_fetch_is_cancelled_wherever_it_is, 0, 5);
    tcase_add_test(t, a_paused_fetch_holds_the_origin_back);
    tcase_add_test(t, a_paused_fetch_can_be_cancelled);
    tcase_add_loop_test(t, content_is_sent_as_it_comes, 0, 2);
    tcase_add_loop_test(t, content_that_breaks_off_ends_the_fetch, 0, 2);
    tcase_add_test(t, an_early_answer_is_not_lost);
    tcase_add_test(t, head_with_content_ends_with_its_head);
    tcase_add_test(t, a_fetch_may_be_begun_and_cancelled_from_inside);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *s = suite_create("origin");
    TCase *ours = tcase_create("ours"), *curls = tcase_create("libcurl");
    tcase_add_checked_fixture(ours, choose_ours, NULL);
    tcase_add_checked_fixture(curls, choose_libcurl, NULL);
    add_tests(ours);
    add_tests(curls);
    tcase_set_timeout(ours, 10);
    tcase_set_timeout(curls, 10);
    suite_add_tcase(s, ours);
    suite_add_tcase(s, curls);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
