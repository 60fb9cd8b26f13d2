/* admin_client: one request to the admin API of a running weir, over a socket of its own. It waits, so it is for commands.
 * It reads only what weir's admin answers with: HTTP/1.1, a Content-Length or the end of the connection.
 * Ownership: the answer's content is the caller's to free. Threads: any.                                                  */
#ifndef WEIR_PROXY_ADMIN_CLIENT_H
#define WEIR_PROXY_ADMIN_CLIENT_H

#include "headers/view.h"

enum { ADMIN_ANSWER_MAX = 64 << 20, ADMIN_ANSWER_HEAD_MAX = 16 * 1024, ADMIN_CLIENT_TIMEOUT_S = 30 };

struct admin_call {
    const char *address; /* "127.0.0.1:8081", "[::1]:8081" */
    const char *token;   /* NULL: none */
    const char *method;
    const char *target;  /* "/v1/stats" */
    struct view content; /* JSON; empty: none */
};

struct admin_reply {
    int status;
    char *content; /* malloc'd, NUL-terminated */
    size_t content_len;
};

/** Whether it is HOST:PORT, an IPv6 address in brackets. */
bool admin_address_is_valid(const char *address_port);

/** @param call  its address is valid
 *  @return 0; -1 with `why`: no answer, or one that is not understood */
MUST_USE int admin_call(const struct admin_call *call, struct admin_reply *out, char *why, size_t cap);

/** Read a whole answer. Pure.
 *  @return 0; 1: more is to come; -1: it is none */
MUST_USE int admin_reply_parse(struct view received, bool ended, int *status, struct view *content);

#endif
