#include "cache/body.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum body_state { BODY_FILLING, BODY_COMPLETE, BODY_BROKEN };

/* A piece of a large content in memory. All but the last are full, so each begins at a chunk of the store. */
struct segment {
    struct segment *next;
    struct body *body; /* while the store is writing it */
    int64_t offset;
    size_t len;
    bool queued, committed;
    bool dropped; /* left the window while queued: freed by the store's answer */
    char bytes[BODY_SEGMENT_BYTES];
};

struct body {
    atomic_uint refs;
    pthread_mutex_t lock;
    enum body_state state;
    int64_t length, filled, whole_limit;
    char *whole; /* the one buffer; NULL once the content goes through the window */
    size_t whole_cap;
    _Atomic int64_t *held;
    struct segment *first, *last;
    size_t segments;
    struct store *store; /* NULL: nothing is (or can any longer be) stored */
    uint64_t number;
    uint64_t pinned;   /* the number that store_pin knows of; 0: none */
    int64_t committed; /* bytes that can be read from the store */
    bool keep_number, has_record;
    struct store_id record; /* whose content this is */
    int store_result;
    size_t appends_waiting;
    bool paused, had_reader;
    void (*resume)(void *arg);
    void *resume_arg;
    void (*stored)(void *arg, int result);
    void *stored_arg;
    struct body_reader *readers;
};

/* What a reader behind the window has read from the store. Owned by its reader; by the job while the reader is gone. */
struct body_spill {
    struct store_job job;
    struct body *body;
    struct body_reader *reader; /* NULL: nobody waits any more */
    bool pending;
    int64_t offset;
    size_t wanted; /* the store has committed so many */
    ssize_t len;   /* or negative errno */
    char bytes[BODY_SEGMENT_BYTES];
};

/* ---- life */

struct body *body_new(const struct body_settings *settings)
{
    struct body *b = malloc(sizeof *b);
    if (b == NULL) return NULL;
    memset(b, 0, sizeof *b);
    atomic_init(&b->refs, 1);
    pthread_mutex_init(&b->lock, NULL);
    b->length = settings->length;
    b->whole_limit = settings->whole_limit_bytes;
    b->held = settings->held;
    b->store = settings->store;
    b->resume = settings->resume;
    b->resume_arg = settings->resume_arg;
    return b;
}

/* While the body lives its content stays in the store, even when its record is replaced or evicted. Without memory for that
 * a reader may find it gone, and says so. */
static void pin(struct body *b)
{
    if (store_pin(b->store, b->number)) b->pinned = b->number;
}

struct body *body_stored(struct store *store, uint64_t number, int64_t length)
{
    struct body_settings settings = { .length = length, .store = store };
    struct body *b = body_new(&settings);
    if (b == NULL) return NULL;
    b->state = BODY_COMPLETE;
    b->filled = b->committed = length;
    b->number = number;
    b->keep_number = true;
    pin(b);
    return b;
}

