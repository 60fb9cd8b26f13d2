#include "cache/store_internal.h"

bool store_turn_full(const struct turn *t)
{
    return t->records >= t->s->turn_records || t->bytes >= t->s->turn_bytes;
}

static int ignore_missing(int rc)
{
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int finished(struct store_op *op, int result)
{
    op->finished = true;
    op->result = result;
    return 0;
}

/* ---- content without a record */

int store_pending_put(struct turn *t, uint64_t number, enum pending_state state)
{
    struct order_key k = order_key_of(number);
    char letter = (char)state;
    MDB_val key = val_of(&k, sizeof(k)), value = val_of(&letter, 1);
    if (state == PENDING_GARBAGE) t->s->garbage = true;
    return mdb_put(t->txn, t->s->dbi[DB_PENDING], &key, &value, 0);
}

int store_pending_del(struct turn *t, uint64_t number)
{
    struct order_key k = order_key_of(number);
    MDB_val key = val_of(&k, sizeof(k));
    return ignore_missing(mdb_del(t->txn, t->s->dbi[DB_PENDING], &key, NULL));
}

static int is_under_way(struct turn *t, uint64_t number, bool *yes)
{
    struct order_key k = order_key_of(number);
    MDB_val key = val_of(&k, sizeof(k)), value;
    int rc = mdb_get(t->txn, t->s->dbi[DB_PENDING], &key, &value);
    *yes = rc == 0 && value.mv_size == 1 && *(char *)value.mv_data == PENDING_UNDER_WAY;
    return ignore_missing(rc);
}

int store_pending_all_garbage(struct turn *t)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    char garbage = PENDING_GARBAGE;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_PENDING], &cursor);
    if (rc != 0) return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        t->s->garbage = true;
        MDB_val now = val_of(&garbage, 1);
        if (value.mv_size == 1 && *(char *)value.mv_data == garbage) continue;
        rc = mdb_cursor_put(cursor, &key, &now, MDB_CURRENT);
        if (rc != 0) break;
    }
    mdb_cursor_close(cursor);
    return ignore_missing(rc);
}

int store_forget_chunks(struct turn *t, uint64_t number, size_t max, bool *more)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_CONTENT], &cursor);
    *more = false;
    for (size_t n = 0; rc == 0; n++) {
        struct chunk_key from = chunk_key_of(number, 0);
        MDB_val key = val_of(&from, sizeof(from)), value;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (rc != 0) break;
        if (key.mv_size != sizeof(from) || memcmp(key.mv_data, &from, sizeof(struct order_key)) != 0) break;
        *more = n == max;
        if (*more) break;
        t->bytes += value.mv_size;
        rc = store_may_delete(key, value) ? mdb_cursor_del(cursor, 0) : MDB_CORRUPTED;
    }
    if (cursor != NULL) mdb_cursor_close(cursor);
    return ignore_missing(rc);
}

static int forget_content(struct turn *t, uint64_t number, uint64_t len)
{
    bool more;
    if (number == 0 || len == 0) return 0;
    if (len > (uint64_t)STORE_INLINE_FORGET_CHUNKS * STORE_CHUNK_BYTES || store_is_pinned(t->s, number))
        return store_pending_put(t, number, PENDING_GARBAGE);
    return store_forget_chunks(t, number, STORE_INLINE_FORGET_CHUNKS, &more);
}

static int put_chunk(struct turn *t, uint64_t number, uint64_t chunk, const void *data, size_t len)
{
    struct store_state *state = &t->s->state;
    struct chunk_key k = chunk_key_of(number, chunk);
    MDB_val key = val_of(&k, sizeof(k)), value = { sizeof(uint64_t) + len, NULL };
    bool last = number > state->last_number || (number == state->last_number && chunk > state->last_chunk);
    int rc = mdb_put(t->txn, t->s->dbi[DB_CONTENT], &key, &value, MDB_RESERVE | (last ? MDB_APPEND : 0));
    if (rc != 0) return rc;
    uint64_t checksum = store_chunk_checksum(number, chunk, data, len);
    memcpy(value.mv_data, &checksum, sizeof(checksum));
    memcpy((char *)value.mv_data + sizeof(checksum), data, len);
    t->bytes += value.mv_size;
    if (last) {
        state->last_number = number;
        state->last_chunk = chunk;
    }
    return 0;
}

