#include "proxy/forward.h"

#include "headers/list.h"
#include "purge/tag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* What happens to the client's own line. A field without a row here, or of weir's knowledge, is passed on. */
enum treatment {
    PASS,
    DROP,      /* framing is the origin connection's own; Expect is answered by weir */
    REMADE,    /* a line of ours takes its place */
    CONDITION, /* RFC 9110 §13.1 */
    PART,      /* RFC 9110 §14.2, §13.1.5 */
};

static const uint8_t request_treatments[FIELD_ID_COUNT] = {
    [FIELD_CDN_LOOP] = REMADE,
    [FIELD_CONTENT_LENGTH] = DROP,
    [FIELD_EXPECT] = DROP,
    [FIELD_FORWARDED] = REMADE,
    [FIELD_HOST] = REMADE,
    [FIELD_IF_MATCH] = CONDITION,
    [FIELD_IF_MODIFIED_SINCE] = CONDITION,
    [FIELD_IF_NONE_MATCH] = CONDITION,
    [FIELD_IF_RANGE] = PART,
    [FIELD_IF_UNMODIFIED_SINCE] = CONDITION,
    [FIELD_MAX_FORWARDS] = REMADE,
    [FIELD_RANGE] = PART,
    [FIELD_VIA] = REMADE,
    [FIELD_X_FORWARDED_FOR] = REMADE,
    [FIELD_X_FORWARDED_HOST] = REMADE,
    [FIELD_X_FORWARDED_PROTO] = REMADE,
};

static const uint8_t response_treatments[FIELD_ID_COUNT] = {
    [FIELD_AGE] = REMADE,  [FIELD_CACHE_STATUS] = REMADE, [FIELD_CONTENT_LENGTH] = REMADE,
    [FIELD_DATE] = REMADE, [FIELD_VIA] = REMADE,
};

/* Text that grows at the end of a buffer; once something did not fit, nothing more goes in. */
struct writer {
    char *at;
    size_t used, cap;
    bool full;
};

static void put(struct writer *w, struct view v)
{
    if (w->full || v.len > w->cap - w->used) {
        w->full = true;
        return;
    }
    if (v.len > 0) memcpy(w->at + w->used, v.at, v.len);
    w->used += v.len;
}

static void put_str(struct writer *w, const char *s)
{
    put(w, view_of_str(s));
}

static void put_number(struct writer *w, int64_t n)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, n);
    put_str(w, digits);
}

/* quoted-string, RFC 9110 §5.6.4. */
static void put_quoted(struct writer *w, struct view v)
{
    put_str(w, "\"");
    for (size_t i = 0; i < v.len; i++) {
        if (v.at[i] == '"' || v.at[i] == '\\') put_str(w, "\\");
        put(w, view_of(v.at + i, 1));
    }
    put_str(w, "\"");
}

static void put_token_or_quoted(struct writer *w, struct view v)
{
    if (view_is_token(v)) {
        put(w, v);
    } else {
        put_quoted(w, v);
    }
}

/* All lines with this id joined (RFC 9110 §5.3), each followed by a comma; empty ones are skipped. */
static void put_lines_joined(struct writer *w, struct field_section s, enum field_id id)
{
    for (const struct field *f = field_first(s, id); f != NULL; f = field_next(s, f)) {
        if (f->value.len == 0) continue;
        put(w, f->value);
        put_str(w, ", ");
    }
}

/* ---- the lines of the request; a line is begun, written and ended */

struct head_writer {
    struct forward_lines *out;
    struct writer text;
};

static void line_begin(struct head_writer *h)
{
    if (h->out->count == FORWARD_LINES_MAX) {
        h->text.full = true;
        return;
    }
    h->out->lines[h->out->count++] = h->text.at + h->text.used;
}

static void line_end(struct head_writer *h)
{
    put(&h->text, view_of("", 1)); /* the NUL */
}

static void line_add(struct head_writer *h, struct view name, struct view value)
{
    line_begin(h);
    put(&h->text, name);
    put_str(&h->text, value.len > 0 ? ": " : ";");
    put(&h->text, value);
    line_end(h);
}

/* ---- which of the client's lines go on */

struct choice {
    struct field_section fields;
    bool connection_names_fields;
    bool conditions, parts; /* forwarded */
};

static bool connection_names_fields(struct field_section s)
{
    struct list_walk w = list_of(s, FIELD_CONNECTION);
    struct view option;
    while (list_walk_next(&w, &option)) {
        if (!view_equal_nocase(option, VIEW("close")) && !view_equal_nocase(option, VIEW("keep-alive"))) return true;
    }
    return false;
}

/* Whatever Connection names goes no further (RFC 9110 §7.6.1), save Host, which is made anew. The key counts it as absent
 * too, so that nobody chooses among variants by what the origin never hears. */
