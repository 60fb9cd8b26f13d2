/* reclaim: the thread that frees what purges have made unusable and then forgets their lines.
 * One round: choose lines; wait until all that began to be fetched before them has ended; remove their records from the
 * store; sweep memory; wait for what was being looked up meanwhile; forget. Bounded: RECLAIM_ROUND_MAX lines a round,
 * RECLAIM_AT_ONCE operations in the store's queue. A line whose removal fails stays, and is tried again.             */
#ifndef WEIR_PURGE_RECLAIM_H
#define WEIR_PURGE_RECLAIM_H

enum {
    RECLAIM_ROUND_MAX = 16 * 1024,
    RECLAIM_AT_ONCE = 256,
    RECLAIM_SOFT_LOOKS = 2048, /* soft lines looked at in a round */
    RECLAIM_SOFT_RECORDS = 64, /* records looked at for each of them */
    RECLAIM_RETRY_MS = 5000,
};

/** The thread's main; arg is the struct purges. Ends when it is closing. */
void *reclaim_main(void *arg);

#endif
