/* Ends and beginnings: what a restart keeps, how weir stops, and what keeps it from starting. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(what_was_stored_is_a_hit_after_a_restart)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200",
                   "Cache-Control: max-age=600\nETag: \"plum\"\nContent-Type: text/plain; charset=utf-8\nX-Twice: a\n"
                   "X-Twice: b\nX-Text: caf\xe9",
                   "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    weir_stops(s);
    origin_goes(s);
    weir_starts(s, NULL);
    seconds_pass(s, 100);
    for (int times = 0; times < 2; times++) { /* from the store, then from memory */
        client_asks(s, "GET /shelf", "");
        client_hears(s, "200",
                     "Cache-Status: weir; hit; ttl=495..500\nAge: 100..105\nETag: \"plum\"\nX-Twice: a\nX-Twice: b\n"
                     "Content-Type: text/plain; charset=utf-8\nX-Text: caf\xe9",
                     "jam");
    }
    client_asks(s, "GET /shelf", "If-None-Match: \"plum\"");
    client_hears(s, "304", "Cache-Status: weir; hit", "");
    scene_end(s);
}
END_TEST

static const uint64_t sizes[] = { 0, 1, 1900, 16367, 16368, 16369, 65536, 65537, 1000001, 15000000 };

START_TEST(content_from_the_store_is_the_same_to_the_byte)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600", .pattern_len = sizes[_i], .seed = 11);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
    hears_pattern(s, scene_client(s), 11, 0, sizes[_i]);
    weir_stops(s);
    origin_goes(s);
    weir_starts(s, NULL);
    if (sizes[_i] > 100) {
        client_asks(s, "GET /large", say(s, "Range: bytes=%llu-", (unsigned long long)sizes[_i] - 100));
        hears_head(s, scene_client(s), "206", "Cache-Status: weir; hit");
        hears_pattern(s, scene_client(s), 11, sizes[_i] - 100, 100);
    }
    for (int times = 0; times < 2; times++) {
        client_asks(s, "GET /large", "");
        hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
        hears_pattern(s, scene_client(s), 11, 0, sizes[_i]);
    }
    scene_end(s);
}
END_TEST

/* Until this is a hit in another process it is not known to be in the store; a HEAD after a purge of something else
 * tells as little. So: ask once, kill at some later moment, and take a hit or a miss, but nothing else. */
START_TEST(a_kill_loses_nothing_that_was_written)
{
    enum { MANY = 50 };
    struct scene *s = scene_begin(NULL);
    for (int i = 0; i < MANY; i++)
        origin_answers_as(s, .target = say(s, "/%d", i), .status = "200", .fields = "Cache-Control: max-age=600",
                          .pattern_len = 20000, .seed = (uint64_t)i, .times = ALWAYS);
    for (int i = 0; i < MANY; i++) {
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, 20000);
    }
    usleep(500000); /* more than the few milliseconds in which the store writes what it was given */
    weir_is_killed(s);
    origin_goes(s);
    weir_starts(s, NULL);
    for (int i = 0; i < MANY; i++) {
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, 20000);
    }
    scene_end(s);
}
END_TEST

START_TEST(a_kill_in_the_midst_leaves_nothing_broken)
{
    enum { MANY = 40, LEN = 300000 };
    struct scene *s = scene_begin(NULL);
    for (int i = 0; i < MANY; i++)
        origin_answers_as(s, .target = say(s, "/%d", i), .status = "200", .fields = "Cache-Control: max-age=600",
                          .pattern_len = LEN, .seed = (uint64_t)i, .times = ALWAYS);
    for (int i = 0; i < MANY; i++) {
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", "");
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, LEN);
    }
    weir_is_killed(s); /* while the last ones are still being written */
    weir_starts(s, NULL);
    for (int i = 0; i < MANY; i++) {
        client_asks(s, say(s, "GET /%d", i), "");
        hears_head(s, scene_client(s), "200", ""); /* hit or not */
        hears_pattern(s, scene_client(s), (uint64_t)i, 0, LEN);
    }
    scene_end(s);
}
END_TEST

