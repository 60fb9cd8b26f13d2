/* view: a borrowed run of bytes, and the few things one does with it.
 * Ownership: a view owns nothing; whoever hands one out says from whom it borrows and until when.
 * Threads: pure functions.                                                                      */
#ifndef WEIR_HEADERS_VIEW_H
#define WEIR_HEADERS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))

/* The struct whose member it is: what a callback gets is often a part of what it means. */
#define HOLDER_OF(member_at, type, member) ((type *)((uintptr_t)(member_at)-offsetof(type, member)))

struct view {
    const char *at;
    size_t len;
};

/* A view of a string literal. */
#define VIEW(literal) ((struct view){ (literal), sizeof(literal) - 1 })

static inline struct view view_of(const char *at, size_t len)
{
    return (struct view){ at, len };
}

/** A view of a NUL-terminated string; NULL becomes the empty view. */
static inline struct view view_of_str(const char *s)
{
    return (struct view){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/** ASCII only: field names, directives, schemes (RFC 9110 §5.1). */
bool view_equal_nocase(struct view a, struct view b);
bool view_starts_with(struct view v, struct view prefix);
/** A copy of v and a NUL at *at, which is moved behind them. */
struct view view_copy(struct view v, char **at);
bool view_starts_with_nocase(struct view v, struct view prefix);
/** Index of the first c at or after from; v.len when there is none. */
size_t view_find(struct view v, size_t from, char c);
/** v without leading and trailing OWS (SP, HTAB; RFC 9110 §5.6.3). */
struct view view_trim_ows(struct view v);
struct view view_after(struct view v, size_t n);
struct view view_first(struct view v, size_t n);

char ascii_lower(char c);
bool is_digit(char c);
/** tchar of RFC 9110 §5.6.2. */
bool is_tchar(char c);
/** A non-empty run of tchar. */
bool view_is_token(struct view v);
bool view_is_ascii(struct view v);

/** Decimal digits only, at least one; saturates at max, never overflows. False when v is anything else. */
MUST_USE bool view_parse_decimal(struct view v, int64_t max, int64_t *out);

#endif
