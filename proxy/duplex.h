/* duplex: a connection that is no longer HTTP: bytes both ways, after a 101 (RFC 9110 §7.8). Front end and origin client
 * each hand one over, without a word of the library behind it; tunnel.h relays between two.
 * Ownership: whoever is given one closes it. Threads: that of the loop it came from.                                    */
#ifndef WEIR_PROXY_DUPLEX_H
#define WEIR_PROXY_DUPLEX_H

#include "headers/view.h"

#include <sys/types.h>

struct duplex;

struct duplex_ops {
    ssize_t (*receive)(struct duplex *d, char *to, size_t cap);
    ssize_t (*send)(struct duplex *d, const char *at, size_t len);
    void (*free)(struct duplex *d); /* all but fd and early */
};

struct duplex {
    const struct duplex_ops *ops;
    int fd;    /* to be watched for EPOLLIN and EPOLLOUT */
    bool deep; /* it may hold bytes that epoll does not know of: read until -EAGAIN */
    char *early;
    size_t early_at, early_len;
};

/** A connected socket, taken over. @param early  what was already read of it, copied. @return NULL: no memory, the socket
 *  is still the caller's */
MUST_USE struct duplex *duplex_of_socket(int fd, struct view early);
/** What was already read, copied; once. @return false: no memory */
MUST_USE bool duplex_keep_early(struct duplex *d, struct view early);

/** @return bytes; 0: the other side sends no more; -EAGAIN: none now; else it broke */
ssize_t duplex_receive(struct duplex *d, char *to, size_t cap);
/** @return bytes taken; -EAGAIN: no room, and the same bytes must come next; else it broke */
ssize_t duplex_send(struct duplex *d, const char *at, size_t len);
/** Tell the other side that no more comes. */
void duplex_shut(struct duplex *d);
void duplex_close(struct duplex *d);

#endif
