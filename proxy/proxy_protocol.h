/* proxy_protocol: what a load balancer says of a client before the first byte of HTTP ("The PROXY protocol, versions 1 & 2",
 * haproxy.org, 2020). Pure functions.                                                                                     */
#ifndef WEIR_PROXY_PROXY_PROTOCOL_H
#define WEIR_PROXY_PROXY_PROTOCOL_H

#include "headers/view.h"

#include <netinet/in.h>

enum { PROXY_HEADER_MAX = 2048 /* a version 2 header with its TLVs; longer is refused */ };

enum proxy_header_verdict {
    PROXY_HEADER_WHOLE,
    PROXY_HEADER_UNFINISHED, /* so far it is one; more has to come */
    PROXY_HEADER_BAD,
};

struct proxy_header {
    size_t len; /* of it: what follows is the client's */
    bool
        has_client; /* else the balancer speaks for itself (a health check, UNKNOWN, another family than TCP over IP) */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } client;
    socklen_t client_len;
};

enum proxy_header_verdict proxy_header_parse(const uint8_t *at, size_t len, struct proxy_header *out);

#endif
