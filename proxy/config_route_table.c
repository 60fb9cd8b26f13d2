/* `routes:`: each member. */
#include "headers/target.h"
#include "proxy/config_tables.h"
#include "proxy/problem.h"
#include "proxy/route_protection.h"
#include "proxy/upgrade.h"

#include <ctype.h>

enum { PATTERNS_MAX = 64, SEGMENTS_MAX = 32, USERS_FILE_MAX = 1 << 20, UPGRADES_MAX = 16 };

#define AT(member) offsetof(struct route, member)

/* ---- match: "api.example.com/v1/", a list of these, or {host, path, exact} */

struct pattern_list {
    struct route_pattern at[PATTERNS_MAX];
    size_t count;
};

/* NULL, or what would be right. */
static const char *pattern_host(struct config_reader *r, struct view text, struct route_pattern *out)
{
    if (text.len == 0 || view_equal(text, VIEW("*"))) return NULL;
    out->subdomains = view_starts_with(text, VIEW("*."));
    struct view name = view_after(text, out->subdomains ? 2 : 0);
    bool has_port = name.len > 0 && name.at[0] != '[' && view_find(name, 0, ':') < name.len;
    if (view_find(name, 0, '*') < name.len) return "\"*\" only as the first label of a host: *.example.com";
    if (has_port) return "a host without a port: routes look at names only";
    if (!authority_is_valid(name)) return "a host: api.example.com, *.example.com, or none before the /";
    struct view copy = arena_copy(r->arena, name);
    char *at = (char *)(uintptr_t)copy.at; /* ours, just made */
    for (size_t i = 0; at != NULL && i < copy.len; i++) at[i] = ascii_lower(at[i]);
    out->host = copy;
    return copy.at != NULL ? NULL : "less memory";
}

/* Each segment between slashes: no dot segment, no empty one but the last, "*" alone or not at all. */
static const char *check_segments(struct view path, bool exact)
{
    size_t count = 0;
    for (size_t from = 1; from <= path.len; count++) {
        size_t end = view_find(path, from, '/');
        struct view segment = view_of(path.at + from, end - from);
        bool star = !exact && view_find(segment, 0, '*') < segment.len;
        if (segment.len == 0 && end < path.len) return "a path without \"//\"";
        if (view_equal(segment, VIEW(".")) || view_equal(segment, VIEW(".."))) return "a path without . and ..";
        if (star && segment.len > 1) return "\"*\" for one whole segment: /v1/*/items";
        from = end + 1;
    }
    return count <= SEGMENTS_MAX ? NULL : "at most 32 segments";
}

static const char *pattern_path(struct config_reader *r, struct view text, struct route_pattern *out)
{
    static const char right[] = "a path without blanks, ? and #: /v1/items, /static/ for all below it, /v1/*/items";
    if (text.len == 0) text = VIEW("/");
    if (text.at[0] != '/' || text.len > 4096) return right;
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] == '?' || text.at[i] == '#' || text.at[i] == 0x7f) return right;
    char *normal = arena_alloc(r->arena, text.len + 1);
    int len = normal != NULL ? path_normalise(text, normal, text.len) : -1;
    if (len < 0) return right;
    out->path = view_of(normal, (size_t)len);
    return check_segments(out->path, out->exact);
}

static void add_pattern(struct config_reader *r, const struct node *n, struct view host, struct view path, bool exact,
                        struct pattern_list *list)
{
    struct route_pattern p = { .place = n->place, .exact = exact };
    char text[512];
    const char *right = list->count < PATTERNS_MAX ? pattern_host(r, host, &p) : "at most 64 patterns";
    if (right == NULL) right = pattern_path(r, path, &p);
    snprintf(text, sizeof text, "%s%.*s%.*s", exact ? "exact " : "", (int)host.len, host.at, (int)path.len,
             path.len > 0 ? path.at : "");
    p.text = arena_str(r->arena, text);
    if (right != NULL || p.text == NULL)
        report_at(r->report, n->place, "match: \"%.80s\"; it takes %s", text, right);
    else
        list->at[list->count++] = p;
}

