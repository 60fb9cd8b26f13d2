#include "proxy/client_claims.h"

#include "headers/list.h"

#include <arpa/inet.h>

enum { CLAIMS_MAX = 64 /* members looked at, the last ones */ };

bool client_claims_in(enum field_id id)
{
    return id == FIELD_FORWARDED || id == FIELD_X_FORWARDED_FOR || id == FIELD_X_FORWARDED_HOST ||
           id == FIELD_X_FORWARDED_PROTO;
}

/* "192.0.2.1", "192.0.2.1:4000", "2001:db8::1", "[2001:db8::1]:4000" */
static bool parse_address(struct view v, union client_address *out)
{
    char text[INET6_ADDRSTRLEN];
    bool brackets = v.len > 0 && v.at[0] == '[';
    size_t colon = view_find(v, 0, ':');
    bool several_colons = colon < v.len && view_find(v, colon + 1, ':') < v.len;
    if (brackets)
        v = view_of(v.at + 1, view_find(v, 0, ']') - 1);
    else if (!several_colons)
        v = view_first(v, colon);
    if (v.len == 0 || v.len >= sizeof text) return false;
    memcpy(text, v.at, v.len);
    text[v.len] = '\0';
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->any.sa_family = AF_INET;
        return true;
    }
    out->any.sa_family = AF_INET6;
    return inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1;
}

/* A parameter of a forwarded-element (RFC 7239 §4), unquoted into `room`. */
static bool forwarded_parameter(struct view element, struct view name, char *room, size_t cap, struct view *out)
{
    for (size_t from = 0; from < element.len;) {
        size_t end = view_find(element, from, ';');
        struct view given, argument, piece = view_trim_ows(view_of(element.at + from, end - from));
        bool has_argument;
        list_split_argument(piece, &given, &argument, &has_argument);
        from = end + 1;
        if (!has_argument || !view_equal_nocase(given, name)) continue;
        int len = list_unquote(argument, room, cap);
        *out = len >= 0 ? view_of(room, (size_t)len) : argument;
        return true;
    }
    return false;
}

static bool parse_claim(enum field_id id, struct view member, union client_address *out)
{
    char room[128];
    struct view node = member;
    if (id == FIELD_FORWARDED && !forwarded_parameter(member, VIEW("for"), room, sizeof room, &node)) return false;
    return parse_address(node, out);
}

/* The last members of a list field, the last one first. */
static size_t members_from_the_end(struct field_section fields, enum field_id id, struct view *to)
{
    struct view ring[CLAIMS_MAX];
    struct list_walk w = list_of(fields, id);
    struct view member;
    size_t total = 0;
    while (list_walk_next(&w, &member)) ring[total++ % CLAIMS_MAX] = member;
    size_t count = total < CLAIMS_MAX ? total : CLAIMS_MAX;
    for (size_t i = 0; i < count; i++) to[i] = ring[(total - 1 - i) % CLAIMS_MAX];
    return count;
}

static bool address_in(enum field_id id, const struct cidrs *trusted, struct field_section fields,
                       union client_address *out)
{
    struct view members[CLAIMS_MAX];
    size_t count = members_from_the_end(fields, id, members);
    bool known = false;
    for (size_t i = 0; i < count; i++) {
        union client_address address;
        if (!parse_claim(id, members[i], &address)) break; /* "unknown": beyond it nothing is certain */
        *out = address;
        known = true;
        if (!cidr_any_contains(trusted->at, trusted->count, &address.any)) break;
    }
    return known;
}

static bool has_both(struct field_section fields, enum field_id x_field)
{
    return field_first(fields, x_field) != NULL && field_first(fields, FIELD_FORWARDED) != NULL;
}

bool client_address_claimed(const struct cidrs *trusted, struct field_section fields, union client_address *out)
{
    union client_address other;
    bool x_field = field_first(fields, FIELD_X_FORWARDED_FOR) != NULL;
    if (!address_in(x_field ? FIELD_X_FORWARDED_FOR : FIELD_FORWARDED, trusted, fields, out)) return false;
    if (!has_both(fields, FIELD_X_FORWARDED_FOR)) return true;
    return address_in(FIELD_FORWARDED, trusted, fields, &other) && memcmp(out, &other, sizeof other) == 0;
}

static bool scheme_in(enum field_id id, struct field_section fields, bool *https)
{
    struct view members[CLAIMS_MAX], scheme;
    char room[16];
    if (members_from_the_end(fields, id, members) == 0) return false;
    scheme = members[0];
    if (id == FIELD_FORWARDED && !forwarded_parameter(members[0], VIEW("proto"), room, sizeof room, &scheme))
        return false;
    *https = view_equal_nocase(scheme, VIEW("https"));
    return *https || view_equal_nocase(scheme, VIEW("http"));
}

bool client_scheme_claimed(struct field_section fields, bool *https)
{
    bool other, x_field = field_first(fields, FIELD_X_FORWARDED_PROTO) != NULL;
    if (!scheme_in(x_field ? FIELD_X_FORWARDED_PROTO : FIELD_FORWARDED, fields, https)) return false;
    return !has_both(fields, FIELD_X_FORWARDED_PROTO) || !scheme_in(FIELD_FORWARDED, fields, &other) || other == *https;
}
