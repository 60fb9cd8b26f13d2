/* weir explain: what is stored for a URL, and what would happen to a request for it. */
#include "proxy/command.h"

#include "cache/storable.h"
#include "proxy/command_admin.h"

#include <stdlib.h>

static const char usage[] =
    "Usage: weir explain URL [-H 'Name: value']... [-X METHOD] [options]\n"
    "\n"
    "Says what a running weir has stored for the URL and what it would do with a request for it, with the reason and the\n"
    "section of the RFC. Nothing is fetched. The host is that of the URL as clients write it, or of -H 'Host: NAME'.\n"
    "\n"
    "  -H, --header LINE        a field of the request, as in 'Accept-Encoding: gzip'\n"
    "  -X, --method METHOD      [GET]\n";

static const struct option long_options[] = { { "header", required_argument, NULL, 'H' },
                                              { "method", required_argument, NULL, 'X' },
                                              COMMAND_OPTIONS };

/* ---- asking */

/* name=value, percent-encoded, at the end of *target. */
static bool add_argument(char **target, const char *name, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = strlen(*target);
    char *grown = realloc(*target, used + strlen(name) + 3 * strlen(value) + 3);
    if (grown == NULL) return false;
    *target = grown;
    used += (size_t)sprintf(grown + used, "%c%s=", strchr(grown, '?') == NULL ? '?' : '&', name);
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        bool plain = is_digit((char)*c) || (ascii_lower((char)*c) >= 'a' && ascii_lower((char)*c) <= 'z') ||
                     strchr("-._~/:", *c) != NULL;
        if (!plain) {
            grown[used++] = '%';
            grown[used++] = hex[*c >> 4];
        }
        grown[used++] = plain ? (char)*c : hex[*c & 15];
    }
    grown[used] = '\0';
    return true;
}

static int read_options(struct command *c, int argc, char **argv, char **target)
{
    int option, rc;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":H:X:", long_options, NULL)) != -1) {
        if (option == 'H' || option == 'X') {
            if (!add_argument(target, option == 'H' ? "header" : "method", optarg)) return COMMAND_FAILED;
        } else if ((rc = command_option(c, option, argv)) != COMMAND_GO_ON) {
            return rc;
        }
    }
    if (optind >= argc) return command_wrong(c, "which URL? see weir explain --help");
    if (optind + 1 < argc) return command_wrong(c, "unexpected argument '%s'; one URL at a time", argv[optind + 1]);
    return add_argument(target, "url", argv[optind]) ? COMMAND_GO_ON : COMMAND_FAILED;
}

/* ---- printing */

static const char *text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(command_at(json, path));
    return text != NULL ? text : "";
}

static void put(const json_t *json, const char *path)
{
    command_put_text(stdout, text_at(json, path));
}

static void label(const char *name)
{
    printf("    %-11s ", name);
}

static const char *duration_at(const json_t *json, const char *path, char to[COMMAND_VALUE_MAX])
{
    return command_duration(command_number(json, path), to);
}

/* The members of a list of strings, with `between` between them. */
static void put_list(const json_t *list, const char *between)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (i > 0) fputs(between, stdout);
        command_put_text(stdout, text != NULL ? text : "");
    }
}

static void put_freshness(const json_t *v)
{
    char a[COMMAND_VALUE_MAX], b[COMMAND_VALUE_MAX], c[COMMAND_VALUE_MAX], d[COMMAND_VALUE_MAX], e[COMMAND_VALUE_MAX];
    double ttl_s = command_number(v, "freshness.ttl_s");
    label("freshness");
    if (json_is_true(command_at(v, "freshness.fresh")))
        printf("fresh for %s more: ", command_duration(ttl_s, a));
    else if (ttl_s > 0)
        printf("stale since a soft purge: ");
    else
        printf("stale for %s: ", command_duration(-ttl_s, a));
    printf("age %s (%s when it came + %s here) of %s (", duration_at(v, "freshness.age_s", b),
           duration_at(v, "freshness.initial_age_s", c), duration_at(v, "freshness.resident_s", d),
           duration_at(v, "freshness.lifetime_s", e));
    put(v, "freshness.lifetime_source");
    printf("%s)\n", json_is_true(command_at(v, "freshness.limited_by_operator")) ? ", limited by the route" : "");
}

static void put_stale(const json_t *v)
{
    char a[COMMAND_VALUE_MAX];
    const json_t *swr = command_at(v, "freshness.stale_while_revalidate_s");
    const json_t *sie = command_at(v, "freshness.stale_if_error_s");
    if (!json_is_integer(swr) && !json_is_integer(sie)) return;
    label("stale use");
    if (json_is_integer(swr)) printf("while revalidating %s", command_duration(json_number_value(swr), a));
    if (json_is_integer(swr) && json_is_integer(sie)) printf(", ");
    if (json_is_integer(sie)) printf("on error %s", command_duration(json_number_value(sie), a));
    putchar('\n');
}

