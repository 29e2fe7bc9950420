#!/usr/bin/env python3
"""Dramatiq: its own tests of its RabbitMQ broker, and actors in worker processes that are killed, as the broker is.

    tests/ecosystem/dramatiq/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import call, python, run  # noqa: E402

VERSION = "2.2.1"


def install():
    interpreter = python("dramatiq", f"dramatiq[rabbitmq]=={VERSION}", "pika==1.3.2", "pytest==8.4.2")
    # Its tests are in the source archive only.
    source = interpreter.parent.parent / f"dramatiq-{VERSION}"
    if not source.is_dir():
        archives = interpreter.parent.parent / "archives"
        call(interpreter, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", archives, f"dramatiq=={VERSION}")
        (archive,) = archives.glob("dramatiq-*.tar.gz")
        call("tar", "xzf", archive, "-C", interpreter.parent.parent)
    return [interpreter, HERE / "checks.py", source / "tests/test_rabbitmq.py"]


if __name__ == "__main__":
    sys.exit(run("dramatiq", install))
