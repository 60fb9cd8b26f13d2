#!/bin/sh
# Other clients than curl's HTTP/1.1: curl as HTTP/1.0, Python's http.client, and node's fetch where node is installed.
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

# ---- curl --http1.0

ask() {
    curl -s -S -i --http1.0 --max-time 20 "$@" | tr -d '\r' >"$dir/response"
}
heard() {
    grep -a -q -- "$1" "$dir/response" || { head -c 2000 "$dir/response" >&2; fail "no \"$1\""; }
}

ask "$site/items/1"
heard 'Cache-Status: weir; fwd=uri-miss'
heard '^Connection: close'
ask "$site/items/1"
heard 'Cache-Status: weir; hit'
heard '"name": "apple"'
ask -H 'Connection: keep-alive' "$site/items/1" "$site/items/1"
[ "$(grep -c 'Cache-Status: weir; hit' "$dir/response")" = 2 ] || fail "HTTP/1.0: not two hits with keep-alive"
! grep -q '^Transfer-Encoding' "$dir/response" || fail "HTTP/1.0: Transfer-Encoding"
ask -H 'Host:' "$site/items/1"
heard '^HTTP/1.1 200'
ask -d quince "$site/items/1"
heard 'Cache-Status: weir; fwd=method'
ask "$site/items/1"
heard '"name": "quince"'
for _ in 1 2; do
    curl -s -S --http1.0 -o "$dir/large" "$site/large?bytes=3000000"
    curl -s -S -o "$dir/expected" "$origin/large?bytes=3000000"
    cmp "$dir/large" "$dir/expected" || fail "HTTP/1.0: another content"
done

# ---- Python's http.client

command -v python3 >/dev/null || fail "python3 is not installed"
python3 - "${site#http://}" <<'PY' || fail "python's http.client"
import http.client, sys

c = http.client.HTTPConnection(sys.argv[1], timeout=20)


def ask(method, target, body=None, chunked=False, **fields):
    c.request(method, target, body, {k.replace("_", "-"): v for k, v in fields.items()}, encode_chunked=chunked)
    r = c.getresponse()
    return r, r.read()


def holds(what, claim):
    if not claim:
        sys.exit("http.client: %s" % what)


ask("GET", "/items/2")
sock = c.sock
for _ in range(200):
    r, body = ask("GET", "/items/2")
    holds("a hit", r.status == 200 and r.getheader("Cache-Status").startswith("weir; hit"))
    holds("its content", b'"name"' in body and len(body) == int(r.getheader("Content-Length")))
holds("one connection for all", c.sock is sock)
r, body = ask("HEAD", "/items/2")
holds("HEAD from the stored GET", r.status == 200 and body == b"" and "hit" in r.getheader("Cache-Status"))
r, body = ask("GET", "/items/2", If_None_Match='W/"item-2-v1"')
holds("304 on the same connection", r.status == 304 and body == b"" and c.sock is sock)
r, body = ask("GET", "/large?bytes=100000", Range="bytes=16-31")
holds("a part", r.status == 206 and body == b"000000000000001\n")
r, body = ask("PUT", "/items/2", b"nothing takes this")
holds("405 of the origin", r.status == 405)
r, body = ask("POST", "/items/2", iter([b"black", b"", b"thorn"]), chunked=True, Transfer_Encoding="chunked")
holds("chunked content", r.status == 200 and b'"blackthorn"' in body)
r, body = ask("GET", "/items/2")
holds("invalidated by it", b'"blackthorn"' in body)
r, body = ask("GET", "/items/2", b"content", Content_Length="7")
holds("GET with content", r.status == 200 and b'"blackthorn"' in body)
r, body = ask("OPTIONS", "*", Max_Forwards="0")
holds("OPTIONS *", r.status == 200 and "GET" in r.getheader("Allow"))
r, body = ask("PURGE", "/items/2")
holds("PURGE", r.status == 200 and b'"purged": 1' in body)
PY

# ---- node's fetch

if ! command -v node >/dev/null; then
    echo "node is not installed: its part is left out"
    exit 0
fi
cat >"$dir/fetch.mjs" <<'JS'
const [site] = process.argv.slice(2);
const holds = (what, claim) => { if (!claim) { console.error(`node: ${what}`); process.exit(1); } };
const status = r => r.headers.get('cache-status');

const first = await (await fetch(`${site}/items/3`)).json();
holds('JSON', first.id === 3);
// Clients do not steer a shared edge: whatever node makes of its cache modes, a fresh response is a hit.
for (const cache of ['default', 'no-store', 'reload', 'no-cache', 'force-cache']) {
    const r = await fetch(`${site}/items/3`, { cache });
    holds(`${cache}: ${status(r)}`, status(r).startsWith('weir; hit'));
    holds(`${cache}: content`, (await r.json()).name === first.name);
}
// Many at once, over few connections, each read to its end.
const all = await Promise.all(Array.from({ length: 300 }, async (_, i) => {
    const r = await fetch(`${site}/large?bytes=${70000 + i % 3}`);
    return [status(r), (await r.arrayBuffer()).byteLength, 70000 + i % 3];
}));
holds('sizes', all.every(([, got, wanted]) => got === wanted));
holds('hits or collapsed', all.filter(([s]) => /stored/.test(s)).length === 3);
// Without reading: the body is cancelled, weir goes on.
for (let i = 0; i < 20; i++) await (await fetch(`${site}/large?bytes=20000000`)).body.cancel();
const r = await fetch(`${site}/items/3`, { headers: { 'If-None-Match': '"item-3-v1"' } });
holds('304', r.status === 304);
const changed = await fetch(`${site}/items/3`, { method: 'POST', body: 'damson' });
holds('POST', changed.status === 200 && (await changed.json()).name === 'damson');
holds('invalidated', (await (await fetch(`${site}/items/3`)).json()).name === 'damson');
// A stream as content: chunked.
const streamed = new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('slo')); c.enqueue(new TextEncoder().encode('e')); c.close(); } });
const sent = await fetch(`${site}/items/3`, { method: 'POST', body: streamed, duplex: 'half' });
holds('streamed POST', sent.status === 200 && (await sent.json()).name === 'sloe');
holds('streamed content', (await (await fetch(`${site}/items/3`)).json()).name === 'sloe');
const late = AbortSignal.timeout(100);
await fetch(`${site}/slow?ms=500`, { signal: late }).then(() => holds('abort', false), () => { });
holds('the fetch that was left goes on', (await (await fetch(`${site}/slow?ms=500`)).json()).slept_ms === 500);
process.exit(0); // by itself node 20 would stay, as it awaits content after a 304 that names its length
JS
timeout 60 node --no-warnings "$dir/fetch.mjs" "$site" || fail "node's fetch"
