#!/usr/bin/env python3
"""What a backlog costs, Leveret beside RabbitMQ: filled, killed, started, drained, started with what is left.

    benches/durability.py --leveret target/release/leveret --count 2000000

Persistent messages of 1 KiB with confirms, two publishers and then two consumers that acknowledge every 100; `kill -9` in between. Prints a
Markdown table. Memory is sampled ten times a second, what was written is what the kernel says of the process. Brokers as `compare.py` runs them.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import threading
import time

import compare


class Watch:
    """The most memory that a process has, while it is looked at."""

    def __init__(self, pid):
        self.pid, self.most, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.wait(0.1):
            try:
                self.most = max(self.most, of_proc(self.pid, "status", "VmRSS") * 1024)
            except OSError:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def of_proc(pid, file, name):
    lines = pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def folder_bytes(folder):
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def perf(options, contestant, *more):
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        subprocess.run(
            [
                options.leveret, "perf", "--url", f"amqp://guest:guest@127.0.0.1:{contestant.port}", "--broker-pid", str(contestant.pid),
                "--size", "1024", "--persistent", "--durable", "--keep", "--prefix", "durability", "--quiet", "--json", result.name,
                "--queues", str(options.queues), *more,
            ],
            stdout=subprocess.DEVNULL, check=True,
        )
        return json.loads(pathlib.Path(result.name).read_text())["phases"][0]


def measure(kind, options, folder):
    """One broker's column."""
    found = {}
    broker = kind(folder, options.port)
    try:
        with Watch(broker.pid) as memory:
            fill = perf(options, broker, "--mode", "fill", "-x", "2", "--confirm", "2048", "--count", str(options.count))
        found["in, messages/s"] = f"{fill['confirmed_per_second']:,.0f}"
        found["CPU for each, us"] = f"{fill['broker']['cpu_us_per_message']:.2f}"
        written = of_proc(broker.pid, "io", "write_bytes")
        found["bytes written for each byte published"] = f"{written / (options.count * 1024):.2f}"
        found["memory at most while filled, MB"] = f"{memory.most / 1e6:,.0f}"
        broker.kill()
        before = time.monotonic()
        broker = kind(folder, options.port)
        found["start after kill -9, s"] = f"{time.monotonic() - before:.1f}"
        with Watch(broker.pid) as memory:
            drain = perf(options, broker, "--mode", "drain", "-y", str(max(2, options.queues)), "--prefetch", "1000", "--ack-every", "100")
        if drain["received"] != options.count:
            raise SystemExit(f"{drain['received']:,} messages came back of {options.count:,}")
        found["out, messages/s"] = f"{drain['received_per_second']:,.0f}"
        found["CPU for each of them, us"] = f"{drain['broker']['cpu_us_per_message']:.2f}"
        found["memory at most while drained, MB"] = f"{memory.most / 1e6:,.0f}"
        time.sleep(options.settle)
        found[f"folder {options.settle} s later, MB"] = f"{folder_bytes(broker.folder) / 1e6:,.0f}"
    finally:
        broker.stop()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leveret", default=str(compare.ROOT / "target/release/leveret"))
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--queues", type=int, default=1)
    parser.add_argument("--memory", default="256MB", help="Leveret's budget for bodies")
    parser.add_argument("--settle", type=int, default=30, help="seconds after which the emptied folder is looked at")
    parser.add_argument("--port", type=int, default=36900)
    parser.add_argument("--folder", help="where the data folders lie for the time")
    parser.add_argument("--no-rabbitmq", action="store_true")
    options = parser.parse_args()
    compare.Leveret.binary = options.leveret
    compare.Leveret.more = ("--memory-bytes-max", options.memory)
    kinds = [compare.Leveret] + ([] if options.no_rabbitmq else [compare.RabbitMq])
    with tempfile.TemporaryDirectory(prefix="leveret-durability-", dir=options.folder) as folder:
        columns = [measure(kind, options, pathlib.Path(folder) / kind.__name__) for kind in kinds]
    print("| | " + " | ".join(kind.__name__ for kind in kinds) + " |\n|---|" + "---|" * len(kinds))
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


if __name__ == "__main__":
    main()
