#include "proxy/exchange_internal.h"

#include "cache/reuse.h"
#include "proxy/forward.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int64_t exchange_now_s(const struct exchange *x)
{
    return clock_now_s(&x->worker->weir->clock);
}

static struct cache *cache_of(const struct exchange *x)
{
    return x->worker->weir->cache;
}

static struct purges *purges_of(const struct exchange *x)
{
    return x->worker->weir->purges;
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

static void leave_flight(struct exchange *x)
{
    if (x->flight != NULL) flight_leave(cache_flights(cache_of(x)), &x->flight, &x->waiter);
    if (x->fetch != NULL) {
        fetch_forget_listener(x->fetch);
        fetch_unref(&x->fetch);
    }
}

/* What other threads (and the flight) have to say ends here, in the worker's loop. */
static void exchange_step(struct exchange *x);
static void end_lookup(struct exchange *x);
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
    if (was == EXCHANGE_STORE) end_lookup(x);
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

static void set_timer(struct exchange *x, void (*due)(struct loop_timer *t), int64_t from_now_ms)
{
    x->timer.due = due;
    loop_timer_set(x->worker->loop, &x->timer, loop_now_ms(x->worker->loop) + from_now_ms);
}

static void watch_due(struct loop_timer *t)
{
    struct exchange *x = HOLDER_OF(t, struct exchange, timer);
    front_watch_client(x->stream);
}

/* Whether the client is still there is asked only when the wait is long: asking costs more than a short one. */
static void wait_in(struct exchange *x, enum exchange_state state)
{
    x->state = state;
    if (x->timer.due == NULL) set_timer(x, watch_due, EXCHANGE_WATCH_AFTER_MS);
}

static void rest_due(struct loop_timer *t)
{
    struct exchange *x = HOLDER_OF(t, struct exchange, timer);
    x->hurried = true;
    front_watch_client(x->stream); /* should it have to wait again */
    exchange_step(x);
}

/* The head is here and the rest may follow at once. @return true: it is waited for */
static bool awaits_rest(struct exchange *x, struct body *body, int64_t length)
{
    if (x->hurried || x->request->method == METHOD_HEAD || !answer_awaits_rest(x, body, length)) return false;
    set_timer(x, rest_due, EXCHANGE_REST_MS);
    return true;
}

/* ---- purges against what was found */

/* @return false: purged hard. One comparison, unless a purge has happened since it was last checked. */
static bool survives_purges(struct exchange *x, struct object *o, int64_t *soft_age_s)
{
    uint64_t seq = purge_current_seq(purges_of(x));
    x->purged_soft = false;
    if (atomic_load_explicit(&o->checked_seq, memory_order_relaxed) >= seq) return true;
    struct purge_subject subject = object_purge_subject(o);
    struct purge_verdict v = purge_check(purges_of(x), &subject);
    if (v.hard) return false;
    x->purged_soft = v.soft;
    *soft_age_s = v.soft ? exchange_now_s(x) - v.soft_since_s : 0;
    if (!v.soft) atomic_store_explicit(&o->checked_seq, v.checked_seq, memory_order_relaxed);
    return true;
}

/* A request never joins a fetch that began before a purge which may match it. */
static bool may_join(void *arg, const struct flight *f)
{
    struct exchange *x = arg;
    if (f->fetch_seq < purge_current_seq(purges_of(x))) {
        struct view uri = key_uri(&x->q.key);
        struct purge_subject subject = {
            .uri = uri, .authority = purge_authority_of(uri), .under_way = true, .fetch_seq = f->fetch_seq
        };
        if (f->object != NULL) {
            subject = object_purge_subject(f->object);
            subject.under_way = true;
        }
        struct purge_verdict v = purge_check(purges_of(x), &subject);
        if (v.hard || v.soft) return false;
    }
    if (f->object == NULL) return true;
    const struct stored_head *s = &object_head(f->object)->stored;
    struct lifetime l = freshness_lifetime(s, &x->route->policy, x->q.key.hash[0]);
    return current_age_s(s, exchange_now_s(x)) < l.lifetime_s;
}

/* ---- fetching */

static struct fetch_settings fetch_for(struct exchange *x)
{
    return (struct fetch_settings){
        .worker = x->worker,
        .lease = x->lease,
        .route = x->route,
        .request = x->request,
        .client_ip = x->client_ip,
        .key = x->has_key ? &x->q.key : NULL,
        .flight = x->flight,
        .may_store = x->decision.may_store_answer,
        .vary = x->q.vary,
    };
}

static void interim(struct fetch_listener *l, int status, struct field_section fields)
{
    struct exchange *x = HOLDER_OF(l, struct exchange, listener);
    struct front_field lines[FRONT_FIELDS_MAX];
    char text[FRONT_REPLY_HEAD_MAX + FRONT_FIELDS_MAX * 2];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < fields.count && n < FRONT_FIELDS_MAX; i++) {
        const struct field *f = &fields.lines[i];
        if (!forward_response_field(fields, f, &x->route->policy)) continue;
        if (used + f->name.len + f->value.len + 2 > sizeof text) break;
        lines[n].name = memcpy(text + used, f->name.at, f->name.len);
        used += f->name.len;
        text[used++] = '\0';
        lines[n].value = f->value.len > 0 ? memcpy(text + used, f->value.at, f->value.len) : text + used;
        used += f->value.len;
        text[used++] = '\0';
        n++;
    }
    if (!x->ended && x->state == EXCHANGE_FLIGHT) front_interim(x->stream, status, lines, n);
}

