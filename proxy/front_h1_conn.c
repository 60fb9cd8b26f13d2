#include "proxy/front_h1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h> /* glibc's tcp_info ends before the byte counters */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct acceptor {
    struct loop_watch watch;
    struct front *front;
    struct acceptor *next;
    bool (*believes)(void *arg, const struct sockaddr *peer); /* a PROXY protocol header comes first; NULL: none does */
    void *arg;
};

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- accepting */

static void accept_set(struct front *f, bool paused)
{
    f->accept_paused = paused;
    for (struct acceptor *a = f->acceptors; a != NULL; a = a->next) {
        loop_watch_set(f->loop, &a->watch, paused ? 0 : EPOLLIN);
    }
}

void front_accept_resume(struct loop_timer *t)
{
    struct front *f = HOLDER_OF(t, struct front, accept_timer);
    accept_set(f, false);
}

void front_accept_more(struct front *f)
{
    if (!f->accept_paused || !f->accept_at_limit) return;
    loop_timer_stop(f->loop, &f->accept_timer);
    accept_set(f, false);
}

/* Nothing to accept with: newcomers wait in the backlog. At the limit the next connection to close resumes at once. */
static void accept_pause(struct front *f, bool at_limit)
{
    accept_set(f, true);
    f->accept_at_limit = at_limit;
    loop_timer_set(f->loop, &f->accept_timer, loop_now_ms(f->loop) + ACCEPT_PAUSE_MS);
}

static bool is_full(const struct front *f)
{
    return f->conn_count >= f->settings.connections_max;
}

/* Who asks for nothing, or takes long to ask, makes room for a newcomer who may; those who have just come are spared. */
static void make_room(struct front *f)
{
    int64_t spared_ms = f->settings.head_ms / 15, now = loop_now_ms(f->loop);
    for (int looks = 0; looks < ROOM_LOOKS_MAX && f->conns != NULL; looks++) {
        struct conn *c = f->hand != NULL ? f->hand : f->conns;
        f->hand = c->next;
        if (c->gone || now - c->waiting_since_ms < spared_ms || !front_conn_is_idle(c)) continue;
        front_conn_break(c);
        return;
    }
}

/* @return whether another one may be tried */
static bool accept_one(struct front *f, const struct acceptor *a)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    if (is_full(f)) return false;
    int fd = accept4(a->watch.fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && a->believes != NULL) {
        if (a->believes(a->arg, (struct sockaddr *)&address))
            front_proxied_begin(f, fd, (struct sockaddr *)&address, len);
        else
            close(fd);
        return true;
    }
    if (fd >= 0) {
        (void)MHD_add_connection(f->daemon, fd, (struct sockaddr *)&address, len); /* which closes fd when it fails */
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) accept_pause(f, false);
    return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

static void accept_ready(struct loop_watch *w, uint32_t events)
{
    struct acceptor *a = (struct acceptor *)w;
    (void)events;
    if (is_full(a->front)) {
        make_room(a->front);
        accept_pause(a->front, true);
    }
    for (int n = 0; n < ACCEPTS_PER_TURN && accept_one(a->front, a); n++) {
    }
}

static int front_listen_as(struct front *f, int fd, bool (*believes)(void *arg, const struct sockaddr *peer), void *arg)
{
    struct acceptor *a = calloc(1, sizeof(*a));
    if (a == NULL) return -ENOMEM;
    *a = (struct acceptor){
        .watch = { .ready = accept_ready, .fd = fd }, .front = f, .next = f->acceptors, .believes = believes, .arg = arg
    };
    int rc = loop_watch_add(f->loop, &a->watch, f->accept_paused ? 0 : EPOLLIN);
    if (rc != 0) {
        free(a);
        return rc;
    }
    f->acceptors = a;
    return 0;
}

int front_listen(struct front *f, int fd)
{
    return front_listen_as(f, fd, NULL, NULL);
}

int front_listen_proxied(struct front *f, int fd, bool (*believes)(void *arg, const struct sockaddr *peer), void *arg)
{
    return front_listen_as(f, fd, believes, arg);
}

/* Whoever is in the backlog has been connected by the kernel in our name, so is taken in before the door closes. */
void front_accept_stop(struct front *f)
{
    loop_timer_stop(f->loop, &f->accept_timer);
    while (f->acceptors != NULL) {
        struct acceptor *a = f->acceptors;
        while (!f->stopping && accept_one(f, a)) {
        }
        f->acceptors = a->next;
        loop_watch_remove(f->loop, &a->watch);
        close(a->watch.fd);
        free(a);
    }
}

/* ---- deadlines
 * One timer for each connection, which looks at it every quarter of head_ms, amid a request each second; a request pays for
 * none of this. MHD reads
 * heads unseen, but the kernel counts the bytes that came in and those the client acknowledged. */

