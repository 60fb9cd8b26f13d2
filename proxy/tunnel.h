/* tunnel: bytes between a client and an origin server that have switched protocols (RFC 9110 §7.8). weir looks at none of
 * them. What one side cannot take is held, and meanwhile no more is read from the other; when one side sends no more the
 * other is told, and may go on.
 * Ownership: tunnels_new gives one for a worker, tunnels_free ends it with all that is open; a tunnel closes itself.
 * Threads: the worker's own; tunnels_open may be asked by any.                                                         */
#ifndef WEIR_PROXY_TUNNEL_H
#define WEIR_PROXY_TUNNEL_H

#include "proxy/duplex.h"
#include "proxy/loop.h"
#include "proxy/stats.h"

enum { TUNNEL_HELD_MAX = 64 * 1024, TUNNEL_LINGER_MS = 2000 };

struct tunnels;

/** @param counters  of the worker, where what happens is counted */
MUST_USE struct tunnels *tunnels_new(struct loop *loop, struct counters *counters);
/** Close all that is open, and open no more. */
void tunnels_end(struct tunnels *all);
void tunnels_free(struct tunnels *all);

/** Keep a place for a tunnel that may come to be. @param max  of places taken and tunnels open
 *  @return false: there is none left */
MUST_USE bool tunnels_reserve(struct tunnels *all, size_t max);
/** It did not come to be. */
void tunnels_release(struct tunnels *all);

struct tunnel_settings {
    struct duplex *client, *server; /* taken over */
    int64_t idle_ms;                /* closed when for so long not a byte has moved */
    void (*over)(void *arg);        /* told once, also when it cannot be opened */
    void *arg;
};
/** In a place that was reserved, which is given back at its end. */
void tunnel_open(struct tunnels *all, const struct tunnel_settings *settings);

#endif
