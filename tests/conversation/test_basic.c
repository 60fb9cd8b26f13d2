/* What a cache is for: the first request goes to the origin server, the next ones do not. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

START_TEST(a_miss_then_a_hit)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nContent-Type: text/plain", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200",
                 "Cache-Status: weir; fwd=uri-miss; fwd-status=200; stored; !hit\nVia: ~1.1 \n"
                 "Content-Type: text/plain\nCache-Control: max-age=60\n!Age",
                 "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200",
                 "Cache-Status: weir; hit; ttl=57..60; !fwd; !stored\nAge: 0..2\nVia: ~1.1 \n"
                 "Content-Type: text/plain\nCache-Control: max-age=60\nContent-Length: 3",
                 "jam");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(age_grows_and_ttl_shrinks)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    seconds_pass(s, 40);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=17..20\nAge: 40..43", "jam");
    scene_end(s);
}
END_TEST

static void hit_follows_hit(struct scene *s, int times, const char *fields)
{
    for (int i = 0; i < times; i++) {
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200", say(s, "Cache-Status: weir; hit\nContent-Length: 3\n!Connection\n%s", fields), "jam");
        client_asks(s, "GET /shelf", "If-None-Match: \"plum\"");
        client_hears(s, "304", say(s, "Cache-Status: weir; hit\nETag: \"plum\"\n!Content-Length\n%s", fields), "");
    }
}
#define hit_follows_hit(s, ...) hit_follows_hit(AT(s), __VA_ARGS__)

/* From the second on they may be given one and the same reply. */
START_TEST(what_many_ask_for_is_right_for_each)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600\nETag: \"plum\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=uri-miss", "jam");
    hit_follows_hit(s, 4, "Age: 0..3");
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nContent-Length: 3", "");
    client_asks(s, "GET /shelf", "Range: bytes=1-1");
    client_hears(s, "206", "Cache-Status: weir; hit\nContent-Range: bytes 1-1/3\nContent-Length: 1", "a");
    client_asks(s, "GET /shelf", "If-Match: \"pear\"");
    client_hears(s, "412", "Cache-Status: weir; hit", "");
    seconds_pass(s, 40);
    hit_follows_hit(s, 4, "Age: 40..43");
    client_asks(s, "GET /shelf", "Connection: close");
    client_hears(s, "200", "Connection: close\nAge: 40..44", "jam");
    is_closed(s, scene_client(s));
    hit_follows_hit(s, 2, "Age: 40..45");
    client_asks(s, "PURGE /shelf", "");
    client_hears(s, "200", "", NULL);
    origin_answers(s, "200", "Cache-Control: max-age=600\nETag: \"plum\"\nX-New: 1", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=miss", "jam");
    hit_follows_hit(s, 3, "Age: 0..3\nX-New: 1");
    origin_count_is(s, 2);
    scene_end(s);
}
END_TEST

/* Each second makes the replies anew, and those of the one before are let go. */
START_TEST(many_hits_over_many_responses_mix_nothing_up)
{
    struct scene *s = scene_begin("--memory 4MiB --workers 2");
    struct client *others[4];
    const char *targets[12], *fields[12], *contents_of[12];
    for (int i = 0; i < 4; i++) others[i] = client_arrives(s);
    for (int n = 0; n < 12; n++) {
        targets[n] = say(s, "GET /%d", n);
        fields[n] = say(s, "Cache-Status: weir; hit\nX-N: %d", n);
        contents_of[n] = say(s, "body %d", n);
        origin_answers_at(s, targets[n] + strlen("GET "), "200", say(s, "Cache-Control: max-age=600\nX-N: %d", n),
                          contents_of[n]);
        client_asks(s, targets[n], "");
        client_hears(s, "200", "", contents_of[n]);
    }
    for (int turn = 0; turn < 5; turn++) {
        for (int i = 0; i < 60; i++) {
            int n = (i * 7 + turn) % 12;
            asks(s, others[i % 4], targets[n], "");
            hears(s, others[i % 4], "200", fields[n], contents_of[n]);
        }
        seconds_pass(s, 1);
    }
    origin_count_is(s, 12);
    scene_end(s);
}
END_TEST