struct tcp_counts {
    bool known; /* else nothing can be held against the client */
    bool closed_by_client;
    uint64_t received, acked;
};

static struct tcp_counts tcp_counts(int fd)
{
    enum { TCP_STATE_CLOSE_WAIT = 8 };
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) return (struct tcp_counts){ .known = false };
    return (struct tcp_counts){
        .known = len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received),
        .closed_by_client = info.tcpi_state == TCP_STATE_CLOSE_WAIT,
        .received = info.tcpi_bytes_received,
        .acked = info.tcpi_bytes_acked,
    };
}

/* A request is under way: the client must send or take something from time to time. While parked it is not its turn.
 * One that closed amid its upload will not: MHD may have heard of its last bytes and of the close in one event, and
 * have taken note of the bytes only. */
static bool is_stalled(struct conn *c, int64_t now, const struct tcp_counts *t)
{
    const struct front_stream *s = c->stream;
    if (s->early != NULL && !front_early_waits(s)) return now >= s->early_until_ms;
    bool moved = t->received != c->received_seen || t->acked != c->acked_seen;
    if (s->parked != NOT_PARKED || moved || !t->known) {
        c->progress_ms = now;
        return false;
    }
    if (t->closed_by_client && s->request.has_content && !s->content_over) return true;
    int64_t stalled_ms = now - c->progress_ms;
    if (stalled_ms >= c->front->settings.content_stall_ms) return true;
    const struct front_handler *handler = &c->front->handler;
    return stalled_ms >= FRONT_GIVE_WAY_MS && handler->gives_way != NULL && handler->gives_way(s->context);
}

/* No request is under way: there is idle_ms until one begins, and head_ms from its first byte to its last. A client
 * that closed together with its last request is gone, and MHD does not know, as above. */
static bool is_overdue(struct conn *c, int64_t now, const struct tcp_counts *t)
{
    if (c->requests_seen != c->requests) {
        c->requests_seen = c->requests; /* what is counted by now belongs to requests already served */
        c->head_since_ms = -1;
    } else if (t->known && t->received != c->received_seen && c->head_since_ms < 0) {
        c->head_since_ms = now;
    }
    if (t->closed_by_client) return true;
    if (c->head_since_ms >= 0) return now - c->head_since_ms >= c->front->settings.head_ms;
    return now - c->waiting_since_ms >= (c->front->draining ? DRAIN_FRESH_MS : c->front->settings.idle_ms);
}

/* Who has come to a halt amid a request may have to give way, and soon. */
static int64_t look_again_ms(const struct conn *c)
{
    const struct front_settings *set = &c->front->settings;
    if (c->stream == NULL) return 1 + min_ms(set->head_ms, set->idle_ms) / 4;
    return min_ms(1 + min_ms(set->head_ms, set->content_stall_ms) / 4, REQUEST_LOOK_MS);
}

static void deadline_look(struct loop_timer *t)
{
    struct conn *c = HOLDER_OF(t, struct conn, timer);
    int64_t now = loop_now_ms(c->front->loop);
    struct tcp_counts counts = tcp_counts(c->fd);
    bool waits = c->stream == NULL;
    bool late = waits ? is_overdue(c, now, &counts) : is_stalled(c, now, &counts);
    c->received_seen = counts.received;
    c->acked_seen = counts.acked;
    if (!late) {
        loop_timer_set(c->front->loop, t, now + look_again_ms(c));
        return;
    }
    if (waits && c->head_since_ms >= 0 && !c->refused_by_us && !counts.closed_by_client) front_send_refusal(c, 408);
    front_conn_break(c);
}

void front_conn_waits(struct conn *c)
{
    c->waiting_since_ms = loop_now_ms(c->front->loop);
    c->requests++;
}

void front_conn_break(struct conn *c)
{
    c->gone = true;
    shutdown(c->fd, SHUT_RDWR);
    if (c->stream != NULL) front_unpark(c->stream);
}

/* ---- closing in stages (RFC 9112 §9.6): a socket closed with content unread is reset, and the reset may overtake
 * the answer. So a copy of the socket is read for a while after MHD has closed its own, which says to the client that
 * no more comes. */

struct lingerer {
    struct loop_watch watch;
    struct loop_timer timer;
    struct front *front;
    struct lingerer *next, *prev;
    size_t left;
};

static void linger_end(struct lingerer *l)
{
    struct front *f = l->front;
    loop_timer_stop(f->loop, &l->timer);
    loop_watch_remove(f->loop, &l->watch);
    close(l->watch.fd);
    if (l->next != NULL) l->next->prev = l->prev;
    *(l->prev != NULL ? &l->prev->next : &f->lingerers) = l->next;
    f->linger_count--;
    free(l);
}

