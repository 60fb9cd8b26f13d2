/* PURGE handed on to an origin that is a weir too (`forward_purges`): first there, then here, or what is purged here would be
 * fetched again from what is still stored there. Each of its servers hears of it.                                        */
#include "proxy/exchange_internal.h"

#include "proxy/forward.h"
#include "purge/tag.h"

#include <stdio.h>
#include <stdlib.h>

/* Outlives the request; the exchange waits for it, as for other jobs. */
struct handed_purge {
    struct exchange *exchange;
    struct purge_request purge;
    struct view uri, tags[TAG_MAX];
    struct store_id id;
    size_t left; /* servers that have not answered */
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
    h->left = 0;
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

/* ---- what its servers say */

static void on_interim(void *arg, int status, struct field_section fields)
{
    (void)arg, (void)status, (void)fields;
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct handed_purge *h = arg;
    (void)content_length;
    if (head->status != 200) h->exchange->purge_not_handed_on = true;
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    (void)arg, (void)at, (void)len;
}

static void purge_here(struct handed_purge *h)
{
    struct exchange *x = h->exchange;
    purge_begin(x->worker->weir->purges, &h->purge, exchange_now_s(x), h->done, x);
    free(h);
}

static void one_less(struct handed_purge *h)
{
    if (--h->left == 0) purge_here(h);
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct handed_purge *h = arg;
    (void)why;
    if (result != ORIGIN_COMPLETE) h->exchange->purge_not_handed_on = true;
    one_less(h);
}

static const struct origin_handler handler = {
    .interim = on_interim, .head = on_head, .content = on_content, .end = on_end
};

/* ---- asking them */

enum { LINES_BYTES = FRONT_REQUEST_HEAD_MAX + 1024, LOOP_BYTES = 4096 };

struct purge_lines {
    const char *at[FRONT_FIELDS_MAX + 4];
    size_t count, used;
    char text[LINES_BYTES];
};

static bool add_line(struct purge_lines *l, const char *name, struct view value)
{
    size_t room = sizeof l->text - l->used;
    int len = snprintf(l->text + l->used, room, "%s: %.*s", name, (int)value.len, value.len > 0 ? value.at : "");
    if (len < 0 || (size_t)len >= room || l->count == sizeof l->at / sizeof *l->at) return false;
    l->at[l->count++] = l->text + l->used;
    l->used += (size_t)len + 1;
    return true;
}

static bool add_what_to_purge(struct purge_lines *l, struct field_section fields)
{
    bool fits = true;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *f = &fields.lines[i];
        char name[64];
        if ((!tag_field_is_internal(f->id) && f->id != FIELD_SOFT_PURGE) || f->name.len >= sizeof name) continue;
        snprintf(name, sizeof name, "%.*s", (int)f->name.len, f->name.at);
        fits = fits && add_line(l, name, f->value);
    }
    return fits;
}

static bool write_lines(const struct exchange *x, const struct origin_server_settings *s, struct purge_lines *l)
{
    const struct view token = x->route->origin->purge_token;
    char member[64], loop[LOOP_BYTES], bearer[512];
    l->count = l->used = 0;
    snprintf(member, sizeof member, "weir;id=%s", x->worker->weir->instance);
    if (forward_append(x->request->fields, FIELD_CDN_LOOP, view_of_str(member), loop, sizeof loop) < 0) return false;
    int len = snprintf(bearer, sizeof bearer, "Bearer %.*s", (int)token.len, token.len > 0 ? token.at : "");
    bool fits = add_line(l, "Host", s->host != NULL ? view_of_str(s->host) : x->request->authority) &&
                add_line(l, "CDN-Loop", view_of_str(loop)) && add_what_to_purge(l, x->request->fields);
    if (token.len > 0) fits = fits && (size_t)len < sizeof bearer && add_line(l, "Authorization", view_of_str(bearer));
    return fits;
}

static bool tell(struct handed_purge *h, const struct origin_server_settings *s)
{
    struct exchange *x = h->exchange;
    struct purge_lines lines;
    char target[FRONT_TARGET_MAX + ORIGIN_PREFIX_MAX + 1];
    struct forward_context c = { .path_prefix = s->server.path_prefix };
    int target_len = forward_target(x->request, &c, target, sizeof target);
    if (target_len < 0 || !write_lines(x, s, &lines)) return false;
    struct origin_request request = { .server = &s->server,
                                      .method = VIEW("PURGE"),
                                      .target = view_of(target, (size_t)target_len),
                                      .lines = lines.at,
                                      .line_count = lines.count,
                                      .may_resend = true }; /* purging twice is purging once */
    return origin_fetch(x->worker->origin, &request, &handler, h) != NULL;
}

bool purge_is_handed_on(const struct exchange *x)
{
    struct forward_context c = { .via_pseudonym = VIEW("weir"), .instance = view_of_str(x->worker->weir->instance) };
    return x->route->kind == ROUTE_PROXY && x->route->origin->forward_purges && !forward_is_loop(x->request, &c);
}

void purge_hand_on(struct exchange *x, const struct purge_request *p, purge_done done)
{
    const struct origin_settings *o = x->route->origin;
    struct handed_purge *h = copy_of(x, p, done);
    if (h == NULL) {
        x->purge_not_handed_on = true;
        purge_begin(x->worker->weir->purges, p, exchange_now_s(x), done, x);
        return;
    }
    h->left = 1; /* until all are asked */
    for (size_t i = 0; i < o->server_count; i++) {
        if (tell(h, &o->servers[i]))
            h->left++;
        else
            x->purge_not_handed_on = true;
    }
    one_less(h);
}
