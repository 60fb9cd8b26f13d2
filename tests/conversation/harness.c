#define HARNESS_INSIDE
#include "tests/conversation/harness.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ftw.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_LIMIT  1024
#define SAYINGS_LIMIT  256
#define TEST_TIMEOUT_S 90
#define LOG_SHOWN      3000

struct scene {
    const char *file;
    int line;
    struct origin *origin;
    struct process weir;
    bool has_weir;
    struct client *client, *admin;
    struct client *clients[CLIENTS_LIMIT];
    size_t arrived;
    char *sayings[SAYINGS_LIMIT];
    size_t said;
};

/* ---- failing ---- */

struct scene *scene_at(struct scene *s, const char *file, int line)
{
    s->file = file;
    s->line = line;
    mark_point();
    return s;
}

void scene_fail(struct scene *s, const char *format, ...)
{
    char what[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *log = s->has_weir ? process_log(&s->weir, LOG_SHOWN) : "";
    bool died = s->has_weir && s->weir.pid != 0 && !process_is_running(&s->weir);
    ck_abort_msg("%s:%d: %s%s%s%s", s->file, s->line, what, died ? "\nweir runs no more" : "",
                 *log == '\0' ? "" : "\nweir said: ", log);
    abort(); /* ck_abort_msg does not return */
}

/* A head as it reads on the wire, for messages. */
static const char *show_head(const struct head *h)
{
    static char text[3072];
    size_t len = (size_t)snprintf(text, sizeof text, "%s\n", h->start == NULL ? "(no head)" : h->start);
    for (size_t i = 0; i < h->count && len < sizeof text - 1; i++) {
        int n = snprintf(text + len, sizeof text - len, "    %s: %s\n", h->lines[i].name, h->lines[i].value);
        len += n > 0 ? (size_t)n : 0;
    }
    return text;
}

/* ---- the scene ---- */

static void raise_file_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static struct scene *scene_new(bool has_weir)
{
    struct scene *s = calloc(1, sizeof *s);
    s->file = "setting the scene";
    s->has_weir = has_weir;
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);
    s->origin = origin_start(0);
    if (s->origin == NULL) abort();
    if (has_weir) process_init(&s->weir);
    return s;
}

struct scene *scene_begin_stopped(void)
{
    return scene_new(true);
}

struct scene *scene_begin(const char *options)
{
    struct scene *s = scene_new(true);
    weir_starts(s, options);
    return s;
}

struct scene *scene_begin_without_weir(void)
{
    struct scene *s = scene_new(false);
    s->client = client_arrives(s);
    return s;
}

static void close_clients(struct scene *s)
{
    for (size_t i = 0; i < s->arrived; i++)
        if (s->clients[i] != NULL) client_close(s->clients[i]);
    if (s->admin != NULL) client_close(s->admin);
    s->client = s->admin = NULL;
    s->arrived = 0;
}

void scene_end(struct scene *s)
{
    close_clients(s);
    if (s->has_weir && s->weir.pid != 0) weir_stops(s);
    if (origin_unscripted(s->origin) > 0)
        scene_fail(s, "the origin was asked %zu times for what is not in the script; the last request: %s",
                   origin_unscripted(s->origin),
                   show_head(&origin_heard_at(s->origin, origin_count(s->origin) - 1)->head));
    if (origin_unasked(s->origin) > 0)
        scene_fail(s, "the origin was not asked for %zu of its answers", origin_unasked(s->origin));
    origin_end(s->origin);
    for (size_t i = 0; i < s->said; i++) free(s->sayings[i]);
    free(s);
}

struct origin *scene_origin(struct scene *s)
{
    return s->origin;
}

struct process *scene_weir(struct scene *s)
{
    return &s->weir;
}

struct client *scene_client(struct scene *s)
{
    return s->client;
}

const char *say(struct scene *s, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0 || s->said == SAYINGS_LIMIT) abort();
    return s->sayings[s->said++] = text;
}

