#!/bin/sh
# wrk at full speed for WRK_SECONDS (10): no error, nothing but 2xx, bounded memory, and an origin that hardly
# hears of it.
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v wrk >/dev/null || fail "wrk is not installed"
seconds=${WRK_SECONDS:-10}
limit_kib=65536 # of memory of weir's own, with --memory 16MiB and 64 clients

cat >"$dir/requests.lua" <<'LUA'
local requests, n = {}, 0
function init(args)
    local german = { ["Accept-Language"] = "de" }
    for i = 1, 9 do
        requests[#requests + 1] = wrk.format("GET", "/items/" .. i)
    end
    requests[#requests + 1] = wrk.format("GET", "/greeting", german)
    requests[#requests + 1] = wrk.format("GET", "/greeting")
    requests[#requests + 1] = wrk.format("GET", "/")
    requests[#requests + 1] = wrk.format("GET", "/large?bytes=200000")
    requests[#requests + 1] = wrk.format("GET", "/large?bytes=200000", { Range = "bytes=1000-1999" })
end
function request()
    n = n % #requests + 1
    return requests[n]
end
LUA

memory_kib() {
    sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$weir_pid/status"
}

wrk -t 2 -c 64 -d "${seconds}s" --timeout 10s -s "$dir/requests.lua" "$site" >"$dir/wrk.log" 2>&1 &
wrk_pid=$!
most_kib=0
while kill -0 "$wrk_pid" 2>/dev/null; do
    now_kib=$(memory_kib)
    [ "$now_kib" -le "$most_kib" ] || most_kib=$now_kib
    sleep 0.2
done
wait "$wrk_pid" || fail "wrk ended with $?"

requests=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$dir/wrk.log")
heard=$(heard_by_origin)
echo "$requests requests in $seconds s, the origin heard $heard, memory at most $most_kib KiB"
! grep -E 'Socket errors|Non-2xx' "$dir/wrk.log" >&2 || fail "wrk had errors"
[ "$requests" -ge $((seconds * 1000)) ] || fail "only $requests requests in $seconds s"
# 13 resources and variants, and what expires after 60 s
[ "$heard" -le $((40 + seconds)) ] || fail "the origin heard $heard requests"
[ "$most_kib" -le $limit_kib ] || fail "weir took $most_kib KiB of memory"
curl -s -f "$admin/metrics" >"$dir/metrics"
grep -q '^weir_errors_total 0$' "$dir/metrics" || fail "weir counts errors of its own: $(grep '^weir_errors' "$dir/metrics")"
