/* PURGE handed on to an origin that is a weir too (`forward_purges`). */
#include "proxy/exchange_internal.h"

#include "proxy/forward.h"
#include "proxy/hand_on.h"
#include "purge/tag.h"

#include <stdlib.h>

/* Outlives the request; the exchange waits for it, as for other jobs. */
struct handed_purge {
    struct exchange *exchange;
    struct purge_request purge;
    struct view uri, tags[TAG_MAX];
    struct store_id id;
    struct hand_on *hand_on;
    purge_done done;
    char text[]; /* of uri and tags */
};

static struct view copy_view(struct view v, char **to)
{
    struct view copy = view_of(*to, v.len);
    if (v.len > 0) memcpy(*to, v.at, v.len);
    *to += v.len;
    return copy;
}

static struct handed_purge *copy_of(struct exchange *x, const struct purge_request *p, purge_done done)
{
    size_t len = p->uri_count > 0 ? p->uris[0].len : 0;
    for (size_t i = 0; i < p->tag_count; i++) len += p->tags[i].len;
    struct handed_purge *h = malloc(sizeof *h + len);
    if (h == NULL) return NULL;
    char *to = h->text;
    h->exchange = x;
    h->purge = *p;
    h->done = done;
    h->purge.uris = &h->uri;
    h->purge.uri_ids = &h->id;
    h->purge.tags = h->tags;
    if (p->uri_count > 0) {
        h->uri = copy_view(p->uris[0], &to);
        h->id = p->uri_ids[0];
    }
    for (size_t i = 0; i < p->tag_count; i++) h->tags[i] = copy_view(p->tags[i], &to);
    return h;
}

/* ---- asking them */

static bool add_what_to_purge(struct hand_on_lines *l, struct field_section fields)
{
    bool fits = true;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *f = &fields.lines[i];
        if (tag_field_is_internal(f->id) || f->id == FIELD_SOFT_PURGE)
            fits = fits && hand_on_line(l, f->name, f->value);
    }
    return fits;
}

static bool add_server(struct handed_purge *h, const struct origin_settings *o, const struct origin_server_settings *s)
{
    const struct exchange *x = h->exchange;
    struct hand_on_lines lines;
    char target[FRONT_TARGET_MAX + ORIGIN_PREFIX_MAX + 1];
    struct forward_context c = { .path_prefix = s->server.path_prefix };
    struct view host = s->host != NULL ? view_of_str(s->host) : x->request->authority;
    int target_len = forward_target(x->request, &c, target, sizeof target);
    /* The scheme is part of the URL: as requests for it were told of it there. */
    if (target_len < 0 || !hand_on_head(&lines, x->request, x->worker->weir->instance, host, o->purge_token) ||
        !hand_on_line(&lines, VIEW("X-Forwarded-Proto"), x->request->https ? VIEW("https") : VIEW("http")) ||
        !add_what_to_purge(&lines, x->request->fields))
        return false;
    struct origin_request request = { .server = &s->server,
                                      .method = VIEW("PURGE"),
                                      .target = view_of(target, (size_t)target_len),
                                      .lines = lines.at,
                                      .line_count = lines.count,
                                      .may_resend = true };
    return hand_on_add(h->hand_on, &request, view_of(NULL, 0), s->url);
}

static void add_servers(struct handed_purge *h, const struct origin_settings *o)
{
    for (size_t i = 0; o->forward_purges && i < o->server_count; i++)
        if (!add_server(h, o, &o->servers[i])) h->exchange->purge_not_handed_on = true;
}

static bool route_forwards_purges(const struct exchange *x)
{
    return x->route->kind == ROUTE_PROXY && x->route->origin->forward_purges;
}

bool purge_is_handed_on(const struct exchange *x, const struct purge_request *p)
{
    bool forwards = p->tag_count > 0 ? site_forwards_purges(x->site) : route_forwards_purges(x);
    return forwards && !hand_on_is_loop(x->request, x->worker->weir->instance);
}

static void all_told(void *arg)
{
    struct handed_purge *h = arg;
    struct exchange *x = h->exchange;
    if (hand_on_heard(h->hand_on) < hand_on_count(h->hand_on)) x->purge_not_handed_on = true;
    purge_begin(x->worker->weir->purges, &h->purge, exchange_now_s(x), h->done, x);
    hand_on_free(h->hand_on);
    free(h);
}

/* @return false: no memory */
static bool begin(struct exchange *x, const struct purge_request *p, purge_done done)
{
    struct handed_purge *h = copy_of(x, p, done);
    if (h == NULL) return false;
    const struct hand_on_settings settings = { .loop = x->worker->loop,
                                               .client = x->worker->origin,
                                               .breaking_off = &x->worker->breaking_off,
                                               .done = all_told,
                                               .arg = h };
    h->hand_on = hand_on_new(&settings);
    if (h->hand_on == NULL) {
        free(h);
        return false;
    }
    if (p->tag_count > 0)
        for (size_t i = 0; i < x->site->origin_count; i++) add_servers(h, x->site->origins[i]);
    else
        add_servers(h, x->route->origin);
    hand_on_start(h->hand_on);
    return true;
}

void purge_hand_on(struct exchange *x, const struct purge_request *p, purge_done done)
{
    if (begin(x, p, done)) return;
    x->purge_not_handed_on = true;
    purge_begin(x->worker->weir->purges, p, exchange_now_s(x), done, x);
}
