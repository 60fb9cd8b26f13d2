/* main: takes the command line, builds one struct weir, starts its threads, and waits for a signal to end them. */
#include "proxy/access_log.h"
#include "proxy/admin.h"
#include "proxy/config_reload.h"
#include "proxy/descriptors.h"
#include "proxy/command.h"
#include "proxy/dns.h"
#include "proxy/health.h"
#include "proxy/options.h"
#include "proxy/passwords.h"
#include "proxy/refill.h"
#include "proxy/resolver.h"
#include "proxy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_RUNNING = 1, EXIT_USAGE = 2, WHY_BYTES = 512, LANDING_MS = 10 * 1000, REFILL_AFTER_MS = 1000 };

static int fail(int status, const char *why)
{
    fprintf(stderr, "weir: %s\n", why);
    return status;
}

static void say(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "weir: %s\n", line);
}

static bool random_instance(char to[17])
{
    unsigned char bytes[8];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return false;
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(to + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* ---- the parts */

static int open_tiers(struct weir *w, const struct settings *o)
{
    char why[WHY_BYTES] = "";
    struct store_settings settings = {
        .path = o->store_path, .size_bytes = (uint64_t)o->store_bytes, .reader_threads = 2, .say = say
    };
    enum store_open_result r = store_open(&settings, &w->store, why, sizeof why);
    if (r != STORE_OPENED && r != STORE_STARTED_COLD) return fail(EXIT_RUNNING, why);
    if (why[0] != '\0') say(NULL, why);
    struct cache_settings cache = { .memory_bytes = (uint64_t)o->memory_bytes, .store = w->store };
    w->cache = cache_new(&cache);
    w->purges = purge_open(w->store, clock_now_s(&w->clock));
    if (w->cache == NULL || w->purges == NULL) return fail(EXIT_RUNNING, "out of memory");
    w->refill = refill_new(w, say, NULL);
    if (w->refill == NULL) return fail(EXIT_RUNNING, "out of memory");
    return 0;
}

static bool keep_after_purges(void *arg, struct object *o)
{
    struct weir *w = arg;
    if (object_head(o)->kind == RECORD_VARY) return true;
    struct purge_subject s = object_purge_subject(o);
    struct purge_verdict v = purge_check(w->purges, &s);
    if (!v.hard && !v.soft) atomic_store_explicit(&o->checked_seq, v.checked_seq, memory_order_relaxed);
    return !v.hard && !v.soft; /* a soft line may be forgotten before memory looks again */
}

static void sweep_memory(void *arg, uint64_t below_seq)
{
    struct weir *w = arg;
    (void)below_seq;
    memory_sweep(cache_memory(w->cache), keep_after_purges, w);
}

static const char *address_at(const struct settings *o, size_t i)
{
    return i < o->listen_count ? o->listen[i].address : o->admin_address;
}

/* Two listeners on one port would share its clients by chance: each address is claimed before any is opened. */
static int check_addresses(const struct settings *o)
{
    char why[WHY_BYTES];
    int claimed[WEIR_LISTENERS_MAX + 1], rc = 0;
    size_t n = 0;
    for (; n <= o->listen_count && rc == 0; n++) {
        claimed[n] = listener_claim(address_at(o, n), why, sizeof why);
        if (claimed[n] < 0) rc = fail(claimed[n] == -EINVAL ? EXIT_USAGE : EXIT_RUNNING, why);
    }
    while (n-- > 0)
        if (claimed[n] >= 0) close(claimed[n]);
    return rc;
}

static int open_listeners(const struct settings *o, int *fds)
{
    char why[WHY_BYTES];
    for (size_t i = 0; i < o->listen_count; i++) {
        fds[i] = listener_open(o->listen[i].address, why, sizeof why);
        if (fds[i] < 0) return fail(EXIT_RUNNING, why);
    }
    return 0;
}

static int build_workers(struct weir *w, const struct settings *o)
{
    char why[WHY_BYTES];
    for (int i = 0; i < o->workers; i++) {
        int fds[WEIR_LISTENERS_MAX];
        int rc = open_listeners(o, fds);
        if (rc != 0) return rc;
        w->workers[i] = worker_new(w, fds, o->listen_count, why, sizeof why);
        if (w->workers[i] == NULL) return fail(EXIT_RUNNING, why);
        w->worker_count++;
    }
    return 0;
}

static int open_access_log(struct weir *w, const struct settings *o)
{
    char why[WHY_BYTES];
    if (o->access_log_path == NULL) return 0;
    w->access_log = access_log_open(o->access_log_path, say, NULL, why, sizeof why);
    return w->access_log != NULL ? 0 : fail(EXIT_RUNNING, why);
}

/* What knows how the origins' servers do, and where they are. */
static int build_watchers(struct weir *w)
{
    char why[WHY_BYTES] = "";
    w->resolver = resolver_new();
    w->passwords = passwords_new();
    if (w->resolver == NULL || w->passwords == NULL) return fail(EXIT_RUNNING, "out of memory");
    w->dns = dns_new(w->resolver, why, sizeof why);
    if (w->dns == NULL) return fail(EXIT_RUNNING, why);
    dns_use(w->dns, w->site);
    w->health = health_new(w->resolver, why, sizeof why);
    if (w->health == NULL) return fail(EXIT_RUNNING, why);
    health_watch(w->health, weir_site(w));
    return 0;
}

/* ---- serving */

static int64_t hot_keys_ms(struct weir *w)
{
    struct site *site = weir_site(w);
    int64_t ms = site->settings.hot_keys_ms;
    site_unref(&site);
    return ms;
}

/* @param ms  how long; 0: as long as it takes. @return the signal, or 0: that time is over */
static int await_signal(const sigset_t *signals, int64_t ms)
{
    int number = 0;
    if (ms == 0) return sigwait(signals, &number) == 0 ? number : SIGTERM;
    struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };
    do {
        number = sigtimedwait(signals, NULL, &wait);
    } while (number < 0 && errno == EINTR);
    return number > 0 ? number : 0;
}

/* Until one says that it is time to end. Memory is refilled once the clients that waited for the start have had their turn. */
static void serve_signals(struct weir *w, const sigset_t *signals)
{
    struct config_report *report = malloc(sizeof *report);
    bool refilled = hot_keys_ms(w) == 0;
    int number;
    while ((number = await_signal(signals, refilled ? hot_keys_ms(w) : REFILL_AFTER_MS)) == 0 || number == SIGHUP) {
        if (number == SIGHUP) {
            if (report != NULL) (void)!config_reload(w->reloader, report, NULL); /* it says why not */
        } else if (refilled) {
            refill_save(w->refill, false);
        } else {
            refill_start(w->refill);
            refilled = true;
        }
    }
    if (!refilled) refill_start(w->refill); /* what the list of the last run names is noted again */
    free(report);
}

static int run(struct weir *w, struct admin *admin, const sigset_t *signals)
{
    if (dns_start(w->dns) != 0 || passwords_start(w->passwords) != 0 || health_start(w->health) != 0)
        return fail(EXIT_RUNNING, "cannot start a thread");
    for (size_t i = 0; i < w->worker_count; i++)
        if (worker_start(w->workers[i]) != 0) return fail(EXIT_RUNNING, "cannot start a thread");
    if (admin_start(admin) != 0) return fail(EXIT_RUNNING, "cannot start a thread");
    serve_signals(w, signals);
    atomic_store(&w->draining, true);
    for (size_t i = 0; i < w->worker_count; i++) worker_stop(w->workers[i]);
    for (size_t i = 0; i < w->worker_count; i++) worker_join(w->workers[i]);
    admin_stop(admin);
    admin_join(admin);
    if (hot_keys_ms(w) > 0) refill_save(w->refill, true);
    return 0;
}

/* A large response takes two steps into the store: its content, then its record. The second must be queued before the store
 * closes. */
static void await_landings(struct weir *w)
{
    for (int waited_ms = 0; atomic_load(&w->landings) > 0 && waited_ms < LANDING_MS; waited_ms++) usleep(1000);
}

static void weir_free(struct weir *w)
{
    await_landings(w);
    if (w->refill != NULL) refill_stop(w->refill);
    if (w->purges != NULL) purge_stop(w->purges);
    if (w->store != NULL) store_close(w->store);
    refill_free(w->refill);
    passwords_free(w->passwords);
    /* The loops go last: a thread of the store or of passwords may still be waking one whose work is done. */
    for (size_t i = 0; i < w->worker_count; i++) worker_free(w->workers[i]);
    access_log_close(w->access_log);
    health_free(w->health);
    dns_free(w->dns);
    resolver_free(w->resolver);
    if (w->purges != NULL) purge_close(w->purges);
    if (w->cache != NULL) cache_free(w->cache);
    reloader_free(w->reloader);
    site_unref(&w->site);
    pthread_mutex_destroy(&w->site_lock);
    free(w);
}

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk */
}

