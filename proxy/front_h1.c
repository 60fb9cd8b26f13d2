/* The life of a request in libmicrohttpd, which calls on_request once with the head, once or more with content, and once
 * more when the request is complete; a reply may only be queued in the first or in the last of these, and in the first
 * it closes the connection.
 *
 *   first call:  head read and checked -> handler->begin -+-> refused, or answered: queue, MHD closes
 *                                                         |
 *   content:     handler->content, parked when it takes less than all; thrown away once there is a reply
 *                                                         |
 *   last call:   handler->content_end -> reply there? --no--> parked until front_reply
 *                                            | yes
 *                queue -> MHD sends, calling the reader, parked when that has nothing yet -> NOTIFY_COMPLETED -> end
 *                          101: reply->switched gets the socket, MHD lets go of it --------->
 */
#include "proxy/front_h1.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* ---- parking */

void front_park(struct front_stream *s, enum parked why)
{
    s->parked = why;
    MHD_suspend_connection(s->conn->mhd);
    if (why == PARKED_FOR_REPLY && s->watch) front_conn_watch(s->conn);
}

void front_unpark(struct front_stream *s)
{
    if (s->parked == NOT_PARKED) return;
    s->parked = NOT_PARKED;
    front_conn_unwatch(s->conn);
    MHD_resume_connection(s->conn->mhd);
    s->conn->front->resumed = true;
}

void front_wake(struct front_stream *s)
{
    if (s->in_read) {
        s->woken = true;
    } else if (front_early_waits(s)) {
        front_early_read(s);
    } else if (s->parked == PARKED_FOR_READ) {
        front_unpark(s);
    }
}

void front_resume_content(struct front_stream *s)
{
    if (s->in_content) {
        s->woken = true;
    } else if (s->parked == PARKED_FOR_CONTENT) {
        front_unpark(s);
    }
}

void front_watch_client(struct front_stream *s)
{
    s->watch = true;
    if (s->parked == PARKED_FOR_REPLY) front_conn_watch(s->conn);
}

/* ---- streams */

static struct front_stream *stream_take(struct front *f, struct conn *c)
{
    struct front_stream *s = f->free_streams;
    if (s != NULL) {
        f->free_streams = s->next_free;
        f->free_count--;
    } else {
        s = malloc(sizeof(*s));
        if (s == NULL) return NULL;
    }
    memset(s, 0, offsetof(struct front_stream, fields));
    s->conn = c;
    c->stream = s;
    return s;
}

static void stream_give(struct front *f, struct front_stream *s)
{
    s->conn->stream = NULL;
    free(s->path_copy);
    free(s->many_fields);
    if (f->free_count == STREAMS_KEPT) {
        free(s);
        return;
    }
    s->next_free = f->free_streams;
    f->free_streams = s;
    f->free_count++;
}

/* ---- what MHD calls, in the order of a request */

void front_head_over(struct conn *c)
{
    c->front->heads_begun -= c->head_begun;
    c->head_begun = false;
}

static struct conn *only_head_begun(const struct front *f)
{
    struct conn *c = f->heads_begun == 1 ? f->conns : NULL;
    while (c != NULL && !c->head_begun) c = c->next;
    return c;
}

/* Some bad heads MHD 0.9 answers before it asks us, and sends its own head twice. But it tells its log first, though not of
 * which connection. These messages are about one whose request line has been read and whose head is over, so where there is
 * but one such, the client is answered here, and MHD finds that it can send no more. */
