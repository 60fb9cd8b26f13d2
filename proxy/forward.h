/* forward: the head sent to the origin server, and what of its head is sent to the client (RFC 9110 §7.6).
 * Ownership: forward_lines owns its text; everything else borrows. Threads: pure functions.                  */
#ifndef WEIR_PROXY_FORWARD_H
#define WEIR_PROXY_FORWARD_H

#include "cache/policy.h"
#include "cache/validation.h"
#include "headers/message.h"
#include "proxy/front.h"

enum { FORWARD_LINES_MAX = FRONT_FIELDS_MAX + 16, FORWARD_TEXT_MAX = 40 * 1024 };

/* What the exchange knows beyond the request itself. */
struct forward_context {
    const char *client_ip; /* numeric, without a port; NULL: not known (a unix socket) */
    bool client_https;
    struct view via_pseudonym;    /* "weir": in Via (RFC 9110 §7.6.3) and, as cdn-id, in CDN-Loop (RFC 8586) */
    struct view instance;         /* a token that no other weir has: CDN-Loop's id parameter; empty: none */
    const char *origin_authority; /* NULL: keep the client's Host */
    const char *path_prefix;      /* of the origin URL; NULL or "": none */
    struct validators validators; /* any of them given: the client's If-* and Range are not forwarded */
    bool drop_conditions;         /* If-* and Range of the client are not forwarded */
    bool drop_range;              /* Range and If-Range are not */
    int64_t range_first;          /* ask for a part instead of what the client asks for; -1: do not */
    int64_t range_last;           /* inclusive; -1: to the end */
    struct view if_range;         /* the part is only wanted under this validator; empty: none */
};

struct forward_lines {
    const char *lines[FORWARD_LINES_MAX]; /* "Name: value", "Name;" for an empty value: as origin.h takes them */
    size_t count;
    char text[FORWARD_TEXT_MAX];
    size_t used;
};

/** The request head for the origin server: no hop-by-hop field, no framing, Host first; the client's place in
 *  X-Forwarded-For and Forwarded (RFC 7239), ours in Via and CDN-Loop.
 *  @return 0; -E2BIG: it does not fit */
MUST_USE int forward_request(const struct request_head *r, const struct forward_context *c, struct forward_lines *out);

/** The target to ask the origin server for: the prefix and the path and query as received; "*" stays alone.
 *  @return length, or -1 when it does not fit */
MUST_USE int forward_target(const struct request_head *r, const struct forward_context *c, char *to, size_t cap);

/** The request has been here before (RFC 8586 §2): answer 508. Without an instance, any weir is taken for this one. */
bool forward_is_loop(const struct request_head *r, const struct forward_context *c);

/** OPTIONS or TRACE with Max-Forwards: 0 goes no further (RFC 9110 §7.6.2). */
bool forward_answers_itself(const struct request_head *r);

/** Does this line of the origin's response go on to the client as it is? Not those that concern the connection, not the
 *  tags, and not Age, Cache-Status, Content-Length, Date and Via, which are made anew. */
bool forward_response_field(struct field_section response, const struct field *line, const struct policy *p);

/** The value of a list field with one more member: all lines with this id joined, then `member`; NUL-terminated.
 *  For Via and Cache-Status of a response: members stand in the order in which the response met them.
 *  @return length, or -1 when it does not fit */
MUST_USE int forward_append(struct field_section s, enum field_id id, struct view member, char *to, size_t cap);

#endif
