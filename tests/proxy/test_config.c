/* Configuration files: what they mean, and what is said about those that mean nothing. */
#include "proxy/config.h"
#include "proxy/config_tables.h"
#include "proxy/route_protection.h"
#include "tests/headers/table.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a directory with files in it */

static char dir[64];
static struct config_report report;

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/weir-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("XDG_CACHE_HOME", dir, 1);
    setenv("WEIR_TEST_PORT", "3001", 1);
    setenv("WEIR_TEST_EMPTY", "", 1);
    unsetenv("WEIR_TEST_UNSET");
    unsetenv("WEIR_ADMIN_TOKEN");
}

static void remove_dir(void)
{
    glob_t found;
    char pattern[80];
    snprintf(pattern, sizeof pattern, "%s/*", dir);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) unlink(found.gl_pathv[i]);
    globfree(&found);
    rmdir(dir);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_bytes(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(path_of(name), "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static void write_file(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static struct site *load_file(const char *path)
{
    struct options o = { .config_path = path };
    return config_load(&o, &report);
}

static struct site *load(const char *text)
{
    write_file("weir.yaml", text);
    return load_file(path_of("weir.yaml"));
}

static struct site *load_sound(const char *text)
{
    struct site *s = load(text);
    ck_assert_msg(s != NULL, "%s\n%s", text, report.lines[0]);
    return s;
}

static const char *const shipped[] = {
    "etc/weir.yaml",
    "etc/examples/api.yaml",
    "etc/examples/static-site.yaml",
    "etc/examples/several-origins.yaml",
    "etc/examples/behind-a-load-balancer.yaml",
    "etc/examples/shield.yaml",
    "etc/examples/edge.yaml",
};

#define ORIGIN "origin: http://127.0.0.1:3000\n"

/* ---- defaults */

START_TEST(an_origin_is_enough)
{
    struct site *s = load_sound(ORIGIN);
    const struct settings *t = &s->settings;
    ck_assert_uint_eq(t->listen_count, 1);
    ck_assert_str_eq(t->listen[0].address, "127.0.0.1:8080");
    ck_assert_str_eq(t->admin_address, "127.0.0.1:8081");
    ck_assert_int_eq(t->memory_bytes, 256 << 20);
    ck_assert_int_eq(t->store_bytes, (int64_t)4 << 30);
    ck_assert_int_eq(t->drain_ms, 30000);
    ck_assert_int_ge(t->workers, 1);
    ck_assert_str_eq(t->store_path, path_of("weir"));
    ck_assert_uint_eq(t->purge_allow.count, 2);
    ck_assert_uint_eq(t->admin_tokens.count, 0);
    ck_assert_uint_eq(s->route_count, 0);
    ck_assert_int_eq(s->unmatched->kind, ROUTE_PROXY);
    ck_assert_str_eq(s->unmatched->server.base_url, "http://127.0.0.1:3000");
    ck_assert_ptr_null(s->unmatched->host);
    ck_assert(s->unmatched->policy.store && !s->unmatched->policy.key.in_use);
    site_unref(&s);
}
END_TEST

START_TEST(the_command_line_wins)
{
    struct options o = { .origin = "https://api.example.com",
                         .listen = { "[::1]:81", "0.0.0.0:80" },
                         .listen_count = 2,
                         .admin = "127.0.0.1:9",
                         .store_path = "/srv/s",
                         .store_bytes = 5 << 20,
                         .memory_bytes = 6 << 20,
                         .workers = 3 };
    write_file("weir.yaml", ORIGIN "listen: 127.0.0.1:1\nmemory: 1GiB\nworkers: 9\nstore: {path: x, size: 1GiB}\n");
    o.config_path = path_of("weir.yaml");
    struct site *s = config_load(&o, &report);
    ck_assert_msg(s != NULL, "%s", report.lines[0]);
    ck_assert_uint_eq(s->settings.listen_count, 2);
    ck_assert_str_eq(s->settings.listen[1].address, "0.0.0.0:80");
    ck_assert_str_eq(s->settings.admin_address, "127.0.0.1:9");
    ck_assert_str_eq(s->settings.store_path, "/srv/s");
    ck_assert_int_eq(s->settings.store_bytes, 5 << 20);
    ck_assert_int_eq(s->settings.memory_bytes, 6 << 20);
    ck_assert_int_eq(s->settings.workers, 3);
    ck_assert_str_eq(s->unmatched->server.base_url, "https://api.example.com");
    ck_assert_str_eq(s->unmatched->host, "api.example.com");
    site_unref(&s);
}
END_TEST

START_TEST(without_a_file_there_are_the_options)
{
    char why[256];
    struct site *s = config_of_origin("unix:/run/api.sock", why, sizeof why);
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->unmatched->server.unix_path, "/run/api.sock");
    site_unref(&s);
    ck_assert_ptr_null(config_of_origin("ftp://x", why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "--origin: "));
}
END_TEST

/* ---- what is wrong, and where. Each text stands behind an origin in line 1. */

static const struct {
    const char *text, *said;
} wrongs[] = {
    { "memroy: 1GiB", "2:1: unknown setting \"memroy\"; did you mean \"memory\"?" },
    { "xyzzyq: 1GiB", "2:1: unknown setting \"xyzzyq\"; there are listen, admin, " },
    { "cache: {freshness: {defalt: 1s}}", "2:21: unknown setting \"defalt\"; did you mean \"default\"?" },
    { "memory: 1GiB\nmemory: 2GiB", "3:1: \"memory\" is here twice; it was set in line 2, keep one" },
    { "memory: big", "2:9: memory: \"big\"; it takes a number with a unit: 64KiB, 256MiB, 4GiB" },
    { "memory: 1MiB", "2:9: memory: \"1MiB\"; it takes 4MiB or more" },
    { "memory: [1GiB]", "2:9: \"memory\" is a list; it takes a size: 64KiB, 256MiB, 4GiB" },
    { "memory:", "2:8: \"memory\" is nothing; it takes a size" },
    { "drain_timeout: 30", "2:16: drain_timeout: \"30\"; it takes a number with a unit: 250ms, 30s, 5m, 1h, 7d" },
    { "drain_timeout: 2147483648s", "2:16: drain_timeout: \"2147483648s\"; it takes a number with a unit" },
    { "drain_timeout: 1.5s", "2:16: drain_timeout: \"1.5s\"" },
    { "drain_timeout: -1s", "2:16: drain_timeout: \"-1s\"" },
    { "workers: 0", "2:10: workers: \"0\"; it takes 1 to 256" },
    { "workers: two", "2:10: workers: \"two\"; it takes a whole number" },
    { "workers: 99999999999999999999", "2:10: workers:" },
    { "listen: []", "2:9: listen: 0 addresses; it takes 1 to 64" },
    { "listen: 8080", "2:9: address: \"8080\"; it takes ADDRESS:PORT" },
    { "listen: [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "2:25: listen: 127.0.0.1:1 is here twice; keep one" },
    { "listen: {address: \"127.0.0.1:1\", proxy_protocol: yes}",
      "2:50: proxy_protocol: \"yes\"; it takes one of off, " },
    { "listen: [\"127.0.0.1:1\", {address: \"127.0.0.1:2\", proxy_protocol: required}]",
      "2:9: 127.0.0.1:2 wants PROXY headers and nobody's are believed; say whose: trusted_proxies: [" },
    { "admin: {address: \"0.0.0.0:8081\"}", "2:18: admin address 0.0.0.0:8081 is not a loopback address and no token" },
    { "admin: {token: short}", "2:16: token is no such secret; it takes at least 8 characters" },
    { "admin: {token: {file: nowhere}}", "2:23: cannot read nowhere: No such file or directory" },
    { "admin: {token: {path: x}}", "2:16: a secret is a text, or {file: PATH}" },
    { "admin: 127.0.0.1:8081", "2:8: \"admin\" is a text; it takes a map of settings" },
    { "purge: {allow: [127.0.0.1/8]}", "2:17: allow: \"127.0.0.1/8\"; it takes an address or a block" },
    { "cache: {set_cookie: kep}", "2:21: set_cookie: \"kep\"; did you mean \"keep\"? It takes one of strip, keep" },
    { "cache: {store: yes}", "2:16: store: \"yes\"; it takes true or false" },
    { "cache: {freshness: {default: 1500ms}}", "2:30: default: \"1500ms\"; it takes whole seconds" },
    { "cache: {freshness: {status: {40: 1s}}}", "2:30: status: \"40\"; it takes a status from 200 to 599 or a class" },
    { "cache: {freshness: {status: {404: 1}}}", "2:35: 404: \"1\"; it takes" },
    { "cache: {freshness: {heuristic: 101%}}", "2:32: heuristic: \"101%\"; it takes 0% to 100%, or off" },
    { "cache: {freshness: {jitter: 60%}}", "2:29: jitter: \"60%\"; it takes 0% to 50%" },
    { "cache: {stale: {with_s_maxage: no}}", "2:32: with_s_maxage: \"no\"; it takes honour or rfc9111" },
    { "cache: {methods: [GET, PUT]}", "2:24: methods: \"PUT\"; it takes GET, HEAD, POST or QUERY" },
    { "cache: {vary: {fields: {User-Agent: drop}}}", "2:37: User-Agent: \"drop\"; it takes normalise, raw," },
    { "cache: {vary: {fields: {\"User Agent\": ignore}}}", "2:25: vary.fields: \"User Agent\"; it takes a field name" },
    { "cache: {targeted: [Vary]}", "2:20: targeted: \"Vary\"; it takes names of fields such as" },
    { "cache: {key: {host: a b}}", "2:21: host: \"a b\"; it takes a host name" },
    { "cache: {version: \"a b\"}", "2:18: version: \"a b\"; it takes a name of letters" },
    { "origins: [a]", "2:10: origins is a list; it takes a map" },
    { "origins: {\"a b\": http://a}", "2:11: \"a b\" is no name for an origin" },
    { "origins: {a: ftp://a}", "2:14: url: \"ftp://a\"; it takes http://HOST" },
    { "origins: {a: {balance: hash}}", "2:14: origin a has no servers; servers:" },
    { "origins: {a: {servers: []}}", "2:24: servers: 0; it takes 1 to 256" },
    { "origins: {a: {servers: [{weight: 2}]}}", "2:25: a server without url" },
    { "origins: {a: {servers: [{url: http://a, backup: true}]}}", "2:24: every server is a backup; one must not be" },
    { "origins: {a: {servers: [{url: http://a, admin: a}], forward_purges: true}}",
      "2:48: admin: \"a\"; it takes http://HOST" },
    { "origins: {a: {servers: [{url: http://a, admin: http://b}]}}", "2:14: a server with admin hears of no purge" },
    { "origins: {a: {servers: http://a, health: {status: 99}}}", "2:51: status: \"99\"; it takes a status or a range" },
    { "origins: {a: {servers: http://a, host: a b}}",
      "2:40: host: \"a b\"; it takes auto, keep, origin or a host name" },
    { "origins: {a: {servers: https://a, tls: {ca: nowhere}}}", "2:14: tls.ca: cannot read " },
    { "origins: {a: {servers: https://a, tls: {ca: /etc/hostname}}}",
      "2:14: tls.ca: nothing in /etc/hostname says CERTIFICATE-----; it takes a PEM file" },
    { "origins: {a: {servers: https://a, tls: {certificate: /etc/hostname}}}", "2:14: tls.certificate: nothing in " },
    { "origins: {a: {servers: [http://a, http://b, {url: http://a}]}}", "2:45: http://a is here twice; keep one" },
    { "dns: {servers: [9.9.9]}", "2:17: servers: \"9.9.9\"; it takes an address, with or without a port" },
    { "dns: {ttl_min: 0}", "2:16: ttl_min: \"0\"; it takes 1s or more" },
    { "dns: {ttl_min: 10m, ttl_max: 1m}", "2:6: dns: ttl_min is longer than ttl_max" },
    { "dns: {ttl_min: 10m}", "2:6: dns: ttl_min is longer than ttl_max" },
    { "cache: {freshness: {minimum: 1h, maximum: 1m}}", "2:20: freshness: minimum is longer than maximum" },
    { "routes: {}", "2:9: routes is a map; it takes a list" },
    { "routes: [a]", "2:10: a route is a map" },
    { "routes: [{origin: b}]", "2:19: there is no origin \"b\"; a name among origins" },
    { "origins: {shop: http://a}\nroutes: [{origin: shpo}]",
      "3:19: there is no origin \"shpo\"; did you mean \"shop\"?" },
    { "routes: [{match: a:80/}]", "2:18: match: \"a:80/\"; it takes a host without a port" },
    { "routes: [{match: a.*.b/}]", "2:18: match: \"a.*.b/\"; it takes \"*\" only as the first label" },
    { "routes: [{match: /a*}]", "2:18: match: \"/a*\"; it takes \"*\" for one whole segment" },
    { "routes: [{match: /a//b}]", "2:18: match: \"/a//b\"; it takes a path without \"//\"" },
    { "routes: [{match: /a/../b}]", "2:18: match: \"/a/../b\"; it takes a path without . and .." },
    { "routes: [{match: \"/a?b\"}]", "2:18: match: \"/a?b\"; it takes a path without blanks, ? and #" },
    { "routes: [{match: []}]", "2:18: match: an empty list" },
    { "routes: [{match: {hots: a}}]", "2:19: unknown setting \"hots\"; did you mean \"host\"?" },
    { "routes: [{match: /a}, {match: [/b, /a]}]",
      "2:36: \"/a\" is matched by two routes; the other is \"/a\" in line 2" },
    { "routes: [{match: /a}, {match: /%61}]", "2:31: \"/%61\" is matched by two routes" },
    { "routes: [{}, {}]", "2:14: \"everything\" is matched by two routes" },
    { "routes: [{redirect: /b, answer: 404}]", "2:10: a route has an origin, a redirect or an answer; keep one" },
    { "routes: [{redirect: \"/{who}\"}]", "2:21: to: \"/{who}\"; it takes a path (/new) or a whole URL" },
    { "routes: [{redirect: \"www.a.example{path}\"}]", "2:21: to: \"www.a.example{path}\"; it takes a path" },
    { "routes: [{redirect: {status: 301}}]", "2:21: redirect: where to? It takes a path or a URL" },
    { "routes: [{redirect: }]", "2:21: redirect: where to?" },
    { "routes: [{answer: {content: gone}}]", "2:19: answer: with which status? It takes 200 to 599" },
    { "routes: [{redirect: {to: /b, status: 300}}]", "2:38: status: \"300\"; did you mean" },
    { "routes: [{answer: 100}]", "2:19: status: \"100\"; it takes 200 to 599" },
    { "routes: [{request: {set: {Host: a}}}]", "2:33: \"Host\" cannot be changed; it takes `host:` of the origin" },
    { "routes: [{response: {set: {Date: a}}}]", "2:34: \"Date\" cannot be changed; it takes no field that weir" },
    { "routes: [{response: {remove: [Connection]}}]", "2:30: \"Connection\" cannot be changed" },
    { "routes: [{response: {set: {X-A: \"a\\nb\"}}}]", "2:33: X-A: \"a?b\"; it takes a field value: no line ends" },
    { "routes: [{response: {set: [a]}}]", "2:27: set is a list; it takes a map" },
    { "routes: [{response: {sat: {A: b}}}]", "2:22: unknown setting \"sat\"; there are set, add, remove" },
    { "routes: [{protect: {realm: a}}]", "2:20: protect without users and tokens would let nobody in" },
    { "routes: [{protect: {users: {a: plain}}}]", "2:32: user \"a\": it takes a hash that `openssl passwd -6`" },
    { "routes: [{protect: {users: {a: $1$ab$cd}}}]", "2:32: user \"a\": it takes a hash" },
    { "routes: [{protect: {users: {a: $9$abcd$ef}}}]", "2:32: user \"a\": it takes a hash" },
    { "routes: [{protect: {tokens: [short]}}]", "2:30: tokens is no such secret; it takes at least 8" },
    /* YAML itself */
    { "a: [", "3:1: did not find expected node content while parsing a flow node; inside {...}" },
    { "\tmemory: 1GiB", "2:1: found a tab character" },
    { "cache: &a {b: *a}", "2:15: *a stands inside what it names" },
    { "cache: *nobody", "2:8: *nobody names no anchor" },
    { "memory: !!str 1GiB", "2:9: a tag (!...); weir uses none" },
    { "? [a]\n: b", "2:3: a key is a word; this is a list" },
    { "--- \na: b", "3:1: a second document; a file holds one" },
    { "memory: ${WEIR_TEST_UNSET}",
      "2:9: ${WEIR_TEST_UNSET}: the environment has no WEIR_TEST_UNSET; set it, or write" },
    { "memory: ${1A}", "2:9: ${1A} is no variable" },
    { "memory: ${A", "2:9: \"${A\" has no } at its end" },
    { "memory: ${WEIR_TEST_PORT", "2:9: \"${WEIR_TEST_PORT\" has no }" },
    { "include: nowhere.yaml", "2:10: cannot include \"nowhere.yaml\": there is no such file" },
    { "include: {a: b}", "2:10: include names files" },
    { "include: weir.yaml", "2:10: " },
};

START_TEST(what_is_wrong_has_a_place_and_a_cure)
{
    char text[1024], wanted[512];
    snprintf(text, sizeof text, ORIGIN "%s\n", wrongs[_i].text);
    struct site *s = load(text);
    bool of_file = is_digit(wrongs[_i].said[0]);
    snprintf(wanted, sizeof wanted, "%s%s%s", of_file ? path_of("weir.yaml") : "", of_file ? ":" : "", wrongs[_i].said);
    ck_assert_msg(s == NULL, "%s", text);
    ck_assert_uint_ge(report.count, 1);
    bool said = false;
    for (size_t i = 0; i < report.count; i++) said = said || strncmp(report.lines[i], wanted, strlen(wanted)) == 0;
    ck_assert_msg(said, "%s: \"%s\" is not\n%s", wrongs[_i].text, report.lines[0], wanted);
}
END_TEST

START_TEST(several_errors_are_told_in_one_go)
{
    char text[4096] = "", line[64];
    for (int i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "wrong%d: 1\n", i);
        strcat(text, line);
    }
    ck_assert_ptr_null(load(text));
    ck_assert_uint_eq(report.count, REPORT_LINES_MAX);
    ck_assert_uint_ge(report.more, 30);
    ck_assert_ptr_null(load(ORIGIN "memory: x\nworkers: x\nstore: {size: x}\n"));
    ck_assert_uint_eq(report.count, 3);
    ck_assert_uint_eq(report.more, 0);
}
END_TEST

START_TEST(errors_stand_in_the_order_of_the_file)
{
    ck_assert_ptr_null(load(ORIGIN "routes: [{match: //}, {origin: x}]\nmemory: x\nmemory: y\norigins: {a: b}\n"));
    unsigned before = 0;
    for (size_t i = 0; i < report.count; i++) {
        ck_assert_uint_ge(report.places[i].line, before);
        before = report.places[i].line;
        char wanted[160];
        snprintf(wanted, sizeof wanted, "%s:%u:%u: ", path_of("weir.yaml"), report.places[i].line,
                 report.places[i].column);
        ck_assert_msg(strncmp(report.lines[i], wanted, strlen(wanted)) == 0, "%s", report.lines[i]);
    }
    ck_assert_uint_eq(report.count, 6);
}
END_TEST

START_TEST(no_origin_is_an_error_of_its_own)
{
    ck_assert_ptr_null(load("memory: 1GiB\n"));
    ck_assert_uint_eq(report.count, 1);
    ck_assert_ptr_nonnull(strstr(report.lines[0], "no origin; say where misses go"));
    ck_assert_ptr_null(load(""));
    ck_assert_ptr_null(load("# nothing\n"));
    ck_assert_ptr_null(load("- a\n"));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "1:1: a list; a configuration is a map"));
    ck_assert_ptr_null(load_file("/nowhere/weir.yaml"));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "/nowhere/weir.yaml: cannot read "));
    ck_assert_ptr_null(load_file(dir));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "Is a directory"));
}
END_TEST

