#include "cache/store_check.h"
#include "cache/store_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The state file is the lock, and one line: "weir-store FORMAT BOOT-ID open|clean". It lies outside LMDB, so that it can be
 * read before LMDB trusts a byte of the data file, and synced by itself. */
static const char state_name[] = "weir-store";
enum { BOOT_ID_LEN = 36, STATE_LINE_MAX = 128 };

enum state { STATE_NONE, STATE_CLEAN, STATE_SAME_BOOT, STATE_POWER_LOST, STATE_OTHER_FORMAT };

char *store_files_join(const char *dir, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static bool boot_id(char to[BOOT_ID_LEN + 1])
{
    memset(to, 0, BOOT_ID_LEN + 1);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, to, BOOT_ID_LEN);
    close(fd);
    return n == BOOT_ID_LEN;
}

static int make_directories(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) return ENOMEM;
    int rc = 0;
    for (char *at = copy + 1; rc == 0; at++) {
        if (*at != '/' && *at != '\0') continue;
        char was = *at;
        *at = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST && access(copy, X_OK) != 0) rc = errno;
        *at = was;
        if (was == '\0') break;
    }
    free(copy);
    return rc;
}

enum store_open_result store_files_lock(struct store *s, char *why, size_t cap)
{
    int rc = make_directories(s->path);
    char *path = store_files_join(s->path, state_name);
    if (path == NULL) return STORE_FAILED;
    s->state_fd = rc == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (s->state_fd < 0) {
        snprintf(why, cap, "%s cannot be written (%s): give weir a directory that it may write to", s->path,
                 strerror(rc != 0 ? rc : errno));
        free(path);
        return STORE_NOT_WRITABLE;
    }
    free(path);
    if (flock(s->state_fd, LOCK_EX | LOCK_NB) == 0) return STORE_OPENED;
    snprintf(why, cap, "%s is in use by another weir: give each its own directory", s->path);
    store_files_unlock(s);
    return STORE_IN_USE;
}

void store_files_unlock(struct store *s)
{
    if (s->state_fd >= 0) close(s->state_fd); /* the lock goes with it */
    s->state_fd = -1;
}

static enum state read_state(const struct store *s, int *format)
{
    char line[STATE_LINE_MAX], boot[BOOT_ID_LEN + 1], now[BOOT_ID_LEN + 1], word[8];
    ssize_t n = pread(s->state_fd, line, sizeof(line) - 1, 0);
    *format = 0;
    if (n <= 0) return STATE_NONE;
    line[n] = '\0';
    int got = sscanf(line, "weir-store %9d %36s %7s", format, boot, word);
    if (got < 1 || *format != STORE_FORMAT_VERSION) return STATE_OTHER_FORMAT;
    if (got == 3 && strcmp(word, "clean") == 0) return STATE_CLEAN;
    if (got == 3 && boot_id(now) && strcmp(boot, now) == 0) return STATE_SAME_BOOT;
    return STATE_POWER_LOST;
}

bool store_files_mark(struct store *s, bool clean)
{
    char line[STATE_LINE_MAX], boot[BOOT_ID_LEN + 1];
    if (!boot_id(boot)) strcpy(boot, "unknown"); /* equal to no boot id: cold unless closed cleanly */
    int n = snprintf(line, sizeof(line), "weir-store %d %s %s\n", STORE_FORMAT_VERSION, boot, clean ? "clean" : "open");
    return pwrite(s->state_fd, line, (size_t)n, 0) == n && ftruncate(s->state_fd, n) == 0 && fsync(s->state_fd) == 0;
}

void store_files_remove_lock(const struct store *s)
{
    (void)unlink(s->lock_path); /* one that stays is LMDB's to judge */
}

void store_files_remove_data(struct store *s)
{
    (void)unlink(s->data_path); /* what cannot be removed shows when it is opened */
    store_files_remove_lock(s);
}

/* Bytes of all files set aside; `remove`: remove them instead. */
static uint64_t asides(const struct store *s, bool remove)
{
    static const char end[] = "-aside";
    uint64_t bytes = 0;
    DIR *dir = opendir(s->path);
    if (dir == NULL) return 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t len = strlen(e->d_name);
        struct stat st;
        if (len < sizeof(end) || strcmp(e->d_name + len - (sizeof(end) - 1), end) != 0) continue;
        if (remove)
            (void)unlinkat(dirfd(dir), e->d_name, 0); /* else it still counts below, at the next open */
        else if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)st.st_size > (uint64_t)st.st_blocks * 512 ? (uint64_t)st.st_size
                                                                         : (uint64_t)st.st_blocks * 512;
    }
    closedir(dir);
    return bytes;
}

/* The data file leaves: renamed if it is worth it and the directory keeps its size with it (a quarter at most), else
 * removed.
 * @return what became of it */
