/* origin: an origin server that is never the bottleneck. /s/SIZE/NAME is SIZE bytes, fresh for a day, with a
 * validator and, when NAME ends in an "x", a Cache-Tag; /count is how many requests for the others have come.
 * usage: origin ADDRESS:PORT                                                                                 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "tests/bench/net.h"
#include "tests/bench/responder.h"

static const char program[] = "origin";

struct origin {
    uint64_t requests;
    time_t date_s; /* the second that date spells: an old Date would make every response stale */
    char date[32];
    struct view content; /* of the largest size asked for so far; smaller ones are its beginning */
};

static const char *origin_content(struct origin *o, size_t size)
{
    /* The one before stays allocated: a connection may still be sending it. Sizes are few. */
    if (o->content.at == NULL || size > o->content.len) o->content = view_of(content_make(program, size), size);
    return o->content.at;
}

static const char *origin_date(struct origin *o)
{
    time_t now_s = time(NULL);
    struct tm utc;
    if (now_s != o->date_s && gmtime_r(&now_s, &utc) != NULL) {
        strftime(o->date, sizeof o->date, "%a, %d %b %Y %H:%M:%S GMT", &utc); /* no locale is set: English */
        o->date_s = now_s;
    }
    return o->date;
}

static bool is_tagged(struct view request)
{
    static const char end[] = "x HTTP/1.1\r\n";
    return memmem(request.at, request.len, end, sizeof end - 1) != NULL;
}

static void origin_answer(void *with, struct view request, struct reply *out)
{
    struct origin *o = with;
    int n;
    if (view_starts_with(request, VIEW("GET /count "))) {
        char digits[24];
        int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)o->requests);
        n = snprintf(out->room, sizeof out->room,
                     "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", len, digits);
    } else {
        size_t size = request_size(request);
        o->requests++;
        out->content = view_of(origin_content(o, size), size);
        n = snprintf(out->room, sizeof out->room,
                     "HTTP/1.1 200 OK\r\nDate: %s\r\n"
                     "Content-Type: application/octet-stream\r\nCache-Control: public, max-age=86400\r\n"
                     "ETag: \"bench-1\"\r\n%sContent-Length: %zu\r\n\r\n",
                     origin_date(o), is_tagged(request) ? "Cache-Tag: bench\r\n" : "", size);
    }
    out->head = view_of(out->room, (size_t)n);
}

int main(int argc, char **argv)
{
    struct origin o = { 0 };
    struct sockaddr_in at;
    errno = 0;
    if (argc != 2 || !address_read(argv[1], &at)) die(program, "usage: origin ADDRESS:PORT");
    responder_run(program, &at, origin_answer, &o);
}
