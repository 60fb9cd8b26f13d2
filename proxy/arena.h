/* arena: memory that is given back all at once. Ownership: whoever made it frees it. Threads: one at a time. */
#ifndef WEIR_PROXY_ARENA_H
#define WEIR_PROXY_ARENA_H

#include "headers/view.h"

struct arena;

MUST_USE struct arena *arena_new(void);
void arena_free(struct arena *a);
/** Zeroed, aligned for anything. @return NULL: no memory, or more than ARENA_MAX in all */
MUST_USE void *arena_alloc(struct arena *a, size_t len);
/** A copy that ends with a NUL, which is not counted. @return at NULL: no memory */
struct view arena_copy(struct arena *a, struct view v);
/** The same for a C string. @return NULL: no memory */
const char *arena_str(struct arena *a, const char *s);

enum { ARENA_MAX = 256 << 20 };

#endif
