#include "proxy/config_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <yaml.h>

bool node_is_empty(const struct node *n)
{
    n = node_of(n);
    return n->kind == NODE_TEXT && !n->quoted && (n->text.len == 0 || view_equal(n->text, VIEW("~")));
}

const char *node_kind_name(const struct node *n)
{
    static const char *const names[] = { [NODE_TEXT] = "a text", [NODE_MAP] = "a map", [NODE_LIST] = "a list" };
    return node_is_empty(n) ? "nothing" : names[node_of(n)->kind];
}

/* ---- building: a stack of what is open */

struct anchor {
    struct view name;
    struct node *node;
};

struct builder {
    struct config_loader *loader;
    const char *file;
    struct node *open[CONFIG_DEPTH_MAX];
    struct node *key[CONFIG_DEPTH_MAX]; /* of the member that comes next; NULL: a key comes next */
    size_t depth;
    struct node *root;
    struct anchor anchors[CONFIG_ANCHORS_MAX];
    size_t anchor_count;
    bool failed;
};

static struct place place_of(const struct builder *b, const yaml_mark_t *m)
{
    return (struct place){ b->file, (unsigned)m->line + 1, (unsigned)m->column + 1 };
}

#define FAIL(b, place, ...) ((b)->failed = true, report_at((b)->loader->report, (place), __VA_ARGS__))

static struct node *node_new(struct builder *b, enum node_kind kind, const yaml_mark_t *mark)
{
    struct node *n = arena_alloc(b->loader->arena, sizeof *n);
    struct place p = place_of(b, mark);
    if (n == NULL) {
        FAIL(b, p, "out of memory");
    } else if (++b->loader->nodes > CONFIG_NODES_MAX) {
        FAIL(b, p, "the configuration has more than %d values; it may have as many", CONFIG_NODES_MAX);
    } else {
        *n = (struct node){ .kind = kind, .place = p, .weight = 1 };
    }
    return b->failed ? NULL : n;
}

static struct view text_of(const yaml_char_t *at, size_t len)
{
    return view_of((const char *)at, len);
}

static void name_anchor(struct builder *b, const yaml_char_t *anchor, struct node *n)
{
    if (anchor == NULL) return;
    if (b->anchor_count == CONFIG_ANCHORS_MAX) {
        FAIL(b, n->place, "more than %d anchors; write it out", CONFIG_ANCHORS_MAX);
        return;
    }
    struct view name = arena_copy(b->loader->arena, view_of_str((const char *)anchor));
    b->anchors[b->anchor_count++] = (struct anchor){ name, n };
}

static const struct node *member_named(const struct node *map, struct view key)
{
    for (const struct node *m = map->first; m != NULL; m = m->next)
        if (view_equal(m->key->text, key)) return m;
    return NULL;
}

void node_add(struct node *to, struct node *n)
{
    n->next = NULL;
    if (to->last != NULL)
        to->last->next = n;
    else
        to->first = n;
    to->last = n;
    to->count++;
    to->weight += n->weight;
}

static void take_key(struct builder *b, struct node *map, struct node *n)
{
    if (n->kind != NODE_TEXT || n->same != NULL) {
        FAIL(b, n->place, "a key is a word; this is %s", node_kind_name(n));
        return;
    }
    const struct node *before = map->count < CONFIG_MEMBERS_MAX ? member_named(map, n->text) : NULL;
    if (before != NULL) {
        struct place p = before->key->place;
        /* Not fatal: what else is wrong is told in the same go. */
        report_at(b->loader->report, n->place, "\"%.80s\" is here twice; it was set in line %u, keep one", n->text.at,
                  p.line);
    } else if (map->count >= CONFIG_MEMBERS_MAX) {
        FAIL(b, n->place, "more than %d settings in one map", CONFIG_MEMBERS_MAX);
    }
    b->key[b->depth - 1] = n;
}

/* A finished node goes where it belongs: to the list or map that is open, or it is the document. */
static void place_node(struct builder *b, struct node *n)
{
    if (b->depth == 0) {
        if (b->root != NULL) FAIL(b, n->place, "a second document; a file holds one");
        b->root = n;
        return;
    }
    struct node *open = b->open[b->depth - 1];
    if (open->kind == NODE_MAP && b->key[b->depth - 1] == NULL) {
        take_key(b, open, n);
        return;
    }
    n->key = b->key[b->depth - 1];
    b->key[b->depth - 1] = NULL;
    node_add(open, n);
}

static bool value_comes(const struct builder *b)
{
    return b->depth == 0 || b->open[b->depth - 1]->kind == NODE_LIST || b->key[b->depth - 1] != NULL;
}

