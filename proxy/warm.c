#include "proxy/warm.h"

#include "headers/list.h"
#include "headers/target.h"
#include "proxy/origin.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 128, OWN_LINES = 4 };

struct warming;

/* One request under way. */
struct asking {
    struct warming *warming;
    struct view url;
    enum warm_outcome outcome;
    char why[WORDS_MAX];
    bool busy;
};

struct warming {
    const struct warm_settings *settings;
    const struct warm_list *list;
    struct warm_result *result;
    struct loop *loop;
    struct origin_client *client;
    struct origin_server server;
    size_t next; /* of the list */
    unsigned busy;
    int64_t begun_ms;
    struct loop_timer timer; /* until the next may begin */
    struct asking askings[WARM_CONNECTIONS_MAX];
};

/* ---- one answer */

enum warm_outcome warm_outcome_of(int status, struct view cache_status)
{
    struct view member, last = { NULL, 0 }, name, argument;
    bool has_argument;
    if (status >= 400) return WARM_FAILED;
    while (list_next(&cache_status, &member)) last = member;
    while (last.len > 0) {
        size_t end = view_find(last, 0, ';');
        list_split_argument(view_trim_ows(view_first(last, end)), &name, &argument, &has_argument);
        if (view_equal(name, VIEW("hit")) || view_equal(name, VIEW("collapsed"))) return WARM_HIT;
        if (view_equal(name, VIEW("stored"))) return WARM_STORED;
        last = view_after(last, end < last.len ? end + 1 : end);
    }
    return WARM_PASSED;
}

static struct view cache_status_of(struct field_section fields)
{
    struct view last = { NULL, 0 };
    for (size_t i = 0; i < fields.count; i++)
        if (fields.lines[i].id == FIELD_CACHE_STATUS) last = fields.lines[i].value;
    return last;
}

static void on_interim(void *arg, int status, struct field_section fields)
{
    (void)arg, (void)status, (void)fields;
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct asking *a = arg;
    (void)content_length;
    a->outcome = warm_outcome_of(head->status, cache_status_of(head->fields));
    snprintf(a->why, sizeof a->why, "status %d", head->status);
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    struct asking *a = arg;
    (void)at;
    a->warming->result->bytes += len;
}

static void count(struct warming *w, struct view url, enum warm_outcome outcome, const char *why)
{
    w->result->outcomes[outcome]++;
    if (w->settings->told != NULL)
        w->settings->told(w->settings->arg, url, outcome, outcome == WARM_FAILED ? why : NULL);
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct asking *a = arg;
    struct warming *w = a->warming;
    a->busy = false;
    w->busy--;
    if (result != ORIGIN_COMPLETE) {
        a->outcome = WARM_FAILED;
        snprintf(a->why, sizeof a->why, "%s", why);
    }
    count(w, a->url, a->outcome, a->why);
    loop_timer_set(w->loop, &w->timer, loop_now_ms(w->loop)); /* once its connection is free again */
}

static const struct origin_handler handler = {
    .interim = on_interim, .head = on_head, .content = on_content, .end = on_end
};

/* ---- one request */

/* "Host: ..." and the target of a URL. @return NULL, or why there is none */
static const char *spell(struct view url, char *host, char *target, size_t cap, bool *https)
{
    struct uri u;
    url = view_first(url, view_find(url, 0, '#'));
    if (url.len > WARM_URL_MAX / 2) return "the URL is too long";
    if (!uri_parse(url, &u) || !authority_is_valid(u.authority)) return "no http or https URL";
    *https = view_equal_nocase(u.scheme, VIEW("https"));
    snprintf(host, cap, "Host: %.*s", (int)u.authority.len, u.authority.at);
    snprintf(target, cap, "%s%.*s%s%.*s", u.path.len == 0 ? "/" : "", (int)u.path.len, u.path.at,
             u.has_query ? "?" : "", u.has_query ? (int)u.query.len : 0, u.has_query ? u.query.at : "");
    return NULL;
}

/* @return NULL, or why it could not be asked for */
static const char *ask(struct warming *w, struct asking *a, struct view url)
{
    char host[WARM_URL_MAX], target[WARM_URL_MAX];
    const char *lines[WARM_LINES_MAX + OWN_LINES];
    size_t n = 0;
    bool https = false;
    const char *wrong = spell(url, host, target, sizeof host, &https);
    if (wrong != NULL) return wrong;
    *a = (struct asking){ .warming = w, .url = url, .outcome = WARM_FAILED, .busy = true };
    lines[n++] = host;
    lines[n++] = "User-Agent: weir/" WEIR_VERSION " (warm)";
    if (https) lines[n++] = "X-Forwarded-Proto: https"; /* believed where trusted_proxies says so */
    for (size_t i = 0; i < w->settings->line_count; i++) lines[n++] = w->settings->lines[i];
    struct origin_request request = { .server = &w->server,
                                      .method = VIEW("GET"),
                                      .target = view_of_str(target),
                                      .lines = lines,
                                      .line_count = n,
                                      .may_resend = true };
    a->busy = origin_fetch(w->client, &request, &handler, a) != NULL;
    return a->busy ? NULL : "out of memory";
}

static struct asking *idle_asking(struct warming *w)
{
    for (unsigned i = 0; i < w->settings->connections; i++)
        if (!w->askings[i].busy) return &w->askings[i];
    return NULL;
}

/* When the next one may begin. */
static int64_t due_ms(const struct warming *w)
{
    if (w->settings->per_second == 0) return w->begun_ms;
    return w->begun_ms + (int64_t)(w->next * 1000 / w->settings->per_second);
}

static void ask_more(struct warming *w)
{
    while (w->next < w->list->count && w->busy < w->settings->connections) {
        if (due_ms(w) > loop_now_ms(w->loop)) {
            loop_timer_set(w->loop, &w->timer, due_ms(w));
            return;
        }
        struct view url = w->list->urls[w->next++];
        const char *wrong = ask(w, idle_asking(w), url);
        if (wrong != NULL)
            count(w, url, WARM_FAILED, wrong);
        else
            w->busy++;
    }
}

static void on_due(struct loop_timer *t)
{
    ask_more(HOLDER_OF(t, struct warming, timer));
}

/* ---- all of them */

int warm(const struct warm_settings *s, const struct warm_list *l, struct warm_result *out, char *why, size_t cap)
{
    char base[WARM_URL_MAX];
    struct warming *w = calloc(1, sizeof *w);
    int rc = -1;
    *out = (struct warm_result){ 0 };
    snprintf(why, cap, "out of memory");
    if (w == NULL) return -1;
    snprintf(base, sizeof base, "http://%s", s->address);
    w->settings = s;
    w->list = l;
    w->result = out;
    w->timer.due = on_due;
    w->loop = loop_new();
    if (w->loop != NULL) w->client = origin_client_new(w->loop, why, cap);
    if (w->client == NULL || !origin_server_parse(base, &w->server, why, cap)) goto out;
    w->server.connections_max = s->connections;
    w->begun_ms = loop_now_ms(w->loop);
    ask_more(w);
    while (w->next < l->count || w->busy > 0) loop_turn(w->loop);
    rc = 0;
out:
    if (w->client != NULL) origin_client_free(w->client);
    if (w->loop != NULL) loop_free(w->loop);
    origin_server_release(&w->server);
    free(w);
    return rc;
}
