/* The front door: what is kept is found in either tier, whole and as the right variant; what the store does not take leaves
 * nothing half behind. The store is a fake that fails on demand; test_tiers has the real one.                            */
#include "cache/cache.h"
#include "tests/cache/decisions.h"
#include "tests/cache/fake_store.h"
#include "tests/cache/objects.h"

#include <pthread.h>

enum { MIB = 1 << 20, MEMORY = 4 * MIB, LARGE = 600 * 1000, MEDIUM = 100 * 1000 };

/* ---- a cache over the fake */

struct shelf {
    struct store *store;
    struct cache *cache;
    struct policy policy;
};

static struct shelf *shelf_new(bool with_store)
{
    struct shelf *s = calloc(1, sizeof *s);
    s->store = with_store ? fake_store_new() : NULL;
    s->policy = default_policy();
    struct cache_settings settings = { .memory_bytes = MEMORY, .store = s->store };
    s->cache = cache_new(&settings);
    ck_assert_ptr_nonnull(s->cache);
    return s;
}

/* Memory is lost, the store stays. */
static void restart(struct shelf *s)
{
    fake_commit(s->store);
    cache_free(s->cache);
    struct cache_settings settings = { .memory_bytes = MEMORY, .store = s->store };
    s->cache = cache_new(&settings);
    ck_assert_ptr_nonnull(s->cache);
}

static void shelf_free(struct shelf *s)
{
    if (s->store != NULL) fake_store_free(s->store);
    cache_free(s->cache);
    free(s);
}

static void count_done(void *arg)
{
    (*(int *)arg)++;
}

/* ---- asking */

struct look {
    struct asked asked;
    struct cache_query q;
    char key_text[KEY_TEXT_MAX], variant_text[VARIANT_TEXT_MAX];
    enum cache_answer answer;
};

static enum cache_answer look(struct shelf *s, struct look *l, const char *line, const char *fields, bool stored)
{
    memset(&l->q, 0, sizeof l->q);
    l->q.request = ask(&l->asked, line, fields);
    l->q.policy = &s->policy;
    l->q.text = l->variant_text;
    ck_assert(key_from_request(l->q.request, &s->policy, l->key_text, sizeof l->key_text, &l->q.key));
    l->answer = cache_find_in_memory(s->cache, &l->q);
    if (l->answer != CACHE_FOUND && stored) l->answer = cache_find_stored(s->cache, &l->q);
    return l->answer;
}

static void look_end(struct look *l)
{
    cache_query_end(&l->q);
}

/* ---- keeping */

static char *content_of(size_t len, unsigned seed)
{
    char *content = malloc(len + 1);
    for (size_t i = 0; i < len; i++) content[i] = (char)((i * 7 + seed) >> (i % 5));
    return content;
}

struct kept {
    const char *line, *request_fields, *vary;
    size_t len;
    uint64_t seq;
};

static struct object *object_for(struct shelf *s, const struct kept *k, struct key *key, struct variant *v)
{
    static struct asked a;
    static char key_text[KEY_TEXT_MAX], variant_text[VARIANT_TEXT_MAX];
    const struct request_head *r = ask(&a, k->line, k->request_fields);
    *v = (struct variant){ .text = VIEW("") };
    ck_assert(key_from_request(r, &s->policy, key_text, sizeof key_text, key));
    if (k->vary != NULL)
        ck_assert(
            variant_from_request(view_of_str(k->vary), r->fields, &s->policy, variant_text, sizeof variant_text, v));
    struct field type = { FIELD_CONTENT_TYPE, VIEW("Content-Type"), VIEW("text/plain") };
    char *content = content_of(k->len, (unsigned)k->len);
    bool inside = k->len <= OBJECT_INLINE_MAX;
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = key->text,
                                .variant = v->text,
                                .stored = { .status = 200 },
                                .fields = { &type, 1 },
                                .fetch_seq = k->seq,
                                .content_length = (int64_t)k->len,
                                .content = inside ? view_of(content, k->len) : view_of("", 0) };
    struct store_id id = { .key = { key->hash[0], key->hash[1] }, .variant = v->hash };
    struct body *body = NULL;
    uint64_t number = 0;
    if (!inside) {
        struct body_settings settings = { .length = -1,
                                          .whole_limit_bytes = cache_whole_limit_bytes(s->cache),
                                          .held = memory_held(cache_memory(s->cache)),
                                          .store = s->store };
        body = body_new(&settings);
        for (size_t at = 0; at < k->len;) {
            size_t n = k->len - at < 10000 ? k->len - at : 10000;
            if (body_append(body, content + at, n) == BODY_PAUSE) fake_commit(s->store);
            at += n;
        }
        body_complete(body);
        if (s->store != NULL) fake_commit(s->store);
        number = body_number(body);
        if (number != 0) body_keep_number(body);
    }
    struct object *o = object_new(&in, &id, body, number);
    body_unref(&body);
    free(content);
    return o;
}

