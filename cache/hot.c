#include "cache/hot.h"

#include <errno.h>
#include <stdlib.h>

enum { HOT_MAGIC = 0x31746f68 /* "hot1" */, SPARE_KEYS = 4096 };

/* The note: this, then the ids. */
struct hot_head {
    uint32_t magic, id_bytes;
    uint64_t count;
};

struct saving {
    void (*done)(void *arg, int64_t result);
    void *arg;
    size_t count;
    struct hot_head head;
    struct store_id ids[];
};

static void saved(void *arg, int result)
{
    struct saving *s = arg;
    if (s->done != NULL) s->done(s->arg, result == 0 ? (int64_t)s->count : result);
    free(s);
}

static size_t keys_max(struct store *s)
{
    struct store_stats stats;
    store_stats(s, &stats);
    uint64_t room = stats.size_bytes / HOT_STORE_SHARE / sizeof(struct store_id);
    return room < HOT_KEYS_MAX ? (size_t)room : HOT_KEYS_MAX;
}

/* @return NULL: no memory */
static struct saving *collect(struct cache *c, const struct hot_list *rest)
{
    struct memory_stats stats;
    memory_stats(cache_memory(c), &stats);
    size_t max = keys_max(cache_store(c)), behind = rest != NULL ? rest->count : 0;
    size_t here = stats.entries < max ? (size_t)stats.entries : max;
    if (behind > max - here) behind = max - here;
    size_t room = here + here / 4 + SPARE_KEYS; /* shards differ, and each is asked for an equal share */
    struct memory_hot *hottest = malloc(room * sizeof *hottest);
    struct saving *s = malloc(sizeof *s + (here + behind) * sizeof *s->ids);
    if (hottest == NULL || s == NULL) {
        free(hottest);
        free(s);
        return NULL;
    }
    size_t found = memory_hottest(cache_memory(c), hottest, room);
    if (found < here) here = found;
    for (size_t i = 0; i < here; i++) s->ids[i] = hottest[i].id;
    if (behind > 0) memcpy(s->ids + here, rest->ids, behind * sizeof *s->ids);
    s->count = here + behind;
    free(hottest);
    return s;
}

int hot_save(struct cache *c, const struct hot_list *rest, void (*done)(void *arg, int64_t result), void *arg)
{
    if (cache_store(c) == NULL) return -ENOENT;
    struct saving *s = collect(c, rest);
    if (s == NULL) return -ENOMEM;
    s->done = done;
    s->arg = arg;
    s->head = (struct hot_head){ HOT_MAGIC, sizeof *s->ids, s->count };
    int rc = store_put_note(cache_store(c), &s->head, sizeof s->head + s->count * sizeof *s->ids, saved, s);
    if (rc != 0) free(s);
    return rc;
}

_Static_assert(offsetof(struct saving, ids) == offsetof(struct saving, head) + sizeof(struct hot_head),
               "head and ids are one note");

int hot_load(struct store *s, struct hot_list *out)
{
    void *note;
    size_t len;
    struct hot_head head;
    int rc = store_get_note(s, &note, &len);
    if (rc != 0) return rc;
    if (len >= sizeof head) memcpy(&head, note, sizeof head);
    if (len < sizeof head || head.magic != HOT_MAGIC || head.id_bytes != sizeof *out->ids ||
        head.count > HOT_KEYS_MAX || len != sizeof head + head.count * sizeof *out->ids) {
        free(note);
        return -EIO;
    }
    memmove(note, (char *)note + sizeof head, len - sizeof head);
    *out = (struct hot_list){ note, (size_t)head.count };
    return 0;
}

void hot_list_free(struct hot_list *l)
{
    free(l->ids);
    *l = (struct hot_list){ 0 };
}
