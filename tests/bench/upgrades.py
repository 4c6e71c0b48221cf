"""What a new program for the master does, one that is fit for it and one that is not."""
import json
import os
import shutil
import stat
import subprocess
import time

from figures import Row
from losses import ours, prefork_verb, told, under_load

ROLLED_BACK = 9
# Ways of tests/support/unfit.cpp, and files that are no program.
KINDS = ("missing", "not executable", "no program", "exits", "hangs", "unreadable", "leaves", "dies")


class Deploy:
    """The program that a master is started from, and what is put in its place."""

    def __init__(self, arena):
        self.arena, self.home = arena, arena.home("deploy")
        self.program, self.way = (os.path.join(self.home, n) for n in ("prefork", "way"))
        self.install(arena.path("prefork"))

    def install(self, file):
        fresh = self.program + ".new"
        shutil.copy(file, fresh)
        os.rename(fresh, self.program)

    def break_as(self, kind):
        if kind == "missing":
            os.unlink(self.program)
        elif kind == "not executable":
            self.install(self.arena.path("prefork"))
            os.chmod(self.program, stat.S_IRUSR | stat.S_IWUSR)
        elif kind == "no program":
            self.install(__file__)
            os.chmod(self.program, 0o755)
        else:
            with open(self.way, "w") as f:
                f.write(kind)
            self.install(self.arena.path("bench_unfit"))


def look(service):
    done = subprocess.run([service.arena.path("prefork"), "status", "-o", "json", "--control",
                           os.path.join(service.process.home, "control")], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True)
    seen = json.loads(done.stdout)
    slots = [s for p in seen["pools"] for s in p["slots"]]
    return seen["master"], [(s["pid"], s["restarts"]) for s in slots]


def fail(deploy, service, kind):
    """False where it went otherwise than it must."""
    deploy.break_as(kind)
    code = prefork_verb(service, "upgrade")
    if kind != "dies":
        return code == ROLLED_BACK
    end = time.monotonic() + 30
    while look(service)[0]["upgrade"]["end"] != "rolled_back":
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return code == 0


def upgrades(bench):
    fit, each = bench.times((50, 5), (5, 1))
    tallies, otherwise, changed = [], 0, set()
    for keep_alive in (False, True):
        with bench.arena() as arena:
            deploy = Deploy(arena)
            service = ours(arena, environment={"TEST_UNFIT": deploy.way}, program=deploy.program)
            main, workers = look(service)[0]["main_pid"], look(service)[1]

            def work():
                nonlocal otherwise
                for round in range(each):
                    for kind in KINDS:
                        otherwise += not fail(deploy, service, kind)
                    for _ in range(fit // each):
                        deploy.install(arena.path("prefork"))
                        before = look(service)[0]["pid"]
                        well = prefork_verb(service, "upgrade") == 0
                        master, now = look(service)
                        otherwise += not well or master["pid"] == before
                        changed.update(set(workers) ^ set(now))
                        changed.update({main} ^ {master["main_pid"]})
            tallies.append(under_load(service, 1, work, keep_alive=keep_alive)[1])
    lost = sum(t["failed"] for t in tallies) + tallies[1]["closed_by_server"] + len(changed) + otherwise
    yield Row(f"{2 * fit} upgrades, and {2 * each} to programs broken in each of {len(KINDS)} ways, without and with "
              "keep-alive: failed; closed by the server; workers or main pid changed; not as told",
              {"ours": lost},
              {"ours": f"{'; '.join(map(told, tallies))}; {tallies[1]['closed_by_server']}; {len(changed)}; {otherwise}"},
              "0; 0; 0; 0; 0", None, lost == 0)


UPGRADES = {"upgrades": upgrades}
