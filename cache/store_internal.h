/* store_internal: what the files of the store share. Only cache/store_*.c include this, and through it lmdb.h.
 *
 *   store_files.c   the directory: lock and state file, what is set aside, preallocation     store_check.c  damage
 *   store_lmdb.c    the environment: open, reopen, close, sync                                store_read.c   readers
 *   store_guard.c   faults while LMDB reads a damaged file                                    store_warm.c   what waits
 *   store_records.c where records lie, and how they are found, written, moved and deleted
 *   store_writer.c  the queue and the writer thread: turns, failures, what callers may queue
 *   store_apply.c   what each queued operation does to the databases, inside a turn
 *   store_evict.c   who leaves: uses, hands, garbage, reclaiming after purges
 *   store_pins.c    content that somebody reads
 *   store_note.c    the owner's own note: a record under an id that no response has
 *
 * The databases. Numbers in keys are big-endian, so that LMDB's order is theirs.
 *   index    id -> order                      the only large one with random keys
 *   young    order -> envelope, tags, record  order grows with every put: appended
 *   main-a, main-b  the same, of records that eviction left alone: it moves them along (store_evict.c), so that those
 *            that stay lie close together, and what leaves frees whole pages
 *   pinned   the same, of records that eviction does not look at. An order is in one of the four
 *   content  number, chunk -> checksum, data  number grows with every fetch: mostly appended
 *   tags     tag -> orders                    DUPSORT | DUPFIXED
 *   purges   kind, softness, name -> line
 *   pending  number -> under way or garbage   content that has no record
 *   meta     "state" -> struct store_state
 *
 * Locks: queue.lock; env_lock; the jobs' lock; none is taken while another is held. A reader slot is a lock of its own.  */
#ifndef WEIR_CACHE_STORE_INTERNAL_H
#define WEIR_CACHE_STORE_INTERNAL_H

#include "cache/store.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    STORE_PAGE = 4096,
    STORE_SIZE_MIN = 4 << 20,
    STORE_OVERHEAD_BYTES = 64 << 10, /* the state file, the directory itself, and lock.mdb where it needs a file */
    STORE_RECORD_MAX = 1 << 20,
    STORE_SLOTS = 128, /* concurrent read transactions; more readers wait for one another */
    STORE_LMDB_READERS = 256,
    STORE_LIVE_PERCENT = 90, /* of the map; measured: no MDB_MAP_FULL below it */
    STORE_TURN_RECORDS = 256,
    STORE_TURN_BYTES = 4 << 20,
    STORE_BATCH_WAIT_MS = 10,
    STORE_APPENDS_READY = 256 << 10, /* appended content is not collected for longer: who fills a window waits for it */
    STORE_REST_MS = 1000,
    STORE_TIDY_MS = 5000,
    STORE_SYNC_AGE_MS = 30000,       /* a commit is synced at this age */
    STORE_CHECK_MS = 250,            /* at open, for looking at pages */
    STORE_INLINE_FORGET_CHUNKS = 64, /* larger content is forgotten in slices */
    STORE_FORGET_CHUNKS = 256,
    STORE_URGENT_MAX = 64 << 10, /* purges waiting */
    STORE_NUMBERS_AHEAD = 1 << 20,
    STORE_WARM_BRANCHES = 4096, /* pages that look-ups are known to find in memory */
    STORE_WARM_RUNS = 16384,    /* and runs of them, of which all are */
};

/* ---- the bytes */

struct envelope {      /* before every record; its tags follow, then the record */
    uint64_t checksum; /* XXH3 of everything behind it */
    struct store_id id;
    uint64_t content_number, content_len, fetch_seq;
    uint32_t record_len;
    uint16_t tag_count;
    uint16_t flags;
};
enum { ENVELOPE_PINNED = 1, ENVELOPE_NOTE = 2 };

