/* Requests that ask for another protocol than HTTP (RFC 9110 §7.8), on routes that allow it. They go past the cache. Nothing is
 * relayed before the origin server has answered 101, which names a protocol that the client had asked for; any other answer
 * is a response like others. */
#include "proxy/exchange_internal.h"

#include "headers/list.h"
#include "proxy/origin_state.h"
#include "proxy/upgrade.h"

#include <stdlib.h>

/* What a tunnel keeps from going away. */
struct tunnel_owner {
    struct site_lease *lease;
    struct origin_state *origin; /* the lease's */
    int server;
};

bool upgrade_is_asked_for(const struct exchange *x)
{
    char offer[UPGRADE_OFFER_MAX];
    if (x->route->upgrade.count == 0 || x->has_content) return false;
    return upgrade_offer(x->request, &x->route->upgrade, offer, sizeof offer) > 0;
}

bool upgrade_reserve(struct exchange *x)
{
    x->upgrades = tunnels_reserve(x->worker->tunnels, (size_t)x->site->settings.tunnels_max);
    if (x->upgrades) return true;
    stats_add(&x->worker->counters.errors, 1);
    stats_add(&x->worker->counters.tunnels_refused, 1);
    answer_problem(x, 503, "too-many-tunnels");
    return false;
}

void upgrade_end(struct exchange *x)
{
    if (x->upgrades) tunnels_release(x->worker->tunnels);
    x->upgrades = false;
}

static void tunnel_is_over(void *arg)
{
    struct tunnel_owner *o = arg;
    origin_state_tunnel(o->origin, o->server, -1);
    site_lease_unref(&o->lease);
    free(o);
}

/* The client has heard the 101. */
static void client_switched(void *arg, struct duplex *client)
{
    struct exchange *x = arg;
    struct duplex *server = fetch_take_connection(x->fetch);
    struct tunnel_owner *o = malloc(sizeof *o);
    if (server == NULL || o == NULL) {
        duplex_close(client);
        if (server != NULL) duplex_close(server);
        free(o);
        return;
    }
    *o = (struct tunnel_owner){ site_lease_ref(x->lease), x->route->origin->state, fetch_server_place(x->fetch) };
    origin_state_tunnel(o->origin, o->server, 1);
    x->upgrades = false; /* the place is the tunnel's now */
    tunnel_open(x->worker->tunnels, &(struct tunnel_settings){ .client = client,
                                                               .server = server,
                                                               .idle_ms = x->route->tunnel_idle_ms,
                                                               .over = tunnel_is_over,
                                                               .arg = o });
}

/* The protocols that the origin names, on one line. */
static const char *protocols_of(struct field_section fields, char *to, size_t cap)
{
    struct list_walk w = list_of(fields, FIELD_UPGRADE);
    struct view protocol;
    size_t used = 0;
    while (list_walk_next(&w, &protocol)) {
        int n = snprintf(to + used, cap - used, "%s%.*s", used > 0 ? ", " : "", (int)protocol.len, protocol.at);
        if (n < 0 || (size_t)n >= cap - used) return NULL;
        used += (size_t)n;
    }
    return to;
}

void answer_switched(struct exchange *x)
{
    const struct fetch_response *r = fetch_response(x->fetch);
    struct reply_head head;
    char protocols[UPGRADE_OFFER_MAX];
    struct front_reply reply = { .status = r->status,
                                 .switched = client_switched,
                                 .upgrade = protocols_of(r->fields, protocols, sizeof protocols),
                                 .arg = x };
    if (reply.upgrade == NULL) {
        answer_problem(x, 502, "head-too-large");
        return;
    }
    reply_from_fields(&head, r->fields, &x->route->policy, false);
    route_edit_reply(x->route, &head, false);
    reply_add_ours(&head, r->fields, &x->outcome, false);
    answer_send(x, &reply, &head);
}
