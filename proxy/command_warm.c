/* weir warm: asks a running weir for a list of URLs, so that it has them before clients come. */
#include "headers/field.h"
#include "proxy/admin_client.h"
#include "proxy/command.h"
#include "proxy/command_admin.h"
#include "proxy/warm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 8, RATE_MAX = 1000 * 1000, FAILURES_SHOWN = 20, LIST_FIRST = 64 * 1024 };

static const char usage[] =
    "Usage: weir warm [options] FILE|-|URL...\n"
    "\n"
    "Asks a running weir for URLs, as a client would, and tells how many were there already and how many it has stored.\n"
    "A FILE (or - for stdin) has a URL in each line, or is a sitemap. A URL says which host is asked for; an https one is\n"
    "asked for with X-Forwarded-Proto, which weir believes where trusted_proxies says so.\n"
    "\n"
    "  --to ADDR:PORT           the listener to ask  [127.0.0.1:8080]\n"
    "  -H, --header 'NAME: VALUE'  in every request, as for a response that varies; may be given several times\n"
    "  -c, --connections N      requests under way at once  [8]\n"
    "  -r, --rate N             requests per second at most  [as fast as they are answered]\n"
    "  --json                   print the summary as JSON\n"
    "  --help\n"
    "\n"
    "Exit status: 0 success, 1 a request failed (no answer, or a status from 400 on), 2 wrong usage.\n";

enum { OPTION_TO = COMMAND_OPTION_OWN, OPTION_JSON, OPTION_HELP };

static const struct option long_options[] = { { "to", required_argument, NULL, OPTION_TO },
                                              { "header", required_argument, NULL, 'H' },
                                              { "connections", required_argument, NULL, 'c' },
                                              { "rate", required_argument, NULL, 'r' },
                                              { "json", no_argument, NULL, OPTION_JSON },
                                              { "help", no_argument, NULL, OPTION_HELP },
                                              { NULL, 0, NULL, 0 } };

struct text {
    char *at;
    size_t len, cap;
};

struct order {
    struct command c;
    struct warm_settings settings;
    const char *lines[WARM_LINES_MAX];
    struct warm_list list;
    struct text *texts; /* of files, which the list points into */
    size_t text_count;
    uint64_t done, failed;
    time_t shown_s;
    bool bar;
};

/* ---- options */

static int wrong_number(const struct order *o, const char *option, const char *value, unsigned most)
{
    return command_wrong(&o->c, "%s '%s': it takes a number from 1 to %u", option, value, most);
}

static bool take_number(const char *value, unsigned most, unsigned *to)
{
    int64_t n;
    if (!view_parse_decimal(view_of_str(value), (int64_t)most + 1, &n) || n < 1 || n > most) return false;
    *to = (unsigned)n;
    return true;
}

/* Those that say where a message ends are the connection's business, and Host is the URL's. */
static bool is_warms_own(struct view name)
{
    static const enum field_id own[] = { FIELD_HOST, FIELD_CONNECTION, FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING,
                                         FIELD_TE,   FIELD_UPGRADE,    FIELD_EXPECT };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (field_id_of(name) == own[i]) return true;
    return false;
}

static int take_line(struct order *o, const char *line)
{
    struct view all = view_of_str(line);
    size_t colon = view_find(all, 0, ':');
    struct view name = view_first(all, colon),
                value = view_trim_ows(view_after(all, colon < all.len ? colon + 1 : colon));
    if (colon == all.len || !field_name_is_valid(name) || !field_value_is_valid(value) || value.len == 0)
        return command_wrong(&o->c, "-H '%s': it takes 'Name: value'", line);
    if (is_warms_own(name)) return command_wrong(&o->c, "-H '%s': this field cannot be set", line);
    if (o->settings.line_count == WARM_LINES_MAX)
        return command_wrong(&o->c, "-H: there may be %d at most", WARM_LINES_MAX);
    o->lines[o->settings.line_count++] = line;
    return COMMAND_GO_ON;
}

static int take_option(struct order *o, int option, char **argv)
{
    switch (option) {
    case OPTION_TO:
        o->settings.address = optarg;
        if (admin_address_is_valid(optarg)) return COMMAND_GO_ON;
        return command_wrong(&o->c, "--to '%s': it takes ADDR:PORT", optarg);
    case 'H': return take_line(o, optarg);
    case 'c':
        if (take_number(optarg, WARM_CONNECTIONS_MAX, &o->settings.connections)) return COMMAND_GO_ON;
        return wrong_number(o, "--connections", optarg, WARM_CONNECTIONS_MAX);
    case 'r':
        if (take_number(optarg, RATE_MAX, &o->settings.per_second)) return COMMAND_GO_ON;
        return wrong_number(o, "--rate", optarg, RATE_MAX);
    case OPTION_JSON: o->c.json = true; return COMMAND_GO_ON;
    case OPTION_HELP: fputs(usage, stdout); return COMMAND_OK;
    case ':': return command_wrong(&o->c, "%s needs a value; see weir warm --help", argv[optind - 1]);
    default: return command_wrong(&o->c, "unknown option %s; see weir warm --help", argv[optind - 1]);
    }
}

/* ---- the list */

static int read_all(struct text *t, FILE *f)
{
    for (;;) {
        if (t->len == t->cap) {
            size_t cap = t->cap == 0 ? LIST_FIRST : t->cap * 2;
            if (t->cap >= WARM_LIST_BYTES_MAX) return -EFBIG;
            char *grown = realloc(t->at, cap);
            if (grown == NULL) return -ENOMEM;
            t->at = grown;
            t->cap = cap;
        }
        size_t n = fread(t->at + t->len, 1, t->cap - t->len, f);
        t->len += n;
        if (n == 0) return ferror(f) ? -EIO : 0;
    }
}

