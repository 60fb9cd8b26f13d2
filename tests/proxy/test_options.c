/* The command line of `weir serve`: what is asked for, or one line that says what is wrong and what would be right. */
#include "proxy/options.h"
#include "tests/headers/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- sizes */

START_TEST(a_size_is_a_number_with_a_unit)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        { "0", 0 },
        { "1000", 1000 },
        { "12B", 12 },
        { "64K", 65536 },
        { "64KiB", 65536 },
        { "64kB", 64000 },
        { "256MiB", 268435456 },
        { "256M", 268435456 },
        { "5MB", 5000000 },
        { "4GiB", 4294967296 },
        { "4G", 4294967296 },
        { "4GB", 4000000000 },
        { "2TiB", 2199023255552 },
        { "2T", 2199023255552 },
        { "2TB", 2000000000000 },
        { "18446744073709551615", UINT64_MAX },
        { "007K", 7168 },
    };
    for (int i = 0; i < ROWS(sizes); i++) {
        uint64_t bytes = 1;
        ck_assert_msg(size_parse(sizes[i].text, &bytes), "%s", sizes[i].text);
        ck_assert_uint_eq(bytes, sizes[i].bytes);
    }
}
END_TEST

START_TEST(anything_else_is_not_a_size)
{
    static const char *const texts[] = {
        "",
        " ",
        "K",
        "-1",
        "+1",
        " 1",
        "1 K",
        "1 ",
        "1kib",
        "1KIB",
        "1mb",
        "1.5G",
        "1e6",
        "0x10",
        "1KK",
        "1KiBs",
        "99999999999999999999",
        "18446744073709551615K",
        "17179869184GiB",
        "20000000T",
        "inf",
        "MiB1",
    };
    for (int i = 0; i < ROWS(texts); i++) {
        uint64_t bytes;
        ck_assert_msg(!size_parse(texts[i], &bytes), "%s", texts[i]);
    }
}
END_TEST

/* ---- the command line */

enum { ARGS_MAX = 200, SAID_MAX = 2048 };

struct line {
    char text[8192];
    size_t used;
    char *argv[ARGS_MAX];
    int argc;
    char said[SAID_MAX]; /* on stderr */
    struct options o;
};

static enum options_result parse_args(struct line *l)
{
    int pipes[2], saved = dup(2);
    ck_assert_int_eq(pipe(pipes), 0);
    fflush(stderr);
    ck_assert_int_eq(dup2(pipes[1], 2), 2);
    enum options_result r = options_parse(l->argc, l->argv, &l->o);
    fflush(stderr);
    ck_assert_int_eq(dup2(saved, 2), 2);
    close(pipes[1]);
    close(saved);
    ssize_t n = read(pipes[0], l->said, sizeof l->said - 1);
    close(pipes[0]);
    ck_assert_int_ge(n, 0);
    l->said[n] = '\0';
    return r;
}

static void begin_line(struct line *l)
{
    l->argc = 0;
    l->used = 0;
}

static void add_word(struct line *l, const char *word)
{
    size_t len = strlen(word) + 1;
    ck_assert(l->argc + 1 < ARGS_MAX && l->used + len <= sizeof l->text);
    l->argv[l->argc++] = memcpy(l->text + l->used, word, len);
    l->argv[l->argc] = NULL;
    l->used += len;
}

/* "weir" and the words of `args`. */
static enum options_result parse(struct line *l, const char *args)
{
    char words[1024];
    snprintf(words, sizeof words, "weir %s", args);
    begin_line(l);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) add_word(l, word);
    return parse_args(l);
}

START_TEST(what_is_not_said_is_not_set)
{
    static struct line l;
    ck_assert_int_eq(parse(&l, "--origin http://127.0.0.1:3000"), OPTIONS_SERVE);
    ck_assert_str_eq(l.said, "");
    ck_assert_str_eq(l.o.origin, "http://127.0.0.1:3000");
    ck_assert_uint_eq(l.o.listen_count, 0);
    ck_assert(l.o.admin == NULL && l.o.store_path == NULL && l.o.config_path == NULL && l.o.admin_token_file == NULL);
    ck_assert(l.o.store_bytes == 0 && l.o.memory_bytes == 0 && l.o.workers == 0);
}
END_TEST

START_TEST(what_is_said_counts)
{
    static struct line l;
    ck_assert_int_eq(parse(&l, "--origin unix:/run/app --listen [::1]:80 --listen 0.0.0.0:81 --admin 10.0.0.1:9 "
                               "--store /srv/weir --store-size 1GiB --memory 64MiB --workers 3 --admin-token-file /t"),
                     OPTIONS_SERVE);
    ck_assert_str_eq(l.o.origin, "unix:/run/app");
    ck_assert_uint_eq(l.o.listen_count, 2);
    ck_assert_str_eq(l.o.listen[0], "[::1]:80");
    ck_assert_str_eq(l.o.listen[1], "0.0.0.0:81");
    ck_assert_str_eq(l.o.admin, "10.0.0.1:9");
    ck_assert_str_eq(l.o.store_path, "/srv/weir");
    ck_assert_uint_eq(l.o.store_bytes, 1 << 30);
    ck_assert_uint_eq(l.o.memory_bytes, 64 << 20);
    ck_assert_int_eq(l.o.workers, 3);
    ck_assert_str_eq(l.o.admin_token_file, "/t");
    ck_assert_int_eq(parse(&l, "--origin=http://a --workers=256"), OPTIONS_SERVE);
    ck_assert_int_eq(l.o.workers, 256);
}
END_TEST

