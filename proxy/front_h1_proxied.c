/* Connections that begin with a PROXY protocol header. It is looked at where it lies, and taken only when all of it is there,
 * so that the client's first byte stays in the socket for MHD. A balancer sends it in one piece, at once: until it is
 * whole the loop looks at the socket from time to time, as one that is peeked at stays ready. */
#include "proxy/front_h1.h"
#include "proxy/proxy_protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 5 };

struct proxied {
    struct front *front;
    struct proxied *next, *prev;
    struct loop_watch watch;
    struct loop_timer timer; /* for looking again, or for giving up */
    int64_t until_ms;
    bool watching;
    struct sockaddr_storage peer;
    socklen_t peer_len;
};

/* @return the socket, which is the caller's now */
static int proxied_end(struct proxied *p)
{
    struct front *f = p->front;
    int fd = p->watch.fd;
    loop_timer_stop(f->loop, &p->timer);
    if (p->watching) loop_watch_remove(f->loop, &p->watch);
    if (p->next != NULL) p->next->prev = p->prev;
    *(p->prev != NULL ? &p->prev->next : &f->proxied) = p->next;
    f->conn_count--;
    free(p);
    front_accept_more(f);
    return fd;
}

static void take_in(struct proxied *p, const struct proxy_header *h)
{
    uint8_t header[PROXY_HEADER_MAX];
    struct front *f = p->front;
    struct sockaddr_storage peer = p->peer;
    socklen_t len = p->peer_len;
    if (h->has_client) {
        len = h->client_len;
        memcpy(&peer, &h->client, len);
    }
    int fd = proxied_end(p);
    if (recv(fd, header, h->len, MSG_DONTWAIT) != (ssize_t)h->len) {
        close(fd); /* it was there a moment ago */
        return;
    }
    (void)MHD_add_connection(f->daemon, fd, (struct sockaddr *)&peer, len); /* which closes fd when it fails */
}

static void look(struct proxied *p)
{
    uint8_t bytes[PROXY_HEADER_MAX];
    struct proxy_header h;
    int64_t now_ms = loop_now_ms(p->front->loop);
    ssize_t n = recv(p->watch.fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    bool nothing_yet = n < 0 && (errno == EAGAIN || errno == EINTR);
    enum proxy_header_verdict verdict = n > 0         ? proxy_header_parse(bytes, (size_t)n, &h)
                                        : nothing_yet ? PROXY_HEADER_UNFINISHED
                                                      : PROXY_HEADER_BAD;
    if (verdict == PROXY_HEADER_WHOLE) {
        take_in(p, &h);
    } else if (verdict == PROXY_HEADER_BAD || now_ms >= p->until_ms) {
        close(proxied_end(p));
    } else if (n > 0) {
        if (p->watching) loop_watch_remove(p->front->loop, &p->watch);
        p->watching = false;
        loop_timer_set(p->front->loop, &p->timer, now_ms + LOOK_AGAIN_MS);
    }
}

static void ready(struct loop_watch *w, uint32_t events)
{
    (void)events;
    look(HOLDER_OF(w, struct proxied, watch));
}

static void due(struct loop_timer *t)
{
    look(HOLDER_OF(t, struct proxied, timer));
}

void front_proxied_begin(struct front *f, int fd, const struct sockaddr *peer, socklen_t len)
{
    struct proxied *p = calloc(1, sizeof *p);
    if (p == NULL) {
        close(fd);
        return;
    }
    p->front = f;
    p->watch = (struct loop_watch){ .ready = ready, .fd = fd };
    p->timer.due = due;
    p->until_ms = loop_now_ms(f->loop) + f->settings.head_ms;
    p->peer_len = len;
    memcpy(&p->peer, peer, len);
    p->next = f->proxied;
    if (p->next != NULL) p->next->prev = p;
    f->proxied = p;
    f->conn_count++;
    p->watching = loop_watch_add(f->loop, &p->watch, EPOLLIN) == 0;
    loop_timer_set(f->loop, &p->timer, p->until_ms);
    if (!p->watching) close(proxied_end(p));
}

void front_proxied_stop(struct front *f)
{
    while (f->proxied != NULL) close(proxied_end(f->proxied));
}
