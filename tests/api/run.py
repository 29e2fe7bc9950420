#!/usr/bin/env python3
"""Other people's tools against the management API of a broker that this starts.

    tests/api/run.py [v1] [own] [v2] [hole] [schema] [flower] [recorded]

recorded: the requests of requests.py are answered as RabbitMQ 3.10.8 did, but for what differences.txt lists. own: the binary as
rabbitmqadmin goes the way of v1. v1, v2: both rabbitmqadmins go through tour_v1.txt and tour_v2.txt. hole: what Terraform's provider does with its resources, by
the library that it uses, rabbit-hole. schema: schemathesis asks every operation of
/api/openapi.json for answers that the description does not have. flower: Flower, with Celery, shows how long a queue is, which it asks the
management API for. What is missing is fetched: v1 out of Debian's package, v2 from
crates.io, schemathesis and Flower from PyPI. A tool that cannot be had is a failure.
"""

import http.client
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import ROOT, TARGET, Broker, Missing, call, need  # noqa: E402

V2_VERSION = "2.35.0"
SCHEMATHESIS = "schemathesis==4.32.5"
FLOWER = ["flower==2.2.0", "celery==5.7.0"]
# A tool that takes longer hangs.
LIMIT_S = 1800
# How long one answer may take on a machine that has much else to do.
ANSWER_S = 180
# Checks of health are 503 when something is ill, `auth/hash_password` is slow by intention, and events and `livelog` have no end.
UNASKED = "health/checks|auth/hash_password|api/events|livelog"


def v1():
    """The script, out of the package that carries it."""
    script = TARGET / "tools/rabbitmqadmin-3"
    if not script.exists():
        need("apt-get", "dpkg-deb", "python3")
        with tempfile.TemporaryDirectory() as folder:
            try:
                call("apt-get", "download", "rabbitmq-server", cwd=folder)
            except Missing:
                call("apt-get", "update", "-qq")
                call("apt-get", "download", "rabbitmq-server", cwd=folder)
            (package,) = pathlib.Path(folder).glob("*.deb")
            call("dpkg-deb", "-x", package, folder)
            found = next(pathlib.Path(folder).rglob("rabbitmqadmin"), None)
            if found is None:
                raise Missing("Debian's rabbitmq-server has no rabbitmqadmin")
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_bytes(found.read_bytes())
    return ["python3", script]


def v2():
    """Built once; a debug build is quicker to have."""
    binary = TARGET / f"tools/rabbitmqadmin-{V2_VERSION}/bin/rabbitmqadmin"
    if not binary.exists():
        need("cargo")
        call("cargo", "install", "--debug", "--locked", "-q", "rabbitmqadmin", "--version", V2_VERSION,
             "--root", binary.parent.parent, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET / "tools/build")})
    return [binary]


def own():
    """The broker's own binary under that name."""
    link = TARGET / "tools/own/rabbitmqadmin"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(TARGET / "debug/leveret")
    return [link]


def hole():
    """A program of ours with the library."""
    need("go")
    binary = TARGET / "tools/rabbit-hole-tour"
    call("go", "build", "-o", binary, ".", cwd=HERE / "hole")
    return [binary]


def from_pypi(name, *packages):
    """A program out of packages, in a place of its own."""
    program = ROOT / f".venv-{name}" / "bin" / packages[0].split("==")[0]
    if not program.exists():
        need("python3")
        call("python3", "-m", "venv", program.parent.parent)
        call(program.parent / "pip", "install", "-q", *packages)
    return [program]


