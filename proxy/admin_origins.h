/* admin_origins: how the servers of a site's origins do, as JSON and in the Prometheus text format. Threads: any. */
#ifndef WEIR_PROXY_ADMIN_ORIGINS_H
#define WEIR_PROXY_ADMIN_ORIGINS_H

#include "proxy/resolver.h"
#include "proxy/site.h"

#include <jansson.h>
#include <stdio.h>

/** An object with a member per origin. @return NULL: no memory */
json_t *origins_json(const struct site *s, struct resolver *r, int64_t now_ms);
void origins_prometheus(const struct site *s, int64_t now_ms, FILE *to);

#endif
