/* Memory and store as a client and an operator see them: what comes back after a restart, and what stays. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *config_file(struct scene *s, const char *text)
{
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

/* Ask for the stats until they hold this text. */
static void stats_soon_hold(struct scene *s, const char *text)
{
    const struct timespec a_moment = { .tv_nsec = 10000000 };
    const char *body = "";
    for (int i = 0; i < 2000; i++) {
        admin_asks(s, "GET /v1/stats", NULL);
        admin_hears(s, "200", "");
        body = admin_heard(s);
        if (strstr(body, text) != NULL) return;
        nanosleep(&a_moment, NULL);
    }
    scene_fail(AT(s), "the stats never held %s but: %s", text, body);
}

static void stores(struct scene *s, const char *target, const char *fields, const char *body)
{
    origin_answers_at(s, target, "200", fields, body);
    client_asks(s, say(s, "GET %s", target), "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", body);
}

static void hits(struct scene *s, const char *target, const char *body)
{
    client_asks(s, say(s, "GET %s", target), "");
    client_hears(s, "200", "Cache-Status: weir; hit", body);
}

START_TEST(what_was_hot_is_in_memory_after_a_restart)
{
    struct scene *s = scene_begin(NULL);
    stores(s, "/jam", "Cache-Control: max-age=600", "plum");
    stores(s, "/short", "Cache-Control: max-age=20", "stale by then");
    stores(s, "/gone", "Cache-Control: max-age=600", "purged by then");
    origin_answers_as(s, .target = "/large", .status = "200", .fields = "Cache-Control: max-age=600",
                      .pattern_len = 100000, .seed = 3);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
    hears_pattern(s, scene_client(s), 3, 0, 100000);
    client_asks(s, "GET /large", ""); /* once alone is not enough for memory */
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
    hears_pattern(s, scene_client(s), 3, 0, 100000);
    origin_answers_as(s, .target = "/varies", .status = "200", .fields = "Cache-Control: max-age=600\nVary: Accept",
                      .body = "varied");
    client_asks(s, "GET /varies", "Accept: text/plain");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "varied");
    client_asks(s, "PURGE /gone", "");
    client_hears(s, "200", "", NULL);
    weir_stops(s);
    origin_goes(s);
    seconds_pass(s, 30);
    weir_starts(s, NULL);
    stats_soon_hold(s, "\"refilled\": 4,");
    stats_soon_hold(s, "\"running\": false");
    admin_asks(s, "GET /v1/stats", NULL);
    admin_hears(s, "200", "");
    admin_heard_member(s, "entries", "4"); /* of memory, which comes first */
    hits(s, "/jam", "plum");
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
    hears_pattern(s, scene_client(s), 3, 0, 100000);
    client_asks(s, "GET /varies", "Accept: text/plain");
    client_hears(s, "200", "Cache-Status: weir; hit", "varied");
    admin_asks(s, "GET /v1/stats", NULL);
    admin_hears(s, "200", "");
    admin_heard_member(s, "hits_memory", "3");
    admin_heard_member(s, "hits_store", "0");
    scene_end(s);
}
END_TEST

START_TEST(a_kill_loses_at_most_what_was_hot_since_the_last_note)
{
    struct scene *s = scene_begin_stopped();
    const char *options = say(s, "--config %s", config_file(s, "store: {hot_keys: 100ms}\n"));
    weir_starts(s, options);
    stores(s, "/jam", "Cache-Control: max-age=600", "plum");
    stats_soon_hold(s, "\"saved\": 1,");
    weir_is_killed(s);
    origin_goes(s);
    weir_starts(s, options);
    stats_soon_hold(s, "\"refilled\": 1,");
    hits(s, "/jam", "plum");
    scene_end(s);
}
END_TEST

START_TEST(a_restart_begins_with_nothing_in_memory_where_that_is_wanted)
{
    struct scene *s = scene_begin_stopped();
    const char *options = say(s, "--config %s", config_file(s, "store: {hot_keys: 0s}\n"));
    weir_starts(s, options);
    stores(s, "/jam", "Cache-Control: max-age=600", "plum");
    weir_stops(s);
    origin_goes(s);
    weir_starts(s, NULL); /* wants it, but nothing was noted */
    hits(s, "/jam", "plum");
    weir_stops(s);
    weir_starts(s, options);
    stats_soon_hold(s, "\"listed\": 0,");
    hits(s, "/jam", "plum");
    stats_soon_hold(s, "\"refilled\": 0,");
    scene_end(s);
}
END_TEST

