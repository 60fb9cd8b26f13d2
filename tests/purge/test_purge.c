#include "purge/purge.h"

#include "tests/purge/fake_store.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

enum { NAMES_MAX = 8 };

/* ---- asking for a purge and hearing of it */

struct ack {
    atomic_int calls;
    struct purge_result result;
};

static void on_done(void *arg, const struct purge_result *result)
{
    struct ack *ack = arg;
    ack->result = *result;
    atomic_fetch_add(&ack->calls, 1);
}

static void wait_ack(const struct ack *ack)
{
    while (atomic_load(&ack->calls) == 0) sched_yield();
    ck_assert_int_eq(atomic_load(&ack->calls), 1);
}

/* What to purge, as words: "tag:a", "url:http://h/x", "host:h", "prefix:http://h/", "group:g@h", "all". */
struct wish {
    const char *names[NAMES_MAX];
    bool soft, dry_run, uncounted;
    int64_t now_s;
};

struct wording {
    struct view uris[NAMES_MAX], tags[NAMES_MAX], groups[NAMES_MAX], prefixes[NAMES_MAX], hosts[NAMES_MAX];
    struct store_id ids[NAMES_MAX];
    struct purge_request request;
};

static bool after_word(const char *name, const char *word, struct view *rest)
{
    if (strncmp(name, word, strlen(word)) != 0) return false;
    *rest = view_of_str(name + strlen(word));
    return true;
}

static struct store_id id_of(struct view uri)
{
    char key[512];
    struct store_id id = { 0 };
    int n = snprintf(key, sizeof(key), "1\nGET\n%.*s", (int)uri.len, uri.at);
    key_hash(view_of(key, (size_t)n), id.key);
    return id;
}

static void word_name(struct wording *w, const char *name)
{
    struct purge_request *r = &w->request;
    struct view rest;
    if (after_word(name, "tag:", &rest)) w->tags[r->tag_count++] = rest;
    if (after_word(name, "host:", &rest)) w->hosts[r->host_count++] = rest;
    if (after_word(name, "prefix:", &rest)) w->prefixes[r->prefix_count++] = rest;
    if (after_word(name, "all", &rest)) r->all = true;
    if (after_word(name, "group:", &rest)) {
        size_t at = view_find(rest, 0, '@');
        w->groups[r->group_count++] = view_first(rest, at);
        r->group_authority = view_after(rest, at + 1);
    }
    if (after_word(name, "url:", &rest)) {
        w->ids[r->uri_count] = id_of(rest);
        w->uris[r->uri_count++] = rest;
    }
}

static void begin(struct purges *p, const struct wish *wish, struct ack *ack)
{
    struct wording w = { .request = { .soft = wish->soft, .dry_run = wish->dry_run, .count = !wish->uncounted } };
    for (size_t i = 0; i < NAMES_MAX && wish->names[i] != NULL; i++) word_name(&w, wish->names[i]);
    w.request.uris = w.uris;
    w.request.uri_ids = w.ids;
    w.request.tags = w.tags;
    w.request.groups = w.groups;
    w.request.prefixes = w.prefixes;
    w.request.hosts = w.hosts;
    *ack = (struct ack){ 0 };
    purge_begin(p, &w.request, wish->now_s, on_done, ack);
}

static struct purge_result purge(struct purges *p, struct wish wish)
{
    struct ack ack;
    begin(p, &wish, &ack);
    wait_ack(&ack);
    return ack.result;
}

#define PURGE(p, ...)           purge(p, (struct wish){ .names = { __VA_ARGS__ } })
#define PURGE_SOFT(p, now, ...) purge(p, (struct wish){ .names = { __VA_ARGS__ }, .soft = true, .now_s = (now) })
#define DRY_RUN(p, ...)         purge(p, (struct wish){ .names = { __VA_ARGS__ }, .dry_run = true })

/* ---- asking about a response */

static struct purge_verdict check(struct purges *p, const char *uri, const char *const *tags, uint64_t fetch_seq)
{
    uint64_t hashes[NAMES_MAX];
    struct purge_subject s = { .uri = view_of_str(uri), .tags = hashes, .tags_known = true, .fetch_seq = fetch_seq };
    s.authority = purge_authority_of(s.uri);
    for (; tags != NULL && tags[s.tag_count] != NULL; s.tag_count++) {
        const char *tag = tags[s.tag_count], *at = strchr(tag, '@');
        hashes[s.tag_count] = at == NULL ? tag_hash(view_of_str(tag))
                                         : tag_hash_group(view_of(tag, (size_t)(at - tag)), view_of_str(at + 1));
        if (strcmp(tag, "*") == 0) hashes[s.tag_count] = TAG_OVERFLOW;
    }
    return purge_check(p, &s);
}

/* ---- what matches what */