/* ---- what a document may not grow to */

START_TEST(aliases_do_not_multiply_unseen)
{
    char text[2048] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", line[160];
    for (int i = 1; i < 12; i++) {
        snprintf(line, sizeof line, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, line);
    }
    ck_assert_ptr_null(load(text));
    ck_assert_msg(strstr(report.lines[0], "with its aliases written out the configuration has more than") != NULL, "%s",
                  report.lines[0]);
}
END_TEST

START_TEST(nesting_has_an_end)
{
    char text[256] = "cache: ";
    memset(text + 7, '[', 100);
    ck_assert_ptr_null(load(text));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "nested more than 32 deep"));
}
END_TEST

START_TEST(a_file_has_an_end)
{
    char *text = malloc(CONFIG_FILE_MAX + 2);
    memset(text, '#', CONFIG_FILE_MAX + 1);
    write_bytes("weir.yaml", text, CONFIG_FILE_MAX + 1);
    free(text);
    ck_assert_ptr_null(load_file(path_of("weir.yaml")));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "larger than 4MiB"));
}
END_TEST

START_TEST(bytes_that_are_no_text_are_an_error)
{
    static const char *const texts[] = { "\xff\xfe\xfd", "a: \"\\0\"", "a: \x01",
                                         "\xef\xbb\xbf"
                                         "x: 1",
                                         "a: \xc3" };
    for (int i = 0; i < ROWS(texts); i++) {
        ck_assert_ptr_null(load(texts[i]));
        ck_assert_uint_ge(report.count, 1);
    }
}
END_TEST

