"""Publishes and consumes one message with kombu, which Celery stands on."""

import os

from kombu import Connection

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")
with Connection(url + "//", transport_options={"confirm_publish": True}) as connection:
    with connection.SimpleQueue("hello-kombu") as queue:
        queue.put("Hello, Leveret!")
        message = queue.get(timeout=10)
        print(message.payload)
        message.ack()
