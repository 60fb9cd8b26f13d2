#include "headers/field.h"

/* clang-format off */
#define ROW(name, hop_by_hop, store, freshen, list, nocase_value) \
    { name, sizeof(name) - 1, hop_by_hop, store, freshen, list, nocase_value }

/* One row per field of field_names.h, in its order. Hop-by-hop: RFC 9110 §7.6.1 and, for Proxy-*, §11.7. Stored is all
 * the rest (RFC 9111 §3.1). A 304 freshens all that is stored but what describes the stored content itself, and
 * Set-Cookie, which belongs to one client (§3.2). */
static const struct field_traits rows[FIELD_ID_COUNT] = {
    /*                                       name                        hop    store  freshen list   nocase_value */
    [FIELD_OTHER]                       = ROW("",                          false, true,  true,   false, false),
    [FIELD_ACCEPT]                      = ROW("accept",                    false, true,  true,   true,  false),
    [FIELD_ACCEPT_CHARSET]              = ROW("accept-charset",            false, true,  true,   true,  true),
    [FIELD_ACCEPT_ENCODING]             = ROW("accept-encoding",           false, true,  true,   true,  true),
    [FIELD_ACCEPT_LANGUAGE]             = ROW("accept-language",           false, true,  true,   true,  true),
    [FIELD_ACCEPT_RANGES]               = ROW("accept-ranges",             false, true,  true,   true,  true),
    [FIELD_AGE]                         = ROW("age",                       false, true,  true,   false, false),
    [FIELD_AUTHORIZATION]               = ROW("authorization",             false, true,  true,   false, false),
    [FIELD_CACHE_CONTROL]               = ROW("cache-control",             false, true,  true,   true,  false),
    [FIELD_CACHE_GROUP_INVALIDATION]    = ROW("cache-group-invalidation",  false, true,  true,   true,  false),
    [FIELD_CACHE_GROUPS]                = ROW("cache-groups",              false, true,  true,   true,  false),
    [FIELD_CACHE_STATUS]                = ROW("cache-status",              false, true,  true,   true,  false),
    [FIELD_CACHE_TAG]                   = ROW("cache-tag",                 false, true,  true,   true,  false),
    [FIELD_CDN_CACHE_CONTROL]           = ROW("cdn-cache-control",         false, true,  true,   true,  false),
    [FIELD_CDN_LOOP]                    = ROW("cdn-loop",                  false, true,  true,   true,  false),
    [FIELD_CONNECTION]                  = ROW("connection",                true,  false, false,  true,  true),
    [FIELD_CONTENT_ENCODING]            = ROW("content-encoding",          false, true,  false,  true,  true),
    [FIELD_CONTENT_LENGTH]              = ROW("content-length",            false, true,  false,  false, false),
    [FIELD_CONTENT_LOCATION]            = ROW("content-location",          false, true,  true,   false, false),
    [FIELD_CONTENT_RANGE]               = ROW("content-range",             false, true,  false,  false, false),
    [FIELD_CONTENT_TYPE]                = ROW("content-type",              false, true,  true,   false, false),
    [FIELD_COOKIE]                      = ROW("cookie",                    false, true,  true,   false, false),
    [FIELD_DATE]                        = ROW("date",                      false, true,  true,   false, false),
    [FIELD_ETAG]                        = ROW("etag",                      false, true,  true,   false, false),
    [FIELD_EXPECT]                      = ROW("expect",                    false, true,  true,   true,  true),
    [FIELD_EXPIRES]                     = ROW("expires",                   false, true,  true,   false, false),
    [FIELD_FORWARDED]                   = ROW("forwarded",                 false, true,  true,   true,  false),
    [FIELD_HOST]                        = ROW("host",                      false, true,  true,   false, true),
    [FIELD_HTTP2_SETTINGS]              = ROW("http2-settings",            true,  false, false,  false, false),
    [FIELD_IF_MATCH]                    = ROW("if-match",                  false, true,  true,   true,  false),
    [FIELD_IF_MODIFIED_SINCE]           = ROW("if-modified-since",         false, true,  true,   false, false),
    [FIELD_IF_NONE_MATCH]               = ROW("if-none-match",             false, true,  true,   true,  false),
    [FIELD_IF_RANGE]                    = ROW("if-range",                  false, true,  true,   false, false),
    [FIELD_IF_UNMODIFIED_SINCE]         = ROW("if-unmodified-since",       false, true,  true,   false, false),
    [FIELD_KEEP_ALIVE]                  = ROW("keep-alive",                true,  false, false,  true,  false),
    [FIELD_LAST_MODIFIED]               = ROW("last-modified",             false, true,  true,   false, false),
    [FIELD_LOCATION]                    = ROW("location",                  false, true,  true,   false, false),
    [FIELD_MAX_FORWARDS]                = ROW("max-forwards",              false, true,  true,   false, false),
    [FIELD_PRAGMA]                      = ROW("pragma",                    false, true,  true,   true,  false),
    [FIELD_PROXY_AUTHENTICATE]          = ROW("proxy-authenticate",        true,  false, false,  true,  false),
    [FIELD_PROXY_AUTHENTICATION_INFO]   = ROW("proxy-authentication-info", true,  false, false,  false, false),
    [FIELD_PROXY_AUTHORIZATION]         = ROW("proxy-authorization",       true,  false, false,  false, false),
    [FIELD_PROXY_CONNECTION]            = ROW("proxy-connection",          true,  false, false,  false, false),
    [FIELD_RANGE]                       = ROW("range",                     false, true,  true,   false, false),
    [FIELD_SET_COOKIE]                  = ROW("set-cookie",                false, true,  false,  false, false),
    [FIELD_SOFT_PURGE]                  = ROW("soft-purge",                false, true,  true,   false, false),
    [FIELD_SURROGATE_KEY]               = ROW("surrogate-key",             false, true,  true,   false, false),
    [FIELD_TE]                          = ROW("te",                        true,  false, false,  true,  true),
    [FIELD_TRAILER]                     = ROW("trailer",                   true,  false, false,  true,  true),
    [FIELD_TRANSFER_ENCODING]           = ROW("transfer-encoding",         true,  false, false,  true,  true),
    [FIELD_UPGRADE]                     = ROW("upgrade",                   true,  false, false,  true,  false),
    [FIELD_USER_AGENT]                  = ROW("user-agent",                false, true,  true,   false, false),
    [FIELD_VARY]                        = ROW("vary",                      false, true,  true,   true,  true),
    [FIELD_VIA]                         = ROW("via",                       false, true,  true,   true,  false),
    [FIELD_WARNING]                     = ROW("warning",                   false, true,  true,   true,  false),
    [FIELD_X_FORWARDED_FOR]             = ROW("x-forwarded-for",           false, true,  true,   true,  false),
    [FIELD_X_FORWARDED_HOST]            = ROW("x-forwarded-host",          false, true,  true,   true,  true),
    [FIELD_X_FORWARDED_PROTO]           = ROW("x-forwarded-proto",         false, true,  true,   true,  true),
    [FIELD_XKEY]                        = ROW("xkey",                      false, true,  true,   false, false),
};

