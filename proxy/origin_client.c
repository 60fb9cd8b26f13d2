#include "proxy/origin_internal.h"
#include "proxy/upgrade.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    INTERIM_MAX = 32, /* interim responses of one fetch */
    WHY_MAX = 256,
    POOL_UNUSED_MS = 60 * 1000,
    NAME_LOOK_MS = 10,       /* between two looks whether a name is resolved */
    NEVER_MS = INT64_MAX / 2 /* so that sums do not overflow */
};

/* ---- a fetch's deadline and fate */

static void todo_add(struct origin_fetch *f)
{
    if (f->todo) return;
    f->todo = true;
    TAILQ_INSERT_TAIL(&f->pool->client->todo, f, in_todo);
}

/* The first verdict stands. */
void origin_fetch_verdict(struct origin_fetch *f, enum origin_result verdict, const char *why)
{
    if (f->doomed) return;
    f->doomed = true;
    f->verdict = verdict;
    f->why = why;
}

/* Give up; the turn ends it. */
static void doom(struct origin_fetch *f, enum origin_result verdict, const char *why)
{
    origin_fetch_verdict(f, verdict, why);
    todo_add(f);
}

int64_t origin_now_ms(const struct origin_fetch *f)
{
    return loop_now_ms(f->pool->client->loop);
}

static int64_t next_deadline(const struct origin_fetch *f)
{
    return f->deadline_ms < f->total_deadline_ms ? f->deadline_ms : f->total_deadline_ms;
}

/* The timer moves only when it would be late; one that comes early finds the deadline moved. */
static void set_deadline(struct origin_fetch *f, int64_t from_now_ms)
{
    f->deadline_ms = origin_now_ms(f) + from_now_ms;
    int64_t at = next_deadline(f);
    if (f->timer.place == 0 || at < f->timer.at_ms) loop_timer_set(f->pool->client->loop, &f->timer, at);
}

static const char *const late[] = {
    [QUEUED] = "no connection was free in time",
    [CONNECTING] = "not connected in time",
    [AWAITING] = "no response in time",
    [READING] = "the content stopped coming",
};

static void on_due(struct loop_timer *t)
{
    struct origin_fetch *f = HOLDER_OF(t, struct origin_fetch, timer);
    int64_t now = origin_now_ms(f);
    bool parked = f->phase != QUEUED && (f->paused || f->awaits_content); /* the origin server is not to blame */
    if (parked) f->deadline_ms = now + f->pool->server.between_bytes_ms;
    if (now < next_deadline(f)) {
        loop_timer_set(f->pool->client->loop, t, next_deadline(f));
    } else if (now >= f->total_deadline_ms && f->phase != QUEUED) {
        doom(f, ORIGIN_TIMED_OUT, "took longer than a fetch may");
    } else {
        doom(f, f->phase == QUEUED ? ORIGIN_QUEUE_FULL : ORIGIN_TIMED_OUT, late[f->phase]);
    }
}

/* ---- what the connections tell, in the order in which a fetch meets it */

bool origin_fetch_sends(struct origin_fetch *f)
{
    if (f->sendings++ > 0 && !f->may_resend) {
        f->pool->client->stats.resent_refused++;
        origin_fetch_verdict(f, ORIGIN_CLOSED,
                             "closed without a response; the request may have been acted on and is not repeated");
    }
    if (f->doomed) return false;
    f->phase = AWAITING;
    f->interims = 0;
    set_deadline(f, f->pool->server.first_byte_ms);
    return true;
}

ssize_t origin_fetch_read(struct origin_fetch *f, char *to, size_t cap)
{
    if (f->doomed) return -ECANCELED;
    int64_t left = f->content_length - f->content_sent;
    if (f->content_length >= 0 && (int64_t)cap > left) cap = (size_t)left;
    if (cap == 0) return 0;
    ssize_t got = f->handler->read_content(f->arg, (uint8_t *)to, cap);
    if (got == -EAGAIN) {
        f->awaits_content = true;
        return -EAGAIN;
    }
    if (got < 0 || (got == 0 && f->content_length >= 0)) {
        origin_fetch_verdict(f, ORIGIN_CANCELLED, "the request's content broke off");
        return -ECANCELED;
    }
    assert((size_t)got <= cap);
    f->content_sent += got;
    set_deadline(f, f->pool->server.first_byte_ms);
    return got;
}

static const char *interim_ended(struct origin_fetch *f, struct origin_head *h)
{
    bool as_offered = h->http_minor == 1 && upgrade_was_offered(origin_head_fields(h), f->upgrade);
    if (h->status == 101) return as_offered ? NULL : "switches protocols unasked";
    if (++f->interims > INTERIM_MAX) return "too many interim responses";
    if (h->status != 100) f->handler->interim(f->arg, h->status, origin_head_fields(h));
    origin_head_begin(h);
    return NULL;
}

