/* What a route answers by itself, before anything is looked up: who may see it, a redirect, a fixed answer. */
#include "proxy/exchange_internal.h"

#include "proxy/passwords.h"
#include "proxy/problem.h"

#include <stdlib.h>

static void ask_for_credentials(struct exchange *x)
{
    enum { CHALLENGE_MAX = 320, PROBLEM_BYTES = 256 };
    char challenge[CHALLENGE_MAX], text[PROBLEM_BYTES];
    protection_challenge(x->route->protection, challenge, sizeof challenge);
    size_t len = problem_format(401, NULL, "credentials", text, sizeof text);
    x->outcome.detail = "credentials";
    answer_own(x, 401, PROBLEM_CONTENT_TYPE, strndup(text, len), len, "WWW-Authenticate", challenge);
}

/* What another thread checks stays until it is done, whatever becomes of the client. */
struct credentials_check {
    struct password_job job; /* first */
    struct exchange *exchange;
};

static void password_was_checked(struct password_job *j)
{
    struct exchange *x = ((struct credentials_check *)j)->exchange;
    loop_post(x->worker->loop, &x->job_task);
}

enum admission admission_of(struct exchange *x)
{
    if (x->route->protection == NULL) return ADMITTED;
    struct credentials given;
    switch (protection_check(x->route->protection, x->request->fields, &given)) {
    case PROTECTION_ALLOWS: return ADMITTED;
    case PROTECTION_REFUSES: ask_for_credentials(x); return NOT_ADMITTED;
    case PROTECTION_ASKS: break;
    }
    x->check = malloc(sizeof *x->check);
    if (x->check != NULL) *x->check = (struct credentials_check){ { .credentials = given }, x };
    credentials_forget(&given);
    if (x->check != NULL) return ADMISSION_WAITS;
    answer_problem(x, 503, "out-of-memory");
    return NOT_ADMITTED;
}

bool admission_begin(struct exchange *x)
{
    struct password_job *j = &x->check->job;
    j->done = password_was_checked;
    x->jobs++;
    switch (passwords_check(x->worker->weir->passwords, j, exchange_now_s(x))) {
    case PASSWORD_ASKED: return true;
    case PASSWORD_TOO_MANY: answer_problem(x, 429, "too-many-passwords"); break;
    case PASSWORD_BUSY: answer_problem(x, 503, "too-many-passwords"); break;
    }
    x->jobs--;
    return false;
}

bool admission_done(struct exchange *x)
{
    bool right = x->check->job.right;
    admission_end(x);
    if (!right) ask_for_credentials(x);
    return right;
}

void admission_end(struct exchange *x)
{
    if (x->check == NULL) return;
    credentials_forget(&x->check->job.credentials);
    free(x->check);
    x->check = NULL;
}

static void redirect(struct exchange *x)
{
    char location[ROUTE_LOCATION_MAX];
    if (!route_location(x->route, x->request, location, sizeof location)) {
        answer_problem(x, 414, "target-too-long");
        return;
    }
    x->outcome.detail = "redirect";
    answer_own(x, x->route->redirect.status, NULL, NULL, 0, "Location", location);
}

static void say(struct exchange *x)
{
    const struct route_answer *a = &x->route->answer;
    x->outcome.detail = "fixed-answer";
    if (a->content.len > 0)
        answer_text(x, a->status, a->content_type, a->content.at, a->content.len);
    else if (a->status >= 400)
        answer_problem(x, a->status, "no-route");
    else
        answer_own(x, a->status, NULL, NULL, 0, NULL, NULL);
}

bool route_answers(struct exchange *x, int64_t content_length)
{
    const struct route *r = x->route;
    if (r->request_limit_bytes >= 0 && content_length > r->request_limit_bytes) {
        answer_problem(x, 413, "request-too-large");
        return true;
    }
    switch (r->kind) {
    case ROUTE_PROXY: return false;
    case ROUTE_REDIRECT: redirect(x); return true;
    case ROUTE_ANSWER: say(x); return true;
    }
    return false;
}
