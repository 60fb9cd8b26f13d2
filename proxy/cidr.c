#include "proxy/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { MAPPED_BITS = 96, ADDRESS_BITS = 128 };

static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };

static bool equal_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, left = bits % 8;
    if (memcmp(a, b, whole) != 0) return false;
    return left == 0 || ((a[whole] ^ b[whole]) >> (8 - left)) == 0;
}

static bool is_clear_behind(const struct cidr *c)
{
    for (unsigned i = c->bits; i < ADDRESS_BITS; i++)
        if ((c->address[i / 8] >> (7 - i % 8) & 1) != 0) return false;
    return true;
}

bool cidr_parse(struct view text, struct cidr *out)
{
    char address[INET6_ADDRSTRLEN];
    size_t slash = view_find(text, 0, '/');
    int64_t bits = -1;
    if (slash == 0 || slash >= sizeof address) return false;
    memcpy(address, text.at, slash);
    address[slash] = '\0';
    bool v4 = strchr(address, ':') == NULL;
    int64_t most = v4 ? ADDRESS_BITS - MAPPED_BITS : ADDRESS_BITS;
    memcpy(out->address, mapped, sizeof mapped);
    if (inet_pton(v4 ? AF_INET : AF_INET6, address, v4 ? out->address + 12 : out->address) != 1) return false;
    if (slash == text.len)
        bits = most;
    else if (!view_parse_decimal(view_after(text, slash + 1), ADDRESS_BITS + 1, &bits) || bits > most)
        return false;
    out->bits = (uint8_t)(v4 ? bits + MAPPED_BITS : bits);
    return is_clear_behind(out);
}

void cidr_format(const struct cidr *block, char *to, size_t cap)
{
    char address[INET6_ADDRSTRLEN] = "";
    bool v4 = block->bits >= MAPPED_BITS && memcmp(block->address, mapped, 12) == 0;
    unsigned bits = v4 ? block->bits - MAPPED_BITS : block->bits, most = v4 ? ADDRESS_BITS - MAPPED_BITS : ADDRESS_BITS;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? block->address + 12 : block->address, address, sizeof address);
    if (bits == most)
        snprintf(to, cap, "%s", address);
    else
        snprintf(to, cap, "%s/%u", address, bits);
}

bool cidr_contains(const struct cidr *block, const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (address->sa_family == AF_INET) {
        memcpy(bytes, mapped, sizeof mapped);
        memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof bytes);
    } else {
        return false;
    }
    return equal_bits(block->address, bytes, block->bits);
}

bool cidr_any_contains(const struct cidr *blocks, size_t n, const struct sockaddr *address)
{
    for (size_t i = 0; i < n; i++)
        if (cidr_contains(&blocks[i], address)) return true;
    return false;
}