static const struct {
    const char *purged, *uri;
    const char *tags[4];
    bool matches;
} matches[] = {
    { "all", "http://a/x", { 0 }, true },
    { "url:http://a/x", "http://a/x", { 0 }, true },
    { "url:http://a/x", "http://a/x?", { 0 }, false },
    { "url:http://a/x", "http://a/xy", { 0 }, false },
    { "url:http://a/x", "https://a/x", { 0 }, false },
    { "url:http://a/x?q=1", "http://a/x?q=1", { 0 }, true },
    { "url:http://a/x?q=1", "http://a/x", { 0 }, false },
    { "tag:t", "http://a/x", { "t" }, true },
    { "tag:t", "http://a/x", { "s", "t" }, true },
    { "tag:t", "http://a/x", { "s" }, false },
    { "tag:t", "http://a/x", { "T" }, false },
    { "tag:t", "http://a/x", { 0 }, false },
    { "tag:t", "http://a/x", { "*" }, true }, /* too many tags: any */
    { "url:http://a/y", "http://a/x", { "*" }, false },
    { "group:g@a", "http://a/x", { "g@a" }, true },
    { "group:g@a", "http://b/x", { "g@b" }, false }, /* RFC 9875 §2: of one origin */
    { "group:g@a", "http://a/x", { "g" }, false },
    { "tag:g", "http://a/x", { "g@a" }, false },
    { "host:a", "http://a/x", { 0 }, true },
    { "host:a", "https://a/x", { 0 }, true },
    { "host:a", "http://a", { 0 }, true },
    { "host:a", "http://a?q", { 0 }, true },
    { "host:a", "http://a:81/x", { 0 }, false },
    { "host:a:81", "http://a:81/x", { 0 }, true },
    { "host:a", "http://ab/x", { 0 }, false },
    { "host:a", "http://b/a", { "a" }, false },
    { "prefix:http://a/x", "http://a/x", { 0 }, true },
    { "prefix:http://a/x", "http://a/xyz?q", { 0 }, true },
    { "prefix:http://a/x/", "http://a/x", { 0 }, false },
    { "prefix:http://a/x/", "http://a/x/y", { 0 }, true },
    { "prefix:http://a/x", "http://a/X", { 0 }, false },
    { "prefix:http://a/", "http://a/x", { 0 }, true },
    { "prefix:http://a/", "http://ab/x", { 0 }, false },
    { "prefix:http://a", "http://ab/x", { 0 }, true },
    { "prefix:http://a/x?q=1", "http://a/x?q=17", { 0 }, true },
    { "prefix:", "http://a/x", { 0 }, true },
};

START_TEST(a_purge_matches)
{
    struct purges *p = purge_open(NULL, 0);
    uint64_t before = purge_fetch_begin(p);
    struct purge_result done = PURGE(p, matches[_i].purged);
    ck_assert_int_eq(done.error, 0);
    ck_assert_uint_gt(done.seq, before);
    ck_assert_int_eq(check(p, matches[_i].uri, matches[_i].tags, before).hard, matches[_i].matches);
    ck_assert(!check(p, matches[_i].uri, matches[_i].tags, done.seq).hard); /* fetched after it */
    ck_assert(purge_fetch_end(p, before));
    purge_close(p);
}
END_TEST

START_TEST(a_soft_purge_matches_the_same)
{
    struct purges *p = purge_open(NULL, 0);
    uint64_t before = purge_current_seq(p);
    PURGE_SOFT(p, 1700, matches[_i].purged);
    struct purge_verdict v = check(p, matches[_i].uri, matches[_i].tags, before);
    ck_assert(!v.hard);
    ck_assert_int_eq(v.soft, matches[_i].matches);
    if (v.soft) ck_assert_int_eq(v.soft_since_s, 1700);
    purge_close(p);
}
END_TEST

/* A prefix longer than what is compared purges more, never less. */
START_TEST(a_very_long_prefix_matches)
{
    struct purges *p = purge_open(NULL, 0);
    char uri[2001] = "http://a/", prefix[2100];
    memset(uri + 9, 'x', sizeof(uri) - 10);
    snprintf(prefix, sizeof(prefix), "prefix:%s", uri);
    uint64_t before = purge_fetch_begin(p);
    PURGE(p, prefix);
    ck_assert(check(p, uri, NULL, before).hard);
    ck_assert(!check(p, "http://a/x", NULL, before).hard);
    ck_assert(purge_fetch_end(p, before));
    purge_close(p);
}
END_TEST

START_TEST(prefixes_of_every_length_match)
{
    struct purges *p = purge_open(NULL, 0);
    const char *uri = "http://host.test/a/long/enough/path/to/have/many/prefixes?with=a&query=string";
    for (size_t n = 0; n <= strlen(uri); n++) {
        char prefix[200], other[200];
        snprintf(prefix, sizeof(prefix), "prefix:%.*s", (int)n, uri);
        snprintf(other, sizeof(other), "%s", uri);
        uint64_t before = purge_fetch_begin(p);
        PURGE(p, prefix);
        ck_assert(check(p, uri, NULL, before).hard);
        if (n > 0) {
            other[n - 1] = '~';
            ck_assert(!check(p, other, NULL, before).hard);
        }
        ck_assert(purge_fetch_end(p, before));
    }
    purge_close(p);
}
END_TEST

/* A fetch whose response head has not come may carry any tag. */
START_TEST(unknown_tags_match_every_tag)
{
    struct purges *p = purge_open(NULL, 0);
    struct purge_subject s = { .uri = VIEW("http://a/x"), .authority = VIEW("a"), .fetch_seq = purge_fetch_begin(p) };
    PURGE(p, "url:http://a/y");
    ck_assert(!purge_check(p, &s).hard);
    PURGE(p, "tag:t");
    ck_assert(purge_check(p, &s).hard);
    s.tags_known = true;
    ck_assert(!purge_check(p, &s).hard);
    ck_assert(purge_fetch_end(p, s.fetch_seq));
    purge_close(p);
}
END_TEST

START_TEST(hard_and_soft_stand_beside_each_other)
{
    struct purges *p = purge_open(NULL, 0);
    uint64_t first = purge_fetch_begin(p);
    PURGE(p, "tag:t");
    uint64_t second = purge_fetch_begin(p);
    PURGE_SOFT(p, 50, "tag:t");
    uint64_t third = purge_fetch_begin(p);
    PURGE_SOFT(p, 60, "url:http://a/x");
    const char *t[] = { "t", NULL };
    ck_assert(check(p, "http://a/x", t, first).hard);
    ck_assert(!check(p, "http://a/x", t, first).soft);
    ck_assert(check(p, "http://a/x", t, second).soft);
    ck_assert_int_eq(check(p, "http://a/x", t, second).soft_since_s, 50); /* the earlier of the two */
    ck_assert_int_eq(check(p, "http://a/x", t, third).soft_since_s, 60);
    ck_assert(!check(p, "http://a/y", t, third).soft);
    ck_assert_uint_eq(check(p, "http://a/y", t, third).checked_seq, purge_current_seq(p));
    ck_assert(purge_fetch_end(p, first) && purge_fetch_end(p, second) && purge_fetch_end(p, third));
    purge_close(p);
}
END_TEST

