#include "proxy/resolver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct known {
    struct addresses addresses;
    int64_t shunned_until_ms[RESOLVER_ADDRESSES_MAX];
};

struct resolved {
    struct resolved *next;
    unsigned users; /* under the resolver's lock; at 0 the round takes it out */
    int64_t due_ms; /* under the resolver's lock; 0: at once */
    /* of the asking under way */
    unsigned unanswered; /* families */
    bool found;          /* an address, in one of them */
    bool broken_off;     /* in one of them */
    bool empty[FAMILIES];
    int64_t ttl_s;
    const char *trouble;
    bool failing;              /* told */
    _Atomic(const char *) why; /* the last asking found nothing */
    atomic_uint version;
    pthread_mutex_t lock; /* of known */
    struct known known[FAMILIES];
    char host[];
};

struct resolver {
    struct resolver_ops ops;
    _Atomic int64_t ttl_least_s, ttl_most_s;
    pthread_mutex_t lock; /* of names, users, due */
    struct resolved *names;
};

enum { TTL_LEAST_S = 1, TTL_MOST_S = 300 };

/* ---- names */

unsigned resolved_version(const struct resolved *n)
{
    return atomic_load_explicit(&n->version, memory_order_acquire);
}

const char *resolved_why(const struct resolved *n)
{
    return atomic_load(&n->why);
}

/* One after the other, IPv4 first. */
static const char *address_at(const struct resolved *n, size_t i, int64_t *shunned_until_ms)
{
    const struct known *k = &n->known[FAMILY_4];
    if (i >= k->addresses.count) {
        i -= k->addresses.count;
        k = &n->known[FAMILY_6];
    }
    *shunned_until_ms = k->shunned_until_ms[i];
    return k->addresses.text[i];
}

/* Those that are shunned, or those that are not, behind what stands in `to`. @return length, or cap: does not fit */
static size_t list_some(const struct resolved *n, unsigned turn, int64_t now_ms, bool shunned, char *to, size_t used,
                        size_t cap, char *first)
{
    size_t count = n->known[FAMILY_4].addresses.count + n->known[FAMILY_6].addresses.count;
    for (size_t i = 0; i < count && used < cap; i++) {
        int64_t until_ms;
        const char *text = address_at(n, (i + turn) % count, &until_ms);
        bool six = strchr(text, ':') != NULL;
        if ((until_ms > now_ms) != shunned) continue;
        if (used == 0) snprintf(first, RESOLVER_ADDRESS_TEXT, "%s", text);
        int len =
            snprintf(to + used, cap - used, "%s%s%s%s", used > 0 ? "," : "", six ? "[" : "", text, six ? "]" : "");
        used = len < 0 || (size_t)len >= cap - used ? cap : used + (size_t)len;
    }
    return used;
}

unsigned resolved_list(struct resolved *n, unsigned turn, int64_t now_ms, char *to, size_t cap,
                       char first[RESOLVER_ADDRESS_TEXT])
{
    to[0] = first[0] = '\0';
    pthread_mutex_lock(&n->lock);
    unsigned version = atomic_load(&n->version);
    size_t used = list_some(n, turn, now_ms, false, to, 0, cap, first);
    used = list_some(n, turn, now_ms, true, to, used, cap, first);
    pthread_mutex_unlock(&n->lock);
    return used < cap ? version : 0;
}

static bool holds(const struct addresses *a, const char *text, size_t *at)
{
    for (*at = 0; *at < a->count; ++*at)
        if (strcmp(a->text[*at], text) == 0) return true;
    return false;
}

void resolved_shun(struct resolved *n, const char *address, int64_t now_ms)
{
    size_t at;
    pthread_mutex_lock(&n->lock);
    for (int f = 0; f < FAMILIES; f++)
        if (holds(&n->known[f].addresses, address, &at)) n->known[f].shunned_until_ms[at] = now_ms + RESOLVER_SHUN_MS;
    pthread_mutex_unlock(&n->lock);
}

