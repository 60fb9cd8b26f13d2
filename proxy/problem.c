#include "proxy/problem.h"

#include <stdio.h>

struct status_row {
    int status;
    const char *title;
};

static const struct status_row titles[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 103, "Early Hints" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 203, "Non-Authoritative Information" },
    { 204, "No Content" },
    { 205, "Reset Content" },
    { 206, "Partial Content" },
    { 300, "Multiple Choices" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 402, "Payment Required" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 407, "Proxy Authentication Required" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 421, "Misdirected Request" },
    { 422, "Unprocessable Content" },
    { 425, "Too Early" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 507, "Insufficient Storage" },
    { 508, "Loop Detected" },
    { 511, "Network Authentication Required" },
};

/* RFC 9110 §15: a status code that is not understood is read as the x00 of its class. */
static const char *const class_titles[] = { "Unknown",     "Informational", "Success",
                                            "Redirection", "Client Error",  "Server Error" };

const char *status_title(int status)
{
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (titles[i].status == status) return titles[i].title;
    }
    return class_titles[status >= 100 && status <= 599 ? status / 100 : 0];
}

struct json {
    char *at;
    size_t used, cap; /* one byte of the room is kept for the NUL */
    bool full;        /* once something did not fit, nothing more goes in */
};

static bool json_put(struct json *j, const char *bytes, size_t len)
{
    if (j->full || len > j->cap - j->used) {
        j->full = true;
        return false;
    }
    memcpy(j->at + j->used, bytes, len);
    j->used += len;
    return true;
}

static void json_put_str(struct json *j, const char *s)
{
    (void)json_put(j, s, strlen(s)); /* full is asked for at the end */
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The number of bytes of the UTF-8 character at s (RFC 3629); 0 when there is none. s ends with a NUL. */
static size_t utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) return is_continuation(s[1]) ? 2 : 0;
    if ((s[0] & 0xf0) == 0xe0) {
        if (s[0] == 0xe0 && s[1] < 0xa0) return 0; /* longer than it need be */
        if (s[0] == 0xed && s[1] > 0x9f) return 0; /* a surrogate */
        return is_continuation(s[1]) && is_continuation(s[2]) ? 3 : 0;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (s[0] == 0xf0 && s[1] < 0x90) return 0;
        if (s[0] == 0xf4 && s[1] > 0x8f) return 0; /* above U+10FFFF */
        return is_continuation(s[1]) && is_continuation(s[2]) && is_continuation(s[3]) ? 4 : 0;
    }
    return 0;
}

/* One character of a string (RFC 8259 §7). @return bytes of s used; 0 when it does not fit */
static size_t json_put_char(struct json *j, const char *s)
{
    size_t len = utf8_len((const unsigned char *)s);
    if (len == 0) return json_put(j, "\xef\xbf\xbd", 3) ? 1 : 0;
    unsigned char c = (unsigned char)s[0];
    if (c == '"' || c == '\\') return json_put(j, (const char[]){ '\\', s[0] }, 2) ? 1 : 0;
    if (c >= 0x20 && c != 0x7f) return json_put(j, s, len) ? len : 0;
    char escape[7];
    int n = snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)c);
    return json_put(j, escape, (size_t)n) ? 1 : 0;
}

static void json_put_text(struct json *j, const char *s)
{
    size_t used;
    for (; *s != '\0' && (used = json_put_char(j, s)) > 0; s += used) {
    }
}

size_t problem_format(int status, const char *title, const char *detail, char *to, size_t cap)
{
    static const char detail_opens[] = ",\"detail\":\"";
    struct json j = { .at = to, .cap = cap > 0 ? cap - 1 : 0 };
    char number[40];
    snprintf(number, sizeof(number), "\",\"status\":%d", status);

    json_put_str(&j, "{\"type\":\"about:blank\",\"title\":\"");
    json_put_text(&j, title != NULL ? title : status_title(status));
    json_put_str(&j, number);
    if (j.full || j.cap - j.used < 1) return 0;

    if (detail != NULL && j.cap - j.used >= sizeof(detail_opens) + strlen("\"}")) {
        j.cap -= strlen("\"}");
        json_put_str(&j, detail_opens);
        json_put_text(&j, detail);
        j.cap += strlen("\"}");
        j.full = false;
        json_put_str(&j, "\"");
    }
    json_put_str(&j, "}");
    to[j.used] = '\0';
    return j.used;
}
