#include "cache/store_check.h"
#include "cache/store_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 32, /* LMDB's cursor stack */
    PAGES_BETWEEN_CLOCKS = 64,
};

struct walk {
    int fd;
    uint64_t last_page;
    unsigned char *seen; /* a bit per page: every page has one owner */
    int64_t deadline_ms;
    unsigned until_clock;
    bool out_of_time;
    const char *fault; /* NULL: none so far */
};

/* Where in the trees we are. */
struct branch_of {
    const struct tree *tree;
    struct tree *counted;
    unsigned depth;
    struct view low, high; /* keys of the parent; at is NULL where there is no bound */
    bool free_list;
};

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool fail(struct walk *w, const char *fault)
{
    if (w->fault == NULL) w->fault = fault;
    return false;
}

static bool take_pages(struct walk *w, uint64_t first, uint64_t count)
{
    if (first < 2 || count == 0 || first > w->last_page || count > w->last_page - first + 1)
        return fail(w, "a page number is outside the file");
    for (uint64_t p = first; p < first + count; p++) {
        unsigned char bit = (unsigned char)(1u << (p % 8));
        if (w->seen[p / 8] & bit) return fail(w, "a page is used twice");
        w->seen[p / 8] |= bit;
    }
    return true;
}

static bool read_at(struct walk *w, uint64_t page, void *to, size_t len)
{
    if (pread(w->fd, to, len, (off_t)(page * PAGE)) != (ssize_t)len) return fail(w, "a page cannot be read");
    return true;
}

static bool time_left(struct walk *w)
{
    if (w->out_of_time) return false;
    if (w->until_clock-- > 0) return true;
    w->until_clock = PAGES_BETWEEN_CLOCKS;
    w->out_of_time = monotonic_ms() >= w->deadline_ms;
    return !w->out_of_time;
}

/* The nodes fill the page from `upper` on, one beside the other: LMDB moves them about on that understanding. */
static bool nodes_fill_page(const char *page, const struct page_header *h, unsigned keys)
{
    unsigned char taken[PAGE / 2 / 8] = { 0 }; /* a bit per two bytes: nodes begin at even offsets */
    size_t sum = 0;
    for (unsigned i = 0; i < keys; i++) {
        struct node n;
        if (!node_at(page, i, h->flags == PAGE_BRANCH, &n) || n.offset < h->upper || n.offset % 2 != 0) return false;
        size_t end = n.offset + n.size + n.size % 2;
        if (end > PAGE) return false;
        for (size_t at = n.offset / 2; at < end / 2; at++) {
            if (taken[at / 8] & 1u << at % 8) return false;
            taken[at / 8] |= (unsigned char)(1u << at % 8);
        }
        sum += end - n.offset;
    }
    return sum == (size_t)PAGE - h->upper;
}

/* Keys ascend within a page and stay between those of the parent. */
static bool key_in_place(struct walk *w, const struct branch_of *b, struct view before, struct view key)
{
    bool integers = b->free_list;
    if (integers && key.len != 8) return fail(w, "a key of the free list has a wrong size");
    if (before.at != NULL && compare_keys(before, key, integers) >= 0) return fail(w, "keys are out of order");
    if (b->low.at != NULL && compare_keys(b->low, key, integers) > 0) return fail(w, "a key is on the wrong page");
    if (b->high.at != NULL && compare_keys(key, b->high, integers) >= 0) return fail(w, "a key is on the wrong page");
    return true;
}

static bool walk_tree(struct walk *w, const struct tree *t, bool free_list);
static bool walk_page(struct walk *w, const struct branch_of *b, uint64_t number);

/* One value of the free list: how many pages, then their numbers, descending. */
static bool check_free_pages(struct walk *w, const uint64_t *list, size_t len)
{
    if (len < 8 || list[0] > len / 8 - 1) return fail(w, "the free list is damaged");
    for (uint64_t i = 1; i <= list[0]; i++) {
        if (i > 1 && list[i] >= list[i - 1]) return fail(w, "the free list is out of order");
        if (!take_pages(w, list[i], 1)) return false;
    }
    return true;
}

static bool check_overflow(struct walk *w, const struct branch_of *b, const struct node *n)
{
    uint64_t first, pages = (HEADER + n->data_len + PAGE - 1) / PAGE;
    memcpy(&first, n->data, sizeof(first));
    struct page_header h;
    if (!take_pages(w, first, pages) || !read_at(w, first, &h, sizeof(h))) return false;
    if (h.number != first || h.flags != PAGE_OVERFLOW || h.count != pages)
        return fail(w, "an overflow page has a damaged header");
    b->counted->overflow_pages += pages;
    if (!b->free_list) return true;
    uint64_t *list = malloc(pages * PAGE);
    bool ok = list != NULL && pread(w->fd, list, n->data_len, (off_t)(first * PAGE + HEADER)) == (ssize_t)n->data_len;
    ok = ok ? check_free_pages(w, list, n->data_len) : fail(w, "the free list cannot be read");
    free(list);
    return ok;
}

