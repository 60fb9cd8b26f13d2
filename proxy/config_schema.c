#include "proxy/config_schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { SECRET_FILE_MAX = 64 * 1024, PATH_TEXT_MAX = 256, KEYS_MAX = 64 };

/* ---- reading */

void *reader_alloc(struct config_reader *r, size_t len)
{
    void *at = arena_alloc(r->arena, len);
    if (at == NULL) report_at(r->report, (struct place){ .file = "configuration" }, "out of memory");
    return at;
}

bool reader_text(struct config_reader *r, const struct node *n, const char *expected, struct view *out)
{
    const struct node *real = node_of(n);
    if (real->kind == NODE_TEXT && !node_is_empty(real)) {
        *out = real->text;
        return true;
    }
    const char *name = n->key != NULL ? n->key->text.at : "this";
    report_at(r->report, n->place, "\"%.80s\" is %s; it takes %s", name, node_kind_name(n), expected);
    return false;
}

static const struct node *member(const struct node *map, const char *key)
{
    for (const struct node *m = map->first; m != NULL; m = m->next)
        if (view_equal(m->key->text, view_of_str(key))) return m;
    return NULL;
}

/* A secret's file holds it in one line. */
static bool secret_from_file(struct config_reader *r, const struct node *file, struct view *out)
{
    struct view path;
    if (!reader_text(r, file, "the path of a file", &path)) return false;
    const char *beside = path_beside(r->arena, file->place.file, path.at);
    struct view text = view_of(NULL, 0);
    if (beside != NULL) text = file_read(r->arena, beside, SECRET_FILE_MAX);
    if (text.at == NULL) {
        report_at(r->report, file->place, "cannot read %.200s: %s", path.at, strerror(errno));
        return false;
    }
    while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r')) text.len--;
    *out = arena_copy(r->arena, text);
    return out->at != NULL;
}

bool reader_secret(struct config_reader *r, const struct node *n, struct view *out)
{
    const struct node *real = node_of(n);
    if (real->kind != NODE_MAP) return reader_text(r, n, "a text, or {file: PATH}", out);
    const struct node *file = member(real, "file");
    if (file != NULL && real->count == 1) return secret_from_file(r, file, out);
    report_at(r->report, n->place, "a secret is a text, or {file: PATH}");
    return false;
}

static bool check_text(struct config_reader *r, const struct setting *row, const struct node *n, struct view text)
{
    const char *right = row->check != NULL ? row->check(text) : NULL;
    if (right == NULL) return true;
    if (row->secret)
        report_at(r->report, n->place, "%s is no such secret; it takes %s", row->key, right);
    else
        report_at(r->report, n->place, "%s: \"%.80s\"; it takes %s", row->key, text.at, right);
    return false;
}

static bool read_item(struct config_reader *r, const struct setting *row, const struct node *n, struct view *out)
{
    bool ok = row->secret ? reader_secret(r, n, out) : reader_text(r, n, "a text", out);
    if (!ok || !check_text(r, row, n, *out)) return false;
    if (row->path && !view_equal(*out, VIEW("-")))
        *out = view_of_str(path_beside(r->arena, node_of(n)->place.file, out->at));
    if (!row->lower) return out->at != NULL;
    struct view copy = arena_copy(r->arena, *out);
    char *at = (char *)(uintptr_t)copy.at; /* ours, just made */
    for (size_t i = 0; at != NULL && i < copy.len; i++) at[i] = ascii_lower(at[i]);
    *out = copy;
    return copy.at != NULL;
}

bool reader_views(struct config_reader *r, const struct setting *row, const struct node *n, struct views *out)
{
    const struct node *real = node_of(n);
    bool is_list = real->kind == NODE_LIST, ok = true;
    size_t count = is_list ? real->count : 1, at = 0;
    struct view *to = reader_alloc(r, (count + 1) * sizeof *to);
    if (to == NULL) return false;
    if (row->most > 0 && count > (size_t)row->most) {
        report_at(r->report, n->place, "%s has %zu members; at most %" PRId64, row->key, count, row->most);
        return false;
    }
    if (!is_list) {
        ok = read_item(r, row, n, &to[at++]);
    } else {
        for (const struct node *m = real->first; m != NULL; m = m->next) ok = read_item(r, row, m, &to[at++]) && ok;
    }
    if (ok) *out = (struct views){ to, count };
    return ok;
}

static void say_wrong_value(struct config_reader *r, const char *key, const struct node *n, struct view text,
                            const char *right)
{
    report_at(r->report, n->place, "%s: \"%.80s\"; it takes %s", key, text.at, right);
}