static const char *set_aside(struct store *s, const char *label, uint64_t used_bytes)
{
    char name[64];
    asides(s, true);
    snprintf(name, sizeof(name), "data.mdb.%s-aside", label);
    char *to = store_files_join(s->path, name);
    bool small = used_bytes > 0 && used_bytes <= s->size_bytes / 4;
    bool kept = to != NULL && small && truncate(s->data_path, (off_t)used_bytes) == 0 && rename(s->data_path, to) == 0;
    free(to);
    store_files_remove_data(s);
    if (kept) return "it was set aside";
    return used_bytes == 0 ? "it was removed" : "it was removed, as the store's size has no room for both";
}

static void fix_map_bytes(struct store *s)
{
    if (asides(s, false) > s->size_bytes / 4) asides(s, true);
    s->map_bytes = (s->size_bytes - STORE_OVERHEAD_BYTES - asides(s, false)) / STORE_PAGE * STORE_PAGE;
}

/* What speaks against the data file that is there. */
struct objection {
    char reason[160];    /* empty: none */
    char label[16];      /* in the name of the file set aside */
    uint64_t keep_bytes; /* how much of the file is worth setting aside; 0: none */
};

static void judge(const struct store *s, enum state state, int format, struct objection *o)
{
    char fault[96];
    struct store_checked checked;
    int64_t budget_ms = state == STATE_CLEAN || state == STATE_SAME_BOOT ? STORE_CHECK_MS : 0;
    enum store_check check = store_check_file(s->data_path, budget_ms, &checked, fault, sizeof(fault));
    *o = (struct objection){ .label = "damaged", .keep_bytes = checked.used_bytes };
    if (check == STORE_CHECK_ABSENT) return;
    if (state == STATE_NONE) {
        snprintf(o->reason, sizeof(o->reason), "it is not known who wrote it");
        strcpy(o->label, "unknown");
    } else if (state == STATE_OTHER_FORMAT) {
        snprintf(o->reason, sizeof(o->reason), "it has format %d and this weir uses %d", format, STORE_FORMAT_VERSION);
        snprintf(o->label, sizeof(o->label), "v%d", format);
    } else if (state == STATE_POWER_LOST) {
        snprintf(o->reason, sizeof(o->reason), "it was open when the machine went down");
        o->keep_bytes = 0;
    } else if (check != STORE_CHECK_SOUND) {
        snprintf(o->reason, sizeof(o->reason), "it is damaged: %s", fault);
    } else if (checked.used_bytes > s->map_bytes) {
        snprintf(o->reason, sizeof(o->reason), "it holds more than the store's new size");
        o->keep_bytes = 0;
    }
}

enum store_start store_files_prepare(struct store *s, char *why, size_t cap)
{
    int format = 0;
    enum state state = read_state(s, &format);
    struct objection o;
    fix_map_bytes(s);
    judge(s, state, format, &o);
    struct stat st;
    bool there = stat(s->data_path, &st) == 0 && st.st_size > 0;
    enum store_start start = there ? STORE_START_WARM : STORE_START_NEW;
    if (o.reason[0] != '\0') {
        const char *fate = set_aside(s, o.label, o.keep_bytes);
        snprintf(why, cap, "%s: starting cold, as the store's file cannot be used: %s; %s", s->data_path, o.reason,
                 fate);
        fix_map_bytes(s);
        start = STORE_START_COLD;
    } else if (there && (uint64_t)st.st_size > s->map_bytes && truncate(s->data_path, (off_t)s->map_bytes) != 0) {
        snprintf(why, cap, "%s: cannot be made smaller: %s", s->data_path, strerror(errno));
        return STORE_START_FAILED;
    } else if (!there) {
        store_files_remove_data(s);
    }
    if (store_files_mark(s, false)) return start;
    snprintf(why, cap, "%s: the state file cannot be written: %s", s->path, strerror(errno));
    return STORE_START_FAILED;
}

uint64_t store_files_room(const struct store *s)
{
    struct statvfs fs;
    return statvfs(s->path, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
}

bool store_files_preallocate(struct store *s)
{
    struct stat st;
    int fd = open(s->data_path, O_RDWR | O_CLOEXEC), rc = 0;
    if (fd < 0) return true; /* opening the environment will tell why */
    bool wanted = fstat(fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < s->map_bytes;
    while (wanted && (rc = fallocate(fd, 0, 0, (off_t)s->map_bytes)) != 0 && errno == EINTR) continue;
    bool has_room = rc == 0 || (errno != ENOSPC && errno != EDQUOT); /* a file system that cannot is no reason */
    if (!has_room) (void)!ftruncate(fd, st.st_size); /* give back what was had; the file is valid either way */
    close(fd);
    return has_room;
}