static void keep(struct shelf *s, const struct kept *k)
{
    struct key key;
    struct variant v;
    int done = 0;
    struct object *o = object_for(s, k, &key, &v);
    struct noted_variant noted = {
        .names = view_of_str(k->vary), .variant = v.hash, .fetch_seq = k->seq, .maximum = 64
    };
    if (k->vary != NULL) cache_note_variant(s->cache, &key, &noted);
    cache_admit(s->cache, o, count_done, &done);
    if (s->store != NULL) fake_commit(s->store);
    ck_assert_int_eq(done, 1);
    object_unref(&o);
}

static void no_wake(struct body_reader *r)
{
    (void)r;
}

/* All of its content, wherever it lies. */
static bool is_whole(struct shelf *s, struct object *o, size_t len)
{
    char *expected = content_of(len, (unsigned)len), *got = malloc(len + 1);
    size_t n = 0;
    if (object_content_length(o) != (int64_t)len) return false;
    if (o->content != NULL) {
        memcpy(got, o->content, len);
        n = len;
    } else {
        struct body_reader r;
        ck_assert(body_reader_begin(&r, o->body, 0, -1, no_wake));
        for (ssize_t some = 1; some != 0 && some != -EIO;) {
            some = body_read(&r, got + n, len - n + 1);
            if (some > 0) n += (size_t)some;
            if (some == -EAGAIN) ck_assert_uint_gt(fake_run_jobs(s->store), 0);
        }
        body_reader_end(&r);
    }
    bool same = n == len && memcmp(expected, got, len) == 0;
    free(expected);
    free(got);
    return same;
}

/* ---- both tiers, every size */

static const size_t sizes[] = { 0, 1, 100, 1500, 1900, 5000, OBJECT_INLINE_MAX, OBJECT_INLINE_MAX + 1, MEDIUM, LARGE };
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(what_is_kept_is_found_whole)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, sizes[_i], 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, k.len));
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /other", "", true), CACHE_NOTHING);
    look_end(&l);
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", false), CACHE_NOTHING);
    look_end(&l);
    for (int time = 0; time < 2; time++) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
        ck_assert(is_whole(s, l.q.object, k.len));
        look_end(&l);
    }
    ck_assert_uint_gt(s->store->touches, 0);
    shelf_free(s);
}
END_TEST

static bool is_in_memory(struct shelf *s)
{
    static struct look l;
    bool found = look(s, &l, "GET /shelf", "", false) == CACHE_FOUND;
    look_end(&l);
    return found;
}

/* When the store has it, and not before; who looked meanwhile hears of it. */
START_TEST(large_content_stays_in_memory_from_its_second_use_on)
{
    static struct look l;
    bool asked = _i / SIZES == 1, replaces = _i / SIZES == 2, unwritten = _i / SIZES == 3;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, sizes[_i % SIZES], 1 }, old = { "GET /shelf", "", NULL, 100, 0 };
    struct key key;
    struct variant v;
    bool fits = k.len < LARGE, is_small = k.len <= OBJECT_INLINE_MAX;
    if (replaces) keep(s, &old);
    struct object *o = object_for(s, &k, &key, &v);
    uint64_t arrivals = cache_store_arrivals(s->cache, &key);
    cache_admit(s->cache, o, NULL, NULL);
    object_unref(&o);
    if (asked) ck_assert(is_in_memory(s) == fits);
    if (unwritten) s->store->fail = -EAGAIN;
    fake_commit(s->store);
    bool stays = fits && (is_small || asked || replaces || unwritten);
    ck_assert_int_eq(cache_store_arrivals(s->cache, &key) > arrivals, !stays);
    ck_assert_int_eq(is_in_memory(s), stays);
    if (!unwritten || stays) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
        ck_assert(is_whole(s, l.q.object, k.len));
        look_end(&l);
        ck_assert_int_eq(is_in_memory(s), fits);
    }
    shelf_free(s);
}
END_TEST