struct body *body_ref(struct body *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

static void set_whole_cap(struct body *b, size_t cap)
{
    int64_t more = (int64_t)cap - (int64_t)b->whole_cap;
    if (b->held != NULL) atomic_fetch_add_explicit(b->held, more, memory_order_relaxed);
    b->whole_cap = cap;
}

static void body_free(struct body *b)
{
    assert(b->readers == NULL);
    set_whole_cap(b, 0);
    if (b->number != 0 && !b->keep_number) store_abandon(b->store, b->number);
    if (b->pinned != 0) store_unpin(b->store, b->pinned);
    for (struct segment *s = b->first, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    free(b->whole);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void body_unref(struct body **b)
{
    struct body *gone = *b;
    *b = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1) body_free(gone);
}

/* ---- the window */

/* Wakes under the lock: a reader may end in another thread at any moment, and its wake only posts. */
static void wake_readers(struct body *b)
{
    for (struct body_reader *r = b->readers; r != NULL; r = r->next) {
        if (!r->waiting || (r->for_end && b->state == BODY_FILLING)) continue;
        r->waiting = false;
        r->wake(r);
    }
}

static bool passed_by_all(const struct body *b, int64_t offset)
{
    if (!b->had_reader) return false;
    for (const struct body_reader *r = b->readers; r != NULL; r = r->next)
        if (!r->left && r->offset < offset) return false;
    return true;
}

static bool somebody_waits(const struct body *b)
{
    for (const struct body_reader *r = b->readers; r != NULL; r = r->next)
        if (r->waiting && r->offset == b->filled) return true;
    return false;
}

static bool is_storing(const struct body *b)
{
    return b->number != 0 && b->store_result == 0;
}

static bool may_drop(const struct body *b, const struct segment *s)
{
    if (is_storing(b)) return s->committed && b->segments > BODY_WINDOW_SEGMENTS / 2;
    return s != b->last && passed_by_all(b, s->offset + (int64_t)s->len);
}

static void trim_window(struct body *b)
{
    while (b->first != NULL && may_drop(b, b->first)) {
        struct segment *s = b->first;
        b->first = s->next;
        if (b->first == NULL) b->last = NULL;
        b->segments--;
        if (s->queued && !s->committed)
            s->dropped = true;
        else
            free(s);
    }
}

/* Under the lock, as wake_readers: once the body has ended the feeder may be gone. */
static void tell_room(struct body *b)
{
    if (!b->paused || b->segments >= BODY_WINDOW_SEGMENTS) return;
    b->paused = false;
    if (b->resume != NULL) b->resume(b->resume_arg);
}

/* A window that only the store made room in would stay full: the feeder looks who is left. */
static void tell_store_gave_up(struct body *b)
{
    if (!b->paused) return;
    b->paused = false;
    if (b->resume != NULL) b->resume(b->resume_arg);
}

static void segment_committed(void *arg, int result)
{
    struct segment *s = arg;
    struct body *b = s->body;
    void (*stored)(void *, int) = NULL;
    pthread_mutex_lock(&b->lock);
    b->appends_waiting--;
    if (result != 0) b->store_result = result;
    if (b->store_result == 0) b->committed = s->offset + (int64_t)s->len;
    s->queued = false;
    s->committed = result == 0;
    if (s->dropped) free(s);
    trim_window(b);
    tell_room(b);
    if (b->store_result != 0) tell_store_gave_up(b);
    if (b->appends_waiting == 0 && b->state == BODY_COMPLETE) {
        stored = b->stored;
        b->stored = NULL;
    }
    result = b->store_result;
    pthread_mutex_unlock(&b->lock);
    if (stored != NULL) stored(b->stored_arg, result);
    body_unref(&b);
}

/* Hand a segment to the store. A full queue means this content will not be stored; readers get it all the same. */
static void segment_store(struct body *b, struct segment *s)
{
    if (!is_storing(b) || s->queued || s->committed) return;
    s->body = body_ref(b);
    s->queued = true;
    b->appends_waiting++;
    int rc = store_append(b->store, b->number, s->offset, s->bytes, s->len, segment_committed, s);
    if (rc == 0) return;
    s->queued = false;
    b->appends_waiting--;
    b->store_result = rc;
    atomic_fetch_sub_explicit(&b->refs, 1, memory_order_relaxed); /* the feeder still holds its own */
}

static struct segment *segment_add(struct body *b)
{
    struct segment *s = malloc(sizeof *s);
    if (s == NULL) return NULL;
    *s = (struct segment){ .offset = b->filled };
    if (b->last != NULL)
        b->last->next = s;
    else
        b->first = s;
    b->last = s;
    b->segments++;
    return s;
}

static bool window_append(struct body *b, const char *bytes, size_t len)
{
    while (len > 0) {
        struct segment *s = b->last;
        if (s == NULL || s->len == BODY_SEGMENT_BYTES) s = segment_add(b);
        if (s == NULL) return false;
        size_t n = BODY_SEGMENT_BYTES - s->len < len ? BODY_SEGMENT_BYTES - s->len : len;
        memcpy(s->bytes + s->len, bytes, n);
        s->len += n;
        b->filled += (int64_t)n;
        bytes += n;
        len -= n;
        if (s->len == BODY_SEGMENT_BYTES) segment_store(b, s);
    }
    return true;
}

/* ---- the one buffer */

static bool whole_reserve(struct body *b, size_t need)
{
    if (need <= b->whole_cap) return true;
    size_t cap = b->whole_cap < BODY_FIRST_BYTES ? BODY_FIRST_BYTES : b->whole_cap * 2;
    if (b->length >= 0) cap = (size_t)b->length;
    if (cap < need) cap = need;
    char *grown = realloc(b->whole, cap);
    if (grown == NULL) return false;
    b->whole = grown;
    set_whole_cap(b, cap);
    return true;
}

static bool stays_whole(const struct body *b, size_t more)
{
    if (b->first != NULL || b->number != 0) return false;
    int64_t known = b->length > b->filled + (int64_t)more ? b->length : b->filled + (int64_t)more;
    return known <= b->whole_limit;
}

/* The content turned out to be large: from now on it goes through the window. */
static bool leave_whole(struct body *b)
{
    if (b->number == 0 && b->store != NULL && b->store_result == 0 && b->first == NULL) {
        b->number = store_next_number(b->store);
        pin(b);
        if (b->length > 0 && !store_reserve(b->store, b->number, (uint64_t)b->length)) b->store_result = -ENOSPC;
    }
    if (b->whole == NULL) return true;
    char *whole = b->whole;
    size_t len = (size_t)b->filled;
    b->whole = NULL;
    set_whole_cap(b, 0);
    b->filled = 0;
    bool fits = window_append(b, whole, len);
    free(whole);
    return fits;
}

/* ---- the feeder */

enum body_appended body_append(struct body *b, const void *bytes, size_t len)
{
    enum body_appended answer = BODY_GO_ON;
    if (len == 0) return answer;
    pthread_mutex_lock(&b->lock);
    assert(b->state == BODY_FILLING);
    if (stays_whole(b, len)) {
        if (!whole_reserve(b, (size_t)b->filled + len)) goto no_memory;
        if (bytes != b->whole + b->filled)
            memcpy(b->whole + b->filled, bytes, len); /* else they are there: body_room */
        b->filled += (int64_t)len;
    } else {
        if (!leave_whole(b) || !window_append(b, bytes, len)) goto no_memory;
        trim_window(b);
        b->paused = b->segments >= BODY_WINDOW_SEGMENTS;
        if (b->paused) answer = BODY_PAUSE;
    }
    wake_readers(b);
    pthread_mutex_unlock(&b->lock);
    return answer;
no_memory:
    pthread_mutex_unlock(&b->lock);
    return BODY_NO_MEMORY;
}

void body_leave_slow(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->first != NULL && !is_storing(b) && somebody_waits(b)) {
        int64_t end = b->first->offset + (int64_t)b->first->len;
        for (struct body_reader *r = b->readers; r != NULL; r = r->next) r->left = r->left || r->offset < end;
        trim_window(b);
        tell_room(b);
    }
    pthread_mutex_unlock(&b->lock);
}

void *body_room(struct body *b, size_t *cap)
{
    char *room = NULL;
    pthread_mutex_lock(&b->lock);
    if (b->state == BODY_FILLING && b->length > b->filled) {
        *cap = (size_t)(b->length - b->filled);
        if (stays_whole(b, *cap) && whole_reserve(b, (size_t)b->length)) room = b->whole + b->filled;
    }
    pthread_mutex_unlock(&b->lock);
    return room;
}

void body_complete(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    assert(b->state == BODY_FILLING);
    b->state = BODY_COMPLETE;
    b->paused = false;
    b->length = b->filled;
    if (b->whole != NULL && b->whole_cap > (size_t)b->filled && b->filled > 0) {
        char *fitted = realloc(b->whole, (size_t)b->filled);
        if (fitted != NULL) {
            b->whole = fitted;
            set_whole_cap(b, (size_t)b->filled);
        }
    }
    if (b->last != NULL) segment_store(b, b->last);
    wake_readers(b);
    pthread_mutex_unlock(&b->lock);
}

void body_break(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    assert(b->state == BODY_FILLING);
    b->state = BODY_BROKEN;
    b->paused = false;
    wake_readers(b);
    pthread_mutex_unlock(&b->lock);
}

void body_stop_storing(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->store_result == 0) b->store_result = -EFBIG;
    pthread_mutex_unlock(&b->lock);
}

