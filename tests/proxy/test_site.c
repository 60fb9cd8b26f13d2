/* Which route a request takes, and what a route does to it. */
#include "proxy/admin_explain.h"
#include "proxy/config.h"
#include "proxy/passwords.h"
#include "proxy/route_table.h"
#include "tests/headers/table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct site *site_of(const char *text)
{
    char path[] = "/tmp/weir-site-XXXXXX";
    struct config_report *report = malloc(sizeof *report);
    struct options o = { .config_path = path, .store_path = "/tmp" };
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct site *s = config_load(&o, report);
    unlink(path);
    ck_assert_msg(s != NULL, "%s", report->lines[0]);
    free(report);
    return s;
}

static struct request_head request_for(const char *host, const char *target)
{
    struct view path_query = view_of_str(target);
    size_t mark = view_find(path_query, 0, '?');
    return (struct request_head){ .method = METHOD_GET,
                                  .method_name = VIEW("GET"),
                                  .authority = view_of_str(host),
                                  .path_query = path_query,
                                  .path = view_first(path_query, mark),
                                  .query = view_after(path_query, mark + 1),
                                  .has_query = mark < path_query.len };
}

/* ---- which route */

static const char routes_text[] = "origin: http://127.0.0.1:3000\n"
                                  "routes:\n"
                                  "- {name: static, match: /static/}\n"
                                  "- {name: one, match: /v1/one}\n"
                                  "- {name: items, match: /v1/*/items}\n"
                                  "- {name: plum, match: /v1/plum/}\n"
                                  "- {name: plum-items, match: /v1/plum/x/items}\n"
                                  "- {name: star-star, match: \"/v2/*/*\"}\n"
                                  "- {name: home, match: {exact: /}}\n"
                                  "- {name: literal, match: {exact: \"/a/*/\"}}\n"
                                  "- {name: api, match: api.example.com}\n"
                                  "- {name: api-v1, match: api.example.com/v1/}\n"
                                  "- {name: sub, match: \"*.example.com/\"}\n"
                                  "- {name: deep, match: \"*.deep.example.com/d/\"}\n"
                                  "- {name: shop, match: [Shop.example/cart/, shop.example/pay]}\n"
                                  "- {name: v6, match: \"[::1]/six\"}\n"
                                  "- {name: encoded, match: /caf%C3%A9/}\n";

