/* upgrade: which protocols a request may ask its origin server to switch to (RFC 9110 §7.8).
 * Ownership: what comes out borrows from what went in. Threads: pure functions.                                         */
#ifndef WEIR_PROXY_UPGRADE_H
#define WEIR_PROXY_UPGRADE_H

#include "cache/policy.h"
#include "headers/message.h"

enum { UPGRADE_OFFER_MAX = 256 };

/** What of the request's Upgrade goes on: its protocols that are among `allowed`, in its order. Only a GET of HTTP/1.1
 *  asks in a way that counts, and only when its Connection names upgrade.
 *  @param allowed  a name without a version stands for every version
 *  @return         bytes written, "websocket, chat/2"; 0: none. Protocols that do not fit are left out */
size_t upgrade_offer(const struct request_head *r, const struct views *allowed, char *to, size_t cap);

/** A 101 must name what is spoken from here on, and nothing that was not offered. */
bool upgrade_was_offered(struct field_section response, struct view offer);

/** NULL, or what would be right: a name, with a version or without; nothing that is HTTP again, whose requests nobody would
 *  look at, nor TLS, behind which nobody could. */
const char *upgrade_check_protocol(struct view protocol);

#endif
