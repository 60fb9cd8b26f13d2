/* config: a configuration file and the command line, made into a site.
 * Ownership: config_load gives a reference to a site. Threads: one at a time for one report; never from a worker. */
#ifndef WEIR_PROXY_CONFIG_H
#define WEIR_PROXY_CONFIG_H

#include "proxy/config_report.h"
#include "proxy/options.h"
#include "proxy/site.h"

/** What the options say wins over what the file says; without a file there are the options alone.
 *  @return NULL: the report says what is wrong */
MUST_USE struct site *config_load(const struct options *o, struct config_report *report);

/** The site of `weir --origin URL`. @return NULL with `why` */
MUST_USE struct site *config_of_origin(const char *url, char *why, size_t cap);

/** Call `differs` for each setting in which two sites differ; `fixed` ones cannot change while weir runs. Origins and routes
 *  go by their names: what is only in one of them has "" for the other. */
typedef void (*config_differs)(void *arg, const char *path, bool fixed, const char *from, const char *to);
void config_compare(const struct site *from, const struct site *to, config_differs differs, void *arg);

/** Every setting with its default, as YAML. */
void config_print_defaults(FILE *to);
/** What was understood, and what of it is not the default. */
void config_print_summary(const struct site *s, FILE *to);

#endif
