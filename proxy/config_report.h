/* config_report: what is wrong with a configuration, one line each: "FILE:LINE:COLUMN: what is wrong; what would be right".
 * Ownership: holds its text. Threads: one at a time.                                                                       */
#ifndef WEIR_PROXY_CONFIG_REPORT_H
#define WEIR_PROXY_CONFIG_REPORT_H

#include "headers/view.h"

#include <stdio.h>

enum { REPORT_LINES_MAX = 20, REPORT_LINE_MAX = 512 };

/* Where something stands; lines and columns count from 1. Without a line it is the command line's. */
struct place {
    const char *file;
    unsigned line, column;
};

struct config_report {
    char lines[REPORT_LINES_MAX][REPORT_LINE_MAX];
    struct place places[REPORT_LINES_MAX];
    size_t count;
    size_t more; /* errors for which there was no room */
};

void report_at(struct config_report *r, struct place p, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** In the order of the file; of several files, in the order in which they were read. */
void report_sort(struct config_report *r);
static inline bool report_is_clean(const struct config_report *r)
{
    return r->count == 0;
}
/** Every line, each after `prefix`. */
void report_print(const struct config_report *r, const char *prefix, FILE *to);

/** The one of `known` that is meant by what is not among them, by edit distance. @return NULL: none is near */
const char *report_suggest(struct view unknown, const char *const *known, size_t n);

#endif