START_TEST(what_upstream_caches_spent_counts)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nAge: 50", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=6..10\nAge: 50..54", "jam");
    scene_end(s);
}
END_TEST

START_TEST(head_is_answered_from_a_stored_get)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nETag: \"plum\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nContent-Length: 3\nETag: \"plum\"\n!Transfer-Encoding", "");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_head_miss_is_forwarded_as_head)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .method = "HEAD", .status = "200", .fields = "Cache-Control: max-age=60", .body = "jam");
    origin_answers_as(s, .method = "GET", .status = "200", .fields = "Cache-Control: max-age=60", .body = "jam");
    client_asks(s, "HEAD /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*; fwd-status=200\nContent-Length: 3", "");
    origin_heard(s, "HEAD /shelf", "");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=*", "jam");
    scene_end(s);
}
END_TEST

/* Sizes around the edges of chunks in memory (64 KiB) and in the store (16368), for each framing of the origin. */
static const struct content_row {
    uint64_t len;
    enum framing framing;
} contents[] = {
    { 0, BY_LENGTH },       { 1, BY_LENGTH },       { 16367, BY_LENGTH },     { 16368, BY_LENGTH },
    { 16369, BY_LENGTH },   { 65535, BY_LENGTH },   { 65536, BY_LENGTH },     { 65537, BY_LENGTH },
    { 1048577, BY_LENGTH }, { 9000001, BY_LENGTH }, { 0, CHUNKED },           { 1, CHUNKED },
    { 16369, CHUNKED },     { 65537, CHUNKED },     { 9000001, CHUNKED },     { 0, UNTIL_CLOSE },
    { 1, UNTIL_CLOSE },     { 65537, UNTIL_CLOSE }, { 9000001, UNTIL_CLOSE },
};

/* Right after the last byte a client may still join the fetch as it ends; soon it is a hit. */
static void reads_until_hit(struct scene *s, const char *request, uint64_t seed, uint64_t len)
{
    bool hit = false;
    for (int i = 0; i < 100 && !hit; i++) {
        client_asks(s, request, "");
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), seed, 0, len);
        hit = head_lacks(&scene_client(s)->response.head, "Cache-Status: weir; hit") == NULL;
    }
    holds(s, hit);
}

START_TEST(content_is_the_same_to_the_byte)
{
    const struct content_row *row = &contents[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = row->len, .seed = 5,
                      .framing = row->framing);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss");
    hears_pattern(s, scene_client(s), 5, 0, row->len);
    reads_until_hit(s, "GET /large", 5, row->len);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_response_larger_than_memory_is_a_hit_all_the_same)
{
    enum { LEN = 24 << 20 };
    struct scene *s = scene_begin("--memory 8MiB --store-size 256MiB");
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = LEN, .seed = 6);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
    hears_pattern(s, scene_client(s), 6, 0, LEN);
    reads_until_hit(s, "GET /large", 6, LEN);
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(a_response_larger_than_the_store_streams_through)
{
    enum { LEN = 100 << 20 };
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .pattern_len = LEN, .seed = 7,
                      .times = 2);
    for (int times = 0; times < 2; times++) {
        client_asks(s, "GET /huge", "");
        hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=*");
        hears_pattern(s, scene_client(s), 7, 0, LEN);
    }
    origin_answers(s, "200", "Cache-Control: max-age=60", "small");
    client_asks(s, "GET /small", "");
    client_hears(s, "200", "", "small");
    client_asks(s, "GET /small", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "small");
    scene_end(s);
}
END_TEST

