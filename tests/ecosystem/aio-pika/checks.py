"""What applications on FastStream and Taskiq rely on. `checks.py [CHECK..]`"""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitMessage, RabbitQueue
from pydantic import BaseModel

HERE = pathlib.Path(__file__).resolve().parent
URL = os.environ["AMQP_URL"]
LIMIT_S = 120
CHECKS = []


def check(function):
    CHECKS.append((function.__name__.replace("_", "-"), function))
    return function


async def wait_for(condition, what):
    late = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < late, f"still not {what()}"
        await asyncio.sleep(0.02)


async def ask_the_runner(what):
    print(f"broker {what}", flush=True)
    # Clients look after their connections meanwhile.
    assert await asyncio.to_thread(input) == "done"


class Order(BaseModel):
    item: str
    count: int


@check
async def faststream_models_and_publishers():
    broker, seen = RabbitBroker(URL), []

    @broker.subscriber("orders")
    @broker.publisher("totals")
    async def total(order: Order) -> int:
        return order.count * 2

    @broker.subscriber("totals")
    async def keep(number: int):
        seen.append(number)

    async with broker:
        await broker.start()
        for count in range(100):
            await broker.publish(Order(item="shoe", count=count), "orders")
        await wait_for(lambda: len(seen) == 100, lambda: f"100 totals but {len(seen)}")
        assert sorted(seen) == [count * 2 for count in range(100)]


@check
async def faststream_requests_by_direct_reply_to():
    broker = RabbitBroker(URL)

    @broker.subscriber("upper")
    async def upper(text: str) -> str:
        return text.upper()

    async with broker:
        await broker.start()
        answers = await asyncio.gather(*(broker.request(f"word{number}", "upper", timeout=60) for number in range(100)))
        assert [await answer.decode() for answer in answers] == [f"WORD{number}" for number in range(100)]


@check
async def faststream_exchanges_of_each_type():
    broker, seen = RabbitBroker(URL), []
    topic, fanout, headers, hashed = (
        RabbitExchange(f"fs-{type.value}", type=type) for type in (ExchangeType.TOPIC, ExchangeType.FANOUT, ExchangeType.HEADERS, ExchangeType.X_CONSISTENT_HASH)
    )

    def subscribe(name, exchange, **more):
        @broker.subscriber(RabbitQueue(name, **more), exchange)
        async def note(text: str):
            seen.append((name, text))

    subscribe("t1", topic, routing_key="a.*")
    subscribe("t2", topic, routing_key="a.#")
    subscribe("f1", fanout)
    subscribe("f2", fanout)
    subscribe("h1", headers, bind_arguments={"x-match": "all", "kind": "new", "n": 1})
    subscribe("h2", headers, bind_arguments={"x-match": "any", "kind": "old", "n": 1})
    subscribe("c1", hashed, routing_key="1")
    subscribe("c2", hashed, routing_key="1")
    async with broker:
        await broker.start()
        await broker.publish("x", exchange=topic, routing_key="a.b.c")
        await broker.publish("y", exchange=topic, routing_key="a.b")
        await broker.publish("z", exchange=fanout)
        await broker.publish("h", exchange=headers, headers={"kind": "new", "n": 1})
        for number in range(100):
            await broker.publish(f"c{number}", exchange=hashed, routing_key=f"key{number}")
        await wait_for(lambda: len(seen) == 107, lambda: f"107 but {len(seen)}")
        hashed_to = {name for name, _ in seen if name.startswith("c")}
        assert hashed_to == {"c1", "c2"}
        assert sorted(one for one in seen if not one[0].startswith("c")) == [
            ("f1", "z"), ("f2", "z"), ("h1", "h"), ("h2", "h"), ("t1", "y"), ("t2", "x"), ("t2", "y")]


