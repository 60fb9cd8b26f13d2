#include "proxy/hand_on.h"

#include "proxy/forward.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

/* One server that is to hear of it. */
struct telling {
    STAILQ_ENTRY(telling) in_hand_on;
    struct hand_on *hand_on;
    const char *name;
    struct origin_request request; /* with copies behind the struct, but for its server */
    struct view content;
    size_t sent;
    struct loop_timer again;
    unsigned attempts;
    int status;
    bool heard, deaf; /* deaf: it cannot be asked */
    char why[HAND_ON_WHY_MAX];
    const char *lines[]; /* and the texts behind them */
};

struct hand_on {
    struct hand_on_settings settings;
    STAILQ_HEAD(, telling) tellings;
    size_t count, heard, left; /* left: not over */
};

struct hand_on *hand_on_new(const struct hand_on_settings *settings)
{
    struct hand_on *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->settings = *settings;
    STAILQ_INIT(&h->tellings);
    return h;
}

void hand_on_free(struct hand_on *h)
{
    if (h == NULL) return;
    assert(h->left == 0);
    for (struct telling *t = STAILQ_FIRST(&h->tellings), *next; t != NULL; t = next) {
        next = STAILQ_NEXT(t, in_hand_on);
        free(t);
    }
    free(h);
}

size_t hand_on_heard(const struct hand_on *h)
{
    return h->heard;
}

size_t hand_on_count(const struct hand_on *h)
{
    return h->count;
}

const char *hand_on_refusal(const struct hand_on *h, size_t i, const char **name)
{
    const struct telling *t = STAILQ_FIRST(&h->tellings);
    while (i-- > 0) t = STAILQ_NEXT(t, in_hand_on);
    *name = t->name;
    return t->heard ? NULL : t->why;
}

/* ---- what a server says */

static void tell_again(struct loop_timer *timer);

static void one_less(struct hand_on *h)
{
    if (--h->left == 0) h->settings.done(h->settings.arg);
}

