#include "proxy/origin_internal.h"

#include "headers/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* HTTP/1.1 to an origin server. A connection takes one fetch after the other:
 *
 *   IDLE -> HEAD -+-> LENGTH ------------------------------+-> OVER -> IDLE, or closed
 *          ^   |  +-> UNTIL_CLOSE -------------------------+
 *          +---+  +-> CHUNK_SIZE <-> CHUNK -> CHUNK_END    |
 *          (1xx)  |       +-> TRAILER ---------------------+
 *                 +-> SWITCHED (101), and no longer ours
 *
 * It stays watched for input all the while, so that a request costs no epoll_ctl, and an idle connection that the origin
 * server closes (or writes to unasked) is closed here when that happens rather than when it is wanted.               */

enum {
    UPLOAD_PIECE = 16 * 1024, /* of request content, sent at a time */
    CHUNK_HEAD_MAX = 16,      /* "hhhhhhhh\r\n" and the CRLF behind the chunk */
    CHUNK_DIGITS_MAX = 15,    /* of a size, leading zeros apart */
    LINE_MAX = ORIGIN_REPLY_HEAD_MAX,
    READS_PER_TURN = 4, /* then others have their turn */
    RECEIVE_HEAD = 8 * 1024,
};

enum part { HEAD, LENGTH, UNTIL_CLOSE, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, OVER, SWITCHED };

struct h1_conn {
    struct loop_watch watch; /* first: see on_ready */
    struct pool *pool;
    TAILQ_ENTRY(h1_conn) in_idle;
    struct origin_fetch *fetch; /* NULL: idle */
    struct duplex *secured;     /* what the bytes go through; NULL: nothing. Takes one fetch only */
    int64_t born_ms, idle_since_ms;
    uint32_t events;            /* watched for; 0: not watched */
    unsigned addresses_version; /* of the server's name, when `current` was found out */
    bool current;               /* the name still stands for this address */
    bool served;                /* a request before this one */
    bool reusable;              /* as far as is known */
    bool drained;               /* the last read left nothing in the socket */
    /* the request */
    const char *out; /* what is left to be sent of the piece at hand */
    size_t out_len;
    char *upload;   /* room for a piece of content */
    bool last_read; /* the last piece is at hand */
    bool sent;      /* all of it */
    bool deaf;      /* the server takes no more of it */
    /* the response */
    enum part part;
    bool received; /* a byte of it */
    int64_t left;  /* of the content or the chunk */
    char *kept;    /* what came while the fetch was paused */
    size_t kept_at, kept_len;
    struct origin_head head;
    char address[RESOLVER_ADDRESS_TEXT];
    size_t line_len; /* of a line that has not ended yet */
    char line[LINE_MAX];
};

/* ---- the request as it is sent */

static bool anticipates_content(struct view method)
{
    return view_equal(method, VIEW("POST")) || view_equal(method, VIEW("PUT")) || view_equal(method, VIEW("PATCH"));
}

static struct view framing_line(const struct origin_request *r, char *to, size_t cap)
{
    if (r->has_content && r->content_length < 0) return VIEW("Transfer-Encoding: chunked\r\n");
    if (r->has_content)
        return view_of(to, (size_t)snprintf(to, cap, "Content-Length: %lld\r\n", (long long)r->content_length));
    /* RFC 9110 §8.6 */
    return anticipates_content(r->method) ? VIEW("Content-Length: 0\r\n") : VIEW("");
}

static const char upgrade_lines[] = "Connection: Upgrade\r\nUpgrade: ";

enum { FRAMING_LINE_MAX = 48 };

size_t origin_h1_copy_size(const struct origin_request *r)
{
    size_t bytes = r->method.len + r->target.len + sizeof("  HTTP/1.1\r\n\r\n") + FRAMING_LINE_MAX;
    for (size_t i = 0; i < r->line_count; i++) bytes += strlen(r->lines[i]) + 2;
    return bytes + sizeof(upgrade_lines) + r->upgrade.len + 2;
}

static char *put(char *to, struct view v)
{
    if (v.len > 0) memcpy(to, v.at, v.len);
    return to + v.len;
}

/* "Name;" stands for an empty value. */
static char *put_line(char *to, const char *line)
{
    size_t len = strlen(line);
    memcpy(to, line, len);
    if (len > 0 && line[len - 1] == ';' && memchr(line, ':', len) == NULL) to[len - 1] = ':';
    return put(to + len, VIEW("\r\n"));
}

