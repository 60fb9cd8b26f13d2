/* warm: asks a weir for a list of URLs, several at a time, and tells what became of each. For `weir warm`.
 * Ownership: the list is the caller's, warm_list_free. Threads: one; it waits.                              */
#ifndef WEIR_PROXY_WARM_H
#define WEIR_PROXY_WARM_H

#include "headers/view.h"

enum { WARM_LIST_BYTES_MAX = 64 << 20, WARM_CONNECTIONS_MAX = 256, WARM_LINES_MAX = 32, WARM_URL_MAX = 8 * 1024 };

/* ---- what to ask for */

/* URLs, each inside a text that somebody else keeps. */
struct warm_list {
    struct view *urls;
    size_t count, cap;
};

/** Add the URLs of a text: one a line, blank lines and those that begin with '#' left out; or those between <loc> and </loc>
 *  of a sitemap, in which &amp; and the like become what they mean, in place. Pure but for the memory.
 *  @return false: no memory */
MUST_USE bool warm_list_add(struct warm_list *l, char *text, size_t len);
MUST_USE bool warm_list_add_url(struct warm_list *l, struct view url);
void warm_list_free(struct warm_list *l);

/* ---- asking */

enum warm_outcome {
    WARM_HIT,    /* it was there, or on its way */
    WARM_STORED, /* it came, and is stored */
    WARM_PASSED, /* it came, and is not: Cache-Status tells why */
    WARM_FAILED, /* no answer, one that broke off, or a status from 400 on */
    WARM_OUTCOMES
};

struct warm_settings {
    const char *address;      /* of a listener: "127.0.0.1:8080" */
    const char *const *lines; /* "Name: value", in every request */
    size_t line_count;
    unsigned connections;
    unsigned per_second; /* requests begun; 0: as fast as they are answered */
    /** After each one. @param why  of WARM_FAILED: a few words; else NULL. It may not live longer than the call. */
    void (*told)(void *arg, struct view url, enum warm_outcome outcome, const char *why);
    void *arg;
};

struct warm_result {
    uint64_t outcomes[WARM_OUTCOMES], bytes;
};

/** Ask for all of them. @return 0, or -1 with `why`: nothing was asked */
MUST_USE int warm(const struct warm_settings *s, const struct warm_list *l, struct warm_result *out, char *why,
                  size_t cap);

/** What weir's own member, the last, of a response's Cache-Status says (RFC 9211). Pure. */
enum warm_outcome warm_outcome_of(int status, struct view cache_status);

#endif