/* Whatever a file has become, it is understood or refused, and says why. */
START_TEST(mutations_are_understood_or_refused)
{
    enum { ROUNDS = 3000, EDITS = 8 };
    static const char pieces[] = "{}[]:,-#&*!|>'\"%@`\n\t ?~$aZ09.\\\x00\xff";
    struct arena *a = arena_new();
    struct view seed = file_read(a, shipped[1], CONFIG_FILE_MAX);
    char *text = arena_alloc(a, seed.len + 1);
    uint64_t random = 0x9e3779b97f4a7c15u;
    ck_assert(seed.at != NULL && text != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(text, seed.at, seed.len);
        for (int e = 0; e < 1 + round % EDITS; e++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[(random >> 33) % seed.len] = pieces[(random >> 20) % (sizeof pieces - 1)];
        }
        write_bytes("weir.yaml", text, seed.len);
        struct site *s = load_file(path_of("weir.yaml"));
        ck_assert_int_eq(s == NULL, report.count > 0);
        for (size_t i = 0; i < report.count; i++) ck_assert_ptr_null(strpbrk(report.lines[i], "\n\t"));
        site_unref(&s);
    }
    arena_free(a);
}
END_TEST

/* ---- values */

START_TEST(settings_mean_what_they_say)
{
    struct site *s = load_sound("listen: [\"0.0.0.0:80\", {address: \"[::]:81\", proxy_protocol: required}]\n"
                                "admin: {address: 10.0.0.1:9, token: quincequince, tokens: [plumplum, {file: token}]}\n"
                                "origin: https://api.example.com/base/\n"
                                "memory: 1GiB\nworkers: 2\ndrain_timeout: 1m30s\n"
                                "store: {path: cache, size: 8GiB}\n"
                                "purge: {allow: [10.0.0.0/8, \"fd00::/8\", 192.0.2.1]}\n"
                                "trusted_proxies: 10.0.0.0/8\n"
                                "limits: {idle_timeout: 90s, head_timeout: 5s, stall_timeout: 2m, connections: 7}\n");
    const struct settings *t = &s->settings;
    ck_assert_uint_eq(t->listen_count, 2);
    ck_assert_int_eq(t->listen[0].proxy_protocol, PROXY_PROTOCOL_OFF);
    ck_assert_int_eq(t->listen[1].proxy_protocol, PROXY_PROTOCOL_REQUIRED);
    ck_assert_uint_eq(t->admin_tokens.count, 3);
    ck_assert(view_is(t->admin_tokens.at[1], "from-a-file"));
    ck_assert(view_is(t->admin_tokens.at[2], "quincequince"));
    ck_assert_int_eq(t->drain_ms, 90000);
    ck_assert_str_eq(t->store_path, path_of("cache")); /* seen from the file */
    ck_assert_uint_eq(t->purge_allow.count, 3);
    ck_assert_uint_eq(t->trusted_proxies.count, 1);
    ck_assert_int_eq(t->limits.idle_ms, 90000);
    ck_assert_uint_eq(t->limits.connections_max, 7);
    ck_assert_str_eq(s->unmatched->server.path_prefix, "/base");
    site_unref(&s);
}
END_TEST

