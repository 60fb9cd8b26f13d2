#include "proxy/origin_internal.h"
#include "proxy/origin_sockets.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One curl multi handle per client; sockets and time are the loop's. Where origin_h1.c speaks, curl connects and hands the
 * socket over: it knows names, several addresses of one, and their time-outs. Over https it stays between the two. */

enum {
    IDLE_CONNECTIONS_MAX = 1024,
    ADDRESSES_BYTES = 1200,
    OWN_LINES_MAX = 3,         /* Accept, Expect, Content-Length */
    SECURED_BYTES = 16 * 1024, /* of a TLS record */
};

/* Between the attempts at two addresses: curl waits for so long even when the first has been refused. */
#define NEXT_ADDRESS_MS 50L

/* What curl is told about content by other means than the method's name. */
enum shape { SHAPE_PLAIN, SHAPE_NO_CONTENT, SHAPE_UPLOAD };

/* An easy handle with what a response needs while it is read; used for one fetch after the other of one server. */
struct channel {
    CURL *easy;
    struct origin_fetch *fetch;                /* NULL: idle */
    struct channel *next;                      /* idle ones */
    struct curl_slist *connect_to, *addresses; /* curl reads them when a fetch starts; NULL: none */
    enum shape shape;
    bool named;                        /* CUSTOMREQUEST is set */
    bool connects;                     /* and does nothing else */
    char first[RESOLVER_ADDRESS_TEXT]; /* of several addresses, the one to be tried first; else empty */
    char error[CURL_ERROR_SIZE];
    struct origin_head head;
};

struct origin_curl {
    struct origin_client *client;
    CURLM *multi;
    int64_t due_ms; /* -1: none */
    struct origin_sockets *sockets;
};

/* ---- sockets and time */

static void socket_ready(void *curl, int fd, uint32_t events)
{
    struct origin_curl *c = curl;
    int mask = 0, running;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) mask |= CURL_CSELECT_IN;
    if (events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
    if (events & EPOLLERR) mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
    (void)curl_multi_socket_action(c->multi, fd, mask, &running); /* what fails shows in its fetch */
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *curl, void *socketp)
{
    (void)easy;
    (void)socketp;
    struct origin_curl *c = curl;
    if (what == CURL_POLL_REMOVE) {
        origin_sockets_unwant(c->sockets, fd);
        return 0;
    }
    uint32_t events = 0;
    if (what & CURL_POLL_IN) events |= EPOLLIN;
    if (what & CURL_POLL_OUT) events |= EPOLLOUT;
    return origin_sockets_want(c->sockets, fd, events);
}