static void add_text_pattern(struct config_reader *r, const struct node *n, struct pattern_list *list)
{
    struct view text;
    if (!reader_text(r, n, "HOST/PATH: api.example.com/v1/", &text)) return;
    size_t slash = view_find(text, 0, '/');
    add_pattern(r, n, view_first(text, slash), view_after(text, slash), false, list);
}

struct match_map {
    struct views hosts, paths, exact;
};

static const struct setting match_rows[] = {
    { "host", SETTING_VIEWS, offsetof(struct match_map, hosts), .most = PATTERNS_MAX,
      .help = "names, *.example.com for all below one; none: any" },
    { "path", SETTING_VIEWS, offsetof(struct match_map, paths), .most = PATTERNS_MAX,
      .help = "/v1/items, /static/ for it and all below, * for one segment" },
    { "exact", SETTING_VIEWS, offsetof(struct match_map, exact), .most = PATTERNS_MAX,
      .help = "paths taken literally: \"/\" is the home page alone" },
};
static const struct schema match_schema = { SCHEMA_ROWS(match_rows), NULL, NULL };

static void add_map_patterns(struct config_reader *r, const struct node *n, struct pattern_list *list)
{
    static const struct view any_host = { "", 0 }, all = { "/", 1 };
    struct match_map m = { 0 };
    schema_read(r, &match_schema, n, &m);
    if (m.hosts.count == 0) m.hosts = (struct views){ &any_host, 1 };
    if (m.paths.count == 0 && m.exact.count == 0) m.paths = (struct views){ &all, 1 };
    for (size_t i = 0; i < m.hosts.count; i++) {
        for (size_t j = 0; j < m.paths.count; j++) add_pattern(r, n, m.hosts.at[i], m.paths.at[j], false, list);
        for (size_t j = 0; j < m.exact.count; j++) add_pattern(r, n, m.hosts.at[i], m.exact.at[j], true, list);
    }
}

static void match_read(struct config_reader *r, const struct node *n, void *to)
{
    struct route *route = (struct route *)(void *)((char *)to - AT(patterns));
    struct pattern_list list;
    const struct node *real = node_of(n);
    list.count = 0;
    if (real->kind == NODE_MAP) {
        add_map_patterns(r, n, &list);
    } else if (real->kind == NODE_LIST) {
        for (const struct node *m = real->first; m != NULL; m = m->next) add_text_pattern(r, m, &list);
        if (real->count == 0) report_at(r->report, n->place, "match: an empty list; leave it out to match everything");
    } else {
        add_text_pattern(r, n, &list);
    }
    struct route_pattern *patterns = reader_alloc(r, (list.count + 1) * sizeof *patterns);
    if (patterns == NULL) return;
    memcpy(patterns, list.at, list.count * sizeof *patterns);
    route->patterns = patterns;
    route->pattern_count = list.count;
}

static void match_write(struct text_out *o, const void *from)
{
    const struct route *route = (const struct route *)(const void *)((const char *)from - AT(patterns));
    out_format(o, "[");
    for (size_t i = 0; i < route->pattern_count; i++) {
        out_format(o, "%s", i > 0 ? ", " : "");
        out_text(o, view_of_str(route->patterns[i].text));
    }
    out_format(o, "]");
}

/* ---- origin: a name, or a URL; what it means is known when all origins are */

static void origin_read(struct config_reader *r, const struct node *n, void *to)
{
    struct route *route = (struct route *)(void *)((char *)to - AT(origin_name));
    struct view text;
    if (!reader_text(r, n, "the name of an origin, or a URL", &text)) return;
    route->origin_name = text.at;
    route->origin_place = n->place;
}

static void origin_write(struct text_out *o, const void *from)
{
    const char *name;
    memcpy(&name, from, sizeof name);
    out_text(o, name != NULL ? view_of_str(name) : VIEW("default"));
}

/* ---- request and response: {set: {...}, add: {...}, remove: [...]} */

struct edit_list {
    struct field_edit at[ROUTE_EDITS_MAX];
    size_t count;
    bool of_request;
};

