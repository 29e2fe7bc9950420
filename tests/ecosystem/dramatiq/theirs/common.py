"""What Dramatiq's tests import from a module that its source archive does not hold."""

import pika
import pytest

RABBITMQ_USERNAME = RABBITMQ_PASSWORD = "guest"
RABBITMQ_CREDENTIALS = pika.credentials.PlainCredentials(RABBITMQ_USERNAME, RABBITMQ_PASSWORD)
skip_unless_rabbit_mq = pytest.mark.skipif(False, reason="there is a broker")
