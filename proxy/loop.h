/* loop: one epoll and one timer heap, owned by one thread.
 * Ownership: loop_new gives one, loop_free ends it; watchers and timers are embedded in their owners, who must remove
 * them before they go. Threads: only the loop's own thread calls these, save loop_post, which any thread may call.    */
#ifndef WEIR_PROXY_LOOP_H
#define WEIR_PROXY_LOOP_H

#include "headers/view.h"

#include <stdatomic.h>

struct loop;

/* A file descriptor that is watched. */
struct loop_watch {
    void (*ready)(struct loop_watch *w, uint32_t events); /* EPOLLIN, ... */
    int fd;
};

struct loop_timer {
    void (*due)(struct loop_timer *t);
    int64_t at_ms; /* of loop_now_ms */
    size_t place;  /* in the heap, 1-based; 0: not armed */
};

/* A message from any thread: run once in the loop's thread, in the order that thread posted. Embedded in its owner, which must live
 * until it has run; posting it again before that does nothing. */
struct loop_task {
    void (*run)(struct loop_task *t);
    struct loop_task *next;
    atomic_bool posted;
};

MUST_USE struct loop *loop_new(void);
void loop_free(struct loop *l);

MUST_USE int loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events);
void loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events);
void loop_watch_remove(struct loop *l, struct loop_watch *w); /* safe inside any callback of the same turn */

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

void loop_post(struct loop *l, struct loop_task *t);

/** Monotonic milliseconds, read once per turn. */
int64_t loop_now_ms(const struct loop *l);

/* What runs at the end of every turn, and how long the turn may wait: the front end and the fetch library have
 * pollers of their own. */
struct loop_hook {
    int64_t (*wait_ms)(void *arg); /* most it can wait; -1: no limit; 0: not at all */
    void (*turn)(void *arg);
    void *arg;
};
void loop_add_hook(struct loop *l, struct loop_hook hook);
/** Forget the hook with this arg; not from inside a hook. */
void loop_remove_hook(struct loop *l, const void *arg);

/** One turn: wait, run what is ready, due and posted, then the hooks. Whoever calls this is the loop's thread. */
void loop_turn(struct loop *l);

#endif
