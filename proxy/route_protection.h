/* route_protection: who may see what a route answers: users with passwords (Basic, RFC 7617) and bearers of tokens
 * (RFC 6750). Passwords are kept as crypt(3) makes them, which is slow by design: it is done where nobody waits for it
 * (passwords.h), what was right once is remembered by its keyed hash, and what is tried is counted, against guessing.
 * Ownership: in the arena of its site. Threads: any.                                                                    */
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
    CREDENTIALS_MAX = 512, /* of a name, a colon and a password */
    PROTECTION_TRIES = 10, /* passwords tried in a second, for a route; remembered ones are not counted */
    PROTECTION_REMEMBERED = 256,
    PROTECTION_USERS_MAX = 10000,
};

enum protection_verdict {
    PROTECTION_ALLOWS,
    PROTECTION_REFUSES, /* 401 */
    PROTECTION_ASKS,    /* a password that is not remembered: credentials_try tells */
};

/* A name and a password, as Basic says them. */
struct credentials {
    struct protection *protection;
    uint64_t hash[2]; /* keyed */
    size_t name_len, len;
    char text[CREDENTIALS_MAX + 1]; /* "name:password" */
};

/** @return NULL: no memory, or no random numbers */
MUST_USE struct protection *protection_new(struct arena *a, const struct protection_rules *rules);
/** Takes microseconds. @param out  filled in for PROTECTION_ASKS; see credentials_forget */
enum protection_verdict protection_check(struct protection *p, struct field_section request, struct credentials *out);
/** Go on with what was known to be right, if the same users have the same passwords. Before anybody uses p. */
void protection_inherit(struct protection *p, struct protection *before);

/** May another password be tried in this second? */
MUST_USE bool credentials_may_be_tried(const struct credentials *c, int64_t now_s);
/** Are they right? Takes tens of milliseconds. Remembered when they are. */
MUST_USE bool credentials_try(const struct credentials *c);
/** No password stays in memory. */
void credentials_forget(struct credentials *c);

const struct protection_rules *protection_rules(const struct protection *p);
/** The value of WWW-Authenticate (RFC 9110 §11.6.1). */
void protection_challenge(const struct protection *p, char *to, size_t cap);

/** Can crypt(3) check passwords against this? NULL, or what would be right. */
const char *check_password_hash(struct view v);

#endif
