#include "proxy/config.h"

#include "proxy/config_tables.h"
#include "proxy/first_byte.h"
#include "proxy/origin_state.h"
#include "proxy/route_protection.h"
#include "proxy/route_table.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOKEN_FILE_MAX = 4096 };

/* What loading works on. */
struct loading {
    struct site *site;
    const struct options *options;
    struct config_reader reader;
    struct config_file *file;
    struct place listen_place, admin_place; /* of listen, and of admin.address */
    struct origin_settings *own_origin;     /* of `origin:` or --origin; NULL: none */
};

static struct config_report *report_of(struct loading *l)
{
    return l->reader.report;
}

static struct place command_line(void)
{
    return (struct place){ .file = "weir" };
}

/* ---- settings: the command line wins */

static void take_listen(struct loading *l)
{
    const struct options *o = l->options;
    struct listen_settings *all = reader_alloc(&l->reader, (o->listen_count + 1) * sizeof *all);
    if (o->listen_count == 0 || all == NULL) return;
    for (size_t i = 0; i < o->listen_count; i++) all[i].address = o->listen[i];
    l->file->settings.listen = all;
    l->file->settings.listen_count = o->listen_count;
}

static void take_store_path(struct loading *l)
{
    struct settings *s = &l->file->settings;
    if (l->options->store_path != NULL) s->store_path = l->options->store_path;
    if (s->store_path != NULL) return;
    char *path = options_default_store();
    s->store_path = path != NULL ? arena_str(l->reader.arena, path) : NULL;
    free(path);
    if (s->store_path == NULL)
        report_at(report_of(l), command_line(),
                  "no place for the store: neither XDG_CACHE_HOME nor HOME is set; --store DIR or store.path");
}

static int count_cpus(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus > SETTINGS_WORKERS_MAX ? SETTINGS_WORKERS_MAX : (int)cpus;
}

static void take_options(struct loading *l)
{
    const struct options *o = l->options;
    struct settings *s = &l->file->settings;
    take_listen(l);
    take_store_path(l);
    if (o->admin != NULL) s->admin_address = o->admin;
    if (o->store_bytes > 0) s->store_bytes = (int64_t)o->store_bytes;
    if (o->memory_bytes > 0) s->memory_bytes = (int64_t)o->memory_bytes;
    if (o->workers > 0) s->workers = o->workers;
    if (s->workers < 0) s->workers = count_cpus();
}

/* ---- the admin's tokens */

static struct view token_of_options(struct loading *l)
{
    const char *path = l->options->admin_token_file, *environment = getenv("WEIR_ADMIN_TOKEN");
    if (path == NULL)
        return environment != NULL && environment[0] != '\0' ? view_of_str(environment) : view_of(NULL, 0);
    struct view text = file_read(l->reader.arena, path, TOKEN_FILE_MAX);
    if (text.at == NULL)
        report_at(report_of(l), command_line(), "--admin-token-file '%.200s': %s", path, strerror(errno));
    text = view_first(text, view_find(text, 0, '\n'));
    if (text.len > 0 && text.at[text.len - 1] == '\r') text.len--;
    if (text.at != NULL && text.len == 0)
        report_at(report_of(l), command_line(), "--admin-token-file '%.200s': it is empty", path);
    else if (!field_value_is_valid(text) || view_trim_ows(text).len < text.len)
        report_at(report_of(l), command_line(),
                  "--admin-token-file '%.200s': its first line is no token, which has no control characters, and no "
                  "blanks around it",
                  path);
    return text;
}

