"""A broker of one's own, for tests that drive it from outside."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Much longer than a start takes on a machine that has much else to do.
START_S = 180


class Missing(Exception):
    pass


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")


def call(*command, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Broker:
    """On a folder and ports of its own. Entered, it gives the addresses: `amqp`, `http`, `metrics`."""

    def __init__(self, binary=None, *options):
        """Without `binary` it is the one that `LEVERET_BINARY` names, or built."""
        self.binary = binary or os.environ.get("LEVERET_BINARY")
        self.options = options
        self.addresses = {}

    def __enter__(self):
        if self.binary is None:
            need("cargo")
            call("cargo", "build", "-q", "--bin", "leveret", cwd=ROOT)
            self.binary = TARGET / "debug/leveret"
        self.folder = tempfile.TemporaryDirectory(prefix="leveret-test-")
        self.log = pathlib.Path(self.folder.name) / "log"
        self.start()
        return self.addresses

    def start(self):
        """On the addresses that it had before, if it had any."""
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--data-dir", self.folder.name + "/data",
                 *(f"--{what}-listen={self.addresses.get(what, '127.0.0.1:0')}" for what in ("amqp", "http", "metrics")), *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )
        late = time.monotonic() + START_S
        while time.monotonic() < late and self.process.poll() is None:
            said = dict(re.findall(r"(amqp|http|metrics) listening on ([0-9.]+:\d+)", self.log.read_text()))
            if len(said) == 3:
                self.addresses = said
                return
            time.sleep(0.02)
        raise Missing(f"the broker does not start:\n{self.log.read_text()}")

    def stop(self):
        end(self.process)

    def kill(self):
        """As a crash does. It can be started again."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()
