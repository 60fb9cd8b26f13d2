#include "proxy/origin_gate.h"

#include <assert.h>

void origin_gate_init(struct origin_gate *g, size_t places, size_t queue_max)
{
    *g = (struct origin_gate){ .places = places, .queue_max = queue_max };
    pthread_mutex_init(&g->lock, NULL);
    TAILQ_INIT(&g->queues[false]);
    TAILQ_INIT(&g->queues[true]);
}

void origin_gate_end(struct origin_gate *g)
{
    assert(g->taken == 0 && g->giving_way == 0 && g->waiting[false] + g->waiting[true] == 0);
    pthread_mutex_destroy(&g->lock);
}

static enum gate_verdict enter(struct origin_gate *g, struct gate_waiter *w)
{
    if (g->taken < g->places) { /* then nobody waits: places are handed on */
        g->taken++;
        return GATE_OPEN;
    }
    if (g->waiting[w->background] >= g->queue_max) {
        g->refused++;
        return GATE_FULL;
    }
    w->waits = true;
    g->waiting[w->background]++;
    TAILQ_INSERT_TAIL(&g->queues[w->background], w, in_queue);
    return GATE_WAIT;
}

enum gate_verdict origin_gate_enter(struct origin_gate *g, struct gate_waiter *w)
{
    if (g->places == 0) return GATE_OPEN;
    pthread_mutex_lock(&g->lock);
    enum gate_verdict verdict = enter(g, w);
    pthread_mutex_unlock(&g->lock);
    return verdict;
}

bool origin_gate_try(struct origin_gate *g)
{
    if (g->places == 0) return true;
    pthread_mutex_lock(&g->lock);
    bool free_place = g->taken < g->places;
    if (free_place) g->taken++;
    pthread_mutex_unlock(&g->lock);
    return free_place;
}

static void dequeue(struct origin_gate *g, struct gate_waiter *w)
{
    TAILQ_REMOVE(&g->queues[w->background], w, in_queue);
    g->waiting[w->background]--;
    w->waits = false;
}

/* The waiter is told under the lock, so that it cannot have cancelled and gone meanwhile; telling only posts. */
void origin_gate_leave(struct origin_gate *g)
{
    if (g->places == 0) return;
    pthread_mutex_lock(&g->lock);
    struct gate_waiter *next = TAILQ_FIRST(&g->queues[false]);
    if (next == NULL) next = TAILQ_FIRST(&g->queues[true]);
    if (next == NULL) {
        g->taken--;
    } else {
        dequeue(g, next); /* and the place is its own */
        loop_post(next->loop, &next->admitted);
    }
    pthread_mutex_unlock(&g->lock);
}

bool origin_gate_give_way(struct origin_gate *g)
{
    if (g->places == 0) return false;
    pthread_mutex_lock(&g->lock);
    bool wanted = g->waiting[false] > g->giving_way;
    g->giving_way += wanted;
    pthread_mutex_unlock(&g->lock);
    return wanted;
}

void origin_gate_gave_way(struct origin_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->giving_way--;
    pthread_mutex_unlock(&g->lock);
}

bool origin_gate_cancel(struct origin_gate *g, struct gate_waiter *w)
{
    pthread_mutex_lock(&g->lock);
    bool waited = w->waits;
    if (waited) dequeue(g, w);
    pthread_mutex_unlock(&g->lock);
    return waited;
}

struct gate_counts origin_gate_counts(struct origin_gate *g)
{
    pthread_mutex_lock(&g->lock);
    struct gate_counts counts = { g->taken, g->waiting[false] + g->waiting[true], g->refused };
    pthread_mutex_unlock(&g->lock);
    return counts;
}
