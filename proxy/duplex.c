#include "proxy/duplex.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer that is gone without a word is found out by the kernel in two minutes, however long a tunnel may be idle. */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 15, KEEPALIVE_COUNT = 4 };

static ssize_t socket_receive(struct duplex *d, char *to, size_t cap)
{
    ssize_t n;
    do n = recv(d->fd, to, cap, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t socket_send(struct duplex *d, const char *at, size_t len)
{
    ssize_t n;
    do n = send(d->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void socket_free(struct duplex *d)
{
    free(d);
}

static const struct duplex_ops socket_ops = { socket_receive, socket_send, socket_free };

/* These are of no use to a unix socket, which refuses them. */
static void prepare(int fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

struct duplex *duplex_of_socket(int fd, struct view early)
{
    struct duplex *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    *d = (struct duplex){ .ops = &socket_ops, .fd = fd };
    if (!duplex_keep_early(d, early)) {
        free(d);
        return NULL;
    }
    prepare(fd);
    return d;
}

bool duplex_keep_early(struct duplex *d, struct view early)
{
    if (early.len == 0) return true;
    d->early = malloc(early.len);
    if (d->early == NULL) return false;
    memcpy(d->early, early.at, early.len);
    d->early_len = early.len;
    return true;
}

static ssize_t receive_early(struct duplex *d, char *to, size_t cap)
{
    size_t left = d->early_len - d->early_at, n = left < cap ? left : cap;
    memcpy(to, d->early + d->early_at, n);
    d->early_at += n;
    if (n == left) {
        free(d->early);
        d->early = NULL;
    }
    return (ssize_t)n;
}

ssize_t duplex_receive(struct duplex *d, char *to, size_t cap)
{
    return d->early != NULL ? receive_early(d, to, cap) : d->ops->receive(d, to, cap);
}

ssize_t duplex_send(struct duplex *d, const char *at, size_t len)
{
    return d->ops->send(d, at, len);
}

void duplex_shut(struct duplex *d)
{
    (void)shutdown(d->fd, SHUT_WR); /* fails only where nobody listens any more */
}

void duplex_close(struct duplex *d)
{
    int fd = d->fd;
    free(d->early);
    d->ops->free(d);
    close(fd);
}