START_TEST(a_restart_while_stale_validates)
{
    struct scene *s = scene_begin(NULL);
    origin_answers(s, "200", "Cache-Control: max-age=10\nETag: \"1\"", "jam");
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "", "jam");
    weir_stops(s);
    seconds_pass(s, 100);
    weir_starts(s, NULL);
    origin_answers(s, "304", "Cache-Control: max-age=1000\nETag: \"1\"", NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; fwd=stale; fwd-status=304", "jam");
    origin_heard(s, "GET /shelf", "If-None-Match: \"1\"");
    weir_stops(s); /* what was freshened is kept as well */
    weir_starts(s, NULL);
    client_asks(s, "GET /shelf", "");
    client_hears(s, "200", "Cache-Status: weir; hit; ttl=900..1000", "jam");
    scene_end(s);
}
END_TEST

/* ---- stopping ---- */

START_TEST(sigterm_finishes_what_is_in_flight)
{
    struct scene *s = scene_begin(NULL);
    struct gate answer = { 0 }, rest = { 0 };
    struct client *waiting = client_arrives(s), *reading = client_arrives(s), *idle = client_arrives(s);
    origin_answers_as(s, .target = "/waiting", .status = "200", .body = "waited", .hold = &answer);
    origin_answers_as(s, .target = "/reading", .status = "200", .body = "first, last", .hold_content = &rest,
                      .hold_after = 6);
    origin_answers_at(s, "/idle", "200", "", "x");
    asks(s, idle, "GET /idle", "");
    hears(s, idle, "200", "", "x");
    asks(s, waiting, "GET /waiting", "");
    origin_waits_at(s, &answer, 1);
    asks(s, reading, "GET /reading", "");
    hears_head(s, reading, "200", "");
    hears_content(s, reading, "first,");
    weir_is_told_to_stop(s);
    is_closed(s, idle);
    for (struct client *c; (c = client_open(scene_weir(s)->port)) != NULL;) { /* it stops listening, soon */
        client_close(c);
        usleep(5000);
    }
    gate_opens(s, &answer);
    gate_opens(s, &rest);
    hears(s, waiting, "200", "", "waited");
    hears_content(s, reading, " last");
    hears_end(s, reading);
    weir_ends_with(s, 0);
    scene_end(s);
}
END_TEST

START_TEST(sigterm_writes_what_is_not_written_yet)
{
    struct scene *s = scene_begin(NULL);
    origin_answers_as(s, .status = "200", .fields = "Cache-Control: max-age=600", .pattern_len = 10000000, .seed = 1);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; fwd=uri-miss; stored");
    hears_pattern(s, scene_client(s), 1, 0, 10000000);
    weir_stops(s); /* at once */
    weir_starts(s, NULL);
    client_asks(s, "GET /large", "");
    hears_head(s, scene_client(s), "200", "Cache-Status: weir; hit");
    hears_pattern(s, scene_client(s), 1, 0, 10000000);
    scene_end(s);
}
END_TEST

START_TEST(sigterm_without_clients_is_quick)
{
    struct scene *s = scene_begin(NULL);
    struct client *half = client_arrives(s); /* connected, half a request said: not in flight */
    says(s, half, "GET", "GET / HTTP", 10);
    weir_stops(s);
    scene_end(s);
}
END_TEST

/* ---- starting ---- */

#define COMMON "--origin http://127.0.0.1:9 --store-size 16MiB --memory 8MiB"

START_TEST(a_store_in_use_is_refused)
{
    struct scene *s = scene_begin(NULL);
    const char *words = say(s, COMMON " --listen 127.0.0.1:%d --admin 127.0.0.1:%d --store %s/store",
                            process_free_port(), process_free_port(), scene_weir(s)->dir);
    weir_run_ends(s, words, 1, "in use");
    client_asks(s, "GET /", "Cache-Control: only-if-cached"); /* the first one goes on */
    client_hears(s, "504", "", NULL);
    scene_end(s);
}
END_TEST

