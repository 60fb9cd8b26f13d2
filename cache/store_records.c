#include "cache/store_check.h"
#include "cache/store_internal.h"

#include <xxhash.h>

enum {
    OVERFLOW_FROM = 2038, /* LMDB moves nodes above this to pages of their own */
    NODE_HEADER = 8,
};

static const int places[] = { DB_PINNED, DB_YOUNG, DB_MAIN_A, DB_MAIN_B };
enum { PLACES = 4 };

/* Of a whole value; its first bytes, where the checksum goes, do not count. */
static uint64_t checksum_of(const void *value, size_t len)
{
    return XXH3_64bits((const char *)value + sizeof(uint64_t), len - sizeof(uint64_t));
}

static bool has_own_pages(MDB_val key, MDB_val value)
{
    return NODE_HEADER + key.mv_size + value.mv_size > OVERFLOW_FROM;
}

bool store_may_delete(MDB_val key, MDB_val value)
{
    return !has_own_pages(key, value) || store_check_overflow(value.mv_data, value.mv_size);
}

/* Take a value apart; false when its lengths or its checksum are wrong. */
static bool parse(MDB_val value, struct found_record *out)
{
    struct envelope *e = &out->envelope;
    const char *at = value.mv_data;
    if (value.mv_size < sizeof(*e)) return false;
    memcpy(e, at, sizeof(*e));
    size_t tags_len = e->tag_count * sizeof(uint64_t);
    if (e->tag_count > STORE_TAGS_MAX || e->record_len > STORE_RECORD_MAX ||
        value.mv_size != sizeof(*e) + tags_len + e->record_len)
        return false;
    if (checksum_of(at, value.mv_size) != e->checksum) return false;
    out->tags = (const unsigned char *)at + sizeof(*e);
    out->record = view_of(at + sizeof(*e) + tags_len, e->record_len);
    return true;
}

/* ---- finding */

int store_likely_place(const struct store *s, uint64_t order)
{
    if (order > atomic_load_explicit(&s->hand_young, memory_order_relaxed)) return DB_YOUNG;
    bool ahead = order > atomic_load_explicit(&s->hand_main, memory_order_relaxed);
    bool a = (atomic_load_explicit(&s->main_ahead, memory_order_relaxed) == 0) == ahead;
    return a ? DB_MAIN_A : DB_MAIN_B;
}

static int value_at(struct store *s, MDB_txn *txn, uint64_t order, int *place, MDB_val *value)
{
    struct order_key k = order_key_of(order);
    MDB_val key = val_of(&k, sizeof(k));
    int likely = store_likely_place(s, order);
    *place = likely;
    int rc = mdb_get(txn, s->dbi[likely], &key, value);
    /* A transaction may be older or newer than the hands. */
    for (int i = 0; i < PLACES && rc == MDB_NOTFOUND; i++) {
        if (places[i] == likely) continue;
        *place = places[i];
        rc = mdb_get(txn, s->dbi[places[i]], &key, value);
    }
    return rc;
}

int store_record_at(struct store *s, MDB_txn *txn, uint64_t order, struct found_record *out)
{
    MDB_val value;
    out->order = order;
    int rc = value_at(s, txn, order, &out->place, &value);
    if (rc != 0) return rc == MDB_NOTFOUND ? EBADMSG : rc;
    return parse(value, out) ? 0 : EBADMSG;
}

int store_record_find(struct store *s, MDB_txn *txn, const struct store_id *id, struct found_record *out)
{
    MDB_val key = val_of(id, sizeof(*id)), order;
    out->order = 0;
    int rc = mdb_get(txn, s->dbi[DB_INDEX], &key, &order);
    if (rc != 0) return rc;
    if (order.mv_size != sizeof(struct order_key)) return EBADMSG;
    rc = store_record_at(s, txn, order_of(order.mv_data), out);
    if (rc != 0) return rc;
    return memcmp(&out->envelope.id, id, sizeof(*id)) == 0 ? 0 : EBADMSG;
}

/* The first key above `after` in one place. */
static int seek(struct store *s, MDB_txn *txn, int place, uint64_t after, uint64_t *order, MDB_val *value)
{
    MDB_cursor *cursor = NULL;
    struct order_key from = order_key_of(after + 1);
    MDB_val key = val_of(&from, sizeof(from));
    int rc = mdb_cursor_open(txn, s->dbi[place], &cursor);
    if (rc != 0) return rc;
    rc = mdb_cursor_get(cursor, &key, value, MDB_SET_RANGE);
    if (rc == 0) *order = key.mv_size == sizeof(from) ? order_of(key.mv_data) : 0;
    if (rc == 0 && *order <= after) rc = MDB_CORRUPTED;
    mdb_cursor_close(cursor);
    return rc;
}

