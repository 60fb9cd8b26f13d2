#include "cache/precondition.h"

#include "headers/etag.h"
#include "headers/http_date.h"

/* The request's conditions, found in one walk over its fields. Date conditions and ranges are single fields: a second
 * line makes them undefined, and they are ignored. */
struct conditions {
    const struct field *if_match, *if_none_match, *if_modified_since, *if_unmodified_since, *if_range, *range;
    bool any;
};

static const struct field *only_line(struct field_section s, const struct field *line)
{
    return line != NULL && field_next(s, line) == NULL ? line : NULL;
}

static void note_condition(struct conditions *c, const struct field *line)
{
    const struct field **place;
    switch (line->id) {
    case FIELD_IF_MATCH: place = &c->if_match; break;
    case FIELD_IF_NONE_MATCH: place = &c->if_none_match; break;
    case FIELD_IF_MODIFIED_SINCE: place = &c->if_modified_since; break;
    case FIELD_IF_UNMODIFIED_SINCE: place = &c->if_unmodified_since; break;
    case FIELD_IF_RANGE: place = &c->if_range; break;
    case FIELD_RANGE: place = &c->range; break;
    default: return;
    }
    if (*place == NULL) *place = line;
    c->any = true;
}

static struct conditions conditions_of(struct field_section s)
{
    struct conditions c = { 0 };
    for (size_t i = 0; i < s.count; i++) note_condition(&c, &s.lines[i]);
    return c;
}

static struct view etag_of(struct field_section stored)
{
    const struct field *line = field_first(stored, FIELD_ETAG);
    return line != NULL ? line->value : view_of(NULL, 0);
}

static bool date_of(const struct field *line, int64_t now_s, int64_t *out)
{
    return line != NULL && http_date_parse(line->value, now_s, out);
}

/* If-Match and If-Unmodified-Since, RFC 9110 §13.1.1 and §13.1.4: false is 412. RFC 9111 §4.3.2 leaves them to the origin
 * server, and towards its clients a gateway is one (RFC 9110 §3.7): with a Range, a 200 or 206 of another representation
 * would be joined to what the client has. */
static bool precondition_holds(const struct conditions *c, struct field_section request, struct field_section stored,
                               int64_t now_s)
{
    int64_t modified_s, since_s;
    if (c->if_match != NULL) {
        return etag_list_find(request, FIELD_IF_MATCH, etag_of(stored), true) != ETAG_LIST_NONE;
    }
    if (!date_of(only_line(request, c->if_unmodified_since), now_s, &since_s)) return true;
    if (!date_of(field_first(stored, FIELD_LAST_MODIFIED), now_s, &modified_s)) return true;
    return modified_s <= since_s;
}

/* If-None-Match wins over If-Modified-Since, also when it names nothing (§13.1.3). Without a Last-Modified the Date of the
 * stored response stands in for it (RFC 9111 §4.3.2). */
static bool is_not_modified(const struct conditions *c, struct field_section request, struct field_section stored,
                            int64_t now_s)
{
    int64_t modified_s, since_s;
    if (c->if_none_match != NULL) {
        return etag_list_find(request, FIELD_IF_NONE_MATCH, etag_of(stored), false) != ETAG_LIST_NONE;
    }
    if (!date_of(only_line(request, c->if_modified_since), now_s, &since_s)) return false;
    if (!date_of(field_first(stored, FIELD_LAST_MODIFIED), now_s, &modified_s) &&
        !date_of(field_first(stored, FIELD_DATE), now_s, &modified_s)) {
        return false;
    }
    return modified_s <= since_s;
}

/* §13.1.5: an entity tag must match strongly; a date must be exactly Last-Modified, which is a strong validator only when
 * it lies at least one second before Date (§8.8.2.2). */
static bool if_range_holds(const struct conditions *c, struct field_section request, struct field_section stored,
                           int64_t now_s)
{
    int64_t given_s, modified_s, date_s;
    if (c->if_range == NULL) return true;
    if (only_line(request, c->if_range) == NULL) return false;
    if (date_of(c->if_range, now_s, &given_s)) {
        return date_of(field_first(stored, FIELD_LAST_MODIFIED), now_s, &modified_s) &&
               date_of(field_first(stored, FIELD_DATE), now_s, &date_s) && given_s == modified_s && modified_s < date_s;
    }
    struct view etag = etag_of(stored);
    return etag.len > 0 && etag_match_strong(c->if_range->value, etag);
}

static void decide_range(const struct conditions *c, struct field_section request, int64_t length,
                         struct precondition_decision *d)
{
    if (only_line(request, c->range) == NULL) return;
    d->ranges = range_parse(c->range->value, length);
    if (d->ranges.verdict == RANGE_SATISFIABLE) d->verdict = PRECONDITION_PARTS;
    if (d->ranges.verdict == RANGE_UNSATISFIABLE) d->verdict = PRECONDITION_UNSATISFIABLE;
}

struct precondition_decision precondition_decide(const struct request_head *request, int status,
                                                 struct field_section stored, int64_t length, int64_t now_s)
{
    struct conditions c = conditions_of(request->fields);
    struct precondition_decision d; /* its parts stay unset until there are some: this is the path of every hit */
    d.verdict = PRECONDITION_WHOLE;
    d.ranges.verdict = RANGE_NONE;
    d.ranges.count = 0;

    bool selects = request->method == METHOD_GET || request->method == METHOD_HEAD || request->method == METHOD_QUERY;
    if (!c.any || !selects || status < 200 || status > 299) return d; /* §13.2.1 */
    if (!precondition_holds(&c, request->fields, stored, now_s)) {
        d.verdict = PRECONDITION_FAILED;
    } else if (is_not_modified(&c, request->fields, stored, now_s)) {
        d.verdict = PRECONDITION_NOT_MODIFIED;
    } else if (request->method == METHOD_GET && (status == 200 || status == 206) && length >= 0 &&
               if_range_holds(&c, request->fields, stored, now_s)) {
        decide_range(&c, request->fields, length, &d);
    }
    return d;
}

bool precondition_part_covers(const struct request_head *request, const struct stored_head *s,
                              struct field_section stored, int64_t part_length, int64_t now_s)
{
    if ((s->flags & STORED_PARTIAL) == 0) return true;
    struct conditions c = conditions_of(request->fields);
    if (request->method != METHOD_GET || only_line(request->fields, c.range) == NULL) return false;
    if (!if_range_holds(&c, request->fields, stored, now_s)) return false;

    /* Without the length of the whole, a range that runs to the end runs to an unknown one. */
    int64_t end = s->content_first + part_length, first, last;
    bool open_ended = !range_parse_single(c.range->value, &first, &last) || first < 0 || last < 0;
    if (s->content_length < 0 && (open_ended || last >= end)) return false;
    struct range_set ranges = range_parse(c.range->value, s->content_length < 0 ? end : s->content_length);
    if (ranges.verdict != RANGE_SATISFIABLE) return false;
    for (size_t i = 0; i < ranges.count; i++) {
        if (ranges.parts[i].first < s->content_first || ranges.parts[i].last >= end) return false;
    }
    return true;
}

bool not_modified_field(enum field_id id)
{
    switch (id) {
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_RANGE:
    case FIELD_CONTENT_TYPE:
    case FIELD_SET_COOKIE:
    case FIELD_TRAILER:
    case FIELD_TRANSFER_ENCODING: return false;
    default: return true;
    }
}
