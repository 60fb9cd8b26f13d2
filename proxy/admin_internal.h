/* admin_internal: what the files of the admin API share.
 *
 *   admin.c          thread, routes, who may call, answers
 *   admin_purge.c    POST /v1/purge
 *   admin_shield.c   the same, handed on to the weirs behind this one
 *   admin_stats.c    GET /v1/stats and /metrics
 *   admin_explain.c  GET /v1/explain
 *   admin_reload.c   POST /v1/reload
 *   admin_page.c     GET /
 *
 * Everything happens in the admin thread, save that a purge is acknowledged from another, which only posts.              */
#ifndef WEIR_PROXY_ADMIN_INTERNAL_H
#define WEIR_PROXY_ADMIN_INTERNAL_H

#include "proxy/admin.h"
#include "proxy/admin_purge_order.h"
#include "proxy/front.h"
#include "proxy/hand_on.h"
#include "proxy/stats.h"

#include <jansson.h>
#include <pthread.h>

enum {
    ADMIN_CONTENT_MAX = 1 << 20, /* of a request; larger: 413 */
    ADMIN_CONNECTIONS_MAX = 256,
    ADMIN_WHY_MAX = 512, /* what a refusal says */
};

struct handing;

struct admin {
    struct weir *weir;
    struct loop *loop;
    struct front *front;
    uint64_t purges;              /* accepted here */
    size_t purging;               /* not yet acknowledged */
    struct origin_client *client; /* for purges handed on */
    bool draining, drain_over, breaking_off;
    struct loop_task drain_task;
    struct loop_timer drain_timer;
    pthread_t thread;
};

struct admin_request;

/* One call of the API. */
struct admin_route {
    const char *path;
    enum method method; /* GET answers HEAD too */
    bool open;          /* needs no token: load balancers ask */
    void (*answer)(struct admin_request *r);
};

struct admin_request {
    struct admin *admin;
    struct front_stream *stream;
    const struct request_head *head; /* until end */
    const struct admin_route *route; /* NULL: answered already */
    char *content;                   /* malloc'd */
    size_t content_len, content_cap;
    bool answered;
    /* a purge on its way */
    bool purging, ended; /* ended: the client left, the purge goes on */
    bool soft, dry_run;
    struct handing *handing; /* NULL: it is for nobody else */
    struct purge_result purge;
    struct loop_task task;
};

/** Answer with malloc'd text, which it takes over. NULL: 503, out of memory. */
void admin_answer(struct admin_request *r, int status, const char *content_type, char *text, size_t len);
/** The same for JSON, whose reference it takes over; problem+json from status 400 on. */
void admin_answer_json(struct admin_request *r, int status, json_t *json);
/** An error as problem+json. */
void admin_problem(struct admin_request *r, int status, const char *detail);

void admin_request_free(struct admin_request *r);

void admin_purge(struct admin_request *r);
void admin_explain(struct admin_request *r);
void admin_stats(struct admin_request *r);
void admin_metrics(struct admin_request *r);
void admin_reload(struct admin_request *r);
void admin_page(struct admin_request *r);

/* ---- admin_purge.c */

/** Purge here, now that it is known who else heard of it. */
void admin_purge_here(struct admin_request *r, const struct purge_request *purge);

/* ---- admin_shield.c */

/** Whether some weir behind this one is to hear of the purge. A purge that has been here before goes no further. */
bool admin_hands_on(const struct admin_request *r, const struct site *site);
/** Tell them, then purge here. Takes the order over.
 *  @return false: no memory; the order is still the caller's */
MUST_USE bool admin_hand_on(struct admin_request *r, struct site *site, struct purge_order *order);
/** What came of it, as members of the answer. @return whether all heard of it */
MUST_USE bool handing_describe(const struct handing *h, json_t *answer);
void handing_free(struct handing *h);

#endif
