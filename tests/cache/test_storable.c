#include "cache/storable.h"

#include "tests/cache/decisions.h"

static struct storable_decision decide(const struct request_head *request, int status, struct field_section fields,
                                       const struct policy *p, int64_t content_length)
{
    struct response_head response = { .status = status, .fields = fields };
    struct stored_head s = store_head(request, status, fields, p);
    return storable_decide(request, &response, p, &s, content_length);
}

static void check(struct storable_decision got, enum storable_reason want, const char *about)
{
    ck_assert_msg(got.reason == want, "%s: %s, not %s", about, storable_reason_name(got.reason),
                  storable_reason_name(want));
    ck_assert_int_eq(got.verdict, want < NOT_STORED_METHOD ? STORABLE_YES : STORABLE_NO);
}

#define FRESH "Cache-Control: max-age=60\n"

/* RFC 9111 §3, by method and status */
static const struct {
    const char *request;
    int status;
    const char *fields;
    enum storable_reason reason;
} by_status[] = {
    { "GET /", 200, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "QUERY /", 200, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "HEAD /", 200, FRESH, NOT_STORED_METHOD },
    { "PUT /", 200, FRESH, NOT_STORED_METHOD },
    { "DELETE /", 200, FRESH, NOT_STORED_METHOD },
    { "PATCH /", 200, FRESH, NOT_STORED_METHOD },
    { "OPTIONS /", 200, FRESH, NOT_STORED_METHOD },
    { "TRACE /", 200, FRESH, NOT_STORED_METHOD },
    { "MKCOL /", 200, FRESH, NOT_STORED_METHOD },
    /* explicit freshness: any final status, known or not */
    { "GET /", 201, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 203, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 204, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 299, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 302, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 307, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 400, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 403, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 404, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 499, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 500, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 503, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 599, FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 302, "Expires: " HOUR_AFTER, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 302, "Cache-Control: s-maxage=5", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 302, "CDN-Cache-Control: max-age=5", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    /* never */
    { "GET /", 100, FRESH, NOT_STORED_STATUS },
    { "GET /", 103, FRESH, NOT_STORED_STATUS },
    { "GET /", 304, FRESH, NOT_STORED_STATUS },
    { "GET /", 412, FRESH, NOT_STORED_STATUS },
    { "GET /", 416, FRESH, NOT_STORED_STATUS },
    { "GET /", 428, FRESH, NOT_STORED_STATUS },
    { "GET /", 429, FRESH, NOT_STORED_STATUS },
    { "GET /", 431, FRESH, NOT_STORED_STATUS },
    { "GET /", 511, FRESH, NOT_STORED_STATUS },
    /* §4.2.2: heuristics, for those of RFC 9110 §15.1 */
    { "GET /", 200, "Last-Modified: " DAY_BEFORE, STORABLE_BECAUSE_HEURISTIC },
    { "GET /", 204, "Last-Modified: " DAY_BEFORE, STORABLE_BECAUSE_HEURISTIC },
    { "GET /", 301, "Last-Modified: " DAY_BEFORE, STORABLE_BECAUSE_HEURISTIC },
    { "GET /", 404, "Last-Modified: " DAY_BEFORE, STORABLE_BECAUSE_HEURISTIC },
    { "GET /", 501, "Last-Modified: " DAY_BEFORE, STORABLE_BECAUSE_HEURISTIC },
    { "GET /", 201, "Last-Modified: " DAY_BEFORE, NOT_STORED_STATUS },
    { "GET /", 302, "Last-Modified: " DAY_BEFORE, NOT_STORED_STATUS },
    { "GET /", 403, "Last-Modified: " DAY_BEFORE, NOT_STORED_STATUS },
    { "GET /", 500, "ETag: \"a\"", NOT_STORED_STATUS },
    { "GET /", 599, "ETag: \"a\"", NOT_STORED_STATUS },
    { "GET /", 599, "", NOT_STORED_STATUS },
    { "GET /", 599, "Cache-Control: must-revalidate", NOT_STORED_STATUS },
    { "GET /", 302, "Cache-Control: public\nLast-Modified: " DAY_BEFORE, STORABLE_BECAUSE_PUBLIC },
    { "GET /", 302, "Cache-Control: public\nETag: \"a\"", STORABLE_BECAUSE_PUBLIC },
    { "GET /", 302, "Cache-Control: public", NOT_STORED_NO_FRESHNESS },
    /* a validator is enough to ask with; nothing at all is not */
    { "GET /", 200, "ETag: \"a\"", STORABLE_BECAUSE_VALIDATOR },
    { "GET /", 200, "Last-Modified: " NOW, STORABLE_BECAUSE_VALIDATOR },
    { "GET /", 200, "Pragma: no-cache\nLast-Modified: " DAY_BEFORE, STORABLE_BECAUSE_VALIDATOR },
    { "GET /", 200, "", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=0", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=60\nAge: 60", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=60\nAge: 60\nETag: \"a\"", STORABLE_BECAUSE_VALIDATOR },
    { "GET /", 200, "Cache-Control: max-age=60\nAge: 59", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=x", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Expires: 0", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Cache-Control: no-cache, max-age=60", NOT_STORED_NO_FRESHNESS },
    { "GET /", 200, "Cache-Control: no-cache, max-age=60\nETag: \"a\"", STORABLE_BECAUSE_VALIDATOR },
    { "GET /", 200, "Cache-Control: max-age=0, stale-while-revalidate=9", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=0, stale-if-error=9", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", 200, "Cache-Control: max-age=0, stale-if-error=9, must-revalidate", NOT_STORED_NO_FRESHNESS },
};

START_TEST(method_and_status)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, by_status[_i].request, "");
    struct storable_decision got = decide(request, by_status[_i].status, section_of(&l, by_status[_i].fields), &p, 5);
    check(got, by_status[_i].reason, by_status[_i].fields);
}
END_TEST

