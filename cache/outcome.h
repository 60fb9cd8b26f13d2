/* outcome: how a request was answered, as one member of Cache-Status (RFC 9211). Pure. */
#ifndef WEIR_CACHE_OUTCOME_H
#define WEIR_CACHE_OUTCOME_H

#include "cache/reuse.h"
#include "cache/storable.h"

enum fwd_reason {
    FWD_NONE,
    FWD_BYPASS,
    FWD_METHOD,
    FWD_URI_MISS,
    FWD_VARY_MISS,
    FWD_MISS,
    FWD_REQUEST,
    FWD_STALE,
    FWD_PARTIAL
};

struct outcome {
    bool hit; /* answered without going to the origin; then fwd is FWD_NONE */
    enum fwd_reason fwd;
    int fwd_status; /* 0: no answer from the origin */
    bool has_ttl;
    int64_t ttl_s;      /* negative when stale */
    bool stored;        /* the answer to this request was stored */
    bool collapsed;     /* this request used another request's fetch */
    struct view key;    /* empty: not shown */
    const char *detail; /* NULL: none; printable ASCII without '"' and '\\' */
};

enum { OUTCOME_TEXT_MAX = 1024 };
/** "weir; hit; ttl=27" into `to`, NUL-terminated. @return length. Cut never: parameters that do not fit are left out. */
size_t outcome_format(const struct outcome *o, char *to, size_t cap);

enum fwd_reason fwd_reason_of(enum reuse_reason r);

#endif
