/* What POST /v1/purge asks for: read strictly, and in the form of the keys. */
#include "proxy/admin_purge_order.h"
#include "proxy/config.h"

#include "tests/headers/table.h"

#include <stdio.h>

static struct site *a_site(void)
{
    char why[200];
    struct site *s = config_of_origin("http://127.0.0.1:3000", why, sizeof why);
    ck_assert_msg(s != NULL, "%s", why);
    return s;
}

static int read_order(const char *json, struct purge_order *o, char *why, size_t cap)
{
    struct site *site = a_site();
    char *copy = strdup(json); /* on the heap, so that the address sanitizer sees a byte too many */
    int status = purge_order_read(view_of(copy, strlen(json)), site, o, why, cap);
    free(copy);
    site_unref(&site);
    return status;
}

/* ---- what is refused: nothing is purged unless all of it is understood */

static const struct refusal {
    const char *json;
    int status;
    const char *why; /* what the reason begins with */
} refusals[] = {
    { "", 400, "'[' or '{' expected" },
    { "{", 400, "string or '}' expected" },
    { "{} {}", 400, "end of file expected" },
    { "[]", 400, "a JSON object is needed" },
    { "{}", 400, "nothing to purge" },
    { "{\"soft\":true,\"dry_run\":true}", 400, "nothing to purge" },
    { "{\"urls\":[],\"tags\":[],\"all\":false}", 400, "nothing to purge" },
    { "{\"tag\":[\"a\"]}", 400, "unknown member \"tag\"" },
    { "{\"all\":true,\"Soft\":true}", 400, "unknown member \"Soft\"" },
    { "{\"tags\":\"a\"}", 400, "tags: a list" },
    { "{\"tags\":{\"a\":1}}", 400, "tags: a list" },
    { "{\"tags\":null}", 400, "tags: a list" },
    { "{\"tags\":[\"a\",1]}", 400, "tags[1]: a string" },
    { "{\"hosts\":[[\"a\"]]}", 400, "hosts[0]: a string" },
    { "{\"all\":1}", 400, "all: true or false" },
    { "{\"all\":\"true\"}", 400, "all: true or false" },
    { "{\"tags\":[\"a\"],\"soft\":null}", 400, "soft: true or false" },
    { "{\"tags\":[\"a\"],\"dry_run\":0}", 400, "dry_run: true or false" },
    { "{\"all\":false,\"all\":true}", 400, "duplicate object key" },
    { "{\"tags\":[\"a\"],\"tags\":[\"b\"]}", 400, "duplicate object key" },
    { "{\"tags\":[\"\"]}", 400, "tags[0]: a tag is not empty" },
    { "{\"tags\":[\"a\\nb\"]}", 400, "tags[0]: control characters" },
    { "{\"tags\":[\"a\\u0000b\"]}", 400, "\\u0000 is not allowed" },
    { "{\"tags\":[\"\xff\"]}", 400, "unable to decode byte 0xff" },
    { "{\"urls\":[\"/path\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http://h/\",\"example.com/path\"]}", 400, "urls[1]: an absolute URL" },
    { "{\"urls\":[\"ftp://h/\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http:///path\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http://user@h/\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http://h/a b\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http://h/a#b\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"urls\":[\"http://h/\xc3\xa4\"]}", 400, "urls[0]: an absolute URL" }, /* no request can ask for it */
    { "{\"urls\":[\"\"]}", 400, "urls[0]: an absolute URL" },
    { "{\"prefixes\":[\"/api/\"]}", 400, "prefixes[0]: the beginning of absolute URLs" },
    { "{\"prefixes\":[\"http://\"]}", 400, "prefixes[0]: the beginning of absolute URLs" },
    { "{\"hosts\":[\"http://h/\"]}", 400, "hosts[0]: a host" },
    { "{\"hosts\":[\"\"]}", 400, "hosts[0]: a host" },
    { "{\"hosts\":[\"h:99999\"]}", 400, "hosts[0]: a host" },
    /* what was understood before does not count */
    { "{\"tags\":[\"a\"],\"urls\":[\"http://h/\"],\"prefixes\":[\"http://h/\"],\"hosts\":[\"a b\"]}", 400, "hosts[0]" },
};

START_TEST(a_purge_that_is_not_understood_is_refused)
{
    const struct refusal *c = &refusals[_i];
    char why[300] = "";
    struct purge_order o;
    ck_assert_msg(read_order(c->json, &o, why, sizeof why) == c->status, "%s: %s", c->json, why);
    ck_assert_msg(strncmp(why, c->why, strlen(c->why)) == 0, "%s: %s", c->json, why);
}
END_TEST

