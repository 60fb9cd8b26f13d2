#include "headers/field.h"

#include "table.h"

START_TEST(every_row_is_found_in_any_case)
{
    const struct field_traits *traits = field_traits_of((enum field_id)_i);
    char name[64];
    ck_assert_uint_eq(strlen(traits->name), traits->name_len);
    ck_assert_uint_lt(traits->name_len, sizeof(name));
    for (size_t i = 0; i < traits->name_len; i++) {
        char c = traits->name[i];
        name[i] = i % 2 == 0 && c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
    }
    ck_assert_int_eq(field_id_of(view_of(traits->name, traits->name_len)), _i);
    ck_assert_int_eq(field_id_of(view_of(name, traits->name_len)), _i);
}
END_TEST

START_TEST(a_name_one_byte_off_is_another_name)
{
    const struct field_traits *traits = field_traits_of((enum field_id)_i);
    char name[64];
    memcpy(name, traits->name, traits->name_len);
    for (size_t i = 0; i < traits->name_len; i++) {
        for (int byte = 0; byte < 256; byte++) {
            name[i] = (char)byte;
            bool same = ascii_lower(name[i]) == traits->name[i];
            ck_assert_int_eq(field_id_of(view_of(name, traits->name_len)) == (enum field_id)_i, same);
        }
        name[i] = traits->name[i];
    }
    ck_assert_int_ne(field_id_of(view_of(name, traits->name_len - 1u)), _i);
}
END_TEST

static const char *const unknown[] = { "", "a", "te-", "x-cache-control", "cache-control2", "X-Custom", "dates" };

START_TEST(other_names_have_no_row)
{
    ck_assert_int_eq(field_id_of(view_of_str(unknown[_i])), FIELD_OTHER);
}
END_TEST

static const struct {
    enum field_id id;
    bool hop_by_hop, store, freshen, list;
} traits[] = {
    { FIELD_OTHER, false, true, true, false },
    { FIELD_CONNECTION, true, false, false, true }, /* RFC 9110 §7.6.1 */
    { FIELD_KEEP_ALIVE, true, false, false, true },
    { FIELD_PROXY_CONNECTION, true, false, false, false },
    { FIELD_TE, true, false, false, true },
    { FIELD_TRANSFER_ENCODING, true, false, false, true },
    { FIELD_UPGRADE, true, false, false, true },
    { FIELD_PROXY_AUTHENTICATE, true, false, false, true }, /* RFC 9111 §3.1 */
    { FIELD_PROXY_AUTHENTICATION_INFO, true, false, false, false },
    { FIELD_PROXY_AUTHORIZATION, true, false, false, false },
    { FIELD_CONTENT_LENGTH, false, true, false, false }, /* RFC 9111 §3.2 */
    { FIELD_CONTENT_ENCODING, false, true, false, true },
    { FIELD_CONTENT_RANGE, false, true, false, false },
    { FIELD_SET_COOKIE, false, true, false, false },
    { FIELD_CONTENT_TYPE, false, true, true, false },
    { FIELD_CACHE_CONTROL, false, true, true, true },
    { FIELD_ETAG, false, true, true, false },
    { FIELD_VARY, false, true, true, true },
    { FIELD_DATE, false, true, true, false },
};

START_TEST(traits_by_section)
{
    const struct field_traits *t = field_traits_of(traits[_i].id);
    ck_assert_int_eq(t->hop_by_hop, traits[_i].hop_by_hop);
    ck_assert_int_eq(t->store, traits[_i].store);
    ck_assert_int_eq(t->freshen, traits[_i].freshen);
    ck_assert_int_eq(t->list, traits[_i].list);
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
    bool name, value;
} bytes[] = {
    /* bytes  len  name   value */
    { "x-a", 3, true, true },    { "", 0, false, true },       { "a b", 3, false, true },   { "a\tb", 3, false, true },
    { "a:b", 3, false, true },   { "a\xff", 2, false, true },  { "a\r", 2, false, false },  { "a\n", 2, false, false },
    { "a\0b", 3, false, false }, { "a\x7f", 2, false, false }, { "\x01", 1, false, false },
};

START_TEST(names_are_tokens_and_values_have_no_controls)
{
    struct view v = view_of(bytes[_i].bytes, bytes[_i].len);
    ck_assert_int_eq(field_name_is_valid(v), bytes[_i].name);
    ck_assert_int_eq(field_value_is_valid(v), bytes[_i].value);
}
END_TEST