static bool taken_off_by_connection(const struct choice *c, const struct field *line)
{
    return c->connection_names_fields && line->id != FIELD_HOST && field_named_by_connection(c->fields, line->name);
}

static bool request_line_goes_on(const struct choice *c, const struct field *line)
{
    if (field_traits_of(line->id)->hop_by_hop || taken_off_by_connection(c, line)) return false;
    /* No HTTP field: CGI would make it the variable HTTP_PROXY, which clients of the origin's own may obey. */
    if (line->id == FIELD_OTHER && view_equal_nocase(line->name, VIEW("proxy"))) return false;
    switch ((enum treatment)request_treatments[line->id]) {
    case PASS: return true;
    case CONDITION: return c->conditions;
    case PART: return c->parts;
    case DROP:
    case REMADE: return false;
    }
    return false;
}

static bool has_validators(const struct forward_context *c)
{
    return c->validators.if_none_match.len > 0 || c->validators.if_modified_since.len > 0;
}

static void add_client_lines(struct head_writer *h, const struct request_head *r, const struct forward_context *c)
{
    struct choice choice = {
        .fields = r->fields,
        .connection_names_fields = connection_names_fields(r->fields),
        .conditions = !c->drop_conditions && !has_validators(c),
        .parts = !c->drop_conditions && !c->drop_range && !has_validators(c) && c->range_first < 0,
    };
    for (size_t i = 0; i < r->fields.count; i++) {
        const struct field *line = &r->fields.lines[i];
        if (request_line_goes_on(&choice, line)) line_add(h, line->name, line->value);
    }
}

/* ---- lines of ours */

static void add_max_forwards(struct head_writer *h, const struct request_head *r)
{
    const struct field *line = field_first(r->fields, FIELD_MAX_FORWARDS);
    if (line == NULL) return;
    int64_t n;
    bool counts = r->method == METHOD_OPTIONS || r->method == METHOD_TRACE;
    if (!counts || !view_parse_decimal(line->value, INT32_MAX, &n)) {
        line_add(h, line->name, line->value);
        return;
    }
    line_begin(h);
    put_str(&h->text, "Max-Forwards: ");
    put_number(&h->text, n > 0 ? n - 1 : 0);
    line_end(h);
}

static void add_conditions(struct head_writer *h, const struct forward_context *c)
{
    if (c->validators.if_none_match.len > 0) line_add(h, VIEW("If-None-Match"), c->validators.if_none_match);
    if (c->validators.if_modified_since.len > 0) {
        line_add(h, VIEW("If-Modified-Since"), c->validators.if_modified_since);
    }
    if (c->range_first < 0) return;
    line_begin(h);
    put_str(&h->text, "Range: bytes=");
    put_number(&h->text, c->range_first);
    put_str(&h->text, "-");
    if (c->range_last >= 0) put_number(&h->text, c->range_last);
    line_end(h);
    if (c->if_range.len > 0) line_add(h, VIEW("If-Range"), c->if_range);
}

/* RFC 7239 §6: an IPv6 address stands in brackets, hence in quotes; who is not known is "unknown". */
static void put_forwarded_node(struct writer *w, const char *ip)
{
    if (ip == NULL || ip[0] == '\0') {
        put_str(w, "unknown");
    } else if (strchr(ip, ':') == NULL) {
        put_str(w, ip);
    } else {
        put_str(w, "\"[");
        put(w, view_of(ip, strcspn(ip, "%"))); /* a zone means nothing on another machine */
        put_str(w, "]\"");
    }
}

static void add_forwarded(struct head_writer *h, const struct request_head *r, const struct forward_context *c)
{
    line_begin(h);
    put_str(&h->text, "Forwarded: ");
    put_lines_joined(&h->text, r->fields, FIELD_FORWARDED);
    put_str(&h->text, "for=");
    put_forwarded_node(&h->text, c->client_ip);
    if (r->authority.len > 0) {
        put_str(&h->text, ";host=");
        put_token_or_quoted(&h->text, r->authority);
    }
    put_str(&h->text, c->client_https ? ";proto=https" : ";proto=http");
    line_end(h);
}

static void add_x_forwarded(struct head_writer *h, const struct request_head *r, const struct forward_context *c)
{
    line_begin(h);
    put_str(&h->text, "X-Forwarded-For: ");
    put_lines_joined(&h->text, r->fields, FIELD_X_FORWARDED_FOR);
    put_str(&h->text, c->client_ip != NULL && c->client_ip[0] != '\0' ? c->client_ip : "unknown");
    line_end(h);
    line_add(h, VIEW("X-Forwarded-Proto"), c->client_https ? VIEW("https") : VIEW("http"));
    if (r->authority.len > 0) line_add(h, VIEW("X-Forwarded-Host"), r->authority);
}

