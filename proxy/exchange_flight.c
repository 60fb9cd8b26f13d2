/* Forwarding: alone or together with others that ask for the same, and what the fetch brings: EXCHANGE_FLIGHT. */
#include "proxy/exchange_internal.h"

#include "cache/reuse.h"
#include "proxy/forward.h"

void exchange_leave_flight(struct exchange *x)
{
    if (x->flight != NULL) flight_leave(cache_flights(exchange_cache(x)), &x->flight, &x->waiter);
    if (x->fetch != NULL) {
        fetch_forget_listener(x->fetch);
        fetch_unref(&x->fetch);
    }
}

/* ---- joining */

/* A request never joins a fetch that began before a purge which may match it. */
static bool may_join(void *arg, const struct flight *f)
{
    struct exchange *x = arg;
    if (f->fetch_seq < purge_current_seq(exchange_purges(x))) {
        struct view uri = key_uri(&x->q.key);
        struct purge_subject subject = {
            .uri = uri, .authority = purge_authority_of(uri), .under_way = true, .fetch_seq = f->fetch_seq
        };
        if (f->object != NULL) {
            subject = object_purge_subject(f->object);
            subject.under_way = true;
        }
        struct purge_verdict v = purge_check(exchange_purges(x), &subject);
        if (v.hard || v.soft) return false;
    }
    if (f->object == NULL) return true;
    const struct stored_head *s = &object_head(f->object)->stored;
    struct lifetime l = freshness_lifetime(s, &x->route->policy, x->q.key.hash[0]);
    return current_age_s(s, exchange_now_s(x)) < l.lifetime_s;
}

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

void exchange_fly_alone(struct exchange *x, bool drop_conditions)
{
    uint64_t seq = purge_fetch_begin(exchange_purges(x));
    x->flight = flight_private(&x->q.id, seq);
    if (x->flight == NULL || !exchange_own_texts(x, 0)) {
        purge_fetch_drop(exchange_purges(x), seq);
        flight_unref(&x->flight);
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    exchange_wait_in(x, EXCHANGE_FLIGHT);
    flight_wait(cache_flights(exchange_cache(x)), x->flight, &x->waiter);
    begin_fetch(x, false, drop_conditions);
    if (x->fetch == NULL) loop_post(x->worker->loop, &x->task);
}

/* @return true when this exchange leads */
static bool join(struct exchange *x)
{
    bool leading = false;
    uint64_t seq = purge_fetch_begin(exchange_purges(x));
    x->flight = flight_join(cache_flights(exchange_cache(x)), &x->q.id, x->q.key.text, x->q.variant.text, seq, may_join,
                            x, &x->waiter, &leading);
    if (!leading) purge_fetch_drop(exchange_purges(x), seq); /* this one fetches nothing */
    return leading;
}

/* Between the look-up and the join somebody's fetch may have landed: look once more before asking the origin. */
static bool landed_meanwhile(struct exchange *x)
{
    struct cache_query again = {
        .request = x->request, .policy = x->q.policy, .key = x->q.key, .text = x->worker->variant_text
    };
    enum cache_answer answer = cache_find_in_memory(exchange_cache(x), &again);
    bool news = x->arrivals != cache_store_arrivals(exchange_cache(x), &x->q.key) ||
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
    exchange_leave_flight(x);
    if (over) {
        answer_problem(x, 502, "origin-truncated");
        return;
    }
    x->outcome = (struct outcome){ .hit = false };
    x->alone = true;
    look_again(x);
    loop_post(x->worker->loop, &x->task);
}

void exchange_fly_together(struct exchange *x)
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
        purge_fetch_drop(exchange_purges(x), x->flight->fetch_seq);
        x->flight->again = true;
        flight_part(cache_flights(exchange_cache(x)), x->flight);
        flight_leave(cache_flights(exchange_cache(x)), &x->flight, &x->waiter);
        look_again(x);
        return;
    }
    exchange_wait_in(x, EXCHANGE_FLIGHT);
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

void exchange_refresh_behind(struct exchange *x, struct object *stored)
{
    struct flight_waiter nobody = { .wake = nobody_woke };
    bool leading = false;
    uint64_t seq = purge_fetch_begin(exchange_purges(x));
    struct flight *f = flight_join(cache_flights(exchange_cache(x)), &x->q.id, x->q.key.text, x->q.variant.text, seq,
                                   may_join, x, &nobody, &leading);
    if (f == NULL || !leading) purge_fetch_drop(exchange_purges(x), seq); /* somebody else refreshes it */
    if (f == NULL) return;
    flight_ref(f);
    struct flight *mine = f;
    flight_leave(cache_flights(exchange_cache(x)), &f, &nobody);
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

/* ---- what it brought */

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
    exchange_set_timer(x, rest_due, EXCHANGE_REST_MS);
    return true;
}

static bool stale_may_stand_in(struct exchange *x, int status)
{
    int64_t soft_age_s = 0;
    if (x->q.object == NULL || !exchange_is_covered(x, x->q.object)) return false;
    if (!exchange_survives_purges(x, x->q.object, &soft_age_s)) return false;
    if (soft_age_s < 0) soft_age_s = 0; /* the clock went back */
    if (!x->purged_soft) soft_age_s = -1;
    return reuse_stale_if_error(x->request, &object_head(x->q.object)->stored, &x->route->policy, x->q.key.hash[0],
                                status, soft_age_s, exchange_now_s(x));
}

static void serve_stale(struct exchange *x, int status, const char *detail)
{
    stats_add(&x->worker->counters.stale_on_error, 1);
    x->outcome.fwd_status = status;
    x->outcome.detail = detail;
    x->decision.age_s = current_age_s(&object_head(x->q.object)->stored, exchange_now_s(x));
    exchange_set_ttl(x);
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
        exchange_leave_flight(x);
        object_unref(&x->q.object); /* replaced at the origin: to ask about it once more would bring the whole again */
        exchange_fly_alone(x, false);
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
            exchange_leave_flight(x);
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
    exchange_set_ttl(x);
    answer_from_object(x, o);
}

void exchange_after_flight(struct exchange *x)
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
            exchange_leave_flight(x);
            look_again(x);
        }
        break;
    }
}