static void put_validators(const json_t *v)
{
    bool etag = json_is_string(command_at(v, "etag")), modified = json_is_string(command_at(v, "last_modified"));
    label("validators");
    if (etag) {
        printf("ETag ");
        put(v, "etag");
    }
    if (modified) {
        printf("%sLast-Modified ", etag ? ", " : "");
        put(v, "last_modified");
    }
    puts(etag || modified ? "" : "none");
}

static void put_tags(const json_t *v)
{
    if (json_array_size(command_at(v, "tags")) == 0) return;
    label("tags");
    put_list(command_at(v, "tags"), " ");
    putchar('\n');
}

static void put_purges(const json_t *v)
{
    char a[COMMAND_VALUE_MAX];
    const char *state = text_at(v, "purges.state");
    const json_t *ago = command_at(v, "purges.seconds_ago");
    label("purges");
    if (strcmp(state, "purged") == 0)
        printf("purged: it is never used again\n");
    else if (strcmp(state, "none") == 0)
        printf("none since it was fetched\n");
    else if (ago != NULL)
        printf("a soft one %s ago: stale since then\n", command_duration(json_number_value(ago), a));
    else
        printf("a soft one: stale since then\n");
}

/* What the origin said about caching, as it said it. */
static void put_said(const json_t *v)
{
    static const char *const names[] = { "cache-control", "cdn-cache-control", "expires", "pragma", "date", "vary" };
    const json_t *fields = command_at(v, "fields");
    bool first = true;
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *line = json_array_get(fields, i);
        bool shown = false;
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            shown = shown || view_equal_nocase(view_of_str(text_at(line, "name")), view_of_str(names[n]));
        if (!shown) continue;
        label(first ? "said" : "");
        first = false;
        put(line, "name");
        printf(": ");
        put(line, "value");
        putchar('\n');
    }
}

static void put_status(const json_t *v)
{
    char a[COMMAND_VALUE_MAX];
    label("response");
    printf("%.0f, %s, ", command_number(v, "status"), command_bytes(command_number(v, "size.content_bytes"), a));
    if (json_is_string(command_at(v, "part"))) {
        put(v, "part");
        printf(", ");
    }
    printf("in ");
    put_list(command_at(v, "tiers"), " and ");
    if (json_array_size(command_at(v, "pinned")) > 0) {
        printf(", pinned in ");
        put_list(command_at(v, "pinned"), " and ");
    }
    printf(", fetched in %.0f ms\n", command_number(v, "fetch_ms"));
}

/* "accept-encoding: gzip" for each request field that selected it. */
static void put_selected_by(const json_t *v)
{
    const char *name;
    json_t *value;
    bool first = true;
    json_object_foreach(command_at(v, "selected_by"), name, value)
    {
        printf("%s", first ? "" : ", ");
        first = false;
        command_put_text(stdout, name);
        if (!json_is_string(value)) {
            printf(" absent");
            continue;
        }
        printf(": ");
        command_put_text(stdout, json_string_value(value));
    }
}

static void put_variant(const struct command *c, const json_t *v)
{
    bool selected = json_is_true(command_at(v, "selected"));
    if (json_object_size(command_at(v, "selected_by")) > 0) {
        printf("\n%s%s ", c->colour && selected ? "\033[1m" : "", selected ? " *" : "  ");
        put_selected_by(v);
        printf("%s%s\n", selected ? "   (this request)" : "", c->colour && selected ? "\033[0m" : "");
    }
    put_status(v);
    put_freshness(v);
    put_stale(v);
    put_validators(v);
    put_tags(v);
    put_purges(v);
    put_said(v);
}

static const char *colour_of(const json_t *e)
{
    const char *verdict = text_at(e, "decision.verdict");
    if (strcmp(verdict, "serve") == 0) return "\033[1;32m";
    return strcmp(verdict, "serve-stale") == 0 || strcmp(verdict, "validate") == 0 ? "\033[1;33m" : "\033[1;31m";
}

