/* `cache:`, for every route and for one. */
#include "proxy/config_tables.h"

#include <stdlib.h>

enum { RULES_MAX = 256 /* names in a list */ };

#define AT(member) offsetof(struct policy, member)

/* ---- freshness.status: {404: 10s, 5xx: 1s} */

/* "404" or "4xx". @return 0: neither */
static int status_or_class(struct view key)
{
    int64_t status;
    if (key.len != 3 || key.at[0] < '1' || key.at[0] > '5') return 0;
    if (view_equal_nocase(view_after(key, 1), VIEW("xx"))) return key.at[0] - '0';
    return view_parse_decimal(key, 599, &status) && status >= 200 ? (int)status : 0;
}

static void status_read(struct config_reader *r, const struct node *n, void *to)
{
    struct policy *p = (struct policy *)(void *)((char *)to - AT(status_lifetimes));
    const struct node *map = node_of(n);
    if (map->kind != NODE_MAP) {
        report_at(r->report, n->place, "status is %s; it takes a map: {404: 10s, 5xx: 1s}", node_kind_name(n));
        return;
    }
    p->status_lifetime_count = 0;
    for (const struct node *m = map->first; m != NULL; m = m->next) {
        struct status_lifetime rule = { .status = status_or_class(m->key->text) };
        if (rule.status == 0) {
            report_at(r->report, m->key->place,
                      "status: \"%.80s\"; it takes a status from 200 to 599 or a class: 404, 5xx", m->key->text.at);
        } else if (p->status_lifetime_count == POLICY_STATUS_MAX) {
            report_at(r->report, m->key->place, "more than %d rules for statuses; use classes: 4xx", POLICY_STATUS_MAX);
            return;
        } else if (reader_seconds(r, m, m->key->text.at, &rule.lifetime_s)) {
            p->status_lifetimes[p->status_lifetime_count++] = rule;
        }
    }
}

static void status_write(struct text_out *o, const void *from)
{
    const struct policy *p = (const struct policy *)(const void *)((const char *)from - AT(status_lifetimes));
    out_format(o, "{");
    for (size_t i = 0; i < p->status_lifetime_count; i++) {
        const struct status_lifetime *rule = &p->status_lifetimes[i];
        out_format(o, "%s%d%s: ", i > 0 ? ", " : "", rule->status, rule->status < 10 ? "xx" : "");
        out_milliseconds(o, rule->lifetime_s * 1000);
    }
    out_format(o, "}");
}

/* ---- heuristic: 10% or off */

static void heuristic_read(struct config_reader *r, const struct node *n, void *to)
{
    struct policy *p = (struct policy *)(void *)((char *)to - AT(heuristic_percent));
    struct view text;
    int64_t percent = 0;
    if (!reader_text(r, n, "a percentage or off", &text)) return;
    bool off = view_equal(text, VIEW("off"));
    if (!off && (value_percent(text, &percent) != NULL || percent > 100)) {
        report_at(r->report, n->place, "heuristic: \"%.80s\"; it takes 0%% to 100%%, or off", text.at);
        return;
    }
    p->heuristics = !off;
    if (!off) p->heuristic_percent = (int)percent;
}

static void heuristic_write(struct text_out *o, const void *from)
{
    const struct policy *p = (const struct policy *)(const void *)((const char *)from - AT(heuristic_percent));
    if (p->heuristics)
        out_format(o, "%d%%", p->heuristic_percent);
    else
        out_format(o, "off");
}

/* ---- methods: those that are cached; kept as those that are not */

static const enum method cacheable[] = { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_QUERY };
static const char *const cacheable_names[] = { "GET", "HEAD", "POST", "QUERY" };
enum { CACHEABLE = sizeof cacheable / sizeof *cacheable };

static void methods_read(struct config_reader *r, const struct node *n, void *to)
{
    static const struct setting row = { .key = "methods", .check = check_method, .most = RULES_MAX };
    struct views names;
    unsigned uncached = 0;
    if (!reader_views(r, &row, n, &names)) return;
    for (size_t i = 0; i < CACHEABLE; i++) uncached |= 1u << cacheable[i];
    for (size_t i = 0; i < names.count; i++) uncached &= ~(1u << method_of(names.at[i]));
    memcpy(to, &uncached, sizeof uncached);
}

static void methods_write(struct text_out *o, const void *from)
{
    unsigned uncached;
    bool first = true;
    memcpy(&uncached, from, sizeof uncached);
    out_format(o, "[");
    for (size_t i = 0; i < CACHEABLE; i++) {
        if ((uncached & 1u << cacheable[i]) != 0) continue;
        out_format(o, "%s%s", first ? "" : ", ", cacheable_names[i]);
        first = false;
    }
    out_format(o, "]");
}