START_TEST(ten_thousand_items_are_one_purge)
{
    static char text[PURGE_ITEMS_MAX + 1][32];
    static struct view uris[PURGE_ITEMS_MAX + 1];
    static struct store_id ids[PURGE_ITEMS_MAX + 1];
    struct purges *p = purge_open(&fake, 0);
    for (size_t i = 0; i <= PURGE_ITEMS_MAX; i++) {
        uris[i] = view_of(text[i], (size_t)sprintf(text[i], "http://a/%zu", i));
        ids[i] = id_of(uris[i]);
    }
    fake_store("http://a/9999", 0, purge_current_seq(p), NULL);
    fake_store("http://a/77", 0, purge_current_seq(p), NULL);
    uint64_t before = purge_fetch_begin(p);
    struct purge_request r = { .uris = uris, .uri_ids = ids, .uri_count = PURGE_ITEMS_MAX, .count = true };
    struct ack ack = { 0 };
    purge_begin(p, &r, 0, on_done, &ack);
    wait_ack(&ack);
    ck_assert_int_eq(ack.result.error, 0);
    ck_assert_uint_eq(ack.result.seq, before + 1);
    ck_assert_uint_eq(ack.result.matched, 2);
    for (size_t i = 0; i < PURGE_ITEMS_MAX; i++) ck_assert(check(p, text[i], NULL, before).hard);
    ck_assert(!check(p, text[PURGE_ITEMS_MAX], NULL, before).hard);

    r.uri_count++;
    ack = (struct ack){ 0 };
    purge_begin(p, &r, 0, on_done, &ack);
    wait_ack(&ack);
    ck_assert_int_eq(ack.result.error, -E2BIG);
    ck_assert(!check(p, text[PURGE_ITEMS_MAX], NULL, before).hard);
    ck_assert(purge_fetch_end(p, before));
    purge_close(p);
}
END_TEST

/* ---- against a list of all purges */

static const char *const some_hosts[] = { "a", "b", "ab" };
static const char *const some_paths[] = { "/", "/x", "/x/y", "/xy", "/z?q" };
static const char *const some_tags[] = { "s", "t", "u" };

struct model_purge {
    char name[64];
    bool soft;
    uint64_t seq;
    int64_t time_s;
};

struct response {
    char uri[64];
    const char *tags[3];
    uint64_t fetch_seq;
};

static unsigned pick(unsigned n)
{
    return (unsigned)random() % n;
}

static void pick_name(char name[64])
{
    const char *host = some_hosts[pick(3)], *path = some_paths[pick(5)];
    switch (pick(20)) {
    case 0: strcpy(name, "all"); break;
    case 1:
    case 2: sprintf(name, "host:%s", host); break;
    case 3:
    case 4:
    case 5: sprintf(name, "prefix:http://%s%s", host, path); break;
    case 6:
    case 7:
    case 8:
    case 9: sprintf(name, "tag:%s", some_tags[pick(3)]); break;
    default: sprintf(name, "url:http://%s%s", host, path);
    }
}

static struct response pick_response(uint64_t fetch_seq)
{
    struct response r = { .fetch_seq = fetch_seq };
    unsigned tag = pick(4);
    sprintf(r.uri, "http://%s%s", some_hosts[pick(3)], some_paths[pick(5)]);
    if (tag < 3) r.tags[0] = some_tags[tag];
    if (tag < 2 && pick(2) == 0) r.tags[1] = some_tags[2];
    return r;
}

static bool model_matches(const char *name, const struct response *r)
{
    struct view rest, uri = view_of_str(r->uri);
    if (after_word(name, "url:", &rest)) return view_equal(rest, uri);
    if (after_word(name, "prefix:", &rest)) return view_starts_with(uri, rest);
    if (after_word(name, "host:", &rest)) return view_equal(rest, purge_authority_of(uri));
    if (after_word(name, "tag:", &rest)) {
        for (size_t i = 0; i < 2 && r->tags[i] != NULL; i++) {
            if (view_equal(rest, view_of_str(r->tags[i]))) return true;
        }
        return false;
    }
    return true;
}

static struct purge_verdict model_check(const struct model_purge *purges, size_t n, const struct response *r)
{
    struct purge_verdict v = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (purges[i].seq <= r->fetch_seq || !model_matches(purges[i].name, r)) continue;
        if (purges[i].soft) v.soft = true;
        if (!purges[i].soft) v.hard = true;
    }
    v.soft = v.soft && !v.hard;
    return v;
}

static void model_agrees(struct purges *p, const struct model_purge *purges, size_t n, const struct response *r)
{
    struct purge_verdict want = model_check(purges, n, r), got = check(p, r->uri, r->tags, r->fetch_seq);
    ck_assert_msg(want.hard == got.hard && want.soft == got.soft, "%s fetched at %lu: hard %d %d soft %d %d", r->uri,
                  (unsigned long)r->fetch_seq, want.hard, got.hard, want.soft, got.soft);
}

enum { MODEL_PURGES = 120, MODEL_RESPONSES = 200 };

/* Random purges of a few names; now and then weir is killed after the acknowledgement, and started again. A fetch that never
 * ends keeps every line. */
START_TEST(lookups_agree_with_a_list_of_all_purges)
{
    static struct model_purge purges[MODEL_PURGES];
    static struct response responses[MODEL_RESPONSES];
    struct purges *p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    size_t known = 0;
    srandom((unsigned)_i);
    fake_store("http://keep/x", 0, 0, NULL);
    for (size_t n = 0; n < MODEL_PURGES; n++) {
        struct model_purge *m = &purges[n];
        pick_name(m->name);
        m->soft = pick(3) == 0;
        struct wish wish = { .names = { m->name }, .soft = m->soft, .now_s = (int64_t)n };
        m->seq = purge(p, wish).seq;
        ck_assert(n == 0 || m->seq > purges[n - 1].seq);
        while (known < MODEL_RESPONSES && pick(3) != 0) responses[known++] = pick_response(purge_current_seq(p));
        for (size_t i = 0; i < known; i++) model_agrees(p, purges, n + 1, &responses[i]);
        if (pick(20) != 0) continue;
        purge_close(p);
        p = purge_open(&fake, 0);
        hold = purge_fetch_begin(p);
        for (size_t i = 0; i < known; i++) model_agrees(p, purges, n + 1, &responses[i]);
    }
    (void)hold;
    purge_close(p);
}
END_TEST

