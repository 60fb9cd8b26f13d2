#include "proxy/exchange_internal.h"

#include "proxy/forward.h"
#include "proxy/problem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What is being answered with: a stored response or one just received, seen alike. */
struct source {
    int status;
    const void *record;          /* a stored response; NULL: */
    struct field_section fields; /* the fields as received */
    struct body *body;           /* NULL: content is in one piece */
    const char *content;
    int64_t length;         /* of the representation; -1: not known */
    int64_t base;           /* where the content begins in it: above 0 only for a stored part */
    int64_t content_length; /* of what there is; -1: not known */
    int64_t age_s;          /* -1: no Age */
    bool http_1_0;          /* received as such */
};

/* ---- content */

static void reader_woke(struct body_reader *r)
{
    struct exchange *x = HOLDER_OF(r, struct exchange, reader);
    loop_post(x->worker->loop, &x->task);
}

static void end_reading(struct exchange *x)
{
    if (x->reading) body_reader_end(&x->reader);
    x->reading = false;
}

/* @return false: bytes at the beginning are gone already, since nothing of it is stored any more */
static bool begin_reading(struct exchange *x, struct body *body, int64_t first, int64_t last)
{
    if (x->reading && x->reader.body == body) { /* the same reader: the window waits for it */
        body_reader_move(&x->reader, first, last);
        return true;
    }
    end_reading(x);
    x->reading = true;
    if (body_reader_begin(&x->reader, body, first, last, reader_woke)) return true;
    end_reading(x);
    return false;
}

bool answer_awaits_rest(struct exchange *x, struct body *body, int64_t length)
{
    if (body == NULL || length == 0 || length > EXCHANGE_WHOLE_MAX) return false;
    return begin_reading(x, body, 0, -1) && body_reader_await_end(&x->reader); /* what is there stays for this reader */
}

static ssize_t read_body(void *arg, uint8_t *to, size_t cap)
{
    struct exchange *x = arg;
    return body_read(&x->reader, to, cap);
}

static void release_object(void *arg)
{
    struct object *o = arg;
    object_unref(&o);
}

static void release_body(void *arg)
{
    struct body *b = arg;
    body_unref(&b);
}

static void release_text(void *arg)
{
    free(arg);
}

/* ---- several ranges: texts and parts of the content in turn */

static ssize_t read_part_content(struct exchange *x, struct answer_part *p, uint8_t *to, size_t cap)
{
    if (x->object != NULL && x->object->content != NULL) {
        int64_t at = p->first + (int64_t)(x->part_sent - p->text_len);
        int64_t left = p->last + 1 - at;
        size_t n = left < (int64_t)cap ? (size_t)left : cap;
        memcpy(to, x->object->content + at, n);
        return (ssize_t)n;
    }
    struct body *body = x->object != NULL ? x->object->body : fetch_response(x->fetch)->body;
    if (x->part_sent == p->text_len && !begin_reading(x, body, p->first, p->last)) return -EIO;
    return body_read(&x->reader, to, cap);
}

static ssize_t read_parts(void *arg, uint8_t *to, size_t cap)
{
    struct exchange *x = arg;
    while (x->part_at < x->part_count) {
        struct answer_part *p = &x->parts[x->part_at];
        size_t content = p->last >= p->first ? (size_t)(p->last - p->first + 1) : 0;
        ssize_t n = 0;
        if (x->part_sent < p->text_len) {
            size_t left = p->text_len - x->part_sent;
            n = (ssize_t)(left < cap ? left : cap);
            memcpy(to, p->text + x->part_sent, (size_t)n);
        } else if (x->part_sent < p->text_len + content) {
            n = read_part_content(x, p, to, cap);
            if (n == 0) return -EIO; /* shorter than it said */
        }
        if (n < 0) return n;
        x->part_sent += (size_t)n;
        if (x->part_sent == p->text_len + content) {
            x->part_at++;
            x->part_sent = 0;
        }
        if (n > 0) return n;
    }
    return 0;
}

