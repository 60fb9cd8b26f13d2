#include "cache/object.h"

#include <assert.h>
#include <stdlib.h>

_Static_assert(sizeof(struct object) + sizeof(struct record_head) <= 200, "what a response costs in memory by itself");
_Static_assert(sizeof(struct object) % 8 == 0, "the record behind an object is 8-byte aligned");

enum { ALLOCATION_BYTES = 16 }; /* what malloc itself takes for each piece */

size_t object_spare(void)
{
    return sizeof(struct object);
}

struct object *object_of_memory(void *memory, size_t record_len, const struct store_id *id, struct body *body,
                                uint64_t content_number)
{
    struct object *o = memory;
    *o = (struct object){
        .id = *id, .body = body, .content_number = content_number, .record_len = (uint32_t)record_len
    };
    atomic_init(&o->refs, 1);
    const struct record_head *head = object_head(o);
    atomic_init(&o->checked_seq, head->fetch_seq);
    struct view whole = body != NULL ? body_whole(body) : record_content(head, record_len);
    o->content = whole.at;
    assert(whole.at == NULL || (int64_t)whole.len == head->content_length);
    if (body != NULL && content_number != 0) body_set_record(body, id);
    return o;
}

struct object *object_new(const struct record_inputs *in, const struct store_id *id, struct body *body,
                          uint64_t content_number)
{
    size_t len = record_size(in);
    char *memory = malloc(sizeof(struct object) + len);
    if (memory == NULL) return NULL;
    record_write(in, memory + sizeof(struct object));
    return object_of_memory(memory, len, id, body != NULL ? body_ref(body) : NULL, content_number);
}

struct object *object_ref(struct object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void object_unref(struct object **o)
{
    struct object *gone = *o;
    *o = NULL;
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    body_unref(&gone->body);
    free(gone);
}

size_t object_memory_bytes(const struct object *o)
{
    size_t bytes = sizeof *o + o->record_len + ALLOCATION_BYTES;
    if (o->body != NULL) bytes += body_memory_bytes(o->body) + 2 * ALLOCATION_BYTES;
    return bytes;
}

bool object_is_for(const struct object *o, struct view key, struct view variant)
{
    const void *record = object_record(o);
    return view_equal(record_key(record), key) && view_equal(record_variant(record), variant);
}
