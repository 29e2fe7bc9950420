"""What the hostile clients share: their arguments, raw sockets, just enough of AMQP and HTTP, and the result in JSON.

Each program takes `--url http://USER:PASSWORD@HOST:PORT` (the management API), `--port` (AMQP), `--seconds`, holds what it holds
for that long, and prints one line of JSON: what it tried, what was refused, what was closed on it.
"""

import argparse
import base64
import collections
import json
import socket
import struct
import threading
import time
import urllib.parse

Place = collections.namedtuple("Place", "host http amqp user password seconds")


def arguments(what):
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--url", default="http://guest:guest@127.0.0.1:15672")
    parser.add_argument("--port", type=int, default=5672)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", type=int, help="connections; each program has a number of its own")
    given = parser.parse_args()
    url = urllib.parse.urlsplit(given.url)
    place = Place(url.hostname, url.port or 15672, given.port, url.username or "guest", url.password or "guest", given.seconds)
    return place, given.count


def vhost_of(place):
    return "/" if place.user == "guest" else place.user


class Tally:
    """Counts from many threads; printed as JSON."""

    def __init__(self, program):
        self.lock, self.counts, self.program = threading.Lock(), collections.Counter(), program

    def add(self, what, number=1):
        with self.lock:
            self.counts[what] += number

    def tell(self):
        print(json.dumps({"program": self.program, **self.counts}))


def connect(place, port, timeout=5.0):
    one = socket.create_connection((place.host, port), timeout=timeout)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def head(place, method, path, more=""):
    login = base64.b64encode(f"{place.user}:{place.password}".encode()).decode()
    return f"{method} {path} HTTP/1.1\r\nHost: {place.host}:{place.http}\r\nAuthorization: Basic {login}\r\n{more}\r\n".encode()


def status(one):
    """The status of an answer that may or may not come; 0 for none, -1 for a closed connection."""
    try:
        first = one.recv(4096)
    except TimeoutError:
        return 0
    except OSError:
        return -1
    return int(first.split(b" ", 2)[1]) if first.startswith(b"HTTP/") else -1


def held(sockets, until, tally):
    """Holds sockets until it is time; counts those that are closed meanwhile."""
    open_ones = list(sockets)
    while time.monotonic() < until and open_ones:
        for one in list(open_ones):
            one.setblocking(False)
            try:
                if not one.recv(1, socket.MSG_PEEK):
                    raise OSError
            except BlockingIOError:
                continue
            except OSError:
                tally.add("closed")
                open_ones.remove(one)
        time.sleep(0.2)
    tally.add("held", len(open_ones))
    for one in sockets:
        one.close()


def in_threads(count, work, until):
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 5 - time.monotonic()))


# AMQP

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, class_id, method_id, payload=b""):
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + payload)


def publish(channel, key, size, exchange=""):
    """A publish and its header, with a body of `size` bytes still to come."""
    first = method(channel, 60, 40, b"\0\0" + short(exchange) + short(key) + b"\0")
    return first + frame(HEADER, channel, struct.pack(">HHQH", 60, 0, size, 0))


class Amqp:
    """A connection with its handshake done; what is heard later is only counted."""

    def __init__(self, place, heartbeat=0):
        self.socket = connect(place, place.amqp)
        self.inbox = b""
        capabilities = short("connection.blocked") + b"t\x01"
        properties = short("capabilities") + b"F" + long(capabilities)
        login = long(f"\0{place.user}\0{place.password}".encode())
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.hear(10, 10)
        self.socket.sendall(method(0, 10, 11, long(properties) + short("PLAIN") + login + short("en_US")))
        self.hear(10, 30)
        self.socket.sendall(method(0, 10, 31, struct.pack(">HIH", 2047, 131072, heartbeat)))
        self.socket.sendall(method(0, 10, 40, short(vhost_of(place)) + b"\0\0"))
        self.hear(10, 41)

    def channel(self, number):
        self.socket.sendall(method(number, 20, 10, b"\0"))
        self.hear(20, 11)

    def next(self):
        """Class, method, channel and payload of the next method."""
        while True:
            if len(self.inbox) >= 7:
                kind, channel, size = struct.unpack(">BHI", self.inbox[:7])
                if len(self.inbox) >= size + 8:
                    payload, self.inbox = self.inbox[7 : 7 + size], self.inbox[size + 8 :]
                    if kind == METHOD:
                        return (*struct.unpack(">HH", payload[:4]), channel, payload[4:])
                    continue
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed")
            self.inbox += data

    def hear(self, class_id, method_id):
        while True:
            found = self.next()
            if found[:2] == (class_id, method_id):
                return found[3]
            if found[:2] in ((10, 50), (20, 40)):
                raise ConnectionError(str(found))
