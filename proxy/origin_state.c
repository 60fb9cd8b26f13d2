#include "proxy/origin_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FAILURES_AUTO = 5, RETRY_AFTER_MAX_S = 60 };

/* ---- life */

/* With one server alone there is nobody to ask instead: a breaker would only turn failures away sooner, and successes too
 * once it is back. So it is for whoever asks for one. */
static struct origin_breaker breaker_settings(const struct origin_settings *s)
{
    struct origin_breaker b = s->breaker;
    if (b.failures < 0) b.failures = s->server_count > 1 ? FAILURES_AUTO : 0;
    return b;
}

struct origin_state *origin_state_new(const struct origin_settings *settings)
{
    struct origin_state *o = calloc(1, sizeof *o + settings->server_count * sizeof *o->servers);
    if (o == NULL) return NULL;
    o->settings = settings;
    o->breaker = breaker_settings(settings);
    o->server_count = settings->server_count;
    origin_gate_init(&o->gate, settings->in_flight > 0 ? (size_t)settings->in_flight : 0, (size_t)settings->queue);
    for (size_t i = 0; i < o->server_count; i++) {
        struct server_state *s = &o->servers[i];
        s->settings = &settings->servers[i];
        s->id = XXH3_64bits(s->settings->url, strlen(s->settings->url));
        breaker_init(&s->breaker);
        atomic_init(&s->well_since_ms, -1);
    }
    return o;
}

void origin_state_free(struct origin_state *o)
{
    if (o == NULL) return;
    for (size_t i = 0; i < o->server_count; i++) breaker_end(&o->servers[i].breaker);
    origin_gate_end(&o->gate);
    free(o);
}

static void inherit(struct server_state *s, const struct server_state *before)
{
    atomic_store(&s->checked, atomic_load(&before->checked));
    atomic_store(&s->well_since_ms, atomic_load(&before->well_since_ms));
    atomic_store(&s->requests, atomic_load(&before->requests));
    atomic_store(&s->failures, atomic_load(&before->failures));
    breaker_inherit(&s->breaker, &before->breaker);
}

void origin_state_inherit(struct origin_state *o, const struct origin_state *before)
{
    for (size_t i = 0; i < o->server_count; i++) {
        for (size_t j = 0; j < before->server_count; j++) {
            if (strcmp(o->servers[i].settings->url, before->servers[j].settings->url) != 0) continue;
            inherit(&o->servers[i], &before->servers[j]);
            break;
        }
        /* What is no longer checked is not ill for ever. */
        if (o->settings->health.path == NULL) atomic_store(&o->servers[i].checked, SERVER_UNCHECKED);
    }
    if (o->breaker.failures > 0) return;
    for (size_t i = 0; i < o->server_count; i++) atomic_store(&o->servers[i].breaker.state, BREAKER_CLOSED);
}

/* ---- picking */

static bool is_tried(const struct servers_tried *t, size_t server)
{
    return (t->bits[server / 64] >> server % 64 & 1) != 0;
}

static bool is_first_try(const struct servers_tried *t)
{
    uint64_t any = 0;
    for (size_t i = 0; i < sizeof t->bits / sizeof *t->bits; i++) any |= t->bits[i];
    return any == 0;
}

void servers_tried_add(struct servers_tried *t, int server)
{
    t->bits[server / 64] |= (uint64_t)1 << server % 64;
}

static bool is_well(const struct server_state *s, int64_t now_ms)
{
    return atomic_load_explicit(&s->checked, memory_order_relaxed) != SERVER_ILL &&
           breaker_may_admit(&s->breaker, now_ms);
}

static struct candidate candidate_of(const struct origin_state *o, const struct server_state *s, bool tried,
                                     int64_t now_ms)
{
    int64_t since_ms = atomic_load_explicit(&s->well_since_ms, memory_order_relaxed);
    int64_t for_ms = since_ms < 0 ? -1 : now_ms > since_ms ? now_ms - since_ms : 0;
    return (struct candidate){ .id = s->id,
                               .weight = balance_weight(s->settings->weight, for_ms, o->settings->slow_start_ms),
                               .in_flight = atomic_load_explicit(&s->in_flight, memory_order_relaxed),
                               .usable = !tried && is_well(s, now_ms),
                               .backup = s->settings->backup };
}

