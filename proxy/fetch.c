#include "proxy/fetch_internal.h"

#include "proxy/forward.h"
#include "proxy/upgrade.h"

#include <assert.h>
#include <stdlib.h>

enum { PAUSE_LIMIT_MS = 2000 };

/* ---- life */

/* One between two responses that stay in memory would leave a hole there, or be merged with one, each time. */
static struct fetch *fetch_take(struct worker *k)
{
    struct fetch *f = k->free_fetches;
    if (f == NULL) return calloc(1, sizeof *f);
    k->free_fetches = f->next_free;
    k->free_fetch_count--;
    memset(f, 0, sizeof *f);
    return f;
}

static void fetch_put_away(struct fetch *f)
{
    struct worker *k = f->worker;
    if (k->free_fetch_count == WORKER_FREE_FETCHES_MAX) {
        free(f);
        return;
    }
    f->next_free = k->free_fetches;
    k->free_fetches = f;
    k->free_fetch_count++;
}

void fetches_free(struct worker *k)
{
    while (k->free_fetches != NULL) {
        struct fetch *f = k->free_fetches;
        k->free_fetches = f->next_free;
        free(f);
    }
}

struct fetch *fetch_ref(struct fetch *f)
{
    f->refs++;
    return f;
}

void fetch_unref(struct fetch **f)
{
    struct fetch *gone = *f;
    *f = NULL;
    if (gone != NULL && --gone->refs == 0) fetch_free_when_quiet(gone);
}

void fetch_free_when_quiet(struct fetch *f)
{
    if (atomic_load(&f->resume_task.posted) || atomic_load(&f->purge_task.posted) ||
        atomic_load(&f->publish_task.posted))
        return; /* that task comes back here */
    f->worker->fetches--;
    flight_unref(&f->flight);
    object_unref(&f->stored);
    object_unref(&f->vary);
    object_unref(&f->filling);
    object_unref(&f->confirmed);
    body_unref(&f->response.body);
    upload_unref(&f->upload);
    site_lease_unref(&f->lease);
    free(f->variant_text);
    free(f->response_arena);
    free(f->arena);
    fetch_put_away(f);
}

int64_t fetch_now_s(const struct fetch *f)
{
    return clock_now_s(&f->worker->weir->clock);
}

struct flight_table *fetch_flights(const struct fetch *f)
{
    return cache_flights(f->worker->weir->cache);
}

/* ---- sending */

static const struct origin_handler origin_handler;

static ssize_t read_upload(void *arg, uint8_t *to, size_t cap)
{
    struct fetch *f = ((struct fetch_attempt *)arg)->fetch;
    return upload_take(f->upload, to, cap);
}

static void upload_filled(void *arg)
{
    struct fetch *f = arg;
    if (f->attempt->transfer != NULL) origin_resume_content(f->attempt->transfer);
}

static void set_validators(const struct fetch *f, struct field *room, struct forward_context *c)
{
    if (!f->validating) return;
    c->validators = validators_of(record_section(object_record(f->stored), room));
    c->drop_conditions = true;
}

bool fetch_ask(struct fetch_attempt *a)
{
    struct fetch *f = a->fetch;
    struct field room[RECORD_FIELDS_MAX];
    struct forward_lines lines;
    char target[FRONT_TARGET_MAX + 1024], offer[UPGRADE_OFFER_MAX];
    struct forward_context c = {
        .client_ip = f->client_ip,
        .client_https = f->request.https,
        .via_pseudonym = VIEW("weir"),
        .instance = view_of_str(f->worker->weir->instance),
        .origin_authority = fetch_server(a)->host,
        .path_prefix = fetch_server(a)->server.path_prefix,
        .drop_conditions = f->drop_conditions,
        .range_first = -1,
        .range_last = -1,
    };
    set_validators(f, room, &c);
    if (f->completing) {
        c.range_first = f->missing.first;
        bool to_the_end = f->missing.last + 1 == object_head(f->stored)->stored.content_length;
        c.range_last = to_the_end ? -1 : f->missing.last;
        c.if_range = record_value(object_record(f->stored), FIELD_ETAG);
    }
    lines.count = lines.used = 0;
    struct request_head head = f->request;
    struct field edited[FRONT_FIELDS_MAX + ROUTE_EDITS_MAX];
    head.fields = route_request_fields(f->route, f->request.fields, edited);
    int target_len = forward_target(&head, &c, target, sizeof target);
    if (target_len < 0 || forward_request(&head, &c, &lines) != 0) return false;
    struct origin_request request = {
        .server = &fetch_server(a)->server,
        .method = f->request.method_name,
        .target = view_of(target, (size_t)target_len),
        .lines = lines.lines,
        .line_count = lines.count,
        .has_content = f->upload != NULL,
        .content_length = f->upload != NULL ? upload_length(f->upload) : 0,
        .may_resend = method_is_safe(f->request.method) && f->upload == NULL,
        .expects_no_content = f->request.method == METHOD_HEAD,
    };
    if (f->upgrade)
        request.upgrade = view_of(offer, upgrade_offer(&f->request, &f->route->upgrade, offer, sizeof offer));
    a->status = 0;
    a->request_time_s = fetch_now_s(f);
    a->transfer = origin_fetch(f->worker->origin, &request, &origin_handler, a);
    if (a->transfer == NULL) return false;
    stats_add(&f->worker->counters.fetches, 1);
    if (f->validating) stats_add(&f->worker->counters.validations, 1);
    return true;
}

