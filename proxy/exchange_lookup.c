/* What is stored for the request, and what is to be done with it: EXCHANGE_LOOKUP, EXCHANGE_STORE, EXCHANGE_DECIDE. */
#include "proxy/exchange_internal.h"

#include "cache/reuse.h"

#include <stdlib.h>

bool exchange_survives_purges(struct exchange *x, struct object *o, int64_t *soft_age_s)
{
    uint64_t seq = purge_current_seq(exchange_purges(x));
    x->purged_soft = false;
    if (atomic_load_explicit(&o->checked_seq, memory_order_relaxed) >= seq) return true;
    struct purge_subject subject = object_purge_subject(o);
    struct purge_verdict v = purge_check(exchange_purges(x), &subject);
    if (v.hard) return false;
    x->purged_soft = v.soft;
    *soft_age_s = v.soft ? exchange_now_s(x) - v.soft_since_s : 0;
    if (!v.soft) atomic_store_explicit(&o->checked_seq, v.checked_seq, memory_order_relaxed);
    return true;
}

/* ---- looking up */

/* What a look-up brought into memory was checked against every purge since it began, or leaves again. */
void exchange_end_lookup(struct exchange *x)
{
    int64_t soft_age_s;
    bool usable = x->found != CACHE_FOUND || exchange_survives_purges(x, x->q.object, &soft_age_s);
    if (!purge_fetch_end(exchange_purges(x), x->lookup_seq)) usable = x->found != CACHE_FOUND;
    x->from_store = true;
    if (usable) return;
    cache_remove(exchange_cache(x), x->q.object);
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
    x->lookup_seq = purge_fetch_begin(exchange_purges(x));
    x->found = cache_find_stored(exchange_cache(x), &x->q);
    loop_post(x->worker->loop, &x->job_task);
}

/* @return false: nobody can look for us */
static bool wait_for_store(struct exchange *x)
{
    if (!exchange_own_texts(x, VARIANT_TEXT_MAX) || !own_request(x)) return false;
    x->job.run = store_job_run;
    x->jobs++;
    if (store_submit(cache_store(exchange_cache(x)), &x->job)) {
        exchange_wait_in(x, EXCHANGE_STORE);
        return true;
    }
    x->jobs--;
    return false;
}

void exchange_look_up(struct exchange *x)
{
    x->state = EXCHANGE_DECIDE;
    x->from_store = false;
    x->arrivals = cache_store_arrivals(exchange_cache(x), &x->q.key);
    x->found = cache_find_in_memory(exchange_cache(x), &x->q);
    if (x->found == CACHE_FOUND || cache_store(exchange_cache(x)) == NULL) return;
    x->lookup_seq = purge_fetch_begin(exchange_purges(x));
    x->found = cache_find_without_waiting(exchange_cache(x), &x->q);
    if (x->found == CACHE_WOULD_WAIT) {
        purge_fetch_drop(exchange_purges(x), x->lookup_seq);
        if (wait_for_store(x)) return;
        x->found = x->q.vary != NULL ? CACHE_OTHER_VARIANT : CACHE_NOTHING; /* the origin is asked instead */
        return;
    }
    if (x->found == CACHE_FOUND) heap_kept(&x->worker->heap, object_memory_bytes(x->q.object));
    exchange_end_lookup(x);
}

/* ---- deciding */

void exchange_set_ttl(struct exchange *x)
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
    exchange_set_ttl(x);
    stats_add(&c->hits, 1);
    stats_add(x->from_store ? &c->hits_store : &c->hits_memory, 1);
    if (x->decision.verdict == REUSE_STALE) stats_add(&c->hits_stale, 1);
    if (x->decision.refresh_behind && exchange_own_texts(x, 0)) exchange_refresh_behind(x, x->q.object);
    answer_from_object(x, x->q.object);
}

void exchange_go_to_origin(struct exchange *x)
{
    struct counters *c = &x->worker->counters;
    bool pass = x->decision.verdict == REUSE_PASS;
    x->outcome.fwd = fwd_reason_of(x->decision.reason);
    stats_add(pass ? &c->passes : &c->misses, 1);
    bool unshared = x->has_key && cache_is_unshared(exchange_cache(x), &x->q.key, exchange_now_s(x));
    bool collapsible = !pass && x->has_key && x->request->method != METHOD_HEAD && !x->alone && !unshared &&
                       x->decision.may_store_answer;
    if (collapsible)
        exchange_fly_together(x);
    else
        exchange_fly_alone(x, !pass && !unshared);
}

bool exchange_is_covered(const struct exchange *x, const struct object *o)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &object_head(o)->stored;
    if ((s->flags & STORED_PARTIAL) == 0) return true;
    return precondition_part_covers(x->request, s, record_section(object_record(o), room), object_content_length(o),
                                    exchange_now_s(x));
}

void exchange_decide(struct exchange *x)
{
    static const enum found found_of[] = {
        [CACHE_FOUND] = FOUND_RESPONSE, [CACHE_OTHER_VARIANT] = FOUND_OTHER_VARIANT, [CACHE_NOTHING] = FOUND_NOTHING
    };
    struct reuse_inputs in = { .found = found_of[x->found], .key_hash = x->q.key.hash[0] };
    if (x->found == CACHE_FOUND) {
        if (exchange_survives_purges(x, x->q.object, &in.soft_age_s)) {
            in.stored = &object_head(x->q.object)->stored;
            in.range_satisfied = exchange_is_covered(x, x->q.object);
        } else {
            in.found = FOUND_PURGED;
            cache_remove(exchange_cache(x), x->q.object);
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
    case REUSE_PASS: exchange_go_to_origin(x); break;
    }
}
