#!/bin/sh
# Another configuration of a thousand routes, again and again while load runs, sound ones and others, by SIGHUP and by
# POST /v1/reload: no request fails, what was stored stays, and a request that begins after a reload was reported is
# answered under it.
own_weir=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

python3 "$(dirname "$0")/reload_load.py" "${WEIR:-build/weir}" "$origin" "$site" "$admin" "$dir" ||
    fail "a reload was noticed"