/* A file named on the command line wins; the environment adds to what the configuration says. */
static void take_tokens(struct loading *l)
{
    struct settings *s = &l->file->settings;
    struct view given = token_of_options(l);
    bool file_wins = l->options->admin_token_file != NULL;
    struct view *all = reader_alloc(&l->reader, (s->admin_tokens.count + 2) * sizeof *all);
    size_t n = 0;
    if (all == NULL) return;
    for (size_t i = 0; !file_wins && i < s->admin_tokens.count; i++) all[n++] = s->admin_tokens.at[i];
    if (!file_wins && l->file->admin_token.len > 0) all[n++] = l->file->admin_token;
    if (given.len > 0) all[n++] = arena_copy(l->reader.arena, given);
    s->admin_tokens = n > 0 ? (struct views){ all, n } : (struct views){ NULL, 0 };
}

/* A loopback address needs no token; any other, or a name that only looks like one, is open to whoever can reach it. */
static bool is_loopback(const char *address_port)
{
    size_t digits = strspn(address_port, "0123456789.");
    return (strncmp(address_port, "127.", 4) == 0 && address_port[digits] == ':') ||
           strncmp(address_port, "[::1]:", 6) == 0 || strncmp(address_port, "localhost:", 10) == 0;
}

static void check_admin(struct loading *l)
{
    const struct settings *s = &l->file->settings;
    if (s->admin_tokens.count > 0 || is_loopback(s->admin_address)) return;
    report_at(report_of(l), l->options->admin != NULL ? command_line() : l->admin_place,
              "admin address %.80s is not a loopback address and no token is set; set admin.token, WEIR_ADMIN_TOKEN or "
              "--admin-token-file",
              s->admin_address);
}

/* ---- origins */

static struct origin_settings *origin_named(const struct site *s, const char *name)
{
    for (size_t i = 0; i < s->origin_count; i++)
        if (strcmp(s->origins[i]->name, name) == 0) return s->origins[i];
    return NULL;
}

/* A server that is reached by its address has no name of its own, so it hears the client's Host; one that has a name is
 * asked by that name, as its virtual hosts and certificate expect. */
static bool is_name(const char *authority)
{
    struct view host = view_of_str(authority);
    host = view_first(host, view_find(host, 0, ':'));
    bool is_address = host.len > 0 && host.at[0] == '[';
    bool has_letter = false;
    for (size_t i = 0; i < host.len; i++) has_letter = has_letter || !(is_digit(host.at[i]) || host.at[i] == '.');
    return host.len > 0 && has_letter && !is_address && !view_equal_nocase(host, VIEW("localhost"));
}

static const char *host_of(const struct origin_settings *o, const struct origin_server *server)
{
    switch (o->host) {
    case ORIGIN_HOST_KEEP: return NULL;
    case ORIGIN_HOST_ORIGIN: return server->authority;
    case ORIGIN_HOST_NAMED: return o->host_name;
    case ORIGIN_HOST_AUTO: break;
    }
    return is_name(server->authority) ? server->authority : NULL;
}

/* A weir behind this one; its answer may have to wait for one behind it. */
static bool finish_admin(struct loading *l, const struct origin_settings *o, struct origin_server_settings *one)
{
    enum { ANSWER_MS = 10 * 1000 };
    char why[256];
    if (one->admin_url == NULL) return true;
    if (!origin_server_parse(one->admin_url, &one->admin, why, sizeof why)) {
        report_at(report_of(l), o->place, "admin: %s", why);
        return false;
    }
    one->admin.connect_ms = o->connect_ms;
    one->admin.first_byte_ms = one->admin.total_ms = ANSWER_MS;
    one->admin.tls = &o->tls;
    return true;
}

static bool finish_server(struct loading *l, const struct origin_settings *o, struct origin_server_settings *one)
{
    char why[256];
    if (one->url == NULL) return false; /* told already */
    if (!origin_server_parse(one->url, &one->server, why, sizeof why)) {
        report_at(report_of(l), o->place, "%s", why);
        return false;
    }
    one->server.connect_ms = o->connect_ms;
    one->server.first_byte_ms = o->first_byte_ms;
    one->server.between_bytes_ms = o->between_bytes_ms;
    one->server.total_ms = o->total_ms;
    one->server.queue_ms = o->queue_ms;
    one->server.connections_max = (unsigned)o->connections;
    one->server.queue_max = (size_t)o->queue;
    one->server.idle_ms = o->idle_ms;
    one->server.tls = &o->tls;
    one->host = host_of(o, &one->server);
    if (finish_admin(l, o, one)) return true;
    origin_server_release(&one->server);
    return false;
}