/* ---- all interleavings of two fetches and a purge */

struct little_fetch {
    uint64_t hold;
    int content; /* what the origin had: 0 before the change that the purge follows, 1 after */
    bool began, stored, ended;
};

struct little_world {
    struct purges *p;
    struct little_fetch fetch[2];
    int origin;
    struct ack ack;
    char done[16];
};

static void little_fetch_step(struct little_world *w, struct little_fetch *f, int step)
{
    switch (step) {
    case 0:
        f->hold = purge_fetch_begin(w->p);
        f->began = true;
        break;
    case 1: f->content = w->origin; break;
    case 2:
        fake_store("http://a/x", f == w->fetch ? 0 : 1, f->hold, NULL);
        f->stored = true;
        break;
    default: ck_assert(purge_fetch_end(w->p, f->hold)); f->ended = true;
    }
}

static void little_purge_step(struct little_world *w, int step, const char *name)
{
    switch (step) {
    case 0: w->origin = 1; break;
    case 1: begin(w->p, &(struct wish){ .names = { name } }, &w->ack); break;
    default: fake_commit(); wait_ack(&w->ack);
    }
}

/* After the acknowledgement neither what was fetched before it nor a fetch from before it may be used. */
static void little_world_is_right(struct little_world *w)
{
    if (atomic_load(&w->ack.calls) == 0) return;
    for (size_t i = 0; i < 2; i++) {
        struct little_fetch *f = &w->fetch[i];
        bool began_after = f->began && f->hold >= w->ack.result.seq;
        if (!f->began || f->content == 1 || (f->content == -1 && began_after)) continue;
        bool in_store = false;
        pthread_mutex_lock(&fake.lock); /* what is there stays: only we commit */
        for (size_t n = 0; n < fake.record_count; n++) in_store = in_store || fake.records[n].id.variant == i;
        pthread_mutex_unlock(&fake.lock);
        bool reachable = in_store || !f->ended;
        if (reachable) ck_assert_msg(check(w->p, "http://a/x", NULL, f->hold).hard, "%s", w->done);
    }
}

static void play(const char *schedule, const char *name)
{
    struct little_world w = { .p = purge_open(&fake, 0), .fetch = { { .content = -1 }, { .content = -1 } } };
    int step[3] = { 0 };
    purge_set_pause_ms(w.p, 0);
    for (size_t i = 0; schedule[i] != '\0'; i++) {
        int actor = schedule[i] - 'a';
        w.done[i] = schedule[i];
        if (actor < 2) little_fetch_step(&w, &w.fetch[actor], step[actor]++);
        if (actor == 2) little_purge_step(&w, step[2]++, name);
        little_world_is_right(&w);
    }
    fake_commit();
    little_world_is_right(&w);
    purge_close(w.p);
    fake_commit();
    fake.record_count = fake.line_count = 0;
    fake.seq = 0;
}

static void play_all(char *schedule, size_t n, int left[3], const char *name, size_t *played)
{
    static const char letters[] = "abc";
    bool any = false;
    for (int i = 0; i < 3; i++) {
        if (left[i] == 0) continue;
        any = true;
        left[i]--;
        schedule[n] = letters[i];
        play_all(schedule, n + 1, left, name, played);
        left[i]++;
    }
    if (any) return;
    schedule[n] = '\0';
    play(schedule, name);
    ++*played;
}

START_TEST(every_interleaving_of_two_fetches_and_a_purge_is_right)
{
    static const char *const names[] = { "url:http://a/x", "host:a", "prefix:http://a/", "all" };
    char schedule[16];
    size_t played = 0;
    fake.commits_at_once = false;
    play_all(schedule, 0, (int[3]){ 4, 3, 3 }, names[_i], &played);
    ck_assert_uint_eq(played, 4200); /* 10! / (4! 3! 3!) */
}
END_TEST

/* ---- durability */

START_TEST(a_purge_is_acknowledged_once_it_is_durable)
{
    struct ack ack;
    fake.commits_at_once = false;
    struct purges *p = purge_open(&fake, 0);
    uint64_t before = purge_fetch_begin(p);
    begin(p, &(struct wish){ .names = { "tag:t" } }, &ack);
    ck_assert_int_eq(atomic_load(&ack.calls), 0);
    ck_assert(check(p, "http://a/x", (const char *[]){ "t", NULL }, before).hard); /* in force already */
    fake_commit();
    wait_ack(&ack);
    ck_assert_int_eq(ack.result.error, 0);
    ck_assert_uint_eq(fake.line_count, 1);
    ck_assert(purge_fetch_end(p, before));
    fake.commits_at_once = true;
    purge_close(p);
}
END_TEST

START_TEST(what_the_store_cannot_log_is_an_error_and_in_force)
{
    fake.fails = true;
    struct purges *p = purge_open(&fake, 0);
    uint64_t before = purge_fetch_begin(p);
    ck_assert_int_eq(PURGE(p, "host:a").error, -EIO);
    ck_assert(check(p, "http://a/x", NULL, before).hard);
    ck_assert(purge_fetch_end(p, before));
    purge_close(p);
}
END_TEST

enum { LOST_PURGES = 20 };

