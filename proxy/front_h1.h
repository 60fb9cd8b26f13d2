/* front_h1: what the files of the HTTP/1.1 front end share; only they include this, and microhttpd.h through it.
 *
 *   front_h1.c        the daemon, and the life of a request: begin, content, reply, end
 *   front_h1_head.c   a request head, checked and turned into views
 *   front_h1_reply.c  replies, refusals and interim responses
 *   front_h1_kept.c   replies that are given to many
 *   front_h1_early.c  replies amid a long upload, which MHD cannot send
 *   front_h1_proxied.c  PROXY protocol headers, before a connection is MHD's
 *   front_h1_conn.c   connections: accepting, deadlines, clients that leave
 *
 * A connection (struct conn) lives from MHD's NOTIFY_CONNECTION to its counterpart; a stream from the first handler
 * call of a request to NOTIFY_COMPLETED, and is taken from a free list, so that a hit allocates nothing here.
 */
#ifndef WEIR_PROXY_FRONT_H1_H
#define WEIR_PROXY_FRONT_H1_H

#include "proxy/front.h"

#include <microhttpd.h>
#include <netinet/in.h>

/* The pool is MHD's memory for a connection: request head, read buffer, reply head. For each request MHD zeroes all of it,
 * and half of it once more: with 32 KiB that was a whole first-level cache of 48 KiB, and a hit took 7 % more. */
enum {
    POOL_BYTES = 28 * 1024,
    POOL_FIELD_BYTES = 64,          /* what MHD keeps for each field line and each cookie */
    REPLY_HEAD_LEAST = 4 * 1024,    /* a request head must leave this much of the pool */
    READ_BLOCK_BYTES = 32 * 1024,   /* a reading reply of known length is sent in blocks of this */
    DRAIN_BYTES_MAX = 64 * 1024,    /* request content that is thrown away to save a connection already answered */
    EARLY_CONTENT_MAX = 32 * 1024,  /* content of a reply that is sent amid an upload */
    AUTHORITY_BYTES_MAX = 255 + 16, /* a host name, a port */
    HOST_KEPT_BYTES = 64,           /* a Host up to this is recognised when the connection's next request repeats it */
    FIELDS_INLINE = 48,             /* requests with more fields borrow an array for FRONT_FIELDS_MAX */
    STREAMS_KEPT = 1024,            /* free streams kept for reuse */
    ACCEPTS_PER_TURN = 64,
    ACCEPT_PAUSE_MS = 100,          /* out of file descriptors or memory: try again after this */
    LINGER_MS = 2000,               /* a socket closed on a client that still sends is read this long, */
    LINGER_BYTES_MAX = 1024 * 1024, /* this far, */
    LINGERERS_MAX = 256,            /* and for this many clients */
    REQUEST_LOOK_MS = 1000,         /* between two looks at a connection amid a request, at most */
    ROOM_LOOKS_MAX = 64,            /* connections asked for one newcomer at the limit */
    DRAIN_FRESH_MS = 1000,          /* a connection without a request yet is given this much when draining */
    INTERIM_BYTES_MAX = 4 * 1024    /* a larger interim response is dropped */
};

struct conn;
struct acceptor;
struct proxied;
struct lingerer;
struct early_reply;

struct front {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct front_handler handler;
    void *owner;
    struct front_settings settings;

    struct loop_watch mhd_watch; /* MHD's own epoll, nested in the loop's */
    bool mhd_ready;              /* it has events */
    bool resumed;                /* a connection was resumed: MHD tells nobody, so the next turn must run it at once */

    struct acceptor *acceptors;
    struct loop_timer accept_timer;
    bool accept_paused, accept_at_limit;

    struct conn *conns;
    struct conn *hand; /* of those, the next to be asked whether it can make room; NULL: the first */
    size_t conn_count, active;
    size_t heads_begun; /* connections whose request line has been read, and the rest of the head has not */
    struct front_stream *free_streams;
    size_t free_count;
    struct proxied *proxied; /* connections whose PROXY header is not yet here */
    struct lingerer *lingerers;
    size_t linger_count;
    bool draining, stopping;
};

struct conn {
    struct front *front;
    struct MHD_Connection *mhd;
    int fd;
    struct conn *next, *prev;
    struct front_stream *stream; /* the request under way, or NULL */

    /* The raw request target, in MHD's buffer, from the URI callback to the first handler call. */
    char *target;
    size_t target_len;
    size_t query_at; /* index behind the '?', where query_first stood before a NUL was put there */
    char query_first;
    bool head_begun;      /* counted in heads_begun */
    bool refused_by_us;   /* an answer of front_refuse is on its way */
    bool content_follows; /* the head of the request under way announced content, however badly */
    bool gone;            /* the client left, or its deadline passed: nothing more is sent or read */

    /* The authority of the request under way, and the Host that it was made of: the next one mostly says the same. */
    char authority[AUTHORITY_BYTES_MAX], host[HOST_KEPT_BYTES];
    size_t authority_len, host_len;

    struct loop_timer timer; /* the one timer for every deadline */
    uint32_t requests, requests_seen;
    int64_t waiting_since_ms; /* end of the last request, or the accept */
    int64_t head_since_ms;    /* when bytes of a new head were first noticed; -1 */
    int64_t progress_ms;
    uint64_t received_seen, acked_seen;

