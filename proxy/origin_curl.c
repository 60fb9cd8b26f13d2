/* One curl multi handle per client; sockets and time are the loop's. A fetch walks
 *
 *   QUEUED -> CONNECTING -> AWAITING -> READING -> ended
 *                 ^            |                      (a refused, cancelled or late one: from any state)
 *                 +------------+ curl repeats it on a fresh connection
 *
 * What is asked for from outside (a new fetch, resume, cancel) is only noted; `turn`, at the end of the loop's turn, does
 * it: curl may not be called from its own callbacks, and so no handler is ever called from inside an origin_ function. */
#include "proxy/origin.h"

#include "proxy/origin_address.h"
#include "proxy/origin_head.h"
#include "proxy/origin_sockets.h"
#include "proxy/resolver.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>

enum {
    IDLE_CONNECTIONS_MAX = 1024,
    IDLE_S = 50,      /* of a connection, when nobody says */
    LIFETIME_S = 300, /* of a connection to a name: then its addresses count anew */
    ADDRESSES_BYTES = 1200,
    RECEIVE_BUFFER = 64 * 1024,
    INTERIM_MAX = 32,  /* interim responses of one fetch */
    OWN_LINES_MAX = 3, /* Accept, Expect, Content-Length */
    POOL_UNUSED_MS = 60 * 1000,
    NEVER_MS = INT64_MAX / 2 /* so that sums do not overflow */
};

enum phase { QUEUED, CONNECTING, AWAITING, READING };

/* What curl is told about content by other means than the method's name. */
enum shape { SHAPE_PLAIN, SHAPE_NO_CONTENT, SHAPE_UPLOAD };

TAILQ_HEAD(fetch_list, origin_fetch);

/* An easy handle with what a response needs while it is read; used for one fetch after the other of one server. */
struct channel {
    CURL *easy;
    struct origin_fetch *fetch;                /* NULL: idle */
    struct channel *next;                      /* idle ones */
    struct curl_slist *connect_to, *addresses; /* curl reads them when a fetch starts; NULL: none */
    enum shape shape;
    bool named; /* CUSTOMREQUEST is set */
    char error[CURL_ERROR_SIZE];
    struct origin_head head;
};

/* A server's fetches: those under way, at most connections_max, and those that wait. */
struct pool {
    struct origin_client *client;
    struct origin_server server; /* base_url, unix_path and tls are copies */
    struct origin_tls tls;
    struct origin_address address;
    struct resolved *resolved;  /* NULL: has no name, or nobody resolves it */
    unsigned addresses_version; /* that curl knows */
    struct pool *next;
    int64_t used_ms;
    struct fetch_list active, queue;
    size_t active_count, queue_count, active_max, queue_max;
    struct channel *idle;
};

struct origin_fetch {
    TAILQ_ENTRY(origin_fetch) in_pool; /* active or queue */
    TAILQ_ENTRY(origin_fetch) in_todo;
    struct pool *pool;
    const struct origin_handler *handler;
    void *arg;
    struct channel *channel; /* NULL while queued */
    enum phase phase;
    bool todo; /* is in the client's list */
    bool resume, doomed;
    enum origin_result verdict; /* when doomed */
    const char *why;
    bool paused; /* by origin_pause */
    bool may_resend, expects_no_content, has_content;
    bool awaits_content; /* read_content said -EAGAIN */
    unsigned sendings, interims;
    int64_t content_length, content_sent;
    int64_t deadline_ms, total_deadline_ms;
    struct loop_timer timer; /* armed for the deadline or before: most fetches are over long before it moves */
    /* The request, copied behind the struct. */
    const char *method, *target;
    struct curl_slist *lines;
};

struct origin_client {
    struct loop *loop;
    CURLM *multi;
    int64_t curl_due_ms; /* -1: none */
    struct pool *pools;
    struct resolver *resolver; /* NULL: curl's own */
    unsigned addresses_turn;
    struct fetch_list todo;
    bool start; /* some pool may have a fetch to start */
    bool closing;
    struct origin_sockets *sockets;
    struct origin_stats stats;
};

/* ---- sockets and time */

static void socket_ready(void *client, int fd, uint32_t events)
{
    struct origin_client *c = client;
    int mask = 0, running;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) mask |= CURL_CSELECT_IN;
    if (events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
    if (events & EPOLLERR) mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
    (void)curl_multi_socket_action(c->multi, fd, mask, &running); /* what fails shows in its fetch */
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socketp)
{
    (void)easy;
    (void)socketp;
    struct origin_client *c = client;
    if (what == CURL_POLL_REMOVE) {
        origin_sockets_unwant(c->sockets, fd);
        return 0;
    }
    uint32_t events = 0;
    if (what & CURL_POLL_IN) events |= EPOLLIN;
    if (what & CURL_POLL_OUT) events |= EPOLLOUT;
    return origin_sockets_want(c->sockets, fd, events);
}