/* A 200 to GET: which directives let a shared cache have it */
static const struct {
    const char *request, *fields;
    enum storable_reason reason;
} by_directives[] = {
    /* RFC 9111 §5.2.2.5, §5.2.2.7 */
    { "", "Cache-Control: no-store, max-age=60", NOT_STORED_NO_STORE },
    { "", "Cache-Control: NO-STORE, max-age=60", NOT_STORED_NO_STORE },
    { "", "Cache-Control: max-age=60\nCache-Control: no-store", NOT_STORED_NO_STORE },
    { "", "Cache-Control: max-age=60, x-no-store", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: max-age=60, a=\"no-store\"", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: private, max-age=60", NOT_STORED_PRIVATE },
    { "", "Cache-Control: private, public, max-age=60", NOT_STORED_PRIVATE },
    { "", "Cache-Control: private=\"foo\", max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: private=\"foo\", private, max-age=60", NOT_STORED_PRIVATE },
    { "", "Cache-Control: no-cache=\"foo\", max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    /* §5.2.1.5 */
    { "Cache-Control: no-store", FRESH, NOT_STORED_REQUEST_NO_STORE },
    { "Cache-Control: no-cache", FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Cache-Control: only-if-cached", FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    /* RFC 9213 §2.2: the targeted field decides alone */
    { "", "CDN-Cache-Control: no-store\nCache-Control: max-age=60", NOT_STORED_NO_STORE },
    { "", "CDN-Cache-Control: private\nCache-Control: max-age=60", NOT_STORED_PRIVATE },
    { "", "CDN-Cache-Control: max-age=60\nCache-Control: no-store", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "CDN-Cache-Control: max-age=60\nCache-Control: private", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "CDN-Cache-Control: max-age=60, no-cache\nCache-Control: max-age=60", NOT_STORED_NO_FRESHNESS },
    { "", "CDN-Cache-Control: max-age=60;;\nCache-Control: no-store", NOT_STORED_NO_STORE },
    { "", "CDN-Cache-Control: no-store=1, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "CDN-Cache-Control: no-store=?0, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    /* RFC 9111 §3.5 */
    { "Authorization: a", FRESH, NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Cache-Control: public, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Authorization: a", "Cache-Control: must-revalidate, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Authorization: a", "Cache-Control: s-maxage=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Authorization: a", "Cache-Control: s-maxage=x, max-age=60", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Cache-Control: proxy-revalidate, max-age=60", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Cache-Control: no-cache\nETag: \"a\"", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Cache-Control: immutable, max-age=60", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Expires: " HOUR_AFTER, NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "ETag: \"a\"", NOT_STORED_AUTHORIZATION },
    { "Authorization:", FRESH, NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "CDN-Cache-Control: max-age=60", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "CDN-Cache-Control: max-age=60, public", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Authorization: a", "CDN-Cache-Control: s-maxage=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "Authorization: a", "CDN-Cache-Control: max-age=60\nCache-Control: public", NOT_STORED_AUTHORIZATION },
    { "Authorization: a", "Cache-Control: public, private, max-age=60", NOT_STORED_PRIVATE },
    /* §4.1 */
    { "", FRESH "Vary: *", NOT_STORED_VARY_ANY },
    { "", FRESH "Vary: foo, *", NOT_STORED_VARY_ANY },
    { "", FRESH "Vary: foo\nVary: *", NOT_STORED_VARY_ANY },
    { "", FRESH "Vary: foo", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", FRESH "Vary:", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    /* Set-Cookie */
    { "", FRESH "Set-Cookie: a=1", NOT_STORED_SET_COOKIE },
    { "", "ETag: \"a\"\nSet-Cookie: a=1", NOT_STORED_SET_COOKIE },
    { "", "Cache-Control: public, max-age=60\nSet-Cookie: a=1", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: s-maxage=60\nSet-Cookie: a=1", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "CDN-Cache-Control: max-age=60\nSet-Cookie: a=1", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: max-age=60, no-cache=\"Set-Cookie\"\nSet-Cookie: a=1", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: max-age=60, private=set-cookie\nSet-Cookie: a=1", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "", "Cache-Control: max-age=60, private=\"x\"\nSet-Cookie: a=1", NOT_STORED_SET_COOKIE },
    { "Cookie: a=1", FRESH, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
};

START_TEST(directives_and_fields)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", by_directives[_i].request);
    struct storable_decision got = decide(request, 200, section_of(&l, by_directives[_i].fields), &p, 5);
    check(got, by_directives[_i].reason, by_directives[_i].fields);
}
END_TEST

/* RFC 9111 §3, §5.2.2.3 */
static const struct {
    int status;
    const char *fields;
    enum storable_reason reason;
} understood[] = {
    { 200, "Cache-Control: no-store, must-understand, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { 404, "Cache-Control: no-store, must-understand, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { 299, "Cache-Control: no-store, must-understand, max-age=60", NOT_STORED_NOT_UNDERSTOOD },
    { 599, "Cache-Control: must-understand, max-age=60", NOT_STORED_NOT_UNDERSTOOD },
    { 200, "Cache-Control: must-understand, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { 200, "Cache-Control: no-store, must-understand, private, max-age=60", NOT_STORED_PRIVATE },
    { 200, "CDN-Cache-Control: no-store, must-understand, max-age=60", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
};

START_TEST(must_understand)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct field_section fields = section_of(&l, understood[_i].fields);
    check(decide(ask(&a, "GET /", ""), understood[_i].status, fields, &p, 5), understood[_i].reason,
          understood[_i].fields);
}
END_TEST

/* RFC 9110 §9.3.3 */
static const struct {
    const char *target;
    int status;
    const char *fields;
    enum storable_reason reason;
} posts[] = {
    { "POST /a?b", 200, FRESH "Content-Location: /a?b", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a?b", 200, FRESH "Content-Location: http://example.com/a?b", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a?b", 200, FRESH "Content-Location: HTTP://EXAMPLE.com:80/a?b", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a?b", 200, FRESH "Content-Location: a?b", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a?b", 200, FRESH "Content-Location: ?b", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /~a", 200, FRESH "Content-Location: /%7ea", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a", 200, "Expires: " HOUR_AFTER "\nContent-Location: /a", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a", 200, "CDN-Cache-Control: max-age=9\nContent-Location: /a", STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "POST /a", 200, FRESH, NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, "Content-Location: /a\nLast-Modified: " DAY_BEFORE, NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a?b", 200, FRESH "Content-Location: /a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: /a?", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: /A", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: https://example.com/a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: http://example.org/a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: http://example.com:81/a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: /a\nContent-Location: /b", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, FRESH "Content-Location: ht tp://", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 201, FRESH "Content-Location: /a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 404, FRESH "Content-Location: /a", NOT_STORED_POST_WITHOUT_LOCATION },
    { "POST /a", 200, "Cache-Control: max-age=60, no-store\nContent-Location: /a", NOT_STORED_NO_STORE },
    { "POST /a", 200, "Cache-Control: max-age=60, private\nContent-Location: /a", NOT_STORED_PRIVATE },
};

START_TEST(post_for_a_later_get)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct field_section fields = section_of(&l, posts[_i].fields);
    check(decide(ask(&a, posts[_i].target, ""), posts[_i].status, fields, &p, 5), posts[_i].reason, posts[_i].fields);
}
END_TEST

/* RFC 9111 §3.3, RFC 9110 §14.4 */
static const struct {
    const char *request, *fields;
    int64_t content_length;
    enum storable_reason reason;
} parts[] = {
    { "GET /", FRESH "Content-Range: bytes 0-4/9", 5, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", FRESH "Content-Range: bytes 0-4/*", 5, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", FRESH "Content-Range: bytes 0-4/9", -1, STORABLE_BECAUSE_EXPLICIT_FRESHNESS },
    { "GET /", FRESH "Content-Range: bytes 0-4/9", 6, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Range: bytes 0-4/9", 0, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Range: bytes */9", 5, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Range: bytes 4-0/9", 5, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Range: pages 0-4/9", 5, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Range: bytes 0-4/9\nContent-Range: bytes 0-4/9", 5, NOT_STORED_PARTIAL },
    { "GET /", FRESH "Content-Type: multipart/byteranges; boundary=x", 5, NOT_STORED_PARTIAL },
    { "QUERY /", FRESH "Content-Range: bytes 0-4/9", 5, NOT_STORED_PARTIAL },
};

START_TEST(part_that_agrees_with_its_content_range)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct field_section fields = section_of(&l, parts[_i].fields);
    check(decide(ask(&a, parts[_i].request, ""), 206, fields, &p, parts[_i].content_length), parts[_i].reason,
          parts[_i].fields);
}
END_TEST

START_TEST(operators_choices)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", "");

    p.default_lifetime_s = 5;
    check(decide(request, 200, section_of(&l, ""), &p, 5), STORABLE_BECAUSE_DEFAULT, "default lifetime");
    check(decide(request, 500, section_of(&l, ""), &p, 5), NOT_STORED_STATUS, "default lifetime");
    p.default_lifetime_s = POLICY_UNSET_S;

    p.status_lifetimes[0] = (struct status_lifetime){ 503, 5 };
    p.status_lifetime_count = 1;
    check(decide(request, 503, section_of(&l, ""), &p, 5), STORABLE_BECAUSE_STATUS_RULE, "status rule");
    check(decide(request, 503, section_of(&l, "Cache-Control: no-store"), &p, 5), NOT_STORED_NO_STORE, "status rule");
    p.status_lifetimes[0].lifetime_s = 0;
    check(decide(request, 503, section_of(&l, FRESH), &p, 5), NOT_STORED_NO_FRESHNESS, "status rule of 0");

    p.default_sie_s = 60;
    check(decide(request, 200, section_of(&l, "Cache-Control: max-age=0"), &p, 5), STORABLE_BECAUSE_EXPLICIT_FRESHNESS,
          "default stale-if-error");
    p.default_sie_s = POLICY_UNSET_S;

    p.content_limit_bytes = 5;
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), STORABLE_BECAUSE_EXPLICIT_FRESHNESS, "at the limit");
    check(decide(request, 200, section_of(&l, FRESH), &p, 6), NOT_STORED_TOO_LARGE, "above the limit");
    check(decide(request, 200, section_of(&l, FRESH), &p, -1), STORABLE_BECAUSE_EXPLICIT_FRESHNESS, "not known yet");
    p.store = false;
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), NOT_STORED_PASS, "a route that passes");
}
END_TEST

START_TEST(operators_methods_and_credentials)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", "Authorization: Basic YTpi");
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), NOT_STORED_AUTHORIZATION, "the origin's credentials");
    p.authorization_is_ours = true;
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), STORABLE_BECAUSE_EXPLICIT_FRESHNESS, "weir's own");
    p.uncached_methods = 1u << METHOD_GET;
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), NOT_STORED_METHOD, "a method left out");
    p.uncached_methods = 1u << METHOD_POST;
    check(decide(request, 200, section_of(&l, FRESH), &p, 5), STORABLE_BECAUSE_EXPLICIT_FRESHNESS, "another left out");
}
END_TEST