/* Keys of one size need no nodes; what they leave of the page is between lower and upper. */
static bool keys_fill_page(const struct page_header *h, size_t keys, size_t page_len)
{
    size_t used = HEADER + keys * h->key_size;
    return h->key_size > 0 && used <= page_len && (size_t)(h->upper - h->lower) == page_len - used;
}

/* Duplicates: a small page inside the node, or a tree of their own. */
static bool check_duplicates(struct walk *w, const struct branch_of *b, const struct node *n)
{
    if (n->flags & NODE_TREE) {
        struct tree t;
        if (n->data_len != sizeof(t)) return fail(w, "a tree of duplicates has a wrong size");
        memcpy(&t, n->data, sizeof(t));
        b->counted->entries += t.entries;
        return walk_tree(w, &t, false);
    }
    struct page_header h;
    if (n->data_len < HEADER) return fail(w, "a page of duplicates is too short");
    memcpy(&h, n->data, sizeof(h));
    size_t count = h.lower < HEADER ? 0 : (size_t)(h.lower - HEADER) / 2;
    if (h.flags != (PAGE_LEAF | PAGE_LEAF2 | PAGE_SUB | 0x10) && h.flags != (PAGE_LEAF | PAGE_LEAF2 | PAGE_SUB))
        return fail(w, "a page of duplicates has damaged flags");
    if (count == 0 || h.lower > h.upper || !keys_fill_page(&h, count, n->data_len))
        return fail(w, "a page of duplicates has a damaged header");
    b->counted->entries += count;
    return true;
}

static bool check_leaf_node(struct walk *w, const struct branch_of *b, const struct node *n)
{
    switch (n->flags) {
    case 0:
        b->counted->entries++;
        if (!b->free_list) return true;
        uint64_t list[PAGE / 8];
        memcpy(list, n->data, n->data_len);
        return check_free_pages(w, list, n->data_len);
    case NODE_BIG: b->counted->entries++; return check_overflow(w, b, n);
    case NODE_TREE: {
        struct tree t;
        if (n->data_len != sizeof(t)) return fail(w, "a database record has a wrong size");
        memcpy(&t, n->data, sizeof(t));
        b->counted->entries++;
        return walk_tree(w, &t, false);
    }
    case NODE_DUPLICATES:
    case NODE_DUPLICATES | NODE_TREE: return check_duplicates(w, b, n);
    default: return fail(w, "a node has unknown flags");
    }
}

static bool walk_leaf2(struct walk *w, const struct branch_of *b, const char *page, unsigned keys)
{
    const struct page_header *h = (const struct page_header *)(const void *)page;
    if (h->key_size != b->tree->pad || !keys_fill_page(h, keys, PAGE))
        return fail(w, "a page of keys has a damaged header");
    struct view before = { NULL, 0 };
    for (unsigned i = 0; i < keys; i++) {
        struct view key = view_of(page + HEADER + (size_t)i * h->key_size, h->key_size);
        if (!key_in_place(w, b, before, key)) return false;
        before = key;
    }
    b->counted->entries += keys;
    return true;
}

static bool walk_leaf(struct walk *w, const struct branch_of *b, const char *page, unsigned keys)
{
    struct view before = { NULL, 0 };
    for (unsigned i = 0; i < keys; i++) {
        struct node n;
        if (!node_at(page, i, false, &n)) return fail(w, "a node is outside its page");
        if (!key_in_place(w, b, before, n.key) || !check_leaf_node(w, b, &n)) return false;
        before = n.key;
    }
    return true;
}

static bool walk_branch(struct walk *w, const struct branch_of *b, const char *page, unsigned keys)
{
    if (keys < 2) return fail(w, "a branch has fewer than two children");
    for (unsigned i = 0; i < keys; i++) {
        struct node n, after;
        if (!node_at(page, i, true, &n)) return fail(w, "a node is outside its page");
        bool last = i + 1 == keys;
        if (!last && !node_at(page, i + 1, true, &after)) return fail(w, "a node is outside its page");
        struct branch_of child = *b;
        child.depth++;
        if (b->free_list && ((i > 0 && n.key.len != 8) || (!last && after.key.len != 8)))
            return fail(w, "a key of the free list has a wrong size");
        if (i > 0) child.low = n.key; /* the first key of a branch stands for "anything less" */
        if (!last) child.high = after.key;
        if (!walk_page(w, &child, n.child)) return false;
    }
    return true;
}

