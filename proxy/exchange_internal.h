/* exchange_internal: what the files of the exchange share:
 *
 *   exchange.c         its life and states       exchange_answer.c   answers and their content
 *   exchange_client.c  whom it comes from        exchange_kept.c     answers that hits share
 *   exchange_route.c   what its route answers    exchange_upgrade.c  101
 *   exchange_lookup.c  what is stored for it     exchange_purge.c    PURGE on a listener
 *   exchange_flight.c  forwarding                exchange_shield.c   PURGE handed on
 *   exchange_log.c     its line in the access log
 */
#ifndef WEIR_PROXY_EXCHANGE_INTERNAL_H
#define WEIR_PROXY_EXCHANGE_INTERNAL_H

#include "cache/precondition.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/reply.h"

enum {
    EXCHANGE_LOOKUPS_MAX = 4,    /* after so many the request goes to the origin by itself */
    EXCHANGE_WATCH_AFTER_MS = 5, /* a client that waits longer is watched: it may leave */
    EXCHANGE_REST_MS = 4,        /* a response that is whole so soon goes out in one piece, */
    EXCHANGE_WHOLE_MAX = 1 << 20 /* up to this content */
};

enum exchange_state {
    EXCHANGE_LOOKUP,
    EXCHANGE_PASSWORD, /* waits for its check */
    EXCHANGE_STORE,    /* a look-up runs on a reader thread */
    EXCHANGE_DECIDE,
    EXCHANGE_CONTENT,  /* QUERY: its content is part of the key */
    EXCHANGE_FLIGHT,   /* waits for a fetch */
    EXCHANGE_PURGE,    /* waits for a purge to be durable */
    EXCHANGE_ANSWERED, /* the front end has the reply */
};

/* What goes out when it is not one piece of memory: texts and ranges of content in turn (multipart/byteranges). */
struct answer_part {
    char *text; /* malloc'd; NULL: none */
    size_t text_len;
    int64_t first, last; /* content after the text; first > last: none */
};

struct exchange {
    struct worker *worker;
    struct front_stream *stream;
    struct site_lease *lease; /* keeps the site, as it was when the request came */
    const struct site *site;
    const struct route *route;
    const struct request_head *request;
    struct claimed_request *claimed; /* a request of its own; NULL: the front end's is taken as it is */
    const struct sockaddr *peer;     /* the front end's, until end */
    const char *client_ip;
    int64_t begun_us;
    enum exchange_state state;
    unsigned lookups;
    bool has_content, conditional; /* the client's own conditions or Range are there */
    bool alone;                    /* not to be collapsed (any more) */
    bool has_key;
    struct loop_timer timer; /* of a wait: for the fetch, then for the rest of a small response */
    bool hurried;            /* that rest did not come soon enough */
    bool ended;              /* the front end's stream is gone */
    bool from_store;
    /* look-up */
    struct cache_query q;
    enum cache_answer found;
    char *texts;         /* own copy of key and variant once the worker's scratch is needed by others */
    uint64_t lookup_seq; /* purges wait for a look-up in the store to end */
    uint64_t arrivals;   /* cache_store_arrivals before the look-up */
    struct store_job job;
    struct reuse_decision decision;
    bool purged_soft;
    /* the fetch */
    struct flight *flight;
    struct flight_waiter waiter;
    struct fetch *fetch; /* this exchange began it */
    struct fetch_listener listener;
    struct upload *upload;
    int64_t upload_bytes; /* that have come */
    int retry_after_s;    /* for a 503; 0: a second */
    bool late;            /* joined a flight whose response was already there */
    bool upgrades;        /* has a place for a tunnel, which may come of it */
    /* the answer */
    int status; /* 0: none yet */
    struct outcome outcome;
    struct object *object;
    struct body_reader reader;
    bool reading;
    struct answer_part *parts;
    size_t part_count, part_at, part_sent;
    bool hit;
    /* purge */
    struct purge_result purge;
    bool purge_not_handed_on;
    struct credentials_check *check; /* of a password; NULL: none */
    /* threads */
    struct loop_task task;           /* news: of the flight, of the content; may come once more than expected */
    struct loop_task job_task;       /* the one job on another thread is over */
    unsigned jobs;                   /* on other threads, which will post job_task */
    struct request_head job_request; /* what the job reads: the client's own is gone once it has left */
    char *job_fields;                /* malloc'd: those of job_request */
    struct exchange *next_free;
};

static inline struct cache *exchange_cache(const struct exchange *x)
{
    return x->worker->weir->cache;
}

static inline struct purges *exchange_purges(const struct exchange *x)
{
    return x->worker->weir->purges;
}

/* ---- exchange.c */

int64_t exchange_now_s(const struct exchange *x);
/** Go on from the state it is in, until it waits or is answered. */
void exchange_step(struct exchange *x);
/** Wait for news. Whether the client is still there is asked when that takes long. */
void exchange_wait_in(struct exchange *x, enum exchange_state state);
/** Its one timer. */
void exchange_set_timer(struct exchange *x, void (*due)(struct loop_timer *t), int64_t from_now_ms);
/** Move key and variant out of the worker's scratch. @param room  for a variant to come, 0: none. @return false: no memory */
MUST_USE bool exchange_own_texts(struct exchange *x, size_t room);

/* ---- exchange_lookup.c */

