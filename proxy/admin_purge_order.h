/* admin_purge_order: what POST /v1/purge asks for, read strictly: nothing is purged unless all of it is understood.
 * Ownership: an order owns whatever its request points to, until purge_order_free. Threads: pure.            */
#ifndef WEIR_PROXY_ADMIN_PURGE_ORDER_H
#define WEIR_PROXY_ADMIN_PURGE_ORDER_H

#include "proxy/site.h"
#include "purge/purge.h"

struct purge_text;

struct purge_order {
    struct purge_request request;
    /* private */
    struct view *views;                          /* uris, prefixes, hosts and tags, in one array */
    struct store_id *uri_ids;                    /* of the uris */
    struct purge_text *texts;                    /* what the views point to */
    struct view *uris, *prefixes, *hosts, *tags; /* in views */
};

/** Read a JSON object with the members "urls", "tags", "prefixes", "hosts" (lists of strings), "all", "soft" and "dry_run"
 *  (booleans). URLs and prefixes are absolute and normalised as keys are; since a client may name a URL by the scheme that
 *  was spoken in front of weir, each stands for http and for https.
 *  @return 0, or the status of the refusal: 400, 413 (more than PURGE_ITEMS_MAX names), 503 (no memory), with `why`, which
 *          names the member; out then needs no purge_order_free */
MUST_USE int purge_order_read(struct view json, const struct site *site, struct purge_order *out, char *why,
                              size_t cap);
void purge_order_free(struct purge_order *o);

/** The same JSON as the weir behind an origin understands it, which knows URLs by the Host and the path that it is asked for.
 *  @param json         that purge_order_read has accepted
 *  @param host         what Host tells it; NULL: what the client said
 *  @param path_prefix  of its URL, "" when none
 *  @return             malloc'd, NUL-terminated; NULL: no memory */
char *purge_order_renamed(struct view json, const char *host, const char *path_prefix);

#endif