START_TEST(a_policy_means_what_it_says)
{
    struct site *s = load_sound(
        ORIGIN
        "cache:\n"
        "  version: v2\n"
        "  methods: [GET, HEAD]\n"
        "  freshness: {default: 10s, minimum: 1s, maximum: 1h, status: {404: 5s, 5xx: 1s}, heuristic: off,\n"
        "              heuristic_maximum: 2h, jitter: 7%, early_refresh: 150%}\n"
        "  stale: {if_unreachable: 0, while_revalidate: 5s, if_error: 1d, with_s_maxage: rfc9111}\n"
        "  client_directives: true\n"
        "  set_cookie: keep\n"
        "  targeted: [Weir-Cache-Control, CDN-Cache-Control]\n"
        "  strip_targeted: true\n"
        "  client_cache_control: no-cache\n"
        "  content_limit: 1MiB\n"
        "  vary: {max_variants: 3, fields: {User-Agent: ignore, Accept-Encoding: [gzip, BR], X-A: raw}}\n"
        "  key: {host: Shop.example, query: {sort: true, drop: \"utm_*\", keep: [a, b]}, fields: X-Tenant, cookies: [lang]}\n"
        "  range: {fetch_whole_limit: 1KiB}\n"
        "  hit_for_miss: 3s\n");
    const struct policy *p = &s->unmatched->policy;
    ck_assert(view_is(p->version, "v2"));
    ck_assert_uint_eq(p->uncached_methods, 1u << METHOD_POST | 1u << METHOD_QUERY);
    ck_assert_int_eq(p->default_lifetime_s, 10);
    ck_assert_int_eq(p->minimum_lifetime_s, 1);
    ck_assert_int_eq(p->maximum_lifetime_s, 3600);
    ck_assert_uint_eq(p->status_lifetime_count, 2);
    ck_assert_int_eq(p->status_lifetimes[1].status, 5);
    ck_assert(!p->heuristics);
    ck_assert_int_eq(p->heuristic_maximum_s, 7200);
    ck_assert_int_eq(p->jitter_percent, 7);
    ck_assert_int_eq(p->early_refresh_percent, 150);
    ck_assert_int_eq(p->stale_if_unreachable_s, 0);
    ck_assert_int_eq(p->default_swr_s, 5);
    ck_assert_int_eq(p->default_sie_s, 86400);
    ck_assert(!p->stale_with_s_maxage && p->trust_request_directives && p->strip_targeted);
    ck_assert_int_eq(p->set_cookie, SET_COOKIE_KEEP);
    ck_assert_uint_eq(p->targeted_count, 2);
    ck_assert(p->targeted[0] == FIELD_OTHER && view_is(p->targeted_names[0], "Weir-Cache-Control"));
    ck_assert_str_eq(p->client_cache_control, "no-cache");
    ck_assert_int_eq(p->content_limit_bytes, 1 << 20);
    ck_assert_int_eq(p->vary_maximum_variants, 3);
    ck_assert_uint_eq(p->vary_rule_count, 3);
    ck_assert(view_is(p->vary_rules[1].name, "accept-encoding") && p->vary_rules[1].handling == VARY_ALLOW);
    ck_assert(p->vary_rules[1].allowed_count == 2 && view_is(p->vary_rules[1].allowed[1], "br"));
    ck_assert(p->key.in_use && p->key.sort_query && p->key.keep_only);
    ck_assert(view_is(p->key.host, "shop.example"));
    ck_assert_uint_eq(p->key.drop.count, 1);
    ck_assert_uint_eq(p->key.keep.count, 2);
    ck_assert(view_is(p->key.fields.at[0], "x-tenant"));
    ck_assert_int_eq(p->range_fetch_whole_limit_bytes, 1024);
    ck_assert_int_eq(p->hit_for_miss_s, 3);
    site_unref(&s);
}
END_TEST

