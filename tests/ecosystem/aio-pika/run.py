#!/usr/bin/env python3
"""FastStream and Taskiq: frameworks on aio-pika.

    tests/ecosystem/aio-pika/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import python, run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("aio-pika", lambda: [python("aio-pika", "faststream[rabbit]==0.7.8", "taskiq-aio-pika==0.6.1"), HERE / "checks.py"]))
