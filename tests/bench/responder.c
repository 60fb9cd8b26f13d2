#include "tests/bench/responder.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { REQUEST_MAX = 4096, EVENTS = 64, CONTENT_SIZE_MAX = 1 << 30 };

struct client {
    int fd;
    size_t got;          /* bytes of the request so far */
    bool waits_to_write; /* registered for EPOLLOUT */
    struct view head, content;
    char request[REQUEST_MAX];
    char head_kept[REPLY_HEAD_MAX]; /* the rest of a head built in reply.room that did not go out at once */
};

struct loop {
    const char *program;
    int epoll, listener;
    answer_fn answer;
    void *with;
};

static void client_close(struct client *c)
{
    close(c->fd);
    free(c);
}

static void clients_accept(struct loop *l)
{
    int fd, on = 1;
    while ((fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        if (c == NULL) {
            close(fd);
            return;
        }
        c->fd = fd;
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
            epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
            client_close(c);
    }
}

/* Send what is left; bytes sent, or -1 with errno. A reply in one piece takes the cheaper call. */
static ssize_t reply_send(int fd, const struct client *c)
{
    if (c->content.len == 0) return send(fd, c->head.at, c->head.len, MSG_NOSIGNAL);
    struct iovec iov[2] = { { (void *)(uintptr_t)c->head.at, c->head.len },
                            { (void *)(uintptr_t)c->content.at, c->content.len } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void interest_set(struct loop *l, struct client *c, bool write)
{
    struct epoll_event ev = { .events = write ? EPOLLOUT : EPOLLIN, .data.ptr = c };
    if (c->waits_to_write == write) return;
    c->waits_to_write = write;
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0) die(l->program, "epoll_ctl");
}

/* Send as much as the socket takes. @return false when the connection is gone. */
static bool client_write(struct loop *l, struct client *c)
{
    while (c->head.len + c->content.len > 0) {
        ssize_t n = reply_send(c->fd, c);
        if (n < 0 && errno != EAGAIN) return false;
        if (n < 0) break;
        size_t of_head = (size_t)n < c->head.len ? (size_t)n : c->head.len;
        c->head = view_after(c->head, of_head);
        c->content = view_after(c->content, (size_t)n - of_head);
    }
    interest_set(l, c, c->head.len + c->content.len > 0);
    return true;
}

static bool client_answer(struct loop *l, struct client *c)
{
    struct reply r;
    r.content = view_of(NULL, 0);
    l->answer(l->with, view_of(c->request, c->got), &r);
    c->got = 0;
    c->head = r.head;
    c->content = r.content;
    if (!client_write(l, c)) return false;
    if (c->head.len > 0 && r.head.at == r.room) {
        memcpy(c->head_kept, c->head.at, c->head.len);
        c->head.at = c->head_kept;
    }
    return true;
}

/* Receive; answer once the head is complete. @return false when the connection is over. */
static bool client_read(struct loop *l, struct client *c)
{
    ssize_t n = recv(c->fd, c->request + c->got, sizeof c->request - c->got, 0);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    c->got += (size_t)n;
    if (c->got < 4 || memcmp(c->request + c->got - 4, "\r\n\r\n", 4) != 0) return c->got < sizeof c->request;
    return client_answer(l, c);
}

static void loop_turn(struct loop *l)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(l->epoll, ev, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        struct client *c = ev[i].data.ptr;
        if (c == NULL)
            clients_accept(l);
        else if (!(c->waits_to_write ? client_write(l, c) : client_read(l, c)))
            client_close(c);
    }
}

_Noreturn void responder_run(const char *program, const struct sockaddr_in *at, answer_fn answer, void *with)
{
    files_raise();
    struct loop l = { .program = program, .answer = answer, .with = with };
    l.listener = listen_on(at);
    if (l.listener < 0) {
        errno = -l.listener;
        die(program, "listen");
    }
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
    if (l.epoll < 0 || epoll_ctl(l.epoll, EPOLL_CTL_ADD, l.listener, &ev) != 0) die(program, "epoll");
    for (;;) loop_turn(&l);
}

size_t request_size(struct view request)
{
    static const char before[] = "GET /s/";
    size_t size = 0;
    if (!view_starts_with(request, view_of(before, sizeof before - 1))) return 0;
    for (size_t i = sizeof before - 1; i < request.len && request.at[i] >= '0' && request.at[i] <= '9'; i++) {
        size = size * 10 + (size_t)(request.at[i] - '0');
        if (size > CONTENT_SIZE_MAX) return 0;
    }
    return size;
}

const char *content_make(const char *program, size_t size)
{
    char *to = malloc(size + 1); /* one more, so that no content is a block of no bytes */
    if (to == NULL) die(program, "no memory for the content");
    for (size_t i = 0; i < size; i++) to[i] = content_byte(i);
    return to;
}
