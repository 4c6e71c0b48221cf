"""The figures. Each function measures one, every contestant in the same run, and yields rows:
what it is, our value, the baselines' values, the ratio that counts, the target, and whether met."""
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

from contestants import Arena, end_orphans, favour

MIB = 1024.0


class Row:
    def __init__(self, figure, values, shown, target, ratio=None, met=None):
        self.figure, self.values, self.shown = figure, values, shown
        self.target, self.ratio, self.met = target, ratio, met


class Bench:
    def __init__(self, build, scratch, quick):
        self.build, self.scratch, self.quick = build, scratch, quick
        self.leftovers = 0

    def arena(self, pin=None):
        return Arena(self.build, self.scratch, pin)

    def times(self, full, quick):
        return quick if self.quick else full

    def driver(self, arena, figure, count, *who, pin=None):
        words = [f"{c.name}={c.pid}:{n}:{c.board}" for c, n in who]
        pinned = ["taskset", "-c", str(pin)] if pin is not None else []
        with subprocess.Popen(pinned + [arena.path("bench_driver"), figure, str(count)] + words,
                              stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
            favour(driver.pid)
            answer = driver.stdout.read()
        if driver.returncode != 0:
            raise RuntimeError(f"bench_driver {figure}: exit {driver.returncode}")
        return json.loads(answer)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def triple(values):
    return f"{statistics.median(values):.3f} ({percentile(values, .99):.3f})"


def divide(a, b):
    return a / b if a is not None and b else None


def median_row(figure, samples, target, met, against="raw"):
    medians = {name: statistics.median(v) for name, v in samples.items()}
    ratio = divide(medians.get("ours"), medians.get(against))
    verdict = met(medians, ratio) if "ours" in medians else None
    return Row(figure, medians, {n: triple(v) for n, v in samples.items()}, target, ratio, verdict)


def below(medians, *peers):
    return all(medians["ours"] < medians[p] for p in peers if p in medians)


# 1 and 2

def measure_kills(bench, figure, rounds, make, number):
    # The driver spins, so it has a CPU of its own, where there is one.
    cpus = sorted(os.sched_getaffinity(0))
    with bench.arena(pin=cpus[0]) as arena:
        present = [c.wait_full() for c in make(arena) if c]
        return bench.driver(arena, figure, rounds, *[(c, number(c)) for c in present], pin=cpus[-1])


def respawn(bench):
    rounds = bench.times(100, 20)
    everyone = lambda a: [a.ours(), a.raw(), a.nginx(), a.lighttpd()]
    samples = measure_kills(bench, "respawn", rounds, everyone, lambda c: c.workers)
    yield median_row("1 of 4 workers killed: replacement exists, ms", samples,
                     "≤ 2× raw; < lighttpd, nginx",
                     lambda m, r: r is not None and r <= 2 and below(m, "nginx", "lighttpd"))
    loaded = lambda a: [a.ours(preload=100), a.raw(preload=100)]
    samples = measure_kills(bench, "respawn", rounds, loaded, lambda c: c.workers)
    yield median_row("the same, 100 MB preloaded, ms", samples, "≤ 2× raw",
                     lambda m, r: r is not None and r <= 2)


def accepted(bench):
    rounds = bench.times(100, 20)
    everyone = lambda a: [a.ours(workers=1), a.raw(workers=1), a.nginx(workers=1)]
    samples = measure_kills(bench, "accepted", rounds, everyone, lambda c: c.port)
    yield median_row("the only worker killed: its replacement has answered, ms", samples,
                     "≤ 2× raw; < nginx",
                     lambda m, r: r is not None and r <= 2 and below(m, "nginx"))
    loaded = lambda a: [a.ours(workers=1, preload=100), a.raw(workers=1, preload=100)]
    samples = measure_kills(bench, "accepted", rounds, loaded, lambda c: c.port)
    yield median_row("the same, 100 MB preloaded, ms", samples, "≤ 2× raw",
                     lambda m, r: r is not None and r <= 2)


def respawn_all(bench):
    everyone = lambda a: [a.ours(), a.raw(), a.nginx(), a.lighttpd()]
    samples = measure_kills(bench, "respawn-all", bench.times(50, 10), everyone,
                            lambda c: c.workers)
    yield median_row("all 4 workers killed: pool full, ms", samples, "< lighttpd",
                     lambda m, r: below(m, "lighttpd"), against="lighttpd")


# 3

def signal_contestants(arena):
    who = [c for c in (arena.ours("signal", 0), arena.raw("signal", 0), arena.asio()) if c]
    for c in who:
        c.wait("readiness", lambda: c.read_board()[2] == 1)
    time.sleep(0.2)
    return who


def signal_latency(bench):
    cpu = min(os.sched_getaffinity(0))
    with bench.arena(pin=cpu) as arena:
        who = signal_contestants(arena)
        samples = bench.driver(arena, "signal", bench.times(300, 50), *[(c, 0) for c in who],
                               pin=cpu)
    yield median_row("kill(2) → first line of the handler, one CPU, ms", samples,
                     "≤ 1.15× raw epoll+signalfd", lambda m, r: r is not None and r <= 1.15)


def signal_rate(bench):
    cpu = min(os.sched_getaffinity(0))
    with bench.arena(pin=cpu) as arena:
        who = signal_contestants(arena)
        samples = bench.driver(arena, "signal-rate", bench.times(10, 3), *[(c, 0) for c in who],
                               pin=cpu)
    row = median_row("10,000 real-time signals a second: CPU, % of a core", samples,
                     "< 5 above raw", lambda m, r: m["ours"] - m["raw"] < 5)
    row.shown = {n: f"{statistics.median(v):.1f}" for n, v in samples.items()}
    yield row


# 4 and 5

def switches(pid, kinds="voluntary|nonvoluntary"):
    with open(f"/proc/{pid}/status") as f:
        found = re.findall(rf"^(?:{kinds})_ctxt_switches:\s+(\d+)", f.read(), re.M)
    return sum(map(int, found))


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1)) / MIB


