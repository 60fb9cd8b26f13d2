#include "headers/field.h"

#include "headers/list.h"

bool field_name_is_valid(struct view name)
{
    return view_is_token(name);
}

static bool is_field_vchar(char c)
{
    unsigned char byte = (unsigned char)c;
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

/* Eight bytes at once: the top bit of each that is below 0x20 or a DEL; a borrow may set another, so what is found is
 * looked at byte by byte, as HTAB has to be anyway. */
static uint64_t controls_in(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t del = word ^ (ones * 0x7f);
    return (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops;
}

bool field_value_is_valid(struct view value)
{
    size_t i = 0;
    for (; i + sizeof(uint64_t) <= value.len; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, value.at + i, sizeof(word));
        for (size_t k = i; controls_in(word) != 0 && k < i + sizeof(word); k++) {
            if (!is_field_vchar(value.at[k])) return false;
        }
    }
    for (; i < value.len; i++) {
        if (!is_field_vchar(value.at[i])) return false;
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

size_t field_section_bytes(struct field_section s)
{
    size_t bytes = s.count * sizeof(struct field);
    for (size_t i = 0; i < s.count; i++) bytes += s.lines[i].name.len + s.lines[i].value.len + 2;
    return bytes;
}

struct field_section field_section_copy(struct field_section s, size_t spare_lines, char **at)
{
    struct field *lines = (struct field *)(void *)*at;
    *at += (s.count + spare_lines) * sizeof *lines;
    for (size_t i = 0; i < s.count; i++) {
        lines[i] = s.lines[i];
        lines[i].name = view_copy(s.lines[i].name, at);
        lines[i].value = view_copy(s.lines[i].value, at);
    }
    return (struct field_section){ lines, s.count };
}