static void put_route(const json_t *e)
{
    printf("\n  route: ");
    put(e, "route.name");
    printf(", ");
    put(e, "route.target");
    if (json_is_string(command_at(e, "route.file"))) {
        printf(" (");
        put(e, "route.file");
        printf(":%.0f)", command_number(e, "route.line"));
    }
    if (json_is_string(command_at(e, "route.origin"))) {
        printf("\n  origin: ");
        put(e, "route.origin");
    }
    if (json_is_true(command_at(e, "route.protected"))) printf("; this route asks for credentials");
    bool forwards = json_is_string(command_at(e, "route.origin"));
    printf("%s\n", !forwards || json_is_true(command_at(e, "route.stores")) ? "" : "; this route stores nothing");
}

static void put_decision(const struct command *c, const json_t *e)
{
    put(e, "method");
    putchar(' ');
    put(e, "url");
    printf("\n\n  %s", c->colour ? colour_of(e) : "");
    put(e, "decision.what");
    printf("%s", c->colour ? "\033[0m" : "");
    if (json_is_integer(command_at(e, "decision.status")))
        printf(", with status %.0f", command_number(e, "decision.status"));
    printf("\n  because ");
    put(e, "decision.because");
    printf(" (");
    put(e, "decision.section");
    printf(")\n  Cache-Status: ");
    put(e, "decision.cache_status");
    put_route(e);
    if (json_is_true(command_at(e, "decision.not_collapsed")))
        printf("  its last response could not be shared, so for a while each request for it is fetched by itself\n");
}

/* The arithmetic, where it was the reason. */
static void put_refused_freshness(const json_t *last)
{
    char a[COMMAND_VALUE_MAX], b[COMMAND_VALUE_MAX];
    if (strcmp(text_at(last, "reason"), storable_reason_name(NOT_STORED_NO_FRESHNESS)) != 0) return;
    if (command_number(last, "lifetime_s") > command_number(last, "age_s"))
        printf("  it says no-cache: each use is to be validated first, which takes an ETag or a Last-Modified\n");
    else if (json_is_integer(command_at(last, "lifetime_s")))
        printf("  it came at an age of %s, and was to be fresh for %s (%s)\n", duration_at(last, "age_s", a),
               duration_at(last, "lifetime_s", b), text_at(last, "lifetime_source"));
    else
        printf("  it said nothing of how long it is fresh: Cache-Control: max-age=60 would do\n");
}

/* The answer to "why is this not cached?". */
static void put_not_stored(const struct command *c, const json_t *e)
{
    char a[COMMAND_VALUE_MAX];
    const json_t *last = command_at(e, "last_not_stored");
    if (!json_is_object(last)) return;
    printf("\n%snot stored:%s the last response, %s ago, with status %.0f,\n  because ", c->colour ? "\033[1;31m" : "",
           c->colour ? "\033[0m" : "", duration_at(last, "seconds_ago", a), command_number(last, "status"));
    put(last, "because");
    printf(" (");
    put(last, "section");
    printf(")\n");
    put_refused_freshness(last);
}

static void put_nothing_stored(const json_t *e)
{
    if (!json_is_string(command_at(e, "route.origin"))) return; /* a redirect, a fixed answer: nothing ever is */
    if (json_array_size(command_at(e, "vary")) > 0) {
        printf("\nNothing is stored for it; its responses are selected by ");
        put_list(command_at(e, "vary"), ", ");
        printf("\n");
    } else if (!json_is_object(command_at(e, "last_not_stored"))) {
        printf("\nNothing is stored for it, and no response of late was refused: it was not asked for, has left,\n"
               "or was purged. Ask for it through weir, then explain again.\n");
    }
}

static void print_explanation(const struct command *c, const json_t *e)
{
    size_t shown = json_array_size(command_at(e, "variants"));
    double stored = command_number(e, "stored");
    put_decision(c, e);
    put_not_stored(c, e);
    if (stored == 0) {
        put_nothing_stored(e);
        return;
    }
    printf("\nstored: %.0f response%s", stored, stored == 1 ? "" : "s");
    if (json_array_size(command_at(e, "vary")) > 0) {
        printf(", selected by ");
        put_list(command_at(e, "vary"), ", ");
    }
    if ((double)shown < stored) printf("; %zu of them shown", shown);
    putchar('\n');
    for (size_t i = 0; i < shown; i++) put_variant(c, json_array_get(command_at(e, "variants"), i));
}

int command_explain(int argc, char **argv)
{
    struct command c = command_of("explain", usage);
    json_t *explanation;
    char *target = strdup("/v1/explain");
    int rc = target != NULL ? read_options(&c, argc, argv, &target) : COMMAND_FAILED;
    if (rc == COMMAND_GO_ON) rc = command_call(&c, "GET", target, NULL, &explanation);
    free(target);
    if (rc != COMMAND_GO_ON) return rc;
    if (!c.json) print_explanation(&c, explanation);
    json_decref(explanation);
    return COMMAND_OK;
}