START_TEST(what_is_removed_is_in_neither_tier)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, sizes[_i], 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    cache_remove(s->cache, l.q.object);
    look_end(&l);
    fake_commit(s->store);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    shelf_free(s);
}
END_TEST

START_TEST(what_is_removed_does_not_come_back_while_the_store_still_has_it)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, sizes[_i], 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    cache_remove(s->cache, l.q.object); /* the store hears of it, and has not done it yet */
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    look_end(&l);
    fake_commit(s->store);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    look_end(&l);
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    look_end(&l);
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    look_end(&l);
    shelf_free(s);
}
END_TEST

START_TEST(a_look_up_that_would_wait_says_so)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "Accept-Language: de", "accept-language", 1000, 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: de", false), CACHE_FOUND);
    struct store_id id = l.q.id, list = { .key = { id.key[0], id.key[1] } };
    look_end(&l);
    s->store->cold = true;
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: de", false), CACHE_FOUND);
    look_end(&l);
    ck_assert_int_eq(cache_find_without_waiting(s->cache, &l.q), CACHE_FOUND); /* memory waits for nobody */
    look_end(&l);
    memory_remove(cache_memory(s->cache), &id, NULL);
    ck_assert_int_ne(look(s, &l, "GET /shelf", "Accept-Language: de", false), CACHE_FOUND);
    ck_assert_int_eq(cache_find_without_waiting(s->cache, &l.q), CACHE_WOULD_WAIT); /* for the variant */
    ck_assert_int_eq(cache_find_stored(s->cache, &l.q), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, k.len));
    look_end(&l);
    memory_remove(cache_memory(s->cache), &id, NULL);
    memory_remove(cache_memory(s->cache), &list, NULL);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: de", false), CACHE_NOTHING);
    ck_assert_int_eq(cache_find_without_waiting(s->cache, &l.q), CACHE_WOULD_WAIT); /* for the list */
    s->store->cold = false;
    ck_assert_int_eq(cache_find_without_waiting(s->cache, &l.q), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, k.len));
    look_end(&l);
    shelf_free(s);
}
END_TEST

START_TEST(a_cache_needs_no_store)
{
    static struct look l;
    struct shelf *s = shelf_new(false);
    struct kept k = { "GET /shelf", "", NULL, 1000, 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, k.len));
    cache_remove(s->cache, l.q.object);
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    shelf_free(s);
}
END_TEST

/* Content that is only in the store goes when the store wants; nobody is then promised it. */
START_TEST(a_large_content_that_the_store_dropped_is_a_miss)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, LARGE, 0 };
    keep(s, &k);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert_ptr_null(l.q.object->content);
    store_remove(s->store, &l.q.id, 0);
    fake_commit(s->store);
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    shelf_free(s);
}
END_TEST

/* A crowd of slow clients must not hold more and more whole contents. */
START_TEST(what_comes_while_much_is_held_streams)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, 100000, 0 };
    int64_t whole = cache_whole_limit_bytes(s->cache);
    keep(s, &k);
    struct store_id id = { .key = { 0 } };
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    id = l.q.id;
    look_end(&l);
    memory_remove(cache_memory(s->cache), &id, NULL);
    atomic_fetch_add(memory_held(cache_memory(s->cache)), MEMORY);
    ck_assert_int_lt(cache_whole_limit_bytes(s->cache), whole);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert_ptr_null(l.q.object->content);
    ck_assert(is_whole(s, l.q.object, k.len));
    look_end(&l);
    atomic_fetch_sub(memory_held(cache_memory(s->cache)), MEMORY);
    ck_assert_int_eq(cache_whole_limit_bytes(s->cache), whole);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert_ptr_nonnull(l.q.object->content);
    look_end(&l);
    shelf_free(s);
}
END_TEST

