#include "headers/cache_control.h"

#include "headers/list.h"
#include "headers/structured.h"

enum { TARGETED_MEMBERS_MAX = 32, SECONDS_TEXT_MAX = 32 };

enum directive_kind {
    FLAG, /* an argument changes nothing */
    SECONDS,
    FLAG_OR_SECONDS, /* a flag when there is no argument */
    FLAG_OR_FIELDS   /* the same, the argument being a list of field names */
};

/* A row says which members of the struct a directive fills, as offsets. */
struct directive {
    struct view name;
    enum directive_kind kind;
    size_t flag;                   /* bool */
    size_t seconds;                /* struct seconds */
    size_t fields_present, fields; /* bool, struct view */
};

struct directive_table {
    const struct directive *rows;
    size_t count;
};

/* clang-format off */
#define NAMED(literal) { (literal), sizeof(literal) - 1 }
#define ON_FLAG(literal, to) { .name = NAMED(literal), .kind = FLAG, .flag = to }
#define ON_SECONDS(literal, to) { .name = NAMED(literal), .kind = SECONDS, .seconds = to }
#define RESPONSE(member) offsetof(struct response_directives, member)
#define REQUEST(member) offsetof(struct request_directives, member)

/* RFC 9111 §5.2.2, RFC 5861, RFC 8246. */
static const struct directive response_rows[] = {
    ON_SECONDS("max-age", RESPONSE(max_age)),
    ON_SECONDS("s-maxage", RESPONSE(s_maxage)),
    ON_FLAG("public", RESPONSE(is_public)),
    { NAMED("private"), FLAG_OR_FIELDS, RESPONSE(is_private), 0,
      RESPONSE(private_fields_present), RESPONSE(private_fields) },
    { NAMED("no-cache"), FLAG_OR_FIELDS, RESPONSE(no_cache), 0,
      RESPONSE(no_cache_fields_present), RESPONSE(no_cache_fields) },
    ON_FLAG("no-store", RESPONSE(no_store)),
    ON_FLAG("must-revalidate", RESPONSE(must_revalidate)),
    ON_FLAG("proxy-revalidate", RESPONSE(proxy_revalidate)),
    ON_FLAG("must-understand", RESPONSE(must_understand)),
    ON_FLAG("no-transform", RESPONSE(no_transform)),
    ON_FLAG("immutable", RESPONSE(immutable)),
    ON_SECONDS("stale-while-revalidate", RESPONSE(stale_while_revalidate)),
    ON_SECONDS("stale-if-error", RESPONSE(stale_if_error)),
};

/* RFC 9111 §5.2.1, RFC 5861 §4. */
static const struct directive request_rows[] = {
    ON_SECONDS("max-age", REQUEST(max_age)),
    { NAMED("max-stale"), FLAG_OR_SECONDS, REQUEST(max_stale_any), REQUEST(max_stale), 0, 0 },
    ON_SECONDS("min-fresh", REQUEST(min_fresh)),
    ON_FLAG("no-cache", REQUEST(no_cache)),
    ON_FLAG("no-store", REQUEST(no_store)),
    ON_FLAG("only-if-cached", REQUEST(only_if_cached)),
    ON_SECONDS("stale-if-error", REQUEST(stale_if_error)),
};
/* clang-format on */

#define TABLE(rows) ((struct directive_table){ (rows), sizeof(rows) / sizeof((rows)[0]) })

static const struct directive *directive_named(struct directive_table t, struct view name)
{
    for (size_t i = 0; i < t.count; i++) {
        if (view_equal_nocase(name, t.rows[i].name)) return &t.rows[i];
    }
    return NULL;
}

/* A member of Cache-Control, taken apart. */
struct member {
    struct view name, argument;
    bool has_argument;
    bool blank_before_equals; /* "max-age =1": not the grammar of §5.2, so the argument is not one */
};

static struct member member_of(struct view text)
{
    struct member m;
    struct view name;
    list_split_argument(text, &name, &m.argument, &m.has_argument);
    m.name = view_trim_ows(name);
    m.blank_before_equals = m.name.len != name.len;
    return m;
}

/* delta-seconds, as a token or a quoted-string (RFC 9111 §1.2.2, §5.2). */
static bool delta_seconds_parse(struct view argument, int64_t *value)
{
    char text[SECONDS_TEXT_MAX];
    if (argument.len > 0 && argument.at[0] == '"') {
        int n = list_unquote(argument, text, sizeof(text));
        if (n < 0) return false;
        argument = view_of(text, (size_t)n);
    }
    return view_parse_decimal(argument, DELTA_SECONDS_MAX, value);
}

/* Of several the smaller counts, and what is not valid counts as the smallest (§4.2.1: the most restrictive). */
static void add_seconds(struct seconds *s, bool valid, int64_t value)
{
    bool first = !s->present;
    s->valid = valid && (first || s->valid);
    s->value = !s->valid ? 0 : first || value < s->value ? value : s->value;
    s->present = true;
}

/* The field names in the argument of no-cache or private: a quoted list, or one name as a token. False when there is
 * none or one is not a name: the directive then counts as if it had no argument, which is the stricter reading. */
static bool field_list_parse(struct view argument, struct view *list)
{
    *list = argument;
    if (argument.len >= 2 && argument.at[0] == '"' && argument.at[argument.len - 1] == '"') {
        *list = view_of(argument.at + 1, argument.len - 2);
    }
    struct view rest = *list, name;
    size_t names = 0;
    for (; list_next(&rest, &name); names++) {
        if (!view_is_token(name)) return false;
    }
    return names > 0;
}

