"""Publishers and consumers that keep the ledger, and one well-behaved client whose waiting is measured."""

import base64
import collections
import json
import random
import threading
import time
import urllib.request

from amqp import Client, Confirm, Delivery, Gone, publish
from ledger import DEAD, Ledger

WINDOW = 48
# What holds publishers up lasts some seconds: a stopped process, a full disk.
HANGS = 60
QUEUES = {"work": {"x-dead-letter-exchange": "dead"}, "prio": {"x-max-priority": 5, "x-dead-letter-exchange": "dead"},
          "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000, "x-dead-letter-exchange": "dead"},
          "later": {"x-dead-letter-exchange": "dead"}, "dead-a": {}, "dead-b": {}}
DELAY_MS_MAX = 3000


def declare(port):
    client = Client(port)
    client.declare_exchange("dead", "fanout")
    client.declare_exchange("delay", "x-delayed-message", {"x-delayed-type": "direct"})
    for queue, arguments in QUEUES.items():
        client.declare(queue, arguments)
    for queue in DEAD:
        client.bind(queue, "dead")
    client.bind("later", "delay", "later")
    client.declare("polite")
    client.close()


class Load:
    """Between `start` and `stop`; what the connections of its threads suffer is noted in `broken`."""

    def __init__(self, port, ledger, seed):
        self.port, self.ledger, self.seed = port, ledger, seed
        self.stopping = threading.Event()
        # Set before the broker is killed: from then on a lost connection is no finding.
        self.dying = threading.Event()
        self.broken = []
        self.unrefused = 0
        self.threads = [threading.Thread(target=self.guarded, args=(self.publish, q, n)) for n, q in enumerate(("work", "prio", "quorum", "later"))]
        self.threads += [threading.Thread(target=self.guarded, args=(self.consume, q, 10 + n)) for n, q in enumerate(QUEUES)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def guarded(self, work, queue, salt):
        try:
            work(queue, random.Random(f"{self.seed}-{salt}"))
        except Gone as gone:
            if not self.dying.is_set():
                self.broken.append(f"{work.__name__} {queue}: {gone}")

    def publish(self, queue, chance):
        client = Client(self.port, timeout=90, name=f"publisher of {queue}")
        client.confirms()
        waiting = collections.OrderedDict()
        tag, answered = 0, time.monotonic()
        while True:
            stopping = self.stopping.is_set()
            if stopping and (not waiting or self.dying.is_set()):
                break
            while not stopping and len(waiting) < WINDOW:
                number = self.ledger.sent(queue)
                size = chance.choice((30, 30, 300, 1_000, 4_000, 20_000) if chance.random() < 0.99 else (300_000,))
                body, tag = Ledger.body(number, size), tag + 1
                waiting[tag] = number
                if queue == "later":
                    data = publish("delay", "later", body, client.frame_max, {"x-delay": chance.randrange(DELAY_MS_MAX)})
                else:
                    data = publish("", queue, body, client.frame_max, priority=number % 6 if queue == "prio" else None)
                client.send(data)
            event = client.event(time.monotonic() + 0.5)
            if not waiting or isinstance(event, Confirm):
                answered = time.monotonic()
            elif time.monotonic() - answered > HANGS and not self.dying.is_set():
                self.broken.append(f"publisher of {queue}: {len(waiting)} publishes unanswered for {HANGS} s")
                break
            if isinstance(event, Confirm):
                tags = [event.tag] if not event.multiple else [t for t in waiting if t <= event.tag]
                for done in tags:
                    note = self.ledger.confirmed if event.accepted else self.ledger.refused
                    note(queue, waiting.pop(done))
        client.close()

    def consume(self, queue, chance):
        client = Client(self.port, timeout=90, name=f"consumer of {queue}")
        client.consume(queue, 200)
        while not self.stopping.is_set():
            event = client.event(time.monotonic() + 0.5)
            if not isinstance(event, Delivery):
                continue
            number = Ledger.number(event.body)
            if number is None:
                self.broken.append(f"a body of {queue} is not what was sent")
                continue
            self.ledger.seen(queue, number)
            lot = chance.random()
            if lot < 0.03:
                client.reject(event.tag, True)
            elif lot < 0.06 and queue not in DEAD:
                self.ledger.settle(queue, number, "reject")
                client.reject(event.tag, False)
            elif lot < 0.97:
                self.ledger.settle(queue, number, "ack")
                client.ack(event.tag)
            # The rest stays unacknowledged, and has to come back.
        client.close()


def contents(port, http):
    """Everything that is in the queues, which stays there: taken without an acknowledgement, then let go."""
    settle_delayed(port, http)
    found = {}
    for queue in QUEUES:
        client = Client(port, timeout=90, name="check")
        ready, _ = client.declare(queue, passive=True)
        messages = []
        if ready:
            client.consume(queue, 0)
            while len(messages) < ready:
                event = client.event(time.monotonic() + 30)
                if not isinstance(event, Delivery):
                    break
                number = Ledger.number(event.body)
                messages.append((number, event.redelivered, number % 6 if queue == "prio" and number else 0))
            # One too many would be a doubled one.
            event = client.event(time.monotonic() + 0.2)
            if isinstance(event, Delivery):
                messages.append((Ledger.number(event.body), event.redelivered, 0))
        client.close()
        found[queue] = messages
    return found


def delayed(http):
    """How many messages wait for their time; None if the broker does not say."""
    asked = urllib.request.Request(f"http://127.0.0.1:{http}/api/exchanges/%2F/delay",
                                   headers={"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["messages_delayed"]
    except OSError:
        return None


def settle_delayed(port, http):
    """Waits until nothing is under way: nothing is delayed, and no count moves for a second. What is due waits as long as an alarm
    lasts, so its time alone says nothing."""
    client = Client(port, timeout=90, name="check")
    before, since = None, time.monotonic()
    ends = since + 300
    while time.monotonic() < ends and (time.monotonic() - since < 1 or before[0] != 0):
        now = [delayed(http)] + [client.declare(queue, passive=True)[0] for queue in QUEUES]
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)
    client.close()


def take_all(port, ledger):
    """Acknowledges what is in the queues. What a crash right after brings back is no finding: acknowledgements are not answered."""
    for queue in QUEUES:
        client = Client(port, timeout=90, name="drain")
        ready, _ = client.declare(queue, passive=True)
        if ready:
            client.consume(queue, 0)
            tag = 0
            while tag < ready:
                event = client.event(time.monotonic() + 30)
                if not isinstance(event, Delivery):
                    break
                tag = event.tag
                number = Ledger.number(event.body)
                if number is not None:
                    ledger.forget((queue, number))
            client.ack(tag, multiple=True)
        client.close()


class Polite(threading.Thread):
    """One connection that publishes a message, waits for its confirm and takes it again, fifty times a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.phase = "quiet"
        self.ended = threading.Event()
        self.samples = collections.defaultdict(list)
        self.lost_connections = collections.Counter()

    def run(self):
        while not self.ended.is_set():
            try:
                self.converse()
            except Gone:
                self.lost_connections[self.phase] += 1
                time.sleep(0.2)

    def converse(self):
        client = Client(self.port, timeout=90, name="well-behaved")
        client.confirms()
        client.declare("polite")
        client.consume("polite", 10)
        while not self.ended.is_set():
            phase, began = self.phase, time.monotonic()
            client.send(publish("", "polite", b"x" * 200, client.frame_max))
            confirmed = delivered = None
            while confirmed is None or delivered is None:
                event = client.event()
                if isinstance(event, Confirm):
                    confirmed = time.monotonic() - began
                elif isinstance(event, Delivery):
                    delivered = time.monotonic() - began
                    client.ack(event.tag)
            if phase == self.phase:
                self.samples[phase].append((confirmed, delivered))
            time.sleep(0.02)
        client.close()

    def table(self):
        rows = {}
        for phase, samples in self.samples.items():
            confirms = sorted(confirm for confirm, _ in samples)
            rows[phase] = {"samples": len(samples), **{f"confirm_{name}_ms": round(1000 * confirms[min(len(confirms) - 1, int(len(confirms) * part))], 1)
                           for name, part in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0))},
                           "delivery_worst_ms": round(1000 * max(delivery for _, delivery in samples), 1)}
        return rows