static void add_edit(struct config_reader *r, const struct node *n, enum field_edit_kind kind, struct view name,
                     struct view value, struct edit_list *list)
{
    const char *refusal = check_field_name(name);
    if (refusal == NULL) refusal = route_edit_refusal(name, list->of_request);
    if (refusal != NULL) {
        report_at(r->report, n->place, "\"%.80s\" cannot be changed; it takes %s", name.at, refusal);
    } else if (check_field_value(value) != NULL || (kind != FIELD_EDIT_REMOVE && value.len == 0)) {
        report_at(r->report, n->place, "%.80s: \"%.80s\"; it takes %s", name.at, value.at,
                  check_field_value(VIEW("\n")));
    } else if (list->count == ROUTE_EDITS_MAX) {
        report_at(r->report, n->place, "more than %d changes to fields", ROUTE_EDITS_MAX);
    } else {
        list->at[list->count++] = (struct field_edit){ kind, field_id_of(name), name, value };
    }
}

static void add_values(struct config_reader *r, const struct node *n, enum field_edit_kind kind, struct edit_list *list)
{
    struct view value;
    if (node_of(n)->kind == NODE_LIST && kind == FIELD_EDIT_ADD) {
        for (const struct node *m = node_of(n)->first; m != NULL; m = m->next)
            if (reader_text(r, m, "a field value", &value)) add_edit(r, m, kind, n->key->text, value, list);
    } else if (reader_secret(r, n, &value)) {
        add_edit(r, n, kind, n->key->text, value, list);
    }
}

static void read_edits_of(struct config_reader *r, const struct node *n, enum field_edit_kind kind,
                          struct edit_list *list)
{
    static const struct setting names = { .key = "remove", .most = ROUTE_EDITS_MAX };
    struct views removed;
    const struct node *real = node_of(n);
    if (kind == FIELD_EDIT_REMOVE) {
        if (!reader_views(r, &names, n, &removed)) return;
        for (size_t i = 0; i < removed.count; i++) add_edit(r, n, kind, removed.at[i], VIEW(""), list);
    } else if (real->kind != NODE_MAP) {
        report_at(r->report, n->place, "%s is %s; it takes a map: {X-Name: value}", n->key->text.at, node_kind_name(n));
    } else {
        for (const struct node *m = real->first; m != NULL; m = m->next) add_values(r, m, kind, list);
    }
}

static const char *const edit_names[] = {
    [FIELD_EDIT_REMOVE] = "remove", [FIELD_EDIT_SET] = "set", [FIELD_EDIT_ADD] = "add"
};

static void read_edits(struct config_reader *r, const struct node *n, bool of_request, struct field_edits *to)
{
    struct edit_list list;
    const struct node *real = node_of(n);
    list.count = 0;
    list.of_request = of_request;
    if (real->kind != NODE_MAP) {
        report_at(r->report, n->place, "%s is %s; it takes {set: {...}, add: {...}, remove: [...]}", n->key->text.at,
                  node_kind_name(n));
        return;
    }
    for (const struct node *m = real->first; m != NULL; m = m->next) {
        const char *near = report_suggest(m->key->text, edit_names, 3);
        if (near == NULL || !view_equal(m->key->text, view_of_str(near)))
            report_at(r->report, m->key->place, "unknown setting \"%.80s\"; there are set, add, remove",
                      m->key->text.at);
    }
    for (int kind = FIELD_EDIT_REMOVE; kind <= FIELD_EDIT_ADD; kind++)
        for (const struct node *m = real->first; m != NULL; m = m->next)
            if (view_equal(m->key->text, view_of_str(edit_names[kind])))
                read_edits_of(r, m, (enum field_edit_kind)kind, &list);
    struct field_edit *edits = reader_alloc(r, (list.count + 1) * sizeof *edits);
    if (edits == NULL) return;
    memcpy(edits, list.at, list.count * sizeof *edits);
    *to = (struct field_edits){ edits, list.count };
}

static void request_edits_read(struct config_reader *r, const struct node *n, void *to)
{
    read_edits(r, n, true, to);
}

static void response_edits_read(struct config_reader *r, const struct node *n, void *to)
{
    read_edits(r, n, false, to);
}