static char *put_upgrade(struct origin_fetch *f, char *to, struct view offer)
{
    to = put(to, view_of(upgrade_lines, sizeof(upgrade_lines) - 1));
    f->upgrade = view_of(to, offer.len);
    return put(put(to, offer), VIEW("\r\n"));
}

void origin_h1_copy(struct origin_fetch *f, char *to, const struct origin_request *r)
{
    char length[FRAMING_LINE_MAX], *at = to;
    at = put(at, r->method);
    at = put(at, VIEW(" "));
    at = put(at, r->target);
    at = put(at, VIEW(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < r->line_count; i++) at = put_line(at, r->lines[i]);
    if (r->upgrade.len > 0) at = put_upgrade(f, at, r->upgrade);
    at = put(at, framing_line(r, length, sizeof(length)));
    at = put(at, VIEW("\r\n"));
    f->wire = view_of(to, (size_t)(at - to));
}

/* ---- connections */

static void watch_for(struct h1_conn *c, uint32_t events)
{
    struct loop *loop = c->pool->client->loop;
    if (events == c->events) return;
    if (events == 0)
        loop_watch_remove(loop, &c->watch);
    else if (c->events != 0)
        loop_watch_set(loop, &c->watch, events);
    else if (loop_watch_add(loop, &c->watch, events) != 0)
        events = 0; /* the fetch's deadline ends it */
    c->events = events;
}

static void conn_free(struct h1_conn *c)
{
    watch_for(c, 0);
    if (c->secured != NULL)
        duplex_close(c->secured);
    else if (c->watch.fd >= 0)
        close(c->watch.fd);
    free(c->upload);
    free(c->kept);
    free(c);
}

static void conn_idle(struct h1_conn *c)
{
    c->served = true;
    c->idle_since_ms = loop_now_ms(c->pool->client->loop);
    TAILQ_INSERT_HEAD(&c->pool->idle_conns, c, in_idle);
}

static void conn_forget(struct h1_conn *c)
{
    TAILQ_REMOVE(&c->pool->idle_conns, c, in_idle);
    conn_free(c);
}

void origin_h1_free_idle(struct pool *p)
{
    while (!TAILQ_EMPTY(&p->idle_conns)) conn_forget(TAILQ_FIRST(&p->idle_conns));
}

/* Whether the server has not closed meanwhile, or written unasked: epoll tells, save of this very turn. What can be repeated
 * need not ask when the response before had been read to its last byte; what cannot always does. */
static bool is_silent(const struct h1_conn *c, const struct origin_fetch *f)
{
    char byte;
    if (f->may_resend && (c->drained || c->idle_since_ms != origin_now_ms(f))) return true;
    return recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool is_too_old(const struct h1_conn *c)
{
    const struct pool *p = c->pool;
    int64_t now = loop_now_ms(p->client->loop);
    int64_t idle_ms = p->server.idle_ms > 0 ? p->server.idle_ms : ORIGIN_IDLE_MS;
    return now - c->idle_since_ms >= idle_ms || (p->resolved != NULL && now - c->born_ms >= ORIGIN_LIFETIME_MS);
}

/* Connections to an address that the name has lost wait for it to come back, as it does where name servers tell a few of
 * many in turn, or until they are too old. */
static bool leads_to_the_server(struct h1_conn *c)
{
    struct resolved *name = c->pool->resolved;
    unsigned version = name != NULL ? resolved_version(name) : 0;
    if (version != c->addresses_version) c->current = c->address[0] == '\0' || resolved_has(name, c->address);
    c->addresses_version = version;
    return c->current;
}

static struct h1_conn *conn_take(const struct origin_fetch *f)
{
    struct pool *p = f->pool;
    struct h1_conn *c = TAILQ_FIRST(&p->idle_conns), *next;
    for (; c != NULL; c = next) {
        next = TAILQ_NEXT(c, in_idle);
        if (is_too_old(c) || !is_silent(c, f)) {
            conn_forget(c);
        } else if (leads_to_the_server(c)) {
            TAILQ_REMOVE(&p->idle_conns, c, in_idle);
            return c;
        }
    }
    return NULL;
}

/* ---- the end of a fetch */

static void over(struct h1_conn *c, enum origin_result result, const char *why)
{
    struct origin_fetch *f = c->fetch;
    c->fetch = NULL;
    f->conn = NULL;
    if (result == ORIGIN_COMPLETE && c->reusable && c->secured == NULL && c->sent && c->line_len == 0) {
        watch_for(c, EPOLLIN);
        conn_idle(c);
    } else {
        conn_free(c);
    }
    origin_fetch_end(f, result, why);
}

void origin_h1_leave(struct origin_fetch *f)
{
    struct h1_conn *c = f->conn;
    f->conn = NULL;
    c->fetch = NULL;
    conn_free(c);
}

static void doomed(struct h1_conn *c)
{
    over(c, c->fetch->verdict, c->fetch->why);
}

/* A kept connection was closed before a byte of the response: whether the server had read the request nobody knows, so it
 * goes out again only when that does no harm (RFC 9110 §9.2.2), and on a connection that was not kept. */
static void repeat(struct h1_conn *c)
{
    struct origin_fetch *f = c->fetch;
    c->fetch = NULL;
    f->conn = NULL;
    conn_free(c);
    f->content_sent = 0;
    if (!f->may_resend) {
        bool may = origin_fetch_sends(f); /* counts it, and says why not */
        (void)may;
        origin_fetch_end(f, f->verdict, f->why);
        return;
    }
    f->phase = CONNECTING;
    if (origin_curl_start(f) != 0) origin_fetch_end(f, ORIGIN_QUEUE_FULL, "out of memory");
}

static bool is_no_http(const struct h1_conn *c)
{
    size_t n = c->line_len < strlen("HTTP/") ? c->line_len : strlen("HTTP/");
    return c->head.status == 0 && memcmp(c->line, "HTTP/", n) != 0;
}

/* @param clean  the server closed; else the connection broke */
static void closed(struct h1_conn *c, bool clean)
{
    bool only_lf_is_missing = c->part == TRAILER && c->line_len == 1 && c->line[0] == '\r';
    c->reusable = false;
    switch (c->part) {
    case HEAD:
        if (!c->received && c->served)
            repeat(c);
        else if (is_no_http(c))
            over(c, ORIGIN_BAD_RESPONSE, "not HTTP/1.0 or HTTP/1.1");
        else
            over(c, ORIGIN_CLOSED, c->received ? "closed within the head" : "closed without a response");
        return;
    case OVER: over(c, ORIGIN_COMPLETE, "complete"); return;
    case UNTIL_CLOSE:
    case TRAILER:
        if (clean && (c->part == UNTIL_CLOSE || only_lf_is_missing)) {
            over(c, ORIGIN_COMPLETE, "complete");
            return;
        }
        break;
    default: break;
    }
    over(c, ORIGIN_CUT, "closed within the content");
}

/* ---- sending */

/* As send and recv, but -1 is -errno. */
static ssize_t conn_send(const struct h1_conn *c)
{
    if (c->secured != NULL) return duplex_send(c->secured, c->out, c->out_len);
    ssize_t n = send(c->watch.fd, c->out, c->out_len, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static ssize_t conn_receive(const struct h1_conn *c, char *to, size_t cap)
{
    if (c->secured != NULL) return duplex_receive(c->secured, to, cap);
    ssize_t n = recv(c->watch.fd, to, cap, 0);
    return n < 0 ? -errno : n;
}

/* @return false: nothing more can be sent now, or ever */
static bool send_piece(struct h1_conn *c)
{
    while (c->out_len > 0) {
        ssize_t n = conn_send(c);
        if (n == -EINTR) continue;
        if (n < 0) {
            c->deaf = n != -EAGAIN;
            return false;
        }
        c->out += n;
        c->out_len -= (size_t)n;
    }
    return true;
}

/* The next piece of content, with its framing. @return false: there is none now, or the fetch is doomed */
static bool next_piece(struct h1_conn *c)
{
    struct origin_fetch *f = c->fetch;
    bool chunked = f->content_length < 0;
    if (c->upload == NULL) c->upload = malloc(UPLOAD_PIECE + CHUNK_HEAD_MAX);
    if (c->upload == NULL) {
        origin_fetch_verdict(f, ORIGIN_CANCELLED, "out of memory");
        return false;
    }
    char *at = c->upload + CHUNK_HEAD_MAX - 2;
    ssize_t n = origin_fetch_read(f, at, UPLOAD_PIECE);
    if (n < 0) return false;
    c->last_read = chunked ? n == 0 : f->content_sent == f->content_length;
    c->out = at;
    c->out_len = (size_t)n;
    if (!chunked) return true;
    char head[CHUNK_HEAD_MAX];
    size_t head_len = (size_t)snprintf(head, sizeof(head), "%zx\r\n", (size_t)n);
    memcpy(at - head_len, head, head_len);
    memcpy(at + n, "\r\n", 2);
    c->out = at - head_len;
    c->out_len += head_len + 2;
    return true;
}

static void watch_again(struct h1_conn *c)
{
    bool waits = c->out_len > 0 && !c->deaf;
    watch_for(c, (c->fetch->paused ? 0 : EPOLLIN) | (waits ? EPOLLOUT : 0));
}

/* Send until the request is out, the socket is full, or there is no content at the moment. */
static void pump(struct h1_conn *c)
{
    struct origin_fetch *f = c->fetch;
    while (!c->sent && !c->deaf && !f->doomed && send_piece(c)) {
        if (c->last_read)
            c->sent = true;
        else if (f->awaits_content || !next_piece(c))
            break;
    }
    watch_again(c);
}

/* ---- the response */

enum progress { MORE, DONE, HELD, BAD, CUT, GIVEN_UP, SWITCHES };

/* Take the next line off *in. @return false: it does not end here, and what there is has been put aside */
static bool take_line(struct h1_conn *c, struct view *in, struct view *line, bool *too_long)
{
    const char *end = memchr(in->at, '\n', in->len);
    size_t n = end != NULL ? (size_t)(end - in->at) + 1 : in->len;
    *too_long = n > LINE_MAX - c->line_len;
    if (*too_long) return false;
    *line = view_of(in->at, n);
    *in = view_after(*in, n);
    if (end != NULL && c->line_len == 0) return true;
    memcpy(c->line + c->line_len, line->at, n);
    c->line_len += n;
    if (end == NULL) return false;
    *line = view_of(c->line, c->line_len);
    c->line_len = 0;
    return true;
}

static bool closes(const struct origin_head *h)
{
    struct list_walk w = list_of(origin_head_fields(h), FIELD_CONNECTION);
    struct view option;
    while (list_walk_next(&w, &option)) {
        if (view_equal_nocase(option, VIEW("close"))) return true;
    }
    return h->http_minor == 0;
}

/* How the content ends (RFC 9112 §6.3). */
static void begin_content(struct h1_conn *c, int64_t length)
{
    const struct origin_fetch *f = c->fetch;
    int status = c->head.status;
    c->reusable = !closes(&c->head) && !origin_head_misleads(&c->head);
    if (f->expects_no_content || status == 204 || status == 304) {
        c->part = OVER;
    } else if (length >= 0) {
        c->part = length > 0 ? LENGTH : OVER;
        c->left = length;
    } else if (field_first(origin_head_fields(&c->head), FIELD_TRANSFER_ENCODING) != NULL) {
        c->part = CHUNK_SIZE;
    } else {
        c->part = UNTIL_CLOSE;
        c->reusable = false;
    }
}

static enum progress bad(struct h1_conn *c, const char *why)
{
    origin_fetch_verdict(c->fetch, ORIGIN_BAD_RESPONSE, why);
    return BAD;
}

static enum progress take_head(struct h1_conn *c, struct view *in)
{
    struct origin_fetch *f = c->fetch;
    struct view line;
    bool too_long, ended;
    int64_t length;
    if (!take_line(c, in, &line, &too_long)) {
        if (too_long) return bad(c, "the head is too large");
        return is_no_http(c) ? bad(c, "not HTTP/1.0 or HTTP/1.1") : MORE;
    }
    const char *why = origin_head_line(&c->head, line, &ended);
    if (why == NULL && ended) why = origin_fetch_head(f, &c->head, &length);
    if (why != NULL) return bad(c, why);
    if (!ended || c->head.status == 0) return MORE;
    if (c->head.status == 101) return c->sent ? SWITCHES : bad(c, "switches protocols before it heard the request");
    begin_content(c, length);
    return MORE;
}

static enum progress take_content(struct h1_conn *c, struct view *in)
{
    size_t n = in->len;
    if (c->part != UNTIL_CLOSE && (int64_t)n > c->left) n = (size_t)c->left;
    struct view content = view_first(*in, n);
    *in = view_after(*in, n);
    c->left -= (int64_t)n;
    if (c->part == LENGTH && c->left == 0) c->part = OVER;
    if (c->part == CHUNK && c->left == 0) c->part = CHUNK_END;
    origin_fetch_content(c->fetch, content.at, content.len);
    return MORE;
}

static int hex_digit(char d)
{
    if (d >= '0' && d <= '9') return d - '0';
    if (d >= 'a' && d <= 'f') return d - 'a' + 10;
    return d >= 'A' && d <= 'F' ? d - 'A' + 10 : -1;
}

/* chunk-size [ chunk-ext ] CRLF (RFC 9112 §7.1); extensions mean nothing to us. */
static bool chunk_size(struct view line, int64_t *size)
{
    size_t digits = 0, i = 0;
    *size = 0;
    if (line.len < 2 || line.at[line.len - 2] != '\r') return false;
    for (line.len -= 2; i < line.len && hex_digit(line.at[i]) >= 0; i++) {
        digits += digits > 0 || line.at[i] != '0';
        if (digits > CHUNK_DIGITS_MAX) return false;
        *size = *size * 16 + hex_digit(line.at[i]);
    }
    struct view rest = view_trim_ows(view_after(line, i));
    return i > 0 && (rest.len == 0 || rest.at[0] == ';') && memchr(rest.at, '\r', rest.len) == NULL;
}

static enum progress take_chunk_line(struct h1_conn *c, struct view *in)
{
    struct view line;
    bool too_long;
    if (!take_line(c, in, &line, &too_long)) return too_long ? CUT : MORE;
    bool is_crlf = line.len == 2 && line.at[0] == '\r';
    switch (c->part) {
    case CHUNK_SIZE:
        if (!chunk_size(line, &c->left)) return CUT;
        c->part = c->left > 0 ? CHUNK : TRAILER;
        c->head.received = 0;
        return MORE;
    case CHUNK_END: c->part = CHUNK_SIZE; return is_crlf ? MORE : CUT;
    default: /* a trailer field: may be dropped (RFC 9110 §6.5.1), and is */
        c->head.received += line.len;
        if (is_crlf || line.len == 1) c->part = OVER;
        return c->head.received <= ORIGIN_REPLY_HEAD_MAX ? MORE : CUT;
    }
}

/* @return MORE when all is taken; HELD: the fetch is paused, *in is what is left */
static enum progress take(struct h1_conn *c, struct view *in)
{
    struct origin_fetch *f = c->fetch;
    enum progress p = MORE;
    while (p == MORE && in->len > 0 && c->part != OVER) {
        if (f->paused) return HELD;
        c->received = true;
        switch (c->part) {
        case HEAD: p = take_head(c, in); break;
        case LENGTH:
        case UNTIL_CLOSE:
        case CHUNK: p = take_content(c, in); break;
        default: p = take_chunk_line(c, in); break;
        }
        if (f->doomed) return GIVEN_UP;
    }
    if (p != MORE || c->part != OVER) return p;
    if (in->len > 0) c->reusable = false; /* whatever follows answers nobody */
    return DONE;
}

/* What is left of the input waits for the fetch to be resumed. */
static bool keep(struct h1_conn *c, struct view rest)
{
    char *copy = malloc(rest.len + 1);
    if (copy == NULL) return false;
    if (rest.len > 0) memcpy(copy, rest.at, rest.len);
    free(c->kept);
    c->kept = copy;
    c->kept_at = 0;
    c->kept_len = rest.len;
    return true;
}

/* The response is complete; the request may not be. An error ends it, since the server need not read the rest. */
static bool is_all_over(const struct h1_conn *c)
{
    return c->sent || c->deaf || c->head.status >= 400 || c->fetch->expects_no_content;
}

/* What came behind the head belongs to the other protocol (RFC 9110 §7.8). */
static void switch_over(struct h1_conn *c, struct view early)
{
    struct origin_fetch *f = c->fetch;
    struct response_head head = { .status = c->head.status, .fields = origin_head_fields(&c->head) };
    struct duplex *d = c->secured;
    watch_for(c, 0);
    if (d == NULL ? (d = duplex_of_socket(c->watch.fd, early)) == NULL : !duplex_keep_early(d, early)) {
        over(c, ORIGIN_CLOSED, "out of memory");
        return;
    }
    c->part = SWITCHED;
    c->secured = NULL;
    c->watch.fd = -1;
    bool wanted = f->handler->switched(f->arg, &head, d);
    over(c, wanted ? ORIGIN_COMPLETE : ORIGIN_CANCELLED, "switched protocols");
}

/* @return whether the connection still reads for this fetch */
static bool input(struct h1_conn *c, struct view in)
{
    switch (take(c, &in)) {
    case MORE: return true;
    case HELD:
        watch_again(c);
        if (keep(c, in)) return false;
        over(c, ORIGIN_CUT, "out of memory");
        return false;
    case DONE:
        if (!is_all_over(c)) return true;
        over(c, ORIGIN_COMPLETE, "complete");
        return false;
    case CUT: over(c, ORIGIN_CUT, "chunks that are none"); return false;
    case SWITCHES: switch_over(c, in); return false;
    case BAD:
    case GIVEN_UP: doomed(c); return false;
    }
    return false;
}

/* A head, and the content of a small response with it; large content then goes straight to its place. */
static char *receive_where(struct h1_conn *c, size_t *cap)
{
    const struct origin_fetch *f = c->fetch;
    *cap = c->part == HEAD ? RECEIVE_HEAD : ORIGIN_RECEIVE_BYTES;
    if (c->part == LENGTH && f->handler->room != NULL) {
        size_t room;
        char *at = f->handler->room(f->arg, &room);
        if (at != NULL) {
            *cap = room < (size_t)c->left ? room : (size_t)c->left;
            return at;
        }
    }
    return c->pool->client->received;
}

static void receive(struct h1_conn *c)
{
    if (c->fetch->paused) {
        watch_again(c); /* what the socket has stays there */
        return;
    }
    bool secured = c->secured != NULL; /* epoll does not tell of what has been decrypted: read to the end of it */
    for (int i = 0; i < READS_PER_TURN || secured; i++) {
        size_t cap;
        char *at = receive_where(c, &cap);
        ssize_t n = conn_receive(c, at, cap);
        if (n == -EAGAIN || n == -EINTR) return;
        if (n <= 0) {
            closed(c, n == 0);
            return;
        }
        if (c->part == OVER) c->reusable = false; /* whatever follows answers nobody */
        c->drained = (size_t)n < cap;
        if (!input(c, view_of(at, (size_t)n)) || (!secured && (size_t)n < cap)) return;
    }
}

static void on_ready(struct loop_watch *w, uint32_t events)
{
    struct h1_conn *c = (struct h1_conn *)w;
    if (c->fetch == NULL) {
        conn_forget(c); /* closed by the server, as a rule; nothing else has any business here */
        return;
    }
    if (events & EPOLLOUT) pump(c);
    if (c->fetch->doomed) {
        doomed(c);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) receive(c);
}

/* ---- beginning, going on */

static void begin(struct h1_conn *c, struct origin_fetch *f)
{
    c->fetch = f;
    f->conn = c;
    c->out = f->wire.at;
    c->out_len = f->wire.len;
    c->last_read = !f->has_content || f->content_length == 0;
    c->sent = c->deaf = c->received = c->reusable = false;
    c->part = HEAD;
    c->line_len = 0;
    origin_head_begin(&c->head);
    if (!origin_fetch_sends(f)) {
        doomed(c);
        return;
    }
    pump(c);
    if (f->doomed)
        doomed(c);
    else if (c->deaf)
        receive(c); /* it has closed, or said why it listens no more */
}

bool origin_h1_start(struct origin_fetch *f)
{
    struct h1_conn *c = conn_take(f);
    if (c == NULL) return false;
    f->pool->client->stats.reused++;
    begin(c, f);
    return true;
}

void origin_h1_connected(struct origin_fetch *f, int fd, struct duplex *secured, const char *address)
{
    struct h1_conn *c = malloc(sizeof(*c));
    if (c == NULL) {
        if (secured != NULL)
            duplex_close(secured);
        else
            close(fd);
        origin_fetch_end(f, ORIGIN_QUEUE_FULL, "out of memory");
        return;
    }
    memset(c, 0, offsetof(struct h1_conn, head));
    c->watch = (struct loop_watch){ .ready = on_ready, .fd = fd };
    c->pool = f->pool;
    c->secured = secured;
    c->born_ms = origin_now_ms(f);
    c->current = true;
    snprintf(c->address, sizeof(c->address), "%s", address);
    begin(c, f);
}

void origin_h1_resume(struct origin_fetch *f)
{
    struct h1_conn *c = f->conn;
    if (c->kept != NULL && !f->paused) {
        char *kept = c->kept;
        struct view in = view_of(kept + c->kept_at, c->kept_len);
        c->kept = NULL;
        bool reads = input(c, in);
        free(kept);
        if (!reads) return;
    }
    pump(c);
    if (f->doomed)
        doomed(c);
    else if (!f->paused)
        receive(c); /* much may have come meanwhile */
}
