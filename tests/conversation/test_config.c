/* A configuration file at work: routes, what they change and answer, and another file while weir runs. */
#include "tests/conversation/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The file that weir reads; the origin of the scene is the command line's. */
static const char *config_path(struct scene *s)
{
    return say(s, "%s/weir.yaml", scene_weir(s)->dir);
}

static void config_says(struct scene *s, const char *text)
{
    FILE *f = fopen(config_path(s), "we");
    holds(s, f != NULL);
    fputs(text, f);
    holds(s, fclose(f) == 0);
}

static struct scene *scene_with(const char *text)
{
    struct scene *s = scene_begin_stopped();
    config_says(s, text);
    weir_starts(s, say(s, "--config %s", config_path(s)));
    return s;
}

#define FRESH "Cache-Control: max-age=600"

static void reload(struct scene *s, const char *text)
{
    config_says(s, text);
    admin_asks(s, "POST /v1/reload", "");
    admin_hears(s, "200", "Content-Type: application/json");
}
#define reload(s, ...) reload(AT(s), __VA_ARGS__)

START_TEST(routes_answer_redirect_or_forward)
{
    struct scene *s = scene_with("routes:\n"
                                 "- {match: /robots.txt, answer: {status: 200, content: \"none\\n\"}}\n"
                                 "- {match: old.example, redirect: \"https://new.example{path}{query}\"}\n"
                                 "- {match: \"*.gone.example\", answer: 410}\n"
                                 "- {match: /empty, answer: 204, response: {set: {X-Route: empty}}}\n");
    client_asks(s, "GET /robots.txt", "");
    client_hears(s, "200", "Content-Type: text/plain; charset=utf-8\nCache-Status: weir; detail=fixed-answer",
                 "none\n");
    client_asks(s, "GET /a/b?c=d", "Host: old.example");
    client_hears(s, "308", "Location: https://new.example/a/b?c=d", "");
    client_asks(s, "GET /", "Host: a.gone.example");
    client_hears(s, "410", "Content-Type: application/problem+json", NULL);
    client_asks(s, "GET /empty", "");
    client_hears(s, "204", "X-Route: empty", "");
    origin_answers(s, "200", FRESH, "jam");
    client_asks(s, "GET /robots.txt/x", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; fwd-status=200", "jam");
    client_asks(s, "HEAD /robots.txt", "");
    client_hears(s, "200", "Content-Length: 5", "");
    scene_end(s);
}
END_TEST

START_TEST(fields_change_on_the_way)
{
    struct scene *s =
        scene_with("routes:\n"
                   "- request: {set: {X-Tenant: plum}, add: {X-More: [a, b]}, remove: [Cookie]}\n"
                   "  response: {set: {X-Served: weir}, add: {Vary: Origin}, remove: [Server, X-Powered-By]}\n");
    origin_answers(s, "200", FRESH "\nServer: old\nX-Powered-By: steam\nX-Served: origin", "jam");
    client_asks(s, "GET /shelf", "Cookie: a=1\nX-Tenant: mine");
    client_hears(s, "200", "X-Served: weir\nVary: Origin\n!Server\n!X-Powered-By", "jam");
    origin_heard(s, "GET /shelf", "X-Tenant: plum\nX-More: a\n!Cookie");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nX-Served: weir\n!Server", "jam");
    scene_end(s);
}
END_TEST

START_TEST(clients_hear_a_freshness_of_their_own)
{
    struct scene *s = scene_with("cache: {client_cache_control: \"public, max-age=5\"}\n");
    origin_answers(s, "200", "Cache-Control: s-maxage=600\nExpires: Thu, 01 Jan 1970 00:00:00 GMT", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Control: public, max-age=5\n!Expires", "jam");
    seconds_pass(s, 60);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nCache-Control: public, max-age=5\nAge: 0\n!Expires", "jam");
    origin_answers(s, "200", "Cache-Control: private, max-age=600", "mine");
    client_asks(s, "GET /mine", "");
    client_hears(s, "200", "Cache-Control: private, max-age=600", "mine"); /* not stored: it stays private */
    scene_end(s);
}
END_TEST

START_TEST(cache_status_may_name_the_key)
{
    struct scene *s = scene_with("cache: {status_key: true, key: {query: {drop: [utm_*]}}}\n");
    origin_answers(s, "200", FRESH, "jam");
    client_asks(s, "GET /shelf?a=1&utm_source=x", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss; key=\"http://" HOST "/shelf?a=1\"", "jam");
    client_asks(s, "GET /shelf?a=1", "");
    client_hears(s, "200", "Cache-Status: weir; hit; key=\"http://" HOST "/shelf?a=1\"", "jam");
    scene_end(s);
}
END_TEST

START_TEST(a_protected_route_wants_credentials)
{
    struct scene *s =
        scene_with("routes:\n"
                   "- match: /staff/\n"
                   "  protect:\n"
                   "    tokens: [quincequince]\n"
                   "    users: {alice: \"$5$rounds=1000$salt$ZpriAzvdXvl6bcOIclZAxWrFpseGJfey3344UNXV7c0\"}\n");
    client_asks(s, "GET /staff/list", "");
    client_hears(s, "401",
                 "WWW-Authenticate: Basic realm=\"restricted\", charset=\"UTF-8\", Bearer realm=\"restricted\"", NULL);
    client_asks(s, "GET /%73taff/../staff//list", "Authorization: Bearer quincequincf");
    client_hears(s, "401", "", NULL);
    client_asks(s, "GET /x%2f..%2fstaff%2flist", "");
    client_hears(s, "401", "", NULL);
    origin_answers(s, "200", FRESH, "names");
    client_asks(s, "GET /staff/list", "Authorization: Bearer quincequince");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "names");
    origin_heard(s, "GET /staff/list", "!Authorization"); /* they are weir's own credentials */
    client_asks(s, "GET /staff/list", "Authorization: Bearer quincequince");
    client_hears(s, "200", "Cache-Status: weir; hit", "names");
    client_asks(s, "GET /staff/list", "");
    client_hears(s, "401", "", NULL);                                           /* a hit is no way around it */
    client_asks(s, "GET /staff/list", "Authorization: Basic YWxpY2U6cGx1bQ=="); /* alice:plum */
    client_hears(s, "200", "Cache-Status: weir; hit", "names");
    client_asks(s, "GET /staff/list", "Authorization: Basic YWxpY2U6cGx1bQ==");
    client_hears(s, "200", "Cache-Status: weir; hit", "names");
    client_asks(s, "GET /staff/list", "Authorization: Basic YWxpY2U6cGVhcg=="); /* alice:pear */
    client_hears(s, "401", "", NULL);
    scene_end(s);
}
END_TEST

START_TEST(cache_choices_by_route)
{
    struct scene *s = scene_with("cache: {freshness: {status: {404: 10s}}}\n"
                                 "routes:\n"
                                 "- {match: /live/, cache: {store: false}}\n"
                                 "- {match: /search, cache: {key: {query: {sort: true, drop: [\"utm_*\"]}}}}\n"
                                 "- {match: /soon/, cache: {freshness: {status: {404: 0s}, default: 60s}}}\n");
    origin_answers_as(s, .status = "200", .fields = FRESH, .body = "now", .times = 2);
    for (int i = 0; i < 2; i++) {
        client_asks(s, "GET /live/a", "");
        client_hears(s, "200", "Cache-Status: weir; fwd=bypass", "now");
    }
    origin_answers(s, "200", FRESH, "found");
    client_asks(s, "GET /search?b=1&a=2&utm_source=x", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "found");
    origin_heard(s, "GET /search?b=1&a=2&utm_source=x", "");
    client_asks(s, "GET /search?a=2&utm_medium=y&b=1", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "found");
    origin_answers(s, "404", "", "no");
    client_asks(s, "GET /nothing", "");
    client_hears(s, "404", "", "no");
    client_asks(s, "GET /nothing", "");
    client_hears(s, "404", "Cache-Status: weir; hit", "no");
    origin_answers(s, "200", "", "yes");
    client_asks(s, "GET /soon/a", "");
    client_hears(s, "200", "", "yes");
    client_asks(s, "GET /soon/a", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "yes");
    scene_end(s);
}
END_TEST

START_TEST(a_long_request_is_refused)
{
    struct scene *s = scene_with("routes: [{request_limit: 8B}]\n");
    client_sends(s, "POST /shelf", "", "123456789");
    client_hears(s, "413", "Content-Type: application/problem+json", NULL);
    origin_answers(s, "200", "", "ok");
    client_sends(s, "POST /shelf", "", "12345678");
    client_hears(s, "200", "", "ok");
    origin_heard_content(s, "12345678");
    struct client *c = client_arrives(s);
    static const char chunked[] = "POST /shelf HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "9\r\n123456789\r\n0\r\n\r\n";
    origin_answers_as(s, .status = "200", .body = "not this", .times = ALWAYS); /* it may hear of it, never the end */
    says(s, c, "POST", chunked, sizeof chunked - 1);
    is_refused(s, c);
    scene_end(s);
}
END_TEST

START_TEST(a_reload_changes_what_comes_next_and_keeps_the_cache)
{
    struct scene *s = scene_with("routes: [{match: /a/, response: {set: {X-Version: one}}}]\n");
    origin_answers(s, "200", FRESH, "jam");
    client_asks(s, "GET /a/jam", "");
    client_hears(s, "200", "X-Version: one", "jam");
    reload(
        s,
        "routes:\n- {match: /a/, response: {set: {X-Version: two}}}\n- {match: /b, answer: {status: 200, content: b}}\n");
    admin_heard_member(s, "changes", "2");
    client_asks(s, "GET /a/jam", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nX-Version: two", "jam");
    client_asks(s, "GET /b", "");
    client_hears(s, "200", "", "b");
    reload(s, "limits: {idle_timeout: 90s}\n");
    client_asks(s, "GET /a/jam", "");
    client_hears(s, "200", "Cache-Status: weir; hit\n!X-Version", "jam");
    const char *log = process_log(scene_weir(s), 8192);
    holds(s, strstr(log, "reload: routes[/a/].response: {set X-Version: two}, was {set X-Version: one}") != NULL);
    holds(s, strstr(log, "reload: limits.idle_timeout stays 1m until a restart") != NULL);
    scene_end(s);
}
END_TEST

static const char *log_lines(struct scene *s, const char *name)
{
    static char text[16 * 1024];
    FILE *f = fopen(say(s, "%s/%s", scene_weir(s)->dir, name), "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f != NULL) fclose(f);
    return text;
}

START_TEST(each_request_has_a_line_in_the_access_log)
{
    struct scene *s = scene_with("access_log: access.log\nroutes: [{match: /shelf/, cache: {version: v1}}]\n");
    origin_answers(s, "200", FRESH, "jam");
    client_asks(s, "GET /shelf/jam?a=\"b", "User-Agent: a \"client\"\nReferer: http://before.example/");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf/jam?a=\"b", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    client_asks(s, "HEAD /shelf/jam?a=\"b", "If-None-Match: *");
    client_hears(s, "304", "", "");
    says(s, scene_client(s), "GET", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
         strlen("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"));
    client_hears(s, "400", "", NULL);
    weir_is_told_to_stop(s);
    weir_ends_with(s, 0);
    const char *log = log_lines(s, "access.log");
    static const char *const lines[] = {
        "127.0.0.1 - - [",
        "\"GET /shelf/jam?a=\\x22b HTTP/1.1\" 200 3 \"http://before.example/\" \"a \\x22client\\x22\" " HOST
        " \"weir; fwd=uri-miss; fwd-status=200; ttl=600; stored\" /shelf/ ",
        "\n127.0.0.1 - - [",
        "\"GET /shelf/jam?a=\\x22b HTTP/1.1\" 200 3 \"-\" \"-\" " HOST " \"weir; hit; ttl=",
        "\"HEAD /shelf/jam?a=\\x22b HTTP/1.1\" 304 0 ",
        "\n127.0.0.1 - - [",
        "] \"-\" 400 0 \"-\" \"-\" - \"-\" - 0\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *found = strstr(log, lines[i]);
        if (found == NULL) scene_fail(s, "no %s in what is left of the log: %s", lines[i], log);
        log = found + strlen(lines[i]);
    }
    scene_end(s);
}
END_TEST

static size_t times_in(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what)) n++;
    return n;
}

/* One client takes its time over a hit, while others, who share a reply, come and go. */
START_TEST(the_log_names_the_key_that_the_client_heard)
{
    enum { LEN = 12 << 20, OTHERS = 4 };
    struct scene *s = scene_with("workers: 1\ncache: {status_key: true}\naccess_log: access.log\n");
    struct client *slow = client_arrives(s);
    origin_answers_as(s, .target = "/slow", .status = "200", .fields = FRESH, .pattern_len = LEN, .seed = 3,
                      .times = ALWAYS);
    bool hit = false;
    for (int i = 0; i < 100 && !hit; i++) {
        client_asks(s, "GET /slow", "");
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), 3, 0, LEN);
        hit = head_lacks(&scene_client(s)->response.head, "Cache-Status: weir; hit") == NULL;
    }
    holds(s, hit);
    asks(s, slow, "GET /slow", "");
    hears_head(s, slow, "200", "Cache-Status: weir; hit; key=\"http://" HOST "/slow\"");
    origin_answers_at(s, "/another", "200", FRESH, "jam");
    for (int i = 0; i < OTHERS; i++) {
        client_asks(s, "GET /another", "");
        client_hears(s, "200", "Cache-Status: ~key=\"http://" HOST "/another\"", "jam");
    }
    hears_pattern(s, slow, 3, 0, LEN);
    weir_stops(s);
    const char *log = log_lines(s, "access.log");
    holds(s, times_in(log, "\"GET ") == times_in(log, "key=\\x22http://" HOST "/"));
    holds(s, times_in(log, "GET /slow ") == times_in(log, "key=\\x22http://" HOST "/slow\\x22"));
    holds(s, times_in(log, "key=\\x22http://" HOST "/another\\x22") == OTHERS);
    scene_end(s);
}
END_TEST

