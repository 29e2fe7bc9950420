#!/usr/bin/env python3
"""Instructions per message, counted by callgrind, beside the table in docs/instructions.md.

    tests/instructions.py [--update]

Time is noisy, instructions are not: the same build gives the same number. A scenario that costs a quarter more than the table says is
a failure, and so is one that costs a quarter less: then the table is to be written anew with --update.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs/instructions.md"
FEW, MANY = 2_000, 12_000
MARGIN = 0.25
HEAD = """# Instructions per message

From the bytes of a publish to the bytes of its delivery, without sockets: decode, route, enqueue, deliver, encode
(`benches/instructions.rs`; `tests/instructions.py --update` writes this table, `make test` compares).

| scenario | instructions per message |
|---|---|
"""


def program():
    done = subprocess.run(
        ["cargo", "bench", "--locked", "--no-run", "--profile", "counted", "--bench", "instructions", "--message-format=json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    for line in done.stdout.splitlines():
        said = json.loads(line)
        if said.get("target", {}).get("name") == "instructions" and said.get("executable"):
            return said["executable"]
    sys.exit("cargo built no program")


def scenarios(text):
    return re.findall(r'name: "([a-z0-9-]+)"', text)


def instructions(program, name, count):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name, str(count)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode or not found:
        sys.exit(f"{name}: {done.stdout}")
    return int(found[1])


def main():
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed")
    built = program()
    counted = {}
    for name in scenarios((ROOT / "benches/instructions.rs").read_text()):
        few, many = (instructions(built, name, count) for count in (FEW, MANY))
        counted[name] = round((many - few) / (MANY - FEW))
    if "--update" in sys.argv:
        TABLE.write_text(HEAD + "".join(f"| `{name}` | {cost} |\n" for name, cost in counted.items()))
    known = {name: int(cost) for name, cost in re.findall(r"\| `([a-z0-9-]+)` \| (\d+) \|", TABLE.read_text())}
    failed = 0
    for name, cost in counted.items():
        before = known.get(name)
        bad = before is None or abs(cost - before) > before * MARGIN
        failed += bad
        print(f"{'FAILED ' if bad else ''}{name}: {cost} instructions per message, {before} in the table")
    gone = sorted(set(known) - set(counted))
    for name in gone:
        print(f"FAILED {name}: the table has it, the program does not")
    print(f"instructions: {len(counted) - failed} passed, {failed + len(gone)} failed")
    return 1 if failed or gone else 0


if __name__ == "__main__":
    sys.exit(main())
