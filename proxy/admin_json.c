#include "proxy/admin_json.h"

#include <stdlib.h>

json_t *admin_json_text(struct view text)
{
    json_t *json = json_stringn(text.len > 0 ? text.at : "", text.len);
    if (json != NULL) return json;
    char *utf8 = malloc(2 * text.len);
    size_t n = 0;
    if (utf8 == NULL) return NULL;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c >= 0x80) utf8[n++] = (char)(0xc0 | c >> 6);
        utf8[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    json = json_stringn(utf8, n);
    free(utf8);
    return json;
}

void admin_json_set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

void admin_json_append(json_t *list, json_t *item)
{
    (void)json_array_append_new(list, item);
}
