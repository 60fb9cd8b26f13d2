#include "proxy/admin_stats.h"

#include "proxy/access_log.h"
#include "proxy/admin_internal.h"
#include "proxy/admin_origins.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- gathering */

static const double quantiles[STATS_QUANTILES] = { 0.5, 0.9, 0.99, 0.999 };
static const char *const quantile_names[STATS_QUANTILES] = { "p50", "p90", "p99", "p999" };

static void add_counters(const struct counters *c, struct stats_totals *to)
{
#define STATS_SUM(name, metric, help) to->name += atomic_load_explicit(&c->name, memory_order_relaxed);
    STATS_COUNTERS(STATS_SUM)
#undef STATS_SUM
    to->tunnels_open += atomic_load_explicit(&c->tunnels_open, memory_order_relaxed);
}

static void add_histogram(const struct histogram *h, struct stats_latency *to)
{
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        uint64_t n = atomic_load_explicit(&h->buckets[b], memory_order_relaxed);
        to->buckets[b] += n;
        to->count += n;
    }
    to->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}

static void gather_latency(const struct weir *w, bool hits, struct stats_latency *to)
{
    const struct histogram *all[WEIR_WORKERS_MAX];
    for (size_t i = 0; i < w->worker_count; i++) {
        const struct counters *c = &w->workers[i]->counters;
        all[i] = hits ? &c->hit_us : &c->miss_us;
        add_histogram(all[i], to);
    }
    for (size_t q = 0; q < STATS_QUANTILES; q++)
        to->quantiles_us[q] = (uint64_t)histogram_quantile(all, w->worker_count, quantiles[q]);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static void name_origin(struct weir *w, struct stats_snapshot *out)
{
    struct site *site = weir_site(w);
    const struct route *r = site->unmatched;
    const char *where = r->server.unix_path != NULL ? r->server.unix_path : r->server.base_url;
    if (r->kind == ROUTE_PROXY)
        snprintf(out->origin_text, sizeof out->origin_text, "%s", where);
    else
        snprintf(out->origin_text, sizeof out->origin_text, "%zu origins", site->origin_count);
    out->origin = out->origin_text;
    site_unref(&site);
}

void stats_gather(struct weir *w, uint64_t purges, struct stats_snapshot *out)
{
    *out = (struct stats_snapshot){
        .started_s = w->started_s,
        .uptime_s = clock_now_s(&w->clock) - w->started_s,
        .workers = w->worker_count,
        .flights = flight_count(cache_flights(w->cache)),
        .access_log_lost = w->access_log != NULL ? access_log_lost(w->access_log) : 0,
        .draining = atomic_load(&w->draining),
        .has_store = w->store != NULL,
    };
    name_origin(w, out);
    for (size_t i = 0; i < w->worker_count; i++) add_counters(&w->workers[i]->counters, &out->totals);
    out->totals.purges += purges;
    gather_latency(w, true, &out->hit);
    gather_latency(w, false, &out->miss);
    memory_stats(cache_memory(w->cache), &out->memory);
    if (w->store != NULL) store_stats(w->store, &out->store);
    purge_stats(w->purges, &out->purges);
    if (w->refill != NULL) refill_stats(w->refill, &out->refill);
    const struct stats_totals *t = &out->totals;
    out->hit_ratio_requests = share(t->hits, t->hits + t->misses + t->passes);
    out->hit_ratio_bytes = share(t->bytes_hit, t->bytes_sent);
    out->memory_fill = share(out->memory.bytes, out->memory.limit_bytes);
    out->store_fill = share(out->store.used_bytes, out->store.size_bytes);
}

/* ---- what there is: a row per value, for both formats */

enum value_type { VALUE_COUNT, VALUE_REAL, VALUE_FLAG };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct value {
    const char *section, *name, *metric; /* section NULL: at the top */
    enum metric_type type;
    enum value_type value;
    size_t offset; /* in struct stats_snapshot */
    const char *help;
};

#define AT(member) offsetof(struct stats_snapshot, member)

static const struct value values[] = {
    { NULL, "uptime_s", "uptime_seconds", METRIC_GAUGE, VALUE_COUNT, AT(uptime_s), "Seconds since weir started" },
    { NULL, "workers", "workers", METRIC_GAUGE, VALUE_COUNT, AT(workers), "Event loops" },
    { NULL, "draining", "draining", METRIC_GAUGE, VALUE_FLAG, AT(draining), "1 once weir has been told to end" },
    { NULL, "flights", "flights", METRIC_GAUGE, VALUE_COUNT, AT(flights), "Fetches that other requests can join now" },
    { NULL, "access_log_lost", "access_log_lost_total", METRIC_COUNTER, VALUE_COUNT, AT(access_log_lost),
      "Lines of the access log that could not be written in time, or at all" },
    { NULL, "tunnels_open", "tunnels_open", METRIC_GAUGE, VALUE_COUNT, AT(totals.tunnels_open),
      "Connections that have switched to another protocol and are open now" },
#define STATS_ROW(name, metric, help) { "requests", #name, metric, METRIC_COUNTER, VALUE_COUNT, AT(totals.name), help },
    STATS_COUNTERS(STATS_ROW)
#undef STATS_ROW
        { "hit_ratio", "requests", "hit_ratio_requests", METRIC_GAUGE, VALUE_REAL, AT(hit_ratio_requests),
          "Hits among hits, misses and passes since the start" },
    { "hit_ratio", "bytes", "hit_ratio_bytes", METRIC_GAUGE, VALUE_REAL, AT(hit_ratio_bytes),
      "Bytes of hits among the bytes sent since the start" },
    { "memory", "entries", "memory_entries", METRIC_GAUGE, VALUE_COUNT, AT(memory.entries), "Responses in memory" },
    { "memory", "bytes", "memory_bytes", METRIC_GAUGE, VALUE_COUNT, AT(memory.bytes),
      "Bytes of the memory tier in use, metadata included" },
    { "memory", "limit_bytes", "memory_limit_bytes", METRIC_GAUGE, VALUE_COUNT, AT(memory.limit_bytes),
      "Budget of the memory tier" },
    { "memory", "fill", "memory_fill_ratio", METRIC_GAUGE, VALUE_REAL, AT(memory_fill), "Bytes against budget" },
    { "memory", "evictions", "memory_evictions_total", METRIC_COUNTER, VALUE_COUNT, AT(memory.evictions),
      "Responses that left memory to make room" },
    { "memory", "rejected", "memory_rejected_total", METRIC_COUNTER, VALUE_COUNT, AT(memory.rejected),
      "Responses that memory did not take: too large, or nothing could leave" },
    { "memory", "pinned", "memory_pinned", METRIC_GAUGE, VALUE_COUNT, AT(memory.pinned),
      "Responses in memory that eviction leaves alone" },
    { "memory", "pinned_bytes", "memory_pinned_bytes", METRIC_GAUGE, VALUE_COUNT, AT(memory.pinned_bytes),
      "Bytes of those" },
    { "memory", "pins_refused", "memory_pins_refused_total", METRIC_COUNTER, VALUE_COUNT, AT(memory.pins_refused),
      "Responses that were not pinned in memory, as pins had their share of it" },
    { "purges", "sequence", "purge_sequence", METRIC_GAUGE, VALUE_COUNT, AT(purges.seq),
      "Where the sequence of purges stands" },
    { "purges", "purges", "purges_total", METRIC_COUNTER, VALUE_COUNT, AT(purges.purges),
      "Purges since the start, those by unsafe requests included" },
    { "purges", "matched", "purged_responses_total", METRIC_COUNTER, VALUE_COUNT, AT(purges.matched),
      "Stored responses that purges matched" },
    { "purges", "names", "purge_names", METRIC_GAUGE, VALUE_COUNT, AT(purges.lines),
      "Purged names that are still remembered" },
    { "purges", "reclaims_waiting", "purge_reclaims_waiting", METRIC_GAUGE, VALUE_COUNT, AT(purges.reclaims_waiting),
      "Purged names whose space is not yet reclaimed" },
    { "purges", "folded", "purge_folds_total", METRIC_COUNTER, VALUE_COUNT, AT(purges.folded),
      "Times that too many names were remembered, and the older half became one purge of everything" },
    { "purges", "given_up", "purge_fetches_given_up_total", METRIC_COUNTER, VALUE_COUNT, AT(purges.given_up),
      "Fetches that took so long that purges no longer waited for them" },
    { "refill", "saved", "hot_keys_saved", METRIC_GAUGE, VALUE_COUNT, AT(refill.saved),
      "Keys of memory's hottest responses noted in the store, the last time" },
    { "refill", "listed", "refill_listed", METRIC_GAUGE, VALUE_COUNT, AT(refill.listed),
      "Hottest responses of the run before this one" },
    { "refill", "refilled", "refill_refilled", METRIC_GAUGE, VALUE_COUNT, AT(refill.refilled),
      "Of those, in memory again" },
    { "refill", "dropped", "refill_dropped", METRIC_GAUGE, VALUE_COUNT, AT(refill.dropped),
      "Of those, purged, stale or gone" },
    { "refill", "running", "refill_running", METRIC_GAUGE, VALUE_FLAG, AT(refill.running),
      "1 while memory is being refilled" },
    { "store", "entries", "store_entries", METRIC_GAUGE, VALUE_COUNT, AT(store.entries), "Responses in the store" },
    { "store", "live_bytes", "store_live_bytes", METRIC_GAUGE, VALUE_COUNT, AT(store.live_bytes),
      "Bytes of stored responses" },
    { "store", "used_bytes", "store_used_bytes", METRIC_GAUGE, VALUE_COUNT, AT(store.used_bytes),
      "Bytes of the store in use on disk" },
    { "store", "size_bytes", "store_size_bytes", METRIC_GAUGE, VALUE_COUNT, AT(store.size_bytes),
      "Budget of the store" },
    { "store", "fill", "store_fill_ratio", METRIC_GAUGE, VALUE_REAL, AT(store_fill), "Bytes used against budget" },
    { "store", "queue_bytes", "store_queue_bytes", METRIC_GAUGE, VALUE_COUNT, AT(store.queue_bytes),
      "Bytes waiting to be written" },
    { "store", "queue_entries", "store_queue_entries", METRIC_GAUGE, VALUE_COUNT, AT(store.queue_entries),
      "Writes waiting" },
    { "store", "puts", "store_puts_total", METRIC_COUNTER, VALUE_COUNT, AT(store.puts), "Responses written" },
    { "store", "gets", "store_gets_total", METRIC_COUNTER, VALUE_COUNT, AT(store.gets), "Look-ups in the store" },
    { "store", "hits", "store_found_total", METRIC_COUNTER, VALUE_COUNT, AT(store.hits),
      "Look-ups that found something" },
    { "store", "removes", "store_removes_total", METRIC_COUNTER, VALUE_COUNT, AT(store.removes), "Responses removed" },
    { "store", "evictions", "store_evictions_total", METRIC_COUNTER, VALUE_COUNT, AT(store.evictions),
      "Responses that left the store to make room" },
    { "store", "pinned", "store_pinned", METRIC_GAUGE, VALUE_COUNT, AT(store.pinned),
      "Responses in the store that eviction leaves alone" },
    { "store", "pinned_bytes", "store_pinned_bytes", METRIC_GAUGE, VALUE_COUNT, AT(store.pinned_bytes),
      "Bytes of those" },
    { "store", "pins_refused", "store_pins_refused_total", METRIC_COUNTER, VALUE_COUNT, AT(store.pins_refused),
      "Responses that were not pinned in the store, as pins had their share of it" },
    { "store", "reclaimed", "store_reclaimed_total", METRIC_COUNTER, VALUE_COUNT, AT(store.reclaimed),
      "Purged responses whose space was reclaimed" },
    { "store", "refused", "store_refused_total", METRIC_COUNTER, VALUE_COUNT, AT(store.refused),
      "Writes refused: queue full, too large, or the store was failing" },
    { "store", "bad_checksums", "store_bad_checksums_total", METRIC_COUNTER, VALUE_COUNT, AT(store.bad_checksums),
      "Stored bytes that were not what had been written" },
    { "store", "errors", "store_errors_total", METRIC_COUNTER, VALUE_COUNT, AT(store.errors), "Failed transactions" },
    { "store", "commits", "store_commits_total", METRIC_COUNTER, VALUE_COUNT, AT(store.commits), "Write transactions" },
    { "store", "sync_age_s", "store_sync_age_seconds", METRIC_GAUGE, VALUE_REAL, AT(store.sync_age_s),
      "Seconds since the disk had everything" },
    { "store", "commit_last_ms", "store_commit_last_milliseconds", METRIC_GAUGE, VALUE_REAL, AT(store.commit_last_ms),
      "What the last write transaction took" },
    { "store", "failing", "store_failing", METRIC_GAUGE, VALUE_FLAG, AT(store.failing),
      "1 while the store cannot be written" },
};

enum { VALUES = sizeof values / sizeof *values };

static const void *place_of(const struct stats_snapshot *s, const struct value *v)
{
    return (const char *)s + v->offset;
}

static uint64_t count_of(const struct stats_snapshot *s, const struct value *v)
{
    return *(const uint64_t *)place_of(s, v);
}

static double real_of(const struct stats_snapshot *s, const struct value *v)
{
    return *(const double *)place_of(s, v);
}

static bool flag_of(const struct stats_snapshot *s, const struct value *v)
{
    return *(const bool *)place_of(s, v);
}

static bool is_shown(const struct stats_snapshot *s, const struct value *v)
{
    return s->has_store || v->section == NULL || strcmp(v->section, "store") != 0;
}

/* ---- JSON */

static json_t *value_json(const struct stats_snapshot *s, const struct value *v)
{
    switch (v->value) {
    case VALUE_COUNT: return json_integer((json_int_t)count_of(s, v));
    case VALUE_REAL: return json_real(real_of(s, v));
    case VALUE_FLAG: return json_boolean(flag_of(s, v));
    }
    return NULL;
}

/* The object of a section, made when its first value comes. */
static json_t *section_json(json_t *root, const char *section)
{
    if (section == NULL) return root;
    json_t *there = json_object_get(root, section);
    if (there != NULL) return there;
    if (json_object_set_new(root, section, json_object()) != 0) return NULL;
    return json_object_get(root, section);
}

static json_t *latency_json(const struct stats_latency *l)
{
    json_t *json = json_pack("{s:I, s:f}", "count", (json_int_t)l->count, "mean", share(l->sum_us, l->count));
    for (size_t q = 0; json != NULL && q < STATS_QUANTILES; q++)
        (void)json_object_set_new(json, quantile_names[q], json_integer((json_int_t)l->quantiles_us[q]));
    return json;
}

json_t *stats_json(const struct stats_snapshot *s)
{
    json_t *root = json_pack("{s:s, s:s}", "version", WEIR_VERSION, "origin", s->origin);
    int rc = root != NULL ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < VALUES; i++) {
        const struct value *v = &values[i];
        if (!is_shown(s, v)) continue;
        json_t *section = section_json(root, v->section);
        rc = section != NULL ? json_object_set_new(section, v->name, value_json(s, v)) : -1;
    }
    if (rc == 0)
        rc = json_object_set_new(root, "latency_us",
                                 json_pack("{s:o, s:o}", "hit", latency_json(&s->hit), "miss", latency_json(&s->miss)));
    if (rc == 0) return root;
    json_decref(root);
    return NULL;
}