/* A value that is sent to prove something is nobody else's. */
static bool is_secret(struct view name)
{
    static const char *const words[] = { "auth", "cookie", "key", "token", "secret", "password" };
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (size_t i = 0; i + strlen(words[w]) <= name.len; i++)
            if (view_starts_with_nocase(view_after(name, i), view_of_str(words[w]))) return true;
    return false;
}

static void edits_write(struct text_out *o, const void *from)
{
    const struct field_edits *e = from;
    out_format(o, "{");
    for (size_t i = 0; i < e->count; i++) {
        out_format(o, "%s%s ", i > 0 ? ", " : "", edit_names[e->at[i].kind]);
        out_text(o, e->at[i].name);
        if (e->at[i].kind == FIELD_EDIT_REMOVE) continue;
        out_format(o, ": ");
        if (is_secret(e->at[i].name))
            out_secret(o, e->at[i].value);
        else
            out_text(o, e->at[i].value);
    }
    out_format(o, "}");
}

/* ---- protect: {users: {name: hash}, users_file: PATH, tokens: [...]} */

static bool is_among(const struct user *users, size_t count, struct view name)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal(users[i].name, name)) return true;
    return false;
}

static void add_user(struct config_reader *r, struct place p, struct view name, struct view hash, struct user *users,
                     size_t *count)
{
    const char *right = check_password_hash(hash);
    if (name.len == 0 || view_find(name, 0, ':') < name.len) right = "a name without a colon";
    if (*count == PROTECTION_USERS_MAX) right = "at most 10000 users";
    if (right == NULL && is_among(users, *count, name)) right = "one password; the name stands before";
    if (right != NULL)
        report_at(r->report, p, "user \"%.80s\": it takes %s", name.at, right);
    else
        users[(*count)++] = (struct user){ name, hash.at };
}

static void read_user_map(struct config_reader *r, const struct node *n, struct protection_rules *rules)
{
    const struct node *map = node_of(n);
    if (map->kind != NODE_MAP || map->count == 0) {
        report_at(r->report, n->place, "users is %s; it takes a map: {alice: \"$6$...\"}", node_kind_name(n));
        return;
    }
    struct user *users = reader_alloc(r, map->count * sizeof *users);
    size_t count = 0;
    if (users == NULL) return;
    for (const struct node *m = map->first; m != NULL; m = m->next) {
        struct view hash;
        if (reader_secret(r, m, &hash)) add_user(r, m->place, m->key->text, hash, users, &count);
    }
    rules->users = users;
    rules->user_count = count;
}

/* "name:hash" in each line, as htpasswd writes them; "#" begins a comment. */
static void read_user_file(struct config_reader *r, const struct node *n, struct protection_rules *rules)
{
    struct view path;
    if (!reader_text(r, n, "the path of a file", &path)) return;
    const char *beside = path_beside(r->arena, node_of(n)->place.file, path.at);
    struct view rest = beside != NULL ? file_read(r->arena, beside, USERS_FILE_MAX) : view_of(NULL, 0);
    size_t lines = 1, count = 0;
    for (size_t i = 0; i < rest.len; i++) lines += rest.at[i] == '\n';
    struct user *users = reader_alloc(r, lines * sizeof *users);
    if (rest.at == NULL || users == NULL) {
        report_at(r->report, n->place, "cannot read %.200s; it takes a file of name:hash in each line", path.at);
        return;
    }
    for (unsigned line = 1; rest.len > 0; line++) {
        size_t end = view_find(rest, 0, '\n');
        struct view text = view_first(rest, end > 0 && rest.at[end - 1] == '\r' ? end - 1 : end);
        size_t colon = view_find(text, 0, ':');
        struct place p = { beside, line, 1 };
        rest = view_after(rest, end + 1);
        if (text.len == 0 || text.at[0] == '#') continue;
        if (colon == text.len)
            report_at(r->report, p, "no colon; it takes name:hash");
        else
            add_user(r, p, arena_copy(r->arena, view_first(text, colon)),
                     arena_copy(r->arena, view_after(text, colon + 1)), users, &count);
    }
    rules->users = users;
    rules->user_count = count;
}

struct protection_file {
    struct protection_rules rules;
    const struct node *users, *users_file;
};

