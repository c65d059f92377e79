"""Files from peer to peer, also to and from the program."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run, pair

import rover_rtc
from rover_rtc import sync

SIZE = 3_000_001


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "map.pcd"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_a_file_arrives(hub: sync.Server, run: Run, file: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            told: list[tuple[int, int]] = []
            receiving = asyncio.create_task(back.receive_file(tmp_path / "in"))
            sent = await link.send_file(file, progress=lambda *now: told.append(now))
            received = await receiving
            assert received.path == tmp_path / "in" / "map.pcd" and received.sender == "one"
            assert received.path.read_bytes() == file.read_bytes()
            assert sent.sha256 == received.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
            assert (sent.name, sent.size) == ("map.pcd", SIZE)
            assert told[0] == (0, SIZE) and told == sorted(told)
            # It is there; another one of the same name gets a number.
            assert (await both(link, back, file, tmp_path)).name == "map.pcd"
            file.write_bytes(b"other")
            assert (await both(link, back, file, tmp_path)).name == "map (2).pcd"
            assert sorted(os.listdir(tmp_path / "in")) == ["map (2).pcd", "map.pcd"]
            with pytest.raises(FileNotFoundError):
                await link.send_file(tmp_path / "none")

    run(test())


async def both(
    link: rover_rtc.Link, back: rover_rtc.Link, file: Path, tmp_path: Path
) -> rover_rtc.SentFile:
    receiving = asyncio.create_task(back.receive_file(tmp_path / "in"))
    sent = await link.send_file(file)
    await receiving
    return sent


def test_it_goes_on_where_it_was(hub: sync.Server, run: Run, file: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):

            def progress(done: int, size: int) -> None:
                if done > size / 3:
                    receiving.cancel()

            receiving = asyncio.create_task(back.receive_file(tmp_path / "in", progress=progress))
            sending = asyncio.create_task(link.send_file(file))
            await asyncio.wait([receiving])
            sending.cancel()
            await asyncio.wait([sending])
            there = (tmp_path / "in" / "map.pcd.part").stat().st_size
            assert 0 < there < SIZE
            told: list[int] = []
            receiving = asyncio.create_task(
                back.receive_file(tmp_path / "in", progress=lambda done, _: told.append(done))
            )
            await link.send_file(file)
            assert (await receiving).path.read_bytes() == file.read_bytes()
            assert told[0] >= there

    run(test())


def test_sync(sync_pair: tuple[sync.Link, sync.Link], file: Path, tmp_path: Path) -> None:
    import threading

    link, back = sync_pair
    sending = threading.Thread(target=link.send_file, args=(file,))
    sending.start()
    received = next(back.receive_files(tmp_path / "in"))
    sending.join()
    assert received.path.read_bytes() == file.read_bytes()


def test_with_the_program(hub: sync.Server, file: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "rover_rtc"]
    common = ["--server", hub.url, "--name", "program", "--state", str(tmp_path / "state")]
    with sync.connect(hub.url, name="one", channels=[rover_rtc.FILES]) as one:
        command = [*program, "receive", str(tmp_path / "in"), "--count", "1", *common]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        sent = one.dial("program").send_file(file)
        process.communicate(timeout=20)
        assert (tmp_path / "in" / "map.pcd").read_bytes() == file.read_bytes()
        command = [*program, "send", str(file), "--to", "one", *common]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        received = one.accept(20).receive_file(tmp_path / "out")
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert received.path.read_bytes() == file.read_bytes() and sent.sha256 == received.sha256
