/* `origins:` */
#include "proxy/config_tables.h"

#define AT(member) offsetof(struct origin_settings, member)

/* ---- servers: a URL, a list of URLs, or {url: ..., weight: 2, backup: true} */

static const char *check_origin_url(struct view v)
{
    struct origin_server server;
    char why[256];
    if (!origin_server_parse(v.at, &server, why, sizeof why))
        return "http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH] or unix:/PATH";
    origin_server_release(&server);
    return NULL;
}

static const struct setting server_rows[] = {
    { "url", SETTING_TEXT, offsetof(struct origin_server_settings, url), .check = check_origin_url,
      .help = "http://HOST[:PORT][/PATH], https://... or unix:/PATH" },
    { "weight", SETTING_INT, offsetof(struct origin_server_settings, weight), .least = 1, .most = 100,
      .help = "its share beside the others" },
    { "backup", SETTING_FLAG, offsetof(struct origin_server_settings, backup),
      .help = "asked only when no other server is well" },
    { "admin", SETTING_TEXT, offsetof(struct origin_server_settings, admin_url), .unset = "none",
      .check = check_origin_url, .help = "where the admin API of this weir is: hears of purges by the admin API" },
};
static const struct schema server_schema = { SCHEMA_ROWS(server_rows), "url", NULL };

static void read_server(struct config_reader *r, const struct node *n, struct origin_server_settings *to)
{
    size_t before = r->report->count;
    *to = (struct origin_server_settings){ .weight = 1 };
    schema_read(r, &server_schema, n, to);
    if (to->url == NULL && r->report->count == before) report_at(r->report, n->place, "a server without url");
}

/* @param first  of the list that `all` was read from; NULL: there is only one */
static void say_twice(struct config_reader *r, const struct node *first, const struct origin_server_settings *all)
{
    size_t at = 0;
    for (const struct node *m = first; m != NULL; m = m->next, at++)
        for (size_t i = 0; i < at && all[at].url != NULL; i++)
            if (all[i].url != NULL && strcmp(all[i].url, all[at].url) == 0)
                report_at(r->report, m->place, "%.80s is here twice; keep one, with a weight", all[at].url);
}

static void servers_read(struct config_reader *r, const struct node *n, void *to)
{
    struct origin_settings *o = (struct origin_settings *)(void *)((char *)to - AT(servers));
    const struct node *real = node_of(n);
    bool is_list = real->kind == NODE_LIST, primary = false;
    size_t count = is_list ? real->count : 1, at = 0;
    if (count == 0 || count > ORIGIN_SERVERS_MAX || node_is_empty(n)) {
        report_at(r->report, n->place, "servers: %zu; it takes 1 to %d", node_is_empty(n) ? 0 : count,
                  ORIGIN_SERVERS_MAX);
        return;
    }
    struct origin_server_settings *all = reader_alloc(r, count * sizeof *all);
    if (all == NULL) return;
    if (!is_list) read_server(r, n, &all[at++]);
    for (const struct node *m = is_list ? real->first : NULL; m != NULL; m = m->next) read_server(r, m, &all[at++]);
    for (size_t i = 0; i < count; i++) primary = primary || !all[i].backup;
    say_twice(r, is_list ? real->first : NULL, all);
    if (!primary) report_at(r->report, n->place, "every server is a backup; one must not be");
    o->servers = all;
    o->server_count = count;
}

static void servers_write(struct text_out *o, const void *from)
{
    const struct origin_settings *s = (const struct origin_settings *)(const void *)((const char *)from - AT(servers));
    out_format(o, "[");
    for (size_t i = 0; i < s->server_count; i++) {
        const struct origin_server_settings *one = &s->servers[i];
        bool plain = one->weight == 1 && !one->backup && one->admin_url == NULL;
        out_format(o, "%s%s", i > 0 ? ", " : "", plain ? "" : "{url: ");
        out_text(o, view_of_str(one->url));
        if (one->weight != 1) out_format(o, ", weight: %d", one->weight);
        if (one->backup) out_format(o, ", backup: true");
        if (one->admin_url != NULL) {
            out_format(o, ", admin: ");
            out_text(o, view_of_str(one->admin_url));
        }
        out_format(o, "%s", plain ? "" : "}");
    }
    out_format(o, "]");
}

/* ---- host: auto, keep, origin or a name */

static const struct choice hosts[] = {
    { "auto", ORIGIN_HOST_AUTO }, { "keep", ORIGIN_HOST_KEEP }, { "origin", ORIGIN_HOST_ORIGIN }, { NULL, 0 }
};

static void host_read(struct config_reader *r, const struct node *n, void *to)
{
    struct origin_settings *o = (struct origin_settings *)(void *)((char *)to - AT(host));
    struct view text;
    if (!reader_text(r, n, "auto, keep, origin or a host name", &text)) return;
    o->host_name = NULL;
    for (const struct choice *c = hosts; c->name != NULL; c++) {
        if (!view_equal(text, view_of_str(c->name))) continue;
        o->host = (enum origin_host)c->value;
        return;
    }
    if (check_authority(text) != NULL) {
        report_at(r->report, n->place, "host: \"%.80s\"; it takes auto, keep, origin or a host name", text.at);
        return;
    }
    o->host = ORIGIN_HOST_NAMED;
    o->host_name = text.at;
}

