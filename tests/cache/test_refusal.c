/* Why the last response for a key was not stored. */
#include "cache/refusal.h"

#include "tests/headers/table.h"

static struct key key_of(uint64_t low, uint64_t high)
{
    return (struct key){ .hash = { low, high } };
}

START_TEST(the_last_refusal_of_a_key_is_remembered)
{
    struct refusals *r = refusals_new();
    struct key shelf = key_of(1, 2), other = key_of(3, 2), unknown = key_of(0, 0);
    struct refusal found;
    ck_assert(!refusals_find(r, &shelf, &found));
    ck_assert(!refusals_find(r, &unknown, &found)); /* an empty slot is for nobody */
    refusals_note(r, &shelf, &(struct refusal){ .reason = NOT_STORED_PRIVATE, .status = 200, .when_s = 100 });
    refusals_note(r, &shelf,
                  &(struct refusal){ .reason = NOT_STORED_NO_STORE,
                                     .status = 404,
                                     .when_s = 101,
                                     .age_s = 3,
                                     .lifetime_s = 2,
                                     .source = LIFETIME_EXPIRES });
    ck_assert(refusals_find(r, &shelf, &found));
    ck_assert(found.reason == NOT_STORED_NO_STORE && found.status == 404 && found.when_s == 101);
    ck_assert(found.age_s == 3 && found.lifetime_s == 2 && found.source == LIFETIME_EXPIRES);
    ck_assert(!refusals_find(r, &other, &found)); /* the same slot, another key */
    refusals_free(r);
}
END_TEST

START_TEST(a_newcomer_takes_the_slot)
{
    struct refusals *r = refusals_new();
    struct key old = key_of(1, 5), young = key_of(1, 5 + REFUSAL_SLOTS);
    struct refusal found;
    refusals_note(r, &old, &(struct refusal){ .reason = NOT_STORED_PRIVATE, .status = 200, .when_s = 100 });
    refusals_note(r, &young, &(struct refusal){ .reason = NOT_STORED_SET_COOKIE, .status = 200, .when_s = 100 });
    ck_assert(!refusals_find(r, &old, &found));
    ck_assert(refusals_find(r, &young, &found) && found.reason == NOT_STORED_SET_COOKIE);
    refusals_free(r);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("refusal");
    tcase_add_test(t, the_last_refusal_of_a_key_is_remembered);
    tcase_add_test(t, a_newcomer_takes_the_slot);
    return run_case("refusal", t);
}
