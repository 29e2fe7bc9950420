#!/usr/bin/env python3
"""Leveret beside RabbitMQ, and beside a bare relay of frames: every preset of `leveret perf`, interleaved, as a Markdown table.

    benches/compare.py --leveret target/release/leveret --relay --json results.json --into docs/performance.md

For each preset both brokers are started with fresh folders, measured in turn for --rounds rounds, and stopped; while one is
measured the other stands still (SIGSTOP). Presets of idle things get fresh brokers in each round, as memory is not given back
evenly. RabbitMQ is the one that is installed, with its defaults, no plugins, and all names, folders and ports of its own.
Needs Linux; nothing but the standard library.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
START, END = "<!-- measured by benches/compare.py -->", "<!-- end of what was measured -->"
LEVERET, RABBITMQ, RELAY = "leveret", "rabbitmq", "relay"
NAMES = {LEVERET: "Leveret", RABBITMQ: "RabbitMQ", RELAY: "relay"}
# How long a broker may take to start or to stop, in seconds.
PATIENCE = 60
# What the relay can do: it has one kind of exchange, no store, and one consumer for a queue.
RELAYED = ("transient-", "ack1-", "ack100-", "confirm-")


class Failed(Exception):
    """A broker did not start."""


class Contestant:
    """A process that is measured."""

    def __init__(self, folder, port):
        self.folder, self.port = pathlib.Path(folder), port
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "output"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, start_new_session=True,
            )
        try:
            self.wait_until_it_speaks()
            self.pid = self.find_pid()
        except BaseException:
            self.stop()
            raise

    def environment(self):
        return os.environ

    def find_pid(self):
        return self.process.pid

    def wait_until_it_speaks(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                    link.sendall(b"AMQP\0\0\x09\x01")
                    if link.recv(1) == b"\x01":
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise Failed(f"it did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def freeze(self, frozen):
        os.kill(self.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def stop(self):
        """Ends all of its session, in peace if that is quick."""
        for sign in (signal.SIGCONT, signal.SIGTERM):
            self.signal(sign)
        try:
            self.process.wait(PATIENCE / 2)
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        """Ends it as a power cut would end the process; the folder stays for the next of this kind."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, sign):
        try:
            os.killpg(self.process.pid, sign)
        except ProcessLookupError:
            pass


class Leveret(Contestant):
    binary, more = None, ()

    def command(self):
        return [
            self.binary, "serve", "--data-dir", str(self.folder / "data"), "--amqp-listen", f"127.0.0.1:{self.port}",
            "--http-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *self.more,
        ]


class Relay(Leveret):
    def command(self):
        return [self.binary, "perf", "--relay", f"127.0.0.1:{self.port}"]


class RabbitMq(Contestant):
    # Beside the command in the path, which on Debian changes the user, lies the one that does not.
    programs = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")

    @classmethod
    def program(cls):
        return next(filter(None, map(shutil.which, cls.programs)), None)

    def command(self):
        (self.folder / "enabled_plugins").write_text("[].")
        return [self.program()]

    def environment(self):
        folder = str(self.folder)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": folder,
            "ERL_EPMD_PORT": str(self.port + 1),
            "RABBITMQ_DIST_PORT": str(self.port + 2),
            "RABBITMQ_NODENAME": f"compare-{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/generated",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
        }

    def find_pid(self):
        """The virtual machine, which the command's shell has started."""
        for entry in pathlib.Path("/proc").iterdir():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            if name == "beam.smp" and int(fields[3]) == self.process.pid:
                return int(entry.name)
        raise Failed("there is no beam.smp")

    def stop(self):
        super().stop()
        # The port mapper makes itself independent of who starts it; this one is at a port of ours.
        subprocess.run(
            ["epmd", "-port", str(self.port + 1), "-kill"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )


KINDS = {LEVERET: Leveret, RABBITMQ: RabbitMq, RELAY: Relay}


class Field:
    """All contestants of a preset."""

    def __init__(self, options, folder):
        self.options, self.folder, self.running, self.started = options, folder, {}, 0

    def start(self, who):
        self.started += 1
        port = self.options.port + {LEVERET: 0, RELAY: 1, RABBITMQ: 10}[who]
        self.running[who] = KINDS[who](pathlib.Path(self.folder) / f"{who}-{self.started}", port)

    def stop(self, who):
        if who in self.running:
            self.running.pop(who).stop()

    def stop_all(self):
        for who in list(self.running):
            self.stop(who)

    def measure(self, who, preset):
        """One run: what `leveret perf` found, or why there is nothing."""
        try:
            if who not in self.running:
                self.start(who)
        except Failed as why:
            return {"failed": str(why)}
        for other, contestant in self.running.items():
            contestant.freeze(other != who)
        contestant = self.running[who]
        result = pathlib.Path(self.folder) / "result.json"
        result.unlink(missing_ok=True)
        command = [
            self.options.leveret, "perf", "--preset", preset, "--time", str(self.options.time), "--quiet", "--url",
            f"amqp://guest:guest@127.0.0.1:{contestant.port}", "--broker-pid", str(contestant.pid), "--json", str(result),
        ]
        if who == RABBITMQ and preset == "idle-queues":
            command += ["--idle", str(self.options.rabbitmq_idle_queues)]
        try:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=self.options.limit)
        except subprocess.TimeoutExpired:
            self.stop(who)
            return {"failed": f"not finished in {self.options.limit} s"}
        if done.returncode or not result.exists():
            self.stop(who)
            return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"}
        return json.loads(result.read_text())


