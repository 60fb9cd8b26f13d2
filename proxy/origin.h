/* origin: fetching from an origin server.
 * Ownership: origin_fetch copies what it needs of the request before it returns; `end` is called exactly once for every
 * fetch that origin_fetch accepted (never from inside origin_fetch), and the fetch is gone after it.
 * Threads: everything in the thread of the origin client's loop.                                                         */
#ifndef WEIR_PROXY_ORIGIN_H
#define WEIR_PROXY_ORIGIN_H

#include "headers/message.h"
#include "proxy/duplex.h"
#include "proxy/loop.h"

#include <sys/types.h>

/* How to speak https. */
struct origin_tls {
    const char *ca, *certificate, *key; /* files; NULL: the system's CAs, none, none */
    const char *name;                   /* asked for by SNI and checked; NULL: the URL's host */
    bool verify;
};

struct resolver;
struct origin_client; /* one per worker */
struct origin_fetch;

enum {
    ORIGIN_REPLY_HEAD_MAX = 12 * 1024,
    ORIGIN_CONNECTIONS_MAX = 256,
    ORIGIN_QUEUE_MAX = 16 * 1024,
    ORIGIN_PREFIX_MAX = 1024,
};

/* Where a server is and how to treat it. */
struct origin_server {
    const char *base_url;         /* "http://127.0.0.1:3000", "https://api.example.com" */
    const char *unix_path;        /* or NULL */
    const char *authority;        /* what Host says when the client's own Host is not kept */
    const char *path_prefix;      /* of the origin URL, "" when none */
    int64_t connect_ms;           /* 3 000 */
    int64_t first_byte_ms;        /* 30 000: from the request sent to a complete response head */
    int64_t between_bytes_ms;     /* 30 000: without progress */
    int64_t total_ms;             /* 0: none */
    int64_t queue_ms;             /* 10 000: waiting for a connection */
    int64_t idle_ms;              /* 50 000: a connection kept for reuse */
    unsigned connections_max;     /* per worker */
    size_t queue_max;             /* fetches that wait for a connection, per worker */
    const struct origin_tls *tls; /* NULL: as OpenSSL's own tools do it */
    bool by_libcurl;              /* http as well as https; else weir speaks http itself and libcurl only connects */
};
/** Understand `--origin`: http, https or unix:/path. Fills base_url... from malloc'd strings. @return false with `why` */
MUST_USE bool origin_server_parse(const char *url, struct origin_server *out, char *why, size_t cap);
/** Frees what origin_server_parse filled in. */
void origin_server_release(struct origin_server *server);

enum origin_result {
    ORIGIN_COMPLETE,
    ORIGIN_UNREACHABLE,  /* no connection: refused, no route, name does not resolve; 502 */
    ORIGIN_TLS,          /* certificate or handshake; 502 */
    ORIGIN_CLOSED,       /* closed or reset before a complete response head; 502 */
    ORIGIN_BAD_RESPONSE, /* a head or framing that is not HTTP, or one that weir refuses; 502 */
    ORIGIN_TIMED_OUT,    /* connect, first byte, between bytes; 504 */
    ORIGIN_CUT,          /* broke after the head: content is truncated */
    ORIGIN_QUEUE_FULL,   /* no connection free in time; 503 */
    ORIGIN_CANCELLED,    /* by origin_cancel */
};
/** A few words for Cache-Status detail: "connection refused" becomes "origin-unreachable" and so on. */
const char *origin_result_name(enum origin_result r);

struct origin_handler {
    /** 1xx, 100 and 101 excepted. Views live during the call. */
    void (*interim)(void *arg, int status, struct field_section fields);
    /** The final response's head, checked: names and values valid, one consistent length. Views live during the call.
     *  Transfer-Encoding and the Content-Length line are still among the fields; content_length is the truth, -1 unknown. */
    void (*head)(void *arg, const struct response_head *head, int64_t content_length);
    /** Content; all of it is taken. When enough is buffered call origin_pause (also from inside). */
    void (*content)(void *arg, const uint8_t *at, size_t len);
    /** More request content. @return bytes; 0: complete; -EAGAIN: origin_resume_content later; other <0: give up */
    ssize_t (*read_content)(void *arg, uint8_t *to, size_t cap);
    /** Over. For ORIGIN_COMPLETE the head and all content were handed over. @param why  a line for the log */
    void (*end)(void *arg, enum origin_result result, const char *why);
    /** May be NULL where no upgrade is offered. In place of head: the server has switched to what was offered (101), and the
     *  connection is the callee's. end follows. Views live during the call.
     *  @return false: nobody wants it, and it was closed; the end is ORIGIN_CANCELLED */
    bool (*switched)(void *arg, const struct response_head *head, struct duplex *server);
    /** May be NULL. Where content that is about to be received should lie; `content` is then told of it there. @return NULL: anywhere */
    void *(*room)(void *arg, size_t *cap);
};

struct origin_request {
    const struct origin_server *server;
    struct view method, target; /* target: path and query as sent, checked to hold no blanks or controls */
    const char *const *lines;   /* "Name: value", "Name;" for an empty value; Host among them; no framing lines */
    size_t line_count;
    bool has_content;
    int64_t content_length;  /* -1: chunked */
    bool may_resend;         /* safe: may be repeated on a fresh connection; otherwise sent once */
    bool expects_no_content; /* HEAD */
    struct view
        upgrade; /* protocols to switch to, offered as "Upgrade: websocket"; empty: none. Without content only */
};

MUST_USE struct origin_client *origin_client_new(struct loop *loop, char *why, size_t cap);
/** Let names be resolved by `r`, which outlives the client. Without it every new connection asks for itself. */
void origin_use_resolver(struct origin_client *c, struct resolver *r);
/** Ends every fetch (ORIGIN_CANCELLED) and frees. Connections that have switched must be closed by then. */
void origin_client_free(struct origin_client *c);

/** @return NULL when memory or the queue is short: answer 503. */
MUST_USE struct origin_fetch *origin_fetch(struct origin_client *c, const struct origin_request *request,
                                           const struct origin_handler *handler, void *arg);
void origin_pause(struct origin_fetch *f);
void origin_resume(struct origin_fetch *f);
void origin_resume_content(struct origin_fetch *f);
/** Whether more wait for a connection than will be given one by those who give way; then this one does, and is to be
 *  cancelled. */
MUST_USE bool origin_gives_way(struct origin_fetch *f);
/** end(ORIGIN_CANCELLED) comes later, from the loop. */
void origin_cancel(struct origin_fetch *f);

struct origin_stats {
    uint64_t fetches, active, queued, connections_new, reused, resent_refused;
};
void origin_stats(const struct origin_client *c, struct origin_stats *out);

#endif
