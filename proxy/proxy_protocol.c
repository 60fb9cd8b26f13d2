#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>

enum {
    PORT_MAX = 65535,
    V1_MAX = 107,
    V1_WORDS = 6,
    V2_FIXED = 16,
    V2_VERSION = 2,
    V2_LOCAL = 0,
    V2_PROXY = 1,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21
};

static const uint8_t v2_signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };
static const char v1_signature[] = "PROXY ";

/* As much of the signature as is there yet. */
static bool begins(const uint8_t *at, size_t len, const void *signature, size_t signature_len)
{
    return memcmp(at, signature, len < signature_len ? len : signature_len) == 0;
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443" CRLF */

static bool set_client(struct proxy_header *out, bool v6, struct view address, struct view port)
{
    char text[INET6_ADDRSTRLEN];
    int64_t number;
    if (address.len >= sizeof text || !view_parse_decimal(port, PORT_MAX + 1, &number) || number > PORT_MAX)
        return false;
    memcpy(text, address.at, address.len);
    text[address.len] = '\0';
    out->has_client = true;
    if (v6) {
        out->client.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number) };
        out->client_len = sizeof out->client.v6;
        return inet_pton(AF_INET6, text, &out->client.v6.sin6_addr) == 1;
    }
    out->client.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)number) };
    out->client_len = sizeof out->client.v4;
    return inet_pton(AF_INET, text, &out->client.v4.sin_addr) == 1;
}

static size_t split(struct view line, struct view *words)
{
    size_t n = 0;
    for (size_t from = 0; from <= line.len; n++) {
        size_t end = view_find(line, from, ' ');
        if (n == V1_WORDS) return 0;
        words[n] = view_of(line.at + from, end - from);
        from = end + 1;
    }
    return n;
}

static enum proxy_header_verdict parse_v1(const uint8_t *at, size_t len, struct proxy_header *out)
{
    struct view words[V1_WORDS], all = view_of((const char *)at, len < V1_MAX ? len : V1_MAX);
    size_t end = view_find(all, 0, '\n');
    if (end == all.len) return len < V1_MAX ? PROXY_HEADER_UNFINISHED : PROXY_HEADER_BAD;
    if (end == 0 || all.at[end - 1] != '\r') return PROXY_HEADER_BAD;
    size_t n = split(view_first(all, end - 1), words);
    out->len = end + 1;
    if (n >= 2 && view_equal(words[1], VIEW("UNKNOWN"))) return PROXY_HEADER_WHOLE;
    bool v4 = n == V1_WORDS && view_equal(words[1], VIEW("TCP4"));
    bool v6 = n == V1_WORDS && view_equal(words[1], VIEW("TCP6"));
    if (!v4 && !v6) return PROXY_HEADER_BAD;
    return set_client(out, v6, words[2], words[4]) ? PROXY_HEADER_WHOLE : PROXY_HEADER_BAD;
}

/* ---- version 2: signature, version and command, family and protocol, length, addresses, TLVs */

static bool take_v2_client(const uint8_t *addresses, size_t len, uint8_t family, struct proxy_header *out)
{
    enum { V4_BYTES = 12, V6_BYTES = 36 };
    if (family == V2_TCP4) {
        if (len < V4_BYTES) return false;
        out->client.v4 = (struct sockaddr_in){ .sin_family = AF_INET };
        memcpy(&out->client.v4.sin_addr, addresses, 4);
        memcpy(&out->client.v4.sin_port, addresses + 8, 2);
        out->client_len = sizeof out->client.v4;
    } else if (family == V2_TCP6) {
        if (len < V6_BYTES) return false;
        out->client.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
        memcpy(&out->client.v6.sin6_addr, addresses, 16);
        memcpy(&out->client.v6.sin6_port, addresses + 32, 2);
        out->client_len = sizeof out->client.v6;
    }
    out->has_client = out->client_len > 0;
    return true;
}

static enum proxy_header_verdict parse_v2(const uint8_t *at, size_t len, struct proxy_header *out)
{
    if (len < V2_FIXED) return PROXY_HEADER_UNFINISHED;
    unsigned version = at[12] >> 4, command = at[12] & 0x0f;
    size_t rest = (size_t)at[14] << 8 | at[15];
    if (version != V2_VERSION || command > V2_PROXY || V2_FIXED + rest > PROXY_HEADER_MAX) return PROXY_HEADER_BAD;
    if (len < V2_FIXED + rest) return PROXY_HEADER_UNFINISHED;
    out->len = V2_FIXED + rest;
    if (command == V2_LOCAL) return PROXY_HEADER_WHOLE;
    return take_v2_client(at + V2_FIXED, rest, at[13], out) ? PROXY_HEADER_WHOLE : PROXY_HEADER_BAD;
}

enum proxy_header_verdict proxy_header_parse(const uint8_t *at, size_t len, struct proxy_header *out)
{
    *out = (struct proxy_header){ .len = 0 };
    if (len == 0) return PROXY_HEADER_UNFINISHED;
    if (begins(at, len, v2_signature, sizeof v2_signature)) return parse_v2(at, len, out);
    if (begins(at, len, v1_signature, sizeof v1_signature - 1)) return parse_v1(at, len, out);
    return PROXY_HEADER_BAD;
}
