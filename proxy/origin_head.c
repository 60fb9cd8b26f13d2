#include "proxy/origin_head.h"

#include "cache/record.h"
#include "headers/list.h"
#include "proxy/origin.h"

_Static_assert((int)ORIGIN_REPLY_HEAD_MAX <= (int)RECORD_VALUE_MAX, "any value can be stored");

/* Digits of a length that is surely below 2^63; nobody sends more. */
enum { LENGTH_DIGITS_MAX = 18 };

void origin_head_begin(struct origin_head *h)
{
    h->status = 0;
    h->received = h->count = h->used = 0;
}

/* status-line = "HTTP/1." DIGIT SP 3DIGIT [ SP reason-phrase ]; RFC 9112 §4. Servers that leave out the last SP are
 * many and mean no harm. */
static const char *take_status_line(struct origin_head *h, struct view line)
{
    static const char shape[] = "HTTP/1.x ddd";
    if (line.len < sizeof(shape) - 1 || !view_starts_with(line, VIEW("HTTP/1."))) return "not an HTTP/1 status line";
    if ((line.at[7] != '0' && line.at[7] != '1') || line.at[8] != ' ') return "not HTTP/1.0 or HTTP/1.1";
    int64_t status;
    if (!view_parse_decimal(view_of(line.at + 9, 3), 999, &status)) return "a status code that is not a number";
    if (line.len > 12 && line.at[12] != ' ') return "a status code of more than three digits";
    if (status < 100 || status > 599) return "a status code outside 100 to 599"; /* RFC 9110 §15 */
    h->http_minor = line.at[7] - '0';
    h->status = (int)status;
    return NULL;
}

/* The limit on `received` is the size of text, and a value is never longer than its line: this always fits. */
static struct view keep(struct origin_head *h, struct view v)
{
    char *at = h->text + h->used;
    if (v.len > 0) memcpy(at, v.at, v.len);
    h->used += v.len;
    return view_of(at, v.len);
}

static bool is_framing(enum field_id id)
{
    return id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING;
}

/* obs-fold: replaced by one SP (RFC 9112 §5.2). The text of the value before is the last one kept, so it just grows. */
static const char *take_folded(struct origin_head *h, struct view line)
{
    if (h->count == 0) return "blanks before the first field";
    struct field *f = &h->lines[h->count - 1];
    if (is_framing(f->id)) return "a folded length";
    struct view more = view_trim_ows(line);
    if (!field_value_is_valid(more)) return "a control character in a field";
    if (more.len == 0) return NULL;
    if (f->value.len > 0) keep(h, VIEW(" "));
    f->value.len += f->value.len > 0;
    f->value.len += keep(h, more).len;
    return NULL;
}

static const char *take_field(struct origin_head *h, struct view line)
{
    size_t colon = view_find(line, 0, ':');
    if (colon == line.len) return "a field without a colon";
    /* Blanks before the colon are taken off (RFC 9112 §5.1), but not where libraries differ about the framing. */
    struct view name = view_trim_ows(view_first(line, colon));
    struct view value = view_trim_ows(view_after(line, colon + 1));
    if (name.len > RECORD_NAME_MAX) return "a field name that is too long";
    if (!field_name_is_valid(name)) return "a field name that is not a token";
    if (!field_value_is_valid(value)) return "a control character in a field";
    enum field_id id = field_id_of(name);
    if (is_framing(id) && name.len < colon) return "blanks before the colon of a length";
    if (h->count == ORIGIN_REPLY_FIELDS_MAX) return "too many fields";
    struct field *f = &h->lines[h->count++];
    f->id = id;
    f->name = keep(h, name);
    f->value = keep(h, value);
    return NULL;
}

/* A line ends with CRLF; a lone LF may be taken for it (RFC 9112 §2.2). */
static struct view without_line_end(struct view line)
{
    if (line.len > 0 && line.at[line.len - 1] == '\n') line.len--;
    if (line.len > 0 && line.at[line.len - 1] == '\r') line.len--;
    return line;
}

const char *origin_head_line(struct origin_head *h, struct view line, bool *ended)
{
    *ended = false;
    h->received += line.len;
    if (h->received > ORIGIN_REPLY_HEAD_MAX) return "the head is too large";
    line = without_line_end(line);
    if (h->status == 0) return take_status_line(h, line);
    if (line.len == 0) {
        *ended = true;
        return NULL;
    }
    bool folded = line.at[0] == ' ' || line.at[0] == '\t';
    return folded ? take_folded(h, line) : take_field(h, line);
}

/* "chunked" and nothing else: of any other coding we could not tell where the content ends (RFC 9112 §6.1). */
static const char *check_transfer_encoding(const struct origin_head *h, bool *chunked)
{
    const struct field *f = field_first(origin_head_fields(h), FIELD_TRANSFER_ENCODING);
    *chunked = f != NULL;
    if (f == NULL) return NULL;
    if (h->http_minor == 0) return "Transfer-Encoding in HTTP/1.0";
    if (field_next(origin_head_fields(h), f) != NULL) return "more than one Transfer-Encoding";
    return view_equal_nocase(f->value, VIEW("chunked")) ? NULL : "a transfer coding other than chunked";
}

/* Several lines that say the same are one (RFC 9110 §8.6); a list, a sign or anything else is not a length. */
static const char *check_content_length(struct field_section s, int64_t *length)
{
    const struct field *f = field_first(s, FIELD_CONTENT_LENGTH);
    *length = -1;
    if (f == NULL) return NULL;
    if (f->value.len > LENGTH_DIGITS_MAX) return "a Content-Length that is too large";
    if (!view_parse_decimal(f->value, INT64_MAX, length)) return "a Content-Length that is not a number";
    for (const struct field *g = field_next(s, f); g != NULL; g = field_next(s, g)) {
        if (!view_equal(f->value, g->value)) return "Content-Length lines that differ";
    }
    return NULL;
}

const char *origin_head_framing(const struct origin_head *h, int64_t *length)
{
    struct field_section s = origin_head_fields(h);
    bool chunked;
    const char *why = check_transfer_encoding(h, &chunked);
    if (why == NULL) why = check_content_length(s, length);
    if (why != NULL) return why;
    /* RFC 9110 §8.6, RFC 9112 §6.1: no interim response has a length, and one that has misleads about the next. */
    if (h->status < 200 && (chunked || *length >= 0)) return "an interim response with a length";
    if (chunked) *length = -1; /* RFC 9112 §6.3: overrides Content-Length */
    if (h->status < 200 || h->status == 204) *length = 0;
    return NULL;
}

bool origin_head_misleads(const struct origin_head *h)
{
    struct field_section s = origin_head_fields(h);
    const struct field *length = field_first(s, FIELD_CONTENT_LENGTH);
    if (h->status != 204) return false;
    return field_first(s, FIELD_TRANSFER_ENCODING) != NULL || (length != NULL && !view_equal(length->value, VIEW("0")));
}
