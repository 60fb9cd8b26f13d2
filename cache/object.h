/* object: a stored response in use: its record in memory, counted, immutable; its content inside the record, in a body, or
 * in the store.
 * Ownership: object_ref adds an owner, object_unref gives yours up; a view into an object lives as long as your reference.
 * Threads: everything but the atomics is written before the object is shown to another thread. The links belong to
 * memory.c, under its locks.                                                                                             */
#ifndef WEIR_CACHE_OBJECT_H
#define WEIR_CACHE_OBJECT_H

#include "cache/body.h"
#include "cache/eviction.h"
#include "cache/record.h"

#include <stdatomic.h>

enum { OBJECT_INLINE_MAX = 8 * 1024 }; /* fetched content up to this is copied behind the record: one allocation */

/* One for every response in memory: every byte counts. */
struct object {
    atomic_uint refs;
    uint32_t record_len;
    atomic_bool stale_marked; /* purged softly: purge.c said so when it was last checked */
    atomic_bool unwritten;    /* waits for the store: memory keeps it until then */
    bool counted_unwritten;   /* the memory tier's own */
    bool puts_content;        /* cache.c: the content goes into the store with the record, under content_number */
    bool keeps_content;       /* a freshened head: the content under content_number has a record already */
    struct store_id id;
    _Atomic uint64_t checked_seq;    /* no purge up to this number matches */
    struct body *body;               /* NULL: the content is inside the record */
    _Atomic uint64_t content_number; /* in the store; 0: inside the record there too, or not stored */
    const char *content;             /* in one piece; NULL: read through the body */
    struct object *next;             /* memory.c: same bucket */
    struct eviction_node node;       /* memory.c */
};

/** Bytes to leave free before a record that is to become an object. */
size_t object_spare(void);
/** Make an object of a record that was loaded behind object_spare() bytes of malloc'd memory, which it takes over.
 *  @param body  where the content is when it is not inside the record; takes over the reference */
struct object *object_of_memory(void *memory, size_t record_len, const struct store_id *id, struct body *body,
                                uint64_t content_number);
/** Build one from parts. The content: in->content (copied into the record), or `body` (a reference is added), or neither.
 *  @return NULL: no memory */
MUST_USE struct object *object_new(const struct record_inputs *in, const struct store_id *id, struct body *body,
                                   uint64_t content_number);
struct object *object_ref(struct object *o);
void object_unref(struct object **o);

static inline const void *object_record(const struct object *o)
{
    return (const char *)o + sizeof *o;
}
static inline const struct record_head *object_head(const struct object *o)
{
    return record_head_of(object_record(o));
}
/** Of the whole content; 0 while it fills and its length is not known. */
static inline int64_t object_content_length(const struct object *o)
{
    return object_head(o)->content_length;
}
/** What it costs the memory tier: everything that goes when it goes. */
size_t object_memory_bytes(const struct object *o);
/** Full comparison of key and variant: a hash never decides alone. */
bool object_is_for(const struct object *o, struct view key, struct view variant);

#endif
