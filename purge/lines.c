#include "purge/lines.h"

#include "purge/tag.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SLOTS_FIRST = 64, FOLD_STEPS = 1024 };

/* ---- names */

struct line line_all(void)
{
    return (struct line){ .kind = LINE_ALL };
}

struct line line_host(struct view authority)
{
    return (struct line){ .kind = LINE_HOST, .name = { tag_hash_host(authority) } };
}

static uint64_t prefix_hash(struct view prefix)
{
    return XXH3_64bits_withSeed(prefix.len > 0 ? prefix.at : "", prefix.len, prefix.len + 1);
}

/* Where the authority begins: after "://"; v.len when there is none. */
static size_t authority_start(struct view uri)
{
    size_t colon = view_find(uri, 0, ':');
    return view_starts_with(view_after(uri, colon), VIEW("://")) ? colon + 3 : uri.len;
}

struct view uri_authority(struct view uri)
{
    size_t start = authority_start(uri), end = start;
    while (end < uri.len && uri.at[end] != '/' && uri.at[end] != '?') end++;
    return view_first(view_after(uri, start), end - start);
}

/* Of a prefix "http://exam" the host is not known: "example.com" may be meant, or "exam.com". */
static uint64_t prefix_host(struct view prefix)
{
    struct view authority = uri_authority(prefix);
    bool whole = authority.len > 0 && authority.at + authority.len < prefix.at + prefix.len;
    return whole ? tag_hash_host(authority) : 0;
}

struct line line_prefix(struct view prefix)
{
    prefix = view_first(prefix, LINE_PREFIX_MAX);
    return (struct line){ .kind = LINE_PREFIX, .name = { prefix_hash(prefix), prefix_host(prefix), prefix.len } };
}

struct line line_tag(uint64_t hash)
{
    return (struct line){ .kind = LINE_TAG, .name = { hash } };
}

struct line line_url(struct view uri, const uint64_t key[2])
{
    return (struct line){ .kind = LINE_URL, .name = { tag_hash_uri(uri), key[0], key[1] } };
}

bool line_prefix_matches(const struct line *line, struct view uri)
{
    return uri.len >= line->name[2] && prefix_hash(view_first(uri, line->name[2])) == line->name[0];
}

/* ---- the hash table */

void lines_free(struct lines *l)
{
    free(l->at);
    free(l->slots);
    *l = (struct lines){ 0 };
}

/* Kinds are apart so that a tag and a host whose hashes collide stay two lines. */
static size_t slot_of(const struct lines *l, enum line_kind kind, uint64_t hash)
{
    uint64_t mixed = (hash + (uint64_t)kind) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) & (l->slot_count - 1);
}

static bool same_name(const struct line *a, const struct line *b)
{
    return a->kind == b->kind && memcmp(a->name, b->name, sizeof(a->name)) == 0;
}

/* The slot that holds the name, or the free one where it would go. There always is a free one. */
static size_t slot_find(const struct lines *l, const struct line *named)
{
    size_t i = slot_of(l, named->kind, named->name[0]);
    while (l->slots[i] != 0 && !same_name(&l->at[l->slots[i] - 1], named)) i = (i + 1) & (l->slot_count - 1);
    return i;
}

static struct line *find(const struct lines *l, const struct line *named)
{
    if (l->of_kind[named->kind] == 0) return NULL;
    uint32_t index = l->slots[slot_find(l, named)];
    return index != 0 ? &l->at[index - 1] : NULL;
}

const struct line *lines_find(const struct lines *l, const struct line *named)
{
    return find(l, named);
}

static bool slots_grow(struct lines *l, size_t want)
{
    size_t n = l->slot_count > 0 ? l->slot_count : SLOTS_FIRST;
    while (n < want) n *= 2;
    if (n == l->slot_count) return true;
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (slots == NULL) return false;
    free(l->slots);
    l->slots = slots;
    l->slot_count = n;
    for (size_t i = 0; i < l->count; i++) {
        l->slots[slot_find(l, &l->at[i])] = (uint32_t)(i + 1);
    }
    return true;
}