void body_when_stored(struct body *b, void (*done)(void *arg, int result), void *arg)
{
    pthread_mutex_lock(&b->lock);
    bool waits = b->appends_waiting > 0;
    if (waits) {
        b->stored = done;
        b->stored_arg = arg;
    }
    int result = b->number != 0 ? b->store_result : -ENOENT;
    pthread_mutex_unlock(&b->lock);
    if (!waits) done(arg, result);
}

/* ---- questions */

struct view body_whole(struct body *b)
{
    struct view v = { NULL, 0 };
    pthread_mutex_lock(&b->lock);
    if (b->state == BODY_COMPLETE && b->filled == 0)
        v = view_of("", 0);
    else if (b->state == BODY_COMPLETE && b->whole != NULL)
        v = view_of(b->whole, (size_t)b->filled);
    pthread_mutex_unlock(&b->lock);
    return v;
}

static enum body_state state_of(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    enum body_state state = b->state;
    pthread_mutex_unlock(&b->lock);
    return state;
}

bool body_is_complete(struct body *b)
{
    return state_of(b) == BODY_COMPLETE;
}

bool body_is_broken(struct body *b)
{
    return state_of(b) == BODY_BROKEN;
}

int64_t body_filled(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    int64_t filled = b->filled;
    pthread_mutex_unlock(&b->lock);
    return filled;
}

