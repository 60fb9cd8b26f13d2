"""A browser's session through weir: chromium_session.sh says what for.

Two pages share a style, a script and a picture. What the browser keeps by itself and what it asks weir for is seen in
weir's count of requests; what weir asks for in the origin's.
"""
import http.client
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse

DIR, ORIGIN, SITE, ADMIN = sys.argv[1:5]
PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="plum"/></svg>'
)
PAGE = """<!doctype html><html><head><title>%s</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css"></head><body><h1>%s</h1><img src="/picture.svg" alt="">
<script src="/script.js"></script></body></html>"""
SHARED = "public, max-age=0, s-maxage=3600"  # weir keeps it, the browser asks each time
BOTH = "public, max-age=600, s-maxage=3600"
RESOURCES = {
    "/one": ("text/html", SHARED, PAGE % ("one", "one")),
    "/two": ("text/html", SHARED, PAGE % ("two", "two")),
    "/style.css": ("text/css", SHARED, "h1 { color: rgb(1, 2, 3) }"),
    "/script.js": ("text/javascript", SHARED, "document.body.dataset.ran = document.title;"),
    "/picture.svg": ("image/svg+xml", SHARED, PICTURE.decode()),
    "/data": ("text/plain", BOTH, "plum"),
}
heard = []


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        heard.append(self.path)
        name = "/data" if self.path.startswith("/data") else self.path
        kind, freshness, text = RESOURCES.get(name, ("text/plain", "no-store", "?"))
        body = text.encode()
        self.send_response(200 if name in RESOURCES else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", freshness)
        self.send_header("ETag", '"%s-1"' % name.strip("/"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def fail(text):
    print("chromium_session: " + text, file=sys.stderr)
    sys.exit(1)


def holds(what, claim):
    if not claim:
        fail(what)


def port_of(url):
    return urllib.parse.urlsplit(url).port


def weir_heard():
    c = http.client.HTTPConnection("127.0.0.1", port_of(ADMIN), timeout=10)
    c.request("GET", "/v1/stats")
    return json.load(c.getresponse())["requests"]["requests"]


# ---- chromedriver


class Browser:
    def __init__(self):
        self.log = open(DIR + "/chromedriver.log", "w+")
        command = ["chromedriver", "--port=0"]
        self.driver = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.port = self.said_port()
        args = "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
        args += " disable-sync disable-quic no-proxy-server disable-dev-shm-usage user-data-dir=%s/session" % DIR
        options = {"args": ["--" + a for a in args.split()], "binary": "/usr/bin/chromium"}
        wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        self.session = None
        self.session = self.call("POST", "/session", {"capabilities": wanted})["sessionId"]
        self.does("timeouts", {"script": 20000, "pageLoad": 30000})

    def said_port(self):
        for _ in range(200):
            said = re.search(r"successfully on port (\d+)", open(self.log.name).read())
            if said:
                return int(said.group(1))
            time.sleep(0.05)
        fail("chromedriver does not start")

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        response = c.getresponse()
        value = json.load(response)["value"]
        if response.status != 200:
            fail("%s %s: %s" % (method, path, value["message"].split("\n")[0]))
        return value

    def does(self, what, body=None):
        return self.call("POST", "/session/%s/%s" % (self.session, what), body if body is not None else {})

    def runs(self, script, *args):
        return self.does("execute/async", {"script": script, "args": list(args)})

    def ends(self):
        if self.session is not None:
            self.call("DELETE", "/session/" + self.session)
        self.driver.terminate()
        self.driver.wait(20)


def heard_during(step):
    """What step returns, how many requests weir heard meanwhile, and which ones reached the origin."""
    weir_before, origin_before = weir_heard(), len(heard)
    value = step()
    return value, weir_heard() - weir_before, sorted(heard[origin_before:])


# ---- pages

LOOK = """
const done = arguments[arguments.length - 1];
const look = () => done({
    title: document.title, ran: document.body.dataset.ran, color: getComputedStyle(document.querySelector('h1')).color,
    picture: document.querySelector('img').naturalWidth });
document.readyState === 'complete' ? look() : addEventListener('load', look);
"""


def shows(browser, title):
    seen = browser.runs(LOOK)
    holds("the page is %s, not %s whole" % (seen, title),
          seen == {"title": title, "ran": title, "color": "rgb(1, 2, 3)", "picture": 8})


def pages(browser):
    parts = ["/picture.svg", "/script.js", "/style.css"]
    _, asked, fetched = heard_during(lambda: browser.does("url", {"url": SITE + "/one"}))
    shows(browser, "one")
    holds("first page: weir heard %d, the origin %s" % (asked, fetched), asked == 4 and fetched == ["/one"] + parts)

    _, asked, fetched = heard_during(lambda: browser.does("url", {"url": SITE + "/two"}))
    shows(browser, "two")
    holds("second page: its parts are stored, the origin heard %s" % fetched, fetched == ["/two"])

    for where, title in (("back", "one"), ("forward", "two"), ("back", "one"), ("forward", "two")):
        _, asked, fetched = heard_during(lambda: browser.does(where))
        shows(browser, title)
        holds("%s: the origin heard %s" % (where, fetched), fetched == [])

    for _ in range(2):
        _, asked, fetched = heard_during(lambda: browser.does("refresh"))
        shows(browser, "two")
        holds("reload: weir heard %d, the origin %s" % (asked, fetched), asked >= 1 and fetched == [])


# ---- fetch()

FETCH = """
const [target, cache] = arguments, done = arguments[arguments.length - 1];
fetch(target, { cache, mode: 'same-origin' })
    .then(async r => done({ status: r.status, text: await r.text(), told: r.headers.get('cache-status') }))
    .catch(e => done({ error: e.name }));
"""


def fetches(browser, target, cache):
    return heard_during(lambda: browser.runs(FETCH, target, cache))


def is_whole(response):
    return response.get("status") == 200 and response.get("text") == "plum"


def fetch_modes(browser):
    """What the browser does not answer by itself is a hit at weir, whatever the mode says of caches."""
    got, asked, fetched = fetches(browser, "/data", "default")
    holds("default, a miss: %s, %d, %s" % (got, asked, fetched), is_whole(got) and asked == 1 and fetched == ["/data"])
    by_itself = {"default": 0, "force-cache": 0, "only-if-cached": 0, "no-store": 1, "reload": 1, "no-cache": 1}
    for cache, expected in by_itself.items():
        got, asked, fetched = fetches(browser, "/data", cache)
        holds("%s: %s, weir heard %d, the origin %s" % (cache, got, asked, fetched),
              is_whole(got) and asked == expected and fetched == [])
        holds("%s: %s" % (cache, got["told"]), asked == 0 or got["told"].startswith("weir; hit"))

    got, asked, fetched = fetches(browser, "/data?unknown", "only-if-cached")
    holds("only-if-cached, a miss: %s, %d, %s" % (got, asked, fetched), "error" in got and asked == 0 and fetched == [])
    for cache in ("no-store", "reload", "no-cache", "force-cache"):
        target = "/data?" + cache
        got, asked, fetched = fetches(browser, target, cache)
        holds("%s, a miss: %s, %d, %s" % (cache, got, asked, fetched),
              is_whole(got) and asked == 1 and fetched == [target] and "; stored" in got["told"])
    # What no-store kept out of the browser's cache weir has all the same: no other client has to wait for the origin.
    got, asked, fetched = fetches(browser, "/data?no-store", "default")
    holds("after no-store: %s, %d, %s" % (got, asked, fetched), is_whole(got) and asked == 1 and fetched == [])


def main():
    origin = Server(("127.0.0.1", port_of(ORIGIN)), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    browser = Browser()
    try:
        pages(browser)
        fetch_modes(browser)
    finally:
        browser.ends()


main()
