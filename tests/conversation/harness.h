/* harness: conversations between a client, weir and an origin server over real sockets, told in the words of a
 * test. A scene has one origin, which answers what the test says, one weir in front of it, and one client; a test may
 * call more clients. Whatever goes wrong ends the test with its line, what was heard, and what weir wrote.
 * Time passes when the test says so: weir's clock is moved, nobody sleeps.
 * Ownership: scene_end frees all. Strings given to the origin must live until then; say() makes such strings.
 * Threads: the test's own.                                                                                        */
#ifndef WEIR_TESTS_HARNESS_H
#define WEIR_TESTS_HARNESS_H

#include "tests/conversation/client.h"
#include "tests/conversation/origin.h"
#include "tests/conversation/process.h"

#include <check.h>
#include <stdlib.h>

#define HOST "shop.example" /* of every request that brings none of its own */

struct scene;

/* ---- the scene ---- */

/** weir runs in front of the origin; options are further words of its command line, or NULL. */
struct scene *scene_begin(const char *options);
/** The same, but weir does not run yet. */
struct scene *scene_begin_stopped(void);
/** The client talks to the origin itself: for tests of the harness. */
struct scene *scene_begin_without_weir(void);
/** weir ends well, said nothing of sanitizers, and the origin was asked for exactly what was scripted. */
void scene_end(struct scene *s);

