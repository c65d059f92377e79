#!/usr/bin/env python3
"""Measures what scripts/plot.py draws, on loopback, and keeps the value of every run.

Three files come of it, in the directory --out:
  hub-load.json             a hub with --clients clients, each sending --rate messages a second
  throughput-by-size.json   two peers, messages of --sizes bytes
  throughput-by-rtt.json    two peers over an emulated network of --net-rate Mbit/s and --rtts ms
"""

import argparse
import json
import os
import pathlib
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time

EXAMPLES = """examples:
  cargo build --release && scripts/measure.py            # all, some 20 minutes; a quiet machine
  scripts/measure.py --only load --clients 10,100 --runs 5
  scripts/measure.py --binary target/debug/rover-rtc --out /tmp/try --runs 1 --seconds 1 \\
      --clients 2,4 --sizes 1200 --rtts 0,10             # a try, whose numbers mean nothing
  scripts/plot.py                                        # then
"""

DEFAULT_OUT = "docs/bench"
# Beside the seconds that are measured: to start, to connect, to warm up, to wait for stragglers.
PATIENCE_S = 60.0
CONNECT_S_PER_CLIENT = 0.1


class Failed(Exception):
    """A step did not come to its end."""


class Processes:
    """What has been started; all of it ends with the block, by its own id."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def start(self, command, **options):
        options.setdefault("stdout", subprocess.DEVNULL)
        environment = {**os.environ, "RUST_LOG": "error"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=environment, text=True, **options
        )
        self.running.append(process)
        return process


def line_with(process, start, seconds):
    """Waits for a line of output that starts so; returns the rest of it."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    until = time.monotonic() + seconds
    while True:
        try:
            line = lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise Failed(f"no line {start!r} within {seconds:.0f} s") from None
        if line is None:
            raise Failed(f"it ended without a line {start!r}")
        if line.startswith(start):
            return line[len(start):]


def load(binary, options, clients):
    """One run with a hub of its own; returns what `bench load` reports."""
    hub_command = [binary, "server", "--listen", "127.0.0.1:0", "--udp", "127.0.0.1:0"]
    with Processes() as processes:
        hub = processes.start(hub_command, stdout=subprocess.PIPE)
        address = line_with(hub, "Connect a browser to http://", 10)
        command = [binary, *load_arguments(options, clients)]
        command += ["--server", address, "--hub-pid", str(hub.pid)]
        patience = options.seconds + options.warm_up + PATIENCE_S + clients * CONNECT_S_PER_CLIENT
        bench = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = bench.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"bench load did not end within {patience:.0f} s") from None
        if not output:
            raise Failed(f"bench load: {errors.strip().splitlines()[-1:]}")
        return json.loads(output)


def load_arguments(options, clients):
    arguments = ["bench", "load", "--clients", str(clients), "--rate", str(options.rate)]
    times = ["--seconds", str(options.seconds), "--warm-up", str(options.warm_up)]
    return arguments + [*times, "--json"]


def throughput(binary, options, channel, size, net):
    """One run between two peers that find each other by files."""
    with tempfile.TemporaryDirectory() as directory, Processes() as processes:
        both = [*throughput_arguments(options, channel, size, net), "--dir", directory]
        for role in ["answer", "offer"]:
            processes.start([binary, "bench", role, *both], stderr=subprocess.DEVNULL)
        offer, answer = (
            result(pathlib.Path(directory, f"result_{role}.json"), processes, options.seconds)
            for role in ["offer", "answer"]
        )
    megabytes = answer["bytes"] / 1e6
    return {
        "mb_per_s": round(megabytes / answer["window_s"], 4),
        "messages_per_s": round(answer["msgs"] / answer["window_s"], 1),
        "cpu_s_per_gb": round((offer["cpu_s"] + answer["cpu_s"]) / max(megabytes, 1e-9) * 1e3, 2),
        "rtt_ms_under_load": offer["stats"].get("rtt_ms"),
    }


def throughput_arguments(options, channel, size, net):
    arguments = ["--mode", "throughput", "--bind", "127.0.0.1", "--channel", channel]
    return arguments + ["--size", str(size), "--seconds", str(options.seconds), *net]


def result(path, processes, seconds):
    until = time.monotonic() + seconds + PATIENCE_S
    while time.monotonic() < until:
        if path.exists():
            return json.loads(path.read_text())
        if any(process.poll() is not None for process in processes.running):
            raise Failed("an end has ended before its result was there")
        time.sleep(0.05)
    raise Failed(f"no {path.name} within {seconds + PATIENCE_S:.0f} s")


