#include "cache/validation.h"

#include "headers/etag.h"
#include "headers/http_date.h"

static struct view value_of(struct field_section s, enum field_id id)
{
    const struct field *line = field_first(s, id);
    return line != NULL ? line->value : view_of(NULL, 0);
}

/* Dates are only compared with one another here, so that any moment of this century does to complete a year of two digits. */
static bool date_of(struct view value, int64_t *out)
{
    const int64_t year_2025_s = 1735689600;
    return http_date_parse(value, year_2025_s, out);
}

struct validators validators_of(struct field_section stored)
{
    int64_t modified_s;
    struct view modified = value_of(stored, FIELD_LAST_MODIFIED);
    if (!date_of(modified, &modified_s)) modified = view_of(NULL, 0); /* nobody would heed it: RFC 9110 §13.1.3 */
    return (struct validators){ value_of(stored, FIELD_ETAG), modified };
}

static bool same_date(struct view a, struct view b)
{
    int64_t a_s, b_s;
    if (view_equal(a, b)) return true;
    return date_of(a, &a_s) && date_of(b, &b_s) && a_s == b_s;
}

enum freshen_verdict freshen_decide(struct field_section stored, struct field_section not_modified)
{
    struct view old_etag = value_of(stored, FIELD_ETAG), etag = value_of(not_modified, FIELD_ETAG);
    struct view old_modified = value_of(stored, FIELD_LAST_MODIFIED);
    struct view modified = value_of(not_modified, FIELD_LAST_MODIFIED);
    bool same_modified = old_modified.len > 0 && same_date(old_modified, modified);
    bool selects = true;

    if (etag.len > 0 && !etag_is_weak(etag)) {
        selects = old_etag.len > 0 && etag_match_strong(etag, old_etag);
    } else if (etag.len > 0 && old_etag.len > 0) {
        selects = etag_match_weak(etag, old_etag);
    } else if (etag.len > 0 || modified.len > 0) {
        selects = same_modified;
    }
    /* A 304 without any validator answers the one condition that was asked. */
    return selects ? FRESHEN_THIS : FRESHEN_NOTHING;
}

bool freshen_field(struct field_section not_modified, const struct field *line)
{
    const struct field_traits *traits = field_traits_of(line->id);
    if (traits->hop_by_hop || !traits->store || !traits->freshen || line->id == FIELD_AGE) return false;
    return !field_named_by_connection(not_modified, line->name);
}

bool head_confirms(struct field_section stored, int64_t content_length, struct field_section head)
{
    struct view length = value_of(head, FIELD_CONTENT_LENGTH);
    struct view etag = value_of(head, FIELD_ETAG), modified = value_of(head, FIELD_LAST_MODIFIED);
    int64_t length_bytes = 0;

    if (length.len > 0 && content_length >= 0) {
        if (!view_parse_decimal(length, INT64_MAX, &length_bytes) || length_bytes != content_length) return false;
    }
    if (etag.len > 0 && !view_equal(etag, value_of(stored, FIELD_ETAG))) return false;
    return modified.len == 0 || same_date(modified, value_of(stored, FIELD_LAST_MODIFIED));
}