START_TEST(a_route_begins_from_the_outer_cache)
{
    struct site *s = load_sound(ORIGIN "routes:\n"
                                       "- {match: /a/, cache: {freshness: {maximum: 5s}}}\n"
                                       "- {match: /b/}\n"
                                       "cache: {freshness: {maximum: 1m, minimum: 2s}}\n");
    ck_assert_int_eq(s->routes[0]->policy.maximum_lifetime_s, 5);
    ck_assert_int_eq(s->routes[0]->policy.minimum_lifetime_s, 2);
    ck_assert_int_eq(s->routes[1]->policy.maximum_lifetime_s, 60);
    ck_assert_int_eq(s->unmatched->policy.maximum_lifetime_s, 60);
    site_unref(&s);
}
END_TEST

START_TEST(an_origin_means_what_it_says)
{
    struct site *s = load_sound(
        "origins:\n"
        "  api:\n"
        "    servers: [http://10.0.0.1:1/v1, {url: https://b.example, weight: 3}, {url: unix:/run/c, backup: true}]\n"
        "    balance: least_in_flight\n"
        "    connect_timeout: 250ms\n"
        "    connections: 9\n"
        "    health: {path: /ok, interval: 1s, status: [200, \"300-302\"], text: fine}\n"
        "    breaker: {failures: 0}\n"
        "    retries: {attempts: 2, budget: 20%}\n"
        "  web: {servers: https://b.example, host: keep, health: /ok}\n"
        "  own: {servers: https://b.example, host: c.example}\n"
        "routes:\n"
        "- {match: /api/, origin: api}\n"
        "- {match: /web/, origin: web}\n"
        "- {match: /own/, origin: own}\n"
        "- {match: /url/, origin: http://10.0.0.9}\n"
        "- {match: /url2/, origin: http://10.0.0.9}\n");
    const struct origin_settings *api = s->routes[0]->origin;
    ck_assert_uint_eq(s->origin_count, 4); /* one URL is one origin */
    ck_assert_ptr_eq(s->routes[3]->origin, s->routes[4]->origin);
    ck_assert_uint_eq(api->server_count, 3);
    ck_assert_str_eq(api->servers[0].server.path_prefix, "/v1");
    ck_assert_ptr_null(api->servers[0].host);
    ck_assert_int_eq(api->servers[1].weight, 3);
    ck_assert_str_eq(api->servers[1].host, "b.example");
    ck_assert(api->servers[2].backup && api->servers[2].server.unix_path != NULL);
    ck_assert_int_eq(api->balance, BALANCE_LEAST_IN_FLIGHT);
    ck_assert_int_eq(api->servers[2].server.connect_ms, 250);
    ck_assert_uint_eq(api->servers[1].server.connections_max, 9);
    ck_assert_str_eq(api->health.path, "/ok");
    ck_assert(api->health.status_count == 2 && api->health.statuses[1].last == 302);
    ck_assert_int_eq(api->breaker.failures, 0);
    ck_assert_int_eq(api->retries.budget_percent, 20);
    ck_assert_str_eq(s->routes[0]->server.base_url, "http://10.0.0.1:1");
    ck_assert_ptr_null(s->routes[1]->host);
    ck_assert_str_eq(s->routes[1]->origin->health.path, "/ok");
    ck_assert_str_eq(s->routes[2]->host, "c.example");
    ck_assert_int_eq(s->unmatched->kind, ROUTE_ANSWER);
    ck_assert_int_eq(s->unmatched->answer.status, 404);
    site_unref(&s);
}
END_TEST

