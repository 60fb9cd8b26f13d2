#include "cache/store_internal.h"

#include <stdlib.h>

/* No key has this hash, as far as 128 bits can promise. */
static const struct store_id note_id = { .key = { UINT64_MAX, UINT64_MAX }, .variant = UINT64_MAX };

bool store_is_note(const struct store_id *id)
{
    return memcmp(id, &note_id, sizeof(note_id)) == 0;
}

size_t store_count_note(struct store *s, MDB_txn *txn)
{
    MDB_val key = val_of(&note_id, sizeof(note_id)), order;
    return mdb_get(txn, s->dbi[DB_INDEX], &key, &order) == 0;
}

int store_put_note(struct store *s, const void *bytes, size_t len, store_done done, void *arg)
{
    struct store_put put = { .id = note_id,
                             .record = "",
                             .content = bytes,
                             .content_len = len,
                             .content_number = store_next_number(s),
                             .fetch_seq = UINT64_MAX, /* younger than any purge */
                             .pinned = true };
    return store_put(s, &put, done, arg);
}

int store_get_note(struct store *s, void **out, size_t *len)
{
    struct store_found found;
    int rc = store_get(s, &note_id, 0, &found);
    if (rc != 0) return rc;
    free(found.memory);
    char *bytes = malloc(found.content_len + 1);
    if (bytes == NULL) return -ENOMEM;
    ssize_t n = store_read(s, found.content_number, 0, bytes, found.content_len);
    if (n != (ssize_t)found.content_len) {
        free(bytes);
        return -EIO;
    }
    *out = bytes;
    *len = (size_t)n;
    return 0;
}