static void host_write(struct text_out *o, const void *from)
{
    const struct origin_settings *s = (const struct origin_settings *)(const void *)((const char *)from - AT(host));
    out_text(o, view_of_str(s->host == ORIGIN_HOST_NAMED ? s->host_name : hosts[s->host].name));
}

/* ---- health.status: 200, "200-299", or a list of these */

static bool status_range_parse(struct view v, struct status_range *out)
{
    int64_t first, last;
    size_t dash = view_find(v, 0, '-');
    if (!view_parse_decimal(view_first(v, dash), 1000, &first)) return false;
    last = first;
    if (dash < v.len && !view_parse_decimal(view_after(v, dash + 1), 1000, &last)) return false;
    *out = (struct status_range){ (int)first, (int)last };
    return first >= 100 && last <= 599 && first <= last;
}

static const char *check_status_range(struct view v)
{
    struct status_range range;
    return status_range_parse(v, &range) ? NULL : "a status or a range: 200, \"200-299\"";
}

static void statuses_read(struct config_reader *r, const struct node *n, void *to)
{
    static const struct setting row = { .key = "status",
                                        .check = check_status_range,
                                        .most = ORIGIN_STATUS_RANGES_MAX };
    struct origin_health *h = HOLDER_OF(to, struct origin_health, statuses);
    struct views texts;
    if (!reader_views(r, &row, n, &texts)) return;
    h->status_count = 0;
    for (size_t i = 0; i < texts.count; i++)
        if (status_range_parse(texts.at[i], &h->statuses[h->status_count])) h->status_count++;
}

static void statuses_write(struct text_out *o, const void *from)
{
    const struct origin_health *h = HOLDER_OF(from, const struct origin_health, statuses);
    out_format(o, "[");
    for (size_t i = 0; i < h->status_count; i++) {
        const struct status_range *s = &h->statuses[i];
        out_format(o, s->first == s->last ? "%s%d" : "%s\"%d-%d\"", i > 0 ? ", " : "", s->first, s->last);
    }
    out_format(o, "]");
}

static const char *check_url_path(struct view v)
{
    return v.len > 0 && v.at[0] == '/' && memchr(v.at, ' ', v.len) == NULL ? NULL : "a path: /healthz";
}

/* ---- the tables */

static const struct choice balances[] = { { "round_robin", BALANCE_ROUND_ROBIN },
                                          { "least_in_flight", BALANCE_LEAST_IN_FLIGHT },
                                          { "hash", BALANCE_HASH },
                                          { NULL, 0 } };

static const struct setting health_rows[] = {
    { "path", SETTING_TEXT, AT(health.path), .unset = "none", .check = check_url_path,
      .help = "asked for by a check; none: no checks" },
    { "interval", SETTING_MILLISECONDS, AT(health.interval_ms), .least = 100, .help = "between two checks" },
    { "timeout", SETTING_MILLISECONDS, AT(health.timeout_ms), .least = 10, .help = "a later answer is none" },
    { "rise", SETTING_INT, AT(health.rise), .least = 1, .most = 100, .help = "good checks in a row until it is well" },
    { "fall", SETTING_INT, AT(health.fall), .least = 1, .most = 100, .help = "bad checks in a row until it is ill" },
    { "status", SETTING_OWN, AT(health.statuses), .read = statuses_read, .write = statuses_write,
      .help = "of a good answer: 200, \"200-299\", or a list of these" },
    { "text", SETTING_TEXT, AT(health.text), .unset = "none", .check = check_not_empty,
      .help = "must stand in a good answer" },
    { "host", SETTING_TEXT, AT(health.host), .unset = "auto", .check = check_authority, .help = "Host of a check" },
};
static const struct schema health_schema = { SCHEMA_ROWS(health_rows), "path", NULL };

static const struct setting breaker_rows[] = {
    { "failures", SETTING_INT, AT(breaker.failures), .unset = "auto", .most = 1000,
      .help = "in a row that open it; 0: it stays closed; auto: 5 where there are several servers, else 0" },
    { "open", SETTING_MILLISECONDS, AT(breaker.open_ms), .least = 100,
      .help = "for so long a server is left alone, then tried with single requests" },
    { "probes", SETTING_INT, AT(breaker.probes), .least = 1, .most = 100, .help = "that must succeed to close it" },
    { "on_5xx", SETTING_FLAG, AT(breaker.on_5xx), .help = "502, 503 and 504 are failures too" },
};
static const struct schema breaker_schema = { SCHEMA_ROWS(breaker_rows), NULL, NULL };

static const struct setting retry_rows[] = {
    { "attempts", SETTING_INT, AT(retries.attempts), .most = 10, .help = "on other servers, safe methods only" },
    { "budget", SETTING_PERCENT, AT(retries.budget_percent), .most = 100, .help = "of the requests" },
    { "on_5xx", SETTING_FLAG, AT(retries.on_5xx), .help = "502, 503 and 504 are tried elsewhere too" },
    { "hedge", SETTING_FLAG, AT(retries.hedge),
      .help = "a safe request without an answer after its route's p95 is sent to a second server" },
};
static const struct schema retries_schema = { SCHEMA_ROWS(retry_rows), NULL, NULL };

