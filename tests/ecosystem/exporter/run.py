#!/usr/bin/env python3
"""kbudde's rabbitmq_exporter on a broker that this starts: it has to export what it exports from RabbitMQ 3.10.8.

    tests/ecosystem/exporter/run.py [--record AMQP HTTP]

`families.txt` holds the names of metrics, each with its labels; --record writes it anew from a RabbitMQ without definitions of its own, at
these addresses (HOST:PORT, guest:guest).
"""

import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
import golang  # noqa: E402
from broker import START_S, TARGET, Broker, Missing, end  # noqa: E402
from management import ask  # noqa: E402
from program import free_port  # noqa: E402

MODULE, VERSION = "github.com/kbudde/rabbitmq_exporter", "v1.0.0"
RECORDED = HERE / "families.txt"
# How it asks: with RabbitMQ's binary format, or with JSON and without sorting.
CAPABILITIES = ["bert,no_sort", "no_sort"]
# Metrics that are not there, and why.
KNOWN = {
    "rabbitmq_memory_queue_slave_procs_bytes": "queues are not mirrored",
    "rabbitmq_queue_gc_collections_before_fullsweep": "of Erlang's garbage collector",
    "rabbitmq_queue_gc_min_heap": "of Erlang's garbage collector",
    "rabbitmq_queue_gc_min_vheap": "of Erlang's garbage collector",
}
# What it has to say of the queue that nobody reads, of all of them (one is the test of aliveness'), and of the exchange.
VALUES = {
    r'rabbitmq_queue_messages\{.*queue="waiting".*\}': 5,
    r'rabbitmq_queue_messages_ready\{.*queue="waiting".*\}': 5,
    r'rabbitmq_queue_messages_unacknowledged\{.*queue="waiting".*\}': 0,
    r'rabbitmq_queue_messages_persistent\{.*queue="waiting".*\}': 5,
    r'rabbitmq_queue_messages_published_total\{.*queue="waiting".*\}': 5,
    r'rabbitmq_queue_message_bytes\{.*queue="waiting".*\}': 25,
    r'rabbitmq_queue_consumers\{.*queue="waiting".*\}': 0,
    r'rabbitmq_queue_state\{.*queue="waiting".*state="idle".*\}': 1,
    r'rabbitmq_exchange_messages_published_in_total\{.*exchange="orders".*\}': 6,
    r'rabbitmq_exchange_messages_published_out_total\{.*exchange="orders".*\}': 5,
    r"rabbitmq_queues\{.*\}": 4,
    r"rabbitmq_connections\{.*\}": 3,
    r"rabbitmq_consumers\{.*\}": 1,
    r"rabbitmq_up\{.*\}": 1,
    r'rabbitmq_aliveness_info\{.*status="ok"\}': 1,
}
SETUP = [
    ("PUT", "queues/%2F/waiting", {"durable": True, "arguments": {"x-max-length": 100}}),
    ("PUT", "queues/%2F/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}}),
    ("PUT", "exchanges/%2F/orders", {"type": "topic", "durable": True}),
    ("POST", "bindings/%2F/e/orders/q/waiting", {"routing_key": "order.#"}),
    ("PUT", "policies/%2F/limited", {"pattern": "^q", "definition": {"max-length": 1000}}),
    *[("POST", "exchanges/%2F/orders/publish", {"properties": {"delivery_mode": 2}, "routing_key": key, "payload": "hello", "payload_encoding": "string"}) for key in ["order.1"] * 5 + ["none"]],
    ("POST", "queues/%2F/waiting/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
]


class Exported:
    """What the exporter says of a broker, asked with some capabilities."""

    def __init__(self, binary, http, capabilities):
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "RABBIT_URL": f"http://{http}", "PUBLISH_ADDR": "127.0.0.1", "PUBLISH_PORT": str(self.port), "RABBIT_CAPABILITIES": capabilities,
                 "RABBIT_EXPORTERS": "exchange,node,overview,queue,connections,shovel,federation,aliveness,memory"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def page(self):
        late = time.monotonic() + START_S
        while time.monotonic() < late and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=START_S) as answer:
                    return answer.read().decode()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise Missing("the exporter does not answer")


def families(page):
    """Lines of names with their labels."""
    found = {}
    for name, labels in re.findall(r"^(rabbitmq_\w+)(?:\{(.*)\})? ", page, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {" ".join([name, ",".join(sorted(labels))]).strip() for name, labels in found.items()}


def wrong_values(page):
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    for pattern, value in VALUES.items():
        fitting = [float(said) for series, said in lines.items() if re.fullmatch(pattern, series)]
        if fitting != [value]:
            yield f"{pattern}: {fitting}, not {value}"


def observe(binary, amqp, http, take):
    """Calls `take` with capabilities and page, of a broker that has definitions and traffic, until it is content or too late; what it said last."""
    for method, path, body in SETUP:
        ask(http, method, path, body)
    perf = os.environ.get("LEVERET_BINARY") or TARGET / "debug/leveret"
    load = subprocess.Popen([perf, "perf", "--url", f"amqp://guest:guest@{amqp}/%2f", "-x", "1", "-y", "1", "-c", "10", "--rate", "20", "--time", "600"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = []
    try:
        for capabilities in CAPABILITIES:
            with Exported(binary, http, capabilities) as exported:
                late = time.monotonic() + 60
                # Counters follow within seconds.
                while (wrong := take(exported.page())) and time.monotonic() < late:
                    time.sleep(0.5)
                said += [f"{capabilities}: {what}" for what in wrong]
    finally:
        end(load)
    return said


def compare(page):
    """What is not as recorded."""
    recorded, found = set(RECORDED.read_text().splitlines()), families(page)
    missing = {line for line in recorded - found if line.split()[0] not in KNOWN}
    stale = {line for line in found if line.split()[0] in KNOWN}
    unknown = KNOWN.keys() - {line.split()[0] for line in recorded}
    return [*(f"missing: {line}" for line in sorted(missing)), *(f"is listed as missing, and is there: {line}" for line in sorted(stale)),
            *(f"is listed as missing, and RabbitMQ has none: {name}" for name in sorted(unknown)), *wrong_values(page)]


def record(binary, amqp, http):
    pages = []

    def take(page):
        pages.append(families(page))
        return list(wrong_values(page))

    for why in observe(binary, amqp, http, take):
        print(why)
    RECORDED.write_text("\n".join(sorted(pages[-1])) + "\n")


def main():
    try:
        binary = golang.program(MODULE, VERSION)
        if sys.argv[1:2] == ["--record"]:
            return record(binary, *sys.argv[2:4])
        with Broker() as addresses:
            failures = observe(binary, addresses["amqp"], addresses["http"], compare)
    except Missing as missing:
        print(f"FAILED exporter: {missing}\nexporter: 0 passed, 1 failed")
        return 1
    for name, why in KNOWN.items():
        print(f"known difference: {name}: {why}")
    for failure in failures:
        print(f"FAILED {failure}")
    checks = len(CAPABILITIES) * (len(RECORDED.read_text().splitlines()) - len(KNOWN) + len(VALUES))
    print(f"{len(KNOWN)} known differences")
    print(f"exporter: {checks - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
