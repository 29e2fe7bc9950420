#!/usr/bin/env python3
"""What an open overview costs a broker with ten thousand idle queues, in percent of one core.

    tests/ui/idle_cost.py [VIEWERS] [SECONDS]

The broker is $LEVERET_BIN, or target/release/leveret. It is measured without viewers first; more than 1 % for one viewer fails.
"""

import concurrent.futures
import http.client
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import TARGET, Broker, need  # noqa: E402

QUEUES = 10_000
PERCENT_MAX = 1.0
LOGIN = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=", "Content-Type": "application/json"}


def declare(address, numbers):
    connection = http.client.HTTPConnection(address)
    for number in numbers:
        connection.request("PUT", f"/api/queues/%2F/idle-{number}", '{"durable":false}', LOGIN)
        connection.getresponse().read()


def seconds_used(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percent(pid, seconds):
    before = seconds_used(pid)
    time.sleep(seconds)
    return (seconds_used(pid) - before) / seconds * 100


def main():
    viewers = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    binary = pathlib.Path(os.environ.get("LEVERET_BIN", TARGET / "release/leveret"))
    need(str(binary), "node")
    broker = Broker(binary)
    with broker as addresses:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: declare(addresses["http"], range(n, QUEUES, 4)), range(4)))
        time.sleep(10)
        alone = percent(broker.process.pid, seconds)
        env = {**os.environ, "UI_URL": f"http://{addresses['http']}"}
        pages = subprocess.Popen(["node", "idle.js", str(viewers)], cwd=HERE, env=env, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if pages.stdout.readline().strip() != "open":
            print("the pages do not open")
            return 1
        time.sleep(10)
        watched = percent(broker.process.pid, seconds)
        pages.stdin.close()
        pages.wait(30)
    print(f"{QUEUES} idle queues: {alone:.2f} % of a core alone, {watched:.2f} % with {viewers} open overviews")
    return 1 if viewers == 1 and watched - alone > PERCENT_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
