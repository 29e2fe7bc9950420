#!/usr/bin/env python3
"""Checks the dashboard: types, lint, weight, then real Chromium against a real broker with real traffic.

    tests/ui/run.py [TEST-FILE..]

Builds nothing: the broker is $LEVERET_BIN, or target/debug/leveret. A missing tool is a failure, and so is a skipped test.
UI_SCREENS names a folder for the screenshots (default: target/ui-screens).
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
UI = ROOT / "management-ui"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SCRIPT_BYTES_MAX = 150 * 1024
# On a broker without anything; before the traffic begins.
FIRST = ["empty.test.js"]
# Its ten thousand queues are in everyone's way.
LAST = ["many.test.js"]
LIMIT_S = 300


class Failed(Exception):
    pass


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}:\n{done.stdout[-6000:]}")
    return done.stdout


def tools():
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    for tool in ["node", "npm", chromium]:
        if shutil.which(tool) is None:
            raise Failed(f"{tool} is not installed")
    lock = (HERE / "package-lock.json").read_text()
    stamp = HERE / "node_modules/.lock"
    if not stamp.exists() or stamp.read_text() != lock:
        run("npm", "ci", "--no-audit", "--no-fund", cwd=HERE)
        stamp.write_text(lock)


def scripts():
    return sorted(path for path in UI.rglob("*.js") if "vendor" not in path.parts)


def still():
    """What needs no broker."""
    tools()
    bin_dir = HERE / "node_modules/.bin"
    run(bin_dir / "tsc", "-p", ".", cwd=HERE)
    sources = [*scripts(), *sorted(HERE.glob("*.js"))]
    run(bin_dir / "eslint", "--config", HERE / "eslint.config.js", "--max-warnings=0", *sources, cwd=ROOT)
    weight = sum(path.stat().st_size for path in scripts())
    print(f"types and lint are fine; scripts weigh {weight / 1024:.1f} KiB of {SCRIPT_BYTES_MAX / 1024:.0f}", flush=True)
    if weight > SCRIPT_BYTES_MAX:
        raise Failed(f"the scripts weigh {weight} bytes, more than {SCRIPT_BYTES_MAX}")


class Broker:
    def __enter__(self):
        binary = pathlib.Path(os.environ.get("LEVERET_BIN", TARGET / "debug/leveret"))
        if not binary.exists():
            raise Failed(f"there is no broker at {binary}: cargo build")
        self.folder = tempfile.TemporaryDirectory(prefix="leveret-ui-")
        self.log = pathlib.Path(self.folder.name) / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--data-dir", self.folder.name + "/data", "--amqp-listen", "127.0.0.1:0",
                 "--http-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            said = dict(re.findall(r"(amqp|http) listening on ([0-9.]+:\d+)", self.log.read_text()))
            if len(said) == 2:
                return {"UI_URL": f"http://{said['http']}", "UI_AMQP": f"amqp://guest:guest@{said['amqp']}"}
            time.sleep(0.02)
        raise Failed(f"the broker does not start:\n{self.log.read_text()}")

    def __exit__(self, *_):
        end(self.process)
        self.folder.cleanup()


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def drive(files, env):
    begun = time.monotonic()
    command = ["node", "--test", "--test-concurrency=1", "--test-reporter=tap", *files]
    done = subprocess.run(command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    count = {what: int(n) for what, n in re.findall(r"^# (tests|pass|fail|skipped|cancelled|todo) (\d+)$", done.stdout, re.M)}
    print(f"{' '.join(files)}: {count.get('pass', 0)} of {count.get('tests', 0)} passed in {time.monotonic() - begun:.0f} s", flush=True)
    for line in re.findall(r"^# (measured: .*)$", done.stdout, re.M):
        print(f"  {line}")
    if done.returncode or not count.get("pass") or count["pass"] != count["tests"]:
        failed = re.findall(r"^ *not ok .*?^ *\.\.\.$", done.stdout, re.M | re.S)
        raise Failed("\n".join(failed) or done.stdout[-6000:])


def living(wanted):
    screens = pathlib.Path(os.environ.get("UI_SCREENS", TARGET / "ui-screens"))
    screens.mkdir(parents=True, exist_ok=True)
    files = [name for name in sorted(p.name for p in HERE.glob("*.test.js")) if not wanted or name in wanted]
    with Broker() as addresses:
        env = {**os.environ, **addresses, "UI_SCREENS": str(screens)}
        for name in FIRST:
            if name in files:
                drive([name], env)
        traffic = subprocess.Popen(["node", "traffic.js"], cwd=HERE, env=env, stdout=subprocess.PIPE, text=True)
        try:
            if traffic.stdout.readline().strip() != "flowing":
                raise Failed("the traffic does not flow")
            rest = [name for name in files if name not in FIRST + LAST]
            if rest:
                drive(rest, env)
        finally:
            end(traffic)
        for name in LAST:
            if name in files:
                drive([name], env)


def main():
    begun = time.monotonic()
    try:
        still()
        living(sys.argv[1:])
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(failure)
        print("ui: FAILED")
        return 1
    print(f"ui: all of it passed in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
