/* What a route answers by itself, as exchange_route.c does it, told by its setting. */
#include "proxy/admin_explain.h"

#include "cache/outcome.h"
#include "proxy/admin_json.h"
#include "proxy/route_protection.h"

#include <stdio.h>

enum { BECAUSE_MAX = 400 };

struct route_says {
    const char *verdict, *detail, *setting, *section; /* section: of RFC 9110 */
    int status;
    char what[ROUTE_LOCATION_MAX + 64];
    char because[BECAUSE_MAX];
};

/* One password is tried at most: this is the admin's thread. */
static bool may_see(const struct route *r, const struct request_head *request)
{
    struct credentials given;
    switch (protection_check(r->protection, request->fields, &given)) {
    case PROTECTION_ALLOWS: return true;
    case PROTECTION_REFUSES: return false;
    case PROTECTION_ASKS: break;
    }
    bool right = credentials_try(&given);
    credentials_forget(&given);
    return right;
}

static void refuse(const struct route *r, const struct request_head *request, struct route_says *to)
{
    bool brings = field_first(request->fields, FIELD_AUTHORIZATION) != NULL;
    *to = (struct route_says){ "refuse", "credentials", "protect", "11.6.1", .status = 401 };
    snprintf(to->what, sizeof to->what, "answered 401 (Unauthorized)");
    snprintf(to->because, sizeof to->because, "the route \"%s\" is protected, and the request brings %s", r->name,
             brings ? "other credentials" : "no credentials");
}

static void redirect(const struct route *r, const struct request_head *request, struct route_says *to)
{
    char location[ROUTE_LOCATION_MAX];
    *to = (struct route_says){ "redirect", "redirect", "redirect", "15.4", .status = r->redirect.status };
    snprintf(to->because, sizeof to->because, "the route \"%s\" redirects", r->name);
    if (route_location(r, request, location, sizeof location)) {
        snprintf(to->what, sizeof to->what, "redirected to %s", location);
        return;
    }
    to->status = 414;
    to->detail = "target-too-long";
    snprintf(to->what, sizeof to->what, "answered 414 (URI Too Long)");
}

static void answer(const struct route *r, struct route_says *to)
{
    bool is_error = r->answer.status >= 400 && r->answer.content.len == 0;
    *to = (struct route_says){ "answer", is_error ? "no-route" : "fixed-answer", "answer", "15",
                               .status = r->answer.status };
    snprintf(to->what, sizeof to->what, "answered by weir itself");
    snprintf(to->because, sizeof to->because,
             r->place.line > 0 ? "the route \"%s\" always gives this answer"
                               : "no route matches, and there is no origin for the rest",
             r->name);
}

static json_t *says_json(const struct route_says *s)
{
    char text[OUTCOME_TEXT_MAX], section[64];
    struct outcome o = { .detail = s->detail };
    size_t len = outcome_format(&o, text, sizeof text);
    snprintf(section, sizeof section, "routes[].%s; RFC 9110 §%s", s->setting, s->section);
    json_t *json = json_object();
    admin_json_set(json, "verdict", json_string(s->verdict));
    admin_json_set(json, "what", json_string(s->what));
    admin_json_set(json, "reason", json_string(s->detail));
    admin_json_set(json, "because", json_string(s->because));
    admin_json_set(json, "section", json_string(section));
    admin_json_set(json, "status", json_integer(s->status));
    admin_json_set(json, "cache_status", json_stringn(text, len));
    admin_json_set(json, "refresh_behind", json_false());
    admin_json_set(json, "may_store_answer", json_false());
    admin_json_set(json, "not_collapsed", json_false());
    return json;
}

bool explain_route_answers(const struct route *r, const struct request_head *request, json_t **decision)
{
    struct route_says says;
    if (r->protection != NULL && !may_see(r, request))
        refuse(r, request, &says);
    else if (r->kind == ROUTE_REDIRECT)
        redirect(r, request, &says);
    else if (r->kind == ROUTE_ANSWER)
        answer(r, &says);
    else
        return false;
    *decision = says_json(&says);
    return true;
}
