/* Names, what scripted name servers say of them, and what is known of them then. */
#include "proxy/dns.h"
#include "proxy/resolver.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* What the name server says next in each family: addresses, "" for none, BROKEN_OFF, or NULL: it fails. */
static const char *says[FAMILIES];
static const char BROKEN_OFF[] = "broken off";
static int64_t ttl_s;
static int asked, told;
static struct resolver *resolver;
static int64_t now_ms;

static void answer(struct resolved *n, enum family family)
{
    struct addresses found = { .ttl_s = ttl_s };
    if (says[family] == BROKEN_OFF) {
        resolver_answer(resolver, n, family, NULL, NULL, now_ms);
        return;
    }
    for (const char *at = says[family]; at != NULL && *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        snprintf(found.text[found.count++], sizeof found.text[0], "%.*s", (int)len, at);
        at += len;
    }
    resolver_answer(resolver, n, family, says[family] != NULL ? &found : NULL,
                    says[family] == NULL ? "no answer" : NULL, now_ms);
}

static void scripted(void *arg, struct resolved *n, const char *host)
{
    (void)arg;
    ck_assert_str_eq(host, "plum.example");
    asked++;
    answer(n, FAMILY_4);
    answer(n, FAMILY_6);
}

static void on_news(void *arg)
{
    (void)arg;
    told++;
}

static struct resolver *begin(void)
{
    resolver = resolver_new();
    resolver_set_ops(resolver, (struct resolver_ops){ .ask = scripted, .news = on_news });
    asked = told = 0;
    return resolver;
}

static int64_t round_at(int64_t at_ms)
{
    now_ms = at_ms;
    return resolver_round(resolver, at_ms);
}

static const char *list_of(struct resolved *n, unsigned turn, int64_t at_ms)
{
    static char list[256];
    char first[RESOLVER_ADDRESS_TEXT];
    ck_assert_uint_eq(resolved_list(n, turn, at_ms, list, sizeof list, first), resolved_version(n));
    return list;
}

static const struct {
    const char *first, *first_6, *then, *then_6, *known, *why;
    int64_t ttl_s, asked_again_ms;
    bool changes;
} rows[] = {
    { "10.0.0.1", "", "10.0.0.2", "", "10.0.0.2", "another address takes its place", 5, 5000, true },
    { "10.0.0.1", "", "10.0.0.1", "", "10.0.0.1", "the same is no news", 5, 5000, false },
    { "10.0.0.1 10.0.0.2", "", "10.0.0.2 10.0.0.1", "", "10.0.0.1,10.0.0.2", "nor in another order", 5, 5000, false },
    { "10.0.0.1", "", NULL, NULL, "10.0.0.1", "the last good answer stays", 5, 5000, false },
    { "10.0.0.1", "", "", "", "10.0.0.1", "also when the name is gone", 5, 5000, false },
    { NULL, NULL, "10.0.0.1", "", "10.0.0.1", "a name that does not resolve yet", 5, RESOLVER_RETRY_S * 1000, true },
    { "", "", "10.0.0.1", "", "10.0.0.1", "a name that is not there yet", 5, RESOLVER_RETRY_S * 1000, true },
    { NULL, NULL, NULL, NULL, "", "and one that never is", 5, RESOLVER_RETRY_S * 1000, false },
    { "10.0.0.1", "", "10.0.0.1", "fe80::1", "10.0.0.1,[fe80::1]", "IPv6 in brackets", 5, 5000, true },
    { "10.0.0.1", "fe80::1", NULL, "fe80::2", "10.0.0.1,[fe80::2]", "one family fails", 5, 5000, true },
    { "10.0.0.1", "fe80::1", "10.0.0.2", NULL, "10.0.0.2,[fe80::1]", "or the other", 5, 5000, true },
    { "10.0.0.1", "fe80::1", "", "fe80::1", "[fe80::1]", "or ceases to be", 5, 5000, true },
    { "10.0.0.1", "fe80::1", "", NULL, "10.0.0.1,[fe80::1]", "but not without any answer", 5, 5000, false },
    { NULL, "fe80::1", "10.0.0.2", "fe80::1", "10.0.0.2,[fe80::1]", "half an answer is one", 5, 5000, true },
    { "10.0.0.1", "", "10.0.0.2", "", "10.0.0.2", "no time to live: the least", 0, 1000, true },
    { "10.0.0.1", "", "10.0.0.2", "", "10.0.0.2", "too long a time to live: the most", 86400, 300 * 1000, true },
    { "10.0.0.1", "", "10.0.0.2", "", "10.0.0.2", "nobody tells", -1, RESOLVER_TTL_UNKNOWN_S * 1000, true },
};