static int take_file(struct order *o, const char *path)
{
    struct text *t = &o->texts[o->text_count++];
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "re");
    if (f == NULL) return command_wrong(&o->c, "%s: %s", path, strerror(errno));
    int rc = read_all(t, f);
    if (!from_stdin) fclose(f);
    if (rc == -EFBIG) return command_wrong(&o->c, "%s: it is longer than %d MiB", path, WARM_LIST_BYTES_MAX >> 20);
    if (rc != 0) return command_wrong(&o->c, "%s: %s", path, strerror(-rc));
    return warm_list_add(&o->list, t->at, t->len) ? COMMAND_GO_ON : command_wrong(&o->c, "out of memory");
}

static int take_argument(struct order *o, const char *argument)
{
    if (strstr(argument, "://") == NULL) return take_file(o, argument);
    return warm_list_add_url(&o->list, view_of_str(argument)) ? COMMAND_GO_ON : command_wrong(&o->c, "out of memory");
}

static int read_order(struct order *o, int argc, char **argv)
{
    int option, rc = COMMAND_GO_ON;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":H:c:r:", long_options, NULL)) != -1) {
        rc = take_option(o, option, argv);
        if (rc != COMMAND_GO_ON) return rc;
    }
    if (optind == argc) return command_wrong(&o->c, "nothing to ask for; name a FILE, - or a URL");
    o->texts = calloc((size_t)(argc - optind), sizeof *o->texts);
    if (o->texts == NULL) return command_wrong(&o->c, "out of memory");
    for (int i = optind; i < argc && rc == COMMAND_GO_ON; i++) rc = take_argument(o, argv[i]);
    if (rc == COMMAND_GO_ON && o->list.count == 0) return command_wrong(&o->c, "there is no URL in the list");
    return rc;
}

static void order_free(struct order *o)
{
    for (size_t i = 0; i < o->text_count; i++) free(o->texts[i].at);
    free(o->texts);
    warm_list_free(&o->list);
}

/* ---- telling */

static void clear_bar(const struct order *o)
{
    if (o->bar) fprintf(stderr, "\r\033[K");
}

static void show_bar(struct order *o)
{
    time_t now_s = time(NULL);
    if (!o->bar || (now_s == o->shown_s && o->done < o->list.count)) return;
    o->shown_s = now_s;
    clear_bar(o);
    fprintf(stderr, "%llu of %zu, %llu failed", (unsigned long long)o->done, o->list.count,
            (unsigned long long)o->failed);
}

static void told(void *arg, struct view url, enum warm_outcome outcome, const char *why)
{
    struct order *o = arg;
    o->done++;
    if (outcome == WARM_FAILED && o->failed++ < FAILURES_SHOWN) {
        char text[WARM_URL_MAX];
        snprintf(text, sizeof text, "%.*s: %s", (int)url.len, url.at, why);
        clear_bar(o);
        (void)command_wrong(&o->c, "%s", text);
        o->shown_s = 0;
    }
    show_bar(o);
}

static void put_summary(const struct order *o, const struct warm_result *r, double seconds)
{
    char bytes[COMMAND_VALUE_MAX], time_text[COMMAND_VALUE_MAX];
    unsigned long long n[WARM_OUTCOMES];
    for (size_t i = 0; i < WARM_OUTCOMES; i++) n[i] = r->outcomes[i];
    if (o->c.json)
        printf("{\"urls\": %zu, \"hit\": %llu, \"stored\": %llu, \"passed\": %llu, \"failed\": %llu, "
               "\"bytes\": %llu, \"seconds\": %.3f}\n",
               o->list.count, n[WARM_HIT], n[WARM_STORED], n[WARM_PASSED], n[WARM_FAILED], (unsigned long long)r->bytes,
               seconds);
    else
        printf("%zu %s: %llu stored, %llu hit, %llu not stored, %llu failed; %s in %s\n", o->list.count,
               o->list.count == 1 ? "URL" : "URLs", n[WARM_STORED], n[WARM_HIT], n[WARM_PASSED], n[WARM_FAILED],
               command_bytes((double)r->bytes, bytes), command_duration(seconds, time_text));
}

static int run(struct order *o)
{
    char why[WARM_URL_MAX];
    struct warm_result result;
    struct timespec a, b;
    signal(SIGPIPE, SIG_IGN); /* a weir that leaves is a failed request */
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (warm(&o->settings, &o->list, &result, why, sizeof why) != 0) {
        (void)command_wrong(&o->c, "%s", why);
        return COMMAND_FAILED;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    clear_bar(o);
    if (o->failed > FAILURES_SHOWN)
        (void)command_wrong(&o->c, "and %llu more", (unsigned long long)(o->failed - FAILURES_SHOWN));
    put_summary(o, &result, (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    return o->failed > 0 ? COMMAND_FAILED : COMMAND_OK;
}

int command_warm(int argc, char **argv)
{
    struct order o = { .c = command_of("warm", usage), .bar = isatty(STDERR_FILENO) == 1 };
    o.settings = (struct warm_settings){
        .address = "127.0.0.1:8080", .lines = o.lines, .connections = CONNECTIONS, .told = told, .arg = &o
    };
    int rc = read_order(&o, argc, argv);
    if (rc == COMMAND_GO_ON) rc = run(&o);
    order_free(&o);
    return rc;
}
