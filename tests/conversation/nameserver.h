/* nameserver: a name server that says of every name what the test tells it to (RFC 1035), and counts what it is asked.
 * Ownership: addresses are borrowed until it is told others. Threads: one answers; all functions are for the test's own. */
#ifndef WEIR_TESTS_NAMESERVER_H
#define WEIR_TESTS_NAMESERVER_H

#include <stddef.h>

enum naming {
    NAMES_ADDRESSES, /* those of `addresses`; none of them: the name has none */
    NAMES_UNKNOWN,   /* there is no such name */
    NAMES_FAILURE,   /* SERVFAIL */
    NAMES_SILENCE,
    NAMES_TRUNCATED, /* the same as NAMES_ADDRESSES, but only over TCP */
};

struct nameserver;

/** NULL when it cannot. */
struct nameserver *nameserver_start(void);
int nameserver_port(const struct nameserver *n);
/** @param addresses  "127.0.0.1 127.0.0.2", IPv6 ones among them */
void nameserver_says(struct nameserver *n, enum naming what, const char *addresses, unsigned ttl_s);
/** Questions for IPv4 addresses heard. */
size_t nameserver_count(struct nameserver *n);
/** Wait for that many. */
void nameserver_wait_count(struct nameserver *n, size_t count);
void nameserver_end(struct nameserver *n);

#endif
