/* origin: an origin server that answers what the script says, and remembers what it heard.
 * Answers are taken in the order they were given, each by the first request that fits its target and method.
 * A request that fits none is answered 599 and counted as unscripted.
 * Ownership: strings in an answer are borrowed until the origin ends; gates belong to the test.
 * Threads: one accepts, one per connection answers; all functions are for the test's own thread.              */
#ifndef WEIR_TESTS_ORIGIN_H
#define WEIR_TESTS_ORIGIN_H

#include "tests/conversation/wire.h"

/* Something an answer waits for until the test opens it. Starts shut: struct gate g = { 0 }. */
struct gate {
    bool open;
    int waiting;
};

enum ending {
    KEEP,  /* the connection stays open for the next request */
    CLOSE, /* an orderly end after the whole answer */
    CUT,   /* an orderly end after cut_after bytes of content */
    RESET, /* a reset there */
    HANG   /* nothing more comes from there on, and the connection stays open */
};

#define ALWAYS (-1)

struct answer {
    const char *target; /* NULL: any */
    const char *method; /* NULL: any */
    const char *status; /* "200", or with a reason phrase of its own */
    const char *fields; /* "A: b\nC: d" */
    const char *body;
    uint64_t pattern_len; /* instead of body: that many bytes of pattern seed */
    uint64_t seed;
    const char *raw;      /* instead of all above: these bytes */
    size_t raw_len;       /* 0: up to the NUL */
    enum framing framing; /* NO_CONTENT, the default: BY_LENGTH, or what the status asks for */
    const char *trailers; /* after CHUNKED */
    const char *interim;  /* raw interim responses before the head */
    int times;            /* 0: once */
    bool early;           /* answer before the request's content was read, then close */
    bool silent;          /* no head: ending comes at once */
    bool dribble;         /* a byte at a time */
    enum ending ending;
    uint64_t cut_after;
    struct gate *hold;         /* before everything */
    struct gate *hold_head;    /* between the interim responses and the head */
    struct gate *hold_content; /* before content byte hold_after */
    uint64_t hold_after;
};

struct heard {
    struct head head;
    char method[32];
    char target[8192];
    char *body; /* NUL terminated */
    size_t body_len;
    bool body_complete;
};

struct origin;

/** port 0: any. NULL when the port is taken. */
struct origin *origin_start(int port);
/** The same at another of the loopback's addresses: "127.0.0.2", which lives as long as the origin. */
struct origin *origin_start_at(const char *address, int port);
int origin_port(const struct origin *o);
void origin_script(struct origin *o, const struct answer *a);
/** Forget what has not been asked for. */
void origin_forget(struct origin *o);
/** Stop listening and drop every connection; heard and script stay. */
void origin_down(struct origin *o);
void origin_up(struct origin *o);
/** Down, and everything freed. */
void origin_end(struct origin *o);

size_t origin_count(struct origin *o);
size_t origin_connections(struct origin *o); /* ever accepted */
size_t origin_unscripted(struct origin *o);
size_t origin_unasked(struct origin *o); /* answers that nobody asked for */
/** Wait until n requests were heard in whole; false when the deadline passed. */
bool origin_wait_count(struct origin *o, size_t n);
bool origin_wait_gate(struct origin *o, const struct gate *g, int waiting);
/** The n-th request heard, from 0; NULL when there is none. Valid until the origin ends. */
const struct heard *origin_heard_at(struct origin *o, size_t n);
void origin_open_gate(struct origin *o, struct gate *g);

#endif