static char *part_text(size_t i, const char *boundary, const char *type, const struct byte_range *r, int64_t length,
                       size_t *len)
{
    char *text = malloc(strlen(type) + 256);
    if (text == NULL) return NULL;
    const char *before = i == 0 ? "" : "\r\n";
    int n = r != NULL ? sprintf(text, "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %lld-%lld/%lld\r\n\r\n",
                                before, boundary, type, (long long)r->first, (long long)r->last, (long long)length)
                      : sprintf(text, "%s--%s--\r\n", before, boundary);
    *len = (size_t)n;
    return text;
}

/* RFC 9110 §14.6. @return the whole length, or -1: no memory */
static int64_t plan_parts(struct exchange *x, const struct source *s, const struct range_set *set, const char *boundary,
                          const char *type)
{
    int64_t sum = 0;
    x->parts = calloc(set->count + 1, sizeof *x->parts);
    if (x->parts == NULL) return -1;
    for (size_t i = 0; i <= set->count; i++) {
        struct answer_part *p = &x->parts[i];
        const struct byte_range *r = i < set->count ? &set->parts[i] : NULL;
        p->text = part_text(i, boundary, type, r, s->length, &p->text_len);
        if (p->text == NULL) return -1;
        x->part_count = i + 1;
        p->first = r != NULL ? r->first - s->base : 0;
        p->last = r != NULL ? r->last - s->base : -1;
        sum += (int64_t)p->text_len + (p->last - p->first + 1);
    }
    return sum;
}

/* ---- sending */

static void note_answer(struct exchange *x, int status)
{
    x->state = EXCHANGE_ANSWERED;
    x->status = status;
    if (status == 304) stats_add(&x->worker->counters.not_modified, 1);
    if (status == 206) stats_add(&x->worker->counters.partial, 1);
}

/* @return false: it cannot be sent, and a problem was answered instead */
bool answer_send(struct exchange *x, struct front_reply *reply, struct reply_head *head)
{
    reply->fields = head->fields;
    reply->field_count = head->count;
    reply->date = head->date;
    note_answer(x, reply->status);
    int rc = front_reply(x->stream, reply);
    if (rc == 0) return true;
    if (reply->content != NULL && reply->release != NULL) reply->release(reply->arg);
    end_reading(x);
    answer_problem(x, 502, rc == -E2BIG ? "head-too-large" : "bad-field");
    return false;
}

static bool whole_content(struct exchange *x, const struct source *s, struct front_reply *reply)
{
    reply->content_length = s->content_length;
    if (s->content != NULL) {
        reply->content = s->content;
        if (x->object != NULL) {
            reply->release = release_object;
            reply->arg = object_ref(x->object);
        } else if (s->body != NULL) {
            reply->release = release_body;
            reply->arg = body_ref(s->body);
        }
    } else {
        if (!begin_reading(x, s->body, 0, -1)) return false;
        reply->read = read_body;
        reply->arg = x;
    }
    return true;
}

static bool part_content(struct exchange *x, const struct source *s, const struct byte_range *r,
                         struct front_reply *reply, struct reply_head *head)
{
    if (!whole_content(x, s, reply)) return false;
    snprintf(head->range, sizeof head->range, "bytes %lld-%lld/%lld", (long long)r->first, (long long)r->last,
             (long long)s->length);
    reply_add(head, "Content-Range", head->range);
    reply->content_length = r->last - r->first + 1;
    if (s->content != NULL) {
        reply->content = s->content + (r->first - s->base);
    } else {
        body_reader_move(&x->reader, r->first - s->base, r->last - s->base);
    }
    return true;
}

static void drop_content_type(struct reply_head *head, const char **type)
{
    size_t kept = 0;
    for (size_t i = 0; i < head->count; i++) {
        if (strcasecmp(head->fields[i].name, "content-type") == 0)
            *type = head->fields[i].value;
        else
            head->fields[kept++] = head->fields[i];
    }
    head->count = kept;
}

static bool parts_content(struct exchange *x, const struct source *s, const struct range_set *set,
                          struct front_reply *reply, struct reply_head *head)
{
    const char *type = "application/octet-stream";
    char boundary[40];
    snprintf(boundary, sizeof boundary, "weir-%016llx%08x", (unsigned long long)x->begun_us * 0x9e3779b97f4a7c15u,
             (unsigned)(uintptr_t)x);
    drop_content_type(head, &type);
    snprintf(head->range, sizeof head->range, "multipart/byteranges; boundary=%s", boundary);
    reply_add(head, "Content-Type", head->range);
    reply->content_length = plan_parts(x, s, set, boundary, type);
    reply->read = read_parts;
    reply->arg = x;
    return reply->content_length >= 0;
}