/* ---- pins */

/* Ten times what memory holds, and more than the store does, each asked for once. */
static void many_others_come(struct scene *s)
{
    enum { MANY = 100, LEN = 300000 };
    for (int i = 0; i < MANY; i++) {
        const char *target = say(s, "/other/%d", i);
        origin_answers_as(s, .target = target, .status = "200", .fields = "Cache-Control: max-age=600",
                          .pattern_len = LEN, .seed = (uint64_t)i);
        client_asks(s, say(s, "GET %s", target), "");
        hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, LEN);
    }
}

START_TEST(what_is_pinned_stays_until_it_is_purged)
{
    struct scene *s = scene_begin_stopped();
    const char *options = say(s, "--memory 4MiB --store-size 16MiB --config %s",
                              config_file(s, "store: {hot_keys: 0s}\n"
                                             "routes: [{match: /pinned/, cache: {pin: true}}]\n"));
    weir_starts(s, options);
    stores(s, "/pinned/jam", "Cache-Control: max-age=600\nSurrogate-Key: jams", "plum");
    stores(s, "/jam", "Cache-Control: max-age=600", "plum");
    origin_answers_as(s, .target = "/pinned/varies", .status = "200",
                      .fields = "Cache-Control: max-age=600\nVary: Accept", .body = "varied");
    client_asks(s, "GET /pinned/varies", "Accept: text/plain");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "varied");
    origin_answers_as(s, .target = "/pinned/large", .status = "200", .fields = "Cache-Control: max-age=600",
                      .pattern_len = 100000, .seed = 3);
    client_asks(s, "GET /pinned/large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
    hears_pattern(s, scene_client(s), 3, 0, 100000);
    many_others_come(s);
    hits(s, "/pinned/jam", "plum");
    client_asks(s, "GET /pinned/large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
    hears_pattern(s, scene_client(s), 3, 0, 100000);
    client_asks(s, "GET /pinned/varies", "Accept: text/plain");
    client_hears(s, "200", "Cache-Status: weir; hit", "varied");
    admin_asks(s, "GET /v1/stats", NULL);
    admin_hears(s, "200", "");
    admin_heard_member(s, "hits_memory", "3");
    admin_heard_member(s, "pinned", "4"); /* in memory, with the list of variants */
    weir_stops(s);
    weir_starts(s, options);
    hits(s, "/pinned/jam", "plum");
    client_asks(s, "PURGE /pinned/jam", "");
    client_hears(s, "200", "", NULL);
    origin_answers_at(s, "/pinned/jam", "200", "Cache-Control: max-age=600", "quince");
    origin_answers_at(s, "/jam", "200", "Cache-Control: max-age=600", "quince");
    client_asks(s, "GET /pinned/jam", "");
    client_hears(s, "200", "Cache-Status: weir; stored", "quince");
    client_asks(s, "GET /jam", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; stored", "quince"); /* it left long ago */
    scene_end(s);
}
END_TEST

START_TEST(explain_tells_where_a_response_is_pinned)
{
    struct scene *s = scene_begin_stopped();
    weir_starts(s, say(s, "--config %s", config_file(s, "cache: {pin: true}\n")));
    stores(s, "/jam", "Cache-Control: max-age=600", "plum");
    stats_soon_hold(s, "\"puts\": 1");
    struct command_result r;
    process_run(scene_weir(s), say(s, "explain --admin 127.0.0.1:%d http://%s/jam", scene_weir(s)->admin_port, HOST),
                &r);
    if (strstr(r.out, "in memory and store, pinned in memory and store") == NULL)
        scene_fail(AT(s), "%s%s", r.out, r.err);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(what_was_hot_is_in_memory_after_a_restart),
        TEST(a_kill_loses_at_most_what_was_hot_since_the_last_note),
        TEST(a_restart_begins_with_nothing_in_memory_where_that_is_wanted),
        TEST(what_is_pinned_stays_until_it_is_purged),
        TEST(explain_tells_where_a_response_is_pinned),
    };
    return converse("tiers", tests, COUNT(tests));
}
