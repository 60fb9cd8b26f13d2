/* Commands beside a running weir, as somebody at a prompt types them. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

static const char *list_of(struct scene *s, const char *text)
{
    const char *path = say(s, "%s/list", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static void command_says(struct scene *s, const char *words, int status, const char *out, const char *err)
{
    struct command_result r;
    process_run(scene_weir(s), words, &r);
    if (r.status != status || strstr(r.out, out) == NULL || strstr(r.err, err) == NULL)
        scene_fail(AT(s), "weir %s ended with %d and said: %s%s", words, r.status, r.out, r.err);
}

/* ---- warm */

START_TEST(what_was_warmed_is_a_hit)
{
    struct scene *s = scene_begin(NULL);
    const char *warm = say(s, "warm --to 127.0.0.1:%d", scene_weir(s)->port);
    origin_answers_at(s, "/a?x=1", "200", "Cache-Control: max-age=600\nVary: Accept-Language", "plum");
    origin_answers_at(s, "/b", "200", "Cache-Control: no-store", "secret");
    origin_answers_at(s, "/c", "200", "Cache-Control: max-age=600", "jam");
    const char *list = list_of(s, say(s, "# three\nhttp://%s/a?x=1#top\n\nhttp://%s/b\n", HOST, HOST));
    command_says(s, say(s, "%s -H Accept-Language:de %s http://%s/c", warm, list, HOST), 0,
                 "3 URLs: 2 stored, 0 hit, 1 not stored, 0 failed", "");
    client_asks(s, "GET /a?x=1", "Accept-Language: de");
    client_hears(s, "200", "Cache-Status: weir; hit", "plum");
    client_asks(s, "GET /c", "");
    client_hears(s, "200", "Cache-Status: weir; hit", "jam");
    command_says(s, say(s, "%s --json http://%s/c", warm, HOST), 0, "\"hit\": 1, \"stored\": 0, \"passed\": 0", "");
    scene_end(s);
}
END_TEST

START_TEST(what_could_not_be_warmed_is_told)
{
    struct scene *s = scene_begin(NULL);
    const char *warm = say(s, "warm --to 127.0.0.1:%d -c 1 -r 1000", scene_weir(s)->port);
    origin_answers_at(s, "/gone", "404", "Cache-Control: max-age=600", "gone");
    command_says(s, say(s, "%s http://%s/gone ftp://%s/", warm, HOST, HOST), 1,
                 "2 URLs: 0 stored, 0 hit, 0 not stored, 2 failed",
                 say(s, "weir warm: http://%s/gone: status 404\n", HOST));
    command_says(s, say(s, "%s ftp://%s/", warm, HOST), 1, "", "no http or https URL");
    weir_stops(s);
    command_says(s, say(s, "%s http://%s/", warm, HOST), 1, "1 URL: 0 stored", "127.0.0.1");
    scene_end(s);
}
END_TEST

static const struct {
    const char *words, *err;
} wrong[] = {
    { "warm", "nothing to ask for" },
    { "warm /nowhere/list", "/nowhere/list: No such file" },
    { "warm /dev/null", "no URL in the list" },
    { "warm --to nowhere http://a/", "--to 'nowhere': it takes ADDR:PORT" },
    { "warm -H Name http://a/", "-H 'Name': it takes 'Name: value'" },
    { "warm -H Host:b http://a/", "cannot be set" },
    { "warm -c 0 http://a/", "--connections '0': it takes a number from 1 to 256" },
    { "warm --rate much http://a/", "--rate 'much'" },
    { "warm --nonsense", "unknown option --nonsense" },
    { "top -n 0", "-n '0'" },
    { "top -n", "-n needs a value" },
    { "top here", "unexpected argument 'here'" },
};

START_TEST(wrong_words_are_one_line_and_status_2)
{
    struct scene *s = scene_begin_stopped();
    weir_run_ends(s, wrong[_i].words, 2, wrong[_i].err);
    scene_end(s);
}
END_TEST

/* ---- top */

START_TEST(top_is_a_line_for_each_second)
{
    struct scene *s = scene_begin(NULL);
    struct command_result r;
    size_t lines = 0;
    process_run(scene_weir(s), say(s, "top -n 2 --admin 127.0.0.1:%d", scene_weir(s)->admin_port), &r);
    for (const char *at = r.out; (at = strchr(at, '\n')) != NULL; at++) lines++;
    holds(s, r.status == 0 && lines == 2);
    holds(s, strstr(r.out, " requests/s 0, hits -, fetches/s 0, failures/s 0, sent 0 B/s, memory 0 B, store ") != NULL);
    holds(s, strchr(r.out, '\033') == NULL); /* nothing that only a terminal understands */
    command_says(s, say(s, "top -n 1 --json --admin 127.0.0.1:%d", scene_weir(s)->admin_port), 0, "\"hits_memory\": 0",
                 "");
    weir_stops(s);
    command_says(s, say(s, "top -n 1 --admin 127.0.0.1:%d", scene_weir(s)->admin_port), 1, "", "no weir answers on");
    scene_end(s);
}
END_TEST

START_TEST(help_is_no_error)
{
    struct scene *s = scene_begin_stopped();
    command_says(s, "warm --help", 0, "Usage: weir warm", "");
    command_says(s, "top --help", 0, "Usage: weir top", "");
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(what_was_warmed_is_a_hit),
        TEST(what_could_not_be_warmed_is_told),
        TABLE(wrong_words_are_one_line_and_status_2, wrong),
        TEST(top_is_a_line_for_each_second),
        TEST(help_is_no_error),
    };
    return converse("commands", tests, COUNT(tests));
}
