#include "proxy/admin_explain.h"

#include "cache/outcome.h"
#include "cache/precondition.h"
#include "cache/reuse.h"
#include "cache/validation.h"
#include "proxy/admin_internal.h"
#include "proxy/admin_url.h"
#include "purge/tag.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the query */

static int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Into q->text, which has room for the whole query. A URL has no blanks, so in one that was not encoded "+" is itself. */
static bool decode(struct view encoded, bool plus_is_blank, struct explain_query *q, size_t *used, struct view *out)
{
    size_t begin = *used;
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.at[i];
        if (c == '%') {
            if (encoded.len - i < 3) return false;
            int high = hex_digit(encoded.at[i + 1]), low = hex_digit(encoded.at[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        q->text[(*used)++] = c;
    }
    *out = view_of(q->text + begin, *used - begin);
    return true;
}

static bool refuse(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s", what);
    return false;
}

static bool take_header(struct explain_query *q, struct view line, char *why, size_t cap)
{
    size_t colon = view_find(line, 0, ':');
    struct field f = { .name = view_first(line, colon), .value = view_trim_ows(view_after(line, colon + 1)) };
    if (colon == line.len || !field_name_is_valid(f.name) || !field_value_is_valid(f.value))
        return refuse(why, cap, "header: \"Name: value\" is needed");
    if (q->field_count == EXPLAIN_FIELDS_MAX - 1) return refuse(why, cap, "header: too many");
    f.id = field_id_of(f.name);
    q->fields[q->field_count++] = f;
    return true;
}

static bool take_argument(struct explain_query *q, struct view name, struct view value, size_t *used, char *why,
                          size_t cap)
{
    struct view text;
    bool is_url = view_equal(name, VIEW("url")), is_header = view_equal(name, VIEW("header"));
    if (!is_url && !is_header && !view_equal(name, VIEW("method"))) {
        snprintf(why, cap,
                 "unknown argument \"%.*s\": there are url, header and method; a '&' inside url is written %%26",
                 (int)(name.len < 64 ? name.len : 64), name.at);
        return false;
    }
    if (!decode(value, !is_url, q, used, &text)) return refuse(why, cap, "'%' without two hexadecimal digits");
    if (is_header) return take_header(q, text, why, cap);
    if (is_url) {
        if (q->url.len > 0) return refuse(why, cap, "url: only one");
        q->url = text;
        return true;
    }
    if (!view_is_token(text)) return refuse(why, cap, "method: not the name of a method");
    q->method = text;
    return true;
}

bool explain_query_read(struct view query, struct explain_query *out, char *why, size_t cap)
{
    size_t used = 0;
    out->url = VIEW("");
    out->method = VIEW("GET");
    out->field_count = 0;
    if (query.len > sizeof out->text) return refuse(why, cap, "the query is too long");
    while (query.len > 0) {
        size_t end = view_find(query, 0, '&');
        struct view argument = view_first(query, end);
        query = view_after(query, end < query.len ? end + 1 : end);
        size_t equals = view_find(argument, 0, '=');
        if (argument.len == 0) continue;
        struct view value = view_after(argument, equals < argument.len ? equals + 1 : equals);
        if (!take_argument(out, view_first(argument, equals), value, &used, why, cap)) return false;
    }
    if (out->url.len == 0) return refuse(why, cap, "url: which URL is to be explained?");
    return true;
}

/* ---- one stored response */

static const struct {
    enum stored_flag flag;
    const char *name;
} flag_names[] = {
    { STORED_NO_CACHE, "no-cache" },        { STORED_MUST_REVALIDATE, "must-revalidate" },
    { STORED_S_MAXAGE, "s-maxage" },        { STORED_PUBLIC, "public" },
    { STORED_IMMUTABLE, "immutable" },      { STORED_PRAGMA_NO_CACHE, "pragma-no-cache" },
    { STORED_AUTHORIZED, "authorization" }, { STORED_FIELD_LISTED_NO_CACHE, "fields-left-out" },
    { STORED_PARTIAL, "partial" },
};

/* @param json  a list; both references are consumed or kept so that a failure anywhere shows as a failed set */
static void append(json_t *list, json_t *item)
{
    (void)json_array_append_new(list, item); /* without memory the list is shorter, never wrong */
}

static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value); /* as above */
}

