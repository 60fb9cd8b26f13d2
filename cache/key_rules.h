/* key_rules: what of a request goes into its cache key where the operator says so. Pure functions. */
#ifndef WEIR_CACHE_KEY_RULES_H
#define WEIR_CACHE_KEY_RULES_H

#include "cache/policy.h"

enum { KEY_PARAMETERS_MAX = 256 }; /* of one query; one with more is left as it is */

/** The query with the parameters that the rules keep, sorted if they say so.
 *  @return length, or -1 when it does not fit */
MUST_USE int key_query(struct view query, const struct key_rules *k, char *to, size_t cap);

/** The value of the first cookie with this name (RFC 6265 §5.4); false when there is none. Borrows. */
MUST_USE bool key_cookie(struct field_section request, struct view name, struct view *value);

/** Does `name` match a pattern in which "*" stands for any run of characters? */
bool key_name_matches(struct view pattern, struct view name);

#endif
