#!/usr/bin/env python3
"""Transactions that are never committed: 10 connections, 8 channels each, as much as each takes."""

import struct
import time

from _common import BODY, HEADER, Amqp, Tally, arguments, frame, in_threads, method, short

CHANNELS, BODY_BYTES = 8, 100_000


def message(channel):
    first = method(channel, 60, 40, b"\0\0" + short("") + short("hostile") + b"\0")
    return first + frame(HEADER, channel, struct.pack(">HHQH", 60, 0, BODY_BYTES, 0)) + frame(BODY, channel, b"x" * BODY_BYTES)


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("amqp_transactions"), time.monotonic() + place.seconds

    def send(_):
        while time.monotonic() < until:
            tally.add("connections")
            try:
                client = Amqp(place)
                for channel in range(1, CHANNELS + 1):
                    client.channel(channel)
                    client.socket.sendall(method(channel, 90, 10))
                    client.hear(90, 11)
                sent = 0
                while time.monotonic() < until and sent < 60 << 20:
                    for channel in range(1, CHANNELS + 1):
                        client.socket.sendall(message(channel))
                    sent += BODY_BYTES
                    tally.add("kib", BODY_BYTES * CHANNELS >> 10)
                client.socket.settimeout(max(0.1, until - time.monotonic()))
                while True:
                    found = client.next()
                    tally.add(f"heard_{found[0]}_{found[1]}")
            except TimeoutError:
                tally.add("held")
            except OSError:
                tally.add("closed")
            time.sleep(0.1)

    in_threads(count or 10, send, until)
    tally.tell()


if __name__ == "__main__":
    main()
