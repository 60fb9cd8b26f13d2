#include "headers/etag.h"

#include "table.h"

static const struct {
    const char *etag;
    bool valid, weak;
} tags[] = {
    { "\"a\"", true, false },
    { "\"\"", true, false },
    { "W/\"a\"", true, true },
    { "W/\"\"", true, true },
    { "\"a,b\"", true, false },
    { "\"a\\\"", true, false }, /* §8.8.3: a backslash is an etagc, not an escape */
    { "\"\xe2\x82\xac\"", true, false },
    { "w/\"a\"", false, false }, /* the prefix is case-sensitive */
    { "W/a", false, true },
    { "W/", false, true },
    { "a", false, false },
    { "", false, false },
    { "\"", false, false },
    { "W/\"", false, true },
    { "\"a", false, false },
    { "a\"", false, false },
    { "\"a b\"", false, false },
    { "\"a\"b\"", false, false },
    { "\"a\x7f\"", false, false },
    { " \"a\"", false, false },
};

START_TEST(validity_and_weakness)
{
    struct view etag = view_of_str(tags[_i].etag);
    ck_assert_int_eq(etag_is_valid(etag), tags[_i].valid);
    ck_assert_int_eq(etag_is_weak(etag), tags[_i].weak);
}
END_TEST

static const struct {
    const char *a, *b;
    bool strong, weak;
} comparisons[] = {
    { "W/\"1\"", "W/\"1\"", false, true }, /* the table of §8.8.3.2 */
    { "W/\"1\"", "W/\"2\"", false, false }, { "W/\"1\"", "\"1\"", false, true }, { "\"1\"", "\"1\"", true, true },
    { "\"a\"", "\"A\"", false, false },     { "abc", "abc", true, true }, /* not valid: as it stands */
    { "abc", "\"abc\"", false, false },     { "W/abc", "abc", false, false },    { "W/abc", "W/abc", false, true },
    { "w/\"1\"", "\"1\"", false, false },
};

START_TEST(comparison)
{
    struct view a = view_of_str(comparisons[_i].a), b = view_of_str(comparisons[_i].b);
    ck_assert_int_eq(etag_match_strong(a, b), comparisons[_i].strong);
    ck_assert_int_eq(etag_match_strong(b, a), comparisons[_i].strong);
    ck_assert_int_eq(etag_match_weak(a, b), comparisons[_i].weak);
    ck_assert_int_eq(etag_match_weak(b, a), comparisons[_i].weak);
}
END_TEST

static const struct {
    const char *section, *etag;
    enum etag_list_match weak, strong;
} lists[] = {
    { "If-None-Match: \"a\"", "\"a\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: \"b\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"b\", \"a\"", "\"a\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: \"b\",\"a\",\"c\"", "\"a\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: , \"b\" ,, W/\"a\" ,", "\"a\"", ETAG_LIST_MATCH, ETAG_LIST_NONE },
    { "If-None-Match: \"b\"\nIf-None-Match: \"a\"", "W/\"a\"", ETAG_LIST_MATCH, ETAG_LIST_NONE },
    { "If-None-Match: \"x,\\\", \"a\"", "\"a\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH }, /* no escapes in a tag */
    { "If-None-Match: \"x,y\"", "\"x,y\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: \"x,y\"", "y\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: W/\"x,y\"", "\"x,y\"", ETAG_LIST_MATCH, ETAG_LIST_NONE },
    { "If-None-Match: \"\xff,\xfe\"", "\"\xff,\xfe\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: *", "\"a\"", ETAG_LIST_ANY, ETAG_LIST_ANY },
    { "If-None-Match: *", "", ETAG_LIST_ANY, ETAG_LIST_ANY },
    { "If-None-Match: *, \"b\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE }, /* §13.1.2: "*" stands alone */
    { "If-None-Match: \"b\"\nIf-None-Match: *", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"*\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match:", "", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"\"", "", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: abc", "abc", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: abc", "\"abc\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"b\", abc", "abc", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: \"abc", "\"abc\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"abc, \"a\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"a\"x", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-None-Match: \"a\"x, \"b\"", "\"b\"", ETAG_LIST_MATCH, ETAG_LIST_MATCH },
    { "If-None-Match: w/\"a\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
    { "If-Match: \"a\"", "\"a\"", ETAG_LIST_NONE, ETAG_LIST_NONE },
};

START_TEST(lists_of_tags)
{
    struct lines l;
    struct field_section s = section_of(&l, lists[_i].section);
    struct view etag = view_of_str(lists[_i].etag);
    ck_assert_int_eq(etag_list_find(s, FIELD_IF_NONE_MATCH, etag, false), lists[_i].weak);
    ck_assert_int_eq(etag_list_find(s, FIELD_IF_NONE_MATCH, etag, true), lists[_i].strong);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("etag");
    tcase_add_loop_test(t, validity_and_weakness, 0, ROWS(tags));
    tcase_add_loop_test(t, comparison, 0, ROWS(comparisons));
    tcase_add_loop_test(t, lists_of_tags, 0, ROWS(lists));
    return run_case("headers/etag", t);
}
