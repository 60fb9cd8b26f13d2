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

/** Who asks: the last address of X-Forwarded-For, or Forwarded, that is no trusted proxy. Where both fields are there they
 *  must agree: a proxy that writes one of them may pass on the other as the client wrote it.
 *  @return false: nothing says, or not with certainty */
MUST_USE bool client_address_claimed(const struct cidrs *trusted, struct field_section fields,
                                     union client_address *out);
/** The scheme in which the client asked the nearest proxy; what X-Forwarded-Proto and Forwarded say must not differ.
 *  @return false: nothing says, or not with certainty */
MUST_USE bool client_scheme_claimed(struct field_section fields, bool *https);
/** Fields by which proxies speak of clients. */
bool client_claims_in(enum field_id id);

#endif
