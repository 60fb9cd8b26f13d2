#include "proxy/front_h1.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* MHD 0.9 is lenient where a proxy must not be: it folds lines into names, ends lines at a bare LF, takes a line that
 * begins with NUL or ':' for the end of the head, cuts values at a NUL, keeps blanks in names (RFC 9112 §2.2, §5.1,
 * §5.2, §11.2). None of that shows in the parsed fields, but it does in the buffer: method, target, version, names
 * and values all point into one run of bytes in which MHD only wrote NULs over separators. So the walk below demands
 * that every piece begins exactly where the one before it ended, with a CRLF (now two NULs) between lines. Another
 * layout fails this check, so that a library changed underneath refuses requests rather than misreads them. What it
 * cannot see is a NUL, or a colon that begins a line, beside a bare LF, which look like a CRLF afterwards, and lines that
 * begin with NUL before the request, which MHD skips; no sender of HTTP writes these, and no gateway passes them on.
 * MHD 1.0 checks all of this itself. */
#define RAW_HEAD_IS_CHECKED (MHD_VERSION < 0x01000000)

/* What the walk over the field lines finds. */
struct head_walk {
    struct front_stream *s;
    struct field *fields;
    size_t count;
    const char *next; /* where the next line must begin */
    const char *end;  /* of the head in MHD's buffer */
    int status;       /* of the refusal, or 0 */

    unsigned hosts, lengths, codings;
    struct view host, length;
    bool chunked; /* exactly so: whatever else stands there MHD reads until the connection closes */
    bool expects_continue;
};

static int refuse(struct head_walk *w, int status)
{
    w->status = status;
    return MHD_NO;
}

/* Two NULs where the CRLF was. */
static bool line_ends_at(const struct head_walk *w, const char *at)
{
    return at + 2 <= w->end && at[0] == '\0' && at[1] == '\0';
}

/* The line begins where the last one ended, has only blanks between colon and value, and ends in CRLF. */
static bool line_is_whole(struct head_walk *w, struct view name, struct view value)
{
    if (!RAW_HEAD_IS_CHECKED) return true;
    if (name.at != w->next || value.at <= name.at + name.len || value.at + value.len >= w->end) return false;
    for (const char *at = name.at + name.len + 1; at < value.at; at++) {
        if (*at != ' ' && *at != '\t') return false;
    }
    w->next = value.at + value.len + 2;
    return line_ends_at(w, value.at + value.len);
}

/* The fields that decide about framing, counted; `raw` still has its trailing blanks, as MHD compared it. */
static void note_line(struct head_walk *w, enum field_id id, struct view raw)
{
    switch (id) {
    case FIELD_HOST:
        w->hosts++;
        w->host = view_trim_ows(raw);
        break;
    case FIELD_CONTENT_LENGTH:
        w->lengths++;
        w->length = raw;
        break;
    case FIELD_TRANSFER_ENCODING:
        w->codings++;
        w->chunked = view_equal_nocase(raw, VIEW("chunked"));
        break;
    case FIELD_EXPECT: w->expects_continue = view_equal_nocase(raw, VIEW("100-continue")); break;
    case FIELD_COOKIE: /* MHD copies the value and keeps each pair */
        w->s->pool_used += raw.len + POOL_FIELD_BYTES;
        for (size_t i = 0; i < raw.len; i++) w->s->pool_used += raw.at[i] == ';' ? POOL_FIELD_BYTES : 0;
        break;
    default: break;
    }
}

static bool make_room(struct head_walk *w)
{
    if (w->count < FIELDS_INLINE || w->s->many_fields != NULL) return w->count < FRONT_FIELDS_MAX;
    w->s->many_fields = malloc(FRONT_FIELDS_MAX * sizeof(struct field));
    if (w->s->many_fields == NULL) return false;
    memcpy(w->s->many_fields, w->s->fields, sizeof(w->s->fields));
    w->fields = w->s->many_fields;
    return true;
}

