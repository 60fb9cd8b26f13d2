/* An origin server that has a name, and a name server that says this and that of it. */
#include "tests/conversation/harness.h"
#include "tests/conversation/nameserver.h"

#include <stdio.h>
#include <string.h>

struct named {
    struct scene *s;
    struct nameserver *names;
    const char *timeout; /* of a question */
};

static const char *config_of(struct named *w, const char *settings)
{
    const char *path = say(w->s, "%s/weir.yaml", scene_weir(w->s)->dir);
    FILE *f = fopen(path, "we");
    holds(w->s, f != NULL);
    fprintf(f,
            "dns: {servers: \"127.0.0.1:%d\", timeout: %s, tries: 1}\n"
            "origins: {plum: {servers: \"http://plum.test:%d\"%s}}\n"
            "routes: [{origin: plum}]\n",
            nameserver_port(w->names), w->timeout, origin_port(scene_origin(w->s)), settings);
    holds(w->s, fclose(f) == 0);
    return path;
}

/* weir has asked once when this returns, though it may not have heard. */
static struct named begin_as(const char *timeout, enum naming what, const char *addresses, unsigned ttl_s,
                             const char *settings)
{
    struct named w = { scene_begin_stopped(), nameserver_start(), timeout };
    nameserver_says(w.names, what, addresses, ttl_s);
    weir_starts(w.s, say(w.s, "--workers 1 --config %s", config_of(&w, settings)));
    nameserver_wait_count(w.names, 1); /* before any request */
    return w;
}

static struct named begin(enum naming what, const char *addresses, unsigned ttl_s, const char *settings)
{
    return begin_as("200ms", what, addresses, ttl_s, settings);
}

static void end(struct named *w)
{
    scene_end(w->s);
    nameserver_end(w->names);
}

static void is_asked_again(struct named *w)
{
    nameserver_wait_count(w->names, nameserver_count(w->names) + 2); /* the answer to the first of these was taken */
}

#define PASSING "Cache-Control: no-store"

START_TEST(a_name_is_resolved_before_anybody_asks)
{
    struct named w = begin(NAMES_ADDRESSES, "127.0.0.1", 600, "");
    for (int i = 0; i < 2; i++) {
        origin_answers(w.s, "200", PASSING, "jam");
        client_asks(w.s, "GET /", "");
        client_hears(w.s, "200", "", "jam");
    }
    holds(w.s, nameserver_count(w.names) == 1); /* its time to live is not over */
    end(&w);
}
END_TEST

START_TEST(stats_tell_the_addresses)
{
    struct named w = begin(NAMES_FAILURE, "", 600, "");
    const char *words = say(w.s, "stats --json --admin 127.0.0.1:%d", scene_weir(w.s)->admin_port);
    struct command_result r;
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "502", "", NULL);
    process_run(scene_weir(w.s), words, &r);
    holds(w.s, r.status == 0 && strstr(r.out, "\"addresses\": []") != NULL &&
                   strstr(r.out, "\"not_resolved\": \"Could not contact DNS servers\"") != NULL);
    nameserver_says(w.names, NAMES_ADDRESSES, "127.0.0.1 127.0.0.2", 600);
    origin_answers(w.s, "200", PASSING, "jam");
    client_soon_hears(w.s, "GET /", "", "jam");
    process_run(scene_weir(w.s), words, &r);
    holds(w.s, strstr(r.out, "\"127.0.0.2\"") != NULL && strstr(r.out, "\"not_resolved\": null") != NULL);
    end(&w);
}
END_TEST

START_TEST(a_long_answer_comes_over_tcp)
{
    struct named w = begin(NAMES_TRUNCATED, "127.0.0.1", 600, "");
    origin_answers(w.s, "200", PASSING, "jam");
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "200", "", "jam");
    end(&w);
}
END_TEST

static const struct {
    enum naming what;
    const char *detail;
} nothings[] = {
    { NAMES_UNKNOWN, "Domain name not found" },
    { NAMES_ADDRESSES, "no data" },
    { NAMES_FAILURE, "Could not contact DNS servers" },
    { NAMES_SILENCE, "Timeout" },
};

START_TEST(weir_starts_without_an_address_and_recovers)
{
    struct named w = begin(nothings[_i].what, "", 1, "");
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "502", "Cache-Status: ~origin-unreachable", NULL);
    holds(w.s, strstr(process_log(scene_weir(w.s), 8192), nothings[_i].detail) != NULL);
    nameserver_says(w.names, NAMES_ADDRESSES, "127.0.0.1", 600);
    origin_answers(w.s, "200", PASSING, "jam");
    client_soon_hears(w.s, "GET /", "", "jam");
    end(&w);
}
END_TEST

