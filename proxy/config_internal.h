/* config_internal: what the files that read a configuration share.
 *
 *   config_node.c         a file's YAML as a tree
 *   config_include.c      the file, the files it includes, ${NAME}
 *   config_value.c        texts as durations, sizes, addresses, ...
 *   config_schema.c       tables of settings: reading, writing, comparing
 *   config_*_table.c      the tables
 *   config.c              all of it together: a site
 *
 * Threads: one at a time.                                                                                              */
#ifndef WEIR_PROXY_CONFIG_INTERNAL_H
#define WEIR_PROXY_CONFIG_INTERNAL_H

#include "proxy/config_node.h"

enum { CONFIG_MEMBERS_MAX = 20000 /* of one map */ };

struct config_loader {
    struct arena *arena;
    struct config_report *report;
    size_t nodes, files;
    const char *open[CONFIG_INCLUDES_DEEP]; /* real paths of the files being read */
    size_t depth;
};

/** @return a map; NULL: the report says why */
struct node *config_parse(struct config_loader *l, const char *file, struct view text);
void node_add(struct node *to, struct node *n);

/** ${NAME} and ${NAME:-default} replaced; "$${" is a plain "${". NUL-terminated, in the arena.
 *  @return at NULL: the report says why */
struct view environment_expand(struct config_loader *l, struct place p, struct view text);

/** A whole small file, NUL-terminated, in the arena. @return at NULL with errno (EFBIG: larger than max) */
struct view file_read(struct arena *a, const char *path, size_t max);
/** `path` as seen from the directory of `from`, in the arena; NULL: no memory. */
const char *path_beside(struct arena *a, const char *from, const char *path);

#endif