static void reply_fields(const struct exchange *x, const struct source *s, struct reply_head *head, bool not_modified)
{
    const struct policy *p = &x->route->policy;
    if (s->record != NULL)
        reply_from_record(head, s->record, p, not_modified);
    else
        reply_from_fields(head, s->fields, p, not_modified);
    if (s->record != NULL && x->fetch != NULL) reply_add_lines(head, fetch_personal(x->fetch));
    if (s->age_s >= 0) reply_add_age(head, s->age_s);
    route_edit_reply(x->route, head, s->record != NULL || x->outcome.stored);
}

static void add_ours(struct exchange *x, const struct source *s, struct reply_head *head)
{
    struct field room[RECORD_FIELDS_MAX];
    struct field_section none = { NULL, 0 };
    if (!head->has_lists)
        reply_add_ours(head, none, &x->outcome, s->http_1_0);
    else
        reply_add_ours(head, s->record != NULL ? record_section(s->record, room) : s->fields, &x->outcome, s->http_1_0);
}

static void answer_unsatisfiable(struct exchange *x, const struct source *s, struct reply_head *head)
{
    struct front_reply reply = { .status = 416, .content = "", .content_length = 0 };
    reply_fields(x, s, head, true);
    snprintf(head->range, sizeof head->range, "bytes */%lld", (long long)s->length);
    reply_add(head, "Content-Range", head->range);
    add_ours(x, s, head);
    answer_send(x, &reply, head);
}

/* 304 and 412: fields, and no content. */
static bool answer_without_content(struct exchange *x, const struct source *s, struct reply_head *head, int status)
{
    bool stands_for_whole = status == 304 && s->length >= 0; /* its length then, should the front end say one */
    struct front_reply reply = { .status = status,
                                 .content = "",
                                 .content_length = stands_for_whole ? s->length : 0,
                                 .no_content_length = status == 304 && s->length < 0 };
    reply_fields(x, s, head, true);
    add_ours(x, s, head);
    return answer_send(x, &reply, head);
}

static struct precondition_decision conditions(const struct exchange *x, const struct source *s)
{
    struct field room[RECORD_FIELDS_MAX];
    struct field_section fields = s->record != NULL ? record_section(s->record, room) : s->fields;
    return precondition_decide(x->request, s->status, fields, s->length, exchange_now_s(x));
}

static void content_is_gone(struct exchange *x)
{
    object_unref(&x->object);
    exchange_start_over(x);
}

static void answer_not_modified(struct exchange *x, const struct source *s)
{
    struct reply_head head;
    struct kept_place *keep;
    if (kept_answers(x, true, &keep))
        note_answer(x, 304);
    else if (answer_without_content(x, s, &head, 304))
        kept_fill(x, keep);
}

static void answer_whole(struct exchange *x, const struct source *s)
{
    struct reply_head head;
    struct front_reply reply = { .status = s->status };
    struct kept_place *keep;
    if (kept_answers(x, false, &keep)) {
        note_answer(x, s->status);
        return;
    }
    reply_fields(x, s, &head, false);
    if (!whole_content(x, s, &reply)) {
        content_is_gone(x);
        return;
    }
    add_ours(x, s, &head);
    if (answer_send(x, &reply, &head)) kept_fill(x, keep);
}