def idle(bench):
    seconds = bench.times(20, 5)
    counts = {}
    for start in (lambda a: a.demo(4), lambda a: a.nginx(), lambda a: a.lighttpd()):
        with bench.arena() as arena:
            c = start(arena)
            if not c:
                continue
            c.wait_full()
            time.sleep(1)  # what booting left to do
            roles = {"master": {c.pid, c.master()}, "mold": c.molds(), "workers": c.worker_pids()}
            before = {p: switches(p) for pids in roles.values() for p in pids}
            time.sleep(seconds)
            counts[c.name] = {role: sum(switches(p) - before[p] for p in pids)
                              for role, pids in roles.items()}
    yield Row(f"idle {seconds} s: context switches of master (and keeper), mold, 4 workers",
              {n: sum(v.values()) for n, v in counts.items()},
              {n: f"{v['master']}, {v['mold']}, {v['workers']}" for n, v in counts.items()},
              "0, 0, 0", None, sum(counts["ours"].values()) == 0 if "ours" in counts else None)


def memory(bench):
    found = {}
    for start in (lambda a: a.demo(2), lambda a: a.raw(workers=2), lambda a: a.nginx(2),
                  lambda a: a.lighttpd(2)):
        with bench.arena() as arena:
            c = start(arena)
            if not c:
                continue
            c.wait_full()
            found[c.name] = {"master": pss(c.master()), "worker": max(map(pss, c.worker_pids()))}
            if c.molds():
                found[c.name]["mold"] = pss(c.molds()[0])
            if c.keeper():
                found[c.name]["keeper"] = pss(c.keeper())
    for role, most in (("master", 2.5), ("worker", 1.0), ("mold", 1.5), ("keeper", 0.3)):
        values = {n: v[role] for n, v in found.items() if role in v}
        name = {"worker": "an idle demo worker (of 2)"}.get(role, f"the {role}")
        yield Row(f"PSS of {name}, MiB", values, {n: f"{v:.2f}" for n, v in values.items()},
                  f"≤ {most}", None, values["ours"] <= most if "ours" in values else None)


# 6

def wakeups(bench):
    connections = bench.times(1000, 200)
    for workers in (8, 32):
        per = {}
        for make in (Arena.ours, Arena.raw):
            with bench.arena() as arena:
                c = make(arena, "close", workers)
                if not c:
                    continue
                c.wait_full()
                pids = c.worker_pids()
                sleeps = lambda: sum(switches(p, "voluntary") for p in pids)
                before = sleeps()
                for _ in range(connections):
                    with socket.create_connection(("127.0.0.1", c.port)) as s:
                        s.recv(1)
                time.sleep(0.1)
                per[c.name] = (sleeps() - before) / connections
        yield Row(f"wakeups per connection, {workers} workers on one socket", per,
                  {n: f"{v:.2f}" for n, v in per.items()}, "1.0", divide(per.get("ours"), 1),
                  per["ours"] < 1.05 if "ours" in per else None)


