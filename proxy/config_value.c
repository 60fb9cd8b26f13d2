#include "proxy/config_value.h"

#include "headers/field.h"
#include "headers/message.h"
#include "headers/target.h"
#include "proxy/cidr.h"
#include "proxy/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const char *value_flag(struct view v, bool *out)
{
    *out = view_equal(v, VIEW("true"));
    return *out || view_equal(v, VIEW("false")) ? NULL : "true or false";
}

const char *value_number(struct view v, int64_t *out)
{
    return view_parse_decimal(v, INT64_MAX, out) ? NULL : "a whole number";
}

/* ---- durations */

struct unit {
    const char *name;
    int64_t size;
};

static const struct unit durations[] = {
    { "w", 7 * 24 * 3600 * (int64_t)1000 },
    { "d", 24 * 3600 * (int64_t)1000 },
    { "h", 3600 * 1000 },
    { "m", 60 * 1000 },
    { "s", 1000 },
    { "ms", 1 },
};

/* Cuts "30" and "s" off *rest. False: no number with a unit stands there. */
static bool duration_piece(struct view *rest, int64_t *ms)
{
    size_t digits = 0, letters = 0;
    int64_t n;
    while (digits < rest->len && is_digit(rest->at[digits])) digits++;
    while (digits + letters < rest->len && !is_digit(rest->at[digits + letters])) letters++;
    struct view unit = view_of(rest->at + digits, letters);
    if (!view_parse_decimal(view_first(*rest, digits), INT32_MAX + (int64_t)1, &n) || n > INT32_MAX) return false;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        if (!view_equal(unit, view_of_str(durations[i].name))) continue;
        *ms = n * durations[i].size; /* 2^31 weeks still fit */
        *rest = view_after(*rest, digits + letters);
        return true;
    }
    return false;
}

const char *value_milliseconds(struct view v, int64_t *out)
{
    static const char right[] = "a number with a unit: 250ms, 30s, 5m, 1h, 7d";
    int64_t sum = 0, piece;
    if (view_equal(v, VIEW("0"))) {
        *out = 0;
        return NULL;
    }
    if (v.len == 0) return right;
    while (v.len > 0) {
        if (!duration_piece(&v, &piece) || __builtin_add_overflow(sum, piece, &sum)) return right;
    }
    *out = sum;
    return NULL;
}

const char *value_bytes(struct view v, int64_t *out)
{
    char text[32];
    uint64_t bytes;
    static const char right[] = "a number with a unit: 64KiB, 256MiB, 4GiB";
    if (v.len >= sizeof text) return right;
    memcpy(text, v.at, v.len);
    text[v.len] = '\0';
    if (!size_parse(text, &bytes) || bytes > INT64_MAX) return right;
    *out = (int64_t)bytes;
    return NULL;
}

const char *value_percent(struct view v, int64_t *out)
{
    bool has_sign = v.len > 1 && v.at[v.len - 1] == '%';
    return has_sign && view_parse_decimal(view_first(v, v.len - 1), INT32_MAX, out) ? NULL : "a percentage: 10%";
}

/* ---- checks */

const char *check_address_port(struct view v)
{
    static const char right[] = "ADDRESS:PORT, as in 127.0.0.1:8080, 0.0.0.0:80 or \"[::1]:8080\"";
    size_t colon = v.len;
    int64_t port;
    while (colon > 0 && v.at[colon - 1] != ':') colon--;
    if (colon < 2 || !view_parse_decimal(view_after(v, colon), 65536, &port) || port < 1 || port > 65535) return right;
    struct view host = view_first(v, colon - 1);
    bool bare_ipv6 = view_find(host, 0, ':') < host.len && host.at[0] != '[';
    return bare_ipv6 || !authority_is_valid(host) ? right : NULL;
}

const char *check_field_name(struct view v)
{
    return field_name_is_valid(v) ? NULL : "a field name: letters, digits and -, as in X-Tenant";
}

