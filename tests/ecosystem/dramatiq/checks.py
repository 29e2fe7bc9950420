"""What an application on Dramatiq relies on. `checks.py THEIR_TESTS [CHECK..]`"""

import collections
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import StubBackend

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 120
CHECKS = []


def check(function):
    CHECKS.append((function.__name__.replace("_", "-"), function))
    return function


def wait_for(condition, what):
    late = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < late, f"still not {what()}"
        time.sleep(0.05)


def ask_the_runner(what):
    print(f"broker {what}", flush=True)
    assert input() == "done"


class Local:
    """A broker and a worker in this process, with actors of their own."""

    def __init__(self, threads=4, **options):
        self.broker = RabbitmqBroker(url=os.environ["AMQP_URL"], confirm_delivery=True, **options)
        self.worker = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=100)

    def actor(self, function, **options):
        # A queue for each, so that no check finds what another one left.
        return dramatiq.actor(function, broker=self.broker, queue_name=function.__name__, **options)

    def __enter__(self):
        self.broker.emit_after("process_boot")
        return self

    def __exit__(self, *_):
        self.worker.stop()
        self.broker.close()

    def dead(self, actor):
        return self.broker.get_queue_message_counts(actor.queue_name)[2]


class Workers:
    """`dramatiq actors` as a service manager runs it."""

    def __init__(self, notes):
        self.notes = notes
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).with_name("dramatiq"), "actors", "--path", str(HERE), "--processes", "2", "--threads", "4"],
            env={**os.environ, "NOTES": str(self.notes)}, stdin=subprocess.DEVNULL, stdout=sys.stdout, stderr=subprocess.STDOUT, start_new_session=True,
        )

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)

    def done(self):
        return collections.Counter(self.notes.read_text().split()) if self.notes.exists() else collections.Counter()

    def wait_for(self, wanted):
        wait_for(lambda: wanted <= set(self.done()), lambda: f"all done: {len(wanted - set(self.done()))} of {len(wanted)} are missing")


def with_workers(act):
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(pathlib.Path(folder) / "notes")
        os.environ["NOTES"] = str(workers.notes)
        import actors

        try:
            act(workers, actors.note)
            workers.stop()
        finally:
            workers.process.kill()


@check
def thousand_messages_each_done_once():
    def act(workers, note):
        for number in range(1000):
            note.send(f"m{number}")
        workers.wait_for({f"m{number}" for number in range(1000)})
        assert set(workers.done().values()) == {1}, "some were done twice"

    with_workers(act)


@check
def killed_workers_lose_nothing():
    def act(workers, note):
        for number in range(200):
            note.send(f"m{number}", 0.02)
        wait_for(lambda: len(workers.done()) > 20, lambda: "begun")
        workers.kill()
        assert len(workers.done()) < 200, "all was done before the kill"
        workers.start()
        workers.wait_for({f"m{number}" for number in range(200)})

    with_workers(act)


@check
def killed_broker_loses_nothing():
    def act(workers, note):
        sent = set()
        for number in range(1000):
            if number == 500:
                ask_the_runner("kill")
                ask_the_runner("start")
            note.send(f"m{number}")
            sent.add(f"m{number}")
        workers.wait_for(sent)

    with_workers(act)


@check
def failures_are_retried_with_backoff():
    attempts = []

    def fails_thrice():
        attempts.append(time.monotonic())
        if len(attempts) < 4:
            raise RuntimeError("not yet")

    with Local() as local:
        actor = local.actor(fails_thrice, min_backoff=100, max_backoff=10_000)
        local.worker.start()
        actor.send()
        wait_for(lambda: len(attempts) == 4, lambda: f"attempted 4 times but {len(attempts)}")
        # From once to twice the back-off, which doubles each time.
        for earlier, later, least in zip(attempts, attempts[1:], (0.1, 0.2, 0.4)):
            assert later - earlier >= least, f"retried after {later - earlier} s, not {least}"
        local.broker.join(actor.queue_name)
        assert local.dead(actor) == 0


