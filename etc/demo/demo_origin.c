/* demo-origin: a small API to put weir in front of.
 * Its resources differ in what they allow a cache to do; `resources` at the end lists them all. Every answer says
 * in X-Origin-Count how many requests have come this far: where the number stays the same, weir has answered.
 * Threads: libmicrohttpd's one thread calls every handler, so the state below needs no lock; `sleepers` wakes the
 * slow ones; main waits for a signal.                                                                             */
#include "etc/demo/sleepers.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ITEMS            9
#define NAME_BYTES       200  /* of an item's name */
#define SLOW_MS          1500 /* where the request does not say */
#define SLOW_LIMIT_MS    60000
#define LARGE_BYTES      (UINT64_C(64) << 20) /* where the request does not say */
#define LARGE_LIMIT      (UINT64_C(4) << 30)
#define LARGE_LINE       16 /* bytes: 15 hexadecimal digits and a line end */
#define LARGE_BLOCK      65536
#define FAIL_TIMES_LIMIT 1000000

struct item {
    char name[NAME_BYTES + 1];
    int version;
};

struct origin {
    struct item items[ITEMS + 1]; /* [0] is not used */
    uint64_t requests;            /* heard so far, those to /control/ aside */
    int fail_status;
    uint64_t fail_times; /* answers still to fail */
    struct sleepers *sleepers;
    bool quiet;
};

/* One request on its way; lives from its first handler call to request_ended. */
struct request {
    struct origin *origin;
    struct MHD_Connection *connection;
    const char *method;
    const char *path;
    const char *rest; /* what follows a resource's path, "3" in /items/3 */
    char content[NAME_BYTES + 1];
    size_t content_len;
    uint64_t number; /* for X-Origin-Count */
    bool heard;
    bool content_too_long;
    bool has_slept;
};

/* What a handler answers; no response means that the request sleeps. */
struct reply {
    unsigned status;
    struct MHD_Response *response;
};

/* ---- building answers ---- */

static void add(struct MHD_Response *r, const char *name, const char *value)
{
    if (r != NULL) (void)MHD_add_response_header(r, name, value); /* out of memory: the field is left out */
}

static struct reply answer(unsigned status, const char *type, char *content_take)
{
    struct MHD_Response *r = NULL;
    if (content_take != NULL)
        r = MHD_create_response_from_buffer(strlen(content_take), content_take, MHD_RESPMEM_MUST_FREE);
    if (r == NULL) free(content_take);
    add(r, "Content-Type", type);
    return (struct reply){ status, r };
}

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&out, format, args);
    va_end(args);
    return len < 0 ? NULL : out;
}

static struct reply answer_error(unsigned status, const char *why)
{
    struct reply reply = answer(status, "application/json", text("{\"error\": \"%s\"}\n", why));
    add(reply.response, "Cache-Control", "no-store");
    return reply;
}

static const char *request_field(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* A number from the query, or what stands for it where there is none. False: there is one, and it is no good. */
static bool query_number(const struct request *r, const char *name, uint64_t limit, uint64_t *number)
{
    const char *value = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
    if (value == NULL) return true;
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *value == '-' || parsed > limit) return false;
    *number = parsed;
    return true;
}

/* Weak comparison against the whole list (RFC 9110 §13.1.2). Our own tags hold no comma, so a comma ends one. */
static bool none_match_names(const char *list, const char *etag)
{
    while (list != NULL && *list != '\0') {
        list += strspn(list, " \t,");
        if (*list == '*') return true;
        if (strncmp(list, "W/", 2) == 0) list += 2;
        size_t len = strcspn(list, ", \t");
        if (len == strlen(etag) && memcmp(list, etag, len) == 0) return true;
        list += len;
    }
    return false;
}

struct kind {
    const char *type;
    const char *cache_control;
};

static const struct kind json_kind = { "application/json", "public, max-age=10, s-maxage=60, "
                                                           "stale-while-revalidate=30, stale-if-error=600" };
/* The page and its parts: a browser asks each time, weir answers "not modified" for an hour. */
static const struct kind page_kind = { "text/html; charset=utf-8", "public, max-age=0, s-maxage=3600" };
static const struct kind style_kind = { "text/css", "public, max-age=0, s-maxage=3600" };
static const struct kind script_kind = { "text/javascript", "public, max-age=0, s-maxage=3600" };

/* A resource with an entity tag: 200, or 304 where the client or the cache before us holds it already.
 * libmicrohttpd sends no content with a 304, but the length it would have had (RFC 9110 §8.6).          */
