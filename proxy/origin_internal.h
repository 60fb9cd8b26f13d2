/* origin_internal: what the files of the origin client share.
 *
 *   origin_client.c  fetches: their queues, deadlines and fates, and the client's part in a turn of the loop
 *   origin_h1.c      http and unix sockets: HTTP/1.1 on connections of its own, which stay watched while idle
 *   origin_curl.c    https, and connecting for origin_h1.c: names, addresses, certificates. Only this one knows libcurl;
 *                    where an upgrade is offered over https it only secures the connection, and origin_h1.c speaks
 *
 * A fetch walks
 *
 *   QUEUED -> CONNECTING -> AWAITING -> READING -> ended
 *                 ^            |                      (a refused, cancelled or late one: from any state)
 *                 +------------+ repeated on a fresh connection: the kept one was closed before a byte came back
 *
 * What is asked for from outside (a new fetch, resume, cancel) is only noted; the client's turn does it: so no handler is
 * ever called from inside an origin_ function of origin.h.                                                              */
#ifndef WEIR_PROXY_ORIGIN_INTERNAL_H
#define WEIR_PROXY_ORIGIN_INTERNAL_H

#include "proxy/origin.h"
#include "proxy/origin_address.h"
#include "proxy/origin_head.h"
#include "proxy/resolver.h"

#include <sys/queue.h>

enum {
    ORIGIN_IDLE_MS = 50 * 1000,     /* of a connection, when nobody says: below the 60 s and 75 s of common servers */
    ORIGIN_LIFETIME_MS = 60 * 1000, /* of a connection to a name: then its addresses count anew */
};

enum origin_phase { QUEUED, CONNECTING, AWAITING, READING };

struct channel; /* origin_curl.c */
struct h1_conn; /* origin_h1.c */
struct origin_curl;
TAILQ_HEAD(fetch_list, origin_fetch);
TAILQ_HEAD(h1_conn_list, h1_conn);

/* A server's fetches: those under way, at most active_max, and those that wait. */
struct pool {
    struct origin_client *client;
    struct origin_server server; /* base_url, unix_path and tls are copies */
    struct origin_tls tls;
    struct origin_address address;
    struct resolved *resolved;  /* NULL: has no name, or nobody resolves it */
    unsigned addresses_version; /* that curl knows */
    bool several_addresses;
    struct pool *next;
    int64_t used_ms;
    struct fetch_list active, queue;
    size_t active_count, queue_count, active_max, queue_max;
    size_t giving_way;              /* of those active */
    bool plain;                     /* spoken to by origin_h1.c */
    bool secure;                    /* https */
    struct channel *idle_channels;  /* origin_curl.c's */
    struct h1_conn_list idle_conns; /* origin_h1.c's; used last first */
};

struct origin_fetch {
    TAILQ_ENTRY(origin_fetch) in_pool; /* active or queue */
    TAILQ_ENTRY(origin_fetch) in_todo;
    struct pool *pool;
    const struct origin_handler *handler;
    void *arg;
    struct channel *channel; /* connecting, or all of it by libcurl */
    struct h1_conn *conn;    /* ours */
    enum origin_phase phase;
    bool active, gives_way;
    bool todo; /* is in the client's list */
    bool resume, doomed;
    enum origin_result verdict; /* when doomed */
    const char *why;
    bool paused; /* by origin_pause */
    bool may_resend, expects_no_content, has_content;
    bool awaits_content; /* read_content said -EAGAIN */
    bool awaits_name;    /* CONNECTING: its server's name was never resolved yet */
    unsigned sendings, interims;
    int64_t content_length, content_sent;
    int64_t deadline_ms, total_deadline_ms;
    struct loop_timer timer; /* armed for the deadline or before: most fetches are over long before it moves */
    /* The request, copied behind the struct. */
    const char *method, *target; /* libcurl's */
    void *lines;
    struct view wire;    /* origin_h1.c's: the head as it is sent */
    struct view upgrade; /* in it: the protocols offered; empty: none */
};