START_TEST(a_port_in_use_is_refused)
{
    struct scene *s = scene_begin(NULL);
    const struct process *w = scene_weir(s);
    const char *words = say(s, COMMON " --listen 127.0.0.1:%d --admin 127.0.0.1:%d --store %s/other", w->port,
                            process_free_port(), w->dir);
    weir_run_ends(s, words, 1, say(s, "%d", w->port));
    words = say(s, COMMON " --listen 127.0.0.1:%d --admin 127.0.0.1:%d --store %s/other", process_free_port(),
                w->admin_port, w->dir);
    weir_run_ends(s, words, 1, say(s, "%d", w->admin_port));
    scene_end(s);
}
END_TEST

START_TEST(a_store_that_cannot_be_is_refused)
{
    struct scene *s = scene_begin_stopped();
    const char *file = say(s, "%s/a-file", scene_weir(s)->dir);
    FILE *f = fopen(file, "w");
    holds(s, f != NULL && fclose(f) == 0);
    const char *words = say(s, COMMON " --listen 127.0.0.1:%d --admin 127.0.0.1:%d --store %s/store",
                            process_free_port(), process_free_port(), file);
    weir_run_ends(s, words, 1, file);
    scene_end(s);
}
END_TEST

/* Wrong usage: one line that names what is wrong, and status 2. */
static const struct usage_row {
    const char *words, *named;
} usages[] = {
    { "", "--origin" },
    { "--workers 1 --origin", "--origin" },
    { "--origin nonsense", "nonsense" },
    { "--origin ftp://127.0.0.1/", "ftp" },
    { "--origin http://", "http://" },
    { "--origin http://127.0.0.1:99999", "99999" },
    { "--origin http://127.0.0.1:0", "port 0" },
    { "--origin http://127.0.0.1:9 --listen 127.0.0.1:0", "127.0.0.1:0" },
    { "--origin http://127.0.0.1:9 --admin [::1]:0", "[::1]:0" },
    { "--frob --origin http://127.0.0.1:9", "--frob" },
    { "--origin http://127.0.0.1:9 surprise", "surprise" },
    { "--origin http://127.0.0.1:9 --listen nowhere", "nowhere" },
    { "--origin http://127.0.0.1:9 --listen 127.0.0.1:port", "port" },
    { "--origin http://127.0.0.1:9 --listen 127.0.0.1:70000", "70000" },
    { "--origin http://127.0.0.1:9 --listen ::1:8080", "::1:8080" },
    { "--origin http://127.0.0.1:9 --admin 127.0.0.1", "127.0.0.1" },
    { "--origin http://127.0.0.1:9 --admin 0.0.0.0:0", "token" },
    { "--origin http://127.0.0.1:9 --store-size much", "much" },
    { "--origin http://127.0.0.1:9 --store-size 0", "--store-size" },
    { "--origin http://127.0.0.1:9 --memory -1", "--memory" },
    { "--origin http://127.0.0.1:9 --memory 10QiB", "10QiB" },
    { "--origin http://127.0.0.1:9 --workers 0", "--workers" },
    { "--origin http://127.0.0.1:9 --workers two", "two" },
    { "--origin http://127.0.0.1:9 --admin-token-file /nonexistent/token", "/nonexistent/token" },
    { "--origin http://127.0.0.1:9 --admin 127.0.0.1.example.com:8081", "token" },
};

/* Blanks around a token would be lost on the way, and let nobody in. */
START_TEST(a_token_that_nobody_can_send_is_refused)
{
    static const char *const tokens[] = { "", " \n", "a \n", "a\tb\1\n" };
    struct scene *s = scene_begin_stopped();
    const char *file = say(s, "%s/token", scene_weir(s)->dir);
    FILE *f = fopen(file, "w");
    holds(s, f != NULL && fputs(tokens[_i], f) >= 0 && fclose(f) == 0);
    weir_run_ends(s, say(s, COMMON " --admin-token-file %s", file), 2, file);
    scene_end(s);
}
END_TEST

