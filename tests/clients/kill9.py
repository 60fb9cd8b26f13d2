"""weir is killed again and again under load: kill9.sh says what must hold.

The origin's items have versions. The application raises an item's version, then purges it; once that purge is
acknowledged, nobody who asks later may get an older version. Every response names its item and version, and is compared
whole.
"""
import http.client
import http.server
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

WEIR, ROUNDS, DIR, ORIGIN, SITE, ADMIN = sys.argv[1], int(sys.argv[2]), *sys.argv[3:7]
ITEMS = 90
READERS = 3
PURGE_PAUSE_S = 0.01
START_LIMIT_S = 1.0  # the median: a restart serves within a second
SIZES = [0, 10, 1900, 2100, 16000, 40000, 150000]  # beyond the first line; around weir's ways to keep a content
PATTERN = b"".join(b"%015x\n" % i for i in range(10000))

versions = [1] * ITEMS  # what the origin answers with
floors = [1] * ITEMS  # what acknowledged purges allow
faults = []
starts_s = []
counts = {"responses": 0, "hits": 0, "first hits": 0, "first reads": 0, "purges": 0, "killed amid": 0, "fetched": 0}
counts_lock = threading.Lock()


def count(name, n=1):
    with counts_lock:
        counts[name] += n


def fault(text):
    faults.append(text)


def address(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def content(item, version):
    return b"item %d version %d\n" % (item, version) + PATTERN[: SIZES[item % len(SIZES)]]


# ---- the origin


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        item = int(self.path.rsplit("/", 1)[1])
        count("fetched")
        body = content(item, versions[item])
        self.send_response(200)
        self.send_header("Cache-Control", "s-maxage=3600")
        self.send_header("Surrogate-Key", "item-%d shelf-%d" % (item, item % 10))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *args):
        pass  # weir was killed


# ---- weir


def ready():
    try:
        c = http.client.HTTPConnection(*address(ADMIN), timeout=1)
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False


def weir_starts():
    command = [WEIR, "--origin", ORIGIN, "--listen", SITE[7:], "--admin", ADMIN[7:], "--store", DIR + "/store"]
    log = open(DIR + "/weir.log", "ab")
    process = subprocess.Popen(command + ["--store-size", "64MiB", "--memory", "8MiB", "--workers", "2"], stderr=log)
    until = time.monotonic() + 10
    while not ready():
        if process.poll() is not None:
            sys.exit("kill9: weir ended with %d" % process.returncode)
        if time.monotonic() > until:
            process.kill()
            sys.exit("kill9: weir is not ready after 10 s")
        time.sleep(0.01)
    return process


# ---- its clients

BROKEN = (OSError, http.client.HTTPException)


def check(item, floor, body, hit):
    line = body.split(b"\n", 1)[0].split()
    if len(line) != 4 or int(line[1]) != item:
        return fault("item %d: the response begins with %r" % (item, body[:40]))
    version = int(line[3])
    if body != content(item, version):
        return fault("item %d version %d: the content is not byte-exact" % (item, version))
    if not floor <= version <= versions[item]:
        return fault("item %d: version %d, purged up to %d, %s" % (item, version, floor, "a hit" if hit else "no hit"))


def read(connection, item):
    """One response, checked. True: a hit."""
    floor = floors[item]
    connection.request("GET", "/items/%d" % item)
    response = connection.getresponse()
    body = response.read()
    hit = response.getheader("Cache-Status", "").startswith("weir; hit")
    if response.status != 200:
        fault("item %d: status %d, %s" % (item, response.status, response.getheader("Cache-Status")))
    else:
        check(item, floor, body, hit)
    count("responses")
    count("hits", hit)
    return hit


def reads_on(over):
    chance = random.Random()
    while not over.is_set():
        connection = http.client.HTTPConnection(*address(SITE), timeout=5)
        try:
            while not over.is_set():
                read(connection, int(chance.triangular(0, ITEMS, 0)) % ITEMS)
        except BROKEN:
            if not over.is_set():
                count("killed amid")
                time.sleep(0.005)
        finally:
            connection.close()


