"""Fixtures that Dramatiq's tests of RabbitMQ expect: its source archive has the tests without them."""

import os

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from pika.connection import Parameters

from .common import RABBITMQ_CREDENTIALS

# Some tests take the port for granted.
Parameters.DEFAULT_PORT = int(os.environ["AMQP_PORT"])


def tell_the_runner(command):
    """Stands for the shell that stops and starts the broker."""
    wanted = {"rabbitmqctl stop_app": "broker stop", "rabbitmqctl start_app": "broker start"}[command]
    print(f"\n{wanted}", flush=True)
    assert input() == "done"


os.system = tell_the_runner


@pytest.fixture
def rabbitmq_broker():
    broker = RabbitmqBroker(host="127.0.0.1", max_priority=10, credentials=RABBITMQ_CREDENTIALS)
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    yield broker
    broker.flush_all()
    broker.close()


@pytest.fixture
def rabbitmq_worker(rabbitmq_broker):
    worker = dramatiq.Worker(rabbitmq_broker, worker_threads=32)
    worker.start()
    yield worker
    worker.stop()


def pytest_runtest_logreport(report):
    name = f"theirs: {report.nodeid.partition('::')[2]}"
    if report.failed:
        print(f"\nFAIL {name}: {report.when}: {str(report.longrepr).splitlines()[-1]}\n{report.longrepr}", flush=True)
    elif report.when == "call":
        print(f"\nok {name}", flush=True)
