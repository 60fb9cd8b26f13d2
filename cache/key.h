/* key: what a stored response is found by: the cache key (RFC 9111 §2) and the variant, made from the fields that Vary
 * nominates (§4.1). Both are text that is compared in full; their hashes (xxHash) only find the place.
 * Ownership: texts live in the caller's buffer. Threads: pure functions.                                           */
#ifndef WEIR_CACHE_KEY_H
#define WEIR_CACHE_KEY_H

#include "cache/policy.h"
#include "headers/message.h"

enum { KEY_TEXT_MAX = 16 * 1024, VARIANT_TEXT_MAX = 16 * 1024, VARY_NAMES_MAX = 2048 };

struct key {
    uint64_t hash[2];
    struct view text;
};

/** "1" version LF method LF scheme "://" authority path?query, all normalised (path_normalise). HEAD shares GET's key, and
 *  so does POST, whose answer is only ever stored for GET (RFC 9110 §9.3.3); any other method has its own name.
 *  The policy's key rules may change the authority and the query, and add lines behind the URI.
 *  @return false when it does not fit: then nothing is stored */
MUST_USE bool key_from_request(const struct request_head *r, const struct policy *p, char *to, size_t cap,
                               struct key *out);

/** The key of QUERY (RFC 10008 §2.7): the above, then a line for each field that describes the content, then the content, all as received: in
 *  full, since a digest that collides would serve one query's answer to another. `to` may be where k->text is already.
 *  @return false when it does not fit: the answer is then passed on and not stored */
MUST_USE bool key_add_content(struct key *k, char *to, size_t cap, struct field_section fields, struct view content);

/** The target URI inside a key's text (after the second LF). Borrows. */
struct view key_uri(const struct key *k);
/** The hash of a text: for keys that were stored. */
void key_hash(struct view text, uint64_t hash[2]);

enum vary_kind { VARY_NONE, VARY_FIELDS, VARY_ANY };
/** Canonical names of the fields that Vary nominates: lower case, sorted, each once, separated by commas.
 *  Names the policy ignores are left out. "*" anywhere, a bypassed name, or names that do not fit: VARY_ANY. */
enum vary_kind vary_names(struct field_section response, const struct policy *p, char *to, size_t cap,
                          struct view *out);

struct variant {
    uint64_t hash;    /* 0: no Vary */
    struct view text; /* "name:value LF" for each nominated field; absent fields as "name LF" */
};
/** The variant a request selects among `names` (from vary_names). Values are normalised so that their meaning stays:
 *  list spacing, case where it carries none, q-values ordered (Accept*), Accept-Language kept in preference order.
 *  @return false when it does not fit: the request then matches nothing. */
MUST_USE bool variant_from_request(struct view names, struct field_section request, const struct policy *p, char *to,
                                   size_t cap, struct variant *out);

#endif