static enum MHD_Result take_line(void *cls, enum MHD_ValueKind kind, const char *name_at, size_t name_len,
                                 const char *value_at, size_t value_len)
{
    struct head_walk *w = cls;
    struct view name = { name_at, name_len }, raw = { value_at, value_len };
    (void)kind;
    if (value_at == NULL || !line_is_whole(w, name, raw)) return refuse(w, 400);
    if (!make_room(w)) return refuse(w, 431);
    enum field_id id = field_id_of(name);
    if ((id == FIELD_OTHER && !field_name_is_valid(name)) || !field_value_is_valid(raw)) return refuse(w, 400);
    note_line(w, id, raw);
    w->fields[w->count++] = (struct field){ id, name, view_trim_ows(raw) };
    w->s->pool_used += POOL_FIELD_BYTES;
    return MHD_YES;
}

/* ---- request line */

/* 0, 1, or -1 for a version that weir does not speak. */
static int minor_of(const char *version)
{
    if (strcmp(version, "HTTP/1.1") == 0) return 1;
    return strcmp(version, "HTTP/1.0") == 0 ? 0 : -1;
}

/* One SP between method, target and version (RFC 9112 §3); MHD skips over several. */
static bool request_line_is_whole(struct head_walk *w, struct view method, struct view target, const char *version)
{
    if (!RAW_HEAD_IS_CHECKED) return true;
    if (target.at != method.at + method.len + 1 || version != target.at + target.len + 1) return false;
    w->next = version + strlen(version) + 2;
    return line_ends_at(w, w->next - 2);
}

/* The raw target: what MHD's parsing put NULs over is put back (see on_target in front_h1.c). */
static struct view target_restore(struct conn *c)
{
    if (c->query_at > 0) {
        c->target[c->query_at - 1] = '?';
        c->target[c->query_at] = c->query_first;
    }
    return view_of(c->target, c->target_len);
}

/* ---- content (RFC 9112 §6) */

/* Both a length and a coding, several of one, or a coding that is not ours: whoever reads it otherwise than we do sees
 * another request in the content (§11.2). */
static int framing_read(const struct head_walk *w, struct front_request *r, int http_minor)
{
    r->content_length = 0;
    if (w->codings > 0) {
        if (http_minor == 0 || w->codings > 1 || w->lengths > 0) return 400;
        if (!w->chunked) return 501;
        r->content_length = -1;
    } else if (w->lengths > 0) {
        if (w->lengths > 1 || !view_parse_decimal(w->length, INT64_MAX, &r->content_length)) return 400;
        if (r->content_length == INT64_MAX) return 413;
    }
    r->has_content = r->content_length != 0;
    r->expects_continue = r->has_content && w->expects_continue && http_minor == 1;
    return 0;
}

/* ---- target URI (RFC 9112 §3.3) */

