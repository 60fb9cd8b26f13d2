/* Many clients, one forwarded request (collapsed requests, RFC 9111 §4), and none of its known faults. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

enum { MANY = 500, SOME = 60 };

/* Long enough for requests that were sent to be read, so that what follows finds them all waiting. */
enum { SETTLE_MS = 300 };

static void all_ask(struct scene *s, struct client **clients, int n, const char *request)
{
    for (int i = 0; i < n; i++) clients[i] = client_arrives(s);
    for (int i = 0; i < n; i++) asks(s, clients[i], request, "");
}

static void all_leave(struct scene *s, struct client **clients, int n)
{
    for (int i = 0; i < n; i++) client_leaves(s, clients[i]);
}

START_TEST(five_hundred_clients_cause_one_request)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[MANY];
    struct gate answer = { 0 };
    int led = 0;
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "jam", .hold = &answer);
    all_ask(s, clients, MANY, "GET /shelf");
    origin_waits_at(s, &answer, 1);
    gate_opens(s, &answer);
    for (int i = 0; i < MANY; i++) {
        hears(s, clients[i], "200", "Cache-Status: weir", "jam");
        const struct head *h = &clients[i]->response.head;
        bool joined = head_lacks(h, "Cache-Status: weir; fwd=*; collapsed") == NULL;
        bool hit = head_lacks(h, "Cache-Status: weir; hit; !collapsed") == NULL;
        led += !joined && !hit;
    }
    holds(s, led == 1); /* everybody else joined, or came when it was stored */
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

static const enum framing framings[] = { BY_LENGTH, CHUNKED, UNTIL_CLOSE };

START_TEST(the_first_byte_does_not_wait_for_the_last)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate rest = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "first half, second half",
                      .framing = framings[_i], .hold_content = &rest, .hold_after = 11);
    all_ask(s, clients, SOME, "GET /shelf");
    for (int i = 0; i < SOME; i++) {
        hears_head(s, clients[i], "200", "Cache-Status: weir");
        hears_content(s, clients[i], "first half,");
    }
    origin_waits_at(s, &rest, 1);
    struct client *late = client_arrives(s); /* joins while it is being read */
    asks(s, late, "GET /shelf", "");
    hears_head(s, late, "200", "Cache-Status: weir");
    hears_content(s, late, "first half,");
    gate_opens(s, &rest);
    for (int i = 0; i < SOME; i++) {
        hears_content(s, clients[i], " second half");
        hears_end(s, clients[i]);
    }
    hears_content(s, late, " second half");
    hears_end(s, late);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_large_response_reaches_everybody_whole)
{
    enum { LEN = 6000000, READERS = 12 };
    struct scene *s = scene_begin(NULL);
    struct client *clients[READERS];
    struct gate answer = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = LEN, .seed = 4,
                      .hold = &answer);
    all_ask(s, clients, READERS, "GET /large");
    origin_waits_at(s, &answer, 1);
    gate_opens(s, &answer);
    /* One after the other: the last ones are slow readers, and nobody waits for them. */
    for (int i = 0; i < READERS; i++) {
        hears_head(s, clients[i], "200", "Content-Length: 6000000");
        hears_pattern(s, clients[i], 4, 0, LEN);
    }
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

/* Not shareable: the leader's alone; the others are forwarded side by side, not one by one. */
static const char *const unshareable[] = { "Cache-Control: private", "Cache-Control: no-store", "Set-Cookie: a=b",
                                           "Vary: *\nCache-Control: max-age=60", "" };

START_TEST(what_may_not_be_shared_is_fetched_in_parallel)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate leader = { 0 }, others = { 0 }, again = { 0 };
    origin_answers_as(s, .status = "200", .fields = unshareable[_i], .body = "yours", .hold = &leader);
    origin_answers_as(s, .status = "200", .fields = unshareable[_i], .body = "yours", .hold = &others,
                      .times = SOME - 1);
    all_ask(s, clients, SOME, "GET /me");
    origin_waits_at(s, &leader, 1);
    gate_opens(s, &leader);
    origin_waits_at(s, &others, SOME - 1); /* all at once */
    gate_opens(s, &others);
    for (int i = 0; i < SOME; i++) hears(s, clients[i], "200", "Cache-Status: weir; fwd=*; !stored", "yours");
    origin_count_is(s, SOME);

    /* From then on nobody waits for a leader. */
    origin_answers_as(s, .status = "200", .fields = unshareable[_i], .body = "yours", .hold = &again, .times = SOME);
    all_leave(s, clients, SOME);
    all_ask(s, clients, SOME, "GET /me");
    origin_waits_at(s, &again, SOME);
    gate_opens(s, &again);
    for (int i = 0; i < SOME; i++) hears(s, clients[i], "200", "Cache-Status: weir; fwd=*; !collapsed", "yours");
    scene_end(s);
}
END_TEST

