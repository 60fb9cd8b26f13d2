/* admin_stats: what weir tells of itself, gathered once and written as JSON or in the Prometheus text format 0.0.4.
 * Threads: stats_gather from any; the rest is pure.                                                              */
#ifndef WEIR_PROXY_ADMIN_STATS_H
#define WEIR_PROXY_ADMIN_STATS_H

#include "proxy/refill.h"
#include "proxy/stats.h"
#include "proxy/worker.h"

#include <jansson.h>

enum { STATS_QUANTILES = 4 };

/* The names of struct counters, one number each: all workers together. */
struct stats_totals {
#define STATS_TOTAL(name, metric, help) uint64_t name;
    STATS_COUNTERS(STATS_TOTAL)
#undef STATS_TOTAL
    uint64_t tunnels_open;
};

struct stats_latency {
    uint64_t count, sum_us;
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t quantiles_us[STATS_QUANTILES];
};

struct stats_snapshot {
    int64_t started_s, uptime_s;
    uint64_t workers, flights, access_log_lost;
    bool draining, has_store;
    const char *origin; /* its URL, or the path of its socket; of several, the one for what no route matches */
    char origin_text[ROUTE_TARGET_MAX];
    struct stats_totals totals;
    struct stats_latency hit, miss;
    double hit_ratio_requests, hit_ratio_bytes; /* 0 while there is nothing to divide by */
    double memory_fill, store_fill;             /* of the limit */
    struct memory_stats memory;
    struct store_stats store;
    struct purge_stats purges;
    struct refill_stats refill;
};

/** @param purges  purge requests counted elsewhere than in the workers */
void stats_gather(struct weir *w, uint64_t purges, struct stats_snapshot *out);
/** @return NULL: no memory */
json_t *stats_json(const struct stats_snapshot *s);
/** @return malloc'd text; NULL: no memory */
char *stats_prometheus(const struct stats_snapshot *s, size_t *len);

#endif
