#include "cache/cache.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    UNSHARED_SLOTS = 1 << 14, /* a newcomer takes the place of whoever had its slot */
    REMOVED_SLOTS = 1 << 12,  /* the same */
    ARRIVAL_SLOTS = 1 << 10,  /* shared by the keys that fall into them */
    WHOLE_LIMIT_MAX = 8 << 20,
    WHOLE_LIMIT_SHARE = 16, /* of the memory budget */
    OUTSIDE_SHARE = 4,      /* of the memory budget, for content that clients and fetches hold outside of the tier */
    STORE_SHARE = 2,        /* a content may take half of the store at most */
    VARIANTS_LIMIT = 4096,  /* whatever is configured: a list is one record */
};

struct cache {
    struct memory *memory;
    struct store *store;
    struct flight_table *flights;
    struct refusals *refusals;
    int64_t whole_limit_bytes, content_limit_bytes;
    pthread_mutex_t vary_lock; /* one writer at a time for the lists of variants */
    _Atomic uint64_t store_arrivals[ARRIVAL_SLOTS];
    _Atomic uint64_t unshared[UNSHARED_SLOTS]; /* upper half: of the key's hash; lower half: until when (UTC seconds) */
    _Atomic uint64_t removed[REMOVED_SLOTS]; /* what was removed while the store may still have it: its mark; 0: none */
};

/* The hot tier's own answer: there, and used since eviction last looked at it there. */
static bool is_used_in_memory(void *arg, const struct store_id *id)
{
    struct cache *c = arg;
    return memory_uses(c->memory, id) > 0;
}

static bool pin_is_over(void *arg, struct view record)
{
    const struct cache *c = arg;
    struct record_head head;
    if (record.len < sizeof head) return true;
    memcpy(&head, record.at, sizeof head);
    return head.stored.pinned_until_s <= memory_now_s(c->memory);
}

struct cache *cache_new(const struct cache_settings *settings)
{
    struct cache *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->memory = memory_new(settings->memory_bytes);
    c->flights = flight_table_new();
    c->refusals = refusals_new();
    if (c->memory == NULL || c->flights == NULL || c->refusals == NULL) {
        if (c->memory != NULL) memory_free(c->memory);
        if (c->flights != NULL) flight_table_free(c->flights);
        refusals_free(c->refusals);
        free(c);
        return NULL;
    }
    c->store = settings->store;
    int64_t share = (int64_t)(settings->memory_bytes / WHOLE_LIMIT_SHARE);
    c->whole_limit_bytes = share < WHOLE_LIMIT_MAX ? share : WHOLE_LIMIT_MAX;
    c->content_limit_bytes = c->whole_limit_bytes;
    if (c->store != NULL) {
        struct store_stats stats;
        store_stats(c->store, &stats);
        c->content_limit_bytes = (int64_t)(stats.size_bytes / STORE_SHARE);
    }
    pthread_mutex_init(&c->vary_lock, NULL);
    if (c->store != NULL) store_set_in_use(c->store, is_used_in_memory, c);
    if (c->store != NULL) store_set_pin_over(c->store, pin_is_over, c);
    return c;
}

void cache_free(struct cache *c)
{
    memory_free(c->memory);
    flight_table_free(c->flights);
    refusals_free(c->refusals);
    pthread_mutex_destroy(&c->vary_lock);
    free(c);
}

struct memory *cache_memory(struct cache *c)
{
    return c->memory;
}

struct store *cache_store(struct cache *c)
{
    return c->store;
}

struct flight_table *cache_flights(struct cache *c)
{
    return c->flights;
}

struct refusals *cache_refusals(struct cache *c)
{
    return c->refusals;
}

/* Who receives slowly holds what it receives. When that is much, what comes now streams through the store instead, and takes
 * a segment of memory for each client. */
