#include "proxy/admin_origins.h"

#include "proxy/origin_address.h"
#include "proxy/origin_state.h"

#include <string.h>

enum { ADDRESSES_TEXT = 2048 };

static long long count_of(const _Atomic uint64_t *n)
{
    return (long long)atomic_load_explicit(n, memory_order_relaxed);
}

/* ---- JSON */

/* Of a server that has a name: what it stands for, in no particular order, and why nobody knows. */
static void add_addresses(json_t *server, struct resolver *r, const struct origin_server *s)
{
    struct origin_address address;
    char list[ADDRESSES_TEXT], first[RESOLVER_ADDRESS_TEXT], *rest = NULL;
    if (r == NULL || s->unix_path != NULL || !origin_address_of(s->base_url, NULL, &address) || !address.is_name)
        return;
    struct resolved *name = resolver_join(r, address.host);
    if (name == NULL) return;
    json_t *addresses = json_array();
    const char *why = resolved_why(name);
    (void)resolved_list(name, 0, INT64_MAX, list, sizeof list, first); /* empty when none is known */
    for (char *one = strtok_r(list, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest))
        (void)json_array_append_new(addresses, json_string(one));
    (void)json_object_set_new(server, "addresses", addresses);
    (void)json_object_set_new(server, "not_resolved", why != NULL ? json_string(why) : json_null());
    resolver_leave(r, &name);
}

static json_t *server_json(const struct server_state *s, struct resolver *r, int64_t now_ms)
{
    json_t *json =
        json_pack("{s:s, s:s, s:b, s:i, s:I, s:I, s:I}", "url", s->settings->url, "state", server_state_name(s, now_ms),
                  "backup", (int)s->settings->backup, "weight", s->settings->weight, "in_flight",
                  (json_int_t)atomic_load_explicit(&s->in_flight, memory_order_relaxed), "requests",
                  (json_int_t)count_of(&s->requests), "failures", (json_int_t)count_of(&s->failures));
    if (json != NULL) add_addresses(json, r, &s->settings->server);
    return json;
}

static json_t *origin_json(struct origin_state *o, struct resolver *r, int64_t now_ms)
{
    json_t *servers = json_array();
    for (size_t i = 0; i < o->server_count; i++)
        (void)json_array_append_new(servers, server_json(&o->servers[i], r, now_ms));
    struct gate_counts gate = origin_gate_counts(&o->gate);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "places_taken", (json_int_t)gate.taken,
                     "waiting", (json_int_t)gate.waiting, "queue_full", (json_int_t)gate.refused, "retries",
                     (json_int_t)count_of(&o->retries), "retries_refused", (json_int_t)count_of(&o->retries_refused),
                     "all_down", (json_int_t)count_of(&o->all_down), "hedges", (json_int_t)count_of(&o->hedges),
                     "hedges_refused", (json_int_t)count_of(&o->hedges_refused), "hedges_won",
                     (json_int_t)count_of(&o->hedges_won), "servers", servers);
}

json_t *origins_json(const struct site *s, struct resolver *r, int64_t now_ms)
{
    json_t *all = json_object();
    for (size_t i = 0; all != NULL && i < s->origin_count; i++)
        (void)json_object_set_new(all, s->origins[i]->name, origin_json(s->origins[i]->state, r, now_ms));
    return all;
}

/* ---- Prometheus */

static int is_up(const struct server_state *s, int64_t now_ms)
{
    return strcmp(server_state_name(s, now_ms), "well") == 0;
}

static long long server_value(const struct server_state *s, size_t row, int64_t now_ms)
{
    switch (row) {
    case 0: return is_up(s, now_ms);
    case 1: return (long long)atomic_load_explicit(&s->in_flight, memory_order_relaxed);
    case 2: return count_of(&s->requests);
    default: return count_of(&s->failures);
    }
}

static long long origin_value(struct origin_state *o, size_t row)
{
    struct gate_counts gate = origin_gate_counts(&o->gate);
    switch (row) {
    case 0: return count_of(&o->retries);
    case 1: return count_of(&o->retries_refused);
    case 2: return count_of(&o->all_down);
    case 3: return count_of(&o->hedges);
    case 4: return count_of(&o->hedges_refused);
    case 5: return count_of(&o->hedges_won);
    case 6: return (long long)gate.waiting;
    default: return (long long)gate.refused;
    }
}

static const struct {
    const char *name, *type, *help;
} server_rows[] = {
    { "origin_server_up", "gauge", "1 while a server is well" },
    { "origin_server_in_flight", "gauge", "Requests under way at a server" },
    { "origin_server_requests_total", "counter", "Requests sent to a server" },
    { "origin_server_failures_total", "counter", "Requests that a server failed" },
}, origin_rows[] = {
    { "origin_retries_total", "counter", "Requests sent again, to another server" },
    { "origin_retries_refused_total", "counter", "Requests not sent again because the budget was spent" },
    { "origin_all_down_total", "counter", "Requests that found every server down" },
    { "origin_hedges_total", "counter", "Second requests sent while the first waited for its answer" },
    { "origin_hedges_refused_total", "counter", "Second requests not sent because the budget was spent" },
    { "origin_hedges_won_total", "counter", "Second requests that were answered first" },
    { "origin_waiting", "gauge", "Fetches that wait for a place" },
    { "origin_queue_full_total", "counter", "Fetches refused because too many waited" },
};

/* A label's value: backslash, quote and line feed are escaped. */
static void put_label(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') fputc('\\', to);
        if (*value == '\n')
            fputs("\\n", to);
        else
            fputc(*value, to);
    }
    fputc('"', to);
}

static void put_servers(const struct origin_state *o, size_t row, int64_t now_ms, FILE *to)
{
    for (size_t i = 0; i < o->server_count; i++) {
        fprintf(to, "weir_%s{", server_rows[row].name);
        put_label(to, "origin", o->settings->name);
        fputc(',', to);
        put_label(to, "server", o->servers[i].settings->url);
        fprintf(to, "} %lld\n", server_value(&o->servers[i], row, now_ms));
    }
}

static void put_origin(struct origin_state *o, size_t row, FILE *to)
{
    fprintf(to, "weir_%s{", origin_rows[row].name);
    put_label(to, "origin", o->settings->name);
    fprintf(to, "} %lld\n", origin_value(o, row));
}

static void put_head(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP weir_%s %s.\n# TYPE weir_%s %s\n", name, help, name, type);
}

void origins_prometheus(const struct site *s, int64_t now_ms, FILE *to)
{
    for (size_t row = 0; row < sizeof server_rows / sizeof *server_rows; row++) {
        put_head(to, server_rows[row].name, server_rows[row].type, server_rows[row].help);
        for (size_t i = 0; i < s->origin_count; i++) put_servers(s->origins[i]->state, row, now_ms, to);
    }
    for (size_t row = 0; row < sizeof origin_rows / sizeof *origin_rows; row++) {
        put_head(to, origin_rows[row].name, origin_rows[row].type, origin_rows[row].help);
        for (size_t i = 0; i < s->origin_count; i++) put_origin(s->origins[i]->state, row, to);
    }
}
