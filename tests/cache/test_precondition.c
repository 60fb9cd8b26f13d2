#include "cache/precondition.h"

#include "tests/cache/decisions.h"

static struct precondition_decision decide(const char *line, const char *request, int status, const char *stored,
                                           int64_t length)
{
    struct asked a;
    struct lines l;
    return precondition_decide(ask(&a, line, request), status, section_of(&l, stored), length, NOW_S);
}

#define WHOLE         PRECONDITION_WHOLE
#define NOT_MODIFIED  PRECONDITION_NOT_MODIFIED
#define FAILED        PRECONDITION_FAILED
#define PARTS         PRECONDITION_PARTS
#define UNSATISFIABLE PRECONDITION_UNSATISFIABLE

/* RFC 9110 §13, of GET and a stored 200 of 10 bytes */
static const struct {
    const char *request, *stored;
    enum precondition_verdict verdict;
} conditions[] = {
    { "", "ETag: \"a\"", WHOLE },
    /* §13.1.2 If-None-Match: weak comparison, lists, several lines, "*" */
    { "If-None-Match: \"a\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: W/\"a\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"a\"", "ETag: W/\"a\"", NOT_MODIFIED },
    { "If-None-Match: W/\"a\"", "ETag: W/\"a\"", NOT_MODIFIED },
    { "If-None-Match: \"b\"", "ETag: \"a\"", WHOLE },
    { "If-None-Match: \"A\"", "ETag: \"a\"", WHOLE },
    { "If-None-Match: w/\"a\"", "ETag: \"a\"", WHOLE },
    { "If-None-Match: \"b\", \"a\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"b\",\"a\",W/\"c\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"b\"\nIf-None-Match: \"a\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"b, a\"", "ETag: \"a\"", WHOLE },
    { "If-None-Match: \"b,c\", \"a\"", "ETag: \"b,c\"", NOT_MODIFIED },
    { "If-None-Match: \"\xc3\xa4\"", "ETag: \"\xc3\xa4\"", NOT_MODIFIED },
    { "If-None-Match: \"a\\\", \"b\"", "ETag: \"b\"", NOT_MODIFIED },
    { "If-None-Match: \"\"", "ETag: \"\"", NOT_MODIFIED },
    { "If-None-Match: a", "ETag: a", NOT_MODIFIED },
    { "If-None-Match: \"a\"", "", WHOLE },
    { "If-None-Match: *", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: *", "", NOT_MODIFIED },
    { "If-None-Match: \"*\"", "ETag: \"a\"", WHOLE },
    { "If-None-Match:", "ETag: \"a\"", WHOLE },
    /* §13.1.3 If-Modified-Since: never beside If-None-Match */
    { "If-None-Match: \"b\"\nIf-Modified-Since: " NOW, "ETag: \"a\"\nLast-Modified: " NOW, WHOLE },
    { "If-None-Match: \"a\"\nIf-Modified-Since: " HOUR_BEFORE, "ETag: \"a\"\nLast-Modified: " NOW, NOT_MODIFIED },
    { "If-None-Match:\nIf-Modified-Since: " NOW, "ETag: \"a\"\nLast-Modified: " NOW, WHOLE },
    { "If-Modified-Since: " NOW, "Last-Modified: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: " HOUR_AFTER, "Last-Modified: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: " HOUR_BEFORE, "Last-Modified: " NOW, WHOLE },
    { "If-Modified-Since: Tuesday, 01-Jan-30 00:00:00 GMT", "Last-Modified: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: Tue Jan  1 00:00:00 2030", "Last-Modified: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: today", "Last-Modified: " NOW, WHOLE },
    { "If-Modified-Since: Tue, 01 Jan 2030 00:00:00 PST", "Last-Modified: " NOW, WHOLE },
    { "If-Modified-Since: " NOW "\nIf-Modified-Since: " NOW, "Last-Modified: " NOW, WHOLE },
    /* RFC 9111 §4.3.2: Date stands in for a missing Last-Modified */
    { "If-Modified-Since: " NOW, "Date: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: " HOUR_BEFORE, "Date: " NOW, WHOLE },
    { "If-Modified-Since: " NOW, "Last-Modified: once\nDate: " NOW, NOT_MODIFIED },
    { "If-Modified-Since: " NOW, "", WHOLE },
    /* §13.1.1 If-Match: strong comparison; §13.1.4 If-Unmodified-Since */
    { "If-Match: \"a\"", "ETag: \"a\"", WHOLE },
    { "If-Match: \"b\", \"a\"", "ETag: \"a\"", WHOLE },
    { "If-Match: *", "ETag: \"a\"", WHOLE },
    { "If-Match: *", "", WHOLE },
    { "If-Match: \"b\"", "ETag: \"a\"", FAILED },
    { "If-Match: W/\"a\"", "ETag: \"a\"", FAILED },
    { "If-Match: \"a\"", "ETag: W/\"a\"", FAILED },
    { "If-Match: W/\"a\"", "ETag: W/\"a\"", FAILED },
    { "If-Match: \"a\"", "", FAILED },
    { "If-Match: \"a\"\nIf-Unmodified-Since: " HOUR_BEFORE, "ETag: \"a\"\nLast-Modified: " NOW, WHOLE },
    { "If-Unmodified-Since: " NOW, "Last-Modified: " NOW, WHOLE },
    { "If-Unmodified-Since: " HOUR_BEFORE, "Last-Modified: " NOW, FAILED },
    { "If-Unmodified-Since: " HOUR_BEFORE, "", WHOLE },
    { "If-Unmodified-Since: yesterday", "Last-Modified: " NOW, WHOLE },
    /* §13.2.2: in this order */
    { "If-Match: \"b\"\nIf-None-Match: \"a\"", "ETag: \"a\"", FAILED },
    { "If-Match: \"a\"\nIf-None-Match: \"a\"", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"a\"\nRange: bytes=0-1", "ETag: \"a\"", NOT_MODIFIED },
    { "If-None-Match: \"b\"\nRange: bytes=0-1", "ETag: \"a\"", PARTS },
    /* §14.2 Range */
    { "Range: bytes=0-1", "", PARTS },
    { "Range: bytes=0-", "", PARTS },
    { "Range: bytes=-3", "", PARTS },
    { "Range: bytes=0-1, 5-6", "", PARTS },
    { "Range: bytes=10-", "", UNSATISFIABLE },
    { "Range: bytes=-0", "", UNSATISFIABLE },
    { "Range: bytes=5-2", "", WHOLE },
    { "Range: pages=1-2", "", WHOLE },
    { "Range: bytes=x", "", WHOLE },
    { "Range:", "", WHOLE },
    { "Range: bytes=0-1\nRange: bytes=2-3", "", WHOLE },
    /* §13.1.5 If-Range: a strong match, or a Last-Modified that is strong */
    { "If-Range: \"a\"", "ETag: \"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: \"a\"", "ETag: \"a\"", PARTS },
    { "Range: bytes=0-1\nIf-Range: \"b\"", "ETag: \"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: W/\"a\"", "ETag: W/\"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: \"a\"", "ETag: W/\"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: W/\"a\"", "ETag: \"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: \"a\"", "", WHOLE },
    { "Range: bytes=0-1\nIf-Range:", "", WHOLE },
    { "Range: bytes=0-1\nIf-Range: *", "ETag: \"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: \"a\"\nIf-Range: \"a\"", "ETag: \"a\"", WHOLE },
    { "Range: bytes=10-\nIf-Range: \"a\"", "ETag: \"a\"", UNSATISFIABLE },
    { "Range: bytes=10-\nIf-Range: \"b\"", "ETag: \"a\"", WHOLE },
    { "Range: bytes=0-1\nIf-Range: " HOUR_BEFORE, "Last-Modified: " HOUR_BEFORE "\nDate: " NOW, PARTS },
    { "Range: bytes=0-1\nIf-Range: " HOUR_AFTER, "Last-Modified: " HOUR_BEFORE "\nDate: " NOW, WHOLE },
    { "Range: bytes=0-1\nIf-Range: " DAY_BEFORE, "Last-Modified: " HOUR_BEFORE "\nDate: " NOW, WHOLE },
    { "Range: bytes=0-1\nIf-Range: " NOW, "Last-Modified: " NOW "\nDate: " NOW, WHOLE },
    { "Range: bytes=0-1\nIf-Range: Mon, 31 Dec 2029 23:59:59 GMT",
      "Last-Modified: Mon, 31 Dec 2029 23:59:59 GMT\nDate: " NOW, PARTS },
    { "Range: bytes=0-1\nIf-Range: " HOUR_BEFORE, "Last-Modified: " HOUR_BEFORE, WHOLE },
    { "Range: bytes=0-1\nIf-Range: " HOUR_BEFORE, "ETag: \"a\"\nDate: " NOW, WHOLE },
};

START_TEST(conditions_of_a_get)
{
    struct precondition_decision got = decide("GET /", conditions[_i].request, 200, conditions[_i].stored, 10);
    ck_assert_msg(got.verdict == conditions[_i].verdict, "%s against %s: %d", conditions[_i].request,
                  conditions[_i].stored, (int)got.verdict);
    ck_assert_int_eq(got.ranges.count > 0, got.verdict == PARTS);
}
END_TEST

/* RFC 9110 §13.2.1, §14.2: where conditions and ranges count */
static const struct {
    const char *line, *request;
    int status;
    int64_t length;
    enum precondition_verdict verdict;
} places[] = {
    { "HEAD /", "If-None-Match: \"a\"", 200, 10, NOT_MODIFIED },
    { "HEAD /", "If-Modified-Since: " NOW, 200, 10, NOT_MODIFIED },
    { "HEAD /", "Range: bytes=0-1", 200, 10, WHOLE },
    { "QUERY /", "If-None-Match: \"a\"", 200, 10, NOT_MODIFIED },
    { "QUERY /", "Range: bytes=0-1", 200, 10, WHOLE },
    { "POST /", "If-None-Match: \"a\"", 200, 10, WHOLE },
    { "OPTIONS /", "If-Match: \"b\"", 200, 10, WHOLE },
    { "GET /", "If-None-Match: \"a\"", 203, 10, NOT_MODIFIED },
    { "GET /", "If-None-Match: \"a\"", 404, 10, WHOLE },
    { "GET /", "If-None-Match: \"a\"", 301, 10, WHOLE },
    { "GET /", "If-Match: \"b\"", 500, 10, WHOLE },
    { "GET /", "If-None-Match: \"a\"", 206, 10, NOT_MODIFIED },
    { "GET /", "Range: bytes=0-1", 206, 10, PARTS },
    { "GET /", "Range: bytes=0-1", 203, 10, WHOLE },
    { "GET /", "Range: bytes=0-1", 404, 10, WHOLE },
    { "GET /", "Range: bytes=0-1", 200, -1, WHOLE },
    { "GET /", "Range: bytes=0-1", 200, 0, UNSATISFIABLE },
    { "GET /", "If-None-Match: \"a\"", 200, -1, NOT_MODIFIED },
};

START_TEST(methods_and_statuses_that_conditions_count_for)
{
    struct precondition_decision got = decide(places[_i].line, places[_i].request, places[_i].status,
                                              "ETag: \"a\"\nLast-Modified: " HOUR_BEFORE, places[_i].length);
    ck_assert_msg(got.verdict == places[_i].verdict, "%s %s, %d: %d", places[_i].line, places[_i].request,
                  places[_i].status, (int)got.verdict);
}
END_TEST

START_TEST(parts_are_those_that_were_asked_for)
{
    struct precondition_decision got = decide("GET /", "Range: bytes=0-1, 8-20, -1", 200, "", 10);
    ck_assert_int_eq(got.verdict, PARTS);
    ck_assert_int_eq(got.ranges.parts[0].first, 0);
    ck_assert_int_eq(got.ranges.parts[0].last, 1);
    ck_assert_int_eq(got.ranges.parts[1].first, 8);
    ck_assert_int_eq(got.ranges.parts[1].last, 9);
}
END_TEST

/* RFC 9111 §3.3: bytes 10 to 19 of 100 (or of a length that is not known) are stored. */
static const struct {
    const char *line, *request;
    bool of_known_length, of_unknown_length;
} covered[] = {
    { "GET /", "Range: bytes=10-19", true, true },
    { "GET /", "Range: bytes=12-15", true, true },
    { "GET /", "Range: bytes=12-13, 15-19", true, false },
    { "GET /", "Range: bytes=9-19", false, false },
    { "GET /", "Range: bytes=10-20", false, false },
    { "GET /", "Range: bytes=12-13, 15-20", false, false },
    { "GET /", "Range: bytes=10-", false, false },
    { "GET /", "Range: bytes=-5", false, false },
    { "GET /", "Range: bytes=-90", false, false },
    { "GET /", "Range: bytes=100-", false, false },
    { "GET /", "Range: pages=10-19", false, false },
    { "GET /", "Range: bytes=10-19\nRange: bytes=10-19", false, false },
    { "GET /", "", false, false },
    { "HEAD /", "Range: bytes=10-19", false, false },
    { "GET /", "Range: bytes=10-19\nIf-Range: \"a\"", true, true },
    { "GET /", "Range: bytes=10-19\nIf-Range: \"b\"", false, false },
};

START_TEST(stored_part_covers_what_lies_inside)
{
    struct asked a;
    struct lines l;
    struct stored_head part = { .flags = STORED_PARTIAL, .status = 206, .content_first = 10, .content_length = 100 };
    struct stored_head whole = { .status = 200, .content_length = -1 };
    const struct request_head *request = ask(&a, covered[_i].line, covered[_i].request);
    struct field_section stored = section_of(&l, "ETag: \"a\"");
    bool known = precondition_part_covers(request, &part, stored, 10, NOW_S);
    part.content_length = -1;
    bool unknown = precondition_part_covers(request, &part, stored, 10, NOW_S);
    ck_assert_msg(known == covered[_i].of_known_length && unknown == covered[_i].of_unknown_length, "%s",
                  covered[_i].request);
    ck_assert(precondition_part_covers(request, &whole, stored, 100, NOW_S));
}
END_TEST

START_TEST(stored_part_up_to_the_end_covers_open_ranges)
{
    struct asked a;
    struct lines l;
    struct stored_head part = { .flags = STORED_PARTIAL, .status = 206, .content_first = 90, .content_length = 100 };
    struct field_section stored = section_of(&l, "");
    ck_assert(precondition_part_covers(ask(&a, "GET /", "Range: bytes=90-"), &part, stored, 10, NOW_S));
    ck_assert(precondition_part_covers(ask(&a, "GET /", "Range: bytes=-10"), &part, stored, 10, NOW_S));
    ck_assert(!precondition_part_covers(ask(&a, "GET /", "Range: bytes=-11"), &part, stored, 10, NOW_S));
}
END_TEST

/* RFC 9110 §15.4.5 */
START_TEST(fields_of_a_304)
{
    static const enum field_id carried[] = { FIELD_CACHE_CONTROL, FIELD_CONTENT_LOCATION, FIELD_DATE,
                                             FIELD_ETAG,          FIELD_EXPIRES,          FIELD_VARY,
                                             FIELD_LAST_MODIFIED, FIELD_CDN_CACHE_CONTROL };
    static const enum field_id left_out[] = { FIELD_CONTENT_TYPE,  FIELD_CONTENT_LENGTH,    FIELD_CONTENT_ENCODING,
                                              FIELD_CONTENT_RANGE, FIELD_TRANSFER_ENCODING, FIELD_SET_COOKIE,
                                              FIELD_TRAILER };
    for (int i = 0; i < ROWS(carried); i++) ck_assert(not_modified_field(carried[i]));
    for (int i = 0; i < ROWS(left_out); i++) ck_assert(!not_modified_field(left_out[i]));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("precondition");
    tcase_add_loop_test(t, conditions_of_a_get, 0, ROWS(conditions));
    tcase_add_loop_test(t, methods_and_statuses_that_conditions_count_for, 0, ROWS(places));
    tcase_add_test(t, parts_are_those_that_were_asked_for);
    tcase_add_loop_test(t, stored_part_covers_what_lies_inside, 0, ROWS(covered));
    tcase_add_test(t, stored_part_up_to_the_end_covers_open_ranges);
    tcase_add_test(t, fields_of_a_304);
    return run_case("cache/precondition", t);
}