const char *date(struct scene *s, int64_t seconds_from_now)
{
    time_t at = time(NULL) + (s->has_weir ? *s->weir.clock_offset_s : 0) + seconds_from_now;
    struct tm tm;
    char text[64];
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
    return say(s, "%s", text);
}

const char *dated(struct scene *s, const char *text)
{
    char out[4096];
    size_t len = 0;
    while (*text != '\0' && len < sizeof out - 64) {
        int64_t seconds;
        int used = 0;
        if (*text == '{' && sscanf(text, "{%" SCNd64 "}%n", &seconds, &used) == 1 && used > 0) {
            len += (size_t)snprintf(out + len, sizeof out - len, "%s", date(s, seconds));
            text += used;
        } else {
            out[len++] = *text++;
        }
    }
    return say(s, "%.*s", (int)len, out);
}

/* ---- weir ---- */

void weir_starts(struct scene *s, const char *options)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", origin_port(s->origin));
    const char *wrong = process_start(&s->weir, url, options);
    if (wrong != NULL) scene_fail(s, "%s", wrong);
    close_clients(s);
    s->client = client_arrives(s);
}

static void check_log(struct scene *s)
{
    static const char *const signs[] = { "Sanitizer", "runtime error:", "Assertion", "assertion" };
    const char *log = process_log(&s->weir, SIZE_MAX);
    for (size_t i = 0; i < COUNT(signs); i++)
        if (strstr(log, signs[i]) != NULL) scene_fail(s, "weir's log holds \"%s\"", signs[i]);
}

void weir_ends_with(struct scene *s, int status)
{
    int ended = process_wait(&s->weir);
    if (ended == -1) scene_fail(s, "weir did not end");
    check_log(s);
    if (ended != status) scene_fail(s, "weir ended with %d, not %d (256 + signal)", ended, status);
}

void weir_is_told_to_stop(struct scene *s)
{
    if (!process_is_running(&s->weir)) scene_fail(s, "weir does not run any more");
    kill(s->weir.pid, SIGTERM);
}

void weir_stops(struct scene *s)
{
    weir_is_told_to_stop(s);
    weir_ends_with(s, 0);
}

void weir_is_killed(struct scene *s)
{
    if (!process_is_running(&s->weir)) scene_fail(s, "weir does not run any more");
    kill(s->weir.pid, SIGKILL);
    weir_ends_with(s, 256 + SIGKILL);
}

void seconds_pass(struct scene *s, int64_t n)
{
    __atomic_add_fetch(s->weir.clock_offset_s, n, __ATOMIC_SEQ_CST);
}

void weir_run_ends(struct scene *s, const char *words, int status, const char *text)
{
    struct command_result result;
    process_run(&s->weir, words, &result);
    if (result.status != status)
        scene_fail(s, "weir %s: ended with %d, not %d; it said: %s", words, result.status, status, result.err);
    if (status == 0) {
        if (strstr(result.out, text) == NULL) scene_fail(s, "weir %s: no \"%s\" in: %s", words, text, result.out);
        return;
    }
    const char *end = strchr(result.err, '\n');
    if (end == NULL || end[1] != '\0') scene_fail(s, "weir %s: not one line on stderr: %s", words, result.err);
    if (strcasestr(result.err, text) == NULL) scene_fail(s, "weir %s: no \"%s\" in: %s", words, text, result.err);
}

/* ---- the origin ---- */

void origin_does(struct scene *s, const struct answer *a)
{
    origin_script(s->origin, a);
}

void origin_answers(struct scene *s, const char *status, const char *fields, const char *body)
{
    origin_answers_as(s, .status = status, .fields = fields, .body = body);
}

void origin_answers_at(struct scene *s, const char *target, const char *status, const char *fields, const char *body)
{
    origin_answers_as(s, .target = target, .status = status, .fields = fields, .body = body);
}

void origin_forgets(struct scene *s)
{
    origin_forget(s->origin);
}

void origin_goes(struct scene *s)
{
    origin_down(s->origin);
}

