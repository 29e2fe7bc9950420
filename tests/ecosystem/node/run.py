#!/usr/bin/env python3
"""Rascal and Moleculer's AMQP transporter: frameworks of Node's on amqplib.

    tests/ecosystem/node/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import node, run  # noqa: E402


def install():
    node(HERE)
    return ["node", HERE / "main.js"]


if __name__ == "__main__":
    sys.exit(run("node", install))
