/* weir top: what a running weir does now, from two looks at its counters. */
#include "proxy/command.h"
#include "proxy/command_admin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 1000, LOOKS_MAX = 1000 * 1000 * 1000, SERVERS_SHOWN = 12, COLUMNS = 80, COLUMNS_MAX = 400 };

static const char usage[] =
    "Usage: weir top [-n N] [options]\n"
    "\n"
    "Shows what a running weir does: requests, hits and fetches in the last second, both tiers, the origins' servers.\n"
    "On a terminal it is shown anew each second until you press q; elsewhere it is a line for each second.\n"
    "\n"
    "  -n, --looks N            end after so many\n";

static const struct option long_options[] = { { "looks", required_argument, NULL, 'n' }, COMMAND_OPTIONS };

/* ---- the numbers */

/* One look. */
struct look {
    json_t *stats;
    double at_s; /* monotonic */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How much a counter grew since the look before; one that is smaller began anew, with weir. */
static double grown(const struct look *before, const struct look *now, const char *path)
{
    double a = command_number(before->stats, path), b = command_number(now->stats, path);
    return b >= a ? b - a : b;
}

static double rate(const struct look *before, const struct look *now, const char *path)
{
    double seconds = now->at_s - before->at_s;
    return seconds > 0 ? grown(before, now, path) / seconds : 0;
}

/* Hits among what the cache was asked for, in percent; -1: nothing was asked. */
static double hit_percent(const struct look *before, const struct look *now)
{
    double hits = grown(before, now, "requests.hits");
    double all = hits + grown(before, now, "requests.misses") + grown(before, now, "requests.passes");
    return all > 0 ? 100 * hits / all : -1;
}

static const char *percent_text(double percent, char to[COMMAND_VALUE_MAX])
{
    if (percent < 0)
        snprintf(to, COMMAND_VALUE_MAX, "-");
    else
        snprintf(to, COMMAND_VALUE_MAX, "%.1f %%", percent);
    return to;
}

/* ---- lines, where there is no terminal */

static void put_line(const struct look *before, const struct look *now)
{
    char clock[16], hits[COMMAND_VALUE_MAX], sent[COMMAND_VALUE_MAX], memory[COMMAND_VALUE_MAX],
        store[COMMAND_VALUE_MAX];
    time_t t = time(NULL);
    struct tm local;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&t, &local));
    printf("%s requests/s %.0f, hits %s, fetches/s %.0f, failures/s %.0f, sent %s/s, memory %s, store %s\n", clock,
           rate(before, now, "requests.requests"), percent_text(hit_percent(before, now), hits),
           rate(before, now, "requests.fetches"), rate(before, now, "requests.fetch_failures"),
           command_bytes(rate(before, now, "requests.bytes_sent"), sent),
           command_bytes(command_number(now->stats, "memory.bytes"), memory),
           command_bytes(command_number(now->stats, "store.used_bytes"), store));
    fflush(stdout);
}

/* ---- the screen */

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

struct screen {
    bool on;   /* stdout is a terminal */
    bool keys; /* stdin is one too, and tells each key at once */
    int columns;
    struct termios before;
};

