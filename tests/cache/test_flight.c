/* Collapsed requests: one leads, the others wait; each is woken once, nobody is forgotten, whoever leaves is left alone. */
#include "cache/flight.h"
#include "tests/cache/objects.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

/* ---- one who waits */

struct passenger {
    struct flight_waiter waiter;
    struct flight *flight;
    bool leading;
    int wakes;
};

static void woken(struct flight_waiter *w)
{
    ((struct passenger *)(void *)w)->wakes++;
}

static bool anybody_may(void *arg, const struct flight *f)
{
    (void)arg;
    (void)f;
    return true;
}

static bool nobody_may(void *arg, const struct flight *f)
{
    (void)arg;
    (void)f;
    return false;
}

static void join_as(struct flight_table *t, struct passenger *p, unsigned n, uint64_t variant, const char *text,
                    flight_may_join may)
{
    char key_text[OBJECT_KEY_MAX];
    struct key key = key_of_number(n, key_text);
    struct store_id id = { .key = { key.hash[0], key.hash[1] }, .variant = variant };
    *p = (struct passenger){ .waiter.wake = woken };
    p->flight = flight_join(t, &id, key.text, view_of_str(text), 0, may, NULL, &p->waiter, &p->leading);
    ck_assert_ptr_nonnull(p->flight);
}

static void join(struct flight_table *t, struct passenger *p, unsigned n)
{
    join_as(t, p, n, 0, "", anybody_may);
}

static void leave(struct flight_table *t, struct passenger *p)
{
    (void)flight_leave(t, &p->flight, &p->waiter);
    ck_assert_ptr_null(p->flight);
}

static int state_of(const struct flight *f)
{
    return atomic_load(&f->state);
}

/* ---- the states */

enum ending { RESPOND, PART, FAIL, ENDINGS };

static void end_flight(struct flight_table *t, struct flight *f, enum ending how, struct object *o)
{
    switch (how) {
    case RESPOND: flight_respond(t, f, o); break;
    case PART: flight_part(t, f); break;
    default: flight_fail(t, f, (struct flight_failure){ 504, "origin-timed-out", 0 }); break;
    }
}

START_TEST(everyone_aboard_hears_once_how_it_ended)
{
    static const int states[] = { [RESPOND] = FLIGHT_RESPONSE, [PART] = FLIGHT_ALONE, [FAIL] = FLIGHT_FAILED };
    struct flight_table *t = flight_table_new();
    struct object *o = object_of_number(1, 10, 0);
    struct passenger p[4];
    for (int i = 0; i < 4; i++) join(t, &p[i], 1);
    ck_assert(p[0].leading && !p[1].leading && !p[2].leading && !p[3].leading);
    ck_assert_ptr_eq(p[3].flight, p[0].flight);
    ck_assert_uint_eq(flight_waiters(p[0].flight), 4);
    leave(t, &p[2]);
    end_flight(t, p[0].flight, (enum ending)_i, o);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(p[i].wakes, i == 2 ? 0 : 1);
    ck_assert_int_eq(state_of(p[1].flight), states[_i]);
    ck_assert_ptr_eq(p[1].flight->object, _i == RESPOND ? o : NULL);
    if (_i == FAIL) ck_assert_int_eq(p[1].flight->failure.status, 504);
    flight_unlist(t, p[0].flight);
    leave(t, &p[0]);
    leave(t, &p[1]);
    leave(t, &p[3]);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(p[i].wakes, i == 2 ? 0 : 1);
    ck_assert_uint_eq(flight_count(t), 0);
    object_unref(&o);
    flight_table_free(t);
}
END_TEST

