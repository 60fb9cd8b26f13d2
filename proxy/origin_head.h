/* origin_head: the head of an origin server's response, taken line by line and checked before anybody relies on it
 * (RFC 9112 §2.1, §4, §5, §6.3). What is refused here becomes a 502.
 * Ownership: the head owns its text; its fields borrow from it until the next origin_head_begin. Threads: none of its own. */
#ifndef WEIR_PROXY_ORIGIN_HEAD_H
#define WEIR_PROXY_ORIGIN_HEAD_H

#include "headers/message.h"
#include "proxy/origin.h"

enum { ORIGIN_REPLY_FIELDS_MAX = 256 };

struct origin_head {
    int status; /* 0: the status line is still to come */
    int http_minor;
    size_t received; /* bytes, line ends included */
    size_t count, used;
    struct field lines[ORIGIN_REPLY_FIELDS_MAX];
    char text[ORIGIN_REPLY_HEAD_MAX];
};

void origin_head_begin(struct origin_head *h);

/** Take the next line, with its line end; a folded line is taken as part of the one before (RFC 9112 §5.2).
 *  @param ended  set once this was the blank line that ends the head
 *  @return       NULL, or why the response is refused */
MUST_USE const char *origin_head_line(struct origin_head *h, struct view line, bool *ended);

/** How long the content is (RFC 9112 §6.3); to be asked once the head has ended.
 *  @param length  of an answer to HEAD and of a 304 what the head says, of a 204 or a 1xx 0; -1: not known
 *  @return        NULL, or why the response is refused */
MUST_USE const char *origin_head_framing(const struct origin_head *h, int64_t *length);

/** Whether content is announced where none may be, in a 204 (RFC 9110 §6.4.1): if it comes, it looks like the next response,
 *  so that the connection must not be used again. */
bool origin_head_misleads(const struct origin_head *h);

static inline struct field_section origin_head_fields(const struct origin_head *h)
{
    return (struct field_section){ h->lines, h->count };
}

#endif
