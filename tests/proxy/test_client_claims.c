/* What trusted proxies say, and whom weir takes for the client. 10.0.0.0/8 and fd00::/8 are trusted. */
#include "proxy/client_claims.h"
#include "tests/headers/table.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name, *value;
    const char *client; /* NULL: does not say */
    const char *scheme; /* NULL: does not say */
    const char *why;
} rows[] = {
    { "X-Forwarded-For", "192.0.2.7", "192.0.2.7", NULL, "the client" },
    { "X-Forwarded-For", "198.51.100.1, 192.0.2.7, 10.0.0.1", "192.0.2.7", NULL, "the last that is not trusted" },
    { "X-Forwarded-For", "10.1.1.1, 10.0.0.1", "10.1.1.1", NULL, "all are trusted: the first" },
    { "X-Forwarded-For", "192.0.2.7:4000", "192.0.2.7", NULL, "a port does not matter" },
    { "X-Forwarded-For", "2001:db8::7, fd00::1", "2001:db8::7", NULL, "IPv6" },
    { "X-Forwarded-For", "[2001:db8::7]:4000", "2001:db8::7", NULL, "IPv6 with a port" },
    { "X-Forwarded-For", "192.0.2.7, unknown, 10.0.0.1", "10.0.0.1", NULL, "beyond unknown nothing is certain" },
    { "X-Forwarded-For", "plum", NULL, NULL, "no address" },
    { "X-Forwarded-For", "[", NULL, NULL, "half a bracket" },
    { "X-Forwarded-For", "", NULL, NULL, "empty" },
    { "Forwarded", "for=192.0.2.7;proto=https", "192.0.2.7", "https", "RFC 7239" },
    { "Forwarded", "for=192.0.2.7, for=\"[fd00::1]:80\";proto=HTTP", "192.0.2.7", "http", "quoted" },
    { "Forwarded", "proto=https;for=_hidden", NULL, "https", "a name that stands for somebody" },
    { "Forwarded", "by=10.0.0.1", NULL, NULL, "no for" },
    { "X-Forwarded-Proto", "https", NULL, "https", "the scheme" },
    { "X-Forwarded-Proto", "http, https", NULL, "https", "of the nearest proxy" },
    { "X-Forwarded-Proto", "gopher", NULL, NULL, "another scheme" },
};

START_TEST(a_client_is_who_trusted_proxies_say)
{
    struct cidr blocks[2];
    ck_assert(cidr_parse(VIEW("10.0.0.0/8"), &blocks[0]) && cidr_parse(VIEW("fd00::/8"), &blocks[1]));
    struct cidrs trusted = { blocks, 2 };
    struct view name = view_of_str(rows[_i].name);
    struct field line = { .id = field_id_of(name), .name = name, .value = view_of_str(rows[_i].value) };
    struct field_section fields = { &line, 1 };
    union client_address a;
    char text[INET6_ADDRSTRLEN] = "";
    bool https, known = client_address_claimed(&trusted, fields, &a);
    if (known && a.any.sa_family == AF_INET) inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof text);
    if (known && a.any.sa_family == AF_INET6) inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof text);
    ck_assert_msg(known == (rows[_i].client != NULL), "%s", rows[_i].why);
    if (known) ck_assert_str_eq(text, rows[_i].client);
    bool scheme_known = client_scheme_claimed(fields, &https);
    ck_assert_msg(scheme_known == (rows[_i].scheme != NULL), "%s", rows[_i].why);
    if (scheme_known) ck_assert_str_eq(https ? "https" : "http", rows[_i].scheme);
}
END_TEST

/* A proxy that writes one of the fields may pass on the other as the client wrote it. */
static const struct {
    const char *x_for, *x_proto, *forwarded;
    bool address, scheme;
} pairs[] = {
    { "192.0.2.7, 10.0.0.1", "https", "for=192.0.2.7;proto=https, for=10.0.0.1;proto=https", true, true },
    { "192.0.2.7", "https", "for=192.0.2.8;proto=https", false, true },
    { "192.0.2.7", "http", "for=192.0.2.7;proto=https", true, false },
    { "192.0.2.7", "https", "for=\"[2001:db8::7]\";proto=ftp", false, true },
    { "192.0.2.7", "https", "for=unknown", false, true },
    { "plum", "plum", "for=192.0.2.7;proto=https", false, false },
};

START_TEST(two_claims_must_agree)
{
    struct lines l;
    char text[300];
    struct cidr block;
    union client_address a;
    bool https;
    ck_assert(cidr_parse(VIEW("10.0.0.0/8"), &block));
    struct cidrs trusted = { &block, 1 };
    snprintf(text, sizeof text, "X-Forwarded-For: %s\nX-Forwarded-Proto: %s\nForwarded: %s", pairs[_i].x_for,
             pairs[_i].x_proto, pairs[_i].forwarded);
    struct field_section fields = section_of(&l, text);
    ck_assert_int_eq(client_address_claimed(&trusted, fields, &a), pairs[_i].address);
    ck_assert_int_eq(client_scheme_claimed(fields, &https), pairs[_i].scheme);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_claims");
    TCase *t = tcase_create("client_claims");
    tcase_add_loop_test(t, a_client_is_who_trusted_proxies_say, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(t, two_claims_must_agree, 0, sizeof(pairs) / sizeof(pairs[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
