/* record: the bytes of a stored response: head, key, variant, tags, fields, and small content. The same bytes lie in the
 * store and behind a `struct object` in memory, so that a load is one copy.
 * Ownership: accessors borrow from the record. Threads: pure functions.                                               */
#ifndef WEIR_CACHE_RECORD_H
#define WEIR_CACHE_RECORD_H

#include "cache/freshness.h"
#include "cache/key.h"

enum { RECORD_FORMAT = 2, RECORD_FIELDS_MAX = 256, RECORD_NAME_MAX = 4095, RECORD_VALUE_MAX = 16383 /* bytes */ };

enum record_kind {
    RECORD_RESPONSE = 1,
    RECORD_VARY = 2, /* no response: says which fields the responses of this key vary on (as the variant text) */
};

/* The fixed beginning; 8-byte aligned. All lengths in bytes. What follows, in this order: tag hashes, key text, variant
 * text, field lines, content. */
struct record_head {
    uint16_t format;
    uint8_t kind, reserved;
    uint16_t field_count, tag_count;
    uint16_t key_len, variant_len;
    uint32_t fields_len;
    int64_t content_length; /* of the content, wherever it is */
    uint64_t fetch_seq;     /* purge sequence at which its fetch began */
    struct stored_head stored;
};

struct record_inputs {
    enum record_kind kind;
    struct view key, variant;
    struct stored_head stored;
    struct field_section fields; /* those that are stored, no others; within RECORD_NAME_MAX and RECORD_VALUE_MAX */
    const uint64_t *tags;
    size_t tag_count;
    uint64_t fetch_seq;
    int64_t content_length;
    struct view content; /* kept inside the record; empty when it is elsewhere */
};

/** Bytes that record_write needs. */
size_t record_size(const struct record_inputs *in);
/** Write record_size(in) bytes to `to`, 8-byte aligned. */
void record_write(const struct record_inputs *in, void *to);
/** Whether bytes from a disk are a whole record of this format: every length inside, every line terminated, and the content
 *  there in full or not at all (then it lies elsewhere). They may lie at any address. */
bool record_is_sound(struct view record);

static inline const struct record_head *record_head_of(const void *record)
{
    return (const struct record_head *)record;
}
const uint64_t *record_tags(const void *record);
struct view record_key(const void *record);
struct view record_variant(const void *record);
/** Content inside the record: what follows the field lines. On disk larger content lies elsewhere and this is empty. */
struct view record_content(const void *record, size_t record_len);
/** Bytes of the record without content. */
size_t record_size_before_content(const void *record);
/** The target URI inside the key. */
struct view record_uri(struct view record);

/* One field line; name and value are followed by a NUL, so that they serve as C strings too. */
struct record_line {
    enum field_id id;
    struct view name, value;
};
struct record_walk {
    const unsigned char *at, *end;
};
struct record_walk record_lines(const void *record);
bool record_line_next(struct record_walk *w, struct record_line *out);
/** All lines as a section. @param to  room for RECORD_FIELDS_MAX fields, which the section borrows */
struct field_section record_section(const void *record, struct field *to);
/** The value of the first line with this id; at is NULL when there is none. */
struct view record_value(const void *record, enum field_id id);

#endif
