/* What explain says of what is stored, and of a request. The tiers are real; the clock is moved by hand. */
#include "proxy/admin_explain.h"
#include "proxy/config.h"

#include "proxy/command_admin.h"
#include "purge/tag.h"
#include "tests/cache/decisions.h"

#include <stdio.h>

/* ---- the query */

static const struct query_case {
    const char *query, *url, *method, *fields; /* "Name: value|" for each */
} queries[] = {
    { "url=http://h/p", "http://h/p", "GET", "" },
    { "url=http%3A%2F%2Fh%2Fp%3Fa%3D1%26b", "http://h/p?a=1&b", "GET", "" },
    { "url=http://h/p?a=1", "http://h/p?a=1", "GET", "" },
    { "url=http://h/a+b", "http://h/a+b", "GET", "" },
    { "method=HEAD&url=http://h/", "http://h/", "HEAD", "" },
    { "url=http://h/&header=Accept:+a/b&header=X%3a1", "http://h/", "GET", "Accept: a/b|X: 1|" },
    { "&url=http://h/&&header=A:&", "http://h/", "GET", "A: |" },
};

START_TEST(the_query_is_read)
{
    const struct query_case *c = &queries[_i];
    struct explain_query *q = malloc(sizeof *q);
    char why[300] = "", fields[300] = "";
    ck_assert_msg(explain_query_read(view_of_str(c->query), q, why, sizeof why), "%s: %s", c->query, why);
    ck_assert(view_is(q->url, c->url));
    ck_assert(view_is(q->method, c->method));
    for (size_t i = 0; i < q->field_count; i++) {
        const struct field *f = &q->fields[i];
        size_t used = strlen(fields);
        snprintf(fields + used, sizeof fields - used, "%.*s: %.*s|", (int)f->name.len, f->name.at, (int)f->value.len,
                 f->value.at);
    }
    ck_assert_str_eq(fields, c->fields);
    free(q);
}
END_TEST

static const struct query_refusal {
    const char *query, *why;
} query_refusals[] = {
    { "", "url: which URL" },
    { "url=", "url: which URL" },
    { "header=A:b", "url: which URL" },
    { "url=http://h/?a=1&b=2", "unknown argument \"b\"" },
    { "uri=http://h/", "unknown argument \"uri\"" },
    { "url=a&url=b", "url: only one" },
    { "url=%4", "'%' without" },
    { "url=%zz", "'%' without" },
    { "url=http://h/&header=A", "header: \"Name: value\"" },
    { "url=http://h/&header=:b", "header: \"Name: value\"" },
    { "url=http://h/&header=A b:c", "header: \"Name: value\"" },
    { "url=http://h/&header=A:b%0d%0aC:d", "header: \"Name: value\"" },
    { "url=http://h/&header=A:%00", "header: \"Name: value\"" },
    { "url=http://h/&method=", "method:" },
    { "url=http://h/&method=G%20T", "method:" },
};

START_TEST(a_query_that_is_not_understood_is_refused)
{
    struct explain_query *q = malloc(sizeof *q);
    char why[300] = "";
    ck_assert(!explain_query_read(view_of_str(query_refusals[_i].query), q, why, sizeof why));
    ck_assert_msg(strncmp(why, query_refusals[_i].why, strlen(query_refusals[_i].why)) == 0, "%s", why);
    free(q);
}
END_TEST

START_TEST(a_query_has_so_many_headers)
{
    struct explain_query *q = malloc(sizeof *q);
    char why[300] = "", query[EXPLAIN_FIELDS_MAX * 12 + 40] = "url=http://h/";
    for (int i = 0; i < EXPLAIN_FIELDS_MAX - 1; i++) strcat(query, "&header=A:b");
    ck_assert(explain_query_read(view_of_str(query), q, why, sizeof why));
    strcat(query, "&header=A:b");
    ck_assert(!explain_query_read(view_of_str(query), q, why, sizeof why));
    free(q);
}
END_TEST

/* ---- a weir without sockets */

struct shelf {
    struct explain_context c;
};

static struct shelf shelf_new(void)
{
    char why[200];
    struct cache_settings settings = { .memory_bytes = 16 << 20 };
    struct shelf s = { .c = { .cache = cache_new(&settings),
                              .purges = purge_open(NULL, NOW_S),
                              .site = config_of_origin("http://127.0.0.1:3000", why, sizeof why),
                              .now_s = NOW_S } };
    ck_assert(s.c.cache != NULL && s.c.purges != NULL && s.c.site != NULL);
    return s;
}

static void shelf_free(struct shelf *s)
{
    purge_close(s->c.purges);
    cache_free(s->c.cache);
    site_unref(&s->c.site);
}

