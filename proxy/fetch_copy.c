/* Copies of heads that outlive the call they came with. */
#include "proxy/fetch_internal.h"

#include "headers/http_date.h"

#include <stdlib.h>

static struct view moved(struct view part, struct view from, struct view to)
{
    return part.at == NULL ? part : view_of(to.at + (part.at - from.at), part.len);
}

bool fetch_copy_request(struct fetch *f, const struct fetch_settings *s)
{
    const struct request_head *r = s->request;
    size_t ip_len = s->client_ip != NULL ? strlen(s->client_ip) : 0;
    size_t key_len = s->key != NULL ? s->key->text.len : 0;
    char *at = malloc(field_section_bytes(r->fields) + r->method_name.len + r->target.len + r->authority.len +
                      r->path_query.len + ip_len + key_len + 8);
    if (at == NULL) return false;
    f->arena = at;
    f->request = *r;
    f->request.fields = field_section_copy(r->fields, 0, &at);
    f->request.method_name = view_copy(r->method_name, &at);
    f->request.target = view_copy(r->target, &at);
    f->request.authority = view_copy(r->authority, &at);
    f->request.path_query = view_copy(r->path_query, &at);
    f->request.path = moved(r->path, r->path_query, f->request.path_query);
    f->request.query = r->has_query ? moved(r->query, r->path_query, f->request.path_query) : (struct view){ NULL, 0 };
    if (s->client_ip != NULL) f->client_ip = view_copy(view_of(s->client_ip, ip_len), &at).at;
    if (s->key != NULL) {
        f->key = *s->key;
        f->key.text = view_copy(s->key->text, &at);
    }
    return true;
}

/* The origin's head, with a Date of ours when it has none (RFC 9110 §6.6.1). */
bool fetch_copy_response(struct fetch *f, const struct response_head *head)
{
    bool dated = field_first(head->fields, FIELD_DATE) != NULL;
    char *at = malloc(field_section_bytes(head->fields) + sizeof(struct field) + sizeof "Date" + HTTP_DATE_LEN + 1);
    if (at == NULL) return false;
    free(f->response_arena);
    f->response_arena = at;
    struct field_section copy = field_section_copy(head->fields, 1, &at);
    if (!dated) {
        struct field *lines = (struct field *)(void *)f->response_arena;
        struct field *date = &lines[copy.count++];
        *date = (struct field){ .id = FIELD_DATE, .name = VIEW("Date"), .value = view_of(at, HTTP_DATE_LEN) };
        http_date_format(f->times.response_time_s, at);
    }
    f->response.status = head->status;
    f->response.fields = copy;
    return true;
}
