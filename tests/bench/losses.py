"""What clients notice. Each row does one thing to a service under load, the peers' in the same run,
and counts with bench_load, which is proved in tests/component/load_client.cpp."""
import json
import os
import signal
import socket
import statistics
import subprocess
import threading
import time

from contestants import Arena, children, favour, free_port
from figures import Row

CONNECTIONS = 32


class Load:
    """The load client. Its phases are named by what is done to the service meanwhile."""

    def __init__(self, arena, port, rate=0, keep_alive=False, connections=CONNECTIONS, path="/pid"):
        words = [f"connections={connections}", f"rate={rate}", f"path={path}"]
        words += ["keep-alive"] if keep_alive else []
        self.process = subprocess.Popen([arena.path("bench_load"), str(port), *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        start_new_session=True)
        favour(self.process.pid)

    def phase(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def stop(self):
        out, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError(f"bench_load: exit {self.process.returncode}")
        return {p["phase"]: p for p in json.loads(out)}


def capacity(arena, port, seconds, keep_alive=False, path="/pid"):
    load = Load(arena, port, keep_alive=keep_alive, path=path)
    time.sleep(0.5)
    load.phase("full")
    time.sleep(seconds)
    return load.stop()["full"]["answered"] / seconds


def dropped():
    """ListenOverflows and ListenDrops of this network namespace."""
    with open("/proc/net/netstat") as f:
        names, values = [line.split() for line in f if line.startswith("TcpExt:")]
    found = dict(zip(names, values))
    return int(found["ListenOverflows"]) + int(found["ListenDrops"])


class Service:
    """A contestant, and how it is told to reload: `reload` returns when no old worker is left."""

    def __init__(self, arena, contestant, reload):
        self.arena, self.process, self.reload, self.port = arena, contestant, reload, contestant.port
        self.name = contestant.name


def prefork_verb(service, *words):
    """A verb of the command line; returns its exit code."""
    program = service.arena.path("prefork")
    control = os.path.join(service.process.home, "control")
    return subprocess.run([program, *words, "--control", control], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode


def ours(arena, options=("-w", "4"), command=(), environment=(), listen="", program=None):
    home, port = arena.home("ours"), free_port()
    words = [program or arena.path("prefork"), "run", "-b", f"127.0.0.1:{port}{listen}", "--name", "bench",
             "--control", os.path.join(home, "control"), *options]
    if command:
        words += ["--", *command]
    c = arena.start("ours", home, words, port, 0, environment)
    service = Service(arena, c, None)

    def reload():
        if prefork_verb(service, "reload") != 0:
            raise RuntimeError("ours: a reload has failed")
    service.reload = reload
    c.wait("readiness", lambda: prefork_verb(service, "status") == 0)
    return service


def reload_by(number, contestant):
    """Signals, and waits until every worker is another one."""
    def reload():
        before = set(contestant.worker_pids())
        contestant.process.send_signal(number)
        contestant.wait("new workers", lambda: not before & set(contestant.worker_pids()), 60)
    return reload


def nginx(arena, body="12345\\n"):
    c = arena.nginx(4, body)
    return c and Service(arena, c.wait_full(), reload_by(signal.SIGHUP, c))


def gunicorn(arena, boot=0.0):
    c = arena.gunicorn(4, boot)
    return c and Service(arena, c.wait_full(), reload_by(signal.SIGHUP, c))


def unicorn(arena, boot=0.0):
    c = arena.unicorn(4, boot)
    return c and Service(arena, c.wait_full(), reload_by(signal.SIGHUP, c))


def under_load(service, seconds, work, rate=None, keep_alive=False, path="/pid", settle=1.0):
    """Steady for a while, then while `work` runs; the two tallies."""
    rate = rate or 0.6 * capacity(service.arena, service.port, 1.5, keep_alive, path)
    load = Load(service.arena, service.port, rate, keep_alive, path=path)
    time.sleep(0.5)
    load.phase("steady")
    time.sleep(seconds)
    load.phase("during")
    work()
    time.sleep(settle)
    phases = load.stop()
    return phases["steady"], phases["during"]


def told(tally):
    return f"{tally['failed']} of {tally['asked']}" + (f" ({tally['failures']})" if tally["failed"] else "")


# Reloads.

def reloads(bench):
    rounds, each = bench.times((5, 20), (3, 5))
    failed, asked, ratios, words = {}, {}, {}, {}
    for _ in range(rounds):
        for make in (ours, nginx, gunicorn, unicorn):
            with bench.arena() as arena:
                service = make(arena)
                if not service:
                    continue
                steady, during = under_load(service, bench.times(4, 2),
                                            lambda: [service.reload() for _ in range(each)])
                name = service.name
                failed[name] = failed.get(name, 0) + during["failed"] + steady["failed"]
                asked[name] = asked.get(name, 0) + during["asked"]
                words.setdefault(name, []).append(during["failures"])
                ratios.setdefault(name, []).append(during["p99_ms"] / steady["p99_ms"])
    yield Row(f"{rounds * each} reloads, fast app: failed requests", failed,
              {n: f"{v} of {asked[n]} {', '.join(filter(None, words[n]))}" for n, v in failed.items()},
              "0", None, failed["ours"] == 0)
    medians = {n: statistics.median(v) for n, v in ratios.items()}
    yield Row("the same: p99 during, against steady", medians,
              {n: f"{v:.2f}" for n, v in medians.items()}, "≤ nginx's",
              medians["ours"] / medians["nginx"] if "nginx" in medians else None,
              medians["ours"] <= medians["nginx"] if "nginx" in medians else None)


def slow_boots(bench):
    each = bench.times(20, 3)
    failed, worst, steadies = {}, {}, {}
    for name, make in (("ours", lambda a: ours(a, ("-w", "4", "--ready", "notify"),
                                               [python_worker(a, boot=2)])),
                       ("gunicorn", lambda a: gunicorn(a, boot=2)),
                       ("unicorn", lambda a: unicorn(a, boot=2))):
        with bench.arena() as arena:
            service = make(arena)
            if not service:
                continue
            steady, during = under_load(service, bench.times(30, 5),
                                        lambda: [service.reload() for _ in range(each)])
            failed[name], worst[name] = during["failed"] + steady["failed"], during["worst_ms"]
            steadies[name] = steady["worst_ms"]
    yield Row(f"{each} reloads, app that boots in 2 s: failed requests", failed,
              {n: str(v) for n, v in failed.items()}, "0", None, failed["ours"] == 0)
    yield Row("the same: worst latency during, against the steady worst, ms", worst,
              {n: f"{v:.1f} ({steadies[n]:.1f})" for n, v in worst.items()}, "≤ steady + 5", None,
              worst["ours"] <= steadies["ours"] + 5)


def keep_alive(bench):
    each = bench.times(100, 10)
    found = {}
    for make in (ours, nginx):
        with bench.arena() as arena:
            service = make(arena)
            if service:
                found[service.name] = under_load(
                    service, 2, lambda: [service.reload() for _ in range(each)], keep_alive=True)[1]
    yield Row(f"{each} reloads, keep-alive clients: failed requests",
              {n: v["failed"] for n, v in found.items()}, {n: told(v) for n, v in found.items()},
              "0", None, found["ours"]["failed"] == 0)
    closed = {n: v["closed_by_server"] for n, v in found.items()}
    yield Row("the same: connections closed by the server", closed,
              {n: f"{v} ({found[n]['unannounced']} without notice)" for n, v in closed.items()},
              "0", None, closed["ours"] == 0)


# Deploys.

def python_worker(arena, boot=0.0, changes=()):
    """The example worker, answering with its pid; deployed as a file of its own."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "apps/examples/any_language/worker.py")) as f:
        text = f.read()
    home = arena.home("worker")
    path = os.path.join(home, "server")
    deploy(path, changed(text, [('body = f"process', 'body = f"{os.getpid()}\\n".encode()'),
                                ("listener = take_listener()",
                                 f"import time; time.sleep({boot}); listener = take_listener()"),
                                *changes]))
    return path


def changed(text, changes):
    """Each line that begins with the one, after its indentation, is the other."""
    lines = text.split("\n")
    for begin, instead in changes:
        places = [i for i, line in enumerate(lines) if line.lstrip().startswith(begin)]
        assert places, begin
        for i in places:
            lines[i] = lines[i][:len(lines[i]) - len(lines[i].lstrip())] + instead
    return "\n".join(lines)


def deploy(path, text):
    with open(path + ".next", "w") as f:
        f.write(text)
    os.chmod(path + ".next", 0o700)
    os.rename(path + ".next", path)


BROKEN = {
    "exec fails": None,
    "exits at boot": [("import time; time.sleep", "sys.exit(70)")],
    "leaves at boot": [("import time; time.sleep", "sys.exit(0)")],
    "never ready": [('notify("READY=1', "pass")],
    "crashes when ready": [('notify("READY=1', "notify('READY=1'); os.kill(os.getpid(), 11)")],
    "crashes in the bake": [
        ('notify("READY=1', "notify('READY=1'); signal.setitimer(signal.ITIMER_REAL, 0.2)")],
}


def broken_deploys(bench):
    each = bench.times(20, 2)
    rolled_back, old_ones = 0, 0
    with bench.arena() as arena:
        path = python_worker(arena)
        with open(path) as f:
            good = f.read()
        service = ours(arena, ("-w", "4", "--ready", "notify", "--boot-timeout", "1", "--bake", "1"),
                       [path])

        def break_it():
            nonlocal rolled_back, old_ones
            for changes in BROKEN.values():
                for _ in range(each):
                    before = service.process.worker_pids()
                    deploy(path, changed(good, changes) if changes else "#!/no/such/interpreter\n")
                    rolled_back += prefork_verb(service, "reload") == 9
                    old_ones += service.process.worker_pids() == before
        steady, during = under_load(service, 2, break_it)
    total = each * len(BROKEN)
    yield Row(f"{each} broken deploys of each of {len(BROKEN)} kinds: failed requests",
              {"ours": during["failed"]}, {"ours": told(during)}, "0", None, during["failed"] == 0)
    yield Row("the same: rolled back; the very same workers serve on", {"ours": rolled_back},
              {"ours": f"{rolled_back}; {old_ones} of {total}"}, f"{total}; {total}", None,
              rolled_back == total and old_ones == total)


# Scaling and recycling.

def scaling(bench):
    times = bench.times(50, 5)
    for listen, name in SCALED:
        with bench.arena() as arena:
            service = ours(arena, ("-w", "16"), listen=listen)
            before = dropped()

            def scale():
                for _ in range(times):
                    for size in ("4", "16"):
                        if prefork_verb(service, "scale", size) != 0:
                            raise RuntimeError("ours: it does not scale")
            tallies = [under_load(service, 1, scale, keep_alive=k)[1] for k in (False, True)]
            lost = dropped() - before
        failed = sum(t["failed"] for t in tallies)
        yield Row(f"16 → 4 → 16 workers {times} times, {name}, without and with keep-alive: failed; "
                  "ListenDrops", {"ours": failed + lost},
                  {"ours": "; ".join(map(told, tallies)) + f"; {lost}"}, "0; 0; 0", None,
                  failed == 0 and lost == 0)


SCALED = (("", "shared"), (",sharded", "sharded"))


def recycling(bench):
    with bench.arena() as arena:
        service = ours(arena, ("-w", "4", "--max-requests", "500"))
        before, pids = dropped(), set()

        def watch():
            end = time.monotonic() + bench.times(30, 5)
            while time.monotonic() < end:
                pids.update(service.process.worker_pids())
                time.sleep(0.05)
        tallies = [under_load(service, 1, watch, rate=3000, keep_alive=k)[1] for k in (False, True)]
        lost = dropped() - before
    failed, closed = sum(t["failed"] for t in tallies), tallies[1]["closed_by_server"]
    yield Row(f"recycling by --max-requests 500 ({len(pids)} workers seen), without and with "
              "keep-alive: failed; ListenDrops; closed by the server", {"ours": failed + lost},
              {"ours": "; ".join(map(told, tallies)) + f"; {lost}; {closed}"}, "0; 0; 0; 0", None,
              failed + lost + closed == 0)


# The end.

class Slow(threading.Thread):
    """One request that takes 2 s."""

    def __init__(self, port, path):
        super().__init__()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".encode())
        self.answer = b""
        self.start()

    def run(self):
        try:
            while part := self.socket.recv(65536):
                self.answer += part
        except OSError:
            pass
        self.socket.close()

    def answered(self):
        self.join()
        return self.answer.startswith(b"HTTP/1.1 200") and self.answer.endswith(b"\n")


def stop_with_requests(make, clients, path):
    with make() as (service, pid):
        slow = [Slow(service.port, path) for _ in range(clients)]
        time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)
        answered = sum(s.answered() for s in slow)
        service.process.process.wait(30)
        return answered


class Started:
    """A service in an arena of its own, and the pid to signal."""

    def __init__(self, bench, make, pid=lambda s: s.process.pid):
        self.arena, self.make, self.pid = bench.arena(), make, pid

    def __enter__(self):
        self.arena.__enter__()
        service = self.make(self.arena)
        return service, self.pid(service)

    def __exit__(self, *_):
        self.arena.__exit__()


def in_pid_namespace(arena):
    """The master is PID 1 there. unshare(1) is its parent, and dies with it."""
    home, port = arena.home("ours"), free_port()
    c = arena.start("ours", home, [
        "unshare", "--pid", "--fork", "--mount-proc", arena.path("prefork"), "run", "-w", "4", "-b",
        f"127.0.0.1:{port}", "--control", os.path.join(home, "control")], port, 0)
    service = Service(arena, c, None)
    c.wait("readiness", lambda: prefork_verb(service, "status") == 0)
    return service


def stopping(bench):
    clients = bench.times(64, 8)
    demo, slow = lambda a: ours(a, ("-w", "4")), "/slow?ms=2000"
    found = {"ours": stop_with_requests(lambda: Started(bench, demo), clients, slow)}
    for name, make in (("gunicorn", gunicorn), ("unicorn", unicorn)):
        with bench.arena() as arena:
            there = make(arena)
        if there:
            found[name] = stop_with_requests(lambda: Started(bench, make), 4, "/slow")
    shown = {n: f"{v} of {clients if n == 'ours' else 4}" for n, v in found.items()}
    yield Row(f"TERM with {clients} requests of 2 s in flight: answered", found, shown, "all", None,
              found["ours"] == clients)
    inside = stop_with_requests(
        lambda: Started(bench, in_pid_namespace, lambda s: children(s.process.pid)[0]), clients, slow)
    yield Row("the same, as PID 1 of a pid namespace", {"ours": inside},
              {"ours": f"{inside} of {clients}"}, "all", None, inside == clients)


LOSSES = {f.__name__.replace("_", "-"): f for f in (
    reloads, slow_boots, keep_alive, broken_deploys, scaling, recycling, stopping)}
