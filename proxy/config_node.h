/* config_node: a YAML file (and those it includes) as a tree in which everything knows its place. Read with libyaml's
 * events: a document made by others is bounded while it is read, whatever its anchors would make of it.
 * Ownership: everything is in the arena. Threads: one at a time.                                                          */
#ifndef WEIR_PROXY_CONFIG_NODE_H
#define WEIR_PROXY_CONFIG_NODE_H

#include "proxy/arena.h"
#include "proxy/config_report.h"

enum {
    CONFIG_FILE_MAX = 4 << 20,   /* bytes of one file */
    CONFIG_FILES_MAX = 1024,     /* with those included */
    CONFIG_NODES_MAX = 400000,   /* an alias counts as all that it stands for */
    CONFIG_DEPTH_MAX = 32,       /* nesting */
    CONFIG_INCLUDES_DEEP = 8,    /* files that include files */
    CONFIG_TEXT_MAX = 64 * 1024, /* one value, its ${...} expanded */
    CONFIG_ANCHORS_MAX = 256,
};

enum node_kind { NODE_TEXT, NODE_MAP, NODE_LIST };

struct node {
    enum node_kind kind;
    struct place place;
    bool quoted;       /* a text in quotes, or a block */
    struct view text;  /* NODE_TEXT: NUL-terminated */
    struct node *next; /* in the list or map it is a member of */
    struct node *key;  /* the key of a member of a map: a NODE_TEXT */
    struct node *first, *last;
    size_t count;      /* members */
    size_t weight;     /* nodes, itself and below */
    struct node *same; /* for an alias: what it stands for; see node_of */
};

/** What is there: an alias is what it stands for. */
static inline const struct node *node_of(const struct node *n)
{
    return n->same != NULL ? n->same : n;
}
/** A value that was left out: "key:" with nothing behind it. */
bool node_is_empty(const struct node *n);
/** "a text", "a list", "a map" */
const char *node_kind_name(const struct node *n);

/** Read a file and what its `include:` names, merged: lists follow each other, maps are joined, and what stands twice is an
 *  error. @return a map, or NULL when there is nothing to go on with; the report says why */
struct node *config_read(const char *path, struct arena *a, struct config_report *report);

#endif
