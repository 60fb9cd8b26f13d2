/* lines: the purges that are not yet reclaimed, one line per name, and what they say about a response.
 * Ownership: a plain value; lines_free gives its memory back. Threads: none of its own, purge.c locks.
 * Names are hashes: two names that collide purge each other's responses too, which is more, never less.         */
#ifndef WEIR_PURGE_LINES_H
#define WEIR_PURGE_LINES_H

#include "purge/purge.h"

enum line_kind { LINE_ALL, LINE_HOST, LINE_PREFIX, LINE_TAG, LINE_URL, LINE_KIND_COUNT };

/* A prefix is compared up to here: a longer one purges what its beginning matches, and a check hashes a URI only so
 * often. */
enum { LINE_PREFIX_MAX = 400 };

/* Of one name: the last hard and the last soft purge (0: none). */
struct line {
    enum line_kind kind;
    uint64_t
        name[3]; /* its hash; of a URL the two hashes of its key; of a prefix the host's tag (0: none) and its length */
    uint64_t hard_seq, soft_seq;
    int64_t soft_since_s;
};

struct line line_all(void);
struct line line_host(struct view authority);
struct line line_prefix(struct view prefix);
struct line line_tag(uint64_t hash);
struct line line_url(struct view uri, const uint64_t key[2]);
bool line_prefix_matches(const struct line *line, struct view uri);
/** The authority inside a URI; empty when there is none. */
struct view uri_authority(struct view uri);

struct lines {
    struct line *at;
    size_t count, cap;
    uint32_t *slots; /* index into `at` plus one; open addressing, a power of two */
    size_t slot_count;
    size_t of_kind[LINE_KIND_COUNT];
    size_t hard_count;                                 /* lines with a hard number */
    uint64_t prefix_lengths[LINE_PREFIX_MAX / 64 + 1]; /* one bit for each length that a line has */
    uint32_t prefixes_of_length[LINE_PREFIX_MAX + 1];
    struct line any_tag; /* the last purge of any tag at all, for responses whose tags are not known; never forgotten */
};

void lines_free(struct lines *l);
/** Room for n more, so that lines_put cannot fail. */
MUST_USE bool lines_reserve(struct lines *l, size_t n);
/** Add the numbers of `line` to its name's. */
void lines_put(struct lines *l, const struct line *line);
/** Forget the numbers of `line` where they still are the last of that name; a number of 0 is left alone. */
void lines_forget(struct lines *l, const struct line *line);
/** What there is of the same name, or NULL; until the next change. */
const struct line *lines_find(const struct lines *l, const struct line *named);

/* What the lines say of one subject. */
struct marks {
    uint64_t hard_seq, soft_seq; /* the highest number of each that matches; soft only those after the fetch began */
    int64_t soft_since_s;        /* of the earliest of these */
};
/** Only purges with a number below `before`. */
struct marks lines_check(const struct lines *l, const struct purge_subject *s, uint64_t before);

/** Whether there is a line for this very URL. */
bool lines_have_url(const struct lines *l, struct view uri);

/** The line "everything fetched before N": N such that at least half of the lines have no higher number. */
struct line lines_fold(const struct lines *l);
/** Take out the numbers that the line "everything" makes superfluous, at most `room` names.
 *  @return names written to out, each with the numbers it lost */
size_t lines_take_covered(struct lines *l, struct line *out, size_t room);

#endif