/* A client reads the head of a stored response and then nothing, while so much else is stored that it is evicted. */
START_TEST(what_is_being_read_outlives_its_eviction)
{
    enum { LEN = 20 << 20, OTHERS = 40, OTHER_LEN = 4 << 20 }; /* 160 MiB through a store of 64 */
    struct scene *s = scene_begin(NULL);
    struct client *slow = client_arrives(s);
    origin_answers_as(s, .target = "/slow", .status = "200", .fields = "Cache-Control: max-age=600", .pattern_len = LEN,
                      .seed = 3, .times = ALWAYS);
    reads_until_hit(s, "GET /slow", 3, LEN);
    asks(s, slow, "GET /slow", "");
    hears_head(s, slow, "200", "Cache-Status: weir; hit");
    for (int i = 0; i < OTHERS; i++) {
        origin_answers_as(s, .target = say(s, "/%d", i), .status = "200", .fields = "Cache-Control: max-age=600",
                          .pattern_len = OTHER_LEN, .seed = (uint64_t)i);
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, OTHER_LEN);
    }
    hears_pattern(s, slow, 3, 0, LEN);
    scene_end(s);
}
END_TEST

/* Its length is not known, and it turns out to be larger than the store: the window waits for who reads it, but not for one
 * who reads nothing. */
START_TEST(a_client_that_reads_nothing_holds_nobody_back)
{
    enum { LEN = 60 << 20 };
    struct scene *s = scene_begin("--store-size 16MiB");
    struct client *idle = client_arrives(s);
    struct gate rest = { 0 };
    origin_answers_as(s, .target = "/endless", .status = "200", .fields = "Cache-Control: max-age=600",
                      .pattern_len = LEN, .seed = 3, .framing = CHUNKED, .hold_content = &rest, .hold_after = 1000);
    asks(s, idle, "GET /endless", "");
    hears_head(s, idle, "200", "Cache-Status: weir; fwd=uri-miss; stored");
    client_asks(s, "GET /endless", "");
    gate_opens(s, &rest);
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
    hears_pattern(s, scene_client(s), 3, 0, LEN);
    scene_end(s);
}
END_TEST

START_TEST(full_tiers_refuse_nobody)
{
    enum { LEN = 4 << 20, COUNT_OF = 40 }; /* 160 MiB through a store of 64 and a memory of 16 */
    struct scene *s = scene_begin(NULL);
    for (int i = 0; i < COUNT_OF; i++)
        origin_answers_as(s, .target = say(s, "/%d", i), .status = "200", .fields = "Cache-Control: max-age=600",
                          .pattern_len = LEN, .seed = (uint64_t)i, .times = ALWAYS);
    for (int i = 0; i < COUNT_OF; i++) {
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, LEN);
    }
    reads_until_hit(s, say(s, "GET /%d", COUNT_OF - 1), COUNT_OF - 1, LEN);
    scene_end(s);
}
END_TEST

/* RFC 9111 §3: explicit freshness makes any final status storable; RFC 9110 §15.1 is for heuristics. */
static const char *const statuses[] = { "200", "203", "204", "300", "301", "302", "307", "308",
                                        "404", "405", "410", "414", "418", "500", "501", "503" };