START_TEST(a_bad_configuration_changes_nothing)
{
    struct scene *s = scene_with("routes: [{response: {set: {X-Version: one}}}]\n");
    origin_answers(s, "200", FRESH, "jam");
    for (int i = 0; i < 4; i++) { /* the first is no hit; the others may get one and the same reply */
        client_asks(s, "GET /jam", "");
        client_hears(s, "200", "X-Version: one", "jam");
    }
    config_says(s, "routes: [{respons: {set: {X-Version: two}}}]\n");
    admin_asks(s, "POST /v1/reload", "");
    admin_hears(s, "422", "Content-Type: application/problem+json");
    client_asks(s, "GET /jam", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nX-Version: one", "jam");
    holds(s, strstr(process_log(scene_weir(s), 8192), "weir.yaml:1:11: unknown setting \"respons\"; did you mean "
                                                      "\"response\"?") != NULL);
    config_says(s, "routes: [{response: {set: {X-Version: two}}}]\n");
    kill(scene_weir(s)->pid, SIGHUP);
    client_soon_hears(s, "GET /jam", "X-Version: two", "jam");
    scene_end(s);
}
END_TEST

START_TEST(a_response_under_way_ends_under_the_old_configuration)
{
    struct scene *s = scene_with("routes: [{response: {set: {X-Version: one}}}]\n");
    struct gate g = { 0 };
    origin_answers_as(s, .status = "200", .fields = FRESH, .body = "jam", .hold = &g);
    client_asks(s, "GET /jam", "");
    origin_waits_at(s, &g, 1);
    reload(s, "routes: [{response: {set: {X-Version: two}}}]\n");
    gate_opens(s, &g);
    client_hears(s, "200", "X-Version: one", "jam");
    client_asks(s, "GET /jam", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nX-Version: two", "jam");
    scene_end(s);
}
END_TEST

START_TEST(explain_names_the_route)
{
    struct scene *s = scene_with("routes:\n- match: /a/\n- {match: /b, redirect: /c}\n");
    struct command_result r;
    process_run(scene_weir(s), say(s, "explain --admin 127.0.0.1:%d http://" HOST "/a/x", scene_weir(s)->admin_port),
                &r);
    holds(s, r.status == 0 && strstr(r.out, say(s, "route: /a/, to default (%s:2)", config_path(s))) != NULL);
    process_run(scene_weir(s), say(s, "explain --admin 127.0.0.1:%d http://" HOST "/b", scene_weir(s)->admin_port), &r);
    holds(s, r.status == 0 && strstr(r.out, say(s, "route: /b, redirect 308 /c (%s:3)", config_path(s))) != NULL);
    scene_end(s);
}
END_TEST

/* What explain says, and what the client hears. */
static const struct {
    const char *path, *status, *cache_status, *says;
} route_answers[] = {
    { "/staff/x", "401", "weir; detail=credentials",
      "answered 401 (Unauthorized), with status 401\n  because the route \"staff\" is protected, and the request brings no "
      "credentials (routes[].protect; RFC 9110 §11.6.1)" },
    { "/old/x?a=b", "301", "weir; detail=redirect",
      "redirected to https://new.example/old/x?a=b, with status 301\n  because the route \"/old/\" redirects "
      "(routes[].redirect; RFC 9110 §15.4)" },
    { "/hello", "200", "weir; detail=fixed-answer",
      "answered by weir itself, with status 200\n  because the route \"/hello\" always gives this answer "
      "(routes[].answer; RFC 9110 §15)" },
    { "/gone", "410", "weir; detail=no-route", "answered by weir itself, with status 410" },
};

START_TEST(explain_says_what_a_route_answers_by_itself)
{
    struct scene *s = scene_with("routes:\n"
                                 "- {name: staff, match: /staff/, protect: {tokens: [quincequince]}}\n"
                                 "- {match: /old/, redirect: {to: \"https://new.example{path}{query}\", status: 301}}\n"
                                 "- {match: /hello, answer: {status: 200, content: hi}}\n"
                                 "- {match: /gone, answer: 410}\n");
    struct command_result r;
    process_run(
        scene_weir(s),
        say(s, "explain --admin 127.0.0.1:%d http://" HOST "%s", scene_weir(s)->admin_port, route_answers[_i].path),
        &r);
    if (r.status != 0 || strstr(r.out, route_answers[_i].says) == NULL) scene_fail(AT(s), "explain says: %s", r.out);
    holds(s, strstr(r.out, say(s, "Cache-Status: %s\n", route_answers[_i].cache_status)) != NULL);
    client_asks(s, say(s, "GET %s", route_answers[_i].path), "");
    client_hears(s, route_answers[_i].status, say(s, "Cache-Status: %s", route_answers[_i].cache_status), NULL);
    scene_end(s);
}
END_TEST

START_TEST(check_says_what_it_understood_or_what_is_wrong)
{
    struct scene *s = scene_begin_stopped();
    config_says(s, "origin: http://127.0.0.1:3000\nroutes: [{match: /a/, cache: {store: false}}]\n");
    struct command_result r;
    process_run(scene_weir(s), say(s, "check %s", config_path(s)), &r);
    holds(s, r.status == 0 &&
                 strstr(r.out, "/a/ -> to default (http://127.0.0.1:3000)\n    cache.store: false\n") != NULL);
    config_says(s, "orign: http://127.0.0.1:3000\n");
    weir_run_ends(s, say(s, "check %s", config_path(s)), 2, "weir.yaml:1:1: unknown setting \"orign\"; did you mean");
    weir_run_ends(s, "check", 2, "one FILE is needed");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(routes_answer_redirect_or_forward),
        TEST(fields_change_on_the_way),
        TEST(clients_hear_a_freshness_of_their_own),
        TEST(a_protected_route_wants_credentials),
        TEST(cache_choices_by_route),
        TEST(a_long_request_is_refused),
        TEST(cache_status_may_name_the_key),
        TEST(a_reload_changes_what_comes_next_and_keeps_the_cache),
        TEST(each_request_has_a_line_in_the_access_log),
        TEST(the_log_names_the_key_that_the_client_heard),
        TEST(a_bad_configuration_changes_nothing),
        TEST(a_response_under_way_ends_under_the_old_configuration),
        TEST(explain_names_the_route),
        TABLE(explain_says_what_a_route_answers_by_itself, route_answers),
        TEST(check_says_what_it_understood_or_what_is_wrong),
    };
    return converse("config", tests, COUNT(tests));
}
