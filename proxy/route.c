#include "proxy/route.h"

#include <stdio.h>

/* ---- fields on their way to the origin */

static bool is_edited_away(const struct field_edits *edits, const struct field *line)
{
    for (size_t i = 0; i < edits->count; i++) {
        const struct field_edit *e = &edits->at[i];
        if (e->kind == FIELD_EDIT_ADD || e->id != line->id) continue;
        if (e->id != FIELD_OTHER || view_equal_nocase(e->name, line->name)) return true;
    }
    return false;
}

struct field_section route_request_fields(const struct route *r, struct field_section fields, struct field *room)
{
    bool drops_credentials = r->policy.authorization_is_ours;
    size_t n = 0;
    if (r->request.count == 0 && !drops_credentials) return fields;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *line = &fields.lines[i];
        if (drops_credentials && line->id == FIELD_AUTHORIZATION) continue;
        if (!is_edited_away(&r->request, line)) room[n++] = *line;
    }
    for (size_t i = 0; i < r->request.count; i++) {
        const struct field_edit *e = &r->request.at[i];
        if (e->kind != FIELD_EDIT_REMOVE) room[n++] = (struct field){ e->id, e->name, e->value };
    }
    return (struct field_section){ room, n };
}

/* ---- fields on their way to the client */

static void drop_field(struct reply_head *h, struct view name)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++)
        if (!view_equal_nocase(view_of_str(h->fields[i].name), name)) h->fields[kept++] = h->fields[i];
    h->count = kept;
}

/* Clients hear of a freshness that begins now: neither Age nor the Date of the stored response may take from it. */
static void tell_freshness(struct reply_head *h, const char *cache_control)
{
    drop_field(h, VIEW("cache-control"));
    drop_field(h, VIEW("expires"));
    drop_field(h, VIEW("pragma"));
    drop_field(h, VIEW("age"));
    h->date = NULL;
    reply_add(h, "Age", "0");
    reply_add(h, "Cache-Control", cache_control);
}

void route_edit_reply(const struct route *r, struct reply_head *h, bool stored)
{
    if (stored && r->policy.client_cache_control != NULL) tell_freshness(h, r->policy.client_cache_control);
    for (size_t i = 0; i < r->response.count; i++) {
        const struct field_edit *e = &r->response.at[i];
        if (e->kind != FIELD_EDIT_ADD) drop_field(h, e->name);
        if (e->kind != FIELD_EDIT_REMOVE) reply_add(h, e->name.at, e->value.at);
    }
}

/* ---- redirects */

bool route_location(const struct route *r, const struct request_head *request, char *to, size_t cap)
{
    bool has_query = request->has_query;
    const struct {
        struct view name, before, value;
    } parts[] = {
        { VIEW("{scheme}"), VIEW(""), request->https ? VIEW("https") : VIEW("http") },
        { VIEW("{host}"), VIEW(""), request->authority },
        { VIEW("{path}"), VIEW(""), request->path },
        { VIEW("{query}"), has_query ? VIEW("?") : VIEW(""), has_query ? request->query : VIEW("") },
    };
    struct view rest = view_of_str(r->redirect.to);
    size_t used = 0;
    while (rest.len > 0) {
        struct view before = VIEW(""), piece = view_first(rest, 1);
        size_t step = 1;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            if (!view_starts_with(rest, parts[i].name)) continue;
            before = parts[i].before;
            piece = parts[i].value;
            step = parts[i].name.len;
        }
        if (before.len + piece.len + 1 > cap - used) return false;
        if (before.len > 0) memcpy(to + used, before.at, before.len);
        if (piece.len > 0) memcpy(to + used + before.len, piece.at, piece.len);
        used += before.len + piece.len;
        rest = view_after(rest, step);
    }
    to[used] = '\0';
    return used > 0;
}

const char *route_target(const struct route *r, char *to, size_t cap)
{
    switch (r->kind) {
    case ROUTE_PROXY: snprintf(to, cap, "to %s", r->origin->name); break;
    case ROUTE_REDIRECT: snprintf(to, cap, "redirect %d %s", r->redirect.status, r->redirect.to); break;
    case ROUTE_ANSWER: snprintf(to, cap, "answer %d", r->answer.status); break;
    }
    return to;
}

/* ---- what may be edited */

/* Framing, the connection, conditions and what weir itself writes: changed, they would make the exchange another one. */
static const enum field_id request_own[] = {
    FIELD_CDN_LOOP,
    FIELD_CONTENT_LENGTH,
    FIELD_EXPECT,
    FIELD_FORWARDED,
    FIELD_HOST,
    FIELD_IF_MATCH,
    FIELD_IF_MODIFIED_SINCE,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_RANGE,
    FIELD_IF_UNMODIFIED_SINCE,
    FIELD_MAX_FORWARDS,
    FIELD_RANGE,
    FIELD_VIA,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PROTO,
};
static const enum field_id response_own[] = {
    FIELD_AGE, FIELD_CACHE_STATUS, FIELD_CONTENT_LENGTH, FIELD_CONTENT_RANGE, FIELD_DATE, FIELD_VIA,
};

const char *route_edit_refusal(struct view name, bool of_request)
{
    enum field_id id = field_id_of(name);
    const enum field_id *own = of_request ? request_own : response_own;
    size_t count = of_request ? sizeof request_own / sizeof *request_own : sizeof response_own / sizeof *response_own;
    if (of_request && id == FIELD_HOST) return "`host:` of the origin for that";
    if (field_traits_of(id)->hop_by_hop) return "no field that concerns the connection";
    for (size_t i = 0; i < count; i++)
        if (own[i] == id) return "no field that weir itself writes";
    return NULL;
}
