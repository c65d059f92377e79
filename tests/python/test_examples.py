"""The examples, run as they are: programs that meet at a hub in this process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rover_rtc
from rover_rtc import sync

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "python"
STAND_INS = Path(__file__).resolve().parent / "stand_ins"
PATIENCE = 30.0
ALL = ["bench", "camera_events", "ros2_bridge", "telemetry", "teleop"]


class Program:
    """An example in a process of its own, with what it has printed so far."""

    def __init__(self, name: str, *arguments: str, stdin: Any = subprocess.DEVNULL, **env: str):
        paths = [str(Path(rover_rtc.__file__).parents[1]), str(STAND_INS)]
        self.process = subprocess.Popen(
            # A warning is a mistake here, such as a peer that nobody has closed.
            [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **env},
        )
        self._text = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._text += line
                self._news.notify_all()

    @property
    def text(self) -> str:
        return self._text.decode()

    def prints(self, pattern: str) -> re.Match[str]:
        """Waits for a line."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while (found := re.search(pattern, self.text)) is None:
                left = end - time.monotonic()
                assert left > 0, f"no {pattern!r} in:\n{self.text}"
                self._news.wait(min(left, 1))
        return found

    def ends(self, number: int | None = None) -> str:
        """Asks for an end, if a signal is given, and waits for it."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.text}") from None
        self._reader.join(PATIENCE)
        assert code == 0, self.text
        assert "Traceback" not in self.text and "Warning" not in self.text, self.text
        return self.text

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Stage:
    """A hub, and programs that are gone at the end."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.programs: list[Program] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.hub: sync.Server | None = None
        self.open_hub()

    def open_hub(self) -> None:
        self.hub = sync.serve(self.address, udp=["127.0.0.1:0"])

    def close_hub(self) -> None:
        if self.hub is not None:
            self.hub.close()

    def start(self, name: str, *arguments: str, **more: Any) -> Program:
        given = [*arguments, "--server", self.address, "--bind", "127.0.0.1"]
        return self.keep(Program(name, *given, XDG_STATE_HOME=str(self.state), **more))

    def keep(self, program: Program) -> Program:
        self.programs.append(program)
        return program


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "state")
    try:
        yield stage
    finally:
        for program in stage.programs:
            program.kill()
        stage.close_hub()


@pytest.mark.parametrize("name", ALL)
def test_help_has_examples(name: str) -> None:
    if name == "camera_events":
        pytest.importorskip("numpy")
    program = Program(name, "--help")
    try:
        text = program.ends()
    finally:
        program.kill()
    assert f"  {name}.py" in text and "examples" in text, text


def test_telemetry_survives_a_hub_and_a_station_that_are_restarted(stage: Stage) -> None:
    station = stage.start("telemetry", "--name", "station")
    rover = stage.start("telemetry", "--name", "r", "--peer", "station", "--rate", "100")
    station.prints(r"r: x=\S+ y=\S+, [1-9]\d* lines so far")

    # Without the hub the two go on by themselves.
    stage.close_hub()
    before = len(re.findall("lines so far", station.text))
    station.prints("(?s)" + "lines so far.*" * (before + 2))
    stage.open_hub()

    assert ", 0 missing" in station.ends(signal.SIGTERM)
    rover.prints("station: station said good-bye")
    again = stage.start("telemetry", "--name", "station")
    again.prints(r"r: x=\S+ y=\S+, [1-9]\d* lines so far")

    text = rover.ends(signal.SIGINT)
    assert re.search(r"[1-9]\d* lines sent, all arrived, 0 held back", text), text
    again.prints("good-bye")
    assert re.search(r"[1-9]\d* lines received, \d+ missing", again.ends(signal.SIGINT))


def test_telemetry_of_a_killed_station_arrives_at_the_next_one(stage: Stage) -> None:
    station = stage.start("telemetry", "--name", "station")
    rover = stage.start("telemetry", "--name", "r", "--peer", "station", "--rate", "50")
    station.prints(r"lines so far")
    station.kill()
    rover.prints("no path lives")
    again = stage.start("telemetry", "--name", "station")
    again.prints(r"lines so far")
    assert "all arrived" in rover.ends(signal.SIGINT)