START_TEST(what_is_too_large_for_memory_and_small_enough_for_the_store_is_kept)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept small = { "GET /shelf", "", NULL, 10, 0 }, large = { "GET /shelf", "", NULL, LARGE, 0 };
    keep(s, &small);
    keep(s, &large); /* takes its place in both tiers */
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, LARGE));
    look_end(&l);
    keep(s, &small);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", false), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, 10));
    look_end(&l);
    shelf_free(s);
}
END_TEST

/* ---- damage in the store */

enum damage { CUT_RECORD, LONGER_RECORD, CUT_CONTENT, NO_CONTENT, WRONG_LENGTH, UNREADABLE, FOREIGN_KEY, DAMAGES };

static void damage(struct store *s, struct fake_record *r, enum damage how)
{
    struct fake_content *c = fake_content(s, r->number);
    switch (how) {
    case CUT_RECORD: r->len--; break;
    case LONGER_RECORD:
        r->bytes = realloc(r->bytes, r->len + 1);
        r->bytes[r->len++] = 'x';
        break;
    case CUT_CONTENT:
        if (r->number == 0)
            r->len -= 10;
        else if (c != NULL)
            c->len -= 10;
        break;
    case NO_CONTENT:
        if (r->number == 0)
            r->len = record_size_before_content(r->bytes);
        else
            r->number = 0;
        break;
    case WRONG_LENGTH:
        if (r->number == 0)
            r->number = 1000;
        else
            r->content_len--;
        break;
    case UNREADABLE:
        s->read_answer = -EIO;
        if (r->number == 0) r->bytes[0]++;
        break;
    case FOREIGN_KEY: r->bytes[sizeof(struct record_head)]++; break;
    default: break;
    }
}

START_TEST(damaged_is_a_miss_and_leaves)
{
    static const size_t lens[] = { 1000, 5000, MEDIUM };
    static struct look l;
    enum damage how = (enum damage)(_i % DAMAGES);
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, lens[_i / DAMAGES], 0 };
    keep(s, &k);
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", false), CACHE_NOTHING);
    struct store_id id = l.q.id;
    struct fake_record *r = fake_record(s->store, &id);
    ck_assert_ptr_nonnull(r);
    damage(s->store, r, how);
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING);
    fake_commit(s->store);
    if (how != FOREIGN_KEY) ck_assert_ptr_null(fake_record(s->store, &id)); /* that one is somebody else's */
    shelf_free(s);
}
END_TEST

/* ---- what the store does not take */

START_TEST(what_the_store_does_not_take_is_in_memory_or_nowhere)
{
    static const int errors[] = { -EAGAIN, -ENOSPC, -EROFS };
    static const size_t lens[] = { 100, 5000, MEDIUM, LARGE };
    static struct look l;
    bool refused = _i % 2 == 0;
    size_t len = lens[_i / 2 % 4];
    struct shelf *s = shelf_new(true);
    struct kept old = { "GET /shelf", "", NULL, 50, 0 }, k = { "GET /shelf", "", NULL, len, 0 };
    struct key key;
    struct variant v;
    int done = 0;
    keep(s, &old);
    struct object *o = object_for(s, &k, &key, &v);
    if (refused)
        s->store->refuse_put = errors[_i / 8];
    else
        s->store->fail = errors[_i / 8];
    cache_admit(s->cache, o, count_done, &done);
    fake_commit(s->store);
    ck_assert_int_eq(done, 1);
    ck_assert(!atomic_load(&o->unwritten));
    s->store->refuse_put = s->store->fail = 0;
    object_unref(&o);
    fake_commit(s->store);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), len == LARGE ? CACHE_NOTHING : CACHE_FOUND);
    if (len != LARGE) ck_assert(is_whole(s, l.q.object, len));
    look_end(&l);
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_NOTHING); /* not the old one either */
    look_end(&l);
    shelf_free(s);
}
END_TEST

