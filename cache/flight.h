/* flight: one forwarded request whose response several exchanges use (collapsed requests, RFC 9111 §4).
 *
 *   OPEN --flight_respond--> RESPONSE   an object, perhaps still filling, that others may use if their own decision agrees
 *        --flight_part-----> ALONE      the response is for the leading exchange only; the others go on by themselves
 *        --flight_fail-----> FAILED     there was no response; everyone is told once
 *
 * Ownership: flight_join returns a reference, flight_leave gives it back; only the leader (the fetch) ends the OPEN state.
 * Threads: any may join and leave. One lock per shard of the table; a wake runs under it, so it only posts.            */
#ifndef WEIR_CACHE_FLIGHT_H
#define WEIR_CACHE_FLIGHT_H

#include "cache/object.h"

enum flight_state { FLIGHT_OPEN, FLIGHT_RESPONSE, FLIGHT_ALONE, FLIGHT_FAILED };

struct flight_waiter {
    void (*wake)(struct flight_waiter *w); /* the state is no longer OPEN; called once, from any thread */
    struct flight_waiter *next;
    bool waiting;
};

struct flight_failure {
    int status;         /* what a client gets: 502, 503, 504 */
    const char *detail; /* static text, for Cache-Status */
    int retry_after_s;  /* when to come again; 0: not known */
};

struct flight_table;

/* Read by anyone who has joined; written by the leader. */
struct flight {
    struct store_id id;
    uint64_t fetch_seq;            /* purge sequence at which the fetch began */
    _Atomic int state;             /* enum flight_state; what follows is constant once it is not OPEN */
    struct object *object;         /* RESPONSE */
    struct flight_failure failure; /* FAILED */
    int origin_status;             /* what the origin server said; 0: nothing */
    bool stored;                   /* RESPONSE: it goes into the cache */
    bool again;                    /* ALONE: it never took off, since news had come into the cache: look again */
    /* private */
    atomic_uint refs;
    atomic_uint waiters_count;
    struct view key, variant; /* behind this struct */
    struct flight *next;
    bool listed;
    bool began_without_variant; /* before it was known whether the key varies */
    struct flight_waiter *waiters;
};

MUST_USE struct flight_table *flight_table_new(void);
void flight_table_free(struct flight_table *t);

/* Whether a flight under way may be joined by this request; called under the lock, must be quick. */
typedef bool (*flight_may_join)(void *arg, const struct flight *f);

/** Join the flight for this id, or begin one. `w` is woken when it is no longer OPEN (not when it is not OPEN already).
 *  @param leading  set when this call began it: the caller must see that it ends
 *  @return         NULL: no memory */
MUST_USE struct flight *flight_join(struct flight_table *t, const struct store_id *id, struct view key,
                                    struct view variant, uint64_t fetch_seq, flight_may_join may_join, void *arg,
                                    struct flight_waiter *w, bool *leading);
/** A flight that nobody else can join. */
MUST_USE struct flight *flight_private(const struct store_id *id, uint64_t fetch_seq);
struct flight *flight_ref(struct flight *f);
/** Wait for a flight that is already joined by reference. */
void flight_wait(struct flight_table *t, struct flight *f, struct flight_waiter *w);
/** Stop waiting (if it still does) and give up the reference. @return how many still wait */
unsigned flight_leave(struct flight_table *t, struct flight **f, struct flight_waiter *w);
void flight_unref(struct flight **f);

/* ---- the leader */

/** The response is known to vary: from here on it is found under the variant's id. */
void flight_rename(struct flight_table *t, struct flight *f, const struct store_id *id);
void flight_respond(struct flight_table *t, struct flight *f, struct object *o);
void flight_part(struct flight_table *t, struct flight *f);
void flight_fail(struct flight_table *t, struct flight *f, struct flight_failure failure);
/** Nobody joins any more: what it brought is in the cache, or never will be. */
void flight_unlist(struct flight_table *t, struct flight *f);
unsigned flight_waiters(const struct flight *f);
/** Flights that can be joined now. */
size_t flight_count(struct flight_table *t);

#endif
