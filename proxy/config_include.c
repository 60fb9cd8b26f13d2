#include "proxy/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- ${NAME} */

static bool is_name_char(char c)
{
    return is_digit(c) || c == '_' || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* What stands between the braces. @return at NULL: the report says why */
static struct view variable_value(struct config_loader *l, struct place p, struct view inside)
{
    char name[256];
    size_t len = 0;
    while (len < inside.len && is_name_char(inside.at[len])) len++;
    struct view rest = view_after(inside, len), fallback = view_after(rest, 2);
    bool has_fallback = view_starts_with(rest, VIEW(":-"));
    if (len == 0 || len >= sizeof name || is_digit(inside.at[0]) || (rest.len > 0 && !has_fallback)) {
        report_at(l->report, p, "${%.*s} is no variable; ${NAME} or ${NAME:-default}, and $${ for a plain ${",
                  (int)inside.len, inside.at);
        return view_of(NULL, 0);
    }
    memcpy(name, inside.at, len);
    name[len] = '\0';
    const char *value = getenv(name);
    if (value != NULL && (value[0] != '\0' || !has_fallback)) return view_of_str(value);
    if (has_fallback) return fallback;
    report_at(l->report, p, "${%s}: the environment has no %s; set it, or write ${%s:-default}", name, name, name);
    return view_of("", 0); /* told; what else is wrong is told too */
}

struct view environment_expand(struct config_loader *l, struct place p, struct view text)
{
    if (text.len < 3 || memmem(text.at, text.len, "${", 2) == NULL) return arena_copy(l->arena, text);
    char *to = malloc(CONFIG_TEXT_MAX);
    size_t used = 0;
    bool fits = to != NULL;
    for (size_t i = 0; fits && i < text.len;) {
        struct view rest = view_after(text, i), piece = view_first(rest, 1);
        size_t step = 1;
        if (view_starts_with(rest, VIEW("$${"))) {
            piece = VIEW("${");
            step = 3;
        } else if (view_starts_with(rest, VIEW("${"))) {
            size_t end = view_find(rest, 0, '}');
            if (end == rest.len) {
                report_at(l->report, p, "\"%.*s\" has no } at its end; $${ is a plain ${", (int)rest.len, rest.at);
                break;
            }
            piece = variable_value(l, p, view_after(view_first(rest, end), 2));
            step = end + 1;
            if (piece.at == NULL) break;
        }
        fits = piece.len < CONFIG_TEXT_MAX - used;
        if (fits && piece.len > 0) memcpy(to + used, piece.at, piece.len);
        if (fits) used += piece.len;
        i += step;
    }
    if (!fits) report_at(l->report, p, "a text longer than %d bytes", CONFIG_TEXT_MAX);
    struct view copy = arena_copy(l->arena, view_of(to, fits ? used : 0));
    free(to);
    return copy;
}

/* ---- files */

struct view file_read(struct arena *a, const char *path, size_t max)
{
    struct view none = { NULL, 0 };
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return none;
    int error = 0;
    char *to = NULL;
    size_t len = 0;
    if (fstat(fd, &st) != 0)
        error = errno;
    else if (S_ISDIR(st.st_mode))
        error = EISDIR;
    else if ((to = arena_alloc(a, S_ISREG(st.st_mode) && (size_t)st.st_size < max ? (size_t)st.st_size + 2
                                                                                  : max + 2)) == NULL)
        error = ENOMEM;
    size_t cap = error == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
    while (error == 0 && len < cap) {
        ssize_t n = read(fd, to + len, cap - len);
        if (n == 0) break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            error = errno;
    }
    if (error == 0 && len > max) error = EFBIG;
    close(fd);
    errno = error;
    return error == 0 ? view_of(to, len) : none;
}

const char *path_beside(struct arena *a, const char *from, const char *path)
{
    const char *slash = strrchr(from, '/');
    if (path[0] == '/' || slash == NULL) return arena_str(a, path);
    size_t dir = (size_t)(slash - from) + 1, len = strlen(path);
    char *to = arena_alloc(a, dir + len + 1);
    if (to == NULL) return NULL;
    memcpy(to, from, dir);
    memcpy(to + dir, path, len);
    return to;
}

/* ---- what two files say together */

static struct node *member_of(struct node *map, struct view key)
{
    for (struct node *m = map->first; m != NULL; m = m->next)
        if (view_equal(m->key->text, key)) return m;
    return NULL;
}

/* Lists follow each other, maps are joined, anything else may be said once. An alias is shared, so it is left alone. */
static void merge(struct config_loader *l, struct node *to, struct node *from)
{
    struct node *next;
    for (struct node *m = from->first; m != NULL; m = next) {
        next = m->next;
        struct node *there = member_of(to, m->key->text);
        if (there == NULL) {
            node_add(to, m);
        } else if (there->kind == NODE_MAP && m->kind == NODE_MAP && there->same == NULL && m->same == NULL) {
            merge(l, there, m);
        } else if (there->kind == NODE_LIST && m->kind == NODE_LIST && there->same == NULL && m->same == NULL) {
            struct node *next_item;
            for (struct node *i = m->first; i != NULL; i = next_item) {
                next_item = i->next;
                node_add(there, i);
            }
        } else {
            report_at(l->report, m->key->place, "\"%.80s\" is also set in %.200s:%u:%u; keep one", m->key->text.at,
                      there->key->place.file, there->key->place.line, there->key->place.column);
        }
    }
}

static struct node *read_file(struct config_loader *l, const char *path, struct place from);

static void include_one(struct config_loader *l, struct node *root, const char *path, struct place p)
{
    struct node *other = read_file(l, path, p);
    if (other != NULL) merge(l, root, other);
}

static void include_pattern(struct config_loader *l, struct node *root, const struct node *pattern)
{
    glob_t found = { 0 };
    const char *path;
    if (node_of(pattern)->kind != NODE_TEXT || node_is_empty(pattern)) {
        report_at(l->report, pattern->place, "include names files: \"routes/*.yaml\"; this is %s",
                  node_kind_name(pattern));
        return;
    }
    pattern = node_of(pattern);
    path = path_beside(l->arena, pattern->place.file, pattern->text.at);
    if (path == NULL) return;
    int rc = glob(path, GLOB_ERR, NULL, &found); /* sorted */
    bool wild = strpbrk(path, "*?[") != NULL;
    if (rc == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) include_one(l, root, found.gl_pathv[i], pattern->place);
    } else if (rc != GLOB_NOMATCH || !wild) {
        report_at(l->report, pattern->place, "cannot include \"%.200s\": %s; a path is seen from the file it stands in",
                  pattern->text.at, rc == GLOB_NOMATCH ? "there is no such file" : "it cannot be read");
    }
    globfree(&found);
}

