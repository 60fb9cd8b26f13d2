#include "tests/bench/latency.h"

enum { SUB = 1 << LATENCY_SUB_BITS };

/* The first SUB slots are exact; above, each power of two has SUB slots of equal width. */
static unsigned slot_of(uint64_t ns)
{
    if (ns < SUB) return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
    return (shift + 1) * SUB + (unsigned)(ns >> shift) - SUB;
}

static uint64_t slot_end(unsigned slot)
{
    if (slot < SUB) return slot;
    unsigned shift = slot / SUB - 1;
    return (((uint64_t)(slot % SUB + SUB) + 1) << shift) - 1;
}

void latency_add(struct latency *l, uint64_t ns)
{
    l->slots[slot_of(ns)]++;
    l->count++;
}

uint64_t latency_quantile_ns(const struct latency *l, double share)
{
    uint64_t seen = 0;
    double wanted = share * (double)l->count;
    if (l->count == 0) return 0;
    for (unsigned i = 0; i < LATENCY_SLOTS; i++) {
        seen += l->slots[i];
        if (seen > 0 && (double)seen >= wanted) return slot_end(i);
    }
    return UINT64_MAX;
}
