/* admin_explain: what is stored for a URL, and what would happen to a request for it, by the same decisions that a request
 * meets. Nothing is fetched, moved or counted as used.                                                                    */
#ifndef WEIR_PROXY_ADMIN_EXPLAIN_H
#define WEIR_PROXY_ADMIN_EXPLAIN_H

#include "cache/holding.h"
#include "cache/reuse.h"
#include "proxy/front.h"
#include "proxy/weir.h"

#include <jansson.h>

enum { EXPLAIN_FIELDS_MAX = 64, EXPLAIN_VARIANTS_MAX = 64 };

/* The call's arguments: url=URL, header=Name: value (several), method=GET. */
struct explain_query {
    struct view url, method;
    struct field fields[EXPLAIN_FIELDS_MAX];
    size_t field_count;
    char text[FRONT_TARGET_MAX]; /* what the views point to */
};

/** Read a query component, form-encoded.
 *  @return false with `why`: an argument is unknown, malformed, missing or too many */
MUST_USE bool explain_query_read(struct view query, struct explain_query *out, char *why, size_t cap);

/* What is explained against. */
struct explain_context {
    struct cache *cache;
    struct purges *purges;
    struct site *site;
    int64_t now_s;
};
/** @return NULL: no memory, or the URL is none that weir could have a key for: then with `why` */
json_t *explain_json(const struct explain_context *c, const struct explain_query *q, char *why, size_t cap);

/** What is told of one stored response. Pure.
 *  @param selected_as  the decision if a request selected it
 *  @param purged       what purges say of it
 *  @return             NULL: no memory */
json_t *explain_holding_json(const struct holding *h, const struct policy *p, struct purge_verdict purged,
                             const struct reuse_decision *selected_as, int64_t now_s);

/** What the route answers before anything is looked up: credentials that are asked for, a redirect, a fixed answer.
 *  @param decision  gets the JSON of the decision, NULL: no memory
 *  @return          false: the request goes on, and nothing was set */
MUST_USE bool explain_route_answers(const struct route *r, const struct request_head *request, json_t **decision);

#endif
