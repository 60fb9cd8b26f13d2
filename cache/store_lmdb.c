#include "cache/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

static const struct {
    const char *name;
    unsigned flags;
} databases[DB_COUNT] = {
    [DB_META] = { "meta", 0 },       [DB_INDEX] = { "index", 0 },
    [DB_YOUNG] = { "young", 0 },     [DB_MAIN_A] = { "main-a", 0 },
    [DB_MAIN_B] = { "main-b", 0 },   [DB_PINNED] = { "pinned", 0 },
    [DB_CONTENT] = { "content", 0 }, [DB_TAGS] = { "tags", MDB_DUPSORT | MDB_DUPFIXED },
    [DB_PURGES] = { "purges", 0 },   [DB_PENDING] = { "pending", 0 },
};
const char store_state_key[] = "state";

const char *store_name_of(int database)
{
    return databases[database].name;
}

int64_t store_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void store_say(struct store *s, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (s->say != NULL) s->say(s->say_arg, line);
}

int store_errno(int rc)
{
    switch (rc) {
    case 0: return 0;
    case MDB_NOTFOUND: return -ENOENT;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL: return -ENOSPC;
    default: return rc > 0 ? -rc : -EIO;
    }
}

/* ---- the environment */

/* LMDB found its own data impossible, and aborts the process when this returns. */
static void on_assert(MDB_env *env, const char *message)
{
    (void)message;
    store_guard_escape();
    store_files_remove_data(mdb_env_get_userctx(env)); /* the next start must not meet them again */
}

static uint64_t state_checksum(const struct store_state *state)
{
    return XXH3_64bits(&state->next_order, sizeof(*state) - offsetof(struct store_state, next_order));
}

static int state_write(struct store *s, MDB_txn *txn)
{
    s->state.checksum = state_checksum(&s->state);
    MDB_val key = val_of(store_state_key, sizeof(store_state_key)), value = val_of(&s->state, sizeof(s->state));
    return mdb_put(txn, s->dbi[DB_META], &key, &value, 0);
}

static int state_read(struct store *s, MDB_txn *txn)
{
    MDB_val key = val_of(store_state_key, sizeof(store_state_key)), value;
    int rc = mdb_get(txn, s->dbi[DB_META], &key, &value);
    if (rc != 0) return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    if (value.mv_size != sizeof(s->state)) return MDB_CORRUPTED;
    memcpy(&s->state, value.mv_data, sizeof(s->state));
    return s->state.checksum == state_checksum(&s->state) ? 0 : MDB_CORRUPTED;
}

/* Readers write to LMDB's lock file, as memory. On a disk that page would be written back now and then, and whoever reads
 * next would wait for that disk. Nobody shares it with us (the state file is locked), so it needs no name: LMDB is shown
 * it by a link that goes again. */
static int open_with_lock_in_memory(struct store *s, unsigned flags)
{
    char link[64];
    int fd = memfd_create("weir-store-lock", MFD_CLOEXEC);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    store_files_remove_lock(s);
    bool linked = fd >= 0 && access(link, F_OK) == 0 && symlink(link, s->lock_path) == 0; /* else LMDB makes a file */
    int rc = mdb_env_open(s->env, s->path, flags, 0600);
    if (linked) store_files_remove_lock(s);
    if (fd >= 0) close(fd);
    return rc;
}

static int env_create(struct store *s)
{
    int rc = mdb_env_create(&s->env);
    if (rc != 0) return rc;
    rc = mdb_env_set_mapsize(s->env, s->map_bytes);
    if (rc == 0) rc = mdb_env_set_maxreaders(s->env, STORE_LMDB_READERS);
    if (rc == 0) rc = mdb_env_set_maxdbs(s->env, DB_COUNT);
    if (rc == 0) rc = mdb_env_set_userctx(s->env, s);
    if (rc == 0) rc = mdb_env_set_assert(s->env, on_assert);
    /* No WRITEMAP: a full disk would be a SIGBUS. No read-ahead: records and chunks are read one by one. */
    if (rc == 0) rc = open_with_lock_in_memory(s, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD);
    return rc;
}