/* Of what is in it only as much is looked at as tells one file from another: libcurl reads it when it connects. */
static void check_pem(struct loading *l, struct place p, const char *key, const char *path, const char *holds)
{
    enum { PEM_MAX = 16 << 20 };
    if (path == NULL) return;
    struct arena *a = arena_new();
    struct view text = a != NULL ? file_read(a, path, PEM_MAX) : view_of(NULL, 0);
    if (text.at == NULL)
        report_at(report_of(l), p, "%s: cannot read %.200s: %s", key, path, strerror(errno));
    else if (text.len == 0 || memmem(text.at, text.len, holds, strlen(holds)) == NULL)
        report_at(report_of(l), p, "%s: nothing in %.200s says %s; it takes a PEM file", key, path, holds);
    if (a != NULL) arena_free(a);
}

static void check_tls(struct loading *l, const struct origin_settings *o)
{
    check_pem(l, o->place, "tls.ca", o->tls.ca, "CERTIFICATE-----");
    check_pem(l, o->place, "tls.certificate", o->tls.certificate, "CERTIFICATE-----");
    check_pem(l, o->place, "tls.key", o->tls.key, "PRIVATE KEY-----");
    if ((o->tls.certificate == NULL) != (o->tls.key == NULL))
        report_at(report_of(l), o->place, "tls: a certificate and its key; give both or none");
}

static void check_purges(struct loading *l, const struct origin_settings *o)
{
    for (size_t i = 0; i < o->server_count; i++)
        if (o->servers[i].admin_url != NULL && !o->forward_purges)
            report_at(report_of(l), o->place,
                      "a server with admin hears of no purge; set forward_purges: true, or leave admin out");
}

/* From here on the site owns what its servers' URLs were parsed into. */
static bool keep_origin(struct loading *l, struct origin_settings *o)
{
    struct site *s = l->site;
    size_t parsed = 0;
    if (s->origin_count == SITE_ORIGINS_MAX) {
        report_at(report_of(l), o->place, "more than %d origins", SITE_ORIGINS_MAX);
        return false;
    }
    while (parsed < o->server_count && finish_server(l, o, &o->servers[parsed])) parsed++;
    bool whole = parsed == o->server_count;
    o->server_count = parsed;
    check_tls(l, o);
    check_purges(l, o);
    s->origins[s->origin_count++] = o;
    o->state = origin_state_new(o);
    if (o->state == NULL) report_at(report_of(l), o->place, "out of memory");
    return whole && o->state != NULL;
}

static struct origin_settings *origin_from_url(struct loading *l, const char *name, const char *url, struct place p)
{
    struct origin_settings *o = reader_alloc(&l->reader, sizeof *o);
    struct origin_server_settings *server = reader_alloc(&l->reader, sizeof *server);
    if (o == NULL || server == NULL) return NULL;
    origin_settings_defaults(o);
    *server = (struct origin_server_settings){ .url = url, .weight = 1 };
    o->name = name;
    o->place = p;
    o->servers = server;
    o->server_count = 1;
    return keep_origin(l, o) ? o : NULL;
}

static struct origin_settings *origin_from_node(struct loading *l, const struct node *n, const char *name)
{
    struct origin_settings *o = reader_alloc(&l->reader, sizeof *o);
    size_t before = report_of(l)->count;
    if (o == NULL) return NULL;
    origin_settings_defaults(o);
    o->name = name;
    o->place = n->place;
    schema_read(&l->reader, &origin_schema, n, o);
    if (node_of(n)->kind == NODE_LIST) report_at(report_of(l), n->place, "an origin is a URL, or a map with servers");
    if (o->server_count == 0 && report_of(l)->count == before)
        report_at(report_of(l), n->place, "origin %.80s has no servers; servers: [\"http://127.0.0.1:3000\"]", name);
    return keep_origin(l, o) ? o : NULL;
}