/* A number that was taken and then lost with kill -9 may stand with a stored response: the next purge still reaches it. */
START_TEST(numbers_lost_in_a_crash_are_not_used_again)
{
    struct purges *p = purge_open(&fake, 0);
    struct ack lost[LOST_PURGES];
    fake_store("http://a/x", 0, purge_fetch_begin(p), NULL); /* never ends: keeps purge's thread from the queue */
    PURGE(p, "tag:t");
    fake.commits_at_once = false;
    for (int i = 0; i < LOST_PURGES; i++) begin(p, &(struct wish){ .names = { "tag:t" } }, &lost[i]);
    uint64_t fetched_at = purge_current_seq(p);
    fake_crash();
    purge_close(p);
    fake.commits_at_once = true;
    fake_store("http://a/y", 0, fetched_at, NULL);

    p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    ck_assert_uint_gt(PURGE(p, "url:http://a/y").seq, fetched_at);
    ck_assert(check(p, "http://a/y", NULL, fetched_at).hard);
    ck_assert(purge_fetch_end(p, hold));
    purge_close(p);
}
END_TEST

/* ---- counting */

static void three_responses(uint64_t seq)
{
    fake_store("http://a/x", 0, seq, (const char *[]){ "t", "s", NULL });
    fake_store("http://a/x", 1, seq, (const char *[]){ "t", NULL });
    fake_store("http://a/x/y", 0, seq, (const char *[]){ "s", NULL });
    fake_store("http://b/x", 0, seq, (const char *[]){ "*", NULL });
}

static const struct {
    const char *names[4];
    uint64_t matched;
} counts[] = {
    { { 0 }, 0 },
    { { "url:http://a/x" }, 2 },
    { { "url:http://a/nothing" }, 0 },
    { { "url:http://a/x", "url:http://a/x" }, 2 },
    { { "url:http://a/x", "url:http://b/x" }, 3 },
    { { "tag:t" }, 3 }, /* the one with too many tags among them */
    { { "tag:s", "tag:t" }, 4 },
    { { "tag:s", "url:http://a/x" }, 4 },
    { { "host:a" }, 3 },
    { { "host:a", "host:b" }, 4 },
    { { "host:a", "url:http://a/x", "prefix:http://a/x" }, 3 },
    { { "prefix:http://a/x" }, 3 },
    { { "prefix:http://a/x/" }, 1 },
    { { "prefix:http://a/x/", "prefix:http://a/" }, 3 },
    { { "prefix:http://" }, 4 },
    { { "prefix:http://a/x/", "tag:s" }, 3 },
    { { "all" }, 4 },
    { { "all", "tag:t" }, 4 },
};

START_TEST(a_purge_counts_what_it_matches)
{
    struct purges *p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    three_responses(hold);
    struct wish wish = { .dry_run = true };
    memcpy(wish.names, counts[_i].names, sizeof(counts[_i].names));
    struct purge_result dry = purge(p, wish);
    ck_assert_uint_eq(dry.matched, counts[_i].matched);
    ck_assert_uint_eq(purge_current_seq(p), hold); /* nothing published */
    ck_assert_uint_eq(fake.line_count, 0);
    wish.dry_run = false;
    ck_assert_uint_eq(purge(p, wish).matched, counts[_i].matched);
    ck_assert_uint_eq(purge(p, wish).matched, 0); /* they are not usable any more, though still there */
    ck_assert_uint_eq(fake.record_count, 4);
    wish.dry_run = true;
    ck_assert_uint_eq(purge(p, wish).matched, 0);
    ck_assert_uint_eq(DRY_RUN(p, "all").matched, 4 - counts[_i].matched);
    fake_store("http://c/x", 0, purge_current_seq(p), NULL);
    ck_assert_uint_eq(DRY_RUN(p, "all").matched, 5 - counts[_i].matched);
    ck_assert(purge_fetch_end(p, hold));
    purge_close(p);
}
END_TEST

/* The record that lists what a key varies on is no response. */
START_TEST(the_list_of_variants_is_not_counted)
{
    struct purges *p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    fake_store_kind(RECORD_VARY, "http://a/x", 0, hold, NULL);
    fake_store("http://a/x", 1, hold, NULL);
    fake_store("http://a/x", 2, hold, NULL);
    ck_assert_uint_eq(DRY_RUN(p, "url:http://a/x").matched, 2);
    ck_assert_uint_eq(DRY_RUN(p, "host:a").matched, 2);
    ck_assert_uint_eq(DRY_RUN(p, "prefix:http://a/").matched, 2);
    ck_assert_uint_eq(DRY_RUN(p, "all").matched, 2);
    ck_assert(purge_fetch_end(p, hold));
    purge_close(p);
}
END_TEST

/* Nothing is reclaimed before it has been counted. */
START_TEST(counting_comes_before_reclaiming)
{
    struct purges *p = purge_open(&fake, 0);
    struct ack ack;
    purge_set_pause_ms(p, 0);
    three_responses(purge_current_seq(p));
    fake.jobs_wait = true;
    begin(p, &(struct wish){ .names = { "tag:t" } }, &ack);
    ck_assert(check(p, "http://a/x", (const char *[]){ "t", NULL }, 0).hard); /* in force, and durable */
    ck_assert_uint_eq(fake.line_count, 1);
    purge(p, (struct wish){ .names = { "host:c" }, .uncounted = true }); /* wakes the thread */
    for (int i = 0; i < 1000; i++) sched_yield();
    ck_assert_int_eq(atomic_load(&ack.calls), 0);
    fake_run_jobs();
    wait_ack(&ack);
    ck_assert_uint_eq(ack.result.matched, 3);
    fake_wait_lines(0);
    ck_assert_uint_eq(fake.record_count, 1);
    purge_close(p);
}
END_TEST

/* A large tag is counted by its index; none of its responses is looked at. */
START_TEST(a_large_tag_is_counted_at_once)
{
    struct purges *p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    for (size_t i = 0; i < FAKE_RECORDS; i++) {
        char uri[64];
        sprintf(uri, "http://a/%zu", i);
        fake_store(uri, 0, hold, (const char *[]){ "t", NULL });
    }
    ck_assert_uint_eq(PURGE(p, "tag:t").matched, FAKE_RECORDS);
    ck_assert(purge_fetch_end(p, hold));
    purge_close(p);
}
END_TEST

/* ---- reclaiming */

static const struct {
    const char *name;
    size_t left;
} reclaims[] = {
    { "url:http://a/x", 2 },     { "tag:t", 1 },          { "tag:s", 1 }, { "host:a", 1 }, { "host:b", 3 },
    { "prefix:http://a/x/", 3 }, { "prefix:http://", 0 }, { "all", 0 },
};

