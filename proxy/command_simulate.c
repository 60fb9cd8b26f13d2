/* weir simulate: which share of the requests in an access log would have missed, by policy and size of the cache. */
#include "proxy/command.h"
#include "proxy/command_admin.h"
#include "proxy/options.h"
#include "proxy/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: weir simulate FILE [options]\n"
    "\n"
    "Replays an access log against eviction policies and sizes of the cache and prints the miss ratios, by requests\n"
    "and by bytes. weir is what its memory runs: s3-fifo in 64 shards. FILE may be -, the standard input.\n"
    "\n"
    "  --size SIZE              a size of the cache, as in 256MiB; may be given several times\n"
    "                           [eight from 1 % to 100 % of what all responses take]\n"
    "  --policy NAME            lru, fifo, sieve, s3-fifo or weir; may be given several times  [all]\n"
    "  --format NAME            common, combined (access logs) or key-size (lines of KEY SIZE)  [each line's own]\n"
    "  --limit N                stop after so many requests  [10000000]\n"
    "  --overhead SIZE          what a response takes beside its content: fields, metadata  [512]\n"
    "  --json                   print the result as JSON\n"
    "  --help\n"
    "\n"
    "GET and HEAD with a status that may be cached count; a key is the target as it was logged, its size the largest\n"
    "that was sent. A response larger than 1/8 of the cache is not kept, as in weir. Freshness is not simulated: what\n"
    "is kept is a hit. Memory: 8 bytes per request and 112 per key at most.\n"
    "\n"
    "Exit status: 0 success, 1 failure while running, 2 wrong usage.\n";

_Static_assert(TRACE_KEY_BYTES + SIMULATE_KEY_BYTES == 112 && SIMULATE_OBJECT_SHARE == 8, "the usage says so");

enum {
    SIZES_MAX = 64,
    REQUESTS_DEFAULT = 10 * 1000 * 1000,
    OVERHEAD_DEFAULT = 512,
    OPTION_SIZE = COMMAND_OPTION_OWN,
    OPTION_POLICY,
    OPTION_FORMAT,
    OPTION_LIMIT,
    OPTION_OVERHEAD,
};

static const struct option long_options[] = {
    { "size", required_argument, NULL, OPTION_SIZE },         { "policy", required_argument, NULL, OPTION_POLICY },
    { "format", required_argument, NULL, OPTION_FORMAT },     { "limit", required_argument, NULL, OPTION_LIMIT },
    { "overhead", required_argument, NULL, OPTION_OVERHEAD }, { "json", no_argument, NULL, COMMAND_OPTION_JSON },
    { "help", no_argument, NULL, COMMAND_OPTION_HELP },       { NULL, 0, NULL, 0 },
};

/* What was asked for, and what came out. */
struct job {
    struct command command;
    const char *file;
    enum log_format format;
    uint64_t sizes[SIZES_MAX];
    size_t size_count;
    const struct simulate_policy *policies[SIMULATE_POLICIES];
    size_t policy_count;
    size_t limit;
    uint32_t overhead_bytes;
    struct trace trace;
    struct simulate_result results[SIZES_MAX][SIMULATE_POLICIES];
};

static const char *name_of_file(const struct job *j)
{
    return strcmp(j->file, "-") == 0 ? "standard input" : j->file;
}

/* ---- options */

static int take_size(struct job *j)
{
    uint64_t size;
    if (!size_parse(optarg, &size) || size == 0)
        return command_wrong(&j->command, "--size '%s'; a size is a number with a unit, as in 256MiB or 4GiB", optarg);
    if (j->size_count == SIZES_MAX) return command_wrong(&j->command, "--size '%s'; at most 64 sizes", optarg);
    j->sizes[j->size_count++] = size;
    return COMMAND_GO_ON;
}