static void load_origins(struct loading *l)
{
    const struct node *n = l->file->origins;
    l->site->origins = reader_alloc(&l->reader, SITE_ORIGINS_MAX * sizeof(struct origin_settings *));
    if (n == NULL || l->site->origins == NULL || node_is_empty(n)) return;
    if (node_of(n)->kind != NODE_MAP) {
        report_at(report_of(l), n->place, "origins is %s; it takes a map: {api: {servers: [URL]}}", node_kind_name(n));
        return;
    }
    for (const struct node *m = node_of(n)->first; m != NULL; m = m->next) {
        const char *right = check_word(m->key->text);
        if (right != NULL)
            report_at(report_of(l), m->key->place, "\"%.80s\" is no name for an origin; it takes %s", m->key->text.at,
                      right);
        else
            (void)origin_from_node(l, m, m->key->text.at); /* told */
    }
}

static bool is_url(const char *text)
{
    return strstr(text, "://") != NULL || strncmp(text, "unix:", 5) == 0;
}

/* By its name, or by its URL: then it is an origin of its own, shared by all who name the same. */
static struct origin_settings *find_origin(struct loading *l, const char *text, struct place p)
{
    struct origin_settings *o = origin_named(l->site, text);
    const char *names[64];
    size_t n = 0;
    if (o != NULL) return o;
    if (is_url(text)) return origin_from_url(l, text, text, p);
    for (size_t i = 0; i < l->site->origin_count && n < 64; i++) names[n++] = l->site->origins[i]->name;
    const char *near = report_suggest(view_of_str(text), names, n);
    if (near != NULL)
        report_at(report_of(l), p, "there is no origin \"%.80s\"; did you mean \"%s\"?", text, near);
    else
        report_at(report_of(l), p, "there is no origin \"%.80s\"; a name among origins, or http://HOST[:PORT]", text);
    return NULL;
}

static void load_own_origin(struct loading *l)
{
    const struct node *n = l->file->origin;
    struct view text;
    if (l->options->origin != NULL) {
        l->own_origin = origin_named(l->site, l->options->origin);
        if (l->own_origin == NULL)
            l->own_origin =
                origin_from_url(l, "default", l->options->origin, (struct place){ .file = "weir: --origin" });
    } else if (n != NULL && node_of(n)->kind != NODE_TEXT) {
        l->own_origin = origin_from_node(l, n, "default");
    } else if (n != NULL && reader_text(&l->reader, n, "a URL, or the name of an origin", &text)) {
        l->own_origin =
            is_url(text.at) ? origin_from_url(l, "default", text.at, n->place) : find_origin(l, text.at, n->place);
    } else if (n == NULL && l->site->origin_count == 1) {
        l->own_origin = l->site->origins[0];
    }
}

/* ---- routes */

static void finish_policy(struct policy *p, bool credentials_are_ours)
{
    struct key_rules *k = &p->key;
    k->keep_only = k->keep.at != NULL;
    k->in_use = k->host.len > 0 || k->sort_query || k->keep_only || k->drop.count > 0 || k->fields.count > 0 ||
                k->cookies.count > 0;
    p->authorization_is_ours = credentials_are_ours;
}

static void set_origin(struct loading *l, struct route *r, const struct origin_settings *o)
{
    if (o->retries.hedge && o->server_count > 1) r->first_bytes = reader_alloc(&l->reader, sizeof *r->first_bytes);
    r->kind = ROUTE_PROXY;
    r->origin = o;
    r->server = o->servers[0].server;
    r->host = o->servers[0].host;
}

