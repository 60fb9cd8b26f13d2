/* front: what a front end offers to whoever answers requests (exchange, admin), and what it calls there. A front end
 * parses requests and writes responses, knows the rules of the wire (HEAD, 304, framing, limits, deadlines), and nothing
 * of caching.
 * Threads: everything happens in the thread of the front end's loop.
 *
 *   begin -> [content* -> content_end] -> end          front_reply may be called once, from begin on, until end
 */
#ifndef WEIR_PROXY_FRONT_H
#define WEIR_PROXY_FRONT_H

#include "headers/message.h"
#include "proxy/duplex.h"
#include "proxy/loop.h"

#include <sys/socket.h>
#include <sys/types.h>

struct front;
struct front_stream; /* one request and its response */
struct front_kept;   /* a reply that may be given again */

enum {
    FRONT_REQUEST_HEAD_MAX = 16 * 1024, /* larger: 431; a target above FRONT_TARGET_MAX: 414 */
    FRONT_TARGET_MAX = 8 * 1024,
    FRONT_REPLY_HEAD_MAX = 12 * 1024, /* what a reply's head may measure */
    FRONT_FIELDS_MAX = 256,
    FRONT_GIVE_WAY_MS = 3000
};

struct front_peer {
    const struct sockaddr *address;
    socklen_t address_len;
    const char *text; /* numeric address, no port */
};

struct front_request {
    const struct request_head *head; /* lives until end */
    struct front_peer peer;
    bool has_content;
    int64_t content_length; /* -1: chunked */
    bool expects_continue;
};

/* NUL-terminated: the libraries want it so. A Date, Content-Length, Transfer-Encoding or Connection line never stands here. */
struct front_field {
    const char *name, *value;
};

/* What the front end calls. */
struct front_handler {
    /** A well-formed request head is here. @return the handler's own context for this request, given to the calls below;
     *  NULL: out of memory, the front end answers 503 whatever the handler replied, and makes no further call */
    void *(*begin)(void *owner, struct front_stream *s, const struct front_request *request);
    /** A piece of request content.
     *  @return bytes taken; fewer than len: parked until front_resume_content. <0: refuse, close */
    ssize_t (*content)(void *context, const uint8_t *at, size_t len);
    /** All of the request's content is here. complete is false when the client broke off: front_reply is then futile. */
    void (*content_end)(void *context, bool complete);
    /** The request is over, answered or not; the stream is gone after this. @param delivered  the reply went out whole */
    void (*end)(void *context, bool delivered, uint64_t bytes_sent);
    /** The client of an unfinished request has neither sent nor taken anything for FRONT_GIVE_WAY_MS. May be NULL.
     *  @return whether others wait for what the request holds; then it is broken off */
    bool (*gives_way)(void *context);
    /** A request that the front end itself refused (400, 408, 413, 414, 431, 505...): for counting and the log. */
    void (*refused)(void *owner, int status, const struct front_peer *peer);
    struct front_field refusal_field; /* stands in those answers; name NULL: none */
};

struct front_reply {
    int status;
    const char *date; /* value of Date; NULL: the front end adds its own */
    const struct front_field *fields;
    size_t field_count;
    int64_t content_length; /* -1: not known: chunked to HTTP/1.1, until close to 1.0 */
    bool no_content_length; /* HEAD or 304 whose true length is not known: none is sent */
    bool close;             /* close the connection afterwards */
    /* The content, in memory: */
    const void *content;        /* stays until release */
    void (*release)(void *arg); /* may be NULL */
    /* or, when content is NULL and there is content to send, by reading; content pulled in the front end's thread: */
    ssize_t (*read)(void *arg, uint8_t *to,
                    size_t cap); /* bytes; 0: complete; -EAGAIN: parked until front_wake; else broken */
    void *arg;                   /* for release, read and switched */
    /* or, with status 101, to a request of HTTP/1.1 without content: once the head is sent, and before end, the connection
     * is the callee's. Not called when the client has left by then. */
    void (*switched)(void *arg, struct duplex *client);
    const char *upgrade; /* then: value of Upgrade */
};