static void is_over(struct telling *t, bool heard)
{
    t->heard = heard;
    t->hand_on->heard += heard;
    one_less(t->hand_on);
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

static ssize_t read_content(void *arg, uint8_t *to, size_t cap)
{
    struct telling *t = arg;
    size_t left = t->content.len - t->sent, n = left < cap ? left : cap;
    if (n > 0) memcpy(to, t->content.at + t->sent, n);
    t->sent += n;
    return (ssize_t)n;
}

/* Whoever could not be reached, or could not do it at the moment; purging twice is purging once. One that was too slow has had
 * its time. */
static bool may_ask_again(const struct telling *t, enum origin_result result)
{
    if (t->attempts >= HAND_ON_ATTEMPTS || *t->hand_on->settings.breaking_off) return false;
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
    struct loop *loop = t->hand_on->settings.loop;
    if (result != ORIGIN_COMPLETE)
        snprintf(t->why, sizeof t->why, "%s: %s", origin_result_name(result), why);
    else
        snprintf(t->why, sizeof t->why, "it answered %d", t->status);
    if (may_ask_again(t, result))
        loop_timer_set(loop, &t->again, loop_now_ms(loop) + (int64_t)HAND_ON_PAUSE_MS * t->attempts);
    else
        is_over(t, result == ORIGIN_COMPLETE && t->status == 200);
}

static const struct origin_handler handler = {
    .interim = on_interim, .head = on_head, .content = on_content, .read_content = read_content, .end = on_end
};

/* ---- telling it */

static void tell(struct telling *t)
{
    const struct hand_on_settings *s = &t->hand_on->settings;
    t->attempts++;
    t->sent = 0;
    t->status = 0;
    bool ending = *s->breaking_off;
    if (!ending && origin_fetch(s->client, &t->request, &handler, t) != NULL) return;
    if (!ending) snprintf(t->why, sizeof t->why, "out of memory, or too many wait for it");
    is_over(t, false);
}

static void tell_again(struct loop_timer *timer)
{
    tell(HOLDER_OF(timer, struct telling, again));
}

void hand_on_start(struct hand_on *h)
{
    h->left = h->count + 1; /* until all are asked */
    for (struct telling *t = STAILQ_FIRST(&h->tellings); t != NULL; t = STAILQ_NEXT(t, in_hand_on)) {
        if (t->deaf)
            is_over(t, false);
        else
            tell(t);
    }
    one_less(h);
}

/* ---- whom to tell */

static struct telling *telling_new(struct hand_on *h, const char *name, size_t extra)
{
    struct telling *t = calloc(1, sizeof *t + extra);
    if (t == NULL) return NULL;
    t->hand_on = h;
    t->name = name;
    t->again.due = tell_again;
    STAILQ_INSERT_TAIL(&h->tellings, t, in_hand_on);
    h->count++;
    return t;
}

static struct view copy(char **to, struct view text)
{
    struct view copied = view_of(*to, text.len);
    if (text.len > 0) memcpy(*to, text.at, text.len);
    *to += text.len;
    return copied;
}

bool hand_on_add(struct hand_on *h, const struct origin_request *r, struct view content, const char *name)
{
    size_t pointers = r->line_count * sizeof *r->lines;
    size_t texts = r->method.len + r->target.len + content.len;
    for (size_t i = 0; i < r->line_count; i++) texts += strlen(r->lines[i]) + 1;
    struct telling *t = telling_new(h, name, pointers + texts);
    if (t == NULL) return false;
    char *to = (char *)t->lines + pointers;
    t->request = *r;
    t->request.lines = t->lines;
    for (size_t i = 0; i < r->line_count; i++)
        t->lines[i] = copy(&to, view_of(r->lines[i], strlen(r->lines[i]) + 1)).at;
    t->request.method = copy(&to, r->method);
    t->request.target = copy(&to, r->target);
    t->content = copy(&to, content);
    t->request.has_content = content.len > 0;
    t->request.content_length = (int64_t)content.len;
    return true;
}

bool hand_on_add_deaf(struct hand_on *h, const char *name, const char *why)
{
    struct telling *t = telling_new(h, name, 0);
    if (t == NULL) return false;
    t->deaf = true;
    snprintf(t->why, sizeof t->why, "%s", why);
    return true;
}

/* ---- lines */

bool hand_on_line(struct hand_on_lines *l, struct view name, struct view value)
{
    size_t room = sizeof l->text - l->used;
    int len = snprintf(l->text + l->used, room, "%.*s: %.*s", (int)name.len, name.at, (int)value.len,
                       value.len > 0 ? value.at : "");
    if (len < 0 || (size_t)len >= room || l->count == sizeof l->at / sizeof *l->at) return false;
    l->at[l->count++] = l->text + l->used;
    l->used += (size_t)len + 1;
    return true;
}

bool hand_on_head(struct hand_on_lines *l, const struct request_head *purge, const char *instance, struct view host,
                  struct view token)
{
    enum { LOOP_MAX = 4096, BEARER_MAX = 4096 };
    char member[64], loop[LOOP_MAX], bearer[BEARER_MAX];
    l->count = l->used = 0;
    snprintf(member, sizeof member, "weir;id=%s", instance);
    int loop_len = forward_append(purge->fields, FIELD_CDN_LOOP, view_of_str(member), loop, sizeof loop);
    int len = snprintf(bearer, sizeof bearer, "Bearer %.*s", (int)token.len, token.len > 0 ? token.at : "");
    return loop_len >= 0 && (size_t)len < sizeof bearer && hand_on_line(l, VIEW("Host"), host) &&
           hand_on_line(l, VIEW("CDN-Loop"), view_of(loop, (size_t)loop_len)) &&
           (token.len == 0 || hand_on_line(l, VIEW("Authorization"), view_of(bearer, (size_t)len)));
}

bool hand_on_is_loop(const struct request_head *purge, const char *instance)
{
    struct forward_context c = { .via_pseudonym = VIEW("weir"), .instance = view_of_str(instance) };
    return forward_is_loop(purge, &c);
}