static int take_policy(struct job *j)
{
    const struct simulate_policy *p = simulate_policy_named(optarg);
    if (p == NULL) return command_wrong(&j->command, "--policy '%s'; it is lru, fifo, sieve, s3-fifo or weir", optarg);
    for (size_t i = 0; i < j->policy_count; i++)
        if (j->policies[i] == p) return COMMAND_GO_ON;
    j->policies[j->policy_count++] = p;
    return COMMAND_GO_ON;
}

static int take_limit(struct job *j)
{
    int64_t n;
    if (!view_parse_decimal(view_of_str(optarg), (int64_t)TRACE_REQUESTS_MAX + 1, &n) || n < 1 ||
        n > TRACE_REQUESTS_MAX)
        return command_wrong(&j->command, "--limit '%s'; a number from 1 to %d", optarg, TRACE_REQUESTS_MAX);
    j->limit = (size_t)n;
    return COMMAND_GO_ON;
}

static int take_overhead(struct job *j)
{
    uint64_t bytes;
    if (!size_parse(optarg, &bytes) || bytes > SIMULATE_OVERHEAD_MAX)
        return command_wrong(&j->command, "--overhead '%s'; a size from 0 to 1MiB", optarg);
    j->overhead_bytes = (uint32_t)bytes;
    return COMMAND_GO_ON;
}

static int take_option(struct job *j, int option, char **argv)
{
    switch (option) {
    case OPTION_SIZE: return take_size(j);
    case OPTION_POLICY: return take_policy(j);
    case OPTION_FORMAT:
        if (log_format_named(optarg, &j->format)) return COMMAND_GO_ON;
        return command_wrong(&j->command, "--format '%s'; it is common, combined or key-size", optarg);
    case OPTION_LIMIT: return take_limit(j);
    case OPTION_OVERHEAD: return take_overhead(j);
    case COMMAND_OPTION_HELP: fputs(usage, stdout); return COMMAND_OK;
    default: return command_option(&j->command, option, argv);
    }
}

static int read_options(struct job *j, int argc, char **argv)
{
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        int rc = take_option(j, option, argv);
        if (rc != COMMAND_GO_ON) return rc;
    }
    if (optind >= argc) return command_wrong(&j->command, "which access log? see weir simulate --help");
    if (optind + 1 < argc)
        return command_wrong(&j->command, "unexpected argument '%s'; one file at a time", argv[optind + 1]);
    j->file = argv[optind];
    if (j->policy_count == 0) {
        memcpy(j->policies, simulate_policies, sizeof j->policies);
        j->policy_count = SIMULATE_POLICIES;
    }
    return COMMAND_GO_ON;
}

/* ---- the progress bar, on a terminal only */

struct bar {
    const char *what;
    uint64_t before, whole; /* done before this part began; 0: nobody knows */
    int shown;              /* per mille */
    bool on;
};

static struct bar bar_of(const char *what, uint64_t whole)
{
    return (struct bar){ .what = what, .whole = whole, .shown = -1, .on = isatty(STDERR_FILENO) == 1 };
}

static void bar_tell(void *arg, uint64_t done)
{
    enum { WIDTH = 40, WHOLE = 1000 };
    static const char full[WIDTH + 1] = "========================================";
    struct bar *b = arg;
    if (!b->on || b->whole == 0) return;
    double share = (double)(b->before + done) / (double)b->whole;
    int now = share >= 1 ? WHOLE : (int)(share * WHOLE);
    if (now == b->shown) return;
    b->shown = now;
    fprintf(stderr, "\r%-10s [%-*.*s] %3d %%", b->what, WIDTH, now * WIDTH / WHOLE, full, now / 10);
}

static void bar_clear(const struct bar *b)
{
    if (b->on && b->shown >= 0) fputs("\r\033[K", stderr);
}

/* ---- reading */

static int fail(const struct job *j, const char *why)
{
    (void)command_wrong(&j->command, "%s: %s", name_of_file(j), why);
    return COMMAND_FAILED;
}