enum { NAME_LEN_MIN = 2, NAME_LEN_MAX = 25, SLOTS = 256 };

/* Second character, last but one, length: with these two factors no two rows share a slot. A new row that does is a
 * compile error (an initializer overridden): then look for other factors. The test of this file asks for every row. */
#define SLOT(second, last_but_one, len) ((26 * (len) + 55 * (second) + (last_but_one)) % SLOTS)

static const uint8_t id_at_slot[SLOTS] = {
    [SLOT('c', 'p',  6)] = FIELD_ACCEPT,
    [SLOT('c', 'e', 14)] = FIELD_ACCEPT_CHARSET,
    [SLOT('c', 'n', 15)] = FIELD_ACCEPT_ENCODING,
    [SLOT('c', 'g', 15)] = FIELD_ACCEPT_LANGUAGE,
    [SLOT('c', 'e', 13)] = FIELD_ACCEPT_RANGES,
    [SLOT('g', 'g',  3)] = FIELD_AGE,
    [SLOT('u', 'o', 13)] = FIELD_AUTHORIZATION,
    [SLOT('a', 'o', 13)] = FIELD_CACHE_CONTROL,
    [SLOT('a', 'o', 24)] = FIELD_CACHE_GROUP_INVALIDATION,
    [SLOT('a', 'p', 12)] = FIELD_CACHE_GROUPS,
    [SLOT('a', 'u', 12)] = FIELD_CACHE_STATUS,
    [SLOT('a', 'a',  9)] = FIELD_CACHE_TAG,
    [SLOT('d', 'o', 17)] = FIELD_CDN_CACHE_CONTROL,
    [SLOT('d', 'o',  8)] = FIELD_CDN_LOOP,
    [SLOT('o', 'o', 10)] = FIELD_CONNECTION,
    [SLOT('o', 'n', 16)] = FIELD_CONTENT_ENCODING,
    [SLOT('o', 't', 14)] = FIELD_CONTENT_LENGTH,
    [SLOT('o', 'o', 16)] = FIELD_CONTENT_LOCATION,
    [SLOT('o', 'g', 13)] = FIELD_CONTENT_RANGE,
    [SLOT('o', 'p', 12)] = FIELD_CONTENT_TYPE,
    [SLOT('o', 'i',  6)] = FIELD_COOKIE,
    [SLOT('a', 't',  4)] = FIELD_DATE,
    [SLOT('t', 'a',  4)] = FIELD_ETAG,
    [SLOT('x', 'c',  6)] = FIELD_EXPECT,
    [SLOT('x', 'e',  7)] = FIELD_EXPIRES,
    [SLOT('o', 'e',  9)] = FIELD_FORWARDED,
    [SLOT('o', 's',  4)] = FIELD_HOST,
    [SLOT('t', 'g', 14)] = FIELD_HTTP2_SETTINGS,
    [SLOT('f', 'c',  8)] = FIELD_IF_MATCH,
    [SLOT('f', 'c', 17)] = FIELD_IF_MODIFIED_SINCE,
    [SLOT('f', 'c', 13)] = FIELD_IF_NONE_MATCH,
    [SLOT('f', 'g',  8)] = FIELD_IF_RANGE,
    [SLOT('f', 'c', 19)] = FIELD_IF_UNMODIFIED_SINCE,
    [SLOT('e', 'v', 10)] = FIELD_KEEP_ALIVE,
    [SLOT('a', 'e', 13)] = FIELD_LAST_MODIFIED,
    [SLOT('o', 'o',  8)] = FIELD_LOCATION,
    [SLOT('a', 'd', 12)] = FIELD_MAX_FORWARDS,
    [SLOT('r', 'm',  6)] = FIELD_PRAGMA,
    [SLOT('r', 't', 18)] = FIELD_PROXY_AUTHENTICATE,
    [SLOT('r', 'f', 25)] = FIELD_PROXY_AUTHENTICATION_INFO,
    [SLOT('r', 'o', 19)] = FIELD_PROXY_AUTHORIZATION,
    [SLOT('r', 'o', 16)] = FIELD_PROXY_CONNECTION,
    [SLOT('a', 'g',  5)] = FIELD_RANGE,
    [SLOT('e', 'i', 10)] = FIELD_SET_COOKIE,
    [SLOT('o', 'g', 10)] = FIELD_SOFT_PURGE,
    [SLOT('u', 'e', 13)] = FIELD_SURROGATE_KEY,
    [SLOT('e', 't',  2)] = FIELD_TE,
    [SLOT('r', 'e',  7)] = FIELD_TRAILER,
    [SLOT('r', 'n', 17)] = FIELD_TRANSFER_ENCODING,
    [SLOT('p', 'd',  7)] = FIELD_UPGRADE,
    [SLOT('s', 'n', 10)] = FIELD_USER_AGENT,
    [SLOT('a', 'r',  4)] = FIELD_VARY,
    [SLOT('i', 'i',  3)] = FIELD_VIA,
    [SLOT('a', 'n',  7)] = FIELD_WARNING,
    [SLOT('-', 'o', 15)] = FIELD_X_FORWARDED_FOR,
    [SLOT('-', 's', 16)] = FIELD_X_FORWARDED_HOST,
    [SLOT('-', 't', 17)] = FIELD_X_FORWARDED_PROTO,
    [SLOT('k', 'e',  4)] = FIELD_XKEY,
};
/* clang-format on */