START_TEST(set_cookie_is_stripped_or_kept)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", "");
    struct field_section cookie = section_of(&l, "Cache-Control: public, max-age=60\nSet-Cookie: a=1");
    ck_assert(decide(request, 200, cookie, &p, 5).strip_set_cookie);
    p.set_cookie = SET_COOKIE_KEEP;
    ck_assert(!decide(request, 200, cookie, &p, 5).strip_set_cookie);
    cookie = section_of(&l, FRESH "Set-Cookie: a=1");
    check(decide(request, 200, cookie, &p, 5), STORABLE_BECAUSE_EXPLICIT_FRESHNESS, "set_cookie: keep");
    p.set_cookie = SET_COOKIE_STRIP;
    ck_assert(!decide(request, 200, section_of(&l, FRESH), &p, 5).strip_set_cookie);
}
END_TEST

/* RFC 9111 §3.1, §5.2.2.4, §5.2.2.7: the first line of each is asked about */
static const struct {
    const char *fields;
    bool strip_set_cookie, stored;
} lines_of[] = {
    { "Foo: 1", false, true },
    { "Content-Type: text/plain", false, true },
    { "ETag: \"a\"", false, true },
    { "Empty:", false, true },
    { "Vary: foo", false, true },
    { "Set-Cookie: a=1", false, true },
    { "Set-Cookie: a=1", true, false },
    { "Age: 1", false, false },
    { "Content-Length: 1", false, false },
    { "Connection: close", false, false },
    { "Keep-Alive: 1", false, false },
    { "Proxy-Connection: close", false, false },
    { "Proxy-Authenticate: a", false, false },
    { "Proxy-Authentication-Info: a", false, false },
    { "Proxy-Authorization: a", false, false },
    { "TE: trailers", false, false },
    { "Trailer: foo", false, false },
    { "Transfer-Encoding: chunked", false, false },
    { "Upgrade: x", false, false },
    { "Foo: 1\nConnection: close, FOO", false, false },
    { "Foo: 1\nConnection: close\nConnection: foo", false, false },
    { "Foo: 1\nCache-Control: no-cache=\"foo\"", false, false },
    { "Foo: 1\nCache-Control: no-cache=\"bar, Foo\"", false, false },
    { "Foo: 1\nCache-Control: no-cache=foo", false, false },
    { "Foo: 1\nCache-Control: private=\"foo\"", false, false },
    { "Foo: 1\nCache-Control: private=\"bar\"\nCache-Control: private=\"foo\"", false, false },
    { "Foo: 1\nCache-Control: private=\"bar\"", false, true },
    { "Foo: 1\nCache-Control: x=\"foo\"", false, true },
    { "Foo: 1\nCDN-Cache-Control: max-age=1\nCache-Control: private=\"foo\"", false, true },
};

