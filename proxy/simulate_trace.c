#include "proxy/simulate_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { ROOM_FIRST = 1024 };

/* ---- keys */

/* Where the key with this hash is, or the empty slot where it belongs. */
static uint32_t *slot_of(const struct trace_keys *k, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash >> 32) & k->slot_mask;
    while (k->slots[at] != 0 && k->hashes[k->slots[at] - 1] != hash) at = (at + 1) & k->slot_mask;
    return &k->slots[at];
}

static bool grow_slots(struct trace_keys *k, uint32_t room)
{
    uint32_t *slots = calloc(2 * (size_t)room, sizeof *slots);
    if (slots == NULL) return false;
    free(k->slots);
    k->slots = slots;
    k->slot_mask = 2 * room - 1;
    for (uint32_t i = 0; i < k->count; i++) *slot_of(k, k->hashes[i]) = i + 1;
    return true;
}

static bool grow_keys(struct trace_keys *k)
{
    uint32_t room = k->room == 0 ? ROOM_FIRST : 2 * k->room;
    uint64_t *hashes = reallocarray(k->hashes, room, sizeof *hashes);
    if (hashes != NULL) k->hashes = hashes;
    uint32_t *bytes = reallocarray(k->bytes, room, sizeof *bytes);
    if (bytes != NULL) k->bytes = bytes;
    if (hashes == NULL || bytes == NULL || !grow_slots(k, room)) return false;
    k->room = room;
    return true;
}

_Static_assert(TRACE_REQUESTS_MAX <= INT32_MAX, "2 * room slots are counted by 32 bits");

/* The number of the key, which may be new. */
static bool find_or_add(struct trace_keys *k, uint64_t hash, uint32_t *number)
{
    if (k->count == k->room && !grow_keys(k)) return false;
    uint32_t *slot = slot_of(k, hash);
    if (*slot == 0) {
        k->hashes[k->count] = hash;
        k->bytes[k->count] = 0;
        *slot = ++k->count;
    }
    *number = *slot - 1;
    return true;
}

int trace_add(struct trace *t, struct view key, uint32_t bytes)
{
    uint32_t number;
    if (t->request_count == t->request_room) {
        size_t room = t->request_room == 0 ? ROOM_FIRST : 2 * t->request_room;
        uint32_t *requests = reallocarray(t->requests, room, sizeof *requests);
        if (requests == NULL) return -ENOMEM;
        t->requests = requests;
        t->request_room = room;
    }
    if (!find_or_add(&t->keys, XXH3_64bits(key.at, key.len), &number)) return -ENOMEM;
    if (bytes > t->keys.bytes[number]) t->keys.bytes[number] = bytes;
    t->requests[t->request_count++] = number;
    return 0;
}

void trace_free(struct trace *t)
{
    free(t->requests);
    free(t->keys.hashes);
    free(t->keys.bytes);
    free(t->keys.slots);
    *t = (struct trace){ 0 };
}

/* ---- lines */

struct lines {
    int fd;
    size_t from, to; /* of what has been read and not yet taken */
    uint64_t bytes;
    bool ended;
    char at[TRACE_LINE_MAX];
};

/* More bytes behind those that are there. @return 0 or negative errno */
static int read_more(struct lines *l)
{
    memmove(l->at, l->at + l->from, l->to - l->from);
    l->to -= l->from;
    l->from = 0;
    ssize_t n;
    do {
        n = read(l->fd, l->at + l->to, sizeof l->at - l->to);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    l->ended = n == 0;
    l->to += (size_t)n;
    l->bytes += (uint64_t)n;
    return 0;
}

/* The next line, without its end, valid until the next call. A line longer than the buffer comes in pieces, all but
 * its last `partial`. @return 1, 0 at the end, or negative errno */
static int next_line(struct lines *l, struct view *line, bool *partial)
{
    const char *end;
    while ((end = memchr(l->at + l->from, '\n', l->to - l->from)) == NULL && !l->ended &&
           l->to - l->from < sizeof l->at) {
        int rc = read_more(l);
        if (rc != 0) return rc;
    }
    size_t len = end != NULL ? (size_t)(end - (l->at + l->from)) : l->to - l->from;
    *line = view_of(l->at + l->from, len);
    *partial = end == NULL && !l->ended;
    l->from += len + (end != NULL ? 1 : 0);
    if (line->len > 0 && line->at[line->len - 1] == '\r') line->len--;
    return end != NULL || len > 0;
}

static void note_unreadable(struct trace *t, const char *why)
{
    if (t->unreadable++ > 0) return;
    t->first_unreadable = t->lines;
    t->why = why;
}

/* Blank lines and comments say nothing. */
static bool says_nothing(struct view line)
{
    struct view v = view_trim_ows(line);
    return v.len == 0 || v.at[0] == '#';
}

static int take_line(struct trace *t, struct view line, enum log_format format)
{
    struct log_line l;
    if (says_nothing(line)) return 0;
    switch (log_line_read(format, line, &l)) {
    case LOG_REQUEST: return trace_add(t, l.key, l.bytes);
    case LOG_PASSED: t->passed++; return 0;
    case LOG_UNREADABLE: note_unreadable(t, l.why); return 0;
    }
    return 0;
}

static bool is_gzip(const struct lines *l)
{
    return l->to >= 2 && (unsigned char)l->at[0] == 0x1f && (unsigned char)l->at[1] == 0x8b;
}

static int read_lines(struct trace *t, struct lines *l, enum log_format format, size_t limit, const struct progress *p)
{
    enum { NEWS_EVERY = 1 << 12 };
    struct view line = { 0 };
    bool partial = false, in_long_line = false;
    int rc;
    while ((rc = next_line(l, &line, &partial)) > 0) {
        if (t->lines == 0 && is_gzip(l)) return -EILSEQ;
        t->cut = t->request_count >= limit;
        if (t->cut) return 0;
        if (!in_long_line) t->lines++;
        if (partial && !in_long_line) note_unreadable(t, "a line longer than 64 KiB");
        rc = partial || in_long_line ? 0 : take_line(t, line, format);
        if (rc != 0) return rc;
        in_long_line = partial;
        if (p->tell != NULL && t->lines % NEWS_EVERY == 0) p->tell(p->arg, l->bytes);
    }
    return rc;
}

_Static_assert(TRACE_LINE_MAX == 64 * 1024, "read_lines says so");

int trace_read(struct trace *t, int fd, enum log_format format, size_t limit, const struct progress *p)
{
    struct lines *l = malloc(sizeof *l);
    if (l == NULL) return -ENOMEM;
    l->fd = fd;
    l->from = l->to = 0;
    l->bytes = 0;
    l->ended = false;
    int rc = read_lines(t, l, format, limit, p);
    free(l);
    return rc;
}
