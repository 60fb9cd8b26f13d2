/* Requests that ask for another protocol: what is passed on, and the bytes both ways once both have switched. The server of
 * the other protocol is the test's own: a socket that it accepts, reads and writes. */
#include "tests/conversation/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ASKS        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: cGx1bQ==\r\nSec-WebSocket-Version: 13\r\n"
#define SWITCHES    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
#define UPGRADABLE  "routes: [{match: /socket, upgrade: websocket, origin: chat}, {match: /shelf}]\n"
#define ASKED_LINES "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: cGx1bQ=="

/* ---- a server that the test plays */

struct chat {
    struct scene *s;
    int listener, port;
    int fd; /* the connection accepted last */
    struct stream in;
};

static void config_says(struct scene *s, const char *text)
{
    FILE *f = fopen(say(s, "%s/weir.yaml", scene_weir(s)->dir), "we");
    holds(s, f != NULL);
    fputs(text, f);
    holds(s, fclose(f) == 0);
}

static int listen_on_path(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0) return fd;
    return -1;
}

static void weir_begins(struct chat *c, const char *server, const char *config)
{
    struct scene *s = c->s;
    holds(s, c->listener >= 0);
    wire_set_deadline(c->listener);
    config_says(s, say(s, "origins: {chat: %s}\n%s", server, config));
    weir_starts(s, say(s, "--workers 1 --config %s/weir.yaml", scene_weir(s)->dir));
}

static struct chat chat_begin(const char *config)
{
    struct chat c = { .s = scene_begin_stopped(), .fd = -1 };
    c.listener = wire_listen(&c.port);
    weir_begins(&c, say(c.s, "http://127.0.0.1:%d", c.port), config);
    return c;
}

static struct chat chat_begin_on_path(const char *config)
{
    struct chat c = { .s = scene_begin_stopped(), .fd = -1 };
    const char *path = say(c.s, "%s/chat", scene_weir(c.s)->dir);
    c.listener = listen_on_path(path);
    weir_begins(&c, say(c.s, "\"unix:%s\"", path), config);
    return c;
}

