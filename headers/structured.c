#include "headers/structured.h"

enum { INTEGER_DIGITS_MAX = 15, DECIMAL_WHOLE_DIGITS_MAX = 12, DECIMAL_FRACTION_DIGITS_MAX = 3 }; /* RFC 9651 §3.3.1 */

/* What is left of one field line. Every parser below cuts what it reads off it, and is false when parsing fails. */
struct cursor {
    struct view rest;
};

static char peek(const struct cursor *c)
{
    return c->rest.len > 0 ? c->rest.at[0] : '\0';
}

static void skip(struct cursor *c, size_t n)
{
    c->rest = view_after(c->rest, n);
}

static bool take(struct cursor *c, char wanted)
{
    if (c->rest.len == 0 || c->rest.at[0] != wanted) return false;
    skip(c, 1);
    return true;
}

static void skip_sp(struct cursor *c)
{
    while (take(c, ' ')) {
    }
}

static void skip_ows(struct cursor *c)
{
    while (take(c, ' ') || take(c, '\t')) {
    }
}

/* Cut n bytes off. */
static struct view cut(struct cursor *c, size_t n)
{
    struct view v = view_first(c->rest, n);
    skip(c, n);
    return v;
}

static bool is_lcalpha(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lcalpha(ascii_lower(c));
}

/* key, RFC 9651 §4.2.3.3. */
static bool parse_key(struct cursor *c, struct view *key)
{
    size_t n = 0;
    if (!is_lcalpha(peek(c)) && peek(c) != '*') return false;
    while (n < c->rest.len &&
           (is_lcalpha(c->rest.at[n]) || is_digit(c->rest.at[n]) || memchr("_-.*", c->rest.at[n], 4) != NULL)) {
        n++;
    }
    *key = cut(c, n);
    return true;
}

static struct view cut_digits(struct cursor *c)
{
    size_t n = 0;
    while (n < c->rest.len && is_digit(c->rest.at[n])) n++;
    return cut(c, n);
}

/* sf-integer or sf-decimal, §4.2.4. A decimal keeps its whole part. */
static bool parse_number(struct cursor *c, struct sf_item *item)
{
    bool negative = take(c, '-');
    struct view whole = cut_digits(c);
    item->type = SF_INTEGER;
    if (whole.len > INTEGER_DIGITS_MAX || !view_parse_decimal(whole, INT64_MAX, &item->integer)) return false;
    if (negative) item->integer = -item->integer;
    if (!take(c, '.')) return true;
    item->type = SF_DECIMAL;
    size_t fraction_digits = cut_digits(c).len;
    return whole.len <= DECIMAL_WHOLE_DIGITS_MAX && fraction_digits >= 1 &&
           fraction_digits <= DECIMAL_FRACTION_DIGITS_MAX;
}

/* sf-string, §4.2.5. */
static bool parse_string(struct cursor *c, struct sf_item *item)
{
    skip(c, 1);
    struct view v = c->rest;
    size_t n = 0;
    while (n < v.len && v.at[n] != '"') {
        unsigned char u = (unsigned char)v.at[n++];
        if (u < 0x20 || u > 0x7e) return false;
        if (u == '\\' && (n == v.len || (v.at[n] != '"' && v.at[n] != '\\'))) return false;
        if (u == '\\') n++;
    }
    item->type = SF_STRING;
    item->text = cut(c, n);
    return take(c, '"');
}

/* sf-token, §4.2.6. */
static bool parse_token(struct cursor *c, struct sf_item *item)
{
    size_t n = 0;
    while (n < c->rest.len && (is_tchar(c->rest.at[n]) || c->rest.at[n] == ':' || c->rest.at[n] == '/')) n++;
    item->type = SF_TOKEN;
    item->text = cut(c, n);
    return true;
}

/* sf-binary, §4.2.7: the base64 is checked letter by letter, not decoded. */
static bool parse_bytes(struct cursor *c, struct sf_item *item)
{
    skip(c, 1);
    size_t end = view_find(c->rest, 0, ':');
    item->type = SF_BYTES;
    item->text = cut(c, end);
    for (size_t i = 0; i < item->text.len; i++) {
        char letter = item->text.at[i];
        if (!is_alpha(letter) && !is_digit(letter) && letter != '+' && letter != '/' && letter != '=') return false;
    }
    return take(c, ':');
}

static bool parse_boolean(struct cursor *c, struct sf_item *item)
{
    skip(c, 1);
    item->type = SF_BOOLEAN;
    item->integer = peek(c) == '1';
    return take(c, '1') || take(c, '0');
}

/* sf-date, RFC 9651 §4.2.9: an integer of seconds. */
static bool parse_date(struct cursor *c, struct sf_item *item)
{
    skip(c, 1);
    if (!parse_number(c, item) || item->type != SF_INTEGER) return false;
    item->type = SF_DATE;
    return true;
}

