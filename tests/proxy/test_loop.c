/* The event loop: timers by hand, watchers on pipes and eventfds, the mailbox from other threads. */
#include "proxy/loop.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct loop *loop;

static void set_up(void)
{
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
}

static void tear_down(void)
{
    loop_free(loop);
}

/* ---- timers */

enum { TIMERS = 200 };
static struct loop_timer timers[TIMERS];
static int64_t order[TIMERS];
static size_t fired;

static void note_due(struct loop_timer *t)
{
    order[fired++] = t->at_ms;
}

static int64_t no_wait(void *arg)
{
    (void)arg;
    return 0;
}

static void no_turn(void *arg)
{
    (void)arg;
}

START_TEST(timers_fire_in_the_order_of_their_time)
{
    int64_t past = loop_now_ms(loop) - 10000;
    fired = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        timers[i] = (struct loop_timer){ .due = note_due };
        loop_timer_set(loop, &timers[i], past + (int64_t)(i * 7919 % TIMERS));
    }
    for (size_t i = 0; i < TIMERS; i += 2) loop_timer_stop(loop, &timers[i]);
    for (size_t i = 0; i < TIMERS; i += 4) loop_timer_set(loop, &timers[i], past + (int64_t)(i * 31 % TIMERS));
    loop_turn(loop);
    ck_assert_uint_eq(fired, TIMERS / 2 + TIMERS / 4);
    for (size_t i = 1; i < fired; i++) ck_assert_int_le(order[i - 1], order[i]);
    loop_timer_stop(loop, &timers[0]); /* not armed: nothing happens */
}
END_TEST

