/* Replies that are given to many: an MHD_Response may be queued as often as one likes while it is not changed. */
#include "proxy/front_h1.h"

#include <stdlib.h>

struct front_kept {
    unsigned refs; /* the front's thread alone counts them */
    struct MHD_Response *response;
    struct view bare_head;
    int status;
    size_t head_bytes;
    uint64_t body_bytes;
    void (*release)(void *arg);
    void *arg;
};

/* The rules of the wire that front_reply follows are the same for all of these. */
static bool is_plain(const struct front_stream *s)
{
    return s->head.method == METHOD_GET && !s->request.has_content && !front_closes(s);
}

struct front_kept *front_keep(struct front_stream *s)
{
    bool may =
        is_plain(s) && s->replied && !s->queued && s->response != NULL && !s->body_sent_by_reader && s->status != 101;
    struct front_kept *k = may && s->kept == NULL && !s->closes ? malloc(sizeof *k) : NULL;
    if (k == NULL) return NULL;
    *k = (struct front_kept){ .refs = 2, /* the stream's and the caller's */
                              .response = s->response,
                              .bare_head = s->bare_head,
                              .status = s->status,
                              .head_bytes = s->head_bytes,
                              .body_bytes = s->body_bytes,
                              .release = s->release,
                              .arg = s->reply_arg };
    s->kept = k;
    s->release = NULL;
    return k;
}

bool front_reply_kept(struct front_stream *s, struct front_kept *k)
{
    if (!is_plain(s) || k->head_bytes + s->pool_used > POOL_BYTES) return false;
    k->refs++;
    s->kept = k;
    s->response = k->response;
    s->bare_head = k->bare_head;
    s->status = k->status;
    s->body_bytes = k->body_bytes;
    s->body_sent_by_reader = false;
    s->replied = true;
    front_unpark(s);
    return true;
}

void front_kept_unref(struct front_kept **k)
{
    struct front_kept *gone = *k;
    *k = NULL;
    if (gone == NULL || --gone->refs > 0) return;
    MHD_destroy_response(gone->response);
    front_bare_free(&gone->bare_head);
    if (gone->release != NULL) gone->release(gone->arg);
    free(gone);
}

void front_kept_release(struct front_stream *s)
{
    s->response = NULL;
    s->bare_head = (struct view){ NULL, 0 };
    front_kept_unref(&s->kept);
}
