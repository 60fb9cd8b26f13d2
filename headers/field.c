#include "headers/field.h"

#include "headers/list.h"

bool field_name_is_valid(struct view name)
{
    return view_is_token(name);
}

bool field_value_is_valid(struct view value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static const struct field *first_from(struct field_section s, size_t from, enum field_id id)
{
    for (size_t i = from; i < s.count; i++) {
        if (s.lines[i].id == id) return &s.lines[i];
    }
    return NULL;
}

size_t field_count(struct field_section s, enum field_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < s.count; i++) n += s.lines[i].id == id;
    return n;
}

const struct field *field_first(struct field_section s, enum field_id id)
{
    return first_from(s, 0, id);
}

const struct field *field_next(struct field_section s, const struct field *line)
{
    return first_from(s, (size_t)(line - s.lines) + 1, line->id);
}

size_t field_find(struct field_section s, size_t from, struct view name)
{
    size_t i = from;
    while (i < s.count && !view_equal_nocase(s.lines[i].name, name)) i++;
    return i < s.count ? i : s.count;
}

bool field_named_by_connection(struct field_section s, struct view name)
{
    return list_has_token(s, FIELD_CONNECTION, name);
}
