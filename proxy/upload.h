/* upload: a request's content on its way from the client to the origin, through a buffer of UPLOAD_BYTES.
 * Ownership: counted, within one worker: the exchange fills it, the fetch drains it, either may end first.
 * Threads: one worker's.                                                                                   */
#ifndef WEIR_PROXY_UPLOAD_H
#define WEIR_PROXY_UPLOAD_H

#include "headers/view.h"

#include <sys/types.h>

enum { UPLOAD_BYTES = 64 * 1024 };

struct upload;

MUST_USE struct upload *upload_new(int64_t content_length);
struct upload *upload_ref(struct upload *u);
/** All of a complete content that is still in the buffer, for one more reader. @return NULL: no memory */
MUST_USE struct upload *upload_copy(const struct upload *u);
void upload_unref(struct upload **u);
/** -1: not known, chunked. */
int64_t upload_length(const struct upload *u);

/* ---- the exchange */

/** @return bytes taken; fewer than len: full, `drained` will be called once there is room */
size_t upload_put(struct upload *u, const void *bytes, size_t len);
/** complete is false when the client broke off. */
void upload_end(struct upload *u, bool complete);
/** Nobody will read on: what is put is thrown away. */
void upload_discard(struct upload *u);
void upload_on_drained(struct upload *u, void (*drained)(void *arg), void *arg);
bool upload_is_complete(const struct upload *u);
/** What is in the buffer, while nothing has been taken from it. */
struct view upload_content(const struct upload *u);

/* ---- the fetch */

/** @return bytes; 0: complete; -EAGAIN: `filled` will be called; -ECANCELED: the client broke off */
MUST_USE ssize_t upload_take(struct upload *u, void *to, size_t cap);
/** Begin again with the first byte: for another server. Only while all of what came is still in the buffer. */
bool upload_may_rewind(const struct upload *u);
void upload_rewind(struct upload *u);
void upload_on_filled(struct upload *u, void (*filled)(void *arg), void *arg);

#endif