void exchange_look_up(struct exchange *x);
/** The look-up on another thread is over. */
void exchange_end_lookup(struct exchange *x);
/** Answer with what was found, or go to the origin. */
void exchange_decide(struct exchange *x);
/** x->decision says why. */
void exchange_go_to_origin(struct exchange *x);
/** @return false: purged hard. One comparison, unless a purge has happened since it was last checked. */
MUST_USE bool exchange_survives_purges(struct exchange *x, struct object *o, int64_t *soft_age_s);
/** A stored part answers only a request for bytes inside it (RFC 9111 §3.3); what is stored whole answers any. */
bool exchange_is_covered(const struct exchange *x, const struct object *o);
/** The outcome's ttl is what the decision says. */
void exchange_set_ttl(struct exchange *x);

/* ---- exchange_flight.c */

/** With others who ask for the same. */
void exchange_fly_together(struct exchange *x);
/** In a flight of its own, which nobody joins. */
void exchange_fly_alone(struct exchange *x, bool drop_conditions);
/** Answer now, refresh behind: a fetch that nobody waits for (RFC 5861 §3). One at a time: it is a flight like others. */
void exchange_refresh_behind(struct exchange *x, struct object *stored);
/** News of the flight, or its end. */
void exchange_after_flight(struct exchange *x);
void exchange_leave_flight(struct exchange *x);
/** What was to be answered with cannot be read any more: look again, by itself; 502 when that has been tried enough. */
void exchange_start_over(struct exchange *x);

/* ---- exchange_answer.c: each leaves the exchange EXCHANGE_ANSWERED */

/** Wait a moment for the rest of a content: in one piece it costs a third. x's task runs when it is there; the caller sees
 *  to it that x does not wait for long. @return false: it is there, or too large to be waited for */
MUST_USE bool answer_awaits_rest(struct exchange *x, struct body *body, int64_t length);
/** From a complete or filling stored response; x->outcome is set. */
void answer_from_object(struct exchange *x, struct object *o);
/** From what the fetch that this exchange began has brought. */
void answer_from_fetch(struct exchange *x);
/** An error of weir's own, as problem+json. */
void answer_problem(struct exchange *x, int status, const char *detail);
/** Any small answer: the text is copied. */
void answer_text(struct exchange *x, int status, const char *content_type, const char *text, size_t len);
/** The same with one field more, or none (NULL). The text is malloc'd and taken over; NULL: no content. */
void answer_own(struct exchange *x, int status, const char *content_type, char *text, size_t len,
                const char *extra_name, const char *extra_value);
/** OPTIONS or TRACE that ends here. */
void answer_options(struct exchange *x);
void answer_trace(struct exchange *x);
/** Send a reply whose fields, and Date, are those of the head. @return false: it cannot be sent; a problem was, instead */
bool answer_send(struct exchange *x, struct front_reply *reply, struct reply_head *head);
/** End readers and free what the answer held. */
void answer_end(struct exchange *x);

/* ---- exchange_log.c */

void exchange_log(const struct exchange *x, uint64_t bytes_sent, int64_t took_us);
void exchange_log_refused(struct worker *k, int status, const struct front_peer *peer);

/* ---- exchange_kept.c */

struct kept_place;
/** A hit, whose outcome is set, may be answered with the reply that others got. @return whether it was
 *  @param keep  else: where the reply that is about to be made is to be kept, or NULL */
MUST_USE bool kept_answers(struct exchange *x, bool not_modified, struct kept_place **keep);
/** The reply has been made. @param p  what kept_answers gave */
void kept_fill(struct exchange *x, struct kept_place *p);

/* ---- exchange_route.c */

enum admission { ADMITTED, NOT_ADMITTED /* and answered */, ADMISSION_WAITS /* for admission_begin */ };
/** Does the request bring the credentials that its route asks for? */
MUST_USE enum admission admission_of(struct exchange *x);
/** Have the password checked: job_task tells when it is. @return false: there is no room for that, and that was the answer */
MUST_USE bool admission_begin(struct exchange *x);
/** The check is over. @return false: it has been refused */
MUST_USE bool admission_done(struct exchange *x);
void admission_end(struct exchange *x);

/** A content that is too long (-1: not known), a redirect, a fixed answer. @return whether that was the answer */
MUST_USE bool route_answers(struct exchange *x, int64_t content_length);

/* ---- exchange_client.c */

/** Take x->request as the proxies in front of weir are to be understood. @return false: no memory */
MUST_USE bool exchange_take_claims(struct exchange *x);

/* ---- exchange_upgrade.c */

/** Whether the request asks for a protocol that its route allows; others are answered as if they did not. */
bool upgrade_is_asked_for(const struct exchange *x);
/** @return false: there are too many tunnels, and that was the answer */
MUST_USE bool upgrade_reserve(struct exchange *x);
/** The origin has switched: so does weir. */
void answer_switched(struct exchange *x);
/** No tunnel came of it, or not of this exchange's doing. */
void upgrade_end(struct exchange *x);

/* ---- exchange_purge.c */

void purge_request_begin(struct exchange *x);
void purge_request_done(struct exchange *x);

/* ---- exchange_shield.c */

/** Whether some origin is to hear of the purge as well: the URL's own, or any for tags, which may be anywhere. */
bool purge_is_handed_on(const struct exchange *x, const struct purge_request *p);
/** Purge there, then here: purge_begin with `done` once every server has answered; x->purge_not_handed_on says when one has
 *  not, or has refused. */
void purge_hand_on(struct exchange *x, const struct purge_request *p, purge_done done);

#endif