START_TEST(names_are_asked_again)
{
    struct resolver *r = begin();
    ck_assert(round_at(1000) == -1);
    struct resolved *n = resolver_join(r, "plum.example");
    ck_assert_int_eq(told, 1);
    ttl_s = rows[_i].ttl_s;
    says[FAMILY_4] = rows[_i].first;
    says[FAMILY_6] = rows[_i].first_6;
    ck_assert_uint_eq(resolved_version(n), 0);
    ck_assert_ptr_null(resolved_why(n));
    int64_t next_ms = round_at(1000);
    ck_assert_msg(next_ms == 1000 + rows[_i].asked_again_ms, "%s: %lld", rows[_i].why, (long long)next_ms);
    unsigned version = resolved_version(n);
    ck_assert_msg((resolved_why(n) != NULL) == (version == 0), "%s", rows[_i].why);
    says[FAMILY_4] = rows[_i].then;
    says[FAMILY_6] = rows[_i].then_6;
    (void)round_at(next_ms - 1);
    ck_assert_int_eq(asked, 1);
    (void)round_at(next_ms);
    ck_assert_int_eq(asked, 2);
    ck_assert_msg((resolved_version(n) != version) == rows[_i].changes, "%s", rows[_i].why);
    ck_assert_str_eq(list_of(n, 0, next_ms), rows[_i].known);
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

START_TEST(each_of_several_addresses_has_its_turn)
{
    char list[20], first[RESOLVER_ADDRESS_TEXT];
    struct resolver *r = begin();
    struct resolved *n = resolver_join(r, "plum.example");
    ttl_s = 5;
    says[FAMILY_4] = "10.0.0.1 10.0.0.2 10.0.0.3";
    says[FAMILY_6] = "";
    (void)round_at(1000);
    ck_assert_str_eq(list_of(n, 0, 1000), "10.0.0.1,10.0.0.2,10.0.0.3");
    ck_assert_str_eq(list_of(n, 1, 1000), "10.0.0.2,10.0.0.3,10.0.0.1");
    ck_assert_str_eq(list_of(n, 5, 1000), "10.0.0.3,10.0.0.1,10.0.0.2");
    ck_assert_uint_eq(resolved_list(n, 1, 1000, list, sizeof list, first), 0); /* does not fit */
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

START_TEST(an_address_where_nobody_answers_stands_back_for_a_while)
{
    struct resolver *r = begin();
    struct resolved *n = resolver_join(r, "plum.example");
    ttl_s = 5;
    says[FAMILY_4] = "10.0.0.1 10.0.0.2";
    says[FAMILY_6] = "fe80::1";
    (void)round_at(1000);
    resolved_shun(n, "10.0.0.1", 2000);
    resolved_shun(n, "10.0.0.9", 2000); /* nobody knows it any more */
    ck_assert_str_eq(list_of(n, 0, 2000), "10.0.0.2,[fe80::1],10.0.0.1");
    ck_assert_str_eq(list_of(n, 2, 2000), "[fe80::1],10.0.0.2,10.0.0.1");
    says[FAMILY_4] = "10.0.0.3 10.0.0.1";
    (void)round_at(6000);
    ck_assert_str_eq(list_of(n, 0, 6000), "10.0.0.3,[fe80::1],10.0.0.1");
    resolved_shun(n, "10.0.0.3", 6000);
    resolved_shun(n, "fe80::1", 6000);
    ck_assert_str_eq(list_of(n, 1, 6000), "10.0.0.1,[fe80::1],10.0.0.3"); /* all alike */
    ck_assert_str_eq(list_of(n, 0, 2000 + RESOLVER_SHUN_MS), "10.0.0.1,10.0.0.3,[fe80::1]");
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

START_TEST(a_name_that_is_left_is_asked_no_more)
{
    struct resolver *r = begin();
    struct resolved *n = resolver_join(r, "plum.example"), *again = resolver_join(r, "plum.example");
    ttl_s = 5;
    says[FAMILY_4] = "10.0.0.1";
    says[FAMILY_6] = "";
    ck_assert_ptr_eq(n, again);
    ck_assert_int_eq(told, 1);
    (void)round_at(1000);
    resolver_leave(r, &n);
    (void)round_at(1000000);
    ck_assert_int_eq(asked, 2);
    resolver_leave(r, &again);
    ck_assert(round_at(2000000) == -1);
    ck_assert_int_eq(asked, 2);
    resolver_free(r);
}
END_TEST

/* As when name servers change: nothing was learned, so nothing is said of the name. */
START_TEST(a_question_that_is_broken_off_is_asked_again_at_once)
{
    static const char *const others[] = { BROKEN_OFF, "", NULL };
    struct resolver *r = begin();
    struct resolved *n = resolver_join(r, "plum.example");
    says[FAMILY_4] = BROKEN_OFF;
    says[FAMILY_6] = others[_i];
    ck_assert_int_eq(round_at(1000), 1000);
    ck_assert_ptr_null(resolved_why(n)); /* who waits for the name waits on */
    says[FAMILY_4] = "10.0.0.1";
    says[FAMILY_6] = BROKEN_OFF;
    ttl_s = 5;
    ck_assert_int_eq(round_at(1000), 6000); /* half an answer is one */
    ck_assert_str_eq(list_of(n, 0, 1000), "10.0.0.1");
    resolver_leave(r, &n);
    resolver_free(r);
}
END_TEST

static const struct {
    const char *text;
    bool sound;
} servers[] = {
    { "9.9.9.9", true },
    { "9.9.9.9:53", true },
    { "2620:fe::fe", true },
    { "[2620:fe::fe]", true },
    { "[2620:fe::fe]:5", true },
    { "127.0.0.1:65535", true },
    { "", false },
    { "9.9.9", false },
    { "9.9.9.9:", false },
    { "9.9.9.9:0", false },
    { "9.9.9.9:65536", false },
    { "9.9.9.9,8.8.8.8", false },
    { "ns.example", false },
    { "[9.9.9.9]", false },
    { "[2620:fe::fe", false },
    { "2620:fe::fe]:53", false },
    { "[::1]x", false },
    { ":53", false },
    { "[]", false },
};

START_TEST(name_servers_are_addresses)
{
    ck_assert_msg((check_name_server(view_of_str(servers[_i].text)) == NULL) == servers[_i].sound, "%s",
                  servers[_i].text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *t = tcase_create("resolver");
    tcase_add_loop_test(t, names_are_asked_again, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(t, each_of_several_addresses_has_its_turn);
    tcase_add_test(t, an_address_where_nobody_answers_stands_back_for_a_while);
    tcase_add_test(t, a_name_that_is_left_is_asked_no_more);
    tcase_add_loop_test(t, a_question_that_is_broken_off_is_asked_again_at_once, 0, 3);
    tcase_add_loop_test(t, name_servers_are_addresses, 0, sizeof(servers) / sizeof(servers[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
