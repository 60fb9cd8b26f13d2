#include "cache/outcome.h"

/* Cache-Status is written for every response, so by hand; a parameter is written whole or taken back. */
struct writer {
    char *to;
    size_t len, limit; /* limit leaves room for the NUL */
    bool full;         /* something since the last parameter began did not fit */
};

static void put(struct writer *w, struct view v)
{
    if (v.len > w->limit - w->len) {
        w->full = true;
        return;
    }
    memcpy(w->to + w->len, v.at, v.len);
    w->len += v.len;
}

static void put_integer(struct writer *w, int64_t n)
{
    enum { DIGITS_MAX = 20 };
    char digits[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (n < 0) put(w, VIEW("-"));
    put(w, view_of(digits + at, DIGITS_MAX - at));
}

/* sf-string, RFC 8941 §3.3.3: printable ASCII only, so that anything else leaves the parameter out. */
static void put_string(struct writer *w, struct view v)
{
    put(w, VIEW("\""));
    for (size_t i = 0; i < v.len && !w->full; i++) {
        char c = v.at[i];
        if (c < 0x20 || c > 0x7e) w->full = true;
        if (c == '"' || c == '\\') put(w, VIEW("\\"));
        put(w, view_of(&c, 1));
    }
    put(w, VIEW("\""));
}

/* sf-token, RFC 8941 §3.3.4. */
static bool fits_token(struct view v)
{
    bool letter = v.len > 0 && ascii_lower(v.at[0]) >= 'a' && ascii_lower(v.at[0]) <= 'z';
    if (!letter && !(v.len > 0 && v.at[0] == '*')) return false;
    for (size_t i = 1; i < v.len; i++) {
        if (!is_tchar(v.at[i]) && v.at[i] != ':' && v.at[i] != '/') return false;
    }
    return true;
}

static size_t parameter(struct writer *w, struct view name)
{
    size_t before = w->len;
    w->full = false;
    put(w, name);
    return before;
}

static void parameter_end(struct writer *w, size_t before)
{
    if (w->full) w->len = before;
}

static void put_integer_parameter(struct writer *w, struct view name, int64_t n)
{
    const int64_t most = 999999999999999; /* RFC 8941 §3.3.1 */
    size_t before = parameter(w, name);
    put_integer(w, n > most ? most : n < -most ? -most : n);
    parameter_end(w, before);
}

static void put_flag(struct writer *w, struct view name)
{
    size_t before = parameter(w, name);
    parameter_end(w, before);
}

static void put_forward(struct writer *w, const struct outcome *o)
{
    static const struct view names[] = {
        [FWD_NONE] = { "", 0 },
        [FWD_BYPASS] = { "; fwd=bypass", 12 },
        [FWD_METHOD] = { "; fwd=method", 12 },
        [FWD_URI_MISS] = { "; fwd=uri-miss", 14 },
        [FWD_VARY_MISS] = { "; fwd=vary-miss", 15 },
        [FWD_MISS] = { "; fwd=miss", 10 },
        [FWD_REQUEST] = { "; fwd=request", 13 },
        [FWD_STALE] = { "; fwd=stale", 11 },
        [FWD_PARTIAL] = { "; fwd=partial", 13 },
    };
    if (o->fwd == FWD_NONE || (size_t)o->fwd >= sizeof names / sizeof *names) return;
    put_flag(w, names[o->fwd]);
    if (o->fwd_status > 0) put_integer_parameter(w, VIEW("; fwd-status="), o->fwd_status);
}

static void put_detail(struct writer *w, struct view detail)
{
    size_t before = parameter(w, VIEW("; detail="));
    if (fits_token(detail)) {
        put(w, detail);
    } else {
        put_string(w, detail);
    }
    parameter_end(w, before);
}

size_t outcome_format(const struct outcome *o, char *to, size_t cap)
{
    struct writer w = { to, 0, cap > 0 ? cap - 1 : 0, false };
    if (cap == 0) return 0;

    bool forwarded = !o->hit && o->fwd != FWD_NONE;
    put(&w, VIEW("weir"));
    if (o->hit) put_flag(&w, VIEW("; hit"));
    if (forwarded) put_forward(&w, o);
    if (o->has_ttl) put_integer_parameter(&w, VIEW("; ttl="), o->ttl_s);
    if (forwarded && o->stored) put_flag(&w, VIEW("; stored"));
    if (forwarded && o->collapsed) put_flag(&w, VIEW("; collapsed"));
    if (o->key.len > 0) {
        size_t before = parameter(&w, VIEW("; key="));
        put_string(&w, o->key);
        parameter_end(&w, before);
    }
    if (o->detail != NULL) put_detail(&w, view_of_str(o->detail));
    to[w.len] = '\0';
    return w.len;
}

enum fwd_reason fwd_reason_of(enum reuse_reason r)
{
    switch (r) {
    case REUSE_BECAUSE_STALE:
    case REUSE_BECAUSE_NO_CACHE: /* selected, and not usable as it is: as good as stale */
    case REUSE_BECAUSE_PURGED_SOFT: return FWD_STALE;
    case REUSE_BECAUSE_REQUEST: return FWD_REQUEST;
    case REUSE_BECAUSE_URI_MISS: return FWD_URI_MISS;
    case REUSE_BECAUSE_VARY_MISS: return FWD_VARY_MISS;
    case REUSE_BECAUSE_PURGED: return FWD_MISS;
    case REUSE_BECAUSE_METHOD: return FWD_METHOD;
    case REUSE_BECAUSE_BYPASS: return FWD_BYPASS;
    case REUSE_BECAUSE_PARTIAL: return FWD_PARTIAL;
    case REUSE_BECAUSE_FRESH:
    case REUSE_BECAUSE_SWR:
    case REUSE_BECAUSE_MAX_STALE:
    case REUSE_BECAUSE_EARLY:
    case REUSE_BECAUSE_ONLY_IF_CACHED: return FWD_NONE;
    }
    return FWD_NONE;
}
