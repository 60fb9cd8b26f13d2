#include "proxy/route_table.h"

#include "headers/target.h"

#include <xxhash.h>

enum { PATH_MAX_BYTES = 16 * 1024, FIRST_CAPACITY = 64 };

/* Who holds a place, and through which pattern. */
struct claim {
    const struct route *route;
    const struct route_pattern *pattern;
};

/* One place in the tree of paths; index 0 is nobody. */
struct place_node {
    struct claim below, exact, exact_slash; /* "/a/" and what is below it; "/a"; "/a/" alone */
    uint32_t star;                          /* the child for any one segment */
    bool has_children;
};

/* Open addressing: (owner, text) -> node. The owner is a node for segments, and a kind for hosts. */
struct entry {
    uint64_t hash;
    struct view text;
    uint32_t owner, node; /* node 0: free */
};

enum { OWNER_HOST = 0xffffffff, OWNER_SUBDOMAINS = 0xfffffffe };

struct route_table {
    struct arena *arena;
    struct place_node *nodes;
    size_t node_count, node_cap;
    struct entry *entries;
    size_t entry_count, entry_cap; /* a power of two, at most half full */
    uint32_t any;                  /* the root for every host */
    bool has_hosts, has_subdomains;
};

struct route_table *route_table_new(struct arena *a)
{
    struct route_table *t = arena_alloc(a, sizeof *t);
    if (t == NULL) return NULL;
    t->arena = a;
    t->node_count = 1;
    t->node_cap = t->entry_cap = FIRST_CAPACITY;
    t->nodes = arena_alloc(a, t->node_cap * sizeof *t->nodes);
    t->entries = arena_alloc(a, t->entry_cap * sizeof *t->entries);
    return t->nodes != NULL && t->entries != NULL ? t : NULL;
}

/* ---- the hash table */

static uint64_t hash_of(uint32_t owner, struct view text)
{
    return XXH3_64bits_withSeed(text.at, text.len, owner);
}

static struct entry *slot_of(struct entry *entries, size_t cap, uint64_t hash, uint32_t owner, struct view text)
{
    for (size_t i = hash & (cap - 1);; i = (i + 1) & (cap - 1)) {
        struct entry *e = &entries[i];
        if (e->node == 0 || (e->hash == hash && e->owner == owner && view_equal(e->text, text))) return e;
    }
}

static uint32_t lookup(const struct route_table *t, uint32_t owner, struct view text)
{
    return slot_of(t->entries, t->entry_cap, hash_of(owner, text), owner, text)->node;
}

static bool grow_entries(struct route_table *t)
{
    size_t cap = t->entry_cap * 2;
    struct entry *entries = arena_alloc(t->arena, cap * sizeof *entries);
    if (entries == NULL) return false;
    for (size_t i = 0; i < t->entry_cap; i++) {
        const struct entry *e = &t->entries[i];
        if (e->node != 0) *slot_of(entries, cap, e->hash, e->owner, e->text) = *e;
    }
    t->entries = entries;
    t->entry_cap = cap;
    return true;
}

static uint32_t node_add(struct route_table *t)
{
    if (t->node_count == t->node_cap) {
        struct place_node *nodes = arena_alloc(t->arena, t->node_cap * 2 * sizeof *nodes);
        if (nodes == NULL) return 0;
        memcpy(nodes, t->nodes, t->node_count * sizeof *nodes);
        t->nodes = nodes;
        t->node_cap *= 2;
    }
    return (uint32_t)t->node_count++;
}

/* The node for (owner, text), made when there is none. @return 0: no memory */
static uint32_t obtain(struct route_table *t, uint32_t owner, struct view text)
{
    if (t->entry_count * 2 >= t->entry_cap && !grow_entries(t)) return 0;
    uint64_t hash = hash_of(owner, text);
    struct entry *e = slot_of(t->entries, t->entry_cap, hash, owner, text);
    if (e->node == 0) {
        uint32_t node = node_add(t);
        if (node == 0) return 0;
        *e = (struct entry){ hash, text, owner, node };
        t->entry_count++;
    }
    return e->node;
}

