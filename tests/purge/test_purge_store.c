/* Purges with the real store on a real directory: counted, reclaimed, and kept over a kill -9. */
#include "cache/record.h"
#include "cache/store.h"
#include "purge/purge.h"
#include "purge/tag.h"

#include <check.h>
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESPONSES = 300, STORE_BYTES = 16 << 20 };

struct place {
    char dir[64];
    struct store *store;
    struct purges *purges;
};

static void place_open(struct place *w)
{
    char why[512];
    struct store_settings settings = { .path = w->dir, .size_bytes = STORE_BYTES, .reader_threads = 2 };
    enum store_open_result result = store_open(&settings, &w->store, why, sizeof(why));
    ck_assert_msg(result == STORE_OPENED, "%s", why);
    w->purges = purge_open(w->store, 0);
    ck_assert_ptr_nonnull(w->purges);
    purge_set_pause_ms(w->purges, 0);
}

static struct place place_new(void)
{
    struct place w;
    const char *tmp = getenv("TMPDIR");
    snprintf(w.dir, sizeof(w.dir), "%s/weir-purge-XXXXXX", tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    return w;
}

static void place_close(struct place *w)
{
    purge_stop(w->purges);
    store_close(w->store);
    purge_close(w->purges);
}

static void place_remove(struct place *w)
{
    DIR *d = opendir(w->dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    closedir(d);
    rmdir(w->dir);
}

/* ---- responses: http://a/<n>, every second of tag "even", every third of a host "b" */

static struct view uri_of(char to[64], int n)
{
    return view_of(to, (size_t)sprintf(to, "http://%s/%d", n % 3 == 0 ? "b" : "a", n));
}

static struct store_id id_of(struct view uri)
{
    char key[128];
    struct store_id id = { 0 };
    key_hash(view_of(key, (size_t)sprintf(key, "1\nGET\n%.*s", (int)uri.len, uri.at)), id.key);
    return id;
}

static void on_put(void *arg, int result)
{
    ck_assert_int_eq(result, 0);
    atomic_fetch_sub((atomic_int *)arg, 1);
}

static void wait_zero(atomic_int *left)
{
    while (atomic_load(left) > 0) sched_yield();
}

struct waiting_put { /* until the store is done with it */
    _Alignas(8) char record[1024];
    uint64_t tags[2];
};

static void put(struct place *w, int n, uint64_t fetch_seq, struct waiting_put *p, atomic_int *left)
{
    char text[64], key[128];
    struct view uri = uri_of(text, n);
    p->tags[0] = tag_hash_host(purge_authority_of(uri));
    p->tags[1] = tag_hash(VIEW("even"));
    struct record_inputs in = {
        .kind = RECORD_RESPONSE,
        .key = view_of(key, (size_t)sprintf(key, "1\nGET\n%s", text)),
        .tags = p->tags,
        .tag_count = n % 2 == 0 ? 2 : 1,
        .fetch_seq = fetch_seq,
    };
    ck_assert_uint_le(record_size(&in), sizeof(p->record));
    record_write(&in, p->record);
    struct store_put request = {
        .id = id_of(uri),
        .record = p->record,
        .record_len = record_size(&in),
        .fetch_seq = fetch_seq,
        .tags = p->tags,
        .tag_count = in.tag_count,
    };
    ck_assert_int_eq(store_put(w->store, &request, on_put, left), 0);
}

static void put_all(struct place *w)
{
    static struct waiting_put waiting[RESPONSES];
    uint64_t seq = purge_fetch_begin(w->purges);
    atomic_int left = RESPONSES;
    for (int n = 0; n < RESPONSES; n++) put(w, n, seq, &waiting[n], &left);
    wait_zero(&left);
    ck_assert(purge_fetch_end(w->purges, seq));
}

static uint64_t entries(struct place *w)
{
    struct store_stats stats;
    store_stats(w->store, &stats);
    return stats.entries;
}

/* ---- purges */

struct ack {
    atomic_int left;
    struct purge_result result;
};

static void on_purged(void *arg, const struct purge_result *result)
{
    struct ack *ack = arg;
    ack->result = *result;
    atomic_store(&ack->left, 0);
}

static struct purge_result purge(struct place *w, struct purge_request request)
{
    struct ack ack = { .left = 1 };
    request.count = true;
    purge_begin(w->purges, &request, 1700, on_purged, &ack);
    wait_zero(&ack.left);
    ck_assert_int_eq(ack.result.error, 0);
    return ack.result;
}

static const struct view tag_even = { "even", 4 }, host_b = { "b", 1 }, prefix_1 = { "http://a/1", 10 },
                         url_2 = { "http://a/2", 10 };

static struct purge_request request_of(int i, struct store_id *id)
{
    *id = id_of(url_2);
    const struct purge_request requests[] = {
        { .tags = &tag_even, .tag_count = 1 },
        { .hosts = &host_b, .host_count = 1 },
        { .prefixes = &prefix_1, .prefix_count = 1 },
        { .uris = &url_2, .uri_ids = id, .uri_count = 1 },
        { .all = true },
    };
    return requests[i];
}

static bool matches(int i, int n)
{
    char text[64];
    struct view uri = uri_of(text, n);
    const bool answers[] = { n % 2 == 0, n % 3 == 0, view_starts_with(uri, prefix_1), view_equal(uri, url_2), true };
    return answers[i];
}

static uint64_t matching(int i)
{
    uint64_t count = 0;
    for (int n = 0; n < RESPONSES; n++) count += matches(i, n);
    return count;
}

static void wait_reclaimed(struct place *w)
{
    struct purge_stats stats;
    do {
        sched_yield();
        purge_stats(w->purges, &stats);
    } while (stats.lines > 0);
}

/* Exactly those that do not match are still there. */
static void rest_is_there(struct place *w, int i)
{
    for (int n = 0; n < RESPONSES; n++) {
        char text[64];
        struct store_id id = id_of(uri_of(text, n));
        struct store_found found;
        int rc = store_get(w->store, &id, 0, &found);
        ck_assert_int_eq(rc == 0, !matches(i, n));
        if (rc == 0) free(found.memory);
    }
}

START_TEST(a_purge_is_counted_and_reclaimed)
{
    struct place w = place_new();
    struct store_id id;
    place_open(&w);
    put_all(&w);
    struct purge_request request = request_of(_i, &id);
    request.dry_run = true;
    ck_assert_uint_eq(purge(&w, request).matched, matching(_i));
    request.dry_run = false;
    ck_assert_uint_eq(purge(&w, request).matched, matching(_i));
    wait_reclaimed(&w);
    rest_is_there(&w, _i);
    ck_assert_uint_eq(purge(&w, request).matched, 0);
    place_close(&w);
    place_open(&w);
    rest_is_there(&w, _i);
    ck_assert_uint_eq(entries(&w), RESPONSES - matching(_i));
    place_close(&w);
    place_remove(&w);
}
END_TEST

static void be_killed_after_the_purge(struct place *w, int i)
{
    struct store_id id;
    place_open(w);
    put_all(w);
    (void)purge_fetch_begin(w->purges); /* so that nothing is reclaimed */
    purge(w, request_of(i, &id));
    kill(getpid(), SIGKILL);
}

START_TEST(a_purge_survives_kill)
{
    struct place w = place_new();
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) be_killed_after_the_purge(&w, _i);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    place_open(&w);
    ck_assert_uint_gt(purge_current_seq(w.purges), 1); /* above what the killed one may have used */
    wait_reclaimed(&w);
    rest_is_there(&w, _i);
    place_close(&w);
    place_remove(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("purge with the store");
    TCase *t = tcase_create("purge with the store");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_purge_is_counted_and_reclaimed, 0, 5);
    tcase_add_loop_test(t, a_purge_survives_kill, 0, 5);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