START_TEST(any_final_status_with_freshness_is_stored)
{
    struct scene *s = scene_begin(NULL);
    bool bare = strcmp(statuses[_i], "204") == 0;
    origin_answers(s, statuses[_i], "Cache-Control: max-age=60\nLocation: /elsewhere", bare ? NULL : "why");
    client_asks(s, "GET /", "");
    client_hears(s, statuses[_i], say(s, "Cache-Status: weir; fwd=uri-miss; fwd-status=%s; stored", statuses[_i]),
                 bare ? "" : "why");
    client_asks(s, "GET /", "");
    client_hears(s, statuses[_i], "Cache-Status: weir; hit\nLocation: /elsewhere", bare ? "" : "why");
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

/* Two requests: do they mean the same stored response? */
static const struct key_row {
    const char *first, *first_fields, *second, *second_fields;
    bool same;
} keys[] = {
    { "GET /a", "", "GET /a", "", true },
    { "GET /a", "", "GET /b", "", false },
    { "GET /a", "", "GET /A", "", false },
    { "GET /a", "", "GET /a/", "", false },
    { "GET /a", "", "GET /a?", "", false },
    { "GET /a?x=1", "", "GET /a?x=2", "", false },
    { "GET /a?x=1&y=2", "", "GET /a?y=2&x=1", "", false },
    { "GET /a", "", "GET /a", "Host: other.example", false },
    { "GET /a", "", "GET /a", "Host: Shop.EXAMPLE", true },
    { "GET /a", "", "GET /a", "Host: shop.example:80", true },
    { "GET /a", "", "GET /a", "Host: shop.example:8080", false },
    { "GET /a", "", "GET http://shop.example/a", "", true },
    { "GET /a", "", "GET http://other.example/a", "", false },
    { "GET /", "", "GET http://shop.example", "", true },
    { "GET /a", "", "GET /a", "Cookie: who=me", true },
    { "GET /a", "", "GET /a", "Cache-Control: no-cache", true },
    { "GET /a", "", "GET /a", "Cache-Control: max-age=0\nPragma: no-cache", true },
};

START_TEST(the_target_uri_is_the_key)
{
    const struct key_row *row = &keys[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "first");
    if (!row->same) origin_answers(s, "200", "Cache-Control: max-age=60", "second");
    client_asks(s, row->first, row->first_fields);
    client_hears(s, "200", "", "first");
    client_asks(s, row->second, row->second_fields);
    client_hears(s, "200", row->same ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=uri-miss",
                 row->same ? "first" : "second");
    scene_end(s);
}
END_TEST

START_TEST(absolute_form_goes_to_the_origin_in_origin_form)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "x");
    client_asks(s, "GET http://shop.example/a?b=c", "");
    client_hears(s, "200", "", "x");
    origin_heard(s, "GET /a?b=c", "");
    scene_end(s);
}
END_TEST

/* Targets go on byte for byte (RFC 9110 §7.1, RFC 9112 §3.2). */
static const char *const targets[] = {
    "/a//b", "/a/./b/../c", "/%7Euser/%2e%2E/x", "/a?b?c&&=",      "/a;p=1,2", "/%C3%A9?%ff",
    "/?",    "//two",       "/a:b@c!$'()*+",     "/q?a[]=1&b=/?:@"
};

START_TEST(the_target_is_forwarded_untouched)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "", "x");
    client_asks(s, say(s, "GET %s", targets[_i]), "");
    client_hears(s, "200", "", "x");
    origin_heard(s, say(s, "GET %s", targets[_i]), "");
    scene_end(s);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct scene *s = scene_begin(NULL);
    struct gate slow = { 0 };
    origin_answers_as(s, .target = "/slow", .status = "200", .fields = "Cache-Control: max-age=60", .body = "slow",
                      .hold = &slow);
    origin_answers_at(s, "/quick", "200", "Cache-Control: max-age=60", "quick");
    static const char three[] = "GET /slow HTTP/1.1\r\nHost: " HOST "\r\n\r\n"
                                "GET /quick HTTP/1.1\r\nHost: " HOST "\r\n\r\n"
                                "GET /slow HTTP/1.1\r\nHost: " HOST "\r\n\r\n";
    says(s, scene_client(s), "GET", three, sizeof three - 1);
    origin_waits_at(s, &slow, 1);
    gate_opens(s, &slow);
    client_hears(s, "200", "", "slow");
    client_hears(s, "200", "", "quick");
    client_hears(s, "200", "Cache-Status: weir; hit", "slow");
    scene_end(s);
}
END_TEST

START_TEST(one_connection_carries_many_requests)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "x");
    for (int i = 0; i < 200; i++) {
        static const char ask[] = "GET / HTTP/1.1\r\nHost: " HOST "\r\n\r\n";
        says(s, scene_client(s), "GET", ask, sizeof ask - 1);
        client_hears(s, "200", "", "x");
    }
    scene_end(s);
}
END_TEST

