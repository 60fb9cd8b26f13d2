"""A browser speaks WebSocket (RFC 6455) through weir: websocket.sh says what for.

The page that weir serves opens a socket for each of its targets, sends a word and a mebibyte, gets both back, closes, and
reports what it saw.
"""
import base64
import hashlib
import http.server
import json
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

DIR, ORIGIN, SECURE_PORT, SITE, ADMIN = sys.argv[1:6]
CLOSE = 8  # the opcode of a last frame
PAGE = """<!doctype html><title>socket</title><link rel="icon" href="data:,"><script>
const much = new Uint8Array(1 << 20).map((_, i) => i * 7 % 251);
const same = data => { const d = new Uint8Array(data); return d.length === much.length && d.every((b, i) => b === much[i]); };
const speak = target => new Promise(done => {
    const seen = { opened: false, protocol: null, word: null, much: false, clean: null, code: null };
    const socket = new WebSocket(location.origin.replace('http', 'ws') + target, ['jam', 'tea']);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { seen.opened = true; seen.protocol = socket.protocol; socket.send('plum'); };
    socket.onmessage = e => {
        if (typeof e.data === 'string') { seen.word = e.data; socket.send(much); }
        else { seen.much = same(e.data); socket.close(1000, 'enough'); }
    };
    socket.onclose = e => { seen.clean = e.wasClean; seen.code = e.code; done(seen); };
});
(async () => {
    const saw = {};
    for (const target of ['/socket', '/secure', '/elsewhere']) saw[target] = await speak(target);
    await fetch('/saw', { method: 'POST', body: JSON.stringify(saw) });
})();
</script>"""
saw = {}
reported = threading.Event()


def read_frame(stream):
    """First byte and content of the next frame of a client, each of which is masked."""
    first, second = stream.read(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack(">H", stream.read(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", stream.read(8))
    mask = stream.read(4)
    content = stream.read(length)
    pad = (mask * (length // 4 + 1))[:length]
    return first, (int.from_bytes(content, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")


def frame(first, content):
    length = len(content)
    if length < 126:
        head = bytes([first, length])
    elif length < 65536:
        head = struct.pack(">BBH", first, 126, length)
    else:
        head = struct.pack(">BBQ", first, 127, length)
    return head + content


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.echo()
            return
        body = PAGE.encode() if self.path == "/" else b"?"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        saw.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        reported.set()

    def echo(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "jam")
        self.end_headers()
        first = 0
        while first & 15 != CLOSE:
            first, content = read_frame(self.rfile)
            self.wfile.write(frame(first, content))
        self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def serve(port, secured):
    server = Server(("127.0.0.1", port), Origin)
    if secured:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DIR + "/certificate.pem", DIR + "/key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def holds(what, claim):
    if not claim:
        print("websocket: " + what, file=sys.stderr)
        sys.exit(1)


def browse():
    args = "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
    args += " disable-sync disable-quic no-proxy-server disable-dev-shm-usage remote-debugging-port=0"
    args += " user-data-dir=%s/profile" % DIR
    log = open(DIR + "/chromium.log", "w")
    browser = subprocess.Popen(["chromium"] + ["--" + a for a in args.split()] + [SITE + "/"], stdout=log, stderr=log)
    reported.wait(60)
    browser.terminate()
    browser.wait(20)


def main():
    serve(urllib.parse.urlsplit(ORIGIN).port, False)
    serve(int(SECURE_PORT), True)
    browse()
    whole = {"opened": True, "protocol": "jam", "word": "plum", "much": True, "clean": True, "code": 1000}
    for target in ("/socket", "/secure"):
        holds("%s: %s" % (target, saw.get(target)), saw.get(target) == whole)
    holds("a route without upgrade: %s" % saw.get("/elsewhere"), saw["/elsewhere"]["opened"] is False)
    stats = {"tunnels_open": None}
    for _ in range(100):
        stats = json.load(urllib.request.urlopen(ADMIN + "/v1/stats"))
        if stats["tunnels_open"] == 0:
            break
        time.sleep(0.05)
    counted = stats["requests"]
    much = 2 << 20
    holds("stats: %s" % stats, counted["tunnels"] == 2 and stats["tunnels_open"] == 0 and
          counted["tunnel_bytes_received"] > much and counted["tunnel_bytes_sent"] > much)


main()
