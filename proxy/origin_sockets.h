/* origin_sockets: the sockets of a fetch library in a loop. The library takes its interest away after every fetch and shows
 * it again with the next; the loop goes on watching, and lets a socket go when an event comes that nobody asked for, or
 * when it is closed: two system calls fewer per fetch.
 * Ownership: origin_sockets_new gives one, origin_sockets_free ends it once its sockets are closed. Threads: the loop's. */
#ifndef WEIR_PROXY_ORIGIN_SOCKETS_H
#define WEIR_PROXY_ORIGIN_SOCKETS_H

#include "proxy/loop.h"

struct origin_sockets;

/** @param ready  called with EPOLLIN, ... for a socket that is wanted */
MUST_USE struct origin_sockets *origin_sockets_new(struct loop *loop, void (*ready)(void *arg, int fd, uint32_t events),
                                                   void *arg);
void origin_sockets_free(struct origin_sockets *s);

/** A socket that the library will close by origin_sockets_close. @return descriptor, or -1 with errno */
MUST_USE int origin_sockets_open(struct origin_sockets *s, int family, int type, int protocol);
int origin_sockets_close(struct origin_sockets *s, int fd);

/** @param events  EPOLLIN, EPOLLOUT. @return 0, or -1 with errno */
MUST_USE int origin_sockets_want(struct origin_sockets *s, int fd, uint32_t events);
/** Nothing is wanted until the next origin_sockets_want. A socket that was not opened by origin_sockets_open leaves the
 *  loop at once: nobody tells us when it is closed and its number stands for another. */
void origin_sockets_unwant(struct origin_sockets *s, int fd);

#endif
