#include "proxy/health.h"

#include "proxy/origin_state.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINES = 2, LINE_BYTES = 600 };

/* One server that is checked. */
struct check {
    struct watched *watched;
    const struct origin_settings *origin;
    size_t place; /* of the server */
    struct origin_server server;
    char host[LINE_BYTES];
    struct loop_timer timer;
    struct origin_fetch *fetch; /* NULL: none under way */
    int status;                 /* of the answer under way */
    char *content;
    size_t content_len;
    unsigned good, bad; /* in a row */
};

/* The servers of one site. When another takes its place it goes once its fetches have ended. */
struct watched {
    struct health *health;
    struct site *site;
    size_t fetches, count;
    bool dropped;
    struct check checks[];
};

struct health {
    struct loop *loop;
    struct origin_client *client;
    struct watched *watched; /* NULL: none yet */
    size_t dropped;          /* that still have fetches */
    _Atomic(struct site *) next;
    struct loop_task watch_task, stop_task;
    bool stopping, started;
    pthread_t thread;
};

/* ---- one check */

static bool status_is_good(const struct origin_health *h, int status)
{
    for (size_t i = 0; i < h->status_count; i++)
        if (status >= h->statuses[i].first && status <= h->statuses[i].last) return true;
    return false;
}

const char *health_refuses(const struct origin_health *h, int status, struct view content)
{
    if (!status_is_good(h, status)) return "another status than expected";
    if (h->text != NULL && (content.len == 0 || memmem(content.at, content.len, h->text, strlen(h->text)) == NULL))
        return "the expected text is not in the content";
    return NULL;
}

/* A first good answer makes a server well; one that was ill has to give `rise` of them. */
static void judge(struct check *c, const char *refusal)
{
    const struct origin_health *h = &c->origin->health;
    struct origin_state *state = c->origin->state;
    int64_t now_ms = loop_now_ms(c->watched->health->loop);
    bool was_ill = atomic_load(&state->servers[c->place].checked) == SERVER_ILL;
    c->good = refusal == NULL ? c->good + 1 : 0;
    c->bad = refusal == NULL ? 0 : c->bad + 1;
    if (refusal != NULL && c->bad >= (unsigned)h->fall)
        server_state_check(state, c->place, false, refusal, now_ms);
    else if (refusal == NULL && (!was_ill || c->good >= (unsigned)h->rise))
        server_state_check(state, c->place, true, NULL, now_ms);
}

static void on_interim(void *arg, int status, struct field_section fields)
{
    (void)arg, (void)status, (void)fields;
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct check *c = arg;
    (void)content_length;
    c->status = head->status;
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    struct check *c = arg;
    if (c->content == NULL) return; /* of no interest */
    size_t room = HEALTH_CONTENT_MAX - c->content_len, n = len < room ? len : room;
    memcpy(c->content + c->content_len, at, n);
    c->content_len += n;
}

static void watched_free_when_quiet(struct watched *w);

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct check *c = arg;
    struct watched *w = c->watched;
    c->fetch = NULL;
    w->fetches--;
    if (w->dropped) {
        watched_free_when_quiet(w);
    } else if (result != ORIGIN_COMPLETE) {
        judge(c, why);
    } else {
        char refusal[128];
        const char *reason = health_refuses(&c->origin->health, c->status, view_of(c->content, c->content_len));
        snprintf(refusal, sizeof refusal, "%s (status %d)", reason != NULL ? reason : "", c->status);
        judge(c, reason != NULL ? refusal : NULL);
    }
}

static const struct origin_handler handler = {
    .interim = on_interim, .head = on_head, .content = on_content, .end = on_end
};

static void ask(struct check *c)
{
    static const char agent[] = "User-Agent: weir/" WEIR_VERSION " (health check)";
    const char *const lines[LINES] = { c->host, agent };
    char target[ORIGIN_PREFIX_MAX + 4096];
    snprintf(target, sizeof target, "%s%s", c->server.path_prefix, c->origin->health.path);
    struct origin_request request = { .server = &c->server,
                                      .method = VIEW("GET"),
                                      .target = view_of_str(target),
                                      .lines = lines,
                                      .line_count = LINES,
                                      .may_resend = true };
    c->status = 0;
    c->content_len = 0;
    c->fetch = origin_fetch(c->watched->health->client, &request, &handler, c);
    if (c->fetch != NULL) c->watched->fetches++;
}

static void on_due(struct loop_timer *t)
{
    struct check *c = HOLDER_OF(t, struct check, timer);
    struct loop *loop = c->watched->health->loop;
    if (c->fetch == NULL) ask(c);
    loop_timer_set(loop, t, loop_now_ms(loop) + c->origin->health.interval_ms);
}

