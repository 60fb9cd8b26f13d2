/* health: asks the servers of a site's origins regularly how they are (`health:` of an origin), in a thread and a loop of
 * its own, and tells origin_state.
 * Ownership: health_new gives one, health_free ends it. Threads: health_watch from any; new, start and free by one.       */
#ifndef WEIR_PROXY_HEALTH_H
#define WEIR_PROXY_HEALTH_H

#include "proxy/site.h"

struct health;

/** @param r  of the servers' names; outlives it. @return NULL with `why` */
MUST_USE struct health *health_new(struct resolver *r, char *why, size_t cap);
/** @return 0, or a negative errno: no thread could be made */
MUST_USE int health_start(struct health *h);
/** Check the servers of this site from now on, and no others. Takes the reference over. */
void health_watch(struct health *h, struct site *site);
void health_free(struct health *h);

/** Does this answer say that the server is well?
 *  @param content  its beginning, HEALTH_CONTENT_MAX at most
 *  @return         NULL, or why not */
const char *health_refuses(const struct origin_health *settings, int status, struct view content);

enum { HEALTH_CONTENT_MAX = 64 * 1024 };

#endif
