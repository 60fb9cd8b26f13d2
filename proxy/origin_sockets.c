#include "proxy/origin_sockets.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TABLE_GROWS_BY = 64 };

struct origin_socket {
    struct loop_watch watch; /* first: see on_ready */
    struct origin_sockets *all;
    uint32_t events;
    bool watched; /* by the loop */
    bool wanted;  /* by the library */
    bool ours;    /* from origin_sockets_open */
};

struct origin_sockets {
    struct loop *loop;
    void (*ready)(void *arg, int fd, uint32_t events);
    void *arg;
    struct origin_socket **by_fd;
    size_t cap;
};

static struct origin_socket *find(const struct origin_sockets *s, int fd)
{
    return (size_t)fd < s->cap ? s->by_fd[fd] : NULL;
}

static bool reserve(struct origin_sockets *s, size_t count)
{
    if (count <= s->cap) return true;
    size_t cap = count + TABLE_GROWS_BY;
    struct origin_socket **grown = realloc(s->by_fd, cap * sizeof(struct origin_socket *));
    if (grown == NULL) return false;
    memset(grown + s->cap, 0, (cap - s->cap) * sizeof(struct origin_socket *));
    s->by_fd = grown;
    s->cap = cap;
    return true;
}

static struct origin_socket *find_or_add(struct origin_sockets *s, int fd)
{
    if (!reserve(s, (size_t)fd + 1)) return NULL;
    if (s->by_fd[fd] == NULL) s->by_fd[fd] = calloc(1, sizeof(struct origin_socket));
    if (s->by_fd[fd] != NULL) s->by_fd[fd]->all = s;
    return s->by_fd[fd];
}

static void unwatch(struct origin_socket *socket)
{
    if (socket->watched) loop_watch_remove(socket->all->loop, &socket->watch);
    socket->watched = false;
}

static void on_ready(struct loop_watch *w, uint32_t events)
{
    struct origin_socket *socket = (struct origin_socket *)w;
    if (socket->wanted) {
        socket->all->ready(socket->all->arg, w->fd, events);
    } else {
        unwatch(socket); /* an idle connection that was closed, as a rule: the library finds out when it wants it */
    }
}

struct origin_sockets *origin_sockets_new(struct loop *loop, void (*ready)(void *arg, int fd, uint32_t events),
                                          void *arg)
{
    struct origin_sockets *s = calloc(1, sizeof(*s));
    if (s != NULL) *s = (struct origin_sockets){ .loop = loop, .ready = ready, .arg = arg };
    return s;
}

void origin_sockets_free(struct origin_sockets *s)
{
    if (s == NULL) return;
    for (size_t fd = 0; fd < s->cap; fd++) free(s->by_fd[fd]);
    free(s->by_fd);
    free(s);
}

int origin_sockets_open(struct origin_sockets *s, int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) return -1;
    struct origin_socket *socket = find_or_add(s, fd);
    if (socket == NULL) {
        close(fd);
        return -1;
    }
    socket->ours = true;
    socket->wanted = false;
    return fd;
}

int origin_sockets_close(struct origin_sockets *s, int fd)
{
    struct origin_socket *socket = find(s, fd);
    if (socket != NULL) {
        unwatch(socket);
        socket->wanted = socket->ours = false;
    }
    return close(fd);
}

int origin_sockets_want(struct origin_sockets *s, int fd, uint32_t events)
{
    struct origin_socket *socket = find_or_add(s, fd);
    if (socket == NULL) return -1;
    socket->wanted = true;
    if (socket->watched && socket->events == events) return 0;
    socket->events = events;
    if (socket->watched) {
        loop_watch_set(s->loop, &socket->watch, events);
        return 0;
    }
    socket->watch = (struct loop_watch){ .ready = on_ready, .fd = fd };
    socket->watched = loop_watch_add(s->loop, &socket->watch, events) == 0;
    return socket->watched ? 0 : -1;
}

void origin_sockets_unwant(struct origin_sockets *s, int fd)
{
    struct origin_socket *socket = find(s, fd);
    if (socket == NULL) return;
    socket->wanted = false;
    if (!socket->ours) unwatch(socket);
}