START_TEST(a_configuration_stands_in_for_the_origin)
{
    static struct line l;
    ck_assert_int_eq(parse(&l, "--config /etc/weir.yaml"), OPTIONS_SERVE);
    ck_assert_str_eq(l.o.config_path, "/etc/weir.yaml");
    ck_assert_ptr_null(l.o.origin);
}
END_TEST

START_TEST(where_the_store_is_when_nobody_says)
{
    static const struct {
        const char *xdg, *home, *path; /* NULL: there is none */
    } cases[] = {
        { "/var/tmp/cache", "/home/shelf", "/var/tmp/cache/weir" },
        { "", "/home/shelf", "/home/shelf/.cache/weir" },
        { "relative", "/home/shelf", "/home/shelf/.cache/weir" }, /* the XDG specification: absolute or ignored */
        { NULL, "relative", NULL },
        { NULL, NULL, NULL },
    };
    if (cases[_i].xdg != NULL)
        setenv("XDG_CACHE_HOME", cases[_i].xdg, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    if (cases[_i].home != NULL)
        setenv("HOME", cases[_i].home, 1);
    else
        unsetenv("HOME");
    char *path = options_default_store();
    ck_assert_int_eq(path != NULL, cases[_i].path != NULL);
    if (path != NULL) ck_assert_str_eq(path, cases[_i].path);
    free(path);
}
END_TEST

START_TEST(what_is_wrong_is_said_in_one_line)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        { "", "--origin" },
        { "--listen 127.0.0.1:80", "--origin" },
        { "--origin", "'--origin'" },
        { "--origin --listen", "'--origin'" },
        { "--origin http://a --shelf", "'--shelf'" },
        { "--origin http://a -x", "'-x'" },
        { "--origin http://a shelf", "'shelf'" },
        { "--origin http://a --memory 1MiB", "4MiB" },
        { "--origin http://a --memory lots", "'lots'" },
        { "--origin http://a --store-size 1", "4MiB" },
        { "--origin http://a --store-size 99999999999T", "'99999999999T'" },
        { "--origin http://a --workers 0", "1 to 256" },
        { "--origin http://a --workers 257", "1 to 256" },
        { "--origin http://a --workers -1", "1 to 256" },
        { "--origin http://a --workers 3x", "1 to 256" },
        { "--origin http://a --workers 99999999999999999999", "1 to 256" },
    };
    static struct line l;
    ck_assert_int_eq(parse(&l, cases[_i].args), OPTIONS_WRONG);
    ck_assert_msg(strstr(l.said, cases[_i].says) != NULL, "%s", l.said);
    ck_assert_int_eq(strncmp(l.said, "weir: ", 6), 0);
    ck_assert_ptr_eq(strchr(l.said, '\n'), l.said + strlen(l.said) - 1);
}
END_TEST

START_TEST(an_empty_store_is_no_directory)
{
    static const char *const words[] = { "weir", "--origin", "http://a", "--store", "" };
    static struct line l;
    begin_line(&l);
    for (int i = 0; i < ROWS(words); i++) add_word(&l, words[i]);
    ck_assert_int_eq(parse_args(&l), OPTIONS_WRONG);
    ck_assert_ptr_nonnull(strstr(l.said, "--store"));
}
END_TEST

START_TEST(there_is_an_end_to_listeners)
{
    static struct line l;
    begin_line(&l);
    add_word(&l, "weir");
    add_word(&l, "--origin=http://a");
    for (int i = 0; i < OPTIONS_LISTEN_MAX; i++) add_word(&l, "--listen=127.0.0.1:80");
    ck_assert_int_eq(parse_args(&l), OPTIONS_SERVE);
    ck_assert_uint_eq(l.o.listen_count, OPTIONS_LISTEN_MAX);
    add_word(&l, "--listen=127.0.0.1:81");
    ck_assert_int_eq(parse_args(&l), OPTIONS_WRONG);
}
END_TEST

START_TEST(help_and_version_are_no_mistake)
{
    static struct line l;
    int out = dup(1), null = open("/dev/null", O_WRONLY);
    fflush(stdout);
    dup2(null, 1);
    enum options_result r = parse(&l, _i == 0 ? "--help" : "--version");
    fflush(stdout);
    dup2(out, 1);
    close(null);
    close(out);
    ck_assert_int_eq(r, OPTIONS_DONE);
    ck_assert_str_eq(l.said, "");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("options");
    tcase_add_test(t, a_size_is_a_number_with_a_unit);
    tcase_add_test(t, anything_else_is_not_a_size);
    tcase_add_test(t, what_is_not_said_is_not_set);
    tcase_add_test(t, what_is_said_counts);
    tcase_add_test(t, a_configuration_stands_in_for_the_origin);
    tcase_add_loop_test(t, where_the_store_is_when_nobody_says, 0, 5);
    tcase_add_loop_test(t, what_is_wrong_is_said_in_one_line, 0, 16);
    tcase_add_test(t, an_empty_store_is_no_directory);
    tcase_add_test(t, there_is_an_end_to_listeners);
    tcase_add_loop_test(t, help_and_version_are_no_mistake, 0, 2);
    return run_case("options", t);
}
