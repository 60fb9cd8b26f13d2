/* Two servers of one origin, the scene's own and another one: who is asked, and who is asked again. In turn, the scene's own
 * is the first. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

struct pair {
    struct scene *s;
    struct origin *other;
};

/* @param settings  of the origin, but for its servers */
static struct pair pair_begin(const char *settings)
{
    struct pair p = { scene_begin_stopped(), origin_start(0) };
    const char *path = say(p.s, "%s/weir.yaml", scene_weir(p.s)->dir);
    FILE *f = fopen(path, "we");
    holds(p.s, p.other != NULL && f != NULL);
    fprintf(f,
            "origins: {pair: {servers: [\"http://127.0.0.1:%d\", \"http://127.0.0.1:%d\"]%s}}\n"
            "routes: [{match: /keyed/, origin: pair, retry_post: true}, {match: /, origin: pair}]\n",
            origin_port(scene_origin(p.s)), origin_port(p.other), settings);
    holds(p.s, fclose(f) == 0);
    weir_starts(p.s, say(p.s, "--workers 1 --config %s", path));
    return p;
}

static void other_answers(struct pair *p, const char *status, const char *body)
{
    origin_script(p->other, &(struct answer){ .status = status, .fields = "Cache-Control: no-store", .body = body });
}

static void pair_end(struct pair *p)
{
    holds(p->s, origin_unscripted(p->other) == 0);
    scene_end(p->s);
    origin_end(p->other);
}

/* What the first server does, and whether the request is sent to the other. */
static const struct retry_row {
    const char *settings, *request, *fields, *content;
    struct answer first;
    bool again;
    const char *status; /* the client's, when not sent again; NULL: a break */
    const char *why;
} retries[] = {
    { "", "GET /a", "", NULL, { .silent = true, .ending = CLOSE }, true, "200", "no byte has come" },
    { "", "HEAD /a", "", NULL, { .silent = true, .ending = RESET }, true, "200", "no byte has come" },
    { "", "GET /a", "", NULL, { .raw = "HTTP/1.1 200 OK\r\nContent-Le", .ending = CUT }, true, "200", "half a head" },
    { "", "GET /a", "", NULL, { .raw = "nonsense\r\n\r\n", .ending = CLOSE }, true, "200", "no HTTP" },
    { ", first_byte_timeout: 200ms", "GET /a", "", NULL, { .silent = true, .ending = HANG }, true, "200", "too late" },
    { ", retries: {attempts: 0}", "GET /a", "", NULL, { .silent = true, .ending = CLOSE }, false, "502", "not wanted" },
    { ", retries: {budget: 0%}", "GET /a", "", NULL, { .silent = true, .ending = CLOSE }, false, "502", "no budget" },
    { "", "GET /a", "", NULL, { .status = "503", .body = "" }, false, "503", "an answer is an answer" },
    { ", retries: {on_5xx: true}", "GET /a", "", NULL, { .status = "503", .body = "" }, true, "200", "unless not" },
    { ", retries: {on_5xx: true}", "GET /a", "", NULL, { .status = "500", .body = "" }, false, "500", "not overload" },
    { "", "POST /a", "", "plum", { .silent = true, .ending = CLOSE }, false, "502", "it may have been acted on" },
    { "", "POST /a", "Idempotency-Key: 1", "plum", { .silent = true, .ending = CLOSE }, false, "502", "another route" },
    { "", "POST /keyed/a", "", "plum", { .silent = true, .ending = CLOSE }, false, "502", "no key" },
    { "", "POST /keyed/a", "Idempotency-Key: 1", "plum", { .silent = true, .ending = CLOSE }, true, "200", "a key" },
    { "", "DELETE /a", "", NULL, { .silent = true, .ending = CLOSE }, false, "502", "safe methods only" },
};

START_TEST(a_request_is_tried_elsewhere_when_that_does_no_harm)
{
    const struct retry_row *row = &retries[_i];
    struct pair p = pair_begin(row->settings);
    origin_does(p.s, &row->first);
    if (row->again) other_answers(&p, "200", "jam");
    if (row->content != NULL)
        client_sends(p.s, row->request, row->fields, row->content);
    else
        client_asks(p.s, row->request, row->fields);
    bool head = strncmp(row->request, "HEAD", 4) == 0;
    client_hears(p.s, row->status, "", !row->again ? NULL : head ? "" : "jam");
    if (row->again != (origin_count(p.other) == 1)) scene_fail(AT(p.s), "%s", row->why);
    if (row->again && row->content != NULL) holds(p.s, strcmp(origin_heard_at(p.other, 0)->body, row->content) == 0);
    pair_end(&p);
}
END_TEST

