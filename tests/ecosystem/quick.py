#!/usr/bin/env python3
"""Those of other people's tools that take under a minute, one after the other: tests/ecosystem/quick.py [NAME..]"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from suites import read  # noqa: E402

# What is run of each.
RUNNERS = {
    "nagios": ["nagios/run.py"],
    "exporter": ["exporter/run.py"],
    "watermill": ["watermill/run.py", "short"],
    "perf_test": ["perf_test/run.py", "short"],
    "terraform": ["terraform/run.py"],
    "nestjs": ["nestjs/run.py"],
    "node": ["node/run.py"],
    "aio-pika": ["aio-pika/run.py"],
    "camel": ["camel/run.py"],
}


def main():
    if unknown := set(sys.argv[1:]) - set(RUNNERS):
        sys.exit(f"no such runner: {', '.join(sorted(unknown))}; there are {', '.join(RUNNERS)}")
    passed = failed = skipped = 0
    for name in sys.argv[1:] or RUNNERS:
        runner, *arguments = RUNNERS[name]
        with subprocess.Popen([sys.executable, HERE / runner, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                print(line, end="", flush=True)
        result = read(lines, process.returncode)
        passed, failed, skipped = passed + result.passed, failed + result.failed, skipped + result.skipped
        # Others it has named itself.
        if result.failures and not any(line.startswith("FAILED ") for line in lines):
            print(f"FAILED {name}: {', '.join(result.failures)}")
    print(f"ecosystem: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