START_TEST(a_response_can_be_joined_a_failure_cannot)
{
    struct flight_table *t = flight_table_new();
    struct object *o = object_of_number(1, 10, 0);
    struct passenger first, late;
    join(t, &first, 1);
    end_flight(t, first.flight, (enum ending)_i, o);
    join(t, &late, 1);
    ck_assert_int_eq(late.leading, _i != RESPOND);
    ck_assert_int_eq(late.wakes, 0); /* it sees the state when it joins */
    if (late.leading) flight_part(t, late.flight);
    flight_unlist(t, first.flight);
    leave(t, &late);
    leave(t, &first);
    object_unref(&o);
    flight_table_free(t);
}
END_TEST

START_TEST(once_landed_it_is_not_joined)
{
    struct flight_table *t = flight_table_new();
    struct object *o = object_of_number(1, 10, 0);
    struct passenger first, late;
    join(t, &first, 1);
    flight_respond(t, first.flight, o);
    flight_unlist(t, first.flight);
    flight_unlist(t, first.flight); /* more than once does nothing */
    join(t, &late, 1);
    ck_assert(late.leading);
    flight_part(t, late.flight);
    leave(t, &first);
    leave(t, &late);
    object_unref(&o);
    flight_table_free(t);
}
END_TEST

/* A purge came between: those aboard fly on, who comes now takes another. */
START_TEST(one_that_may_not_be_joined_is_replaced)
{
    struct flight_table *t = flight_table_new();
    struct object *o = object_of_number(1, 10, 0);
    struct passenger old, young, third;
    join(t, &old, 1);
    join_as(t, &young, 1, 0, "", nobody_may);
    ck_assert(young.leading && young.flight != old.flight);
    join(t, &third, 1);
    ck_assert_ptr_eq(third.flight, young.flight);
    ck_assert_uint_eq(flight_count(t), 1);
    flight_respond(t, old.flight, o);
    ck_assert(old.wakes == 1 && young.wakes == 0 && third.wakes == 0);
    flight_unlist(t, old.flight);
    ck_assert_uint_eq(flight_count(t), 1);
    flight_part(t, young.flight);
    leave(t, &old);
    leave(t, &young);
    leave(t, &third);
    object_unref(&o);
    flight_table_free(t);
}
END_TEST

START_TEST(a_private_flight_is_waited_for_and_never_found)
{
    struct flight_table *t = flight_table_new();
    struct store_id id = id_of_number(1);
    struct passenger own = { .waiter.wake = woken }, other;
    own.flight = flight_private(&id, 3);
    flight_wait(t, own.flight, &own.waiter);
    join(t, &other, 1);
    ck_assert(other.leading && other.flight != own.flight);
    flight_part(t, own.flight);
    ck_assert_int_eq(own.wakes, 1);
    flight_part(t, other.flight);
    leave(t, &own);
    leave(t, &other);
    flight_table_free(t);
}
END_TEST

/* ---- which flight is whose */

START_TEST(variants_do_not_mix)
{
    static const struct {
        uint64_t variant;
        const char *text;
        unsigned n;
        bool same;
    } cases[] = {
        { 7, "accept:a\n", 1, true },  { 7, "accept:b\n", 1, false }, /* the same hash is not enough */
        { 8, "accept:a\n", 1, false }, { 7, "accept:a\n", 2, false }, { 0, "", 1, false },
    };
    struct flight_table *t = flight_table_new();
    struct passenger a, b;
    join_as(t, &a, 1, 7, "accept:a\n", anybody_may);
    join_as(t, &b, cases[_i].n, cases[_i].variant, cases[_i].text, anybody_may);
    ck_assert_int_eq(b.flight == a.flight, cases[_i].same);
    flight_part(t, a.flight);
    if (b.leading) flight_part(t, b.flight);
    leave(t, &a);
    leave(t, &b);
    flight_table_free(t);
}
END_TEST

