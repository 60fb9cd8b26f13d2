#include "tests/conversation/nameserver.h"

#include "tests/conversation/wire.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MESSAGE_MAX = 4096,
    HEAD = 12,      /* id, flags, four counts */
    TYPE_CLASS = 4, /* behind the name of a question */
    TYPE_A = 1,
    TYPE_AAAA = 28,
    IS_ANSWER = 0x80,
    IS_TRUNCATED = 0x02,
    SERVER_FAILURE = 2,
    NO_SUCH_NAME = 3,
    ADDRESSES_TEXT = 256,
};

struct nameserver {
    int port, udp, tcp;
    pthread_t threads[2];
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t heard;
    enum naming what;
    char addresses[ADDRESSES_TEXT];
    unsigned ttl_s;
    size_t count;
};

static size_t put_number(unsigned char *to, unsigned value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
    return bytes;
}

/* A resource record whose name is that of the question. */
static size_t put_record(unsigned char *to, unsigned type, unsigned ttl_s, const unsigned char *data, size_t len)
{
    size_t at = put_number(to, 0xc000 | HEAD, 2);
    at += put_number(to + at, type, 2);
    at += put_number(to + at, 1, 2);
    at += put_number(to + at, ttl_s, 4);
    at += put_number(to + at, (unsigned)len, 2);
    memcpy(to + at, data, len);
    return at + len;
}

/* The addresses of one type behind the question. @return length of the message */
static size_t put_addresses(const struct nameserver *n, unsigned char *message, size_t len, unsigned type)
{
    char text[ADDRESSES_TEXT], *rest = NULL;
    unsigned char raw[16];
    unsigned answers = 0;
    snprintf(text, sizeof text, "%s", n->addresses);
    for (char *one = strtok_r(text, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest)) {
        bool six = strchr(one, ':') != NULL;
        if (six != (type == TYPE_AAAA) || inet_pton(six ? AF_INET6 : AF_INET, one, raw) != 1) continue;
        len += put_record(message + len, type, n->ttl_s, raw, six ? 16 : 4);
        answers++;
    }
    put_number(message + 6, answers, 2);
    return len;
}

/* Turns a question into its answer. @return length; 0: none is given */
static size_t answer(struct nameserver *n, unsigned char *message, size_t len, bool over_tcp)
{
    size_t end = HEAD;
    while (end < len && message[end] != 0) end += 1u + message[end];
    if (end + 1 + TYPE_CLASS > len) return 0;
    unsigned type = (unsigned)message[end + 1] << 8 | message[end + 2];
    len = end + 1 + TYPE_CLASS; /* what is said beside the question goes */
    pthread_mutex_lock(&n->lock);
    n->count += type == TYPE_A;
    pthread_cond_broadcast(&n->heard);
    message[2] |= IS_ANSWER;
    message[3] = n->what == NAMES_FAILURE ? SERVER_FAILURE : n->what == NAMES_UNKNOWN ? NO_SUCH_NAME : 0;
    put_number(message + 6, 0, 2);
    put_number(message + 8, 0, 4);
    if (n->what == NAMES_SILENCE) len = 0;
    if (n->what == NAMES_TRUNCATED && !over_tcp) message[2] |= IS_TRUNCATED;
    if (n->what == NAMES_ADDRESSES || (n->what == NAMES_TRUNCATED && over_tcp))
        len = put_addresses(n, message, len, type);
    pthread_mutex_unlock(&n->lock);
    return len;
}

static void *serve_udp(void *of)
{
    struct nameserver *n = of;
    for (;;) {
        unsigned char message[MESSAGE_MAX];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t got = recvfrom(n->udp, message, sizeof message / 2, 0, (struct sockaddr *)&from, &from_len);
        if (got <= 0) return NULL; /* nameserver_end said so */
        size_t len = answer(n, message, (size_t)got, false);
        if (len > 0) (void)sendto(n->udp, message, len, 0, (struct sockaddr *)&from, from_len);
    }
}

static void serve_stream(struct nameserver *n, int fd)
{
    unsigned char message[MESSAGE_MAX], size[2];
    while (recv(fd, size, sizeof size, MSG_WAITALL) == sizeof size) {
        size_t len = (size_t)size[0] << 8 | size[1];
        if (len > sizeof message / 2 || recv(fd, message, len, MSG_WAITALL) != (ssize_t)len) return;
        len = answer(n, message, len, true);
        if (len == 0) return;
        put_number(size, (unsigned)len, sizeof size);
        if (!wire_send(fd, size, sizeof size) || !wire_send(fd, message, len)) return;
    }
}

static void *serve_tcp(void *of)
{
    struct nameserver *n = of;
    for (;;) {
        int fd = accept4(n->tcp, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return NULL; /* shut down */
        wire_set_deadline(fd);
        serve_stream(n, fd);
        close(fd);
    }
}

static int listen_udp(int port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

struct nameserver *nameserver_start(void)
{
    struct nameserver *n = calloc(1, sizeof *n);
    n->tcp = wire_listen(&n->port);
    n->udp = listen_udp(n->port);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->heard, NULL);
    if (n->tcp >= 0 && n->udp >= 0 && pthread_create(&n->threads[0], NULL, serve_udp, n) == 0 &&
        pthread_create(&n->threads[1], NULL, serve_tcp, n) == 0)
        return n;
    abort();
}

int nameserver_port(const struct nameserver *n)
{
    return n->port;
}

void nameserver_says(struct nameserver *n, enum naming what, const char *addresses, unsigned ttl_s)
{
    pthread_mutex_lock(&n->lock);
    n->what = what;
    n->ttl_s = ttl_s;
    snprintf(n->addresses, sizeof n->addresses, "%s", addresses);
    pthread_mutex_unlock(&n->lock);
}

size_t nameserver_count(struct nameserver *n)
{
    pthread_mutex_lock(&n->lock);
    size_t count = n->count;
    pthread_mutex_unlock(&n->lock);
    return count;
}

void nameserver_wait_count(struct nameserver *n, size_t count)
{
    pthread_mutex_lock(&n->lock);
    while (n->count < count) pthread_cond_wait(&n->heard, &n->lock); /* the test has a deadline of its own */
    pthread_mutex_unlock(&n->lock);
}

void nameserver_end(struct nameserver *n)
{
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    if (getsockname(n->udp, (struct sockaddr *)&own, &len) != 0 ||
        sendto(n->udp, "", 0, 0, (struct sockaddr *)&own, len) != 0)
        abort();
    shutdown(n->tcp, SHUT_RDWR);
    for (int i = 0; i < 2; i++) pthread_join(n->threads[i], NULL);
    close(n->tcp);
    close(n->udp);
    pthread_cond_destroy(&n->heard);
    pthread_mutex_destroy(&n->lock);
    free(n);
}
