#!/usr/bin/env python3
"""Connections to the management API that say nothing, or half of a request: 600, again when they are closed."""

import itertools
import time

from _common import Tally, arguments, connect, held

SAID = [
    b"",
    b"GET / HTT",
    b"GET /api/overview HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
]


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("http_silent"), time.monotonic() + place.seconds
    kinds = itertools.cycle(SAID)
    while time.monotonic() < until:
        sockets = []
        for _ in range(count or 600):
            try:
                one = connect(place, place.http)
                one.sendall(next(kinds))
                sockets.append(one)
                tally.add("connected")
            except OSError:
                tally.add("refused")
        held(sockets, min(until, time.monotonic() + 5), tally)
    tally.tell()


if __name__ == "__main__":
    main()