int64_t cache_whole_limit_bytes(const struct cache *c)
{
    bool much = memory_outside_bytes(c->memory) > memory_limit_bytes(c->memory) / OUTSIDE_SHARE;
    return much && c->whole_limit_bytes > BODY_SEGMENT_BYTES ? BODY_SEGMENT_BYTES : c->whole_limit_bytes;
}

int64_t cache_content_limit_bytes(const struct cache *c)
{
    return c->content_limit_bytes;
}

/* ---- finding */

static bool is_vary(const struct object *o)
{
    return object_head(o)->kind == RECORD_VARY;
}

/* @param waits  set when the answer would have to wait for the disk, and is not given */
typedef struct object *(*tier_get)(struct cache *c, const struct store_id *id, struct view key, struct view variant,
                                   bool *waits);

static struct object *get_from_memory(struct cache *c, const struct store_id *id, struct view key, struct view variant,
                                      bool *waits)
{
    (void)waits;
    return memory_get(c->memory, id, key, variant);
}

/* The list of variants has the names as its variant text, which a look-up does not know: so it is kept under variant 0 with
 * an empty text in the record, and its names as the only field's value. */
static struct view names_of(const struct object *vary)
{
    return record_value(object_record(vary), FIELD_VARY);
}

static enum cache_answer find(struct cache *c, struct cache_query *q, tier_get get)
{
    static const struct view none = { "", 0 };
    bool waits = false;
    if (q->vary == NULL) {
        q->id = store_id_of(q->key.hash, 0);
        struct object *o = get(c, &q->id, q->key.text, none, &waits);
        if (o == NULL) return waits ? CACHE_WOULD_WAIT : CACHE_NOTHING;
        if (!is_vary(o)) {
            q->object = o;
            return CACHE_FOUND;
        }
        q->vary = o;
        if (!variant_from_request(names_of(o), q->request->fields, q->policy, q->text, VARIANT_TEXT_MAX, &q->variant))
            return CACHE_OTHER_VARIANT;
        q->id.variant = q->variant.hash;
    }
    if (q->variant.text.len == 0) return CACHE_OTHER_VARIANT;
    q->object = get(c, &q->id, q->key.text, q->variant.text, &waits);
    if (waits) return CACHE_WOULD_WAIT;
    return q->object != NULL ? CACHE_FOUND : CACHE_OTHER_VARIANT;
}

enum cache_answer cache_find_in_memory(struct cache *c, struct cache_query *q)
{
    return find(c, q, get_from_memory);
}

void cache_query_end(struct cache_query *q)
{
    object_unref(&q->object);
    object_unref(&q->vary);
}

/* @return false: it is not there in full */
static bool load_behind(struct cache *c, struct store_found *found, size_t len)
{
    char *grown = realloc(found->memory, object_spare() + found->record_len + len);
    if (grown == NULL) return false;
    found->memory = grown;
    ssize_t n = store_read(c->store, found->content_number, 0, grown + object_spare() + found->record_len, len);
    found->record_len += len;
    return n == (ssize_t)len;
}

/* @return NULL: it is not there in full, or there is no memory */
static struct body *load_whole(struct cache *c, uint64_t number, int64_t len)
{
    struct body_settings settings = { .length = len, .whole_limit_bytes = len, .held = memory_held(c->memory) };
    struct body *b = body_new(&settings);
    size_t room;
    char *to = b != NULL ? body_room(b, &room) : NULL;
    if (to != NULL && store_read(c->store, number, 0, to, (size_t)len) == len &&
        body_append(b, to, (size_t)len) == BODY_GO_ON) {
        body_complete(b);
        return b;
    }
    body_unref(&b);
    return NULL;
}

/* Small content comes along behind the record: one allocation. More of it, up to the whole limit, in a piece of its own.
 * @return false: it is not there in full */
