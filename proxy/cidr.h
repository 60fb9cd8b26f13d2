/* cidr: blocks of IP addresses, "127.0.0.0/8", "::1" (RFC 4632 §3.1, RFC 4291 §2.3). Pure functions. */
#ifndef WEIR_PROXY_CIDR_H
#define WEIR_PROXY_CIDR_H

#include "headers/view.h"

#include <sys/socket.h>

/* IPv4 as the IPv6 addresses that stand for it (RFC 4291 §2.5.5.2). */
struct cidr {
    uint8_t address[16];
    uint8_t bits; /* of the prefix, 0 to 128 */
};

/** An address alone is a block of one. False when bits behind the prefix are set, too: what is meant is not clear. */
MUST_USE bool cidr_parse(struct view text, struct cidr *out);
enum { CIDR_TEXT_MAX = 64 };
/** The text that cidr_parse reads, NUL-terminated. */
void cidr_format(const struct cidr *block, char *to, size_t cap);
bool cidr_contains(const struct cidr *block, const struct sockaddr *address);
bool cidr_any_contains(const struct cidr *blocks, size_t n, const struct sockaddr *address);

#endif
