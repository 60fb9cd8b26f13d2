/* settings: what the configuration says about the process itself. Part of a site: immutable, lives as long as it. */
#ifndef WEIR_PROXY_SETTINGS_H
#define WEIR_PROXY_SETTINGS_H

#include "cache/policy.h"
#include "proxy/cidr.h"
#include "proxy/front.h"

enum { SETTINGS_LISTEN_MAX = 64, SETTINGS_WORKERS_MAX = 256 };

enum proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_REQUIRED };

struct listen_settings {
    const char *address;                /* "127.0.0.1:8080" */
    enum proxy_protocol proxy_protocol; /* each connection begins with a PROXY protocol header, version 1 or 2 */
};

struct cidrs {
    const struct cidr *at;
    size_t count;
};

/* How the names of origin servers are asked for. */
struct dns_settings {
    struct views servers; /* "9.9.9.9", "9.9.9.9:53"; empty: the system's */
    int64_t timeout_ms;   /* of one try; doubled with each */
    int tries;            /* of each server */
    int64_t ttl_least_s, ttl_most_s;
};

struct settings {
    const struct listen_settings *listen;
    size_t listen_count;
    const char *admin_address;
    struct views admin_tokens;
    struct cidrs purge_allow;
    struct cidrs trusted_proxies; /* whose Forwarded and X-Forwarded-* are believed */
    const char *store_path;
    const char *access_log_path; /* NULL: no access log; "-": the standard output */
    int64_t store_bytes, memory_bytes;
    int64_t hot_keys_ms; /* between two lists of what is hot in memory; 0: none is written or read */
    int workers;
    int64_t drain_ms;
    struct front_settings limits;
    int tunnels_max; /* per worker: connections that have switched protocols */
    struct dns_settings dns;
};

#endif