static bool load_content(struct cache *c, struct store_found *found, struct body **body)
{
    const void *record = (const char *)found->memory + object_spare();
    int64_t len = record_head_of(record)->content_length;
    size_t inside = record_content(record, found->record_len).len;
    if (found->content_number == 0) return (int64_t)inside == len;
    if (inside != 0 || len <= 0 || found->content_len != (uint64_t)len) return false;
    if (len <= BODY_SEGMENT_BYTES) return load_behind(c, found, (size_t)len);
    if (len <= cache_whole_limit_bytes(c))
        *body = load_whole(c, found->content_number, len);
    else
        *body = body_stored(c->store, found->content_number, len);
    return *body != NULL;
}

static struct object *load(struct cache *c, const struct store_id *id)
{
    struct store_found found;
    struct body *body = NULL;
    if (store_get(c->store, id, object_spare(), &found) != 0) return NULL;
    struct view record = view_of((char *)found.memory + object_spare(), found.record_len);
    if (!record_is_sound(record) || !load_content(c, &found, &body)) {
        store_remove(c->store, id, found.content_number);
        body_unref(&body);
        free(found.memory);
        return NULL;
    }
    return object_of_memory(found.memory, found.record_len, id, body, found.content_number);
}

/* Content that is only in the store leaves when the store says so, and memory would go on promising it: such an object is
 * loaded anew for each request. */
static bool belongs_in_memory(const struct object *o)
{
    return o->content != NULL;
}

/* The store removes later, and a look-up must not bring what was removed back to memory meanwhile. */
static uint64_t mark_of(const struct store_id *id)
{
    uint64_t mark = id->key[0] ^ (id->variant * 0x9e3779b97f4a7c15u);
    return mark != 0 ? mark : 1;
}

static _Atomic uint64_t *removed_slot(struct cache *c, const struct store_id *id)
{
    return &c->removed[(id->key[1] ^ id->variant) % REMOVED_SLOTS];
}

static bool is_removed(struct cache *c, const struct store_id *id)
{
    return atomic_load(removed_slot(c, id)) == mark_of(id);
}

static void forget_removal(struct cache *c, const struct store_id *id)
{
    uint64_t mark = mark_of(id);
    (void)atomic_compare_exchange_strong(removed_slot(c, id), &mark, 0); /* another's mark stays */
}

/* Not in memory. */
static struct object *get_from_store(struct cache *c, const struct store_id *id, struct view key, struct view variant)
{
    struct object *o = is_removed(c, id) ? NULL : load(c, id);
    if (o == NULL) return NULL;
    if (!object_is_for(o, key, variant)) {
        object_unref(&o);
        return NULL;
    }
    store_touch(c->store, id);
    if (belongs_in_memory(o))
        (void)memory_put(c->memory, o, MEMORY_IF_ABSENT); /* it serves this request, kept or not */
    if (is_removed(c, id)) {                              /* since */
        memory_remove(c->memory, id, o);
        object_unref(&o);
    }
    return o;
}

static struct object *get_from_tiers(struct cache *c, const struct store_id *id, struct view key, struct view variant,
                                     bool *waits)
{
    struct object *o = memory_get(c->memory, id, key, variant);
    (void)waits; /* it may */
    return o != NULL ? o : get_from_store(c, id, key, variant);
}

static struct object *get_without_waiting(struct cache *c, const struct store_id *id, struct view key,
                                          struct view variant, bool *waits)
{
    struct object *o = memory_get(c->memory, id, key, variant);
    if (o != NULL || is_removed(c, id)) return o;
    enum store_warmth warmth = store_warmth(c->store, id, (size_t)cache_whole_limit_bytes(c));
    *waits = warmth == STORE_COLD;
    return warmth == STORE_WARM ? get_from_store(c, id, key, variant) : NULL;
}

/* What lies under an id and is not what the id says would serve nobody. */
static bool is_at_its_place(const struct object *o)
{
    uint64_t hash[2];
    key_hash(record_key(object_record(o)), hash);
    return hash[0] == o->id.key[0] && hash[1] == o->id.key[1];
}

