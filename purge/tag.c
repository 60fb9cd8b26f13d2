#include "purge/tag.h"

#include "headers/list.h"
#include "headers/structured.h"

#include <xxhash.h>

/* Seeds keep a group, a host and a URI apart from a tag of the same bytes. Collisions of any kind purge more, never less. */
enum { SEED_TAG = 0, SEED_GROUP = 0x67, SEED_HOST = 0x68, SEED_URI = 0x75 };

const uint64_t TAG_OVERFLOW = UINT64_C(0x6f766572666c6f77);

static uint64_t hash_of(struct view v, uint64_t seed)
{
    return XXH3_64bits_withSeed(v.len > 0 ? v.at : "", v.len, seed);
}

uint64_t tag_hash(struct view tag)
{
    return hash_of(tag, SEED_TAG);
}

uint64_t tag_hash_group(struct view group, struct view authority)
{
    return hash_of(group, hash_of(authority, SEED_GROUP));
}

uint64_t tag_hash_host(struct view authority)
{
    return hash_of(authority, SEED_HOST);
}

uint64_t tag_hash_uri(struct view uri)
{
    return hash_of(uri, SEED_URI);
}

bool tag_field_is_internal(enum field_id id)
{
    return id == FIELD_SURROGATE_KEY || id == FIELD_CACHE_TAG || id == FIELD_XKEY;
}

/* ---- one field value */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool blank_list_next(struct view *rest, struct view *tag)
{
    size_t start = 0, end;
    while (start < rest->len && is_blank(rest->at[start])) start++;
    for (end = start; end < rest->len && !is_blank(rest->at[end]); end++) {
    }
    *tag = view_first(view_after(*rest, start), end - start);
    *rest = view_after(*rest, end);
    return tag->len > 0;
}

/* Cache-Tag knows no quoted strings: a comma always separates. */
static bool comma_list_next(struct view *rest, struct view *tag)
{
    while (rest->len > 0) {
        size_t comma = view_find(*rest, 0, ',');
        *tag = view_trim_ows(view_first(*rest, comma));
        *rest = view_after(*rest, comma + 1);
        if (tag->len > 0) return true;
    }
    return false;
}

bool tag_list_next(enum field_id id, struct view *rest, struct view *tag)
{
    if (id == FIELD_CACHE_TAG) return comma_list_next(rest, tag);
    if (id == FIELD_CACHE_GROUPS) return list_next(rest, tag);
    return blank_list_next(rest, tag);
}

/* ---- all the tag fields */

static bool has_tags(enum field_id id)
{
    return tag_field_is_internal(id) || id == FIELD_CACHE_GROUPS;
}

struct tag_walk tags_of(struct field_section s)
{
    return (struct tag_walk){ s, 0, s.count > 0 ? s.lines[0].value : VIEW("") };
}

bool tag_walk_next(struct tag_walk *w, struct view *tag)
{
    while (w->line < w->section.count) {
        enum field_id id = w->section.lines[w->line].id;
        if (has_tags(id) && tag_list_next(id, &w->rest, tag)) return true;
        w->line++;
        if (w->line < w->section.count) w->rest = w->section.lines[w->line].value;
    }
    return false;
}

/* ---- hashes of a response */

struct tag_set {
    uint64_t *hashes;
    size_t count, text_len;
    bool overflow;
};

static void tag_set_add(struct tag_set *set, uint64_t hash, size_t text_len)
{
    set->text_len += text_len;
    for (size_t i = 0; i < set->count; i++) {
        if (set->hashes[i] == hash) return;
    }
    if (set->count == TAG_MAX || set->text_len > TAG_TEXT_MAX) {
        set->overflow = true;
    } else {
        set->hashes[set->count++] = hash;
    }
}

static void add_plain_tags(struct tag_set *set, const struct field *line)
{
    struct view rest = line->value, tag;
    while (!set->overflow && tag_list_next(line->id, &rest, &tag)) tag_set_add(set, tag_hash(tag), tag.len);
}

/* A field that fails to parse is ignored as a whole (RFC 8941 §4.2), but one with more members than we look at is not
 * told apart by the parser: then the catch-all tag stands for them. */
static bool groups_may_be_too_many(struct field_section s)
{
    size_t commas = 0;
    for (const struct field *f = field_first(s, FIELD_CACHE_GROUPS); f != NULL; f = field_next(s, f)) {
        for (size_t i = 0; i < f->value.len; i++) commas += f->value.at[i] == ',';
        commas++;
    }
    return commas > TAG_MAX;
}

/* Cache-Groups is a list of strings (RFC 9875 §2). */
static void add_groups(struct tag_set *set, struct field_section s, struct view authority)
{
    struct sf_item items[TAG_MAX];
    char text[TAG_TEXT_MAX];
    if (field_first(s, FIELD_CACHE_GROUPS) == NULL) return;
    int n = sf_list_parse(s, FIELD_CACHE_GROUPS, items, TAG_MAX);
    if (n < 0 && groups_may_be_too_many(s)) set->overflow = true;
    for (int i = 0; i < n && !set->overflow; i++) {
        if (items[i].type != SF_STRING) continue;
        int len = sf_string_text(items[i].text, text, sizeof(text));
        if (len < 0) {
            set->overflow = true;
            return;
        }
        struct view group = view_of(text, (size_t)len);
        tag_set_add(set, tag_hash_group(group, authority), group.len);
        tag_set_add(set, tag_hash(group), 0); /* an operator's purge names it as a tag */
    }
}

size_t tags_of_response(struct field_section response, struct view authority, uint64_t *out)
{
    struct tag_set set = { .hashes = out };
    for (size_t i = 0; i < response.count; i++) {
        if (tag_field_is_internal(response.lines[i].id)) add_plain_tags(&set, &response.lines[i]);
    }
    add_groups(&set, response, authority);
    if (set.overflow) set.hashes[set.count++] = TAG_OVERFLOW;
    return set.count;
}
