"""Takes one message from the queue and acknowledges it."""

import os

import pika

url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")
connection = pika.BlockingConnection(pika.URLParameters(url + "/%2F"))
channel = connection.channel()
channel.queue_declare("hello", durable=True)
for method, _properties, body in channel.consume("hello"):
    print(body.decode())
    channel.basic_ack(method.delivery_tag)
    break
connection.close()
