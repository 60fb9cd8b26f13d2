/* process: a weir of one's own as a child process, with its store, its clock and its log in a directory.
 * The binary is named by the environment's WEIR (build/weir); it dies with the test.
 * The clock: weir adds the number in WEIR_CLOCK_OFFSET_FILE, which the test maps and writes, to its own.
 * Threads: the test's own.                                                                              */
#ifndef WEIR_TESTS_PROCESS_H
#define WEIR_TESTS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_DEADLINE_MS 20000 /* to be ready, or to end */

struct process {
    pid_t pid; /* 0: not running */
    int port, admin_port;
    char dir[256];
    char log_path[300];
    int64_t *clock_offset_s;
};

struct command_result {
    int status; /* exit status, or 256 + the signal's number */
    char err[8192];
    char out[8192];
};

/** A directory, a clock and two ports; nothing runs. */
void process_init(struct process *p);
/** NULL when it is ready, else why not. options: words behind the usual ones, which they override; or NULL. */
const char *process_start(struct process *p, const char *origin_url, const char *options);
/** Wait for its end after whatever was done to it: its exit status, 256 + signal, or -1 past the deadline. */
int process_wait(struct process *p);
int process_is_running(struct process *p);
/** The end of what it wrote to stderr and stdout; valid until the next call. */
const char *process_log(const struct process *p, size_t limit);
/** Run "weir" with these words to its end. */
void process_run(const struct process *p, const char *words, struct command_result *out);
/** A loopback port that nobody listens on, outside the range the kernel gives to clients. */
int process_free_port(void);

#endif
