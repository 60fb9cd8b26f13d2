/* POST /v1/purge handed on to the weirs behind this one (`forward_purges`, and `admin` of a server): first there, then here,
 * or what is purged here would be fetched again from what is still stored there. Each server hears of it, at once; one that
 * does not answer is asked again, HAND_ON_ATTEMPTS times in all.                                                        */
#include "proxy/admin_internal.h"
#include "proxy/admin_json.h"

#include "proxy/forward.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINES = 4, LINE_BYTES = 4096, WHY_BYTES = 128 };

/* One server that is to hear of it. */
struct telling {
    struct handing *handing;
    const struct origin_settings *origin;
    const struct origin_server_settings *server;
    struct origin_fetch *fetch; /* NULL: none under way */
    struct loop_timer again;
    unsigned attempts;
    int status;
    char *order; /* malloc'd */
    size_t len, sent;
    bool over, heard;
    char why[WHY_BYTES]; /* it has not */
};

struct handing {
    LIST_ENTRY(handing) in_admin;
    struct admin_request *request;
    struct site *site;
    struct purge_order order;
    char loop_line[LINE_BYTES];
    size_t left, count; /* tellings that are not over, and all */
    struct telling tellings[];
};

static struct forward_context context_of(const struct admin *a)
{
    return (struct forward_context){ .via_pseudonym = VIEW("weir"), .instance = view_of_str(a->weir->instance) };
}

static size_t count_servers(const struct site *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->origin_count; i++)
        if (s->origins[i]->forward_purges) n += s->origins[i]->server_count;
    return n;
}

bool admin_hands_on(const struct admin_request *r, const struct site *site)
{
    struct forward_context c = context_of(r->admin);
    return count_servers(site) > 0 && !forward_is_loop(r->head, &c);
}

/* ---- what a server says */

static void one_less(struct handing *h)
{
    if (--h->left > 0) return;
    LIST_REMOVE(h, in_admin);
    admin_purge_here(h->request, &h->order.request);
}

static void telling_is_over(struct telling *t, bool heard)
{
    t->over = true;
    t->heard = heard;
    one_less(t->handing);
}

static void on_interim(void *arg, int status, struct field_section fields)
{
    (void)arg, (void)status, (void)fields;
}

static void on_head(void *arg, const struct response_head *head, int64_t content_length)
{
    struct telling *t = arg;
    (void)content_length;
    t->status = head->status;
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    (void)arg, (void)at, (void)len;
}

static ssize_t read_order(void *arg, uint8_t *to, size_t cap)
{
    struct telling *t = arg;
    size_t left = t->len - t->sent, n = left < cap ? left : cap;
    memcpy(to, t->order + t->sent, n);
    t->sent += n;
    return (ssize_t)n;
}

/* Whoever could not be reached, or could not do it at the moment. One that was too slow has had its time. */
static bool may_ask_again(const struct telling *t, enum origin_result result)
{
    if (t->attempts >= HAND_ON_ATTEMPTS || t->handing->request->admin->breaking_off) return false;
    switch (result) {
    case ORIGIN_COMPLETE: return t->status == 503;
    case ORIGIN_UNREACHABLE:
    case ORIGIN_CLOSED:
    case ORIGIN_CUT: return true;
    default: return false;
    }
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct telling *t = arg;
    struct loop *loop = t->handing->request->admin->loop;
    t->fetch = NULL;
    if (result != ORIGIN_COMPLETE)
        snprintf(t->why, sizeof t->why, "%s: %s", origin_result_name(result), why != NULL ? why : "");
    else
        snprintf(t->why, sizeof t->why, "it answered %d", t->status);
    if (may_ask_again(t, result))
        loop_timer_set(loop, &t->again, loop_now_ms(loop) + (int64_t)HAND_ON_PAUSE_MS * t->attempts);
    else
        telling_is_over(t, result == ORIGIN_COMPLETE && t->status == 200);
}

static const struct origin_handler handler = {
    .interim = on_interim, .head = on_head, .content = on_content, .read_content = read_order, .end = on_end
};

/* ---- telling it */

static const char *cannot_be_told(struct telling *t)
{
    const struct origin_server_settings *s = t->server;
    if (s->admin_url == NULL) return "no admin address is configured for it";
    t->order = purge_order_renamed(view_of(t->handing->request->content, t->handing->request->content_len), s->host,
                                   s->server.path_prefix);
    t->len = t->order != NULL ? strlen(t->order) : 0;
    return t->order != NULL ? NULL : "out of memory";
}