START_TEST(renamed_it_is_found_under_its_variant)
{
    static const struct {
        uint64_t variant;
        bool found;
    } cases[] = { { 7, true }, { 8, false }, { 0, true } };
    struct flight_table *t = flight_table_new();
    struct object *o = object_of_number(1, 10, 0);
    struct store_id id = id_of_number(1);
    struct passenger a, b;
    join(t, &a, 1);
    id.variant = 7;
    flight_rename(t, a.flight, &id);
    flight_respond(t, a.flight, o);
    join_as(t, &b, 1, cases[_i].variant, cases[_i].variant != 0 ? "accept:a\n" : "", anybody_may);
    ck_assert_int_eq(b.flight == a.flight, cases[_i].found);
    if (b.leading) flight_part(t, b.flight);
    flight_unlist(t, a.flight);
    leave(t, &a);
    leave(t, &b);
    object_unref(&o);
    flight_table_free(t);
}
END_TEST

/* ---- threads: who joins and leaves as they like, with a leader that is whoever came first */

enum { CROWD = 6, ROUNDS = 3000, KEYS = 3 };

struct crowd {
    struct flight_table *t;
    struct object *objects[KEYS];
    _Atomic int led, woken, forgotten, twice, wrong;
};

struct one {
    struct flight_waiter waiter;
    struct crowd *crowd;
    sem_t news;
    _Atomic int wakes;
    unsigned seed;
};

static void news(struct flight_waiter *w)
{
    struct one *o = (struct one *)(void *)w;
    o->wakes++;
    sem_post(&o->news);
}

static bool may_sometimes(void *arg, const struct flight *f)
{
    (void)f;
    return rand_r(arg) % 8 != 0;
}

static void lead(struct one *o, struct flight *f, unsigned n)
{
    struct crowd *c = o->crowd;
    for (int i = rand_r(&o->seed) % 4; i > 0; i--) sched_yield();
    struct store_id id = f->id;
    id.variant = n + 1;
    if (rand_r(&o->seed) % 2 == 0) flight_rename(c->t, f, &id);
    end_flight(c->t, f, (enum ending)(rand_r(&o->seed) % ENDINGS), c->objects[n]);
    for (int i = rand_r(&o->seed) % 2; i > 0; i--) sched_yield();
    flight_unlist(c->t, f);
    c->led++;
}

static void fly(struct one *o)
{
    struct crowd *c = o->crowd;
    char text[OBJECT_KEY_MAX];
    unsigned n = (unsigned)rand_r(&o->seed) % KEYS;
    struct key key = key_of_number(n, text);
    struct store_id id = { .key = { key.hash[0], key.hash[1] } };
    bool leading = false, leaves = rand_r(&o->seed) % 3 == 0;
    o->wakes = 0;
    struct flight *f = flight_join(c->t, &id, key.text, VIEW(""), 0, may_sometimes, &o->seed, &o->waiter, &leading);
    if (f == NULL) {
        c->wrong++;
        return;
    }

    if (leading) lead(o, f, n);
    if (!leading && !leaves)
        while (state_of(f) == FLIGHT_OPEN) sched_yield();
    if (state_of(f) == FLIGHT_RESPONSE && f->object != c->objects[n]) c->wrong++;
    (void)flight_leave(c->t, &f, &o->waiter);
    int wakes = o->wakes; /* none comes after flight_leave */
    if (leading && wakes != 1) c->forgotten++;
    if (wakes > 1) c->twice++;
    for (; wakes > 0; wakes--) {
        sem_wait(&o->news);
        c->woken++;
    }
    sched_yield();
    if (o->wakes > 1 || sem_trywait(&o->news) == 0) c->twice++;
}

static void *one_main(void *arg)
{
    struct one *o = arg;
    for (int round = 0; round < ROUNDS; round++) fly(o);
    return NULL;
}

