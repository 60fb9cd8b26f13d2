/* Which of the origin's servers a fetch asks, and whether it asks another one when that fails. */
#include "proxy/fetch_internal.h"

#include <xxhash.h>

static struct origin_state *state_of(const struct fetch *f)
{
    return f->route->origin->state;
}

static int64_t now_of(const struct fetch *f)
{
    return loop_now_ms(f->worker->loop);
}

static uint64_t balance_hash(const struct fetch *f)
{
    if (f->route->origin->balance != BALANCE_HASH) return 0;
    if (f->key.text.len > 0) return f->key.hash[0];
    return XXH3_64bits(f->request.path_query.at, f->request.path_query.len); /* passed, by the same servers */
}

bool fetch_choose_server(struct fetch *f)
{
    struct server_pick pick = origin_state_pick(state_of(f), &f->tried, balance_hash(f), now_of(f));
    if (pick.server == BALANCE_NONE) {
        atomic_fetch_add_explicit(&state_of(f)->all_down, 1, memory_order_relaxed);
        f->retry_after_s = origin_state_retry_after_s(state_of(f), now_of(f));
        return false;
    }
    f->attempt->pick = pick;
    f->tries++;
    return true;
}

const struct origin_server_settings *fetch_server(const struct fetch_attempt *a)
{
    return &a->fetch->route->origin->servers[a->pick.server];
}

int fetch_server_place(const struct fetch *f)
{
    return f->attempt->pick.server;
}

static bool is_overloaded(int status)
{
    return status == 502 || status == 503 || status == 504;
}

static enum breaker_result result_of(const struct fetch_attempt *a, enum origin_result result)
{
    bool bad_status = is_overloaded(a->status) && a->fetch->route->origin->breaker.on_5xx;
    switch (result) {
    case ORIGIN_UNREACHABLE:
    case ORIGIN_TLS:
    case ORIGIN_CLOSED:
    case ORIGIN_BAD_RESPONSE:
    case ORIGIN_TIMED_OUT:
    case ORIGIN_CUT: return BREAKER_FAILURE;
    case ORIGIN_COMPLETE: return bad_status ? BREAKER_FAILURE : BREAKER_SUCCESS;
    case ORIGIN_QUEUE_FULL:
    case ORIGIN_CANCELLED: break; /* by us; what the head said counts all the same */
    }
    if (a->status == 0) return BREAKER_NEITHER;
    return bad_status ? BREAKER_FAILURE : BREAKER_SUCCESS;
}

void fetch_leave_server(struct fetch_attempt *a, enum origin_result result)
{
    struct fetch *f = a->fetch;
    origin_state_report(state_of(f), a->pick, result_of(a, result), now_of(f));
    if (result != ORIGIN_COMPLETE || is_overloaded(a->status)) servers_tried_add(&f->tried, a->pick.server);
}

/* ---- asking another one */

static bool has_idempotency_key(const struct fetch *f)
{
    for (size_t i = 0; i < f->request.fields.count; i++)
        if (view_equal_nocase(f->request.fields.lines[i].name, VIEW("Idempotency-Key"))) return true;
    return false;
}

/* A server that failed may have acted on the request all the same, so asking twice must do no harm; and what the client
 * has heard already cannot be taken back. */
static bool is_repeatable(const struct fetch *f)
{
    if (f->interim_sent || f->has_response) return false;
    return method_is_safe(f->request.method) ||
           (f->request.method == METHOD_POST && f->route->retry_post && has_idempotency_key(f));
}

static struct servers_tried tried_and_asked(const struct fetch *f)
{
    struct servers_tried tried = f->tried;
    servers_tried_add(&tried, f->attempt->pick.server);
    return tried;
}

static bool may_ask_another(const struct fetch *f, const struct servers_tried *not_those)
{
    const struct origin_settings *o = f->route->origin;
    return o->server_count > 1 && f->tries <= (unsigned)o->retries.attempts && is_repeatable(f) &&
           origin_state_has_other(state_of(f), not_those, now_of(f));
}

static bool may_try_again(struct fetch *f)
{
    struct servers_tried tried = tried_and_asked(f);
    return may_ask_another(f, &tried) && (f->upload == NULL || upload_may_rewind(f->upload)) &&
           origin_state_may_retry(state_of(f), now_of(f));
}

static bool was_no_answer(enum origin_result result)
{
    return result == ORIGIN_UNREACHABLE || result == ORIGIN_TLS || result == ORIGIN_CLOSED ||
           result == ORIGIN_BAD_RESPONSE || result == ORIGIN_TIMED_OUT;
}

bool fetch_tries_again(struct fetch *f, enum origin_result result)
{
    bool decided = f->elsewhere;
    f->elsewhere = false;
    if (!decided && (!was_no_answer(result) || f->attempt->status != 0 || !may_try_again(f))) return false;
    if (!fetch_choose_server(f)) return false;
    if (f->upload != NULL) upload_rewind(f->upload);
    stats_add(&f->worker->counters.retries, 1);
    return true;
}

bool fetch_goes_elsewhere(struct fetch *f, int status)
{
    f->elsewhere = is_overloaded(status) && f->route->origin->retries.on_5xx && may_try_again(f);
    return f->elsewhere;
}

/* ---- asking two at once */

bool fetch_choose_hedge(struct fetch *f, struct fetch_attempt *hedge)
{
    const struct origin_settings *o = f->route->origin;
    struct servers_tried tried = tried_and_asked(f);
    for (size_t i = 0; i < o->server_count; i++)
        if (o->servers[i].backup && !fetch_server(f->attempt)->backup) servers_tried_add(&tried, (int)i);
    if (!may_ask_another(f, &tried) || !origin_state_may_hedge(state_of(f), now_of(f))) return false;
    hedge->pick = origin_state_pick(state_of(f), &tried, balance_hash(f), now_of(f));
    if (hedge->pick.server == BALANCE_NONE) return false;
    f->tries++;
    return true;
}
