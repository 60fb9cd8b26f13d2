#include "headers/view.h"

enum { IS_TCHAR = 1, IS_DIGIT = 2 };

/* tchar, RFC 9110 §5.6.2. */
static const uint8_t classes[256] = {
    ['!'] = IS_TCHAR,         ['#'] = IS_TCHAR,         ['$'] = IS_TCHAR, ['%'] = IS_TCHAR,
    ['&'] = IS_TCHAR,         ['\''] = IS_TCHAR,        ['*'] = IS_TCHAR, ['+'] = IS_TCHAR,
    ['-'] = IS_TCHAR,         ['.'] = IS_TCHAR,         ['^'] = IS_TCHAR, ['_'] = IS_TCHAR,
    ['`'] = IS_TCHAR,         ['|'] = IS_TCHAR,         ['~'] = IS_TCHAR, ['0' ... '9'] = IS_TCHAR | IS_DIGIT,
    ['A' ... 'Z'] = IS_TCHAR, ['a' ... 'z'] = IS_TCHAR,
};

char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool is_digit(char c)
{
    return (classes[(unsigned char)c] & IS_DIGIT) != 0;
}

bool is_tchar(char c)
{
    return (classes[(unsigned char)c] & IS_TCHAR) != 0;
}

static bool same_bytes_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i])) return false;
    }
    return true;
}

bool view_equal_nocase(struct view a, struct view b)
{
    return a.len == b.len && same_bytes_nocase(a.at, b.at, a.len);
}

bool view_starts_with(struct view v, struct view prefix)
{
    return v.len >= prefix.len && view_equal(view_first(v, prefix.len), prefix);
}

bool view_starts_with_nocase(struct view v, struct view prefix)
{
    return v.len >= prefix.len && same_bytes_nocase(v.at, prefix.at, prefix.len);
}

size_t view_find(struct view v, size_t from, char c)
{
    if (from >= v.len) return v.len;
    const char *found = memchr(v.at + from, c, v.len - from);
    return found != NULL ? (size_t)(found - v.at) : v.len;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct view view_trim_ows(struct view v)
{
    while (v.len > 0 && is_ows(v.at[0])) v = view_after(v, 1);
    while (v.len > 0 && is_ows(v.at[v.len - 1])) v.len--;
    return v;
}

struct view view_after(struct view v, size_t n)
{
    if (n == 0) return v; /* v.at may be NULL */
    if (n > v.len) n = v.len;
    return v.len == 0 ? v : (struct view){ v.at + n, v.len - n };
}

struct view view_first(struct view v, size_t n)
{
    return (struct view){ v.at, n < v.len ? n : v.len };
}

bool view_is_ascii(struct view v)
{
    unsigned char all = 0;
    for (size_t i = 0; i < v.len; i++) all |= (unsigned char)v.at[i];
    return all < 0x80;
}

bool view_is_token(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (!is_tchar(v.at[i])) return false;
    }
    return v.len > 0;
}

bool view_parse_decimal(struct view v, int64_t max, int64_t *out)
{
    if (v.len == 0) return false;
    int64_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.at[i])) return false;
        int64_t digit = v.at[i] - '0';
        n = n > (max - digit) / 10 ? max : n * 10 + digit;
    }
    *out = n;
    return true;
}

struct view view_copy(struct view v, char **at)
{
    char *to = *at;
    if (v.len > 0) memcpy(to, v.at, v.len);
    to[v.len] = '\0';
    *at += v.len + 1;
    return view_of(to, v.len);
}