@check
async def faststream_acknowledgement_policies():
    broker, seen = RabbitBroker(URL), []
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "fs-dead"}

    @broker.subscriber(RabbitQueue("fs-rejecting", arguments=dead), ack_policy=AckPolicy.REJECT_ON_ERROR)
    async def reject(text: str):
        raise RuntimeError("on purpose")

    @broker.subscriber("fs-nacking", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def nack(text: str, message: RabbitMessage):
        seen.append(("nacking", message.raw_message.redelivered))
        if not message.raw_message.redelivered:
            raise RuntimeError("on purpose")

    @broker.subscriber("fs-manual", ack_policy=AckPolicy.MANUAL)
    async def manual(text: str, message: RabbitMessage):
        seen.append(("manual", message.raw_message.redelivered))
        await (message.ack() if message.raw_message.redelivered else message.nack())

    @broker.subscriber("fs-dead")
    async def note(text: str, message: RabbitMessage):
        seen.append(("dead", message.headers["x-death"][0]["reason"]))

    async with broker:
        await broker.start()
        for queue in ("fs-rejecting", "fs-nacking", "fs-manual"):
            await broker.publish("x", queue)
        wanted = [("dead", "rejected"), ("manual", False), ("manual", True), ("nacking", False), ("nacking", True)]
        await wait_for(lambda: sorted(seen) == wanted, lambda: f"{wanted} but {seen}")


@check
async def faststream_prefetch_and_priorities():
    broker, seen, running, most = RabbitBroker(URL), [], [], []

    @broker.subscriber(RabbitQueue("fs-ranked", arguments={"x-max-priority": 9}), channel=Channel(prefetch_count=1))
    async def ranked(number: int):
        running.append(number)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(number)
        seen.append(number)

    async with RabbitBroker(URL) as before:
        await before.declare_queue(RabbitQueue("fs-ranked", arguments={"x-max-priority": 9}))
        for number in (1, 5, 9, 3):
            await before.publish(number, "fs-ranked", priority=number)
    async with broker:
        await broker.start()
        await wait_for(lambda: len(seen) == 4, lambda: "all seen")
        assert seen == [9, 5, 3, 1] and max(most) == 1, (seen, most)


@check
async def faststream_delayed_exchange():
    broker, seen, begun = RabbitBroker(URL), [], time.monotonic()
    exchange = RabbitExchange("fs-delayed", type=ExchangeType.X_DELAYED_MESSAGE, arguments={"x-delayed-type": "direct"})

    @broker.subscriber(RabbitQueue("fs-postponed"), exchange)
    async def note(milliseconds: int):
        seen.append(milliseconds)
        assert time.monotonic() - begun >= milliseconds / 1000

    async with broker:
        await broker.start()
        for milliseconds in (1200, 300, 600):
            await broker.publish(milliseconds, "fs-postponed", exchange, headers={"x-delay": milliseconds})
        await wait_for(lambda: len(seen) == 3, lambda: "all seen")
        assert seen == [300, 600, 1200]


@check
async def faststream_unroutable_is_returned():
    async with RabbitBroker(URL) as broker:
        await broker.connect()
        returned = await broker.publish("x", "fs-nowhere")
        assert returned.delivery.reply_code == 312, returned


@check
async def faststream_killed_broker_is_found_again():
    broker, seen = RabbitBroker(URL, reconnect_interval=0.5), []

    @broker.subscriber(RabbitQueue("fs-lasting", durable=True))
    async def keep(text: str):
        seen.append(text)

    # Goes with its connection.
    @broker.subscriber(RabbitQueue("fs-exclusive", exclusive=True, auto_delete=True), RabbitExchange("fs-news", type=ExchangeType.FANOUT, durable=True))
    async def hear(text: str):
        seen.append(f"heard {text}")

    async def publish(text, *where):
        late = time.monotonic() + LIMIT_S
        while True:
            try:
                return await broker.publish(text, *where, persist=True)
            except Exception:  # noqa: BLE001: how it fails depends on where it is in finding the broker again
                assert time.monotonic() < late
                await asyncio.sleep(0.1)

    async with broker:
        await broker.start()
        await publish("before", "fs-lasting")
        await wait_for(lambda: "before" in seen, lambda: "before")
        await ask_the_runner("kill")
        await ask_the_runner("start")
        await publish("after", "fs-lasting")
        await wait_for(lambda: "after" in seen, lambda: "after")
        late = time.monotonic() + LIMIT_S
        while "heard news" not in seen:
            assert time.monotonic() < late, "the exclusive queue is not back"
            await publish("news", "", RabbitExchange("fs-news", type=ExchangeType.FANOUT, durable=True))
            await asyncio.sleep(0.1)


class Worker:
    def __init__(self, broker):
        self.broker = broker
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).with_name("taskiq"), "worker", f"tasks:{broker}", "--workers", "1"], cwd=HERE,
            stdin=subprocess.DEVNULL, stdout=sys.stdout, stderr=subprocess.STDOUT, start_new_session=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