static const struct {
    const char *host, *target, *name, *rule;
} requests[] = {
    { "any.example", "/static/a.css", "static", "below" },
    { "any.example", "/static/", "static", "itself" },
    { "any.example", "/static", "static", "itself without the slash" },
    { "any.example", "/static?x", "static", "the query does not count" },
    { "any.example", "/statics", "default", "segments are whole" },
    { "any.example", "/v1/one", "one", "exact" },
    { "any.example", "/v1/one/", "default", "a slash more is another path" },
    { "any.example", "/v1/one/two", "default", "an exact path has nothing below" },
    { "any.example", "/v1/7/items", "items", "one segment" },
    { "any.example", "/v1/one/items", "items", "back from a name that leads nowhere" },
    { "any.example", "/v1//items", "default", "an empty segment is none" },
    { "any.example", "/v1/7/8/items", "default", "one segment only" },
    { "any.example", "/v1/plum/items", "plum", "a name before *, what is below it too" },
    { "any.example", "/v1/plum/x/items", "plum-items", "the longest" },
    { "any.example", "/v2/a/b", "star-star", "two segments" },
    { "any.example", "/v2/a", "default", "not one" },
    { "any.example", "/", "home", "exact home page" },
    { "any.example", "/index", "default", "home is home alone" },
    { "any.example", "/a/*/", "literal", "exact takes * literally" },
    { "any.example", "/a/b/", "default", "and nothing else" },
    { "api.example.com", "/", "api", "a host's everything before any host's paths" },
    { "api.example.com", "/static/a", "api", "the same" },
    { "api.example.com:8443", "/v1/x", "api-v1", "any port; the longer path" },
    { "api.example.com.", "/v1/x", "api-v1", "the root's dot" },
    { "www.example.com", "/x", "sub", "below a name" },
    { "a.b.example.com", "/x", "sub", "however deep" },
    { "example.com", "/x", "default", "not the name itself" },
    { "notexample.com", "/x", "default", "labels are whole" },
    { "a.deep.example.com", "/d/x", "deep", "the longer suffix" },
    { "a.deep.example.com", "/x", "sub", "whose path does not match" },
    { "deep.example.com", "/d/x", "sub", "not the name itself" },
    { "shop.example", "/cart/1", "shop", "several patterns" },
    { "shop.example", "/pay", "shop", "several patterns" },
    { "shop.example", "/static/x", "static", "what its host does not have, any host's routes have" },
    { "[::1]:8080", "/six", "v6", "an address" },
    { "", "/static/x", "static", "no host" },
    { "any.example", "/%73tatic/x", "static", "escapes that mean nothing" },
    { "any.example", "/caf%c3%a9/x", "encoded", "escapes in any case" },
    { "any.example", "/x/../static/a", "static", "dot segments" },
    { "any.example", "/./static/%2e/a", "static", "escaped ones too" },
    { "any.example", "//static//a", "static", "doubled slashes" },
    { "any.example", "/static/..", "home", "up to the root" },
    { "any.example", "/../../..", "home", "and not beyond" },
    { "any.example", "/v1/7/items/.", "default", "a dot is a slash" },
    { "any.example", "/static%2fa", "default", "an escaped slash is none" },
    { "any.example", "*", "home", "OPTIONS *" },
    { "any.example", "", "home", "nothing at all" },
};

START_TEST(the_more_specific_route_wins)
{
    struct site *s = site_of(routes_text);
    struct request_head r = request_for(requests[_i].host, requests[_i].target);
    const char *name = site_route(s, &r)->name;
    ck_assert_msg(strcmp(name, requests[_i].name) == 0, "%s%s: %s, not %s: %s", requests[_i].host, requests[_i].target,
                  name, requests[_i].name, requests[_i].rule);
    site_unref(&s);
}
END_TEST

START_TEST(an_unmatched_request_is_answered)
{
    struct site *s = site_of("routes: [{match: /a, answer: 204}]\n");
    struct request_head r = request_for("any.example", "/b");
    ck_assert_int_eq(site_route(s, &r)->kind, ROUTE_ANSWER);
    ck_assert_int_eq(site_route(s, &r)->answer.status, 404);
    site_unref(&s);
}
END_TEST

START_TEST(escaped_slashes_are_no_way_around_protection)
{
    static const struct {
        const char *target, *name;
    } ways[] = {
        { "/staff/x", "staff" },       { "/x/%2e%2e/staff", "staff" },      { "/x%2f..%2fstaff", "staff" },
        { "/x/..%5Cstaff/", "staff" }, { "/x\\..\\staff\\y", "staff" },     { "/%2Fstaff", "staff" },
        { "/public/x%2Fy", "public" }, { "/public/..%2f..%2fx", "public" }, { "/public/..%2fstaff", "staff" },
    };
    struct site *s = site_of("origin: http://127.0.0.1:3000\n"
                             "routes:\n"
                             "- {name: staff, match: /staff/, protect: {tokens: [quincequince]}}\n"
                             "- {name: public, match: /public/}\n");
    for (int i = 0; i < ROWS(ways); i++) {
        struct request_head r = request_for("any.example", ways[i].target);
        ck_assert_msg(strcmp(site_route(s, &r)->name, ways[i].name) == 0, "%s", ways[i].target);
    }
    site_unref(&s);
}
END_TEST

