/* refusal: why the last response for a key was not stored, so that explain can answer "why is this not cached?". A table of
 * fixed size: a newcomer takes the place of whoever had its slot, and a restart forgets.
 * Ownership: refusals_new gives one, refusals_free ends it. Threads: any; a lock per slot group, held for a copy.         */
#ifndef WEIR_CACHE_REFUSAL_H
#define WEIR_CACHE_REFUSAL_H

#include "cache/key.h"
#include "cache/storable.h"

enum { REFUSAL_SLOTS = 8192 };

struct refusals;

struct refusal {
    enum storable_reason reason;
    int status; /* of the response */
    int64_t when_s;
    int32_t age_s; /* when it came */
    int32_t lifetime_s;
    enum lifetime_source source;
};

MUST_USE struct refusals *refusals_new(void);
void refusals_free(struct refusals *r);
void refusals_note(struct refusals *r, const struct key *key, const struct refusal *why);
/** @return false: none is known for this key */
MUST_USE bool refusals_find(struct refusals *r, const struct key *key, struct refusal *out);

#endif
