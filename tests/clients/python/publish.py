"""Publishes one persistent message and waits until the broker has it on disk."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")
connection = pika.BlockingConnection(pika.URLParameters(url + "/%2F"))
channel = connection.channel()
channel.confirm_delivery()
channel.queue_declare("hello", durable=True)
channel.basic_publish("", "hello", b"Hello, Leveret!", pika.BasicProperties(delivery_mode=2))
connection.close()
