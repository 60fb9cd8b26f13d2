/* floor: the least this machine can do for a request: recv, compare a number, send bytes that were ready before.
 * It answers /s/SIZE/NUMBER with SIZE bytes, or with 304 when the request has If-None-Match. No cache can be below it.
 * usage: floor ADDRESS:PORT [PIECES]      so many pieces of memory for each size, by NUMBER; 1 unless given        */
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
    struct view *whole; /* the pieces, each head and content; made when they are asked for */
};

struct floor {
    size_t pieces, count;
    struct ready ready[SIZES_MAX];
};

static struct view *floor_size(struct floor *f, size_t size)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->ready[i].size == size) return f->ready[i].whole;
    if (f->count == SIZES_MAX) f->count = 0; /* more sizes than rows have: build again rather than fail */
    struct view *whole = calloc(f->pieces, sizeof *whole);
    if (whole == NULL) die(program, "no memory for the responses");
    f->ready[f->count++] = (struct ready){ size, whole };
    return whole;
}

static struct view piece_make(size_t size)
{
    char *at = malloc(HEAD_MAX + size);
    if (at == NULL) die(program, "no memory for the response");
    int head = snprintf(at, HEAD_MAX, "HTTP/1.1 200 OK\r\n" FIELDS "Content-Length: %zu\r\n\r\n", size);
    for (size_t i = 0; i < size; i++) at[(size_t)head + i] = content_byte(i);
    return view_of(at, (size_t)head + size);
}

static size_t number_of(struct view request)
{
    static const char before[] = "GET /s/";
    const char *slash =
        request.len > sizeof before ? memchr(request.at + sizeof before, '/', request.len - sizeof before) : NULL;
    return slash != NULL ? strtoul(slash + 1, NULL, 10) : 0; /* ends at the blank behind the target */
}

static struct view floor_ready(struct floor *f, struct view request)
{
    size_t size = request_size(request), number = f->pieces > 1 ? number_of(request) % f->pieces : 0;
    struct view *whole = floor_size(f, size);
    if (whole[number].at == NULL) whole[number] = piece_make(size);
    return whole[number];
}

static void floor_answer(void *with, struct view request, struct reply *out)
{
    static const char condition[] = "If-None-Match:";
    if (memmem(request.at, request.len, condition, sizeof condition - 1) != NULL)
        out->head = VIEW("HTTP/1.1 304 Not Modified\r\n" FIELDS "\r\n");
    else
        out->head = floor_ready(with, request);
}

int main(int argc, char **argv)
{
    struct floor f = { .pieces = argc == 3 ? strtoul(argv[2], NULL, 10) : 1 };
    struct sockaddr_in at;
    errno = 0;
    if (argc < 2 || argc > 3 || f.pieces == 0 || !address_read(argv[1], &at))
        die(program, "usage: floor ADDRESS:PORT [PIECES]");
    responder_run(program, &at, floor_answer, &f);
}
