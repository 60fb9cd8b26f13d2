/* What may be switched to, and what was. */
#include "proxy/upgrade.h"

#include "tests/headers/table.h"

static const struct view both[] = { { "websocket", 9 }, { "chat/2", 6 } };

static const struct offer_row {
    const char *method;
    int http_minor;
    const char *fields, *want, *why;
} offers[] = {
    { "GET", 1, "Connection: Upgrade\nUpgrade: websocket", "websocket", "as browsers ask" },
    { "GET", 1, "Connection: keep-alive, upgrade\nUpgrade: WebSocket", "WebSocket", "case carries no meaning" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: websocket/13", "websocket/13", "every version" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: chat/2", "chat/2", "this version" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: chat/3", "", "and no other" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: chat", "", "nor none" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: h2c, chat/2\nUpgrade: websocket", "chat/2, websocket", "in its order" },
    { "GET", 1, "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__", "", "unlisted" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: websocket x", "", "no protocol" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: websocket/", "", "nor this" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: \"websocket\"", "", "nor this" },
    { "GET", 1, "Connection: Upgrade\nUpgrade: websocketx", "", "nor this" },
    { "GET", 1, "Connection: Upgrade\nUpgrade:", "", "nothing" },
    { "GET", 1, "Connection: Upgrade", "", "nothing" },
    { "GET", 1, "Connection: keep-alive\nUpgrade: websocket", "", "RFC 9110 §7.8: Connection must name it" },
    { "GET", 1, "Upgrade: websocket", "", "so must it be there" },
    { "GET", 0, "Connection: Upgrade\nUpgrade: websocket", "", "§7.8: ignored in HTTP/1.0" },
    { "HEAD", 1, "Connection: Upgrade\nUpgrade: websocket", "", "GET only" },
    { "POST", 1, "Connection: Upgrade\nUpgrade: websocket", "", "GET only" },
};

START_TEST(what_is_allowed_is_offered)
{
    const struct offer_row *row = &offers[_i];
    const struct views allowed = { both, 2 }, none = { NULL, 0 };
    struct lines l;
    char text[UPGRADE_OFFER_MAX];
    struct request_head head = { .method = method_of(view_of_str(row->method)),
                                 .http_minor = row->http_minor,
                                 .fields = section_of(&l, row->fields) };
    size_t len = upgrade_offer(&head, &allowed, text, sizeof text);
    ck_assert_msg(view_is(view_of(text, len), row->want), "%s: %.*s", row->why, (int)len, text);
    ck_assert_uint_eq(upgrade_offer(&head, &none, text, sizeof text), 0);
}
END_TEST

START_TEST(an_offer_has_an_end)
{
    const struct views allowed = { both, 2 };
    struct lines l;
    char text[UPGRADE_OFFER_MAX];
    struct request_head head = {
        .method = METHOD_GET,
        .http_minor = 1,
        .fields = section_of(&l, "Connection: Upgrade\nUpgrade: websocket, websocket/13, chat/2"),
    };
    size_t len = upgrade_offer(&head, &allowed, text, 17);
    ck_assert_msg(view_is(view_of(text, len), "websocket, chat/2"), "%.*s", (int)len, text);
}
END_TEST

static const struct answer_row {
    const char *fields, *offer;
    bool offered;
} answers[] = {
    { "Upgrade: websocket", "websocket", true },
    { "Upgrade: WebSocket", "websocket", true },
    { "Upgrade: chat/2", "websocket, chat/2", true },
    { "Upgrade: chat/2, websocket", "websocket, chat/2", true },
    { "Upgrade: chat/2\nUpgrade: h2c", "websocket, chat/2", false },
    { "Upgrade: h2c", "websocket", false },
    { "Upgrade: websocket/13", "websocket", false },
    { "Upgrade:", "websocket", false },
    { "Connection: upgrade", "websocket", false },
    { "Upgrade: websocket", "", false },
};

START_TEST(a_101_names_what_was_offered)
{
    struct lines l;
    struct field_section fields = section_of(&l, answers[_i].fields);
    ck_assert_int_eq(upgrade_was_offered(fields, view_of_str(answers[_i].offer)), answers[_i].offered);
}
END_TEST

static const struct protocol_row {
    const char *text;
    bool may_be_listed;
} protocols[] = {
    { "websocket", true }, { "WebSocket", true }, { "chat/2", true },   { "h2c", false },
    { "H2C", false },      { "HTTP/2.0", false }, { "TLS/1.0", false }, { "", false },
    { "chat/", false },    { "/2", false },       { "a b", false },     { "websocket, chat", false },
};

START_TEST(http_and_tls_cannot_be_listed)
{
    ck_assert_int_eq(upgrade_check_protocol(view_of_str(protocols[_i].text)) == NULL, protocols[_i].may_be_listed);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("upgrade");
    tcase_add_loop_test(t, what_is_allowed_is_offered, 0, ROWS(offers));
    tcase_add_test(t, an_offer_has_an_end);
    tcase_add_loop_test(t, a_101_names_what_was_offered, 0, ROWS(answers));
    tcase_add_loop_test(t, http_and_tls_cannot_be_listed, 0, ROWS(protocols));
    return run_case("upgrade", t);
}