static void add_via(struct head_writer *h, const struct request_head *r, const struct forward_context *c)
{
    line_begin(h);
    put_str(&h->text, "Via: ");
    put_lines_joined(&h->text, r->fields, FIELD_VIA);
    put_str(&h->text, r->http_minor == 0 ? "1.0 " : "1.1 ");
    put(&h->text, c->via_pseudonym);
    line_end(h);
}

static void add_cdn_loop(struct head_writer *h, const struct request_head *r, const struct forward_context *c)
{
    line_begin(h);
    put_str(&h->text, "CDN-Loop: ");
    put_lines_joined(&h->text, r->fields, FIELD_CDN_LOOP);
    put(&h->text, c->via_pseudonym);
    if (c->instance.len > 0) {
        put_str(&h->text, ";id=");
        put_token_or_quoted(&h->text, c->instance);
    }
    line_end(h);
}

int forward_request(const struct request_head *r, const struct forward_context *c, struct forward_lines *out)
{
    struct head_writer h = { .out = out, .text = { .at = out->text, .cap = FORWARD_TEXT_MAX } };
    out->count = 0;
    line_add(&h, VIEW("Host"), c->origin_authority != NULL ? view_of_str(c->origin_authority) : r->authority);
    add_client_lines(&h, r, c);
    add_max_forwards(&h, r);
    add_conditions(&h, c);
    add_x_forwarded(&h, r, c);
    add_forwarded(&h, r, c);
    add_via(&h, r, c);
    add_cdn_loop(&h, r, c);
    out->used = h.text.used;
    return h.text.full ? -E2BIG : 0;
}

int forward_target(const struct request_head *r, const struct forward_context *c, char *to, size_t cap)
{
    struct writer w = { .at = to, .cap = cap };
    bool asterisk = view_equal(r->path_query, VIEW("*"));
    if (c->path_prefix != NULL && !asterisk) put_str(&w, c->path_prefix);
    put(&w, r->path_query);
    return w.full ? -1 : (int)w.used;
}

/* ---- loops */

/* Cut the piece before the next ';' outside quotes off *rest. */
static struct view next_parameter(struct view *rest)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->len && (quoted || rest->at[i] != ';'); i++) {
        if (quoted && rest->at[i] == '\\') {
            i++;
        } else if (rest->at[i] == '"') {
            quoted = !quoted;
        }
    }
    struct view piece = view_trim_ows(view_first(*rest, i));
    *rest = view_after(*rest, i + 1);
    return piece;
}

static bool parameter_is_instance(struct view parameter, struct view instance)
{
    struct view name, argument;
    bool has_argument;
    list_split_argument(parameter, &name, &argument, &has_argument);
    if (!has_argument || !view_equal_nocase(name, VIEW("id"))) return false;
    char text[128];
    int len = list_unquote(argument, text, sizeof(text));
    return view_equal(len >= 0 ? view_of(text, (size_t)len) : argument, instance);
}

static bool cdn_info_is_us(struct view member, const struct forward_context *c)
{
    struct view rest = member;
    if (!view_equal_nocase(next_parameter(&rest), c->via_pseudonym)) return false;
    if (c->instance.len == 0) return true;
    while (rest.len > 0) {
        if (parameter_is_instance(next_parameter(&rest), c->instance)) return true;
    }
    return false;
}

bool forward_is_loop(const struct request_head *r, const struct forward_context *c)
{
    struct list_walk w = list_of(r->fields, FIELD_CDN_LOOP);
    struct view member;
    while (list_walk_next(&w, &member)) {
        if (cdn_info_is_us(member, c)) return true;
    }
    return false;
}

bool forward_answers_itself(const struct request_head *r)
{
    if (r->method != METHOD_OPTIONS && r->method != METHOD_TRACE) return false;
    const struct field *line = field_first(r->fields, FIELD_MAX_FORWARDS);
    int64_t n;
    return line != NULL && view_parse_decimal(line->value, INT32_MAX, &n) && n == 0;
}

/* ---- the response */

static bool is_targeted(const struct policy *p, const struct field *line)
{
    for (size_t i = 0; i < p->targeted_count; i++) {
        if (p->targeted[i] != line->id) continue;
        if (line->id != FIELD_OTHER || view_equal_nocase(line->name, p->targeted_names[i])) return true;
    }
    return false;
}

bool forward_response_field(struct field_section response, const struct field *line, const struct policy *p)
{
    if (field_traits_of(line->id)->hop_by_hop) return false;
    if (response_treatments[line->id] == REMADE) return false;
    if (tag_field_is_internal(line->id) && !p->pass_tags) return false;
    if (p->strip_targeted && is_targeted(p, line)) return false;
    return !field_named_by_connection(response, line->name);
}

int forward_append(struct field_section s, enum field_id id, struct view member, char *to, size_t cap)
{
    struct writer w = { .at = to, .cap = cap };
    put_lines_joined(&w, s, id);
    put(&w, member);
    put(&w, view_of("", 1));
    return w.full ? -1 : (int)w.used - 1;
}
