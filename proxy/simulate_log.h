/* simulate_log: one line of an access log, as a cache sees it: which key was asked for, and how many bytes went out.
 * Threads: pure functions.                                                                                          */
#ifndef WEIR_PROXY_SIMULATE_LOG_H
#define WEIR_PROXY_SIMULATE_LOG_H

#include "headers/view.h"

enum log_format {
    LOG_ANY,      /* each line is whichever of the others it can be read as */
    LOG_COMMON,   /* the common log format, and what begins like it: combined, and weir's own */
    LOG_KEY_SIZE, /* a key without spaces, and a number of bytes */
};

enum log_verdict {
    LOG_REQUEST,
    LOG_PASSED,     /* a request that no cache answers: its method or its status */
    LOG_UNREADABLE, /* `why` says so */
};

/* The largest size that is told apart; larger ones count as this. */
#define LOG_BYTES_MAX UINT32_MAX

struct log_line {
    struct view key; /* borrows from the line: the request target as it was logged */
    uint32_t bytes;  /* of content */
    const char *why;
};

enum log_verdict log_line_read(enum log_format format, struct view line, struct log_line *out);

/** "common", "combined" or "key-size". */
MUST_USE bool log_format_named(const char *name, enum log_format *out);

#endif
