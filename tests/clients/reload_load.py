"""reload_load.py WEIR ORIGIN SITE ADMIN DIRECTORY: for reload.sh."""
import http.client
import json
import signal
import subprocess
import sys
import threading
import time

weir, origin, site, admin, directory = sys.argv[1:]
SITE, ADMIN = site.removeprefix("http://"), admin.removeprefix("http://")
ROUTES, CLIENTS, ITEMS, RELOADS = 1000, 6, 9, 12


def configure(version, memory="64MiB", bad=""):
    routes = "".join(
        f'- {{match: "r{i}.example/x/{i}/", cache: {{freshness: {{default: {i + 1}s}}}}}}\n' for i in range(ROUTES))
    with open(f"{directory}/weir.yaml", "w") as f:
        f.write(f"""listen: {SITE}
admin: {{address: "{ADMIN}"}}
store: {{path: {directory}/store, size: 64MiB}}
memory: {memory}
workers: 2
origin: {origin}
routes:
{routes}- {{match: /, response: {{set: {{X-Version: "{version}"}}}}, cache: {{freshness: {{default: 600s}}}}}}
{bad}
""")


def fail(why):
    print(f"reload: {why}", file=sys.stderr)
    running.kill()
    raise SystemExit(1)


def call(method, path):
    c = http.client.HTTPConnection(ADMIN, timeout=10)
    c.request(method, path)
    answer = c.getresponse()
    return answer.status, answer.read()


def log():
    with open(f"{directory}/weir.log") as f:
        return f.read()


class Client(threading.Thread):
    """Asks all the time; in force is the version that was reported last, before the request was sent."""
    in_force, stop, answers, wrong, lock = 0, False, 0, [], threading.Lock()

    def run(self):
        c = http.client.HTTPConnection(SITE, timeout=10)
        for n in range(10 ** 9):
            least = Client.in_force
            try:
                c.request("GET", f"/items/{1 + n % ITEMS}")
                r = c.getresponse()
                content, version = r.read(), int(r.getheader("X-Version", "-1"))
                wrong = None if r.status == 200 and content and version >= least else f"{r.status}, {version} not {least}"
            except (OSError, http.client.HTTPException) as e:
                wrong = repr(e)
            with Client.lock:
                Client.answers += 1
                if wrong is not None:
                    Client.wrong.append(wrong)
                    return
            if Client.stop:
                return


configure(0)
running = subprocess.Popen([weir, "--config", f"{directory}/weir.yaml"], stderr=open(f"{directory}/weir.log", "w"))
for _ in range(400):
    try:
        if call("GET", "/readyz")[0] == 200:
            break
    except OSError:
        time.sleep(0.05)
clients = [Client() for _ in range(CLIENTS)]
for c in clients:
    c.start()

for version in range(1, RELOADS):
    configure(version, bad="orign: x")
    if version % 2:
        status, said = call("POST", "/v1/reload")
        if status != 422 or "did you mean" not in json.loads(said)["errors"][0]:
            fail(f"a configuration that is not sound: {status} {said}")
    else:
        refused = log().count("reload: refused")
        running.send_signal(signal.SIGHUP)
        while log().count("reload: refused") == refused:
            time.sleep(0.01)
    configure(version)
    done = log().count("reload: done")
    if version % 2:
        status, said = call("POST", "/v1/reload")
        if status != 200:
            fail(f"a configuration that is sound: {status} {said}")
    else:
        running.send_signal(signal.SIGHUP)
        while log().count("reload: done") == done:
            time.sleep(0.01)
    Client.in_force = version
    time.sleep(0.1)

configure(RELOADS, memory="128MiB")
status, said = call("POST", "/v1/reload")
if status != 200 or "reload: memory stays 64MiB until a restart (the configuration says 128MiB)" not in log():
    fail("a setting that cannot change is not named")
Client.stop = True
for c in clients:
    c.join()
if Client.wrong:
    fail(f"of {Client.answers} requests {len(Client.wrong)} failed: {Client.wrong[:3]}")
heard = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=10)
heard.request("GET", "/control/count")
asked = int("".join(filter(str.isdigit, heard.getresponse().read().decode())))
if asked != ITEMS:
    fail(f"the origin was asked {asked} times for {ITEMS} items")
running.terminate()
if running.wait(timeout=30) != 0:
    fail("weir did not end well")
print(f"reload: {Client.answers} requests under {2 * RELOADS - 1} reloads of {ROUTES + 1} routes, none failed; the origin "
      f"was asked {asked} times")