/* The same of the commands that ask a running weir. */
static const struct usage_row questions[] = {
    { "stats --admin nowhere", "nowhere" },
    { "purge --all --admin nowhere", "nowhere" },
    { "explain http://a/ --admin 127.0.0.1:99999", "99999" },
};

START_TEST(wrong_usage_is_one_line_and_status_2)
{
    struct scene *s = scene_begin_stopped();
    weir_run_ends(s, say(s, "--store %s/store %s", scene_weir(s)->dir, usages[_i].words), 2, usages[_i].named);
    scene_end(s);
}
END_TEST

START_TEST(a_wrong_question_is_one_line_and_status_2)
{
    struct scene *s = scene_begin_stopped();
    weir_run_ends(s, questions[_i].words, 2, questions[_i].named);
    scene_end(s);
}
END_TEST

/* Whatever is written to stderr must not end up in a socket or in the store. */
START_TEST(closed_standard_files_do_no_harm)
{
    struct scene *s = scene_begin_stopped();
    const struct process *w = scene_weir(s);
    const char *weir = getenv("WEIR") != NULL ? getenv("WEIR") : "build/weir";
    int port = process_free_port();
    const char *command =
        say(s,
            "bash -c 'exec 9>/dev/null; %s --origin http://127.0.0.1:9 --listen 127.0.0.1:%d --admin 127.0.0.1:%d "
            "--store %s/store --store-size 64MiB 0<&- 1>&- 2>&- 9>&- & "
            "until (: </dev/tcp/127.0.0.1/%d) 2>&9; do sleep 0.1; done; kill -HUP $!; kill -TERM $!; wait $!'",
            weir, port, process_free_port(), w->dir, port);
    holds(s, system(command) == 0);
    holds(s, system(say(s, "%s --help >/dev/full 2>/dev/null", weir)) != 0);
    scene_end(s);
}
END_TEST

START_TEST(help_and_version_are_no_errors)
{
    struct scene *s = scene_begin_stopped();
    weir_run_ends(s, "--help", 0, "--origin");
    weir_run_ends(s, "serve --help", 0, "--store-size");
    weir_run_ends(s, "--version", 0, "weir ");
    scene_end(s);
}
END_TEST

START_TEST(serve_may_be_named)
{
    struct scene *s = scene_begin_stopped();
    struct process *w = scene_weir(s);
    const char *words =
        say(s, "serve " COMMON " --listen 127.0.0.1:%d --admin nowhere --store %s/store", w->port, w->dir);
    weir_run_ends(s, words, 2, "nowhere"); /* it knows the command, and its options */
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(what_was_stored_is_a_hit_after_a_restart),
        TABLE(content_from_the_store_is_the_same_to_the_byte, sizes),
        TEST(a_kill_loses_nothing_that_was_written),
        TEST(a_kill_in_the_midst_leaves_nothing_broken),
        TEST(a_restart_while_stale_validates),
        TEST(sigterm_finishes_what_is_in_flight),
        TEST(sigterm_writes_what_is_not_written_yet),
        TEST(sigterm_without_clients_is_quick),
        TEST(a_store_in_use_is_refused),
        TEST(a_port_in_use_is_refused),
        TEST(a_store_that_cannot_be_is_refused),
        TABLE(wrong_usage_is_one_line_and_status_2, usages),
        { a_token_that_nobody_can_send_is_refused, 4 },
        TABLE(a_wrong_question_is_one_line_and_status_2, questions),
        TEST(closed_standard_files_do_no_harm),
        TEST(help_and_version_are_no_errors),
        TEST(serve_may_be_named),
    };
    return converse("restart", tests, COUNT(tests));
}
