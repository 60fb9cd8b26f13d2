#include "proxy/resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct resolved {
    struct resolved *next;
    unsigned users; /* under the resolver's lock; at 0 the thread takes it out */
    int64_t due_ms;
    bool failing; /* told */
    atomic_uint version;
    pthread_mutex_t lock; /* of known */
    struct addresses known;
    char host[];
};

struct resolver {
    resolver_look_up look_up;
    pthread_mutex_t lock; /* of names, users, due, stopping */
    pthread_cond_t news;
    struct resolved *names;
    bool stopping, started;
    pthread_t thread;
};

/* ---- asking the system */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < 0 || b < a ? b : a;
}

/* The shortest time to live among the answers of one type. */
static int64_t ttl_of_type(res_state state, const char *host, ns_type type)
{
    enum { ANSWER_BYTES = 4096 };
    unsigned char answer[ANSWER_BYTES];
    ns_msg message;
    ns_rr record;
    int64_t ttl_s = -1;
    int len = res_nquery(state, host, ns_c_in, type, answer, sizeof answer);
    if (len < 0 || len > ANSWER_BYTES || ns_initparse(answer, len, &message) != 0) return -1;
    for (int i = 0; i < ns_msg_count(message, ns_s_an); i++)
        if (ns_parserr(&message, ns_s_an, i, &record) == 0) ttl_s = smaller(ttl_s, (int64_t)ns_rr_ttl(record));
    return ttl_s;
}

static int64_t ttl_of(const char *host)
{
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) return -1;
    state.retry = 1;
    int64_t ttl_s = ttl_of_type(&state, host, ns_t_a);
    if (ttl_s < 0) ttl_s = ttl_of_type(&state, host, ns_t_aaaa);
    res_nclose(&state);
    return ttl_s;
}

const char *resolver_ask_system(const char *host, struct addresses *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
    out->count = 0;
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc != 0) return gai_strerror(rc);
    for (const struct addrinfo *a = list; a != NULL && out->count < RESOLVER_ADDRESSES_MAX; a = a->ai_next) {
        char *to = out->text[out->count];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, to, sizeof out->text[0], NULL, 0, NI_NUMERICHOST) != 0) continue;
        if (strchr(to, '%') == NULL) out->count++; /* a scope says nothing to others */
    }
    freeaddrinfo(list);
    if (out->count == 0) return "no address";
    out->ttl_s = ttl_of(host);
    return NULL;
}

/* ---- names */

unsigned resolved_version(const struct resolved *n)
{
    return atomic_load_explicit(&n->version, memory_order_acquire);
}

unsigned resolved_list(struct resolved *n, unsigned turn, char *to, size_t cap)
{
    size_t used = 0;
    pthread_mutex_lock(&n->lock);
    unsigned version = atomic_load(&n->version);
    for (size_t i = 0; version != 0 && i < n->known.count; i++) {
        const char *text = n->known.text[(i + turn) % n->known.count];
        bool six = strchr(text, ':') != NULL;
        int len = snprintf(to + used, cap - used, "%s%s%s%s", i > 0 ? "," : "", six ? "[" : "", text, six ? "]" : "");
        if (len < 0 || (size_t)len >= cap - used) version = 0;
        used += (size_t)len;
    }
    pthread_mutex_unlock(&n->lock);
    return version;
}

static struct resolved *find(struct resolver *r, const char *host)
{
    struct resolved *n = r->names;
    while (n != NULL && strcmp(n->host, host) != 0) n = n->next;
    return n;
}

static struct resolved *name_new(struct resolver *r, const char *host)
{
    size_t len = strlen(host) + 1;
    struct resolved *n = calloc(1, sizeof *n + len);
    if (n == NULL) return NULL;
    memcpy(n->host, host, len);
    pthread_mutex_init(&n->lock, NULL);
    n->next = r->names;
    r->names = n;
    return n;
}

struct resolved *resolver_join(struct resolver *r, const char *host)
{
    pthread_mutex_lock(&r->lock);
    struct resolved *n = find(r, host);
    if (n == NULL) n = name_new(r, host);
    if (n != NULL && n->users++ == 0) pthread_cond_signal(&r->news);
    pthread_mutex_unlock(&r->lock);
    return n;
}

void resolver_leave(struct resolver *r, struct resolved **n)
{
    if (*n == NULL) return;
    pthread_mutex_lock(&r->lock);
    (*n)->users--;
    pthread_mutex_unlock(&r->lock);
    *n = NULL;
}

static void name_free(struct resolved *n)
{
    pthread_mutex_destroy(&n->lock);
    free(n);
}

