#include "proxy/config_report.h"

#include <stdarg.h>

void report_at(struct config_report *r, struct place p, const char *format, ...)
{
    if (r->count == REPORT_LINES_MAX) {
        r->more++;
        return;
    }
    r->places[r->count] = p;
    char *line = r->lines[r->count++];
    int n = p.line > 0 ? snprintf(line, REPORT_LINE_MAX, "%.200s:%u:%u: ", p.file, p.line, p.column)
                       : snprintf(line, REPORT_LINE_MAX, "%.200s: ", p.file);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, REPORT_LINE_MAX - (size_t)n, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?'; /* one line, and nothing that steers a terminal */
}

static bool comes_before(const struct place *a, const struct place *b)
{
    if (a->file != b->file && strcmp(a->file, b->file) != 0) return false;
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

void report_sort(struct config_report *r)
{
    char line[REPORT_LINE_MAX];
    for (size_t i = 1; i < r->count; i++) {
        struct place p = r->places[i];
        size_t at = i;
        while (at > 0 && comes_before(&p, &r->places[at - 1])) at--;
        if (at == i) continue;
        memcpy(line, r->lines[i], sizeof line);
        memmove(r->lines[at + 1], r->lines[at], (i - at) * sizeof r->lines[0]);
        memmove(&r->places[at + 1], &r->places[at], (i - at) * sizeof r->places[0]);
        memcpy(r->lines[at], line, sizeof line);
        r->places[at] = p;
    }
}

void report_print(const struct config_report *r, const char *prefix, FILE *to)
{
    for (size_t i = 0; i < r->count; i++) fprintf(to, "%s%s\n", prefix, r->lines[i]);
    if (r->more > 0) fprintf(to, "%sand %zu more\n", prefix, r->more);
}

enum { NAME_MAX_LEN = 40 };

/* Levenshtein's distance, two neighbours swapped counting as one change (optimal string alignment). */
static size_t distance(struct view a, struct view b)
{
    size_t rows[3][NAME_MAX_LEN + 1];
    for (size_t j = 0; j <= b.len; j++) rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = ascii_lower(a.at[i - 1]) == ascii_lower(b.at[j - 1]);
            size_t best = before[j - 1] + !same;
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1];
            if (swapped && earlier[j - 2] + 1 < best) best = earlier[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

/* "max_memory" for "memory": one word of the other. */
static bool contains(struct view whole, struct view part)
{
    if (part.len < 4) return false;
    for (size_t i = 0; i + part.len <= whole.len; i++)
        if (view_equal_nocase(view_of(whole.at + i, part.len), part)) return true;
    return false;
}

const char *report_suggest(struct view unknown, const char *const *known, size_t n)
{
    const char *nearest = NULL;
    size_t least = unknown.len < 4 ? 2 : 1 + unknown.len / 3 + 1;
    if (unknown.len == 0 || unknown.len > NAME_MAX_LEN) return NULL;
    for (size_t i = 0; i < n; i++) {
        struct view name = view_of_str(known[i]);
        if (name.len > NAME_MAX_LEN) continue;
        size_t d = distance(unknown, name);
        if (d >= least) continue;
        least = d;
        nearest = known[i];
    }
    for (size_t i = 0; nearest == NULL && i < n; i++) {
        struct view name = view_of_str(known[i]);
        if (contains(unknown, name) || contains(name, unknown)) nearest = known[i];
    }
    return nearest;
}
