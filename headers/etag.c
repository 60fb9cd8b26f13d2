#include "headers/etag.h"

static const struct view weak_prefix = { "W/", 2 };

bool etag_is_weak(struct view etag)
{
    return view_starts_with(etag, weak_prefix);
}

static struct view without_weak_prefix(struct view etag)
{
    return etag_is_weak(etag) ? view_after(etag, weak_prefix.len) : etag;
}

/* etagc: any visible byte but DQUOTE, and obs-text. */
static bool is_etagc(char c)
{
    unsigned char u = (unsigned char)c;
    return u == 0x21 || (u >= 0x23 && u != 0x7f);
}

bool etag_is_valid(struct view etag)
{
    struct view opaque = without_weak_prefix(etag);
    if (opaque.len < 2 || opaque.at[0] != '"' || opaque.at[opaque.len - 1] != '"') return false;
    for (size_t i = 1; i < opaque.len - 1; i++) {
        if (!is_etagc(opaque.at[i])) return false;
    }
    return true;
}

bool etag_match_weak(struct view a, struct view b)
{
    if (!etag_is_valid(a) || !etag_is_valid(b)) return view_equal(a, b);
    return view_equal(without_weak_prefix(a), without_weak_prefix(b));
}

bool etag_match_strong(struct view a, struct view b)
{
    return !etag_is_weak(a) && view_equal(a, b);
}

/* Length of the member that begins at v: up to a comma that is not between the quotes of a tag. */
static size_t member_len(struct view v)
{
    size_t open = etag_is_weak(v) ? weak_prefix.len : 0;
    size_t from = open;
    if (open < v.len && v.at[open] == '"') from = view_find(v, open + 1, '"');
    return view_find(v, from, ',');
}

static bool next_tag(struct view *rest, struct view *tag)
{
    while (rest->len > 0 && (rest->at[0] == ',' || rest->at[0] == ' ' || rest->at[0] == '\t'))
        *rest = view_after(*rest, 1);
    if (rest->len == 0) return false;
    size_t n = member_len(*rest);
    *tag = view_trim_ows(view_first(*rest, n));
    *rest = view_after(*rest, n);
    return true;
}

static bool line_names(struct view value, struct view etag, bool strong)
{
    struct view tag;
    while (next_tag(&value, &tag)) {
        if (strong ? etag_match_strong(tag, etag) : etag_match_weak(tag, etag)) return true;
    }
    return false;
}

enum etag_list_match etag_list_find(struct field_section s, enum field_id id, struct view etag, bool strong)
{
    const struct field *line = field_first(s, id);
    if (line != NULL && view_equal(line->value, VIEW("*")) && field_next(s, line) == NULL) return ETAG_LIST_ANY;
    if (etag.len == 0) return ETAG_LIST_NONE;
    for (; line != NULL; line = field_next(s, line)) {
        if (line_names(line->value, etag, strong)) return ETAG_LIST_MATCH;
    }
    return ETAG_LIST_NONE;
}
