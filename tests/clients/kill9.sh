#!/bin/sh
# kill -9 at random moments, KILL_ROUNDS times (60), while clients read, the application purges, and the origin is
# there: with the store that was left, every response is byte-exact, and nothing that was purged comes back.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v python3 >/dev/null || fail "python3 is not installed"
python3 "$(dirname "$0")/kill9.py" "${WEIR:-build/weir}" "${KILL_ROUNDS:-60}" "$dir" "$origin" "$site" "$admin"