static curl_socket_t open_socket(void *curl, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct origin_curl *c = curl;
    int fd = origin_sockets_open(c->sockets, address->family, address->socktype, address->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    c->client->stats.connections_new++;
    return fd;
}

static int close_socket(void *curl, curl_socket_t fd)
{
    return origin_sockets_close(((struct origin_curl *)curl)->sockets, fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *curl)
{
    (void)multi;
    struct origin_curl *c = curl;
    c->due_ms = timeout_ms < 0 ? -1 : loop_now_ms(c->client->loop) + timeout_ms;
    return 0;
}

/* ---- curl's callbacks, in the order in which a fetch meets them */

/* Once for every time the request is sent; curl sends it again when a connection it had kept turns out to be dead. */
static int on_send(void *channel, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct channel *ch = channel;
    origin_head_begin(&ch->head);
    return origin_fetch_sends(ch->fetch) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_read(char *to, size_t size, size_t n, void *channel)
{
    ssize_t got = origin_fetch_read(((struct channel *)channel)->fetch, to, size * n);
    if (got == -EAGAIN) return CURL_READFUNC_PAUSE;
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static size_t on_line(char *at, size_t size, size_t n, void *channel)
{
    struct channel *ch = channel;
    struct origin_fetch *f = ch->fetch;
    int64_t length;
    if (f->doomed) return 0;
    if (f->phase == READING) return size * n; /* a trailer field: may be dropped (RFC 9110 §6.5.1), and is */
    bool ended;
    const char *why = origin_head_line(&ch->head, view_of(at, size * n), &ended);
    if (why == NULL && ended) why = origin_fetch_head(f, &ch->head, &length);
    if (why != NULL) origin_fetch_verdict(f, ORIGIN_BAD_RESPONSE, why);
    /* At an error curl stops sending, but a paused request would keep the fetch open beyond the response. */
    if (f->phase == READING && f->awaits_content && ch->head.status >= 400) origin_resume_content(f);
    /* curl knows HEAD only without request content; of one with content it would wait for the response's. */
    if (f->phase == READING && f->expects_no_content && f->has_content) origin_fetch_verdict(f, ORIGIN_COMPLETE, "");
    if (f->phase == READING && origin_head_misleads(&ch->head)) origin_fetch_verdict(f, ORIGIN_COMPLETE, "");
    return f->doomed ? 0 : size * n;
}

static size_t on_content(char *at, size_t size, size_t n, void *channel)
{
    struct origin_fetch *f = ((struct channel *)channel)->fetch;
    if (f->doomed) return 0;
    if (f->paused) return CURL_WRITEFUNC_PAUSE; /* curl keeps these bytes and offers them again */
    origin_fetch_content(f, at, size * n);
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
    struct origin_curl *c = p->client->curl;
    const struct origin_server *server = &p->server;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, p->address.url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOPROXY, "*"); /* or the environment's http_proxy is obeyed */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver's thread */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)server->connect_ms);
    SET(CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, NEXT_ADDRESS_MS);
    SET(CURLOPT_MAXAGE_CONN, (long)((server->idle_ms > 0 ? server->idle_ms : ORIGIN_IDLE_MS) + 999) / 1000);
    if (p->resolved != NULL) SET(CURLOPT_MAXLIFETIME_CONN, (long)ORIGIN_LIFETIME_MS / 1000);
    SET(CURLOPT_BUFFERSIZE, (long)ORIGIN_RECEIVE_BYTES);
    SET(CURLOPT_PRIVATE, ch);
    SET(CURLOPT_ERRORBUFFER, ch->error);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, c);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, c);
    SET(CURLOPT_PREREQFUNCTION, ch->connects ? NULL : on_send);
    SET(CURLOPT_PREREQDATA, ch);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, ch);
    SET(CURLOPT_HEADERFUNCTION, on_line);
    SET(CURLOPT_HEADERDATA, ch);
    SET(CURLOPT_WRITEFUNCTION, on_content);
    SET(CURLOPT_WRITEDATA, ch);
    if (ch->connects) SET(CURLOPT_CONNECT_ONLY, 1L);
    if (ch->connects) SET(CURLOPT_FRESH_CONNECT, 1L); /* not one that curl keeps for requests of its own */
    if (server->unix_path != NULL) SET(CURLOPT_UNIX_SOCKET_PATH, server->unix_path);
    if (p->address.connect_to[0] != '\0') {
        ch->connect_to = curl_slist_append(NULL, p->address.connect_to);
        if (ch->connect_to == NULL) return false;
        SET(CURLOPT_CONNECT_TO, ch->connect_to);
    }
    return rc == CURLE_OK && channel_set_up_tls(e, &p->tls);
}

#undef SET

static struct channel *channel_take(struct pool *p, bool connects)
{
    struct channel *ch = p->idle_channels;
    if (ch != NULL && connects == p->plain) {
        p->idle_channels = ch->next;
        return ch;
    }
    ch = calloc(1, sizeof(*ch));
    if (ch == NULL) return NULL;
    ch->connects = connects;
    ch->easy = curl_easy_init();
    if (ch->easy != NULL && channel_set_up(ch, p)) return ch;
    channel_free(ch);
    return NULL;
}