static json_t *seconds_or_null(int32_t seconds)
{
    return seconds < 0 ? json_null() : json_integer(seconds);
}

static json_t *freshness_json(const struct stored_head *s, const struct policy *p, uint64_t key_hash, bool soft,
                              int64_t now_s)
{
    struct lifetime lifetime = freshness_lifetime(s, p, key_hash);
    int64_t age_s = current_age_s(s, now_s);
    json_t *json = json_object();
    set(json, "fresh", json_boolean(age_s < lifetime.lifetime_s && !soft));
    set(json, "age_s", json_integer(age_s));
    set(json, "initial_age_s", json_integer(s->initial_age_s));
    set(json, "resident_s", json_integer(now_s - s->response_time_s));
    set(json, "lifetime_s", json_integer(lifetime.lifetime_s));
    set(json, "lifetime_source", json_string(lifetime_source_name(lifetime.source)));
    set(json, "limited_by_operator", json_boolean(lifetime.limited));
    set(json, "ttl_s", json_integer(lifetime.lifetime_s - age_s));
    set(json, "stale_while_revalidate_s", seconds_or_null(s->swr_s));
    set(json, "stale_if_error_s", seconds_or_null(s->sie_s));
    return json;
}

static json_t *text_or_null(const void *record, enum field_id id)
{
    struct view value = record_value(record, id);
    return value.at != NULL ? admin_json_text(value) : json_null();
}

static json_t *tags_json(struct field_section fields)
{
    struct tag_walk walk = tags_of(fields);
    struct view tag;
    json_t *list = json_array();
    while (tag_walk_next(&walk, &tag)) append(list, admin_json_text(tag));
    return list;
}

static json_t *flags_json(uint16_t flags)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if ((flags & flag_names[i].flag) != 0) append(list, json_string(flag_names[i].name));
    return list;
}

static json_t *fields_json(struct field_section fields)
{
    json_t *list = json_array();
    for (size_t i = 0; i < fields.count; i++) {
        json_t *line = json_object();
        set(line, "name", admin_json_text(fields.lines[i].name));
        set(line, "value", admin_json_text(fields.lines[i].value));
        append(list, line);
    }
    return list;
}

/* "accept-encoding:gzip LF accept-language LF": the request fields that selected it; null for one that was absent. */
static json_t *selected_by_json(struct view variant)
{
    json_t *json = json_object();
    while (variant.len > 0) {
        size_t end = view_find(variant, 0, '\n');
        struct view line = view_first(variant, end);
        size_t colon = view_find(line, 0, ':');
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)colon, line.at);
        set(json, name, colon < line.len ? admin_json_text(view_after(line, colon + 1)) : json_null());
        variant = view_after(variant, end + 1);
    }
    return json;
}

static json_t *tiers_json(const struct holding *h)
{
    json_t *list = json_array();
    if (h->in_memory) append(list, json_string("memory"));
    if (h->in_store) append(list, json_string("store"));
    return list;
}

static json_t *size_json(const struct holding *h)
{
    json_t *json = json_object();
    set(json, "content_bytes", json_integer(record_head_of(h->record)->content_length));
    set(json, "record_bytes", json_integer((json_int_t)h->record_bytes));
    set(json, "memory_bytes", json_integer((json_int_t)h->memory_bytes));
    return json;
}

static json_t *purge_json(const struct holding *h, struct purge_verdict v, int64_t now_s)
{
    bool soft = v.soft || h->stale_marked;
    json_t *json = json_object();
    set(json, "state", json_string(v.hard ? "purged" : soft ? "purged-soft" : "none"));
    set(json, "fetched_at", json_integer((json_int_t)record_head_of(h->record)->fetch_seq));
    if (v.soft) set(json, "seconds_ago", json_integer(now_s - v.soft_since_s));
    return json;
}