static void begin_fetch(struct exchange *x, bool shared, bool drop_conditions)
{
    struct fetch_settings s = fetch_for(x);
    x->listener.interim = interim;
    s.listener = &x->listener;
    s.shared = shared;
    s.drop_conditions = drop_conditions;
    s.stored = x->q.object;
    s.part_suffices = x->decision.verdict == REUSE_VALIDATE; /* what does not cover the request is not validated */
    s.upload = x->upload;
    s.upgrade = x->upgrades;
    x->fetch = fetch_begin(&s);
    if (x->fetch != NULL) fetch_ref(x->fetch);
}

/* A flight of its own: nobody joins it. */
static void fly_alone(struct exchange *x, bool drop_conditions)
{
    uint64_t seq = purge_fetch_begin(purges_of(x));
    x->flight = flight_private(&x->q.id, seq);
    if (x->flight == NULL || !exchange_own_texts(x, 0)) {
        purge_fetch_drop(purges_of(x), seq);
        flight_unref(&x->flight);
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    wait_in(x, EXCHANGE_FLIGHT);
    flight_wait(cache_flights(cache_of(x)), x->flight, &x->waiter);
    begin_fetch(x, false, drop_conditions);
    if (x->fetch == NULL) loop_post(x->worker->loop, &x->task);
}

/* @return true when this exchange leads */
static bool join(struct exchange *x)
{
    bool leading = false;
    uint64_t seq = purge_fetch_begin(purges_of(x));
    x->flight = flight_join(cache_flights(cache_of(x)), &x->q.id, x->q.key.text, x->q.variant.text, seq, may_join, x,
                            &x->waiter, &leading);
    if (!leading) purge_fetch_drop(purges_of(x), seq); /* this one fetches nothing */
    return leading;
}

/* Between the look-up and the join somebody's fetch may have landed: look once more before asking the origin. */
static bool landed_meanwhile(struct exchange *x)
{
    struct cache_query again = {
        .request = x->request, .policy = x->q.policy, .key = x->q.key, .text = x->worker->variant_text
    };
    enum cache_answer answer = cache_find_in_memory(cache_of(x), &again);
    bool news = x->arrivals != cache_store_arrivals(cache_of(x), &x->q.key) ||
                (answer == CACHE_FOUND && again.object != x->q.object) ||
                (answer == CACHE_OTHER_VARIANT && x->q.vary == NULL && again.vary != NULL);
    cache_query_end(&again);
    return news;
}

static void look_again(struct exchange *x)
{
    cache_query_end(&x->q);
    x->q.variant = (struct variant){ 0 };
    x->lookups++;
    if (x->lookups >= EXCHANGE_LOOKUPS_MAX) x->alone = true;
    x->state = EXCHANGE_LOOKUP;
}

/* What it sent may have had its effect, and its content is gone. */
static bool can_be_asked_only_once(const struct exchange *x)
{
    return x->fetch != NULL && (!method_is_safe(x->request->method) || x->upload != NULL);
}

void exchange_start_over(struct exchange *x)
{
    bool over = x->lookups >= EXCHANGE_LOOKUPS_MAX || can_be_asked_only_once(x);
    leave_flight(x);
    if (over) {
        answer_problem(x, 502, "origin-truncated");
        return;
    }
    x->outcome = (struct outcome){ .hit = false };
    x->alone = true;
    look_again(x);
    loop_post(x->worker->loop, &x->task);
}

static void fly_together(struct exchange *x)
{
    if (!exchange_own_texts(x, 0)) {
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    bool leading = join(x);
    if (x->flight == NULL) {
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    if (leading && x->lookups + 1 < EXCHANGE_LOOKUPS_MAX && landed_meanwhile(x)) {
        /* Whoever joined in this instant looks again too. */
        purge_fetch_drop(purges_of(x), x->flight->fetch_seq);
        x->flight->again = true;
        flight_part(cache_flights(cache_of(x)), x->flight);
        flight_leave(cache_flights(cache_of(x)), &x->flight, &x->waiter);
        look_again(x);
        return;
    }
    wait_in(x, EXCHANGE_FLIGHT);
    x->late = !leading && atomic_load_explicit(&x->flight->state, memory_order_acquire) == FLIGHT_RESPONSE;
    if (leading) begin_fetch(x, true, true);
    bool news = atomic_load_explicit(&x->flight->state, memory_order_acquire) != FLIGHT_OPEN;
    if (news) loop_post(x->worker->loop, &x->task);
}

static void nobody_woke(struct flight_waiter *w)
{
    (void)w; /* it only joined, on the stack, to see whether it leads */
}

/* A refresh behind is weir's own request: it is a GET also where a HEAD was answered, and what the client asks of caches has
 * been heeded (only-if-cached would keep those before the origin from asking it). */
static struct request_head request_of_ours(const struct request_head *theirs, struct field *room)
{
    struct request_head ours = *theirs;
    size_t n = 0;
    for (size_t i = 0; i < theirs->fields.count; i++) {
        enum field_id id = theirs->fields.lines[i].id;
        if (id != FIELD_CACHE_CONTROL && id != FIELD_PRAGMA) room[n++] = theirs->fields.lines[i];
    }
    ours.fields = (struct field_section){ room, n };
    if (theirs->method == METHOD_HEAD) {
        ours.method = METHOD_GET;
        ours.method_name = VIEW("GET");
    }
    return ours;
}

/* Answer now, refresh behind: a fetch that nobody waits for (RFC 5861 §3). One at a time: it is a flight like others. */
static void refresh_behind(struct exchange *x, struct object *stored)
{
    struct flight_waiter nobody = { .wake = nobody_woke };
    bool leading = false;
    uint64_t seq = purge_fetch_begin(purges_of(x));
    struct flight *f = flight_join(cache_flights(cache_of(x)), &x->q.id, x->q.key.text, x->q.variant.text, seq,
                                   may_join, x, &nobody, &leading);
    if (f == NULL || !leading) purge_fetch_drop(purges_of(x), seq); /* somebody else refreshes it */
    if (f == NULL) return;
    flight_ref(f);
    struct flight *mine = f;
    flight_leave(cache_flights(cache_of(x)), &f, &nobody);
    if (leading) {
        struct field room[FRONT_FIELDS_MAX];
        struct request_head ours = request_of_ours(x->request, room);
        struct fetch_settings s = fetch_for(x);
        s.request = &ours;
        s.flight = mine;
        s.shared = s.in_background = s.drop_conditions = true;
        s.stored = stored;
        s.may_store = true;
        s.upload = x->upload; /* of a query: part of what is asked */
        struct fetch *fetch = fetch_begin(&s);
        (void)fetch; /* it holds itself; when it could not begin, the next request tries */
    }
    flight_unref(&mine);
}

/* ---- deciding */

static void set_ttl(struct exchange *x)
{
    x->outcome.has_ttl = true;
    x->outcome.ttl_s = x->decision.lifetime_s - x->decision.age_s;
}

static void refresh_early(struct exchange *x)
{
    const struct stored_head *s = &object_head(x->q.object)->stored;
    if (s->fetch_ms == 0 || !reuse_is_early(s, &x->decision, &x->route->policy, worker_random(x->worker))) return;
    x->decision.reason = REUSE_BECAUSE_EARLY;
    x->decision.refresh_behind = true;
}

static void serve_hit(struct exchange *x)
{
    struct counters *c = &x->worker->counters;
    if (x->decision.verdict == REUSE_FRESH) refresh_early(x);
    x->hit = x->outcome.hit = true;
    set_ttl(x);
    stats_add(&c->hits, 1);
    stats_add(x->from_store ? &c->hits_store : &c->hits_memory, 1);
    if (x->decision.verdict == REUSE_STALE) stats_add(&c->hits_stale, 1);
    if (x->decision.refresh_behind && exchange_own_texts(x, 0)) refresh_behind(x, x->q.object);
    answer_from_object(x, x->q.object);
}

static void go_to_origin(struct exchange *x)
{
    struct counters *c = &x->worker->counters;
    bool pass = x->decision.verdict == REUSE_PASS;
    x->outcome.fwd = fwd_reason_of(x->decision.reason);
    stats_add(pass ? &c->passes : &c->misses, 1);
    bool unshared = x->has_key && cache_is_unshared(cache_of(x), &x->q.key, exchange_now_s(x));
    bool collapsible = !pass && x->has_key && x->request->method != METHOD_HEAD && !x->alone && !unshared &&
                       x->decision.may_store_answer;
    if (collapsible)
        fly_together(x);
    else
        fly_alone(x, !pass && !unshared);
}

bool exchange_is_covered(const struct exchange *x, const struct object *o)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &object_head(o)->stored;
    if ((s->flags & STORED_PARTIAL) == 0) return true;
    return precondition_part_covers(x->request, s, record_section(object_record(o), room), object_content_length(o),
                                    exchange_now_s(x));
}

static void decide(struct exchange *x)
{
    static const enum found found_of[] = {
        [CACHE_FOUND] = FOUND_RESPONSE, [CACHE_OTHER_VARIANT] = FOUND_OTHER_VARIANT, [CACHE_NOTHING] = FOUND_NOTHING
    };
    struct reuse_inputs in = { .found = found_of[x->found], .key_hash = x->q.key.hash[0] };
    if (x->found == CACHE_FOUND) {
        if (survives_purges(x, x->q.object, &in.soft_age_s)) {
            in.stored = &object_head(x->q.object)->stored;
            in.range_satisfied = exchange_is_covered(x, x->q.object);
        } else {
            in.found = FOUND_PURGED;
            cache_remove(cache_of(x), x->q.object);
            object_unref(&x->q.object);
        }
    }
    in.purged_soft = x->purged_soft;
    x->decision = reuse_decide(x->request, &in, &x->route->policy, exchange_now_s(x));
    switch (x->decision.verdict) {
    case REUSE_FRESH:
    case REUSE_STALE: serve_hit(x); break;
    case REUSE_GATEWAY_TIMEOUT: answer_problem(x, 504, "only-if-cached"); break;
    case REUSE_VALIDATE:
    case REUSE_FORWARD:
    case REUSE_PASS: go_to_origin(x); break;
    }
}

/* ---- looking up */

static void find_stored(struct exchange *x)
{
    x->lookup_seq = purge_fetch_begin(purges_of(x));
    x->found = cache_find_stored(cache_of(x), &x->q);
}

/* What a look-up brought into memory was checked against every purge since it began, or leaves again. */
static void end_lookup(struct exchange *x)
{
    int64_t soft_age_s;
    bool usable = x->found != CACHE_FOUND || survives_purges(x, x->q.object, &soft_age_s);
    if (!purge_fetch_end(purges_of(x), x->lookup_seq)) usable = x->found != CACHE_FOUND;
    x->from_store = true;
    if (usable) return;
    cache_remove(cache_of(x), x->q.object);
    object_unref(&x->q.object);
    x->found = CACHE_NOTHING;
}

/* The job selects a variant by the request's fields, and may outlive the client and its request. */
static bool own_request(struct exchange *x)
{
    struct field_section fields = x->request->fields;
    if (x->job_fields != NULL) return true;
    char *at = malloc(field_section_bytes(fields) + 1);
    if (at == NULL) return false;
    x->job_fields = at;
    x->job_request =
        (struct request_head){ .method = x->request->method, .fields = field_section_copy(fields, 0, &at) };
    x->q.request = &x->job_request;
    return true;
}

static void store_job_run(struct store_job *job)
{
    struct exchange *x = HOLDER_OF(job, struct exchange, job);
    find_stored(x);
    loop_post(x->worker->loop, &x->job_task);
}

/* @return false: nobody can look for us */
static bool wait_for_store(struct exchange *x)
{
    if (!exchange_own_texts(x, VARIANT_TEXT_MAX) || !own_request(x)) return false;
    x->job.run = store_job_run;
    x->jobs++;
    if (store_submit(cache_store(cache_of(x)), &x->job)) {
        wait_in(x, EXCHANGE_STORE);
        return true;
    }
    x->jobs--;
    return false;
}

static void look_up(struct exchange *x)
{
    x->state = EXCHANGE_DECIDE;
    x->from_store = false;
    x->arrivals = cache_store_arrivals(cache_of(x), &x->q.key);
    x->found = cache_find_in_memory(cache_of(x), &x->q);
    if (x->found == CACHE_FOUND || cache_store(cache_of(x)) == NULL) return;
    x->lookup_seq = purge_fetch_begin(purges_of(x));
    x->found = cache_find_without_waiting(cache_of(x), &x->q);
    if (x->found == CACHE_WOULD_WAIT) {
        (void)!purge_fetch_end(purges_of(x), x->lookup_seq); /* nothing was found */
        if (wait_for_store(x)) return;
        find_stored(x);
    }
    if (x->found == CACHE_FOUND) heap_kept(&x->worker->heap, object_memory_bytes(x->q.object));
    end_lookup(x);
}

/* ---- after the flight */

static bool stale_may_stand_in(struct exchange *x, int status)
{
    if (x->q.object == NULL || !exchange_is_covered(x, x->q.object)) return false;
    return reuse_stale_if_error(x->request, &object_head(x->q.object)->stored, &x->route->policy, x->q.key.hash[0],
                                status, x->purged_soft, exchange_now_s(x));
}

static void serve_stale(struct exchange *x, int status, const char *detail)
{
    int64_t soft_age_s;
    if (!survives_purges(x, x->q.object, &soft_age_s)) {
        answer_problem(x, status != 0 ? status : 502, detail);
        return;
    }
    stats_add(&x->worker->counters.stale_on_error, 1);
    x->outcome.fwd_status = status;
    x->outcome.detail = detail;
    x->decision.age_s = current_age_s(&object_head(x->q.object)->stored, exchange_now_s(x));
    set_ttl(x);
    answer_from_object(x, x->q.object);
}

static bool is_server_error(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

static void after_failure(struct exchange *x)
{
    struct flight_failure failure = x->flight->failure;
    if (stale_may_stand_in(x, 0)) {
        serve_stale(x, 0, failure.detail);
        return;
    }
    stats_add(&x->worker->counters.errors, 1);
    x->retry_after_s = failure.retry_after_s;
    answer_problem(x, failure.status, failure.detail);
}

/* A response that broke before this client got a byte of it is no response. */
static bool broke_already(struct exchange *x, struct body *body)
{
    if (body == NULL || !body_is_broken(body)) return false;
    if (stale_may_stand_in(x, 0)) {
        serve_stale(x, 0, "origin-truncated");
    } else {
        stats_add(&x->worker->counters.errors, 1);
        answer_problem(x, 502, "origin-truncated");
    }
    return true;
}

/* Too large to be fetched whole for the sake of a part: ask for the part (design: range.fetch_whole_limit). */
static bool asks_for_part_of_large(const struct exchange *x, const struct fetch_response *r)
{
    return r->status == 200 && fetch_answers_conditions(x->fetch) && x->request->method == METHOD_GET &&
           r->content_length > x->route->policy.range_fetch_whole_limit_bytes &&
           field_first(x->request->fields, FIELD_RANGE) != NULL;
}

static void after_own_response(struct exchange *x)
{
    const struct fetch_response *r = fetch_response(x->fetch);
    x->outcome.fwd_status = x->flight->origin_status;
    if (r->status == 101) {
        answer_switched(x);
        return;
    }
    upgrade_end(x);
    if (asks_for_part_of_large(x, r)) {
        leave_flight(x);
        fly_alone(x, false);
        return;
    }
    if (is_server_error(r->status) && stale_may_stand_in(x, r->status)) {
        serve_stale(x, r->status, "stale-if-error");
        return;
    }
    if (awaits_rest(x, r->body, r->content_length) || broke_already(x, r->body)) return;
    x->outcome.stored = r->stored;
    bool might_be_stored = x->decision.verdict != REUSE_PASS && x->request->method != METHOD_HEAD;
    if (!r->stored && r->storable.verdict == STORABLE_NO && might_be_stored)
        x->outcome.detail = storable_reason_name(r->storable.reason);
    answer_from_fetch(x);
}

/* Does the flight's response answer this request too: same variant, and reusable by the rules of RFC 9111 §4? */
static bool is_for_me(struct exchange *x, struct object *o)
{
    char names_text[VARY_NAMES_MAX];
    struct field room[RECORD_FIELDS_MAX];
    struct view names;
    struct variant mine = { 0 };
    struct field_section fields = record_section(object_record(o), room);
    enum vary_kind kind = vary_names(fields, &x->route->policy, names_text, sizeof names_text, &names);
    if (kind == VARY_ANY) return false;
    if (kind == VARY_FIELDS && !variant_from_request(names, x->request->fields, &x->route->policy,
                                                     x->worker->variant_text, VARIANT_TEXT_MAX, &mine))
        return false;
    return object_is_for(o, x->q.key.text, mine.text);
}

/* Who came while the fetch had no answer yet was collapsed into it; who came later found a response in the cache, although
 * it may still fill. */
static void note_shared(struct exchange *x)
{
    struct counters *c = &x->worker->counters;
    stats_add(x->late ? &c->hits : &c->collapsed, 1);
    if (x->late) {
        stats_add(&c->hits_memory, 1);
        x->outcome = (struct outcome){ .hit = true };
        x->hit = true;
    } else {
        x->outcome.collapsed = true;
    }
}

static void after_shared_response(struct exchange *x)
{
    struct object *o = x->flight->object;
    bool mine = x->fetch != NULL; /* this request caused the validation that freshened it */
    x->outcome.fwd_status = x->flight->origin_status;
    if (!mine) {
        struct reuse_inputs in = { .found = FOUND_RESPONSE,
                                   .stored = &object_head(o)->stored,
                                   .key_hash = x->q.key.hash[0],
                                   .range_satisfied = (object_head(o)->stored.flags & STORED_PARTIAL) == 0 };
        struct reuse_decision d = reuse_decide(x->request, &in, &x->route->policy, exchange_now_s(x));
        bool usable = x->flight->stored && (d.verdict == REUSE_FRESH || d.verdict == REUSE_STALE) && is_for_me(x, o);
        if (!usable) {
            leave_flight(x);
            look_again(x);
            return;
        }
    }
    if (awaits_rest(x, o->body, object_content_length(o))) return;
    if (!mine) note_shared(x);
    if (broke_already(x, o->body)) return;
    x->outcome.stored = mine && x->flight->stored;
    const struct stored_head *s = &object_head(o)->stored;
    x->decision.age_s = current_age_s(s, exchange_now_s(x));
    x->decision.lifetime_s = freshness_lifetime(s, &x->route->policy, x->q.key.hash[0]).lifetime_s;
    set_ttl(x);
    answer_from_object(x, o);
}

static void after_flight(struct exchange *x)
{
    switch ((enum flight_state)atomic_load_explicit(&x->flight->state, memory_order_acquire)) {
    case FLIGHT_OPEN: break; /* an early wake */
    case FLIGHT_FAILED: after_failure(x); break;
    case FLIGHT_ALONE:
    case FLIGHT_RESPONSE:
        if (x->fetch != NULL && fetch_response(x->fetch) != NULL) {
            after_own_response(x);
        } else if (x->flight->object != NULL) {
            after_shared_response(x);
        } else {
            if (!x->flight->again) x->alone = true; /* in parallel with the others, not one by one */
            leave_flight(x);
            look_again(x);
        }
        break;
    }
}

/* ---- the states */

static void exchange_step(struct exchange *x)
{
    for (;;) {
        switch (x->state) {
        case EXCHANGE_LOOKUP: look_up(x); break;
        case EXCHANGE_DECIDE: decide(x); break;
        case EXCHANGE_FLIGHT: after_flight(x); break;
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
    go_to_origin(x);
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
        wait_in(x, EXCHANGE_PASSWORD);
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
    leave_flight(x);
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
