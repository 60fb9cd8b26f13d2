/* message: the heads of requests and responses as views (RFC 9110 §6). Pure data. */
#ifndef WEIR_HEADERS_MESSAGE_H
#define WEIR_HEADERS_MESSAGE_H

#include "headers/field.h"
#include "headers/target.h"

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_CONNECT,
    METHOD_QUERY,
    METHOD_PURGE,
    METHOD_OTHER
};

/* A request as weir understood it. Everything borrows from the front end, for the life of the exchange. */
struct request_head {
    enum method method;
    struct view method_name;
    struct view target;     /* raw, as received */
    bool https;             /* the scheme of the target URI */
    struct view authority;  /* of the target URI: normalised, lower case, no default port */
    struct view path_query; /* "/a/b?c" as received, what is forwarded */
    struct view path;       /* "/a/b" */
    struct view query;
    bool has_query;
    int http_minor; /* 0 or 1 */
    struct field_section fields;
};

struct response_head {
    int status;
    struct field_section fields;
    bool http_1_0; /* received as HTTP/1.0; else HTTP/1.1 */
};

/** Case-sensitive (RFC 9110 §9.1). */
enum method method_of(struct view name);
bool method_is_safe(enum method m); /* §9.2.1; an unknown method is not */
/** Heuristically cacheable by default (RFC 9110 §15.1). */
bool status_is_heuristically_cacheable(int status);
/** A final status code that weir understands, for must-understand (RFC 9111 §3, §5.2.2.3). */
bool status_is_understood(int status);

#endif