static int open_databases(struct turn *t, void *arg)
{
    struct store *s = t->s;
    bool fresh = *(bool *)arg;
    for (int i = 0; i < DB_COUNT; i++) {
        int rc = mdb_dbi_open(t->txn, databases[i].name, databases[i].flags | (fresh ? MDB_CREATE : 0), &s->dbi[i]);
        if (rc != 0) return rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE ? MDB_CORRUPTED : rc;
    }
    int rc = 0;
    if (fresh)
        s->state = (struct store_state){ .next_order = 1, .numbers_ahead = 1 };
    else
        rc = state_read(s, t->txn);
    if (atomic_load(&s->next_number) < s->state.numbers_ahead) atomic_store(&s->next_number, s->state.numbers_ahead);
    return rc != 0 || fresh ? rc : store_pending_all_garbage(t);
}

static int create_unguarded(void *arg)
{
    return env_create(arg);
}

static int env_begin_use(struct store *s, bool fresh)
{
    int rc = store_guarded(create_unguarded, s, &s->wrecked);
    return rc != 0 ? rc : store_turn_run(s, open_databases, &fresh);
}

/* A fresh file is made small, closed, given its size on the disk, and opened again: LMDB refuses a large empty file. */
int store_env_open(struct store *s, bool fresh)
{
    int rc = 0;
    if (fresh) {
        rc = env_begin_use(s, true);
        store_env_close(s);
    }
    if (rc == 0 && !store_files_preallocate(s))
        store_say(s, "%s: the disk has no room for %llu bytes now; the store takes them as it fills", s->path,
                  (unsigned long long)s->map_bytes);
    if (rc == 0) rc = env_begin_use(s, false);
    if (rc != 0) store_env_close(s);
    return rc;
}

/* After a fault in a write transaction, LMDB holds its own lock, and lists that lead nowhere: closing would follow them. Its
 * memory is given up, once per disaster, but not the disk's. */
static void env_give_up(struct store *s)
{
    mdb_filehandle_t fd;
    if (mdb_env_get_fd(s->env, &fd) == 0) (void)!ftruncate(fd, 0); /* nobody looks at that map again */
    s->wrecked = false;
}

void store_env_close(struct store *s)
{
    if (s->env != NULL && s->wrecked)
        env_give_up(s);
    else if (s->env != NULL)
        mdb_env_close(s->env);
    s->env = NULL;
    atomic_store(&s->map, NULL);
}

int store_env_reopen(struct store *s)
{
    /* The purge log goes too: nothing fetched before now may come back under it. A try that fails has lost the number. */
    if (s->broken && s->state.purge_seq > s->seq_floor) s->seq_floor = s->state.purge_seq;
    pthread_mutex_lock(&s->env_lock);
    store_slots_close(s);
    store_env_close(s);
    int rc = 0;
    if (s->broken) {
        store_files_remove_data(s);
        s->live_pages = 0;
    }
    rc = store_env_open(s, s->broken);
    if (rc == 0) rc = mdb_env_sync(s->env, 1); /* does the disk take it again? */
    if (rc == 0 && s->broken) {
        s->state.purge_seq = s->committed.purge_seq = s->seq_floor;
        s->broken = false;
    }
    if (rc != 0) store_env_close(s);
    if (rc < 0) s->broken = true;
    if (rc == 0) s->panicked = false;
    store_slots_reopen(s);
    pthread_mutex_unlock(&s->env_lock);
    return rc;
}

/* ---- turns */

/* Pages in use. LMDB does not count the trees of duplicates, so tags are estimated from their number. */
static int count_pages(struct store *s, MDB_txn *txn, uint64_t *pages)
{
    enum { FREE_LIST_AND_NAMES = 2, DUPLICATE_BYTES = 10 };
    MDB_stat st;
    *pages = 2; /* the meta pages */
    for (MDB_dbi i = 0; i < FREE_LIST_AND_NAMES + DB_COUNT; i++) {
        MDB_dbi dbi = i < FREE_LIST_AND_NAMES ? i : s->dbi[i - FREE_LIST_AND_NAMES];
        int rc = mdb_stat(txn, dbi, &st);
        if (rc != 0) return rc;
        *pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
        if (i == FREE_LIST_AND_NAMES + DB_TAGS) *pages += st.ms_entries * DUPLICATE_BYTES / STORE_PAGE;
        if (i == FREE_LIST_AND_NAMES + DB_INDEX)
            atomic_store(&s->stat_entries, st.ms_entries - store_count_note(s, txn));
        if (i == FREE_LIST_AND_NAMES + DB_PINNED)
            atomic_store(&s->stat_pinned, st.ms_entries - store_count_note(s, txn));
    }
    return 0;
}

