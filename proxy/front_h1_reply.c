#include "proxy/front_h1.h"

#include "proxy/problem.h"

#include "headers/http_date.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- refusals: what the front end answers itself */

#define PROBLEM(status, title, detail)                                                                                 \
    {                                                                                                                  \
        status,                                                                                                        \
            "{\"type\":\"about:blank\",\"title\":\"" title "\",\"status\":" #status ",\"detail\":\"" detail "\"}\n"    \
    }

static const struct refusal {
    int status;
    const char *body;
} refusals[] = {
    PROBLEM(400, "Bad Request", "The request is not well-formed HTTP/1.1."),
    PROBLEM(408, "Request Timeout", "The request did not arrive in time."),
    PROBLEM(413, "Content Too Large", "The request content is too large."),
    PROBLEM(414, "URI Too Long", "The request target is too long."),
    PROBLEM(421, "Misdirected Request", "An https resource was asked for over an unsecured connection."),
    PROBLEM(431, "Request Header Fields Too Large", "The request head is too large."),
    PROBLEM(501, "Not Implemented", "The method or transfer coding is not implemented."),
    PROBLEM(503, "Service Unavailable", "Out of memory."),
    PROBLEM(505, "HTTP Version Not Supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here."),
};

static const struct refusal *refusal_of(int status)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].status == status) return &refusals[i];
    }
    return &refusals[0];
}

/* MHD wants content that it may free, so takes no const; persistent content it leaves alone. */
static void *unconst(const void *p)
{
    union {
        const void *from;
        void *to;
    } u = { p };
    return u.to;
}

enum MHD_Result front_refuse(struct conn *c, int status)
{
    struct front *f = c->front;
    const struct refusal *r = refusal_of(status);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(r->body), unconst(r->body), MHD_RESPMEM_PERSISTENT);
    if (response == NULL) return MHD_NO;
    /* Connection first: added later it would make MHD send a second Date. */
    enum MHD_Result rc = MHD_add_response_header(response, "Connection", "close");
    if (rc == MHD_YES) rc = MHD_add_response_header(response, "Content-Type", "application/problem+json");
    const struct front_field *own = &f->handler.refusal_field;
    if (rc == MHD_YES && own->name != NULL) rc = MHD_add_response_header(response, own->name, own->value);
    if (rc == MHD_YES) rc = MHD_queue_response(c->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    c->refused_by_us = true;
    struct front_peer peer = front_peer_of(c);
    f->handler.refused(f->owner, r->status, &peer);
    return rc;
}

void front_send_refusal(struct conn *c, int status)
{
    char head[512], date[HTTP_DATE_LEN + 1];
    const char *body = refusal_of(status)->body;
    const struct front_field *own = &c->front->handler.refusal_field;
    bool has_own = own->name != NULL;
    http_date_format((int64_t)time(NULL), date);
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
                     "Content-Type: application/problem+json\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
                     status, status_title(status), date, has_own ? own->name : "", has_own ? ": " : "",
                     has_own ? own->value : "", has_own ? "\r\n" : "", strlen(body), body);
    (void)send(c->fd, head, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT); /* best effort: the connection ends anyway */
    struct front_peer peer = front_peer_of(c);
    c->front->handler.refused(c->front->owner, status, &peer);
}

/* ---- content by reading */