bool resolved_has(struct resolved *n, const char *address)
{
    size_t at;
    pthread_mutex_lock(&n->lock);
    bool found =
        holds(&n->known[FAMILY_4].addresses, address, &at) || holds(&n->known[FAMILY_6].addresses, address, &at);
    pthread_mutex_unlock(&n->lock);
    return found;
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
    bool news = n != NULL && n->users++ == 0;
    pthread_mutex_unlock(&r->lock);
    if (news) r->ops.news(r->ops.arg);
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

/* ---- answers */

static bool same_addresses(const struct addresses *a, const struct addresses *b)
{
    size_t at;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (!holds(b, a->text[i], &at)) return false;
    return true;
}

/* Name servers like to give the same addresses in another order each time, which is no news. */
static void take_addresses(struct resolved *n, enum family family, const struct addresses *found)
{
    struct known *k = &n->known[family];
    size_t at;
    if (same_addresses(&k->addresses, found)) return; /* which only this thread writes */
    pthread_mutex_lock(&n->lock);
    const struct known before = *k;
    k->addresses = *found;
    for (size_t i = 0; i < found->count; i++)
        k->shunned_until_ms[i] = holds(&before.addresses, found->text[i], &at) ? before.shunned_until_ms[at] : 0;
    unsigned next = atomic_load(&n->version) + 1;
    atomic_store_explicit(&n->version, next != 0 ? next : 1, memory_order_release);
    pthread_mutex_unlock(&n->lock);
}

static void say(const struct resolved *n, const char *what, const char *why)
{
    fprintf(stderr, "weir: origin server %s %s%s\n", n->host, what, why);
}

static void fails(struct resolved *n)
{
    const char *why = n->trouble != NULL ? n->trouble : "it has no address";
    bool known = atomic_load(&n->version) != 0;
    if (!n->failing)
        say(n, known ? "cannot be resolved anew, its last addresses stay: " : "cannot be resolved yet: ", why);
    n->failing = true;
    atomic_store(&n->why, why);
}

/* An address in one family is an answer, whatever became of the other; there the last addresses stay, unless it is certain
 * that there are none. */
static void succeeds(struct resolved *n)
{
    static const struct addresses none;
    for (int f = 0; f < FAMILIES; f++)
        if (n->empty[f]) take_addresses(n, (enum family)f, &none);
    if (n->failing) say(n, "resolves again", "");
    n->failing = false;
    atomic_store(&n->why, NULL);
}

static int64_t wait_s(const struct resolver *r, const struct resolved *n)
{
    int64_t least_s = atomic_load(&r->ttl_least_s), most_s = atomic_load(&r->ttl_most_s);
    if (!n->found) return RESOLVER_RETRY_S;
    if (n->ttl_s < 0) return RESOLVER_TTL_UNKNOWN_S;
    if (n->ttl_s > most_s) return most_s;
    return n->ttl_s < least_s ? least_s : n->ttl_s;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < 0 || b < a ? b : a;
}

void resolver_answer(struct resolver *r, struct resolved *n, enum family family, const struct addresses *found,
                     const char *why, int64_t now_ms)
{
    if (why != NULL) n->trouble = why;
    if (found == NULL && why == NULL) n->broken_off = true;
    n->empty[family] = found != NULL && found->count == 0;
    if (found != NULL && found->count > 0) {
        n->found = true;
        if (found->ttl_s >= 0) n->ttl_s = smaller(n->ttl_s, found->ttl_s);
        take_addresses(n, family, found); /* at once: the other family may take its time */
    }
    if (--n->unanswered > 0) return;
    bool at_once = n->broken_off && !n->found;
    if (n->found)
        succeeds(n);
    else if (!at_once)
        fails(n);
    pthread_mutex_lock(&r->lock);
    n->due_ms = at_once ? now_ms : now_ms + wait_s(r, n) * 1000;
    pthread_mutex_unlock(&r->lock);
}

/* ---- asking again and again */

static void drop_unused(struct resolver *r)
{
    struct resolved **at = &r->names;
    while (*at != NULL) {
        struct resolved *n = *at;
        if (n->users > 0 || n->unanswered > 0) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        name_free(n);
    }
}

/* Without the lock: only this thread takes names out. */
static void ask(struct resolver *r, struct resolved *n)
{
    n->unanswered = FAMILIES;
    n->found = n->broken_off = false;
    n->ttl_s = -1;
    n->trouble = NULL;
    r->ops.ask(r->ops.arg, n, n->host);
}

int64_t resolver_round(struct resolver *r, int64_t now_ms)
{
    int64_t next_ms = -1;
    pthread_mutex_lock(&r->lock);
    drop_unused(r);
    for (struct resolved *n = r->names; n != NULL; n = n->next) { /* new ones come in front: next time */
        if (n->due_ms <= now_ms && n->unanswered == 0) {
            pthread_mutex_unlock(&r->lock);
            ask(r, n);
            pthread_mutex_lock(&r->lock);
        }
        if (n->unanswered == 0) next_ms = smaller(next_ms, n->due_ms);
    }
    pthread_mutex_unlock(&r->lock);
    return next_ms;
}

/* ---- life */

struct resolver *resolver_new(void)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    resolver_set_ttl(r, TTL_LEAST_S, TTL_MOST_S);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void resolver_set_ops(struct resolver *r, struct resolver_ops ops)
{
    r->ops = ops;
}

void resolver_set_ttl(struct resolver *r, int64_t least_s, int64_t most_s)
{
    atomic_store(&r->ttl_least_s, least_s);
    atomic_store(&r->ttl_most_s, most_s);
}

void resolver_free(struct resolver *r)
{
    if (r == NULL) return;
    while (r->names != NULL) {
        struct resolved *n = r->names;
        r->names = n->next;
        name_free(n);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}
