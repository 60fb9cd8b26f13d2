#include "proxy/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEMORY_MIN_BYTES = 4 << 20, STORE_MIN_BYTES = 4 << 20 };

static const char usage[] =
    "Usage: weir [serve] --origin URL [options]\n"
    "       weir [serve] --config FILE [options]\n"
    "       weir COMMAND --help\n"
    "\n"
    "A caching HTTP reverse proxy. Answers from its cache what RFC 9111 lets it answer, and asks the origin for the rest.\n"
    "\n"
    "Options:\n"
    "  --origin URL         where misses go: http://HOST[:PORT][/PATH], https://..., or unix:/PATH\n"
    "  --listen ADDR:PORT   where to serve; may be given several times; IPv6 in brackets  [127.0.0.1:8080]\n"
    "  --admin ADDR:PORT    admin API and metrics; an address that is not loopback needs a token  [127.0.0.1:8081]\n"
    "  --store DIR          the store on disk  [$XDG_CACHE_HOME/weir, else ~/.cache/weir]\n"
    "  --store-size SIZE    bytes on disk, never exceeded  [4GiB]\n"
    "  --memory SIZE        bytes of cached responses in memory  [256MiB]\n"
    "  --workers N          event loops  [number of CPUs]\n"
    "  --admin-token-file FILE  the admin token's file; or set WEIR_ADMIN_TOKEN\n"
    "  --config FILE        YAML, see weir check --print-defaults; options on the command line win\n"
    "  --help, --version\n"
    "\n"
    "Commands:\n"
    "  serve      run the proxy (the default)\n"
    "  purge      take responses out of a running weir\n"
    "  explain    what is stored for a URL, and what would happen to a request for it\n"
    "  stats      the counters of a running weir\n"
    "  top        what it does now, second by second\n"
    "  warm       ask it for a list of URLs, so that it has them before clients come\n"
    "  check      read a configuration and say what it means\n"
    "  simulate   what an access log would miss, by eviction policy and size\n"
    "\n"
    "Signals: SIGTERM and SIGINT finish what is under way and end weir; SIGHUP reads the configuration again.\n"
    "Exit status: 0 success, 1 failure while running, 2 wrong usage or configuration.\n";

static enum options_result wrong(const char *what, const char *value, const char *right)
{
    fprintf(stderr, "weir: %s%s%s%s; %s\n", what, value != NULL ? " '" : "", value != NULL ? value : "",
            value != NULL ? "'" : "", right);
    return OPTIONS_WRONG;
}

bool size_parse(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {
        { "", 1 },
        { "B", 1 },
        { "K", 1 << 10 },
        { "KiB", 1 << 10 },
        { "kB", 1000 },
        { "M", 1 << 20 },
        { "MiB", 1 << 20 },
        { "MB", 1000 * 1000 },
        { "G", 1 << 30 },
        { "GiB", 1 << 30 },
        { "GB", 1000 * 1000 * 1000 },
        { "T", (uint64_t)1 << 40 },
        { "TiB", (uint64_t)1 << 40 },
        { "TB", (uint64_t)1000 * 1000 * 1000 * 1000 },
    };
    char *end;
    if (!is_digit(text[0])) return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0) continue;
        return !__builtin_mul_overflow((uint64_t)n, units[i].bytes, out);
    }
    return false;
}

char *options_default_store(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;
    if (cache != NULL && cache[0] == '/')
        n = asprintf(&path, "%s/weir", cache);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/.cache/weir", home);
    return n < 0 ? NULL : path;
}

enum {
    OPTION_ORIGIN = 1,
    OPTION_LISTEN,
    OPTION_ADMIN,
    OPTION_STORE,
    OPTION_STORE_SIZE,
    OPTION_MEMORY,
    OPTION_WORKERS,
    OPTION_CONFIG,
    OPTION_TOKEN_FILE,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    { "origin", required_argument, NULL, OPTION_ORIGIN },
    { "listen", required_argument, NULL, OPTION_LISTEN },
    { "admin", required_argument, NULL, OPTION_ADMIN },
    { "store", required_argument, NULL, OPTION_STORE },
    { "store-size", required_argument, NULL, OPTION_STORE_SIZE },
    { "memory", required_argument, NULL, OPTION_MEMORY },
    { "workers", required_argument, NULL, OPTION_WORKERS },
    { "config", required_argument, NULL, OPTION_CONFIG },
    { "admin-token-file", required_argument, NULL, OPTION_TOKEN_FILE },
    { "help", no_argument, NULL, OPTION_HELP },
    { "version", no_argument, NULL, OPTION_VERSION },
    { NULL, 0, NULL, 0 },
};

static enum options_result take_size(const char *name, const char *text, uint64_t least, uint64_t *to)
{
    if (!size_parse(text, to)) return wrong(name, text, "a size is a number with a unit, as in 256MiB or 4GiB");
    if (*to < least) return wrong(name, text, "at least 4MiB");
    return OPTIONS_SERVE;
}

static enum options_result take(struct options *o, int option, const char *value)
{
    struct view digits = view_of_str(value);
    int64_t n;
    switch (option) {
    case OPTION_ORIGIN: o->origin = value; break;
    case OPTION_LISTEN:
        if (o->listen_count == OPTIONS_LISTEN_MAX) return wrong("--listen", value, "at most 64 addresses");
        o->listen[o->listen_count++] = value;
        break;
    case OPTION_ADMIN: o->admin = value; break;
    case OPTION_STORE:
        if (value[0] == '\0') return wrong("--store", value, "a directory is needed");
        o->store_path = value;
        break;
    case OPTION_STORE_SIZE: return take_size("--store-size", value, STORE_MIN_BYTES, &o->store_bytes);
    case OPTION_MEMORY: return take_size("--memory", value, MEMORY_MIN_BYTES, &o->memory_bytes);
    case OPTION_WORKERS:
        if (!view_parse_decimal(digits, OPTIONS_WORKERS_MAX + 1, &n) || n < 1 || n > OPTIONS_WORKERS_MAX)
            return wrong("--workers", value, "a number from 1 to 256");
        o->workers = (int)n;
        break;
    case OPTION_CONFIG: o->config_path = value; break;
    case OPTION_TOKEN_FILE: o->admin_token_file = value; break;
    case OPTION_HELP: fputs(usage, stdout); return OPTIONS_DONE;
    case OPTION_VERSION: puts("weir " WEIR_VERSION); return OPTIONS_DONE;
    default: return OPTIONS_WRONG;
    }
    return OPTIONS_SERVE;
}

enum options_result options_parse(int argc, char **argv, struct options *o)
{
    int option;
    *o = (struct options){ 0 };
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        const char *given = argv[optind - 1];
        if (option == ':') return wrong("option", given, "it needs a value; see weir --help");
        if (option != '?' && optarg != NULL && strncmp(optarg, "--", 2) == 0)
            return wrong("option", argv[optind - 2], "it needs a value; see weir --help");
        if (option == '?') return wrong("unknown option", given, "see weir --help");
        enum options_result r = take(o, option, optarg);
        if (r != OPTIONS_SERVE) return r;
    }
    if (optind < argc) return wrong("unexpected argument", argv[optind], "see weir --help");
    if (o->origin == NULL && o->config_path == NULL)
        return wrong("no origin", NULL, "say where misses go: --origin http://127.0.0.1:3000");
    return OPTIONS_SERVE;
}
