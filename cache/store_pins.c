/* Content that somebody reads: it outlives its record until the last reader has gone. No page of the store is held: only the
 * removal of the chunks waits. Eviction can take nothing of such content, nor of what is still being appended, so both
 * together get half of the store; else a few slow clients, or a few large fetches at a time, would leave no room for anybody
 * else. Beyond that, what comes is not stored, and of what has lost its record the first goes under its readers, who have
 * had the longest time and are cut short. A quarter is always left to them. */
#include "cache/store_internal.h"

#include <stdlib.h>

enum { PIN_BUCKETS = 256, KEPT_SHARE_LEAST = 4, SHARE = 2 };

struct pin {
    struct pin *next;
    uint64_t number;
    unsigned readers;
    uint64_t under_way;  /* bytes of it that are or will be appended; 0: it has its record */
    uint64_t kept_bytes; /* after its record; 0: it has one still, or goes */
    uint64_t kept_turn;
    bool cut_short;
};

struct store_pins {
    pthread_mutex_t lock;
    struct pin *buckets[PIN_BUCKETS];
    uint64_t under_way, kept_bytes; /* of all */
    uint64_t next_turn;
};

struct store_pins *store_pins_new(void)
{
    struct store_pins *p = calloc(1, sizeof(*p));
    if (p != NULL) pthread_mutex_init(&p->lock, NULL);
    return p;
}

void store_pins_free(struct store_pins *p)
{
    if (p == NULL) return;
    pthread_mutex_destroy(&p->lock); /* a body that is left keeps nothing here: all ended before the store closes */
    free(p);
}

static struct pin **pin_at(struct store_pins *p, uint64_t number)
{
    struct pin **at = &p->buckets[number % PIN_BUCKETS];
    while (*at != NULL && (*at)->number != number) at = &(*at)->next;
    return at;
}

bool store_is_pinned(struct store *s, uint64_t number)
{
    pthread_mutex_lock(&s->pins->lock);
    bool pinned = *pin_at(s->pins, number) != NULL;
    pthread_mutex_unlock(&s->pins->lock);
    return pinned;
}

static uint64_t share_of(const struct store *s, unsigned part)
{
    return s->limit_pages * STORE_PAGE / part;
}

bool store_reserve(struct store *s, uint64_t number, uint64_t bytes)
{
    struct store_pins *p = s->pins;
    pthread_mutex_lock(&p->lock);
    struct pin *pin = *pin_at(p, number);
    bool more = pin != NULL && bytes > pin->under_way;
    bool fits = !more || p->under_way + (bytes - pin->under_way) <= share_of(s, SHARE);
    if (more && fits) {
        p->under_way += bytes - pin->under_way;
        pin->under_way = bytes;
    }
    pthread_mutex_unlock(&p->lock);
    return fits;
}

static void arrived(struct store_pins *p, struct pin *pin)
{
    if (pin == NULL) return;
    p->under_way -= pin->under_way;
    pin->under_way = 0;
}

void store_has_record(struct store *s, uint64_t number)
{
    pthread_mutex_lock(&s->pins->lock);
    arrived(s->pins, *pin_at(s->pins, number));
    pthread_mutex_unlock(&s->pins->lock);
}

static uint64_t kept_share(const struct store *s)
{
    uint64_t all = share_of(s, SHARE), least = share_of(s, KEPT_SHARE_LEAST);
    return s->pins->under_way < all - least ? all - s->pins->under_way : least;
}

static struct pin *longest_kept(struct store_pins *p)
{
    struct pin *longest = NULL;
    for (size_t i = 0; i < PIN_BUCKETS; i++)
        for (struct pin *pin = p->buckets[i]; pin != NULL; pin = pin->next)
            if (pin->kept_bytes > 0 && (longest == NULL || pin->kept_turn < longest->kept_turn)) longest = pin;
    return longest;
}

static void keep(struct store *s, struct pin *pin, uint64_t bytes)
{
    struct store_pins *p = s->pins;
    while (p->kept_bytes > 0 && p->kept_bytes + bytes > kept_share(s)) {
        struct pin *longest = longest_kept(p);
        p->kept_bytes -= longest->kept_bytes;
        longest->kept_bytes = 0;
        longest->cut_short = true;
        atomic_store(&s->unpinned, true); /* the writer looks at its garbage again */
    }
    pin->kept_bytes = bytes;
    pin->kept_turn = p->next_turn++;
    p->kept_bytes += bytes;
}

bool store_is_kept(struct store *s, uint64_t number, uint64_t bytes)
{
    pthread_mutex_lock(&s->pins->lock);
    struct pin *pin = *pin_at(s->pins, number);
    arrived(s->pins, pin);
    if (pin != NULL && pin->kept_bytes == 0 && !pin->cut_short) keep(s, pin, bytes);
    bool kept = pin != NULL && !pin->cut_short;
    pthread_mutex_unlock(&s->pins->lock);
    return kept;
}

bool store_pin(struct store *s, uint64_t number)
{
    pthread_mutex_lock(&s->pins->lock);
    struct pin **at = pin_at(s->pins, number);
    if (*at == NULL) *at = calloc(1, sizeof(**at));
    bool pinned = *at != NULL;
    if (pinned) {
        (*at)->number = number;
        (*at)->readers++;
    }
    pthread_mutex_unlock(&s->pins->lock);
    return pinned;
}

void store_unpin(struct store *s, uint64_t number)
{
    pthread_mutex_lock(&s->pins->lock);
    struct pin **at = pin_at(s->pins, number), *gone = NULL;
    if (*at != NULL && --(*at)->readers == 0) {
        gone = *at;
        *at = gone->next;
        arrived(s->pins, gone);
        s->pins->kept_bytes -= gone->kept_bytes;
    }
    pthread_mutex_unlock(&s->pins->lock);
    if (gone != NULL) atomic_store(&s->unpinned, true); /* the writer looks at its garbage again */
    free(gone);
}
