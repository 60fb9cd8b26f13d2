/* weir purge: take responses out of a running weir. */
#include "proxy/command.h"
#include "proxy/command_admin.h"

static const char usage[] =
    "Usage: weir purge [--url URL]... [--tag TAG]... [--prefix URL]... [--host HOST]... [--all]\n"
    "                  [--soft] [--dry-run] [options]\n"
    "\n"
    "Takes what is named, any mix of it, out of a running weir, at once and as one. Whoever asks from then on gets what\n"
    "was fetched after the purge.\n"
    "\n"
    "  --url URL                that URL, every variant of it\n"
    "  --tag TAG                responses with this tag (Surrogate-Key, Cache-Tag, xkey, Cache-Groups)\n"
    "  --prefix URL             URLs that begin so; with the whole host, as in http://example.com/api/\n"
    "  --host HOST              every URL of this host; with its port, if it has one\n"
    "  --all                    everything\n"
    "  --soft                   keep it, but stale: good for stale-while-revalidate and stale-if-error\n"
    "  --dry-run                only count\n";

enum {
    OPTION_URL = COMMAND_OPTION_OWN,
    OPTION_TAG,
    OPTION_PREFIX,
    OPTION_HOST,
    OPTION_ALL,
    OPTION_SOFT,
    OPTION_DRY_RUN
};

static const struct option long_options[] = { { "url", required_argument, NULL, OPTION_URL },
                                              { "tag", required_argument, NULL, OPTION_TAG },
                                              { "prefix", required_argument, NULL, OPTION_PREFIX },
                                              { "host", required_argument, NULL, OPTION_HOST },
                                              { "all", no_argument, NULL, OPTION_ALL },
                                              { "soft", no_argument, NULL, OPTION_SOFT },
                                              { "dry-run", no_argument, NULL, OPTION_DRY_RUN },
                                              COMMAND_OPTIONS };

/* The member of the request that an option sets or adds to. */
static const char *member_of(int option)
{
    static const char *const members[] = { "urls", "tags", "prefixes", "hosts", "all", "soft", "dry_run" };
    return members[option - OPTION_URL];
}

static bool add_name(json_t *order, const char *member, const char *name)
{
    json_t *list = json_object_get(order, member);
    if (list == NULL) {
        if (json_object_set_new(order, member, json_array()) != 0) return false;
        list = json_object_get(order, member);
    }
    return json_array_append_new(list, json_string(name)) == 0;
}

static int read_options(struct command *c, int argc, char **argv, json_t *order)
{
    int option;
    bool named = false;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (option < OPTION_URL || option > OPTION_DRY_RUN) {
            int rc = command_option(c, option, argv);
            if (rc != COMMAND_GO_ON) return rc;
        } else if (option <= OPTION_HOST) {
            if (!add_name(order, member_of(option), optarg)) return command_wrong(c, "'%s' is not UTF-8 text", optarg);
            named = true;
        } else {
            (void)json_object_set_new(order, member_of(option), json_true());
            named = named || option == OPTION_ALL;
        }
    }
    if (optind < argc)
        return command_wrong(c, "unexpected argument '%s'; write --url %s or --tag %s", argv[optind], argv[optind],
                             argv[optind]);
    if (!named) return command_wrong(c, "nothing to purge; name a --url, --tag, --prefix or --host, or say --all");
    return COMMAND_GO_ON;
}

static void print_answer(const json_t *answer)
{
    double matched = command_number(answer, "matched");
    bool soft = json_is_true(command_at(answer, "soft")), dry_run = json_is_true(command_at(answer, "dry_run"));
    const char *noun = matched == 1 ? "stored response" : "stored responses";
    if (dry_run) {
        printf("%.0f %s would be %s\n", matched, noun, soft ? "made stale" : "purged");
        return;
    }
    printf("%.0f %s %s (purge ", matched, noun, soft ? "made stale" : "purged");
    const char *id = json_string_value(command_at(answer, "id"));
    command_put_text(stdout, id != NULL ? id : "?");
    printf(")");
    double heard = command_number(answer, "handed_on");
    if (heard > 0) printf(", handed on to %.0f %s", heard, heard == 1 ? "server" : "servers");
    printf("\n");
}

int command_purge(int argc, char **argv)
{
    struct command c = command_of("purge", usage);
    json_t *order = json_object(), *answer;
    int rc = read_options(&c, argc, argv, order);
    if (rc != COMMAND_GO_ON) {
        json_decref(order);
        return rc;
    }
    rc = command_call(&c, "POST", "/v1/purge", order, &answer);
    if (rc != COMMAND_GO_ON) return rc;
    if (!c.json) print_answer(answer);
    json_decref(answer);
    return COMMAND_OK;
}
