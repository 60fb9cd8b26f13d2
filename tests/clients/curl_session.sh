#!/bin/sh
# The first session of a new user, with curl: a miss, a hit, a change, a purge, an origin that fails.
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

# ask EXPECTED CURL-ARGUMENTS...: the response has EXPECTED in it, head or content.
ask() {
    expected=$1
    shift
    curl -s -i --max-time 20 "$@" >"$dir/response" || fail "curl $* ended with $?"
    grep -q -- "$expected" "$dir/response" || { cat "$dir/response" >&2; fail "no \"$expected\" from: curl $*"; }
}

ask 'Cache-Status: weir; fwd=uri-miss' "$site/items"
ask 'Cache-Status: weir; fwd=uri-miss' "$site/items/3"
ask 'Cache-Status: weir; hit' "$site/items/3"
ask '"name": "plum"' "$site/items/3"
ask '^HTTP/1.1 304' -H 'If-None-Match: "item-3-v1"' "$site/items/3"

# A POST invalidates its own target; the list is told by its tag.
ask 'Cache-Status: weir; fwd=method' -d damson "$site/items/3"
ask '"name": "damson"' "$site/items/3"
ask '"name": "plum"' "$site/items"
ask '"purged": *[12]' -X PURGE -H 'Surrogate-Key: item-3' "$site/"
ask '"name": "damson"' "$site/items"

ask 'Guten Tag' -H 'Accept-Language: de' "$site/greeting"
ask 'Hello' -H 'Accept-Language: en' "$site/greeting"
ask 'Guten Tag' -H 'Accept-Language: de' "$site/greeting"
ask 'Cache-Status: weir; hit' -H 'Accept-Language: en' "$site/greeting"

ask '"visit"' "$site/me"
ask 'Cache-Status: weir; fwd' "$site/me"

ask '^HTTP/1.1 206' -r 1000-1015 "$site/large?bytes=1000000"
ask 'Cache-Status: weir; hit' -r -16 "$site/large?bytes=1000000"
curl -s "$site/large?bytes=30000000" >"$dir/through.weir"
curl -s "$site/large?bytes=30000000" >"$dir/from.weir"
curl -s "$origin/large?bytes=30000000" >"$dir/from.origin"
cmp "$dir/through.weir" "$dir/from.origin"
cmp "$dir/from.weir" "$dir/from.origin"
before=$(heard_by_origin)
curl -s -o "$dir/again" "$site/large?bytes=30000000"
[ "$(heard_by_origin)" = "$before" ] || fail "the origin heard of a hit"

ask 'Cache-Status: weir; fwd' "$site/items/3" # it went with its tag

# Purged softly and the origin failing: what is stale is served, as the origin allowed.
ask '"id"' -X POST -d '{"tags": ["items"], "soft": true}' "$admin/v1/purge"
ask '"times": 1' -X POST "$origin/control/fail?status=503&times=1"
ask '"name": "damson"' "$site/items/3"

stopped "$origin_pid"
origin_pid=
ask 'Cache-Status: weir; hit' -H 'Accept-Language: de' "$site/greeting"
ask '^HTTP/1.1 502' "$site/never-asked-before"
ask 'application/problem+json' "$site/never-asked-before"
