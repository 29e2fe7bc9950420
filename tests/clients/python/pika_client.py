"""pika, blocking."""

import time

import pika
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError, UnroutableError

from scenarios import BIG, PREFIX, URL, refused, run, wrong_url


def connect(url=URL):
    return pika.BlockingConnection(pika.URLParameters(url + "/%2F"))


def with_channel(work):
    def scenario():
        connection = connect()
        try:
            work(connection.channel())
        finally:
            connection.close()

    return scenario


def queue(channel, **more):
    return channel.queue_declare(PREFIX + str(time.monotonic_ns()), exclusive=True, **more).method.queue


def receive(channel, name, count=1, auto_ack=True):
    got = []
    for method, properties, body in channel.consume(name, auto_ack=auto_ack, inactivity_timeout=180):
        assert method is not None, f"{len(got)} of {count} messages came"
        got.append((method, properties, body))
        if len(got) == count:
            break
    channel.cancel()
    return got


def wrong_credentials():
    with refused(ProbableAuthenticationError) as refusal:
        connect(wrong_url())
    assert "403" in str(refusal.error)


@with_channel
def declare(channel):
    name = queue(channel, arguments={"x-max-length": 10, "x-unknown": ["a", 1]})
    channel.exchange_declare(PREFIX + "x", "topic", auto_delete=True)
    channel.queue_bind(name, PREFIX + "x", "a.#")
    channel.basic_publish(PREFIX + "x", "a.b", b"hello")
    assert receive(channel, name)[0][2] == b"hello"


@with_channel
def confirms(channel):
    channel.confirm_delivery()
    name = queue(channel)
    for _ in range(1000):
        channel.basic_publish("", name, b"x", pika.BasicProperties(delivery_mode=2))
    assert channel.queue_declare(name, passive=True).method.message_count == 1000


@with_channel
def mandatory(channel):
    channel.confirm_delivery()
    with refused(UnroutableError) as refusal:
        channel.basic_publish("", PREFIX + "nowhere", b"back", mandatory=True)
    assert refusal.error.messages[0].body == b"back"


@with_channel
def prefetch(channel):
    name = queue(channel)
    for n in range(10):
        channel.basic_publish("", name, str(n).encode())
    channel.basic_qos(prefetch_count=3)
    got = []
    channel.basic_consume(name, lambda _c, method, _p, body: got.append((method.delivery_tag, body)))
    while len(got) < 3:
        channel.connection.process_data_events(1)
    assert channel.queue_declare(name, passive=True).method.message_count == 7
    while len(got) < 10:
        channel.basic_ack(got[-1][0], multiple=True)
        channel.connection.process_data_events(1)
    assert [body for _, body in got] == [str(n).encode() for n in range(10)]


@with_channel
def requeue(channel):
    name = queue(channel)
    channel.basic_publish("", name, b"x")
    method, _, _ = channel.basic_get(name)
    assert not method.redelivered
    channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, _ = receive(channel, name)[0]
    assert method.redelivered


@with_channel
def dead_letter(channel):
    dead = queue(channel)
    name = queue(channel, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    channel.basic_publish("", name, b"x")
    method, _, _ = channel.basic_get(name)
    channel.basic_reject(method.delivery_tag, requeue=False)
    _, properties, _ = receive(channel, dead)[0]
    death = properties.headers["x-death"][0]
    assert (death["count"], death["reason"], death["queue"]) == (1, "rejected", name), death


@with_channel
def delayed(channel):
    channel.exchange_declare(PREFIX + "later", "x-delayed-message", auto_delete=True, arguments={"x-delayed-type": "direct"})
    name = queue(channel)
    channel.queue_bind(name, PREFIX + "later", "k")
    start = time.monotonic()
    channel.basic_publish(PREFIX + "later", "k", b"x", pika.BasicProperties(headers={"x-delay": 500}))
    receive(channel, name)
    assert time.monotonic() - start > 0.49


@with_channel
def reply_to(channel):
    name = queue(channel)
    answers = []
    channel.basic_consume("amq.rabbitmq.reply-to", lambda _c, _m, _p, body: answers.append(body), auto_ack=True)
    channel.basic_publish("", name, b"question", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
    server = connect()
    other = channel.connection.channel()
    _, properties, _ = receive(other, name)[0]
    server.channel().basic_publish("", properties.reply_to, b"answer")
    while not answers:
        channel.connection.process_data_events(1)
    server.close()
    assert answers == [b"answer"]


@with_channel
def big_body(channel):
    channel.confirm_delivery()
    name = queue(channel)
    channel.basic_publish("", name, BIG)
    assert receive(channel, name)[0][2] == BIG


@with_channel
def server_close(channel):
    with refused(ChannelClosedByBroker) as refusal:
        channel.queue_declare(PREFIX + "nowhere", passive=True)
    assert refusal.error.reply_code == 404
    other = channel.connection.channel()
    name = queue(other)
    with refused(ChannelClosedByBroker) as refusal:
        other.queue_declare(name, exclusive=True, arguments={"x-max-length": 1})
    assert refusal.error.reply_code == 406


def closing():
    """Closes of both sides that cross leave the connection alone, and are no error of the channel's close."""
    connection = connect()
    for _ in range(50):
        channel = connection.channel()
        channel.basic_publish(PREFIX + "nowhere", "", b"x")
        try:
            channel.close()
        except ChannelClosedByBroker as error:
            assert error.reply_code == 404, error
    queue(connection.channel())
    connection.close()
    for _ in range(50):
        connect().close()


@with_channel
def cancelled(channel):
    """A consumer is told when its queue is deleted."""
    name = queue(channel)
    ended = []
    channel.add_on_cancel_callback(ended.append)
    channel.basic_consume(name, lambda *_: None)
    channel.connection.channel().queue_delete(name)
    while not ended:
        channel.connection.process_data_events(1)


def heartbeat():
    """A connection with a short heartbeat interval lives on."""
    connection = pika.BlockingConnection(pika.URLParameters(URL + "/%2F?heartbeat=2"))
    channel = connection.channel()
    connection.sleep(8)
    queue(channel)
    connection.close()


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
        "cancelled": cancelled,
        "heartbeat": heartbeat,
    })