/* Ask the server that was chosen. */
static bool ask(struct fetch *f)
{
    if (fetch_ask(f->attempt)) {
        fetch_arm_hedge(f);
        return true;
    }
    fetch_leave_server(f->attempt, ORIGIN_CANCELLED);
    f->refusal = "origin-queue-full";
    return false;
}

static bool choose_and_ask(struct fetch *f)
{
    f->refusal = "origin-down";
    return !f->worker->breaking_off && fetch_choose_server(f) && ask(f);
}

/* @return false: nobody is asked, f->refusal says why */
static bool forward(struct fetch *f)
{
    switch (fetch_enter_gate(f)) {
    case GATE_OPEN: return choose_and_ask(f);
    case GATE_WAIT: return true;
    case GATE_FULL: break;
    }
    f->refusal = "origin-queue-full";
    return false;
}

static void end_upload(struct fetch *f)
{
    if (f->upload == NULL) return;
    upload_on_filled(f->upload, NULL, NULL);
    upload_discard(f->upload);
}

void fetch_refuse(struct fetch *f, const char *why)
{
    fetch_leave_gate(f);
    end_upload(f);
    fetch_fail(f, 503, why);
    f->ended = true;
    fetch_unref(&f);
}

void fetch_is_admitted(struct fetch *f)
{
    if (!choose_and_ask(f)) fetch_refuse(f, f->refusal);
}

static void resume_run(struct loop_task *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, resume_task);
    loop_timer_stop(f->worker->loop, &f->pause_timer);
    if (f->refs == 0)
        fetch_free_when_quiet(f);
    else if (f->attempt->transfer != NULL)
        origin_resume(f->attempt->transfer);
}

/* Nobody has made room for long: neither a disk nor a slow client holds up those who could read on. */
static void pause_is_long(struct loop_timer *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, pause_timer);
    if (f->ended || f->response.body == NULL) return;
    if (f->storing && body_is_storing(f->response.body)) fetch_stop_storing(f);
    body_leave_slow(f->response.body);
    loop_timer_set(f->worker->loop, t, loop_now_ms(f->worker->loop) + PAUSE_LIMIT_MS);
}

static void pause_content(struct fetch *f, struct origin_fetch *transfer)
{
    origin_pause(transfer);
    f->pause_timer.due = pause_is_long;
    if (f->pause_timer.place == 0)
        loop_timer_set(f->worker->loop, &f->pause_timer, loop_now_ms(f->worker->loop) + PAUSE_LIMIT_MS);
}

/* The content of a query is part of its key, and whole: each fetch for that key sends a copy of its own, once more where what
 * came does not fit what is stored. */
static bool is_keyed_query(const struct fetch_settings *s)
{
    return s->request->method == METHOD_QUERY && s->key != NULL && s->upload != NULL;
}

static bool take_upload(struct fetch *f, const struct fetch_settings *s)
{
    if (s->upload == NULL) return true;
    f->upload = is_keyed_query(s) ? upload_copy(s->upload) : upload_ref(s->upload);
    if (f->upload != NULL) upload_on_filled(f->upload, upload_filled, f);
    return f->upload != NULL;
}

static bool may_validate(const struct fetch_settings *s)
{
    bool repeatable = s->upload == NULL || is_keyed_query(s);
    if (s->stored == NULL || !repeatable || s->request->method == METHOD_HEAD) return false;
    unsigned flags = object_head(s->stored)->stored.flags;
    return (flags & STORED_HAS_VALIDATOR) != 0 && ((flags & STORED_PARTIAL) == 0 || s->part_suffices);
}

