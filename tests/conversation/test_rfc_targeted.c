/* CDN-Cache-Control (RFC 9213): it alone counts where it is there and well-formed, and is not there where it is not. */
#include "tests/conversation/harness.h"

/* The response to the first request; is it reused so many seconds later? {N}: the date N seconds from now. */
static const struct targeted_row {
    const char *fields;
    int64_t seconds;
    bool reused;
    const char *why;
} rows[] = {
    { "CDN-Cache-Control: max-age=60", 50, true, "§2.2" },
    { "CDN-Cache-Control: max-age=60", 60, false, "equal is stale" },
    { "CDN-Cache-Control: max-age=0\nExpires: {600}", 0, false, "0 against an Expires ahead" },
    { "CDN-Cache-Control: max-age=60\nCache-Control: max-age=10", 50, true, "longer than Cache-Control" },
    { "CDN-Cache-Control: max-age=10\nCache-Control: max-age=600", 20, false, "shorter than Cache-Control" },
    { "CDN-Cache-Control: max-age=10\nCache-Control: s-maxage=600", 20, false, "shorter than s-maxage" },
    { "CDN-Cache-Control: private\nCache-Control: max-age=600", 0, false, "private" },
    { "CDN-Cache-Control: no-store\nCache-Control: max-age=600", 0, false, "no-store over a fresh Cache-Control" },
    { "CDN-Cache-Control: no-cache\nCache-Control: max-age=600", 0, false, "no-cache" },
    { "CDN-Cache-Control: no-cache, max-age=60\nCache-Control: max-age=600", 0, false, "no-cache beside max-age" },
    { "CDN-Cache-Control: max-age=60\nCache-Control: no-store", 50, true, "fresh over no-store" },
    { "CDN-Cache-Control: max-age=60\nCache-Control: private, no-cache", 50, true, "fresh over private" },
    { "CDN-Cache-Control: max-age=60\nExpires: 0\nPragma: no-cache", 50, true, "fresh over Expires" },
    { "CDN-Cache-Control: must-revalidate\nCache-Control: max-age=600", 0, false,
      "Cache-Control does not fill in what it lacks" },
    { "CDN-Cache-Control: max-age=60\nAge: 50", 5, true, "with an Age" },
    { "CDN-Cache-Control: max-age=60\nAge: 50", 10, false, "with an Age" },
    { "CDN-Cache-Control: max-age=60, x-frob, y=\"no-store\", z=(1 2)", 50, true, "extensions" },
    { "CDN-Cache-Control: max-age=60;a=b;c", 50, true, "parameters are ignored" },
    { "CDN-Cache-Control: max-age=10\nCDN-Cache-Control: max-age=60", 50, true, "two lines; of equal keys the last" },
    { "CDN-Cache-Control: max-age=60, max-age=10", 20, false, "of equal keys the last" },
    { "CDN-Cache-Control: max-age=60\nCDN-Cache-Control: no-store", 0, false, "two lines are one Dictionary" },
    { "CDN-Cache-Control: no-store=?0, max-age=60", 50, true, "false" },
    /* malformed: as if it were not there */
    { "CDN-Cache-Control: max-age=10, &\nCache-Control: max-age=60", 50, true, "malformed" },
    { "CDN-Cache-Control: no-store,\nCache-Control: max-age=60", 50, true, "a comma at the end" },
    { "CDN-Cache-Control: Max-Age=10\nCache-Control: max-age=60", 50, true, "keys are in lower case" },
    { "CDN-Cache-Control: NO-STORE\nCache-Control: max-age=60", 50, true, "keys are in lower case" },
    { "CDN-Cache-Control: max-age =10\nCache-Control: max-age=60", 50, true, "a blank before the equals sign" },
    { "CDN-Cache-Control: max-age= 10\nCache-Control: max-age=60", 50, true, "a blank behind the equals sign" },
    { "CDN-Cache-Control: max-age=\"10\nCache-Control: max-age=60", 50, true, "an open string" },
    { "CDN-Cache-Control: max-age=10 private\nCache-Control: max-age=60", 50, true, "no comma" },
    { "CDN-Cache-Control: max-age=9999999999999999\nCache-Control: max-age=60", 50, true, "sixteen digits" },
    { "CDN-Cache-Control: max-age=9999999999999999\nCache-Control: max-age=60", 60, false, "sixteen digits" },
    { "CDN-Cache-Control: max-age=60\nCDN-Cache-Control: &\nCache-Control: no-store", 0, false,
      "one bad line spoils all" },
    { "CDN-Cache-Control:\nCache-Control: max-age=60", 50, true, "empty" },
    /* a member of the wrong type: as if that member were not there */
    { "CDN-Cache-Control: max-age=\"60\"\nCache-Control: max-age=60", 0, false, "a String" },
    { "CDN-Cache-Control: max-age=60.0\nCache-Control: max-age=60", 0, false, "a Decimal" },
    { "CDN-Cache-Control: max-age\nCache-Control: max-age=60", 0, false, "a Boolean" },
    { "CDN-Cache-Control: max-age=60, no-store=1", 50, true, "an Integer" },
    { "CDN-Cache-Control: max-age=60, private=token", 50, true, "a Token" },
    { "CDN-Cache-Control: max-age=60, no-cache=(\"a\")", 50, true, "an Inner List" },
    { "CDN-Cache-Control: max-age=-60", 0, false, "a negative number allows nothing" },
    { "CDN-Cache-Control: max-age=999999999999999", 86400, true, "a large number" },
};

