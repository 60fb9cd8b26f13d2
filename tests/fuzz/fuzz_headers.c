/* fuzz_headers: any bytes into every parser of headers/, and what must hold of whatever comes out.
 *
 * With libFuzzer:  clang -DWEIR_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_headers.c headers/?*.c
 * Without:         fuzz_headers [INPUTS [SEED]]  mutates the seeds below; the same SEED makes the same inputs. */
#include <stdio.h>
#include <stdlib.h>

#include "headers/cache_control.h"
#include "headers/etag.h"
#include "headers/http_date.h"
#include "headers/list.h"
#include "headers/message.h"
#include "headers/range.h"
#include "headers/structured.h"
#include "headers/target.h"

enum { LINES_MAX = 24, INPUT_MAX = 4096, NOW_S = 1735689600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds of every input; the seed and the number of the input say which it was. */
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "fuzz_headers: line %d: does not hold: %s\n", __LINE__, #condition);                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static bool is_within(struct view part, struct view whole)
{
    return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

static void check_list(struct view v)
{
    struct view rest = v, member, name, argument;
    char text[64];
    bool has_argument;
    const char *last = v.at;
    while (list_next(&rest, &member)) {
        HOLDS(member.len > 0 && is_within(member, v) && member.at >= last);
        last = member.at + member.len;
        list_split_argument(member, &name, &argument, &has_argument);
        HOLDS(name.len + argument.len + has_argument == member.len);
        HOLDS(list_unquote(argument, text, sizeof(text)) <= (int)sizeof(text));
    }
    HOLDS(rest.len == 0);
}

static void check_date(struct view v)
{
    char text[HTTP_DATE_LEN + 1];
    int64_t t_s, again_s;
    if (!http_date_parse(v, NOW_S, &t_s)) return;
    http_date_format(t_s, text);
    HOLDS(http_date_parse(view_of_str(text), NOW_S, &again_s) && again_s == t_s);
}

static void check_etag(struct view v)
{
    struct view half = view_first(v, v.len / 2), other = view_after(v, v.len / 2);
    HOLDS(etag_match_weak(v, v));
    HOLDS(etag_match_strong(v, v) == !etag_is_weak(v));
    HOLDS(etag_match_weak(half, other) == etag_match_weak(other, half));
    HOLDS(etag_match_weak(half, other) || !etag_match_strong(half, other));
}

static void check_range(struct view v)
{
    static const int64_t lengths[] = { 0, 1, 10, 1000, INT64_MAX };
    for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
        struct range_set r = range_parse(v, lengths[l]);
        HOLDS((r.count > 0) == (r.verdict == RANGE_SATISFIABLE) && r.count <= RANGE_MAX_PARTS);
        for (size_t i = 0; i < r.count; i++) {
            HOLDS(r.parts[i].first >= 0 && r.parts[i].first <= r.parts[i].last && r.parts[i].last < lengths[l]);
        }
    }
    struct content_range c;
    if (content_range_parse(v, &c)) {
        HOLDS(!c.satisfied || (c.first >= 0 && c.first <= c.last && (c.length < 0 || c.last < c.length)));
        HOLDS(c.satisfied || c.length >= 0);
    }
    int64_t first = 0, last = 0;
    if (range_parse_single(v, &first, &last)) HOLDS(first < 0 ? last >= 0 : last < 0 || first <= last);
}

static void check_authority(struct view v)
{
    char once[256], twice[256];
    if (!authority_is_valid(v)) return;
    int n = authority_normalise(v, true, once, sizeof(once));
    if (n < 0) return;
    struct view normal = view_of(once, (size_t)n);
    HOLDS(authority_is_valid(normal));
    HOLDS(authority_normalise(normal, true, twice, sizeof(twice)) == n && memcmp(once, twice, (size_t)n) == 0);
}

static void check_path(struct view v)
{
    char once[INPUT_MAX];
    int n = path_normalise(v, once, v.len);
    HOLDS(n >= 0 && (size_t)n <= v.len);
    if (n > 0) HOLDS(path_normalise(v, once, (size_t)n - 1) == -1);
}

static bool has_dot_segment(struct view path)
{
    for (size_t i = 0; i < path.len;) {
        size_t end = view_find(path, i + 1, '/');
        struct view segment = view_of(path.at + i + 1, end - i - 1);
        if (view_equal(segment, VIEW(".")) || view_equal(segment, VIEW(".."))) return true;
        i = end;
    }
    return false;
}

static void check_target(struct view v)
{
    for (int is_connect = 0; is_connect < 2; is_connect++) {
        struct target t = target_parse(v, is_connect != 0);
        if (t.form == TARGET_INVALID) continue;
        HOLDS(is_within(t.scheme, v) && is_within(t.authority, v) && is_within(t.query, v));
        HOLDS((t.path.len > 0 && t.path.at[0] == '/') == (t.form == TARGET_ORIGIN || t.form == TARGET_ABSOLUTE));
    }
    struct uri base, u;
    char *to = malloc(v.len + 8);
    HOLDS(to != NULL && uri_parse(VIEW("http://a.test/b/c?d"), &base));
    if (uri_resolve(&base, v, to, v.len + 8, &u)) {
        HOLDS(u.path.len > 0 && u.path.at[0] == '/' && !has_dot_segment(u.path));
        HOLDS(authority_is_valid(u.authority));
    }
    free(to);
}

static void check_value(struct view v)
{
    check_list(v);
    check_date(v);
    check_etag(v);
    check_range(v);
    check_authority(v);
    check_path(v);
    check_target(v);
    (void)field_value_is_valid(v);
    HOLDS((method_of(v) == METHOD_OTHER) || v.len >= 3);
    enum field_id id = field_id_of(v);
    if (id != FIELD_OTHER)
        HOLDS(view_equal_nocase(v, view_of_str(field_traits_of(id)->name)) && field_name_is_valid(v));
}

static void check_seconds(struct seconds s)
{
    HOLDS(s.present || (!s.valid && s.value == 0));
    HOLDS(s.valid ? s.value >= 0 && s.value <= DELTA_SECONDS_MAX : s.value == 0);
}

static void check_directives(struct field_section s)
{
    const enum field_id targets[] = { FIELD_CDN_CACHE_CONTROL };
    struct response_directives d[2] = { response_directives_parse(s), { .source = FIELD_CACHE_CONTROL } };
    if (targeted_directives_parse(s, targets, 1, &d[1])) HOLDS(d[1].targeted && !d[1].no_cache_fields_present);
    for (int i = 0; i < 2; i++) {
        check_seconds(d[i].max_age);
        check_seconds(d[i].s_maxage);
        check_seconds(d[i].stale_while_revalidate);
        check_seconds(d[i].stale_if_error);
        HOLDS(d[i].no_cache_fields_present == (d[i].no_cache_fields.len > 0));
        HOLDS(d[i].private_fields_present == (d[i].private_fields.len > 0));
        HOLDS(!no_cache_lists(s, &d[i], VIEW("set-cookie")) || d[i].no_cache_fields_present);
        HOLDS(!private_lists(s, &d[i], VIEW("set-cookie")) || d[i].private_fields_present);
    }
    struct request_directives r = request_directives_parse(s);
    check_seconds(r.max_age);
    check_seconds(r.max_stale);
    check_seconds(r.min_fresh);
    int64_t age_s = 0;
    if (age_parse(s, &age_s)) HOLDS(age_s >= 0 && age_s <= DELTA_SECONDS_MAX);
}

static void check_section(struct field_section s)
{
    struct sf_member members[8];
    struct sf_item items[8];
    char text[16];
    check_directives(s);
    HOLDS(sf_dictionary_parse(s, FIELD_CDN_CACHE_CONTROL, members, 8) <= 8);
    int n = sf_list_parse(s, FIELD_CACHE_GROUPS, items, 8);
    for (int i = 0; i < n; i++) {
        if (items[i].type == SF_STRING) HOLDS(sf_string_text(items[i].text, text, sizeof(text)) <= 16);
    }
    (void)etag_list_find(s, FIELD_IF_NONE_MATCH, VIEW("\"a\""), false);
    HOLDS(etag_list_find(s, FIELD_IF_NONE_MATCH, VIEW(""), true) != ETAG_LIST_MATCH);
    for (size_t i = 0; i < s.count; i++) {
        HOLDS(field_find(s, 0, s.lines[i].name) <= i);
        HOLDS(field_count(s, s.lines[i].id) > 0);
        (void)field_named_by_connection(s, s.lines[i].name);
    }
}

/* A block of exactly its size, so that the sanitizer sees the first byte read beyond it. */
static struct view copy_of(struct view v)
{
    char *at = malloc(v.len > 0 ? v.len : 1);
    HOLDS(at != NULL);
    if (v.len > 0) memcpy(at, v.at, v.len);
    return view_of(at, v.len);
}

static void free_copy(struct view v)
{
    free((void *)(uintptr_t)v.at);
}

/* "Name: value" lines, as many as there are; each name and value in a block of its own. */
static size_t lines_of(struct view text, struct field *lines)
{
    size_t n = 0;
    while (text.len > 0 && n < LINES_MAX) {
        struct view line = view_first(text, view_find(text, 0, '\n'));
        size_t colon = view_find(line, 0, ':');
        struct view name = copy_of(view_first(line, colon));
        struct view value = copy_of(view_trim_ows(view_after(line, colon + 1)));
        lines[n++] = (struct field){ field_id_of(name), name, value };
        text = view_after(text, line.len + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX) return 0;
    struct field lines[LINES_MAX];
    struct view text = view_of((const char *)data, size);
    struct view whole = copy_of(text);
    size_t n = lines_of(text, lines);
    check_value(whole);
    for (size_t i = 0; i < n; i++) {
        check_value(lines[i].name);
        check_value(lines[i].value);
    }
    check_section((struct field_section){ lines, n });
    for (size_t i = 0; i < n; i++) {
        free_copy(lines[i].name);
        free_copy(lines[i].value);
    }
    free_copy(whole);
    return 0;
}

#ifndef WEIR_LIBFUZZER

static const char *const seeds[] = {
    "Cache-Control: max-age=3600, s-maxage=\"60\", private=\"Set-Cookie, X-A\"\nCache-Control: no-cache=\"A\", max-stale",
    "Cache-Control: stale-while-revalidate=30, stale-if-error=60, foo=\"a, max-age=1\\\"\", must-understand, no-store",
    "CDN-Cache-Control: max-age=60, no-store=?0;p=1, x=(1 \"a\";q), y=:aGVsbG8=:, z=@12, d=%\"a%c3%bc\", e=1.5",
    "Cache-Groups: \"a\", \"b\\\"c\";p, tok, (\"x\" 1)\nCache-Groups: \"d\"",
    "If-None-Match: W/\"a,b\", \"c\", d\nIf-None-Match: *\nETag: W/\"x\"",
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\nExpires: Sunday, 06-Nov-94 08:49:37 GMT\nLast-Modified: Sun Nov  6 08:49:37 1994",
    "Range: bytes=0-4, 6-, -3\nContent-Range: bytes 0-4/10\nIf-Range: \"a\"",
    "Content-Range: bytes */10\nRange: bytes=0-18446744073709551616",
    "Connection: close, X-A\nAge: 7200, 10\nAge: x\nVary: *, accept",
    "Host: [2001:db8::1]:8080\nHost: A.Test.:80\nLocation: //g/../a;b?c#d\nContent-Location: ../x/./y/..",
    "/a/%7eb/%2F/../c?d=%41#e",
    "http://user@A.test:0080/a/b?c",
    "https://[::ffff:127.0.0.1]:443/../..",
    "a.test:443",
    "*",
};

static const char *const tokens[] = {
    "\"",
    "\\",
    "\\\"",
    ",",
    ", ",
    "=",
    ";",
    ":",
    "/",
    "//",
    "..",
    "/./",
    "?",
    "#",
    "%",
    "%2e",
    "%41",
    "-",
    "--",
    "0",
    "1",
    "[",
    "]",
    "::",
    "*",
    "W/",
    "\n",
    "\t",
    " ",
    "GMT",
    "bytes=",
    "(",
    ")",
    "?1",
    "@",
    "\xff",
    "max-age",
    "no-cache=\"",
    "2147483648",
    "Age: ",
    "http://",
    "Cache-Control: ",
    "CDN-Cache-Control: ",
    "99999999999999999999",
};

/* xorshift64*: the same inputs for the same seed, on every machine. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static size_t below(uint64_t *state, size_t limit)
{
    return limit > 0 ? (size_t)(next_random(state) >> 33) % limit : 0;
}

struct input {
    size_t len;
    char bytes[INPUT_MAX];
};

/* Put n bytes in at `where`, moving the rest; nothing happens when there is no room. */
static void insert(struct input *in, size_t where, const char *bytes, size_t n)
{
    if (in->len + n > INPUT_MAX) return;
    memmove(in->bytes + where + n, in->bytes + where, in->len - where);
    memcpy(in->bytes + where, bytes, n);
    in->len += n;
}

static void insert_text(struct input *in, uint64_t *random, const char *const *texts, size_t count)
{
    const char *text = texts[below(random, count)];
    insert(in, below(random, in->len + 1), text, strlen(text));
}

static void cut_out(struct input *in, size_t where, size_t n)
{
    memmove(in->bytes + where, in->bytes + where + n, in->len - where - n);
    in->len -= n;
}

static void repeat(struct input *in, size_t where, size_t n)
{
    char again[64];
    if (n > sizeof(again)) n = sizeof(again);
    memcpy(again, in->bytes + where, n);
    insert(in, where, again, n);
}

static void mutate(struct input *in, uint64_t *random)
{
    size_t where = below(random, in->len);
    size_t n = below(random, in->len - where + 1);
    switch (below(random, 6)) {
    case 0:
        if (in->len > 0) in->bytes[where] = (char)next_random(random);
        break;
    case 1:
        if (in->len > 0) in->bytes[where] ^= (char)(1 << below(random, 8));
        break;
    case 2: insert_text(in, random, tokens, sizeof(tokens) / sizeof(tokens[0])); break;
    case 3: insert_text(in, random, seeds, sizeof(seeds) / sizeof(seeds[0])); break;
    case 4: cut_out(in, where, n); break;
    case 5: repeat(in, where, n); break;
    }
}

static void make_input(struct input *in, uint64_t *random)
{
    in->len = 0;
    insert_text(in, random, seeds, sizeof(seeds) / sizeof(seeds[0]));
    for (size_t left = below(random, 8); left > 0; left--) mutate(in, random);
}

static unsigned long long number_argument(int argc, char **argv, int i, unsigned long long otherwise)
{
    return i < argc ? strtoull(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct input in;
    unsigned long long inputs = number_argument(argc, argv, 1, 200000);
    unsigned long long seed = number_argument(argc, argv, 2, 1);
    uint64_t random = seed * 2 + 1; /* never 0, where the sequence would stay */
    for (unsigned long long i = 0; i < inputs; i++) {
        make_input(&in, &random);
        (void)LLVMFuzzerTestOneInput((const uint8_t *)in.bytes, in.len);
    }
    printf("fuzz_headers: %llu inputs from seed %llu, nothing broke\n", inputs, seed);
    return EXIT_SUCCESS;
}

#endif