/* ---- Prometheus */

static void put_head(FILE *f, const char *metric, const char *type, const char *help)
{
    fprintf(f, "# HELP weir_%s %s.\n# TYPE weir_%s %s\n", metric, help, metric, type);
}

static void put_value(FILE *f, const struct stats_snapshot *s, const struct value *v)
{
    put_head(f, v->metric, v->type == METRIC_COUNTER ? "counter" : "gauge", v->help);
    fprintf(f, "weir_%s ", v->metric);
    switch (v->value) {
    case VALUE_COUNT: fprintf(f, "%llu\n", (unsigned long long)count_of(s, v)); break;
    case VALUE_REAL: fprintf(f, "%.9g\n", real_of(s, v)); break;
    case VALUE_FLAG: fprintf(f, "%d\n", flag_of(s, v)); break;
    }
}

/* One line for each power of two; finer would be more than a scrape wants. */
static void put_histogram(FILE *f, const char *metric, const char *help, const struct stats_latency *l)
{
    enum { BUCKETS_PER_LINE = 8, LINES = 25 };
    uint64_t seen = 0;
    size_t b = 0;
    put_head(f, metric, "histogram", help);
    for (size_t line = 0; line < LINES; line++) {
        for (size_t end = b + BUCKETS_PER_LINE; b < end; b++) seen += l->buckets[b];
        fprintf(f, "weir_%s_bucket{le=\"%.6f\"} %llu\n", metric, (double)histogram_bucket_end_us(b - 1) / 1e6,
                (unsigned long long)seen);
    }
    fprintf(f, "weir_%s_bucket{le=\"+Inf\"} %llu\n", metric, (unsigned long long)l->count);
    fprintf(f, "weir_%s_sum %.6f\nweir_%s_count %llu\n", metric, (double)l->sum_us / 1e6, metric,
            (unsigned long long)l->count);
}

