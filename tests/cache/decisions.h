/* decisions: what the tests of the decision modules share: a moment, requests and responses written as text. */
#ifndef WEIR_TESTS_CACHE_DECISIONS_H
#define WEIR_TESTS_CACHE_DECISIONS_H

#include "cache/freshness.h"
#include "tests/headers/table.h"

/* The moment every test starts from. */
static const int64_t NOW_S = 1893456000;
#define NOW           "Tue, 01 Jan 2030 00:00:00 GMT"
#define MINUTE_BEFORE "Mon, 31 Dec 2029 23:59:00 GMT"
#define HOUR_BEFORE   "Mon, 31 Dec 2029 23:00:00 GMT"
#define DAY_BEFORE    "Mon, 31 Dec 2029 00:00:00 GMT"
#define MINUTE_AFTER  "Tue, 01 Jan 2030 00:01:00 GMT"
#define HOUR_AFTER    "Tue, 01 Jan 2030 01:00:00 GMT"

struct asked {
    struct lines lines;
    struct request_head head;
};

/** "GET /shelf?jam" to http://example.com with those fields. */
static inline const struct request_head *ask(struct asked *a, const char *line, const char *fields)
{
    struct view whole = view_of_str(line);
    size_t blank = view_find(whole, 0, ' ');
    struct view method = view_first(whole, blank), target = view_after(whole, blank + 1);
    size_t mark = view_find(target, 0, '?');

    ck_assert_msg(target.len > 0, "not a request line: %s", line);
    a->head = (struct request_head){
        .method = method_of(method),
        .method_name = method,
        .target = target,
        .authority = VIEW("example.com"),
        .path_query = target,
        .path = view_first(target, mark),
        .query = mark < target.len ? view_after(target, mark + 1) : VIEW(""),
        .has_query = mark < target.len,
        .http_minor = 1,
        .fields = section_of(&a->lines, fields),
    };
    return &a->head;
}

/** The defaults of the design. */
static inline struct policy default_policy(void)
{
    struct policy p;
    policy_defaults(&p);
    return p;
}

/** The head of a response that arrived at NOW_S, at once. */
static inline struct stored_head store_head(const struct request_head *request, int status, struct field_section fields,
                                            const struct policy *p)
{
    struct response_head response = { .status = status, .fields = fields };
    struct response_times times = { NOW_S, NOW_S };
    struct stored_head s;
    stored_head_of(request, &response, p, &times, &s);
    return s;
}

#endif
