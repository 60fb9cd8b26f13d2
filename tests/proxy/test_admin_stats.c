/* What weir tells of itself: each value once, in both formats, and well-formed. */
#include "proxy/admin_stats.h"
#include "proxy/config.h"

#include "proxy/command_admin.h"
#include "tests/headers/table.h"

#include <stdio.h>

static struct stats_snapshot *a_snapshot(void)
{
    struct stats_snapshot *s = calloc(1, sizeof *s);
    s->origin = "http://127.0.0.1:3000";
    s->uptime_s = 61;
    s->workers = 2;
    s->has_store = true;
    s->totals.requests = 10;
    s->totals.hits = 7;
    s->hit_ratio_requests = 0.75;
    s->memory = (struct memory_stats){ .entries = 3, .bytes = 512, .limit_bytes = 1024, .evictions = 4, .rejected = 5 };
    s->store.sync_age_s = 1.5;
    s->store.failing = true;
    s->purges.seq = 42;
    s->hit.count = 3;
    s->hit.sum_us = 30;
    s->hit.buckets[5] = 2;  /* 5 us */
    s->hit.buckets[16] = 1; /* 16 to 17 us */
    s->hit.quantiles_us[1] = 17;
    return s;
}

static const struct json_case {
    const char *path;
    double value;
} json_cases[] = {
    { "uptime_s", 61 },
    { "workers", 2 },
    { "requests.requests", 10 },
    { "requests.hits", 7 },
    { "requests.misses", 0 },
    { "hit_ratio.requests", 0.75 },
    { "memory.entries", 3 },
    { "memory.bytes", 512 },
    { "memory.evictions", 4 },
    { "memory.rejected", 5 },
    { "store.sync_age_s", 1.5 },
    { "purges.sequence", 42 },
    { "latency_us.hit.count", 3 },
    { "latency_us.hit.mean", 10 },
    { "latency_us.hit.p90", 17 },
    { "latency_us.miss.p999", 0 },
};

START_TEST(a_value_is_in_the_json)
{
    struct stats_snapshot *s = a_snapshot();
    json_t *json = stats_json(s);
    const struct json_case *c = &json_cases[_i];
    ck_assert_msg(json_is_number(command_at(json, c->path)), "%s", c->path);
    ck_assert_msg(command_number(json, c->path) == c->value, "%s: %f", c->path, command_number(json, c->path));
    ck_assert(json_is_true(command_at(json, "store.failing")) && json_is_false(command_at(json, "draining")));
    json_decref(json);
    free(s);
}
END_TEST

static const char *const metrics[] = {
    "weir_build_info{version=\"" WEIR_VERSION "\"} 1",
    "weir_workers 2",
    "weir_requests_total 10",
    "weir_hits_total 7",
    "weir_hit_ratio_requests 0.75",
    "weir_memory_bytes 512",
    "weir_memory_evictions_total 4",
    "weir_store_failing 1",
    "weir_store_sync_age_seconds 1.5",
    "weir_purge_sequence 42",
    "weir_hit_duration_seconds_bucket{le=\"0.000007\"} 2",
    "weir_hit_duration_seconds_bucket{le=\"0.000015\"} 2",
    "weir_hit_duration_seconds_bucket{le=\"0.000031\"} 3",
    "weir_hit_duration_seconds_bucket{le=\"+Inf\"} 3",
    "weir_hit_duration_seconds_sum 0.000030",
    "weir_hit_duration_seconds_count 3",
    "weir_miss_duration_seconds_count 0",
};

START_TEST(a_value_is_in_the_metrics)
{
    struct stats_snapshot *s = a_snapshot();
    size_t len;
    char *text = stats_prometheus(s, &len), line[200];
    snprintf(line, sizeof line, "\n%s\n", metrics[_i]);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_msg(strstr(text, line) != NULL, "%s", metrics[_i]);
    free(text);
    free(s);
}
END_TEST

/* The name that "# TYPE name type" or "name{...} value" speaks of. */
static struct view name_of(struct view line)
{
    size_t n = 0;
    while (n < line.len && line.at[n] != ' ' && line.at[n] != '{') n++;
    return view_first(line, n);
}