@check
def retries_that_run_out_are_dead_letters():
    attempts = []

    def always_fails():
        attempts.append(1)
        raise RuntimeError("never")

    with Local() as local:
        actor = local.actor(always_fails, max_retries=2, min_backoff=10, max_backoff=20)
        local.worker.start()
        actor.send()
        wait_for(lambda: local.dead(actor) == 1, lambda: "a dead letter")
        assert len(attempts) == 3


@check
def delays_end_in_their_own_order():
    done, begun = [], time.monotonic()

    def delayed(milliseconds):
        done.append((milliseconds, (time.monotonic() - begun) * 1000))

    with Local() as local:
        actor = local.actor(delayed)
        local.worker.start()
        for delay in (2000, 500, 1000):
            actor.send_with_options(args=(delay,), delay=delay)
        wait_for(lambda: len(done) == 3, lambda: "all done")
        assert [delay for delay, _ in done] == [500, 1000, 2000]
        assert all(at >= delay for delay, at in done), done


@check
def old_messages_are_skipped():
    done = []

    def aged():
        done.append(1)

    with Local() as local:
        actor = local.actor(aged, max_age=200)
        actor.send()
        time.sleep(0.3)
        local.worker.start()
        wait_for(lambda: local.dead(actor) == 1, lambda: "a dead letter")
        assert not done
        actor.send()
        wait_for(lambda: done, lambda: "done while fresh")


@check
def higher_priorities_come_first():
    done = []

    def ranked(priority):
        done.append(priority)

    with Local(threads=1, max_priority=10) as local:
        actor = local.actor(ranked)
        local.worker.queue_prefetch = 1
        for priority in (3, 0, 9, 5):
            actor.send_with_options(args=(priority,), broker_priority=priority)
        local.worker.start()
        wait_for(lambda: len(done) == 4, lambda: "all done")
        assert done == [9, 5, 3, 0], done


@check
def rate_limit_holds_back():
    running, most, done = [], [], []
    limiter = ConcurrentRateLimiter(StubBackend(), "two-at-once", limit=2)

    def limited(number):
        with limiter.acquire():
            running.append(number)
            most.append(len(running))
            time.sleep(0.05)
            running.remove(number)
        done.append(number)

    with Local(threads=8) as local:
        actor = local.actor(limited, max_retries=1000, min_backoff=20, max_backoff=60)
        local.worker.start()
        for number in range(20):
            actor.send(number)
        wait_for(lambda: len(done) == 20, lambda: f"all done but {len(done)}")
        assert max(most) <= 2 and sorted(done) == list(range(20))


@check
def pipelines_pass_results_on():
    done = []

    with Local() as local:
        def doubled(number):
            return number * 2

        def kept(number):
            done.append(number)

        first, last = local.actor(doubled), local.actor(kept)
        local.worker.start()
        (first.message(5) | first.message() | last.message()).run()
        wait_for(lambda: done, lambda: "through")
        assert done == [20]


def theirs(tests):
    """Dramatiq's tests of its RabbitMQ broker, as a package with the fixtures that they need."""
    with tempfile.TemporaryDirectory() as folder:
        package = shutil.copytree(HERE / "theirs", pathlib.Path(folder) / "theirs", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(tests, package)
        (package / "__init__.py").touch()
        # Uncaptured: lines between this program and its runner pass through here.
        return pytest.main(["-s", "-q", "--rootdir", folder, "-p", "no:cacheprovider", str(package)])


def main():
    tests, wanted = sys.argv[1], sys.argv[2:]
    for name, act in CHECKS:
        if wanted and name not in wanted:
            continue
        try:
            act()
            print(f"ok {name}", flush=True)
        except Exception as why:  # noqa: BLE001
            traceback.print_exc()
            print(f"FAIL {name}: {type(why).__name__}: {why}", flush=True)
    if not wanted or "theirs" in wanted:
        # A code above 1 says that it did not run.
        return max(0, int(theirs(tests)) - 1)


if __name__ == "__main__":
    sys.exit(main())
