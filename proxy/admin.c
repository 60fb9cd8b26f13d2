#include "proxy/admin_internal.h"

#include "proxy/problem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CONTENT_FIRST = 4 * 1024,
    CONTENT_DISCARDED_MAX = 16 * ADMIN_CONTENT_MAX, /* of one without a length that turns out to be too large */
    ANSWER_FIELDS_MAX = 8,
    JSON_STYLE = JSON_INDENT(2),
};

/* Few connections, so those that do nothing leave soon. */
static const struct front_settings front_settings = {
    .idle_ms = 30 * 1000,
    .head_ms = 5 * 1000,
    .content_stall_ms = 15 * 1000,
    .connections_max = ADMIN_CONNECTIONS_MAX,
};

/* ---- answers */

struct answer_fields {
    struct front_field at[ANSWER_FIELDS_MAX];
    size_t count;
};

static void add(struct answer_fields *f, const char *name, const char *value)
{
    f->at[f->count++] = (struct front_field){ name, value };
}

static const char *allowed(const struct admin_route *route)
{
    return route->method == METHOD_GET ? "GET, HEAD" : "POST";
}

/* What each answer tells a browser that came by, and what some statuses must say (RFC 9110 §11.6.1, §15.5.6). */
static void add_fields(const struct admin_request *r, int status, const char *content_type, struct answer_fields *f)
{
    f->count = 0;
    add(f, "Content-Type", content_type);
    add(f, "Cache-Control", "no-store");
    add(f, "X-Content-Type-Options", "nosniff");
    add(f, "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'");
    if (status == 401) add(f, "WWW-Authenticate", "Bearer realm=\"weir admin\"");
    if (status == 405 && r->route != NULL) add(f, "Allow", allowed(r->route));
    if (status == 503) add(f, "Retry-After", "1");
}

void admin_answer(struct admin_request *r, int status, const char *content_type, char *text, size_t len)
{
    struct answer_fields fields;
    if (text == NULL) {
        status = 503;
        len = 0;
    }
    add_fields(r, status, content_type, &fields);
    struct front_reply reply = { .status = status,
                                 .fields = fields.at,
                                 .field_count = fields.count,
                                 .content_length = (int64_t)len,
                                 .content = text != NULL ? text : "",
                                 .release = text != NULL ? free : NULL,
                                 .arg = text };
    r->answered = true;
    if (front_reply(r->stream, &reply) != 0) free(text);
}

void admin_answer_json(struct admin_request *r, int status, json_t *json)
{
    size_t len = 0;
    char *text = json != NULL ? json_dumps(json, JSON_STYLE) : NULL;
    json_decref(json);
    if (text != NULL) {
        len = strlen(text);
        text[len++] = '\n'; /* in the place of the NUL */
    }
    admin_answer(r, status, status < 400 ? "application/json" : PROBLEM_CONTENT_TYPE, text, len);
}

void admin_problem(struct admin_request *r, int status, const char *detail)
{
    enum { PROBLEM_MAX = 2 * ADMIN_WHY_MAX };
    char *text = malloc(PROBLEM_MAX);
    size_t len = text != NULL ? problem_format(status, NULL, detail, text, PROBLEM_MAX - 1) : 0;
    if (text != NULL) text[len++] = '\n';
    admin_answer(r, status, PROBLEM_CONTENT_TYPE, text, len);
}

/* ---- routes */

static void healthz(struct admin_request *r)
{
    admin_answer(r, 200, "text/plain", strdup("ok\n"), 3);
}

static void readyz(struct admin_request *r)
{
    const struct weir *w = r->admin->weir;
    struct store_stats store = { 0 };
    if (w->store != NULL) store_stats(w->store, &store);
    if (atomic_load(&w->draining)) {
        admin_problem(r, 503, "draining: weir is about to end");
    } else if (store.failing) {
        admin_problem(r, 503, "the store cannot be written: weir goes on from memory and the origin");
    } else {
        admin_answer(r, 200, "text/plain", strdup("ready\n"), 6);
    }
}

static const struct admin_route routes[] = {
    { "/", METHOD_GET, false, admin_page },           { "/healthz", METHOD_GET, true, healthz },
    { "/readyz", METHOD_GET, true, readyz },          { "/metrics", METHOD_GET, false, admin_metrics },
    { "/v1/stats", METHOD_GET, false, admin_stats },  { "/v1/explain", METHOD_GET, false, admin_explain },
    { "/v1/purge", METHOD_POST, false, admin_purge }, { "/v1/reload", METHOD_POST, false, admin_reload },
};

