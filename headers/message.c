#include "headers/message.h"

struct method_row {
    const char *name;
    size_t len;
    bool safe;
};

#define ROW(name, safe)                                                                                                \
    {                                                                                                                  \
        name, sizeof(name) - 1, safe                                                                                   \
    }

/* RFC 9110 §9.3, RFC 5789, RFC 10008. PURGE is weir's own: unsafe, as it changes what the cache holds. */
static const struct method_row methods[] = {
    /*                             name      safe */
    [METHOD_GET] = ROW("GET", true),          [METHOD_HEAD] = ROW("HEAD", true),
    [METHOD_POST] = ROW("POST", false),       [METHOD_PUT] = ROW("PUT", false),
    [METHOD_DELETE] = ROW("DELETE", false),   [METHOD_PATCH] = ROW("PATCH", false),
    [METHOD_OPTIONS] = ROW("OPTIONS", true),  [METHOD_TRACE] = ROW("TRACE", true),
    [METHOD_CONNECT] = ROW("CONNECT", false), [METHOD_QUERY] = ROW("QUERY", true),
    [METHOD_PURGE] = ROW("PURGE", false),     [METHOD_OTHER] = ROW("", false),
};

enum method method_of(struct view name)
{
    for (enum method m = METHOD_GET; m < METHOD_OTHER; m++) {
        if (view_equal(name, view_of(methods[m].name, methods[m].len))) return m;
    }
    return METHOD_OTHER;
}

bool method_is_safe(enum method m)
{
    return methods[m].safe;
}

bool status_is_heuristically_cacheable(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501: return true;
    default: return false;
    }
}

bool status_is_understood(int status)
{
    if (status >= 200 && status <= 206) return true; /* RFC 9110 §15.3 */
    if (status >= 300 && status <= 303) return true; /* §15.4; a 304 is never stored, 305 and 306 mean nothing */
    if (status == 307 || status == 308) return true;
    if (status >= 400 && status <= 417) return true;                  /* §15.5 */
    if (status == 421 || status == 422 || status == 426) return true; /* §15.5.20 to 22 */
    if (status == 428 || status == 429 || status == 431) return true; /* RFC 6585 */
    if (status == 451) return true;                                   /* RFC 7725 */
    return status >= 500 && status <= 505;                            /* §15.6 */
}