void origin_returns(struct scene *s)
{
    origin_up(s->origin);
}

void origin_waits_at(struct scene *s, const struct gate *g, int requests)
{
    if (!origin_wait_gate(s->origin, g, requests)) scene_fail(s, "%d requests did not reach the gate", requests);
}

void gate_opens(struct scene *s, struct gate *g)
{
    origin_open_gate(s->origin, g);
}

static const struct heard *heard_or_fail(struct scene *s, size_t n)
{
    if (!origin_wait_count(s->origin, n))
        scene_fail(s, "the origin heard %zu requests, not %zu", origin_count(s->origin), n);
    return origin_heard_at(s->origin, n - 1);
}

static const struct heard *heard_last(struct scene *s)
{
    (void)heard_or_fail(s, 1);
    return origin_heard_at(s->origin, origin_count(s->origin) - 1);
}

static void check_heard(struct scene *s, const struct heard *h, const char *request, const char *fields)
{
    char line[sizeof h->method + sizeof h->target];
    snprintf(line, sizeof line, "%s %s", h->method, h->target);
    if (strcmp(line, request) != 0)
        scene_fail(s, "the origin did not hear \"%s\" but: %s", request, show_head(&h->head));
    const char *lacks = head_lacks(&h->head, fields);
    if (lacks != NULL) scene_fail(s, "the origin did not hear \"%s\" but: %s", lacks, show_head(&h->head));
}

void origin_heard(struct scene *s, const char *request, const char *fields)
{
    check_heard(s, heard_last(s), request, fields);
}

void origin_heard_nth(struct scene *s, size_t n, const char *request, const char *fields)
{
    check_heard(s, heard_or_fail(s, n), request, fields);
}

void origin_heard_content(struct scene *s, const char *content)
{
    const struct heard *h = heard_last(s);
    const char *body = h->body == NULL ? "" : h->body;
    if (!h->body_complete || strcmp(body, content) != 0)
        scene_fail(s, "the origin did not hear \"%s\" but \"%.200s\"%s", content, body,
                   h->body_complete ? "" : ", broken off");
}

void origin_heard_pattern(struct scene *s, uint64_t seed, size_t len)
{
    const struct heard *h = heard_last(s);
    if (!h->body_complete || h->body_len != len) scene_fail(s, "the origin heard %zu bytes, not %zu", h->body_len, len);
    size_t differs = pattern_differs(seed, 0, h->body, len);
    if (differs < len) scene_fail(s, "what the origin heard differs from byte %zu on", differs);
}

void origin_count_is(struct scene *s, size_t n)
{
    if (n > 0) (void)heard_or_fail(s, n);
    if (origin_count(s->origin) != n)
        scene_fail(s, "the origin heard %zu requests, not %zu; the last: %s", origin_count(s->origin), n,
                   show_head(&heard_last(s)->head));
}

/* ---- clients ---- */

struct client *client_arrives(struct scene *s)
{
    int port = s->has_weir ? s->weir.port : origin_port(s->origin);
    struct client *c = client_open(port);
    if (c == NULL) scene_fail(s, "nobody answers on port %d", port);
    if (s->arrived == CLIENTS_LIMIT) abort();
    return s->clients[s->arrived++] = c;
}

void client_leaves(struct scene *s, struct client *c)
{
    for (size_t i = 0; i < s->arrived; i++)
        if (s->clients[i] == c) s->clients[i] = NULL;
    client_close(c);
}

static bool has_host(const char *fields)
{
    return fields != NULL && (strncasecmp(fields, "Host:", 5) == 0 || strcasestr(fields, "\nHost:") != NULL);
}