static void chat_closes(struct chat *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void chat_end(struct chat *c)
{
    chat_closes(c);
    close(c->listener);
    scene_end(c->s);
}

/* The next connection, and the head of its request. */
static void chat_hears(struct chat *c, const char *request, const char *fields)
{
    struct head h = { 0 };
    c->fd = accept(c->listener, NULL, NULL);
    if (c->fd < 0) scene_fail(c->s, "the server was not asked");
    wire_set_deadline(c->fd);
    stream_open(&c->in, c->fd);
    const char *wrong = stream_head(&c->in, &h);
    if (wrong != NULL) scene_fail(c->s, "the server heard no request: %s", wrong);
    if (strncmp(h.start, request, strlen(request)) != 0) scene_fail(c->s, "the server heard %s", h.start);
    wrong = head_lacks(&h, fields);
    if (wrong != NULL) scene_fail(c->s, "the request lacks %s", wrong);
    head_free(&h);
}
#define chat_hears(c, ...) (AT((c)->s), (chat_hears)((c), __VA_ARGS__))

/* These very bytes, and in that order. */
static void reads(struct scene *s, struct stream *in, const char *want)
{
    char got[4096];
    size_t n = 0, len = strlen(want);
    while (n < len) {
        ssize_t some = stream_read(in, got + n, len - n);
        if (some <= 0) scene_fail(s, "\"%.*s\" came, then nothing", (int)n, got);
        n += (size_t)some;
    }
    if (memcmp(got, want, len) != 0) scene_fail(s, "\"%.*s\" came", (int)n, got);
}
#define reads(s, ...) (reads)(AT(s), __VA_ARGS__)

static void reads_end(struct scene *s, struct stream *in)
{
    char byte;
    ssize_t n = stream_read(in, &byte, 1);
    if (n > 0) scene_fail(s, "'%c' came instead of the end", byte);
    if (n < 0) scene_fail(s, "no orderly end");
}
#define reads_end(s, in) (reads_end)(AT(s), in)

static void sends(struct scene *s, int fd, const char *text)
{
    if (!wire_send(fd, text, strlen(text))) scene_fail(s, "\"%s\" could not be sent", text);
}
#define sends(s, ...) (sends)(AT(s), __VA_ARGS__)

/* ---- the client; what it hears is not always a response */

static void asks_to_switch(struct scene *s, struct client *c, const char *behind)
{
    const char *text = say(s, "GET /socket HTTP/1.1\r\nHost: " HOST "\r\n" ASKS "\r\n%s", behind);
    says(s, c, "GET", text, strlen(text));
}
#define asks_to_switch(s, ...) asks_to_switch(AT(s), __VA_ARGS__)

static void hears_switch(struct scene *s, struct client *c, const char *fields)
{
    struct head h = { 0 };
    const char *wrong = stream_head(&c->stream, &h);
    if (wrong != NULL) scene_fail(s, "no 101: %s", wrong);
    if (strncmp(h.start, "HTTP/1.1 101 ", 13) != 0) scene_fail(s, "not a 101: %s", h.start);
    wrong = head_lacks(&h, fields);
    if (wrong != NULL) scene_fail(s, "the 101 lacks %s", wrong);
    head_free(&h);
}
#define hears_switch(s, ...) hears_switch(AT(s), __VA_ARGS__)

/* Both have switched, and a word went each way. */
static void both_switch(struct chat *c, struct client *client)
{
    asks_to_switch(c->s, client, "");
    chat_hears(c, "GET /socket ", ASKED_LINES);
    sends(c->s, c->fd, SWITCHES "plum");
    hears_switch(c->s, client, "Upgrade: websocket");
    reads(c->s, &client->stream, "plum");
    sends(c->s, client->fd, "pear");
    reads(c->s, &c->in, "pear");
}
#define both_switch(c, ...) (AT((c)->s), (both_switch)((c), __VA_ARGS__))

static void tunnels_become(struct scene *s, int n)
{
    struct client *admin = client_open(scene_weir(s)->admin_port);
    const char *host = say(s, "Host: 127.0.0.1:%d", scene_weir(s)->admin_port);
    const char *want = say(s, "\nweir_tunnels_open %d\n", n);
    bool found = false;
    for (int tries = 0; !found && tries < 1000; tries++) {
        asks(s, admin, "GET /metrics", host);
        hears(s, admin, "200", "", NULL);
        found = strstr(admin->response.body, want) != NULL;
        if (!found) usleep(10 * 1000);
    }
    client_close(admin);
    if (!found) scene_fail(s, "never%s", want);
}
#define tunnels_become(s, n) tunnels_become(AT(s), n)

/* ---- switching */

static const bool on_path[] = { false, true };

START_TEST(both_sides_switch)
{
    struct chat c = on_path[_i] ? chat_begin_on_path(UPGRADABLE) : chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    const char *request = "GET /socket?a=b HTTP/1.1\r\nHost: " HOST "\r\nConnection: keep-alive, Upgrade, X-Hop\r\n"
                          "Upgrade: h2c, WebSocket\r\nSec-WebSocket-Key: cGx1bQ==\r\nX-Hop: a\r\nHTTP2-Settings: AA\r\n"
                          "Sec-WebSocket-Protocol: jam\r\n\r\nbefore the 101";
    says(c.s, client, "GET", request, strlen(request));
    chat_hears(&c, "GET /socket?a=b HTTP/1.1",
               "Connection: Upgrade\nUpgrade: WebSocket\nSec-WebSocket-Key: cGx1bQ==\nSec-WebSocket-Protocol: jam\n"
               "Via: 1.1 weir\nX-Forwarded-For: 127.0.0.1\n!X-Hop\n!HTTP2-Settings");
    holds(c.s, !stream_wait(&c.in, 50)); /* not a byte goes on before the server has switched */
    sends(c.s, c.fd,
          "HTTP/1.1 101 On we go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: cGVhcg==\r\n"
          "Cache-Control: max-age=600\r\n\r\nbehind the 101");
    hears_switch(c.s, client,
                 "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: cGVhcg==\nVia: 1.1 weir\n"
                 "Cache-Status: weir; fwd=bypass; fwd-status=101; !stored\n!Content-Length\n!Transfer-Encoding");
    reads(c.s, &client->stream, "behind the 101");
    reads(c.s, &c.in, "before the 101");
    for (int i = 0; i < 3; i++) {
        sends(c.s, client->fd, say(c.s, "there %d\r\n\r\n", i));
        reads(c.s, &c.in, say(c.s, "there %d\r\n\r\n", i));
        sends(c.s, c.fd, say(c.s, "HTTP/1.1 200 and back %d\r\n\r\n", i));
        reads(c.s, &client->stream, say(c.s, "HTTP/1.1 200 and back %d\r\n\r\n", i));
    }
    tunnels_become(c.s, 1);
    chat_closes(&c);
    reads_end(c.s, &client->stream);
    close(client->fd);
    client->fd = -1;
    tunnels_become(c.s, 0);
    admin_asks(c.s, "GET /v1/stats", "");
    admin_hears(c.s, "200", "");
    admin_heard_member(c.s, "tunnels_open", "0");
    chat_end(&c);
}
END_TEST

/* ---- not switching */

static const struct plain_row {
    const char *request, *fields, *content, *why;
} plain[] = {
    { "GET /shelf", "Connection: Upgrade\nUpgrade: websocket", NULL, "another route" },
    { "GET /socket/", "Connection: Upgrade\nUpgrade: websocket", NULL, "another path" },
    { "GET /socket", "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AA", NULL, "not listed" },
    { "GET /socket", "Upgrade: websocket", NULL, "not in Connection" },
    { "GET /socket", "Connection: Upgrade", NULL, "nothing to switch to" },
    { "GET /socket", "Connection: Upgrade\nUpgrade: websocket", "plum", "content" },
    { "POST /socket", "Connection: Upgrade\nUpgrade: websocket", "plum", "GET only" },
    { "DELETE /socket", "Connection: Upgrade\nUpgrade: websocket", NULL, "GET only" },
};

START_TEST(other_requests_are_answered_as_ever)
{
    const struct plain_row *row = &plain[_i];
    struct scene *s = scene_begin_stopped();
    config_says(s, "routes: [{match: /socket, upgrade: websocket}, {match: /shelf}]\n");
    weir_starts(s, say(s, "--config %s/weir.yaml", scene_weir(s)->dir));
    origin_answers(s, "200", "Cache-Control: no-store", "jam");
    if (row->content != NULL)
        client_sends(s, row->request, row->fields, row->content);
    else
        client_asks(s, row->request, row->fields);
    client_hears(s, "200", "", "jam");
    origin_heard(s, row->request, "!Upgrade\n!Connection\n!HTTP2-Settings");
    scene_end(s);
}
END_TEST

START_TEST(http_1_0_does_not_switch)
{
    struct scene *s = scene_begin_stopped();
    config_says(s, "routes: [{match: /socket, upgrade: websocket}]\n");
    weir_starts(s, say(s, "--config %s/weir.yaml", scene_weir(s)->dir));
    const char *request = "GET /socket HTTP/1.0\r\nHost: " HOST "\r\n" ASKS "\r\n";
    origin_answers(s, "200", "Cache-Control: no-store", "jam");
    says(s, scene_client(s), "GET", request, strlen(request));
    client_hears(s, "200", "", "jam");
    origin_heard(s, "GET /socket", "!Upgrade\n!Connection");
    scene_end(s);
}
END_TEST

static const struct refusal_row {
    const char *status, *fields;
} refusals[] = {
    { "200", "Cache-Control: max-age=600" },
    { "200", "Cache-Control: max-age=600\nUpgrade: websocket\nConnection: Upgrade" },
    { "403", "" },
    { "404", "Cache-Control: max-age=600" },
    { "426", "Upgrade: websocket" },
    { "503", "" },
};

/* What the client had sent in advance is then its next request. */
START_TEST(any_other_answer_is_passed_on)
{
    const struct refusal_row *row = &refusals[_i];
    struct scene *s = scene_begin_stopped();
    config_says(s, "routes: [{match: /socket, upgrade: websocket}]\n");
    weir_starts(s, say(s, "--workers 1 --config %s/weir.yaml", scene_weir(s)->dir));
    for (int i = 0; i < 2; i++) {
        origin_answers(s, row->status, row->fields, "no jam");
        origin_answers_at(s, "/shelf", "200", "Cache-Control: no-store", "jam");
        asks_to_switch(s, scene_client(s), "GET /shelf HTTP/1.1\r\nHost: " HOST "\r\n\r\n");
        client_hears(s, row->status, "Cache-Status: weir; fwd=bypass; !stored\n!Upgrade\n!Connection", "no jam");
        client_hears(s, "200", "", "jam");
        origin_heard_nth(s, 2 * (size_t)i + 1, "GET /socket", ASKED_LINES);
        origin_heard_nth(s, 2 * (size_t)i + 2, "GET /shelf", "!Upgrade");
    }
    tunnels_become(s, 0);
    scene_end(s);
}
END_TEST

/* And one that was stored by then is no answer to a request that asks to switch. */
START_TEST(the_cache_is_passed_by)
{
    struct scene *s = scene_begin_stopped();
    config_says(s, "routes: [{match: /socket, upgrade: websocket}]\n");
    weir_starts(s, say(s, "--config %s/weir.yaml", scene_weir(s)->dir));
    origin_answers(s, "200", "Cache-Control: max-age=600", "jam");
    client_asks(s, "GET /socket", "");
    client_hears(s, "200", "Cache-Status: weir; stored", "jam");
    origin_answers(s, "200", "Cache-Control: max-age=600", "no jam");
    asks_to_switch(s, scene_client(s), "");
    client_hears(s, "200", "Cache-Status: weir; fwd=bypass; fwd-status=200; !stored", "no jam");
    client_asks(s, "GET /socket", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    scene_end(s);
}
END_TEST

static const char *const bad_switches[] = {
    "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade:\r\nConnection: Upgrade\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nplum",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\nplum",
};

START_TEST(a_101_that_is_none_is_a_bad_answer)
{
    struct chat c = chat_begin(UPGRADABLE);
    asks_to_switch(c.s, scene_client(c.s), "");
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    sends(c.s, c.fd, bad_switches[_i]);
    client_hears(c.s, "502", "Cache-Status: ~origin-bad-response", NULL);
    reads_end(c.s, &c.in);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(interim_responses_come_first)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    asks_to_switch(c.s, client, "");
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    sends(c.s, c.fd, "HTTP/1.1 103 Early Hints\r\nLink: </plum>\r\n\r\n" SWITCHES "plum");
    struct head h = { 0 };
    holds(c.s, stream_head(&client->stream, &h) == NULL);
    holds(c.s, strncmp(h.start, "HTTP/1.1 103 ", 13) == 0);
    head_free(&h);
    hears_switch(c.s, client, "Upgrade: websocket\n!Link");
    reads(c.s, &client->stream, "plum");
    chat_end(&c);
}
END_TEST

START_TEST(another_server_is_asked)
{
    struct chat c = { .s = scene_begin_stopped(), .fd = -1 };
    c.listener = wire_listen(&c.port);
    weir_begins(&c,
                say(c.s, "{servers: [\"http://127.0.0.1:%d\", \"http://127.0.0.1:%d\"]}", process_free_port(), c.port),
                UPGRADABLE);
    for (int i = 0; i < 3; i++) {
        struct client *client = client_arrives(c.s);
        both_switch(&c, client);
        client_leaves(c.s, client);
        reads_end(c.s, &c.in);
        chat_closes(&c);
    }
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(a_client_that_does_not_wait_ends_it)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = client_arrives(c.s);
    asks_to_switch(c.s, client, "");
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    client_leaves(c.s, client);
    reads_end(c.s, &c.in);
    chat_end(&c);
}
END_TEST

/* ---- much */

#define MUCH ((uint64_t)24 << 20)

struct sender {
    pthread_t thread;
    int fd;
    uint64_t seed;
    _Atomic uint64_t sent;
    bool failed;
};

static void *send_much(void *arg)
{
    struct sender *p = arg;
    char piece[8192];
    for (uint64_t at = 0; at < MUCH && !p->failed; at += sizeof piece) {
        pattern_fill(p->seed, at, piece, sizeof piece);
        p->failed = !wire_send(p->fd, piece, sizeof piece);
        if (!p->failed) atomic_store(&p->sent, at + sizeof piece);
    }
    if (!p->failed) shutdown(p->fd, SHUT_WR);
    return NULL;
}

static void reads_much(struct scene *s, struct stream *in, uint64_t seed)
{
    char piece[65536];
    ssize_t n;
    uint64_t at = 0;
    while ((n = stream_read(in, piece, sizeof piece)) > 0) {
        if (pattern_differs(seed, at, piece, (size_t)n) != (size_t)n)
            scene_fail(s, "other bytes near %llu", (long long)at);
        at += (uint64_t)n;
    }
    if (n < 0 || at != MUCH) scene_fail(s, "%llu bytes came, then nothing", (long long)at);
}

/* Until it stands still: what is on its way is bounded, so it stops before the end. */
static void stands_still(struct scene *s, struct sender *p)
{
    uint64_t before = UINT64_MAX;
    while (before != atomic_load(&p->sent) || before == 0) {
        before = atomic_load(&p->sent);
        usleep(300 * 1000);
    }
    if (before >= MUCH) scene_fail(s, "all of it was taken, though nobody read it");
}

START_TEST(a_slow_reader_slows_the_other_side)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    struct sender there = { .fd = client->fd, .seed = 7 }, back = { .fd = c.fd, .seed = 8 };
    const int small = 256 * 1024; /* or the kernel takes it all */
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    holds(c.s, pthread_create(&there.thread, NULL, send_much, &there) == 0);
    stands_still(c.s, &there);
    holds(c.s, pthread_create(&back.thread, NULL, send_much, &back) == 0);
    stands_still(c.s, &back);
    reads_much(c.s, &c.in, 7);
    reads_much(c.s, &client->stream, 8);
    pthread_join(there.thread, NULL);
    pthread_join(back.thread, NULL);
    holds(c.s, !there.failed && !back.failed);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

/* ---- the end */

START_TEST(either_side_may_say_that_it_has_said_all)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    int first = _i == 0 ? client->fd : c.fd, second = _i == 0 ? c.fd : client->fd;
    struct stream *heard_by_first = _i == 0 ? &client->stream : &c.in;
    struct stream *heard_by_second = _i == 0 ? &c.in : &client->stream;
    sends(c.s, first, "that was all");
    shutdown(first, SHUT_WR);
    reads(c.s, heard_by_second, "that was all");
    reads_end(c.s, heard_by_second);
    sends(c.s, second, "not here");
    reads(c.s, heard_by_first, "not here");
    tunnels_become(c.s, 1);
    shutdown(second, SHUT_WR);
    reads_end(c.s, heard_by_first);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

static void closes(int *fd, bool reset)
{
    if (reset) wire_reset(*fd);
    close(*fd);
    *fd = -1;
}

static const bool resets[] = { false, true };

START_TEST(a_server_that_closes_ends_it)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    closes(&c.fd, resets[_i]);
    reads_end(c.s, &client->stream);
    closes(&client->fd, false);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(a_client_that_closes_ends_it)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    closes(&client->fd, resets[_i]);
    reads_end(c.s, &c.in);
    chat_closes(&c);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

/* The client goes on sending to a server that is gone: it hears the last words all the same. */
START_TEST(last_words_are_heard)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    sends(c.s, c.fd, "last words");
    closes(&c.fd, false);
    for (int i = 0; i < 50 && wire_send(client->fd, "on and on", 9); i++) usleep(1000);
    reads(c.s, &client->stream, "last words");
    reads_end(c.s, &client->stream);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(silence_ends_it)
{
    struct chat c =
        chat_begin("routes: [{match: /socket, upgrade: websocket, origin: chat, tunnel_idle_timeout: 1s}]\n");
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    reads_end(c.s, &client->stream);
    reads_end(c.s, &c.in);
    tunnels_become(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(there_is_a_limit)
{
    struct chat c = chat_begin(UPGRADABLE "limits: {tunnels: 1}\n");
    struct client *first = client_arrives(c.s), *second = client_arrives(c.s);
    asks_to_switch(c.s, first, ""); /* which takes the place before it is answered */
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    asks_to_switch(c.s, second, "");
    hears(c.s, second, "503", "Retry-After: 1\nCache-Status: weir; detail=too-many-tunnels; !fwd", NULL);
    sends(c.s, c.fd, SWITCHES);
    hears_switch(c.s, first, "");
    tunnels_become(c.s, 1);
    asks_to_switch(c.s, second, "");
    hears(c.s, second, "503", "Cache-Status: weir; detail=too-many-tunnels", NULL);
    closes(&first->fd, true);
    reads_end(c.s, &c.in);
    chat_closes(&c);
    tunnels_become(c.s, 0);
    asks_to_switch(c.s, second, "");
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    sends(c.s, c.fd, "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    hears(c.s, second, "403", "", ""); /* which gives the place back */
    chat_closes(&c);
    both_switch(&c, second);
    chat_end(&c);
}
END_TEST

/* What the origin may have under way is for requests. */
START_TEST(a_tunnel_takes_no_place_at_the_origin)
{
    struct chat c = { .s = scene_begin_stopped(), .fd = -1 };
    c.listener = wire_listen(&c.port);
    weir_begins(&c,
                say(c.s, "{servers: \"http://127.0.0.1:%d\", connections: 1, in_flight: 1, queue_timeout: 1s}", c.port),
                UPGRADABLE);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        both_switch(&c, client_arrives(c.s));
        fds[i] = c.fd;
    }
    tunnels_become(c.s, 3);
    for (int i = 0; i < 3; i++) close(fds[i]);
    c.fd = -1;
    chat_end(&c);
}
END_TEST

/* ---- weir ends, or reads its file again */

START_TEST(weir_does_not_wait_for_tunnels)
{
    struct chat c = chat_begin(UPGRADABLE "drain_timeout: 600s\n");
    struct client *client = scene_client(c.s);
    both_switch(&c, client);
    weir_stops(c.s);
    reads_end(c.s, &client->stream);
    reads_end(c.s, &c.in);
    chat_end(&c);
}
END_TEST

/* A request that is under way may still end well, or as well as it can. */
START_TEST(weir_ends_while_both_are_about_to_switch)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s);
    asks_to_switch(c.s, client, "");
    chat_hears(&c, "GET /socket ", ASKED_LINES);
    weir_is_told_to_stop(c.s);
    sends(c.s, c.fd, SWITCHES);
    hears_switch(c.s, client, "Upgrade: websocket");
    reads_end(c.s, &client->stream);
    reads_end(c.s, &c.in);
    weir_ends_with(c.s, 0);
    chat_end(&c);
}
END_TEST

START_TEST(a_reload_leaves_tunnels_alone)
{
    struct chat c = chat_begin(UPGRADABLE);
    struct client *client = scene_client(c.s), *other = client_arrives(c.s);
    both_switch(&c, client);
    config_says(c.s, "routes: [{match: /socket}]\n");
    admin_asks(c.s, "POST /v1/reload", "");
    admin_hears(c.s, "200", "");
    origin_answers(c.s, "200", "Cache-Control: no-store", "jam");
    asks_to_switch(c.s, other, "");
    hears(c.s, other, "200", "", "jam");
    origin_heard(c.s, "GET /socket", "!Upgrade");
    sends(c.s, client->fd, "still there");
    reads(c.s, &c.in, "still there");
    sends(c.s, c.fd, "still here");
    reads(c.s, &client->stream, "still here");
    chat_end(&c);
}
END_TEST

static const struct file_row {
    const char *upgrade, *says;
} files[] = {
    { "h2c", "a protocol other than HTTP and TLS" },
    { "[websocket, h2c]", "a protocol other than HTTP and TLS" },
    { "TLS/1.3", "a protocol other than HTTP and TLS" },
    { "web socket", "the name of a protocol: websocket" },
    { "websocket, answer: 404", "no origin that could switch" },
    { "websocket, redirect: \"https://new.example\"", "no origin that could switch" },
};

START_TEST(what_cannot_switch_cannot_be_listed)
{
    struct scene *s = scene_begin_stopped();
    config_says(s, say(s, "origin: http://127.0.0.1:1\nroutes: [{match: /socket, upgrade: %s}]\n", files[_i].upgrade));
    weir_run_ends(s, say(s, "check %s/weir.yaml", scene_weir(s)->dir), 2, files[_i].says);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(both_sides_switch, on_path),
        TABLE(other_requests_are_answered_as_ever, plain),
        TEST(http_1_0_does_not_switch),
        TABLE(any_other_answer_is_passed_on, refusals),
        TEST(the_cache_is_passed_by),
        TABLE(a_101_that_is_none_is_a_bad_answer, bad_switches),
        TEST(interim_responses_come_first),
        TEST(another_server_is_asked),
        TEST(a_client_that_does_not_wait_ends_it),
        TEST(a_slow_reader_slows_the_other_side),
        { either_side_may_say_that_it_has_said_all, 2 },
        TABLE(a_server_that_closes_ends_it, resets),
        TABLE(a_client_that_closes_ends_it, resets),
        TEST(last_words_are_heard),
        TEST(silence_ends_it),
        TEST(there_is_a_limit),
        TEST(a_tunnel_takes_no_place_at_the_origin),
        TEST(weir_does_not_wait_for_tunnels),
        TEST(weir_ends_while_both_are_about_to_switch),
        TEST(a_reload_leaves_tunnels_alone),
        TABLE(what_cannot_switch_cannot_be_listed, files),
    };
    return converse("upgrade", tests, COUNT(tests));
}