def test_teleop_drives_by_keys_from_a_pipe(stage: Stage) -> None:
    rover = stage.start("teleop", "rover")
    operator = stage.start("teleop", "operator", stdin=subprocess.PIPE)
    keys = operator.process.stdin
    assert keys is not None

    def press(text: bytes) -> None:
        keys.write(text)
        keys.flush()

    rover.prints("operator: calls")
    press(b"ww")
    rover.prints(r"drive linear \+0\.50")
    press(b"d:lights on\n")
    rover.prints(r"drive angular -0\.25")
    rover.prints("command lights on")
    # It goes on for longer than the rover drives without a wish.
    time.sleep(1)
    assert "the motors stop" not in rover.text
    press(b" ")
    rover.prints("command stop")
    press(b"s")
    rover.prints(r"drive linear -0\.25")
    press(b"q")
    assert re.search(r"battery 100 %(.|\n)*0 outages, 0 switches", operator.ends())
    rover.prints("operator is gone")
    assert rover.ends(signal.SIGINT).count("command stop") == 2


def test_teleop_rover_stops_when_the_operator_is_killed(stage: Stage) -> None:
    rover = stage.start("teleop", "rover")
    operator = stage.start("teleop", "operator", stdin=subprocess.PIPE)
    assert operator.process.stdin is not None
    operator.process.stdin.write(b"w")
    operator.process.stdin.flush()
    rover.prints(r"drive linear \+0\.25")
    operator.kill()
    rover.prints("the motors stop: (no wish comes|no path lives)")
    # Another operator takes over.
    other = stage.start("teleop", "operator", "--name", "other", stdin=subprocess.PIPE)
    rover.prints("other: calls")
    assert other.process.stdin is not None
    other.process.stdin.write(b"s")
    other.process.stdin.flush()
    rover.prints(r"drive linear -0\.25")
    other.ends(signal.SIGTERM)
    rover.ends(signal.SIGTERM)


def test_teleop_reads_single_keys_of_a_terminal(stage: Stage) -> None:
    rover = stage.start("teleop", "rover")
    keyboard, terminal = pty.openpty()
    try:
        operator = stage.start("teleop", "operator", stdin=terminal)
        rover.prints("operator: calls")
        os.write(keyboard, b"w")
        rover.prints(r"drive linear \+0\.25")
        os.write(keyboard, b"q")
        operator.ends()
    finally:
        os.close(keyboard)
        os.close(terminal)
    rover.ends(signal.SIGINT)


def test_camera_frames_arrive_whole(stage: Stage) -> None:
    pytest.importorskip("numpy")
    viewer = stage.start("camera_events", "--name", "viewer")
    camera = stage.start(
        "camera_events", "--name", "r", "--peer", "viewer", "--size", "320x240", "--seconds", "4"
    )
    rate = viewer.prints(r"r: 320x240, (\S+) frames/s, (\S+) MB/s")
    assert float(rate[1]) > 1
    seen = re.search(r"(\d+) frames were seen, .*p50 \S+ ms", camera.ends())
    assert seen and int(seen[1]) > 10
    viewer.prints("r: r said good-bye")
    assert re.search(r"[1-9]\d* frames, \d+ overtaken, 0 damaged", viewer.ends(signal.SIGINT))


def ros_side(stage: Stage, folder: Path, *arguments: str) -> Program:
    folder.mkdir()
    return stage.start("ros2_bridge", *arguments, RCLPY_STAND_IN=str(folder))


