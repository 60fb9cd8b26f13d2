"""Two nginx, a node and three scripted servers behind weir. While clients ask, servers are killed, stopped, slowed and brought
back; no request may fail that another server, or what is stored, could have answered, and none may be sent twice that must
not. Ends with a line of what was retried, sent to a second server, served stale and refused."""
import http.client, json, os, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WEIR = os.environ.get("WEIR", "build/weir")
BASE = 20000 + os.getpid() % 800 * 12  # below the range from which the kernel gives ports to clients
SITE, ADMIN, PROXIED, SHIELD, SHIELD_ADMIN = BASE, BASE + 1, BASE + 8, BASE + 9, BASE + 10
NGINX, NODE = [BASE + 2, BASE + 3], BASE + 4
REAL = NGINX + [NODE]
ANSWERS, HANGS_UP, SLOW = BASE + 5, BASE + 6, BASE + 7
CLIENTS = 8

directory = tempfile.mkdtemp()
running = {}


def fail(why):
    print(f"origins: {why}", file=sys.stderr)
    with open(f"{directory}/weir.log", errors="replace") as log:
        sys.stderr.write(log.read()[-4000:])
    raise SystemExit(1)


def wait_for(what, condition, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    fail(f"waited {seconds} s for {what}")


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def start_nginx(port):
    home = f"{directory}/nginx-{port}"
    os.makedirs(home, exist_ok=True)
    with open(f"{home}/nginx.conf", "w") as f:
        f.write(f"""daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 512; }}
http {{ log_format request "$request_method $uri"; access_log {directory}/heard-{port} request; keepalive_requests 100000;
  client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home}; uwsgi_temp_path {home}; scgi_temp_path {home};
  server {{ listen 127.0.0.1:{port}; default_type text/plain;
    location = /healthz {{ return 200 "fit as a fiddle"; }}
    location /kept/ {{ add_header Cache-Control "max-age=1, stale-if-error=600"; return 200 "kept by {port}"; }}
    location / {{ add_header Cache-Control no-store; return 200 "fresh from {port}"; }} }} }}
""")
    running[port] = subprocess.Popen(["nginx", "-p", home, "-c", f"{home}/nginx.conf"], stderr=subprocess.DEVNULL)
    wait_for(f"nginx at {port}", lambda: listens(port))


NODE_SERVER = """
const http = require("http"), fs = require("fs"), [port, log] = process.argv.slice(2);
let delay = 0;
function answer(request, response) {
    fs.appendFileSync(log, `${request.method} ${request.url}\\n`);
    if (request.url.startsWith("/kept/")) {
        response.setHeader("Cache-Control", "max-age=1, stale-if-error=600");
        response.end(`kept by ${port}`);
    } else if (request.url == "/healthz") {
        response.end("fit as a fiddle");
    } else {
        response.setHeader("Cache-Control", "no-store");
        response.write("fresh "); // chunked
        response.end(`from ${port}`);
    }
}
http.createServer((request, response) => {
    const slower = request.url.match(/^\\/delay\\/(\\d+)$/);
    if (slower) {
        delay = +slower[1];
        response.end();
    } else {
        request.resume();
        setTimeout(answer, delay, request, response);
    }
}).listen(+port, "127.0.0.1");
"""


def start_node(port):
    with open(f"{directory}/origin.js", "w") as f:
        f.write(NODE_SERVER)
    running[port] = subprocess.Popen(["node", f"{directory}/origin.js", str(port), f"{directory}/heard-{port}"])
    wait_for(f"node at {port}", lambda: listens(port))


def start(port):
    start_node(port) if port == NODE else start_nginx(port)


def end(name, how=signal.SIGKILL):
    process = running.pop(name)
    process.send_signal(how)
    return process.wait(20)


class Scripted(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    heard, fields = [], {}

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Scripted.fields[self.path] = self.headers
        Scripted.heard.append((self.server.server_port, self.command, self.path, body))
        if self.server.server_port == HANGS_UP:
            self.close_connection = True
            return
        if self.server.server_port == SLOW:
            time.sleep(0.6)
        content = b"heard " + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if self.path.startswith("/shared/"):
            self.send_header("Cache-Control", "max-age=60")
            self.send_header("Surrogate-Key", "fruit")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *words):
        pass


def ask(method, path, content=None, fields={}, host="a.example", port=None):
    c = http.client.HTTPConnection("127.0.0.1", port or SITE, timeout=20)
    try:
        c.request(method, path, content, {"Host": host, **fields})
        r = c.getresponse()
        return r.status, r.read().decode(), r.headers
    finally:
        c.close()


def stats():
    c = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=5)
    c.request("GET", "/v1/stats")
    return json.load(c.getresponse())