struct store_state { /* committed with every turn */
    uint64_t checksum;
    uint64_t next_order;    /* of the next record */
    uint64_t numbers_ahead; /* no content number at or above this one has been used */
    uint64_t purge_seq;
    uint64_t hand_young, hand_main; /* orders eviction looked at last */
    uint64_t main_ahead;  /* 0: main-a is what hand_main has yet to look at, main-b what it has; 1: the other way */
    uint64_t young_bytes; /* of records above hand_young */
    uint64_t pinned_bytes;
    uint64_t last_number, last_chunk; /* greatest key of content */
};

struct chunk_key {
    unsigned char bytes[12];
};

enum pending_state { PENDING_UNDER_WAY = 'U', PENDING_GARBAGE = 'G' };

struct order_key { /* a number, big-endian */
    unsigned char bytes[8];
};

static inline struct order_key order_key_of(uint64_t n)
{
    struct order_key k;
    uint64_t be = __builtin_bswap64(n);
    memcpy(k.bytes, &be, sizeof(be));
    return k;
}

static inline uint64_t order_of(const void *bytes)
{
    uint64_t be;
    memcpy(&be, bytes, sizeof(be));
    return __builtin_bswap64(be);
}

static inline struct chunk_key chunk_key_of(uint64_t number, uint64_t chunk)
{
    struct chunk_key k;
    uint64_t n = __builtin_bswap64(number);
    uint32_t c = __builtin_bswap32((uint32_t)chunk);
    memcpy(k.bytes, &n, sizeof(n));
    memcpy(k.bytes + sizeof(n), &c, sizeof(c));
    return k;
}

static inline MDB_val val_of(const void *at, size_t len)
{
    return (MDB_val){ len, (void *)(uintptr_t)at };
}

/* ---- the store */

enum {
    DB_META,
    DB_INDEX,
    DB_YOUNG,
    DB_MAIN_A,
    DB_MAIN_B,
    DB_PINNED,
    DB_CONTENT,
    DB_TAGS,
    DB_PURGES,
    DB_PENDING,
    DB_COUNT
};

struct reader_slot { /* owned while busy; counts are kept here so that readers share no cache line */
    _Alignas(64) atomic_bool busy;
    MDB_txn *txn; /* reset between calls; NULL until first used, and while the environment is closed */
    MDB_cursor *chunks;
    atomic_ulong gets, hits;
};

enum op_kind {
    OP_APPEND,
    OP_ABANDON,
    OP_PUT,
    OP_REMOVE,
    OP_REMOVE_KEY, /* every variant */
    OP_LOG_PURGES,
    OP_FORGET_PURGE,
    OP_FLUSH,
    OP_RECLAIM
};

struct store_op { /* one queued write */
    struct store_op *next;
    enum op_kind kind;
    store_done done;
    void *arg;
    size_t cost;               /* bytes it counts for in the queue */
    size_t written, committed; /* progress: content bytes, or the order a reclaim has reached */
    bool finished;
    int result;
    union {
        struct store_put put;
        struct {
            uint64_t number;
            int64_t offset;
            const void *data;
            size_t len;
        } append; /* abandon: number only */
        struct {
            struct store_id id;
            uint64_t number, below_seq;
        } remove;
        struct {
            struct store_purge_line *lines; /* names behind them, one allocation */
            size_t n;
            uint64_t seq;
        } purges;
        struct {
            char *key; /* behind the op, in the same allocation */
            size_t key_len;
            uint64_t seq;
        } forget;
        struct {
            bool by_tag;
            uint64_t tag, below_seq;
            bool (*matches)(void *arg, struct view record);
        } reclaim;
    };
};

struct op_list {
    struct store_op *first, **end;
    size_t count, bytes;
};

struct store_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct op_list urgent, waiting;
    size_t appends;   /* bytes of them that wait */
    bool damage;      /* a reader met it */
    int64_t since_ms; /* when the oldest of waiting came, about */
    enum { WRITER_BUSY, WRITER_COLLECTS, WRITER_IDLE } writer;
    bool stop;
};