START_TEST(protection_means_what_it_says)
{
    write_file("users", "# staff\nalice:$6$ab$cd\n\nbob:$5$ab$cd\r\n");
    struct site *s =
        load_sound(ORIGIN "routes: [{protect: {users_file: users, tokens: [{file: token}], realm: Staff}}]\n");
    const struct protection_rules *rules = protection_rules(s->routes[0]->protection);
    ck_assert_uint_eq(rules->user_count, 2);
    ck_assert(view_is(rules->users[1].name, "bob"));
    ck_assert_str_eq(rules->users[1].hash, "$5$ab$cd");
    ck_assert(view_is(rules->tokens.at[0], "from-a-file"));
    ck_assert(s->routes[0]->policy.authorization_is_ours && s->has_protection);
    site_unref(&s);
    write_file("users", "alice:plain\n");
    ck_assert_ptr_null(load(ORIGIN "routes: [{protect: {users_file: users}}]\n"));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "users:1:1: user \"alice\": it takes a hash"));
    write_file("users", "alice:$6$ab$cd\nplain\nbob:plain\nalice:$5$ab$cd\n:$5$ab$cd\n");
    ck_assert_ptr_null(load(ORIGIN "routes: [{protect: {users_file: users}}]\n"));
    ck_assert_uint_eq(report.count, 4);
    ck_assert_ptr_nonnull(strstr(report.lines[0], "users:2:1: no colon"));
    ck_assert_ptr_nonnull(strstr(report.lines[1], "users:3:1: user \"bob\": it takes a hash"));
    ck_assert_ptr_nonnull(strstr(report.lines[2], "users:4:1: user \"alice\": it takes one password"));
    ck_assert_ptr_nonnull(strstr(report.lines[3], "users:5:1: user \"\": it takes a name"));
}
END_TEST

