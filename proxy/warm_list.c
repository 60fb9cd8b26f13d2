#include "proxy/warm.h"

#include <stdlib.h>

bool warm_list_add_url(struct warm_list *l, struct view url)
{
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct view *grown = realloc(l->urls, cap * sizeof *grown);
        if (grown == NULL) return false;
        l->urls = grown;
        l->cap = cap;
    }
    l->urls[l->count++] = url;
    return true;
}

void warm_list_free(struct warm_list *l)
{
    free(l->urls);
    *l = (struct warm_list){ 0 };
}

static struct view trim(struct view v)
{
    while (v.len > 0 && (unsigned char)v.at[0] <= ' ') v = view_after(v, 1);
    while (v.len > 0 && (unsigned char)v.at[v.len - 1] <= ' ') v.len--;
    return v;
}

/* The five entities that XML knows by name, shorter once they are undone. @return the new length */
static size_t undo_entities(char *at, size_t len)
{
    static const struct {
        struct view name;
        char means;
    } entities[] = { { VIEW("&amp;"), '&' },
                     { VIEW("&lt;"), '<' },
                     { VIEW("&gt;"), '>' },
                     { VIEW("&quot;"), '"' },
                     { VIEW("&apos;"), '\'' } };
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        char c = at[i];
        size_t taken = 1;
        for (size_t e = 0; c == '&' && taken == 1 && e < sizeof entities / sizeof *entities; e++) {
            if (!view_starts_with(view_of(at + i, len - i), entities[e].name)) continue;
            c = entities[e].means;
            taken = entities[e].name.len;
        }
        at[used++] = c;
        i += taken;
    }
    return used;
}

static bool add_sitemap(struct warm_list *l, char *at, const char *end)
{
    static const char open[] = "<loc>", close[] = "</loc>";
    while ((at = memmem(at, (size_t)(end - at), open, sizeof open - 1)) != NULL) {
        at += sizeof open - 1;
        char *to = memmem(at, (size_t)(end - at), close, sizeof close - 1);
        if (to == NULL) return true;
        if (!warm_list_add_url(l, trim(view_of(at, undo_entities(at, (size_t)(to - at)))))) return false;
        at = to;
    }
    return true;
}

bool warm_list_add(struct warm_list *l, char *text, size_t len)
{
    struct view rest = view_of(text, len);
    if (len > 0 && memmem(text, len, "<loc>", 5) != NULL) return add_sitemap(l, text, text + len);
    while (rest.len > 0) {
        size_t end = view_find(rest, 0, '\n');
        struct view line = trim(view_first(rest, end));
        rest = view_after(rest, end < rest.len ? end + 1 : end);
        if (line.len > 0 && line.at[0] != '#' && !warm_list_add_url(l, line)) return false;
    }
    return true;
}
