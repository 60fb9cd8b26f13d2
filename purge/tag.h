/* tag: the tags of a response (Surrogate-Key, Cache-Tag, xkey, Cache-Groups of RFC 9875), as hashes with their texts.
 * Pure functions.                                                                                                */
#ifndef WEIR_PURGE_TAG_H
#define WEIR_PURGE_TAG_H

#include "headers/field.h"

/* At the limit the response still gets stored, with the catch-all tag TAG_OVERFLOW added: every tag purge matches it,
 * so too many tags can never hide a response from a purge. */
enum { TAG_MAX = 1000, TAG_TEXT_MAX = 64 * 1024 };

/** The hash under which a tag is indexed. A tag is the bytes as written, case-sensitive. A group of RFC 9875 belongs to its
 *  origin, so it is hashed with the authority; a plain tag is the same on every host. */
uint64_t tag_hash(struct view tag);
uint64_t tag_hash_group(struct view group, struct view authority);
/** Hidden tag of every stored response: its host, so that purges of hosts and prefixes find what they reclaim. */
uint64_t tag_hash_host(struct view authority);
/** Hidden tag of a stored response whose key says more than method and URI (QUERY): a purge of the URL finds it by this,
 *  the others by their key. */
uint64_t tag_hash_uri(struct view uri);
extern const uint64_t TAG_OVERFLOW;

/** Collect the tags of a response: each hash once.
 *  @return number of hashes written to out (room for TAG_MAX + 1) */
size_t tags_of_response(struct field_section response, struct view authority, uint64_t *out);

/** Walk the tag texts, one at a time, over all the tag fields (for explain). */
struct tag_walk {
    struct field_section section;
    size_t line;
    struct view rest;
};
struct tag_walk tags_of(struct field_section s);
bool tag_walk_next(struct tag_walk *w, struct view *tag);

/** Split one value of a Surrogate-Key / xkey (blanks) or Cache-Tag (commas) field, of a PURGE request for example. */
bool tag_list_next(enum field_id id, struct view *rest, struct view *tag);

/** True for the fields that are taken off before a client sees the response: Surrogate-Key, Cache-Tag, xkey. */
bool tag_field_is_internal(enum field_id id);

#endif
