from __future__ import annotations

import errno
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kalamos.errors import OutputError
from kalamos.utils.atomic_write import (
    atomic_write,
    is_temporary,
    remove_all_stale,
    temporary_folder,
    temporary_paths,
    working_folder,
)

needs_posix_atomic = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions, links and devices")
needs_limits = pytest.mark.skipif(
    os.name == "posix" and os.geteuid() == 0, reason="root is refused no permission"
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "result.csv"
    target.write_bytes(b"old")
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new.csv") as file:
        file.write(b"one")
        assert names(tmp_path) != ["new.csv"]
        file.write(b"two")
    assert names(tmp_path) == ["new.csv"]
    assert (tmp_path / "new.csv").read_bytes() == b"onetwo"


def test_the_temporary_file_is_a_hidden_neighbour(target: Path) -> None:
    with atomic_write(target):
        (temporary,) = set(names(target.parent)) - {"result.csv"}
    assert temporary.startswith(".result.csv.")
    assert temporary.endswith(".tmp")


def test_an_existing_file_is_replaced(target: Path) -> None:
    with atomic_write(str(target)) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, OSError, GeneratorExit])
def test_any_exception_leaves_all_as_it_was(target: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind), atomic_write(target) as file:  # noqa: PT012 - the block is what is tested
        file.write(b"half")
        file.flush()
        raise kind
    assert names(target.parent) == ["result.csv"]
    assert target.read_bytes() == b"old"


def test_an_os_error_of_the_block_is_not_taken_for_one_of_the_output(target: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(target):
        Path("no such image.png").read_bytes()


@needs_posix_atomic
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_disk_that_takes_no_more_is_an_output_error(target: Path, size: int) -> None:
    # A limit on file sizes fails as a full disk does: within the block where the buffer runs over
    # (the larger size), on leaving it otherwise.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OutputError) as caught, atomic_write(target) as file:
            file.write(b"x" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert "result.csv" in str(caught.value)
    assert caught.value.remedy
    assert names(target.parent) == ["result.csv"]
    assert target.read_bytes() == b"old"


@needs_posix_atomic
def test_a_new_file_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@needs_posix_atomic
def test_a_replaced_file_keeps_its_permissions(target: Path) -> None:
    target.chmod(0o604)
    with atomic_write(target) as file:
        assert {stat.S_IMODE(path.stat().st_mode) for path in target.parent.iterdir()} == {0o604}
        file.write(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


@needs_posix_atomic
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(target: Path, tmp_path: Path, exists: bool) -> None:
    if not exists:
        target.unlink()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.csv"
    link.symlink_to("../result.csv")
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(link.parent) == ["link.csv"]


@needs_posix_atomic
def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    refused(link, "link")
    assert link.is_symlink()


def refused(path: Path, reason: str) -> None:
    """Entering is what fails: nothing is computed for a file that cannot be written."""
    with pytest.raises(OutputError, match=reason) as caught:
        atomic_write(path).__enter__()
    assert str(path) in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none" / "result.csv", "there is no folder '.*none'; create the folder first")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "it is a folder; name a file inside it")
    assert tmp_path.is_dir()


def test_a_file_in_the_place_of_the_folder_is_refused(target: Path) -> None:
    refused(target / "result.csv", "name a folder where the path now names a file")


@needs_posix_atomic
def test_a_device_is_refused_and_left(tmp_path: Path) -> None:
    refused(Path(os.devnull), "not a regular file")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "not a regular file")
    assert pipe.is_fifo()


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(OutputError, match="null"):
        atomic_write("re\0sult").__enter__()


@needs_posix_atomic
@needs_limits
def test_a_folder_without_permission_is_refused(target: Path) -> None:
    target.parent.chmod(0o555)
    try:
        refused(target, "choose a place you may write to")
    finally:
        target.parent.chmod(0o755)


@needs_limits
def test_a_write_protected_file_is_refused(target: Path) -> None:
    target.chmod(0o444)
    refused(target, "write-protected")
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["n" * 255, "ع" * 127])
def test_a_name_of_the_longest_length_is_written(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as file:
        file.write(b"new")
    assert names(tmp_path) == [name]


def test_several_processes_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "result"
    program = """
import sys
from kalamos.utils.atomic_write import atomic_write
for _ in range(20):
    with atomic_write(sys.argv[1]) as file:
        for _ in range(50):
            file.write(sys.argv[2].encode() * 1000)
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, target, letter]) for letter in "ab"]
    while any(process.poll() is None for process in processes):
        if target.exists():
            assert target.read_bytes() in {b"a" * 50_000, b"b" * 50_000}
    assert [process.returncode for process in processes] == [0, 0]
    assert names(tmp_path) == ["result"]


needs_posix_stale_files = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and flock")

WRITER = """
import stat
import subprocess
import sys
import tempfile
from kalamos.utils.atomic_write import atomic_write
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


@needs_posix_stale_files
def test_sixty_kills_leave_nothing_half_written_and_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    left = 0
    # A fork is soon made, and the writer's own imports are not what is tested.
    for seed in range(60):
        told, tells = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                with atomic_write(target) as file:
                    os.write(tells, b"!")
                    for _ in range(40):
                        file.write(b"x" * 10_000)
                        file.flush()
        assert os.read(told, 1) == b"!"  # on busy processors it may begin late
        os.close(told)
        os.close(tells)
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


@needs_posix_stale_files
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


@needs_posix_stale_files
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


@needs_posix_stale_files
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


@needs_posix_stale_files
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


@needs_posix_stale_files
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


@needs_posix_stale_files
def test_a_folder_keeps_what_it_has_become(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "deep" / "letters") as folder:
        (folder / "a.png").write_bytes(b"")
        folder.rename(tmp_path / "deep" / "letters")
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "letters", "a.png"]
