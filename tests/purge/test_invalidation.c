#include "purge/invalidation.h"

#include "tests/headers/table.h"

enum { URIS_SHOWN = 4 };

static struct request_head request_of(const char *method, const char *path, const char *query)
{
    return (struct request_head){
        .method = method_of(view_of_str(method)),
        .method_name = view_of_str(method),
        .authority = VIEW("api.test"),
        .path = view_of_str(path),
        .query = view_of_str(query),
        .has_query = query != NULL,
    };
}

static const struct {
    const char *method;
    int status;
    const char *path, *query, *fields;
    const char *uris[URIS_SHOWN];
} rows[] = {
    /* §4.4: an unsafe method with a non-error status */
    { "POST", 200, "/a", NULL, "", { "http://api.test/a" } },
    { "PUT", 204, "/a", NULL, "", { "http://api.test/a" } },
    { "DELETE", 301, "/a", NULL, "", { "http://api.test/a" } },
    { "PATCH", 399, "/a", NULL, "", { "http://api.test/a" } },
    { "MKCOL", 201, "/a", NULL, "", { "http://api.test/a" } },
    { "post", 200, "/a", NULL, "", { "http://api.test/a" } }, /* methods are case-sensitive: an unknown one */
    { "POST", 400, "/a", NULL, "Location: /b", { 0 } },
    { "POST", 500, "/a", NULL, "Location: /b", { 0 } },
    { "POST", 199, "/a", NULL, "", { 0 } },
    { "GET", 200, "/a", NULL, "Location: /b", { 0 } },
    { "HEAD", 200, "/a", NULL, "", { 0 } },
    { "OPTIONS", 200, "/a", NULL, "", { 0 } },
    { "TRACE", 200, "/a", NULL, "", { 0 } },
    { "QUERY", 200, "/a", NULL, "Content-Location: /b", { 0 } }, /* RFC 10008: safe */
    /* as the cache key spells it */
    { "POST", 200, "/a", "q=1", "", { "http://api.test/a?q=1" } },
    { "POST", 200, "/a", "", "", { "http://api.test/a?" } },
    { "POST", 200, "/%7ea%2f", "%41", "", { "http://api.test/~a%2F?A" } },
    { "POST", 200, "", NULL, "", { "http://api.test/" } },
    /* Location and Content-Location, resolved */
    { "POST", 201, "/a", NULL, "Location: /b?c", { "http://api.test/a", "http://api.test/b?c" } },
    { "POST", 201, "/a/", NULL, "Location: b", { "http://api.test/a/", "http://api.test/a/b" } },
    { "POST", 201, "/a/b", NULL, "Location: ../c", { "http://api.test/a/b", "http://api.test/c" } },
    { "POST", 201, "/a", NULL, "Location: ?x", { "http://api.test/a", "http://api.test/a?x" } },
    { "POST", 201, "/a", NULL, "Location: http://api.test/b#f", { "http://api.test/a", "http://api.test/b" } },
    { "POST", 201, "/a", NULL, "Location: HTTP://API.test:80/b", { "http://api.test/a", "http://api.test/b" } },
    { "POST", 201, "/a", NULL, "Location: //api.test/b", { "http://api.test/a", "http://api.test/b" } },
    { "POST", 201, "/a", NULL, "Location: http://api.test", { "http://api.test/a", "http://api.test/" } },
    { "POST",
      201,
      "/a",
      NULL,
      "Location: /b\nContent-Location: /c",
      { "http://api.test/a", "http://api.test/b", "http://api.test/c" } },
    { "POST", 201, "/a", NULL, "Location: /a\nContent-Location: /a", { "http://api.test/a" } },
    /* not across origins */
    { "POST", 201, "/a", NULL, "Location: http://other.test/b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location: https://api.test/b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location: http://api.test:8080/b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location: //other.test/b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location: mailto:a@b.test", { "http://api.test/a" } },
    /* what cannot be read names nothing */
    { "POST", 201, "/a", NULL, "Location: http://api.test:x/b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location: a b", { "http://api.test/a" } },
    { "POST", 201, "/a", NULL, "Location:", { "http://api.test/a" } },
};

