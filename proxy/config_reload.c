#include "proxy/config_reload.h"

#include "proxy/access_log.h"
#include "proxy/dns.h"
#include "proxy/health.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <unistd.h>

enum { AWAIT_MS = 1000 };

struct reloader {
    struct weir *weir;
    const struct options *options;
    reload_say say;
    void *arg;
    pthread_mutex_t lock; /* one reload at a time */
    struct site *running; /* the first: what cannot change is what it says */
};

struct reloader *reloader_new(struct weir *w, const struct options *o, reload_say say, void *arg)
{
    struct reloader *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    *r = (struct reloader){ .weir = w, .options = o, .say = say, .arg = arg, .running = weir_site(w) };
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void reloader_free(struct reloader *r)
{
    if (r == NULL) return;
    pthread_mutex_destroy(&r->lock);
    site_unref(&r->running);
    free(r);
}

/* ---- what changed */

struct changes {
    struct reloader *reloader;
    size_t count;
    bool only_fixed;
};

static void say_change(void *arg, const char *path, bool fixed, const char *from, const char *to)
{
    enum { LINE_MAX_BYTES = 1024, VALUE_MAX = 300 };
    struct changes *c = arg;
    char line[LINE_MAX_BYTES];
    if (fixed != c->only_fixed) return;
    if (fixed)
        snprintf(line, sizeof line, "reload: %s stays %.*s until a restart (the configuration says %.*s)", path,
                 VALUE_MAX, from, VALUE_MAX, to);
    else if (from[0] == '\0')
        snprintf(line, sizeof line, "reload: new: %s: %.*s", path, VALUE_MAX, to);
    else if (to[0] == '\0')
        snprintf(line, sizeof line, "reload: gone: %s", path);
    else
        snprintf(line, sizeof line, "reload: %s: %.*s, was %.*s", path, VALUE_MAX, to, VALUE_MAX, from);
    c->reloader->say(c->reloader->arg, line);
    c->count++;
}

/* Settings that cannot change are compared with what runs, all others with what was read last. */
static size_t say_changes(struct reloader *r, const struct site *before, const struct site *after)
{
    struct changes kept = { .reloader = r, .only_fixed = true }, changed = { .reloader = r };
    char line[96];
    config_compare(r->running, after, say_change, &kept);
    config_compare(before, after, say_change, &changed);
    snprintf(line, sizeof line, "reload: done, %zu changes, %zu settings wait for a restart", changed.count,
             kept.count);
    r->say(r->arg, line);
    return changed.count;
}

static void say_refusal(struct reloader *r, const struct config_report *report)
{
    char line[64];
    r->say(r->arg, "reload: refused, the old configuration stays");
    for (size_t i = 0; i < report->count; i++) r->say(r->arg, report->lines[i]);
    snprintf(line, sizeof line, "and %zu more", report->more);
    if (report->more > 0) r->say(r->arg, line);
}

/* ---- the swap */

static void adopt(struct weir *w, struct site *after)
{
    pthread_mutex_lock(&w->site_lock);
    struct site *before = w->site;
    w->site = site_ref(after);
    pthread_mutex_unlock(&w->site_lock);
    atomic_store(&w->drain_ms, after->settings.drain_ms);
    if (w->dns != NULL) dns_use(w->dns, after);
    if (w->health != NULL) health_watch(w->health, site_ref(after));
    for (size_t i = 0; i < w->worker_count; i++) worker_take_site(w->workers[i], site_ref(after));
    site_unref(&before);
}

/* So that a request which comes after the reload was reported done begins under it. A worker takes microseconds. */
static void await_workers(const struct weir *w)
{
    for (size_t i = 0, waited_ms = 0; i < w->worker_count && waited_ms < AWAIT_MS;) {
        if (atomic_load(&w->workers[i]->next_site) == NULL) {
            i++;
        } else {
            usleep(1000);
            waited_ms++;
        }
    }
}

bool config_reload(struct reloader *r, struct config_report *report, size_t *changes)
{
    pthread_mutex_lock(&r->lock);
    if (r->weir->access_log != NULL) access_log_reopen(r->weir->access_log);
    struct site *after = config_load(r->options, report);
    if (after == NULL) {
        say_refusal(r, report);
    } else {
        struct site *before = weir_site(r->weir);
        site_inherit(after, before);
        adopt(r->weir, after);
        await_workers(r->weir);
        size_t count = say_changes(r, before, after);
        if (changes != NULL) *changes = count;
        site_unref(&before);
    }
    bool done = after != NULL;
    site_unref(&after);
    pthread_mutex_unlock(&r->lock);
    return done;
}