static curl_socket_t open_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct origin_client *c = client;
    int fd = origin_sockets_open(c->sockets, address->family, address->socktype, address->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    c->stats.connections_new++;
    return fd;
}

static int close_socket(void *client, curl_socket_t fd)
{
    return origin_sockets_close(((struct origin_client *)client)->sockets, fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *client)
{
    (void)multi;
    struct origin_client *c = client;
    c->curl_due_ms = timeout_ms < 0 ? -1 : loop_now_ms(c->loop) + timeout_ms;
    return 0;
}

/* ---- a fetch's deadline and fate */

static void todo_add(struct origin_fetch *f)
{
    if (f->todo) return;
    f->todo = true;
    TAILQ_INSERT_TAIL(&f->pool->client->todo, f, in_todo);
}

/* The first verdict stands. */
static void set_verdict(struct origin_fetch *f, enum origin_result verdict, const char *why)
{
    if (f->doomed) return;
    f->doomed = true;
    f->verdict = verdict;
    f->why = why;
}

/* Give up, from outside of curl's callbacks; inside them set_verdict and the callback's error do the same. */
static void doom(struct origin_fetch *f, enum origin_result verdict, const char *why)
{
    set_verdict(f, verdict, why);
    todo_add(f);
}

static int64_t now_of(const struct origin_fetch *f)
{
    return loop_now_ms(f->pool->client->loop);
}

static int64_t next_deadline(const struct origin_fetch *f)
{
    return f->deadline_ms < f->total_deadline_ms ? f->deadline_ms : f->total_deadline_ms;
}

/* The timer moves only when it would be late; one that comes early finds the deadline moved. */
static void set_deadline(struct origin_fetch *f, int64_t from_now_ms)
{
    f->deadline_ms = now_of(f) + from_now_ms;
    int64_t at = next_deadline(f);
    if (f->timer.place == 0 || at < f->timer.at_ms) loop_timer_set(f->pool->client->loop, &f->timer, at);
}

static const char *const late[] = {
    [QUEUED] = "no connection was free in time",
    [CONNECTING] = "not connected in time",
    [AWAITING] = "no response in time",
    [READING] = "the content stopped coming",
};

static void on_due(struct loop_timer *t)
{
    struct origin_fetch *f = (struct origin_fetch *)((char *)t - offsetof(struct origin_fetch, timer));
    int64_t now = now_of(f);
    bool parked = f->phase != QUEUED && (f->paused || f->awaits_content); /* the origin server is not to blame */
    if (parked) f->deadline_ms = now + f->pool->server.between_bytes_ms;
    if (now < next_deadline(f)) {
        loop_timer_set(f->pool->client->loop, t, next_deadline(f));
    } else if (now >= f->total_deadline_ms && f->phase != QUEUED) {
        doom(f, ORIGIN_TIMED_OUT, "took longer than a fetch may");
    } else {
        doom(f, f->phase == QUEUED ? ORIGIN_QUEUE_FULL : ORIGIN_TIMED_OUT, late[f->phase]);
    }
}

/* ---- curl's callbacks, in the order in which a fetch meets them */

/* Once for every time the request is sent; curl sends it again when a connection it had kept turns out to be dead. */
static int on_send(void *channel, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct channel *ch = channel;
    struct origin_fetch *f = ch->fetch;
    if (f->sendings++ > 0 && !f->may_resend) {
        f->pool->client->stats.resent_refused++;
        set_verdict(f, ORIGIN_CLOSED,
                    "closed without a response; the request may have been acted on and is not repeated");
    }
    if (f->doomed) return CURL_PREREQFUNC_ABORT;
    f->phase = AWAITING;
    f->interims = 0;
    origin_head_begin(&ch->head);
    set_deadline(f, f->pool->server.first_byte_ms);
    return CURL_PREREQFUNC_OK;
}

static size_t on_read(char *to, size_t size, size_t n, void *channel)
{
    struct origin_fetch *f = ((struct channel *)channel)->fetch;
    size_t cap = size * n;
    if (f->doomed) return CURL_READFUNC_ABORT;
    int64_t left = f->content_length - f->content_sent;
    if (f->content_length >= 0 && (int64_t)cap > left) cap = (size_t)left;
    if (cap == 0) return 0;
    ssize_t got = f->handler->read_content(f->arg, (uint8_t *)to, cap);
    if (got == -EAGAIN) {
        f->awaits_content = true;
        return CURL_READFUNC_PAUSE;
    }
    if (got < 0 || (got == 0 && f->content_length >= 0)) {
        set_verdict(f, ORIGIN_CANCELLED, "the request's content broke off");
        return CURL_READFUNC_ABORT;
    }
    assert((size_t)got <= cap);
    f->content_sent += got;
    set_deadline(f, f->pool->server.first_byte_ms);
    return (size_t)got;
}

static const char *interim_ended(struct origin_fetch *f, struct origin_head *h)
{
    if (h->status == 101) return "switches protocols unasked";
    if (++f->interims > INTERIM_MAX) return "too many interim responses";
    if (h->status != 100) f->handler->interim(f->arg, h->status, origin_head_fields(h));
    origin_head_begin(h);
    return NULL;
}

/* The blank line has come. */
static const char *head_ended(struct origin_fetch *f)
{
    struct origin_head *h = &f->channel->head;
    int64_t length;
    const char *why = origin_head_framing(h, &length);
    if (why != NULL) return why;
    if (h->status < 200) return interim_ended(f, h);
    f->phase = READING;
    set_deadline(f, f->pool->server.between_bytes_ms);
    struct response_head head = { .status = h->status, .fields = origin_head_fields(h) };
    f->handler->head(f->arg, &head, length);
    /* At an error curl stops sending, but a paused request would keep the fetch open beyond the response. */
    if (f->awaits_content && h->status >= 400) origin_resume_content(f);
    return NULL;
}

static size_t on_line(char *at, size_t size, size_t n, void *channel)
{
    struct channel *ch = channel;
    struct origin_fetch *f = ch->fetch;
    if (f->doomed) return 0;
    if (f->phase == READING) return size * n; /* a trailer field: may be dropped (RFC 9110 §6.5.1), and is */
    bool ended;
    const char *why = origin_head_line(&ch->head, view_of(at, size * n), &ended);
    if (why == NULL && ended) why = head_ended(f);
    if (why != NULL) set_verdict(f, ORIGIN_BAD_RESPONSE, why);
    /* curl knows HEAD only without request content; of one with content it would wait for the response's. */
    if (f->phase == READING && f->expects_no_content && f->has_content) set_verdict(f, ORIGIN_COMPLETE, "");
    return f->doomed ? 0 : size * n;
}

static size_t on_content(char *at, size_t size, size_t n, void *channel)
{
    struct origin_fetch *f = ((struct channel *)channel)->fetch;
    if (f->doomed) return 0;
    if (f->paused) return CURL_WRITEFUNC_PAUSE; /* curl keeps these bytes and offers them again */
    set_deadline(f, f->pool->server.between_bytes_ms);
    f->handler->content(f->arg, (const uint8_t *)at, size * n);
    return size * n;
}

/* ---- channels */

static void channel_free(struct channel *ch)
{
    if (ch->easy != NULL) curl_easy_cleanup(ch->easy);
    curl_slist_free_all(ch->connect_to);
    curl_slist_free_all(ch->addresses);
    free(ch);
}

#define SET(option, value)                                                                                             \
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, option, value)

