#include "proxy/forward.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Field lines written one below the other: "Name: value\nName: value". */
struct message {
    struct field lines[FRONT_FIELDS_MAX];
    struct field_section section;
};

static void message_parse(struct message *m, const char *text)
{
    size_t n = 0;
    struct view rest = view_of_str(text);
    while (rest.len > 0) {
        struct view line = view_first(rest, view_find(rest, 0, '\n'));
        rest = view_after(rest, line.len + 1);
        size_t colon = view_find(line, 0, ':');
        m->lines[n].name = view_first(line, colon);
        m->lines[n].value = view_trim_ows(view_after(line, colon + 1));
        m->lines[n].id = field_id_of(m->lines[n].name);
        n++;
    }
    m->section = (struct field_section){ m->lines, n };
}

static struct request_head request_of(struct message *m, const char *method, const char *fields)
{
    message_parse(m, fields);
    struct view name = view_of_str(method);
    return (struct request_head){
        .method = method_of(name),
        .method_name = name,
        .target = VIEW("/a/b?c"),
        .authority = VIEW("shop.example"),
        .path_query = VIEW("/a/b?c"),
        .http_minor = 1,
        .fields = m->section,
    };
}

static struct forward_context plain_context(void)
{
    return (struct forward_context){
        .client_ip = "192.0.2.7",
        .via_pseudonym = VIEW("weir"),
        .instance = VIEW("i1"),
        .range_first = -1,
        .range_last = -1,
    };
}

static char joined_text[FORWARD_TEXT_MAX + FORWARD_LINES_MAX];
static const char *joined(const struct forward_lines *f)
{
    size_t used = 0;
    for (size_t i = 0; i < f->count; i++) {
        used +=
            (size_t)snprintf(joined_text + used, sizeof(joined_text) - used, "%s%s", i > 0 ? "\n" : "", f->lines[i]);
    }
    return joined_text;
}

/* What weir adds at the end of every head of plain_context. */
#define OURS                                                                                                           \
    "\nX-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: http\nX-Forwarded-Host: shop.example"                            \
    "\nForwarded: for=192.0.2.7;host=shop.example;proto=http\nVia: 1.1 weir\nCDN-Loop: weir;id=i1"

struct request_case {
    const char *method, *fields, *want, *rule;
};

static const struct request_case requests[] = {
    { "GET", "Host: SHOP.example:80\nAccept: */*\nCookie: a=1\nx-own: 2",
      "Host: shop.example\nAccept: */*\nCookie: a=1\nx-own: 2" OURS, "end-to-end fields go on in their order" },
    { "GET", "X-Empty:\nUser-Agent:", "Host: shop.example\nX-Empty;\nUser-Agent;" OURS,
      "empty values as origin.h has them" },
    { "GET", "Connection: close\nKeep-Alive: timeout=5\nTE: trailers\nTrailer: X\nUpgrade: h2c\nHTTP2-Settings: AA",
      "Host: shop.example" OURS, "RFC 9110 §7.6.1" },
    { "GET", "Proxy-Authorization: Basic x\nProxy-Connection: keep-alive\nProxy: http://evil.example",
      "Host: shop.example" OURS, "for proxies, or for nobody" },
    { "GET", "Connection: x-a, X-B ,close\nX-A: 1\nx-b: 2\nX-C: 3", "Host: shop.example\nX-C: 3" OURS,
      "§7.6.1: named by Connection" },
    { "GET", "Connection: keep-alive\nConnection: X-A\nX-A: 1", "Host: shop.example" OURS, "§7.6.1: in a second line" },
    { "GET",
      "Connection: Host, Authorization, Accept-Encoding, X-Forwarded-For, Cookie\nAuthorization: Basic x\n"
      "Accept-Encoding: br\nCookie: c",
      "Host: shop.example" OURS, "§7.6.1: whatever it names, save Host" },
    { "POST", "Content-Length: 3\nTransfer-Encoding: chunked\nContent-Type: text/plain\nExpect: 100-continue",
      "Host: shop.example\nContent-Type: text/plain" OURS, "framing is each connection's own" },
    { "GET", "If-None-Match: \"a\"\nIf-Modified-Since: x\nRange: bytes=0-1\nIf-Range: \"a\"",
      "Host: shop.example\nIf-None-Match: \"a\"\nIf-Modified-Since: x\nRange: bytes=0-1\nIf-Range: \"a\"" OURS,
      "conditions pass unless the context says otherwise" },
    { "GET", "Max-Forwards: 5", "Host: shop.example\nMax-Forwards: 5" OURS, "§7.6.2: of OPTIONS and TRACE only" },
    { "OPTIONS", "Max-Forwards: 5", "Host: shop.example\nMax-Forwards: 4" OURS, "§7.6.2" },
    { "TRACE", "max-forwards: 1", "Host: shop.example\nMax-Forwards: 0" OURS, "§7.6.2" },
    { "TRACE", "Max-Forwards: 99999999999999999999", "Host: shop.example\nMax-Forwards: 2147483646" OURS, "saturates" },
    { "OPTIONS", "Max-Forwards: many", "Host: shop.example\nMax-Forwards: many" OURS,
      "not a number: not ours to mend" },
    { "GET",
      "X-Forwarded-For: 10.0.0.1\nX-Forwarded-For:\nX-Forwarded-For: 10.0.0.2\nX-Forwarded-Proto: https\n"
      "X-Forwarded-Host: other.example\nForwarded: for=10.0.0.1\nVia: 1.0 fred, 1.1 p.example\nCDN-Loop: foo;id=i1",
      "Host: shop.example\nX-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.7\nX-Forwarded-Proto: http\n"
      "X-Forwarded-Host: shop.example\nForwarded: for=10.0.0.1, for=192.0.2.7;host=shop.example;proto=http\n"
      "Via: 1.0 fred, 1.1 p.example, 1.1 weir\nCDN-Loop: foo;id=i1, weir;id=i1",
      "chains grow at their end" },
};

