/* The outermost settings. */
#include "proxy/config_tables.h"
#include "proxy/dns.h"

#include <stdlib.h>

enum { MIB = 1 << 20, CIDRS_MAX = 1024, TOKENS_MAX = 64, NAME_SERVERS_MAX = 16 };

#define AT(member) offsetof(struct config_file, member)

/* ---- listen: "127.0.0.1:8080", a list of such, or {address: ..., proxy_protocol: required} */

static const struct choice proxy_protocols[] = { { "off", PROXY_PROTOCOL_OFF },
                                                 { "required", PROXY_PROTOCOL_REQUIRED },
                                                 { NULL, 0 } };

static const struct setting listener_rows[] = {
    { "address", SETTING_TEXT, offsetof(struct listen_settings, address), .check = check_address_port,
      .help = "where to serve" },
    { "proxy_protocol", SETTING_CHOICE, offsetof(struct listen_settings, proxy_protocol), .choices = proxy_protocols,
      .help = "required: each connection begins with a PROXY protocol header" },
};
static const struct schema listener_schema = { SCHEMA_ROWS(listener_rows), "address", NULL };

static void listen_read(struct config_reader *r, const struct node *n, void *to)
{
    struct settings *s = HOLDER_OF(to, struct settings, listen);
    const struct node *real = node_of(n);
    bool is_list = real->kind == NODE_LIST;
    size_t count = is_list ? real->count : 1, at = 0;
    struct listen_settings *all = reader_alloc(r, (count + 1) * sizeof *all);
    if (all == NULL) return;
    if (count == 0 || count > SETTINGS_LISTEN_MAX || node_is_empty(n)) {
        report_at(r->report, n->place, "listen: %zu addresses; it takes 1 to %d", node_is_empty(n) ? 0 : count,
                  SETTINGS_LISTEN_MAX);
        return;
    }
    if (!is_list) schema_read(r, &listener_schema, n, &all[at++]);
    for (const struct node *m = is_list ? real->first : NULL; m != NULL; m = m->next) {
        schema_read(r, &listener_schema, m, &all[at]);
        for (size_t i = 0; i < at && all[at].address != NULL; i++)
            if (all[i].address != NULL && strcmp(all[i].address, all[at].address) == 0)
                report_at(r->report, m->place, "listen: %.80s is here twice; keep one", all[at].address);
        at++;
    }
    s->listen = all;
    s->listen_count = count;
}

static void listen_write(struct text_out *o, const void *from)
{
    const struct settings *s = HOLDER_OF(from, const struct settings, listen);
    out_format(o, "[");
    for (size_t i = 0; i < s->listen_count; i++) {
        bool plain = s->listen[i].proxy_protocol == PROXY_PROTOCOL_OFF;
        out_format(o, "%s%s", i > 0 ? ", " : "", plain ? "" : "{address: ");
        out_text(o, view_of_str(s->listen[i].address));
        if (!plain) out_format(o, ", proxy_protocol: required}");
    }
    out_format(o, "]");
}

/* ---- blocks of addresses */

static void cidrs_read(struct config_reader *r, const struct node *n, void *to)
{
    struct setting row = { .key = n->key != NULL ? n->key->text.at : "addresses", .most = CIDRS_MAX };
    struct views texts;
    row.check = check_cidr;
    if (!reader_views(r, &row, n, &texts)) return;
    struct cidr *blocks = reader_alloc(r, (texts.count + 1) * sizeof *blocks);
    if (blocks == NULL) return;
    for (size_t i = 0; i < texts.count; i++)
        if (!cidr_parse(texts.at[i], &blocks[i])) return; /* it was checked */
    struct cidrs all = { blocks, texts.count };
    memcpy(to, &all, sizeof all);
}

static void cidrs_write(struct text_out *o, const void *from)
{
    struct cidrs all;
    char text[CIDR_TEXT_MAX];
    memcpy(&all, from, sizeof all);
    out_format(o, "[");
    for (size_t i = 0; i < all.count; i++) {
        cidr_format(&all.at[i], text, sizeof text);
        out_format(o, "%s\"%s\"", i > 0 ? ", " : "", text);
    }
    out_format(o, "]");
}

