#!/usr/bin/env python3
"""RabbitMQ's PerfTest against a broker that this starts, with one set of options after the other.

    tests/ecosystem/perf_test/run.py [short] [NAME..]

Each run has to end by itself, with 0, when its consumers have received what they were to, and the broker has to have counted just that.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
from broker import TARGET, Broker, Missing, call, need  # noqa: E402
from management import ask  # noqa: E402

# A run that takes longer hangs.
LIMIT_S = 300
# Counters follow within seconds; a machine may have much else to do.
FOLLOWS_S = 60

# What is there before.
SETUP = [
    ("PUT", "queues/%2F/dead", {"durable": True}),
    ("PUT", "queues/%2F/declared", {"durable": True, "arguments": {"x-max-priority": 3}}),
    ("PUT", "queues/%2F/short", {"durable": True, "arguments": {}}),
    ("PUT", "exchanges/%2F/mine", {"type": "topic", "durable": True}),
    ("POST", "bindings/%2F/e/mine/q/declared", {"routing_key": "a.#"}),
]


def moved(count, **more):
    """Published, delivered and acknowledged."""
    return {"publish": count, "deliver": count, "ack": count, "return_unroutable": 0, "redeliver": 0, **more}


# Name, whether it belongs to the short ones, options, what the broker counts (or between what), and how long queues are afterwards.
CASES = [
    ("plain", True, "-C 5000 -D 5000", moved(5000, confirm=0), {}),
    ("confirms, persistent, durable", True, "-C 3000 -D 3000 -c 100 -f persistent -ad false -u durable", moved(3000, confirm=3000), {"durable": 0}),
    ("one confirm at a time", False, "-C 200 -D 200 -c 1 -f persistent -ad false -u durable", moved(200, confirm=200), {"durable": 0}),
    ("acknowledges every 100", True, "-C 3000 -D 3000 -A 100 -q 250", moved(3000), {}),
    ("automatic acknowledgement", False, "-C 3000 -D 3000 -a", {"publish": 3000, "deliver_no_ack": 3000, "ack": 0}, {}),
    ("prefetch of the channel", False, "-C 1000 -D 1000 -Q 10", moved(1000), {}),
    ("rate limits", False, "-C 400 -D 400 -r 200 -R 400", moved(400), {}),
    ("latency in milliseconds, compact", False, "-C 400 -D 400 -ms -mf compact -r 400", moved(400), {}),
    ("quorum queue", True, "-C 1000 -D 1000 -qq -u quorum -c 50 -f persistent -ll balanced", moved(1000, confirm=1000), {"quorum": 0}),
    ("topic with a routing key", False, "-C 500 -D 500 -t topic -e own-topic -k a.b.c", moved(500), {}),
    ("random routing keys to a fanout", False, "-C 500 -D 500 -t fanout -e own-fanout -K -rkcs 50", moved(500), {}),
    ("headers exchange", False, "-C 500 -D 500 -t headers -e own-headers -mp a=1", moved(500), {}),
    ("queue arguments", True, "-C 500 -D 500 -u limited -qa x-max-length=100000,x-message-ttl=600000,x-queue-mode=lazy,x-expires=600000", moved(500), {}),
    ("a queue that is too short", False, "-C 500 -y 0 -u full -ad false -qa x-max-length=10,x-overflow=drop-head", {"publish": 500, "deliver": 0}, {"full": 10}),
    ("a queue that refuses", False, "-C 500 -y 0 -u refuses -ad false -c 100 -qa x-max-length=10,x-overflow=reject-publish", {"publish": 500, "confirm": 10}, {"refuses": 10}),
    ("length in bytes", False, "-C 500 -y 0 -u bytes -ad false -s 100 -mlb 1000", {"publish": 500}, {"bytes": 10}),
    ("JSON bodies", True, "-C 500 -D 500 --json-body --size 2000 -bc 10", moved(500), {}),
    ("variable sizes", False, "-C 900 -D 900 -r 300 -vs 100:1 -vs 200000:1", moved(900), {}),
    ("large bodies", False, "-C 20 -D 20 -s 5000000 -c 5", moved(20, confirm=20), {}),
    ("what is declared already", True, "-C 500 -D 500 -p -e mine -t topic -k a.b -u declared -c 50 -f persistent", moved(500, confirm=500), {"declared": 0}),
    ("priorities", False, "-C 500 -D 500 -p -e mine -t topic -k a.b -u declared -mp priority=2,correlationId=x -ca x-priority=10", moved(500), {"declared": 0}),
    ("slow consumer", False, "-C 200 -D 200 -L 5000 -q 10", moved(200), {}),
    ("variable latency of the consumer", False, "-C 300 -D 300 -r 150 -vl 1000:1 -vl 5000:1 -q 20", moved(300), {}),
    ("polling", True, "-C 500 -D 500 -po -pi 1", {"publish": 500, "get": 500, "ack": 500, "deliver": 0}, {}),
    # It does not count what it publishes then.
    ("variable rate", True, "-z 6 -vr 100:1 -vr 400:1", {"publish": range(100, 1 << 32), "ack": range(100, 1 << 32), "return_unroutable": 0}, {}),
    ("an interval for publishing", False, "-C 20 -D 20 -P 0.1", moved(20), {}),
    ("transactions", False, "-C 500 -D 500 -m 10 -n 10", moved(500), {}),
    ("returned", True, "-C 200 -y 0 -f mandatory -sb -k nowhere", {"publish": 200, "deliver": 0, "return_unroutable": 200}, {}),
    ("ten queues by a pattern", True, "-C 200 -D 200 -x 10 -y 10 -qp many-%d -qpf 1 -qpt 10", moved(2000), {}),
    ("many channels", False, "-C 200 -D 1000 -X 5 -y 1 -u channels", moved(1000), {}),
    ("exclusive queues", False, "-C 200 -y 1 -D 200 -E -e own-exclusive -t fanout", moved(200), {}),
    ("refused into a dead-letter queue", False, "-C 500 -D 500 -na -re false -u refused -qa x-dead-letter-exchange=,x-dead-letter-routing-key=dead", {"publish": 500, "deliver": 500, "ack": 0}, {"dead": 500}),
    ("few threads, heartbeats", False, "-C 500 -D 500 -niot 2 -hst 2 -b 1 -ctp 1", moved(500), {}),
    ("small frames", False, "-C 100 -D 100 -M 4096 -s 20000", moved(100), {}),
    ("ends when the queue is empty", False, "-C 500 -y 1 -q 10 -ew empty -u emptied -ad false", moved(500), {"emptied": 0}),
    ("ends when consumers are idle", False, "-C 500 -y 1 -ew idle", moved(500), {}),
    ("ends in time", False, "-z 3 -r 100 -c 10", {"publish": range(10, 1 << 32), "confirm": range(10, 1 << 32), "return_unroutable": 0}, {}),
]


def classpath():
    """Where its jars are, fetched once."""
    need("java", "mvn")
    pom = (HERE / "pom.xml").read_bytes()
    file = TARGET / f"tools/perf-test-{hashlib.sha256(pom).hexdigest()[:12]}.classpath"
    if not file.exists() or not all(pathlib.Path(jar).exists() for jar in file.read_text().split(":")):
        file.parent.mkdir(parents=True, exist_ok=True)
        call("mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={file}")
    return file.read_text().strip()


def counted(http):
    return json.loads(ask(http, "GET", "overview"))["message_stats"]


def length(http, queue):
    return json.loads(ask(http, "GET", f"queues/%2F/{queue}"))["messages"]


def until_nothing(find):
    """What is found at last: nothing, if it comes to that in time."""
    late = time.monotonic() + FOLLOWS_S
    while (found := find()) and time.monotonic() < late:
        time.sleep(0.1)
    return found


def tried(jars, addresses, options, wanted, lengths):
    """Runs it; what is not as it has to be."""
    http, before = addresses["http"], counted(addresses["http"])
    asked = ["java", "-XX:TieredStopAtLevel=1", "-cp", jars, "com.rabbitmq.perf.PerfTest", "-h", f"amqp://guest:guest@{addresses['amqp']}/%2f", *options.split()]
    try:
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as hanging:
        return f"it hangs: {(hanging.stdout or b'')[-1500:]!r}"
    if done.returncode or re.search("exception|error", done.stdout, re.IGNORECASE):
        return f"exit {done.returncode}: {done.stdout[-2000:]}"

    def wrong():
        after = counted(http)
        counts = {what: after[what] - before.get(what, 0) for what in wanted}
        lengths_now = {queue: length(http, queue) for queue in lengths}
        right = all(counts[what] in (count if isinstance(count, range) else [count]) for what, count in wanted.items())
        return [] if right and lengths_now == lengths else [f"counted {counts}, not {wanted}; lengths {lengths_now}, not {lengths}"]

    return "".join(until_nothing(wrong))


def main():
    words = sys.argv[1:]
    names = [word for word in words if word != "short"]
    cases = [case for case in CASES if (case[0] in names if names else case[1] or "short" not in words)]
    failures = 0
    try:
        jars = classpath()
        with Broker() as addresses:
            for method, path, body in SETUP:
                ask(addresses["http"], method, path, body)
            for name, _, options, wanted, lengths in cases:
                why = tried(jars, addresses, options, wanted, lengths)
                failures += bool(why)
                print(f"FAILED {name}: {why}" if why else f"ok {name}", flush=True)
    except Missing as missing:
        print(f"FAILED perf-test: {missing}\nperf-test: 0 passed, 1 failed")
        return 1
    print(f"perf-test: {len(cases) - failures} passed, {failures} failed")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
