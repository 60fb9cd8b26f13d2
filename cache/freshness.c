#include "cache/freshness.h"

#include "headers/etag.h"
#include "headers/http_date.h"
#include "headers/list.h"
#include "headers/range.h"

static int64_t max_s(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Seconds for a stored_head: never negative, saturating as delta-seconds do (RFC 9111 §1.2.2). */
static int32_t delta_s(int64_t s)
{
    if (s < 0) return 0;
    return s > DELTA_SECONDS_MAX ? DELTA_SECONDS_MAX : (int32_t)s;
}

/* A field that only the operator's list makes a targeted one is read as the one that everybody knows. */
static bool named_directives(struct field_section response, struct view name, struct response_directives *out)
{
    enum { NAMED_LINES_MAX = 8 };
    static const enum field_id known[] = { FIELD_CDN_CACHE_CONTROL };
    struct field lines[NAMED_LINES_MAX];
    size_t n = 0;
    for (size_t i = field_find(response, 0, name); i < response.count && n < NAMED_LINES_MAX;
         i = field_find(response, i + 1, name)) {
        lines[n] = response.lines[i];
        lines[n++].id = known[0];
    }
    return targeted_directives_parse((struct field_section){ lines, n }, known, 1, out);
}

struct response_directives directives_in_force(struct field_section response, const struct policy *p)
{
    struct response_directives d;
    for (size_t i = 0; i < p->targeted_count; i++) {
        bool found = p->targeted[i] != FIELD_OTHER ? targeted_directives_parse(response, &p->targeted[i], 1, &d)
                                                   : named_directives(response, p->targeted_names[i], &d);
        if (found) return d;
    }
    return response_directives_parse(response);
}

static bool date_in(struct field_section s, enum field_id id, int64_t now_s, int64_t *out)
{
    const struct field *line = field_first(s, id);
    return line != NULL && http_date_parse(line->value, now_s, out);
}

/* What the directives and Expires say, RFC 9111 §4.2.1; Expires counts only without a targeted field (RFC 9213 §2.2). */
struct explicit_lifetime {
    int32_t lifetime_s; /* -1: nothing */
    enum lifetime_source source;
};

/* Expires minus Date. A value that is no date means "already expired" (§5.3); two lines that disagree leave only a guess,
 * so the response is stale (§4.2.1). */
static struct explicit_lifetime expires_lifetime(struct field_section fields, int64_t date_s, int64_t now_s)
{
    int64_t expires_s = 0;
    bool valid = true;
    const struct field *first = field_first(fields, FIELD_EXPIRES);
    for (const struct field *line = first; line != NULL; line = field_next(fields, line)) {
        int64_t this_s = 0;
        valid = valid && http_date_parse(line->value, now_s, &this_s) && (line == first || this_s == expires_s);
        expires_s = this_s;
    }
    if (first == NULL) return (struct explicit_lifetime){ -1, LIFETIME_NONE };
    return (struct explicit_lifetime){ valid ? delta_s(expires_s - date_s) : 0, LIFETIME_EXPIRES };
}

static struct explicit_lifetime explicit_lifetime_of(struct field_section fields, const struct response_directives *d,
                                                     int64_t date_s, int64_t now_s)
{
    enum lifetime_source s_maxage = d->targeted ? LIFETIME_TARGETED : LIFETIME_S_MAXAGE;
    enum lifetime_source max_age = d->targeted ? LIFETIME_TARGETED : LIFETIME_MAX_AGE;
    if (d->s_maxage.present) return (struct explicit_lifetime){ delta_s(d->s_maxage.value), s_maxage };
    if (d->max_age.present) return (struct explicit_lifetime){ delta_s(d->max_age.value), max_age };
    if (d->targeted) return (struct explicit_lifetime){ -1, LIFETIME_NONE };
    return expires_lifetime(fields, date_s, now_s);
}

/* corrected_initial_age in its conservative form, RFC 9111 §4.2.3. */
static int32_t initial_age_s(struct field_section fields, int64_t date_s, const struct response_times *times)
{
    int64_t age_value_s = 0;
    if (!age_parse(fields, &age_value_s)) age_value_s = 0;
    int64_t apparent_s = max_s(0, times->response_time_s - date_s);
    int64_t response_delay_s = max_s(0, times->response_time_s - times->request_time_s);
    return delta_s(max_s(apparent_s, age_value_s + response_delay_s));
}

/* A delta-seconds of an extension: what cannot be read allows nothing. */
static int32_t window_s(const struct seconds *s)
{
    return s->present ? delta_s(s->value) : -1;
}

static unsigned directive_flags(const struct response_directives *d)
{
    return (d->no_cache ? STORED_NO_CACHE : 0) |
           (d->must_revalidate || d->proxy_revalidate ? STORED_MUST_REVALIDATE : 0) |
           (d->s_maxage.present ? STORED_S_MAXAGE : 0) | (d->is_public ? STORED_PUBLIC : 0) |
           (d->immutable ? STORED_IMMUTABLE : 0) | (d->no_cache_fields_present ? STORED_FIELD_LISTED_NO_CACHE : 0);
}

static unsigned response_flags(const struct response_head *response, bool has_last_modified)
{
    const struct field *etag = field_first(response->fields, FIELD_ETAG);
    bool has_etag = etag != NULL && etag->value.len > 0;
    return (has_etag || has_last_modified ? STORED_HAS_VALIDATOR : 0) |
           (has_etag && !etag_is_weak(etag->value) ? STORED_STRONG_ETAG : 0) |
           (status_is_heuristically_cacheable(response->status) ? STORED_HEURISTIC_STATUS : 0) |
           (list_has_token(response->fields, FIELD_PRAGMA, VIEW("no-cache")) ? STORED_PRAGMA_NO_CACHE : 0) |
           (response->status == 206 ? STORED_PARTIAL : 0) | (response->http_1_0 ? STORED_HTTP_1_0 : 0);
}

static void note_part(const struct response_head *response, struct stored_head *out)
{
    const struct field *line = field_first(response->fields, FIELD_CONTENT_RANGE);
    struct content_range part;
    if (response->status != 206 || line == NULL || !content_range_parse(line->value, &part) || !part.satisfied) return;
    out->content_first = part.first;
    out->content_length = part.length;
}

void stored_head_by(const struct request_head *request, const struct response_head *response,
                    const struct response_directives *d, const struct response_times *times, struct stored_head *out)
{
    struct field_section fields = response->fields;
    int64_t now_s = times->response_time_s, date_s = now_s, modified_s = -1;

    if (!date_in(fields, FIELD_DATE, now_s, &date_s)) date_s = now_s;
    bool has_modified = date_in(fields, FIELD_LAST_MODIFIED, now_s, &modified_s);
    struct explicit_lifetime lifetime = explicit_lifetime_of(fields, d, date_s, now_s);
    bool authorized = field_first(request->fields, FIELD_AUTHORIZATION) != NULL;

    *out = (struct stored_head){
        .response_time_s = (uint32_t)times->response_time_s,
        .last_modified_s = has_modified ? modified_s : -1,
        .content_length = -1,
        .initial_age_s = initial_age_s(fields, date_s, times),
        .lifetime_s = lifetime.lifetime_s,
        .since_modified_s = has_modified ? delta_s(date_s - modified_s) : -1,
        .swr_s = window_s(&d->stale_while_revalidate),
        .sie_s = window_s(&d->stale_if_error),
        .status = (uint16_t)response->status,
        .flags = (uint16_t)(directive_flags(d) | response_flags(response, has_modified) |
                            (authorized ? STORED_AUTHORIZED : 0u)),
        .source = (uint8_t)lifetime.source,
    };
    note_part(response, out);
}

void stored_head_of(const struct request_head *request, const struct response_head *response, const struct policy *p,
                    const struct response_times *times, struct stored_head *out)
{
    struct response_directives d = directives_in_force(response->fields, p);
    stored_head_by(request, response, &d, times, out);
}

void stored_head_freshened(const struct stored_head *before, const struct request_head *request,
                           struct field_section freshened, struct field_section not_modified, const struct policy *p,
                           const struct response_times *times, struct stored_head *out)
{
    struct response_head response = { .status = before->status, .fields = freshened };
    int64_t date_s = times->response_time_s;

    stored_head_of(request, &response, p, times, out);
    if (!date_in(not_modified, FIELD_DATE, times->response_time_s, &date_s)) date_s = times->response_time_s;
    out->initial_age_s = initial_age_s(not_modified, date_s, times);
    out->content_first = before->content_first;
    out->content_length = before->content_length;
    out->fetch_ms = before->fetch_ms;
    out->flags |= before->flags & (STORED_AUTHORIZED | STORED_HTTP_1_0);
}

int64_t current_age_s(const struct stored_head *s, int64_t now_s)
{
    int64_t resident_s = max_s(0, now_s - s->response_time_s);
    return max_s(0, s->initial_age_s) + resident_s;
}

/* The status's own rule, else that of its class. */
static bool status_rule(const struct policy *p, int status, int64_t *lifetime_s)
{
    bool found = false;
    for (size_t i = 0; i < p->status_lifetime_count; i++) {
        const struct status_lifetime *rule = &p->status_lifetimes[i];
        if (rule->status != status && (found || rule->status != status / 100)) continue;
        *lifetime_s = rule->lifetime_s;
        if (rule->status == status) return true;
        found = true;
    }
    return found;
}

/* §4.2.2: only where no explicit lifetime is given, for a status that allows it or a response explicitly marked as
 * cacheable. The operator's default takes the heuristic's place where there is nothing to guess from. */
static struct lifetime implied_lifetime(const struct stored_head *s, const struct policy *p)
{
    bool may_imply = (s->flags & (STORED_HEURISTIC_STATUS | STORED_PUBLIC)) != 0;
    if (!may_imply || (s->flags & STORED_PRAGMA_NO_CACHE) != 0) return (struct lifetime){ 0, LIFETIME_NONE, false };
    if (p->heuristics && s->since_modified_s > 0) {
        int64_t lifetime_s = (int64_t)s->since_modified_s * p->heuristic_percent / 100;
        if (lifetime_s > p->heuristic_maximum_s) lifetime_s = p->heuristic_maximum_s;
        return (struct lifetime){ lifetime_s, LIFETIME_HEURISTIC, false };
    }
    if (p->default_lifetime_s < 0) return (struct lifetime){ 0, LIFETIME_NONE, false };
    return (struct lifetime){ p->default_lifetime_s, LIFETIME_DEFAULT, false };
}

static void limit_lifetime(struct lifetime *l, const struct policy *p)
{
    int64_t said_s = l->lifetime_s;
    if (p->minimum_lifetime_s >= 0 && l->lifetime_s < p->minimum_lifetime_s) l->lifetime_s = p->minimum_lifetime_s;
    if (p->maximum_lifetime_s >= 0 && l->lifetime_s > p->maximum_lifetime_s) l->lifetime_s = p->maximum_lifetime_s;
    l->limited = l->lifetime_s != said_s;
}

/* Responses stored together would otherwise become stale together. The key decides, so that every worker agrees. */
static int64_t jitter_s(int64_t lifetime_s, int percent, uint64_t key_hash)
{
    enum { STEPS = 1024 };
    int64_t step = (int64_t)(key_hash >> 32 & (STEPS - 1));
    return lifetime_s * percent / 100 * step / STEPS;
}

struct lifetime freshness_lifetime(const struct stored_head *s, const struct policy *p, uint64_t key_hash)
{
    struct lifetime l = { s->lifetime_s, (enum lifetime_source)s->source, false };
    int64_t ruled_s = 0;

    if (status_rule(p, s->status, &ruled_s)) {
        l = (struct lifetime){ max_s(0, ruled_s), LIFETIME_STATUS_RULE, false };
    } else {
        if (l.lifetime_s < 0) l = implied_lifetime(s, p);
        if (l.source == LIFETIME_NONE) return l;
        limit_lifetime(&l, p);
    }
    if (p->jitter_percent > 0) l.lifetime_s -= jitter_s(l.lifetime_s, p->jitter_percent, key_hash);
    return l;
}

uint32_t pinned_until_s(const struct stored_head *s, const struct policy *p, uint64_t key_hash)
{
    if (!p->pin) return 0;
    int64_t swr_s = s->swr_s >= 0 ? s->swr_s : p->default_swr_s;
    int64_t sie_s = s->sie_s >= 0 ? s->sie_s : max_s(p->default_sie_s, p->stale_if_unreachable_s);
    bool never_stale = (s->flags & (STORED_NO_CACHE | STORED_MUST_REVALIDATE)) != 0;
    int64_t window_s = never_stale ? 0 : max_s(0, max_s(swr_s, sie_s));
    int64_t left_s = freshness_lifetime(s, p, key_hash).lifetime_s - max_s(0, s->initial_age_s) + window_s;
    int64_t until_s = s->response_time_s + max_s(0, left_s);
    return until_s < 0 ? 0 : until_s > UINT32_MAX ? UINT32_MAX : (uint32_t)until_s;
}

const char *lifetime_source_name(enum lifetime_source source)
{
    static const char *const names[] = {
        [LIFETIME_NONE] = "none",
        [LIFETIME_TARGETED] = "targeted",
        [LIFETIME_S_MAXAGE] = "s-maxage",
        [LIFETIME_MAX_AGE] = "max-age",
        [LIFETIME_EXPIRES] = "Expires",
        [LIFETIME_HEURISTIC] = "heuristic",
        [LIFETIME_STATUS_RULE] = "status rule",
        [LIFETIME_DEFAULT] = "default lifetime",
    };
    return (size_t)source < sizeof names / sizeof *names ? names[source] : "none";
}
