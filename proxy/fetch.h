/* fetch: one forwarded request, from its head to what the cache keeps of its response. It leads a flight and outlives the
 * client that caused it: the edge owns the fetch.
 *
 *   SENT --head--> STREAMING --end--> over         the response's head and content go to whoever reads the flight
 *      \--101-----------------------> over         the connection goes to the exchange that began it
 *      \--304-----------------------> over         the stored response is freshened
 *      \--304 that selects nothing--> SENT         fetched anew, once, without validators
 *      \--end----------------------> over          no response: the flight fails
 *
 * Ownership: counted, within one worker; it holds itself while it is under way.
 * Threads: the worker's own, save the callbacks of body and purge, which only post.                                      */
#ifndef WEIR_PROXY_FETCH_H
#define WEIR_PROXY_FETCH_H

#include "cache/storable.h"
#include "proxy/upload.h"
#include "proxy/worker.h"

struct fetch;

/* What the exchange that began a fetch wants to hear besides the flight. */
struct fetch_listener {
    void (*interim)(struct fetch_listener *l, int status, struct field_section fields);
};

struct fetch_settings {
    struct worker *worker;
    struct site_lease *lease;           /* a reference is added */
    const struct route *route;          /* in it */
    const struct request_head *request; /* copied */
    const char *client_ip;
    const struct key *key;     /* NULL: the request has none (passed) */
    struct flight *flight;     /* a reference is added */
    bool may_store;            /* what comes back may be kept */
    bool shared;               /* the flight can be joined by others */
    bool drop_conditions;      /* If-None-Match, If-Modified-Since, Range, If-Range are answered here */
    bool in_background;        /* nobody waits for it */
    struct object *stored;     /* to be validated; NULL: none. A reference is added */
    bool part_suffices;        /* it may be a part: the request asks for nothing outside of it */
    const struct object *vary; /* the key's list of variants as found; may be NULL */
    struct upload *upload;     /* the request's content; NULL: none. A reference is added */
    bool upgrade;              /* the origin may switch to a protocol that the request asks for and the route allows */
    struct fetch_listener *listener;
};

/** @return NULL: no memory, or the origin's queue is full; the flight has then failed (503) */
struct fetch *fetch_begin(const struct fetch_settings *settings);
/** What the worker keeps for reuse. */
void fetches_free(struct worker *k);
struct fetch *fetch_ref(struct fetch *f);
void fetch_unref(struct fetch **f);
/** The exchange that began it is over. A fetch whose response nobody can use any more is broken off. */
void fetch_forget_listener(struct fetch *f);

/** Its only reader has come to a halt. @return whether others wait for its place at the origin, more of them than give way
 *  already; then the reader must go, and the fetch with it */
MUST_USE bool fetch_gives_way(struct fetch *f);

/* The response as received, for the exchange that began the fetch: fields that may not be shared among them. Constant once
 * the flight is not OPEN; lives as long as the fetch. Names and values are NUL-terminated. */
struct fetch_response {
    int status;
    struct field_section fields;
    struct body *body;
    int64_t content_length;  /* -1: not known */
    struct stored_head head; /* its freshness in numbers */
    struct storable_decision storable;
    bool stored; /* it goes into the cache */
};
/** The client's conditions were not forwarded: they are to be answered here. */
bool fetch_answers_conditions(const struct fetch *f);
/** Lines of a 304 that freshened the stored response, for the exchange that caused it alone: cookies, and what no-cache and
 *  private list. They live as long as the fetch. */
struct field_section fetch_personal(const struct fetch *f);
/** Of a response 101, once: the connection to the server, which is the caller's from here on; NULL: it is gone. */
MUST_USE struct duplex *fetch_take_connection(struct fetch *f);
/** The place among the origin's servers of the one that answered. */
int fetch_server_place(const struct fetch *f);
/** NULL while there is none, and when a 304 freshened the stored response instead. */
const struct fetch_response *fetch_response(const struct fetch *f);

#endif
