/* fetch_internal: what the files of the fetch share: fetch.c (life, sending, what the origin says), fetch_copy.c (its
 * copies of heads), fetch_server.c (whom it asks), fetch_hedge.c (whom besides), fetch_gate.c (its place at the origin),
 * fetch_keep.c (what of a response is kept, and who hears of it), fetch_update.c (304, HEAD and 206 against what is stored),
 * fetch_invalidate.c (RFC 9111 §4.4).                                                                                   */
#ifndef WEIR_PROXY_FETCH_INTERNAL_H
#define WEIR_PROXY_FETCH_INTERNAL_H

#include "cache/reuse.h"
#include "cache/validation.h"
#include "headers/range.h"
#include "proxy/fetch.h"
#include "proxy/origin_state.h"
#include "purge/tag.h"

enum { FETCH_TAGS_MAX = TAG_MAX + 1 + 2 }; /* what tags_of_response gives, the host, and a QUERY's target URI */

enum { FETCH_PERSONAL_MAX = 32 };

/* The request at one server. A fetch has one under way, or for a while two (fetch_hedge.c). */
struct fetch_attempt {
    struct fetch *fetch;
    struct origin_fetch *transfer; /* NULL: not under way */
    struct server_pick pick;       /* whom it asks */
    int status;                    /* of its response; 0: none yet */
    bool is_hedge;                 /* the second of two */
    bool lost;                     /* the other one's response is taken: what it says any more is of no interest */
    int64_t request_time_s, asked_us;
};

struct fetch {
    unsigned refs;
    struct worker *worker;
    struct site_lease *lease;
    const struct site *site; /* the lease's */
    const struct route *route;
    struct flight *flight;
    struct request_head request; /* in arena */
    struct key key;              /* in arena; text empty: none */
    char *arena;
    const char *client_ip; /* in arena */
    bool may_store, shared, drop_conditions, in_background;
    struct object *stored; /* being validated (or confirmed by a HEAD) */
    struct object *vary;
    struct object *confirmed; /* what is stored, freshened by a HEAD */
    bool validating;          /* the request carries the stored validators */
    bool completing;          /* the request asks for what a stored part lacks */
    struct byte_range missing;
    bool anew; /* what came does not fit what is stored: fetch again, plainly, when this has ended */
    struct upload *upload;
    bool upgrade;
    struct duplex *connection; /* after a 101, until it is taken */
    struct fetch_listener *listener;
    struct fetch_attempt attempts[2];
    struct fetch_attempt *attempt; /* the one that counts; of two under way the first, until a response comes */
    bool hedged; /* there was a second; it holds a reference and a place until it ends, or the first does */
    struct loop_timer hedge_timer;
    struct loop_timer pause_timer; /* while the window of the content is full */
    struct gate_waiter waiter;     /* for a place at the origin */
    struct loop_timer gate_timer;
    bool waiting, has_place, gives_place;
    struct servers_tried tried; /* who failed */
    unsigned tries;
    const char *refusal; /* why nobody was asked */
    int retry_after_s;   /* when it may be otherwise; 0: not known */
    bool interim_sent;   /* the client has heard of this request */
    bool elsewhere;      /* what came is not taken: another server is asked when this attempt has ended */
    int64_t begun_us;
    struct response_times times;
    struct fetch_response response;
    struct response_directives directives;     /* of the response, in force */
    struct field personal[FETCH_PERSONAL_MAX]; /* of a 304: for the requester alone */
    size_t personal_count;
    bool has_response;
    char *response_arena;
    struct object *filling; /* what others already read */
    bool filled;            /* it was whole when it was made, and can be kept */
    bool storing;
    struct variant variant; /* in variant_text */
    char *variant_text;
    bool publish_waits; /* for an invalidation to be durable */
    bool ended;
    struct purge_result purge_result;
    uint64_t stored_seq; /* what purges hold against the response: when it came into being */
    struct loop_task resume_task, purge_task, publish_task;
    struct fetch *next_free; /* in worker->free_fetches */
};

/** Nobody refers to it: it goes when no task of it is posted any more. */
void fetch_free_when_quiet(struct fetch *f);
int64_t fetch_now_s(const struct fetch *f);
struct flight_table *fetch_flights(const struct fetch *f);

/* ---- fetch_copy.c: one allocation each, names and values NUL-terminated */
MUST_USE bool fetch_copy_request(struct fetch *f, const struct fetch_settings *s);
/** The origin's head, with a Date of ours when it has none (RFC 9110 §6.6.1). */
MUST_USE bool fetch_copy_response(struct fetch *f, const struct response_head *head);

/* ---- fetch_server.c */
/** Choose whom to ask; fetch_leave_server says what came of it. @return false: all are down, or were asked already */
MUST_USE bool fetch_choose_server(struct fetch *f);
/** A second server for the hedge attempt, not a backup beside one that is none. The budget has been asked.
 *  @return false: there is none, or the budget is spent */