static bool take(struct server_state *s, int64_t now_ms, struct server_pick *pick)
{
    if (!breaker_admit(&s->breaker, now_ms, &pick->probe)) return false;
    atomic_fetch_add_explicit(&s->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    return true;
}

static struct server_pick pick_among(struct origin_state *o, const struct servers_tried *tried, uint64_t key_hash,
                                     int64_t now_ms)
{
    struct candidate all[ORIGIN_SERVERS_MAX];
    struct balance_ticket ticket = { .how = o->settings->balance,
                                     .turn = atomic_fetch_add_explicit(&o->turn, 1, memory_order_relaxed),
                                     .key_hash = key_hash };
    struct server_pick pick;
    for (size_t i = 0; i < o->server_count; i++) all[i] = candidate_of(o, &o->servers[i], is_tried(tried, i), now_ms);
    for (;;) {
        pick.server = balance_pick(&ticket, all, o->server_count);
        if (pick.server == BALANCE_NONE || take(&o->servers[pick.server], now_ms, &pick)) return pick;
        all[pick.server].usable = false; /* another request is its probe */
    }
}

struct server_pick origin_state_pick(struct origin_state *o, const struct servers_tried *tried, uint64_t key_hash,
                                     int64_t now_ms)
{
    struct server_pick pick = { .server = BALANCE_NONE };
    if (o->server_count > 1) {
        if (is_first_try(tried)) retry_budget_note_request(&o->budget, now_ms / 1000);
        pick = pick_among(o, tried, key_hash, now_ms);
    } else if (!is_tried(tried, 0) && is_well(&o->servers[0], now_ms) && take(&o->servers[0], now_ms, &pick)) {
        pick.server = 0;
    }
    if (pick.server == BALANCE_NONE) pick.probe = false;
    return pick;
}

void origin_state_tunnel(struct origin_state *o, int server, int by)
{
    atomic_fetch_add_explicit(&o->servers[server].in_flight, (uint32_t)by, memory_order_relaxed);
}

bool origin_state_has_other(const struct origin_state *o, const struct servers_tried *tried, int64_t now_ms)
{
    for (size_t i = 0; i < o->server_count; i++)
        if (!is_tried(tried, i) && is_well(&o->servers[i], now_ms)) return true;
    return false;
}

bool origin_state_may_retry(struct origin_state *o, int64_t now_ms)
{
    bool may = retry_budget_take(&o->budget, o->settings->retries.budget_percent, now_ms / 1000);
    atomic_fetch_add_explicit(may ? &o->retries : &o->retries_refused, 1, memory_order_relaxed);
    return may;
}

bool origin_state_may_hedge(struct origin_state *o, int64_t now_ms)
{
    bool may = retry_budget_take(&o->budget, o->settings->retries.budget_percent, now_ms / 1000);
    atomic_fetch_add_explicit(may ? &o->hedges : &o->hedges_refused, 1, memory_order_relaxed);
    return may;
}

/* ---- news */

static void say(const struct origin_state *o, const struct server_state *s, const char *news)
{
    fprintf(stderr, "weir: origin %s: %s %s\n", o->settings->name, s->settings->url, news);
}

void origin_state_report(struct origin_state *o, struct server_pick pick, enum breaker_result result, int64_t now_ms)
{
    struct server_state *s = &o->servers[pick.server];
    char news[96];
    atomic_fetch_sub_explicit(&s->in_flight, 1, memory_order_relaxed);
    if (result == BREAKER_FAILURE) atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    switch (breaker_report(&s->breaker, &o->breaker, pick.probe, result, now_ms)) {
    case BREAKER_NO_NEWS: break;
    case BREAKER_OPENED:
        snprintf(news, sizeof news, "failed %d times in a row; left alone for %lld ms", o->breaker.failures,
                 (long long)o->breaker.open_ms);
        say(o, s, news);
        break;
    case BREAKER_CLOSED_AGAIN:
        atomic_store(&s->well_since_ms, now_ms);
        say(o, s, "answers again");
        break;
    }
}

void server_state_check(struct origin_state *o, size_t server, bool well, const char *why, int64_t now_ms)
{
    struct server_state *s = &o->servers[server];
    char news[256];
    int before = atomic_exchange(&s->checked, well ? SERVER_WELL : SERVER_ILL);
    if (before == (well ? SERVER_WELL : SERVER_ILL)) return;
    if (well && before == SERVER_ILL) {
        atomic_store(&s->well_since_ms, now_ms);
        say(o, s, "passes its checks again");
    } else if (!well) {
        snprintf(news, sizeof news, "fails its checks: %s", why);
        say(o, s, news);
    }
}

const char *server_state_name(const struct server_state *s, int64_t now_ms)
{
    if (atomic_load_explicit(&s->checked, memory_order_relaxed) == SERVER_ILL) return "ill";
    switch ((enum breaker_state)atomic_load_explicit(&s->breaker.state, memory_order_relaxed)) {
    case BREAKER_CLOSED: break;
    case BREAKER_OPEN: return breaker_may_admit(&s->breaker, now_ms) ? "probing" : "open";
    case BREAKER_HALF_OPEN: return "probing";
    }
    return "well";
}

int origin_state_retry_after_s(const struct origin_state *o, int64_t now_ms)
{
    int64_t soonest_ms = (int64_t)RETRY_AFTER_MAX_S * 1000;
    for (size_t i = 0; i < o->server_count; i++) {
        const struct server_state *s = &o->servers[i];
        bool ill = atomic_load_explicit(&s->checked, memory_order_relaxed) == SERVER_ILL;
        int64_t left_ms = ill ? o->settings->health.interval_ms
                              : atomic_load_explicit(&s->breaker.open_until_ms, memory_order_relaxed) - now_ms;
        if (left_ms < soonest_ms) soonest_ms = left_ms;
    }
    return soonest_ms <= 1000 ? 1 : (int)((soonest_ms + 999) / 1000);
}