START_TEST(connections_to_the_origin_are_reused)
{
    struct scene *s = scene_begin("--workers 1");
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: no-store", .body = "x", .times = 20);
    for (int i = 0; i < 20; i++) {
        client_asks(s, "GET /", "");
        client_hears(s, "200", "", "x");
    }
    holds(s, origin_connections(scene_origin(s)) == 1);
    scene_end(s);
}
END_TEST

START_TEST(connection_close_closes)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60", "x");
    client_asks(s, "GET /", "Connection: close");
    client_hears(s, "200", "Connection: close", "x");
    is_closed(s, scene_client(s));
    client_asks(s, "GET /", "");
    client_hears(s, "200", "!Connection", "x");
    scene_end(s);
}
END_TEST

START_TEST(http_1_0_gets_no_chunks)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .body = "in chunks", .framing = CHUNKED);
    static const char ask[] = "GET / HTTP/1.0\r\nHost: " HOST "\r\n\r\n";
    says(s, scene_client(s), "GET", ask, sizeof ask - 1);
    client_hears(s, "200", "!Transfer-Encoding", "in chunks");
    is_closed(s, scene_client(s));
    scene_end(s);
}
END_TEST

START_TEST(several_listeners_share_one_cache)
{
    struct scene *s = scene_begin_stopped();
    int second = process_free_port();
    weir_starts(s, say(s, "--listen 127.0.0.1:%d", second));
    origin_answers(s, "200", "Cache-Control: max-age=60", "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "x");
    struct client *c = client_open(second);
    holds(s, c != NULL);
    asks(s, c, "GET /", "");
    hears(s, c, "200", "Cache-Status: weir; hit", "x");
    client_close(c);
    scene_end(s);
}
END_TEST

START_TEST(the_admin_address_answers)
{
    static const char *const paths[] = { "GET /healthz", "GET /readyz", "GET /v1/stats", "GET /metrics", "GET /" };
    struct scene *s = scene_begin(NULL);
    for (size_t i = 0; i < COUNT(paths); i++) {
        admin_asks(s, paths[i], NULL);
        admin_hears(s, "200", "");
    }
    admin_asks(s, "GET /nowhere", NULL);
    admin_hears(s, "404", "Content-Type: ~application/problem+json");
    admin_asks(s, "POST /metrics", "{}");
    admin_hears(s, "405", "Content-Type: ~application/problem+json\nAllow: ~GET");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(a_miss_then_a_hit),
        TEST(age_grows_and_ttl_shrinks),
        TEST(what_many_ask_for_is_right_for_each),
        TEST(many_hits_over_many_responses_mix_nothing_up),
        TEST(what_upstream_caches_spent_counts),
        TEST(head_is_answered_from_a_stored_get),
        TEST(a_head_miss_is_forwarded_as_head),
        TABLE(content_is_the_same_to_the_byte, contents),
        TEST(a_response_larger_than_memory_is_a_hit_all_the_same),
        TEST(a_response_larger_than_the_store_streams_through),
        TEST(what_is_being_read_outlives_its_eviction),
        TEST(a_client_that_reads_nothing_holds_nobody_back),
        TEST(full_tiers_refuse_nobody),
        TABLE(any_final_status_with_freshness_is_stored, statuses),
        TABLE(the_target_uri_is_the_key, keys),
        TEST(absolute_form_goes_to_the_origin_in_origin_form),
        TABLE(the_target_is_forwarded_untouched, targets),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(one_connection_carries_many_requests),
        TEST(connections_to_the_origin_are_reused),
        TEST(connection_close_closes),
        TEST(http_1_0_gets_no_chunks),
        TEST(several_listeners_share_one_cache),
        TEST(the_admin_address_answers),
    };
    return converse("basic", tests, COUNT(tests));
}
