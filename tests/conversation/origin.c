#include "tests/conversation/origin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_LIMIT 2048
#define HEARD_LIMIT       16384
#define SCRIPT_LIMIT      1024
#define BODY_LIMIT        (UINT64_C(64) << 20)
#define PIECE             65536
#define LINE_LIMIT        8192

struct origin {
    pthread_mutex_t lock; /* over everything below */
    pthread_cond_t changed;
    const char *address;
    int port, listen_fd;
    bool down;
    pthread_t acceptor;
    pthread_t threads[CONNECTIONS_LIMIT];
    int fds[CONNECTIONS_LIMIT]; /* -1: its thread has ended */
    size_t connections, connections_before;
    struct answer script[SCRIPT_LIMIT];
    size_t scripted;
    struct heard *heard[HEARD_LIMIT];
    size_t count, unscripted;
};

/* One connection, on its thread. */
struct visit {
    struct origin *origin;
    size_t index;
    int fd;
    struct stream stream;
};

/* ---- waiting ---- */

static struct timespec deadline_from_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += WIRE_DEADLINE_S;
    return t;
}

static void pass_gate(struct origin *o, struct gate *g)
{
    if (g == NULL) return;
    pthread_mutex_lock(&o->lock);
    g->waiting++;
    pthread_cond_broadcast(&o->changed);
    while (!g->open && !o->down) pthread_cond_wait(&o->changed, &o->lock);
    g->waiting--;
    pthread_mutex_unlock(&o->lock);
}

void origin_open_gate(struct origin *o, struct gate *g)
{
    pthread_mutex_lock(&o->lock);
    g->open = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

bool origin_wait_count(struct origin *o, size_t n)
{
    struct timespec deadline = deadline_from_now();
    pthread_mutex_lock(&o->lock);
    while (o->count < n && pthread_cond_timedwait(&o->changed, &o->lock, &deadline) == 0) {
    }
    bool reached = o->count >= n;
    pthread_mutex_unlock(&o->lock);
    return reached;
}

bool origin_wait_gate(struct origin *o, const struct gate *g, int waiting)
{
    struct timespec deadline = deadline_from_now();
    pthread_mutex_lock(&o->lock);
    while (g->waiting < waiting && pthread_cond_timedwait(&o->changed, &o->lock, &deadline) == 0) {
    }
    bool reached = g->waiting >= waiting;
    pthread_mutex_unlock(&o->lock);
    return reached;
}

/* ---- the script ---- */

void origin_script(struct origin *o, const struct answer *a)
{
    pthread_mutex_lock(&o->lock);
    if (o->scripted == SCRIPT_LIMIT) abort();
    struct answer *added = &o->script[o->scripted++];
    *added = *a;
    if (added->times == 0) added->times = 1;
    pthread_mutex_unlock(&o->lock);
}

void origin_forget(struct origin *o)
{
    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < o->scripted; i++) o->script[i].times = 0;
    pthread_mutex_unlock(&o->lock);
}

static bool answer_fits(const struct answer *a, const struct heard *h)
{
    return a->times != 0 && (a->target == NULL || strcmp(a->target, h->target) == 0) &&
           (a->method == NULL || strcmp(a->method, h->method) == 0);
}

static struct answer take_answer(struct origin *o, const struct heard *h)
{
    struct answer none = { .status = "599 Unscripted", .fields = "Cache-Control: no-store", .body = "unscripted" };
    pthread_mutex_lock(&o->lock);
    struct answer *found = NULL;
    for (size_t i = 0; i < o->scripted && found == NULL; i++)
        if (answer_fits(&o->script[i], h)) found = &o->script[i];
    if (found == NULL)
        o->unscripted++;
    else if (found->times > 0)
        found->times--;
    struct answer taken = found == NULL ? none : *found;
    pthread_mutex_unlock(&o->lock);
    return taken;
}

/* ---- hearing ---- */

static bool hear_head(struct visit *v, struct heard *h)
{
    if (stream_head(&v->stream, &h->head) != NULL) return false;
    return sscanf(h->head.start, "%31s %8191s", h->method, h->target) == 2;
}

static bool hear_content(struct visit *v, struct heard *h)
{
    struct content c;
    if (content_of(&c, &h->head, 0, h->method) != NULL) return false;
    char piece[PIECE];
    ssize_t n;
    while ((n = content_read(&c, &v->stream, piece, sizeof piece)) > 0) {
        if (h->body_len + (size_t)n > BODY_LIMIT) return false;
        h->body = realloc(h->body, h->body_len + (size_t)n + 1);
        memcpy(h->body + h->body_len, piece, (size_t)n);
        h->body_len += (size_t)n;
        h->body[h->body_len] = '\0';
    }
    head_free(&c.trailers);
    h->body_complete = n == 0;
    return n == 0;
}