START_TEST(the_targeted_field_decides_alone)
{
    const struct targeted_row *row = &rows[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", dated(s, row->fields), "first");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "CDN-Cache-Control: *", "first"); /* those behind weir may be its target too */
    seconds_pass(s, row->seconds);
    if (!row->reused) origin_answers(s, "200", "Cache-Control: no-store", "second");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", row->reused ? "Cache-Status: weir; hit" : "Cache-Status: weir; fwd=*",
                 row->reused ? "first" : "second");
    scene_end(s);
}
END_TEST

static const char *const lists[] = { "private=\"X-Mine, Set-Cookie\"", "no-cache=\"X-Mine\"",
                                     "private=\"x-mine\", no-cache=\"x-other\"" };

START_TEST(field_names_are_a_string)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200",
                   say(s,
                       "CDN-Cache-Control: max-age=60, %s\nCache-Control: private=\"X-Ours\"\nX-Mine: yes\nX-Ours: yes",
                       lists[_i]),
                   "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "X-Mine: yes\nX-Ours: yes", "x");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "Cache-Status: weir; hit\n!X-Mine\nX-Ours: yes", "x");
    scene_end(s);
}
END_TEST

/* What forbids stale in it forbids, and what allows it allows. */
static const struct stale_row {
    const char *fields;
    bool stale;
} stales[] = {
    { "CDN-Cache-Control: max-age=10, stale-if-error=60\nCache-Control: must-revalidate", true },
    { "CDN-Cache-Control: max-age=10, stale-if-error=60, must-revalidate\nCache-Control: max-age=10", false },
    { "CDN-Cache-Control: max-age=10, proxy-revalidate\nCache-Control: stale-if-error=600", false },
};

START_TEST(its_words_on_stale_count)
{
    const struct stale_row *row = &stales[_i];
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", row->fields, "stale");
    client_asks(s, "GET /", "");
    client_hears(s, "200", "", "stale");
    seconds_pass(s, 20);
    origin_answers(s, "503", "", "sorry");
    client_asks(s, "GET /", "");
    client_hears(s, row->stale ? "200" : "503", "Cache-Status: weir; fwd=stale; fwd-status=503",
                 row->stale ? "stale" : "sorry");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(the_targeted_field_decides_alone, rows),
        TABLE(field_names_are_a_string, lists),
        TABLE(its_words_on_stale_count, stales),
    };
    return converse("rfc targeted", tests, COUNT(tests));
}
