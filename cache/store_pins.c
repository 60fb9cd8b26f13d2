/* Content that somebody reads: it outlives its record until the last reader has gone. No page of the store is held: only the
 * removal of the chunks waits. */
#include "cache/store_internal.h"

#include <stdlib.h>

enum { PIN_BUCKETS = 256 };

struct pin {
    struct pin *next;
    uint64_t number;
    unsigned readers;
};

struct store_pins {
    pthread_mutex_t lock;
    struct pin *buckets[PIN_BUCKETS];
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
    }
    pthread_mutex_unlock(&s->pins->lock);
    if (gone != NULL) atomic_store(&s->unpinned, true); /* the writer looks at its garbage again */
    free(gone);
}
