/* Taking stored responses out: PURGE on the listeners, POST /v1/purge on the admin address. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* Store the answer to a GET of this target on this host. */
static void store(struct scene *s, const char *host, const char *target, const char *fields, const char *body)
{
    origin_answers(s, "200", say(s, "Cache-Control: max-age=600\n%s", fields), body);
    client_asks(s, say(s, "GET %s", target), say(s, "Host: %s", host));
    client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", body);
}

static void is_a_hit(struct scene *s, const char *host, const char *target, const char *body)
{
    client_asks(s, say(s, "GET %s", target), say(s, "Host: %s", host));
    client_hears(s, "200", "Cache-Status: weir; hit", body);
}

static void is_gone(struct scene *s, const char *host, const char *target)
{
    origin_answers(s, "200", "Cache-Control: no-store", "gone");
    client_asks(s, say(s, "GET %s", target), say(s, "Host: %s", host));
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "gone");
}

#define store(s, ...)    store(AT(s), __VA_ARGS__)
#define is_a_hit(s, ...) is_a_hit(AT(s), __VA_ARGS__)
#define is_gone(s, ...)  is_gone(AT(s), __VA_ARGS__)

static void purge(struct scene *s, const char *json)
{
    admin_asks(s, "POST /v1/purge", json);
    admin_hears(s, "200", "Content-Type: ~application/json");
}

START_TEST(purge_takes_a_url_with_every_variant)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600\nVary: Foo", .body = "x", .times = 2);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /shelf?a", say(s, "Foo: %d", i));
        client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", "x");
    }
    store(s, HOST, "/shelf?b", "", "b");
    store(s, "other.example", "/shelf?a", "", "a");
    client_asks(s, "PURGE /shelf?a", "");
    client_hears(s, "200", "Content-Type: ~application/json", NULL);
    client_heard_member(s, "purged", "2");
    holds(s, strstr(scene_client(s)->response.body, "\"id\"") != NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: no-store", .body = "y", .times = 2);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /shelf?a", say(s, "Foo: %d", i));
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "y");
    }
    is_a_hit(s, HOST, "/shelf?b", "b");
    is_a_hit(s, "other.example", "/shelf?a", "a");
    scene_end(s);
}
END_TEST

START_TEST(purge_of_nothing_is_no_error)
{
    struct scene *s = scene_begin(NULL);
    client_asks(s, "PURGE /nothing", "");
    client_hears(s, "200", "", NULL);
    client_heard_member(s, "purged", "0");
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

/* Tags in the response, and tags in the PURGE request. */
static const struct tag_row {
    const char *tagged, *purge;
    bool gone;
} tags[] = {
    { "Surrogate-Key: plum jam", "Surrogate-Key: plum", true },
    { "Surrogate-Key: plum jam", "Surrogate-Key: jam", true },
    { "Surrogate-Key: plum jam", "Surrogate-Key: pear jam", true },
    { "Surrogate-Key: plum jam", "Cache-Tag: jam", true },
    { "Surrogate-Key: plum jam", "xkey: jam", true },
    { "Surrogate-Key: plum jam", "Surrogate-Key: pear", false },
    { "Surrogate-Key: plum jam", "Surrogate-Key: plu", false },
    { "Cache-Tag: plum,jam", "Cache-Tag: jam", true },
    { "Cache-Tag: plum, jam", "Cache-Tag: pear, plum", true },
    { "Cache-Tag: plum, jam", "Cache-Tag: pear", false },
    { "xkey: plum jam", "xkey: jam", true },
    { "Cache-Groups: \"plum\", \"jam\"", "Cache-Tag: jam", true },
    { "Surrogate-Key: plum\nSurrogate-Key: jam", "Surrogate-Key: jam", true },
};

START_TEST(purge_takes_tags)
{
    const struct tag_row *row = &tags[_i];
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/tagged", row->tagged, "tagged");
    store(s, HOST, "/other", "Surrogate-Key: other", "other");
    client_asks(s, "PURGE /tagged", row->purge); /* with tags the URL does not matter */
    client_hears(s, "200", "", NULL);
    client_heard_member(s, "purged", row->gone ? "1" : "0");
    if (row->gone)
        is_gone(s, HOST, "/tagged");
    else
        is_a_hit(s, HOST, "/tagged", "tagged");
    is_a_hit(s, HOST, "/other", "other");
    scene_end(s);
}
END_TEST

/* All that it names, or nothing. */
START_TEST(a_purge_of_too_many_tags_is_refused)
{
    struct scene *s = scene_begin(NULL);
    char names[16 * 1024];
    size_t len = (size_t)sprintf(names, "Surrogate-Key:");
    store(s, HOST, "/tagged", "Surrogate-Key: t1000", "tagged");
    for (int i = 0; i < 1000; i++) len += (size_t)sprintf(names + len, " t%d", i);
    client_asks(s, "PURGE /", names);
    client_hears(s, "200", "", NULL);
    is_a_hit(s, HOST, "/tagged", "tagged");
    strcat(names, " t1000");
    client_asks(s, "PURGE /", names);
    client_hears(s, "400", "Content-Type: application/problem+json", NULL);
    is_a_hit(s, HOST, "/tagged", "tagged");
    scene_end(s);
}
END_TEST

START_TEST(a_soft_purge_keeps_what_it_makes_stale)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/shelf", "Cache-Control: stale-while-revalidate=600\nSurrogate-Key: plum", "old");
    client_asks(s, "PURGE /shelf", "Surrogate-Key: plum\nSoft-Purge: 1");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "old");
    client_soon_hears(s, "GET /shelf", "Cache-Status: weir; hit", "new");
    scene_end(s);
}
END_TEST

