/* response: the two facts the load generator checks, read out of a response head (RFC 9112 §4, §6.3).
 * Ownership: borrows the bytes for the call. Threads: pure functions.                                  */
#ifndef WEIR_TESTS_BENCH_RESPONSE_H
#define WEIR_TESTS_BENCH_RESPONSE_H

#include <stdint.h>

#include "headers/view.h"

struct response_facts {
    size_t head_len; /* status line, header section and blank line; 0 while the blank line has not come */
    int status;      /* 0 when there is no status line */
    bool has_length;
    bool is_last; /* Connection: close */
    uint64_t length;
};

struct response_facts response_read(struct view bytes);

/** Whether content follows a head: not for 1xx, 204, 304 (RFC 9112 §6.3). */
bool status_has_content(int status);

#endif