static struct reply answer_tagged(const struct request *r, const struct kind *kind, const char *etag,
                                  char *content_take)
{
    bool not_modified = none_match_names(request_field(r, "If-None-Match"), etag);
    struct reply reply = answer(not_modified ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, kind->type, content_take);
    add(reply.response, "ETag", etag);
    add(reply.response, "Cache-Control", kind->cache_control);
    return reply;
}

/* text as a JSON string without its quotes; out has room for six bytes per byte of text, and a NUL. */
static void json_escape(const char *from, char *out)
{
    for (; *from != '\0'; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '"' || c == '\\')
            out += sprintf(out, "\\%c", c);
        else if (c < 0x20)
            out += sprintf(out, "\\u%04x", c);
        else
            *out++ = (char)c;
    }
    *out = '\0';
}

/* ---- the resources ---- */

static char *item_json(const struct origin *o, int id)
{
    char name[6 * NAME_BYTES + 1];
    json_escape(o->items[id].name, name);
    return text("{\"id\": %d, \"name\": \"%s\", \"version\": %d}\n", id, name, o->items[id].version);
}

static void item_etag(const struct origin *o, int id, char *etag, size_t size)
{
    snprintf(etag, size, "\"item-%d-v%d\"", id, o->items[id].version);
}

static struct reply get_item(struct request *r, int id)
{
    char etag[64], tags[64];
    char *json = item_json(r->origin, id);
    item_etag(r->origin, id, etag, sizeof etag);
    struct reply reply = answer_tagged(r, &json_kind, etag, json);
    snprintf(tags, sizeof tags, "items item-%d", id);
    add(reply.response, "Surrogate-Key", tags);
    return reply;
}

static struct reply update_item(struct request *r, int id)
{
    struct item *item = &r->origin->items[id];
    if (r->content_too_long) return answer_error(MHD_HTTP_CONTENT_TOO_LARGE, "a name has at most 200 bytes");
    if (r->content_len > 0) memcpy(item->name, r->content, r->content_len + 1);
    item->version++;
    char etag[64];
    item_etag(r->origin, id, etag, sizeof etag);
    struct reply reply = answer(MHD_HTTP_OK, "application/json", item_json(r->origin, id));
    add(reply.response, "ETag", etag);
    return reply;
}

static struct reply one_item(struct request *r)
{
    int id = r->rest[0] - '0';
    if (strlen(r->rest) != 1 || id < 1 || id > ITEMS) return answer_error(MHD_HTTP_NOT_FOUND, "there is no such item");
    return strcmp(r->method, "POST") == 0 ? update_item(r, id) : get_item(r, id);
}

/* The list carries the tag of each item in it, so that a purge of one item's tag takes the list along. */
static struct reply all_items(struct request *r)
{
    char *json = strdup("[");
    char tags[16 * (ITEMS + 1)] = "items";
    int versions = 0;
    for (int id = 1; id <= ITEMS && json != NULL; id++) {
        char *item = item_json(r->origin, id);
        char *longer = item == NULL ? NULL : text("%s%s %s", json, id == 1 ? "\n" : ",", item);
        free(item);
        free(json);
        json = longer;
        versions += r->origin->items[id].version;
        snprintf(tags + strlen(tags), sizeof tags - strlen(tags), " item-%d", id);
    }
    char etag[64];
    snprintf(etag, sizeof etag, "\"items-v%d\"", versions);
    struct reply reply = answer_tagged(r, &json_kind, etag, json == NULL ? NULL : text("%s]\n", json));
    free(json);
    add(reply.response, "Surrogate-Key", tags);
    return reply;
}

static struct reply slow(struct request *r)
{
    uint64_t ms = SLOW_MS;
    if (!query_number(r, "ms", SLOW_LIMIT_MS, &ms))
        return answer_error(MHD_HTTP_BAD_REQUEST, "ms is a number up to 60000");
    if (!r->has_slept) {
        r->has_slept = true;
        if (sleepers_add(r->origin->sleepers, r->connection, (long)ms)) return (struct reply){ 0, NULL };
    }
    struct reply reply = answer(MHD_HTTP_OK, "application/json", text("{\"slept_ms\": %" PRIu64 "}\n", ms));
    add(reply.response, "Cache-Control", "s-maxage=10, stale-while-revalidate=60");
    return reply;
}

