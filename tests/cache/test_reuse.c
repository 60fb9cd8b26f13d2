#include "cache/reuse.h"

#include <stdio.h>

#include "tests/cache/decisions.h"

/* Asks `line` with `fields` of a response that was stored at NOW_S with `stored`, age_s seconds later. */
struct question {
    struct asked asked;
    struct lines lines;
    struct stored_head head;
    struct reuse_inputs in;
};

static struct reuse_inputs *stored(struct question *q, int status, const char *fields, const struct policy *p)
{
    q->head = store_head(ask(&q->asked, "GET /", ""), status, section_of(&q->lines, fields), p);
    q->in = (struct reuse_inputs){ .found = FOUND_RESPONSE, .stored = &q->head };
    return &q->in;
}

static void check(struct reuse_decision got, enum reuse_verdict verdict, enum reuse_reason reason, const char *about)
{
    ck_assert_msg(got.verdict == verdict && got.reason == reason, "%s: verdict %d because %s", about, (int)got.verdict,
                  reuse_reason_name(got.reason));
    ck_assert_int_eq(got.refresh_behind, reason == REUSE_BECAUSE_SWR);
}

/* RFC 9111 §4.2, RFC 5861 §3 */
static const struct {
    const char *fields;
    int64_t age_s;
    enum reuse_verdict verdict;
    enum reuse_reason reason;
} aged[] = {
    { "Cache-Control: max-age=10", 0, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=10", 9, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=10", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE }, /* equal is not greater */
    { "Cache-Control: max-age=10", 11, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10\nAge: 9", 0, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=10\nAge: 9", 1, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=0\nETag: \"a\"", 0, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "ETag: \"a\"", 0, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Date: " NOW "\nExpires: " MINUTE_AFTER, 59, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Date: " NOW "\nExpires: " MINUTE_AFTER, 60, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    /* §5.2.2.4: no-cache, and with field names */
    { "Cache-Control: no-cache, max-age=10", 0, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE },
    { "Cache-Control: no-cache, max-age=10, stale-while-revalidate=60", 10, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE },
    { "Cache-Control: no-cache=\"foo\", max-age=10", 0, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "CDN-Cache-Control: no-cache\nCache-Control: max-age=10", 0, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE },
    /* RFC 5861 §3: inside the window, at its end, and what forbids it */
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 9, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 10, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 14, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 15, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-while-revalidate=0", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-while-revalidate=x", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-while-revalidate", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-if-error=5", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-while-revalidate=5, must-revalidate", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, stale-while-revalidate=5, proxy-revalidate", 10, REUSE_VALIDATE,
      REUSE_BECAUSE_STALE },
    { "Cache-Control: s-maxage=10, stale-while-revalidate=5", 10, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "CDN-Cache-Control: max-age=10, stale-while-revalidate=5", 10, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "CDN-Cache-Control: max-age=10\nCache-Control: stale-while-revalidate=5", 10, REUSE_VALIDATE,
      REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, must-revalidate", 9, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=10, must-revalidate", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=10, immutable", 10, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
};

START_TEST(age_against_lifetime)
{
    struct question q;
    struct policy p = default_policy();
    struct reuse_inputs *in = stored(&q, 200, aged[_i].fields, &p);
    struct reuse_decision d = reuse_decide(&q.asked.head, in, &p, NOW_S + aged[_i].age_s);
    check(d, aged[_i].verdict, aged[_i].reason, aged[_i].fields);
    ck_assert_int_eq(d.age_s, current_age_s(&q.head, NOW_S + aged[_i].age_s));
    ck_assert_int_eq(d.lifetime_s, freshness_lifetime(&q.head, &p, 0).lifetime_s);
    ck_assert(d.may_store_answer);
}
END_TEST

/* What a lookup found, and how: RFC 9111 §4 */
static const struct {
    const char *request;
    enum found found;
    enum reuse_verdict verdict;
    enum reuse_reason reason;
    bool may_store_answer;
} lookups[] = {
    { "GET /", FOUND_NOTHING, REUSE_FORWARD, REUSE_BECAUSE_URI_MISS, true },
    { "HEAD /", FOUND_NOTHING, REUSE_FORWARD, REUSE_BECAUSE_URI_MISS, true },
    { "QUERY /", FOUND_NOTHING, REUSE_FORWARD, REUSE_BECAUSE_URI_MISS, true },
    { "GET /", FOUND_OTHER_VARIANT, REUSE_FORWARD, REUSE_BECAUSE_VARY_MISS, true },
    { "GET /", FOUND_PURGED, REUSE_FORWARD, REUSE_BECAUSE_PURGED, true },
    { "GET /", FOUND_RESPONSE, REUSE_FRESH, REUSE_BECAUSE_FRESH, true },
    { "HEAD /", FOUND_RESPONSE, REUSE_FRESH, REUSE_BECAUSE_FRESH, true },
    { "QUERY /", FOUND_RESPONSE, REUSE_FRESH, REUSE_BECAUSE_FRESH, true },
    { "POST /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, true },
    { "PUT /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
    { "DELETE /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
    { "PATCH /", FOUND_NOTHING, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
    { "OPTIONS /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
    { "TRACE /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
    { "MKCOL /", FOUND_RESPONSE, REUSE_PASS, REUSE_BECAUSE_METHOD, false },
};

START_TEST(method_and_what_was_found)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    struct reuse_inputs *in = stored(&q, 200, "Cache-Control: max-age=10", &p);
    in->found = lookups[_i].found;
    struct reuse_decision d = reuse_decide(ask(&a, lookups[_i].request, ""), in, &p, NOW_S);
    check(d, lookups[_i].verdict, lookups[_i].reason, lookups[_i].request);
    ck_assert_int_eq(d.may_store_answer, lookups[_i].may_store_answer);
}
END_TEST

/* Clients do not steer a shared edge: asked of a response that is fresh for 10 s, 5 s after it was stored. */
static const struct {
    const char *request;
    bool trust;
    enum reuse_verdict verdict;
    enum reuse_reason reason;
} fresh_asks[] = {
    { "Cache-Control: no-cache", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=0", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: min-fresh=60", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: no-store", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Pragma: no-cache", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: only-if-cached", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Authorization: a", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    /* §5.2.1, where the route trusts them */
    { "Cache-Control: no-cache", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Pragma: no-cache", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Pragma: x, NO-CACHE", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: max-age=60\nPragma: no-cache", true, REUSE_FRESH, REUSE_BECAUSE_FRESH }, /* §5.4 */
    { "Cache-Control: max-age=4", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: max-age=5", true, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=0", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: max-age=x", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: max-age=4, max-stale=1", true, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: max-age=3, max-stale=1", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: max-age=0, max-stale", true, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: min-fresh=5", true, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: min-fresh=6", true, REUSE_VALIDATE, REUSE_BECAUSE_REQUEST },
    { "Cache-Control: no-store", true, REUSE_FRESH, REUSE_BECAUSE_FRESH },
    { "Cache-Control: no-cache, only-if-cached", true, REUSE_GATEWAY_TIMEOUT, REUSE_BECAUSE_ONLY_IF_CACHED },
    { "Cache-Control: no-cache, only-if-cached", false, REUSE_FRESH, REUSE_BECAUSE_FRESH },
};

START_TEST(request_directives_on_a_fresh_response)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    p.trust_request_directives = fresh_asks[_i].trust;
    struct reuse_inputs *in = stored(&q, 200, "Cache-Control: max-age=10", &p);
    struct reuse_decision d = reuse_decide(ask(&a, "GET /", fresh_asks[_i].request), in, &p, NOW_S + 5);
    check(d, fresh_asks[_i].verdict, fresh_asks[_i].reason, fresh_asks[_i].request);
}
END_TEST

/* The same, 15 s after it was stored. */
static const struct {
    const char *request, *fields;
    bool trust;
    enum reuse_verdict verdict;
    enum reuse_reason reason;
} stale_asks[] = {
    /* §5.2.1.2 */
    { "Cache-Control: max-stale", "", false, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale", "", true, REUSE_STALE, REUSE_BECAUSE_MAX_STALE },
    { "Cache-Control: max-stale=5", "", true, REUSE_STALE, REUSE_BECAUSE_MAX_STALE },
    { "Cache-Control: max-stale=4", "", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale=x", "", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale", ", must-revalidate", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale", ", proxy-revalidate", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale", ", s-maxage=10", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-stale", ", no-cache", true, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE },
    { "Cache-Control: max-age=20", "", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=20, max-stale=5", "", true, REUSE_STALE, REUSE_BECAUSE_MAX_STALE },
    { "Cache-Control: no-cache", "", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    /* beside stale-while-revalidate */
    { "Cache-Control: max-age=20", ", stale-while-revalidate=60", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: max-age=20", ", stale-while-revalidate=60", false, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: min-fresh=1", ", stale-while-revalidate=60", true, REUSE_VALIDATE, REUSE_BECAUSE_STALE },
    { "Cache-Control: no-store", ", stale-while-revalidate=60", false, REUSE_STALE, REUSE_BECAUSE_SWR },
    /* §5.2.1.7 */
    { "Cache-Control: only-if-cached", "", false, REUSE_GATEWAY_TIMEOUT, REUSE_BECAUSE_ONLY_IF_CACHED },
    { "Cache-Control: only-if-cached", ", stale-while-revalidate=60", false, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: only-if-cached, max-stale", "", true, REUSE_STALE, REUSE_BECAUSE_MAX_STALE },
    { "Cache-Control: only-if-cached", ", no-cache", false, REUSE_GATEWAY_TIMEOUT, REUSE_BECAUSE_ONLY_IF_CACHED },
};

START_TEST(request_directives_on_a_stale_response)
{
    struct question q;
    struct asked a;
    char fields[128];
    struct policy p = default_policy();
    p.trust_request_directives = stale_asks[_i].trust;
    snprintf(fields, sizeof fields, "Cache-Control: max-age=10%s", stale_asks[_i].fields);
    struct reuse_inputs *in = stored(&q, 200, fields, &p);
    struct reuse_decision d = reuse_decide(ask(&a, "GET /", stale_asks[_i].request), in, &p, NOW_S + 15);
    check(d, stale_asks[_i].verdict, stale_asks[_i].reason, stale_asks[_i].request);
}
END_TEST

/* RFC 8246 §2.1 */
START_TEST(immutable_response_is_not_validated_by_a_reload)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    p.trust_request_directives = true;
    struct reuse_inputs *in = stored(&q, 200, "Cache-Control: max-age=10, immutable", &p);
    check(reuse_decide(ask(&a, "GET /", "Cache-Control: max-age=0"), in, &p, NOW_S + 5), REUSE_FRESH,
          REUSE_BECAUSE_FRESH, "a reload");
    check(reuse_decide(ask(&a, "GET /", "Cache-Control: no-cache"), in, &p, NOW_S + 5), REUSE_VALIDATE,
          REUSE_BECAUSE_REQUEST, "a forced reload");
    check(reuse_decide(ask(&a, "GET /", "Cache-Control: max-age=0"), in, &p, NOW_S + 10), REUSE_VALIDATE,
          REUSE_BECAUSE_STALE, "a reload once stale");
}
END_TEST

START_TEST(only_if_cached_without_anything_stored)
{
    static const enum found nothing_usable[] = { FOUND_NOTHING, FOUND_OTHER_VARIANT, FOUND_PURGED };
    struct asked a;
    struct policy p = default_policy();
    for (size_t i = 0; i < sizeof nothing_usable / sizeof *nothing_usable; i++) {
        struct reuse_inputs in = { .found = nothing_usable[i] };
        struct reuse_decision d = reuse_decide(ask(&a, "GET /", "Cache-Control: Only-If-Cached"), &in, &p, NOW_S);
        check(d, REUSE_GATEWAY_TIMEOUT, REUSE_BECAUSE_ONLY_IF_CACHED, "only-if-cached");
    }
    struct reuse_inputs in = { .found = FOUND_NOTHING };
    check(reuse_decide(ask(&a, "POST /", "Cache-Control: only-if-cached"), &in, &p, NOW_S), REUSE_PASS,
          REUSE_BECAUSE_METHOD, "only-if-cached is about stored responses");
}
END_TEST

START_TEST(answer_to_no_store_is_not_stored)
{
    struct asked a;
    struct question q;
    struct policy p = default_policy();
    struct reuse_inputs in = { .found = FOUND_NOTHING };
    ck_assert(!reuse_decide(ask(&a, "GET /", "Cache-Control: no-store"), &in, &p, NOW_S).may_store_answer);
    ck_assert(!reuse_decide(ask(&a, "POST /", "Cache-Control: no-store"), &in, &p, NOW_S).may_store_answer);
    ck_assert(reuse_decide(ask(&a, "GET /", "Cache-Control: no-cache"), &in, &p, NOW_S).may_store_answer);
    /* the refresh behind it is weir's own request */
    struct reuse_inputs *stale = stored(&q, 200, "Cache-Control: max-age=1, stale-while-revalidate=9", &p);
    ck_assert(reuse_decide(ask(&a, "GET /", "Cache-Control: no-store"), stale, &p, NOW_S + 2).may_store_answer);
}
END_TEST

START_TEST(route_that_does_not_store_passes)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    struct reuse_inputs *in = stored(&q, 200, "Cache-Control: max-age=10", &p);
    p.store = false;
    struct reuse_decision d = reuse_decide(&q.asked.head, in, &p, NOW_S);
    check(d, REUSE_PASS, REUSE_BECAUSE_BYPASS, "store: false");
    ck_assert(!d.may_store_answer);
    check(reuse_decide(ask(&a, "GET /", "Cache-Control: only-if-cached"), in, &p, NOW_S), REUSE_GATEWAY_TIMEOUT,
          REUSE_BECAUSE_ONLY_IF_CACHED, "store: false and only-if-cached");
    check(reuse_decide(ask(&a, "POST /", ""), in, &p, NOW_S), REUSE_PASS, REUSE_BECAUSE_METHOD, "store: false");
}
END_TEST

/* RFC 9111 §3.3, §3.4 */
START_TEST(stored_part_serves_only_what_it_covers)
{
    struct question q;
    struct policy p = default_policy();
    struct reuse_inputs *in = stored(&q, 206, "Cache-Control: max-age=10\nContent-Range: bytes 0-4/9", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S), REUSE_FORWARD, REUSE_BECAUSE_PARTIAL, "not covered");
    in->range_satisfied = true;
    check(reuse_decide(&q.asked.head, in, &p, NOW_S), REUSE_FRESH, REUSE_BECAUSE_FRESH, "covered");
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 10), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "covered, stale");
    in->range_satisfied = false;
    in->found = FOUND_RESPONSE;
    in = stored(&q, 200, "Cache-Control: max-age=10", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S), REUSE_FRESH, REUSE_BECAUSE_FRESH, "the whole");
}
END_TEST

/* Softly purged soft_age_s ago, at age_s. */
static const struct {
    const char *fields;
    int64_t soft_age_s, age_s;
    enum reuse_verdict verdict;
    enum reuse_reason reason;
} softly_purged[] = {
    { "Cache-Control: max-age=100", 0, 5, REUSE_VALIDATE, REUSE_BECAUSE_PURGED_SOFT },
    { "Cache-Control: max-age=100, stale-while-revalidate=10", 0, 5, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: max-age=100, stale-while-revalidate=10", 9, 50, REUSE_STALE, REUSE_BECAUSE_SWR },
    { "Cache-Control: max-age=100, stale-while-revalidate=10", 10, 50, REUSE_VALIDATE, REUSE_BECAUSE_PURGED_SOFT },
    { "Cache-Control: max-age=10, stale-while-revalidate=10", 0, 25, REUSE_VALIDATE, REUSE_BECAUSE_PURGED_SOFT },
    { "Cache-Control: max-age=100, stale-while-revalidate=10, must-revalidate", 0, 5, REUSE_VALIDATE,
      REUSE_BECAUSE_PURGED_SOFT },
    { "Cache-Control: max-age=100, no-cache", 0, 5, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE },
};

START_TEST(soft_purge_makes_stale_since_then)
{
    struct question q;
    struct policy p = default_policy();
    struct reuse_inputs *in = stored(&q, 200, softly_purged[_i].fields, &p);
    in->purged_soft = true;
    in->soft_age_s = softly_purged[_i].soft_age_s;
    struct reuse_decision d = reuse_decide(&q.asked.head, in, &p, NOW_S + softly_purged[_i].age_s);
    check(d, softly_purged[_i].verdict, softly_purged[_i].reason, softly_purged[_i].fields);
    ck_assert_int_le(d.lifetime_s, d.age_s - softly_purged[_i].soft_age_s);
}
END_TEST

START_TEST(operators_default_for_stale_while_revalidate)
{
    struct question q;
    struct policy p = default_policy();
    p.default_swr_s = 5;
    struct reuse_inputs *in = stored(&q, 200, "Cache-Control: max-age=10", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 14), REUSE_STALE, REUSE_BECAUSE_SWR, "default");
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 15), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "default over");
    in = stored(&q, 200, "Cache-Control: max-age=10, stale-while-revalidate=0", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 10), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "said: none");
    in = stored(&q, 200, "Cache-Control: max-age=0", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "never fresh");
    in = stored(&q, 200, "Cache-Control: max-age=0, stale-while-revalidate=1", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S), REUSE_STALE, REUSE_BECAUSE_SWR, "never fresh, and said");
    in = stored(&q, 200, "Cache-Control: s-maxage=10", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 10), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "plain s-maxage");
    in = stored(&q, 200, "Cache-Control: s-maxage=10, stale-if-error=60", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 10), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "s-maxage, sie only");
}
END_TEST

