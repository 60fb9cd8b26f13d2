/* resolver: the addresses of origin servers that have names, asked for again when their time to live is over. What was found
 * last stays while name servers fail. Whom to ask is another's affair (dns.h), so nobody here ever waits.
 * Ownership: resolver_new gives one, resolver_free ends it, after its last name was left. Names are counted.
 * Threads: any; but resolver_round and resolver_answer belong to one.                                                    */
#ifndef WEIR_PROXY_RESOLVER_H
#define WEIR_PROXY_RESOLVER_H

#include "headers/view.h"

enum {
    RESOLVER_ADDRESSES_MAX = 16, /* of one name in one family; more are not used */
    RESOLVER_ADDRESS_TEXT = 46,
    RESOLVER_TTL_UNKNOWN_S = 30, /* for what no name server told: /etc/hosts */
    RESOLVER_RETRY_S = 2,        /* after a failure */
    RESOLVER_SHUN_MS = 30 * 1000,
};

enum family { FAMILY_4, FAMILY_6, FAMILIES };

/* What a name stands for in one family: numeric, without brackets. */
struct addresses {
    char text[RESOLVER_ADDRESSES_MAX][RESOLVER_ADDRESS_TEXT];
    size_t count;  /* 0: the name has none there */
    int64_t ttl_s; /* -1: not known */
};

struct resolved;

/* How questions and news get out. */
struct resolver_ops {
    /** Ask for the addresses of `host` in both families, each to be answered by one resolver_answer, at once or later. */
    void (*ask)(void *arg, struct resolved *n, const char *host);
    /** A name was joined: resolver_round should come soon. From any thread. */
    void (*news)(void *arg);
    void *arg;
};

struct resolver;

/** @return NULL: no memory */
MUST_USE struct resolver *resolver_new(void);
void resolver_free(struct resolver *r);
/** Once, before any name is joined. */
void resolver_set_ops(struct resolver *r, struct resolver_ops ops);
/** Times to live are taken as at least and at most this. */
void resolver_set_ttl(struct resolver *r, int64_t least_s, int64_t most_s);

/** Have this name resolved from now on. @return NULL: no memory */
MUST_USE struct resolved *resolver_join(struct resolver *r, const char *host);
void resolver_leave(struct resolver *r, struct resolved **n);

/** Changes whenever the addresses do; 0 while none is known. */
unsigned resolved_version(const struct resolved *n);
/** Why the last asking found nothing, static text; NULL: it did, or has not ended yet. */
const char *resolved_why(const struct resolved *n);
/** The addresses as "A,B,[C]", beginning with another one for each `turn`, the shunned ones last.
 *  @param first  gets the one that stands first, without brackets
 *  @return       their version; 0: none is known, or they do not fit */
unsigned resolved_list(struct resolved *n, unsigned turn, int64_t now_ms, char *to, size_t cap,
                       char first[RESOLVER_ADDRESS_TEXT]);
/** Is this one of its addresses? */
bool resolved_has(struct resolved *n, const char *address);
/** Nobody answers at this address: for a while the others go first. */
void resolved_shun(struct resolved *n, const char *address, int64_t now_ms);

/** Ask for what is due. @return when to come again, at now_ms' scale; -1: nobody is waiting for anything */
int64_t resolver_round(struct resolver *r, int64_t now_ms);
/** What was found in one family. @param found  NULL: nobody knows, and `why` (static text) says it; without it the question was
 *  broken off, which says nothing of the name: it is asked for again at once */
void resolver_answer(struct resolver *r, struct resolved *n, enum family family, const struct addresses *found,
                     const char *why, int64_t now_ms);

#endif
