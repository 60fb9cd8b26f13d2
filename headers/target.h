/* target: the request target and the target URI (RFC 9112 §3.2, RFC 9110 §7.1, §4.2). Pure functions. */
#ifndef WEIR_HEADERS_TARGET_H
#define WEIR_HEADERS_TARGET_H

#include "headers/view.h"

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK, TARGET_INVALID };

struct target {
    enum target_form form;
    struct view scheme;    /* absolute-form only, as written */
    struct view authority; /* absolute-form and authority-form only */
    struct view path;      /* begins with '/', without the query; "/" for an absolute-form without a path */
    struct view query;     /* after '?', without it */
    bool has_query;
};

/** Split a raw request target. Bytes that RFC 3986 does not allow unescaped (controls, blanks, '"', '<', '>', '\\',
 *  '^', '`', '{', '|', '}', '#', above 0x7f): controls, blanks, '#' and DEL make it TARGET_INVALID; the others pass,
 *  since browsers send some of them. CONNECT is told by the caller: is_connect asks for authority-form. */
struct target target_parse(struct view raw, bool is_connect);

/** Host (RFC 9110 §7.2, RFC 3986 §3.2): reg-name, IPv4, [IPv6], with an optional port; no userinfo. Empty is invalid. */
bool authority_is_valid(struct view authority);
/** Lower case, default port of `https` or http taken off. @return length written, or -1 when it does not fit. */
MUST_USE int authority_normalise(struct view authority, bool https, char *to, size_t cap);

/** The path and query with what RFC 3986 §6.2.2 says is equivalent made equal: %-escapes of unreserved characters
 *  decoded, other escapes in upper case. Dot segments stay: an origin may give them meaning.
 *  @return length written (never more than the input's), or -1 when it does not fit */
MUST_USE int path_normalise(struct view path_and_query, char *to, size_t cap);

struct uri {
    struct view scheme, authority, path, query;
    bool has_query;
};
/** Resolve a URI reference (Location, Content-Location) against the target URI (RFC 3986 §5.2), dot segments removed.
 *  @param to,cap  where the path is built; the views of *out may point there, into reference or into base
 *  @return        false when the reference is malformed or does not fit */
MUST_USE bool uri_resolve(const struct uri *base, struct view reference, char *to, size_t cap, struct uri *out);
/** An absolute http or https URI, "http://host[:port][/path][?query]". */
MUST_USE bool uri_parse(struct view absolute, struct uri *out);

#endif