static void on_message(void *cls, const char *format, va_list args)
{
    static const struct {
        const char *begins;
        int status;
        bool of_trailers; /* it may be about a request that is under way as well */
    } refusals[] = {
        { "Failed to parse `Content-Length'", 400, false },
        { "Too large value of 'Content-Length'", 413, false },
        { "Not enough memory in pool to parse cookies", 431, false },
        { "Not enough memory in pool to allocate header record", 431, true }, /* cookies are such records, too */
    };
    const struct front *f = cls;
    struct conn *c = MHD_VERSION < 0x01000000 ? only_head_begun(cls) : NULL;
    (void)args;
    for (size_t i = 0; c != NULL && i < sizeof refusals / sizeof *refusals; i++) {
        if (strncmp(format, refusals[i].begins, strlen(refusals[i].begins)) != 0) continue;
        if (refusals[i].of_trailers && f->active > 0) return;
        front_send_refusal(c, refusals[i].status);
        shutdown(c->fd, SHUT_WR);
        front_head_over(c);
        c->refused_by_us = c->content_follows = true;
        return;
    }
}

/* The request line has been read, and MHD is about to split it. A query of more than about 450 arguments would hang the
 * connection, as MHD keeps each of them; so it is made to see an empty one, and front_head_read puts the byte back. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct conn *c = front_conn_of(mhd);
    (void)cls;
    if (c == NULL) return NULL;
    c->front->heads_begun += !c->head_begun;
    c->head_begun = true;
    union {
        const char *from;
        char *to; /* MHD's buffer, which it writes to itself */
    } u = { uri };
    c->target = u.to;
    c->target_len = strlen(uri);
    c->query_at = 0;
    char *mark = memchr(c->target, '?', c->target_len);
    if (mark != NULL) {
        c->query_at = (size_t)(mark - c->target) + 1;
        c->query_first = mark[1];
        mark[1] = '\0';
    }
    return NULL;
}

static size_t unescape_nothing(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls, (void)mhd;
    return strlen(text);
}

/* CONNECT is answered or refused at once, since what follows its head is not a request. So is an upload too long to be
 * thrown away, or whose client waits for 100 (Continue); a short one is drained in favour of the connection. */
static bool must_answer_now(const struct front_stream *s)
{
    const struct front_request *r = &s->request;
    if (s->head.method == METHOD_CONNECT) return true;
    if (!s->replied || !r->has_content) return false;
    return r->expects_continue || r->content_length < 0 || r->content_length > DRAIN_BYTES_MAX;
}

static enum MHD_Result on_head(struct front *f, struct MHD_Connection *mhd, const char *method, const char *version,
                               void **request_context)
{
    struct conn *c = front_conn_of(mhd);
    struct front_stream *s = f->stopping || c == NULL ? NULL : stream_take(f, c);
    if (s == NULL) return MHD_NO;
    front_head_over(c);
    int refusal = front_head_read(s, method, version);
    if (refusal != 0) {
        stream_give(f, s);
        return front_refuse(c, refusal);
    }
    s->first_call = true;
    s->context = f->handler.begin(f->owner, s, &s->request);
    s->first_call = false;
    if (s->context == NULL) {
        front_reply_release(s);
        stream_give(f, s);
        return front_refuse(c, 503);
    }
    *request_context = s;
    f->active++;
    if (!must_answer_now(s)) return MHD_YES;
    return s->replied ? front_queue(s) : front_refuse(c, 501);
}

