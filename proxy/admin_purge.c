/* POST /v1/purge: answered once the purge is durable, and the weirs behind this one have heard of it. */
#include "proxy/admin_internal.h"
#include "proxy/admin_json.h"

#include <errno.h>
#include <stdio.h>

static struct admin_request *request_of(struct loop_task *t)
{
    return HOLDER_OF(t, struct admin_request, task);
}

/* It is in force here, but what was purged may come back from a weir behind. */
static void say_not_handed_on(json_t *answer)
{
    enum { DETAIL_MAX = 2 * ADMIN_WHY_MAX };
    const json_t *deaf = json_object_get(answer, "not_handed_on"), *first = json_array_get(deaf, 0);
    const char *server = json_string_value(json_object_get(first, "server"));
    const char *why = json_string_value(json_object_get(first, "why"));
    char detail[DETAIL_MAX];
    snprintf(
        detail, sizeof detail,
        "the purge is in force here, but %.256s did not hear of it (%s), and what was purged may come back from there; "
        "purge again",
        server != NULL ? server : "a server", why != NULL ? why : "");
    admin_json_set(answer, "title", json_string("Bad Gateway"));
    admin_json_set(answer, "status", json_integer(502));
    admin_json_set(answer, "detail", json_string(detail));
}

static void answer_purged(struct admin_request *r)
{
    char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)r->purge.seq);
    json_t *answer = json_pack("{s:s, s:I, s:b, s:b}", "id", id, "matched", (json_int_t)r->purge.matched, "soft",
                               r->soft, "dry_run", r->dry_run);
    bool everywhere = answer == NULL || r->handing == NULL || handing_describe(r->handing, answer);
    if (!everywhere) say_not_handed_on(answer);
    admin_answer_json(r, everywhere ? 200 : 502, answer);
}

static void answer(struct admin_request *r)
{
    switch (r->purge.error) {
    case 0: answer_purged(r); break;
    case -E2BIG: admin_problem(r, 413, "too many names in one purge"); break;
    case -EIO:
        admin_problem(r, 503, "the purge is in force, but could not be written: a restart would forget it");
        break;
    default: admin_problem(r, 503, "nothing was purged: out of memory"); break;
    }
}

/* In the admin thread: the purge is durable, or never will be. */
static void acknowledged(struct loop_task *t)
{
    struct admin_request *r = request_of(t);
    r->admin->purging--;
    r->purging = false;
    if (!r->ended) {
        answer(r);
        return;
    }
    admin_request_free(r);
}

static void purge_was_done(void *arg, const struct purge_result *result)
{
    struct admin_request *r = arg;
    r->purge = *result;
    loop_post(r->admin->loop, &r->task);
}

void admin_purge_here(struct admin_request *r, const struct purge_request *purge)
{
    struct weir *w = r->admin->weir;
    purge_begin(w->purges, purge, clock_now_s(&w->clock), purge_was_done, r);
}

/* @return false: no memory */
static bool begin(struct admin_request *r, struct site *site, struct purge_order *order)
{
    r->purging = true;
    r->task.run = acknowledged;
    r->admin->purging++;
    if (!r->dry_run && admin_hands_on(r, site)) {
        if (admin_hand_on(r, site, order)) return true;
        r->purging = false;
        r->admin->purging--;
        purge_order_free(order);
        return false;
    }
    admin_purge_here(r, &order->request);
    purge_order_free(order);
    return true;
}

void admin_purge(struct admin_request *r)
{
    struct purge_order order;
    char why[ADMIN_WHY_MAX];
    struct site *site = weir_site(r->admin->weir);
    int refusal = purge_order_read(view_of(r->content, r->content_len), site, &order, why, sizeof why);
    if (refusal != 0) {
        admin_problem(r, refusal, why);
    } else {
        r->soft = order.request.soft;
        r->dry_run = order.request.dry_run;
        if (!begin(r, site, &order))
            admin_problem(r, 503, "nothing was purged: out of memory");
        else if (!r->dry_run)
            r->admin->purges++;
    }
    site_unref(&site);
}