START_TEST(what_the_client_has_heard_is_not_taken_back)
{
    struct pair p = pair_begin("");
    struct gate rest = { 0 };
    origin_answers_as(p.s, .status = "200", .fields = "Cache-Control: no-store", .body = "plums and pears",
                      .hold_content = &rest, .hold_after = 5, .ending = CUT, .cut_after = 7);
    client_asks(p.s, "GET /a", "");
    hears_head(p.s, scene_client(p.s), "200", "");
    hears_content(p.s, scene_client(p.s), "plums");
    gate_opens(p.s, &rest);
    hears_break(p.s, scene_client(p.s));
    holds(p.s, origin_count(p.other) == 0);
    pair_end(&p);
}
END_TEST

START_TEST(a_server_that_is_left_alone_is_not_asked)
{
    struct pair p = pair_begin(", breaker: {failures: 1, open: 600s}");
    origin_goes(p.s);
    for (int i = 0; i < 5; i++) {
        other_answers(&p, "200", "jam");
        client_asks(p.s, say(p.s, "GET /%d", i), "");
        client_hears(p.s, "200", "", "jam");
    }
    admin_asks(p.s, "GET /metrics", "");
    admin_hears(p.s, "200", "");
    holds(p.s, origin_count(p.other) == 5);
    origin_down(p.other);
    client_asks(p.s, "GET /last", "");
    client_hears(p.s, "502", "", NULL);
    client_asks(p.s, "GET /later", "");
    client_hears(p.s, "503", "Retry-After: 60\nCache-Status: ~origin-down", NULL);
    pair_end(&p);
}
END_TEST

START_TEST(all_down_is_stale_where_that_is_allowed)
{
    struct pair p = pair_begin(", breaker: {failures: 1, open: 600s}");
    origin_answers(p.s, "200", "Cache-Control: max-age=1, stale-if-error=600", "jam");
    client_asks(p.s, "GET /kept", "");
    client_hears(p.s, "200", "", "jam");
    seconds_pass(p.s, 10);
    origin_goes(p.s);
    origin_down(p.other);
    for (int i = 0; i < 3; i++) {
        client_asks(p.s, "GET /kept", "");
        client_hears(p.s, "200", "Age: 10", "jam");
    }
    origin_returns(p.s);
    pair_end(&p);
}
END_TEST

/* ---- hedged requests: the next one goes to the scene's own server, which takes its time */

enum { ENOUGH = 32 /* times before weir knows what is slow */ };

static struct pair hedging_begin(const char *settings, int known)
{
    struct pair p = pair_begin(settings);
    const struct answer quick = {
        .status = "200", .fields = "Cache-Control: no-store", .body = "x", .times = known / 2
    };
    origin_script(p.other, &quick);
    origin_does(p.s, &quick);
    for (int i = 0; i < known; i++) {
        client_asks(p.s, "GET /quick", "");
        client_hears(p.s, "200", "", "x");
    }
    return p;
}

static void counts_hedges(struct pair *p, const char *sent, const char *won)
{
    admin_asks(p->s, "GET /v1/stats", "");
    admin_hears(p->s, "200", "");
    admin_heard_member(p->s, "hedges", sent);
    admin_heard_member(p->s, "hedges_won", won);
}

#define HEDGE ", retries: {hedge: true}, breaker: {failures: 1, open: 600s}"