/** Store a response to "GET http://example.com/shelf" with these request fields. */
static void put(struct shelf *s, const char *request_fields, int status, const char *fields, const char *content)
{
    char names_text[VARY_NAMES_MAX], key_text[1000], variant_text[1000];
    struct asked a;
    struct lines lines;
    uint64_t tags[TAG_MAX + 1];
    const struct policy *p = &s->c.site->unmatched->policy;
    const struct request_head *request = ask(&a, "GET /shelf", request_fields);
    struct field_section section = section_of(&lines, fields);
    struct key key;
    struct view names;
    struct variant variant = { 0 };
    ck_assert(key_from_request(request, p, key_text, sizeof key_text, &key));
    bool varies = vary_names(section, p, names_text, sizeof names_text, &names) == VARY_FIELDS;
    if (varies) ck_assert(variant_from_request(names, request->fields, p, variant_text, sizeof variant_text, &variant));
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = key.text,
                                .variant = variant.text,
                                .stored = store_head(request, status, section, p),
                                .fields = section,
                                .tags = tags,
                                .tag_count = tags_of_response(section, VIEW("example.com"), tags),
                                .fetch_seq = purge_current_seq(s->c.purges),
                                .content_length = (int64_t)strlen(content),
                                .content = view_of_str(content) };
    struct store_id id = { .key = { key.hash[0], key.hash[1] }, .variant = variant.hash };
    struct object *o = object_new(&in, &id, NULL, 0);
    struct noted_variant noted = { .names = names, .variant = variant.hash, .fetch_seq = in.fetch_seq, .maximum = 64 };
    if (varies) cache_note_variant(s->c.cache, &key, &noted);
    cache_admit(s->c.cache, o, NULL, NULL);
    object_unref(&o);
}

static json_t *explain(struct shelf *s, const char *query)
{
    struct explain_query *q = malloc(sizeof *q);
    char why[300] = "";
    ck_assert_msg(explain_query_read(view_of_str(query), q, why, sizeof why), "%s", why);
    json_t *json = explain_json(&s->c, q, why, sizeof why);
    ck_assert_msg(json != NULL, "%s", why);
    free(q);
    return json;
}

static void purge_was_done(void *arg, const struct purge_result *result)
{
    *(struct purge_result *)arg = *result;
}

static void purge_tag(struct shelf *s, const char *tag, bool soft)
{
    struct view name = view_of_str(tag);
    struct purge_request r = { .tags = &name, .tag_count = 1, .soft = soft };
    struct purge_result result = { .error = -1 };
    purge_begin(s->c.purges, &r, s->c.now_s, purge_was_done, &result);
    ck_assert_int_eq(result.error, 0);
}

static const char *text(const json_t *json, const char *path)
{
    const char *found = json_string_value(command_at(json, path));
    return found != NULL ? found : "(none)";
}

#define URL "url=http://example.com/shelf"

/* ---- what would happen to a request: as the exchange would decide */

