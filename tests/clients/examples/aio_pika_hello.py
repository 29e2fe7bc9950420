"""Publishes and consumes one message with aio-pika."""

import asyncio
import os

import aio_pika


async def main():
    url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")
    connection = await aio_pika.connect_robust(url + "/")
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue("hello-aio-pika", durable=True)
        message = aio_pika.Message(b"Hello, Leveret!", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    print(message.body.decode())
                break


asyncio.run(main())
