#!/bin/sh
# nginx serves a directory of real files, weir stands before it: every file comes through byte for byte, twice, and
# nginx is asked once; ranges and conditions are answered from what is stored; what has expired is revalidated.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v nginx >/dev/null || fail "nginx is not installed"

# ---- the site

mkdir -p "$dir/site/a directory/deeper" "$dir/site/short" "$dir/tmp"
: >"$dir/site/empty.txt"
printf x >"$dir/site/one.txt"
printf '<!doctype html>\n<title>caf\303\251</title>\n' >"$dir/site/index.html"
seq 20000 >"$dir/site/numbers.css" # large enough for gzip
seq 100 >"$dir/site/a directory/with blanks & signs+.txt"
seq 5000 >"$dir/site/a directory/deeper/caf%C3%A9;v=1.txt"
for bytes in 2047 16368 16369 65536 1048577 5000000; do
    head -c $bytes /dev/urandom >"$dir/site/random-$bytes.bin"
done
seq 1000 >"$dir/site/short/lived.txt"
touch -d '2020-02-29 12:00' "$dir/site/short/lived.txt"

cat >"$dir/nginx.conf" <<CONF
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { }
http {
    log_format line '\$status \$request_uri';
    access_log $dir/access line;
    client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
    uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
    types { text/html html; text/css css; text/plain txt; }
    default_type application/octet-stream;
    gzip on; gzip_vary on; gzip_types text/css; gzip_proxied any;
    server {
        listen ${origin#http://};
        root $dir/site;
        location / { add_header Cache-Control "public, s-maxage=3600"; }
        location /short/ { add_header Cache-Control "max-age=1"; }
    }
}
CONF
: >"$dir/access"
nginx -e "$dir/nginx.log" -p "$dir" -c "$dir/nginx.conf" 2>"$dir/nginx.err.log" &
origin_pid=$!
until_answers "$origin/one.txt"
weir_starts

# asked STATUS PATH: how often nginx has given that status for that path (as it stands in the request).
asked() {
    grep -c -x -F "$1 $2" "$dir/access" || true
}

# heard TEXT: the head of the response just read has it.
heard() {
    grep -q -- "$1" "$dir/head" || { cat "$dir/head" >&2; fail "$url: no \"$1\""; }
}

get() {
    url=$1
    shift
    curl -s -S --max-time 20 -D "$dir/head" -o "$dir/body" "$@" "$site$url" || fail "curl $url ended with $?"
}

same_as() {
    cmp -s "$1" "$dir/body" || fail "$url: not what is in $1"
}

# ---- every file, twice

find "$dir/site" -type f | sort >"$dir/files"
while read -r file; do
    name=${file#"$dir/site"}
    path=$(printf %s "$name" | sed 's/%/%25/g; s/ /%20/g; s/&/%26/g; s/+/%2B/g')
    : >"$dir/access"
    get "$path"
    heard '^HTTP/1.1 200'
    heard 'Cache-Status: weir; fwd=uri-miss; fwd-status=200; ttl=[0-9]*; stored'
    same_as "$file"
    get "$path"
    heard 'Cache-Status: weir; hit'
    heard "^Content-Length: $(wc -c <"$file")"
    same_as "$file"
    get "$path" -I
    heard 'Cache-Status: weir; hit'
    heard "^Content-Length: $(wc -c <"$file")"
    [ "$(wc -l <"$dir/access")" = 1 ] || { cat "$dir/access" >&2; fail "$path: nginx was asked more than once"; }
done <"$dir/files"

# ---- parts, from what is stored

: >"$dir/access"
big=$dir/site/random-5000000.bin
part() { # part RANGE FIRST-BYTE LENGTH
    get /random-5000000.bin -r "$1"
    heard '^HTTP/1.1 206'
    heard "^Content-Range: bytes $2-$(($2 + $3 - 1))/5000000"
    heard 'Cache-Status: weir; hit'
    tail -c +$(($2 + 1)) "$big" | head -c "$3" >"$dir/part"
    same_as "$dir/part"
}
part 0-0 0 1
part 16367-16368 16367 2
part 1000000-2999999 1000000 2000000
part 4999990- 4999990 10
part -1000 4999000 1000
get /random-5000000.bin -r 1-2,4000000-4000009
heard '^HTTP/1.1 206'
heard '^Content-Type: multipart/byteranges; boundary='
get /random-5000000.bin -r 5000000-
heard '^HTTP/1.1 416'
heard '^Content-Range: bytes \*/5000000'
etag=$(curl -s -I "$site/random-5000000.bin" | tr -d '\r' | sed -n 's/^ETag: //p')
get /random-5000000.bin -r 0-9 -H "If-Range: $etag"
heard '^HTTP/1.1 206'
get /random-5000000.bin -r 0-9 -H 'If-Range: "another"'
heard '^HTTP/1.1 200'
same_as "$big"
get /random-5000000.bin -H "If-None-Match: $etag"
heard '^HTTP/1.1 304'
get /one.txt -H "If-Modified-Since: $(LC_ALL=C date -u +'%a, %d %b %Y %H:%M:%S GMT')"
heard '^HTTP/1.1 304'
[ ! -s "$dir/access" ] || { cat "$dir/access" >&2; fail "nginx was asked for parts or conditions"; }

# ---- two codings of one file, side by side

get /numbers.css -H 'Accept-Encoding: gzip'
heard '^Content-Encoding: gzip'
heard '^Vary: Accept-Encoding'
for _ in 1 2; do
    get /numbers.css --compressed -H 'Accept-Encoding: gzip'
    heard 'Cache-Status: weir; hit'
    same_as "$dir/site/numbers.css"
    get /numbers.css
    heard 'Cache-Status: weir; hit'
    same_as "$dir/site/numbers.css"
done

# ---- what nginx says itself goes through

get /nothing-there
heard '^HTTP/1.1 404'
get '/a%20directory'
heard '^HTTP/1.1 301'

# ---- expired: nginx says 304, and the file is fresh again; changed: the new one comes

: >"$dir/access"
sleep 2
get /short/lived.txt
heard 'Cache-Status: weir; fwd=stale; fwd-status=304'
same_as "$dir/site/short/lived.txt"
[ "$(asked 304 /short/lived.txt)" = 1 ] || { cat "$dir/access" >&2; fail "nginx did not answer 304"; }
[ "$(asked 200 /short/lived.txt)" = 0 ] || fail "nginx sent an unchanged file again"
get /short/lived.txt
heard 'Cache-Status: weir; hit'
seq 2000 >"$dir/site/short/lived.txt"
sleep 2
get /short/lived.txt
heard 'Cache-Status: weir; fwd=stale; fwd-status=200'
same_as "$dir/site/short/lived.txt"

# ---- nginx gone: what is stored is still there, from the store after a restart too

stopped "$origin_pid"
origin_pid=
get /numbers.css
heard 'Cache-Status: weir; hit'
kill -9 "$weir_pid"
wait "$weir_pid" 2>/dev/null || true
weir_starts
get /random-5000000.bin
heard 'Cache-Status: weir; hit'
same_as "$big"