const char *origin_fetch_head(struct origin_fetch *f, struct origin_head *h, int64_t *length)
{
    const char *why = origin_head_framing(h, length);
    if (why != NULL) return why;
    if (h->status < 200) return interim_ended(f, h);
    f->phase = READING;
    set_deadline(f, f->pool->server.between_bytes_ms);
    struct response_head head = { .status = h->status,
                                  .fields = origin_head_fields(h),
                                  .http_1_0 = h->http_minor == 0 };
    f->handler->head(f->arg, &head, *length);
    return NULL;
}

void origin_fetch_content(struct origin_fetch *f, const char *at, size_t len)
{
    set_deadline(f, f->pool->server.between_bytes_ms);
    f->handler->content(f->arg, (const uint8_t *)at, len);
}

/* ---- the life of a fetch */

/* Until its name is resolved for the first time, a server cannot be connected to; then somebody knows an address for good.
 * It has ended, connects, or waits. */
static void fetch_connect(struct origin_fetch *f)
{
    struct resolved *name = f->pool->resolved;
    const char *why = name != NULL ? resolved_why(name) : NULL;
    bool known = name == NULL || resolved_version(name) != 0;
    f->awaits_name = !known && why == NULL;
    if (f->awaits_name)
        f->pool->client->awaits_name = true;
    else if (!known)
        origin_fetch_end(f, ORIGIN_UNREACHABLE, why);
    else if (origin_curl_start(f) != 0)
        origin_fetch_end(f, ORIGIN_QUEUE_FULL, "out of memory");
}

/* Under way, or it has ended. */
static void fetch_start(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    TAILQ_REMOVE(&p->queue, f, in_pool);
    TAILQ_INSERT_TAIL(&p->active, f, in_pool);
    p->queue_count--;
    p->active_count++;
    f->active = true;
    f->phase = CONNECTING;
    if (p->server.total_ms > 0) f->total_deadline_ms = origin_now_ms(f) + p->server.total_ms;
    if (origin_fetch_is_h1(f) && origin_h1_start(f)) return;
    set_deadline(f, p->server.connect_ms);
    fetch_connect(f);
}

static void leave_pool(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    p->used_ms = origin_now_ms(f);
    if (f->channel != NULL) origin_curl_leave(f);
    if (f->conn != NULL) origin_h1_leave(f);
    if (f->active) {
        TAILQ_REMOVE(&p->active, f, in_pool);
        p->active_count--;
        p->giving_way -= f->gives_way;
    } else {
        TAILQ_REMOVE(&p->queue, f, in_pool);
        p->queue_count--;
    }
}

void origin_fetch_end(struct origin_fetch *f, enum origin_result result, const char *why)
{
    struct origin_client *c = f->pool->client;
    char line[WHY_MAX];
    snprintf(line, sizeof(line), "%s", why); /* it may stand in the channel, which is about to go */
    leave_pool(f);
    if (f->todo) TAILQ_REMOVE(&c->todo, f, in_todo);
    loop_timer_stop(c->loop, &f->timer);
    c->start = true;
    f->handler->end(f->arg, result, line);
    free(f);
}

bool origin_gives_way(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    if (f->active && !f->gives_way && p->queue_count > p->giving_way) {
        f->gives_way = true;
        p->giving_way++;
    }
    return f->gives_way;
}

/* ---- the turn */

static void run_todo(struct origin_client *c)
{
    struct origin_fetch *f;
    while ((f = TAILQ_FIRST(&c->todo)) != NULL) {
        if (f->doomed) {
            origin_fetch_end(f, f->verdict, f->why);
            continue;
        }
        TAILQ_REMOVE(&c->todo, f, in_todo);
        f->todo = false;
        if (!f->resume) continue;
        f->resume = false;
        if (f->conn != NULL)
            origin_h1_resume(f);
        else if (f->channel != NULL)
            origin_curl_resume(f);
    }
}

static void run_pool(struct pool *p)
{
    while (p->active_count < p->active_max && !TAILQ_EMPTY(&p->queue)) fetch_start(TAILQ_FIRST(&p->queue));
}

static void run_pools(struct origin_client *c)
{
    c->start = false;
    for (struct pool *p = c->pools; p != NULL; p = p->next) run_pool(p);
}

static void look_at_names(struct origin_client *c)
{
    c->awaits_name = false;
    for (struct pool *p = c->pools; p != NULL; p = p->next) {
        struct origin_fetch *f = p->resolved != NULL ? TAILQ_FIRST(&p->active) : NULL, *next;
        for (; f != NULL; f = next) {
            next = TAILQ_NEXT(f, in_pool);
            if (f->awaits_name && !f->doomed) fetch_connect(f);
        }
    }
}

