#include "tests/conversation/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_LIMIT  65536
#define LINES_LIMIT 1024

/* ---- sockets ---- */

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

void wire_set_deadline(int fd)
{
    struct timeval deadline = { .tv_sec = WIRE_DEADLINE_S };
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

int wire_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct sockaddr_in to = loopback(port);
    wire_set_deadline(fd);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

int wire_listen(int *port)
{
    return wire_listen_at("127.0.0.1", port);
}

int wire_listen_at(const char *address, int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in at = loopback(*port);
    socklen_t len = sizeof at;
    if (inet_pton(AF_INET, address, &at.sin_addr) == 1 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        listen(fd, 1024) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
        *port = ntohs(at.sin_port);
        return fd;
    }
    close(fd);
    return -1;
}

void wire_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

bool wire_send(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- reading ---- */

void stream_open(struct stream *s, int fd)
{
    s->fd = fd;
    s->from = s->to = 0;
}

bool stream_wait(const struct stream *s, int ms)
{
    if (s->from < s->to) return true;
    struct pollfd p = { .fd = s->fd, .events = POLLIN };
    return poll(&p, 1, ms) > 0;
}

static ssize_t stream_fill(struct stream *s)
{
    if (s->from == s->to) s->from = s->to = 0;
    ssize_t n;
    do n = recv(s->fd, s->bytes + s->to, sizeof s->bytes - s->to, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) s->to += (size_t)n;
    return n;
}

ssize_t stream_read(struct stream *s, char *to, size_t cap)
{
    if (cap == 0) return 0;
    if (s->from == s->to) {
        ssize_t n = stream_fill(s);
        if (n <= 0) return n;
    }
    size_t some = s->to - s->from < cap ? s->to - s->from : cap;
    memcpy(to, s->bytes + s->from, some);
    s->from += some;
    return (ssize_t)some;
}

/* One byte: the heads of a test are short, and a byte at a time keeps this plain. 256: the end; -1: an error. */
static int stream_byte(struct stream *s)
{
    unsigned char c;
    ssize_t n = stream_read(s, (char *)&c, 1);
    return n == 1 ? c : n == 0 ? 256 : -1;
}

/* Bytes up to and without the blank line. */
static const char *stream_section(struct stream *s, char *bytes, size_t *len)
{
    *len = 0;
    for (;;) {
        int c = stream_byte(s);
        if (c == 256) return *len == 0 ? "closed" : "closed within a head";
        if (c < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return "nothing came within the deadline";
        if (c < 0) return *len == 0 ? "reset" : "reset within a head";
        bytes[(*len)++] = (char)c;
        if (*len >= 4 && memcmp(bytes + *len - 4, "\r\n\r\n", 4) == 0) break;
        if (*len == 2 && memcmp(bytes, "\r\n", 2) == 0) break; /* an empty trailer section */
        if (*len == HEAD_LIMIT) return "a head without end";
    }
    return NULL;
}

static bool is_field_name(const char *at, size_t len)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        bool alnum = (at[i] >= '0' && at[i] <= '9') || ((at[i] | 32) >= 'a' && (at[i] | 32) <= 'z');
        if (!alnum && (at[i] == '\0' || strchr(others, at[i]) == NULL)) return false;
    }
    return len > 0;
}

/* One field line, without its line end and NUL terminated; name and value are cut out of it in place. */
static const char *head_add_line(struct head *h, char *at, size_t len)
{
    char *colon = memchr(at, ':', len);
    if (colon == NULL || !is_field_name(at, (size_t)(colon - at))) return "a line that is no field";
    if (memchr(at, '\0', len) != NULL || memchr(at, '\r', len) != NULL) return "a field with NUL or CR";
    char *value = colon + 1, *end = at + len;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *colon = *end = '\0';
    if (h->count == LINES_LIMIT) return "too many fields";
    h->lines[h->count++] = (struct line){ at, value, (size_t)(end - value) };
    return NULL;
}

/* Cut len bytes, each line ended by CRLF, into lines; the first is the start line where there is one. */
static const char *head_parse(struct head *h, char *bytes, size_t len, bool has_start)
{
    memset(h, 0, sizeof *h);
    h->bytes = bytes;
    h->lines = calloc(LINES_LIMIT, sizeof *h->lines);
    for (char *at = bytes; at < bytes + len;) {
        char *lf = memchr(at, '\n', (size_t)(bytes + len - at));
        if (lf == NULL || lf == at || lf[-1] != '\r') return "a line end without CR";
        lf[-1] = '\0';
        if (lf - 1 == at) break;
        const char *wrong = NULL;
        if (has_start && h->start == NULL)
            h->start = at;
        else
            wrong = head_add_line(h, at, (size_t)(lf - 1 - at));
        if (wrong != NULL) return wrong;
        at = lf + 1;
    }
    return has_start && h->start == NULL ? "an empty head" : NULL;
}

static const char *section_read(struct stream *s, struct head *out, bool has_start)
{
    memset(out, 0, sizeof *out);
    char *bytes = malloc(HEAD_LIMIT + 1);
    size_t len;
    const char *wrong = stream_section(s, bytes, &len);
    if (wrong != NULL) {
        free(bytes);
        return wrong;
    }
    wrong = head_parse(out, bytes, len, has_start);
    if (wrong != NULL) head_free(out);
    return wrong;
}

const char *stream_head(struct stream *s, struct head *out)
{
    return section_read(s, out, true);
}

void head_free(struct head *h)
{
    free(h->bytes);
    free(h->lines);
    memset(h, 0, sizeof *h);
}

const char *head_value(const struct head *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcasecmp(h->lines[i].name, name) == 0) return h->lines[i].value;
    return NULL;
}

