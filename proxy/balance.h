/* balance: which of an origin's servers a request goes to. Pure functions over what is known of the servers at the moment;
 * origin_state.h keeps that and tells them.                                                                              */
#ifndef WEIR_PROXY_BALANCE_H
#define WEIR_PROXY_BALANCE_H

#include "proxy/origin_settings.h"

enum { BALANCE_NONE = -1, BALANCE_WEIGHT_ONE = 100 /* what a weight of 1 is in a candidate */ };

/* A server as the choice sees it. */
struct candidate {
    uint64_t id;        /* the same wherever and whenever this server is among the candidates */
    uint32_t weight;    /* at the moment, in hundredths; at least 1 */
    uint32_t in_flight; /* fetches under way */
    bool usable;        /* well, and not asked before by this request */
    bool backup;
};

struct balance_ticket {
    enum balance how;
    uint64_t turn;     /* one more with each request */
    uint64_t key_hash; /* BALANCE_HASH */
};

/** The server to ask: a usable one, a backup only when there is no other.
 *  Round robin with unequal weights follows the golden ratio's multiples, which fall into each server's share as evenly
 *  as any order does (Weyl), and keep no state but the turn. Hashing is by highest random weight (Thaler and Ravishankar
 *  1998), weighted as -w / ln(u): a server that leaves or comes moves no key but its own.
 *  @return  its place, or BALANCE_NONE */
int balance_pick(const struct balance_ticket *t, const struct candidate *c, size_t n);

/** A weight of the moment: all of it, or, for slow_start_ms after a server became well, a share that grows with time.
 *  @param well_for_ms  since it became well; -1: always was */
uint32_t balance_weight(int weight, int64_t well_for_ms, int64_t slow_start_ms);

#endif
