#include "purge/count.h"

#include "cache/record.h"
#include "purge/record_subject.h"
#include "purge/tag.h"

#include <stdlib.h>

enum { WALK_SLICE = 256 };

/* The responses counted so far, so that each counts once: a set of hashes of their ids. */
struct seen {
    uint64_t *slots; /* 0: free */
    size_t count, slot_count;
};

struct counting {
    struct purge_op *op;
    uint64_t before; /* purges and fetches from this number on do not concern us */
    uint64_t look_max, prefix_max;
    bool alone; /* one name only: nothing can be seen twice */
    struct seen seen;
    /* the line whose responses are being walked */
    const struct line *line;
    uint64_t looked, found;
};

/* ---- seen */

static bool seen_grow(struct seen *seen)
{
    struct seen larger = { .slot_count = seen->slot_count > 0 ? seen->slot_count * 2 : 1024 };
    larger.slots = calloc(larger.slot_count, sizeof(*larger.slots));
    if (larger.slots == NULL) return false;
    for (size_t i = 0; i < seen->slot_count; i++) {
        size_t at = seen->slots[i] & (larger.slot_count - 1);
        if (seen->slots[i] == 0) continue;
        while (larger.slots[at] != 0) at = (at + 1) & (larger.slot_count - 1);
        larger.slots[at] = seen->slots[i];
    }
    larger.count = seen->count;
    free(seen->slots);
    *seen = larger;
    return true;
}

