/* store_check: is a file an undamaged LMDB data file? LMDB trusts every byte of its map, so a damaged page would crash the
 * process long after the damage; this looks at the pages before LMDB does, by plain reads.
 * Ownership: none kept. Threads: pure but for reading the file. Knows the page layout of LMDB 0.9 on 64 bits.            */
#ifndef WEIR_CACHE_STORE_CHECK_H
#define WEIR_CACHE_STORE_CHECK_H

#include "headers/view.h"

enum store_check {
    STORE_CHECK_ABSENT, /* no file, or an empty one */
    STORE_CHECK_SOUND,
    STORE_CHECK_DAMAGED,
    STORE_CHECK_UNREADABLE /* the disk or the permissions: nothing is known about the content */
};

struct store_checked {
    uint64_t used_bytes; /* up to the last page ever used; what follows may be cut off */
    bool complete;       /* every page was looked at within the time given */
};

/** Look at both meta pages, then walk every tree, the free list included, for at most budget_ms.
 *  @param why  NUL-terminated: what is wrong; empty when nothing is */
MUST_USE enum store_check store_check_file(const char *path, int64_t budget_ms, struct store_checked *out, char *why,
                                           size_t cap);
/** Whether a value that LMDB keeps on overflow pages of its own, `size` bytes at `at` in the map, has an intact page header.
 *  LMDB frees as many pages as that header says. */
bool store_check_overflow(const void *at, size_t size);

#endif
