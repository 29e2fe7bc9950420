#!/usr/bin/env python3
"""Messages that are never whole: 10 connections, 8 channels each, bodies of 60 MiB but for the last bytes."""

import time

from _common import BODY, Amqp, Tally, arguments, frame, in_threads, publish

SIZE, CHANNELS = 60 << 20, 8


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("amqp_bodies"), time.monotonic() + place.seconds
    piece = b"x" * 131064

    def send(_):
        while time.monotonic() < until:
            tally.add("connections")
            try:
                client = Amqp(place)
                for channel in range(1, CHANNELS + 1):
                    client.channel(channel)
                    client.socket.sendall(publish(channel, "hostile", SIZE))
                for _ in range(SIZE // len(piece) - 1):
                    for channel in range(1, CHANNELS + 1):
                        client.socket.sendall(frame(BODY, channel, piece))
                        tally.add("kib", 128)
                    if time.monotonic() > until:
                        break
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
