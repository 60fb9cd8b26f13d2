/* PROXY headers as bytes, cut anywhere, and whom they name. */
#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE   "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t len;
    enum proxy_header_verdict verdict;
    size_t header_len;
    const char *client; /* NULL: none */
} rows[] = {
    { BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n"), PROXY_HEADER_WHOLE, 45,
      "192.0.2.1 56324" },
    { BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), PROXY_HEADER_WHOLE, 44, "2001:db8::1 1" },
    { BYTES("PROXY UNKNOWN\r\nGET"), PROXY_HEADER_WHOLE, 15, NULL },
    { BYTES("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), PROXY_HEADER_WHOLE, 35, NULL },
    { BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY TCP4 2001:db8::1 198.51.100.1 56324 443\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES(
          "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 xxxxxxxx"),
      PROXY_HEADER_BAD, 0, NULL },
    { BYTES("GET / HTTP/1.1\r\n"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES("PROXY TCP4 192.0.2.1"), PROXY_HEADER_UNFINISHED, 0, NULL },
    { BYTES(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbbGET"), PROXY_HEADER_WHOLE, 28,
      "192.0.2.1 56324" },
    { BYTES(SIGNATURE "\x21\x21\0\x24"
                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\xff\xff"),
      PROXY_HEADER_WHOLE, 52, "2001:db8::1 1" },
    { BYTES(SIGNATURE "\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb\x03\0\x01x"), PROXY_HEADER_WHOLE,
      32, "192.0.2.1 56324" },
    { BYTES(SIGNATURE "\x20\0\0\0GET"), PROXY_HEADER_WHOLE, 16, NULL },
    { BYTES(SIGNATURE "\x21\x31\0\x01x"), PROXY_HEADER_WHOLE, 17, NULL },
    { BYTES(SIGNATURE "\x21\x11\0\x04\xc0\0\x02\x01"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES(SIGNATURE "\x11\x11\0\x0c"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES(SIGNATURE "\x22\x11\0\x0c"), PROXY_HEADER_BAD, 0, NULL },
    { BYTES(SIGNATURE "\x21\x11\xff\xff"), PROXY_HEADER_BAD, 0, NULL },
};

static const char *client_of(const struct proxy_header *h)
{
    static char text[80];
    char address[INET6_ADDRSTRLEN] = "";
    if (!h->has_client) return NULL;
    bool v6 = h->client.any.sa_family == AF_INET6;
    const void *number = v6 ? (const void *)&h->client.v6.sin6_addr : (const void *)&h->client.v4.sin_addr;
    inet_ntop(h->client.any.sa_family, number, address, sizeof address);
    snprintf(text, sizeof text, "%s %u", address, ntohs(v6 ? h->client.v6.sin6_port : h->client.v4.sin_port));
    return text;
}

START_TEST(a_header_names_the_client)
{
    struct proxy_header h;
    ck_assert_int_eq(proxy_header_parse((const uint8_t *)rows[_i].bytes, rows[_i].len, &h), rows[_i].verdict);
    if (rows[_i].verdict != PROXY_HEADER_WHOLE) return;
    ck_assert_uint_eq(h.len, rows[_i].header_len);
    ck_assert_pstr_eq(client_of(&h), rows[_i].client);
    for (size_t cut = 0; cut < h.len; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that reading beyond shows */
        struct proxy_header part;
        memcpy(copy, rows[_i].bytes, cut);
        ck_assert_int_eq(proxy_header_parse(copy, cut, &part), PROXY_HEADER_UNFINISHED);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy_protocol");
    TCase *t = tcase_create("proxy_protocol");
    tcase_add_loop_test(t, a_header_names_the_client, 0, sizeof(rows) / sizeof(rows[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