int64_t body_length(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    int64_t length = b->length;
    pthread_mutex_unlock(&b->lock);
    return length;
}

uint64_t body_number(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t number = b->number;
    pthread_mutex_unlock(&b->lock);
    return number;
}

void body_keep_number(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    b->keep_number = true;
    pthread_mutex_unlock(&b->lock);
}

void body_drop_number(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    b->keep_number = false;
    pthread_mutex_unlock(&b->lock);
}

void body_set_record(struct body *b, const struct store_id *id)
{
    pthread_mutex_lock(&b->lock);
    b->record = *id;
    b->has_record = true;
    pthread_mutex_unlock(&b->lock);
}

bool body_is_storing(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    bool storing = is_storing(b);
    pthread_mutex_unlock(&b->lock);
    return storing;
}

size_t body_memory_bytes(struct body *b)
{
    pthread_mutex_lock(&b->lock);
    size_t bytes = sizeof *b + b->whole_cap + b->segments * sizeof(struct segment);
    pthread_mutex_unlock(&b->lock);
    return bytes;
}

/* ---- readers */

static const struct segment *segment_at(const struct body *b, int64_t offset)
{
    for (const struct segment *s = b->first; s != NULL; s = s->next)
        if (offset >= s->offset && offset < s->offset + (int64_t)s->len) return s;
    return NULL;
}

/* Content in the store is of use only when what follows it is still here. */
static bool can_be_read(const struct body *b, int64_t offset)
{
    int64_t window = b->first != NULL ? b->first->offset : b->filled;
    bool in_store = offset < b->committed && window <= b->committed;
    return offset >= b->filled || b->whole != NULL || in_store || segment_at(b, offset) != NULL;
}

bool body_reader_begin(struct body_reader *r, struct body *b, int64_t first, int64_t last,
                       void (*wake)(struct body_reader *r))
{
    *r = (struct body_reader){ .body = body_ref(b), .offset = first, .end = last < 0 ? -1 : last + 1, .wake = wake };
    pthread_mutex_lock(&b->lock);
    r->next = b->readers;
    b->readers = r;
    b->had_reader = true;
    bool readable = can_be_read(b, first);
    trim_window(b); /* one that begins ahead waits for what comes after a full window */
    tell_room(b);
    pthread_mutex_unlock(&b->lock);
    return readable;
}

void body_reader_move(struct body_reader *r, int64_t first, int64_t last)
{
    pthread_mutex_lock(&r->body->lock);
    r->offset = first;
    r->end = last < 0 ? -1 : last + 1;
    trim_window(r->body);
    tell_room(r->body);
    pthread_mutex_unlock(&r->body->lock);
}

bool body_reader_await_end(struct body_reader *r)
{
    pthread_mutex_lock(&r->body->lock);
    r->waiting = r->for_end = r->body->state == BODY_FILLING;
    bool waits = r->waiting;
    pthread_mutex_unlock(&r->body->lock);
    return waits;
}

void body_reader_end(struct body_reader *r)
{
    struct body *b = r->body;
    struct body_spill *spill = r->spill;
    pthread_mutex_lock(&b->lock);
    for (struct body_reader **at = &b->readers; *at != NULL; at = &(*at)->next) {
        if (*at != r) continue;
        *at = r->next;
        break;
    }
    if (spill != NULL) spill->reader = NULL;
    bool free_spill = spill != NULL && !spill->pending;
    trim_window(b);
    tell_room(b);
    pthread_mutex_unlock(&b->lock);
    if (free_spill) free(spill);
    r->spill = NULL;
    body_unref(&r->body);
}