bool reader_seconds(struct config_reader *r, const struct node *n, const char *key, int64_t *out)
{
    struct view text;
    int64_t ms;
    if (!reader_text(r, n, "a duration: 30s, 5m, 1h", &text)) return false;
    const char *right = value_milliseconds(text, &ms);
    if (right == NULL && ms % 1000 != 0) right = "whole seconds: 1s, 30s";
    if (right == NULL && ms / 1000 > INT32_MAX) right = "less than 68 years";
    if (right != NULL) {
        say_wrong_value(r, key, n, text, right);
        return false;
    }
    *out = ms / 1000;
    return true;
}

static const char *read_number(const struct setting *row, struct view text, int64_t *n)
{
    const char *right;
    switch (row->type) {
    case SETTING_BYTES: return value_bytes(text, n);
    case SETTING_PERCENT: return value_percent(text, n);
    case SETTING_MILLISECONDS: return value_milliseconds(text, n);
    case SETTING_SECONDS:
        right = value_milliseconds(text, n);
        if (right == NULL && *n % 1000 != 0) return "whole seconds: 1s, 30s";
        *n /= 1000;
        return right;
    default: return value_number(text, n);
    }
}

/* A number as its row would have it written. */
static void write_number(const struct setting *row, int64_t n, struct text_out *o)
{
    switch (row->type) {
    case SETTING_BYTES: out_bytes(o, n); break;
    case SETTING_PERCENT: out_format(o, "%" PRId64 "%%", n); break;
    case SETTING_MILLISECONDS: out_milliseconds(o, n); break;
    case SETTING_SECONDS: out_milliseconds(o, n * 1000); break;
    default: out_format(o, "%" PRId64, n); break;
    }
}

static bool is_int(enum setting_type t)
{
    return t == SETTING_INT || t == SETTING_PERCENT;
}

static void store_number(const struct setting *row, int64_t n, void *to)
{
    int as_int = (int)n;
    if (is_int(row->type))
        memcpy(to, &as_int, sizeof as_int);
    else
        memcpy(to, &n, sizeof n);
}

static int64_t load_number(const struct setting *row, const void *from)
{
    int as_int;
    int64_t n;
    if (is_int(row->type)) {
        memcpy(&as_int, from, sizeof as_int);
        return as_int;
    }
    memcpy(&n, from, sizeof n);
    return n;
}

static void take_number(struct config_reader *r, const struct setting *row, const struct node *n, struct view text,
                        void *to)
{
    int64_t value = 0, most = row->most > 0 ? row->most : INT32_MAX * (int64_t)1000;
    if (row->most == 0 && is_int(row->type)) most = INT32_MAX;
    if (row->most == 0 && row->type == SETTING_BYTES) most = (int64_t)1 << 50;
    if (row->most == 0 && row->type == SETTING_SECONDS) most = INT32_MAX;
    const char *right = read_number(row, text, &value);
    if (right != NULL) {
        say_wrong_value(r, row->key, n, text, right);
    } else if (value < row->least || value > most) {
        char low[64], high[64];
        struct text_out l = text_out_in(low, sizeof low), h = text_out_in(high, sizeof high);
        write_number(row, row->least, &l);
        write_number(row, most, &h);
        bool bounded = row->most > 0 || value > most;
        report_at(r->report, n->place, "%s: \"%.80s\"; it takes %s%s%s", row->key, text.at, low,
                  bounded ? " to " : " or more", bounded ? high : "");
    } else {
        store_number(row, value, to);
    }
}

static void take_choice(struct config_reader *r, const struct setting *row, const struct node *n, struct view text,
                        void *to)
{
    const char *names[KEYS_MAX];
    char all[256];
    size_t count = 0;
    struct text_out o = text_out_in(all, sizeof all);
    for (const struct choice *c = row->choices; c->name != NULL && count < KEYS_MAX; c++) {
        if (view_equal(text, view_of_str(c->name))) {
            memcpy(to, &c->value, sizeof c->value);
            return;
        }
        out_format(&o, "%s%s", count > 0 ? ", " : "", c->name);
        names[count++] = c->name;
    }
    const char *near = report_suggest(text, names, count);
    if (near != NULL)
        report_at(r->report, n->place, "%s: \"%.80s\"; did you mean \"%s\"? It takes one of %s", row->key, text.at,
                  near, all);
    else
        report_at(r->report, n->place, "%s: \"%.80s\"; it takes one of %s", row->key, text.at, all);
}

static void take_text(struct config_reader *r, const struct setting *row, const struct node *n, void *to)
{
    struct view text;
    if (!read_item(r, row, n, &text)) return;
    if (row->type == SETTING_VIEW)
        memcpy(to, &text, sizeof text);
    else
        memcpy(to, &text.at, sizeof text.at);
}