static void fill_seconds(char *base, const struct directive *row, const struct member *m)
{
    int64_t value = 0;
    bool valid = m->has_argument && !m->blank_before_equals && delta_seconds_parse(m->argument, &value);
    add_seconds((struct seconds *)(base + row->seconds), valid, value);
}

/* has_list: the argument is a list of field names; without one the directive is a flag. */
static void fill_fields(char *base, const struct directive *row, bool has_list, struct view list)
{
    bool *present = (bool *)(base + row->fields_present);
    if (!has_list) {
        *(bool *)(base + row->flag) = true;
    } else if (!*present) {
        *present = true;
        *(struct view *)(base + row->fields) = list;
    }
}

static void fill(void *directives, const struct directive *row, const struct member *m)
{
    char *base = directives;
    bool *flag = (bool *)(base + row->flag);
    struct view list = { NULL, 0 };
    bool has_argument = m->has_argument && !m->blank_before_equals;
    switch (row->kind) {
    case FLAG: *flag = true; break;
    case SECONDS: fill_seconds(base, row, m); break;
    case FLAG_OR_SECONDS:
        if (m->has_argument) {
            fill_seconds(base, row, m);
        } else {
            *flag = true;
        }
        break;
    case FLAG_OR_FIELDS: fill_fields(base, row, has_argument && field_list_parse(m->argument, &list), list); break;
    }
}

static void directives_parse(struct field_section s, struct directive_table t, void *directives)
{
    struct list_walk w = list_of(s, FIELD_CACHE_CONTROL);
    struct view text;
    while (list_walk_next(&w, &text)) {
        struct member m = member_of(text);
        const struct directive *row = directive_named(t, m.name);
        if (row != NULL) fill(directives, row, &m);
    }
}

struct response_directives response_directives_parse(struct field_section s)
{
    struct response_directives d = { .source = FIELD_CACHE_CONTROL };
    directives_parse(s, TABLE(response_rows), &d);
    return d;
}

struct request_directives request_directives_parse(struct field_section s)
{
    struct request_directives d = { 0 };
    directives_parse(s, TABLE(request_rows), &d);
    return d;
}

/* ---- targeted fields (RFC 9213) */

/* A member of the wrong type is ignored; a negative number of seconds is one we cannot honour, so stale. The field names
 * of no-cache and private are a String. */
static void fill_targeted(struct response_directives *d, const struct directive *row, const struct sf_item *item)
{
    char *base = (char *)d;
    struct view list = { NULL, 0 };
    if (row->kind == SECONDS && item->type == SF_INTEGER) {
        int64_t value = item->integer < DELTA_SECONDS_MAX ? item->integer : DELTA_SECONDS_MAX;
        add_seconds((struct seconds *)(base + row->seconds), value >= 0, value);
    } else if (row->kind != SECONDS && item->type == SF_BOOLEAN) {
        *(bool *)(base + row->flag) = item->integer != 0;
    } else if (row->kind == FLAG_OR_FIELDS && item->type == SF_STRING) {
        fill_fields(base, row, field_list_parse(item->text, &list), list);
    }
}

static bool targeted_parse(struct field_section s, enum field_id id, struct response_directives *out)
{
    struct sf_member members[TARGETED_MEMBERS_MAX];
    struct response_directives d = { .targeted = true, .source = id };
    int n = sf_dictionary_parse(s, id, members, TARGETED_MEMBERS_MAX);
    if (n <= 0) return false;
    for (int i = 0; i < n; i++) {
        const struct directive *row = directive_named(TABLE(response_rows), members[i].key);
        if (row != NULL) fill_targeted(&d, row, &members[i].item);
    }
    *out = d;
    return true;
}

bool targeted_directives_parse(struct field_section s, const enum field_id *targets, size_t n,
                               struct response_directives *out)
{
    for (size_t i = 0; i < n; i++) {
        if (targeted_parse(s, targets[i], out)) return true;
    }
    return false;
}

/* ---- no-cache="..." and private="..." */

static bool list_names(struct view list, struct view name)
{
    struct view field_name;
    while (list_next(&list, &field_name)) {
        if (view_equal_nocase(field_name, name)) return true;
    }
    return false;
}

static bool directive_lists(struct field_section s, struct view directive, struct view name)
{
    struct list_walk w = list_of(s, FIELD_CACHE_CONTROL);
    struct view text, list;
    while (list_walk_next(&w, &text)) {
        struct member m = member_of(text);
        if (!m.has_argument || !view_equal_nocase(m.name, directive)) continue;
        if (field_list_parse(m.argument, &list) && list_names(list, name)) return true;
    }
    return false;
}

/* A Dictionary has each member once, so that its list is the one in d. */
bool no_cache_lists(struct field_section s, const struct response_directives *d, struct view name)
{
    if (!d->no_cache_fields_present) return false;
    return d->targeted ? list_names(d->no_cache_fields, name) : directive_lists(s, VIEW("no-cache"), name);
}

bool private_lists(struct field_section s, const struct response_directives *d, struct view name)
{
    if (!d->private_fields_present) return false;
    return d->targeted ? list_names(d->private_fields, name) : directive_lists(s, VIEW("private"), name);
}

/* ---- Age */

bool age_parse(struct field_section s, int64_t *age_s)
{
    const struct field *line = field_first(s, FIELD_AGE);
    if (line == NULL) return false;
    struct view rest = line->value, first;
    return list_next(&rest, &first) && view_parse_decimal(first, DELTA_SECONDS_MAX, age_s);
}