START_TEST(a_soft_purge_keeps_it_for_errors)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/shelf", "Cache-Control: stale-if-error=600\nETag: \"1\"", "old");
    client_asks(s, "PURGE /shelf", "Soft-Purge: 1");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "503", "", "sorry");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=503", "old");
    origin_heard(s, "GET /shelf", "If-None-Match: \"1\"");
    origin_answers(s, "304", "ETag: \"1\"\nCache-Control: max-age=600", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "old");
    is_a_hit(s, HOST, "/shelf", "old"); /* validated after the purge */
    scene_end(s);
}
END_TEST

/* Its windows count from the purge, however long it would have been fresh. */
START_TEST(a_soft_purge_does_not_keep_it_for_errors_for_ever)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/shelf", "Cache-Control: max-age=6000, stale-if-error=30", "old");
    client_asks(s, "PURGE /shelf", "Soft-Purge: 1");
    client_hears(s, "200", "", NULL);
    origin_goes(s);
    seconds_pass(s, 20);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale", "old");
    seconds_pass(s, 20);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "502", "", NULL);
    scene_end(s);
}
END_TEST

START_TEST(the_admin_api_wants_its_token)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/token", scene_weir(s)->dir);
    FILE *f = fopen(path, "w");
    holds(s, f != NULL && fputs("let-me-in\n", f) >= 0 && fclose(f) == 0);
    weir_starts(s, say(s, "--admin-token-file %s", path));
    store(s, HOST, "/shelf", "", "x");
    static const char *const refused[] = { "X-Authorization: none", "Authorization: Bearer let-me-out",
                                           "Authorization: Bearer let-me-i", "Authorization: Bearer",
                                           "Authorization: Basic let-me-in" };
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct client *c = client_open(scene_weir(s)->admin_port);
        asks_with(s, c, "POST /v1/purge", say(s, "Host: 127.0.0.1\n%s", refused[i]), "{\"all\": true}");
        hears(s, c, "401", "WWW-Authenticate: ~Bearer\nContent-Type: ~application/problem+json", NULL);
        client_close(c);
    }
    is_a_hit(s, HOST, "/shelf", "x");
    struct client *c = client_open(scene_weir(s)->admin_port);
    asks_with(s, c, "POST /v1/purge", "Host: 127.0.0.1\nAuthorization: Bearer let-me-in", "{\"all\": true}");
    hears(s, c, "200", "", NULL);
    client_close(c);
    is_gone(s, HOST, "/shelf");
    scene_end(s);
}
END_TEST

