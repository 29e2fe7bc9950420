"""What was promised: which message may be, must be and must not be in which queue."""

import collections
import threading

DEAD = ("dead-a", "dead-b")
# Where messages keep the order of their publisher.
ORDERED = ("work", "quorum", "prio")


class Copy:
    """A message in a queue, as far as this side can know."""

    __slots__ = ("confirmed", "settled", "seen")

    def __init__(self, confirmed=False):
        self.confirmed = confirmed
        # None, "ack" or "reject": it was sent, and may not have arrived.
        self.settled = None
        # Whether a client has had it.
        self.seen = False


class Findings:
    def __init__(self):
        self.lost, self.doubled, self.unknown, self.unmarked, self.disordered, self.altered, self.torn = [], [], [], [], [], [], []

    def all(self):
        return {name: found for name, found in vars(self).items() if found}


class Ledger:
    """Thread-safe. Numbers grow by publisher; `body` makes a message's only right body out of its number."""

    def __init__(self):
        self.lock = threading.Lock()
        self.copies = {}
        self.next = 1
        self.totals = collections.Counter()

    @staticmethod
    def body(number, size):
        head = b"%12d:%8d:" % (number, size)
        return head + bytes((number * 7 + at) & 0xFF for at in range(min(size, 64))) * (size // 64 + 1)

    @classmethod
    def number(cls, body):
        """None if this body is not what was sent."""
        try:
            number, size = int(body[:12]), int(body[13:21])
        except ValueError:
            return None
        return number if body == cls.body(number, size) else None

    def sent(self, queue):
        with self.lock:
            number, self.next = self.next, self.next + 1
            self.copies[queue, number] = Copy()
            self.totals["sent"] += 1
            return number

    def confirmed(self, queue, number):
        with self.lock:
            self.totals["confirmed"] += 1
            copy = self.copies.get((queue, number))
            if copy:
                copy.confirmed = True

    def refused(self, queue, number):
        """Nacked: it may be there or not, as far as anyone promised."""
        with self.lock:
            self.totals["nacked"] += 1

    def seen(self, queue, number):
        with self.lock:
            self.copies.setdefault((queue, number), Copy()).seen = True

    def settle(self, queue, number, how):
        """To be called before it is sent."""
        with self.lock:
            self.copies.setdefault((queue, number), Copy()).settled = how
            self.totals[how] += 1

    def check(self, contents, unclean):
        """`contents`: queue -> [(number or None, redelivered, priority)] in the order in which they came. What is found becomes the truth."""
        findings = Findings()
        with self.lock:
            found = collections.Counter()
            for queue, messages in contents.items():
                last = {}
                for number, redelivered, lane in messages:
                    if number is None:
                        findings.altered.append(queue)
                        continue
                    found[queue, number] += 1
                    copy = self.copies.get((queue, number))
                    if unclean and copy and copy.seen and not redelivered:
                        findings.unmarked.append((queue, number))
                    if queue in ORDERED:
                        if number < last.get(lane, 0):
                            findings.disordered.append((queue, number))
                        last[lane] = number
            findings.doubled = [(*at, times) for at, times in found.items() if times > 1]
            for at in found:
                queue, number = at
                if at not in self.copies and not (queue in DEAD and self.rejected(number)):
                    findings.unknown.append(at)
            for (queue, number), copy in self.copies.items():
                here = (queue, number) in found
                if copy.settled == "reject":
                    dead = [name for name in DEAD if (name, number) in found or self.gone(name, number)]
                    if here and any((name, number) in found for name in DEAD) or not here and copy.confirmed and len(dead) < len(DEAD):
                        findings.torn.append((queue, number))
                elif copy.confirmed and copy.settled is None and not here:
                    findings.lost.append((queue, number))
            self.copies = {at: Copy(confirmed=True) for at in found}
        return findings

    def rejected(self, number):
        return any((queue, number) in self.copies and self.copies[queue, number].settled == "reject" for queue in ("work", "quorum", "prio", "later"))

    def gone(self, queue, number):
        """Whether this copy was there and is settled."""
        copy = self.copies.get((queue, number))
        return copy is not None and copy.settled is not None

    def forget(self, at, how="ack"):
        with self.lock:
            if at in self.copies:
                self.copies[at].settled = how
