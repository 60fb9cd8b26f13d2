#include "proxy/admin_purge_order.h"

#include "proxy/admin_url.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { AUTHORITY_MAX = 512, SCHEMES = 2 };

/* ---- the order: what it owns */

struct purge_text {
    struct purge_text *next;
    char at[];
};

struct reading {
    struct purge_order *order;
    const struct site *site;
    json_t *json;
    char *why;
    size_t cap;
    char key[KEY_TEXT_MAX], url[KEY_TEXT_MAX], authority[AUTHORITY_MAX];
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reading *r, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, r->cap, format, args);
    va_end(args);
    return status;
}

static int no_memory(struct reading *r)
{
    return refuse(r, 503, "out of memory");
}

static int keep(struct reading *r, struct view text, struct view *to)
{
    struct purge_text *t = malloc(sizeof *t + text.len);
    if (t == NULL) return no_memory(r);
    memcpy(t->at, text.at, text.len);
    t->next = r->order->texts;
    r->order->texts = t;
    *to = view_of(t->at, text.len);
    return 0;
}

void purge_order_free(struct purge_order *o)
{
    for (struct purge_text *t = o->texts, *next; t != NULL; t = next) {
        next = t->next;
        free(t);
    }
    free(o->views);
    free(o->uri_ids);
    *o = (struct purge_order){ 0 };
}

/* ---- names, in the form in which keys have them */

static const char *const schemes[SCHEMES] = { "http", "https" };

static int take_url(struct reading *r, struct view url, const char *member, size_t i)
{
    struct purge_order *o = r->order;
    for (size_t s = 0; s < SCHEMES; s++) {
        struct view in_scheme;
        struct key key;
        if (!admin_url_in_scheme(url, schemes[s], r->url, sizeof r->url, &in_scheme) ||
            !site_key_of_uri(r->site, in_scheme, r->key, sizeof r->key, &key))
            return refuse(r, 400, "%s[%zu]: an absolute URL, as in \"http://example.com/path\"", member, i);
        size_t at = o->request.uri_count++;
        o->uri_ids[at] = store_id_of(key.hash, 0);
        int rc = keep(r, key_uri(&key), &o->uris[at]);
        if (rc != 0) return rc;
    }
    return 0;
}

/* Normalised as a whole: a scheme and an authority without escapes stay as they are. */
static int take_prefix(struct reading *r, struct view prefix, const char *member, size_t i)
{
    struct purge_order *o = r->order;
    for (size_t s = 0; s < SCHEMES; s++) {
        struct view in_scheme;
        int len = -1;
        if (admin_url_in_scheme(prefix, schemes[s], r->url, sizeof r->url, &in_scheme))
            len = path_normalise(in_scheme, r->key, sizeof r->key);
        if (len < 0)
            return refuse(r, 400,
                          "%s[%zu]: the beginning of absolute URLs, with the whole host, as in "
                          "\"http://example.com/path\"",
                          member, i);
        int rc = keep(r, view_of(r->key, (size_t)len), &o->prefixes[o->request.prefix_count++]);
        if (rc != 0) return rc;
    }
    return 0;
}

/* The default port of either scheme may have been written, and is not part of a key of that scheme. */
static int take_host(struct reading *r, struct view host, const char *member, size_t i)
{
    struct purge_order *o = r->order;
    struct view last = { NULL, 0 };
    if (!authority_is_valid(host) || host.len > AUTHORITY_MAX)
        return refuse(r, 400, "%s[%zu]: a host with its port, if it has one, as in \"example.com\"", member, i);
    for (size_t s = 0; s < SCHEMES; s++) {
        int len = authority_normalise(host, s == 1, r->authority, sizeof r->authority);
        if (len < 0) return refuse(r, 400, "%s[%zu]: too long", member, i);
        struct view normal = view_of(r->authority, (size_t)len);
        if (s > 0 && view_equal(normal, last)) continue;
        int rc = keep(r, normal, &o->hosts[o->request.host_count++]);
        if (rc != 0) return rc;
        last = o->hosts[o->request.host_count - 1];
    }
    return 0;
}

