/* Two tiers: a weir at the edge, and behind it a shield that is a weir too. What is purged at the edge must not come back from
 * the shield.                                                                                                             */
#include "tests/conversation/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *write_config(struct scene *s, const char *name, const char *text)
{
    const char *path = say(s, "%s/%s", scene_weir(s)->dir, name);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

/* ---- two real ones; the scene's weir is the edge */

struct tiers {
    struct scene *s;
    struct process shield;
};

static void shield_starts(struct tiers *t)
{
    const char *config = write_config(t->s, "shield.yaml",
                                      "purge: {allow: []}\nadmin: {tokens: [between-weirs]}\n"
                                      "trusted_proxies: [\"127.0.0.0/8\"]\n"
                                      "routes: [{match: /, cache: {pass_tags: true}}]\n");
    const char *url = say(t->s, "http://127.0.0.1:%d", origin_port(scene_origin(t->s)));
    holds(t->s, process_start(&t->shield, url, say(t->s, "--config %s", config)) == NULL);
}

static void shield_ends(struct tiers *t)
{
    if (t->shield.pid == 0) return;
    holds(t->s, kill(t->shield.pid, SIGTERM) == 0);
    holds(t->s, process_wait(&t->shield) == 0);
}

/* @param host  what the shield hears in Host */
static struct tiers tiers_begin(const char *host, const char *token)
{
    struct tiers t = { .s = scene_begin_stopped() };
    process_init(&t.shield);
    shield_starts(&t);
    const char *edge = say(t.s,
                           "origins:\n  shield:\n"
                           "    servers: [{url: \"http://127.0.0.1:%d\", admin: \"http://127.0.0.1:%d\"}]\n"
                           "    forward_purges: true\n    host: %s\n    purge_token: %s\n"
                           "trusted_proxies: [\"127.0.0.0/8\"]\n"
                           "routes: [{match: /, origin: shield}]\n",
                           t.shield.port, t.shield.admin_port, host, token);
    weir_starts(t.s, say(t.s, "--config %s", write_config(t.s, "edge.yaml", edge)));
    return t;
}

static void tiers_end(struct tiers *t)
{
    scene_end(t->s);
    shield_ends(t);
}

static void both_store_of(struct tiers *t, const char *fields, const char *body)
{
    origin_answers(t->s, "200", "Cache-Control: max-age=600\nSurrogate-Key: fruit", body);
    client_asks(t->s, "GET /jam/plum?a", fields);
    client_hears(t->s, "200", "Cache-Status: ~weir; fwd=uri-miss", body);
    client_asks(t->s, "GET /jam/plum?a", fields);
    client_hears(t->s, "200", "Cache-Status: ~weir; hit", body);
}

static void both_store(struct tiers *t, const char *body)
{
    both_store_of(t, "", body);
}

static void is_in_neither_of(struct tiers *t, const char *fields)
{
    size_t heard = origin_count(scene_origin(t->s));
    origin_answers(t->s, "200", "Cache-Control: no-store", "new");
    client_asks(t->s, "GET /jam/plum?a", fields);
    client_hears(t->s, "200", "Cache-Status: ~weir; fwd=", "new");
    origin_count_is(t->s, heard + 1);
}

static void is_in_neither(struct tiers *t)
{
    is_in_neither_of(t, "");
}

static const struct order_row {
    const char *host, *json;
} orders[] = {
    { "keep", "{\"urls\": [\"http://" HOST "/jam/plum?a\"]}" },
    { "keep", "{\"tags\": [\"fruit\"]}" },
    { "keep", "{\"prefixes\": [\"http://" HOST "/jam\"]}" },
    { "keep", "{\"hosts\": [\"" HOST "\"]}" },
    { "keep", "{\"all\": true}" },
    { "keep", "{\"tags\": [\"fruit\"], \"soft\": true}" },
    { "shield.internal", "{\"urls\": [\"http://" HOST "/jam/plum?a\"]}" },
    { "shield.internal", "{\"prefixes\": [\"http://" HOST "/jam\"]}" },
    { "shield.internal", "{\"hosts\": [\"" HOST "\"]}" },
};

START_TEST(what_the_admin_api_purges_does_not_come_back_from_the_shield)
{
    const struct order_row *row = &orders[_i];
    struct tiers t = tiers_begin(row->host, "between-weirs");
    both_store(&t, "old");
    admin_asks(t.s, "POST /v1/purge", row->json);
    admin_hears(t.s, "200", "");
    admin_heard_member(t.s, "matched", "1");
    admin_heard_member(t.s, "handed_on", "1");
    is_in_neither(&t);
    tiers_end(&t);
}
END_TEST

/* TLS ends in front of the edge, which both believe when they are told so. */
START_TEST(an_https_url_is_purged_as_one)
{
    static const char https[] = "X-Forwarded-Proto: https";
    struct tiers t = tiers_begin("keep", "between-weirs");
    both_store_of(&t, https, "old");
    client_asks(t.s, "PURGE /jam/plum?a", https);
    client_hears(t.s, "200", "", NULL);
    is_in_neither_of(&t, https);
    tiers_end(&t);
}
END_TEST

START_TEST(a_dry_run_is_for_the_edge_alone)
{
    struct tiers t = tiers_begin("keep", "between-weirs");
    both_store(&t, "old");
    admin_asks(t.s, "POST /v1/purge", "{\"all\": true, \"dry_run\": true}");
    admin_hears(t.s, "200", "");
    admin_heard_member(t.s, "matched", "1");
    holds(t.s, origin_count(scene_origin(t.s)) == 1);
    client_asks(t.s, "GET /jam/plum?a", "");
    client_hears(t.s, "200", "Cache-Status: ~weir; hit", "old");
    tiers_end(&t);
}
END_TEST

START_TEST(a_shield_that_refuses_is_told_of)
{
    struct tiers t = tiers_begin("keep", "another-token");
    both_store(&t, "old");
    admin_asks(t.s, "POST /v1/purge", "{\"tags\": [\"fruit\"]}");
    admin_hears(t.s, "502", "Content-Type: application/problem+json");
    admin_heard_member(t.s, "matched", "1");
    admin_heard_member(t.s, "handed_on", "0");
    admin_heard_member(t.s, "why", "\"it answered 401\"");
    client_asks(t.s, "GET /jam/plum?a", ""); /* in force here, while the shield has it still */
    client_hears(t.s, "200", "Cache-Status: ~, weir; fwd=miss", "old");
    struct command_result command;
    process_run(scene_weir(t.s), say(t.s, "purge --admin 127.0.0.1:%d --tag fruit", scene_weir(t.s)->admin_port),
                &command);
    holds(t.s, command.status == 1 && strstr(command.err, "did not hear of it (it answered 401)") != NULL);
    tiers_end(&t);
}
END_TEST

START_TEST(a_shield_that_is_gone_is_told_of)
{
    struct tiers t = tiers_begin("keep", "between-weirs");
    shield_ends(&t);
    admin_asks(t.s, "POST /v1/purge", "{\"all\": true}");
    admin_hears(t.s, "502", "Content-Type: application/problem+json");
    admin_heard_member(t.s, "id", "\"1\"");
    admin_heard_member(t.s, "handed_on", "0");
    tiers_end(&t);
}
END_TEST

/* ---- the scene's origin as the shield's admin API: what it hears, and what is made of its answers */

static struct scene *edge_begin(bool has_admin)
{
    struct scene *s = scene_begin_stopped();
    int port = origin_port(scene_origin(s));
    const char *admin = has_admin ? say(s, ", admin: \"http://127.0.0.1:%d/behind\"", port) : "";
    const char *edge = say(s,
                           "origins: {shield: {servers: [{url: \"http://127.0.0.1:%d\"%s}], forward_purges: true, "
                           "purge_token: between-weirs}}\nroutes: [{match: /, origin: shield}]\n",
                           port, admin);
    weir_starts(s, say(s, "--config %s", write_config(s, "edge.yaml", edge)));
    return s;
}

/* What it does before it answers 200, if it comes to that. */
static const struct try_row {
    struct answer first;
    int times;
    size_t asked;
    const char *status, *why;
} tries[] = {
    { { .status = "503", .body = "" }, 1, 2, "200", "at the moment" },
    { { .silent = true, .ending = CLOSE }, 2, 3, "200", "no answer" },
    { { .silent = true, .ending = CLOSE }, 3, 3, "502", "so often, and no more" },
    { { .status = "500", .body = "" }, 1, 1, "502", "it would say so again" },
};

START_TEST(a_purge_is_handed_on_again_when_that_may_help)
{
    const struct try_row *row = &tries[_i];
    struct scene *s = edge_begin(true);
    struct answer first = row->first;
    first.times = row->times;
    origin_does(s, &first);
    if (strcmp(row->status, "200") == 0) origin_answers_as(s, .method = "POST", .status = "200", .body = "{}");
    admin_asks(s, "POST /v1/purge", "{\"tags\": [\"fruit\", \"jam\"]}");
    admin_hears(s, row->status, "");
    if (origin_count(scene_origin(s)) != row->asked) scene_fail(AT(s), "%s", row->why);
    origin_heard(s, "POST /behind/v1/purge",
                 "Authorization: Bearer between-weirs\nContent-Type: application/json\nCDN-Loop: ~weir;id=");
    origin_heard_content(s, "{\"tags\":[\"fruit\",\"jam\"]}");
    scene_end(s);
}
END_TEST

START_TEST(a_purge_on_a_listener_is_handed_on_again_too)
{
    const struct try_row *row = &tries[_i];
    struct scene *s = edge_begin(false);
    struct answer first = row->first;
    first.times = row->times;
    origin_does(s, &first);
    if (strcmp(row->status, "200") == 0) origin_answers_as(s, .method = "PURGE", .status = "200", .body = "{}");
    client_asks(s, "PURGE /a?b", "Surrogate-Key: fruit jam\nSoft-Purge: 1\nX-Other: 1");
    client_hears(s, row->status, "", NULL);
    if (origin_count(scene_origin(s)) != row->asked) scene_fail(AT(s), "%s", row->why);
    origin_heard(s, "PURGE /a?b",
                 "Host: " HOST
                 "\nAuthorization: Bearer between-weirs\nSurrogate-Key: fruit jam\nSoft-Purge: 1\n!X-Other");
    scene_end(s);
}
END_TEST

START_TEST(a_purge_that_comes_back_goes_no_further)
{
    struct scene *s = edge_begin(true);
    origin_answers_as(s, .method = "POST", .status = "200", .body = "{}", .times = 2);
    admin_asks(s, "POST /v1/purge", "{\"all\": true}");
    admin_hears(s, "200", "");
    const char *loop = head_value(&origin_heard_at(scene_origin(s), 0)->head, "CDN-Loop");
    holds(s, loop != NULL);
    admin_asks(s, "POST /v1/purge", "{\"all\": true}");
    admin_hears(s, "200", "");
    struct client *c = client_open(scene_weir(s)->admin_port);
    holds(s, c != NULL);
    asks_with(s, c, "POST /v1/purge", say(s, "Host: 127.0.0.1\nCDN-Loop: other, %s", loop), "{\"all\": true}");
    hears(s, c, "200", "", NULL);
    client_close(c);
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

START_TEST(a_shield_without_an_admin_address_is_told_of)
{
    struct scene *s = edge_begin(false);
    admin_asks(s, "POST /v1/purge", "{\"all\": true}");
    admin_hears(s, "502", "");
    admin_heard_member(s, "why", "\"no admin address is configured for it\"");
    scene_end(s);
}
END_TEST

/* What carries a tag may have come from anywhere. */
START_TEST(a_purge_of_tags_goes_to_every_shield)
{
    struct scene *s = scene_begin_stopped();
    int port = origin_port(scene_origin(s));
    const char *edge =
        say(s,
            "origins:\n  plain: http://127.0.0.1:%d\n"
            "  one: {servers: \"http://127.0.0.1:%d/one\", forward_purges: true}\n"
            "  two: {servers: \"http://127.0.0.1:%d/two\", forward_purges: true}\n"
            "routes: [{match: /one/, origin: one}, {match: /two/, origin: two}, {match: /, origin: plain}]\n",
            port, port, port);
    weir_starts(s, say(s, "--config %s", write_config(s, "edge.yaml", edge)));
    origin_answers_as(s, .method = "PURGE", .target = "/one/a", .status = "200", .body = "{}");
    origin_answers_as(s, .method = "PURGE", .target = "/two/a", .status = "200", .body = "{}");
    client_asks(s, "PURGE /a", "Cache-Tag: fruit");
    client_hears(s, "200", "", NULL);
    client_asks(s, "PURGE /a", "");
    client_hears(s, "200", "", NULL);
    origin_count_is(s, 2);
    origin_answers_as(s, .method = "PURGE", .target = "/two/two/a", .status = "200", .body = "{}");
    client_asks(s, "PURGE /two/a", "");
    client_hears(s, "200", "", NULL);
    origin_count_is(s, 3);
    scene_end(s);
}
END_TEST

START_TEST(a_purge_on_a_listener_tells_where_it_has_been)
{
    struct scene *s = edge_begin(false);
    origin_answers_as(s, .method = "PURGE", .status = "200", .body = "{}");
    client_asks(s, "PURGE /a", "CDN-Loop: other");
    client_hears(s, "200", "", NULL);
    origin_heard(s, "PURGE /a", "CDN-Loop: ~other, weir;id=");
    scene_end(s);
}
END_TEST

/* Who waits for a shield does not keep weir from ending, and the purge is in force. */
START_TEST(weir_ends_while_a_shield_is_silent)
{
    struct scene *s = edge_begin(true);
    struct gate answer = { 0 };
    origin_answers_as(s, .status = "200", .body = "{}", .hold = &answer);
    admin_asks(s, "POST /v1/purge", "{\"all\": true}");
    origin_waits_at(s, &answer, 1);
    weir_stops(s);
    gate_opens(s, &answer);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(what_the_admin_api_purges_does_not_come_back_from_the_shield, orders),
        TEST(an_https_url_is_purged_as_one),
        TEST(a_dry_run_is_for_the_edge_alone),
        TEST(a_shield_that_refuses_is_told_of),
        TEST(a_shield_that_is_gone_is_told_of),
        TABLE(a_purge_is_handed_on_again_when_that_may_help, tries),
        TABLE(a_purge_on_a_listener_is_handed_on_again_too, tries),
        TEST(a_purge_that_comes_back_goes_no_further),
        TEST(a_shield_without_an_admin_address_is_told_of),
        TEST(a_purge_of_tags_goes_to_every_shield),
        TEST(a_purge_on_a_listener_tells_where_it_has_been),
        TEST(weir_ends_while_a_shield_is_silent),
    };
    return converse("shield", tests, COUNT(tests));
}