static void answer_parts(struct exchange *x, const struct source *s, const struct range_set *ranges)
{
    struct reply_head head;
    struct front_reply reply = { .status = 206 };
    reply_fields(x, s, &head, false);
    if (ranges->count == 1) {
        if (!part_content(x, s, &ranges->parts[0], &reply, &head)) {
            content_is_gone(x);
            return;
        }
    } else if (!parts_content(x, s, ranges, &reply, &head)) {
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    add_ours(x, s, &head);
    (void)answer_send(x, &reply, &head);
}

static void answer(struct exchange *x, const struct source *s, bool conditional)
{
    struct reply_head head;
    struct precondition_decision d;
    d.verdict = PRECONDITION_WHOLE;
    if (conditional) d = conditions(x, s);
    switch (d.verdict) {
    case PRECONDITION_NOT_MODIFIED: answer_not_modified(x, s); break;
    case PRECONDITION_FAILED: (void)answer_without_content(x, s, &head, 412); break;
    case PRECONDITION_UNSATISFIABLE: answer_unsatisfiable(x, s, &head); break;
    case PRECONDITION_WHOLE: answer_whole(x, s); break;
    case PRECONDITION_PARTS: answer_parts(x, s, &d.ranges); break;
    }
}

/* In memory of its own: the log names it too, and by then the worker's scratch is another's. */
static void name_key(struct exchange *x)
{
    if (x->route->policy.status_key && x->has_key && exchange_own_texts(x, 0)) x->outcome.key = key_uri(&x->q.key);
}

static void fill_from_body(struct source *s, struct body *body)
{
    struct view whole = body_whole(body);
    s->body = body;
    s->content = whole.at;
    s->length = s->content_length = body_length(body);
}

void answer_from_object(struct exchange *x, struct object *o)
{
    struct source s = { .status = object_head(o)->stored.status,
                        .record = object_record(o),
                        .content = o->content,
                        .length = object_content_length(o),
                        .content_length = object_content_length(o),
                        .age_s = x->decision.age_s };
    const struct stored_head *head = &object_head(o)->stored;
    s.http_1_0 = (head->flags & STORED_HTTP_1_0) != 0;
    if (o->content == NULL) fill_from_body(&s, o->body);
    if ((head->flags & STORED_PARTIAL) != 0) {
        s.base = head->content_first;
        s.length = head->content_length;
    }
    if (!exchange_is_covered(x, o)) { /* freshened, a part may no longer be what If-Range names */
        exchange_start_over(x);
        return;
    }
    if (x->object == NULL) x->object = object_ref(o);
    name_key(x);
    answer(x, &s, x->conditional);
}

static bool has_age(const struct fetch_response *r)
{
    return field_first(r->fields, FIELD_AGE) != NULL;
}

/* To HEAD, and a 304 that the origin made for the client: the head as it came. */
static void answer_with_head(struct exchange *x, const struct source *s, int64_t content_length)
{
    struct reply_head head;
    struct front_reply reply = { .status = s->status, .content_length = content_length, .content = "" };
    reply.no_content_length = reply.content_length < 0;
    if (reply.no_content_length) reply.content_length = 0;
    reply_fields(x, s, &head, false);
    add_ours(x, s, &head);
    answer_send(x, &reply, &head);
}

/* What weir did not pass on of the client's conditions, it answers itself; to HEAD the same as to GET (RFC 9110 §13.2.1). */
static void answer_head(struct exchange *x, const struct source *s, int64_t content_length, bool conditional)
{
    struct reply_head head;
    enum precondition_verdict verdict = conditional ? conditions(x, s).verdict : PRECONDITION_WHOLE;
    if (verdict == PRECONDITION_NOT_MODIFIED)
        answer_without_content(x, s, &head, 304);
    else if (verdict == PRECONDITION_FAILED)
        answer_without_content(x, s, &head, 412);
    else
        answer_with_head(x, s, content_length);
}

void answer_from_fetch(struct exchange *x)
{
    const struct fetch_response *r = fetch_response(x->fetch);
    int64_t age_s = current_age_s(&r->head, exchange_now_s(x));
    /* Age would say that the origin did not make this response just now (RFC 9111 §5.1). */
    struct source s = { .status = r->status, .fields = r->fields, .age_s = has_age(r) ? age_s : -1 };
    s.http_1_0 = (r->head.flags & STORED_HTTP_1_0) != 0;
    /* A 206 that nobody asked for says itself which part it is. */
    bool conditional = x->conditional && r->status != 206 && fetch_answers_conditions(x->fetch);
    fill_from_body(&s, r->body);
    if (r->stored) {
        struct lifetime l = freshness_lifetime(&r->head, &x->route->policy, x->q.key.hash[0]);
        x->outcome.has_ttl = true;
        x->outcome.ttl_s = l.lifetime_s - age_s;
    }
    name_key(x);
    if (x->request->method == METHOD_HEAD || r->status == 304)
        answer_head(x, &s, r->content_length, conditional);
    else
        answer(x, &s, conditional);
}

/* ---- answers of weir's own */

static const char methods_allowed[] = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE, QUERY, PURGE";

void answer_own(struct exchange *x, int status, const char *content_type, char *text, size_t len,
                const char *extra_name, const char *extra_value)
{
    struct reply_head head;
    struct field_section none = { NULL, 0 };
    head.count = 0;
    head.date = NULL;
    if (content_type != NULL) reply_add(&head, "Content-Type", content_type);
    if (extra_name != NULL) reply_add(&head, extra_name, extra_value);
    if (x->route->kind != ROUTE_PROXY) route_edit_reply(x->route, &head, false);
    reply_add_ours(&head, none, &x->outcome, false);
    struct front_reply reply = { .status = status,
                                 .fields = head.fields,
                                 .field_count = head.count,
                                 .content_length = (int64_t)len,
                                 .content = text != NULL ? text : "",
                                 .release = text != NULL ? release_text : NULL,
                                 .arg = text };
    reply.close = x->has_content && !(x->upload != NULL && upload_is_complete(x->upload));
    x->status = status;
    x->state = EXCHANGE_ANSWERED;
    if (front_reply(x->stream, &reply) != 0) free(text);
}

void answer_text(struct exchange *x, int status, const char *content_type, const char *text, size_t len)
{
    char *copy = strndup(text, len);
    answer_own(x, status, content_type, copy, copy != NULL ? len : 0, NULL, NULL);
}

void answer_problem(struct exchange *x, int status, const char *detail)
{
    enum { PROBLEM_BYTES = 512 };
    char text[PROBLEM_BYTES];
    size_t len = problem_format(status, NULL, detail, text, sizeof text);
    x->outcome.hit = false;
    x->outcome.stored = x->outcome.has_ttl = false;
    x->outcome.detail = detail;
    char *copy = strndup(text, len);
    const char *name = NULL, *value = NULL;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", x->retry_after_s > 0 ? x->retry_after_s : 1);
    if (status == 503) name = "Retry-After", value = seconds;
    if (status == 405) name = "Allow", value = methods_allowed;
    answer_own(x, status, PROBLEM_CONTENT_TYPE, copy, copy != NULL ? len : 0, name, value);
}

void answer_options(struct exchange *x)
{
    answer_own(x, 200, NULL, NULL, 0, "Allow", methods_allowed);
}

/* Fields that may be secrets are not reflected (RFC 9110 §9.3.8). */
static bool is_reflected(enum field_id id)
{
    return id != FIELD_AUTHORIZATION && id != FIELD_COOKIE && id != FIELD_PROXY_AUTHORIZATION;
}

void answer_trace(struct exchange *x)
{
    const struct request_head *r = x->request;
    size_t cap = r->method_name.len + r->target.len + 64;
    for (size_t i = 0; i < r->fields.count; i++) cap += r->fields.lines[i].name.len + r->fields.lines[i].value.len + 4;
    char *text = malloc(cap);
    if (text == NULL) {
        answer_problem(x, 503, "out-of-memory");
        return;
    }
    size_t n = (size_t)sprintf(text, "%.*s %.*s HTTP/1.%d\r\n", (int)r->method_name.len, r->method_name.at,
                               (int)r->target.len, r->target.at, r->http_minor);
    for (size_t i = 0; i < r->fields.count; i++) {
        const struct field *f = &r->fields.lines[i];
        if (!is_reflected(f->id)) continue;
        n += (size_t)sprintf(text + n, "%.*s: %.*s\r\n", (int)f->name.len, f->name.at, (int)f->value.len, f->value.at);
    }
    memcpy(text + n, "\r\n", 2);
    answer_own(x, 200, "message/http", text, n + 2, NULL, NULL);
}

void answer_end(struct exchange *x)
{
    end_reading(x);
    for (size_t i = 0; i < x->part_count; i++) free(x->parts[i].text);
    free(x->parts);
    x->parts = NULL;
    x->part_count = 0;
    object_unref(&x->object);
}
