"""Runs the scenarios named on the command line, one line each: `ok NAME`, or `FAIL NAME: why`."""

import asyncio
import inspect
import os
import sys
import traceback

URL = os.environ["AMQP_URL"]
PREFIX = f"py{os.getpid()}."
BIG = os.urandom(1_000_000) * 20


def wrong_url():
    return URL.replace("guest:guest@", "guest:wrong@")


def run(scenarios):
    failed = False
    for name in sys.argv[1:]:
        work = scenarios.get(name)
        if work is None:
            print(f"none {name}", flush=True)
            continue
        try:
            if inspect.iscoroutinefunction(work):
                asyncio.run(asyncio.wait_for(work(), 60))
            else:
                work()
            print(f"ok {name}", flush=True)
        except Exception as error:
            failed = True
            traceback.print_exc()
            print(f"FAIL {name}: {type(error).__name__} {error}".replace("\n", " "), flush=True)
    sys.exit(failed)


def refused(*kinds):
    """A context in which one of these exceptions must be raised; it is kept as `.error`."""
    return Refused(kinds)


class Refused:
    def __init__(self, kinds):
        self.kinds = kinds
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind is not None, "it was not refused"
        self.error = error
        return issubclass(kind, self.kinds)