def sparse(bench):
    found = {}
    for make, figure in ((Arena.ours, "sparse"), (Arena.raw, "sparse-kills")):
        with bench.arena() as arena:
            c = make(arena)
            if c:
                c.wait_full()
                found[c.name] = bench.driver(arena, figure, bench.times(20, 5), (c, c.port))
    bad = {n: v["waited"] + v["lost"] for n, v in found.items()}
    yield Row("sparse traffic, workers killed, retired, scaled at random: connections that waited "
              "> 100 ms or were lost", bad,
              {n: f"{bad[n]} of {v['connections']} ({v['kills']} kills, {v['retirements']} TERM, "
                  f"{v['scalings']} TTIN/TTOU; worst {v['worst_ms']:.1f} ms)"
               for n, v in found.items()},
              "0", None, bad["ours"] == 0 if "ours" in bad else None)


# 7

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def get(port, path):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while more := s.recv(65536):
            text += more
    return text.split(b"\r\n\r\n", 1)[1]


def wrk(port, path, seconds):
    # No less favoured than the workers, or those who use both CPUs would take its own from it.
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as load:
        favour(load.pid)
        out = load.stdout.read()
    if load.returncode != 0:
        raise RuntimeError(f"wrk: exit {load.returncode}")
    if "Non-2xx" in out or "Socket errors" in out:
        print("wrk: " + out, file=sys.stderr)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def throughput(bench):
    rates, spent, skew = {}, {}, {}
    with bench.arena() as arena:
        demo = arena.demo(2)
        body = "12345\\n"
        if demo:
            demo.wait_full()
            body = "x" * (len(get(demo.port, "/pid")) - 1) + "\\n"
        who = [c.wait_full() for c in (demo, arena.nginx(2, body)) if c]
        used = {c.name: {p: 0.0 for p in c.worker_pids()} for c in who}
        for turn in range(5):
            for c in random.sample(who, len(who)):
                before = {p: cpu_seconds(p) for p in used[c.name]}
                rates.setdefault(c.name, []).append(wrk(c.port, "/pid", bench.times(5, 2)))
                for p in before:
                    used[c.name][p] += cpu_seconds(p) - before[p]
    for name, by_pid in used.items():
        cpu = list(by_pid.values())
        skew[name] = max(cpu) / max(min(cpu), 0.01) - 1
        spent[name] = sum(cpu) / (sum(rates[name]) * bench.times(5, 2)) * 1e6
    yield median_row("demo `/pid`, keep-alive, wrk -c64, 2 workers: requests/s", rates, "≥ 0.9× nginx",
                     lambda m, r: r is not None and r >= 0.9, against="nginx")
    yield Row("the same: worker CPU per request, µs", spent,
              {n: f"{v:.1f}" for n, v in spent.items()}, "-",
              divide(spent.get("ours"), spent.get("nginx")))
    yield Row("the same: CPU of the busier worker above the other's", skew,
              {n: f"{v:.0%}" for n, v in skew.items()}, "≤ 20 %", None,
              skew["ours"] <= 0.2 if "ours" in skew else None)


# 8

def thousand(bench):
    up, down, left = {}, {}, {}
    for turn in range(bench.times(3, 1)):
        for make in (Arena.ours, Arena.raw, Arena.lighttpd):
            with bench.arena() as arena:
                c = make(arena, workers=1000)
                if not c:
                    continue
                if c.name == "lighttpd":  # says nothing of readiness
                    c.wait("workers", lambda: len(c.worker_pids()) == 1000, 60)
                elif c.name == "raw":
                    c.wait("readiness", lambda: c.read_board()[2] == 1000, 60)
                else:
                    c.wait("settled pool", lambda: c.read_board()[1] > 0, 60)
                    assert c.read_board()[2] == 1000, "settled before all were ready"
                up.setdefault(c.name, []).append(time.monotonic() - c.started)
                pids = c.worker_pids() + c.molds()
                start = time.monotonic()
                c.stop(60)
                # lighttpd's parent leaves first
                while any(os.path.exists(f"/proc/{p}") for p in pids if p):
                    end_if_zombie(pids)
                    if time.monotonic() - start > 30:
                        break
                down.setdefault(c.name, []).append(time.monotonic() - start)
                left[c.name] = left.get(c.name, 0) + end_orphans()
    yield median_row("1,000 workers: start → all ready, s", up, "≤ 1 s",
                     lambda m, r: m["ours"] <= 1)
    yield median_row("1,000 workers: TERM → all gone, s", down, "≤ 1 s, nothing left",
                     lambda m, r: m["ours"] <= 1 and left["ours"] == 0)


