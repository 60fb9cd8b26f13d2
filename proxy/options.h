/* options: what was asked for on the command line of `weir serve`, checked. */
#ifndef WEIR_PROXY_OPTIONS_H
#define WEIR_PROXY_OPTIONS_H

#include "proxy/weir.h"

struct options {
    const char *origin;
    const char *listen[WEIR_LISTENERS_MAX];
    size_t listen_count;
    const char *admin;
    const char *store_path; /* malloc'd or from the arguments */
    uint64_t store_bytes, memory_bytes;
    int workers;
    const char *config_path;
    const char *admin_token_file;
};

enum options_result { OPTIONS_SERVE, OPTIONS_DONE, OPTIONS_WRONG };

/** Fill `o` with the defaults and the arguments. OPTIONS_DONE: --help or --version was printed. OPTIONS_WRONG: one line about
 *  it stands on stderr. */
enum options_result options_parse(int argc, char **argv, struct options *o);

/** "256MiB", "4GiB", "1000", "64K": KiB, MiB, GiB, TiB (also K, M, G, T) are powers of 1024; kB, MB, GB, TB of 1000. */
MUST_USE bool size_parse(const char *text, uint64_t *out);

#endif
