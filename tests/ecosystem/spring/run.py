#!/usr/bin/env python3
"""Spring Cloud Stream with its Rabbit binder, and Spring AMQP.

    tests/ecosystem/spring/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import java, run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("spring", lambda: java(HERE, "leveret.Main", "-XX:TieredStopAtLevel=1")))