/* The line of the test travels along, so that a failure names it. */
struct scene *scene_at(struct scene *s, const char *file, int line);
#define AT(s) scene_at((s), __FILE__, __LINE__)
void scene_fail(struct scene *s, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/** A claim of the test's own. */
#define holds(s, claim) ((claim) ? (void)0 : scene_fail(AT(s), "it does not hold that %s", #claim))

struct origin *scene_origin(struct scene *s);
struct process *scene_weir(struct scene *s);
struct client *scene_client(struct scene *s);

/** A string that lives until the scene ends. */
const char *say(struct scene *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Now, by weir's clock, and so many seconds later, as an HTTP-date. */
const char *date(struct scene *s, int64_t seconds_from_now);
/** The text with each {N} in it replaced by date(s, N): "Expires: {60}". */
const char *dated(struct scene *s, const char *text);

/* ---- weir ---- */

void weir_starts(struct scene *s, const char *options);
void weir_stops(struct scene *s); /* SIGTERM; it must exit with 0 */
void weir_is_killed(struct scene *s);
void weir_is_told_to_stop(struct scene *s); /* SIGTERM, and no waiting */
void weir_ends_with(struct scene *s, int status);
void seconds_pass(struct scene *s, int64_t n);
/** Run weir with other words; it must end with that status, and say text in the one line on stderr. */
void weir_run_ends(struct scene *s, const char *words, int status, const char *text);

/* ---- the origin ---- */

void origin_answers(struct scene *s, const char *status, const char *fields, const char *body);
void origin_answers_at(struct scene *s, const char *target, const char *status, const char *fields, const char *body);
void origin_does(struct scene *s, const struct answer *a);
#define origin_answers_as(s, ...) origin_does((s), &(struct answer){ __VA_ARGS__ })
void origin_forgets(struct scene *s);
void origin_goes(struct scene *s); /* nobody listens any more */
void origin_returns(struct scene *s);
void origin_waits_at(struct scene *s, const struct gate *g, int requests);
void gate_opens(struct scene *s, struct gate *g);

/** The latest request: "GET /shelf" and the fields that head_lacks() knows how to expect. Waits for a first one. */
void origin_heard(struct scene *s, const char *request, const char *fields);
void origin_heard_nth(struct scene *s, size_t n, const char *request, const char *fields); /* from 1 */
void origin_heard_content(struct scene *s, const char *content);
void origin_heard_pattern(struct scene *s, uint64_t seed, size_t len);
/** Waits for the n-th request; there must be no other by then. */
void origin_count_is(struct scene *s, size_t n);

/* ---- clients: the scene's own, or one more ---- */

struct client *client_arrives(struct scene *s);
void client_leaves(struct scene *s, struct client *c);

/** "GET /shelf" with fields "A: b\nC: d"; on the connection it has, or on a new one when that has ended. */
void asks(struct scene *s, struct client *c, const char *request, const char *fields);
void asks_with(struct scene *s, struct client *c, const char *request, const char *fields, const char *content);
/** These very bytes; method tells how to read the answer. */
void says(struct scene *s, struct client *c, const char *method, const void *bytes, size_t len);

/** A whole response. status with '*' for any digit; fields as for origin_heard; body NULL: any. */
void hears(struct scene *s, struct client *c, const char *status, const char *fields, const char *body);
void hears_head(struct scene *s, struct client *c, const char *status, const char *fields);
void hears_content(struct scene *s, struct client *c, const char *content); /* the next bytes of it */
void hears_end(struct scene *s, struct client *c);
void hears_break(struct scene *s, struct client *c);
void hears_pattern(struct scene *s, struct client *c, uint64_t seed, uint64_t from, uint64_t len); /* to its end */
/** The n-th interim response before the response that was just read, from 0; those heard by themselves aside. */
void heard_interim(struct scene *s, struct client *c, size_t n, const char *status, const char *fields);
void heard_interims(struct scene *s, struct client *c, size_t n);
/** Nothing is said to the client for so long. */
void hears_nothing(struct scene *s, struct client *c, int ms);
/** An interim response, with the final one still to come. */
void hears_interim(struct scene *s, struct client *c, const char *status, const char *fields);
/** Not served: a status from 400 on, or the connection closed without an answer. */
void is_refused(struct scene *s, struct client *c);
void is_closed(struct scene *s, struct client *c);
/** The field of the response just read. */
const char *heard_field(struct client *c, const char *name);

void client_asks(struct scene *s, const char *request, const char *fields);
void client_sends(struct scene *s, const char *request, const char *fields, const char *content);
void client_hears(struct scene *s, const char *status, const char *fields, const char *body);
/** Ask again and again, until the answer has these fields and this content: for what weir does behind our back. */
void client_soon_hears(struct scene *s, const char *request, const char *fields, const char *body);

/* ---- the admin API ---- */

void admin_asks(struct scene *s, const char *request, const char *json);
void admin_hears(struct scene *s, const char *status, const char *fields);
/** The content of the answer just heard. */
const char *admin_heard(struct scene *s);
/** A member of the JSON object just heard, by the admin client or by the scene's client, as text. */
void admin_heard_member(struct scene *s, const char *name, const char *value);
void client_heard_member(struct scene *s, const char *name, const char *value);

/* ---- the program ---- */

struct test {
    const TTest *run;
    int rows; /* 0: once; else once per row of its table, which it finds by _i */
};

/** main of a test program: runs the tests of one topic, each in a process of its own. */
int converse(const char *topic, const struct test *tests, size_t n);
#define TEST(name)                                                                                                     \
    {                                                                                                                  \
        name, 0                                                                                                        \
    }
#define TABLE(name, table)                                                                                             \
    {                                                                                                                  \
        name, (int)COUNT(table)                                                                                        \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* From here on each of these notes where it was called. */
#ifndef HARNESS_INSIDE
#define weir_starts(s, ...)          weir_starts(AT(s), __VA_ARGS__)
#define weir_stops(s)                weir_stops(AT(s))
#define weir_is_killed(s)            weir_is_killed(AT(s))
#define weir_is_told_to_stop(s)      weir_is_told_to_stop(AT(s))
#define weir_ends_with(s, status)    weir_ends_with(AT(s), status)
#define weir_run_ends(s, ...)        weir_run_ends(AT(s), __VA_ARGS__)
#define scene_end(s)                 scene_end(AT(s))
#define origin_waits_at(s, ...)      origin_waits_at(AT(s), __VA_ARGS__)
#define origin_heard(s, ...)         origin_heard(AT(s), __VA_ARGS__)
#define origin_heard_nth(s, ...)     origin_heard_nth(AT(s), __VA_ARGS__)
#define origin_heard_content(s, ...) origin_heard_content(AT(s), __VA_ARGS__)
#define origin_heard_pattern(s, ...) origin_heard_pattern(AT(s), __VA_ARGS__)
#define origin_count_is(s, n)        origin_count_is(AT(s), n)
#define client_arrives(s)            client_arrives(AT(s))
#define asks(s, ...)                 asks(AT(s), __VA_ARGS__)
#define asks_with(s, ...)            asks_with(AT(s), __VA_ARGS__)
#define says(s, ...)                 says(AT(s), __VA_ARGS__)
#define hears(s, ...)                hears(AT(s), __VA_ARGS__)
#define hears_head(s, ...)           hears_head(AT(s), __VA_ARGS__)
#define hears_content(s, ...)        hears_content(AT(s), __VA_ARGS__)
#define hears_end(s, ...)            hears_end(AT(s), __VA_ARGS__)
#define hears_break(s, ...)          hears_break(AT(s), __VA_ARGS__)
#define hears_pattern(s, ...)        hears_pattern(AT(s), __VA_ARGS__)
#define heard_interim(s, ...)        heard_interim(AT(s), __VA_ARGS__)
#define heard_interims(s, ...)       heard_interims(AT(s), __VA_ARGS__)
#define hears_nothing(s, ...)        hears_nothing(AT(s), __VA_ARGS__)
#define is_refused(s, ...)           is_refused(AT(s), __VA_ARGS__)
#define is_closed(s, ...)            is_closed(AT(s), __VA_ARGS__)
#define client_asks(s, ...)          client_asks(AT(s), __VA_ARGS__)
#define client_sends(s, ...)         client_sends(AT(s), __VA_ARGS__)
#define client_hears(s, ...)         client_hears(AT(s), __VA_ARGS__)
#define client_soon_hears(s, ...)    client_soon_hears(AT(s), __VA_ARGS__)
#define hears_interim(s, ...)        hears_interim(AT(s), __VA_ARGS__)
#define admin_asks(s, ...)           admin_asks(AT(s), __VA_ARGS__)
#define admin_hears(s, ...)          admin_hears(AT(s), __VA_ARGS__)
#define admin_heard_member(s, ...)   admin_heard_member(AT(s), __VA_ARGS__)
#define client_heard_member(s, ...)  client_heard_member(AT(s), __VA_ARGS__)
#endif

#endif
