#include "proxy/site.h"

#include "headers/target.h"

#include <stdio.h>
#include <stdlib.h>

/* An origin that is reached by its address has no name of its own, so it hears the client's Host; one that has a name is
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

struct site *site_new(const char *origin_url, char *why, size_t cap)
{
    struct site *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    atomic_init(&s->refs, 1);
    policy_defaults(&s->route.policy);
    if (!origin_server_parse(origin_url, &s->route.server, why, cap)) {
        free(s);
        return NULL;
    }
    if (is_name(s->route.server.authority)) s->route.host = s->route.server.authority;
    return s;
}

struct site *site_ref(struct site *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void site_unref(struct site **s)
{
    struct site *gone = *s;
    *s = NULL;
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    origin_server_release(&gone->route.server);
    free(gone);
}

const struct route *site_route(const struct site *s, const struct request_head *request)
{
    (void)request; /* one route serves every host and path */
    return &s->route;
}

bool site_key_of_uri(const struct site *s, struct view uri, char *to, size_t cap, struct key *out)
{
    struct uri parts;
    char authority[512], path_query[KEY_TEXT_MAX];
    if (!uri_parse(uri, &parts)) return false;
    bool https = view_equal_nocase(parts.scheme, VIEW("https"));
    int authority_len = authority_normalise(parts.authority, https, authority, sizeof authority);
    int len =
        snprintf(path_query, sizeof path_query, "%s%.*s%s%.*s", parts.path.len == 0 ? "/" : "", (int)parts.path.len,
                 parts.path.at, parts.has_query ? "?" : "", (int)parts.query.len, parts.query.at);
    if (authority_len < 0 || len < 0 || (size_t)len >= sizeof path_query) return false;
    struct request_head head = {
        .method = METHOD_GET,
        .method_name = VIEW("GET"),
        .https = https,
        .authority = view_of(authority, (size_t)authority_len),
        .path_query = view_of(path_query, (size_t)len),
        .path = parts.path,
        .query = parts.query,
        .has_query = parts.has_query,
    };
    return key_from_request(&head, &site_route(s, &head)->policy, to, cap, out);
}
