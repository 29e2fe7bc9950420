#!/usr/bin/env python3
"""watermill-amqp's own tests against a broker that this starts.

    tests/ecosystem/watermill/run.py [short]

All of them: with many messages, under stress, and with a broker that is restarted in between, for which its `docker-compose` is ours; or
those that it calls short.
"""

import os
import pathlib
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import golang  # noqa: E402
from golang import Missing  # noqa: E402
from broker import Broker  # noqa: E402

MODULE, VERSION = "github.com/ThreeDotsLabs/watermill-amqp/v3", "v3.0.2"
# The test compares what arrived with what was published by then, and takes a message for published when its commit was answered: a
# delivery here leaves before the commit is on disk. None may be missing.
RACES = {"TestPublishSubscribe_reconnect": (r"received: 10000, sent: 99\d\d(?s:.*)missing: \[\]", "the last message arrives before its publisher knows of the commit, and the test does not wait for that")}
# What its test calls as `docker-compose restart rabbitmq`: asks, and returns when it was done.
COMPOSE = """#!/bin/sh
touch "$0.asked"
while [ -e "$0.asked" ]; do sleep 0.1; done
"""


def restart_when_asked(broker, compose, over):
    """Until it is over."""
    asked = compose.with_suffix(".asked")
    while not over.wait(0.1):
        if asked.exists():
            broker.stop()
            broker.start()
            asked.unlink()


def main():
    options = ["-short", "-parallel=20"] if "short" in sys.argv[1:] else ["-tags=reconnect,stress", "-parallel=30"]
    try:
        folder = golang.sources(MODULE, VERSION)
        broker, over = Broker(), threading.Event()
        with broker as addresses, tempfile.TemporaryDirectory() as names:
            compose = pathlib.Path(names) / "docker-compose"
            compose.write_text(COMPOSE)
            compose.chmod(0o755)
            restarter = threading.Thread(target=restart_when_asked, args=(broker, compose, over))
            restarter.start()
            try:
                tested = golang.test(folder, "./pkg/amqp", *options, WATERMILL_TEST_AMQP_URI=f"amqp://guest:guest@{addresses['amqp']}/", PATH=f"{names}:{os.environ['PATH']}")
            finally:
                over.set()
                restarter.join()
    except Missing as missing:
        print(f"FAILED watermill: {missing}\nwatermill: 0 passed, 1 failed")
        return 1
    return golang.conclude("watermill", tested, races=RACES)


if __name__ == "__main__":
    sys.exit(main())