static void finish_kind(struct loading *l, struct route *r)
{
    bool redirects = r->redirect.to != NULL, answers = r->answer.status >= 0;
    if (redirects + answers + (r->origin_name != NULL) > 1)
        report_at(report_of(l), r->place, "a route has an origin, a redirect or an answer; keep one");
    if ((redirects || answers) && r->upgrade.count > 0)
        report_at(report_of(l), r->place,
                  "upgrade: here is no origin that could switch; leave it out, or name an origin");
    if (redirects || answers) {
        r->kind = redirects ? ROUTE_REDIRECT : ROUTE_ANSWER;
        return;
    }
    size_t before = report_of(l)->count;
    struct origin_settings *o =
        r->origin_name != NULL ? find_origin(l, r->origin_name, r->origin_place) : l->own_origin;
    if (o != NULL && o->server_count > 0)
        set_origin(l, r, o);
    else if (o == NULL && r->origin_name == NULL && report_of(l)->count == before && l->file->origin == NULL)
        report_at(report_of(l), r->place, "a route without an origin; origin: NAME, redirect: or answer:");
}

static void add_to_table(struct loading *l, struct route *r)
{
    static const struct route_pattern everything = { .text = "everything", .path = { "/", 1 } };
    const struct route_pattern *clash = NULL;
    size_t count = r->pattern_count > 0 ? r->pattern_count : 1;
    const struct route_pattern *patterns = r->pattern_count > 0 ? r->patterns : &everything;
    for (size_t i = 0; i < count; i++) {
        struct place p = patterns == &everything ? r->place : patterns[i].place;
        switch (route_table_add(l->site->table, &patterns[i], r, &clash)) {
        case ROUTE_ADDED: break;
        case ROUTE_NO_MEMORY: report_at(report_of(l), p, "out of memory"); return;
        case ROUTE_CLASH:
            report_at(report_of(l), p, "\"%.80s\" is matched by two routes; the other is \"%.80s\" in line %u",
                      patterns[i].text, clash->text, clash->place.line);
        }
    }
}

static void name_route(struct route *r)
{
    if (r->name == NULL) r->name = r->pattern_count > 0 ? r->patterns[0].text : "everything";
}

static void load_route(struct loading *l, const struct node *n)
{
    struct route *r = reader_alloc(&l->reader, sizeof *r);
    size_t before = report_of(l)->count;
    if (r == NULL) return;
    route_defaults(&l->file->cache, r);
    r->place = n->place;
    if (node_of(n)->kind != NODE_MAP) {
        report_at(report_of(l), n->place, "a route is a map: {match: HOST/PATH, origin: NAME}; this is %s",
                  node_kind_name(n));
        return;
    }
    schema_read(&l->reader, &route_schema, n, r);
    bool matches_nothing = r->patterns != NULL && r->pattern_count == 0;
    name_route(r);
    finish_policy(&r->policy, r->protection != NULL && !protection_rules(r->protection)->forward);
    finish_kind(l, r);
    l->site->has_protection = l->site->has_protection || r->protection != NULL;
    if (!matches_nothing && (report_of(l)->count == before || r->pattern_count > 0)) add_to_table(l, r);
    l->site->routes[l->site->route_count++] = r;
}

static void load_routes(struct loading *l)
{
    const struct node *n = l->file->routes;
    if (n == NULL || node_is_empty(n)) return;
    const struct node *list = node_of(n);
    if (list->kind != NODE_LIST || list->count > SITE_ROUTES_MAX) {
        report_at(report_of(l), n->place, "routes is %s; it takes a list of at most %d: - match: HOST/PATH",
                  node_kind_name(n), SITE_ROUTES_MAX);
        return;
    }
    l->site->routes = reader_alloc(&l->reader, (list->count + 1) * sizeof *l->site->routes);
    if (l->site->routes == NULL) return;
    for (const struct node *m = list->first; m != NULL; m = m->next) load_route(l, m);
}