char *stats_prometheus(const struct stats_snapshot *s, size_t *len)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, len);
    if (f == NULL) return NULL;
    put_head(f, "build_info", "gauge", "The version that runs");
    fprintf(f, "weir_build_info{version=\"%s\"} 1\n", WEIR_VERSION);
    put_head(f, "start_time_seconds", "gauge", "When weir started, in seconds since 1970");
    fprintf(f, "weir_start_time_seconds %lld\n", (long long)s->started_s);
    for (size_t i = 0; i < VALUES; i++)
        if (is_shown(s, &values[i])) put_value(f, s, &values[i]);
    put_histogram(f, "hit_duration_seconds", "From a request's head to the last byte of its answer, hits", &s->hit);
    put_histogram(f, "miss_duration_seconds", "From a request's head to the last byte of its answer, all others",
                  &s->miss);
    bool failed = ferror(f) != 0;
    if (fclose(f) == 0 && !failed) return text;
    free(text);
    return NULL;
}

/* ---- the calls */

static struct stats_snapshot *snapshot(const struct admin_request *r)
{
    struct stats_snapshot *s = malloc(sizeof *s);
    if (s != NULL) stats_gather(r->admin->weir, r->admin->purges, s);
    return s;
}

void admin_stats(struct admin_request *r)
{
    struct stats_snapshot *s = snapshot(r);
    json_t *json = s != NULL ? stats_json(s) : NULL;
    struct site *site = weir_site(r->admin->weir);
    if (json != NULL)
        (void)json_object_set_new(json, "origins",
                                  origins_json(site, r->admin->weir->resolver, loop_now_ms(r->admin->loop)));
    site_unref(&site);
    admin_answer_json(r, 200, json);
    free(s);
}

/* @param text  taken over. @return NULL: no memory */
static char *with_origins(struct admin_request *r, char *text, size_t *len)
{
    char *all = NULL;
    size_t all_len = 0;
    FILE *f = open_memstream(&all, &all_len);
    if (f == NULL) return text;
    struct site *site = weir_site(r->admin->weir);
    fwrite(text, 1, *len, f);
    origins_prometheus(site, loop_now_ms(r->admin->loop), f);
    site_unref(&site);
    free(text);
    bool failed = ferror(f) != 0;
    if (fclose(f) == 0 && !failed) {
        *len = all_len;
        return all;
    }
    free(all);
    return NULL;
}

void admin_metrics(struct admin_request *r)
{
    struct stats_snapshot *s = snapshot(r);
    size_t len = 0;
    char *text = s != NULL ? stats_prometheus(s, &len) : NULL;
    if (text != NULL) text = with_origins(r, text, &len);
    admin_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
    free(s);
}
