#include "cache/reuse.h"

#include <math.h>

#include "headers/list.h"

/* What the client may ask for. A shared edge is not steered by its clients unless the route trusts them: then only
 * no-store and only-if-cached are left of their directives, and nothing below needs to know of trust. */
static struct request_directives directives_of(const struct request_head *r, const struct policy *p)
{
    bool has_cache_control = field_first(r->fields, FIELD_CACHE_CONTROL) != NULL;
    struct request_directives d = { 0 };

    if (has_cache_control) d = request_directives_parse(r->fields);
    if (!p->trust_request_directives) {
        return (struct request_directives){ .no_store = d.no_store, .only_if_cached = d.only_if_cached };
    }
    /* RFC 9111 §5.4 */
    if (!has_cache_control && list_has_token(r->fields, FIELD_PRAGMA, VIEW("no-cache"))) d.no_cache = true;
    return d;
}

static bool method_is_looked_up(const struct policy *p, enum method m)
{
    bool could_be = m == METHOD_GET || m == METHOD_HEAD || m == METHOD_QUERY;
    return could_be && (p->uncached_methods & 1u << m) == 0;
}

/* Seconds past freshness: negative while fresh, 0 at the moment age equals lifetime (§4.2). A soft purge ends freshness at
 * the moment it came. */
static int64_t staleness_s(int64_t age_s, int64_t lifetime_s, bool purged_soft, int64_t soft_age_s)
{
    int64_t past_s = age_s - lifetime_s;
    if (purged_soft && past_s < soft_age_s) past_s = soft_age_s;
    return past_s;
}

/* s-maxage carries the meaning of proxy-revalidate (§5.2.2.10), unless the origin itself allows stale beside it and the
 * operator lets that count. */
static bool s_maxage_forbids_stale(const struct stored_head *s, const struct policy *p)
{
    if ((s->flags & STORED_S_MAXAGE) == 0) return false;
    return !p->stale_with_s_maxage || (s->swr_s < 0 && s->sie_s < 0);
}

/* §4.2.4: the directives that forbid serving stale. */
static bool stale_is_forbidden(const struct stored_head *s, const struct policy *p)
{
    return (s->flags & (STORED_NO_CACHE | STORED_MUST_REVALIDATE)) != 0 || s_maxage_forbids_stale(s, p);
}

/* A trusted client wants something younger, or fresh for longer (§5.2.1.1 to §5.2.1.3). The max-age=0 of a reload is no
 * reason to ask about what is immutable while fresh (RFC 8246 §2.1). */
static bool request_refuses(const struct request_directives *ask, const struct stored_head *s, int64_t age_s,
                            int64_t past_s)
{
    bool max_stale = ask->max_stale_any || ask->max_stale.present;
    if (ask->min_fresh.present && -past_s < ask->min_fresh.value) return true;
    if (!ask->max_age.present || ask->max_stale_any) return false;
    if (past_s < 0 && (s->flags & STORED_IMMUTABLE) != 0) return false;
    if (past_s >= 0 && !max_stale) return true;
    return age_s > ask->max_age.value + (max_stale ? ask->max_stale.value : 0);
}

/* RFC 5861 §3. The operator's default is for what was fresh once, and never beside s-maxage. */
static bool within_swr(const struct stored_head *s, const struct policy *p, int64_t lifetime_s, int64_t past_s)
{
    if (stale_is_forbidden(s, p)) return false;
    if (s->swr_s >= 0) return past_s < s->swr_s;
    return lifetime_s > 0 && (s->flags & STORED_S_MAXAGE) == 0 && past_s < p->default_swr_s;
}

static bool within_max_stale(const struct stored_head *s, const struct request_directives *ask, int64_t past_s)
{
    if ((s->flags & (STORED_NO_CACHE | STORED_MUST_REVALIDATE | STORED_S_MAXAGE)) != 0) return false;
    return ask->max_stale_any || (ask->max_stale.present && past_s <= ask->max_stale.value);
}

static void say(struct reuse_decision *d, enum reuse_verdict verdict, enum reuse_reason reason)
{
    d->verdict = verdict;
    d->reason = reason;
}