/* ---- vary.fields: {Accept-Encoding: [gzip, br], User-Agent: ignore} */

static const struct choice handlings[] = { { "normalise", VARY_NORMALISE },
                                           { "raw", VARY_RAW },
                                           { "ignore", VARY_IGNORE },
                                           { "bypass", VARY_BYPASS },
                                           { NULL, 0 } };

static bool read_handling(struct config_reader *r, const struct node *n, struct vary_rule *rule)
{
    static const struct setting list = { .key = "vary.fields", .most = RULES_MAX, .lower = true };
    struct views allowed;
    if (node_of(n)->kind == NODE_LIST) {
        if (!reader_views(r, &list, n, &allowed)) return false;
        rule->handling = VARY_ALLOW;
        rule->allowed = allowed.at;
        rule->allowed_count = allowed.count;
        return true;
    }
    struct view text;
    if (!reader_text(r, n, "normalise, raw, ignore, bypass or a list of values", &text)) return false;
    for (const struct choice *c = handlings; c->name != NULL; c++) {
        if (!view_equal(text, view_of_str(c->name))) continue;
        rule->handling = (enum vary_handling)c->value;
        return true;
    }
    report_at(r->report, n->place, "%.80s: \"%.80s\"; it takes normalise, raw, ignore, bypass or a list of values",
              n->key->text.at, text.at);
    return false;
}

static void vary_read(struct config_reader *r, const struct node *n, void *to)
{
    static const struct setting name_row = { .key = "vary.fields", .check = check_field_name, .lower = true };
    struct policy *p = (struct policy *)(void *)((char *)to - AT(vary_rules));
    const struct node *map = node_of(n);
    if (map->kind != NODE_MAP || map->count > RULES_MAX) {
        report_at(r->report, n->place, "fields takes a map of at most %d fields: {User-Agent: ignore}", RULES_MAX);
        return;
    }
    struct vary_rule *rules = reader_alloc(r, (map->count + 1) * sizeof *rules);
    size_t count = 0;
    if (rules == NULL) return;
    for (const struct node *m = map->first; m != NULL; m = m->next) {
        struct views name;
        if (!reader_views(r, &name_row, m->key, &name)) continue;
        rules[count].name = name.at[0];
        if (read_handling(r, m, &rules[count])) count++;
    }
    p->vary_rules = rules;
    p->vary_rule_count = count;
}

static void vary_write(struct text_out *o, const void *from)
{
    const struct policy *p = (const struct policy *)(const void *)((const char *)from - AT(vary_rules));
    out_format(o, "{");
    for (size_t i = 0; i < p->vary_rule_count; i++) {
        const struct vary_rule *rule = &p->vary_rules[i];
        out_format(o, "%s", i > 0 ? ", " : "");
        out_text(o, rule->name);
        out_format(o, ": %s", rule->handling == VARY_ALLOW ? "[" : "");
        for (const struct choice *c = handlings; c->name != NULL; c++)
            if (c->value == (int)rule->handling) out_format(o, "%s", c->name);
        for (size_t j = 0; j < rule->allowed_count; j++) {
            out_format(o, "%s", j > 0 ? ", " : "");
            out_text(o, rule->allowed[j]);
        }
        out_format(o, "%s", rule->handling == VARY_ALLOW ? "]" : "");
    }
    out_format(o, "}");
}

/* ---- targeted: the fields of RFC 9213 that bind weir */

/* Fields that mean something else already speak to everybody. */
static const char *check_targeted(struct view v)
{
    enum field_id id = field_id_of(v);
    bool may_be = id == FIELD_OTHER || id == FIELD_CDN_CACHE_CONTROL;
    return may_be && field_name_is_valid(v) ? NULL : "names of fields such as CDN-Cache-Control, Weir-Cache-Control";
}

static void targeted_read(struct config_reader *r, const struct node *n, void *to)
{
    static const struct setting row = { .key = "targeted", .check = check_targeted, .most = POLICY_TARGETED_MAX };
    struct policy *p = (struct policy *)(void *)((char *)to - AT(targeted));
    struct views names;
    if (!reader_views(r, &row, n, &names)) return;
    p->targeted_count = 0;
    for (size_t i = 0; i < names.count; i++) {
        p->targeted[p->targeted_count] = field_id_of(names.at[i]);
        p->targeted_names[p->targeted_count++] = names.at[i];
    }
}

static void targeted_write(struct text_out *o, const void *from)
{
    const struct policy *p = (const struct policy *)(const void *)((const char *)from - AT(targeted));
    out_format(o, "[");
    for (size_t i = 0; i < p->targeted_count; i++) {
        struct view name = p->targeted_names[i];
        out_format(o, "%s", i > 0 ? ", " : "");
        out_text(o, name.len > 0 ? name : VIEW("CDN-Cache-Control")); /* the default has no name of its own */
    }
    out_format(o, "]");
}

