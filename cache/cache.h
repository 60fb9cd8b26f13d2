/* cache: the folder's front door: find what is stored for a request, keep a response, freshen it, forget it.
 * Ownership: cache_new takes the tiers over only when it succeeds; objects handed out are references of the caller's.
 * Threads: any. Nothing here waits for a client or an origin; cache_find_stored may wait for the disk and says so.     */
#ifndef WEIR_CACHE_CACHE_H
#define WEIR_CACHE_CACHE_H

#include "cache/flight.h"
#include "cache/memory.h"
#include "cache/refusal.h"

struct cache;

struct cache_settings {
    uint64_t memory_bytes;
    struct store *store; /* NULL: memory only; must outlive the cache */
};
MUST_USE struct cache *cache_new(const struct cache_settings *settings);
/** Only when no exchange, fetch or body is left and the store is closed. */
void cache_free(struct cache *c);

struct memory *cache_memory(struct cache *c);
struct store *cache_store(struct cache *c);
struct flight_table *cache_flights(struct cache *c);
/** Why the last response of a key was not stored. */
struct refusals *cache_refusals(struct cache *c);
/** Content up to this lies in memory in one piece; larger content streams through a window. */
int64_t cache_whole_limit_bytes(const struct cache *c);

/** The largest content that the tiers take, so that one response never drives everything else out. */
int64_t cache_content_limit_bytes(const struct cache *c);

/* ---- finding */

enum cache_answer {
    CACHE_FOUND,         /* q->object */
    CACHE_OTHER_VARIANT, /* the key is there, this request's variant is not (in the tiers asked) */
    CACHE_NOTHING,
    CACHE_WOULD_WAIT, /* of cache_find_without_waiting: nothing is known yet */
};

/* One look-up. The caller sets the first three, and text with room for VARIANT_TEXT_MAX that lives as long as the query. */
struct cache_query {
    const struct request_head *request;
    const struct policy *policy;
    struct key key;
    char *text;
    /* out */
    struct object *object; /* a reference of the caller's */
    struct object *vary;   /* the key's list of variants, when it has one; the caller's reference too */
    struct variant variant;
    struct store_id id; /* of the variant, as far as it is known */
};
/** In the memory tier. */
enum cache_answer cache_find_in_memory(struct cache *c, struct cache_query *q);
/** In the store too; what is found moves to memory. Reads the disk. */
enum cache_answer cache_find_stored(struct cache *c, struct cache_query *q);
/** Give up what the query refers to. */
void cache_query_end(struct cache_query *q);
/** Bring one from the store to memory, hottest first of several: nothing there has to leave for it. Reads the disk.
 *  @param keep  whether it is still of use; called before it is there */
enum cache_brought { CACHE_BROUGHT, CACHE_WAS_THERE, CACHE_NOT_STORED, CACHE_NOT_KEPT, CACHE_NO_ROOM };
enum cache_brought cache_bring(struct cache *c, const struct store_id *id, bool (*keep)(void *arg, struct object *o),
                               void *arg);
/** The same, unless the disk would have to be waited for, or much copied: then call cache_find_stored with this query, on a
 *  reader thread (store_submit). */
enum cache_answer cache_find_without_waiting(struct cache *c, struct cache_query *q);

/** Grows whenever a response with this key can be found in the store that is not in memory (any more): who looked before
 *  that may look again. */
uint64_t cache_store_arrivals(const struct cache *c, const struct key *key);

/* ---- keeping */

/** Keep a complete response. `done` (may be NULL) is called once it can be found, or has been given up; at once or later,
 *  from any thread. Takes no reference over. */
void cache_admit(struct cache *c, struct object *o, void (*done)(void *arg), void *arg);
struct noted_variant {
    struct view names; /* the key's responses vary on these fields */
    uint64_t variant;
    uint64_t fetch_seq;         /* of its fetch */
    uint32_t pinned_until_s;    /* 0: it is not pinned */
    int maximum;                /* variants of one key */
    const struct object *known; /* q->vary of the look-up, or NULL */
};
/** Note that this variant of the key exists, so that it is found. Beyond `maximum` the least used variant leaves. */
void cache_note_variant(struct cache *c, const struct key *key, const struct noted_variant *v);
/** Forget one stored response, if it is still this one. */
void cache_remove(struct cache *c, struct object *o);

/** A response of this key could not be shared: for a while its requests are not collapsed. Bounded; may forget. */
void cache_note_unshared(struct cache *c, const struct key *key, int64_t until_s);
bool cache_is_unshared(const struct cache *c, const struct key *key, int64_t now_s);

#endif