/* Already answered, and the client still sends. */
static enum MHD_Result drain(struct front_stream *s, size_t *len)
{
    if (front_early_waits(s)) {
        front_park(s, PARKED_FOR_CONTENT);
        return MHD_YES;
    }
    s->drained += *len;
    *len = 0;
    return s->drained <= (s->early != NULL ? LINGER_BYTES_MAX : DRAIN_BYTES_MAX) ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_content(struct front *f, struct front_stream *s, const char *at, size_t *len)
{
    if (s->content_unwanted) return drain(s, len);
    s->woken = false;
    s->in_content = true;
    ssize_t taken = f->handler.content(s->context, (const uint8_t *)at, *len);
    s->in_content = false;
    if (taken < 0) return MHD_NO;
    assert((size_t)taken <= *len);
    s->content_seen += (uint64_t)taken;
    *len -= (size_t)taken;
    if (s->content_unwanted) return drain(s, len);
    if (*len == 0) return MHD_YES;
    front_park(s, PARKED_FOR_CONTENT);
    if (s->woken) front_unpark(s);
    return MHD_YES;
}

static enum MHD_Result on_complete(struct front *f, struct front_stream *s)
{
    if (!s->content_over) {
        s->content_over = true;
        if (s->request.has_content && !s->content_unwanted) f->handler.content_end(s->context, true);
    }
    if (s->early != NULL) return MHD_NO; /* it is sent: only the close is left */
    if (s->replied) return front_queue(s);
    front_park(s, PARKED_FOR_REPLY);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *content, size_t *content_len, void **request_context)
{
    struct front *f = cls;
    struct front_stream *s = *request_context;
    (void)url;
    if (s == NULL) return on_head(f, mhd, method, version, request_context);
    if (s->conn->gone || f->stopping) return MHD_NO;
    return *content_len > 0 ? on_content(f, s, content, content_len) : on_complete(f, s);
}

/* MHD answered a bad head itself, before any handler call. */
static void count_refusal_of_mhd(struct front *f, struct conn *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    struct front_peer peer = front_peer_of(c);
    if (info != NULL && !c->refused_by_us) f->handler.refused(f->owner, (int)info->http_status, &peer);
    if (info != NULL && (c->content_follows || !c->refused_by_us)) front_conn_linger(c);
    c->refused_by_us = true; /* told once */
}

static void on_over(void *cls, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code)
{
    struct front *f = cls;
    struct conn *c = front_conn_of(mhd);
    struct front_stream *s = *request_context;
    if (c == NULL) return;
    if (s == NULL) {
        count_refusal_of_mhd(f, c);
        return;
    }
    *request_context = NULL;
    bool delivered = s->early_delivered || (s->queued && code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    uint64_t sent = delivered || s->body_sent_by_reader ? s->body_bytes : 0;
    front_conn_unwatch(c);
    front_reply_release(s);
    front_early_free(s);
    if (s->queued && !s->content_over && c->content_follows) front_conn_linger(c);
    if (s->request.has_content && !s->content_over && !s->content_unwanted) {
        f->handler.content_end(s->context, false);
    }
    f->handler.end(s->context, delivered, sent);
    f->active--;
    front_conn_waits(c);
    stream_give(f, s);
}

/* ---- turns of the loop */

static void mhd_ready(struct loop_watch *w, uint32_t events)
{
    struct front *f = HOLDER_OF(w, struct front, mhd_watch);
    (void)events;
    f->mhd_ready = true;
}

static bool mhd_has_work(const struct front *f)
{
    MHD_UNSIGNED_LONG_LONG wait;
    return f->resumed || MHD_get_timeout(f->daemon, &wait) == MHD_YES; /* without time-outs it knows only 0 and none */
}

static int64_t front_wait_ms(void *arg)
{
    return mhd_has_work(arg) ? 0 : -1;
}

static void front_turn(void *arg)
{
    struct front *f = arg;
    if (!f->mhd_ready && !mhd_has_work(f)) return;
    f->mhd_ready = f->resumed = false; /* before MHD_run, whose callbacks may resume others */
    MHD_run(f->daemon);
}

/* ---- the front */

static bool settings_are_sound(const struct front_settings *s)
{
    return s->idle_ms > 0 && s->head_ms > 0 && s->content_stall_ms > 0 && s->connections_max > 0;
}

/* Our check of the raw head knows the buffer of 0.9 and not that of 1.0, which checks by itself when it is asked to. */
static bool version_fits(char *why, size_t cap)
{
    const char *running = MHD_get_version();
    bool built_for_0_9 = MHD_VERSION < 0x01000000;
    if ((strncmp(running, "0.9.", 4) == 0) == built_for_0_9) return true;
    snprintf(why, cap, "built for another libmicrohttpd than the %s that runs here: build again", running);
    return false;
}

static struct MHD_Daemon *daemon_new(struct front *f)
{
    unsigned flags =
        MHD_USE_ERROR_LOG | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET;
#if MHD_VERSION >= 0x01000000
    flags |=
        MHD_USE_NO_THREAD_SAFETY; /* it is only called in the loop's thread; else connections added wait for a turn */
#endif
    /* Closed connections count until MHD's next turn, so its limit is out of reach of ours. */
    unsigned limit = f->settings.connections_max < UINT32_MAX / 2 ? f->settings.connections_max * 2 + 1000 : UINT32_MAX;
    /* clang-format off */
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, f,
                            MHD_OPTION_EXTERNAL_LOGGER, on_message, f,
                            MHD_OPTION_CONNECTION_LIMIT, limit,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
                            MHD_OPTION_CONNECTION_TIMEOUT, 0u,
#if MHD_VERSION >= 0x01000000
                            MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#else
                            MHD_OPTION_STRICT_FOR_CLIENT, 0, /* front_h1_head.c is, and answers properly */
#endif
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, f,
                            MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, f,
                            MHD_OPTION_NOTIFY_COMPLETED, on_over, f,
                            MHD_OPTION_NOTIFY_CONNECTION, front_conn_notify, f,
                            MHD_OPTION_END);
    /* clang-format on */
}

struct front *front_h1_new(struct loop *loop, const struct front_settings *settings,
                           const struct front_handler *handler, void *owner, char *why, size_t cap)
{
    assert(settings_are_sound(settings));
    if (!version_fits(why, cap)) return NULL;
    struct front *f = calloc(1, sizeof(*f));
    if (f == NULL) goto failed;
    f->loop = loop;
    f->handler = *handler;
    f->owner = owner;
    f->settings = *settings;
    f->accept_timer.due = front_accept_resume;
    f->daemon = daemon_new(f);
    if (f->daemon == NULL) goto failed;
    int fd = MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    f->mhd_watch = (struct loop_watch){ .ready = mhd_ready, .fd = fd };
    if (loop_watch_add(loop, &f->mhd_watch, EPOLLIN) != 0) goto failed;
    loop_add_hook(loop, (struct loop_hook){ .wait_ms = front_wait_ms, .turn = front_turn, .arg = f });
    return f;
failed:
    snprintf(why, cap, "the HTTP/1.1 front end cannot start: %s", strerror(errno));
    if (f != NULL && f->daemon != NULL) MHD_stop_daemon(f->daemon);
    free(f);
    return NULL;
}

void front_drain(struct front *f)
{
    if (f->draining) return;
    front_accept_stop(f);
    f->draining = true;
    int64_t now = loop_now_ms(f->loop);
    for (struct conn *c = f->conns; c != NULL; c = c->next) {
        if (!front_conn_is_idle(c)) continue;
        if (c->requests > 0) {
            front_conn_break(c);
        } else { /* surely about to send its first request */
            c->waiting_since_ms = now;
            loop_timer_set(f->loop, &c->timer, now + DRAIN_FRESH_MS);
        }
    }
}

size_t front_active(const struct front *f)
{
    return f->active;
}

size_t front_connections(const struct front *f)
{
    return f->conn_count;
}

/* MHD aborts when it is stopped with a suspended connection, so all are resumed and turned away first. */
void front_free(struct front *f)
{
    if (f == NULL) return;
    f->stopping = true;
    front_accept_stop(f);
    for (struct conn *c = f->conns; c != NULL; c = c->next) {
        if (c->stream != NULL) front_unpark(c->stream);
    }
    MHD_run(f->daemon);
    loop_remove_hook(f->loop, f);
    loop_watch_remove(f->loop, &f->mhd_watch);
    MHD_stop_daemon(f->daemon);
    front_linger_stop(f);
    front_proxied_stop(f);
    assert(f->conn_count == 0 && f->active == 0);
    while (f->free_streams != NULL) {
        struct front_stream *s = f->free_streams;
        f->free_streams = s->next_free;
        free(s);
    }
    free(f);
}
