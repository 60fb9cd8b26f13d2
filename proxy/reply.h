/* reply: the head that goes to the client, made from a stored response or from the origin's (RFC 9110 §7.6.3, RFC 9111 §5.1,
 * RFC 9211). Ownership: borrows everything but the few texts it makes; lives on the stack while front_reply copies it.
 * Threads: pure.                                                                                                        */
#ifndef WEIR_PROXY_REPLY_H
#define WEIR_PROXY_REPLY_H

#include "cache/object.h"
#include "cache/outcome.h"
#include "cache/precondition.h"
#include "proxy/front.h"

enum { REPLY_EDITS_MAX = 32, REPLY_FIELDS_MAX = RECORD_FIELDS_MAX + REPLY_EDITS_MAX + 8, REPLY_LIST_MAX = 4096 };

struct reply_head {
    struct front_field fields[REPLY_FIELDS_MAX];
    size_t count;
    bool has_lists;   /* Via or Cache-Status of those before us */
    const char *date; /* NULL: none was there */
    char age[24];
    char range[80]; /* Content-Range */
    char cache_status[REPLY_LIST_MAX];
    char via[REPLY_LIST_MAX];
};

void reply_add(struct reply_head *h, const char *name, const char *value);
/** The stored fields that go on to the client. @param not_modified  only those a 304 carries */
void reply_from_record(struct reply_head *h, const void *record, const struct policy *p, bool not_modified);
/** The same of a response as received (NUL-terminated names and values). */
void reply_from_fields(struct reply_head *h, struct field_section fields, const struct policy *p, bool not_modified);
/** Lines as they are (NUL-terminated names and values). */
void reply_add_lines(struct reply_head *h, struct field_section lines);
/** Age (RFC 9111 §5.1). */
void reply_add_age(struct reply_head *h, int64_t age_s);
/** Our member at the end of Cache-Status and of Via, after those of `fields` (which may be empty). Call last.
 *  @param http_1_0  the version with which the response was received, which Via names (RFC 9110 §7.6.3) */
void reply_add_ours(struct reply_head *h, struct field_section fields, const struct outcome *o, bool http_1_0);

#endif
