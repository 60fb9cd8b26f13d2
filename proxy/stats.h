/* stats: what weir counts. Each worker has counters of its own, which only it writes; whoever asks adds them up.
 * Threads: stats_add and histogram_add by the owning thread; reading by any.                                     */
#ifndef WEIR_PROXY_STATS_H
#define WEIR_PROXY_STATS_H

#include "headers/view.h"

#include <stdatomic.h>

/* Counters: name, metric name, help. One row each; the JSON and Prometheus answers are made from this table. */
#define STATS_COUNTERS(X)                                                                                              \
    X(requests, "requests_total", "Requests answered, refused ones included")                                          \
    X(hits, "hits_total", "Requests answered from the cache without asking the origin")                                \
    X(hits_memory, "hits_memory_total", "Hits found in memory")                                                        \
    X(hits_store, "hits_store_total", "Hits found in the store")                                                       \
    X(hits_stale, "hits_stale_total", "Hits answered with a stale response while it is refreshed")                     \
    X(misses, "misses_total", "Requests forwarded because nothing usable was stored")                                  \
    X(validations, "validations_total", "Stored responses the origin was asked about")                                 \
    X(validated, "validated_total", "Validations the origin answered with 304")                                        \
    X(collapsed, "collapsed_total", "Requests answered by another request's fetch")                                    \
    X(passes, "passes_total", "Requests forwarded because they cannot be cached")                                      \
    X(stale_on_error, "stale_on_error_total", "Stale responses served because the origin failed")                      \
    X(not_modified, "not_modified_total", "Conditional requests answered 304")                                         \
    X(partial, "partial_total", "Range requests answered 206")                                                         \
    X(refused, "refused_total", "Requests that were not HTTP or beyond a limit")                                       \
    X(errors, "errors_total", "Requests answered with an error of weir's own (502, 503, 504)")                         \
    X(purges, "purge_requests_total", "Purge requests accepted")                                                       \
    X(fetches, "fetches_total", "Requests sent to the origin")                                                         \
    X(fetch_failures, "fetch_failures_total", "Fetches that brought no response or a truncated one")                   \
    X(retries, "retries_total", "Requests sent again, to another server of the origin")                                \
    X(hedges, "hedges_total", "Requests sent to a second server while the first was slow to answer")                   \
    X(refreshes, "refreshes_total", "Fetches in the background")                                                       \
    X(stored, "stored_total", "Responses stored")                                                                      \
    X(invalidations, "invalidations_total", "Unsafe requests that invalidated stored responses")                       \
    X(bytes_sent, "sent_bytes_total", "Bytes of responses sent to clients")                                            \
    X(bytes_hit, "hit_bytes_total", "Bytes of content answered from the cache")                                        \
    X(bytes_fetched, "fetched_bytes_total", "Bytes of content received from the origin")                               \
    X(tunnels, "tunnels_total", "Connections that switched to another protocol (101)")                                 \
    X(tunnels_refused, "tunnels_refused_total", "Upgrades refused because too many tunnels were open")                 \
    X(tunnel_bytes_received, "tunnel_received_bytes_total", "Bytes relayed from clients after a 101")                  \
    X(tunnel_bytes_sent, "tunnel_sent_bytes_total", "Bytes relayed to clients after a 101")

/* Durations in microseconds: 8 buckets for each power of two, so a quantile is at most 1/8 off. */
enum { HISTOGRAM_BUCKETS = 256 };
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_us;
};

struct counters {
#define STATS_MEMBER(name, metric, help) _Atomic uint64_t name;
    STATS_COUNTERS(STATS_MEMBER)
#undef STATS_MEMBER
    _Atomic uint64_t tunnels_open;    /* now */
    struct histogram hit_us, miss_us; /* from the request's head to the reply's last byte handed to the system */
};

/* The owner is the only writer, so no locked instruction is needed. */
static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

void histogram_add(struct histogram *h, int64_t us);
/** Upper bound in microseconds of the bucket that holds the quantile q (0..1) of all the given histograms together. */
int64_t histogram_quantile(const struct histogram *const *h, size_t n, double q);
uint64_t histogram_count(const struct histogram *h);
/** The largest duration in microseconds that counts in this bucket; the last bucket takes all larger ones too. */
int64_t histogram_bucket_end_us(size_t bucket);

#endif