def state_of(origin, port):
    for s in stats()["origins"][origin]["servers"]:
        if s["url"].endswith(f":{port}"):
            return s["state"]


class Load:
    """Clients that ask all the time, mostly for something new, and what they heard. Nothing may fail, save where `expected`
    says so of a request and its answer."""

    def __init__(self, host, clients=CLIENTS, method="GET", path="/{}/{}", expected=lambda path, said: said.startswith("200 ")):
        self.host, self.method, self.path, self.expected = host, method, path, expected
        self.over, self.answers, self.bad, self.lock = False, {}, {}, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, number):
        c, n = http.client.HTTPConnection("127.0.0.1", SITE, timeout=20), 0
        while not self.over:
            n += 1
            path = f"/kept/{n % 30}" if n % 3 == 0 and self.method == "GET" else self.path.format(number, n)
            try:
                c.request(self.method, path, headers={"Host": self.host})
                r = c.getresponse()
                content = r.read().decode()
                said = f"{r.status} {content if r.status == 200 else r.headers['Cache-Status']}"
            except (OSError, http.client.HTTPException) as e:
                said = f"no answer: {e!r}"
                c.close()
            with self.lock:
                self.answers[said] = self.answers.get(said, 0) + 1
                if not self.expected(path, said):
                    self.bad[said] = path

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()
        if self.bad:
            fail(f"of {sum(self.answers.values())} requests to {self.host} some failed: {self.bad}")
        return sum(self.answers.values())


def run_weir(name, port, settings):
    with open(f"{directory}/{name}.yaml", "w") as f:
        f.write(settings)
    log = open(f"{directory}/{name}.log", "w")
    running[name] = subprocess.Popen([WEIR, "--config", f"{directory}/{name}.yaml"], stdout=log, stderr=log)
    wait_for(name, lambda: running[name].poll() is not None or listens(port))
    if running[name].poll() is not None:
        fail(f"{name} ended: " + open(f"{directory}/{name}.log").read())


def start_weir():
    run_weir("weir", SITE, f"""
listen: ["127.0.0.1:{SITE}", {{address: "127.0.0.1:{PROXIED}", proxy_protocol: required}}]
admin: {{address: "127.0.0.1:{ADMIN}"}}
trusted_proxies: ["192.0.2.0/24", "127.0.0.2"]
purge: {{allow: ["198.51.100.0/24", "127.0.0.1"]}}
store: {{path: {directory}/store, size: 64MiB}}
memory: 16MiB
workers: 2
origins:
  broken:
    servers: [{", ".join(f'"http://127.0.0.1:{p}"' for p in REAL)}]
    first_byte_timeout: 500ms
    breaker: {{failures: 3, open: 500ms, probes: 2}}
    retries: {{attempts: 2}}
    slow_start: 500ms
  checked:
    servers: [{", ".join(f'"http://127.0.0.1:{p}"' for p in REAL)}]
    balance: least_in_flight
    health: {{path: /healthz, text: fiddle, interval: 100ms, timeout: 100ms, rise: 2, fall: 2}}
    breaker: {{failures: 0}}
    retries: {{attempts: 2}}
  hedged:
    servers: [{", ".join(f'"http://127.0.0.1:{p}"' for p in REAL)}]
    retries: {{hedge: true}}
  rude:
    servers: ["http://127.0.0.1:{HANGS_UP}", {{url: "http://127.0.0.1:{ANSWERS}", backup: true}}]
    breaker: {{failures: 0}}
  shield:
    servers: "http://127.0.0.1:{SHIELD}"
    forward_purges: true
    purge_token: between-weirs
  busy:
    servers: "http://127.0.0.1:{SLOW}"
    in_flight: 2
    queue: 3
    queue_timeout: 300ms
routes:
  - {{match: busy.example, origin: busy}}
  - {{match: shared.example, origin: shield}}
  - {{match: loop.example, origin: shield}}
  - {{match: plain.example, origin: "http://127.0.0.1:{ANSWERS}"}}
  - {{match: a.example, origin: broken, cache: {{stale: {{if_unreachable: 600s}}}}}}
  - {{match: checked.example, origin: checked}}
  - {{match: hedged.example, origin: hedged}}
  - {{match: rude.example, origin: rude, retry_post: true}}
  - {{match: rude.example/never/, origin: rude}}
""")


