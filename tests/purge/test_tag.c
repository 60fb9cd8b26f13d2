#include "purge/tag.h"

#include "tests/headers/table.h"

#include <stdio.h>

enum { TAGS_SHOWN = 16 };

static const struct view host = { "api.test", 8 };

/* The tags as tags_of finds them, joined by '|'. */
static const char *walked(const char *section, char *to)
{
    struct lines l;
    struct tag_walk walk = tags_of(section_of(&l, section));
    struct view tag;
    size_t n = 0;
    while (tag_walk_next(&walk, &tag)) {
        if (n > 0) to[n++] = '|';
        memcpy(to + n, tag.at, tag.len);
        n += tag.len;
    }
    to[n] = '\0';
    return to;
}

static const struct {
    const char *section, *tags;
} walks[] = {
    { "", "" },
    { "Content-Type: text/plain", "" },
    { "Surrogate-Key: one", "one" },
    { "Surrogate-Key: one two\tthree", "one|two|three" },
    { "Surrogate-Key:   one    two  ", "one|two" },
    { "Surrogate-Key: a,b c", "a,b|c" },
    { "xkey: one two", "one|two" },
    { "Cache-Tag: one,two", "one|two" },
    { "Cache-Tag: one , two words ,three", "one|two words|three" },
    { "Cache-Tag: ,, one,,two ,", "one|two" },
    { "Cache-Tag: \"a,b\"", "\"a|b\"" }, /* no quoted strings here */
    { "Cache-Tag: ", "" },
    { "SURROGATE-KEY: Case\ncache-tag: case", "Case|case" },
    { "Surrogate-Key: a\nDate: b\nSurrogate-Key: c\nCache-Tag: d\nxkey: e f", "a|c|d|e|f" },
    { "Cache-Groups: \"g, h\", \"i\"", "\"g, h\"|\"i\"" },
};

START_TEST(tag_texts_are_found)
{
    char text[256];
    ck_assert_str_eq(walked(walks[_i].section, text), walks[_i].tags);
}
END_TEST

static bool has(const uint64_t *hashes, size_t n, uint64_t hash)
{
    for (size_t i = 0; i < n; i++) {
        if (hashes[i] == hash) return true;
    }
    return false;
}

static const struct {
    const char *section;
    size_t count;
    const char *tags[TAGS_SHOWN];
    const char *groups[TAGS_SHOWN];
} responses[] = {
    { "Date: x", 0, { 0 }, { 0 } },
    { "Surrogate-Key: a b a", 2, { "a", "b" }, { 0 } },
    { "Surrogate-Key: a\nCache-Tag: a\nxkey: a", 1, { "a" }, { 0 } },
    { "Surrogate-Key: a A", 2, { "a", "A" }, { 0 } },
    { "Cache-Groups: \"a\"", 2, { "a" }, { "a" } },
    { "Surrogate-Key: a\nCache-Groups: \"a\"", 2, { "a" }, { "a" } },
    { "Cache-Groups: \"a\"\nCache-Groups: \"b\";x=1, \"a\"", 4, { "a", "b" }, { "a", "b" } },
    { "Cache-Groups: \"a\\\"b\", \"\"", 4, { "a\"b", "" }, { "a\"b", "" } },
    { "Cache-Groups: \"a\", 17, token", 2, { "a" }, { "a" } },
    { "Cache-Groups: \"a", 0, { 0 }, { 0 } }, /* fails to parse: ignored (RFC 8941 §4.2) */
    { "Cache-Groups: \"a\",", 0, { 0 }, { 0 } },
};

START_TEST(responses_have_hashes)
{
    struct lines l;
    uint64_t hashes[TAG_MAX + 1];
    size_t n = tags_of_response(section_of(&l, responses[_i].section), host, hashes);
    ck_assert_uint_eq(n, responses[_i].count);
    for (size_t i = 0; responses[_i].tags[i] != NULL; i++) {
        ck_assert(has(hashes, n, tag_hash(view_of_str(responses[_i].tags[i]))));
    }
    for (size_t i = 0; responses[_i].groups[i] != NULL; i++) {
        ck_assert(has(hashes, n, tag_hash_group(view_of_str(responses[_i].groups[i]), host)));
    }
}
END_TEST

