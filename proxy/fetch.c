#include "proxy/fetch.h"

#include "cache/reuse.h"
#include "cache/storable.h"
#include "cache/validation.h"
#include "headers/http_date.h"
#include "proxy/forward.h"
#include "purge/invalidation.h"
#include "purge/tag.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct fetch {
    unsigned refs;
    struct worker *worker;
    struct site *site;
    const struct route *route;
    struct flight *flight;
    struct request_head request; /* in arena */
    struct key key;              /* in arena; text empty: none */
    char *arena;
    const char *client_ip; /* in arena */
    bool may_store, shared, drop_conditions, in_background;
    struct object *stored; /* being validated (or confirmed by a HEAD) */
    struct object *vary;
    bool validating; /* the request carries the stored validators */
    struct upload *upload;
    struct fetch_listener *listener;
    struct origin_fetch *transfer; /* NULL: not under way */
    int64_t begun_us;
    struct response_times times;
    struct fetch_response response;
    bool has_response;
    char *response_arena;
    struct object *filling; /* what others already read */
    bool storing;
    struct variant variant; /* in variant_text */
    char *variant_text;
    bool publish_waits; /* for an invalidation to be durable */
    bool ended;
    struct purge_result purge_result;
    struct loop_task resume_task, purge_task;
};

/* ---- life */

static void free_when_quiet(struct fetch *f);

struct fetch *fetch_ref(struct fetch *f)
{
    f->refs++;
    return f;
}

void fetch_unref(struct fetch **f)
{
    struct fetch *gone = *f;
    *f = NULL;
    if (gone != NULL && --gone->refs == 0) free_when_quiet(gone);
}

static void free_when_quiet(struct fetch *f)
{
    if (atomic_load(&f->resume_task.posted) || atomic_load(&f->purge_task.posted))
        return; /* that task comes back here */
    f->worker->fetches--;
    f->flight->leader = NULL;
    flight_unref(&f->flight);
    object_unref(&f->stored);
    object_unref(&f->vary);
    object_unref(&f->filling);
    body_unref(&f->response.body);
    upload_unref(&f->upload);
    site_unref(&f->site);
    free(f->variant_text);
    free(f->response_arena);
    free(f->arena);
    free(f);
}

static int64_t now_s(const struct fetch *f)
{
    return clock_now_s(&f->worker->weir->clock);
}

static struct flight_table *flights(const struct fetch *f)
{
    return cache_flights(f->worker->weir->cache);
}

/* Where nothing was kept it does not matter whether purges gave up on this fetch. */
static void end_in_purges(struct weir *w, const struct flight *flight)
{
    bool waited_for = purge_fetch_end(w->purges, flight->fetch_seq);
    (void)waited_for;
}

/* ---- copies: one allocation each, names and values NUL-terminated */

static size_t section_bytes(struct field_section s)
{
    size_t bytes = s.count * sizeof(struct field);
    for (size_t i = 0; i < s.count; i++) bytes += s.lines[i].name.len + s.lines[i].value.len + 2;
    return bytes;
}

static struct view copy_view(char **at, struct view v)
{
    char *to = *at;
    if (v.len > 0) memcpy(to, v.at, v.len);
    to[v.len] = '\0';
    *at += v.len + 1;
    return view_of(to, v.len);
}

static struct field_section copy_section(char **at, struct field_section s, size_t spare_lines)
{
    struct field *lines = (struct field *)(void *)*at;
    *at += (s.count + spare_lines) * sizeof *lines;
    for (size_t i = 0; i < s.count; i++) {
        lines[i] = s.lines[i];
        lines[i].name = copy_view(at, s.lines[i].name);
        lines[i].value = copy_view(at, s.lines[i].value);
    }
    return (struct field_section){ lines, s.count };
}

static struct view moved(struct view part, struct view from, struct view to)
{
    return part.at == NULL ? part : view_of(to.at + (part.at - from.at), part.len);
}

