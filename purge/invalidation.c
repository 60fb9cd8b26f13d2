#include "purge/invalidation.h"

#include "headers/structured.h"
#include "headers/target.h"

enum { GROUP_ITEMS_MAX = 1024 };

/* Appends to out->text; a text that does not fit is not kept, and *len tells so. */
static char *text_end(struct invalidation *out, size_t used)
{
    return out->text + used;
}

static bool text_add(struct invalidation *out, size_t *used, struct view v)
{
    if (v.len > sizeof(out->text) - *used) return false;
    if (v.len > 0) memcpy(text_end(out, *used), v.at, v.len);
    *used += v.len;
    return true;
}

static bool text_add_normalised(struct invalidation *out, size_t *used, struct view v)
{
    int n = path_normalise(v, text_end(out, *used), sizeof(out->text) - *used);
    if (n < 0) return false;
    *used += (size_t)n;
    return true;
}

/* The URI as a cache key spells it (RFC 9110 §4.2.3). */
static bool text_add_uri(struct invalidation *out, size_t *used, const struct request_head *request, struct view path,
                         struct view query, bool has_query)
{
    return text_add(out, used, request->https ? VIEW("https://") : VIEW("http://")) &&
           text_add(out, used, request->authority) && text_add_normalised(out, used, path.len > 0 ? path : VIEW("/")) &&
           (!has_query || (text_add(out, used, VIEW("?")) && text_add_normalised(out, used, query)));
}

static void add_uri(struct invalidation *out, size_t *used, const struct request_head *request, const struct uri *u)
{
    size_t start = *used;
    bool fits = text_add_uri(out, used, request, u->path, u->query, u->has_query);
    struct view text = view_of(out->text + start, *used - start);
    for (size_t i = 0; fits && i < out->uri_count; i++) fits = !view_equal(out->uris[i], text);
    if (fits) {
        out->uris[out->uri_count++] = text;
    } else {
        *used = start; /* what is too long for us is too long for a cache key */
    }
}

static bool is_authority(struct view normal, struct view other, bool https)
{
    char text[1024];
    int len = authority_normalise(other, https, text, sizeof(text));
    return len >= 0 && view_equal(view_of(text, (size_t)len), normal);
}

/* The target's origin, or the origin server's own name for it, by either scheme: it may be told of another than the client
 * uses. */
static bool same_origin(const struct request_head *request, struct view told, const struct uri *u)
{
    char named[1024];
    bool https = view_equal_nocase(u->scheme, VIEW("https"));
    int len = authority_normalise(u->authority, https, named, sizeof(named));
    if (len < 0 || (!https && !view_equal_nocase(u->scheme, VIEW("http")))) return false;
    struct view authority = view_of(named, (size_t)len);
    if (https == request->https && view_equal(authority, request->authority)) return true;
    return told.len > 0 && is_authority(authority, told, https);
}

/* A reference to another origin must not invalidate there (RFC 9111 §4.4): anyone could empty anyone's cache. */
static void add_reference(struct invalidation *out, size_t *used, const struct request_head *request,
                          const struct uri *target, struct view told, const struct field *line)
{
    char path[INVALIDATION_TEXT_MAX];
    struct uri u;
    if (line == NULL || !uri_resolve(target, line->value, path, sizeof(path), &u)) return;
    if (same_origin(request, told, &u)) add_uri(out, used, request, &u);
}

/* Cache-Group-Invalidation is a list of strings (RFC 9875 §3). */
static void add_groups(struct invalidation *out, size_t *used, struct field_section fields)
{
    struct sf_item items[GROUP_ITEMS_MAX];
    if (field_first(fields, FIELD_CACHE_GROUP_INVALIDATION) == NULL) return;
    int n = sf_list_parse(fields, FIELD_CACHE_GROUP_INVALIDATION, items, GROUP_ITEMS_MAX);
    for (int i = 0; i < n && out->group_count < INVALIDATION_GROUPS_MAX; i++) {
        if (items[i].type != SF_STRING) continue;
        int len = sf_string_text(items[i].text, text_end(out, *used), sizeof(out->text) - *used);
        if (len < 0) return;
        out->groups[out->group_count++] = view_of(text_end(out, *used), (size_t)len);
        *used += (size_t)len;
    }
}

static bool is_non_error(int status)
{
    return status >= 200 && status < 400;
}

void invalidation_of(const struct request_head *request, const struct response_head *response, struct view told,
                     struct invalidation *out)
{
    size_t used = 0;
    out->uri_count = out->group_count = 0;
    if (method_is_safe(request->method) || !is_non_error(response->status)) return;
    struct uri target = {
        .scheme = request->https ? VIEW("https") : VIEW("http"),
        .authority = request->authority,
        .path = request->path,
        .query = request->query,
        .has_query = request->has_query,
    };
    add_uri(out, &used, request, &target);
    add_reference(out, &used, request, &target, told, field_first(response->fields, FIELD_LOCATION));
    add_reference(out, &used, request, &target, told, field_first(response->fields, FIELD_CONTENT_LOCATION));
    add_groups(out, &used, response->fields);
}
