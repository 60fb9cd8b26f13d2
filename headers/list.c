#include "headers/list.h"

static bool is_blank_or_comma(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Index after the quoted-string that begins at `open`; v.len when it is not terminated. */
static size_t after_quoted(struct view v, size_t open)
{
    for (size_t i = open + 1; i < v.len; i++) {
        if (v.at[i] == '\\') {
            i++;
        } else if (v.at[i] == '"') {
            return i + 1;
        }
    }
    return v.len;
}

/* Index of the first c outside quoted strings; v.len when there is none. */
static size_t find_unquoted(struct view v, char c)
{
    size_t i = 0;
    while (i < v.len && v.at[i] != c) i = v.at[i] == '"' ? after_quoted(v, i) : i + 1;
    return i;
}

bool list_next(struct view *rest, struct view *member)
{
    size_t start = 0;
    while (start < rest->len && is_blank_or_comma(rest->at[start])) start++;
    *rest = view_after(*rest, start);
    if (rest->len == 0) return false;
    size_t end = find_unquoted(*rest, ',');
    *member = view_trim_ows(view_first(*rest, end));
    *rest = view_after(*rest, end);
    return true;
}

struct list_walk list_of(struct field_section s, enum field_id id)
{
    const struct field *line = field_first(s, id);
    return (struct list_walk){ s, line, line != NULL ? line->value : VIEW("") };
}

bool list_walk_next(struct list_walk *w, struct view *member)
{
    while (w->line != NULL) {
        if (list_next(&w->rest, member)) return true;
        w->line = field_next(w->section, w->line);
        if (w->line != NULL) w->rest = w->line->value;
    }
    return false;
}

void list_split_argument(struct view member, struct view *name, struct view *argument, bool *has_argument)
{
    size_t equals = find_unquoted(member, '=');
    *has_argument = equals < member.len;
    *name = view_first(member, equals);
    *argument = *has_argument ? view_after(member, equals + 1) : VIEW("");
}

/* qdtext or the second half of a quoted-pair, but for what needs the backslash: HTAB, SP, VCHAR, obs-text. */
static bool is_quotable(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= 0x20 && u != 0x7f);
}

int list_unquote(struct view v, char *to, size_t cap)
{
    if (v.len < 2 || v.at[0] != '"' || v.at[v.len - 1] != '"') return -1;
    size_t n = 0;
    for (size_t i = 1; i < v.len - 1; i++) {
        if (v.at[i] == '"') return -1;
        if (v.at[i] == '\\' && ++i == v.len - 1) return -1; /* the last quote is escaped: not terminated */
        if (!is_quotable(v.at[i]) || n == cap) return -1;
        to[n++] = v.at[i];
    }
    return (int)n;
}

bool list_has_token(struct field_section s, enum field_id id, struct view token)
{
    struct list_walk w = list_of(s, id);
    struct view member;
    while (list_walk_next(&w, &member)) {
        if (view_equal_nocase(member, token)) return true;
    }
    return false;
}
