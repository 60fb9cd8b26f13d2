/* origin_state: what weir has learnt of an origin's servers while it runs: how each does, what each has under way, and
 * whom to ask next. All workers share it, the checks of health.h write to it, and a reload hands it on by the servers'
 * URLs.
 * Ownership: one for each origin of a site, which frees it. Threads: any, save new, inherit and free.                   */
#ifndef WEIR_PROXY_ORIGIN_STATE_H
#define WEIR_PROXY_ORIGIN_STATE_H

#include "proxy/balance.h"
#include "proxy/breaker.h"
#include "proxy/origin_gate.h"
#include "proxy/retry_budget.h"

/* What the active checks say. */
enum server_checked { SERVER_UNCHECKED, SERVER_WELL, SERVER_ILL };

struct server_state {
    const struct origin_server_settings *settings;
    uint64_t id;
    struct breaker breaker;
    _Atomic int checked;           /* enum server_checked */
    _Atomic int64_t well_since_ms; /* of loop_now_ms; -1: always was */
    _Atomic uint32_t in_flight;
    _Atomic uint64_t requests, failures;
};

struct origin_state {
    const struct origin_settings *settings;
    struct origin_breaker breaker; /* settings, "auto" resolved */
    _Atomic uint64_t turn;
    struct retry_budget budget;
    struct origin_gate gate;
    _Atomic uint64_t retries, retries_refused, all_down;
    _Atomic uint64_t hedges, hedges_refused, hedges_won; /* second requests, and those that were answered first */
    size_t server_count;
    struct server_state servers[];
};

/* Who has been asked on behalf of one request. */
struct servers_tried {
    uint64_t bits[ORIGIN_SERVERS_MAX / 64];
};

/* One request at one server: chosen by origin_state_pick, and reported once. */
struct server_pick {
    int server; /* its place, or BALANCE_NONE */
    bool probe; /* it tells whether the server is well again */
};

/** @return NULL: no memory */
MUST_USE struct origin_state *origin_state_new(const struct origin_settings *settings);
void origin_state_free(struct origin_state *o);
/** Go on with what was known of servers with the same URLs. Before any other use of `o`. */
void origin_state_inherit(struct origin_state *o, const struct origin_state *before);

/** Choose a server that is not among the tried, and is well. The pick counts as under way until it is reported.
 *  @param key_hash  for balancing by hash */
struct server_pick origin_state_pick(struct origin_state *o, const struct servers_tried *tried, uint64_t key_hash,
                                     int64_t now_ms);
void origin_state_report(struct origin_state *o, struct server_pick pick, enum breaker_result result, int64_t now_ms);
/** A connection that has switched protocols goes on, or has ended: by 1 or -1, among what its server has under way. */
void origin_state_tunnel(struct origin_state *o, int server, int by);
/** Is there a server left to be asked? */
bool origin_state_has_other(const struct origin_state *o, const struct servers_tried *tried, int64_t now_ms);
void servers_tried_add(struct servers_tried *t, int server);

/** Whether the budget has room for trying a request again; counted when it has. */
MUST_USE bool origin_state_may_retry(struct origin_state *o, int64_t now_ms);
/** The same for asking a second server while the first still may answer. */
MUST_USE bool origin_state_may_hedge(struct origin_state *o, int64_t now_ms);

/** How a server does, in a word: "well", "ill", "open" (left alone), "probing". */
const char *server_state_name(const struct server_state *s, int64_t now_ms);
/** What an active check found; said in the log when it is news. */
void server_state_check(struct origin_state *o, size_t server, bool well, const char *why, int64_t now_ms);
/** Seconds after which a server may be asked again, at least 1: for Retry-After when all are down. */
int origin_state_retry_after_s(const struct origin_state *o, int64_t now_ms);

#endif
