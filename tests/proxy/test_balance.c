/* Which server is picked, as tables; then what the ways of balancing promise over many picks. */
#include "proxy/balance.h"

#include <check.h>
#include <stdlib.h>

enum { SERVERS = 4, PICKS = 120000 };

/* A server as four characters of a row: weight digit, 'u' usable or '-' not, 'p' primary or 'b' backup, in-flight digit. */
static size_t servers_of(const char *text, struct candidate *c)
{
    size_t n = 0;
    for (; *text != '\0'; text += text[4] == ' ' ? 5 : 4) {
        c[n] = (struct candidate){ .id = (n + 1) * 0x1234567u,
                                   .weight = (uint32_t)(text[0] - '0') * BALANCE_WEIGHT_ONE,
                                   .usable = text[1] == 'u',
                                   .backup = text[2] == 'b',
                                   .in_flight = (uint32_t)(text[3] - '0') };
        n++;
    }
    return n;
}

static const struct {
    enum balance how;
    uint64_t turn;
    const char *servers;
    int picked;
    const char *why;
} picks[] = {
    { BALANCE_ROUND_ROBIN, 0, "1up0", 0, "the only one" },
    { BALANCE_ROUND_ROBIN, 0, "1-p0", BALANCE_NONE, "the only one is not usable" },
    { BALANCE_ROUND_ROBIN, 0, "1up0 1up0 1up0", 0, "in turn" },
    { BALANCE_ROUND_ROBIN, 1, "1up0 1up0 1up0", 1, "in turn" },
    { BALANCE_ROUND_ROBIN, 5, "1up0 1up0 1up0", 2, "in turn" },
    { BALANCE_ROUND_ROBIN, 4, "1up0 1-p0 1up0", 0, "the turn goes over those that are usable" },
    { BALANCE_ROUND_ROBIN, 5, "1up0 1-p0 1up0", 2, "the turn goes over those that are usable" },
    { BALANCE_ROUND_ROBIN, 7, "1-p0 1ub0 1-p0", 1, "a backup when no other is usable" },
    { BALANCE_ROUND_ROBIN, 7, "1ub0 1up0 1-p0", 1, "no backup while another is usable" },
    { BALANCE_ROUND_ROBIN, 7, "1-b0 1-p0", BALANCE_NONE, "nobody is left" },
    { BALANCE_LEAST_IN_FLIGHT, 0, "1up3 1up1 1up2", 1, "the fewest" },
    { BALANCE_LEAST_IN_FLIGHT, 0, "1up3 1-p1 1up2", 2, "the fewest of those usable" },
    { BALANCE_LEAST_IN_FLIGHT, 1, "1up1 1up1 1up1", 1, "the turn among equals" },
    { BALANCE_LEAST_IN_FLIGHT, 2, "1up1 1up1 1up1", 2, "the turn among equals" },
    { BALANCE_LEAST_IN_FLIGHT, 0, "1up1 3up3", 1, "four for a weight of three are fewer than two for one" },
    { BALANCE_LEAST_IN_FLIGHT, 0, "1up9 1ub0", 0, "a busy primary before an idle backup" },
    { BALANCE_HASH, 0, "1-p0 1up0", 1, "the only one that is usable" },
    { BALANCE_HASH, 0, "1-p0 1-p0", BALANCE_NONE, "nobody" },
    { BALANCE_HASH, 0, "1-p0 1ub0", 1, "the backup" },
};

START_TEST(a_server_is_picked)
{
    struct candidate c[SERVERS];
    size_t n = servers_of(picks[_i].servers, c);
    struct balance_ticket t = { picks[_i].how, picks[_i].turn, 12345 };
    ck_assert_msg(balance_pick(&t, c, n) == picks[_i].picked, "%s: %s", picks[_i].servers, picks[_i].why);
}
END_TEST

