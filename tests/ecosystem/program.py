"""Runs a program that tests a framework, against a broker that the program can have killed and started again.

The program finds the broker in the environment: `AMQP_URL`, `AMQP_PORT` and `HTTP_URL` (the management API, guest:guest). It says on
lines of its own what it found:

    ok NAME
    FAIL NAME: why
    broker kill     kill -9; answered on its standard input with `done` when the broker is gone
    broker stop     the same by SIGTERM
    broker start    on the same address and folder; `done` when it takes connections

and exits with 0 when it came to its end. Everything else that it prints is shown if something fails.
"""

import argparse
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from broker import ROOT, START_S, Broker, Missing, call, need  # noqa: E402,F401

# A program that takes longer hangs.
LIMIT_S = 1200


class RabbitMQ:
    """Debian's, with the face of `Broker`: what it says is what frameworks were written for."""

    PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def __enter__(self):
        need(self.PROGRAM)
        self.folder = tempfile.TemporaryDirectory(prefix="rabbitmq-test-")
        folder = pathlib.Path(self.folder.name)
        amqp, http, dist = free_port(), free_port(), free_port()
        self.addresses = {"amqp": f"127.0.0.1:{amqp}", "http": f"127.0.0.1:{http}"}
        (folder / "plugins").write_text("[rabbitmq_management,rabbitmq_consistent_hash_exchange].")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.port = {http}\nmanagement.tcp.ip = 127.0.0.1\n")
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "RABBITMQ_NODENAME": f"test{amqp}@localhost", "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"), "RABBITMQ_LOG_BASE": str(folder / "log"), "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        self.start()
        return self.addresses

    def start(self):
        self.process = subprocess.Popen([self.PROGRAM], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        late = time.monotonic() + START_S
        while time.monotonic() < late and self.process.poll() is None:
            if all(answers(self.addresses[what]) for what in ("amqp", "http")):
                return
            time.sleep(0.2)
        raise Missing("RabbitMQ does not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        while answers(self.addresses["amqp"]):
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self.folder.cleanup()


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def answers(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def converse(process, broker):
    """What a program finds, while it is served: names that passed, those that failed with the reason, and all that it printed."""
    passed, failed, output = [], [], []
    for line in process.stdout:
        output.append(line)
        line = line.strip()
        if found := re.fullmatch(r"ok (\S.*)", line):
            passed.append(found[1])
        elif found := re.fullmatch(r"FAIL (\S.*)", line):
            failed.append(found[1])
        elif found := re.fullmatch("broker (kill|stop|start)", line):
            getattr(broker, found[1])()
            process.stdin.write("done\n")
            process.stdin.flush()
    return passed, failed, output


def run(name, install):
    """Runs what `install` makes ready: it gives the program's command line. Ends with a line that counts; gives the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rabbitmq", action="store_true", help="against RabbitMQ as Debian has it, to compare")
    parser.add_argument("--verbose", action="store_true", help="show what the program prints")
    parser.add_argument("arguments", nargs="*", help="for the program: mostly the names of checks to run")
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        command = [str(part) for part in install()] + options.arguments
        broker = RabbitMQ() if options.rabbitmq else Broker()
        with broker as addresses:
            amqp = addresses["amqp"]
            environment = {**os.environ, "AMQP_URL": f"amqp://guest:guest@{amqp}", "AMQP_PORT": amqp.rsplit(":", 1)[1], "HTTP_URL": f"http://{addresses['http']}",
                           "BROKER": "rabbitmq" if options.rabbitmq else "leveret"}
            with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
                timer = threading.Timer(LIMIT_S, process.kill)
                timer.start()
                try:
                    passed, failed, output = converse(process, broker)
                    code = process.wait()
                finally:
                    timer.cancel()
                    process.kill()
    except Missing as missing:
        passed, failed, output, code = [], [str(missing)], [], 0
    if code or not passed and not failed:
        failed.append(f"{name} ended with {code} after {len(passed) + len(failed)} checks")
    if failed or options.verbose:
        print("".join(output[-400:]))
    for what in failed:
        print(f"FAILED {what}")
    print(f"{len(passed)} checks in {time.monotonic() - begun:.0f} s: {', '.join(passed)}")
    print(f"{name}: {len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def python(name, *packages):
    """The interpreter of a virtual environment with these packages."""
    need("python3")
    folder = ROOT / f".venv-{name}"
    stamp = folder / "packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        call("python3", "-m", "venv", folder)
        call(folder / "bin/pip", "install", "-q", *packages)
        stamp.write_text("\n".join(packages))
    return folder / "bin/python"


def node(folder):
    """Installs what the folder's lock file names."""
    need("node", "npm")
    lock = (folder / "package-lock.json").read_text()
    stamp = folder / "node_modules/installed"
    if not stamp.exists() or stamp.read_text() != lock:
        call("npm", "ci", "--no-audit", "--no-fund", cwd=folder)
        stamp.write_text(lock)


def java(folder, main, *options):
    """Builds a folder with a pom that copies what it depends on beside its classes; gives the command line."""
    need("java", "mvn")
    sources = hashlib.sha256(b"".join(file.read_bytes() for file in [folder / "pom.xml", *sorted((folder / "src").rglob("*.*"))])).hexdigest()
    stamp = folder / "target/built"
    if not stamp.exists() or stamp.read_text() != sources:
        call("mvn", "-q", "-B", "package", cwd=folder)
        stamp.write_text(sources)
    return ["java", *options, "-cp", f"{folder}/target/classes:{folder}/target/lib/*", main]
