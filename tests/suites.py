"""The suites of this project, and what one of them says when it is run."""

import dataclasses
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# In the order in which `make test` runs them: what is quick to tell that something is wrong comes first.
SUITES = {
    "runner": ["tests/suites_test.py"],
    "rust": ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
    "packaging": ["tests/packaging.py"],
    "ui": ["tests/ui/run.py"],
    "clients": ["tests/clients/run.py"],
    "pages": ["tests/clients/pages.py"],
    "api": ["tests/api/run.py"],
    "ecosystem": ["tests/ecosystem/quick.py"],
    "instructions": ["tests/instructions.py"],
    "systems": ["tests/systems.py"],
}

# Each of our runners ends with such a line; cargo prints one for each program of tests.
CLOSING = re.compile(r"^(?:[\w-]+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
# How runners name what failed.
FAILED = re.compile(r"^(?:test (?P<cargo>.+?)(?: - should panic)? \.\.\. FAILED|\s*not ok \d+ - (?P<tap>.+?)|FAILED (?P<ours>.+?)|(?P<check>[\w ./@-]+): FAILED.*)$")


@dataclasses.dataclass
class Result:
    """What one run of a suite came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list = dataclasses.field(default_factory=list)

    @property
    def verdict(self):
        """`failed`, `skipped` where nothing at all was tested, or `passed`."""
        return "failed" if self.failed else "passed" if self.passed else "skipped"


def read(lines, code):
    """The result that a suite's output and exit code tell. A suite that ends badly or tests nothing has failed, whatever it counts."""
    result, counted = Result(), False
    for line in lines:
        if found := CLOSING.match(line):
            result.passed, result.failed, result.skipped = (int(part or 0) for part in found.groups())
            counted = True
        elif found := CARGO.match(line):
            passed, failed, ignored = map(int, found.groups())
            result.passed, result.failed, result.skipped = result.passed + passed, result.failed + failed, result.skipped + ignored
            counted = True
        elif found := FAILED.match(line):
            result.failures.append(next(filter(None, found.groups())))
    if not result.failed and (code or not counted or not (result.passed or result.skipped)):
        result.failed = 1
        result.failures.append(f"exit code {code}" if code else "it tested nothing")
    return result


def run(name, out):
    """Runs a suite; `out` is called with each line that it prints."""
    begun, lines = time.monotonic(), []
    command = SUITES[name]
    command = command if command[0] == "cargo" else [sys.executable, *command]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            out(line)
    result = read(lines, process.returncode)
    result.seconds = time.monotonic() - begun
    return result


def wanted(names):
    """The suites of these names, in their order; all without names."""
    if unknown := set(names) - set(SUITES):
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    return [name for name in SUITES if name in names or not names]


def build():
    """What several suites start: the broker, unoptimised."""
    if subprocess.run(["cargo", "build", "--locked"], cwd=ROOT).returncode:
        sys.exit("the broker does not build: nothing can be tested")