/* A look-up visits a few places for each segment, however many routes there are. */
START_TEST(many_routes_cost_no_more_than_few)
{
    enum { ROUTES = 5000 };
    struct arena *a = arena_new();
    struct route_table *t = route_table_new(a);
    struct route *routes = arena_alloc(a, ROUTES * sizeof *routes);
    struct route_pattern *patterns = arena_alloc(a, ROUTES * sizeof *patterns);
    char text[64];
    ck_assert(t != NULL && routes != NULL && patterns != NULL);
    for (size_t i = 0; i < ROUTES; i++) {
        const struct route_pattern *clash = NULL;
        snprintf(text, sizeof text, "host-%zu.example", i % 500);
        patterns[i].host = arena_copy(a, view_of_str(text));
        snprintf(text, sizeof text, "/v%zu/things/%zu/", i / 500, i);
        patterns[i].path = arena_copy(a, view_of_str(text));
        ck_assert_int_eq(route_table_add(t, &patterns[i], &routes[i], &clash), ROUTE_ADDED);
        ck_assert_int_eq(route_table_add(t, &patterns[i], &routes[i], &clash), ROUTE_CLASH);
        ck_assert_ptr_eq(clash, &patterns[i]);
    }
    for (size_t i = 0; i < ROUTES; i++)
        ck_assert_ptr_eq(route_table_find(t, patterns[i].host, patterns[i].path), &routes[i]);
    ck_assert_ptr_null(route_table_find(t, VIEW("host-0.example"), VIEW("/v1/things/1/")));
    ck_assert_uint_le(route_table_longest_probe(t), 24);
    arena_free(a);
}
END_TEST

/* ---- keys */

START_TEST(a_uri_has_the_key_of_its_route)
{
    struct site *s = site_of("origin: http://127.0.0.1:3000\n"
                             "routes:\n"
                             "- {match: /a/, cache: {version: v1, key: {query: {sort: true}}}}\n"
                             "- {match: \"*.cdn.example/\", cache: {key: {host: cdn.example}}}\n");
    static const struct {
        const char *uri, *text;
    } keys[] = {
        { "http://Any.example:80/a/b?d=1&c=2", "1v1\nGET\nhttp://any.example/a/b?c=2&d=1" },
        { "https://any.example/b?d=1&c=2", "1\nGET\nhttps://any.example/b?d=1&c=2" },
        { "http://x.cdn.example/y", "1\nGET\nhttp://cdn.example/y" },
        { "http://any.example", "1\nGET\nhttp://any.example/" },
    };
    char to[512];
    struct key k;
    for (int i = 0; i < ROWS(keys); i++) {
        ck_assert(site_key_of_uri(s, view_of_str(keys[i].uri), to, sizeof to, &k));
        ck_assert_msg(view_is(k.text, keys[i].text), "%s: %.*s", keys[i].uri, (int)k.text.len, k.text.at);
    }
    ck_assert(!site_key_of_uri(s, VIEW("ftp://any.example/"), to, sizeof to, &k));
    ck_assert(!site_key_of_uri(s, VIEW("/a"), to, sizeof to, &k));
    site_unref(&s);
}
END_TEST

/* ---- what a route does to fields */

static const char *spelled(const struct front_field *fields, size_t n)
{
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s: %s", i > 0 ? "\n" : "", fields[i].name,
                                 fields[i].value);
    return text;
}

