#include "cache/store_internal.h"

#include <stdlib.h>
#include <xxhash.h>

/* Who leaves: a small queue of the young and a main queue, both first in first out, after S3-FIFO (Yang et al., SOSP 2023).
 * Records lie in the order of their arrival and never move: a hand for each queue walks over them instead.
 *
 *       hand_main -->                      hand_young -->
 *   [ old ... main queue ................. ][ young: a tenth of the bytes ... newest ]
 *
 * When the young are more than a tenth, hand_young looks at the next of them: used since it came, it stays and is main from
 * now on; else it leaves. Otherwise hand_main looks at the next of main: used, it stays and its count of uses is lowered;
 * else it leaves; at hand_young it begins anew. So a scan passes through the young and takes nothing else with it.
 *
 * Uses are counted in a filter of two bits per id, in memory; after a restart nothing has been used. What left young is
 * remembered by a fingerprint (the ghost queue): if it comes back, it counts as used.                                     */

enum {
    USES_BYTES = 4 << 20, /* four counters each */
    USES_MOST = 3,
    GHOSTS = 1 << 19,
    YOUNG_PERCENT = 10,
    LOOKS_MAX = 2048, /* then the next one leaves, used or not */
    RECLAIM_LOOKS = 512,
};

struct uses {
    _Atomic unsigned char counts[USES_BYTES];
    uint32_t ghosts[GHOSTS]; /* the writer's own */
};

struct uses *store_uses_new(void)
{
    return calloc(1, sizeof(struct uses)); /* pages appear as they are used */
}

static uint64_t hash_of(const struct store_id *id)
{
    return XXH3_64bits(id, sizeof(*id));
}

static unsigned shift_of(uint64_t hash)
{
    return (unsigned)(hash >> 32 & 3) * 2;
}

static unsigned uses_of(struct uses *u, uint64_t hash)
{
    return atomic_load_explicit(&u->counts[hash % USES_BYTES], memory_order_relaxed) >> shift_of(hash) & USES_MOST;
}

/* Not one atomic step: a use that is lost among neighbours does no harm. */
static void uses_set(struct uses *u, uint64_t hash, unsigned n)
{
    _Atomic unsigned char *at = &u->counts[hash % USES_BYTES];
    unsigned others = atomic_load_explicit(at, memory_order_relaxed) & ~((unsigned)USES_MOST << shift_of(hash));
    atomic_store_explicit(at, (unsigned char)(others | n << shift_of(hash)), memory_order_relaxed);
}

void store_uses_note(struct uses *u, const struct store_id *id)
{
    uint64_t hash = hash_of(id);
    unsigned n = uses_of(u, hash);
    if (n < USES_MOST) uses_set(u, hash, n + 1);
}

void store_uses_arrived(struct uses *u, const struct store_id *id)
{
    uint64_t hash = hash_of(id);
    uint32_t *ghost = &u->ghosts[hash % GHOSTS];
    if (*ghost != (uint32_t)(hash >> 32)) return;
    *ghost = 0;
    if (uses_of(u, hash) == 0) uses_set(u, hash, 1);
}

/* ---- hands */

/* The next record above *hand and not above `end`. MDB_NOTFOUND when there is none. */
static int hand_next(struct turn *t, uint64_t *hand, uint64_t end, struct found_record *found)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_RECORDS], &cursor);
    if (rc != 0) return rc;
    rc = store_record_next(cursor, *hand, found);
    mdb_cursor_close(cursor);
    if ((rc == 0 || rc == EBADMSG) && found->order > end) return MDB_NOTFOUND;
    if (rc == 0 || rc == EBADMSG) *hand = found->order;
    return rc;
}

static int evict(struct turn *t, const struct found_record *found, bool young)
{
    uint64_t hash = hash_of(&found->envelope.id);
    if (young) t->s->uses->ghosts[hash % GHOSTS] = (uint32_t)(hash >> 32);
    atomic_fetch_add(&t->s->evictions, 1);
    return store_forget_record(t, found);
}

/* Move the hand of the young one on. *left: the record has left. */
static int young_step(struct turn *t, bool force, bool *left)
{
    struct store *s = t->s;
    struct found_record found;
    int rc = hand_next(t, &s->state.hand_young, UINT64_MAX, &found);
    *left = true;
    if (rc == EBADMSG) return store_forget_broken(t, NULL, found.order);
    if (rc != 0) {
        s->state.young_bytes = 0;
        return rc;
    }
    uint64_t weight = store_weight(&found.envelope), hash = hash_of(&found.envelope.id);
    s->state.young_bytes -= weight < s->state.young_bytes ? weight : s->state.young_bytes;
    *left = !(found.envelope.flags & ENVELOPE_PINNED) && (force || uses_of(s->uses, hash) == 0);
    if (*left) return evict(t, &found, true);
    uses_set(s->uses, hash, 0);
    return 0;
}

