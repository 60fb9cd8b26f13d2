"""make soak: whether weir keeps its budgets while far more than fits flows through. docs/bench.md says what is printed.

Settings, from the environment: SOAK_SECONDS (45), SOAK_MEMORY and SOAK_STORE in MiB (64, 256), WEIR, BENCH_PORT, TMPDIR.
"""
import bisect
import http.client
import http.server
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = float(os.environ.get("SOAK_SECONDS", "45"))
MEMORY, STORE = int(os.environ.get("SOAK_MEMORY", "64")), int(os.environ.get("SOAK_STORE", "256"))
WEIR = os.environ.get("WEIR") or os.environ.get("BENCH_BUILD", "build") + "/weir"
PORT = int(os.environ.get("BENCH_PORT", "18400")) + 60
MIB = 1 << 20
OVERHEAD = 80  # MiB beside --memory: 64 of waiting writes, 16 of tables, threads and connections (docs/bench.md)
TARGETS = 20000
CLIENTS, SLOW = 6, 10
SLOW_BYTES = 30 * MIB
PATTERN = b"".join(b"%015x\n" % i for i in range(MIB // 16))

faults = []
lock = threading.Lock()
seen = {"responses": 0, "hits": 0, "bytes": 0}


def fault(text):
    with lock:
        faults.append(text)


# ---- what is asked for


def size_of(number):
    """200 B to 20 MiB, log-uniform; half of the targets up to 50 kB."""
    chance = random.Random(number)
    most = 20 * MIB if chance.random() < 0.5 else 50000
    return int(math.exp(chance.uniform(math.log(200), math.log(most))))


def zipf(n, exponent):
    sums, total = [], 0.0
    for i in range(n):
        total += 1 / (i + 1) ** exponent
        sums.append(total)
    return lambda: bisect.bisect(sums, random.random() * total)


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        size = int(self.path.split("/")[1])
        first = (self.path.encode() + b"\n")[:size]
        self.send_response(200)
        self.send_header("Cache-Control", "s-maxage=3600")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(first)
        for left in range(size - len(first), 0, -len(PATTERN)):
            self.wfile.write(memoryview(PATTERN)[: min(left, len(PATTERN))])

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *args):
        pass  # a client that has left


# ---- clients


def connect():
    return http.client.HTTPConnection("127.0.0.1", PORT + 1, timeout=60)


def read(connection, size, name):
    """One response, every byte compared. True: a hit."""
    target = "/%d/%s" % (size, name)
    connection.request("GET", target)
    response = connection.getresponse()
    how = response.getheader("Cache-Status", "")
    if response.status != 200:
        fault("%s: status %d, %s" % (target, response.status, how))
    first = (target.encode() + b"\n")[:size]
    same = response.read(len(first)) == first
    for left in range(size - len(first), 0, -len(PATTERN)):
        want = min(left, len(PATTERN))
        same = response.read(want) == PATTERN[:want] and same
    if not same or response.read(1):
        fault("%s: wrong content, %s" % (target, how))
    hit = how.startswith("weir; hit")
    with lock:
        seen["responses"] += 1
        seen["hits"] += hit
        seen["bytes"] += size
    return hit


def asks_on(over, choose):
    connection = connect()
    while not over.is_set():
        number = choose()
        try:
            read(connection, size_of(number), "%d" % number)
        except (OSError, http.client.HTTPException) as e:
            if not over.is_set():
                fault("%d: %r" % (number, e))
            connection = connect()


def reads_slowly(over, number):
    """1 KiB a second of something large."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", PORT + 1))
    client.sendall(b"GET /%d/slow HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (SLOW_BYTES + number % 5, PORT + 1))
    while not over.is_set() and client.recv(1024):
        over.wait(1)
    client.close()


def probes(over, waits_ms):
    """A small hit again and again: how long it takes beside all that."""
    connection = connect()
    while not over.is_set():
        began = time.monotonic()
        read(connection, 1000, "probe")
        waits_ms.append((time.monotonic() - began) * 1000)
        over.wait(0.01)


# ---- weir


def admin(path):
    connection = http.client.HTTPConnection("127.0.0.1", PORT + 2, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def weir_starts(store, log):
    words = [WEIR, "--origin", "http://127.0.0.1:%d" % PORT, "--listen", "127.0.0.1:%d" % (PORT + 1)]
    words += ["--admin", "127.0.0.1:%d" % (PORT + 2), "--store", store, "--workers", "2"]
    words += ["--store-size", "%dMiB" % STORE, "--memory", "%dMiB" % MEMORY]
    process = subprocess.Popen(words, stderr=log)
    for _ in range(1000):
        try:
            if admin("/readyz")[0] == 200:
                return process
        except OSError:
            time.sleep(0.01)
    process.kill()
    sys.exit("soak: weir does not start")


def own_memory_mib(process):
    """Not what the kernel caches of the store's file, which is mapped and given up where others need it."""
    status = open("/proc/%d/status" % process.pid).read()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) / 1024


