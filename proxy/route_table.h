/* route_table: finds the route of a request: by host (exact, then the longest "*.suffix", then any), then by path, the more
 * specific first: at each segment its own name before "*", and what is below a path only where nothing else matches. Time
 * grows with the labels of the host and the segments of the path, not with the number of routes.
 * Ownership: in an arena. Threads: route_table_find from any, once all is added.                                         */
#ifndef WEIR_PROXY_ROUTE_TABLE_H
#define WEIR_PROXY_ROUTE_TABLE_H

#include "proxy/arena.h"
#include "proxy/route.h"

struct route_table;

MUST_USE struct route_table *route_table_new(struct arena *a);
enum route_added { ROUTE_ADDED, ROUTE_CLASH, ROUTE_NO_MEMORY };
/** Pattern and route must live as long as the table.
 *  @param clash  ROUTE_CLASH: the pattern that says the same */
MUST_USE enum route_added route_table_add(struct route_table *t, const struct route_pattern *p,
                                          const struct route *route, const struct route_pattern **clash);
/** @param authority  normalised; its port does not count
 *  @param path       as received: for matching, escapes of unreserved characters, dot segments and doubled slashes are
 *                    resolved as an origin server would
 *  @return           NULL: none matches */
const struct route *route_table_find(const struct route_table *t, struct view authority, struct view path);
/** The same with %2F taken for a slash and %5C for a backslash, as some origin servers do; NULL also when there is none. */
const struct route *route_table_find_decoded(const struct route_table *t, struct view authority, struct view path);
/** The most places that looking up one label or segment may have to visit. */
size_t route_table_longest_probe(const struct route_table *t);

#endif