/* ---- key.host: each, or one name for all */

static void key_host_read(struct config_reader *r, const struct node *n, void *to)
{
    static const struct setting row = { .key = "host", .check = check_authority, .lower = true };
    struct views name;
    struct view host;
    if (!reader_views(r, &row, n, &name) || name.count != 1) return;
    host = view_equal(name.at[0], VIEW("each")) ? view_of(NULL, 0) : name.at[0];
    memcpy(to, &host, sizeof host);
}

static void key_host_write(struct text_out *o, const void *from)
{
    struct view host;
    memcpy(&host, from, sizeof host);
    out_text(o, host.len > 0 ? host : VIEW("each"));
}

/* ---- the tables */

static const struct setting freshness_rows[] = {
    { "default", SETTING_SECONDS, AT(default_lifetime_s), .unset = "none",
      .help = "where the response says nothing and nothing can be guessed" },
    { "minimum", SETTING_SECONDS, AT(minimum_lifetime_s), .unset = "none", .help = "less counts as this" },
    { "maximum", SETTING_SECONDS, AT(maximum_lifetime_s), .unset = "none", .help = "more counts as this" },
    { "status", SETTING_OWN, AT(status_lifetimes), .read = status_read, .write = status_write,
      .help = "whatever the response says: {404: 10s, 5xx: 1s}" },
    { "heuristic", SETTING_OWN, AT(heuristic_percent), .read = heuristic_read, .write = heuristic_write,
      .help = "of the time since Last-Modified (RFC 9111 §4.2.2), or off" },
    { "heuristic_maximum", SETTING_SECONDS, AT(heuristic_maximum_s), .help = "the most that is guessed" },
    { "jitter", SETTING_PERCENT, AT(jitter_percent), .most = 50,
      .help = "lifetimes are shortened by up to this, so that not all end at once" },
    { "early_refresh", SETTING_PERCENT, AT(early_refresh_percent), .most = 1000,
      .help = "XFetch's beta: how eagerly a used response is refreshed before it ends; 0%: off" },
};

static const char *freshness_contradicts(const void *base)
{
    const struct policy *p = base;
    bool both = p->minimum_lifetime_s >= 0 && p->maximum_lifetime_s >= 0;
    return both && p->minimum_lifetime_s > p->maximum_lifetime_s
               ? "minimum is longer than maximum; it takes minimum to be the shorter"
               : NULL;
}

static const struct schema freshness_schema = { SCHEMA_ROWS(freshness_rows), NULL, freshness_contradicts };

static const struct choice honour_or_rfc[] = { { "honour", true }, { "rfc9111", false }, { NULL, 0 } };

static void with_s_maxage_read(struct config_reader *r, const struct node *n, void *to)
{
    struct view text;
    bool honour;
    if (!reader_text(r, n, "honour or rfc9111", &text)) return;
    honour = view_equal(text, VIEW("honour"));
    if (!honour && !view_equal(text, VIEW("rfc9111")))
        report_at(r->report, n->place, "with_s_maxage: \"%.80s\"; it takes honour or rfc9111", text.at);
    else
        memcpy(to, &honour, sizeof honour);
}

static void with_s_maxage_write(struct text_out *o, const void *from)
{
    bool honour;
    memcpy(&honour, from, sizeof honour);
    out_format(o, "%s", honour_or_rfc[honour ? 0 : 1].name);
}

static const struct setting stale_rows[] = {
    { "if_unreachable", SETTING_SECONDS, AT(stale_if_unreachable_s),
      .help = "past freshness, when the origin gives no answer and the response says nothing" },
    { "while_revalidate", SETTING_SECONDS, AT(default_swr_s), .unset = "none",
      .help = "stale-while-revalidate where the response does not say (RFC 5861)" },
    { "if_error", SETTING_SECONDS, AT(default_sie_s), .unset = "none",
      .help = "stale-if-error where the response does not say (RFC 5861)" },
    { "with_s_maxage", SETTING_OWN, AT(stale_with_s_maxage), .read = with_s_maxage_read, .write = with_s_maxage_write,
      .help = "the windows of a response with s-maxage: honour, or rfc9111 for the letter" },
};
static const struct schema stale_schema = { SCHEMA_ROWS(stale_rows), NULL, NULL };

static const struct setting vary_rows[] = {
    { "max_variants", SETTING_INT, AT(vary_maximum_variants), .least = 1, .most = 1024,
      .help = "of one URL; the least used leaves first" },
    { "fields", SETTING_OWN, AT(vary_rules), .read = vary_read, .write = vary_write,
      .help = "by field: normalise, raw, ignore, bypass, or the list of values that count" },
};
static const struct schema vary_schema = { SCHEMA_ROWS(vary_rows), NULL, NULL };