static int open_file(const struct job *j)
{
    return strcmp(j->file, "-") == 0 ? dup(STDIN_FILENO) : open(j->file, O_RDONLY | O_CLOEXEC);
}

static uint64_t bytes_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static const char *right_lines(enum log_format format)
{
    switch (format) {
    case LOG_COMMON: return "192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 2326";
    case LOG_KEY_SIZE: return "/a 2326";
    case LOG_ANY: break;
    }
    return "192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 2326, or /a 2326";
}

/* The trace is there; is anything in it? */
static int check_trace(const struct job *j)
{
    const struct trace *t = &j->trace;
    if (t->request_count > 0) return COMMAND_GO_ON;
    if (t->unreadable > 0)
        (void)command_wrong(&j->command, "%s:%llu: %s; a line looks like %s", name_of_file(j),
                            (unsigned long long)t->first_unreadable, t->why, right_lines(j->format));
    else
        return fail(j, t->passed > 0 ? "no request that a cache could answer: GET or HEAD with status 200, 404, ..."
                                     : "it is empty; an access log or lines of KEY SIZE are needed");
    return COMMAND_FAILED;
}

static int read_trace(struct job *j)
{
    int fd = open_file(j);
    if (fd < 0) return fail(j, strerror(errno));
    struct bar bar = bar_of("reading", bytes_of(fd));
    struct progress p = { bar_tell, &bar };
    int rc = trace_read(&j->trace, fd, j->format, j->limit, &p);
    bar_clear(&bar);
    close(fd);
    if (rc == -EILSEQ) return fail(j, "it is compressed; use zcat FILE | weir simulate -");
    if (rc == -ENOMEM) return fail(j, "out of memory; --limit N reads less of it");
    if (rc != 0) return fail(j, strerror(-rc));
    return check_trace(j);
}

/* ---- simulating */

/* A curve: some shares of what everything takes, each once. */
static void default_sizes(struct job *j)
{
    static const int percents[] = { 1, 2, 5, 10, 20, 40, 70, 100 };
    uint64_t whole = simulate_unique_bytes(&j->trace, j->overhead_bytes);
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        uint64_t size = (uint64_t)((double)whole * percents[i] / 100);
        if (size > 0 && (j->size_count == 0 || size > j->sizes[j->size_count - 1])) j->sizes[j->size_count++] = size;
    }
    if (j->size_count == 0) j->sizes[j->size_count++] = 1;
}

static int simulate_all(struct job *j)
{
    struct bar bar = bar_of("simulating", (uint64_t)j->trace.request_count * j->size_count * j->policy_count);
    struct progress p = { bar_tell, &bar };
    int rc = 0;
    for (size_t s = 0; rc == 0 && s < j->size_count; s++) {
        for (size_t i = 0; rc == 0 && i < j->policy_count; i++) {
            struct simulation run = { j->policies[i], j->sizes[s], j->overhead_bytes };
            rc = simulate(&j->trace, &run, &p, &j->results[s][i]);
            bar.before += j->trace.request_count;
        }
    }
    bar_clear(&bar);
    return rc == 0 ? COMMAND_GO_ON : fail(j, "out of memory; --limit N reads less of it");
}

/* ---- printing */

static double ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static double by_requests(const struct simulate_result *r)
{
    return ratio(r->misses, r->requests);
}

static double by_bytes(const struct simulate_result *r)
{
    return ratio(r->missed_bytes, r->bytes);
}

static void print_curve(const struct job *j, const char *title, double (*of)(const struct simulate_result *r))
{
    char size[COMMAND_VALUE_MAX];
    printf("\n%s\n%10s", title, "size");
    for (size_t i = 0; i < j->policy_count; i++) printf(" %9s", j->policies[i]->name);
    putchar('\n');
    for (size_t s = 0; s < j->size_count; s++) {
        printf("%10s", command_bytes((double)j->sizes[s], size));
        for (size_t i = 0; i < j->policy_count; i++) printf(" %7.2f %%", 100 * of(&j->results[s][i]));
        putchar('\n');
    }
}

