#include "proxy/heap.h"

#include <malloc.h>
#include <stdlib.h>

enum {
    STEP = 1 << 20,
    MMAP_FROM = 512 << 10, /* larger pieces come from the system, and go back to it */
    TRIM_FROM = 16 << 20,  /* so much that is free at the end of a heap goes back too */
};

void heap_set_up(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM); /* without success all is as before, only slower */
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_FROM);
}

/* What is taken from the end of the heap and given back stays there, as address space: its pages come when they are used. */
void heap_kept(struct heap_ahead *h, size_t bytes)
{
    h->kept += bytes;
    if (h->kept < STEP / 2) return;
    h->kept = 0;
    void *volatile ahead = malloc(STEP);
    free(ahead);
}
