/* The access log: lines, and what becomes of them when the file moves, fails or is slow. */
#include "proxy/access_log.h"

#include "tests/headers/table.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define V(text)                                                                                                        \
    {                                                                                                                  \
        (text), sizeof(text) - 1                                                                                       \
    }

static const struct outcome hit = { .hit = true, .has_ttl = true, .ttl_s = 5 };
static const struct outcome quoted = { .fwd = FWD_URI_MISS, .detail = "origin down" };

static const struct {
    struct access_entry entry;
    const char *line;
} cases[] = {
    { { .client = V("192.0.2.1"),
        .now_s = 1795469460,
        .method = V("GET"),
        .target = V("/a?b=c"),
        .http_minor = 1,
        .status = 200,
        .bytes = 1024,
        .referer = V("http://shop.example/"),
        .agent = V("curl/7.88"),
        .host = V("shop.example"),
        .route = V("/a/"),
        .outcome = &hit,
        .took_us = 12 },
      "192.0.2.1 - - [23/Nov/2026:21:31:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 1024 \"http://shop.example/\" \"curl/7.88\" "
      "shop.example \"weir; hit; ttl=5\" /a/ 12\n" },
    { { .client = V("::1"),
        .method = V("G\"T"),
        .target = V("/\\\n\x80"),
        .status = 502,
        .agent = V("a\tb"),
        .host = V("h"),
        .route = V("a route"),
        .outcome = &quoted,
        .took_us = -1 },
      "::1 - - [01/Jan/1970:00:00:00 +0000] \"G\\x22T /\\x5c\\x0a\\x80 HTTP/1.0\" 502 0 \"-\" \"a\\x09b\" h "
      "\"weir; fwd=uri-miss; detail=\\x22origin down\\x22\" a+route 0\n" },
    { { .client = V("192.0.2.1"), .status = 431 },
      "192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 431 0 \"-\" \"-\" - \"-\" - 0\n" },
};

START_TEST(a_line_says_what_happened)
{
    char to[ACCESS_LINE_MAX];
    size_t len = access_line_format(&cases[_i].entry, to);
    ck_assert_uint_eq(len, strlen(cases[_i].line));
    ck_assert_int_eq(memcmp(to, cases[_i].line, len), 0);
}
END_TEST

START_TEST(the_longest_line_fits)
{
    size_t long_len = 64 * 1024;
    char *text = malloc(long_len), *to = malloc(ACCESS_LINE_MAX);
    memset(text, '"', long_len); /* each is written as four */
    struct view v = { text, long_len };
    struct access_entry e = { .client = v,
                              .now_s = INT64_MAX,
                              .method = v,
                              .target = v,
                              .status = 999,
                              .bytes = UINT64_MAX,
                              .referer = v,
                              .agent = v,
                              .host = v,
                              .route = v,
                              .outcome = &hit,
                              .took_us = INT64_MAX };
    size_t len = access_line_format(&e, to);
    ck_assert_uint_le(len, ACCESS_LINE_MAX);
    ck_assert_int_eq(to[len - 1], '\n');
    ck_assert_ptr_eq(memchr(to, '\n', len), to + len - 1);
    free(text);
    free(to);
}
END_TEST

/* ---- files */

static char said[1024];

static void say(void *arg, const char *line)
{
    (void)arg;
    snprintf(said, sizeof said, "%s", line);
}

static size_t lines_in(const char *path)
{
    FILE *f = fopen(path, "re");
    size_t n = 0;
    ck_assert_ptr_nonnull(f);
    for (int c; (c = getc(f)) != EOF;) n += c == '\n';
    fclose(f);
    return n;
}

static struct access_log *open_log(const char *path)
{
    char why[256] = "";
    struct access_log *l = access_log_open(path, say, NULL, why, sizeof why);
    ck_assert_msg(l != NULL, "%s", why);
    return l;
}

static void add(struct access_lines *lines, size_t n)
{
    struct access_entry e = { .client = V("192.0.2.1"), .method = V("GET"), .target = V("/"), .status = 200 };
    for (size_t i = 0; i < n; i++) access_lines_add(lines, &e);
}

