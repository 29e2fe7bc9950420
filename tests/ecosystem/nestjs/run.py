#!/usr/bin/env python3
"""NestJS: microservices over its RabbitMQ transport, and @golevelup/nestjs-rabbitmq.

    tests/ecosystem/nestjs/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import call, node, run  # noqa: E402


def install():
    node(HERE)
    call("npx", "--no-install", "tsc", "--project", HERE, cwd=HERE)
    return ["node", HERE / "dist/main.js"]


if __name__ == "__main__":
    sys.exit(run("nestjs", install))
