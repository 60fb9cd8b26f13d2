/* The line of a request in the access log. */
#include "proxy/exchange_internal.h"

#include "proxy/access_log.h"
#include "proxy/client_claims.h"

#include <netdb.h>

static struct view value_of(struct field_section fields, struct view name)
{
    size_t at = field_find(fields, 0, name);
    return at < fields.count ? fields.lines[at].value : view_of(NULL, 0);
}

/* Whom a trusted proxy names; else who is connected. */
static struct view client_of(const struct exchange *x, char text[NI_MAXHOST])
{
    const struct cidrs *trusted = &x->site->settings.trusted_proxies;
    union client_address claimed;
    if (trusted->count == 0 || !cidr_any_contains(trusted->at, trusted->count, x->peer) ||
        !client_address_claimed(trusted, x->request->fields, &claimed))
        return view_of_str(x->client_ip);
    socklen_t len = claimed.any.sa_family == AF_INET6 ? sizeof claimed.v6 : sizeof claimed.v4;
    bool named = getnameinfo(&claimed.any, len, text, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) == 0;
    return view_of_str(named ? text : x->client_ip);
}

void exchange_log(const struct exchange *x, uint64_t bytes_sent, int64_t took_us)
{
    char client[NI_MAXHOST];
    const struct request_head *r = x->request;
    if (x->worker->access == NULL) return;
    struct access_entry e = {
        .client = client_of(x, client),
        .now_s = exchange_now_s(x),
        .method = r->method_name,
        .target = r->target,
        .http_minor = r->http_minor,
        .status = x->status,
        .bytes = bytes_sent,
        .referer = value_of(r->fields, VIEW("Referer")),
        .agent = value_of(r->fields, VIEW("User-Agent")),
        .host = r->authority,
        .route = view_of_str(x->route->name),
        .outcome = &x->outcome,
        .took_us = took_us,
    };
    access_lines_add(x->worker->access, &e);
}

void exchange_log_refused(struct worker *k, int status, const struct front_peer *peer)
{
    if (k->access == NULL) return;
    struct access_entry e = { .client = view_of_str(peer->text),
                              .now_s = clock_now_s(&k->weir->clock),
                              .status = status };
    access_lines_add(k->access, &e);
}
