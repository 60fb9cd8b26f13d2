#include "purge/lines.h"

#include <check.h>
#include <stdlib.h>

enum { NAMES = 40, STEPS = 4000 };

/* A name of each kind, in turn. */
static struct line line_of(unsigned n)
{
    char text[32] = "http://h0/";
    text[8] = (char)('0' + n % 8);
    for (unsigned i = 0; i < n / 8; i++) text[10 + i] = 'x';
    struct view uri = view_of_str(text);
    const uint64_t key[2] = { n, n };
    switch (n % 5) {
    case 0: return line_host(uri_authority(uri));
    case 1: return line_prefix(uri);
    case 2: return line_tag(n / 10); /* two names are one */
    case 3: return line_url(uri, key);
    default: return n == 4 ? line_all() : line_url(VIEW("http://twice/"), key); /* one URL under several keys */
    }
}

static bool same(const struct line *a, const struct line *b)
{
    return a->kind == b->kind && memcmp(a->name, b->name, sizeof(a->name)) == 0;
}

/* The table without a table. */
struct naive {
    struct line at[NAMES];
    size_t count;
};

static struct line *naive_find(struct naive *m, const struct line *named)
{
    for (size_t i = 0; i < m->count; i++) {
        if (same(&m->at[i], named)) return &m->at[i];
    }
    return NULL;
}

static void naive_put(struct naive *m, const struct line *line)
{
    struct line *known = naive_find(m, line);
    if (known == NULL) {
        m->at[m->count++] = *line;
        return;
    }
    if (line->hard_seq > known->hard_seq) known->hard_seq = line->hard_seq;
    if (line->soft_seq > known->soft_seq) known->soft_seq = line->soft_seq;
}

static void naive_forget(struct naive *m, const struct line *line)
{
    struct line *known = naive_find(m, line);
    if (known == NULL) return;
    if (known->hard_seq == line->hard_seq) known->hard_seq = 0;
    if (known->soft_seq == line->soft_seq) known->soft_seq = 0;
    if (known->hard_seq == 0 && known->soft_seq == 0) *known = m->at[--m->count];
}

static void they_agree(const struct lines *l, struct naive *m)
{
    size_t hard = 0;
    ck_assert_uint_eq(l->count, m->count);
    for (unsigned n = 0; n < NAMES; n++) {
        struct line named = line_of(n);
        const struct line *got = lines_find(l, &named), *want = naive_find(m, &named);
        ck_assert_int_eq(got == NULL, want == NULL);
        if (got == NULL) continue;
        ck_assert_uint_eq(got->hard_seq, want->hard_seq);
        ck_assert_uint_eq(got->soft_seq, want->soft_seq);
    }
    for (size_t i = 0; i < m->count; i++) hard += m->at[i].hard_seq > 0;
    ck_assert_uint_eq(l->hard_count, hard);
}

START_TEST(the_table_agrees_with_a_list)
{
    struct lines l = { 0 };
    struct naive m = { .count = 0 };
    srandom((unsigned)_i);
    for (uint64_t seq = 1; seq <= STEPS; seq++) {
        struct line line = line_of((unsigned)random() % NAMES);
        const struct line *known = lines_find(&l, &line);
        if (random() % 2 == 0) {
            *(random() % 3 == 0 ? &line.soft_seq : &line.hard_seq) = seq;
            ck_assert(lines_reserve(&l, 1));
            lines_put(&l, &line);
            naive_put(&m, &line);
        } else if (known != NULL) {
            if (random() % 3 > 0) line.hard_seq = known->hard_seq;
            if (random() % 3 > 0) line.soft_seq = known->soft_seq;
            lines_forget(&l, &line);
            naive_forget(&m, &line);
        }
        they_agree(&l, &m);
    }
    lines_free(&l);
}
END_TEST

static void put(struct lines *l, struct line line, uint64_t hard_seq, uint64_t soft_seq, int64_t since_s)
{
    line.hard_seq = hard_seq;
    line.soft_seq = soft_seq;
    line.soft_since_s = since_s;
    ck_assert(lines_reserve(l, 1));
    lines_put(l, &line);
}

