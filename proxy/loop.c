#include "proxy/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 128, HOOKS_MAX = 8, HEAP_FIRST = 64, WAIT_MAX_MS = 60 * 1000 };

struct loop {
    int epoll_fd;
    int64_t now_ms;

    /* The events of this turn that are not yet handed out; loop_watch_remove blanks those of its watcher. */
    struct epoll_event events[EVENTS_PER_TURN];
    int event_next, event_count;

    struct loop_timer **heap; /* binary, 1-based: heap[1] is due first */
    size_t heap_len, heap_cap;

    _Atomic(struct loop_task *) posted; /* by other threads: a stack, newest first */
    struct loop_watch mailbox;
    _Atomic pthread_t owner;          /* who turns; 0: nobody has yet */
    struct loop_task *own, **own_end; /* posted by the owner: a queue, run in the same turn */

    struct loop_hook hooks[HOOKS_MAX];
    size_t hook_count;
};

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- mailbox */

static void task_run(struct loop_task *task)
{
    atomic_store(&task->posted, false); /* from here on it may be posted again, or freed by its own run */
    task->run(task);
}

/* Takes the whole stack at once and turns it over, so that tasks run in the order posted. */
static void mailbox_run(struct loop *l)
{
    struct loop_task *newest = atomic_exchange(&l->posted, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct loop_task *task = oldest;
        oldest = task->next;
        task_run(task);
    }
}

static void mailbox_ready(struct loop_watch *w, uint32_t events)
{
    struct loop *l = HOLDER_OF(w, struct loop, mailbox);
    uint64_t count;
    (void)events;
    (void)!read(w->fd, &count, sizeof(count)); /* only resets the counter; what was posted is in the stack */
    mailbox_run(l);
}

/* Those that are posted meanwhile wait for the next call. */
static void own_run(struct loop *l)
{
    struct loop_task *task = l->own;
    l->own = NULL;
    l->own_end = &l->own;
    while (task != NULL) {
        struct loop_task *next = task->next;
        task_run(task);
        task = next;
    }
}

static void own_post(struct loop *l, struct loop_task *t)
{
    t->next = NULL;
    *l->own_end = t;
    l->own_end = &t->next;
}

void loop_post(struct loop *l, struct loop_task *t)
{
    if (atomic_exchange(&t->posted, true)) return;
    if (atomic_load_explicit(&l->owner, memory_order_relaxed) == pthread_self()) {
        own_post(l, t);
        return;
    }
    struct loop_task *head = atomic_load(&l->posted);
    do t->next = head;
    while (!atomic_compare_exchange_weak(&l->posted, &head, t));
    /* Whoever posts into an empty stack wakes the loop; it takes everything that is there by then. */
    const uint64_t one = 1;
    if (head == NULL) (void)!write(l->mailbox.fd, &one, sizeof(one)); /* cannot fail: the counter never fills */
}

/* ---- life */

void loop_free(struct loop *l)
{
    if (l == NULL) return;
    if (l->mailbox.fd >= 0) close(l->mailbox.fd);
    if (l->epoll_fd >= 0) close(l->epoll_fd);
    free(l->heap);
    free(l);
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (l == NULL) return NULL;
    l->now_ms = clock_ms();
    l->own_end = &l->own;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->mailbox = (struct loop_watch){ .ready = mailbox_ready, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
    l->heap = malloc((HEAP_FIRST + 1) * sizeof(*l->heap));
    l->heap_cap = HEAP_FIRST;
    if (l->epoll_fd < 0 || l->mailbox.fd < 0 || l->heap == NULL || loop_watch_add(l, &l->mailbox, EPOLLIN) != 0) {
        loop_free(l);
        return NULL;
    }
    return l;
}

int64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

/* ---- watchers */

int loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = w };
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) == 0 ? 0 : -errno;
}

void loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = w };
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e); /* fails only for what is not watched: nothing to change */
}

void loop_watch_remove(struct loop *l, struct loop_watch *w)
{
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL); /* a closed descriptor has left by itself */
    for (int i = l->event_next; i < l->event_count; i++) {
        if (l->events[i].data.ptr == w) l->events[i].data.ptr = NULL;
    }
}

