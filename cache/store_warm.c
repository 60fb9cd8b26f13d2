#include "cache/store_internal.h"
#include "cache/store_pages.h"

#include <sys/mman.h>
#include <time.h>

/* Whether a look-up would wait for the disk. LMDB reads its file as memory and cannot be asked, so this goes the way that it
 * would go, page by page, and touches none before the kernel has said that it is there. What it finds odd counts as cold: a
 * reader thread meets it then, and reports it. Branches are on the way of every look-up; one that was there a moment ago is
 * taken to be there still, and so is every page of a run that was there as a whole. */

enum {
    DEPTH_LIMIT = 32,
    RUN_MAX = 64, /* pages asked for at once */
    WARM_CHUNKS_MAX = 4,
};

struct look {
    struct store *s;
    const char *map;
    uint64_t pages;
    struct tree names;
    unsigned now_s;
};

/* ---- pages */

static unsigned coarse_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (unsigned)t.tv_sec;
}

static bool is_there(const struct look *l, uint64_t page, uint64_t count)
{
    unsigned char there[RUN_MAX];
    if (count == 0 || count > RUN_MAX || page >= l->pages || count > l->pages - page) return false;
    if (mincore((void *)(uintptr_t)(l->map + page * PAGE), count * PAGE, there) != 0) return false;
    for (uint64_t i = 0; i < count; i++)
        if (!(there[i] & 1)) return false;
    return true;
}

/* What was seen in memory stays known for a second: each place keeps a number, of a page or of a run, and the time. */
static bool seen_lately(_Atomic uint64_t *place, uint64_t number, const struct look *l)
{
    uint64_t seen = atomic_load_explicit(place, memory_order_relaxed);
    return seen >> 16 == number && (uint16_t)((uint16_t)l->now_s - (uint16_t)seen) <= 1;
}

static void note_seen(_Atomic uint64_t *place, uint64_t number, const struct look *l)
{
    uint64_t seen = number << 16 | (uint16_t)l->now_s;
    if (atomic_load_explicit(place, memory_order_relaxed) != seen)
        atomic_store_explicit(place, seen, memory_order_relaxed);
}

static _Atomic uint64_t *branch_place(const struct look *l, uint64_t page)
{
    return &l->s->warm_branches[page % STORE_WARM_BRANCHES];
}

/* The kernel is asked for the whole run around a page at once: where all of it is in memory, as in a store that fits, it is
 * not asked again for any other page of the run. */
static bool run_is_there(const struct look *l, uint64_t page)
{
    uint64_t run = page / RUN_MAX, first = run * RUN_MAX;
    uint64_t count = l->pages - first < RUN_MAX ? l->pages - first : RUN_MAX;
    _Atomic uint64_t *place = &l->s->warm_runs[run % STORE_WARM_RUNS];
    unsigned char there[RUN_MAX], all = 1;
    if (seen_lately(place, run, l)) return true;
    if (mincore((void *)(uintptr_t)(l->map + first * PAGE), count * PAGE, there) != 0) return false;
    for (uint64_t i = 0; i < count; i++) all &= there[i];
    if (all & 1) note_seen(place, run, l);
    return there[page - first] & 1;
}

static const char *page_if_there(const struct look *l, uint64_t page)
{
    bool there = page < l->pages && (seen_lately(branch_place(l, page), page, l) || run_is_there(l, page));
    return there ? l->map + page * PAGE : NULL;
}

/* ---- a tree */

enum step { STEP_FOUND, STEP_MISSING, STEP_COLD };

enum { NONE = -1, ODD = -2 };

/* The last node of a page that is not above `key`; of a branch the first stands for anything less. NONE, or ODD: damaged. */
static int last_not_above(const char *page, unsigned keys, bool branch, struct view key, struct node *out)
{
    int low = branch ? 0 : -1, high = (int)keys - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (!node_at(page, (unsigned)middle, branch, out)) return ODD;
        if (compare_keys(out->key, key, false) <= 0)
            low = middle;
        else
            high = middle - 1;
    }
    if (low < 0) return NONE;
    return node_at(page, (unsigned)low, branch, out) ? low : ODD;
}

static enum step find_in_tree(const struct look *l, const struct tree *t, struct view key, struct node *out)
{
    uint64_t number = t->root;
    if (t->depth == 0) return STEP_MISSING;
    for (unsigned depth = 0; depth < DEPTH_LIMIT; depth++) {
        const char *page = page_if_there(l, number);
        if (page == NULL) return STEP_COLD;
        struct page_header h;
        memcpy(&h, page, sizeof(h));
        bool branch = h.flags == PAGE_BRANCH;
        if (h.number != number || h.lower < HEADER || h.lower > PAGE || (!branch && h.flags != PAGE_LEAF))
            return STEP_COLD;
        int at = last_not_above(page, (unsigned)(h.lower - HEADER) / 2, branch, key, out);
        if (at == ODD) return STEP_COLD;
        if (!branch) return at >= 0 && compare_keys(out->key, key, false) == 0 ? STEP_FOUND : STEP_MISSING;
        if (at < 0) return STEP_COLD;
        note_seen(branch_place(l, number), number, l);
        number = out->child;
    }
    return STEP_COLD;
}

