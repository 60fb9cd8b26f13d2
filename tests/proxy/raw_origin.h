/* raw_origin: an origin server of the tests: a thread on loopback that follows a script, byte for byte.
 * Ownership: raw_origin_start gives one, raw_origin_stop waits for its script to end. Threads: raw_origin_go may be called
 * while the script runs; raw_origin_heard after raw_origin_stop.                                                    */
#ifndef WEIR_TESTS_RAW_ORIGIN_H
#define WEIR_TESTS_RAW_ORIGIN_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum raw_verb {
    END,          /* of the script */
    HEAR,         /* a request head */
    HEAR_CONTENT, /* as many bytes as the text has */
    SAY,          /* the text */
    SAY_SLOWLY,   /* the text, a byte a segment */
    SAY_MUCH,     /* the text, 64 Ki times */
    AWAIT_GO,     /* until raw_origin_go, once for each */
    CLOSE,        /* and accept the next connection when more follows */
    RESET,        /* the same with RST */
};

struct raw_step {
    enum raw_verb verb;
    const char *text;
    size_t len; /* 0: strlen(text) */
};

enum { HEARD_MAX = 256 * 1024, MUCH = 64 * 1024 };

struct raw_origin {
    const struct raw_step *script;
    pthread_t thread;
    int listener, connection;
    int port;
    sem_t go;
    atomic_bool stopping;
    bool stopped;
    size_t connections;
    size_t heard_len;
    char heard[HEARD_MAX + 1];
};

static void fail(const char *what)
{
    perror(what);
    abort();
}

static bool hear(struct raw_origin *o, size_t len)
{
    if (o->heard_len + len > HEARD_MAX) return false;
    ssize_t n = recv(o->connection, o->heard + o->heard_len, len, MSG_WAITALL);
    if (n > 0) o->heard_len += (size_t)n;
    o->heard[o->heard_len] = '\0';
    return n == (ssize_t)len;
}

static bool hear_head(struct raw_origin *o)
{
    size_t start = o->heard_len;
    while (hear(o, 1)) {
        if (strstr(o->heard + start, "\r\n\r\n") != NULL) return true;
    }
    return false;
}

static bool say(struct raw_origin *o, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(o->connection, text, len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

static bool say_slowly(struct raw_origin *o, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!say(o, text + i, 1)) return false;
        usleep(100); /* so that the bytes do not travel together */
    }
    return true;
}

static bool say_much(struct raw_origin *o, const char *text, size_t len)
{
    for (int i = 0; i < MUCH; i++) {
        if (!say(o, text, len)) return false;
    }
    return true;
}

static bool await_go(struct raw_origin *o)
{
    while (sem_wait(&o->go) != 0) {
    }
    return !o->stopping;
}

static bool accept_one(struct raw_origin *o)
{
    o->connection = accept(o->listener, NULL, NULL);
    if (o->connection < 0) return false;
    int on = 1;
    setsockopt(o->connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    o->connections++;
    return true;
}

static bool hang_up(struct raw_origin *o, bool reset)
{
    struct linger now = { .l_onoff = 1 };
    if (reset) setsockopt(o->connection, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(o->connection);
    o->connection = -1;
    return true;
}

static bool step(struct raw_origin *o, const struct raw_step *s)
{
    size_t len = s->len == 0 && s->text != NULL ? strlen(s->text) : s->len;
    if (o->connection < 0 && s->verb != AWAIT_GO && !accept_one(o)) return false;
    switch (s->verb) {
    case HEAR: return hear_head(o);
    case HEAR_CONTENT: return hear(o, len);
    case SAY: return say(o, s->text, len);
    case SAY_SLOWLY: return say_slowly(o, s->text, len);
    case SAY_MUCH: return say_much(o, s->text, len);
    case AWAIT_GO: return await_go(o);
    case CLOSE: return hang_up(o, false);
    case RESET: return hang_up(o, true);
    case END: break;
    }
    return false;
}

static void *run(void *arg)
{
    struct raw_origin *o = arg;
    for (const struct raw_step *s = o->script; s->verb != END && !o->stopping; s++) {
        /* What the client does not want to hear, it need not: the script goes on with its next connection. */
        if (step(o, s) || o->stopping) continue;
        while (s->verb != END && s->verb != CLOSE && s->verb != RESET) s++;
        if (s->verb == END) break;
        hang_up(o, false);
    }
    if (o->connection >= 0) close(o->connection);
    return NULL;
}

static void listen_tcp(struct raw_origin *o)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    o->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(o->listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(o->listener, 64) != 0) fail("listen");
    getsockname(o->listener, (struct sockaddr *)&a, &len);
    o->port = ntohs(a.sin_port);
}

static void listen_unix(struct raw_origin *o, const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    unlink(path);
    o->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(o->listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(o->listener, 64) != 0) fail("listen");
}

/** @param unix_path  NULL: 127.0.0.1 */
static struct raw_origin *raw_origin_start(const struct raw_step *script, const char *unix_path)
{
    struct raw_origin *o = calloc(1, sizeof(*o));
    if (o == NULL) fail("raw_origin");
    o->script = script;
    o->connection = -1;
    sem_init(&o->go, 0, 0);
    if (unix_path != NULL) {
        listen_unix(o, unix_path);
    } else {
        listen_tcp(o);
    }
    if (pthread_create(&o->thread, NULL, run, o) != 0) fail("pthread_create");
    return o;
}

static int raw_origin_port(const struct raw_origin *o)
{
    return o->port;
}

static void raw_origin_go(struct raw_origin *o)
{
    sem_post(&o->go);
}

/** Ends the thread, wherever its script stands; close the client's connections before. Twice is once. */
static void raw_origin_stop(struct raw_origin *o)
{
    if (o->stopped) return;
    o->stopped = true;
    o->stopping = true;
    sem_post(&o->go);
    shutdown(o->listener, SHUT_RDWR);
    pthread_join(o->thread, NULL);
    close(o->listener);
}

/** Everything that was read, one request after the other; after raw_origin_stop, until raw_origin_free. */
static const char *raw_origin_heard(const struct raw_origin *o)
{
    return o->heard;
}

static size_t raw_origin_connections(const struct raw_origin *o)
{
    return o->connections;
}

static void raw_origin_free(struct raw_origin *o)
{
    raw_origin_stop(o);
    sem_destroy(&o->go);
    free(o);
}

#endif
