/* POST /v1/purge handed on to the admin APIs of the weirs behind this one (`forward_purges`, and `admin` of a server). */
#include "proxy/admin_internal.h"
#include "proxy/admin_json.h"

#include <stdio.h>
#include <stdlib.h>

/* Until the purge is answered. */
struct handing {
    struct admin_request *request;
    struct site *site;
    struct purge_order order;
    struct hand_on *hand_on;
};

bool admin_hands_on(const struct admin_request *r, const struct site *site)
{
    return site_forwards_purges(site) && !hand_on_is_loop(r->head, r->admin->weir->instance);
}

/* ---- whom to tell */

static bool add_admin(struct handing *h, const struct origin_settings *o, const struct origin_server_settings *s,
                      struct view order)
{
    const struct admin_request *r = h->request;
    struct hand_on_lines lines;
    char target[ORIGIN_PREFIX_MAX + sizeof "/v1/purge"];
    snprintf(target, sizeof target, "%s/v1/purge", s->admin.path_prefix);
    if (!hand_on_head(&lines, r->head, r->admin->weir->instance, view_of_str(s->admin.authority), o->purge_token) ||
        !hand_on_line(&lines, VIEW("Content-Type"), VIEW("application/json")))
        return hand_on_add_deaf(h->hand_on, s->admin_url, "the request head is too long");
    struct origin_request request = { .server = &s->admin,
                                      .method = VIEW("POST"),
                                      .target = view_of_str(target),
                                      .lines = lines.at,
                                      .line_count = lines.count };
    return hand_on_add(h->hand_on, &request, order, s->admin_url);
}

static bool add_server(struct handing *h, const struct origin_settings *o, const struct origin_server_settings *s)
{
    const struct admin_request *r = h->request;
    if (s->admin_url == NULL) return hand_on_add_deaf(h->hand_on, s->url, "no admin address is configured for it");
    char *order = purge_order_renamed(view_of(r->content, r->content_len), s->host, s->server.path_prefix);
    bool added = order != NULL && add_admin(h, o, s, view_of_str(order));
    free(order);
    return added;
}

static bool add_servers(struct handing *h)
{
    for (size_t i = 0; i < h->site->origin_count; i++) {
        const struct origin_settings *o = h->site->origins[i];
        for (size_t j = 0; o->forward_purges && j < o->server_count; j++)
            if (!add_server(h, o, &o->servers[j])) return false;
    }
    return true;
}

/* ---- life */

static void all_told(void *arg)
{
    struct handing *h = arg;
    admin_purge_here(h->request, &h->order.request);
}

bool admin_hand_on(struct admin_request *r, struct site *site, struct purge_order *order)
{
    struct admin *a = r->admin;
    struct handing *h = calloc(1, sizeof *h);
    if (h == NULL) return false;
    const struct hand_on_settings settings = {
        .loop = a->loop, .client = a->client, .breaking_off = &a->breaking_off, .done = all_told, .arg = h
    };
    h->request = r;
    h->site = site_ref(site);
    h->hand_on = hand_on_new(&settings);
    if (h->hand_on == NULL || !add_servers(h)) {
        handing_free(h);
        return false;
    }
    h->order = *order;
    r->handing = h;
    hand_on_start(h->hand_on);
    return true;
}

bool handing_describe(const struct handing *h, json_t *answer)
{
    size_t heard = hand_on_heard(h->hand_on), count = hand_on_count(h->hand_on);
    admin_json_set(answer, "handed_on", json_integer((json_int_t)heard));
    if (heard == count) return true;
    json_t *deaf = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *name, *why = hand_on_refusal(h->hand_on, i, &name);
        if (why != NULL) admin_json_append(deaf, json_pack("{s:s, s:s}", "server", name, "why", why));
    }
    admin_json_set(answer, "not_handed_on", deaf);
    return false;
}

void handing_free(struct handing *h)
{
    if (h == NULL) return;
    hand_on_free(h->hand_on);
    purge_order_free(&h->order);
    site_unref(&h->site);
    free(h);
}
