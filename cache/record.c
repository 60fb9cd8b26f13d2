#include "cache/record.h"

#include <assert.h>

/* A line: id and lengths in 32 bits (as the machine has them), name NUL value NUL. */
enum { LINE_HEAD = 4, ID_BITS = 6, NAME_BITS = 12, VALUE_BITS = 14 };
_Static_assert(FIELD_ID_COUNT <= 1 << ID_BITS && ID_BITS + NAME_BITS + VALUE_BITS == 32, "one word");
_Static_assert(RECORD_NAME_MAX < 1 << NAME_BITS && RECORD_VALUE_MAX < 1 << VALUE_BITS, "as record.h promises");

struct line_head {
    unsigned id;
    size_t name_len, value_len;
};

static struct line_head line_head_at(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return (struct line_head){ word & ((1u << ID_BITS) - 1), word >> ID_BITS & ((1u << NAME_BITS) - 1),
                               word >> (ID_BITS + NAME_BITS) };
}

static size_t line_size(const struct field *f)
{
    return LINE_HEAD + f->name.len + 1 + f->value.len + 1;
}

_Static_assert(KEY_TEXT_MAX <= UINT16_MAX && VARIANT_TEXT_MAX <= UINT16_MAX, "lengths of 16 bits");

static size_t lines_size(struct field_section fields)
{
    size_t sum = 0;
    for (size_t i = 0; i < fields.count; i++) sum += line_size(&fields.lines[i]);
    return sum;
}

size_t record_size(const struct record_inputs *in)
{
    return sizeof(struct record_head) + in->tag_count * sizeof(uint64_t) + in->key.len + in->variant.len +
           lines_size(in->fields) + in->content.len;
}

static char *put(char *at, const void *bytes, size_t len)
{
    if (len > 0) memcpy(at, bytes, len);
    return at + len;
}

static char *put_line(char *at, const struct field *f)
{
    assert(f->name.len <= RECORD_NAME_MAX && f->value.len <= RECORD_VALUE_MAX);
    uint32_t head =
        (uint32_t)f->id | (uint32_t)f->name.len << ID_BITS | (uint32_t)f->value.len << (ID_BITS + NAME_BITS);
    at = put(at, &head, sizeof head);
    at = put(at, f->name.at, f->name.len);
    *at++ = '\0';
    at = put(at, f->value.at, f->value.len);
    *at++ = '\0';
    return at;
}

void record_write(const struct record_inputs *in, void *to)
{
    assert(in->fields.count <= RECORD_FIELDS_MAX && in->tag_count <= UINT16_MAX);
    assert(in->key.len <= KEY_TEXT_MAX && in->variant.len <= VARIANT_TEXT_MAX);
    struct record_head head = {
        .format = RECORD_FORMAT,
        .kind = (uint8_t)in->kind,
        .field_count = (uint16_t)in->fields.count,
        .key_len = (uint16_t)in->key.len,
        .variant_len = (uint16_t)in->variant.len,
        .fields_len = (uint32_t)lines_size(in->fields),
        .tag_count = (uint16_t)in->tag_count,
        .content_length = in->content_length,
        .fetch_seq = in->fetch_seq,
        .stored = in->stored,
    };
    char *at = put(to, &head, sizeof head);
    at = put(at, in->tags, in->tag_count * sizeof(uint64_t));
    at = put(at, in->key.at, in->key.len);
    at = put(at, in->variant.at, in->variant.len);
    for (size_t i = 0; i < in->fields.count; i++) at = put_line(at, &in->fields.lines[i]);
    put(at, in->content.at, in->content.len);
}

static const char *after_head(const void *record)
{
    return (const char *)record + sizeof(struct record_head);
}

const uint64_t *record_tags(const void *record)
{
    return (const uint64_t *)(const void *)after_head(record);
}

static const char *key_at(const void *record)
{
    return after_head(record) + (size_t)record_head_of(record)->tag_count * sizeof(uint64_t);
}

struct view record_key(const void *record)
{
    return view_of(key_at(record), record_head_of(record)->key_len);
}

struct view record_variant(const void *record)
{
    const struct record_head *h = record_head_of(record);
    return view_of(key_at(record) + h->key_len, h->variant_len);
}

static const char *lines_at(const void *record)
{
    struct view variant = record_variant(record);
    return variant.at + variant.len;
}

size_t record_size_before_content(const void *record)
{
    return (size_t)(lines_at(record) + record_head_of(record)->fields_len - (const char *)record);
}

struct view record_content(const void *record, size_t record_len)
{
    size_t before = record_size_before_content(record);
    return view_of((const char *)record + before, record_len - before);
}

struct view record_uri(struct view record)
{
    struct key k = { .text = record_key(record.at) };
    return key_uri(&k);
}

struct record_walk record_lines(const void *record)
{
    const unsigned char *at = (const unsigned char *)lines_at(record);
    return (struct record_walk){ at, at + record_head_of(record)->fields_len };
}

bool record_line_next(struct record_walk *w, struct record_line *out)
{
    if (w->at == w->end) return false;
    struct line_head head = line_head_at(w->at);
    const char *name = (const char *)w->at + LINE_HEAD;
    out->id = (enum field_id)head.id;
    out->name = view_of(name, head.name_len);
    out->value = view_of(name + head.name_len + 1, head.value_len);
    w->at += LINE_HEAD + head.name_len + 1 + head.value_len + 1;
    return true;
}

struct field_section record_section(const void *record, struct field *to)
{
    struct record_walk w = record_lines(record);
    struct record_line line;
    size_t n = 0;
    while (n < RECORD_FIELDS_MAX && record_line_next(&w, &line))
        to[n++] = (struct field){ .id = line.id, .name = line.name, .value = line.value };
    return (struct field_section){ to, n };
}

struct view record_value(const void *record, enum field_id id)
{
    struct record_walk w = record_lines(record);
    struct record_line line;
    while (record_line_next(&w, &line))
        if (line.id == id) return line.value;
    return (struct view){ NULL, 0 };
}

static bool lines_are_sound(const unsigned char *at, size_t len, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (len - used < LINE_HEAD) return false;
        struct line_head head = line_head_at(at + used);
        size_t size = (size_t)LINE_HEAD + head.name_len + 1 + head.value_len + 1;
        if (head.id >= FIELD_ID_COUNT || size > len - used) return false;
        if (at[used + LINE_HEAD + head.name_len] != '\0' || at[used + size - 1] != '\0') return false;
        used += size;
    }
    return used == len;
}

bool record_is_sound(struct view record)
{
    if (record.len < sizeof(struct record_head)) return false;
    struct record_head h;
    memcpy(&h, record.at, sizeof h);
    if (h.format != RECORD_FORMAT || (h.kind != RECORD_RESPONSE && h.kind != RECORD_VARY)) return false;
    if (h.field_count > RECORD_FIELDS_MAX || h.content_length < 0) return false;
    uint64_t lines = sizeof h + (uint64_t)h.tag_count * sizeof(uint64_t) + h.key_len + h.variant_len;
    uint64_t content = lines + h.fields_len;
    if (content != record.len && content + (uint64_t)h.content_length != record.len) return false;
    return lines_are_sound((const unsigned char *)record.at + lines, h.fields_len, h.field_count);
}