static bool copy_request(struct fetch *f, const struct fetch_settings *s)
{
    const struct request_head *r = s->request;
    size_t ip_len = s->client_ip != NULL ? strlen(s->client_ip) : 0;
    size_t key_len = s->key != NULL ? s->key->text.len : 0;
    char *at = malloc(section_bytes(r->fields) + r->method_name.len + r->target.len + r->authority.len +
                      r->path_query.len + ip_len + key_len + 8);
    if (at == NULL) return false;
    f->arena = at;
    f->request = *r;
    f->request.fields = copy_section(&at, r->fields, 0);
    f->request.method_name = copy_view(&at, r->method_name);
    f->request.target = copy_view(&at, r->target);
    f->request.authority = copy_view(&at, r->authority);
    f->request.path_query = copy_view(&at, r->path_query);
    f->request.path = moved(r->path, r->path_query, f->request.path_query);
    f->request.query = r->has_query ? moved(r->query, r->path_query, f->request.path_query) : (struct view){ NULL, 0 };
    if (s->client_ip != NULL) f->client_ip = copy_view(&at, view_of(s->client_ip, ip_len)).at;
    if (s->key != NULL) {
        f->key = *s->key;
        f->key.text = copy_view(&at, s->key->text);
    }
    return true;
}

/* The origin's head, with a Date of ours when it has none (RFC 9110 §6.6.1). */
static bool copy_response(struct fetch *f, const struct response_head *head)
{
    bool dated = field_first(head->fields, FIELD_DATE) != NULL;
    char *at = malloc(section_bytes(head->fields) + sizeof(struct field) + sizeof "Date" + HTTP_DATE_LEN + 1);
    if (at == NULL) return false;
    free(f->response_arena);
    f->response_arena = at;
    struct field_section copy = copy_section(&at, head->fields, 1);
    if (!dated) {
        struct field *lines = (struct field *)(void *)f->response_arena;
        struct field *date = &lines[copy.count++];
        *date = (struct field){ .id = FIELD_DATE, .name = VIEW("Date"), .value = view_of(at, HTTP_DATE_LEN) };
        http_date_format(f->times.response_time_s, at);
    }
    f->response.status = head->status;
    f->response.fields = copy;
    return true;
}

/* ---- sending */

static const struct origin_handler origin_handler;

static ssize_t read_upload(void *arg, uint8_t *to, size_t cap)
{
    struct fetch *f = arg;
    return upload_take(f->upload, to, cap);
}

static void upload_filled(void *arg)
{
    struct fetch *f = arg;
    if (f->transfer != NULL) origin_resume_content(f->transfer);
}

static void set_validators(const struct fetch *f, struct field *room, struct forward_context *c)
{
    if (!f->validating) return;
    c->validators = validators_of(record_section(object_record(f->stored), room));
    c->drop_conditions = true;
}

static bool forward(struct fetch *f)
{
    struct field room[RECORD_FIELDS_MAX];
    struct forward_lines lines;
    char target[FRONT_TARGET_MAX + 1024];
    struct forward_context c = {
        .client_ip = f->client_ip,
        .client_https = f->request.https,
        .via_pseudonym = VIEW("weir"),
        .instance = view_of_str(f->worker->weir->instance),
        .origin_authority = f->route->host,
        .path_prefix = f->route->server.path_prefix,
        .drop_conditions = f->drop_conditions,
        .range_first = -1,
        .range_last = -1,
    };
    set_validators(f, room, &c);
    lines.count = lines.used = 0;
    int target_len = forward_target(&f->request, &c, target, sizeof target);
    if (target_len < 0 || forward_request(&f->request, &c, &lines) != 0) return false;
    struct origin_request request = {
        .server = &f->route->server,
        .method = f->request.method_name,
        .target = view_of(target, (size_t)target_len),
        .lines = lines.lines,
        .line_count = lines.count,
        .has_content = f->upload != NULL,
        .content_length = f->upload != NULL ? upload_length(f->upload) : 0,
        .may_resend = method_is_safe(f->request.method) && f->upload == NULL,
        .expects_no_content = f->request.method == METHOD_HEAD,
    };
    f->times.request_time_s = now_s(f);
    f->transfer = origin_fetch(f->worker->origin, &request, &origin_handler, f);
    if (f->transfer == NULL) return false;
    stats_add(&f->worker->counters.fetches, 1);
    if (f->validating) stats_add(&f->worker->counters.validations, 1);
    return true;
}

