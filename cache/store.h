/* store: the large tier: stored responses on disk, found by key, that survive restarts and kill -9. Only
 * cache/store_*.c know LMDB; how the bytes lie there is told in store_internal.h.
 * Ownership: store_open gives one store, store_close ends it; records and content are copied in and out.
 * Threads: any thread may read (each call is one short read transaction that never outlives the call); writes are
 * queued and done in order, in batches, by the store's own writer thread, which calls back when they are committed.
 * Limits: size_bytes on disk (never exceeded), STORE_QUEUE_MAX_BYTES of waiting writes; at the limit a put is refused
 * with -EAGAIN and the response stays in memory only.                                                               */
#ifndef WEIR_CACHE_STORE_H
#define WEIR_CACHE_STORE_H

#include "headers/view.h"

#include <sys/types.h>

enum {
    STORE_FORMAT_VERSION = 2,
    STORE_CHUNK_BYTES = 16360, /* content per chunk; with its 8 byte checksum just under four pages */
    STORE_INLINE_MAX = 1900,   /* a record with its content up to this stays in the index */
    STORE_QUEUE_MAX_BYTES = 64 << 20,
    STORE_TAGS_MAX = 1024,
    STORE_PINNED_PERCENT =
        50, /* of what eviction leaves; pins beyond it are refused, and the record is an ordinary one */
};

struct store;

struct store_id { /* where a stored response is found: key hash, variant hash (0: none) */
    uint64_t key[2];
    uint64_t variant;
};

static inline struct store_id store_id_of(const uint64_t key_hash[2], uint64_t variant_hash)
{
    return (struct store_id){ .key = { key_hash[0], key_hash[1] }, .variant = variant_hash };
}

struct store_settings {
    const char *path; /* directory; made if missing */
    uint64_t size_bytes;
    int reader_threads; /* 2 */
    /* Called from the writer thread for a line worth telling the operator; may be NULL. */
    void (*say)(void *arg, const char *line);
    void *say_arg;
};

enum store_open_result {
    STORE_OPENED,
    STORE_STARTED_COLD,
    STORE_NOT_WRITABLE,
    STORE_IN_USE,
    STORE_TOO_SMALL,
    STORE_FAILED
};

/** Open or make. Another format version, a damaged or foreign file, or a store that was open when the power went (another
 *  boot id and no clean mark) is set aside or emptied: STORE_STARTED_COLD, with a reason.
 *  @param why  one line for the operator, always NUL-terminated: path, cause, what would be right */
MUST_USE enum store_open_result store_open(const struct store_settings *settings, struct store **out, char *why,
                                           size_t cap);
/** Finish queued writes, sync, mark clean, free. */
void store_close(struct store *s);

/* ---- reading: any thread, blocking on the disk at worst */

struct store_found {         /* what the store knows of a record besides its bytes */
    void *memory;            /* store_get: malloc'd; the record begins `spare` bytes into it. Else NULL */
    size_t record_len;       /* as put */
    uint64_t content_number; /* 0: the content is inside the record */
    uint64_t content_len;    /* as put */
    uint64_t fetch_seq;
    bool pinned;
};

/** The record of id, copied into malloc'd memory (out->memory) that the caller frees. A record whose checksum is wrong is
 *  counted, removed, and answered with -EIO: a miss.
 *  @param spare    bytes to leave free before the record in the allocation (for the caller's own struct)
 *  @param out      set only when 0 is returned
 *  @return 0, -ENOENT, -ENOMEM, -EIO */
MUST_USE int store_get(struct store *s, const struct store_id *id, size_t spare, struct store_found *out);
/** Content bytes [offset, offset + len) of content number `number`; each chunk's checksum is verified.
 *  @return bytes read (short only at the end), -ENOENT (gone: evicted meanwhile), -EIO (the disk, or a bad checksum, which is
 *          counted: the caller then removes the record) */
MUST_USE ssize_t store_read(struct store *s, uint64_t number, int64_t offset, void *to, size_t len);
/** Somebody reads content `number` for a while: its chunks outlive its record until store_unpin, or until others need the
 *  share of the store that is for content without a record. Holds no page of the store.
 *  @return false: no memory */
