#include "proxy/admin_explain.h"

#include "cache/outcome.h"
#include "cache/precondition.h"
#include "proxy/admin_internal.h"
#include "proxy/admin_json.h"
#include "proxy/admin_url.h"

#include <stdio.h>
#include <stdlib.h>

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
        admin_json_append(e->vary, admin_json_text(view_first(rest, comma)));
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

/* As exchange_lookup.c puts it to reuse_decide. */
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
    bool is_part = (head->stored.flags & STORED_PARTIAL) != 0;
    int64_t length = is_part ? head->stored.content_length : head->content_length; /* of the whole */
    e->precondition = precondition_decide(&e->head, head->stored.status, fields, length, e->c->now_s).verdict;
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
    if (selected) admin_json_set(json, "selected", json_true());
    admin_json_append(e->variants, json);
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
    head->fields = (struct field_section){ e->fields, q->field_count };
    if (field_first(head->fields, FIELD_HOST) != NULL) return;
    e->fields[head->fields.count++] =
        (struct field){ .id = FIELD_HOST, .name = VIEW("Host"), .value = head->authority };
}

/* A Host among the fields is the one that counts, as it is for weir. */
static bool target_uri(const struct explain_query *q, const char *scheme, char *to, size_t cap, struct view *out)
{
    struct field_section fields = { q->fields, q->field_count };
    const struct field *host = field_first(fields, FIELD_HOST);
    char url[KEY_TEXT_MAX];
    struct uri u;
    if (host == NULL) return admin_url_in_scheme(q->url, scheme, to, cap, out);
    if (!uri_parse(q->url, &u)) return false;
    struct view rest = view_after(q->url, (size_t)(u.authority.at - q->url.at) + u.authority.len);
    int n = snprintf(url, sizeof url, "%s://%.*s%.*s", scheme, (int)host->value.len, host->value.at, (int)rest.len,
                     rest.at);
    return n > 0 && (size_t)n < sizeof url && admin_url_in_scheme(view_of(url, (size_t)n), scheme, to, cap, out);
}

/* By its fields too, where an operator's key holds some. What is stored for GET is of interest whatever the method; a query
 * has a key of its own, with a content that is not known here. */
static bool make_key(struct explain *e)
{
    struct request_head asked = e->head;
    if (asked.method != METHOD_QUERY) asked.method = METHOD_GET;
    return key_from_request(&asked, e->policy, e->key_text, sizeof e->key_text, &e->key);
}

static bool look_up(struct explain *e, const struct explain_query *q, bool https)
{
    struct view url;
    if (!target_uri(q, https ? "https" : "http", e->url, sizeof e->url, &url)) return false;
    make_head(e, q, https, url);
    e->policy = &site_route(e->c->site, &e->head)->policy;
    if (!make_key(e)) return false;
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
    json_t *of_route;
    if (explain_route_answers(site_route(e->c->site, &e->head), &e->head, &of_route)) return of_route;
    const struct reuse_decision *d = &e->decision;
    int status = answer_status(e);
    json_t *json = json_object();
    admin_json_set(json, "verdict", json_string(verdict_name(d->verdict)));
    admin_json_set(json, "what", json_string(what_happens(e)));
    admin_json_set(json, "reason", json_string(reuse_reason_name(d->reason)));
    admin_json_set(json, "because", json_string(reuse_reason_text(d->reason)));
    admin_json_set(json, "section", json_string(reuse_reason_section(d->reason)));
    admin_json_set(json, "status", status > 0 ? json_integer(status) : json_null());
    admin_json_set(json, "cache_status", cache_status_json(e));
    admin_json_set(json, "refresh_behind", json_boolean(d->refresh_behind));
    admin_json_set(json, "may_store_answer", json_boolean(d->may_store_answer));
    admin_json_set(json, "not_collapsed", json_boolean(e->unshared));
    return json;
}

/* Why nothing is stored, as far as it is remembered; of no interest once something is. */
static json_t *refusal_json(const struct explain *e)
{
    struct refusal r;
    bool holds_one = e->found == FOUND_RESPONSE;
    if (holds_one || !refusals_find(cache_refusals(e->c->cache), &e->key, &r)) return json_null();
    json_t *json = json_object();
    admin_json_set(json, "reason", json_string(storable_reason_name(r.reason)));
    admin_json_set(json, "because", json_string(storable_reason_text(r.reason)));
    admin_json_set(json, "section", json_string(storable_reason_section(r.reason)));
    admin_json_set(json, "status", json_integer(r.status));
    admin_json_set(json, "seconds_ago", json_integer(e->c->now_s - r.when_s));
    admin_json_set(json, "age_s", json_integer(r.age_s));
    bool has_lifetime = r.source != LIFETIME_NONE;
    admin_json_set(json, "lifetime_s", has_lifetime ? json_integer(r.lifetime_s) : json_null());
    admin_json_set(json, "lifetime_source", json_string(lifetime_source_name(r.source)));
    return json;
}

static json_t *route_json(const struct explain *e)
{
    const struct route *route = site_route(e->c->site, &e->head);
    char target[ROUTE_TARGET_MAX];
    json_t *json = json_object();
    admin_json_set(json, "name", json_string(route->name));
    admin_json_set(json, "target", json_string(route_target(route, target, sizeof target)));
    if (route->kind == ROUTE_PROXY) admin_json_set(json, "origin", json_string(route->origin->servers[0].url));
    if (route->place.line > 0) {
        admin_json_set(json, "file", json_string(route->place.file));
        admin_json_set(json, "line", json_integer((json_int_t)route->place.line));
    }
    admin_json_set(json, "stores", json_boolean(e->policy->store));
    admin_json_set(json, "protected", json_boolean(route->protection != NULL));
    return json;
}

static json_t *result_json(struct explain *e)
{
    struct view method = e->head.method_name;
    json_t *json = json_object();
    admin_json_set(json, "url", admin_json_text(key_uri(&e->key)));
    admin_json_set(json, "method", admin_json_text(method));
    admin_json_set(json, "decision", decision_json(e));
    admin_json_set(json, "last_not_stored", refusal_json(e));
    admin_json_set(json, "stored", json_integer((json_int_t)e->variant_count));
    admin_json_set(json, "vary", json_incref(e->vary));
    admin_json_set(json, "variants", json_incref(e->variants));
    admin_json_set(json, "route", route_json(e));
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
    purge_fetch_drop(c->purges, seq);
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
    struct weir *w = r->admin->weir;
    char why[ADMIN_WHY_MAX] = "";
    json_t *json = NULL;
    struct explain_query *q = malloc(sizeof *q);
    if (q != NULL && explain_query_read(r->head->query, q, why, sizeof why)) {
        struct site *site = weir_site(w);
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