static bool walk_page(struct walk *w, const struct branch_of *b, uint64_t number)
{
    _Alignas(8) char page[PAGE];
    if (!time_left(w)) return true;
    if (b->depth > b->tree->depth || b->depth > DEPTH_MAX) return fail(w, "a tree is deeper than it says");
    if (!take_pages(w, number, 1) || !read_at(w, number, page, sizeof(page))) return false;
    struct page_header h;
    memcpy(&h, page, sizeof(h));
    if (h.number != number) return fail(w, "a page has another page's number");
    if (h.lower < HEADER || h.lower > h.upper || h.upper > PAGE || h.lower % 2 != 0)
        return fail(w, "a page has a damaged header");
    unsigned keys = (unsigned)(h.lower - HEADER) / 2;
    if (!(h.flags & PAGE_LEAF2) && !nodes_fill_page(page, &h, keys)) return fail(w, "a page's nodes are damaged");
    bool bottom = b->depth == b->tree->depth;
    if (h.flags == PAGE_BRANCH && !bottom) {
        b->counted->branch_pages++;
        return walk_branch(w, b, page, keys);
    }
    if (!bottom || keys == 0) return fail(w, "a page is of the wrong kind");
    b->counted->leaf_pages++;
    if (h.flags == PAGE_LEAF) return walk_leaf(w, b, page, keys);
    if (h.flags == (PAGE_LEAF | PAGE_LEAF2)) return walk_leaf2(w, b, page, keys);
    return fail(w, "a page has unknown flags");
}

/* Walk one tree; what it counted must be what its record says. */
static bool walk_tree(struct walk *w, const struct tree *t, bool free_list)
{
    if (t->root == UINT64_MAX) return t->entries == 0 || fail(w, "a database lost its root");
    if (t->depth == 0 || t->depth > DEPTH_MAX) return fail(w, "a database has a damaged depth");
    struct tree counted = { 0 };
    struct branch_of b = { .tree = t, .counted = &counted, .depth = 1, .free_list = free_list };
    if (!walk_page(w, &b, t->root)) return false;
    if (w->out_of_time) return true;
    if (counted.branch_pages != t->branch_pages || counted.leaf_pages != t->leaf_pages ||
        counted.overflow_pages != t->overflow_pages || counted.entries != t->entries)
        return fail(w, "a database does not hold as many pages or entries as it says");
    return true;
}

static bool meta_is_plausible(const struct page_header *h, const struct meta *m, unsigned page)
{
    return h->number == page && h->flags == PAGE_META && m->magic == (uint32_t)META_MAGIC &&
           m->version == DATA_VERSION && m->free_list.pad == PAGE && m->last_page >= 1 &&
           (m->txn == 0 || m->txn % 2 == page) && (m->free_list.flags & ~(unsigned)TREE_INTEGER_KEYS) == 0;
}

/* Both meta pages must be right, since LMDB takes the one with the higher transaction, and overwrites the other. */
static bool read_metas(struct walk *w, struct meta *newest)
{
    struct meta metas[2];
    for (unsigned i = 0; i < 2; i++) {
        char page[HEADER + sizeof(struct meta)];
        struct page_header h;
        if (!read_at(w, i, page, sizeof(page))) return fail(w, "it is too short");
        memcpy(&h, page, sizeof(h));
        memcpy(&metas[i], page + HEADER, sizeof(metas[i]));
        if (!meta_is_plausible(&h, &metas[i], i)) return fail(w, "its first pages are damaged");
    }
    uint64_t a = metas[0].txn, b = metas[1].txn;
    if (a > b ? a - b > 1 : b - a > 1) return fail(w, "its first pages disagree");
    *newest = a > b ? metas[0] : metas[1];
    return true;
}

static bool check_pages(struct walk *w, off_t size, struct store_checked *out)
{
    struct meta m;
    if (!read_metas(w, &m)) return false;
    if (m.last_page >= (uint64_t)size / PAGE) return fail(w, "it is shorter than it was");
    w->last_page = m.last_page;
    out->used_bytes = (m.last_page + 1) * PAGE;
    w->seen = calloc(1, m.last_page / 8 + 1);
    if (w->seen == NULL) return fail(w, "there is no memory to check it");
    return walk_tree(w, &m.free_list, true) && walk_tree(w, &m.names, false);
}

enum store_check store_check_file(const char *path, int64_t budget_ms, struct store_checked *out, char *why, size_t cap)
{
    *out = (struct store_checked){ 0 };
    if (cap > 0) why[0] = '\0';
    struct walk w = { .fd = open(path, O_RDONLY | O_CLOEXEC), .deadline_ms = monotonic_ms() + budget_ms };
    if (w.fd < 0 && errno == ENOENT) return STORE_CHECK_ABSENT;
    struct stat st;
    if (w.fd < 0 || fstat(w.fd, &st) != 0) {
        snprintf(why, cap, "%s", strerror(errno));
        if (w.fd >= 0) close(w.fd);
        return STORE_CHECK_UNREADABLE;
    }
    enum store_check result = STORE_CHECK_ABSENT;
    if (st.st_size > 0) {
        result = check_pages(&w, st.st_size, out) ? STORE_CHECK_SOUND : STORE_CHECK_DAMAGED;
        if (result == STORE_CHECK_DAMAGED) snprintf(why, cap, "%s", w.fault);
    }
    out->complete = !w.out_of_time;
    free(w.seen);
    close(w.fd);
    return result;
}

bool store_check_overflow(const void *at, size_t size)
{
    struct page_header h;
    memcpy(&h, (const char *)at - HEADER, sizeof(h));
    /* A page written in the same transaction is still marked dirty (0x10). */
    return (h.flags & ~0x10u) == PAGE_OVERFLOW && h.count == (HEADER + size + PAGE - 1) / PAGE;
}
