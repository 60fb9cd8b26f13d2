/* What explain tells of one stored response. */
#include "proxy/admin_explain.h"

#include "proxy/admin_json.h"
#include "purge/tag.h"

#include <stdio.h>

static const struct {
    enum stored_flag flag;
    const char *name;
} flag_names[] = {
    { STORED_NO_CACHE, "no-cache" },        { STORED_MUST_REVALIDATE, "must-revalidate" },
    { STORED_S_MAXAGE, "s-maxage" },        { STORED_PUBLIC, "public" },
    { STORED_IMMUTABLE, "immutable" },      { STORED_PRAGMA_NO_CACHE, "pragma-no-cache" },
    { STORED_AUTHORIZED, "authorization" }, { STORED_FIELD_LISTED_NO_CACHE, "fields-left-out" },
    { STORED_PARTIAL, "partial" },
};

static json_t *seconds_or_null(int32_t seconds)
{
    return seconds < 0 ? json_null() : json_integer(seconds);
}

static json_t *freshness_json(const struct stored_head *s, const struct policy *p, uint64_t key_hash, bool soft,
                              int64_t now_s)
{
    struct lifetime lifetime = freshness_lifetime(s, p, key_hash);
    int64_t age_s = current_age_s(s, now_s);
    json_t *json = json_object();
    admin_json_set(json, "fresh", json_boolean(age_s < lifetime.lifetime_s && !soft));
    admin_json_set(json, "age_s", json_integer(age_s));
    admin_json_set(json, "initial_age_s", json_integer(s->initial_age_s));
    admin_json_set(json, "resident_s", json_integer(now_s - s->response_time_s));
    admin_json_set(json, "lifetime_s", json_integer(lifetime.lifetime_s));
    admin_json_set(json, "lifetime_source", json_string(lifetime_source_name(lifetime.source)));
    admin_json_set(json, "limited_by_operator", json_boolean(lifetime.limited));
    admin_json_set(json, "ttl_s", json_integer(lifetime.lifetime_s - age_s));
    admin_json_set(json, "stale_while_revalidate_s", seconds_or_null(s->swr_s));
    admin_json_set(json, "stale_if_error_s", seconds_or_null(s->sie_s));
    return json;
}

static json_t *text_or_null(const void *record, enum field_id id)
{
    struct view value = record_value(record, id);
    return value.at != NULL ? admin_json_text(value) : json_null();
}

static json_t *tags_json(struct field_section fields)
{
    struct tag_walk walk = tags_of(fields);
    struct view tag;
    json_t *list = json_array();
    while (tag_walk_next(&walk, &tag)) admin_json_append(list, admin_json_text(tag));
    return list;
}

static json_t *flags_json(uint16_t flags)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if ((flags & flag_names[i].flag) != 0) admin_json_append(list, json_string(flag_names[i].name));
    return list;
}

static json_t *fields_json(struct field_section fields)
{
    json_t *list = json_array();
    for (size_t i = 0; i < fields.count; i++) {
        json_t *line = json_object();
        admin_json_set(line, "name", admin_json_text(fields.lines[i].name));
        admin_json_set(line, "value", admin_json_text(fields.lines[i].value));
        admin_json_append(list, line);
    }
    return list;
}

/* "accept-encoding:gzip LF accept-language LF": the request fields that selected it; null for one that was absent. */
static json_t *selected_by_json(struct view variant)
{
    json_t *json = json_object();
    while (variant.len > 0) {
        size_t end = view_find(variant, 0, '\n');
        struct view line = view_first(variant, end);
        size_t colon = view_find(line, 0, ':');
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)colon, line.at);
        admin_json_set(json, name, colon < line.len ? admin_json_text(view_after(line, colon + 1)) : json_null());
        variant = view_after(variant, end + 1);
    }
    return json;
}

static json_t *tiers_json(const struct holding *h)
{
    json_t *list = json_array();
    if (h->in_memory) admin_json_append(list, json_string("memory"));
    if (h->in_store) admin_json_append(list, json_string("store"));
    return list;
}

static json_t *pinned_json(const struct holding *h)
{
    json_t *list = json_array();
    if (h->pinned_in_memory) admin_json_append(list, json_string("memory"));
    if (h->pinned_in_store) admin_json_append(list, json_string("store"));
    return list;
}

static json_t *size_json(const struct holding *h)
{
    json_t *json = json_object();
    admin_json_set(json, "content_bytes", json_integer(record_head_of(h->record)->content_length));
    admin_json_set(json, "record_bytes", json_integer((json_int_t)h->record_bytes));
    admin_json_set(json, "memory_bytes", json_integer((json_int_t)h->memory_bytes));
    return json;
}

/* Of a 206, as Content-Range says it: "bytes 0-4/10". */
static json_t *part_json(const struct stored_head *s, int64_t content_length)
{
    char text[80], whole[24] = "*";
    if ((s->flags & STORED_PARTIAL) == 0) return json_null();
    if (s->content_length >= 0) snprintf(whole, sizeof whole, "%lld", (long long)s->content_length);
    snprintf(text, sizeof text, "bytes %lld-%lld/%s", (long long)s->content_first,
             (long long)(s->content_first + content_length - 1), whole);
    return json_string(text);
}

static json_t *purge_json(const struct holding *h, struct purge_verdict v, int64_t now_s)
{
    bool soft = v.soft || h->stale_marked;
    json_t *json = json_object();
    admin_json_set(json, "state", json_string(v.hard ? "purged" : soft ? "purged-soft" : "none"));
    admin_json_set(json, "fetched_at", json_integer((json_int_t)record_head_of(h->record)->fetch_seq));
    if (v.soft) admin_json_set(json, "seconds_ago", json_integer(now_s - v.soft_since_s));
    return json;
}

json_t *explain_holding_json(const struct holding *h, const struct policy *p, struct purge_verdict purged,
                             const struct reuse_decision *selected_as, int64_t now_s)
{
    struct field room[RECORD_FIELDS_MAX];
    const struct stored_head *s = &record_head_of(h->record)->stored;
    struct field_section fields = record_section(h->record, room);
    json_t *json = json_object();
    admin_json_set(json, "selected", json_false());
    admin_json_set(json, "selected_by", selected_by_json(record_variant(h->record)));
    admin_json_set(json, "status", json_integer(s->status));
    admin_json_set(json, "reuse", json_string(reuse_reason_name(selected_as->reason)));
    admin_json_set(json, "freshness", freshness_json(s, p, h->id.key[0], purged.soft || h->stale_marked, now_s));
    admin_json_set(json, "etag", text_or_null(h->record, FIELD_ETAG));
    admin_json_set(json, "last_modified", text_or_null(h->record, FIELD_LAST_MODIFIED));
    admin_json_set(json, "tags", tags_json(fields));
    admin_json_set(json, "says", flags_json(s->flags));
    admin_json_set(json, "tiers", tiers_json(h));
    admin_json_set(json, "pinned", pinned_json(h));
    admin_json_set(json, "part", part_json(s, record_head_of(h->record)->content_length));
    admin_json_set(json, "size", size_json(h));
    admin_json_set(json, "fetch_ms", json_integer(s->fetch_ms));
    admin_json_set(json, "purges", purge_json(h, purged, now_s));
    admin_json_set(json, "fields", fields_json(fields));
    return json;
}