const struct field_traits *field_traits_of(enum field_id id)
{
    return &rows[id];
}

static uint64_t load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Eight bytes equal, ASCII case ignored; `row` is in lower case. A bit 0x20 may differ only where row has a letter, and
 * of what a field name is made of here (letters, digits, '-') only letters have 0x40 set. */
static bool same8(const char *received, const char *row)
{
    uint64_t want = load8(row);
    uint64_t may_differ = (want & 0x4040404040404040u) >> 1;
    return ((load8(received) ^ want) & ~may_differ) == 0;
}

/* Both are len bytes long; the last eight are compared in one go, though some may have been seen before. */
static bool same_name(const char *received, const char *row, size_t len)
{
    if (len < 8) {
        for (size_t i = 0; i < len; i++) {
            if (ascii_lower(received[i]) != row[i]) return false;
        }
        return true;
    }
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (!same8(received + i, row + i)) return false;
    }
    return same8(received + len - 8, row + len - 8);
}

enum field_id field_id_of(struct view name)
{
    if (name.len < NAME_LEN_MIN || name.len > NAME_LEN_MAX) return FIELD_OTHER;
    size_t second = (unsigned char)name.at[1] | 0x20u; /* lower case, if it is a letter at all */
    size_t last_but_one = (unsigned char)name.at[name.len - 2] | 0x20u;
    enum field_id id = (enum field_id)id_at_slot[SLOT(second, last_but_one, name.len)];
    const char *row = rows[id].name;
    return rows[id].name_len == name.len && same_name(name.at, row, name.len) ? id : FIELD_OTHER;
}
