#include "headers/list.h"

#include "table.h"

/* The members joined by '|'. */
static const struct {
    const char *section, *members;
} lists[] = {
    { "Vary: a", "a" },
    { "Vary: a,b", "a|b" },
    { "Vary: a ,\tb", "a|b" },
    { "Vary: a,, ,b,", "a|b" }, /* RFC 9110 §5.6.1.2: empty members are skipped */
    { "Vary: ,", "" },
    { "Vary:", "" },
    { "X: a", "" },
    { "Vary: a\nX: no\nVary: b, c", "a|b|c" }, /* §5.3 */
    { "Vary:\nVary: b", "b" },
    { "Vary: a=\"b,c\",d", "a=\"b,c\"|d" }, /* §5.6.4 */
    { "Vary: a=\"b\\\",c\",d", "a=\"b\\\",c\"|d" },
    { "Vary: a=\"b\\\\\",d", "a=\"b\\\\\"|d" },
    { "Vary: a=\"b,c", "a=\"b,c" }, /* not terminated: to the end of its line */
    { "Vary: a=\"b\\", "a=\"b\\" },
    { "Vary: \"a,b\nVary: c\"", "\"a,b|c\"" },
};

START_TEST(members_of_lists)
{
    struct lines l;
    struct list_walk w = list_of(section_of(&l, lists[_i].section), FIELD_VARY);
    char joined[128] = "";
    struct view member;
    while (list_walk_next(&w, &member)) {
        if (joined[0] != '\0') strcat(joined, "|");
        strncat(joined, member.at, member.len);
    }
    ck_assert_str_eq(joined, lists[_i].members);
}
END_TEST

static const struct {
    const char *member, *name, *argument;
    bool has_argument;
} arguments[] = {
    { "a", "a", "", false },
    { "a=b", "a", "b", true },
    { "a=", "a", "", true },
    { "a=b=c", "a", "b=c", true },
    { "a =b", "a ", "b", true },
    { "a= b", "a", " b", true },
    { "\"a=b\"", "\"a=b\"", "", false },
    { "a=\"b=c\"", "a", "\"b=c\"", true },
    { "", "", "", false },
};

START_TEST(arguments_of_members)
{
    struct view name, argument;
    bool has_argument;
    list_split_argument(view_of_str(arguments[_i].member), &name, &argument, &has_argument);
    ck_assert(view_is(name, arguments[_i].name));
    ck_assert(view_is(argument, arguments[_i].argument));
    ck_assert_int_eq(has_argument, arguments[_i].has_argument);
}
END_TEST

static const struct {
    const char *quoted, *text; /* NULL: -1 */
} quoted[] = {
    { "\"\"", "" },
    { "\"abc\"", "abc" },
    { "\"a\\\"b\"", "a\"b" },
    { "\"a\\\\\"", "a\\" },
    { "\"\t \xff\"", "\t \xff" },
    { "\"12345678\"", "12345678" },
    { "\"123456789\"", NULL }, /* more than the eight bytes of room */
    { "", NULL },
    { "\"", NULL },
    { "abc", NULL },
    { "\"abc", NULL },
    { "abc\"", NULL },
    { "\"a\"b\"", NULL },
    { "\"a\\\"", NULL },
    { "\"a\nb\"", NULL },
    { "\"a\\\nb\"", NULL },
    { " \"a\"", NULL },
};

START_TEST(quoted_strings_are_undone)
{
    char to[8];
    int n = list_unquote(view_of_str(quoted[_i].quoted), to, sizeof(to));
    if (quoted[_i].text == NULL) {
        ck_assert_int_eq(n, -1);
    } else {
        ck_assert(n >= 0 && view_is(view_of(to, (size_t)n), quoted[_i].text));
    }
}
END_TEST

START_TEST(tokens_in_any_case_and_whole)
{
    struct lines l;
    struct field_section s = section_of(&l, "Connection: Keep-Alive, Upgrade\nConnection: x");
    ck_assert(list_has_token(s, FIELD_CONNECTION, VIEW("keep-alive")));
    ck_assert(list_has_token(s, FIELD_CONNECTION, VIEW("X")));
    ck_assert(!list_has_token(s, FIELD_CONNECTION, VIEW("keep")));
    ck_assert(!list_has_token(s, FIELD_TE, VIEW("x")));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("list");
    tcase_add_loop_test(t, members_of_lists, 0, ROWS(lists));
    tcase_add_loop_test(t, arguments_of_members, 0, ROWS(arguments));
    tcase_add_loop_test(t, quoted_strings_are_undone, 0, ROWS(quoted));
    tcase_add_test(t, tokens_in_any_case_and_whole);
    return run_case("headers/list", t);
}
