#!/usr/bin/env python3
"""What is read out of a suite's output: tests/suites_test.py"""

import sys

from suites import read

# Lines, exit code; then passed, failed, skipped, failures.
CASES = [
    (["ok pika", "clients: 12 passed, 0 failed"], 0, (12, 0, 0, [])),
    (["FAILED pika: prefetch", "clients: 11 passed, 1 failed"], 1, (11, 1, 0, ["pika: prefetch"])),
    (["systems: 1 passed, 0 failed, 3 skipped"], 0, (1, 0, 3, [])),
    (["systems: 0 passed, 0 failed, 4 skipped"], 0, (0, 0, 4, [])),
    (["test a::b ... ok", "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out", "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured"], 0, (10, 0, 1, [])),
    (["test a::b ... FAILED", "test result: FAILED. 6 passed; 1 failed; 0 ignored; 0 measured"], 101, (6, 1, 0, ["a::b"])),
    (["    not ok 3 - an exchange is declared", "ui: 4 passed, 1 failed"], 1, (4, 1, 0, ["an exchange is declared"])),
    (["image: FAILED", "no hadolint", "packaging: 3 passed, 1 failed"], 1, (3, 1, 0, ["image"])),
    # Whatever it counted, it did not end well; or it ended before it counted; or there was nothing to count.
    (["ui: 4 passed, 0 failed"], 3, (4, 1, 0, ["exit code 3"])),
    (["Traceback"], 1, (0, 1, 0, ["exit code 1"])),
    (["all is well"], 0, (0, 1, 0, ["it tested nothing"])),
    (["ui: 0 passed, 0 failed"], 0, (0, 1, 0, ["it tested nothing"])),
]


def main():
    failed = 0
    for lines, code, wanted in CASES:
        result = read(lines, code)
        found = (result.passed, result.failed, result.skipped, result.failures)
        if found != wanted:
            failed += 1
            print(f"FAILED {lines}: {found}, not {wanted}")
    print(f"runner: {len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
