/* client_claims: what a trusted proxy says of the client behind it (X-Forwarded-For, X-Forwarded-Proto; RFC 7239). Pure
 * functions. What others than trusted proxies say of it is a claim of their own, and believed by nobody.                */
#ifndef WEIR_PROXY_CLIENT_CLAIMS_H
#define WEIR_PROXY_CLIENT_CLAIMS_H

#include "headers/field.h"
#include "proxy/settings.h"

#include <netinet/in.h>

union client_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/** Who asks: the last address of X-Forwarded-For (without that field, of Forwarded) that is no trusted proxy.
 *  @return false: the field does not say */
MUST_USE bool client_address_claimed(const struct cidrs *trusted, struct field_section fields,
                                     union client_address *out);
/** The scheme in which the client asked the nearest proxy.
 *  @return false: nothing says */
MUST_USE bool client_scheme_claimed(struct field_section fields, bool *https);
/** Fields by which proxies speak of clients. */
bool client_claims_in(enum field_id id);

#endif
