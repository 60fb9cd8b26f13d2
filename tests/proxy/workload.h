/* workload: requests made by a rule and a fixed seed, the same on every machine: what the measurements of
 * docs/eviction.md ask for. A key of n has the size workload_bytes(n), which never changes. */
#ifndef WEIR_TESTS_PROXY_WORKLOAD_H
#define WEIR_TESTS_PROXY_WORKLOAD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { WORKLOAD_KEYS = 100 * 1000, WORKLOAD_SCANNED = 1 << 24 }; /* names from WORKLOAD_SCANNED on are asked for once */

struct workload {
    const char *name;
    double skew;            /* Zipf's exponent */
    uint32_t scan_of_every; /* of so many requests ... */
    uint32_t scan;          /* ... so many in a row ask for what nobody asks for again */
    uint32_t loop;          /* keys asked for one after the other, round and round; 0: none */
    uint32_t new_of_every;  /* the most popular key changes each time; 0: never */
    bool equal;             /* sizes: all 16 KiB, else mixed */
};

static const struct workload workloads[] = {
    { .name = "zipf-0.7", .skew = 0.7 },
    { .name = "zipf-1.0", .skew = 1.0 },
    { .name = "zipf-1.0-equal", .skew = 1.0, .equal = true },
    { .name = "scan", .skew = 1.0, .scan_of_every = 100 * 1000, .scan = 50 * 1000 },
    { .name = "loop", .loop = 20 * 1000, .equal = true },
    { .name = "loop-zipf", .skew = 1.0, .scan_of_every = 2, .scan = 1, .loop = 20 * 1000 },
    { .name = "news", .skew = 1.0, .new_of_every = 20 },
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads };

struct workload_run {
    const struct workload *w;
    uint64_t random;
    uint32_t asked, scanned, published;
    double *upto; /* by rank: the share of requests for it and those before */
};

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t workload_mix(uint64_t n)
{
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9u;
    n = (n ^ n >> 27) * 0x94d049bb133111ebu;
    return n ^ n >> 31;
}

static inline double workload_fraction(uint64_t random)
{
    return (double)(random >> 11) / (double)(1ull << 53);
}

/* Log-normal about a median of 8 KiB, from 200 B to 20 MiB: what APIs and pages send, and now and then a download. */
static inline uint32_t workload_bytes(const struct workload *w, uint32_t key)
{
    enum { LEAST = 200, MOST = 20 << 20 };
    if (w->equal) return 16 << 10;
    double u = workload_fraction(workload_mix(2 * (uint64_t)key + 1)),
           v = workload_fraction(workload_mix(~(uint64_t)key));
    double normal = sqrt(-2 * log(u + 1e-12)) * cos(6.283185307179586 * v);
    double bytes = 8192 * exp(2 * normal);
    return bytes < LEAST ? LEAST : bytes > MOST ? MOST : (uint32_t)bytes;
}

static inline bool workload_start(struct workload_run *r, const struct workload *w)
{
    double sum = 0;
    *r = (struct workload_run){ .w = w, .random = 42, .upto = malloc(WORKLOAD_KEYS * sizeof *r->upto) };
    if (r->upto == NULL) return false;
    for (uint32_t i = 0; i < WORKLOAD_KEYS; i++) r->upto[i] = sum += pow(i + 1, -w->skew);
    for (uint32_t i = 0; i < WORKLOAD_KEYS; i++) r->upto[i] /= sum;
    return true;
}

static inline void workload_end(struct workload_run *r)
{
    free(r->upto);
}

static inline uint32_t workload_rank(const struct workload_run *r, double u)
{
    uint32_t from = 0, to = WORKLOAD_KEYS - 1;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (r->upto[middle] <= u)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/** The next key that is asked for. */
static inline uint32_t workload_next(struct workload_run *r)
{
    const struct workload *w = r->w;
    uint32_t n = r->asked++;
    bool scans = w->skew == 0 || (w->scan_of_every > 0 && n % w->scan_of_every < w->scan);
    if (scans) return WORKLOAD_SCANNED + (w->loop > 0 ? r->scanned++ % w->loop : r->scanned++);
    r->random += 0x9e3779b97f4a7c15u;
    uint32_t rank = workload_rank(r, workload_fraction(workload_mix(r->random)));
    if (w->new_of_every == 0) return rank;
    if (n % w->new_of_every == 0) r->published++;
    return WORKLOAD_KEYS + r->published - rank;
}

#endif