int store_record_next_in(struct store *s, MDB_txn *txn, int place, uint64_t after, struct found_record *out)
{
    MDB_val value;
    out->place = place;
    int rc = seek(s, txn, place, after, &out->order, &value);
    if (rc != 0) return rc;
    return parse(value, out) ? 0 : EBADMSG;
}

int store_record_next(struct store *s, MDB_txn *txn, uint64_t after, struct found_record *out)
{
    MDB_val best = { 0, NULL };
    out->order = UINT64_MAX;
    for (int i = 0; i < PLACES; i++) {
        MDB_val value;
        uint64_t order;
        int rc = seek(s, txn, places[i], after, &order, &value);
        if (rc == MDB_NOTFOUND || (rc == 0 && order >= out->order)) continue;
        if (rc != 0) return rc;
        out->order = order;
        out->place = places[i];
        best = value;
    }
    if (best.mv_data == NULL) return MDB_NOTFOUND;
    return parse(best, out) ? 0 : EBADMSG;
}

/* ---- writing */

/* Room for a value at its place, to be filled before the transaction's next write. */
static int reserve(struct turn *t, uint64_t order, int place, bool append, MDB_val *value)
{
    struct order_key k = order_key_of(order);
    MDB_val key = val_of(&k, sizeof(k));
    return mdb_put(t->txn, t->s->dbi[place], &key, value, MDB_RESERVE | (append ? MDB_APPEND : 0));
}

/* Before a record is replaced: LMDB would use overflow pages again that it has just written, without telling in their
 * header that they are too many now. */
static int make_way(struct turn *t, uint64_t order, int place)
{
    struct order_key k = order_key_of(order);
    MDB_val key = val_of(&k, sizeof(k)), value;
    int rc = mdb_get(t->txn, t->s->dbi[place], &key, &value);
    if (rc != 0) return rc == MDB_NOTFOUND ? 0 : rc; /* it comes from another place */
    return has_own_pages(key, value) ? store_record_del(t, order, place) : 0;
}

int store_record_put(struct turn *t, const struct store_put *p, uint64_t order, int place, bool append)
{
    struct envelope e = { .id = p->id,
                          .content_number = p->content_number,
                          .content_len = p->content_len,
                          .fetch_seq = p->fetch_seq,
                          .record_len = (uint32_t)p->record_len,
                          .tag_count = (uint16_t)p->tag_count,
                          .flags = p->pinned ? ENVELOPE_PINNED : 0 };
    if (store_is_note(&p->id)) e.flags |= ENVELOPE_NOTE;
    size_t tags_len = p->tag_count * sizeof(uint64_t);
    MDB_val value = { sizeof(e) + tags_len + p->record_len, NULL };
    int rc = append ? 0 : make_way(t, order, place);
    if (rc == 0) rc = reserve(t, order, place, append, &value);
    if (rc != 0) return rc;
    char *at = value.mv_data;
    memcpy(at, &e, sizeof(e));
    if (tags_len > 0) memcpy(at + sizeof(e), p->tags, tags_len);
    if (p->record_len > 0) memcpy(at + sizeof(e) + tags_len, p->record, p->record_len);
    e.checksum = checksum_of(at, value.mv_size);
    memcpy(at, &e.checksum, sizeof(e.checksum));
    t->records++;
    t->bytes += value.mv_size;
    return 0;
}

int store_record_del(struct turn *t, uint64_t order, int place)
{
    struct order_key k = order_key_of(order);
    MDB_val key = val_of(&k, sizeof(k)), value;
    int rc = mdb_get(t->txn, t->s->dbi[place], &key, &value);
    if (rc != 0) return rc;
    return store_may_delete(key, value) ? mdb_del(t->txn, t->s->dbi[place], &key, NULL) : MDB_CORRUPTED;
}

int store_record_move(struct turn *t, const struct found_record *found, int to)
{
    struct envelope e = found->envelope;
    size_t tags_len = e.tag_count * sizeof(uint64_t);
    MDB_val value = { sizeof(e) + tags_len + e.record_len, NULL };
    uint64_t order = found->order;
    int from = found->place;
    /* Nothing moves in the place that `found` points into before it is deleted there: a page that is read in this
     * transaction stays as it is until its own tree is written. */
    int rc = reserve(t, order, to, true, &value);
    if (rc != 0) return rc;
    memcpy(value.mv_data, &e, sizeof(e));
    memcpy((char *)value.mv_data + sizeof(e), found->tags, tags_len + e.record_len); /* the record follows its tags */
    t->moved_bytes += value.mv_size;
    return store_record_del(t, order, from);
}