static void on_text(struct builder *b, const yaml_event_t *e)
{
    struct node *n = node_new(b, NODE_TEXT, &e->start_mark);
    if (n == NULL) return;
    struct view text = text_of(e->data.scalar.value, e->data.scalar.length);
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (e->data.scalar.tag != NULL) FAIL(b, n->place, "a tag (!...); weir uses none, remove it");
    if (text.len > 0 && memchr(text.at, '\0', text.len) != NULL) FAIL(b, n->place, "a NUL in a text");
    n->text = value_comes(b) ? environment_expand(b->loader, n->place, text) : arena_copy(b->loader->arena, text);
    if (n->text.at == NULL) b->failed = true;
    if (b->failed) return;
    name_anchor(b, e->data.scalar.anchor, n);
    place_node(b, n);
}

static void on_open(struct builder *b, enum node_kind kind, const yaml_event_t *e, const yaml_char_t *anchor)
{
    struct node *n = node_new(b, kind, &e->start_mark);
    if (n == NULL) return;
    if (b->depth == CONFIG_DEPTH_MAX) {
        FAIL(b, n->place, "nested more than %d deep", CONFIG_DEPTH_MAX);
        return;
    }
    if (!value_comes(b)) {
        FAIL(b, n->place, "a key is a word; this is %s", node_kind_name(n));
        return;
    }
    name_anchor(b, anchor, n);
    b->open[b->depth] = n;
    b->key[b->depth++] = NULL;
}

static void on_close(struct builder *b)
{
    place_node(b, b->open[--b->depth]);
}

static bool is_open(const struct builder *b, const struct node *n)
{
    for (size_t i = 0; i < b->depth; i++)
        if (b->open[i] == n) return true;
    return false;
}

/* An alias shares what it names, yet counts as a copy: so neither memory nor reading time multiply unseen. */
static void on_alias(struct builder *b, const yaml_event_t *e)
{
    struct view name = view_of_str((const char *)e->data.alias.anchor);
    struct node *n = node_new(b, NODE_TEXT, &e->start_mark);
    if (n == NULL) return;
    for (size_t i = b->anchor_count; i > 0 && n->same == NULL; i--) /* the latest of a name */
        if (view_equal(b->anchors[i - 1].name, name)) n->same = b->anchors[i - 1].node;
    if (n->same == NULL) {
        FAIL(b, n->place, "*%.80s names no anchor; &%.80s must stand before it", name.at, name.at);
        return;
    }
    if (is_open(b, n->same)) {
        FAIL(b, n->place, "*%.80s stands inside what it names", name.at);
        return;
    }
    n->kind = n->same->kind;
    n->weight = n->same->weight;
    b->loader->nodes += n->weight;
    if (b->loader->nodes > CONFIG_NODES_MAX) {
        FAIL(b, n->place, "with its aliases written out the configuration has more than %d values", CONFIG_NODES_MAX);
        return;
    }
    place_node(b, n);
}

static void on_event(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT: on_text(b, e); break;
    case YAML_SEQUENCE_START_EVENT: on_open(b, NODE_LIST, e, e->data.sequence_start.anchor); break;
    case YAML_MAPPING_START_EVENT: on_open(b, NODE_MAP, e, e->data.mapping_start.anchor); break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: on_close(b); break;
    case YAML_ALIAS_EVENT: on_alias(b, e); break;
    default: break;
    }
}

static void say_syntax_error(struct builder *b, const yaml_parser_t *p)
{
    struct place at = place_of(b, &p->problem_mark);
    const char *problem = p->problem != NULL ? p->problem : "not YAML";
    const char *context = p->context != NULL ? p->context : "";
    const char *hint = "see the line and the one before it";
    if (strstr(problem, "cannot start any token") != NULL)
        hint = "indentation is made of spaces, and a text that begins with @, `, % or a tab needs quotes";
    else if (strstr(context, "flow") != NULL)
        hint = "inside {...} and [...] a text with any of {}[], needs quotes, ${NAME} too";
    FAIL(b, at, "%s%s%s; %s", problem, context[0] != '\0' ? " " : "", context, hint);
}

static void parse_events(struct builder *b, yaml_parser_t *p)
{
    for (bool ended = false; !ended && !b->failed;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e)) {
            say_syntax_error(b, p);
            return;
        }
        on_event(b, &e);
        ended = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
}

struct node *config_parse(struct config_loader *l, const char *file, struct view text)
{
    struct builder *b = calloc(1, sizeof *b);
    yaml_parser_t parser;
    struct node *root = NULL;
    if (b == NULL || !yaml_parser_initialize(&parser)) {
        report_at(l->report, (struct place){ .file = file }, "out of memory");
        free(b);
        return NULL;
    }
    b->loader = l;
    b->file = file;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.at, text.len);
    parse_events(b, &parser);
    yaml_parser_delete(&parser);
    if (!b->failed) {
        yaml_mark_t top = { 0, 0, 0 };
        bool nothing = b->root == NULL || node_is_empty(b->root);
        root = nothing ? node_new(b, NODE_MAP, &top) : b->root;
    }
    if (root != NULL && root->kind != NODE_MAP) {
        report_at(l->report, root->place, "%s; a configuration is a map: \"name: value\" in each line",
                  node_kind_name(root));
        root = NULL;
    }
    free(b);
    return root;
}
