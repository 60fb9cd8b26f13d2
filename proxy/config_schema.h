/* config_schema: settings as tables. One row says how a setting is called, where it lies in its struct, what it may be, and
 * what it is for; reading a file, printing the defaults, telling what differs, and the documentation follow from the rows.
 * Defaults are stated once, in the structs that reading begins with (policy_defaults, settings_defaults, ...).
 * Threads: pure functions over constant tables.                                                                          */
#ifndef WEIR_PROXY_CONFIG_SCHEMA_H
#define WEIR_PROXY_CONFIG_SCHEMA_H

#include "cache/policy.h"
#include "proxy/config_internal.h"
#include "proxy/config_value.h"

enum setting_type {
    SETTING_FLAG,         /* bool */
    SETTING_INT,          /* int */
    SETTING_SECONDS,      /* int64_t */
    SETTING_MILLISECONDS, /* int64_t */
    SETTING_BYTES,        /* int64_t */
    SETTING_PERCENT,      /* int */
    SETTING_TEXT,         /* const char * */
    SETTING_VIEW,         /* struct view */
    SETTING_VIEWS,        /* struct views: a list, or one text */
    SETTING_CHOICE,       /* an enum */
    SETTING_GROUP,        /* a map of settings of its own */
    SETTING_NODE,         /* const struct node *: read later, when all else is known */
    SETTING_OWN,          /* by functions of its own */
};

struct choice {
    const char *name;
    int value;
};

struct config_reader {
    struct arena *arena;
    struct config_report *report;
};

struct schema;

struct setting {
    const char *key;
    enum setting_type type;
    size_t offset;
    const char *unset; /* the word for "nothing": -1, NULL or an empty list; NULL: there is none */
    int64_t least, most;
    const struct choice *choices; /* ended by a NULL name */
    const struct schema *group;
    const char *(*check)(struct view text);
    void (*read)(struct config_reader *r, const struct node *n, void *to);
    void (*write)(struct text_out *o, const void *from);
    bool secret; /* a text may stand in a file: {file: PATH}; its value is never shown */
    bool fixed;  /* cannot change while weir runs */
    bool lower;  /* kept in lower case */
    bool path;   /* of a file: seen from the file that names it */
    const char *help;
    const char *example; /* SETTING_NODE: how it looks */
};

struct schema {
    const struct setting *rows;
    size_t count;
    const char *short_for; /* the setting that a text in the place of the map sets; NULL: none */
    /* Do the settings agree with each other? NULL, or what is wrong and what would be right. May be NULL. */
    const char *(*contradicts)(const void *base);
};

#define SCHEMA_ROWS(table) (table), sizeof(table) / sizeof *(table)

/** Set what the map says. What is wrong goes into the report; the rest is set all the same. */
void schema_read(struct config_reader *r, const struct schema *s, const struct node *map, void *to);

/** The value of a row as YAML. */
void setting_write(const struct setting *row, const void *base, struct text_out *o);

/** Call `differs` for each setting that is not the same in both. Texts live during the call. */
typedef void (*schema_differs)(void *arg, const char *path, const struct setting *row, const char *a, const char *b);
void schema_compare(const struct schema *s, const void *a, const void *b, const char *path, schema_differs differs,
                    void *arg);

/** All of it as YAML with its help, at an indentation. */
void schema_print(const struct schema *s, const void *base, int indent, FILE *to);
/** The same as comments. */
void schema_print_commented(const struct schema *s, const void *base, FILE *to);
/** Every setting's path, "cache.stale.if_error". */
void schema_each(const struct schema *s, const char *path,
                 void (*each)(void *arg, const char *path, const struct setting *row), void *arg);

/* For readers of their own. */
/** The text of a node, or an error that says what was expected. @return false when it is no text */
MUST_USE bool reader_text(struct config_reader *r, const struct node *n, const char *expected, struct view *out);
/** The same for a secret, which may stand in a file. */
MUST_USE bool reader_secret(struct config_reader *r, const struct node *n, struct view *out);
/** A list of texts, or one. @return false: nothing was set */
MUST_USE bool reader_views(struct config_reader *r, const struct setting *row, const struct node *n, struct views *out);
MUST_USE bool reader_seconds(struct config_reader *r, const struct node *n, const char *key, int64_t *out);
/** Arena memory; when there is none, the report says so. */
void *reader_alloc(struct config_reader *r, size_t len);

enum { SETTING_TEXT_MAX = 4096 }; /* of a value that is shown or compared */

#endif