static ssize_t reader(void *cls, uint64_t position, char *to, size_t cap)
{
    struct front_stream *s = cls;
    if (s->conn->gone || s->conn->front->stopping) return MHD_CONTENT_READER_END_WITH_ERROR;
    s->woken = false;
    s->in_read = true;
    ssize_t n = s->read(s->reply_arg, (uint8_t *)to, cap);
    s->in_read = false;
    if (n > 0) {
        assert((size_t)n <= cap);
        s->body_bytes += (uint64_t)n;
        return n;
    }
    if (n == -EAGAIN) { /* MHD asks again at once unless it is suspended */
        front_park(s, PARKED_FOR_READ);
        if (s->woken) front_unpark(s);
        return 0;
    }
    /* The end, before the promised length: the client must not take what it has for the whole. */
    bool short_of_length = s->read_length >= 0 && position != (uint64_t)s->read_length;
    return n == 0 && !short_of_length ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Stands in where there is a length but no content: HEAD and 304. MHD does not call it. */
static ssize_t no_reader(void *cls, uint64_t position, char *to, size_t cap)
{
    (void)cls, (void)position, (void)to, (void)cap;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* ---- switching protocols */

/* The head of the 101 is sent. MHD keeps a connection that has switched in a list that it walks, and its memory with it, so
 * it gets its own socket back at once, and a copy goes on. */
static void on_switched(void *cls, struct MHD_Connection *mhd, void *request_context, const char *early,
                        size_t early_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    struct front_stream *s = cls;
    (void)mhd, (void)request_context;
    int copy = s->conn->front->stopping ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct duplex *client = copy >= 0 ? duplex_of_socket(copy, view_of(early, early_len)) : NULL;
    if (client != NULL)
        s->switched(s->reply_arg, client);
    else if (copy >= 0)
        close(copy);                                            /* no memory: and so MHD closes the connection */
    (void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE); /* fails only for what is no action */
    s->conn->front->resumed = true;
}

static struct MHD_Response *make_switch(struct front_stream *s, const struct front_reply *r)
{
    s->switched = r->switched;
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_switched, s); /* it says Connection itself */
    if (response == NULL || MHD_add_response_header(response, "Upgrade", r->upgrade) == MHD_YES) return response;
    MHD_destroy_response(response);
    return NULL;
}

/* ---- replies */

static bool has_no_content(const struct front_stream *s, int status)
{
    return s->head.method == METHOD_HEAD || status == 304 || status == 204;
}

/* HEAD says the length that content would have (RFC 9110 §8.6), and has none; so does a 304 where its head cannot go out
 * bare. Never by unknown size: MHD would send a last chunk after the head, which the client reads as the begin of the next
 * response. Without a length there is then only MHD's HTTP/1.0 mode, which closes. */
static struct MHD_Response *make_without_content(const struct front_reply *r)
{
    bool unknown = (r->no_content_length || r->content_length < 0) && r->status != 204;
    uint64_t length = unknown ? MHD_SIZE_UNKNOWN : r->status == 204 ? 0 : (uint64_t)r->content_length;
    struct MHD_Response *response = MHD_create_response_from_callback(length, 1, no_reader, NULL, NULL);
    if (response != NULL && unknown) {
        (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    }
    return response;
}

/* Chunked content is read straight into MHD's write buffer, so its response needs no block of its own. */
static struct MHD_Response *make_by_reading(struct front_stream *s, const struct front_reply *r)
{
    bool chunked = r->content_length < 0 && s->head.http_minor == 1;
    uint64_t length = r->content_length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)r->content_length;
    size_t block = chunked ? 1 : READ_BLOCK_BYTES;
    if (!chunked && length < block && length > 0) block = (size_t)length;
    s->read = r->read;
    s->read_length = r->content_length;
    s->body_sent_by_reader = true;
    return MHD_create_response_from_callback(length, block, reader, s, NULL);
}

static struct MHD_Response *make_response(struct front_stream *s, const struct front_reply *r)
{
    s->body_bytes = 0;
    s->body_sent_by_reader = false;
    if (r->switched != NULL) return make_switch(s, r);
    if (has_no_content(s, r->status)) return make_without_content(r);
    if (r->content == NULL && r->content_length != 0) return make_by_reading(s, r);
    assert(r->content_length >= 0);
    s->body_bytes = (uint64_t)r->content_length;
    return MHD_create_response_from_buffer((size_t)r->content_length, unconst(r->content), MHD_RESPMEM_PERSISTENT);
}

/* ---- the fields of a reply
 * MHD copies name and value of each field into three allocations of their own: 0.1 us for each field of each hit. So
 * all fields go in as one, the first, whose value runs on over the lines of the others. MHD takes no CR or LF in a
 * value, which also checks the values for us; the line breaks are therefore blanks until MHD has its copy, and are set
 * in the copy. */

struct head_block {
    const char *name; /* of the first field */
    size_t len, break_count;
    uint16_t breaks[FRONT_FIELDS_MAX]; /* where in text a CRLF belongs */
    char text[FRONT_REPLY_HEAD_MAX + 1];
};

static bool block_append(struct head_block *b, const char *at, size_t len)
{
    if (len > FRONT_REPLY_HEAD_MAX - b->len) return false;
    memcpy(b->text + b->len, at, len);
    b->len += len;
    return true;
}

/* The names MHD gives meaning to, which are the front end's to add. */
static bool is_ours(struct view name)
{
    switch (name.len) {
    case 4: return view_equal_nocase(name, VIEW("Date"));
    case 10: return view_equal_nocase(name, VIEW("Connection"));
    case 14: return view_equal_nocase(name, VIEW("Content-Length"));
    case 17: return view_equal_nocase(name, VIEW("Transfer-Encoding"));
    default: return false;
    }
}

static int block_add(struct head_block *b, const char *name, const char *value)
{
    size_t name_len = strlen(name);
    if (b->name == NULL) { /* an empty value MHD refuses; one blank means the same (RFC 9110 §5.5) */
        b->name = name;
        return block_append(b, value[0] != '\0' ? value : " ", value[0] != '\0' ? strlen(value) : 1) ? 0 : -E2BIG;
    }
    if (b->break_count == FRONT_FIELDS_MAX) return -E2BIG;
    b->breaks[b->break_count++] = (uint16_t)b->len;
    bool fits = block_append(b, "  ", 2) && block_append(b, name, name_len) && block_append(b, ": ", 2);
    return fits && block_append(b, value, strlen(value)) ? 0 : -E2BIG;
}

/* @param date  to stand among them; NULL: MHD is told of it otherwise */
static int block_fill(struct head_block *b, const struct front_reply *r, const char *date)
{
    b->name = NULL;
    b->len = b->break_count = 0;
    int rc = date != NULL ? block_add(b, "Date", date) : 0;
    for (size_t i = 0; i < r->field_count && rc == 0; i++) {
        struct view name = view_of_str(r->fields[i].name);
        if (!field_name_is_valid(name) || is_ours(name)) return -EINVAL;
        rc = block_add(b, name.at, r->fields[i].value);
    }
    b->text[b->len] = '\0';
    return rc;
}

/* MHD returns its own copy of the value, though as const; should it ever be another, the reply is not sent. */
static bool block_into(struct head_block *b, struct MHD_Response *response)
{
    if (b->name == NULL) return true;
    if (MHD_add_response_header(response, b->name, b->text) != MHD_YES) return false;
    char *copy = unconst(MHD_get_response_header(response, b->name));
    if (copy == NULL || strcmp(copy, b->text) != 0) return false;
    for (size_t i = 0; i < b->break_count; i++) memcpy(copy + b->breaks[i], "\r\n", 2);
    return true;
}

static size_t block_bytes(const struct head_block *b)
{
    return b->name != NULL ? strlen(b->name) + b->len + 4 : 0;
}

/* The fields as lines, at `to`, which has room for block_bytes; MHD is not there to check the values.
 * @return length, or -1: a value that cannot be sent */
static ssize_t block_write(struct head_block *b, char *to)
{
    if (b->name == NULL) return 0;
    if (!field_value_is_valid(view_of(b->text, b->len))) return -1;
    for (size_t i = 0; i < b->break_count; i++) memcpy(b->text + b->breaks[i], "\r\n", 2);
    size_t name_len = strlen(b->name), at = name_len;
    memcpy(to, b->name, name_len);
    memcpy(to + at, ": ", 2);
    at += 2;
    memcpy(to + at, b->text, b->len);
    at += b->len;
    memcpy(to + at, "\r\n", 2);
    return (ssize_t)(at + 2);
}

/* Chunked uploads are always the last on their connection: MHD takes chunk lines that end in LF, which nobody can
 * see. */
bool front_closes(const struct front_stream *s)
{
    return s->conn->front->draining || (s->request.has_content && s->request.content_length < 0);
}

static bool closes_after(const struct front_stream *s, const struct front_reply *r)
{
    if (r->switched != NULL) return false; /* in another sense it is over anyway */
    return r->close || front_closes(s);
}

/* The whole head must fit, beside the request's, into what MHD has for the connection. */
static bool head_fits(struct front_stream *s, const struct head_block *b)
{
    enum { STATUS_LINE_AND_OWN_FIELDS = 256 };
    s->head_bytes = STATUS_LINE_AND_OWN_FIELDS + b->len + (b->name != NULL ? strlen(b->name) : 0);
    return s->head_bytes <= FRONT_REPLY_HEAD_MAX && s->head_bytes + s->pool_used <= POOL_BYTES;
}

/* The reply as MHD will send it, in s->response. */
static int reply_by_mhd(struct front_stream *s, const struct front_reply *r, struct head_block *block)
{
    struct MHD_Response *response = make_response(s, r);
    if (response == NULL) return -ENOMEM;
    /* Connection first: added later it would make MHD send a second Date. */
    bool closes = closes_after(s, r);
    if ((closes && MHD_add_response_header(response, "Connection", "close") != MHD_YES) ||
        !block_into(block, response)) {
        MHD_destroy_response(response);
        return -EINVAL;
    }
    s->response = response;
    s->status = r->status;
    return 0;
}

/* ---- a head without a length
 * MHD gives every response a Content-Length, save a 204. A 304 that says how long its 200 would be is allowed (RFC 9110
 * §8.6), but there are clients that wait for such a content, so 304 says nothing, as other servers do; nor does a HEAD whose
 * length is not known. Their head goes out beside MHD, up to the name of one more field, and MHD's own 204 head becomes
 * that field's value and the end of the section. */

static const char BARE_LAST_FIELD[] = "X-No-Content: ";

static bool goes_bare(const struct front_stream *s, const struct front_reply *r)
{
    bool unknown = r->no_content_length || r->content_length < 0;
    bool without = r->status == 304 || (s->head.method == METHOD_HEAD && unknown && r->status != 204);
    return without && !s->request.has_content;
}

void front_bare_free(struct view *head)
{
    free(unconst(head->at));
    *head = (struct view){ NULL, 0 };
}

static int bare_head(struct front_stream *s, const struct front_reply *r, struct head_block *block)
{
    enum { STATUS_LINE_MAX = 128 };
    char *text = malloc(STATUS_LINE_MAX + block_bytes(block) + sizeof BARE_LAST_FIELD);
    if (text == NULL) return -ENOMEM;
    size_t len = (size_t)snprintf(text, STATUS_LINE_MAX, "HTTP/1.1 %d %s\r\n", r->status, status_title(r->status));
    ssize_t lines = block_write(block, text + len);
    if (lines < 0) {
        free(text);
        return -EINVAL;
    }
    len += (size_t)lines;
    memcpy(text + len, BARE_LAST_FIELD, sizeof BARE_LAST_FIELD - 1);
    s->bare_head = view_of(text, len + sizeof BARE_LAST_FIELD - 1);
    return 0;
}

/* MHD says the date, and the end. */
static int bare_reply(struct front_stream *s, const struct front_reply *r, struct head_block *block)
{
    int rc = bare_head(s, r, block);
    if (rc != 0) return rc;
    struct MHD_Response *response = MHD_create_response_from_buffer(0, unconst(""), MHD_RESPMEM_PERSISTENT);
    bool made = response != NULL;
    made = made && (!closes_after(s, r) || MHD_add_response_header(response, "Connection", "close") == MHD_YES);
    made = made && (r->date == NULL || MHD_add_response_header(response, "Date", r->date) == MHD_YES);
    if (!made) { /* whatever is answered instead has a head of its own */
        if (response != NULL) MHD_destroy_response(response);
        front_bare_free(&s->bare_head);
        return response != NULL ? -EINVAL : -ENOMEM;
    }
    s->body_bytes = 0;
    s->body_sent_by_reader = false;
    s->response = response;
    s->status = 204;
    return 0;
}

/* @return false: the socket has no room, and half a head would be the end of the connection anyway */
static bool bare_send(struct front_stream *s)
{
    if (s->bare_head.at == NULL) return true;
    ssize_t n = send(s->conn->fd, s->bare_head.at, s->bare_head.len, MSG_MORE | MSG_NOSIGNAL | MSG_DONTWAIT);
    return n == (ssize_t)s->bare_head.len;
}

static int reply_early(struct front_stream *s, const struct front_reply *r, struct head_block *block)
{
    char text[FRONT_REPLY_HEAD_MAX]; /* head_fits has seen to it */
    ssize_t len = block_write(block, text);
    return len >= 0 ? front_early_reply(s, r, view_of(text, (size_t)len)) : -EINVAL;
}

int front_reply(struct front_stream *s, const struct front_reply *r)
{
    struct head_block block;
    assert(!s->replied);
    bool opens_tunnel =
        s->head.method == METHOD_CONNECT && r->status / 100 == 2; /* and there is none (RFC 9110 §9.3.6) */
    bool switches = r->switched != NULL && r->status == 101 && s->head.http_minor == 1 && !s->request.has_content;
    if ((r->status < 200 && !switches) || r->status > 999 || opens_tunnel) return -EINVAL;
    bool bare = goes_bare(s, r);
    int rc = block_fill(&block, r, bare ? NULL : r->date);
    if (rc != 0) return rc;
    if (!head_fits(s, &block)) return -E2BIG;
    s->reply_arg = r->arg;
    if (bare)
        rc = bare_reply(s, r, &block);
    else
        rc = front_early_fits(s, r) ? reply_early(s, r, &block) : reply_by_mhd(s, r, &block);
    if (rc != 0) return rc;
    s->release = r->release;
    s->closes = r->close;
    s->replied = true;
    s->content_unwanted = front_early_is(s, r->status);
    if (!front_early_waits(s)) front_unpark(s);
    return 0;
}

enum MHD_Result front_queue(struct front_stream *s)
{
    enum MHD_Result rc = MHD_NO;
    if (bare_send(s)) rc = MHD_queue_response(s->conn->mhd, (unsigned)s->status, s->response);
    if (s->kept == NULL) {
        MHD_destroy_response(s->response); /* MHD has a reference of its own */
        s->response = NULL;
    }
    s->queued = true;
    return rc;
}

void front_reply_release(struct front_stream *s)
{
    if (s->kept != NULL) {
        front_kept_release(s);
        return;
    }
    front_bare_free(&s->bare_head);
    if (s->response != NULL) MHD_destroy_response(s->response);
    s->response = NULL;
    if (s->release != NULL) s->release(s->reply_arg);
    s->release = NULL;
}

/* ---- interim responses */

static bool append(char *to, size_t *len, const char *text)
{
    size_t n = strlen(text);
    if (n > INTERIM_BYTES_MAX - *len) return false;
    memcpy(to + *len, text, n);
    *len += n;
    return true;
}

static bool interim_format(char *to, size_t *len, int status, const struct front_field *fields, size_t count)
{
    char line[64];
    snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, status == 103 ? "Early Hints" : "Interim");
    bool fits = append(to, len, line);
    for (size_t i = 0; i < count && fits; i++) {
        struct view name = view_of_str(fields[i].name), value = view_of_str(fields[i].value);
        if (!field_name_is_valid(name) || !field_value_is_valid(value)) return false;
        fits =
            append(to, len, name.at) && append(to, len, ": ") && append(to, len, value.at) && append(to, len, "\r\n");
    }
    return fits && append(to, len, "\r\n");
}

/* MHD takes 103 for a final response, so it goes out beside MHD, which has nothing of its own to send before it is
 * given the reply. An interim response that the socket has no room for is dropped; half of one would be the end. */
void front_interim(struct front_stream *s, int status, const struct front_field *fields, size_t count)
{
    char text[INTERIM_BYTES_MAX];
    size_t len = 0;
    bool uploading = s->request.has_content && !s->content_over && !s->first_call; /* a 100 may be half sent */
    if (s->head.http_minor == 0 || s->queued || uploading || s->conn->gone) return;
    if (status < 102 || status > 199 || !interim_format(text, &len, status, fields, count)) return;
    ssize_t n = send(s->conn->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0 && (size_t)n < len) front_conn_break(s->conn);
}
