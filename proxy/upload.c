#include "proxy/upload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum upload_end { UPLOAD_OPEN, UPLOAD_COMPLETE, UPLOAD_BROKEN };

struct upload {
    unsigned refs;
    int64_t length;
    enum upload_end end;
    bool discarding, taken;
    bool put_waits, take_waits;
    void (*drained)(void *arg);
    void *drained_arg;
    void (*filled)(void *arg);
    void *filled_arg;
    size_t first, used; /* a ring */
    uint64_t total;     /* bytes that were put */
    char bytes[UPLOAD_BYTES];
};

struct upload *upload_new(int64_t content_length)
{
    struct upload *u = malloc(sizeof *u);
    if (u == NULL) return NULL;
    memset(u, 0, offsetof(struct upload, bytes));
    u->refs = 1;
    u->length = content_length;
    return u;
}

struct upload *upload_ref(struct upload *u)
{
    u->refs++;
    return u;
}

struct upload *upload_copy(const struct upload *u)
{
    assert(u->end == UPLOAD_COMPLETE && u->total <= UPLOAD_BYTES);
    struct upload *copy = upload_new((int64_t)u->total);
    if (copy == NULL) return NULL;
    memcpy(copy->bytes, u->bytes, u->total);
    copy->total = copy->used = u->total;
    copy->end = UPLOAD_COMPLETE;
    return copy;
}

void upload_unref(struct upload **u)
{
    struct upload *gone = *u;
    *u = NULL;
    if (gone != NULL && --gone->refs == 0) free(gone);
}

int64_t upload_length(const struct upload *u)
{
    return u->length;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void tell_filled(struct upload *u)
{
    if (!u->take_waits || u->filled == NULL) return;
    u->take_waits = false;
    u->filled(u->filled_arg);
}

size_t upload_put(struct upload *u, const void *bytes, size_t len)
{
    if (u->discarding) return len;
    size_t done = 0;
    while (done < len && u->used < UPLOAD_BYTES) {
        size_t at = (u->first + u->used) % UPLOAD_BYTES;
        size_t n = smaller(len - done, smaller(UPLOAD_BYTES - u->used, UPLOAD_BYTES - at));
        memcpy(u->bytes + at, (const char *)bytes + done, n);
        u->used += n;
        done += n;
    }
    u->total += done;
    u->put_waits = done < len;
    tell_filled(u);
    return done;
}

void upload_end(struct upload *u, bool complete)
{
    if (u->end != UPLOAD_OPEN) return;
    u->end = complete ? UPLOAD_COMPLETE : UPLOAD_BROKEN;
    tell_filled(u);
}

void upload_discard(struct upload *u)
{
    u->discarding = true;
    u->used = 0;
    if (!u->put_waits || u->drained == NULL) return;
    u->put_waits = false;
    u->drained(u->drained_arg);
}

void upload_on_drained(struct upload *u, void (*drained)(void *arg), void *arg)
{
    u->drained = drained;
    u->drained_arg = arg;
}

bool upload_is_complete(const struct upload *u)
{
    return u->end == UPLOAD_COMPLETE;
}

struct view upload_content(const struct upload *u)
{
    return view_of(u->bytes, u->taken ? 0 : u->used);
}

ssize_t upload_take(struct upload *u, void *to, size_t cap)
{
    if (u->end == UPLOAD_BROKEN) return -ECANCELED;
    if (u->used == 0) {
        if (u->end == UPLOAD_COMPLETE) return 0;
        u->take_waits = true;
        return -EAGAIN;
    }
    u->taken = true;
    size_t n = smaller(cap, smaller(u->used, UPLOAD_BYTES - u->first));
    memcpy(to, u->bytes + u->first, n);
    u->first = (u->first + n) % UPLOAD_BYTES;
    u->used -= n;
    if (u->put_waits && u->drained != NULL) {
        u->put_waits = false;
        u->drained(u->drained_arg);
    }
    return (ssize_t)n;
}

bool upload_may_rewind(const struct upload *u)
{
    return !u->discarding && u->total <= UPLOAD_BYTES;
}

void upload_rewind(struct upload *u)
{
    u->first = 0;
    u->used = (size_t)u->total;
    u->take_waits = false;
}

void upload_on_filled(struct upload *u, void (*filled)(void *arg), void *arg)
{
    u->filled = filled;
    u->filled_arg = arg;
}
