/* The commands' side of the admin API: answers, values, and who may call. */
#include "proxy/admin_client.h"
#include "proxy/admin_json.h"
#include "proxy/command_admin.h"
#include "proxy/config.h"
#include "proxy/weir.h"

#include "tests/headers/table.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* ---- answers */

static const struct answer {
    const char *received;
    bool ended;
    int want, status;
    const char *content;
} answers[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, 0, 200, "{}" },
    { "HTTP/1.1 200 OK\r\ncontent-length:  2 \r\n\r\n{}more", false, 0, 200, "{}" },
    { "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", false, 0, 204, "" },
    { "HTTP/1.0 503 x\r\nA: b\r\n\r\n{}", true, 0, 503, "{}" }, /* until the connection ends */
    { "HTTP/1.0 503 x\r\nA: b\r\n\r\n{}", false, 1, 503, NULL },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", false, 1, 200, NULL },
    { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", true, -1, 200, NULL }, /* cut short */
    { "HTTP/1.1 200 OK\r\nContent-Len", false, 1, 0, NULL },
    { "HTTP/1.1 200 OK\r\nContent-Len", true, -1, 0, NULL },
    { "", true, -1, 0, NULL },
    { "SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", false, -1, 0, NULL },
    { "HTTP/1.1\r\n\r\n", false, -1, 0, NULL },
    { "HTTP/1.1 2x0 OK\r\n\r\n", true, -1, 0, NULL },
    { "HTTP/1.1 100 Continue\r\n\r\n", true, -1, 0, NULL }, /* nobody asked for it */
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, -1, 0, NULL },
    { "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", true, -1, 200, NULL },
    { "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", true, -1, 200, NULL },
};

START_TEST(an_answer_is_read)
{
    const struct answer *c = &answers[_i];
    int status = 0;
    struct view content = { NULL, 0 };
    size_t len = strlen(c->received);
    char *received = malloc(len + 1);
    memcpy(received, c->received, len);
    char *fitted = realloc(received, len > 0 ? len : 1); /* no NUL behind it */
    ck_assert_msg(admin_reply_parse(view_of(fitted, len), c->ended, &status, &content) == c->want, "%s", c->received);
    if (c->want == 0) {
        ck_assert_int_eq(status, c->status);
        ck_assert(view_is(content, c->content));
    }
    free(fitted);
}
END_TEST

/* ---- values */

static const struct value_case {
    double value;
    const char *bytes, *duration;
} value_cases[] = {
    { 0, "0 B", "0 s" },
    { 1, "1 B", "1 s" },
    { 119, "119 B", "119 s" },
    { 120, "120 B", "2 min" },
    { 1023, "1023 B", "17 min 3 s" },
    { 1024, "1.0 KiB", "17 min 4 s" },
    { 1536, "1.5 KiB", "25 min 36 s" },
    { 3600 * 2, "7.0 KiB", "2 h" },
    { 3600 * 5 + 60 * 7 + 1, "18.0 KiB", "5 h 7 min" },
    { 86400.0 * 400, "33.0 MiB", "400 d" },
    { 86400 * 2 + 3 * 3600, "179 KiB", "2 d 3 h" },
    { 1024.0 * 1024 * 1024 * 4, "4.0 GiB", "49710 d 6 h" },
};

START_TEST(values_are_read_at_a_glance)
{
    char text[COMMAND_VALUE_MAX];
    ck_assert_str_eq(command_bytes(value_cases[_i].value, text), value_cases[_i].bytes);
    ck_assert_str_eq(command_duration(value_cases[_i].value, text), value_cases[_i].duration);
}
END_TEST

START_TEST(a_path_leads_to_a_value)
{
    json_t *json = json_pack("{s:{s:{s:i}}, s:i}", "a", "b", "c", 7, "d", 8);
    ck_assert(command_number(json, "a.b.c") == 7 && command_number(json, "d") == 8);
    ck_assert_ptr_null(command_at(json, "a.x.c"));
    ck_assert_ptr_null(command_at(json, "d.c"));
    json_decref(json);
}
END_TEST

/* A terminal obeys nothing that came over the network. */
START_TEST(control_characters_are_not_printed)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    command_put_text(f, "a\033[2J\x7f\t\xc2\x9b\xc2\xa0\xc3\xbc");
    fclose(f);
    ck_assert_str_eq(text, "a?[2J???\xc2\xa0\xc3\xbc");
    free(text);
}
END_TEST