static const struct decision_case {
    const char *stored; /* fields of the stored 200; NULL: nothing is stored */
    const char *query;  /* after URL */
    int seconds_later;
    const char *purge; /* a tag purged before asking; "~tag": softly; NULL: none */
    const char *verdict, *reason, *cache_status;
    int status; /* 0: up to the origin */
} decisions[] = {
    { NULL, "", 0, NULL, "forward", "uri-miss", "weir; fwd=uri-miss", 0 },
    { "Cache-Control: max-age=60", "", 13, NULL, "serve", "fresh", "weir; hit; ttl=47", 200 },
    { "Cache-Control: max-age=60", "&method=HEAD", 13, NULL, "serve", "fresh", "weir; hit; ttl=47", 200 },
    { "Cache-Control: max-age=60\nAge: 50", "", 13, NULL, "validate", "stale", "weir; fwd=stale", 0 },
    { "Cache-Control: max-age=60, stale-while-revalidate=30", "", 60, NULL, "serve-stale", "stale-while-revalidate",
      "weir; hit; ttl=0", 200 },
    { "Cache-Control: max-age=60, no-cache", "", 0, NULL, "validate", "no-cache", "weir; fwd=stale", 0 },
    { "Cache-Control: max-age=60", "&method=QUERY", 0, NULL, "forward", "uri-miss", "weir; fwd=uri-miss", 0 },
    { "Cache-Control: max-age=60", "&method=POST", 0, NULL, "pass", "method", "weir; fwd=method", 0 },
    { "Cache-Control: max-age=60", "&header=Cache-Control:no-cache", 0, NULL, "serve", "fresh", "weir; hit; ttl=60",
      200 },
    { NULL, "&header=Cache-Control:only-if-cached", 0, NULL, "gateway-timeout", "only-if-cached",
      "weir; detail=only-if-cached", 504 },
    { "Cache-Control: max-age=60\nETag: \"a\"", "&header=If-None-Match:%22a%22", 0, NULL, "serve", "fresh",
      "weir; hit; ttl=60", 304 },
    { "Cache-Control: max-age=60\nETag: \"a\"", "&header=If-Match:%22b%22", 0, NULL, "serve", "fresh",
      "weir; hit; ttl=60", 412 },
    { "Cache-Control: max-age=60", "&header=Range:bytes=0-1", 0, NULL, "serve", "fresh", "weir; hit; ttl=60", 206 },
    { "Cache-Control: max-age=60", "&header=Range:bytes=9-", 0, NULL, "serve", "fresh", "weir; hit; ttl=60", 416 },
    { "Cache-Control: max-age=60\nSurrogate-Key: jam", "", 0, "jam", "forward", "purged", "weir; fwd=miss", 0 },
    { "Cache-Control: max-age=60\nSurrogate-Key: jam", "", 0, "plum", "serve", "fresh", "weir; hit; ttl=60", 200 },
    { "Cache-Control: max-age=60\nSurrogate-Key: jam", "", 0, "~jam", "validate", "purged-soft", "weir; fwd=stale", 0 },
    { "Cache-Control: max-age=60\nVary: Accept", "&header=Accept:a/b", 0, NULL, "forward", "vary-miss",
      "weir; fwd=vary-miss", 0 },
    { "Cache-Control: max-age=60\nVary: Accept", "", 0, NULL, "serve", "fresh", "weir; hit; ttl=60", 200 },
};

START_TEST(a_request_is_decided_on)
{
    const struct decision_case *c = &decisions[_i];
    struct shelf s = shelf_new();
    char query[300];
    if (c->stored != NULL) put(&s, "", 200, c->stored, "jam");
    if (c->purge != NULL) purge_tag(&s, c->purge + (c->purge[0] == '~'), c->purge[0] == '~');
    s.c.now_s += c->seconds_later;
    snprintf(query, sizeof query, URL "%s", c->query);
    json_t *json = explain(&s, query);
    ck_assert_str_eq(text(json, "decision.verdict"), c->verdict);
    ck_assert_str_eq(text(json, "decision.reason"), c->reason);
    ck_assert_str_eq(text(json, "decision.cache_status"), c->cache_status);
    ck_assert_int_eq((int)command_number(json, "decision.status"), c->status);
    bool is_query = strstr(c->query, "QUERY") != NULL; /* which finds none of GET's */
    ck_assert_int_eq((int)command_number(json, "stored"), c->stored != NULL && !is_query);
    ck_assert(strlen(text(json, "decision.section")) > strlen("RFC "));
    json_decref(json);
    shelf_free(&s);
}
END_TEST

START_TEST(a_stored_part_answers_as_it_would)
{
    static const struct {
        const char *range, *verdict;
        int status;
    } rows[] = {
        { "5-6", "serve", 206 }, { "3-3,5-6", "serve", 206 }, { "6-7", "forward", 0 }, { "12-", "forward", 0 }
    };
    struct shelf s = shelf_new();
    put(&s, "", 206, "Cache-Control: max-age=60\nContent-Range: bytes 2-6/10", "23456");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char query[100];
        snprintf(query, sizeof query, URL "&header=Range:bytes%%3D%s", rows[i].range);
        json_t *json = explain(&s, query);
        ck_assert_str_eq(text(json, "decision.verdict"), rows[i].verdict);
        ck_assert_int_eq((int)command_number(json, "decision.status"), rows[i].status);
        json_decref(json);
    }
    shelf_free(&s);
}
END_TEST

START_TEST(fields_of_an_operators_key_count)
{
    static const struct view tenant[] = { { "x-tenant", 8 } };
    struct shelf s = shelf_new();
    struct policy *p = (struct policy *)(uintptr_t)&s.c.site->unmatched->policy;
    p->key = (struct key_rules){ .in_use = true, .fields = { tenant, 1 } };
    put(&s, "X-Tenant: 7", 200, "Cache-Control: max-age=60", "jam");
    json_t *theirs = explain(&s, URL "&header=X-Tenant:7"), *others = explain(&s, URL "&header=X-Tenant:8");
    ck_assert_str_eq(text(theirs, "decision.verdict"), "serve");
    ck_assert_str_eq(text(others, "decision.verdict"), "forward");
    json_decref(theirs);
    json_decref(others);
    shelf_free(&s);
}
END_TEST

