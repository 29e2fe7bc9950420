#!/usr/bin/env python3
"""The nine checks of nagios-plugins-rabbitmq against a broker that this starts.

    tests/ecosystem/nagios/run.py

Each says that all is well where it is, and warns where it has to. They are Debian's, with the Perl modules that they need, unpacked into a
folder of ours: nothing is installed.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
from broker import START_S, TARGET, Broker, Missing, call, end, need  # noqa: E402
from management import ask  # noqa: E402

PACKAGE = "nagios-plugins-rabbitmq"
# Rates follow every five seconds; a machine may have much else to do.
FOLLOWS_S = 60
OK, WARNING, CRITICAL, UNKNOWN = range(4)

# Check, its arguments, exit code, what it has to say. `{node}` is the part of the node's name behind the @.
CHECKS = [
    ("aliveness", "", OK, "RABBITMQ_ALIVENESS OK - vhost: /"),
    ("aliveness", "--vhost=none", UNKNOWN, "Not found: none"),
    ("aliveness", "--password=wrong", UNKNOWN, "Access refused"),
    ("connections", "", OK, r"connections OK \(3\) connections_notrunning OK \(0\)"),
    ("connections", "--clientuser=guest", OK, r"connections OK \(3\)"),
    ("connections", "--clientuser=nobody", OK, r"connections OK \(0\)"),
    ("connections", "--warning=-1,-1,1,1", WARNING, r"receive_rate WARNING \([1-9]\d*\).*send_rate WARNING \([1-9]"),
    ("connections", "--critical=1", CRITICAL, r"connections CRITICAL \(3\)"),
    # It counts one less than there are.
    ("objects", "", OK, r"Gathered Object Counts \| vhost=0;; exchange=6;; binding=2;; queue=2;; channel=2;;"),
    ("overview", "", OK, r"messages OK \(5\) messages_ready OK \(5\) messages_unacknowledged OK \(0\)"),
    ("overview", "--warning=4,9,9 --critical=10,10,10", WARNING, r"messages WARNING \(5\)"),
    ("overview", "--warning=1,1,1 --critical=2,4,1", CRITICAL, r"messages CRITICAL \(5\).*messages_ready CRITICAL \(5\)"),
    ("partition", "--node={node}", OK, "No Partitions"),
    ("partition", "--node=elsewhere", UNKNOWN, "Not found"),
    ("queue", "--queue=waiting", OK, r"messages OK \(5\) messages_ready OK \(5\) messages_unacknowledged OK \(0\) consumers OK \(0\)"),
    ("queue", "--queue=waiting --warning=3 --critical=4", CRITICAL, r"messages CRITICAL \(5\)"),
    ("queue", "--queue=waiting --warning=-1,-1,-1,1:", WARNING, r"consumers WARNING \(0\)"),
    ("queue", "--queue=none", CRITICAL, "Not Found"),
    ("server", "--node={node}", OK, r"Memory OK \([\d.]+%\) Process OK \([\d.]+%\) FD OK \([\d.]+%\) Sockets OK \([\d.]+%\)"),
    ("server", "--node={node} --warning=0,0,0,0", WARNING, r"WARNING - Memory WARNING \([\d.]+%\) FD WARNING"),
    ("server", "--node=elsewhere", UNKNOWN, "Not found: nodes/rabbit@elsewhere"),
    # RabbitMQ's shovel plugin lists none as `[]`, too, which the check takes for an error.
    ("shovels", "", CRITICAL, "API error: empty JSON"),
    ("watermark", "--node={node}", OK, "mem_alarm disk_free_alarm"),
]
# With a disk that is too full.
FULL = [("watermark", "--node={node}", CRITICAL, "CRITICAL - disk_free_alarm")]


def unpacked():
    """The folder with what the package and those that it depends on install here."""
    folder = TARGET / f"tools/{PACKAGE}"
    if not folder.exists():
        need("apt-get", "dpkg-deb", "perl")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fetched:
            try:
                download(fetched)
            except Missing:
                call("apt-get", "update", "-qq")
                download(fetched)
            root = pathlib.Path(fetched) / "root"
            for package in pathlib.Path(fetched).glob("*.deb"):
                call("dpkg-deb", "-x", package, root)
            root.rename(folder)
    return folder


def download(folder):
    planned = call("apt-get", "install", "-s", "--no-install-recommends", "--reinstall", PACKAGE)
    # What is installed already is listed with its version in brackets.
    wanted = set(re.findall(r"^Inst (\S+) \(", planned, re.MULTILINE)) | {PACKAGE}
    call("apt-get", "download", *sorted(wanted), cwd=folder)


class Nagios:
    def __init__(self, folder, address):
        self.folder, self.address = folder, address
        self.node = json.loads(ask(address, "GET", "overview"))["node"].partition("@")[2]
        modules = [folder / "usr/share/perl5", *sorted((folder / "usr/lib").glob("*/perl5/*"))]
        self.environment = {**os.environ, "PERL5LIB": ":".join(map(str, modules)), "LC_ALL": "C"}

    def differs(self, check, arguments, code, wanted):
        """What is wrong with the answer; nothing when it is right."""
        host, port = self.address.rsplit(":", 1)
        asked = ["perl", self.folder / f"usr/bin/check_rabbitmq_{check}", "-H", host, "--port", port, "--timeout", START_S, *arguments.format(node=self.node).split()]
        done = subprocess.run([*map(str, asked)], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=START_S)
        if done.returncode == code and re.search(wanted, done.stdout):
            return None
        return f"check_rabbitmq_{check} {arguments}: exit {done.returncode}, not {code}: {done.stdout.strip()[-1500:]}"

    def passes(self, *wanted):
        """Rates and counts follow within seconds: asks until it is right, or too late."""
        late = time.monotonic() + FOLLOWS_S
        while (why := self.differs(*wanted)) and time.monotonic() < late:
            time.sleep(0.3)
        return why


def checked(folder, checks, *options):
    """Asks all checks of a broker; what failed."""
    broker = Broker(None, *options)
    with broker as addresses:
        ask(addresses["http"], "PUT", "queues/%2F/waiting", {"durable": True})
        if not options:
            for number in range(5):
                ask(addresses["http"], "POST", "exchanges/%2F/amq.default/publish", {"properties": {}, "routing_key": "waiting", "payload": str(number), "payload_encoding": "string"})
        # Three connections: a publisher, a consumer, and what sets them up.
        load = subprocess.Popen([broker.binary, "perf", "--url", f"amqp://guest:guest@{addresses['amqp']}/%2f", "-x", "1", "-y", "1", "--rate", "20", "--time", "600"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            nagios = Nagios(folder, addresses["http"])
            failures = []
            for check in checks:
                why = nagios.passes(*check)
                print(f"{'FAILED' if why else 'ok'} {why or ' '.join(check[:2])}", flush=True)
                failures += [why] if why else []
            return failures
        finally:
            end(load)


def main():
    try:
        folder = unpacked()
        failures = checked(folder, CHECKS) + checked(folder, FULL, "--disk-free-bytes-min=1000TiB")
    except Missing as missing:
        print(f"FAILED nagios: {missing}\nnagios: 0 passed, 1 failed")
        return 1
    print(f"nagios: {len(CHECKS) + len(FULL) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