/* ---- asking again and again */

static bool same_addresses(const struct addresses *a, const struct addresses *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        size_t j = 0;
        while (j < b->count && strcmp(a->text[i], b->text[j]) != 0) j++;
        if (j == b->count) return false;
    }
    return true;
}

static void say(struct resolved *n, const char *what, const char *why)
{
    fprintf(stderr, "weir: origin server %s %s%s\n", n->host, what, why);
}

static void take_answer(struct resolved *n, const struct addresses *found)
{
    bool same = same_addresses(&n->known, found);
    if (!same) {
        pthread_mutex_lock(&n->lock);
        n->known = *found;
        pthread_mutex_unlock(&n->lock);
    }
    if (n->failing) say(n, "resolves again", "");
    n->failing = false;
    /* With several addresses it is another one's turn to be the first. */
    if (same && found->count == 1) return;
    unsigned next = atomic_load(&n->version) + 1;
    atomic_store_explicit(&n->version, next != 0 ? next : 1, memory_order_release);
}

static void take_failure(struct resolved *n, const char *why)
{
    if (!n->failing)
        say(n,
            atomic_load(&n->version) != 0 ? "cannot be resolved anew, its last addresses stay: "
                                          : "cannot be resolved yet: ",
            why);
    n->failing = true;
}

/* Without the lock: only this thread takes names out. @return seconds until the next time */
static int64_t ask(struct resolver *r, struct resolved *n)
{
    struct addresses found;
    const char *why = r->look_up(n->host, &found);
    if (why != NULL) {
        take_failure(n, why);
        return RESOLVER_RETRY_S;
    }
    take_answer(n, &found);
    if (found.ttl_s < 0) return RESOLVER_TTL_UNKNOWN_S;
    if (found.ttl_s > RESOLVER_TTL_MAX_S) return RESOLVER_TTL_MAX_S;
    return found.ttl_s < RESOLVER_TTL_MIN_S ? RESOLVER_TTL_MIN_S : found.ttl_s;
}

static void drop_unused(struct resolver *r)
{
    struct resolved **at = &r->names;
    while (*at != NULL) {
        struct resolved *n = *at;
        if (n->users > 0) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        name_free(n);
    }
}

int64_t resolver_round(struct resolver *r, int64_t now_ms)
{
    int64_t next_ms = -1;
    pthread_mutex_lock(&r->lock);
    drop_unused(r);
    for (struct resolved *n = r->names; n != NULL; n = n->next) { /* new ones come in front: next time */
        if (n->due_ms <= now_ms) {
            pthread_mutex_unlock(&r->lock);
            int64_t wait_s = ask(r, n);
            pthread_mutex_lock(&r->lock);
            n->due_ms = now_ms + wait_s * 1000;
        }
        next_ms = smaller(next_ms, n->due_ms);
    }
    if (r->names != NULL && r->names->due_ms == 0) next_ms = now_ms;
    pthread_mutex_unlock(&r->lock);
    return next_ms;
}

/* ---- life */

struct resolver *resolver_new(resolver_look_up look_up)
{
    pthread_condattr_t attributes;
    struct resolver *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->look_up = look_up;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->news, &attributes);
    pthread_condattr_destroy(&attributes);
    return r;
}

static void wait_until(struct resolver *r, int64_t until_ms)
{
    struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
    if (until_ms < 0)
        pthread_cond_wait(&r->news, &r->lock);
    else
        (void)pthread_cond_timedwait(&r->news, &r->lock, &until); /* news or time: both are looked at again */
}

static bool has_new(const struct resolver *r)
{
    return r->names != NULL && r->names->users > 0 && r->names->due_ms == 0;
}

static void *resolver_run(void *arg)
{
    struct resolver *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        struct timespec now;
        pthread_mutex_unlock(&r->lock);
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t next_ms = resolver_round(r, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
        pthread_mutex_lock(&r->lock);
        if (!r->stopping && !has_new(r)) wait_until(r, next_ms);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int resolver_start(struct resolver *r)
{
    int rc = pthread_create(&r->thread, NULL, resolver_run, r);
    r->started = rc == 0;
    if (rc == 0) pthread_setname_np(r->thread, "weir-resolver");
    return -rc;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL) return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->news);
    pthread_mutex_unlock(&r->lock);
    if (r->started) pthread_join(r->thread, NULL);
    while (r->names != NULL) {
        struct resolved *n = r->names;
        r->names = n->next;
        name_free(n);
    }
    pthread_cond_destroy(&r->news);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
