/* Names, what a scripted name server says of them, and what is known of them then. */
#include "proxy/resolver.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* What the name server says next: addresses, or NULL: it fails. */
static const char *says;
static int64_t ttl_s;
static int asked;

static const char *scripted(const char *host, struct addresses *out)
{
    ck_assert_str_eq(host, "plum.example");
    asked++;
    out->count = 0;
    out->ttl_s = ttl_s;
    if (says == NULL) return "no answer";
    for (const char *at = says; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        snprintf(out->text[out->count++], sizeof out->text[0], "%.*s", (int)len, at);
        at += len;
    }
    return NULL;
}

static const struct {
    const char *first, *then, *known, *why;
    int64_t ttl_s, asked_again_ms;
    bool changes;
} rows[] = {
    { "10.0.0.1", "10.0.0.2", "10.0.0.2", "another address takes its place", 5, 5000, true },
    { "10.0.0.1", "10.0.0.1", "10.0.0.1", "the same is no news", 5, 5000, false },
    { "10.0.0.1", NULL, "10.0.0.1", "the last good answer stays", 5, 5000, false },
    { NULL, "10.0.0.1", "10.0.0.1", "a name that does not resolve yet", 5, RESOLVER_RETRY_S * 1000, true },
    { NULL, NULL, "", "and one that never does", 5, RESOLVER_RETRY_S * 1000, false },
    { "10.0.0.1", "fe80::1 10.0.0.1", "[fe80::1],10.0.0.1", "IPv6 in brackets", 5, 5000, true },
    { "10.0.0.1", "10.0.0.2", "10.0.0.2", "no time to live: a second", 0, 1000, true },
    { "10.0.0.1", "10.0.0.2", "10.0.0.2", "too long a time to live", 86400, RESOLVER_TTL_MAX_S * 1000, true },
    { "10.0.0.1", "10.0.0.2", "10.0.0.2", "a time to live that nobody tells", -1, RESOLVER_TTL_UNKNOWN_S * 1000, true },
};

START_TEST(names_are_asked_again)
{
    char list[256] = "";
    struct resolver *r = resolver_new(scripted);
    ck_assert(resolver_round(r, 1000) == -1);
    struct resolved *n = resolver_join(r, "plum.example");
    asked = 0;
    ttl_s = rows[_i].ttl_s;
    says = rows[_i].first;
    ck_assert_uint_eq(resolved_version(n), 0);
    int64_t next_ms = resolver_round(r, 1000);
    ck_assert_msg(next_ms == 1000 + rows[_i].asked_again_ms, "%s: %lld", rows[_i].why, (long long)next_ms);
    unsigned version = resolved_version(n);
    ck_assert_uint_eq(version == 0, rows[_i].first == NULL);
    says = rows[_i].then;
    (void)resolver_round(r, next_ms - 1);
    ck_assert_int_eq(asked, 1);
    (void)resolver_round(r, next_ms);
    ck_assert_int_eq(asked, 2);
    ck_assert_msg((resolved_version(n) != version) == rows[_i].changes, "%s", rows[_i].why);
    ck_assert_uint_eq(resolved_list(n, 0, list, sizeof list), resolved_version(n));
    ck_assert_str_eq(list, rows[_i].known);
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

START_TEST(each_of_several_addresses_has_its_turn)
{
    char list[256];
    struct resolver *r = resolver_new(scripted);
    struct resolved *n = resolver_join(r, "plum.example");
    says = "10.0.0.1 10.0.0.2 10.0.0.3";
    ttl_s = 5;
    (void)resolver_round(r, 1000);
    unsigned version = resolved_list(n, 1, list, sizeof list);
    ck_assert_str_eq(list, "10.0.0.2,10.0.0.3,10.0.0.1");
    (void)resolver_round(r, 6000);
    ck_assert_uint_ne(resolved_version(n), version);
    ck_assert_uint_eq(resolved_list(n, 0, list, 20), 0); /* does not fit */
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

START_TEST(a_name_that_is_left_is_asked_no_more)
{
    struct resolver *r = resolver_new(scripted);
    struct resolved *n = resolver_join(r, "plum.example"), *again = resolver_join(r, "plum.example");
    says = "10.0.0.1";
    ck_assert_ptr_eq(n, again);
    asked = 0;
    (void)resolver_round(r, 1000);
    resolver_leave(r, &n);
    (void)resolver_round(r, 1000000);
    ck_assert_int_eq(asked, 2);
    resolver_leave(r, &again);
    ck_assert(resolver_round(r, 2000000) == -1);
    ck_assert_int_eq(asked, 2);
    resolver_free(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *t = tcase_create("resolver");
    tcase_add_loop_test(t, names_are_asked_again, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(t, each_of_several_addresses_has_its_turn);
    tcase_add_test(t, a_name_that_is_left_is_asked_no_more);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
