#include "cache/key_rules.h"

/* Linear in the name for each "*": the latest one takes as little as it can, and one character more when that fails. */
bool key_name_matches(struct view pattern, struct view name)
{
    size_t p = 0, n = 0, star = pattern.len, taken = 0;
    while (n < name.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.len && pattern.at[p] == name.at[n]) {
            p++;
            n++;
        } else if (star < pattern.len) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') p++;
    return p == pattern.len;
}

static bool matches_any(struct views patterns, struct view name)
{
    for (size_t i = 0; i < patterns.count; i++)
        if (key_name_matches(patterns.at[i], name)) return true;
    return false;
}

static struct view name_of(struct view parameter)
{
    return view_first(parameter, view_find(parameter, 0, '='));
}

static bool is_kept(const struct key_rules *k, struct view name)
{
    if (k->keep_only && !matches_any(k->keep, name)) return false;
    return !matches_any(k->drop, name);
}

static bool comes_before(struct view a, struct view b)
{
    struct view x = name_of(a), y = name_of(b);
    size_t shorter = x.len < y.len ? x.len : y.len;
    int order = shorter > 0 ? memcmp(x.at, y.at, shorter) : 0;
    return order < 0 || (order == 0 && x.len < y.len);
}

/* @return how many; -1: more than there is room for */
static int select_parameters(struct view query, const struct key_rules *k, struct view *out)
{
    int count = 0;
    for (size_t from = 0; from <= query.len;) {
        size_t end = view_find(query, from, '&');
        struct view parameter = view_of(query.at + from, end - from);
        from = end + 1;
        if (parameter.len == 0 || !is_kept(k, name_of(parameter))) continue;
        if (count == KEY_PARAMETERS_MAX) return -1;
        int at = count++;
        for (; k->sort_query && at > 0 && comes_before(parameter, out[at - 1]); at--) out[at] = out[at - 1];
        out[at] = parameter;
    }
    return count;
}

int key_query(struct view query, const struct key_rules *k, char *to, size_t cap)
{
    struct view parameters[KEY_PARAMETERS_MAX];
    if (query.len == 0) return 0;
    int count = select_parameters(query, k, parameters);
    size_t used = 0;
    if (count < 0) {
        parameters[0] = query;
        count = 1;
    }
    for (int i = 0; i < count; i++) {
        if (parameters[i].len + 1 > cap - used) return -1;
        if (i > 0) to[used++] = '&';
        memcpy(to + used, parameters[i].at, parameters[i].len);
        used += parameters[i].len;
    }
    return (int)used;
}

bool key_cookie(struct field_section request, struct view name, struct view *value)
{
    for (const struct field *f = field_first(request, FIELD_COOKIE); f != NULL; f = field_next(request, f)) {
        for (size_t from = 0; from < f->value.len;) {
            size_t end = view_find(f->value, from, ';');
            struct view pair = view_trim_ows(view_of(f->value.at + from, end - from));
            struct view this_name = name_of(pair);
            from = end + 1;
            if (this_name.len == pair.len || !view_equal(view_trim_ows(this_name), name)) continue;
            *value = view_trim_ows(view_after(pair, this_name.len + 1));
            return true;
        }
    }
    return false;
}
