#include "cache/storable.h"

#include "cache/key.h"
#include "headers/list.h"
#include "headers/range.h"
#include "headers/target.h"

enum { URI_MAX = 8192 };

/* What each rule looks at. */
struct candidate {
    const struct request_head *request;
    const struct response_head *response;
    const struct policy *policy;
    const struct stored_head *head;
    const struct response_directives *directives;
    int64_t content_length; /* -1: not known yet */
};

static bool has_field(struct field_section s, enum field_id id)
{
    return field_first(s, id) != NULL;
}

/* ---- POST: its answer may stand for a later GET of the URI that its Content-Location names, RFC 9110 §9.3.3 */

static bool same_authority(struct view normal, struct view other, bool https)
{
    char text[256];
    int len = authority_normalise(other, https, text, sizeof text);
    return len >= 0 && view_equal(normal, view_of(text, (size_t)len));
}

static bool same_path(struct view a, struct view b)
{
    char a_text[URI_MAX], b_text[URI_MAX];
    int a_len = path_normalise(a, a_text, sizeof a_text);
    int b_len = path_normalise(b, b_text, sizeof b_text);
    return a_len >= 0 && b_len >= 0 && view_equal(view_of(a_text, (size_t)a_len), view_of(b_text, (size_t)b_len));
}

static bool is_target_uri(const struct request_head *r, struct view reference)
{
    struct view scheme = r->https ? VIEW("https") : VIEW("http");
    struct uri base = { scheme, r->authority, r->path, r->query, r->has_query }, named;
    char text[URI_MAX];

    if (!uri_resolve(&base, reference, text, sizeof text, &named)) return false;
    return view_equal_nocase(named.scheme, scheme) && same_authority(r->authority, named.authority, r->https) &&
           named.has_query == r->has_query && same_path(named.path, r->path) && same_path(named.query, r->query);
}

static bool post_is_a_get(const struct candidate *c)
{
    struct field_section fields = c->response->fields;
    if (c->response->status != 200 || c->head->lifetime_s < 0) return false;
    if (field_count(fields, FIELD_CONTENT_LOCATION) != 1) return false;
    return is_target_uri(c->request, field_first(fields, FIELD_CONTENT_LOCATION)->value);
}

/* ---- what speaks against storing it */

static bool route_passes(const struct candidate *c)
{
    return !c->policy->store;
}

static bool method_is_not_stored(const struct candidate *c)
{
    enum method m = c->request->method;
    bool could_be = m == METHOD_GET || m == METHOD_POST || m == METHOD_QUERY; /* RFC 9110 §9.2.3, RFC 10008 §2.7 */
    return !could_be || (c->policy->uncached_methods & 1u << m) != 0;
}

static bool post_is_no_get(const struct candidate *c)
{
    return c->request->method == METHOD_POST && !post_is_a_get(c);
}

/* Whatever else the response says: interim responses and 304 (RFC 9111 §3); 428, 429, 431 and 511 (RFC 6585 §3 to §6);
 * and answers to request fields that no key holds: 412, 416, 417. */
static bool status_is_never_stored(const struct candidate *c)
{
    static const int never[] = { 304, 412, 416, 417, 428, 429, 431, 511 };
    int status = c->response->status;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        if (status == never[i]) return true;
    }
    return status < 200;
}

/* A part says which one it is, and is as long as it says (§3.3, RFC 9110 §14.4). */
static bool part_is_unusable(const struct candidate *c)
{
    struct field_section fields = c->response->fields;
    struct content_range part;

    if (c->response->status != 206) return false;
    if (c->request->method != METHOD_GET || field_count(fields, FIELD_CONTENT_RANGE) != 1) return true;
    if (!content_range_parse(field_first(fields, FIELD_CONTENT_RANGE)->value, &part) || !part.satisfied) return true;
    return c->content_length >= 0 && c->content_length != part.last - part.first + 1;
}

static bool status_is_not_understood(const struct candidate *c)
{
    return c->directives->must_understand && !status_is_understood(c->response->status);
}

