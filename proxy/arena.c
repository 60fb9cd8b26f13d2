#include "proxy/arena.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 64 * 1024, ALIGNMENT = 16 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char bytes[];
};

struct arena {
    struct block *blocks; /* the first is the one being filled */
    size_t total;
};

struct arena *arena_new(void)
{
    return calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
    if (a == NULL) return;
    while (a->blocks != NULL) {
        struct block *gone = a->blocks;
        a->blocks = gone->next;
        free(gone);
    }
    free(a);
}

static struct block *block_new(struct arena *a, size_t size)
{
    if (size > ARENA_MAX - a->total) return NULL;
    struct block *b = calloc(1, sizeof *b + size);
    if (b == NULL) return NULL;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    a->total += size;
    return b;
}

void *arena_alloc(struct arena *a, size_t len)
{
    if (len > ARENA_MAX) return NULL;
    size_t need = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct block *b = a->blocks;
    if (b == NULL || need > b->size - b->used) b = block_new(a, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    if (b == NULL) return NULL;
    void *at = b->bytes + b->used;
    b->used += need;
    return at;
}

struct view arena_copy(struct arena *a, struct view v)
{
    char *to = arena_alloc(a, v.len + 1);
    if (to == NULL) return view_of(NULL, 0);
    if (v.len > 0) memcpy(to, v.at, v.len);
    return view_of(to, v.len);
}

const char *arena_str(struct arena *a, const char *s)
{
    return arena_copy(a, view_of_str(s)).at;
}
