/* responder: a bare epoll loop that receives a request, asks one function what to send, and sends it.
 * It is the least a server can do on this kernel, so it stands both for the floor and for an origin server that
 * is never the bottleneck. It reads request heads only, one at a time per connection (no pipelining, no content).
 * Ownership: what the reply points at stays with the answering function until the connection has sent it.
 * Threads: one; responder_run does not return.                                                                 */
#ifndef WEIR_TESTS_BENCH_RESPONDER_H
#define WEIR_TESTS_BENCH_RESPONDER_H

#include <netinet/in.h>

#include "headers/view.h"

enum { REPLY_HEAD_MAX = 512 };

struct reply {
    char room[REPLY_HEAD_MAX]; /* where the answering function may build a head; copied if it must outlive the call */
    struct view head;          /* in room, or anywhere that lasts */
    struct view content;       /* anywhere that lasts; empty when the head carries all of it */
};

/** Fill in the reply to one request head, blank line included. */
typedef void (*answer_fn)(void *with, struct view request, struct reply *out);

/** Listen and answer until a signal ends the process. Ends the program when it cannot listen. */
_Noreturn void responder_run(const char *program, const struct sockaddr_in *at, answer_fn answer, void *with);

/** The SIZE in "GET /s/SIZE/..."; 0 when the request names none. */
size_t request_size(struct view request);

/** size bytes of content_byte(), allocated once and never freed; ends the program when there is no memory. */
const char *content_make(const char *program, size_t size);

#endif