enum cache_brought cache_bring(struct cache *c, const struct store_id *id, bool (*keep)(void *arg, struct object *o),
                               void *arg)
{
    if (memory_uses(c->memory, id) >= 0) return CACHE_WAS_THERE;
    struct object *o = is_removed(c, id) ? NULL : load(c, id);
    if (o == NULL) return CACHE_NOT_STORED;
    enum cache_brought result = CACHE_NOT_KEPT;
    if (belongs_in_memory(o) && is_at_its_place(o) && keep(arg, o))
        result = memory_put(c->memory, o, MEMORY_IF_ROOM) ? CACHE_BROUGHT : CACHE_NO_ROOM;
    if (result == CACHE_BROUGHT && is_removed(c, id)) { /* since */
        memory_remove(c->memory, id, o);
        result = CACHE_NOT_STORED;
    }
    object_unref(&o);
    return result;
}

enum cache_answer cache_find_stored(struct cache *c, struct cache_query *q)
{
    if (c->store == NULL) return find(c, q, get_from_memory);
    return find(c, q, get_from_tiers);
}

enum cache_answer cache_find_without_waiting(struct cache *c, struct cache_query *q)
{
    return find(c, q, c->store == NULL ? get_from_memory : get_without_waiting);
}

uint64_t cache_store_arrivals(const struct cache *c, const struct key *key)
{
    return atomic_load_explicit(&c->store_arrivals[key->hash[1] % ARRIVAL_SLOTS], memory_order_acquire);
}

/* ---- keeping */

struct admission {
    struct cache *cache;
    struct object *object;
    void (*done)(void *arg);
    void *arg;
    bool store_only;
};

/* In place of a response that the store has not taken: it may be long until the store can remove what it has. */
static void remove_older(struct cache *c, const struct store_id *id)
{
    atomic_store(removed_slot(c, id), mark_of(id));
    store_remove(c->store, id, 0);
}

/* The store has not taken it. What was there before must not come back in its place; what is there meanwhile may stay. */
static void not_written(struct cache *c, struct object *o, int result)
{
    bool older_is_there = result != -ENOENT && result != -ESTALE;
    if (older_is_there) remove_older(c, &o->id);
    o->content_number = 0; /* its content went with it: when the head is freshened all of it is put again */
}

/* Large content that is asked for once, as most is, would take the place of many small responses, and memory that was not
 * touched for long is dear to write. It comes back when it is asked for again. */
static bool leaves_memory(struct cache *c, struct object *o)
{
    bool is_large = o->body != NULL && o->puts_content;
    bool is_pinned = object_head(o)->stored.pinned_until_s != 0;
    return is_large && !is_pinned && memory_leave_unused(c->memory, o);
}

static void written(void *arg, int result)
{
    struct admission *a = arg;
    struct cache *c = a->cache;
    if (result != 0)
        not_written(c, a->object, result);
    else
        forget_removal(c, &a->object->id);
    memory_written(c->memory, a->object);
    /* a look-up that began before may have brought its predecessor to memory */
    if (!belongs_in_memory(a->object)) memory_remove(c->memory, &a->object->id, NULL);
    bool store_only = a->store_only || (result == 0 && leaves_memory(c, a->object));
    uint64_t slot = a->object->id.key[1] % ARRIVAL_SLOTS;
    if (store_only) atomic_fetch_add_explicit(&c->store_arrivals[slot], 1, memory_order_release);
    if (a->done != NULL) a->done(a->arg);
    object_unref(&a->object);
    free(a);
}

static bool lies_inside_record(const struct object *o)
{
    return o->body == NULL && o->record_len <= STORE_INLINE_MAX;
}

/* Where the content will lie, settled before other threads see the object. */
static void number_content(struct cache *c, struct object *o)
{
    if (lies_inside_record(o)) {
        o->content_number = 0;
        o->keeps_content = false;
    } else if (o->content_number == 0 && object_content_length(o) > 0) {
        o->content_number = store_next_number(c->store);
    } else {
        return;
    }
    o->puts_content = o->content_number != 0;
}