struct fetch *fetch_begin(const struct fetch_settings *s)
{
    struct fetch *f = fetch_take(s->worker);
    if (f == NULL || !take_upload(f, s) || !fetch_copy_request(f, s)) {
        if (f != NULL) upload_unref(&f->upload);
        free(f);
        flight_fail(cache_flights(s->worker->weir->cache), s->flight,
                    (struct flight_failure){ 503, "out-of-memory", 0 });
        purge_fetch_drop(s->worker->weir->purges, s->flight->fetch_seq);
        return NULL;
    }
    f->refs = 1; /* its own, until it is over */
    f->attempts[0].fetch = f->attempts[1].fetch = f;
    f->attempt = &f->attempts[0];
    f->worker = s->worker;
    f->lease = site_lease_ref(s->lease);
    f->site = f->lease->site;
    f->route = s->route;
    f->flight = flight_ref(s->flight);
    f->stored_seq = s->flight->fetch_seq;
    f->may_store = s->may_store;
    f->shared = s->shared;
    f->drop_conditions = s->drop_conditions;
    f->in_background = s->in_background;
    f->listener = s->listener;
    f->stored = s->stored != NULL ? object_ref(s->stored) : NULL;
    f->vary = s->vary != NULL ? object_ref((struct object *)(uintptr_t)s->vary) : NULL;
    f->validating = may_validate(s);
    f->upgrade = s->upgrade;
    f->resume_task.run = resume_run;
    f->purge_task.run = fetch_purge_run;
    f->publish_task.run = fetch_publish_run;
    f->begun_us = clock_monotonic_us();
    fetch_plan_completion(f);
    f->worker->fetches++;
    if (f->in_background) stats_add(&f->worker->counters.refreshes, 1);
    if (forward(f)) return f;
    fetch_refuse(f, f->refusal);
    return NULL;
}

void fetch_forget_listener(struct fetch *f)
{
    f->listener = NULL;
    if (f->connection != NULL) duplex_close(f->connection);
    f->connection = NULL;
    /* What will be stored, or others wait for, goes on; anything else has lost its only reader. An unsafe request is seen
     * through to its head: the origin may have acted on it, and what it invalidates must be known. */
    bool wanted = f->storing || flight_waiters(f->flight) > 0 || f->in_background ||
                  (!f->has_response && (f->may_store || !method_is_safe(f->request.method)));
    if (!wanted && !f->ended) fetch_cancel(f);
    if (!wanted && f->waiting) fetch_stop_waiting(f, "cancelled");
}

bool fetch_gives_way(struct fetch *f)
{
    if (f->ended || f->storing || f->waiting || f->in_background || flight_waiters(f->flight) > 1) return false;
    return fetch_gate_gives_way(f) || (f->attempt->transfer != NULL && origin_gives_way(f->attempt->transfer));
}

struct duplex *fetch_take_connection(struct fetch *f)
{
    struct duplex *d = f->connection;
    f->connection = NULL;
    return d;
}

bool fetch_answers_conditions(const struct fetch *f)
{
    return f->drop_conditions || f->validating;
}

struct field_section fetch_personal(const struct fetch *f)
{
    return (struct field_section){ f->personal, f->personal_count };
}

const struct fetch_response *fetch_response(const struct fetch *f)
{
    return f->has_response ? &f->response : NULL;
}

/* ---- what the origin says */

static void on_interim(void *arg, int status, struct field_section fields)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    if (a->lost || fetch_is_racing(f)) return; /* the other one's response may be the one that is taken */
    f->interim_sent = true;
    if (f->listener != NULL) f->listener->interim(f->listener, status, fields);
}

/* The part that was asked for, or something else that no longer fits what is stored. */
static void on_missing_part(struct fetch *f, const struct response_head *head, int64_t content_length)
{
    f->anew = head->status == 416 || !fetch_complete_head(f, head, content_length);
    if (f->anew)
        body_unref(&f->response.body);
    else
        fetch_publish(f);
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    if (a->lost || !fetch_head_wins(a, head->status)) return;
    if (fetch_goes_elsewhere(f, head->status)) {
        origin_cancel(a->transfer);
        return;
    }
    f->times.request_time_s = a->request_time_s;
    f->times.response_time_s = fetch_now_s(f);
    if (f->completing && (head->status == 206 || head->status == 416)) {
        on_missing_part(f, head, content_length);
        return;
    }
    f->completing = false;
    bool no_content = f->request.method == METHOD_HEAD || head->status == 204 || head->status == 304;
    if (!fetch_copy_response(f, head)) {
        origin_cancel(a->transfer);
        return;
    }
    if (f->validating && head->status == 304) return; /* decided when it has ended */
    fetch_decide_storing(f, head, content_length);
    if (!fetch_begin_body(f, no_content && f->request.method != METHOD_HEAD ? 0 : content_length)) {
        origin_cancel(a->transfer);
        return;
    }
    if (head->status == 304) f->response.content_length = content_length; /* of the 200 it stands for: RFC 9110 §8.6 */
    if (f->request.method == METHOD_HEAD) fetch_confirm(f, head);
    if (!fetch_invalidate(f)) fetch_publish_soon(f);
}