START_TEST(space_is_reclaimed_and_the_line_forgotten)
{
    struct purges *p = purge_open(&fake, 0);
    struct purge_stats stats;
    purge_set_pause_ms(p, 0);
    three_responses(purge_current_seq(p));
    PURGE(p, reclaims[_i].name);
    fake_wait_lines(0);
    ck_assert_uint_eq(fake.record_count, reclaims[_i].left);
    purge_stats(p, &stats);
    ck_assert_uint_eq(stats.lines, 0);
    ck_assert_uint_eq(stats.reclaims_waiting, 0);
    ck_assert_uint_eq(stats.purges, 1);
    ck_assert_uint_eq(stats.matched, 4 - reclaims[_i].left);
    purge_close(p);
}
END_TEST

START_TEST(reclaiming_goes_on_after_a_restart)
{
    struct purges *p = purge_open(&fake, 0);
    uint64_t hold = purge_fetch_begin(p);
    three_responses(hold);
    PURGE(p, reclaims[_i].name);
    ck_assert_uint_eq(fake.line_count, 1);
    purge_close(p); /* the hold has kept everything */
    ck_assert_uint_eq(fake.record_count, 4);
    p = purge_open(&fake, 0);
    fake_wait_lines(1);
    purge_set_pause_ms(p, 0);
    fake_wait_lines(0);
    ck_assert_uint_eq(fake.record_count, reclaims[_i].left);
    purge_close(p);
}
END_TEST

/* A line stays while a fetch from before it may still bring what it matches. */
START_TEST(a_line_stays_for_a_fetch_from_before_it)
{
    struct purges *p = purge_open(&fake, 0);
    purge_set_pause_ms(p, 0);
    uint64_t slow = purge_fetch_begin(p);
    PURGE(p, "url:http://a/x");
    uint64_t later = purge_fetch_begin(p);
    for (int i = 0; i < 1000; i++) sched_yield();
    ck_assert(check(p, "http://a/x", NULL, slow).hard);
    fake_store("http://a/x", 0, slow, NULL);
    ck_assert(purge_fetch_end(p, slow));
    ck_assert(purge_fetch_end(p, later));
    fake_wait_lines(0);
    ck_assert_uint_eq(fake.record_count, 0);
    purge_close(p);
}
END_TEST

struct late_lookup {
    struct purges *p;
    uint64_t hold;
    atomic_bool began;
};

static void sweep_as_a_lookup_begins(void *arg, uint64_t below_seq)
{
    struct late_lookup *l = arg;
    (void)below_seq;
    if (atomic_load(&l->began)) return;
    l->hold = purge_fetch_begin(l->p);
    atomic_store(&l->began, true);
}

/* It may have read the record just before it was removed, and not yet have asked about it. */
START_TEST(a_line_stays_for_a_lookup_during_its_removal)
{
    struct late_lookup l = { .p = purge_open(&fake, 0) };
    purge_set_pause_ms(l.p, 0);
    purge_set_sweeper(l.p, sweep_as_a_lookup_begins, &l);
    PURGE(l.p, "url:http://a/x");
    while (!atomic_load(&l.began)) sched_yield();
    for (int i = 0; i < 1000; i++) sched_yield();
    ck_assert(check(l.p, "http://a/x", NULL, 0).hard);
    ck_assert(purge_fetch_end(l.p, l.hold));
    fake_wait_lines(0);
    purge_close(l.p);
}
END_TEST

START_TEST(a_soft_line_stays_until_the_responses_are_gone)
{
    struct purges *p = purge_open(&fake, 0);
    purge_set_pause_ms(p, 0);
    three_responses(purge_current_seq(p));
    PURGE_SOFT(p, 5, "url:http://a/x");
    PURGE_SOFT(p, 5, "url:http://a/gone");
    fake_wait_lines(1);
    ck_assert_uint_eq(fake.record_count, 4);
    ck_assert(check(p, "http://a/x", NULL, 0).soft);
    fake_store("http://a/x", 0, purge_current_seq(p), NULL); /* validated */
    fake_store("http://a/x", 1, purge_current_seq(p), NULL);
    PURGE_SOFT(p, 5, "url:http://a/gone"); /* any purge makes it look again */
    fake_wait_lines(0);
    purge_close(p);
}
END_TEST

static void count_sweep(void *arg, uint64_t below_seq)
{
    (void)below_seq;
    atomic_fetch_add((atomic_int *)arg, 1);
}

START_TEST(a_failing_store_keeps_its_lines)
{
    struct purges *p = purge_open(&fake, 0);
    struct purge_stats stats;
    atomic_int sweeps = 0;
    purge_set_pause_ms(p, 0);
    purge_set_sweeper(p, count_sweep, &sweeps);
    three_responses(purge_current_seq(p));
    uint64_t hold = purge_fetch_begin(p);
    PURGE(p, "host:a");
    pthread_mutex_lock(&fake.lock);
    fake.fails = true;
    pthread_mutex_unlock(&fake.lock);
    ck_assert(purge_fetch_end(p, hold));
    while (atomic_load(&sweeps) == 0) sched_yield();
    purge_close(p);
    ck_assert_uint_eq(fake.line_count, 1);
    ck_assert_uint_eq(fake.record_count, 4);
    fake.fails = false;
    p = purge_open(&fake, 0);
    purge_stats(p, &stats);
    ck_assert_uint_eq(stats.lines, 1);
    purge_close(p);
}
END_TEST

/* ---- limits */

/* Purges of a thousand URLs each, `from` to `to`. */
static void purge_numbered(struct purges *p, size_t from, size_t to, bool soft)
{
    enum { AT_ONCE = 1000 };
    static char text[AT_ONCE][32];
    static struct view uris[AT_ONCE];
    for (size_t n = from; n < to; n += AT_ONCE) {
        for (size_t i = 0; i < AT_ONCE; i++)
            uris[i] = view_of(text[i], (size_t)sprintf(text[i], "http://a/%zu", n + i));
        struct purge_request r = { .uris = uris, .uri_count = AT_ONCE, .soft = soft };
        struct ack ack = { 0 };
        purge_begin(p, &r, 0, on_done, &ack);
        wait_ack(&ack);
        ck_assert_int_eq(ack.result.error, 0);
    }
}