size_t head_count(const struct head *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++) n += strcasecmp(h->lines[i].name, name) == 0;
    return n;
}

/* ---- content ---- */

static bool parse_number(const char *text, int base, uint64_t *out)
{
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
    size_t len = strspn(text, digits);
    if (len == 0 || len > 15 || text[len] != '\0') return false;
    *out = strtoull(text, NULL, base);
    return true;
}

/* RFC 9112 §6.3. */
const char *content_of(struct content *c, const struct head *h, int status, const char *method)
{
    memset(c, 0, sizeof *c);
    const char *length = head_value(h, "Content-Length"), *coding = head_value(h, "Transfer-Encoding");
    if (head_count(h, "Content-Length") > 1) return "two Content-Length";
    if (head_count(h, "Transfer-Encoding") > 1) return "two Transfer-Encoding";
    if (length != NULL && coding != NULL) return "Content-Length beside Transfer-Encoding";
    if (coding != NULL && strcasecmp(coding, "chunked") != 0) return "an unknown transfer coding";
    if (length != NULL && !parse_number(length, 10, &c->left)) return "a Content-Length that is no number";
    bool bare = strcmp(method, "HEAD") == 0 || (status >= 100 && status < 200) || status == 204 || status == 304;
    if (status != 0 && bare)
        c->framing = NO_CONTENT;
    else if (coding != NULL)
        c->framing = CHUNKED;
    else if (length != NULL)
        c->framing = BY_LENGTH;
    else
        c->framing = status == 0 ? NO_CONTENT : UNTIL_CLOSE;
    c->ended = c->framing == NO_CONTENT;
    if ((status == 204 || (status >= 100 && status < 200)) && (length != NULL || coding != NULL))
        return "a length or coding where there is no content (RFC 9110 §8.6, RFC 9112 §6.1)";
    return NULL;
}

/* "1a\r\n", without extensions: neither side of the tests has a use for them. */
static bool chunk_start(struct content *c, struct stream *s)
{
    char text[32];
    size_t len = 0;
    for (int b; (b = stream_byte(s)) != '\n';) {
        if (b < 0 || b == 256 || len == sizeof text - 1) return false;
        text[len++] = (char)b;
    }
    if (len == 0 || text[len - 1] != '\r') return false;
    text[len - 1] = '\0';
    char *extension = strchr(text, ';');
    if (extension != NULL) *extension = '\0';
    c->chunk_open = true;
    return parse_number(text, 16, &c->left);
}

static ssize_t chunked_read(struct content *c, struct stream *s, char *to, size_t cap)
{
    if (!c->chunk_open && !chunk_start(c, s)) return -1;
    if (c->left == 0) {
        c->ended = true;
        return section_read(s, &c->trailers, false) == NULL ? 0 : -1;
    }
    ssize_t n = stream_read(s, to, c->left < cap ? (size_t)c->left : cap);
    if (n <= 0) return -1;
    c->left -= (uint64_t)n;
    if (c->left > 0) return n;
    c->chunk_open = false;
    return stream_byte(s) == '\r' && stream_byte(s) == '\n' ? n : -1;
}

ssize_t content_read(struct content *c, struct stream *s, char *to, size_t cap)
{
    if (c->ended) return 0;
    if (c->framing == CHUNKED) return chunked_read(c, s, to, cap);
    if (c->framing == BY_LENGTH && c->left == 0) {
        c->ended = true;
        return 0;
    }
    ssize_t n = stream_read(s, to, c->framing == BY_LENGTH && c->left < cap ? (size_t)c->left : cap);
    if (n == 0 && c->framing == UNTIL_CLOSE) c->ended = true;
    if (n == 0 && c->framing == BY_LENGTH) return -1;
    if (n > 0 && c->framing == BY_LENGTH) c->left -= (uint64_t)n;
    return n;
}

/* ---- expectations ---- */