json_t *explain_holding_json(const struct holding *h, const struct policy *p, struct purge_verdict purged,
                             const struct reuse_decision *selected_as, int64_t now_s)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &record_head_of(h->record)->stored;
    struct field_section fields = record_section(h->record, room);
    json_t *json = json_object();
    set(json, "selected", json_false());
    set(json, "selected_by", selected_by_json(record_variant(h->record)));
    set(json, "status", json_integer(s->status));
    set(json, "reuse", json_string(reuse_reason_name(selected_as->reason)));
    set(json, "freshness", freshness_json(s, p, h->id.key[0], purged.soft || h->stale_marked, now_s));
    set(json, "etag", text_or_null(h->record, FIELD_ETAG));
    set(json, "last_modified", text_or_null(h->record, FIELD_LAST_MODIFIED));
    set(json, "tags", tags_json(fields));
    set(json, "says", flags_json(s->flags));
    set(json, "tiers", tiers_json(h));
    set(json, "size", size_json(h));
    set(json, "fetch_ms", json_integer(s->fetch_ms));
    set(json, "purges", purge_json(h, purged, now_s));
    set(json, "fields", fields_json(fields));
    return json;
}

/* ---- the look-up */

struct explain {
    const struct explain_context *c;
    const struct policy *policy;
    struct request_head head;
    struct field fields[EXPLAIN_FIELDS_MAX];
    struct key key;
    /* found */
    json_t *vary, *variants;
    size_t variant_count;
    bool varies, variant_known;
    struct variant variant; /* what the request selects */
    enum found found;
    struct reuse_decision decision;
    enum precondition_verdict precondition;
    int status; /* of the selected response */
    bool has_validators, unshared;
    char url[KEY_TEXT_MAX], key_text[KEY_TEXT_MAX], variant_text[VARIANT_TEXT_MAX];
};

static void note_vary(struct explain *e, const void *record)
{
    struct view names = record_value(record, FIELD_VARY), rest = names;
    e->varies = true;
    e->found = FOUND_OTHER_VARIANT;
    e->variant_known =
        variant_from_request(names, e->head.fields, e->policy, e->variant_text, sizeof e->variant_text, &e->variant);
    while (rest.len > 0) {
        size_t comma = view_find(rest, 0, ',');
        append(e->vary, admin_json_text(view_first(rest, comma)));
        rest = view_after(rest, comma < rest.len ? comma + 1 : comma);
    }
}

static struct purge_verdict purge_verdict_of(const struct explain *e, const void *record)
{
    const struct record_head *head = record_head_of(record);
    struct view uri = key_uri(&(struct key){ .text = record_key(record) });
    struct purge_subject subject = { .uri = uri,
                                     .authority = purge_authority_of(uri),
                                     .tags = record_tags(record),
                                     .tag_count = head->tag_count,
                                     .tags_known = true,
                                     .fetch_seq = head->fetch_seq };
    return purge_check(e->c->purges, &subject);
}

/* As exchange.c puts it to reuse_decide. */
static struct reuse_decision decide(const struct explain *e, const struct holding *h, struct purge_verdict purged,
                                    struct field_section fields)
{
    const struct record_head *head = record_head_of(h->record);
    bool whole = (head->stored.flags & STORED_PARTIAL) == 0;
    struct reuse_inputs in = { .found = purged.hard ? FOUND_PURGED : FOUND_RESPONSE,
                               .stored = purged.hard ? NULL : &head->stored,
                               .key_hash = e->key.hash[0],
                               .purged_soft = purged.soft || h->stale_marked,
                               .soft_age_s = purged.soft ? e->c->now_s - purged.soft_since_s : 0 };
    in.range_satisfied =
        whole || precondition_part_covers(&e->head, &head->stored, fields, head->content_length, e->c->now_s);
    return reuse_decide(&e->head, &in, e->policy, e->c->now_s);
}

static bool is_selected(const struct explain *e, const struct holding *h)
{
    if (!e->varies) return h->id.variant == 0;
    return e->variant_known && view_equal(record_variant(h->record), e->variant.text);
}

static void note_selected(struct explain *e, const struct holding *h, struct field_section fields,
                          struct purge_verdict purged, const struct reuse_decision *d)
{
    const struct record_head *head = record_head_of(h->record);
    e->found = purged.hard ? FOUND_PURGED : FOUND_RESPONSE;
    e->decision = *d;
    e->status = head->stored.status;
    e->has_validators = (head->stored.flags & STORED_HAS_VALIDATOR) != 0;
    e->precondition =
        precondition_decide(&e->head, head->stored.status, fields, head->content_length, e->c->now_s).verdict;
}

