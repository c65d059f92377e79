"""Files from peer to peer, also to and from the program in Rust."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest

import rig
import rover_rtc
from rover_rtc import FILES, sync

SIZE = 3_000_001


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "map.pcd"
    path.parent.mkdir()
    path.write_bytes(os.urandom(SIZE))
    return path


async def both(pair: rig.Pair, file: Path, to: Path) -> rover_rtc.SentFile:
    sent, _ = await rig.soon(
        asyncio.gather(pair.there.send_file(file), pair.back.receive_file(to))
    )
    assert isinstance(sent, rover_rtc.SentFile)
    return sent


async def test_a_file_arrives(hub: str, file: Path, tmp_path: Path) -> None:
    async with rig.pair(hub, [FILES]) as pair:
        told: list[tuple[int, int]] = []
        receiving = asyncio.create_task(pair.back.receive_file(tmp_path / "in"))
        sent = await pair.there.send_file(file, progress=lambda *now: told.append(now))
        received = await rig.soon(receiving)
        assert received.path == tmp_path / "in" / "map.pcd" and received.sender == "one"
        assert received.path.read_bytes() == file.read_bytes()
        assert sent.sha256 == received.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (sent.name, sent.size, received.size) == ("map.pcd", SIZE, SIZE)
        assert told[0] == (0, SIZE) and told == sorted(told)
        # And the other way.
        receiving = asyncio.create_task(pair.there.receive_file(tmp_path / "back"))
        await pair.back.send_file(file)
        assert (await rig.soon(receiving)).path.read_bytes() == file.read_bytes()


async def test_nothing_is_overwritten(hub: str, file: Path, tmp_path: Path) -> None:
    async with rig.pair(hub, [FILES]) as pair:
        assert (await both(pair, file, tmp_path / "in")).name == "map.pcd"
        # It is there already.
        assert (await both(pair, file, tmp_path / "in")).name == "map.pcd"
        file.write_bytes(b"another one")
        assert (await both(pair, file, tmp_path / "in")).name == "map (2).pcd"
        assert sorted(os.listdir(tmp_path / "in")) == ["map (2).pcd", "map.pcd"]
        assert (tmp_path / "in" / "map (2).pcd").read_bytes() == b"another one"
        empty = file.with_name("empty")
        empty.touch()
        assert (await both(pair, empty, tmp_path / "in")).size == 0


async def test_it_goes_on_where_it_was(hub: str, file: Path, tmp_path: Path) -> None:
    async with rig.pair(hub, [FILES]) as pair:

        def progress(done: int, size: int) -> None:
            if done > size / 3:
                receiving.cancel()

        receiving = asyncio.create_task(
            pair.back.receive_file(tmp_path / "in", progress=progress)
        )
        sending = asyncio.create_task(pair.there.send_file(file))
        await asyncio.wait([receiving])
        sending.cancel()
        await asyncio.wait([sending])
        there = (tmp_path / "in" / "map.pcd.part").stat().st_size
        assert 0 < there < SIZE
        told: list[int] = []
        receiving = asyncio.create_task(
            pair.back.receive_file(tmp_path / "in", progress=lambda done, _: told.append(done))
        )
        await rig.soon(pair.there.send_file(file))
        assert (await rig.soon(receiving)).path.read_bytes() == file.read_bytes()
        assert told[0] >= there
        assert os.listdir(tmp_path / "in") == ["map.pcd"]


async def test_an_outage_on_the_way(
    hub_process: rig.HubProcess, file: Path, tmp_path: Path
) -> None:
    settings = {"relay_only": True, "idle_interval_ms": 100}
    async with rig.pair(hub_process.url, [FILES], **settings) as pair:
        feed = pair.there.events()
        begun = asyncio.Event()
        receiving = asyncio.create_task(
            pair.back.receive_file(
                tmp_path / "in", progress=lambda done, _: begun.set() if done else None
            )
        )
        sending = asyncio.create_task(pair.there.send_file(file))
        await rig.soon(begun.wait())
        hub_process.kill()
        await rig.event_of(feed, rover_rtc.events.Outage)
        hub_process.restart()
        await rig.soon(sending)
        assert (await rig.soon(receiving)).path.read_bytes() == file.read_bytes()


async def test_what_cannot_be_sent_or_kept(hub: str, file: Path, tmp_path: Path) -> None:
    async with rig.pair(hub, [FILES]) as pair:
        with pytest.raises(FileNotFoundError):
            await pair.there.send_file(tmp_path / "none")
        taken = tmp_path / "taken"
        taken.touch()
        with pytest.raises(FileExistsError):
            await pair.back.receive_file(taken)
    async with rig.pair(hub, ["files"]) as pair:
        with pytest.raises(rover_rtc.TransferError, match="put FILES into channels") as caught:
            await pair.there.send_file(file)
        assert caught.value.kind == "FILE" and isinstance(caught.value, OSError)


async def test_files_until_the_link_is_closed(hub: str, file: Path, tmp_path: Path) -> None:
    async with rig.pair(hub, [FILES]) as pair:

        async def receive() -> list[str]:
            return [f.path.name async for f in pair.back.receive_files(tmp_path / "in")]

        receiving = asyncio.create_task(receive())
        for name in ("a", "b", "c"):
            await rig.soon(pair.there.send_file(file.rename(file.with_name(name))))
            file = file.with_name(name)
        await pair.there.close()
        assert await rig.soon(receiving) == ["a", "b", "c"]


def test_without_asyncio(hub: str, file: Path, tmp_path: Path) -> None:
    with rig.sync_pair(hub, [FILES]) as pair:
        sending = threading.Thread(target=pair.there.send_file, args=(file,))
        sending.start()
        received = pair.back.receive_file(tmp_path / "in")
        sending.join()
        assert received.path.read_bytes() == file.read_bytes() and received.sender == "one"
        pair.there.close()
        with pytest.raises(rover_rtc.ClosedError):
            pair.back.receive_file(tmp_path / "in")


def exchange(program: list[object], hub: str, file: Path, tmp_path: Path) -> None:
    """A file to the command line, and one from it."""
    common: list[object] = ["--server", hub, "--name", "program", "--bind", rig.LOOPBACK]
    common += ["--state", tmp_path / "state"]
    with sync.connect(hub, name="one", channels=[FILES], bind=[rig.LOOPBACK]) as one:
        receive = [*program, "receive", tmp_path / "in", "--count", "1", *common]
        with rig.Program(receive) as receiver:
            sent = one.dial("program", rig.PATIENCE).send_file(file)
            assert receiver.wait() == 0, receiver.text
        assert (tmp_path / "in" / "map.pcd").read_bytes() == file.read_bytes()
        with rig.Program([*program, "send", file, "--to", "one", *common]) as sender:
            received = one.accept(rig.PATIENCE).receive_file(tmp_path / "back")
            assert sender.wait() == 0, sender.text
        assert received.path.read_bytes() == file.read_bytes()
        assert received.sender == "program" and sent.sha256 == received.sha256


def test_to_and_from_the_command_line(hub: str, file: Path, tmp_path: Path) -> None:
    exchange([rig.PYTHON, "-m", "rover_rtc"], hub, file, tmp_path)


def test_to_and_from_the_program_in_rust(
    rust: Path, hub: str, file: Path, tmp_path: Path
) -> None:
    exchange([rust], hub, file, tmp_path)


async def test_transfers_at_the_same_time_do_not_hear_each_other(hub: str, tmp_path: Path) -> None:
    """Several files at once, and both ways."""
    files = []
    for number in range(4):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(os.urandom(300_000 + number))
        files.append(path)
    async with rig.pair(hub, [rover_rtc.FILES]) as pair:
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()

        async def receive(link: rover_rtc.Link, folder: Path, number: int) -> None:
            for _ in range(number):
                await link.receive_file(folder)

        await asyncio.gather(
            *(pair.there.send_file(path) for path in files[:3]),
            receive(pair.back, there, 3),
            pair.back.send_file(files[3]),
            receive(pair.there, here, 1),
        )
        for path in files[:3]:
            assert (there / path.name).read_bytes() == path.read_bytes()
        assert (here / files[3].name).read_bytes() == files[3].read_bytes()


async def test_a_cancelled_receiver_leaves_the_file_to_the_next(hub: str, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(24 << 20))
    folder = tmp_path / "folder"
    folder.mkdir()
    async with rig.pair(hub, [rover_rtc.FILES]) as pair:
        sending = asyncio.create_task(pair.there.send_file(path))
        for part in (1, 2):
            reached = asyncio.Event()

            def progress(done: int, total: int, most: int = part << 22) -> None:
                if done >= most:
                    reached.set()

            receiving = asyncio.create_task(pair.back.receive_file(folder, progress=progress))
            await reached.wait()
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
        received = await pair.back.receive_file(folder)
        await sending
        assert received.path.read_bytes() == path.read_bytes()


async def test_what_the_disk_refuses_is_told_to_the_sender(hub: str, tmp_path: Path) -> None:
    path = tmp_path / "bad\nname"
    path.write_bytes(b"x")
    async with rig.pair(hub, [rover_rtc.FILES]) as pair:
        results = await asyncio.gather(
            pair.there.send_file(path), pair.back.receive_file(tmp_path), return_exceptions=True
        )
    assert all(isinstance(result, rover_rtc.TransferError) for result in results), results
    assert "refuses" in str(results[0])