static struct reply greeting(struct request *r)
{
    static const char *const greetings[][2] = { { "en", "Hello" }, { "de", "Guten Tag" }, { "fr", "Bonjour" } };
    const char *accepted = request_field(r, "Accept-Language");
    size_t chosen = 0;
    for (size_t i = 0; accepted != NULL && i < sizeof greetings / sizeof *greetings; i++)
        if (strncasecmp(accepted, greetings[i][0], 2) == 0) chosen = i;
    struct reply reply =
        answer(MHD_HTTP_OK, "application/json", text("{\"greeting\": \"%s\"}\n", greetings[chosen][1]));
    add(reply.response, "Cache-Control", "s-maxage=60");
    add(reply.response, "Content-Language", greetings[chosen][0]);
    add(reply.response, "Vary", "Accept-Language");
    return reply;
}

static struct reply me(struct request *r)
{
    struct reply reply =
        answer(MHD_HTTP_OK, "application/json", text("{\"user\": \"you\", \"visit\": %" PRIu64 "}\n", r->number));
    add(reply.response, "Cache-Control", "private, max-age=60");
    return reply;
}

/* Line n of the large resource is n in 15 hexadecimal digits, so each byte follows from its position alone. */
static void large_line(uint64_t n, char line[LARGE_LINE])
{
    for (int i = LARGE_LINE - 2; i >= 0; i--, n >>= 4) line[i] = "0123456789abcdef"[n & 15];
    line[LARGE_LINE - 1] = '\n';
}

static ssize_t read_large(void *unused, uint64_t position, char *to, size_t cap)
{
    (void)unused;
    char line[LARGE_LINE];
    size_t filled = 0;
    while (filled < cap) {
        size_t from = (size_t)((position + filled) % LARGE_LINE);
        size_t some = LARGE_LINE - from < cap - filled ? LARGE_LINE - from : cap - filled;
        large_line((position + filled) / LARGE_LINE, line);
        memcpy(to + filled, line + from, some);
        filled += some;
    }
    return (ssize_t)filled;
}

static struct reply large(struct request *r)
{
    uint64_t bytes = LARGE_BYTES;
    if (!query_number(r, "bytes", LARGE_LIMIT, &bytes))
        return answer_error(MHD_HTTP_BAD_REQUEST, "bytes is a number up to 4294967296");
    struct reply reply = { MHD_HTTP_OK, MHD_create_response_from_callback(bytes, LARGE_BLOCK, read_large, NULL, NULL) };
    add(reply.response, "Content-Type", "text/plain");
    add(reply.response, "Cache-Control", "s-maxage=3600");
    add(reply.response, "Surrogate-Key", "large");
    return reply;
}

static struct reply control_fail(struct request *r)
{
    uint64_t status = MHD_HTTP_SERVICE_UNAVAILABLE, times = 1;
    if (!query_number(r, "status", 599, &status) || status < 400)
        return answer_error(MHD_HTTP_BAD_REQUEST, "status is a number from 400 to 599");
    if (!query_number(r, "times", FAIL_TIMES_LIMIT, &times))
        return answer_error(MHD_HTTP_BAD_REQUEST, "times is a number up to 1000000");
    r->origin->fail_status = (int)status;
    r->origin->fail_times = times;
    return answer(MHD_HTTP_OK, "application/json",
                  text("{\"status\": %" PRIu64 ", \"times\": %" PRIu64 "}\n", status, times));
}

static struct reply control_count(struct request *r)
{
    struct reply reply =
        answer(MHD_HTTP_OK, "application/json", text("{\"requests\": %" PRIu64 "}\n", r->origin->requests));
    add(reply.response, "Cache-Control", "no-store");
    return reply;
}

static struct reply style(struct request *r)
{
    return answer_tagged(r, &style_kind, "\"style-1\"",
                         strdup("body { font-family: sans-serif; margin: 2em; }\n"
                                "td { padding: .3em 1em .3em 0; vertical-align: top; }\n"));
}

static struct reply script(struct request *r)
{
    return answer_tagged(r, &script_kind, "\"script-1\"",
                         strdup("fetch('/items').then(async answer => {\n"
                                "    const items = await answer.json();\n"
                                "    document.getElementById('items').textContent =\n"
                                "        items.map(item => item.name).join(', ') +\n"
                                "        ' (Cache-Status: ' + answer.headers.get('Cache-Status') + ')';\n"
                                "});\n"));
}

static struct reply page(struct request *r);

