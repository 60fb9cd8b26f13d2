/* config_value: what a setting's text means. Each reader returns NULL when the text is such a value, else what would be
 * right, in words that follow "; ". Each writer writes the text that reads as the same value. Pure functions.          */
#ifndef WEIR_PROXY_CONFIG_VALUE_H
#define WEIR_PROXY_CONFIG_VALUE_H

#include "headers/view.h"

const char *value_flag(struct view v, bool *out);
const char *value_number(struct view v, int64_t *out);
/** "30s", "1h30m", "250ms"; units ms, s, m, h, d, w; only 0 needs none. */
const char *value_milliseconds(struct view v, int64_t *out);
/** "256MiB": size_parse of options.h */
const char *value_bytes(struct view v, int64_t *out);
const char *value_percent(struct view v, int64_t *out);

/* Checks of texts, with the same answer. */
const char *check_address_port(struct view v);
const char *check_field_name(struct view v);
const char *check_field_value(struct view v);
const char *check_token(struct view v);
const char *check_not_empty(struct view v);
const char *check_path(struct view v); /* of a file */
const char *check_authority(struct view v);
const char *check_cidr(struct view v);
const char *check_word(struct view v); /* letters, digits, '-', '_', '.' */
const char *check_method(struct view v);
const char *check_secret(struct view v); /* visible ASCII, at least SECRET_MIN */

enum { SECRET_MIN = 8 };

/* Text that grows in a buffer and stays NUL-terminated; what does not fit is left out, and `full` says so. */
struct text_out {
    char *at;
    size_t used, cap;
    bool full;
    bool reveal; /* secrets too: for comparing, never for showing */
};
struct text_out text_out_in(char *to, size_t cap);
void out_format(struct text_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_milliseconds(struct text_out *o, int64_t ms);
void out_bytes(struct text_out *o, int64_t bytes);
/** In quotes where YAML needs them. */
void out_text(struct text_out *o, struct view v);
void out_secret(struct text_out *o, struct view v);

#endif
