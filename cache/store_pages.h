/* store_pages: the layout of LMDB 0.9's data file, for the two that look at its pages themselves: store_check.c, before LMDB
 * does, and store_warm.c, to know which of them LMDB would touch. Pure functions.                                        */
#ifndef WEIR_CACHE_STORE_PAGES_H
#define WEIR_CACHE_STORE_PAGES_H

#include "headers/view.h"

/* The layout of LMDB 0.9: a page is a header of 16 bytes, then an array of node offsets; a meta page holds `struct meta`
 * behind that header. All numbers are in the machine's own byte order. */
enum {
    PAGE = 4096,
    HEADER = 16,
    NODE_HEADER = 8,
    META_MAGIC = (int)0xBEEFC0DEu,
    DATA_VERSION = 1,

    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    PAGE_LEAF2 = 0x20, /* keys of one size, no nodes */
    PAGE_SUB = 0x40,   /* duplicates that fit inside a node */

    NODE_BIG = 0x01, /* the value is on overflow pages */
    NODE_TREE = 0x02,
    NODE_DUPLICATES = 0x04,

    TREE_INTEGER_KEYS = 0x08,
};

struct page_header {
    uint64_t number;
    uint16_t key_size; /* of LEAF2 */
    uint16_t flags;
    union {
        struct {
            uint16_t lower, upper;
        };
        uint32_t count; /* of overflow pages */
    };
};

struct tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta {
    uint32_t magic, version;
    uint64_t address, map_size;
    struct tree free_list, names;
    uint64_t last_page, txn;
};

_Static_assert(sizeof(struct page_header) == HEADER, "LMDB's page header");
_Static_assert(sizeof(struct tree) == 48, "LMDB's MDB_db");
_Static_assert(sizeof(struct meta) == 136, "LMDB's MDB_meta");

/* A node, taken apart. */
struct node {
    struct view key;
    uint16_t offset, flags;
    size_t size;      /* on the page */
    uint64_t child;   /* of a branch */
    size_t data_len;  /* of a leaf */
    const char *data; /* data_len bytes, or a page number of 8 for NODE_BIG */
};

static inline bool node_at(const char *page, unsigned i, bool branch, struct node *out)
{
    uint16_t offset, part[4];
    memcpy(&offset, page + HEADER + i * 2, 2);
    if (offset < HEADER || offset + NODE_HEADER > PAGE) return false;
    memcpy(part, page + offset, sizeof(part)); /* low, high, flags, key size */
    size_t room = (size_t)PAGE - offset - NODE_HEADER;
    if (part[3] > room) return false;
    *out = (struct node){ .key = view_of(page + offset + NODE_HEADER, part[3]), .offset = offset };
    out->size = NODE_HEADER + (size_t)part[3];
    if (branch) {
        out->child = part[0] | (uint64_t)part[1] << 16 | (uint64_t)part[2] << 32;
        return true;
    }
    out->flags = part[2];
    out->data_len = part[0] | (size_t)part[1] << 16;
    out->data = out->key.at + part[3];
    room -= part[3];
    size_t here = (out->flags & NODE_BIG) ? sizeof(uint64_t) : out->data_len;
    out->size += here;
    return here <= room;
}

static inline int compare_keys(struct view a, struct view b, bool integers)
{
    if (integers) {
        uint64_t x, y;
        memcpy(&x, a.at, sizeof(x));
        memcpy(&y, b.at, sizeof(y));
        return x < y ? -1 : x > y;
    }
    size_t shorter = a.len < b.len ? a.len : b.len;
    int c = shorter == 0 ? 0 : memcmp(a.at, b.at, shorter);
    return c != 0 ? c : (a.len < b.len ? -1 : a.len > b.len);
}

#endif
