/* invalidation: the URIs that an unsafe request invalidates (RFC 9111 §4.4), and the groups (RFC 9875). Decisions: pure. */
#ifndef WEIR_PURGE_INVALIDATION_H
#define WEIR_PURGE_INVALIDATION_H

#include "headers/message.h"

enum { INVALIDATION_URIS_MAX = 3, INVALIDATION_GROUPS_MAX = 64, INVALIDATION_TEXT_MAX = 16 * 1024 };

struct invalidation {
    size_t uri_count;                        /* 0: nothing is invalidated */
    struct view uris[INVALIDATION_URIS_MAX]; /* absolute: target, Location, Content-Location; same origin only */
    size_t group_count;
    struct view groups[INVALIDATION_GROUPS_MAX]; /* of Cache-Group-Invalidation, of the target's origin */
    char text[INVALIDATION_TEXT_MAX];            /* what the views point into */
};
/** Only for an unsafe method (or an unknown one) and a non-error status (2xx, 3xx).
 *  @param told  the authority that the origin server heard in Host, where that is not the client's: a URI it builds with it
 *               names what weir serves under the target's own authority; empty: the same */
void invalidation_of(const struct request_head *request, const struct response_head *response, struct view told,
                     struct invalidation *out);

#endif