static void note_holding(void *arg, const struct holding *h)
{
    struct explain *e = arg;
    if (record_head_of(h->record)->kind == RECORD_VARY) {
        note_vary(e, h->record);
        return;
    }
    struct field room[RECORD_FIELDS_MAX];
    struct field_section fields = record_section(h->record, room);
    struct purge_verdict purged = purge_verdict_of(e, h->record);
    struct reuse_decision d = decide(e, h, purged, fields);
    bool selected = is_selected(e, h);
    if (selected) note_selected(e, h, fields, purged, &d);
    if (e->variant_count++ >= EXPLAIN_VARIANTS_MAX && !selected) return;
    json_t *json = explain_holding_json(h, e->policy, purged, &d, e->c->now_s);
    if (selected) set(json, "selected", json_true());
    append(e->variants, json);
}

/* ---- the request */

static void make_head(struct explain *e, const struct explain_query *q, bool https, struct view url)
{
    struct uri u;
    struct request_head *head = &e->head;
    *head = (struct request_head){ .https = https, .method = method_of(q->method), .method_name = q->method };
    if (!uri_parse(url, &u)) return; /* admin_url_in_scheme wrote it */
    head->authority = u.authority;
    head->path = u.path;
    head->query = u.query;
    head->has_query = u.has_query;
    head->path_query = head->target = view_after(url, (size_t)(u.path.at - url.at));
    head->http_minor = 1;
    memcpy(e->fields, q->fields, q->field_count * sizeof *q->fields);
    size_t n = q->field_count;
    e->fields[n++] = (struct field){ .id = FIELD_HOST, .name = VIEW("Host"), .value = u.authority };
    head->fields = (struct field_section){ e->fields, n };
}

static bool look_up(struct explain *e, const struct explain_query *q, bool https)
{
    struct view url;
    if (!admin_url_in_scheme(q->url, https ? "https" : "http", e->url, sizeof e->url, &url)) return false;
    make_head(e, q, https, url);
    e->policy = &site_route(e->c->site, &e->head)->policy;
    if (!site_key_of_uri(e->c->site, url, e->key_text, sizeof e->key_text, &e->key)) return false;
    e->found = FOUND_NOTHING;
    cache_each_holding(e->c->cache, &e->key, note_holding, e);
    return true;
}

/* Nothing of the key was there, or nothing of the request's variant. */
static void decide_without(struct explain *e)
{
    struct reuse_inputs in = { .found = e->found, .key_hash = e->key.hash[0], .range_satisfied = true };
    if (e->found != FOUND_RESPONSE && e->found != FOUND_PURGED)
        e->decision = reuse_decide(&e->head, &in, e->policy, e->c->now_s);
    e->unshared = cache_is_unshared(e->c->cache, &e->key, e->c->now_s);
}

/* ---- what would happen */

static const char *verdict_name(enum reuse_verdict v)
{
    switch (v) {
    case REUSE_FRESH: return "serve";
    case REUSE_STALE: return "serve-stale";
    case REUSE_VALIDATE: return "validate";
    case REUSE_FORWARD: return "forward";
    case REUSE_GATEWAY_TIMEOUT: return "gateway-timeout";
    case REUSE_PASS: return "pass";
    }
    return "";
}

static bool is_hit(const struct explain *e)
{
    return e->decision.verdict == REUSE_FRESH || e->decision.verdict == REUSE_STALE;
}

static const char *what_happens(const struct explain *e)
{
    switch (e->decision.verdict) {
    case REUSE_FRESH: return "answered from the cache";
    case REUSE_STALE:
        return e->decision.refresh_behind ? "answered from the cache, and refreshed behind" : "answered from the cache";
    case REUSE_VALIDATE:
        return e->has_validators ? "the origin is asked whether the stored response is still good"
                                 : "fetched from the origin anew: what is stored has no validator to ask with";
    case REUSE_FORWARD: return "fetched from the origin";
    case REUSE_GATEWAY_TIMEOUT: return "answered 504 (Gateway Timeout)";
    case REUSE_PASS: return "passed on to the origin";
    }
    return "";
}

/* The status that the client gets; 0 when that is up to the origin. */
static int answer_status(const struct explain *e)
{
    if (e->decision.verdict == REUSE_GATEWAY_TIMEOUT) return 504;
    if (!is_hit(e)) return 0;
    switch (e->precondition) {
    case PRECONDITION_NOT_MODIFIED: return 304;
    case PRECONDITION_FAILED: return 412;
    case PRECONDITION_PARTS: return 206;
    case PRECONDITION_UNSATISFIABLE: return 416;
    case PRECONDITION_WHOLE: break;
    }
    return e->status;
}