static const struct {
    enum balance how;
    const char *servers;
    int percent[SERVERS];
} shares[] = {
    { BALANCE_ROUND_ROBIN, "1up0 1up0 1up0 1up0", { 25, 25, 25, 25 } },
    { BALANCE_ROUND_ROBIN, "1up0 3up0", { 25, 75 } },
    { BALANCE_ROUND_ROBIN, "5up0 4up0 1up0", { 50, 40, 10 } },
    { BALANCE_ROUND_ROBIN, "5up0 4-p0 5up0 9ub0", { 50, 0, 50, 0 } },
    { BALANCE_HASH, "1up0 1up0 1up0 1up0", { 25, 25, 25, 25 } },
    { BALANCE_HASH, "1up0 3up0", { 25, 75 } },
    { BALANCE_HASH, "5up0 4up0 1up0", { 50, 40, 10 } },
};

START_TEST(shares_follow_weights)
{
    struct candidate c[SERVERS];
    size_t n = servers_of(shares[_i].servers, c);
    int counts[SERVERS] = { 0 };
    for (uint64_t turn = 0; turn < PICKS; turn++) {
        struct balance_ticket t = { shares[_i].how, turn, turn };
        int picked = balance_pick(&t, c, n);
        ck_assert_int_ge(picked, 0);
        counts[picked]++;
    }
    for (size_t i = 0; i < n; i++) {
        int off = counts[i] - PICKS / 100 * shares[_i].percent[i];
        ck_assert_msg(abs(off) <= PICKS / 100, "%s: server %zu got %d", shares[_i].servers, i, counts[i]);
    }
}
END_TEST

/* With weights 9 and 1, the ten turns from anywhere on hold the light one about once, never thrice. */
START_TEST(unequal_weights_are_spread_over_the_turns)
{
    struct candidate c[SERVERS];
    size_t n = servers_of("9up0 1up0", c);
    for (uint64_t from = 0; from < 1000; from++) {
        int light = 0;
        for (uint64_t turn = from; turn < from + 10; turn++) {
            struct balance_ticket t = { BALANCE_ROUND_ROBIN, turn, 0 };
            light += balance_pick(&t, c, n) == 1;
        }
        ck_assert_int_le(light, 2);
    }
}
END_TEST

START_TEST(a_server_that_leaves_moves_only_its_own_keys)
{
    struct candidate c[SERVERS];
    size_t n = servers_of("1up0 1up0 2up0 1up0", c);
    for (uint64_t key = 0; key < 10000; key++) {
        struct balance_ticket t = { BALANCE_HASH, key * 7, key };
        int before = balance_pick(&t, c, n);
        c[2].usable = false;
        int after = balance_pick(&t, c, n);
        c[2].usable = true;
        ck_assert_int_ne(after, 2);
        if (before != 2) ck_assert_int_eq(after, before);
    }
}
END_TEST

static const struct {
    int weight;
    int64_t well_for_ms, slow_start_ms;
    uint32_t now;
} weights[] = {
    { 1, -1, 10000, 100 },  { 1, 0, 0, 100 },         { 1, 0, 10000, 1 },     { 1, 5000, 10000, 50 },
    { 1, 9999, 10000, 99 }, { 1, 10000, 10000, 100 }, { 100, 0, 10000, 100 }, { 100, 2500, 10000, 2500 },
};

START_TEST(a_weight_grows_in_a_slow_start)
{
    ck_assert_uint_eq(balance_weight(weights[_i].weight, weights[_i].well_for_ms, weights[_i].slow_start_ms),
                      weights[_i].now);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("balance");
    TCase *t = tcase_create("balance");
    tcase_add_loop_test(t, a_server_is_picked, 0, sizeof(picks) / sizeof(picks[0]));
    tcase_add_loop_test(t, shares_follow_weights, 0, sizeof(shares) / sizeof(shares[0]));
    tcase_add_test(t, unequal_weights_are_spread_over_the_turns);
    tcase_add_test(t, a_server_that_leaves_moves_only_its_own_keys);
    tcase_add_loop_test(t, a_weight_grows_in_a_slow_start, 0, sizeof(weights) / sizeof(weights[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