static void fail_flight(struct fetch *f, int status, const char *detail);
static void resume_run(struct loop_task *t);
static void purge_run(struct loop_task *t);

static bool may_validate(const struct fetch_settings *s)
{
    return s->stored != NULL && s->upload == NULL && s->request->method != METHOD_HEAD &&
           (object_head(s->stored)->stored.flags & STORED_HAS_VALIDATOR) != 0;
}

struct fetch *fetch_begin(const struct fetch_settings *s)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL || !copy_request(f, s)) {
        free(f);
        flight_fail(cache_flights(s->worker->weir->cache), s->flight, (struct flight_failure){ 503, "out-of-memory" });
        end_in_purges(s->worker->weir, s->flight);
        return NULL;
    }
    f->refs = 1; /* its own, until it is over */
    f->worker = s->worker;
    f->site = site_ref(s->site);
    f->route = s->route;
    f->flight = flight_ref(s->flight);
    f->flight->leader = f;
    f->may_store = s->may_store;
    f->shared = s->shared;
    f->drop_conditions = s->drop_conditions;
    f->in_background = s->in_background;
    f->listener = s->listener;
    f->stored = s->stored != NULL ? object_ref(s->stored) : NULL;
    f->vary = s->vary != NULL ? object_ref((struct object *)(uintptr_t)s->vary) : NULL;
    f->validating = may_validate(s);
    f->upload = s->upload != NULL ? upload_ref(s->upload) : NULL;
    if (f->upload != NULL) upload_on_filled(f->upload, upload_filled, f);
    f->resume_task.run = resume_run;
    f->purge_task.run = purge_run;
    f->begun_us = clock_monotonic_us();
    f->worker->fetches++;
    if (f->in_background) stats_add(&f->worker->counters.refreshes, 1);
    if (forward(f)) return f;
    fail_flight(f, 503, "origin-queue-full");
    f->ended = true;
    fetch_unref(&f);
    return NULL;
}

void fetch_forget_listener(struct fetch *f)
{
    f->listener = NULL;
    /* What will be stored, or others wait for, goes on; anything else has lost its only reader. An unsafe request is seen
     * through to its head: the origin may have acted on it, and what it invalidates must be known. */
    bool wanted = f->storing || flight_waiters(f->flight) > 0 || f->in_background ||
                  (!f->has_response && (f->may_store || !method_is_safe(f->request.method)));
    if (!wanted && f->transfer != NULL && !f->ended) origin_cancel(f->transfer);
}

bool fetch_answers_conditions(const struct fetch *f)
{
    return f->drop_conditions || f->validating;
}

const struct fetch_response *fetch_response(const struct fetch *f)
{
    return f->has_response ? &f->response : NULL;
}

/* ---- what the response is to the cache */

static void body_has_room(void *arg)
{
    struct fetch *f = arg;
    loop_post(f->worker->loop, &f->resume_task);
}

static void resume_run(struct loop_task *t)
{
    struct fetch *f = (struct fetch *)(void *)((char *)t - offsetof(struct fetch, resume_task));
    if (f->refs == 0)
        free_when_quiet(f);
    else if (f->transfer != NULL)
        origin_resume(f->transfer);
}

/* The fields that are stored, in `room`. */
static struct field_section fields_to_store(const struct fetch *f, struct field *room)
{
    struct response_directives d = directives_in_force(f->response.fields, &f->route->policy);
    size_t n = 0;
    for (size_t i = 0; i < f->response.fields.count && n < RECORD_FIELDS_MAX; i++) {
        const struct field *line = &f->response.fields.lines[i];
        if (storable_field(f->response.fields, line, &d, &f->response.storable)) room[n++] = *line;
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
    return (struct store_id){ .key = { f->key.hash[0], f->key.hash[1] }, .variant = f->variant.hash };
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
        .tag_count = tags_of_response(f->response.fields, f->request.authority, tags),
        .fetch_seq = f->flight->fetch_seq,
        .content_length = f->response.content_length > 0 ? f->response.content_length : 0,
    };
    tags[in.tag_count++] = tag_hash_host(f->request.authority);
    return in;
}