static struct purge_verdict check_numbered(struct purges *p, size_t n, uint64_t fetch_seq)
{
    char uri[32];
    sprintf(uri, "http://a/%zu", n);
    return check(p, uri, NULL, fetch_seq);
}

static pthread_mutex_t sweeping = PTHREAD_MUTEX_INITIALIZER;

static void sweep_waits(void *arg, uint64_t below_seq)
{
    (void)arg;
    (void)below_seq;
    pthread_mutex_lock(&sweeping);
    pthread_mutex_unlock(&sweeping);
}

/* At the limit more is fetched again, never less. */
START_TEST(at_the_limit_the_older_half_is_folded)
{
    bool soft = _i == 1;
    struct purge_stats stats;
    struct purges *p = purge_open(NULL, 0);
    purge_set_sweeper(p, sweep_waits, NULL);
    pthread_mutex_lock(&sweeping); /* nothing is forgotten meanwhile */
    uint64_t before = purge_current_seq(p);
    purge_numbered(p, 0, PURGE_LINES_MAX, soft);
    uint64_t half = purge_current_seq(p) - PURGE_LINES_MAX / 1000 / 4;
    purge_stats(p, &stats);
    ck_assert_uint_eq(stats.lines, PURGE_LINES_MAX);
    ck_assert_uint_eq(stats.folded, 0);
    purge_numbered(p, PURGE_LINES_MAX, PURGE_LINES_MAX + 1000, soft);
    purge_stats(p, &stats);
    ck_assert_uint_eq(stats.folded, 1);
    ck_assert_uint_le(stats.lines, PURGE_LINES_MAX / 2 + 2000);
    for (size_t i = 0; i < PURGE_LINES_MAX + 1000; i++) {
        struct purge_verdict v = check_numbered(p, i, before);
        ck_assert(soft ? v.soft && !v.hard : v.hard);
    }
    struct purge_verdict newer = check(p, "http://a/other", NULL, half);
    ck_assert(!newer.hard && !newer.soft); /* what was fetched late is not folded over */
    pthread_mutex_unlock(&sweeping);
    purge_close(p);
}
END_TEST

/* Rather than fold, weir gives up on a fetch that lines pile up behind. */
START_TEST(an_endless_fetch_is_given_up_on)
{
    struct purges *p = purge_open(NULL, 0);
    struct purge_stats stats;
    purge_set_pause_ms(p, 0);
    struct purge_subject s = { .uri = VIEW("http://b/x"), .authority = VIEW("b"), .tags_known = true };
    s.fetch_seq = purge_fetch_begin(p);
    s.under_way = true;
    ck_assert(!purge_check(p, &s).hard);
    size_t n = 0;
    do {
        purge_numbered(p, n, n + 1000, false);
        n += 1000;
        purge_stats(p, &stats);
    } while (stats.given_up == 0 && n < PURGE_LINES_MAX);
    ck_assert_uint_ge(n, PURGE_LINES_MAX / 2);
    while (stats.lines > 0) {
        sched_yield();
        purge_stats(p, &stats);
    }
    ck_assert_uint_eq(stats.folded, 0);
    ck_assert(purge_check(p, &s).hard);
    uint64_t young = purge_fetch_begin(p);
    ck_assert(!purge_fetch_end(p, s.fetch_seq));
    ck_assert(purge_fetch_end(p, young));
    purge_close(p);
}
END_TEST

/* ---- threads: the promise itself, under load. A purger changes the origin, purges, and after the acknowledgement notes
 * which version nobody may see an older one of. */

enum { CITY_URLS = 6, CITY_ROUNDS = 300, CITY_SHOPPERS = 2 };

struct city_entry { /* the memory tier */
    pthread_mutex_t lock;
    bool present;
    int version;
    uint64_t fetch_seq, checked_seq;
};

struct city {
    struct purges *p;
    atomic_int origin[CITY_URLS], acknowledged[CITY_URLS];
    atomic_bool over;
    struct city_entry memory[CITY_URLS];
    atomic_ulong used;
};

static const char *const city_uris[CITY_URLS] = { "http://a/0", "http://a/1", "http://a/2",
                                                  "http://b/0", "http://b/1", "http://b/2" };
static const char *const city_tags[CITY_URLS] = { "t0", "t1", "t2", "t3", "t4", "t5" };

static struct purge_verdict city_check(struct city *c, int url, uint64_t seq)
{
    return check(c->p, city_uris[url], (const char *[]){ city_tags[url], NULL }, seq);
}

static void city_sweep(void *arg, uint64_t below_seq)
{
    struct city *c = arg;
    for (int i = 0; i < CITY_URLS; i++) {
        struct city_entry *e = &c->memory[i];
        pthread_mutex_lock(&e->lock);
        if (e->present && e->checked_seq < below_seq) {
            struct purge_verdict v = city_check(c, i, e->fetch_seq);
            if (v.hard) e->present = false;
            e->checked_seq = v.checked_seq;
        }
        pthread_mutex_unlock(&e->lock);
    }
}

/* False when there is nothing usable. Lookup and check under the lock of the sweep. */
static bool city_hit(struct city *c, int url)
{
    struct city_entry *e = &c->memory[url];
    int oldest = atomic_load(&c->acknowledged[url]);
    bool usable = false;
    pthread_mutex_lock(&e->lock);
    if (e->present) {
        struct purge_verdict v = city_check(c, url, e->checked_seq);
        usable = !v.hard;
        if (v.hard) e->present = false;
        e->checked_seq = v.checked_seq;
    }
    if (usable) ck_assert_msg(e->version >= oldest, "%s: %d after %d", city_uris[url], e->version, oldest);
    pthread_mutex_unlock(&e->lock);
    if (usable) atomic_fetch_add(&c->used, 1);
    return usable;
}