static enum step find_in_database(const struct look *l, const char *name, struct view key, struct node *out)
{
    struct tree t;
    enum step step = find_in_tree(l, &l->names, view_of_str(name), out);
    if (step != STEP_FOUND || out->flags != NODE_TREE || out->data_len != sizeof(t)) return STEP_COLD;
    memcpy(&t, out->data, sizeof(t));
    return find_in_tree(l, &t, key, out);
}

/* The value of a node, where it lies. NULL: it would have to be read. */
static const char *value_of(const struct look *l, const struct node *n)
{
    uint64_t first;
    if (n->flags == 0) return n->data;
    if (n->flags != NODE_BIG) return NULL;
    memcpy(&first, n->data, sizeof(first));
    return is_there(l, first, (HEADER + n->data_len + PAGE - 1) / PAGE) ? l->map + first * PAGE + HEADER : NULL;
}

/* ---- a look-up */

static bool content_is_there(const struct look *l, const struct envelope *e, size_t content_max)
{
    struct node n;
    if (e->content_number == 0 || e->content_len > content_max) return true; /* there, or not read */
    uint64_t chunks = (e->content_len + STORE_CHUNK_BYTES - 1) / STORE_CHUNK_BYTES;
    if (chunks > WARM_CHUNKS_MAX) return false; /* to copy it takes as long as a read */
    for (uint64_t i = 0; i < chunks; i++) {
        struct chunk_key k = chunk_key_of(e->content_number, i);
        enum step step = find_in_database(l, store_name_of(DB_CONTENT), view_of((char *)&k, sizeof(k)), &n);
        if (step != STEP_FOUND) return step == STEP_MISSING;
        if (value_of(l, &n) == NULL) return false;
    }
    return true;
}

static bool record_is_there(const struct look *l, uint64_t order, size_t content_max)
{
    struct order_key k = order_key_of(order);
    struct view key = view_of((char *)&k, sizeof(k));
    struct envelope e;
    struct node n;
    enum step step = STEP_MISSING;
    int likely = store_likely_place(l->s, order);
    step = find_in_database(l, store_name_of(likely), key, &n);
    for (int place = DB_YOUNG; place <= DB_MAIN_B && step == STEP_MISSING; place++)
        if (place != likely) step = find_in_database(l, store_name_of(place), key, &n);
    if (step != STEP_FOUND) return step == STEP_MISSING;
    const char *value = value_of(l, &n);
    if (value == NULL || n.data_len < sizeof(e)) return false;
    memcpy(&e, value, sizeof(e));
    return content_is_there(l, &e, content_max);
}

/* The map begins where a page with number 0 would lie. */
static int find_map(struct store *s, MDB_txn *txn, const char **map)
{
    *map = atomic_load_explicit(&s->map, memory_order_relaxed);
    if (*map != NULL) return 0;
    MDB_val key = val_of(store_state_key, strlen(store_state_key) + 1), value;
    int rc = mdb_get(txn, s->dbi[DB_META], &key, &value);
    if (rc != 0) return rc;
    const char *page = (const char *)((uintptr_t)value.mv_data / PAGE * PAGE);
    struct page_header h;
    memcpy(&h, page, sizeof(h));
    *map = page - h.number * PAGE;
    atomic_store_explicit(&s->map, *map, memory_order_relaxed);
    return 0;
}

/* The roots of this transaction are in one of the two meta pages, unless it is an old one. */
static bool find_roots(struct look *l, MDB_txn *txn)
{
    for (unsigned i = 0; i < 2; i++) {
        struct meta m;
        memcpy(&m, l->map + i * PAGE + HEADER, sizeof(m));
        if (m.txn != mdb_txn_id(txn)) continue;
        l->names = m.names;
        l->pages = m.last_page + 1 < l->s->map_bytes / PAGE ? m.last_page + 1 : l->s->map_bytes / PAGE;
        return true;
    }
    return false;
}

struct question {
    const struct store_id *id;
    size_t content_max;
    enum store_warmth answer;
};

static int look_in_slot(struct store *s, struct reader_slot *slot, void *arg)
{
    struct question *q = arg;
    struct look l = { .s = s, .now_s = coarse_s() };
    struct node n;
    int rc = find_map(s, slot->txn, &l.map);
    if (rc != 0 || !find_roots(&l, slot->txn)) return rc;
    struct view key = view_of((const char *)q->id, sizeof(*q->id));
    enum step step = find_in_database(&l, store_name_of(DB_INDEX), key, &n);
    if (step == STEP_FOUND && n.flags == 0 && n.data_len == sizeof(struct order_key)) {
        if (record_is_there(&l, order_of(n.data), q->content_max)) q->answer = STORE_WARM;
    } else if (step == STEP_MISSING) {
        q->answer = STORE_MISSING;
        atomic_fetch_add_explicit(&slot->gets, 1, memory_order_relaxed); /* in place of the store_get that is saved */
    }
    return 0;
}

enum store_warmth store_warmth(struct store *s, const struct store_id *id, size_t content_max)
{
    struct question q = { .id = id, .content_max = content_max, .answer = STORE_COLD };
    return store_read_in_free_slot(s, look_in_slot, &q) == 0 ? q.answer : STORE_COLD;
}