/* The record of a large content was refused: those who read it go on to its end. */
START_TEST(readers_outlive_a_refused_record)
{
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, LARGE, 0 };
    struct key key;
    struct variant v;
    struct object *o = object_for(s, &k, &key, &v);
    uint64_t number = o->content_number;
    ck_assert_uint_ne(number, 0);
    s->store->refuse_put = -EAGAIN;
    cache_admit(s->cache, o, NULL, NULL);
    fake_commit(s->store);
    ck_assert(is_whole(s, o, LARGE));
    object_unref(&o);
    fake_commit(s->store);
    ck_assert(fake_is_gone(s->store, number));
    shelf_free(s);
}
END_TEST

static struct object *freshened(const struct object *old, uint64_t seq)
{
    const void *record = object_record(old);
    struct field room[RECORD_FIELDS_MAX];
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = record_key(record),
                                .variant = record_variant(record),
                                .stored = object_head(old)->stored,
                                .fields = record_section(record, room),
                                .fetch_seq = seq,
                                .content_length = object_content_length(old) };
    in.stored.response_time_s++;
    if (old->body == NULL) in.content = record_content(record, old->record_len);
    struct object *o = object_new(&in, &old->id, old->body, old->content_number);
    o->keeps_content = old->content_number != 0;
    return o;
}

START_TEST(a_freshened_head_keeps_its_content)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, sizes[_i], 0 };
    keep(s, &k);
    for (uint64_t times = 1; times < 4; times++) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
        struct object *o = freshened(l.q.object, times);
        look_end(&l);
        cache_admit(s->cache, o, NULL, NULL);
        object_unref(&o);
        if (times == 2) restart(s);
        fake_commit(s->store);
        ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
        ck_assert_int_eq(object_head(l.q.object)->stored.response_time_s, (int64_t)times);
        ck_assert(is_whole(s, l.q.object, k.len));
        look_end(&l);
    }
    shelf_free(s);
}
END_TEST

/* The store had dropped the content meanwhile; memory has it, so the next time all of it is put again. */
START_TEST(a_head_whose_content_is_gone_brings_it_along_next_time)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept k = { "GET /shelf", "", NULL, 5000, 0 };
    keep(s, &k);
    for (int time = 0; time < 2; time++) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", "", false), CACHE_FOUND);
        struct object *o = freshened(l.q.object, 0);
        look_end(&l);
        s->store->fail = time == 0 ? -ENOENT : 0;
        cache_admit(s->cache, o, NULL, NULL);
        fake_commit(s->store);
        object_unref(&o);
    }
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, k.len));
    look_end(&l);
    shelf_free(s);
}
END_TEST

/* ---- variants */

static const struct kept english = { "GET /shelf", "Accept-Language: en", "accept-language", 100, 0 };
static const struct kept german = { "GET /shelf", "Accept-Language: de", "accept-language", 200, 0 };

START_TEST(each_request_gets_its_variant)
{
    static const struct {
        const char *fields;
        enum cache_answer answer;
        size_t len;
    } cases[] = {
        { "Accept-Language: en", CACHE_FOUND, 100 },
        { "Accept-Language: de", CACHE_FOUND, 200 },
        { "Accept-Language: fr", CACHE_OTHER_VARIANT, 0 },
        { "", CACHE_OTHER_VARIANT, 0 },
    };
    static struct look l;
    struct shelf *s = shelf_new(true);
    keep(s, &english);
    keep(s, &german);
    for (int time = 0; time < 3; time++) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", cases[_i].fields, true), cases[_i].answer);
        ck_assert_ptr_nonnull(l.q.vary);
        if (cases[_i].answer == CACHE_FOUND) ck_assert(is_whole(s, l.q.object, cases[_i].len));
        look_end(&l);
        if (time == 0) restart(s);
    }
    shelf_free(s);
}
END_TEST