static void channel_give_back(struct pool *p, struct channel *ch)
{
    ch->fetch = NULL;
    if (ch->connects != p->plain) { /* made for one upgrade */
        channel_free(ch);
        return;
    }
    ch->next = p->idle_channels;
    p->idle_channels = ch;
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

/* curl learns of new addresses with the next fetch that starts, whichever it is: its handles share what it knows. Of several
 * each gets its turn to be the first. When memory is short it goes on with the old ones. */
static void tell_addresses(struct pool *p, struct channel *ch)
{
    char list[ADDRESSES_BYTES], line[ADDRESSES_BYTES + ORIGIN_HOST_MAX + 16];
    unsigned version = resolved_list(p->resolved, p->client->addresses_turn++, loop_now_ms(p->client->loop), list,
                                     sizeof(list), ch->first);
    if (version == 0) return;
    p->several_addresses = strchr(list, ',') != NULL;
    if (!p->several_addresses) ch->first[0] = '\0';
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

/* ---- fetches */

static const char *connected_address(const struct channel *ch)
{
    const char *address = NULL;
    CURLcode rc = curl_easy_getinfo(ch->easy, CURLINFO_PRIMARY_IP, &address);
    return rc == CURLE_OK && address != NULL ? address : "";
}

/* A connection to another address than the first: nobody answered there. */
static void note_address(const struct origin_fetch *f)
{
    const struct channel *ch = f->channel;
    if (ch->first[0] == '\0' || f->pool->resolved == NULL) return;
    const char *address = connected_address(ch);
    if (address[0] != '\0' && strcmp(address, ch->first) != 0)
        resolved_shun(f->pool->resolved, ch->first, origin_now_ms(f));
}

static CURLcode set_request(struct channel *ch, const struct origin_fetch *f)
{
    if (ch->connects) return CURLE_OK;
    CURLcode rc = set_method(ch, f);
    if (rc == CURLE_OK) rc = curl_easy_setopt(ch->easy, CURLOPT_REQUEST_TARGET, f->target);
    if (rc == CURLE_OK) rc = curl_easy_setopt(ch->easy, CURLOPT_HTTPHEADER, f->lines);
    return rc;
}

int origin_curl_start(struct origin_fetch *f)
{
    struct pool *p = f->pool;
    struct channel *ch = channel_take(p, origin_fetch_is_h1(f));
    if (ch == NULL) return -ENOMEM;
    CURLcode rc = set_request(ch, f);
    ch->fetch = f;
    ch->error[0] = '\0';
    origin_head_begin(&ch->head);
    ch->first[0] = '\0';
    if (p->resolved != NULL && (p->several_addresses || resolved_version(p->resolved) != p->addresses_version))
        tell_addresses(p, ch);
    if (rc != CURLE_OK || curl_multi_add_handle(p->client->curl->multi, ch->easy) != CURLM_OK) {
        channel_give_back(p, ch);
        return -ENOMEM;
    }
    f->channel = ch;
    return 0;
}

void origin_curl_leave(struct origin_fetch *f)
{
    struct origin_client *c = f->pool->client;
    long connects = 0;
    (void)curl_easy_getinfo(f->channel->easy, CURLINFO_NUM_CONNECTS, &connects); /* only counts */
    if (!f->channel->connects && connects == 0 && f->sendings > 0) c->stats.reused++;
    if (connects > 0) note_address(f);
    (void)curl_multi_remove_handle(c->curl->multi, f->channel->easy); /* fails only for what is not in it */
    channel_give_back(f->pool, f->channel);
    f->channel = NULL;
}

void origin_curl_resume(struct origin_fetch *f)
{
    (void)curl_easy_pause(f->channel->easy, CURLPAUSE_CONT); /* what goes wrong comes as a message */
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

/* ---- bytes through curl: where it only connected, over https */

struct secured {
    struct duplex duplex; /* first */
    CURLM *multi;
    struct channel *channel;
    size_t waiting; /* bytes in text that the TLS library wants to see again, there */
    char text[SECURED_BYTES];
};

static ssize_t secured_receive(struct duplex *d, char *to, size_t cap)
{
    struct secured *s = (struct secured *)d;
    size_t n = 0;
    CURLcode rc = curl_easy_recv(s->channel->easy, to, cap, &n);
    if (rc == CURLE_OK) return (ssize_t)n;
    return rc == CURLE_AGAIN ? -EAGAIN : -EIO;
}

/* A write that had no room must be repeated from the same place with the same length. */
static ssize_t secured_send(struct duplex *d, const char *at, size_t len)
{
    struct secured *s = (struct secured *)d;
    size_t n = 0;
    if (s->waiting == 0) {
        s->waiting = len < sizeof(s->text) ? len : sizeof(s->text);
        memcpy(s->text, at, s->waiting);
    }
    CURLcode rc = curl_easy_send(s->channel->easy, s->text, s->waiting, &n);
    if (rc == CURLE_AGAIN || (rc == CURLE_OK && n == 0)) return -EAGAIN;
    s->waiting = 0;
    return rc == CURLE_OK ? (ssize_t)n : -EIO;
}

/* Taken out of the multi handle, curl closes the connection and its own socket. */
static void secured_free(struct duplex *d)
{
    struct secured *s = (struct secured *)d;
    (void)curl_multi_remove_handle(s->multi, s->channel->easy); /* fails only for what is not in it */
    channel_free(s->channel);
    free(s);
}

static const struct duplex_ops secured_ops = { secured_receive, secured_send, secured_free };

/* The channel leaves the pool for good. @param fd  a copy of curl's socket, to be watched */
static struct duplex *secured_new(struct origin_fetch *f, int fd)
{
    struct secured *s = malloc(sizeof(*s));
    if (s == NULL) return NULL;
    s->duplex = (struct duplex){ .ops = &secured_ops, .fd = fd, .deep = true };
    s->multi = f->pool->client->curl->multi;
    s->channel = f->channel;
    s->channel->fetch = NULL;
    s->waiting = 0;
    f->channel = NULL;
    return &s->duplex;
}

/* A copy of the socket is ours; curl closes its own: now, or over https once the copy is closed. */
static void hand_over(struct origin_fetch *f)
{
    struct duplex *secured = NULL;
    curl_socket_t socket = CURL_SOCKET_BAD;
    char address[RESOLVER_ADDRESS_TEXT] = "";
    if (f->pool->resolved != NULL) snprintf(address, sizeof(address), "%s", connected_address(f->channel));
    CURLcode rc = curl_easy_getinfo(f->channel->easy, CURLINFO_ACTIVESOCKET, &socket);
    int fd = rc == CURLE_OK && socket != CURL_SOCKET_BAD ? fcntl(socket, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0 && f->pool->secure && (secured = secured_new(f, fd)) == NULL) {
        close(fd);
        fd = -1;
    }
    if (f->channel != NULL) origin_curl_leave(f);
    if (fd < 0)
        origin_fetch_end(f, ORIGIN_UNREACHABLE, "no descriptor for the connection");
    else
        origin_h1_connected(f, fd, secured, address);
}

static void fetch_done(struct origin_fetch *f, CURLcode code)
{
    if (f->doomed) {
        origin_fetch_end(f, f->verdict, f->why);
        return;
    }
    if (f->channel->connects && code == CURLE_OK) {
        hand_over(f);
        return;
    }
    enum origin_result result = result_of(f, code);
    const char *why = f->channel->error[0] != '\0' ? f->channel->error : curl_easy_strerror(code);
    if (result == ORIGIN_CLOSED && code == CURLE_OK) why = "closed within the head";
    origin_fetch_end(f, result, why);
}

/* ---- the turn */

void origin_curl_reap(struct origin_curl *c)
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

int64_t origin_curl_wait_ms(const struct origin_curl *c)
{
    if (c->due_ms < 0) return -1;
    int64_t left = c->due_ms - loop_now_ms(c->client->loop);
    return left > 0 ? left : 0;
}

void origin_curl_on_time(struct origin_curl *c)
{
    int running;
    if (c->due_ms < 0 || c->due_ms > loop_now_ms(c->client->loop)) return;
    c->due_ms = -1; /* the call below says when next */
    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    origin_curl_reap(c);
}

void origin_curl_free_idle(struct pool *p)
{
    while (p->idle_channels != NULL) {
        struct channel *ch = p->idle_channels;
        p->idle_channels = ch->next;
        channel_free(ch);
    }
}

/* ---- requests, as curl wants them */

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

size_t origin_curl_copy_size(const struct origin_request *r)
{
    size_t text = r->method.len + r->target.len + 2;
    for (size_t i = 0; i < r->line_count; i++) text += strlen(r->lines[i]) + 1;
    return (r->line_count + OWN_LINES_MAX) * sizeof(struct curl_slist) + text;
}

void origin_curl_copy(struct origin_fetch *f, char *to, const struct origin_request *r)
{
    struct curl_slist *nodes = (struct curl_slist *)(void *)to;
    to = (char *)(nodes + r->line_count + OWN_LINES_MAX);
    f->method = copy_text(&to, r->method.at, r->method.len);
    f->target = copy_text(&to, r->target.at, r->target.len);
    f->lines = nodes;
    copy_lines(nodes, to, r);
}

/* ---- life */

static bool multi_set_up(struct origin_curl *c)
{
    return curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

void origin_curl_free(struct origin_curl *c)
{
    if (c->multi != NULL) curl_multi_cleanup(c->multi); /* closes the kept connections, by close_socket */
    origin_sockets_free(c->sockets);
    curl_global_cleanup();
    free(c);
}

struct origin_curl *origin_curl_new(struct origin_client *client, char *why, size_t cap)
{
    struct origin_curl *c = calloc(1, sizeof(*c));
    CURLcode rc = c != NULL ? curl_global_init(CURL_GLOBAL_DEFAULT) : CURLE_OUT_OF_MEMORY; /* counted */
    if (rc != CURLE_OK) {
        snprintf(why, cap, "libcurl: %s", curl_easy_strerror(rc));
        free(c);
        return NULL;
    }
    c->client = client;
    c->due_ms = -1;
    c->sockets = origin_sockets_new(client->loop, socket_ready, c);
    c->multi = curl_multi_init();
    if (c->sockets != NULL && c->multi != NULL && multi_set_up(c)) return c;
    snprintf(why, cap, "libcurl: no multi handle");
    origin_curl_free(c);
    return NULL;
}
