#include "headers/structured.h"

#include <inttypes.h>
#include <stdio.h>

#include "table.h"

enum { ROOM = 8 };

/* An item in one word: its type's letter, then its integer or text. */
static size_t print_item(char *to, size_t cap, const struct sf_item *item)
{
    static const char letters[] = "idstyb@%(";
    char letter = letters[item->type];
    switch (item->type) {
    case SF_INTEGER:
    case SF_BOOLEAN:
    case SF_DATE: return (size_t)snprintf(to, cap, "%c%" PRId64, letter, item->integer);
    case SF_STRING:
    case SF_TOKEN:
    case SF_BYTES:
    case SF_DISPLAY: return (size_t)snprintf(to, cap, "%c%.*s", letter, (int)item->text.len, item->text.at);
    case SF_DECIMAL:
    case SF_INNER_LIST: break;
    }
    return (size_t)snprintf(to, cap, "%c", letter);
}

#define FAILS "fails"

/* The members joined by '|'. */
static const struct {
    const char *section, *members;
} dictionaries[] = {
    { "CDN-Cache-Control: a=1", "a=i1" },
    { "CDN-Cache-Control: a=1, b=2", "a=i1|b=i2" },
    { "CDN-Cache-Control: a=1,b=2 \t, \tc=3", "a=i1|b=i2|c=i3" },
    { "CDN-Cache-Control: a=1  ,\tb=2\t \t,   c=3", "a=i1|b=i2|c=i3" },
    { "CDN-Cache-Control: a", "a=b1" }, /* RFC 9651 §3.2: a key alone is true */
    { "CDN-Cache-Control: a;p=1, b;q;r=\"x\"", "a=b1|b=b1" },
    { "CDN-Cache-Control: a=?0, b=?1", "a=b0|b=b1" },
    { "CDN-Cache-Control: a=1;p, b=2; q=3;  r", "a=i1|b=i2" },
    { "CDN-Cache-Control: a=1, b=2, a=3", "a=i3|b=i2" }, /* the last wins, in the place of the first */
    { "CDN-Cache-Control: a=1, a", "a=b1" },
    { "CDN-Cache-Control: a=1\nCDN-Cache-Control: b=2\nCDN-Cache-Control: a=x", "a=tx|b=i2" },
    { "CDN-Cache-Control: a=1\nCDN-Cache-Control:\nCDN-Cache-Control: b=2", "a=i1|b=i2" },
    { "CDN-Cache-Control:", "" },
    { "Cache-Control: a=1", "" },
    { "CDN-Cache-Control: *a.b-c_d*=1", "*a.b-c_d*=i1" },
    { "CDN-Cache-Control: a=-0, b=-999999999999999, c=999999999999999", "a=i0|b=i-999999999999999|c=i999999999999999" },
    { "CDN-Cache-Control: a=1.0, b=-123456789012.123", "a=d|b=d" },
    { "CDN-Cache-Control: a=\"\", b=\"x,y=\\\"\\\\z\"", "a=s|b=sx,y=\\\"\\\\z" },
    { "CDN-Cache-Control: a=tok, b=*x/y:z", "a=ttok|b=t*x/y:z" },
    { "CDN-Cache-Control: a=:aGVsbG8=:, b=::", "a=yaGVsbG8=|b=y" },
    { "CDN-Cache-Control: a=@1659578233, b=@-1", "a=@1659578233|b=@-1" },
    { "CDN-Cache-Control: a=%\"f%c3%bf\"", "a=%f%c3%bf" },
    { "CDN-Cache-Control: a=(), b=( 1  \"x\";p tok );q=1", "a=(|b=(" },
    { "CDN-Cache-Control: a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8", "a=i1|b=i2|c=i3|d=i4|e=i5|f=i6|g=i7|h=i8" },
    { "CDN-Cache-Control: a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9", FAILS },
    { "CDN-Cache-Control: A=1", FAILS }, /* §3.1.2: keys are in lower case */
    { "CDN-Cache-Control: max-Age=1", FAILS },
    { "CDN-Cache-Control: a=1,", FAILS },
    { "CDN-Cache-Control: ,a=1", FAILS },
    { "CDN-Cache-Control: a=1,,b=2", FAILS },
    { "CDN-Cache-Control: a=1 b=2", FAILS },
    { "CDN-Cache-Control: a=1; b=2 c", FAILS },
    { "CDN-Cache-Control: a =1", FAILS },
    { "CDN-Cache-Control: a= 1", FAILS },
    { "CDN-Cache-Control: a=", FAILS },
    { "CDN-Cache-Control: =1", FAILS },
    { "CDN-Cache-Control: 1", FAILS },
    { "CDN-Cache-Control: a;", FAILS },
    { "CDN-Cache-Control: a;P", FAILS },
    { "CDN-Cache-Control: a ;p", FAILS },
    { "CDN-Cache-Control: a;p=", FAILS },
    { "CDN-Cache-Control: a=1000000000000000", FAILS }, /* §3.3.1: 15 digits */
    { "CDN-Cache-Control: a=1x", FAILS },
    { "CDN-Cache-Control: a=--1", FAILS },
    { "CDN-Cache-Control: a=+1", FAILS },
    { "CDN-Cache-Control: a=-", FAILS },
    { "CDN-Cache-Control: a=1.", FAILS }, /* §3.3.2 */
    { "CDN-Cache-Control: a=.1", FAILS },
    { "CDN-Cache-Control: a=1.1234", FAILS },
    { "CDN-Cache-Control: a=1234567890123.1", FAILS },
    { "CDN-Cache-Control: a=\"x", FAILS }, /* §3.3.3 */
    { "CDN-Cache-Control: a=\"x\\", FAILS },
    { "CDN-Cache-Control: a=\"\\x\"", FAILS },
    { "CDN-Cache-Control: a=\"\xc3\xa4\"", FAILS },
    { "CDN-Cache-Control: a=\"\t\"", FAILS },
    { "CDN-Cache-Control: a='x'", FAILS },
    { "CDN-Cache-Control: a=?2", FAILS },
    { "CDN-Cache-Control: a=?", FAILS },
    { "CDN-Cache-Control: a=:aGVs", FAILS },
    { "CDN-Cache-Control: a=:a b:", FAILS },
    { "CDN-Cache-Control: a=@1.0", FAILS },
    { "CDN-Cache-Control: a=@", FAILS },
    { "CDN-Cache-Control: a=%\"%C3\"", FAILS },
    { "CDN-Cache-Control: a=%\"%c\"", FAILS },
    { "CDN-Cache-Control: a=%\"x", FAILS },
    { "CDN-Cache-Control: a=%x", FAILS },
    { "CDN-Cache-Control: a=(1", FAILS },
    { "CDN-Cache-Control: a=(1,2)", FAILS },
    { "CDN-Cache-Control: a=(\"x\"\"y\")", FAILS },
    { "CDN-Cache-Control: a=((1))", FAILS },
    { "CDN-Cache-Control: a=1\nCDN-Cache-Control: b=", FAILS },
};