static int take_tag(struct reading *r, struct view tag, const char *member, size_t i)
{
    struct purge_order *o = r->order;
    if (tag.len == 0) return refuse(r, 400, "%s[%zu]: a tag is not empty", member, i);
    if (!field_value_is_valid(tag))
        return refuse(r, 400, "%s[%zu]: control characters, which no tag in a field can have", member, i);
    return keep(r, tag, &o->tags[o->request.tag_count++]);
}

/* ---- the members */

static const struct list_member {
    const char *name;
    int (*take)(struct reading *r, struct view text, const char *member, size_t i);
    size_t names; /* what one item may become */
    size_t views; /* offset in struct purge_order */
} lists[] = {
    { "urls", take_url, SCHEMES, offsetof(struct purge_order, uris) },
    { "prefixes", take_prefix, SCHEMES, offsetof(struct purge_order, prefixes) },
    { "hosts", take_host, SCHEMES, offsetof(struct purge_order, hosts) },
    { "tags", take_tag, 1, offsetof(struct purge_order, tags) },
};

static const struct flag_member {
    const char *name;
    size_t offset; /* in struct purge_request */
} flags[] = {
    { "all", offsetof(struct purge_request, all) },
    { "soft", offsetof(struct purge_request, soft) },
    { "dry_run", offsetof(struct purge_request, dry_run) },
};

enum { LISTS = sizeof lists / sizeof *lists, FLAGS = sizeof flags / sizeof *flags };

static const struct list_member *list_of_name(const char *name)
{
    for (size_t i = 0; i < LISTS; i++)
        if (strcmp(lists[i].name, name) == 0) return &lists[i];
    return NULL;
}

static const struct flag_member *flag_of_name(const char *name)
{
    for (size_t i = 0; i < FLAGS; i++)
        if (strcmp(flags[i].name, name) == 0) return &flags[i];
    return NULL;
}

static int check_members(struct reading *r)
{
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach(r->json, name, value)
    {
        const json_t *item;
        if (flag_of_name(name) != NULL) {
            if (!json_is_boolean(value)) return refuse(r, 400, "%s: true or false", name);
            continue;
        }
        if (list_of_name(name) == NULL)
            return refuse(r, 400, "unknown member \"%.64s\": there are urls, tags, prefixes, hosts, all, soft, dry_run",
                          name);
        if (!json_is_array(value)) return refuse(r, 400, "%s: a list of strings", name);
        json_array_foreach(value, i, item) if (!json_is_string(item)) return refuse(r, 400, "%s[%zu]: a string", name,
                                                                                    i);
    }
    return 0;
}

static struct view **views_of(struct purge_order *o, const struct list_member *list)
{
    return (struct view **)(void *)((char *)o + list->views);
}

/* Room for every name that the items may become. */
static int reserve(struct reading *r)
{
    struct purge_order *o = r->order;
    size_t names = 0, urls = 0;
    for (size_t i = 0; i < LISTS; i++) {
        size_t items = json_array_size(json_object_get(r->json, lists[i].name));
        if (i == 0) urls = items * lists[i].names;
        names += items * lists[i].names;
    }
    if (names == 0 && !o->request.all)
        return refuse(r, 400, "nothing to purge: name urls, tags, prefixes or hosts, or set all");
    if (names > PURGE_ITEMS_MAX)
        return refuse(r, 413, "at most %d tags, or half as many urls, prefixes and hosts, in one purge",
                      PURGE_ITEMS_MAX);
    o->views = calloc(names + 1, sizeof *o->views);
    o->uri_ids = calloc(urls + 1, sizeof *o->uri_ids);
    if (o->views == NULL || o->uri_ids == NULL) return no_memory(r);
    struct view *at = o->views;
    for (size_t i = 0; i < LISTS; i++) {
        *views_of(o, &lists[i]) = at;
        at += json_array_size(json_object_get(r->json, lists[i].name)) * lists[i].names;
    }
    return 0;
}