static int64_t wait_ms(void *client)
{
    const struct origin_client *c = client;
    if (c->start || !TAILQ_EMPTY(&c->todo)) return 0;
    int64_t wait = origin_curl_wait_ms(c->curl);
    return c->awaits_name && (wait < 0 || wait > NAME_LOOK_MS) ? NAME_LOOK_MS : wait;
}

static void turn(void *client)
{
    struct origin_client *c = client;
    origin_curl_reap(c->curl);
    run_todo(c);
    if (c->awaits_name) look_at_names(c);
    if (c->start) run_pools(c);
    origin_curl_on_time(c->curl);
}

/* ---- requests */

static const char *copy_or_null(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static void tls_copy(struct origin_tls *to, const struct origin_tls *from)
{
    *to = (struct origin_tls){ .verify = from == NULL || from->verify };
    if (from == NULL) return;
    to->ca = copy_or_null(from->ca);
    to->certificate = copy_or_null(from->certificate);
    to->key = copy_or_null(from->key);
    to->name = copy_or_null(from->name);
}

static void tls_release(struct origin_tls *tls)
{
    free((void *)(uintptr_t)tls->ca);
    free((void *)(uintptr_t)tls->certificate);
    free((void *)(uintptr_t)tls->key);
    free((void *)(uintptr_t)tls->name);
}

static void pool_free(struct pool *p)
{
    struct origin_fetch *f;
    while ((f = TAILQ_FIRST(&p->active)) != NULL) origin_fetch_end(f, ORIGIN_CANCELLED, "closing down");
    while ((f = TAILQ_FIRST(&p->queue)) != NULL) origin_fetch_end(f, ORIGIN_CANCELLED, "closing down");
    origin_curl_free_idle(p);
    origin_h1_free_idle(p);
    if (p->resolved != NULL) resolver_leave(p->client->resolver, &p->resolved);
    tls_release(&p->tls);
    origin_server_release(&p->server);
    free(p);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_tls(const struct origin_tls *a, const struct origin_tls *b)
{
    static const struct origin_tls plain = { .verify = true };
    if (a == NULL) a = &plain;
    if (b == NULL) b = &plain;
    return same_text(a->ca, b->ca) && same_text(a->certificate, b->certificate) && same_text(a->key, b->key) &&
           same_text(a->name, b->name) && a->verify == b->verify;
}

/* By what it says, not by its address: a configuration that was reloaded may say something else at the same address. */
static bool same_server(const struct origin_server *a, const struct origin_server *b)
{
    return same_text(a->base_url, b->base_url) && same_text(a->unix_path, b->unix_path) &&
           a->connect_ms == b->connect_ms && a->first_byte_ms == b->first_byte_ms &&
           a->between_bytes_ms == b->between_bytes_ms && a->total_ms == b->total_ms && a->queue_ms == b->queue_ms &&
           a->connections_max == b->connections_max && a->queue_max == b->queue_max && a->idle_ms == b->idle_ms &&
           a->by_libcurl == b->by_libcurl && same_tls(a->tls, b->tls);
}

static bool pool_find_address(struct pool *p)
{
    struct resolver *r = p->client->resolver;
    if (!origin_address_of(p->server.base_url, p->tls.name, &p->address)) return false;
    if (r != NULL && p->address.is_name && p->server.unix_path == NULL) p->resolved = resolver_join(r, p->address.host);
    return true;
}

static struct pool *pool_new(struct origin_client *c, const struct origin_server *server)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL) return NULL;
    p->client = c;
    p->server = *server;
    p->server.authority = p->server.path_prefix = NULL; /* the request has them in its lines and its target */
    p->server.base_url = strdup(server->base_url);
    p->server.unix_path = server->unix_path != NULL ? strdup(server->unix_path) : NULL;
    tls_copy(&p->tls, server->tls);
    p->server.tls = &p->tls;
    bool is_http = view_starts_with_nocase(view_of_str(server->base_url), VIEW("http:"));
    p->plain = is_http && !server->by_libcurl;
    p->secure = !is_http;
    p->active_max = server->connections_max;
    if (p->active_max == 0 || p->active_max > ORIGIN_CONNECTIONS_MAX) p->active_max = ORIGIN_CONNECTIONS_MAX;
    p->queue_max = server->queue_max > 0 ? server->queue_max : ORIGIN_QUEUE_MAX;
    TAILQ_INIT(&p->active);
    TAILQ_INIT(&p->queue);
    TAILQ_INIT(&p->idle_conns);
    if (same_server(&p->server, server) && pool_find_address(p)) return p;
    pool_free(p); /* out of memory */
    return NULL;
}

