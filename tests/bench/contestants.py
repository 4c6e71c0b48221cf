"""What is measured: our service, the demo, the raw loop, nginx, lighttpd; each started on loopback
with its files in a directory of its own, and ended by pid."""
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BOARD_SIZE = 24 + 4 * 65536  # contestant.hpp


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def favour(pid):
    """Above what else a busy machine does, where we may; the same for all that is measured. Each is
    a session, and so a scheduling group, of its own."""
    try:
        with open(f"/proc/{pid}/autogroup", "w") as f:
            f.write("-20")
    except OSError:
        pass


def of_process(pid, name):
    """A file of /proc; empty where the process is gone, be it between open(2) and read(2)."""
    try:
        with open(f"/proc/{pid}/{name}") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    return [int(p) for p in of_process(pid, f"task/{pid}/children").split()]


def comm(pid):
    return of_process(pid, "comm")


def adopt_orphans():
    """Whatever a contestant leaves behind becomes our child, and ends with us."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def end_orphans(ours=()):
    """Kills children that nobody stopped; returns how many there were."""
    left = [p for p in children(os.getpid()) if p not in ours]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for pid in left:
        os.waitpid(pid, 0)
    return len(left)


class Contestant:
    def __init__(self, name, home, command, port, workers, environment, pin):
        self.name, self.port, self.workers = name, port, workers
        self.says_ready = "bench_" in command[0]
        self.home, self.board = home, os.path.join(home, "board")
        pinned = ["taskset", "-c", str(pin)] if pin is not None else []
        environment = dict(os.environ, BENCH_BOARD=self.board, BENCH_PORT=str(port),
                           BENCH_WORKERS=str(workers), **dict(environment))
        self.log = os.path.join(home, "log")
        with open(self.log, "wb") as log:
            self.started = time.monotonic()
            # lighttpd signals its whole process group when it stops.
            self.process = subprocess.Popen(pinned + command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=home, env=environment,
                                            start_new_session=True)
        self.pid = self.process.pid
        favour(self.pid)

    def keeper(self):
        """The main process, where it is not the master itself."""
        return self.pid if "keeper" in comm(self.pid) else None

    def master(self):
        """Whose children the workers are; 0: not there yet."""
        below = children(self.pid) if self.keeper() else [self.pid]
        return below[0] if below else 0

    def molds(self):
        return [p for p in children(self.master()) if "mold" in comm(p)]

    def worker_pids(self):
        molds = self.molds()
        return [p for p in children(self.master()) if p not in molds]

    def read_board(self):
        try:
            with open(self.board, "rb") as f:
                handled, settled, ready = struct.unpack("qqI", f.read(20))
        except (FileNotFoundError, struct.error):
            return 0, 0, 0
        return handled, settled, ready

    def fail(self, what):
        with open(self.log, errors="replace") as f:
            raise RuntimeError(f"{self.name}: {what}\n" + f.read()[-2000:])

    def wait(self, what, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                self.fail(f"exit {self.process.returncode} while waiting for {what}")
            if time.monotonic() > deadline:
                self.fail(f"no {what} in {seconds} s")
            time.sleep(0.001)

    def wait_full(self):
        """All workers are there, and one answers."""
        self.wait("full pool", lambda: len(self.worker_pids()) == self.workers)
        favour(self.master())  # in a session of its own below a keeper
        if self.says_ready:
            self.wait("readiness", lambda: self.read_board()[2] >= self.workers)
        elif self.port:
            def answers():
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return True
                except OSError:
                    return False
            self.wait("listener", answers)
        time.sleep(0.2)
        return self

    def stop(self, seconds=20):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Arena:
    """Starts contestants and, as a context, ends them all."""

    def __init__(self, build, scratch, pin):
        self.build, self.scratch, self.pin, self.running = build, scratch, pin, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for c in self.running:
            c.stop()
        self.running.clear()
        end_orphans()

    def path(self, target):
        return os.path.join(self.build, {"prefork": "apps/prefork/prefork"}.get(
            target, f"tests/bench/{target}"))

    def home(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.scratch)

    def start(self, name, home, command, port, workers, environment=()):
        self.running.append(Contestant(name, home, command, port, workers, environment, self.pin))
        return self.running[-1]

    def _own(self, name, target, mode, workers, preload):
        program = self.path(target)
        if not os.path.exists(program):
            return None
        environment = {"BENCH_MODE": mode, "BENCH_PRELOAD_MB": str(preload)}
        port = 0 if mode == "signal" else free_port()
        return self.start(name, self.home(name), [program], port, workers, environment)

    def ours(self, mode="respond", workers=4, preload=0):
        return self._own("ours", "bench_service", mode, workers, preload)

    def raw(self, mode="respond", workers=4, preload=0):
        return self._own("raw", "bench_raw", mode, workers, preload)

    def asio(self):
        return self._own("asio", "bench_asio", "signal", 0, 0)

    def demo(self, workers=2):
        program, port, home = self.path("prefork"), free_port(), self.home("demo")
        if not os.path.exists(program):
            return None
        return self.start("ours", home, [
            program, "run", "-w", str(workers), "-b", f"127.0.0.1:{port}", "--name", "bench",
            "--control", os.path.join(home, "control")], port, workers)

    def nginx(self, workers=4, body="12345\\n"):
        if not shutil.which("nginx"):
            return None
        port, home = free_port(), self.home("nginx")
        temporary = "".join(f"  {kind}_temp_path {home}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self._write(home, f"""daemon off;
