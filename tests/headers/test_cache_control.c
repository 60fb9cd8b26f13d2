#include "headers/cache_control.h"

#include "table.h"

#include <stdio.h>

#define ABSENT                                                                                                         \
    {                                                                                                                  \
        false, false, 0                                                                                                \
    }
#define INVALID                                                                                                        \
    {                                                                                                                  \
        true, false, 0                                                                                                 \
    }
#define SECONDS(n)                                                                                                     \
    {                                                                                                                  \
        true, true, (n)                                                                                                \
    }

static void check_seconds(struct seconds got, struct seconds want)
{
    ck_assert_int_eq(got.present, want.present);
    ck_assert_int_eq(got.valid, want.valid);
    ck_assert_int_eq(got.value, want.value);
}

/* RFC 9111 §1.2.2, §4.2.1, §5.2. */
static const struct {
    const char *section;
    struct seconds max_age;
} max_ages[] = {
    { "Cache-Control: max-age=3600", SECONDS(3600) },
    { "Cache-Control: max-age=0", SECONDS(0) },
    { "Cache-Control: max-age=007", SECONDS(7) },
    { "Cache-Control: MaX-aGe=3600", SECONDS(3600) },
    { "Cache-Control: max-age=\"3600\"", SECONDS(3600) },
    { "Cache-Control: max-age=\"36\\00\"", SECONDS(3600) },
    { "Cache-Control: public, max-age=3600, immutable", SECONDS(3600) },
    { "Cache-Control: ,, max-age=3600 ,", SECONDS(3600) },
    { "Cache-Control: public\nCache-Control: max-age=3600", SECONDS(3600) },
    { "Cache-Control: max-age=2147483647", SECONDS(2147483647) },
    { "Cache-Control: max-age=2147483648", SECONDS(2147483647) },
    { "Cache-Control: max-age=99999999999999999999999999999", SECONDS(2147483647) },
    { "Cache-Control: max-age=3600, max-age=60", SECONDS(60) },
    { "Cache-Control: max-age=60, max-age=3600", SECONDS(60) },
    { "Cache-Control: max-age=60\nCache-Control: max-age=3600", SECONDS(60) },
    { "Cache-Control: x-max-age=10", ABSENT },
    { "Cache-Control: max-age-x=10", ABSENT },
    { "Cache-Control: a=\"max-age=10\"", ABSENT },
    { "Cache-Control: a=\"b, max-age=10, c\"", ABSENT },
    { "Cache-Control: a=\"b, max-age=10, c\", max-age=20", SECONDS(20) },
    { "Cache-Control: a=\"\\\", max-age=10\", max-age=20", SECONDS(20) },
    { "Cache-Control: foobar, max-age=20, foo=bar", SECONDS(20) },
    { "Cache-Control: \"max-age=20\"", ABSENT },
    { "Cache-Control: max-age:20", ABSENT },
    { "Cache-Control: s-maxage=20", ABSENT },
    { "Cache-Control:", ABSENT },
    { "CDN-Cache-Control: max-age=20", ABSENT },
    { "Cache-Control: max-age", INVALID },
    { "Cache-Control: max-age=", INVALID },
    { "Cache-Control: max-age=\"\"", INVALID },
    { "Cache-Control: max-age =3600", INVALID },
    { "Cache-Control: max-age= 3600", INVALID },
    { "Cache-Control: max-age=3600.0", INVALID },
    { "Cache-Control: max-age=a3600", INVALID },
    { "Cache-Control: max-age=3600a", INVALID },
    { "Cache-Control: max-age=-1", INVALID },
    { "Cache-Control: max-age=+1", INVALID },
    { "Cache-Control: max-age=1e3", INVALID },
    { "Cache-Control: max-age=3600 60", INVALID },
    { "Cache-Control: max-age='3600'", INVALID },
    { "Cache-Control: max-age=\"3600", INVALID },
    { "Cache-Control: max-age=\"a3600\"", INVALID },
    { "Cache-Control: max-age=\"-1\"", INVALID },
    { "Cache-Control: max-age=3600, max-age=a", INVALID },
    { "Cache-Control: max-age=a, max-age=3600", INVALID },
};

