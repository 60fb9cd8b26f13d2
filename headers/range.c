#include "headers/range.h"

#include "headers/list.h"

enum { OVERLAPS_MAX = 1 }; /* pairs of parts; RFC 9110 §17.15: more than two overlapping ranges are abusive */

/* "bytes=", the unit in any case (RFC 9110 §14.1). */
static bool range_set_of(struct view value, struct view *set)
{
    static const struct view unit = { "bytes=", 6 };
    if (!view_starts_with_nocase(value, unit)) return false;
    *set = view_after(value, unit.len);
    return true;
}

/* One range-spec before the length is known (§14.1.1), as range_parse_single gives it. */
static bool spec_parse(struct view v, int64_t *first, int64_t *last)
{
    size_t dash = view_find(v, 0, '-');
    if (dash == v.len) return false;
    struct view left = view_first(v, dash), right = view_after(v, dash + 1);
    *first = *last = -1;
    if (left.len == 0) return view_parse_decimal(right, INT64_MAX, last);
    if (!view_parse_decimal(left, INT64_MAX, first)) return false;
    if (right.len == 0) return true;
    return view_parse_decimal(right, INT64_MAX, last) && *first <= *last;
}

/* False when no byte of `length` is asked for (§14.1.2). */
static bool resolve(int64_t first, int64_t last, int64_t length, struct byte_range *part)
{
    if (first < 0) {
        if (last == 0 || length == 0) return false;
        *part = (struct byte_range){ last < length ? length - last : 0, length - 1 };
        return true;
    }
    if (first >= length) return false;
    *part = (struct byte_range){ first, last < 0 || last >= length ? length - 1 : last };
    return true;
}

static size_t overlaps_with(const struct range_set *r, const struct byte_range *part)
{
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++) n += part->first <= r->parts[i].last && r->parts[i].first <= part->last;
    return n;
}

/* Join each part with the one before it where they overlap or touch and begin in order (§15.3.7.2). */
static void coalesce(struct range_set *r)
{
    size_t kept = 0;
    for (size_t i = 1; i < r->count; i++) {
        struct byte_range *before = &r->parts[kept], part = r->parts[i];
        if (part.first >= before->first && part.first <= before->last + 1) {
            if (part.last > before->last) before->last = part.last;
        } else {
            r->parts[++kept] = part;
        }
    }
    r->count = kept + 1;
}

struct range_set range_parse(struct view value, int64_t length)
{
    const struct range_set none = { .verdict = RANGE_NONE };
    struct range_set r = { .verdict = RANGE_UNSATISFIABLE };
    struct view set, spec;
    size_t specs = 0, overlaps = 0;
    if (!range_set_of(value, &set)) return none;
    while (list_next(&set, &spec)) {
        int64_t first, last;
        struct byte_range part;
        if (++specs > RANGE_MAX_PARTS || !spec_parse(spec, &first, &last)) return none;
        if (!resolve(first, last, length, &part)) continue;
        overlaps += overlaps_with(&r, &part);
        r.parts[r.count++] = part;
    }
    if (specs == 0 || overlaps > OVERLAPS_MAX) return none;
    if (r.count == 0) return r;
    coalesce(&r);
    r.verdict = RANGE_SATISFIABLE;
    return r;
}

bool range_parse_single(struct view value, int64_t *first, int64_t *last)
{
    struct view set, spec, another;
    if (!range_set_of(value, &set) || !list_next(&set, &spec) || list_next(&set, &another)) return false;
    return spec_parse(spec, first, last);
}

/* A number that fits: a saturated one would make a length up. */
static bool position_parse(struct view v, int64_t *out)
{
    return view_parse_decimal(v, INT64_MAX, out) && *out < INT64_MAX;
}

bool content_range_parse(struct view value, struct content_range *out)
{
    static const struct view unit = { "bytes ", 6 };
    if (!view_starts_with_nocase(value, unit)) return false;
    struct view range_resp = view_after(value, unit.len);
    size_t slash = view_find(range_resp, 0, '/');
    if (slash == range_resp.len) return false;
    struct view positions = view_first(range_resp, slash), length = view_after(range_resp, slash + 1);
    bool length_known = !view_equal(length, VIEW("*"));
    struct content_range c = { .satisfied = !view_equal(positions, VIEW("*")), .length = -1 };
    if (length_known && !position_parse(length, &c.length)) return false;
    if (c.satisfied) {
        size_t dash = view_find(positions, 0, '-');
        if (dash == positions.len || !position_parse(view_first(positions, dash), &c.first)) return false;
        if (!position_parse(view_after(positions, dash + 1), &c.last) || c.first > c.last) return false;
        if (length_known && c.last >= c.length) return false;
    } else if (!length_known) {
        return false;
    }
    *out = c;
    return true;
}