static bool channel_set_up_tls(CURL *e, const struct origin_tls *tls)
{
    const char *ca_file = tls->ca != NULL ? tls->ca : getenv("SSL_CERT_FILE"); /* as with OpenSSL's own tools */
    CURLcode rc = CURLE_OK;
    if (ca_file != NULL) SET(CURLOPT_CAINFO, ca_file);
    SET(CURLOPT_CAPATH, NULL); /* with one curl reads all certificates anew for every connection: 20 ms of the loop */
    if (tls->certificate != NULL) SET(CURLOPT_SSLCERT, tls->certificate);
    if (tls->key != NULL) SET(CURLOPT_SSLKEY, tls->key);
    SET(CURLOPT_SSL_VERIFYPEER, tls->verify ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, tls->verify ? 2L : 0L);
    return rc == CURLE_OK;
}

/* What is the same for every fetch of a server. curl copies the strings. */
static bool channel_set_up(struct channel *ch, const struct pool *p)
{
    CURL *e = ch->easy;
    struct origin_client *c = p->client;
    const struct origin_server *server = &p->server;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, p->address.url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOPROXY, "*"); /* or the environment's http_proxy is obeyed */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver's thread */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)server->connect_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)(server->idle_ms > 0 ? (server->idle_ms + 999) / 1000 : IDLE_S));
    if (p->resolved != NULL) SET(CURLOPT_MAXLIFETIME_CONN, (long)LIFETIME_S);
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    SET(CURLOPT_PRIVATE, ch);
    SET(CURLOPT_ERRORBUFFER, ch->error);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, c);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, c);
    SET(CURLOPT_PREREQFUNCTION, on_send);
    SET(CURLOPT_PREREQDATA, ch);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, ch);
    SET(CURLOPT_HEADERFUNCTION, on_line);
    SET(CURLOPT_HEADERDATA, ch);
    SET(CURLOPT_WRITEFUNCTION, on_content);
    SET(CURLOPT_WRITEDATA, ch);
    if (server->unix_path != NULL) SET(CURLOPT_UNIX_SOCKET_PATH, server->unix_path);
    if (p->address.connect_to[0] != '\0') {
        ch->connect_to = curl_slist_append(NULL, p->address.connect_to);
        if (ch->connect_to == NULL) return false;
        SET(CURLOPT_CONNECT_TO, ch->connect_to);
    }
    return rc == CURLE_OK && channel_set_up_tls(e, &p->tls);
}

