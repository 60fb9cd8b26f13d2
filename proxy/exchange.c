#include "proxy/exchange_internal.h"

#include "cache/reuse.h"
#include "proxy/forward.h"

#include <errno.h>
#include <stdlib.h>

int64_t exchange_now_s(const struct exchange *x)
{
    return clock_now_s(&x->worker->weir->clock);
}

/* ---- life */

static struct exchange *exchange_new(struct worker *k)
{
    struct exchange *x = k->free_exchanges;
    if (x != NULL) {
        k->free_exchanges = x->next_free;
        k->free_exchange_count--;
    } else {
        x = malloc(sizeof *x);
        if (x == NULL) return NULL;
    }
    memset(x, 0, sizeof *x);
    k->exchanges++;
    return x;
}

static void exchange_free(struct exchange *x)
{
    struct worker *k = x->worker;
    k->exchanges--;
    if (k->free_exchange_count < WORKER_FREE_EXCHANGES_MAX) {
        x->next_free = k->free_exchanges;
        k->free_exchanges = x;
        k->free_exchange_count++;
    } else {
        free(x);
    }
}

void exchanges_free(struct worker *k)
{
    while (k->free_exchanges != NULL) {
        struct exchange *x = k->free_exchanges;
        k->free_exchanges = x->next_free;
        free(x);
    }
}

static void release(struct exchange *x)
{
    cache_query_end(&x->q);
    free(x->texts);
    free(x->job_fields);
    admission_end(x);
    free(x->claimed);
    site_lease_unref(&x->lease);
    exchange_free(x);
}

/* What another thread works on for this exchange, or has posted, outlives its client. */
static void release_when_quiet(struct exchange *x)
{
    if (x->jobs == 0 && !atomic_load(&x->task.posted)) release(x);
}

/* What other threads (and the flight) have to say ends here, in the worker's loop. */
static void password_is_checked(struct exchange *x);

static void task_run(struct loop_task *t)
{
    struct exchange *x = HOLDER_OF(t, struct exchange, task);
    if (x->ended)
        release_when_quiet(x);
    else
        exchange_step(x);
}

/* A job on another thread is over. It has a task of its own: late news of a flight must not be taken for it. */
static void job_task_run(struct loop_task *t)
{
    struct exchange *x = HOLDER_OF(t, struct exchange, job_task);
    enum exchange_state was = x->state;
    x->jobs--;
    x->state = EXCHANGE_DECIDE;
    if (was == EXCHANGE_STORE) exchange_end_lookup(x);
    if (x->ended)
        release_when_quiet(x);
    else if (was == EXCHANGE_PURGE)
        purge_request_done(x);
    else if (was == EXCHANGE_PASSWORD)
        password_is_checked(x);
    else
        exchange_step(x);
}

static void flight_woke(struct flight_waiter *w)
{
    struct exchange *x = HOLDER_OF(w, struct exchange, waiter);
    loop_post(x->worker->loop, &x->task);
}

/* The worker's scratch belongs to the request at hand: before this one waits, its key and variant move into memory of its
 * own, with room for a variant where another thread is going to look it up. */
bool exchange_own_texts(struct exchange *x, size_t room)
{
    struct view key = x->q.key.text, variant = x->q.variant.text;
    if (!x->has_key) return true;
    bool is_own = x->texts != NULL && (variant.len == 0 || variant.at == x->texts + key.len);
    if (is_own && (room == 0 || x->q.text == x->texts + key.len)) return true;
    char *texts = malloc(key.len + (variant.len > room ? variant.len : room));
    if (texts == NULL) return false;
    memcpy(texts, key.at, key.len);
    if (variant.len > 0) memcpy(texts + key.len, variant.at, variant.len);
    free(x->texts);
    x->texts = texts;
    x->q.key.text.at = texts;
    if (variant.len > 0) x->q.variant.text.at = texts + key.len;
    x->q.text = room > 0 ? texts + key.len : x->worker->variant_text;
    return true;
}

void exchange_set_timer(struct exchange *x, void (*due)(struct loop_timer *t), int64_t from_now_ms)
{
    x->timer.due = due;
    loop_timer_set(x->worker->loop, &x->timer, loop_now_ms(x->worker->loop) + from_now_ms);
}

static void watch_due(struct loop_timer *t)
{
    struct exchange *x = HOLDER_OF(t, struct exchange, timer);
    front_watch_client(x->stream);
}

/* Asking whether the client is still there costs more than a short wait. */
void exchange_wait_in(struct exchange *x, enum exchange_state state)
{
    x->state = state;
    if (x->timer.due == NULL) exchange_set_timer(x, watch_due, EXCHANGE_WATCH_AFTER_MS);
}

/* ---- the states */