size_t route_table_longest_probe(const struct route_table *t)
{
    size_t longest = 0;
    for (size_t i = 0; i < t->entry_cap; i++) {
        const struct entry *e = &t->entries[i];
        if (e->node == 0) continue;
        size_t probes = ((i - (e->hash & (t->entry_cap - 1))) & (t->entry_cap - 1)) + 1;
        if (probes > longest) longest = probes;
    }
    return longest;
}

/* ---- adding */

static uint32_t root_of(struct route_table *t, const struct route_pattern *p)
{
    if (p->host.len > 0) {
        t->has_hosts = true;
        t->has_subdomains = t->has_subdomains || p->subdomains;
        return obtain(t, p->subdomains ? OWNER_SUBDOMAINS : OWNER_HOST, p->host);
    }
    if (t->any == 0) t->any = node_add(t);
    return t->any;
}

static uint32_t child_of(struct route_table *t, uint32_t node, struct view segment, bool exact)
{
    if (exact || !view_equal(segment, VIEW("*"))) {
        t->nodes[node].has_children = true;
        return obtain(t, node, segment);
    }
    if (t->nodes[node].star == 0) {
        uint32_t star = node_add(t);
        t->nodes[node].star = star;
    }
    return t->nodes[node].star;
}

enum route_added route_table_add(struct route_table *t, const struct route_pattern *p, const struct route *route,
                                 const struct route_pattern **clash)
{
    uint32_t node = root_of(t, p);
    size_t at = 0;
    while (node != 0 && at + 1 < p->path.len) {
        size_t end = view_find(p->path, at + 1, '/');
        node = child_of(t, node, view_of(p->path.at + at + 1, end - at - 1), p->exact);
        at = end;
    }
    if (node == 0) return ROUTE_NO_MEMORY;
    struct place_node *n = &t->nodes[node];
    bool ends_in_slash = at + 1 == p->path.len;
    struct claim *claim = !ends_in_slash ? &n->exact : p->exact ? &n->exact_slash : &n->below;
    if (claim->route != NULL) {
        *clash = claim->pattern;
        return ROUTE_CLASH;
    }
    *claim = (struct claim){ route, p };
    return ROUTE_ADDED;
}

/* ---- finding */

/* `at` is where a slash stands, or the end. */
static const struct route *find_below(const struct route_table *t, uint32_t node, struct view path, size_t at)
{
    const struct place_node *n = &t->nodes[node];
    const struct route *found = NULL;
    if (at >= path.len) return n->exact.route != NULL ? n->exact.route : n->below.route;
    if (at + 1 == path.len) return n->exact_slash.route != NULL ? n->exact_slash.route : n->below.route;
    if (!n->has_children && n->star == 0) return n->below.route;
    size_t end = view_find(path, at + 1, '/');
    uint32_t child = n->has_children ? lookup(t, node, view_of(path.at + at + 1, end - at - 1)) : 0;
    if (child != 0) found = find_below(t, child, path, end);
    if (found == NULL && n->star != 0) found = find_below(t, n->star, path, end);
    return found != NULL ? found : n->below.route;
}

/* The name alone: no port, no dot of the root. */
static struct view host_name(struct view authority)
{
    size_t end = authority.len;
    while (end > 0 && is_digit(authority.at[end - 1])) end--;
    bool has_port = end > 0 && authority.at[end - 1] == ':';
    struct view name = has_port ? view_first(authority, end - 1) : authority;
    return name.len > 1 && name.at[name.len - 1] == '.' ? view_first(name, name.len - 1) : name;
}