/* RFC 9111 §4.2.4 by the letter */
START_TEST(s_maxage_can_forbid_stale)
{
    struct question q;
    struct policy p = default_policy();
    p.stale_with_s_maxage = false;
    struct reuse_inputs *in =
        stored(&q, 200, "Cache-Control: s-maxage=10, stale-while-revalidate=60, stale-if-error=60", &p);
    check(reuse_decide(&q.asked.head, in, &p, NOW_S + 10), REUSE_VALIDATE, REUSE_BECAUSE_STALE, "the letter");
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, -1, NOW_S + 10));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, -1, NOW_S + 10));
}
END_TEST

/* ---- RFC 5861 §4; status 0 is no answer at all */

static const struct {
    const char *fields;
    int status;
    int64_t age_s;
    bool allowed;
} errors[] = {
    { "Cache-Control: max-age=10, stale-if-error=5", 500, 10, true },
    { "Cache-Control: max-age=10, stale-if-error=5", 502, 14, true },
    { "Cache-Control: max-age=10, stale-if-error=5", 503, 14, true },
    { "Cache-Control: max-age=10, stale-if-error=5", 504, 14, true },
    { "Cache-Control: max-age=10, stale-if-error=5", 0, 14, true },
    { "Cache-Control: max-age=10, stale-if-error=5", 503, 15, false },
    { "Cache-Control: max-age=10, stale-if-error=5", 0, 15, false }, /* what was said wins over if_unreachable */
    { "Cache-Control: max-age=10, stale-if-error=0", 0, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5", 501, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5", 505, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5", 404, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5", 200, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=x", 503, 10, false },
    /* nothing said about stale: only for no answer, for 60 s */
    { "Cache-Control: max-age=10", 0, 69, true },
    { "Cache-Control: max-age=10", 0, 70, false },
    { "Cache-Control: max-age=10", 503, 10, false },
    { "ETag: \"a\"", 0, 59, true },
    { "ETag: \"a\"", 0, 60, false },
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 0, 69, true },
    { "Cache-Control: max-age=10, stale-while-revalidate=5", 503, 10, false },
    /* §4.2.4: forbidden */
    { "Cache-Control: max-age=10, stale-if-error=5, must-revalidate", 503, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5, proxy-revalidate", 503, 10, false },
    { "Cache-Control: max-age=10, stale-if-error=5, no-cache", 503, 5, false },
    { "Cache-Control: max-age=10, must-revalidate", 0, 10, false },
    { "Cache-Control: max-age=10, proxy-revalidate", 0, 10, false },
    { "Cache-Control: no-cache\nETag: \"a\"", 0, 0, false },
    { "Cache-Control: s-maxage=10", 0, 10, false },
    { "Cache-Control: s-maxage=10", 503, 10, false },
    { "Cache-Control: s-maxage=10, stale-if-error=5", 503, 14, true },
    { "Cache-Control: s-maxage=10, stale-if-error=5", 503, 15, false },
    { "Cache-Control: s-maxage=10, stale-if-error=5, must-revalidate", 503, 10, false },
    { "CDN-Cache-Control: max-age=10, stale-if-error=5\nCache-Control: must-revalidate", 503, 10, true },
};

START_TEST(stale_when_the_origin_fails)
{
    struct question q;
    struct policy p = default_policy();
    stored(&q, 200, errors[_i].fields, &p);
    bool got = reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, errors[_i].status, -1, NOW_S + errors[_i].age_s);
    ck_assert_msg(got == errors[_i].allowed, "%s, status %d, age %d", errors[_i].fields, errors[_i].status,
                  (int)errors[_i].age_s);
}
END_TEST