user root;
worker_processes {workers};
pid {home}/pid;
error_log {home}/error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
{temporary}  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type text/plain; return 200 "{body}"; }}
  }}
}}
""")
        return self.start("nginx", home, ["nginx", "-p", home, "-c", home + "/conf", "-e",
                                          home + "/error"], port, workers)

    def lighttpd(self, workers=4):
        if not shutil.which("lighttpd"):
            return None
        port, home = free_port(), self.home("lighttpd")
        with open(home + "/index.html", "w") as f:
            f.write("12345\n")
        self._write(home, f"""server.document-root = "{home}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-worker = {workers}
server.max-keep-alive-requests = 100000000
server.errorlog = "{home}/error"
index-file.names = ("index.html")
""")
        return self.start("lighttpd", home, ["lighttpd", "-D", "-f", home + "/conf"], port,
                          workers)

    def gunicorn(self, workers=4, boot=0.0):
        return self._wsgi("gunicorn", ["--workers", str(workers), "--worker-class", "gthread", "--threads", "32",
                                       "--graceful-timeout", "30", "app:app"], workers, boot)

    def unicorn(self, workers=4, boot=0.0):
        if not shutil.which("unicorn"):
            return None
        port, home = free_port(), self.home("unicorn")
        self._write(home, f"worker_processes {workers}\n")
        with open(home + "/config.ru", "w") as f:
            f.write(f"""sleep {boot}
run lambda {{ |env|
  sleep 2 if env["PATH_INFO"] == "/slow"
  body = "#{{Process.pid}}\\n"
  [200, {{"Content-Length" => body.bytesize.to_s}}, [body]]
}}
""")
        return self.start("unicorn", home, ["unicorn", "-l", f"127.0.0.1:{port}", "-c", home + "/conf",
                                            home + "/config.ru"], port, workers)

    def _wsgi(self, name, options, workers, boot):
        if not shutil.which(name):
            return None
        port, home = free_port(), self.home(name)
        with open(home + "/app.py", "w") as f:
            f.write(f"""import os, time
time.sleep({boot})
def app(environ, start):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(2)
    body = b"%d\\n" % os.getpid()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
""")
        return self.start(name, home, [name, "--bind", f"127.0.0.1:{port}", "--chdir", home, *options],
                          port, workers)

    def _write(self, home, text):
        with open(home + "/conf", "w") as f:
            f.write(text)
