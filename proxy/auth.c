/* Who may purge and administer. */
#include "proxy/weir.h"

#include <netinet/in.h>

/* 127.0.0.0/8, ::1, and the first as an IPv6 address (RFC 4291 §2.5.5.2). */
static bool is_loopback(const struct sockaddr *peer)
{
    enum { LOOPBACK_NET = 127 };
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
        return ntohl(v4->sin_addr.s_addr) >> 24 == LOOPBACK_NET;
    }
    if (peer->sa_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == LOOPBACK_NET);
}

/* A proxy on this machine is no local client, and says so; nor is a page in a local browser, whose requests other than GET
 * carry Origin. */
static bool speaks_for_another(struct field_section request)
{
    return field_first(request, FIELD_FORWARDED) != NULL || field_first(request, FIELD_X_FORWARDED_FOR) != NULL ||
           field_first(request, FIELD_VIA) != NULL || field_find(request, 0, VIEW("origin")) < request.count;
}

/* Takes as long for a token that is nearly right as for any other of its length. */
static bool equal_in_constant_time(struct view given, struct view token)
{
    unsigned char difference = given.len != token.len;
    for (size_t i = 0; i < given.len; i++) {
        char against = token.len > 0 ? token.at[i % token.len] : '\0';
        difference |= (unsigned char)(given.at[i] ^ against);
    }
    return difference == 0;
}

bool weir_token_matches(const struct weir *w, struct field_section request)
{
    const struct view scheme = VIEW("Bearer ");
    const struct field *line = field_first(request, FIELD_AUTHORIZATION);
    if (w->admin_token == NULL || w->admin_token[0] == '\0' || line == NULL || field_next(request, line) != NULL)
        return false;
    if (!view_starts_with_nocase(line->value, scheme)) return false;
    return equal_in_constant_time(view_trim_ows(view_after(line->value, scheme.len)), view_of_str(w->admin_token));
}

bool weir_may_purge(const struct weir *w, const struct sockaddr *peer, struct field_section request)
{
    if (peer != NULL && is_loopback(peer) && !speaks_for_another(request)) return true;
    return weir_token_matches(w, request);
}