def tour(name, tool, address, facts):
    """Runs a tour; the failures."""
    failures, steps = [], 0
    way = "v1" if name == "own" else name
    for line in (HERE / f"tour_{way}.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        wanted, _, command = line.rpartition("| ")
        wanted = wanted.strip()
        must_fail = wanted.endswith("!")
        wanted = wanted.rstrip("!").strip()
        for key, value in facts.items():
            command = command.replace("{%s}" % key, value)
        host, port = address.rsplit(":", 1)
        done = subprocess.run(
            [*map(str, tool), "-H", host, "-P", port, *shlex.split(command)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
        )
        steps += 1
        if (done.returncode != 0) != must_fail or not re.search(wanted, done.stdout):
            failures.append(f"{name}: {command}\n    exit {done.returncode}: {done.stdout[-1500:].strip()}")
    print(f"{name}: {steps} commands, {len(failures)} failed", flush=True)
    return failures


def schema(tool, address, folder):
    done = subprocess.run(
        [*map(str, tool), "run", f"http://{address}/api/openapi.json", "--auth", "guest:guest", "--max-examples", "12",
         # Names that it finds in answers may be empty (the default exchange's), and no part of a path; on a loaded machine
         # it makes up requests slower than it likes.
         "--suppress-health-check", "filter_too_much,too_slow", "--request-timeout", "120", "--phases", "examples,coverage,fuzzing", "--exclude-path-regex", UNASKED, "--seed", "1", "--generation-database", "none",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schema_hooks.py")},
    )
    cases = re.search(r"(\d+) generated", done.stdout)
    print(f"schema: {cases[1] if cases else 'no'} requests, exit {done.returncode}", flush=True)
    if done.returncode == 0 and cases and int(cases[1]) > 500:
        return []
    found = re.search(r"=+ FAILURES =+(.*?)=+ WARNINGS =+", done.stdout, re.DOTALL)
    return [f"schema: {(found[1] if found else done.stdout)[-6000:]}"]


def terraform(tool, address):
    done = subprocess.run(
        [*map(str, tool), f"http://{address}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
    )
    print(f"hole: {done.stdout.strip().rpartition(chr(10))[2]}", flush=True)
    return [] if done.returncode == 0 else [f"hole: {done.stdout}"]


def recorded(tool, address):
    done = subprocess.run(
        [tool[0].with_name("python"), HERE / "differential.py", f"http://{address}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300,
    )
    print(f"recorded: {done.stdout.strip().rpartition(chr(10))[2]}", flush=True)
    return [] if done.returncode == 0 else [f"recorded: {done.stdout[-6000:]}"]


class Local(http.client.HTTPConnection):
    """HTTP over a socket in a folder: no port has to be guessed."""

    def __init__(self, path):
        super().__init__("localhost", timeout=ANSWER_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def get(path, place):
    connection = Local(path)
    try:
        connection.request("GET", place)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def flower(tool, address, amqp, folder):
    """What Flower shows of queues that have tasks waiting. In vhosts without a slash, as it quotes what is quoted; and in `/`,
    where it asks for the queues of all."""
    failures = []
    for vhost, count in (("", 4), ("shop", 3), ("shop-eu", 2)):
        api = f"http://guest:guest@{address}/api/"

        def put(method, path, body):
            login = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
            request = urllib.request.Request(f"http://{address}/api/{path}", json.dumps(body).encode(), login, method=method)
            urllib.request.urlopen(request, timeout=ANSWER_S).close()

        place = vhost or "%2F"
        put("PUT", f"vhosts/{place}", {})
        put("PUT", f"queues/{place}/celery", {"durable": True})
        message = {"properties": {}, "routing_key": "celery", "payload": "x", "payload_encoding": "string"}
        for _ in range(count):
            put("POST", f"exchanges/{place}/amq.default/publish", message)
        listens = str(pathlib.Path(folder) / f"flower-{count}.sock")
        log = pathlib.Path(folder) / "flower.log"
        with log.open("w") as out:
            broker = f"amqp://guest:guest@{amqp}/{vhost}"
            shown = subprocess.Popen(
                [tool[0].with_name("celery"), f"--broker={broker}", "flower", f"--unix-socket={listens}",
                 f"--broker-api={api}"],
                stdout=out, stderr=out, cwd=folder, env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
            )
        try:
            said, until = "", time.monotonic() + ANSWER_S
            while time.monotonic() < until and shown.poll() is None:
                try:
                    said = get(listens, "/api/queues/length")
                    if [(queue["name"], queue["messages"]) for queue in json.loads(said)["active_queues"]] == [("celery", count)]:
                        break
                except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
                    said = said or str(error)
                time.sleep(0.5)
            else:
                failures.append(f"flower: {place}: {said}\n{log.read_text()[-2000:]}")
                continue
            page = get(listens, "/broker")
            row = re.sub(r"<[^>]*>|\s+", " ", page[page.find("<tbody"):])
            if not re.search(rf"\bcelery\s+{count}\b", row):
                failures.append(f"flower: {place}: the page of the broker says {row[:500]}")
        finally:
            shown.terminate()
            shown.wait(timeout=ANSWER_S)
    print(f"flower: 3 vhosts, {len(failures)} failures", flush=True)
    return failures


def main():
    wanted = sys.argv[1:] or ["v1", "own", "v2", "hole", "schema", "flower", "recorded"]
    tools, failures = {}, []
    for name, fetch in (
        ("v1", v1), ("own", own), ("recorded", lambda: from_pypi("pika", "pika==1.3.2")), ("v2", v2), ("hole", hole), ("schema", lambda: from_pypi("schema", SCHEMATHESIS)), ("flower", lambda: from_pypi("flower", *FLOWER)),
    ):
        if name in wanted:
            try:
                tools[name] = fetch()
            except Missing as missing:
                failures.append(f"{name}: {missing}")
    for name, tool in tools.items():
        # The differential logs in wrongly on purpose.
        with Broker(None, "--login-failures-per-minute", "0") as addresses, tempfile.TemporaryDirectory() as folder:
            address = addresses["http"]
            with urllib.request.urlopen(f"http://{address}/api/health/checks/is-in-service", timeout=ANSWER_S):
                pass
            if name == "recorded":
                failures += recorded(tool, address)
                continue
            if name == "hole":
                failures += terraform(tool, address)
                continue
            if name == "schema":
                failures += schema(tool, address, folder)
                continue
            if name == "flower":
                failures += flower(tool, address, addresses["amqp"], folder)
                continue
            node = "leveret@" + pathlib.Path("/proc/sys/kernel/hostname").read_text().strip()
            facts = {"folder": folder, "node": node, "amqp_port": addresses["amqp"].rsplit(":", 1)[1]}
            failures += tour(name, tool, address, facts)
    for failure in failures:
        print(f"FAILED {failure}")
    well = sum(not any(failure.startswith(f"{name}:") for failure in failures) for name in wanted)
    print(f"api: {well} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