/* True the first time. Without memory everything is new. */
static bool seen_add(struct seen *seen, const struct store_id *id)
{
    uint64_t hash = (id->key[0] ^ id->variant * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    if (seen->count * 2 >= seen->slot_count && !seen_grow(seen)) return true;
    size_t at = hash & (seen->slot_count - 1);
    for (; seen->slots[at] != 0; at = (at + 1) & (seen->slot_count - 1)) {
        if (seen->slots[at] == hash) return false;
    }
    seen->slots[at] = hash;
    seen->count++;
    return true;
}

/* ---- one record */

static bool was_purged(const struct counting *c, const struct purge_subject *s)
{
    struct purges *p = c->op->p;
    pthread_rwlock_rdlock(&p->lock);
    struct marks global = lines_check(&p->lines, s, c->before);
    pthread_rwlock_unlock(&p->lock);
    return global.hard_seq > s->fetch_seq || c->line->hard_seq > s->fetch_seq;
}

/* Whether another line of the same purge counts it anyway: a URL, by its key. */
static bool counted_by_key(const struct counting *c, const struct store_id *id, struct view uri)
{
    if (c->line->kind == LINE_URL) return memcmp(id->key, &c->line->name[1], sizeof(id->key)) == 0;
    return c->op->lines.of_kind[LINE_URL] > 0 && lines_have_url(&c->op->lines, uri);
}

static bool look(void *arg, const struct store_id *id, const struct store_found *found, struct view record)
{
    struct counting *c = arg;
    struct record_subject r;
    c->looked++;
    if (found->fetch_seq >= c->before || !record_subject_of(record, found->fetch_seq, &r)) return true;
    if (r.kind != RECORD_RESPONSE) return true;
    if (c->line->kind == LINE_PREFIX && !line_prefix_matches(c->line, r.subject.uri)) return true;
    if (counted_by_key(c, id, r.subject.uri) || was_purged(c, &r.subject)) return true;
    if (c->alone || seen_add(&c->seen, id)) c->found++;
    return true;
}

/* Look at no more than `limit` of the responses with this tag, and take them for all `total`. */
static uint64_t count_walk(struct counting *c, const uint64_t *tag, uint64_t limit, uint64_t total)
{
    uint64_t cursor = 0;
    c->looked = c->found = 0;
    do {
        if (store_walk(c->op->p->store, tag, &cursor, WALK_SLICE, look, c) < 0) break;
    } while (cursor != 0 && c->looked < limit);
    if (cursor == 0 || c->looked == 0 || c->looked >= total) return c->found;
    return (uint64_t)((double)c->found / (double)c->looked * (double)total);
}

/* ---- one line */

static uint64_t count_tag(struct counting *c, uint64_t tag)
{
    uint64_t total = store_tag_count(c->op->p->store, tag);
    if (total > c->look_max && c->line->hard_seq == 0) return total;
    return total > 0 ? count_walk(c, &tag, c->look_max, total) : 0;
}

static uint64_t entries(const struct counting *c)
{
    struct store_stats stats;
    store_stats(c->op->p->store, &stats);
    return stats.entries;
}

static uint64_t count_prefix(struct counting *c)
{
    const uint64_t *host = &c->line->name[1];
    if (*host == 0) return count_walk(c, NULL, c->prefix_max, entries(c));
    return count_walk(c, host, c->prefix_max, store_tag_count(c->op->p->store, *host));
}

static uint64_t count_all(struct counting *c)
{
    uint64_t total = entries(c);
    if (total > c->look_max && c->line->hard_seq == 0) return total;
    return count_walk(c, NULL, c->look_max, total);
}

/* The record under the key itself is no response when the responses vary: it lists their fields. */
static bool key_has_vary_record(struct counting *c, const uint64_t key[2])
{
    struct store_id id = store_id_of(key, 0);
    struct store_found found;
    if (store_get(c->op->p->store, &id, 0, &found) != 0) return false;
    struct record_subject r;
    bool sound = record_subject_of(view_of(found.memory, found.record_len), found.fetch_seq, &r);
    free(found.memory);
    return sound && r.kind == RECORD_VARY && found.fetch_seq >= c->line->hard_seq && found.fetch_seq < c->before;
}

/* Variants of the key, and the responses whose key says more than the URI. */
static uint64_t count_url(struct counting *c)
{
    struct store *store = c->op->p->store;
    const uint64_t *key = &c->line->name[1];
    uint64_t n = store_count_key(store, key, c->before);
    uint64_t gone = n > 0 && c->line->hard_seq > 0 ? store_count_key(store, key, c->line->hard_seq) : 0;
    n -= gone < n ? gone : n;
    if (n > 0 && key_has_vary_record(c, key)) n--;
    return n + count_tag(c, c->line->name[0]);
}

static uint64_t count_line(struct counting *c)
{
    switch (c->line->kind) {
    case LINE_ALL: return count_all(c);
    case LINE_URL: return count_url(c);
    case LINE_PREFIX: return count_prefix(c);
    case LINE_TAG: return count_tag(c, c->line->name[0]) + count_tag(c, TAG_OVERFLOW);
    case LINE_HOST:
    case LINE_KIND_COUNT: break;
    }
    return count_tag(c, c->line->name[0]);
}

/* ---- all of them */

static void count(struct purge_op *op)
{
    struct counting c = { .op = op, .before = op->dry_run ? UINT64_MAX : op->result.seq };
    uint64_t n = 0;
    unsigned sharing = atomic_load(&op->p->counting);
    c.look_max = COUNT_LOOK_MAX / sharing;
    c.prefix_max = COUNT_PREFIX_MAX / sharing;
    c.alone = op->lines.count == 1 && op->lines.of_kind[LINE_TAG] == 0;
    for (size_t i = 0; i < op->lines.count; i++) {
        c.line = &op->lines.at[i];
        n += count_line(&c);
    }
    uint64_t most = entries(&c);
    op->result.matched += n < most ? n : most;
    free(c.seen.slots);
}

static void run(struct store_job *job)
{
    struct purge_op *op = HOLDER_OF(job, struct purge_op, job);
    count(op);
    atomic_fetch_sub(&op->p->counting, 1);
    purge_op_release(op);
}

/* What waits in the store's queue is stored as far as anybody can tell: the count begins behind it. */
static void queued_is_written(void *arg, int result)
{
    struct purge_op *op = arg;
    (void)result;
    if (store_submit(op->p->store, &op->job)) return;
    atomic_fetch_sub(&op->p->counting, 1);
    purge_op_release(op);
}

void count_begin(struct purge_op *op)
{
    if (op->p->store == NULL || op->lines.count == 0) return;
    op->job.run = run;
    atomic_fetch_add(&op->waits, 1);
    atomic_fetch_add(&op->p->counting, 1);
    if (store_flush(op->p->store, queued_is_written, op) != 0) queued_is_written(op, 0);
}
