#!/usr/bin/env python3
"""Bunny, Ruby's client, as Debian packages it (ruby-bunny).

    tests/ecosystem/bunny/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import Missing, need, run  # noqa: E402


def install():
    need("ruby")
    if subprocess.run(["ruby", "-rbunny", "-e", ""], stderr=subprocess.DEVNULL).returncode:
        raise Missing("Bunny is not installed: apt-get install ruby-bunny")
    return ["ruby", HERE / "checks.rb"]


if __name__ == "__main__":
    sys.exit(run("bunny", install))
