#!/usr/bin/env python3
"""An hour of what a broker may meet: kill -9, SIGSTOP, a full disk, flipped bits and hostile clients under load, in a random order.

    tests/campaign/run.py --minutes 60 [--binary target/release/leveret] [--seed N] [--only kill,stop,full,flip,hostile]

A ledger outside of the broker says what was confirmed and settled; after each round everything that is in the queues is compared with it.
Needs root for the small file system. Ends with a JSON summary and exit code 1 if anything was lost, doubled, silent, out of order, or
if memory was not bounded.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import load  # noqa: E402
from amqp import Client, Gone  # noqa: E402
from hostile import Hostile  # noqa: E402
from ledger import Ledger  # noqa: E402

DISK = "1200m"
MEMORY = "64MiB"
RESIDENT = "400MiB"
# The process may take this much: its limit, and what one reading of it is late.
RESIDENT_BOUND = 520 * 2**20


class Broker:
    """On fixed ports and a small file system of its own, which a ballast file can fill."""

    def __init__(self, binary, mount, ports):
        self.binary, self.mount = binary, mount
        self.amqp, self.http = ports
        self.data = mount / "data"
        self.logs = pathlib.Path(tempfile.mkdtemp(prefix="leveret-campaign-log-"))
        self.starts = 0
        self.process = None
        # Whether it was killed since this was last looked at.
        self.unclean = False
        self.most = 0
        self.ended = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self):
        self.starts += 1
        self.log = self.logs / f"{self.starts}.log"
        began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--data-dir", self.data, "--amqp-listen", f"127.0.0.1:{self.amqp}", "--http-listen",
                 f"127.0.0.1:{self.http}", "--metrics-listen", "127.0.0.1:0", "--memory-bytes-max", MEMORY, "--resident-bytes-max", RESIDENT,
                 "--disk-free-bytes-min", "128MiB"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        while time.monotonic() - began < 60:
            if self.process.poll() is not None:
                return None
            if "amqp listening on" in self.log.read_text():
                return time.monotonic() - began
            time.sleep(0.01)
        return None

    def kill(self):
        self.unclean = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def watch(self):
        while not self.ended.wait(0.1):
            try:
                status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
                self.most = max(self.most, int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024)
            except (AttributeError, OSError, TypeError):
                pass

    def errors(self):
        return [line for line in self.log.read_text().splitlines() if " ERROR " in line or " WARN " in line]

    def told_of_settles(self):
        """Whether this start made the index anew, and an earlier one named damage in what the log says was settled."""
        made_anew = any("rebuilt from" in line for line in self.errors())
        return made_anew and any("damaged record among acknowledgements" in log.read_text() for log in self.logs.iterdir())


class Campaign:
    def __init__(self, options, broker):
        self.options, self.broker = options, broker
        self.chance = random.Random(options.seed)
        self.ledger = Ledger()
        self.rounds = collections.Counter()
        self.findings = []
        self.named = collections.Counter()
        self.start_worst = 0.0
        self.polite = load.Polite(broker.amqp)
        self.hostile = Hostile(broker.amqp, broker.http, self.chance)
        self.hostile_reports = collections.Counter()

    def finding(self, what, **more):
        self.findings.append({"round": sum(self.rounds.values()), "what": what, **more})
        print("FINDING", json.dumps(self.findings[-1], default=str)[:2000], flush=True)

    def start(self):
        took = self.broker.start()
        if took is None:
            self.finding("no start", log=self.broker.log.read_text()[-3000:])
            raise SystemExit(self.report())
        self.start_worst = max(self.start_worst, took)

    def kill(self, traffic):
        traffic.dying.set()
        self.polite.phase = "down"
        self.broker.kill()

    def round(self, kind):
        self.rounds[kind] += 1
        traffic = load.Load(self.broker.amqp, self.ledger, f"{self.options.seed}-{sum(self.rounds.values())}")
        self.polite.phase = "load"
        traffic.start()
        time.sleep(self.chance.uniform(1, 4))
        flipped = getattr(self, kind)(traffic)
        traffic.stop()
        for broken in traffic.broken:
            self.finding("connection", kind=kind, how=broken)
        self.polite.phase = "check"
        self.compare(kind, flipped)
        if self.chance.random() < 0.7:
            load.take_all(self.broker.amqp, self.ledger)

    def kill_9(self, traffic):
        self.kill(traffic)
        self.start()
        return None

    def stop(self, traffic):
        self.polite.phase = "stopped"
        self.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.5, 8))
        self.broker.process.send_signal(signal.SIGCONT)
        time.sleep(1)

    def full(self, traffic):
        """A full disk; half of the time with a kill -9 while it is full, and a start before there is room."""
        self.polite.phase = "full"
        ballast = self.broker.mount / "ballast"
        # Unbuffered: what is left over would be written once more at the end, when there is no room.
        with ballast.open("wb", buffering=0) as file:
            room = os.statvfs(self.broker.mount)
            left = self.chance.choice((0, 0, 1, 2, 6)) * 2**20
            size = max(0, room.f_bavail * room.f_frsize - left)
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError:
                while True:
                    try:
                        file.write(b"\0" * 65_536)
                    except OSError:
                        break
        time.sleep(self.chance.uniform(2, 6))
        if self.chance.random() < 0.5:
            self.kill(traffic)
            self.start()
        if not traffic.dying.is_set():
            ballast.unlink()
            time.sleep(2)
        else:
            time.sleep(self.chance.uniform(0, 1))
            ballast.unlink()

    def flip(self, traffic):
        """kill -9, then flipped bits in one file of the folder."""
        self.kill(traffic)
        files = [f for f in self.broker.data.rglob("*") if f.is_file() and f.stat().st_size and f.name not in ("LOCK", "FORMAT")]
        groups = collections.defaultdict(list)
        for file in files:
            groups[file.relative_to(self.broker.data).parts[0]].append(file)
        chosen = self.chance.choice(groups[self.chance.choice(sorted(groups))])
        flips = []
        with chosen.open("r+b") as file:
            # Where data is, not in the holes and zeroes that a preallocated file is made of.
            data = file.read()
            places = [at for at in (self.chance.randrange(len(data)) for _ in range(200)) if data[at]][: self.chance.choice((1, 1, 3))]
            for at in places:
                file.seek(at)
                file.write(bytes([data[at] ^ 1 << self.chance.randrange(8)]))
                flips.append(at)
        self.start()
        return chosen.relative_to(self.broker.data), flips

    def hostiles(self, traffic):
        self.polite.phase = "hostile"
        seconds = self.chance.uniform(8, 15)
        for name, number in self.hostile.attack(seconds).items():
            self.hostile_reports[name] += number
        if self.broker.process.poll() is not None:
            self.finding("ended by hostile clients", log=self.broker.log.read_text()[-3000:])
            traffic.dying.set()
            self.start()

    def compare(self, kind, flipped):
        unclean, self.broker.unclean = self.broker.unclean, False
        try:
            found = load.contents(self.broker.amqp, self.broker.http)
        except Gone as gone:
            self.finding("check", kind=kind, how=str(gone), flipped=flipped, log=self.broker.errors()[-20:])
            raise SystemExit(self.report()) from gone
        findings = self.ledger.check(found, unclean).all()
        errors = self.broker.errors()
        if set(findings) == {"unknown"} and self.broker.told_of_settles():
            self.named["unknown"] += len(findings["unknown"])
            return
        if flipped and findings:
            file, flips = flipped
            told = [line for line in errors if file.name in line or "damage" in line]
            if file.parts[0] == "log" and told and not findings.get("altered"):
                for name, what in findings.items():
                    self.named[name] += len(what)
                return
            self.finding("silent after a flip" if not told else "after a flip", file=str(file), flips=flips, log=errors[-20:],
                         **{name: what[:10] for name, what in findings.items()})
            return
        for name, what in findings.items():
            self.finding(name, kind=kind, count=len(what), first=what[:10], log=errors[-10:])
        if "panicked" in self.broker.log.read_text():
            self.finding("a panic", log=self.broker.log.read_text()[-3000:])

    def run(self):
        kinds = {"kill": "kill_9", "stop": "stop", "full": "full", "flip": "flip", "hostile": "hostiles"}
        chosen = [kinds[name] for name in self.options.only.split(",")]
        self.start()
        load.declare(self.broker.amqp)
        self.polite.start()
        ends = time.monotonic() + self.options.minutes * 60
        while time.monotonic() < ends:
            self.round(self.chance.choice(chosen))
            print(f"{sum(self.rounds.values())} rounds, {dict(self.ledger.totals)}, {self.broker.most >> 20} MiB at most, "
                  f"{len(self.findings)} findings", flush=True)
        self.polite.ended.set()
        self.polite.join(30)
        self.broker.process.send_signal(signal.SIGTERM)
        if self.broker.process.wait(60) != 0:
            self.finding("exit code", code=self.broker.process.returncode)
        return self.report()

    def report(self):
        if self.broker.most > RESIDENT_BOUND:
            self.finding("memory", most=self.broker.most)
        print(json.dumps({
            "seed": self.options.seed, "rounds": dict(self.rounds), "messages": dict(self.ledger.totals),
            "named_after_flips": dict(self.named), "start_worst_s": round(self.start_worst, 2), "resident_most_mib": self.broker.most >> 20,
            "well_behaved": self.polite.table(), "hostile": dict(self.hostile_reports), "findings": self.findings}, indent=1, default=str))
        return 1 if self.findings else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--binary", default=str(ROOT / "target/release/leveret"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="kill,stop,full,flip,hostile")
    parser.add_argument("--port", type=int, default=36972)
    options = parser.parse_args()
    mount = pathlib.Path(tempfile.mkdtemp(prefix="leveret-campaign-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", mount], check=True)
    broker = Broker(options.binary, mount, (options.port, options.port + 1))
    try:
        return Campaign(options, broker).run()
    finally:
        broker.ended.set()
        if broker.process and broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()
        subprocess.run(["umount", "-l", mount], check=False)


if __name__ == "__main__":
    sys.exit(main())