const char *check_field_value(struct view v)
{
    return field_value_is_valid(v) ? NULL : "a field value: no line ends, no control characters";
}

const char *check_token(struct view v)
{
    return view_is_token(v) ? NULL : "a name without blanks and separators";
}

const char *check_not_empty(struct view v)
{
    return v.len > 0 ? NULL : "a text that is not empty";
}

const char *check_path(struct view v)
{
    return v.len > 0 && v.len < 4096 ? NULL : "a path of a file";
}

const char *check_authority(struct view v)
{
    return authority_is_valid(v) ? NULL : "a host name, perhaps with a port";
}

const char *check_cidr(struct view v)
{
    struct cidr c;
    return cidr_parse(v, &c) ? NULL : "an address or a block with no bit set behind its prefix: 192.0.2.0/24, \"::1\"";
}

const char *check_word(struct view v)
{
    static const char right[] = "a name of letters, digits, -, _ and .";
    for (size_t i = 0; i < v.len; i++) {
        char c = ascii_lower(v.at[i]);
        if (!is_digit(c) && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.') return right;
    }
    return v.len > 0 && v.len <= 64 ? NULL : right;
}

const char *check_method(struct view v)
{
    switch (method_of(v)) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_POST:
    case METHOD_QUERY: return NULL;
    default: return "GET, HEAD, POST or QUERY";
    }
}

const char *check_secret(struct view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] <= ' ' || v.at[i] > '~') return "a secret of visible ASCII characters";
    return v.len >= SECRET_MIN ? NULL : "at least 8 characters, random ones";
}

/* ---- writing */

struct text_out text_out_in(char *to, size_t cap)
{
    to[0] = '\0';
    return (struct text_out){ .at = to, .cap = cap };
}

void out_format(struct text_out *o, const char *format, ...)
{
    va_list args;
    size_t room = o->cap - o->used;
    va_start(args, format);
    int n = vsnprintf(o->at + o->used, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room) {
        o->full = true;
        o->at[o->used] = '\0';
    } else {
        o->used += (size_t)n;
    }
}

static void out_in_units(struct text_out *o, int64_t n, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool fits = n >= units[i].size && n % units[i].size == 0;
        if (!fits && i + 1 < count) continue;
        out_format(o, "%" PRId64 "%s", n / units[i].size, units[i].name);
        return;
    }
}

void out_milliseconds(struct text_out *o, int64_t ms)
{
    if (ms == 0)
        out_format(o, "0s");
    else
        out_in_units(o, ms, durations, sizeof durations / sizeof *durations);
}

void out_bytes(struct text_out *o, int64_t bytes)
{
    static const struct unit sizes[] = {
        { "TiB", (int64_t)1 << 40 }, { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "", 1 }
    };
    out_in_units(o, bytes, sizes, sizeof sizes / sizeof *sizes);
}

/* What YAML reads as itself in any place: a word that is neither a number nor one of YAML's own. */
static bool is_plain(struct view v)
{
    if (v.len == 0 || ascii_lower(v.at[0]) < 'a' || ascii_lower(v.at[0]) > 'z') return v.len > 0 && v.at[0] == '/';
    for (size_t i = 0; i < v.len; i++) {
        char c = ascii_lower(v.at[i]);
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && !is_digit(c) && memchr("-_./*", c, 5) == NULL) return false;
    }
    return true;
}

void out_text(struct text_out *o, struct view v)
{
    if (is_plain(v)) {
        out_format(o, "%.*s", (int)v.len, v.at);
        return;
    }
    out_format(o, "\"");
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.at[i];
        if (c == '"' || c == '\\')
            out_format(o, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            out_format(o, "\\x%02x", c);
        else
            out_format(o, "%c", c);
    }
    out_format(o, "\"");
}

void out_secret(struct text_out *o, struct view v)
{
    if (o->reveal)
        out_text(o, v);
    else
        out_format(o, "(secret)");
}