static void decide_stale(const struct request_directives *ask, const struct reuse_inputs *in, const struct policy *p,
                         int64_t past_s, struct reuse_decision *d)
{
    if (within_swr(in->stored, p, d->lifetime_s, past_s)) {
        say(d, REUSE_STALE, REUSE_BECAUSE_SWR);
        d->refresh_behind = true;
    } else if (within_max_stale(in->stored, ask, past_s)) {
        say(d, REUSE_STALE, REUSE_BECAUSE_MAX_STALE);
    } else {
        say(d, REUSE_VALIDATE, in->purged_soft ? REUSE_BECAUSE_PURGED_SOFT : REUSE_BECAUSE_STALE);
    }
}

static void decide_stored(const struct request_directives *ask, const struct reuse_inputs *in, const struct policy *p,
                          int64_t now_s, struct reuse_decision *d)
{
    const struct stored_head *s = in->stored;
    struct lifetime lifetime = freshness_lifetime(s, p, in->key_hash);
    d->age_s = current_age_s(s, now_s);
    d->lifetime_s = lifetime.lifetime_s;
    d->source = lifetime.source;

    int64_t past_s = staleness_s(d->age_s, d->lifetime_s, in->purged_soft, in->soft_age_s);
    if ((s->flags & STORED_PARTIAL) != 0 && !in->range_satisfied) {
        say(d, REUSE_FORWARD, REUSE_BECAUSE_PARTIAL);
    } else if (ask->no_cache || request_refuses(ask, s, d->age_s, past_s)) {
        say(d, REUSE_VALIDATE, past_s < 0 ? REUSE_BECAUSE_REQUEST : REUSE_BECAUSE_STALE);
    } else if ((s->flags & STORED_NO_CACHE) != 0) {
        say(d, REUSE_VALIDATE, REUSE_BECAUSE_NO_CACHE);
    } else if (past_s < 0) {
        say(d, REUSE_FRESH, REUSE_BECAUSE_FRESH);
    } else {
        decide_stale(ask, in, p, past_s, d);
    }
    if (in->purged_soft) d->lifetime_s = d->age_s - past_s; /* what the purge left of it */
}

static void decide_found(const struct request_directives *ask, const struct reuse_inputs *in, const struct policy *p,
                         int64_t now_s, struct reuse_decision *d)
{
    switch (in->found) {
    case FOUND_RESPONSE: decide_stored(ask, in, p, now_s, d); break;
    case FOUND_OTHER_VARIANT: say(d, REUSE_FORWARD, REUSE_BECAUSE_VARY_MISS); break;
    case FOUND_PURGED: say(d, REUSE_FORWARD, REUSE_BECAUSE_PURGED); break;
    case FOUND_NOTHING: say(d, REUSE_FORWARD, REUSE_BECAUSE_URI_MISS); break;
    }
}

struct reuse_decision reuse_decide(const struct request_head *request, const struct reuse_inputs *in,
                                   const struct policy *p, int64_t now_s)
{
    struct request_directives ask = directives_of(request, p);
    struct reuse_decision d = { .source = LIFETIME_NONE };

    if (!method_is_looked_up(p, request->method)) {
        bool post = request->method == METHOD_POST && (p->uncached_methods & 1u << METHOD_POST) == 0;
        say(&d, REUSE_PASS, REUSE_BECAUSE_METHOD);
        d.may_store_answer = p->store && post && !ask.no_store;
        return d;
    }
    if (p->store) {
        decide_found(&ask, in, p, now_s, &d);
    } else {
        say(&d, REUSE_PASS, REUSE_BECAUSE_BYPASS);
    }
    if (ask.only_if_cached && d.verdict != REUSE_FRESH && d.verdict != REUSE_STALE) {
        say(&d, REUSE_GATEWAY_TIMEOUT, REUSE_BECAUSE_ONLY_IF_CACHED);
    }
    /* A refresh behind the answer is weir's own request, not the client's. */
    d.may_store_answer = d.verdict != REUSE_PASS && (!ask.no_store || d.refresh_behind);
    return d;
}

/* How long past freshness a failure lets a response be used; -1: not at all. What the response says about errors decides
 * alone; where it is silent, the operator does. */
static int64_t error_window_s(const struct stored_head *s, const struct policy *p, const struct request_directives *ask,
                              int status)
{
    int64_t window_s = s->sie_s >= 0 ? s->sie_s : p->default_sie_s;
    if (status == 0 && s->sie_s < 0 && window_s < p->stale_if_unreachable_s) window_s = p->stale_if_unreachable_s;
    if (ask->stale_if_error.present && window_s < ask->stale_if_error.value) window_s = ask->stale_if_error.value;
    return window_s;
}

