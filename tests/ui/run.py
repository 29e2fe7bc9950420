#!/usr/bin/env python3
"""Checks the dashboard: types, lint, weight, then real Chromium against real brokers with real traffic.

    tests/ui/run.py [TEST-FILE..]

Builds nothing: the broker is $LEVERET_BIN, or target/debug/leveret. Each file has a broker of its own, so that none finds what
another left; UI_JOBS of them run at once (default: 2). A missing tool is a failure, and so is a skipped test.
UI_SCREENS names a folder for the screenshots (default: target/ui-screens).
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import ROOT, TARGET, Broker, Missing, call, end, need  # noqa: E402

UI = ROOT / "management-ui"
# All that the page loads as script or data, but for vendored libraries. It was 150,000 until an operator's trial asked for more:
# charts of one virtual host, stalled queues, several graphs, filters by client, a server that hangs; and 160,000 until retries.
SCRIPT_BYTES_MAX = 170_000
# Files that need a broker in which nothing moves. `findings` needs none.
QUIET = ["empty.test.js", "findings.test.js", "many.test.js"]
# Begun first, so that none of them is what all wait for in the end.
LONG = ["pages.test.js", "keyboard.test.js", "names.test.js", "many.test.js"]
# A file that takes longer hangs. Its tests have a limit of their own (browser.js).
FILE_S_MAX = 3600


# The shell is the same engine without a browser's own pages, and takes two thirds of the processor time.
BROWSERS = ["chromium-headless-shell", "chromium"]


def browser():
    """The browser to drive: $CHROMIUM, or the first that is installed."""
    return os.environ.get("CHROMIUM") or next((found for name in BROWSERS if (found := shutil.which(name))), BROWSERS[-1])


def tools():
    need("node", "npm", browser())
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


def drive(name, env):
    """Runs one file; how many of its tests passed, how many did not, and what is to be said."""
    begun = time.monotonic()
    # Not `--test`: its limit would hold for the file as a whole, with the start of the browser.
    done = subprocess.run(["node", "--test-reporter=tap", name], cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FILE_S_MAX)
    count = {what: int(n) for what, n in re.findall(r"^# (tests|pass|fail|skipped|cancelled|todo) (\d+)$", done.stdout, re.M)}
    passed, tests = count.get("pass", 0), count.get("tests", 0)
    said = [f"{name}: {passed} of {tests} passed in {time.monotonic() - begun:.0f} s"]
    said += [f"  {line}" for line in re.findall(r"^#? ?(measured: .*)$", done.stdout, re.M)]
    failed = tests - passed
    if done.returncode or not passed or failed:
        failed = max(failed, 1)
        said += re.findall(r"^ *not ok .*?^ *\.\.\.$", done.stdout, re.M | re.S) or [done.stdout[-6000:]]
    return passed, failed, said


def live(name, binary, screens, topology):
    """Runs one file on a broker of its own."""
    env = {**os.environ, "UI_SCREENS": str(screens), "CHROMIUM": browser()}
    try:
        with Broker(binary, "--topology", topology) as addresses:
            env |= {"UI_URL": f"http://{addresses['http']}", "UI_AMQP": f"amqp://guest:guest@{addresses['amqp']}"}
            if name in QUIET:
                return drive(name, env)
            traffic = subprocess.Popen(["node", "traffic.js"], cwd=HERE, env=env, stdout=subprocess.PIPE, text=True)
            try:
                if traffic.stdout.readline().strip() != "flowing":
                    raise Missing("the traffic does not flow")
                return drive(name, env)
            finally:
                end(traffic)
    except (Missing, subprocess.TimeoutExpired) as failure:
        return 0, 1, [f"{name}: {failure}"]


def living(wanted):
    screens = pathlib.Path(os.environ.get("UI_SCREENS", TARGET / "ui-screens"))
    screens.mkdir(parents=True, exist_ok=True)
    files = {path.name for path in HERE.glob("*.test.js")}
    if unknown := set(wanted) - files:
        raise Missing(f"no such file: {', '.join(sorted(unknown))}")
    files = sorted(wanted or files, key=lambda name: (name not in LONG, name))
    binary = pathlib.Path(os.environ.get("LEVERET_BIN", TARGET / "debug/leveret"))
    need(str(binary))
    # Nothing that a page counts.
    topology = screens / "topology.yaml"
    topology.write_text("global_parameters: {declared: true}\n")
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("UI_JOBS", "2"))) as pool:
        for done in concurrent.futures.as_completed([pool.submit(live, name, binary, screens, topology) for name in files]):
            well, ill, said = done.result()
            passed, failed = passed + well, failed + ill
            print("\n".join(said), flush=True)
    return passed, failed


def main():
    try:
        still()
        passed, failed = living(sys.argv[1:])
    except Missing as failure:
        print(failure)
        passed, failed = 0, 1
    print(f"ui: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