static const char *check_realm(struct view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] < ' ' || v.at[i] > '~' || v.at[i] == '"' || v.at[i] == '\\') return "ASCII without \" and \\";
    return v.len > 0 && v.len <= 64 ? NULL : "1 to 64 characters";
}

#define OF(member) offsetof(struct protection_file, member)
static const struct setting protection_rows[] = {
    { "realm", SETTING_TEXT, OF(rules.realm), .check = check_realm,
      .help = "what browsers show who ask for a password" },
    { "users", SETTING_NODE, OF(users), .example = "{alice: \"$6$...\"}",
      .help = "password hashes as crypt(3) makes them: {alice: \"$6$...\"}" },
    { "users_file", SETTING_NODE, OF(users_file), .example = "users",
      .help = "the same in a file, name:hash in each line" },
    { "tokens", SETTING_VIEWS, OF(rules.tokens), .secret = true, .check = check_secret, .most = 1024,
      .help = "for Authorization: Bearer" },
    { "forward", SETTING_FLAG, OF(rules.forward), .help = "true: the origin hears Authorization too" },
};
static const struct schema protection_schema = { SCHEMA_ROWS(protection_rows), NULL, NULL };

static void protect_read(struct config_reader *r, const struct node *n, void *to)
{
    struct protection_file file = { .rules = { .realm = "restricted" } };
    size_t before = r->report->count;
    if (node_of(n)->kind == NODE_TEXT && view_equal(node_of(n)->text, VIEW("none"))) {
        memset(to, 0, sizeof(struct protection *));
        return;
    }
    schema_read(r, &protection_schema, n, &file);
    if (file.users != NULL) read_user_map(r, file.users, &file.rules);
    if (file.users_file != NULL) read_user_file(r, file.users_file, &file.rules);
    if (file.users != NULL && file.users_file != NULL)
        report_at(r->report, n->place, "both users and users_file; keep one");
    if (r->report->count != before) return;
    if (file.rules.user_count == 0 && file.rules.tokens.count == 0) {
        report_at(r->report, n->place,
                  "protect without users and tokens would let nobody in; it takes users, users_file or tokens");
        return;
    }
    struct protection *p = protection_new(r->arena, &file.rules);
    if (p == NULL) report_at(r->report, n->place, "out of memory");
    memcpy(to, &p, sizeof p);
}

static void protect_write(struct text_out *o, const void *from)
{
    struct protection *p;
    memcpy(&p, from, sizeof p);
    if (p == NULL) {
        out_format(o, "none");
        return;
    }
    const struct protection_rules *rules = protection_rules(p);
    out_format(o, "{realm: \"%s\", users: {", rules->realm);
    for (size_t i = 0; i < rules->user_count; i++) {
        out_format(o, "%s", i > 0 ? ", " : "");
        out_text(o, rules->users[i].name);
        out_format(o, ": ");
        out_secret(o, view_of_str(rules->users[i].hash));
    }
    out_format(o, "}, tokens: [");
    for (size_t i = 0; i < rules->tokens.count; i++) {
        out_format(o, "%s", i > 0 ? ", " : "");
        out_secret(o, rules->tokens.at[i]);
    }
    out_format(o, "], forward: %s}", rules->forward ? "true" : "false");
}

/* ---- the tables */

static const char *check_location(struct view v)
{
    static const char right[] =
        "a path (/new) or a whole URL (https://...); {scheme}, {host}, {path} and {query} stand for the request's";
    static const char *const known[] = { "{scheme}", "{host}", "{path}", "{query}" };
    bool is_path = view_starts_with(v, VIEW("/")) || view_starts_with(v, VIEW("{path}"));
    if (v.len == 0 || v.len > 2048) return right;
    if (!is_path && memmem(v.at, v.len, "://", 3) == NULL) return right; /* "www.example.com" would be a path */
    for (size_t i = 0; i < v.len; i++) {
        bool found = v.at[i] != '{';
        if (v.at[i] <= ' ' || v.at[i] > '~') return right;
        for (size_t k = 0; !found && k < 4; k++) found = view_starts_with(view_after(v, i), view_of_str(known[k]));
        if (!found) return right;
    }
    return NULL;
}

