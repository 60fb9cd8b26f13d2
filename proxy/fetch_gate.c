/* A fetch that waits for its place at the origin (origin_gate.h). */
#include "proxy/fetch_internal.h"

static struct origin_gate *gate_of(const struct fetch *f)
{
    return &f->route->origin->state->gate;
}

static void admitted_run(struct loop_task *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, waiter.admitted);
    loop_timer_stop(f->worker->loop, &f->gate_timer);
    f->waiting = false;
    f->has_place = true;
    fetch_is_admitted(f);
}

static void gate_due(struct loop_timer *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, gate_timer);
    fetch_stop_waiting(f, "origin-queue-timed-out");
}

enum gate_verdict fetch_enter_gate(struct fetch *f)
{
    if (f->has_place) return GATE_OPEN; /* it asks again */
    f->waiter.loop = f->worker->loop;
    f->waiter.admitted.run = admitted_run;
    f->waiter.background = f->in_background;
    enum gate_verdict verdict = origin_gate_enter(gate_of(f), &f->waiter);
    f->has_place = verdict == GATE_OPEN;
    f->waiting = verdict == GATE_WAIT;
    if (!f->waiting) return verdict;
    f->gate_timer.due = gate_due;
    loop_timer_set(f->worker->loop, &f->gate_timer, loop_now_ms(f->worker->loop) + f->route->origin->queue_ms);
    return verdict;
}

void fetch_leave_gate(struct fetch *f)
{
    if (f->gives_place) origin_gate_gave_way(gate_of(f));
    if (f->has_place) origin_gate_leave(gate_of(f));
    f->has_place = f->gives_place = false;
}

bool fetch_gate_gives_way(struct fetch *f)
{
    if (!f->gives_place && f->has_place) f->gives_place = origin_gate_give_way(gate_of(f));
    return f->gives_place;
}

void fetch_stop_waiting(struct fetch *f, const char *why)
{
    if (!origin_gate_cancel(gate_of(f), &f->waiter)) return; /* it has a place after all */
    loop_timer_stop(f->worker->loop, &f->gate_timer);
    f->waiting = false;
    fetch_refuse(f, why);
}

bool fetch_take_second_place(struct fetch *f)
{
    return origin_gate_try(gate_of(f));
}

void fetch_leave_second_place(struct fetch *f)
{
    origin_gate_leave(gate_of(f));
}