/* ---- the tables */

static const struct setting admin_rows[] = {
    { "address", SETTING_TEXT, AT(settings.admin_address), .check = check_address_port, .fixed = true,
      .help = "admin API, metrics, dashboard; an address that is not loopback needs a token" },
    { "token", SETTING_VIEW, AT(admin_token), .unset = "none", .secret = true, .check = check_secret,
      .help = "a text, or {file: PATH}; also from WEIR_ADMIN_TOKEN or --admin-token-file" },
    { "tokens", SETTING_VIEWS, AT(settings.admin_tokens), .unset = "none", .secret = true, .check = check_secret,
      .most = TOKENS_MAX, .help = "where there are several" },
};
static const struct schema admin_schema = { SCHEMA_ROWS(admin_rows), NULL, NULL };

static const struct setting purge_rows[] = {
    { "allow", SETTING_OWN, AT(settings.purge_allow), .read = cidrs_read, .write = cidrs_write,
      .help = "who may PURGE on the listeners without a token" },
};
static const struct schema purge_schema = { SCHEMA_ROWS(purge_rows), NULL, NULL };

static const struct setting store_rows[] = {
    { "path", SETTING_TEXT, AT(settings.store_path), .unset = "auto", .check = check_path, .path = true, .fixed = true,
      .help = "a directory; auto: $XDG_CACHE_HOME/weir, else ~/.cache/weir" },
    { "size", SETTING_BYTES, AT(settings.store_bytes), .least = 4 * MIB, .fixed = true,
      .help = "bytes on disk, never exceeded" },
    { "hot_keys", SETTING_MILLISECONDS, AT(settings.hot_keys_ms), .least = 0,
      .help = "how often it is noted what is hot in memory, so that a restart brings it back; 0s: never" },
};
static const struct schema store_schema = { SCHEMA_ROWS(store_rows), NULL, NULL };

static const struct setting limit_rows[] = {
    { "idle_timeout", SETTING_MILLISECONDS, AT(settings.limits.idle_ms), .least = 1000, .fixed = true,
      .help = "of a connection without a request" },
    { "head_timeout", SETTING_MILLISECONDS, AT(settings.limits.head_ms), .least = 1000, .fixed = true,
      .help = "from a request's first byte to the end of its head" },
    { "stall_timeout", SETTING_MILLISECONDS, AT(settings.limits.content_stall_ms), .least = 1000, .fixed = true,
      .help = "of a client that neither sends nor reads" },
    { "connections", SETTING_INT, AT(settings.limits.connections_max), .least = 1, .most = 1000 * 1000, .fixed = true,
      .help = "per worker; more wait in the backlog" },
    { "tunnels", SETTING_INT, AT(settings.tunnels_max), .least = 0, .most = 1000 * 1000,
      .help = "per worker: connections that have switched protocols; one more is refused with 503" },
};
static const struct schema limits_schema = { SCHEMA_ROWS(limit_rows), NULL, NULL };

static const struct setting dns_rows[] = {
    { "servers", SETTING_VIEWS, AT(settings.dns.servers), .unset = "system", .check = check_name_server,
      .most = NAME_SERVERS_MAX, .help = "ADDR or ADDR:PORT of name servers; system: those of /etc/resolv.conf" },
    { "timeout", SETTING_MILLISECONDS, AT(settings.dns.timeout_ms), .least = 50, .most = 60 * 1000,
      .help = "for an answer; the second try waits twice as long" },
    { "tries", SETTING_INT, AT(settings.dns.tries), .least = 1, .most = 10, .help = "of each name server" },
    { "ttl_min", SETTING_SECONDS, AT(settings.dns.ttl_least_s), .least = 1,
      .help = "a shorter time to live is as long" },
    { "ttl_max", SETTING_SECONDS, AT(settings.dns.ttl_most_s), .least = 1,
      .help = "a longer time to live is as short" },
};