/* must-understand takes no-store's place once the status is understood (§5.2.2.3). */
static bool response_says_no_store(const struct candidate *c)
{
    return c->directives->no_store && !c->directives->must_understand;
}

static bool response_is_private(const struct candidate *c)
{
    return c->directives->is_private;
}

static bool request_says_no_store(const struct candidate *c)
{
    struct field_section fields = c->request->fields;
    return has_field(fields, FIELD_CACHE_CONTROL) && request_directives_parse(fields).no_store;
}

static bool authorization_forbids(const struct candidate *c)
{
    const struct response_directives *d = c->directives;
    bool lets_share = d->must_revalidate || d->is_public || (d->s_maxage.present && d->s_maxage.valid);
    if (c->policy->authorization_is_ours) return false;
    return has_field(c->request->fields, FIELD_AUTHORIZATION) && !lets_share;
}

static bool vary_matches_nothing(const struct candidate *c)
{
    char names[VARY_NAMES_MAX];
    struct view nominated;
    if (!has_field(c->response->fields, FIELD_VARY)) return false;
    return vary_names(c->response->fields, c->policy, names, sizeof names, &nominated) == VARY_ANY;
}

static bool set_cookie_is_taken_off(const struct candidate *c)
{
    return c->policy->set_cookie == SET_COOKIE_STRIP && has_field(c->response->fields, FIELD_SET_COOKIE);
}

/* The origin itself keeps Set-Cookie from being shared, by listing it. */
static bool set_cookie_is_listed(const struct candidate *c)
{
    struct field_section fields = c->response->fields;
    const struct response_directives *d = c->directives;
    return (d->private_fields_present && private_lists(fields, d, VIEW("set-cookie"))) ||
           (d->no_cache_fields_present && no_cache_lists(fields, d, VIEW("set-cookie")));
}

/* A response that carries somebody's cookie is meant for that one, unless the origin says that it means to share it. */
static bool set_cookie_forbids(const struct candidate *c)
{
    const struct response_directives *d = c->directives;
    if (!set_cookie_is_taken_off(c)) return false;
    return !d->is_public && !d->s_maxage.present && !d->targeted && !set_cookie_is_listed(c);
}

static bool content_is_too_large(const struct candidate *c)
{
    int64_t limit_bytes = c->policy->content_limit_bytes;
    return limit_bytes > 0 && c->content_length > limit_bytes;
}

/* In this order; the first that holds is the reason that is told. */
static const struct {
    bool (*holds)(const struct candidate *c);
    enum storable_reason reason;
} refusals[] = {
    { route_passes, NOT_STORED_PASS },
    { method_is_not_stored, NOT_STORED_METHOD },
    { post_is_no_get, NOT_STORED_POST_WITHOUT_LOCATION },
    { status_is_never_stored, NOT_STORED_STATUS },
    { part_is_unusable, NOT_STORED_PARTIAL },
    { status_is_not_understood, NOT_STORED_NOT_UNDERSTOOD },
    { response_says_no_store, NOT_STORED_NO_STORE },
    { response_is_private, NOT_STORED_PRIVATE },
    { request_says_no_store, NOT_STORED_REQUEST_NO_STORE },
    { authorization_forbids, NOT_STORED_AUTHORIZATION },
    { vary_matches_nothing, NOT_STORED_VARY_ANY },
    { set_cookie_forbids, NOT_STORED_SET_COOKIE },
    { content_is_too_large, NOT_STORED_TOO_LARGE },
};

/* ---- what speaks for it */

/* §3, last item: the response says that it may be stored, or its status does. */
static enum storable_reason allowed_by(const struct candidate *c, const struct lifetime *l)
{
    if (l->source == LIFETIME_STATUS_RULE) return STORABLE_BECAUSE_STATUS_RULE;
    if (c->head->lifetime_s >= 0) return STORABLE_BECAUSE_EXPLICIT_FRESHNESS;
    if ((c->head->flags & STORED_HEURISTIC_STATUS) != 0) return STORABLE_BECAUSE_HEURISTIC;
    return c->directives->is_public ? STORABLE_BECAUSE_PUBLIC : NOT_STORED_STATUS;
}

