#include "cache/key.h"

#include "cache/key_rules.h"
#include "headers/list.h"
#include "headers/target.h"

#include <xxhash.h>

enum { VARIANT_MEMBERS_MAX = 64, WEIGHT_ONE = 1000 };

/* A text that grows in the caller's buffer; what does not fit marks it full, and a full text is never used. */
struct text {
    char *at;
    size_t len, cap;
    bool full;
};

static struct text text_in(char *to, size_t cap, size_t limit)
{
    return (struct text){ to, 0, cap < limit ? cap : limit, false };
}

static void text_add(struct text *t, struct view v)
{
    if (v.len > t->cap - t->len) {
        t->full = true;
        return;
    }
    if (v.len > 0) memcpy(t->at + t->len, v.at, v.len);
    t->len += v.len;
}

static void text_add_lower(struct text *t, struct view v)
{
    size_t from = t->len;
    text_add(t, v);
    for (size_t i = from; i < t->len; i++) {
        char c = t->at[i];
        if (c >= 'A' && c <= 'Z') t->at[i] = (char)(c | 0x20); /* ascii_lower, without a call for each byte of a hit */
    }
}

/* ---- the cache key */

/* The target URI as received nearly always is its own normal form: only an escape can be spelled in two ways. */
static void text_add_path(struct text *t, struct view path_query)
{
    if (path_query.len == 0) path_query = VIEW("/"); /* RFC 9110 §4.2.3 */
    if (memchr(path_query.at, '%', path_query.len) == NULL) {
        text_add(t, path_query);
        return;
    }
    int len = path_normalise(path_query, t->at + t->len, t->cap - t->len);
    if (len < 0) {
        t->full = true;
    } else {
        t->len += (size_t)len;
    }
}

/* What POST is answered with is stored for GET, or not at all (RFC 9110 §9.3.3); HEAD reads what GET stored. */
static struct view key_method(const struct request_head *r)
{
    bool shares_get = r->method == METHOD_GET || r->method == METHOD_HEAD || r->method == METHOD_POST;
    return shares_get ? VIEW("GET") : r->method_name;
}

void key_hash(struct view text, uint64_t hash[2])
{
    XXH128_hash_t h = XXH3_128bits(text.at, text.len);
    hash[0] = h.low64;
    hash[1] = h.high64;
}

static bool key_finish(const struct text *t, struct key *out)
{
    if (t->full) return false;
    out->text = view_of(t->at, t->len);
    key_hash(out->text, out->hash);
    return true;
}

/* What the client's Connection takes off on the way never reaches the origin: it counts as absent. Host is made anew. */
static bool is_taken_off(struct field_section request, struct view name)
{
    return !view_equal_nocase(name, VIEW("Host")) && field_named_by_connection(request, name);
}

/* Fields and cookies stand behind the URI, each in a line of its own: "name:value", or "name" for what is not there. No
 * value holds a line end, so no request can write another's key. */
static void text_add_chosen(struct text *t, const struct request_head *r, const struct key_rules *k)
{
    for (size_t i = 0; i < k->fields.count; i++) {
        size_t at = field_find(r->fields, 0, k->fields.at[i]);
        text_add(t, VIEW("\n"));
        text_add(t, k->fields.at[i]);
        if (is_taken_off(r->fields, k->fields.at[i])) continue;
        for (; at < r->fields.count; at = field_find(r->fields, at + 1, k->fields.at[i])) {
            text_add(t, VIEW(":"));
            text_add(t, r->fields.lines[at].value);
        }
    }
    for (size_t i = 0; i < k->cookies.count; i++) {
        struct view value;
        text_add(t, VIEW("\ncookie "));
        text_add(t, k->cookies.at[i]);
        if (is_taken_off(r->fields, VIEW("Cookie")) || !key_cookie(r->fields, k->cookies.at[i], &value)) continue;
        text_add(t, VIEW("="));
        text_add(t, value);
    }
}

