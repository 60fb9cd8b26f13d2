/* floor: the least this machine can do for a request: recv, compare a number, send bytes that were ready before.
 * It answers /s/SIZE/... with SIZE bytes, or with 304 when the request has If-None-Match. No cache can be below it.
 * usage: floor ADDRESS:PORT                                                                                        */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/net.h"
#include "tests/bench/responder.h"

enum { SIZES_MAX = 8, HEAD_MAX = 512 };

static const char program[] = "floor";

/* The fields a cache hit would carry, so that the head is as long as the others'. */
#define FIELDS                                                                                                         \
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n"                                \
    "Cache-Control: public, max-age=86400\r\nETag: \"bench-1\"\r\nAge: 10\r\nVia: 1.1 floor\r\n"

struct ready {
    size_t size;
    struct view whole; /* head and content in one piece */
};

struct floor {
    size_t count;
    struct ready ready[SIZES_MAX];
};

static const struct view *floor_ready(struct floor *f, size_t size)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->ready[i].size == size) return &f->ready[i].whole;
    if (f->count == SIZES_MAX) f->count = 0; /* more sizes than rows have: build again rather than fail */
    char *at = malloc(HEAD_MAX + size);
    if (at == NULL) die(program, "no memory for the response");
    int head = snprintf(at, HEAD_MAX, "HTTP/1.1 200 OK\r\n" FIELDS "Content-Length: %zu\r\n\r\n", size);
    for (size_t i = 0; i < size; i++) at[(size_t)head + i] = content_byte(i);
    f->ready[f->count] = (struct ready){ size, view_of(at, (size_t)head + size) };
    return &f->ready[f->count++].whole;
}

static void floor_answer(void *with, struct view request, struct reply *out)
{
    static const char condition[] = "If-None-Match:";
    if (memmem(request.at, request.len, condition, sizeof condition - 1) != NULL)
        out->head = VIEW("HTTP/1.1 304 Not Modified\r\n" FIELDS "\r\n");
    else
        out->head = *floor_ready(with, request_size(request));
}

int main(int argc, char **argv)
{
    struct floor f = { 0 };
    struct sockaddr_in at;
    errno = 0;
    if (argc != 2 || !address_read(argv[1], &at)) die(program, "usage: floor ADDRESS:PORT");
    responder_run(program, &at, floor_answer, &f);
}
