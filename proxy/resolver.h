/* resolver: the addresses of origin servers that have names, asked for again when their time to live is over, in a thread of
 * its own: no worker ever waits for a name server. What was found last stays while a name server fails.
 * Ownership: resolver_new gives one, resolver_free ends it, after its last name was left. Names are counted.
 * Threads: any; resolver_round by one thread at a time: the resolver's own once it was started.                          */
#ifndef WEIR_PROXY_RESOLVER_H
#define WEIR_PROXY_RESOLVER_H

#include "headers/view.h"

enum {
    RESOLVER_ADDRESSES_MAX = 16, /* of one name; more are not used */
    RESOLVER_TTL_MIN_S = 1,
    RESOLVER_TTL_MAX_S = 300,
    RESOLVER_TTL_UNKNOWN_S = 30, /* for what no name server told: /etc/hosts, for one */
    RESOLVER_RETRY_S = 2,        /* after a failure */
};

/* What a name stands for: numeric, IPv6 without brackets. */
struct addresses {
    char text[RESOLVER_ADDRESSES_MAX][46];
    size_t count;
    int64_t ttl_s; /* -1: not known */
};

/** Ask for the addresses of a name. May take its time. @return NULL, or why there are none */
typedef const char *(*resolver_look_up)(const char *host, struct addresses *out);
/** By getaddrinfo, and the time to live by a query of its own, as getaddrinfo does not tell it. */
const char *resolver_ask_system(const char *host, struct addresses *out);

struct resolver;
struct resolved;

/** @return NULL: no memory */
MUST_USE struct resolver *resolver_new(resolver_look_up look_up);
/** @return 0, or a negative errno: no thread could be made */
MUST_USE int resolver_start(struct resolver *r);
void resolver_free(struct resolver *r);

/** Have this name resolved from now on. @return NULL: no memory */
MUST_USE struct resolved *resolver_join(struct resolver *r, const char *host);
void resolver_leave(struct resolver *r, struct resolved **n);

/** Changes whenever the addresses do, and when others of several should be first; 0 while none is known. */
unsigned resolved_version(const struct resolved *n);
/** The addresses as "A,B,[C]", beginning with another one for each `turn`.
 *  @return their version; 0: none is known, or they do not fit */
unsigned resolved_list(struct resolved *n, unsigned turn, char *to, size_t cap);

/** Ask for what is due. @return when to come again, at now_ms' scale; -1: nobody is waiting for anything */
int64_t resolver_round(struct resolver *r, int64_t now_ms);

#endif