static void tell_committed(struct store *s, uint64_t pages)
{
    MDB_envinfo info;
    long unsynced = 0;
    atomic_store_explicit(&s->hand_young, s->state.hand_young, memory_order_relaxed);
    atomic_store_explicit(&s->hand_main, s->state.hand_main, memory_order_relaxed);
    atomic_store_explicit(&s->main_ahead, s->state.main_ahead, memory_order_relaxed);
    if (mdb_env_info(s->env, &info) == 0) atomic_store(&s->stat_used, (info.me_last_pgno + 1) * STORE_PAGE);
    atomic_store(&s->stat_live, pages * STORE_PAGE);
    atomic_store(&s->stat_pinned_bytes, s->state.pinned_bytes);
    atomic_store(&s->purge_seq, s->state.purge_seq);
    atomic_fetch_add(&s->commits, 1);
    atomic_compare_exchange_strong(&s->changed_at_ms, &unsynced, (long)store_clock_ms());
}

static int turn_commit(struct turn *t)
{
    struct store *s = t->s;
    struct timespec a, b;
    uint64_t pages = 0, number = atomic_load(&s->next_number);
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (number + STORE_NUMBERS_AHEAD / 2 > s->state.numbers_ahead)
        s->state.numbers_ahead = number + STORE_NUMBERS_AHEAD;
    int rc = state_write(s, t->txn);
    if (rc == 0) rc = count_pages(s, t->txn, &pages);
    if (rc != 0) return rc;
    rc = mdb_txn_commit(t->txn);
    t->txn = NULL; /* commit consumes the transaction, whatever it returns */
    if (rc != 0) return rc;
    clock_gettime(CLOCK_MONOTONIC, &b);
    atomic_store(&s->commit_us, (unsigned long)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000));
    s->committed = s->state;
    s->live_pages = pages;
    tell_committed(s, pages);
    return 0;
}

struct turn_call {
    struct turn turn;
    int (*body)(struct turn *t, void *arg);
    void *arg;
};

static int turn_unguarded(void *arg)
{
    struct turn_call *c = arg;
    struct turn *t = &c->turn;
    int rc = mdb_txn_begin(t->s->env, NULL, 0, &t->txn);
    if (rc != 0) return rc;
    if (c->body != NULL) rc = c->body(t, c->arg);
    if (rc == 0) rc = turn_commit(t);
    if (t->txn != NULL) mdb_txn_abort(t->txn);
    return rc;
}

int store_turn_run(struct store *s, int (*body)(struct turn *t, void *arg), void *arg)
{
    struct turn_call c = { .turn.s = s, .body = body, .arg = arg };
    if (s->env == NULL) return EIO;
    int rc = store_guarded(turn_unguarded, &c, &s->wrecked);
    if (rc == 0) return 0;
    s->state = s->committed;
    s->garbage = true; /* what was collected is back; if there was none, the next look costs little */
    return rc;
}

/* ---- syncing */

/* Nothing that is promised hangs on it: after a power cut the store starts cold in any case. It finds a disk that fails, and
 * leaves little for the end. Sooner would only write pages that are about to change again. */
static int sync_when_due(struct store *s)
{
    long changed = atomic_load(&s->changed_at_ms);
    if (changed == 0 || store_clock_ms() - changed < STORE_SYNC_AGE_MS) return 0;
    atomic_store(&s->changed_at_ms, 0); /* a commit from here on may be synced too, or not */
    int rc = mdb_env_sync(s->env, 1);
    if (rc != 0) atomic_store(&s->changed_at_ms, changed);
    return rc;
}

