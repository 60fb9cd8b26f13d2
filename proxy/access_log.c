#include "proxy/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct access_buffer {
    struct access_buffer *next;
    size_t len, lines;
    char text[ACCESS_BUFFER_BYTES];
};

struct access_log {
    char *path; /* malloc'd */
    void (*say)(void *arg, const char *line);
    void *say_arg;
    int fd;       /* the writing thread's */
    bool failing; /* likewise */
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct access_buffer *full, **full_end; /* the oldest first */
    struct access_buffer *spare;
    size_t buffers; /* made so far */
    bool reopen, closing, ended;
    _Atomic uint64_t lost;
};

struct access_lines {
    struct access_log *log;
    struct loop *loop;
    struct loop_timer timer; /* armed while there are lines */
    struct access_buffer *buffer;
};

/* ---- a line */

struct line {
    char *to;
    size_t len;
};

static void put(struct line *l, struct view v)
{
    memcpy(l->to + l->len, v.at, v.len);
    l->len += v.len;
}

/* As other servers do: what could end the member or the line, or is not ASCII, is written as \xHH. */
static void put_escaped(struct line *l, struct view v, size_t most)
{
    static const char digits[] = "0123456789abcdef";
    size_t end = l->len + most - 4;
    if (v.len == 0) l->to[l->len++] = '-';
    for (size_t i = 0; i < v.len && l->len <= end; i++) {
        unsigned char c = (unsigned char)v.at[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            l->to[l->len++] = (char)c;
            continue;
        }
        l->to[l->len++] = '\\';
        l->to[l->len++] = 'x';
        l->to[l->len++] = digits[c >> 4];
        l->to[l->len++] = digits[c & 15];
    }
}

/* A member without quotation marks ends at a blank. */
static void put_word(struct line *l, struct view v)
{
    size_t from = l->len;
    put_escaped(l, v, ACCESS_MEMBER_MAX);
    for (size_t i = from; i < l->len; i++)
        if (l->to[i] == ' ') l->to[i] = '+';
}

static void put_number(struct line *l, uint64_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(l, view_of(digits + at, sizeof digits - at));
}

static void put_time(struct line *l, int64_t now_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t;
    time_t at = (time_t)now_s;
    if (gmtime_r(&at, &t) == NULL) t = (struct tm){ .tm_mday = 1, .tm_year = 70 };
    l->len += (size_t)sprintf(l->to + l->len, "[%02d/%.3s/%04d:%02d:%02d:%02d +0000]", t.tm_mday, months + 3 * t.tm_mon,
                              t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void put_request(struct line *l, const struct access_entry *e)
{
    if (e->method.len == 0) {
        put(l, VIEW("\"-\" "));
        return;
    }
    put(l, VIEW("\""));
    put_escaped(l, e->method, ACCESS_MEMBER_MAX);
    put(l, VIEW(" "));
    put_escaped(l, e->target, ACCESS_TARGET_MAX);
    put(l, e->http_minor == 0 ? VIEW(" HTTP/1.0\" ") : VIEW(" HTTP/1.1\" "));
}

static void put_quoted(struct line *l, struct view v)
{
    put(l, VIEW(" \""));
    put_escaped(l, v, ACCESS_MEMBER_MAX);
    put(l, VIEW("\""));
}

size_t access_line_format(const struct access_entry *e, char to[ACCESS_LINE_MAX])
{
    struct line l = { to, 0 };
    char status[OUTCOME_TEXT_MAX];
    struct view outcome = { status, e->outcome != NULL ? outcome_format(e->outcome, status, sizeof status) : 0 };
    put_word(&l, e->client);
    put(&l, VIEW(" - - "));
    put_time(&l, e->now_s);
    put(&l, VIEW(" "));
    put_request(&l, e);
    put_number(&l, (uint64_t)e->status);
    put(&l, VIEW(" "));
    put_number(&l, e->bytes);
    put_quoted(&l, e->referer);
    put_quoted(&l, e->agent);
    put(&l, VIEW(" "));
    put_word(&l, e->host);
    put_quoted(&l, outcome);
    put(&l, VIEW(" "));
    put_word(&l, e->route);
    put(&l, VIEW(" "));
    put_number(&l, e->took_us > 0 ? (uint64_t)e->took_us : 0);
    put(&l, VIEW("\n"));
    return l.len;
}

/* ---- writing */

/* A pipe that nobody reads is an error (ENXIO), and nothing to wait for. */
static int open_file(const char *path)
{
    if (strcmp(path, "-") == 0) return STDOUT_FILENO;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd >= 0) (void)fcntl(fd, F_SETFL, O_APPEND); /* writing may wait: it has a thread of its own */
    return fd;
}

static void close_file(int fd)
{
    if (fd >= 0 && fd != STDOUT_FILENO) close(fd);
}

static void say_state(struct access_log *l, bool failing, int error)
{
    char line[512];
    if (failing == l->failing) return;
    l->failing = failing;
    if (failing)
        snprintf(line, sizeof line, "access log %.300s: %s; requests are served, their lines are lost", l->path,
                 strerror(error));
    else
        snprintf(line, sizeof line, "access log %.300s: written again", l->path);
    l->say(l->say_arg, line);
}

/* A file that cannot be opened leaves the old one in use. */
static void open_again(struct access_log *l)
{
    int fd = open_file(l->path);
    if (fd < 0) {
        say_state(l, true, errno);
        return;
    }
    if (fd != l->fd) close_file(l->fd);
    l->fd = fd;
}

static bool write_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void write_buffer(struct access_log *l, struct access_buffer *b)
{
    if (write_all(l->fd, b->text, b->len)) {
        say_state(l, false, 0);
        return;
    }
    say_state(l, true, errno);
    l->lost += b->lines;
}

static void *log_run(void *arg)
{
    struct access_log *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->full == NULL && !l->closing && !l->reopen) pthread_cond_wait(&l->changed, &l->lock);
        struct access_buffer *b = l->full;
        bool reopen = l->reopen;
        if (b == NULL && !reopen) break; /* closing, and all is written */
        if (b != NULL) l->full = b->next;
        if (l->full == NULL) l->full_end = &l->full;
        l->reopen = false;
        pthread_mutex_unlock(&l->lock);
        if (reopen) open_again(l);
        if (b != NULL) write_buffer(l, b);
        pthread_mutex_lock(&l->lock);
        if (b != NULL) b->next = l->spare, l->spare = b;
    }
    l->ended = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

