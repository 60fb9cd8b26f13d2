/* site: what the operator wants served: routes, each with its origin server and its policy. One immutable snapshot;
 * a reload makes another, and requests in flight end under the one they began with.
 * Ownership: counted. Threads: any.                                                                                */
#ifndef WEIR_PROXY_SITE_H
#define WEIR_PROXY_SITE_H

#include "cache/key.h"
#include "headers/message.h"
#include "proxy/origin.h"

#include <stdatomic.h>

struct route {
    struct policy policy;
    struct origin_server server;
    const char *host; /* what Host tells the origin; NULL: what the client said */
};

struct site {
    atomic_uint refs;
    struct route route; /* the one route of `weir --origin` */
};

/** @return NULL with `why`: the origin is no URL that weir can fetch from */
MUST_USE struct site *site_new(const char *origin_url, char *why, size_t cap);
/** The cache key of an absolute URI under this site, as a GET for it would have: for purges, invalidation and explain.
 *  @return false when it is no http(s) URI or does not fit */
MUST_USE bool site_key_of_uri(const struct site *s, struct view uri, char *to, size_t cap, struct key *out);
struct site *site_ref(struct site *s);
void site_unref(struct site **s);
/** Never NULL. */
const struct route *site_route(const struct site *s, const struct request_head *request);

#endif