static void print_unread(const struct job *j)
{
    const struct trace *t = &j->trace;
    if (t->passed > 0)
        printf("%llu requests not counted: no cache answers their method or status\n", (unsigned long long)t->passed);
    if (t->unreadable > 0) {
        printf("%llu lines not counted, the first: ", (unsigned long long)t->unreadable);
        command_put_text(stdout, name_of_file(j));
        printf(":%llu: %s\n", (unsigned long long)t->first_unreadable, t->why);
    }
    if (t->cut) printf("the rest was not read; --limit N reads more\n");
}

static int print_text(const struct job *j)
{
    char sent[COMMAND_VALUE_MAX], unique[COMMAND_VALUE_MAX];
    const struct simulate_result *r = &j->results[0][0];
    printf("%llu requests, %s; %u keys, %s in a cache that holds them all\n", (unsigned long long)r->requests,
           command_bytes((double)r->bytes, sent), j->trace.keys.count,
           command_bytes((double)simulate_unique_bytes(&j->trace, j->overhead_bytes), unique));
    print_unread(j);
    print_curve(j, "misses, by requests", by_requests);
    print_curve(j, "misses, by bytes", by_bytes);
    printf("\nThe first request for each key misses whatever the cache: %.2f %% of the requests.\n",
           100 * ratio(j->trace.keys.count, r->requests));
    return COMMAND_OK;
}

static json_t *point_json(const struct simulate_result *r, const char *policy, uint64_t size)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "policy", policy, "size_bytes", (json_int_t)size,
                     "misses", (json_int_t)r->misses, "missed_bytes", (json_int_t)r->missed_bytes,
                     "miss_ratio_requests", by_requests(r), "miss_ratio_bytes", by_bytes(r), "evictions",
                     (json_int_t)r->evictions, "too_large", (json_int_t)r->too_large);
}

static int print_json(const struct job *j)
{
    const struct trace *t = &j->trace;
    const struct simulate_result *r = &j->results[0][0];
    json_t *curve = json_array();
    for (size_t s = 0; s < j->size_count; s++)
        for (size_t i = 0; i < j->policy_count; i++)
            json_array_append_new(curve, point_json(&j->results[s][i], j->policies[i]->name, j->sizes[s]));
    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o}", "requests", (json_int_t)r->requests,
                            "bytes", (json_int_t)r->bytes, "keys", (json_int_t)t->keys.count, "unique_bytes",
                            (json_int_t)simulate_unique_bytes(t, j->overhead_bytes), "passed", (json_int_t)t->passed,
                            "unreadable", (json_int_t)t->unreadable, "cut", t->cut, "overhead_bytes",
                            (json_int_t)j->overhead_bytes, "curve", curve);
    if (all == NULL) return fail(j, "out of memory");
    (void)json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9)); /* stdout remembers a failure */
    json_decref(all);
    putchar('\n');
    return COMMAND_OK;
}

static int run(struct job *j, int argc, char **argv)
{
    int rc = read_options(j, argc, argv);
    if (rc == COMMAND_GO_ON) rc = read_trace(j);
    if (rc != COMMAND_GO_ON) return rc;
    if (j->size_count == 0) default_sizes(j);
    if ((rc = simulate_all(j)) != COMMAND_GO_ON) return rc;
    rc = j->command.json ? print_json(j) : print_text(j);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return rc;
    (void)command_wrong(&j->command, "standard output: %s", strerror(errno));
    return COMMAND_FAILED;
}

int command_simulate(int argc, char **argv)
{
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) return COMMAND_FAILED;
    j->command = command_of("simulate", usage);
    j->limit = REQUESTS_DEFAULT;
    j->overhead_bytes = OVERHEAD_DEFAULT;
    int rc = run(j, argc, argv);
    trace_free(&j->trace);
    free(j);
    return rc;
}
