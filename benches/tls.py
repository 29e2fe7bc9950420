#!/usr/bin/env python3
"""What TLS costs: presets of `leveret perf` over amqp:// and amqps:// in turn, against one broker.

    benches/tls.py [--rounds 3] [--time 3] [--binary target/release/leveret] [--into docs/performance.md]

Certificates are made with openssl for the run. CPU is the broker's, per message; each figure is the median of the rounds. With --into the
table between the marks `measured by benches/tls.py` and `end of benches/tls.py` is written anew.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from broker import Broker, call, need  # noqa: E402

PRESETS = ["transient-16b", "transient-1k", "transient-16k", "confirm-256", "churn-connections"]
BEGIN, END = "<!-- measured by benches/tls.py -->\n", "<!-- end of benches/tls.py -->\n"


def certificates(folder):
    """A certificate for localhost, signed by itself."""
    need("openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    call("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert)
    return cert, key


def measure(binary, url, preset, seconds, pid):
    """Messages or operations per second, and the broker's CPU microseconds for each."""
    trust = ["--insecure"] if url.startswith("amqps") else []
    said = call(binary, "perf", "--quiet", "--url", url, *trust, "--preset", preset, "--time", seconds, "--broker-pid", pid, "--json", "-")
    phase = json.loads(said)["phases"][0]
    rate = phase["operations"]["per_second"] if phase["operations"] else phase["received_per_second"] or phase["confirmed_per_second"]
    return rate, phase["broker"]["cpu_us_per_message"]


def table(results):
    lines = ["| preset | plain, per second | TLS, per second | ratio | plain, CPU us each | TLS, CPU us each | ratio |", "|---|---|---|---|---|---|---|"]
    for preset, (plain, tls) in results.items():
        (rate, cpu), (tls_rate, tls_cpu) = ([statistics.median(column) for column in zip(*rounds)] for rounds in (plain, tls))
        lines.append(f"| `{preset}` | {rate:,.0f} | {tls_rate:,.0f} | {tls_rate / rate:.2f} | {cpu:.2f} | {tls_cpu:.2f} | {tls_cpu / cpu:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--time", type=int, default=3)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/leveret")
    parser.add_argument("--into", type=pathlib.Path)
    options = parser.parse_args()
    results = {preset: ([], []) for preset in PRESETS}
    with tempfile.TemporaryDirectory() as folder:
        cert, key = certificates(pathlib.Path(folder))
        broker = Broker(options.binary, "--amqps-listen", "127.0.0.1:0", "--tls-certificate", cert, "--tls-key", key)
        with broker as addresses:
            (tls,) = re.findall(r"amqps listening on [0-9.]+:(\d+)", broker.log.read_text())
            urls = (f"amqp://guest:guest@{addresses['amqp']}/%2f", f"amqps://guest:guest@localhost:{tls}/%2f")
            for _ in range(options.rounds):
                for preset, columns in results.items():
                    for url, column in zip(urls, columns):
                        column.append(measure(options.binary, url, preset, options.time, broker.process.pid))
    text = table(results)
    print(text, end="")
    if options.into:
        page = options.into.read_text()
        options.into.write_text(page[: page.index(BEGIN) + len(BEGIN)] + text + page[page.index(END):])
    return 0


if __name__ == "__main__":
    sys.exit(main())
