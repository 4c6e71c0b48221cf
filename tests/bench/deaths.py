"""What the death of a master, or of its keeper, does."""
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import time

from contestants import children
from figures import Row
from losses import gunicorn, nginx, ours, told, under_load, unicorn

WHATEVER_THEY_DO = {
    "idle": ["sleep", "1000"],
    "busy": ["sh", "-c", "while :; do :; done"],
    "stopped": ["sh", "-c", "kill -STOP $$"],
    "deaf": ["sh", "-c", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done"],
    "with a daemon": ["sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & exec sleep 1000"],
}


def all_below(pid):
    return [p for child in children(pid) for p in (child, *all_below(child))]


def free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            s.listen(1)
        except OSError:
            return False
        return True


def time_to_be_gone(service, patience):
    """From SIGKILL to the main process until nothing of it runs and its port is free, ms; None: not in time."""
    whole = [os.pidfd_open(p) for p in (service.process.pid, *all_below(service.process.pid))]
    began = time.monotonic()
    service.process.process.kill()
    try:
        ends = select.poll()
        for fd in whole:
            ends.register(fd, select.POLLIN)
        for left in range(len(whole), 0, -1):
            gone = ends.poll(max(0, (began + patience - time.monotonic()) * 1000))
            if not gone:
                return None
            ends.unregister(gone[0][0])
        while not free(service.port):
            if time.monotonic() > began + patience:
                return None
        return (time.monotonic() - began) * 1000
    finally:
        for fd in whole:
            os.close(fd)


def main_process_killed(bench):
    taken = {"ours": []}
    for kind in WHATEVER_THEY_DO.values():
        for _ in range(bench.times(20, 3)):
            with bench.arena() as arena:
                taken["ours"].append(time_to_be_gone(ours(arena, ("-w", "4"), kind), 5))
    for name, make in (("nginx", nginx), ("gunicorn", gunicorn), ("unicorn", unicorn)):
        for _ in range(3):
            with bench.arena() as arena:
                if service := make(arena):
                    taken.setdefault(name, []).append(time_to_be_gone(service, 5))
    worst = {n: max(ms if ms is not None else float("inf") for ms in v) for n, v in taken.items()}
    shown = {n: f"{statistics.median(taken[n]):.0f} ({ms:.0f})" if ms < float("inf") else "not in 5 s"
             for n, ms in worst.items()}
    yield Row("SIGKILL of the main process, whatever 4 workers do: until all is gone, ms, median (worst)", worst, shown,
              "≤ 100", None, worst["ours"] <= 100)


def look(service):
    """The master, and who works; None: it does not answer."""
    done = subprocess.run([service.arena.path("prefork"), "status", "-o", "json", "--control",
                           os.path.join(service.process.home, "control")], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        return None
    seen = json.loads(done.stdout)
    return seen["master"]["pid"], {s["pid"] for p in seen["pools"] for s in p["slots"]}


def master_killed(bench):
    tallies, gaps, replaced = [], [], set()
    for keep_alive in (False, True):
        with bench.arena() as arena:
            service = ours(arena, ("-w", "4"))
            workers = look(service)[1]

            def kill():
                end = time.monotonic() + bench.times(30, 4)
                while time.monotonic() < end:
                    master, _ = look(service)
                    began = time.monotonic()
                    os.kill(master, signal.SIGKILL)
                    while not (now := look(service)) or now[0] == master:
                        if time.monotonic() > began + 30:
                            raise RuntimeError("no master for 30 s")
                    gaps.append((time.monotonic() - began) * 1000)
                    replaced.update(workers ^ now[1])
                    time.sleep(max(0, began + 2 - time.monotonic()))
            tallies.append(under_load(service, 1, kill, keep_alive=keep_alive)[1])
    lost = sum(t["failed"] for t in tallies) + tallies[1]["closed_by_server"] + len(replaced)
    yield Row(f"SIGKILL of the master every 2 s ({len(gaps)} times), without and with keep-alive: failed; "
              "closed by the server; workers replaced; until another answers, ms, median (worst)",
              {"ours": lost},
              {"ours": f"{'; '.join(map(told, tallies))}; {tallies[1]['closed_by_server']}; {len(replaced)}; "
                       f"{statistics.median(gaps):.0f} ({max(gaps):.0f})"}, "0; 0; 0; 0; -", None, lost == 0)


DEATHS = {f.__name__.replace("_", "-"): f for f in (master_killed, main_process_killed)}
