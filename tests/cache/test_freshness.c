#include "cache/freshness.h"

#include "tests/cache/decisions.h"

/* The freshness lifetime of a 200 that arrived at NOW_S; -1 where the response says none. */
static const struct {
    const char *fields;
    int64_t lifetime_s;
    enum lifetime_source source;
} lifetimes[] = {
    /* RFC 9111 §4.2.1: s-maxage, then max-age, then Expires */
    { "Cache-Control: max-age=60", 60, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=60, s-maxage=90", 90, LIFETIME_S_MAXAGE },
    { "Cache-Control: s-maxage=0, max-age=60", 0, LIFETIME_S_MAXAGE },
    { "Cache-Control: max-age=60\nDate: " NOW "\nExpires: " HOUR_AFTER, 60, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=0\nDate: " NOW "\nExpires: " HOUR_AFTER, 0, LIFETIME_MAX_AGE },
    { "Date: " NOW "\nExpires: " HOUR_AFTER, 3600, LIFETIME_EXPIRES },
    { "Cache-Control: public\nDate: " NOW "\nExpires: " HOUR_AFTER, 3600, LIFETIME_EXPIRES },
    { "Date: " NOW, 0, LIFETIME_NONE },
    /* what cannot be read is stale, not unsaid */
    { "Cache-Control: max-age=a", 0, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=-1", 0, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=3600.0", 0, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age =3600", 0, LIFETIME_MAX_AGE },
    { "Cache-Control: s-maxage=a, max-age=60", 0, LIFETIME_S_MAXAGE },
    { "Cache-Control: max-age=\"60\"", 60, LIFETIME_MAX_AGE },
    { "Cache-Control: MAX-AGE=60, extension", 60, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=60, max-age=10", 10, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=60\nCache-Control: max-age=10", 10, LIFETIME_MAX_AGE },
    { "Cache-Control: max-age=99999999999", 2147483647, LIFETIME_MAX_AGE },
    /* §5.3: Expires counts from Date; what is no date is in the past */
    { "Date: " HOUR_BEFORE "\nExpires: " NOW, 3600, LIFETIME_EXPIRES },
    { "Date: " HOUR_AFTER "\nExpires: " HOUR_AFTER, 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: " HOUR_BEFORE, 0, LIFETIME_EXPIRES },
    { "Expires: " HOUR_AFTER, 3600, LIFETIME_EXPIRES },
    { "Date: yesterday\nExpires: " HOUR_AFTER, 3600, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: 0", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires:", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: -1", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tue, 01 Jan 2030 01:00:00 AEST", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tue, 01 Jan 2030 01:00:00", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tue, 31 Feb 2030 01:00:00 GMT", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tuesday, 01-Jan-30 01:00:00 GMT", 3600, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tue Jan  1 01:00:00 2030", 3600, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: Tue, 01 Jan 2030 01:00:00 GMT, Tue, 01 Jan 2030 01:00:00 GMT", 0, LIFETIME_EXPIRES },
    /* §4.2.1: two that agree are one, two that do not leave only a guess */
    { "Date: " NOW "\nExpires: " HOUR_AFTER "\nExpires: " HOUR_AFTER, 3600, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: " HOUR_AFTER "\nExpires: " MINUTE_AFTER, 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: " HOUR_AFTER "\nExpires: never", 0, LIFETIME_EXPIRES },
    { "Date: " NOW "\nExpires: never\nExpires: " HOUR_AFTER, 0, LIFETIME_EXPIRES },
    /* RFC 9213 §2.2: a targeted field takes the place of Cache-Control and of Expires */
    { "CDN-Cache-Control: max-age=5\nCache-Control: max-age=60", 5, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=60\nCache-Control: max-age=5", 60, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=60, s-maxage=70", 70, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=60\nCache-Control: s-maxage=5", 60, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=0\nDate: " NOW "\nExpires: " HOUR_AFTER, 0, LIFETIME_TARGETED },
    { "CDN-Cache-Control: public\nDate: " NOW "\nExpires: " HOUR_AFTER, 0, LIFETIME_NONE },
    { "CDN-Cache-Control: max-age=60, foo=bar", 60, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=60, max-age=70", 70, LIFETIME_TARGETED },
    { "CDN-Cache-Control: max-age=60,\nCache-Control: max-age=5", 5, LIFETIME_MAX_AGE },
    { "CDN-Cache-Control: MAX-AGE=60\nCache-Control: max-age=5", 5, LIFETIME_MAX_AGE },
    { "CDN-Cache-Control:\nCache-Control: max-age=5", 5, LIFETIME_MAX_AGE },
    { "CDN-Cache-Control: max-age=\"60\"\nCache-Control: max-age=5", 0, LIFETIME_NONE },
};

START_TEST(lifetime_of_each_source)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct stored_head s = store_head(ask(&a, "GET /", ""), 200, section_of(&l, lifetimes[_i].fields), &p);
    struct lifetime got = freshness_lifetime(&s, &p, 0);
    ck_assert_msg(got.lifetime_s == lifetimes[_i].lifetime_s && got.source == lifetimes[_i].source, "%s: %lld s by %s",
                  lifetimes[_i].fields, (long long)got.lifetime_s, lifetime_source_name(got.source));
}
END_TEST

/* RFC 9111 §4.2.3, for a response asked for at NOW_S - delay_s that arrives at NOW_S. */
static const struct {
    const char *fields;
    int64_t delay_s, resident_s, age_s;
} ages[] = {
    { "", 0, 0, 0 },
    { "", 0, 10, 10 },
    { "", 0, -10, 0 },                    /* a clock set back makes nothing younger than it was */
    { "Age: 50", 0, 0, 50 },              /* an upstream cache counts */
    { "Age: 50", 3, 10, 63 },             /* and so does the time the response took */
    { "", 3, 10, 13 },                    /* also without one */
    { "Date: " HOUR_BEFORE, 0, 0, 3600 }, /* apparent_age */
    { "Date: " HOUR_BEFORE, 3, 0, 3600 }, /* the larger of the two, not their sum */
    { "Date: " MINUTE_BEFORE "\nAge: 100", 0, 5, 105 },
    { "Date: " MINUTE_BEFORE "\nAge: 10", 0, 5, 65 },
    { "Date: " HOUR_AFTER, 0, 0, 0 }, /* a Date in the future */
    { "Date: soon", 0, 7, 7 },
    { "Age: x", 0, 0, 0 },
    { "Age: -5", 0, 0, 0 },
    { "Age: 7, 9", 0, 0, 7 },
    { "Age: 7\nAge: 9", 0, 0, 7 },
    { "Age: 99999999999999999999", 0, 0, 2147483647 },
    { "Age: 2147483647", 5, 0, 2147483647 },
    { "Age: 2147483647", 0, 5, 2147483652 },
};

START_TEST(age_counts_from_where_it_began)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct response_head response = { .status = 200, .fields = section_of(&l, ages[_i].fields) };
    struct response_times times = { NOW_S - ages[_i].delay_s, NOW_S };
    struct stored_head s;
    stored_head_of(ask(&a, "GET /", ""), &response, &p, &times, &s);
    ck_assert_int_eq(current_age_s(&s, NOW_S + ages[_i].resident_s), ages[_i].age_s);
}
END_TEST

static const struct {
    int status;
    const char *fields;
    int64_t lifetime_s;
    enum lifetime_source source;
} heuristics[] = {
    /* RFC 9111 §4.2.2: a tenth of the time since Last-Modified, at most an hour */
    { 200, "Date: " NOW "\nLast-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 200, "Date: " NOW "\nLast-Modified: " DAY_BEFORE, 3600, LIFETIME_HEURISTIC },
    { 200, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 200, "Date: " NOW "\nLast-Modified: " NOW, 0, LIFETIME_NONE },
    { 200, "Date: " NOW "\nLast-Modified: " HOUR_AFTER, 0, LIFETIME_NONE },
    { 200, "Date: " NOW "\nLast-Modified: once", 0, LIFETIME_NONE },
    { 200, "Date: " NOW "\nETag: \"a\"", 0, LIFETIME_NONE },
    /* never beside an explicit lifetime */
    { 200, "Cache-Control: max-age=0\nLast-Modified: " DAY_BEFORE, 0, LIFETIME_MAX_AGE },
    { 200, "Expires: 0\nLast-Modified: " DAY_BEFORE, 0, LIFETIME_EXPIRES },
    { 200, "CDN-Cache-Control: public\nLast-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    /* §5.4: not where Pragma asks for the opposite */
    { 200, "Pragma: no-cache\nLast-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 200, "Pragma: x, No-Cache\nLast-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 200, "Pragma: x\nLast-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    /* RFC 9110 §15.1: each status that allows it, and others */
    { 203, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 204, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 206, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 300, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 301, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 308, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 404, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 405, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 410, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 414, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 501, "Last-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 201, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 202, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 302, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 303, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 307, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 403, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 500, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 503, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    { 599, "Last-Modified: " HOUR_BEFORE, 0, LIFETIME_NONE },
    /* §4.2.2: or a response that is explicitly marked as cacheable */
    { 599, "Cache-Control: public\nLast-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
    { 302, "Cache-Control: public\nLast-Modified: " HOUR_BEFORE, 360, LIFETIME_HEURISTIC },
};

START_TEST(heuristic_freshness)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct field_section fields = section_of(&l, heuristics[_i].fields);
    struct stored_head s = store_head(ask(&a, "GET /", ""), heuristics[_i].status, fields, &p);
    struct lifetime got = freshness_lifetime(&s, &p, 0);
    ck_assert_msg(got.lifetime_s == heuristics[_i].lifetime_s && got.source == heuristics[_i].source,
                  "%d %s: %lld s by %s", heuristics[_i].status, heuristics[_i].fields, (long long)got.lifetime_s,
                  lifetime_source_name(got.source));
}
END_TEST

START_TEST(heuristics_can_be_off_or_capped)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    struct stored_head s = store_head(ask(&a, "GET /", ""), 200, section_of(&l, "Last-Modified: " DAY_BEFORE), &p);
    p.heuristic_maximum_s = 10;
    ck_assert_int_eq(freshness_lifetime(&s, &p, 0).lifetime_s, 10);
    p.heuristics = false;
    ck_assert_int_eq(freshness_lifetime(&s, &p, 0).source, LIFETIME_NONE);
    p.default_lifetime_s = 30;
    ck_assert_int_eq(freshness_lifetime(&s, &p, 0).source, LIFETIME_DEFAULT);
    ck_assert_int_eq(freshness_lifetime(&s, &p, 0).lifetime_s, 30);
}
END_TEST

/* The operator's limits: default, minimum, maximum, and a rule that 404 is fresh for 7 seconds. */
static const struct {
    int status;
    const char *fields;
    int64_t default_s, minimum_s, maximum_s, lifetime_s;
    enum lifetime_source source;
    bool limited;
} limits[] = {
    { 200, "", 30, -1, -1, 30, LIFETIME_DEFAULT, false },
    { 500, "", 30, -1, -1, 0, LIFETIME_NONE, false },
    { 200, "Pragma: no-cache", 30, -1, -1, 0, LIFETIME_NONE, false },
    { 200, "Last-Modified: " HOUR_BEFORE, 30, -1, -1, 360, LIFETIME_HEURISTIC, false },
    { 200, "Cache-Control: max-age=0", 30, -1, -1, 0, LIFETIME_MAX_AGE, false },
    { 200, "Cache-Control: max-age=5", -1, 20, -1, 20, LIFETIME_MAX_AGE, true },
    { 200, "Cache-Control: max-age=25", -1, 20, -1, 25, LIFETIME_MAX_AGE, false },
    { 200, "Cache-Control: max-age=90", -1, -1, 60, 60, LIFETIME_MAX_AGE, true },
    { 200, "Cache-Control: max-age=60", -1, -1, 60, 60, LIFETIME_MAX_AGE, false },
    { 200, "", -1, 20, -1, 0, LIFETIME_NONE, false },
    { 404, "", -1, -1, -1, 7, LIFETIME_STATUS_RULE, false },
    { 410, "", -1, -1, -1, 9, LIFETIME_STATUS_RULE, false },
    { 301, "", -1, -1, -1, 8, LIFETIME_STATUS_RULE, false },
    { 404, "Cache-Control: max-age=90", -1, 20, -1, 7, LIFETIME_STATUS_RULE, false },
};

START_TEST(operators_limits)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    p.default_lifetime_s = limits[_i].default_s;
    p.minimum_lifetime_s = limits[_i].minimum_s;
    p.maximum_lifetime_s = limits[_i].maximum_s;
    p.status_lifetimes[0] = (struct status_lifetime){ 4, 9 }; /* the class, unless a status has its own */
    p.status_lifetimes[1] = (struct status_lifetime){ 404, 7 };
    p.status_lifetimes[2] = (struct status_lifetime){ 3, 8 };
    p.status_lifetime_count = 3;
    struct field_section fields = section_of(&l, limits[_i].fields);
    struct stored_head s = store_head(ask(&a, "GET /", ""), limits[_i].status, fields, &p);
    struct lifetime got = freshness_lifetime(&s, &p, 0);
    ck_assert_int_eq(got.lifetime_s, limits[_i].lifetime_s);
    ck_assert_int_eq(got.source, limits[_i].source);
    ck_assert_int_eq(got.limited, limits[_i].limited);
}
END_TEST

/* RFC 9213 §2.2: the first of the operator's list that is there */
static const struct {
    const char *fields;
    int64_t lifetime_s;
} own_targets[] = {
    { "weir-cache-control: max-age=5\nCDN-Cache-Control: max-age=6\nCache-Control: max-age=7", 5 },
    { "CDN-Cache-Control: max-age=6\nCache-Control: max-age=7", 6 },
    { "Weir-Cache-Control: MAX AGE\nCDN-Cache-Control: max-age=6", 6 },
    { "Weir-Cache-Control: no-store\nWeir-Cache-Control: max-age=5\nX: 1", 5 },
    { "Cache-Control: max-age=7", 7 },
};

START_TEST(operators_targeted_fields)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    p.targeted[0] = FIELD_OTHER;
    p.targeted_names[0] = VIEW("Weir-Cache-Control");
    p.targeted[1] = FIELD_CDN_CACHE_CONTROL;
    p.targeted_count = 2;
    struct field_section fields = section_of(&l, own_targets[_i].fields);
    struct stored_head s = store_head(ask(&a, "GET /", ""), 200, fields, &p);
    ck_assert_int_eq(freshness_lifetime(&s, &p, 0).lifetime_s, own_targets[_i].lifetime_s);
    ck_assert_int_eq(directives_in_force(fields, &p).no_store, _i == 3);
}
END_TEST

START_TEST(jitter_only_shortens_and_agrees_for_equal_keys)
{
    struct policy p = default_policy();
    struct stored_head s = { .lifetime_s = 1000, .source = LIFETIME_MAX_AGE, .status = 200 };
    int64_t shortest_s = 1000, longest_s = 0;
    ck_assert_int_eq(freshness_lifetime(&s, &p, UINT64_MAX).lifetime_s, 1000); /* off by default */
    p.jitter_percent = 10;
    for (uint64_t i = 0; i < 1024; i++) {
        uint64_t hash = i << 32;
        int64_t lifetime_s = freshness_lifetime(&s, &p, hash).lifetime_s;
        ck_assert_int_eq(lifetime_s, freshness_lifetime(&s, &p, hash).lifetime_s);
        if (lifetime_s < shortest_s) shortest_s = lifetime_s;
        if (lifetime_s > longest_s) longest_s = lifetime_s;
    }
    ck_assert_int_eq(longest_s, 1000);
    ck_assert_int_ge(shortest_s, 900);
    ck_assert_int_lt(shortest_s, 910);
}
END_TEST

START_TEST(jitter_spreads_what_a_status_rule_keeps)
{
    struct policy p = default_policy();
    struct stored_head s = { .lifetime_s = -1, .status = 404 };
    p.status_lifetimes[0] = (struct status_lifetime){ 404, 1000 };
    p.status_lifetime_count = 1;
    ck_assert_int_eq(freshness_lifetime(&s, &p, 1).lifetime_s, 1000);
    p.jitter_percent = 10;
    bool spread = false;
    for (uint64_t i = 0; i < 64; i++) {
        int64_t lifetime_s = freshness_lifetime(&s, &p, i << 32).lifetime_s;
        ck_assert(lifetime_s >= 900 && lifetime_s <= 1000);
        spread = spread || lifetime_s != freshness_lifetime(&s, &p, 0).lifetime_s;
    }
    ck_assert(spread);
}
END_TEST

static const struct {
    int status;
    const char *request, *fields;
    unsigned flags;
} flags[] = {
    { 599, "", "", 0 },
    { 200, "", "", STORED_HEURISTIC_STATUS },
    { 599, "", "Cache-Control: no-cache", STORED_NO_CACHE },
    { 599, "", "Cache-Control: no-cache=\"a\"", STORED_FIELD_LISTED_NO_CACHE },
    { 599, "", "Cache-Control: must-revalidate", STORED_MUST_REVALIDATE },
    { 599, "", "Cache-Control: proxy-revalidate", STORED_MUST_REVALIDATE },
    { 599, "", "Cache-Control: s-maxage=1", STORED_S_MAXAGE },
    { 599, "", "Cache-Control: public, immutable", STORED_PUBLIC | STORED_IMMUTABLE },
    { 599, "", "Cache-Control: public\nCDN-Cache-Control: no-cache", STORED_NO_CACHE },
    { 599, "", "ETag: \"a\"", STORED_HAS_VALIDATOR | STORED_STRONG_ETAG },
    { 599, "", "ETag: W/\"a\"", STORED_HAS_VALIDATOR },
    { 599, "", "ETag:", 0 },
    { 599, "", "Last-Modified: " NOW, STORED_HAS_VALIDATOR },
    { 599, "", "Last-Modified: once", 0 },
    { 599, "", "Pragma: no-cache", STORED_PRAGMA_NO_CACHE },
    { 206, "", "", STORED_PARTIAL | STORED_HEURISTIC_STATUS },
    { 599, "Authorization: Basic eDp5", "", STORED_AUTHORIZED },
};

START_TEST(flags_of_a_stored_response)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", flags[_i].request);
    struct stored_head s = store_head(request, flags[_i].status, section_of(&l, flags[_i].fields), &p);
    ck_assert_uint_eq(s.flags, flags[_i].flags);
    ck_assert_uint_eq(s.status, (unsigned)flags[_i].status);
}
END_TEST

START_TEST(numbers_of_a_part)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", "");
    struct stored_head s = store_head(request, 206, section_of(&l, "Content-Range: bytes 10-19/200"), &p);
    ck_assert_int_eq(s.content_first, 10);
    ck_assert_int_eq(s.content_length, 200);
    s = store_head(request, 206, section_of(&l, "Content-Range: bytes 10-19/*"), &p);
    ck_assert_int_eq(s.content_first, 10);
    ck_assert_int_eq(s.content_length, -1);
    s = store_head(request, 200, section_of(&l, "Content-Range: bytes 10-19/200"), &p);
    ck_assert_int_eq(s.content_first, 0);
    ck_assert_int_eq(s.content_length, -1);
}
END_TEST

START_TEST(stale_windows_are_read)
{
    struct asked a;
    struct lines l;
    struct policy p = default_policy();
    const struct request_head *request = ask(&a, "GET /", "");
    struct stored_head s =
        store_head(request, 200, section_of(&l, "Cache-Control: stale-while-revalidate=5, stale-if-error=a"), &p);
    ck_assert_int_eq(s.swr_s, 5);
    ck_assert_int_eq(s.sie_s, 0);
    s = store_head(request, 200, section_of(&l, "Cache-Control: max-age=1"), &p);
    ck_assert_int_eq(s.swr_s, -1);
    ck_assert_int_eq(s.sie_s, -1);
}
END_TEST

/* RFC 9111 §4.3.4: the 304's own Date and Age begin the age anew, though the stored fields had an older Date. */
START_TEST(freshened_response_is_as_old_as_its_304)
{
    struct asked a;
    struct lines freshened, not_modified;
    struct policy p = default_policy();
    struct response_times times = { NOW_S - 2, NOW_S };
    struct stored_head before = { .status = 206, .content_first = 5, .content_length = 9, .flags = STORED_AUTHORIZED };
    struct stored_head s;
    struct field_section merged =
        section_of(&freshened, "Cache-Control: max-age=60\nDate: " HOUR_BEFORE "\nETag: \"a\"");
    stored_head_freshened(&before, ask(&a, "GET /", ""), merged, section_of(&not_modified, "Age: 7"), &p, &times, &s);
    ck_assert_int_eq(current_age_s(&s, NOW_S), 9);
    ck_assert_int_eq(s.lifetime_s, 60);
    ck_assert_int_eq(s.content_first, 5);
    ck_assert_int_eq(s.content_length, 9);
    ck_assert_uint_eq(s.flags & (STORED_AUTHORIZED | STORED_PARTIAL), STORED_AUTHORIZED | STORED_PARTIAL);
}
END_TEST

static const struct {
    const char *what;
    struct stored_head s;
    int64_t swr_s, left_s; /* the policy's; expected, from when it came */
} pins[] = {
    { "as long as it is fresh, and the origin may be away", { .lifetime_s = 600, .swr_s = -1, .sie_s = -1 }, -1, 660 },
    { "its age counts", { .lifetime_s = 600, .initial_age_s = 100, .swr_s = -1, .sie_s = -1 }, -1, 560 },
    { "as long as it may be stale", { .lifetime_s = 600, .swr_s = 1000, .sie_s = 300 }, -1, 1600 },
    { "by the longer window", { .lifetime_s = 600, .swr_s = -1, .sie_s = 300 }, 30, 900 },
    { "or the operator's", { .lifetime_s = 600, .swr_s = -1, .sie_s = 0 }, 30, 630 },
    { "never stale", { .lifetime_s = 600, .swr_s = 1000, .sie_s = -1, .flags = STORED_MUST_REVALIDATE }, -1, 600 },
    { "stale when it came", { .lifetime_s = 10, .initial_age_s = 100, .swr_s = 0, .sie_s = 0 }, -1, 0 },
};

START_TEST(a_pin_lasts_as_long_as_the_response_is_of_use)
{
    struct policy p = default_policy();
    struct stored_head s = pins[_i].s;
    s.response_time_s = NOW_S;
    s.status = 200;
    ck_assert_uint_eq(pinned_until_s(&s, &p, 1), 0); /* nothing is, by default */
    p.pin = true;
    p.default_swr_s = pins[_i].swr_s;
    ck_assert_msg(pinned_until_s(&s, &p, 1) == NOW_S + pins[_i].left_s, "%s: %lld", pins[_i].what,
                  (long long)pinned_until_s(&s, &p, 1) - NOW_S);
}
END_TEST

START_TEST(each_source_has_a_name)
{
    for (enum lifetime_source s = LIFETIME_NONE; s <= LIFETIME_DEFAULT; s++) {
        ck_assert_uint_gt(strlen(lifetime_source_name(s)), 0);
    }
    ck_assert_str_eq(lifetime_source_name(LIFETIME_S_MAXAGE), "s-maxage");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("freshness");
    tcase_add_loop_test(t, lifetime_of_each_source, 0, ROWS(lifetimes));
    tcase_add_loop_test(t, age_counts_from_where_it_began, 0, ROWS(ages));
    tcase_add_loop_test(t, heuristic_freshness, 0, ROWS(heuristics));
    tcase_add_test(t, heuristics_can_be_off_or_capped);
    tcase_add_loop_test(t, operators_limits, 0, ROWS(limits));
    tcase_add_loop_test(t, operators_targeted_fields, 0, ROWS(own_targets));
    tcase_add_test(t, jitter_only_shortens_and_agrees_for_equal_keys);
    tcase_add_test(t, jitter_spreads_what_a_status_rule_keeps);
    tcase_add_loop_test(t, flags_of_a_stored_response, 0, ROWS(flags));
    tcase_add_test(t, numbers_of_a_part);
    tcase_add_test(t, stale_windows_are_read);
    tcase_add_test(t, freshened_response_is_as_old_as_its_304);
    tcase_add_loop_test(t, a_pin_lasts_as_long_as_the_response_is_of_use, 0, ROWS(pins));
    tcase_add_test(t, each_source_has_a_name);
    return run_case("cache/freshness", t);
}
