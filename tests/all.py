#!/usr/bin/env python3
"""Runs all suites, one after the other whatever they say, and sums up.

    tests/all.py [SUITE..]

The exit code is 1 if anything failed; with TEST_SKIPS=fail also if a whole suite was skipped.
"""

import os
import sys

import suites


def summary(results):
    """The table of suites."""
    width = max(map(len, results))
    lines = [f"{'suite'.ljust(width)}  passed  failed  skipped  minutes"]
    for name, result in results.items():
        lines.append(f"{name.ljust(width)}  {result.passed:6}  {result.failed:6}  {result.skipped:7}  {result.seconds / 60:7.1f}  {'' if result.verdict == 'passed' else result.verdict.upper()}".rstrip())
    return lines


def closing(results):
    """All of it in one line."""
    passed, failed, skipped = (sum(getattr(result, what) for result in results.values()) for what in ("passed", "failed", "skipped"))
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def main():
    names = suites.wanted(sys.argv[1:])
    suites.build()
    results = {}
    for name in names:
        print(f"\n=== {name}", flush=True)
        results[name] = suites.run(name, lambda line: print(line, end="", flush=True))
    print("\n" + "\n".join(summary(results)))
    for name, result in results.items():
        for failure in result.failures:
            print(f"{name}: {failure}")
    print(closing(results))
    bad = {"failed", "skipped"} if os.environ.get("TEST_SKIPS") == "fail" else {"failed"}
    return 1 if bad & {result.verdict for result in results.values()} else 0


if __name__ == "__main__":
    sys.exit(main())
