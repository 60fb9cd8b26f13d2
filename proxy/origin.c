#include "proxy/origin.h"

#include "headers/target.h"

#include <stdio.h>
#include <stdlib.h>

enum { AUTHORITY_MAX = 300, UNIX_PATH_MAX = 107 };

static const char *const names[] = {
    [ORIGIN_COMPLETE] = "complete",
    [ORIGIN_UNREACHABLE] = "origin-unreachable",
    [ORIGIN_TLS] = "origin-tls",
    [ORIGIN_CLOSED] = "origin-closed",
    [ORIGIN_BAD_RESPONSE] = "origin-bad-response",
    [ORIGIN_TIMED_OUT] = "origin-timed-out",
    [ORIGIN_CUT] = "origin-cut",
    [ORIGIN_QUEUE_FULL] = "origin-queue-full",
    [ORIGIN_CANCELLED] = "cancelled",
};

const char *origin_result_name(enum origin_result r)
{
    return names[r];
}

static const struct origin_server defaults = {
    .connect_ms = 3000,
    .first_byte_ms = 30000,
    .between_bytes_ms = 30000,
    .total_ms = 0,
    .queue_ms = 10000,
    .idle_ms = 50000, /* below the keep-alive time of common servers: 60 s and 75 s */
    .connections_max = ORIGIN_CONNECTIONS_MAX,
    .queue_max = ORIGIN_QUEUE_MAX,
};

static bool refuse(char *why, size_t cap, const char *reason, const char *url)
{
    snprintf(why, cap, "%s: \"%s\"; an origin is http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH", reason, url);
    return false;
}

/* All that is allocated, or nothing. */
static bool fill(struct origin_server *out, const char *base_url, const char *unix_path, const char *authority,
                 const char *prefix)
{
    *out = defaults;
    out->base_url = strdup(base_url);
    out->unix_path = unix_path != NULL ? strdup(unix_path) : NULL;
    out->authority = strdup(authority);
    out->path_prefix = strdup(prefix);
    bool ok = out->base_url != NULL && out->authority != NULL && out->path_prefix != NULL;
    if (ok && (unix_path == NULL || out->unix_path != NULL)) return true;
    origin_server_release(out);
    return false;
}

static bool parse_unix(const char *url, struct origin_server *out, char *why, size_t cap)
{
    const char *path = url + strlen("unix:");
    if (path[0] != '/') return refuse(why, cap, "the path of a unix socket begins with /", url);
    if (strlen(path) > UNIX_PATH_MAX) return refuse(why, cap, "the path of a unix socket has at most 107 bytes", url);
    if (!fill(out, "http://localhost", path, "localhost", "")) return refuse(why, cap, "out of memory", url);
    return true;
}

/* An IPv6 address ends in a bracket, never in ":0". */
static bool has_port_0(const char *authority)
{
    const char *port = strrchr(authority, ':');
    return port != NULL && port[1] == '0' && port[strspn(port + 1, "0") + 1] == '\0';
}

static bool parse_http(const char *url, const struct uri *u, struct origin_server *out, char *why, size_t cap)
{
    bool https = view_equal_nocase(u->scheme, VIEW("https"));
    char authority[AUTHORITY_MAX], base_url[AUTHORITY_MAX + sizeof("https://")], prefix[ORIGIN_PREFIX_MAX + 1];
    int len = authority_normalise(u->authority, https, authority, sizeof(authority) - 1);
    if (len <= 0) return refuse(why, cap, "no valid host", url);
    authority[len] = '\0';
    if (has_port_0(authority)) return refuse(why, cap, "nobody listens on port 0", url);
    if (u->has_query) return refuse(why, cap, "an origin has no query", url);

    struct view path = u->path;
    while (path.len > 0 && path.at[path.len - 1] == '/') path.len--; /* what is forwarded begins with one */
    if (path.len > ORIGIN_PREFIX_MAX) return refuse(why, cap, "the path is too long", url);
    snprintf(prefix, sizeof(prefix), "%.*s", (int)path.len, path.len > 0 ? path.at : "");
    snprintf(base_url, sizeof(base_url), "%s://%s", https ? "https" : "http", authority);
    if (!fill(out, base_url, NULL, authority, prefix)) return refuse(why, cap, "out of memory", url);
    return true;
}

bool origin_server_parse(const char *url, struct origin_server *out, char *why, size_t cap)
{
    memset(out, 0, sizeof(*out));
    struct view v = view_of_str(url);
    if (view_starts_with(v, VIEW("unix:"))) return parse_unix(url, out, why, cap);
    struct uri u;
    if (view_find(v, 0, '#') < v.len || !uri_parse(v, &u)) return refuse(why, cap, "not an origin", url);
    return parse_http(url, &u, out, why, cap);
}

/* free takes no pointer to const, though it is the only one to know that the bytes are ours. */
static void release(const char **s)
{
    union {
        const char *borrowed;
        char *owned;
    } text = { .borrowed = *s };
    free(text.owned);
    *s = NULL;
}

void origin_server_release(struct origin_server *server)
{
    release(&server->base_url);
    release(&server->unix_path);
    release(&server->authority);
    release(&server->path_prefix);
}