static const struct admin_route *route_of(struct view path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (view_equal(path, view_of_str(routes[i].path))) return &routes[i];
    return NULL;
}

static bool method_fits(const struct admin_route *route, enum method m)
{
    return m == route->method || (m == METHOD_HEAD && route->method == METHOD_GET);
}

/* ---- who may call */

/* A name of this machine: an address, or localhost (RFC 6761 §6.3). */
static bool host_is_local(struct view authority)
{
    struct view host = view_first(authority, view_find(authority, 0, ':'));
    const struct view suffix = VIEW(".localhost");
    if (authority.len == 0 || authority.at[0] == '[' || view_equal(host, VIEW("localhost"))) return true;
    if (host.len > suffix.len && view_equal(view_after(host, host.len - suffix.len), suffix)) return true;
    for (size_t i = 0; i < host.len; i++)
        if (!is_digit(host.at[i]) && host.at[i] != '.') return false;
    return true;
}

/* A page of another site must not use the browser of somebody who can reach this address. */
static bool from_another_site(const struct request_head *head)
{
    size_t at = field_find(head->fields, 0, VIEW("origin"));
    if (at == head->fields.count || method_is_safe(head->method)) return false;
    struct view origin = head->fields.lines[at].value;
    size_t scheme = view_starts_with_nocase(origin, VIEW("https://")) ? 8 : 7;
    bool known = scheme == 8 || view_starts_with_nocase(origin, VIEW("http://"));
    return !known || !view_equal_nocase(view_after(origin, scheme), head->authority);
}

/* Without a token, whoever can connect may call; but a browser that was led here by a foreign name (DNS rebinding) brings
 * that name in Host. @return whether the request may go on; it has been answered otherwise */
static bool may_call(struct admin_request *r)
{
    struct weir *w = r->admin->weir;
    if (r->route != NULL && r->route->open) return true;
    struct site *site = weir_site(w);
    bool has_tokens = site->settings.admin_tokens.count > 0;
    bool matches = weir_token_matches(&site->settings, r->head->fields);
    site_unref(&site);
    if (has_tokens && !matches) {
        admin_problem(r, 401, "the admin token is needed: Authorization: Bearer TOKEN");
    } else if (!has_tokens && !host_is_local(r->head->authority)) {
        admin_problem(r, 421, "without an admin token, the admin API answers to addresses and localhost only");
    } else if (from_another_site(r->head)) {
        admin_problem(r, 403, "the request comes from a page of another origin");
    } else {
        return true;
    }
    return false;
}

/* ---- the front end's calls */

static struct admin *admin_of_task(struct loop_task *t)
{
    return HOLDER_OF(t, struct admin, drain_task);
}

void admin_request_free(struct admin_request *r)
{
    handing_free(r->handing);
    free(r->content);
    free(r);
}

/* Answers, unless the content has to come first. */
static void start(struct admin_request *r, const struct front_request *request)
{
    r->route = route_of(r->head->path);
    if (!may_call(r)) return;
    if (r->route == NULL) {
        admin_problem(r, 404, "no such call; GET / names those there are");
    } else if (!method_fits(r->route, r->head->method)) {
        admin_problem(r, 405, NULL);
    } else if (request->content_length > ADMIN_CONTENT_MAX) {
        admin_problem(r, 413, "at most 1 MiB of content");
    } else if (r->route->method == METHOD_GET || !request->has_content) {
        r->route->answer(r);
    }
}

static void *admin_begin(void *owner, struct front_stream *s, const struct front_request *request)
{
    struct admin_request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        struct front_reply reply = { .status = 503, .content = "", .close = true };
        (void)!front_reply(s, &reply); /* without a field there is none to refuse */
        return NULL;
    }
    r->admin = owner;
    r->stream = s;
    r->head = request->head;
    start(r, request);
    return r;
}

static bool content_grow(struct admin_request *r, size_t more)
{
    size_t cap = r->content_cap > 0 ? r->content_cap : CONTENT_FIRST;
    while (cap - r->content_len < more) cap *= 2;
    char *grown = realloc(r->content, cap);
    if (grown == NULL) return false;
    r->content = grown;
    r->content_cap = cap;
    return true;
}

