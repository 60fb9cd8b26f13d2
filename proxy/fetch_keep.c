/* What of a response is kept, and who hears of it. */
#include "proxy/fetch_internal.h"

#include "cache/storable.h"

#include <stdlib.h>

enum { UNSTORED_WHOLE_MAX = 64 * 1024 }; /* content that is not stored is in one piece up to this */

static void body_has_room(void *arg)
{
    struct fetch *f = arg;
    loop_post(f->worker->loop, &f->resume_task);
}

/* The fields that are stored, in `room`. */
static struct field_section fields_to_store(const struct fetch *f, struct field *room)
{
    size_t n = 0;
    for (size_t i = 0; i < f->response.fields.count && n < RECORD_FIELDS_MAX; i++) {
        const struct field *line = &f->response.fields.lines[i];
        if (storable_field(f->response.fields, line, &f->directives, &f->response.storable)) room[n++] = *line;
    }
    return (struct field_section){ room, n };
}

static bool find_variant(struct fetch *f, struct view *names, char *names_text)
{
    enum vary_kind kind = vary_names(f->response.fields, &f->route->policy, names_text, VARY_NAMES_MAX, names);
    if (kind == VARY_NONE) return true;
    if (kind == VARY_ANY) return false;
    f->variant_text = malloc(VARIANT_TEXT_MAX);
    if (f->variant_text == NULL) return false;
    if (!variant_from_request(*names, f->request.fields, &f->route->policy, f->variant_text, VARIANT_TEXT_MAX,
                              &f->variant))
        return false;
    char *fitted = realloc(f->variant_text, f->variant.text.len + 1);
    if (fitted == NULL) return true;
    f->variant_text = fitted;
    f->variant.text.at = fitted;
    return true;
}

static struct store_id id_of(const struct fetch *f)
{
    return store_id_of(f->key.hash, f->variant.hash);
}

size_t fetch_tags(const struct fetch *f, struct field_section fields, uint64_t *tags)
{
    size_t n = tags_of_response(fields, f->request.authority, tags);
    tags[n++] = tag_hash_host(f->request.authority);
    if (f->request.method == METHOD_QUERY) tags[n++] = tag_hash_uri(key_uri(&f->key)); /* the key says more */
    return n;
}

static struct record_inputs record_of(const struct fetch *f, struct field_section fields, uint64_t *tags)
{
    struct record_inputs in = {
        .kind = RECORD_RESPONSE,
        .key = f->key.text,
        .variant = f->variant.text,
        .stored = f->response.head,
        .fields = fields,
        .tags = tags,
        .tag_count = fetch_tags(f, f->response.fields, tags),
        .fetch_seq = f->stored_seq,
        .content_length = f->response.content_length > 0 ? f->response.content_length : 0,
    };
    return in;
}

/* The stored response as it is kept, with all of its content. NULL: no memory, or too large and there is no store. */
static struct object *complete_object(struct fetch *f, struct view whole)
{
    struct field room[RECORD_FIELDS_MAX];
    uint64_t tags[FETCH_TAGS_MAX];
    struct store_id id = id_of(f);
    f->response.head.fetch_ms = (int32_t)((clock_monotonic_us() - f->begun_us) / 1000);
    f->response.content_length = body_length(f->response.body);
    struct record_inputs in = record_of(f, fields_to_store(f, room), tags);
    if (whole.at != NULL && whole.len <= OBJECT_INLINE_MAX) {
        in.content = whole;
        return object_new(&in, &id, NULL, 0);
    }
    if (whole.at != NULL) return object_new(&in, &id, f->response.body, 0);
    uint64_t number = body_number(f->response.body);
    return number != 0 ? object_new(&in, &id, f->response.body, number) : NULL;
}

/* The stored response as others read it, perhaps while its content still comes. */
static bool begin_filling(struct fetch *f)
{
    struct view whole = body_whole(f->response.body);
    f->filled = whole.at != NULL;
    if (f->filled) {
        f->filling = complete_object(f, whole);
    } else {
        struct field room[RECORD_FIELDS_MAX];
        uint64_t tags[FETCH_TAGS_MAX];
        struct record_inputs in = record_of(f, fields_to_store(f, room), tags);
        struct store_id id = id_of(f);
        f->filling = object_new(&in, &id, f->response.body, 0);
    }
    return f->filling != NULL;
}