/* Nothing that a line matched before is missed after it; what is fetched late enough is not touched. */
START_TEST(a_fold_covers_the_older_half)
{
    struct lines l = { 0 };
    static struct line covered[1000];
    for (uint64_t n = 1; n <= 1000; n++) put(&l, line_tag(n), n % 3 == 0 ? n : 0, n % 3 == 0 ? 0 : n, (int64_t)n);
    struct line all = lines_fold(&l);
    ck_assert_uint_ge(all.hard_seq, 490);
    ck_assert_uint_ge(all.soft_seq, 490);
    ck_assert_uint_le(all.hard_seq, 510);
    ck_assert_uint_le(all.soft_seq, 510);
    put(&l, all, all.hard_seq, all.soft_seq, all.soft_since_s);
    size_t taken = lines_take_covered(&l, covered, 1000);
    ck_assert_uint_ge(taken, 490);
    ck_assert_uint_eq(l.count, 1001 - taken);
    for (uint64_t n = 1; n <= 1000; n++) {
        struct purge_subject s = { .tags = &n, .tag_count = 1, .tags_known = true, .fetch_seq = n - 1 };
        struct marks marks = lines_check(&l, &s, UINT64_MAX);
        ck_assert(n % 3 == 0 ? marks.hard_seq >= n : marks.soft_seq >= n || marks.hard_seq >= n);
        s.tag_count = 0;
        s.fetch_seq = 510;
        ck_assert_uint_le(lines_check(&l, &s, UINT64_MAX).hard_seq, 510);
        ck_assert_uint_eq(lines_check(&l, &s, UINT64_MAX).soft_seq, 0);
    }
    lines_free(&l);
}
END_TEST

/* All of one purge: the middle is there, however the numbers lie. */
START_TEST(a_fold_of_equal_numbers_covers_all)
{
    struct lines l = { 0 };
    static struct line covered[100];
    for (uint64_t n = 1; n <= 100; n++) put(&l, line_tag(n), UINT64_MAX / 2, 0, 0);
    struct line all = lines_fold(&l);
    ck_assert_uint_eq(all.hard_seq, UINT64_MAX / 2);
    put(&l, all, all.hard_seq, 0, 0);
    ck_assert_uint_eq(lines_take_covered(&l, covered, 30), 30);
    ck_assert_uint_eq(lines_take_covered(&l, covered, 100), 70);
    ck_assert_uint_eq(lines_take_covered(&l, covered, 100), 0);
    ck_assert_uint_eq(l.count, 1);
    lines_free(&l);
}
END_TEST

START_TEST(an_empty_table_says_nothing)
{
    struct lines l = { 0 };
    struct line named = line_all(), none[1];
    struct purge_subject s = { .uri = VIEW("http://a/"), .authority = VIEW("a") };
    ck_assert_ptr_null(lines_find(&l, &named));
    ck_assert_uint_eq(lines_check(&l, &s, UINT64_MAX).hard_seq, 0);
    ck_assert_uint_eq(lines_take_covered(&l, none, 1), 0);
    ck_assert_uint_eq(lines_fold(&l).hard_seq, 0);
    lines_forget(&l, &named);
    lines_free(&l);
}
END_TEST

static const struct {
    const char *uri, *authority;
} authorities[] = {
    { "http://a/x", "a" },
    { "https://a:8443/", "a:8443" },
    { "http://a", "a" },
    { "http://a?q", "a" },
    { "http://[::1]/", "[::1]" },
    { "http:/a/", "" },
    { "a", "" },
    { "", "" },
    { "://", "" },
    { "x:", "" },
};

START_TEST(authorities_are_found)
{
    struct view got = uri_authority(view_of_str(authorities[_i].uri));
    ck_assert(view_equal(got, view_of_str(authorities[_i].authority)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lines");
    TCase *t = tcase_create("lines");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, the_table_agrees_with_a_list, 0, 5);
    tcase_add_test(t, a_fold_covers_the_older_half);
    tcase_add_test(t, a_fold_of_equal_numbers_covers_all);
    tcase_add_test(t, an_empty_table_says_nothing);
    tcase_add_loop_test(t, authorities_are_found, 0, (int)(sizeof(authorities) / sizeof(authorities[0])));
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
