"""weir's store is on a disk that fails in one way after the other: disk.sh says what must hold."""
import http.client
import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

WEIR, DIR, ORIGIN, SITE, ADMIN, KINDS = sys.argv[1:7]
MOUNT, STORE = DIR + "/disk", DIR + "/disk/store"
LOG = DIR + "/weir.log"
PATIENCE_S = 20
ITEMS = 400
SIZES = [300, 3000, 30000, 200000]
PATTERN = b"".join(b"%015x\n" % i for i in range(20000))


def fail(text):
    sys.exit("disk: %s\n%s" % (text, open(LOG).read()[-2000:]))


def address(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def run(*words):
    return subprocess.run(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0


def content(target, version):
    return b"%s version %d\n" % (target.encode(), version) + PATTERN[: int(target.split("/")[1])]


# ---- the origin

versions = {}


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = content(self.path, versions.get(self.path, 1))
        self.send_response(200)
        self.send_header("Cache-Control", "s-maxage=3600")
        self.send_header("Surrogate-Key", "tag-%s" % self.path.split("/")[2])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


# ---- weir, and those who ask it


def ask(url, method, path, body=None):
    connection = http.client.HTTPConnection(*address(url), timeout=PATIENCE_S)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.status, response.getheader("Cache-Status", ""), response.read()
    connection.close()
    return answer


def soon(what, claim):
    until = time.monotonic() + PATIENCE_S
    while not claim():
        if time.monotonic() > until:
            fail("it does not come to this: " + what)
        time.sleep(0.02)


started = []


class Weir:
    def __init__(self):
        words = [WEIR, "--origin", ORIGIN, "--listen", SITE[7:], "--admin", ADMIN[7:], "--store", STORE]
        words += ["--store-size", "20MiB", "--memory", "8MiB", "--workers", "1"]
        self.process = subprocess.Popen(words, stderr=open(LOG, "ab"))
        started.append(self.process)
        soon("weir answers", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            fail("weir ended with %d" % self.process.returncode)
        try:
            return ask(ADMIN, "GET", "/healthz")[0] == 200
        except OSError:
            return False

    def stops(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE_S + 30) != 0:
            fail("weir ended with %d" % self.process.returncode)


def end_all():
    for process in started:
        process.kill()
        process.wait()


def get(target):
    status, how, body = ask(SITE, "GET", target)
    if status != 200 or body != content(target, versions.get(target, 1)):
        fail("%s: status %d, %s, %d bytes" % (target, status, how, len(body)))
    return how.startswith("weir; hit")


def target_of(i):
    return "/%d/%d" % (SIZES[i % len(SIZES)], i)


def is_ready():
    return ask(ADMIN, "GET", "/readyz")[0] == 200


def metric(name):
    for line in ask(ADMIN, "GET", "/metrics")[2].decode().split("\n"):
        if line.startswith(name + " "):
            return float(line.split()[1])
    fail("no metric " + name)


def purge(i):
    versions[target_of(i)] = versions.get(target_of(i), 1) + 1
    return ask(ADMIN, "POST", "/v1/purge", json.dumps({"tags": ["tag-%d" % i]}))[0]


def told(text):
    return text in open(LOG).read()


def fails_and_serves(first):
    """Ask until the disk has failed, and on: everything is answered, from memory too, and purges are in force at once."""
    for i in range(first, first + ITEMS):
        get(target_of(i))
    soon("/readyz says that the store fails", lambda: not is_ready())
    if metric("weir_store_failing") != 1 or not told("cannot be written"):
        fail("the failure is not told")
    get("/300/hot")
    if not get("/300/hot"):
        fail("memory does not answer while the store fails")
    get(target_of(first))
    if purge(first) != 503:  # in force, but not durable
        fail("a purge is acknowledged that was not written")
    get(target_of(first))


def recovers(first):
    soon("/readyz says that the store is well", is_ready)
    if metric("weir_store_failing") != 0 or told("cannot be written") != told("can be written again"):
        fail("the recovery is not told")
    if purge(first + 1) != 200:
        fail("a purge is refused after the recovery")
    for i in range(first, first + 20):
        get(target_of(i))


def survives_a_restart(weir, first):
    weir.stops()
    weir = Weir()
    if sum(get(target_of(i)) for i in range(first, first + 20)) < 15:
        fail("what was stored after the recovery is not there after a restart")
    weir.stops()


# ---- the kinds of failure


def full():
    if not run("mount", "-t", "tmpfs", "-o", "size=24m", "weir-test", MOUNT):
        return print("disk: no file system in memory can be mounted: left out")
    with open(MOUNT + "/somebody-elses", "wb") as f:
        f.write(bytes(14 << 20))
    weir = Weir()
    fails_and_serves(0)
    os.unlink(MOUNT + "/somebody-elses")
    recovers(1000)
    survives_a_restart(weir, 1000)
    run("umount", MOUNT)


def limited():
    weir = Weir()
    get(target_of(0))
    resource.prlimit(weir.process.pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    fails_and_serves(2000)
    resource.prlimit(weir.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    recovers(3000)
    survives_a_restart(weir, 3000)


def on_a_loop_device(test):
    image = DIR + "/image"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    if not run("mkfs.ext4", "-q", image) or not run("mount", "-o", "loop", image, MOUNT):
        return print("disk: no loop device: left out")
    try:
        test()
    finally:
        run("fsfreeze", "-u", MOUNT)
        end_all()
        run("umount", "-l", MOUNT)


def read_only():
    """As after an error, with errors=remount-ro: nothing but a new mount mends it."""
    weir = Weir()
    stored = [target_of(i) for i in range(4000, 4100)]
    for target in stored:
        get(target)
    if not run("mount", "-o", "remount,abort", MOUNT):
        weir.stops()
        return print("disk: this file system cannot be made read-only: left out")
    fails_and_serves(5000)
    if not any(get(target) for target in stored):
        fail("what is stored is not read while nothing can be written")
    weir.stops()


def still():
    """Whatever is written waits: nobody who reads does."""
    weir = Weir()
    for i in range(6000, 6100):
        get(target_of(i))
    if not run("fsfreeze", "-f", MOUNT):
        weir.stops()
        return print("disk: this file system cannot be stopped: left out")
    for i in range(6050, 6250):
        get(target_of(i))
    if not run("fsfreeze", "-u", MOUNT):
        fail("the file system does not go on")
    recovers(7000)
    weir.stops()


def main():
    os.makedirs(MOUNT)
    server = http.server.ThreadingHTTPServer(address(ORIGIN), Origin)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for kind in KINDS.split():
        open(LOG, "w").close()
        {
            "full": full,
            "limited": limited,
            "read-only": lambda: on_a_loop_device(read_only),
            "still": lambda: on_a_loop_device(still),
        }[kind]()


try:
    main()
finally:
    end_all()
