/* The harness itself: its client and its origin talk to each other, without a weir between them. */
#include "tests/conversation/harness.h"

START_TEST(answers_come_in_the_order_of_the_script)
{
    struct scene *s = scene_begin_without_weir();
    origin_answers(s, "200", "ETag: \"plum\"\nX-Empty:", "jam");
    origin_answers_at(s, "/shelf", "404", "", "none");
    client_asks(s, "GET /shelf", "Accept: text/plain");
    client_hears(s, "200", "ETag: \"plum\"\nX-Empty:\nContent-Length: 3\n!Age", "jam");
    origin_heard(s, "GET /shelf", "Accept: text/plain\nHost: " HOST "\n!Cookie");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "404", "", "none");
    origin_count_is(s, 2);
    holds(s, origin_connections(scene_origin(s)) == 1);
    scene_end(s);
}
END_TEST

START_TEST(content_comes_in_every_framing)
{
    struct scene *s = scene_begin_without_weir();
    origin_answers_as(s, .status = "200", .body = "chunks", .framing = CHUNKED, .trailers = "X-Sum: 7",
                      .dribble = true);
    origin_answers_as(s, .status = "200", .body = "to the end", .framing = UNTIL_CLOSE);
    origin_answers_as(s, .status = "200", .pattern_len = 3000000, .seed = 9);
    origin_answers_as(s, .status = "204");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "Transfer-Encoding: chunked", "chunks");
    holds(s, head_lacks(&scene_client(s)->response.content.trailers, "X-Sum: 7") == NULL);
    client_asks(s, "GET /", "");
    client_hears(s, "200", "!Content-Length\n!Transfer-Encoding", "to the end");
    client_asks(s, "GET /", "");
    hears_head(s, scene_client(s), "200", "Content-Length: 3000000");
    hears_pattern(s, scene_client(s), 9, 0, 3000000);
    client_asks(s, "GET /", "");
    client_hears(s, "204", "", "");
    scene_end(s);
}
END_TEST

static const struct break_row {
    enum ending ending;
    enum framing framing;
} breaks[] = { { CUT, BY_LENGTH }, { CUT, CHUNKED }, { RESET, BY_LENGTH }, { RESET, CHUNKED }, { RESET, UNTIL_CLOSE } };

START_TEST(a_broken_response_is_seen_as_broken)
{
    const struct break_row *row = &breaks[_i];
    struct scene *s = scene_begin_without_weir();
    origin_answers_as(s, .status = "200", .body = "half of it", .framing = row->framing, .ending = row->ending,
                      .cut_after = 4);
    client_asks(s, "GET /", "");
    hears_head(s, scene_client(s), "200", "");
    hears_break(s, scene_client(s));
    scene_end(s);
}
END_TEST

START_TEST(an_origin_that_goes_is_gone_until_it_returns)
{
    struct scene *s = scene_begin_without_weir();
    origin_goes(s);
    holds(s, client_is_closed(scene_client(s), 1000));
    holds(s, client_open(origin_port(scene_origin(s))) == NULL);
    origin_returns(s);
    origin_answers(s, "200", "", "back");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "back");
    scene_end(s);
}
END_TEST

START_TEST(a_gate_holds_the_content)
{
    struct scene *s = scene_begin_without_weir();
    struct gate before = { 0 }, middle = { 0 };
    origin_answers_as(s, .status = "200", .body = "first, then", .hold = &before, .hold_content = &middle,
                      .hold_after = 6);
    client_asks(s, "GET /", "");
    origin_waits_at(s, &before, 1);
    hears_nothing(s, scene_client(s), 0);
    gate_opens(s, &before);
    hears_head(s, scene_client(s), "200", "");
    hears_content(s, scene_client(s), "first,");
    origin_waits_at(s, &middle, 1);
    hears_nothing(s, scene_client(s), 0);
    gate_opens(s, &middle);
    hears_content(s, scene_client(s), " then");
    hears_end(s, scene_client(s));
    scene_end(s);
}
END_TEST

#define HINT "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

START_TEST(interim_responses_come_first)
{
    struct scene *s = scene_begin_without_weir();
    struct gate head = { 0 };
    origin_answers_as(s, .interim = HINT HINT, .status = "200", .body = "x", .hold_head = &head);
    client_asks(s, "GET /", "");
    hears_interim(s, scene_client(s), "103", "Link: </a.css>");
    gate_opens(s, &head);
    client_hears(s, "200", "!Link", "x");
    heard_interims(s, scene_client(s), 1);
    heard_interim(s, scene_client(s), 0, "103", "Link: </a.css>");
    scene_end(s);
}
END_TEST