static void tidy(struct store *s)
{
    pthread_mutex_lock(&s->env_lock);
    int dead = 0, rc = 0;
    if (s->env != NULL) {
        (void)mdb_reader_check(s->env, &dead); /* frees what a killed reader of another process had pinned */
        rc = sync_when_due(s);
    }
    if (rc != 0) atomic_fetch_add(&s->errors, 1); /* the pages stay dirty */
    pthread_mutex_unlock(&s->env_lock);
}

static void *sync_main(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->sync_lock);
    while (!s->sync_stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += STORE_TIDY_MS / 1000;
        if (pthread_cond_timedwait(&s->sync_wake, &s->sync_lock, &until) != ETIMEDOUT) continue;
        pthread_mutex_unlock(&s->sync_lock);
        tidy(s);
        pthread_mutex_lock(&s->sync_lock);
    }
    pthread_mutex_unlock(&s->sync_lock);
    return NULL;
}

static void sync_stop(struct store *s)
{
    pthread_mutex_lock(&s->sync_lock);
    s->sync_stop = true;
    pthread_cond_signal(&s->sync_wake);
    pthread_mutex_unlock(&s->sync_lock);
    pthread_join(s->sync_thread, NULL);
}

/* ---- opening and closing */

static void monotonic_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void store_free(struct store *s)
{
    store_files_unlock(s);
    free(s->uses);
    store_pins_free(s->pins);
    free(s->path);
    free(s->data_path);
    free(s->lock_path);
    free(s);
}

static struct store *store_new(const struct store_settings *settings)
{
    struct store *s = aligned_alloc(_Alignof(struct store), sizeof(*s));
    if (s == NULL) return NULL;
    memset(s, 0, sizeof(*s));
    s->state_fd = -1;
    s->size_bytes = settings->size_bytes;
    s->say = settings->say;
    s->say_arg = settings->say_arg;
    s->path = strdup(settings->path);
    s->uses = store_uses_new();
    s->pins = store_pins_new();
    pthread_mutex_init(&s->env_lock, NULL);
    pthread_mutex_init(&s->sync_lock, NULL);
    pthread_mutex_init(&s->queue.lock, NULL);
    pthread_mutex_init(&s->jobs.lock, NULL);
    monotonic_cond_init(&s->sync_wake);
    monotonic_cond_init(&s->queue.wake);
    monotonic_cond_init(&s->jobs.wake);
    atomic_init(&s->next_number, 1);
    store_list_init(&s->queue.urgent);
    store_list_init(&s->queue.waiting);
    store_list_init(&s->taken);
    store_list_init(&s->background);
    if (s->path != NULL) s->data_path = store_files_join(s->path, "data.mdb");
    if (s->path != NULL) s->lock_path = store_files_join(s->path, "lock.mdb");
    if (s->path != NULL && s->uses != NULL && s->pins != NULL && s->data_path != NULL && s->lock_path != NULL) return s;
    store_free(s);
    return NULL;
}

/* A turn copies the pages it changes before the old ones are free: in a small map it must be small. */
static void set_limits(struct store *s)
{
    uint64_t pages = s->map_bytes / STORE_PAGE;
    s->turn_records = pages / 256 < STORE_TURN_RECORDS ? pages / 256 : STORE_TURN_RECORDS;
    if (s->turn_records < 2) s->turn_records = 2;
    s->turn_bytes = s->map_bytes / 32 < STORE_TURN_BYTES ? s->map_bytes / 32 : STORE_TURN_BYTES;
    s->limit_pages = pages * STORE_LIVE_PERCENT / 100;
}

static int open_or_cold(struct store *s, enum store_start *start, char *why, size_t cap)
{
    set_limits(s);
    int rc = store_env_open(s, *start != STORE_START_WARM);
    if (rc == 0 || *start != STORE_START_WARM) return rc;
    if (rc > 0) return rc; /* the system's refusal; anything else is about the file */
    snprintf(why, cap, "%s: starting cold: the store's file is not usable, it is damaged: %s; removed", s->data_path,
             mdb_strerror(rc));
    store_files_remove_data(s);
    *start = STORE_START_COLD;
    return store_env_open(s, true);
}