MUST_USE bool fetch_choose_hedge(struct fetch *f, struct fetch_attempt *hedge);
const struct origin_server_settings *fetch_server(const struct fetch_attempt *a);
void fetch_leave_server(struct fetch_attempt *a, enum origin_result result);
/** After a failure: another server is chosen. Safe requests only, before the client heard anything, within the budget. */
MUST_USE bool fetch_tries_again(struct fetch *f, enum origin_result result);
/** A head came: whether it is to be let go, because another server may have a better answer. */
MUST_USE bool fetch_goes_elsewhere(struct fetch *f, int status);

/* ---- fetch_hedge.c */

/** An attempt has begun: should it take too long, a second server is asked as well. */
void fetch_arm_hedge(struct fetch *f);
/** A head came. @return false: it is not taken, the other attempt may have a better one */
MUST_USE bool fetch_head_wins(struct fetch_attempt *a, int status);
/** An attempt has ended. @return false: the fetch goes on with the other one, or has done so */
MUST_USE bool fetch_attempt_was_last(struct fetch_attempt *a, enum origin_result result);
/** Cancel what is under way; it ends later, from the loop. */
void fetch_cancel(struct fetch *f);
/** Whether two are under way. */
bool fetch_is_racing(const struct fetch *f);
/** fetch.c: ask its server. @return false: the queue there is full, or no memory */
MUST_USE bool fetch_ask(struct fetch_attempt *a);

/* ---- fetch_gate.c */
/** GATE_WAIT: fetch_is_admitted or fetch_refuse is called later. */
MUST_USE enum gate_verdict fetch_enter_gate(struct fetch *f);
void fetch_leave_gate(struct fetch *f);
/** Whether more wait for a place than will be given one by those who give way; then this one does. */
MUST_USE bool fetch_gate_gives_way(struct fetch *f);
/** One place more, without waiting for it; and back. */
MUST_USE bool fetch_take_second_place(struct fetch *f);
void fetch_leave_second_place(struct fetch *f);
/** Give up waiting, unless it has a place by now. */
void fetch_stop_waiting(struct fetch *f, const char *why);
/** fetch.c: it has its place. */
void fetch_is_admitted(struct fetch *f);
/** fetch.c: nobody is asked; the fetch is over. */
void fetch_refuse(struct fetch *f, const char *why);

/* ---- fetch_keep.c */
/** What it may be purged by beside its key: the tags in its fields, its host.
 *  @param tags  room for FETCH_TAGS_MAX */
size_t fetch_tags(const struct fetch *f, struct field_section fields, uint64_t *tags);
/** Whether f->response is stored; sets f->storing. */
void fetch_decide_storing(struct fetch *f, const struct response_head *head, int64_t content_length);
MUST_USE bool fetch_begin_body(struct fetch *f, int64_t content_length);
int64_t fetch_content_limit(const struct fetch *f);
/** The flight's waiters hear of the response and go on. */
void fetch_publish(struct fetch *f);
/** The same within this turn of the loop: should the content end until then, all is made at once. */
void fetch_publish_soon(struct fetch *f);
void fetch_publish_run(struct loop_task *t);
/** The transfer is over and its response, if there was one, is published: keep it, or let the flight go. */
void fetch_conclude(struct fetch *f);
/** Keep o, and let nobody join the flight once it can be found. */
void fetch_admit(struct fetch *f, struct object *o);
void fetch_land_with_nothing(struct fetch *f);
void fetch_fail(struct fetch *f, int status, const char *detail);
void fetch_stop_storing(struct fetch *f);
/** Its content has turned out to be larger than what may be stored. */
void fetch_is_too_large(struct fetch *f);

/* ---- fetch_update.c */
/** A 304 came for what weir asked. @return false: it selects nothing, fetch anew (§4.3.4) */
bool fetch_freshen(struct fetch *f);
/** A 200 to HEAD tells whether what is stored for GET is still so (§4.3.5). */
void fetch_confirm(struct fetch *f, const struct response_head *head);
/** A stored part that can be completed by asking for one more range (§3.4): sets f->missing. */
void fetch_plan_completion(struct fetch *f);
/** The 206 that was asked for is here: f->response becomes the whole. @return false: it does not fit, fetch anew */
bool fetch_complete_head(struct fetch *f, const struct response_head *head, int64_t content_length);
/** More of that part has come. @return false: it is longer than its Content-Range says, and what is stored goes */
MUST_USE bool fetch_rest_fits(struct fetch *f, size_t len);
/** That part has ended: what is stored goes to its place. @return false: it was shorter, and what is stored goes; or no
 *  memory */
MUST_USE bool fetch_rest_completes(struct fetch *f);

/* ---- fetch_invalidate.c */
/** The purges begin before the client hears that its request succeeded, and are durable by then.
 *  @return true when publishing must wait; f->purge_task runs then */
bool fetch_invalidate(struct fetch *f);
void fetch_purge_run(struct loop_task *t);

#endif