/* The configuration and the command line, checked. */
static int take_options(struct weir *w, const struct options *o)
{
    struct config_report *report = malloc(sizeof *report);
    if (report == NULL) return fail(EXIT_RUNNING, "out of memory");
    pthread_mutex_init(&w->site_lock, NULL);
    clock_init(&w->clock);
    w->started_s = clock_now_s(&w->clock);
    w->site = config_load(o, report);
    if (w->site == NULL) report_print(report, "", stderr);
    free(report);
    if (w->site == NULL) return EXIT_USAGE;
    atomic_store(&w->drain_ms, w->site->settings.drain_ms);
    if (!random_instance(w->instance)) return fail(EXIT_RUNNING, "the system gives no random numbers");
    w->reloader = reloader_new(w, o, say, NULL);
    if (w->reloader == NULL) return fail(EXIT_RUNNING, "out of memory");
    return check_addresses(&w->site->settings);
}

/* Where few files may be open, clients must leave some for connections to the origin. */
static void share_descriptors(struct weir *w, const struct settings *o)
{
    size_t may_be_open = descriptors_raise();
    w->connections_max = descriptors_for_clients(may_be_open, (size_t)o->workers, o->limits.connections_max);
    if (w->connections_max == o->limits.connections_max || w->connections_max >= DESCRIPTORS_CLIENTS_MANY) return;
    fprintf(stderr,
            "weir: %u connections of clients for each worker instead of %u, as no more than %zu files may be open; "
            "ulimit -n or LimitNOFILE= allows more\n",
            w->connections_max, o->limits.connections_max, may_be_open);
}