static void screen_begin(struct screen *s)
{
    struct sigaction end = { .sa_handler = on_signal };
    struct termios raw;
    s->on = isatty(STDOUT_FILENO) == 1;
    if (!s->on) return;
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    s->keys = tcgetattr(STDIN_FILENO, &s->before) == 0;
    if (s->keys) {
        raw = s->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        s->keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    printf("\033[2J\033[?25l"); /* empty, without a cursor */
}

static void screen_end(const struct screen *s)
{
    if (!s->on) return;
    printf("\033[?25h");
    fflush(stdout);
    if (s->keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

static void put_cleared(void)
{
    printf("\033[2J\033[H");
    fflush(stdout);
}

static void measure(struct screen *s)
{
    struct winsize size;
    s->columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
    if (s->columns > COLUMNS_MAX) s->columns = COLUMNS_MAX;
}

/* One line of the screen, cut where the screen ends. */
__attribute__((format(printf, 2, 3))) static void row(const struct screen *s, const char *format, ...)
{
    char text[COLUMNS_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, (size_t)s->columns + 1, format, args);
    va_end(args);
    command_put_text(stdout, text);
    printf("\033[K\n");
}

static void put_tiers(const struct screen *s, const struct look *before, const struct look *now)
{
    char a[COMMAND_VALUE_MAX], b[COMMAND_VALUE_MAX];
    const json_t *j = now->stats;
    row(s, "memory    %9.0f responses, %s of %s, %.0f %%; %.0f evicted/s", command_number(j, "memory.entries"),
        command_bytes(command_number(j, "memory.bytes"), a), command_bytes(command_number(j, "memory.limit_bytes"), b),
        100 * command_number(j, "memory.fill"), rate(before, now, "memory.evictions"));
    if (command_at(j, "store") == NULL) return;
    row(s, "store     %9.0f responses, %s of %s, %.0f %%; %.0f evicted/s%s", command_number(j, "store.entries"),
        command_bytes(command_number(j, "store.used_bytes"), a),
        command_bytes(command_number(j, "store.size_bytes"), b), 100 * command_number(j, "store.fill"),
        rate(before, now, "store.evictions"), json_is_true(command_at(j, "store.failing")) ? "; FAILING" : "");
    row(s, "          %9.0f put/s, %.0f found/s; %s wait to be written", rate(before, now, "store.puts"),
        rate(before, now, "store.hits"), command_bytes(command_number(j, "store.queue_bytes"), a));
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : "";
}

/* The same server in the look before; NULL: it was not there. */
static const json_t *server_before(const struct look *before, const char *origin, const char *url)
{
    const json_t *servers = json_object_get(json_object_get(command_at(before->stats, "origins"), origin), "servers");
    for (size_t i = 0; i < json_array_size(servers); i++)
        if (strcmp(text_at(json_array_get(servers, i), "url"), url) == 0) return json_array_get(servers, i);
    return NULL;
}

static void put_server(const struct screen *s, const struct look *before, const struct look *now, const char *origin,
                       const json_t *server)
{
    struct look then = { (json_t *)(uintptr_t)server_before(before, origin, text_at(server, "url")), before->at_s };
    struct look here = { (json_t *)(uintptr_t)server, now->at_s };
    row(s, "  %-24.24s %-10.10s %8.0f %8.0f %8.0f  %s", origin, text_at(server, "state"),
        rate(&then, &here, "requests"), rate(&then, &here, "failures"), command_number(server, "in_flight"),
        text_at(server, "url"));
}

static void put_origins(const struct screen *s, const struct look *before, const struct look *now)
{
    const char *name;
    json_t *origin;
    int shown = 0;
    row(s, "  %-24s %-10s %8s %8s %8s", "origin", "state", "fetch/s", "fail/s", "now");
    json_object_foreach(command_at(now->stats, "origins"), name, origin)
    {
        const json_t *servers = json_object_get(origin, "servers");
        for (size_t i = 0; i < json_array_size(servers) && shown < SERVERS_SHOWN; i++, shown++)
            put_server(s, before, now, name, json_array_get(servers, i));
    }
}

static void put_screen(struct screen *s, const struct look *before, const struct look *now)
{
    char a[COMMAND_VALUE_MAX], b[COMMAND_VALUE_MAX], c[COMMAND_VALUE_MAX];
    const json_t *j = now->stats;
    measure(s);
    printf("\033[H");
    row(s, "weir %s, up %s, workers %.0f%s", text_at(j, "version"), command_duration(command_number(j, "uptime_s"), a),
        command_number(j, "workers"), json_is_true(command_at(j, "draining")) ? ", DRAINING" : "");
    row(s, "%s", "");
    row(s, "requests  %9.0f /s; hits %s (since the start %s)", rate(before, now, "requests.requests"),
        percent_text(hit_percent(before, now), a), percent_text(100 * command_number(j, "hit_ratio.requests"), b));
    row(s, "hits      %9.0f /s from memory, %.0f from the store, %.0f stale", rate(before, now, "requests.hits_memory"),
        rate(before, now, "requests.hits_store"), rate(before, now, "requests.hits_stale"));
    row(s, "misses    %9.0f /s; %.0f collapsed, %.0f passed on", rate(before, now, "requests.misses"),
        rate(before, now, "requests.collapsed"), rate(before, now, "requests.passes"));
    row(s, "fetches   %9.0f /s; %.0f failed, %.0f refreshes, %.0f retries", rate(before, now, "requests.fetches"),
        rate(before, now, "requests.fetch_failures"), rate(before, now, "requests.refreshes"),
        rate(before, now, "requests.retries"));
    row(s, "errors    %9.0f /s of weir's own, %.0f refused", rate(before, now, "requests.errors"),
        rate(before, now, "requests.refused"));
    row(s, "bytes     %9s /s sent, %s from the cache, %s fetched",
        command_bytes(rate(before, now, "requests.bytes_sent"), a),
        command_bytes(rate(before, now, "requests.bytes_hit"), b),
        command_bytes(rate(before, now, "requests.bytes_fetched"), c));
    row(s, "so far    hits p50 %.0f us, p99 %.0f us; misses p50 %.0f us, p99 %.0f us",
        command_number(j, "latency_us.hit.p50"), command_number(j, "latency_us.hit.p99"),
        command_number(j, "latency_us.miss.p50"), command_number(j, "latency_us.miss.p99"));
    row(s, "%s", "");
    put_tiers(s, before, now);
    row(s, "%s", "");
    put_origins(s, before, now);
    printf("\033[J");
    fflush(stdout);
}

/* ---- looking */

/* A second, or until q. @return false: it is time to end */
static bool wait_for_next(const struct screen *s)
{
    double until_s = now_s() + LOOK_MS / 1000.0;
    for (double left_s = LOOK_MS / 1000.0; left_s > 0 && !told_to_end; left_s = until_s - now_s()) {
        struct pollfd in = { .fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN };
        char key;
        int n = poll(&in, 1, (int)(left_s * 1000) + 1);
        if (n > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')) return false;
    }
    return !told_to_end;
}

static int look_at(const struct command *c, struct look *out)
{
    int rc = command_call(c, "GET", "/v1/stats", NULL, &out->stats);
    out->at_s = now_s();
    return rc;
}

static void put_look(const struct command *c, struct screen *s, const struct look *before, const struct look *now)
{
    if (s->on)
        put_screen(s, before, now);
    else if (!c->json)
        put_line(before, now);
}

/* Until it is time to end. A screen outlives a weir that is being restarted: the complaint stands on it until one answers.
 * @return the exit status */
static int watch(const struct command *c, struct screen *s, int64_t looks)
{
    struct look before, now;
    int rc = look_at(c, &before);
    if (rc != COMMAND_GO_ON) return rc;
    if (!c->json) screen_begin(s);
    if (s->on) put_screen(s, &before, &before);
    while ((rc == COMMAND_GO_ON || s->on) && looks-- > 0 && wait_for_next(s)) {
        if (rc != COMMAND_GO_ON) put_cleared();
        rc = look_at(c, &now);
        if (rc != COMMAND_GO_ON) continue;
        put_look(c, s, &before, &now);
        json_decref(before.stats);
        before = now;
    }
    screen_end(s);
    json_decref(before.stats);
    return rc == COMMAND_GO_ON ? COMMAND_OK : rc;
}

int command_top(int argc, char **argv)
{
    struct command c = command_of("top", usage);
    struct screen s = { 0 };
    int64_t looks = INT64_MAX;
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":n:", long_options, NULL)) != -1) {
        int rc = option != 'n' ? command_option(&c, option, argv) : COMMAND_GO_ON;
        if (rc != COMMAND_GO_ON) return rc;
        if (option == 'n' && (!view_parse_decimal(view_of_str(optarg), LOOKS_MAX, &looks) || looks < 1))
            return command_wrong(&c, "-n '%s': it takes a number from 1 on", optarg);
    }
    if (optind < argc) return command_wrong(&c, "unexpected argument '%s'", argv[optind]);
    return watch(&c, &s, looks);
}
