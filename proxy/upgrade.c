#include "proxy/upgrade.h"

#include "headers/list.h"

/* protocol = protocol-name [ "/" protocol-version ] */
static struct view name_of(struct view protocol)
{
    return view_first(protocol, view_find(protocol, 0, '/'));
}

static bool is_protocol(struct view v)
{
    struct view name = name_of(v);
    return view_is_token(name) && (name.len == v.len || view_is_token(view_after(v, name.len + 1)));
}

static bool is_allowed(struct view protocol, const struct views *allowed)
{
    if (!is_protocol(protocol)) return false;
    for (size_t i = 0; i < allowed->count; i++) {
        struct view a = allowed->at[i];
        if (view_equal_nocase(a, name_of(a).len < a.len ? protocol : name_of(protocol))) return true;
    }
    return false;
}

size_t upgrade_offer(const struct request_head *r, const struct views *allowed, char *to, size_t cap)
{
    struct list_walk w = list_of(r->fields, FIELD_UPGRADE);
    struct view protocol;
    size_t used = 0;
    if (allowed->count == 0 || r->method != METHOD_GET || r->http_minor == 0) return 0;
    if (!list_has_token(r->fields, FIELD_CONNECTION, VIEW("upgrade"))) return 0;
    while (list_walk_next(&w, &protocol)) {
        struct view comma = used > 0 ? VIEW(", ") : VIEW("");
        if (!is_allowed(protocol, allowed) || comma.len + protocol.len > cap - used) continue;
        memcpy(to + used, comma.at, comma.len);
        memcpy(to + used + comma.len, protocol.at, protocol.len);
        used += comma.len + protocol.len;
    }
    return used;
}

bool upgrade_was_offered(struct field_section response, struct view offer)
{
    struct list_walk w = list_of(response, FIELD_UPGRADE);
    struct view protocol, offered;
    size_t count = 0;
    for (; list_walk_next(&w, &protocol); count++) {
        struct view rest = offer;
        bool found = false;
        while (!found && list_next(&rest, &offered)) found = view_equal_nocase(protocol, offered);
        if (!found) return false;
    }
    return count > 0;
}

const char *upgrade_check_protocol(struct view protocol)
{
    static const char *const unseen[] = { "h2c", "h2", "http", "tls" };
    if (!is_protocol(protocol)) return "the name of a protocol: websocket";
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        if (view_equal_nocase(name_of(protocol), view_of_str(unseen[i])))
            return "a protocol other than HTTP and TLS, whose requests would pass by routes and cache: websocket";
    return NULL;
}