/* The next request needs a connection that is open, with nothing of an earlier response left on it. */
static void ready_to_ask(struct scene *s, struct client *c)
{
    bool used = c->response.head.start != NULL;
    if (used && !c->response.content.ended && !c->response.broken)
        scene_fail(s, "the response before was not read to its end");
    const char *connection = used ? head_value(&c->response.head, "Connection") : NULL;
    bool closing = connection != NULL && strcasecmp(connection, "close") == 0;
    bool stale = closing || c->fd < 0 || c->response.broken || c->response.content.framing == UNTIL_CLOSE;
    if ((stale || stream_wait(&c->stream, 0)) && !client_reconnect(c)) scene_fail(s, "weir takes no connection");
}

static void send_request(struct scene *s, struct client *c, const char *request, const char *fields,
                         const char *content)
{
    size_t room = strlen(request) + 2 * (fields == NULL ? 0 : strlen(fields)) + 256;
    char *head = malloc(room);
    size_t len = (size_t)snprintf(head, room, "%s HTTP/1.1\r\n", request);
    if (!has_host(fields)) len += (size_t)snprintf(head + len, room - len, "Host: " HOST "\r\n");
    for (const char *at = fields; at != NULL && *at != '\0';) {
        size_t line = strcspn(at, "\n");
        len += (size_t)snprintf(head + len, room - len, "%.*s\r\n", (int)line, at);
        at += line + (at[line] == '\n');
    }
    if (content != NULL) len += (size_t)snprintf(head + len, room - len, "Content-Length: %zu\r\n", strlen(content));
    len += (size_t)snprintf(head + len, room - len, "\r\n");
    snprintf(c->method, sizeof c->method, "%.*s", (int)strcspn(request, " "), request);
    bool sent = client_send(c, head, len) && (content == NULL || client_send(c, content, strlen(content)));
    free(head);
    if (!sent) scene_fail(s, "the request could not be sent");
}

void asks(struct scene *s, struct client *c, const char *request, const char *fields)
{
    ready_to_ask(s, c);
    send_request(s, c, request, fields, NULL);
}

void asks_with(struct scene *s, struct client *c, const char *request, const char *fields, const char *content)
{
    ready_to_ask(s, c);
    send_request(s, c, request, fields, content);
}

void says(struct scene *s, struct client *c, const char *method, const void *bytes, size_t len)
{
    snprintf(c->method, sizeof c->method, "%s", method);
    if (!client_send(c, bytes, len)) scene_fail(s, "the bytes could not be sent");
}

/* What holds for every response of weir, whatever a test is about. */
static void check_sound(struct scene *s, struct client *c)
{
    const struct head *h = &c->response.head;
    if (!s->has_weir || c->port != s->weir.port) return;
    const char *status = head_value(h, "Cache-Status");
    bool hit = status != NULL && head_lacks(h, "Cache-Status: weir; hit") == NULL;
    bool forwarded = status != NULL && head_lacks(h, "Cache-Status: weir; fwd") == NULL;
    const char *wrong = NULL;
    if (head_count(h, "Date") != 1) wrong = "one Date (RFC 9110 section 6.6.1)";
    if (hit && forwarded) wrong = "hit or fwd, not both (RFC 9211 section 2.2)";
    if (hit && c->response.status < 400 && head_count(h, "Age") != 1)
        wrong = "Age on what is reused (RFC 9111 section 4)";
    if (head_count(h, "Age") > 1) wrong = "one Age at most";
    if (head_value(h, "Surrogate-Key") != NULL || head_value(h, "Cache-Tag") != NULL || head_value(h, "xkey") != NULL)
        wrong = "tags taken off";
    if (wrong != NULL) scene_fail(s, "expected %s in: %s", wrong, show_head(h));
}

static bool status_meets(int status, const char *expected)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%03d", status);
    for (int i = 0; i < 3; i++)
        if (expected[i] != '*' && expected[i] != digits[i]) return false;
    return true;
}

void hears_head(struct scene *s, struct client *c, const char *status, const char *fields)
{
    const char *wrong = client_read_head(c);
    if (wrong != NULL) scene_fail(s, "the client heard no %s: %s", status, wrong);
    if (!status_meets(c->response.status, status))
        scene_fail(s, "the client did not hear %s but: %s", status, show_head(&c->response.head));
    const char *lacks = head_lacks(&c->response.head, fields);
    if (lacks != NULL) scene_fail(s, "the client did not hear \"%s\" but: %s", lacks, show_head(&c->response.head));
    check_sound(s, c);
}