START_TEST(a_request_is_forwarded)
{
    const struct request_case *c = &requests[_i];
    struct message m;
    struct request_head r = request_of(&m, c->method, c->fields);
    struct forward_context context = plain_context();
    struct forward_lines out;
    ck_assert_int_eq(forward_request(&r, &context, &out), 0);
    ck_assert_msg(strcmp(joined(&out), c->want) == 0, "%s\n--- got\n%s\n--- wanted\n%s", c->rule, joined(&out),
                  c->want);
}
END_TEST

struct context_case {
    struct forward_context context;
    const char *want_part; /* some consecutive lines */
    const char *unwanted;  /* the beginning of lines that are not there */
    const char *rule;
};

#define NO_PART .range_first = -1, .range_last = -1, .via_pseudonym = { "weir", 4 }
static const struct context_case contexts[] = {
    { { NO_PART, .drop_conditions = true }, "Host: shop.example\nX: 1\nX-", "If-", "a whole response is fetched" },
    { { NO_PART, .drop_conditions = true }, "Host: shop.example\nX: 1\nX-", "Range", "a whole response is fetched" },
    { { NO_PART, .drop_range = true }, "Host: shop.example\nIf-None-Match: \"c\"\nX: 1\nX-", "Range", "" },
    { { NO_PART, .drop_range = true }, "\nX: 1", "If-Range", "If-Range without Range means nothing: §13.1.5" },
    { { NO_PART, .validators = { { "\"s\"", 3 }, { NULL, 0 } } },
      "X: 1\nIf-None-Match: \"s\"\nX-",
      "If-None-Match: \"c\"",
      "RFC 9111 §4.3.1: the stored validator" },
    { { NO_PART, .validators = { { "\"s\"", 3 }, { "date", 4 } } },
      "X: 1\nIf-None-Match: \"s\"\nIf-Modified-Since: date\nX-",
      "Range",
      "a stored response is validated whole" },
    { { .range_first = 0, .range_last = 99 }, "\nX: 1\nRange: bytes=0-99\n", "Range: bytes=5-6", "our part" },
    { { .range_first = 100, .range_last = -1 }, "\nX: 1\nRange: bytes=100-\n", "If-Range", "our part, to the end" },
    { { .range_first = 100, .range_last = -1, .if_range = { "\"s\"", 3 } },
      "\nRange: bytes=100-\nIf-Range: \"s\"\n",
      "If-Range: \"c\"",
      "our part, or else the whole: §13.1.5" },
    { { NO_PART, .origin_authority = "inner:3000" },
      "Host: inner:3000\nIf-None",
      "Host: shop",
      "the origin's own name" },
    { { NO_PART, .origin_authority = "inner:3000" },
      "X-Forwarded-Host: shop.example\n",
      "X-Forwarded-Host: inner",
      "" },
    { { NO_PART, .client_https = true }, "X-Forwarded-Proto: https\n", "X-Forwarded-Proto: http\n", "" },
    { { NO_PART, .client_ip = "2001:db8::7" },
      "\nForwarded: for=\"[2001:db8::7]\";host=shop.example;proto=http\n",
      "~",
      "RFC 7239 §6" },
    { { NO_PART, .client_ip = "fe80::1%eth0" }, "for=\"[fe80::1]\";", "~", "RFC 7239 §6.1 has no zones" },
    { { NO_PART, .client_ip = NULL }, "X-Forwarded-For: unknown\n", "~", "a unix socket" },
    { { NO_PART, .client_ip = NULL }, "Forwarded: for=unknown;", "~", "RFC 7239 §6.2" },
    { { NO_PART, .instance = { "a b\"", 4 } }, "\nCDN-Loop: weir;id=\"a b\\\"\"", "~", "RFC 8586 §2" },
    { { NO_PART, .client_ip = NULL }, "\nCDN-Loop: weir", "CDN-Loop: weir;", "no instance" },
};

