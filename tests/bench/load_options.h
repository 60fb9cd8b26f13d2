/* load_options: what the load generator was asked to do.
 * Ownership: the strings are argv's. Threads: one.        */
#ifndef WEIR_TESTS_BENCH_LOAD_OPTIONS_H
#define WEIR_TESTS_BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <sys/types.h>

#include "headers/view.h"

enum { LOAD_FIELDS_MAX = 8, LOAD_CONNECTIONS_MAX = 4096, LOAD_IDLE_MAX = 20000 };

enum load_order { ORDER_RANDOM, ORDER_SEQUENCE, ORDER_SHUFFLED };

struct load_options {
    struct sockaddr_in server;
    struct sockaddr_in origin; /* asked for /count before and after; no port: not asked */
    const char *method;
    const char *target; /* a "%" stands for the number */
    const char *fields[LOAD_FIELDS_MAX];
    size_t field_count;
    const char *content; /* of the requests; NULL: none */
    uint64_t first, numbers;
    enum load_order order;
    uint64_t connections, idle;
    uint64_t requests;       /* stop after so many; 0: after the time */
    uint64_t time_ms;        /* of the measurement, at most */
    uint64_t warm_ms;        /* before it, uncounted */
    uint64_t rate;           /* requests per second; 0: as fast as answers come */
    uint64_t status, length; /* expected; UINT64_MAX: whatever comes */
    pid_t pid;               /* the server's, whose CPU time is wanted; 0: none */
    bool verifies;           /* compares every byte of the content */
    bool settles;            /* waits until the server is idle before its CPU time is read */
};

/** Read the command line; ends the program with a usage message when it is wrong. */
struct load_options load_options_read(int argc, char **argv);

#endif