struct origin_client {
    struct loop *loop;
    struct origin_curl *curl;
    struct pool *pools;
    struct resolver *resolver; /* NULL: curl's own */
    unsigned addresses_turn;
    struct fetch_list todo;
    bool start;       /* some pool may have a fetch to start */
    bool awaits_name; /* some fetch does */
    bool closing;
    char *received; /* ORIGIN_RECEIVE_BYTES, for whoever reads a socket */
    struct origin_stats stats;
};
enum { ORIGIN_RECEIVE_BYTES = 64 * 1024 };

/** Spoken by origin_h1.c, whoever connects. */
static inline bool origin_fetch_is_h1(const struct origin_fetch *f)
{
    return f->pool->plain || f->upgrade.len > 0;
}

/* ---- origin_client.c: what happens to a fetch */

/** The request is about to be sent, for the first time or again. @return false: it may not be; the fetch is doomed */
MUST_USE bool origin_fetch_sends(struct origin_fetch *f);
/** A head has ended, an interim one too. @param length  of the content, -1: not known
 *  @return NULL, or why the response is refused; h->status is 0 again after an interim response, but 101 when the server has
 *          switched to what was offered */
MUST_USE const char *origin_fetch_head(struct origin_fetch *f, struct origin_head *h, int64_t *length);
void origin_fetch_content(struct origin_fetch *f, const char *at, size_t len);
/** The next piece of the request's content.
 *  @return bytes; 0: that was all; -EAGAIN: later; -ECANCELED: the fetch is doomed */
MUST_USE ssize_t origin_fetch_read(struct origin_fetch *f, char *to, size_t cap);
/** The first verdict stands; whoever calls this sees to the end. */
void origin_fetch_verdict(struct origin_fetch *f, enum origin_result verdict, const char *why);
/** Tells the handler and frees. */
void origin_fetch_end(struct origin_fetch *f, enum origin_result result, const char *why);
int64_t origin_now_ms(const struct origin_fetch *f);

/* ---- origin_curl.c */

struct origin_curl *origin_curl_new(struct origin_client *c, char *why, size_t cap);
void origin_curl_free(struct origin_curl *curl);
/** Begin: connect, and for https all the rest. @return 0 or -ENOMEM */
MUST_USE int origin_curl_start(struct origin_fetch *f);
/** Let go of a fetch that is over. */
void origin_curl_leave(struct origin_fetch *f);
void origin_curl_resume(struct origin_fetch *f);
void origin_curl_reap(struct origin_curl *curl);
void origin_curl_on_time(struct origin_curl *curl);
/** -1: no limit. */
int64_t origin_curl_wait_ms(const struct origin_curl *curl);
void origin_curl_free_idle(struct pool *p);
/** The bytes that origin_curl_copy needs behind the fetch, aligned as struct origin_fetch is. */
size_t origin_curl_copy_size(const struct origin_request *r);
void origin_curl_copy(struct origin_fetch *f, char *to, const struct origin_request *r);

/* ---- origin_h1.c */

/** Begin on a kept connection. @return false: there is none */
MUST_USE bool origin_h1_start(struct origin_fetch *f);
/** Begin on a fresh connection, whose socket is taken over; tells how it ends, as everything below.
 *  @param secured  what its bytes go through, taken over with the socket, which is its fd; NULL: nothing
 *  @param address  where it leads to, "" when that is not known */
void origin_h1_connected(struct origin_fetch *f, int fd, struct duplex *secured, const char *address);
void origin_h1_leave(struct origin_fetch *f);
void origin_h1_resume(struct origin_fetch *f);
void origin_h1_free_idle(struct pool *p);
size_t origin_h1_copy_size(const struct origin_request *r);
void origin_h1_copy(struct origin_fetch *f, char *to, const struct origin_request *r);

#endif
