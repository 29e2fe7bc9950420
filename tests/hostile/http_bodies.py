#!/usr/bin/env python3
"""Requests with large bodies that never end: 30 of 60 MiB, for definitions, which may be large."""

import time

from _common import Tally, arguments, connect, head, in_threads, status, vhost_of

SIZE = 60 << 20


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("http_bodies"), time.monotonic() + place.seconds

    def send(_):
        while time.monotonic() < until:
            tally.add("tried")
            try:
                one = connect(place, place.http, 30)
                vhost = vhost_of(place).replace("/", "%2F")
                one.sendall(head(place, "POST", f"/api/definitions/{vhost}", f"Content-Length: {SIZE + 1}\r\n"))
                piece = b" " * (1 << 20)
                for _ in range(SIZE >> 20):
                    one.sendall(piece)
                    tally.add("mib")
                one.settimeout(max(0.1, until - time.monotonic()))
            except OSError:
                tally.add("closed")
            answer = status(one)
            tally.add({0: "held", -1: "closed"}.get(answer, f"status_{answer}"))
            one.close()
            time.sleep(0.2)

    in_threads(count or 30, send, until)
    tally.tell()


if __name__ == "__main__":
    main()