/* ---- what is understood */

static const struct accepted {
    const char *json;
    const char *uris, *prefixes, *hosts, *tags; /* each followed by a blank */
    bool all, soft, dry_run;
} accepted[] = {
    { "{\"all\":true}", "", "", "", "", true, false, false },
    { "{\"tags\":[\"a\",\"b c\"],\"soft\":true}", "", "", "", "a b c ", false, true, false },
    { "{\"tags\":[\"\\u00fc\"],\"dry_run\":true,\"soft\":false}", "", "", "", "\xc3\xbc ", false, false, true },
    /* a URL stands for what was asked over http and over https */
    { "{\"urls\":[\"http://h/p\"]}", "http://h/p https://h/p ", "", "", "", false, false, false },
    { "{\"urls\":[\"HTTPS://H:443/p?q=1\"]}", "http://h/p?q=1 https://h/p?q=1 ", "", "", "", false, false, false },
    { "{\"urls\":[\"http://h:80\"]}", "http://h/ https://h/ ", "", "", "", false, false, false },
    { "{\"urls\":[\"http://h?q\"]}", "http://h/?q https://h/?q ", "", "", "", false, false, false },
    { "{\"urls\":[\"http://h:8080/%7ea/%2f\"]}", "http://h:8080/~a/%2F https://h:8080/~a/%2F ", "", "", "", false,
      false, false },
    { "{\"urls\":[\"http://[2001:DB8::1]:80/\"]}", "http://[2001:db8::1]/ https://[2001:db8::1]/ ", "", "", "", false,
      false, false },
    /* a prefix has its whole host, so that no other host begins with it */
    { "{\"prefixes\":[\"https://H\"]}", "", "http://h/ https://h/ ", "", "", false, false, false },
    { "{\"prefixes\":[\"http://h/api/v%31\"]}", "", "http://h/api/v1 https://h/api/v1 ", "", "", false, false, false },
    { "{\"prefixes\":[\"http://h/a?b=\"]}", "", "http://h/a?b= https://h/a?b= ", "", "", false, false, false },
    { "{\"hosts\":[\"H\"]}", "", "", "h ", "", false, false, false },
    { "{\"hosts\":[\"h:8080\"]}", "", "", "h:8080 ", "", false, false, false },
    { "{\"hosts\":[\"h:80\",\"h:443\"]}", "", "", "h h:80 h:443 h ", "", false, false, false },
    { "{\"urls\":[\"http://h/\"],\"hosts\":[\"g\"],\"tags\":[\"t\"],\"prefixes\":[\"http://i/\"]}",
      "http://h/ https://h/ ", "http://i/ https://i/ ", "g ", "t ", false, false, false },
};

static void joined(const struct view *views, size_t n, char *to, size_t cap)
{
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(to + used, cap - used, "%.*s ", (int)views[i].len, views[i].at);
}

START_TEST(a_purge_is_read_in_the_form_of_the_keys)
{
    const struct accepted *c = &accepted[_i];
    char why[300] = "", text[500];
    struct purge_order o;
    ck_assert_msg(read_order(c->json, &o, why, sizeof why) == 0, "%s: %s", c->json, why);
    const struct purge_request *r = &o.request;
    joined(r->uris, r->uri_count, text, sizeof text);
    ck_assert_str_eq(text, c->uris);
    joined(r->prefixes, r->prefix_count, text, sizeof text);
    ck_assert_str_eq(text, c->prefixes);
    joined(r->hosts, r->host_count, text, sizeof text);
    ck_assert_str_eq(text, c->hosts);
    joined(r->tags, r->tag_count, text, sizeof text);
    ck_assert_str_eq(text, c->tags);
    ck_assert(r->all == c->all && r->soft == c->soft && r->dry_run == c->dry_run && r->count);
    purge_order_free(&o);
}
END_TEST

/* The id of a URL is where a request for it is looked up. */
START_TEST(a_url_is_found_where_its_requests_are)
{
    char why[300] = "", text[KEY_TEXT_MAX];
    struct purge_order o;
    struct key key;
    struct site *site = a_site();
    ck_assert_int_eq(read_order("{\"urls\":[\"https://Example.com/a\"]}", &o, why, sizeof why), 0);
    ck_assert(site_key_of_uri(site, VIEW("http://example.com/a"), text, sizeof text, &key));
    ck_assert(o.request.uri_ids[0].key[0] == key.hash[0] && o.request.uri_ids[0].key[1] == key.hash[1]);
    ck_assert_uint_eq(o.request.uri_ids[0].variant, 0);
    purge_order_free(&o);
    site_unref(&site);
}
END_TEST