MUST_USE bool store_pin(struct store *s, uint64_t number);
void store_unpin(struct store *s, uint64_t number);
/** Pinned content `number` is to be appended, so many bytes in all. Half of the store may be under way at a time.
 *  @return false: there is no room for it; what is appended nevertheless is refused */
MUST_USE bool store_reserve(struct store *s, uint64_t number, uint64_t bytes);
enum store_warmth { STORE_COLD, STORE_WARM, STORE_MISSING };
/** STORE_WARM: store_get, and store_read of its content if that is not larger than content_max, would find every page they
 *  need in memory, and little to copy. STORE_MISSING: there is nothing to get. Does not wait itself. */
MUST_USE enum store_warmth store_warmth(struct store *s, const struct store_id *id, size_t content_max);

/** Run `job` on one of the reader threads. False when STORE_JOBS_MAX are waiting. */
enum { STORE_JOBS_MAX = 4096 };
struct store_job {
    void (*run)(struct store_job *job);
    struct store_job *next;
};
MUST_USE bool store_submit(struct store *s, struct store_job *job);

/* ---- writing: queued, in order */

/* Called on the writer thread, with no lock held, once the write is committed (0) or has failed (negative errno). */
typedef void (*store_done)(void *arg, int result);

/** A fresh content number; growing, never reused, also over restarts. */
uint64_t store_next_number(struct store *s);

/** Append content chunks of `number`, a fresh one, offset a multiple of STORE_CHUNK_BYTES; only the last piece may end
 *  elsewhere. Chunks without a record that follows are reclaimed at the next open. `data` must stay until done.
 *  @return as store_put; -EINVAL: number 0, or an offset between chunks */
MUST_USE int store_append(struct store *s, uint64_t number, int64_t offset, const void *data, size_t len,
                          store_done done, void *arg);
/** done once everything that was queued before has been written, or refused: 0, or -EROFS from a store that rests. */
MUST_USE int store_flush(struct store *s, store_done done, void *arg);
/** Forget content that will get no record. */
void store_abandon(struct store *s, uint64_t number);

struct store_put {
    struct store_id id;
    const void *record; /* head and, if content_number is 0, content too */
    size_t record_len;
    const void *content; /* content to write under content_number; NULL when already appended, or none */
    size_t content_len;
    uint64_t content_number; /* 0: the content is inside the record */
    uint64_t fetch_seq;      /* purge sequence at which its fetch began */
    const uint64_t *tags;    /* hashes of tags (those of host and URL among them), each once */
    size_t tag_count;
    bool pinned;        /* eviction leaves it alone, within STORE_PINNED_PERCENT */
    bool keeps_content; /* the record is replaced, content_number stays (a freshened head) */
};
/** Replace or add. The old record's content and tags under the same id are removed in the same transaction, unless
 *  keeps_content and its number is the same. Everything `put` points to must stay until done.
 *  @return 0 when queued; -EAGAIN: queue full; -ENOSPC: larger than the store can ever hold; -EROFS: the store has failed
 *          and is resting. done is called only after 0. A put whose done reports an error has abandoned its content; one
 *          that was refused has not: store_abandon what was appended. done may further report -ENOENT: keeps_content, but
 *          record or content are gone. */
MUST_USE int store_put(struct store *s, const struct store_put *put, store_done done, void *arg);
/** Remove the record if it still has this content number (0: whatever it has). */
void store_remove(struct store *s, const struct store_id *id, uint64_t content_number);

/** How many records (variants) a key has whose fetch_seq is below below_seq; they are neighbours in the index. Blocking read. */
uint64_t store_count_key(struct store *s, const uint64_t key[2], uint64_t below_seq);
/** Remove every record (variant) of a key whose fetch_seq is below below_seq; done (may be NULL) when committed. */
MUST_USE int store_remove_key(struct store *s, const uint64_t key[2], uint64_t below_seq, store_done done, void *arg);

