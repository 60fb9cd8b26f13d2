#include "proxy/simulate_log.h"

#include "headers/message.h"

static const char not_common[] = "no '[time] \"request\" status bytes'";
static const char not_key_size[] = "not a key and its size";
static const char not_any[] = "neither a line of an access log nor a key and its size";

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next run of anything but blanks, taken off the line. Empty at its end. */
static struct view take_word(struct view *line)
{
    size_t from = 0, to;
    while (from < line->len && is_blank(line->at[from])) from++;
    for (to = from; to < line->len && !is_blank(line->at[to]);) to++;
    struct view word = view_of(line->at + from, to - from);
    *line = view_after(*line, to);
    return word;
}

static bool read_bytes(struct view word, uint32_t *out)
{
    int64_t n;
    if (!view_parse_decimal(word, LOG_BYTES_MAX, &n)) return false;
    *out = (uint32_t)n;
    return true;
}

static enum log_verdict unreadable(struct log_line *out, const char *why)
{
    out->why = why;
    return LOG_UNREADABLE;
}

/* ---- KEY SIZE */

static enum log_verdict read_key_size(struct view line, struct log_line *out)
{
    out->key = take_word(&line);
    struct view bytes = take_word(&line);
    bool more = take_word(&line).len > 0;
    return !more && read_bytes(bytes, &out->bytes) ? LOG_REQUEST : unreadable(out, not_key_size);
}

/* ---- HOST IDENT USER [TIME] "METHOD TARGET VERSION" STATUS BYTES ... */

/* What stands between the quotation marks after the time, taken off the line together with them. A quotation mark in
 * it was written as \" or \x22. */
static bool take_request(struct view *line, struct view *request)
{
    size_t at = view_find(*line, view_find(*line, 0, '['), ']') + 1;
    while (at < line->len && is_blank(line->at[at])) at++;
    if (at >= line->len || line->at[at] != '"') return false;
    size_t from = at + 1, to = from;
    while (to < line->len && line->at[to] != '"') to += line->at[to] == '\\' ? 2 : 1;
    if (to >= line->len) return false;
    *request = view_of(line->at + from, to - from);
    *line = view_after(*line, to + 1);
    return true;
}

/* 304, like 206, was answered with less than the content; some other line tells its size. */
static bool is_for_a_cache(struct view method, struct view target, int64_t status)
{
    bool reads = view_equal(method, VIEW("GET")) || view_equal(method, VIEW("HEAD"));
    return reads && target.len > 0 && (status == 304 || status_is_heuristically_cacheable((int)status));
}

static enum log_verdict read_common(struct view line, struct log_line *out)
{
    struct view request;
    int64_t status;
    if (!take_request(&line, &request) || !view_parse_decimal(take_word(&line), 1000, &status))
        return unreadable(out, not_common);
    struct view bytes = take_word(&line);
    out->bytes = 0;
    if (!view_equal(bytes, VIEW("-")) && !read_bytes(bytes, &out->bytes)) return unreadable(out, not_common);
    struct view method = take_word(&request);
    out->key = take_word(&request);
    return is_for_a_cache(method, out->key, status) ? LOG_REQUEST : LOG_PASSED;
}

/* ---- either */

enum log_verdict log_line_read(enum log_format format, struct view line, struct log_line *out)
{
    if (format == LOG_KEY_SIZE) return read_key_size(line, out);
    enum log_verdict verdict = read_common(line, out);
    if (format == LOG_COMMON || verdict != LOG_UNREADABLE) return verdict;
    verdict = read_key_size(line, out);
    return verdict == LOG_UNREADABLE ? unreadable(out, not_any) : verdict;
}

bool log_format_named(const char *name, enum log_format *out)
{
    static const struct {
        const char *name;
        enum log_format format;
    } formats[] = { { "common", LOG_COMMON }, { "combined", LOG_COMMON }, { "key-size", LOG_KEY_SIZE } };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(name, formats[i].name) != 0) continue;
        *out = formats[i].format;
        return true;
    }
    return false;
}