static void take_unset(const struct setting *row, void *to)
{
    const char *no_text = NULL;
    struct view no_view = { NULL, 0 };
    struct views no_views = { NULL, 0 };
    switch (row->type) {
    case SETTING_TEXT: memcpy(to, &no_text, sizeof no_text); break;
    case SETTING_VIEW: memcpy(to, &no_view, sizeof no_view); break;
    case SETTING_VIEWS: memcpy(to, &no_views, sizeof no_views); break;
    default: store_number(row, -1, to); break;
    }
}

static const char *expected(const struct setting *row)
{
    static const char *const names[] = {
        [SETTING_FLAG] = "true or false",
        [SETTING_INT] = "a whole number",
        [SETTING_SECONDS] = "a duration: 30s, 5m, 1h",
        [SETTING_MILLISECONDS] = "a duration: 250ms, 30s, 5m",
        [SETTING_BYTES] = "a size: 64KiB, 256MiB, 4GiB",
        [SETTING_PERCENT] = "a percentage: 10%",
    };
    return row->type <= SETTING_PERCENT ? names[row->type] : "a text";
}

static void take_value(struct config_reader *r, const struct setting *row, const struct node *n, void *to)
{
    struct view text;
    bool flag;
    struct views views;
    bool is_text = node_of(n)->kind == NODE_TEXT;
    if (row->unset != NULL && row->type != SETTING_OWN && is_text &&
        view_equal(node_of(n)->text, view_of_str(row->unset))) {
        take_unset(row, to);
        return;
    }
    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_VIEW: take_text(r, row, n, to); return;
    case SETTING_VIEWS:
        if (reader_views(r, row, n, &views)) memcpy(to, &views, sizeof views);
        return;
    case SETTING_GROUP: schema_read(r, row->group, n, to); return;
    case SETTING_NODE: memcpy(to, &n, sizeof n); return;
    case SETTING_OWN: row->read(r, n, to); return;
    default: break;
    }
    if (!reader_text(r, n, expected(row), &text)) return;
    if (row->type == SETTING_CHOICE) {
        take_choice(r, row, n, text, to);
    } else if (row->type == SETTING_FLAG) {
        const char *right = value_flag(text, &flag);
        if (right != NULL)
            say_wrong_value(r, row->key, n, text, right);
        else
            memcpy(to, &flag, sizeof flag);
    } else {
        take_number(r, row, n, text, to);
    }
}

static const struct setting *row_named(const struct schema *s, struct view key)
{
    for (size_t i = 0; i < s->count; i++)
        if (view_equal(key, view_of_str(s->rows[i].key))) return &s->rows[i];
    return NULL;
}

