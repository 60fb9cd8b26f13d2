/* What proxies in front of weir say of the client (`trusted_proxies`): a trusted one is believed, what anybody else says goes
 * no further. Without such proxies nothing is believed, and all of it is passed on with weir's own words behind it. */
#include "proxy/exchange_internal.h"

#include "proxy/client_claims.h"

#include <stdlib.h>

/* A request as it is to be taken. */
struct claimed_request {
    struct request_head head;
    struct field lines[];
};

static bool has_claims(struct field_section fields)
{
    for (size_t i = 0; i < fields.count; i++)
        if (client_claims_in(fields.lines[i].id)) return true;
    return false;
}

static struct claimed_request *copy_of(const struct request_head *r, bool with_claims)
{
    struct claimed_request *c = malloc(sizeof *c + r->fields.count * sizeof *c->lines);
    if (c == NULL) return NULL;
    size_t n = 0;
    c->head = *r;
    for (size_t i = 0; i < r->fields.count; i++)
        if (with_claims || !client_claims_in(r->fields.lines[i].id)) c->lines[n++] = r->fields.lines[i];
    c->head.fields = (struct field_section){ c->lines, n };
    return c;
}

bool exchange_take_claims(struct exchange *x)
{
    const struct cidrs *trusted = &x->site->settings.trusted_proxies;
    bool https = x->request->https;
    if (trusted->count == 0) return true;
    bool is_trusted = cidr_any_contains(trusted->at, trusted->count, x->peer);
    bool as_it_is = is_trusted ? !client_scheme_claimed(x->request->fields, &https) || https == x->request->https
                               : !has_claims(x->request->fields);
    if (as_it_is) return true;
    x->claimed = copy_of(x->request, is_trusted);
    if (x->claimed == NULL) return false;
    if (is_trusted) x->claimed->head.https = https;
    x->request = &x->claimed->head;
    return true;
}