/* A path that ends in '/' has its subject behind it, save the page itself. */
static const struct resource {
    const char *path;
    const char *methods;
    struct reply (*answer)(struct request *r);
    const char *what;
} resources[] = {
    { "/", "GET, HEAD", page, "this page" },
    { "/style.css", "GET, HEAD", style, "its style" },
    { "/script.js", "GET, HEAD", script, "its script, which asks for /items" },
    { "/items", "GET, HEAD", all_items, "all items; tagged items, item-1, item-2, ..." },
    { "/items/", "GET, HEAD, POST", one_item,
      "an item, /items/1 to /items/9; tagged items and item-N. POST a new name, and its ETag changes" },
    { "/slow", "GET, HEAD", slow, "takes its time: ?ms=1500" },
    { "/greeting", "GET, HEAD", greeting, "speaks en, de and fr: Vary: Accept-Language" },
    { "/me", "GET, HEAD", me, "private: every user sees another" },
    { "/large", "GET, HEAD", large, "as large as you like, up to 4 GiB: ?bytes=67108864" },
    { "/control/fail", "POST", control_fail, "let the next answers fail: ?status=503&amp;times=3" },
    { "/control/count", "GET, HEAD", control_count, "how many requests have come this far" },
};
#define RESOURCES (sizeof resources / sizeof *resources)

static struct reply page(struct request *r)
{
    char *html = strdup(
        "<!doctype html>\n<title>weir's demo origin</title>\n"
        "<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n<h1>weir's demo origin</h1>\n<table>\n");
    for (size_t i = 0; i < RESOURCES && html != NULL; i++) {
        char *longer = text("%s<tr><td><a href=\"%s\">%s</a><td>%s<td>%s\n", html, resources[i].path, resources[i].path,
                            resources[i].methods, resources[i].what);
        free(html);
        html = longer;
    }
    char *whole =
        html == NULL ? NULL : text("%s</table>\n<p id=\"items\"></p>\n<script src=\"/script.js\"></script>\n", html);
    free(html);
    return answer_tagged(r, &page_kind, "\"page-1\"", whole);
}

/* ---- from a request to its answer ---- */

static const struct resource *resource_at(struct request *r)
{
    for (size_t i = 0; i < RESOURCES; i++) {
        size_t len = strlen(resources[i].path);
        bool has_subject = len > 1 && resources[i].path[len - 1] == '/';
        if (strncmp(r->path, resources[i].path, len) != 0) continue;
        if (r->path[len] != '\0' && !has_subject) continue;
        r->rest = r->path + len;
        return &resources[i];
    }
    return NULL;
}

static bool list_has_method(const char *methods, const char *method)
{
    size_t len = strlen(method);
    for (const char *at = methods; (at = strstr(at, method)) != NULL; at += len)
        if ((at == methods || at[-1] == ' ') && (at[len] == ',' || at[len] == '\0')) return true;
    return false;
}

static struct reply reply_to(struct request *r)
{
    bool controls = strncmp(r->path, "/control/", strlen("/control/")) == 0;
    if (!controls && !r->has_slept) r->number = ++r->origin->requests;
    if (!controls && !r->has_slept && r->origin->fail_times > 0) {
        r->origin->fail_times--;
        return answer_error((unsigned)r->origin->fail_status, "told to fail");
    }
    const struct resource *resource = resource_at(r);
    if (resource == NULL) return answer_error(MHD_HTTP_NOT_FOUND, "nothing is here; / lists what there is");
    if (list_has_method(resource->methods, r->method)) return resource->answer(r);
    struct reply reply = answer_error(MHD_HTTP_METHOD_NOT_ALLOWED, "not with this method");
    add(reply.response, "Allow", resource->methods);
    return reply;
}

static enum MHD_Result send_reply(const struct request *r, struct reply reply)
{
    char number[32];
    snprintf(number, sizeof number, "%" PRIu64, r->number);
    if (r->number > 0) add(reply.response, "X-Origin-Count", number);
    if (!r->origin->quiet) printf("origin: %s %s -> %u\n", r->method, r->path, reply.status);
    enum MHD_Result queued = MHD_queue_response(r->connection, reply.status, reply.response);
    MHD_destroy_response(reply.response);
    return queued;
}

static void take_content(struct request *r, const char *some, size_t len)
{
    size_t room = NAME_BYTES - r->content_len;
    if (len > room) r->content_too_long = true;
    if (len > room) len = room;
    memcpy(r->content + r->content_len, some, len);
    r->content_len += len;
}