/* ---- what is stored */

START_TEST(the_freshness_arithmetic_is_shown)
{
    struct shelf s = shelf_new();
    put(&s, "", 200,
        "Cache-Control: max-age=9, s-maxage=60, stale-while-revalidate=5\nAge: 10\nETag: W/\"a\"\nxkey: b c", "jam");
    s.c.now_s += 20;
    json_t *json = explain(&s, URL), *v = json_array_get(command_at(json, "variants"), 0);
    ck_assert(command_number(v, "freshness.age_s") == 30);
    ck_assert(command_number(v, "freshness.initial_age_s") == 10);
    ck_assert(command_number(v, "freshness.resident_s") == 20);
    ck_assert(command_number(v, "freshness.lifetime_s") == 60);
    ck_assert(command_number(v, "freshness.ttl_s") == 30);
    ck_assert_str_eq(text(v, "freshness.lifetime_source"), "s-maxage");
    ck_assert(json_is_true(command_at(v, "freshness.fresh")));
    ck_assert(command_number(v, "freshness.stale_while_revalidate_s") == 5);
    ck_assert(json_is_null(command_at(v, "freshness.stale_if_error_s")));
    ck_assert_str_eq(text(v, "etag"), "W/\"a\"");
    ck_assert(json_is_null(command_at(v, "last_modified")));
    ck_assert(command_number(v, "size.content_bytes") == 3 && command_number(v, "size.memory_bytes") > 3);
    ck_assert_uint_eq(json_array_size(command_at(v, "tags")), 2);
    ck_assert_str_eq(json_string_value(json_array_get(command_at(v, "tags"), 1)), "c");
    ck_assert_str_eq(json_string_value(json_array_get(command_at(v, "tiers"), 0)), "memory");
    ck_assert_str_eq(text(v, "purges.state"), "none");
    json_decref(json);
    shelf_free(&s);
}
END_TEST

START_TEST(every_variant_is_shown_and_the_selected_one_marked)
{
    struct shelf s = shelf_new();
    put(&s, "Accept-Language: de", 200, "Cache-Control: max-age=60\nVary: Accept-Language", "Mus");
    put(&s, "Accept-Language: en", 200, "Cache-Control: max-age=5\nVary: Accept-Language\nSurrogate-Key: en", "jam");
    purge_tag(&s, "en", false);
    json_t *json = explain(&s, URL "&header=Accept-Language:+de"), *variants = command_at(json, "variants");
    ck_assert_uint_eq(json_array_size(variants), 2);
    const json_t *de = json_array_get(variants, 0), *en = json_array_get(variants, 1);
    ck_assert_str_eq(text(de, "selected_by.accept-language"), "de");
    ck_assert(json_is_true(command_at(de, "selected")) && !json_is_true(command_at(en, "selected")));
    ck_assert_str_eq(text(en, "purges.state"), "purged");
    ck_assert_str_eq(text(en, "reuse"), "purged");
    ck_assert_str_eq(text(de, "reuse"), "fresh");
    ck_assert_str_eq(json_string_value(json_array_get(command_at(json, "vary"), 0)), "accept-language");
    json_decref(json);
    shelf_free(&s);
}
END_TEST

/* The selected variant is shown even when there are more than fit. */
START_TEST(many_variants_are_shown_in_part)
{
    struct shelf s = shelf_new();
    for (int i = 0; i < EXPLAIN_VARIANTS_MAX; i++) {
        char field[40];
        snprintf(field, sizeof field, "X-Shelf: %d", i);
        put(&s, field, 200, "Cache-Control: max-age=60\nVary: X-Shelf", "jam");
    }
    json_t *json = explain(&s, URL "&header=X-Shelf:63");
    ck_assert(command_number(json, "stored") == EXPLAIN_VARIANTS_MAX);
    ck_assert_uint_eq(json_array_size(command_at(json, "variants")), EXPLAIN_VARIANTS_MAX);
    ck_assert_str_eq(text(json, "decision.verdict"), "serve");
    json_decref(json);
    shelf_free(&s);
}
END_TEST

/* Clients say https to whoever ends TLS before weir, which is asked over http. */
START_TEST(an_https_url_is_found_where_it_was_asked_for)
{
    struct shelf s = shelf_new();
    put(&s, "", 200, "Cache-Control: max-age=60", "jam");
    json_t *json = explain(&s, "url=https://EXAMPLE.com:443/shelf");
    ck_assert_str_eq(text(json, "url"), "http://example.com/shelf");
    ck_assert_str_eq(text(json, "decision.verdict"), "serve");
    json_decref(json);
    shelf_free(&s);
}
END_TEST