START_TEST(uris_are_invalidated)
{
    struct lines l;
    struct request_head request = request_of(rows[_i].method, rows[_i].path, rows[_i].query);
    struct response_head response = { .status = rows[_i].status, .fields = section_of(&l, rows[_i].fields) };
    static struct invalidation out;
    invalidation_of(&request, &response, VIEW(""), &out);
    size_t n = 0;
    for (; rows[_i].uris[n] != NULL; n++) {
        ck_assert_uint_lt(n, out.uri_count);
        ck_assert_msg(view_is(out.uris[n], rows[_i].uris[n]), "%.*s", (int)out.uris[n].len, out.uris[n].at);
    }
    ck_assert_uint_eq(out.uri_count, n);
}
END_TEST

static const struct {
    const char *method;
    int status;
    const char *fields;
    const char *groups[URIS_SHOWN];
} groups[] = {
    { "POST", 200, "Cache-Group-Invalidation: \"a\", \"b\"", { "a", "b" } },
    { "POST", 303, "Cache-Group-Invalidation: \"a\"\nCache-Group-Invalidation: \"b\"", { "a", "b" } },
    { "POST", 200, "Cache-Group-Invalidation: \"a\\\\b\";p", { "a\\b" } },
    { "POST", 200, "Cache-Group-Invalidation: 1, \"a\", b", { "a" } },
    { "POST", 200, "Cache-Group-Invalidation: \"a", { 0 } },
    { "POST", 404, "Cache-Group-Invalidation: \"a\"", { 0 } },
    { "GET", 200, "Cache-Group-Invalidation: \"a\"", { 0 } }, /* RFC 9875 §3: ignored on a safe method */
    { "POST", 200, "Cache-Groups: \"a\"", { 0 } },
};

START_TEST(groups_are_invalidated)
{
    struct lines l;
    struct request_head request = request_of(groups[_i].method, "/a", NULL);
    struct response_head response = { .status = groups[_i].status, .fields = section_of(&l, groups[_i].fields) };
    static struct invalidation out;
    invalidation_of(&request, &response, VIEW(""), &out);
    size_t n = 0;
    for (; groups[_i].groups[n] != NULL; n++) {
        ck_assert_uint_lt(n, out.group_count);
        ck_assert(view_is(out.groups[n], groups[_i].groups[n]));
    }
    ck_assert_uint_eq(out.group_count, n);
}
END_TEST

START_TEST(https_is_another_origin)
{
    struct lines l;
    struct request_head request = request_of("POST", "/a", NULL);
    struct response_head response = { .status = 201,
                                      .fields = section_of(&l, "Location: http://api.test/b\nContent-Location: /c") };
    static struct invalidation out;
    request.https = true;
    invalidation_of(&request, &response, VIEW(""), &out);
    ck_assert_uint_eq(out.uri_count, 2);
    ck_assert(view_is(out.uris[0], "https://api.test/a"));
    ck_assert(view_is(out.uris[1], "https://api.test/c"));
}
END_TEST

/* The origin server is told another name than the client uses, and builds its references with that. */
START_TEST(the_name_that_the_origin_was_told_is_ours)
{
    struct lines l;
    struct request_head request = request_of("POST", "/a", NULL);
    struct response_head response = {
        .status = 201,
        .fields = section_of(&l, "Location: https://Inner.test:443/b\nContent-Location: http://inner.test:81/c"),
    };
    static struct invalidation out;
    invalidation_of(&request, &response, VIEW("inner.test"), &out);
    ck_assert_uint_eq(out.uri_count, 2); /* another port is another origin */
    ck_assert(view_is(out.uris[1], "http://api.test/b"));
}
END_TEST

/* Limits: what does not fit is left out, and what does fit stays right. */
START_TEST(long_uris_are_bounded)
{
    static char path[INVALIDATION_TEXT_MAX];
    static struct invalidation out;
    struct lines l;
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    struct request_head request = request_of("POST", path, NULL);
    struct response_head response = { .status = 201,
                                      .fields = section_of(&l, "Location: /b\nCache-Group-Invalidation: \"g\"") };
    invalidation_of(&request, &response, VIEW(""), &out);
    ck_assert_uint_eq(out.uri_count, 1);
    ck_assert(view_is(out.uris[0], "http://api.test/b"));
    ck_assert_uint_eq(out.group_count, 1);
    ck_assert(view_is(out.groups[0], "g"));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("invalidation");
    tcase_add_loop_test(t, uris_are_invalidated, 0, ROWS(rows));
    tcase_add_loop_test(t, groups_are_invalidated, 0, ROWS(groups));
    tcase_add_test(t, https_is_another_origin);
    tcase_add_test(t, the_name_that_the_origin_was_told_is_ours);
    tcase_add_test(t, long_uris_are_bounded);
    return run_case("invalidation", t);
}
