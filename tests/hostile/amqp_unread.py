#!/usr/bin/env python3
"""Clients that ask and publish without end and read nothing: full outboxes, and publishes that wait."""

import struct
import time

from _common import BODY, HEADER, Amqp, Tally, arguments, frame, in_threads, method, short


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("amqp_unread"), time.monotonic() + place.seconds
    # Mandatory and to nowhere: each comes back.
    lost = method(1, 60, 40, b"\0\0" + short("") + short("nowhere, whatever happens") + b"\1")
    lost += frame(HEADER, 1, struct.pack(">HHQH", 60, 0, 20_000, 0)) + frame(BODY, 1, b"x" * 20_000)

    def send(_):
        while time.monotonic() < until:
            tally.add("connections")
            try:
                client = Amqp(place)
                client.channel(1)
                client.socket.settimeout(1)
                while time.monotonic() < until:
                    try:
                        client.socket.sendall(lost)
                        tally.add("kib", 20)
                    except TimeoutError:
                        tally.add("held_up")
                        time.sleep(max(0.0, min(5.0, until - time.monotonic())))
                        break
                client.socket.close()
            except OSError:
                tally.add("closed")

    in_threads(count or 20, send, until)
    tally.tell()


if __name__ == "__main__":
    main()
