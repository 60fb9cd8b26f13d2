/* load: asks a server over keep-alive connections, checks every answer, and says how fast they came and what CPU time
 * they took. Two ways of asking: each connection again as soon as it is answered, or at a fixed rate, where latency
 * counts from the moment a request was due, so that a server that stops for a while cannot hide it.
 * Prints one line of name=value. Exit status 1 when an answer was wrong or missing. `load` alone prints the options.
 *
 * A connection: FREE -> (request sent) HEAD -> (blank line read) CONTENT -> FREE. Threads: one.                       */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cputime.h"
#include "tests/bench/latency.h"
#include "tests/bench/load_options.h"
#include "tests/bench/net.h"
#include "tests/bench/response.h"

enum { HEAD_MAX = 8192, REQUEST_MAX = 4096, CONTENT_STEP = 65536, EVENTS = 128 };
enum { NUMBER_DIGITS_MAX = 20, OVERTIME_S = 90 };
enum { SETTLE_STEP_MS = 100, SETTLE_STEPS_MAX = 30, SETTLE_QUIET_STEPS = 2 };

#define NS_PER_MS       1000000u
#define NS_PER_S        1000000000u
#define SETTLE_QUIET_NS (1 * NS_PER_MS) /* of CPU time per step: what an idle server's housekeeping may take */

static const char program[] = "load";

enum conn_state { CONN_FREE, CONN_HEAD, CONN_CONTENT };

struct conn {
    int fd;
    enum conn_state state;
    bool closes_after; /* the response said Connection: close */
    bool wrong;        /* this response is not what was expected */
    uint64_t since_ns; /* when the request was sent, or due */
    uint64_t offset;   /* of the next byte of content */
    uint64_t left;     /* bytes of content to come */
    size_t got;        /* bytes in head */
    char head[HEAD_MAX];
};

/* The request around the number. */
struct request_text {
    bool has_number;
    size_t before_len, after_len;
    char before[REQUEST_MAX], after[REQUEST_MAX];
};

struct load {
    struct load_options opt;
    struct request_text text;
    int epoll;
    struct conn *conns;
    struct conn **free; /* a stack of those without a request */
    size_t free_count;
    int *idle;
    uint64_t random, sent_in_all; /* sent_in_all: the order's place, warm-up included */
    uint64_t sent, answered, wrong, reopened;
    uint64_t requests_max; /* of this run; UINT64_MAX: until the time is over */
    struct latency latency;
};

/* ---- requests */

static void text_append(char *to, size_t *len, const char *what, size_t n)
{
    if (n >= REQUEST_MAX - *len) die(program, "the request is too long");
    memcpy(to + *len, what, n);
    *len += n;
}

static void text_append_str(char *to, size_t *len, const char *what)
{
    text_append(to, len, what, strlen(what));
}

static void request_text_make(struct request_text *t, const struct load_options *o)
{
    const char *percent = strchr(o->target, '%');
    t->has_number = percent != NULL;
    text_append_str(t->before, &t->before_len, o->method);
    text_append_str(t->before, &t->before_len, " ");
    if (percent == NULL) {
        text_append_str(t->before, &t->before_len, o->target);
    } else {
        text_append(t->before, &t->before_len, o->target, (size_t)(percent - o->target));
        text_append_str(t->after, &t->after_len, percent + 1);
    }
    text_append_str(t->after, &t->after_len, " HTTP/1.1\r\nHost: bench.example\r\n");
    for (size_t i = 0; i < o->field_count; i++) {
        text_append_str(t->after, &t->after_len, o->fields[i]);
        text_append_str(t->after, &t->after_len, "\r\n");
    }
    if (o->content != NULL) {
        char line[64];
        snprintf(line, sizeof line, "Content-Length: %zu\r\n", strlen(o->content));
        text_append_str(t->after, &t->after_len, line);
    }
    text_append_str(t->after, &t->after_len, "\r\n");
    if (o->content != NULL) text_append_str(t->after, &t->after_len, o->content);
}

