#include "cache/store_internal.h"

#include <stdlib.h>
#include <xxhash.h>

/* Who leaves: a small queue of the young and a main queue, both first in first out, after S3-FIFO (Yang et al., SOSP 2023).
 * Orders tell who came when, and never change; a hand for each queue walks over them.
 *
 *              hand_main -->                hand_young -->
 *   [ looked at ][ main: to be looked at ... ][ young: a tenth of the bytes ... newest ]
 *     main-b        main-a                      young
 *
 * When the young are more than a tenth, hand_young looks at the next of them: used since it came, it becomes the last of
 * main; else it leaves. Otherwise hand_main looks at the next of main: used, it stays, with its count of uses lowered, and
 * moves over to what has been looked at; else it leaves. At the end main-a and main-b change their parts. So a scan passes
 * through the young and takes nothing else with it, and what stays is always written anew, one close to the other:
 * left in its place, each would keep a page to itself.
 *
 * Uses are counted in a filter of two bits per id, in memory; after a restart nothing has been used. What left young is
 * remembered by a fingerprint (the ghost queue): if it comes back, it counts as used.                                     */

enum {
    USES_BYTES = 4 << 20, /* four counters each */
    USES_MOST = 3,
    GHOSTS = 1 << 19,
    YOUNG_PERCENT = 10,
    LOOKS_MAX = 4096, /* then the next one leaves, used or not */
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

static int main_place(const struct store *s, bool ahead)
{
    return (s->state.main_ahead == 0) == ahead ? DB_MAIN_A : DB_MAIN_B;
}

/* What memory answers never asks the store: the hottest would look the coldest here. */
static bool is_used(struct store *s, const struct store_id *id)
{
    return uses_of(s->uses, hash_of(id)) > 0 || (s->in_use != NULL && s->in_use(s->in_use_arg, id));
}

/* Move the hand of the young on. *left: a record has left. MDB_NOTFOUND: there are none. */
static int young_step(struct turn *t, bool force, bool *left)
{
    struct store *s = t->s;
    struct found_record found;
    int rc = store_record_next_in(s, t->txn, DB_YOUNG, s->state.hand_young, &found);
    if (rc == MDB_NOTFOUND) s->state.young_bytes = 0;
    if (rc != 0 && rc != EBADMSG) return rc;
    s->state.hand_young = found.order;
    *left = true;
    if (rc == EBADMSG) return store_forget_broken(t, NULL, found.order);
    uint64_t weight = store_weight(&found.envelope), hash = hash_of(&found.envelope.id);
    s->state.young_bytes -= weight < s->state.young_bytes ? weight : s->state.young_bytes;
    *left = force || !is_used(s, &found.envelope.id);
    if (*left) {
        s->uses->ghosts[hash % GHOSTS] = (uint32_t)(hash >> 32);
        return store_forget_record(t, &found);
    }
    uses_set(s->uses, hash, 0);
    return store_record_move(t, &found, main_place(s, true));
}

/* The same for main. MDB_NOTFOUND: the hand is at the end, and begins anew. */
static int main_step(struct turn *t, bool force, bool *left)
{
    struct store *s = t->s;
    struct found_record found;
    int rc = store_record_next_in(s, t->txn, main_place(s, true), s->state.hand_main, &found);
    if (rc == MDB_NOTFOUND) {
        s->state.hand_main = 0;
        s->state.main_ahead = !s->state.main_ahead;
    }
    if (rc != 0 && rc != EBADMSG) return rc;
    s->state.hand_main = found.order;
    *left = true;
    if (rc == EBADMSG) return store_forget_broken(t, NULL, found.order);
    uint64_t hash = hash_of(&found.envelope.id);
    unsigned uses = uses_of(s->uses, hash);
    *left = force || !is_used(s, &found.envelope.id);
    if (*left) return store_forget_record(t, &found);
    if (uses > 0) uses_set(s->uses, hash, uses - 1);
    return store_record_move(t, &found, main_place(s, false));
}

/* Look at the next pin: one that is over lets its record go. */
static int pinned_step(struct turn *t, bool *left)
{
    struct store *s = t->s;
    struct found_record found;
    *left = false;
    if (s->pin_is_over == NULL) return 0;
    int rc = store_record_next_in(s, t->txn, DB_PINNED, s->hand_pinned, &found);
    if (rc == MDB_NOTFOUND) s->hand_pinned = 0;
    if (rc == MDB_NOTFOUND) return 0;
    if (rc != 0 && rc != EBADMSG) return rc;
    s->hand_pinned = found.order;
    *left = rc == EBADMSG || (!(found.envelope.flags & ENVELOPE_NOTE) && s->pin_is_over(s->pin_arg, found.record));
    if (rc == EBADMSG) return store_forget_broken(t, NULL, found.order);
    return *left ? store_forget_record(t, &found) : 0;
}

/* One record leaves, or the hands have moved as far as a turn may. */
static int evict_record(struct turn *t)
{
    struct store *s = t->s;
    uint64_t young_limit = s->limit_pages * STORE_PAGE / 100 * YOUNG_PERCENT;
    bool young_is_over = false, left = false;
    int rounds = 0;
    int pinned_rc = pinned_step(t, &left);
    if (pinned_rc != 0) return pinned_rc;
    if (left) {
        atomic_fetch_add(&s->evicted_main, 1);
        return 0;
    }
    for (; t->moves_left > 0 && t->moved_bytes < s->turn_bytes; t->moves_left--) {
        bool force = s->looks++ > LOOKS_MAX;
        bool young = !young_is_over && (rounds > 1 || s->state.young_bytes > young_limit);
        int rc = young ? young_step(t, force, &left) : main_step(t, force, &left);
        if (rc != 0 && rc != MDB_NOTFOUND) return rc;
        if (rc == 0 && left) {
            s->looks = 0;
            atomic_fetch_add(young ? &s->evicted_young : &s->evicted_main, 1);
            return 0;
        }
        if (rc == 0) continue;
        if (young)
            young_is_over = true;
        else if (++rounds > 2 && young_is_over)
            return MDB_NOTFOUND; /* there is nothing at all */
    }
    return 0;
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

/* How much of a content is there, by its last chunk. */
static int content_bytes(struct turn *t, uint64_t number, uint64_t *bytes)
{
    MDB_cursor *cursor = NULL;
    struct chunk_key after = chunk_key_of(number + 1, 0);
    MDB_val key = val_of(&after, sizeof(after)), value;
    *bytes = STORE_CHUNK_BYTES;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_CONTENT], &cursor);
    if (rc != 0) return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    if (rc == 0 && key.mv_size == sizeof(after) && order_of(key.mv_data) == number) {
        uint32_t last;
        memcpy(&last, (char *)key.mv_data + sizeof(struct order_key), sizeof(last));
        *bytes += (uint64_t)__builtin_bswap32(last) * STORE_CHUNK_BYTES;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int may_go(struct turn *t, uint64_t number, bool *yes)
{
    uint64_t bytes;
    *yes = !store_is_pinned(t->s, number);
    if (*yes) return 0;
    int rc = content_bytes(t, number, &bytes);
    *yes = rc == 0 && !store_is_kept(t->s, number, bytes);
    return rc;
}

int store_collect_garbage(struct turn *t)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t number = 0;
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_PENDING], &cursor);
    if (rc != 0) return rc;
    while (number == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (value.mv_size != 1 || *(char *)value.mv_data != PENDING_GARBAGE || key.mv_size != sizeof(struct order_key))
            continue;
        uint64_t candidate = order_of(key.mv_data);
        bool yes;
        rc = may_go(t, candidate, &yes);
        if (rc != 0) break;
        if (yes) number = candidate;
    }
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
    MDB_cursor *tags = NULL;
    if (!op->reclaim.by_tag) return store_record_next(t->s, t->txn, op->written, found);
    int rc = mdb_cursor_open(t->txn, t->s->dbi[DB_TAGS], &tags);
    if (rc != 0) return rc;
    rc = store_tag_next(tags, op->reclaim.tag, op->written, &found->order);
    mdb_cursor_close(tags);
    return rc != 0 ? rc : store_record_at(t->s, t->txn, found->order, found);
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
