/* wire: HTTP/1.1 messages as bytes on a socket, for the scripted origin and the raw client (RFC 9112).
 * It is strict: what weir sends has to be well formed, so anything odd is an error with a reason.
 * Ownership: a head owns its bytes. Threads: one thread per stream.                                    */
#ifndef WEIR_TESTS_WIRE_H
#define WEIR_TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_DEADLINE_S 10 /* for every single read and write */

/* Received bytes that have not been looked at yet. */
struct stream {
    int fd;
    size_t from, to;
    char bytes[65536];
};

struct line {
    const char *name, *value; /* into the head's bytes, NUL terminated */
    size_t value_len;
};

struct head {
    char *bytes;
    char *start; /* the request line or status line */
    struct line *lines;
    size_t count;
};

enum framing { NO_CONTENT, BY_LENGTH, CHUNKED, UNTIL_CLOSE };

/* The content of one message while it is read. */
struct content {
    enum framing framing;
    uint64_t left; /* of the content, or of the current chunk */
    bool chunk_open, ended;
    struct head trailers; /* once ended */
};

/** A loopback socket with the deadline set, connected to port; -1 with errno. */
int wire_connect(int port);
/** A listening loopback socket; *port 0 takes any and tells which. -1 with errno. */
int wire_listen(int *port);
/** The same at another of the loopback's addresses: "127.0.0.2". */
int wire_listen_at(const char *address, int *port);
void wire_set_deadline(int fd);
/** Close with a reset instead of an orderly end. */
void wire_reset(int fd);
bool wire_send(int fd, const void *bytes, size_t len);

void stream_open(struct stream *s, int fd);
/** NULL, or why there is no head: "closed" when the stream ended before its first byte. */
const char *stream_head(struct stream *s, struct head *out);
/** What is there without waiting for more than one read; 0 at the end of the stream, -1 on error. */
ssize_t stream_read(struct stream *s, char *to, size_t cap);
/** Is there anything to read, or an end, within the time? */
bool stream_wait(const struct stream *s, int ms);
/** Content bytes; 0 when complete, -1 when it broke off or its framing is wrong. */
ssize_t content_read(struct content *c, struct stream *s, char *to, size_t cap);

void head_free(struct head *h);
/** The first value of that name, or NULL. */
const char *head_value(const struct head *h, const char *name);
size_t head_count(const struct head *h, const char *name);
/** Framing of a request (status 0), or of a response to a request of that method. NULL, or what is wrong. */
const char *content_of(struct content *c, const struct head *h, int status, const char *method);

/** Does the head hold what the script expects? One expectation a line:
 *    "Name: value"         one line of that name has exactly this value
 *    "Name: *"             a line of that name is there
 *    "Name: 10..12"        a number in that range
 *    "Name: ~text"         one line of that name has text somewhere in its value
 *    "!Name"               there is no such line
 *    "Cache-Status: weir; hit; ttl=5..9; !stored"   the parameters of weir's member; others may be there
 *  Returns NULL, or the first expectation that is not met (from a buffer of the calling thread).         */
const char *head_lacks(const struct head *h, const char *expected);

/** Content that follows from its position alone: byte i of pattern seed. */
void pattern_fill(uint64_t seed, uint64_t position, char *to, size_t len);
/** The first position where it differs, or len. */
size_t pattern_differs(uint64_t seed, uint64_t position, const char *bytes, size_t len);

#endif
