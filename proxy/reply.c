#include "proxy/reply.h"

#include "proxy/forward.h"

#include <assert.h>
#include <stdio.h>

void reply_add(struct reply_head *h, const char *name, const char *value)
{
    if (h->count < REPLY_FIELDS_MAX) h->fields[h->count++] = (struct front_field){ name, value };
}

/* One line of the response; its own Connection field has done its work when it was stored, or does it through `all`. */
static void take_line(struct reply_head *h, struct field_section all, const struct field *line, const struct policy *p,
                      bool not_modified)
{
    if (line->id == FIELD_DATE && h->date == NULL) h->date = line->value.at;
    if (line->id == FIELD_VIA || line->id == FIELD_CACHE_STATUS) h->has_lists = true;
    if (!forward_response_field(all, line, p)) return;
    if (not_modified && !not_modified_field(line->id)) return;
    reply_add(h, line->name.at, line->value.at);
}

void reply_from_record(struct reply_head *h, const void *record, const struct policy *p, bool not_modified)
{
    static const struct field_section no_connection = { NULL, 0 };
    struct record_walk w = record_lines(record);
    struct record_line stored;
    bool is_part = (record_head_of(record)->stored.flags & STORED_PARTIAL) != 0;
    h->count = 0;
    h->date = NULL;
    h->has_lists = false;
    while (record_line_next(&w, &stored)) {
        if (stored.id == FIELD_CONTENT_RANGE && is_part) continue; /* each answer has its own */
        struct field line = { .id = stored.id, .name = stored.name, .value = stored.value };
        take_line(h, no_connection, &line, p, not_modified);
    }
}

void reply_from_fields(struct reply_head *h, struct field_section fields, const struct policy *p, bool not_modified)
{
    h->count = 0;
    h->date = NULL;
    h->has_lists = false;
    for (size_t i = 0; i < fields.count; i++) take_line(h, fields, &fields.lines[i], p, not_modified);
}

void reply_add_lines(struct reply_head *h, struct field_section lines)
{
    for (size_t i = 0; i < lines.count; i++) reply_add(h, lines.lines[i].name.at, lines.lines[i].value.at);
}

void reply_add_age(struct reply_head *h, int64_t age_s)
{
    char digits[24];
    size_t n = 0, at = 0;
    uint64_t left = age_s > 0 ? (uint64_t)age_s : 0;
    do {
        digits[n++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    while (n > 0) h->age[at++] = digits[--n];
    h->age[at] = '\0';
    reply_add(h, "Age", h->age);
}

static bool has(struct field_section fields, enum field_id id)
{
    return fields.count > 0 && field_first(fields, id) != NULL;
}

void reply_add_ours(struct reply_head *h, struct field_section fields, const struct outcome *o, bool http_1_0)
{
    const char *via = http_1_0 ? "1.0 weir" : "1.1 weir";
    if (has(fields, FIELD_VIA) && forward_append(fields, FIELD_VIA, view_of_str(via), h->via, sizeof h->via) > 0)
        reply_add(h, "Via", h->via);
    else
        reply_add(h, "Via", via);
    if (has(fields, FIELD_CACHE_STATUS)) {
        char ours[OUTCOME_TEXT_MAX];
        size_t len = outcome_format(o, ours, sizeof ours);
        struct view member = view_of(ours, len);
        if (forward_append(fields, FIELD_CACHE_STATUS, member, h->cache_status, sizeof h->cache_status) > 0) {
            reply_add(h, "Cache-Status", h->cache_status);
            return;
        }
    }
    outcome_format(o, h->cache_status, OUTCOME_TEXT_MAX);
    reply_add(h, "Cache-Status", h->cache_status);
}
