/* structured: Structured Field Values (RFC 8941, RFC 9651): what weir reads of them, strictly.
 * Ownership: keys and strings borrow from the field. Threads: pure functions.                  */
#ifndef WEIR_HEADERS_STRUCTURED_H
#define WEIR_HEADERS_STRUCTURED_H

#include "headers/field.h"

enum sf_type { SF_INTEGER, SF_DECIMAL, SF_STRING, SF_TOKEN, SF_BYTES, SF_BOOLEAN, SF_DATE, SF_DISPLAY, SF_INNER_LIST };

struct sf_item {
    enum sf_type type;
    int64_t integer;  /* SF_INTEGER; SF_BOOLEAN: 0 or 1 */
    struct view text; /* SF_STRING: between the quotes, escapes in place; SF_TOKEN; SF_BYTES: between the colons */
};

/** Parse the dictionary in all lines with `id`, joined. The last of equal keys wins, in the place of the first.
 *  @return number of members, at most cap (more is a parse failure), or -1 when it fails anywhere */
struct sf_member {
    struct view key;
    struct sf_item item;
};
MUST_USE int sf_dictionary_parse(struct field_section s, enum field_id id, struct sf_member *out, size_t cap);

/** Parse the list in all lines with `id`. @return as above. Parameters are checked and dropped. */
MUST_USE int sf_list_parse(struct field_section s, enum field_id id, struct sf_item *out, size_t cap);

/** An sf-string's text with its escapes undone. @return length, or -1 when it does not fit */
MUST_USE int sf_string_text(struct view text, char *to, size_t cap);

#endif