/* Parameters are chosen by their names in normal form, however a client has spelled them. */
static void text_add_chosen_query(struct text *t, struct view query, const struct key_rules *k)
{
    char normal[KEY_TEXT_MAX];
    int len = path_normalise(query, normal, sizeof normal);
    if (len < 0 || t->full || t->len == t->cap) {
        t->full = true;
        return;
    }
    size_t mark = t->len + 1; /* behind the "?" */
    len = key_query(view_of(normal, (size_t)len), k, t->at + mark, t->cap - mark);
    if (len < 0) t->full = true;
    if (len <= 0) return;
    t->at[t->len] = '?';
    t->len = mark + (size_t)len;
}

static void text_add_by_rules(struct text *t, const struct request_head *r, const struct key_rules *k)
{
    bool rules_for_query = k->sort_query || k->keep_only || k->drop.count > 0;
    text_add(t, k->host.len > 0 ? k->host : r->authority);
    text_add_path(t, rules_for_query && r->has_query ? r->path : r->path_query);
    if (rules_for_query && r->has_query) text_add_chosen_query(t, r->query, k);
    text_add_chosen(t, r, k);
}

bool key_from_request(const struct request_head *r, const struct policy *p, char *to, size_t cap, struct key *out)
{
    struct text t = text_in(to, cap, KEY_TEXT_MAX);
    text_add(&t, VIEW("1"));
    text_add(&t, p->version);
    text_add(&t, VIEW("\n"));
    text_add(&t, key_method(r));
    text_add(&t, r->https ? VIEW("\nhttps://") : VIEW("\nhttp://"));
    if (p->key.in_use) {
        text_add_by_rules(&t, r, &p->key);
    } else {
        text_add(&t, r->authority);
        text_add_path(&t, r->path_query);
    }
    return key_finish(&t, out);
}

static void text_add_lines(struct text *t, struct field_section s, struct view name)
{
    size_t first = is_taken_off(s, name) ? s.count : field_find(s, 0, name);
    for (size_t i = first; i < s.count; i = field_find(s, i + 1, name)) {
        if (i != first) text_add(t, VIEW(", "));
        text_add(t, s.lines[i].value);
    }
}

bool key_add_content(struct key *k, char *to, size_t cap, struct field_section fields, struct view content)
{
    struct text t = text_in(to, cap, KEY_TEXT_MAX);
    if (k->text.at == to) {
        t.len = k->text.len;
    } else {
        text_add(&t, k->text);
    }
    /* The metadata that says what the content means, RFC 9110 §8.3 to §8.7. */
    static const struct view describing[] = {
        { "Content-Type", 12 }, { "Content-Encoding", 16 }, { "Content-Language", 16 }, { "Content-Location", 16 }
    };
    for (size_t i = 0; i < sizeof describing / sizeof *describing; i++) {
        text_add(&t, VIEW("\n"));
        text_add_lines(&t, fields, describing[i]);
    }
    text_add(&t, VIEW("\n"));
    text_add(&t, content);
    return key_finish(&t, k);
}

struct view key_uri(const struct key *k)
{
    size_t version_end = view_find(k->text, 0, '\n');
    size_t method_end = view_find(k->text, version_end + 1, '\n');
    if (method_end >= k->text.len) return view_of(k->text.at, 0);
    struct view rest = view_after(k->text, method_end + 1);
    return view_first(rest, view_find(rest, 0, '\n'));
}

/* ---- the fields that Vary nominates */

static const struct vary_rule *vary_rule_of(const struct policy *p, struct view name)
{
    for (size_t i = 0; i < p->vary_rule_count; i++) {
        if (view_equal_nocase(p->vary_rules[i].name, name)) return &p->vary_rules[i];
    }
    return NULL;
}

static enum vary_handling vary_handling_of(const struct policy *p, struct view name)
{
    const struct vary_rule *rule = vary_rule_of(p, name);
    return rule != NULL ? rule->handling : VARY_NORMALISE;
}