START_TEST(operators_default_for_stale_if_error)
{
    struct question q;
    struct policy p = default_policy();
    p.default_sie_s = 100;
    stored(&q, 200, "Cache-Control: max-age=10", &p);
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, -1, NOW_S + 109));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, -1, NOW_S + 110));
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, -1, NOW_S + 109));
    p.default_sie_s = 5;
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, -1, NOW_S + 69));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, -1, NOW_S + 15));
    p.stale_if_unreachable_s = 0;
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, -1, NOW_S + 15));
}
END_TEST

START_TEST(softly_purged_response_stands_in_for_errors)
{
    struct question q;
    struct policy p = default_policy();
    stored(&q, 200, "Cache-Control: max-age=100, stale-if-error=5", &p);
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, 0, NOW_S + 50));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, 0, NOW_S + 105));
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, 4, NOW_S + 50));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, 5, NOW_S + 50));
    stored(&q, 200, "Cache-Control: max-age=100", &p);
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 503, 0, NOW_S + 50));
    ck_assert(reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, 0, NOW_S + 50));
    ck_assert(!reuse_stale_if_error(&q.asked.head, &q.head, &p, 0, 0, 60, NOW_S + 80));
}
END_TEST

/* Asked of max-age=10, stale-if-error=5 at 12 s, with a 503. */
static const struct {
    const char *request;
    bool trust, allowed;
} error_asks[] = {
    { "", true, true },
    { "Cache-Control: no-cache", true, false },
    { "Pragma: no-cache", true, false },
    { "Cache-Control: max-age=0", true, false },
    { "Cache-Control: max-age=12", true, true },
    { "Cache-Control: max-age=0, max-stale", true, true },
    { "Cache-Control: max-age=0, stale-if-error=60", true, true },
    { "Cache-Control: no-cache", false, true },
    { "Cache-Control: max-age=0", false, true },
};