struct access_log *access_log_open(const char *path, void (*say)(void *arg, const char *line), void *say_arg, char *why,
                                   size_t cap)
{
    struct access_log *l = calloc(1, sizeof *l);
    if (l == NULL) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    *l = (struct access_log){ .path = strdup(path), .say = say, .say_arg = say_arg, .fd = open_file(path) };
    l->full_end = &l->full;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (l->fd < 0)
        snprintf(why, cap, "access log %.300s: %s", path, strerror(errno));
    else if (l->path == NULL)
        snprintf(why, cap, "out of memory");
    else if (pthread_create(&l->thread, NULL, log_run, l) != 0)
        snprintf(why, cap, "cannot start a thread");
    else
        return l;
    close_file(l->fd);
    free(l->path);
    free(l);
    return NULL;
}

void access_log_reopen(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    l->reopen = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

uint64_t access_log_lost(struct access_log *l)
{
    return l->lost;
}

/* @return false: it writes still, to something that stands still */
static bool end_thread(struct access_log *l)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ACCESS_CLOSE_S;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    while (!l->ended && pthread_cond_timedwait(&l->changed, &l->lock, &until) == 0) {
    }
    bool ended = l->ended;
    pthread_mutex_unlock(&l->lock);
    if (ended) pthread_join(l->thread, NULL);
    return ended;
}

void access_log_close(struct access_log *l)
{
    char line[512];
    if (l == NULL) return;
    if (!end_thread(l)) {
        snprintf(line, sizeof line, "access log %.300s: stands still; the last lines are lost", l->path);
        l->say(l->say_arg, line);
        return; /* all of it is the thread's, until the process ends */
    }
    close_file(l->fd);
    while (l->spare != NULL) {
        struct access_buffer *b = l->spare;
        l->spare = b->next;
        free(b);
    }
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l->path);
    free(l);
}

/* ---- a worker's lines */

/* @return NULL: all that may be wait for the disk */
static struct access_buffer *take_buffer(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct access_buffer *b = l->spare;
    if (b != NULL) {
        l->spare = b->next;
    } else if (l->buffers < ACCESS_BUFFERS_MAX) {
        b = malloc(sizeof *b);
        if (b != NULL) l->buffers++;
    }
    pthread_mutex_unlock(&l->lock);
    if (b != NULL) b->len = b->lines = 0;
    return b;
}

static void hand_over(struct access_lines *lines)
{
    struct access_log *l = lines->log;
    struct access_buffer *b = lines->buffer;
    lines->buffer = NULL;
    if (b == NULL) return;
    b->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->full_end = b;
    l->full_end = &b->next;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void held_long_enough(struct loop_timer *t)
{
    hand_over(HOLDER_OF(t, struct access_lines, timer));
}

struct access_lines *access_lines_new(struct access_log *l, struct loop *loop)
{
    struct access_lines *lines = calloc(1, sizeof *lines);
    if (lines == NULL) return NULL;
    lines->log = l;
    lines->loop = loop;
    lines->timer.due = held_long_enough;
    return lines;
}

void access_lines_add(struct access_lines *lines, const struct access_entry *e)
{
    if (lines->buffer != NULL && lines->buffer->len + ACCESS_LINE_MAX > ACCESS_BUFFER_BYTES) hand_over(lines);
    if (lines->buffer == NULL) lines->buffer = take_buffer(lines->log);
    struct access_buffer *b = lines->buffer;
    if (b == NULL) {
        lines->log->lost++;
        return;
    }
    b->len += access_line_format(e, b->text + b->len);
    b->lines++;
    if (lines->timer.place == 0) loop_timer_set(lines->loop, &lines->timer, loop_now_ms(lines->loop) + ACCESS_HELD_MS);
}

void access_lines_free(struct access_lines *lines)
{
    if (lines == NULL) return;
    loop_timer_stop(lines->loop, &lines->timer);
    hand_over(lines);
    free(lines);
}
