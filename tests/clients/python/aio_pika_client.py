"""aio-pika."""

import asyncio
import time

import aio_pika
import aiormq
from aio_pika import ExchangeType, Message
from aio_pika.exceptions import DeliveryError

from scenarios import BIG, PREFIX, URL, refused, run, wrong_url


def with_channel(work):
    async def scenario():
        async with await aio_pika.connect(URL + "/") as connection:
            await work(await connection.channel(on_return_raises=True))

    return scenario


async def queue(channel, **more):
    return await channel.declare_queue(PREFIX + str(time.monotonic_ns()), exclusive=True, **more)


async def publish(channel, key, body, **more):
    return await channel.default_exchange.publish(Message(body, **more), key)


async def take(queue):
    async with asyncio.timeout(180):
        while True:
            message = await queue.get(fail=False)
            if message is not None:
                return message


async def wrong_credentials():
    with refused(aiormq.exceptions.AMQPConnectionError, aiormq.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(wrong_url() + "/")


@with_channel
async def declare(channel):
    name = await queue(channel, arguments={"x-max-length": 10})
    exchange = await channel.declare_exchange(PREFIX + "x", ExchangeType.TOPIC, auto_delete=True)
    await name.bind(exchange, "a.#")
    await exchange.publish(Message(b"hello"), "a.b")
    assert (await take(name)).body == b"hello"


@with_channel
async def confirms(channel):
    name = await queue(channel)
    await asyncio.gather(*[
        publish(channel, name.name, b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT) for _ in range(1000)
    ])
    assert (await channel.declare_queue(name.name, passive=True)).declaration_result.message_count == 1000


@with_channel
async def mandatory(channel):
    with refused(DeliveryError):
        await publish(channel, PREFIX + "nowhere", b"back")


@with_channel
async def prefetch(channel):
    name = await queue(channel)
    for n in range(10):
        await publish(channel, name.name, str(n).encode())
    await channel.set_qos(prefetch_count=3)
    got = []
    async with name.iterator() as messages:
        async for message in messages:
            got.append(message.body)
            if len(got) == 1:
                look = await channel.declare_queue(name.name, passive=True)
                assert look.declaration_result.message_count == 7
            await message.ack()
            if len(got) == 10:
                break
    assert got == [str(n).encode() for n in range(10)]


@with_channel
async def requeue(channel):
    name = await queue(channel)
    await publish(channel, name.name, b"x")
    message = await take(name)
    assert not message.redelivered
    await message.nack(requeue=True)
    message = await take(name)
    assert message.redelivered
    await message.ack()


@with_channel
async def dead_letter(channel):
    dead = await queue(channel)
    name = await queue(channel, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name})
    await publish(channel, name.name, b"x")
    await (await take(name)).reject(requeue=False)
    death = (await take(dead)).headers["x-death"][0]
    assert (death["count"], death["reason"], death["queue"]) == (1, "rejected", name.name), death


@with_channel
async def delayed(channel):
    exchange = await channel.declare_exchange(
        PREFIX + "later", ExchangeType.X_DELAYED_MESSAGE, auto_delete=True, arguments={"x-delayed-type": "direct"}
    )
    name = await queue(channel)
    await name.bind(exchange, "k")
    start = time.monotonic()
    await exchange.publish(Message(b"x", headers={"x-delay": 500}), "k")
    await take(name)
    assert time.monotonic() - start > 0.49


@with_channel
async def reply_to(channel):
    name = await queue(channel)
    answers = asyncio.Queue()
    replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await replies.consume(answers.put, no_ack=True)
    await publish(channel, name.name, b"question", reply_to="amq.rabbitmq.reply-to")
    question = await take(name)
    await channel.default_exchange.publish(Message(b"answer"), question.reply_to, mandatory=False)
    async with asyncio.timeout(180):
        assert (await answers.get()).body == b"answer"


@with_channel
async def big_body(channel):
    name = await queue(channel)
    await publish(channel, name.name, BIG)
    assert (await take(name)).body == BIG


@with_channel
async def server_close(channel):
    with refused(aiormq.exceptions.ChannelNotFoundEntity) as refusal:
        await channel.declare_queue(PREFIX + "nowhere", passive=True)
    assert "404" in str(refusal.error) or "NOT_FOUND" in str(refusal.error), refusal.error


async def closing():
    """Closes of both sides that cross leave the connection and its other channels alone.

    One for each connection: aiormq takes the answer to its own close for one to the channel that it opens next by the
    same number, and loses the connection by that, on RabbitMQ too.
    """
    for _ in range(50):
        connection = await aio_pika.connect(URL + "/")
        other, channel = await connection.channel(), await connection.channel(publisher_confirms=False)
        exchange = await channel.get_exchange(PREFIX + "nowhere", ensure=False)
        await exchange.publish(Message(b"x"), "")
        try:
            await channel.close()
        except aiormq.exceptions.ChannelClosed:
            pass
        await queue(other)
        assert not connection.is_closed
        await connection.close()


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
