#include "proxy/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>

enum { ROUNDS_PER_TURN = 4 };

enum { CLIENT, SERVER };

struct end {
    struct loop_watch watch; /* first: see on_ready */
    struct tunnel *tunnel;
    struct duplex *duplex;
    uint32_t events; /* watched for; 0: not watched */
};

/* The bytes from one end to the other. */
struct way {
    struct end *from, *to;
    char *held; /* malloc'd: what `to` had no room for */
    size_t held_at, held_len;
    bool ended; /* nothing more comes from `from` */
    bool deaf;  /* `to` takes no more: what still comes is thrown away */
    bool shut;  /* it is over, and `to` has been told */
    bool more;  /* there may be more to read, though epoll might not tell */
    _Atomic uint64_t *bytes;
};

struct tunnel {
    TAILQ_ENTRY(tunnel) in_all;
    struct tunnels *all;
    struct end ends[2];
    struct way ways[2]; /* by where they come from */
    struct loop_timer timer;
    int64_t idle_ms, moved_ms;
    int64_t linger_until_ms; /* 0: nobody is deaf, or both ways still go */
    void (*over)(void *arg);
    void *arg;
};

TAILQ_HEAD(tunnel_list, tunnel);

struct tunnels {
    struct loop *loop;
    struct counters *counters;
    struct tunnel_list open;
    size_t taken; /* places, by open tunnels too */
    bool ended;
    char scratch[TUNNEL_HELD_MAX];
};

/* ---- places */

struct tunnels *tunnels_new(struct loop *loop, struct counters *counters)
{
    struct tunnels *all = malloc(sizeof *all);
    if (all == NULL) return NULL;
    all->loop = loop;
    all->counters = counters;
    all->taken = 0;
    all->ended = false;
    TAILQ_INIT(&all->open);
    return all;
}

bool tunnels_reserve(struct tunnels *all, size_t max)
{
    if (all->ended || all->taken >= max) return false;
    all->taken++;
    return true;
}

void tunnels_release(struct tunnels *all)
{
    all->taken--;
}

/* ---- the end */

static void watch_for(struct end *e, uint32_t events)
{
    struct loop *loop = e->tunnel->all->loop;
    if (events == e->events) return;
    if (events == 0)
        loop_watch_remove(loop, &e->watch);
    else if (e->events != 0)
        loop_watch_set(loop, &e->watch, events);
    else if (loop_watch_add(loop, &e->watch, events) != 0)
        events = 0; /* the tunnel's time-out ends it */
    e->events = events;
}

static void tunnel_close(struct tunnel *t)
{
    struct tunnels *all = t->all;
    TAILQ_REMOVE(&all->open, t, in_all);
    loop_timer_stop(all->loop, &t->timer);
    for (int i = 0; i < 2; i++) {
        watch_for(&t->ends[i], 0);
        duplex_close(t->ends[i].duplex);
        free(t->ways[i].held);
    }
    stats_add(&all->counters->tunnels_open, (uint64_t)-1);
    tunnels_release(all);
    t->over(t->arg);
    free(t);
}

void tunnels_end(struct tunnels *all)
{
    all->ended = true;
    while (!TAILQ_EMPTY(&all->open)) tunnel_close(TAILQ_FIRST(&all->open));
}

void tunnels_free(struct tunnels *all)
{
    if (all == NULL) return;
    tunnels_end(all);
    free(all);
}

/* ---- relaying */

static void drop_held(struct way *w)
{
    free(w->held);
    w->held = NULL;
    w->held_at = w->held_len = 0;
}

static void go_deaf(struct way *w)
{
    drop_held(w);
    w->deaf = true;
}

/* What it sent before is still delivered; what would go to it is not. */
static void end_broke(struct end *e)
{
    struct tunnel *t = e->tunnel;
    struct way *from = &t->ways[e == &t->ends[SERVER]], *to = &t->ways[e == &t->ends[CLIENT]];
    from->ended = true;
    go_deaf(to);
    to->ended = true;
}

/* @return bytes taken; 0: no room now, or never */
static size_t pass_on(struct way *w, const char *at, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        ssize_t n = duplex_send(w->to->duplex, at + sent, len - sent);
        if (n == -EAGAIN) break;
        if (n <= 0) {
            go_deaf(w);
            break;
        }
        sent += (size_t)n;
    }
    if (sent > 0) w->from->tunnel->moved_ms = loop_now_ms(w->from->tunnel->all->loop);
    stats_add(w->bytes, sent);
    return sent;
}

/* @return whether more may be read */
static bool pass_held_on(struct way *w)
{
    if (w->held == NULL) return true;
    size_t sent = pass_on(w, w->held + w->held_at, w->held_len);
    w->held_at += sent;
    w->held_len -= sent;
    if (w->held != NULL && w->held_len == 0) drop_held(w);
    return w->held == NULL;
}

static void hold(struct way *w, const char *at, size_t len)
{
    w->held = malloc(len);
    if (w->held == NULL) {
        end_broke(w->to); /* a gap must not go unnoticed */
        return;
    }
    memcpy(w->held, at, len);
    w->held_at = 0;
    w->held_len = len;
}