static const struct setting query_rows[] = {
    { "sort", SETTING_FLAG, AT(key.sort_query), .help = "?b=1&a=2 is ?a=2&b=1" },
    { "drop", SETTING_VIEWS, AT(key.drop), .unset = "none", .most = RULES_MAX, .check = check_not_empty,
      .help = "parameters that do not count, * is any run of characters: [\"utm_*\", fbclid]" },
    { "keep", SETTING_VIEWS, AT(key.keep), .unset = "all", .most = RULES_MAX, .check = check_not_empty,
      .help = "the only parameters that count; []: none does" },
};
static const struct schema query_schema = { SCHEMA_ROWS(query_rows), NULL, NULL };

static const struct setting key_rows[] = {
    { "host", SETTING_OWN, AT(key.host), .read = key_host_read, .write = key_host_write,
      .help = "each host has responses of its own, or a name under which all share theirs" },
    { "query", SETTING_GROUP, 0, .group = &query_schema, .help = "which parameters count" },
    { "fields", SETTING_VIEWS, AT(key.fields), .unset = "none", .most = 16, .check = check_field_name, .lower = true,
      .help = "request fields whose values are part of the key" },
    { "cookies", SETTING_VIEWS, AT(key.cookies), .unset = "none", .most = 16, .check = check_token,
      .help = "cookies whose values are part of the key" },
};
static const struct schema key_schema = { SCHEMA_ROWS(key_rows), NULL, NULL };

static const struct setting range_rows[] = {
    { "fetch_whole_limit", SETTING_BYTES, AT(range_fetch_whole_limit_bytes),
      .help = "a Range on a miss fetches the whole response up to this, and is passed on above" },
};
static const struct schema range_schema = { SCHEMA_ROWS(range_rows), NULL, NULL };

static const struct choice set_cookies[] = { { "strip", SET_COOKIE_STRIP }, { "keep", SET_COOKIE_KEEP }, { NULL, 0 } };

static const struct setting cache_rows[] = {
    { "store", SETTING_FLAG, AT(store), .help = "false: nothing is stored, every request is passed on" },
    { "version", SETTING_VIEW, AT(version), .check = check_word, .unset = "none",
      .help = "part of every key: another version makes everything stored unreachable" },
    { "methods", SETTING_OWN, AT(uncached_methods), .read = methods_read, .write = methods_write,
      .help = "those that may be answered from the cache" },
    { "freshness", SETTING_GROUP, 0, .group = &freshness_schema, .help = "for how long a response is fresh" },
    { "stale", SETTING_GROUP, 0, .group = &stale_schema, .help = "when a response is used past its freshness" },
    { "client_directives", SETTING_FLAG, AT(trust_request_directives),
      .help = "true: Cache-Control and Pragma of requests are obeyed" },
    { "set_cookie", SETTING_CHOICE, AT(set_cookie), .choices = set_cookies,
      .help = "of stored responses: strip, or keep for those who insist" },
    { "targeted", SETTING_OWN, AT(targeted), .read = targeted_read, .write = targeted_write,
      .help = "fields that speak to weir before Cache-Control does (RFC 9213)" },
    { "pass_tags", SETTING_FLAG, AT(pass_tags),
      .help = "true: clients see Surrogate-Key, Cache-Tag and xkey; for a weir that stands before others" },
    { "strip_targeted", SETTING_FLAG, AT(strip_targeted), .help = "true: clients do not see them" },
    { "status_key", SETTING_FLAG, AT(status_key), .help = "true: Cache-Status names the key" },
    { "client_cache_control", SETTING_TEXT, AT(client_cache_control), .unset = "none", .check = check_field_value,
      .help = "what clients hear of stored responses in the place of Cache-Control and Expires" },
    { "content_limit", SETTING_BYTES, AT(content_limit_bytes), .least = 0, .help = "a longer response is not stored" },
    { "pin", SETTING_FLAG, AT(pin),
      .help = "true: responses leave neither memory nor store to make room, as long as they can be used" },
    { "vary", SETTING_GROUP, 0, .group = &vary_schema, .help = "what Vary means to the key" },
    { "key", SETTING_GROUP, 0, .group = &key_schema, .help = "what else makes a response another one" },
    { "range", SETTING_GROUP, 0, .group = &range_schema, .help = "requests for parts" },
    { "hit_for_miss", SETTING_SECONDS, AT(hit_for_miss_s),
      .help = "for so long requests do not wait for each other, once a response could not be shared" },
};
const struct schema cache_schema = { SCHEMA_ROWS(cache_rows), NULL, NULL };
