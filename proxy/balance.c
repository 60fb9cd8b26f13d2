#include "proxy/balance.h"

#include <math.h>

/* What the choice is among: usable servers of the better tier. */
struct field_of {
    bool backups;
    size_t count;
    uint64_t weight; /* of all */
    bool even;       /* all weigh the same */
};

static bool is_in(const struct field_of *f, const struct candidate *c)
{
    return c->usable && c->backup == f->backups;
}

static struct field_of field_with(const struct candidate *c, size_t n, bool backups)
{
    struct field_of f = { .backups = backups, .even = true };
    uint32_t first = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_in(&f, &c[i])) continue;
        if (f.count == 0) first = c[i].weight;
        f.even = f.even && c[i].weight == first;
        f.count++;
        f.weight += c[i].weight;
    }
    return f;
}

static int in_turn(const struct field_of *f, const struct candidate *c, size_t n, uint64_t turn)
{
    static const uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio */
    uint64_t place = f->even ? turn % f->count : ((turn * golden >> 32) * f->weight) >> 32;
    for (size_t i = 0; i < n; i++) {
        uint64_t share = f->even ? 1 : c[i].weight;
        if (!is_in(f, &c[i])) continue;
        if (place < share) return (int)i;
        place -= share;
    }
    return BALANCE_NONE;
}

/* The one that would have the fewest fetches for its weight; among equals the turn decides, or the first would get all of
 * a quiet site's requests. */
static int least_in_flight(const struct field_of *f, const struct candidate *c, size_t n, uint64_t turn)
{
    int best = BALANCE_NONE;
    uint64_t from = turn % n;
    for (size_t k = 0; k < n; k++) {
        size_t i = (from + k) % n;
        if (!is_in(f, &c[i])) continue;
        uint64_t mine = (uint64_t)c[i].in_flight + 1;
        if (best == BALANCE_NONE || mine * c[best].weight < ((uint64_t)c[best].in_flight + 1) * c[i].weight)
            best = (int)i;
    }
    return best;
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the input moves half of the output. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int by_hash(const struct field_of *f, const struct candidate *c, size_t n, uint64_t key_hash)
{
    enum { BITS = 53 };
    int best = BALANCE_NONE;
    double best_score = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_in(f, &c[i])) continue;
        uint64_t h = mixed(mixed(key_hash) ^ c[i].id);
        double u = ((double)(h >> (64 - BITS)) + 0.5) / (double)((uint64_t)1 << BITS);
        double score = -(double)c[i].weight / log(u);
        if (best != BALANCE_NONE && score <= best_score) continue;
        best = (int)i;
        best_score = score;
    }
    return best;
}

int balance_pick(const struct balance_ticket *t, const struct candidate *c, size_t n)
{
    struct field_of f = field_with(c, n, false);
    if (f.count == 0) f = field_with(c, n, true);
    if (f.count == 0) return BALANCE_NONE;
    switch (t->how) {
    case BALANCE_ROUND_ROBIN: return in_turn(&f, c, n, t->turn);
    case BALANCE_LEAST_IN_FLIGHT: return least_in_flight(&f, c, n, t->turn);
    case BALANCE_HASH: return by_hash(&f, c, n, t->key_hash);
    }
    return BALANCE_NONE;
}

uint32_t balance_weight(int weight, int64_t well_for_ms, int64_t slow_start_ms)
{
    uint32_t whole = (uint32_t)weight * BALANCE_WEIGHT_ONE;
    if (well_for_ms < 0 || well_for_ms >= slow_start_ms) return whole;
    uint32_t now = (uint32_t)((int64_t)whole * well_for_ms / slow_start_ms);
    uint32_t least = (uint32_t)weight; /* a hundredth */
    return now > least ? now : least;
}
