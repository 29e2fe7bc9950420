#!/usr/bin/env python3
"""Runs the programs that docs/clients shows, each against one broker: they must print what they published.

    tests/clients/pages.py [PAGE..]
"""

import os
import shutil
import subprocess
import sys

import run
from run import HERE, LIMIT, VENV, Broker, Missing, call, need, target

EXAMPLES = HERE / "examples"


def python(name):
    return lambda: (run.python(), [VENV / "bin/python", EXAMPLES / name])[1]


def node():
    run.node()
    return ["node", EXAMPLES / "amqplib_hello.js"]


def go():
    """Beside the other program's go.mod, which has the library."""
    need("go")
    folder = target() / "go-page"
    folder.mkdir(parents=True, exist_ok=True)
    for source in (HERE / "go/go.mod", HERE / "go/go.sum", EXAMPLES / "hello.go"):
        shutil.copy(source, folder)
    call("go", "build", "-o", "hello", ".", cwd=folder)
    return [folder / "hello"]


def java():
    run.java()
    folder = target() / "java-page"
    libraries = HERE / "java/target/lib/*"
    call("javac", "-cp", libraries, "-d", folder, EXAMPLES / "Hello.java")
    return ["java", "-cp", f"{folder}:{libraries}", "Hello"]


def amqprs():
    run.rust()
    return [target() / "debug/amqprs_hello"]


PAGES = {
    "aio-pika": python("aio_pika_hello.py"),
    "kombu": python("kombu_hello.py"),
    "amqplib": node,
    "amqp091-go": go,
    "java": java,
    "amqprs": amqprs,
}


def main():
    names = sys.argv[1:] or list(PAGES)
    failed = 0
    with Broker() as addresses:
        url = f"amqp://guest:guest@{addresses['amqp']}"
        for name in names:
            try:
                command = [str(part) for part in PAGES[name]()]
                environment = {**os.environ, "AMQP_URL": url, "NODE_PATH": str(HERE / "node/node_modules")}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
                well = done.returncode == 0 and done.stdout == "Hello, Leveret!\n"
                said = done.stdout + done.stderr
            except (Missing, subprocess.TimeoutExpired) as error:
                well, said = False, str(error)
            print(f"{'ok' if well else 'FAILED'} {name}", flush=True)
            if not well:
                failed += 1
                print(said[-2000:])
    print(f"pages: {len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