/* ---- for a weir behind, which knows URLs by what it is asked for */

static const struct renamed {
    const char *json, *host, *path_prefix, *renamed;
} renamed[] = {
    { "{\"urls\":[\"http://a.example/x?y\"],\"soft\":true}", NULL, "",
      "{\"urls\":[\"http://a.example/x?y\"],\"soft\":true}" },
    { "{\"urls\":[\"https://a.example/x?y\"]}", "b:81", "", "{\"urls\":[\"https://b:81/x?y\"]}" },
    { "{\"urls\":[\"http://a.example\"]}", NULL, "/in", "{\"urls\":[\"http://a.example/in/\"]}" },
    { "{\"urls\":[\"http://a.example?q\"]}", "b", "/in", "{\"urls\":[\"http://b/in/?q\"]}" },
    { "{\"prefixes\":[\"http://a.example/x\",\"http://c/\"]}", "b", "/in",
      "{\"prefixes\":[\"http://b/in/x\",\"http://b/in/\"]}" },
    { "{\"hosts\":[\"a.example\",\"c\"]}", "b", "/in", "{\"hosts\":[\"b\",\"b\"]}" },
    { "{\"hosts\":[\"a.example\"],\"tags\":[\"a.example\"]}", NULL, "/in",
      "{\"hosts\":[\"a.example\"],\"tags\":[\"a.example\"]}" },
};

START_TEST(a_purge_is_renamed_for_a_weir_behind)
{
    const struct renamed *c = &renamed[_i];
    char *json = purge_order_renamed(view_of_str(c->json), c->host, c->path_prefix);
    ck_assert_str_eq(json, c->renamed);
    free(json);
}
END_TEST

/* ---- limits */

static char *order_of_many(const char *member, const char *item, size_t n)
{
    size_t cap = strlen(member) + n * (strlen(item) + 3) + 10;
    char *json = malloc(cap);
    size_t used = (size_t)sprintf(json, "{\"%s\":[", member);
    for (size_t i = 0; i < n; i++) used += (size_t)sprintf(json + used, "%s\"%s\"", i > 0 ? "," : "", item);
    sprintf(json + used, "]}");
    return json;
}

static const struct limit {
    const char *member, *item;
    size_t n;
    int status;
} limits[] = {
    { "tags", "t", PURGE_ITEMS_MAX, 0 },
    { "tags", "t", PURGE_ITEMS_MAX + 1, 413 },
    { "urls", "http://h/", PURGE_ITEMS_MAX / 2, 0 },
    { "urls", "http://h/", PURGE_ITEMS_MAX / 2 + 1, 413 },
};

START_TEST(a_purge_has_so_many_names)
{
    const struct limit *c = &limits[_i];
    char why[300] = "";
    struct purge_order o;
    char *json = order_of_many(c->member, c->item, c->n);
    ck_assert_int_eq(read_order(json, &o, why, sizeof why), c->status);
    if (c->status == 0) ck_assert_uint_eq(o.request.tag_count + o.request.uri_count, PURGE_ITEMS_MAX);
    if (c->status == 0) purge_order_free(&o);
    free(json);
}
END_TEST

START_TEST(a_url_longer_than_a_key_is_refused)
{
    char why[300] = "", *json = malloc(KEY_TEXT_MAX + 100);
    struct purge_order o;
    size_t used = (size_t)sprintf(json, "{\"urls\":[\"http://h/");
    memset(json + used, 'a', KEY_TEXT_MAX);
    strcpy(json + used + KEY_TEXT_MAX, "\"]}");
    ck_assert_int_eq(read_order(json, &o, why, sizeof why), 400);
    free(json);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("purge");
    tcase_add_loop_test(t, a_purge_that_is_not_understood_is_refused, 0, ROWS(refusals));
    tcase_add_loop_test(t, a_purge_is_read_in_the_form_of_the_keys, 0, ROWS(accepted));
    tcase_add_test(t, a_url_is_found_where_its_requests_are);
    tcase_add_loop_test(t, a_purge_is_renamed_for_a_weir_behind, 0, ROWS(renamed));
    tcase_add_loop_test(t, a_purge_has_so_many_names, 0, ROWS(limits));
    tcase_add_test(t, a_url_longer_than_a_key_is_refused);
    return run_case("admin_purge", t);
}
