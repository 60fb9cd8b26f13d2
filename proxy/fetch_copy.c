/* Copies of heads that outlive the call they came with. */
#include "proxy/fetch_internal.h"

#include "headers/http_date.h"

#include <stdlib.h>

static size_t section_bytes(struct field_section s)
{
    size_t bytes = s.count * sizeof(struct field);
    for (size_t i = 0; i < s.count; i++) bytes += s.lines[i].name.len + s.lines[i].value.len + 2;
    return bytes;
}

static struct view copy_view(char **at, struct view v)
{
    char *to = *at;
    if (v.len > 0) memcpy(to, v.at, v.len);
    to[v.len] = '\0';
    *at += v.len + 1;
    return view_of(to, v.len);
}

static struct field_section copy_section(char **at, struct field_section s, size_t spare_lines)
{
    struct field *lines = (struct field *)(void *)*at;
    *at += (s.count + spare_lines) * sizeof *lines;
    for (size_t i = 0; i < s.count; i++) {
        lines[i] = s.lines[i];
        lines[i].name = copy_view(at, s.lines[i].name);
        lines[i].value = copy_view(at, s.lines[i].value);
    }
    return (struct field_section){ lines, s.count };
}

static struct view moved(struct view part, struct view from, struct view to)
{
    return part.at == NULL ? part : view_of(to.at + (part.at - from.at), part.len);
}

bool fetch_copy_request(struct fetch *f, const struct fetch_settings *s)
{
    const struct request_head *r = s->request;
    size_t ip_len = s->client_ip != NULL ? strlen(s->client_ip) : 0;
    size_t key_len = s->key != NULL ? s->key->text.len : 0;
    char *at = malloc(section_bytes(r->fields) + r->method_name.len + r->target.len + r->authority.len +
                      r->path_query.len + ip_len + key_len + 8);
    if (at == NULL) return false;
    f->arena = at;
    f->request = *r;
    f->request.fields = copy_section(&at, r->fields, 0);
    f->request.method_name = copy_view(&at, r->method_name);
    f->request.target = copy_view(&at, r->target);
    f->request.authority = copy_view(&at, r->authority);
    f->request.path_query = copy_view(&at, r->path_query);
    f->request.path = moved(r->path, r->path_query, f->request.path_query);
    f->request.query = r->has_query ? moved(r->query, r->path_query, f->request.path_query) : (struct view){ NULL, 0 };
    if (s->client_ip != NULL) f->client_ip = copy_view(&at, view_of(s->client_ip, ip_len)).at;
    if (s->key != NULL) {
        f->key = *s->key;
        f->key.text = copy_view(&at, s->key->text);
    }
    return true;
}

/* The origin's head, with a Date of ours when it has none (RFC 9110 §6.6.1). */
bool fetch_copy_response(struct fetch *f, const struct response_head *head)
{
    bool dated = field_first(head->fields, FIELD_DATE) != NULL;
    char *at = malloc(section_bytes(head->fields) + sizeof(struct field) + sizeof "Date" + HTTP_DATE_LEN + 1);
    if (at == NULL) return false;
    free(f->response_arena);
    f->response_arena = at;
    struct field_section copy = copy_section(&at, head->fields, 1);
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
