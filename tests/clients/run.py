#!/usr/bin/env python3
"""Drives one broker with every client library, and shows a table: client x scenario.

    tests/clients/run.py [--url amqp://guest:guest@host:port] [--without SCENARIO,..] [CLIENT..]

Without --url it builds and starts the broker itself, on a folder of its own. A missing toolchain is a failure, said in
one line. Clients are built before anything runs; downloads stay in the folders that .gitignore names.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import ROOT, TARGET, Broker, Missing, call, need  # noqa: E402

VENV = ROOT / ".venv"
# A client that takes longer hangs.
LIMIT = 3600

COMMON = [
    "wrong-credentials", "declare", "confirms", "mandatory", "prefetch", "requeue", "dead-letter", "delayed", "reply-to",
    "big-body", "server-close", "closing",
]
MORE = ["cancelled", "heartbeat", "readme", "celery-tasks", "celery-countdown", "celery-retry", "celery-chord", "celery-priority"]

# What our broker does not have yet. These must fail: whoever builds one takes it out of here.
NOT_YET = []


def python():
    """The venv with what requirements.txt names."""
    need("python3")
    wanted = (HERE / "python/requirements.txt").read_text()
    stamp = VENV / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        call("python3", "-m", "venv", VENV)
        call(VENV / "bin/pip", "install", "-q", "-r", HERE / "python/requirements.txt")
        stamp.write_text(wanted)


def python_program(name):
    return [VENV / "bin/python", HERE / "python" / name]


def node():
    need("node", "npm")
    call("npm", "ci", "--no-audit", "--no-fund", cwd=HERE / "node")


def go():
    need("go")
    call("go", "build", "-o", target() / "go-clients", ".", cwd=HERE / "go")


def java():
    need("java", "mvn")
    call("mvn", "-q", "-B", "package", cwd=HERE / "java")


def rust():
    need("cargo")
    call("cargo", "build", "--locked", "-q", cwd=HERE / "rust", env={**os.environ, "CARGO_TARGET_DIR": str(target())})


CLIENTS = {
    "pika": (python, lambda: python_program("pika_client.py")),
    "aio-pika": (python, lambda: python_program("aio_pika_client.py")),
    "py-amqp/kombu": (python, lambda: python_program("kombu_client.py")),
    "celery": (python, lambda: python_program("celery_client.py")),
    "readme": (python, lambda: python_program("readme_client.py")),
    "amqplib": (node, lambda: ["node", HERE / "node/amqplib_client.js"]),
    "rabbitmq-client": (node, lambda: ["node", HERE / "node/rabbitmq_client.js"]),
    "amqp091-go": (go, lambda: [target() / "go-clients"]),
    "java": (java, lambda: ["java", "-cp", f"{HERE}/java/target/classes:{HERE}/java/target/lib/*", "Clients"]),
    "lapin": (rust, lambda: [target() / "debug/lapin_client"]),
    "amqprs": (rust, lambda: [target() / "debug/amqprs_client"]),
}


def target():
    return TARGET / "clients"


def drive(command, scenarios, url):
    """What a client says about each scenario, and its whole output."""
    try:
        done = subprocess.run(
            [str(c) for c in command()] + scenarios, env={**os.environ, "AMQP_URL": url}, timeout=LIMIT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        out, err = done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        out, err = ((s or b"").decode() if isinstance(s, bytes) else s or "" for s in (late.stdout, late.stderr))
        err += f"\nstopped after {LIMIT} s"
    said = {}
    for line in out.splitlines():
        found = re.fullmatch(r"(ok|none|FAIL) ([a-z-]+)(:.*)?", line)
        if found:
            said[found[2]] = found[1] if found[1] != "none" else "."
    return {name: said.get(name, "FAIL") for name in scenarios}, out + err


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--without", default="", help="scenarios that the other broker does not have")
    parser.add_argument("clients", nargs="*", default=[])
    options = parser.parse_args()
    without = [name for name in options.without.split(",") if name]
    unknown = set(options.clients) - set(CLIENTS)
    if unknown:
        parser.error(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
    wanted = options.clients or list(CLIENTS)

    failures, ready, prepared = [], [], {}
    for name in wanted:
        prepare = CLIENTS[name][0]
        if prepare not in prepared:
            try:
                prepare()
                prepared[prepare] = None
            except Missing as missing:
                prepared[prepare] = str(missing)
        if prepared[prepare] is None:
            ready.append(name)
        else:
            failures.append(f"{name}: {prepared[prepare]}")

    scenarios = [name for name in COMMON + MORE if name not in without]
    results, outputs = {}, {}

    def all_clients(url):
        for name in ready:
            results[name], outputs[name] = drive(CLIENTS[name][1], scenarios, url)
            print(f"{name}: {sum(r == 'ok' for r in results[name].values())} ok", flush=True)

    try:
        if options.url:
            all_clients(options.url)
        else:
            with Broker() as addresses:
                all_clients(f"amqp://guest:guest@{addresses['amqp']}")
    except Missing as missing:
        failures.append(str(missing))

    if not options.url:
        for name in ready:
            for scenario, result in results.get(name, {}).items():
                if scenario in NOT_YET and result == "FAIL":
                    results[name][scenario] = "not yet"
                elif scenario in NOT_YET and result == "ok":
                    failures.append(f"{name}: {scenario} works now: take it out of NOT_YET in run.py")
    table(ready, COMMON + MORE, results, without)
    for name in ready:
        bad = [s for s, r in results.get(name, {}).items() if r == "FAIL"]
        if bad:
            failures.append(f"{name}: {', '.join(bad)}")
            print(f"\n--- {name}\n{outputs[name][-6000:]}")
    for failure in failures:
        print(f"FAILED {failure}")
    said = [result for row in results.values() for result in row.values()]
    passed, failed = said.count("ok"), max(said.count("FAIL"), len(failures))
    print(f"clients: {passed} passed, {failed} failed")
    return 1 if failures else 0


def table(clients, scenarios, results, without):
    width = max(map(len, scenarios))
    print("\n" + " " * width + "  " + "  ".join(clients))
    for scenario in scenarios:
        cells = []
        for client in clients:
            cell = "n/a" if scenario in without else results.get(client, {}).get(scenario, "?")
            cells.append(cell.ljust(len(client)))
        print(scenario.ljust(width) + "  " + "  ".join(cells))


if __name__ == "__main__":
    sys.exit(main())