static const struct hedge_row {
    const char *settings, *request, *content;
    int known;
    struct answer second;
    bool sent, won;
    const char *why;
} hedges[] = {
    { HEDGE, "GET /a", NULL, ENOUGH, { .status = "200", .body = "pear" }, true, true, "the first answer is taken" },
    { HEDGE, "GET /a", NULL, ENOUGH, { .status = "404", .body = "pear" }, true, true, "that is one" },
    { HEDGE, "HEAD /a", NULL, ENOUGH, { .status = "200", .body = "" }, true, true, "HEAD is safe" },
    { HEDGE, "GET /a", NULL, ENOUGH, { .status = "503", .body = "pear" }, true, false, "a failure is not taken" },
    { HEDGE, "GET /a", NULL, ENOUGH, { .raw = "HTTP/1.1 200 OK\r\nA", .ending = CUT }, true, false, "half a head" },
    { HEDGE, "GET /a", NULL, ENOUGH - 2, { .status = "200" }, false, false, "too little is known" },
    { HEDGE, "POST /a", "plum", ENOUGH, { .status = "200" }, false, false, "not safe" },
    { HEDGE, "DELETE /a", NULL, ENOUGH, { .status = "200" }, false, false, "not safe either" },
    { HEDGE, "QUERY /a", "plum", ENOUGH, { .status = "200" }, false, false, "there is content" },
    { HEDGE ", in_flight: 1", "GET /a", NULL, ENOUGH, { .status = "200" }, false, false, "there is no second place" },
    { ", retries: {hedge: true, budget: 0%}", "GET /a", NULL, ENOUGH, { .status = "200" }, false, false, "no budget" },
    { ", retries: {hedge: true, attempts: 0}",
      "GET /a",
      NULL,
      ENOUGH,
      { .status = "200" },
      false,
      false,
      "none wanted" },
    { "", "GET /a", NULL, ENOUGH, { .status = "200" }, false, false, "off by default" },
};

START_TEST(what_takes_too_long_is_asked_of_another_server_too)
{
    const struct hedge_row *row = &hedges[_i];
    struct pair p = hedging_begin(row->settings, row->known);
    struct gate slow = { 0 };
    struct answer second = row->second;
    size_t quick = (size_t)row->known / 2;
    second.fields = "Cache-Control: no-store";
    origin_answers_as(p.s, .status = "200", .fields = "Cache-Control: no-store", .body = "plum", .hold = &slow);
    if (row->sent) origin_script(p.other, &second);
    if (row->content != NULL)
        client_sends(p.s, row->request, "Content-Type: text/plain", row->content);
    else
        client_asks(p.s, row->request, "");
    origin_waits_at(p.s, &slow, 1);
    if (row->sent && !origin_wait_count(p.other, quick + 1)) scene_fail(AT(p.s), "not asked: %s", row->why);
    if (!row->won) hears_nothing(p.s, scene_client(p.s), 100);
    if (!row->won) gate_opens(p.s, &slow);
    const char *body = strncmp(row->request, "HEAD", 4) == 0 ? "" : row->won ? "pear" : "plum";
    client_hears(p.s, row->won ? row->second.status : "200", "", body);
    if (origin_count(p.other) != quick + row->sent) scene_fail(AT(p.s), "asked: %s", row->why);
    counts_hedges(&p, row->sent ? "1" : "0", row->won ? "1" : "0");
    if (row->won) gate_opens(p.s, &slow);
    pair_end(&p);
}
END_TEST

/* Nor is the slow server left alone, though one failure would do. */
START_TEST(whoever_was_slower_has_not_failed)
{
    struct pair p = hedging_begin(HEDGE, ENOUGH);
    struct gate slow = { 0 };
    origin_answers_as(p.s, .status = "200", .body = "plum", .hold = &slow);
    other_answers(&p, "200", "pear");
    client_asks(p.s, "GET /a", "");
    client_hears(p.s, "200", "", "pear");
    gate_opens(p.s, &slow);
    const struct answer quick = { .status = "200", .fields = "Cache-Control: no-store", .body = "x", .times = ALWAYS };
    size_t asked = origin_count(scene_origin(p.s));
    origin_does(p.s, &quick);
    origin_script(p.other, &quick);
    for (int i = 0; i < 4; i++) {
        client_asks(p.s, "GET /b", "");
        client_hears(p.s, "200", "", "x");
    }
    holds(p.s, origin_count(scene_origin(p.s)) > asked);
    admin_asks(p.s, "GET /v1/stats", "");
    admin_hears(p.s, "200", "");
    admin_heard_member(p.s, "state", "\"well\"");
    admin_heard_member(p.s, "failures", "0");
    pair_end(&p);
}
END_TEST