#undef SET

static struct channel *channel_take(struct pool *p)
{
    struct channel *ch = p->idle;
    if (ch != NULL) {
        p->idle = ch->next;
        return ch;
    }
    ch = calloc(1, sizeof(*ch));
    if (ch == NULL) return NULL;
    ch->easy = curl_easy_init();
    if (ch->easy != NULL && channel_set_up(ch, p)) return ch;
    channel_free(ch);
    return NULL;
}

static void channel_give_back(struct pool *p, struct channel *ch)
{
    ch->fetch = NULL;
    ch->next = p->idle;
    p->idle = ch;
}

/* curl has ways of its own to say GET and HEAD; what else there is goes by its name. */
static CURLcode set_method(struct channel *ch, const struct origin_fetch *f)
{
    enum shape shape = f->has_content ? SHAPE_UPLOAD : f->expects_no_content ? SHAPE_NO_CONTENT : SHAPE_PLAIN;
    bool named = shape == SHAPE_UPLOAD || (shape == SHAPE_PLAIN && strcmp(f->method, "GET") != 0);
    CURLcode rc = CURLE_OK;
    if (shape != ch->shape) {
        rc = curl_easy_setopt(ch->easy, CURLOPT_HTTPGET, 1L); /* undoes the other two */
        if (rc == CURLE_OK && shape == SHAPE_NO_CONTENT) rc = curl_easy_setopt(ch->easy, CURLOPT_NOBODY, 1L);
        if (rc == CURLE_OK && shape == SHAPE_UPLOAD) rc = curl_easy_setopt(ch->easy, CURLOPT_UPLOAD, 1L);
        ch->shape = shape;
    }
    if (rc == CURLE_OK && shape == SHAPE_UPLOAD) {
        rc = curl_easy_setopt(ch->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)f->content_length);
    }
    if (rc == CURLE_OK && (named || ch->named)) {
        rc = curl_easy_setopt(ch->easy, CURLOPT_CUSTOMREQUEST, named ? f->method : NULL);
        ch->named = named;
    }
    return rc;
}

/* curl learns of new addresses with the next fetch that starts, whichever it is: its handles share what it knows. When
 * memory is short it goes on with the old ones. */
static void tell_addresses(struct pool *p, struct channel *ch)
{
    char list[ADDRESSES_BYTES], line[ADDRESSES_BYTES + ORIGIN_HOST_MAX + 16];
    unsigned version = resolved_list(p->resolved, p->client->addresses_turn++, list, sizeof(list));
    if (version == 0) return;
    snprintf(line, sizeof(line), "%s:%u:%s", p->address.host, p->address.port, list);
    struct curl_slist *addresses = curl_slist_append(NULL, line);
    if (addresses == NULL || curl_easy_setopt(ch->easy, CURLOPT_RESOLVE, addresses) != CURLE_OK) {
        curl_slist_free_all(addresses);
        return;
    }
    curl_slist_free_all(ch->addresses);
    ch->addresses = addresses;
    p->addresses_version = version;
}

/* ---- the life of a fetch */

