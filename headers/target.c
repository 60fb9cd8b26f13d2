#include "headers/target.h"

#include <arpa/inet.h>

enum { PORT_MAX = 65535, PORT_HTTP = 80, PORT_HTTPS = 443 };

static const struct view root = { "/", 1 };

static bool is_alpha(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* unreserved, RFC 3986 §2.3. */
static bool is_unreserved(char c)
{
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* sub-delims, RFC 3986 §2.2. */
static bool is_sub_delim(char c)
{
    return memchr("!$&'()*+,;=", c, 11) != NULL;
}

/* pct-encoded, RFC 3986 §2.1: at v.at[i]. */
static bool is_escape(struct view v, size_t i)
{
    return v.len - i >= 3 && v.at[i] == '%' && hex_value(v.at[i + 1]) >= 0 && hex_value(v.at[i + 2]) >= 0;
}

/* What would end the request line, or be read as something else further on. */
static bool has_forbidden(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.at[i];
        if (c <= 0x20 || c == 0x7f || c == '#') return true;
    }
    return false;
}

/* ---- authority */

/* Without a port, *port is empty and *has_port false. The colons of an IPv6 address are inside its brackets. */
static void authority_split(struct view authority, struct view *host, struct view *port, bool *has_port)
{
    size_t from = authority.len > 0 && authority.at[0] == '[' ? view_find(authority, 0, ']') : 0;
    size_t colon = view_find(authority, from, ':');
    *host = view_first(authority, colon);
    *has_port = colon < authority.len;
    *port = view_after(authority, *has_port ? colon + 1 : colon);
}

static bool ipv6_is_valid(struct view bracketed)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t n = bracketed.len - 2;
    if (bracketed.len < 4 || bracketed.at[bracketed.len - 1] != ']' || n >= sizeof(text)) return false;
    memcpy(text, bracketed.at + 1, n);
    text[n] = '\0';
    return strlen(text) == n && inet_pton(AF_INET6, text, &address) == 1;
}

/* reg-name; every IPv4address is one too. */
static bool reg_name_is_valid(struct view host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (is_escape(host, i)) {
            i += 2;
        } else if (!is_unreserved(host.at[i]) && !is_sub_delim(host.at[i])) {
            return false;
        }
    }
    return host.len > 0;
}

/* *port is -1 when there is none, or an empty one. */
static bool port_parse(struct view text, int64_t *port)
{
    *port = -1;
    return text.len == 0 || (view_parse_decimal(text, PORT_MAX + 1, port) && *port <= PORT_MAX);
}

bool authority_is_valid(struct view authority)
{
    struct view host, port_text;
    bool has_port;
    int64_t port;
    authority_split(authority, &host, &port_text, &has_port);
    if (host.len == 0 || !port_parse(port_text, &port)) return false;
    return host.at[0] == '[' ? ipv6_is_valid(host) : reg_name_is_valid(host);
}

/* ":port" in decimal, without leading zeros; at most six bytes. */
static size_t port_format(int64_t port, char to[6])
{
    char reversed[5];
    size_t digits = 0, n = 0;
    do {
        reversed[digits++] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    to[n++] = ':';
    while (digits > 0) to[n++] = reversed[--digits];
    return n;
}

int authority_normalise(struct view authority, bool https, char *to, size_t cap)
{
    struct view host, port_text;
    bool has_port;
    int64_t port;
    authority_split(authority, &host, &port_text, &has_port);
    if (!port_parse(port_text, &port) || host.len > cap) return -1;
    size_t n = 0;
    for (; n < host.len; n++) to[n] = ascii_lower(host.at[n]);
    if (port < 0 || port == (https ? PORT_HTTPS : PORT_HTTP)) return (int)n;
    char text[6];
    size_t text_len = port_format(port, text);
    if (cap - n < text_len) return -1;
    memcpy(to + n, text, text_len);
    return (int)(n + text_len);
}

/* ---- request target */

/* Length of the scheme that v begins with, or 0 (RFC 3986 §3.1). */
static size_t scheme_len(struct view v)
{
    size_t n = 0;
    if (v.len == 0 || !is_alpha(v.at[0])) return 0;
    while (n < v.len && (is_alpha(v.at[n]) || is_digit(v.at[n]) || memchr("+-.", v.at[n], 3) != NULL)) n++;
    return n;
}

static void split_query(struct view v, struct view *path, struct view *query, bool *has_query)
{
    size_t mark = view_find(v, 0, '?');
    *has_query = mark < v.len;
    *path = view_first(v, mark);
    *query = view_after(v, *has_query ? mark + 1 : mark);
}

/* What follows "//": the authority, up to the path or the query. */
static struct view cut_authority(struct view *v)
{
    size_t end = 0;
    while (end < v->len && v->at[end] != '/' && v->at[end] != '?') end++;
    struct view authority = view_first(*v, end);
    *v = view_after(*v, end);
    return authority;
}

static struct target absolute_form(struct view raw)
{
    struct target t = { .form = TARGET_INVALID };
    size_t n = scheme_len(raw);
    if (n == 0 || !view_starts_with(view_after(raw, n), VIEW("://"))) return t;
    struct view rest = view_after(raw, n + 3);
    t.scheme = view_first(raw, n);
    t.authority = cut_authority(&rest);
    split_query(rest, &t.path, &t.query, &t.has_query);
    if (t.path.len == 0) t.path = root;
    if (authority_is_valid(t.authority)) t.form = TARGET_ABSOLUTE;
    return t;
}

/* CONNECT: host and port, both (RFC 9112 §3.2.3). */
static struct target authority_form(struct view raw)
{
    struct view host, port;
    bool has_port;
    authority_split(raw, &host, &port, &has_port);
    bool valid = port.len > 0 && authority_is_valid(raw);
    return (struct target){ .form = valid ? TARGET_AUTHORITY : TARGET_INVALID, .authority = raw };
}

struct target target_parse(struct view raw, bool is_connect)
{
    struct target t = { .form = TARGET_INVALID };
    if (raw.len == 0 || has_forbidden(raw)) return t;
    if (is_connect) return authority_form(raw);
    if (view_equal(raw, VIEW("*"))) return (struct target){ .form = TARGET_ASTERISK };
    if (raw.at[0] != '/') return absolute_form(raw);
    t.form = TARGET_ORIGIN;
    split_query(raw, &t.path, &t.query, &t.has_query);
    return t;
}

int path_normalise(struct view path_and_query, char *to, size_t cap)
{
    static const char upper_hex[] = "0123456789ABCDEF";
    struct view v = path_and_query;
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        bool escaped = is_escape(v, i);
        int byte = escaped ? hex_value(v.at[i + 1]) * 16 + hex_value(v.at[i + 2]) : (unsigned char)v.at[i];
        size_t need = escaped && !is_unreserved((char)byte) ? 3 : 1;
        if (cap - n < need) return -1;
        if (need == 3) {
            to[n++] = '%';
            to[n++] = upper_hex[byte >> 4];
            to[n++] = upper_hex[byte & 15];
        } else {
            to[n++] = (char)byte;
        }
        if (escaped) i += 2;
    }
    return (int)n;
}

