/* net: the few socket helpers the benchmark's programs share.
 * Ownership: a descriptor returned is the caller's to close.
 * Threads: none of the programs has more than one.
 * Errors: these are tools run by hand; what cannot go on ends the program with one line on stderr (die). */
#ifndef WEIR_TESTS_BENCH_NET_H
#define WEIR_TESTS_BENCH_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "headers/view.h"

/** Print "PROGRAM: what: why" with errno's reason (none when errno is 0) and exit 1. */
_Noreturn void die(const char *program, const char *what);

/** Read "127.0.0.1:8080" (IPv4, numbers only). @return whether it could be read. */
MUST_USE bool address_read(const char *text, struct sockaddr_in *out);

/** Read a whole decimal number up to max. @return whether text is one. */
MUST_USE bool number_read(const char *text, uint64_t max, uint64_t *out);

/** A listening socket, not blocking; -errno on failure. */
MUST_USE int listen_on(const struct sockaddr_in *at);

/** A connected, blocking socket with TCP_NODELAY; -errno on failure. */
MUST_USE int connect_to(const struct sockaddr_in *at);

/** Raise the soft limit of open files to the hard one. */
void files_raise(void);

/** Monotonic time in nanoseconds. */
uint64_t now_ns(void);

/** Byte i of the content of every resource: 23 letters, so a piece that is a power of two out of place shows. */
static inline char content_byte(uint64_t i)
{
    return (char)('a' + i % 23);
}

#endif
