"""Actors of the worker processes, which note what they did in the file that `NOTES` names."""

import os
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url=os.environ["AMQP_URL"], confirm_delivery=True))


@dramatiq.actor(queue_name="notes", max_retries=20, min_backoff=50, max_backoff=500)
def note(what, seconds=0.0):
    time.sleep(seconds)
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{what}\n")
