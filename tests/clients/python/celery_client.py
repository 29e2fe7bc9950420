"""A real Celery worker and a client."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from scenarios import run

HERE = pathlib.Path(__file__).parent
RESULTS = tempfile.TemporaryDirectory(prefix="celery-results-")
os.environ["CELERY_RESULTS"] = "file://" + RESULTS.name

import celery_app  # noqa: E402  (it reads CELERY_RESULTS)


@contextlib.contextmanager
def worker():
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-l", "WARNING", "-P", "threads", "--without-mingle"]
    process = subprocess.Popen(command, cwd=HERE)
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0, "the worker does not stop cleanly"
    finally:
        process.kill()
        process.wait()


def tasks():
    with worker():
        results = [celery_app.add.delay(n, n) for n in range(20)]
        assert [r.get(timeout=180) for r in results] == [2 * n for n in range(20)]


def countdown():
    """Tasks that wait for their time are held by the worker, which asks for more meanwhile: they stall no others."""
    with worker():
        assert celery_app.add.delay(1, 1).get(timeout=30) == 2
        later = [celery_app.add.apply_async((n, n), countdown=8) for n in range(20)]
        assert celery_app.add.delay(2, 2).get(timeout=6) == 4, "a plain task waits for those with a countdown"
        assert not any(result.ready() for result in later)
        assert [result.get(timeout=60) for result in later] == [2 * n for n in range(20)]


def retry():
    with worker():
        assert celery_app.third_time.delay().get(timeout=180) == 2


def chord():
    from celery import chord

    with worker():
        result = chord(celery_app.add.s(n, 1) for n in range(10))(celery_app.total.s())
        assert result.get(timeout=180) == 55


def priority():
    results = [celery_app.add.apply_async((n, n), queue="celery-urgent", priority=n) for n in (1, 9)]
    with worker():
        assert [r.get(timeout=180) for r in results] == [2, 18]


if __name__ == "__main__":
    run({"celery-tasks": tasks, "celery-countdown": countdown, "celery-retry": retry, "celery-chord": chord, "celery-priority": priority})
