/* The list of the hottest: it names what memory held, hottest first, survives a restart, and a damaged one is told from none. */
#include "cache/hot.h"
#include "tests/cache/objects.h"

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

enum { MIB = 1 << 20, STORE = 16 * MIB, CONTENT = 1000 };

/* ---- both tiers over a directory */

struct house {
    char dir[64];
    struct store *store;
    struct cache *cache;
};

static void house_open(struct house *h, uint64_t memory_bytes)
{
    char why[512];
    struct store_settings settings = { .path = h->dir, .size_bytes = STORE, .reader_threads = 1 };
    ck_assert_int_eq(store_open(&settings, &h->store, why, sizeof why), STORE_OPENED);
    struct cache_settings cache = { .memory_bytes = memory_bytes, .store = h->store };
    h->cache = cache_new(&cache);
    ck_assert_ptr_nonnull(h->cache);
}

static struct house house_new(uint64_t memory_bytes)
{
    struct house h = { .dir = "" };
    const char *tmp = getenv("TMPDIR");
    snprintf(h.dir, sizeof h.dir, "%s/weir-hot-XXXXXX", tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(h.dir));
    house_open(&h, memory_bytes);
    return h;
}

static void house_close(struct house *h)
{
    store_close(h->store);
    cache_free(h->cache);
}

static void house_end(struct house *h)
{
    house_close(h);
    DIR *d = opendir(h->dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') ck_assert_int_eq(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    ck_assert_int_eq(rmdir(h->dir), 0);
}

static void keep(struct house *h, unsigned n)
{
    struct object *o = object_of_number(n, CONTENT, 0);
    cache_admit(h->cache, o, NULL, NULL);
    object_unref(&o);
}

/* Used so often that eviction would keep it. */
static void use(struct house *h, unsigned n, int times)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    struct store_id id = id_of_number(n);
    for (int i = 0; i < times; i++) {
        struct object *o = memory_get(cache_memory(h->cache), &id, k.text, VIEW(""));
        ck_assert(o != NULL && is_number(o, n));
        object_unref(&o);
    }
}

static bool in_memory(struct house *h, unsigned n)
{
    struct store_id id = id_of_number(n);
    return memory_uses(cache_memory(h->cache), &id) >= 0;
}

struct outcome_of_save {
    sem_t sem;
    int64_t result;
};

static void on_saved(void *arg, int64_t result)
{
    struct outcome_of_save *o = arg;
    o->result = result;
    sem_post(&o->sem);
}

static int64_t save(struct house *h, const struct hot_list *rest)
{
    struct outcome_of_save o;
    sem_init(&o.sem, 0, 0);
    ck_assert_int_eq(hot_save(h->cache, rest, on_saved, &o), 0);
    while (sem_wait(&o.sem) != 0) continue;
    sem_destroy(&o.sem);
    return o.result;
}

static bool is_id(const struct store_id *id, unsigned n)
{
    struct store_id wanted = id_of_number(n);
    return memcmp(id, &wanted, sizeof wanted) == 0;
}

/* ---- the list */

START_TEST(the_list_survives_a_restart_hottest_first)
{
    struct house h = house_new(4 * MIB);
    struct hot_list list;
    ck_assert_int_eq(hot_load(h.store, &list), -ENOENT);
    for (unsigned n = 0; n < 500; n++) keep(&h, n);
    use(&h, 100, 3);
    use(&h, 7, 2);
    use(&h, 400, 1);
    ck_assert_int_eq(save(&h, NULL), 500);
    house_close(&h);
    house_open(&h, 4 * MIB);
    ck_assert_int_eq(hot_load(h.store, &list), 0);
    ck_assert_uint_eq(list.count, 500);
    ck_assert(is_id(&list.ids[0], 100) && is_id(&list.ids[1], 7) && is_id(&list.ids[2], 400));
    hot_list_free(&list);
    house_end(&h);
}
END_TEST

START_TEST(what_was_not_reached_stands_behind)
{
    struct house h = house_new(4 * MIB);
    struct store_id waiting[2] = { id_of_number(900), id_of_number(901) };
    struct hot_list rest = { waiting, 2 }, list;
    keep(&h, 1);
    ck_assert_int_eq(save(&h, &rest), 3);
    ck_assert_int_eq(hot_load(h.store, &list), 0);
    ck_assert_uint_eq(list.count, 3);
    ck_assert(is_id(&list.ids[0], 1) && is_id(&list.ids[1], 900) && is_id(&list.ids[2], 901));
    hot_list_free(&list);
    house_end(&h);
}
END_TEST

