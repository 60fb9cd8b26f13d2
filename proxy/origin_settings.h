/* origin_settings: what the configuration says about one origin: its servers, and how they are to be treated. Plain data,
 * part of a site: immutable, lives as long as it.                                                                        */
#ifndef WEIR_PROXY_ORIGIN_SETTINGS_H
#define WEIR_PROXY_ORIGIN_SETTINGS_H

#include "cache/policy.h"
#include "proxy/config_report.h"
#include "proxy/origin.h"

enum { ORIGIN_SERVERS_MAX = 256, ORIGIN_STATUS_RANGES_MAX = 8 };

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_IN_FLIGHT, BALANCE_HASH /* rendezvous, by cache key */ };

/* What Host tells the servers. AUTO: the server's own name when it has one, else what the client said. */
enum origin_host { ORIGIN_HOST_AUTO, ORIGIN_HOST_KEEP, ORIGIN_HOST_ORIGIN, ORIGIN_HOST_NAMED };

struct origin_server_settings {
    const char *url;
    struct origin_server server; /* with the origin's time-outs and connections */
    int weight;                  /* 1 to 100 */
    bool backup;                 /* asked only when no other server is well */
    const char *host;            /* what Host tells this one; NULL: what the client said */
    const char *admin_url;       /* of a weir's admin API, for purges handed on; NULL: none */
    struct origin_server admin;  /* where that is */
};

struct status_range {
    int first, last;
};

/* Active checks. */
struct origin_health {
    const char *path; /* NULL: none */
    int64_t interval_ms, timeout_ms;
    int rise, fall; /* checks in a row that make a server well, and ill */
    struct status_range statuses[ORIGIN_STATUS_RANGES_MAX];
    size_t status_count;
    const char *text; /* must stand in the content; NULL: any */
    const char *host; /* Host of a check; NULL: as for requests */
};

/* Passive checks: after so many failures in a row a server is left alone, then tried with single requests. */
struct origin_breaker {
    int failures; /* 0: off; -1: 5 where there are several servers, else off */
    int64_t open_ms;
    int probes;  /* requests in a row that must succeed before it is trusted again */
    bool on_5xx; /* 502, 503 and 504 count as failures */
};

struct origin_retries {
    int attempts;       /* on other servers, beyond the first try */
    int budget_percent; /* of the requests of the last ten seconds */
    bool on_5xx;        /* 502, 503 and 504 are tried elsewhere too */
    bool hedge;         /* one that waits longer than others on its route is sent to a second server */
};

struct origin_state;

struct origin_settings {
    const char *name;
    struct place place;
    struct origin_server_settings *servers;
    size_t server_count; /* at least 1 */
    enum balance balance;
    enum origin_host host;
    const char *host_name; /* ORIGIN_HOST_NAMED */
    int64_t connect_ms, first_byte_ms, between_bytes_ms, total_ms, queue_ms, idle_ms;
    int connections; /* per server and worker */
    int in_flight;   /* fetches under way, all workers together; -1: no limit */
    int queue;       /* fetches that wait: for a place among those, and for a connection, per server and worker */
    struct origin_health health;
    struct origin_breaker breaker;
    int64_t slow_start_ms; /* from 1 % to its whole share after it became well; 0: at once */
    struct origin_retries retries;
    struct origin_tls tls;
    bool forward_purges; /* purges are handed on to it */
    struct view purge_token;
    struct origin_state *state; /* what is learnt of the servers; shared, changes all the time */
};

#endif