static const struct route *find_in_hosts(const struct route_table *t, struct view host, struct view path)
{
    uint32_t root = lookup(t, OWNER_HOST, host);
    const struct route *found = root != 0 ? find_below(t, root, path, 0) : NULL;
    while (found == NULL && t->has_subdomains && host.len > 0) {
        size_t dot = view_find(host, 0, '.');
        host = view_after(host, dot + 1);
        root = host.len > 0 ? lookup(t, OWNER_SUBDOMAINS, host) : 0;
        if (root != 0) found = find_below(t, root, path, 0);
    }
    return found;
}

static const struct route *find(const struct route_table *t, struct view authority, struct view path)
{
    const struct route *found = NULL;
    if (t->has_hosts) found = find_in_hosts(t, host_name(authority), path);
    if (found == NULL && t->any != 0) found = find_below(t, t->any, path, 0);
    return found;
}

/* ---- the path as origin servers read it */

static bool is_plain(struct view path)
{
    if (path.len == 0 || path.at[0] != '/') return false;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.at[i];
        if (c == '%' || c == '\\') return false;
        if (c == '/' && i + 1 < path.len && (path.at[i + 1] == '/' || path.at[i + 1] == '.')) return false;
    }
    return true;
}

/* Take the last segment off what has been written. */
static size_t step_back(const char *to, size_t used)
{
    while (used > 0 && to[used - 1] != '/') used--;
    return used > 0 ? used - 1 : 0;
}

/* RFC 3986 §5.2.4, and "//" is "/". */
static struct view resolve(struct view path, char *to)
{
    size_t used = 0;
    bool slash = true; /* the path ends in one */
    for (size_t from = path.len > 0 && path.at[0] == '/'; from < path.len;) {
        size_t end = view_find(path, from, '/');
        struct view segment = view_of(path.at + from, end - from);
        bool dot = view_equal(segment, VIEW(".")), dots = view_equal(segment, VIEW(".."));
        slash = end < path.len || dot || dots || segment.len == 0;
        from = end + 1;
        if (dots) used = step_back(to, used);
        if (dot || dots || segment.len == 0) continue;
        to[used++] = '/';
        memcpy(to + used, segment.at, segment.len);
        used += segment.len;
    }
    if (slash) to[used++] = '/';
    return view_of(to, used);
}

static size_t decode_slashes(char *at, size_t len)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        bool escape = at[i] == '%' && i + 2 < len;
        if (escape && at[i + 1] == '2' && at[i + 2] == 'F') {
            at[used++] = '/';
            i += 2;
        } else if (escape && at[i + 1] == '5' && at[i + 2] == 'C') {
            at[used++] = '/';
            i += 2;
        } else {
            at[used++] = at[i] == '\\' ? '/' : at[i];
        }
    }
    return used;
}

static const struct route *find_resolved(const struct route_table *t, struct view authority, struct view path,
                                         bool decode)
{
    char normal[PATH_MAX_BYTES], resolved[PATH_MAX_BYTES + 1];
    if (path.len == 0 || path.at[0] != '/') path = VIEW("/"); /* "*" and authority-form */
    int len = path_normalise(path, normal, sizeof normal);
    if (len < 0) return NULL;
    size_t used = decode ? decode_slashes(normal, (size_t)len) : (size_t)len;
    return find(t, authority, resolve(view_of(normal, used), resolved));
}

const struct route *route_table_find(const struct route_table *t, struct view authority, struct view path)
{
    bool any_only = !t->has_hosts && t->any != 0 && !t->nodes[t->any].has_children && t->nodes[t->any].star == 0;
    bool paths_matter = !any_only || t->nodes[t->any].exact_slash.route != NULL;
    if (!paths_matter || is_plain(path))
        return find(t, authority, path.len > 0 && path.at[0] == '/' ? path : VIEW("/"));
    return find_resolved(t, authority, path, false);
}

const struct route *route_table_find_decoded(const struct route_table *t, struct view authority, struct view path)
{
    if (path.len == 0 || (memchr(path.at, '%', path.len) == NULL && memchr(path.at, '\\', path.len) == NULL))
        return NULL;
    return find_resolved(t, authority, path, true);
}