START_TEST(a_key_that_becomes_shareable_is_shared_again)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: private", "yours");
    client_asks(s, "GET /me", "");
    client_hears(s, "200", "", "yours");
    origin_answers(s, "200", "Cache-Control: max-age=60", "ours");
    client_asks(s, "GET /me", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "ours");
    client_soon_hears(s, "GET /me", "Cache-Status: weir; hit", "ours");
    scene_end(s);
}
END_TEST

START_TEST(a_leader_that_leaves_breaks_nothing)
{
    struct scene *s = scene_begin(NULL);
    struct gate head = { 0 }, rest = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "first, second", .hold = &head,
                      .hold_content = &rest, .hold_after = 6);
    struct client *leader = client_arrives(s), *follower = client_arrives(s);
    asks(s, leader, "GET /shelf", "");
    origin_waits_at(s, &head, 1);
    asks(s, follower, "GET /shelf", "");
    gate_opens(s, &head);
    hears_head(s, leader, "200", "");
    hears_head(s, follower, "200", "");
    hears_content(s, follower, "first,");
    client_leaves(s, leader);
    origin_waits_at(s, &rest, 1);
    gate_opens(s, &rest);
    hears_content(s, follower, " second");
    hears_end(s, follower);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "first, second");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_leader_that_leaves_before_the_answer_breaks_nothing)
{
    struct scene *s = scene_begin(NULL);
    struct gate answer = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "jam", .hold = &answer);
    struct client *leader = client_arrives(s), *follower = client_arrives(s);
    asks(s, leader, "GET /shelf", "");
    origin_waits_at(s, &answer, 1);
    asks(s, follower, "GET /shelf", "");
    hears_nothing(s, follower, SETTLE_MS);
    client_leaves(s, leader);
    gate_opens(s, &answer);
    hears(s, follower, "200", "Cache-Status: weir; fwd=uri-miss; collapsed", "jam");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_failed_fetch_fails_its_waiters_once)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate failing = { 0 };
    origin_answers_as(s, .silent = true, .ending = RESET, .hold = &failing);
    all_ask(s, clients, SOME, "GET /shelf");
    origin_waits_at(s, &failing, 1);
    hears_nothing(s, clients[SOME - 1], SETTLE_MS);
    gate_opens(s, &failing);
    for (int i = 0; i < SOME; i++) hears(s, clients[i], "502", "Cache-Status: weir; fwd=*", NULL);
    origin_count_is(s, 1); /* no storm */
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    scene_end(s);
}
END_TEST

START_TEST(a_fetch_that_breaks_midway_breaks_for_everybody)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate rest = { 0 };
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "first half, second half",
                      .framing = framings[_i % 2], .ending = _i < 2 ? CUT : RESET, .cut_after = 15,
                      .hold_content = &rest, .hold_after = 11);
    all_ask(s, clients, SOME, "GET /shelf");
    for (int i = 0; i < SOME; i++) {
        hears_head(s, clients[i], "200", "");
        hears_content(s, clients[i], "first half,");
    }
    gate_opens(s, &rest);
    for (int i = 0; i < SOME; i++) hears_break(s, clients[i]);
    origin_answers(s, "200", "Cache-Control: max-age=60", "whole");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "whole");
    scene_end(s);
}
END_TEST

START_TEST(one_validation_for_everybody)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate validation = { 0 };
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 15);
    origin_answers_as(s, .status = "304", .fields = "Cache-Control: max-age=60\nETag: \"1\"", .hold = &validation);
    all_ask(s, clients, SOME, "GET /shelf");
    origin_waits_at(s, &validation, 1);
    gate_opens(s, &validation);
    for (int i = 0; i < SOME; i++) hears(s, clients[i], "200", "Cache-Status: weir", "jam");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(variants_are_fetched_side_by_side)
{
    struct scene *s = scene_begin(NULL);
    struct gate both = { 0 };
    origin_answers(s, "200", "Cache-Control: max-age=10\nVary: Foo", "known");
    client_asks(s, "GET /shelf", "Foo: 0");
    client_hears(s, "200", "", "known");
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=10\nVary: Foo", .body = "x", .hold = &both,
                      .times = 2);
    struct client *one = client_arrives(s), *two = client_arrives(s);
    asks(s, one, "GET /shelf", "Foo: 1");
    asks(s, two, "GET /shelf", "Foo: 2");
    origin_waits_at(s, &both, 2);
    gate_opens(s, &both);
    hears(s, one, "200", "Cache-Status: weir; fwd=*; !collapsed", "x");
    hears(s, two, "200", "Cache-Status: weir; fwd=*; !collapsed", "x");
    scene_end(s);
}
END_TEST