static bool authority_set(struct front_stream *s, struct view authority)
{
    struct conn *c = s->conn;
    c->host_len = 0;
    if (!authority_is_valid(authority)) return false;
    int n = authority_normalise(authority, false, c->authority, sizeof(c->authority));
    c->authority_len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static bool authority_of_host(struct front_stream *s, struct view host)
{
    struct conn *c = s->conn;
    if (host.len > 0 && view_equal(host, view_of(c->host, c->host_len))) return true;
    if (!authority_set(s, host)) return false;
    if (host.len > HOST_KEPT_BYTES) return true;
    memcpy(c->host, host.at, host.len);
    c->host_len = host.len;
    return true;
}

/* A client of HTTP/1.0 that names no host means the address it connected to. */
static bool authority_of_listener(struct front_stream *s)
{
    char number[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 16];
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof(a);
    if (getsockname(s->conn->fd, &a.any, &len) != 0) return false;
    bool is_v6 = a.any.sa_family == AF_INET6;
    const void *in = is_v6 ? (const void *)&a.v6.sin6_addr : (const void *)&a.v4.sin_addr;
    if (inet_ntop(a.any.sa_family, in, number, sizeof(number)) == NULL) return false;
    unsigned port = ntohs(is_v6 ? a.v6.sin6_port : a.v4.sin_port);
    snprintf(text, sizeof(text), is_v6 ? "[%s]:%u" : "%s:%u", number, port);
    return authority_set(s, view_of_str(text));
}

/* The target's own authority wins over Host (RFC 9112 §3.2.2), which must be there, once and valid, all the same
 * (§3.2). */
static bool authority_read(struct front_stream *s, const struct head_walk *w, const struct target *t)
{
    bool in_target = t->form == TARGET_ABSOLUTE || t->form == TARGET_AUTHORITY;
    if (w->hosts > 1 || (w->hosts == 0 && s->head.http_minor == 1)) return false;
    if (w->hosts == 1 && !authority_of_host(s, w->host)) return false;
    if (in_target && !authority_set(s, t->authority)) return false;
    if (w->hosts == 0 && !in_target && !authority_of_listener(s)) return false;
    s->head.authority = view_of(s->conn->authority, s->conn->authority_len);
    return true;
}

/* "http://a?x": the path is "/", and "/?x" stands nowhere in the raw target. */
static bool path_query_build(struct front_stream *s, const struct target *t)
{
    s->path_copy = malloc(t->query.len + 2);
    if (s->path_copy == NULL) return false;
    s->path_copy[0] = '/';
    s->path_copy[1] = '?';
    memcpy(s->path_copy + 2, t->query.at, t->query.len);
    s->head.path_query = view_of(s->path_copy, t->query.len + 2);
    return true;
}

static bool path_set(struct front_stream *s, const struct target *t)
{
    struct request_head *h = &s->head;
    const char *begin = h->target.at, *end = begin + h->target.len;
    if (t->form == TARGET_AUTHORITY) return true;
    h->path = t->form == TARGET_ASTERISK ? h->target : t->path;
    h->query = t->query;
    h->has_query = t->has_query;
    bool in_target = h->path.at >= begin && h->path.at < end;
    if (!in_target && t->has_query) return path_query_build(s, t);
    h->path_query = in_target ? view_of(h->path.at, (size_t)(end - h->path.at)) : h->path;
    return true;
}

static int target_read(struct front_stream *s, const struct head_walk *w)
{
    struct request_head *h = &s->head;
    struct target t = target_parse(h->target, h->method == METHOD_CONNECT);
    if (t.form == TARGET_INVALID || !view_is_ascii(h->target)) return 400;
    if (t.form == TARGET_ASTERISK && h->method != METHOD_OPTIONS) return 400; /* RFC 9112 §3.2.4 */
    if (!authority_read(s, w, &t)) return 400;
    if (t.form == TARGET_ABSOLUTE && !view_equal_nocase(t.scheme, VIEW("http"))) {
        /* https over a connection that is not secured must not be answered (RFC 9110 §7.4). */
        return view_equal_nocase(t.scheme, VIEW("https")) ? 421 : 400;
    }
    return path_set(s, &t) ? 0 : 431;
}

/* ---- the whole */

static size_t header_bytes(struct conn *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info != NULL ? info->header_size : SIZE_MAX;
}

/* The field lines, the blank line behind them included. */
static int fields_read(struct head_walk *w)
{
    (void)MHD_get_connection_values_n(w->s->conn->mhd, MHD_HEADER_KIND, take_line, w);
    if (w->status != 0) return w->status;
    if (RAW_HEAD_IS_CHECKED && (!line_ends_at(w, w->next) || w->next + 2 != w->end)) return 400;
    if (w->s->pool_used + REPLY_HEAD_LEAST > POOL_BYTES) return 431;
    w->s->head.fields = (struct field_section){ w->fields, w->count };
    return 0;
}

int front_head_read(struct front_stream *s, const char *method, const char *version)
{
    struct request_head *h = &s->head;
    struct head_walk w = { .s = s, .fields = s->fields };
    *h = (struct request_head){ .method_name = view_of_str(method), .target = target_restore(s->conn) };
    h->http_minor = minor_of(version);
    s->pool_used = header_bytes(s->conn);
    s->conn->content_follows = false;
    w.end = method + s->pool_used;
    if (h->http_minor < 0) return 505;
    if (h->target.len > FRONT_TARGET_MAX) return 414;
    if (s->pool_used > FRONT_REQUEST_HEAD_MAX) return 431;
    if (!request_line_is_whole(&w, h->method_name, h->target, version)) return 400;
    if (!view_is_token(h->method_name)) return 400;
    h->method = method_of(h->method_name);
    int status = fields_read(&w);
    s->conn->content_follows = w.lengths + w.codings > 0 || h->method == METHOD_CONNECT;
    if (status == 0) status = framing_read(&w, &s->request, h->http_minor);
    if (status == 0) status = target_read(s, &w);
    s->request.head = h;
    s->request.peer = front_peer_of(s->conn);
    return status;
}
