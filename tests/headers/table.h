/* table: what the tests of this folder share: sections written as text, and the running of a suite of loop tests. */
#ifndef WEIR_TESTS_HEADERS_TABLE_H
#define WEIR_TESTS_HEADERS_TABLE_H

#include <check.h>
#include <stdlib.h>

#include "headers/field.h"

enum { LINES_MAX = 16 };

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

struct lines {
    struct field line[LINES_MAX];
};

/** The section that `text` spells: "Name: value\nName: value". It borrows from text and from l. */
static inline struct field_section section_of(struct lines *l, const char *text)
{
    struct view rest = view_of_str(text);
    size_t n = 0;
    while (rest.len > 0) {
        struct view line = view_first(rest, view_find(rest, 0, '\n'));
        size_t colon = view_find(line, 0, ':');
        ck_assert_msg(n < LINES_MAX && colon < line.len, "not a section: %s", text);
        struct view name = view_first(line, colon);
        l->line[n++] = (struct field){ field_id_of(name), name, view_trim_ows(view_after(line, colon + 1)) };
        rest = view_after(rest, line.len + 1);
    }
    return (struct field_section){ l->line, n };
}

static inline bool view_is(struct view v, const char *text)
{
    return view_equal(v, view_of_str(text));
}

/** Runs the one case, prints what fails, gives main's exit status. */
static inline int run_case(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