static bool on_switched(void *arg, const struct response_head *head, struct duplex *server)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    bool wanted = !a->lost && fetch_head_wins(a, head->status) && f->listener != NULL;
    f->times.request_time_s = a->request_time_s;
    f->times.response_time_s = fetch_now_s(f);
    if (wanted && fetch_copy_response(f, head)) {
        f->connection = server;
        return true;
    }
    duplex_close(server);
    return false;
}

/* Somebody reads the response or is about to. Of a flight that has parted only the exchange that began it can. */
static bool is_read(const struct fetch *f)
{
    bool parted = atomic_load_explicit(&f->flight->state, memory_order_relaxed) == FLIGHT_ALONE;
    return f->listener != NULL || (!parted && flight_waiters(f->flight) > 0);
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    if (a->lost) return;
    stats_add(&f->worker->counters.bytes_fetched, len);
    if (f->response.body == NULL) return; /* content of a 304: none of it is used */
    if (!fetch_rest_fits(f, len)) {
        origin_cancel(a->transfer);
        return;
    }
    switch (body_append(f->response.body, at, len)) {
    case BODY_GO_ON: break;
    case BODY_PAUSE:
        if (body_is_storing(f->response.body) || is_read(f)) /* somebody will make room */
            pause_content(f, a->transfer);
        else
            origin_cancel(a->transfer);
        break;
    case BODY_NO_MEMORY: origin_cancel(a->transfer); break;
    }
    if (f->storing && body_filled(f->response.body) > fetch_content_limit(f)) fetch_is_too_large(f);
    if (f->has_response && !f->storing && !is_read(f)) origin_cancel(a->transfer);
}

static void *content_room(void *arg, size_t *cap)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    return !a->lost && f->response.body != NULL ? body_room(f->response.body, cap) : NULL;
}

/* ---- the end */

static struct flight_failure failure_of(enum origin_result result)
{
    int status = result == ORIGIN_TIMED_OUT ? 504 : result == ORIGIN_QUEUE_FULL ? 503 : 502;
    return (struct flight_failure){ status, origin_result_name(result), 0 };
}

static void end_body(struct fetch *f, bool complete)
{
    if (complete && f->completing) complete = fetch_rest_completes(f);
    if (complete) {
        body_complete(f->response.body);
    } else {
        stats_add(&f->worker->counters.fetch_failures, 1);
        body_break(f->response.body);
    }
    if (f->publish_waits) return;
    if (!f->has_response) fetch_publish(f);
    fetch_conclude(f);
}

/* What came does not fit what is stored: ask once more, without validators and for the whole. */
static bool forward_anew(struct fetch *f)
{
    f->anew = f->validating = f->completing = false;
    f->drop_conditions = true;
    if (f->upload != NULL) upload_rewind(f->upload);
    return forward(f);
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct fetch_attempt *a = arg;
    struct fetch *f = a->fetch;
    (void)why;
    a->transfer = NULL;
    fetch_leave_server(a, result);
    if (!fetch_attempt_was_last(a, result)) return;
    if (fetch_tries_again(f, result) && ask(f)) return; /* under way again */
    bool complete = result == ORIGIN_COMPLETE;
    bool not_modified = f->validating && f->response.status == 304 && f->response.body == NULL;
    if (complete && not_modified) f->anew = !fetch_freshen(f);
    if (complete && f->anew && forward_anew(f)) return; /* under way again */
    loop_timer_stop(f->worker->loop, &f->pause_timer);
    f->ended = true;
    fetch_leave_gate(f);
    end_upload(f);
    if (f->connection != NULL) {
        fetch_publish(f);
        fetch_conclude(f);
    } else if (f->response.body != NULL) {
        end_body(f, complete);
    } else if (!(complete && not_modified && !f->anew)) {
        struct flight_failure failure = failure_of(result);
        fetch_fail(f, failure.status, failure.detail);
    }
    fetch_unref(&f);
}

static const struct origin_handler origin_handler = {
    .interim = on_interim,
    .head = on_head,
    .content = on_content,
    .read_content = read_upload,
    .end = on_end,
    .room = content_room,
    .switched = on_switched,
};