START_TEST(field_becomes_part_of_the_stored_response)
{
    struct lines l;
    struct policy p = default_policy();
    struct storable_decision decision = { STORABLE_YES, STORABLE_BECAUSE_PUBLIC, lines_of[_i].strip_set_cookie };
    struct field_section fields = section_of(&l, lines_of[_i].fields);
    struct response_directives d = directives_in_force(fields, &p);
    ck_assert_msg(storable_field(fields, &fields.lines[0], &d, &decision) == lines_of[_i].stored, "%s",
                  lines_of[_i].fields);
}
END_TEST

START_TEST(each_reason_can_be_told)
{
    for (enum storable_reason r = STORABLE_BECAUSE_EXPLICIT_FRESHNESS; r <= NOT_STORED_NO_RESPONSE; r++) {
        ck_assert_uint_gt(strlen(storable_reason_name(r)), 0);
        ck_assert_ptr_nonnull(strstr(storable_reason_section(r), "RFC "));
        ck_assert_uint_gt(strlen(storable_reason_text(r)), 0);
    }
    ck_assert_str_eq(storable_reason_name(NOT_STORED_SET_COOKIE), "set-cookie");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("storable");
    tcase_add_loop_test(t, method_and_status, 0, ROWS(by_status));
    tcase_add_loop_test(t, directives_and_fields, 0, ROWS(by_directives));
    tcase_add_loop_test(t, must_understand, 0, ROWS(understood));
    tcase_add_loop_test(t, post_for_a_later_get, 0, ROWS(posts));
    tcase_add_loop_test(t, part_that_agrees_with_its_content_range, 0, ROWS(parts));
    tcase_add_test(t, operators_choices);
    tcase_add_test(t, operators_methods_and_credentials);
    tcase_add_test(t, set_cookie_is_stripped_or_kept);
    tcase_add_loop_test(t, field_becomes_part_of_the_stored_response, 0, ROWS(lines_of));
    tcase_add_test(t, each_reason_can_be_told);
    return run_case("cache/storable", t);
}