void hears_content(struct scene *s, struct client *c, const char *content)
{
    size_t before = c->response.body_len, len = strlen(content);
    client_read_content(c, len);
    if (c->response.body_len - before != len || memcmp(c->response.body + before, content, len) != 0)
        scene_fail(s, "the client did not hear \"%s\" next but \"%.200s\"", content,
                   c->response.body == NULL ? "" : c->response.body + before);
}

void hears_end(struct scene *s, struct client *c)
{
    size_t before = c->response.body_len;
    const char *wrong = client_read_rest(c);
    if (wrong != NULL)
        scene_fail(s, "%s after %zu bytes: %s", wrong, c->response.body_len, show_head(&c->response.head));
    if (c->response.body_len != before) scene_fail(s, "more content came: \"%.200s\"", c->response.body + before);
}

void hears_break(struct scene *s, struct client *c)
{
    if (client_read_rest(c) == NULL)
        scene_fail(s, "a broken response looks complete: %s", show_head(&c->response.head));
}

void hears(struct scene *s, struct client *c, const char *status, const char *fields, const char *body)
{
    hears_head(s, c, status, fields);
    const char *wrong = client_read_rest(c);
    const char *heard = c->response.body == NULL ? "" : c->response.body;
    if (wrong != NULL) scene_fail(s, "%s after \"%.200s\": %s", wrong, heard, show_head(&c->response.head));
    if (body != NULL && (strlen(body) != c->response.body_len || strcmp(heard, body) != 0))
        scene_fail(s, "the client did not hear \"%s\" but \"%.500s\": %s", body, heard, show_head(&c->response.head));
}

void hears_pattern(struct scene *s, struct client *c, uint64_t seed, uint64_t from, uint64_t len)
{
    const char *wrong = client_read_pattern(c, seed, from, len);
    if (wrong != NULL) scene_fail(s, "%s: %s", wrong, show_head(&c->response.head));
}

void heard_interims(struct scene *s, struct client *c, size_t n)
{
    if (c->response.interims != n)
        scene_fail(s, "%zu interim responses came, not %zu%s%s", c->response.interims, n,
                   c->response.interims > 0 ? ": " : "",
                   c->response.interims > 0 ? show_head(&c->response.interim[0]) : "");
}

void heard_interim(struct scene *s, struct client *c, size_t n, const char *status, const char *fields)
{
    if (c->response.interims <= n) scene_fail(s, "only %zu interim responses came", c->response.interims);
    const struct head *h = &c->response.interim[n];
    if (strncmp(h->start + strlen("HTTP/1.1 "), status, 3) != 0 || head_lacks(h, fields) != NULL)
        scene_fail(s, "the interim response is not %s with %s but: %s", status, fields, show_head(h));
}

void hears_nothing(struct scene *s, struct client *c, int ms)
{
    if (stream_wait(&c->stream, ms)) scene_fail(s, "something came where nothing should");
}

void hears_interim(struct scene *s, struct client *c, const char *status, const char *fields)
{
    struct head h;
    const char *wrong = stream_head(&c->stream, &h);
    if (wrong != NULL) scene_fail(s, "the client heard no %s: %s", status, wrong);
    if (strncmp(h.start + strlen("HTTP/1.1 "), status, 3) != 0 || head_lacks(&h, fields) != NULL)
        scene_fail(s, "the client did not hear %s with \"%s\" but: %s", status, fields, show_head(&h));
    head_free(&h);
}

void is_closed(struct scene *s, struct client *c)
{
    if (!client_is_closed(c, WIRE_DEADLINE_S * 1000)) scene_fail(s, "the connection was not closed");
}