static void city_fetch(struct city *c, int url)
{
    struct city_entry *e = &c->memory[url];
    uint64_t seq = purge_fetch_begin(c->p);
    int version = atomic_load(&c->origin[url]);
    sched_yield();
    struct purge_verdict v = city_check(c, url, seq);
    if (!v.hard) {
        pthread_mutex_lock(&e->lock);
        if (!e->present || e->fetch_seq <= seq) {
            e->present = true;
            e->version = version;
            e->fetch_seq = seq;
            e->checked_seq = v.checked_seq;
        }
        pthread_mutex_unlock(&e->lock);
        fake_store(city_uris[url], (uint64_t)version, seq, (const char *[]){ city_tags[url], NULL });
    }
    ck_assert(purge_fetch_end(c->p, seq));
}

/* The store must not give what was purged either: read, check, use, all inside begin and end. */
static void city_read_store(struct city *c, int url)
{
    int oldest = atomic_load(&c->acknowledged[url]);
    uint64_t hold = purge_fetch_begin(c->p);
    for (int version = oldest > 3 ? oldest - 3 : 0; version < oldest; version++) {
        struct store_id id = id_of(view_of_str(city_uris[url]));
        struct store_found found;
        id.variant = (uint64_t)version;
        if (store_get(&fake, &id, 0, &found) != 0) continue;
        free(found.memory);
        ck_assert(city_check(c, url, found.fetch_seq).hard);
    }
    ck_assert(purge_fetch_end(c->p, hold));
}

static void *city_shopper(void *arg)
{
    struct city *c = arg;
    for (unsigned i = 0; !atomic_load(&c->over); i++) {
        int url = (int)(i % CITY_URLS);
        if (!city_hit(c, url)) city_fetch(c, url);
        city_read_store(c, url);
    }
    return NULL;
}

static const char *city_purge_name(char *to, size_t cap, int round, int url)
{
    static const char *const kinds[] = { "url:", "tag:", "prefix:" };
    int kind = round % 5;
    if (kind > 2) {
        snprintf(to, cap, kind == 3 ? "host:%s" : "all", url < 3 ? "a" : "b");
    } else {
        snprintf(to, cap, "%s%s", kinds[kind], kind == 1 ? city_tags[url] : city_uris[url]);
    }
    return to;
}

START_TEST(after_the_acknowledgement_nobody_sees_what_was_before)
{
    static struct city c;
    pthread_t shoppers[CITY_SHOPPERS];
    char name[64];
    c.p = purge_open(&fake, 0);
    purge_set_pause_ms(c.p, 0);
    purge_set_sweeper(c.p, city_sweep, &c);
    for (int i = 0; i < CITY_URLS; i++) pthread_mutex_init(&c.memory[i].lock, NULL);
    for (int i = 0; i < CITY_SHOPPERS; i++) pthread_create(&shoppers[i], NULL, city_shopper, &c);
    for (int round = 0; round < CITY_ROUNDS; round++) {
        int url = round % CITY_URLS, version = atomic_fetch_add(&c.origin[url], 1) + 1;
        ck_assert_int_eq(PURGE(c.p, city_purge_name(name, sizeof(name), round, url)).error, 0);
        atomic_store(&c.acknowledged[url], version);
        unsigned long used = atomic_load(&c.used);
        while (round % 2 == 0 && atomic_load(&c.used) == used) sched_yield();
    }
    atomic_store(&c.over, true);
    for (int i = 0; i < CITY_SHOPPERS; i++) pthread_join(shoppers[i], NULL);
    fake_wait_lines(0);
    for (int i = 0; i < CITY_URLS; i++) (void)city_hit(&c, i);
    ck_assert_uint_gt(atomic_load(&c.used), 0);
    purge_close(c.p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("purge");
    TCase *t = tcase_create("purge");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_purge_matches, 0, ROWS(matches));
    tcase_add_loop_test(t, a_soft_purge_matches_the_same, 0, ROWS(matches));
    tcase_add_test(t, a_very_long_prefix_matches);
    tcase_add_test(t, prefixes_of_every_length_match);
    tcase_add_test(t, unknown_tags_match_every_tag);
    tcase_add_test(t, hard_and_soft_stand_beside_each_other);
    tcase_add_test(t, ten_thousand_items_are_one_purge);
    tcase_add_loop_test(t, lookups_agree_with_a_list_of_all_purges, 0, 20);
    tcase_add_loop_test(t, every_interleaving_of_two_fetches_and_a_purge_is_right, 0, 4);
    tcase_add_test(t, a_purge_is_acknowledged_once_it_is_durable);
    tcase_add_test(t, what_the_store_cannot_log_is_an_error_and_in_force);
    tcase_add_test(t, numbers_lost_in_a_crash_are_not_used_again);
    tcase_add_loop_test(t, a_purge_counts_what_it_matches, 0, ROWS(counts));
    tcase_add_test(t, the_list_of_variants_is_not_counted);
    tcase_add_test(t, counting_comes_before_reclaiming);
    tcase_add_test(t, a_large_tag_is_counted_at_once);
    tcase_add_loop_test(t, space_is_reclaimed_and_the_line_forgotten, 0, ROWS(reclaims));
    tcase_add_loop_test(t, reclaiming_goes_on_after_a_restart, 0, ROWS(reclaims));
    tcase_add_test(t, a_line_stays_for_a_fetch_from_before_it);
    tcase_add_test(t, a_line_stays_for_a_lookup_during_its_removal);
    tcase_add_test(t, a_soft_line_stays_until_the_responses_are_gone);
    tcase_add_test(t, a_failing_store_keeps_its_lines);
    tcase_add_loop_test(t, at_the_limit_the_older_half_is_folded, 0, 2);
    tcase_add_test(t, an_endless_fetch_is_given_up_on);
    tcase_add_test(t, after_the_acknowledgement_nobody_sees_what_was_before);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
