/* hand_on: a purge on its way to the weirs behind this one (`forward_purges`): one request to each server, all at once, each
 * repeated while that may help, HAND_ON_ATTEMPTS times in all; and one word when all are over. What is purged here is purged
 * there first, or it would be fetched again from what is still stored there.
 * Ownership: hand_on_new gives one, hand_on_free ends it once `done` was called, or before hand_on_start.
 * Threads: the loop's own.                                                                                              */
#ifndef WEIR_PROXY_HAND_ON_H
#define WEIR_PROXY_HAND_ON_H

#include "proxy/front.h"
#include "proxy/origin.h"

enum {
    HAND_ON_ATTEMPTS = 3,
    HAND_ON_PAUSE_MS = 250, /* before the second, twice that before the third */
    HAND_ON_WHY_MAX = 128,
    HAND_ON_TEXT_MAX = FRONT_REQUEST_HEAD_MAX + 4096,
};

struct hand_on;

struct hand_on_settings {
    struct loop *loop;
    struct origin_client *client;
    const bool *breaking_off; /* once true, nobody is asked again, and the client may be gone */
    void (*done)(void *arg);  /* every server has heard of it, or never will; not from inside hand_on_add */
    void *arg;
};

/** @return NULL: no memory */
MUST_USE struct hand_on *hand_on_new(const struct hand_on_settings *settings);
void hand_on_free(struct hand_on *h);

/** One server more. The request and its content are copied, save what request->server points to.
 *  @param name  of the server, for hand_on_refusal; borrowed
 *  @return      false: no memory */
MUST_USE bool hand_on_add(struct hand_on *h, const struct origin_request *request, struct view content,
                          const char *name);
/** One that cannot be told. */
MUST_USE bool hand_on_add_deaf(struct hand_on *h, const char *name, const char *why);
/** Ask them. `done` may be called before this returns. */
void hand_on_start(struct hand_on *h);

/** How many servers heard of it, and how many there are. */
size_t hand_on_heard(const struct hand_on *h);
size_t hand_on_count(const struct hand_on *h);
/** The i-th server: NULL when it has heard of it, else why not. */
const char *hand_on_refusal(const struct hand_on *h, size_t i, const char **name);

/* ---- the lines of such a request */

struct hand_on_lines {
    const char *at[FRONT_FIELDS_MAX + 8];
    size_t count, used;
    char text[HAND_ON_TEXT_MAX];
};

/** @return false: it does not fit */
MUST_USE bool hand_on_line(struct hand_on_lines *l, struct view name, struct view value);
/** Begin with what each has: Host, the token (empty: none), and in CDN-Loop where the purge has been, this weir included.
 *  @param purge  as it came here
 *  @return       false: they do not fit */
MUST_USE bool hand_on_head(struct hand_on_lines *l, const struct request_head *purge, const char *instance,
                           struct view host, struct view token);
/** It has been here before: it goes no further. */
bool hand_on_is_loop(const struct request_head *purge, const char *instance);

#endif
