#!/bin/sh
# A browser at work, driven by chromedriver: pages with their parts, back and forward, reload, and fetch() in each cache
# mode. chromium_session.py says what weir and the origin must hear of it.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v chromium >/dev/null || fail "chromium is not installed"
command -v chromedriver >/dev/null || fail "chromium-driver is not installed"
weir_starts
python3 "$(dirname "$0")/chromium_session.py" "$dir" "$origin" "$site" "$admin"