START_TEST(a_timer_moved_is_due_once_at_its_new_time)
{
    loop_add_hook(loop, (struct loop_hook){ no_wait, no_turn, NULL });
    fired = 0;
    timers[0] = (struct loop_timer){ .due = note_due };
    loop_timer_set(loop, &timers[0], loop_now_ms(loop) - 5);
    loop_timer_set(loop, &timers[0], loop_now_ms(loop) + 3600 * 1000);
    loop_turn(loop);
    ck_assert_uint_eq(fired, 0);
    loop_timer_set(loop, &timers[0], loop_now_ms(loop) - 1);
    loop_turn(loop);
    loop_turn(loop);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

static void due_again(struct loop_timer *t)
{
    fired++;
    loop_timer_set(loop, t, loop_now_ms(loop));
}

START_TEST(a_timer_that_arms_itself_does_not_hold_the_turn)
{
    fired = 0;
    timers[0] = (struct loop_timer){ .due = due_again };
    loop_timer_set(loop, &timers[0], 0);
    loop_turn(loop);
    ck_assert_uint_eq(fired, 1);
    loop_turn(loop);
    ck_assert_uint_eq(fired, 2);
}
END_TEST

START_TEST(a_turn_sleeps_until_the_first_timer)
{
    fired = 0;
    timers[0] = (struct loop_timer){ .due = note_due };
    int64_t before = loop_now_ms(loop);
    loop_timer_set(loop, &timers[0], before + 5);
    while (fired == 0) loop_turn(loop);
    ck_assert_int_ge(loop_now_ms(loop), before + 5);
}
END_TEST

/* ---- watchers */

struct bell {
    struct loop_watch watch;
    unsigned rung;
    struct bell *other;
};

static void bell_ready(struct loop_watch *w, uint32_t events)
{
    struct bell *b = (struct bell *)w;
    ck_assert(events & EPOLLIN);
    b->rung++;
    loop_watch_remove(loop, &b->other->watch);
}

START_TEST(a_watcher_removed_in_the_same_turn_stays_silent)
{
    struct bell a = { .watch = { bell_ready, eventfd(1, EFD_NONBLOCK) } };
    struct bell b = { .watch = { bell_ready, eventfd(1, EFD_NONBLOCK) } };
    a.other = &b;
    b.other = &a;
    ck_assert_int_eq(loop_watch_add(loop, &a.watch, EPOLLIN), 0);
    ck_assert_int_eq(loop_watch_add(loop, &b.watch, EPOLLIN), 0);
    ck_assert_int_lt(loop_watch_add(loop, &b.watch, EPOLLIN), 0); /* twice: refused */
    loop_turn(loop);
    ck_assert_uint_eq(a.rung + b.rung, 1);
    close(a.watch.fd);
    close(b.watch.fd);
}
END_TEST

static void count_ready(struct loop_watch *w, uint32_t events)
{
    (void)events;
    ((struct bell *)w)->rung++;
}

START_TEST(a_watcher_hears_only_what_it_asks_for)
{
    loop_add_hook(loop, (struct loop_hook){ no_wait, no_turn, NULL });
    struct bell b = { .watch = { count_ready, eventfd(1, EFD_NONBLOCK) } };
    ck_assert_int_eq(loop_watch_add(loop, &b.watch, 0), 0);
    loop_turn(loop);
    ck_assert_uint_eq(b.rung, 0);
    loop_watch_set(loop, &b.watch, EPOLLIN);
    loop_turn(loop);
    ck_assert_uint_eq(b.rung, 1);
    close(b.watch.fd);
}
END_TEST

/* ---- mailbox */

enum { POSTERS = 3, POSTS = 2000 };

struct letter {
    struct loop_task task;
    unsigned poster, number;
};
static struct letter letters[POSTERS][POSTS];
static unsigned next_number[POSTERS];
static size_t taken;

static void letter_run(struct loop_task *t)
{
    struct letter *l = (struct letter *)t;
    ck_assert_uint_eq(l->number, next_number[l->poster]++); /* in the order posted */
    taken++;
}

static void *post_all(void *arg)
{
    struct letter *mine = arg;
    for (size_t i = 0; i < POSTS; i++) loop_post(loop, &mine[i].task);
    return NULL;
}

START_TEST(letters_from_every_thread_arrive_once_and_in_order)
{
    pthread_t threads[POSTERS];
    for (unsigned p = 0; p < POSTERS; p++) {
        for (unsigned i = 0; i < POSTS; i++) {
            letters[p][i] = (struct letter){ .task = { .run = letter_run }, .poster = p, .number = i };
        }
        ck_assert_int_eq(pthread_create(&threads[p], NULL, post_all, letters[p]), 0);
    }
    while (taken < (size_t)POSTERS * POSTS) loop_turn(loop);
    for (unsigned p = 0; p < POSTERS; p++) pthread_join(threads[p], NULL);
    ck_assert_uint_eq(taken, POSTERS * POSTS);
}
END_TEST

static unsigned runs;

static void post_again(struct loop_task *t)
{
    if (++runs < 3) loop_post(loop, t);
}

START_TEST(a_task_may_be_posted_again_while_it_runs_and_counts_once_before)
{
    struct loop_task task = { .run = post_again };
    loop_add_hook(loop, (struct loop_hook){ no_wait, no_turn, NULL });
    loop_turn(loop); /* from now on this thread is known as the loop's */
    loop_post(loop, &task);
    loop_post(loop, &task);
    loop_turn(loop);
    ck_assert_uint_eq(runs, 1);
    loop_turn(loop);
    loop_turn(loop);
    ck_assert_uint_eq(runs, 3);
}
END_TEST

/* ---- hooks */

static void count_turn(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(hooks_run_in_every_turn_until_removed)
{
    unsigned one = 0, two = 0;
    loop_add_hook(loop, (struct loop_hook){ no_wait, count_turn, &one });
    loop_add_hook(loop, (struct loop_hook){ no_wait, count_turn, &two });
    loop_turn(loop);
    loop_remove_hook(loop, &one);
    loop_turn(loop);
    ck_assert_uint_eq(one, 1);
    ck_assert_uint_eq(two, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *c = tcase_create("loop");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, timers_fire_in_the_order_of_their_time);
    tcase_add_test(c, a_timer_moved_is_due_once_at_its_new_time);
    tcase_add_test(c, a_timer_that_arms_itself_does_not_hold_the_turn);
    tcase_add_test(c, a_turn_sleeps_until_the_first_timer);
    tcase_add_test(c, a_watcher_removed_in_the_same_turn_stays_silent);
    tcase_add_test(c, a_watcher_hears_only_what_it_asks_for);
    tcase_add_test(c, letters_from_every_thread_arrive_once_and_in_order);
    tcase_add_test(c, a_task_may_be_posted_again_while_it_runs_and_counts_once_before);
    tcase_add_test(c, hooks_run_in_every_turn_until_removed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
