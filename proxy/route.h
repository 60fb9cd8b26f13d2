/* route: what happens to the requests that match: which origin, which policy, which fields change on the way, or which
 * answer weir gives itself. Pure functions over plain data, which is part of a site: immutable, lives as long as it.   */
#ifndef WEIR_PROXY_ROUTE_H
#define WEIR_PROXY_ROUTE_H

#include "cache/policy.h"
#include "headers/message.h"
#include "proxy/origin_settings.h"
#include "proxy/reply.h"

enum {
    ROUTE_EDITS_MAX = REPLY_EDITS_MAX, /* of one direction */
    ROUTE_LOCATION_MAX = 8192,         /* of a redirect */
};

enum route_kind {
    ROUTE_PROXY,
    ROUTE_REDIRECT,
    ROUTE_ANSWER, /* a fixed answer; also what is said where no route matches */
};

/* One way of matching. */
struct route_pattern {
    struct place place;
    const char *text; /* as written, for showing */
    struct view host; /* lower case, no port; empty: any */
    bool subdomains;  /* "*.example.com": host is "example.com", and any name below it matches */
    struct view path; /* begins with "/" */
    bool exact;       /* taken literally: neither "*" nor a "/" at its end mean more */
};

enum field_edit_kind { FIELD_EDIT_REMOVE, FIELD_EDIT_SET, FIELD_EDIT_ADD };

struct field_edit {
    enum field_edit_kind kind;
    enum field_id id;
    struct view name, value; /* NUL-terminated; no value: REMOVE */
};

struct field_edits {
    const struct field_edit *at; /* removals first */
    size_t count;
};

/* {scheme}, {host}, {path} and {query} (with its "?") stand for those of the request. */
struct route_redirect {
    const char *to; /* NULL: none */
    int status;
};

struct route_answer {
    int status; /* 0: none */
    const char *content_type;
    struct view content;
};

struct protection;       /* route_protection.h */
struct first_byte_times; /* first_byte.h */

struct route {
    struct policy policy;
    enum route_kind kind;
    struct origin_server server;          /* the first of origin's servers */
    const char *host;                     /* what Host tells the origin; NULL: what the client said */
    const struct origin_settings *origin; /* ROUTE_PROXY */
    const char *name;                     /* what explain and the log call it */
    struct place place;
    const struct route_pattern *patterns;
    size_t pattern_count;
    const char *origin_name; /* as the configuration has it; NULL: the site's own */
    struct place origin_place;
    struct field_edits request, response;
    struct route_redirect redirect;
    struct route_answer answer;
    struct protection *protection;        /* NULL: open to all */
    int64_t request_limit_bytes;          /* a longer request content is refused; -1: none */
    struct views upgrade;                 /* protocols that requests may switch to */
    int64_t tunnel_idle_ms;               /* of a connection that has switched */
    bool retry_post;                      /* a POST with Idempotency-Key may be tried again */
    struct first_byte_times *first_bytes; /* how long origins take to answer; NULL: nobody wants to know */
};

/** The request's fields as the origin is to hear them: `fields` after the route's edits; borrows from both.
 *  @param room  for FRONT_FIELDS_MAX + ROUTE_EDITS_MAX lines; not touched when there are no edits */
struct field_section route_request_fields(const struct route *r, struct field_section fields, struct field *room);

/** Edit what a reply's head holds so far (before weir's own fields are added).
 *  @param stored  the response is or was in the cache: the route's client_cache_control takes the place of its freshness */
void route_edit_reply(const struct route *r, struct reply_head *h, bool stored);

/** The Location of a redirect. @return false: it does not fit */
MUST_USE bool route_location(const struct route *r, const struct request_head *request, char *to, size_t cap);

enum { ROUTE_TARGET_MAX = 512 };
/** Where its requests go: "to api", "redirect 308 https://...", "answer 404". @return to */
const char *route_target(const struct route *r, char *to, size_t cap);

/** May this field be edited by the operator? NULL, or why not. */
const char *route_edit_refusal(struct view name, bool of_request);

#endif
