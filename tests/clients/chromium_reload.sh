#!/bin/sh
# A browser loads a page with its parts through weir, and loads it again: it asks whether anything has changed, weir
# answers 304 for each part, and the origin hears nothing of it.
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v chromium >/dev/null || fail "chromium is not installed"

# load N: the page as the browser has made it in $dir/page.N, all that it heard in $dir/net.N
load() {
    timeout 60 chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --disable-quic --no-proxy-server --user-data-dir="$dir/profile" \
        --log-net-log="$dir/net.$1" --virtual-time-budget=3000 --dump-dom "$site/" >"$dir/page.$1" 2>"$dir/chromium.log" ||
        fail "chromium ended with $?"
    grep -q 'apple, pear, plum' "$dir/page.$1" || fail "the page's script did not get the items"
}

# answered N STATUS: how often the browser heard that status
answered() {
    grep -o "HTTP/1.1 $2 " "$dir/net.$1" | wc -l
}

load 1
[ "$(answered 1 200)" -ge 4 ] || fail "first load: not four responses of 200 (page, style, script, items)"
before=$(heard_by_origin)
[ "$before" = 4 ] || fail "first load: the origin heard $before requests, not 4"

load 2
[ "$(answered 2 304)" = 3 ] || fail "second load: $(answered 2 304) responses of 304, not 3 (page, style, script)"
grep -q 'Cache-Status: weir; hit' "$dir/net.2" || fail "second load: no hit"
after=$(heard_by_origin)
[ "$after" = "$before" ] || fail "second load: the origin heard $((after - before)) requests more"