/* Stored only if it can ever be used: while fresh, after validation, or stale where that was allowed by name. */
static enum storable_reason usable_by(const struct candidate *c, const struct lifetime *l)
{
    const struct stored_head *s = c->head;
    bool must_ask = (s->flags & STORED_NO_CACHE) != 0;
    bool stale_window = s->swr_s > 0 || s->sie_s > 0 || c->policy->default_sie_s > 0;

    if (!must_ask && l->lifetime_s > s->initial_age_s) {
        if (l->source == LIFETIME_HEURISTIC) return STORABLE_BECAUSE_HEURISTIC;
        return l->source == LIFETIME_DEFAULT ? STORABLE_BECAUSE_DEFAULT : STORABLE_BECAUSE_EXPLICIT_FRESHNESS;
    }
    if ((s->flags & STORED_HAS_VALIDATOR) != 0) return STORABLE_BECAUSE_VALIDATOR;
    bool may_be_stale = !must_ask && (s->flags & STORED_MUST_REVALIDATE) == 0 && l->source != LIFETIME_NONE;
    return may_be_stale && stale_window ? STORABLE_BECAUSE_EXPLICIT_FRESHNESS : NOT_STORED_NO_FRESHNESS;
}

static enum storable_reason reason_for(const struct candidate *c)
{
    struct lifetime l = freshness_lifetime(c->head, c->policy, 0);
    enum storable_reason allowed = allowed_by(c, &l), usable = usable_by(c, &l);
    if (allowed == NOT_STORED_STATUS || usable == NOT_STORED_NO_FRESHNESS) {
        return allowed == NOT_STORED_STATUS ? allowed : usable;
    }
    return allowed == STORABLE_BECAUSE_STATUS_RULE || allowed == STORABLE_BECAUSE_PUBLIC ? allowed : usable;
}

static enum storable_reason decide(const struct candidate *c)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (refusals[i].holds(c)) return refusals[i].reason;
    }
    return reason_for(c);
}

struct storable_decision storable_decide_by(const struct request_head *request, const struct response_head *response,
                                            const struct policy *p, const struct response_directives *d,
                                            const struct stored_head *s, int64_t content_length)
{
    struct candidate c = { request, response, p, s, d, content_length };
    enum storable_reason reason = decide(&c);
    bool stored = reason < NOT_STORED_METHOD; /* the reasons for come before the reasons against */
    return (struct storable_decision){
        .verdict = stored ? STORABLE_YES : STORABLE_NO,
        .reason = reason,
        .strip_set_cookie = stored && set_cookie_is_taken_off(&c),
    };
}

struct storable_decision storable_decide(const struct request_head *request, const struct response_head *response,
                                         const struct policy *p, const struct stored_head *s, int64_t content_length)
{
    struct response_directives d = directives_in_force(response->fields, p);
    return storable_decide_by(request, response, p, &d, s, content_length);
}

bool storable_field(struct field_section response, const struct field *line, const struct response_directives *d,
                    const struct storable_decision *decision)
{
    const struct field_traits *traits = field_traits_of(line->id);
    if (traits->hop_by_hop || !traits->store) return false;
    if (line->id == FIELD_AGE || line->id == FIELD_CONTENT_LENGTH) return false;
    if (line->id == FIELD_SET_COOKIE && decision->strip_set_cookie) return false;
    if (field_named_by_connection(response, line->name)) return false;
    if (d->no_cache_fields_present && no_cache_lists(response, d, line->name)) return false;
    return !d->private_fields_present || !private_lists(response, d, line->name);
}

bool storable_reason_is_of_request(enum storable_reason r)
{
    return r == NOT_STORED_REQUEST_NO_STORE || r == NOT_STORED_AUTHORIZATION;
}