def bytes_on_disk(path):
    entries = [path] + [os.path.join(path, name) for name in os.listdir(path)]
    return sum(os.lstat(e).st_blocks * 512 for e in entries if os.path.lexists(e))


# ---- the two parts


def mix(process, store):
    over, waits_ms = threading.Event(), []
    choose = zipf(TARGETS, 0.9)
    threads = [threading.Thread(target=asks_on, args=(over, choose)) for _ in range(CLIENTS)]
    threads += [threading.Thread(target=reads_slowly, args=(over, i), daemon=True) for i in range(SLOW)]
    threads.append(threading.Thread(target=probes, args=(over, waits_ms)))
    for t in threads:
        t.start()
    until, memory, disk = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < until:
        memory, disk = max(memory, own_memory_mib(process)), max(disk, bytes_on_disk(store))
        time.sleep(0.1)
    over.set()
    for t in threads:
        t.join(10)
    waits_ms.sort()
    print("flowed through: %d MiB in %d responses, %.0f %% hits" % (seen["bytes"] // MIB, seen["responses"],
          100 * seen["hits"] / seen["responses"]))
    print("own memory: %.0f MiB at most, with --memory %dMiB; may be %d" % (memory, MEMORY, MEMORY + OVERHEAD))
    print("store: %.1f MiB on the disk at most, with --store-size %dMiB" % (disk / MIB, STORE))
    print("a hit of 1 kB beside it: %.1f ms median, %.1f ms p99, %.1f ms at most, beside %d clients at 1 KiB/s" % (
          waits_ms[len(waits_ms) // 2], waits_ms[len(waits_ms) * 99 // 100], waits_ms[-1], SLOW))
    if memory > MEMORY + OVERHEAD:
        fault("the memory budget is exceeded")
    if disk > STORE * MIB:
        fault("the store's size is exceeded")
    if seen["bytes"] < 10 * MEMORY * MIB:
        print("! less than ten times the memory flowed through: the machine is busy, or SOAK_SECONDS too short")


def scan():
    """A hot set in use, then ten times the store once over, then the hot set again."""
    hot = [(20000, "hot-%d" % i) for i in range(200)]
    connection = connect()
    for _ in range(3):
        for size, name in hot:
            read(connection, size, name)
    for i in range(10 * STORE * MIB // 400000):
        read(connection, 400000, "scan-%d" % i)
    hits = sum(read(connection, size, name) for size, name in hot)
    print("hot set after a scan of ten times the store: %d of %d are hits" % (hits, len(hot)))
    if hits < len(hot) * 9 // 10:
        fault("the scan has pushed out the hot set")


def main():
    place = tempfile.mkdtemp(prefix="weir-soak-")
    server = Server(("127.0.0.1", PORT), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log = open(place + "/log", "wb")
    process = weir_starts(place + "/store", log)
    try:
        mix(process, place + "/store")
        scan()
        store = json.loads(admin("/v1/stats")[1])["store"]
        print("store: %d evictions, %d writes refused, %d errors, %d bad checksums" % (
              store["evictions"], store["refused"], store["errors"], store["bad_checksums"]))
        if store["errors"] or store["bad_checksums"] or store["failing"]:
            fault("the store has failed")
        process.send_signal(signal.SIGTERM)
        if process.wait(40) != 0:
            fault("weir ends with %d" % process.returncode)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place, ignore_errors=True)
    for text in faults[:10]:
        print("soak: " + text, file=sys.stderr)
    os._exit(1 if faults else 0)


main()