START_TEST(max_age)
{
    struct lines l;
    struct field_section s = section_of(&l, max_ages[_i].section);
    check_seconds(response_directives_parse(s).max_age, max_ages[_i].max_age);
    check_seconds(request_directives_parse(s).max_age, max_ages[_i].max_age);
}
END_TEST

#define FLAG_OF(member) offsetof(struct response_directives, member)

static const struct {
    const char *name;
    size_t flag;
} flags[] = {
    { "public", FLAG_OF(is_public) }, /* RFC 9111 §5.2.2 */
    { "private", FLAG_OF(is_private) },
    { "no-cache", FLAG_OF(no_cache) },
    { "no-store", FLAG_OF(no_store) },
    { "must-revalidate", FLAG_OF(must_revalidate) },
    { "proxy-revalidate", FLAG_OF(proxy_revalidate) },
    { "must-understand", FLAG_OF(must_understand) },
    { "no-transform", FLAG_OF(no_transform) },
    { "immutable", FLAG_OF(immutable) }, /* RFC 8246 */
};

static bool flag_after(const char *before, const char *name, const char *after, size_t flag)
{
    struct lines l;
    char text[128] = "Cache-Control: ";
    strcat(strcat(strcat(text, before), name), after);
    struct response_directives d = response_directives_parse(section_of(&l, text));
    bool set;
    memcpy(&set, (const char *)&d + flag, sizeof(set));
    return set;
}

