from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kalamos.atomic import atomic_write
from kalamos.stale_files import (
    is_temporary,
    remove_all_stale,
    temporary_folder,
    temporary_paths,
    working_folder,
)

needs_posix = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and flock")

WRITER = """
import stat
import subprocess
import sys
import tempfile
from kalamos.atomic import atomic_write
while True:
    with atomic_write(sys.argv[1]) as file:
        for _ in range(40):
            file.write(b"x" * 10_000)
            file.flush()
        print(flush=True)
"""
WHOLE = b"x" * 400_000


def start(target: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def others(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


@needs_posix
def test_sixty_kills_leave_nothing_half_written_and_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    left = 0
    # A fork is soon made, and the writer's own imports are not what is tested.
    for seed in range(60):
        child = os.fork()
        if child == 0:
            while True:
                with atomic_write(target) as file:
                    for _ in range(40):
                        file.write(b"x" * 10_000)
                        file.flush()
        time.sleep(random.Random(seed).uniform(0.002, 0.02))  # noqa: S311
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert not target.exists() or target.read_bytes() == WHOLE
        assert len(others(target)) <= 1
        left += len(others(target))
    assert left > 10  # else this test has killed nobody who wrote
    with atomic_write(target) as file:
        file.write(b"end")
    assert others(target) == []


@needs_posix
def test_a_living_writer_keeps_its_file(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    writers = [start(target) for _ in range(3)]
    try:
        for _ in range(40):
            with atomic_write(target) as file:
                file.write(WHOLE)
            assert target.read_bytes() == WHOLE
        for writer in writers:
            assert writer.poll() is None
    finally:
        for writer in writers:
            kill(writer)
    with atomic_write(target) as file:
        file.write(WHOLE)
    assert others(target) == []


@needs_posix
def test_only_what_kalamos_has_named_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    stale = next(temporary_paths(target))
    stale.write_bytes(b"half")
    neighbour = next(temporary_paths(tmp_path / "other.csv"))  # whoever writes other.csv sweeps it
    kept = [
        neighbour,
        *(tmp_path / f".result.csv.{ending}" for ending in ("deadbeef.tmp", "tmp", "00000000.tmp", "bak")),
        tmp_path / "result.csv.tmp",
    ]
    for path in kept:
        path.write_bytes(b"mine")
    with atomic_write(target):
        pass
    assert others(target) == sorted(path.name for path in kept)


@needs_posix
def test_links_and_pipes_under_such_a_name_stay(tmp_path: Path) -> None:
    target, mine = tmp_path / "result.csv", tmp_path / "mine.txt"
    mine.write_bytes(b"mine")
    names = temporary_paths(target)
    next(names).symlink_to(mine)
    os.mkfifo(next(names))
    before = others(target)
    with atomic_write(target) as file:
        file.write(b"new")
    assert others(target) == before
    assert mine.read_bytes() == b"mine"
    assert target.read_bytes() == b"new"


@needs_posix
def test_a_folder_s_own_files_are_swept_together(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "a" * 200 + ".safetensors"):
        next(temporary_paths(run / name)).write_bytes(b"half")
    (run / ".mine.deadbeef.tmp").write_bytes(b"mine")
    with atomic_write(run / "last.safetensors"):
        assert remove_all_stale(run) == 2
        assert len(list(run.iterdir())) == 2  # the one that is written, and mine
    assert sorted(path.name for path in run.iterdir()) == [".mine.deadbeef.tmp", "last.safetensors"]
    assert remove_all_stale(tmp_path / "absent") == 0


def test_names_of_any_length_and_script(tmp_path: Path) -> None:
    for name in ("a" * 250, "ب" * 120, "7.png", "x.tmp"):
        target = tmp_path / name
        temporary = next(temporary_paths(target))
        assert is_temporary(temporary.name)
        assert not is_temporary(name)
        with atomic_write(target) as file:
            file.write(b"new")
        assert target.read_bytes() == b"new"


@needs_posix
def test_what_a_killed_process_left_in_the_temporary_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = os.fork()
    if child == 0:
        with working_folder("stdin") as folder:
            (folder / "stdin").write_bytes(b"half")
            time.sleep(60)
    while not (left := list(tmp_path.glob(".kalamos-stdin.*/stdin"))):
        time.sleep(0.01)
    with working_folder("stdin") as folder:
        assert left[0].exists()  # its process lives
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with working_folder("stdin") as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


@needs_posix
def test_a_folder_keeps_what_it_has_become(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "deep" / "letters") as folder:
        (folder / "a.png").write_bytes(b"")
        folder.rename(tmp_path / "deep" / "letters")
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "letters", "a.png"]