def test_ros2_bridge_carries_topics_both_ways(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(STAND_INS))
    import rclpy
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from rclpy.serialization import serialize_message
    from rosidl_runtime_py.utilities import String

    rover, desk = tmp_path / "a", tmp_path / "b"
    odom, log, cmd = (f"/{name}:std_msgs/msg/String" for name in ("odom", "log", "cmd"))
    on_rover = ros_side(
        stage, rover, "--name", "r", "--out", odom, "--out", f"{log}:reliable", "--in", cmd
    )
    on_desk = ros_side(
        stage,
        desk,
        *("--name", "desk", "--peer", "r"),
        *("--in", odom, "--in", f"{log}:reliable", "--out", cmd),
    )
    on_rover.prints("desk: carried by")
    on_desk.prints("r: carried by")

    def qos(reliability: ReliabilityPolicy) -> QoSProfile:
        return QoSProfile(10, HistoryPolicy.KEEP_LAST, reliability)

    def at(folder: Path) -> None:
        monkeypatch.setenv("RCLPY_STAND_IN", str(folder))

    best_effort, reliable = qos(ReliabilityPolicy.BEST_EFFORT), qos(ReliabilityPolicy.RELIABLE)
    node = rclpy.Node()
    heard: dict[str, list[str]] = {"odom": [], "log": [], "cmd": []}

    def hear(name: str, quality: QoSProfile) -> Any:
        return node.create_subscription(
            String, f"/{name}", lambda message: heard[name].append(message.data), quality
        )

    try:
        at(desk)
        subscriptions = [hear("odom", best_effort), hear("log", reliable)]
        at(rover)
        subscriptions += [hear("cmd", best_effort)]
        for subscription in subscriptions:
            subscription.socket.setblocking(False)
        publish = {
            "odom": (rover, node.create_publisher(String, "/odom", best_effort)),
            "log": (rover, node.create_publisher(String, "/log", reliable)),
            "cmd": (desk, node.create_publisher(String, "/cmd", reliable)),
        }
        end, number = time.monotonic() + PATIENCE, 0
        while min(map(len, heard.values())) < 10:
            assert time.monotonic() < end, heard
            for name, (folder, publisher) in publish.items():
                at(folder)
                publisher.publish(String(f"{name} {number}"))
            number += 1
            time.sleep(0.02)
            for subscription in subscriptions:
                try:
                    while True:
                        subscription.take()
                except BlockingIOError:
                    pass
        # Each of a reliable topic, in order.
        assert heard["log"] == [f"log {i}" for i in range(len(heard["log"]))]
        for name, texts in heard.items():
            numbers = [int(text.split()[1]) for text in texts if text.startswith(f"{name} ")]
            assert len(numbers) == len(texts) and numbers == sorted(set(numbers))
        assert deserialized_garbage_is_refused(serialize_message(String("x")))
    finally:
        node.destroy_node()
    assert re.search(r"/odom in [1-9]\d*, /log in [1-9]\d*, refused 0", on_desk.ends(signal.SIGINT))
    on_rover.prints("desk is gone")
    assert re.search(r"/odom out [1-9].*/cmd in [1-9]\d*, refused 0", on_rover.ends(signal.SIGTERM))
    assert not list(rover.iterdir()) and not list(desk.iterdir())


def deserialized_garbage_is_refused(good: bytes) -> bool:
    from rclpy.serialization import deserialize_message
    from rosidl_runtime_py.utilities import String

    assert deserialize_message(good, String) == String("x")
    with pytest.raises(RuntimeError):
        deserialize_message(good[:-1], String)
    return True


def test_ros2_bridge_refuses_what_is_no_message(stage: Stage, tmp_path: Path) -> None:
    topic = "/cmd:std_msgs/msg/String:reliable"
    bridge = ros_side(stage, tmp_path / "a", "--name", "r", "--in", topic)
    channel = rover_rtc.ChannelConfig("ros:/cmd", when_full="drop_oldest")
    with sync.connect(
        stage.address, name="liar", bind=["127.0.0.1"], channels=[channel]
    ) as peer, peer.dial("r", timeout=PATIENCE) as link:
        link.channel("ros:/cmd").send(b"garbage")
        link.channel("ros:/cmd").acknowledged(timeout=PATIENCE)
        bridge.prints("/cmd: failed to deserialize ROS message")
    assert "/cmd in 0, refused 1" in bridge.ends(signal.SIGINT)


def test_ros2_bridge_wants_topics(tmp_path: Path) -> None:
    for arguments, why in (
        ([], "nothing to carry"),
        (["--out", "/a:std_msgs/msg/String", "--in", "/a:std_msgs/msg/String"], "round in circles"),
        (["--out", "/a:std_msgs/msg/String:sometimes"], "invalid"),
    ):
        program = Program("ros2_bridge", "--name", "r", *arguments)
        try:
            assert program.process.wait(PATIENCE) == 2
            program.prints(why)
        finally:
            program.kill()


def notebook_lines(first: str) -> str:
    """The code in the README that begins with this line."""
    text = (EXAMPLES.parent / "README.md").read_text()
    found = re.search(rf"(?m)^    {re.escape(first)}\n(?:    .*\n)+", text)
    assert found, first
    return textwrap.dedent(found[0])


@pytest.mark.parametrize(
    ("first", "end"),
    [
        ("import rover_rtc", "await link.peer.close()"),
        ("from rover_rtc import sync", "link.peer.close()"),
    ],
)
def test_the_notebook_lines_work(stage: Stage, tmp_path: Path, first: str, end: str) -> None:
    pytest.importorskip("IPython")
    cells = notebook_lines(first).replace("127.0.0.1:3000", stage.address)
    script = tmp_path / "cells.py"
    script.write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell()\n"
        f"for cell in {[*cells.splitlines(), 'print(link.health.state)', end]!r}:\n"
        "    shell.run_cell(cell).raise_error()\n"
    )
    with sync.connect(
        stage.address, name="rover-1", bind=["127.0.0.1"], channels=["log"]
    ) as rover:
        notebook = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "IPYTHONDIR": str(tmp_path / "ipython"),
                "PYTHONPATH": str(Path(rover_rtc.__file__).parents[1]),
            },
        )
        try:
            channel = rover.accept(timeout=PATIENCE).channel("log")
            channel.send(f"{channel.recv(timeout=PATIENCE).text} yourself")
            text, _ = notebook.communicate(timeout=PATIENCE)
        finally:
            notebook.kill()
            notebook.wait()
    assert text.decode().splitlines() == ["hello yourself", "up"]