START_TEST(the_host_of_the_request_counts)
{
    struct shelf s = shelf_new();
    put(&s, "", 200, "Cache-Control: max-age=60", "jam");
    json_t *json = explain(&s, "url=http://127.0.0.1:8080/shelf&header=Host:+Example.com");
    ck_assert_str_eq(text(json, "url"), "http://example.com/shelf");
    ck_assert_str_eq(text(json, "decision.verdict"), "serve");
    json_decref(json);
    shelf_free(&s);
}
END_TEST

START_TEST(what_is_no_url_is_refused)
{
    static const char *const urls[] = {
        "url=/shelf", "url=shelf", "url=ftp://h/", "url=http://", "url=http://h/&header=Host:a+b", "url=http://h/%20a b"
    };
    struct shelf s = shelf_new();
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct explain_query *q = malloc(sizeof *q);
        char why[300] = "";
        ck_assert(explain_query_read(view_of_str(urls[i]), q, why, sizeof why));
        ck_assert_ptr_null(explain_json(&s.c, q, why, sizeof why));
        ck_assert_msg(strncmp(why, "url: an absolute URL", 20) == 0, "%s: %s", urls[i], why);
        free(q);
    }
    shelf_free(&s);
}
END_TEST

START_TEST(why_nothing_is_stored_is_told_until_something_is)
{
    struct shelf s = shelf_new();
    char text_of_key[1000];
    struct key key;
    ck_assert(site_key_of_uri(s.c.site, VIEW("http://example.com/shelf"), text_of_key, sizeof text_of_key, &key));
    refusals_note(cache_refusals(s.c.cache), &key,
                  &(struct refusal){ .reason = NOT_STORED_PRIVATE,
                                     .status = 200,
                                     .when_s = NOW_S - 7,
                                     .age_s = 9,
                                     .lifetime_s = 5,
                                     .source = LIFETIME_MAX_AGE });
    json_t *json = explain(&s, URL);
    ck_assert_str_eq(text(json, "last_not_stored.reason"), "private");
    ck_assert(command_number(json, "last_not_stored.seconds_ago") == 7);
    ck_assert(command_number(json, "last_not_stored.age_s") == 9 &&
              command_number(json, "last_not_stored.lifetime_s") == 5);
    ck_assert_str_eq(text(json, "last_not_stored.lifetime_source"), "max-age");
    json_decref(json);
    put(&s, "", 200, "Cache-Control: max-age=60", "jam");
    json = explain(&s, URL);
    ck_assert(json_is_null(command_at(json, "last_not_stored")));
    json_decref(json);
    shelf_free(&s);
}
END_TEST

/* To look is not to use: what nobody asks for still leaves first. */
START_TEST(explaining_counts_as_no_use)
{
    struct shelf s = shelf_new();
    put(&s, "", 200, "Cache-Control: max-age=60", "jam");
    json_decref(explain(&s, URL));
    char text_of_key[1000];
    struct key key;
    ck_assert(site_key_of_uri(s.c.site, VIEW("http://example.com/shelf"), text_of_key, sizeof text_of_key, &key));
    struct store_id id = { .key = { key.hash[0], key.hash[1] } };
    struct object *o = memory_peek(cache_memory(s.c.cache), &id, key.text);
    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(atomic_load(&o->node.frequency), 0);
    object_unref(&o);
    ck_assert_ptr_null(memory_peek(cache_memory(s.c.cache), &id, VIEW("another key")));
    shelf_free(&s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("explain");
    tcase_add_loop_test(t, the_query_is_read, 0, ROWS(queries));
    tcase_add_loop_test(t, a_query_that_is_not_understood_is_refused, 0, ROWS(query_refusals));
    tcase_add_test(t, a_query_has_so_many_headers);
    tcase_add_test(t, a_stored_part_answers_as_it_would);
    tcase_add_test(t, fields_of_an_operators_key_count);
    tcase_add_loop_test(t, a_request_is_decided_on, 0, ROWS(decisions));
    tcase_add_test(t, the_freshness_arithmetic_is_shown);
    tcase_add_test(t, every_variant_is_shown_and_the_selected_one_marked);
    tcase_add_test(t, many_variants_are_shown_in_part);
    tcase_add_test(t, an_https_url_is_found_where_it_was_asked_for);
    tcase_add_test(t, the_host_of_the_request_counts);
    tcase_add_test(t, what_is_no_url_is_refused);
    tcase_add_test(t, why_nothing_is_stored_is_told_until_something_is);
    tcase_add_test(t, explaining_counts_as_no_use);
    return run_case("admin_explain", t);
}