START_TEST(a_response_that_varies_now_takes_the_place_of_one_that_did_not)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    struct kept plain = { "GET /shelf", "", NULL, 300, 9 };
    keep(s, &plain);
    keep(s, &english);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: en", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, 100));
    look_end(&l);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: de", true), CACHE_OTHER_VARIANT);
    look_end(&l);
    keep(s, &plain);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: de", true), CACHE_FOUND);
    ck_assert(is_whole(s, l.q.object, 300));
    look_end(&l);
    shelf_free(s);
}
END_TEST

static void note(struct shelf *s, const char *names, uint64_t variant, int maximum, uint64_t seq)
{
    static struct asked a;
    static char key_text[KEY_TEXT_MAX];
    struct key key;
    ck_assert(key_from_request(ask(&a, "GET /shelf", ""), &s->policy, key_text, sizeof key_text, &key));
    struct noted_variant v = { .names = view_of_str(names), .variant = variant, .fetch_seq = seq, .maximum = maximum };
    cache_note_variant(s->cache, &key, &v);
}

static struct object *list_of(struct shelf *s)
{
    static struct look l;
    (void)look(s, &l, "GET /shelf", "", true);
    struct object *list = l.q.vary;
    l.q.vary = NULL;
    look_end(&l);
    ck_assert_ptr_nonnull(list);
    return list;
}

static bool is_listed(struct shelf *s, uint64_t variant)
{
    struct object *list = list_of(s);
    bool there = false;
    for (size_t i = 0; i < object_head(list)->tag_count; i++)
        there = there || record_tags(object_record(list))[i] == variant;
    object_unref(&list);
    return there;
}

static size_t list_length(struct shelf *s)
{
    struct object *list = list_of(s);
    size_t n = object_head(list)->tag_count;
    object_unref(&list);
    return n;
}

START_TEST(the_list_of_variants_has_a_maximum)
{
    static const struct {
        int maximum;
        size_t most;
    } cases[] = { { 1, 1 }, { 2, 2 }, { 64, 64 }, { 0, 1 }, { -5, 1 }, { 1 << 30, 100 } };
    struct shelf *s = shelf_new(true);
    for (uint64_t v = 1; v <= 100; v++) {
        note(s, "accept", v, cases[_i].maximum, 0);
        ck_assert(is_listed(s, v));
    }
    ck_assert_uint_eq(list_length(s), cases[_i].most);
    for (uint64_t v = 1; v <= 100; v++) ck_assert_int_eq(is_listed(s, v), v > 100 - cases[_i].most);
    note(s, "accept", 101, 3, 0); /* the setting became smaller */
    ck_assert_uint_le(list_length(s), 3);
    shelf_free(s);
}
END_TEST

/* Newcomers push each other out, not the variant that everybody asks for. */
START_TEST(the_least_used_variant_leaves)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    keep(s, &english);
    for (uint64_t v = 1000; v < 1100; v++) {
        ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: en", false), CACHE_FOUND);
        look_end(&l);
        note(s, "accept-language", v, 4, 0);
        fake_commit(s->store);
    }
    ck_assert_uint_eq(list_length(s), 4);
    restart(s);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: en", true), CACHE_FOUND);
    look_end(&l);
    shelf_free(s);
}
END_TEST

START_TEST(a_variant_that_leaves_the_list_leaves_the_tiers)
{
    static struct look l;
    struct shelf *s = shelf_new(true);
    keep(s, &english);
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: en", true), CACHE_FOUND);
    struct store_id id = l.q.id;
    look_end(&l);
    note(s, "accept-language", 1000, 1, 0);
    fake_commit(s->store);
    ck_assert_ptr_null(fake_record(s->store, &id));
    ck_assert_int_eq(look(s, &l, "GET /shelf", "Accept-Language: en", true), CACHE_OTHER_VARIANT);
    look_end(&l);
    shelf_free(s);
}
END_TEST

START_TEST(other_names_begin_another_list)
{
    struct shelf *s = shelf_new(true);
    note(s, "accept", 1, 64, 0);
    note(s, "accept", 2, 64, 0);
    note(s, "accept,cookie", 3, 64, 0);
    ck_assert_uint_eq(list_length(s), 1);
    ck_assert(is_listed(s, 3));
    shelf_free(s);
}
END_TEST

