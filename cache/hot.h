/* hot: which responses memory held, hottest first, as a note in the store: after a restart they are brought back in that
 * order. The list is a hint: what it names may be gone, purged or stale, and a bad list costs nothing but time.
 * Ownership: a list read is the caller's, hot_list_free. Threads: any; reading waits for the disk, writing does not.    */
#ifndef WEIR_CACHE_HOT_H
#define WEIR_CACHE_HOT_H

#include "cache/cache.h"

enum {
    HOT_KEYS_MAX = 1 << 18,
    HOT_STORE_SHARE = 64, /* the list takes so small a part of the store at most */
};

struct hot_list {
    struct store_id *ids;
    size_t count;
};

/** Queue the list of what is in memory now, and of `rest` (NULL: none) behind it. It takes the place of the one before.
 *  @param done  called with the number of keys once they are committed, or a negative errno; perhaps from inside
 *  @return      0, or a negative errno, and then `done` is not called */
MUST_USE int hot_save(struct cache *c, const struct hot_list *rest, void (*done)(void *arg, int64_t result), void *arg);

/** @return 0; -ENOENT: there is none; -EIO: the list is damaged, or none of this version; -ENOMEM */
MUST_USE int hot_load(struct store *s, struct hot_list *out);
void hot_list_free(struct hot_list *l);

#endif
