#include "etc/demo/sleepers.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct sleeper {
    struct sleeper *next;
    struct MHD_Connection *connection;
    struct timespec due;
};

struct sleepers {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sleeper *first; /* in the order of waking */
    bool ended;
};

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static struct timespec now_plus(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static void wake_first(struct sleepers *s)
{
    struct sleeper *woken = s->first;
    s->first = woken->next;
    MHD_resume_connection(woken->connection);
    free(woken);
}

static void *wake_when_due(void *of)
{
    struct sleepers *s = of;
    pthread_mutex_lock(&s->lock);
    while (!s->ended) {
        struct timespec now = now_plus(0);
        if (s->first == NULL)
            pthread_cond_wait(&s->changed, &s->lock);
        else if (is_before(&now, &s->first->due))
            pthread_cond_timedwait(&s->changed, &s->lock, &s->first->due);
        else
            wake_first(s);
    }
    while (s->first != NULL) wake_first(s);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct sleepers *sleepers_start(void)
{
    struct sleepers *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);
    if (pthread_create(&s->thread, NULL, wake_when_due, s) == 0) return s;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

static void insert(struct sleepers *s, struct sleeper *added)
{
    struct sleeper **at = &s->first;
    while (*at != NULL && !is_before(&added->due, &(*at)->due)) at = &(*at)->next;
    added->next = *at;
    *at = added;
}

bool sleepers_add(struct sleepers *s, struct MHD_Connection *connection, long ms)
{
    struct sleeper *added = calloc(1, sizeof *added);
    if (added == NULL) return false;
    added->connection = connection;
    added->due = now_plus(ms);
    pthread_mutex_lock(&s->lock);
    bool may_sleep = !s->ended;
    if (may_sleep) {
        /* Suspended before it is known to the other thread: a wake-up cannot come first. */
        MHD_suspend_connection(connection);
        insert(s, added);
        pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (!may_sleep) free(added);
    return may_sleep;
}

void sleepers_stop(struct sleepers *s)
{
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}

void sleepers_free(struct sleepers *s)
{
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