/* Write content from op->written on until the turn is full. */
static int put_content(struct turn *t, struct store_op *op, uint64_t number, uint64_t offset, const char *data,
                       size_t len)
{
    int rc = 0;
    while (rc == 0 && op->written < len && !store_turn_full(t)) {
        size_t left = len - op->written, n = left < STORE_CHUNK_BYTES ? left : STORE_CHUNK_BYTES;
        rc = put_chunk(t, number, (offset + op->written) / STORE_CHUNK_BYTES, data + op->written, n);
        if (rc == 0) op->written += n;
    }
    return rc;
}

static int apply_append(struct turn *t, struct store_op *op)
{
    bool known = op->append.offset == 0;
    int rc = 0;
    if (known && op->written == 0)
        rc = store_pending_put(t, op->append.number, PENDING_UNDER_WAY);
    else
        rc = is_under_way(t, op->append.number, &known);
    if (rc != 0) return rc;
    if (!known) return finished(op, -ENOENT); /* its beginning is not there */
    rc = put_content(t, op, op->append.number, (uint64_t)op->append.offset, op->append.data, op->append.len);
    if (rc == 0 && op->written == op->append.len) finished(op, 0);
    return rc;
}

static int apply_abandon(struct turn *t, struct store_op *op)
{
    finished(op, 0);
    return store_pending_put(t, op->append.number, PENDING_GARBAGE);
}

/* ---- records */

uint64_t store_weight(const struct envelope *e)
{
    enum { OVERHEAD = 160 }; /* envelope, index entry, tags */
    return OVERHEAD + e->record_len + (e->content_number != 0 ? e->content_len : 0);
}

static uint64_t weight_of_put(const struct store_put *p)
{
    struct envelope e = { .record_len = (uint32_t)p->record_len,
                          .content_number = p->content_number,
                          .content_len = p->content_len };
    return store_weight(&e);
}

static MDB_val tag_at(const uint64_t *tags, size_t i)
{
    return val_of(&tags[i], sizeof(tags[i]));
}

static int forget_tags(struct turn *t, uint64_t order, const uint64_t *tags, size_t n)
{
    struct order_key k = order_key_of(order);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        MDB_val tag = tag_at(tags, i), value = val_of(&k, sizeof(k));
        rc = ignore_missing(mdb_del(t->txn, t->s->dbi[DB_TAGS], &tag, &value));
    }
    return rc;
}

static int put_tags(struct turn *t, uint64_t order, const uint64_t *tags, size_t n)
{
    struct order_key k = order_key_of(order);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        MDB_val tag = tag_at(tags, i), value = val_of(&k, sizeof(k));
        rc = mdb_put(t->txn, t->s->dbi[DB_TAGS], &tag, &value, 0);
    }
    return rc;
}

/* What is not in main counts where it is: among the young, unless the hand is on it, or against the share that may be pinned. */
static uint64_t *counted_in(struct store_state *state, const struct store_id *id, int place, uint64_t order)
{
    if (place == DB_YOUNG) return order > state->hand_young ? &state->young_bytes : NULL;
    return place == DB_PINNED && !store_is_note(id) ? &state->pinned_bytes : NULL;
}

static void grow_lighter(struct store_state *state, int place, uint64_t order, const struct envelope *e)
{
    uint64_t weight = store_weight(e), *sum = counted_in(state, &e->id, place, order);
    if (sum != NULL) *sum -= weight < *sum ? weight : *sum;
}

static void grow_heavier(struct store_state *state, int place, uint64_t order, const struct store_put *p)
{
    uint64_t *sum = counted_in(state, &p->id, place, order);
    if (sum != NULL) *sum += weight_of_put(p);
}