START_TEST(request_fields_are_edited)
{
    struct site *s =
        site_of("origin: http://127.0.0.1:3000\n"
                "routes:\n"
                "- {match: /a, request: {remove: [Cookie, X-Old], set: {X-Set: a, Accept: b}, add: {X-Add: [c, d]}}}\n"
                "- {match: /b}\n"
                "- {match: /c, protect: {tokens: [quincequince]}}\n");
    static const struct {
        const char *fields, *wanted;
    } edits[] = {
        { "", "X-Set=a Accept=b X-Add=c X-Add=d " },
        { "Cookie: a\nX-A: 1\nx-old: 2\nx-set: 3\nX-Add: 4\naccept: 5",
          "X-A=1 X-Add=4 X-Set=a Accept=b X-Add=c X-Add=d " },
    };
    struct lines l;
    struct field room[FRONT_FIELDS_MAX + ROUTE_EDITS_MAX];
    for (int i = 0; i < ROWS(edits); i++) {
        struct field_section out = route_request_fields(s->routes[0], section_of(&l, edits[i].fields), room);
        char text[256] = "";
        for (size_t f = 0; f < out.count; f++) {
            strncat(text, out.lines[f].name.at, out.lines[f].name.len);
            strcat(text, "=");
            strncat(text, out.lines[f].value.at, out.lines[f].value.len);
            strcat(text, " ");
        }
        ck_assert_str_eq(text, edits[i].wanted);
    }
    struct field_section in = section_of(&l, "Authorization: Bearer x\nA: b");
    ck_assert_ptr_eq(route_request_fields(s->routes[1], in, room).lines, in.lines); /* nothing to do */
    ck_assert_uint_eq(route_request_fields(s->routes[2], in, room).count, 1);       /* credentials are weir's own */
    site_unref(&s);
}
END_TEST

START_TEST(reply_fields_are_edited)
{
    struct site *s = site_of("origin: http://127.0.0.1:3000\n"
                             "routes:\n"
                             "- {match: /a, response: {remove: Server, set: {X-A: weir}, add: {Vary: Origin}}}\n"
                             "- {match: /b, cache: {client_cache_control: \"max-age=5\"}}\n");
    static const struct {
        int route;
        bool stored;
        const char *wanted;
    } edits[] = {
        { 0, true, "Cache-Control: max-age=60\nAge: 7\nVary: A\nX-A: weir\nVary: Origin" },
        { 0, false, "Cache-Control: max-age=60\nAge: 7\nVary: A\nX-A: weir\nVary: Origin" },
        { 1, true, "Server: s\nX-A: origin\nVary: A\nAge: 0\nCache-Control: max-age=5" },
        { 1, false, "Cache-Control: max-age=60\nServer: s\nAge: 7\nX-A: origin\nVary: A" },
    };
    for (int i = 0; i < ROWS(edits); i++) {
        struct reply_head *h = calloc(1, sizeof *h);
        h->date = "a date";
        reply_add(h, "Cache-Control", "max-age=60");
        reply_add(h, "Server", "s");
        reply_add_age(h, 7);
        reply_add(h, "X-A", "origin");
        reply_add(h, "Vary", "A");
        route_edit_reply(s->routes[edits[i].route], h, edits[i].stored);
        ck_assert_str_eq(spelled(h->fields, h->count), edits[i].wanted);
        ck_assert((h->date == NULL) == (edits[i].route == 1 && edits[i].stored));
        free(h);
    }
    site_unref(&s);
}
END_TEST

START_TEST(a_redirect_is_filled_in)
{
    static const struct {
        const char *to, *target, *location;
    } redirects[] = {
        { "https://www.example.com{path}{query}", "/a/b?c=d", "https://www.example.com/a/b?c=d" },
        { "https://www.example.com{path}{query}", "/a/b", "https://www.example.com/a/b" },
        { "{scheme}://{host}/new", "/a", "http://old.example/new" },
        { "/new", "/a?b", "/new" },
        { "/new{query}", "/a?", "/new?" },
    };
    struct route route = { .kind = ROUTE_REDIRECT };
    char to[128];
    for (int i = 0; i < ROWS(redirects); i++) {
        struct request_head r = request_for("old.example", redirects[i].target);
        route.redirect.to = redirects[i].to;
        ck_assert(route_location(&route, &r, to, sizeof to));
        ck_assert_str_eq(to, redirects[i].location);
    }
    struct request_head r = request_for("old.example", "/a");
    ck_assert(!route_location(&route, &r, to, 4));
}
END_TEST

