#include "proxy/admin_url.h"

#include <stdio.h>

bool admin_url_in_scheme(struct view url, const char *scheme, char *to, size_t cap, struct view *out)
{
    enum { AUTHORITY_MAX = 512 };
    char authority[AUTHORITY_MAX];
    struct uri u;
    if (url.len >= cap || !view_is_ascii(url) || !uri_parse(url, &u) || !authority_is_valid(u.authority)) return false;
    bool https = view_equal_nocase(u.scheme, VIEW("https"));
    int len = authority_normalise(u.authority, https, authority, sizeof authority);
    if (len < 0) return false;
    struct view rest = view_after(url, (size_t)(u.authority.at - url.at) + u.authority.len); /* path and query */
    const char *root = rest.len == 0 || rest.at[0] != '/' ? "/" : "";
    int n = snprintf(to, cap, "%s://%.*s%s%.*s", scheme, len, authority, root, (int)rest.len, rest.at);
    *out = view_of(to, (size_t)n);
    return n > 0 && (size_t)n < cap;
}
