/* heap: how malloc gets its memory from the system. glibc lets the heap of a thread grow by the page, with a system call for
 * each: for a worker whose responses stay in memory that is one for every other response. So its heap is made to grow in
 * larger steps, ahead of what is kept. Threads: heap_set_up before there are any; heap_kept by the owning thread.          */
#ifndef WEIR_PROXY_HEAP_H
#define WEIR_PROXY_HEAP_H

#include <stddef.h>

struct heap_ahead {
    size_t kept; /* bytes since the last step */
};

void heap_set_up(void);
/** So many bytes were allocated to stay. */
void heap_kept(struct heap_ahead *h, size_t bytes);

#endif