START_TEST(the_environment_is_asked)
{
    struct site *s = load_sound("origin: http://127.0.0.1:${WEIR_TEST_PORT}/${WEIR_TEST_UNSET:-none}\n"
                                "cache: {version: \"${WEIR_TEST_EMPTY:-v}${WEIR_TEST_EMPTY}1\"}\n"
                                "routes: [{match: /a, answer: {status: 200, content: \"$${HOME} $HOME {x}\"}}]\n");
    ck_assert_str_eq(s->unmatched->server.base_url, "http://127.0.0.1:3001");
    ck_assert_str_eq(s->unmatched->server.path_prefix, "/none");
    ck_assert(view_is(s->unmatched->policy.version, "v1"));
    ck_assert(view_is(s->routes[0]->answer.content, "${HOME} $HOME {x}"));
    site_unref(&s);
}
END_TEST

/* ---- files that include files */

START_TEST(files_are_joined)
{
    write_file("r1.yaml", "routes: [{match: /one}]\norigins: {one: http://127.0.0.1:1}\n");
    write_file("r2.yaml",
               "routes: [{match: /two, origin: one}]\norigins: {two: http://127.0.0.1:2}\ncache: {version: v}\n");
    struct site *s = load_sound("include: r*.yaml\n" ORIGIN "routes: [{match: /zero}]\ncache: {set_cookie: keep}\n");
    ck_assert_uint_eq(s->route_count, 3);
    ck_assert_str_eq(s->routes[0]->name, "/zero");
    ck_assert_str_eq(s->routes[2]->name, "/two");
    ck_assert(view_is(s->unmatched->policy.version, "v") && s->unmatched->policy.set_cookie == SET_COOKIE_KEEP);
    site_unref(&s);
    s = load_sound("include: [none-*.yaml]\n" ORIGIN); /* a pattern may match nothing */
    site_unref(&s);
    ck_assert_ptr_null(load("include: [r2.yaml, r1.yaml]\n" ORIGIN "cache: {version: w}\n"));
    ck_assert_msg(strstr(report.lines[0], "r2.yaml:3:9: \"version\" is also set in ") != NULL, "%s", report.lines[0]);
    ck_assert_ptr_nonnull(strstr(report.lines[0], "weir.yaml:3:9; keep one"));
}
END_TEST

START_TEST(errors_in_included_files_name_those)
{
    write_file("r1.yaml", "routes:\n- {match: /one, cash: {}}\n");
    ck_assert_ptr_null(load("include: r1.yaml\n" ORIGIN));
    ck_assert_ptr_nonnull(strstr(report.lines[0], "r1.yaml:2:17: unknown setting \"cash\"; did you mean \"cache\"?"));
}
END_TEST

START_TEST(files_do_not_include_themselves)
{
    write_file("r1.yaml", "include: r2.yaml\n");
    write_file("r2.yaml", "include: r1.yaml\n");
    ck_assert_ptr_null(load("include: r1.yaml\n" ORIGIN));
    ck_assert_msg(strstr(report.lines[0], "r2.yaml:1:10: ") != NULL &&
                      strstr(report.lines[0], "includes itself") != NULL,
                  "%s", report.lines[0]);
}
END_TEST

/* ---- two configurations */

static char differences[4096];

static void note_difference(void *arg, const char *path, bool fixed, const char *from, const char *to)
{
    (void)arg;
    size_t used = strlen(differences);
    snprintf(differences + used, sizeof differences - used, "%s%s: %s -> %s\n", fixed ? "!" : "", path, from, to);
}

static const char *compare(const char *from, const char *to)
{
    struct site *a = load_sound(from), *b = load_sound(to);
    differences[0] = '\0';
    config_compare(a, b, note_difference, NULL);
    site_unref(&a);
    site_unref(&b);
    return differences;
}

START_TEST(differences_are_told)
{
    static const struct {
        const char *from, *to, *said;
    } pairs[] = {
        { ORIGIN, ORIGIN, "" },
        { ORIGIN "memory: 1GiB\n", ORIGIN "memory: 2GiB\n", "!memory: 1GiB -> 2GiB\n" },
        { ORIGIN "drain_timeout: 1s\n", ORIGIN "drain_timeout: 60s\n", "drain_timeout: 1s -> 1m\n" },
        { ORIGIN "drain_timeout: 60s\n", ORIGIN "drain_timeout: 1m\n", "" },
        { ORIGIN "cache: {freshness: {default: 1s}}\n", ORIGIN, "cache.freshness.default: 1s -> none\n" },
        { ORIGIN, "origin: http://127.0.0.1:3009\n",
          "origins.default.servers: [\"http://127.0.0.1:3000\"] -> [\"http://127.0.0.1:3009\"]\n" },
        { ORIGIN "routes: [{match: /a}]\n",
          ORIGIN "routes: [{match: /a, cache: {store: false}}, {match: /b, answer: 404}]\n",
          "routes[/a].cache.store: true -> false\nroutes[/b]:  -> answer 404\n" },
        { ORIGIN "routes: [{match: /a}]\n", ORIGIN, "routes[/a]: to default -> \n" },
        { ORIGIN "admin: {token: quincequince}\n", ORIGIN "admin: {token: quincequincf}\n",
          "admin.token: (secret) -> (secret)\nadmin.tokens: [(secret)] -> [(secret)]\n" },
    };
    for (int i = 0; i < ROWS(pairs); i++) ck_assert_str_eq(compare(pairs[i].from, pairs[i].to), pairs[i].said);
}
END_TEST