/* The stored response while its content still comes: what others read. */
static bool begin_filling(struct fetch *f)
{
    struct field room[RECORD_FIELDS_MAX];
    uint64_t tags[TAG_MAX + 2];
    struct record_inputs in = record_of(f, fields_to_store(f, room), tags);
    struct store_id id = id_of(f);
    f->filling = object_new(&in, &id, f->response.body, 0);
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

static int64_t content_limit(const struct fetch *f)
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

static void decide_storing(struct fetch *f, const struct response_head *head, int64_t content_length)
{
    const struct policy *p = &f->route->policy;
    struct response_head dated = { head->status, f->response.fields };
    stored_head_of(&f->request, &dated, p, &f->times, &f->response.head);
    f->response.storable = storable_decide(&f->request, &dated, p, &f->response.head, content_length);
    if (content_length > content_limit(f)) {
        f->response.storable.verdict = STORABLE_NO;
        f->response.storable.reason = NOT_STORED_TOO_LARGE;
    }
    f->storing = f->may_store && f->key.text.len > 0 && f->response.storable.verdict == STORABLE_YES &&
                 !is_unusable_part(f) && !is_large_for_a_part(f, content_length);
}

static bool begin_body(struct fetch *f, int64_t content_length)
{
    struct cache *cache = f->worker->weir->cache;
    struct body_settings settings = {
        .length = content_length,
        .whole_limit_bytes = f->storing ? cache_whole_limit_bytes(cache) : OBJECT_INLINE_MAX,
        .store = f->storing ? cache_store(cache) : NULL,
        .resume = body_has_room,
        .resume_arg = f,
    };
    f->response.body = body_new(&settings);
    f->response.content_length = content_length;
    return f->response.body != NULL;
}

/* ---- publishing: from here on the flight's waiters go on */

static void publish_shared(struct fetch *f, struct view names)
{
    struct store_id id = id_of(f);
    f->flight->stored = true;
    if (names.len > 0) {
        flight_rename(flights(f), f->flight, &id);
        cache_note_variant(f->worker->weir->cache, &f->key, names, f->variant.hash,
                           f->route->policy.vary_maximum_variants, f->vary);
    }
    flight_respond(flights(f), f->flight, f->filling);
}

static void publish(struct fetch *f)
{
    char names_text[VARY_NAMES_MAX];
    struct view names = { NULL, 0 };
    struct cache *cache = f->worker->weir->cache;
    f->flight->origin_status = f->response.status;
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
    if (f->storing && names.len > 0)
        cache_note_variant(cache, &f->key, names, f->variant.hash, f->route->policy.vary_maximum_variants, f->vary);
    if (f->shared) cache_note_unshared(cache, &f->key, now_s(f) + f->route->policy.hit_for_miss_s);
    flight_part(flights(f), f->flight);
}

/* ---- invalidation (RFC 9111 §4.4) */

static void invalidated(void *arg, const struct purge_result *result)
{
    struct fetch *f = arg;
    f->purge_result = *result;
    loop_post(f->worker->loop, &f->purge_task);
}

static void conclude(struct fetch *f);

static void purge_run(struct loop_task *t)
{
    struct fetch *f = (struct fetch *)(void *)((char *)t - offsetof(struct fetch, purge_task));
    f->publish_waits = false;
    publish(f);
    if (f->ended) conclude(f);
    fetch_unref(&f);
}

/* The purges begin before the client hears that its request succeeded, and are durable by then.
 * @return true when publishing must wait */
static bool invalidate(struct fetch *f)
{
    if (method_is_safe(f->request.method)) return false;
    struct invalidation *inv = malloc(sizeof *inv);
    char *text = malloc((size_t)INVALIDATION_URIS_MAX * KEY_TEXT_MAX);
    struct view uris[INVALIDATION_URIS_MAX];
    struct store_id ids[INVALIDATION_URIS_MAX];
    struct purge_request purge = { .uris = uris, .uri_ids = ids, .group_authority = f->request.authority };
    if (inv != NULL && text != NULL) {
        struct response_head head = { f->response.status, f->response.fields };
        invalidation_of(&f->request, &head, inv);
        for (size_t i = 0; i < inv->uri_count; i++) {
            struct key key;
            if (!site_key_of_uri(f->site, inv->uris[i], text + i * KEY_TEXT_MAX, KEY_TEXT_MAX, &key)) continue;
            uris[purge.uri_count] = key_uri(&key);
            ids[purge.uri_count++] = (struct store_id){ .key = { key.hash[0], key.hash[1] } };
        }
        purge.groups = inv->groups;
        purge.group_count = inv->group_count;
    }
    bool waits = purge.uri_count + purge.group_count > 0;
    if (waits) {
        stats_add(&f->worker->counters.invalidations, 1);
        f->publish_waits = true;
        fetch_ref(f); /* given back in purge_run */
        purge_begin(f->worker->weir->purges, &purge, now_s(f), invalidated, f);
    }
    free(inv);
    free(text);
    return waits;
}

/* ---- freshening (RFC 9111 §4.3.4) */

static void drop_named(struct field *lines, size_t *count, struct view name)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!view_equal_nocase(lines[i].name, name)) lines[kept++] = lines[i];
    *count = kept;
}