/* ---- POST /v1/purge ---- */

/* Stored: /a/1 and /a/2 and /b on shop.example, /a/1 on other.example; tagged one two three four. */
static const struct api_row {
    const char *json;
    const char *matched;
    bool gone[4];
} api[] = {
    { "{\"urls\": [\"http://" HOST "/a/1\"]}", "1", { true, false, false, false } },
    { "{\"urls\": [\"http://" HOST "/a/1\", \"http://" HOST "/b\"]}", "2", { true, false, true, false } },
    { "{\"urls\": [\"http://" HOST ":80/a/1\"]}", "1", { true, false, false, false } },
    { "{\"urls\": [\"http://" HOST "/a\"]}", "0", { false, false, false, false } },
    { "{\"tags\": [\"two\"]}", "1", { false, true, false, false } },
    { "{\"tags\": [\"two\", \"three\", \"five\"]}", "2", { false, true, true, false } },
    { "{\"prefixes\": [\"http://" HOST "/a/\"]}", "2", { true, true, false, false } },
    { "{\"prefixes\": [\"http://" HOST "/\"]}", "3", { true, true, true, false } },
    { "{\"hosts\": [\"other.example\"]}", "1", { false, false, false, true } },
    { "{\"hosts\": [\"" HOST "\"]}", "3", { true, true, true, false } },
    { "{\"all\": true}", "4", { true, true, true, true } },
    { "{\"urls\": [\"http://" HOST "/b\"], \"tags\": [\"one\", \"three\"], \"hosts\": [\"other.example\"]}",
      "3",
      { true, false, true, true } },
    { "{\"all\": true, \"dry_run\": true}", "4", { false, false, false, false } },
    { "{\"tags\": [\"one\"], \"dry_run\": true, \"soft\": true}", "1", { false, false, false, false } },
};

static const struct {
    const char *host, *target, *tag;
} stored[] = {
    { HOST, "/a/1", "one" }, { HOST, "/a/2", "two" }, { HOST, "/b", "three" }, { "other.example", "/a/1", "four" }
};

START_TEST(the_api_takes_any_mix)
{
    const struct api_row *row = &api[_i];
    struct scene *s = scene_begin(NULL);
    for (size_t i = 0; i < COUNT(stored); i++)
        store(s, stored[i].host, stored[i].target, say(s, "Surrogate-Key: %s", stored[i].tag), stored[i].tag);
    purge(s, row->json);
    admin_heard_member(s, "matched", row->matched);
    admin_heard_member(s, "dry_run", strstr(row->json, "dry_run") != NULL ? "true" : "false");
    admin_heard_member(s, "soft", strstr(row->json, "soft") != NULL ? "true" : "false");
    for (size_t i = 0; i < COUNT(stored); i++) {
        if (row->gone[i])
            is_gone(s, stored[i].host, stored[i].target);
        else
            is_a_hit(s, stored[i].host, stored[i].target, stored[i].tag);
    }
    scene_end(s);
}
END_TEST

static const char *const wrong[] = {
    "",
    "{",
    "[]",
    "null",
    "\"all\"",
    "{} {}",
    "{\"all\": true,}",
    "{\"all\": \"true\"}",
    "{\"all\": 1}",
    "{\"all\": true, \"tag\": [\"one\"]}",
    "{\"all\": true, \"Tags\": []}",
    "{\"tags\": \"one\"}",
    "{\"tags\": [\"one\", 2]}",
    "{\"tags\": [\"one\", null]}",
    "{\"tags\": [\"one\"], \"soft\": \"no\"}",
    "{\"urls\": [\"not a url\"], \"tags\": [\"one\"]}",
    "{\"urls\": [\"ftp://shop.example/a/1\"], \"tags\": [\"one\"]}",
    "{\"hosts\": [\"shop.example/a\"], \"tags\": [\"one\"]}",
};