/* @return 0, or -ENOMEM: nothing has changed then */
static int fetch_start(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    struct channel *ch = channel_take(p);
    if (ch == NULL) return -ENOMEM;
    CURLcode rc = set_method(ch, f);
    if (rc == CURLE_OK) rc = curl_easy_setopt(ch->easy, CURLOPT_REQUEST_TARGET, f->target);
    if (rc == CURLE_OK) rc = curl_easy_setopt(ch->easy, CURLOPT_HTTPHEADER, f->lines);
    ch->fetch = f;
    ch->error[0] = '\0';
    origin_head_begin(&ch->head);
    if (p->resolved != NULL && resolved_version(p->resolved) != p->addresses_version) tell_addresses(p, ch);
    if (rc != CURLE_OK || curl_multi_add_handle(p->client->multi, ch->easy) != CURLM_OK) {
        channel_give_back(p, ch);
        return -ENOMEM;
    }
    f->channel = ch;
    f->phase = CONNECTING;
    if (p->server.total_ms > 0) f->total_deadline_ms = now_of(f) + p->server.total_ms;
    set_deadline(f, p->server.connect_ms);
    TAILQ_REMOVE(&p->queue, f, in_pool);
    TAILQ_INSERT_TAIL(&p->active, f, in_pool);
    p->queue_count--;
    p->active_count++;
    return 0;
}

static void leave_pool(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    p->used_ms = now_of(f);
    if (f->channel == NULL) {
        TAILQ_REMOVE(&p->queue, f, in_pool);
        p->queue_count--;
        return;
    }
    long connects = 0;
    (void)curl_easy_getinfo(f->channel->easy, CURLINFO_NUM_CONNECTS, &connects); /* only counts */
    if (connects == 0 && f->sendings > 0) p->client->stats.reused++;
    (void)curl_multi_remove_handle(p->client->multi, f->channel->easy); /* fails only for what is not in it */
    channel_give_back(p, f->channel);
    TAILQ_REMOVE(&p->active, f, in_pool);
    p->active_count--;
}

static void fetch_end(struct origin_fetch *f, enum origin_result result, const char *why)
{
    struct origin_client *c = f->pool->client;
    char line[CURL_ERROR_SIZE];
    snprintf(line, sizeof(line), "%s", why); /* it may stand in the channel, which is about to go */
    leave_pool(f);
    if (f->todo) TAILQ_REMOVE(&c->todo, f, in_todo);
    loop_timer_stop(c->loop, &f->timer);
    c->start = true;
    f->handler->end(f->arg, result, line);
    free(f);
}

struct result_row {
    CURLcode code;
    enum origin_result result;
};

/* What curl's failures mean before the head has ended; after it each of them cuts the content. */
static const struct result_row results[] = {
    { CURLE_COULDNT_RESOLVE_HOST, ORIGIN_UNREACHABLE },
    { CURLE_COULDNT_CONNECT, ORIGIN_UNREACHABLE },
    { CURLE_OPERATION_TIMEDOUT, ORIGIN_TIMED_OUT },
    { CURLE_SSL_CONNECT_ERROR, ORIGIN_TLS },
    { CURLE_PEER_FAILED_VERIFICATION, ORIGIN_TLS },
    { CURLE_SSL_ENGINE_NOTFOUND, ORIGIN_TLS },
    { CURLE_SSL_ENGINE_SETFAILED, ORIGIN_TLS },
    { CURLE_SSL_CERTPROBLEM, ORIGIN_TLS },
    { CURLE_SSL_CIPHER, ORIGIN_TLS },
    { CURLE_SSL_CACERT_BADFILE, ORIGIN_TLS },
    { CURLE_SSL_CRL_BADFILE, ORIGIN_TLS },
    { CURLE_SSL_ISSUER_ERROR, ORIGIN_TLS },
    { CURLE_SSL_PINNEDPUBKEYNOTMATCH, ORIGIN_TLS },
    { CURLE_SSL_INVALIDCERTSTATUS, ORIGIN_TLS },
    { CURLE_SSL_CLIENTCERT, ORIGIN_TLS },
    { CURLE_UNSUPPORTED_PROTOCOL, ORIGIN_BAD_RESPONSE }, /* HTTP/0.9, HTTP/1.2, no HTTP */
    { CURLE_WEIRD_SERVER_REPLY, ORIGIN_BAD_RESPONSE },
    { CURLE_BAD_CONTENT_ENCODING, ORIGIN_BAD_RESPONSE }, /* a transfer coding */
    { CURLE_OUT_OF_MEMORY, ORIGIN_BAD_RESPONSE },        /* a line above 100 KB */
};

static enum origin_result result_of(const struct origin_fetch *f, CURLcode code)
{
    if (f->phase == READING) return code == CURLE_OK ? ORIGIN_COMPLETE : ORIGIN_CUT;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (results[i].code == code) return results[i].result;
    }
    /* Success without a whole head is what curl makes of a head that was cut. */
    return f->phase == CONNECTING ? ORIGIN_UNREACHABLE : ORIGIN_CLOSED;
}