static const char *dns_contradicts(const void *base)
{
    const struct dns_settings *d = &((const struct config_file *)base)->settings.dns;
    return d->ttl_least_s > d->ttl_most_s ? "ttl_min is longer than ttl_max; it takes ttl_min to be the shorter" : NULL;
}

static const struct schema dns_schema = { SCHEMA_ROWS(dns_rows), NULL, dns_contradicts };

static const struct setting top_rows[] = {
    { "listen", SETTING_OWN, AT(settings.listen), .read = listen_read, .write = listen_write, .fixed = true,
      .help = "where to serve" },
    { "admin", SETTING_GROUP, 0, .group = &admin_schema, .help = "the admin API" },
    { "origin", SETTING_NODE, AT(origin), .example = "http://127.0.0.1:3000",
      .help = "the short form: where every miss goes" },
    { "origins", SETTING_NODE, AT(origins), .example = "{api: {servers: [\"http://127.0.0.1:3000\"]}}",
      .help = "servers, health, time-outs, by name" },
    { "routes", SETTING_NODE, AT(routes), .example = "[{match: \"api.example.com/v1/\", origin: api}]",
      .help = "what happens to which requests" },
    { "cache", SETTING_GROUP, AT(cache), .group = &cache_schema, .help = "for every route; a route may say otherwise" },
    { "purge", SETTING_GROUP, 0, .group = &purge_schema, .help = "who may purge" },
    { "trusted_proxies", SETTING_OWN, AT(settings.trusted_proxies), .read = cidrs_read, .write = cidrs_write,
      .help = "whose Forwarded, X-Forwarded-* and PROXY headers are believed" },
    { "access_log", SETTING_TEXT, AT(settings.access_log_path), .unset = "none", .check = check_path, .path = true,
      .fixed = true,
      .help = "a file that gets a line for each request; opened again with each reload; -: standard output" },
    { "store", SETTING_GROUP, 0, .group = &store_schema, .help = "the tier on disk" },
    { "memory", SETTING_BYTES, AT(settings.memory_bytes), .least = 4 * MIB, .fixed = true,
      .help = "bytes of cached responses in memory, never exceeded" },
    { "workers", SETTING_INT, AT(settings.workers), .unset = "auto", .least = 1, .most = SETTINGS_WORKERS_MAX,
      .fixed = true, .help = "event loops; auto: one for each CPU" },
    { "drain_timeout", SETTING_MILLISECONDS, AT(settings.drain_ms),
      .help = "for what is in flight when weir is told to end" },
    { "limits", SETTING_GROUP, 0, .group = &limits_schema, .help = "of connections" },
    { "dns", SETTING_GROUP, 0, .group = &dns_schema, .help = "where the names of origin servers are asked for" },
};
const struct schema config_schema = { SCHEMA_ROWS(top_rows), NULL, NULL };

void config_file_defaults(struct config_file *out)
{
    static const struct listen_settings listen[] = { { .address = "127.0.0.1:8080" } };
    static const struct cidr loopback[] = {
        { { [10] = 0xff, [11] = 0xff, [12] = 127 }, 104 }, /* 127.0.0.0/8 */
        { { [15] = 1 }, 128 },                             /* ::1 */
    };
    *out = (struct config_file){
        .settings = {
            .listen = listen,
            .listen_count = 1,
            .admin_address = "127.0.0.1:8081",
            .purge_allow = { loopback, 2 },
            .store_bytes = (int64_t)4 << 30,
            .memory_bytes = 256 * MIB,
            .hot_keys_ms = 5 * 60 * 1000,
            .workers = -1,
            .drain_ms = 30 * 1000,
            .tunnels_max = 1000,
            .limits = { .idle_ms = 60 * 1000,
                        .head_ms = 15 * 1000,
                        .content_stall_ms = 60 * 1000,
                        .connections_max = 20 * 1000 },
            .dns = { .timeout_ms = 2 * 1000, .tries = 2, .ttl_least_s = 1, .ttl_most_s = 300 },
        },
    };
    policy_defaults(&out->cache);
}