bool lines_reserve(struct lines *l, size_t n)
{
    size_t need = l->count + n;
    if (need > UINT32_MAX / 2) return false;
    if (need > l->cap) {
        size_t cap = l->cap * 2 > need ? l->cap * 2 : need;
        struct line *at = realloc(l->at, cap * sizeof(*at));
        if (at == NULL) return false;
        l->at = at;
        l->cap = cap;
    }
    return slots_grow(l, need * 2 + 1);
}

static void prefix_length_add(struct lines *l, size_t length)
{
    if (l->prefixes_of_length[length]++ == 0) l->prefix_lengths[length / 64] |= UINT64_C(1) << length % 64;
}

static void prefix_length_drop(struct lines *l, size_t length)
{
    if (--l->prefixes_of_length[length] == 0) l->prefix_lengths[length / 64] &= ~(UINT64_C(1) << length % 64);
}

static void merge(struct line *into, const struct line *line)
{
    if (line->hard_seq > into->hard_seq) into->hard_seq = line->hard_seq;
    if (line->soft_seq > into->soft_seq) {
        into->soft_seq = line->soft_seq;
        into->soft_since_s = line->soft_since_s;
    }
}

void lines_put(struct lines *l, const struct line *line)
{
    if (line->kind == LINE_TAG) merge(&l->any_tag, line);
    size_t slot = slot_find(l, line);
    if (l->slots[slot] != 0) {
        struct line *known = &l->at[l->slots[slot] - 1];
        if (known->hard_seq == 0 && line->hard_seq > 0) l->hard_count++;
        merge(known, line);
        return;
    }
    assert(l->count < l->cap); /* ours: the caller has reserved */
    l->at[l->count++] = *line;
    l->slots[slot] = (uint32_t)l->count;
    l->of_kind[line->kind]++;
    if (line->hard_seq > 0) l->hard_count++;
    if (line->kind == LINE_PREFIX) prefix_length_add(l, line->name[2]);
}

/* Close the gap that a removal leaves in a run of slots: move up whatever may stand there. */
static void slot_clear(struct lines *l, size_t gap)
{
    size_t mask = l->slot_count - 1;
    l->slots[gap] = 0;
    for (size_t i = (gap + 1) & mask; l->slots[i] != 0; i = (i + 1) & mask) {
        const struct line *line = &l->at[l->slots[i] - 1];
        size_t home = slot_of(l, line->kind, line->name[0]);
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        l->slots[gap] = l->slots[i];
        l->slots[i] = 0;
        gap = i;
    }
}

static void remove_at(struct lines *l, size_t index)
{
    struct line *line = &l->at[index];
    if (line->kind == LINE_PREFIX) prefix_length_drop(l, line->name[2]);
    l->of_kind[line->kind]--;
    slot_clear(l, slot_find(l, line));
    size_t last = --l->count;
    if (index == last) return;
    size_t slot = slot_find(l, &l->at[last]);
    *line = l->at[last];
    l->slots[slot] = (uint32_t)(index + 1);
}

void lines_forget(struct lines *l, const struct line *line)
{
    struct line *known = find(l, line);
    if (known == NULL) return;
    if (known->hard_seq > 0 && known->hard_seq == line->hard_seq) {
        known->hard_seq = 0;
        l->hard_count--;
    }
    if (known->soft_seq == line->soft_seq) known->soft_seq = 0;
    if (known->hard_seq == 0 && known->soft_seq == 0) remove_at(l, (size_t)(known - l->at));
}

/* ---- what they say */

struct checking {
    const struct purge_subject *subject;
    uint64_t before;
    struct marks marks;
};

static void mark(struct checking *c, const struct line *line)
{
    if (line->hard_seq < c->before && line->hard_seq > c->marks.hard_seq) c->marks.hard_seq = line->hard_seq;
    if (line->soft_seq >= c->before || line->soft_seq <= c->subject->fetch_seq) return;
    bool first = c->marks.soft_seq == 0;
    if (first || line->soft_since_s < c->marks.soft_since_s) c->marks.soft_since_s = line->soft_since_s;
    if (line->soft_seq > c->marks.soft_seq) c->marks.soft_seq = line->soft_seq;
}