static bool is_lower_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* sf-displaystring, §4.2.10: %"...", %-escapes in lower case; the UTF-8 they spell is not looked at. */
static bool parse_display(struct cursor *c, struct sf_item *item)
{
    skip(c, 1);
    if (!take(c, '"')) return false;
    struct view v = c->rest;
    size_t n = 0;
    for (; n < v.len && v.at[n] != '"'; n++) {
        unsigned char u = (unsigned char)v.at[n];
        if (u < 0x20 || u > 0x7e) return false;
        if (u != '%') continue;
        if (v.len - n < 3 || !is_lower_hex(v.at[n + 1]) || !is_lower_hex(v.at[n + 2])) return false;
        n += 2;
    }
    item->type = SF_DISPLAY;
    item->text = cut(c, n);
    return take(c, '"');
}

/* bare-item, §4.2.3.1. */
static bool parse_bare_item(struct cursor *c, struct sf_item *item)
{
    char first = peek(c);
    *item = (struct sf_item){ .type = SF_BOOLEAN };
    switch (first) {
    case '"': return parse_string(c, item);
    case ':': return parse_bytes(c, item);
    case '?': return parse_boolean(c, item);
    case '@': return parse_date(c, item);
    case '%': return parse_display(c, item);
    case '*': return parse_token(c, item);
    default: return is_alpha(first) ? parse_token(c, item) : parse_number(c, item);
    }
}

/* parameters, §4.2.3.2: read for their errors only. */
static bool parse_parameters(struct cursor *c)
{
    struct view key;
    struct sf_item value;
    while (take(c, ';')) {
        skip_sp(c);
        if (!parse_key(c, &key)) return false;
        if (take(c, '=') && !parse_bare_item(c, &value)) return false;
    }
    return true;
}

/* inner-list, §4.2.1.2: read for its errors only. */
static bool parse_inner_list(struct cursor *c, struct sf_item *item)
{
    struct sf_item inner;
    *item = (struct sf_item){ .type = SF_INNER_LIST };
    skip(c, 1);
    for (;;) {
        skip_sp(c);
        if (take(c, ')')) return true;
        if (!parse_bare_item(c, &inner) || !parse_parameters(c)) return false;
        if (peek(c) != ' ' && peek(c) != ')') return false;
    }
}

static bool parse_item_or_inner_list(struct cursor *c, struct sf_item *item)
{
    bool parsed = peek(c) == '(' ? parse_inner_list(c, item) : parse_bare_item(c, item);
    return parsed && parse_parameters(c);
}

/* Between two members, or at the end of the line: a comma must have a member after it. */
static bool parse_separator(struct cursor *c)
{
    skip_ows(c);
    if (c->rest.len == 0) return true;
    if (!take(c, ',')) return false;
    skip_ows(c);
    return c->rest.len > 0;
}

struct dictionary {
    struct sf_member *members;
    size_t count, cap;
};

/* The place of `key`: the one it already has, or a new one; NULL when there is no room. */
static struct sf_member *place_of(struct dictionary *d, struct view key)
{
    for (size_t i = 0; i < d->count; i++) {
        if (view_equal(d->members[i].key, key)) return &d->members[i];
    }
    return d->count < d->cap ? &d->members[d->count++] : NULL;
}

static bool parse_member(struct cursor *c, struct dictionary *d)
{
    struct view key;
    if (!parse_key(c, &key)) return false;
    struct sf_member *member = place_of(d, key);
    if (member == NULL) return false;
    *member = (struct sf_member){ key, { .type = SF_BOOLEAN, .integer = 1 } };
    return take(c, '=') ? parse_item_or_inner_list(c, &member->item) : parse_parameters(c);
}

int sf_dictionary_parse(struct field_section s, enum field_id id, struct sf_member *out, size_t cap)
{
    struct dictionary d = { out, 0, cap };
    for (const struct field *line = field_first(s, id); line != NULL; line = field_next(s, line)) {
        struct cursor c = { line->value };
        skip_sp(&c);
        while (c.rest.len > 0) {
            if (!parse_member(&c, &d) || !parse_separator(&c)) return -1;
        }
    }
    return (int)d.count;
}

int sf_list_parse(struct field_section s, enum field_id id, struct sf_item *out, size_t cap)
{
    size_t count = 0;
    for (const struct field *line = field_first(s, id); line != NULL; line = field_next(s, line)) {
        struct cursor c = { line->value };
        skip_sp(&c);
        while (c.rest.len > 0) {
            if (count == cap || !parse_item_or_inner_list(&c, &out[count++]) || !parse_separator(&c)) return -1;
        }
    }
    return (int)count;
}

int sf_string_text(struct view text, char *to, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '\\' && i + 1 < text.len) i++;
        if (n == cap) return -1;
        to[n++] = text.at[i];
    }
    return (int)n;
}
