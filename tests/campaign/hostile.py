"""Hostile clients: a user with a vhost of its own, mutated frames, half-open things; and the programs of tests/hostile."""

import base64
import collections
import http.client
import json
import pathlib
import random
import socket
import struct
import subprocess
import sys
import threading
import time

from amqp import Client, Gone, method, publish, short, table

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "hostile"
USER = "mallory"


class Hostile:
    """Some attacks at once for some seconds; counts what was done."""

    def __init__(self, amqp, http_port, chance):
        self.amqp, self.http, self.chance = amqp, http_port, chance
        self.ready = False
        self.count = collections.Counter()

    def prepare(self):
        """The user, and a vhost where it may do everything."""
        for path, body in ((f"/api/users/{USER}", {"password": USER, "tags": "management"}), (f"/api/vhosts/{USER}", {}),
                           (f"/api/permissions/{USER}/{USER}", {"configure": ".*", "write": ".*", "read": ".*"})):
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
            login = base64.b64encode(b"guest:guest").decode()
            connection.request("PUT", path, json.dumps(body), {"Authorization": f"Basic {login}", "Content-Type": "application/json"})
            status = connection.getresponse().status
            if status not in (201, 204):
                raise SystemExit(f"PUT {path}: {status}")
            connection.close()
        self.ready = True

    def attack(self, seconds):
        if not self.ready:
            self.prepare()
        self.count = collections.Counter()
        until = time.monotonic() + seconds
        attacks = [self.mutate, self.mutate, self.loops, self.silent, self.hoard]
        threads = [threading.Thread(target=attack, args=(random.Random(self.chance.random()), until)) for attack in attacks]
        threads += [threading.Thread(target=self.program, args=(program, seconds)) for program in sorted(PROGRAMS.glob("[a-z]*.py"))
                    if self.chance.random() < 0.4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.count

    def program(self, program, seconds):
        done = subprocess.run(
            [sys.executable, program, "--url", f"http://{USER}:{USER}@127.0.0.1:{self.http}", "--port", str(self.amqp), "--seconds", str(int(seconds))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds + 120)
        self.count[program.stem] += 1
        if done.returncode:
            self.count[f"{program.stem} failed"] += 1

    def mutate(self, chance, until):
        """Valid conversations with flipped, missing and doubled bytes."""
        while time.monotonic() < until:
            try:
                client = Client(self.amqp, USER, USER, USER, timeout=5, name="hostile")
                frames = [method(50, 10, b"\0\0" + short(f"h{chance.randrange(9)}") + b"\0" + table({"x-max-length": 10})),
                          publish("", f"h{chance.randrange(9)}", b"x" * chance.randrange(500), client.frame_max, {"a": 1}),
                          method(60, 20, b"\0\0" + short("h1") + short("") + b"\0" + table({})), method(60, 80, struct.pack(">QB", chance.randrange(5), 1)),
                          method(90, 10), method(90, 20), method(20, 40, struct.pack(">H", 200) + short("") + b"\0\0\0\0")]
                for _ in range(chance.randrange(1, 60)):
                    data = bytearray(chance.choice(frames))
                    for _ in range(chance.choice((0, 0, 1, 1, 3))):
                        data[chance.randrange(len(data))] = chance.randrange(256)
                    if chance.random() < 0.05:
                        del data[chance.randrange(len(data)) :]
                    client.send(bytes(data))
                    self.count["frames"] += 1
                client.event(time.monotonic() + 0.05)
                client.drop()
            except Gone:
                pass

    def loops(self, chance, until):
        """Queues that dead-letter to each other at once."""
        try:
            client = Client(self.amqp, USER, USER, USER, timeout=5, name="hostile")
            client.declare_exchange("round", "fanout")
            for n in range(12):
                client.declare(f"loop{n}", {"x-message-ttl": 1, "x-dead-letter-exchange": "round", "x-max-length-bytes": 50_000_000})
                client.bind(f"loop{n}", "round")
            for _ in range(3):
                client.send(publish("round", "", b"x" * 400, client.frame_max))
                self.count["loops"] += 1
            client.close()
        except Gone:
            pass
        time.sleep(max(0, until - time.monotonic()))

    def silent(self, chance, until):
        """Connections that say nothing, or half of something."""
        sockets = []
        for _ in range(200):
            try:
                one = socket.create_connection(("127.0.0.1", chance.choice((self.amqp, self.http))), timeout=5)
                one.sendall(chance.choice((b"", b"AMQP", b"GET /", b"POST /api/login HTTP/1.1\r\nContent-Length: 100\r\n\r\n")))
                sockets.append(one)
                self.count["silent"] += 1
            except OSError:
                pass
        time.sleep(max(0, until - time.monotonic()))
        for one in sockets:
            one.close()

    def hoard(self, chance, until):
        """A transaction and an unfinished body that grow."""
        while time.monotonic() < until:
            try:
                client = Client(self.amqp, USER, USER, USER, timeout=5, name="hostile")
                client.ask(method(90, 10), 90, 11)
                client.declare("hoard", {"x-max-length-bytes": 10_000_000})
                while time.monotonic() < until:
                    client.send(publish("", "hoard", b"x" * 100_000, client.frame_max))
                    self.count["hoarded"] += 1
                    time.sleep(0.002)
                client.drop()
            except Gone:
                time.sleep(0.1)