START_TEST(a_request_waits_for_the_first_answer_no_longer_than_for_a_connection)
{
    struct named w = begin(NAMES_SILENCE, "", 1, ", connect_timeout: 100ms");
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "504", "Cache-Status: ~origin-timed-out", NULL);
    end(&w);
}
END_TEST

static const enum naming failures[] = { NAMES_UNKNOWN, NAMES_ADDRESSES, NAMES_FAILURE, NAMES_SILENCE };

START_TEST(the_last_good_answer_survives)
{
    struct named w = begin(NAMES_ADDRESSES, "127.0.0.1", 1, "");
    origin_answers_as(w.s, .status = "200", .fields = PASSING, .body = "jam", .ending = CLOSE);
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "200", "", "jam");
    nameserver_says(w.names, failures[_i], "", 1);
    is_asked_again(&w);
    origin_answers(w.s, "200", PASSING, "more jam");
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "200", "", "more jam");
    holds(w.s, strstr(process_log(scene_weir(w.s), 8192), "its last addresses stay") != NULL);
    end(&w);
}
END_TEST

START_TEST(another_address_takes_its_place)
{
    struct named w = begin(NAMES_ADDRESSES, "127.0.0.1", 1, "");
    struct origin *other = origin_start_at("127.0.0.2", origin_port(scene_origin(w.s)));
    origin_answers(w.s, "200", PASSING, "jam"); /* the connection stays open */
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "200", "", "jam");
    nameserver_says(w.names, NAMES_ADDRESSES, "127.0.0.2", 1);
    is_asked_again(&w);
    origin_script(other, &(struct answer){ .status = "200", .fields = PASSING, .body = "marmalade" });
    client_asks(w.s, "GET /", "");
    client_hears(w.s, "200", "", "marmalade");
    end(&w);
    origin_end(other);
}
END_TEST

START_TEST(several_addresses_share_the_connections)
{
    struct named w = begin(NAMES_ADDRESSES, "127.0.0.1 127.0.0.2 ::ffff:0:1", 600, "");
    struct origin *other = origin_start_at("127.0.0.2", origin_port(scene_origin(w.s)));
    struct answer a = { .status = "200", .fields = PASSING, .body = "jam", .ending = CLOSE, .times = ALWAYS };
    origin_does(w.s, &a);
    origin_script(other, &a);
    for (int i = 0; i < 12; i++) {
        client_asks(w.s, "GET /", "");
        client_hears(w.s, "200", "", "jam");
    }
    holds(w.s, origin_count(scene_origin(w.s)) >= 4 && origin_count(other) >= 4);
    end(&w);
    origin_end(other);
}
END_TEST

START_TEST(a_dead_address_is_skipped)
{
    struct named w = begin(NAMES_ADDRESSES, "127.0.0.3 127.0.0.1 127.0.0.4", 600, "");
    struct answer a = { .status = "200", .fields = PASSING, .body = "jam", .ending = CLOSE, .times = ALWAYS };
    origin_does(w.s, &a);
    for (int i = 0; i < 12; i++) {
        client_asks(w.s, "GET /", "");
        client_hears(w.s, "200", "", "jam");
    }
    end(&w);
}
END_TEST

START_TEST(other_name_servers_take_over_with_a_reload)
{
    struct named w = begin_as("60s", NAMES_SILENCE, "", 600, "");
    struct nameserver *silent = w.names;
    w.names = nameserver_start();
    nameserver_says(w.names, NAMES_ADDRESSES, "127.0.0.1", 600);
    (void)config_of(&w, "");
    origin_answers(w.s, "200", PASSING, "jam");
    client_asks(w.s, "GET /", ""); /* and waits for the name, which nobody says is not there */
    admin_asks(w.s, "POST /v1/reload", "");
    admin_hears(w.s, "200", "");
    client_hears(w.s, "200", "", "jam");
    end(&w);
    nameserver_end(silent);
}
END_TEST

START_TEST(weir_ends_while_name_servers_are_silent)
{
    struct named w = begin(NAMES_SILENCE, "", 1, "");
    weir_stops(w.s);
    end(&w);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(a_name_is_resolved_before_anybody_asks),
        TEST(stats_tell_the_addresses),
        TEST(a_long_answer_comes_over_tcp),
        TABLE(weir_starts_without_an_address_and_recovers, nothings),
        TEST(a_request_waits_for_the_first_answer_no_longer_than_for_a_connection),
        TABLE(the_last_good_answer_survives, failures),
        TEST(another_address_takes_its_place),
        TEST(several_addresses_share_the_connections),
        TEST(a_dead_address_is_skipped),
        TEST(other_name_servers_take_over_with_a_reload),
        TEST(weir_ends_while_name_servers_are_silent),
    };
    return converse("dns", tests, COUNT(tests));
}