static const struct setting tls_rows[] = {
    { "ca", SETTING_TEXT, AT(tls.ca), .unset = "system", .check = check_path, .path = true,
      .help = "a file of CA certificates" },
    { "certificate", SETTING_TEXT, AT(tls.certificate), .unset = "none", .check = check_path, .path = true,
      .help = "weir's own, a file" },
    { "key", SETTING_TEXT, AT(tls.key), .unset = "none", .check = check_path, .path = true,
      .help = "its private key, a file" },
    { "name", SETTING_TEXT, AT(tls.name), .unset = "auto", .check = check_authority,
      .help = "asked for by SNI and checked; auto: the URL's host" },
    { "verify", SETTING_FLAG, AT(tls.verify), .help = "false: anybody may answer; for tests only" },
};
static const struct schema tls_schema = { SCHEMA_ROWS(tls_rows), NULL, NULL };

static const struct setting origin_rows[] = {
    { "servers", SETTING_OWN, AT(servers), .read = servers_read, .write = servers_write,
      .help = "URLs, or {url, weight, backup, admin}" },
    { "balance", SETTING_CHOICE, AT(balance), .choices = balances, .help = "round_robin, least_in_flight or hash" },
    { "host", SETTING_OWN, AT(host), .read = host_read, .write = host_write,
      .help =
          "what Host says: keep the client's, origin: the server's name, a name; auto: a server by name hears its own" },
    { "connect_timeout", SETTING_MILLISECONDS, AT(connect_ms), .least = 1, .help = "for a connection" },
    { "first_byte_timeout", SETTING_MILLISECONDS, AT(first_byte_ms), .least = 1,
      .help = "from the request to a complete head" },
    { "between_bytes_timeout", SETTING_MILLISECONDS, AT(between_bytes_ms), .least = 1, .help = "without progress" },
    { "total_timeout", SETTING_MILLISECONDS, AT(total_ms), .help = "for the whole response; 0s: no limit" },
    { "queue_timeout", SETTING_MILLISECONDS, AT(queue_ms), .help = "for a place, or a free connection" },
    { "idle_timeout", SETTING_MILLISECONDS, AT(idle_ms), .least = 1000, .help = "of a connection kept for reuse" },
    { "connections", SETTING_INT, AT(connections), .least = 1, .most = ORIGIN_CONNECTIONS_MAX,
      .help = "to each server, from each worker" },
    { "in_flight", SETTING_INT, AT(in_flight), .unset = "none", .least = 1,
      .help = "fetches under way at once, all workers together; none: no limit" },
    { "queue", SETTING_INT, AT(queue), .least = 1, .most = ORIGIN_QUEUE_MAX,
      .help = "fetches that wait for a place or a connection" },
    { "health", SETTING_GROUP, 0, .group = &health_schema, .help = "active checks" },
    { "breaker", SETTING_GROUP, 0, .group = &breaker_schema, .help = "passive checks, for each server" },
    { "slow_start", SETTING_MILLISECONDS, AT(slow_start_ms), .help = "to its whole share after it became well" },
    { "retries", SETTING_GROUP, 0, .group = &retries_schema, .help = "before the first byte went to the client" },
    { "tls", SETTING_GROUP, 0, .group = &tls_schema, .help = "for https" },
    { "forward_purges", SETTING_FLAG, AT(forward_purges), .help = "purges are handed on to it" },
    { "purge_token", SETTING_VIEW, AT(purge_token), .unset = "none", .secret = true, .check = check_secret,
      .help = "for purges handed on: a text, or {file: PATH}" },
};
const struct schema origin_schema = { SCHEMA_ROWS(origin_rows), "servers", NULL };

void origin_settings_defaults(struct origin_settings *out)
{
    *out = (struct origin_settings){
        .balance = BALANCE_ROUND_ROBIN,
        .host = ORIGIN_HOST_AUTO,
        .connect_ms = 3 * 1000,
        .first_byte_ms = 30 * 1000,
        .between_bytes_ms = 30 * 1000,
        .queue_ms = 10 * 1000,
        .idle_ms = 50 * 1000, /* below the keep-alive time of common servers: 60 s and 75 s */
        .connections = ORIGIN_CONNECTIONS_MAX,
        .in_flight = -1,
        .queue = ORIGIN_QUEUE_MAX,
        .health = { .interval_ms = 5 * 1000,
                    .timeout_ms = 2 * 1000,
                    .rise = 2,
                    .fall = 3,
                    .statuses = { { 200, 299 } },
                    .status_count = 1 },
        .breaker = { .failures = -1, .open_ms = 10 * 1000, .probes = 2, .on_5xx = true },
        .slow_start_ms = 10 * 1000,
        .retries = { .attempts = 1, .budget_percent = 10, .on_5xx = false },
        .tls = { .verify = true },
    };
}
