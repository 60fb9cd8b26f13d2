#include "purge/record_subject.h"

/* The store's bytes are not aligned, so the head is copied; record_is_sound has looked at every length in it. */
static struct view key_text(struct view record, const struct record_head *head)
{
    return view_of(record.at + sizeof(*head) + (size_t)head->tag_count * sizeof(uint64_t), head->key_len);
}

static bool head_of(struct view record, struct record_head *head)
{
    if (!record_is_sound(record)) return false;
    memcpy(head, record.at, sizeof(*head));
    return true;
}

struct view record_subject_uri(struct view record)
{
    struct record_head head;
    if (!head_of(record, &head)) return VIEW("");
    return key_uri(&(struct key){ .text = key_text(record, &head) });
}

bool record_subject_of(struct view record, uint64_t fetch_seq, struct record_subject *out)
{
    struct record_head head;
    if (!head_of(record, &head)) return false;
    size_t tag_count = head.tag_count < sizeof(out->tags) / sizeof(*out->tags) ? head.tag_count : 0;
    memcpy(out->tags, record.at + sizeof(head), tag_count * sizeof(uint64_t));
    out->kind = head.kind;
    struct view uri = key_uri(&(struct key){ .text = key_text(record, &head) });
    out->subject = (struct purge_subject){
        .uri = uri,
        .authority = purge_authority_of(uri),
        .tags = out->tags,
        .tag_count = tag_count,
        .tags_known = tag_count == head.tag_count,
        .fetch_seq = fetch_seq,
    };
    return true;
}
