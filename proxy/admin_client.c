#include "proxy/admin_client.h"

#include "headers/field.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { FIRST_BYTES = 64 * 1024, HOST_MAX = 256 };

/* ---- connecting */

/* "127.0.0.1:8081" in two, brackets taken off; host has room for as much as address_port. */
static bool split(const char *address_port, char *host, const char **port)
{
    const char *colon = strrchr(address_port, ':');
    if (colon == NULL || colon == address_port || colon[1] == '\0') return false;
    size_t len = (size_t)(colon - address_port);
    bool bracketed = address_port[0] == '[' && address_port[len - 1] == ']' && len > 2;
    memcpy(host, address_port + bracketed, len - 2 * bracketed);
    host[len - 2 * bracketed] = '\0';
    *port = colon + 1;
    return true;
}

bool admin_address_is_valid(const char *address_port)
{
    char host[HOST_MAX];
    const char *port;
    int64_t number;
    return strlen(address_port) < sizeof host && split(address_port, host, &port) &&
           view_parse_decimal(view_of_str(port), 65536, &number) && number > 0 && number <= 65535;
}

static int connect_to(const struct addrinfo *a)
{
    const struct timeval patience = { .tv_sec = ADMIN_CLIENT_TIMEOUT_S };
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* also for connect */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_connection(const char *address_port, char *why, size_t cap)
{
    char host[HOST_MAX];
    const char *port;
    if (strlen(address_port) >= sizeof host || !split(address_port, host, &port)) {
        snprintf(why, cap, "'%s' is no address", address_port);
        return -1;
    }
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int fd = -1, rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        snprintf(why, cap, "%s: %s", address_port, gai_strerror(rc));
        return -1;
    }
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) fd = connect_to(a);
    int saved = errno;
    freeaddrinfo(found);
    if (fd < 0) snprintf(why, cap, "no weir answers on %s: %s", address_port, strerror(saved));
    return fd;
}

/* ---- asking */

static bool send_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_request(int fd, const struct admin_call *call)
{
    char *head = NULL;
    int len = asprintf(&head,
                       "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nUser-Agent: weir/" WEIR_VERSION
                       "\r\nAccept: application/json\r\n%s%s%s%s",
                       call->method, call->target, call->address, call->token != NULL ? "Authorization: Bearer " : "",
                       call->token != NULL ? call->token : "", call->token != NULL ? "\r\n" : "",
                       call->content.len > 0 ? "Content-Type: application/json\r\n" : "");
    if (len < 0) return false;
    char length[64];
    int n = snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", call->content.len);
    bool has_length = call->content.len > 0;
    bool sent = send_all(fd, head, (size_t)len) &&
                (has_length ? send_all(fd, length, (size_t)n) : send_all(fd, "\r\n", 2)) &&
                send_all(fd, call->content.at, call->content.len);
    free(head);
    return sent;
}

/* ---- the answer */

static size_t head_len(struct view v)
{
    const char *end = v.len > 0 ? memmem(v.at, v.len, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - v.at) + 4 : 0;
}

/* The value of a field of the head, or an empty view. */
static struct view field_value(struct view head, struct view name)
{
    while (head.len > 0) {
        size_t end = view_find(head, 0, '\n');
        struct view line = view_first(head, end);
        if (line.len > name.len && line.at[name.len] == ':' && view_starts_with_nocase(line, name)) {
            struct view value = view_after(line, name.len + 1);
            if (value.len > 0 && value.at[value.len - 1] == '\r') value.len--;
            return view_trim_ows(value);
        }
        head = view_after(head, end < head.len ? end + 1 : end);
    }
    return view_of(NULL, 0);
}

int admin_reply_parse(struct view received, bool ended, int *status, struct view *content)
{
    int64_t code, length;
    size_t len = head_len(received);
    if (len == 0) return ended || received.len > ADMIN_ANSWER_HEAD_MAX ? -1 : 1;
    struct view head = view_first(received, len);
    if (!view_starts_with(head, VIEW("HTTP/1.")) || head.len < 12 || head.at[8] != ' ') return -1;
    if (!view_parse_decimal(view_of(head.at + 9, 3), 999, &code) || code < 200) return -1;
    if (field_value(head, VIEW("Transfer-Encoding")).len > 0) return -1;
    *status = (int)code;
    *content = view_after(received, len);
    struct view says = field_value(head, VIEW("Content-Length"));
    if (says.len == 0) return ended ? 0 : 1;
    if (!view_parse_decimal(says, ADMIN_ANSWER_MAX + 1, &length) || length > ADMIN_ANSWER_MAX) return -1;
    if (content->len >= (size_t)length) {
        content->len = (size_t)length;
        return 0;
    }
    return ended ? -1 : 1;
}

/* Everything up to the end of the answer, into *at. @return as admin_reply_parse */
static int receive(int fd, char **at, int *status, struct view *content)
{
    size_t len = 0, cap = FIRST_BYTES;
    *at = malloc(cap);
    for (int rc = 1; *at != NULL;) {
        ssize_t n = recv(fd, *at + len, cap - len, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        len += (size_t)n;
        rc = admin_reply_parse(view_of(*at, len), n == 0, status, content);
        if (rc != 1) return rc;
        if (len < cap) continue;
        if (cap > ADMIN_ANSWER_MAX) return -1;
        char *grown = realloc(*at, cap *= 2);
        if (grown == NULL) return -1;
        *at = grown;
    }
    return -1;
}

static bool token_is_sound(const char *token)
{
    return token == NULL || field_value_is_valid(view_of_str(token));
}

int admin_call(const struct admin_call *call, struct admin_reply *out, char *why, size_t cap)
{
    struct view content = { NULL, 0 };
    char *received = NULL;
    *out = (struct admin_reply){ 0 };
    if (!token_is_sound(call->token)) {
        snprintf(why, cap, "the admin token has characters that no HTTP field can carry");
        return -1;
    }
    int fd = open_connection(call->address, why, cap);
    if (fd < 0) return -1;
    int rc = send_request(fd, call) ? receive(fd, &received, &out->status, &content) : -1;
    if (rc == 0) out->content = strndup(content.at, content.len);
    close(fd);
    free(received);
    out->content_len = content.len;
    if (rc == 0 && out->content != NULL) return 0;
    snprintf(why, cap, "%s: no answer that weir would give; is this its admin address?", call->address);
    return -1;
}
