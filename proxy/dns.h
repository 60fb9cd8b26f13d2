/* dns: asks name servers and /etc/hosts for what a resolver wants to know, in a thread and a loop of its own.
 * Ownership: dns_new gives one, dns_free ends it, before the resolver. Threads: dns_use from any, one at a time; new, start and
 * free by one.                                                                                                             */
#ifndef WEIR_PROXY_DNS_H
#define WEIR_PROXY_DNS_H

#include "proxy/resolver.h"
#include "proxy/site.h"

struct dns;

/** Answers r's questions once it was started. @return NULL with `why` */
MUST_USE struct dns *dns_new(struct resolver *r, char *why, size_t cap);
/** @return 0, or a negative errno: no thread could be made */
MUST_USE int dns_start(struct dns *d);
/** Ask as this site says, and keep the names of its origins' servers resolved, whether or not anybody fetches. Without memory
 *  it stays as it was. Borrows nothing. */
void dns_use(struct dns *d, const struct site *s);
void dns_free(struct dns *d);

/** "9.9.9.9", "9.9.9.9:53", "[2620:fe::fe]:53". NULL, or what would be right. */
const char *check_name_server(struct view v);

#endif
