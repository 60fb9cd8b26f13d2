#include "tests/conversation/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client *client_open(int port)
{
    struct client *c = calloc(1, sizeof *c);
    c->port = port;
    c->fd = wire_connect(port);
    stream_open(&c->stream, c->fd);
    if (c->fd >= 0) return c;
    free(c);
    return NULL;
}

static void response_clear(struct response *r)
{
    for (size_t i = 0; i < r->interims; i++) head_free(&r->interim[i]);
    head_free(&r->head);
    head_free(&r->content.trailers);
    free(r->body);
    memset(r, 0, sizeof *r);
}

void client_close(struct client *c)
{
    response_clear(&c->response);
    if (c->fd >= 0) close(c->fd);
    free(c);
}

bool client_reconnect(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = wire_connect(c->port);
    stream_open(&c->stream, c->fd);
    return c->fd >= 0;
}

bool client_is_closed(struct client *c, int ms)
{
    char byte;
    return stream_wait(&c->stream, ms) && stream_read(&c->stream, &byte, 1) <= 0;
}

bool client_send(struct client *c, const void *bytes, size_t len)
{
    return wire_send(c->fd, bytes, len);
}

static const char *read_status(struct head *h, int *status)
{
    int minor, used = 0;
    if (sscanf(h->start, "HTTP/1.%1d %3d%n", &minor, status, &used) != 2 || used != 12 || *status < 100 || minor > 1)
        return "a status line that is none of HTTP/1.1";
    return h->start[12] == ' ' ? NULL : "a status line without the blank behind the status (RFC 9112 section 4)";
}

const char *client_read_head(struct client *c)
{
    struct response *r = &c->response;
    response_clear(r);
    for (;;) {
        const char *wrong = stream_head(&c->stream, &r->head);
        if (wrong == NULL) wrong = read_status(&r->head, &r->status);
        if (wrong == NULL) wrong = content_of(&r->content, &r->head, r->status, c->method);
        if (wrong != NULL) r->broken = true;
        if (wrong != NULL || r->status >= 200) return wrong;
        if (r->interims == INTERIM_LIMIT) return "too many interim responses";
        r->interim[r->interims++] = r->head;
        memset(&r->head, 0, sizeof r->head);
    }
}

static ssize_t read_piece(struct client *c, char *to, size_t cap)
{
    ssize_t n = content_read(&c->response.content, &c->stream, to, cap);
    if (n < 0) c->response.broken = true;
    return n;
}

void client_read_content(struct client *c, size_t n)
{
    struct response *r = &c->response;
    char piece[65536];
    while (n > 0) {
        ssize_t some = read_piece(c, piece, n < sizeof piece ? n : sizeof piece);
        if (some <= 0) return;
        r->body = realloc(r->body, r->body_len + (size_t)some + 1);
        memcpy(r->body + r->body_len, piece, (size_t)some);
        r->body_len += (size_t)some;
        r->body[r->body_len] = '\0';
        n -= (size_t)some;
    }
}

const char *client_read_rest(struct client *c)
{
    client_read_content(c, SIZE_MAX);
    return c->response.broken ? "the content broke off" : NULL;
}

const char *client_read_pattern(struct client *c, uint64_t seed, uint64_t from, uint64_t len)
{
    char piece[65536];
    uint64_t position = from;
    for (ssize_t n; (n = read_piece(c, piece, sizeof piece)) != 0; position += (uint64_t)n) {
        if (n < 0) return "the content broke off";
        if (pattern_differs(seed, position, piece, (size_t)n) < (size_t)n) return "the content differs";
    }
    return position == from + len ? NULL : "the content has another length";
}