/* Text format 0.0.4: HELP and TYPE once before the samples of a metric, which follow at once; a counter ends in _total. */
START_TEST(the_metrics_are_well_formed)
{
    struct stats_snapshot *s = a_snapshot();
    size_t len, metric_count = 0;
    char *text = stats_prometheus(s, &len), declared[100] = "", marker[120];
    struct view rest = view_of(text, len);
    ck_assert(len > 0 && text[len - 1] == '\n');
    while (rest.len > 0) {
        struct view line = view_first(rest, view_find(rest, 0, '\n'));
        rest = view_after(rest, line.len + 1);
        if (view_starts_with(line, VIEW("# HELP "))) continue;
        if (view_starts_with(line, VIEW("# TYPE "))) {
            struct view name = name_of(view_after(line, 7)), type = view_after(line, 8 + name.len);
            snprintf(declared, sizeof declared, "%.*s", (int)name.len, name.at);
            snprintf(marker, sizeof marker, "# TYPE %s ", declared);
            ck_assert_msg(strstr(strstr(text, marker) + 1, marker) == NULL, "%s twice", declared);
            bool total = name.len > 6 && view_is(view_after(name, name.len - 6), "_total");
            ck_assert_msg(total == view_is(type, "counter"), "%s", declared);
            metric_count++;
            continue;
        }
        ck_assert_msg(view_starts_with(name_of(line), view_of_str(declared)), "%.*s", (int)line.len, line.at);
    }
    ck_assert_uint_gt(metric_count, 60);
    free(text);
    free(s);
}
END_TEST

START_TEST(without_a_store_nothing_is_said_of_it)
{
    struct stats_snapshot *s = a_snapshot();
    size_t len;
    s->has_store = false;
    json_t *json = stats_json(s);
    char *text = stats_prometheus(s, &len);
    ck_assert_ptr_null(json_object_get(json, "store"));
    ck_assert_ptr_null(strstr(text, "weir_store_"));
    ck_assert_ptr_nonnull(strstr(text, "weir_hits_store_total"));
    json_decref(json);
    free(text);
    free(s);
}
END_TEST

/* Workers are added up. */
START_TEST(the_workers_are_added_up)
{
    char why[200];
    struct weir *w = calloc(1, sizeof *w);
    struct worker *workers = calloc(2, sizeof *workers);
    struct cache_settings settings = { .memory_bytes = 8 << 20 };
    struct stats_snapshot *s = calloc(1, sizeof *s);
    w->cache = cache_new(&settings);
    w->purges = purge_open(NULL, 0);
    w->site = config_of_origin("unix:/run/api.sock", why, sizeof why);
    w->worker_count = 2;
    for (size_t i = 0; i < 2; i++) {
        w->workers[i] = &workers[i];
        stats_add(&workers[i].counters.requests, 10);
        stats_add(&workers[i].counters.hits, 3 * i);
        stats_add(&workers[i].counters.misses, 1);
        stats_add(&workers[i].counters.bytes_sent, 100);
        stats_add(&workers[i].counters.bytes_hit, 50);
        histogram_add(&workers[i].counters.hit_us, 5 + 1000 * (int64_t)i);
    }
    stats_gather(w, 7, s);
    ck_assert_uint_eq(s->totals.requests, 20);
    ck_assert_uint_eq(s->totals.hits, 3);
    ck_assert_uint_eq(s->totals.purges, 7);
    ck_assert(s->hit_ratio_requests == 0.6 && s->hit_ratio_bytes == 0.5);
    ck_assert_uint_eq(s->hit.count, 2);
    ck_assert_uint_eq(s->hit.sum_us, 1010);
    ck_assert_uint_ge(s->hit.quantiles_us[STATS_QUANTILES - 1], 1005);
    ck_assert_str_eq(s->origin, "/run/api.sock");
    ck_assert(!s->has_store);
    purge_close(w->purges);
    cache_free(w->cache);
    site_unref(&w->site);
    free(s);
    free(workers);
    free(w);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("stats");
    tcase_add_loop_test(t, a_value_is_in_the_json, 0, ROWS(json_cases));
    tcase_add_loop_test(t, a_value_is_in_the_metrics, 0, ROWS(metrics));
    tcase_add_test(t, the_metrics_are_well_formed);
    tcase_add_test(t, without_a_store_nothing_is_said_of_it);
    tcase_add_test(t, the_workers_are_added_up);
    return run_case("admin_stats", t);
}