START_TEST(the_context_decides)
{
    const struct context_case *c = &contexts[_i];
    struct message m;
    struct request_head r = request_of(&m, "GET", "If-None-Match: \"c\"\nRange: bytes=5-6\nX: 1\nIf-Range: \"c\"");
    struct forward_lines out;
    ck_assert_int_eq(forward_request(&r, &c->context, &out), 0);
    ck_assert_msg(strstr(joined(&out), c->want_part) != NULL, "%s\n--- got\n%s", c->rule, joined(&out));
    for (size_t i = 0; i < out.count; i++) {
        ck_assert_msg(strncmp(out.lines[i], c->unwanted, strlen(c->unwanted)) != 0, "%s: %s", c->rule, out.lines[i]);
    }
}
END_TEST

START_TEST(the_version_of_the_client_is_in_via)
{
    struct message m;
    struct request_head r = request_of(&m, "GET", "");
    r.http_minor = 0;
    r.authority = VIEW("");
    struct forward_context context = plain_context();
    struct forward_lines out;
    ck_assert_int_eq(forward_request(&r, &context, &out), 0);
    ck_assert_str_eq(joined(&out), "Host;\nX-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: http\n"
                                   "Forwarded: for=192.0.2.7;proto=http\nVia: 1.0 weir\nCDN-Loop: weir;id=i1");
}
END_TEST

START_TEST(an_authority_with_a_port_is_quoted_in_forwarded)
{
    struct message m;
    struct request_head r = request_of(&m, "GET", "");
    r.authority = VIEW("[2001:db8::1]:8080");
    struct forward_context context = plain_context();
    struct forward_lines out;
    ck_assert_int_eq(forward_request(&r, &context, &out), 0);
    ck_assert_ptr_nonnull(strstr(joined(&out), "for=192.0.2.7;host=\"[2001:db8::1]:8080\";proto=http"));
}
END_TEST

START_TEST(a_head_that_does_not_fit_is_refused)
{
    static char value[FORWARD_TEXT_MAX];
    memset(value, 'v', sizeof(value));
    struct forward_context context = plain_context();
    struct forward_lines *out = malloc(sizeof(*out));
    int fits = 0;
    for (size_t len = FORWARD_TEXT_MAX - 400; len < FORWARD_TEXT_MAX; len++) {
        struct field line = { FIELD_OTHER, VIEW("X"), view_of(value, len) };
        struct request_head r = { .authority = VIEW("a"), .fields = { &line, 1 } };
        int rc = forward_request(&r, &context, out);
        ck_assert(rc == 0 || rc == -E2BIG);
        fits += rc == 0;
    }
    ck_assert_int_gt(fits, 0);
    ck_assert_int_lt(fits, 400);

    struct field many[FORWARD_LINES_MAX];
    for (size_t i = 0; i < FORWARD_LINES_MAX; i++) many[i] = (struct field){ FIELD_OTHER, VIEW("X"), VIEW("1") };
    struct request_head r = { .authority = VIEW("a"), .fields = { many, FRONT_FIELDS_MAX } };
    ck_assert_int_eq(forward_request(&r, &context, out), 0);
    r.fields.count = FORWARD_LINES_MAX;
    ck_assert_int_eq(forward_request(&r, &context, out), -E2BIG);
    free(out);
}
END_TEST