START_TEST(nobody_is_woken_twice_or_forgotten)
{
    struct crowd c = { .t = flight_table_new() };
    struct one ones[CROWD];
    pthread_t threads[CROWD];
    for (unsigned n = 0; n < KEYS; n++) c.objects[n] = object_of_number(n, 10, 0);
    for (unsigned i = 0; i < CROWD; i++) {
        ones[i] = (struct one){ .waiter.wake = news, .crowd = &c, .seed = i + 1 };
        sem_init(&ones[i].news, 0, 0);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, one_main, &ones[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    ck_assert_int_eq(c.wrong, 0);
    ck_assert_int_eq(c.twice, 0);
    ck_assert_int_eq(c.forgotten, 0);
    ck_assert_int_gt(c.led, 0);
    ck_assert_int_ge(c.woken, c.led);
    ck_assert_uint_eq(flight_count(c.t), 0);
    for (unsigned n = 0; n < KEYS; n++) {
        ck_assert_uint_eq(atomic_load(&c.objects[n]->refs), 1);
        object_unref(&c.objects[n]);
    }
    for (unsigned i = 0; i < CROWD; i++) sem_destroy(&ones[i].news);
    flight_table_free(c.t);
}
END_TEST

/* Many wait for one that ends at an instant of its own: those who joined while it was open are all woken. */
struct herd {
    struct flight_table *t;
    struct flight *flight;
    pthread_barrier_t ready;
    _Atomic int done;
};

struct sheep {
    struct flight_waiter waiter;
    struct herd *herd;
    sem_t news;
    bool was_open;
};

static void sheep_news(struct flight_waiter *w)
{
    sem_post(&((struct sheep *)(void *)w)->news);
}

static void *sheep_main(void *arg)
{
    struct sheep *s = arg;
    struct flight *f = flight_ref(s->herd->flight);
    pthread_barrier_wait(&s->herd->ready);
    flight_wait(s->herd->t, f, &s->waiter);
    if (state_of(f) == FLIGHT_OPEN) sem_wait(&s->news); /* open after it waits: a wake must come */
    (void)flight_leave(s->herd->t, &f, &s->waiter);
    s->herd->done++;
    return NULL;
}

START_TEST(whoever_waits_while_it_is_open_is_woken)
{
    enum { HERD = 8, TIMES = 200 };
    for (int time = 0; time < TIMES; time++) {
        struct store_id id = id_of_number(1);
        struct herd h = { .t = flight_table_new(), .flight = flight_private(&id, 0) };
        struct sheep sheep[HERD];
        pthread_t threads[HERD];
        pthread_barrier_init(&h.ready, NULL, HERD + 1);
        for (int i = 0; i < HERD; i++) {
            sheep[i] = (struct sheep){ .waiter.wake = sheep_news, .herd = &h };
            sem_init(&sheep[i].news, 0, 0);
            ck_assert_int_eq(pthread_create(&threads[i], NULL, sheep_main, &sheep[i]), 0);
        }
        pthread_barrier_wait(&h.ready);
        for (int i = time % 4; i > 0; i--) sched_yield();
        flight_fail(h.t, h.flight, (struct flight_failure){ 502, "origin-unreachable", 0 });
        for (int i = 0; i < HERD; i++) pthread_join(threads[i], NULL);
        ck_assert_int_eq(h.done, HERD);
        for (int i = 0; i < HERD; i++) sem_destroy(&sheep[i].news);
        pthread_barrier_destroy(&h.ready);
        flight_unref(&h.flight);
        flight_table_free(h.t);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("flight");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, everyone_aboard_hears_once_how_it_ended, 0, ENDINGS);
    tcase_add_loop_test(t, a_response_can_be_joined_a_failure_cannot, 0, ENDINGS);
    tcase_add_test(t, once_landed_it_is_not_joined);
    tcase_add_test(t, one_that_may_not_be_joined_is_replaced);
    tcase_add_test(t, a_private_flight_is_waited_for_and_never_found);
    tcase_add_loop_test(t, variants_do_not_mix, 0, 5);
    tcase_add_loop_test(t, renamed_it_is_found_under_its_variant, 0, 3);
    tcase_add_test(t, nobody_is_woken_twice_or_forgotten);
    tcase_add_test(t, whoever_waits_while_it_is_open_is_woken);
    return run_case("flight", t);
}
