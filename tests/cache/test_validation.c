#include "cache/validation.h"

#include "tests/cache/decisions.h"

/* RFC 9111 §4.3.1 */
static const struct {
    const char *stored, *if_none_match, *if_modified_since;
} asked[] = {
    { "ETag: \"a\"", "\"a\"", "" },
    { "ETag: W/\"a\"", "W/\"a\"", "" },
    { "ETag: unquoted", "unquoted", "" },
    { "ETag:", "", "" },
    { "Last-Modified: " NOW, "", NOW },
    { "ETag: \"a\"\nLast-Modified: " NOW, "\"a\"", NOW },
    { "Last-Modified: once", "", "" },
    { "Last-Modified: Tuesday, 01-Jan-30 00:00:00 GMT", "", "Tuesday, 01-Jan-30 00:00:00 GMT" }, /* as it was sent */
    { "Date: " NOW, "", "" },
    { "", "", "" },
};

START_TEST(stored_validators_are_sent_as_they_came)
{
    struct lines l;
    struct validators v = validators_of(section_of(&l, asked[_i].stored));
    ck_assert(view_is(v.if_none_match, asked[_i].if_none_match));
    ck_assert(view_is(v.if_modified_since, asked[_i].if_modified_since));
}
END_TEST

/* §4.3.4 */
static const struct {
    const char *stored, *not_modified;
    bool freshens;
} selections[] = {
    { "ETag: \"a\"", "ETag: \"a\"", true },
    { "ETag: \"a\"", "ETag: \"b\"", false },
    { "ETag: \"a\"", "ETag: \"A\"", false },
    { "ETag: W/\"a\"", "ETag: \"a\"", false }, /* a strong validator matches strongly or not at all */
    { "ETag: W/\"a\"", "ETag: W/\"a\"", true },
    { "ETag: \"a\"", "ETag: W/\"a\"", true },
    { "ETag: \"a\"", "ETag: W/\"b\"", false },
    { "ETag: a", "ETag: a", true },
    { "ETag: \"a\"\nLast-Modified: " NOW, "ETag: \"a\"\nLast-Modified: " HOUR_AFTER, true },
    { "ETag: \"a\"\nLast-Modified: " NOW, "ETag: \"b\"\nLast-Modified: " NOW, false },
    { "Last-Modified: " NOW, "ETag: \"a\"", false },
    { "Last-Modified: " NOW, "ETag: \"a\"\nLast-Modified: " NOW, false },
    { "Last-Modified: " NOW, "ETag: W/\"a\"\nLast-Modified: " NOW, true },
    { "Last-Modified: " NOW, "ETag: W/\"a\"", false },
    { "Last-Modified: " NOW, "Last-Modified: " NOW, true },
    { "Last-Modified: " NOW, "Last-Modified: Tuesday, 01-Jan-30 00:00:00 GMT", true },
    { "Last-Modified: " NOW, "Last-Modified: " HOUR_AFTER, false },
    { "ETag: \"a\"", "Last-Modified: " NOW, false },
    { "ETag: \"a\"\nLast-Modified: " NOW, "Last-Modified: " NOW, true },
    { "ETag: \"a\"\nLast-Modified: " NOW, "Last-Modified: " HOUR_AFTER, false },
    /* without a validator it answers what was asked */
    { "ETag: \"a\"", "Cache-Control: max-age=1", true },
    { "Last-Modified: " NOW, "", true },
    { "", "", true },
    { "", "ETag: \"a\"", false },
};

START_TEST(not_modified_selects_what_it_names)
{
    struct lines l, m;
    enum freshen_verdict got =
        freshen_decide(section_of(&l, selections[_i].stored), section_of(&m, selections[_i].not_modified));
    ck_assert_msg(got == (selections[_i].freshens ? FRESHEN_THIS : FRESHEN_NOTHING), "%s by %s", selections[_i].stored,
                  selections[_i].not_modified);
}
END_TEST

