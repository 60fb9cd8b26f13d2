#include "proxy/admin_explain.h"

#include <stdio.h>

static int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Into q->text, which has room for the whole query. A URL has no blanks, so in one that was not encoded "+" is itself. */
static bool decode(struct view encoded, bool plus_is_blank, struct explain_query *q, size_t *used, struct view *out)
{
    size_t begin = *used;
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.at[i];
        if (c == '%') {
            if (encoded.len - i < 3) return false;
            int high = hex_digit(encoded.at[i + 1]), low = hex_digit(encoded.at[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        q->text[(*used)++] = c;
    }
    *out = view_of(q->text + begin, *used - begin);
    return true;
}

static bool refuse(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s", what);
    return false;
}

static bool take_header(struct explain_query *q, struct view line, char *why, size_t cap)
{
    size_t colon = view_find(line, 0, ':');
    struct field f = { .name = view_first(line, colon), .value = view_trim_ows(view_after(line, colon + 1)) };
    if (colon == line.len || !field_name_is_valid(f.name) || !field_value_is_valid(f.value))
        return refuse(why, cap, "header: \"Name: value\" is needed");
    if (q->field_count == EXPLAIN_FIELDS_MAX - 1) return refuse(why, cap, "header: too many");
    f.id = field_id_of(f.name);
    q->fields[q->field_count++] = f;
    return true;
}

static bool take_argument(struct explain_query *q, struct view name, struct view value, size_t *used, char *why,
                          size_t cap)
{
    struct view text;
    bool is_url = view_equal(name, VIEW("url")), is_header = view_equal(name, VIEW("header"));
    if (!is_url && !is_header && !view_equal(name, VIEW("method"))) {
        snprintf(why, cap,
                 "unknown argument \"%.*s\": there are url, header and method; a '&' inside url is written %%26",
                 (int)(name.len < 64 ? name.len : 64), name.at);
        return false;
    }
    if (!decode(value, !is_url, q, used, &text)) return refuse(why, cap, "'%' without two hexadecimal digits");
    if (is_header) return take_header(q, text, why, cap);
    if (is_url) {
        if (q->url.len > 0) return refuse(why, cap, "url: only one");
        q->url = text;
        return true;
    }
    if (!view_is_token(text)) return refuse(why, cap, "method: not the name of a method");
    q->method = text;
    return true;
}

bool explain_query_read(struct view query, struct explain_query *out, char *why, size_t cap)
{
    size_t used = 0;
    out->url = VIEW("");
    out->method = VIEW("GET");
    out->field_count = 0;
    if (query.len > sizeof out->text) return refuse(why, cap, "the query is too long");
    while (query.len > 0) {
        size_t end = view_find(query, 0, '&');
        struct view argument = view_first(query, end);
        query = view_after(query, end < query.len ? end + 1 : end);
        size_t equals = view_find(argument, 0, '=');
        if (argument.len == 0) continue;
        struct view value = view_after(argument, equals < argument.len ? equals + 1 : equals);
        if (!take_argument(out, view_first(argument, equals), value, &used, why, cap)) return false;
    }
    if (out->url.len == 0) return refuse(why, cap, "url: which URL is to be explained?");
    return true;
}
