#!/usr/bin/env python3
"""400 large answers that are asked for and not read."""

import socket
import time

from _common import Tally, arguments, head, held, vhost_of


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("http_unread"), time.monotonic() + place.seconds
    vhost = vhost_of(place).replace("/", "%2F")
    sockets = []
    for number in range(count or 400):
        if time.monotonic() > until:
            break
        one = socket.socket()
        # Little is taken from the broker by the kernel.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(5)
        try:
            one.connect((place.host, place.http))
            one.sendall(head(place, "GET", f"/api/queues/{vhost}?disable_stats=false&x={number}"))
            tally.add("asked")
            sockets.append(one)
        except OSError:
            tally.add("refused")
    while time.monotonic() < until:
        time.sleep(0.1)
    for one in sockets:
        one.setblocking(False)
        try:
            first = one.recv(4096)
            tally.add(f"status_{first.split(b' ', 2)[1].decode()}" if first.startswith(b"HTTP/") else "closed")
        except BlockingIOError:
            tally.add("nothing")
        except OSError:
            tally.add("closed")
    held(sockets, 0, tally)
    tally.tell()


if __name__ == "__main__":
    main()
