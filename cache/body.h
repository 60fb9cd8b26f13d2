/* body: the content of one response, filled by one fetch and read by many while it fills.
 *
 *   FILLING --body_append*--> FILLING --body_complete--> COMPLETE
 *                                    \--body_break-----> BROKEN      readers hear of it after the bytes they can have
 *
 * Small content lies in one buffer for as long as the body lives. Larger content passes through a window of segments: a
 * segment leaves memory once it is committed to the store (readers behind the window read from there) or, where nothing is
 * stored, once every reader has passed it. When the window is full, body_append says so and the feeder pauses until `resume`.
 *
 * Ownership: counted; body_new gives one reference. A reader holds one of its own until body_reader_end.
 * Threads: one feeder; readers anywhere. One mutex per body, held for a copy of at most a segment; wakes run outside it.    */
#ifndef WEIR_CACHE_BODY_H
#define WEIR_CACHE_BODY_H

#include "cache/store.h"

enum {
    BODY_SEGMENT_BYTES = 4 * STORE_CHUNK_BYTES,
    BODY_WINDOW_SEGMENTS = 8,     /* in memory at most, then the feeder pauses */
    BODY_FIRST_BYTES = 16 * 1024, /* first buffer of a content of unknown length */
};

struct body;

struct body_settings {
    int64_t length;            /* -1: not known */
    int64_t whole_limit_bytes; /* up to this length it stays in one buffer */
    _Atomic int64_t *held;     /* where the bytes of that buffer are counted; NULL: nowhere */
    struct store *store;       /* NULL: never stored, or no store */
    void (*resume)(void *arg); /* the window has room again, or the store gave up; any thread, must only post; not after
                                  the end */
    void *resume_arg;
};

MUST_USE struct body *body_new(const struct body_settings *settings);
/** A complete body whose bytes are all in the store under `number`. */
MUST_USE struct body *body_stored(struct store *store, uint64_t number, int64_t length);
struct body *body_ref(struct body *b);
void body_unref(struct body **b);

/* ---- the feeder */

enum body_appended { BODY_GO_ON, BODY_PAUSE, BODY_NO_MEMORY };
MUST_USE enum body_appended body_append(struct body *b, const void *bytes, size_t len);
/** Where the next bytes will lie, for who can put them there before he appends them: then nothing is copied.
 *  @return NULL: not known before they are here */
void *body_room(struct body *b, size_t *cap);
void body_complete(struct body *b);
void body_break(struct body *b);
/** It turned out not to be storable: what comes goes to the readers alone. */
void body_stop_storing(struct body *b);
/** Who reads so slowly that the window is full while others wait for more is left behind: the window moves on, and its next
 *  read behind the window fails, unless the store has that part. Of no effect while the store makes room. */
void body_leave_slow(struct body *b);
/** After body_complete: when everything queued for the store is committed (or at once), `done` with 0 or why not. */
void body_when_stored(struct body *b, void (*done)(void *arg, int result), void *arg);

/* ---- what anybody may ask */

/** The whole content in one piece when the body is complete and small; at is NULL otherwise. Lives as long as the body. */
struct view body_whole(struct body *b);
bool body_is_complete(struct body *b);
bool body_is_broken(struct body *b);
int64_t body_filled(struct body *b);
/** -1 while not known. */
int64_t body_length(struct body *b);
/** The content number under which a large body was put into the store; 0: none. */
uint64_t body_number(struct body *b);
/** The stored content belongs to a record now; without this call it is abandoned when the last reference goes. */
void body_keep_number(struct body *b);
/** The opposite, for a record that was refused: its readers can go on, and the content goes with the last of them. */
void body_drop_number(struct body *b);
/** Where the record is found that has this content: it is removed when its content turns out to be gone or damaged. */
void body_set_record(struct body *b, const struct store_id *id);
/** What is appended goes to the store. False: only readers make room in the window. */
bool body_is_storing(struct body *b);
size_t body_memory_bytes(struct body *b);

/* ---- readers: embedded in their owner */

struct body_reader {
    struct body *body;
    int64_t offset, end;                 /* next byte; one past the last wanted, -1: to the end */
    void (*wake)(struct body_reader *r); /* there is more, or the end; any thread, must only post */
    /* private */
    struct body_reader *next;
    struct body_spill *spill; /* what was read from the store for this reader */
    bool waiting, for_end;    /* for_end: only the end is news */
    bool left;                /* the window moves on without it */
};
/** @param first,last  inclusive; last -1: to the end
 *  @return            false: first has passed through the window and is in no store; the reader has begun all the same, and
 *                     its body_read will say -EIO */
bool body_reader_begin(struct body_reader *r, struct body *b, int64_t first, int64_t last,
                       void (*wake)(struct body_reader *r));
/** Go on elsewhere in the content, which may not be behind what every reader has passed. */
void body_reader_move(struct body_reader *r, int64_t first, int64_t last);
/** @return bytes; 0: all of it has been read; -EAGAIN: wake will be called once; -EIO: broken, gone, or no memory */
MUST_USE ssize_t body_read(struct body_reader *r, void *to, size_t cap);
/** Ask to be woken once the body has ended, and not before, unless the reader reads first.
 *  @return false: it has ended, and nobody will wake */
MUST_USE bool body_reader_await_end(struct body_reader *r);
/** No wake begins after this returns. */
void body_reader_end(struct body_reader *r);

#endif