struct store_jobs {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct store_job *first, **end;
    int waiting, threads;
    pthread_t thread[16];
    bool stop;
};

struct uses;       /* store_evict.c */
struct store_pins; /* store_pins.c */

struct store {
    char *path, *data_path, *lock_path;
    uint64_t size_bytes, map_bytes;
    uint64_t limit_pages; /* live pages eviction keeps below */
    size_t turn_records, turn_bytes;
    void (*say)(void *arg, const char *line);
    void *say_arg;
    bool (*in_use)(void *arg, const struct store_id *id); /* NULL: nobody knows */
    void *in_use_arg;
    bool (*pin_is_over)(void *arg, struct view record); /* NULL: never */
    void *pin_arg;
    int state_fd;

    MDB_env *env; /* NULL while it could not be reopened */
    MDB_dbi dbi[DB_COUNT];
    _Atomic(const char *) map; /* where LMDB has it; NULL: not known yet */
    _Atomic uint64_t warm_branches[STORE_WARM_BRANCHES], warm_runs[STORE_WARM_RUNS];
    pthread_mutex_t env_lock; /* sync thread against reopening */
    struct reader_slot slots[STORE_SLOTS];
    struct store_jobs jobs;

    struct store_queue queue;
    pthread_t writer_thread, sync_thread;
    pthread_mutex_t sync_lock;
    pthread_cond_t sync_wake;
    bool sync_stop;
    atomic_ulong next_number;

    /* the writer's own */
    struct store_state state, committed;
    struct op_list taken, background;
    struct uses *uses;
    struct store_pins *pins;
    atomic_bool unpinned; /* garbage that was being read may be free now */
    uint64_t live_pages;
    unsigned attempts;    /* turns in a row that met a full map */
    unsigned tries;       /* to end a rest, that met a full map */
    uint64_t looks;       /* of eviction, since the last record left */
    uint64_t hand_pinned; /* the order of the pinned record whose pin was looked at last */
    bool garbage;
    bool broken;  /* the environment must be opened anew, emptied */
    bool wrecked; /* a fault left LMDB's own structures in between: not even closing is safe */
    int64_t rest_until_ms;
    bool panicked;      /* the environment must be opened anew */
    bool wants_room;    /* it rests because the disk is full */
    uint64_t seq_floor; /* after a cold start while running: puts fetched before it are refused */
    uint64_t tags_scratch[STORE_TAGS_MAX];

    /* told to anybody */
    atomic_ulong hand_young, hand_main, main_ahead; /* as committed: where an order most likely is */
    atomic_bool failing;
    atomic_ulong purge_seq, stat_entries, stat_live, stat_used, stat_pinned, stat_pinned_bytes, pins_refused, puts,
        removes, evicted_young, evicted_main, reclaimed, refused, bad_checksums, errors, commits, commit_us;
    atomic_long changed_at_ms; /* the first commit since the last sync; 0: none */
};

/** Tell the operator. Writer and opening thread only. */
__attribute__((format(printf, 2, 3))) void store_say(struct store *s, const char *format, ...);
int64_t store_clock_ms(void);
/** What a caller sees of LMDB's return code. */
int store_errno(int rc);

/* ---- store_pins.c */

struct store_pins *store_pins_new(void);
void store_pins_free(struct store_pins *p);
bool store_is_pinned(struct store *s, uint64_t number);
/** What was appended under `number` has its record now. */
void store_has_record(struct store *s, uint64_t number);
/** Whether content of so many bytes that has lost its record stays for its readers. Kept once, it is kept until they go. */
bool store_is_kept(struct store *s, uint64_t number, uint64_t bytes);

/* ---- store_note.c */

bool store_is_note(const struct store_id *id);
/** Entries of the index that are no response: 1 or 0. */
size_t store_count_note(struct store *s, MDB_txn *txn);

/* ---- store_files.c */

