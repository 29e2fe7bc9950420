"""py-amqp, and kombu above it."""

import time

import amqp
import kombu

from scenarios import BIG, PREFIX, URL, refused, run, wrong_url

PLACE = URL.rsplit("@", 1)[1]


def connect(**more):
    connection = amqp.Connection(PLACE, **more)
    connection.connect()
    return connection


def with_channel(work):
    def scenario():
        connection = connect()
        try:
            work(connection.channel())
        finally:
            connection.close()

    return scenario


def queue(channel, **more):
    return channel.queue_declare(PREFIX + str(time.monotonic_ns()), exclusive=True, auto_delete=False, **more).queue


def take(channel, name):
    end = time.monotonic() + 180
    while time.monotonic() < end:
        message = channel.basic_get(name)
        if message is not None:
            return message
    raise TimeoutError(name)


def wrong_credentials():
    with refused(amqp.exceptions.AccessRefused) as refusal:
        connect(password="wrong")
    assert refusal.error.reply_code == 403


def declare():
    with kombu.Connection(URL + "//") as connection:
        exchange = kombu.Exchange(PREFIX + "x", "topic", auto_delete=True, durable=False)
        target = kombu.Queue(PREFIX + "kombu", exchange, "a.#", durable=False, exclusive=True, max_length=10)
        got = []
        with connection.Consumer(target, callbacks=[lambda body, message: (got.append(body), message.ack())]):
            connection.Producer(serializer="json").publish({"a": 1}, exchange=exchange, routing_key="a.b", declare=[exchange])
            while not got:
                connection.drain_events(timeout=180)
        assert got == [{"a": 1}]


def confirms():
    connection = connect(confirm_publish=True)
    channel = connection.channel()
    name = queue(channel)
    for _ in range(1000):
        channel.basic_publish_confirm(amqp.Message(b"x", delivery_mode=2), routing_key=name)
    assert channel.queue_declare(name, passive=True).message_count == 1000
    connection.close()


@with_channel
def mandatory(channel):
    back = []
    channel.events["basic_return"].add(lambda *args: back.append(args))
    channel.basic_publish(amqp.Message(b"back"), routing_key=PREFIX + "nowhere", mandatory=True)
    while not back:
        channel.connection.drain_events(timeout=180)


@with_channel
def prefetch(channel):
    name = queue(channel)
    for n in range(10):
        channel.basic_publish(amqp.Message(str(n)), routing_key=name)
    channel.basic_qos(0, 3, False)
    got = []
    channel.basic_consume(name, callback=got.append)
    while len(got) < 3:
        channel.connection.drain_events(timeout=180)
    assert channel.queue_declare(name, passive=True).message_count == 7
    while len(got) < 10:
        channel.basic_ack(got[-1].delivery_tag, multiple=True)
        channel.connection.drain_events(timeout=180)
    assert [m.body for m in got] == [str(n) for n in range(10)]


@with_channel
def requeue(channel):
    name = queue(channel)
    channel.basic_publish(amqp.Message(b"x"), routing_key=name)
    channel.basic_reject(take(channel, name).delivery_tag, requeue=True)
    assert take(channel, name).delivery_info["redelivered"]


@with_channel
def dead_letter(channel):
    dead = queue(channel)
    name = queue(channel, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    channel.basic_publish(amqp.Message(b"x"), routing_key=name)
    channel.basic_reject(take(channel, name).delivery_tag, requeue=False)
    death = take(channel, dead).headers["x-death"][0]
    assert (death["count"], death["reason"], death["queue"]) == (1, "rejected", name), death


@with_channel
def delayed(channel):
    channel.exchange_declare(PREFIX + "later", "x-delayed-message", auto_delete=True, arguments={"x-delayed-type": "direct"})
    name = queue(channel)
    channel.queue_bind(name, PREFIX + "later", "k")
    start = time.monotonic()
    channel.basic_publish(amqp.Message(b"x", application_headers={"x-delay": 500}), PREFIX + "later", "k")
    take(channel, name)
    assert time.monotonic() - start > 0.49


@with_channel
def reply_to(channel):
    name = queue(channel)
    answers = []
    channel.basic_consume("amq.rabbitmq.reply-to", no_ack=True, callback=answers.append)
    channel.basic_publish(amqp.Message(b"question", reply_to="amq.rabbitmq.reply-to"), routing_key=name)
    other = channel.connection.channel()
    question = take(other, name)
    other.basic_publish(amqp.Message(b"answer"), routing_key=question.reply_to)
    while not answers:
        channel.connection.drain_events(timeout=180)
    assert answers[0].body in (b"answer", "answer")


@with_channel
def big_body(channel):
    name = queue(channel)
    channel.basic_publish(amqp.Message(BIG), routing_key=name)
    assert take(channel, name).body == BIG


@with_channel
def server_close(channel):
    with refused(amqp.exceptions.NotFound) as refusal:
        channel.queue_declare(PREFIX + "nowhere", passive=True)
    assert refusal.error.reply_code == 404


def closing():
    """Closes of both sides that cross leave the connection alone."""
    connection = connect()
    for _ in range(50):
        channel = connection.channel()
        channel.basic_publish(amqp.Message("x"), exchange=PREFIX + "nowhere", routing_key="")
        try:
            channel.close()
        except amqp.exceptions.NotFound:
            pass
    queue(connection.channel())
    connection.close()
    for _ in range(50):
        connect().close()


if __name__ == "__main__":
    run({
        "wrong-credentials": wrong_credentials,
        "declare": declare,
        "confirms": confirms,
        "mandatory": mandatory,
        "prefetch": prefetch,
        "requeue": requeue,
        "dead-letter": dead_letter,
        "delayed": delayed,
        "reply-to": reply_to,
        "big-body": big_body,
        "server-close": server_close,
        "closing": closing,
    })
