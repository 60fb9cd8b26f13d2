/* admin_url: absolute URLs as people write them for purge and explain. Pure functions. */
#ifndef WEIR_PROXY_ADMIN_URL_H
#define WEIR_PROXY_ADMIN_URL_H

#include "headers/target.h"

/** The URL in the scheme wanted ("http" or "https"), its authority in the normal form of the scheme it was written in, "/" for
 *  no path. A client names a URL by the scheme spoken in front of weir, which need not be what weir itself was asked over.
 *  @param to   where it is written, NUL-terminated
 *  @return     false: no absolute http(s) URL, or it does not fit */
MUST_USE bool admin_url_in_scheme(struct view url, const char *scheme, char *to, size_t cap, struct view *out);

#endif