START_TEST(request_directives_when_the_origin_fails)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    p.trust_request_directives = error_asks[_i].trust;
    stored(&q, 200, "Cache-Control: max-age=10, stale-if-error=5", &p);
    const struct request_head *request = ask(&a, "GET /", error_asks[_i].request);
    ck_assert_msg(reuse_stale_if_error(request, &q.head, &p, 0, 503, -1, NOW_S + 12) == error_asks[_i].allowed, "%s",
                  error_asks[_i].request);
}
END_TEST

START_TEST(trusted_stale_if_error_of_a_request_widens_the_window)
{
    struct question q;
    struct asked a;
    struct policy p = default_policy();
    p.trust_request_directives = true;
    stored(&q, 200, "Cache-Control: max-age=10", &p);
    const struct request_head *request = ask(&a, "GET /", "Cache-Control: stale-if-error=100");
    ck_assert(reuse_stale_if_error(request, &q.head, &p, 0, 503, -1, NOW_S + 109));
    ck_assert(!reuse_stale_if_error(request, &q.head, &p, 0, 503, -1, NOW_S + 110));
    p.trust_request_directives = false;
    ck_assert(!reuse_stale_if_error(request, &q.head, &p, 0, 503, -1, NOW_S + 10));
}
END_TEST

START_TEST(each_reason_can_be_told)
{
    for (enum reuse_reason r = REUSE_BECAUSE_FRESH; r <= REUSE_BECAUSE_ONLY_IF_CACHED; r++) {
        ck_assert_uint_gt(strlen(reuse_reason_name(r)), 0);
        ck_assert_ptr_nonnull(strstr(reuse_reason_section(r), "RFC "));
        ck_assert_uint_gt(strlen(reuse_reason_text(r)), 0);
    }
    ck_assert_str_eq(reuse_reason_name(REUSE_BECAUSE_VARY_MISS), "vary-miss");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("reuse");
    tcase_add_loop_test(t, age_against_lifetime, 0, ROWS(aged));
    tcase_add_loop_test(t, method_and_what_was_found, 0, ROWS(lookups));
    tcase_add_loop_test(t, request_directives_on_a_fresh_response, 0, ROWS(fresh_asks));
    tcase_add_loop_test(t, request_directives_on_a_stale_response, 0, ROWS(stale_asks));
    tcase_add_test(t, immutable_response_is_not_validated_by_a_reload);
    tcase_add_test(t, only_if_cached_without_anything_stored);
    tcase_add_test(t, answer_to_no_store_is_not_stored);
    tcase_add_test(t, route_that_does_not_store_passes);
    tcase_add_test(t, stored_part_serves_only_what_it_covers);
    tcase_add_loop_test(t, soft_purge_makes_stale_since_then, 0, ROWS(softly_purged));
    tcase_add_test(t, operators_default_for_stale_while_revalidate);
    tcase_add_test(t, s_maxage_can_forbid_stale);
    tcase_add_loop_test(t, stale_when_the_origin_fails, 0, ROWS(errors));
    tcase_add_test(t, operators_default_for_stale_if_error);
    tcase_add_test(t, softly_purged_response_stands_in_for_errors);
    tcase_add_loop_test(t, request_directives_when_the_origin_fails, 0, ROWS(error_asks));
    tcase_add_test(t, trusted_stale_if_error_of_a_request_widens_the_window);
    tcase_add_test(t, each_reason_can_be_told);
    return run_case("cache/reuse", t);
}