START_TEST(a_wrong_variant_is_not_given_to_a_waiter)
{
    struct scene *s = scene_begin(NULL);
    struct gate answer = { 0 };
    struct client *one = client_arrives(s), *two = client_arrives(s);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60\nVary: Foo", .body = "for one",
                      .hold = &answer);
    origin_answers(s, "200", "Cache-Control: max-age=60\nVary: Foo", "for two");
    asks(s, one, "GET /shelf", "Foo: 1"); /* nobody knows yet that Foo matters */
    origin_waits_at(s, &answer, 1);
    asks(s, two, "GET /shelf", "Foo: 2");
    gate_opens(s, &answer);
    hears(s, one, "200", "", "for one");
    hears(s, two, "200", "", "for two");
    scene_end(s);
}
END_TEST

/* Each of many waiters is woken when the answer turns out to be somebody else's, and looks again, all at once. */
START_TEST(waiters_with_other_variants_each_get_their_own)
{
    enum { ROUNDS = 8, WAITERS = 20 };
    struct scene *s = scene_begin(NULL);
    struct client *clients[WAITERS];
    for (int i = 0; i < WAITERS; i++) clients[i] = client_arrives(s);
    for (int round = 0; round < ROUNDS; round++) {
        struct gate answer = { 0 };
        const char *target = say(s, "/%d", round), *fields = "Cache-Control: max-age=60\nVary: Foo";
        origin_answers_as(s, .target = target, .status = "200", .fields = fields, .body = "x", .hold = &answer);
        origin_answers_as(s, .target = target, .status = "200", .fields = fields, .body = "x", .times = WAITERS - 1);
        char request[32], foo[32];
        snprintf(request, sizeof request, "GET %s", target);
        for (int i = 0; i < WAITERS; i++) {
            snprintf(foo, sizeof foo, "Foo: %d", i);
            asks(s, clients[i], request, foo);
        }
        origin_waits_at(s, &answer, 1);
        gate_opens(s, &answer);
        for (int i = 0; i < WAITERS; i++) hears(s, clients[i], "200", "Cache-Status: weir; fwd=*", "x");
    }
    origin_count_is(s, ROUNDS * WAITERS);
    scene_end(s);
}
END_TEST

START_TEST(posts_are_never_collapsed)
{
    struct scene *s = scene_begin(NULL);
    struct gate both = { 0 };
    struct client *one = client_arrives(s), *two = client_arrives(s);
    origin_answers_as(s, .status = "200", .body = "done", .hold = &both, .times = 2);
    asks_with(s, one, "POST /shelf", "", "a");
    asks_with(s, two, "POST /shelf", "", "a");
    origin_waits_at(s, &both, 2);
    gate_opens(s, &both);
    hears(s, one, "200", "Cache-Status: weir; fwd=method; !collapsed", "done");
    hears(s, two, "200", "Cache-Status: weir; fwd=method; !collapsed", "done");
    scene_end(s);
}
END_TEST

START_TEST(cookies_are_not_shared_with_waiters)
{
    struct scene *s = scene_begin(NULL);
    struct client *clients[SOME];
    struct gate answer = { 0 };
    int cookies = 0;
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: s-maxage=60\nSet-Cookie: who=first", .body = "jam",
                      .hold = &answer);
    all_ask(s, clients, SOME, "GET /shelf");
    origin_waits_at(s, &answer, 1);
    gate_opens(s, &answer);
    for (int i = 0; i < SOME; i++) {
        hears(s, clients[i], "200", "", "jam");
        cookies += heard_field(clients[i], "Set-Cookie") != NULL;
    }
    holds(s, cookies <= 1);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(five_hundred_clients_cause_one_request),
        TABLE(the_first_byte_does_not_wait_for_the_last, framings),
        TEST(a_large_response_reaches_everybody_whole),
        TABLE(what_may_not_be_shared_is_fetched_in_parallel, unshareable),
        TEST(a_key_that_becomes_shareable_is_shared_again),
        TEST(a_leader_that_leaves_breaks_nothing),
        TEST(a_leader_that_leaves_before_the_answer_breaks_nothing),
        TEST(a_failed_fetch_fails_its_waiters_once),
        { a_fetch_that_breaks_midway_breaks_for_everybody, 4 },
        TEST(one_validation_for_everybody),
        TEST(variants_are_fetched_side_by_side),
        TEST(a_wrong_variant_is_not_given_to_a_waiter),
        TEST(waiters_with_other_variants_each_get_their_own),
        TEST(posts_are_never_collapsed),
        TEST(cookies_are_not_shared_with_waiters),
    };
    return converse("coalesce", tests, COUNT(tests));
}
