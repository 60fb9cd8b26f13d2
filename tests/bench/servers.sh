# shellcheck shell=bash disable=SC2154,SC2034,SC2004,SC2086
# How each server is started for make bench: in the foreground, one worker on one core, its files in a directory of its
# own, no access log, and set up for speed as its own documentation advises. Sourced by run.
#   server_NAME_start ADDRESS DIRECTORY     sets PID[NAME]


background() { # SERVER COMMAND...
    local s=$1
    shift
    taskset -c "$SERVER_CORE" "$@" &
    PID[$s]=$!
}

server_floor_start() {
    background floor "$BUILD/tests/bench/floor" "$1" "${BENCH_PIECES:-1}"
}

server_weir_start() {
    background weir "$WEIR" --origin "http://$ORIGIN" --listen "$1" --admin "$WEIR_ADMIN" --store "$2/store" \
        --store-size ${STORE_MIB}MiB --memory ${MEMORY_MIB}MiB --workers 1
}

server_nginx_start() {
    local user=
    [ "$(id -u)" = 0 ] && user="user root;"
    mkdir -p "$2"/{cache,tmp}
    cat >"$2/nginx.conf" <<END
$user
daemon off;
worker_processes 1;
worker_rlimit_nofile $(ulimit -n);
pid $2/nginx.pid;
error_log $2/error.log crit;
events { worker_connections $((IDLE + 5000)); }
http {
    access_log off;
    sendfile off;
    output_buffers 2 128k;
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=4000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path $2/tmp;
    fastcgi_temp_path $2/tmp;
    uwsgi_temp_path $2/tmp;
    scgi_temp_path $2/tmp;
    proxy_temp_path $2/tmp;
    proxy_cache_path $2/cache levels=1:2 keys_zone=bench:256m max_size=20g inactive=24h use_temp_path=off;
    upstream origin {
        server $ORIGIN;
        keepalive 128;
        keepalive_requests 1000000000;
    }
    server {
        listen $1 backlog=4096;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache bench;
        }
    }
}
END
    background nginx nginx -p "$2" -e "$2/error.log" -c "$2/nginx.conf"
}

server_varnish_start() {
    cat >"$2/bench.vcl" <<END
vcl 4.1;
backend default { .host = "${ORIGIN%:*}"; .port = "${ORIGIN#*:}"; }
sub vcl_recv {
    if (req.method == "PURGE") { return (purge); }
}
END
    background varnish varnishd -F -j none -n "${SHM:-$2}/varnish" -a "$1" -T none -f "$2/bench.vcl" \
        -s malloc,${MEMORY_MIB}M -p thread_pools=1 -p thread_pool_min=100 -p thread_pool_max=1000 \
        -p timeout_idle=600
}

server_haproxy_start() {
    cat >"$2/haproxy.cfg" <<END
global
    nbthread 1
    maxconn $((IDLE + 1000))
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 60s
    timeout http-keep-alive 600s
    option http-keep-alive
    http-reuse always
cache bench
    total-max-size $MEMORY_MIB
    max-object-size $((4 * 1024 * 1024))
    max-age 86400
    process-vary on
frontend bench
    bind $1 backlog 4096
    maxconn $((IDLE + 1000))
    default_backend origin
backend origin
    http-request cache-use bench
    http-response cache-store bench
    server origin $ORIGIN
END
    background haproxy haproxy -db -f "$2/haproxy.cfg"
}

# Traffic Server finds its files by a "run root"; everything is in $2. One event thread serves and fetches; the
# threads for reading the disk are as many as by default.
server_ats_start() {
    local d
    mkdir -p "$2"/{etc,log,run,cache}
    {
        for d in prefix exec_prefix localstatedir datadir libexecdir; do echo "$d: $2"; done
        echo "sysconfdir: $2/etc"
        echo "runtimedir: $2/run"
        echo "logdir: $2/log"
        echo "cachedir: $2/cache"
        for d in bindir:BINDIR sbindir:BINDIR libdir:LIBDIR includedir:INCLUDEDIR; do
            echo "${d%:*}: $(traffic_layout info | awk -v k="${d#*:}:" '$1 == k { print $2 }')"
        done
    } >"$2/runroot.yaml"
    cat >"$2/etc/records.config" <<END
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.http.server_ports STRING ${1#*:}:ip-in=${1%:*}
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 600
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 600
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.wait_for_cache INT 1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.cache.min_average_object_size INT 2000
CONFIG proxy.config.cache.dir.sync_frequency INT ${ATS_SYNC_S:-60}
CONFIG proxy.config.cache.ram_cache.size INT $((MEMORY_MIB * 1024 * 1024))
CONFIG proxy.config.cache.ram_cache_cutoff INT 4194304
CONFIG proxy.config.net.connections_throttle INT 30000
CONFIG proxy.config.net.max_connections_in INT 30000
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.diags.debug.enabled INT 0
END
    echo "map / http://$ORIGIN/" >"$2/etc/remap.config"
    echo "$2/cache ${STORE_MIB}M" >"$2/etc/storage.config"
    cat >"$2/etc/ip_allow.yaml" <<END
ip_allow:
  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}
END
    background ats traffic_server "--run-root=$2/runroot.yaml"
}