/* ---- what is printed */

static char *printed(void (*print)(FILE *to))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(f);
    print(f);
    ck_assert_int_eq(fclose(f), 0);
    return text;
}

/* The defaults read back as the defaults, and what is commented out as well once it is not. */
START_TEST(printed_defaults_are_a_configuration)
{
    char *text = printed(config_print_defaults), *with_origin = NULL;
    ck_assert_int_ge(asprintf(&with_origin, ORIGIN "%s", text), 0);
    ck_assert_str_eq(compare(ORIGIN, with_origin), "");
    free(with_origin);
    free(text);
}
END_TEST

static void expect_documented(void *arg, const char *path, const struct setting *row)
{
    const char *docs = arg;
    char wanted[300];
    if (strncmp(path, "routes[].cache.", strlen("routes[].cache.")) == 0) return; /* as the outer one */
    snprintf(wanted, sizeof wanted, "`%s`", path);
    ck_assert_msg(strstr(docs, wanted) != NULL, "docs/configuration.md says nothing of `%s`", path);
    ck_assert_msg(row->help != NULL && row->help[0] != '\0', "%s", path);
}

START_TEST(every_setting_is_documented)
{
    struct arena *a = arena_new();
    struct view docs = file_read(a, "docs/configuration.md", CONFIG_FILE_MAX);
    ck_assert_ptr_nonnull(docs.at);
    schema_each(&config_schema, "", expect_documented, (void *)(uintptr_t)docs.at);
    schema_each(&route_schema, "routes[]", expect_documented, (void *)(uintptr_t)docs.at);
    schema_each(&origin_schema, "origins.NAME", expect_documented, (void *)(uintptr_t)docs.at);
    arena_free(a);
}
END_TEST

START_TEST(what_is_shipped_is_sound)
{
    setenv("WEIR_ADMIN_TOKEN", "quincequince", 1);
    struct site *s = load_file(shipped[_i]);
    ck_assert_msg(s != NULL, "%s", report.lines[0]);
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(f);
    config_print_summary(s, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_uint_gt(len, 100);
    ck_assert_ptr_null(strstr(text, "quincequince"));
    free(text);
    site_unref(&s);
}
END_TEST

/* "# name: value" and "# - member" become settings; prose stays. */
static bool is_setting(const char *at)
{
    at += strspn(at, " ");
    if (strncmp(at, "- ", 2) == 0) return true;
    size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
    return name > 0 && at[name] == ':';
}

START_TEST(what_is_commented_out_is_sound_too)
{
    struct arena *a = arena_new();
    struct view rest = file_read(a, "etc/weir.yaml", CONFIG_FILE_MAX);
    char *text = arena_alloc(a, rest.len + 1);
    size_t used = 0, settings = 0;
    ck_assert(rest.at != NULL && text != NULL);
    while (rest.len > 0) {
        size_t len = view_find(rest, 0, '\n') + 1, indent = strspn(rest.at, " ");
        bool taken = strncmp(rest.at + indent, "# ", 2) == 0 && is_setting(rest.at + indent + 2);
        bool include = strncmp(rest.at, "# include:", 10) == 0;
        size_t skip = taken && !include ? 2 : 0;
        memcpy(text + used, rest.at, indent);
        memcpy(text + used + indent, rest.at + indent + skip, len - indent - skip);
        used += len - skip;
        settings += skip > 0;
        rest = view_after(rest, len);
    }
    ck_assert_uint_gt(settings, 60);
    struct site *s = load_sound(text);
    ck_assert_uint_eq(s->route_count, 7);
    ck_assert_uint_eq(s->origin_count, 3);
    site_unref(&s);
    arena_free(a);
}
END_TEST

static void write_token(void)
{
    make_dir();
    write_file("token", "from-a-file\n");
}

int main(void)
{
    TCase *t = tcase_create("config");
    tcase_add_checked_fixture(t, write_token, remove_dir);
    tcase_add_test(t, an_origin_is_enough);
    tcase_add_test(t, the_command_line_wins);
    tcase_add_test(t, without_a_file_there_are_the_options);
    tcase_add_loop_test(t, what_is_wrong_has_a_place_and_a_cure, 0, ROWS(wrongs));
    tcase_add_test(t, several_errors_are_told_in_one_go);
    tcase_add_test(t, errors_stand_in_the_order_of_the_file);
    tcase_add_test(t, mutations_are_understood_or_refused);
    tcase_add_test(t, no_origin_is_an_error_of_its_own);
    tcase_add_test(t, aliases_do_not_multiply_unseen);
    tcase_add_test(t, nesting_has_an_end);
    tcase_add_test(t, a_file_has_an_end);
    tcase_add_test(t, bytes_that_are_no_text_are_an_error);
    tcase_add_test(t, settings_mean_what_they_say);
    tcase_add_test(t, a_policy_means_what_it_says);
    tcase_add_test(t, a_route_begins_from_the_outer_cache);
    tcase_add_test(t, an_origin_means_what_it_says);
    tcase_add_test(t, protection_means_what_it_says);
    tcase_add_test(t, the_environment_is_asked);
    tcase_add_test(t, files_are_joined);
    tcase_add_test(t, errors_in_included_files_name_those);
    tcase_add_test(t, files_do_not_include_themselves);
    tcase_add_test(t, differences_are_told);
    tcase_add_test(t, printed_defaults_are_a_configuration);
    tcase_add_test(t, every_setting_is_documented);
    tcase_add_loop_test(t, what_is_shipped_is_sound, 0, ROWS(shipped));
    tcase_add_test(t, what_is_commented_out_is_sound_too);
    return run_case("proxy/config", t);
}
