/* What a route answers by itself, before anything is looked up: who may see it, a redirect, a fixed answer. */
#include "proxy/exchange_internal.h"

#include "proxy/problem.h"
#include "proxy/route_protection.h"

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

/* @return whether the request may go on; it has been answered otherwise */
static bool may_see(struct exchange *x)
{
    switch (protection_check(x->route->protection, x->request->fields, exchange_now_s(x))) {
    case PROTECTION_ALLOWS: return true;
    case PROTECTION_REFUSES: ask_for_credentials(x); return false;
    case PROTECTION_WAITS: answer_problem(x, 429, "too-many-passwords"); return false;
    }
    return false;
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
    if (r->protection != NULL && !may_see(x)) return true;
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