int store_forget_record(struct turn *t, const struct found_record *found)
{
    struct store *s = t->s;
    struct envelope e = found->envelope; /* the map moves under `found` with the first write */
    MDB_val id = val_of(&e.id, sizeof(e.id));
    memcpy(s->tags_scratch, found->tags, e.tag_count * sizeof(uint64_t));
    uint64_t order = found->order;
    int place = found->place;
    int rc = store_record_del(t, order, place);
    if (rc == 0) rc = ignore_missing(mdb_del(t->txn, s->dbi[DB_INDEX], &id, NULL));
    if (rc == 0) rc = forget_tags(t, order, s->tags_scratch, e.tag_count);
    if (rc == 0) rc = forget_content(t, e.content_number, e.content_len);
    grow_lighter(&s->state, place, order, &e);
    t->records++;
    t->bytes += e.record_len;
    return rc;
}

int store_forget_broken(struct turn *t, const struct store_id *id, uint64_t order)
{
    int rc = 0;
    t->records++;
    for (int place = DB_YOUNG; place <= DB_PINNED && rc == 0; place++)
        rc = ignore_missing(store_record_del(t, order, place));
    if (rc != 0 || id == NULL) return rc;
    MDB_val key = val_of(id, sizeof(*id));
    return ignore_missing(mdb_del(t->txn, t->s->dbi[DB_INDEX], &key, NULL));
}

/* Where the hands expect a record that is not pinned. */
static int place_of_order(const struct store_state *state, uint64_t order)
{
    if (order > state->hand_young) return DB_YOUNG;
    return (order > state->hand_main) == (state->main_ahead == 0) ? DB_MAIN_A : DB_MAIN_B;
}

static int new_place(const struct store_state *state, const struct store_put *p, uint64_t order, int place)
{
    if (p->pinned) return DB_PINNED;
    return place == DB_PINNED ? place_of_order(state, order) : place;
}

/* A record is replaced where it is, whatever its content, unless it is pinned now or no longer: it keeps its age in eviction's
 * eyes, its index entry, and, if they are the same, its tags; and it leaves no hole. */
static int replace_record(struct turn *t, const struct store_put *p, const struct found_record *old)
{
    struct store_state *state = &t->s->state;
    struct envelope was = old->envelope; /* the map moves under `old` with the first write */
    uint64_t order = old->order;
    int from = old->place, place = new_place(state, p, order, from);
    struct store_put put = *p;
    if (p->keeps_content) put.content_len = was.content_len;
    size_t tags_len = was.tag_count * sizeof(uint64_t);
    bool same = was.tag_count == p->tag_count && (tags_len == 0 || memcmp(old->tags, p->tags, tags_len) == 0);
    memcpy(t->s->tags_scratch, old->tags, tags_len);
    int rc = place != from ? store_record_del(t, order, from) : 0;
    if (rc == 0) rc = store_record_put(t, &put, order, place, false);
    if (rc == 0 && !same) rc = forget_tags(t, order, t->s->tags_scratch, was.tag_count);
    if (rc == 0 && !same) rc = put_tags(t, order, p->tags, p->tag_count);
    if (rc == 0 && was.content_number != p->content_number) rc = forget_content(t, was.content_number, was.content_len);
    grow_lighter(state, from, order, &was);
    grow_heavier(state, place, order, &put);
    return rc;
}

static int add_record(struct turn *t, const struct store_put *p)
{
    struct store_state *state = &t->s->state;
    uint64_t order = state->next_order++;
    struct order_key k = order_key_of(order);
    MDB_val key = val_of(&p->id, sizeof(p->id)), value = val_of(&k, sizeof(k));
    int place = p->pinned ? DB_PINNED : DB_YOUNG;
    int rc = store_record_put(t, p, order, place, true);
    if (rc == 0) rc = mdb_put(t->txn, t->s->dbi[DB_INDEX], &key, &value, 0);
    if (rc == 0) rc = put_tags(t, order, p->tags, p->tag_count);
    grow_heavier(state, place, order, p);
    store_uses_arrived(t->s->uses, &p->id);
    return rc;
}