/** Whom eviction asks (on the writer thread) whether a record is used elsewhere, in memory say, before it lets it go. Set it
 *  before the first put; it must not call the store. */
void store_set_in_use(struct store *s, bool (*in_use)(void *arg, const struct store_id *id), void *arg);
/** Whom eviction asks (on the writer thread) whether a pinned record may leave after all. As above. */
void store_set_pin_over(struct store *s, bool (*is_over)(void *arg, struct view record), void *arg);
/** Note a use, for eviction. Cheap, any thread. */
void store_touch(struct store *s, const struct store_id *id);

/* ---- a note of the owner's own: one piece of bytes beside the responses; nothing evicts, reclaims or walks it */

/** Replace the note; until it is whole the one before stays. `bytes` must stay until done. @return as store_put */
MUST_USE int store_put_note(struct store *s, const void *bytes, size_t len, store_done done, void *arg);
/** @param out  malloc'd, the caller's to free
 *  @return 0, -ENOENT: none, -ENOMEM, -EIO: it cannot be read, or is not what was written */
MUST_USE int store_get_note(struct store *s, void **out, size_t *len);

/* ---- purges: durable pieces for purge.c */

/* One durable line of the purge log: what, when, how. `name` at most STORE_PURGE_NAME_MAX bytes. */
enum { STORE_PURGE_NAME_MAX = 400 };
struct store_purge_line {
    char kind; /* 'a'll, 'h'ost, 'p'refix, 't'ag, 'u'rl: purge.c's business */
    bool soft;
    uint64_t seq;
    int64_t time_s;
    struct view name;
};
/** Commit the lines and the new sequence number at once, ahead of waiting puts; then done. A line replaces the one with the
 *  same kind, softness and name. */
MUST_USE int store_log_purges(struct store *s, const struct store_purge_line *lines, size_t n, uint64_t seq,
                              store_done done, void *arg);
/** Forget a line if its seq is still this one: its space has been reclaimed. */
void store_forget_purge(struct store *s, char kind, bool soft, struct view name, uint64_t seq);
/** At start: the last sequence number and every line. Return false from `each` to stop. */
uint64_t store_load_purges(struct store *s, bool (*each)(void *arg, const struct store_purge_line *line), void *arg);

/** Stored responses with this tag whose number of content or order is known: how many. Constant time. */
uint64_t store_tag_count(struct store *s, uint64_t tag);
/** Walk records, in slices of short read transactions: of one tag (or all when tag is NULL); at most `limit` per call from
 *  *cursor (0 to begin; 0 again when the end is reached). `each` gets the record's bytes and what is
 *  known of it, valid during the call only; it returns false to stop, and must not call the store.
 *  @return records shown, or negative errno */
MUST_USE int store_walk(struct store *s, const uint64_t *tag, uint64_t *cursor, size_t limit,
                        bool (*each)(void *arg, const struct store_id *id, const struct store_found *found,
                                     struct view record),
                        void *arg);
/** In the background, in slices between other writes: remove every record of `tag` (NULL: all) whose fetch_seq is below
 *  `below_seq` and for which `matches` (when not NULL; called on the writer thread) says so; then done (-ECANCELED: the
 *  store closed before). */
MUST_USE int store_reclaim(struct store *s, const uint64_t *tag, uint64_t below_seq,
                           bool (*matches)(void *arg, struct view record), void *arg, store_done done);

/* ---- telling */

struct store_stats {
    uint64_t entries, live_bytes, used_bytes, size_bytes, queue_bytes, queue_entries;
    uint64_t puts, gets, hits, removes, evictions, reclaimed, refused, bad_checksums, errors, commits;
    uint64_t pinned, pinned_bytes, pins_refused;
    uint64_t evictions_young;          /* of evictions: those that were not used since they came; the others later */
    double sync_age_s, commit_last_ms; /* sync_age_s: of the oldest commit that a power cut would lose; 0: none */
    bool failing;                      /* disk full, read-only or broken: weir goes on from memory and the origin */
};
void store_stats(struct store *s, struct store_stats *out);

#endif