def sent_twice():
    """What was sent to a server more than once, of requests that must not be."""
    requests = [line for port in REAL for line in open(f"{directory}/heard-{port}") if line.startswith("POST ")]
    return len(requests) - len(set(requests)), len(requests)


def servers_come_and_go():
    load = Load("a.example")
    posts = Load("a.example", 2, "POST", "/post/{}/{}", lambda path, said: said[:3] in ("200", "502", "504"))
    time.sleep(0.7)
    end(NGINX[0])
    time.sleep(1)
    start(NGINX[0])
    time.sleep(1)
    running[NGINX[1]].send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    running[NGINX[1]].send_signal(signal.SIGCONT)
    time.sleep(0.5)
    end(NODE)
    time.sleep(0.5)
    start(NODE)
    time.sleep(0.5)
    asked, posted = load.end(), posts.end()
    for port in REAL:
        wait_for(f"{port} to be asked again", lambda: ask("GET", "/x") and state_of("broken", port) == "well")
        if f"200 fresh from {port}" not in load.answers:
            fail(f"{port} was never asked")
    failed = sum(n for said, n in posts.answers.items() if not said.startswith("200"))
    twice, heard = sent_twice()
    if twice != 0 or heard < posted - failed - len(REAL):  # one that is killed may not have noted the last
        fail(f"{posted} POSTs, {failed} of them failed, {heard} heard, {twice} of them twice")
    return asked, posted, failed


def checks_tell_who_is_well():
    wait_for("the first checks", lambda: state_of("checked", NODE) == "well")
    load = Load("checked.example")
    time.sleep(0.3)
    running[NODE].send_signal(signal.SIGSTOP)
    wait_for("a stopped server to be found ill", lambda: state_of("checked", NODE) == "ill")
    running[NODE].send_signal(signal.SIGCONT)
    wait_for("it to be found well", lambda: state_of("checked", NODE) == "well")
    end(NODE)
    wait_for("a killed server to be found ill", lambda: state_of("checked", NODE) == "ill")
    start(NODE)
    wait_for("it to be found well", lambda: state_of("checked", NODE) == "well")
    return load.end()


def one_is_slow():
    """What waits for it is sent to another one too, as far as the budget goes."""
    load = Load("hedged.example")
    wait_for("the usual times", lambda: stats()["origins"]["hedged"]["servers"][2]["requests"] > 100)
    ask("GET", "/delay/150", port=NODE)
    wait_for("second requests that win", lambda: stats()["origins"]["hedged"]["hedges_won"] >= 5)
    ask("GET", "/delay/0", port=NODE)
    asked, hedged = load.end(), stats()["origins"]["hedged"]
    if hedged["hedges"] > max(asked / 10, 10) + CLIENTS or any(s["failures"] for s in hedged["servers"]):
        fail(f"second requests beyond the budget, or counted as failures: {hedged}")
    return asked


def all_down():
    """What was stored is served stale, always; anything else is refused, with the time to come again."""
    for n in range(30):
        ask("GET", f"/kept/{n}")
    for port in REAL:
        end(port)
    time.sleep(1.1)
    load = Load("a.example", expected=lambda path, said: said.startswith("200 kept by ") if path.startswith("/kept/")
                else said[:4] in ("502 ", "503 "))
    time.sleep(0.5)
    wait_for("every server to be left alone", lambda: ask("GET", "/new")[0] == 503)
    status, said, fields = ask("GET", "/new")
    if status != 503 or "origin-down" not in fields["Cache-Status"] or int(fields["Retry-After"]) < 1:
        fail(f"all down: {status} {fields}")
    asked = load.end()
    for port in REAL:
        start(port)
    wait_for("the servers to be tried", lambda: ask("GET", "/new")[0] == 200)
    wait_for("all to be well", lambda: ask("GET", "/new") and all(state_of("broken", p) == "well" for p in REAL))
    return asked