/* How an object lies in the store: small ones whole in the index, larger ones as record and content. */
static struct store_put put_of(const struct object *o)
{
    const void *record = object_record(o);
    const struct record_head *head = record_head_of(record);
    bool inside = lies_inside_record(o);
    struct store_put put = { .id = o->id,
                             .record = record,
                             .record_len = inside ? o->record_len : record_size_before_content(record),
                             .content = o->puts_content ? o->content : NULL,
                             .content_number = o->content_number,
                             .fetch_seq = head->fetch_seq,
                             .pinned = head->stored.pinned_until_s != 0,
                             .keeps_content = o->keeps_content };
    if (put.content_number != 0) put.content_len = (size_t)object_content_length(o);
    if (head->kind == RECORD_VARY) return put; /* its tags are variants */
    put.tags = record_tags(record);
    put.tag_count = head->tag_count;
    return put;
}

static bool write_later(struct cache *c, struct object *o, bool in_memory, void (*done)(void *), void *arg)
{
    if (c->store == NULL) return false;
    struct admission *a = malloc(sizeof *a);
    if (a == NULL) return false;
    *a = (struct admission){ c, object_ref(o), done, arg, !in_memory };
    struct store_put put = put_of(o);
    if (store_put(c->store, &put, written, a) == 0) return true;
    object_unref(&a->object);
    free(a);
    return false;
}

static void not_queued(struct cache *c, struct object *o)
{
    memory_written(c->memory, o);
    if (c->store == NULL) return;
    if (o->body != NULL && !o->puts_content && !o->keeps_content) body_drop_number(o->body);
    o->content_number = 0;
    remove_older(c, &o->id);
}

void cache_admit(struct cache *c, struct object *o, void (*done)(void *arg), void *arg)
{
    if (c->store != NULL) number_content(c, o);
    atomic_store_explicit(&o->unwritten, c->store != NULL, memory_order_relaxed);
    bool in_memory = belongs_in_memory(o) && memory_put(c->memory, o, MEMORY_REPLACE);
    if (!belongs_in_memory(o)) memory_remove(c->memory, &o->id, NULL);
    bool queued = write_later(c, o, in_memory, in_memory ? NULL : done, arg);
    if (!queued) not_queued(c, o);
    if (done != NULL && (in_memory || !queued)) done(arg);
}

void cache_remove(struct cache *c, struct object *o)
{
    if (c->store != NULL) atomic_store(removed_slot(c, &o->id), mark_of(&o->id));
    memory_remove(c->memory, &o->id, o);
    if (c->store != NULL) store_remove(c->store, &o->id, o->content_number);
}

/* ---- variants */

/* Which of them leaves: the least used; of several the one noted first. */
static size_t least_used(struct cache *c, struct store_id id, const uint64_t *list, size_t n)
{
    size_t least = 0;
    int fewest = INT_MAX;
    for (size_t i = 0; i < n; i++) {
        id.variant = list[i];
        int uses = memory_uses(c->memory, &id);
        if (uses >= fewest) continue;
        fewest = uses;
        least = i;
    }
    return least;
}

/* `list` without those that are too many for one more. Those stand behind it then. @return how many stay */
static size_t make_room(struct cache *c, const struct store_id *id, uint64_t *list, size_t n, size_t maximum)
{
    while (n > 0 && n >= maximum) {
        size_t at = least_used(c, *id, list, n);
        uint64_t leaver = list[at];
        memmove(&list[at], &list[at + 1], (--n - at) * sizeof *list);
        list[n] = leaver;
    }
    return n;
}

static size_t copy_without(const struct object *old, uint64_t variant, uint64_t *to)
{
    size_t n = 0;
    const uint64_t *had = record_tags(object_record(old));
    for (size_t i = 0; i < object_head(old)->tag_count; i++)
        if (had[i] != variant) to[n++] = had[i];
    return n;
}

static void forget_variant(struct cache *c, struct store_id id, uint64_t variant)
{
    id.variant = variant;
    memory_remove(c->memory, &id, NULL);
    if (c->store != NULL) store_remove(c->store, &id, 0);
}

