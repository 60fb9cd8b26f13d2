/* Base URLs and TLS names, and where they lead. */
#include "proxy/origin_address.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    const char *base_url, *tls_name, *host;
    unsigned port;
    bool is_name;
    const char *url, *connect_to;
} rows[] = {
    { "http://127.0.0.1:3000", NULL, "127.0.0.1", 3000, false, "http://127.0.0.1:3000", "" },
    { "http://localhost:3000", NULL, "localhost", 3000, false, "http://localhost:3000", "" },
    { "http://api.example.com", NULL, "api.example.com", 80, true, "http://api.example.com", "" },
    { "https://api.example.com", NULL, "api.example.com", 443, true, "https://api.example.com", "" },
    { "https://[::1]:8443", NULL, "[::1]", 8443, false, "https://[::1]:8443", "" },
    { "https://[::1]", "plum.example", "[::1]", 443, false, "https://plum.example:443", "::[::1]:443" },
    { "https://10.0.0.1:8443", "plum.example", "10.0.0.1", 8443, false, "https://plum.example:8443",
      "::10.0.0.1:8443" },
    { "https://plum.example", "plum.example", "plum.example", 443, true, "https://plum.example", "" },
    { "http://10.0.0.1", "plum.example", "10.0.0.1", 80, false, "http://10.0.0.1", "" },
};

START_TEST(an_origin_server_is_where_its_url_says)
{
    struct origin_address a;
    ck_assert(origin_address_of(rows[_i].base_url, rows[_i].tls_name, &a));
    ck_assert_str_eq(a.host, rows[_i].host);
    ck_assert_uint_eq(a.port, rows[_i].port);
    ck_assert_int_eq(a.is_name, rows[_i].is_name);
    ck_assert_str_eq(a.url, rows[_i].url);
    ck_assert_str_eq(a.connect_to, rows[_i].connect_to);
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_refused)
{
    struct origin_address a;
    char url[ORIGIN_HOST_MAX + 32] = "http://";
    memset(url + 7, 'a', ORIGIN_HOST_MAX);
    ck_assert(!origin_address_of(url, NULL, &a));
    ck_assert(!origin_address_of("https://a", url + 7, &a) || strlen(a.url) < sizeof a.url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("origin_address");
    TCase *t = tcase_create("origin_address");
    tcase_add_loop_test(t, an_origin_server_is_where_its_url_says, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(t, a_name_that_does_not_fit_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
