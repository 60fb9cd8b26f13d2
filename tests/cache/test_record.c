/* The bytes of a stored response: what is written is read back, and no damage is mistaken for a record. */
#include "cache/record.h"
#include "cache/store.h"
#include "tests/headers/table.h"

enum { TAGS_MAX = 4, RECORD_MAX = 4096 };

/* ---- records as rows */

struct row {
    const char *key, *variant, *fields, *content;
    size_t tag_count;
    enum record_kind kind;
};

static const uint64_t tags[TAGS_MAX] = { 0x1111111111111111, 2, 0xffffffffffffffff, 0 };

static const struct row rows[] = {
    { "1\nGET\nhttp://a/", "", "ETag: \"plum\"\nContent-Type: text/plain", "jam", 2, RECORD_RESPONSE },
    { "1\nGET\nhttp://a/odd", "accept:a\n", "X-Empty:\nx-Other: a b  c", "", 1, RECORD_RESPONSE },
    { "1\nGET\nhttp://a/bare", "", "", "content without a field", 0, RECORD_RESPONSE },
    { "1\nGET\nhttp://a/nothing", "", "", "", 0, RECORD_RESPONSE },
    { "", "", "", "", 0, RECORD_RESPONSE },
    { "1\nGET\nhttp://a/vary", "", "vary: accept,accept-encoding", "", 4, RECORD_VARY },
};

struct written {
    struct lines lines;
    struct record_inputs in;
    size_t len;
    char *record; /* malloc'd to the byte, so that a read beyond it is seen */
};

static void write_row(struct written *w, const struct row *r)
{
    w->in = (struct record_inputs){ .kind = r->kind,
                                    .key = view_of_str(r->key),
                                    .variant = view_of_str(r->variant),
                                    .stored = { .status = 200, .lifetime_s = 60, .flags = STORED_PUBLIC },
                                    .fields = section_of(&w->lines, r->fields),
                                    .tags = tags,
                                    .tag_count = r->tag_count,
                                    .fetch_seq = 77,
                                    .content_length = (int64_t)strlen(r->content),
                                    .content = view_of_str(r->content) };
    w->len = record_size(&w->in);
    w->record = malloc(w->len);
    ck_assert_ptr_nonnull(w->record);
    record_write(&w->in, w->record);
}

/* ---- what is written is read back */

START_TEST(a_record_gives_back_what_it_was_made_of)
{
    const struct row *r = &rows[_i];
    struct written w;
    write_row(&w, r);
    const struct record_head *head = record_head_of(w.record);
    ck_assert_int_eq(head->kind, r->kind);
    ck_assert_uint_eq(head->fetch_seq, 77);
    ck_assert_int_eq(head->stored.lifetime_s, 60);
    ck_assert_uint_eq(head->tag_count, r->tag_count);
    ck_assert(r->tag_count == 0 || memcmp(record_tags(w.record), tags, r->tag_count * sizeof *tags) == 0);
    ck_assert(view_is(record_key(w.record), r->key));
    ck_assert(view_is(record_variant(w.record), r->variant));
    ck_assert(view_is(record_content(w.record, w.len), r->content));
    ck_assert_uint_eq(record_size_before_content(w.record), w.len - strlen(r->content));
    struct field room[RECORD_FIELDS_MAX];
    struct field_section fields = record_section(w.record, room);
    ck_assert_uint_eq(fields.count, w.in.fields.count);
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *f = &fields.lines[i], *given = &w.in.fields.lines[i];
        ck_assert_int_eq(f->id, given->id);
        ck_assert(view_equal(f->name, given->name) && view_equal(f->value, given->value));
        ck_assert_uint_eq(strlen(f->name.at), f->name.len);
        ck_assert_uint_eq(strlen(f->value.at), f->value.len);
        if (given->id != FIELD_OTHER) ck_assert(view_equal(record_value(w.record, given->id), given->value));
    }
    ck_assert_ptr_null(record_value(w.record, FIELD_SET_COOKIE).at);
    free(w.record);
}
END_TEST

START_TEST(a_line_may_be_as_long_as_is_promised)
{
    static char name[RECORD_NAME_MAX], value[RECORD_VALUE_MAX];
    memset(name, 'n', sizeof name);
    memset(value, 'v', sizeof value);
    struct field line = { .id = FIELD_ID_COUNT - 1,
                          .name = view_of(name, sizeof name),
                          .value = view_of(value, sizeof value) };
    struct record_inputs in = { .kind = RECORD_RESPONSE, .key = VIEW(""), .variant = VIEW(""), .fields = { &line, 1 } };
    size_t len = record_size(&in);
    char *record = malloc(len);
    record_write(&in, record);
    ck_assert(record_is_sound(view_of(record, len)));
    struct record_walk w = record_lines(record);
    struct record_line got;
    ck_assert(record_line_next(&w, &got));
    ck_assert_int_eq(got.id, line.id);
    ck_assert(view_equal(got.name, line.name) && view_equal(got.value, line.value));
    ck_assert(!record_line_next(&w, &got));
    free(record);
}
END_TEST

START_TEST(the_target_uri_is_found_inside_the_key)
{
    static const struct {
        const char *key, *uri;
    } keys[] = {
        { "1\nGET\nhttp://a/shelf?x", "http://a/shelf?x" },
        { "1\nQUERY\nhttp://a/\ntext/plain\n\ncontent", "http://a/" },
        { "1\nGET\n", "" },
        { "1\nGET", "" },
        { "", "" },
        { "\n\n\n", "" },
    };
    struct row r = { keys[_i].key, "", "", "", 0, RECORD_RESPONSE };
    struct written w;
    write_row(&w, &r);
    ck_assert(view_is(record_uri(view_of(w.record, w.len)), keys[_i].uri));
    free(w.record);
}
END_TEST

