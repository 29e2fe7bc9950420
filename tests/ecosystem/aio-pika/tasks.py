"""Taskiq's tasks, which note what they did in the file that `NOTES` names."""

import asyncio
import os
import time

from taskiq import SimpleRetryMiddleware
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

plain = AioPikaBroker(os.environ["AMQP_URL"], reconnect_interval=0.5, exchange=Exchange(name="plain"), task_queues=[Queue(name="plain")],
                      delay_queue=Queue(name="plain.delay")).with_middlewares(SimpleRetryMiddleware(default_retry_count=3))
postponing = AioPikaBroker(os.environ["AMQP_URL"], reconnect_interval=0.5, exchange=Exchange(name="postponing"), task_queues=[Queue(name="postponing")],
                           delayed_message_exchange_plugin=True)


def write(what):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{what} {time.time()}\n")


@plain.task
async def note(what, seconds=0.0):
    await asyncio.sleep(seconds)
    write(what)


@plain.task(retry_on_error=True, max_retries=3)
async def fails(what):
    write(what)
    raise RuntimeError("on purpose")


@postponing.task
async def note_later(what):
    write(what)