    struct loop_watch leave; /* told by epoll when the client of a parked request leaves */
    bool watching;

    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t address_len;
    char address_text[INET6_ADDRSTRLEN];
};

/* What a stream out of MHD's hands waits for. */
enum parked { NOT_PARKED, PARKED_FOR_REPLY, PARKED_FOR_CONTENT, PARKED_FOR_READ };

struct front_stream {
    struct conn *conn;
    struct front_stream *next_free;
    void *context; /* the handler's */

    /* The request. */
    struct request_head head;
    struct front_request request;
    size_t pool_used; /* of MHD's pool, by the head */
    bool first_call;  /* inside it: answering now closes the connection */
    bool in_content;  /* inside handler->content */
    bool content_over;
    bool content_unwanted; /* answered: what is left of it is drained, not handed over */
    uint64_t content_seen, drained;

    /* The reply. */
    struct MHD_Response *response; /* made, not yet queued */
    struct view bare_head;         /* malloc'd; goes out by itself before response, see bare_reply */
    struct front_kept *kept;       /* whose these two are, then */
    int status;
    size_t head_bytes; /* of MHD's pool, by the reply's fields */
    bool replied, queued;
    bool closes; /* the reply says that it is the last of its connection */
    bool body_sent_by_reader;
    uint64_t body_bytes; /* that will be, or by the reader were, sent */
    void (*release)(void *arg);
    ssize_t (*read)(void *arg, uint8_t *to, size_t cap);
    void (*switched)(void *arg, struct duplex *client);
    void *reply_arg;
    int64_t read_length; /* -1: unknown */
    bool in_read;
    struct early_reply *early; /* made instead of response when the upload is long */
    bool early_delivered;
    int64_t early_until_ms; /* once it is sent */

    enum parked parked;
    bool woken; /* front_wake or front_resume_content came while the handler was being asked */
    bool watch; /* front_watch_client */

    char *path_copy;           /* path_query, when the raw target does not have it in one piece */
    struct field *many_fields; /* FRONT_FIELDS_MAX of them, or NULL */
    struct field fields[FIELDS_INLINE];
};

/* front_h1_head.c */

/** Read the request that MHD parsed into s->head and s->request, and check what MHD does not.
 *  @return 0, or the status of the refusal */
MUST_USE int front_head_read(struct front_stream *s, const char *method, const char *version);

/* front_h1_reply.c */

/** Refuse in the first handler call: MHD answers, closes and reads nothing more. */
MUST_USE enum MHD_Result front_refuse(struct conn *c, int status);
/** Hand the reply that front_reply made to MHD. */
MUST_USE enum MHD_Result front_queue(struct front_stream *s);
/** Give back what the reply holds. */
void front_reply_release(struct front_stream *s);
/** The connection ends with this request's answer, whatever the reply says. */
bool front_closes(const struct front_stream *s);
void front_bare_free(struct view *head);
/** Refuse by hand, where MHD has no call for it: only while MHD has nothing to send itself. */
void front_send_refusal(struct conn *c, int status);

/* front_h1_kept.c */

/** A kept reply is over for this stream. */
void front_kept_release(struct front_stream *s);

/* front_h1_early.c */

/** A reply in place of reading more of the request's content. */
bool front_early_is(const struct front_stream *s, int status);
/** Must, and can, this one go out before the rest has come? */
bool front_early_fits(const struct front_stream *s, const struct front_reply *r);
/** Send it, as soon as its content is there.
 *  @param fields  as on the wire, each line with its CRLF
 *  @return        0, or -ENOMEM */
MUST_USE int front_early_reply(struct front_stream *s, const struct front_reply *r, struct view fields);
/** Its content is not all there yet, and so the upload waits. */
bool front_early_waits(const struct front_stream *s);
void front_early_read(struct front_stream *s);
void front_early_free(struct front_stream *s);

/* front_h1.c */

/** The head has been read, or never will be. */
void front_head_over(struct conn *c);
void front_park(struct front_stream *s, enum parked why);
void front_unpark(struct front_stream *s);

/* front_h1_conn.c */

void front_conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);
struct conn *front_conn_of(struct MHD_Connection *mhd);
/** A request of this connection is over: its keep-alive time begins. */
void front_conn_waits(struct conn *c);
/** Break the connection; MHD finds out in its next turn. */
void front_conn_break(struct conn *c);
/** The connection is about to be closed with content unread, or still coming. */
void front_conn_linger(struct conn *c);
void front_linger_stop(struct front *f);

/* front_h1_proxied.c */

/** Take fd in once its PROXY header is here. */
void front_proxied_begin(struct front *f, int fd, const struct sockaddr *peer, socklen_t len);
void front_proxied_stop(struct front *f);

/* front_h1_conn.c */

/** Nothing in flight that we can see: no request, and no byte of one waiting in the kernel. */
bool front_conn_is_idle(const struct conn *c);
void front_conn_watch(struct conn *c);
void front_conn_unwatch(struct conn *c);
void front_accept_resume(struct loop_timer *t);
void front_accept_stop(struct front *f);
/** A connection has gone: there is room for another. */
void front_accept_more(struct front *f);
struct front_peer front_peer_of(const struct conn *c);

#endif