void exchange_step(struct exchange *x)
{
    for (;;) {
        switch (x->state) {
        case EXCHANGE_LOOKUP: exchange_look_up(x); break;
        case EXCHANGE_DECIDE: exchange_decide(x); break;
        case EXCHANGE_FLIGHT: exchange_after_flight(x); break;
        case EXCHANGE_PASSWORD:
        case EXCHANGE_STORE:
        case EXCHANGE_PURGE:
        case EXCHANGE_CONTENT: return;                         /* not what these wait for */
        case EXCHANGE_ANSWERED: front_wake(x->stream); return; /* the content's reader can go on */
        }
        if (x->state != EXCHANGE_LOOKUP && x->state != EXCHANGE_DECIDE) return;
    }
}

/* ---- the front end's calls */

static void pass(struct exchange *x, enum reuse_reason reason)
{
    x->decision = (struct reuse_decision){ .verdict = REUSE_PASS, .reason = reason };
    x->decision.may_store_answer = x->request->method == METHOD_POST && x->has_key;
    x->state = EXCHANGE_DECIDE;
    exchange_go_to_origin(x);
}

static bool make_key(struct exchange *x)
{
    x->q.request = x->request;
    x->q.policy = &x->route->policy;
    x->q.text = x->worker->variant_text;
    x->has_key = key_from_request(x->request, &x->route->policy, x->worker->key_text, KEY_TEXT_MAX, &x->q.key);
    if (x->has_key) x->q.id = store_id_of(x->q.key.hash, 0);
    return x->has_key;
}

static void upload_drained(void *arg)
{
    struct exchange *x = arg;
    if (!x->ended) front_resume_content(x->stream);
}

static bool begin_upload(struct exchange *x, const struct front_request *r)
{
    x->upload = upload_new(r->content_length);
    if (x->upload == NULL) return false;
    upload_on_drained(x->upload, upload_drained, x);
    return true;
}

static bool has_conditions(struct field_section fields)
{
    for (size_t i = 0; i < fields.count; i++) {
        switch (fields.lines[i].id) {
        case FIELD_IF_MATCH:
        case FIELD_IF_NONE_MATCH:
        case FIELD_IF_MODIFIED_SINCE:
        case FIELD_IF_UNMODIFIED_SINCE:
        case FIELD_IF_RANGE:
        case FIELD_RANGE: return true;
        default: break;
        }
    }
    return false;
}

static bool answers_itself(struct exchange *x)
{
    struct forward_context c = { .via_pseudonym = VIEW("weir"), .instance = view_of_str(x->worker->weir->instance) };
    if (x->request->method == METHOD_CONNECT) {
        answer_problem(x, 405, "connect-refused");
    } else if (forward_is_loop(x->request, &c)) {
        answer_problem(x, 508, "loop");
    } else if (forward_answers_itself(x->request)) {
        if (x->request->method == METHOD_OPTIONS)
            answer_options(x);
        else
            answer_trace(x);
    } else {
        return false;
    }
    return true;
}

/* The content is part of the key, so all of it must be here, and fit into the buffer (RFC 10008 §2.7). */
static void query_content_is_here(struct exchange *x)
{
    struct view content = upload_content(x->upload);
    x->has_key =
        x->has_key && key_add_content(&x->q.key, x->worker->key_text, KEY_TEXT_MAX, x->request->fields, content);
    if (!x->has_key) {
        pass(x, REUSE_BECAUSE_METHOD);
        return;
    }
    x->q.id = store_id_of(x->q.key.hash, 0);
    x->state = EXCHANGE_LOOKUP;
    exchange_step(x);
}

/* Some or all of it may have come while a password was checked. */
static void start_query(struct exchange *x)
{
    size_t buffered = upload_content(x->upload).len;
    x->state = EXCHANGE_CONTENT;
    if (upload_is_complete(x->upload)) {
        (void)make_key(x); /* query_content_is_here looks at has_key */
        query_content_is_here(x);
    } else if (buffered == UPLOAD_BYTES) {
        pass(x, REUSE_BECAUSE_METHOD); /* too long to be a key */
    }
}

static void start(struct exchange *x)
{
    enum method m = x->request->method;
    if (upgrade_is_asked_for(x)) {
        if (upgrade_reserve(x)) pass(x, REUSE_BECAUSE_BYPASS);
    } else if (m == METHOD_GET || m == METHOD_HEAD) {
        if (x->has_content || !make_key(x))
            pass(x, REUSE_BECAUSE_METHOD);
        else
            exchange_step(x);
    } else if (m == METHOD_QUERY && x->has_content && upload_length(x->upload) <= UPLOAD_BYTES) {
        start_query(x);
    } else {
        if (m == METHOD_POST) (void)make_key(x); /* GET's, for which its response may be stored (RFC 9110 §9.3.3) */
        pass(x, REUSE_BECAUSE_METHOD);
    }
}