static int view_order_nocase(struct view a, struct view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < shorter; i++) {
        int difference = (unsigned char)ascii_lower(a.at[i]) - (unsigned char)ascii_lower(b.at[i]);
        if (difference != 0) return difference;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static struct view names_next(struct view *rest)
{
    size_t comma = view_find(*rest, 0, ',');
    struct view name = view_first(*rest, comma);
    *rest = view_after(*rest, comma < rest->len ? comma + 1 : comma);
    return name;
}

/* Puts `name` where it belongs among the sorted names, unless it is there. */
static bool names_insert(char *to, size_t cap, size_t *len, struct view name)
{
    struct view rest = view_of(to, *len);
    size_t at = 0;
    while (rest.len > 0) {
        struct view here = names_next(&rest);
        int order = view_order_nocase(name, here);
        if (order == 0) return true;
        if (order < 0) break;
        at = (size_t)(here.at - to) + here.len + 1;
    }
    bool last = at > *len || *len == 0;
    if (name.len + 1 > cap - *len) return false;
    if (last) {
        if (*len > 0) to[(*len)++] = ',';
        at = *len;
    } else {
        memmove(to + at + name.len + 1, to + at, *len - at);
        to[at + name.len] = ',';
        (*len)++;
    }
    for (size_t i = 0; i < name.len; i++) to[at + i] = ascii_lower(name.at[i]);
    *len += name.len;
    return true;
}

/* "*", and what is not a field name, nominate something that cannot be looked up; so do the fields that tell the origin the
 * client's address, since weir makes them: what the client said in them is not what the origin chose by. */
static bool nominates_what_is_unknown(struct view name)
{
    enum field_id id = field_id_of(name);
    return view_equal(name, VIEW("*")) || !view_is_token(name) || id == FIELD_FORWARDED || id == FIELD_X_FORWARDED_FOR;
}

enum vary_kind vary_names(struct field_section response, const struct policy *p, char *to, size_t cap, struct view *out)
{
    size_t len = 0;
    struct list_walk walk = list_of(response, FIELD_VARY);
    struct view name;

    if (cap > VARY_NAMES_MAX) cap = VARY_NAMES_MAX;
    while (list_walk_next(&walk, &name)) {
        enum vary_handling handling = vary_handling_of(p, name);
        if (handling == VARY_IGNORE) continue;
        if (nominates_what_is_unknown(name) || handling == VARY_BYPASS || !names_insert(to, cap, &len, name)) {
            *out = view_of(to, 0);
            return VARY_ANY;
        }
    }
    *out = view_of(to, len);
    return len > 0 ? VARY_FIELDS : VARY_NONE;
}

/* ---- the variant: the values of those fields, in one spelling for each meaning */

/* One nominated field of the request. */
struct nominated {
    struct field_section section;
    enum field_id id;
    struct view name;
    const struct vary_rule *rule; /* NULL: none */
};

static const struct field *nominated_next(const struct nominated *n, const struct field *line)
{
    const struct field *end = n->section.lines + n->section.count;
    for (line = line == NULL ? n->section.lines : line + 1; line < end; line++) {
        if (line->id != n->id) continue;
        if (n->id != FIELD_OTHER || view_equal_nocase(line->name, n->name)) return line;
    }
    return NULL;
}

static void text_add_raw(struct text *t, const struct nominated *n, bool lower)
{
    const struct field *first = nominated_next(n, NULL);
    for (const struct field *line = first; line != NULL; line = nominated_next(n, line)) {
        if (line != first) text_add(t, VIEW(", "));
        if (lower) {
            text_add_lower(t, view_trim_ows(line->value));
        } else {
            text_add(t, view_trim_ows(line->value));
        }
    }
}

static const struct view *allowed_of(const struct vary_rule *rule, struct view value)
{
    for (size_t i = 0; i < rule->allowed_count; i++) {
        if (view_equal_nocase(rule->allowed[i], value)) return &rule->allowed[i];
    }
    return NULL;
}

/* By what it names: a member without its parameters. */
static bool member_is_left_out(const struct nominated *n, struct view member)
{
    if (n->rule == NULL || n->rule->handling != VARY_ALLOW) return false;
    return allowed_of(n->rule, view_trim_ows(view_first(member, view_find(member, 0, ';')))) == NULL;
}

/* A member of Accept and its kin: "text/html;level=1;q=0.4" (RFC 9110 §12.4.2). */
struct weighted {
    struct view range; /* without the weight */
    int weight;        /* thousandths */
};

/* qvalue; -1 for anything else. */
static int weight_parse(struct view v)
{
    if (v.len < 1 || v.len > 5 || (v.at[0] != '0' && v.at[0] != '1')) return -1;
    if (v.len > 1 && v.at[1] != '.') return -1;
    int weight = (v.at[0] - '0') * WEIGHT_ONE, place = WEIGHT_ONE / 10;
    for (size_t i = 2; i < v.len; i++, place /= 10) {
        if (!is_digit(v.at[i])) return -1;
        weight += (v.at[i] - '0') * place;
    }
    return weight <= WEIGHT_ONE ? weight : -1;
}

/* Cuts what stands before the next ';' outside quotes off *rest. */
static bool parameter_next(struct view *rest, struct view *out)
{
    bool quoted = false;
    size_t i = 0;
    if (rest->len == 0) return false;
    for (; i < rest->len && (quoted || rest->at[i] != ';'); i++) {
        if (rest->at[i] == '"') quoted = !quoted;
        if (quoted && rest->at[i] == '\\' && i + 1 < rest->len) i++;
    }
    *out = view_trim_ows(view_first(*rest, i));
    *rest = view_after(*rest, i < rest->len ? i + 1 : i);
    return true;
}

/* False for what RFC 9110 §12.5 does not define, such as parameters after the weight. */
static bool weighted_parse(struct view member, struct weighted *out)
{
    struct view rest = member, part;
    size_t range_end = 0;
    *out = (struct weighted){ member, WEIGHT_ONE };
    if (view_find(member, 0, ';') == member.len) return true;
    while (parameter_next(&rest, &part)) {
        if (view_starts_with_nocase(part, VIEW("q="))) {
            out->weight = weight_parse(view_after(part, 2));
            out->range = view_first(member, range_end);
            return out->weight >= 0 && rest.len == 0;
        }
        range_end = (size_t)(part.at - member.at) + part.len;
    }
    return true;
}

/* Heavier first. Equal weights keep their order where the order may speak (Accept-Language, Accept), and take that of
 * their names where it does not. */
static bool weighted_before(const struct weighted *a, const struct weighted *b, bool keep_order)
{
    if (a->weight != b->weight) return a->weight > b->weight;
    return !keep_order && view_order_nocase(a->range, b->range) < 0;
}

static int weighted_collect(const struct nominated *n, bool keep_order, struct weighted *out)
{
    struct list_walk walk = list_of(n->section, n->id);
    struct view member;
    int count = 0;
    while (list_walk_next(&walk, &member)) {
        struct weighted one;
        if (count == VARIANT_MEMBERS_MAX || !weighted_parse(member, &one)) return -1;
        if (member_is_left_out(n, member)) continue;
        int at = count++;
        for (; at > 0 && weighted_before(&one, &out[at - 1], keep_order); at--) out[at] = out[at - 1];
        out[at] = one;
    }
    return count;
}

/* The range in lower case, names of its parameters too; their values may mean something by their case. */
static void text_add_range(struct text *t, struct view range)
{
    struct view part;
    if (view_find(range, 0, ';') == range.len) {
        text_add_lower(t, range);
        return;
    }
    for (bool first = true; parameter_next(&range, &part); first = false) {
        size_t name_len = first ? part.len : view_find(part, 0, '=');
        if (!first) text_add(t, VIEW(";"));
        text_add_lower(t, view_first(part, name_len));
        text_add(t, view_after(part, name_len));
    }
}

static void text_add_weight(struct text *t, int weight)
{
    char digits[] = { '.', (char)('0' + weight / 100), (char)('0' + weight / 10 % 10), (char)('0' + weight % 10) };
    size_t len = sizeof digits;
    if (weight == WEIGHT_ONE) return;
    while (len > 1 && digits[len - 1] == '0') len--;
    text_add(t, VIEW(";q=0"));
    if (len > 1) text_add(t, view_of(digits, len));
}

/* @return false when the value is not such a list: nothing was added */
static bool text_add_weighted(struct text *t, const struct nominated *n, bool keep_order, int *members)
{
    struct weighted list[VARIANT_MEMBERS_MAX];
    *members = weighted_collect(n, keep_order, list);
    for (int i = 0; i < *members; i++) {
        if (i > 0) text_add(t, VIEW(", "));
        text_add_range(t, list[i].range);
        text_add_weight(t, list[i].weight);
    }
    return *members >= 0;
}

static void text_add_list(struct text *t, const struct nominated *n, bool lower, int *members)
{
    struct view member;
    *members = 0;
    for (const struct field *line = nominated_next(n, NULL); line != NULL; line = nominated_next(n, line)) {
        struct view rest = line->value;
        while (list_next(&rest, &member)) {
            if (member_is_left_out(n, member)) continue;
            if ((*members)++ > 0) text_add(t, VIEW(", "));
            if (lower) {
                text_add_lower(t, member);
            } else {
                text_add(t, member);
            }
        }
    }
}

/* @return false when the value counts as absent */
static bool text_add_value(struct text *t, const struct nominated *n)
{
    const struct field_traits *traits = field_traits_of(n->id);
    enum vary_handling handling = n->rule != NULL ? n->rule->handling : VARY_NORMALISE;
    bool weighted = n->id == FIELD_ACCEPT || n->id == FIELD_ACCEPT_CHARSET || n->id == FIELD_ACCEPT_ENCODING ||
                    n->id == FIELD_ACCEPT_LANGUAGE;
    bool keep_order = n->id == FIELD_ACCEPT || n->id == FIELD_ACCEPT_LANGUAGE;
    size_t from = t->len;
    int members = 0;

    if (handling == VARY_RAW) {
        text_add_raw(t, n, false);
        return true;
    }
    if (weighted && text_add_weighted(t, n, keep_order, &members)) return handling != VARY_ALLOW || members > 0;
    /* A field that weir does not know may come in several lines, so its commas separate (RFC 9110 §5.3). */
    if (!weighted && (traits->list || (n->id == FIELD_OTHER && n->rule == NULL))) {
        text_add_list(t, n, traits->nocase_value, &members);
        return handling != VARY_ALLOW || members > 0;
    }
    text_add_raw(t, n, traits->nocase_value);
    if (handling != VARY_ALLOW || t->full) return true;
    const struct view *allowed = allowed_of(n->rule, view_of(t->at + from, t->len - from));
    t->len = from;
    if (allowed != NULL) text_add(t, *allowed);
    return allowed != NULL;
}

static void text_add_nominated(struct text *t, const struct nominated *n)
{
    text_add(t, n->name);
    if (nominated_next(n, NULL) != NULL && !is_taken_off(n->section, n->name)) {
        size_t absent = t->len;
        text_add(t, VIEW(":"));
        if (!text_add_value(t, n)) t->len = absent;
    }
    text_add(t, VIEW("\n"));
}

bool variant_from_request(struct view names, struct field_section request, const struct policy *p, char *to, size_t cap,
                          struct variant *out)
{
    struct text t = text_in(to, cap, VARIANT_TEXT_MAX);
    while (names.len > 0) {
        struct view name = names_next(&names);
        struct nominated n = { request, field_id_of(name), name, vary_rule_of(p, name) };
        text_add_nominated(&t, &n);
    }
    if (t.full) return false;
    out->text = view_of(to, t.len);
    out->hash = t.len > 0 ? XXH3_64bits(to, t.len) : 0;
    if (out->hash == 0 && t.len > 0) out->hash = 1; /* 0 says "no Vary" */
    return true;
}
