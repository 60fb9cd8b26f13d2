/* access_log: a line for each request, in the combined log format with four members more:
 *
 *   CLIENT - - [23/Nov/2026:21:31:00 +0000] "GET /a HTTP/1.1" 200 1024 "REFERER" "USER AGENT" HOST "CACHE-STATUS" ROUTE US
 *
 * BYTES are those of content that went out; US is the time from head to end in microseconds. What is missing is "-".
 * Ownership: one access_log, which writes; one access_lines for each worker, which gathers lines and hands them over by the
 * buffer. Threads: access_lines belong to their worker; access_log is anybody's; a thread of its own writes, so that no
 * worker waits for a disk.
 * Bounded: ACCESS_BUFFERS_MAX buffers. When all of them wait for the disk, lines are dropped and counted; so are those that
 * cannot be written.                                                                                                       */
#ifndef WEIR_PROXY_ACCESS_LOG_H
#define WEIR_PROXY_ACCESS_LOG_H

#include "cache/outcome.h"
#include "proxy/loop.h"

enum {
    ACCESS_BUFFER_BYTES = 64 * 1024,
    ACCESS_BUFFERS_MAX = 256,     /* 16 MiB in all */
    ACCESS_HELD_MS = 1000,        /* a line waits in its worker no longer */
    ACCESS_CLOSE_S = 3,           /* nor weir's end for a disk that stands still */
    ACCESS_TARGET_MAX = 8 * 1024, /* a member that is longer, as it is written, is cut */
    ACCESS_MEMBER_MAX = 2 * 1024,
    ACCESS_LINE_MAX = 24 * 1024
};

struct access_entry {
    struct view client; /* address */
    int64_t now_s;
    struct view method, target; /* as received; empty: the request could not be read */
    int http_minor;
    int status; /* 0: none went out */
    uint64_t bytes;
    struct view referer, agent, host, route;
    const struct outcome *outcome; /* NULL: weir did not get that far */
    int64_t took_us;
};

/** The line with its LF. @return length; never cut but within its members */
size_t access_line_format(const struct access_entry *e, char to[ACCESS_LINE_MAX]);

struct access_log;
struct access_lines;

/** @param path  a file that lines are added to, made if missing; "-": the standard output
 *  @param say   for the operator: writing fails, and works again
 *  @return      NULL with why */
MUST_USE struct access_log *access_log_open(const char *path, void (*say)(void *arg, const char *line), void *say_arg,
                                            char *why, size_t cap);
/** Another file may stand under the path now (log rotation): it is opened before the next line is written. */
void access_log_reopen(struct access_log *l);
/** Lines that were dropped or could not be written. */
uint64_t access_log_lost(struct access_log *l);
/** Writes what is left, and waits ACCESS_CLOSE_S for that. After the last access_lines_free. NULL is allowed. */
void access_log_close(struct access_log *l);

/** @return NULL: no memory */
MUST_USE struct access_lines *access_lines_new(struct access_log *l, struct loop *loop);
void access_lines_add(struct access_lines *lines, const struct access_entry *e);
/** Hands over what is left. NULL is allowed. */
void access_lines_free(struct access_lines *lines);

#endif