/* ---- who may see it */

/* With a password that is tried at once. */
static enum protection_verdict check(struct protection *p, struct field_section request)
{
    struct credentials c;
    enum protection_verdict v = protection_check(p, request, &c);
    if (v != PROTECTION_ASKS) return v;
    bool right = credentials_try(&c);
    credentials_forget(&c);
    return right ? PROTECTION_ALLOWS : PROTECTION_REFUSES;
}

START_TEST(credentials_are_checked)
{
    struct site *s = site_of("origin: http://127.0.0.1:3000\n"
                             "routes:\n"
                             "- protect:\n"
                             "    tokens: [quincequince, plumplum]\n"
                             "    users:\n"
                             "      alice: \"$5$rounds=1000$salt$ZpriAzvdXvl6bcOIclZAxWrFpseGJfey3344UNXV7c0\"\n");
    static const struct {
        const char *fields;
        enum protection_verdict verdict;
    } cases[] = {
        { "", PROTECTION_REFUSES },
        { "Authorization: Bearer quincequince", PROTECTION_ALLOWS },
        { "authorization: bearer  plumplum", PROTECTION_ALLOWS },
        { "Authorization: Bearer plumplu", PROTECTION_REFUSES },
        { "Authorization: Bearer plumplump", PROTECTION_REFUSES },
        { "Authorization: Bearer ", PROTECTION_REFUSES },
        { "Authorization: Bearer", PROTECTION_REFUSES },
        { "Authorization: plumplum", PROTECTION_REFUSES },
        { "Authorization: Bearer plumplum\nAuthorization: Bearer plumplum", PROTECTION_REFUSES },
        { "Authorization: Basic YWxpY2U6cGx1bQ==", PROTECTION_ALLOWS }, /* alice:plum */
        { "Authorization: Basic YWxpY2U6cGx1bQ", PROTECTION_ALLOWS },
        { "Authorization: Basic YWxpY2U6cGVhcg==", PROTECTION_REFUSES }, /* alice:pear */
        { "Authorization: Basic Ym9iOnBsdW0=", PROTECTION_REFUSES },     /* bob:plum */
        { "Authorization: Basic YWxpY2U=", PROTECTION_REFUSES },         /* alice */
        { "Authorization: Basic YWxpY2U6cGx1bQA=", PROTECTION_REFUSES }, /* alice:plum NUL */
        { "Authorization: Basic ####", PROTECTION_REFUSES },
        { "Authorization: Basic ", PROTECTION_REFUSES },
        { "Authorization: Digest YWxpY2U6cGx1bQ==", PROTECTION_REFUSES },
    };
    struct lines l;
    for (int i = 0; i < ROWS(cases); i++)
        ck_assert_msg(check(s->routes[0]->protection, section_of(&l, cases[i].fields)) == cases[i].verdict, "%s",
                      cases[i].fields);
    site_unref(&s);
}
END_TEST

#define RIGHT "Authorization: Basic YWxpY2U6cGx1bQ==" /* alice:plum */
#define WRONG "Authorization: Basic YWxpY2U6cGVhcg==" /* alice:pear */
#define ALICE "alice: \"$5$rounds=1000$salt$ZpriAzvdXvl6bcOIclZAxWrFpseGJfey3344UNXV7c0\""

static struct site *protected_site(const char *users)
{
    char text[512];
    snprintf(text, sizeof text, "origin: http://127.0.0.1:3000\nroutes:\n- protect:\n    users: {%s}\n", users);
    return site_of(text);
}

