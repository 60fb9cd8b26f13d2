/* What is stored, brought up to date by what the origin says: 304, HEAD, and the missing part. */
#include "proxy/fetch_internal.h"

#include "cache/storable.h"
#include "headers/etag.h"
#include "proxy/forward.h"

static void drop_named(struct field *lines, size_t *count, struct view name)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!view_equal_nocase(lines[i].name, name)) lines[kept++] = lines[i];
    *count = kept;
}

/* What the freshened response lists in no-cache or private is not stored, be it new or old (§5.2.2.4, §5.2.2.7). */
static size_t drop_listed(struct field *lines, size_t count, const struct policy *p)
{
    struct field kept[RECORD_FIELDS_MAX];
    struct field_section all = { lines, count };
    struct response_directives d = directives_in_force(all, p);
    size_t n = 0;
    if (!d.no_cache_fields_present && !d.private_fields_present) return count;
    for (size_t i = 0; i < count; i++)
        if (!no_cache_lists(all, &d, lines[i].name) && !private_lists(all, &d, lines[i].name)) kept[n++] = lines[i];
    memcpy(lines, kept, n * sizeof *lines);
    return n;
}

/* What a 304 says that may not be stored is still for whoever caused it, as it would be in a 200 (§5.2.2.4, §5.2.2.7): a
 * cookie, and what the freshened response lists. */
static void note_personal(struct fetch *f, struct field_section freshened, struct field_section update)
{
    struct response_directives d = directives_in_force(freshened, &f->route->policy);
    f->personal_count = 0;
    for (size_t i = 0; i < update.count && f->personal_count < FETCH_PERSONAL_MAX; i++) {
        const struct field *line = &update.lines[i];
        bool is_personal = line->id == FIELD_SET_COOKIE || no_cache_lists(freshened, &d, line->name) ||
                           private_lists(freshened, &d, line->name);
        if (is_personal && forward_response_field(update, line, &f->route->policy))
            f->personal[f->personal_count++] = *line;
    }
}

/* The stored fields with those of the 304 in the place of their namesakes. */
static struct field_section merge_fields(struct field_section stored, struct field_section update,
                                         const struct policy *p, struct field *room)
{
    size_t n = stored.count;
    if (n > 0) memcpy(room, stored.lines, n * sizeof *room);
    for (size_t i = 0; i < update.count; i++)
        if (freshen_field(update, &update.lines[i])) drop_named(room, &n, update.lines[i].name);
    for (size_t i = 0; i < update.count && n < RECORD_FIELDS_MAX; i++)
        if (freshen_field(update, &update.lines[i])) room[n++] = update.lines[i];
    return (struct field_section){ room, drop_listed(room, n, p) };
}

static struct object *freshened(struct fetch *f, struct field_section update)
{
    struct field stored_room[RECORD_FIELDS_MAX], room[RECORD_FIELDS_MAX];
    uint64_t tags[FETCH_TAGS_MAX];
    struct object *old = f->stored;
    const struct record_head *head = object_head(old);
    struct field_section fields =
        merge_fields(record_section(object_record(old), stored_room), update, &f->route->policy, room);
    note_personal(f, fields, update);
    struct record_inputs in = {
        .kind = RECORD_RESPONSE,
        .key = record_key(object_record(old)),
        .variant = record_variant(object_record(old)),
        .fields = fields,
        .tags = tags,
        .tag_count = fetch_tags(f, fields, tags),
        .fetch_seq = f->flight->fetch_seq,
        .content_length = head->content_length,
    };
    stored_head_freshened(&head->stored, &f->request, fields, update, &f->route->policy, &f->times, &in.stored);
    in.stored.pinned_until_s = pinned_until_s(&in.stored, &f->route->policy, old->id.key[0]);
    in.stored.fetch_ms = (int32_t)((clock_monotonic_us() - f->begun_us) / 1000);
    if (old->body == NULL) in.content = record_content(object_record(old), old->record_len);
    struct object *o = object_new(&in, &old->id, old->body, old->content_number);
    if (o != NULL) o->keeps_content = old->content_number != 0;
    return o;
}