static int take_items(struct reading *r, const struct list_member *list)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(r->json, list->name), i, item)
    {
        struct view text = view_of(json_string_value(item), json_string_length(item));
        int rc = list->take(r, text, list->name, i);
        if (rc != 0) return rc;
    }
    return 0;
}

static int read_object(struct reading *r)
{
    struct purge_order *o = r->order;
    if (!json_is_object(r->json)) return refuse(r, 400, "a JSON object is needed, as in {\"tags\": [\"news\"]}");
    int rc = check_members(r);
    if (rc != 0) return rc;
    for (size_t i = 0; i < FLAGS; i++) {
        bool *flag = (bool *)(void *)((char *)&o->request + flags[i].offset);
        *flag = json_is_true(json_object_get(r->json, flags[i].name));
    }
    rc = reserve(r);
    for (size_t i = 0; rc == 0 && i < LISTS; i++) rc = take_items(r, &lists[i]);
    o->request.uris = o->uris;
    o->request.uri_ids = o->uri_ids;
    o->request.prefixes = o->prefixes;
    o->request.hosts = o->hosts;
    o->request.tags = o->tags;
    o->request.count = true;
    return rc;
}

int purge_order_read(struct view json, const struct site *site, struct purge_order *out, char *why, size_t cap)
{
    json_error_t error;
    struct reading *r = malloc(sizeof *r);
    *out = (struct purge_order){ 0 };
    if (r == NULL) {
        snprintf(why, cap, "out of memory");
        return 503;
    }
    r->order = out;
    r->site = site;
    r->why = why;
    r->cap = cap;
    json_t *root = json_loadb(json.len > 0 ? json.at : "", json.len, JSON_REJECT_DUPLICATES, &error);
    r->json = root;
    int rc =
        root != NULL ? read_object(r) : refuse(r, 400, "%s (line %d, column %d)", error.text, error.line, error.column);
    json_decref(root);
    free(r);
    if (rc != 0) purge_order_free(out);
    return rc;
}

/* ---- for the weir behind */

static json_t *renamed_url(const char *url, const char *host, const char *path_prefix)
{
    struct uri u;
    char *renamed;
    if (!uri_parse(view_of_str(url), &u)) return NULL;
    struct view authority = host != NULL ? view_of_str(host) : u.authority;
    const char *rest = u.authority.at + u.authority.len; /* path and query */
    int len = asprintf(&renamed, "%.*s://%.*s%s%s%s", (int)u.scheme.len, u.scheme.at, (int)authority.len, authority.at,
                       path_prefix, rest[0] == '/' ? "" : "/", rest);
    if (len < 0) return NULL;
    json_t *json = json_stringn(renamed, (size_t)len);
    free(renamed);
    return json;
}

static bool rename_items(json_t *list, const char *host, const char *path_prefix, bool are_urls)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        json_t *renamed = are_urls ? renamed_url(text, host, path_prefix) : json_string(host != NULL ? host : text);
        if (json_array_set_new(list, i, renamed) != 0) return false;
    }
    return true;
}

char *purge_order_renamed(struct view json, const char *host, const char *path_prefix)
{
    json_t *order = json_loadb(json.at, json.len, 0, NULL);
    bool renamed = order != NULL && rename_items(json_object_get(order, "urls"), host, path_prefix, true) &&
                   rename_items(json_object_get(order, "prefixes"), host, path_prefix, true) &&
                   rename_items(json_object_get(order, "hosts"), host, path_prefix, false);
    char *text = renamed ? json_dumps(order, JSON_COMPACT) : NULL;
    json_decref(order);
    return text;
}
