"""A Celery application: plain tasks, a retry with a countdown, a chord, a priority queue."""

import os

from celery import Celery
from kombu import Queue

app = Celery("leveret", broker=os.environ["AMQP_URL"] + "//", backend=os.environ["CELERY_RESULTS"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue="celery-default",
    task_queues=[
        Queue("celery-default", routing_key="celery-default"),
        Queue("celery-urgent", routing_key="celery-urgent", queue_arguments={"x-max-priority": 10}),
    ],
    task_create_missing_queues=False,
    worker_prefetch_multiplier=1,
)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.3)
    return self.request.retries
