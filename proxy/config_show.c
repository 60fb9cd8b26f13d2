/* What a configuration says, shown: its defaults, what was understood, what differs between two. */
#include "proxy/config.h"

#include "proxy/config_tables.h"

enum { SHOW_PATH_MAX = 300 };

/* ---- comparing */

struct comparing {
    config_differs differs;
    void *arg;
    size_t count;
};

static void on_difference(void *arg, const char *path, const struct setting *row, const char *a, const char *b)
{
    struct comparing *c = arg;
    c->count++;
    if (c->differs != NULL) c->differs(c->arg, path, row->fixed, a, b);
}

static const struct origin_settings *origin_like(const struct site *s, const struct origin_settings *o)
{
    for (size_t i = 0; i < s->origin_count; i++)
        if (strcmp(s->origins[i]->name, o->name) == 0) return s->origins[i];
    return NULL;
}

static const struct route *route_like(const struct site *s, const struct route *r)
{
    for (size_t i = 0; i < s->route_count; i++)
        if (strcmp(s->routes[i]->name, r->name) == 0) return s->routes[i];
    return NULL;
}

static const char *servers_text(const struct origin_settings *o, char *to, size_t cap)
{
    struct text_out out = text_out_in(to, cap);
    for (size_t i = 0; i < o->server_count; i++) out_format(&out, "%s%s", i > 0 ? " " : "", o->servers[i].url);
    return to;
}

static void compare_origins(const struct site *from, const struct site *to, struct comparing *c)
{
    char path[SHOW_PATH_MAX], text[512];
    for (size_t i = 0; i < from->origin_count; i++) {
        const struct origin_settings *a = from->origins[i], *b = origin_like(to, a);
        snprintf(path, sizeof path, "origins.%.200s", a->name);
        if (b != NULL)
            schema_compare(&origin_schema, a, b, path, on_difference, c);
        else
            c->differs(c->arg, path, false, servers_text(a, text, sizeof text), "");
    }
    for (size_t i = 0; i < to->origin_count; i++) {
        const struct origin_settings *b = to->origins[i];
        snprintf(path, sizeof path, "origins.%.200s", b->name);
        if (origin_like(from, b) == NULL) c->differs(c->arg, path, false, "", servers_text(b, text, sizeof text));
    }
}

static void compare_routes(const struct site *from, const struct site *to, struct comparing *c)
{
    char path[SHOW_PATH_MAX], text[512];
    for (size_t i = 0; i < from->route_count; i++) {
        const struct route *a = from->routes[i], *b = route_like(to, a);
        snprintf(path, sizeof path, "routes[%.200s]", a->name);
        if (b != NULL)
            schema_compare(&route_schema, a, b, path, on_difference, c);
        else
            c->differs(c->arg, path, false, route_target(a, text, sizeof text), "");
    }
    for (size_t i = 0; i < to->route_count; i++) {
        const struct route *b = to->routes[i];
        snprintf(path, sizeof path, "routes[%.200s]", b->name);
        if (route_like(from, b) == NULL) c->differs(c->arg, path, false, "", route_target(b, text, sizeof text));
    }
}

void config_compare(const struct site *from, const struct site *to, config_differs differs, void *arg)
{
    struct comparing c = { .differs = differs, .arg = arg };
    schema_compare(&config_schema, from->file, to->file, "", on_difference, &c);
    compare_origins(from, to, &c);
    compare_routes(from, to, &c);
}

/* ---- defaults */

void config_print_defaults(FILE *to)
{
    struct config_file file;
    struct route route;
    struct origin_settings origin;
    struct policy policy;
    config_file_defaults(&file);
    origin_settings_defaults(&origin);
    policy_defaults(&policy);
    route_defaults(&policy, &route);
    fprintf(to, "# Every setting of weir with its default.\n");
    schema_print(&config_schema, &file, 0, to);
    fprintf(to, "\n# Each of origins:, with the defaults of one that has a server:\n# origins:\n#   NAME:\n");
    schema_print_commented(&origin_schema, &origin, to);
    fprintf(to, "\n# Each of routes:, where cache: begins from the one above:\n# routes:\n#   -\n");
    schema_print_commented(&route_schema, &route, to);
}

/* ---- what was understood */

static void print_difference(void *arg, const char *path, const struct setting *row, const char *a, const char *b)
{
    FILE *to = arg;
    (void)a;
    if (strcmp(path, "servers") == 0 || strcmp(path, "match") == 0 || strcmp(path, "name") == 0 ||
        strcmp(path, "listen") == 0 || strcmp(path, "origin") == 0 || strncmp(path, "redirect", 8) == 0 ||
        strncmp(path, "answer", 6) == 0)
        return; /* shown already */
    (void)row;
    fprintf(to, "    %s: %s\n", path, b);
}

static void print_route(const struct config_file *file, const struct route *r, const char *what, FILE *to)
{
    char text[512];
    struct route plain;
    route_defaults(&file->cache, &plain);
    fprintf(to, "  %s -> %s", what, route_target(r, text, sizeof text));
    if (r->kind == ROUTE_PROXY) fprintf(to, " (%s)", servers_text(r->origin, text, sizeof text));
    fprintf(to, "\n");
    schema_compare(&route_schema, &plain, r, "", print_difference, to);
}

void config_print_summary(const struct site *s, FILE *to)
{
    struct config_file plain;
    struct origin_settings plain_origin;
    char text[SETTING_TEXT_MAX];
    config_file_defaults(&plain);
    origin_settings_defaults(&plain_origin);
    for (size_t i = 0; i < s->settings.listen_count; i++)
        fprintf(to, "listen http://%s%s\n", s->settings.listen[i].address,
                s->settings.listen[i].proxy_protocol == PROXY_PROTOCOL_REQUIRED ? " (PROXY protocol)" : "");
    fprintf(to, "admin http://%s, %zu tokens\n", s->settings.admin_address, s->settings.admin_tokens.count);
    fprintf(to, "not the default:\n");
    schema_compare(&config_schema, &plain, s->file, "", print_difference, to);
    fprintf(to, "origins: %zu\n", s->origin_count);
    for (size_t i = 0; i < s->origin_count; i++) {
        fprintf(to, "  %s: %s\n", s->origins[i]->name, servers_text(s->origins[i], text, sizeof text));
        schema_compare(&origin_schema, &plain_origin, s->origins[i], "", print_difference, to);
    }
    fprintf(to, "routes: %zu\n", s->route_count);
    for (size_t i = 0; i < s->route_count; i++) {
        const struct route *r = s->routes[i];
        struct text_out o = text_out_in(text, sizeof text);
        for (size_t j = 0; j < r->pattern_count; j++) out_format(&o, "%s%s", j > 0 ? " " : "", r->patterns[j].text);
        print_route(s->file, r, r->pattern_count > 0 ? text : "everything", to);
    }
    print_route(s->file, s->unmatched, "anything else", to);
}
