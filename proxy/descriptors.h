/* descriptors: how many files and sockets the process may have open, and how many of them are for clients, so that there
 * are some left to fetch their answers with. */
#ifndef WEIR_PROXY_DESCRIPTORS_H
#define WEIR_PROXY_DESCRIPTORS_H

#include <stddef.h>

enum {
    DESCRIPTORS_OF_WEIR = 64,        /* the store, the admin API's first few */
    DESCRIPTORS_OF_WORKER = 8,       /* its loop, its listeners */
    DESCRIPTORS_CLIENTS_MANY = 1000, /* fewer for a worker are worth a word */
    DESCRIPTORS_CLIENTS_LEAST = 16,  /* connections of each worker, however few there are */
};

/** Raise the soft limit to the hard one: shells and services begin with 1024, whatever the system allows.
 *  @return how many may be open */
size_t descriptors_raise(void);

/** Two thirds of what weir does not need itself are for clients, in equal parts for each worker.
 *  @param wanted  by the configuration, for each worker
 *  @return        connections of clients that each worker takes at once; never more than wanted. Pure */
unsigned descriptors_for_clients(size_t may_be_open, size_t workers, unsigned wanted);

#endif
