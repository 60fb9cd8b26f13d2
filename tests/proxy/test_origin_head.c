#include "proxy/origin_head.h"

#include "cache/record.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* Heads as an origin server sends them; what weir makes of them, as "status length|name=value|...", or why it refuses. */
struct head_case {
    const char *head;
    const char *want;
    size_t len; /* 0: strlen */
};

static const struct head_case heads[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", "200 3|Content-Length=3|A=b", 0 },
    { "HTTP/1.1 200\r\n\r\n", "200 -1", 0 },
    { "HTTP/1.1 200 \r\n\r\n", "200 -1", 0 },
    { "HTTP/1.0 404 Not at all\r\n\r\n", "404 -1", 0 },
    { "HTTP/1.1 200 OK\nA: b\n\n", "200 -1|A=b", 0 }, /* RFC 9112 §2.2 */
    { "HTTP/1.1 299 \xff\r\nA:\xe4\r\n\r\n", "299 -1|A=\xe4", 0 },
    { "HTTP/1.1 200 OK\r\nA:  \t b c\t \r\nB:\r\nC: \r\n\r\n", "200 -1|A=b c|B=|C=", 0 },
    /* the status line, RFC 9112 §4 */
    { "HTTP/1.2 200 OK\r\n\r\n", "not HTTP/1.0 or HTTP/1.1", 0 },
    { "HTTP/2 200 OK\r\n\r\n", "not an HTTP/1 status line", 0 },
    { "http/1.1 200 OK\r\n\r\n", "not an HTTP/1 status line", 0 },
    { "ICY 200 OK\r\n\r\n", "not an HTTP/1 status line", 0 },
    { "\r\nHTTP/1.1 200 OK\r\n\r\n", "not an HTTP/1 status line", 0 },
    { "HTTP/1.1\t200 OK\r\n\r\n", "not HTTP/1.0 or HTTP/1.1", 0 },
    { "HTTP/1.10 200 OK\r\n\r\n", "not HTTP/1.0 or HTTP/1.1", 0 },
    { "HTTP/1.1  200 OK\r\n\r\n", "a status code that is not a number", 0 },
    { "HTTP/1.1 20x OK\r\n\r\n", "a status code that is not a number", 0 },
    { "HTTP/1.1 2000 OK\r\n\r\n", "a status code of more than three digits", 0 },
    { "HTTP/1.1 200OK\r\n\r\n", "a status code of more than three digits", 0 },
    { "HTTP/1.1 99\r\n\r\n", "not an HTTP/1 status line", 0 },
    { "HTTP/1.1 099 x\r\n\r\n", "a status code outside 100 to 599", 0 },
    { "HTTP/1.1 600 x\r\n\r\n", "a status code outside 100 to 599", 0 },
    { "HTTP/1.1 999 x\r\n\r\n", "a status code outside 100 to 599", 0 },
    /* names and values, §5 */
    { "HTTP/1.1 200 OK\r\nnothing\r\n\r\n", "a field without a colon", 0 },
    { "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "a field name that is not a token", 0 },
    { "HTTP/1.1 200 OK\r\nA B: x\r\n\r\n", "a field name that is not a token", 0 },
    { "HTTP/1.1 200 OK\r\nA\x01: x\r\n\r\n", "a field name that is not a token", 0 },
    { "HTTP/1.1 200 OK\r\nA(: x\r\n\r\n", "a field name that is not a token", 0 },
    { "HTTP/1.1 200 OK\r\nA : x\r\n\r\n", "200 -1|A=x", 0 }, /* §5.1: a proxy takes the blank off */
    { "HTTP/1.1 200 OK\r\nA: x\ry\r\n\r\n", "a control character in a field", 0 },
    { "HTTP/1.1 200 OK\r\nA: x\r\r\n\r\n", "a control character in a field", 0 },
    { "HTTP/1.1 200 OK\r\nA: x\0y\r\n\r\n", "a control character in a field", 27 },
    { "HTTP/1.1 200 OK\r\nA: x\x7f\r\n\r\n", "a control character in a field", 0 },
    /* folds, §5.2 */
    { "HTTP/1.1 200 OK\r\nA: x\r\n  y \r\n\tz\r\nB: 1\r\n\r\n", "200 -1|A=x y z|B=1", 0 },
    { "HTTP/1.1 200 OK\r\nA:\r\n x\r\n \r\n\r\n", "200 -1|A=x", 0 },
    { "HTTP/1.1 200 OK\r\nA: x\r\n B: y\r\n\r\n", "200 -1|A=x B: y", 0 },
    { "HTTP/1.1 200 OK\r\nA: x\r\n y\rz\r\n\r\n", "a control character in a field", 0 },
    { "HTTP/1.1 200 OK\r\n A: x\r\n\r\n", "blanks before the first field", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n", "a folded length", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", "a folded length", 0 },
    /* the length, §6.3 */
    { "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "200 0|content-length=0", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 003\r\n\r\n", "200 3|Content-Length=003", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", "200 3|Content-Length=3|Content-Length=3",
      0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "Content-Length lines that differ", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 03\r\n\r\n", "Content-Length lines that differ", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
      "200 999999999999999999|Content-Length=999999999999999999", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "a Content-Length that is too large", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551619\r\n\r\n", "a Content-Length that is too large", 0 },
    { "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n", "blanks before the colon of a length", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n", "blanks before the colon of a length", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "200 -1|Transfer-Encoding=Chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
      "200 -1|Transfer-Encoding=chunked|Content-Length=3", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3x\r\n\r\n",
      "a Content-Length that is not a number", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "a transfer coding other than chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "a transfer coding other than chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "a transfer coding other than chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", "a transfer coding other than chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", "a transfer coding other than chunked", 0 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      "more than one Transfer-Encoding", 0 },
    { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0", 0 },
    { "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\n", "204 0|Content-Length=3", 0 },
    { "HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n", "304 3|Content-Length=3", 0 },
    { "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", "103 0|Link=x", 0 },
    { "HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n", "an interim response with a length", 0 },
    { "HTTP/1.1 103 Early\r\nContent-Length: 0\r\n\r\n", "an interim response with a length", 0 },
    { "HTTP/1.1 100 Go on\r\nTransfer-Encoding: chunked\r\n\r\n", "an interim response with a length", 0 },
};

static char outcome[64 * 1024];

/* The head is cut into lines as the library does; what is left over after its end is a fault of the test. */
static const char *take(struct origin_head *h, struct view text)
{
    bool ended = false;
    const char *why = NULL;
    origin_head_begin(h);
    while (text.len > 0 && why == NULL && !ended) {
        struct view line = view_first(text, view_find(text, 0, '\n') + 1);
        text = view_after(text, line.len);
        why = origin_head_line(h, line, &ended);
    }
    int64_t length;
    if (why == NULL) why = ended ? origin_head_framing(h, &length) : "not ended";
    if (why != NULL) return why;
    size_t used = (size_t)snprintf(outcome, sizeof(outcome), "%d %lld", h->status, (long long)length);
    for (size_t i = 0; i < h->count; i++) {
        const struct field *f = &h->lines[i];
        ck_assert_int_eq(f->id, field_id_of(f->name));
        used += (size_t)snprintf(outcome + used, sizeof(outcome) - used, "|%.*s=%.*s", (int)f->name.len, f->name.at,
                                 (int)f->value.len, f->value.at);
    }
    return outcome;
}

START_TEST(a_head_is_taken_or_refused)
{
    const struct head_case *c = &heads[_i];
    struct origin_head *h = malloc(sizeof(*h));
    const char *got = take(h, view_of(c->head, c->len > 0 ? c->len : strlen(c->head)));
    ck_assert_msg(strcmp(got, c->want) == 0, "%s\ngot    %s\nwanted %s", c->head, got, c->want);
    free(h);
}
END_TEST

START_TEST(a_head_without_its_blank_line_has_not_ended)
{
    static const char whole[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    struct origin_head *h = malloc(sizeof(*h));
    for (size_t len = 0; len < sizeof(whole) - 3; len++) {
        ck_assert_str_ne(take(h, view_of(whole, len)), "200 -1|A=b");
    }
    free(h);
}
END_TEST

/* Every limit from both sides. */
START_TEST(a_head_has_limits)
{
    struct origin_head *h = malloc(sizeof(*h));
    char *text = malloc(ORIGIN_REPLY_HEAD_MAX + 100);
    static const char start[] = "HTTP/1.1 200 OK\r\nA: ", end[] = "\r\n\r\n";
    memcpy(text, start, sizeof(start));
    for (size_t size = ORIGIN_REPLY_HEAD_MAX - 1; size <= ORIGIN_REPLY_HEAD_MAX + 1; size++) {
        size_t value = size - (sizeof(start) - 1) - (sizeof(end) - 1);
        memset(text + sizeof(start) - 1, 'v', value);
        memcpy(text + sizeof(start) - 1 + value, end, sizeof(end) - 1);
        const char *got = take(h, view_of(text, size));
        if (size <= ORIGIN_REPLY_HEAD_MAX) {
            ck_assert_uint_eq(h->lines[0].value.len, value);
        } else {
            ck_assert_str_eq(got, "the head is too large");
        }
    }
    for (int fields = ORIGIN_REPLY_FIELDS_MAX; fields <= ORIGIN_REPLY_FIELDS_MAX + 1; fields++) {
        size_t used = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < fields; i++) used += (size_t)sprintf(text + used, "A: b\r\n");
        used += (size_t)sprintf(text + used, "\r\n");
        const char *got = take(h, view_of(text, used));
        ck_assert_int_eq(strcmp(got, "too many fields") == 0, fields > ORIGIN_REPLY_FIELDS_MAX);
    }
    for (int name = RECORD_NAME_MAX; name <= RECORD_NAME_MAX + 1; name++) {
        size_t used = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\n");
        memset(text + used, 'a', (size_t)name);
        used += (size_t)name;
        used += (size_t)sprintf(text + used, ": b\r\n\r\n");
        const char *got = take(h, view_of(text, used));
        ck_assert_int_eq(strcmp(got, "a field name that is too long") == 0, name > RECORD_NAME_MAX);
    }
    /* nothing but folds: what they add is never more than what they were */
    size_t used = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\nA: b\r\n");
    while (used + 6 <= ORIGIN_REPLY_HEAD_MAX) used += (size_t)sprintf(text + used, " c\r\n");
    memcpy(text + used, "\r\n", 2);
    (void)take(h, view_of(text, used + 2));
    ck_assert_int_eq(h->status, 200);
    ck_assert_uint_le(h->used, ORIGIN_REPLY_HEAD_MAX);
    ck_assert_uint_gt(h->lines[0].value.len, ORIGIN_REPLY_HEAD_MAX / 3);
    free(text);
    free(h);
}
END_TEST

struct server_case {
    const char *url;
    const char *base_url, *unix_path, *authority, *prefix; /* base_url NULL: refused */
};

static const struct server_case servers[] = {
    { "http://127.0.0.1:3000", "http://127.0.0.1:3000", NULL, "127.0.0.1:3000", "" },
    { "http://api.example.com/", "http://api.example.com", NULL, "api.example.com", "" },
    { "HTTPS://API.example.com:443", "https://api.example.com", NULL, "api.example.com", "" },
    { "https://api.example.com:8443/v1//", "https://api.example.com:8443", NULL, "api.example.com:8443", "/v1" },
    { "http://[::1]:80/a/b", "http://[::1]", NULL, "[::1]", "/a/b" },
    { "unix:/run/app.sock", "http://localhost", "/run/app.sock", "localhost", "" },
    { "unix:app.sock", NULL, NULL, NULL, NULL },
    { "unix:", NULL, NULL, NULL, NULL },
    { "unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
      "0123456",
      NULL, NULL, NULL, NULL },
    { "", NULL, NULL, NULL, NULL },
    { "127.0.0.1:3000", NULL, NULL, NULL, NULL },
    { "ftp://example.com", NULL, NULL, NULL, NULL },
    { "http://", NULL, NULL, NULL, NULL },
    { "http:///x", NULL, NULL, NULL, NULL },
    { "http://user:secret@example.com", NULL, NULL, NULL, NULL },
    { "http://example.com:99999x", NULL, NULL, NULL, NULL },
    { "http://example.com:0", NULL, NULL, NULL, NULL },
    { "http://[::1]:000/x", NULL, NULL, NULL, NULL },
    { "http://[::0]", "http://[::0]", NULL, "[::0]", "" },
    { "http://example.com/?q", NULL, NULL, NULL, NULL },
    { "http://example.com/#f", NULL, NULL, NULL, NULL },
    { "http://exa mple.com/", NULL, NULL, NULL, NULL },
};

START_TEST(an_origin_is_understood)
{
    const struct server_case *c = &servers[_i];
    struct origin_server server;
    char why[300] = "";
    bool ok = origin_server_parse(c->url, &server, why, sizeof(why));
    ck_assert_msg(ok == (c->base_url != NULL), "%s: %s", c->url, why);
    if (ok) {
        ck_assert_str_eq(server.base_url, c->base_url);
        ck_assert_pstr_eq(server.unix_path, c->unix_path);
        ck_assert_str_eq(server.authority, c->authority);
        ck_assert_str_eq(server.path_prefix, c->prefix);
        ck_assert_uint_eq(server.connections_max, ORIGIN_CONNECTIONS_MAX);
        ck_assert_int_gt(server.first_byte_ms, 0);
    } else {
        ck_assert_ptr_nonnull(strstr(why, "http://HOST"));
    }
    origin_server_release(&server);
    ck_assert_ptr_null(server.base_url);
}
END_TEST

START_TEST(results_have_names)
{
    ck_assert_str_eq(origin_result_name(ORIGIN_COMPLETE), "complete");
    ck_assert_str_eq(origin_result_name(ORIGIN_CANCELLED), "cancelled");
    for (int r = ORIGIN_UNREACHABLE; r < ORIGIN_CANCELLED; r++) {
        ck_assert_int_eq(strncmp(origin_result_name((enum origin_result)r), "origin-", 7), 0);
    }
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *s = suite_create("origin_head");
    TCase *t = tcase_create("origin_head");
    tcase_add_loop_test(t, a_head_is_taken_or_refused, 0, COUNT(heads));
    tcase_add_test(t, a_head_without_its_blank_line_has_not_ended);
    tcase_add_test(t, a_head_has_limits);
    tcase_add_loop_test(t, an_origin_is_understood, 0, COUNT(servers));
    tcase_add_test(t, results_have_names);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