def too_much_at_once():
    said = []

    def one(number):
        status, _, fields = ask("GET", f"/busy/{number}", host="busy.example")
        said.append(str(status) + " " + fields["Cache-Status"].partition("detail=")[2])

    clients = [threading.Thread(target=one, args=(i,)) for i in range(10)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    expected = ["200 no-freshness"] * 2 + ["503 origin-queue-full"] * 5 + ["503 origin-queue-timed-out"] * 3
    if sorted(said) != expected:
        fail(f"two places, three that wait: {sorted(said)}")
    if len([1 for _, _, path, _ in Scripted.heard if path.startswith("/busy/")]) != 2:
        fail("the busy server heard of more than two")
    for number in ("a", "b"):
        if ask("GET", f"/busy/{number}", host="busy.example")[0] != 200:
            fail("no place was given back")


V2 = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_HEADERS = [  # who sends them, and whom the origin hears of; None: the connection is closed
    ("127.0.0.2", b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\n", "192.0.2.7"),
    ("127.0.0.2", b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 80\r\n", "2001:db8::7"),
    ("127.0.0.2", V2 + b"\x21\x21\0\x24" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x09" + bytes(16) + b"\x0f\xa0\0\x50", "2001:db8::9"),
    ("127.0.0.2", V2 + b"\x21\x11\0\x0c\xc0\0\x02\x08\xc0\0\x02\x01\x0f\xa0\0\x50", "192.0.2.8"),
    ("127.0.0.2", V2 + b"\x20\0\0\0", "127.0.0.2"),
    ("127.0.0.2", b"PROXY UNKNOWN\r\n", "127.0.0.2"),
    ("127.0.0.2", b"", None),
    ("127.0.0.2", b"PROXY NONSENSE\r\n", None),
    ("127.0.0.2", b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\n", None),
    ("127.0.0.2", b"PROXY TCP4 192.0.2.777 192.0.2.1 4000 80\r\n", None),
    ("127.0.0.2", V2 + b"\x21\x11\0\x04\xc0\0\x02\x08", None),
    ("127.0.0.2", V2 + b"\x31\0\0\0", None),
    ("127.0.0.3", b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\n", None),
    ("127.0.0.3", V2 + b"\x20\0\0\0", None),
    ("127.0.0.3", b"", None),
]


def load_balancers_say_who_asks():
    for number, (source, header, client) in enumerate(PROXY_HEADERS):
        for pieces in (1, 3):
            path = f"/from/{number}/{pieces}"
            said = header + f"GET {path} HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n".encode()
            with socket.create_connection(("127.0.0.1", PROXIED), timeout=10, source_address=(source, 0)) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for at in range(pieces):
                        s.sendall(said[len(said) * at // pieces : len(said) * (at + 1) // pieces])
                        time.sleep(0.02 * (pieces > 1))
                    answer = s.makefile("rb").read()
                except (ConnectionResetError, BrokenPipeError):
                    answer = b""
            if client is None and answer != b"":
                fail(f"served with this PROXY header from {source}: {header} {answer}")
            if client is not None and Scripted.fields[path]["X-Forwarded-For"] != client:
                fail(f"{header} in {pieces} pieces: {Scripted.fields[path]['X-Forwarded-For']}, {answer}")


CLAIMS = [  # by whom, method, what is said; the status, and what the origin hears
    ("127.0.0.1", "GET", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}, 200, ("127.0.0.1", "http")),
    ("127.0.0.2", "GET", {"X-Forwarded-For": "7.7.7.7", "X-Forwarded-Proto": "https"}, 200, ("7.7.7.7, 127.0.0.2", "https")),
    ("127.0.0.1", "PURGE", {}, 200, None),
    ("127.0.0.2", "PURGE", {"X-Forwarded-For": "198.51.100.9"}, 200, None),
    ("127.0.0.2", "PURGE", {"X-Forwarded-For": "203.0.113.9"}, 403, None),
    ("127.0.0.2", "PURGE", {"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=198.51.100.9"}, 200, None),
    ("127.0.0.2", "PURGE", {"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=203.0.113.9"}, 403, None),
    ("127.0.0.2", "PURGE", {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=198.51.100.9"}, 403, None),
    ("127.0.0.3", "PURGE", {"X-Forwarded-For": "198.51.100.9"}, 403, None),
]


def only_trusted_proxies_are_believed():
    for number, (source, method, fields, status, said) in enumerate(CLAIMS):
        c = http.client.HTTPConnection("127.0.0.1", SITE, timeout=10, source_address=(source, 0))
        c.request(method, f"/claim/{number}", headers={"Host": "plain.example", **fields})
        r = c.getresponse()
        r.read()
        c.close()
        got = Scripted.fields.get(f"/claim/{number}", {})
        if r.status != status or said not in (None, (got.get("X-Forwarded-For"), got.get("X-Forwarded-Proto"))):
            fail(f"{source} {method} {fields}: {r.status}, {dict(got)}")


def start_shield():
    run_weir("shield", SHIELD, f"""
listen: ["127.0.0.1:{SHIELD}"]
admin: {{address: "127.0.0.1:{SHIELD_ADMIN}", token: between-weirs}}
store: {{path: {directory}/shield-store, size: 64MiB}}
memory: 16MiB
workers: 1
purge: {{allow: []}}
origins:
  inner: {{servers: "http://127.0.0.1:{ANSWERS}"}}
  edge: {{servers: "http://127.0.0.1:{SITE}"}}
routes:
  - {{match: shared.example, origin: inner, cache: {{pass_tags: true}}}}
  - {{match: loop.example, origin: edge}}
""")


def two_tiers():
    def shared(port=None):
        status, _, fields = ask("GET", "/shared/plum", host="shared.example", port=port)
        if status != 200:
            fail(f"shield: {status} {fields}")
        return fields["Cache-Status"], int(fields["Age"] or 0)

    shared(SHIELD)
    time.sleep(2.1)
    status, age = shared()
    if not status.startswith("weir; hit; ttl=5") or ", weir; fwd=uri-miss" not in status or age < 2:
        fail(f"a miss here and a hit at the shield: {status}, Age {age}")
    status, age = shared()
    if not status.endswith("weir; hit; ttl=58") and not status.endswith("weir; hit; ttl=57") or age < 2:
        fail(f"a hit here counts the time at the shield: {status}, Age {age}")
    for fields in ({}, {"Surrogate-Key": "fruit"}):
        before = len(heard("/shared/plum"))
        status, said, got = ask("PURGE", "/shared/plum", None, fields, host="shared.example")
        if status != 200 or "; hit" in shared()[0] or len(heard("/shared/plum")) != before + 1:
            fail(f"a purge was not handed on: {status} {said}, {heard('/shared/plum')}")
    status, said, fields = ask("GET", "/round/and/round", host="loop.example")
    if status != 508:
        fail(f"a loop: {status} {fields}")
    end("shield", signal.SIGTERM)
    status, said, fields = ask("PURGE", "/shared/plum", host="shared.example")
    if status != 502 or "purge-not-handed-on" not in fields["Cache-Status"] or ask("GET", "/shared/plum", host="shared.example")[0] != 502:
        fail(f"a purge that the shield did not hear of: {status} {fields}")


def heard(path):
    return [(port, body) for port, method, target, body in Scripted.heard if target == path]


def unsafe_requests_are_sent_once():
    if ask("GET", "/get", host="rude.example")[0] != 200 or [p for p, _ in heard("/get")] != [HANGS_UP, ANSWERS]:
        fail(f"a GET was not tried elsewhere: {heard('/get')}")
    key = {"Idempotency-Key": "8e03978e"}
    if ask("POST", "/plain", b"plum", host="rude.example")[0] != 502 or len(heard("/plain")) != 1:
        fail(f"a POST was repeated: {heard('/plain')}")
    if ask("POST", "/never/keyed", b"plum", key, host="rude.example")[0] != 502 or len(heard("/never/keyed")) != 1:
        fail(f"a POST was repeated on a route that does not say so: {heard('/never/keyed')}")
    status, said, _ = ask("POST", "/keyed", b"p" * 50000, key, host="rude.example")
    if status != 200 or [(p, len(b)) for p, b in heard("/keyed")] != [(HANGS_UP, 50000), (ANSWERS, 50000)]:
        fail(f"a POST with a key was not tried elsewhere: {status}, {[(p, len(b)) for p, b in heard('/keyed')]}")


def main():
    for port in (ANSWERS, HANGS_UP, SLOW):
        server = ThreadingHTTPServer(("127.0.0.1", port), Scripted)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for port in REAL:
            start(port)
        start_weir()
        asked, posted, failed = servers_come_and_go()
        asked += checks_tell_who_is_well() + one_is_slow() + all_down()
        too_much_at_once()
        load_balancers_say_who_asks()
        only_trusted_proxies_are_believed()
        start_shield()
        two_tiers()
        unsafe_requests_are_sent_once()
        s = stats()
        if end("weir", signal.SIGTERM) != 0:
            fail("weir did not end well")
        down, full, hedged, won = (sum(o[what] for o in s["origins"].values())
                                   for what in ("all_down", "queue_full", "hedges", "hedges_won"))
        print(f"origins: {asked} requests under load, none failed that must not: {s['requests']['retries']} retried, "
              f"{hedged} sent to a second server ({won} answered there first), {s['requests']['stale_on_error']} served "
              f"stale, {down + full} refused ({down} all down, {full} queue full); {posted} POSTs, {failed} failed with their "
              f"server, none was sent twice")
    finally:
        for name in list(running):
            running[name].send_signal(signal.SIGCONT)
            end(name)
        shutil.rmtree(directory, ignore_errors=True)


main()
