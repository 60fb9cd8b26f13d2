/* command_admin: what the commands that talk to the admin API share: their options, the call, and how values are printed.
 * Threads: one.                                                                                                          */
#ifndef WEIR_PROXY_COMMAND_ADMIN_H
#define WEIR_PROXY_COMMAND_ADMIN_H

#include "headers/view.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

enum { COMMAND_OK, COMMAND_FAILED, COMMAND_WRONG, COMMAND_GO_ON = -1 };

struct command {
    const char *name, *usage;
    const char *admin, *token_file; /* options */
    bool json, colour;
};

/* Options of every command; a command adds its own from COMMAND_OPTION_OWN on. */
enum {
    COMMAND_OPTION_ADMIN = 256,
    COMMAND_OPTION_TOKEN_FILE,
    COMMAND_OPTION_JSON,
    COMMAND_OPTION_HELP,
    COMMAND_OPTION_OWN
};
#define COMMAND_OPTIONS                                                                                                \
    { "admin", required_argument, NULL, COMMAND_OPTION_ADMIN },                                                        \
        { "admin-token-file", required_argument, NULL, COMMAND_OPTION_TOKEN_FILE },                                    \
        { "json", no_argument, NULL, COMMAND_OPTION_JSON }, { "help", no_argument, NULL, COMMAND_OPTION_HELP },        \
    {                                                                                                                  \
        NULL, 0, NULL, 0                                                                                               \
    }
#define COMMAND_USAGE                                                                                                  \
    "  --admin ADDR:PORT        the admin address of the weir to ask  [127.0.0.1:8081]\n"                              \
    "  --admin-token-file FILE  the file with its admin token; or set WEIR_ADMIN_TOKEN\n"                              \
    "  --json                   print the answer as JSON\n"                                                            \
    "  --help\n"                                                                                                       \
    "\n"                                                                                                               \
    "Exit status: 0 success, 1 failure while running, 2 wrong usage.\n"

struct command command_of(const char *name, const char *usage);
/** One of the shared options, or what getopt says of a wrong one.
 *  @return COMMAND_GO_ON, or the exit status */
MUST_USE int command_option(struct command *c, int option, char **argv);
/** "weir NAME: ..." on stderr. @return COMMAND_WRONG */
__attribute__((format(printf, 2, 3))) int command_wrong(const struct command *c, const char *format, ...);

/** Ask. @param content  consumed; NULL: none
 *  @param out   the answer's JSON, the caller's reference; with --json it has been printed
 *  @return      COMMAND_GO_ON, or the exit status, and then the reason stands on stderr */
MUST_USE int command_call(const struct command *c, const char *method, const char *target, json_t *content,
                          json_t **out);

/* ---- printing */

/** At json's path "a.b", NULL when it is not there. */
json_t *command_at(const json_t *json, const char *path);
/** A number at a path; 0 when it is not there. */
double command_number(const json_t *json, const char *path);
/** A text without anything that a terminal would obey. */
void command_put_text(FILE *f, const char *text);
/** "1.2 KiB", "47 s", "2 h 5 min", into `to`. @return to */
enum { COMMAND_VALUE_MAX = 40 };
const char *command_bytes(double bytes, char to[COMMAND_VALUE_MAX]);
const char *command_duration(double seconds, char to[COMMAND_VALUE_MAX]);

#endif
