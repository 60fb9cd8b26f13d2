#include "cache/policy.h"

void policy_defaults(struct policy *out)
{
    *out = (struct policy){
        .version = VIEW(""),
        .store = true,
        .default_lifetime_s = POLICY_UNSET_S,
        .minimum_lifetime_s = POLICY_UNSET_S,
        .maximum_lifetime_s = POLICY_UNSET_S,
        .heuristics = true,
        .heuristic_percent = 10,
        .early_refresh_percent = 100,
        .heuristic_maximum_s = 3600,
        .stale_if_unreachable_s = 60,
        .default_swr_s = POLICY_UNSET_S,
        .default_sie_s = POLICY_UNSET_S,
        .stale_with_s_maxage = true,
        .set_cookie = SET_COOKIE_STRIP,
        .targeted = { FIELD_CDN_CACHE_CONTROL },
        .targeted_count = 1,
        .content_limit_bytes = (int64_t)4 << 30,
        .vary_maximum_variants = 64,
        .range_fetch_whole_limit_bytes = (int64_t)64 << 20,
        .hit_for_miss_s = 120,
    };
}