static void remember(struct origin *o, struct heard *h)
{
    pthread_mutex_lock(&o->lock);
    if (o->count == HEARD_LIMIT) abort();
    o->heard[o->count++] = h;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

/* ---- answering ---- */

static bool send_text(struct visit *v, const struct answer *a, const char *text, size_t len)
{
    if (!a->dribble) return wire_send(v->fd, text, len);
    const struct timespec pause = { .tv_nsec = 200000 }; /* enough for the other side to read each byte alone */
    for (size_t i = 0; i < len; i++) {
        if (!wire_send(v->fd, text + i, 1)) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Field lines as the script writes them, one per LF, become lines ended by CRLF. */
static size_t put_fields(char *to, size_t cap, const char *fields)
{
    size_t len = 0;
    for (const char *at = fields; at != NULL && *at != '\0' && len + LINE_LIMIT < cap;) {
        size_t line = strcspn(at, "\n");
        len += (size_t)snprintf(to + len, cap - len, "%.*s\r\n", (int)line, at);
        at += line + (at[line] == '\n');
    }
    return len;
}

static enum framing framing_of(const struct answer *a)
{
    if (a->framing != NO_CONTENT) return a->framing;
    bool bare = strncmp(a->status, "204", 3) == 0 || strncmp(a->status, "304", 3) == 0;
    return bare ? NO_CONTENT : BY_LENGTH;
}

static uint64_t content_len(const struct answer *a)
{
    return a->pattern_len > 0 ? a->pattern_len : a->body == NULL ? 0 : strlen(a->body);
}

static bool send_head(struct visit *v, const struct answer *a)
{
    char head[8 * LINE_LIMIT];
    const char *reason = strchr(a->status, ' ') == NULL ? " Scripted" : "";
    size_t len = (size_t)snprintf(head, 1024, "HTTP/1.1 %s%s\r\n", a->status, reason);
    len += put_fields(head + len, sizeof head - len - 256, a->fields);
    if (framing_of(a) == BY_LENGTH)
        len += (size_t)snprintf(head + len, 128, "Content-Length: %llu\r\n", (unsigned long long)content_len(a));
    if (framing_of(a) == CHUNKED) len += (size_t)snprintf(head + len, 128, "Transfer-Encoding: chunked\r\n");
    len += (size_t)snprintf(head + len, 16, "\r\n");
    return send_text(v, a, head, len);
}

static bool send_piece(struct visit *v, const struct answer *a, const char *piece, size_t len)
{
    char size[32];
    int size_len = snprintf(size, sizeof size, "%zx\r\n", len);
    if (a->framing != CHUNKED) return send_text(v, a, piece, len);
    return send_text(v, a, size, (size_t)size_len) && send_text(v, a, piece, len) && send_text(v, a, "\r\n", 2);
}

/* The content up to where the script wants it to end. */
static bool send_content(struct visit *v, const struct answer *a)
{
    static const uint64_t no_stop = UINT64_MAX;
    char piece[PIECE];
    bool breaks = a->ending == CUT || a->ending == RESET || a->ending == HANG;
    uint64_t end = breaks && a->cut_after < content_len(a) ? a->cut_after : content_len(a);
    uint64_t stop = a->hold_content != NULL ? a->hold_after : no_stop;
    for (uint64_t at = 0;;) {
        if (at == stop) {
            pass_gate(v->origin, a->hold_content);
            stop = no_stop;
        }
        if (at >= end) return true;
        uint64_t until = stop < end ? stop : end;
        size_t some = until - at < sizeof piece ? (size_t)(until - at) : sizeof piece;
        if (a->pattern_len > 0)
            pattern_fill(a->seed, at, piece, some);
        else
            memcpy(piece, a->body + at, some);
        if (!send_piece(v, a, piece, some)) return false;
        at += some;
    }
}

static bool send_last_chunk(struct visit *v, const struct answer *a)
{
    char end[4 * LINE_LIMIT] = "0\r\n";
    size_t len = 3 + put_fields(end + 3, sizeof end - 8, a->trailers);
    len += (size_t)snprintf(end + len, sizeof end - len, "\r\n");
    return send_text(v, a, end, len);
}

/* Hold the line without a word, until the other side or the test lets go. */
static void hang(struct visit *v)
{
    char drop[PIECE];
    while (recv(v->fd, drop, sizeof drop, 0) != 0) {
        pthread_mutex_lock(&v->origin->lock);
        bool down = v->origin->down;
        pthread_mutex_unlock(&v->origin->lock);
        if (down) return;
    }
}

/* True: the connection may carry another request. */
static bool send_answer(struct visit *v, const struct answer *a, const char *method)
{
    bool sent = true;
    pass_gate(v->origin, a->hold);
    if (a->interim != NULL) sent = send_text(v, a, a->interim, strlen(a->interim));
    pass_gate(v->origin, a->hold_head);
    if (a->raw != NULL) {
        sent = sent && send_text(v, a, a->raw, a->raw_len > 0 ? a->raw_len : strlen(a->raw));
    } else if (!a->silent) {
        bool content = framing_of(a) != NO_CONTENT && strcmp(method, "HEAD") != 0;
        sent = sent && send_head(v, a) && (!content || send_content(v, a));
        bool whole = a->ending == KEEP || a->ending == CLOSE;
        if (sent && content && whole && a->framing == CHUNKED) sent = send_last_chunk(v, a);
    }
    if (a->ending == HANG) hang(v);
    if (a->ending == RESET) wire_reset(v->fd);
    return sent && a->ending == KEEP && a->framing != UNTIL_CLOSE && !a->early;
}

static bool answer_one(struct visit *v)
{
    struct heard *h = calloc(1, sizeof *h);
    if (!hear_head(v, h)) {
        head_free(&h->head);
        free(h);
        return false;
    }
    struct answer a = take_answer(v->origin, h);
    if (!a.early) (void)hear_content(v, h); /* body_complete tells the test */
    remember(v->origin, h);
    return (a.early || h->body_complete) && send_answer(v, &a, h->method);
}

/* ---- connections ---- */

static void *serve(void *of)
{
    struct visit *v = of;
    struct origin *o = v->origin;
    stream_open(&v->stream, v->fd);
    while (answer_one(v)) {
    }
    pthread_mutex_lock(&o->lock);
    o->fds[v->index] = -1;
    pthread_mutex_unlock(&o->lock);
    close(v->fd);
    free(v);
    return NULL;
}

static bool welcome(struct origin *o, int fd)
{
    struct visit *v = calloc(1, sizeof *v);
    wire_set_deadline(fd);
    struct timeval forever = { 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever); /* idle connections stay */
    pthread_mutex_lock(&o->lock);
    bool welcome = !o->down && o->connections < CONNECTIONS_LIMIT;
    if (welcome) {
        *v = (struct visit){ .origin = o, .index = o->connections++, .fd = fd };
        o->fds[v->index] = fd;
        if (pthread_create(&o->threads[v->index], NULL, serve, v) != 0) abort();
    }
    pthread_mutex_unlock(&o->lock);
    if (!welcome) free(v);
    return welcome;
}

static void *accept_all(void *of)
{
    struct origin *o = of;
    for (;;) {
        int fd = accept4(o->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return NULL; /* shut down */
        if (!welcome(o, fd)) close(fd);
    }
}

static bool origin_listen(struct origin *o)
{
    o->listen_fd = wire_listen_at(o->address, &o->port);
    if (o->listen_fd < 0) return false;
    o->down = false;
    return pthread_create(&o->acceptor, NULL, accept_all, o) == 0;
}

struct origin *origin_start(int port)
{
    return origin_start_at("127.0.0.1", port);
}

struct origin *origin_start_at(const char *address, int port)
{
    struct origin *o = calloc(1, sizeof *o);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    o->address = address;
    o->port = port;
    if (origin_listen(o)) return o;
    free(o);
    return NULL;
}

void origin_up(struct origin *o)
{
    if (!origin_listen(o)) abort();
}

void origin_down(struct origin *o)
{
    pthread_mutex_lock(&o->lock);
    bool was_down = o->down;
    o->down = true;
    for (size_t i = 0; i < o->connections; i++)
        if (o->fds[i] >= 0) shutdown(o->fds[i], SHUT_RDWR);
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    if (was_down) return;
    shutdown(o->listen_fd, SHUT_RDWR);
    pthread_join(o->acceptor, NULL);
    close(o->listen_fd);
    for (size_t i = 0; i < o->connections; i++) pthread_join(o->threads[i], NULL);
    o->connections_before += o->connections;
    o->connections = 0;
}

void origin_end(struct origin *o)
{
    origin_down(o);
    for (size_t i = 0; i < o->count; i++) {
        head_free(&o->heard[i]->head);
        free(o->heard[i]->body);
        free(o->heard[i]);
    }
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* ---- what it knows ---- */

int origin_port(const struct origin *o)
{
    return o->port;
}

static size_t read_locked(struct origin *o, const size_t *number)
{
    pthread_mutex_lock(&o->lock);
    size_t read = *number;
    pthread_mutex_unlock(&o->lock);
    return read;
}

size_t origin_count(struct origin *o)
{
    return read_locked(o, &o->count);
}

size_t origin_connections(struct origin *o)
{
    return o->connections_before + read_locked(o, &o->connections);
}

size_t origin_unscripted(struct origin *o)
{
    return read_locked(o, &o->unscripted);
}

size_t origin_unasked(struct origin *o)
{
    size_t left = 0;
    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < o->scripted; i++) left += o->script[i].times > 0;
    pthread_mutex_unlock(&o->lock);
    return left;
}

const struct heard *origin_heard_at(struct origin *o, size_t n)
{
    pthread_mutex_lock(&o->lock);
    const struct heard *h = n < o->count ? o->heard[n] : NULL;
    pthread_mutex_unlock(&o->lock);
    return h;
}
