/* config_tables: the settings there are. Each table begins from the defaults named beside it. */
#ifndef WEIR_PROXY_CONFIG_TABLES_H
#define WEIR_PROXY_CONFIG_TABLES_H

#include "proxy/config_schema.h"
#include "proxy/route.h"
#include "proxy/settings.h"

/* What a whole file says. */
struct config_file {
    struct settings settings;
    struct view admin_token;
    struct policy cache;
    const struct node *origin, *origins, *routes; /* NULL: not given */
};

extern const struct schema config_schema; /* struct config_file: config_file_defaults */
extern const struct schema cache_schema;  /* struct policy: policy_defaults */
extern const struct schema route_schema;  /* struct route: route_defaults */
extern const struct schema origin_schema; /* struct origin_settings: origin_settings_defaults */

void config_file_defaults(struct config_file *out);
/** @param policy  the `cache:` that holds for every route */
void route_defaults(const struct policy *policy, struct route *out);
void origin_settings_defaults(struct origin_settings *out);

#endif