/* Each reason by its name, where it is written, and in a sentence. */
static const struct {
    const char *name, *section, *text;
} reasons[] = {
    [STORABLE_BECAUSE_EXPLICIT_FRESHNESS] = { "explicit-freshness", "RFC 9111 §4.2.1",
                                              "the response says for how long it is fresh" },
    [STORABLE_BECAUSE_HEURISTIC] = { "heuristic-freshness", "RFC 9111 §4.2.2",
                                     "its freshness is estimated from Last-Modified" },
    [STORABLE_BECAUSE_VALIDATOR] = { "validator", "RFC 9111 §4.3",
                                     "it is not fresh, but can be validated before each use" },
    [STORABLE_BECAUSE_PUBLIC] = { "public", "RFC 9111 §5.2.2.9", "the response says public" },
    [STORABLE_BECAUSE_STATUS_RULE] = { "status-rule", "RFC 9111 §4.2.1", "the route sets a lifetime for this status" },
    [STORABLE_BECAUSE_DEFAULT] = { "default-lifetime", "RFC 9111 §4.2.2",
                                   "the response says nothing, and the route has a default lifetime" },
    [NOT_STORED_METHOD] = { "method", "RFC 9111 §3", "responses to this method are not stored" },
    [NOT_STORED_STATUS] = { "status", "RFC 9111 §3",
                            "this status is not stored unless the response says that it may be" },
    [NOT_STORED_NO_STORE] = { "no-store", "RFC 9111 §5.2.2.5", "the response says no-store" },
    [NOT_STORED_PRIVATE] = { "private", "RFC 9111 §5.2.2.7", "the response says private: for one user only" },
    [NOT_STORED_AUTHORIZATION] = { "authorization", "RFC 9111 §3.5",
                                   "the request had Authorization, and the response says neither public, s-maxage nor "
                                   "must-revalidate" },
    [NOT_STORED_REQUEST_NO_STORE] = { "request-no-store", "RFC 9111 §5.2.1.5", "the request says no-store" },
    [NOT_STORED_SET_COOKIE] = { "set-cookie", "RFC 6265 §3",
                                "it sets a cookie, and says neither public nor s-maxage, nor has a targeted field" },
    [NOT_STORED_VARY_ANY] = { "vary-any", "RFC 9111 §4.1", "no request can be known to match its Vary" },
    [NOT_STORED_NOT_UNDERSTOOD] = { "must-understand", "RFC 9111 §5.2.2.3",
                                    "the response says must-understand, and its status is not understood" },
    [NOT_STORED_NO_FRESHNESS] = { "no-freshness", "RFC 9111 §4.2",
                                  "it could never be used: not fresh, and without a validator to ask with" },
    [NOT_STORED_TOO_LARGE] = { "too-large", "RFC 9111 §3", "its content is larger than the route's limit" },
    [NOT_STORED_PASS] = { "pass", "RFC 9111 §3", "the route does not store responses" },
    [NOT_STORED_PARTIAL] = { "partial", "RFC 9111 §3.3",
                             "it is a part whose Content-Range is missing, unreadable or not its content's" },
    [NOT_STORED_KEY_TOO_LONG] = { "key-too-long", "RFC 9111 §2", "its cache key is longer than the limit" },
    [NOT_STORED_POST_WITHOUT_LOCATION] = { "post", "RFC 9110 §9.3.3",
                                           "POST is stored only with explicit freshness and a Content-Location that is "
                                           "the target URI" },
    [NOT_STORED_TRUNCATED] = { "truncated", "RFC 9111 §3.3", "its content broke off" },
    [NOT_STORED_NO_RESPONSE] = { "no-response", "RFC 9110 §15.6.3",
                                 "it is weir's own: the origin gave none, or none that is HTTP" },
};

enum { REASON_COUNT = sizeof reasons / sizeof *reasons };

const char *storable_reason_name(enum storable_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].name : "unknown";
}

const char *storable_reason_section(enum storable_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].section : "";
}

const char *storable_reason_text(enum storable_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].text : "";
}