START_TEST(no_line_is_lost_at_the_end)
{
    char dir[] = "/tmp/weir-access-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    struct access_log *l = open_log(path);
    struct loop *loop = loop_new();
    struct access_lines *a = access_lines_new(l, loop), *b = access_lines_new(l, loop);
    add(a, 5000); /* several buffers */
    add(b, 3);
    access_lines_free(a);
    access_lines_free(b);
    ck_assert_uint_eq(access_log_lost(l), 0);
    access_log_close(l);
    loop_free(loop);
    ck_assert_uint_eq(lines_in(path), 5003);
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(a_file_that_moved_is_made_anew)
{
    char dir[] = "/tmp/weir-access-XXXXXX", path[64], moved[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    snprintf(moved, sizeof moved, "%s/log.1", dir);
    struct access_log *l = open_log(path);
    struct loop *loop = loop_new();
    struct access_lines *a = access_lines_new(l, loop);
    ck_assert_int_eq(rename(path, moved), 0);
    access_log_reopen(l);
    add(a, 7);
    access_lines_free(a);
    access_log_close(l);
    loop_free(loop);
    ck_assert_uint_eq(lines_in(path), 7);
    ck_assert_uint_eq(lines_in(moved), 0);
    unlink(path);
    unlink(moved);
    rmdir(dir);
}
END_TEST

START_TEST(what_cannot_be_written_is_counted_and_said_once)
{
    said[0] = '\0';
    struct access_log *l = open_log("/dev/full");
    struct loop *loop = loop_new();
    struct access_lines *a = access_lines_new(l, loop);
    add(a, 2000);
    access_lines_free(a);
    for (int i = 0; i < 5000 && access_log_lost(l) < 2000; i++) usleep(1000);
    ck_assert_uint_eq(access_log_lost(l), 2000);
    ck_assert_str_eq(said, "access log /dev/full: No space left on device; requests are served, their lines are lost");
    access_log_close(l);
    loop_free(loop);
}
END_TEST

START_TEST(a_path_that_cannot_be_opened_is_refused)
{
    char why[256] = "";
    ck_assert_ptr_null(access_log_open("/nowhere/log", say, NULL, why, sizeof why));
    ck_assert_str_eq(why, "access log /nowhere/log: No such file or directory");
}
END_TEST

START_TEST(a_pipe_without_a_reader_is_refused)
{
    char dir[] = "/tmp/weir-access-XXXXXX", path[64], why[256] = "";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/pipe", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(access_log_open(path, say, NULL, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "/pipe: No such device or address"));
    unlink(path);
    rmdir(dir);
}
END_TEST

/* A pipe that nobody reads is a disk that stands still: lines are dropped, and nobody waits. */
START_TEST(a_disk_that_stands_still_stops_nobody)
{
    char dir[] = "/tmp/weir-access-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/pipe", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    FILE *reader = fopen(path, "r+e");
    ck_assert_ptr_nonnull(reader);
    struct access_log *l = open_log(path);
    struct loop *loop = loop_new();
    struct access_lines *a = access_lines_new(l, loop);
    size_t added = 0;
    for (; access_log_lost(l) == 0 && added < 1000 * 1000; added += 100) add(a, 100);
    ck_assert_uint_gt(access_log_lost(l), 0);
    ck_assert_uint_ge(added, (size_t)ACCESS_BUFFERS_MAX * 100); /* all buffers were filled before */
    char some[4096];
    size_t unread = added - access_log_lost(l), seen = 0;
    access_lines_free(a);
    while (seen < unread) {
        ssize_t n = read(fileno(reader), some, sizeof some);
        ck_assert_int_gt(n, 0);
        for (ssize_t i = 0; i < n; i++) seen += some[i] == '\n';
    }
    ck_assert_uint_eq(seen, unread);
    access_log_close(l);
    loop_free(loop);
    fclose(reader);
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(a_disk_that_stands_still_does_not_stop_the_end)
{
    char dir[] = "/tmp/weir-access-XXXXXX", path[64], expected[256];
    said[0] = '\0';
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/pipe", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    FILE *reader = fopen(path, "r+e"); /* which reads nothing */
    ck_assert_ptr_nonnull(reader);
    struct access_log *l = open_log(path);
    struct loop *loop = loop_new();
    struct access_lines *a = access_lines_new(l, loop);
    add(a, 5000);
    access_lines_free(a);
    access_log_close(l);
    snprintf(expected, sizeof expected, "access log %s: stands still; the last lines are lost", path);
    ck_assert_str_eq(said, expected);
    loop_free(loop);
    unlink(path);
    rmdir(dir);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("access_log");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_line_says_what_happened, 0, ROWS(cases));
    tcase_add_test(t, the_longest_line_fits);
    tcase_add_test(t, no_line_is_lost_at_the_end);
    tcase_add_test(t, a_file_that_moved_is_made_anew);
    tcase_add_test(t, what_cannot_be_written_is_counted_and_said_once);
    tcase_add_test(t, a_path_that_cannot_be_opened_is_refused);
    tcase_add_test(t, a_pipe_without_a_reader_is_refused);
    tcase_add_test(t, a_disk_that_stands_still_stops_nobody);
    tcase_add_test(t, a_disk_that_stands_still_does_not_stop_the_end);
    return run_case("proxy/access_log", t);
}
