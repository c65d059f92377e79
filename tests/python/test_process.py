"""Signals, forks and ends of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import CHANNELS

import rover_rtc
from rover_rtc import sync

HEAD = """
import asyncio, os, sys, threading, time, warnings
import rover_rtc
from rover_rtc import sync
url = sys.argv[1]
local = dict(bind=["127.0.0.1"], channels=["data"])
"""


def python(hub: sync.Server, program: str, *options: str) -> subprocess.Popen[str]:
    program = HEAD + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, *options, "-c", program, hub.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 20) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it hangs: {out} {err}")
    return process.returncode, out, err


@pytest.mark.parametrize(
    "wait", ["channel.recv()", "next(iter(channel))", "peer.accept(60)", "next(link.events())"]
)
def test_ctrl_c_is_immediate(hub: sync.Server, wait: str) -> None:
    process = python(
        hub,
        f"""
        with sync.connect(url, name="one", **local) as peer:
            link = peer.call("two")
            channel = link.channel("data")
            for _ in link.events(): break
            print("ready", flush=True)
            try:
                {wait}
                while True: next(link.events())
            except KeyboardInterrupt:
                print("interrupted", time.time())
        """,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    begun = time.time()
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 0, err
    assert float(out.split()[1]) - begun < 0.5


def test_exit_without_close_is_clean(hub: sync.Server) -> None:
    for program in [
        'peer = sync.connect(url, name="one", **local); peer.connected(5)',
        """
        async def main():
            peer = await rover_rtc.connect(url, name="one", **local)
            await peer.connected(5)
            globals()["peer"] = peer
        asyncio.run(main())
        """,
        # In a cycle, and with a thread that waits.
        """
        peer = sync.connect(url, name="one", **local)
        def wait():
            try: peer.accept()
            except rover_rtc.ClosedError: pass
        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.1)
        """,
    ]:
        begun = time.monotonic()
        code, _, err = ended(python(hub, program, "-X", "dev"))
        assert code == 0, err
        assert "ResourceWarning: unclosed <Peer 'one'" in err
        assert "Traceback" not in err, err
        assert time.monotonic() - begun < 5


def test_a_loop_that_is_closed_first(hub: sync.Server) -> None:
    code, out, err = ended(
        python(
            hub,
            """
            loop = asyncio.new_event_loop()
            async def main():
                global peer, task
                peer = await rover_rtc.connect(url, name="one", **local)
                task = asyncio.ensure_future(peer.accept())
                await asyncio.sleep(0.1)
            loop.run_until_complete(main())
            task.cancel()
            loop.close()
            time.sleep(0.2)
            del task, peer
            import gc; gc.collect()
            print("done")
            """,
        )
    )
    assert (code, out) == (0, "done\n"), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_leaves_dead_handles(hub: sync.Server) -> None:
    code, out, err = ended(
        python(
            hub,
            """
            warnings.simplefilter("ignore", DeprecationWarning)
            peer = sync.connect(url, name="one", **local)
            peer.connected(10)
            channel = peer.channel("data")
            child = os.fork()
            if child == 0:
                for use in (lambda: channel.send(b"x"), channel.recv, peer.stats, peer.accept,
                            lambda: peer.call("x"), lambda: peer.health):
                    try:
                        use()
                        print("no error", use)
                    except rover_rtc.ForkError as error:
                        assert error.kind == "BAD_HANDLE" and "fork" in str(error)
                print(repr(peer), repr(channel))
                peer.close()
                del channel, peer
                import gc; gc.collect()
                with sync.connect(url, name="two", **local) as own:
                    own.connected(10)
                    print("child", own.health.state, flush=True)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            channel.send(b"x")
            print("parent", peer.health.state)
            peer.close()
            """,
            "-X",
            "dev",
        )
    )
    assert code == 0, err
    assert "child up" in out and "parent up" in out and "no error" not in out, out
    assert "Traceback" not in err, err


def test_a_link_is_lost_when_its_peer_does_not_come_back(hub: sync.Server) -> None:
    process = python(
        hub,
        """
        peer = sync.connect(url, name="two", **local)
        peer.accept().channel("data").send("hello")
        time.sleep(60)
        """,
    )
    settings = {"bind": ["127.0.0.1"], "channels": CHANNELS, "resume_window_ms": 1000}
    with sync.connect(hub.url, name="one", **settings) as one:
        channel = one.dial("two").channel("data")
        messages = iter(channel)
        assert next(messages).text == "hello"
        process.kill()
        with pytest.raises(rover_rtc.ConnectionLost, match="away for too long"):
            next(messages)
        with pytest.raises(ConnectionError):
            channel.send(b"x")
    ended(process)


def test_command_line(hub: sync.Server) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rover_rtc", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert run("--version").stdout.strip() == f"rover-rtc {rover_rtc.__version__}"
    bad = run("nonsense")
    assert bad.returncode == 2 and "unrecognized subcommand" in bad.stderr
    assert "Usage: python -m rover_rtc" in run("--help").stdout
    command = [sys.executable, "-m", "rover_rtc", "peer", "--server", hub.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended(process)
    assert time.monotonic() - begun < 3
