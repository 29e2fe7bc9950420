#!/usr/bin/env python3
"""Checks the dashboard: types, lint, weight, then real Chromium against a real broker with real traffic.

    tests/ui/run.py [TEST-FILE..]

Builds nothing: the broker is $LEVERET_BIN, or target/debug/leveret. A missing tool is a failure, and so is a skipped test.
UI_SCREENS names a folder for the screenshots (default: target/ui-screens).
"""

import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import ROOT, TARGET, Broker, Missing, call, end, need  # noqa: E402

UI = ROOT / "management-ui"
# All that the page loads as script or data, but for vendored libraries.
SCRIPT_BYTES_MAX = 150_000
# On a broker without anything; before the traffic begins.
FIRST = ["empty.test.js"]
# Its ten thousand queues are in everyone's way.
LAST = ["many.test.js"]
LIMIT_S = 600
# No test waits for what does not come until the end of all time.
TEST_LIMIT_MS = 120_000


def tools():
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    need("node", "npm", chromium)
    lock = (HERE / "package-lock.json").read_text()
    stamp = HERE / "node_modules/.lock"
    if not stamp.exists() or stamp.read_text() != lock:
        call("npm", "ci", "--no-audit", "--no-fund", cwd=HERE)
        stamp.write_text(lock)


def ours(*kinds):
    return sorted(path for path in UI.rglob("*") if path.suffix in kinds and "vendor" not in path.parts)


def still():
    """What needs no broker."""
    tools()
    bin_dir = HERE / "node_modules/.bin"
    call(bin_dir / "tsc", "-p", ".", cwd=HERE)
    sources = [*ours(".js"), *sorted(HERE.glob("*.js"))]
    call(bin_dir / "eslint", "--config", HERE / "eslint.config.js", "--max-warnings=0", *sources, cwd=ROOT)
    weight = sum(path.stat().st_size for path in ours(".js", ".json"))
    print(f"types and lint are fine; scripts and their data weigh {weight} bytes of {SCRIPT_BYTES_MAX}", flush=True)
    if weight > SCRIPT_BYTES_MAX:
        raise Missing(f"scripts and their data weigh {weight} bytes, more than {SCRIPT_BYTES_MAX}")


def drive(files, env):
    begun = time.monotonic()
    command = ["node", "--test", "--test-concurrency=1", "--test-force-exit", f"--test-timeout={TEST_LIMIT_MS}", "--test-reporter=tap", *files]
    done = subprocess.run(command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    count = {what: int(n) for what, n in re.findall(r"^# (tests|pass|fail|skipped|cancelled|todo) (\d+)$", done.stdout, re.M)}
    print(f"{' '.join(files)}: {count.get('pass', 0)} of {count.get('tests', 0)} passed in {time.monotonic() - begun:.0f} s", flush=True)
    for line in re.findall(r"^# (measured: .*)$", done.stdout, re.M):
        print(f"  {line}")
    if done.returncode or not count.get("pass") or count["pass"] != count["tests"]:
        failed = re.findall(r"^ *not ok .*?^ *\.\.\.$", done.stdout, re.M | re.S)
        raise Missing("\n".join(failed) or done.stdout[-6000:])


def living(wanted):
    screens = pathlib.Path(os.environ.get("UI_SCREENS", TARGET / "ui-screens"))
    screens.mkdir(parents=True, exist_ok=True)
    files = [name for name in sorted(p.name for p in HERE.glob("*.test.js")) if not wanted or name in wanted]
    binary = pathlib.Path(os.environ.get("LEVERET_BIN", TARGET / "debug/leveret"))
    need(str(binary))
    # Nothing that a page counts.
    topology = screens / "topology.yaml"
    topology.write_text("global_parameters: {declared: true}\n")
    with Broker(binary, "--topology", topology) as addresses:
        env = {**os.environ, "UI_URL": f"http://{addresses['http']}", "UI_AMQP": f"amqp://guest:guest@{addresses['amqp']}", "UI_SCREENS": str(screens)}
        for name in FIRST:
            if name in files:
                drive([name], env)
        traffic = subprocess.Popen(["node", "traffic.js"], cwd=HERE, env=env, stdout=subprocess.PIPE, text=True)
        try:
            if traffic.stdout.readline().strip() != "flowing":
                raise Missing("the traffic does not flow")
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
    except (Missing, subprocess.TimeoutExpired) as failure:
        print(failure)
        print("ui: FAILED")
        return 1
    print(f"ui: all of it passed in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
