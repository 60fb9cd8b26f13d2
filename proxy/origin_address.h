/* origin_address: where a connection to an origin server goes, which name it is asked for by, and what must be resolved for
 * that. Pure functions.                                                                                                   */
#ifndef WEIR_PROXY_ORIGIN_ADDRESS_H
#define WEIR_PROXY_ORIGIN_ADDRESS_H

#include "proxy/origin.h"

enum { ORIGIN_HOST_MAX = 300 };

struct origin_address {
    char host[ORIGIN_HOST_MAX]; /* IPv6 in brackets */
    unsigned port;
    bool is_name; /* to be resolved: no address, and not localhost */
    /* The URL has the name that TLS asks for (SNI) and checks. When that is not the host: "::HOST:PORT", where the
     * connection goes all the same; else empty. */
    char url[ORIGIN_HOST_MAX + 16];
    char connect_to[ORIGIN_HOST_MAX + 16];
};

/** @param tls_name  NULL: the URL's host
 *  @return          false: it is too long */
MUST_USE bool origin_address_of(const char *base_url, const char *tls_name, struct origin_address *out);

#endif