/* Others may use it only if a request that came now would be answered with it. */
static bool is_usable_now(const struct fetch *f)
{
    struct reuse_inputs in = { .found = FOUND_RESPONSE,
                               .stored = &f->response.head,
                               .key_hash = f->key.hash[0],
                               .range_satisfied = (f->response.head.flags & STORED_PARTIAL) == 0 };
    struct reuse_decision d = reuse_decide(&f->request, &in, &f->route->policy, f->times.response_time_s);
    return d.verdict == REUSE_FRESH || d.verdict == REUSE_STALE;
}

int64_t fetch_content_limit(const struct fetch *f)
{
    int64_t held = cache_content_limit_bytes(f->worker->weir->cache), allowed = f->route->policy.content_limit_bytes;
    return held < allowed ? held : allowed;
}

/* A part is stored when it says of what length it is a part, and when no more than it is stored already. */
static bool is_unusable_part(const struct fetch *f)
{
    if ((f->response.head.flags & STORED_PARTIAL) == 0) return false;
    bool whole_is_stored = f->stored != NULL && (object_head(f->stored)->stored.flags & STORED_PARTIAL) == 0;
    return f->response.head.content_length < 0 || whole_is_stored;
}

/* The exchange will ask for the part instead, so that nothing is gained by fetching the whole. */
static bool is_large_for_a_part(const struct fetch *f, int64_t content_length)
{
    return content_length > f->route->policy.range_fetch_whole_limit_bytes && f->drop_conditions &&
           f->listener != NULL && field_first(f->request.fields, FIELD_RANGE) != NULL;
}

/* For explain. HEAD and the unsafe methods would only say that they are not GET. */
static void note_refusal(const struct fetch *f, enum storable_reason reason, int status)
{
    const struct stored_head *head = &f->response.head;
    if (f->request.method != METHOD_GET || f->key.text.len == 0) return;
    struct lifetime l = freshness_lifetime(head, &f->route->policy, f->key.hash[0]);
    struct refusal why = { .reason = reason,
                           .status = status,
                           .when_s = fetch_now_s(f),
                           .age_s = head->initial_age_s,
                           .lifetime_s = (int32_t)l.lifetime_s,
                           .source = l.source };
    refusals_note(cache_refusals(f->worker->weir->cache), &f->key, &why);
}

void fetch_decide_storing(struct fetch *f, const struct response_head *head, int64_t content_length)
{
    const struct policy *p = &f->route->policy;
    struct response_head dated = { head->status, f->response.fields, head->http_1_0 };
    f->directives = directives_in_force(f->response.fields, p);
    stored_head_by(&f->request, &dated, &f->directives, &f->times, &f->response.head);
    f->response.head.pinned_until_s = pinned_until_s(&f->response.head, p, f->key.hash[0]);
    f->response.storable =
        storable_decide_by(&f->request, &dated, p, &f->directives, &f->response.head, content_length);
    if (content_length > fetch_content_limit(f)) {
        f->response.storable.verdict = STORABLE_NO;
        f->response.storable.reason = NOT_STORED_TOO_LARGE;
    }
    f->storing = f->may_store && f->key.text.len > 0 && f->response.storable.verdict == STORABLE_YES &&
                 !is_unusable_part(f) && !is_large_for_a_part(f, content_length);
    if (f->response.storable.verdict == STORABLE_NO) note_refusal(f, f->response.storable.reason, head->status);
}

bool fetch_begin_body(struct fetch *f, int64_t content_length)
{
    struct cache *cache = f->worker->weir->cache;
    struct body_settings settings = {
        .length = content_length,
        .whole_limit_bytes = f->storing ? cache_whole_limit_bytes(cache) : UNSTORED_WHOLE_MAX,
        .held = memory_held(cache_memory(cache)),
        .store = f->storing ? cache_store(cache) : NULL,
        .resume = body_has_room,
        .resume_arg = f,
    };
    f->response.body = body_new(&settings);
    f->response.content_length = content_length;
    return f->response.body != NULL;
}

/* ---- publishing: from here on the flight's waiters go on */

