/* PURGE on a listener: that URL, or the tags that the request names; answered when it is durable. */
#include "proxy/exchange_internal.h"

#include "purge/tag.h"

#include <stdio.h>
#include <stdlib.h>

/* @return how many; more than TAG_MAX: too many, and not all are in `tags` */
static size_t tags_of_request(const struct exchange *x, struct view tags[TAG_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < x->request->fields.count; i++) {
        const struct field *f = &x->request->fields.lines[i];
        struct view rest = f->value;
        if (!tag_field_is_internal(f->id)) continue;
        while (n <= TAG_MAX && tag_list_next(f->id, &rest, &tags[n])) n++;
    }
    return n;
}

static bool names_tags(const struct exchange *x)
{
    for (size_t i = 0; i < x->request->fields.count; i++)
        if (tag_field_is_internal(x->request->fields.lines[i].id)) return true;
    return false;
}

static bool is_soft(const struct exchange *x)
{
    const struct field *f = field_first(x->request->fields, FIELD_SOFT_PURGE);
    return f != NULL && view_equal(f->value, VIEW("1"));
}

static void purge_was_done(void *arg, const struct purge_result *result)
{
    struct exchange *x = arg;
    x->purge = *result;
    loop_post(x->worker->loop, &x->job_task);
}

static bool key_of_target(struct exchange *x)
{
    struct request_head as_get = *x->request;
    as_get.method = METHOD_GET;
    as_get.method_name = VIEW("GET");
    return key_from_request(&as_get, &x->route->policy, x->worker->key_text, KEY_TEXT_MAX, &x->q.key);
}

void purge_request_begin(struct exchange *x)
{
    struct weir *w = x->worker->weir;
    struct view tags[TAG_MAX + 1], uri;
    struct store_id id;
    struct purge_request purge = { .soft = is_soft(x), .count = true, .tags = tags, .uris = &uri, .uri_ids = &id };
    if (!weir_may_purge(&x->site->settings, x->peer, x->request->fields)) {
        answer_problem(x, 403, "purge-not-allowed");
        return;
    }
    purge.tag_count = tags_of_request(x, tags);
    if (names_tags(x) && purge.tag_count == 0) {
        answer_problem(x, 400, "no-tags");
        return;
    }
    if (purge.tag_count > TAG_MAX) {
        answer_problem(x, 400, "too-many-tags");
        return;
    }
    if (purge.tag_count == 0) {
        if (!key_of_target(x)) {
            answer_problem(x, 414, "target-too-long");
            return;
        }
        uri = key_uri(&x->q.key);
        id = store_id_of(x->q.key.hash, 0);
        purge.uri_count = 1;
    }
    stats_add(&x->worker->counters.purges, 1);
    x->state = EXCHANGE_PURGE;
    x->jobs++;
    if (purge_is_handed_on(x, &purge))
        purge_hand_on(x, &purge, purge_was_done);
    else
        purge_begin(w->purges, &purge, exchange_now_s(x), purge_was_done, x);
}

void purge_request_done(struct exchange *x)
{
    if (x->purge.error != 0) {
        answer_problem(x, 503, "purge-not-durable");
        return;
    }
    if (x->purge_not_handed_on) {
        answer_problem(x, 502, "purge-not-handed-on"); /* it is in force here */
        return;
    }
    char text[96];
    int len = snprintf(text, sizeof text, "{\"id\": \"%llu\", \"purged\": %llu}\n", (unsigned long long)x->purge.seq,
                       (unsigned long long)x->purge.matched);
    answer_text(x, 200, "application/json", text, (size_t)len);
}
