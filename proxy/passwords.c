#include "proxy/passwords.h"

#include <pthread.h>
#include <stdlib.h>

struct passwords {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t news;
    struct password_job *first, **end; /* waiting: one for each password */
    struct password_job *running[PASSWORD_THREADS];
    size_t checks, jobs;
    bool stopping;
    size_t running_count; /* threads that have a place in `running` */
    size_t started;
    pthread_t threads[PASSWORD_THREADS];
};

/* ---- jobs, under the lock */

static bool is_same(const struct password_job *a, const struct password_job *b)
{
    const struct credentials *x = &a->credentials, *y = &b->credentials;
    return x->protection == y->protection && x->hash[0] == y->hash[0] && x->hash[1] == y->hash[1] && x->len == y->len &&
           memcmp(x->text, y->text, x->len) == 0;
}

static struct password_job *find_same(struct passwords *p, const struct password_job *j)
{
    for (size_t i = 0; i < PASSWORD_THREADS; i++)
        if (p->running[i] != NULL && is_same(p->running[i], j)) return p->running[i];
    for (struct password_job *other = p->first; other != NULL; other = other->next)
        if (is_same(other, j)) return other;
    return NULL;
}

static void add_check(struct passwords *p, struct password_job *j)
{
    *p->end = j;
    p->end = &j->next;
    p->checks++;
    p->jobs++;
    pthread_cond_signal(&p->news);
}

static struct password_job *take_check(struct passwords *p)
{
    struct password_job *j = p->first;
    p->first = j->next;
    if (p->first == NULL) p->end = &p->first;
    return j;
}

enum password_answer passwords_check(struct passwords *p, struct password_job *j, int64_t now_s)
{
    enum password_answer answer = PASSWORD_ASKED;
    j->next = j->same = NULL;
    pthread_mutex_lock(&p->lock);
    struct password_job *other = find_same(p, j);
    if (p->jobs >= PASSWORD_JOBS_MAX || (other == NULL && p->checks >= PASSWORD_CHECKS_MAX)) {
        answer = PASSWORD_BUSY;
    } else if (other != NULL) {
        j->same = other->same;
        other->same = j;
        p->jobs++;
    } else if (!credentials_may_be_tried(&j->credentials, now_s)) {
        answer = PASSWORD_TOO_MANY;
    } else {
        add_check(p, j);
    }
    pthread_mutex_unlock(&p->lock);
    if (answer != PASSWORD_ASKED) credentials_forget(&j->credentials);
    return answer;
}

/* ---- the threads */

/* A job is gone once it was told. */
static void tell(struct password_job *first, bool right)
{
    for (struct password_job *j = first, *same; j != NULL; j = same) {
        same = j->same;
        j->right = right;
        credentials_forget(&j->credentials);
        j->done(j);
    }
}

static void check_one(struct passwords *p, struct password_job **running)
{
    struct password_job *j = take_check(p);
    *running = j;
    pthread_mutex_unlock(&p->lock);
    bool right = credentials_try(&j->credentials);
    pthread_mutex_lock(&p->lock);
    *running = NULL; /* who comes now finds it remembered, or is another try */
    p->checks--;
    for (const struct password_job *same = j; same != NULL; same = same->same) p->jobs--;
    pthread_mutex_unlock(&p->lock);
    tell(j, right);
    pthread_mutex_lock(&p->lock);
}

static void *passwords_run(void *arg)
{
    struct passwords *p = arg;
    pthread_mutex_lock(&p->lock);
    struct password_job **running = &p->running[p->running_count++];
    while (!p->stopping) {
        if (p->first != NULL)
            check_one(p, running);
        else
            pthread_cond_wait(&p->news, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life */

struct passwords *passwords_new(void)
{
    struct passwords *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->end = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    return p;
}

int passwords_start(struct passwords *p)
{
    for (size_t i = 0; i < PASSWORD_THREADS; i++) {
        int rc = pthread_create(&p->threads[i], NULL, passwords_run, p);
        if (rc != 0) return -rc;
        pthread_setname_np(p->threads[i], "weir-password");
        p->started++;
    }
    return 0;
}

void passwords_free(struct passwords *p)
{
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->news);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->started; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->news);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
