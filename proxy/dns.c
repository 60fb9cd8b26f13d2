#include "proxy/dns.h"

#include "proxy/origin_address.h"
#include "proxy/origin_settings.h"
#include "proxy/origin_sockets.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>

/* c-ares asks; sockets and time are the loop's. A channel, c-ares' word for what asks, lives as long as there is something to
 * ask, or until it should ask elsewhere: so the next one reads /etc/resolv.conf anew, and asks from another port. */

enum { TIMEOUT_MS = 2000 }; /* until a site says otherwise */

/* How to ask, in c-ares' words. */
struct asking {
    char *servers; /* "A,B:53"; NULL: those of /etc/resolv.conf */
    int timeout_ms, tries;
};

struct question {
    struct dns *dns;
    struct resolved *name;
    enum family family;
};

struct dns {
    struct resolver *resolver;
    struct loop *loop;
    struct origin_sockets *sockets;
    ares_channel channel;        /* NULL: nothing is being asked */
    struct timespec resolv_conf; /* its age when the channel was opened */
    bool asks_ipv6;
    size_t pending;
    struct asking asking;
    _Atomic(struct asking *) next; /* takes its place */
    struct loop_timer round_timer;
    struct loop_task news_task, stop_task;
    struct resolved **kept; /* names of the site's servers */
    size_t kept_count;
    bool stopping, started;
    pthread_t thread;
};

/* ---- channels */

static void socket_wanted(void *dns, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = dns;
    uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (events == 0)
        origin_sockets_unwant(d->sockets, fd);
    else if (origin_sockets_want(d->sockets, fd, events) != 0)
        return; /* no memory: the question times out */
}

static void take_asking(struct dns *d)
{
    struct asking *next = atomic_exchange(&d->next, NULL);
    if (next == NULL) return;
    free(d->asking.servers);
    d->asking = *next;
    free(next);
}

static struct timespec resolv_conf_time(void)
{
    struct stat s;
    return stat("/etc/resolv.conf", &s) == 0 ? s.st_mtim : (struct timespec){ 0 };
}

static bool is_outdated(const struct dns *d)
{
    struct timespec t = resolv_conf_time();
    bool other_file = t.tv_sec != d->resolv_conf.tv_sec || t.tv_nsec != d->resolv_conf.tv_nsec;
    return atomic_load(&d->next) != NULL || (d->asking.servers == NULL && other_file);
}

/* Does this machine have an address from which another's IPv6 address could be reached? Without one each connection would
 * first try what cannot be. */
static bool has_ipv6(void)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0) return true;
    for (const struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET6) continue;
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
        found = !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a);
    }
    freeifaddrs(all);
    return found;
}

/* @return NULL, or why not */
static const char *channel_open(struct dns *d)
{
    char dns_only[] = "b"; /* /etc/hosts was looked at before */
    take_asking(d);
    d->asks_ipv6 = has_ipv6();
    d->resolv_conf = resolv_conf_time();
    struct ares_options options = { .timeout = d->asking.timeout_ms,
                                    .tries = d->asking.tries,
                                    .lookups = dns_only,
                                    .sock_state_cb = socket_wanted,
                                    .sock_state_cb_data = d };
    int rc = ares_init_options(&d->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (rc == ARES_SUCCESS && d->asking.servers != NULL) {
        rc = ares_set_servers_ports_csv(d->channel, d->asking.servers);
        if (rc != ARES_SUCCESS) ares_destroy(d->channel);
    }
    if (rc == ARES_SUCCESS) return NULL;
    d->channel = NULL;
    return ares_strerror(rc);
}

/* What is still being asked ends with ARES_EDESTRUCTION, and is asked again at once. */
static void channel_close(struct dns *d)
{
    ares_destroy(d->channel);
    d->channel = NULL;
}

static void channel_close_when_quiet(struct dns *d)
{
    if (d->channel != NULL && d->pending == 0) channel_close(d);
}

/* ---- answers */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < 0 || b < a ? b : a;
}

