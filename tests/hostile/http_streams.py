#!/usr/bin/env python3
"""60 streams of events with 16 large answers each, all of them different, half of them not read."""

import socket
import time

from _common import Tally, arguments, head, vhost_of


def main():
    place, count = arguments(__doc__)
    tally, until = Tally("http_streams"), time.monotonic() + place.seconds
    vhost = vhost_of(place).replace("/", "%252F")
    streams = []
    for number in range(count or 60):
        watch = "&".join(f"watch=queues%2F{vhost}%3Fx%3D{number}.{path}" for path in range(16))
        one = socket.socket()
        if number % 2:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        left = until - time.monotonic()
        if left <= 0:
            break
        one.settimeout(min(10, left))
        try:
            one.connect((place.host, place.http))
            one.sendall(head(place, "GET", f"/api/events?{watch}"))
            first = one.recv(256)
            tally.add(f"status_{first.split(b' ', 2)[1].decode()}" if first.startswith(b"HTTP/") else "closed")
            if first.startswith(b"HTTP/1.1 200"):
                streams.append((one, number % 2 == 0))
        except OSError:
            tally.add("refused")
    for one, _ in streams:
        one.setblocking(False)
    while time.monotonic() < until and streams:
        for pair in list(streams):
            one, reads = pair
            try:
                data = one.recv(1 << 20) if reads else one.recv(1, socket.MSG_PEEK)
                if not data:
                    raise OSError
                tally.add("bytes", len(data) if reads else 0)
            except BlockingIOError:
                pass
            except OSError:
                tally.add("cut_off")
                streams.remove(pair)
        time.sleep(0.01)
    tally.add("held", len(streams))
    tally.tell()


if __name__ == "__main__":
    main()