static void note_variant(const struct fetch *f, struct view names)
{
    struct noted_variant v = { .names = names,
                               .variant = f->variant.hash,
                               .fetch_seq = f->stored_seq,
                               .pinned_until_s = f->response.head.pinned_until_s,
                               .maximum = f->route->policy.vary_maximum_variants,
                               .known = f->vary };
    cache_note_variant(f->worker->weir->cache, &f->key, &v);
}

static void publish_shared(struct fetch *f, struct view names)
{
    struct store_id id = id_of(f);
    f->flight->stored = true;
    if (names.len > 0) {
        flight_rename(fetch_flights(f), f->flight, &id);
        note_variant(f, names);
    }
    flight_respond(fetch_flights(f), f->flight, f->filling);
}

void fetch_publish(struct fetch *f)
{
    char names_text[VARY_NAMES_MAX];
    struct view names = { NULL, 0 };
    struct cache *cache = f->worker->weir->cache;
    f->flight->origin_status = f->completing ? 206 : f->response.status;
    if (f->storing && (!find_variant(f, &names, names_text) || !begin_filling(f))) {
        f->storing = false;
        body_stop_storing(f->response.body);
    }
    f->response.stored = f->storing;
    f->has_response = true;
    if (f->storing && f->shared && is_usable_now(f)) {
        publish_shared(f, names);
        return;
    }
    if (f->storing && names.len > 0) note_variant(f, names);
    /* A part is no reason not to share the whole. */
    if (f->shared && f->response.status < 500 && f->response.status != 206)
        cache_note_unshared(cache, &f->key, fetch_now_s(f) + f->route->policy.hit_for_miss_s);
    flight_part(fetch_flights(f), f->flight);
}

void fetch_publish_run(struct loop_task *t)
{
    struct fetch *f = HOLDER_OF(t, struct fetch, publish_task);
    if (f->refs == 0)
        fetch_free_when_quiet(f);
    else if (!f->has_response)
        fetch_publish(f);
}

void fetch_publish_soon(struct fetch *f)
{
    loop_post(f->worker->loop, &f->publish_task);
}

/* What is left to do when a flight's response has been admitted, or never will be; perhaps in the store's thread. */
struct landing {
    struct weir *weir;
    struct flight *flight;
    struct object *object; /* NULL: nothing was kept */
    struct body *body;     /* a large content that is on its way to the store */
};

/* A purge that came while the fetch was under way has the last word: its response must not take the place of one that was
 * fetched after the purge. */
static bool is_purged(const struct landing *l)
{
    struct purge_subject s = object_purge_subject(l->object);
    s.under_way = true;
    return purge_check(l->weir->purges, &s).hard;
}

static void land(void *arg);

static void admit_unless_purged(struct landing *l)
{
    if (is_purged(l)) {
        if (l->body != NULL) body_drop_number(l->body);
        object_unref(&l->object);
        land(l);
    } else {
        cache_admit(l->weir->cache, l->object, land, l);
    }
}

/* Nobody joins the flight any more: what it brought can be found. Purges need not wait for it either; one that gave up
 * waiting may have been forgotten, so what was kept must go. */
static void land(void *arg)
{
    struct landing *l = arg;
    if (!purge_fetch_end(l->weir->purges, l->flight->fetch_seq) && l->object != NULL)
        cache_remove(l->weir->cache, l->object);
    flight_unlist(cache_flights(l->weir->cache), l->flight);
    flight_unref(&l->flight);
    object_unref(&l->object);
    body_unref(&l->body);
    atomic_fetch_sub(&l->weir->landings, 1);
    free(l);
}

static struct landing *landing_new(struct fetch *f, struct object *o, struct body *body)
{
    struct landing *l = malloc(sizeof *l);
    if (l == NULL) return NULL;
    atomic_fetch_add(&f->worker->weir->landings, 1);
    *l = (struct landing){ f->worker->weir, flight_ref(f->flight), o != NULL ? object_ref(o) : NULL,
                           body != NULL ? body_ref(body) : NULL };
    return l;
}

void fetch_land_with_nothing(struct fetch *f)
{
    purge_fetch_drop(f->worker->weir->purges, f->flight->fetch_seq);
    flight_unlist(fetch_flights(f), f->flight);
}