def presets(leveret):
    said = subprocess.run([leveret, "perf", "--list-presets"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(line.split(maxsplit=1) for line in said.splitlines())


def contestants(preset, options):
    relayed = options.relay and preset.startswith(RELAYED)
    return [LEVERET] + ([] if options.no_rabbitmq else [RABBITMQ]) + ([RELAY] if relayed else [])


def measure_all(names, options, results):
    """Fills `results`, which is written after each preset: a run that is stopped is not lost."""
    with tempfile.TemporaryDirectory(prefix="leveret-compare-", dir=options.folder) as folder:
        field = Field(options, folder)
        began = time.monotonic()
        try:
            for number, preset in enumerate(names, 1):
                runs = results["presets"][preset] = {who: [] for who in contestants(preset, options)}
                for round_number in range(options.rounds):
                    for who in runs:
                        if any("failed" in run for run in runs[who]):
                            continue
                        runs[who].append(field.measure(who, preset))
                        shown = summary(runs[who][-1])
                        minutes = (time.monotonic() - began) / 60
                        print(
                            f"{minutes:5.1f} min  {number}/{len(names)}  {preset}  round {round_number + 1}  {NAMES[who]}: {shown}",
                            file=sys.stderr, flush=True,
                        )
                    if preset.startswith("idle-"):
                        field.stop_all()
                field.stop_all()
                if options.json:
                    pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
        finally:
            field.stop_all()


def summary(run):
    if "failed" in run:
        return run["failed"]
    phases = []
    for phase in run["phases"]:
        operations = phase["operations"]
        rate = operations["per_second"] if operations else rate_of(phase)
        each = f", {operations['bytes_each']:,.0f} bytes each" if operations and operations["bytes_each"] else ""
        phases.append(f"{phase['name']} {rate:,.0f}/s{each}, {phase['broker']['cpu_us_per_message']:.2f} us")
    return "; ".join(phases)


def about_the_machine(options):
    def said(*command):
        try:
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, cwd=ROOT).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    cpu = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu,
        "memory_gib": round(memory, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": said("findmnt", "-no", "FSTYPE", "-T", options.folder or tempfile.gettempdir()),
        "commit": said("git", "rev-parse", "--short", "HEAD"),
        "leveret": said(options.leveret, "--version").partition("\n")[0],
        "erlang": said("erl", "-noshell", "-eval", 'io:format("~s", [erlang:system_info(otp_release)]), halt().'),
        "rounds": options.rounds,
        "seconds": options.time,
        "limit": options.limit,
        "command": shlex.join(["benches/compare.py", *sys.argv[1:]]),
    }


def rate_of(phase):
    return phase["confirmed_per_second"] if phase["name"] == "fill" else phase["received_per_second"]


def spread(values, show):
    """Median, and least and most if there are several."""
    middle = show(statistics.median(values))
    return middle if len(values) < 2 else f"{middle} ({show(min(values))}-{show(max(values))})"


def count(number):
    return f"{float(f'{number:.3g}'):,.0f}"


def small(number):
    return f"{number:.2f}" if number < 10 else f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def mebibytes(number):
    return f"{number / 2**20:,.0f}"


def milliseconds(microseconds):
    return f"{microseconds / 1000:.2f}" if microseconds < 10_000 else f"{microseconds / 1000:,.0f}"


class Runs:
    """One contestant's runs of a preset, one phase of each."""

    def __init__(self, runs, phase=0):
        self.failed = next((run["failed"] for run in runs if "failed" in run), None)
        self.phases = [] if self.failed else [run["phases"][phase] for run in runs]
        self.settings = None if self.failed or not runs else runs[0]["settings"]
        if not self.phases and not self.failed:
            self.failed = "-"

    def values(self, of):
        return [of(phase) for phase in self.phases]

    def cell(self, of, show):
        if self.failed:
            return self.failed.splitlines()[0][:60]
        values = self.values(of)
        return "-" if any(value is None for value in values) else spread(values, show)

    def middle(self, of):
        return statistics.median(self.values(of)) if self.phases else None

    def percentiles(self, of, names):
        found = [of(phase) for phase in self.phases]
        if self.failed or any(each is None for each in found):
            return self.failed or "-"
        return " / ".join(milliseconds(statistics.median(each[name] for each in found)) for name in names)


def cpu(phase):
    return phase["broker"]["cpu_us_per_message"]


def peak(phase):
    return phase["broker"]["rss_peak_bytes"]


def times(ours, theirs, of, less_is_better=False):
    """How many times better; `None` without two figures."""
    ours, theirs = ours.middle(of), theirs.middle(of)
    if not ours or not theirs:
        return None
    return theirs / ours if less_is_better else ours / theirs


def factor(number):
    return "-" if number is None else f"{number:.1f}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def rows_of(results):
    """(preset, name of the row, {contestant: Runs}) for each phase of each preset that carries messages."""
    for preset, runs in results["presets"].items():
        if preset.startswith(("idle-", "churn-")):
            continue
        phases = ("fill", "drain") if preset.startswith("fill-drain") else (None,)
        for index, phase in enumerate(phases):
            by = {who: Runs(runs.get(who, []), index) for who in KINDS}
            yield preset, f"`{preset}`{f', {phase}' if phase else ''}", by


def messages_table(results):
    rows, behind = [], []
    for preset, name, by in rows_of(results):
        ours, theirs, relay = by[LEVERET], by[RABBITMQ], by[RELAY]
        faster, cheaper = times(ours, theirs, rate_of), times(ours, theirs, cpu, less_is_better=True)
        paced = preset.startswith("latency-") or preset == "requeue-loop"
        bare = "" if RELAY not in results["presets"][preset] else f"{relay.cell(rate_of, count)}; {relay.cell(cpu, small)}"
        rows.append([
            name, ours.cell(rate_of, count), theirs.cell(rate_of, count), "paced" if paced else factor(faster),
            ours.cell(cpu, small), theirs.cell(cpu, small), factor(cheaper),
            ours.cell(peak, mebibytes), theirs.cell(peak, mebibytes), bare,
        ])
        slow = not paced and faster is not None and faster < 5
        if slow or (cheaper is not None and cheaper < 5):
            behind.append(f"{name} ({'' if paced else f'{factor(faster)} x the rate, '}1/{factor(cheaper)} the CPU)")
    head = [
        "preset", "Leveret, messages/s", "RabbitMQ, messages/s", "x", "Leveret, CPU us each", "RabbitMQ, CPU us each", "1/x",
        "Leveret, peak MiB", "RabbitMQ, peak MiB", "bare relay: messages/s; CPU us each",
    ]
    return table(head, rows), behind


def latency_table(results):
    rows = []
    for preset, _, by in rows_of(results):
        if preset.startswith(("latency-", "requeue-")):
            what, of = "publish to arrival", lambda phase: phase["end_to_end_latency_us"]
        elif preset.startswith("confirm-"):
            what, of = "publish to confirm", lambda phase: phase["confirm_latency_us"]
        else:
            continue
        shown = [by[who].percentiles(of, ("p50", "p99", "p99.9")) for who in KINDS]
        rows.append([f"`{preset}`", what, *(shown if RELAY in results["presets"][preset] else shown[:2] + [""])])
    return rows and table(["preset", "from", "Leveret", "RabbitMQ", "bare relay"], rows)


def things_table(results):
    rows = []
    for preset, runs in results["presets"].items():
        if not preset.startswith(("idle-", "churn-")):
            continue
        ours, theirs = Runs(runs.get(LEVERET, [])), Runs(runs.get(RABBITMQ, []))
        if preset.startswith("idle-"):
            what, show, less = "bytes each", count, True
            of = lambda phase: phase["operations"]["bytes_each"]
        else:
            what, show, less = "per second", count, False
            of = lambda phase: phase["operations"]["per_second"]
        name = f"`{preset}`"
        idle = {side.settings["idle"] for side in (ours, theirs) if side.settings}
        if preset.startswith("idle-") and len(idle) > 1:
            name += f" ({ours.settings['idle']:,}; RabbitMQ {theirs.settings['idle']:,})"
        rows.append([
            name, what, ours.cell(of, show), theirs.cell(of, show), factor(times(ours, theirs, of, less)),
            ours.cell(cpu, small), theirs.cell(cpu, small), ours.cell(peak, mebibytes), theirs.cell(peak, mebibytes),
        ])
    head = [
        "preset", "what", "Leveret", "RabbitMQ", "times better", "Leveret, CPU us each", "RabbitMQ, CPU us each", "Leveret, peak MiB",
        "RabbitMQ, peak MiB",
    ]
    return rows and table(head, rows)


def render(results):
    about = results["about"]
    versions = {
        f"{run['broker']['product']} {run['broker']['version']}".strip()
        for runs in results["presets"].values() for who in (RABBITMQ,) for run in runs.get(who, []) if "broker" in run
    }
    erlang = f" (Erlang {about['erlang']})" if about["erlang"] else ""
    rabbitmq = "".join(f" and {version}{erlang}" for version in sorted(versions))
    text = (
        f"{about['date']}: {about['leveret']} ({about['commit']}){rabbitmq}; {about['cores']} cores for all, {about['cpu']}, "
        f"{about['memory_gib']} GiB, {about['kernel']}, {about['file_system'] or 'file system unknown'}. "
        f"{about['rounds']} rounds of {about['seconds']} s; median (least-most).\n\n"
        f"<!-- not run: it takes half an hour and a quiet machine -->\n```sh\n{about['command']}\n```\n\n"
    )
    messages, behind = messages_table(results)
    text += messages
    latencies, things = latency_table(results), things_table(results)
    if latencies:
        text += f"\nLatency in milliseconds, p50 / p99 / p99.9 (medians of the rounds):\n\n{latencies}"
    if things:
        text += f"\nThings that exist or come and go:\n\n{things}"
    if behind:
        text += f"\nUnder five times the rate, or over a fifth of the CPU: {'; '.join(behind)}.\n"
    return text


def put(text, path):
    """Puts the tables between the two marks of a document."""
    path = pathlib.Path(path)
    document = path.read_text()
    if START not in document or END not in document:
        sys.exit(f"{path} has no place for the table: {START} and {END}")
    head, rest = document.split(START, 1)
    path.write_text(f"{head}{START}\n{text}{END}{rest.split(END, 1)[1]}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leveret", default=str(ROOT / "target/release/leveret"), help="the program, a release build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--time", type=int, default=5, help="seconds of each run")
    parser.add_argument("--only", nargs="+", metavar="PRESET")
    parser.add_argument("--relay", action="store_true", help="a bare relay as a third, where it can")
    parser.add_argument("--no-rabbitmq", action="store_true")
    parser.add_argument("--limit", type=int, default=120, help="seconds that a run may take; then it is 'not finished'")
    parser.add_argument("--rabbitmq-idle-queues", type=int, default=10_000, help="where Leveret has the preset's 100,000")
    parser.add_argument("--port", type=int, default=24_000, help="the first of 13")
    parser.add_argument("--folder", help="where the brokers keep their data; a temporary folder is made in it")
    parser.add_argument("--json", metavar="FILE", help="all that was found")
    parser.add_argument("--from", dest="before", metavar="FILE", help="start with that; measure what --only names again, or nothing")
    parser.add_argument("--into", metavar="FILE", help="a document with marks for the tables; without, they are printed")
    return parser.parse_args()


def main():
    options = parse()
    options.leveret = str(pathlib.Path(options.leveret).resolve())
    results = {"about": None, "presets": {}}
    if options.before:
        results = json.loads(pathlib.Path(options.before).read_text())
    if not options.before or options.only:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        Leveret.binary = options.leveret
        if not options.no_rabbitmq and RabbitMq.program() is None:
            sys.exit("RabbitMQ is not installed (Debian: rabbitmq-server); --no-rabbitmq goes without")
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        known = presets(options.leveret)
        unknown = set(options.only or ()) - set(known)
        if unknown:
            sys.exit(f"no such preset: {', '.join(sorted(unknown))}")
        results["about"] = results["about"] or about_the_machine(options)
        measure_all([name for name in known if name in (options.only or known)], options, results)
        results["presets"] = {name: results["presets"][name] for name in known if name in results["presets"]}
    text = render(results)
    if options.into:
        put(text, options.into)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