static void spill_read(struct store_job *job)
{
    struct body_spill *spill = (struct body_spill *)(void *)job;
    struct body *b = spill->body;
    ssize_t len = store_read(b->store, b->number, spill->offset, spill->bytes, spill->wanted);
    pthread_mutex_lock(&b->lock);
    bool bad = len < (ssize_t)spill->wanted, has_record = b->has_record;
    struct store_id record = b->record;
    spill->len = bad ? -EIO : len;
    spill->pending = false;
    struct body_reader *r = spill->reader;
    if (r != NULL && r->waiting) {
        r->waiting = false;
        r->wake(r);
    }
    pthread_mutex_unlock(&b->lock);
    if (bad && has_record) store_remove(b->store, &record, b->number); /* nobody else is told that it can be had */
    if (r == NULL) free(spill);
    body_unref(&b);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static ssize_t take(struct body_reader *r, const char *from, int64_t available, void *to, size_t cap)
{
    int64_t n = least(available, cap < INT64_MAX ? (int64_t)cap : INT64_MAX);
    if (r->end >= 0) n = least(n, r->end - r->offset);
    memcpy(to, from, (size_t)n);
    r->offset += n;
    return (ssize_t)n;
}

/* @return -EAGAIN, or -EIO: too much is waiting, or no memory */
static ssize_t spill_begin(struct body *b, struct body_reader *r)
{
    struct body_spill *s = r->spill;
    if (s == NULL) s = r->spill = calloc(1, sizeof *s);
    if (s == NULL) return -EIO;
    s->job.run = spill_read;
    s->reader = r;
    s->offset = r->offset - r->offset % STORE_CHUNK_BYTES;
    s->wanted = (size_t)least(b->committed - s->offset, BODY_SEGMENT_BYTES);
    s->pending = true;
    s->body = body_ref(b);
    r->waiting = true;
    if (store_submit(b->store, &s->job)) return -EAGAIN;
    s->pending = r->waiting = false;
    s->len = -EIO;
    atomic_fetch_sub_explicit(&b->refs, 1, memory_order_relaxed); /* the reader holds its own */
    return -EIO;
}

/* Behind the window: from what was read ahead, else a read begins on a reader thread. */
static ssize_t read_spilled(struct body *b, struct body_reader *r, void *to, size_t cap)
{
    const struct body_spill *s = r->spill;
    if (s != NULL && s->pending) {
        r->waiting = true;
        return -EAGAIN;
    }
    if (s != NULL && s->len < 0) return -EIO;
    if (s != NULL && r->offset >= s->offset && r->offset < s->offset + s->len)
        return take(r, s->bytes + (r->offset - s->offset), s->offset + s->len - r->offset, to, cap);
    if (r->offset >= b->committed) return -EIO;
    return spill_begin(b, r);
}

static ssize_t read_window(struct body *b, struct body_reader *r, void *to, size_t cap)
{
    const struct segment *s = segment_at(b, r->offset);
    if (s == NULL) return read_spilled(b, r, to, cap);
    return take(r, s->bytes + (r->offset - s->offset), s->offset + (int64_t)s->len - r->offset, to, cap);
}

static ssize_t read_filled(struct body *b, struct body_reader *r, void *to, size_t cap)
{
    if (b->whole != NULL) return take(r, b->whole + r->offset, b->filled - r->offset, to, cap);
    return read_window(b, r, to, cap);
}

ssize_t body_read(struct body_reader *r, void *to, size_t cap)
{
    struct body *b = r->body;
    ssize_t n;
    pthread_mutex_lock(&b->lock);
    r->waiting = r->for_end = false;
    if (r->end >= 0 && r->offset >= r->end) {
        n = 0;
    } else if (r->offset < b->filled) {
        n = read_filled(b, r, to, cap);
        if (n > 0 && !is_storing(b)) {
            trim_window(b);
            tell_room(b);
        }
    } else if (b->state == BODY_FILLING) {
        r->waiting = true;
        n = -EAGAIN;
    } else {
        n = b->state == BODY_COMPLETE ? 0 : -EIO;
    }
    pthread_mutex_unlock(&b->lock);
    return n;
}