/** Answer. For HEAD, 304, 204 and 1xx rules the front end takes care: content is never sent, its length may be. Everything
 *  but content is copied. From here on reply->release will be called, once and before end, in either form of content.
 *  Answering before the request's content is over: in begin, or with a status from 300 on, means that no more of it is
 *  wanted, and neither the rest nor content_end is given to the handler. A short rest is drained and the connection kept;
 *  else the answer goes out at once and is the last: amid an upload with up to 32 KiB of content (one larger breaks the
 *  connection when another 64 KiB have come). With 2xx amid an upload the handler is given the rest before the answer.
 *  @return 0; -EINVAL: a field the wire cannot carry, or a status below 200 that is not 101 with `switched`; -E2BIG: head too large; -ENOMEM. After these
 *          nothing was sent and release is still the caller's: reply again, with less */
MUST_USE int front_reply(struct front_stream *s, const struct front_reply *reply);
/** Keep the reply that s was just given, to give it to others: only to a GET, with content in memory or none.
 *  @return a reference, or NULL: this one cannot be kept. reply->release is called when the last reference is gone */
struct front_kept *front_keep(struct front_stream *s);
/** Answer with a kept reply of the same front, as front_reply would with what it was made of.
 *  @return false: this request needs a reply of its own (HEAD, the last of its connection, ...) */
MUST_USE bool front_reply_kept(struct front_stream *s, struct front_kept *k);
void front_kept_unref(struct front_kept **k);
/** An interim response (103, ...) to an HTTP/1.1 client; dropped for others. */
void front_interim(struct front_stream *s, int status, const struct front_field *fields, size_t count);
/** The reply's read has more, or the end. */
void front_wake(struct front_stream *s);
/** The handler can take more request content. */
void front_resume_content(struct front_stream *s);
/** Ask to be told by handler->end(.., delivered=false) when the client leaves while no reply is there yet. */
void front_watch_client(struct front_stream *s);

/* Every limit of the front end. */
struct front_settings {
    int64_t idle_ms;          /* keep-alive without a request: 60 000 */
    int64_t head_ms;          /* a request head must be here this long after its first byte: 15 000 */
    int64_t content_stall_ms; /* request content, or the client's reading of ours, without progress: 60 000 */
    unsigned connections_max; /* per front: 20 000; more wait in the backlog */
};

/** Whether address_port can be listened on, and nobody (another weir included) does. Sockets of listener_open share a port
 *  among themselves, so ask this first, of all addresses, so that none is asked for twice; then close what it returned.
 *  @return a socket that nobody shares; -EINVAL: no address; else negative errno; with `why` */
MUST_USE int listener_claim(const char *address_port, char *why, size_t cap);
/** Open a listening socket with SO_REUSEPORT ("127.0.0.1:8080", "[::1]:8080"). @return fd, or -1 with `why` */
MUST_USE int listener_open(const char *address_port, char *why, size_t cap);

/** @param loop  whose thread serves. The handler and its owner outlive the front. */
MUST_USE struct front *front_h1_new(struct loop *loop, const struct front_settings *settings,
                                    const struct front_handler *handler, void *owner, char *why, size_t cap);
/** Accept from fd (the front owns it from here on). */
MUST_USE int front_listen(struct front *f, int fd);
/** The same, where every connection begins with a PROXY protocol header, which says who the client is.
 *  @param believes  may this peer say so? Others are turned away */
MUST_USE int front_listen_proxied(struct front *f, int fd, bool (*believes)(void *arg, const struct sockaddr *peer),
                                  void *arg);
/** Stop accepting, answer what is under way with `Connection: close`, close idle connections. */
void front_drain(struct front *f);
/** Requests and connections still under way. */
size_t front_active(const struct front *f);
size_t front_connections(const struct front *f);
/** Breaks whatever is left. */
void front_free(struct front *f);

#endif