/* Called with the head, then with each piece of content, then without any; once more after a sleep. */
static enum MHD_Result handle(void *origin, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *upload, size_t *upload_len, void **state)
{
    (void)version;
    struct request *r = *state;
    if (r == NULL) {
        *state = r = calloc(1, sizeof *r);
        if (r == NULL) return MHD_NO;
        r->origin = origin;
        r->connection = connection;
        return MHD_YES;
    }
    r->path = path;
    r->method = method;
    if (*upload_len > 0) {
        take_content(r, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    struct reply reply = reply_to(r);
    bool asleep = reply.status == 0;
    if (asleep) return MHD_YES;
    return reply.response == NULL ? MHD_NO : send_reply(r, reply);
}

static void request_ended(void *origin, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode how)
{
    (void)origin;
    (void)connection;
    (void)how;
    free(*state);
    *state = NULL;
}

/* ---- the command ---- */

static const char usage[] = "usage: demo-origin [--listen ADDR:PORT] [--quiet] [--help]\n"
                            "\n"
                            "A small API to put weir in front of. GET / lists what it offers.\n"
                            "\n"
                            "  --listen ADDR:PORT  where to listen (127.0.0.1:3000; IPv6 in brackets)\n"
                            "  --quiet             do not print a line for each request\n";

struct options {
    const char *listen;
    bool quiet;
    bool help;
};

/* NULL, or what is wrong. */
static const char *read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            o->help = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            o->quiet = true;
        else if (strcmp(argv[i], "--listen") != 0)
            return argv[i];
        else if (++i < argc)
            o->listen = argv[i];
        else
            return "--listen without an address";
    }
    return NULL;
}

/* "127.0.0.1:3000" or "[::1]:3000". NULL: not an address. The caller frees the result with freeaddrinfo. */
static struct addrinfo *parse_address(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char host[64];
    if (colon == NULL || colon == listen || colon[1] == '\0') return NULL;
    bool bracketed = listen[0] == '[' && colon[-1] == ']';
    int len = (int)(colon - listen) - (bracketed ? 2 : 0);
    if (len >= (int)sizeof host || snprintf(host, sizeof host, "%.*s", len, listen + bracketed) != len) return NULL;
    struct addrinfo *found = NULL;
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static struct MHD_Daemon *start_daemon(struct origin *o, const struct addrinfo *address)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (address->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
    return MHD_start_daemon(flags, 0, NULL, NULL, handle, o, MHD_OPTION_SOCK_ADDR, address->ai_addr,
                            MHD_OPTION_NOTIFY_COMPLETED, request_ended, NULL, MHD_OPTION_CONNECTION_TIMEOUT, 120u,
                            MHD_OPTION_END);
}

static void name_items(struct origin *o)
{
    static const char *const names[ITEMS] = { "apple",  "pear", "plum",     "cherry", "quince",
                                              "medlar", "fig",  "mulberry", "sloe" };
    for (int id = 1; id <= ITEMS; id++) {
        snprintf(o->items[id].name, sizeof o->items[id].name, "%s", names[id - 1]);
        o->items[id].version = 1;
    }
}

/* Serve until SIGINT or SIGTERM, which the caller has blocked in every thread. */
static int serve(struct origin *o, const char *listen, const struct addrinfo *address, const sigset_t *ending)
{
    struct MHD_Daemon *daemon = start_daemon(o, address);
    if (daemon == NULL) {
        fprintf(stderr, "demo-origin: cannot listen on %s: %s\n", listen, strerror(errno));
        sleepers_stop(o->sleepers);
        return 1;
    }
    if (!o->quiet) printf("origin: listening on http://%s/\n", listen);
    int signal_number;
    sigwait(ending, &signal_number);
    sleepers_stop(o->sleepers);
    MHD_stop_daemon(daemon);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = { .listen = "127.0.0.1:3000" };
    const char *wrong = read_options(argc, argv, &options);
    if (wrong != NULL) fprintf(stderr, "demo-origin: %s: unknown or incomplete option; see --help\n", wrong);
    if (wrong != NULL) return 2;
    if (options.help) return fputs(usage, stdout) < 0;

    setvbuf(stdout, NULL, _IOLBF, 0); /* a line per request is seen when it happens, in a pipe too */
    signal(SIGPIPE, SIG_IGN);
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);

    struct addrinfo *address = parse_address(options.listen);
    if (address == NULL) {
        fprintf(stderr, "demo-origin: --listen %s: not an address and port, such as 127.0.0.1:3000\n", options.listen);
        return 2;
    }
    struct origin origin = { .quiet = options.quiet, .sleepers = sleepers_start() };
    if (origin.sleepers == NULL) return 1;
    name_items(&origin);
    int status = serve(&origin, options.listen, address, &ending);
    sleepers_free(origin.sleepers);
    freeaddrinfo(address);
    return status;
}