/* Every line whose name begins with this hash: those of a URL under two keys are two. */
static void mark_named(struct checking *c, const struct lines *l, enum line_kind kind, uint64_t hash)
{
    if (l->of_kind[kind] == 0) return;
    for (size_t i = slot_of(l, kind, hash); l->slots[i] != 0; i = (i + 1) & (l->slot_count - 1)) {
        const struct line *line = &l->at[l->slots[i] - 1];
        if (line->kind == kind && line->name[0] == hash) mark(c, line);
    }
}

static void mark_tags(struct checking *c, const struct lines *l)
{
    const struct purge_subject *s = c->subject;
    if (!s->tags_known) {
        mark(c, &l->any_tag);
        return;
    }
    for (size_t i = 0; i < s->tag_count; i++) {
        if (s->tags[i] == TAG_OVERFLOW) {
            mark(c, &l->any_tag);
        } else {
            mark_named(c, l, LINE_TAG, s->tags[i]);
        }
    }
}

static void mark_prefixes(struct checking *c, const struct lines *l)
{
    struct view uri = c->subject->uri;
    for (size_t word = 0; word * 64 <= uri.len && word < sizeof(l->prefix_lengths) / 8; word++) {
        for (uint64_t bits = l->prefix_lengths[word]; bits != 0; bits &= bits - 1) {
            size_t length = word * 64 + (size_t)__builtin_ctzll(bits);
            if (length > uri.len) return;
            mark_named(c, l, LINE_PREFIX, prefix_hash(view_first(uri, length)));
        }
    }
}

struct marks lines_check(const struct lines *l, const struct purge_subject *s, uint64_t before)
{
    struct checking c = { s, before, { 0 } };
    mark_named(&c, l, LINE_ALL, 0);
    mark_tags(&c, l);
    if (l->of_kind[LINE_URL] > 0) mark_named(&c, l, LINE_URL, tag_hash_uri(s->uri));
    if (l->of_kind[LINE_HOST] > 0) mark_named(&c, l, LINE_HOST, tag_hash_host(s->authority));
    if (l->of_kind[LINE_PREFIX] > 0) mark_prefixes(&c, l);
    return c.marks;
}

bool lines_have_url(const struct lines *l, struct view uri)
{
    struct purge_subject s = { .uri = uri };
    struct checking c = { &s, UINT64_MAX, { 0 } };
    mark_named(&c, l, LINE_URL, tag_hash_uri(uri));
    return c.marks.hard_seq > 0 || c.marks.soft_seq > 0;
}

/* ---- folding */

static uint64_t last_seq(const struct line *line)
{
    return line->hard_seq > line->soft_seq ? line->hard_seq : line->soft_seq;
}

/* The half is found by counting in FOLD_STEPS equal steps of the sequence: no copy, no sorting. */
static uint64_t middle_seq(const struct lines *l)
{
    size_t steps[FOLD_STEPS] = { 0 }, below = 0, i = 0;
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t n = 0; n < l->count; n++) {
        uint64_t seq = last_seq(&l->at[n]);
        if (seq < low) low = seq;
        if (seq > high) high = seq;
    }
    uint64_t width = (high - low) / FOLD_STEPS + 1;
    for (size_t n = 0; n < l->count; n++) steps[(last_seq(&l->at[n]) - low) / width]++;
    while (below * 2 < l->count) below += steps[i++];
    return low + width * i - 1;
}

struct line lines_fold(const struct lines *l)
{
    struct line all = line_all();
    uint64_t middle = l->count > 0 ? middle_seq(l) : 0;
    for (size_t n = 0; n < l->count; n++) {
        if (last_seq(&l->at[n]) <= middle) merge(&all, &l->at[n]);
    }
    return all;
}

size_t lines_take_covered(struct lines *l, struct line *out, size_t room)
{
    struct line named = line_all();
    const struct line *found = find(l, &named);
    if (found == NULL) return 0;
    struct line all = *found;
    size_t taken = 0;
    for (size_t i = l->count; i > 0 && taken < room; i--) {
        struct line lost = l->at[i - 1];
        if (lost.kind == LINE_ALL) continue;
        if (lost.hard_seq > all.hard_seq) lost.hard_seq = 0;
        if (lost.soft_seq > all.hard_seq && lost.soft_seq > all.soft_seq) lost.soft_seq = 0;
        if (lost.hard_seq == 0 && lost.soft_seq == 0) continue;
        out[taken++] = lost;
        lines_forget(l, &lost);
    }
    return taken;
}