static void fetch_done(struct origin_fetch *f, CURLcode code)
{
    if (f->doomed) {
        fetch_end(f, f->verdict, f->why);
        return;
    }
    enum origin_result result = result_of(f, code);
    const char *why = f->channel->error[0] != '\0' ? f->channel->error : curl_easy_strerror(code);
    if (result == ORIGIN_CLOSED && code == CURLE_OK) why = "closed within the head";
    fetch_end(f, result, why);
}

/* ---- the turn */

static void run_todo(struct origin_client *c)
{
    struct origin_fetch *f;
    while ((f = TAILQ_FIRST(&c->todo)) != NULL) {
        if (f->doomed) {
            fetch_end(f, f->verdict, f->why);
            continue;
        }
        TAILQ_REMOVE(&c->todo, f, in_todo);
        f->todo = false;
        if (!f->resume) continue;
        f->resume = false;
        (void)curl_easy_pause(f->channel->easy, CURLPAUSE_CONT); /* what goes wrong comes as a message */
    }
}

static void run_pool(struct pool *p)
{
    while (p->active_count < p->active_max && !TAILQ_EMPTY(&p->queue)) {
        struct origin_fetch *f = TAILQ_FIRST(&p->queue);
        if (fetch_start(f) != 0) fetch_end(f, ORIGIN_QUEUE_FULL, "out of memory");
    }
}

static void run_pools(struct origin_client *c)
{
    c->start = false;
    for (struct pool *p = c->pools; p != NULL; p = p->next) run_pool(p);
}

static void reap(struct origin_client *c)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode code = m->data.result; /* gone with the handle */
        char *channel = NULL;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &channel); /* set in channel_set_up */
        fetch_done(((struct channel *)(void *)channel)->fetch, code);
    }
}

static int64_t wait_ms(void *client)
{
    const struct origin_client *c = client;
    if (c->start || !TAILQ_EMPTY(&c->todo)) return 0;
    if (c->curl_due_ms < 0) return -1;
    int64_t left = c->curl_due_ms - loop_now_ms(c->loop);
    return left > 0 ? left : 0;
}

