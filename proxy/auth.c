/* Who may purge and administer. */
#include "proxy/weir.h"

#include "proxy/client_claims.h"

struct site *weir_site(struct weir *w)
{
    pthread_mutex_lock(&w->site_lock);
    struct site *s = site_ref(w->site);
    pthread_mutex_unlock(&w->site_lock);
    return s;
}

/* A proxy on an allowed machine is no client of that machine, and says so; nor is a page in a local browser, whose requests other than GET
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

bool weir_token_matches(const struct settings *s, struct field_section request)
{
    const struct view scheme = VIEW("Bearer ");
    const struct field *line = field_first(request, FIELD_AUTHORIZATION);
    bool matches = false;
    if (line == NULL || field_next(request, line) != NULL || !view_starts_with_nocase(line->value, scheme))
        return false;
    struct view given = view_trim_ows(view_after(line->value, scheme.len));
    for (size_t i = 0; i < s->admin_tokens.count; i++) {
        struct view token = s->admin_tokens.at[i];
        matches = (token.len > 0 && equal_in_constant_time(given, token)) || matches;
    }
    return matches;
}

static bool is_in(const struct cidrs *blocks, const struct sockaddr *address)
{
    return cidr_any_contains(blocks->at, blocks->count, address);
}

/* Behind a trusted proxy it is the client's address that counts. */
static bool address_may_purge(const struct settings *s, const struct sockaddr *peer, struct field_section request)
{
    union client_address client;
    if (peer == NULL) return false;
    if (is_in(&s->trusted_proxies, peer) && client_address_claimed(&s->trusted_proxies, request, &client))
        return is_in(&s->purge_allow, &client.any) && field_find(request, 0, VIEW("origin")) >= request.count;
    return is_in(&s->purge_allow, peer) && !speaks_for_another(request);
}

bool weir_may_purge(const struct settings *s, const struct sockaddr *peer, struct field_section request)
{
    return address_may_purge(s, peer, request) || weir_token_matches(s, request);
}