/* §3.2: the first line of each is asked about */
static const struct {
    const char *not_modified;
    bool replaces;
} updates[] = {
    { "Cache-Control: max-age=1", true },
    { "CDN-Cache-Control: max-age=1", true },
    { "Content-Type: text/plain", true },
    { "Content-Language: en", true },
    { "Content-Location: /a", true },
    { "Content-Security-Policy: x", true },
    { "Content-MD5: x", true },
    { "Content-Foo: x", true },
    { "Date: " NOW, true },
    { "ETag: \"a\"", true },
    { "Expires: " NOW, true },
    { "Last-Modified: " NOW, true },
    { "Vary: foo", true },
    { "X-Frame-Options: deny", true },
    { "X-Content-Foo: x", true },
    { "Clear-Site-Data: x", true },
    { "Public-Key-Pins: x", true },
    { "Empty:", true },
    { "Content-Length: 1", false },
    { "Content-Encoding: gzip", false },
    { "Content-Range: bytes 0-4/9", false },
    { "Set-Cookie: a=1", false },
    { "Age: 1", false },
    { "Transfer-Encoding: chunked", false },
    { "Connection: close", false },
    { "Keep-Alive: 1", false },
    { "Proxy-Connection: x", false },
    { "Proxy-Authenticate: x", false },
    { "Proxy-Authentication-Info: x", false },
    { "Trailer: x", false },
    { "Upgrade: x", false },
    { "TE: x", false },
    { "Foo: 1\nConnection: foo", false },
};

START_TEST(not_modified_updates_or_keeps_each_field)
{
    struct lines l;
    struct field_section fields = section_of(&l, updates[_i].not_modified);
    ck_assert_msg(freshen_field(fields, &fields.lines[0]) == updates[_i].replaces, "%s", updates[_i].not_modified);
}
END_TEST

/* §4.3.5: against content of 5 bytes */
static const struct {
    const char *stored, *head;
    bool confirms;
} heads[] = {
    { "ETag: \"a\"", "ETag: \"a\"\nContent-Length: 5", true },
    { "ETag: \"a\"", "ETag: \"a\"", true },
    { "ETag: \"a\"", "Content-Length: 5", true },
    { "ETag: \"a\"", "", true },
    { "", "", true },
    { "ETag: \"a\"", "ETag: \"b\"\nContent-Length: 5", false },
    { "ETag: \"a\"", "ETag: W/\"a\"", false },
    { "", "ETag: \"a\"", false },
    { "ETag: \"a\"", "ETag: \"a\"\nContent-Length: 6", false },
    { "ETag: \"a\"", "ETag: \"a\"\nContent-Length: x", false },
    { "Last-Modified: " NOW, "Last-Modified: " NOW, true },
    { "Last-Modified: " NOW, "Last-Modified: Tue Jan  1 00:00:00 2030", true },
    { "Last-Modified: " NOW, "Last-Modified: " HOUR_AFTER, false },
    { "", "Last-Modified: " NOW, false },
};

START_TEST(head_confirms_or_invalidates)
{
    struct lines l, m;
    ck_assert_msg(head_confirms(section_of(&l, heads[_i].stored), 5, section_of(&m, heads[_i].head)) ==
                      heads[_i].confirms,
                  "%s by %s", heads[_i].stored, heads[_i].head);
}
END_TEST

START_TEST(head_says_nothing_of_a_length_that_is_not_known)
{
    struct lines l, m;
    ck_assert(head_confirms(section_of(&l, ""), -1, section_of(&m, "Content-Length: 6")));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("validation");
    tcase_add_loop_test(t, stored_validators_are_sent_as_they_came, 0, ROWS(asked));
    tcase_add_loop_test(t, not_modified_selects_what_it_names, 0, ROWS(selections));
    tcase_add_loop_test(t, not_modified_updates_or_keeps_each_field, 0, ROWS(updates));
    tcase_add_loop_test(t, head_confirms_or_invalidates, 0, ROWS(heads));
    tcase_add_test(t, head_says_nothing_of_a_length_that_is_not_known);
    return run_case("cache/validation", t);
}