enum store_start { STORE_START_NEW, STORE_START_WARM, STORE_START_COLD, STORE_START_FAILED };

/** Make and lock the directory. */
enum store_open_result store_files_lock(struct store *s, char *why, size_t cap);
/** Look at what is there, set aside or remove what cannot be used, and fix s->map_bytes. */
enum store_start store_files_prepare(struct store *s, char *why, size_t cap);
/** Bytes that the disk would still give. */
uint64_t store_files_room(const struct store *s);
/** Give data.mdb its final size on the disk; the environment must be closed. False when the disk has no room for it. */
bool store_files_preallocate(struct store *s);
/** Durably note that the store is open, or was closed cleanly. */
bool store_files_mark(struct store *s, bool clean);
void store_files_remove_data(struct store *s);
void store_files_remove_lock(const struct store *s);
/** malloc'd; NULL: no memory */
char *store_files_join(const char *dir, const char *name);
void store_files_unlock(struct store *s);

/* ---- store_guard.c */

/** Once per process: catch SIGBUS and SIGSEGV for store_guarded. */
void store_guard_install(void);
/** run(arg), and its result; MDB_CORRUPTED with *fault when it ran into memory that is not there. What run held is lost. */
int store_guarded(int (*run)(void *arg), void *arg, bool *fault);
/** Leave the innermost store_guarded of this thread as by a fault. Returns only when there is none. */
void store_guard_escape(void);

/* ---- store_lmdb.c */

extern const char store_state_key[];
const char *store_name_of(int database);

/** Open the environment and read its state; `fresh`: make it. An LMDB code. */
int store_env_open(struct store *s, bool fresh);
void store_env_close(struct store *s);
/** From the writer thread: close and open again, emptied if the store is broken. An LMDB code. */
int store_env_reopen(struct store *s);

/* ---- store_read.c */

/** Run `read` in a transaction of its own: every access to the map outside the writer goes through here. */
int store_read_in_slot(struct store *s, int (*read)(struct store *s, struct reader_slot *slot, void *arg), void *arg);
/** The same, without waiting for a slot: EAGAIN where none is free. */
int store_read_in_free_slot(struct store *s, int (*read)(struct store *s, struct reader_slot *slot, void *arg),
                            void *arg);
/** Take every slot and end its transaction, so that the environment may be closed; and give them back. */
void store_slots_close(struct store *s);
void store_slots_reopen(struct store *s);
bool store_jobs_start(struct store *s, int threads);
void store_jobs_stop(struct store *s);

/** Whether there is nothing that `op`, a removal or an abandonment, would remove. */
bool store_is_moot(struct store *s, const struct store_op *op);
/** Of one tag, the first order above `after`. 0, MDB_NOTFOUND, or an LMDB code. */
int store_tag_next(MDB_cursor *tags, uint64_t tag, uint64_t after, uint64_t *order);
uint64_t store_chunk_checksum(uint64_t number, uint64_t chunk, const void *data, size_t len);

/* ---- store_records.c */

/** Where an order was when the last turn was committed: DB_YOUNG, DB_MAIN_A or DB_MAIN_B. */
int store_likely_place(const struct store *s, uint64_t order);

struct found_record {
    uint64_t order;
    int place; /* DB_YOUNG, DB_MAIN_A, DB_MAIN_B or DB_PINNED */
    struct envelope envelope;
    const unsigned char *tags; /* unaligned */
    struct view record;        /* lives until the transaction's next write or end */
};
/** By id: 0, MDB_NOTFOUND, EBADMSG (a wrong checksum; out->order is set), or an LMDB code. */
int store_record_find(struct store *s, MDB_txn *txn, const struct store_id *id, struct found_record *out);
/** By order: as above, but EBADMSG too when there is none. */
int store_record_at(struct store *s, MDB_txn *txn, uint64_t order, struct found_record *out);
/** The first record above `after`: codes as above; out->order and place are set for EBADMSG too. */
int store_record_next(struct store *s, MDB_txn *txn, uint64_t after, struct found_record *out);
/** The same in one place only. */
int store_record_next_in(struct store *s, MDB_txn *txn, int place, uint64_t after, struct found_record *out);