struct target_case {
    const char *prefix, *path_query, *want; /* want NULL: does not fit in 16 bytes */
};
static const struct target_case targets[] = {
    { NULL, "/a?b", "/a?b" },          { "", "/", "/" },
    { "/api", "/a?b", "/api/a?b" },    { "/api", "*", "*" },
    { "/api", "//x", "/api//x" },      { "/123456789", "/abcde", "/123456789/abcde" },
    { "/123456789", "/abcdef", NULL },
};

START_TEST(a_target_has_the_prefix_of_the_origin)
{
    const struct target_case *c = &targets[_i];
    struct request_head r = { .path_query = view_of_str(c->path_query) };
    struct forward_context context = { .path_prefix = c->prefix };
    char to[16];
    int len = forward_target(&r, &context, to, sizeof(to));
    ck_assert_int_eq(len, c->want != NULL ? (int)strlen(c->want) : -1);
    if (c->want != NULL) ck_assert_int_eq(memcmp(to, c->want, strlen(c->want)), 0);
}
END_TEST

struct loop_case {
    const char *fields, *instance;
    bool want;
};
static const struct loop_case loops[] = {
    { "", "i1", false },
    { "CDN-Loop: weir;id=i1", "i1", true },
    { "CDN-Loop: foo, Weir ; ID=\"i1\" ; v=2", "i1", true },
    { "CDN-Loop: foo;x=\"a,b;id=i1\"", "i1", false },
    { "CDN-Loop: weir;x=\"\\\";id=i1\"", "i1", false },
    { "CDN-Loop: weir;x=\"\\\"\";id=i1", "i1", true },
    { "CDN-Loop: weir;id=i2", "i1", false },
    { "CDN-Loop: weir;id=i2\nCDN-Loop: weir;id=i1", "i1", true },
    { "CDN-Loop: weirs;id=i1", "i1", false },
    { "CDN-Loop: weir;id", "i1", false },
    { "CDN-Loop: weir;;id=i1", "i1", true },
    { "CDN-Loop: weir", "i1", false },
    { "CDN-Loop: weir;id=i2", "", true },
    { "CDN-Loop: other", "", false },
};

START_TEST(a_loop_is_seen)
{
    struct message m;
    struct request_head r = request_of(&m, "GET", loops[_i].fields);
    struct forward_context context = plain_context();
    context.instance = view_of_str(loops[_i].instance);
    ck_assert_msg(forward_is_loop(&r, &context) == loops[_i].want, "%s", loops[_i].fields);
}
END_TEST

/* What one instance sends, the same instance knows again, whatever its name looks like. */
START_TEST(an_instance_knows_itself)
{
    static const struct view instances[] = { { "i1", 2 }, { "a b", 3 }, { "\"q\\", 3 }, { "x;y,z", 5 } };
    struct message m, again;
    struct request_head r = request_of(&m, "GET", "CDN-Loop: other");
    struct forward_context context = plain_context();
    context.instance = instances[_i];
    struct forward_lines out;
    ck_assert_int_eq(forward_request(&r, &context, &out), 0);
    ck_assert(!forward_is_loop(&r, &context));
    struct request_head back = request_of(&again, "GET", joined(&out));
    ck_assert(forward_is_loop(&back, &context));
}
END_TEST

struct answers_case {
    const char *method, *fields;
    bool want;
};
static const struct answers_case answers[] = {
    { "OPTIONS", "Max-Forwards: 0", true },
    { "TRACE", "Max-Forwards: 000", true },
    { "GET", "Max-Forwards: 0", false },
    { "OPTIONS", "Max-Forwards: 1", false },
    { "OPTIONS", "", false },
    { "OPTIONS", "Max-Forwards: -0", false },
    { "OPTIONS", "Max-Forwards:", false },
};

START_TEST(no_forwards_left_is_answered_here)
{
    struct message m;
    struct request_head r = request_of(&m, answers[_i].method, answers[_i].fields);
    ck_assert(forward_answers_itself(&r) == answers[_i].want);
}
END_TEST

