#include "cache/holding.h"

#include <stdlib.h>

/* One id as both tiers have it. Memory, when it has it, is never older than the store. */
struct look {
    struct object *object; /* NULL: not in memory */
    struct store_found found;
    const void *stored; /* the record inside found; NULL: not in the store */
};

static void look_at(struct cache *c, const struct store_id *id, struct view key, struct look *l)
{
    *l = (struct look){ .object = memory_peek(cache_memory(c), id, key) };
    if (cache_store(c) == NULL || store_get(cache_store(c), id, 0, &l->found) != 0) return;
    struct view record = view_of(l->found.memory, l->found.record_len);
    if (record_is_sound(record) && view_equal(record_key(record.at), key)) l->stored = record.at;
}

static void look_end(struct look *l)
{
    object_unref(&l->object);
    free(l->found.memory);
}

static bool same_response(const void *a, const void *b)
{
    return record_head_of(a)->fetch_seq == record_head_of(b)->fetch_seq &&
           memcmp(&record_head_of(a)->stored, &record_head_of(b)->stored, sizeof(struct stored_head)) == 0;
}

/* @return the record shown, NULL when neither tier has it */
static const void *show(struct cache *c, const struct store_id *id, const struct look *l,
                        void (*each)(void *, const struct holding *), void *arg)
{
    const void *record = l->object != NULL ? object_record(l->object) : l->stored;
    if (record == NULL) return NULL;
    struct holding h = { .id = *id,
                         .record = record,
                         .record_bytes = record_size_before_content(record),
                         .in_memory = l->object != NULL,
                         .in_store = l->stored != NULL && same_response(record, l->stored) };
    if (l->object != NULL) {
        h.memory_bytes = object_memory_bytes(l->object);
        h.pinned_in_memory = memory_is_pinned(cache_memory(c), id);
        h.stale_marked = atomic_load(&l->object->stale_marked);
    }
    if (h.in_store) h.content_number = l->found.content_number;
    h.pinned_in_store = h.in_store && l->found.pinned;
    each(arg, &h);
    return record;
}

void cache_each_holding(struct cache *c, const struct key *key, void (*each)(void *arg, const struct holding *h),
                        void *arg)
{
    struct store_id id = store_id_of(key->hash, 0);
    struct look first;
    look_at(c, &id, key->text, &first);
    const void *list = show(c, &id, &first, each, arg);
    if (list != NULL && record_head_of(list)->kind == RECORD_VARY) {
        for (size_t i = 0; i < record_head_of(list)->tag_count; i++) { /* there tags are variants */
            struct look l;
            id.variant = record_tags(list)[i];
            look_at(c, &id, key->text, &l);
            (void)show(c, &id, &l, each, arg); /* one that was evicted is still in the list */
            look_end(&l);
        }
    }
    look_end(&first);
}
