/* POST /v1/purge: answered once the purge is durable. */
#include "proxy/admin_internal.h"
#include "proxy/admin_purge_order.h"

#include <errno.h>
#include <stdio.h>

static struct admin_request *request_of(struct loop_task *t)
{
    return HOLDER_OF(t, struct admin_request, task);
}

static void answer(struct admin_request *r)
{
    char id[24];
    switch (r->purge.error) {
    case 0: break;
    case -E2BIG: admin_problem(r, 413, "too many names in one purge"); return;
    case -EIO:
        admin_problem(r, 503, "the purge is in force, but could not be written: a restart would forget it");
        return;
    default: admin_problem(r, 503, "nothing was purged: out of memory"); return;
    }
    snprintf(id, sizeof id, "%llu", (unsigned long long)r->purge.seq);
    admin_answer_json(r, 200,
                      json_pack("{s:s, s:I, s:b, s:b}", "id", id, "matched", (json_int_t)r->purge.matched, "soft",
                                r->soft, "dry_run", r->dry_run));
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

void admin_purge(struct admin_request *r)
{
    struct weir *w = r->admin->weir;
    struct purge_order order;
    char why[ADMIN_WHY_MAX];
    struct site *site = weir_site(w);
    int refusal = purge_order_read(view_of(r->content, r->content_len), site, &order, why, sizeof why);
    site_unref(&site);
    if (refusal != 0) {
        admin_problem(r, refusal, why);
        return;
    }
    r->soft = order.request.soft;
    r->dry_run = order.request.dry_run;
    r->purging = true;
    r->task.run = acknowledged;
    r->admin->purging++;
    if (!r->dry_run) r->admin->purges++;
    purge_begin(w->purges, &order.request, clock_now_s(&w->clock), purge_was_done, r);
    purge_order_free(&order);
}