static void turn(void *client)
{
    struct origin_client *c = client;
    int running;
    reap(c);
    run_todo(c);
    if (c->start) run_pools(c);
    if (c->curl_due_ms >= 0 && c->curl_due_ms <= loop_now_ms(c->loop)) {
        c->curl_due_ms = -1; /* the call below says when next */
        (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        reap(c);
    }
}

/* ---- requests */

static const char *copy_or_null(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static void tls_copy(struct origin_tls *to, const struct origin_tls *from)
{
    *to = (struct origin_tls){ .verify = from == NULL || from->verify };
    if (from == NULL) return;
    to->ca = copy_or_null(from->ca);
    to->certificate = copy_or_null(from->certificate);
    to->key = copy_or_null(from->key);
    to->name = copy_or_null(from->name);
}

static void tls_release(struct origin_tls *tls)
{
    free((void *)(uintptr_t)tls->ca);
    free((void *)(uintptr_t)tls->certificate);
    free((void *)(uintptr_t)tls->key);
    free((void *)(uintptr_t)tls->name);
}

static void pool_free(struct pool *p)
{
    struct origin_fetch *f;
    while ((f = TAILQ_FIRST(&p->active)) != NULL) fetch_end(f, ORIGIN_CANCELLED, "closing down");
    while ((f = TAILQ_FIRST(&p->queue)) != NULL) fetch_end(f, ORIGIN_CANCELLED, "closing down");
    while (p->idle != NULL) {
        struct channel *ch = p->idle;
        p->idle = ch->next;
        channel_free(ch);
    }
    if (p->resolved != NULL) resolver_leave(p->client->resolver, &p->resolved);
    tls_release(&p->tls);
    origin_server_release(&p->server);
    free(p);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_tls(const struct origin_tls *a, const struct origin_tls *b)
{
    static const struct origin_tls plain = { .verify = true };
    if (a == NULL) a = &plain;
    if (b == NULL) b = &plain;
    return same_text(a->ca, b->ca) && same_text(a->certificate, b->certificate) && same_text(a->key, b->key) &&
           same_text(a->name, b->name) && a->verify == b->verify;
}

/* By what it says, not by its address: a configuration that was reloaded may say something else at the same address. */
static bool same_server(const struct origin_server *a, const struct origin_server *b)
{
    return same_text(a->base_url, b->base_url) && same_text(a->unix_path, b->unix_path) &&
           a->connect_ms == b->connect_ms && a->first_byte_ms == b->first_byte_ms &&
           a->between_bytes_ms == b->between_bytes_ms && a->total_ms == b->total_ms && a->queue_ms == b->queue_ms &&
           a->connections_max == b->connections_max && a->queue_max == b->queue_max && a->idle_ms == b->idle_ms &&
           same_tls(a->tls, b->tls);
}

/* Also when nobody can resolve the name now: then curl asks for itself, until somebody can. */
static bool pool_find_address(struct pool *p)
{
    struct resolver *r = p->client->resolver;
    if (!origin_address_of(p->server.base_url, p->tls.name, &p->address)) return false;
    if (r != NULL && p->address.is_name && p->server.unix_path == NULL) p->resolved = resolver_join(r, p->address.host);
    return true;
}

static struct pool *pool_new(struct origin_client *c, const struct origin_server *server)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL) return NULL;
    p->client = c;
    p->server = *server;
    p->server.authority = p->server.path_prefix = NULL; /* the request has them in its lines and its target */
    p->server.base_url = strdup(server->base_url);
    p->server.unix_path = server->unix_path != NULL ? strdup(server->unix_path) : NULL;
    tls_copy(&p->tls, server->tls);
    p->server.tls = &p->tls;
    p->active_max = server->connections_max;
    if (p->active_max == 0 || p->active_max > ORIGIN_CONNECTIONS_MAX) p->active_max = ORIGIN_CONNECTIONS_MAX;
    p->queue_max = server->queue_max > 0 ? server->queue_max : ORIGIN_QUEUE_MAX;
    TAILQ_INIT(&p->active);
    TAILQ_INIT(&p->queue);
    if (same_server(&p->server, server) && pool_find_address(p)) return p;
    pool_free(p); /* out of memory */
    return NULL;
}

/* Servers that nobody asks any more: after a reload, say. */
static void drop_unused_pools(struct origin_client *c)
{
    struct pool **at = &c->pools;
    while (*at != NULL) {
        struct pool *p = *at;
        bool unused = p->active_count + p->queue_count == 0 && loop_now_ms(c->loop) - p->used_ms > POOL_UNUSED_MS;
        if (unused) {
            *at = p->next;
            pool_free(p);
        } else {
            at = &p->next;
        }
    }
}

static struct pool *pool_of(struct origin_client *c, const struct origin_server *server)
{
    struct pool *p = c->pools;
    while (p != NULL && !same_server(&p->server, server)) p = p->next;
    if (p == NULL) {
        drop_unused_pools(c);
        p = pool_new(c, server);
        if (p == NULL) return NULL;
        p->next = c->pools;
        c->pools = p;
    }
    p->used_ms = loop_now_ms(c->loop);
    return p;
}

static const char *copy_text(char **to, const char *at, size_t len)
{
    char *copy = *to;
    memcpy(copy, at, len);
    copy[len] = '\0';
    *to = copy + len + 1;
    return copy;
}

static bool names_accept(const char *line)
{
    return view_starts_with_nocase(view_of_str(line), VIEW("Accept:"));
}

static void add_line(struct curl_slist *nodes, size_t *n, char *line)
{
    nodes[*n] = (struct curl_slist){ .data = line };
    if (*n > 0) nodes[*n - 1].next = &nodes[*n];
    (*n)++;
}

/* A list that curl only reads, built in one piece. What curl would add of its own accord is called off. */
static void copy_lines(struct curl_slist *nodes, char *text, const struct origin_request *r)
{
    static char no_accept[] = "Accept:", no_expect[] = "Expect:", no_content[] = "Content-Length: 0";
    size_t n = 0;
    bool accept = false;
    for (size_t i = 0; i < r->line_count; i++) {
        accept = accept || names_accept(r->lines[i]);
        add_line(nodes, &n, text);
        (void)copy_text(&text, r->lines[i], strlen(r->lines[i]));
    }
    if (!accept) add_line(nodes, &n, no_accept);
    if (r->has_content) {
        add_line(nodes, &n, no_expect);
    } else if (view_equal(r->method, VIEW("POST")) || view_equal(r->method, VIEW("PUT")) ||
               view_equal(r->method, VIEW("PATCH"))) {
        add_line(nodes, &n, no_content); /* RFC 9110 §8.6: these methods anticipate content */
    }
}

static struct origin_fetch *fetch_new(const struct origin_request *r)
{
    size_t nodes = r->line_count + OWN_LINES_MAX;
    size_t text = r->method.len + r->target.len + 2;
    for (size_t i = 0; i < r->line_count; i++) text += strlen(r->lines[i]) + 1;
    struct origin_fetch *f = malloc(sizeof(*f) + nodes * sizeof(struct curl_slist) + text);
    if (f == NULL) return NULL;
    memset(f, 0, sizeof(*f));
    f->lines = (struct curl_slist *)(void *)(f + 1);
    char *to = (char *)(f->lines + nodes);
    f->method = copy_text(&to, r->method.at, r->method.len);
    f->target = copy_text(&to, r->target.at, r->target.len);
    copy_lines(f->lines, to, r);
    f->has_content = r->has_content;
    f->content_length = r->content_length;
    f->may_resend = r->may_resend;
    f->expects_no_content = r->expects_no_content;
    f->total_deadline_ms = NEVER_MS;
    f->timer.due = on_due;
    return f;
}

struct origin_fetch *origin_fetch(struct origin_client *c, const struct origin_request *request,
                                  const struct origin_handler *handler, void *arg)
{
    struct pool *p = c->closing ? NULL : pool_of(c, request->server);
    if (p == NULL || p->queue_count >= p->queue_max) return NULL;
    struct origin_fetch *f = fetch_new(request);
    if (f == NULL) return NULL;
    f->pool = p;
    f->handler = handler;
    f->arg = arg;
    int64_t now = loop_now_ms(c->loop), queue_ms = p->server.queue_ms, connect_ms = p->server.connect_ms;
    f->deadline_ms = now + queue_ms;
    loop_timer_set(c->loop, &f->timer, now + (queue_ms < connect_ms ? queue_ms : connect_ms));
    TAILQ_INSERT_TAIL(&p->queue, f, in_pool);
    p->queue_count++;
    c->stats.fetches++;
    c->start = true;
    return f;
}

void origin_pause(struct origin_fetch *f)
{
    f->paused = true;
}

static void resume(struct origin_fetch *f)
{
    if (f->channel == NULL || f->doomed) return;
    f->resume = true;
    todo_add(f);
}

void origin_resume(struct origin_fetch *f)
{
    if (!f->paused) return;
    f->paused = false;
    if (f->phase != QUEUED) set_deadline(f, f->pool->server.between_bytes_ms);
    resume(f);
}

void origin_resume_content(struct origin_fetch *f)
{
    if (!f->awaits_content) return;
    f->awaits_content = false;
    set_deadline(f, f->pool->server.first_byte_ms);
    resume(f);
}

void origin_cancel(struct origin_fetch *f)
{
    doom(f, ORIGIN_CANCELLED, "cancelled");
}

void origin_stats(const struct origin_client *c, struct origin_stats *out)
{
    *out = c->stats;
    for (const struct pool *p = c->pools; p != NULL; p = p->next) {
        out->active += p->active_count;
        out->queued += p->queue_count;
    }
}

/* ---- life of the client */

static bool multi_set_up(struct origin_client *c)
{
    return curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

static void client_release(struct origin_client *c)
{
    if (c->multi != NULL) curl_multi_cleanup(c->multi); /* closes the kept connections, by close_socket */
    origin_sockets_free(c->sockets);
    curl_global_cleanup();
    free(c);
}

struct origin_client *origin_curl_new(struct loop *loop, char *why, size_t cap)
{
    struct origin_client *c = calloc(1, sizeof(*c));
    CURLcode rc = c != NULL ? curl_global_init(CURL_GLOBAL_DEFAULT) : CURLE_OUT_OF_MEMORY; /* counted */
    if (rc != CURLE_OK) {
        snprintf(why, cap, "libcurl: %s", curl_easy_strerror(rc));
        free(c);
        return NULL;
    }
    c->loop = loop;
    c->curl_due_ms = -1;
    TAILQ_INIT(&c->todo);
    c->sockets = origin_sockets_new(loop, socket_ready, c);
    c->multi = curl_multi_init();
    if (c->sockets == NULL || c->multi == NULL || !multi_set_up(c)) {
        snprintf(why, cap, "libcurl: no multi handle");
        client_release(c);
        return NULL;
    }
    loop_add_hook(loop, (struct loop_hook){ .wait_ms = wait_ms, .turn = turn, .arg = c });
    return c;
}

void origin_use_resolver(struct origin_client *c, struct resolver *r)
{
    c->resolver = r;
}

void origin_curl_free(struct origin_client *c)
{
    if (c == NULL) return;
    c->closing = true;
    loop_remove_hook(c->loop, c);
    while (c->pools != NULL) {
        struct pool *p = c->pools;
        c->pools = p->next;
        pool_free(p);
    }
    client_release(c);
}