START_TEST(dictionary)
{
    struct lines l;
    struct sf_member members[ROOM];
    char text[256] = "";
    size_t at = 0;
    int n = sf_dictionary_parse(section_of(&l, dictionaries[_i].section), FIELD_CDN_CACHE_CONTROL, members, ROOM);
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s=", i > 0 ? "|" : "", (int)members[i].key.len,
                               members[i].key.at);
        at += print_item(text + at, sizeof(text) - at, &members[i].item);
    }
    ck_assert_str_eq(n < 0 ? FAILS : text, dictionaries[_i].members);
}
END_TEST

static const struct {
    const char *section, *items;
} lists[] = {
    { "Cache-Groups: \"a\"", "sa" }, /* RFC 9651 §3.1 */
    { "Cache-Groups: \"a\", \"b c\";p=1", "sa|sb c" },
    { "Cache-Groups: \"a\"\nCache-Groups: \"b\"", "sa|sb" },
    { "Cache-Groups: a, 1, ?1, (\"x\" y);z", "ta|i1|b1|(" },
    { "Cache-Groups:", "" },
    { "Cache-Groups: 1, 2, 3, 4, 5, 6, 7, 8", "i1|i2|i3|i4|i5|i6|i7|i8" },
    { "Cache-Groups: 1, 2, 3, 4, 5, 6, 7, 8, 9", FAILS },
    { "Cache-Groups: \"a\" \"b\"", FAILS },
    { "Cache-Groups: \"a\",", FAILS },
    { "Cache-Groups: , \"a\"", FAILS },
    { "Cache-Groups: \"a", FAILS },
    { "Cache-Groups: a=1", FAILS },
};

START_TEST(list)
{
    struct lines l;
    struct sf_item items[ROOM];
    char text[256] = "";
    size_t at = 0;
    int n = sf_list_parse(section_of(&l, lists[_i].section), FIELD_CACHE_GROUPS, items, ROOM);
    for (int i = 0; i < n; i++) {
        if (i > 0) text[at++] = '|';
        at += print_item(text + at, sizeof(text) - at, &items[i]);
    }
    ck_assert_str_eq(n < 0 ? FAILS : text, lists[_i].items);
}
END_TEST

START_TEST(escapes_are_undone)
{
    char to[4];
    ck_assert_int_eq(sf_string_text(VIEW("a\\\"\\\\b"), to, sizeof(to)), 4);
    ck_assert(view_is(view_of(to, 4), "a\"\\b"));
    ck_assert_int_eq(sf_string_text(VIEW("abcde"), to, sizeof(to)), -1);
    ck_assert_int_eq(sf_string_text(VIEW(""), to, sizeof(to)), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("structured");
    tcase_add_loop_test(t, dictionary, 0, ROWS(dictionaries));
    tcase_add_loop_test(t, list, 0, ROWS(lists));
    tcase_add_test(t, escapes_are_undone);
    return run_case("headers/structured", t);
}