static bool status_is_error(int status)
{
    return status == 0 || status == 500 || (status >= 502 && status <= 504); /* RFC 5861 §4 */
}

bool reuse_stale_if_error(const struct request_head *request, const struct stored_head *s, const struct policy *p,
                          uint64_t key_hash, int status, int64_t soft_age_s, int64_t now_s)
{
    struct request_directives ask = directives_of(request, p);
    if (!status_is_error(status) || stale_is_forbidden(s, p) || ask.no_cache) return false;

    int64_t age_s = current_age_s(s, now_s);
    int64_t past_s = staleness_s(age_s, freshness_lifetime(s, p, key_hash).lifetime_s, soft_age_s >= 0, soft_age_s);
    bool refused = ask.max_age.present && !ask.max_stale_any && !ask.max_stale.present && !ask.stale_if_error.present &&
                   age_s > ask.max_age.value;
    return !refused && past_s < error_window_s(s, p, &ask, status);
}

/* Each reason by its name, where it is written, and in a sentence. */
static const struct {
    const char *name, *section, *text;
} reasons[] = {
    [REUSE_BECAUSE_FRESH] = { "fresh", "RFC 9111 §4.2", "its age is below its freshness lifetime" },
    [REUSE_BECAUSE_SWR] = { "stale-while-revalidate", "RFC 5861 §3",
                            "it is stale, within stale-while-revalidate: served now, refreshed behind" },
    [REUSE_BECAUSE_MAX_STALE] = { "max-stale", "RFC 9111 §5.2.1.2",
                                  "it is stale, and the request's max-stale allows it" },
    [REUSE_BECAUSE_STALE] = { "stale", "RFC 9111 §4.2.4", "its age has reached its freshness lifetime" },
    [REUSE_BECAUSE_NO_CACHE] = { "no-cache", "RFC 9111 §5.2.2.4",
                                 "the response says no-cache: validate before every use" },
    [REUSE_BECAUSE_PURGED_SOFT] = { "purged-soft", "RFC 9111 §4.2.4", "a soft purge made it stale" },
    [REUSE_BECAUSE_REQUEST] = { "request", "RFC 9111 §5.2.1", "the request's own directives refuse a stored response" },
    [REUSE_BECAUSE_EARLY] = { "early-refresh", "RFC 9111 §4.2", "it is fresh, and refreshed before it becomes stale" },
    [REUSE_BECAUSE_URI_MISS] = { "uri-miss", "RFC 9111 §4", "nothing is stored for this URL" },
    [REUSE_BECAUSE_VARY_MISS] = { "vary-miss", "RFC 9111 §4.1",
                                  "what is stored for this URL was selected by other request fields" },
    [REUSE_BECAUSE_PURGED] = { "purged", "RFC 9111 §4.4", "what was stored for this URL has been purged" },
    [REUSE_BECAUSE_METHOD] = { "method", "RFC 9111 §4", "responses are not reused for this method" },
    [REUSE_BECAUSE_BYPASS] = { "bypass", "RFC 9211 §2.2", "the route does not use the cache" },
    [REUSE_BECAUSE_PARTIAL] = { "partial", "RFC 9111 §3.4", "only a part is stored, and the request asks for more" },
    [REUSE_BECAUSE_ONLY_IF_CACHED] = { "only-if-cached", "RFC 9111 §5.2.1.7",
                                       "the request says only-if-cached, and nothing stored may be used" },
};

enum { REASON_COUNT = sizeof reasons / sizeof *reasons };

const char *reuse_reason_name(enum reuse_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].name : "unknown";
}

const char *reuse_reason_section(enum reuse_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].section : "";
}

const char *reuse_reason_text(enum reuse_reason r)
{
    return (size_t)r < REASON_COUNT ? reasons[r].text : "";
}

bool reuse_is_early(const struct stored_head *s, const struct reuse_decision *d, const struct policy *p, double random)
{
    enum {
        SPREAD_MAX = 21
    }; /* -ln of the smallest random number asked for; beyond it the logarithm is not worth its time */
    int64_t remaining_ms = (d->lifetime_s - d->age_s) * 1000;
    int64_t scale_ms = (int64_t)s->fetch_ms * p->early_refresh_percent / 100;
    if (scale_ms == 0 || remaining_ms > scale_ms * SPREAD_MAX) return false;
    return (double)scale_ms * -log(random) >= (double)remaining_ms;
}
