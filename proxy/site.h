/* site: everything the operator wants, as the configuration says it: settings, origins, routes. One immutable snapshot; a
 * reload makes another, and requests in flight end under the one they began with.
 * Ownership: counted; it owns an arena with all that it points to. Threads: any; a lease belongs to one worker.          */
#ifndef WEIR_PROXY_SITE_H
#define WEIR_PROXY_SITE_H

#include "cache/key.h"
#include "headers/message.h"
#include "proxy/arena.h"
#include "proxy/route.h"
#include "proxy/settings.h"

#include <stdatomic.h>

enum { SITE_ORIGINS_MAX = 4096, SITE_ROUTES_MAX = 65536 };

struct config_file;
struct route_table;

struct site {
    atomic_uint refs;
    struct arena *arena;
    struct settings settings;
    const struct config_file *file; /* what settings and the outer cache were read into: for comparing */
    struct origin_settings **origins;
    size_t origin_count;
    struct route **routes; /* in the configuration's order, `unmatched` not among them */
    size_t route_count;
    struct route *unmatched; /* for what no route matches: the site's own origin, or 404 */
    struct route_table *table;
    bool has_protection; /* some route is not open to all */
};

/** With one reference, and nothing in it. @return NULL: no memory */
MUST_USE struct site *site_new(void);
struct site *site_ref(struct site *s);
void site_unref(struct site **s);

/** Go on with what was learnt of the servers of origins, and of the users of routes, with the same names. Before anybody uses `s`. */
void site_inherit(struct site *s, const struct site *before);

/** Whether some origin is to hear of purges. */
bool site_forwards_purges(const struct site *s);

/** Never NULL. */
const struct route *site_route(const struct site *s, const struct request_head *request);

/** The cache key of an absolute URI under this site, as a GET for it would have: for purges, invalidation and explain.
 *  @return false when it is no http(s) URI or does not fit */
MUST_USE bool site_key_of_uri(const struct site *s, struct view uri, char *to, size_t cap, struct key *out);

/** The route of a stored response, by the URI in its key. Never NULL. */
const struct route *site_route_of_uri(const struct site *s, struct view uri);

/* How the requests of one worker hold on to a site: counted without atomics, since only that worker counts. */
struct site_lease {
    struct site *site;
    unsigned users; /* the worker itself while it begins requests under it, and each request */
};
/** Takes a reference over. @return NULL: no memory; the reference is still the caller's */
MUST_USE struct site_lease *site_lease_new(struct site *s);
static inline struct site_lease *site_lease_ref(struct site_lease *l)
{
    l->users++;
    return l;
}
void site_lease_unref(struct site_lease **l);

#endif
