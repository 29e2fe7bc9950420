"""A small AMQP 0-9-1 client on one blocking socket, so that the campaign depends on nobody's library and knows what it has sent."""

import collections
import socket
import struct
import time

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
Delivery = collections.namedtuple("Delivery", "queue tag redelivered body")
Confirm = collections.namedtuple("Confirm", "tag multiple accepted")


class Gone(Exception):
    """The connection ended, or the broker closed it; the text says how."""


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def value(of):
    if isinstance(of, bool):
        return b"t" + bytes([of])
    if isinstance(of, int):
        return b"l" + struct.pack(">q", of)
    return b"S" + long(of.encode())


def table(entries):
    return long(b"".join(short(name) + value(of) for name, of in entries.items()))


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(class_id, method_id, payload=b"", channel=1):
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + payload)


def publish(exchange, key, body, frame_max, headers=None, priority=None, persistent=True):
    """The frames of one publish."""
    flags, properties = 0, b""
    if headers:
        flags |= 1 << 13
        properties += table(headers)
    if persistent:
        flags |= 1 << 12
        properties += b"\x02"
    if priority is not None:
        flags |= 1 << 11
        properties += bytes([priority])
    frames = [method(60, 40, b"\0\0" + short(exchange) + short(key) + b"\0")]
    frames.append(frame(HEADER, 1, struct.pack(">HHQH", 60, 0, len(body), flags) + properties))
    step = frame_max - 8
    frames += [frame(BODY, 1, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(frames)


class Client:
    """A connection with channel 1 open."""

    def __init__(self, port, user="guest", password="guest", vhost="/", timeout=30, name="campaign"):
        self.queues = {}
        self.inbox = b""
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(b"AMQP\0\0\x09\x01")
            self.expect(10, 10)
            capabilities = b"F" + table({"consumer_cancel_notify": True, "connection.blocked": True})
            properties = long(short("capabilities") + capabilities + short("connection_name") + value(name))
            self.send(method(10, 11, properties + short("PLAIN") + long(f"\0{user}\0{password}".encode()) + short("en_US"), 0))
            tune = self.expect(10, 30)
            channels, self.frame_max, _ = struct.unpack(">HIH", tune[:8])
            self.send(method(10, 31, struct.pack(">HIH", channels, self.frame_max, 0), 0))
            self.send(method(10, 40, short(vhost) + b"\0\0", 0))
            self.expect(10, 41)
            self.ask(method(20, 10, b"\0"), 20, 11)
        except OSError as error:
            raise Gone(str(error)) from error

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def frame(self, until=None):
        """The next frame, or None when `until` (a monotonic instant) has passed."""
        while True:
            if len(self.inbox) >= 7:
                kind, channel, size = struct.unpack(">BHI", self.inbox[:7])
                if len(self.inbox) >= size + 8:
                    payload, self.inbox = self.inbox[7 : 7 + size], self.inbox[size + 8 :]
                    return kind, channel, payload
            left = 60 if until is None else until - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(262_144)
            except socket.timeout:
                if until is None:
                    raise Gone("nothing came for a minute") from None
                return None
            except OSError as error:
                raise Gone(str(error)) from error
            if not data:
                raise Gone("end of the connection")
            self.inbox += data

    def event(self, until=None):
        """The next delivery or confirm; the payload of any other method as (class, method, payload)."""
        while True:
            got = self.frame(until)
            if got is None:
                return None
            kind, _, payload = got
            if kind != METHOD:
                continue
            class_id, method_id = struct.unpack(">HH", payload[:4])
            payload = payload[4:]
            if (class_id, method_id) == (60, 60):
                return self.delivery(payload)
            if (class_id, method_id) in ((60, 80), (60, 120)):
                tag, multiple = struct.unpack(">QB", payload[:9])
                return Confirm(tag, bool(multiple & 1), method_id == 80)
            if (class_id, method_id) in ((10, 50), (20, 40)):
                code = struct.unpack(">H", payload[:2])[0]
                raise Gone(f"closed with {code} {payload[3 : 3 + payload[2]].decode(errors='replace')}")
            if (class_id, method_id) in ((10, 60), (10, 61)):
                continue
            return class_id, method_id, payload

    def delivery(self, payload):
        at = 1 + payload[0]
        consumer = payload[1:at].decode()
        tag, redelivered = struct.unpack(">QB", payload[at : at + 9])
        _, _, header = self.frame()
        size = struct.unpack(">Q", header[4:12])[0]
        parts = []
        while size > 0:
            _, _, part = self.frame()
            parts.append(part)
            size -= len(part)
        return Delivery(self.queues.get(consumer, consumer), tag, bool(redelivered), b"".join(parts))

    def expect(self, class_id, method_id):
        got = self.event()
        if not isinstance(got, tuple) or got[:2] != (class_id, method_id):
            raise Gone(f"{got} instead of {class_id}.{method_id}")
        return got[2]

    def ask(self, request, class_id, method_id):
        self.send(request)
        return self.expect(class_id, method_id)

    def declare(self, queue, arguments=None, durable=True, passive=False):
        """(messages ready, consumers)"""
        bits = bytes([passive | durable << 1])
        answer = self.ask(method(50, 10, b"\0\0" + short(queue) + bits + table(arguments or {})), 50, 11)
        return struct.unpack(">II", answer[-8:])

    def declare_exchange(self, name, kind, arguments=None):
        self.ask(method(40, 10, b"\0\0" + short(name) + short(kind) + b"\x02" + table(arguments or {})), 40, 11)

    def bind(self, queue, exchange, key=""):
        self.ask(method(50, 20, b"\0\0" + short(queue) + short(exchange) + short(key) + b"\0" + table({})), 50, 21)

    def confirms(self):
        self.ask(method(85, 10, b"\0"), 85, 11)

    def consume(self, queue, prefetch):
        self.ask(method(60, 10, struct.pack(">IHB", 0, prefetch, 0)), 60, 11)
        self.queues[queue] = queue
        self.send(method(60, 20, b"\0\0" + short(queue) + short(queue) + b"\0" + table({})))
        # Deliveries may not overtake consume-ok.
        self.expect(60, 21)

    def ack(self, tag, multiple=False):
        self.send(method(60, 80, struct.pack(">QB", tag, multiple)))

    def reject(self, tag, requeue):
        self.send(method(60, 90, struct.pack(">QB", tag, requeue)))

    def close(self):
        """In order; what was sent has been worked through when it returns."""
        self.send(method(10, 50, struct.pack(">H", 200) + short("") + b"\0\0\0\0", 0))
        while True:
            got = self.event()
            if isinstance(got, tuple) and got[:2] == (10, 51):
                break
        self.socket.close()

    def drop(self):
        self.socket.close()