static ssize_t admin_content(void *context, const uint8_t *at, size_t len)
{
    struct admin_request *r = context;
    if (r == NULL || r->answered) return (ssize_t)len;
    if (len <= ADMIN_CONTENT_MAX && r->content_len <= ADMIN_CONTENT_MAX - len) {
        if (r->content_cap - r->content_len < len && !content_grow(r, len)) return -ENOMEM;
        memcpy(r->content + r->content_len, at, len);
    } else if (r->content_len > CONTENT_DISCARDED_MAX) {
        return -E2BIG;
    }
    r->content_len += len;
    return (ssize_t)len;
}

static void admin_content_end(void *context, bool complete)
{
    struct admin_request *r = context;
    if (r == NULL || r->answered || !complete) return;
    if (r->content_len > ADMIN_CONTENT_MAX) {
        admin_problem(r, 413, "at most 1 MiB of content");
    } else {
        r->route->answer(r);
    }
}

static void admin_end(void *context, bool delivered, uint64_t bytes_sent)
{
    struct admin_request *r = context;
    (void)delivered, (void)bytes_sent;
    if (r == NULL) return;
    r->ended = true;
    if (!r->purging) admin_request_free(r); /* else admin_purge.c does, once it is acknowledged */
}

static void admin_refused(void *owner, int status, const struct front_peer *peer)
{
    (void)owner, (void)status, (void)peer;
}

static const struct front_handler handler = {
    .begin = admin_begin,
    .content = admin_content,
    .content_end = admin_content_end,
    .end = admin_end,
    .refused = admin_refused,
};

/* ---- life */

static void drain_run(struct loop_task *t)
{
    struct admin *a = admin_of_task(t);
    if (a->draining) return;
    a->draining = true;
    front_drain(a->front);
    loop_timer_set(a->loop, &a->drain_timer, loop_now_ms(a->loop) + ADMIN_DRAIN_MS);
}

static void drain_due(struct loop_timer *t)
{
    struct admin *a = HOLDER_OF(t, struct admin, drain_timer);
    a->drain_over = true;
}

struct admin *admin_new(struct weir *w, const int *fds, size_t n, char *why, size_t cap)
{
    struct admin *a = calloc(1, sizeof *a);
    if (a == NULL) goto no_memory;
    a->weir = w;
    a->drain_task.run = drain_run;
    a->drain_timer.due = drain_due;
    a->loop = loop_new();
    if (a->loop == NULL) goto no_memory;
    a->client = origin_client_new(a->loop, why, cap);
    if (a->client == NULL) goto fail;
    if (w->resolver != NULL) origin_use_resolver(a->client, w->resolver);
    a->front = front_h1_new(a->loop, &front_settings, &handler, a, why, cap);
    if (a->front == NULL) goto fail;
    for (size_t i = 0; i < n; i++) {
        if (front_listen(a->front, fds[i]) == 0) continue;
        snprintf(why, cap, "cannot watch the admin socket");
        goto fail;
    }
    return a;
no_memory:
    snprintf(why, cap, "out of memory");
fail:
    if (a != NULL && a->front != NULL) front_free(a->front);
    if (a != NULL) origin_client_free(a->client);
    if (a != NULL && a->loop != NULL) loop_free(a->loop);
    free(a);
    return NULL;
}

static void *admin_run(void *arg)
{
    struct admin *a = arg;
    while (!(a->draining && (a->drain_over || front_active(a->front) == 0))) loop_turn(a->loop);
    loop_timer_stop(a->loop, &a->drain_timer);
    front_free(a->front);
    a->breaking_off = true;
    origin_client_free(a->client);             /* purges on their way count as not heard */
    while (a->purging > 0) loop_turn(a->loop); /* acknowledgements still come to this loop */
    return NULL;
}

int admin_start(struct admin *a)
{
    int rc = pthread_create(&a->thread, NULL, admin_run, a);
    if (rc == 0) pthread_setname_np(a->thread, "weir-admin");
    return -rc;
}

void admin_stop(struct admin *a)
{
    loop_post(a->loop, &a->drain_task);
}

void admin_join(struct admin *a)
{
    pthread_join(a->thread, NULL);
    loop_free(a->loop);
    free(a);
}
