from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kalamos.atomic import atomic_write
from kalamos.errors import OutputError

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions, links and devices")
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


@needs_posix
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


@needs_posix
def test_a_new_file_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@needs_posix
def test_a_replaced_file_keeps_its_permissions(target: Path) -> None:
    target.chmod(0o604)
    with atomic_write(target) as file:
        assert {stat.S_IMODE(path.stat().st_mode) for path in target.parent.iterdir()} == {0o604}
        file.write(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


@needs_posix
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


@needs_posix
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


@needs_posix
def test_a_device_is_refused_and_left(tmp_path: Path) -> None:
    refused(Path(os.devnull), "not a regular file")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "not a regular file")
    assert pipe.is_fifo()


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(OutputError, match="null"):
        atomic_write("re\0sult").__enter__()


@needs_posix
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
from kalamos.atomic import atomic_write
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