/* What no route matches goes to the site's own origin, or there is nothing. */
static void load_unmatched(struct loading *l)
{
    struct route *r = l->site->unmatched;
    route_defaults(&l->file->cache, r);
    finish_policy(&r->policy, false);
    r->name = l->own_origin != NULL ? "default" : "none";
    r->kind = ROUTE_ANSWER;
    r->answer.status = 404;
    r->policy.store = l->own_origin != NULL && r->policy.store;
    if (l->own_origin != NULL && l->own_origin->server_count > 0) {
        r->answer.status = -1;
        set_origin(l, r, l->own_origin);
    } else if (l->site->route_count == 0 && report_is_clean(report_of(l))) {
        report_at(report_of(l),
                  (struct place){ .file = l->options->config_path != NULL ? l->options->config_path : "weir" },
                  "no origin; say where misses go: origin: http://127.0.0.1:3000, or origins and routes");
    }
}

/* ---- all together */

/* Whoever can connect could say to be anybody. */
static void check_proxied(struct loading *l)
{
    const struct settings *s = &l->file->settings;
    for (size_t i = 0; i < s->listen_count; i++) {
        if (s->listen[i].proxy_protocol == PROXY_PROTOCOL_OFF || s->trusted_proxies.count > 0) continue;
        report_at(report_of(l), l->listen_place,
                  "%.80s wants PROXY headers and nobody's are believed; say whose: trusted_proxies: [10.0.0.0/8]",
                  s->listen[i].address);
    }
}

static const struct node *node_member(const struct node *map, const char *name)
{
    if (map == NULL || node_of(map)->kind != NODE_MAP) return NULL;
    const struct node *m = node_of(map)->first;
    while (m != NULL && !view_equal(m->key->text, view_of_str(name))) m = m->next;
    return m;
}

static void read_file(struct loading *l)
{
    if (l->options->config_path == NULL) return;
    const struct node *root = config_read(l->options->config_path, l->reader.arena, l->reader.report);
    if (root == NULL) return;
    schema_read(&l->reader, &config_schema, root, l->file);
    const struct node *listen = node_member(root, "listen"), *admin = node_member(root, "admin"),
                      *address = node_member(admin, "address");
    if (address != NULL) l->admin_place = address->place;
    if (listen != NULL) l->listen_place = listen->place;
}

struct site *config_load(const struct options *o, struct config_report *report)
{
    struct site *s = site_new();
    *report = (struct config_report){ .count = 0 };
    struct loading l = { .site = s, .options = o };
    if (s != NULL) l.reader = (struct config_reader){ s->arena, report };
    l.file = s != NULL ? arena_alloc(s->arena, sizeof *l.file) : NULL;
    if (l.file == NULL) {
        report_at(report, command_line(), "out of memory");
        site_unref(&s);
        return NULL;
    }
    config_file_defaults(l.file);
    read_file(&l);
    take_options(&l);
    take_tokens(&l);
    load_origins(&l);
    if (s->origins != NULL) {
        load_own_origin(&l);
        load_routes(&l);
        load_unmatched(&l);
    }
    check_admin(&l);
    check_proxied(&l);
    s->file = l.file;
    s->settings = l.file->settings;
    report_sort(report);
    for (size_t i = 0; i < report->count; i++) report->places[i].file = NULL; /* it may go with the site */
    if (!report_is_clean(report)) site_unref(&s);
    return s;
}

struct site *config_of_origin(const char *url, char *why, size_t cap)
{
    struct config_report *report = malloc(sizeof *report);
    struct options o = { .origin = url, .store_path = "." };
    struct site *s = report != NULL ? config_load(&o, report) : NULL;
    if (s == NULL) snprintf(why, cap, "%s", report != NULL ? report->lines[0] : "out of memory");
    free(report);
    return s;
}
