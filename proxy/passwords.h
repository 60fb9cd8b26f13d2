/* passwords: the threads on which passwords are checked, which takes tens of milliseconds each by design. Requests that bring
 * the same one at the same time are one check.
 * Ownership: passwords_new gives one, passwords_free ends it, after its last job was done. A job is its owner's, and stays
 * until it is done. Threads: passwords_check from any; new, start and free by one.                                        */
#ifndef WEIR_PROXY_PASSWORDS_H
#define WEIR_PROXY_PASSWORDS_H

#include "proxy/route_protection.h"

enum {
    PASSWORD_THREADS = 2,
    PASSWORD_CHECKS_MAX = 32,  /* waiting and under way: more than a second of work */
    PASSWORD_JOBS_MAX = 10000, /* that wait for these */
};

struct password_job {
    struct credentials credentials;       /* forgotten when it is done */
    void (*done)(struct password_job *j); /* in a thread of passwords */
    bool right;
    struct password_job *next, *same; /* passwords' own */
};

enum password_answer {
    PASSWORD_ASKED,    /* `done` will be called, or has been */
    PASSWORD_TOO_MANY, /* were tried on this route in this second: 429 */
    PASSWORD_BUSY,     /* 503 */
};

struct passwords;

/** @return NULL: no memory */
MUST_USE struct passwords *passwords_new(void);
/** @return 0, or a negative errno: no thread could be made */
MUST_USE int passwords_start(struct passwords *p);
void passwords_free(struct passwords *p);

MUST_USE enum password_answer passwords_check(struct passwords *p, struct password_job *j, int64_t now_s);

#endif