class Bench:
    """Both ends of a measured connection, as a lab drives them."""

    def __init__(self, folder: Path, stage: Stage, mode: str, *flags: str) -> None:
        self.folder = folder
        for role in ("answer", "offer"):
            stage.keep(Program("bench", role, "--dir", str(folder), "--mode", mode, *flags))
        self.programs = stage.programs

    def states(self, role: str) -> list[str]:
        log = self.folder / f"state_{role}.log"
        if not log.exists():
            return []
        return [line.split(" ", 1)[1] for line in log.read_text().splitlines()]

    def until(self, what: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := what()):
            for program in self.programs:
                assert program.process.poll() is None, program.text
            assert time.monotonic() < end, (self.states("offer"), self.states("answer"))
            time.sleep(0.02)
        return found

    def result(self, role: str) -> dict[str, Any]:
        path = self.folder / f"result_{role}.json"
        self.until(path.exists)
        return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_bench_has_no_optional_features() -> None:
    program = Program("bench", "features")
    try:
        assert program.ends() == ""
    finally:
        program.kill()


def test_bench_sets_up(stage: Stage, tmp_path: Path) -> None:
    bench = Bench(tmp_path, stage, "setup")
    assert 0 < bench.result("offer")["setup_ms"] < PATIENCE * 1e3
    for role in ("offer", "answer"):
        assert re.fullmatch(r"start pid \d+", bench.states(role)[0])
        bench.until(lambda role=role: "open" in bench.states(role))
    assert not (tmp_path / "result_answer.json").exists()
    # Ctrl-C ends both, without a traceback.
    for program in stage.programs:
        program.process.send_signal(signal.SIGINT)
    assert [program.process.wait(PATIENCE) for program in stage.programs] == [130, 130]
    assert [program.text for program in stage.programs] == ["", ""]


@pytest.mark.parametrize(
    ("channel", "size"),
    [("plain", 64), ("plain", 262_144), ("reliable", 64), ("reliable", 1 << 20)],
)
def test_bench_measures_throughput(stage: Stage, tmp_path: Path, channel: str, size: int) -> None:
    flags = ("--seconds", "0.5", "--size", str(size), "--channel", channel)
    bench = Bench(tmp_path, stage, "throughput", *flags)
    sent, received = bench.result("offer"), bench.result("answer")
    assert received["bytes"] == size * received["msgs"] > 0
    assert received["window_s"] >= 0.5 and sent["window_s"] > 0
    assert sent["sent"] > 0 and sent["cpu_s"] > 0 and received["cpu_s"] > 0


def test_bench_measures_latency(stage: Stage, tmp_path: Path) -> None:
    bench = Bench(tmp_path, stage, "latency", "--seconds", "1", "--rate", "200")
    result = bench.result("offer")
    assert (result["sent"], result["echoed"], result["errors"]) == (200, 200, 0)
    assert result["first_error"] == ""
    rtts = [float(line) for line in (tmp_path / "rtt.txt").read_text().splitlines()]
    assert len(rtts) == 200 and min(rtts) > 0
    states = bench.states("offer")
    assert states.index("open") < states.index("sending") < states.index("senddone")


def test_bench_streams(stage: Stage, tmp_path: Path) -> None:
    bench = Bench(tmp_path, stage, "stream", "--seconds", "1", "--channel", "reliable")
    assert bench.result("offer")["sent"] == 100

    def numbers() -> list[int]:
        return [int(line.split()[1]) for line in (tmp_path / "recv.log").read_text().splitlines()]

    bench.until(lambda: len(numbers()) == 100)
    assert numbers() == list(range(100))


def test_bench_holds(stage: Stage, tmp_path: Path) -> None:
    bench = Bench(tmp_path, stage, "hold", "--num", "3")
    for role in ("offer", "answer"):
        bench.until(lambda role=role: "allopen" in bench.states(role))
    assert (tmp_path / "2" / "answer.json").exists()


def test_bench_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    for flags in (["--fast"], ["--mode", "walk"], ["--size", "300000"], ["--rate", "0"]):
        program = Program("bench", "offer", "--dir", str(tmp_path), "--mode", "setup", *flags)
        try:
            assert program.process.wait(PATIENCE) == 2
        finally:
            program.kill()