void fetch_admit(struct fetch *f, struct object *o)
{
    struct landing *l = landing_new(f, o, NULL);
    if (l == NULL)
        fetch_land_with_nothing(f);
    else
        admit_unless_purged(l);
}

void fetch_fail(struct fetch *f, int status, const char *detail)
{
    stats_add(&f->worker->counters.fetch_failures, 1);
    note_refusal(f, NOT_STORED_NO_RESPONSE, status);
    flight_fail(fetch_flights(f), f->flight, (struct flight_failure){ status, detail, f->retry_after_s });
    fetch_land_with_nothing(f);
}

void fetch_is_too_large(struct fetch *f)
{
    f->response.storable.verdict = STORABLE_NO;
    f->response.storable.reason = NOT_STORED_TOO_LARGE;
    note_refusal(f, NOT_STORED_TOO_LARGE, f->response.status);
    fetch_stop_storing(f);
}

void fetch_stop_storing(struct fetch *f)
{
    f->storing = f->response.stored = false;
    body_stop_storing(f->response.body);
    flight_unlist(fetch_flights(f), f->flight);
}

/* ---- at the end */

/* A large content is in the store: now its record may follow. Runs in the store's thread. */
static void content_stored(void *arg, int result)
{
    struct landing *l = arg;
    if (result != 0) {
        object_unref(&l->object);
        land(l);
        return;
    }
    body_keep_number(l->body);
    admit_unless_purged(l);
}

static void keep(struct fetch *f)
{
    struct view whole = body_whole(f->response.body);
    struct object *o = f->filled ? object_ref(f->filling) : complete_object(f, whole);
    struct landing *l = o != NULL ? landing_new(f, o, f->response.body) : NULL;
    if (l == NULL) {
        fetch_land_with_nothing(f);
    } else {
        stats_add(&f->worker->counters.stored, 1);
        heap_kept(&f->worker->heap, object_memory_bytes(o));
        if (whole.at != NULL)
            admit_unless_purged(l);
        else
            body_when_stored(f->response.body, content_stored, l);
    }
    object_unref(&o);
}

/* A part that comes in chunks shows only at its end whether it is as long as it said. */
static bool is_of_its_length(const struct fetch *f)
{
    struct response_head head = { .status = f->response.status, .fields = f->response.fields };
    if ((f->response.head.flags & STORED_PARTIAL) == 0) return true;
    return storable_decide(&f->request, &head, &f->route->policy, &f->response.head, body_length(f->response.body))
               .verdict == STORABLE_YES;
}

/* A full response says that what is stored is no longer what the origin has (RFC 9111 §4.3.3): even where it is not stored
 * itself, the old one is not to come back when the origin fails. Errors of others, and what only this client's request kept
 * from being stored, say nothing of that. */
static bool outdates_what_is_stored(const struct fetch *f)
{
    int status = f->response.status;
    enum storable_reason why = f->response.storable.reason;
    bool full = (status >= 200 && status <= 399 && status != 206 && status != 304) || status == 404 || status == 410;
    bool could_not = f->response.storable.verdict == STORABLE_YES && f->may_store && !f->storing; /* too slow a disk */
    bool may_not = f->response.storable.verdict == STORABLE_NO && !storable_reason_is_of_request(why);
    return f->stored != NULL && f->request.method != METHOD_HEAD && full && body_is_complete(f->response.body) &&
           (could_not || may_not);
}

/* The transfer is over and its response, if there was one, is published. */
void fetch_conclude(struct fetch *f)
{
    if (outdates_what_is_stored(f)) cache_remove(f->worker->weir->cache, f->stored);
    bool complete = f->storing && body_is_complete(f->response.body);
    if (f->storing && !complete) note_refusal(f, NOT_STORED_TRUNCATED, f->response.status);
    if (complete && !is_of_its_length(f)) {
        note_refusal(f, NOT_STORED_PARTIAL, f->response.status);
        fetch_stop_storing(f);
        complete = false;
    }
    if (complete)
        keep(f);
    else if (f->confirmed != NULL)
        fetch_admit(f, f->confirmed);
    else
        fetch_land_with_nothing(f);
}