START_TEST(the_list_is_no_response)
{
    struct house h = house_new(4 * MIB);
    struct store_stats stats;
    struct store_id waiting[2000] = { { .key = { 1, 2 } } };
    struct hot_list rest = { waiting, 2000 }, list;
    keep(&h, 1);
    for (int times = 0; times < 3; times++) ck_assert_int_eq(save(&h, &rest), 2001);
    store_stats(h.store, &stats);
    ck_assert_uint_eq(stats.entries, 1);
    uint64_t size = stats.size_bytes / 1000; /* far more than fits: everything ordinary leaves */
    for (unsigned n = 2; n < size; n++) keep(&h, n);
    ck_assert_int_eq(hot_load(h.store, &list), 0);
    ck_assert_uint_eq(list.count, 2001);
    hot_list_free(&list);
    house_end(&h);
}
END_TEST

START_TEST(a_damaged_list_is_told_from_none)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = { { "", 0 },
                { "hot", 3 },
                { "hot1\x18\0\0\0\2\0\0\0\0\0\0\0too short", 25 },
                { "cold\x18\0\0\0\0\0\0\0\0\0\0\0", 16 } };
    struct house h = house_new(4 * MIB);
    struct hot_list list;
    ck_assert_int_eq(store_put_note(h.store, bad[_i].bytes, bad[_i].len, NULL, NULL), 0);
    house_close(&h);
    house_open(&h, 4 * MIB);
    ck_assert_int_eq(hot_load(h.store, &list), -EIO);
    keep(&h, 1);
    ck_assert_int_eq(save(&h, NULL), 1); /* a good one takes its place */
    ck_assert_int_eq(hot_load(h.store, &list), 0);
    hot_list_free(&list);
    house_end(&h);
}
END_TEST

/* ---- bringing back */

static bool keep_odd(void *arg, struct object *o)
{
    (void)arg;
    return (o->content[0] & 1) != 0;
}

static enum cache_brought bring(struct house *h, unsigned n)
{
    struct store_id id = id_of_number(n);
    return cache_bring(h->cache, &id, keep_odd, NULL);
}

START_TEST(what_is_brought_is_there_whole)
{
    struct house h = house_new(4 * MIB);
    for (unsigned n = 0; n < 4; n++) keep(&h, n);
    house_close(&h);
    house_open(&h, 4 * MIB);
    keep(&h, 3);
    ck_assert_int_eq(bring(&h, 1), CACHE_BROUGHT);
    use(&h, 1, 1);
    ck_assert_int_eq(bring(&h, 1), CACHE_WAS_THERE);
    ck_assert_int_eq(bring(&h, 2), CACHE_NOT_KEPT);
    ck_assert_int_eq(bring(&h, 3), CACHE_WAS_THERE);
    ck_assert_int_eq(bring(&h, 9), CACHE_NOT_STORED);
    ck_assert(in_memory(&h, 1) && !in_memory(&h, 2) && in_memory(&h, 3));
    house_end(&h);
}
END_TEST

/* What clients asked for stays; what comes back is in the order in which it would leave: the hottest last. */
START_TEST(what_is_brought_displaces_nobody)
{
    enum { MANY = 3000, ASKED = 500 };
    struct house h = house_new(8 * MIB);
    unsigned n = 0, brought = 0;
    for (unsigned i = 0; i < MANY; i++) keep(&h, 2 * i + 1);
    house_close(&h);
    house_open(&h, MIB);
    for (unsigned i = 0; i < ASKED; i++) keep(&h, MANY * 2 + i);
    while (bring(&h, 2 * n + 1) == CACHE_BROUGHT) n++;
    brought = n;
    ck_assert_uint_gt(brought, 100);
    for (unsigned i = 0; i < ASKED; i++) ck_assert(in_memory(&h, MANY * 2 + i));
    struct memory_stats stats;
    memory_stats(cache_memory(h.cache), &stats);
    ck_assert_uint_eq(stats.evictions, 0);
    ck_assert_uint_eq(stats.rejected, 0);
    ck_assert_uint_le(stats.bytes, stats.limit_bytes);
    struct store_id first = id_of_number(1);
    struct memory_hot hottest[MANY];
    size_t held = memory_hottest(cache_memory(h.cache), hottest, MANY);
    ck_assert_uint_eq(held, stats.entries);
    size_t at = 0;
    while (at < held && memcmp(&hottest[at].id, &first, sizeof first) != 0) at++;
    ck_assert_uint_lt(at, 64); /* of some shard the hottest */
    house_end(&h);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("hot");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, the_list_survives_a_restart_hottest_first);
    tcase_add_test(t, what_was_not_reached_stands_behind);
    tcase_add_test(t, the_list_is_no_response);
    tcase_add_loop_test(t, a_damaged_list_is_told_from_none, 0, 4);
    tcase_add_test(t, what_is_brought_is_there_whole);
    tcase_add_test(t, what_is_brought_displaces_nobody);
    return run_case("hot", t);
}
