/* How old a response is: what others say of it, what its Date says, and the time it took to come (RFC 9111 §4.2.3, §5.1). */
#include "tests/conversation/harness.h"

#include <string.h>

/* What a response with max-age=100 says of its age, and how old it is when it comes from the cache. {N}: a date. */
static const struct age_row {
    const char *fields;
    int age_s; /* -1: too old to be reused */
    const char *why;
} ages[] = {
    { "Age: 30", 30, "§5.1" },
    { "Age: 30\nAge: 50", 30, "a singleton in two lines: the first counts" },
    { "Age: 50\nAge: 30", 50, "a singleton in two lines: the first counts" },
    { "Age: 0\nAge: 7200", 0, "the first, though the second would make it stale" },
    { "Age: 7200\nAge: 0", -1, "the first, though the second would make it fresh" },
    { "Age: 30, 50", 30, "a list where one number should be: its first member" },
    { "Age: 7200, 0", -1, "a list where one number should be: its first member" },
    { "Age: , 30", 30, "empty members are no members" },
    { "Age: abc", 0, "no number: ignored" },
    { "Age: -7200", 0, "no non-negative number: ignored" },
    { "Age: 7200.0", 0, "no integer: ignored" },
    { "Age: 7200;a=b", 0, "no parameters: ignored" },
    { "Age: \"7200\"", 0, "no string: ignored" },
    { "Age:", 0, "nothing: ignored" },
    { "Age: x, 7200", 0, "the first member does not count, and no other takes its place" },
    { "Age: 00030", 30, "zeros in front" },
    { "Age: 100", -1, "equal is stale" },
    { "Age: 2147483648", -1, "§1.2.2: larger than fits" },
    { "Age: 99999999999999999999999", -1, "§1.2.2: larger than fits" },
    { "Date: {-40}", 40, "§4.2.3: the apparent age" },
    { "Date: {-40}\nAge: 30", 40, "§4.2.3: the larger of both" },
    { "Date: {-20}\nAge: 30", 30, "§4.2.3: the larger of both" },
    { "Date: {500}", 0, "a clock ahead of ours makes nothing younger than new" },
    { "Date: {-7200}", -1, "old before it came" },
    { "Date: long ago", 0, "no date: as old as its receipt" },
    { "", 0, "§5.1: every reused response has an Age" },
};

START_TEST(every_reused_response_says_its_age)
{
    const struct age_row *row = &ages[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, say(s, "Cache-Control: max-age=100\nETag: \"1\"\n%s", row->fields)),
                   "0123456789");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "0123456789");
    if (row->age_s < 0) {
        origin_answers(s, "200", "Cache-Control: no-store", "anew");
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", "Cache-Status: weir; fwd=stale", "anew");
    } else {
        const char *age = say(s, "Cache-Status: weir; hit; ttl=%d..%d\nAge: %d..%d", 97 - row->age_s, 100 - row->age_s,
                              row->age_s, row->age_s + 3);
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", age, "0123456789");
        holds(s, head_count(&scene_client(s)->response.head, "Age") == 1);
        client_asks(s, "HEAD /shelf", "");
        client_hears(s, "200", age, "");
        client_asks(s, "GET /shelf", "Range: bytes=0-1");
        client_hears(s, "206", age, "01");
        client_asks(s, "GET /shelf", "Range: bytes=0-1, 8-9");
        client_hears(s, "206", age, NULL);
        client_asks(s, "GET /shelf", "If-None-Match: \"1\"");
        client_hears(s, "304", age, "");
    }
    scene_end(s);
}
END_TEST

/* §4.2.3: response_delay. The head took its time, so what it says of Age was true when the request went out. */
START_TEST(the_time_spent_fetching_counts)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60\nAge: 5", .body = "slow", .hold = &head);
    struct client *c = client_arrives(s);
    asks(s, c, "GET /shelf", "");
    origin_waits_at(s, &head, 1);
    seconds_pass(s, 20);
    gate_opens(s, &head);
    hears(s, c, "200", "Age: 25..28", "slow"); /* also of what is passed on, once upstream speaks of an age */
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=32..35\nAge: 25..28", "slow");
    scene_end(s);
}
END_TEST

START_TEST(what_took_longer_than_its_lifetime_is_not_reused)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=10", .body = "slow", .hold = &head);
    struct client *c = client_arrives(s);
    asks(s, c, "GET /shelf", "");
    origin_waits_at(s, &head, 1);
    seconds_pass(s, 20);
    gate_opens(s, &head);
    hears(s, c, "200", "", "slow");
    origin_answers(s, "200", "Cache-Control: max-age=10", "quick");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "quick");
    scene_end(s);
}
END_TEST

/* A response that upstream had for 50 s is validated: its age begins with what the 304 says of itself (§4.3.4). */
START_TEST(validation_makes_it_young_again)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"1\"\nAge: 50", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Age: 50..53", "jam");
    seconds_pass(s, 20);
    origin_answers(s, "304", "ETag: \"1\"\nAge: 7", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304; ttl=50..53\nAge: 7..10", "jam");
    seconds_pass(s, 10);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=40..43\nAge: 17..20", "jam");
    scene_end(s);
}
END_TEST

/* The origin's clock is wrong: without Date, Expires counts from the receipt, with one from that. */
static const struct skew_row {
    const char *fields;
    int64_t seconds;
    bool reused;
    const char *why;
} skews[] = {
    { "Date: {1000}\nExpires: {1060}", 50, true, "an hour ahead, and fresh for a minute" },
    { "Date: {1000}\nExpires: {1060}", 60, false, "an hour ahead, and fresh for a minute" },
    { "Date: {1000}\nExpires: {900}", 0, false, "expired before its Date, whatever our clock says" },
    { "Date: {-1000}\nExpires: {-940}", 0, false, "behind: the apparent age wins" },
    { "Date: {-1000}\nExpires: {500}", 400, true, "1500 s from its Date, of which 1000 have passed" },
    { "Date: {-1000}\nExpires: {500}", 500, false, "1500 s from its Date, of which 1000 have passed" },
    { "Date: soon\nExpires: {60}", 50, true, "a Date that is none: the receipt" },
    { "Date: soon\nExpires: {60}", 60, false, "a Date that is none: the receipt" },
};

START_TEST(a_wrong_clock_at_the_origin)
{
    const struct skew_row *row = &skews[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, row->fields), "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "first");
    seconds_pass(s, row->seconds);
    if (!row->reused) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->reused ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->reused ? "first" : "second");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(every_reused_response_says_its_age, ages),
        TEST(the_time_spent_fetching_counts),
        TEST(what_took_longer_than_its_lifetime_is_not_reused),
        TEST(validation_makes_it_young_again),
        TABLE(a_wrong_clock_at_the_origin, skews),
    };
    return converse("rfc age", tests, COUNT(tests));
}