/* Content before its record, so that no record is ever without. Done when op->finished or all of it is written. */
static int put_content_first(struct turn *t, struct store_op *op)
{
    const struct store_put *p = &op->put;
    bool known = true;
    int rc = 0;
    if (p->keeps_content || p->content_number == 0 || p->content_len == 0) return 0;
    if (p->content == NULL || op->written > 0) rc = is_under_way(t, p->content_number, &known);
    if (rc == 0 && !known) return finished(op, -ENOENT); /* appended content that was given up meanwhile */
    if (rc != 0 || p->content == NULL) return rc;
    bool begun = op->written > 0;
    rc = put_content(t, op, p->content_number, 0, p->content, p->content_len);
    if (rc == 0 && !begun && op->written < p->content_len)
        rc = store_pending_put(t, p->content_number, PENDING_UNDER_WAY);
    return rc;
}

static int refuse_put(struct turn *t, struct store_op *op, int result)
{
    uint64_t number = op->put.keeps_content ? 0 : op->put.content_number;
    finished(op, result);
    return number == 0 ? 0 : store_pending_put(t, number, PENDING_GARBAGE);
}

static int find_old(struct turn *t, const struct store_id *id, struct found_record *old, bool *there)
{
    int rc = store_record_find(t->s, t->txn, id, old);
    *there = rc == 0;
    if (rc == EBADMSG) rc = store_forget_broken(t, id, old->order);
    return ignore_missing(rc);
}

/* Pins have a share of the store; beyond it a record is one like the others. */
static bool may_be_pinned(struct store *s, const struct store_put *p, const struct found_record *old)
{
    uint64_t limit = s->limit_pages * STORE_PAGE / 100 * STORE_PINNED_PERCENT, pinned = s->state.pinned_bytes;
    if (!p->pinned || store_is_note(&p->id)) return p->pinned;
    uint64_t had = old != NULL && old->place == DB_PINNED ? store_weight(&old->envelope) : 0;
    struct store_put put = *p;
    if (p->keeps_content && old != NULL) put.content_len = old->envelope.content_len;
    if (pinned - (had < pinned ? had : pinned) + weight_of_put(&put) <= limit) return true;
    atomic_fetch_add(&s->pins_refused, 1);
    return false;
}

static int apply_put(struct turn *t, struct store_op *op)
{
    const struct store_put *p = &op->put;
    struct found_record old;
    bool there;
    if (p->fetch_seq < t->s->seq_floor) return refuse_put(t, op, -ESTALE);
    int rc = put_content_first(t, op);
    if (rc != 0 || op->finished || (p->content != NULL && op->written < p->content_len)) return rc;
    rc = find_old(t, &p->id, &old, &there);
    if (rc != 0) return rc;
    if (p->keeps_content && (!there || old.envelope.content_number != p->content_number)) return finished(op, -ENOENT);
    struct store_put put = *p;
    put.pinned = may_be_pinned(t->s, p, there ? &old : NULL);
    rc = there ? replace_record(t, &put, &old) : add_record(t, &put);
    bool was_pending = !p->keeps_content && p->content_number != 0 && (p->content == NULL || op->committed > 0);
    if (rc == 0 && was_pending) rc = store_pending_del(t, p->content_number);
    if (rc != 0) return rc;
    if (was_pending) store_has_record(t->s, p->content_number);
    atomic_fetch_add(&t->s->puts, 1);
    return finished(op, 0);
}

static int apply_remove(struct turn *t, struct store_op *op)
{
    struct found_record old;
    bool there;
    int rc = find_old(t, &op->remove.id, &old, &there);
    if (rc == 0 && there && (op->remove.number == 0 || op->remove.number == old.envelope.content_number)) {
        rc = store_forget_record(t, &old);
        if (rc == 0) atomic_fetch_add(&t->s->removes, 1);
    }
    if (rc == 0) finished(op, 0);
    return rc;
}

