/* Routes that ask for a password: it is checked on another thread while its request waits. */
#include "tests/conversation/harness.h"

#include <stdio.h>
#include <string.h>

#define SLOW    "$2b$13$abcdefghijklmnopqrstuuRkyph4r5X5WrpzGA1iJgWzEhSyZDFOS" /* plum; half a second's work */
#define QUICK   "$5$rounds=1000$salt$ZpriAzvdXvl6bcOIclZAxWrFpseGJfey3344UNXV7c0"
#define RIGHT   "Authorization: Basic YWxpY2U6cGx1bQ==" /* alice:plum */
#define WRONG   "Authorization: Basic YWxpY2U6cGVhcg==" /* alice:pear */
#define PASSING "Cache-Control: no-store"

static struct scene *scene_with_users(const char *hash)
{
    struct scene *s = scene_begin_stopped();
    const char *path = say(s, "%s/weir.yaml", scene_weir(s)->dir);
    FILE *f = fopen(path, "we");
    holds(s, f != NULL);
    fprintf(f,
            "routes:\n"
            "- {match: /staff/, request_limit: 100KiB, protect: {users: {alice: \"%s\"}}}\n"
            "- {match: /said, answer: {status: 200, content: said}, protect: {users: {alice: \"%s\"}}}\n",
            hash, hash);
    holds(s, fclose(f) == 0);
    weir_starts(s, say(s, "--workers 1 --config %s", path));
    return s;
}

START_TEST(a_check_holds_nobody_else_up)
{
    struct scene *s = scene_with_users(SLOW);
    struct client *staff = client_arrives(s);
    asks(s, staff, "GET /staff/list", RIGHT);
    for (int i = 0; i < 5; i++) {
        origin_answers(s, "200", PASSING, "jam");
        client_asks(s, "GET /jam", "");
        client_hears(s, "200", "", "jam");
    }
    hears_nothing(s, staff, 0);
    origin_answers(s, "200", PASSING, "names");
    hears(s, staff, "200", "", "names");
    scene_end(s);
}
END_TEST

START_TEST(many_clients_with_one_password_are_let_in_together)
{
    enum { CLIENTS = 30 }; /* more than are tried in a second */
    struct scene *s = scene_with_users(SLOW);
    struct client *staff[CLIENTS];
    origin_answers_as(s, .status = "200", .fields = PASSING, .body = "names", .times = CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        staff[i] = client_arrives(s);
        asks(s, staff[i], "GET /staff/list", RIGHT);
    }
    for (int i = 0; i < CLIENTS; i++) hears(s, staff[i], "200", "", "names");
    scene_end(s);
}
END_TEST

START_TEST(a_client_may_leave_during_the_check)
{
    struct scene *s = scene_with_users(SLOW);
    struct client *staff = client_arrives(s);
    asks(s, staff, "GET /staff/list", RIGHT);
    client_leaves(s, staff);
    origin_answers(s, "200", PASSING, "names");
    client_asks(s, "GET /staff/list", RIGHT);
    client_hears(s, "200", "", "names");
    scene_end(s);
}
END_TEST

START_TEST(weir_may_be_told_to_end_during_the_check)
{
    struct scene *s = scene_with_users(SLOW);
    origin_answers(s, "200", PASSING, "names");
    client_asks(s, "GET /staff/list", RIGHT);
    struct client *later = client_arrives(s);
    asks(s, later, "GET /said", "");
    hears(s, later, "401", "", NULL); /* so the first request has been read */
    weir_is_told_to_stop(s);
    client_hears(s, "200", "", "names");
    weir_ends_with(s, 0);
    scene_end(s);
}
END_TEST

/* What comes with the request while it waits. */
static const struct {
    const char *request, *credentials;
    size_t len; /* of the content */
    bool chunked;
    const char *status;
    bool forwarded;
} contents[] = {
    { "POST /staff/a", RIGHT, 10, false, "200", true },
    { "POST /staff/a", RIGHT, 90 * 1024, false, "200", true }, /* more than is buffered */
    { "POST /staff/a", RIGHT, 90 * 1024, true, "200", true },
    { "POST /staff/a", RIGHT, 110 * 1024, false, "413", false },
    { "POST /staff/a", WRONG, 10, false, "401", false },
    { "POST /staff/a", WRONG, 90 * 1024, false, "401", false },
    { "POST /said", RIGHT, 90 * 1024, false, "200", false },
    { "POST /said", RIGHT, 90 * 1024, true, "200", false },
    { "QUERY /staff/a", RIGHT, 10, false, "200", true },
    { "QUERY /staff/a", RIGHT, 10, true, "200", true },
    { "QUERY /staff/a", RIGHT, 64 * 1024, true, "200", true },
    { "QUERY /staff/a", RIGHT, 90 * 1024, true, "200", true },
    { "QUERY /staff/a", WRONG, 90 * 1024, true, "401", false },
};

START_TEST(content_waits_for_the_check)
{
    struct scene *s = scene_with_users(_i % 2 == 0 ? QUICK : SLOW);
    size_t len = contents[_i].len;
    bool chunked = contents[_i].chunked;
    char framing[64], *content = malloc(len + 1);
    memset(content, 'x', len);
    content[len] = '\0';
    snprintf(framing, sizeof framing, chunked ? "Transfer-Encoding: chunked" : "Content-Length: %zu", len);
    const char *request = say(s, "%s HTTP/1.1\r\nHost: " HOST "\r\nContent-Type: text/plain\r\n%s\r\n%s\r\n\r\n",
                              contents[_i].request, framing, contents[_i].credentials);
    const char *text =
        chunked ? say(s, "%s%zx\r\n%s\r\n0\r\n\r\n", request, len, content) : say(s, "%s%s", request, content);
    if (contents[_i].forwarded) origin_answers(s, "200", PASSING, "taken");
    char method[16];
    snprintf(method, sizeof method, "%.*s", (int)strcspn(text, " "), text);
    says(s, scene_client(s), method, text, strlen(text));
    client_hears(s, contents[_i].status, "", NULL);
    if (contents[_i].forwarded) origin_heard_content(s, say(s, "%s", content));
    free(content);
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TEST(a_check_holds_nobody_else_up),           TEST(many_clients_with_one_password_are_let_in_together),
        TEST(a_client_may_leave_during_the_check),    TEST(weir_may_be_told_to_end_during_the_check),
        TABLE(content_waits_for_the_check, contents),
    };
    return converse("protection", tests, COUNT(tests));
}
