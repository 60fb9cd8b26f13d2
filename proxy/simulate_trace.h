/* simulate_trace: an access log in memory: the keys in the order in which they were asked for, as numbers from 0,
 * and the size of each. At most eight bytes per request and TRACE_KEY_BYTES per key. Keys are told apart by 64 bits of
 * hash. A key has one size, the largest that the log tells of it: a transfer that broke off, a 304, a 206 and a HEAD
 * tell less. Ownership: the trace owns its arrays. Threads: one. */
#ifndef WEIR_PROXY_SIMULATE_TRACE_H
#define WEIR_PROXY_SIMULATE_TRACE_H

#include "proxy/simulate_log.h"

enum {
    TRACE_LINE_MAX = 64 * 1024, /* a longer line is unreadable */
    TRACE_REQUESTS_MAX = INT32_MAX,
    TRACE_KEY_BYTES = 64,
};

struct trace_keys {
    uint64_t *hashes;
    uint32_t *bytes;
    uint32_t count, room;
    uint32_t *slots; /* hash table: number of the key + 1, 0: empty */
    uint32_t slot_mask;
};

struct trace {
    uint32_t *requests; /* numbers of keys */
    size_t request_count, request_room;
    struct trace_keys keys;
    uint64_t lines, passed, unreadable;
    uint64_t first_unreadable; /* its line number */
    const char *why;           /* it could not be read */
    bool cut;                  /* there was more than the limit */
};

/* News of long work; `tell` may be NULL. */
struct progress {
    void (*tell)(void *arg, uint64_t done);
    void *arg;
};

/** One request more. @return 0 or -ENOMEM */
MUST_USE int trace_add(struct trace *t, struct view key, uint32_t bytes);
/** Read lines up to the end of `fd` or the limit. @param p is told the bytes read
 *  @return 0 or negative errno: -EILSEQ when the input is compressed by gzip, else what read(2) says or -ENOMEM */
MUST_USE int trace_read(struct trace *t, int fd, enum log_format format, size_t limit, const struct progress *p);
void trace_free(struct trace *t);

#endif