/* Once there and back: read, and pass on what was read. @return false: that is all for now */
static bool relay(struct way *w)
{
    char *scratch = w->from->tunnel->all->scratch;
    if (w->ended || !pass_held_on(w)) return false;
    ssize_t n = duplex_receive(w->from->duplex, scratch, TUNNEL_HELD_MAX);
    if (n == -EAGAIN) return false;
    if (n == 0) w->ended = true;
    if (n < 0) end_broke(w->from);
    if (n <= 0 || w->deaf) return n > 0;
    size_t sent = pass_on(w, scratch, (size_t)n);
    if (sent < (size_t)n && !w->deaf) hold(w, scratch + sent, (size_t)n - sent);
    return w->held == NULL && (n == TUNNEL_HELD_MAX || w->from->duplex->deep);
}

static void pump(struct way *w)
{
    w->more = true;
    for (int i = 0; i < ROUNDS_PER_TURN && w->more; i++) w->more = relay(w);
}

static void finish(struct way *w)
{
    if (!w->ended || w->shut || !pass_held_on(w)) return;
    w->shut = true;
    if (!w->deaf) duplex_shut(w->to->duplex);
}

/* ---- what happens next */

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The other way is over, and on this one nobody listens: the client must hear the end of what was said, which closing with
 * unread bytes might take from it. */
static bool only_throws_away(const struct tunnel *t)
{
    const struct way *a = &t->ways[CLIENT], *b = &t->ways[SERVER];
    return (a->shut && b->deaf) || (b->shut && a->deaf);
}

static void set_timer(struct tunnel *t)
{
    int64_t now = loop_now_ms(t->all->loop), at = t->moved_ms + t->idle_ms;
    if (only_throws_away(t)) {
        if (t->linger_until_ms == 0) t->linger_until_ms = now + TUNNEL_LINGER_MS;
        at = min_ms(at, t->linger_until_ms);
    }
    if (t->ways[CLIENT].more || t->ways[SERVER].more) at = now;
    if (t->timer.place == 0 || at < t->timer.at_ms) loop_timer_set(t->all->loop, &t->timer, at);
}

static void watch_again(struct tunnel *t)
{
    for (int i = 0; i < 2; i++) {
        const struct way *out = &t->ways[i], *in = &t->ways[!i];
        watch_for(&t->ends[i],
                  (!out->ended && out->held == NULL ? EPOLLIN : 0) | (in->held != NULL ? (uint32_t)EPOLLOUT : 0));
    }
}

static void go_on(struct tunnel *t)
{
    finish(&t->ways[CLIENT]);
    finish(&t->ways[SERVER]);
    if (t->ways[CLIENT].shut && t->ways[SERVER].shut) {
        tunnel_close(t);
        return;
    }
    watch_again(t);
    set_timer(t);
}

static void on_ready(struct loop_watch *watch, uint32_t events)
{
    struct end *e = (struct end *)watch;
    struct tunnel *t = e->tunnel;
    bool client = e == &t->ends[CLIENT];
    struct way *out = &t->ways[client ? CLIENT : SERVER], *in = &t->ways[client ? SERVER : CLIENT];
    if ((events & EPOLLERR) != 0 && out->held != NULL) end_broke(e); /* which reading would tell, when it is its turn */
    if ((events & ~(uint32_t)EPOLLOUT) != 0) pump(out);
    if ((events & EPOLLOUT) != 0) pump(in);
    go_on(t);
}

/* The timer moves only when it would be late; one that comes early finds that bytes have moved. */
static void on_due(struct loop_timer *timer)
{
    struct tunnel *t = HOLDER_OF(timer, struct tunnel, timer);
    int64_t now = loop_now_ms(t->all->loop);
    bool lingered = t->linger_until_ms != 0 && now >= t->linger_until_ms;
    if (lingered || now >= t->moved_ms + t->idle_ms) {
        tunnel_close(t);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (t->ways[i].more) pump(&t->ways[i]);
    go_on(t);
}

/* ---- the beginning */

static void set_up(struct tunnel *t, const struct tunnel_settings *s)
{
    struct counters *c = t->all->counters;
    struct duplex *const duplexes[] = { [CLIENT] = s->client, [SERVER] = s->server };
    for (int i = 0; i < 2; i++) {
        t->ends[i] = (struct end){ .tunnel = t, .duplex = duplexes[i] };
        t->ends[i].watch = (struct loop_watch){ .ready = on_ready, .fd = duplexes[i]->fd };
        t->ways[i] = (struct way){ .from = &t->ends[i], .to = &t->ends[!i], .more = true };
    }
    t->ways[CLIENT].bytes = &c->tunnel_bytes_received;
    t->ways[SERVER].bytes = &c->tunnel_bytes_sent;
    t->idle_ms = s->idle_ms;
    t->moved_ms = loop_now_ms(t->all->loop);
    t->timer.due = on_due;
    t->over = s->over;
    t->arg = s->arg;
}

void tunnel_open(struct tunnels *all, const struct tunnel_settings *s)
{
    struct tunnel *t = all->ended ? NULL : calloc(1, sizeof *t);
    if (t == NULL) {
        duplex_close(s->client);
        duplex_close(s->server);
        tunnels_release(all);
        s->over(s->arg);
        return;
    }
    t->all = all;
    set_up(t, s);
    TAILQ_INSERT_TAIL(&all->open, t, in_all);
    stats_add(&all->counters->tunnels, 1);
    stats_add(&all->counters->tunnels_open, 1);
    go_on(t); /* the first bytes move in the loop's next turn, not inside the caller's library */
}
