#!/usr/bin/env python3
"""A RabbitMQ that federates exchanges and queues from a broker that this starts, and shovels from and to it.

    tests/ecosystem/federation/run.py [--binary LEVERET] [SCENARIO..]

Needs RabbitMQ 3.10 with its plugins rabbitmq_federation and rabbitmq_shovel, as Debian's package has them; it runs on a folder and ports of
its own. Fetches pika from PyPI, once.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
from broker import ROOT, START_S, Broker, Missing, call, end, need  # noqa: E402

VENV = ROOT / ".venv-federation"
PLUGINS = "[rabbitmq_management,rabbitmq_federation,rabbitmq_federation_management,rabbitmq_shovel,rabbitmq_shovel_management]."
KINDS = {"transient": 1, "durable": 2}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, ask):
    """What `ask` gives as soon as it is true."""
    late = time.monotonic() + START_S
    while time.monotonic() < late:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


class Http:
    def __init__(self, address):
        self.root = f"http://{address}/api/"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        login = base64.b64encode(b"guest:guest").decode()
        request = urllib.request.Request(self.root + path, data, {"Authorization": f"Basic {login}", "Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Rabbit:
    """A RabbitMQ of its own."""

    def __enter__(self):
        servers = sorted(pathlib.Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        if not servers:
            raise Missing("RabbitMQ is not installed")
        self.folder = tempfile.TemporaryDirectory(prefix="rabbitmq-test-")
        folder = pathlib.Path(self.folder.name)
        amqp, http = free_port(), free_port()
        (folder / "plugins").write_text(PLUGINS)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {http}\n"
        )
        environment = {
            **os.environ, "HOME": str(folder), "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_NODENAME": f"federation{amqp}@localhost", "RABBITMQ_NODE_PORT": str(amqp), "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self.process = subprocess.Popen([servers[-1]], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.http = Http(f"127.0.0.1:{http}")
        self.amqp = f"127.0.0.1:{amqp}"

        def answers():
            assert self.process.poll() is None, "RabbitMQ does not start"
            with contextlib.suppress(OSError):
                return self.http.ask("GET", "overview")

        try:
            until("RabbitMQ answers", answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        end(self.process)
        self.folder.cleanup()


class Peer:
    """One of the two brokers, as a client sees it."""

    def __init__(self, address, http):
        self.address, self.http = address, http
        self.url = f"amqp://guest:guest@{address}"
        self.connect()

    def connect(self):
        import pika

        def channel():
            with contextlib.suppress(pika.exceptions.AMQPConnectionError):
                return pika.BlockingConnection(pika.URLParameters(self.url)).channel()

        self.channel = until(f"{self.address} takes a connection", channel)
        self.channel.confirm_delivery()

    def publish(self, exchange, key, bodies):
        import pika

        for body in bodies:
            mode = KINDS[body.split("-")[0]]
            self.channel.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=mode, headers={"own": body}), mandatory=True)

    def expect(self, queue, bodies, again=()):
        """These messages of a queue come, in this order; before them those of `again` may."""
        got = self.take(queue, len(bodies))
        while got and got[0] in again:
            got = got[1:] + self.take(queue, 1)
        assert got == bodies, f"{queue} at {self.address}: {got} instead of {bodies}"

    def take(self, queue, count):
        """The bodies of so many messages of a queue, which came with what they were published with."""
        got = []
        for method, properties, body in self.channel.consume(queue, inactivity_timeout=1):
            if method:
                self.channel.basic_ack(method.delivery_tag)
                got.append((body.decode(), properties))
            if len(got) == count:
                break
            taking = self.started = getattr(self, "started", None) or time.monotonic()
            assert time.monotonic() - taking < START_S, f"{queue}: {[body for body, _ in got]} of {count}"
        self.started = None
        self.channel.cancel()
        for body, properties in got:
            assert properties.delivery_mode == KINDS[body.split("-")[0]], body
            assert properties.headers["own"] == body, properties
        return [body for body, _ in got]


class World:
    def __init__(self, leveret, addresses, rabbit):
        self.leveret, self.addresses, self.rabbit = leveret, addresses, rabbit
        self.here = Peer(addresses["amqp"], Http(addresses["http"]))
        self.there = Peer(rabbit.amqp, rabbit.http)

    def restart(self, kill):
        if kill:
            self.leveret.kill()
        else:
            self.leveret.stop()
        self.leveret.start()
        self.here.connect()

    def links(self, count):
        """Links to this many exchanges and queues run."""

        def running():
            links = self.there.http.ask("GET", "federation-links/%2f")
            return len(links) == count and all(link["status"] == "running" for link in links)

        until(f"{count} federation links run", running)

    def federate(self, pattern):
        value = {"uri": self.here.url, "ack-mode": "on-confirm", "reconnect-delay": 1}
        self.there.http.ask("PUT", "parameters/federation-upstream/%2f/leveret", {"value": value})
        definition = {"federation-upstream": "leveret"}
        self.there.http.ask("PUT", "policies/%2f/federated", {"pattern": pattern, "definition": definition, "apply-to": "all"})

    def separate(self):
        self.there.http.ask("DELETE", "policies/%2f/federated")
        self.links(0)
        self.there.http.ask("DELETE", "parameters/federation-upstream/%2f/leveret")

    def is_bound(self, exchange, key):
        """A binding of that key leads on from the exchange here."""
        bindings = self.here.http.ask("GET", f"exchanges/%2f/{exchange}/bindings/source")
        return any(binding["routing_key"] == key for binding in bindings)


def bodies(word):
    return [f"{kind}-{word}-{number}" for number in range(5) for kind in KINDS]


def exchange(world):
    here, there = world.here, world.there
    here.channel.exchange_declare("fed.x", "topic", durable=True)
    there.channel.exchange_declare("fed.x", "topic", durable=True)
    there.channel.queue_declare("sink", durable=True)
    there.channel.queue_bind("sink", "fed.x", "a.#")
    world.federate("^fed\\.")
    world.links(1)
    until("the binding is here too", lambda: world.is_bound("fed.x", "a.#"))
    here.publish("fed.x", "a.b", bodies("first"))
    there.expect("sink", bodies("first"))
    there.channel.queue_bind("sink", "fed.x", "b.*")
    until("a new binding is here too", lambda: world.is_bound("fed.x", "b.*"))
    there.channel.queue_unbind("sink", "fed.x", "a.#")
    until("an old binding is gone here too", lambda: not world.is_bound("fed.x", "a.#"))
    # An acknowledgement is not waited for: what was taken right before a `kill -9` comes again.
    for word, kill, again in (("restarted", False, ()), ("killed", True, bodies("restarted"))):
        world.restart(kill)
        world.links(1)
        until("the binding is here again", lambda: world.is_bound("fed.x", "b.*"))
        here.publish("fed.x", "b.c", bodies(word))
        there.expect("sink", bodies(word), again)
    world.separate()
    internal = [x["name"] for x in here.http.ask("GET", "exchanges/%2f") if x["type"] == "x-federation-upstream"]
    assert not internal, f"left behind: {internal}"


def queue(world):
    here, there = world.here, world.there
    for peer in (here, there):
        peer.channel.queue_declare("fed.q", durable=True)
    here.publish("", "fed.q", bodies("before"))
    world.federate("^fed\\.q")
    world.links(1)
    there.expect("fed.q", bodies("before"))
    here.publish("", "fed.q", bodies("first"))
    there.expect("fed.q", bodies("first"))
    before = []
    for word, kill in (("restarted", False), ("killed", True)):
        durable = [body for body in bodies(f"{word}-waits") if body.startswith("durable")]
        here.publish("", "fed.q", durable)
        world.restart(kill)
        world.links(1)
        there.expect("fed.q", durable, before if kill else ())
        here.publish("", "fed.q", bodies(word))
        there.expect("fed.q", bodies(word))
        before = durable + bodies(word)
    world.separate()


def shovel(world):
    here, there = world.here, world.there
    for peer in (here, there):
        for name in ("out", "in"):
            peer.channel.queue_declare(name, durable=True)

    def shovel(name, source, target, queue):
        value = {"src-protocol": "amqp091", "src-uri": source.url, "src-queue": queue, "dest-protocol": "amqp091", "dest-uri": target.url,
                 "dest-queue": queue, "ack-mode": "on-confirm", "reconnect-delay": 1}
        there.http.ask("PUT", f"parameters/shovel/%2f/{name}", {"value": value})

    shovel("from-leveret", here, there, "out")
    shovel("to-leveret", there, here, "in")

    def run():
        return [one.get("state") for one in there.http.ask("GET", "shovels/%2f")] == ["running"] * 2

    until("the shovels run", run)
    for word, restart, again in (("first", None, ()), ("restarted", False, ()), ("killed", True, bodies("restarted"))):
        if restart is not None:
            world.restart(kill=restart)
            until("the shovels run again", run)
        here.publish("", "out", bodies(word))
        there.expect("out", bodies(word), again)
        there.publish("", "in", bodies(word))
        here.expect("in", bodies(word), again)
    for name in ("from-leveret", "to-leveret"):
        there.http.ask("DELETE", f"parameters/shovel/%2f/{name}")


SCENARIOS = {"exchange": exchange, "queue": queue, "shovel": shovel}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary")
    parser.add_argument("scenarios", nargs="*")
    options = parser.parse_args()
    scenarios = options.scenarios or list(SCENARIOS)
    if not set(scenarios) <= set(SCENARIOS):
        parser.error(f"there are {', '.join(SCENARIOS)}")
    need("python3")
    if not (VENV / "bin/pip").exists():
        call("python3", "-m", "venv", VENV)
        call(VENV / "bin/pip", "install", "-q", "pika==1.3.2")
    sys.path.extend(map(str, VENV.glob("lib/python3*/site-packages")))
    failed = 0
    leveret = Broker(options.binary)
    with Rabbit() as rabbit, leveret as addresses:
        for name in scenarios:
            world = World(leveret, addresses, rabbit)
            try:
                SCENARIOS[name](world)
                print(f"ok {name}", flush=True)
            except (AssertionError, urllib.error.URLError) as wrong:
                failed += 1
                print(f"FAIL {name}: {wrong}", flush=True)
    print(f"federation: {len(scenarios) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        print(f"FAILED {missing}\nfederation: 0 passed, 1 failed")
        sys.exit(1)