/* A purge of the URL removes what is below its number: never a list that a younger variant needs. */
START_TEST(a_list_is_as_young_as_its_youngest_variant)
{
    struct shelf *s = shelf_new(true);
    static const uint64_t seqs[] = { 3, 7, 5 };
    for (uint64_t v = 0; v < 3; v++) note(s, "accept", v + 1, 64, seqs[v]);
    note(s, "accept", 1, 64, 9); /* known, and stored anew */
    fake_commit(s->store);
    struct object *list = list_of(s);
    ck_assert_uint_eq(object_head(list)->fetch_seq, 9);
    ck_assert_uint_eq(fake_record(s->store, &list->id)->fetch_seq, 9);
    ck_assert_uint_eq(object_head(list)->tag_count, 3);
    object_unref(&list);
    shelf_free(s);
}
END_TEST

/* ---- what is not to be collapsed */

START_TEST(unshared_is_remembered_for_a_while)
{
    static const struct {
        unsigned noted, asked;
        int64_t until_s, now_s;
        bool unshared;
    } cases[] = {
        { 1, 1, 100, 99, true },
        { 1, 1, 100, 100, false },
        { 1, 1, 100, 101, false },
        { 1, 2, 100, 99, false },
        { 1, 1, 1893456120, 1893456000, true },
    };
    struct shelf *s = shelf_new(false);
    char text[OBJECT_KEY_MAX];
    struct key key = key_of_number(cases[_i].noted, text);
    ck_assert(!cache_is_unshared(s->cache, &key, 0));
    cache_note_unshared(s->cache, &key, cases[_i].until_s);
    key = key_of_number(cases[_i].asked, text);
    ck_assert_int_eq(cache_is_unshared(s->cache, &key, cases[_i].now_s), cases[_i].unshared);
    shelf_free(s);
}
END_TEST

START_TEST(many_unshared_keys_push_each_other_out_and_nothing_more)
{
    enum { MANY = 100000 };
    struct shelf *s = shelf_new(false);
    char text[OBJECT_KEY_MAX];
    unsigned remembered = 0, strangers = 0;
    for (unsigned n = 0; n < MANY; n++) {
        struct key key = key_of_number(n, text);
        cache_note_unshared(s->cache, &key, 100);
        ck_assert(cache_is_unshared(s->cache, &key, 99));
    }
    for (unsigned n = 0; n < 2 * MANY; n++) {
        struct key key = key_of_number(n, text);
        bool unshared = cache_is_unshared(s->cache, &key, 99);
        if (n < MANY)
            remembered += unshared;
        else
            strangers += unshared;
    }
    ck_assert_uint_gt(remembered, 10000);
    ck_assert_uint_eq(strangers, 0);
    shelf_free(s);
}
END_TEST

/* ---- threads */

enum { CROWD = 4, STEPS = 4000, NAMES = 40 };

struct one {
    struct cache *cache;
    unsigned seed;
    _Atomic unsigned *wrong, *found, *done;
};

static void one_done(void *arg)
{
    (*(_Atomic unsigned *)arg)++;
}

static void find_number(struct one *o, unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct policy policy = default_policy();
    struct request_head request = { .method = METHOD_GET };
    struct cache_query q = { .request = &request, .policy = &policy, .key = key_of_number(n, text) };
    enum cache_answer answer =
        rand_r(&o->seed) % 2 == 0 ? cache_find_in_memory(o->cache, &q) : cache_find_stored(o->cache, &q);
    if (answer == CACHE_FOUND) (*o->found)++;
    if (answer == CACHE_FOUND && !is_number(q.object, n)) (*o->wrong)++;
    if (answer == CACHE_FOUND && rand_r(&o->seed) % 16 == 0) cache_remove(o->cache, q.object);
    cache_query_end(&q);
}

static void *one_main(void *arg)
{
    struct one *o = arg;
    for (int step = 0; step < STEPS; step++) {
        unsigned n = (unsigned)rand_r(&o->seed) % NAMES;
        if (rand_r(&o->seed) % 4 != 0) {
            find_number(o, n);
            continue;
        }
        struct object *object = object_of_number(n, (unsigned)rand_r(&o->seed) % 8000, 0);
        cache_admit(o->cache, object, one_done, o->done);
        object_unref(&object);
    }
    return NULL;
}