static void say_where(const struct site *s)
{
    const struct route *r = s->unmatched;
    const char *origin = r->kind == ROUTE_PROXY ? r->origin->servers[0].url : NULL;
    for (size_t i = 0; i < s->settings.listen_count; i++) {
        if (origin != NULL)
            fprintf(stderr, "weir: serving %s on http://%s, admin on http://%s\n", origin,
                    s->settings.listen[i].address, s->settings.admin_address);
        else
            fprintf(stderr, "weir: serving %zu origins on http://%s, admin on http://%s\n", s->origin_count,
                    s->settings.listen[i].address, s->settings.admin_address);
    }
}

static int serve_with(struct weir *w, const struct settings *o, const sigset_t *signals)
{
    char why[WHY_BYTES] = "";
    int rc = open_tiers(w, o);
    if (rc == 0) share_descriptors(w, o);
    if (rc == 0) rc = build_watchers(w);
    if (rc == 0) rc = open_access_log(w, o);
    if (rc == 0) rc = build_workers(w, o);
    if (rc != 0) return rc;
    purge_set_sweeper(w->purges, sweep_memory, w);
    int admin_fd = listener_open(o->admin_address, why, sizeof why);
    struct admin *admin = admin_fd < 0 ? NULL : admin_new(w, &admin_fd, 1, why, sizeof why);
    if (admin == NULL) return fail(EXIT_RUNNING, why);
    say_where(w->site);
    return run(w, admin, signals);
}

static int serve(int argc, char **argv)
{
    struct options o;
    sigset_t signals;
    switch (options_parse(argc, argv, &o)) {
    case OPTIONS_DONE: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_SERVE: break;
    }
    heap_set_up();
    struct weir *w = calloc(1, sizeof *w);
    if (w == NULL) return fail(EXIT_RUNNING, "out of memory");
    block_signals(&signals);
    int rc = take_options(w, &o);
    if (rc == 0) rc = serve_with(w, &w->site->settings, &signals);
    weir_free(w);
    return rc;
}

/* Whoever started us may have closed them, and then the store's file or a client's socket would get what is meant for
 * stderr. */
static bool hold_standard_files(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static int run_command(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        { "serve", serve },         { "purge", command_purge }, { "explain", command_explain },
        { "stats", command_stats }, { "check", command_check }, { "simulate", command_simulate },
        { "warm", command_warm },   { "top", command_top },
    };
    if (argc < 2 || argv[1][0] == '-') return serve(argc, argv);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "weir: unknown command '%s'; see weir --help\n", argv[1]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (!hold_standard_files()) return EXIT_RUNNING;
    int rc = run_command(argc, argv);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return rc;
    return rc == 0 ? fail(EXIT_RUNNING, "cannot write to the standard output") : rc;
}