def end_if_zombie(pids):
    """Reaps what was orphaned to us and has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    time.sleep(0.001)


# 9

def storm(bench):
    found = {}
    for make in (Arena.ours, Arena.raw, Arena.nginx, Arena.lighttpd):
        with bench.arena() as arena:
            c = make(arena)
            if c:
                c.wait_full()
                if not os.path.exists(c.board):
                    c.board = ""
                found[c.name] = bench.driver(arena, "storm", bench.times(10, 3), (c, c.port))

    def met(v):
        return v["failures"] <= v["kills"] and v["failures"] == v["accepted_by_the_killed"]
    yield Row("a random worker of 4 killed every 20 ms under load: failed requests",
              {n: v["failures"] for n, v in found.items()},
              {n: f"{v['failures']} of {v['requests']} ({v['kills']} kills" +
                  (f", {v['accepted_by_the_killed']} accepted by the killed, most per kill "
                   f"{v['most_per_kill']}" if n in ("ours", "raw") else "") + ")"
               for n, v in found.items()},
              "≤ kills, each accepted by the killed", None,
              met(found["ours"]) if "ours" in found else None)
    values = {n: v["full_after_ms"] for n, v in found.items()}
    yield Row("the same: last kill → pool full, ms", values,
              {n: f"{v:.2f}" for n, v in values.items()}, "≤ 5", None,
              0 <= values["ours"] <= 5 if "ours" in values else None)


# 10

def accounting(bench):
    with bench.arena() as arena:
        c = arena.ours("accounting", workers=1)
        c.wait_full()
        cost = c.read_board()[0] / 1000
    yield Row("worker::request with its text, against none, ns", {"ours": cost},
              {"ours": f"{cost:.1f}"}, "≤ 20 ns", None, cost <= 20)


# 11

def headers(bench):
    """A user's source that includes us, against one that includes what Asio's coroutines take."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sources = {"ours": ["supervisor/prefork.hpp"],
               "asio": ["boost/asio/awaitable.hpp", "boost/asio/co_spawn.hpp",
                        "boost/asio/use_awaitable.hpp"]}
    for name, includes in sources.items():
        with open(os.path.join(bench.scratch, name + ".cpp"), "w") as f:
            f.writelines(f"#include <{i}>\n" for i in includes)
            f.write("int main() {}\n")
    for compiler in filter(shutil.which, ("clang++-19", "g++-12")):
        samples = {name: [] for name in sources}
        for _ in range(bench.times(7, 2)):
            for name, taken in samples.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                subprocess.run([compiler, "-std=c++20", "-O2", "-c", "-o", os.devnull,
                                "-I" + os.path.join(root, "libsupervisor/include"),
                                "-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_ASIO_NO_DEPRECATED",
                                os.path.join(bench.scratch, name + ".cpp")], check=True)
                taken.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        # A compiler does the same each time, and whatever else runs can only add to it.
        least = {name: min(taken) for name, taken in samples.items()}
        ratio = least["ours"] / least["asio"]
        yield Row(f"a source that includes supervisor/prefork.hpp, {compiler}, CPU s, least of "
                  f"{len(samples['ours'])} (median)", least,
                  {n: f"{least[n]:.3f} ({statistics.median(v):.3f})" for n, v in samples.items()},
                  "≤ 1.3× Asio's awaitable headers", ratio, ratio <= 1.3)


# 12

def simulation(bench):
    """The prefork policy's random schedules on one core, and a crash loop of thirty days."""
    program = os.path.join(bench.build, "tests/bench/bench_simulation")
    told = json.loads(subprocess.run([program, str(bench.times(20_000, 2_000))], check=True,
                                     stdout=subprocess.PIPE).stdout)
    rate, loop = told["schedules_a_minute"], told["crash_loop_s"]
    yield Row("simulated schedules of prefork (4 workers, 50 events) a minute", {"ours": rate},
              {"ours": f"{rate:,.0f}"}, "≥ 200,000", None, rate >= 200_000)
    yield Row("30 simulated days of a crash loop, s", {"ours": loop}, {"ours": f"{loop:.2f}"},
              "≤ 1 s", None, loop <= 1)


def size(bench):
    stripped = os.path.join(bench.scratch, "prefork")
    subprocess.run(["strip", "-o", stripped, os.path.join(bench.build, "apps/prefork/prefork")],
                   check=True)
    mib = os.path.getsize(stripped) / 1024 / MIB
    yield Row("prefork, stripped, MiB", {"ours": mib}, {"ours": f"{mib:.2f}"}, "-")


FIGURES = {f.__name__.replace("_", "-"): f for f in (
    respawn, accepted, respawn_all, signal_latency, signal_rate, idle, memory, wakeups, sparse,
    throughput, thousand, storm, accounting, headers, simulation, size)}