static const struct choice redirect_statuses[] = { { "301", 301 }, { "302", 302 }, { "303", 303 },
                                                   { "307", 307 }, { "308", 308 }, { NULL, 0 } };

static const struct setting redirect_rows[] = {
    { "to", SETTING_TEXT, AT(redirect.to), .unset = "none", .check = check_location,
      .help = "https://www.example.com{path}{query}: also {scheme} and {host}" },
    { "status", SETTING_CHOICE, AT(redirect.status), .choices = redirect_statuses,
      .help = "301, 302, 303, 307 or 308" },
};

static const char *redirect_contradicts(const void *base)
{
    return ((const struct route *)base)->redirect.to == NULL ? "where to? It takes a path or a URL in `to`" : NULL;
}

static const struct schema redirect_schema = { SCHEMA_ROWS(redirect_rows), "to", redirect_contradicts };

static const struct setting answer_rows[] = {
    { "status", SETTING_INT, AT(answer.status), .unset = "none", .least = 200, .most = 599, .help = "200 to 599" },
    { "content_type", SETTING_TEXT, AT(answer.content_type), .check = check_field_value, .help = "of the content" },
    { "content", SETTING_VIEW, AT(answer.content), .unset = "none", .help = "what is said" },
};

static const char *answer_contradicts(const void *base)
{
    return ((const struct route *)base)->answer.status <= 0 ? "with which status? It takes 200 to 599 in `status`"
                                                            : NULL;
}

static const struct schema answer_schema = { SCHEMA_ROWS(answer_rows), "status", answer_contradicts };

static const struct setting route_rows[] = {
    { "name", SETTING_TEXT, AT(name), .unset = "auto", .check = check_word,
      .help = "what explain and the log call it" },
    { "match", SETTING_OWN, AT(patterns), .read = match_read, .write = match_write,
      .help = "HOST/PATH, a list of these, or {host, path, exact}; without it: everything" },
    { "origin", SETTING_OWN, AT(origin_name), .read = origin_read, .write = origin_write,
      .help = "a name among origins, or a URL" },
    { "cache", SETTING_GROUP, AT(policy), .group = &cache_schema, .help = "what differs from the outer cache:" },
    { "request", SETTING_OWN, AT(request), .read = request_edits_read, .write = edits_write,
      .help = "{set: {...}, add: {...}, remove: [...]}: fields on their way to the origin" },
    { "response", SETTING_OWN, AT(response), .read = response_edits_read, .write = edits_write,
      .help = "the same on their way to the client" },
    { "redirect", SETTING_GROUP, 0, .group = &redirect_schema, .help = "no origin: a redirect" },
    { "answer", SETTING_GROUP, 0, .group = &answer_schema, .help = "no origin: always the same answer" },
    { "protect", SETTING_OWN, AT(protection), .read = protect_read, .write = protect_write,
      .help = "{users: {...}, users_file: PATH, tokens: [...], realm, forward}" },
    { "request_limit", SETTING_BYTES, AT(request_limit_bytes), .unset = "none",
      .help = "a longer request content is refused with 413" },
    { "upgrade", SETTING_VIEWS, AT(upgrade), .check = upgrade_check_protocol, .most = UPGRADES_MAX,
      .help = "protocols that a request may switch to: [websocket]" },
    { "tunnel_idle_timeout", SETTING_MILLISECONDS, AT(tunnel_idle_ms), .least = 1000,
      .help = "of a connection that has switched, without a byte either way" },
    { "retry_post", SETTING_FLAG, AT(retry_post), .help = "true: a POST with Idempotency-Key may be tried again" },
};
const struct schema route_schema = { SCHEMA_ROWS(route_rows), NULL, NULL };

void route_defaults(const struct policy *policy, struct route *out)
{
    *out = (struct route){
        .policy = *policy,
        .redirect = { .status = 308 },
        .answer = { .status = -1, .content_type = "text/plain; charset=utf-8" },
        .request_limit_bytes = -1,
        .tunnel_idle_ms = (int64_t)3600 * 1000,
    };
}