static void watchers_run(struct loop *l)
{
    while (l->event_next < l->event_count) {
        struct epoll_event e = l->events[l->event_next++];
        struct loop_watch *w = e.data.ptr;
        if (w != NULL) w->ready(w, e.events);
    }
    l->event_next = l->event_count = 0;
}

/* ---- timers */

static void heap_put(struct loop *l, size_t place, struct loop_timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

static void heap_up(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];
    for (; place > 1 && l->heap[place / 2]->at_ms > t->at_ms; place /= 2) heap_put(l, place, l->heap[place / 2]);
    heap_put(l, place, t);
}

static void heap_down(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];
    for (;;) {
        size_t child = place * 2;
        if (child > l->heap_len) break;
        if (child < l->heap_len && l->heap[child + 1]->at_ms < l->heap[child]->at_ms) child++;
        if (l->heap[child]->at_ms >= t->at_ms) break;
        heap_put(l, place, l->heap[child]);
        place = child;
    }
    heap_put(l, place, t);
}

/* A deadline that cannot be kept is a promise broken in silence, so without memory for one the process ends. */
static void heap_reserve(struct loop *l)
{
    if (l->heap_len < l->heap_cap) return;
    l->heap_cap *= 2;
    l->heap = realloc(l->heap, (l->heap_cap + 1) * sizeof(struct loop_timer *));
    if (l->heap == NULL) abort();
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
    t->at_ms = at_ms;
    if (t->place == 0) {
        heap_reserve(l);
        heap_put(l, ++l->heap_len, t);
    }
    heap_up(l, t->place);
    heap_down(l, t->place);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t place = t->place;
    if (place == 0) return;
    struct loop_timer *last = l->heap[l->heap_len--];
    t->place = 0;
    if (last == t) return;
    heap_put(l, place, last);
    heap_up(l, place);
    heap_down(l, last->place);
}

/* At most as many as were armed at the start: one that arms itself for the past waits for the next turn. */
static void timers_run(struct loop *l)
{
    for (size_t n = l->heap_len; n > 0 && l->heap_len > 0 && l->heap[1]->at_ms <= l->now_ms; n--) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        t->due(t);
    }
}

/* ---- hooks and turns */

void loop_add_hook(struct loop *l, struct loop_hook hook)
{
    assert(l->hook_count < HOOKS_MAX);
    l->hooks[l->hook_count++] = hook;
}

void loop_remove_hook(struct loop *l, const void *arg)
{
    for (size_t i = 0; i < l->hook_count; i++) {
        if (l->hooks[i].arg != arg) continue;
        memmove(&l->hooks[i], &l->hooks[i + 1], (--l->hook_count - i) * sizeof(l->hooks[0]));
        return;
    }
}

/* How long the turn may sleep. The clock is read again for the timers, as the last turn's work took its time. */
static int wait_ms(const struct loop *l)
{
    int64_t wait = WAIT_MAX_MS;
    if (l->own != NULL) return 0;
    for (size_t i = 0; i < l->hook_count; i++) {
        int64_t most = l->hooks[i].wait_ms(l->hooks[i].arg);
        if (most == 0) return 0;
        if (most > 0 && most < wait) wait = most;
    }
    if (l->heap_len > 0) {
        int64_t left = l->heap[1]->at_ms - clock_ms();
        if (left < wait) wait = left > 0 ? left : 0;
    }
    return (int)wait;
}

void loop_turn(struct loop *l)
{
    atomic_store_explicit(&l->owner, pthread_self(), memory_order_relaxed);
    int n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_TURN, wait_ms(l));
    l->event_next = 0;
    l->event_count = n > 0 ? n : 0; /* only EINTR can fail here: a turn without events */
    l->now_ms = clock_ms();
    watchers_run(l);
    timers_run(l);
    own_run(l);
    for (size_t i = 0; i < l->hook_count; i++) l->hooks[i].turn(l->hooks[i].arg);
}