START_TEST(guessing_passwords_is_slowed_down)
{
    struct site *s = protected_site(ALICE);
    struct protection *p = s->routes[0]->protection;
    struct lines r, w;
    struct field_section right = section_of(&r, RIGHT), wrong = section_of(&w, WRONG);
    struct credentials c;
    ck_assert_int_eq(check(p, right), PROTECTION_ALLOWS);
    ck_assert_int_eq(protection_check(p, wrong, &c), PROTECTION_ASKS);
    for (int i = 0; i < PROTECTION_TRIES; i++) ck_assert(credentials_may_be_tried(&c, 2));
    ck_assert(!credentials_may_be_tried(&c, 2));
    ck_assert(credentials_may_be_tried(&c, 3));
    ck_assert(!credentials_try(&c));
    ck_assert_int_eq(protection_check(p, wrong, &c), PROTECTION_ASKS);   /* what is wrong is not remembered */
    ck_assert_int_eq(protection_check(p, right, &c), PROTECTION_ALLOWS); /* what is right is */
    ck_assert_uint_eq(c.len, 0);
    char challenge[256];
    protection_challenge(p, challenge, sizeof challenge);
    ck_assert_str_eq(challenge, "Basic realm=\"restricted\", charset=\"UTF-8\"");
    site_unref(&s);
}
END_TEST

START_TEST(a_reload_forgets_only_users_that_have_changed)
{
    struct site *s = protected_site(ALICE), *same = protected_site(ALICE),
                *other =
                    protected_site(ALICE ", bob: \"$5$rounds=1000$salt$ZpriAzvdXvl6bcOIclZAxWrFpseGJfey3344UNXV7c0\"");
    struct lines l;
    struct field_section right = section_of(&l, RIGHT);
    struct credentials c;
    ck_assert_int_eq(check(s->routes[0]->protection, right), PROTECTION_ALLOWS);
    site_inherit(same, s);
    site_inherit(other, s);
    ck_assert_int_eq(protection_check(same->routes[0]->protection, right, &c), PROTECTION_ALLOWS);
    ck_assert_int_eq(protection_check(other->routes[0]->protection, right, &c), PROTECTION_ASKS);
    credentials_forget(&c);
    site_unref(&s);
    site_unref(&same);
    site_unref(&other);
}
END_TEST

static const struct {
    const char *path, *fields, *verdict; /* NULL: the request goes on */
} explained[] = {
    { "/staff/", "", "refuse" },
    { "/staff/", WRONG, "refuse" },
    { "/staff/", "Authorization: Bearer quincequincf", "refuse" },
    { "/staff/", RIGHT, NULL },
    { "/staff/", "Authorization: Bearer quincequince", NULL },
    { "/old", "", "redirect" },
    { "/secret", "", "refuse" }, /* before it redirects */
    { "/secret", RIGHT, "redirect" },
    { "/gone", "", "answer" },
    { "/other", "", NULL },
};

START_TEST(explain_decides_as_the_route_does)
{
    struct site *s = site_of("origin: http://127.0.0.1:3000\n"
                             "routes:\n"
                             "- {match: /staff/, protect: {tokens: [quincequince], users: {" ALICE "}}}\n"
                             "- {match: /old, redirect: /new}\n"
                             "- {match: /secret, redirect: /new, protect: {users: {" ALICE "}}}\n"
                             "- {match: /gone, answer: 410}\n");
    struct lines l;
    struct request_head r = request_for("h.example", explained[_i].path);
    r.fields = section_of(&l, explained[_i].fields);
    json_t *decision = NULL;
    bool answers = explain_route_answers(site_route(s, &r), &r, &decision);
    ck_assert(answers == (explained[_i].verdict != NULL) && answers == (decision != NULL));
    if (answers) ck_assert_str_eq(json_string_value(json_object_get(decision, "verdict")), explained[_i].verdict);
    json_decref(decision);
    site_unref(&s);
}
END_TEST

/* ---- passwords that are checked elsewhere */

struct told {
    struct password_job job; /* first */
    pthread_mutex_t *lock;
    pthread_cond_t *news;
    int *count;
};

