#!/bin/sh
# nginx speaks TLS, weir stands before it: own CAs, names asked for by SNI and checked, certificates that weir shows, and
# everything that must not be trusted. Certificates are made anew each time.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v nginx >/dev/null || fail "nginx is not installed"
tls=https://${origin#http://}

# ---- certificates: NAME.pem and NAME.key

# ca NAME
ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$dir/$1.key" \
        -out "$dir/$1.pem" 2>"$dir/openssl.log" || fail "openssl: $(cat "$dir/openssl.log")"
}

# signed NAME CA DAYS SUBJECT-ALTERNATIVE-NAMES: DAYS may be negative, for one that has expired
signed() {
    printf 'subjectAltName=%s\n' "$4" >"$dir/extensions"
    {
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$dir/$1.key" \
            -out "$dir/$1.csr" &&
            openssl x509 -req -in "$dir/$1.csr" -CA "$dir/$2.pem" -CAkey "$dir/$2.key" -CAcreateserial -days "$3" \
                -extfile "$dir/extensions" -out "$dir/$1.pem"
    } 2>"$dir/openssl.log" || fail "openssl: $(cat "$dir/openssl.log")"
}

ca ours
ca theirs
signed plum ours 2 DNS:plum.test
signed pear ours 2 DNS:pear.test
signed address ours 2 IP:127.0.0.1
signed expired ours -1 DNS:expired.test
signed strict ours 2 DNS:strict.test
signed weir ours 2 DNS:weir.test
signed stranger theirs 2 DNS:weir.test

# ---- the server

# server NAME FURTHER-LINES
server() {
    cat <<CONF
    server {
        listen ${origin#http://} ssl $3;
        server_name $1.test;
        ssl_certificate $dir/$1.pem;
        ssl_certificate_key $dir/$1.key;
        $2
        add_header Cache-Control no-store;
        location / { return 200 "$1 sni=\$ssl_server_name host=\$host client=\$ssl_client_s_dn"; }
    }
CONF
}

{
    cat <<CONF
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { }
http {
    log_format line '\$status \$http_user_agent';
    access_log $dir/access line;
    default_type text/plain;
    client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
CONF
    server address '' default_server
    server plum '' ''
    server pear '' ''
    server expired '' ''
    server strict "ssl_verify_client on; ssl_client_certificate $dir/ours.pem;" ''
    echo '}'
} >"$dir/nginx.conf"
nginx -e "$dir/nginx.log" -p "$dir" -c "$dir/nginx.conf" 2>"$dir/nginx.err.log" &
origin_pid=$!
for _ in $(seq 200); do
    curl -s -f -k -o "$dir/answer" "$tls/" && break
    sleep 0.05
done

# ---- weir, with an origin for each case

# origin_row NAME HOST TLS: nginx chooses a server by Host, once it has chosen a certificate by SNI
origin_row() {
    echo "  $1: {servers: \"$tls\", host: $2, tls: {$3}}" >>"$dir/weir.yaml"
    routes="$routes  - {match: /$1, origin: $1}
"
}

configure() {
    routes=""
    echo "origins:" >"$dir/weir.yaml"
    origin_row plum plum.test "ca: ours.pem, name: plum.test"
    origin_row pear pear.test "ca: ours.pem, name: pear.test"
    origin_row address keep "ca: ours.pem"
    origin_row other-name plum.test "ca: ours.pem, name: quince.test"
    origin_row expired expired.test "ca: ours.pem, name: expired.test"
    origin_row other-ca plum.test "ca: $1.pem, name: plum.test"
    origin_row system-ca plum.test "name: plum.test"
    origin_row anybody plum.test "name: quince.test, verify: false"
    origin_row nobody strict.test "ca: ours.pem, name: strict.test"
    origin_row shown strict.test "ca: ours.pem, name: strict.test, certificate: weir.pem, key: weir.key"
    origin_row stranger strict.test "ca: ours.pem, name: strict.test, certificate: stranger.pem, key: stranger.key"
    cat >>"$dir/weir.yaml" <<CONF
  checked:
    servers: "$tls"
    host: strict.test
    tls: {ca: ours.pem, name: strict.test, certificate: weir.pem, key: weir.key}
    health: {path: /, interval: 100ms, text: "client=CN=weir"}
routes:
$routes
CONF
}

configure theirs
"${WEIR:-build/weir}" --config "$dir/weir.yaml" --listen "${site#http://}" --admin "${admin#http://}" --store "$dir/store" \
    --store-size 64MiB --memory 16MiB --workers 1 >>"$dir/weir.log" 2>&1 &
weir_pid=$!
until_answers "$admin/readyz"

# hears PATH STATUS TEXT: what the answer says
hears() {
    status=$(curl -s --max-time 20 -o "$dir/body" -w '%{http_code}' "$site$1") || fail "curl $1 ended with $?"
    [ "$status" = "$2" ] || fail "$1: $status, not $2: $(cat "$dir/body")"
    grep -q -- "$3" "$dir/body" || fail "$1: no \"$3\" in $(cat "$dir/body")"
}

# refused PATH: nothing that the server says is passed on
refused() {
    status=$(curl -s --max-time 20 -D "$dir/head" -o "$dir/body" -w '%{http_code}' "$site$1") || fail "curl $1 ended with $?"
    [ "$status" = 502 ] || fail "$1: $status, not 502"
    grep -q 'detail=origin-tls' "$dir/head" || fail "$1: $(cat "$dir/head")"
    grep -q 'sni=' "$dir/body" && fail "$1: $(cat "$dir/body")"
    return 0
}

for _ in 1 2 3; do # over a new connection, then over a kept one; and a refusal each time
    hears /plum 200 '^plum sni=plum.test host=plum.test client=$'
    hears /pear 200 '^pear sni=pear.test '
    hears /address 200 '^address sni= '
    refused /other-name
    refused /expired
    refused /other-ca
    refused /system-ca
    hears /anybody 200 '^plum sni=quince.test '
    hears /nobody 400 'No required SSL certificate'
    hears /shown 200 '^strict sni=strict.test host=strict.test client=CN=weir$'
    hears /stranger 400 'SSL certificate error'
done

# ---- the checks show the certificate too

checks=0
for _ in $(seq 100); do
    checks=$(grep -c '^200 weir/.*health check' "$dir/access") || true
    [ "$checks" -ge 3 ] && break
    sleep 0.05
done
[ "$checks" -ge 3 ] || fail "$checks checks in $(cat "$dir/access")"
grep -q 'checked' "$dir/weir.log" && fail "the checks fail"

# ---- another CA takes over with a reload

configure ours
curl -s -f -X POST "$admin/v1/reload" >"$dir/answer" || fail "the reload was refused"
hears /other-ca 200 '^plum sni=plum.test '
refused /system-ca
echo "tls_origin: ok"