/* ---- the servers of a site */

static void watched_free_when_quiet(struct watched *w)
{
    if (w->fetches > 0) return;
    for (size_t i = 0; i < w->count; i++) free(w->checks[i].content);
    w->health->dropped--;
    site_unref(&w->site);
    free(w);
}

static void watched_drop(struct watched *w)
{
    w->dropped = true;
    w->health->dropped++;
    for (size_t i = 0; i < w->count; i++) {
        loop_timer_stop(w->health->loop, &w->checks[i].timer);
        if (w->checks[i].fetch != NULL) origin_cancel(w->checks[i].fetch); /* ends later, from the loop */
    }
    watched_free_when_quiet(w);
}

static void check_begin(struct check *c, struct watched *w, const struct origin_settings *o, size_t place)
{
    const struct origin_server_settings *s = &o->servers[place];
    const char *host = o->health.host != NULL ? o->health.host : s->host != NULL ? s->host : s->server.authority;
    int64_t now_ms = loop_now_ms(w->health->loop), apart_ms = o->health.interval_ms / (int64_t)o->server_count;
    *c = (struct check){ .watched = w, .origin = o, .place = place, .server = s->server };
    c->server.connect_ms = c->server.first_byte_ms = c->server.total_ms = c->server.queue_ms = o->health.timeout_ms;
    c->server.connections_max = 1;
    c->timer.due = on_due;
    snprintf(c->host, sizeof c->host, "Host: %s", host);
    if (o->health.text != NULL) c->content = malloc(HEALTH_CONTENT_MAX); /* without it the check fails: no memory */
    loop_timer_set(w->health->loop, &c->timer, now_ms + (int64_t)place * apart_ms);
}

static size_t count_checked(const struct site *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->origin_count; i++)
        if (s->origins[i]->health.path != NULL) n += s->origins[i]->server_count;
    return n;
}

/* Without memory nobody is checked: every server counts as well, until the next reload. */
static struct watched *watched_new(struct health *h, struct site *s)
{
    size_t n = count_checked(s);
    struct watched *w = calloc(1, sizeof *w + n * sizeof *w->checks);
    if (w == NULL) {
        site_unref(&s);
        return NULL;
    }
    w->health = h;
    w->site = s;
    for (size_t i = 0; i < s->origin_count; i++) {
        const struct origin_settings *o = s->origins[i];
        if (o->health.path == NULL) continue;
        for (size_t j = 0; j < o->server_count; j++) check_begin(&w->checks[w->count++], w, o, j);
    }
    return w;
}

static void watch_run(struct loop_task *t)
{
    struct health *h = HOLDER_OF(t, struct health, watch_task);
    struct site *next = atomic_exchange(&h->next, NULL);
    if (next == NULL) return;
    if (h->watched != NULL) watched_drop(h->watched);
    h->watched = watched_new(h, next);
}

void health_watch(struct health *h, struct site *site)
{
    struct site *overtaken = atomic_exchange(&h->next, site);
    site_unref(&overtaken);
    loop_post(h->loop, &h->watch_task);
}

/* ---- life */

static void stop_run(struct loop_task *t)
{
    struct health *h = HOLDER_OF(t, struct health, stop_task);
    h->stopping = true;
}

struct health *health_new(struct resolver *r, char *why, size_t cap)
{
    struct health *h = calloc(1, sizeof *h);
    if (h != NULL) h->loop = loop_new();
    if (h == NULL || h->loop == NULL) {
        snprintf(why, cap, "out of memory");
        free(h);
        return NULL;
    }
    h->watch_task.run = watch_run;
    h->stop_task.run = stop_run;
    h->client = origin_client_new(h->loop, why, cap);
    if (h->client != NULL) {
        origin_use_resolver(h->client, r);
        return h;
    }
    loop_free(h->loop);
    free(h);
    return NULL;
}

static void *health_run(void *arg)
{
    struct health *h = arg;
    while (!h->stopping) loop_turn(h->loop);
    return NULL;
}

int health_start(struct health *h)
{
    int rc = pthread_create(&h->thread, NULL, health_run, h);
    h->started = rc == 0;
    if (rc == 0) pthread_setname_np(h->thread, "weir-health");
    return -rc;
}

void health_free(struct health *h)
{
    if (h == NULL) return;
    if (h->started) {
        loop_post(h->loop, &h->stop_task);
        pthread_join(h->thread, NULL);
    }
    if (h->watched != NULL) watched_drop(h->watched);
    origin_client_free(h->client); /* ends what is under way, and with it what was dropped */
    struct site *next = atomic_exchange(&h->next, NULL);
    site_unref(&next);
    loop_free(h->loop);
    free(h);
}
