/* options: what was asked for on the command line of `weir serve`, checked. */
#ifndef WEIR_PROXY_OPTIONS_H
#define WEIR_PROXY_OPTIONS_H

#include "headers/view.h"

enum { OPTIONS_LISTEN_MAX = 64, OPTIONS_WORKERS_MAX = 256 };

/* What was given; NULL or 0: was not. Everything points into the arguments. */
struct options {
    const char *origin;
    const char *listen[OPTIONS_LISTEN_MAX];
    size_t listen_count;
    const char *admin;
    const char *store_path;
    uint64_t store_bytes, memory_bytes;
    int workers;
    const char *config_path;
    const char *admin_token_file;
};

enum options_result { OPTIONS_SERVE, OPTIONS_DONE, OPTIONS_WRONG };

/** Fill `o` with the arguments. OPTIONS_DONE: --help or --version was printed. OPTIONS_WRONG: one line about
 *  it stands on stderr. */
enum options_result options_parse(int argc, char **argv, struct options *o);

/** $XDG_CACHE_HOME/weir, else ~/.cache/weir: malloc'd, or NULL when neither is set. */
MUST_USE char *options_default_store(void);

/** "256MiB", "4GiB", "1000", "64K": KiB, MiB, GiB, TiB (also K, M, G, T) are powers of 1024; kB, MB, GB, TB of 1000. */
MUST_USE bool size_parse(const char *text, uint64_t *out);

#endif
