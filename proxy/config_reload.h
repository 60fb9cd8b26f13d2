/* config_reload: a new configuration while weir runs (SIGHUP, POST /v1/reload). It is read and checked first; then each worker
 * begins new requests under it, and those in flight end under the old one. Nothing in the cache is touched.
 * Threads: any; one reload at a time.                                                                                      */
#ifndef WEIR_PROXY_CONFIG_RELOAD_H
#define WEIR_PROXY_CONFIG_RELOAD_H

#include "proxy/config.h"
#include "proxy/weir.h"

struct reloader;

/* One line for the log. */
typedef void (*reload_say)(void *arg, const char *line);

/** @param o  outlives it; so does w */
MUST_USE struct reloader *reloader_new(struct weir *w, const struct options *o, reload_say say, void *arg);
void reloader_free(struct reloader *r);

/** Read the configuration again. What changed is said, and what cannot change is named and kept.
 *  @param changes  how many settings, origins and routes differ from before; NULL: of no interest
 *  @return         false: the report says why, and nothing has changed */
MUST_USE bool config_reload(struct reloader *r, struct config_report *report, size_t *changes);

#endif
