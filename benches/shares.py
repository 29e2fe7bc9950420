#!/usr/bin/env python3
"""Where the broker's time goes, preset by preset: a flame graph's reading as a table.

    benches/shares.py --leveret target/release/leveret [--seconds 5] [--top 12] PRESET...

Samples the broker with `perf record` (linux-perf on Debian) while `leveret perf` loads it, and adds the samples up by what they were for:
in the kernel by the system call, in the program by the innermost function of this repository, which binutils' addr2line tells with
inlined ones. Shares hold on a busy machine, too. --top names functions instead.
"""

import argparse
import collections
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# The first that a call chain has, read from the inside, decides.
KERNEL = [
    ("page faults", ("asm_exc_page_fault",)),
    ("kernel: disk", ("sys_pwrite", "sys_fdatasync", "sys_fsync", "sys_fallocate", "sys_pread", "ext4_", "vfs_iter", "writeback")),
    ("kernel: send", ("sys_send", "sys_write")),
    ("kernel: receive", ("sys_recv", "sys_read")),
    ("kernel: wake-ups", ("sys_futex", "sys_epoll", "sys_eventfd", "schedule", "ret_from_fork")),
    ("kernel: memory", ("sys_madvise", "sys_mmap", "sys_munmap")),
]
OURS = [
    ("encode", r"crates/amqp091/src/wire/hot_out|crates/amqp091/src/session/(outbox|deliver|out)"),
    ("decode", r"crates/amqp091/src/wire/|crates/amqp091/src/session/(content|connection|publishing|channel)"),
    ("route", r"exchanges/|crates/broker/src/(publish|vhost|route)"),
    ("queue", r"queues/src/|crates/broker/src/(queue_handle|turn|consumer|paging)|crates/amqp091/src/session/"),
    ("message: made, cloned, dropped", r"crates/message/src/"),
    ("store", r"crates/store/src/"),
    ("net", r"src/net/"),
    ("other of ours", r"(src|crates|queues|exchanges)/"),
]
FOREIGN = [
    ("allocator", r"^(mi_|_mi_|malloc|free|realloc|calloc|__rust|<mimalloc)"),
    ("copies", r"^(__memmove|__memcpy|__memset|memcpy|memmove)"),
    ("store", r"crc32c|sled"),
    ("runtime", r"tokio|mio::|parking_lot|pthread|std::sync|__(send|recv|write)|epoll|syscall"),
]


def record(leveret, preset, seconds, folder, port):
    log = (folder / "broker").open("wb")
    address = f"127.0.0.1:{port}"
    broker = subprocess.Popen(
        [leveret, "serve", "--data-dir", folder / "data", "--amqp-listen", address, "--http-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
        stdout=log, stderr=log,
    )
    try:
        time.sleep(1)
        load = subprocess.Popen(
            [leveret, "perf", "--preset", preset, "--time", str(seconds + 2), "--quiet", "--url", f"amqp://guest:guest@{address}"],
            stdout=subprocess.PIPE, text=True,
        )
        # Beyond the warm-up, or at once where it is a count that ends it.
        time.sleep(0.2 if preset.startswith("fill") else 1.5)
        data = folder / "samples"
        subprocess.run(
            ["perf", "record", "-e", "cpu-clock", "-F", "1999", "-g", "-p", str(broker.pid), "-o", data, "--", "sleep", str(seconds)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )
        load.communicate()
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait()
    return subprocess.run(
        ["perf", "script", "-i", data, "-F", "ip,sym,dso"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout


def chains(text):
    """Each sample: (address, symbol, object) from the inside to the outside."""
    for sample in text.split("\n\n"):
        found = re.findall(r"^\s*([0-9a-f]+) (.*) \(([^()]*)\)$", sample, re.MULTILINE)
        if found:
            yield found


def load_offset(program):
    """What to add to an offset in the file to have the address that its debug information uses."""
    headers = subprocess.run(["readelf", "-lW", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    offset, address = re.search(r"LOAD\s+(0x[0-9a-f]+) (0x[0-9a-f]+) \S+ \S+ \S+ R E", headers).groups()
    return int(address, 16) - int(offset, 16)


def sources(program, offsets):
    """For each offset the functions and files there, inlined ones first."""
    offsets, shift = sorted(offsets), load_offset(program)
    asked = "".join(f"{offset + shift:#x}\n" for offset in offsets)
    said = subprocess.run(
        ["addr2line", "-e", program, "-a", "-f", "-i", "-C"], input=asked, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    blocks = re.split(r"^0x[0-9a-f]+\n", said, flags=re.MULTILINE)[1:]
    return {
        offset: list(zip(block.splitlines()[::2], block.splitlines()[1::2], strict=True))
        for offset, block in zip(offsets, blocks, strict=True)
    }


def first(groups, matches):
    return next((name for name, pattern in groups if matches(pattern)), None)


def classify(chain, program, known):
    """The group of a sample, and the function that it counts for."""
    address, symbol, where = chain[0]
    if where.startswith("[kernel") or where == "[guest.kernel.kallsyms]":
        names = [name for _, name, _ in chain]
        found = first(KERNEL, lambda words: any(word in name for name in names for word in words))
        return found or "kernel: other", symbol
    foreign = first(FOREIGN, lambda pattern: re.search(pattern, symbol))
    if where != program:
        return foreign or "libraries", symbol
    for function, place in known.get(int(address, 16), ()):
        path = re.search(r"(?:^|/)((?:exchanges|queues|crates/\w+)/src/\S+|src/(?:net|cli|management|main)\S*)", place)
        if path and "/.cargo/" not in place and "/rustc/" not in place:
            return first(OURS, lambda pattern: re.match(pattern, path[1])), f"{function} ({path[1].partition(':')[0]})"
    return foreign or "other", symbol


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leveret", required=True, help="a release build, whose line tables are in it")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--top", type=int, default=0, metavar="N")
    parser.add_argument("--port", type=int, default=24_020)
    parser.add_argument("presets", nargs="+", metavar="PRESET")
    options = parser.parse_args()
    for tool in ("perf", "addr2line", "readelf"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing")
    program = str(pathlib.Path(options.leveret).resolve())
    shares, tops = {}, {}
    for preset in options.presets:
        with tempfile.TemporaryDirectory(prefix="leveret-shares-") as folder:
            found = list(chains(record(program, preset, options.seconds, pathlib.Path(folder), options.port)))
        inside = {int(chain[0][0], 16) for chain in found if chain[0][2] == program}
        known = sources(program, inside)
        classified = [classify(chain, program, known) for chain in found]
        shares[preset] = collections.Counter(group for group, _ in classified)
        tops[preset] = collections.Counter(classified)
    groups = sorted({group for counted in shares.values() for group in counted}, key=lambda group: -sum(c[group] / c.total() for c in shares.values()))
    print(f"| share of the broker's time | {' | '.join(f'`{preset}`' for preset in shares)} |")
    print(f"|---|{'---|' * len(shares)}")
    for group in groups:
        print(f"| {group} | {' | '.join(f'{100 * counted[group] / counted.total():.0f} %' for counted in shares.values())} |")
    for preset, counted in tops.items() if options.top else ():
        print(f"\n{preset} ({counted.total()} samples)")
        for (group, function), samples in counted.most_common(options.top):
            print(f"  {100 * samples / counted.total():5.1f} %  {group:<17} {function}")


if __name__ == "__main__":
    main()