/* The stored fields with those of the 304 in the place of their namesakes. */
static struct field_section merge_fields(struct field_section stored, struct field_section update, struct field *room)
{
    size_t n = stored.count;
    if (n > 0) memcpy(room, stored.lines, n * sizeof *room);
    for (size_t i = 0; i < update.count; i++)
        if (freshen_field(update, &update.lines[i])) drop_named(room, &n, update.lines[i].name);
    for (size_t i = 0; i < update.count && n < RECORD_FIELDS_MAX; i++)
        if (freshen_field(update, &update.lines[i])) room[n++] = update.lines[i];
    return (struct field_section){ room, n };
}

static struct object *freshened(struct fetch *f, struct field_section update)
{
    struct field stored_room[RECORD_FIELDS_MAX], room[RECORD_FIELDS_MAX];
    uint64_t tags[TAG_MAX + 2];
    struct object *old = f->stored;
    const struct record_head *head = object_head(old);
    struct field_section fields = merge_fields(record_section(object_record(old), stored_room), update, room);
    struct record_inputs in = {
        .kind = RECORD_RESPONSE,
        .key = record_key(object_record(old)),
        .variant = record_variant(object_record(old)),
        .fields = fields,
        .tags = tags,
        .tag_count = tags_of_response(fields, f->request.authority, tags),
        .fetch_seq = f->flight->fetch_seq,
        .content_length = head->content_length,
    };
    tags[in.tag_count++] = tag_hash_host(f->request.authority);
    stored_head_freshened(&head->stored, &f->request, fields, update, &f->route->policy, &f->times, &in.stored);
    in.stored.fetch_ms = (int32_t)((clock_monotonic_us() - f->begun_us) / 1000);
    if (old->body == NULL) in.content = record_content(object_record(old), old->record_len);
    struct object *o = object_new(&in, &old->id, old->body, old->content_number);
    if (o != NULL) o->keeps_content = old->content_number != 0;
    return o;
}

/* What is left to do when a flight's response has been admitted, or never will be; perhaps in the store's thread. */
struct landing {
    struct weir *weir;
    struct flight *flight;
    struct object *object; /* NULL: nothing was kept */
    struct body *body;     /* a large content that is on its way to the store */
};

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
    free(l);
}

static struct landing *landing_new(struct fetch *f, struct object *o, struct body *body)
{
    struct landing *l = malloc(sizeof *l);
    if (l == NULL) return NULL;
    *l = (struct landing){ f->worker->weir, flight_ref(f->flight), o != NULL ? object_ref(o) : NULL,
                           body != NULL ? body_ref(body) : NULL };
    return l;
}

