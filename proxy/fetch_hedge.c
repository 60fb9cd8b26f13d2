/* Hedged requests (`retries.hedge`; Dean and Barroso, The Tail at Scale, 2013): a request that has waited for longer than 95 of
 * 100 on its route is sent to a second server as well. The first head that is not a server's failure is taken; the other
 * attempt is cancelled, which says nothing of its server.                                                                */
#include "proxy/fetch_internal.h"
#include "proxy/first_byte.h"

/* How long the first of two takes is known only from below when it is cancelled: by then it has waited longer than the
 * quantile, so that stays right. The second ones are not noted, or the route would seem faster than its servers are. */
static void note_time(const struct fetch_attempt *a)
{
    struct first_byte_times *times = a->fetch->route->first_bytes;
    if (times != NULL && a->asked_us > 0 && !a->is_hedge) first_byte_note(times, clock_monotonic_us() - a->asked_us);
}

static struct fetch_attempt *other_of(struct fetch_attempt *a)
{
    return &a->fetch->attempts[a == &a->fetch->attempts[0]];
}

static bool is_under_way(const struct fetch_attempt *a)
{
    return a->transfer != NULL && !a->lost;
}

bool fetch_is_racing(const struct fetch *f)
{
    return is_under_way(&f->attempts[0]) && is_under_way(&f->attempts[1]);
}

static void lose(struct fetch_attempt *a)
{
    a->lost = true;
    origin_cancel(a->transfer);
}

/* ---- beginning */

/* What asks for another protocol would have two servers begin to speak it. */
static bool may_be_hedged(const struct fetch *f)
{
    return !f->upgrade && f->route->first_bytes != NULL && method_is_safe(f->request.method) && f->upload == NULL;
}

/* @return false: there is no second request */
static bool ask_second(struct fetch *f, struct fetch_attempt *hedge)
{
    if (!fetch_choose_hedge(f, hedge)) return false;
    if (fetch_ask(hedge)) return true;
    fetch_leave_server(hedge, ORIGIN_CANCELLED);
    return false;
}

static void ask_beside(struct loop_timer *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, hedge_timer);
    struct fetch_attempt *hedge = other_of(f->attempt);
    bool waits = is_under_way(f->attempt) && f->attempt->status == 0;
    if (!waits || f->worker->breaking_off || !fetch_take_second_place(f)) return;
    f->hedged = true;
    hedge->is_hedge = true;
    if (!ask_second(f, hedge)) {
        fetch_leave_second_place(f);
        return;
    }
    stats_add(&f->worker->counters.hedges, 1);
    (void)fetch_ref(f); /* until one of the two has ended */
}

void fetch_arm_hedge(struct fetch *f)
{
    enum { LEAST_MS = 1 };
    if (!may_be_hedged(f)) return;
    f->attempt->asked_us = clock_monotonic_us();
    int64_t p95_us = first_byte_p95_us(f->route->first_bytes);
    if (p95_us < 0 || f->hedged || f->in_background) return; /* for what nobody waits for there is no hurry */
    int64_t wait_ms = (p95_us + 999) / 1000;
    f->hedge_timer.due = ask_beside;
    loop_timer_set(f->worker->loop, &f->hedge_timer,
                   loop_now_ms(f->worker->loop) + (wait_ms > LEAST_MS ? wait_ms : LEAST_MS));
}

/* ---- deciding */

bool fetch_head_wins(struct fetch_attempt *a, int status)
{
    struct fetch *f = a->fetch;
    struct fetch_attempt *other = other_of(a);
    a->status = status;
    note_time(a);
    loop_timer_stop(f->worker->loop, &f->hedge_timer);
    if (!is_under_way(other)) return true;
    if (status >= 500) { /* without the second request the client might never have heard of it */
        lose(a);
        f->attempt = other;
        return false;
    }
    note_time(other);
    lose(other);
    f->attempt = a;
    if (a->is_hedge) atomic_fetch_add_explicit(&f->route->origin->state->hedges_won, 1, memory_order_relaxed);
    return true;
}

bool fetch_attempt_was_last(struct fetch_attempt *a, enum origin_result result)
{
    struct fetch *f = a->fetch;
    struct fetch_attempt *other = other_of(a);
    loop_timer_stop(f->worker->loop, &f->hedge_timer);
    if (result == ORIGIN_TIMED_OUT && a->status == 0) note_time(a);
    if (!a->lost && !is_under_way(other)) return true;
    if (!a->lost) f->attempt = other; /* it has failed, and goes on */
    fetch_leave_second_place(f);
    fetch_unref(&f);
    return false;
}

void fetch_cancel(struct fetch *f)
{
    struct fetch_attempt *other = other_of(f->attempt);
    loop_timer_stop(f->worker->loop, &f->hedge_timer); /* it would find the first still ending */
    if (is_under_way(other)) lose(other);
    if (f->attempt->transfer != NULL) origin_cancel(f->attempt->transfer);
}