/* A new Vary names other fields than those that selected what is stored: it cannot be found by them (§4.1). */
static bool is_same_variant(const struct fetch *f, const struct object *o, struct field_section fields)
{
    char names_text[VARY_NAMES_MAX];
    struct view names;
    struct variant v = { 0 };
    const struct policy *p = &f->route->policy;
    enum vary_kind kind = vary_names(fields, p, names_text, sizeof names_text, &names);
    if (kind == VARY_FIELDS &&
        !variant_from_request(names, f->request.fields, p, f->worker->variant_text, VARIANT_TEXT_MAX, &v))
        return false;
    return view_equal(v.text, record_variant(object_record(o)));
}

enum freshened_end {
    FRESHENED_IS_KEPT,
    FRESHENED_IS_LENT, /* to whoever asked; what is stored stays as it was, since only their request forbids to store more */
    FRESHENED_GOES /* with its new fields it may no longer be stored: it answers those who asked, and goes */
};

static enum freshened_end end_of(const struct fetch *f, const struct object *o)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &object_head(o)->stored;
    struct response_head head = { .status = s->status, .fields = record_section(object_record(o), room) };
    struct request_head get = f->request; /* what is stored answered one, even where a HEAD has freshened it */
    if (get.method == METHOD_HEAD) get.method = METHOD_GET;
    struct storable_decision d = storable_decide(&get, &head, &f->route->policy, s, object_content_length(o));
    if (!is_same_variant(f, o, head.fields)) return FRESHENED_GOES;
    if (d.verdict == STORABLE_YES) return FRESHENED_IS_KEPT;
    return storable_reason_is_of_request(d.reason) ? FRESHENED_IS_LENT : FRESHENED_GOES;
}

/* A 304 that selects what is stored. */
static void on_validated(struct fetch *f, struct field_section update)
{
    struct object *o = freshened(f, update);
    stats_add(&f->worker->counters.validated, 1);
    if (o == NULL) {
        fetch_fail(f, 503, "out-of-memory");
        return;
    }
    f->flight->origin_status = 304;
    enum freshened_end end = end_of(f, o);
    f->flight->stored = end == FRESHENED_IS_KEPT;
    flight_respond(fetch_flights(f), f->flight, o);
    if (end == FRESHENED_GOES) cache_remove(f->worker->weir->cache, f->stored);
    if (end == FRESHENED_IS_KEPT)
        fetch_admit(f, o);
    else
        fetch_land_with_nothing(f);
    object_unref(&o);
}

/* A 200 to HEAD tells whether what is stored for GET is still so (§4.3.5). */
void fetch_confirm(struct fetch *f, const struct response_head *head)
{
    struct field room[RECORD_FIELDS_MAX];
    if (f->stored == NULL || head->status != 200) return;
    if ((object_head(f->stored)->stored.flags & STORED_PARTIAL) != 0) return;
    struct object *o = NULL;
    if (head_confirms(record_section(object_record(f->stored), room), object_content_length(f->stored), head->fields))
        o = freshened(f, f->response.fields);
    switch (o != NULL ? end_of(f, o) : FRESHENED_GOES) {
    case FRESHENED_IS_KEPT: f->confirmed = object_ref(o); break; /* once the fetch ends, as purges want it */
    case FRESHENED_IS_LENT: break;
    case FRESHENED_GOES: cache_remove(f->worker->weir->cache, f->stored); break;
    }
    object_unref(&o);
}

bool fetch_freshen(struct fetch *f)
{
    struct field room[RECORD_FIELDS_MAX];
    struct field_section stored = record_section(object_record(f->stored), room);
    if (freshen_decide(stored, f->response.fields) != FRESHEN_THIS) return false;
    on_validated(f, f->response.fields);
    return true;
}

/* ---- completing a part (RFC 9111 §3.4) */