START_TEST(requests_are_remembered_with_their_content)
{
    struct scene *s = scene_begin_without_weir();
    static const char chunked[] = "PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    origin_answers_as(s, .status = "201", .times = 2);
    client_sends(s, "POST /a", "", "some words");
    client_hears(s, "201", "", "");
    origin_heard(s, "POST /a", "Content-Length: 10");
    origin_heard_content(s, "some words");
    says(s, scene_client(s), "PUT", chunked, sizeof chunked - 1);
    client_hears(s, "201", "", "");
    origin_heard(s, "PUT /b", "");
    origin_heard_content(s, "abcde");
    scene_end(s);
}
END_TEST

START_TEST(many_clients_are_heard_at_once)
{
    enum { MANY = 300 };
    struct scene *s = scene_begin_without_weir();
    struct client *clients[MANY];
    struct gate all_here = { 0 };
    origin_answers_as(s, .status = "200", .body = "x", .hold = &all_here, .times = MANY);
    for (int i = 0; i < MANY; i++) clients[i] = client_arrives(s);
    for (int i = 0; i < MANY; i++) asks(s, clients[i], "GET /", "");
    origin_waits_at(s, &all_here, MANY);
    gate_opens(s, &all_here);
    for (int i = 0; i < MANY; i++) hears(s, clients[i], "200", "", "x");
    scene_end(s);
}
END_TEST

/* What a test expects of a head, and whether this head has it. */
static const struct expectation_row {
    const char *head, *expected;
    bool met;
} expectations[] = {
    { "A: b", "A: b", true },
    { "A: b", "a: b", true },
    { "A: b", "A: c", false },
    { "A: b\nA: c", "A: c", true },
    { "A: b", "A: *", true },
    { "A: b", "!A", false },
    { "A: b", "!B", true },
    { "A: b", "A: b\nB: c", false },
    { "Age: 11", "Age: 10..12", true },
    { "Age: 13", "Age: 10..12", false },
    { "Age: 1x", "Age: 0..12", false },
    { "Via: 1.1 weir", "Via: ~weir", true },
    { "Cache-Status: weir; hit; ttl=9", "Cache-Status: weir; hit", true },
    { "Cache-Status: weir; hit; ttl=9", "Cache-Status: weir; ttl=8..9", true },
    { "Cache-Status: weir; hit; ttl=-1", "Cache-Status: weir; ttl=-2..0", true },
    { "Cache-Status: weir; hit; ttl=9", "Cache-Status: weir; fwd=stale", false },
    { "Cache-Status: weir; fwd=uri-miss; stored", "Cache-Status: fwd", true },
    { "Cache-Status: weir; fwd=uri-miss; stored", "Cache-Status: weir; !stored", false },
    { "Cache-Status: weir; fwd=uri-miss", "Cache-Status: weir; !stored", true },
    { "Cache-Status: far; hit, weir; fwd=miss", "Cache-Status: weir; hit", false },
    { "Cache-Status: far; hit, weir; fwd=miss", "Cache-Status: weir; fwd=miss", true },
    { "Cache-Status: weir; fwd=miss; detail=\"a; hit\"", "Cache-Status: weir; !hit; fwd=miss", true },
};

START_TEST(expectations_are_met_or_not)
{
    const struct expectation_row *row = &expectations[_i];
    struct scene *s = scene_begin_without_weir();
    origin_answers(s, "200", row->head, "");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "");
    holds(s, (head_lacks(&scene_client(s)->response.head, row->expected) == NULL) == row->met);
    scene_end(s);
}
END_TEST

static const char *const malformed[] = {
    "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nFolded: a\r\n b\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
};

START_TEST(malformed_heads_are_no_responses)
{
    struct scene *s = scene_begin_without_weir();
    origin_answers_as(s, .raw = malformed[_i], .ending = CLOSE);
    client_asks(s, "GET /", "");
    holds(s, client_read_head(scene_client(s)) != NULL);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(answers_come_in_the_order_of_the_script),
        TEST(content_comes_in_every_framing),
        TABLE(a_broken_response_is_seen_as_broken, breaks),
        TEST(an_origin_that_goes_is_gone_until_it_returns),
        TEST(a_gate_holds_the_content),
        TEST(interim_responses_come_first),
        TEST(requests_are_remembered_with_their_content),
        TEST(many_clients_are_heard_at_once),
        TABLE(expectations_are_met_or_not, expectations),
        TABLE(malformed_heads_are_no_responses, malformed),
    };
    return converse("harness", tests, COUNT(tests));
}