START_TEST(what_is_wrong_purges_nothing)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/a/1", "Surrogate-Key: one", "one");
    admin_asks(s, "POST /v1/purge", wrong[_i]);
    admin_hears(s, "400", "Content-Type: ~application/problem+json");
    is_a_hit(s, HOST, "/a/1", "one");
    scene_end(s);
}
END_TEST

/* ---- a purge is a point in time ---- */

START_TEST(a_purge_wins_over_a_fetch_under_way)
{
    static const char *const purges[] = { "{\"urls\": [\"http://" HOST "/shelf\"]}", "{\"tags\": [\"plum\"]}",
                                          "{\"prefixes\": [\"http://" HOST "/sh\"]}", "{\"hosts\": [\"" HOST "\"]}",
                                          "{\"all\": true}" };
    struct scene *s = scene_begin(NULL);
    struct gate old = { 0 };
    struct client *before = client_arrives(s), *after = client_arrives(s);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600\nSurrogate-Key: plum", .body = "old",
                      .hold = &old);
    asks(s, before, "GET /shelf", "");
    origin_waits_at(s, &old, 1);
    purge(s, purges[_i]);
    origin_answers(s, "200", "Cache-Control: max-age=600\nSurrogate-Key: plum", "new");
    bool by_tag = strstr(purges[_i], "tags") != NULL; /* what a fetch is tagged with is known when it answers */
    asks(s, after, "GET /shelf", "");
    if (!by_tag) hears(s, after, "200", "Cache-Status: weir; fwd=*", "new");
    gate_opens(s, &old);
    hears(s, before, "200", "", "old");
    if (by_tag) hears(s, after, "200", "Cache-Status: weir; fwd=*", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "new");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(a_purge_wins_over_a_response_half_read)
{
    struct scene *s = scene_begin(NULL);
    struct gate rest = { 0 };
    struct client *before = client_arrives(s);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600\nSurrogate-Key: plum",
                      .body = "old jam", .hold_content = &rest, .hold_after = 3);
    asks(s, before, "GET /shelf", "");
    hears_head(s, before, "200", "");
    hears_content(s, before, "old");
    purge(s, "{\"tags\": [\"plum\"]}");
    origin_answers(s, "200", "Cache-Control: max-age=600", "new");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "new");
    gate_opens(s, &rest);
    hears_content(s, before, " jam");
    hears_end(s, before);
    is_a_hit(s, HOST, "/shelf", "new");
    scene_end(s);
}
END_TEST

START_TEST(what_is_stored_after_a_purge_stays)
{
    struct scene *s = scene_begin(NULL);
    for (int i = 0; i < 5; i++) {
        store(s, HOST, "/shelf", "Surrogate-Key: plum", say(s, "jam %d", i));
        is_a_hit(s, HOST, "/shelf", say(s, "jam %d", i));
        purge(s, "{\"tags\": [\"plum\"]}");
        admin_heard_member(s, "matched", "1");
    }
    is_gone(s, HOST, "/shelf");
    scene_end(s);
}
END_TEST

/* However weir ends after it has acknowledged a purge, the purge holds. */
START_TEST(a_purge_survives_the_end_of_weir)
{
    static const char *const purges[] = { "{\"urls\": [\"http://" HOST "/a/1\"]}", "{\"tags\": [\"one\"]}",
                                          "{\"prefixes\": [\"http://" HOST "/a/1\"]}" };
    struct scene *s = scene_begin(NULL);
    for (size_t i = 0; i < COUNT(stored); i++)
        store(s, stored[i].host, stored[i].target, say(s, "Surrogate-Key: %s", stored[i].tag), stored[i].tag);
    weir_stops(s); /* all of it is in the store */
    weir_starts(s, NULL);
    is_a_hit(s, HOST, "/a/1", "one");
    purge(s, purges[_i / 2]);
    if (_i % 2 == 0)
        weir_is_killed(s);
    else
        weir_stops(s);
    weir_starts(s, NULL);
    is_gone(s, HOST, "/a/1");
    for (size_t i = 1; i < COUNT(stored); i++) is_a_hit(s, stored[i].host, stored[i].target, stored[i].tag);
    scene_end(s);
}
END_TEST