static void on_done(struct password_job *j)
{
    struct told *t = (struct told *)j;
    pthread_mutex_lock(t->lock);
    ++*t->count;
    pthread_cond_signal(t->news);
    pthread_mutex_unlock(t->lock);
}

START_TEST(requests_with_the_same_password_are_one_check)
{
    enum { SAME = 50 };
    struct site *s = protected_site(ALICE);
    struct protection *p = s->routes[0]->protection;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t news = PTHREAD_COND_INITIALIZER;
    struct told told[SAME + 1];
    struct lines r, w;
    struct field_section right = section_of(&r, RIGHT), wrong = section_of(&w, WRONG);
    struct passwords *passwords = passwords_new();
    int count = 0;
    for (int i = 0; i <= SAME; i++) {
        told[i] = (struct told){ .job.done = on_done, .lock = &lock, .news = &news, .count = &count };
        ck_assert_int_eq(protection_check(p, i < SAME ? right : wrong, &told[i].job.credentials), PROTECTION_ASKS);
        ck_assert_int_eq(passwords_check(passwords, &told[i].job, 1), PASSWORD_ASKED); /* SAME is more than the tries */
    }
    ck_assert_int_eq(passwords_start(passwords), 0);
    pthread_mutex_lock(&lock);
    while (count <= SAME) pthread_cond_wait(&news, &lock);
    pthread_mutex_unlock(&lock);
    passwords_free(passwords);
    for (int i = 0; i <= SAME; i++) {
        ck_assert_int_eq(told[i].job.right, i < SAME);
        ck_assert_uint_eq(told[i].job.credentials.len, 0);
    }
    site_unref(&s);
}
END_TEST

static void ignore(struct password_job *j)
{
    (void)j;
}

/* A password of its own for each n. */
static enum password_answer check_nth(struct passwords *passwords, struct protection *p, struct password_job *j, int n,
                                      int64_t now_s)
{
    char line[64];
    struct lines l;
    *j = (struct password_job){ .done = ignore };
    snprintf(line, sizeof line, "Authorization: Basic YWxpY2U6%c%c%c%c", 'a' + n / 10, 'a' + n % 10, 'a', 'a');
    ck_assert_int_eq(protection_check(p, section_of(&l, line), &j->credentials), PROTECTION_ASKS);
    return passwords_check(passwords, j, now_s);
}

START_TEST(checks_that_wait_are_bounded)
{
    struct site *s = protected_site(ALICE);
    struct protection *p = s->routes[0]->protection;
    struct passwords *passwords = passwords_new(); /* nobody works */
    struct password_job jobs[PASSWORD_CHECKS_MAX + 2];
    int n = 0;
    for (; n < PROTECTION_TRIES; n++) ck_assert_int_eq(check_nth(passwords, p, &jobs[n], n, 1), PASSWORD_ASKED);
    ck_assert_int_eq(check_nth(passwords, p, &jobs[n], n, 1), PASSWORD_TOO_MANY);
    ck_assert_uint_eq(jobs[n].credentials.len, 0);
    for (; n < PASSWORD_CHECKS_MAX; n++) ck_assert_int_eq(check_nth(passwords, p, &jobs[n], n, n), PASSWORD_ASKED);
    ck_assert_int_eq(check_nth(passwords, p, &jobs[n], n, 100), PASSWORD_BUSY);
    ck_assert_int_eq(check_nth(passwords, p, &jobs[n + 1], 0, 100), PASSWORD_ASKED); /* the same as one that waits */
    passwords_free(passwords);
    site_unref(&s);
}
END_TEST

/* ---- leases */