/* The id that follows in the order of their bytes; false after the last variant. */
static bool next_variant(struct store_id *id)
{
    unsigned char *bytes = (unsigned char *)&id->variant;
    for (size_t i = sizeof(id->variant); i-- > 0;)
        if (++bytes[i] != 0) return true;
    return false;
}

static int remove_variant(struct turn *t, const struct store_op *op, const struct store_id *id)
{
    struct found_record old;
    bool there;
    int rc = find_old(t, id, &old, &there);
    if (rc != 0 || !there || old.envelope.fetch_seq >= op->remove.below_seq) return rc;
    atomic_fetch_add(&t->s->removes, 1);
    return store_forget_record(t, &old);
}

static int apply_remove_key(struct turn *t, struct store_op *op)
{
    struct store_id at = op->remove.id;
    at.variant = 0;
    for (bool more = true; more; more = next_variant(&at)) {
        MDB_cursor *cursor = NULL;
        MDB_val key = val_of(&at, sizeof(at)), value;
        if (store_turn_full(t)) return 0; /* goes on in the next turn; what was kept is looked at again */
        int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_INDEX], &cursor);
        if (rc != 0) return rc;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        bool ours = rc == 0 && key.mv_size == sizeof(at) && memcmp(key.mv_data, at.key, sizeof(at.key)) == 0;
        if (ours) memcpy(&at, key.mv_data, sizeof(at));
        mdb_cursor_close(cursor);
        if (ignore_missing(rc) != 0) return rc;
        if (!ours) break;
        rc = remove_variant(t, op, &at);
        if (rc != 0) return rc;
    }
    return finished(op, 0);
}

/* ---- the purge log */

size_t store_purge_key(char kind, bool soft, struct view name, char *to)
{
    to[0] = kind;
    to[1] = soft ? 's' : 'h';
    if (name.len > 0) memcpy(to + 2, name.at, name.len);
    return 2 + name.len;
}

static int apply_log_purges(struct turn *t, struct store_op *op)
{
    struct store_state *state = &t->s->state;
    for (size_t i = 0; i < op->purges.n; i++) {
        const struct store_purge_line *l = &op->purges.lines[i];
        char name[2 + STORE_PURGE_NAME_MAX];
        MDB_val key = val_of(name, store_purge_key(l->kind, l->soft, l->name, name));
        uint64_t part[3] = { l->seq, (uint64_t)l->time_s, store_purge_checksum(key, l->seq, l->time_s) };
        MDB_val value = val_of(part, sizeof(part));
        int rc = mdb_put(t->txn, t->s->dbi[DB_PURGES], &key, &value, 0);
        if (rc != 0) return rc;
    }
    if (op->purges.seq > state->purge_seq) state->purge_seq = op->purges.seq;
    return finished(op, 0);
}

static int apply_forget_purge(struct turn *t, struct store_op *op)
{
    MDB_val key = val_of(op->forget.key, op->forget.key_len), value;
    uint64_t seq;
    finished(op, 0);
    int rc = mdb_get(t->txn, t->s->dbi[DB_PURGES], &key, &value);
    if (rc != 0 || value.mv_size < sizeof(seq)) return ignore_missing(rc);
    memcpy(&seq, value.mv_data, sizeof(seq));
    return seq == op->forget.seq ? mdb_del(t->txn, t->s->dbi[DB_PURGES], &key, NULL) : 0;
}

int store_apply(struct turn *t, struct store_op *op)
{
    switch (op->kind) {
    case OP_APPEND: return apply_append(t, op);
    case OP_ABANDON: return apply_abandon(t, op);
    case OP_PUT: return apply_put(t, op);
    case OP_REMOVE: return apply_remove(t, op);
    case OP_REMOVE_KEY: return apply_remove_key(t, op);
    case OP_LOG_PURGES: return apply_log_purges(t, op);
    case OP_FORGET_PURGE: return apply_forget_purge(t, op);
    case OP_FLUSH:
    case OP_RECLAIM: break; /* is done in the background: store_reclaim_some */
    }
    return finished(op, 0);
}
