/* client: a client that sends exactly the bytes it is told to, and reads one response after another.
 * Threads: one thread per client. Every wait has the deadline of the wire.                              */
#ifndef WEIR_TESTS_CLIENT_H
#define WEIR_TESTS_CLIENT_H

#include "tests/conversation/wire.h"

#define INTERIM_LIMIT 8

struct response {
    int status;
    struct head head;
    struct head interim[INTERIM_LIMIT];
    size_t interims;
    struct content content; /* its trailers, once ended */
    char *body;             /* read so far; NUL terminated */
    size_t body_len;
    bool broken; /* ended before it was complete */
};

struct client {
    int port, fd;
    struct stream stream;
    struct response response;
    char method[32];
};

/** Connected, or NULL. */
struct client *client_open(int port);
void client_close(struct client *c);
/** Close, and connect anew. */
bool client_reconnect(struct client *c);
/** Has the other side closed (or reset) the connection, with nothing left to read? Waits up to ms. */
bool client_is_closed(struct client *c, int ms);
bool client_send(struct client *c, const void *bytes, size_t len);
/** Interim responses and the head. NULL, or what is wrong with it. */
const char *client_read_head(struct client *c);
/** Up to n bytes more of the content, kept in response.body; fewer only at its end. */
void client_read_content(struct client *c, size_t n);
/** The rest of the content: NULL when it is complete, else why not. With a seed, compared and not kept. */
const char *client_read_rest(struct client *c);
const char *client_read_pattern(struct client *c, uint64_t seed, uint64_t from, uint64_t len);

#endif