static bool list_has(const struct object *vary, uint64_t variant)
{
    const uint64_t *had = record_tags(object_record(vary));
    for (size_t i = 0; i < object_head(vary)->tag_count; i++)
        if (had[i] == variant) return true;
    return false;
}

static uint32_t later_s(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static struct object *vary_object(const struct key *key, struct view names, const uint64_t *variants, size_t n,
                                  uint64_t fetch_seq, uint32_t until_s)
{
    struct store_id id = store_id_of(key->hash, 0);
    struct field field = { .id = FIELD_VARY, .name = VIEW("vary"), .value = names };
    struct record_inputs in = { .kind = RECORD_VARY,
                                .key = key->text,
                                .variant = VIEW(""),
                                .stored = { .pinned_until_s = until_s },
                                .fields = { &field, 1 },
                                .tags = variants,
                                .tag_count = n,
                                .fetch_seq = fetch_seq };
    return object_new(&in, &id, NULL, 0);
}

/* The list with one more at its end. Its number is the youngest of its variants', so that a purge removes it with the last. */
static void write_list(struct cache *c, const struct key *key, const struct noted_variant *v, const struct object *old)
{
    struct store_id id = store_id_of(key->hash, 0);
    size_t maximum = v->maximum < 1 ? 1 : v->maximum > VARIANTS_LIMIT ? VARIANTS_LIMIT : (size_t)v->maximum;
    size_t had = old != NULL ? object_head(old)->tag_count : 0;
    uint64_t *list = malloc((had + 1) * sizeof *list);
    if (list == NULL) return; /* it can be looked for, and is not found: a miss */
    size_t there = old != NULL ? copy_without(old, v->variant, list) : 0;
    size_t n = make_room(c, &id, list, there, maximum);
    for (size_t i = n; i < there; i++) forget_variant(c, id, list[i]);
    list[n++] = v->variant;
    uint64_t seq =
        old != NULL && object_head(old)->fetch_seq > v->fetch_seq ? object_head(old)->fetch_seq : v->fetch_seq;
    uint32_t until_s = later_s(v->pinned_until_s, old != NULL ? object_head(old)->stored.pinned_until_s : 0);
    struct object *vary = vary_object(key, v->names, list, n, seq, until_s);
    if (vary != NULL) cache_admit(c, vary, NULL, NULL);
    object_unref(&vary);
    free(list);
}

void cache_note_variant(struct cache *c, const struct key *key, const struct noted_variant *v)
{
    struct store_id id = store_id_of(key->hash, 0);
    pthread_mutex_lock(&c->vary_lock);
    struct object *there = memory_get(c->memory, &id, key->text, VIEW(""));
    const struct object *old = there != NULL ? there : v->known;
    if (old != NULL && (!is_vary(old) || !view_equal(names_of(old), v->names))) old = NULL;
    bool noted = old != NULL && old == there && list_has(old, v->variant) &&
                 object_head(old)->fetch_seq >= v->fetch_seq &&
                 object_head(old)->stored.pinned_until_s >= v->pinned_until_s;
    if (!noted) write_list(c, key, v, old);
    object_unref(&there);
    pthread_mutex_unlock(&c->vary_lock);
}

/* ---- what is not to be collapsed */

static uint64_t unshared_slot(const struct key *key)
{
    return key->hash[1] % UNSHARED_SLOTS;
}

void cache_note_unshared(struct cache *c, const struct key *key, int64_t until_s)
{
    uint64_t entry = (key->hash[0] & 0xffffffff00000000u) | (uint32_t)until_s;
    atomic_store_explicit(&c->unshared[unshared_slot(key)], entry, memory_order_relaxed);
}

bool cache_is_unshared(const struct cache *c, const struct key *key, int64_t now_s)
{
    uint64_t entry = atomic_load_explicit(&c->unshared[unshared_slot(key)], memory_order_relaxed);
    return (entry >> 32) == (key->hash[0] >> 32) && (int64_t)(uint32_t)entry > now_s;
}
