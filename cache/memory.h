/* memory: the hot tier: objects by key and variant, within a budget of bytes, metadata included.
 * Ownership: the tier owns a reference to each object it holds; memory_get returns one of your own.
 * What is pinned (record_pinned_until_s) does not leave before its time is over, as long as the pinned are no more than
 * MEMORY_PINNED_PERCENT of the budget; beyond that a pinned object is one like the others. Time is that of the youngest
 * response that has been put.
 * Threads: any. SHARDS locks, each held for a look-up; a hit writes only the object's counters.      */
#ifndef WEIR_CACHE_MEMORY_H
#define WEIR_CACHE_MEMORY_H

#include "cache/object.h"

struct memory;

enum { MEMORY_PINNED_PERCENT = 50 };

MUST_USE struct memory *memory_new(uint64_t limit_bytes);
void memory_free(struct memory *m);

/** Content in one piece counts itself here, in the tier or not, for as long as somebody holds it. */
_Atomic int64_t *memory_held(struct memory *m);
/** What of it is not in the tier: in fetches, and with clients that still receive what has left. The tier makes do with so
 *  much less, down to half of its budget. */
uint64_t memory_outside_bytes(const struct memory *m);
uint64_t memory_limit_bytes(const struct memory *m);

/** The object for this id, if its key and variant are equal in full. */
struct object *memory_get(struct memory *m, const struct store_id *id, struct view key, struct view variant);

/** The same for whoever only looks: any variant with this id, and no use is counted. */
struct object *memory_peek(struct memory *m, const struct store_id *id, struct view key);

/** Uses of whatever is there under this id since eviction last looked at it; -1: nothing is there. */
int memory_uses(struct memory *m, const struct store_id *id);

enum memory_put {
    MEMORY_REPLACE,
    MEMORY_IF_ABSENT,
    MEMORY_IF_ROOM, /* absent, and nobody has to leave for it; it counts as less hot than all that is there */
};
/** Keep o (a reference is added), evicting others. What was fetched after a younger purge than o stays in o's place. @return false: it is larger than an entry may be, or nothing can leave */
bool memory_put(struct memory *m, struct object *o, enum memory_put how);
/** Remove whatever is there, or only `expected` when it is not NULL. */
void memory_remove(struct memory *m, const struct store_id *id, const struct object *expected);
/** An object may leave from now on: the store has it, or will not take it. */
void memory_written(struct memory *m, struct object *o);
/** o leaves unless somebody has asked for it since it came. @return whether it left */
bool memory_leave_unused(struct memory *m, struct object *o);

/* One that is worth bringing back, and how hot it is: by the least `coldness` first. */
struct memory_hot {
    struct store_id id;
    uint64_t coldness;
};
/** The hottest objects, hottest first, without those that a soft purge has marked.
 *  @param max  room in `out`; of more than that, about the hottest
 *  @return     how many */
size_t memory_hottest(struct memory *m, struct memory_hot *out, size_t max);

/** Whether eviction leaves alone what is there under this id. */
bool memory_is_pinned(struct memory *m, const struct store_id *id);
/** When the youngest response that was put came, UTC seconds. */
int64_t memory_now_s(const struct memory *m);

/** Show every object to `keep`, shard by shard under its lock; those it denies are removed. */
void memory_sweep(struct memory *m, bool (*keep)(void *arg, struct object *o), void *arg);

/** The largest object the tier takes. */
uint64_t memory_object_limit(const struct memory *m);

struct memory_stats {
    uint64_t entries, bytes, limit_bytes, evictions, rejected;
    uint64_t pinned, pinned_bytes, pins_refused;
};
void memory_stats(struct memory *m, struct memory_stats *out);

#endif