static void land_with_nothing(struct fetch *f)
{
    end_in_purges(f->worker->weir, f->flight);
    flight_unlist(flights(f), f->flight);
}

static void admit(struct fetch *f, struct object *o)
{
    struct landing *l = landing_new(f, o, NULL);
    if (l == NULL)
        land_with_nothing(f);
    else
        cache_admit(f->worker->weir->cache, o, land, l);
}

static void fail_flight(struct fetch *f, int status, const char *detail)
{
    stats_add(&f->worker->counters.fetch_failures, 1);
    flight_fail(flights(f), f->flight, (struct flight_failure){ status, detail });
    land_with_nothing(f);
}

/* With its new fields the response may no longer be stored: it answers those who asked, and goes. */
static bool is_still_storable(const struct fetch *f, const struct object *o)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &object_head(o)->stored;
    struct response_head head = { s->status, record_section(object_record(o), room) };
    return storable_decide(&f->request, &head, &f->route->policy, s, o->content_length).verdict == STORABLE_YES;
}

/* A 304 that selects what is stored. */
static void on_validated(struct fetch *f, struct field_section update)
{
    struct object *o = freshened(f, update);
    stats_add(&f->worker->counters.validated, 1);
    if (o == NULL) {
        fail_flight(f, 503, "out-of-memory");
        return;
    }
    f->flight->origin_status = 304;
    f->flight->freshened = true;
    f->flight->stored = is_still_storable(f, o);
    flight_respond(flights(f), f->flight, o);
    if (f->flight->stored) {
        admit(f, o);
    } else {
        cache_remove(f->worker->weir->cache, f->stored);
        land_with_nothing(f);
    }
    object_unref(&o);
}

/* ---- what the origin says */

static void on_interim(void *arg, int status, struct field_section fields)
{
    struct fetch *f = arg;
    if (f->listener != NULL) f->listener->interim(f->listener, status, fields);
}

/* A 200 to HEAD tells whether what is stored for GET is still so (§4.3.5). */
static void on_head_of_head(struct fetch *f, const struct response_head *head)
{
    struct field room[RECORD_FIELDS_MAX];
    if (f->stored == NULL || head->status != 200) return;
    if (head_confirms(record_section(object_record(f->stored), room), f->stored->content_length, head->fields)) {
        struct object *o = freshened(f, f->response.fields);
        if (o != NULL) cache_admit(f->worker->weir->cache, o, NULL, NULL);
        object_unref(&o);
    } else {
        cache_remove(f->worker->weir->cache, f->stored);
    }
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct fetch *f = arg;
    f->times.response_time_s = now_s(f);
    bool no_content = f->request.method == METHOD_HEAD || head->status == 204 || head->status == 304;
    if (!copy_response(f, head)) {
        origin_cancel(f->transfer);
        return;
    }
    if (f->validating && head->status == 304) return; /* decided when it has ended */
    decide_storing(f, head, content_length);
    if (!begin_body(f, no_content && f->request.method != METHOD_HEAD ? 0 : content_length)) {
        origin_cancel(f->transfer);
        return;
    }
    if (f->request.method == METHOD_HEAD) on_head_of_head(f, head);
    if (invalidate(f)) return;
    publish(f);
}

static void stop_storing(struct fetch *f)
{
    f->storing = false;
    body_stop_storing(f->response.body);
    flight_unlist(flights(f), f->flight);
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    struct fetch *f = arg;
    stats_add(&f->worker->counters.bytes_fetched, len);
    if (f->response.body == NULL) return; /* content of a 304: none of it is used */
    switch (body_append(f->response.body, at, len)) {
    case BODY_GO_ON: break;
    case BODY_PAUSE: origin_pause(f->transfer); break;
    case BODY_NO_MEMORY: origin_cancel(f->transfer); break;
    }
    if (f->storing && body_filled(f->response.body) > content_limit(f)) stop_storing(f);
    bool unread = f->has_response && !f->storing && f->listener == NULL && flight_waiters(f->flight) == 0;
    if (unread) origin_cancel(f->transfer);
}