/* Only under a strong validator, only content that lies in memory, and only when one range is missing. */
void fetch_plan_completion(struct fetch *f)
{
    const struct object *o = f->stored;
    if (o == NULL || f->validating || f->request.method != METHOD_GET || f->upload != NULL) return;
    const struct stored_head *s = &object_head(o)->stored;
    int64_t end = s->content_first + object_content_length(o);
    bool fits = s->content_length <= cache_whole_limit_bytes(f->worker->weir->cache) && o->content != NULL;
    bool wants_part = field_first(f->request.fields, FIELD_RANGE) != NULL;
    if ((s->flags & STORED_PARTIAL) == 0 || (s->flags & STORED_STRONG_ETAG) == 0 || !fits) return;
    /* Too large to be fetched whole for the sake of a part. */
    if (wants_part && s->content_length > f->route->policy.range_fetch_whole_limit_bytes) return;
    if (s->content_first == 0 && end < s->content_length)
        f->missing = (struct byte_range){ end, s->content_length - 1 };
    else if (s->content_first > 0 && end == s->content_length)
        f->missing = (struct byte_range){ 0, s->content_first - 1 };
    else
        return;
    f->completing = f->drop_conditions = true; /* the client's conditions and range are for what comes of it */
}

static bool is_the_missing_part(const struct fetch *f, struct field_section stored, const struct response_head *head,
                                int64_t content_length)
{
    if (content_length >= 0 && content_length != f->missing.last - f->missing.first + 1) return false;
    const struct field *range = field_first(head->fields, FIELD_CONTENT_RANGE);
    const struct field *etag = field_first(head->fields, FIELD_ETAG), *had = field_first(stored, FIELD_ETAG);
    struct content_range got;
    return range != NULL && etag != NULL && had != NULL && etag_match_strong(etag->value, had->value) &&
           content_range_parse(range->value, &got) && got.satisfied && got.first == f->missing.first &&
           got.last == f->missing.last && got.length == object_head(f->stored)->stored.content_length;
}

/* @param before  the part that is fetched; else behind it. @return false: no memory */
static bool add_stored_part(struct fetch *f, bool before)
{
    bool is_before = object_head(f->stored)->stored.content_first == 0;
    if (is_before != before) return true;
    return body_append(f->response.body, f->stored->content, (size_t)object_content_length(f->stored)) == BODY_GO_ON;
}

/* Where the part that is fetched ends in the whole. */
static int64_t end_of_rest(const struct fetch *f)
{
    bool is_behind = object_head(f->stored)->stored.content_first == 0;
    return f->response.content_length - (is_behind ? 0 : object_content_length(f->stored));
}

bool fetch_rest_fits(struct fetch *f, size_t len)
{
    if (!f->completing || body_filled(f->response.body) + (int64_t)len <= end_of_rest(f)) return true;
    cache_remove(f->worker->weir->cache, f->stored);
    return false;
}

bool fetch_rest_completes(struct fetch *f)
{
    if (body_filled(f->response.body) == end_of_rest(f)) return add_stored_part(f, false);
    cache_remove(f->worker->weir->cache, f->stored);
    return false;
}

bool fetch_complete_head(struct fetch *f, const struct response_head *head, int64_t content_length)
{
    struct field stored_room[RECORD_FIELDS_MAX], room[RECORD_FIELDS_MAX];
    struct field_section stored = record_section(object_record(f->stored), stored_room);
    if (!is_the_missing_part(f, stored, head, content_length)) return false;
    struct field_section merged = merge_fields(stored, head->fields, &f->route->policy, room);
    drop_named(room, &merged.count, VIEW("Content-Range"));
    struct response_head whole = { 200, merged, head->http_1_0 };
    int64_t length = object_head(f->stored)->stored.content_length;
    if (!fetch_copy_response(f, &whole)) return false;
    fetch_decide_storing(f, &whole, length);
    return fetch_begin_body(f, length) && add_stored_part(f, true);
}
