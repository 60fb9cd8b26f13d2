#include "tests/bench/cputime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STAT_BYTES_MAX = 512, PATH_BYTES_MAX = 64 };

/* The parent of a process, the second word behind its name in /proc/PID/stat; 0 when it is gone. */
static pid_t parent_of(pid_t pid)
{
    char path[PATH_BYTES_MAX], text[STAT_BYTES_MAX];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    const char *name_end = strrchr(text, ')'); /* a name may hold anything, also ")" */
    if (name_end == NULL || strlen(name_end) < 4) return 0;
    return (pid_t)strtol(name_end + 4, NULL, 10); /* ") S PPID" */
}

static bool is_found(const struct cputime *c, pid_t pid)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->pids[i] == pid) return true;
    return false;
}

/* Add every process whose parent is found already. @return whether there was a new one. */
static bool children_find(struct cputime *c)
{
    size_t before = c->count;
    DIR *proc = opendir("/proc");
    if (proc == NULL) return false;
    for (struct dirent *e; (e = readdir(proc)) != NULL && c->count < CPUTIME_PROCESSES_MAX;) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && !is_found(c, pid) && is_found(c, parent_of(pid))) c->pids[c->count++] = pid;
    }
    closedir(proc);
    return c->count > before;
}

int cputime_find(struct cputime *c, pid_t root)
{
    clockid_t clock;
    int err = clock_getcpuclockid(root, &clock);
    if (err != 0) return -err;
    *c = (struct cputime){ .count = 1, .pids = { root } };
    while (children_find(c)) continue;
    return 0;
}

uint64_t cputime_ns(const struct cputime *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->count; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(c->pids[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    return sum;
}