/* ---- soundness */

START_TEST(a_record_is_sound_with_its_content_or_without)
{
    struct written w;
    write_row(&w, &rows[_i]);
    ck_assert(record_is_sound(view_of(w.record, w.len)));
    ck_assert(record_is_sound(view_of(w.record, record_size_before_content(w.record))));
    char *odd = malloc(w.len + 1); /* as in the store: at any address */
    memcpy(odd + 1, w.record, w.len);
    ck_assert(record_is_sound(view_of(odd + 1, w.len)));
    free(odd);
    free(w.record);
}
END_TEST

/* Content that is there in part must never pass for the whole. */
START_TEST(a_record_cut_anywhere_is_not_sound)
{
    struct written w;
    write_row(&w, &rows[_i]);
    size_t before = record_size_before_content(w.record);
    for (size_t len = 0; len < w.len; len++) {
        char *cut = malloc(len > 0 ? len : 1);
        memcpy(cut, w.record, len);
        ck_assert_msg(record_is_sound(view_of(cut, len)) == (len == before), "cut to %zu of %zu", len, w.len);
        free(cut);
    }
    char *longer = calloc(1, w.len + 1);
    memcpy(longer, w.record, w.len);
    ck_assert(!record_is_sound(view_of(longer, w.len + 1)));
    free(longer);
    free(w.record);
}
END_TEST

START_TEST(what_the_head_says_must_be_so)
{
    enum { FORMAT, KIND, COUNT, COUNT_LESS, KEY, VARIANT, FIELDS, TAGS, CONTENT, NEGATIVE, HUGE_CONTENT };
    struct written w;
    write_row(&w, &rows[0]);
    struct record_head h;
    memcpy(&h, w.record, sizeof h);
    switch (_i) {
    case FORMAT: h.format++; break;
    case KIND: h.kind = 3; break;
    case COUNT: h.field_count++; break;
    case COUNT_LESS: h.field_count--; break;
    case KEY: h.key_len = UINT16_MAX; break;
    case VARIANT: h.variant_len = UINT16_MAX; break;
    case FIELDS: h.fields_len = UINT32_MAX; break;
    case TAGS: h.tag_count = UINT16_MAX; break;
    case CONTENT: h.content_length++; break;
    case NEGATIVE: h.content_length = -1; break;
    case HUGE_CONTENT: h.content_length = INT64_MAX; break;
    }
    memcpy(w.record, &h, sizeof h);
    ck_assert(!record_is_sound(view_of(w.record, w.len)));
    free(w.record);
}
END_TEST

/* Everything a reader may ask of a record that passed as sound; ASan watches. */
static uint64_t read_everything(const char *record, size_t len)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < record_head_of(record)->tag_count; i++) sum += record_tags(record)[i];
    struct view parts[] = { record_key(record), record_variant(record), record_content(record, len),
                            record_uri(view_of(record, len)), record_value(record, FIELD_VARY) };
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (size_t i = 0; i < parts[p].len; i++) sum += (unsigned char)parts[p].at[i];
    struct record_walk walk = record_lines(record);
    for (struct record_line line; record_line_next(&walk, &line);) {
        sum += strlen(line.name.at) + strlen(line.value.at);
        ck_assert_int_lt(line.id, FIELD_ID_COUNT);
    }
    struct field room[RECORD_FIELDS_MAX];
    return sum + record_section(record, room).count;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

START_TEST(damaged_bytes_are_never_read_outside)
{
    enum { ROUNDS = 20000 };
    uint32_t state = 0x9e3779b9u + (uint32_t)_i;
    struct written w;
    write_row(&w, &rows[_i % ROWS(rows)]);
    size_t sound = 0;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = next_random(&state) % 8 == 0 ? next_random(&state) % (w.len + 1) : w.len;
        char *damaged = malloc(len > 0 ? len : 1);
        memcpy(damaged, w.record, len);
        unsigned hits = 1 + next_random(&state) % 3;
        for (unsigned i = 0; i < hits && len > 0; i++) {
            /* the lengths more often than the rest */
            size_t at = next_random(&state) % 2 == 0 ? next_random(&state) % len : next_random(&state) % 40;
            if (at < len) damaged[at] = (char)next_random(&state);
        }
        if (record_is_sound(view_of(damaged, len))) {
            sound++;
            sum += read_everything(damaged, len);
        }
        free(damaged);
    }
    ck_assert_uint_gt(sound, 0); /* damage to a text is not seen here: the store's checksum sees it */
    ck_assert_uint_lt(sound, ROUNDS);
    ck_assert_uint_gt(sum, 0);
    free(w.record);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("record");
    tcase_add_loop_test(t, a_record_gives_back_what_it_was_made_of, 0, ROWS(rows));
    tcase_add_loop_test(t, the_target_uri_is_found_inside_the_key, 0, 6);
    tcase_add_test(t, a_line_may_be_as_long_as_is_promised);
    tcase_add_loop_test(t, a_record_is_sound_with_its_content_or_without, 0, ROWS(rows));
    tcase_add_loop_test(t, a_record_cut_anywhere_is_not_sound, 0, ROWS(rows));
    tcase_add_loop_test(t, what_the_head_says_must_be_so, 0, 11);
    tcase_add_loop_test(t, damaged_bytes_are_never_read_outside, 0, 2 * ROWS(rows));
    return run_case("record", t);
}