START_TEST(a_soft_purge_survives_a_restart)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/shelf", "Surrogate-Key: plum\nETag: \"1\"", "jam");
    purge(s, "{\"tags\": [\"plum\"], \"soft\": true}");
    weir_stops(s);
    weir_starts(s, NULL);
    origin_answers(s, "304", "ETag: \"1\"\nCache-Control: max-age=600", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "jam");
    scene_end(s);
}
END_TEST

START_TEST(one_purge_takes_a_thousand_responses)
{
    enum { MANY = 1000 };
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600\nSurrogate-Key: all", .body = "x",
                      .times = MANY);
    for (int i = 0; i < MANY; i++) {
        char request[64];
        snprintf(request, sizeof request, "GET /%d", i);
        client_asks(s, request, "");
        client_hears(s, "200", "Cache-Status: weir; fwd=*; stored", "x");
    }
    purge(s, "{\"tags\": [\"all\"]}");
    admin_heard_member(s, "matched", "1000");
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: no-store", .body = "y", .times = MANY);
    for (int i = 0; i < MANY; i++) {
        char request[64];
        snprintf(request, sizeof request, "GET /%d", i);
        client_asks(s, request, "");
        client_hears(s, "200", "Cache-Status: weir; fwd=*", "y");
    }
    scene_end(s);
}
END_TEST

START_TEST(purge_does_not_reach_the_origin)
{
    struct scene *s = scene_begin(NULL);
    client_asks(s, "PURGE /shelf", "");
    client_hears(s, "200", "", NULL);
    client_asks(s, "PURGE /", "Surrogate-Key: a b c");
    client_hears(s, "200", "", NULL);
    origin_count_is(s, 0);
    scene_end(s);
}
END_TEST

START_TEST(groups_are_invalidated_by_unsafe_requests)
{
    struct scene *s = scene_begin(NULL);
    store(s, HOST, "/a", "Cache-Groups: \"shelf\"", "a");
    store(s, HOST, "/b", "Cache-Groups: \"other\"", "b");
    store(s, "other.example", "/a", "Cache-Groups: \"shelf\"", "c");
    origin_answers(s, "200", "Cache-Group-Invalidation: \"shelf\"", "done"); /* RFC 9875 §3 */
    client_sends(s, "POST /c", "", "x");
    client_hears(s, "200", "", "done");
    is_gone(s, HOST, "/a");
    is_a_hit(s, HOST, "/b", "b");
    is_a_hit(s, "other.example", "/a", "c"); /* groups are of one origin */
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(purge_takes_a_url_with_every_variant),
        TEST(purge_of_nothing_is_no_error),
        TABLE(purge_takes_tags, tags),
        TEST(a_purge_of_too_many_tags_is_refused),
        TEST(a_soft_purge_keeps_what_it_makes_stale),
        TEST(a_soft_purge_keeps_it_for_errors),
        TEST(a_soft_purge_does_not_keep_it_for_errors_for_ever),
        TEST(the_admin_api_wants_its_token),
        TABLE(the_api_takes_any_mix, api),
        TABLE(what_is_wrong_purges_nothing, wrong),
        { a_purge_wins_over_a_fetch_under_way, 5 },
        TEST(a_purge_wins_over_a_response_half_read),
        TEST(what_is_stored_after_a_purge_stays),
        { a_purge_survives_the_end_of_weir, 6 },
        TEST(a_soft_purge_survives_a_restart),
        TEST(one_purge_takes_a_thousand_responses),
        TEST(purge_does_not_reach_the_origin),
        TEST(groups_are_invalidated_by_unsafe_requests),
    };
    return converse("purge", tests, COUNT(tests));
}