async def with_worker(name, act):
    """A worker process of Taskiq's, and this process as its client; `act` gets what was noted."""
    with tempfile.TemporaryDirectory() as folder:
        notes = pathlib.Path(folder) / "notes"
        os.environ["NOTES"] = str(notes)
        import tasks

        def noted():
            return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

        broker = getattr(tasks, name)
        await broker.startup()
        worker = Worker(name)
        try:
            await act(tasks, noted, worker)
        finally:
            worker.kill()
            await broker.shutdown()


@check
async def taskiq_thousand_tasks_each_done_once():
    async def act(tasks, noted, _):
        for number in range(1000):
            await tasks.note.kiq(f"m{number}")
        await wait_for(lambda: len(noted()) >= 1000, lambda: f"1000 but {len(noted())}")
        assert len({what for what, _ in noted()}) == len(noted()) == 1000

    await with_worker("plain", act)


@check
async def taskiq_retries_and_delays():
    async def act(tasks, noted, _):
        begun = time.time()
        await tasks.fails.kiq("failing")
        await tasks.note.kicker().with_labels(delay=0.5).kiq("soon")
        await tasks.note.kicker().with_labels(delay=1.5).kiq("late")
        await wait_for(lambda: [what for what, _ in noted()].count("failing") == 3 and len(noted()) == 5, lambda: f"all but {noted()}")
        at = {what: float(when) - begun for what, when in noted()}
        assert at["soon"] >= 0.5 and at["late"] >= 1.5, at

    await with_worker("plain", act)


@check
async def taskiq_delays_by_the_exchange():
    async def act(tasks, noted, _):
        begun = time.time()
        for delay in (1.5, 0.5):
            await tasks.note_later.kicker().with_labels(delay=delay).kiq(str(delay))
        await wait_for(lambda: len(noted()) == 2, lambda: f"both but {noted()}")
        assert [what for what, _ in noted()] == ["0.5", "1.5"]
        assert all(float(when) - begun >= float(what) for what, when in noted())

    await with_worker("postponing", act)


@check
async def taskiq_killed_worker_loses_nothing():
    async def act(tasks, noted, worker):
        for number in range(100):
            await tasks.note.kiq(f"m{number}", 0.05)
        await wait_for(lambda: len(noted()) > 5, lambda: "begun")
        worker.kill()
        assert len(noted()) < 100, "all was done before the kill"
        worker.process = Worker("plain").process
        await wait_for(lambda: {what for what, _ in noted()} == {f"m{number}" for number in range(100)}, lambda: f"all done but {len(noted())}")

    await with_worker("plain", act)


@check
async def taskiq_worker_finds_a_killed_broker_again():
    async def act(tasks, noted, _):
        await tasks.note.kiq("before")
        await wait_for(lambda: len(noted()) == 1, lambda: "before")
        await ask_the_runner("kill")
        await ask_the_runner("start")
        late = time.monotonic() + LIMIT_S
        while "after" not in [what for what, _ in noted()]:
            assert time.monotonic() < late, "the worker is not back"
            try:
                await tasks.note.kiq("after")
            except Exception:  # noqa: BLE001: its own connection is not back yet
                pass
            await asyncio.sleep(0.2)

    await with_worker("plain", act)


def main():
    wanted = sys.argv[1:]
    for name, act in CHECKS:
        if wanted and name not in wanted:
            continue
        try:
            asyncio.run(act())
            print(f"ok {name}", flush=True)
        except Exception as why:  # noqa: BLE001
            traceback.print_exc()
            print(f"FAIL {name}: {type(why).__name__}: {str(why)[:300]}", flush=True)


if __name__ == "__main__":
    main()
