/* etag: entity tags (RFC 9110 §8.8.3). Pure functions; everything borrows. */
#ifndef WEIR_HEADERS_ETAG_H
#define WEIR_HEADERS_ETAG_H

#include "headers/field.h"

/** W/"..." : the prefix is case-sensitive. What begins with it is weak, valid or not. */
bool etag_is_weak(struct view etag);
/** An entity-tag as RFC 9110 §8.8.3 spells it: [W/] DQUOTE *etagc DQUOTE, bytes above 0x7f allowed. */
bool etag_is_valid(struct view etag);
/** §8.8.3.2. Byte for byte. A tag that is not valid (unquoted, say) is compared as it stands, as strong. */
bool etag_match_weak(struct view a, struct view b);
bool etag_match_strong(struct view a, struct view b);

enum etag_list_match { ETAG_LIST_NONE, ETAG_LIST_MATCH, ETAG_LIST_ANY };
/** Does the list in the lines with `id` (If-None-Match, If-Match) name `etag`? "*" gives ETAG_LIST_ANY.
 *  Commas inside the quotes of a tag belong to it; etagc has no escapes. An empty `etag` matches only "*". */
enum etag_list_match etag_list_find(struct field_section s, enum field_id id, struct view etag, bool strong);

#endif
