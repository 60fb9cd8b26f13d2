/* state: what purge.c, count.c and reclaim.c share.
 * Locks, in this order: `order` (who takes a number), `lock` (the lines), `work` (the thread's sleep and what closing waits
 * for). A call into the store is made under `order` at most; callbacks of owners are made under none.                  */
#ifndef WEIR_PURGE_STATE_H
#define WEIR_PURGE_STATE_H

#include "purge/holds.h"
#include "purge/lines.h"

#include <pthread.h>
#include <stdatomic.h>

struct purges {
    _Alignas(64) _Atomic uint64_t seq; /* read by every hit: alone on its cache line */

    _Alignas(64) struct store *store; /* NULL: none */
    pthread_mutex_t order;
    pthread_rwlock_t lock;
    struct lines lines;
    struct holds holds;

    void (*sweep)(void *arg, uint64_t below_seq);
    void *sweep_arg;

    pthread_t thread;
    pthread_mutex_t work;
    pthread_cond_t changed; /* any of the following, or a generation has drained */
    bool closing, woken;
    bool stopped;         /* the thread has ended; the owner's */
    unsigned ops;         /* purges that are not yet acknowledged */
    unsigned pause_ms;    /* between removing and forgetting */
    struct line *covered; /* lines of the log that a durable fold covers; the thread forgets them */
    size_t covered_count;

    atomic_uint counting; /* counts that are waiting or under way */
    _Atomic uint64_t purge_count, matched, folded, given_up;
};

/* A purge on its way from purge_begin to its acknowledgement. */
struct purge_op {
    struct purges *p;
    purge_done done;
    void *arg;
    struct purge_result result;
    atomic_uint waits; /* the caller, the log, the count: the last one acknowledges */
    _Atomic int log_error;
    int64_t now_s;
    uint64_t hold;
    bool soft, dry_run, held;

    struct lines lines;  /* its names, each once; hard_seq: the purge of the same name before */
    struct line *folded; /* by this purge: forgotten once it is durable */
    size_t folded_count;
    struct store_job job; /* the count */
};

/** Give up one of the waits; the last one acknowledges and frees. */
void purge_op_release(struct purge_op *op);
/** How a line stands in the log. Borrows from the line. */
struct view line_log_name(const struct line *line);
char line_log_kind(const struct line *line);

#endif
