#include "proxy/origin_address.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_name(const char *host)
{
    bool has_letter = false;
    for (const char *at = host; *at != '\0'; at++) has_letter = has_letter || !(is_digit(*at) || *at == '.');
    return host[0] != '[' && has_letter && strcasecmp(host, "localhost") != 0;
}

/* Behind the brackets of an IPv6 address, if there are any. */
static const char *port_of(const char *authority)
{
    const char *bracket = strchr(authority, ']');
    return strchr(bracket != NULL ? bracket : authority, ':');
}

bool origin_address_of(const char *base_url, const char *tls_name, struct origin_address *out)
{
    bool https = strncmp(base_url, "https://", strlen("https://")) == 0;
    const char *authority = strstr(base_url, "://");
    if (authority == NULL) return false;
    authority += strlen("://");
    const char *port = port_of(authority);
    size_t len = port != NULL ? (size_t)(port - authority) : strlen(authority);
    if (len >= sizeof out->host) return false;
    memcpy(out->host, authority, len);
    out->host[len] = '\0';
    out->port = port != NULL ? (unsigned)strtoul(port + 1, NULL, 10) : https ? 443 : 80;
    out->is_name = is_name(out->host);
    out->connect_to[0] = '\0';
    bool other_name = https && tls_name != NULL && strcasecmp(tls_name, out->host) != 0;
    if (!other_name) return (size_t)snprintf(out->url, sizeof out->url, "%s", base_url) < sizeof out->url;
    snprintf(out->connect_to, sizeof out->connect_to, "::%s:%u", out->host, out->port);
    return (size_t)snprintf(out->url, sizeof out->url, "https://%s:%u", tls_name, out->port) < sizeof out->url;
}