/* xorshift64: any numbers do, as long as they are the same in every run. Source: Marsaglia, 2003. */
static uint64_t random_next(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static uint64_t number_next(struct load *l)
{
    const uint64_t prime = 2654435761u; /* above every count allowed but its own: stepping by it meets each number */
    uint64_t k = l->sent_in_all % l->opt.numbers;
    switch (l->opt.order) {
    case ORDER_SEQUENCE: return l->opt.first + k;
    case ORDER_SHUFFLED: return l->opt.first + k * prime % l->opt.numbers;
    case ORDER_RANDOM: break;
    }
    return l->opt.first + random_next(l) % l->opt.numbers;
}

static size_t digits_put(char *to, uint64_t n)
{
    char turned[NUMBER_DIGITS_MAX];
    size_t len = 0;
    do turned[len++] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    for (size_t i = 0; i < len; i++) to[i] = turned[len - 1 - i];
    return len;
}

static void request_send(struct load *l, struct conn *c, uint64_t since_ns)
{
    char text[2 * REQUEST_MAX + NUMBER_DIGITS_MAX];
    size_t len = l->text.before_len;
    memcpy(text, l->text.before, len);
    if (l->text.has_number) len += digits_put(text + len, number_next(l));
    memcpy(text + len, l->text.after, l->text.after_len);
    len += l->text.after_len;
    c->state = CONN_HEAD;
    c->got = 0;
    c->wrong = false;
    c->since_ns = since_ns;
    l->sent++;
    l->sent_in_all++;
    /* A socket that takes no whole request while none is under way is broken; its end shows when it is read. */
    (void)!send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- connections */

static void conn_open(struct load *l, struct conn *c)
{
    c->fd = connect_to(&l->opt.server);
    if (c->fd < 0) {
        errno = -c->fd;
        die(program, "connect");
    }
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) die(program, "epoll_ctl");
    c->state = CONN_FREE;
    c->closes_after = false;
}

static void conn_reopen(struct load *l, struct conn *c)
{
    close(c->fd);
    l->reopened++;
    conn_open(l, c);
}

/* The response is complete, or as complete as it will be. */
static void conn_done(struct load *l, struct conn *c, uint64_t now)
{
    l->answered++;
    l->wrong += c->wrong;
    latency_add(&l->latency, now > c->since_ns ? now - c->since_ns : 0);
    if (c->closes_after)
        conn_reopen(l, c);
    else
        c->state = CONN_FREE;
    l->free[l->free_count++] = c;
}

static void conn_broken(struct load *l, struct conn *c)
{
    bool was_free = c->state == CONN_FREE; /* the server's right: it closes what is idle */
    c->wrong = true;
    c->closes_after = true;
    if (was_free)
        conn_reopen(l, c);
    else
        conn_done(l, c, now_ns());
}

static void content_check(const struct load *l, struct conn *c, const char *at, size_t len)
{
    if (l->opt.verifies)
        for (size_t i = 0; i < len && !c->wrong; i++) c->wrong = at[i] != content_byte(c->offset + i);
    c->offset += len;
    c->left -= len;
}

/* The head is in: compare it with what is expected, and go on to the content. @return false: not to be read on. */
static bool head_take(struct load *l, struct conn *c, const struct response_facts *f)
{
    bool has_content = status_has_content(f->status) && strcmp(l->opt.method, "HEAD") != 0;
    size_t more = c->got - f->head_len;
    if (f->status < 200 || (has_content && !f->has_length)) return false;
    c->offset = 0;
    c->left = has_content ? f->length : 0;
    c->closes_after = f->is_last;
    c->state = CONN_CONTENT;
    if (l->opt.status != UINT64_MAX && (uint64_t)f->status != l->opt.status) c->wrong = true;
    if (l->opt.length != UINT64_MAX && c->left != l->opt.length) c->wrong = true;
    if (more > c->left) return false;
    content_check(l, c, c->head + f->head_len, more);
    return true;
}

/* @return false when the connection can not be used any more. */
static bool head_read(struct load *l, struct conn *c)
{
    ssize_t n = recv(c->fd, c->head + c->got, sizeof c->head - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    c->got += (size_t)n;
    struct response_facts f = response_read(view_of(c->head, c->got));
    if (f.head_len == 0) return c->got < sizeof c->head;
    return head_take(l, c, &f);
}

/* Content that nobody looks at is dropped in the kernel, so that the load generator is not what is measured. */
static bool content_read(struct load *l, struct conn *c)
{
    static char room[CONTENT_STEP];
    size_t want = c->left;
    if (l->opt.verifies && want > sizeof room) want = sizeof room;
    ssize_t n = recv(c->fd, l->opt.verifies ? room : NULL, want, MSG_DONTWAIT | (l->opt.verifies ? 0 : MSG_TRUNC));
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    content_check(l, c, room, (size_t)n);
    return true;
}

static void conn_readable(struct load *l, struct conn *c)
{
    bool good = c->state == CONN_HEAD      ? head_read(l, c)
                : c->state == CONN_CONTENT ? content_read(l, c)
                                           : false; /* bytes or an end that nobody asked for */
    if (!good)
        conn_broken(l, c);
    else if (c->state == CONN_CONTENT && c->left == 0)
        conn_done(l, c, now_ns());
}

/* ---- a run */

static uint64_t due_ns(const struct load *l, uint64_t start_ns, uint64_t now)
{
    return l->opt.rate == 0 ? now : start_ns + l->sent * NS_PER_S / l->opt.rate;
}

/* Give a request to every free connection, as far as requests are due. */
static void requests_send(struct load *l, uint64_t start_ns)
{
    uint64_t now = now_ns();
    while (l->free_count > 0 && l->sent < l->requests_max) {
        uint64_t due = due_ns(l, start_ns, now);
        if (due > now) return;
        request_send(l, l->free[--l->free_count], due);
    }
}

static int events_wait(const struct load *l, struct epoll_event *ev, uint64_t start_ns)
{
    uint64_t wait_ns = 20 * NS_PER_MS, now = now_ns();
    if (l->opt.rate > 0 && l->free_count > 0) {
        uint64_t due = due_ns(l, start_ns, now);
        uint64_t gap = due > now ? due - now : 0;
        if (gap < wait_ns) wait_ns = gap;
    }
    struct timespec t = { .tv_sec = 0, .tv_nsec = (long)wait_ns };
    return epoll_pwait2(l->epoll, ev, EVENTS, &t, NULL);
}

/* Ask until requests_max are answered or the time is over. What is under way then stays under way. */
static void load_run(struct load *l, uint64_t time_ms, uint64_t requests_max)
{
    struct epoll_event ev[EVENTS];
    uint64_t start = now_ns();
    l->sent = l->answered = l->wrong = l->reopened = 0;
    l->latency = (struct latency){ 0 };
    l->requests_max = requests_max;
    while (l->answered < requests_max && now_ns() - start < time_ms * NS_PER_MS) {
        requests_send(l, start);
        int n = events_wait(l, ev, start);
        for (int i = 0; i < n; i++) conn_readable(l, ev[i].data.ptr);
    }
}

/* ---- around it */

/* Ask one request on a blocking socket and read to the end of its content. @return bytes in buf, or -1 */
static ssize_t ask_once(int fd, const char *request, size_t len, char *buf, size_t cap)
{
    size_t got = 0;
    struct response_facts f = { 0 };
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) return -1;
    while (got < cap) {
        ssize_t n = recv(fd, buf + got, cap - got, 0);
        if (n <= 0) return -1;
        got += (size_t)n;
        f = response_read(view_of(buf, got));
        if (f.head_len > 0 && got >= f.head_len + (status_has_content(f.status) ? f.length : 0)) return (ssize_t)got;
    }
    return -1;
}

static uint64_t origin_count(const struct load_options *o)
{
    static const char ask[] = "GET /count HTTP/1.1\r\nHost: origin\r\n\r\n";
    char buf[HEAD_MAX + 1];
    if (o->origin.sin_port == 0) return 0;
    int fd = connect_to(&o->origin);
    ssize_t n = fd < 0 ? -1 : ask_once(fd, ask, sizeof ask - 1, buf, sizeof buf - 1);
    if (n < 0) die(program, "asking the origin for /count");
    close(fd);
    buf[n] = '\0';
    return strtoull(strstr(buf, "\r\n\r\n") + 4, NULL, 10);
}

/* Connections that have asked once and then stay, as browsers' do. */
static void idle_open(struct load *l)
{
    char ask[2 * REQUEST_MAX + 1], *buf = malloc(HEAD_MAX + CONTENT_STEP);
    l->idle = calloc(l->opt.idle + 1, sizeof *l->idle);
    if (l->idle == NULL || buf == NULL) die(program, "no memory");
    snprintf(ask, sizeof ask, "%.*s%s%.*s", (int)l->text.before_len, l->text.before, l->text.has_number ? "0" : "",
             (int)l->text.after_len, l->text.after);
    for (uint64_t i = 0; i < l->opt.idle; i++) {
        l->idle[i] = connect_to(&l->opt.server);
        if (l->idle[i] < 0 || ask_once(l->idle[i], ask, strlen(ask), buf, HEAD_MAX + CONTENT_STEP) < 0)
            die(program, "an idle connection");
    }
    free(buf);
}

static uint64_t idle_still_open(const struct load *l)
{
    uint64_t open = 0;
    char byte;
    for (uint64_t i = 0; i < l->opt.idle; i++)
        open += recv(l->idle[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    return open;
}

/* A store may be written behind the answers; that work belongs to them, so wait until the server does nothing. */
static void settle(const struct cputime *cpu)
{
    struct timespec step = { .tv_sec = 0, .tv_nsec = SETTLE_STEP_MS * (long)NS_PER_MS };
    uint64_t before = cputime_ns(cpu);
    for (int i = 0, quiet = 0; i < SETTLE_STEPS_MAX && quiet < SETTLE_QUIET_STEPS; i++) {
        nanosleep(&step, NULL);
        uint64_t now = cputime_ns(cpu);
        quiet = now - before < SETTLE_QUIET_NS ? quiet + 1 : 0;
        before = now;
    }
}

static void load_open(struct load *l)
{
    size_t n = l->opt.connections;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(n, sizeof *l->conns);
    l->free = calloc(n, sizeof(struct conn *));
    if (l->epoll < 0 || l->conns == NULL || l->free == NULL) die(program, "no memory");
    for (size_t i = 0; i < n; i++) {
        conn_open(l, &l->conns[i]);
        l->free[l->free_count++] = &l->conns[i];
    }
    idle_open(l);
}

static void report(const struct load *l, uint64_t time_ns, uint64_t cpu_ns, uint64_t forwarded)
{
    double answered = l->answered > 0 ? (double)l->answered : 1;
    printf("requests=%llu rps=%.0f cpu_us=%.3f p50_us=%.1f p99_us=%.1f p999_us=%.1f wrong=%llu reopened=%llu "
           "forwarded=%llu idle=%llu\n",
           (unsigned long long)l->answered, (double)l->answered * NS_PER_S / (double)time_ns,
           (double)cpu_ns / answered / 1000, (double)latency_quantile_ns(&l->latency, 0.5) / 1000,
           (double)latency_quantile_ns(&l->latency, 0.99) / 1000,
           (double)latency_quantile_ns(&l->latency, 0.999) / 1000, (unsigned long long)l->wrong,
           (unsigned long long)l->reopened, (unsigned long long)forwarded, (unsigned long long)idle_still_open(l));
}

int main(int argc, char **argv)
{
    static struct load l = { .random = 88172645463325252u };
    struct cputime cpu = { 0 };
    l.opt = load_options_read(argc, argv);
    alarm((unsigned)((l.opt.time_ms + l.opt.warm_ms) / 1000 + OVERTIME_S)); /* whatever happens, it ends */
    (void)prctl(PR_SET_TIMERSLACK, 1);                                      /* else a rate is kept less exactly */
    files_raise();
    request_text_make(&l.text, &l.opt);
    errno = 0;
    if (l.opt.pid > 0 && cputime_find(&cpu, l.opt.pid) != 0) die(program, "the server's process is not there");
    load_open(&l);
    if (l.opt.warm_ms > 0) load_run(&l, l.opt.warm_ms, UINT64_MAX);
    uint64_t forwarded = origin_count(&l.opt), cpu_ns = cputime_ns(&cpu), start = now_ns();
    load_run(&l, l.opt.time_ms, l.opt.requests > 0 ? l.opt.requests : UINT64_MAX);
    uint64_t time_ns = now_ns() - start;
    if (l.opt.settles) settle(&cpu);
    cpu_ns = cputime_ns(&cpu) - cpu_ns;
    report(&l, time_ns, cpu_ns, origin_count(&l.opt) - forwarded);
    return l.wrong > 0 || l.answered == 0 || l.answered < l.opt.requests;
}
