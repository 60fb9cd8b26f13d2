#include "cache/outcome.h"

#include "tests/cache/decisions.h"

/* RFC 9211 §2 */
static const struct {
    struct outcome outcome;
    const char *text;
} outcomes[] = {
    { { .hit = true }, "weir; hit" },
    { { .hit = true, .has_ttl = true, .ttl_s = 27 }, "weir; hit; ttl=27" },
    { { .hit = true, .has_ttl = true, .ttl_s = 0 }, "weir; hit; ttl=0" },
    { { .hit = true, .has_ttl = true, .ttl_s = -412 }, "weir; hit; ttl=-412" },
    { { .hit = true, .ttl_s = 5 }, "weir; hit" },
    { { .has_ttl = true, .ttl_s = INT64_MIN, .hit = true }, "weir; hit; ttl=-999999999999999" },
    { { .has_ttl = true, .ttl_s = INT64_MAX, .hit = true }, "weir; hit; ttl=999999999999999" },
    { { .fwd = FWD_BYPASS }, "weir; fwd=bypass" },
    { { .fwd = FWD_METHOD, .fwd_status = 201 }, "weir; fwd=method; fwd-status=201" },
    { { .fwd = FWD_URI_MISS, .fwd_status = 200, .stored = true }, "weir; fwd=uri-miss; fwd-status=200; stored" },
    { { .fwd = FWD_VARY_MISS }, "weir; fwd=vary-miss" },
    { { .fwd = FWD_MISS, .collapsed = true }, "weir; fwd=miss; collapsed" },
    { { .fwd = FWD_REQUEST }, "weir; fwd=request" },
    { { .fwd = FWD_PARTIAL }, "weir; fwd=partial" },
    { { .fwd = FWD_STALE, .fwd_status = 304, .has_ttl = true, .ttl_s = 60, .stored = true, .collapsed = true },
      "weir; fwd=stale; fwd-status=304; ttl=60; stored; collapsed" },
    /* hit and fwd exclude each other, and so do the parameters of fwd */
    { { .hit = true, .fwd = FWD_STALE, .fwd_status = 200, .stored = true, .collapsed = true }, "weir; hit" },
    { { .fwd = FWD_NONE, .fwd_status = 200, .stored = true, .collapsed = true }, "weir" },
    /* key: a String */
    { { .hit = true, .key = { "/a", 2 } }, "weir; hit; key=\"/a\"" },
    { { .hit = true, .key = { "a\"b\\", 4 } }, "weir; hit; key=\"a\\\"b\\\\\"" },
    { { .hit = true, .key = { "\xc3\xa4", 2 }, .detail = "x" }, "weir; hit; detail=x" },
    { { .hit = true, .key = { "a\nb", 3 } }, "weir; hit" },
    /* detail: a Token where it is one, else a String */
    { { .fwd = FWD_MISS, .detail = "set-cookie" }, "weir; fwd=miss; detail=set-cookie" },
    { { .fwd = FWD_MISS, .detail = "a:b/c*" }, "weir; fwd=miss; detail=a:b/c*" },
    { { .fwd = FWD_MISS, .detail = "*" }, "weir; fwd=miss; detail=*" },
    { { .fwd = FWD_MISS, .detail = "timed out" }, "weir; fwd=miss; detail=\"timed out\"" },
    { { .fwd = FWD_MISS, .detail = "4xx" }, "weir; fwd=miss; detail=\"4xx\"" },
    { { .fwd = FWD_MISS, .detail = "" }, "weir; fwd=miss; detail=\"\"" },
    { { .fwd = FWD_MISS, .detail = "a\tb" }, "weir; fwd=miss" },
    { { .detail = "only-if-cached" }, "weir; detail=only-if-cached" },
};

START_TEST(outcome_as_cache_status)
{
    char text[OUTCOME_TEXT_MAX];
    size_t len = outcome_format(&outcomes[_i].outcome, text, sizeof text);
    ck_assert_str_eq(text, outcomes[_i].text);
    ck_assert_uint_eq(len, strlen(outcomes[_i].text));
}
END_TEST

START_TEST(parameter_that_does_not_fit_is_left_out)
{
    char text[OUTCOME_TEXT_MAX];
    struct outcome o = { .hit = true, .has_ttl = true, .ttl_s = 27, .detail = "x" };
    ck_assert_uint_eq(outcome_format(&o, text, sizeof "weir; hit; ttl=27"), strlen("weir; hit; ttl=27"));
    ck_assert_str_eq(text, "weir; hit; ttl=27");
    outcome_format(&o, text, sizeof "weir; hit; ttl=27" - 1);
    ck_assert_str_eq(text, "weir; hit");
    outcome_format(&o, text, sizeof "weir; hit" - 1);
    ck_assert_str_eq(text, "weir");
    o.key = view_of_str("/a/long/path/that/leaves/no/room");
    outcome_format(&o, text, 32);
    ck_assert_str_eq(text, "weir; hit; ttl=27; detail=x");
    ck_assert_uint_eq(outcome_format(&o, text, 1), 0);
    ck_assert_str_eq(text, "");
    text[0] = 'x';
    ck_assert_uint_eq(outcome_format(&o, text, 0), 0);
    ck_assert_int_eq(text[0], 'x');
}
END_TEST

static const struct {
    enum reuse_reason reason;
    enum fwd_reason fwd;
} forwards[] = {
    { REUSE_BECAUSE_FRESH, FWD_NONE },          { REUSE_BECAUSE_SWR, FWD_NONE },
    { REUSE_BECAUSE_MAX_STALE, FWD_NONE },      { REUSE_BECAUSE_EARLY, FWD_NONE },
    { REUSE_BECAUSE_ONLY_IF_CACHED, FWD_NONE }, { REUSE_BECAUSE_STALE, FWD_STALE },
    { REUSE_BECAUSE_NO_CACHE, FWD_STALE },      { REUSE_BECAUSE_PURGED_SOFT, FWD_STALE },
    { REUSE_BECAUSE_REQUEST, FWD_REQUEST },     { REUSE_BECAUSE_URI_MISS, FWD_URI_MISS },
    { REUSE_BECAUSE_VARY_MISS, FWD_VARY_MISS }, { REUSE_BECAUSE_PURGED, FWD_MISS },
    { REUSE_BECAUSE_METHOD, FWD_METHOD },       { REUSE_BECAUSE_BYPASS, FWD_BYPASS },
    { REUSE_BECAUSE_PARTIAL, FWD_PARTIAL },
};

START_TEST(forward_reason_of_each_decision)
{
    ck_assert_int_eq(fwd_reason_of(forwards[_i].reason), forwards[_i].fwd);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("outcome");
    tcase_add_loop_test(t, outcome_as_cache_status, 0, ROWS(outcomes));
    tcase_add_test(t, parameter_that_does_not_fit_is_left_out);
    tcase_add_loop_test(t, forward_reason_of_each_decision, 0, ROWS(forwards));
    return run_case("cache/outcome", t);
}
