#!/usr/bin/env python3
"""Flink's connector for RabbitMQ, in a cluster within one process.

    tests/ecosystem/flink/run.py [--rabbitmq] [CHECK..]
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from program import java, run  # noqa: E402

# What Flink 1.17 reflects upon.
OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time", "java.net")]

if __name__ == "__main__":
    sys.exit(run("flink", lambda: java(HERE, "leveret.Main", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *OPENS)))
