#include "proxy/worker.h"

#include "proxy/access_log.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

double worker_random(struct worker *k)
{
    enum { BITS = 53 };
    k->random ^= k->random << 13; /* xorshift64 (Marsaglia 2003) */
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return (double)((k->random >> (64 - BITS)) + 1) / (double)((uint64_t)1 << BITS);
}

static void drain_run(struct loop_task *t)
{
    struct worker *k = HOLDER_OF(t, struct worker, drain_task);
    if (k->draining) return;
    k->draining = true;
    front_drain(k->front);
    loop_timer_set(k->loop, &k->drain_timer, loop_now_ms(k->loop) + k->weir->drain_ms);
}

static void drain_due(struct loop_timer *t)
{
    struct worker *k = HOLDER_OF(t, struct worker, drain_timer);
    k->drain_over = true;
}

/* In the worker's thread: no request in flight notices. Without memory for a lease the old one stays, until a next time. */
static void site_run(struct loop_task *t)
{
    struct worker *k = HOLDER_OF(t, struct worker, site_task);
    struct site *next = atomic_exchange(&k->next_site, NULL);
    struct site_lease *lease = next != NULL ? site_lease_new(next) : NULL;
    if (lease == NULL) {
        site_unref(&next);
        return;
    }
    kept_clear(k);
    site_lease_unref(&k->lease);
    k->lease = lease;
}

void worker_take_site(struct worker *k, struct site *next)
{
    struct site *overtaken = atomic_exchange(&k->next_site, next);
    site_unref(&overtaken);
    loop_post(k->loop, &k->site_task);
}

/* A balancer that was forgotten among trusted_proxies should not be looked for long. */
static void say_unbelieved(struct worker *k, const struct sockaddr *peer)
{
    enum { APART_MS = 60 * 1000 };
    char address[INET6_ADDRSTRLEN] = "?";
    int64_t now_ms = loop_now_ms(k->loop);
    stats_add(&k->counters.refused, 1);
    if (k->unbelieved_ms != 0 && now_ms - k->unbelieved_ms < APART_MS) return;
    k->unbelieved_ms = now_ms;
    const void *raw = peer->sa_family == AF_INET6
                          ? (const void *)&((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr
                          : &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    (void)inet_ntop(peer->sa_family, raw, address, sizeof address); /* else it stays "?" */
    fprintf(
        stderr,
        "weir: connections from %s are closed: its PROXY headers are not believed, it is not among trusted_proxies\n",
        address);
}

static bool believes(void *worker, const struct sockaddr *peer)
{
    struct worker *k = worker;
    const struct cidrs *trusted = &k->lease->site->settings.trusted_proxies;
    if (cidr_any_contains(trusted->at, trusted->count, peer)) return true;
    say_unbelieved(k, peer);
    return false;
}

static int listen_on(struct worker *k, size_t listener, int fd)
{
    const struct settings *s = &k->lease->site->settings;
    bool proxied = listener < s->listen_count && s->listen[listener].proxy_protocol == PROXY_PROTOCOL_REQUIRED;
    return proxied ? front_listen_proxied(k->front, fd, believes, k) : front_listen(k->front, fd);
}

struct worker *worker_new(struct weir *w, const int *fds, size_t n, char *why, size_t cap)
{
    struct worker *k = calloc(1, sizeof *k);
    if (k == NULL) goto no_memory;
    k->weir = w;
    k->random = (uint64_t)clock_monotonic_us() | 1;
    k->drain_task.run = drain_run;
    k->drain_timer.due = drain_due;
    k->site_task.run = site_run;
    k->loop = loop_new();
    k->tunnels = k->loop != NULL ? tunnels_new(k->loop, &k->counters) : NULL;
    struct site *site = weir_site(w);
    k->lease = site_lease_new(site);
    if (k->lease == NULL) site_unref(&site);
    if (k->tunnels == NULL || k->lease == NULL) goto no_memory;
    if (w->access_log != NULL) {
        k->access = access_lines_new(w->access_log, k->loop);
        if (k->access == NULL) goto no_memory;
    }
    /* The front first: what its turn begins to fetch is sent in the same turn of the loop. */
    struct front_settings limits = k->lease->site->settings.limits;
    limits.connections_max = w->connections_max;
    k->front = front_h1_new(k->loop, &limits, &exchange_handler, k, why, cap);
    if (k->front == NULL) goto fail;
    k->origin = origin_client_new(k->loop, why, cap);
    if (k->origin == NULL) goto fail;
    origin_use_resolver(k->origin, w->resolver);
    for (size_t i = 0; i < n; i++) {
        if (listen_on(k, i, fds[i]) == 0) continue;
        snprintf(why, cap, "cannot watch a listening socket");
        goto fail;
    }
    return k;
no_memory:
    snprintf(why, cap, "out of memory");
fail:
    if (k != NULL && k->front != NULL) front_free(k->front);
    if (k != NULL && k->origin != NULL) origin_client_free(k->origin);
    if (k != NULL) tunnels_free(k->tunnels);
    if (k != NULL) access_lines_free(k->access);
    if (k != NULL && k->loop != NULL) loop_free(k->loop);
    if (k != NULL) site_lease_unref(&k->lease);
    free(k);
    return NULL;
}

/* Tunnels do not count: nothing of HTTP is under way there, and they would last for ever. */
static bool is_idle(const struct worker *k)
{
    return front_active(k->front) == 0 && k->exchanges == 0 && k->fetches == 0;
}

/* Ends what is left: broken off exchanges leave their flights, cancelled fetches end theirs. */
static void break_off(struct worker *k)
{
    k->breaking_off = true;
    tunnels_end(k->tunnels);
    front_free(k->front);
    origin_client_free(k->origin);
    while (k->exchanges > 0 || k->fetches > 0) loop_turn(k->loop);
}

static void *worker_run(void *arg)
{
    struct worker *k = arg;
    while (!(k->draining && (k->drain_over || is_idle(k)))) loop_turn(k->loop);
    loop_timer_stop(k->loop, &k->drain_timer);
    break_off(k);
    exchanges_free(k);
    kept_free(k);
    fetches_free(k);
    access_lines_free(k->access);
    k->access = NULL;
    return NULL;
}

int worker_start(struct worker *k)
{
    int rc = pthread_create(&k->thread, NULL, worker_run, k);
    k->started = rc == 0;
    if (rc == 0) pthread_setname_np(k->thread, "weir-worker");
    return -rc;
}

void worker_stop(struct worker *k)
{
    loop_post(k->loop, &k->drain_task);
}

void worker_join(struct worker *k)
{
    pthread_join(k->thread, NULL);
}

void worker_free(struct worker *k)
{
    if (!k->started) break_off(k);
    access_lines_free(k->access); /* it was never started */
    tunnels_free(k->tunnels);
    struct site *next = atomic_exchange(&k->next_site, NULL);
    site_unref(&next);
    site_lease_unref(&k->lease);
    loop_free(k->loop);
    free(k);
}