/* Servers that nobody asks any more: after a reload, say. */
static void drop_unused_pools(struct origin_client *c)
{
    struct pool **at = &c->pools;
    while (*at != NULL) {
        struct pool *p = *at;
        bool unused = p->active_count + p->queue_count == 0 && loop_now_ms(c->loop) - p->used_ms > POOL_UNUSED_MS;
        if (unused) {
            *at = p->next;
            pool_free(p);
        } else {
            at = &p->next;
        }
    }
}

static struct pool *pool_of(struct origin_client *c, const struct origin_server *server)
{
    struct pool *p = c->pools;
    while (p != NULL && !same_server(&p->server, server)) p = p->next;
    if (p == NULL) {
        drop_unused_pools(c);
        p = pool_new(c, server);
        if (p == NULL) return NULL;
        p->next = c->pools;
        c->pools = p;
    }
    p->used_ms = loop_now_ms(c->loop);
    return p;
}

static struct origin_fetch *fetch_new(struct pool *p, const struct origin_request *r)
{
    bool is_h1 = p->plain || r->upgrade.len > 0;
    size_t behind = is_h1 ? origin_h1_copy_size(r) : origin_curl_copy_size(r);
    struct origin_fetch *f = malloc(sizeof(*f) + behind);
    if (f == NULL) return NULL;
    memset(f, 0, sizeof(*f));
    f->pool = p;
    f->has_content = r->has_content;
    f->content_length = r->content_length;
    f->may_resend = r->may_resend;
    f->expects_no_content = r->expects_no_content;
    f->total_deadline_ms = NEVER_MS;
    f->timer.due = on_due;
    if (is_h1)
        origin_h1_copy(f, (char *)(f + 1), r);
    else
        origin_curl_copy(f, (char *)(f + 1), r);
    return f;
}

struct origin_fetch *origin_fetch(struct origin_client *c, const struct origin_request *request,
                                  const struct origin_handler *handler, void *arg)
{
    struct pool *p = c->closing ? NULL : pool_of(c, request->server);
    if (p == NULL || p->queue_count >= p->queue_max) return NULL;
    struct origin_fetch *f = fetch_new(p, request);
    if (f == NULL) return NULL;
    f->handler = handler;
    f->arg = arg;
    int64_t now = loop_now_ms(c->loop), queue_ms = p->server.queue_ms, connect_ms = p->server.connect_ms;
    f->deadline_ms = now + queue_ms;
    loop_timer_set(c->loop, &f->timer, now + (queue_ms < connect_ms ? queue_ms : connect_ms));
    TAILQ_INSERT_TAIL(&p->queue, f, in_pool);
    p->queue_count++;
    c->stats.fetches++;
    c->start = true;
    return f;
}

void origin_pause(struct origin_fetch *f)
{
    f->paused = true;
}

static void resume(struct origin_fetch *f)
{
    if (!f->active || f->doomed) return;
    f->resume = true;
    todo_add(f);
}

void origin_resume(struct origin_fetch *f)
{
    if (!f->paused) return;
    f->paused = false;
    if (f->phase != QUEUED) set_deadline(f, f->pool->server.between_bytes_ms);
    resume(f);
}

void origin_resume_content(struct origin_fetch *f)
{
    if (!f->awaits_content) return;
    f->awaits_content = false;
    set_deadline(f, f->pool->server.first_byte_ms);
    resume(f);
}

void origin_cancel(struct origin_fetch *f)
{
    doom(f, ORIGIN_CANCELLED, "cancelled");
}

void origin_stats(const struct origin_client *c, struct origin_stats *out)
{
    *out = c->stats;
    for (const struct pool *p = c->pools; p != NULL; p = p->next) {
        out->active += p->active_count;
        out->queued += p->queue_count;
    }
}

/* ---- life of the client */

struct origin_client *origin_client_new(struct loop *loop, char *why, size_t cap)
{
    struct origin_client *c = calloc(1, sizeof(*c));
    char *received = malloc(ORIGIN_RECEIVE_BYTES);
    if (c == NULL || received == NULL) goto no_memory;
    c->loop = loop;
    c->received = received;
    TAILQ_INIT(&c->todo);
    c->curl = origin_curl_new(c, why, cap);
    if (c->curl == NULL) goto failed;
    loop_add_hook(loop, (struct loop_hook){ .wait_ms = wait_ms, .turn = turn, .arg = c });
    return c;
no_memory:
    snprintf(why, cap, "out of memory");
failed:
    free(received);
    free(c);
    return NULL;
}

void origin_use_resolver(struct origin_client *c, struct resolver *r)
{
    c->resolver = r;
}

void origin_client_free(struct origin_client *c)
{
    if (c == NULL) return;
    c->closing = true;
    loop_remove_hook(c->loop, c);
    while (c->pools != NULL) {
        struct pool *p = c->pools;
        c->pools = p->next;
        pool_free(p);
    }
    origin_curl_free(c->curl);
    free(c->received);
    free(c);
}
