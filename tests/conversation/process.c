#include "tests/conversation/process.h"
#include "tests/conversation/client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_LIMIT 64
#define PORTS_FROM  10000
#define PORTS       20000
#define LOG_LIMIT   65536

static void pause_ms(long ms)
{
    const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* Test programs run side by side: each starts at a place of its own, so two seldom look at the same port. */
int process_free_port(void)
{
    static int tried;
    for (;;) {
        int port = PORTS_FROM + (int)(((long)getpid() * 17 + tried++) % PORTS), taken = port;
        int fd = wire_listen(&taken);
        if (fd < 0) continue;
        close(fd);
        return port;
    }
}

static int64_t *map_clock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(int64_t)) != 0) abort();
    void *at = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) abort();
    return at;
}

void process_init(struct process *p)
{
    memset(p, 0, sizeof *p);
    const char *base = getenv("WEIR_TEST_DIR");
    snprintf(p->dir, sizeof p->dir, "%s/weir-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(p->dir) == NULL) abort();
    snprintf(p->log_path, sizeof p->log_path, "%s/log", p->dir);
    char clock_path[300];
    snprintf(clock_path, sizeof clock_path, "%s/clock", p->dir);
    p->clock_offset_s = map_clock(clock_path);
    setenv("WEIR_CLOCK_OFFSET_FILE", clock_path, 1);
    p->port = process_free_port();
    p->admin_port = process_free_port();
}

static const char *binary(void)
{
    const char *path = getenv("WEIR");
    return path == NULL ? "build/weir" : path;
}

/* Cut words apart in place. */
static size_t split(char *words, char **argv, size_t n)
{
    for (char *word = strtok(words, " "); word != NULL && n < WORDS_LIMIT - 1; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    return n;
}

/* In the child. What is set in its environment must not matter: weir talks to its origin only. */
static void exec_weir(char **argv, int out, int err)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("HTTPS_PROXY", "http://127.0.0.1:9", 1);
    setenv("UBSAN_OPTIONS", "print_stacktrace=1", 0);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(binary(), argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", binary(), strerror(errno));
    _exit(127);
}

static pid_t spawn(char *words, const char *out_path, const char *err_path)
{
    char *argv[WORDS_LIMIT] = { words };
    argv[0] = words;
    (void)split(words, argv, 0);
    int out = open(out_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0 || err < 0) abort();
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) exec_weir(argv, out, err);
    close(out);
    close(err);
    return pid;
}

static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int wait_end(pid_t pid)
{
    int status;
    for (int waited_ms = 0; waited_ms < PROCESS_DEADLINE_MS; waited_ms += 5) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return exit_status(status);
        if (ended < 0 && errno != EINTR) return -1;
        pause_ms(5);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

int process_wait(struct process *p)
{
    int status = p->pid == 0 ? 0 : wait_end(p->pid);
    p->pid = 0;
    return status;
}

int process_is_running(struct process *p)
{
    int status;
    if (p->pid != 0 && waitpid(p->pid, &status, WNOHANG) == p->pid) p->pid = 0;
    return p->pid != 0;
}

static bool is_ready(const struct process *p)
{
    static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    struct client *c = client_open(p->admin_port);
    if (c == NULL) return false;
    bool ready = client_send(c, ask, sizeof ask - 1) && client_read_head(c) == NULL && c->response.status == 200;
    client_close(c);
    return ready;
}

/* The usual option, unless the test has its own. */
static void add_option(char *words, size_t size, const char *options, const char *name, const char *value)
{
    size_t len = strlen(words);
    char given[64];
    snprintf(given, sizeof given, "%s ", name);
    if (strstr(options, given) == NULL) snprintf(words + len, size - len, " %s %s", name, value);
}

static void command_line(const struct process *p, const char *origin_url, const char *options, char *words, size_t size)
{
    char admin[64], store[300];
    snprintf(admin, sizeof admin, "127.0.0.1:%d", p->admin_port);
    snprintf(store, sizeof store, "%s/store", p->dir);
    snprintf(words, size, "weir --listen 127.0.0.1:%d", p->port);
    add_option(words, size, options, "--origin", origin_url);
    add_option(words, size, options, "--admin", admin);
    add_option(words, size, options, "--store", store);
    add_option(words, size, options, "--store-size", "64MiB");
    add_option(words, size, options, "--memory", "16MiB");
    add_option(words, size, options, "--workers", "2");
    snprintf(words + strlen(words), size - strlen(words), " %s", options);
}

const char *process_start(struct process *p, const char *origin_url, const char *options)
{
    char words[2048];
    command_line(p, origin_url, options == NULL ? "" : options, words, sizeof words);
    p->pid = spawn(words, p->log_path, p->log_path);
    for (int waited_ms = 0; waited_ms < PROCESS_DEADLINE_MS; waited_ms += 5) {
        if (is_ready(p)) return NULL;
        if (!process_is_running(p)) return "weir ended instead of serving";
        pause_ms(5);
    }
    return "weir was not ready in time";
}

static void read_file(const char *path, char *to, size_t size)
{
    to[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    off_t len = lseek(fd, 0, SEEK_END);
    off_t from = len >= (off_t)size ? len - (off_t)size + 1 : 0;
    ssize_t n = pread(fd, to, size - 1, from);
    to[n > 0 ? n : 0] = '\0';
    close(fd);
}

const char *process_log(const struct process *p, size_t limit)
{
    static char text[LOG_LIMIT];
    read_file(p->log_path, text, limit < sizeof text ? limit : sizeof text);
    return text;
}

void process_run(const struct process *p, const char *words, struct command_result *result)
{
    char line[2048], out[300], err[300];
    snprintf(line, sizeof line, "weir %s", words);
    snprintf(out, sizeof out, "%s/out", p->dir);
    snprintf(err, sizeof err, "%s/err", p->dir);
    (void)unlink(out);
    (void)unlink(err);
    result->status = wait_end(spawn(line, out, err));
    read_file(out, result->out, sizeof result->out);
    read_file(err, result->err, sizeof result->err);
}
