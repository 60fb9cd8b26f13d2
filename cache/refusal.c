#include "cache/refusal.h"

#include <pthread.h>
#include <stdlib.h>

enum { GROUPS = 64 };

/* Both hashes and no text: a collision would explain the wrong reason, nothing more. */
struct slot {
    uint64_t key[2];
    int64_t when_s;
    int32_t age_s, lifetime_s;
    uint16_t status;
    uint8_t reason, source;
    bool used;
};

struct refusals {
    pthread_mutex_t locks[GROUPS];
    struct slot slots[REFUSAL_SLOTS];
};

struct refusals *refusals_new(void)
{
    struct refusals *r = calloc(1, sizeof *r);
    for (size_t i = 0; r != NULL && i < GROUPS; i++) pthread_mutex_init(&r->locks[i], NULL);
    return r;
}

void refusals_free(struct refusals *r)
{
    for (size_t i = 0; r != NULL && i < GROUPS; i++) pthread_mutex_destroy(&r->locks[i]);
    free(r);
}

static size_t place(const struct key *key)
{
    return key->hash[1] % REFUSAL_SLOTS;
}

void refusals_note(struct refusals *r, const struct key *key, const struct refusal *why)
{
    size_t at = place(key);
    struct slot slot = { .key = { key->hash[0], key->hash[1] },
                         .when_s = why->when_s,
                         .status = (uint16_t)why->status,
                         .reason = (uint8_t)why->reason,
                         .age_s = why->age_s,
                         .lifetime_s = why->lifetime_s,
                         .source = (uint8_t)why->source,
                         .used = true };
    pthread_mutex_lock(&r->locks[at % GROUPS]);
    r->slots[at] = slot;
    pthread_mutex_unlock(&r->locks[at % GROUPS]);
}

bool refusals_find(struct refusals *r, const struct key *key, struct refusal *out)
{
    size_t at = place(key);
    pthread_mutex_lock(&r->locks[at % GROUPS]);
    struct slot slot = r->slots[at];
    pthread_mutex_unlock(&r->locks[at % GROUPS]);
    *out = (struct refusal){ .reason = (enum storable_reason)slot.reason,
                             .status = slot.status,
                             .when_s = slot.when_s,
                             .age_s = slot.age_s,
                             .lifetime_s = slot.lifetime_s,
                             .source = (enum lifetime_source)slot.source };
    return slot.used && slot.key[0] == key->hash[0] && slot.key[1] == key->hash[1];
}