START_TEST(kinds_of_names_are_apart)
{
    uint64_t hashes[] = {
        tag_hash(host),
        tag_hash_host(host),
        tag_hash_uri(host),
        tag_hash_group(host, VIEW("one.test")),
        tag_hash_group(host, VIEW("two.test")), /* a group belongs to its origin, RFC 9875 §2 */
        tag_hash(VIEW("")),
        tag_hash((struct view){ NULL, 0 }),
        TAG_OVERFLOW,
    };
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = i + 1; j < 8; j++) {
            if (i == 5 && j == 6) continue;
            ck_assert_uint_ne(hashes[i], hashes[j]);
        }
    }
    ck_assert_uint_eq(hashes[5], hashes[6]);
}
END_TEST

/* `n` different tags: "0 1 2 ...", or quoted. */
static char *many(size_t n, char separator, const char *quote)
{
    char *text = calloc(n, 16), *end = text;
    for (size_t i = 0; i < n; i++) end += sprintf(end, "%s%d%s%c", quote, (int)i, quote, separator);
    end[-1] = '\0';
    return text;
}

static const struct {
    enum field_id id;
    char separator;
    const char *quote;
    size_t n;
    bool overflow;
} amounts[] = {
    { FIELD_SURROGATE_KEY, ' ', "", TAG_MAX, false },      { FIELD_SURROGATE_KEY, ' ', "", TAG_MAX + 1, true },
    { FIELD_CACHE_TAG, ',', "", TAG_MAX, false },          { FIELD_CACHE_TAG, ',', "", 3 * TAG_MAX, true },
    { FIELD_CACHE_GROUPS, ',', "\"", TAG_MAX / 2, false }, { FIELD_CACHE_GROUPS, ',', "\"", TAG_MAX / 2 + 1, true },
};

/* Too many tags must never hide a response from a purge. */
START_TEST(too_many_tags_have_the_catch_all)
{
    char *text = many(amounts[_i].n, amounts[_i].separator, amounts[_i].quote);
    struct field line = { amounts[_i].id, VIEW("x"), view_of_str(text) };
    uint64_t hashes[TAG_MAX + 1];
    size_t n = tags_of_response((struct field_section){ &line, 1 }, host, hashes);
    ck_assert_int_eq(has(hashes, n, TAG_OVERFLOW), amounts[_i].overflow);
    ck_assert_uint_le(n, TAG_MAX + 1);
    if (!amounts[_i].overflow)
        ck_assert_uint_eq(n, amounts[_i].id == FIELD_CACHE_GROUPS ? 2 * amounts[_i].n : amounts[_i].n);
    free(text);
}
END_TEST

START_TEST(too_long_tags_have_the_catch_all)
{
    size_t len = TAG_TEXT_MAX + 1;
    char *text = malloc(len);
    memset(text, 'x', len);
    struct field line = { FIELD_SURROGATE_KEY, VIEW("Surrogate-Key"), { text, len } };
    uint64_t hashes[TAG_MAX + 1];
    size_t n = tags_of_response((struct field_section){ &line, 1 }, host, hashes);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(hashes[0], TAG_OVERFLOW);
    free(text);
}
END_TEST

START_TEST(clients_do_not_see_tags)
{
    ck_assert(tag_field_is_internal(FIELD_SURROGATE_KEY));
    ck_assert(tag_field_is_internal(FIELD_CACHE_TAG));
    ck_assert(tag_field_is_internal(FIELD_XKEY));
    ck_assert(!tag_field_is_internal(FIELD_CACHE_GROUPS)); /* for caches further on, RFC 9875 §2 */
    ck_assert(!tag_field_is_internal(FIELD_OTHER));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("tag");
    tcase_add_loop_test(t, tag_texts_are_found, 0, ROWS(walks));
    tcase_add_loop_test(t, responses_have_hashes, 0, ROWS(responses));
    tcase_add_test(t, kinds_of_names_are_apart);
    tcase_add_loop_test(t, too_many_tags_have_the_catch_all, 0, ROWS(amounts));
    tcase_add_test(t, too_long_tags_have_the_catch_all);
    tcase_add_test(t, clients_do_not_see_tags);
    return run_case("tag", t);
}
