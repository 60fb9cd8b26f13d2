/* A request's content on its way: every byte once and in order, and whoever waits is told when it goes on. */
#include "proxy/upload.h"
#include "tests/headers/table.h"

#include <errno.h>

struct sides {
    struct upload *u;
    int drained, filled;
    size_t put, taken;
};

static void drained(void *arg)
{
    ((struct sides *)arg)->drained++;
}

static void filled(void *arg)
{
    ((struct sides *)arg)->filled++;
}

static void begin(struct sides *s)
{
    *s = (struct sides){ .u = upload_new(-1) };
    ck_assert_ptr_nonnull(s->u);
    upload_on_drained(s->u, drained, s);
    upload_on_filled(s->u, filled, s);
}

static unsigned char byte_at(size_t n)
{
    return (unsigned char)(n * 31 + n / 256);
}

static size_t put(struct sides *s, size_t len)
{
    static unsigned char bytes[2 * UPLOAD_BYTES];
    for (size_t i = 0; i < len; i++) bytes[i] = byte_at(s->put + i);
    size_t n = upload_put(s->u, bytes, len);
    s->put += n;
    return n;
}

static ssize_t take(struct sides *s, size_t cap)
{
    static unsigned char bytes[2 * UPLOAD_BYTES];
    ssize_t n = upload_take(s->u, bytes, cap);
    for (ssize_t i = 0; i < n; i++) ck_assert_int_eq(bytes[i], byte_at(s->taken + (size_t)i));
    if (n > 0) s->taken += (size_t)n;
    return n;
}

START_TEST(every_byte_comes_out_in_order)
{
    static const struct {
        size_t total, put, take;
    } cases[] = {
        { 1, 1, 1 },
        { UPLOAD_BYTES, UPLOAD_BYTES, UPLOAD_BYTES },
        { 3 * UPLOAD_BYTES + 5, 1000, 777 },
        { 3 * UPLOAD_BYTES + 5, 40000, 50000 },
        { 5 * UPLOAD_BYTES, 2 * UPLOAD_BYTES, 16384 },
    };
    struct sides s;
    begin(&s);
    while (s.taken < cases[_i].total) {
        size_t left = cases[_i].total - s.put;
        (void)put(&s, left < cases[_i].put ? left : cases[_i].put);
        ck_assert_int_gt(take(&s, cases[_i].take), 0);
    }
    ck_assert_int_eq(take(&s, 1), -EAGAIN);
    upload_end(s.u, true);
    ck_assert_int_eq(take(&s, 1), 0);
    ck_assert(upload_is_complete(s.u));
    upload_unref(&s.u);
    ck_assert_ptr_null(s.u);
}
END_TEST

START_TEST(the_length_is_what_was_said)
{
    struct upload *u = upload_new(1234);
    ck_assert_int_eq(upload_length(u), 1234);
    ck_assert(!upload_is_complete(u));
    upload_unref(&u);
}
END_TEST

START_TEST(when_it_is_full_the_client_waits_until_there_is_room)
{
    struct sides s;
    begin(&s);
    ck_assert_uint_eq(put(&s, UPLOAD_BYTES), UPLOAD_BYTES);
    ck_assert_int_gt(take(&s, 1), 0);
    ck_assert_int_eq(s.drained, 0); /* nobody waited */
    ck_assert_uint_eq(put(&s, 10), 1);
    ck_assert_int_gt(take(&s, 5), 0);
    ck_assert_int_eq(s.drained, 1);
    ck_assert_int_gt(take(&s, 5), 0);
    ck_assert_int_eq(s.drained, 1);
    upload_unref(&s.u);
}
END_TEST

START_TEST(who_waits_for_more_is_told_once)
{
    struct sides s;
    begin(&s);
    (void)put(&s, 1);
    ck_assert_int_eq(s.filled, 0);
    ck_assert_int_eq(take(&s, 10), 1);
    ck_assert_int_eq(take(&s, 10), -EAGAIN);
    (void)put(&s, 1);
    (void)put(&s, 1);
    ck_assert_int_eq(s.filled, 1);
    ck_assert_int_eq(take(&s, 10), 2);
    ck_assert_int_eq(take(&s, 10), -EAGAIN);
    upload_end(s.u, _i == 0);
    upload_end(s.u, _i != 0); /* the first end counts */
    ck_assert_int_eq(s.filled, 2);
    ck_assert_int_eq(take(&s, 10), _i == 0 ? 0 : -ECANCELED);
    upload_unref(&s.u);
}
END_TEST

/* The origin must not take what is left for a complete request. */
START_TEST(a_client_that_broke_off_is_heard_at_once)
{
    struct sides s;
    begin(&s);
    (void)put(&s, 100);
    upload_end(s.u, false);
    ck_assert_int_eq(take(&s, 10), -ECANCELED);
    ck_assert(!upload_is_complete(s.u));
    upload_unref(&s.u);
}
END_TEST

START_TEST(nobody_reads_on_so_everything_is_taken)
{
    struct sides s;
    begin(&s);
    (void)put(&s, UPLOAD_BYTES);
    ck_assert_uint_eq(put(&s, 1), 0);
    upload_discard(s.u);
    ck_assert_int_eq(s.drained, 1);
    for (int i = 0; i < 10; i++) ck_assert_uint_eq(put(&s, UPLOAD_BYTES), UPLOAD_BYTES);
    upload_discard(s.u);
    ck_assert_int_eq(s.drained, 1);
    upload_unref(&s.u);
}
END_TEST

START_TEST(whoever_is_gone_is_not_called)
{
    struct sides s;
    begin(&s);
    struct upload *other = upload_ref(s.u);
    ck_assert_int_eq(take(&s, 1), -EAGAIN);
    upload_on_filled(s.u, NULL, NULL);
    (void)put(&s, UPLOAD_BYTES);
    ck_assert_uint_eq(put(&s, 1), 0);
    upload_on_drained(s.u, NULL, NULL);
    upload_unref(&s.u);
    s.u = other;
    ck_assert_int_gt(take(&s, 10), 0);
    upload_end(s.u, true);
    upload_discard(s.u);
    ck_assert(s.filled == 0 && s.drained == 0);
    upload_unref(&s.u);
}
END_TEST

START_TEST(the_content_can_be_seen_until_it_is_taken)
{
    struct sides s;
    begin(&s);
    ck_assert_uint_eq(upload_content(s.u).len, 0);
    (void)put(&s, 1000);
    (void)put(&s, UPLOAD_BYTES - 1000);
    struct view content = upload_content(s.u);
    ck_assert_uint_eq(content.len, UPLOAD_BYTES);
    for (size_t i = 0; i < content.len; i++) ck_assert_int_eq((unsigned char)content.at[i], byte_at(i));
    ck_assert_int_eq(take(&s, 1), 1);
    ck_assert_uint_eq(upload_content(s.u).len, 0);
    upload_unref(&s.u);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("upload");
    tcase_add_loop_test(t, every_byte_comes_out_in_order, 0, 5);
    tcase_add_test(t, the_length_is_what_was_said);
    tcase_add_test(t, when_it_is_full_the_client_waits_until_there_is_room);
    tcase_add_loop_test(t, who_waits_for_more_is_told_once, 0, 2);
    tcase_add_test(t, a_client_that_broke_off_is_heard_at_once);
    tcase_add_test(t, nobody_reads_on_so_everything_is_taken);
    tcase_add_test(t, whoever_is_gone_is_not_called);
    tcase_add_test(t, the_content_can_be_seen_until_it_is_taken);
    return run_case("upload", t);
}