static json_t *cache_status_json(const struct explain *e)
{
    char text[OUTCOME_TEXT_MAX];
    const struct reuse_decision *d = &e->decision;
    struct outcome o = { .hit = is_hit(e), .has_ttl = is_hit(e), .ttl_s = d->lifetime_s - d->age_s };
    if (!o.hit) o.fwd = fwd_reason_of(d->reason);
    if (d->verdict == REUSE_GATEWAY_TIMEOUT) o.detail = "only-if-cached";
    size_t len = outcome_format(&o, text, sizeof text);
    return json_stringn(text, len);
}

static json_t *decision_json(const struct explain *e)
{
    const struct reuse_decision *d = &e->decision;
    int status = answer_status(e);
    json_t *json = json_object();
    set(json, "verdict", json_string(verdict_name(d->verdict)));
    set(json, "what", json_string(what_happens(e)));
    set(json, "reason", json_string(reuse_reason_name(d->reason)));
    set(json, "because", json_string(reuse_reason_text(d->reason)));
    set(json, "section", json_string(reuse_reason_section(d->reason)));
    set(json, "status", status > 0 ? json_integer(status) : json_null());
    set(json, "cache_status", cache_status_json(e));
    set(json, "refresh_behind", json_boolean(d->refresh_behind));
    set(json, "may_store_answer", json_boolean(d->may_store_answer));
    set(json, "not_collapsed", json_boolean(e->unshared));
    return json;
}

static json_t *route_json(const struct explain *e)
{
    const struct origin_server *server = &site_route(e->c->site, &e->head)->server;
    json_t *json = json_object();
    set(json, "origin", json_string(server->unix_path != NULL ? server->unix_path : server->base_url));
    set(json, "stores", json_boolean(e->policy->store));
    return json;
}

static json_t *result_json(struct explain *e)
{
    struct view method = e->head.method_name;
    json_t *json = json_object();
    set(json, "url", admin_json_text(key_uri(&e->key)));
    set(json, "method", admin_json_text(method));
    set(json, "decision", decision_json(e));
    set(json, "stored", json_integer((json_int_t)e->variant_count));
    set(json, "vary", json_incref(e->vary));
    set(json, "variants", json_incref(e->variants));
    set(json, "route", route_json(e));
    return json;
}

json_t *explain_json(const struct explain_context *c, const struct explain_query *q, char *why, size_t cap)
{
    json_t *json = NULL;
    struct explain *e = calloc(1, sizeof *e);
    why[0] = '\0';
    if (e == NULL) return NULL;
    e->c = c;
    e->vary = json_array();
    e->variants = json_array();
    /* What is looked up must not be forgotten by purges between the look and the check. */
    uint64_t seq = purge_fetch_begin(c->purges);
    bool https = view_starts_with_nocase(q->url, VIEW("https://"));
    bool known = look_up(e, q, https);
    if (known && https && e->found == FOUND_NOTHING) known = look_up(e, q, false); /* as a proxy before weir asked it */
    bool waited_for = purge_fetch_end(c->purges, seq);
    (void)waited_for; /* nothing was kept */
    if (!known) {
        snprintf(why, cap, "url: an absolute URL is needed, as in http://example.com/path");
    } else {
        decide_without(e);
        json = result_json(e);
    }
    json_decref(e->vary);
    json_decref(e->variants);
    free(e);
    return json;
}

/* ---- the call */

void admin_explain(struct admin_request *r)
{
    const struct weir *w = r->admin->weir;
    char why[ADMIN_WHY_MAX] = "";
    json_t *json = NULL;
    struct explain_query *q = malloc(sizeof *q);
    if (q != NULL && explain_query_read(r->head->query, q, why, sizeof why)) {
        struct site *site = site_ref(w->site);
        struct explain_context c = { w->cache, w->purges, site, clock_now_s(&w->clock) };
        json = explain_json(&c, q, why, sizeof why);
        site_unref(&site);
    }
    free(q);
    if (why[0] != '\0')
        admin_problem(r, 400, why);
    else
        admin_answer_json(r, 200, json);
}
