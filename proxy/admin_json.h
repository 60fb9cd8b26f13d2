/* admin_json: building answers. Threads: pure. */
#ifndef WEIR_PROXY_ADMIN_JSON_H
#define WEIR_PROXY_ADMIN_JSON_H

#include "headers/view.h"

#include <jansson.h>

/** Text that came over the wire, as a JSON string: bytes that are not UTF-8 are taken for ISO-8859-1, as HTTP once did.
 *  @return NULL: no memory */
json_t *admin_json_text(struct view text);

/* Both take over the value's reference. Without memory the member is left out: the answer is then shorter, never wrong. */
void admin_json_set(json_t *object, const char *name, json_t *value);
void admin_json_append(json_t *list, json_t *item);

#endif
