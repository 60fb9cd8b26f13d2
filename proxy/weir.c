#include "proxy/weir.h"

struct purge_subject object_purge_subject(const struct object *o)
{
    const struct record_head *head = object_head(o);
    struct view uri = record_uri(view_of((const char *)head, o->record_len));
    return (struct purge_subject){
        .uri = uri,
        .authority = purge_authority_of(uri),
        .tags = record_tags(head),
        .tag_count = head->tag_count,
        .tags_known = true,
        .fetch_seq = head->fetch_seq,
    };
}