static bool threads_start(struct store *s, int readers)
{
    if (!store_jobs_start(s, readers)) return false;
    if (!store_writer_start(s)) goto no_writer;
    if (pthread_create(&s->sync_thread, NULL, sync_main, s) == 0) return true;
    store_writer_stop(s);
no_writer:
    store_jobs_stop(s);
    return false;
}

enum store_open_result store_open(const struct store_settings *settings, struct store **out, char *why, size_t cap)
{
    *out = NULL;
    if (cap > 0) why[0] = '\0';
    if (settings->size_bytes < STORE_SIZE_MIN) {
        snprintf(why, cap, "%s: a store of %llu bytes is too small: it needs at least %d", settings->path,
                 (unsigned long long)settings->size_bytes, STORE_SIZE_MIN);
        return STORE_TOO_SMALL;
    }
    store_guard_install();
    struct store *s = store_new(settings);
    if (s == NULL) {
        snprintf(why, cap, "%s: no memory", settings->path);
        return STORE_FAILED;
    }
    enum store_open_result result = store_files_lock(s, why, cap);
    if (result != STORE_OPENED) goto fail;
    result = STORE_FAILED;
    enum store_start start = store_files_prepare(s, why, cap);
    if (start == STORE_START_FAILED) goto fail;
    int rc = open_or_cold(s, &start, why, cap);
    if (rc != 0) {
        snprintf(why, cap, "%s: cannot be opened: %s", s->data_path, mdb_strerror(rc));
        goto fail;
    }
    if (!threads_start(s, settings->reader_threads)) {
        snprintf(why, cap, "%s: no threads for the store", settings->path);
        store_env_close(s);
        goto fail;
    }
    *out = s;
    return start == STORE_START_COLD ? STORE_STARTED_COLD : STORE_OPENED;
fail:
    store_free(s);
    return result;
}

void store_close(struct store *s)
{
    if (s == NULL) return;
    store_writer_stop(s);
    store_jobs_stop(s);
    sync_stop(s);
    store_slots_close(s);
    bool clean = s->env != NULL && !s->broken && !s->panicked && mdb_env_sync(s->env, 1) == 0;
    store_env_close(s);
    if (s->broken) store_files_remove_data(s);
    if (clean) (void)store_files_mark(s, true); /* unmarked it is still warm until the machine goes down */
    store_free(s);
}

void store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){ .entries = atomic_load(&s->stat_entries),
                                 .live_bytes = atomic_load(&s->stat_live),
                                 .used_bytes = atomic_load(&s->stat_used),
                                 .size_bytes = s->size_bytes,
                                 .puts = atomic_load(&s->puts),
                                 .removes = atomic_load(&s->removes),
                                 .evictions = atomic_load(&s->evicted_young) + atomic_load(&s->evicted_main),
                                 .pinned = atomic_load(&s->stat_pinned),
                                 .pinned_bytes = atomic_load(&s->stat_pinned_bytes),
                                 .pins_refused = atomic_load(&s->pins_refused),
                                 .evictions_young = atomic_load(&s->evicted_young),
                                 .reclaimed = atomic_load(&s->reclaimed),
                                 .refused = atomic_load(&s->refused),
                                 .bad_checksums = atomic_load(&s->bad_checksums),
                                 .errors = atomic_load(&s->errors),
                                 .commits = atomic_load(&s->commits),
                                 .commit_last_ms = (double)atomic_load(&s->commit_us) / 1000,
                                 .failing = atomic_load(&s->failing) };
    for (int i = 0; i < STORE_SLOTS; i++) {
        out->gets += atomic_load_explicit(&s->slots[i].gets, memory_order_relaxed);
        out->hits += atomic_load_explicit(&s->slots[i].hits, memory_order_relaxed);
    }
    long changed = atomic_load(&s->changed_at_ms);
    if (changed != 0) out->sync_age_s = (double)(store_clock_ms() - changed) / 1000;
    pthread_mutex_lock(&s->queue.lock);
    out->queue_bytes = s->queue.waiting.bytes + s->queue.urgent.bytes;
    out->queue_entries = s->queue.waiting.count + s->queue.urgent.count;
    pthread_mutex_unlock(&s->queue.lock);
}