/* ---- the end */

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
    cache_admit(l->weir->cache, l->object, land, l);
}

static struct object *complete_object(struct fetch *f, struct view whole)
{
    struct field room[RECORD_FIELDS_MAX];
    uint64_t tags[TAG_MAX + 2];
    struct store_id id = id_of(f);
    f->response.content_length = body_length(f->response.body);
    struct record_inputs in = record_of(f, fields_to_store(f, room), tags);
    if (whole.at != NULL && whole.len <= OBJECT_INLINE_MAX) {
        in.content = whole;
        return object_new(&in, &id, NULL, 0);
    }
    if (whole.at != NULL) return object_new(&in, &id, f->response.body, 0);
    uint64_t number = body_number(f->response.body);
    if (number == 0) return NULL; /* too large for memory, and there is no store */
    struct body *stored = body_stored(cache_store(f->worker->weir->cache), number, in.content_length);
    if (stored == NULL) return NULL;
    struct object *o = object_new(&in, &id, stored, number);
    body_unref(&stored);
    return o;
}

static void keep(struct fetch *f)
{
    f->response.head.fetch_ms = (int32_t)((clock_monotonic_us() - f->begun_us) / 1000);
    struct view whole = body_whole(f->response.body);
    struct object *o = complete_object(f, whole);
    struct landing *l = o != NULL ? landing_new(f, o, f->response.body) : NULL;
    if (l == NULL) {
        land_with_nothing(f);
    } else {
        stats_add(&f->worker->counters.stored, 1);
        if (whole.at != NULL)
            cache_admit(f->worker->weir->cache, o, land, l);
        else
            body_when_stored(f->response.body, content_stored, l);
    }
    object_unref(&o);
}

/* The transfer is over and its response, if there was one, is published. */
static void conclude(struct fetch *f)
{
    if (f->storing && body_is_complete(f->response.body))
        keep(f);
    else
        land_with_nothing(f);
}

static struct flight_failure failure_of(enum origin_result result)
{
    int status = result == ORIGIN_TIMED_OUT ? 504 : result == ORIGIN_QUEUE_FULL ? 503 : 502;
    return (struct flight_failure){ status, origin_result_name(result) };
}

/* A 304 came for what weir asked: it freshens, or (when it selects something else) the response is fetched anew. */
static bool on_not_modified(struct fetch *f)
{
    struct field room[RECORD_FIELDS_MAX];
    struct field_section stored = record_section(object_record(f->stored), room);
    if (freshen_decide(stored, f->response.fields) == FRESHEN_THIS) {
        on_validated(f, f->response.fields);
        return false;
    }
    f->validating = false;
    f->drop_conditions = true;
    if (forward(f)) return true;
    fail_flight(f, 503, "origin-queue-full");
    return false;
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct fetch *f = arg;
    (void)why;
    f->transfer = NULL;
    bool complete = result == ORIGIN_COMPLETE;
    bool not_modified = f->validating && f->response.status == 304 && f->response.body == NULL;
    if (complete && not_modified && on_not_modified(f)) return; /* under way again */
    f->ended = true;
    if (f->upload != NULL) {
        upload_on_filled(f->upload, NULL, NULL);
        upload_discard(f->upload);
    }
    if (f->response.body != NULL) {
        if (complete)
            body_complete(f->response.body);
        else {
            stats_add(&f->worker->counters.fetch_failures, 1);
            body_break(f->response.body);
        }
        if (!f->publish_waits) conclude(f);
    } else if (!(complete && not_modified)) {
        struct flight_failure failure = failure_of(result);
        fail_flight(f, failure.status, failure.detail);
    }
    fetch_unref(&f);
}

static const struct origin_handler origin_handler = {
    .interim = on_interim,
    .head = on_head,
    .content = on_content,
    .read_content = read_upload,
    .end = on_end,
};