static void linger_due(struct loop_timer *t)
{
    linger_end(HOLDER_OF(t, struct lingerer, timer));
}

static void linger_ready(struct loop_watch *w, uint32_t events)
{
    struct lingerer *l = (struct lingerer *)w;
    (void)events;
    ssize_t n = recv(w->fd, NULL, l->left, MSG_TRUNC | MSG_DONTWAIT); /* thrown away in the kernel */
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) l->left -= (size_t)n;
    if (n <= 0 || l->left == 0) linger_end(l);
}

void front_conn_linger(struct conn *c)
{
    struct front *f = c->front;
    if (c->gone || f->stopping || f->linger_count == LINGERERS_MAX) return;
    struct lingerer *l = calloc(1, sizeof(*l));
    if (l == NULL) return;
    l->watch = (struct loop_watch){ .ready = linger_ready, .fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0) };
    if (l->watch.fd < 0 || loop_watch_add(f->loop, &l->watch, EPOLLIN) != 0) {
        if (l->watch.fd >= 0) close(l->watch.fd);
        free(l);
        return;
    }
    l->front = f;
    l->left = LINGER_BYTES_MAX;
    l->timer.due = linger_due;
    loop_timer_set(f->loop, &l->timer, loop_now_ms(f->loop) + LINGER_MS);
    l->next = f->lingerers;
    if (l->next != NULL) l->next->prev = l;
    f->lingerers = l;
    f->linger_count++;
}

void front_linger_stop(struct front *f)
{
    while (f->lingerers != NULL) linger_end(f->lingerers);
}

bool front_conn_is_idle(const struct conn *c)
{
    int waiting = 0;
    return c->stream == NULL && !c->refused_by_us && ioctl(c->fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

/* ---- clients that leave while parked: MHD has taken the socket out of its epoll and would not notice */

static void leave_ready(struct loop_watch *w, uint32_t events)
{
    struct conn *c = HOLDER_OF(w, struct conn, leave);
    (void)events; /* the client closed or reset: either way nobody listens for the answer */
    front_conn_unwatch(c);
    front_conn_break(c);
}

void front_conn_watch(struct conn *c)
{
    if (c->watching) return;
    c->leave = (struct loop_watch){ .ready = leave_ready, .fd = c->fd };
    c->watching = loop_watch_add(c->front->loop, &c->leave, EPOLLRDHUP) == 0;
}

void front_conn_unwatch(struct conn *c)
{
    if (c->watching) loop_watch_remove(c->front->loop, &c->leave);
    c->watching = false;
}

/* ---- life */

struct front_peer front_peer_of(const struct conn *c)
{
    return (struct front_peer){ .address = &c->address.any, .address_len = c->address_len, .text = c->address_text };
}

static void peer_set(struct conn *c, const struct sockaddr *address)
{
    const void *number = &c->address.v4.sin_addr;
    c->address_len = address->sa_family == AF_INET6 ? sizeof(c->address.v6) : sizeof(c->address.v4);
    memcpy(&c->address, address, c->address_len);
    if (address->sa_family == AF_INET6) number = &c->address.v6.sin6_addr;
    if (inet_ntop(address->sa_family, number, c->address_text, sizeof(c->address_text)) == NULL) {
        memcpy(c->address_text, "unknown", sizeof("unknown"));
    }
}

static struct conn *conn_new(struct front *f, struct MHD_Connection *mhd)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL) return NULL;
    c->front = f;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    peer_set(c, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    c->waiting_since_ms = loop_now_ms(f->loop);
    c->progress_ms = c->waiting_since_ms;
    c->head_since_ms = -1;
    c->timer.due = deadline_look;
    loop_timer_set(f->loop, &c->timer, c->waiting_since_ms + min_ms(look_again_ms(c), REQUEST_LOOK_MS));
    c->next = f->conns;
    if (f->conns != NULL) f->conns->prev = c;
    f->conns = c;
    f->conn_count++;
    return c;
}

static void conn_free(struct conn *c)
{
    struct front *f = c->front;
    front_conn_unwatch(c);
    front_head_over(c);
    loop_timer_stop(f->loop, &c->timer);
    if (c->next != NULL) c->next->prev = c->prev;
    *(c->prev != NULL ? &c->prev->next : &f->conns) = c->next;
    f->conn_count--;
    if (f->hand == c) f->hand = c->next;
    free(c);
    front_accept_more(f);
}

/* Without memory for a connection its context stays NULL, and its first request closes it. */
void front_conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = conn_new(cls, mhd);
    } else if (*socket_context != NULL) {
        conn_free(*socket_context);
        *socket_context = NULL;
    }
}

struct conn *front_conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}