START_TEST(a_crowd_finds_only_what_was_kept)
{
    struct shelf *s = shelf_new(true);
    _Atomic unsigned wrong = 0, found = 0, done = 0;
    struct one ones[CROWD];
    pthread_t threads[CROWD];
    fake_run(s->store);
    for (unsigned i = 0; i < CROWD; i++) {
        ones[i] = (struct one){ s->cache, i + 1, &wrong, &found, &done };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, one_main, &ones[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(found, 0);
    ck_assert_uint_gt(done, 0);
    shelf_free(s);
}
END_TEST

static void *note_main(void *arg)
{
    struct one *o = arg;
    char text[OBJECT_KEY_MAX];
    struct key key = key_of_number(1, text);
    for (uint64_t i = 0; i < 50; i++) {
        struct noted_variant v = { .names = VIEW("accept"), .variant = o->seed * 1000 + i, .maximum = 1000 };
        cache_note_variant(o->cache, &key, &v);
    }
    return NULL;
}

START_TEST(no_variant_is_lost_among_threads)
{
    struct shelf *s = shelf_new(false);
    struct one ones[CROWD];
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        ones[i] = (struct one){ .cache = s->cache, .seed = i + 1 };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, note_main, &ones[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    char text[OBJECT_KEY_MAX];
    struct store_id id = id_of_number(1);
    struct object *list = memory_peek(cache_memory(s->cache), &id, key_of_number(1, text).text);
    ck_assert_ptr_nonnull(list);
    ck_assert_uint_eq(object_head(list)->tag_count, CROWD * 50);
    object_unref(&list);
    shelf_free(s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("cache");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, what_is_kept_is_found_whole, 0, SIZES);
    tcase_add_loop_test(t, large_content_stays_in_memory_from_its_second_use_on, 0, 4 * SIZES);
    tcase_add_loop_test(t, what_is_removed_is_in_neither_tier, 0, SIZES);
    tcase_add_loop_test(t, what_is_removed_does_not_come_back_while_the_store_still_has_it, 0, SIZES);
    tcase_add_test(t, a_look_up_that_would_wait_says_so);
    tcase_add_test(t, a_cache_needs_no_store);
    tcase_add_test(t, a_large_content_that_the_store_dropped_is_a_miss);
    tcase_add_test(t, what_comes_while_much_is_held_streams);
    tcase_add_test(t, what_is_too_large_for_memory_and_small_enough_for_the_store_is_kept);
    tcase_add_loop_test(t, damaged_is_a_miss_and_leaves, 0, 3 * DAMAGES);
    tcase_add_loop_test(t, what_the_store_does_not_take_is_in_memory_or_nowhere, 0, 24);
    tcase_add_test(t, readers_outlive_a_refused_record);
    tcase_add_loop_test(t, a_freshened_head_keeps_its_content, 0, SIZES);
    tcase_add_test(t, a_head_whose_content_is_gone_brings_it_along_next_time);
    tcase_add_loop_test(t, each_request_gets_its_variant, 0, 4);
    tcase_add_test(t, a_response_that_varies_now_takes_the_place_of_one_that_did_not);
    tcase_add_loop_test(t, the_list_of_variants_has_a_maximum, 0, 6);
    tcase_add_test(t, the_least_used_variant_leaves);
    tcase_add_test(t, a_variant_that_leaves_the_list_leaves_the_tiers);
    tcase_add_test(t, other_names_begin_another_list);
    tcase_add_test(t, a_list_is_as_young_as_its_youngest_variant);
    tcase_add_loop_test(t, unshared_is_remembered_for_a_while, 0, 5);
    tcase_add_test(t, many_unshared_keys_push_each_other_out_and_nothing_more);
    tcase_add_test(t, a_crowd_finds_only_what_was_kept);
    tcase_add_test(t, no_variant_is_lost_among_threads);
    return run_case("cache", t);
}