static void password_is_checked(struct exchange *x)
{
    x->state = EXCHANGE_LOOKUP;
    if (admission_done(x) && !route_answers(x, x->upload != NULL ? upload_length(x->upload) : 0))
        start(x);
    else if (x->upload != NULL)
        upload_discard(x->upload); /* answered without it */
}

static void admit(struct exchange *x, const struct front_request *r)
{
    enum admission a = admission_of(x);
    if (a == NOT_ADMITTED || (a == ADMITTED && route_answers(x, r->has_content ? r->content_length : 0))) return;
    if (x->has_content && !begin_upload(x, r)) {
        answer_problem(x, 503, "out-of-memory");
    } else if (a == ADMITTED) {
        start(x);
    } else if (admission_begin(x)) {
        exchange_wait_in(x, EXCHANGE_PASSWORD);
    } else if (x->upload != NULL) {
        upload_discard(x->upload); /* answered without it */
    }
}

static void *exchange_begin(void *owner, struct front_stream *s, const struct front_request *r)
{
    struct worker *k = owner;
    struct exchange *x = exchange_new(k);
    if (x == NULL) return NULL;
    x->worker = k;
    x->stream = s;
    x->request = r->head;
    x->peer = r->peer.address;
    x->client_ip = r->peer.text;
    x->begun_us = clock_monotonic_us();
    x->lease = site_lease_ref(k->lease);
    x->site = x->lease->site;
    if (!exchange_take_claims(x)) {
        release(x);
        return NULL;
    }
    x->route = site_route(x->site, x->request);
    x->has_content = r->has_content;
    x->conditional = has_conditions(r->head->fields);
    x->task.run = task_run;
    x->job_task.run = job_task_run;
    x->waiter.wake = flight_woke;
    stats_add(&k->counters.requests, 1);
    if (x->request->method == METHOD_PURGE)
        purge_request_begin(x);
    else if (!answers_itself(x))
        admit(x, r);
    return x;
}

/* Of a content whose length was not told before. */
static bool exceeds_limit(const struct exchange *x, size_t len)
{
    int64_t limit_bytes = x->route->request_limit_bytes;
    return limit_bytes >= 0 && x->upload_bytes + (int64_t)len > limit_bytes;
}

static ssize_t exchange_content(void *context, const uint8_t *at, size_t len)
{
    struct exchange *x = context;
    if (x->upload == NULL) return (ssize_t)len; /* answered without it */
    if (exceeds_limit(x, len)) return -EFBIG;
    size_t taken = upload_put(x->upload, at, len);
    x->upload_bytes += (int64_t)taken;
    if (taken < len && x->state == EXCHANGE_CONTENT) pass(x, REUSE_BECAUSE_METHOD); /* too long to be a key */
    return (ssize_t)taken;
}

static void exchange_content_end(void *context, bool complete)
{
    struct exchange *x = context;
    if (x->upload == NULL) return;
    upload_end(x->upload, complete);
    if (x->state == EXCHANGE_CONTENT && complete) start_query(x);
}

static void count_end(struct exchange *x, uint64_t bytes_sent)
{
    struct counters *c = &x->worker->counters;
    stats_add(&c->bytes_sent, bytes_sent);
    if (x->hit) stats_add(&c->bytes_hit, bytes_sent);
    int64_t took_us = clock_monotonic_us() - x->begun_us;
    histogram_add(x->hit ? &c->hit_us : &c->miss_us, took_us);
    exchange_log(x, bytes_sent, took_us);
}

static void exchange_end(void *context, bool delivered, uint64_t bytes_sent)
{
    struct exchange *x = context;
    (void)delivered;
    count_end(x, bytes_sent);
    if (x->upload != NULL) {
        upload_on_drained(x->upload, NULL, NULL);
        upload_end(x->upload, false);
    }
    loop_timer_stop(x->worker->loop, &x->timer);
    upgrade_end(x);
    answer_end(x);
    exchange_leave_flight(x);
    upload_unref(&x->upload);
    x->ended = true;
    release_when_quiet(x);
}

static bool exchange_gives_way(void *context)
{
    struct exchange *x = context;
    return x->fetch != NULL && fetch_gives_way(x->fetch);
}

static void exchange_refused(void *owner, int status, const struct front_peer *peer)
{
    struct worker *k = owner;
    stats_add(&k->counters.requests, 1);
    stats_add(&k->counters.refused, 1);
    exchange_log_refused(k, status, peer);
}

const struct front_handler exchange_handler = {
    .begin = exchange_begin,
    .content = exchange_content,
    .content_end = exchange_content_end,
    .end = exchange_end,
    .gives_way = exchange_gives_way,
    .refused = exchange_refused,
    .refusal_field = { "Cache-Status", "weir; detail=refused" },
};
