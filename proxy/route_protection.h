/* route_protection: who may see what a route answers: users with passwords (Basic, RFC 7617) and bearers of tokens
 * (RFC 6750). Passwords are kept as crypt(3) makes them, which is slow by design: what was right once is remembered by its
 * keyed hash, and what is tried is counted, so that guessing neither succeeds nor keeps a worker from its work.
 * Ownership: in the arena of its site. Threads: protection_check from any.                                              */
#ifndef WEIR_PROXY_ROUTE_PROTECTION_H
#define WEIR_PROXY_ROUTE_PROTECTION_H

#include "cache/policy.h"
#include "proxy/arena.h"

struct user {
    struct view name;
    const char *hash; /* "$6$...", "$y$..." */
};

struct protection_rules {
    const char *realm;
    const struct user *users;
    size_t user_count;
    struct views tokens;
    bool forward; /* the origin hears Authorization too, and RFC 9111 §3.5 holds */
};

struct protection;

enum {
    PROTECTION_TRIES = 10, /* passwords tried in a second, for a route; remembered ones are not counted */
    PROTECTION_REMEMBERED = 256,
    PROTECTION_USERS_MAX = 10000,
};

enum protection_verdict {
    PROTECTION_ALLOWS,
    PROTECTION_REFUSES, /* 401 */
    PROTECTION_WAITS,   /* too many wrong passwords: 429 */
};

/** @return NULL: no memory, or no random numbers */
MUST_USE struct protection *protection_new(struct arena *a, const struct protection_rules *rules);
enum protection_verdict protection_check(struct protection *p, struct field_section request, int64_t now_s);
const struct protection_rules *protection_rules(const struct protection *p);
/** The value of WWW-Authenticate (RFC 9110 §11.6.1). */
void protection_challenge(const struct protection *p, char *to, size_t cap);

/** Can crypt(3) check passwords against this? NULL, or what would be right. */
const char *check_password_hash(struct view v);

#endif
