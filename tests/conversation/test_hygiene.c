/* Which fields go on, which are changed on the way, and which stay behind (RFC 9110 §7.6, RFC 9111 §3.1). */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

/* ---- on the way to the origin ---- */

/* What a client says, and what the origin hears of it. */
static const struct way_row {
    const char *said, *heard, *why;
} inward[] = {
    { "Connection: X-Hop, close\nX-Hop: 1\nX-End: 2", "!X-Hop\nX-End: 2", "§7.6.1" },
    { "Connection: keep-alive\nKeep-Alive: timeout=5", "!Keep-Alive", "§7.6.1" },
    { "Connection: x-hop\nX-HOP: 1", "!X-Hop", "names have no case" },
    { "TE: trailers\nConnection: TE", "!TE", "§10.1.4" },
    { "Proxy-Connection: keep-alive", "!Proxy-Connection", "§7.6.1" },
    { "Proxy-Authorization: Basic YTpi", "!Proxy-Authorization", "§11.7.2: it was for us" },
    { "Upgrade: h2c\nConnection: Upgrade", "!Upgrade", "§7.8" },
    { "Connection: Host, Cache-Control", "Host: *", "Host is not the client's to drop" },
    { "X-Empty:", "X-Empty:", "an empty value is a value" },
    { "X-Tab: a\tb", "X-Tab: a\tb", "a tab within" },
    { "X-Text: caf\xe9 \xc3\xa9", "X-Text: caf\xe9 \xc3\xa9", "§5.5: obs-text is opaque" },
    { "X-Twice: a\nX-Twice: b", "X-Twice: a\nX-Twice: b", "two lines" },
    { "Cookie: a=b; c=d", "Cookie: a=b; c=d", "untouched" },
    { "Accept: text/html;q=0.5", "Accept: text/html;q=0.5", "untouched" },
    { "", "!Accept\n!User-Agent\n!Accept-Encoding", "nothing is made up" },
    { "User-Agent: me", "User-Agent: me", "untouched" },
    { "", "Via: ~1.1 ", "§7.6.3" },
    { "Via: 1.0 fred", "Via: ~1.0 fred", "§7.6.3: what was there stays" },
    { "", "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: " HOST, "the contract" },
    { "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: ~127.0.0.1", "ours is in it" },
    { "", "Forwarded: ~for=127.0.0.1", "RFC 7239" },
    { "", "Forwarded: ~proto=http", "RFC 7239" },
    { "", "Forwarded: ~host=" HOST, "RFC 7239" },
    { "Range: bytes=0-1", "!Range", "the whole is fetched" },
    { "If-None-Match: \"a\"\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "!If-None-Match\n!If-Modified-Since",
      "ours" },
    { "Referer: /x\nOrigin: http://a.example", "Referer: /x\nOrigin: http://a.example", "untouched" },
};

START_TEST(fields_on_the_way_to_the_origin)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store", "x");
    client_asks(s, "GET /", inward[_i].said);
    client_hears(s, "20*", "", "x");
    origin_heard(s, "GET /", inward[_i].heard);
    const struct head *heard = &origin_heard_at(scene_origin(s), 0)->head;
    holds(s, head_count(heard, "Host") == 1);
    holds(s, head_count(heard, "Via") >= 1);
    scene_end(s);
}
END_TEST

/* ---- on the way to the client, from the origin and from the cache ---- */

