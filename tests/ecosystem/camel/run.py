#!/usr/bin/env python3
"""Apache Camel's spring-rabbitmq component and Vert.x' RabbitMQ client (which SmallRye's and Quarkus' messaging use).

    tests/ecosystem/camel/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import java, run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("camel", lambda: java(HERE, "leveret.Main", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")))