/* ---- store_writer.c */

/** From any thread: LMDB's file is damaged; the writer begins anew. */
void store_report_damage(struct store *s);
bool store_writer_start(struct store *s);
/** Finish what is queued, cancel what is in the background, end the thread. */
void store_writer_stop(struct store *s);
void store_list_init(struct op_list *l);
/** Everything of `from`, which is empty afterwards; `to` is overwritten. */
void store_list_move(struct op_list *to, struct op_list *from);
void store_list_push(struct op_list *l, struct store_op *op);
struct store_op *store_list_pop(struct op_list *l);

/* ---- inside a turn: one write transaction of the writer thread. Each returns an LMDB code. */

struct turn {
    struct store *s;
    MDB_txn *txn;
    size_t records, bytes; /* written or deleted */
    size_t moved_bytes;    /* by eviction, of records that stay */
    int moves_left;
};

/** Begin, do body (NULL: nothing), and commit, or undo everything when it fails. Guarded against faults. */
int store_turn_run(struct store *s, int (*body)(struct turn *t, void *arg), void *arg);
bool store_turn_full(const struct turn *t);

/** Do what op asks, or a part of it; op->finished tells, op->result is what its caller hears. */
int store_apply(struct turn *t, struct store_op *op);
/** Write a record under `order`; append: it becomes the last of its place, else it replaces what is there. */
int store_record_put(struct turn *t, const struct store_put *p, uint64_t order, int place, bool append);
/** Delete the bytes of a record: no more. */
int store_record_del(struct turn *t, uint64_t order, int place);
/** Move a record to the end of another place. */
int store_record_move(struct turn *t, const struct found_record *found, int to);
/** Whether LMDB may delete a value: it frees as many pages as the value's own page says. */
bool store_may_delete(MDB_val key, MDB_val value);

/** Remove a record with its index entry, tags and content. `found` is not valid afterwards. */
int store_forget_record(struct turn *t, const struct found_record *found);
/** Remove a record that cannot be read, and the index entry of `id` (NULL: not known). Its content, if any, stays. */
int store_forget_broken(struct turn *t, const struct store_id *id, uint64_t order);
/** What a record counts for among the young. */
uint64_t store_weight(const struct envelope *e);
/** The key of a line of the purge log; `to` has room for 2 + STORE_PURGE_NAME_MAX. @return its length */
size_t store_purge_key(char kind, bool soft, struct view name, char *to);
uint64_t store_purge_checksum(MDB_val key, uint64_t seq, int64_t time_s);
/** Remove at most `max` chunks of a number, lowest first. *more: some are left. */
int store_forget_chunks(struct turn *t, uint64_t number, size_t max, bool *more);
int store_pending_put(struct turn *t, uint64_t number, enum pending_state state);
int store_pending_del(struct turn *t, uint64_t number);
/** After open: whatever was under way is garbage now. */
int store_pending_all_garbage(struct turn *t);

/* ---- store_evict.c: who leaves */

struct uses *store_uses_new(void);
/** Note that id has come (back): one that was evicted lately starts as if it had been used. */
void store_uses_arrived(struct uses *u, const struct store_id *id);
void store_uses_note(struct uses *u, const struct store_id *id);
/** Remove one record or a slice of garbage, or at least move a hand on: a turn's worth of moving at most.
 *  @return MDB_NOTFOUND when there is nothing that may leave */
int store_evict_one(struct turn *t);
/** A slice of the garbage. s->garbage becomes false when none is left. */
int store_collect_garbage(struct turn *t);
/** A slice of a reclaim. */
int store_reclaim_some(struct turn *t, struct store_op *op);

#endif