def purge_on_listener(fields, path="/"):
    connection = http.client.HTTPConnection(*address(SITE), timeout=5)
    connection.request("PURGE", path, headers=fields)
    return connection.getresponse().status


def purge_by_admin(**names):
    connection = http.client.HTTPConnection(*address(ADMIN), timeout=5)
    connection.request("POST", "/v1/purge", json.dumps(names))
    return connection.getresponse().status


def purge(way, items):
    item = items[0]
    if way == "url":
        return purge_on_listener({}, "/items/%d" % item)
    if way == "tag":
        return purge_on_listener({"Surrogate-Key": "item-%d" % item})
    if way == "shelf":
        return purge_by_admin(tags=["shelf-%d" % (item % 10)])
    if way == "prefix":
        return purge_by_admin(prefixes=[SITE + "/items/%d" % item])
    return purge_by_admin(all=True)


def purged_items(way, item):
    if way == "shelf":
        return [item] + [i for i in range(item % 10, ITEMS, 10) if i != item]
    if way == "all":
        return [item] + [i for i in range(ITEMS) if i != item]
    return [item]


def purges_on(over, after_ack):
    """after_ack is called from this thread once a purge has been acknowledged, and may kill."""
    chance = random.Random()
    while not over.is_set():
        way = chance.choice(["url", "tag", "shelf", "prefix"] * 5 + ["all"])
        items = purged_items(way, chance.randrange(ITEMS))
        for i in items:
            versions[i] += 1
        promised = {i: versions[i] for i in items}
        try:
            status = purge(way, items)
        except BROKEN:
            continue  # not acknowledged: nothing is promised
        if status != 200:
            fault("purge by %s: status %d" % (way, status))
        for i in items:
            floors[i] = max(floors[i], promised[i])
        count("purges")
        after_ack()
        over.wait(PURGE_PAUSE_S)


# ---- rounds


def first_look():
    """Each item once, with what the killed weir has left."""
    connection = http.client.HTTPConnection(*address(SITE), timeout=5)
    for item in random.sample(range(ITEMS), ITEMS):
        hit = read(connection, item)
        count("first reads")
        count("first hits", hit)
    connection.close()


def one_round(number):
    began = time.monotonic()
    process = weir_starts()
    starts_s.append(time.monotonic() - began)
    try:
        first_look()
        over, dead = threading.Event(), threading.Event()

        def die():
            process.send_signal(signal.SIGKILL)
            dead.set()

        # Every third time the kill comes right behind an acknowledgement.
        armed = threading.Event()
        behind_ack = lambda: die() if armed.is_set() and not dead.is_set() else None
        threads = [threading.Thread(target=reads_on, args=(over,)) for _ in range(READERS)]
        threads.append(threading.Thread(target=purges_on, args=(over, behind_ack)))
        for t in threads:
            t.start()
        time.sleep(random.uniform(0.02, 0.35))
        if number % 3 == 0:
            armed.set()
            dead.wait(0.3)
        die()
        process.wait()
        over.set()
        for t in threads:
            t.join()
    finally:
        process.kill()
        process.wait()


def main():
    origin = Server(address(ORIGIN), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    for number in range(ROUNDS):
        one_round(number)
        if faults:
            break
    process = weir_starts()
    first_look()
    process.send_signal(signal.SIGTERM)
    if process.wait(20) != 0:
        fault("SIGTERM at the end: status %d" % process.returncode)
    start_s = statistics.median(starts_s)
    print(counts, "starts in %.3f s, %.3f s at most" % (start_s, max(starts_s)))
    if counts["first hits"] < counts["first reads"] // 5:
        fault("too few hits after restarts to have shown anything")
    if counts["purges"] < 2 * ROUNDS or counts["hits"] < counts["responses"] // 4:
        fault("too few purges or hits to have shown anything")
    if start_s > START_LIMIT_S:
        fault("half of the starts took %.2f s and more" % start_s)
    for text in faults[:10]:
        print("kill9: " + text, file=sys.stderr)
    os._exit(1 if faults else 0)


main()