START_TEST(when_both_fail_it_has_failed)
{
    struct pair p = hedging_begin(HEDGE, ENOUGH);
    struct gate first = { 0 }, second = { 0 };
    origin_answers_as(p.s, .raw = "HTTP/1.1 200", .hold = &first, .ending = CUT);
    origin_script(p.other, &(struct answer){ .raw = "HTTP/1.1 200", .hold = &second, .ending = RESET });
    client_asks(p.s, "GET /a", "");
    holds(p.s, origin_wait_gate(p.other, &second, 1));
    gate_opens(p.s, &first);
    hears_nothing(p.s, scene_client(p.s), 50);
    origin_open_gate(p.other, &second);
    client_hears(p.s, "502", "", NULL);
    pair_end(&p);
}
END_TEST

START_TEST(a_client_that_leaves_ends_both)
{
    struct pair p = hedging_begin(HEDGE, ENOUGH);
    struct gate first = { 0 }, second = { 0 };
    origin_answers_as(p.s, .status = "200", .fields = "Cache-Control: no-store", .body = "plum", .hold = &first);
    origin_script(p.other, &(struct answer){ .status = "200", .body = "pear", .hold = &second });
    struct client *c = client_arrives(p.s);
    asks(p.s, c, "GET /a", "Authorization: Basic eDp5");
    holds(p.s, origin_wait_gate(p.other, &second, 1));
    client_leaves(p.s, c);
    gate_opens(p.s, &first);
    origin_open_gate(p.other, &second);
    pair_end(&p);
}
END_TEST

/* The one that is taken streams on; what is stored is one response, whole. */
START_TEST(the_second_answer_is_stored)
{
    struct pair p = hedging_begin(HEDGE, ENOUGH);
    struct gate slow = { 0 }, rest = { 0 };
    origin_answers_as(p.s, .status = "200", .fields = "Cache-Control: max-age=600", .body = "plums and pears",
                      .hold = &slow);
    origin_script(p.other, &(struct answer){ .status = "200",
                                             .fields = "Cache-Control: max-age=600",
                                             .body = "apples and figs",
                                             .hold_content = &rest,
                                             .hold_after = 6 });
    client_asks(p.s, "GET /a", "");
    hears_head(p.s, scene_client(p.s), "200", "");
    hears_content(p.s, scene_client(p.s), "apples");
    gate_opens(p.s, &slow);
    hears_nothing(p.s, scene_client(p.s), 50);
    origin_open_gate(p.other, &rest);
    hears_content(p.s, scene_client(p.s), " and figs");
    hears_end(p.s, scene_client(p.s));
    client_asks(p.s, "GET /a", "");
    client_hears(p.s, "200", "Cache-Status: weir; hit", "apples and figs");
    pair_end(&p);
}
END_TEST

/* Whoever takes nothing of what cannot be stored keeps the origin busy for nobody. */
static const char *const narrow[] = { "connections: 1", "in_flight: 1" };

START_TEST(who_takes_nothing_gives_way_to_who_waits)
{
    enum { MUCH = 64 << 20 };
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f, "origins: {narrow: {servers: [\"http://127.0.0.1:%d\"], %s}}\nroutes: [{match: /, origin: narrow}]\n",
            origin_port(scene_origin(s)), narrow[_i]);
    holds(s, fclose(f) == 0);
    weir_starts(s, say(s, "--workers 1 --config %s", path));
    struct client *halted = client_arrives(s);
    origin_answers_as(s, .target = "/much", .status = "200", .fields = "Cache-Control: no-store", .pattern_len = MUCH);
    origin_answers_at(s, "/little", "200", "Cache-Control: no-store", "jam");
    asks(s, halted, "GET /much", "");
    hears_head(s, halted, "200", "");
    client_asks(s, "GET /little", "");
    client_hears(s, "200", "", "jam");
    hears_break(s, halted);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(a_request_is_tried_elsewhere_when_that_does_no_harm, retries),
        TEST(what_the_client_has_heard_is_not_taken_back),
        TEST(a_server_that_is_left_alone_is_not_asked),
        TABLE(who_takes_nothing_gives_way_to_who_waits, narrow),
        TEST(all_down_is_stale_where_that_is_allowed),
        TABLE(what_takes_too_long_is_asked_of_another_server_too, hedges),
        TEST(whoever_was_slower_has_not_failed),
        TEST(when_both_fail_it_has_failed),
        TEST(a_client_that_leaves_ends_both),
        TEST(the_second_answer_is_stored),
    };
    return converse("origins", tests, COUNT(tests));
}
