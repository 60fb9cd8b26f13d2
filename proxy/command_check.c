/* `weir check FILE`: is this a configuration, and what does it say? */
#include "proxy/command.h"
#include "proxy/config.h"

#include <getopt.h>
#include <stdlib.h>

enum { EXIT_WRONG = 2 };

static const char usage[] =
    "Usage: weir check [--quiet] FILE\n"
    "       weir check --print-defaults\n"
    "\n"
    "Reads a configuration, says what it understood, and serves nothing.\n"
    "\n"
    "Options:\n"
    "  --print-defaults  every setting with its default, as YAML\n"
    "  --quiet           only what is wrong\n"
    "  --help\n"
    "\n"
    "Exit status: 0 the configuration is sound, 2 it is not: FILE:LINE:COLUMN: what is wrong; what would be right.\n";

enum { OPTION_DEFAULTS = 1, OPTION_QUIET, OPTION_HELP };

static const struct option long_options[] = {
    { "print-defaults", no_argument, NULL, OPTION_DEFAULTS },
    { "quiet", no_argument, NULL, OPTION_QUIET },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 },
};

static int check(const char *path, bool quiet)
{
    struct options o = { .config_path = path };
    struct config_report *report = malloc(sizeof *report);
    if (report == NULL) {
        fprintf(stderr, "weir: out of memory\n");
        return 1;
    }
    struct site *s = config_load(&o, report);
    int status = s != NULL ? 0 : EXIT_WRONG;
    if (s == NULL) report_print(report, "", stderr);
    if (s != NULL && !quiet) config_print_summary(s, stdout);
    site_unref(&s);
    free(report);
    return status;
}

int command_check(int argc, char **argv)
{
    bool quiet = false;
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case OPTION_DEFAULTS: config_print_defaults(stdout); return 0;
        case OPTION_QUIET: quiet = true; break;
        case OPTION_HELP: fputs(usage, stdout); return 0;
        default:
            fprintf(stderr, "weir: check: unknown option '%s'; see weir check --help\n", argv[optind - 1]);
            return EXIT_WRONG;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "weir: check: one FILE is needed: weir check etc/weir.yaml\n");
        return EXIT_WRONG;
    }
    return check(argv[optind], quiet);
}
