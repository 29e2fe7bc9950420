"""Go modules that are tested with their own tests, as the module proxy has them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from broker import TARGET, Missing, call, need  # noqa: E402

# Tests that take longer hang.
LIMIT_S = 3600


def sources(module, version):
    """A copy of the module that can be written to. Its sum is checked against the public log of sums."""
    folder = TARGET / f"tools/{name(module)}-{version}"
    if not folder.exists():
        need("go")
        told = json.loads(call("go", "mod", "download", "-json", f"{module}@{version}", cwd="/"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fetched:
            copy = pathlib.Path(fetched) / "module"
            shutil.copytree(told["Dir"], copy)
            call("chmod", "-R", "u+w", copy)
            copy.rename(folder)
    return folder


def name(module):
    """Without where it is and which major version."""
    return re.sub(r"/v\d+$", "", module).rsplit("/", 1)[1]


def program(module, version):
    """The program that the module is, built once."""
    binary = TARGET / f"tools/{name(module)}-{version}-built"
    if not binary.exists():
        # Not of this repository's commit.
        call("go", "build", "-buildvcs=false", "-o", binary, ".", cwd=sources(module, version))
    return binary


class Tested:
    """What `go test` said of the tests that have no tests within them."""

    def __init__(self):
        self.verdicts, self.output, self.other = {}, {}, []

    def take(self, line):
        try:
            event = json.loads(line)
        except ValueError:
            self.other.append(line)
            return
        name = event.get("Test")
        if event["Action"] in ("output", "build-output"):
            (self.output.setdefault(name, []) if name else self.other).append(event["Output"])
        elif name and event["Action"] in ("pass", "fail", "skip"):
            self.verdicts[name] = event["Action"]

    def leaves(self):
        outer = {name.rsplit("/", depth)[0] for name in self.verdicts for depth in range(1, name.count("/") + 1)}
        return {name: verdict for name, verdict in self.verdicts.items() if name not in outer}

    def said(self, name):
        """What the test printed, without what the tool adds."""
        return "".join(line for line in self.output.get(name, []) if not line.startswith("=== "))


def test(folder, package, *options, **environment):
    """Runs a package's tests."""
    tested = Tested()
    with subprocess.Popen(["go", "test", "-json", "-count=1", f"-timeout={LIMIT_S}s", *options, package], cwd=folder, env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        timer = threading.Timer(LIMIT_S + 60, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                tested.take(line)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
    # A test that ended with the whole process has no verdict.
    for name in tested.output:
        tested.verdicts.setdefault(name, "fail")
    if code and "fail" not in tested.verdicts.values():
        raise Missing("".join(tested.other)[-3000:])
    return tested


def conclude(name, tested, known=None, races=None):
    """Prints what failed, and the line that counts; gives the exit code.

    `known`: tests that have to fail, and why. `races`: tests that may fail with output that fits a regular expression, and why.
    """
    leaves, known, races = tested.leaves(), known or {}, races or {}
    failures, passed, lost = [], 0, 0
    for test, verdict in leaves.items():
        said = tested.said(test)
        if verdict == "fail" and test in races and re.search(races[test][0], said):
            lost += 1
            print(f"known race: {test}: {races[test][1]}")
        elif verdict == "fail" and test not in known:
            failures.append(f"{test}: {said[-2000:]}")
        elif verdict != "fail" and test in known:
            failures.append(f"{test}: is listed as a known difference, and did not fail")
        elif verdict == "pass":
            passed += 1
    failures += [f"{test}: is listed as a known difference, and is no test" for test in known if test not in leaves]
    for test, reason in known.items():
        print(f"known difference: {test}: {reason}")
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{len(known) + lost} known differences")
    print(f"{name}: {passed} passed, {len(failures)} failed, {list(leaves.values()).count('skip')} skipped")
    return 1 if failures or not passed else 0
