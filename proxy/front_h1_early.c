/* An answer amid a long upload, as when the origin refuses it with 413. MHD can queue a reply only before or after
 * the content of a request, so this one is written to the socket here, beside MHD, which has nothing to send
 * meanwhile: whole, with its length, and the last on the connection. While its content is still being read the upload
 * waits. Then the client is told that no more comes, and what it still sends is thrown away within the limits of
 * closing in stages (RFC 9112 §9.6). */
#include "proxy/front_h1.h"

#include "headers/http_date.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EARLY_OWN_MAX = 256, EARLY_HEAD_MAX = FRONT_REPLY_HEAD_MAX + 2 * EARLY_OWN_MAX };

struct early_reply {
    struct front_stream *stream;
    struct loop_timer timer; /* to begin reading, outside of front_reply */
    bool complete;           /* sent, or given up */
    int64_t content_length;  /* -1: not known */
    size_t head_len, len;
    char head[EARLY_HEAD_MAX];
    uint8_t content[EARLY_CONTENT_MAX + 1]; /* one more, to see that there is too much */
};

/* A success amid the upload is from an origin that answers while it reads on, so the rest is still its due. In begin
 * the handler answered by itself, without wanting any. */
bool front_early_is(const struct front_stream *s, int status)
{
    return s->request.has_content && !s->content_over && (s->first_call || status >= 300);
}

/* A rest that is short is better drained, as that saves the connection. */
static bool is_long_upload(const struct front_stream *s)
{
    int64_t length = s->request.content_length;
    return length < 0 || (uint64_t)length - s->content_seen > DRAIN_BYTES_MAX;
}

bool front_early_fits(const struct front_stream *s, const struct front_reply *r)
{
    bool has_content = s->head.method != METHOD_HEAD && r->status != 204 && r->status != 304;
    return has_content && !s->first_call && front_early_is(s, r->status) && is_long_upload(s) &&
           r->content_length <= EARLY_CONTENT_MAX;
}

bool front_early_waits(const struct front_stream *s)
{
    return s->early != NULL && !s->early->complete;
}

/* Over, one way or the other: whatever the client still sends is drained. */
static void early_end(struct front_stream *s, bool sent)
{
    struct front *f = s->conn->front;
    s->early->complete = true;
    s->early_delivered = sent;
    s->body_bytes = sent ? s->early->len : 0;
    s->early_until_ms = loop_now_ms(f->loop) + LINGER_MS;
    loop_timer_set(f->loop, &s->conn->timer, s->early_until_ms);
    shutdown(s->conn->fd, SHUT_WR);
    front_unpark(s);
}

static bool send_whole(int fd, const void *at, size_t len, int flags)
{
    return len == 0 || send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT | flags) == (ssize_t)len;
}

/* Into the socket's buffer at once, for which that is made large enough. */
static void early_send(struct front_stream *s)
{
    struct early_reply *e = s->early;
    int fd = s->conn->fd, room = (int)sizeof(*e);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    e->head_len += (size_t)sprintf(e->head + e->head_len, "Content-Length: %zu\r\n\r\n", e->len);
    bool sent =
        send_whole(fd, e->head, e->head_len, e->len > 0 ? MSG_MORE : 0) && send_whole(fd, e->content, e->len, 0);
    early_end(s, sent);
}

void front_early_read(struct front_stream *s)
{
    struct early_reply *e = s->early;
    ssize_t n;
    do {
        s->woken = false;
        s->in_read = true;
        n = s->read(s->reply_arg, e->content + e->len, sizeof(e->content) - e->len);
        s->in_read = false;
        if (n > 0) e->len += (size_t)n;
    } while ((n > 0 && e->len <= EARLY_CONTENT_MAX) || (n == -EAGAIN && s->woken));
    if (n == -EAGAIN) return; /* front_wake comes back here */
    bool complete = e->content_length >= 0 ? (int64_t)e->len == e->content_length : n == 0;
    if (complete && e->len <= EARLY_CONTENT_MAX) {
        early_send(s);
    } else {
        early_end(s, false);
    }
}

static void read_first(struct loop_timer *t)
{
    struct early_reply *e = HOLDER_OF(t, struct early_reply, timer);
    front_early_read(e->stream);
}

static void early_head(struct early_reply *e, const struct front_reply *r, struct view fields)
{
    char date[HTTP_DATE_LEN + 1];
    http_date_format((int64_t)time(NULL), date);
    const char *phrase = MHD_get_reason_phrase_for((unsigned)r->status);
    int n = snprintf(e->head, EARLY_OWN_MAX, "HTTP/1.1 %d %s\r\nConnection: close\r\n%s%s%s", r->status, phrase,
                     r->date == NULL ? "Date: " : "", r->date == NULL ? date : "", r->date == NULL ? "\r\n" : "");
    memcpy(e->head + n, fields.at, fields.len);
    e->head_len = (size_t)n + fields.len;
}

int front_early_reply(struct front_stream *s, const struct front_reply *r, struct view fields)
{
    struct loop *loop = s->conn->front->loop;
    struct early_reply *e = s->early = malloc(sizeof(*e));
    if (e == NULL) return -ENOMEM;
    e->stream = s;
    e->timer = (struct loop_timer){ .due = read_first };
    e->complete = false;
    e->len = 0;
    e->content_length = r->content_length;
    early_head(e, r, fields);
    if (r->content == NULL && r->content_length != 0) {
        s->read = r->read;
        loop_timer_set(loop, &e->timer, loop_now_ms(loop));
        return 0;
    }
    e->len = (size_t)r->content_length;
    if (e->len > 0) memcpy(e->content, r->content, e->len);
    early_send(s);
    return 0;
}

void front_early_free(struct front_stream *s)
{
    if (s->early == NULL) return;
    loop_timer_stop(s->conn->front->loop, &s->early->timer);
    free(s->early);
    s->early = NULL;
}
