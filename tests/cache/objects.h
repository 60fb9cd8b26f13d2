/* objects: stored responses out of nothing, for the tests of what holds them. */
#ifndef WEIR_TESTS_CACHE_OBJECTS_H
#define WEIR_TESTS_CACHE_OBJECTS_H

#include "cache/object.h"
#include "tests/headers/table.h"

#include <stdio.h>

enum { OBJECT_KEY_MAX = 64 };

static inline struct key key_of_number(unsigned n, char *text)
{
    struct key k;
    int len = snprintf(text, OBJECT_KEY_MAX, "1\nGET\nhttp://example.com/%u", n);
    k.text = view_of(text, (size_t)len);
    key_hash(k.text, k.hash);
    return k;
}

static inline struct store_id id_of_number(unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    return (struct store_id){ .key = { k.hash[0], k.hash[1] } };
}

/** The response number n, fetched at seq, with so many bytes of content, all of them `n` (modulo 256). */
static inline struct object *object_of_number(unsigned n, size_t content_len, uint64_t seq)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    struct store_id id = { .key = { k.hash[0], k.hash[1] } };
    char *content = malloc(content_len + 1);
    memset(content, (int)(n % 256), content_len);
    struct record_inputs in = { .kind = RECORD_RESPONSE,
                                .key = k.text,
                                .variant = VIEW(""),
                                .stored = { .status = 200 },
                                .fetch_seq = seq,
                                .content_length = (int64_t)content_len,
                                .content = view_of(content, content_len) };
    struct object *o = object_new(&in, &id, NULL, 0);
    free(content);
    ck_assert_ptr_nonnull(o);
    return o;
}

/** Whether it is the response number n, whole. */
static inline bool is_number(const struct object *o, unsigned n)
{
    char text[OBJECT_KEY_MAX];
    struct key k = key_of_number(n, text);
    if (!object_is_for(o, k.text, VIEW(""))) return false;
    for (int64_t i = 0; i < object_content_length(o); i++)
        if ((unsigned char)o->content[i] != n % 256) return false;
    return true;
}

#endif