static bool ask(struct telling *t)
{
    struct admin *a = t->handing->request->admin;
    const struct origin_server *server = &t->server->admin;
    const struct view token = t->origin->purge_token;
    char target[ORIGIN_PREFIX_MAX + 16], host[LINE_BYTES], bearer[LINE_BYTES];
    const char *lines[LINES] = { host, "Content-Type: application/json", t->handing->loop_line, bearer };
    snprintf(target, sizeof target, "%s/v1/purge", server->path_prefix);
    snprintf(host, sizeof host, "Host: %s", server->authority);
    int len =
        snprintf(bearer, sizeof bearer, "Authorization: Bearer %.*s", (int)token.len, token.len > 0 ? token.at : "");
    if (len < 0 || (size_t)len >= sizeof bearer) return false;
    struct origin_request request = { .server = server,
                                      .method = VIEW("POST"),
                                      .target = view_of_str(target),
                                      .lines = lines,
                                      .line_count = token.len > 0 ? LINES : LINES - 1,
                                      .has_content = true,
                                      .content_length = (int64_t)t->len };
    t->attempts++;
    t->sent = 0;
    t->status = 0;
    t->fetch = origin_fetch(a->client, &request, &handler, t);
    return t->fetch != NULL;
}

static void tell(struct telling *t)
{
    if (ask(t)) return;
    snprintf(t->why, sizeof t->why, "it could not be asked: out of memory, or too many wait");
    telling_is_over(t, false);
}

static void tell_again(struct loop_timer *timer)
{
    tell((struct telling *)(void *)((char *)timer - offsetof(struct telling, again)));
}

static void tell_first(struct telling *t)
{
    const char *why = cannot_be_told(t);
    if (why == NULL) {
        tell(t);
        return;
    }
    snprintf(t->why, sizeof t->why, "%s", why);
    telling_is_over(t, false);
}

/* ---- all of them */

static void add_servers(struct handing *h, const struct origin_settings *o)
{
    for (size_t i = 0; o->forward_purges && i < o->server_count; i++)
        h->tellings[h->count++] =
            (struct telling){ .handing = h, .origin = o, .server = &o->servers[i], .again.due = tell_again };
}

static bool write_loop_line(struct handing *h)
{
    static const char name[] = "CDN-Loop: ";
    char member[64];
    int len = snprintf(member, sizeof member, "weir;id=%s", h->request->admin->weir->instance);
    memcpy(h->loop_line, name, sizeof name - 1);
    return forward_append(h->request->head->fields, FIELD_CDN_LOOP, view_of(member, (size_t)len),
                          h->loop_line + sizeof name - 1, sizeof h->loop_line - sizeof name + 1) >= 0;
}

bool admin_hand_on(struct admin_request *r, struct site *site, struct purge_order *order)
{
    struct handing *h = calloc(1, sizeof *h + count_servers(site) * sizeof *h->tellings);
    if (h == NULL) return false;
    h->request = r;
    if (!write_loop_line(h)) {
        free(h);
        return false;
    }
    h->site = site_ref(site);
    h->order = *order;
    r->handing = h;
    LIST_INSERT_HEAD(&r->admin->handings, h, in_admin);
    for (size_t i = 0; i < site->origin_count; i++) add_servers(h, site->origins[i]);
    h->left = h->count + 1; /* until all are asked */
    for (size_t i = 0; i < h->count; i++) tell_first(&h->tellings[i]);
    one_less(h);
    return true;
}

bool handing_describe(const struct handing *h, json_t *answer)
{
    json_t *deaf = json_array();
    size_t heard = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct telling *t = &h->tellings[i];
        const char *url = t->server->admin_url != NULL ? t->server->admin_url : t->server->url;
        heard += t->heard;
        if (!t->heard) admin_json_append(deaf, json_pack("{s:s, s:s}", "server", url, "why", t->why));
    }
    admin_json_set(answer, "handed_on", json_integer((json_int_t)heard));
    if (heard < h->count)
        admin_json_set(answer, "not_handed_on", deaf);
    else
        json_decref(deaf);
    return heard == h->count;
}

void handing_free(struct handing *h)
{
    if (h == NULL) return;
    for (size_t i = 0; i < h->count; i++) free(h->tellings[i].order);
    purge_order_free(&h->order);
    site_unref(&h->site);
    free(h);
}

static void break_off(struct loop *loop, struct telling *t)
{
    if (t->over) return;
    if (t->fetch != NULL) {
        origin_cancel(t->fetch);
        return;
    }
    loop_timer_stop(loop, &t->again);
    telling_is_over(t, false);
}

void admin_break_off_handings(struct admin *a)
{
    struct handing *next;
    a->breaking_off = true;
    for (struct handing *h = LIST_FIRST(&a->handings); h != NULL; h = next) {
        next = LIST_NEXT(h, in_admin);
        h->left++; /* until all are told */
        for (size_t i = 0; i < h->count; i++) break_off(a->loop, &h->tellings[i]);
        one_less(h);
    }
}