/* Every byte at every place of a value that is longer than what is looked at at once. */
START_TEST(a_control_is_found_wherever_it_stands)
{
    char text[19];
    bool valid = (_i >= 0x20 && _i != 0x7f) || _i == '\t';
    for (size_t place = 0; place < sizeof(text); place++) {
        memset(text, place % 2 == 0 ? 'v' : '\t', sizeof(text));
        text[place] = (char)_i;
        ck_assert_int_eq(field_value_is_valid(view_of(text, sizeof(text))), valid);
    }
}
END_TEST

START_TEST(lines_are_found_in_their_order)
{
    struct lines l;
    struct field_section s = section_of(&l, "Age: 1\nX-A: 1\nage: 2\nx-a: 2\nAGE: 3");
    ck_assert_uint_eq(field_count(s, FIELD_AGE), 3);
    ck_assert_uint_eq(field_count(s, FIELD_DATE), 0);
    const struct field *first = field_first(s, FIELD_AGE);
    ck_assert_ptr_eq(first, &l.line[0]);
    ck_assert_ptr_eq(field_next(s, first), &l.line[2]);
    ck_assert_ptr_eq(field_next(s, &l.line[4]), NULL);
    ck_assert_ptr_eq(field_first(s, FIELD_DATE), NULL);
    ck_assert_uint_eq(field_find(s, 0, VIEW("X-a")), 1);
    ck_assert_uint_eq(field_find(s, 2, VIEW("X-a")), 3);
    ck_assert_uint_eq(field_find(s, 4, VIEW("X-a")), 5);
    ck_assert_uint_eq(field_find(s, 9, VIEW("X-a")), 5);
    ck_assert_uint_eq(field_find(s, 1, VIEW("age")), 2);
}
END_TEST

START_TEST(connection_names_fields)
{
    struct lines l;
    struct field_section s = section_of(&l, "Connection: close, X-A\nConnection: ,x-b");
    ck_assert(field_named_by_connection(s, VIEW("x-a")));
    ck_assert(field_named_by_connection(s, VIEW("X-B")));
    ck_assert(!field_named_by_connection(s, VIEW("x")));
    ck_assert(!field_named_by_connection((struct field_section){ NULL, 0 }, VIEW("x-a")));
}
END_TEST

START_TEST(a_copy_stands_alone)
{
    struct lines l;
    char *room = NULL;
    struct field_section copy;
    {
        char text[] = "Age: 1\nX-A:\nVia: 1.1 a";
        struct field_section s = section_of(&l, text);
        char *at = room = malloc(field_section_bytes(s) + sizeof(struct field));
        copy = field_section_copy(s, 1, &at);
        ck_assert_uint_eq((size_t)(at - room), field_section_bytes(s) + sizeof(struct field));
        memset(text, '?', sizeof text);
        memset(&l, 0, sizeof l);
    }
    ck_assert_uint_eq(copy.count, 3);
    ck_assert_int_eq(copy.lines[2].id, FIELD_VIA);
    ck_assert_str_eq(copy.lines[0].name.at, "Age");
    ck_assert_str_eq(copy.lines[0].value.at, "1");
    ck_assert_str_eq(copy.lines[1].value.at, "");
    ck_assert_str_eq(copy.lines[2].value.at, "1.1 a");
    free(room);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("field");
    tcase_add_loop_test(t, every_row_is_found_in_any_case, FIELD_OTHER + 1, FIELD_ID_COUNT);
    tcase_add_loop_test(t, a_name_one_byte_off_is_another_name, FIELD_OTHER + 1, FIELD_ID_COUNT);
    tcase_add_loop_test(t, other_names_have_no_row, 0, ROWS(unknown));
    tcase_add_loop_test(t, traits_by_section, 0, ROWS(traits));
    tcase_add_loop_test(t, names_are_tokens_and_values_have_no_controls, 0, ROWS(bytes));
    tcase_add_loop_test(t, a_control_is_found_wherever_it_stands, 0, 256);
    tcase_add_test(t, lines_are_found_in_their_order);
    tcase_add_test(t, connection_names_fields);
    tcase_add_test(t, a_copy_stands_alone);
    return run_case("headers/field", t);
}