static void say_unknown(struct config_reader *r, const struct schema *s, const struct node *key)
{
    const char *names[KEYS_MAX];
    char all[300];
    struct text_out o = text_out_in(all, sizeof all);
    for (size_t i = 0; i < s->count && i < KEYS_MAX; i++) {
        names[i] = s->rows[i].key;
        out_format(&o, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *near = report_suggest(key->text, names, s->count < KEYS_MAX ? s->count : KEYS_MAX);
    if (near != NULL)
        report_at(r->report, key->place, "unknown setting \"%.80s\"; did you mean \"%s\"?", key->text.at, near);
    else
        report_at(r->report, key->place, "unknown setting \"%.80s\"; there are %s", key->text.at, all);
}

void schema_read(struct config_reader *r, const struct schema *s, const struct node *n, void *to)
{
    const struct node *map = node_of(n);
    size_t before = r->report->count;
    if (map->kind == NODE_MAP) {
        for (const struct node *m = map->first; m != NULL; m = m->next) {
            const struct setting *row = row_named(s, m->key->text);
            if (row != NULL)
                take_value(r, row, m, (char *)to + row->offset);
            else
                say_unknown(r, s, m->key);
        }
    } else if (s->short_for != NULL && !node_is_empty(map)) {
        const struct setting *row = row_named(s, view_of_str(s->short_for));
        take_value(r, row, n, (char *)to + row->offset);
    } else if (!node_is_empty(map)) {
        report_at(r->report, n->place, "\"%.80s\" is %s; it takes a map of settings",
                  n->key != NULL ? n->key->text.at : "this", node_kind_name(n));
    }
    const char *wrong = s->contradicts != NULL && r->report->count == before ? s->contradicts(to) : NULL;
    if (wrong != NULL) report_at(r->report, n->place, "%s: %s", n->key != NULL ? n->key->text.at : "this", wrong);
}

/* ---- writing */

static void write_views(const struct setting *row, const struct views *v, struct text_out *o)
{
    out_format(o, "[");
    for (size_t i = 0; i < v->count; i++) {
        if (i > 0) out_format(o, ", ");
        if (row->secret)
            out_secret(o, v->at[i]);
        else
            out_text(o, v->at[i]);
    }
    out_format(o, "]");
}

static void write_text(const struct setting *row, struct view v, struct text_out *o)
{
    if (v.len == 0 && row->unset != NULL)
        out_format(o, "%s", row->unset);
    else if (row->secret)
        out_secret(o, v);
    else
        out_text(o, v);
}

static const char *choice_name(const struct setting *row, int value)
{
    for (const struct choice *c = row->choices; c->name != NULL; c++)
        if (c->value == value) return c->name;
    return "";
}

void setting_write(const struct setting *row, const void *base, struct text_out *o)
{
    const void *from = (const char *)base + row->offset;
    bool flag;
    int chosen;
    const char *text;
    struct view v;
    struct views list;
    switch (row->type) {
    case SETTING_FLAG:
        memcpy(&flag, from, sizeof flag);
        out_format(o, "%s", flag ? "true" : "false");
        break;
    case SETTING_CHOICE:
        memcpy(&chosen, from, sizeof chosen);
        out_format(o, "%s", choice_name(row, chosen));
        break;
    case SETTING_TEXT:
        memcpy(&text, from, sizeof text);
        write_text(row, view_of_str(text), o);
        break;
    case SETTING_VIEW:
        memcpy(&v, from, sizeof v);
        write_text(row, v, o);
        break;
    case SETTING_VIEWS:
        memcpy(&list, from, sizeof list);
        if (list.at == NULL && row->unset != NULL)
            out_format(o, "%s", row->unset);
        else
            write_views(row, &list, o);
        break;
    case SETTING_OWN: row->write(o, from); break;
    case SETTING_GROUP:
    case SETTING_NODE: break;
    default:
        if (row->unset != NULL && load_number(row, from) < 0)
            out_format(o, "%s", row->unset);
        else
            write_number(row, load_number(row, from), o);
    }
}

static const char *join_path(char *to, const char *path, const char *key)
{
    snprintf(to, PATH_TEXT_MAX, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
    return to;
}

void schema_compare(const struct schema *s, const void *a, const void *b, const char *path, schema_differs differs,
                    void *arg)
{
    char full[PATH_TEXT_MAX], a_text[SETTING_TEXT_MAX], b_text[SETTING_TEXT_MAX];
    for (size_t i = 0; i < s->count; i++) {
        const struct setting *row = &s->rows[i];
        join_path(full, path, row->key);
        if (row->type == SETTING_GROUP) {
            schema_compare(row->group, (const char *)a + row->offset, (const char *)b + row->offset, full, differs,
                           arg);
            continue;
        }
        struct text_out x = text_out_in(a_text, sizeof a_text), y = text_out_in(b_text, sizeof b_text);
        x.reveal = y.reveal = true;
        setting_write(row, a, &x);
        setting_write(row, b, &y);
        if (strcmp(a_text, b_text) == 0 && !x.full) continue;
        x = text_out_in(a_text, sizeof a_text);
        y = text_out_in(b_text, sizeof b_text);
        setting_write(row, a, &x);
        setting_write(row, b, &y);
        differs(arg, full, row, a_text, b_text);
    }
}

void schema_each(const struct schema *s, const char *path,
                 void (*each)(void *arg, const char *path, const struct setting *row), void *arg)
{
    char full[PATH_TEXT_MAX];
    for (size_t i = 0; i < s->count; i++) {
        const struct setting *row = &s->rows[i];
        join_path(full, path, row->key);
        each(arg, full, row);
        if (row->type == SETTING_GROUP) schema_each(row->group, full, each, arg);
    }
}

enum { HELP_COLUMN = 44 };

static void print_row(const struct setting *row, const void *base, const char *comment, int indent, FILE *to)
{
    char value[SETTING_TEXT_MAX];
    struct text_out o = text_out_in(value, sizeof value);
    setting_write(row, base, &o);
    int n = fprintf(to, "%s%*s%s: %s", comment, indent, "", row->key, value);
    fprintf(to, "%*s # %s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 0, "", row->help);
}

static void print_rows(const struct schema *s, const void *base, const char *comment, int indent, FILE *to)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct setting *row = &s->rows[i];
        if (row->type == SETTING_GROUP) {
            int n = fprintf(to, "%s%*s%s:", comment, indent, "", row->key);
            fprintf(to, "%*s # %s\n", HELP_COLUMN > n ? HELP_COLUMN - n : 0, "", row->help);
            print_rows(row->group, (const char *)base + row->offset, comment, indent + 2, to);
        } else if (row->type == SETTING_NODE) {
            fprintf(to, "%*s# %s: %s\n", indent, "", row->key, row->example);
        } else {
            print_row(row, base, comment, indent, to);
        }
    }
}

void schema_print(const struct schema *s, const void *base, int indent, FILE *to)
{
    print_rows(s, base, "", indent, to);
}

void schema_print_commented(const struct schema *s, const void *base, FILE *to)
{
    print_rows(s, base, "# ", 4, to);
}