static const struct way_row outward[] = {
    { "Connection: X-Hop\nX-Hop: 1\nX-End: 2", "!X-Hop\nX-End: 2", "§7.6.1" },
    { "Connection: x-hop\nX-HOP: 1", "!X-Hop", "names have no case" },
    { "Connection: close, X-Hop\nX-Hop: 1\nKeep-Alive: timeout=5", "!X-Hop\n!Keep-Alive", "§7.6.1" },
    { "Proxy-Connection: keep-alive", "!Proxy-Connection", "§7.6.1" },
    { "Proxy-Authenticate: Basic", "!Proxy-Authenticate", "§11.7.1" },
    { "Proxy-Authentication-Info: a=b", "!Proxy-Authentication-Info", "§11.7.3" },
    { "Upgrade: h2c", "!Upgrade", "§7.8" },
    { "Surrogate-Key: a b\nCache-Tag: c\nxkey: d", "!Surrogate-Key\n!Cache-Tag\n!xkey", "the contract" },
    { "Cache-Groups: \"a\"", "Cache-Groups: \"a\"", "it is for every cache" },
    { "CDN-Cache-Control: max-age=60", "CDN-Cache-Control: max-age=60", "passed on downstream" },
    { "X-Empty:", "X-Empty:", "an empty value is a value" },
    { "X-Tab: a\tb", "X-Tab: a\tb", "a tab within" },
    { "X-Text: caf\xe9 \xc3\xa9", "X-Text: caf\xe9 \xc3\xa9", "§5.5: obs-text is opaque" },
    { "X-Twice: a\nX-Twice: b", "X-Twice: a\nX-Twice: b", "two lines" },
    { "Server: theirs", "Server: theirs", "untouched" },
    { "Via: 1.0 fred", "Via: ~1.0 fred", "§7.6.3" },
    { "", "Via: ~1.1 ", "§7.6.3" },
    { "", "Date: *", "§6.6.1: added" },
    { "Date: Sun, 06 Nov 1994 08:49:37 GMT\nCache-Control: s-maxage=2000000000", "Date: Sun, 06 Nov 1994 08:49:37 GMT",
      "§6.6.1: kept" },
    { "ETag: W/\"a\"", "ETag: W/\"a\"", "untouched" },
    { "ETag: unquoted", "ETag: unquoted", "never rewritten" },
    { "Cache-Status: far; hit", "Cache-Status: ~far; hit", "RFC 9211 §2: ours comes behind" },
    { "Content-Type: Text/HTML;Charset=\"utf-8\"", "Content-Type: Text/HTML;Charset=\"utf-8\"", "untouched" },
    { "Link: </a>; rel=x, </b>; rel=y", "Link: </a>; rel=x, </b>; rel=y", "untouched" },
    { "Trailer: X-Sum", "!X-Sum", "no trailer came" },
};

START_TEST(fields_on_the_way_to_the_client)
{
    struct scene *s = scene_begin(NULL);
    bool fresh = strstr(outward[_i].said, "ache-Control") != NULL;
    origin_answers(s, "200",
                   say(s, "%s%s%s", outward[_i].said, outward[_i].said[0] == '\0' ? "" : "\n",
                       fresh ? "" : "Cache-Control: max-age=60"),
                   "x");
    for (int times = 0; times < 2; times++) {
        client_asks(s, "GET /", "");
        const char *how = times == 0 ? "Cache-Status: weir; fwd=uri-miss" : "Cache-Status: weir; hit";
        client_hears(s, "200", say(s, "%s\n%s", how, outward[_i].heard), "x");
    }
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(lines_keep_their_order)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=60\nX-Twice: 1\nX-Other: 2\nX-Twice: 3\nX-Twice: 4", "x");
    for (int times = 0; times < 2; times++) {
        client_asks(s, "GET /", "");
        client_hears(s, "200", "", "x");
        char order[16] = "";
        const struct head *h = &scene_client(s)->response.head;
        for (size_t i = 0; i < h->count; i++)
            if (strcasecmp(h->lines[i].name, "X-Twice") == 0) strcat(order, h->lines[i].value);
        holds(s, strcmp(order, "134") == 0);
    }
    scene_end(s);
}
END_TEST

/* ---- cookies (the contract, section on choices) ---- */

static const struct cookie_row {
    const char *fields;
    bool stored;
} cookies[] = {
    { "Cache-Control: max-age=60", false },
    { "Cache-Control: max-age=60, public", true },
    { "Cache-Control: s-maxage=60", true },
    { "CDN-Cache-Control: max-age=60", true },
    { "Expires: {60}", false },
};