static bool number_in_range(const char *value, const char *range)
{
    long long low, high, number;
    char *end;
    int used = 0;
    if (sscanf(range, "%lld..%lld%n", &low, &high, &used) != 2 || range[used] != '\0') return false;
    number = strtoll(value, &end, 10);
    return end != value && *end == '\0' && number >= low && number <= high;
}

static bool value_meets(const char *value, const char *expected)
{
    if (strcmp(expected, "*") == 0) return true;
    if (expected[0] == '~') return strstr(value, expected + 1) != NULL;
    return strcmp(value, expected) == 0 || number_in_range(value, expected);
}

/* The next parameter of a list member: "hit", "ttl=5"; quoted strings hold ';' and ',' as well. NULL: no more. */
static char *next_parameter(char **at, char *out, size_t size)
{
    bool quoted = false;
    size_t len = 0;
    while (**at == ' ' || **at == '\t' || **at == ';') (*at)++;
    for (; **at != '\0' && (quoted || (**at != ';' && **at != ',')); (*at)++) {
        if (**at == '"') quoted = !quoted;
        if (len < size - 1) out[len++] = **at;
    }
    while (len > 0 && out[len - 1] == ' ') len--;
    out[len] = '\0';
    return len > 0 ? out : NULL;
}

static bool parameter_meets(const char *parameter, const char *expected)
{
    size_t name = strcspn(expected, "=");
    if (strncmp(parameter, expected, name) != 0) return false;
    if (expected[name] == '\0') return parameter[name] == '\0' || parameter[name] == '=';
    return parameter[name] == '=' && value_meets(parameter + name + 1, expected + name + 1);
}

static bool member_has(const char *member, const char *expected)
{
    char copy[1024], parameter[512];
    snprintf(copy, sizeof copy, "%s", member);
    for (char *at = copy; next_parameter(&at, parameter, sizeof parameter) != NULL;)
        if (parameter_meets(parameter, expected)) return true;
    return false;
}

/* RFC 9211: weir's own member is the last one, and the whole value in most tests. */
static bool cache_status_meets(const char *value, const char *expected)
{
    char copy[512], wanted[256];
    const char *comma = strrchr(value, ','), *last = comma == NULL ? value : comma + 1;
    if (strstr(last, "weir") == NULL) last = value; /* a comma within a string */
    snprintf(copy, sizeof copy, "%s", expected);
    for (char *at = copy; next_parameter(&at, wanted, sizeof wanted) != NULL;) {
        bool absent = wanted[0] == '!';
        if (member_has(last, wanted + absent) == absent) return false;
    }
    return true;
}

static bool head_meets(const struct head *h, const char *name, const char *expected)
{
    for (size_t i = 0; i < h->count; i++) {
        if (strcasecmp(h->lines[i].name, name) != 0) continue;
        bool cache_status = strcasecmp(name, "Cache-Status") == 0 && strchr("*~", expected[0]) == NULL;
        if (cache_status && cache_status_meets(h->lines[i].value, expected)) return true;
        if (!cache_status && value_meets(h->lines[i].value, expected)) return true;
    }
    return false;
}

const char *head_lacks(const struct head *h, const char *expected)
{
    static _Thread_local char wanted[4096];
    for (const char *at = expected; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "\n");
        snprintf(wanted, sizeof wanted, "%.*s", (int)len, at);
        char name[256];
        size_t name_len = strcspn(wanted, ":");
        snprintf(name, sizeof name, "%.*s", (int)name_len, wanted);
        const char *value = wanted[name_len] == '\0' ? "*" : wanted + name_len + 1 + strspn(wanted + name_len + 1, " ");
        bool met = name[0] == '!' ? head_value(h, name + 1) == NULL : head_meets(h, name, value);
        if (!met) return wanted;
        at += len + (at[len] == '\n');
    }
    return NULL;
}

/* ---- patterns ---- */

/* splitmix64 of the position in words of eight bytes. */
static uint64_t pattern_word(uint64_t seed, uint64_t n)
{
    uint64_t z = (seed + n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void pattern_fill(uint64_t seed, uint64_t position, char *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        uint64_t word = pattern_word(seed, (position + done) / 8);
        size_t from = (size_t)((position + done) % 8);
        size_t some = 8 - from < len - done ? 8 - from : len - done;
        memcpy(to + done, (char *)&word + from, some);
        done += some;
    }
}

size_t pattern_differs(uint64_t seed, uint64_t position, const char *bytes, size_t len)
{
    char expected[4096];
    for (size_t done = 0; done < len;) {
        size_t some = len - done < sizeof expected ? len - done : sizeof expected;
        pattern_fill(seed, position + done, expected, some);
        for (size_t i = 0; memcmp(expected, bytes + done, some) != 0 && i < some; i++)
            if (expected[i] != bytes[done + i]) return done + i;
        done += some;
    }
    return len;
}
