#!/bin/sh
# A browser speaks WebSocket through weir, with an origin over http and with one over https: websocket.py is both the origin and
# the one who starts the browser.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v chromium >/dev/null || fail "chromium is not installed"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/openssl.log"
secure_port=$((first_port + 2500)) # beyond those of the tests beside it
cat >"$dir/weir.yaml" <<END
listen: "${site#http://}"
admin: {address: "${admin#http://}"}
store: {path: "$dir/store", size: 64MiB}
memory: 16MiB
origin: "$origin"
origins: {secure: {servers: "https://localhost:$secure_port", tls: {ca: "$dir/certificate.pem"}}}
routes:
  - {match: /socket, upgrade: websocket}
  - {match: /secure, upgrade: websocket, origin: secure}
END
"${WEIR:-build/weir}" --config "$dir/weir.yaml" >>"$dir/weir.log" 2>&1 &
weir_pid=$!
until_answers "$admin/readyz"
python3 "$(dirname "$0")/websocket.py" "$dir" "$origin" "$secure_port" "$site" "$admin"
