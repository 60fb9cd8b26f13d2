/* weir warm: which URLs a list names, and what an answer means. */
#include "proxy/warm.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list */

static const struct {
    const char *text;
    const char *urls; /* one a line */
} lists[] = {
    { "", "" },
    { "\n\n  \n", "" },
    { "http://a/1\nhttp://a/2", "http://a/1\nhttp://a/2\n" },
    { "# a list\r\n\thttp://a/1 \r\n\r\nhttp://a/2\r\n", "http://a/1\nhttp://a/2\n" },
    { "anything is a line", "anything is a line\n" },
    { "<urlset><url><loc>http://a/?x=1&amp;y=&lt;2&gt;</loc></url>\n<url><loc>\n http://a/2\n</loc></url></urlset>",
      "http://a/?x=1&y=<2>\nhttp://a/2\n" },
    { "<loc>http://a/&amp;amp;&apos;&quot;&unknown;&</loc>", "http://a/&amp;'\"&unknown;&\n" },
    { "<loc>http://a/1</loc><loc>http://a/cut", "http://a/1\n" },
    { "<loc></loc>", "\n" },
};

START_TEST(a_list_names_urls)
{
    struct warm_list l = { 0 };
    size_t len = strlen(lists[_i].text);
    char *text = malloc(len + 1); /* to the byte, so that a read beyond it is seen */
    memcpy(text, lists[_i].text, len);
    ck_assert(warm_list_add(&l, text, len));
    char urls[1000] = "";
    for (size_t i = 0; i < l.count; i++) {
        strncat(urls, l.urls[i].at, l.urls[i].len);
        strcat(urls, "\n");
    }
    ck_assert_str_eq(urls, lists[_i].urls);
    warm_list_free(&l);
    free(text);
}
END_TEST

START_TEST(a_list_grows)
{
    enum { MANY = 10000 };
    struct warm_list l = { 0 };
    for (int i = 0; i < MANY; i++) ck_assert(warm_list_add_url(&l, VIEW("http://a/")));
    ck_assert_uint_eq(l.count, MANY);
    ck_assert(view_equal(l.urls[MANY - 1], VIEW("http://a/")));
    warm_list_free(&l);
}
END_TEST

/* ---- what an answer means */

static const struct {
    int status;
    const char *cache_status;
    enum warm_outcome outcome;
} answers[] = {
    { 200, "weir; hit; ttl=60", WARM_HIT },
    { 200, "weir; fwd=uri-miss; stored; ttl=60", WARM_STORED },
    { 200, "weir; fwd=uri-miss; collapsed", WARM_HIT },
    { 200, "weir; fwd=uri-miss; detail=no-store", WARM_PASSED },
    { 200, "weir; fwd=miss; detail=\"a; hit\"", WARM_PASSED },
    { 200, "origin; hit, weir; fwd=uri-miss; stored", WARM_STORED },
    { 200, "origin; fwd=uri-miss; stored, weir; hit", WARM_HIT },
    { 200, "origin; hit, weir; fwd=bypass", WARM_PASSED },
    { 200, "", WARM_PASSED },
    { 301, "weir; fwd=uri-miss; stored", WARM_STORED },
    { 404, "weir; hit", WARM_FAILED },
    { 502, "weir; fwd=uri-miss; detail=origin-unreachable", WARM_FAILED },
};

START_TEST(what_weir_says_is_what_became_of_it)
{
    ck_assert_int_eq(warm_outcome_of(answers[_i].status, view_of_str(answers[_i].cache_status)), answers[_i].outcome);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("warm");
    tcase_add_loop_test(t, a_list_names_urls, 0, sizeof lists / sizeof *lists);
    tcase_add_test(t, a_list_grows);
    tcase_add_loop_test(t, what_weir_says_is_what_became_of_it, 0, sizeof answers / sizeof *answers);
    Suite *s = suite_create("warm");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