static void add_address(struct addresses *to, int af, const void *raw)
{
    if (to->count == RESOLVER_ADDRESSES_MAX) return;
    if (inet_ntop(af, raw, to->text[to->count], sizeof to->text[0]) != NULL) to->count++;
}

static void add_socket_address(struct addresses *to, const struct ares_addrinfo_node *a)
{
    if (a->ai_family == AF_INET && a->ai_addrlen >= sizeof(struct sockaddr_in))
        add_address(to, AF_INET, &((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr);
    else if (a->ai_family == AF_INET6 && a->ai_addrlen >= sizeof(struct sockaddr_in6))
        add_address(to, AF_INET6, &((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr);
}

/* The shortest time to live of all that the answer rests on. */
static void addresses_of(const struct ares_addrinfo *info, struct addresses *out)
{
    out->count = 0;
    out->ttl_s = -1;
    for (const struct ares_addrinfo_node *a = info->nodes; a != NULL; a = a->ai_next) {
        add_socket_address(out, a);
        out->ttl_s = smaller(out->ttl_s, a->ai_ttl);
    }
    for (const struct ares_addrinfo_cname *c = info->cnames; c != NULL; c = c->next)
        out->ttl_s = smaller(out->ttl_s, c->ttl);
}

static void set_round(struct dns *d, int64_t at_ms)
{
    if (at_ms >= 0 && (d->round_timer.place == 0 || at_ms < d->round_timer.at_ms))
        loop_timer_set(d->loop, &d->round_timer, at_ms);
}

static void round_now(struct dns *d)
{
    set_round(d, resolver_round(d->resolver, loop_now_ms(d->loop)));
}

static void answered(void *question, int status, int timeouts, struct ares_addrinfo *info)
{
    struct question *q = question;
    struct dns *d = q->dns;
    struct addresses found = { .count = 0 };
    (void)timeouts;
    bool known = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;
    if (status == ARES_SUCCESS && info != NULL) addresses_of(info, &found);
    ares_freeaddrinfo(info);
    d->pending--;
    if (!d->stopping) {
        bool told = status != ARES_SUCCESS && status != ARES_EDESTRUCTION; /* the latter is our own doing */
        const char *why = told ? ares_strerror(status) : NULL;
        resolver_answer(d->resolver, q->name, q->family, known ? &found : NULL, why, loop_now_ms(d->loop));
        set_round(d, loop_now_ms(d->loop)); /* it knows when the name is due next */
    }
    free(q);
}

/* ---- questions */

static bool ask_hosts_file(struct dns *d, const char *host, enum family family, struct addresses *out)
{
    struct hostent *entry = NULL;
    int af = family == FAMILY_4 ? AF_INET : AF_INET6;
    *out = (struct addresses){ .ttl_s = -1 };
    if (ares_gethostbyname_file(d->channel, host, af, &entry) != ARES_SUCCESS) return false;
    for (char **a = entry->h_addr_list; *a != NULL; a++) add_address(out, af, *a);
    ares_free_hostent(entry);
    return out->count > 0;
}

static void ask_name_servers(struct dns *d, struct resolved *n, const char *host, enum family family)
{
    struct ares_addrinfo_hints hints = { .ai_family = family == FAMILY_4 ? AF_INET : AF_INET6,
                                         .ai_socktype = SOCK_STREAM,
                                         .ai_flags = ARES_AI_NOSORT };
    struct question *q = malloc(sizeof *q);
    if (q == NULL) {
        resolver_answer(d->resolver, n, family, NULL, "out of memory", loop_now_ms(d->loop));
        return;
    }
    *q = (struct question){ d, n, family };
    d->pending++;
    ares_getaddrinfo(d->channel, host, NULL, &hints, answered, q);
}

/* What /etc/hosts says of a name is all there is to know about it. */
static void ask(void *dns, struct resolved *n, const char *host)
{
    struct dns *d = dns;
    struct addresses found[FAMILIES];
    int64_t now_ms = loop_now_ms(d->loop);
    const char *why = d->channel == NULL ? channel_open(d) : NULL;
    if (why != NULL) {
        for (int f = 0; f < FAMILIES; f++) resolver_answer(d->resolver, n, (enum family)f, NULL, why, now_ms);
        return;
    }
    bool known = ask_hosts_file(d, host, FAMILY_4, &found[FAMILY_4]);
    known = ask_hosts_file(d, host, FAMILY_6, &found[FAMILY_6]) || known;
    for (int f = 0; f < FAMILIES; f++) {
        if (known || (f == FAMILY_6 && !d->asks_ipv6))
            resolver_answer(d->resolver, n, (enum family)f, &found[f], NULL, now_ms);
        else
            ask_name_servers(d, n, host, (enum family)f);
    }
}

static void round_due(struct loop_timer *t)
{
    struct dns *d = HOLDER_OF(t, struct dns, round_timer);
    if (d->channel != NULL && is_outdated(d)) channel_close(d);
    round_now(d);
    channel_close_when_quiet(d);
}

/* ---- the loop */

static void process(struct dns *d, ares_socket_t readable, ares_socket_t writable)
{
    if (d->channel == NULL) return;
    ares_process_fd(d->channel, readable, writable);
    channel_close_when_quiet(d);
}

static void socket_ready(void *dns, int fd, uint32_t events)
{
    process(dns, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD, events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static int64_t wait_ms(void *dns)
{
    const struct dns *d = dns;
    struct timeval left;
    if (d->channel == NULL || ares_timeout(d->channel, NULL, &left) == NULL) return -1;
    return (int64_t)left.tv_sec * 1000 + left.tv_usec / 1000 + 1;
}

static void turn(void *dns)
{
    process(dns, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void news_run(struct loop_task *t)
{
    struct dns *d = HOLDER_OF(t, struct dns, news_task);
    set_round(d, loop_now_ms(d->loop));
}

static void news(void *dns)
{
    struct dns *d = dns;
    loop_post(d->loop, &d->news_task);
}

static void stop_run(struct loop_task *t)
{
    HOLDER_OF(t, struct dns, stop_task)->stopping = true;
}

/* ---- settings */

const char *check_name_server(struct view v)
{
    unsigned char raw[sizeof(struct in6_addr)];
    char host[RESOLVER_ADDRESS_TEXT] = "";
    int64_t port = 1;
    bool bracket = v.len > 0 && v.at[0] == '[', several_colons = view_find(v, view_find(v, 0, ':') + 1, ':') < v.len;
    size_t end = bracket ? view_find(v, 0, ']') : several_colons ? v.len : view_find(v, 0, ':');
    struct view address = bracket ? view_after(view_first(v, end), 1) : view_first(v, end);
    struct view rest = view_after(v, bracket && end < v.len ? end + 1 : end);
    if (address.len < sizeof host && address.len > 0) memcpy(host, address.at, address.len);
    bool sound =
        inet_pton(bracket || several_colons ? AF_INET6 : AF_INET, host, raw) == 1 && !(bracket && end == v.len);
    if (rest.len > 0) sound = sound && rest.at[0] == ':' && view_parse_decimal(view_after(rest, 1), 65536, &port);
    return sound && port > 0 && port < 65536
               ? NULL
               : "an address, with or without a port: 9.9.9.9, 9.9.9.9:53, \"[2620:fe::fe]:53\"";
}

static char *servers_csv(const struct views *servers)
{
    size_t bytes = 1, used = 0;
    for (size_t i = 0; i < servers->count; i++) bytes += servers->at[i].len + 1;
    char *csv = malloc(bytes);
    if (csv == NULL) return NULL;
    csv[0] = '\0';
    for (size_t i = 0; i < servers->count; i++)
        used += (size_t)snprintf(csv + used, bytes - used, "%s%s", i > 0 ? "," : "", servers->at[i].at);
    return csv;
}

static void use_settings(struct dns *d, const struct dns_settings *s)
{
    struct asking *a = calloc(1, sizeof *a);
    if (a == NULL) return;
    *a = (struct asking){ .timeout_ms = (int)s->timeout_ms, .tries = s->tries };
    if (s->servers.count > 0) a->servers = servers_csv(&s->servers);
    if (s->servers.count > 0 && a->servers == NULL) {
        free(a);
        return;
    }
    resolver_set_ttl(d->resolver, s->ttl_least_s, s->ttl_most_s);
    struct asking *overtaken = atomic_exchange(&d->next, a);
    if (overtaken != NULL) free(overtaken->servers);
    free(overtaken);
}

static void leave_names(struct resolver *r, struct resolved **names, size_t count)
{
    for (size_t i = 0; i < count; i++) resolver_leave(r, &names[i]);
    free(names);
}

static void join_name(struct dns *d, const struct origin_server *server)
{
    struct origin_address address;
    if (server->base_url == NULL || server->unix_path != NULL || !origin_address_of(server->base_url, NULL, &address) ||
        !address.is_name)
        return;
    struct resolved *name = resolver_join(d->resolver, address.host);
    if (name != NULL) d->kept[d->kept_count++] = name;
}

/* The new ones first: what is in both stays known. */
static void keep_names(struct dns *d, const struct site *s)
{
    size_t servers = 0, before_count = d->kept_count;
    for (size_t i = 0; i < s->origin_count; i++) servers += s->origins[i]->server_count;
    struct resolved **before = d->kept, **names = calloc(2 * servers + 1, sizeof(struct resolved *));
    if (names == NULL) return;
    d->kept = names;
    d->kept_count = 0;
    for (size_t i = 0; i < s->origin_count; i++)
        for (size_t j = 0; j < s->origins[i]->server_count; j++) {
            join_name(d, &s->origins[i]->servers[j].server);
            join_name(d, &s->origins[i]->servers[j].admin);
        }
    leave_names(d->resolver, before, before_count);
}

void dns_use(struct dns *d, const struct site *s)
{
    use_settings(d, &s->settings.dns);
    keep_names(d, s);
    news(d);
}

/* ---- life */

static void dns_release(struct dns *d)
{
    take_asking(d);
    free(d->asking.servers);
    leave_names(d->resolver, d->kept, d->kept_count);
    origin_sockets_free(d->sockets);
    loop_free(d->loop);
    free(d);
}

struct dns *dns_new(struct resolver *r, char *why, size_t cap)
{
    struct dns *d = calloc(1, sizeof *d);
    if (d == NULL) goto no_memory;
    d->resolver = r;
    d->loop = loop_new();
    d->news_task.run = news_run;
    d->stop_task.run = stop_run;
    d->round_timer.due = round_due;
    d->asking = (struct asking){ .timeout_ms = TIMEOUT_MS, .tries = 1 };
    if (d->loop != NULL) d->sockets = origin_sockets_new(d->loop, socket_ready, d);
    if (d->sockets == NULL || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) goto no_memory;
    loop_add_hook(d->loop, (struct loop_hook){ .wait_ms = wait_ms, .turn = turn, .arg = d });
    resolver_set_ops(r, (struct resolver_ops){ .ask = ask, .news = news, .arg = d });
    return d;
no_memory:
    snprintf(why, cap, "out of memory");
    if (d != NULL) dns_release(d);
    return NULL;
}

static void *dns_run(void *arg)
{
    struct dns *d = arg;
    while (!d->stopping) loop_turn(d->loop);
    return NULL;
}

int dns_start(struct dns *d)
{
    int rc = pthread_create(&d->thread, NULL, dns_run, d);
    d->started = rc == 0;
    if (rc == 0) pthread_setname_np(d->thread, "weir-dns");
    return -rc;
}

void dns_free(struct dns *d)
{
    if (d == NULL) return;
    if (d->started) {
        loop_post(d->loop, &d->stop_task);
        pthread_join(d->thread, NULL);
    }
    d->stopping = true;
    if (d->channel != NULL) channel_close(d);
    ares_library_cleanup();
    dns_release(d);
}