static int main_step(struct turn *t, bool force, bool *left)
{
    struct store *s = t->s;
    struct found_record found;
    int rc = hand_next(t, &s->state.hand_main, s->state.hand_young, &found);
    *left = true;
    if (rc == EBADMSG) return store_forget_broken(t, NULL, found.order);
    if (rc != 0) return rc;
    uint64_t hash = hash_of(&found.envelope.id);
    unsigned uses = uses_of(s->uses, hash);
    *left = !(found.envelope.flags & ENVELOPE_PINNED) && (force || uses == 0);
    if (*left) return evict(t, &found, false);
    if (uses > 0) uses_set(s->uses, hash, uses - 1);
    return 0;
}

/* One record leaves. A pinned one never does, so all may be looked at in vain. */
static int evict_record(struct turn *t)
{
    struct store *s = t->s;
    uint64_t young_limit = s->limit_pages * STORE_PAGE / 100 * YOUNG_PERCENT;
    bool main_is_over = false, young_is_over = false, left = false;
    int begun_anew = 0;
    for (int looks = 0; !(main_is_over && young_is_over); looks++) {
        bool young = !young_is_over && (main_is_over || s->state.young_bytes > young_limit);
        int rc = young ? young_step(t, looks > LOOKS_MAX, &left) : main_step(t, looks > LOOKS_MAX, &left);
        if (rc == 0 && left) return 0;
        if (rc != 0 && rc != MDB_NOTFOUND) return rc;
        if (rc == 0 && looks < 4 * LOOKS_MAX) continue;
        if (rc == 0) return MDB_NOTFOUND; /* so many are pinned: later */
        if (young) {
            young_is_over = true;
        } else {
            s->state.hand_main = 0;
            /* The young that were used have become main, so a second round finds more. */
            main_is_over = ++begun_anew > USES_MOST + 1;
        }
    }
    return MDB_NOTFOUND;
}

int store_evict_one(struct turn *t)
{
    uint64_t before = t->bytes;
    if (t->s->garbage) {
        int rc = store_collect_garbage(t);
        if (rc != 0 || t->bytes != before) return rc;
    }
    return evict_record(t);
}

int store_collect_garbage(struct turn *t)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t number = 0;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_PENDING], &cursor);
    if (rc != 0) return rc;
    while (number == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        if (value.mv_size == 1 && *(char *)value.mv_data == PENDING_GARBAGE && key.mv_size == sizeof(struct order_key))
            number = order_of(key.mv_data);
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) t->s->garbage = false;
    if (rc != 0) return rc == MDB_NOTFOUND ? 0 : rc;
    bool more;
    rc = store_forget_chunks(t, number, STORE_FORGET_CHUNKS, &more);
    return rc != 0 || more ? rc : store_pending_del(t, number);
}

/* ---- reclaiming after a purge */

static int reclaim_next(struct turn *t, const struct store_op *op, struct found_record *found)
{
    MDB_cursor *cursor = NULL;
    MDB_dbi dbi = t->s->dbi[op->reclaim.by_tag ? DB_TAGS : DB_RECORDS];
    int rc = mdb_cursor_open(t->txn, dbi, &cursor);
    if (rc != 0) return rc;
    if (!op->reclaim.by_tag) {
        rc = store_record_next(cursor, op->written, found);
    } else if ((rc = store_tag_next(cursor, op->reclaim.tag, op->written, &found->order)) == 0) {
        struct order_key order = order_key_of(found->order);
        MDB_val key = val_of(&order, sizeof(order)), value;
        rc = mdb_get(t->txn, t->s->dbi[DB_RECORDS], &key, &value);
        if (rc == MDB_NOTFOUND || (rc == 0 && !store_record_parse(key, value, found))) rc = EBADMSG;
    }
    mdb_cursor_close(cursor);
    return rc;
}

int store_reclaim_some(struct turn *t, struct store_op *op)
{
    size_t begun = t->records;
    for (int looks = 0; looks < RECLAIM_LOOKS && t->records - begun < t->s->turn_records; looks++) {
        struct found_record found;
        int rc = reclaim_next(t, op, &found);
        if (rc == MDB_NOTFOUND) {
            op->finished = true;
            return 0;
        }
        if (rc != 0 && rc != EBADMSG) return rc;
        op->written = found.order;
        if (rc == EBADMSG || found.envelope.fetch_seq >= op->reclaim.below_seq) continue;
        if (op->reclaim.matches != NULL && !op->reclaim.matches(op->arg, found.record)) continue;
        rc = store_forget_record(t, &found);
        if (rc != 0) return rc;
        atomic_fetch_add(&t->s->reclaimed, 1);
    }
    return 0;
}