def repeat(options, what, run):
    """The values of all runs of one point."""
    values = []
    for number in range(options.runs):
        value = run()
        values.append(value)
        shown = {k: v for k, v in value.items() if k in SHOWN}
        print(f"{what}, run {number + 1} of {options.runs}: {shown}", file=sys.stderr, flush=True)
        if any(value.get(fault) for fault in ["lost", "repeated", "reordered", "unsent"]):
            print(f"  with losses: {value}", file=sys.stderr)
    return values


SHOWN = ["mb_per_s", "messages_per_s", "latency_us", "hub_cpu_us_per_message", "lost"]


def keep(options, name, commands, points):
    """Writes a file, whole or not at all."""
    version = subprocess.run(
        [options.binary, "--version"], capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
    machine = {"cores": os.cpu_count(), "system": platform.system(), "cpu": platform.machine()}
    content = {"machine": machine, "version": version, "commands": commands}
    content |= {"runs": options.runs, "points": points}
    path = pathlib.Path(options.out, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)
    print(f"wrote {path}", file=sys.stderr)


def words(*parts):
    return " ".join(["rover-rtc", *(str(part) for part in parts)])


def measure_load(options):
    points = []
    for clients in options.clients:
        runs = repeat(options, f"{clients} clients",
                      lambda: load(options.binary, options, clients))
        points.append({"clients": clients, "runs": runs})
    commands = [
        words("server", "--listen", "127.0.0.1:0", "--udp", "127.0.0.1:0"),
        words(*load_arguments(options, "N"), "--server", "ADDRESS", "--hub-pid", "PID"),
    ]
    keep(options, "hub-load.json", commands, points)


def measure_throughput(options, name, grid):
    """`grid` has a point's own fields, its size, and its network as arguments."""
    points = []
    for channel in options.channels:
        for fields, size, net in grid:
            what = f"{channel}, {fields}"
            runs = repeat(options, what, lambda: throughput(
                options.binary, options, channel, size, net))
            points.append({"channel": channel, **fields, "runs": runs})
    _, size, net = grid[-1]
    arguments = throughput_arguments(options, options.channels[-1], size, net)
    commands = [words("bench", role, *arguments, "--dir", "DIR") for role in ["answer", "offer"]]
    keep(options, name, commands + ["(the last point's)"], points)


def numbers(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--binary", default="target/release/rover-rtc", help="default: %(default)s")
    add("--out", default=DEFAULT_OUT, help="directory of the files; default: %(default)s")
    add("--only", choices=["load", "sizes", "rtts"], help="measure only this; default: all")
    add("--runs", type=int, default=3, help="of each point; default: %(default)s")
    add("--seconds", type=float, default=10.0, help="of each run; default: %(default)s")
    add("--warm-up", type=float, default=10.0, help="before each run of a hub; default: %(default)s")
    add("--clients", type=numbers(int), default=[10, 30, 100, 300, 1000], metavar="N,N,...")
    add("--rate", type=float, default=10.0, help="messages a second of each client")
    add("--sizes", type=numbers(int), default=[64, 256, 1200, 4096, 16384, 65536],
        metavar="BYTES,...")
    add("--rtts", type=numbers(float), default=[0, 1, 10, 50, 100, 200], metavar="MS,...")
    add("--net-rate", type=float, default=50.0, help="Mbit/s of the emulated network")
    add("--channels", type=lambda text: text.split(","), default=["reliable", "plain"],
        metavar="MODE,...", help="for throughput; default: reliable,plain")
    options = parser.parse_args()
    if options.runs < 1 or options.seconds <= 0:
        parser.error("--runs and --seconds must be above 0")
    if not os.access(options.binary, os.X_OK):
        parser.error(f"no program {options.binary}: cargo build --release, or --binary")
    if "debug" in pathlib.Path(options.binary).parts and options.out == DEFAULT_OUT:
        parser.error("numbers of a debug build are not for docs/bench: give another --out")
    sizes = [({"size": size}, size, []) for size in options.sizes]
    rtts = [
        ({"rtt_ms": rtt, "rate_mbit": options.net_rate}, 1200,
         # What a peer's outbox holds by default: the contract's 1 MiB is less than a long link.
         ["--net-delay", f"{rtt / 2:g}", "--net-rate", f"{options.net_rate:g}", "--buffer", "4096"])
        for rtt in options.rtts
    ]
    steps = {
        "load": lambda: measure_load(options),
        "sizes": lambda: measure_throughput(options, "throughput-by-size.json", sizes),
        "rtts": lambda: measure_throughput(options, "throughput-by-rtt.json", rtts),
    }
    try:
        for name, step in steps.items():
            if options.only in (None, name):
                step()
    except Failed as why:
        print(f"measure.py: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
