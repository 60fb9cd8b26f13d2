#include "tests/bench/response.h"

#include <strings.h>

enum { STATUS_LINE_MIN = sizeof "HTTP/1.1 200" - 1 };

static int status_read(struct view head)
{
    if (head.len < STATUS_LINE_MIN || memcmp(head.at, "HTTP/1.1 ", 9) != 0) return 0;
    int status = 0;
    for (size_t i = 9; i < STATUS_LINE_MIN; i++) {
        if (head.at[i] < '0' || head.at[i] > '9') return 0;
        status = status * 10 + (head.at[i] - '0');
    }
    return status;
}

/* The value of a field line, without the white space before it; empty when the line is another field's. */
static struct view value_of(struct view line, struct view name)
{
    if (line.len <= name.len || line.at[name.len] != ':' || strncasecmp(line.at, name.at, name.len) != 0)
        return view_of(NULL, 0);
    size_t at = name.len + 1;
    while (at < line.len && (line.at[at] == ' ' || line.at[at] == '\t')) at++;
    return view_of(line.at + at, line.len - at);
}

static void length_read(struct view value, struct response_facts *out)
{
    if (value.len == 0 || value.len > 18) return; /* 18 digits fit into 64 bits */
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') return;
        n = n * 10 + (uint64_t)(value.at[i] - '0');
    }
    out->has_length = true;
    out->length = n;
}

static void line_read(struct view line, struct response_facts *out)
{
    /* The letters of the two names: most lines are done with after one comparison. */
    if (line.len == 0 || (line.at[0] | 0x20) != 'c') return;
    struct view length = value_of(line, VIEW("Content-Length"));
    struct view connection = value_of(line, VIEW("Connection"));
    if (length.len > 0) length_read(length, out);
    if (connection.len == 5 && strncasecmp(connection.at, "close", 5) == 0) out->is_last = true;
}

struct response_facts response_read(struct view bytes)
{
    struct response_facts out = { 0 };
    const char *end = memmem(bytes.at, bytes.len, "\r\n\r\n", 4);
    if (end == NULL) return out;
    out.head_len = (size_t)(end - bytes.at) + 4;
    out.status = status_read(view_of(bytes.at, out.head_len));
    for (const char *at = bytes.at; at < end;) {
        const char *stop = memchr(at, '\r', (size_t)(end + 1 - at));
        line_read(view_of(at, (size_t)(stop - at)), &out);
        at = stop + 2;
    }
    return out;
}

bool status_has_content(int status)
{
    return status >= 200 && status != 204 && status != 304;
}