void is_refused(struct scene *s, struct client *c)
{
    if (client_read_head(c) != NULL) return; /* closed without a word, or with something that is no response */
    if (c->response.status < 400) scene_fail(s, "it was served: %s", show_head(&c->response.head));
    (void)client_read_rest(c);
}

const char *heard_field(struct client *c, const char *name)
{
    return head_value(&c->response.head, name);
}

void client_asks(struct scene *s, const char *request, const char *fields)
{
    asks(s, s->client, request, fields);
}

void client_sends(struct scene *s, const char *request, const char *fields, const char *content)
{
    asks_with(s, s->client, request, fields, content);
}

void client_hears(struct scene *s, const char *status, const char *fields, const char *body)
{
    hears(s, s->client, status, fields, body);
}

void client_soon_hears(struct scene *s, const char *request, const char *fields, const char *body)
{
    const struct timespec a_moment = { .tv_nsec = 10000000 };
    for (int i = 0; i < WIRE_DEADLINE_S * 100; i++) {
        asks(s, s->client, request, "");
        hears(s, s->client, "***", "", NULL);
        const struct response *r = &s->client->response;
        bool same = strcmp(r->body == NULL ? "" : r->body, body) == 0;
        if (same && head_lacks(&r->head, fields) == NULL) return;
        nanosleep(&a_moment, NULL);
    }
    scene_fail(s, "the client did not hear \"%s\" with \"%s\" in time but: %s", body, fields,
               show_head(&s->client->response.head));
}

/* ---- the admin API ---- */

void admin_asks(struct scene *s, const char *request, const char *json)
{
    if (s->admin == NULL) s->admin = client_open(s->weir.admin_port);
    if (s->admin == NULL) scene_fail(s, "nobody answers on the admin port");
    char fields[128]; /* the admin API answers to its own name only */
    snprintf(fields, sizeof fields, "Host: 127.0.0.1:%d%s", s->weir.admin_port,
             json == NULL ? "" : "\nContent-Type: application/json");
    asks_with(s, s->admin, request, fields, json);
}

void admin_hears(struct scene *s, const char *status, const char *fields)
{
    hears(s, s->admin, status, fields, NULL);
}

const char *admin_heard(struct scene *s)
{
    return s->admin->response.body == NULL ? "" : s->admin->response.body;
}

/* The value behind "name": in a flat JSON object, up to its comma or brace. */
static bool json_member(const char *json, const char *name, char *out, size_t size)
{
    char quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = json == NULL ? NULL : strstr(json, quoted);
    if (at == NULL) return false;
    at += strlen(quoted);
    at += strspn(at, " \t\r\n");
    if (*at++ != ':') return false;
    at += strspn(at, " \t\r\n");
    size_t len = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ",}] \t\r\n");
    snprintf(out, size, "%.*s", (int)len, at);
    return true;
}

static void check_member(struct scene *s, const struct client *c, const char *name, const char *value)
{
    char found[512];
    if (!json_member(c->response.body, name, found, sizeof found))
        scene_fail(s, "no member \"%s\" in: %s", name, c->response.body == NULL ? "" : c->response.body);
    if (strcmp(found, value) != 0) scene_fail(s, "\"%s\" is %s, not %s", name, found, value);
}

void admin_heard_member(struct scene *s, const char *name, const char *value)
{
    check_member(s, s->admin, name, value);
}

void client_heard_member(struct scene *s, const char *name, const char *value)
{
    check_member(s, s->client, name, value);
}

/* ---- the program ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

int converse(const char *topic, const struct test *tests, size_t n)
{
    char dir[256];
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/weir-test-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(dir) == NULL) abort();
    setenv("WEIR_TEST_DIR", dir, 1);
    Suite *suite = suite_create(topic);
    TCase *group = tcase_create(topic);
    tcase_set_timeout(group, TEST_TIMEOUT_S);
    for (size_t i = 0; i < n; i++) {
        if (tests[i].rows == 0)
            tcase_add_test(group, tests[i].run);
        else
            tcase_add_loop_test(group, tests[i].run, 0, tests[i].rows);
    }
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
