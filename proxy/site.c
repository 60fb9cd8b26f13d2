#include "proxy/site.h"

#include "headers/target.h"
#include "proxy/origin_state.h"
#include "proxy/route_protection.h"
#include "proxy/route_table.h"

#include <stdio.h>
#include <stdlib.h>

struct site *site_new(void)
{
    struct site *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    atomic_init(&s->refs, 1);
    s->arena = arena_new();
    s->table = s->arena != NULL ? route_table_new(s->arena) : NULL;
    s->unmatched = s->arena != NULL ? arena_alloc(s->arena, sizeof *s->unmatched) : NULL;
    if (s->table == NULL || s->unmatched == NULL) site_unref(&s);
    return s;
}

struct site *site_ref(struct site *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void release_origin(struct origin_settings *o)
{
    origin_state_free(o->state);
    for (size_t i = 0; i < o->server_count; i++) {
        origin_server_release(&o->servers[i].server);
        origin_server_release(&o->servers[i].admin);
    }
}

void site_unref(struct site **s)
{
    struct site *gone = *s;
    *s = NULL;
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < gone->origin_count; i++) release_origin(gone->origins[i]);
    arena_free(gone->arena);
    free(gone);
}

/* Who was let in need not be checked again. */
static void inherit_protection(const struct route *r, const struct site *before)
{
    if (r->protection == NULL) return;
    for (size_t i = 0; i < before->route_count; i++)
        if (before->routes[i]->protection != NULL && strcmp(before->routes[i]->name, r->name) == 0)
            protection_inherit(r->protection, before->routes[i]->protection);
}

void site_inherit(struct site *s, const struct site *before)
{
    for (size_t i = 0; i < s->origin_count; i++)
        for (size_t j = 0; j < before->origin_count; j++)
            if (strcmp(s->origins[i]->name, before->origins[j]->name) == 0)
                origin_state_inherit(s->origins[i]->state, before->origins[j]->state);
    for (size_t i = 0; s->has_protection && i < s->route_count; i++) inherit_protection(s->routes[i], before);
}

bool site_forwards_purges(const struct site *s)
{
    for (size_t i = 0; i < s->origin_count; i++)
        if (s->origins[i]->forward_purges) return true;
    return false;
}

struct site_lease *site_lease_new(struct site *s)
{
    struct site_lease *l = malloc(sizeof *l);
    if (l != NULL) *l = (struct site_lease){ s, 1 };
    return l;
}

void site_lease_unref(struct site_lease **l)
{
    struct site_lease *gone = *l;
    *l = NULL;
    if (gone == NULL || --gone->users > 0) return;
    site_unref(&gone->site);
    free(gone);
}

/* An origin server may take %2F for a slash, and so serve what another route protects: then that route decides. */
static const struct route *guarded(const struct site *s, const struct request_head *request, const struct route *found)
{
    const struct route *other = route_table_find_decoded(s->table, request->authority, request->path);
    if (other == NULL || other == found || other->protection == NULL) return found;
    return other;
}

const struct route *site_route(const struct site *s, const struct request_head *request)
{
    if (s->route_count == 0) return s->unmatched;
    const struct route *found = route_table_find(s->table, request->authority, request->path);
    if (found == NULL) found = s->unmatched;
    return s->has_protection ? guarded(s, request, found) : found;
}

/* Where the texts of a GET for a URI lie. */
struct uri_texts {
    char authority[512], path_query[KEY_TEXT_MAX];
};

static bool request_of_uri(struct view uri, struct uri_texts *texts, struct request_head *out)
{
    struct uri parts;
    char *authority = texts->authority, *path_query = texts->path_query;
    if (!uri_parse(uri, &parts)) return false;
    bool https = view_equal_nocase(parts.scheme, VIEW("https"));
    int authority_len = authority_normalise(parts.authority, https, authority, sizeof texts->authority);
    const char *slash = parts.path.len == 0 ? "/" : "";
    int len = snprintf(path_query, sizeof texts->path_query, "%s%.*s%s%.*s", slash, (int)parts.path.len, parts.path.at,
                       parts.has_query ? "?" : "", (int)parts.query.len, parts.query.at);
    if (authority_len < 0 || len < 0 || (size_t)len >= sizeof texts->path_query) return false;
    *out = (struct request_head){
        .method = METHOD_GET,
        .method_name = VIEW("GET"),
        .https = https,
        .authority = view_of(authority, (size_t)authority_len),
        .path_query = view_of(path_query, (size_t)len),
        .path = parts.path.len > 0 ? parts.path : VIEW("/"),
        .query = parts.query,
        .has_query = parts.has_query,
    };
    return true;
}

bool site_key_of_uri(const struct site *s, struct view uri, char *to, size_t cap, struct key *out)
{
    struct uri_texts texts;
    struct request_head head;
    if (!request_of_uri(uri, &texts, &head)) return false;
    return key_from_request(&head, &site_route(s, &head)->policy, to, cap, out);
}

const struct route *site_route_of_uri(const struct site *s, struct view uri)
{
    struct uri_texts texts;
    struct request_head head;
    return request_of_uri(uri, &texts, &head) ? site_route(s, &head) : s->unmatched;
}
