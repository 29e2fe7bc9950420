#!/usr/bin/env python3
"""Connections that do not finish their handshake: 2,000 that say nothing, half of the header, or all of it and no more."""

import itertools
import time

from _common import Tally, arguments, connect, held

SAID = [b"", b"AMQP", b"AMQP\0\0\x09\x01", b"AMQP\0\0\x09\x01\x01\0\0\0\0\x70\0"]


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("amqp_silent"), time.monotonic() + place.seconds
    kinds = itertools.cycle(SAID)
    while time.monotonic() < until:
        sockets = []
        for _ in range(count or 800):
            try:
                one = connect(place, place.amqp)
                one.sendall(next(kinds))
                sockets.append(one)
                tally.add("connected")
            except OSError:
                tally.add("refused")
        held(sockets, min(until, time.monotonic() + 12), tally)
    tally.tell()


if __name__ == "__main__":
    main()
