/* Hits that many ask for get one reply: its head says Age and ttl in seconds, so for a second it is the same for all of
 * them, and making it is a third of what a hit costs. Everything else is done for each: look-up, purges, decision.
 *
 * A worker has a table of its own. A place remembers what was answered there last; asked for again in the same second, the
 * reply is kept. What is kept leaves after its second, or with the site it was made for.                                */
#include "proxy/exchange_internal.h"

#include <stdlib.h>

enum {
    KEPT_PLACES_LOG2 = 12,
    KEPT_PLACES = 1 << KEPT_PLACES_LOG2,
    KEPT_BYTES_MAX =
        8 * 1024 * 1024, /* of responses, which may have left the memory tier meanwhile; more is not kept */
    KEPT_MS = 1000
};

struct kept_place {
    struct object *object; /* a reference while there is a reply, else only to compare with */
    const struct route *route;
    int64_t age_s, ttl_s;
    bool not_modified;
    struct front_kept *reply; /* NULL: answered once */
};

struct kept_replies {
    struct loop_timer timer;
    struct loop *loop;
    size_t count, bytes;
    struct kept_place places[KEPT_PLACES];
};

static void place_clear(struct kept_replies *r, struct kept_place *p)
{
    if (p->reply != NULL) {
        r->count--;
        r->bytes -= object_memory_bytes(p->object);
        front_kept_unref(&p->reply);
        object_unref(&p->object);
    }
    p->object = NULL;
}

void kept_clear(struct worker *k)
{
    struct kept_replies *r = k->kept;
    if (r == NULL) return;
    for (size_t i = 0; i < KEPT_PLACES && r->count > 0; i++) place_clear(r, &r->places[i]);
    for (size_t i = 0; i < KEPT_PLACES; i++) r->places[i].object = NULL;
    loop_timer_stop(r->loop, &r->timer);
}

void kept_free(struct worker *k)
{
    kept_clear(k);
    free(k->kept);
    k->kept = NULL;
}

static void second_is_over(struct loop_timer *t)
{
    struct kept_replies *r = HOLDER_OF(t, struct kept_replies, timer);
    for (size_t i = 0; i < KEPT_PLACES && r->count > 0; i++)
        if (r->places[i].reply != NULL) place_clear(r, &r->places[i]);
}

static struct kept_replies *replies_of(struct worker *k)
{
    if (k->kept != NULL) return k->kept;
    k->kept = calloc(1, sizeof *k->kept);
    if (k->kept == NULL) return NULL;
    k->kept->loop = k->loop;
    k->kept->timer.due = second_is_over;
    return k->kept;
}

static struct kept_place *place_of(struct kept_replies *r, const struct object *o, bool not_modified)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)o ^ (uint64_t)not_modified) * 0x9e3779b97f4a7c15u;
    return &r->places[mixed >> (64 - KEPT_PLACES_LOG2)];
}

/* All that the head is made of, beside the stored fields and what the route does to them. */
static bool is_plain_hit(const struct exchange *x)
{
    const struct outcome *o = &x->outcome;
    return x->hit && o->hit && o->has_ttl && o->detail == NULL && x->object != NULL && x->object->content != NULL &&
           x->request->method == METHOD_GET && x->lease == x->worker->lease;
}

bool kept_answers(struct exchange *x, bool not_modified, struct kept_place **keep)
{
    struct kept_replies *r = is_plain_hit(x) ? replies_of(x->worker) : NULL;
    *keep = NULL;
    if (r == NULL) return false;
    struct kept_place *p = place_of(r, x->object, not_modified);
    bool same = p->object == x->object && p->not_modified == not_modified && p->route == x->route &&
                p->age_s == x->decision.age_s && p->ttl_s == x->outcome.ttl_s;
    if (!same) {
        place_clear(r, p);
        *p = (struct kept_place){ .object = x->object,
                                  .route = x->route,
                                  .age_s = x->decision.age_s,
                                  .ttl_s = x->outcome.ttl_s,
                                  .not_modified = not_modified };
        return false;
    }
    if (p->reply != NULL) return front_reply_kept(x->stream, p->reply);
    *keep = p;
    return false;
}

void kept_fill(struct exchange *x, struct kept_place *p)
{
    if (p == NULL) return;
    struct kept_replies *r = x->worker->kept;
    size_t bytes = object_memory_bytes(x->object);
    if (bytes > KEPT_BYTES_MAX - r->bytes) return;
    p->reply = front_keep(x->stream);
    if (p->reply == NULL) return;
    p->object = object_ref(x->object);
    r->bytes += bytes;
    r->count++;
    if (r->timer.place == 0) loop_timer_set(r->loop, &r->timer, loop_now_ms(r->loop) + KEPT_MS);
}