static void include_all(struct config_loader *l, struct node *root)
{
    struct node *include = member_of(root, VIEW("include"));
    if (include == NULL) return;
    if (node_of(include)->kind != NODE_LIST) {
        include_pattern(l, root, include);
        return;
    }
    for (const struct node *m = node_of(include)->first; m != NULL; m = m->next) include_pattern(l, root, m);
}

static void drop_member(struct node *map, struct view key)
{
    struct node *before = NULL;
    for (struct node *m = map->first; m != NULL; before = m, m = m->next) {
        if (!view_equal(m->key->text, key)) continue;
        if (before != NULL)
            before->next = m->next;
        else
            map->first = m->next;
        if (map->last == m) map->last = before;
        map->count--;
        return;
    }
}

static bool may_open(struct config_loader *l, const char *real, struct place from)
{
    for (size_t i = 0; i < l->depth; i++) {
        if (strcmp(l->open[i], real) != 0) continue;
        report_at(l->report, from, "%.200s includes itself through this line; remove it", real);
        return false;
    }
    if (l->depth == CONFIG_INCLUDES_DEEP) {
        report_at(l->report, from, "files include each other more than %d deep", CONFIG_INCLUDES_DEEP);
        return false;
    }
    if (l->files++ < CONFIG_FILES_MAX) return true;
    report_at(l->report, from, "more than %d files", CONFIG_FILES_MAX);
    return false;
}

/* A directory, or what is no file at all, has no text to place an error in: the line that named it gets it. */
static struct node *read_file(struct config_loader *l, const char *path, struct place from)
{
    char real[PATH_MAX];
    struct node *root = NULL;
    const char *name = arena_str(l->arena, path);
    struct view text = file_read(l->arena, path, CONFIG_FILE_MAX);
    if (text.at == NULL || name == NULL || realpath(path, real) == NULL) {
        report_at(l->report, from, "cannot read %.200s: %s", path,
                  errno == EFBIG ? "it is larger than 4MiB" : strerror(errno));
        return NULL;
    }
    if (!may_open(l, real, from)) return NULL;
    l->open[l->depth++] = real;
    root = config_parse(l, name, text);
    if (root != NULL) {
        include_all(l, root);
        drop_member(root, VIEW("include"));
    }
    l->depth--;
    return root;
}

struct node *config_read(const char *path, struct arena *a, struct config_report *report)
{
    struct config_loader l = { .arena = a, .report = report };
    return read_file(&l, path, (struct place){ .file = path });
}