START_TEST(a_site_lives_as_long_as_its_last_lease)
{
    char why[256];
    struct site *s = config_of_origin("http://127.0.0.1:3000", why, sizeof why);
    ck_assert_ptr_nonnull(s);
    struct site_lease *worker = site_lease_new(site_ref(s)), *request = site_lease_ref(worker);
    ck_assert_uint_eq(atomic_load(&s->refs), 2);
    site_lease_unref(&worker);
    ck_assert_ptr_null(worker);
    ck_assert_uint_eq(atomic_load(&s->refs), 2);
    site_lease_unref(&request);
    ck_assert_uint_eq(atomic_load(&s->refs), 1);
    site_unref(&s);
}
END_TEST

/* ---- blocks of addresses */

static const struct {
    const char *block, *address;
    bool contains;
} blocks[] = {
    { "127.0.0.0/8", "127.255.0.1", true },
    { "127.0.0.0/8", "128.0.0.1", false },
    { "192.0.2.1", "192.0.2.1", true },
    { "192.0.2.1", "192.0.2.2", false },
    { "0.0.0.0/0", "8.8.8.8", true },
    { "0.0.0.0/0", "::1", false },
    { "10.0.0.0/9", "10.127.0.0", true },
    { "10.0.0.0/9", "10.128.0.0", false },
    { "::1", "::1", true },
    { "fd00::/8", "fdff::1", true },
    { "fd00::/8", "fe00::1", false },
    { "::/0", "10.0.0.1", true },
    { "10.0.0.0/8", "::ffff:10.1.1.1", true },
    { "2001:db8::/33", "2001:db8:8000::", false },
};

START_TEST(a_block_contains_its_addresses)
{
    struct cidr c;
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    char text[CIDR_TEXT_MAX];
    bool is_v4 = inet_pton(AF_INET, blocks[_i].address, &v4.sin_addr) == 1;
    if (!is_v4) ck_assert_int_eq(inet_pton(AF_INET6, blocks[_i].address, &v6.sin6_addr), 1);
    const struct sockaddr *peer = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    ck_assert(cidr_parse(view_of_str(blocks[_i].block), &c));
    ck_assert_msg(cidr_contains(&c, peer) == blocks[_i].contains, "%s %s", blocks[_i].block, blocks[_i].address);
    cidr_format(&c, text, sizeof text);
    ck_assert_str_eq(text, blocks[_i].block);
}
END_TEST

START_TEST(what_is_no_block_is_refused)
{
    static const char *const texts[] = { "",          "/8",          "10.0.0.0/33", "10.0.0.1/8",
                                         "::1/129",   "fd00::1/8",   "10.0.0/8",    "localhost",
                                         "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "1.2.3.4.5",
                                         "::g" };
    struct cidr c;
    for (int i = 0; i < ROWS(texts); i++) ck_assert_msg(!cidr_parse(view_of_str(texts[i]), &c), "%s", texts[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("site");
    tcase_add_loop_test(t, the_more_specific_route_wins, 0, ROWS(requests));
    tcase_add_test(t, an_unmatched_request_is_answered);
    tcase_add_test(t, escaped_slashes_are_no_way_around_protection);
    tcase_add_test(t, many_routes_cost_no_more_than_few);
    tcase_add_test(t, a_uri_has_the_key_of_its_route);
    tcase_add_test(t, request_fields_are_edited);
    tcase_add_test(t, reply_fields_are_edited);
    tcase_add_test(t, a_redirect_is_filled_in);
    tcase_add_test(t, credentials_are_checked);
    tcase_add_test(t, guessing_passwords_is_slowed_down);
    tcase_add_loop_test(t, explain_decides_as_the_route_does, 0, ROWS(explained));
    tcase_add_test(t, a_reload_forgets_only_users_that_have_changed);
    tcase_add_test(t, requests_with_the_same_password_are_one_check);
    tcase_add_test(t, checks_that_wait_are_bounded);
    tcase_add_test(t, a_site_lives_as_long_as_its_last_lease);
    tcase_add_loop_test(t, a_block_contains_its_addresses, 0, ROWS(blocks));
    tcase_add_test(t, what_is_no_block_is_refused);
    return run_case("proxy/site", t);
}
