/* weir stats: the counters of a running weir. */
#include "proxy/command.h"
#include "proxy/command_admin.h"

static const char usage[] = "Usage: weir stats [options]\n"
                            "\n"
                            "Prints the counters of a running weir since it started: requests, both tiers, latencies.\n"
                            "\n";

static const struct option long_options[] = { COMMAND_OPTIONS };

/* ---- values */

enum unit { COUNT, BYTES, SECONDS, MILLISECONDS, PERCENT, FLAG };

static void put_value(const json_t *stats, const char *path, enum unit unit)
{
    char text[COMMAND_VALUE_MAX];
    double n = command_number(stats, path);
    switch (unit) {
    case COUNT: printf("%.0f", n); break;
    case BYTES: fputs(command_bytes(n, text), stdout); break;
    case SECONDS: fputs(command_duration(n, text), stdout); break;
    case MILLISECONDS: printf("%.1f ms", n); break;
    case PERCENT: printf("%.1f %%", 100 * n); break;
    case FLAG: fputs(json_is_true(command_at(stats, path)) ? "yes" : "no", stdout); break;
    }
}

/* One line: a name, and values with words around them. */
struct piece {
    const char *before, *path;
    enum unit unit;
};

enum { PIECES_MAX = 5 };

static const struct row {
    const char *name;
    struct piece pieces[PIECES_MAX];
    const char *needs; /* a path that must be there */
} rows[] = {
    { "up", { { "", "uptime_s", SECONDS }, { ", workers ", "workers", COUNT } }, NULL },
    { "requests",
      { { "", "requests.requests", COUNT },
        { ", refused ", "requests.refused", COUNT },
        { ", errors of weir's own ", "requests.errors", COUNT } },
      NULL },
    { "hits",
      { { "", "requests.hits", COUNT },
        { ", memory ", "requests.hits_memory", COUNT },
        { ", store ", "requests.hits_store", COUNT },
        { ", stale ", "requests.hits_stale", COUNT } },
      NULL },
    { "hit ratio",
      { { "requests ", "hit_ratio.requests", PERCENT }, { ", bytes ", "hit_ratio.bytes", PERCENT } },
      NULL },
    { "misses",
      { { "", "requests.misses", COUNT },
        { ", collapsed ", "requests.collapsed", COUNT },
        { ", passed on ", "requests.passes", COUNT },
        { ", stale on error ", "requests.stale_on_error", COUNT } },
      NULL },
    { "origin",
      { { "fetches ", "requests.fetches", COUNT },
        { ", failed ", "requests.fetch_failures", COUNT },
        { ", in the background ", "requests.refreshes", COUNT },
        { ", received ", "requests.bytes_fetched", BYTES } },
      NULL },
    { "validated",
      { { "", "requests.validations", COUNT },
        { ", still good ", "requests.validated", COUNT },
        { ", 304 to clients ", "requests.not_modified", COUNT } },
      NULL },
    { "sent", { { "", "requests.bytes_sent", BYTES }, { ", from the cache ", "requests.bytes_hit", BYTES } }, NULL },
    { "tunnels",
      { { "open ", "tunnels_open", COUNT },
        { ", of ", "requests.tunnels", COUNT },
        { ", refused ", "requests.tunnels_refused", COUNT },
        { ", received ", "requests.tunnel_bytes_received", BYTES },
        { ", sent ", "requests.tunnel_bytes_sent", BYTES } },
      NULL },
    { "memory",
      { { "responses ", "memory.entries", COUNT },
        { ", ", "memory.bytes", BYTES },
        { " of ", "memory.limit_bytes", BYTES },
        { ", fill ", "memory.fill", PERCENT },
        { ", evicted ", "memory.evictions", COUNT } },
      NULL },
    { "refill",
      { { "", "refill.refilled", COUNT },
        { " of ", "refill.listed", COUNT },
        { ", dropped ", "refill.dropped", COUNT },
        { ", running ", "refill.running", FLAG },
        { ", noted ", "refill.saved", COUNT } },
      "store" },
    { "store",
      { { "responses ", "store.entries", COUNT },
        { ", ", "store.used_bytes", BYTES },
        { " of ", "store.size_bytes", BYTES },
        { ", fill ", "store.fill", PERCENT },
        { ", evicted ", "store.evictions", COUNT } },
      "store" },
    { "pinned",
      { { "in memory ", "memory.pinned", COUNT },
        { ", ", "memory.pinned_bytes", BYTES },
        { ", refused ", "memory.pins_refused", COUNT } },
      NULL },
    { "",
      { { "in the store ", "store.pinned", COUNT },
        { ", ", "store.pinned_bytes", BYTES },
        { ", refused ", "store.pins_refused", COUNT } },
      "store" },
    { "writing",
      { { "queue ", "store.queue_bytes", BYTES },
        { " in ", "store.queue_entries", COUNT },
        { ", refused ", "store.refused", COUNT },
        { ", last commit ", "store.commit_last_ms", MILLISECONDS },
        { ", not synced for ", "store.sync_age_s", SECONDS } },
      "store" },
    { "damage",
      { { "bad checksums ", "store.bad_checksums", COUNT },
        { ", errors ", "store.errors", COUNT },
        { ", failing ", "store.failing", FLAG } },
      "store" },
    { "purges",
      { { "", "purges.purges", COUNT },
        { ", matched ", "purges.matched", COUNT },
        { ", to reclaim ", "purges.reclaims_waiting", COUNT },
        { ", sequence ", "purges.sequence", COUNT } },
      NULL },
};

static void put_row(const json_t *stats, const struct row *row)
{
    if (row->needs != NULL && command_at(stats, row->needs) == NULL) return;
    printf("%-10s ", row->name);
    for (size_t i = 0; i < PIECES_MAX && row->pieces[i].path != NULL; i++) {
        fputs(row->pieces[i].before, stdout);
        put_value(stats, row->pieces[i].path, row->pieces[i].unit);
    }
    putchar('\n');
}

static void put_latency(const json_t *stats, const char *which)
{
    static const char *const names[] = { "p50", "p90", "p99", "p999" };
    char path[COMMAND_VALUE_MAX];
    printf("%-4s us   ", which);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "latency_us.%s.%s", which, names[i]);
        printf(" %s %.0f%s", names[i], command_number(stats, path), i + 1 < sizeof names / sizeof *names ? "," : "\n");
    }
}

static void print_stats(const json_t *stats)
{
    const char *version = json_string_value(command_at(stats, "version"));
    const char *origin = json_string_value(command_at(stats, "origin"));
    printf("%-10s ", "weir");
    command_put_text(stdout, version != NULL ? version : "");
    printf(" before ");
    command_put_text(stdout, origin != NULL ? origin : "");
    putchar('\n');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) put_row(stats, &rows[i]);
    put_latency(stats, "hit");
    put_latency(stats, "miss");
}

int command_stats(int argc, char **argv)
{
    struct command c = command_of("stats", usage);
    int option;
    json_t *stats;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        int rc = command_option(&c, option, argv);
        if (rc != COMMAND_GO_ON) return rc;
    }
    if (optind < argc) return command_wrong(&c, "unexpected argument '%s'", argv[optind]);
    int rc = command_call(&c, "GET", "/v1/stats", NULL, &stats);
    if (rc != COMMAND_GO_ON) return rc;
    if (!c.json) print_stats(stats);
    json_decref(stats);
    return COMMAND_OK;
}