static const struct text_case {
    const char *wire, *utf8;
} texts[] = {
    { "", "" },
    { "plain", "plain" },
    { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
    { "gr\xfc\xdf", "gr\xc3\xbc\xc3\x9f" }, /* ISO-8859-1 */
    { "\x80\xff", "\xc2\x80\xc3\xbf" },
};

START_TEST(what_is_no_utf8_is_shown_as_latin1)
{
    json_t *json = admin_json_text(view_of_str(texts[_i].wire));
    ck_assert_str_eq(json_string_value(json), texts[_i].utf8);
    json_decref(json);
}
END_TEST

/* ---- who may purge */

static const struct peer_case {
    const char *peer, *fields, *token;
    bool may;
} peers[] = {
    { "127.0.0.1", "", NULL, true },
    { "127.255.3.4", "", NULL, true },
    { "::1", "", NULL, true },
    { "::ffff:127.0.0.1", "", NULL, true },
    { "128.0.0.1", "", NULL, false },
    { "10.0.0.1", "", NULL, false },
    { "0.0.0.0", "", NULL, false },
    { "::2", "", NULL, false },
    { "::ffff:10.0.0.1", "", NULL, false },
    { "::127.0.0.1", "", NULL, false },
    /* a proxy on this machine, or a page in a browser, speaks for somebody else */
    { "127.0.0.1", "X-Forwarded-For: 127.0.0.1", NULL, false },
    { "127.0.0.1", "Forwarded: for=127.0.0.1", NULL, false },
    { "127.0.0.1", "Via: 1.1 front", NULL, false },
    { "127.0.0.1", "Origin: http://evil.example", NULL, false },
    /* the token */
    { "10.0.0.1", "Authorization: Bearer plum", "plum", true },
    { "10.0.0.1", "Authorization: bearer  plum", "plum", true },
    { "127.0.0.1", "X-Forwarded-For: 10.0.0.1\nAuthorization: Bearer plum", "plum", true },
    { "10.0.0.1", "Authorization: Bearer plu", "plum", false },
    { "10.0.0.1", "Authorization: Bearer plumm", "plum", false },
    { "10.0.0.1", "Authorization: Bearer plumplum", "plum", false },
    { "10.0.0.1", "Authorization: Bearer ", "plum", false },
    { "10.0.0.1", "Authorization: Bearer Plum", "plum", false },
    { "10.0.0.1", "Authorization: Basic plum", "plum", false },
    { "10.0.0.1", "Authorization: plum", "plum", false },
    { "10.0.0.1", "Authorization: Bearer plum\nAuthorization: Bearer jam", "plum", false },
    { "10.0.0.1", "Authorization: Bearer ", NULL, false },
    { "10.0.0.1", "Authorization: Bearer ", "", false },
};

START_TEST(who_may_purge)
{
    const struct peer_case *c = &peers[_i];
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    bool is_v4 = inet_pton(AF_INET, c->peer, &v4.sin_addr) == 1;
    if (!is_v4) ck_assert_int_eq(inet_pton(AF_INET6, c->peer, &v6.sin6_addr), 1);
    const struct sockaddr *peer = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    char why[256];
    struct site *site = config_of_origin("http://127.0.0.1:3000", why, sizeof why);
    ck_assert_msg(site != NULL, "%s", why);
    struct settings settings = site->settings; /* the defaults: loopback */
    struct view tokens[] = { VIEW("another"), view_of_str(c->token) };
    struct lines lines;
    settings.admin_tokens = (struct views){ tokens, c->token != NULL ? 2 : 0 };
    ck_assert_msg(weir_may_purge(&settings, peer, section_of(&lines, c->fields)) == c->may, "%s %s", c->peer,
                  c->fields);
    site_unref(&site);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("client");
    tcase_add_loop_test(t, an_answer_is_read, 0, ROWS(answers));
    tcase_add_loop_test(t, values_are_read_at_a_glance, 0, ROWS(value_cases));
    tcase_add_test(t, a_path_leads_to_a_value);
    tcase_add_test(t, control_characters_are_not_printed);
    tcase_add_loop_test(t, what_is_no_utf8_is_shown_as_latin1, 0, ROWS(texts));
    tcase_add_loop_test(t, who_may_purge, 0, ROWS(peers));
    return run_case("admin_client", t);
}