START_TEST(each_flag_by_its_whole_name)
{
    const char *name = flags[_i].name;
    size_t flag = flags[_i].flag;
    char upper[32] = "";
    for (size_t i = 0; name[i] != '\0'; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
    ck_assert(flag_after("", name, "", flag));
    ck_assert(flag_after("", upper, "", flag));
    ck_assert(flag_after("a=b, ", name, " ,c", flag));
    ck_assert(flag_after("a=\"b\", ", name, "", flag));
    ck_assert(!flag_after("x-", name, "", flag));
    ck_assert(!flag_after("", name, "-x", flag));
    ck_assert(!flag_after("x=", name, "", flag));
    ck_assert(!flag_after("x=\"a, ", name, ", b\"", flag));
    for (int other = 0; other < ROWS(flags); other++) {
        ck_assert_int_eq(flag_after("", name, "", flags[other].flag), other == _i);
    }
}
END_TEST

START_TEST(each_number_of_a_response)
{
    struct lines l;
    struct response_directives d = response_directives_parse(section_of(
        &l, "Cache-Control: s-maxage=1, stale-while-revalidate=\"2\"\nCache-Control: stale-if-error=3, max-age=x"));
    check_seconds(d.s_maxage, (struct seconds)SECONDS(1));
    check_seconds(d.stale_while_revalidate, (struct seconds)SECONDS(2)); /* RFC 5861 §3 */
    check_seconds(d.stale_if_error, (struct seconds)SECONDS(3));         /* RFC 5861 §4 */
    check_seconds(d.max_age, (struct seconds)INVALID);
    ck_assert(!d.targeted);
    ck_assert_int_eq(d.source, FIELD_CACHE_CONTROL);
}
END_TEST

START_TEST(directives_of_a_request)
{
    struct lines l;
    struct request_directives d = request_directives_parse(section_of(
        &l, "Cache-Control: No-Cache, no-store, only-if-cached\nCache-Control: min-fresh=5, stale-if-error=6"));
    ck_assert(d.no_cache && d.no_store && d.only_if_cached && !d.max_stale_any);
    check_seconds(d.min_fresh, (struct seconds)SECONDS(5));
    check_seconds(d.stale_if_error, (struct seconds)SECONDS(6));
    check_seconds(d.max_stale, (struct seconds)ABSENT);
    check_seconds(d.max_age, (struct seconds)ABSENT);
}
END_TEST

static const struct {
    const char *section;
    bool any;
    struct seconds max_stale;
} max_stales[] = {
    { "Cache-Control: max-stale", true, ABSENT }, /* RFC 9111 §5.2.1.2 */
    { "Cache-Control: max-stale=10", false, SECONDS(10) },
    { "Cache-Control: max-stale=", false, INVALID },
    { "Cache-Control: max-stale=x", false, INVALID },
    { "Cache-Control: max-stale, max-stale=10", true, SECONDS(10) },
};

START_TEST(max_stale_with_and_without_an_argument)
{
    struct lines l;
    struct request_directives d = request_directives_parse(section_of(&l, max_stales[_i].section));
    ck_assert_int_eq(d.max_stale_any, max_stales[_i].any);
    check_seconds(d.max_stale, max_stales[_i].max_stale);
}
END_TEST

/* The same for no-cache (§5.2.2.4) and private (§5.2.2.7); %s is the directive. */
static const struct {
    const char *argument;
    bool plain, listed, set_cookie, x_a;
} field_lists[] = {
    { "%s=\"Set-Cookie\"", false, true, true, false },
    { "%s=\"set-cookie, X-A\"", false, true, true, true },
    { "%s=\" ,X-A ,, Set-Cookie, \"", false, true, true, true },
    { "%s=\"X-A\", max-age=1, %s=\"Set-Cookie\"", false, true, true, true },
    { "%s=\"X-A\"\nCache-Control: %s=\"Set-Cookie\"", false, true, true, true },
    { "%s=Set-Cookie", false, true, true, false }, /* a token where a quoted-string should be */
    { "%s, %s=\"X-A\"", true, true, false, true },
    { "%s", true, false, false, false },
    { "%s=\"\"", true, false, false, false },
    { "%s=", true, false, false, false },
    { "%s=\" , \"", true, false, false, false },
    { "%s=\"X-A", true, false, false, false },
    { "%s=\"X-A Set-Cookie\"", true, false, false, false },
    { "%s=\"X-A\\\"\"", true, false, false, false },
    { "%s =\"X-A\"", true, false, false, false },
    { "%s=\"X-AB\"", false, true, false, false },
    { "x=\"%s=X-A\"", false, false, false, false },
};

/* Cache-Control with each %s of `format` replaced. */
static struct field_section section_with(struct lines *l, char *text, const char *format, const char *directive)
{
    strcpy(text, "Cache-Control: ");
    for (const char *at = format; *at != '\0'; at++) {
        if (strncmp(at, "%s", 2) == 0) {
            strcat(text, directive);
            at++;
        } else {
            strncat(text, at, 1);
        }
    }
    return section_of(l, text);
}

START_TEST(no_cache_and_private_with_field_names)
{
    struct lines l;
    char text[160];
    struct field_section s = section_with(&l, text, field_lists[_i].argument, "no-cache");
    struct response_directives d = response_directives_parse(s);
    ck_assert_int_eq(d.no_cache, field_lists[_i].plain);
    ck_assert_int_eq(d.no_cache_fields_present, field_lists[_i].listed);
    ck_assert_int_eq(no_cache_lists(s, &d, VIEW("Set-Cookie")), field_lists[_i].set_cookie);
    ck_assert_int_eq(no_cache_lists(s, &d, VIEW("x-a")), field_lists[_i].x_a);
    ck_assert(!private_lists(s, &d, VIEW("x-a")) && !d.is_private);

    s = section_with(&l, text, field_lists[_i].argument, "Private");
    d = response_directives_parse(s);
    ck_assert_int_eq(d.is_private, field_lists[_i].plain);
    ck_assert_int_eq(d.private_fields_present, field_lists[_i].listed);
    ck_assert_int_eq(private_lists(s, &d, VIEW("SET-COOKIE")), field_lists[_i].set_cookie);
    ck_assert_int_eq(private_lists(s, &d, VIEW("X-A")), field_lists[_i].x_a);
    ck_assert(!no_cache_lists(s, &d, VIEW("x-a")) && !d.no_cache);
}
END_TEST

/* RFC 9213 §2.1. */
static const struct {
    const char *section;
    bool applies, no_store, is_private, no_cache;
    struct seconds max_age;
} targeted[] = {
    { "CDN-Cache-Control: max-age=10", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: max-age=10;x=y", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: max-age=0\nCache-Control: max-age=60", true, false, false, false, SECONDS(0) },
    { "CDN-Cache-Control: max-age=10\nCache-Control: no-store", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: no-store\nCache-Control: max-age=60", true, true, false, false, ABSENT },
    { "CDN-Cache-Control: private", true, false, true, false, ABSENT },
    { "CDN-Cache-Control: no-cache", true, false, false, true, ABSENT },
    { "CDN-Cache-Control: no-store=?0, max-age=10", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: no-store=?1", true, true, false, false, ABSENT },
    { "CDN-Cache-Control: no-store, no-store=?0", true, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age=10, max-age=20", true, false, false, false, SECONDS(20) },
    { "CDN-Cache-Control: max-age=10\nCDN-Cache-Control: private", true, false, true, false, SECONDS(10) },
    { "CDN-Cache-Control: foo, bar=\"max-age=1\", max-age=10", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: max-age=999999999999999", true, false, false, false, SECONDS(2147483647) },
    { "CDN-Cache-Control: max-age=-1", true, false, false, false, INVALID },
    { "CDN-Cache-Control: max-age=\"10\"", true, false, false, false, ABSENT }, /* of another type: ignored */
    { "CDN-Cache-Control: max-age=10.0", true, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age", true, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age=10, no-store=1", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: max-age=10, private=x", true, false, false, false, SECONDS(10) }, /* a Token */
    { "CDN-Cache-Control: max-age=10, no-cache=(\"x\")", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: max-age=10, no-store=no", true, false, false, false, SECONDS(10) },
    { "CDN-Cache-Control: Max-Age=10", false, false, false, false, ABSENT }, /* malformed: the field is ignored */
    { "CDN-Cache-Control: max-age=10, No-Store", false, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age=10,", false, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age =10", false, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age=10; private", true, false, false, false, SECONDS(10) }, /* a parameter */
    { "CDN-Cache-Control: max-age=10 private", false, false, false, false, ABSENT },
    { "CDN-Cache-Control: max-age=a b", false, false, false, false, ABSENT },
    { "CDN-Cache-Control:", false, false, false, false, ABSENT },
    { "Cache-Control: max-age=10", false, false, false, false, ABSENT },
};

START_TEST(targeted_fields)
{
    struct lines l;
    const enum field_id targets[] = { FIELD_CDN_CACHE_CONTROL };
    struct response_directives d = { 0 };
    bool applies = targeted_directives_parse(section_of(&l, targeted[_i].section), targets, 1, &d);
    ck_assert_int_eq(applies, targeted[_i].applies);
    if (!applies) return;
    ck_assert(d.targeted);
    ck_assert_int_eq(d.source, FIELD_CDN_CACHE_CONTROL);
    ck_assert_int_eq(d.no_store, targeted[_i].no_store);
    ck_assert_int_eq(d.is_private, targeted[_i].is_private);
    ck_assert_int_eq(d.no_cache, targeted[_i].no_cache);
    ck_assert(!d.no_cache_fields_present && !d.private_fields_present);
    check_seconds(d.max_age, targeted[_i].max_age);
}
END_TEST

/* The field names of no-cache and private are a String (RFC 9213 §2.1); what is no list of names makes it the flag. */
static const struct {
    const char *argument;
    bool plain, listed, set_cookie, x_a;
} targeted_lists[] = {
    { "\"X-A\"", false, true, false, true },
    { "\"set-cookie, X-A\";p", false, true, true, true },
    { "\"X-AB\"", false, true, false, false },
    { "\"\"", true, false, false, false },
    { "\"X-A Set-Cookie\"", true, false, false, false },
    { "\"X-A\\\"\"", true, false, false, false },
    { "?1", true, false, false, false },
    { "?0", false, false, false, false },
    { "X-A", false, false, false, false },
};

START_TEST(targeted_no_cache_and_private_with_field_names)
{
    static const enum field_id targets[] = { FIELD_CDN_CACHE_CONTROL };
    struct lines l;
    struct response_directives d;
    char text[160];
    snprintf(text, sizeof text, "Cache-Control: no-cache=X-B, private=X-B\nCDN-Cache-Control: no-cache=%s",
             targeted_lists[_i].argument);
    struct field_section s = section_of(&l, text);
    ck_assert(targeted_directives_parse(s, targets, 1, &d));
    ck_assert_int_eq(d.no_cache, targeted_lists[_i].plain);
    ck_assert_int_eq(d.no_cache_fields_present, targeted_lists[_i].listed);
    ck_assert_int_eq(no_cache_lists(s, &d, VIEW("Set-Cookie")), targeted_lists[_i].set_cookie);
    ck_assert_int_eq(no_cache_lists(s, &d, VIEW("x-a")), targeted_lists[_i].x_a);
    ck_assert(!no_cache_lists(s, &d, VIEW("x-b")) && !private_lists(s, &d, VIEW("x-a")) && !d.is_private);

    snprintf(text, sizeof text, "CDN-Cache-Control: private=%s", targeted_lists[_i].argument);
    s = section_of(&l, text);
    ck_assert(targeted_directives_parse(s, targets, 1, &d));
    ck_assert_int_eq(d.is_private, targeted_lists[_i].plain);
    ck_assert_int_eq(d.private_fields_present, targeted_lists[_i].listed);
    ck_assert_int_eq(private_lists(s, &d, VIEW("Set-Cookie")), targeted_lists[_i].set_cookie);
    ck_assert_int_eq(private_lists(s, &d, VIEW("x-a")), targeted_lists[_i].x_a);
    ck_assert(!no_cache_lists(s, &d, VIEW("x-a")) && !d.no_cache);
}
END_TEST

START_TEST(the_first_target_that_applies_wins)
{
    struct lines l;
    const enum field_id targets[] = { FIELD_SURROGATE_KEY, FIELD_CDN_CACHE_CONTROL };
    struct response_directives d;
    struct field_section s = section_of(&l, "CDN-Cache-Control: max-age=1\nSurrogate-Key: max-age=2");
    ck_assert(targeted_directives_parse(s, targets, 2, &d));
    ck_assert_int_eq(d.source, FIELD_SURROGATE_KEY);
    s = section_of(&l, "CDN-Cache-Control: max-age=1\nSurrogate-Key: MAX-AGE=2");
    ck_assert(targeted_directives_parse(s, targets, 2, &d));
    ck_assert_int_eq(d.source, FIELD_CDN_CACHE_CONTROL);
    ck_assert(!targeted_directives_parse(s, targets, 0, &d));
}
END_TEST

static const struct {
    const char *section;
    bool valid;
    int64_t age_s;
} ages[] = {
    { "Age: 0", true, 0 }, /* RFC 9111 §5.1 */
    { "Age: 7200", true, 7200 },
    { "Age: 7200\nAge: 10", true, 7200 },
    { "Age: 10\nAge: 7200", true, 10 },
    { "Age: 7200, 10", true, 7200 },
    { "Age: 7200, x", true, 7200 },
    { "Age: 99999999999999999999", true, 2147483647 },
    { "Age: -1", false, 0 },
    { "Age: +10", false, 0 },
    { "Age: 10.0", false, 0 },
    { "Age: x", false, 0 },
    { "Age: 10x", false, 0 },
    { "Age: \"10\"", false, 0 },
    { "Age: x\nAge: 10", false, 0 },
    { "Age: x, 10", false, 0 },
    { "Age:", false, 0 },
    { "Date: 10", false, 0 },
};

START_TEST(age)
{
    struct lines l;
    int64_t age_s = 0;
    ck_assert_int_eq(age_parse(section_of(&l, ages[_i].section), &age_s), ages[_i].valid);
    ck_assert_int_eq(age_s, ages[_i].age_s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("cache_control");
    tcase_add_loop_test(t, max_age, 0, ROWS(max_ages));
    tcase_add_loop_test(t, each_flag_by_its_whole_name, 0, ROWS(flags));
    tcase_add_test(t, each_number_of_a_response);
    tcase_add_test(t, directives_of_a_request);
    tcase_add_loop_test(t, max_stale_with_and_without_an_argument, 0, ROWS(max_stales));
    tcase_add_loop_test(t, no_cache_and_private_with_field_names, 0, ROWS(field_lists));
    tcase_add_loop_test(t, targeted_fields, 0, ROWS(targeted));
    tcase_add_loop_test(t, targeted_no_cache_and_private_with_field_names, 0, ROWS(targeted_lists));
    tcase_add_test(t, the_first_target_that_applies_wins);
    tcase_add_loop_test(t, age, 0, ROWS(ages));
    return run_case("headers/cache_control", t);
}
