#!/usr/bin/env python3
"""That the broker can be built for other systems than the one that tests it.

    tests/systems.py

The half of the platform modules that is not Linux's runs its tests here, by the feature `portable`; then the whole program is
type-checked for the targets below. C is not compiled for them, as that takes their headers: the compiler that stands in makes
empty files, which nothing links. So this says that the Rust is right, and no more. A target that rustup cannot fetch is skipped.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from broker import ROOT, TARGET, Missing, call, need

TARGETS = ["aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-unknown-freebsd", "aarch64-unknown-linux-gnu"]
PORTABLE = [
    # What lies on a real disk; the simulated one asks no system.
    ["--package", "leveret-store", "--lib", "platform::"],
    ["--package", "leveret-store", "--test", "log"],
    ["--package", "leveret-platform", "--lib"],
]
STAND_IN = """#!/bin/sh
# Makes the files that a compiler or an archiver would make, empty.
last=
for word in "$@"; do
    case "$last $word" in "-o "*|*" "*.a) : >"$word" ;; esac
    last=$word
done
"""


def portable():
    """The tests of what stands in for Linux's calls."""
    count = 0
    for what in PORTABLE:
        said = call("cargo", "test", "--quiet", "--locked", "--features", "portable", *what, cwd=ROOT)
        (passed,) = re.findall(r"test result: ok. (\d+) passed", said)
        if passed == "0":
            raise Missing(f"no test ran: {' '.join(what)}\n{said}")
        count += int(passed)
    return f"{count} tests"


def check(target, folder):
    """Type-checks the program for a target; `None` if that cannot be had."""
    fetched = subprocess.run(["rustup", "target", "add", target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if fetched.returncode:
        print(fetched.stdout.strip())
        return None
    tool = pathlib.Path(folder) / "stand-in"
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    name = target.replace("-", "_")
    env = {**os.environ, f"CC_{name}": str(tool), f"AR_{name}": str(tool), "CARGO_TARGET_DIR": str(TARGET / "systems")}
    call("cargo", "check", "--quiet", "--locked", "--bin", "leveret", "--target", target, cwd=ROOT, env=env)
    return "type-checked"


def main():
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as folder:
        checks = [("portable half", portable)] + [(target, lambda target=target: check(target, folder)) for target in TARGETS]
        for name, act in checks:
            try:
                need("cargo", "rustup")
                said = act()
            except Missing as why:
                failed += 1
                print(f"{name}: FAILED\n{why}", flush=True)
                continue
            passed, skipped = passed + (said is not None), skipped + (said is None)
            print(f"{name}: {said or 'skipped'}", flush=True)
    print(f"systems: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