/* What of an origin's head reaches the client. */
static const char response_text[] = "Date: d\n"
                                    "Content-Type: t\n"
                                    "Content-Length: 3\n"
                                    "Transfer-Encoding: chunked\n"
                                    "Connection: X-Mine, close\n"
                                    "Keep-Alive: timeout=5\n"
                                    "X-Mine: 1\n"
                                    "Trailer: X\n"
                                    "Upgrade: h2c\n"
                                    "Proxy-Authenticate: Basic\n"
                                    "Proxy-Status: x\n"
                                    "Age: 3\n"
                                    "Via: 1.1 up\n"
                                    "Cache-Status: up; hit\n"
                                    "Surrogate-Key: a b\n"
                                    "Cache-Tag: a,b\n"
                                    "xkey: a\n"
                                    "Cache-Groups: \"g\"\n"
                                    "Cache-Control: max-age=1\n"
                                    "CDN-Cache-Control: max-age=2\n"
                                    "Set-Cookie: a=1\n"
                                    "Set-Cookie: b=1\n"
                                    "ETag: \"e\"\n"
                                    "X-Own:";

static const char *names_that_go_on(const struct policy *p)
{
    static char names[1024];
    struct message m;
    message_parse(&m, response_text);
    size_t used = 0;
    names[0] = '\0';
    for (size_t i = 0; i < m.section.count; i++) {
        const struct field *f = &m.section.lines[i];
        if (!forward_response_field(m.section, f, p)) continue;
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%.*s ", (int)f->name.len, f->name.at);
    }
    return names;
}

START_TEST(a_response_is_forwarded)
{
    struct policy p = { .targeted = { FIELD_CDN_CACHE_CONTROL }, .targeted_count = 1 };
    ck_assert_str_eq(names_that_go_on(&p), "Content-Type Proxy-Status Cache-Groups Cache-Control CDN-Cache-Control "
                                           "Set-Cookie Set-Cookie ETag X-Own ");
    p.strip_targeted = true;
    ck_assert_str_eq(names_that_go_on(&p), "Content-Type Proxy-Status Cache-Groups Cache-Control "
                                           "Set-Cookie Set-Cookie ETag X-Own ");
    p.targeted[0] = FIELD_OTHER;
    p.targeted_names[0] = VIEW("x-own");
    ck_assert_str_eq(names_that_go_on(&p), "Content-Type Proxy-Status Cache-Groups Cache-Control CDN-Cache-Control "
                                           "Set-Cookie Set-Cookie ETag ");
}
END_TEST

START_TEST(a_list_grows_at_its_end)
{
    struct message m;
    message_parse(&m, "Via: 1.1 a, 1.0 b\nX: 1\nvia: 1.1 c\nVia:");
    char to[64];
    ck_assert_int_eq(forward_append(m.section, FIELD_VIA, VIEW("1.1 weir"), to, sizeof(to)), 29);
    ck_assert_str_eq(to, "1.1 a, 1.0 b, 1.1 c, 1.1 weir");
    ck_assert_int_eq(forward_append(m.section, FIELD_CACHE_STATUS, VIEW("weir; hit"), to, 10), 9);
    ck_assert_str_eq(to, "weir; hit");
    ck_assert_int_eq(forward_append(m.section, FIELD_CACHE_STATUS, VIEW("weir; hit"), to, 9), -1);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *s = suite_create("forward");
    TCase *t = tcase_create("forward");
    tcase_add_loop_test(t, a_request_is_forwarded, 0, COUNT(requests));
    tcase_add_loop_test(t, the_context_decides, 0, COUNT(contexts));
    tcase_add_test(t, the_version_of_the_client_is_in_via);
    tcase_add_test(t, an_authority_with_a_port_is_quoted_in_forwarded);
    tcase_add_test(t, a_head_that_does_not_fit_is_refused);
    tcase_add_loop_test(t, a_target_has_the_prefix_of_the_origin, 0, COUNT(targets));
    tcase_add_loop_test(t, a_loop_is_seen, 0, COUNT(loops));
    tcase_add_loop_test(t, an_instance_knows_itself, 0, 4);
    tcase_add_loop_test(t, no_forwards_left_is_answered_here, 0, COUNT(answers));
    tcase_add_test(t, a_response_is_forwarded);
    tcase_add_test(t, a_list_grows_at_its_end);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