/* ---- URI references */

bool uri_parse(struct view absolute, struct uri *out)
{
    if (has_forbidden(absolute)) return false;
    struct target t = absolute_form(absolute);
    if (t.form != TARGET_ABSOLUTE) return false;
    if (!view_equal_nocase(t.scheme, VIEW("http")) && !view_equal_nocase(t.scheme, VIEW("https"))) return false;
    *out = (struct uri){ t.scheme, t.authority, t.path, t.query, t.has_query };
    return true;
}

/* Step back over the last segment written, its slash included (RFC 3986 §5.2.4, 2C). */
static size_t without_last_segment(const char *path, size_t n)
{
    while (n > 0 && path[--n] != '/') {
    }
    return n;
}

/* remove_dot_segments of RFC 3986 §5.2.4, in place, on a path that begins with '/'. Returns its new length. */
static size_t remove_dot_segments(char *path, size_t len)
{
    size_t written = 0, read = 0;
    while (read < len) {
        size_t end = view_find(view_of(path, len), read + 1, '/');
        struct view segment = view_of(path + read + 1, end - read - 1);
        bool dot = view_equal(segment, VIEW(".")), dots = view_equal(segment, VIEW(".."));
        if (dots) written = without_last_segment(path, written);
        if (!dot && !dots) {
            memmove(path + written, path + read, end - read);
            written += end - read;
        } else if (end == len) {
            path[written++] = '/';
        }
        read = end;
    }
    return written;
}

/* `directory` and `path` one after the other, without dot segments, into `to`. */
static bool build_path(struct view directory, struct view path, char *to, size_t cap, struct view *out)
{
    if (directory.len + path.len > cap) return false;
    if (directory.len > 0) memcpy(to, directory.at, directory.len);
    if (path.len > 0) memcpy(to + directory.len, path.at, path.len);
    size_t n = remove_dot_segments(to, directory.len + path.len);
    *out = n > 0 ? view_of(to, n) : root;
    return true;
}

/* The base path up to its last slash (RFC 3986 §5.2.3). */
static struct view directory_of(struct view path)
{
    while (path.len > 0 && path.at[path.len - 1] != '/') path.len--;
    return path.len > 0 ? path : root;
}

/* A colon in the first segment: there is a scheme, as path-noscheme forbids one (RFC 3986 §4.2). */
static bool is_absolute(struct view ref)
{
    size_t i = 0;
    while (i < ref.len && ref.at[i] != ':' && ref.at[i] != '/' && ref.at[i] != '?') i++;
    return i < ref.len && ref.at[i] == ':';
}

/* A reference without a scheme (RFC 3986 §5.2.2): *u comes in as the base; *directory is what path is relative to. */
static bool relative_ref(struct view ref, struct uri *u, struct view *directory)
{
    struct view path, query;
    bool has_query;
    bool has_authority = view_starts_with(ref, VIEW("//"));
    if (has_authority) {
        ref = view_after(ref, 2);
        u->authority = cut_authority(&ref);
        if (!authority_is_valid(u->authority)) return false;
        u->path = root;
    }
    split_query(ref, &path, &query, &has_query);
    if (path.len > 0 && path.at[0] != '/') *directory = directory_of(u->path);
    if (path.len > 0) u->path = path;
    if (path.len > 0 || has_query || has_authority) {
        u->query = query;
        u->has_query = has_query;
    }
    return true;
}

bool uri_resolve(const struct uri *base, struct view reference, char *to, size_t cap, struct uri *out)
{
    struct view ref = view_first(reference, view_find(reference, 0, '#'));
    struct view directory = VIEW("");
    struct uri u = *base;
    if (has_forbidden(ref)) return false;
    bool read = is_absolute(ref) ? uri_parse(ref, &u) : relative_ref(ref, &u, &directory);
    if (!read || !build_path(directory, u.path, to, cap, &u.path)) return false;
    *out = u;
    return true;
}