START_TEST(a_cookie_is_never_stored)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "%s\nSet-Cookie: a=1; Path=/\nSet-Cookie: b=2", dated(s, cookies[_i].fields)),
                   "first");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "Set-Cookie: a=1; Path=/\nSet-Cookie: b=2", "first");
    if (!cookies[_i].stored) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /", "");
    if (cookies[_i].stored)
        client_hears(s, "200", "Cache-Status: weir; hit\n!Set-Cookie", "first");
    else
        client_hears(s, "200", "Cache-Status: weir; fwd=*\n!Set-Cookie", "second");
    scene_end(s);
}
END_TEST

START_TEST(cookies_keep_their_lines_and_order)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store\nSet-Cookie: a=1\nSet-Cookie: b=2, c\nSet-Cookie: a=3", "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "x");
    char order[64] = "";
    const struct head *h = &scene_client(s)->response.head;
    for (size_t i = 0; i < h->count; i++)
        if (strcasecmp(h->lines[i].name, "Set-Cookie") == 0) strcat(strcat(order, h->lines[i].value), "|");
    holds(s, strcmp(order, "a=1|b=2, c|a=3|") == 0);
    scene_end(s);
}
END_TEST

/* ---- fields that are given to one client only ---- */

START_TEST(listed_fields_are_not_stored)
{
    static const char *const controls[] = { "private=\"X-Mine, Set-Cookie\"", "no-cache=\"X-Mine\"", "private=X-Mine" };
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", say(s, "Cache-Control: s-maxage=60, %s\nX-Mine: yes\nX-Ours: yes", controls[_i]), "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "X-Mine: yes\nX-Ours: yes", "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "Cache-Status: weir; hit\n!X-Mine\nX-Ours: yes", "x");
    scene_end(s);
}
END_TEST

START_TEST(trailers_do_not_become_fields)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60\nTrailer: X-Sum", .body = "x",
                      .framing = CHUNKED, .trailers = "X-Sum: 7\nContent-Length: 99\nSet-Cookie: a=b");
    for (int times = 0; times < 2; times++) {
        client_asks(s, "GET /", "");
        client_hears(s, "200", "!X-Sum\n!Set-Cookie", "x");
    }
    origin_count_is(s, 1);
    scene_end(s);
}
END_TEST

START_TEST(what_comes_in_chunks_has_a_length_from_the_cache)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=60", .body = "in chunks",
                      .framing = CHUNKED);
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "in chunks");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "Cache-Status: weir; hit\nContent-Length: 9\n!Transfer-Encoding", "in chunks");
    scene_end(s);
}
END_TEST

START_TEST(forwarded_names_every_hop)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: no-store", "x");
    client_asks(s, "GET /", "X-Forwarded-For: 192.0.2.1\nForwarded: for=192.0.2.1");
    client_hears(s, "200", "", "x");
    const struct head *heard = &origin_heard_at(scene_origin(s), 0)->head;
    holds(s, head_count(heard, "X-Forwarded-For") == 1);
    holds(s, head_count(heard, "Forwarded") == 1);
    scene_end(s);
}
END_TEST

START_TEST(a_loop_is_cut)
{
    struct scene *s = scene_begin_stopped();
    weir_starts(s, say(s, "--origin http://127.0.0.1:%d", scene_weir(s)->port)); /* its own origin */
    client_asks(s, "GET /", "");
    client_hears(s, "5**", "Cache-Status: *", NULL); /* RFC 8586 */
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(fields_on_the_way_to_the_origin, inward),
        TABLE(fields_on_the_way_to_the_client, outward),
        TEST(lines_keep_their_order),
        TABLE(a_cookie_is_never_stored, cookies),
        TEST(cookies_keep_their_lines_and_order),
        { listed_fields_are_not_stored, 3 },
        TEST(trailers_do_not_become_fields),
        TEST(what_comes_in_chunks_has_a_length_from_the_cache),
        TEST(forwarded_names_every_hop),
        TEST(a_loop_is_cut),
    };
    return converse("hygiene", tests, COUNT(tests));
}
