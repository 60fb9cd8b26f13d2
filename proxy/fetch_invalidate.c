/* What an unsafe request invalidates (RFC 9111 §4.4). */
#include "proxy/fetch_internal.h"

#include "purge/invalidation.h"

#include <stdlib.h>

static void invalidated(void *arg, const struct purge_result *result)
{
    struct fetch *f = arg;
    f->purge_result = *result;
    loop_post(f->worker->loop, &f->purge_task);
}

void fetch_purge_run(struct loop_task *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, purge_task);
    f->publish_waits = false;
    /* What a POST answered is as young as what it invalidated, if no other purge came between (RFC 9110 §9.3.3). */
    if (f->purge_result.seq == f->stored_seq + 1) f->stored_seq = f->purge_result.seq;
    fetch_publish(f);
    if (f->ended) fetch_conclude(f);
    fetch_unref(&f);
}

/* What no purge since the request went out has taken is as young as this moment, whatever else was purged meanwhile. */
static void grow_young(struct fetch *f)
{
    uint64_t tags[TAG_MAX + 1];
    struct view uri = key_uri(&f->key);
    struct purge_subject s = { .uri = uri,
                               .authority = purge_authority_of(uri),
                               .tags = tags,
                               .tag_count = tags_of_response(f->response.fields, f->request.authority, tags),
                               .tags_known = true,
                               .under_way = true,
                               .fetch_seq = f->stored_seq };
    struct purge_verdict v = purge_check(f->worker->weir->purges, &s);
    if (!v.hard && !v.soft) f->stored_seq = v.checked_seq;
}

/* The purges begin before the client hears that its request succeeded, and are durable by then.
 * @return true when publishing must wait */
bool fetch_invalidate(struct fetch *f)
{
    if (method_is_safe(f->request.method)) return false;
    struct invalidation *inv = malloc(sizeof *inv);
    char *text = malloc((size_t)INVALIDATION_URIS_MAX * KEY_TEXT_MAX);
    struct view uris[INVALIDATION_URIS_MAX];
    struct store_id ids[INVALIDATION_URIS_MAX];
    struct purge_request purge = { .uris = uris, .uri_ids = ids, .group_authority = f->request.authority };
    if (inv != NULL && text != NULL) {
        struct response_head head = { .status = f->response.status, .fields = f->response.fields };
        const char *told = fetch_server(f->attempt)->host;
        invalidation_of(&f->request, &head, told != NULL ? view_of_str(told) : VIEW(""), inv);
        for (size_t i = 0; i < inv->uri_count; i++) {
            struct key key;
            if (!site_key_of_uri(f->site, inv->uris[i], text + i * KEY_TEXT_MAX, KEY_TEXT_MAX, &key)) continue;
            uris[purge.uri_count] = key_uri(&key);
            ids[purge.uri_count++] = store_id_of(key.hash, 0);
        }
        purge.groups = inv->groups;
        purge.group_count = inv->group_count;
    }
    bool waits = purge.uri_count + purge.group_count > 0;
    if (waits) {
        stats_add(&f->worker->counters.invalidations, 1);
        f->publish_waits = true;
        fetch_ref(f); /* given back in fetch_purge_run */
        if (f->storing) grow_young(f);
        purge_begin(f->worker->weir->purges, &purge, fetch_now_s(f), invalidated, f);
    }
    free(inv);
    free(text);
    return waits;
}
